// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/names.h"

#include <algorithm>
#include <numeric>

#include "base/proto/control_log.pb.h"

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kGenerationsMax = 64;
constexpr std::size_t kNamesMax = 1'000'000;  // about 200 MB
constexpr std::size_t kUnknownMax = 1024;
constexpr std::uint32_t kShared = 0xffffffff;  // a port of the platform: an uplink
constexpr std::string_view kNodeWithoutName = "u0";

/// An opaque alias of one to four letters and digits: it is part of the key of sequence numbers.
bool is_node(std::string_view text) {
  return !text.empty() && text.size() <= 4 &&
         std::ranges::all_of(text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <typename Map>
const typename Map::mapped_type* find_in(const Map& map, std::uint32_t id) {
  const auto found = map.find(id);
  return found == map.end() ? nullptr : &found->second;
}

BindingName binding_of(const ipc::BindingNames& from) {
  BindingName out{.port = from.port(), .name = from.name(), .mac = {}, .addresses = {}};
  if (from.mac().size() == out.mac.bytes.size()) std::ranges::copy(bytes_of(from.mac()), out.mac.bytes.begin());
  for (const std::string& wire : from.addresses()) {
    if (const auto address = Address::from_wire(bytes_of(wire))) out.addresses.push_back(*address);
  }
  return out;
}

}  // namespace

Names::Names(const ipc::NameTable& table) : generation_(table.generation()), node_(table.node()) {
  if (!is_node(node_)) node_ = kNodeWithoutName;
  for (const auto& tenant : table.tenants()) {
    if (!is_service_code(tenant.service_code())) continue;
    services_ += static_cast<std::size_t>(tenant.services_size());
    tenants_.emplace(tenant.id(), TenantName{tenant.service_code(), {tenant.services().begin(), tenant.services().end()}});
  }
  for (const auto& port : table.ports()) {
    ports_.emplace(port.id(), PortName{port.tenant(), port.name(), port.zone(), port.protected_side(), port.tunnel()});
  }
  for (const auto& rule : table.rules()) {
    RuleName out{rule.tenant(), {}, rule.name(), rule.policy(), static_cast<std::uint16_t>(rule.number()),
                 {rule.users().begin(), rule.users().end()},
                 {rule.hosts().begin(), rule.hosts().end()},
                 {rule.services().begin(), rule.services().end()}};
    if (rule.uuid().size() == out.uuid.bytes.size()) std::ranges::copy(bytes_of(rule.uuid()), out.uuid.bytes.begin());
    rules_.emplace(rule.id(), std::move(out));
  }
  for (const auto& binding : table.bindings()) bindings_.emplace(binding.id(), binding_of(binding));
}

const std::string* Names::service_code(std::uint32_t tenant) const {
  const TenantName* found = find_in(tenants_, tenant);
  return found == nullptr ? nullptr : &found->service_code;
}

const PortName* Names::port(std::uint32_t id, std::uint32_t tenant) const {
  const PortName* found = find_in(ports_, id);
  return found != nullptr && (found->tenant == tenant || found->tenant == kShared) ? found : nullptr;
}

const RuleName* Names::rule(std::uint32_t id, std::uint32_t tenant) const {
  const RuleName* found = find_in(rules_, id);
  return found != nullptr && found->tenant == tenant ? found : nullptr;
}

const BindingName* Names::binding(std::uint32_t id, std::uint32_t tenant) const {
  const BindingName* found = find_in(bindings_, id);
  return found != nullptr && port(found->port, tenant) != nullptr ? found : nullptr;
}

const std::string* Names::service(std::uint32_t number, std::uint32_t tenant) const {
  const TenantName* found = find_in(tenants_, tenant);
  return found == nullptr || number == 0 || number > found->services.size() ? nullptr : &found->services[number - 1];
}

void NameCache::add(std::shared_ptr<const Names> names) {
  const std::uint32_t generation = names->generation();
  unknown_.erase(generation);
  by_generation_.insert_or_assign(generation, std::move(names));
  const auto total = [this] {
    return std::accumulate(by_generation_.begin(), by_generation_.end(), std::size_t{0},
                           [](std::size_t sum, const auto& entry) { return sum + entry.second->size(); });
  };
  while (by_generation_.size() > 1 && (by_generation_.size() > kGenerationsMax || total() > kNamesMax)) {
    by_generation_.erase(by_generation_.begin());
  }
}

void NameCache::add_unknown(std::uint32_t generation) {
  unknown_.insert(generation);
  if (unknown_.size() > kUnknownMax) unknown_.erase(unknown_.begin());
}

const Names* NameCache::find(std::uint32_t generation) const {
  const auto found = by_generation_.find(generation);
  return found == by_generation_.end() ? nullptr : found->second.get();
}

template <typename Object>
const Object* NameCache::find_back(const Names& names, std::uint32_t id, std::uint32_t tenant,
                                   const Object* (Names::*lookup)(std::uint32_t, std::uint32_t) const) const {
  if (const Object* found = (names.*lookup)(id, tenant)) return found;
  for (auto it = by_generation_.lower_bound(names.generation()); it != by_generation_.begin();) {
    if (const Object* found = ((--it)->second.get()->*lookup)(id, tenant)) return found;
  }
  return nullptr;
}

const PortName* NameCache::port(const Names& names, std::uint32_t id, std::uint32_t tenant) const {
  return find_back(names, id, tenant, &Names::port);
}
const RuleName* NameCache::rule(const Names& names, std::uint32_t id, std::uint32_t tenant) const {
  return find_back(names, id, tenant, &Names::rule);
}
const BindingName* NameCache::binding(const Names& names, std::uint32_t id, std::uint32_t tenant) const {
  return find_back(names, id, tenant, &Names::binding);
}

const Names* NameCache::nearest(std::uint32_t generation, std::uint32_t tenant) const {
  const auto after = by_generation_.upper_bound(generation);
  for (auto it = after; it != by_generation_.begin();) {
    if ((--it)->second->service_code(tenant) != nullptr) return it->second.get();
  }
  for (auto it = after; it != by_generation_.end(); ++it) {
    if (it->second->service_code(tenant) != nullptr) return it->second.get();
  }
  return nullptr;
}

}  // namespace sekisho::mgmt
