// SPDX-License-Identifier: Apache-2.0
#include "control/compile/device_conditions.h"

#include <algorithm>

#include "base/limits.h"
#include "control/compile/user_compiler.h"

namespace sekisho::control {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

/// An empty list names all.
bool covers(const Names& zones, const std::string& zone) {
  return zones.empty() || std::find(zones.begin(), zones.end(), zone) != zones.end();
}

}  // namespace

DeviceConditions::DeviceConditions(const model::Tenant& tenant) : tenant_(tenant) {
  for (const auto& policy : tenant.policies()) {
    for (const auto& rule : policy.rules()) {
      if (!rule.enabled() || !asks(rule)) continue;
      Condition one = condition_of(tenant, rule);
      if (std::find(conditions_.begin(), conditions_.end(), one) == conditions_.end()) conditions_.push_back(std::move(one));
    }
  }
  if (!conditions_.empty()) add_owners();
  add_permits();
}

bool DeviceConditions::asks(const model::Rule& rule) { return rule.device() == model::Rule::PROVEN || rule.device_groups_size() > 0; }

DeviceConditions::Condition DeviceConditions::condition_of(const model::Tenant& tenant, const model::Rule& rule) {
  return {group_mask(tenant, rule.users()), {rule.device_groups().begin(), rule.device_groups().end()}};
}

void DeviceConditions::add_owners() {
  std::set<std::string> told_apart;
  for (const Condition& one : conditions_) told_apart.insert(one.groups.begin(), one.groups.end());
  for (const auto& device : tenant_.devices()) {
    const std::string group = told_apart.contains(device.group()) ? device.group() : std::string();
    (device.has_owner() ? of_user_[device.owner()] : of_group_[device.owner_group()]).insert(group);
  }
  unregistered_ = std::any_of(tenant_.device_policies().begin(), tenant_.device_policies().end(),
                              [](const auto& policy) { return policy.unknown() == model::DevicePolicy::ALLOW; });
}

void DeviceConditions::add_permits() {
  for (const auto& policy : tenant_.policies()) {
    for (const auto& rule : policy.rules()) {
      const bool from_a_tunnel = std::any_of(tenant_.ports().begin(), tenant_.ports().end(), [&](const auto& port) {
        return port.kind() == model::Port::TUNNEL && covers(policy.from(), port.zone()) && covers(rule.source_zones(), port.zone());
      });
      if (rule.enabled() && rule.action() == model::Rule::ALLOW && from_a_tunnel) permits_.push_back(mask(rule));
    }
  }
}

std::uint64_t DeviceConditions::mask(const model::Rule& rule) const {
  if (!asks(rule)) return group_mask(tenant_, rule.users());
  const auto found = std::find(conditions_.begin(), conditions_.end(), condition_of(tenant_, rule));
  const auto bit = static_cast<std::size_t>(tenant_.user_groups_size() + (found - conditions_.begin()));
  return bit < limits::kUserGroupsPerTenantMax ? std::uint64_t{1} << bit : 0;  // 0 in a document that fit() refuses
}

bool DeviceConditions::fit() const {
  return static_cast<std::size_t>(tenant_.user_groups_size()) + conditions_.size() <= limits::kUserGroupsPerTenantMax;
}

std::uint64_t DeviceConditions::groups_with(std::uint64_t groups, const std::string& device_group) const {
  std::uint64_t out = groups;
  for (std::size_t i = 0; i < conditions_.size() && fit(); ++i) {
    const Condition& one = conditions_[i];
    const bool meets = (one.users == 0 || (one.users & groups) != 0) && (one.groups.empty() || one.groups.contains(device_group));
    if (meets) out |= std::uint64_t{1} << (static_cast<std::size_t>(tenant_.user_groups_size()) + i);
  }
  return out;
}

std::set<std::string> DeviceConditions::devices_of(const Names& groups) const {
  std::set<std::string> out;
  if (conditions_.empty()) return out;
  for (const std::string& group : groups) {
    const auto found = of_group_.find(group);
    if (found != of_group_.end()) out.insert(found->second.begin(), found->second.end());
  }
  for (const auto& [user, devices] : of_user_) out.insert(devices.begin(), devices.end());
  if (unregistered_) out.insert("");
  return out;
}

std::set<std::string> DeviceConditions::devices_of(const model::User& user) const {
  std::set<std::string> out;
  if (conditions_.empty()) return out;
  for (const std::string& group : user.groups()) {
    const auto found = of_group_.find(group);
    if (found != of_group_.end()) out.insert(found->second.begin(), found->second.end());
  }
  const auto own = of_user_.find(user.name());
  if (own != of_user_.end()) out.insert(own->second.begin(), own->second.end());
  if (unregistered_) out.insert("");
  return out;
}

bool DeviceConditions::permits(std::uint64_t groups) const {
  return std::any_of(permits_.begin(), permits_.end(), [groups](std::uint64_t named) { return named == 0 || (named & groups) != 0; });
}

std::string DeviceConditions::name(int bit) const {
  const auto at = static_cast<std::size_t>(bit - tenant_.user_groups_size());
  if (bit < tenant_.user_groups_size() || at >= conditions_.size()) return {};
  std::string out;
  const auto add = [&out](const std::string& one) { out += (out.empty() ? "" : "/") + one; };
  for (int i = 0; i < tenant_.user_groups_size(); ++i) {
    if ((conditions_[at].users >> i & 1U) != 0) add(tenant_.user_groups(i).name());
  }
  return (out.empty() ? "any group" : out) + " with a proven device";
}

}  // namespace sekisho::control
