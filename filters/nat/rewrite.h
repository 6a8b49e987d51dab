// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/net/address.h"
#include "base/net/endian.h"
#include "base/wire/reader.h"
#include "filters/packet/packet_meta.h"
#include "filters/state/icmp_error.h"

/// Writes other ends into decoded packets and keeps their checksums right by what changed alone (RFC 1624).
///
/// What is changed: both addresses; the ports of TCP and UDP; the identifier of an echo. Other protocols keep their bytes:
/// their checksums, if any, must not cover addresses. A later fragment has addresses only. The UDP checksum 0 of IPv4
/// (none was computed) stays 0, and no computed one becomes 0 (RFC 768). Thread: any; pure.
namespace sekisho::filters {

/// The ends of one direction of a flow as they stand in its packets. Both addresses of one family; ports in host order;
/// an echo has its identifier as both ports, other protocols 0.
struct FlowEnds {
  Address source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
  bool operator==(const FlowEnds&) const = default;
};

/// The same flow seen from its other end.
[[nodiscard]] inline FlowEnds reversed(const FlowEnds& ends) {
  return {ends.destination, ends.source, ends.destination_port, ends.source_port};
}

/// What a rewrite adds to the complement of a checksum field; folded to 16 bits, host order.
struct ChecksumDelta {
  std::uint16_t ip = 0;  ///< IPv4 header
  std::uint16_t l4 = 0;  ///< TCP, UDP, ICMP, ICMPv6
};

/// The delta of writing `to` over `from` in packets of `protocol`. Undoing it needs reverse_of().
[[nodiscard]] ChecksumDelta delta_of(const FlowEnds& from, const FlowEnds& to, std::uint8_t protocol);
/// The delta of the rewrite that goes back.
[[nodiscard]] inline ChecksumDelta reverse_of(ChecksumDelta delta) {
  return {static_cast<std::uint16_t>(~delta.ip), static_cast<std::uint16_t>(~delta.l4)};
}

/// True when the packet bears exactly `ends`. Needs kProofIpv4 or kProofIpv6; ports are compared as decode found them.
[[nodiscard]] bool bears(ByteSpan frame, const PacketMeta& meta, const FlowEnds& ends);

/// Writes `to`, with delta_of(what the packet bears, to, its protocol), into headers and record. Of ICMP echoes only.
void rewrite(std::span<std::uint8_t> frame, PacketMeta& meta, const FlowEnds& to, ChecksumDelta delta);

/// Rewrites an ICMP error that travels from `from.source`'s side to `from.destination` (RFC 5508 REQ-4, 5; RFC 4443).
/// `quoted` is parse_icmp_error's answer about it: the quoted packet bears reversed(from), and gets reversed(to) with its
/// header and, as far as quoted, transport checksums. The error's destination becomes `to.destination`. Its source, which
/// may be any router, becomes `to.source` when it is `from.source` or when that end is hidden behind another address;
/// otherwise it stays.
void rewrite_error(std::span<std::uint8_t> frame, const PacketMeta& meta, const QuotedPacket& quoted, const FlowEnds& from,
                   const FlowEnds& to);

}  // namespace sekisho::filters
