// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_network.h"

#include <algorithm>
#include <random>

#include "base/assert.h"
#include "filters/policy/snapshot_builder.h"

namespace sekisho::bench {
namespace {

using filters::SnapshotBuilder;
namespace snapshot = filters::snapshot;
using snapshot::Range;

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint64_t kBothZones = 3;

Prefix prefix(std::string_view text) {
  Result<Prefix> parsed = parse_prefix(text);
  SEKISHO_ASSERT(parsed.has_value());
  return *parsed;
}

constexpr std::uint32_t kFillerServices = 64;

/// A random prefix of `length` bits inside `around`.
Prefix prefix_inside(const Prefix& around, std::uint8_t length, std::mt19937& random) {
  Prefix result = around;
  result.length = length;
  for (unsigned bit = around.length; bit < length; ++bit) {
    if ((random() & 1U) != 0) result.address.bytes[bit / 8] |= static_cast<std::uint8_t>(0x80U >> (bit % 8));
  }
  return result;
}

/// An object people give a name and use in many rules: half hosts, a third subnets, the rest sites.
using AddressObject = std::array<Prefix, 2>;

std::vector<AddressObject> address_objects(std::uint32_t count, const Prefix& inside4, const Prefix& inside6,
                                           std::mt19937& random) {
  std::vector<AddressObject> objects;
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool host = i % 6 < 3;
    const bool subnet = i % 6 == 3 || i % 6 == 4;
    const auto length4 = static_cast<std::uint8_t>(host     ? 32
                                                   : subnet ? 24 + random() % 5
                                                            : inside4.length + random() % 8);
    const auto length6 = static_cast<std::uint8_t>(host ? 128 : subnet ? 64 : inside6.length + random() % 8);
    objects.push_back({prefix_inside(inside4, length4, random), prefix_inside(inside6, length6, random)});
  }
  return objects;
}

template <typename T>
std::uint32_t size_of(const std::vector<T>& section) {
  return static_cast<std::uint32_t>(section.size());
}

template <typename T>
Range append(std::vector<T>& section, std::initializer_list<T> elements) {
  const Range range{size_of(section), static_cast<std::uint32_t>(elements.size())};
  section.insert(section.end(), elements);
  return range;
}

snapshot::AddressRange range_of(const Prefix& prefix) {
  return {prefix.first(), prefix.last(), {}};
}

/// Lays out one tenant after the other.
class NetworkWriter {
 public:
  NetworkWriter(const NetworkPlan& plan, std::uint32_t generation) : plan_(plan), odd_(generation % 2 == 1) {}

  std::vector<std::uint8_t> write(std::uint32_t generation) {
    for (const std::string& device : plan_.devices) {
      out_.nics.push_back({.name = out_.string(device), .device = out_.string(device), .mtu = 1500, .reserved = 0});
    }
    for (std::uint32_t tenant = 0; tenant < plan_.tenants; ++tenant) write_tenant(tenant);
    return out_.finish(generation);
  }

 private:
  void write_tenant(std::uint32_t index) {
    snapshot::Tenant tenant{};
    tenant.id = index + 1;
    tenant.sessions_max = plan_.sessions_max;
    const std::string digits = std::to_string(index + 1);
    tenant.service_code = out_.string("bnc" + std::string(8 - digits.size(), '0') + digits);
    tenant.name = tenant.service_code;
    tenant.zones = append(out_.zones, {snapshot::Zone{out_.string("inside")}, snapshot::Zone{out_.string("outside")}});
    const std::uint32_t first_route = size_of(out_.routes);
    write_port(index, 0, {prefix("10.0.0.1/8"), prefix("fd00:a::1/64")},
               {prefix("10.16.0.0/12"), prefix("fd00:a::1:0:0/96")});
    write_port(index, 1, {prefix("172.16.0.1/12"), prefix("fd00:b::1/64")},
               {prefix("172.20.0.0/15"), prefix("fd00:b::1:0:0/96")});
    tenant.routes = {first_route, size_of(out_.routes) - first_route};
    tenant.policies = append(out_.policies, {snapshot::Policy{out_.string("measured"), index, 0}});
    tenant.rules = write_rules(index, tenant.policies.first);
    tenant.nat = {size_of(out_.nat_rules), 0};
    if (plan_.translation != Translation::kNone) tenant.nat = write_translation();
    if (plan_.half_open_max != 0) {
      out_.state_limits.push_back({index, plan_.half_open_max, 0, snapshot::SynProtection::kCookies, {}});
    }
    out_.tenants.push_back(tenant);
  }

  /// A segment on device `side` with the gateway's `own` addresses and one Binding, of what the generator pretends to
  /// be. Like a server's own address, the `bound` prefixes leave out the segment's broadcast address.
  void write_port(std::uint32_t tenant, std::uint8_t side, const std::array<Prefix, 2>& own,
                  const std::array<Prefix, 2>& bound) {
    const Mac mac = Mac::from_number(0x020000000001 + std::uint64_t{side});
    const std::uint32_t index = size_of(out_.ports);
    snapshot::Port port{};
    port.id = index + 1;
    port.tenant = tenant;
    port.nic = side;
    port.uplink = snapshot::kNone;
    port.binding = size_of(out_.bindings);
    port.mtu = 1500;
    port.name = out_.string(side == 0 ? "inside" : "outside");
    port.addresses = append(out_.port_addresses, {own[0], own[1]});
    port.outer_vlan = static_cast<std::uint16_t>(plan_.tenants > 1 ? 1 + tenant : 0);
    port.kind = snapshot::PortKind::kSegment;
    port.zone = side;
    out_.ports.push_back(port);

    snapshot::Binding binding{};
    binding.id = index + 1;
    binding.port = index;
    binding.name = port.name;
    binding.pairs =
        append(out_.binding_pairs, {snapshot::BindingPair{mac, bound[0]}, snapshot::BindingPair{mac, bound[1]}});
    binding.routed = {size_of(out_.binding_pairs), 0};
    binding.link_locals = {size_of(out_.link_locals), 0};
    binding.meters.fill({.rate = 1000, .burst = 1000});
    binding.lla_policy = snapshot::LlaPolicy::kPin;
    binding.lla_pins = 2;
    binding.active = 1;
    out_.bindings.push_back(binding);

    for (const Prefix& address : own) {
      snapshot::Route route{};
      route.prefix = network(address);
      route.port = index;
      out_.routes.push_back(route);
    }
  }

  static Prefix network(const Prefix& address) { return {address.first(), address.length}; }

  Range write_rules(std::uint32_t tenant, std::uint32_t policy) {
    const std::uint32_t first = size_of(out_.rules);
    const std::uint32_t wanted = std::max(tenant == 0 ? plan_.rules : plan_.other_rules, kClasses);
    number_ = 0;
    if (odd_) {
      for (std::uint32_t service = kClasses; service-- > 0;) write_measured(policy, service);
    }
    for (const FillerRule& filler : filler_rules(wanted - kClasses, tenant + 1)) write_filler(policy, filler);
    if (!odd_) {
      for (std::uint32_t service = 0; service < kClasses; ++service) write_measured(policy, service);
    }
    write_default(policy);
    write_default(snapshot::kNone);
    return {first, size_of(out_.rules) - first};
  }

  Range write_translation() {
    constexpr std::uint16_t kBlockPorts = 64;  // a million hosts have one each
    constexpr std::uint32_t kTranslationRule = 1U << 23;  // behind all rules of the policy
    snapshot::NatRule rule{};
    const bool blocks = plan_.translation == Translation::kPortBlocks;
    rule.id = kTranslationRule;
    rule.name = out_.string("translated");
    rule.kind = blocks ? snapshot::NatKind::kNapt : snapshot::NatKind::kStatic;
    rule.source_zones = 1;
    rule.destination_zones = 2;
    rule.sources = append(out_.address_ranges, {range_of(prefix("10.16.0.0/12"))});
    rule.translated = append(out_.address_ranges, {range_of(prefix(kOutside))});
    rule.destinations = {size_of(out_.address_ranges), 0};
    rule.services = {size_of(out_.services), 0};
    rule.any_destination = rule.any_service = 1;
    rule.block_ports = blocks ? kBlockPorts : std::uint16_t{0};
    return append(out_.nat_rules, {rule});
  }

  snapshot::Rule new_rule(std::uint32_t policy, std::string_view name, snapshot::Action action) {
    snapshot::Rule rule{};
    rule.id = size_of(out_.rules) + 1;
    rule.policy = policy;
    rule.name = out_.string(name);
    rule.source_zones = kBothZones;
    rule.destination_zones = kBothZones;
    rule.sources = {size_of(out_.address_ranges), 0};
    rule.destinations = rule.sources;
    rule.services = {size_of(out_.services), 0};
    rule.action = action;
    const std::uint8_t refused = plan_.deny_logged ? snapshot::kLogDropFolded : snapshot::kLogNone;
    rule.log = action == snapshot::Action::kAllow ? plan_.log : refused;
    rule.any_source = rule.any_destination = rule.any_service = 1;
    return rule;
  }

  void write_default(std::uint32_t policy) {
    snapshot::Rule rule = new_rule(policy, "default", snapshot::Action::kDrop);
    rule.is_default = 1;
    out_.rules.push_back(rule);
  }

  void write_measured(std::uint32_t policy, std::uint32_t service_class) {
    const bool allowed = service_class == 0 || service_class == (odd_ ? 3U : 2U);
    snapshot::Rule rule = new_rule(policy, "measured", allowed ? snapshot::Action::kAllow : snapshot::Action::kDrop);
    const auto port = static_cast<std::uint16_t>(kServicePort + service_class);
    rule.number = ++number_;
    rule.any_service = 0;
    rule.services = append(out_.services, {service(kTcp, 0, 65535, port, port), service(kUdp, 0, 65535, port, port)});
    out_.rules.push_back(rule);
  }

  void write_filler(std::uint32_t policy, const FillerRule& filler) {
    snapshot::Rule rule = new_rule(policy, "filler", filler.allow ? snapshot::Action::kAllow : snapshot::Action::kDrop);
    rule.number = ++number_;
    rule.any_source = rule.any_destination = rule.any_service = 0;
    rule.sources = append(out_.address_ranges, {range_of(filler.source[0]), range_of(filler.source[1])});
    rule.destinations = append(out_.address_ranges, {range_of(filler.destination[0]), range_of(filler.destination[1])});
    rule.services = append(out_.services, {service(filler.protocol, filler.source_low, filler.source_high,
                                                   filler.destination_low, filler.destination_high)});
    out_.rules.push_back(rule);
  }

  snapshot::Service service(std::uint8_t protocol, std::uint16_t source_low, std::uint16_t source_high,
                            std::uint16_t destination_low, std::uint16_t destination_high) {
    snapshot::Service entry{};
    entry.name = out_.string("service");
    entry.protocol = protocol;
    entry.source_low = source_low;
    entry.source_high = source_high;
    entry.destination_low = destination_low;
    entry.destination_high = destination_high;
    entry.icmp_type_high = entry.icmp_code_high = 255;
    return entry;
  }

  const NetworkPlan& plan_;
  const bool odd_;
  SnapshotBuilder out_;
  std::uint16_t number_ = 0;
};

std::string l3fwd_line(const FillerRule& rule) {
  return to_string(rule.source[0]) + " " + to_string(rule.destination[0]) + " " + std::to_string(rule.source_low) +
         " : " + std::to_string(rule.source_high) + " " + std::to_string(rule.destination_low) + " : " +
         std::to_string(rule.destination_high) + " " + std::to_string(rule.protocol) + "/0xff";
}

std::string nft_line(const FillerRule& rule) {
  return "    ip saddr " + to_string(rule.source[0]) + " ip daddr " + to_string(rule.destination[0]) +
         (rule.protocol == kTcp ? " tcp" : " udp") + " dport " + std::to_string(rule.destination_low) + "-" +
         std::to_string(rule.destination_high) + (rule.allow ? " accept\n" : " drop\n");
}

}  // namespace

std::vector<FillerRule> filler_rules(std::uint32_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  const std::uint32_t objects = count / 8 + 16;
  const std::vector<AddressObject> sources =
      address_objects(objects, prefix("10.0.0.0/8"), prefix("fd00:a::/48"), random);
  const std::vector<AddressObject> measured =
      address_objects(objects, prefix("172.20.0.0/16"), prefix("fd00:b::/48"), random);
  const std::vector<AddressObject> others =
      address_objects(objects, prefix("172.24.0.0/13"), prefix("fd00:b:8000::/33"), random);
  std::vector<FillerRule> rules;
  rules.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool elsewhere = random() % 2 == 0;
    const std::vector<AddressObject>& destinations = elsewhere ? others : measured;
    const auto service = static_cast<std::uint16_t>(random() % kFillerServices);
    FillerRule rule{};
    rule.source = sources[random() % objects];
    rule.destination = destinations[random() % objects];
    rule.source_high = 65535;
    rule.protocol = service % 3 == 0 ? kUdp : kTcp;
    rule.allow = random() % 4 != 0;
    // Other services than the measured ones; every fourth is a range.
    rule.destination_low =
        static_cast<std::uint16_t>(elsewhere && service < 4 ? kServicePort + service : 1024 + service * 700U);
    rule.destination_high =
        static_cast<std::uint16_t>(rule.destination_low + (service % 4 == 3 && service > 4 ? 500 : 0));
    rules.push_back(rule);
  }
  return rules;
}

std::vector<std::uint8_t> make_snapshot(const NetworkPlan& plan, std::uint32_t generation) {
  return NetworkWriter(plan, generation).write(generation);
}

std::string l3fwd_rules(const NetworkPlan& plan) {
  std::string text;
  for (const FillerRule& rule : filler_rules(plan.rules - kClasses, 1)) {
    text += rule.allow ? "R" : "@";
    text += l3fwd_line(rule);
    text += rule.allow ? " 0\n" : "\n";
  }
  const std::string any = "0.0.0.0/0 0.0.0.0/0 0 : 65535 ";
  for (std::uint32_t service = 0; service < kClasses; ++service) {
    const std::string port = std::to_string(kServicePort + service);
    text += service % 2 == 0 ? "R" : "@";
    text += any;
    text += port + " : " + port + " 0/0x00";
    text += service % 2 == 0 ? " 0\n" : "\n";
  }
  text += "R";
  text += any;
  return text + "0 : 65535 0/0x00 0\n";
}

std::string nft_rules(const NetworkPlan& plan) {
  std::string text =
      "table inet bench {\n  chain forward {\n    type filter hook forward priority filter; policy drop;\n";
  text += "    ct state established,related accept\n    ct state invalid drop\n";
  for (const FillerRule& rule : filler_rules(plan.rules - kClasses, 1)) text += nft_line(rule);
  for (std::uint32_t service = 0; service < kClasses; ++service) {
    text += "    meta l4proto { tcp, udp } th dport " + std::to_string(kServicePort + service) +
            (service % 2 == 0 ? " accept\n" : " drop\n");
  }
  return text + "  }\n}\n";
}

}  // namespace sekisho::bench
