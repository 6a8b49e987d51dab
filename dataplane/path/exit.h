// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/outlet.h"

/// The last steps of a packet that leaves: hop count, link header, outlet. Thread: the shard's.
namespace sekisho::dataplane::path {

/// One hop less (RFC 1812 5.2.1.1, RFC 8200 3), with the IPv4 header checksum kept (RFC 1624). `ip`: the packet's header.
[[gnu::always_inline]] inline void count_hop(std::uint8_t* ip, bool ipv4) {
  if (ipv4) [[likely]] {
    // TTL, protocol and checksum lie in one word, TTL lowest as loaded here. A TTL less one is a checksum more one in this order, with
    // the carry from its top back to its bottom (RFC 1071 2); and from 0xfffe to 0, never to 0xffff (RFC 1624 3: equal in sum, but not
    // to who computes it anew and compares).
    std::uint32_t word;
    std::memcpy(&word, ip + 8, sizeof(word));
    word += 0xffffU + (word >= 0xfffe'0000U ? 0x1'0000U : 0U);
    std::memcpy(ip + 8, &word, sizeof(word));
  } else {
    ip[7] = static_cast<std::uint8_t>(ip[7] - 1);
  }
}

/// The link and network header of a packet that leaves.
struct Headers {
  std::size_t l3_offset, l3_length;
  bool ipv4;
};

/// Replaces the link header by that of the wire port and cuts Ethernet padding off. `destination`: raw_mac. False: no
/// room (never in packets of ours).
[[gnu::always_inline]] inline bool write_link(rte_mbuf* packet, const Headers& headers, const PortEntry& wire, std::uint64_t destination) {
  const auto& link = headers.ipv4 ? wire.link4 : wire.link6;
  const std::size_t l2 = wire.l2_bytes;
  if (l2 != headers.l3_offset) [[unlikely]] {
    if (l2 > headers.l3_offset) {
      if (rte_pktmbuf_prepend(packet, static_cast<std::uint16_t>(l2 - headers.l3_offset)) == nullptr) return false;
    } else {
      rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(headers.l3_offset - l2));
    }
  }
  const std::size_t length = l2 + headers.l3_length;
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->ol_flags = 0;

  auto* const frame = rte_pktmbuf_mtod(packet, std::uint8_t*);
  std::memcpy(frame, &destination, 8);  // two bytes too many, which the next store puts right
  std::memcpy(frame + 6, link.data(), 8);
  if (l2 > 14) [[unlikely]] std::memcpy(frame + 14, link.data() + 8, l2 - 14);
  return true;
}

/// Finishes a packet: hop count and link header. False: ended.
[[gnu::always_inline]] inline bool finish(Shard& shard, rte_mbuf* packet, const PortEntry& wire, std::uint64_t destination) {
  const PacketMeta& meta = meta_of(packet);
  const Headers headers{meta.l3_offset, meta.l3_length, (meta.proof & filters::kProofIpv4) != 0};
  count_hop(rte_pktmbuf_mtod(packet, std::uint8_t*) + headers.l3_offset, headers.ipv4);
  if (write_link(packet, headers, wire, destination)) [[likely]] return true;
  shard.drop(packet, filters::DropReason::kNoMemory, wire.tenant_slot);
  return false;
}

/// Asks for the neighbour `hop` (kDynamicHop) on the way out by port `egress` when it is time, and learns whether its address is known now.
NeighbourTable::Reading resolve(Shard& shard, const Runtime& config, std::uint32_t egress, std::uint32_t hop) noexcept;

/// A neighbour this burst has asked for, and its MAC.
struct KnownHop {
  std::uint32_t hop = kNoIndex;
  std::uint64_t mac = 0;

  /// The MAC of a next hop; false: forward() decides.
  [[gnu::always_inline]] bool find(Shard& shard, const Runtime& config, std::uint32_t egress, std::uint32_t next_hop, std::uint64_t& out) {
    if ((next_hop & kDynamicHop) == 0) {
      out = config.static_hops[next_hop];
      return (out & kWatchedHop) == 0;
    }
    if (next_hop != hop) [[unlikely]] {
      const NeighbourTable::Reading neighbour = resolve(shard, config, egress, next_hop);
      if (neighbour.state != NeighbourState::kReachable) return false;
      hop = next_hop;
      mac = raw_mac(neighbour.mac);
    }
    out = mac;
    return true;
  }
};

/// The wire port of the packets of a run: most of a burst leave by the same one.
struct Exit {
  std::uint32_t egress = kNoIndex;
  const PortEntry* wire = nullptr;
  Outlet* outlet = nullptr;  ///< of its NIC, when this shard owns the queue
  std::uint32_t mtu = 0;     ///< what an IP packet may have that put() may take; 0: without `outlet`
  std::uint64_t packets = 0, bytes = 0;

  void seek(Shard& shard, const Runtime& config, std::uint32_t wanted) {
    if (wanted == egress) [[likely]] return;
    flush(shard);
    egress = wanted;
    wire = &config.ports[config.ports[wanted].wire];
    outlet = wire->nic == kNoNic ? nullptr : &shard.outlets[wire->nic];
    if (outlet != nullptr && outlet->owner != shard.number) outlet = nullptr;
    mtu = outlet == nullptr ? 0 : wire->mtu;
  }
  void flush(Shard& shard) {
    if (packets == 0) return;
    PortCounters& counters = shard.ports[wire->slot];
    counters.tx_packets.add(packets);
    counters.tx_bytes.add(bytes);
    packets = bytes = 0;
  }
  [[gnu::always_inline]] void send(Shard& shard, rte_mbuf* packet, std::uint64_t destination) {
    if (!finish(shard, packet, *wire, destination)) return;
    if (outlet != nullptr) [[likely]] return put(shard, packet, packet->pkt_len);
    packets += 1;
    bytes += packet->pkt_len;
    to_queue(shard, packet, *wire);
  }
  /// Puts a finished packet of `length` bytes into the outlet, which there is.
  [[gnu::always_inline]] void put(Shard& shard, rte_mbuf* packet, std::uint32_t length) {
    packets += 1;
    bytes += length;
    const std::uint16_t place = outlet->count;
    if (place == outlet->packets.size()) [[unlikely]] {
      to_queue(shard, packet, *wire);
      return;
    }
    outlet->packets[place] = packet;
    outlet->count = static_cast<std::uint16_t>(place + 1);
  }
};

}  // namespace sekisho::dataplane::path
