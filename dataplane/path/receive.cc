// SPDX-License-Identifier: Apache-2.0
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/dpdk/ring_order.h"
#include "dataplane/path/nat_admit.h"
#include "dataplane/path/path.h"
#include "dataplane/train.h"

namespace sekisho::dataplane::path {

namespace {

/// For tunnel::serve: it follows each burst from the ring, so that there is room for all of one.
void open(Shard& shard, rte_mbuf* packet) {
  OpeningBurst& waiting = shard.tunnels_here.opening;
  if (waiting.full()) return shard.drop(packet, filters::DropReason::kHandoffFull, shard.no_tenant());
  waiting.add(packet, outer_of(meta_of(packet)));
}
void seal(Shard& shard, rte_mbuf* packet) {
  Burst& waiting = shard.tunnels_here.sealing;
  if (waiting.count == kBurstMax) return shard.drop(packet, filters::DropReason::kHandoffFull, shard.no_tenant());
  waiting.packets[waiting.count++] = packet;
}

}  // namespace

void receive(Shard& shard, const Inlet& inlet, Burst& burst) noexcept {
  burst.count = rte_eth_rx_burst(inlet.nic, inlet.queue, burst.packets.data(), kBurstMax);
  shard.packets.received.add(burst.count);
  for (rte_mbuf* packet : burst.live()) rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
}

unsigned receive_handed(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  static_assert(sizeof(void*) == sizeof(rte_mbuf*));
  std::array<void*, kBurstMax> handed;
  const unsigned count = rte_ring_sc_dequeue_burst(shard.shared.handoff[shard.number], handed.data(), kBurstMax, nullptr);
  after_taken(shard.shared.handoff[shard.number]);
  Burst stale;
  Burst pieces;
  std::uint64_t packets = 0;
  for (unsigned i = 0; i < count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(handed[i]);
    const PacketMeta& meta = meta_of(packet);
    packets += pieces_of(packet);
    if (meta.resume == static_cast<std::uint8_t>(Resume::kTransmit)) {
      Outlet& outlet = shard.outlets[packet->port];
      if (outlet.count == outlet.packets.size()) transmit(shard);
      outlet.packets[outlet.count++] = packet;
    } else if (meta.resume == static_cast<std::uint8_t>(Resume::kNatQuestion)) [[unlikely]] {
      nat_answer(shard, config, packet);
    } else if (meta.resume == static_cast<std::uint8_t>(Resume::kSeal)) [[unlikely]] {
      seal(shard, packet);
    } else if (meta.generation != config.generation) [[unlikely]] {
      stale.packets[stale.count++] = packet;
    } else if (meta.resume == static_cast<std::uint8_t>(Resume::kReassemble)) [[unlikely]] {
      pieces.packets[pieces.count++] = packet;
    } else if (meta.resume == static_cast<std::uint8_t>(Resume::kOpen)) [[unlikely]] {
      open(shard, packet);
    } else {
      burst.packets[burst.count++] = packet;
    }
  }
  shard.packets.handed_in.add(packets);
  if (pieces.count > 0) reassemble(shard, config, pieces, burst);
  if (stale.count > 0) bind_again(shard, config, stale, burst);
  return count;
}

}  // namespace sekisho::dataplane::path
