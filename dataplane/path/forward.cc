// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "dataplane/path/local.h"
#include "dataplane/path/outlet.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "filters/packet/fields.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

constexpr std::uint32_t kHoldTicks = 2 * kTicksPerSecond;
constexpr std::uint32_t kHeldPerTenantMax = 64;  // of 256: one tenant's silent neighbours leave room for the others

/// One hop less (RFC 1812 5.2.1.1, RFC 8200 3), with the IPv4 header checksum kept (RFC 1624).
void count_hop(std::span<std::uint8_t> frame, const PacketMeta& meta) {
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & filters::kProofIpv4) != 0) [[likely]] {
    // TTL, protocol and checksum lie in one word: TTL is the upper byte of its 16 bits, so the sum grows by 0x100.
    const auto word = load_be<std::uint32_t>(frame, l3 + 8);
    const std::uint32_t sum = (word & 0xffffU) + 0x100;
    const std::uint32_t folded = (sum + (sum >> 16)) & 0xffffU;
    store_be<std::uint32_t>(frame, l3 + 8, ((word - 0x0100'0000U) & 0xffff'0000U) | folded);
  } else {
    frame[l3 + 7] = static_cast<std::uint8_t>(meta.ttl - 1);
  }
}

/// Replaces the link header by that of the wire port and cuts Ethernet padding off. `destination`: raw_mac. False: no
/// room (never in packets of ours).
bool write_link(rte_mbuf* packet, const PortEntry& wire, std::uint64_t destination) {
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
  const auto& link = (meta.proof & filters::kProofIpv4) != 0 ? wire.link4 : wire.link6;
  std::memcpy(frame.data(), &destination, 8);  // two bytes too many, which the next store puts right
  std::memcpy(frame.subspan(6).data(), link.data(), 8);
  if (wire.l2_bytes > 14) [[unlikely]] std::memcpy(frame.subspan(14).data(), std::span(link).subspan(8).data(), wire.l2_bytes - 14U);
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
  const std::uint32_t tenant = meta_of(packet).tenant;
  const auto waiting = std::count_if(shard.held.begin(), shard.held.begin() + shard.held_count,
                                     [&](const HeldPacket& held) { return held.tenant == tenant; });
  if (waiting >= kHeldPerTenantMax || shard.held_count == shard.held.size()) {
    refuse(shard, config, packet, DropReason::kHoldLimit);
    return;
  }
  shard.held[shard.held_count++] = {packet, shard.now_tick + kHoldTicks, tenant};
  shard.packets.held.add(1);
}

/// Finishes a packet: hop count and link header. False: ended.
bool finish(Shard& shard, rte_mbuf* packet, const PortEntry& wire, std::uint64_t destination) {
  count_hop(frame_of(packet), meta_of(packet));
  if (write_link(packet, wire, destination)) [[likely]] return true;
  shard.drop(packet, DropReason::kNoMemory, wire.tenant_slot);
  return false;
}

/// The wire port of the packets of a run: most of a burst leave by the same one.
struct Exit {
  std::uint32_t egress = kNoIndex;
  const PortEntry* wire = nullptr;
  std::uint64_t packets = 0, bytes = 0;

  void seek(Shard& shard, const Runtime& config, std::uint32_t wanted) {
    if (wanted == egress) [[likely]] return;
    flush(shard);
    egress = wanted;
    wire = &config.ports[config.ports[wanted].wire];
  }
  void flush(Shard& shard) {
    if (packets == 0) return;
    PortCounters& counters = shard.ports[wire->slot];
    counters.tx_packets.add(packets);
    counters.tx_bytes.add(bytes);
    packets = bytes = 0;
  }
  void send(Shard& shard, rte_mbuf* packet, std::uint64_t destination) {
    if (!finish(shard, packet, *wire, destination)) return;
    packets += 1;
    bytes += packet->pkt_len;
    to_queue(shard, packet, *wire);
  }
};

/// A packet whose neighbour had to be asked for. What resolve() knows decides.
void send_resolved(Shard& shard, const Runtime& config, rte_mbuf* packet, Exit& exit) {
  const NeighbourTable::Reading neighbour = resolve(shard, config, meta_of(packet));
  if (neighbour.state == NeighbourState::kReachable) {
    exit.send(shard, packet, raw_mac(neighbour.mac));
  } else if (neighbour.state == NeighbourState::kIncomplete) {
    hold(shard, config, packet);
  } else {
    // The entry went to another address: the session is judged again at its next packet, which asks for the neighbour anew.
    const std::uint32_t session = meta_of(packet).session;
    if (session != kNoIndex) shard.sessions.at(session).generation = 0;
    refuse(shard, config, packet, DropReason::kNeighbourUnresolved);
  }
}

/// TTL and MTU, answered as RFC 1812 and RFC 8200 ask. True: ended.
bool refuse_unforwardable(Shard& shard, const Runtime& config, rte_mbuf* packet, const PortEntry& wire) {
  const PacketMeta& meta = meta_of(packet);
  if (meta.ttl > 1 && meta.l3_length <= wire.mtu) [[likely]] return false;
  const bool old = meta.ttl <= 1;
  local::send_icmp_error(shard, config, packet, old ? filters::IcmpErrorKind::kTimeExceeded : filters::IcmpErrorKind::kTooBig, wire.mtu);
  refuse(shard, config, packet, old ? DropReason::kTtlExceeded : DropReason::kTooBig);
  return true;
}

}  // namespace

void forward(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  Exit exit;
  for (rte_mbuf* packet : burst.live()) {
    const PacketMeta& meta = meta_of(packet);
    exit.seek(shard, config, meta.egress);
    if (refuse_unforwardable(shard, config, packet, *exit.wire)) [[unlikely]] continue;
    if ((meta.next_hop & kDynamicHop) == 0) [[likely]] {
      exit.send(shard, packet, config.static_hops[meta.next_hop]);
    } else {
      send_resolved(shard, config, packet, exit);
    }
  }
  exit.flush(shard);
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
      const PortEntry& wire = config.ports[config.ports[meta.egress].wire];
      if (finish(shard, held.packet, wire, raw_mac(neighbour.mac))) to_outlet(shard, held.packet, wire);
    } else {
      local::send_icmp_error(shard, config, held.packet, filters::IcmpErrorKind::kHostUnreachable, 0);
      refuse(shard, config, held.packet, DropReason::kNeighbourUnresolved);
    }
  }
  shard.held_count = kept;
}

}  // namespace sekisho::dataplane::path
