// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <span>

#include "base/wire/reader.h"
#include "filters/packet/packet_meta.h"

namespace sekisho::dataplane {

using filters::PacketMeta;

/// Packets taken from one inlet at a time. Chosen by measurement (docs/performance.md): long enough to hide one DRAM
/// miss behind the others, short enough that their headers and records stay in L1.
inline constexpr std::uint16_t kBurstMax = 64;

/// A batch of live packets, compacted in place: a stage keeps those it wants and hands the rest to drop, punt or hold.
struct Burst {
  std::uint16_t count = 0;
  std::array<rte_mbuf*, kBurstMax> packets;

  [[nodiscard]] std::span<rte_mbuf* const> live() const { return {packets.data(), count}; }
};

/// The record that travels with a packet, in the mbuf's private area: it survives hand-off and holding.
inline PacketMeta& meta_of(rte_mbuf* packet) { return *static_cast<PacketMeta*>(rte_mbuf_to_priv(packet)); }

/// First segment of the frame. Ports are set up so that a frame is always one segment.
inline std::span<std::uint8_t> frame_of(rte_mbuf* packet) {
  return {rte_pktmbuf_mtod(packet, std::uint8_t*), packet->data_len};
}

/// rte_mbuf::port of packets that came in by no card: kNoNic out of a tunnel; kOwnNic made or sealed here, to be sent and never
/// to be placed as if it had come in.
inline constexpr std::uint16_t kNoNic = 0xffff, kOwnNic = 0xfffe;
/// In place of the service network's card: there is none.
inline constexpr std::uint16_t kNoService = 0xfffd;

/// Where a packet that comes out of a hand-off ring goes on (PacketMeta::resume).
enum class Resume : std::uint8_t {
  kFindSession = 0,  ///< steered to the shard that owns its flow
  kTransmit = 1,     ///< ready; this shard owns a transmit queue of its NIC
  kReassemble = 2,   ///< a fragment: the pieces of its datagram meet here
  kNatQuestion = 3,  ///< asks whether this shard has a flow that its translation would look like (path::nat_answer)
  kNatAnswered = 4,  ///< back from there; goes on at find_session
  kOpen = 5,         ///< ESP whose SA is this worker's
  kSeal = 6,         ///< an inner packet for the outbound SA of this worker that its session field names
};

}  // namespace sekisho::dataplane
