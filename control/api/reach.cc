// SPDX-License-Identifier: Apache-2.0
#include "control/api/reach.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "control/compile/address_set.h"
#include "control/compile/device_conditions.h"
#include "control/config/timetable.h"

namespace sekisho::control {
namespace {

using Names = google::protobuf::RepeatedPtrField<std::string>;

template <typename List>
auto* named(const List& list, const std::string& name) {
  const auto at = std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.name() == name; });
  return at == list.end() ? nullptr : &*at;
}

bool has(const Names& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// What names of addresses stand for; a commit has checked that there are all of them, and no circles.
class Resolver {
 public:
  explicit Resolver(const model::Tenant& tenant) {
    for (const auto& one : tenant.addresses()) objects_.emplace(one.name(), &one);
    for (const auto& one : tenant.address_groups()) groups_.emplace(one.name(), &one);
  }
  AddressSet all(const Names& names) {
    std::vector<AddressSpan> spans;
    for (const std::string& name : names) {
      const std::vector<AddressSpan>& more = one(name).spans();
      spans.insert(spans.end(), more.begin(), more.end());
    }
    return AddressSet(std::move(spans));
  }

 private:
  const AddressSet& one(const std::string& name) {
    if (const auto known = known_.find(name); known != known_.end()) return known->second;
    AddressSet out;
    if (const auto object = objects_.find(name); object != objects_.end()) {
      out = set_of(object->second->entries());
    } else if (const auto group = groups_.find(name); group != groups_.end()) {
      out = all(group->second->members()).minus(all(group->second->exclude()));
    }
    return known_.emplace(name, std::move(out)).first->second;
  }
  static AddressSet set_of(const Names& entries) {
    std::vector<AddressSpan> spans;
    for (const std::string& text : entries) {
      if (const auto span = parse_address_entry(text)) spans.push_back(*span);
    }
    return AddressSet(std::move(spans));
  }

  std::map<std::string, const model::AddressObject*> objects_;
  std::map<std::string, const model::AddressGroup*> groups_;
  std::map<std::string, AddressSet> known_;
};

/// Groups that rules may name for him: his own, and those of everyone.
Names groups_of(const model::Tenant& tenant, const model::User& user) {
  Names out = user.groups();
  for (const auto& group : tenant.user_groups()) {
    if (group.everyone() && !has(out, group.name())) *out.Add() = group.name();
  }
  return out;
}

/// The one that decides his addresses at a gateway (F-20); null: he is refused there.
const model::UserGroup* deciding_group(const model::Tenant& tenant, const Names& groups, const model::Gateway& gateway) {
  const model::UserGroup* best = nullptr;
  for (const auto& group : tenant.user_groups()) {
    if (group.pool().empty() || !has(groups, group.name())) continue;
    if (best == nullptr || std::pair(group.priority(), group.name()) < std::pair(best->priority(), best->name())) best = &group;
  }
  if (best == nullptr) best = named(tenant.user_groups(), gateway.default_group());
  return best == nullptr || best->pool().empty() ? nullptr : best;
}

/// Where he comes in, and with what.
struct Door {
  std::string zone;
  AddressSet addresses;
};

/// The pool's addresses of a family in which he has none of his own.
Names addresses_at(const model::User& user, const model::Pool& pool) {
  Names out = user.static_addresses();
  const auto owns = [&user](Family family) {
    return std::any_of(user.static_addresses().begin(), user.static_addresses().end(), [family](const std::string& text) {
      const auto span = parse_address_entry(text);
      return span && span->low.family == family;
    });
  };
  for (const std::string& text : pool.ranges()) {
    const auto span = parse_address_entry(text);
    if (span && !owns(span->low.family)) *out.Add() = text;
  }
  return out;
}

std::vector<Door> doors_of(const model::Tenant& tenant, const model::User& user, api::Reach& out) {
  std::vector<Door> doors;
  for (const auto& gateway : tenant.gateways()) {
    const auto* group = deciding_group(tenant, out.groups(), gateway);
    const auto* pool = group == nullptr ? nullptr : named(tenant.pools(), group->pool());
    const auto* port = named(tenant.ports(), gateway.tunnel());
    if (pool == nullptr || port == nullptr) continue;
    auto& shown = *out.add_doors();
    shown.set_gateway(gateway.name());
    shown.set_group(group->name());
    shown.set_pool(pool->name());
    shown.set_zone(port->zone());
    *shown.mutable_addresses() = addresses_at(user, *pool);
    std::vector<AddressSpan> spans;
    for (const std::string& text : shown.addresses()) {
      if (const auto span = parse_address_entry(text)) spans.push_back(*span);
    }
    doors.push_back({port->zone(), AddressSet(std::move(spans))});
  }
  return doors;
}

/// How much of what he may come with a rule takes.
enum class Share : std::uint8_t { kNothing, kPart, kAll };

Share share_of(const std::vector<Door>& doors, const model::Policy& policy, const model::Rule* rule, Resolver& resolver) {
  bool any = false, all = true;
  const AddressSet sources = rule == nullptr || rule->source().empty() ? AddressSet::everything() : resolver.all(rule->source());
  for (const Door& door : doors) {
    const auto lets = [&door](const Names& zones) { return zones.empty() || has(zones, door.zone); };
    const bool zone = lets(policy.from()) && (rule == nullptr || lets(rule->source_zones()));
    const AddressSet outside = door.addresses.minus(sources);
    const bool negated = rule != nullptr && rule->source_not();
    const bool some = zone && (negated ? !outside.empty() : outside != door.addresses);
    any |= some;
    all &= some && (negated ? outside == door.addresses : outside.empty());
  }
  return any ? all ? Share::kAll : Share::kPart : Share::kNothing;
}

/// Zones to which a rule of a policy lets; nothing: to none. Empty: to all.
std::optional<Names> zones_to(const model::Policy& policy, const model::Rule& rule) {
  if (policy.to().empty() || rule.destination_zones().empty()) return policy.to().empty() ? rule.destination_zones() : policy.to();
  Names out;
  for (const std::string& zone : policy.to()) {
    if (has(rule.destination_zones(), zone)) *out.Add() = zone;
  }
  return out.empty() ? std::nullopt : std::optional(std::move(out));
}

bool names_him(const model::Rule& rule, const Names& groups) {
  const auto his = [&groups](const std::string& one) { return has(groups, one); };
  return rule.users().empty() || std::any_of(rule.users().begin(), rule.users().end(), his);
}

void add_rule(api::Reach& out, const model::Policy& policy, int number, const Names& zones, Share share) {
  const model::Rule& rule = policy.rules(number);
  auto& one = *out.add_rules();
  one.set_policy(policy.name());
  one.set_rule(rule.name());
  one.set_number(static_cast<std::uint32_t>(number) + 1);
  one.set_action(rule.action() == model::Rule::ALLOW ? "allow" : rule.action() == model::Rule::REJECT ? "reject" : "drop");
  *one.mutable_destination_zones() = zones;
  *one.mutable_destination() = rule.destination();
  one.set_destination_not(rule.destination_not());
  *one.mutable_service() = rule.service();
  one.set_service_not(rule.service_not());
  one.set_device(DeviceConditions::asks(rule));
  *one.mutable_device_groups() = rule.device_groups();
  one.set_schedule(rule.schedule());
  one.set_valid_until(rule.valid_until());
  one.set_part(share == Share::kPart);
}

}  // namespace

std::optional<api::Reach> reach_of(const model::Tenant& tenant, const std::string& name, std::int64_t now) {
  const model::User* user = named(tenant.users(), name);
  if (user == nullptr) return std::nullopt;
  api::Reach out;
  out.set_user(name);
  out.set_suspended(user->suspended());
  *out.mutable_groups() = groups_of(tenant, *user);
  const std::vector<Door> doors = doors_of(tenant, *user, out);
  if (user->suspended() || doors.empty()) return out;
  Resolver resolver(tenant);
  for (const auto& policy : tenant.policies()) {
    for (int i = 0; i < policy.rules_size(); ++i) {
      const model::Rule& rule = policy.rules(i);
      const auto ends = rule.has_valid_until() ? parse_civil(rule.valid_until()) : std::nullopt;
      if (!rule.enabled() || (ends && *ends <= now) || !names_him(rule, out.groups())) continue;
      const auto zones = zones_to(policy, rule);
      const Share share = zones ? share_of(doors, policy, &rule, resolver) : Share::kNothing;
      if (share != Share::kNothing) add_rule(out, policy, i, *zones, share);
    }
    const Share rest = share_of(doors, policy, nullptr, resolver);
    if (rest == Share::kNothing) continue;
    auto& denied = *out.add_rules();
    denied.set_policy(policy.name());
    denied.set_action("drop");
    *denied.mutable_destination_zones() = policy.to();
    denied.set_part(rest == Share::kPart);
    if (rest == Share::kAll && policy.to().empty()) break;  // nothing of his gets past it
  }
  return out;
}

}  // namespace sekisho::control
