// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sekisho::filters {

// IANA protocol numbers.
inline constexpr std::uint8_t kProtocolHopByHop = 0;
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolIgmp = 2;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolGre = 47;
inline constexpr std::uint8_t kProtocolEsp = 50;
inline constexpr std::uint8_t kProtocolAh = 51;
inline constexpr std::uint8_t kProtocolIcmpv6 = 58;
inline constexpr std::uint8_t kProtocolVrrp = 112;
inline constexpr std::uint8_t kProtocolSctp = 132;

/// Multicast listener discovery (RFC 2710, RFC 3810): ICMPv6 types.
[[nodiscard]] inline constexpr bool is_mld_type(std::uint8_t type) { return (type >= 130 && type <= 132) || type == 143; }

/// Bits of the TCP flags byte (RFC 9293 3.1).
enum TcpFlag : std::uint8_t {
  kTcpFin = 0x01,
  kTcpSyn = 0x02,
  kTcpRst = 0x04,
  kTcpPsh = 0x08,
  kTcpAck = 0x10,
  kTcpUrg = 0x20,
  kTcpEce = 0x40,
  kTcpCwr = 0x80,
};

}  // namespace sekisho::filters
