// SPDX-License-Identifier: Apache-2.0
#include "control/compile/export_plan.h"

#include "control/compile/vpn_config.h"

namespace sekisho::control {

ipc::ExportPlan make_export_plan(const model::Configuration& model, std::uint32_t generation) {
  ipc::ExportPlan out;
  out.set_generation(generation);
  out.set_node(model.node());
  const auto add = [&out](const std::string& owner, const model::LogExport& one) {
    if (!one.enabled()) return;
    ipc::ExportTarget& target = *out.add_targets();
    target.set_owner(owner);
    *target.mutable_what() = one;
  };
  for (const auto& one : model.log_exports().targets()) add("", one);
  for (const auto& tenant : model.tenants()) {
    for (const auto& one : tenant.log_exports()) add(tenant.service_code(), one);
  }
  return out;
}

void wipe_secrets(ipc::ExportPlan& plan) {
  for (auto& target : *plan.mutable_targets()) {
    wipe(*target.mutable_what()->mutable_key());
    wipe(*target.mutable_what()->mutable_token());
  }
  plan.Clear();
}

}  // namespace sekisho::control
