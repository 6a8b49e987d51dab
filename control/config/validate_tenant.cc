// SPDX-License-Identifier: Apache-2.0
// One tenant's zones and ports; bindings (specification 3.5, F-31..F-33) and routes.
#include <algorithm>
#include <optional>
#include <set>
#include <tuple>

#include "base/limits.h"
#include "control/config/text.h"
#include "control/config/validate_parts.h"

namespace sekisho::control {
namespace {

constexpr std::uint32_t kSessionsPerTenantMax = 4'000'000;  // specification 3.17
constexpr std::uint32_t kNewSessionsPerSecondMax = 10'000'000;
constexpr std::uint32_t kLoosePickupSecondsMax = 300;
constexpr std::uint32_t kLogPerSecondMax = 20'000;  // specification 3.17
constexpr std::uint32_t kLogBurstMax = 100'000;
constexpr std::uint32_t kBandwidthMbitMax = 400'000;
constexpr std::uint32_t kMeterMax = 1'000'000;
constexpr std::size_t kBindingListMax = 8;  // extra ethertypes, vrids
constexpr std::size_t kPortAddressesMax = 64;
constexpr std::uint32_t kTunnelMtuMin = 1280;  // RFC 8200 section 5
constexpr std::uint32_t kTunnelMtuMax = 1500;

/// Texts that parse, as prefixes: whoever reads them later need not report them again.
std::vector<Prefix> prefixes_of(const Strings& texts) {
  std::vector<Prefix> out;
  for (const auto& text : texts) {
    if (const auto prefix = parse_prefix(text)) out.push_back(*prefix);
  }
  return out;
}

}  // namespace

std::optional<Prefix> check_network(Reporter& reporter, const Path& path, const std::string& text) {
  const auto prefix = parse_prefix(text);
  if (!prefix) {
    reporter.error(path, '"' + text + "\" is not an address or prefix, like 10.0.0.2, 10.0.0.0/24 or fd00::/64");
    return std::nullopt;
  }
  if (prefix->first() != prefix->address) {
    reporter.error(path,
                   text + " has host bits set; the prefix is " + to_string(Prefix{prefix->first(), prefix->length}));
    return std::nullopt;
  }
  return *prefix;
}

namespace {

bool overlap(const Prefix& a, const Prefix& b) {
  return a.length <= b.length ? a.contains(b.address) : b.contains(a.address);
}

class PortCheck {
 public:
  PortCheck(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant, const Path& path,
            const Platform& platform)
      : reporter_(reporter), model_(model), tenant_(tenant), path_(path), platform_(platform) {}

  void check(const std::set<std::string_view>& zones) {
    for (int i = 0; i < tenant_.ports_size(); ++i) {
      const Path here(path_, "ports", i);
      const auto& port = tenant_.ports(i);
      if (!zones.contains(port.zone())) {
        reporter_.no_such_name(Path(here, "zone"), {".zones"}, "there is no zone named \"" + port.zone() + "\" in this tenant");
      }
      if (port.kind() == model::Port::SHARE) {
        check_share(here, port);
      } else if (port.kind() == model::Port::TUNNEL) {
        check_tunnel(here, port);
      } else {
        check_wire(here, port);
      }
    }
    check_subnets();
  }

 private:
  void check_share(const Path& here, const model::Port& port) {
    refuse_field(here, "nic", port.has_nic(), "a share");
    refuse_field(here, "outer_vlan", port.outer_vlan() != 0, "a share");
    refuse_field(here, "inner_vlan", port.inner_vlan() != 0, "a share");
    refuse_field(here, "outer_tag", port.outer_tag() != model::DOT1Q, "a share");
    refuse_field(here, "mtu", port.mtu() != 0, "a share");
    refuse_field(here, "addresses", port.addresses_size() != 0, "a share");
    refuse_field(here, "enforcement", port.has_enforcement(), "a share");
    const auto uplink = platform_.uplinks.find(port.uplink());
    if (uplink == platform_.uplinks.end()) {
      reporter_.no_such_name(Path(here, "uplink"), {"uplinks"}, "there is no uplink named \"" + port.uplink() + '"');
    }
    if (port.prefixes_size() == 0) {
      reporter_.warning(Path(here, "prefixes"), "a share without prefixes receives nothing from its uplink");
    }
    for (int i = 0; i < port.prefixes_size(); ++i) {
      const Path at(here, "prefixes", i);
      const auto prefix = check_network(reporter_, at, port.prefixes(i));
      if (!prefix) continue;
      if (prefix->address.is_multicast() || prefix->address.is_loopback()) {
        reporter_.error(at, "a share owns unicast prefixes");
      }
      if (uplink != platform_.uplinks.end()) check_uplink_address(at, *prefix, model_.uplinks(uplink->second));
    }
  }

  void check_tunnel(const Path& here, const model::Port& port) {
    refuse_field(here, "nic", port.has_nic(), "a tunnel");
    refuse_field(here, "outer_vlan", port.outer_vlan() != 0, "a tunnel");
    refuse_field(here, "inner_vlan", port.inner_vlan() != 0, "a tunnel");
    refuse_field(here, "outer_tag", port.outer_tag() != model::DOT1Q, "a tunnel");
    refuse_field(here, "addresses", port.addresses_size() != 0, "a tunnel");
    refuse_field(here, "uplink", port.has_uplink(), "a tunnel");
    refuse_field(here, "prefixes", port.prefixes_size() != 0, "a tunnel");
    refuse_field(here, "enforcement", port.has_enforcement(), "a tunnel");
    refuse_field(here, "reverse_path", port.has_reverse_path(), "a tunnel");  // its users' Leases say who a source may be
    refuse_field(here, "refuse_bogons", port.has_refuse_bogons(), "a tunnel");
    if (port.mtu() != 0) check_within(reporter_, here, "mtu", port.mtu(), kTunnelMtuMin, kTunnelMtuMax);
  }

  void check_uplink_address(const Path& at, const Prefix& prefix, const model::Uplink& uplink) {
    for (const Prefix& own : prefixes_of(uplink.addresses())) {
      if (prefix.contains(own.address)) {
        reporter_.error(at, to_string(prefix) + " holds " + to_string(own.address) + ", the uplink's own address");
      }
    }
  }

  void check_wire(const Path& here, const model::Port& port) {
    const std::string what = port.kind() == model::Port::SEGMENT ? "a segment" : "a routed port";
    refuse_field(here, "uplink", port.has_uplink(), what);
    refuse_field(here, "prefixes", port.prefixes_size() != 0, what);
    refuse_field(here, "enforcement", port.has_enforcement() && port.kind() != model::Port::SEGMENT, what);
    if (port.kind() == model::Port::SEGMENT) {  // its Bindings say who a source may be
      refuse_field(here, "reverse_path", port.has_reverse_path(), what);
      refuse_field(here, "refuse_bogons", port.has_refuse_bogons(), what);
    }
    check_vlans(reporter_, here, port.outer_vlan(), port.outer_tag(), port.inner_vlan());
    check_count(reporter_, Path(here, "addresses"), static_cast<std::size_t>(port.addresses_size()), kPortAddressesMax,
                "addresses");
    for (int i = 0; i < port.addresses_size(); ++i) {
      check_interface_address(reporter_, Path(here, "addresses", i), port.addresses(i));
    }
  }

  void refuse_field(const Path& here, std::string_view field, bool given, const std::string& kind) {
    if (given) reporter_.error(Path(here, field), kind + " has no " + std::string(field));
  }

  /// Two ports with one subnet work by their bound hosts only; the rest of the subnet has one home.
  void check_subnets() {
    struct Subnet {
      Prefix prefix;
      int port;
      int index;
    };
    std::vector<Subnet> subnets;
    for (int p = 0; p < tenant_.ports_size(); ++p) {
      for (int i = 0; i < tenant_.ports(p).addresses_size(); ++i) {
        if (const auto prefix = parse_prefix(tenant_.ports(p).addresses(i))) {
          subnets.push_back({{prefix->first(), prefix->length}, p, i});
        }
      }
    }
    std::stable_sort(subnets.begin(), subnets.end(), [](const Subnet& a, const Subnet& b) {
      return std::tie(a.prefix.address, a.prefix.length) < std::tie(b.prefix.address, b.prefix.length);
    });
    for (std::size_t i = 1; i < subnets.size(); ++i) {
      const Subnet& before = subnets[i - 1];
      const Subnet& here = subnets[i];
      if (before.port == here.port || !before.prefix.contains(here.prefix.address)) continue;
      const Path port(path_, "ports", here.port);
      reporter_.warning(Path(port, "addresses", here.index), "the subnet overlaps that of port \"" +
                                                                 tenant_.ports(before.port).name() +
                                                                 "\"; only bound addresses are found on both");
    }
  }

  Reporter& reporter_;
  const model::Configuration& model_;
  const model::Tenant& tenant_;
  const Path& path_;
  const Platform& platform_;
};

class BindingCheck {
 public:
  BindingCheck(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports)
      : reporter_(reporter), tenant_(tenant), path_(path), ports_(ports) {}

  void check() {
    std::map<int, int> active;  // port -> binding
    for (int i = 0; i < tenant_.bindings_size(); ++i) {
      const Path here(path_, "bindings", i);
      const auto& binding = tenant_.bindings(i);
      const model::Port* port = check_port(here, binding, i, active);
      check_pairs(here, binding, port, i);
      check_lla(here, binding.lla());
      check_routed(here, binding);
      check_lists(here, binding);
      check_meters(Path(here, "meters"), binding.meters());
    }
    check_conflicts();
  }

 private:
  const model::Port* check_port(const Path& here, const model::Binding& binding, int index,
                                std::map<int, int>& active) {
    const auto port = ports_.find(binding.port());
    if (port == ports_.end()) {
      reporter_.no_such_name(Path(here, "port"), {".ports"}, "there is no port named \"" + binding.port() + "\" in this tenant");
      return nullptr;
    }
    if (tenant_.ports(port->second).kind() != model::Port::SEGMENT) {
      reporter_.error(Path(here, "port"), "only ports of kind segment have bindings");
    }
    if (tenant_.ports(port->second).enforcement() != model::Port::BY_PORT) {
      if (++of_segment_[port->second] == limits::kBindingsPerPortMax + 1) {
        reporter_.error(Path(here, "port"), "at most " + std::to_string(limits::kBindingsPerPortMax) + " bindings share a port");
      }
    } else if (binding.state() == model::Binding::ACTIVE) {
      const auto [first, fresh] = active.emplace(port->second, index);
      if (!fresh) {
        reporter_.error(Path(here, "port"),
                        "the port already has the active binding \"" + tenant_.bindings(first->second).name() + '"');
      }
    }
    return &tenant_.ports(port->second);
  }

  void check_pairs(const Path& here, const model::Binding& binding, const model::Port* port, int index) {
    check_count(reporter_, Path(here, "pairs"), static_cast<std::size_t>(binding.pairs_size()),
                limits::kPairsPerBindingMax, "pairs");
    if (binding.pairs_size() == 0) reporter_.warning(Path(here, "pairs"), "a binding without pairs passes nothing");
    std::set<Mac> macs;
    std::set<std::pair<Mac, Prefix>> seen;
    for (int i = 0; i < binding.pairs_size(); ++i) {
      const Path pair(here, "pairs", i);
      const auto mac = check_mac(Path(pair, "mac"), binding.pairs(i).mac());
      const Path at(pair, "prefix");
      const auto prefix = check_network(reporter_, at, binding.pairs(i).prefix());
      if (mac && macs.insert(*mac).second) check_only_owner(Path(pair, "mac"), *mac, port, index);
      if (!prefix) continue;
      if (mac && !seen.emplace(*mac, *prefix).second) reporter_.error(pair, "the pair is given twice");
      check_bound_prefix(at, *prefix, port);
      if (binding.state() == model::Binding::ACTIVE) bound_.push_back({*prefix, index, i});
    }
    check_count(reporter_, Path(here, "pairs"), macs.size(), limits::kMacsPerBindingMax, "different MACs");
  }

  /// Behind a port enforced by segment a host is known by its MAC alone.
  void check_only_owner(const Path& path, const Mac& mac, const model::Port* port, int index) {
    if (port == nullptr || port->enforcement() == model::Port::BY_PORT) return;
    if (tenant_.bindings(index).state() != model::Binding::ACTIVE) return;
    const auto [owner, fresh] = owners_.emplace(std::pair(port, mac), index);
    if (fresh || owner->second == index) return;
    reporter_.error(path, to_string(mac) + " is already bound by \"" + tenant_.bindings(owner->second).name() +
                              "\"; behind a port enforced by segment a MAC names one active binding");
  }

  std::optional<Mac> check_mac(const Path& path, const std::string& text) {
    const auto mac = parse_mac(text);
    if (!mac) {
      reporter_.error(path, '"' + text + "\" is not a MAC address, like 52:54:00:12:34:56");
      return std::nullopt;
    }
    if (mac->is_multicast() || mac->is_zero()) {
      reporter_.error(path, text + " is not a unicast MAC address");
      return std::nullopt;
    }
    return *mac;
  }

  void check_bound_prefix(const Path& at, const Prefix& prefix, const model::Port* port) {
    const Address& address = prefix.address;
    if (address.is_multicast() || address.is_loopback() || (address.is_unspecified() && prefix.length > 0)) {
      return reporter_.error(at, to_string(address) + " cannot be bound: it is not a host's own address");
    }
    if (address.family == Family::kIpv6 && address.is_link_local()) {
      return reporter_.error(at, "link-local addresses are bound by the binding's lla policy, not by pairs");
    }
    if (port == nullptr) return;
    bool inside = false;
    for (const Prefix& own : prefixes_of(port->addresses())) {
      if (prefix.contains(own.address)) {
        reporter_.warning(at, "the bound prefix holds " + to_string(own.address) + ", the gateway's own address");
      }
      inside |= own.contains(address) && own.length <= prefix.length;
    }
    if (!inside) reporter_.warning(at, to_string(prefix) + " lies in no subnet of port \"" + port->name() + '"');
  }

  void check_lla(const Path& here, const model::LinkLocal& lla) {
    const Path path(here, "lla");
    if (lla.pins() < 1 || lla.pins() > 8) reporter_.error(Path(path, "pins"), "pins lie between 1 and 8");
    if (lla.policy() == model::LinkLocal::LIST) {
      check_count(reporter_, Path(path, "list"), static_cast<std::size_t>(lla.list_size()), limits::kPairsPerBindingMax,
                  "addresses");
    } else if (lla.list_size() != 0) {
      reporter_.error(Path(path, "list"), "a list belongs to policy list");
    }
    std::set<std::string_view> seen;
    for (int i = 0; i < lla.list_size(); ++i) {
      const auto address = parse_address(lla.list(i));
      if (!address || address->family != Family::kIpv6 || !address->is_link_local()) {
        reporter_.error(Path(path, "list", i), '"' + lla.list(i) + "\" is not an IPv6 link-local address (fe80::/10)");
      } else if (!seen.insert(lla.list(i)).second) {
        reporter_.error(Path(path, "list", i), "the address is given twice");
      }
    }
  }

  void check_routed(const Path& here, const model::Binding& binding) {
    const auto& roles = binding.roles();
    const bool forwards = std::find(roles.begin(), roles.end(), model::Binding::FORWARDING) != roles.end();
    if (binding.routed_size() != 0 && !forwards) {
      reporter_.error(Path(here, "routed"), "routed prefixes need the role forwarding");
    }
    check_count(reporter_, Path(here, "routed"), static_cast<std::size_t>(binding.routed_size()),
                limits::kPairsPerBindingMax, "prefixes");
    for (int i = 0; i < binding.routed_size(); ++i)
      check_network(reporter_, Path(here, "routed", i), binding.routed(i));
  }

  void check_lists(const Path& here, const model::Binding& binding) {
    check_count(reporter_, Path(here, "extra_ethertypes"), static_cast<std::size_t>(binding.extra_ethertypes_size()),
                kBindingListMax, "ethertypes");
    for (int i = 0; i < binding.extra_ethertypes_size(); ++i) {
      const std::uint32_t type = binding.extra_ethertypes(i);
      if (type < 0x600 || type > 0xffff) {
        reporter_.error(Path(here, "extra_ethertypes", i), "an ethertype lies between 0x0600 and 0xffff");
      } else if (type == 0x0800 || type == 0x0806 || type == 0x86dd || type == 0x8100 || type == 0x88a8) {
        reporter_.error(Path(here, "extra_ethertypes", i), "IPv4, ARP, IPv6 and VLAN tags are not extra");
      }
    }
    check_count(reporter_, Path(here, "vrids"), static_cast<std::size_t>(binding.vrids_size()), kBindingListMax,
                "VRRP groups");
    for (int i = 0; i < binding.vrids_size(); ++i) {
      if (binding.vrids(i) < 1 || binding.vrids(i) > 255)
        reporter_.error(Path(here, "vrids", i), "a VRRP group lies between 1 and 255");
    }
  }

  void check_meters(const Path& path, const model::Meters& meters) {
    const auto* type = model::Meters::descriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      if (!meters.GetReflection()->HasField(meters, type->field(i))) continue;
      const auto& meter = static_cast<const model::Meter&>(meters.GetReflection()->GetMessage(meters, type->field(i)));
      const Path here(path, type->field(i)->name());
      if (meter.rate() < 1 || meter.rate() > kMeterMax)
        reporter_.error(Path(here, "rate"), "a rate lies between 1 and 1000000 packets per second");
      if (meter.burst() < 1 || meter.burst() > kMeterMax)
        reporter_.error(Path(here, "burst"), "a burst lies between 1 and 1000000 packets");
    }
  }

  struct Bound {
    Prefix prefix;
    int binding;
    int pair;
  };

  /// F-33, for the tenant as a whole: its bound addresses are host routes of one routing domain.
  void check_conflicts() {
    std::stable_sort(bound_.begin(), bound_.end(), [](const Bound& a, const Bound& b) {
      return std::tie(a.prefix.address, a.prefix.length) < std::tie(b.prefix.address, b.prefix.length);
    });
    std::vector<const Bound*> around;
    for (const Bound& bound : bound_) {
      while (!around.empty() && !overlap(around.back()->prefix, bound.prefix)) around.pop_back();
      const auto other =
          std::find_if(around.rbegin(), around.rend(), [&](const Bound* o) { return conflicts(*o, bound); });
      if (other != around.rend()) report_conflict(**other, bound);
      const auto apart = std::find_if(around.rbegin(), around.rend(), [&](const Bound* o) { return stands_apart(*o, bound); });
      if (other == around.rend() && apart != around.rend()) warn_of_zones(**apart, bound);
      around.push_back(&bound);
    }
  }

  [[nodiscard]] bool conflicts(const Bound& a, const Bound& b) const {
    if (a.binding == b.binding) return false;
    const auto& left = tenant_.bindings(a.binding).vrids();
    const auto& right = tenant_.bindings(b.binding).vrids();
    return std::none_of(left.begin(), left.end(),
                        [&](std::uint32_t v) { return std::find(right.begin(), right.end(), v) != right.end(); });
  }

  [[nodiscard]] const std::string& zone_of(int binding) const {
    static const std::string kNone;
    const auto port = ports_.find(tenant_.bindings(binding).port());
    return port == ports_.end() ? kNone : tenant_.ports(port->second).zone();
  }
  /// Within one group, but policy would judge the two hosts differently.
  [[nodiscard]] bool stands_apart(const Bound& a, const Bound& b) const {
    return a.binding != b.binding && a.prefix == b.prefix && zone_of(a.binding) != zone_of(b.binding);
  }
  void warn_of_zones(const Bound& a, const Bound& b) {
    const Path binding(path_, "bindings", b.binding);
    const Path pair(binding, "pairs", b.pair);
    reporter_.warning(Path(pair, "prefix"), to_string(b.prefix) + " is also bound by \"" + tenant_.bindings(a.binding).name() +
                                                "\" in another zone; a virtual address moves within one zone only");
  }

  void report_conflict(const Bound& a, const Bound& b) {
    const bool a_later = std::tie(a.binding, a.pair) > std::tie(b.binding, b.pair);
    const Bound& later = a_later ? a : b;
    const Bound& first = a_later ? b : a;
    const Path binding(path_, "bindings", later.binding);
    const Path pair(binding, "pairs", later.pair);
    reporter_.error(Path(pair, "prefix"), to_string(later.prefix) + " is already bound by \"" +
                                              tenant_.bindings(first.binding).name() +
                                              "\"; two active bindings share an address only within one VRRP group");
  }

  Reporter& reporter_;
  const model::Tenant& tenant_;
  const Path& path_;
  const NameIndex& ports_;
  std::map<int, std::size_t> of_segment_;  ///< port enforced by segment -> bindings
  std::map<std::pair<const model::Port*, Mac>, int> owners_;
  std::vector<Bound> bound_;
};

}  // namespace

void validate_bindings(Reporter& reporter, const model::Tenant& tenant, const Path& path, const NameIndex& ports) {
  NameIndex names;
  index_names(reporter, path, "bindings", tenant.bindings(), names);
  BindingCheck(reporter, tenant, path, ports).check();
  validate_link_locals(reporter, tenant, path, ports);
}

namespace {

/// Whether `hop` is a neighbour on `port`; nullptr when it is, else why not.
const char* why_unreachable(const Address& hop, const Strings& addresses) {
  if (hop.family == Family::kIpv6 && hop.is_link_local()) return nullptr;
  for (const Prefix& own : prefixes_of(addresses)) {
    if (own.address == hop) return " is the port's own address";
    if (own.contains(hop)) return nullptr;
  }
  return " lies in no subnet of the port";
}

/// The active binding that holds `address` on `port`, or nullptr.
const model::Binding* holder_of(const model::Tenant& tenant, const std::string& port, const Address& address) {
  for (const auto& binding : tenant.bindings()) {
    if (binding.port() != port || binding.state() != model::Binding::ACTIVE) continue;
    for (const auto& pair : binding.pairs()) {
      const auto prefix = parse_prefix(pair.prefix());
      if (prefix && prefix->contains(address)) return &binding;
    }
  }
  return nullptr;
}

/// All of `prefix` lies behind the binding's host, or is bound to it.
bool may_receive(const model::Binding& binding, const Prefix& prefix) {
  const auto holds = [&](const std::string& text) {
    const auto own = parse_prefix(text);
    return own && own->contains(prefix.address) && own->length <= prefix.length;
  };
  return std::any_of(binding.routed().begin(), binding.routed().end(), holds) ||
         std::any_of(binding.pairs().begin(), binding.pairs().end(), [&](const auto& pair) { return holds(pair.prefix()); });
}

void check_next_hop(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant,
                    const Path& here, const model::Route& route, const Prefix& prefix, const model::Port& port,
                    const Platform& platform) {
  const Path at(here, "next_hop");
  if (!route.has_next_hop()) {
    if (port.kind() == model::Port::SHARE) reporter.error(at, "a route over a share needs a next hop");
    return;
  }
  const auto hop = parse_address(route.next_hop());
  if (!hop) return reporter.error(at, '"' + route.next_hop() + "\" is not an address");
  if (hop->family != prefix.address.family)
    return reporter.error(at, "the next hop and the prefix are of different families");
  const Strings* addresses = &port.addresses();
  if (port.kind() == model::Port::SHARE) {
    const auto uplink = platform.uplinks.find(port.uplink());
    if (uplink == platform.uplinks.end()) return;
    addresses = &model.uplinks(uplink->second).addresses();
  }
  if (const char* why = why_unreachable(*hop, *addresses)) return reporter.error(at, route.next_hop() + why);
  if (port.kind() != model::Port::SEGMENT || hop->is_link_local()) return;
  const model::Binding* holder = holder_of(tenant, port.name(), *hop);
  if (holder == nullptr) {
    reporter.warning(at, route.next_hop() + " is bound by no active binding of its port; nothing is learned there");
  } else if (!may_receive(*holder, prefix)) {
    reporter.warning(at, "what of " + to_string(prefix) +
        " is not in \"routed\" of binding \"" + holder->name() + "\" is refused on its way there");
  }
}

}  // namespace

void validate_routes(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant,
                     const Path& path, const Platform& platform, const NameIndex& ports) {
  check_count(reporter, Path(path, "routes"), static_cast<std::size_t>(tenant.routes_size()),
              limits::kRoutesPerTenantMax, "routes");
  std::set<Prefix> taken;
  for (const auto& port : tenant.ports()) {
    for (const Prefix& own : prefixes_of(port.addresses())) taken.insert({own.first(), own.length});
  }
  for (const auto& binding : tenant.bindings()) {
    if (binding.state() != model::Binding::ACTIVE) continue;
    for (const auto& pair : binding.pairs()) {
      if (const auto prefix = parse_prefix(pair.prefix())) taken.insert(*prefix);
    }
  }
  for (int i = 0; i < tenant.routes_size(); ++i) {
    const Path here(path, "routes", i);
    const auto& route = tenant.routes(i);
    const auto prefix = check_network(reporter, Path(here, "prefix"), route.prefix());
    const auto port = ports.find(route.port());
    if (port == ports.end()) {
      reporter.no_such_name(Path(here, "port"), {".ports"}, "there is no port named \"" + route.port() + "\" in this tenant");
    }
    if (!prefix) continue;
    if (!taken.insert(*prefix).second) {
      reporter.error(Path(here, "prefix"),
                     "there is already a route to " + to_string(*prefix) + ", by a port's address, a binding or above");
    }
    if (port == ports.end()) continue;
    if (tenant.ports(port->second).kind() == model::Port::TUNNEL) {
      reporter.error(Path(here, "port"), "what leads to a tunnel are its pools");
      continue;
    }
    check_next_hop(reporter, model, tenant, here, route, *prefix, tenant.ports(port->second), platform);
  }
}

void check_within(Reporter& reporter, const Path& path, const std::string& field, std::uint32_t value, std::uint32_t least,
                  std::uint32_t most) {
  if (value >= least && value <= most) return;
  reporter.error(Path(path, field), field + " lies between " + std::to_string(least) + " and " + std::to_string(most));
}

// Pieces of datagrams that wait: a datagram has at most 64.
constexpr std::uint32_t kFragmentsLeast = 64;
constexpr std::uint32_t kFragmentsMost = 1'000'000;

void validate_quotas(Reporter& reporter, const Path& path, const model::Tenant& tenant) {
  const model::Quotas& quotas = tenant.quotas();
  check_within(reporter, path, "new_sessions_per_second", quotas.new_sessions_per_second(), 1, kNewSessionsPerSecondMax);
  check_within(reporter, path, "sessions_guaranteed", quotas.sessions_guaranteed(), 0, tenant.sessions_max());
  check_within(reporter, path, "log_per_second", quotas.log_per_second(), 1, kLogPerSecondMax);
  check_within(reporter, path, "log_burst", quotas.log_burst(), 1, kLogBurstMax);
  check_within(reporter, path, "bandwidth_mbit", quotas.bandwidth_mbit(), 0, kBandwidthMbitMax);
  if (quotas.has_fragments_max()) check_within(reporter, path, "fragments_max", quotas.fragments_max(), kFragmentsLeast, kFragmentsMost);
  check_within(reporter, path, "fragments_guaranteed", quotas.fragments_guaranteed(), 0,
               quotas.has_fragments_max() ? quotas.fragments_max() : kFragmentsMost);
  check_within(reporter, path, "rules_max", quotas.rules_max(), 0, limits::kRulesPerTenantMax);
  std::size_t rules = 0;
  for (const auto& policy : tenant.policies()) rules += static_cast<std::size_t>(policy.rules_size());
  if (rules > quotas.rules_max()) {
    reporter.error(Path(path, "rules_max"), "the tenant has " + std::to_string(rules) + " rules and may have " +
                                                std::to_string(quotas.rules_max()));
  }
}

void validate_tenant(Reporter& reporter, const model::Configuration& model, const model::Tenant& tenant,
                     const Path& path, const Platform& platform) {
  if (tenant.sessions_max() < 1 || tenant.sessions_max() > kSessionsPerTenantMax) {
    reporter.error(Path(path, "sessions_max"),
                   "sessions_max lies between 1 and " + std::to_string(kSessionsPerTenantMax));
  }
  const auto& quotas = tenant.quotas();
  const Path quotas_path(path, "quotas");
  validate_quotas(reporter, quotas_path, tenant);
  if (quotas.has_half_open_max() && (quotas.half_open_max() < 1 || quotas.half_open_max() > tenant.sessions_max())) {
    reporter.error(Path(quotas_path, "half_open_max"), "half_open_max lies between 1 and sessions_max");
  }
  if (quotas.loose_pickup_seconds() > kLoosePickupSecondsMax) {
    reporter.error(Path(quotas_path, "loose_pickup_seconds"), "loose_pickup_seconds is at most " + std::to_string(kLoosePickupSecondsMax));
  }
  check_count(reporter, Path(path, "zones"), static_cast<std::size_t>(tenant.zones_size()), limits::kZonesPerTenantMax,
              "zones");
  std::set<std::string_view> zones;
  for (int i = 0; i < tenant.zones_size(); ++i) {
    const Path here(path, "zones", i);
    check_name(reporter, here, tenant.zones(i));
    if (!zones.insert(tenant.zones(i)).second)
      reporter.error(here, "the zone \"" + tenant.zones(i) + "\" is given twice");
  }
  NameIndex ports;
  index_names(reporter, path, "ports", tenant.ports(), ports);
  PortCheck(reporter, model, tenant, path, platform).check(zones);
  validate_bindings(reporter, tenant, path, ports);
  validate_routes(reporter, model, tenant, path, platform, ports);
  validate_objects(reporter, tenant, path);
  validate_nat(reporter, tenant, path);
  validate_policies(reporter, tenant, path);
  validate_users(reporter, tenant, path, ports);
  validate_devices(reporter, tenant, path);
  validate_radius(reporter, tenant, path, ports);
  validate_sign_in(reporter, tenant.sign_in(), Path(path, "sign_in"));
  validate_targets(reporter, tenant.notifications(), path, "notifications");
  validate_exports(reporter, model, &tenant, path);
}

}  // namespace sekisho::control
