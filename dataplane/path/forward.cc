// SPDX-License-Identifier: Apache-2.0
#include "base/net/checksum.h"
#include "dataplane/path/local.h"
#include "dataplane/path/outlet.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "filters/packet/fields.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

constexpr std::uint32_t kHoldTicks = 2 * kTicksPerSecond;

/// The neighbour's MAC. kFree and kIncomplete: not to be had now.
NeighbourTable::Reading neighbour_of(const Shard& shard, const Runtime& config, const PacketMeta& meta) {
  if ((meta.next_hop & kDynamicHop) == 0) [[likely]] {
    return {config.static_hops[meta.next_hop], NeighbourState::kReachable};
  }
  return shard.shared.neighbours.read(meta.next_hop & ~kDynamicHop);
}

/// One hop less (RFC 1812 5.2.1.1, RFC 8200 3), with the IPv4 header checksum kept (RFC 1624).
void count_hop(std::span<std::uint8_t> frame, const PacketMeta& meta) {
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & filters::kProofIpv4) != 0) {
    const auto before = load_be<std::uint16_t>(frame, l3 + 8);
    const auto after = static_cast<std::uint16_t>(before - 0x100);
    store_be<std::uint16_t>(frame, l3 + 8, after);
    store_be<std::uint16_t>(frame, l3 + 10, checksum_adjust(load_be<std::uint16_t>(frame, l3 + 10), before, after));
  } else {
    frame[l3 + 7] = static_cast<std::uint8_t>(meta.ttl - 1);
  }
}

/// Replaces the link header by that of the wire port and cuts Ethernet padding off. False: no room (never in ours).
bool write_link(rte_mbuf* packet, const PortEntry& wire, const Mac& destination) {
  const PacketMeta& meta = meta_of(packet);
  const int grow = int{wire.l2_bytes} - int{meta.l3_offset};
  if (grow > 0) {
    if (rte_pktmbuf_prepend(packet, static_cast<std::uint16_t>(grow)) == nullptr) return false;
  } else if (grow < 0) {
    rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(-grow));
  }
  packet->data_len = static_cast<std::uint16_t>(wire.l2_bytes + meta.l3_length);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;

  const auto frame = frame_of(packet);
  const std::uint16_t type = (meta.proof & filters::kProofIpv4) != 0 ? filters::kEtherTypeIpv4 : filters::kEtherTypeIpv6;
  std::memcpy(frame.data(), destination.bytes.data(), 6);
  std::memcpy(frame.subspan(6, 6).data(), wire.mac.bytes.data(), 6);
  std::size_t at = 12;
  if (wire.outer_vlan != 0) {
    store_be<std::uint16_t>(frame, at, wire.outer_type);
    store_be<std::uint16_t>(frame, at + 2, wire.outer_vlan);
    at += 4;
    if (wire.inner_vlan != 0) {
      store_be<std::uint16_t>(frame, at, filters::kEtherTypeVlan);
      store_be<std::uint16_t>(frame, at + 2, wire.inner_vlan);
      at += 4;
    }
  }
  store_be<std::uint16_t>(frame, at, type);
  return true;
}

/// Asks for the neighbour when it is time, and learns whether its address is known now.
NeighbourTable::Reading resolve(Shard& shard, const Runtime& config, const PacketMeta& meta) {
  NeighbourTable& table = shard.shared.neighbours;
  const NeighbourTable::Handle handle = meta.next_hop & ~kDynamicHop;
  if (table.should_ask(handle, shard.now_tick)) {
    local::ask_neighbour(shard, config, config.ports[meta.egress].wire, table.list(NeighbourTable::place_of(handle)).address);
  }
  return table.read(handle);
}

void hold(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  if (shard.held_count == shard.held.size()) {
    refuse(shard, config, packet, DropReason::kHoldLimit);
    return;
  }
  shard.held[shard.held_count++] = {packet, shard.now_tick + kHoldTicks};
  shard.packets.held.add(1);
}

void send_on(Shard& shard, const Runtime& config, rte_mbuf* packet, const Mac& destination) {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& wire = config.ports[config.ports[meta.egress].wire];
  count_hop(frame_of(packet), meta);
  if (!write_link(packet, wire, destination)) [[unlikely]] {
    shard.drop(packet, DropReason::kNoMemory, wire.tenant_slot);
    return;
  }
  to_outlet(shard, packet, wire);
}

/// TTL and MTU, answered as RFC 1812 and RFC 8200 ask. True: ended.
bool refuse_unforwardable(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& wire = config.ports[config.ports[meta.egress].wire];
  if (meta.ttl > 1 && meta.l3_length <= wire.mtu) [[likely]] return false;
  const bool old = meta.ttl <= 1;
  local::send_icmp_error(shard, config, packet, old ? filters::IcmpErrorKind::kTimeExceeded : filters::IcmpErrorKind::kTooBig, wire.mtu);
  refuse(shard, config, packet, old ? DropReason::kTtlExceeded : DropReason::kTooBig);
  return true;
}

}  // namespace

void forward(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  for (rte_mbuf* packet : burst.live()) {
    if (refuse_unforwardable(shard, config, packet)) [[unlikely]] continue;
    const PacketMeta& meta = meta_of(packet);
    NeighbourTable::Reading neighbour = neighbour_of(shard, config, meta);
    if ((meta.next_hop & kDynamicHop) != 0) neighbour = resolve(shard, config, meta);
    if (neighbour.state == NeighbourState::kReachable) [[likely]] {
      send_on(shard, config, packet, neighbour.mac);
    } else if (neighbour.state == NeighbourState::kIncomplete) {
      hold(shard, config, packet);
    } else {
      refuse(shard, config, packet, DropReason::kNeighbourUnresolved);
    }
  }
  burst.count = 0;
}

void release_held(Shard& shard, const Runtime& config, Burst& stale) noexcept {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < shard.held_count; ++i) {
    const HeldPacket held = shard.held[i];
    const PacketMeta& meta = meta_of(held.packet);
    const bool late = static_cast<std::int32_t>(shard.now_tick - held.deadline_tick) >= 0;
    if (meta.generation != config.generation) {
      if (stale.count == kBurstMax) {
        shard.held[kept++] = held;
      } else {
        shard.packets.held.subtract(1);
        stale.packets[stale.count++] = held.packet;
      }
      continue;
    }
    const NeighbourTable::Reading neighbour = resolve(shard, config, meta);
    if (neighbour.state == NeighbourState::kIncomplete && !late) {
      shard.held[kept++] = held;
      continue;
    }
    shard.packets.held.subtract(1);
    if (neighbour.state == NeighbourState::kReachable) {
      send_on(shard, config, held.packet, neighbour.mac);
    } else {
      local::send_icmp_error(shard, config, held.packet, filters::IcmpErrorKind::kHostUnreachable, 0);
      refuse(shard, config, held.packet, DropReason::kNeighbourUnresolved);
    }
  }
  shard.held_count = kept;
}

}  // namespace sekisho::dataplane::path
