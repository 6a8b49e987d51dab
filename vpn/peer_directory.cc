// SPDX-License-Identifier: Apache-2.0
#include "vpn/peer_directory.h"

#include <algorithm>

namespace sekisho::vpn {

void PeerDirectory::set_plan(const Plan& plan) {
  std::map<std::uint32_t, Tenant> tenants;
  for (const auto& [id, tenant] : plan.tenants) {
    for (const GatewayPlan& gateway : tenant.gateways) {
      if (!gateway.l2tp) continue;
      Tenant& to = tenants[id];
      to.service_code = tenant.service_code;
      At at{gateway.gateway.name, gateway.code, {}};
      for (const L2tpKeyPlan& key : gateway.l2tp->keys) {
        const ByteSpan bytes = key.psk.bytes();
        at.keys.push_back(std::make_shared<const Key>(
            Key{key.from, Secret(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()))}));
      }
      for (const Address& address : gateway.gateway.addresses) to.at.insert_or_assign(address, at);
    }
  }
  const std::lock_guard lock(mutex_);
  tenants_ = std::move(tenants);
  node_ = plan.node.empty() ? "u0" : plan.node;
  revision_ = plan.generation;
}

const PeerDirectory::At* PeerDirectory::find(const Path& path) const {
  const auto tenant = tenants_.find(path.tenant);
  if (tenant == tenants_.end()) return nullptr;
  const auto at = tenant->second.at.find(path.local.address);
  return at == tenant->second.at.end() ? nullptr : &at->second;
}

PeerDirectory::Owner PeerDirectory::owner_of(const Path& path) const {
  const std::lock_guard lock(mutex_);
  const auto tenant = tenants_.find(path.tenant);
  if (tenant == tenants_.end()) return {};
  const At* at = find(path);
  return {tenant->second.service_code, node_, at == nullptr ? "" : at->gateway, at == nullptr ? "" : at->code, revision_};
}

std::size_t PeerDirectory::peer_psk(const Path& path, std::size_t index, std::span<std::uint8_t> out) {
  const std::lock_guard lock(mutex_);
  const At* at = find(path);
  if (at == nullptr || index >= kKeysMax) return 0;
  const auto is_for = [&path](const Key& key) {
    return std::ranges::any_of(key.from, [&path](const Prefix& one) { return one.contains(path.remote.address); });
  };
  for (const bool named : {true, false}) {
    for (const auto& key : at->keys) {
      const bool fits = named ? is_for(*key) : key->from.empty();
      if (!fits || index-- > 0) continue;
      const ByteSpan bytes = key->psk.bytes();
      if (bytes.size() > out.size()) return 0;
      std::ranges::copy(bytes, out.begin());
      return bytes.size();
    }
  }
  return 0;
}

bool PeerDirectory::has_psk(const Path& path, std::uint64_t mark) const {
  const std::lock_guard lock(mutex_);
  const At* at = find(path);
  const auto fits = [&](const auto& key) {
    const auto holds = [&path](const Prefix& one) { return one.contains(path.remote.address); };
    const bool from = key->from.empty() || std::ranges::any_of(key->from, holds);
    return from && mark_of(key->psk.bytes()) == mark;
  };
  return at != nullptr && std::ranges::any_of(at->keys, fits);
}

Directory::Admission PeerDirectory::authorize(const Session& session) {
  const std::lock_guard lock(mutex_);
  return {find(session.path) == nullptr ? Cause::kConfig : Cause::kNone, {}};
}

}  // namespace sekisho::vpn
