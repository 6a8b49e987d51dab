// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "filters/state/icmp_error.h"

namespace sekisho::filters {

/// What a router says of an ESP packet that was too long for it (RFC 1191, 8201; RFC 4301 8.2): enough to find the SA.
struct QuotedEsp {
  std::uint32_t spi;       ///< host order, as below: the peer's, since the packet was ours
  std::uint32_t sequence;  ///< the low half
  std::uint32_t mtu;       ///< bytes from the outer IP header on; never below what each link must carry
  bool in_udp;             ///< from port 4500
};

/// `meta`, `quoted`: as decode and parse_icmp_error() left them. Nothing unless the error is "too big" (ICMPv4 3/4, ICMPv6 2)
/// and the quote reaches SPI and sequence number, which behind UDP is more than routers must quote.
/// A router older than RFC 1191 says no size: then it is the next usual one below that of the packet.
[[nodiscard]] std::optional<QuotedEsp> read_quoted_esp(std::span<const std::uint8_t> frame, const PacketMeta& meta,
                                                       const QuotedPacket& quoted);

/// The least a path may be believed to carry: RFC 1191 3 asks for 68, but no link of today is below 576; RFC 8200 5.
inline constexpr std::uint32_t kPathMtuMin4 = 576, kPathMtuMin6 = 1280;

}  // namespace sekisho::filters
