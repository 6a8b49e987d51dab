// SPDX-License-Identifier: Apache-2.0
//
// Overview. parse() first proves the layout, so that typed spans exist; SnapshotCheck then walks section after
// section and proves everything a reader relies on. Nothing is indexed before its bound is proved.
// Limits. Scratch memory: 4 bytes per address range and rule, 16 per owned element; freed before parse() returns.
#include "filters/policy/snapshot_view.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <unordered_set>
#include <vector>

#include "base/limits.h"
#include "base/net/service_address.h"
#include "filters/nat/nat_rules.h"
#include "filters/policy/snapshot_builder.h"

namespace sekisho::filters {
namespace {

using snapshot::Header;
using snapshot::kNone;
using snapshot::PortKind;
using snapshot::Range;
using snapshot::Section;

constexpr std::array<std::uint32_t, snapshot::kSectionCount> kElementSizes{
    1,
    sizeof(snapshot::Nic),
    sizeof(snapshot::Tenant),
    sizeof(snapshot::Zone),
    sizeof(snapshot::Port),
    sizeof(Prefix),
    sizeof(snapshot::Binding),
    sizeof(snapshot::BindingPair),
    sizeof(Address),
    sizeof(snapshot::Route),
    sizeof(snapshot::OwnedPrefix),
    sizeof(snapshot::Policy),
    sizeof(snapshot::Rule),
    sizeof(snapshot::AddressRange),
    sizeof(snapshot::Service),
    sizeof(snapshot::StateLimits),
    sizeof(snapshot::RuleLimits),
    sizeof(snapshot::NatRule),
    sizeof(snapshot::Moment),
    sizeof(snapshot::ServiceTimeouts),
    sizeof(snapshot::Gateway),
    sizeof(snapshot::User),
    sizeof(snapshot::RadiusPeer),
};

Error malformed_at(std::size_t offset, ErrorCode code = ErrorCode::kMalformed) {
  return {code, ErrorSite::kSnapshot, static_cast<std::uint32_t>(offset)};
}

bool all_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

/// Header fields, canonical section layout and digest. The bytes are at least one Header, aligned.
Result<void> check_layout(ByteSpan bytes) {
  const auto& header = *reinterpret_cast<const Header*>(bytes.data());
  if (header.magic != snapshot::kMagic) return malformed_at(offsetof(Header, magic));
  if (header.version != snapshot::kVersion) return malformed_at(offsetof(Header, version), ErrorCode::kUnsupported);
  if (header.generation == 0 || header.generation > limits::kRevisionMax) return malformed_at(offsetof(Header, generation));
  if (header.size != bytes.size()) return malformed_at(offsetof(Header, size));
  std::uint64_t expected = sizeof(Header);
  for (std::size_t i = 0; i < snapshot::kSectionCount; ++i) {
    const auto& entry = header.sections[i];
    const std::size_t at = offsetof(Header, sections) + i * sizeof(entry);
    if (entry.offset != expected || entry.element_size != kElementSizes[i]) return malformed_at(at);
    const std::uint64_t end = entry.offset + std::uint64_t{entry.count} * entry.element_size;
    expected = (end + 7) & ~std::uint64_t{7};
    if (expected > bytes.size()) return malformed_at(at);
    if (!all_zero(bytes.subspan(end, expected - end))) return malformed_at(end);
  }
  if (expected != bytes.size()) return malformed_at(expected);
  if (snapshot_digest(bytes) != header.sha256) return malformed_at(offsetof(Header, sha256));
  return {};
}

/// RFC 3629: shortest forms only, no surrogates, nothing above U+10FFFF; also no control characters.
bool is_plain_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    if (lead < 0x20 || lead == 0x7f) return false;
    const std::size_t length = lead < 0x80              ? 1
                               : (lead & 0xe0U) == 0xc0 ? 2
                               : (lead & 0xf0U) == 0xe0 ? 3
                               : (lead & 0xf8U) == 0xf0 ? 4
                                                        : 0;
    if (length == 0 || length > text.size() - i) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0x7fU >> length);
    for (std::size_t k = 1; k < length; ++k) {
      const auto next = static_cast<std::uint8_t>(text[i + k]);
      if ((next & 0xc0U) != 0x80) return false;
      point = point << 6 | (next & 0x3fU);
    }
    constexpr std::array<std::uint32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    i += length;
  }
  return true;
}

bool is_valid(const Address& address) {
  if (address.family == Family::kIpv4) return all_zero(std::span(address.bytes).subspan(4));
  return address.family == Family::kIpv6;
}
bool is_valid(const Prefix& prefix) {
  return is_valid(prefix.address) && prefix.length <= prefix.address.bits();
}
bool is_network(const Prefix& prefix) {
  return is_valid(prefix) && prefix.first() == prefix.address;
}
bool is_flag(std::uint8_t value) {
  return value <= 1;
}
bool contains(Range range, std::uint32_t index) {
  return index >= range.first && index - range.first < range.count;
}

/// Proves that runs of one section belong to exactly one owner each and leave nothing unowned.
class Ownership {
 public:
  void add(Range range) {
    if (range.count != 0) ranges_.push_back(range);
  }
  /// Index of the first element owned twice or not at all; the section's size when there is none.
  std::size_t first_wrong() {
    std::sort(ranges_.begin(), ranges_.end(), [](Range a, Range b) { return a.first < b.first; });
    std::size_t next = 0;
    for (const Range range : ranges_) {
      if (range.first != next) return std::min<std::size_t>(range.first, next);
      next += range.count;
    }
    return next;
  }

 private:
  std::vector<Range> ranges_;
};

class SnapshotCheck {
 public:
  explicit SnapshotCheck(const SnapshotView& view) : view_(view) {}

  Result<void> run() {
    SEKISHO_CHECK_OK(check_counts());
    SEKISHO_CHECK_OK(check_nics());
    SEKISHO_CHECK_OK(check_tenants());
    SEKISHO_CHECK_OK(check_tenant_ownership());
    SEKISHO_CHECK_OK(check_ports());
    SEKISHO_CHECK_OK(check_wires());
    SEKISHO_CHECK_OK(check_bindings());
    SEKISHO_CHECK_OK(check_binding_pairs());
    SEKISHO_CHECK_OK(check_routes());
    SEKISHO_CHECK_OK(check_owned_prefixes());
    SEKISHO_CHECK_OK(check_address_ranges());
    SEKISHO_CHECK_OK(check_services());
    SEKISHO_CHECK_OK(check_rules());
    SEKISHO_CHECK_OK(check_limits());
    SEKISHO_CHECK_OK(check_rule_ids());
    SEKISHO_CHECK_OK(check_nat_rules());
    SEKISHO_CHECK_OK(check_gateways());
    SEKISHO_CHECK_OK(check_radius_peers());
    SEKISHO_CHECK_OK(check_users());
    return view_.moments().size() > 1 ? Result<void>(at(view_.moments()[1])) : Result<void>();
  }

 private:
  template <typename T>
  [[nodiscard]] Error at(const T& field, ErrorCode code = ErrorCode::kMalformed) const {
    return malformed_at(static_cast<std::size_t>(reinterpret_cast<const std::uint8_t*>(&field) - view_.bytes().data()),
                        code);
  }
  template <typename T>
  static bool fits(Range range, std::span<const T> section) {
    return range.first <= section.size() && range.count <= section.size() - range.first;
  }
  /// The first element of `section` that is owned twice or not at all, as an Error.
  template <typename T>
  Result<void> check_owned(Ownership& owners, std::span<const T> section) const {
    const std::size_t wrong = owners.first_wrong();
    if (wrong < section.size()) return at(section[wrong]);
    return {};
  }
  [[nodiscard]] bool is_text(snapshot::StringRef ref) const {
    return fits(ref, view_.strings()) && ref.count <= limits::kNameBytesMax && is_plain_utf8(view_.string(ref));
  }
  [[nodiscard]] std::string_view text(snapshot::StringRef ref) const { return view_.string(ref); }

  Result<void> check_counts() const;
  Result<void> check_nics() const;
  Result<void> check_tenants() const;
  Result<void> check_tenant_ownership() const;
  Result<void> check_ports() const;
  Result<void> check_port(std::uint32_t index) const;
  Result<void> check_port_place(const snapshot::Port& port, std::uint32_t index) const;
  Result<void> check_share(const snapshot::Port& port) const;
  Result<void> check_tunnel_port(const snapshot::Port& port) const;
  Result<void> check_wires() const;
  Result<void> check_bindings() const;
  Result<void> check_binding(std::uint32_t index) const;
  Result<void> check_binding_pairs() const;
  Result<void> check_segment_macs() const;
  Result<void> check_routes() const;
  Result<void> check_owned_prefixes() const;
  Result<void> check_address_ranges();
  Result<void> check_services() const;
  Result<void> check_rules() const;
  Result<void> check_rule(const snapshot::Tenant& tenant, const snapshot::Rule& rule) const;
  Result<void> check_final_default(const snapshot::Tenant& tenant) const;
  Result<void> check_rule_ids() const;
  Result<void> check_limits() const;
  Result<void> check_nat_rules() const;
  Result<void> check_gateways() const;
  Result<void> check_radius_peers() const;
  Result<void> check_users() const;
  Result<void> check_nat_match(const snapshot::NatRule& rule) const;
  Result<void> check_nat_target(const snapshot::NatRule& rule) const;
  [[nodiscard]] bool is_sorted_run(Range range) const;

  const SnapshotView& view_;
  /// breaks_[i]: how many neighbours (k, k + 1) with k < i are out of order. Makes the check of a shared run
  /// constant.
  std::vector<std::uint32_t> breaks_;
};

Result<void> SnapshotCheck::check_counts() const {
  struct Bound {
    Section section;
    std::size_t most;
  };
  constexpr std::array kBounds{
      Bound{Section::kNics, limits::kNicsMax},
      Bound{Section::kTenants, limits::kTenantsMax},
      Bound{Section::kPorts, limits::kPortsMax},
      Bound{Section::kBindings, limits::kBindingsMax},
      Bound{Section::kUsers, limits::kUsersMax},
  };
  for (const auto& bound : kBounds) {
    const auto& entry = view_.header().sections[static_cast<std::size_t>(bound.section)];
    if (entry.count > bound.most) return at(entry.count, ErrorCode::kLimit);
  }
  // Defaults are pinned rules of ours, on top of what people may write.
  if (view_.rules().size() > limits::kRulesMax + view_.policies().size() + view_.tenants().size()) {
    return at(view_.header().sections[static_cast<std::size_t>(Section::kRules)].count, ErrorCode::kLimit);
  }
  return {};
}

Result<void> SnapshotCheck::check_nics() const {
  const auto nics = view_.nics();
  for (std::size_t i = 0; i < nics.size(); ++i) {
    const auto& nic = nics[i];
    if (!is_text(nic.name) || nic.name.count == 0) return at(nic.name);
    if (!is_text(nic.device) || nic.device.count == 0) return at(nic.device);
    if (nic.mtu < 68 || nic.mtu > limits::kFrameBytesMax) return at(nic.mtu);  // RFC 791: 68 is the least MTU
    if (nic.reserved != 0) return at(nic.reserved);
    for (const auto& earlier : nics.first(i)) {
      if (text(earlier.name) == text(nic.name)) return at(nic.name);
      if (text(earlier.device) == text(nic.device)) return at(nic.device);
    }
  }
  return {};
}

Result<void> SnapshotCheck::check_tenants() const {
  std::uint32_t previous = 0;
  std::vector<std::string_view> codes;
  for (const auto& tenant : view_.tenants()) {
    if (tenant.id <= previous || tenant.id > limits::kTenantIdMax) return at(tenant.id);
    previous = tenant.id;
    if (!is_text(tenant.service_code) || tenant.service_code.count == 0) return at(tenant.service_code);
    codes.push_back(text(tenant.service_code));
    if (!is_text(tenant.name)) return at(tenant.name);
    if (tenant.quotas.sessions_guaranteed > tenant.sessions_max) return at(tenant.quotas.sessions_guaranteed);
    const bool fragments = tenant.quotas.fragments_max == 0 || tenant.quotas.fragments_guaranteed <= tenant.quotas.fragments_max;
    if (!fragments) return at(tenant.quotas.fragments_guaranteed);
    if (!fits(tenant.zones, view_.zones()) || tenant.zones.count > limits::kZonesPerTenantMax) return at(tenant.zones);
    if (!fits(tenant.routes, view_.routes())) return at(tenant.routes);
    if (!fits(tenant.policies, view_.policies())) return at(tenant.policies);
    if (!fits(tenant.rules, view_.rules())) return at(tenant.rules);
    if (!fits(tenant.nat, view_.nat_rules())) return at(tenant.nat);
    if (tenant.nat.count > limits::kNatRulesPerTenantMax) return at(tenant.nat, ErrorCode::kLimit);
    if (tenant.rules.count == 0 || tenant.rules.count > limits::kRulesPerTenantMax + tenant.policies.count + 1) {
      return at(tenant.rules, ErrorCode::kLimit);
    }
  }
  std::sort(codes.begin(), codes.end());
  if (const auto twice = std::adjacent_find(codes.begin(), codes.end()); twice != codes.end()) {
    for (const auto& tenant : view_.tenants()) {
      if (text(tenant.service_code) == *twice) return at(tenant.service_code);
    }
  }
  return {};
}

Result<void> SnapshotCheck::check_tenant_ownership() const {
  Ownership zones, routes, policies, rules, nat;
  for (const auto& tenant : view_.tenants()) {
    zones.add(tenant.zones);
    routes.add(tenant.routes);
    policies.add(tenant.policies);
    rules.add(tenant.rules);
    nat.add(tenant.nat);
  }
  SEKISHO_CHECK_OK(check_owned(zones, view_.zones()));
  SEKISHO_CHECK_OK(check_owned(routes, view_.routes()));
  SEKISHO_CHECK_OK(check_owned(policies, view_.policies()));
  SEKISHO_CHECK_OK(check_owned(rules, view_.rules()));
  SEKISHO_CHECK_OK(check_owned(nat, view_.nat_rules()));
  for (const auto& zone : view_.zones()) {
    if (!is_text(zone.name)) return at(zone.name);
  }
  const auto tenants = view_.tenants();
  for (std::uint32_t i = 0; i < tenants.size(); ++i) {
    for (const auto& policy : slice(view_.policies(), tenants[i].policies)) {
      if (!is_text(policy.name)) return at(policy.name);
      if (policy.tenant != i) return at(policy.tenant);
      if (policy.reserved != 0) return at(policy.reserved);
    }
  }
  return {};
}

Result<void> SnapshotCheck::check_ports() const {
  std::uint32_t previous = 0;
  Ownership addresses;
  const auto ports = view_.ports();
  for (std::uint32_t i = 0; i < ports.size(); ++i) {
    if (ports[i].id <= previous || ports[i].id > limits::kPortIdMax) return at(ports[i].id);
    previous = ports[i].id;
    SEKISHO_CHECK_OK(check_port(i));
    addresses.add(ports[i].addresses);
  }
  SEKISHO_CHECK_OK(check_owned(addresses, view_.port_addresses()));
  for (const auto& prefix : view_.port_addresses()) {
    if (!is_valid(prefix)) return at(prefix);
  }
  return {};
}

Result<void> SnapshotCheck::check_port(std::uint32_t index) const {
  const auto& port = view_.ports()[index];
  if (!is_text(port.name)) return at(port.name);
  if (!fits(port.addresses, view_.port_addresses())) return at(port.addresses);
  if (port.mtu < 68 || port.mtu > limits::kFrameBytesMax) return at(port.mtu);
  if (port.outer_vlan > 4094) return at(port.outer_vlan);
  if (port.inner_vlan > 4094 || (port.inner_vlan != 0 && port.outer_vlan == 0)) return at(port.inner_vlan);
  if (!is_flag(port.outer_is_svlan) || port.outer_is_svlan > port.outer_vlan) return at(port.outer_is_svlan);
  if (port.kind > PortKind::kTunnel) return at(port.kind);
  const bool by_segment = port.enforcement != snapshot::Enforcement::kPort;
  if (port.enforcement > snapshot::Enforcement::kIsolate || (by_segment && port.kind != PortKind::kSegment)) {
    return at(port.enforcement);
  }
  if (by_segment && port.binding != kNone) return at(port.binding);
  constexpr unsigned kWays = snapshot::kReversePathStrict | snapshot::kReversePathOff;
  const bool judged = port.kind == PortKind::kRouted || port.kind == PortKind::kShare;
  const bool sound = port.source_checks <= (kWays | snapshot::kRefuseBogons) && (port.source_checks & kWays) != kWays;
  if (judged ? !sound : port.source_checks != 0) return at(port.source_checks);
  if (!all_zero(port.reserved)) return at(port.reserved);
  return check_port_place(port, index);
}

Result<void> SnapshotCheck::check_port_place(const snapshot::Port& port, std::uint32_t index) const {
  if (port.kind == PortKind::kUplink) {
    if (port.tenant != kNone) return at(port.tenant);
    if (port.zone != 0) return at(port.zone);
  } else {
    if (port.tenant >= view_.tenants().size()) return at(port.tenant);
    if (port.zone >= view_.tenants()[port.tenant].zones.count) return at(port.zone);
  }
  if (port.kind == PortKind::kShare) return check_share(port);
  if (port.kind == PortKind::kTunnel) return check_tunnel_port(port);
  if (port.nic >= view_.nics().size()) return at(port.nic);
  if (port.uplink != kNone) return at(port.uplink);
  if (port.binding == kNone) return {};
  if (port.kind != PortKind::kSegment || port.binding >= view_.bindings().size()) return at(port.binding);
  if (view_.bindings()[port.binding].port != index) return at(port.binding);
  return {};
}

Result<void> SnapshotCheck::check_share(const snapshot::Port& port) const {
  if (port.uplink >= view_.ports().size()) return at(port.uplink);
  const auto& uplink = view_.ports()[port.uplink];
  if (uplink.kind != PortKind::kUplink) return at(port.uplink);
  // A share has no wire of its own: it may repeat its uplink's, or say nothing.
  if (port.nic != kNone && port.nic != uplink.nic) return at(port.nic);
  if (port.outer_vlan != 0 && port.outer_vlan != uplink.outer_vlan) return at(port.outer_vlan);
  if (port.inner_vlan != 0 && port.inner_vlan != uplink.inner_vlan) return at(port.inner_vlan);
  if (port.addresses.count != 0) return at(port.addresses);
  if (port.binding != kNone) return at(port.binding);
  return {};
}

Result<void> SnapshotCheck::check_tunnel_port(const snapshot::Port& port) const {
  if (port.nic != kNone) return at(port.nic);
  if (port.uplink != kNone) return at(port.uplink);
  if (port.outer_vlan != 0) return at(port.outer_vlan);
  if (port.addresses.count != 0) return at(port.addresses);
  if (port.binding != kNone) return at(port.binding);
  return {};
}

Result<void> SnapshotCheck::check_wires() const {
  using Wire = std::tuple<std::uint32_t, std::uint16_t, std::uint16_t, const snapshot::Port*>;
  std::vector<Wire> wires;
  for (const auto& port : view_.ports()) {
    const bool wired = port.kind != PortKind::kShare && port.kind != PortKind::kTunnel;
    if (wired) wires.emplace_back(port.nic, port.outer_vlan, port.inner_vlan, &port);
  }
  std::sort(wires.begin(), wires.end());
  for (std::size_t i = 1; i < wires.size(); ++i) {
    const auto& [nic, outer, inner, port] = wires[i];
    const auto& [nic_before, outer_before, inner_before, port_before] = wires[i - 1];
    if (std::tie(nic, outer, inner) == std::tie(nic_before, outer_before, inner_before)) return at(port->nic);
  }
  return {};
}

Result<void> SnapshotCheck::check_bindings() const {
  std::uint32_t previous = 0;
  Ownership pairs, link_locals;
  const auto bindings = view_.bindings();
  for (std::uint32_t i = 0; i < bindings.size(); ++i) {
    const auto& binding = bindings[i];
    if (binding.id <= previous || binding.id > limits::kBindingIdMax) return at(binding.id);
    previous = binding.id;
    SEKISHO_CHECK_OK(check_binding(i));
    pairs.add(binding.pairs);
    pairs.add(binding.routed);
    link_locals.add(binding.link_locals);
  }
  SEKISHO_CHECK_OK(check_owned(pairs, view_.binding_pairs()));
  SEKISHO_CHECK_OK(check_owned(link_locals, view_.link_locals()));
  for (const auto& address : view_.link_locals()) {
    if (!is_valid(address) || address.family != Family::kIpv6 || !address.is_link_local()) return at(address);
  }
  return {};
}

Result<void> SnapshotCheck::check_binding(std::uint32_t index) const {
  const auto& binding = view_.bindings()[index];
  if (binding.port >= view_.ports().size()) return at(binding.port);
  const auto& port = view_.ports()[binding.port];
  if (port.enforcement == snapshot::Enforcement::kPort && port.binding != index) return at(binding.port);
  if (!is_text(binding.name)) return at(binding.name);
  if (!fits(binding.pairs, view_.binding_pairs())) return at(binding.pairs);
  if (binding.pairs.count > limits::kPairsPerBindingMax) return at(binding.pairs, ErrorCode::kLimit);
  if (!fits(binding.routed, view_.binding_pairs())) return at(binding.routed);
  if (!fits(binding.link_locals, view_.link_locals())) return at(binding.link_locals);
  for (const auto& ethertype : binding.ethertypes) {
    if (ethertype != 0 && ethertype < 0x0600) return at(ethertype);  // below it is an IEEE 802.3 length
  }
  if (binding.lla_policy > snapshot::LlaPolicy::kPin) return at(binding.lla_policy);
  const bool pins = binding.lla_policy == snapshot::LlaPolicy::kPin;
  if (binding.lla_pins > 8 || (pins && binding.lla_pins == 0)) return at(binding.lla_pins);
  constexpr unsigned kRoles =
      snapshot::kRoleRouter | snapshot::kRoleDhcp | snapshot::kRoleQuerier | snapshot::kRoleForwarding;
  if ((binding.roles & ~kRoles) != 0) return at(binding.roles);
  if (!is_flag(binding.active)) return at(binding.active);
  if (!is_flag(binding.quarantine)) return at(binding.quarantine);
  if (!all_zero(binding.reserved)) return at(binding.reserved);
  return {};
}

Result<void> SnapshotCheck::check_binding_pairs() const {
  for (const auto& binding : view_.bindings()) {
    std::vector<Mac> macs;
    for (const auto& pair : slice(view_.binding_pairs(), binding.pairs)) {
      if (pair.mac.is_zero() || pair.mac.is_multicast()) return at(pair.mac);
      if (!is_network(pair.prefix)) return at(pair.prefix);
      if (std::find(macs.begin(), macs.end(), pair.mac) == macs.end()) macs.push_back(pair.mac);
      if (macs.size() > limits::kMacsPerBindingMax) return at(pair.mac, ErrorCode::kLimit);
    }
    for (const auto& pair : slice(view_.binding_pairs(), binding.routed)) {
      if (!pair.mac.is_zero()) return at(pair.mac);
      if (!is_network(pair.prefix)) return at(pair.prefix);
    }
  }
  return check_segment_macs();
}

/// On a Port enforced by segment a MAC names one active Binding, and the Port's Bindings are bounded.
Result<void> SnapshotCheck::check_segment_macs() const {
  using Named = std::tuple<std::uint32_t, std::uint64_t, const snapshot::Binding*, const snapshot::BindingPair*>;
  std::vector<Named> named;
  std::vector<std::uint32_t> bindings(view_.ports().size(), 0);
  for (const auto& binding : view_.bindings()) {
    if (view_.ports()[binding.port].enforcement == snapshot::Enforcement::kPort) continue;
    if (++bindings[binding.port] > limits::kBindingsPerPortMax) return at(binding.port, ErrorCode::kLimit);
    if (binding.active == 0) continue;
    for (const auto& pair : slice(view_.binding_pairs(), binding.pairs)) {
      named.emplace_back(binding.port, pair.mac.number(), &binding, &pair);
    }
  }
  std::sort(named.begin(), named.end());
  for (std::size_t i = 1; i < named.size(); ++i) {
    const auto& [port_before, mac_before, binding_before, pair_before] = named[i - 1];
    const auto& [port, mac, binding, pair] = named[i];
    if (port == port_before && mac == mac_before && binding != binding_before) return at(pair->mac);
  }
  return {};
}

Result<void> SnapshotCheck::check_routes() const {
  const auto tenants = view_.tenants();
  for (std::uint32_t i = 0; i < tenants.size(); ++i) {
    for (const auto& route : slice(view_.routes(), tenants[i].routes)) {
      if (!is_network(route.prefix)) return at(route.prefix);
      if (!is_flag(route.has_next_hop)) return at(route.has_next_hop);
      if (route.reserved != 0) return at(route.reserved);
      // An uplink has tenant kNone, so this also keeps routes on a tenant's share of it.
      if (route.port >= view_.ports().size() || view_.ports()[route.port].tenant != i) return at(route.port);
      // Nobody at the far end of a tunnel is a router for others.
      if (route.has_next_hop != 0 && view_.ports()[route.port].kind == PortKind::kTunnel) return at(route.has_next_hop);
      const bool next_hop_fits = route.has_next_hop == 0
                                     ? route.next_hop == Address{}
                                     : is_valid(route.next_hop) && route.next_hop.family == route.prefix.address.family;
      if (!next_hop_fits) return at(route.next_hop);
      if (!all_zero(route.reserved2)) return at(route.reserved2);
    }
  }
  return {};
}

Result<void> SnapshotCheck::check_owned_prefixes() const {
  std::vector<const snapshot::OwnedPrefix*> sorted;
  for (const auto& owned : view_.owned_prefixes()) {
    if (!is_network(owned.prefix)) return at(owned.prefix);
    if (!all_zero(owned.reserved)) return at(owned.reserved);
    if (owned.share >= view_.ports().size() || view_.ports()[owned.share].kind != PortKind::kShare)
      return at(owned.share);
    if (view_.ports()[owned.share].uplink != owned.uplink) return at(owned.uplink);
    sorted.push_back(&owned);
  }
  // Nesting is the only way prefixes overlap, and after this order whatever is nested follows the prefix around it.
  const auto key = [](const snapshot::OwnedPrefix* o) {
    return std::tuple(o->uplink, o->prefix.address.family, o->prefix.address, o->prefix.length);
  };
  std::sort(sorted.begin(), sorted.end(), [&](const auto* a, const auto* b) { return key(a) < key(b); });
  const snapshot::OwnedPrefix* around = nullptr;
  for (const auto* owned : sorted) {
    if (around != nullptr && around->uplink == owned->uplink && around->prefix.contains(owned->prefix.address)) {
      if (around->share != owned->share) return at(owned->prefix);
    } else {
      around = owned;
    }
  }
  return {};
}

Result<void> SnapshotCheck::check_address_ranges() {
  const auto ranges = view_.address_ranges();
  breaks_.assign(ranges.size() + 1, 0);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const auto& range = ranges[i];
    if (!is_valid(range.low)) return at(range.low);
    if (!is_valid(range.high) || range.high.family != range.low.family || range.high < range.low) return at(range.high);
    if (!all_zero(range.reserved)) return at(range.reserved);
    if (i + 1 == ranges.size()) break;
    const auto& next = ranges[i + 1];
    const bool in_order =
        range.high.family == next.low.family ? range.high < next.low : range.high.family < next.low.family;
    breaks_[i + 1] = breaks_[i] + (in_order ? 0U : 1U);
  }
  return {};
}

bool SnapshotCheck::is_sorted_run(Range range) const {
  return range.count < 2 || breaks_[range.first + range.count - 1] == breaks_[range.first];
}

Result<void> SnapshotCheck::check_services() const {
  for (const auto& service : view_.services()) {
    if (!is_text(service.name)) return at(service.name);
    if (service.source_low > service.source_high) return at(service.source_low);
    if (service.destination_low > service.destination_high) return at(service.destination_low);
    if (!is_flag(service.any_protocol)) return at(service.any_protocol);
    if (service.icmp_type_low > service.icmp_type_high) return at(service.icmp_type_low);
    if (service.icmp_code_low > service.icmp_code_high) return at(service.icmp_code_low);
  }
  return {};
}

Result<void> SnapshotCheck::check_rules() const {
  for (const auto& tenant : view_.tenants()) {
    SEKISHO_CHECK_OK(check_final_default(tenant));
    for (const auto& rule : slice(view_.rules(), tenant.rules)) SEKISHO_CHECK_OK(check_rule(tenant, rule));
  }
  return {};
}

Result<void> SnapshotCheck::check_rule(const snapshot::Tenant& tenant, const snapshot::Rule& rule) const {
  const bool is_last = &rule == &view_.rules()[tenant.rules.first + tenant.rules.count - 1];
  if (rule.id == 0 || rule.id > limits::kRuleIdMax) return at(rule.id);
  if (is_last ? rule.policy != kNone : !contains(tenant.policies, rule.policy)) return at(rule.policy);
  if (!is_text(rule.name)) return at(rule.name);
  if (rule.source_zones == 0) return at(rule.source_zones);
  if (rule.destination_zones == 0) return at(rule.destination_zones);
  if (!is_flag(rule.any_source) || (rule.any_source == 1) != (rule.sources.count == 0)) return at(rule.any_source);
  if (!is_flag(rule.any_destination) || (rule.any_destination == 1) != (rule.destinations.count == 0)) {
    return at(rule.any_destination);
  }
  if (!is_flag(rule.any_service) || (rule.any_service == 1) != (rule.services.count == 0)) return at(rule.any_service);
  if (!fits(rule.sources, view_.address_ranges()) || !is_sorted_run(rule.sources)) return at(rule.sources);
  if (!fits(rule.destinations, view_.address_ranges()) || !is_sorted_run(rule.destinations))
    return at(rule.destinations);
  if (!fits(rule.services, view_.services())) return at(rule.services);
  if (!is_flag(rule.is_default) || (rule.is_default == 1) != (rule.number == 0)) return at(rule.is_default);
  if (rule.action < snapshot::Action::kAllow || rule.action > snapshot::Action::kReject) return at(rule.action);
  if (rule.is_default == 1 && rule.action == snapshot::Action::kAllow) return at(rule.action);
  constexpr unsigned kLogs =
      snapshot::kLogStart | snapshot::kLogEnd | snapshot::kLogDropEach | snapshot::kLogDropFolded;
  if ((rule.log & ~kLogs) != 0) return at(rule.log);
  if (!is_flag(rule.keep_on_change)) return at(rule.keep_on_change);
  if (rule.standing > snapshot::Standing::kExpired) return at(rule.standing);
  if (!is_flag(rule.timed) || (rule.timed == 0 && rule.standing != snapshot::Standing::kStands)) return at(rule.timed);
  if (rule.is_default == 1 && rule.timed == 1) return at(rule.timed);
  if (rule.is_default == 1 && rule.user_groups != 0) return at(rule.user_groups);
  if (!is_flag(rule.guard) || (rule.guard == 1 && rule.action == snapshot::Action::kAllow)) return at(rule.guard);
  if (!is_flag(rule.ending) || (rule.ending == 1 && rule.timed == 0)) return at(rule.ending);
  if (!all_zero(rule.reserved)) return at(rule.reserved);
  return {};
}

Result<void> SnapshotCheck::check_final_default(const snapshot::Tenant& tenant) const {
  const auto& rule = view_.rules()[tenant.rules.first + tenant.rules.count - 1];
  const std::uint64_t every_zone =
      tenant.zones.count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << tenant.zones.count) - 1;
  if (rule.is_default != 1) return at(rule.is_default);
  if (rule.action != snapshot::Action::kDrop) return at(rule.action);
  if ((rule.source_zones & every_zone) != every_zone) return at(rule.source_zones);
  if ((rule.destination_zones & every_zone) != every_zone) return at(rule.destination_zones);
  if (rule.any_source != 1) return at(rule.any_source);
  if (rule.any_destination != 1) return at(rule.any_destination);
  if (rule.any_service != 1) return at(rule.any_service);
  return {};
}

Result<void> SnapshotCheck::check_limits() const {
  std::size_t next = 0;
  for (const auto& limit : view_.state_limits()) {
    if (limit.tenant < next || limit.tenant >= view_.tenants().size()) return at(limit.tenant);
    next = std::size_t{limit.tenant} + 1;
    if (limit.syn_protection > snapshot::SynProtection::kDrop) return at(limit.syn_protection);
    if (!all_zero(limit.reserved)) return at(limit.reserved);
  }
  next = 0;
  for (const auto& limit : view_.rule_limits()) {
    if (limit.rule < next || limit.rule >= view_.rules().size()) return at(limit.rule);
    next = std::size_t{limit.rule} + 1;
  }
  next = 0;
  for (const auto& timeouts : view_.service_timeouts()) {
    if (timeouts.service < next || timeouts.service >= view_.services().size()) return at(timeouts.service);
    next = std::size_t{timeouts.service} + 1;
    if (timeouts.seconds > snapshot::kTimeoutMax) return at(timeouts.seconds);
    if (timeouts.first > snapshot::kTimeoutMax) return at(timeouts.first);
  }
  return {};
}

Result<void> SnapshotCheck::check_rule_ids() const {
  std::vector<const std::uint32_t*> sorted;
  for (const auto& rule : view_.rules()) sorted.push_back(&rule.id);
  for (const auto& rule : view_.nat_rules()) sorted.push_back(&rule.id);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return std::tie(*a, a) < std::tie(*b, b); });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (*sorted[i] == *sorted[i - 1]) return at(*sorted[i]);
  }
  return {};
}

Result<void> SnapshotCheck::check_nat_rules() const {
  for (const auto& rule : view_.nat_rules()) {
    SEKISHO_CHECK_OK(check_nat_match(rule));
    SEKISHO_CHECK_OK(check_nat_target(rule));
  }
  return {};
}

/// Whose addresses they are, was proved with the ports and owned prefixes.
Result<void> SnapshotCheck::check_gateways() const {
  std::vector<std::size_t> of_tenant(view_.tenants().size(), 0);
  const auto ports = view_.ports();
  const snapshot::Gateway* before = nullptr;
  std::unordered_set<std::uint32_t> services;
  for (const auto& gateway : view_.gateways()) {
    if (!is_valid(gateway.address)) return at(gateway.address);
    if (!all_zero(gateway.reserved)) return at(gateway.reserved);
    if (gateway.tenant >= view_.tenants().size()) return at(gateway.tenant);
    if (++of_tenant[gateway.tenant] > limits::kGatewayAddressesPerTenantMax) return at(gateway.tenant, ErrorCode::kLimit);
    if (gateway.port >= ports.size() || ports[gateway.port].tenant != gateway.tenant) return at(gateway.port);
    if (gateway.tunnel_port >= ports.size() || ports[gateway.tunnel_port].tenant != gateway.tenant) return at(gateway.tunnel_port);
    if (ports[gateway.tunnel_port].kind != PortKind::kTunnel) return at(gateway.tunnel_port);
    if (gateway.serves > (snapshot::kServesSstp | snapshot::kServesPptp)) return at(gateway.serves);
    if (gateway.service > kServiceIdMax || (gateway.service != 0) != (gateway.serves != 0)) return at(gateway.service);
    if (gateway.service != 0 && !services.insert(gateway.service).second) return at(gateway.service);
    const auto own = slice(view_.port_addresses(), ports[gateway.port].addresses);
    const auto is_own = [&](const Prefix& prefix) { return prefix.address == gateway.address; };
    const auto owns = [&](const snapshot::OwnedPrefix& owned) {
      return owned.share == gateway.port && owned.prefix.contains(gateway.address);
    };
    const bool shared = ports[gateway.port].kind == PortKind::kShare;
    const auto owned = view_.owned_prefixes();
    const bool known = shared ? std::any_of(owned.begin(), owned.end(), owns) : std::any_of(own.begin(), own.end(), is_own);
    if (!known) return at(gateway.address);
    if (before != nullptr && std::tie(before->port, before->address) >= std::tie(gateway.port, gateway.address)) {
      return at(gateway.address);
    }
    before = &gateway;
  }
  return {};
}

Result<void> SnapshotCheck::check_radius_peers() const {
  std::vector<std::size_t> of_tenant(view_.tenants().size(), 0);
  const snapshot::RadiusPeer* before = nullptr;
  for (const auto& peer : view_.radius_peers()) {
    if (peer.tenant >= view_.tenants().size()) return at(peer.tenant);
    if (++of_tenant[peer.tenant] > limits::kRadiusServersPerTenantMax) return at(peer.tenant, ErrorCode::kLimit);
    if (!is_valid(peer.local)) return at(peer.local);
    if (!is_valid(peer.remote) || peer.remote.family != peer.local.family) return at(peer.remote);
    if (peer.port == 0) return at(peer.port);
    if (peer.accounting_port == 0) return at(peer.accounting_port);
    if (peer.changes > 1) return at(peer.changes);
    if (peer.reserved != 0) return at(peer.reserved);
    const auto ports = view_.ports();
    const bool own = std::any_of(ports.begin(), ports.end(), [&](const snapshot::Port& port) {
      const auto addresses = slice(view_.port_addresses(), port.addresses);
      return port.tenant == peer.tenant && port.kind != PortKind::kShare &&
             std::any_of(addresses.begin(), addresses.end(), [&](const Prefix& prefix) { return prefix.address == peer.local; });
    });
    if (!own) return at(peer.local);
    if (before != nullptr && std::tie(before->tenant, before->local, before->remote) >= std::tie(peer.tenant, peer.local, peer.remote)) {
      return at(peer.remote);
    }
    before = &peer;
  }
  return {};
}

Result<void> SnapshotCheck::check_users() const {
  std::vector<const std::uint32_t*> ids;
  const snapshot::User* before = nullptr;
  for (const auto& user : view_.users()) {
    if (user.id > limits::kUserIdMax) return at(user.id);
    if (user.tenant >= view_.tenants().size()) return at(user.tenant);
    if (before != nullptr && std::tie(before->tenant, before->id) >= std::tie(user.tenant, user.id)) return at(user.id);
    before = &user;
    if (user.id != 0) ids.push_back(&user.id);
  }
  std::sort(ids.begin(), ids.end(), [](const auto* a, const auto* b) { return std::tie(*a, a) < std::tie(*b, b); });
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (*ids[i] == *ids[i - 1]) return at(*ids[i]);
  }
  return {};
}

Result<void> SnapshotCheck::check_nat_match(const snapshot::NatRule& rule) const {
  if (!is_text(rule.name)) return at(rule.name);
  if (rule.kind > snapshot::NatKind::kNoNat) return at(rule.kind);
  if (rule.source_zones == 0) return at(rule.source_zones);
  if (rule.destination_zones == 0) return at(rule.destination_zones);
  if (!is_flag(rule.any_source) || (rule.any_source == 1) != (rule.sources.count == 0)) return at(rule.any_source);
  if (!is_flag(rule.any_destination) || (rule.any_destination == 1) != (rule.destinations.count == 0)) {
    return at(rule.any_destination);
  }
  if (!is_flag(rule.any_service) || (rule.any_service == 1) != (rule.services.count == 0)) return at(rule.any_service);
  for (const Range* run : {&rule.sources, &rule.destinations, &rule.translated}) {
    if (!fits(*run, view_.address_ranges()) || !is_sorted_run(*run)) return at(*run);
  }
  if (!fits(rule.services, view_.services())) return at(rule.services);
  if (rule.id == 0 || rule.id > limits::kRuleIdMax) return at(rule.id);
  if ((rule.log & ~(snapshot::kLogStart | snapshot::kLogEnd)) != 0) return at(rule.log);
  return {};
}

Result<void> SnapshotCheck::check_nat_target(const snapshot::NatRule& rule) const {
  using snapshot::NatKind;
  const auto ranges = view_.address_ranges();
  const auto inside = slice(ranges, rule.sources);
  const auto target = slice(ranges, rule.translated);
  const auto is_v4 = [](const snapshot::AddressRange& range) { return range.low.family == Family::kIpv4; };
  if (rule.kind != NatKind::kNapt && rule.block_ports != 0) return at(rule.block_ports);
  if (rule.kind != NatKind::kDnat && rule.translated_port != 0) return at(rule.translated_port);
  if (rule.kind != NatKind::kNptv6 && rule.prefix_length != 0) return at(rule.prefix_length);
  switch (rule.kind) {
    case NatKind::kNoNat:
      if (!target.empty()) return at(rule.translated);
      return {};
    case NatKind::kDnat:
      if (target.size() != 1 || target[0].low != target[0].high) return at(rule.translated);
      if (rule.any_destination == 1) return at(rule.any_destination);
      return {};
    case NatKind::kSnat:
    case NatKind::kNapt:
      if (target.empty() || !std::all_of(target.begin(), target.end(), is_v4)) return at(rule.translated);
      if (rule.kind == NatKind::kSnat) return {};
      if (rule.block_ports < 2 || rule.block_ports % 2 != 0 || rule.block_ports > 0x10000 - kNatPortFirst) return at(rule.block_ports);
      if (rule.any_source == 1) return at(rule.any_source);
      if (const PortBlocks blocks(inside, target, rule.block_ports); blocks.inside_addresses() > blocks.blocks()) {
        return at(rule.translated, ErrorCode::kLimit);
      }
      return {};
    case NatKind::kStatic:
    case NatKind::kNptv6: break;
  }
  if (inside.size() != 1) return at(rule.sources);
  if (target.size() != 1) return at(rule.translated);
  if (rule.any_service != 1) return at(rule.any_service);
  if (rule.kind == NatKind::kStatic) return range_sizes_equal(inside[0], target[0]) ? Result<void>() : at(rule.translated);
  if (rule.prefix_length > 112) return at(rule.prefix_length);
  for (const auto* side : {&inside[0], &target[0]}) {
    const Prefix prefix{side->low, rule.prefix_length};
    if (side->low.family != Family::kIpv6 || prefix.first() != side->low || prefix.last() != side->high) return at(*side);
  }
  return {};
}

}  // namespace

Result<SnapshotView> SnapshotView::parse(ByteSpan bytes) {
  if (bytes.size() < sizeof(Header)) return malformed_at(bytes.size(), ErrorCode::kTruncated);
  if (bytes.size() > limits::kSnapshotBytesMax) return malformed_at(limits::kSnapshotBytesMax, ErrorCode::kLimit);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(Header) != 0) return malformed_at(0);
  SEKISHO_CHECK_OK(check_layout(bytes));
  const SnapshotView view(bytes);
  SEKISHO_CHECK_OK(SnapshotCheck(view).run());
  return view;
}

const Header& SnapshotView::header() const {
  return *reinterpret_cast<const Header*>(bytes_.data());
}

template <typename T>
std::span<const T> SnapshotView::section(Section section) const {
  const auto& entry = header().sections[static_cast<std::size_t>(section)];
  return {reinterpret_cast<const T*>(bytes_.data() + entry.offset), entry.count};
}

std::span<const char> SnapshotView::strings() const {
  return section<char>(Section::kStrings);
}
std::span<const snapshot::Nic> SnapshotView::nics() const {
  return section<snapshot::Nic>(Section::kNics);
}
std::span<const snapshot::Tenant> SnapshotView::tenants() const {
  return section<snapshot::Tenant>(Section::kTenants);
}
std::span<const snapshot::Zone> SnapshotView::zones() const {
  return section<snapshot::Zone>(Section::kZones);
}
std::span<const snapshot::Port> SnapshotView::ports() const {
  return section<snapshot::Port>(Section::kPorts);
}
std::span<const Prefix> SnapshotView::port_addresses() const {
  return section<Prefix>(Section::kPortAddresses);
}
std::span<const snapshot::Binding> SnapshotView::bindings() const {
  return section<snapshot::Binding>(Section::kBindings);
}
std::span<const snapshot::BindingPair> SnapshotView::binding_pairs() const {
  return section<snapshot::BindingPair>(Section::kBindingPairs);
}
std::span<const Address> SnapshotView::link_locals() const {
  return section<Address>(Section::kLinkLocals);
}
std::span<const snapshot::Route> SnapshotView::routes() const {
  return section<snapshot::Route>(Section::kRoutes);
}
std::span<const snapshot::OwnedPrefix> SnapshotView::owned_prefixes() const {
  return section<snapshot::OwnedPrefix>(Section::kOwnedPrefixes);
}
std::span<const snapshot::Policy> SnapshotView::policies() const {
  return section<snapshot::Policy>(Section::kPolicies);
}
std::span<const snapshot::Rule> SnapshotView::rules() const {
  return section<snapshot::Rule>(Section::kRules);
}
std::span<const snapshot::AddressRange> SnapshotView::address_ranges() const {
  return section<snapshot::AddressRange>(Section::kAddressRanges);
}
std::span<const snapshot::Service> SnapshotView::services() const {
  return section<snapshot::Service>(Section::kServices);
}
std::span<const snapshot::StateLimits> SnapshotView::state_limits() const {
  return section<snapshot::StateLimits>(Section::kStateLimits);
}
std::span<const snapshot::RuleLimits> SnapshotView::rule_limits() const {
  return section<snapshot::RuleLimits>(Section::kRuleLimits);
}
std::span<const snapshot::ServiceTimeouts> SnapshotView::service_timeouts() const {
  return section<snapshot::ServiceTimeouts>(Section::kServiceTimeouts);
}
std::span<const snapshot::NatRule> SnapshotView::nat_rules() const {
  return section<snapshot::NatRule>(Section::kNatRules);
}
std::span<const snapshot::Moment> SnapshotView::moments() const {
  return section<snapshot::Moment>(Section::kMoments);
}
std::span<const snapshot::RadiusPeer> SnapshotView::radius_peers() const {
  return section<snapshot::RadiusPeer>(Section::kRadiusPeers);
}
std::span<const snapshot::Gateway> SnapshotView::gateways() const {
  return section<snapshot::Gateway>(Section::kGateways);
}
std::span<const snapshot::User> SnapshotView::users() const {
  return section<snapshot::User>(Section::kUsers);
}
std::int64_t SnapshotView::moment() const {
  return moments().empty() ? 0 : moments().front().unix_s;
}

std::string_view SnapshotView::string(snapshot::StringRef ref) const {
  return {strings().data() + ref.first, ref.count};
}

}  // namespace sekisho::filters
