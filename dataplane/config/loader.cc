// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/loader.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_set>

#include "base/describe.h"
#include "base/net/endian.h"
#include "filters/packet/decode.h"

namespace sekisho::dataplane {
namespace {

bool fail(LoadError& error, std::string reason) {
  error.reason = std::move(reason);
  return false;
}

/// Collects the routes of one tenant: prefix -> target.
class RouteList {
 public:
  void add(const Prefix& prefix, const RouteTarget& target) {
    entries_.push_back({prefix, static_cast<std::uint32_t>(targets_.size())});
    targets_.push_back(target);
    targets_.back().length = prefix.length;
  }
  void finish(TenantEntry& tenant) {
    tenant.routes = PrefixTable(entries_);
    tenant.targets = std::move(targets_);
  }

 private:
  std::vector<PrefixTable::Entry> entries_;
  std::vector<RouteTarget> targets_;
};

/// A neighbour whose MAC a Binding gives.
RouteTarget static_target(Runtime& runtime, std::uint32_t port, const Mac& mac, std::uint32_t binding) {
  const bool watched = runtime.bindings[binding].rules.hot().watched;
  runtime.static_hops.push_back(raw_mac(mac) | (watched ? kWatchedHop : 0));
  runtime.hop_bindings.push_back(binding);
  return {RouteKind::kStatic, port, static_cast<std::uint32_t>(runtime.static_hops.size() - 1), Address{}};
}

/// Ports of a tenant with a subnet in common are attachments of one segment: gives each the lowest index among them.
void find_homes(Runtime& runtime) {
  std::vector<std::uint32_t> above(runtime.ports.size());
  std::iota(above.begin(), above.end(), 0U);
  const auto top = [&above](std::uint32_t at) {
    while (above[at] != at) at = above[at];
    return at;
  };
  std::map<std::pair<std::uint32_t, Prefix>, std::uint32_t> first;
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    const PortEntry& port = runtime.ports[index];
    if (port.kind != snapshot::PortKind::kSegment) continue;
    for (const Prefix& own : port.addresses) {
      const auto [known, fresh] = first.try_emplace({port.tenant_index, Prefix{own.first(), own.length}}, index);
      if (!fresh) above[std::max(top(index), top(known->second))] = std::min(top(index), top(known->second));
    }
  }
  runtime.link_locals.resize(runtime.ports.size());
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    runtime.ports[index].home = top(index);
    if (runtime.ports[index].kind == snapshot::PortKind::kSegment && top(index) == index) {
      runtime.link_locals[index] = std::make_unique<filters::SegmentLinkLocals>();
    }
  }
}

/// How VirtualAddress::holder names a host: by the Binding's id and all of the MAC but its first byte.
std::uint64_t host_name(std::uint32_t binding_id, const Mac& mac) {
  static_assert(limits::kBindingIdMax < 1U << 24);
  return std::uint64_t{binding_id} << 40 | (mac.number() & 0xff'ffff'ffffU);
}

/// Bytes a second; the burst is 50 ms of it, and never less than a few large packets of every worker.
Rate bandwidth_of(const snapshot::Quotas& quotas) {
  constexpr std::uint64_t kLeastBurst = 256U << 10;
  const std::uint64_t bytes = std::uint64_t{quotas.bandwidth_mbit} * 125'000;
  return {bytes, std::max(kLeastBurst, bytes / 20)};
}

/// The bytes of a frame's link header behind the destination MAC.
std::array<std::uint8_t, 16> link_header(const PortEntry& port, std::uint16_t type) {
  std::array<std::uint8_t, 16> out{};
  std::copy(port.mac.bytes.begin(), port.mac.bytes.end(), out.begin());
  std::size_t at = port.mac.bytes.size();
  const auto append = [&](std::uint16_t value) {
    store_be<std::uint16_t>(out, at, value);
    at += 2;
  };
  if (port.outer_vlan != 0) append(port.outer_type), append(port.outer_vlan);
  if (port.inner_vlan != 0) append(filters::kEtherTypeVlan), append(port.inner_vlan);
  append(type);
  return out;
}

/// RFC 2644: nobody sends to, or from, all hosts of a network through us. RFC 3021 has no broadcast in a /31.
void add_broadcasts(RouteList& routes, std::span<const Prefix> own, std::uint32_t port) {
  for (const Prefix& prefix : own) {
    if (prefix.address.family != Family::kIpv4 || prefix.length > 30) continue;
    for (const Address& all : {prefix.first(), prefix.last()}) {
      routes.add({all, 32}, {RouteKind::kBroadcast, port, kNoIndex, Address{}});
    }
  }
}

std::string rule_text(const filters::SnapshotView& view, std::uint32_t index) {
  const snapshot::Rule& rule = view.rules()[index];
  std::string uuid;
  for (std::size_t i = 0; i < rule.uuid.size(); ++i) {
    constexpr char kDigits[] = "0123456789abcdef";
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += kDigits[rule.uuid[i] >> 4];
    uuid += kDigits[rule.uuid[i] & 15U];
  }
  return "rule \"" + std::string(view.string(rule.name)) + "\" (" + uuid + ')';
}

/// The refusal of a classifier that does not say what the rules say: for the operator, and for the report of the defect.
std::string describe_mismatch(const filters::SnapshotView& view, const ClassifierMismatch& mismatch) {
  const filters::PolicyQuery& packet = mismatch.packet;
  const snapshot::Tenant& tenant = view.tenants()[packet.tenant_index];
  const auto zone = [&](std::uint8_t number) {
    return number < tenant.zones.count ? std::string(view.string(view.zones()[tenant.zones.first + number].name)) : std::to_string(number);
  };
  const auto end = [](const Address& address, unsigned port) { return to_string(address) + " port " + std::to_string(port); };
  const bool icmp = filters::is_icmp(packet.protocol);
  return "the compiled policy of tenant \"" + std::string(view.string(tenant.name)) + "\" does not say what its rules say: " +
         "a packet of protocol " + std::to_string(packet.protocol) + " from " + zone(packet.source_zone) + ' ' +
         end(packet.source, icmp ? packet.icmp_type : packet.source_port) + " to " + zone(packet.destination_zone) + ' ' +
         end(packet.destination, icmp ? packet.icmp_code : packet.destination_port) + (icmp ? " (ICMP type and code)" : "") +
         " belongs to " + rule_text(view, mismatch.expected) + ", the classifier answers " + rule_text(view, mismatch.answered);
}

/// The prefixes that make up a range, largest first.
template <typename Take>
void for_each_prefix(const snapshot::AddressRange& range, Take take) {
  Address at = range.low;
  for (;;) {
    Prefix widest{at, static_cast<std::uint8_t>(at.bits())};
    while (widest.length > 0) {
      const Prefix wider{at, static_cast<std::uint8_t>(widest.length - 1)};
      if (wider.first() != at || wider.last() > range.high) break;
      widest = wider;
    }
    take(widest);
    at = widest.last();
    if (at == range.high) return;
    for (std::size_t byte = at.bits() / 8; byte-- > 0 && ++at.bytes[byte] == 0;) {
    }
  }
}

bool on_link(const Runtime& runtime, std::uint32_t wire, const Address& address) {
  const auto& own = runtime.ports[wire].addresses;
  return std::any_of(own.begin(), own.end(), [&](const Prefix& prefix) { return prefix.contains(address); });
}

/// The tenant's port whose address this is, or kNoIndex: the share that owns it, else the link it lies on.
std::uint32_t outside_port(const Runtime& runtime, std::uint32_t tenant, const Address& address) {
  std::uint32_t link = kNoIndex;
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    const PortEntry& port = runtime.ports[index];
    if (port.tenant != tenant) continue;
    if (port.kind == snapshot::PortKind::kShare) {
      if (runtime.owner(port.wire, address) == index) return index;
    } else if (link == kNoIndex && on_link(runtime, index, address)) {
      link = index;
    }
  }
  return link;
}

/// What there is to tell of a rule at this moment.
LogNotice notice_of(const snapshot::Rule& rule) {
  if (rule.standing == snapshot::Standing::kExpired) return kNoticeRuleExpired;
  return rule.ending != 0 ? kNoticeRuleEnding : kNoticeNone;
}

/// Rules that expired, or soon will, since the generation before; after a start all of them.
void gather_notices(Runtime& runtime, const Runtime* previous) {
  for (std::uint32_t t = 0; t < runtime.tenants.size(); ++t) {
    for (const snapshot::Rule& rule : filters::slice(runtime.view.rules(), runtime.view.tenants()[t].rules)) {
      const LogNotice notice = notice_of(rule);
      if (notice == kNoticeNone) continue;
      const std::uint32_t before = previous == nullptr ? kNoIndex : previous->find_rule(rule.id);
      if (before != kNoIndex && notice_of(previous->view.rules()[before]) == notice) continue;
      runtime.notices.push_back({t, rule.id, notice});
    }
  }
}

std::uint8_t has_timed_services(const filters::SnapshotView& view, const snapshot::Rule& rule) {
  const auto timeouts = view.service_timeouts();
  const auto at = std::lower_bound(timeouts.begin(), timeouts.end(), rule.services.first,
                                   [](const auto& entry, std::uint32_t service) { return entry.service < service; });
  return at != timeouts.end() && at->service - rule.services.first < rule.services.count ? 1 : 0;
}

/// The addresses others know a NAT rule's hosts by.
std::span<const snapshot::AddressRange> outside_ranges(const filters::SnapshotView& view, const snapshot::NatRule& rule) {
  return filters::slice(view.address_ranges(), rule.kind == snapshot::NatKind::kDnat ? rule.destinations : rule.translated);
}

}  // namespace

std::unique_ptr<Runtime> Loader::build(std::vector<std::uint8_t> bytes, const Runtime* previous, LoadReport& report,
                                       LoadError& error) {
  Result<filters::SnapshotView> view = filters::SnapshotView::parse(bytes);
  if (!view) {
    error = {describe(view.error()), view.error().detail};
    return nullptr;
  }
  auto runtime = std::make_unique<Runtime>(std::move(bytes), *view);
  runtime->revision = runtime->view.generation();
  constexpr std::uint32_t kMoments = 1U << kMomentBits;
  const bool again = previous != nullptr && previous->revision == runtime->revision;
  runtime->generation = runtime->revision << kMomentBits | (again ? (previous->generation + 1) % kMoments : 0U);
  if (!build_ports(*runtime, error) || !build_bindings(*runtime, error) || !build_segments(*runtime, error)) return nullptr;
  build_virtuals(*runtime, previous);
  if (!build_tenants(*runtime, error) || !build_rules(*runtime, error)) return nullptr;
  auto classifier =
      Classifier::build(runtime->view, previous == nullptr ? nullptr : previous->classifier.get(), report.classifier);
  if (!classifier) {
    error.reason = report.classifier.mismatch ? describe_mismatch(runtime->view, *report.classifier.mismatch)
                                              : "the policy cannot be compiled: " + describe(classifier.error());
    return nullptr;
  }
  runtime->classifier = std::move(classifier).value();
  gather_notices(*runtime, previous);
  return runtime;
}

bool Loader::build_ports(Runtime& runtime, LoadError& error) {
  const auto view = runtime.view;
  runtime.ports.reserve(view.ports().size());
  for (const snapshot::Port& source : view.ports()) {
    const bool share = source.kind == snapshot::PortKind::kShare;
    const std::uint32_t own_index = static_cast<std::uint32_t>(runtime.ports.size());
    const std::uint32_t wire = share ? source.uplink : own_index;
    const snapshot::Port& carrier = view.ports()[wire];
    const bool tunnel = source.kind == snapshot::PortKind::kTunnel;
    static constexpr NicFacts kNone{kNoNic, Mac{}};
    const std::string_view device = tunnel ? std::string_view{} : view.string(view.nics()[carrier.nic].device);
    const NicFacts* nic = tunnel ? &kNone : find_nic_(device);
    if (nic == nullptr) return fail(error, "there is no network device '" + std::string(device) + "'");
    const std::uint32_t slot = slots_.ports.take(source.id);
    if (slot == SlotMap::kNone) return fail(error, "more ports than this data plane was started for");

    if (carrier.mtu > kMtuMax) {
      return fail(error, "an MTU of " + std::to_string(carrier.mtu) + " bytes is more than the packet buffers hold (" +
                             std::to_string(kMtuMax) + ")");
    }
    PortEntry port{};
    port.id = source.id;
    port.tenant = source.tenant == snapshot::kNone ? kNoIndex : view.tenants()[source.tenant].id;
    port.tenant_index = source.tenant;
    port.tenant_slot = slots_.tenants.capacity();  // "no tenant", until build_tenants
    port.slot = slot;
    port.wire = wire;
    port.binding = source.kind == snapshot::PortKind::kSegment ? source.binding : kNoIndex;
    port.segment = kNoIndex;
    port.isolated = source.enforcement == snapshot::Enforcement::kIsolate ? 1 : 0;
    if (source.enforcement != snapshot::Enforcement::kPort) {
      port.segment = static_cast<std::uint32_t>(runtime.segments.size());
      runtime.segments.push_back(std::make_unique<SegmentEntry>());
    }
    port.mtu = carrier.mtu;
    port.nic = nic->number;
    port.outer_vlan = carrier.outer_vlan;
    port.inner_vlan = carrier.inner_vlan;
    port.outer_type = carrier.outer_is_svlan != 0 ? filters::kEtherTypeSvlan : filters::kEtherTypeVlan;
    port.mac = nic->mac;
    port.raw_mac = raw_mac(nic->mac);
    port.kind = source.kind;
    port.zone = source.zone;
    port.source_checks = source.source_checks;
    port.l2_bytes =
        static_cast<std::uint8_t>(14 + (carrier.outer_vlan != 0 ? 4 : 0) + (carrier.inner_vlan != 0 ? 4 : 0));
    port.addresses = filters::slice(view.port_addresses(), carrier.addresses);
    if (!tunnel) port.link_local = eui64_link_local(nic->mac);
    port.link4 = link_header(port, filters::kEtherTypeIpv4);
    port.link6 = link_header(port, filters::kEtherTypeIpv6);
    runtime.ports.push_back(port);
  }
  for (const snapshot::Gateway& gateway : view.gateways()) {
    runtime.ports[gateway.port].has_gateways = 1;
    if (gateway.service != 0) runtime.services.emplace_back(gateway.service, static_cast<std::uint32_t>(&gateway - view.gateways().data()));
  }
  std::sort(runtime.services.begin(), runtime.services.end());
  runtime.wires.build(runtime.ports);
  find_homes(runtime);

  runtime.owners.resize(runtime.ports.size());
  std::vector<std::vector<PrefixTable::Entry>> owned(runtime.ports.size());
  for (const snapshot::OwnedPrefix& prefix : view.owned_prefixes())
    owned[prefix.uplink].push_back({prefix.prefix, prefix.share});
  for (std::size_t i = 0; i < owned.size(); ++i) runtime.owners[i] = PrefixTable(owned[i]);
  return true;
}

bool Loader::build_bindings(Runtime& runtime, LoadError& error) {
  const auto view = runtime.view;
  bound_.assign(runtime.ports.size(), {});
  for (const snapshot::Binding& source : view.bindings()) {
    const std::uint32_t slot = slots_.bindings.take(source.id);
    if (slot == SlotMap::kNone) return fail(error, "more bindings than this data plane was started for");
    const PortEntry& port = runtime.ports[source.port];
    const auto index = static_cast<std::uint32_t>(runtime.bindings.size());
    if (source.active != 0) bound_[source.port].push_back(index);
    runtime.bindings.push_back(
        {filters::BindingRules(
             {.port = view.ports()[source.port],
              .binding = source,
              .pairs = filters::slice(view.binding_pairs(), source.pairs),
              .routed = filters::slice(view.binding_pairs(), source.routed),
              .link_locals = filters::slice(view.link_locals(), source.link_locals),
              .gateway_addresses = port.addresses,
              .forbidden_link_locals = {&port.link_local, 1},
              .segment = runtime.link_locals[port.home].get(),
              .number = index,
              .segment_id = runtime.ports[port.home].id}),
         source.id, slot});
  }
  return true;
}

/// Fills what finds a Binding by MAC. Active Bindings first: they alone own what they share with a suspended one.
bool Loader::build_segments(Runtime& runtime, LoadError& error) {
  const auto view = runtime.view;
  std::vector<std::vector<MacMap::Entry>> entries(runtime.segments.size());
  std::vector<std::unordered_set<std::uint64_t>> known(runtime.segments.size());
  for (const bool active : {true, false}) {
    for (std::uint32_t index = 0; index < view.bindings().size(); ++index) {
      const snapshot::Binding& source = view.bindings()[index];
      const std::uint32_t at = runtime.ports[source.port].segment;
      if (at == kNoIndex || (source.active != 0) != active) continue;
      for (const snapshot::BindingPair& pair : filters::slice(view.binding_pairs(), source.pairs)) {
        if (known[at].insert(pair.mac.number()).second) entries[at].push_back({pair.mac.number(), index});
      }
    }
  }
  for (std::uint32_t index = 0; index < view.bindings().size(); ++index) {
    const snapshot::Binding& source = view.bindings()[index];
    filters::SegmentLinkLocals* link_locals = runtime.link_locals[runtime.ports[source.port].home].get();
    if (source.active == 0 || link_locals == nullptr) continue;
    for (const snapshot::BindingPair& pair : filters::slice(view.binding_pairs(), source.pairs)) {
      link_locals->add(eui64_link_local(pair.mac), index);
    }
    for (const Address& address : filters::slice(view.link_locals(), source.link_locals)) link_locals->add(address, index);
  }
  for (const auto& link_locals : runtime.link_locals) {
    if (link_locals != nullptr) link_locals->finish();
  }
  const snapshot::Binding nobody{};
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    const PortEntry& port = runtime.ports[index];
    if (port.segment == kNoIndex) continue;
    SegmentEntry& segment = *runtime.segments[port.segment];
    std::optional<MacMap> macs = MacMap::build(entries[port.segment]);
    if (!macs) return fail(error, "the MACs bound on one port do not fit its table");
    segment.macs = std::move(*macs);
    segment.strangers = filters::BindingRules({.port = view.ports()[index],
                                               .binding = nobody,
                                               .pairs = {},
                                               .routed = {},
                                               .link_locals = {},
                                               .gateway_addresses = {},
                                               .forbidden_link_locals = {}});
  }
  return true;
}

/// Finds the addresses that several hosts of VRRP groups bind, and who had them in the generation before.
void Loader::build_virtuals(Runtime& runtime, const Runtime* previous) const {
  const auto view = runtime.view;
  std::map<std::pair<std::uint32_t, Address>, std::vector<VirtualAddress::Host>> found;
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    for (const std::uint32_t binding : bound_[index]) {
      if (!runtime.bindings[binding].rules.has_vrids()) continue;
      for (const auto& pair : filters::slice(view.binding_pairs(), view.bindings()[binding].pairs)) {
        if (pair.prefix.length != pair.prefix.address.bits()) continue;
        auto& hosts = found[{runtime.ports[index].tenant_index, pair.prefix.address}];
        const std::uint64_t name = host_name(runtime.bindings[binding].id, pair.mac);
        const bool known = std::any_of(hosts.begin(), hosts.end(), [name](const auto& host) { return host.name == name; });
        const bool elsewhere = !hosts.empty() && runtime.ports[hosts.front().port].zone != runtime.ports[index].zone;
        if (!known && !elsewhere) hosts.push_back({index, binding, static_target(runtime, index, pair.mac, binding).static_hop, name});
      }
    }
  }
  for (auto& [key, hosts] : found) {
    if (hosts.size() < 2) continue;
    runtime.static_hops.push_back(kVirtualHop | kWatchedHop);
    runtime.hop_bindings.push_back(static_cast<std::uint32_t>(runtime.virtuals.size()));
    VirtualAddress moving{key.first, key.second, static_cast<std::uint32_t>(runtime.static_hops.size() - 1), std::move(hosts), nullptr};
    const std::uint32_t tenant = previous == nullptr ? kNoIndex : previous->find_tenant(view.tenants()[moving.tenant].id);
    const VirtualAddress* before = tenant == kNoIndex ? nullptr : previous->find_virtual(tenant, moving.address);
    if (before != nullptr) moving.holder = before->holder;
    if (moving.holder == nullptr) moving.holder = std::make_shared<std::atomic<std::uint64_t>>(0);
    runtime.virtuals.push_back(std::move(moving));
  }
}

/// Where a configured route leads. On a segment only bound addresses are neighbours: nothing is learned there.
RouteTarget Loader::target_of(Runtime& runtime, const snapshot::Route& route) const {
  const snapshot::PortKind kind = runtime.view.ports()[route.port].kind;
  if (kind == snapshot::PortKind::kTunnel) {
    runtime.static_hops.push_back(kTunnelHop | kWatchedHop);
    runtime.hop_bindings.push_back(kNoIndex);
    return {RouteKind::kTunnel, route.port, static_cast<std::uint32_t>(runtime.static_hops.size() - 1), Address{}};
  }
  if (kind != snapshot::PortKind::kSegment) {
    return {route.has_next_hop != 0 ? RouteKind::kResolveVia : RouteKind::kResolve, route.port, kNoIndex,
            route.next_hop};
  }
  const Address& neighbour = route.has_next_hop != 0 ? route.next_hop : route.prefix.address;
  const bool whole = route.has_next_hop != 0 || route.prefix.length == route.prefix.address.bits();
  const VirtualAddress* moving = whole ? runtime.find_virtual(runtime.ports[route.port].tenant_index, neighbour) : nullptr;
  const auto here = [&](const VirtualAddress::Host& host) { return host.port == route.port; };
  if (moving != nullptr && std::any_of(moving->hosts.begin(), moving->hosts.end(), here)) {
    return {RouteKind::kStatic, route.port, moving->hop, Address{}};
  }
  for (const std::uint32_t binding : bound_[route.port]) {
    for (const auto& pair : filters::slice(runtime.view.binding_pairs(), runtime.view.bindings()[binding].pairs)) {
      if (whole && pair.prefix.contains(neighbour)) return static_target(runtime, route.port, pair.mac, binding);
    }
  }
  return {RouteKind::kBlackhole, route.port, kNoIndex, Address{}};
}

void Loader::build_routes(Runtime& runtime, const snapshot::Tenant& source, TenantEntry& tenant) const {
  const auto view = runtime.view;
  RouteList routes;
  // Later ones win: what the tenant owns outside (an address nobody has must not go back where it came from), NAT's
  // outside addresses, what is configured, then broadcasts of networks, then bound addresses, then our own.
  for (const snapshot::OwnedPrefix& owned : view.owned_prefixes()) {
    if (runtime.ports[owned.share].tenant == tenant.id) routes.add(owned.prefix, {RouteKind::kBlackhole, owned.share, kNoIndex, Address{}});
  }
  for (const snapshot::NatRule& rule : filters::slice(view.nat_rules(), source.nat)) {
    for (const snapshot::AddressRange& range : outside_ranges(view, rule)) {
      const std::uint32_t port = outside_port(runtime, tenant.id, range.low);
      if (port == kNoIndex || outside_port(runtime, tenant.id, range.high) != port) continue;
      for_each_prefix(range, [&](const Prefix& prefix) { routes.add(prefix, {RouteKind::kOutside, port, kNoIndex, Address{}}); });
    }
  }
  for (const snapshot::Route& route : filters::slice(view.routes(), source.routes))
    routes.add(route.prefix, target_of(runtime, route));
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    if (runtime.ports[index].tenant == tenant.id) add_broadcasts(routes, runtime.ports[index].addresses, index);
  }
  for (std::uint32_t index = 0; index < runtime.ports.size(); ++index) {
    if (runtime.ports[index].tenant != tenant.id) continue;
    for (const std::uint32_t binding : bound_[index]) {
      const auto pairs = filters::slice(view.binding_pairs(), view.bindings()[binding].pairs);
      for (const snapshot::BindingPair& pair : pairs) {
        if (pair.prefix.address.is_link_local()) continue;
        const bool whole = pair.prefix.length == pair.prefix.address.bits();
        const VirtualAddress* moving = whole ? runtime.find_virtual(runtime.ports[index].tenant_index, pair.prefix.address) : nullptr;
        if (moving == nullptr) {
          routes.add(pair.prefix, static_target(runtime, index, pair.mac, binding));
        } else {
          routes.add(pair.prefix, {RouteKind::kStatic, moving->hosts.front().port, moving->hop, Address{}});
        }
      }
      if (pairs.empty()) continue;
      for (const auto& routed : filters::slice(view.binding_pairs(), view.bindings()[binding].routed)) {
        routes.add(routed.prefix, static_target(runtime, index, pairs.front().mac, binding));
      }
    }
    const snapshot::Port& port = view.ports()[index];
    if (port.kind == snapshot::PortKind::kShare) continue;  // the uplink's addresses are the platform's
    for (const Prefix& own : filters::slice(view.port_addresses(), port.addresses)) {
      const Prefix host{own.address, static_cast<std::uint8_t>(own.address.bits())};
      routes.add(host, {RouteKind::kLocal, index, kNoIndex, Address{}});
    }
  }
  for (const snapshot::Gateway& gateway : view.gateways()) {
    if (runtime.ports[gateway.port].tenant != tenant.id) continue;
    const Prefix host{gateway.address, static_cast<std::uint8_t>(gateway.address.bits())};
    routes.add(host, {RouteKind::kLocal, gateway.port, kNoIndex, Address{}});
  }
  routes.finish(tenant);
}

bool Loader::build_tenants(Runtime& runtime, LoadError& error) {
  const auto view = runtime.view;
  for (const snapshot::Tenant& source : view.tenants()) {
    const std::uint32_t slot = slots_.tenants.take(source.id);
    if (slot == SlotMap::kNone) return fail(error, "more tenants than this data plane was started for");
    TenantEntry tenant{.id = source.id,
                       .slot = slot,
                       .sessions_max = source.sessions_max,
                       .sessions_guaranteed = source.quotas.sessions_guaranteed,
                       .new_sessions = {source.quotas.new_sessions_per_second, source.quotas.new_sessions_per_second},
                       .half_open_max = 0,
                       .loose_pickup = 0,
                       .syn_cookies = true,
                       .bandwidth = bandwidth_of(source.quotas),
                       .log_rate = std::uint64_t{source.quotas.log_per_second} << 32 | source.quotas.log_burst,
                       .fragments_guaranteed = source.quotas.fragments_guaranteed,
                       .fragments_max = source.quotas.fragments_max,
                       .routes = {},
                       .targets = {}};
    build_routes(runtime, source, tenant);
    runtime.tenants.push_back(std::move(tenant));
  }
  for (const snapshot::StateLimits& limits : view.state_limits()) {
    TenantEntry& tenant = runtime.tenants[limits.tenant];
    tenant.half_open_max = limits.half_open_max;
    tenant.loose_pickup = limits.loose_pickup;
    tenant.syn_cookies = limits.syn_protection == snapshot::SynProtection::kCookies;
  }
  for (PortEntry& port : runtime.ports) {
    if (port.tenant_index == kNoIndex) continue;
    port.tenant_slot = runtime.tenants[port.tenant_index].slot;
    port.nat = view.tenants()[port.tenant_index].nat.count != 0 ? 1 : 0;
    port.policed = runtime.tenants[port.tenant_index].bandwidth.per_second != 0;
  }
  build_proxied(runtime);
  return true;
}

/// Outside addresses, and gateways' on a share, that lie on a link itself have nobody else there to answer for them.
void Loader::build_proxied(Runtime& runtime) {
  std::vector<std::vector<PrefixTable::Entry>> proxied(runtime.ports.size());
  for (std::uint32_t t = 0; t < runtime.tenants.size(); ++t) {
    for (const snapshot::NatRule& rule : filters::slice(runtime.view.nat_rules(), runtime.view.tenants()[t].nat)) {
      for (const snapshot::AddressRange& range : outside_ranges(runtime.view, rule)) {
        const std::uint32_t port = outside_port(runtime, runtime.tenants[t].id, range.low);
        if (port == kNoIndex || outside_port(runtime, runtime.tenants[t].id, range.high) != port) continue;
        const std::uint32_t wire = runtime.ports[port].wire;
        for_each_prefix(range, [&](const Prefix& prefix) {
          if (on_link(runtime, wire, prefix.address)) proxied[wire].push_back({prefix, port});
        });
      }
    }
  }
  for (const snapshot::Gateway& gateway : runtime.view.gateways()) {
    const PortEntry& port = runtime.ports[gateway.port];
    const bool lent = port.kind == snapshot::PortKind::kShare && on_link(runtime, port.wire, gateway.address);
    const Prefix host{gateway.address, static_cast<std::uint8_t>(gateway.address.bits())};
    if (lent) proxied[port.wire].push_back({host, gateway.port});
  }
  for (const auto& entries : proxied) runtime.proxied.emplace_back(entries);
}

bool Loader::build_rules(Runtime& runtime, LoadError& error) {
  for (const snapshot::Rule& source : runtime.view.rules()) {
    const std::uint32_t slot = slots_.rules.take(source.id);
    if (slot == SlotMap::kNone) return fail(error, "more rules than this data plane was started for");
    runtime.rules_by_id.emplace_back(source.id, static_cast<std::uint32_t>(runtime.rules.size()));
    runtime.rules.push_back({source.id, slot, source.action, source.log, source.is_default, source.keep_on_change,
                             source.standing, has_timed_services(runtime.view, source), {}});
  }
  std::sort(runtime.rules_by_id.begin(), runtime.rules_by_id.end());
  for (const snapshot::RuleLimits& limits : runtime.view.rule_limits()) runtime.rules[limits.rule].limits = limits;
  for (const snapshot::NatRule& source : runtime.view.nat_rules()) {
    const std::uint32_t slot = slots_.rules.take(source.id);
    if (slot == SlotMap::kNone) return fail(error, "more rules than this data plane was started for");
    runtime.nat_rules.push_back({source.id, slot, source.log});
  }
  return true;
}

}  // namespace sekisho::dataplane
