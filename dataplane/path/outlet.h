// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/path.h"
#include "dataplane/path/tunnels.h"

namespace sekisho::dataplane::path {

/// Puts a finished frame into the outlet of its wire port's NIC: this shard's own queue, or, when the NIC has fewer
/// queues than there are shards, the ring of the shard that owns one; for a tunnel Port its tunnel. The caller counts it for the port.
inline void to_queue(Shard& shard, rte_mbuf* packet, const PortEntry& wire) noexcept {
  if (wire.nic == kNoNic) [[unlikely]] return tunnel::answer(shard, packet, wire);
  Outlet& outlet = shard.outlets[wire.nic];
  packet->port = wire.nic;
  if (outlet.owner != shard.number) [[unlikely]] {
    shard.hand_off(packet, outlet.owner, Resume::kTransmit, wire.tenant_slot);
    return;
  }
  if (outlet.count == outlet.packets.size()) [[unlikely]] transmit(shard);
  outlet.packets[outlet.count++] = packet;
}

/// to_queue, counted.
inline void to_outlet(Shard& shard, rte_mbuf* packet, const PortEntry& wire) noexcept {
  PortCounters& counters = shard.ports[wire.slot];
  counters.tx_packets.add(1);
  counters.tx_bytes.add(packet->pkt_len);
  to_queue(shard, packet, wire);
}

}  // namespace sekisho::dataplane::path
