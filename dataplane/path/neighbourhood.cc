// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/neighbourhood.h"

#include <algorithm>

#include "filters/packet/vrrp.h"

namespace sekisho::dataplane::path {
namespace {

enum class ByMac : std::uint8_t { kExactly, kPreferred };

/// The host of `moving` that a frame from `mac` under the Binding speaks of, or nullptr. An advertisement may come from
/// another MAC than its addresses are at.
const VirtualAddress::Host* host_of(const Runtime& config, const VirtualAddress& moving, std::uint32_t binding, const Mac& mac, ByMac by) {
  const VirtualAddress::Host* any = nullptr;
  for (const VirtualAddress::Host& host : moving.hosts) {
    if (host.binding != binding) continue;
    if ((config.static_hops[host.hop] & ~(kWatchedHop | kVirtualHop)) == raw_mac(mac)) return &host;
    if (any == nullptr) any = &host;
  }
  return by == ByMac::kPreferred ? any : nullptr;
}

void move(const Shard& shard, const Runtime& config, rte_mbuf* packet, const Address& address, ByMac by, std::uint8_t vrid) {
  const PacketMeta& meta = meta_of(packet);
  const std::uint32_t binding = config.binding_of(meta);
  // An explained packet changes nothing: its Runtime shares `holder` with the one in force.
  if (config.virtuals.empty() || binding == kNoIndex || shard.trace != nullptr) return;
  const VirtualAddress* moving = config.find_virtual(config.ports[meta.ingress].tenant_index, address);
  if (moving == nullptr) return;
  const VirtualAddress::Host* host = host_of(config, *moving, binding, filters::ethernet_source(frame_of(packet)), by);
  if (host == nullptr) return;
  const filters::BindingRules& before = config.bindings[moving->held_by().binding].rules;
  const bool may = vrid != 0 ? before.has_vrid(vrid) : before.shares_vrid(config.bindings[binding].rules);
  if (may) moving->holder->store(host->name, std::memory_order_relaxed);  // a word that means something alone
}

}  // namespace

bool stands_for_host(const Runtime& config, rte_mbuf* packet, const Address& sender, const Address& target) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const std::uint32_t asking = config.binding_of(meta);
  if (port.isolated == 0 || asking == kNoIndex || sender.is_unspecified()) return false;
  const TenantEntry& tenant = config.tenants[port.tenant_index];
  const std::uint32_t found = tenant.routes.find(target);
  if (found == PrefixTable::kNoValue || tenant.targets[found].kind != RouteKind::kStatic) return false;
  const Runtime::Neighbour neighbour = config.neighbour_at(tenant.targets[found]);
  if (config.ports[neighbour.port].home != port.home) return false;
  if (!config.bindings[neighbour.binding].rules.owns(target)) return false;  // behind a host, not its own
  const std::uint64_t mac = filters::ethernet_source(frame_of(packet)).number();
  return neighbour.binding != asking || !config.bindings[asking].rules.owns(target, mac);
}

void follow_claim(const Shard& shard, const Runtime& config, rte_mbuf* packet, const Address& address) noexcept {
  move(shard, config, packet, address, ByMac::kExactly, 0);
}

bool follow_advertisement(const Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const auto message = filters::parse_vrrp(frame_of(packet), meta_of(packet));
  if (!message.has_value()) return false;
  if (message->priority == 0) return true;
  for (std::size_t i = 0; i < message->count; ++i) {
    move(shard, config, packet, filters::vrrp_address(*message, i), ByMac::kPreferred, message->vrid);
  }
  return true;
}

}  // namespace sekisho::dataplane::path
