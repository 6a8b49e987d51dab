// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "filters/packet/packet_meta.h"
#include "filters/state/direction.h"
#include "filters/state/tcp_tracker.h"

/// Joins two halves of a connection whose client was answered with a cookie: what the server numbers from its own initial
/// sequence, the client numbers from the cookie. The client's own numbers are the same on both sides. Pure; thread: any.
namespace sekisho::filters {

/// What differs between the two sides of a joined connection. `from` is the shift count the sender's windows have on the
/// wire, `to` the one their receiver expects; both 0 without window scaling.
struct TcpSplice {
  std::uint32_t shift;  ///< the server's sequence minus what the client was told
  std::uint8_t forward_from, forward_to;
  std::uint8_t reverse_from, reverse_to;
  bool operator==(const TcpSplice&) const = default;
};
static_assert(sizeof(TcpSplice) == 8 && std::is_trivially_copyable_v<TcpSplice>);

/// A window of one side said in the other's scale; what does not fit is rounded down.
[[nodiscard]] std::uint16_t rescale_window(std::uint16_t window, std::uint8_t from, std::uint8_t to);

/// A segment of the client as its server will see it: tracking stands on the server's side.
void splice_segment(const TcpSplice& splice, TcpSegment& segment);

/// Rewrites a segment for the other side, checksum kept by difference (RFC 1624): acknowledgement, SACK blocks and window of
/// the client's, sequence and window of the server's. A SYN's window is never scaled. Needs kProofL4 and protocol TCP;
/// malformed options end the search for SACK blocks.
void splice_rewrite(const TcpSplice& splice, Direction direction, std::span<std::uint8_t> frame, const PacketMeta& meta);

/// Puts another sequence into a TCP header quoted by an ICMP error; its checksum, where it is quoted too, and the error's hold
/// as before. `transport_at`: offset in the frame of the quoted header, whose first eight bytes the caller has proved, at an
/// even distance from the message.
void splice_quote(std::span<std::uint8_t> frame, const PacketMeta& meta, std::size_t transport_at, std::uint32_t sequence);

}  // namespace sekisho::filters
