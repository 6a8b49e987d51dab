// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/net/address.h"

/// SYN cookies: a SYN+ACK whose initial sequence is all we remember of a SYN (RFC 4987 3.6). Pure; thread: any.
namespace sekisho::filters {

/// What a SYN offers that a later ACK no longer says, as far as a cookie can carry it. Timestamps and ECN are not carried.
struct SynOffer {
  std::uint16_t mss;          ///< bytes of TCP payload; what the table knows at or below what was said
  std::uint8_t window_scale;  ///< shift count; kNoWindowScale: scaling was not offered
  bool sack;
  bool operator==(const SynOffer&) const = default;
};

/// Drawn once at start, the same in every shard, said to nobody.
struct SynCookieKey {
  std::uint64_t a;
  std::uint64_t b;
};

/// The connection a cookie is for. Ports host order, in the direction of the SYN.
struct SynCookieFlow {
  Address source;
  Address destination;
  std::uint16_t source_port;
  std::uint16_t destination_port;
  std::uint32_t tenant;            ///< the same addresses under another tenant give another cookie
  std::uint32_t initial_sequence;  ///< of the SYN
};

/// Seconds in which cookies made in one slot of time are equal; one is good for its slot and the next.
inline constexpr std::uint32_t kSynCookieSlotSeconds = 16;

/// MSS (2), window scale (3) and SACK permitted (4) out of the options of a SYN (RFC 9293 3.1, RFC 7323, RFC 2018). A
/// malformed list ends the search; no MSS means 536, or 1220 for IPv6 (RFC 9293 3.7.1).
[[nodiscard]] SynOffer parse_syn_offer(std::span<const std::uint8_t> options, bool ipv6);

/// 24 bits of SipHash-2-4 over the flow, the slot and the carried bits; then 3 bits MSS, 3 scale, 1 SACK, 1 slot: a blind
/// ACK passes once in 2^24. `slot`: steady seconds / kSynCookieSlotSeconds.
[[nodiscard]] std::uint32_t make_syn_cookie(const SynCookieKey& key, const SynCookieFlow& flow, const SynOffer& offer,
                                            std::uint32_t slot);

/// The offer inside a cookie made for this flow in this slot or the one before; nothing when it was not.
[[nodiscard]] std::optional<SynOffer> check_syn_cookie(const SynCookieKey& key, const SynCookieFlow& flow,
                                                       std::uint32_t cookie, std::uint32_t slot);

/// SipHash-2-4 (Aumasson, Bernstein 2012) of whole 64-bit words.
[[nodiscard]] std::uint64_t siphash(std::uint64_t key_a, std::uint64_t key_b, std::span<const std::uint64_t> words);

}  // namespace sekisho::filters
