// SPDX-License-Identifier: Apache-2.0
#include "tests/support/snapshots.h"

#include <algorithm>
#include <string>

namespace sekisho::tests {

using filters::PolicyQuery;
using filters::slice;
using filters::SnapshotBuilder;
using filters::SnapshotView;
using filters::snapshot::Action;
using filters::snapshot::AddressRange;
using filters::snapshot::kNone;
using filters::snapshot::PortKind;
using filters::snapshot::Range;
using filters::snapshot::Rule;
using filters::snapshot::Service;

Address address(std::string_view text) {
  return parse_address(text).value();
}
Prefix prefix(std::string_view text) {
  return parse_prefix(text).value();
}

namespace {

std::uint32_t below(Random& random, std::uint64_t limit) {
  return static_cast<std::uint32_t>(random() % limit);
}
bool one_in(Random& random, std::uint32_t n) {
  return below(random, n) == 0;
}
std::uint16_t word(std::uint64_t value) {
  return static_cast<std::uint16_t>(value);
}

template <typename T>
std::uint32_t size_of(const std::vector<T>& v) {
  return static_cast<std::uint32_t>(v.size());
}

Address add(Address address, int step) {
  const unsigned bytes = address.bits() / 8;
  for (unsigned i = bytes; i-- > 0;) {
    address.bytes[i] = static_cast<std::uint8_t>(address.bytes[i] + step);
    const bool carried = step > 0 ? address.bytes[i] == 0 : address.bytes[i] == 0xff;
    if (!carried) break;
  }
  return address;
}

}  // namespace

Address next(Address address) {
  return add(address, 1);
}
Address previous(Address address) {
  return add(address, -1);
}

AddressRange range_of(const Prefix& prefix) {
  return {prefix.first(), prefix.last(), {}};
}

std::vector<AddressRange> normalised(std::vector<AddressRange> ranges) {
  const auto key = [](const AddressRange& r) { return std::pair(r.low.family, r.low); };
  std::sort(ranges.begin(), ranges.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  std::vector<AddressRange> out;
  for (const auto& range : ranges) {
    if (!out.empty() && out.back().low.family == range.low.family && range.low <= out.back().high) {
      out.back().high = std::max(out.back().high, range.high);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

std::vector<AddressRange> complement(const std::vector<AddressRange>& ranges) {
  std::vector<AddressRange> out;
  for (const auto& all : {range_of(prefix("0.0.0.0/0")), range_of(prefix("::/0"))}) {
    Address from = all.low;
    bool open = true;
    for (const auto& range : ranges) {
      if (range.low.family != all.low.family) continue;
      if (from < range.low) out.push_back({from, previous(range.low), {}});
      open = range.high != all.high;
      from = next(range.high);
    }
    if (open) out.push_back({from, all.high, {}});
  }
  return out;
}

// ---- Building
// ------------------------------------------------------------------------------------------------------

Rule any_rule(std::uint32_t id) {
  Rule rule{};
  rule.id = id;
  rule.source_zones = rule.destination_zones = ~std::uint64_t{0};
  rule.action = Action::kAllow;
  rule.any_source = rule.any_destination = rule.any_service = 1;
  return rule;
}

Service any_service() {
  Service service{};
  service.source_high = service.destination_high = 0xffff;
  service.icmp_type_high = service.icmp_code_high = 0xff;
  return service;
}

void add_tenant(SnapshotBuilder& b, std::uint32_t id, std::uint32_t zones) {
  const auto index = size_of(b.tenants);
  filters::snapshot::Tenant tenant{};
  tenant.id = id;
  tenant.sessions_max = 100'000;
  tenant.service_code = b.string("tst" + std::to_string(10'000'000 + id));
  tenant.name = b.string("tenant " + std::to_string(id));
  tenant.zones = {size_of(b.zones), zones};
  for (std::uint32_t i = 0; i < zones; ++i) b.zones.push_back({b.string("zone-" + std::to_string(i))});
  tenant.policies = {size_of(b.policies), 1};
  b.policies.push_back({b.string("policy"), index, 0});
  tenant.routes = {size_of(b.routes), 0};
  tenant.rules = {size_of(b.rules), 1};
  Rule rule = any_rule(1'000'000 + id);
  rule.policy = kNone;
  rule.name = b.string("既定拒否");
  rule.action = Action::kDrop;
  rule.is_default = 1;
  b.rules.push_back(rule);
  b.tenants.push_back(tenant);
}

void add_rule(SnapshotBuilder& b, Rule rule) {
  auto& tenant = b.tenants.back();
  rule.policy = tenant.policies.first;
  if (rule.is_default == 0) rule.number = word(tenant.rules.count);
  if (rule.name.count == 0) rule.name = b.string("rule " + std::to_string(tenant.rules.count));
  b.rules.insert(b.rules.end() - 1, rule);
  ++tenant.rules.count;
}

Range add_ranges(SnapshotBuilder& b, const std::vector<AddressRange>& ranges) {
  const Range out{size_of(b.address_ranges), size_of(ranges)};
  b.address_ranges.insert(b.address_ranges.end(), ranges.begin(), ranges.end());
  return out;
}

Range add_services(SnapshotBuilder& b, const std::vector<Service>& services) {
  const Range out{size_of(b.services), size_of(services)};
  b.services.insert(b.services.end(), services.begin(), services.end());
  return out;
}

// ---- One of everything
// ---------------------------------------------------------------------------------------------

namespace {

filters::snapshot::Port port(SnapshotBuilder& b, std::uint32_t id, PortKind kind, std::uint32_t tenant) {
  filters::snapshot::Port out{};
  out.id = id;
  out.tenant = tenant;
  out.nic = kind == PortKind::kShare ? kNone : 0;
  out.uplink = kind == PortKind::kShare ? 0 : kNone;
  out.binding = kNone;
  out.mtu = 1500;
  out.name = b.string("port " + std::to_string(id));
  out.addresses = {size_of(b.port_addresses), 0};
  out.kind = kind;
  return out;
}

void add_ports(SnapshotBuilder& b) {
  auto uplink = port(b, 1, PortKind::kUplink, kNone);
  b.port_addresses.push_back(prefix("192.0.2.1/24"));
  b.port_addresses.push_back(prefix("2001:db8:0:1::1/64"));
  uplink.addresses.count = 2;
  uplink.nic = 1;
  auto segment = port(b, 2, PortKind::kSegment, 0);
  b.port_addresses.push_back(prefix("10.0.0.1/24"));
  segment.addresses.count = 1;
  segment.outer_vlan = 100;
  segment.binding = 0;
  auto routed = port(b, 3, PortKind::kRouted, 1);
  b.port_addresses.push_back(prefix("10.0.0.1/24"));
  routed.addresses.count = 1;
  routed.outer_vlan = 100;
  routed.inner_vlan = 7;
  routed.outer_is_svlan = 1;
  auto first_share = port(b, 4, PortKind::kShare, 0);
  auto second_share = port(b, 5, PortKind::kShare, 1);
  first_share.zone = second_share.zone = 1;
  b.ports = {uplink, segment, routed, first_share, second_share};
  b.owned_prefixes.push_back({prefix("203.0.113.16/28"), {}, 0, 3});
  b.owned_prefixes.push_back({prefix("203.0.113.32/28"), {}, 0, 4});
  b.owned_prefixes.push_back({prefix("2001:db8:a::/48"), {}, 0, 3});
}

void add_binding(SnapshotBuilder& b) {
  filters::snapshot::Binding binding{};
  binding.id = 1;
  binding.port = 1;
  binding.name = b.string("web1-eth0");
  const Mac mac = parse_mac("52:54:00:00:01:11").value();
  b.binding_pairs = {{mac, prefix("10.0.0.2/32")}, {mac, prefix("fd00:0:0:1::2/128")}, {Mac{}, prefix("10.9.0.0/16")}};
  binding.pairs = {0, 2};
  binding.routed = {2, 1};
  b.link_locals.push_back(eui64_link_local(mac));
  binding.link_locals = {0, 1};
  for (auto& meter : binding.meters) meter = {30, 60};
  binding.ethertypes[0] = 0x88cc;
  binding.vrids[0] = 10;
  binding.lla_policy = filters::snapshot::LlaPolicy::kPin;
  binding.lla_pins = 2;
  binding.roles = filters::snapshot::kRoleForwarding;
  binding.active = 1;
  b.bindings.push_back(binding);
}

void add_web_rules(SnapshotBuilder& b, std::uint32_t id) {
  Rule web = any_rule(id);
  web.source_zones = 1;
  web.sources =
      add_ranges(b, {range_of(prefix("10.0.0.0/26")), range_of(prefix("10.0.0.77/32")), range_of(prefix("fd00::/64"))});
  web.any_source = 0;
  web.destinations = add_ranges(b, {range_of(prefix("203.0.113.0/24"))});
  web.any_destination = 0;
  Service http = any_service();
  http.name = b.string("http");
  http.protocol = 6;
  http.destination_low = http.destination_high = 80;
  Service ping = any_service();
  ping.name = b.string("ping");
  ping.protocol = 1;
  ping.icmp_type_low = ping.icmp_type_high = 8;
  web.services = add_services(b, {http, ping});
  web.any_service = 0;
  web.log = filters::snapshot::kLogEnd;
  add_rule(b, web);
}

void add_routes(SnapshotBuilder& b, std::uint32_t share, std::uint32_t attachment) {
  auto& tenant = b.tenants.back();
  b.routes.push_back({prefix("0.0.0.0/0"), 1, 0, share, address("192.0.2.2"), {}});
  b.routes.push_back({prefix("::/0"), 1, 0, share, address("2001:db8:0:1::2"), {}});
  b.routes.push_back({prefix("10.0.0.0/24"), 0, 0, attachment, Address{}, {}});
  tenant.routes.count += 3;
}

}  // namespace

SnapshotBuilder one_of_everything() {
  SnapshotBuilder b;
  b.nics.push_back({b.string("nic-a"), b.string("net_ring0"), 1500, 0});
  b.nics.push_back({b.string("nic-out"), b.string("net_ring1"), 9000, 0});
  add_tenant(b, 7, 2);
  add_routes(b, 3, 1);
  add_web_rules(b, 1);
  add_tenant(b, 9, 2);
  add_routes(b, 4, 2);
  add_web_rules(b, 2);
  add_ports(b);
  add_binding(b);
  return b;
}

// ---- Random policies
// -----------------------------------------------------------------------------------------------

namespace {

Address random_host(const PolicyShape& shape, Random& random) {
  const std::uint32_t net = below(random, 4);
  const std::uint32_t host = below(random, shape.hosts);
  if (one_in(random, 2)) return Address::from_v4((10U << 24) | (net << 16) | (host % 5 << 8) | host);
  Address out = address("fd00::");
  out.bytes[7] = static_cast<std::uint8_t>(net);
  out.bytes[11] = static_cast<std::uint8_t>(host % 3 == 0 ? host : 0);
  out.bytes[14] = static_cast<std::uint8_t>(host >> 8);
  out.bytes[15] = static_cast<std::uint8_t>(host);
  return out;
}

/// As people write them: hosts, server subnets, office networks and sites of a private network with some hundred
/// subnets.
AddressRange realistic_range(const PolicyShape& shape, Random& random) {
  const std::uint32_t net = below(random, 256);
  const std::uint32_t host = below(random, shape.hosts);
  const std::uint32_t kind = below(random, 10);
  if (one_in(random, 2)) {
    const auto at = Address::from_v4((10U << 24) | (net % 8 << 16) | (net << 8) | host);
    return range_of({at, static_cast<std::uint8_t>(kind < 5 ? 32 : kind < 7 ? 28 : kind < 9 ? 24 : 16)});
  }
  Address at = address("fd00:0:1::");
  at.bytes[6] = static_cast<std::uint8_t>(net % 8);
  at.bytes[7] = static_cast<std::uint8_t>(net);
  at.bytes[15] = static_cast<std::uint8_t>(host);
  return range_of({at, static_cast<std::uint8_t>(kind < 5 ? 128 : kind < 7 ? 124 : kind < 9 ? 64 : 56)});
}

AddressRange random_range(const PolicyShape& shape, Random& random) {
  if (shape.realistic) return realistic_range(shape, random);
  const Address one = random_host(shape, random);
  const std::uint32_t kind = below(random, 4);
  if (kind == 0) return {one, one, {}};
  if (kind <= 2) {
    constexpr std::array<std::uint8_t, 6> kLengths4{8, 16, 20, 24, 28, 31};
    constexpr std::array<std::uint8_t, 6> kLengths6{33, 56, 64, 96, 112, 127};
    const auto length = one.family == Family::kIpv4 ? kLengths4[2 + below(random, 4)] : kLengths6[below(random, 6)];
    return range_of({one, length});
  }
  Address other = random_host(shape, random);
  while (other.family != one.family) other = random_host(shape, random);
  return {std::min(one, other), std::max(one, other), {}};
}

std::vector<AddressRange> random_ranges(const PolicyShape& shape, Random& random) {
  std::vector<AddressRange> out;
  const std::uint32_t count = 1 + below(random, shape.entries_max);
  for (std::uint32_t i = 0; i < count; ++i) out.push_back(random_range(shape, random));
  out = normalised(std::move(out));
  return !shape.realistic && one_in(random, 5) ? complement(out) : out;
}

void set_interval(std::uint16_t& low, std::uint16_t& high, Random& random) {
  const std::uint16_t a = word(below(random, 2000));
  const std::uint16_t b = one_in(random, 2) ? a : word(below(random, 65536));
  low = std::min(a, b);
  high = std::max(a, b);
}

Service random_service(SnapshotBuilder& b, const PolicyShape& shape, Random& random) {
  Service out = any_service();
  out.name = b.string("service " + std::to_string(below(random, 20)));
  const std::uint32_t kind = below(random, shape.realistic ? 4 : 10);
  if (kind < 6) {
    out.protocol = kind % 2 == 0 ? 6 : 17;
    if (shape.realistic) {
      out.destination_low = out.destination_high = word(1 + below(random, 2000));
      return out;
    }
    set_interval(out.destination_low, out.destination_high, random);
    if (one_in(random, 3)) set_interval(out.source_low, out.source_high, random);
  } else if (kind < 8) {
    out.protocol = kind == 6 ? 1 : 58;
    if (one_in(random, 3)) return out;
    out.icmp_type_low = static_cast<std::uint8_t>(below(random, 16));
    out.icmp_type_high = static_cast<std::uint8_t>(out.icmp_type_low + below(random, 3));
    if (one_in(random, 2)) out.icmp_code_high = static_cast<std::uint8_t>(below(random, 4));
  } else if (kind == 8) {
    out.protocol = 47;
  } else {
    out.any_protocol = one_in(random, 3) ? 1 : 0;
    out.protocol = out.any_protocol == 1 ? 0 : 132;
  }
  return out;
}

Rule random_rule(SnapshotBuilder& b, std::uint32_t id, const PolicyShape& shape, Random& random) {
  Rule rule = any_rule(id);
  const std::uint64_t own_zones = (std::uint64_t{1} << b.tenants.back().zones.count) - 1;
  if (shape.realistic) {
    rule.source_zones = std::uint64_t{1} << below(random, b.tenants.back().zones.count);
    rule.destination_zones = std::uint64_t{1} << below(random, b.tenants.back().zones.count);
  } else {
    if (!one_in(random, 3)) rule.source_zones = std::max<std::uint64_t>(1, random() & own_zones);
    if (!one_in(random, 3)) rule.destination_zones = std::max<std::uint64_t>(1, random() & own_zones);
  }
  const std::uint32_t any_one_in = shape.realistic ? 6 : 4;
  if (!one_in(random, any_one_in)) {
    rule.sources = add_ranges(b, random_ranges(shape, random));
    rule.any_source = 0;
  }
  if (!one_in(random, any_one_in)) {
    auto ranges = random_ranges(shape, random);
    // A pair of families that can never meet is not what people write.
    while (shape.realistic && rule.any_source == 0 &&
           ranges.front().low.family != b.address_ranges[rule.sources.first].low.family) {
      ranges = random_ranges(shape, random);
    }
    rule.destinations = add_ranges(b, ranges);
    rule.any_destination = 0;
  }
  if (!one_in(random, any_one_in)) {
    std::vector<Service> services;
    const std::uint32_t count = 1 + below(random, shape.realistic ? 1 : shape.entries_max);
    for (std::uint32_t i = 0; i < count; ++i) services.push_back(random_service(b, shape, random));
    rule.services = add_services(b, services);
    rule.any_service = 0;
  }
  rule.action = static_cast<Action>(1 + below(random, 3));
  if (!shape.realistic && one_in(random, 4)) rule.user_groups = random() & random() & random();
  return rule;
}

}  // namespace

SnapshotBuilder random_policy(const PolicyShape& shape) {
  Random random(shape.seed);
  SnapshotBuilder b;
  std::uint32_t id = 0;
  for (std::uint32_t t = 0; t < shape.tenants; ++t) {
    add_tenant(b, t * 3 + 1, 1 + below(random, shape.zones_max));
    for (std::uint32_t i = 0; i < shape.rules; ++i) {
      Rule rule = random_rule(b, ++id, shape, random);
      if (rule.any_source + rule.any_destination + rule.any_service == 3 && (shape.realistic || !one_in(random, 8))) {
        rule.destinations = add_ranges(b, random_ranges(shape, random));
        rule.any_destination = 0;
      }
      // A policy in the middle ends in its own pinned default, which covers that policy's zones only.
      if (!shape.realistic && i == shape.rules * 9 / 10) {
        rule = any_rule(id);
        rule.source_zones = 1;
        rule.action = Action::kDrop;
        rule.is_default = 1;
      }
      add_rule(b, rule);
    }
  }
  return b;
}

namespace {

/// An address on or one beside a limit of `ranges`, or inside, of the family asked for where there is one.
Address near(std::span<const AddressRange> ranges, Family family, Random& random) {
  std::vector<AddressRange> own;
  for (const auto& range : ranges) {
    if (range.low.family == family) own.push_back(range);
  }
  if (own.empty()) {
    Address out{.bytes = {}, .family = family};
    for (auto& byte : std::span(out.bytes).first(out.bits() / 8)) byte = static_cast<std::uint8_t>(random());
    return out;
  }
  const auto& range = own[below(random, own.size())];
  switch (below(random, 6)) {
    case 0:
      return range.low;
    case 1:
      return range.high;
    case 2:
      return previous(range.low);
    case 3:
      return next(range.high);
    case 4:
      return next(range.low);
    default: {
      Address out = range.low;  // anywhere: the tail random, which mostly stays inside
      const unsigned last = out.bits() / 8 - 1;
      out.bytes[last] = static_cast<std::uint8_t>(random());
      return out;
    }
  }
}

std::uint32_t near(std::uint32_t low, std::uint32_t high, std::uint32_t most, Random& random) {
  switch (below(random, 5)) {
    case 0:
      return low;
    case 1:
      return high;
    case 2:
      return low == 0 ? most : low - 1;
    case 3:
      return high == most ? 0 : high + 1;
    default:
      return low + below(random, std::uint64_t{high} - low + 1);
  }
}

std::uint8_t near_zone(std::uint64_t zones, std::uint32_t count, Random& random) {
  const auto zone = below(random, count);
  // Mostly one of the rule's own.
  for (std::uint32_t i = 0; i < count && !one_in(random, 8); ++i) {
    if (((zones >> ((zone + i) % count)) & 1U) != 0) return static_cast<std::uint8_t>((zone + i) % count);
  }
  return static_cast<std::uint8_t>(zone);
}

}  // namespace

PolicyQuery random_query(const SnapshotView& view, Random& random) {
  PolicyQuery query{};
  query.tenant_index = below(random, view.tenants().size());
  const auto& tenant = view.tenants()[query.tenant_index];
  const auto& rule = view.rules()[tenant.rules.first + below(random, tenant.rules.count)];
  query.source_zone = near_zone(rule.source_zones, tenant.zones.count, random);
  query.destination_zone = near_zone(rule.destination_zones, tenant.zones.count, random);
  const Family family = one_in(random, 2) ? Family::kIpv4 : Family::kIpv6;
  query.source = near(slice(view.address_ranges(), rule.sources), family, random);
  query.destination = near(slice(view.address_ranges(), rule.destinations), family, random);
  Service service = any_service();
  service.protocol = static_cast<std::uint8_t>(one_in(random, 2) ? 6 : 17);
  if (rule.services.count != 0) service = view.services()[rule.services.first + below(random, rule.services.count)];
  query.protocol = one_in(random, 16) ? static_cast<std::uint8_t>(random()) : service.protocol;
  query.source_port = word(near(service.source_low, service.source_high, 0xffff, random));
  query.destination_port = word(near(service.destination_low, service.destination_high, 0xffff, random));
  query.icmp_type = static_cast<std::uint8_t>(near(service.icmp_type_low, service.icmp_type_high, 0xff, random));
  query.icmp_code = static_cast<std::uint8_t>(near(service.icmp_code_low, service.icmp_code_high, 0xff, random));
  const std::uint64_t lowest = rule.user_groups & (~rule.user_groups + 1);
  const std::array<std::uint64_t, 5> groups{0, rule.user_groups, lowest, ~rule.user_groups, std::uint64_t{1} << below(random, 64)};
  query.user_groups = groups[below(random, groups.size())];
  return query;
}

}  // namespace sekisho::tests
