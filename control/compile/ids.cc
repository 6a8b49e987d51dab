// SPDX-License-Identifier: Apache-2.0
#include "control/compile/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/limits.h"
#include "base/net/service_address.h"

namespace sekisho::control {
namespace {

constexpr char kSeparator = '\x1f';
constexpr std::array<std::uint32_t, kIdKinds> kMost{limits::kTenantIdMax, limits::kPortIdMax, limits::kRuleIdMax, limits::kBindingIdMax,
                                                    limits::kUserIdMax, kServiceIdMax};

Uuid make_uuid() {
  Uuid out{};
  SEKISHO_ASSERT(getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
  out[6] = static_cast<std::uint8_t>((out[6] & 0x0fU) | 0x40U);  // RFC 4122 section 4.4: version 4
  out[8] = static_cast<std::uint8_t>((out[8] & 0x3fU) | 0x80U);
  return out;
}

}  // namespace

std::uint32_t Ids::number(IdKind kind, const std::string& key) {
  const auto k = static_cast<std::size_t>(kind);
  if (const auto known = numbers_[k].find(key); known != numbers_[k].end()) return known->second;
  if (last_[k] >= kMost[k]) return 0;
  const std::uint32_t given = ++last_[k];
  numbers_[k].emplace(key, given);
  new_numbers_.push_back({kind, key, given});
  return given;
}

std::uint32_t Ids::find(IdKind kind, const std::string& key) const {
  const auto& numbers = numbers_[static_cast<std::size_t>(kind)];
  const auto known = numbers.find(key);
  return known == numbers.end() ? 0 : known->second;
}

const Uuid& Ids::uuid(const std::string& key) {
  const auto [at, fresh] = uuids_.try_emplace(key);
  if (fresh) {
    at->second = make_uuid();
    new_uuids_.push_back({key, at->second});
  }
  return at->second;
}

void Ids::load_number(IdKind kind, std::string key, std::uint32_t number) {
  const auto k = static_cast<std::size_t>(kind);
  last_[k] = std::max(last_[k], number);
  numbers_[k].emplace(std::move(key), number);
}

void Ids::load_uuid(std::string key, const Uuid& uuid) { uuids_.emplace(std::move(key), uuid); }

void Ids::adopt(const std::vector<NewNumber>& numbers, const std::vector<NewUuid>& uuids) {
  std::array<std::set<std::uint32_t>, kIdKinds> given;
  for (std::size_t k = 0; k < kIdKinds; ++k) {
    for (const auto& [key, number] : numbers_[k]) given[k].insert(number);
  }
  for (const NewNumber& one : numbers) {
    const auto k = static_cast<std::size_t>(one.kind);
    if (k >= kIdKinds || one.number == 0 || one.number > kMost[k] || numbers_[k].contains(one.key)) continue;
    if (!given[k].insert(one.number).second) continue;
    load_number(one.kind, one.key, one.number);
    new_numbers_.push_back(one);
  }
  std::set<Uuid> known;
  for (const auto& [key, uuid] : uuids_) known.insert(uuid);
  for (const NewUuid& one : uuids) {
    if (uuids_.contains(one.key) || !known.insert(one.uuid).second) continue;
    load_uuid(one.key, one.uuid);
    new_uuids_.push_back(one);
  }
}

void Ids::forget(const std::string& service_code, bool users_alone) {
  const std::string own = service_code + kSeparator, ports = "tenant" + std::string(1, kSeparator) + own;
  const auto of_it = [&](const auto& entry) {
    return entry.first == service_code || entry.first.starts_with(own) || entry.first.starts_with(ports);
  };
  for (std::size_t k = 0; k < numbers_.size(); ++k) {
    if (!users_alone || k == static_cast<std::size_t>(IdKind::kUser)) std::erase_if(numbers_[k], of_it);
  }
  if (!users_alone) std::erase_if(uuids_, of_it);
}

void Ids::settle() {
  new_numbers_.clear();
  new_uuids_.clear();
}

std::string id_key(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) {
    if (!out.empty()) out += kSeparator;
    out += part;
  }
  return out;
}

std::string tenant_key(std::string_view service_code) { return id_key({service_code}); }
std::string port_key(std::string_view service_code, std::string_view port) { return id_key({"tenant", service_code, port}); }
std::string uplink_key(std::string_view uplink) { return id_key({"uplink", uplink}); }
std::string binding_key(std::string_view service_code, std::string_view binding) { return id_key({service_code, binding}); }
std::string user_key(std::string_view service_code, std::string_view user) { return id_key({service_code, user}); }
std::string device_user_key(std::string_view service_code, std::string_view user, std::string_view device_group) {
  return id_key({service_code, "device", user, device_group});
}
std::string device_radius_key(std::string_view service_code, std::string_view backend, std::string_view value,
                              std::string_view device_group) {
  return id_key({service_code, "device", backend, value, device_group});
}
std::string radius_group_key(std::string_view service_code, std::string_view backend, std::string_view value) {
  return id_key({service_code, "radius", backend, value});
}
std::string service_key(std::string_view service_code, std::string_view address) { return id_key({service_code, address}); }
std::string rule_key(std::string_view service_code, const Uuid& uuid) { return id_key({service_code, to_string(uuid)}); }
std::string rule_uuid_key(std::string_view service_code, std::string_view policy, std::string_view rule) {
  return id_key({service_code, "rule", policy, rule});
}
std::string policy_default_uuid_key(std::string_view service_code, std::string_view policy) {
  return id_key({service_code, "default", policy});
}
std::string nat_rule_uuid_key(std::string_view service_code, std::string_view rule) { return id_key({service_code, "nat", rule}); }
std::string guard_uuid_key(std::string_view service_code, std::string_view guard) { return id_key({service_code, "guard", guard}); }
std::string final_default_uuid_key(std::string_view service_code) { return id_key({service_code, "final"}); }

}  // namespace sekisho::control
