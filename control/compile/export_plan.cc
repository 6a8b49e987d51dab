// SPDX-License-Identifier: Apache-2.0
#include "control/compile/export_plan.h"

#include "control/compile/vpn_config.h"

namespace sekisho::control {
namespace {

/// Calls use(owner, collector) for each that is enabled.
template <typename Use>
void for_each_enabled(const model::Configuration& model, Use use) {
  for (const auto& one : model.log_exports().targets()) {
    if (one.enabled()) use(std::string(), one);
  }
  for (const auto& tenant : model.tenants()) {
    for (const auto& one : tenant.log_exports()) {
      if (one.enabled()) use(tenant.service_code(), one);
    }
  }
}

std::string word_of(int type) {
  std::string out = model::LogExport::Type_Name(type);
  for (char& c : out) c = static_cast<char>(c | 0x20);  // ASCII letters
  return out;
}

}  // namespace

ipc::ExportPlan make_export_plan(const model::Configuration& model, std::uint32_t generation) {
  ipc::ExportPlan out;
  out.set_generation(generation);
  out.set_node(model.node());
  for_each_enabled(model, [&out](const std::string& owner, const model::LogExport& one) {
    ipc::ExportTarget& target = *out.add_targets();
    target.set_owner(owner);
    *target.mutable_what() = one;
  });
  return out;
}

ipc::SetLogExports make_export_list(const model::Configuration& model, std::uint32_t generation) {
  ipc::SetLogExports out;
  out.set_generation(generation);
  for_each_enabled(model, [&out](const std::string& owner, const model::LogExport& one) {
    ipc::LogExportName& target = *out.add_targets();
    target.set_owner(owner), target.set_name(one.name());
    if (one.kind() == model::LogExport::IPFIX) target.add_types(word_of(model::LogExport::COMM));  // it has no other form
    else for (const int type : one.types()) target.add_types(word_of(type));
    if (owner.empty()) *target.mutable_service_codes() = one.tenants();
  });
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
