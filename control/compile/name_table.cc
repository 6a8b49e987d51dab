// SPDX-License-Identifier: Apache-2.0
#include "control/compile/compiler.h"
#include "control/config/text.h"
#include "filters/policy/snapshot.h"

namespace sekisho::control {
namespace {

using filters::snapshot::kNone;

class NameWriter {
 public:
  NameWriter(Ids& ids, ipc::NameTable& out) : ids_(ids), out_(out) {}

  void write_uplink(const model::Uplink& uplink) {
    auto& names = *out_.add_ports();
    names.set_id(ids_.number(IdKind::kPort, uplink_key(uplink.name())));
    names.set_tenant(kNone);
    names.set_name(uplink.name());
  }

  void write_tenant(const model::Tenant& tenant, const google::protobuf::RepeatedPtrField<model::Guard>& guards) {
    const std::uint32_t id = ids_.number(IdKind::kTenant, tenant_key(tenant.service_code()));
    auto& names = *out_.add_tenants();
    names.set_id(id);
    names.set_service_code(tenant.service_code());
    names.set_name(tenant.name());
    for (const auto& service : tenant.services()) names.add_services(service.name());
    for (const auto& port : tenant.ports()) write_port(tenant, port, id);
    for (int i = 0; i < guards.size(); ++i) {
      if (!guards_tenant(guards[i], tenant)) continue;
      const Uuid uuid = ids_.uuid(guard_uuid_key(tenant.service_code(), guards[i].name()));
      write_rule(tenant, id, uuid, guards[i].name(), static_cast<std::uint32_t>(i + 1), "platform");
    }
    for (const auto& policy : tenant.policies()) write_policy(tenant, policy, id);
    write_rule(tenant, id, ids_.uuid(final_default_uuid_key(tenant.service_code())), kDefaultDenyName, 0, "");
  }

 private:
  void write_port(const model::Tenant& tenant, const model::Port& port, std::uint32_t tenant_id) {
    const std::uint32_t id = ids_.number(IdKind::kPort, port_key(tenant.service_code(), port.name()));
    auto& names = *out_.add_ports();
    names.set_id(id);
    names.set_tenant(tenant_id);
    names.set_name(port.name());
    names.set_zone(port.zone());
    names.set_protected_side(port.kind() == model::Port::SEGMENT);
    names.set_tunnel(port.kind() == model::Port::TUNNEL);
    for (const int binding : bindings_of_port(tenant, port)) write_binding(tenant, tenant.bindings(binding), id);
  }

  void write_binding(const model::Tenant& tenant, const model::Binding& binding, std::uint32_t port_id) {
    auto& names = *out_.add_bindings();
    names.set_id(ids_.number(IdKind::kBinding, binding_key(tenant.service_code(), binding.name())));
    names.set_port(port_id);
    names.set_name(binding.name());
    for (const auto& pair : binding.pairs()) {
      const auto mac = parse_mac(pair.mac());
      const auto prefix = parse_prefix(pair.prefix());
      if (mac && names.mac().empty()) names.set_mac(mac->bytes.data(), mac->bytes.size());
      if (prefix) names.add_addresses(prefix->address.bytes.data(), prefix->address.wire().size());
    }
  }

  void write_policy(const model::Tenant& tenant, const model::Policy& policy, std::uint32_t tenant_id) {
    for (int i = 0; i < policy.rules_size(); ++i) {
      const auto& rule = policy.rules(i);
      write_rule(tenant, tenant_id, rule_uuid(ids_, tenant, policy, rule), rule.name(), static_cast<std::uint32_t>(i + 1), policy.name());
      write_groups(rule, *out_.mutable_rules(out_.rules_size() - 1));
    }
    const Uuid uuid = ids_.uuid(policy_default_uuid_key(tenant.service_code(), policy.name()));
    write_rule(tenant, tenant_id, uuid, kDefaultDenyName, 0, policy.name());
  }

  /// Whom and what a rule for users names: what their records call it.
  static void write_groups(const model::Rule& rule, ipc::RuleNames& names) {
    if (rule.users().empty()) return;
    for (const auto& group : rule.users()) names.add_users(group);
    for (const auto& host : rule.destination()) names.add_hosts(host);
    for (const auto& service : rule.service()) names.add_services(service);
  }

  void write_rule(const model::Tenant& tenant, std::uint32_t tenant_id, const Uuid& uuid, std::string_view name, std::uint32_t number,
                  const std::string& policy) {
    auto& names = *out_.add_rules();
    names.set_id(ids_.number(IdKind::kRule, rule_key(tenant.service_code(), uuid)));
    names.set_tenant(tenant_id);
    names.set_uuid(uuid.data(), uuid.size());
    names.set_name(std::string(name));
    names.set_number(number);
    names.set_policy(policy);
  }

  Ids& ids_;
  ipc::NameTable& out_;
};

}  // namespace

ipc::NameTable make_name_table(const model::Configuration& model, Ids& ids, std::uint32_t generation) {
  ipc::NameTable out;
  out.set_generation(generation);
  out.set_node(model.node());
  NameWriter writer(ids, out);
  for (const auto& uplink : model.uplinks()) writer.write_uplink(uplink);
  for (const auto& tenant : model.tenants()) writer.write_tenant(tenant, model.guards());
  return out;
}

}  // namespace sekisho::control
