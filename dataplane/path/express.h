// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>

#include "dataplane/path/path.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/decode.h"

/// The short way of established packets (docs/adr/0021): what decode, bind, find_session, track and forward ask of a packet
/// that raises no question is asked in two walks over the burst. The first that is not answered plainly leaves the packet to the stages,
/// as if nothing had been asked. Thread: the shard's.
namespace sekisho::dataplane::path {

/// What a packet with a flight is: each form has a way of its own, in which nothing is asked that the form says.
enum class Form : std::uint8_t {
  kRecorded,  ///< the record is written, and says more
  kUdp4,
  kTcp4,
  kUdp6,
  kTcp6,
};
[[nodiscard, gnu::always_inline]] constexpr Form form_of(bool ipv4, std::uint8_t protocol) {
  if (protocol == filters::kProtocolUdp) return ipv4 ? Form::kUdp4 : Form::kUdp6;
  return ipv4 ? Form::kTcp4 : Form::kTcp6;
}

/// What the short way knows of a packet. While it is the only one that asks, the packet's record is not written: a line less.
struct alignas(32) Flight {
  FlowKey key;
  union {
    std::uint64_t hash;  ///< of the key, until the session is sought
    Session* session;    ///< which the packet may belong to; nullptr: none was found at once
  };
  std::uint32_t ingress;   ///< port index
  bool from_high;          ///< as FlowLookup's
  std::uint8_t l3_offset;  ///< 0: Form::kRecorded
  std::uint8_t tcp_flags;
  Form form;

  /// What all packets of a run have in common, as one word.
  [[gnu::always_inline]] static std::uint64_t common(std::uint32_t port, std::size_t l3, Form what) {
    return port | std::uint64_t{l3} << 40 | static_cast<std::uint64_t>(what) << 56;
  }
  /// Member by member: a record made elsewhere and copied would be read before its parts are one in the cache.
  [[gnu::always_inline]] void depart(const FlowLookup& lookup, std::uint64_t shared, std::uint8_t flags) {
    const std::uint64_t rest = shared | std::uint64_t{lookup.from_high} << 32 | std::uint64_t{flags} << 48;
    key.low = lookup.key.low;
    key.high = lookup.key.high;
    hash = lookup.hash;
    __builtin_memcpy(&ingress, &rest, sizeof(rest));  // all that follows; std::memcpy would be called, to look how much that is
  }
  [[nodiscard]] bool ipv6() const { return (key.low >> 56 & (kFlowIpv6Bit >> 16)) != 0; }
  [[nodiscard]] std::uint8_t protocol() const { return static_cast<std::uint8_t>(key.low >> 48); }
};
static_assert(sizeof(Flight) == 32 && offsetof(Flight, ingress) == 24 && offsetof(Flight, from_high) == 28 &&
              offsetof(Flight, l3_offset) == 29 && offsetof(Flight, tcp_flags) == 30 && offsetof(Flight, form) == 31);

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
