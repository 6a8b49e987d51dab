// SPDX-License-Identifier: Apache-2.0
// Overview: numbers first, since sections are sorted by id; then tenants, ports, bindings and routes by plain copying;
// policies in rule_compiler.cc. The writer's own output goes through SnapshotView before anyone else sees it.
#include "control/compile/compiler.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/describe.h"
#include "base/limits.h"
#include "base/net/address.h"
#include "control/compile/nat_compiler.h"
#include "control/compile/rule_compiler.h"
#include "control/compile/user_compiler.h"
#include "control/config/timetable.h"
#include "control/config/text.h"
#include "filters/policy/snapshot_builder.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::control {
namespace {

using filters::snapshot::kNone;
using filters::snapshot::LlaPolicy;
using filters::snapshot::Meter;
using filters::snapshot::PortKind;
using filters::snapshot::Range;

// Specification 3.5, in the order of MeterClass.
constexpr std::array<Meter, 7> kDefaultMeters{Meter{30, 60}, {100, 200}, {10, 20}, {50, 100}, {200, 400}, {2000, 4000}, {10, 20}};
constexpr int kNoTenant = -1;
constexpr std::uint32_t kTunnelMtu = 1400;  // bytes of L3; 1500 without ESP in UDP and some room for the ways between

std::uint32_t size32(std::size_t size) { return static_cast<std::uint32_t>(size); }

Range run_since(std::size_t first, std::size_t end) { return {size32(first), size32(end - first)}; }

/// Where an object of the model stands in its sorted section.
struct Place {
  std::uint32_t id;
  int tenant;  ///< index in the model, kNoTenant for uplinks
  int index;
  bool operator<(const Place& other) const { return id < other.id; }
};

/// What validation has let through fits; the bound is for the reader, and for GCC.
template <typename Array, typename Values>
void fill_array(Array& out, const Values& values) {
  const std::size_t count = std::min(out.size(), static_cast<std::size_t>(values.size()));
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<typename Array::value_type>(values[static_cast<int>(i)]);
}

class Compiler {
 public:
  Compiler(const model::Configuration& model, Ids& ids, Reporter& reporter, std::int64_t now)
      : model_(model), ids_(ids), reporter_(reporter), now_(now) {}

  void compile() {
    number_everything();
    for (const auto& nic : model_.nics()) {
      builder_.nics.push_back({builder_.string(nic.name()), builder_.string(nic.device()), nic.mtu(), 0});
    }
    for (const Place& place : ports_) compile_port(place);
    for (const Place& place : bindings_) compile_binding(place);
    for (std::uint32_t i = 0; i < tenants_.size(); ++i) compile_tenant(i);
    sort_gateways(builder_);
    const Moments moments(model_);
    if (!moments.none()) builder_.moments.push_back({moments.at(now_)});
  }
  [[nodiscard]] std::vector<std::uint8_t> finish(std::uint32_t generation) const { return builder_.finish(generation); }
  [[nodiscard]] std::int64_t moment() const { return builder_.moments.empty() ? 0 : builder_.moments.front().unix_s; }
  [[nodiscard]] std::vector<RulePlace> take_rule_places() { return std::move(rule_places_); }

 private:
  void number_everything() {
    for (int u = 0; u < model_.uplinks_size(); ++u) {
      place(ports_, IdKind::kPort, uplink_key(model_.uplinks(u).name()), kNoTenant, u);
    }
    for (int t = 0; t < model_.tenants_size(); ++t) {
      const auto& tenant = model_.tenants(t);
      const std::string& code = tenant.service_code();
      place(tenants_, IdKind::kTenant, tenant_key(code), t, 0);
      for (int p = 0; p < tenant.ports_size(); ++p) {
        place(ports_, IdKind::kPort, port_key(code, tenant.ports(p).name()), t, p);
        for (const int binding : bindings_of_port(tenant, tenant.ports(p))) {
          place(bindings_, IdKind::kBinding, binding_key(code, tenant.bindings(binding).name()), t, binding);
        }
      }
    }
    std::sort(tenants_.begin(), tenants_.end());
    std::sort(ports_.begin(), ports_.end());
    std::sort(bindings_.begin(), bindings_.end());
    for (std::uint32_t i = 0; i < tenants_.size(); ++i) tenant_index_[tenants_[i].tenant] = i;
    for (std::uint32_t i = 0; i < ports_.size(); ++i) port_index_[{ports_[i].tenant, port_name(ports_[i])}] = i;
    for (std::uint32_t i = 0; i < bindings_.size(); ++i) {
      const auto& binding = model_.tenants(bindings_[i].tenant).bindings(bindings_[i].index);
      binding_index_[{bindings_[i].tenant, binding.port()}] = i;
    }
    for (int i = 0; i < model_.nics_size(); ++i) nic_index_[model_.nics(i).name()] = i;
  }

  void place(std::vector<Place>& places, IdKind kind, const std::string& key, int tenant, int index) {
    const std::uint32_t id = ids_.number(kind, key);
    if (id == 0) reporter_.error(Path(), "every number for a tenant, port or binding was given out; this unit cannot take new ones");
    places.push_back({id, tenant, index});
  }

  [[nodiscard]] const std::string& port_name(const Place& place) const {
    return place.tenant == kNoTenant ? model_.uplinks(place.index).name() : model_.tenants(place.tenant).ports(place.index).name();
  }
  [[nodiscard]] std::uint32_t port_at(int tenant, const std::string& name) const { return port_index_.at({tenant, name}); }
  [[nodiscard]] const model::Uplink& uplink_named(const std::string& name) const {
    return model_.uplinks(ports_[port_at(kNoTenant, name)].index);
  }

  void compile_port(const Place& place) {
    filters::snapshot::Port out{};
    out.id = place.id;
    out.name = builder_.string(port_name(place));
    out.uplink = out.binding = kNone;
    if (place.tenant == kNoTenant) {
      const auto& uplink = model_.uplinks(place.index);
      out.kind = PortKind::kUplink;
      out.tenant = kNone;
      fill_wire(out, uplink);
      out.addresses = add_addresses(uplink.addresses());
    } else {
      fill_tenant_port(out, place);
    }
    builder_.ports.push_back(out);
  }

  void fill_tenant_port(filters::snapshot::Port& out, const Place& place) {
    const auto& tenant = model_.tenants(place.tenant);
    const auto& port = tenant.ports(place.index);
    out.tenant = tenant_index_.at(place.tenant);
    const auto zone = std::find(tenant.zones().begin(), tenant.zones().end(), port.zone());
    out.zone = static_cast<std::uint8_t>(zone - tenant.zones().begin());
    out.source_checks = source_checks(port);
    if (port.kind() == model::Port::SHARE) {
      out.kind = PortKind::kShare;
      out.uplink = port_at(kNoTenant, port.uplink());
      filters::snapshot::Port uplink{};
      fill_wire(uplink, uplink_named(port.uplink()));
      out.nic = uplink.nic;
      out.mtu = uplink.mtu;
      add_owned(port, out.uplink, size32(builder_.ports.size()));
      return;
    }
    if (port.kind() == model::Port::TUNNEL) {
      out.kind = PortKind::kTunnel;
      out.nic = kNone;
      out.mtu = port.mtu() != 0 ? port.mtu() : kTunnelMtu;
      out.addresses = add_addresses(port.addresses());
      return;
    }
    out.kind = port.kind() == model::Port::SEGMENT ? PortKind::kSegment : PortKind::kRouted;
    fill_wire(out, port);
    out.addresses = add_addresses(port.addresses());
    if (port.enforcement() != model::Port::BY_PORT) {
      out.enforcement = static_cast<filters::snapshot::Enforcement>(port.enforcement());
      return;
    }
    const auto binding = binding_index_.find({place.tenant, port.name()});
    if (binding != binding_index_.end()) out.binding = binding->second;
  }

  static std::uint8_t source_checks(const model::Port& port) {
    if (port.kind() == model::Port::SEGMENT || port.kind() == model::Port::TUNNEL) return 0;
    unsigned out = 0;
    if (port.reverse_path() == model::Port::STRICT) out |= filters::snapshot::kReversePathStrict;
    if (port.reverse_path() == model::Port::OFF) out |= filters::snapshot::kReversePathOff;
    const bool outside = port.kind() == model::Port::SHARE;
    if (port.has_refuse_bogons() ? port.refuse_bogons() : outside) out |= filters::snapshot::kRefuseBogons;
    return static_cast<std::uint8_t>(out);
  }

  template <typename Wire>
  void fill_wire(filters::snapshot::Port& out, const Wire& wire) const {
    const int nic = nic_index_.at(wire.nic());
    out.nic = static_cast<std::uint32_t>(nic);
    out.mtu = wire.mtu() != 0 ? wire.mtu() : model_.nics(nic).mtu();
    out.outer_vlan = static_cast<std::uint16_t>(wire.outer_vlan());
    out.inner_vlan = static_cast<std::uint16_t>(wire.inner_vlan());
    out.outer_is_svlan = wire.outer_tag() == model::DOT1AD;
  }

  Range add_addresses(const google::protobuf::RepeatedPtrField<std::string>& addresses) {
    const std::size_t first = builder_.port_addresses.size();
    for (const auto& text : addresses) builder_.port_addresses.push_back(*parse_prefix(text));
    return run_since(first, builder_.port_addresses.size());
  }

  void add_owned(const model::Port& port, std::uint32_t uplink, std::uint32_t share) {
    for (const auto& text : port.prefixes()) builder_.owned_prefixes.push_back({*parse_prefix(text), {}, uplink, share});
  }

  void compile_binding(const Place& place) {
    const auto& binding = model_.tenants(place.tenant).bindings(place.index);
    filters::snapshot::Binding out{};
    out.id = place.id;
    out.port = port_at(place.tenant, binding.port());
    out.name = builder_.string(binding.name());
    std::size_t first = builder_.binding_pairs.size();
    for (const auto& pair : binding.pairs()) builder_.binding_pairs.push_back({*parse_mac(pair.mac()), *parse_prefix(pair.prefix())});
    out.pairs = run_since(first, builder_.binding_pairs.size());
    first = builder_.binding_pairs.size();
    for (const auto& prefix : binding.routed()) builder_.binding_pairs.push_back({Mac{}, *parse_prefix(prefix)});
    out.routed = run_since(first, builder_.binding_pairs.size());
    first = builder_.link_locals.size();
    for (const auto& address : binding.lla().list()) builder_.link_locals.push_back(*parse_address(address));
    out.link_locals = run_since(first, builder_.link_locals.size());
    fill_array(out.ethertypes, binding.extra_ethertypes());
    fill_array(out.vrids, binding.vrids());
    fill_meters(out, binding.meters());
    fill_lla(out, binding.lla());
    for (const int role : binding.roles()) out.roles = static_cast<std::uint8_t>(out.roles | 1U << role);
    out.active = binding.state() == model::Binding::ACTIVE;
    out.quarantine = binding.violation() == model::Binding::QUARANTINE;
    builder_.bindings.push_back(out);
  }

  static void fill_meters(filters::snapshot::Binding& out, const model::Meters& meters) {
    out.meters = kDefaultMeters;
    for (int i = 0; i < model::Meters::descriptor()->field_count(); ++i) {
      const auto* field = model::Meters::descriptor()->field(i);
      if (!meters.GetReflection()->HasField(meters, field)) continue;
      const auto& meter = static_cast<const model::Meter&>(meters.GetReflection()->GetMessage(meters, field));
      out.meters[static_cast<std::size_t>(i)] = {meter.rate(), meter.burst()};
    }
  }

  static void fill_lla(filters::snapshot::Binding& out, const model::LinkLocal& lla) {
    switch (lla.policy()) {
      case model::LinkLocal::PIN: out.lla_policy = LlaPolicy::kPin; break;
      case model::LinkLocal::EUI64: out.lla_policy = LlaPolicy::kEui64; break;
      case model::LinkLocal::LIST: out.lla_policy = LlaPolicy::kList; break;
    }
    out.lla_pins = static_cast<std::uint8_t>(lla.pins());
  }

  void compile_tenant(std::uint32_t index) {
    const int t = tenants_[index].tenant;
    const auto& tenant = model_.tenants(t);
    filters::snapshot::Tenant out{};
    out.id = tenants_[index].id;
    out.sessions_max = tenant.sessions_max();
    out.quotas.new_sessions_per_second = tenant.quotas().new_sessions_per_second();
    out.quotas.sessions_guaranteed = tenant.quotas().sessions_guaranteed();
    out.quotas.log_per_second = tenant.quotas().log_per_second();
    out.quotas.log_burst = tenant.quotas().log_burst();
    out.quotas.bandwidth_mbit = tenant.quotas().bandwidth_mbit();
    out.quotas.fragments_guaranteed = tenant.quotas().fragments_guaranteed();
    out.quotas.fragments_max = tenant.quotas().fragments_max();
    out.quotas.rules_max = tenant.quotas().rules_max();
    for (const auto& policy : tenant.policies()) out.quotas.rules += static_cast<std::uint32_t>(policy.rules_size());
    out.service_code = builder_.string(tenant.service_code());
    out.name = builder_.string(tenant.name());
    std::size_t first = builder_.zones.size();
    for (const auto& zone : tenant.zones()) builder_.zones.push_back({builder_.string(zone)});
    out.zones = run_since(first, builder_.zones.size());
    first = builder_.routes.size();
    compile_routes(t);
    out.routes = run_since(first, builder_.routes.size());
    first = builder_.policies.size();
    const std::size_t first_rule = builder_.rules.size();
    const Path root;
    RuleCompiler rules(builder_, ids_, reporter_, tenant, {index, t, model_.guards(), now_}, rule_places_);
    rules.compile(Path(root, "tenants", t));
    out.policies = run_since(first, builder_.policies.size());
    out.rules = run_since(first_rule, builder_.rules.size());
    const std::size_t first_nat = builder_.nat_rules.size();
    compile_nat(builder_, reporter_, rules, ids_, tenant, Path(root, "tenants", t));
    out.nat = run_since(first_nat, builder_.nat_rules.size());
    builder_.tenants.push_back(out);
    compile_state_limits(tenant, index);
    compile_users(builder_, ids_, reporter_, tenant, index);
    compile_radius(builder_, tenant, index);
    compile_gateways(builder_, ids_, reporter_, tenant, index, [&](const std::string& name) { return port_at(t, name); });
  }

  void compile_state_limits(const model::Tenant& tenant, std::uint32_t index) {
    const auto& quotas = tenant.quotas();
    const bool drop = quotas.syn_protection() == model::Quotas::DROP;
    builder_.state_limits.push_back(
        {.tenant = index,
         .half_open_max = quotas.has_half_open_max() ? quotas.half_open_max() : std::max(1U, tenant.sessions_max() / 10),
         .loose_pickup = quotas.loose_pickup_seconds(),
         .syn_protection = drop ? filters::snapshot::SynProtection::kDrop : filters::snapshot::SynProtection::kCookies,
         .reserved = {}});
  }

  /// One route a prefix. The order is the precedence: bound hosts, subnets of ports, pools, what people wrote, subnets of uplinks.
  void compile_routes(int t) {
    const auto& tenant = model_.tenants(t);
    std::set<Prefix> taken;
    const auto add = [&](const Prefix& prefix, std::uint32_t port, const Address* hop) {
      if (!taken.insert(prefix).second) return;
      builder_.routes.push_back({prefix, hop != nullptr, 0, port, hop != nullptr ? *hop : Address{}, {}});
    };
    for (const auto& binding : tenant.bindings()) {
      if (binding.state() != model::Binding::ACTIVE) continue;
      for (const auto& pair : binding.pairs()) add(*parse_prefix(pair.prefix()), port_at(t, binding.port()), nullptr);
    }
    const auto add_subnets = [&](const auto& addresses, std::uint32_t port) {
      for (const auto& text : addresses) {
        const auto own = parse_prefix(text);
        add({own->first(), own->length}, port, nullptr);
      }
    };
    for (const auto& port : tenant.ports()) add_subnets(port.addresses(), port_at(t, port.name()));
    for (const auto& pool : tenant.pools()) {
      for (const Prefix& prefix : pool_prefixes(pool)) add(prefix, port_at(t, pool.tunnel()), nullptr);
    }
    for (const auto& route : tenant.routes()) {
      const auto hop = route.has_next_hop() ? parse_address(route.next_hop()) : Result<Address>(Address{});
      add(*parse_prefix(route.prefix()), port_at(t, route.port()), route.has_next_hop() ? &*hop : nullptr);
    }
    for (const auto& port : tenant.ports()) {
      if (port.kind() == model::Port::SHARE) add_subnets(uplink_named(port.uplink()).addresses(), port_at(t, port.name()));
    }
  }

  const model::Configuration& model_;
  Ids& ids_;
  Reporter& reporter_;
  std::int64_t now_;
  filters::SnapshotBuilder builder_;
  std::vector<RulePlace> rule_places_;
  std::vector<Place> tenants_;
  std::vector<Place> ports_;
  std::vector<Place> bindings_;
  std::map<int, std::uint32_t> tenant_index_;
  std::map<std::pair<int, std::string>, std::uint32_t> port_index_;
  std::map<std::pair<int, std::string>, std::uint32_t> binding_index_;
  std::map<std::string, int> nic_index_;
};

/// An id written out must not be one that was given to another rule without an id: both would be one rule in the logs.
void check_given_uuids(const model::Configuration& model, Ids& ids, Reporter& reporter) {
  const Path root;
  for (int t = 0; t < model.tenants_size(); ++t) {
    const auto& tenant = model.tenants(t);
    const Path tenant_path(root, "tenants", t);
    std::map<Uuid, std::string_view> owners;
    for (int pass = 0; pass < 2; ++pass) {  // the written ones first
      for (int p = 0; p < tenant.policies_size(); ++p) {
        const Path policy_path(tenant_path, "policies", p);
        for (int r = 0; r < tenant.policies(p).rules_size(); ++r) {
          const auto& rule = tenant.policies(p).rules(r);
          if (rule.has_id() != (pass == 0)) continue;
          const auto [owner, fresh] = owners.emplace(rule_uuid(ids, tenant, tenant.policies(p), rule), rule.name());
          if (fresh) continue;
          reporter.error(Path(policy_path, "rules", r), "the id once given to this rule is now written at rule \"" +
                                                            std::string(owner->second) + "\"; write an id of its own here");
        }
      }
    }
  }
}

}  // namespace

Uuid rule_uuid(Ids& ids, const model::Tenant& tenant, const model::Policy& policy, const model::Rule& rule) {
  const auto written = rule.has_id() ? parse_uuid(rule.id()) : std::nullopt;
  return written ? *written : ids.uuid(rule_uuid_key(tenant.service_code(), policy.name(), rule.name()));
}

Uuid nat_rule_uuid(Ids& ids, const model::Tenant& tenant, const model::NatRule& rule) {
  const auto written = rule.has_id() ? parse_uuid(rule.id()) : std::nullopt;
  return written ? *written : ids.uuid(nat_rule_uuid_key(tenant.service_code(), rule.name()));
}

std::uint16_t service_number(const model::Tenant& tenant, const model::ServiceObject& service) {
  for (int i = 0; i < std::min(tenant.services_size(), 0xffff); ++i) {
    if (&tenant.services(i) == &service) return static_cast<std::uint16_t>(i + 1);
  }
  return 0;
}

bool guards_tenant(const model::Guard& guard, const model::Tenant& tenant) {
  const auto& named = guard.tenants();
  return named.empty() || std::find(named.begin(), named.end(), tenant.service_code()) != named.end();
}

static_assert(static_cast<int>(filters::snapshot::Enforcement::kSegment) == model::Port::BY_SEGMENT &&
              static_cast<int>(filters::snapshot::Enforcement::kIsolate) == model::Port::ISOLATED);

std::vector<int> bindings_of_port(const model::Tenant& tenant, const model::Port& port) {
  std::vector<int> all;
  int only = -1;
  for (int i = 0; i < tenant.bindings_size(); ++i) {
    if (tenant.bindings(i).port() != port.name()) continue;
    all.push_back(i);
    if (only < 0 || (tenant.bindings(i).state() == model::Binding::ACTIVE &&
                     tenant.bindings(only).state() != model::Binding::ACTIVE)) {
      only = i;
    }
  }
  if (all.empty() || port.enforcement() != model::Port::BY_PORT) return all;
  return {only};
}

Compiled compile(const model::Configuration& model, const Positions& positions, Ids& ids, std::uint32_t generation, std::int64_t now) {
  Reporter reporter(positions);
  check_given_uuids(model, ids, reporter);
  Compiler compiler(model, ids, reporter, now);
  compiler.compile();
  Compiled out{.snapshot = {}, .findings = reporter.take(), .rules = compiler.take_rule_places(), .moment = compiler.moment()};
  if (has_errors(out.findings)) return out;
  out.snapshot = compiler.finish(generation);
  const auto view = filters::SnapshotView::parse(out.snapshot);
  if (!view) {
    out.findings.push_back({Severity::kError, "", 0, 0, "the compiled snapshot is not sound: " + describe(view.error())});
    out.snapshot.clear();
  }
  return out;
}

}  // namespace sekisho::control
