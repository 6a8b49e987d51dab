// SPDX-License-Identifier: Apache-2.0
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include "dataplane/dpdk/ring_order.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"

namespace sekisho::dataplane::path {

void receive(Shard& shard, const Inlet& inlet, Burst& burst) noexcept {
  burst.count = rte_eth_rx_burst(inlet.nic, inlet.queue, burst.packets.data(), kBurstMax);
  shard.packets.received.add(burst.count);
  for (rte_mbuf* packet : burst.live()) {
    rte_prefetch0(rte_pktmbuf_mtod(packet, void*));
    __builtin_prefetch(&meta_of(packet), 1);
  }
}

unsigned receive_handed(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  static_assert(sizeof(void*) == sizeof(rte_mbuf*));
  std::array<void*, kBurstMax> handed;
  const unsigned count = rte_ring_sc_dequeue_burst(shard.shared.handoff[shard.number], handed.data(), kBurstMax, nullptr);
  after_taken(shard.shared.handoff[shard.number]);
  shard.packets.handed_in.add(count);
  Burst stale;
  for (unsigned i = 0; i < count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(handed[i]);
    const PacketMeta& meta = meta_of(packet);
    if (meta.resume == static_cast<std::uint8_t>(Resume::kTransmit)) {
      Outlet& outlet = shard.outlets[packet->port];
      if (outlet.count == outlet.packets.size()) transmit(shard);
      outlet.packets[outlet.count++] = packet;
    } else if (meta.generation == config.generation) {
      burst.packets[burst.count++] = packet;
    } else {
      stale.packets[stale.count++] = packet;
    }
  }
  bind(shard, config, stale, Count::kNo);
  for (rte_mbuf* packet : stale.live()) burst.packets[burst.count++] = packet;
  return count;
}

}  // namespace sekisho::dataplane::path
