// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/net/put_be.h"
#include "base/wire/reader.h"

/// L2TP version 2 as the data plane sees it (RFC 2661 3.1): a UDP datagram that came out of ESP is IP of a session, or for the daemon.
namespace sekisho::filters {

inline constexpr std::uint16_t kL2tpPort = 1701;
inline constexpr std::size_t kL2tpUdpBytes = 8;
inline constexpr std::uint16_t kPppIpv4 = 0x0021, kPppIpv6 = 0x0057;  ///< protocols of PPP

enum class L2tpKind : std::uint8_t {
  kMalformed,
  kControl,  ///< of the tunnel: the daemon's
  kPpp,      ///< a session's PPP frame that is no IP packet: the daemon's
  kIpv4,
  kIpv6,
};

/// What read_l2tp() found. `ip` is the whole IP packet, just for kIpv4 and kIpv6: version and length are proved, nothing else is.
struct L2tpPacket {
  L2tpKind kind = L2tpKind::kMalformed;
  std::uint16_t tunnel = 0, session = 0;  ///< as the sender addresses the receiver
  ByteSpan ip;
};

/// Judges one UDP payload: version 2; the length field, when there is one, within the datagram (what lies behind it is not ours);
/// on data sequence numbers and offset are stepped over (they say nothing here: ESP has ordered and proved). PPP with or without
/// address and control field, protocol in one byte or two (RFC 1661 6.5, 6.6). IPv6 that is neighbour discovery's (from a
/// link-local address or none) is kPpp: the session's other end answers it, no rule. A control message's fields are the daemon's
/// to judge. Pure; any thread.
[[nodiscard]] L2tpPacket read_l2tp(ByteSpan datagram) noexcept;

/// UDP, L2TP and PPP in front of an IP packet of one session: ready but for lengths, protocol, sequence number and checksum. They end
/// where the array ends, so that all of it is written in front of any packet with one copy of known length.
struct L2tpHeader {
  static constexpr std::size_t kPlainBytes = 18, kSequencedBytes = 22, kRoom = 32;
  std::array<std::uint8_t, kRoom> bytes{};
  std::uint8_t used = 0;

  /// Without length and offset; `sequenced`: with sequence numbers.
  static L2tpHeader make(std::uint16_t peer_port, std::uint16_t tunnel, std::uint16_t session, bool sequenced) noexcept;
  /// In front of an IP packet of `ip_bytes` at `ip`: the last `used` bytes of kRoom, all of which are written. The UDP checksum is zero.
  void write(std::uint8_t* ip, std::size_t ip_bytes, bool ipv4, std::uint16_t sequence) const noexcept {
    std::memcpy(ip - kRoom, bytes.data(), kRoom);
    put_be16(ip - used + 4, static_cast<std::uint16_t>(used + ip_bytes));
    if (used == kSequencedBytes) put_be16(ip - used + 14, sequence);
    put_be16(ip - 2, ipv4 ? kPppIpv4 : kPppIpv6);
  }
};

}  // namespace sekisho::filters
