// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/runtime.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace sekisho::dataplane {

void WireMap::build(std::span<const PortEntry> ports) {
  untagged_.fill(kNoIndex);
  const std::size_t size = std::bit_ceil(ports.size() * 2 + 2);
  slots_.assign(size, Slot{0, kNoIndex});
  mask_ = static_cast<std::uint32_t>(size - 1);
  for (std::uint32_t index = 0; index < ports.size(); ++index) {
    const PortEntry& port = ports[index];
    if (port.kind == snapshot::PortKind::kShare || port.kind == snapshot::PortKind::kTunnel) continue;
    if (port.outer_vlan == 0 && port.inner_vlan == 0) {
      untagged_[port.nic % untagged_.size()] = index;
      continue;
    }
    const std::uint32_t key = key_of(port.nic, port.outer_vlan, port.inner_vlan);
    std::uint32_t at = hash(key) & mask_;
    while (slots_[at].port != kNoIndex) at = (at + 1) & mask_;
    slots_[at] = {key, index};
  }
}

std::uint32_t Runtime::find_port(std::uint32_t id) const noexcept {
  const auto at = std::lower_bound(ports.begin(), ports.end(), id,
                                   [](const PortEntry& port, std::uint32_t wanted) { return port.id < wanted; });
  return at != ports.end() && at->id == id ? static_cast<std::uint32_t>(at - ports.begin()) : kNoIndex;
}

std::uint32_t Runtime::find_rule(std::uint32_t id) const noexcept {
  const auto at = std::lower_bound(rules_by_id.begin(), rules_by_id.end(), std::pair{id, 0U});
  return at != rules_by_id.end() && at->first == id ? at->second : kNoIndex;
}

std::uint32_t Runtime::find_tenant(std::uint32_t id) const noexcept {
  const auto at = std::lower_bound(tenants.begin(), tenants.end(), id,
                                   [](const TenantEntry& tenant, std::uint32_t wanted) { return tenant.id < wanted; });
  return at != tenants.end() && at->id == id ? static_cast<std::uint32_t>(at - tenants.begin()) : kNoIndex;
}

const snapshot::Gateway* Runtime::find_gateway(std::uint32_t port, const Address& address) const noexcept {
  const auto all = view.gateways();
  const auto before = [](const snapshot::Gateway& one, const auto& wanted) { return std::pair(one.port, one.address) < wanted; };
  const auto at = std::lower_bound(all.begin(), all.end(), std::pair(port, address), before);
  return at != all.end() && at->port == port && at->address == address ? &*at : nullptr;
}

const snapshot::Gateway* Runtime::find_service(std::uint32_t service) const noexcept {
  const auto at = std::lower_bound(services.begin(), services.end(), std::pair(service, std::uint32_t{0}));
  return at != services.end() && at->first == service ? &view.gateways()[at->second] : nullptr;
}

const snapshot::RadiusPeer* Runtime::find_radius(std::uint32_t tenant_index, const Address& local,
                                                 const Address& remote) const noexcept {
  const auto all = view.radius_peers();
  const auto before = [](const snapshot::RadiusPeer& one, const auto& wanted) {
    return std::tie(one.tenant, one.local, one.remote) < wanted;
  };
  const auto at = std::lower_bound(all.begin(), all.end(), std::tie(tenant_index, local, remote), before);
  return at != all.end() && at->tenant == tenant_index && at->local == local && at->remote == remote ? &*at : nullptr;
}

std::uint64_t Runtime::groups_of(std::uint32_t tenant_index, std::uint32_t user) const noexcept {
  const auto all = view.users();
  const auto before = [](const snapshot::User& one, const auto& wanted) { return std::pair(one.tenant, one.id) < wanted; };
  const auto at = std::lower_bound(all.begin(), all.end(), std::pair(tenant_index, user), before);
  return at != all.end() && at->tenant == tenant_index && at->id == user ? at->groups : 0;
}

const VirtualAddress* Runtime::find_virtual(std::uint32_t tenant_index, const Address& address) const noexcept {
  const auto before = [](const VirtualAddress& one, const auto& wanted) { return std::pair(one.tenant, one.address) < wanted; };
  const auto at = std::lower_bound(virtuals.begin(), virtuals.end(), std::pair(tenant_index, address), before);
  return at != virtuals.end() && at->tenant == tenant_index && at->address == address ? &*at : nullptr;
}

}  // namespace sekisho::dataplane
