// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/outlet.h"

/// The last steps of a packet that leaves: hop count, link header, outlet. Thread: the shard's.
namespace sekisho::dataplane::path {

/// One hop less (RFC 1812 5.2.1.1, RFC 8200 3), with the IPv4 header checksum kept (RFC 1624).
[[gnu::always_inline]] inline void count_hop(std::span<std::uint8_t> frame, const PacketMeta& meta) {
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & filters::kProofIpv4) != 0) [[likely]] {
    // TTL, protocol and checksum lie in one word: TTL is the upper byte of its 16 bits, so the checksum grows by 0x100, and from
    // 0xfeff to 0, never to 0xffff (RFC 1624 3: equal in sum, but not to who computes it anew and compares).
    const auto word = load_be<std::uint32_t>(frame, l3 + 8);
    const std::uint32_t sum = word & 0xffffU;
    const std::uint32_t folded = (sum + 0x100 + ((sum + 0x101) >> 16)) & 0xffffU;
    store_be<std::uint32_t>(frame, l3 + 8, ((word - 0x0100'0000U) & 0xffff'0000U) | folded);
  } else {
    frame[l3 + 7] = static_cast<std::uint8_t>(meta.ttl - 1);
  }
}

/// Replaces the link header by that of the wire port and cuts Ethernet padding off. `destination`: raw_mac. False: no
/// room (never in packets of ours).
[[gnu::always_inline]] inline bool write_link(rte_mbuf* packet, const PortEntry& wire, std::uint64_t destination) {
  const PacketMeta& meta = meta_of(packet);
  const auto& link = (meta.proof & filters::kProofIpv4) != 0 ? wire.link4 : wire.link6;
  const int grow = int{wire.l2_bytes} - int{meta.l3_offset};
  if (grow != 0) [[unlikely]] {
    if (grow > 0) {
      if (rte_pktmbuf_prepend(packet, static_cast<std::uint16_t>(grow)) == nullptr) return false;
    } else {
      rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(-grow));
    }
  }
  packet->data_len = static_cast<std::uint16_t>(wire.l2_bytes + meta.l3_length);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;

  const auto frame = frame_of(packet);
  std::memcpy(frame.data(), &destination, 8);  // two bytes too many, which the next store puts right
  std::memcpy(frame.subspan(6).data(), link.data(), 8);
  if (wire.l2_bytes > 14) [[unlikely]] std::memcpy(frame.subspan(14).data(), std::span(link).subspan(8).data(), wire.l2_bytes - 14U);
  return true;
}

/// Finishes a packet: hop count and link header. False: ended.
[[gnu::always_inline]] inline bool finish(Shard& shard, rte_mbuf* packet, const PortEntry& wire, std::uint64_t destination) {
  count_hop(frame_of(packet), meta_of(packet));
  if (write_link(packet, wire, destination)) [[likely]] return true;
  shard.drop(packet, filters::DropReason::kNoMemory, wire.tenant_slot);
  return false;
}

/// Asks for the neighbour when it is time, and learns whether its address is known now.
NeighbourTable::Reading resolve(Shard& shard, const Runtime& config, const PacketMeta& meta) noexcept;

/// The wire port of the packets of a run: most of a burst leave by the same one.
struct Exit {
  std::uint32_t egress = kNoIndex;
  const PortEntry* wire = nullptr;
  Outlet* outlet = nullptr;  ///< of its NIC, when this shard owns the queue
  std::uint64_t packets = 0, bytes = 0;

  void seek(Shard& shard, const Runtime& config, std::uint32_t wanted) {
    if (wanted == egress) [[likely]] return;
    flush(shard);
    egress = wanted;
    wire = &config.ports[config.ports[wanted].wire];
    outlet = wire->nic == kNoNic ? nullptr : &shard.outlets[wire->nic];
    if (outlet != nullptr && outlet->owner != shard.number) outlet = nullptr;
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
    packets += 1;
    bytes += packet->pkt_len;
    if (outlet == nullptr || outlet->count == outlet->packets.size()) [[unlikely]] {
      to_queue(shard, packet, *wire);
      return;
    }
    packet->port = wire->nic;
    outlet->packets[outlet->count++] = packet;
  }
};

}  // namespace sekisho::dataplane::path
