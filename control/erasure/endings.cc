// SPDX-License-Identifier: Apache-2.0
#include "control/erasure/endings.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "control/config/text.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kReadableDays = 30, kWeek = 7;

struct Deadline {
  std::int64_t planned, limit;  ///< days after the end
};

Deadline deadline_of(ipc::EraseLog::Contract contract) {
  if (contract == ipc::EraseLog::FIREWALL) return {60, 90};
  if (contract == ipc::EraseLog::REMOTE_ACCESS) return {37, 45};
  return {30, 30};
}

model::Tenant* find(model::Configuration& configuration, const std::string& code) {
  auto& tenants = *configuration.mutable_tenants();
  const auto at = std::find_if(tenants.begin(), tenants.end(), [&](const auto& one) { return one.service_code() == code; });
  return at == tenants.end() ? nullptr : &*at;
}

/// Rules that name groups of users mean nothing without them.
bool clear_remote_access(model::Tenant& tenant) {
  const std::string before = tenant.SerializeAsString();
  tenant.clear_gateways();
  tenant.clear_pools();
  tenant.clear_user_groups();
  tenant.clear_users();
  tenant.clear_countries();
  tenant.clear_devices();
  tenant.clear_device_policies();
  tenant.clear_radius();
  tenant.clear_remote_sessions_max();
  for (auto& policy : *tenant.mutable_policies()) {
    auto& rules = *policy.mutable_rules();
    rules.erase(std::remove_if(rules.begin(), rules.end(), [](const auto& rule) { return rule.users_size() > 0; }), rules.end());
  }
  return tenant.SerializeAsString() != before;
}

bool keep_names_alone(model::Tenant& tenant) {
  model::Tenant left;
  left.set_service_code(tenant.service_code());
  left.set_name(tenant.name());
  if (tenant.has_sign_in()) *left.mutable_sign_in() = tenant.sign_in();
  if (left.SerializeAsString() == tenant.SerializeAsString()) return false;
  tenant = std::move(left);
  return true;
}

/// What this one leaves; true when something had to go.
bool apply(const StoredErasure& ending, model::Configuration& configuration) {
  if (ending.state() == StoredErasure::REQUESTED) return false;
  if (ending.state() == StoredErasure::ERASED && ending.scope() != StoredErasure::CONTRACT) return false;
  if (ending.state() != StoredErasure::ENDED) return take_out(ending, configuration);
  model::Tenant* tenant = find(configuration, ending.tenant());
  if (tenant == nullptr) return false;
  if (ending.scope() == StoredErasure::CONTRACT) return keep_names_alone(*tenant);
  const bool any = tenant->gateways_size() > 0;
  tenant->clear_gateways();
  return any;
}

}  // namespace

std::string why_no_endings(const erasure::StoredErasures& endings) {
  constexpr std::int64_t kEndMost = 253'402'300'800;  // the year 10000
  std::set<std::string_view> ids;
  for (const StoredErasure& one : endings.erasures()) {
    if (one.id().empty() || !ids.insert(one.id()).second) return "an ending without an id of its own";
    if (!is_service_code(one.tenant())) return "an ending of no tenant";
    if (!StoredErasure::Scope_IsValid(one.scope()) || !StoredErasure::State_IsValid(one.state()) ||
        !ipc::EraseLog::Contract_IsValid(one.contract()))
      return "an ending of a kind that this version does not know";
    if (one.end() <= 0 || one.end() >= kEndMost) return "an ending at no time";
  }
  return {};
}

Result<erasure::StoredErasures> read_endings(const std::string& bytes) {
  erasure::StoredErasures out;
  if (!out.ParseFromString(bytes) || !why_no_endings(out).empty()) return Error{ErrorCode::kMalformed, ErrorSite::kStore, 0};
  return out;
}

bool take_out(const StoredErasure& ending, model::Configuration& configuration) {
  if (ending.scope() != StoredErasure::CONTRACT) {
    model::Tenant* tenant = find(configuration, ending.tenant());
    return tenant != nullptr && clear_remote_access(*tenant);
  }
  auto& tenants = *configuration.mutable_tenants();
  const int before = tenants.size();
  tenants.erase(std::remove_if(tenants.begin(), tenants.end(),
                               [&](const auto& one) { return one.service_code() == ending.tenant(); }),
                tenants.end());
  return tenants.size() != before;
}

std::string apply_endings(std::span<const StoredErasure> endings, model::Configuration& configuration) {
  std::string out;
  for (const StoredErasure& ending : endings) {
    if (!apply(ending, configuration) || !out.empty()) continue;
    const std::string what = ending.scope() == StoredErasure::CONTRACT ? "the contract" : "remote access";
    out = what + " of " + ending.tenant() + " has ended on " + day_text(last_day_of(ending)) +
          (ending.scope() == StoredErasure::CONTRACT ? ": its settings do not come back" : ": it comes back when its erasure is done");
  }
  return out;
}

Day last_day_of(const StoredErasure& ending) {
  return day_at(ending.end() - 1);
}
Day readable_until(const StoredErasure& ending) {
  return add_days(last_day_of(ending), std::min(kReadableDays, deadline_of(ending.contract()).limit - kWeek));
}
Day planned_day(const StoredErasure& ending) {
  return add_days(last_day_of(ending), deadline_of(ending.contract()).planned);
}
Day limit_day(const StoredErasure& ending) {
  return add_days(last_day_of(ending), deadline_of(ending.contract()).limit);
}

std::string_view to_text(StoredErasure::Scope scope) {
  return scope == StoredErasure::REMOTE_ACCESS ? "remote_access" : "contract";
}

std::string_view to_text(ipc::EraseLog::Contract contract) {
  if (contract == ipc::EraseLog::FIREWALL) return "firewall";
  return contract == ipc::EraseLog::REMOTE_ACCESS ? "remote_access" : "other";
}

std::string_view to_text(StoredErasure::State state) {
  if (state == StoredErasure::REQUESTED) return "requested";
  if (state == StoredErasure::ENDED) return "ended";
  return state == StoredErasure::ERASING ? "erasing" : "erased";
}

}  // namespace sekisho::control
