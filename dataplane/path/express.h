// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/path.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/decode.h"

/// The short way of established packets (docs/adr/0021): what decode, bind, find_session, track and forward ask of a packet
/// that raises no question is asked in two walks over the burst. The first that is not answered plainly leaves the packet to the stages,
/// as if nothing had been asked. Thread: the shard's.
namespace sekisho::dataplane::path {

/// Keys of a burst's packets, by position.
using Flights = std::array<FlowLookup, kBurstMax>;

/// What the card says of the packet's checksums.
inline filters::ChecksumTrust trust_of(const rte_mbuf* packet) {
  return {.ip = (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
          .l4 = (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD};
}

/// decode() and bind(). Returns how many packets, the first of the burst, have their flow's key in `flights`, its bucket asked for.
std::uint16_t enter_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights) noexcept;

/// The keys of bound packets from place `from` on, as enter_plain() leaves them. Returns where it ended: at the first train.
std::uint16_t survey(Shard& shard, const Burst& burst, Flights& flights, std::uint16_t from) noexcept;

/// carry(): of the first `plain` packets the keys are known.
void carry_plain(Shard& shard, const Runtime& config, Burst& burst, const Flights& flights, std::uint16_t plain) noexcept;

/// steer() and carry(): `plain` as enter_plain() said, 0 when the burst has changed since.
void proceed_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) noexcept;

}  // namespace sekisho::dataplane::path
