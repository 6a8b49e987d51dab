// SPDX-License-Identifier: Apache-2.0
#include "control/show/tables.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <map>
#include <set>
#include <string_view>

#include "base/net/address.h"
#include "control/compile/compiler.h"
#include "control/config/timetable.h"
#include "control/config/codec.h"

namespace sekisho::control {
namespace {

enum class Kind : std::uint8_t { kText, kNumber };
struct ColumnSpec {
  const char* key;
  const char* title;
  Kind kind = Kind::kText;
};

constexpr std::uint32_t kUnknownTenant = 0xffffffffU;  // before the tenant was known, or none

ipc::Table table_of(std::initializer_list<ColumnSpec> columns) {
  ipc::Table out;
  for (const ColumnSpec& spec : columns) {
    auto& column = *out.add_columns();
    column.set_key(spec.key);
    column.set_title(spec.title);
    column.set_right(spec.kind == Kind::kNumber);
    column.set_number(spec.kind == Kind::kNumber);
  }
  return out;
}

void add_row(ipc::Table& table, std::initializer_list<std::string> cells) {
  auto& row = *table.add_rows();
  for (const std::string& cell : cells) row.add_cells(cell);
}

std::string text(std::uint64_t number) {
  return std::to_string(number);
}

std::string address_text(const std::string& bytes) {
  const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  return address ? to_string(*address) : "-";
}

std::string mac_text(const std::string& bytes) {
  Mac mac;
  if (bytes.size() != mac.bytes.size()) return "-";
  std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
  return to_string(mac);
}

std::string endpoint(const std::string& bytes, std::uint32_t port, std::uint32_t protocol) {
  const std::string address = address_text(bytes);
  if (protocol != 6 && protocol != 17 && protocol != 132) return address;
  return bytes.size() == 16 ? '[' + address + "]:" + text(port) : address + ':' + text(port);
}

std::string protocol_text(std::uint32_t protocol) {
  switch (protocol) {
    case 1:
      return "icmp";
    case 6:
      return "tcp";
    case 17:
      return "udp";
    case 47:
      return "gre";
    case 50:
      return "esp";
    case 58:
      return "icmpv6";
    case 132:
      return "sctp";
    default:
      return text(protocol);
  }
}

template <typename List>
auto by_id(const List& list) {
  std::map<std::uint32_t, const typename List::value_type*> out;
  for (const auto& element : list) out.emplace(element.id(), &element);
  return out;
}

/// Numbers to names under the running revision; "#7" for what it does not know (an older revision's session).
class Names {
 public:
  explicit Names(const ipc::NameTable& table)
      : tenants_(by_id(table.tenants())), ports_(by_id(table.ports())), rules_(by_id(table.rules())), bindings_(by_id(table.bindings())) {}

  [[nodiscard]] std::string tenant(std::uint32_t id) const {
    if (id == kUnknownTenant) return "-";
    const auto at = tenants_.find(id);
    return at == tenants_.end() ? '#' + text(id) : at->second->name();
  }
  [[nodiscard]] std::string port(std::uint32_t id) const {
    const auto at = ports_.find(id);
    return at == ports_.end() ? '#' + text(id) : at->second->name();
  }
  [[nodiscard]] std::uint32_t tenant_of_port(std::uint32_t id) const {
    const auto at = ports_.find(id);
    return at == ports_.end() ? kUnknownTenant : at->second->tenant();
  }
  /// Empty for 0.
  [[nodiscard]] std::string binding(std::uint32_t id) const {
    if (id == 0) return "";
    const auto at = bindings_.find(id);
    return at == bindings_.end() ? '#' + text(id) : at->second->name();
  }
  [[nodiscard]] std::string rule(std::uint32_t id) const {
    const auto at = rules_.find(id);
    if (at == rules_.end()) return '#' + text(id);
    return at->second->policy().empty() ? at->second->name() : at->second->policy() + '/' + at->second->name();
  }

 private:
  std::map<std::uint32_t, const ipc::TenantNames*> tenants_;
  std::map<std::uint32_t, const ipc::PortNames*> ports_;
  std::map<std::uint32_t, const ipc::RuleNames*> rules_;
  std::map<std::uint32_t, const ipc::BindingNames*> bindings_;
};

bool wanted(const ShowContext& context, const model::Tenant& tenant) {
  return context.tenant.empty() || context.tenant == tenant.service_code() || context.tenant == tenant.name();
}

/// The same by number, for what the data plane answers.
bool wanted(const ShowContext& context, std::uint32_t tenant) {
  if (context.tenant.empty()) return true;
  for (const auto& names : context.names.tenants()) {
    if (names.id() == tenant) return context.tenant == names.service_code() || context.tenant == names.name();
  }
  return false;
}

std::string vlan_text(std::uint32_t outer, std::uint32_t inner) {
  if (outer == 0) return "-";
  return inner == 0 ? text(outer) : text(outer) + '.' + text(inner);
}

std::string joined(const google::protobuf::RepeatedPtrField<std::string>& list) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ", ") + item;
  return out.empty() ? "-" : out;
}

template <typename Enum>
std::string enum_word(Enum value, const google::protobuf::EnumDescriptor* type) {
  const auto* known = type->FindValueByNumber(value);
  return known == nullptr ? "-" : enum_text(*known);
}

}  // namespace

std::string jst_text(std::uint64_t unix_ns) {
  if (unix_ns == 0) return "-";
  constexpr std::int64_t kJstOffsetSeconds = 9 * 3600;  // no daylight saving time since 1951
  const std::time_t seconds = static_cast<std::time_t>(unix_ns / 1'000'000'000) + kJstOffsetSeconds;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[32];
  std::strftime(buffer, sizeof(buffer), "%Y-%m-%d %H:%M:%S", &parts);
  return buffer;
}

ipc::Table show_tenants(const ShowContext& context, const ipc::Counters& counters) {
  ipc::Table out = table_of({{"service_code", "Service code"},
                             {"name", "Name"},
                             {"sessions", "Sessions", Kind::kNumber},
                             {"sessions_guaranteed", "Guaranteed", Kind::kNumber},
                             {"sessions_max", "Most", Kind::kNumber},
                             {"over_quota", "Refused beyond quota", Kind::kNumber},
                             {"ports", "Ports", Kind::kNumber},
                             {"bindings", "Bindings", Kind::kNumber},
                             {"rules", "Rules", Kind::kNumber},
                             {"log_lost", "Log records lost", Kind::kNumber}});
  std::map<std::uint32_t, const ipc::TenantCounter*> counted;
  for (const auto& counter : counters.tenants()) counted.emplace(counter.tenant(), &counter);
  std::map<std::uint32_t, std::uint64_t> over_quota;
  for (const auto& drop : counters.drops()) {
    constexpr std::array<std::string_view, 4> kQuotas{"session-limit", "session-rate", "bandwidth", "fair-share"};
    if (std::find(kQuotas.begin(), kQuotas.end(), drop.name()) != kQuotas.end()) over_quota[drop.tenant()] += drop.packets();
  }
  for (const auto& tenant : context.model.tenants()) {
    if (!wanted(context, tenant)) continue;
    const auto at = counted.find(context.ids.number(IdKind::kTenant, tenant_key(tenant.service_code())));
    const ipc::TenantCounter none;
    const auto& counter = at == counted.end() ? none : *at->second;
    std::size_t rules = 0;
    for (const auto& policy : tenant.policies()) rules += static_cast<std::size_t>(policy.rules_size());
    add_row(out, {tenant.service_code(), tenant.name(), text(counter.sessions()),
                  text(tenant.quotas().sessions_guaranteed()), text(tenant.sessions_max()), text(over_quota[counter.tenant()]),
                  text(static_cast<std::uint64_t>(tenant.ports_size())),
                  text(static_cast<std::uint64_t>(tenant.bindings_size())), text(rules), text(counter.log_lost())});
  }
  return out;
}

ipc::Table show_ports(const ShowContext& context, const ipc::Counters& counters) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"name", "Port"},
                             {"kind", "Kind"},
                             {"zone", "Zone"},
                             {"nic", "NIC"},
                             {"vlan", "VLAN"},
                             {"addresses", "Addresses"},
                             {"binding", "Binding"},
                             {"rx_packets", "Packets in", Kind::kNumber},
                             {"rx_bytes", "Bytes in", Kind::kNumber},
                             {"tx_packets", "Packets out", Kind::kNumber},
                             {"tx_bytes", "Bytes out", Kind::kNumber}});
  std::map<std::uint32_t, const ipc::PortCounter*> counted;
  for (const auto& counter : counters.ports()) counted.emplace(counter.port(), &counter);
  const ipc::PortCounter none;
  const auto counter_of = [&](const std::string& key) -> const ipc::PortCounter& {
    const auto at = counted.find(context.ids.number(IdKind::kPort, key));
    return at == counted.end() ? none : *at->second;
  };
  for (const auto& uplink : context.model.uplinks()) {
    if (!context.tenant.empty()) break;
    const auto& c = counter_of(uplink_key(uplink.name()));
    add_row(out, {"-", uplink.name(), "uplink", "-", uplink.nic(), vlan_text(uplink.outer_vlan(), uplink.inner_vlan()),
                  joined(uplink.addresses()), "-", text(c.rx_packets()), text(c.rx_bytes()), text(c.tx_packets()),
                  text(c.tx_bytes())});
  }
  for (const auto& tenant : context.model.tenants()) {
    if (!wanted(context, tenant)) continue;
    for (const auto& port : tenant.ports()) {
      const bool share = port.kind() == model::Port::SHARE;
      const std::vector<int> bindings = bindings_of_port(tenant, port);
      const std::string bound = bindings.empty()                               ? "-"
                                : port.enforcement() != model::Port::BY_PORT ? text(bindings.size()) + " by MAC"
                                                                                : tenant.bindings(bindings[0]).name();
      const auto& c = counter_of(port_key(tenant.service_code(), port.name()));
      add_row(out,
              {tenant.name(), port.name(), enum_word(port.kind(), model::Port::Kind_descriptor()), port.zone(),
               share ? port.uplink() : port.nic(), vlan_text(port.outer_vlan(), port.inner_vlan()),
               joined(share ? port.prefixes() : port.addresses()), bound,
               text(c.rx_packets()), text(c.rx_bytes()), text(c.tx_packets()), text(c.tx_bytes())});
    }
  }
  return out;
}

ipc::Table show_bindings(const ShowContext& context, const ipc::Counters& counters) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"name", "Binding"},
                             {"port", "Port"},
                             {"state", "State"},
                             {"pairs", "MAC and address"},
                             {"violations", "Violations", Kind::kNumber}});
  std::map<std::uint32_t, const ipc::BindingCounter*> counted;
  for (const auto& counter : counters.bindings()) counted.emplace(counter.binding(), &counter);
  for (const auto& tenant : context.model.tenants()) {
    if (!wanted(context, tenant)) continue;
    std::set<int> compiled;  // a suspended binding beside an active one has no number
    for (const auto& port : tenant.ports()) {
      for (const int binding : bindings_of_port(tenant, port)) compiled.insert(binding);
    }
    for (int i = 0; i < tenant.bindings_size(); ++i) {
      const auto& binding = tenant.bindings(i);
      std::string pairs;
      for (const auto& pair : binding.pairs()) pairs += (pairs.empty() ? "" : ", ") + pair.mac() + ' ' + pair.prefix();
      const auto count = compiled.contains(i)
                             ? counted.find(context.ids.number(IdKind::kBinding, binding_key(tenant.service_code(), binding.name())))
                             : counted.end();
      const bool quarantined = count != counted.end() && count->second->quarantined();
      add_row(out, {tenant.name(), binding.name(), binding.port(),
                    quarantined ? "quarantined" : enum_word(binding.state(), model::Binding::State_descriptor()),
                    pairs.empty() ? "-" : pairs, text(count == counted.end() ? 0 : count->second->violations())});
    }
  }
  return out;
}

namespace {

class RuleTable {
 public:
  RuleTable(const ShowContext& context, const ipc::Counters& counters)
      : context_(context),
        table_(table_of({{"tenant", "Tenant"},
                         {"policy", "Policy"},
                         {"number", "No", Kind::kNumber},
                         {"name", "Rule"},
                         {"action", "Action"},
                         {"enabled", "Enabled"},
                         {"stands", "Stands"},
                         {"log", "Log"},
                         {"connections", "Connections", Kind::kNumber},
                         {"packets", "Packets", Kind::kNumber},
                         {"bytes", "Bytes", Kind::kNumber},
                         {"first_hit", "First hit (JST)"},
                         {"last_hit", "Last hit (JST)"},
                         {"id", "Id"}})) {
    for (const auto& counter : counters.rules()) counted_.emplace(counter.rule(), &counter);
  }

  void add_tenant(const model::Tenant& tenant) {
    for (int i = 0; i < context_.model.guards_size(); ++i) {
      const auto& guard = context_.model.guards(i);
      if (!guards_tenant(guard, tenant)) continue;
      add(tenant, "platform", i + 1, guard.name(), enum_word(guard.action(), model::Guard::Action_descriptor()), "yes", "yes",
          enum_word(guard.log(), model::DropLog_descriptor()), context_.ids.uuid(guard_uuid_key(tenant.service_code(), guard.name())));
    }
    for (const auto& policy : tenant.policies()) {
      for (int i = 0; i < policy.rules_size(); ++i) {
        const auto& rule = policy.rules(i);
        add(tenant, policy.name(), i + 1, rule.name(), enum_word(rule.action(), model::Rule::Action_descriptor()),
            rule.enabled() ? "yes" : "no", standing_word(tenant, rule), log_word(rule), rule_uuid(context_.ids, tenant, policy, rule));
      }
      add_default(tenant, policy.name(), policy.default_log(),
                  policy_default_uuid_key(tenant.service_code(), policy.name()));
    }
    add_default(tenant, "-", tenant.default_log(), final_default_uuid_key(tenant.service_code()));
  }
  ipc::Table take() { return std::move(table_); }

 private:
  /// Whether a rule last hit then is asked about.
  [[nodiscard]] bool wanted_by_use(std::uint64_t last_hit_ns) const {
    if (context_.unused_days == 0) return true;
    const std::int64_t since = context_.now - std::int64_t{context_.unused_days} * 86400;
    return last_hit_ns == 0 || static_cast<std::int64_t>(last_hit_ns / 1'000'000'000) < since;
  }
  [[nodiscard]] std::string standing_word(const model::Tenant& tenant, const model::Rule& rule) const {
    switch (standing_of(tenant, rule, context_.now)) {
      case Standing::kStands: break;
      case Standing::kOutside:
      case Standing::kOutsideStrict: return "outside " + rule.schedule();
      case Standing::kExpired: return "expired";
    }
    return rule.has_valid_until() ? "until " + rule.valid_until() : "yes";
  }
  static std::string log_word(const model::Rule& rule) {
    if (rule.log() != model::Rule::AUTO) return enum_word(rule.log(), model::Rule::Log_descriptor());
    return rule.action() == model::Rule::ALLOW ? "end" : "folded";
  }
  void add_default(const model::Tenant& tenant, const std::string& policy, model::DropLog log,
                   const std::string& uuid_key) {
    add(tenant, policy, 0, std::string(kDefaultDenyName), "drop", "yes", "yes", enum_word(log, model::DropLog_descriptor()),
        context_.ids.uuid(uuid_key));
  }
  void add(const model::Tenant& tenant, const std::string& policy, int number, const std::string& name,
           const std::string& action, const std::string& enabled, const std::string& stands, const std::string& log, const Uuid& uuid) {
    const auto at = counted_.find(context_.ids.number(IdKind::kRule, rule_key(tenant.service_code(), uuid)));
    const ipc::RuleCounter none;
    const auto& c = at == counted_.end() ? none : *at->second;
    if (!wanted_by_use(c.last_hit_ns())) return;
    add_row(table_, {tenant.name(), policy, std::to_string(number), name, action, enabled, stands, log,
                     text(c.connections()), text(c.packets()), text(c.bytes()), jst_text(c.first_hit_ns()),
                     jst_text(c.last_hit_ns()), to_string(uuid)});
  }

  const ShowContext& context_;
  ipc::Table table_;
  std::map<std::uint32_t, const ipc::RuleCounter*> counted_;
};

}  // namespace

ipc::Table show_rules(const ShowContext& context, const ipc::Counters& counters) {
  RuleTable table(context, counters);
  for (const auto& tenant : context.model.tenants()) {
    if (wanted(context, tenant)) table.add_tenant(tenant);
  }
  ipc::Table out = table.take();
  if (context.unused_days != 0) {
    out.set_note("hits are counted since " + jst_text(counters.since_ns()) + " JST; what was hit before is not known");
  }
  return out;
}

ipc::Table show_drops(const ShowContext& context, const ipc::Counters& counters) {
  ipc::Table out = table_of({{"tenant", "Tenant"}, {"reason", "Reason"}, {"packets", "Packets", Kind::kNumber}});
  const Names names(context.names);
  for (const auto& drop : counters.drops()) {
    if (wanted(context, drop.tenant())) add_row(out, {names.tenant(drop.tenant()), drop.name(), text(drop.packets())});
  }
  return out;
}

ipc::Table show_sessions(const ShowContext& context, const ipc::SessionList& sessions) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"flow_id", "Flow"},
                             {"protocol", "Protocol"},
                             {"source", "Source"},
                             {"destination", "Destination"},
                             {"translated", "Translated"},
                             {"state", "State"},
                             {"rule", "Rule"},
                             {"in_port", "In"},
                             {"out_port", "Out"},
                             {"packets_forward", "Packets there", Kind::kNumber},
                             {"packets_reverse", "and back", Kind::kNumber},
                             {"bytes_forward", "Bytes there", Kind::kNumber},
                             {"bytes_reverse", "and back", Kind::kNumber},
                             {"age_ms", "Age (ms)", Kind::kNumber},
                             {"idle_ms", "Idle (ms)", Kind::kNumber},
                             {"expires_ms", "Left (ms)", Kind::kNumber}});
  const Names names(context.names);
  for (const auto& s : sessions.sessions()) {
    if (!wanted(context, s.tenant())) continue;
    std::string translated;
    if (!s.nat_source().empty()) {
      translated = endpoint(s.nat_source(), s.nat_source_port(), s.protocol()) + " > " +
                   endpoint(s.nat_destination(), s.nat_destination_port(), s.protocol());
    }
    add_row(out, {names.tenant(s.tenant()), text(s.flow_id()), protocol_text(s.protocol()),
                  endpoint(s.source(), s.source_port(), s.protocol()),
                  endpoint(s.destination(), s.destination_port(), s.protocol()), translated, s.state(), names.rule(s.rule()),
                  names.port(s.in_port()), names.port(s.out_port()), text(s.packets_forward()),
                  text(s.packets_reverse()), text(s.bytes_forward()), text(s.bytes_reverse()), text(s.age_ms()),
                  text(s.idle_ms()), text(s.expires_ms())});
  }
  if (sessions.truncated()) out.set_note("there are more sessions than are shown");
  return out;
}

ipc::Table show_nat(const ShowContext& context, const ipc::NatReport& report) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"number", "No", Kind::kNumber},
                             {"name", "NAT rule"},
                             {"kind", "Kind"},
                             {"enabled", "Enabled"},
                             {"translated", "Translated to"},
                             {"log", "Log"},
                             {"connections", "Connections", Kind::kNumber},
                             {"sessions", "Open", Kind::kNumber},
                             {"ports", "Ports", Kind::kNumber},
                             {"blocks", "Blocks", Kind::kNumber},
                             {"blocks_all", "of", Kind::kNumber},
                             {"first_hit", "First hit (JST)"},
                             {"last_hit", "Last hit (JST)"},
                             {"id", "Id"}});
  std::map<std::uint32_t, const ipc::NatRuleUse*> used;
  for (const auto& use : report.rules()) used.emplace(use.rule(), &use);
  const ipc::NatRuleUse none;
  for (const auto& tenant : context.model.tenants()) {
    if (!wanted(context, tenant)) continue;
    for (int i = 0; i < tenant.nat_size(); ++i) {
      const auto& rule = tenant.nat(i);
      const Uuid uuid = nat_rule_uuid(context.ids, tenant, rule);
      const auto at = used.find(context.ids.number(IdKind::kRule, rule_key(tenant.service_code(), uuid)));
      const auto& use = at == used.end() ? none : *at->second;
      std::string to = joined(rule.translated());
      if (rule.translated_port() != 0) to += " port " + text(rule.translated_port());
      const bool napt = rule.kind() == model::NatRule::NAPT;
      add_row(out, {tenant.name(), text(static_cast<std::uint64_t>(i + 1)), rule.name(),
                    enum_word(rule.kind(), model::NatRule::Kind_descriptor()), rule.enabled() ? "yes" : "no", to,
                    enum_word(rule.log(), model::NatRule::Log_descriptor()), text(use.connections()), text(use.sessions()),
                    napt ? text(use.ports()) : "", napt ? text(use.blocks()) : "", napt ? text(use.blocks_all()) : "",
                    jst_text(use.first_hit_ns()), jst_text(use.last_hit_ns()), to_string(uuid)});
    }
  }
  return out;
}

ipc::Table show_nat_blocks(const ShowContext& context, const ipc::NatReport& report) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"name", "NAT rule"},
                             {"inside", "Inside"},
                             {"outside", "Outside"},
                             {"ports_from", "From port", Kind::kNumber},
                             {"ports_to", "to", Kind::kNumber},
                             {"ports", "Used", Kind::kNumber},
                             {"sessions", "Open", Kind::kNumber}});
  std::map<std::uint32_t, std::string> rules;
  for (const auto& tenant : context.model.tenants()) {
    for (const auto& rule : tenant.nat()) {
      const Uuid uuid = nat_rule_uuid(context.ids, tenant, rule);
      rules.emplace(context.ids.number(IdKind::kRule, rule_key(tenant.service_code(), uuid)), rule.name());
    }
  }
  const Names names(context.names);
  for (const auto& block : report.blocks()) {
    if (!wanted(context, block.tenant())) continue;
    const auto rule = rules.find(block.rule());
    add_row(out, {names.tenant(block.tenant()), rule == rules.end() ? '#' + text(block.rule()) : rule->second, address_text(block.inside()),
                  address_text(block.outside()), text(block.first()), text(block.first() + block.count() - 1), text(block.ports()),
                  text(block.sessions())});
  }
  if (report.truncated()) out.set_note("there are more blocks than are shown");
  return out;
}

ipc::Table show_neighbours(const ShowContext& context, const ipc::NeighbourList& neighbours) {
  ipc::Table out = table_of({{"tenant", "Tenant"},
                             {"port", "Port"},
                             {"address", "Address"},
                             {"mac", "MAC"},
                             {"state", "State"},
                             {"origin", "Origin"},
                             {"binding", "Binding"}});
  const Names names(context.names);
  for (const auto& n : neighbours.neighbours()) {
    const std::uint32_t tenant = names.tenant_of_port(n.port());
    if (!wanted(context, tenant)) continue;
    add_row(out, {names.tenant(tenant), names.port(n.port()), address_text(n.address()), mac_text(n.mac()), n.state(),
                  n.origin(), names.binding(n.binding())});
  }
  return out;
}

ipc::Table show_status(const ipc::Status& status, const ipc::Counters& counters, std::uint32_t running,
                       std::uint32_t waiting) {
  ipc::Table out = table_of({{"item", "Item"}, {"value", "Value"}});
  add_row(out, {"running revision", running == 0 ? "none" : text(running)});
  add_row(out, {"waiting for confirmation", waiting == 0 ? "none" : text(waiting)});
  add_row(out, {"generation in force", status.generation() == 0 ? "none" : text(status.generation())});
  add_row(out, {"forwarding", status.forwarding() ? "yes" : "no"});
  add_row(out, {"workers", text(status.workers())});
  add_row(out, {"sessions", text(status.sessions()) + " of " + text(status.sessions_max())});
  add_row(out, {"places left to judge again", text(status.sweep_left())});
  add_row(out, {"version", status.version().empty() ? "-" : status.version()});
  add_row(out, {"started (JST)", jst_text(status.started_ns())});
  const auto& c = counters.conservation();
  add_row(out, {"packets received", text(c.received())});
  add_row(out, {"packets generated", text(c.generated())});
  add_row(out, {"packets sent", text(c.sent())});
  add_row(out, {"packets punted", text(c.punted())});
  add_row(out, {"packets held", text(c.held())});
  add_row(out, {"packets dropped", text(c.dropped())});
  add_row(out, {"conservation violations", text(c.violations())});
  return out;
}

}  // namespace sekisho::control
