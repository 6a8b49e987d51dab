// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/path.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/decode.h"

/// The short way of established packets (docs/adr/0021): what decode, bind, find_session, track and forward ask of a packet
/// that raises no question is asked in two walks over the burst. The first that is not answered plainly leaves the packet to the stages,
/// as if nothing had been asked. Thread: the shard's.
namespace sekisho::dataplane::path {

/// What the short way knows of a packet. While it is the only one that asks, the packet's record is not written: a line less.
struct Flight {
  FlowKey key;
  std::uint64_t hash;
  std::uint32_t ingress;   ///< port index
  bool from_high;          ///< as FlowLookup's
  std::uint8_t l3_offset;  ///< 0: the record is written, and says more
  std::uint8_t tcp_flags;

  /// Member by member: a record made elsewhere and copied would be read before its parts are one in the cache.
  [[gnu::always_inline]] void depart(const FlowLookup& lookup, std::uint32_t port, std::size_t l3, std::uint8_t flags) {
    key.low = lookup.key.low;
    key.high = lookup.key.high;
    hash = lookup.hash;
    ingress = port;
    from_high = lookup.from_high;
    l3_offset = static_cast<std::uint8_t>(l3);
    tcp_flags = flags;
  }
  [[nodiscard]] bool ipv6() const { return (key.low >> 56 & (kFlowIpv6Bit >> 16)) != 0; }
  [[nodiscard]] std::uint8_t protocol() const { return static_cast<std::uint8_t>(key.low >> 48); }
};
static_assert(sizeof(Flight) == 32);

/// Those of a burst's packets, by position.
using Flights = std::array<Flight, kBurstMax>;

/// Writes the record of a packet, as decode() and bind() would have. `flight` then says so.
void write_record(const Runtime& config, rte_mbuf* packet, Flight& flight) noexcept;
/// Those of the first `plain` packets of a burst.
inline void write_records(const Runtime& config, const Burst& burst, Flights& flights, std::uint16_t plain) noexcept {
  for (std::uint16_t i = 0; i < plain; ++i) write_record(config, burst.packets[i], flights[i]);
}
/// owner_of() for a packet with its flight.
[[nodiscard]] std::uint32_t owner_of(const Shared& shared, const Runtime& config, const HashSeed& seed, rte_mbuf* packet,
                                     const Flight& flight) noexcept;

/// What the card says of the packet's checksums.
inline filters::ChecksumTrust trust_of(const rte_mbuf* packet) {
  return {.ip = (packet->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
          .l4 = (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD};
}

/// decode() and bind(). Returns how many packets, the first of the burst, have their `flights`, and their buckets asked for.
std::uint16_t enter_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights) noexcept;

/// The flights of bound packets from place `from` on, as enter_plain() leaves them. Returns where it ended: at the first train.
std::uint16_t survey(Shard& shard, const Burst& burst, Flights& flights, std::uint16_t from) noexcept;

/// carry(): the first `plain` packets have their flights.
void carry_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) noexcept;

/// steer() and carry(): `plain` as enter_plain() said, 0 when the burst has changed since.
void proceed_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) noexcept;

}  // namespace sekisho::dataplane::path
