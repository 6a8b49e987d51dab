// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"
#include "filters/packet/protocol.h"
#include "filters/state/direction.h"

namespace sekisho::filters {

/// State of a session whose protocol shows none: has the other side answered?
enum class DatagramState : std::uint8_t { kNew = 0, kReplied = 1 };

enum class DatagramKind : std::uint8_t { kUdp = 0, kIcmpEcho, kOther };

[[nodiscard]] inline constexpr DatagramKind datagram_kind(std::uint8_t protocol) {
  if (protocol == kProtocolUdp) return DatagramKind::kUdp;
  return protocol == kProtocolIcmp || protocol == kProtocolIcmpv6 ? DatagramKind::kIcmpEcho : DatagramKind::kOther;
}

/// Echo request: ICMP type 8 (RFC 792), ICMPv6 type 128 (RFC 4443).
[[nodiscard]] inline constexpr bool is_echo_request(std::uint8_t protocol, std::uint8_t icmp_type) {
  return protocol == kProtocolIcmp ? icmp_type == 8 : protocol == kProtocolIcmpv6 && icmp_type == 128;
}
[[nodiscard]] inline constexpr bool is_echo_reply(std::uint8_t protocol, std::uint8_t icmp_type) {
  return protocol == kProtocolIcmp ? icmp_type == 0 : protocol == kProtocolIcmpv6 && icmp_type == 129;
}

/// May this packet, for which no session exists, open one? Of ICMP only echo requests do; all else is kNotFirst.
[[nodiscard]] inline DropReason datagram_first(DatagramState& state, const PacketMeta& meta) {
  const bool opens = datagram_kind(meta.protocol) != DatagramKind::kIcmpEcho ||
                     is_echo_request(meta.protocol, meta.icmp_type);
  if (!opens) return DropReason::kNotFirst;
  state = DatagramState::kNew;
  return DropReason::kNone;
}

/// Does this packet fit its session? Echo requests only forward, replies only in reverse (else kNotFirst); UDP and the
/// rest always fit. A refused packet leaves `state` as it was.
[[nodiscard]] inline DropReason datagram_next(DatagramState& state, Direction direction, const PacketMeta& meta) {
  if (datagram_kind(meta.protocol) == DatagramKind::kIcmpEcho) {
    const bool fits = direction == Direction::kForward ? is_echo_request(meta.protocol, meta.icmp_type)
                                                       : is_echo_reply(meta.protocol, meta.icmp_type);
    if (!fits) return DropReason::kNotFirst;
  }
  if (direction == Direction::kReverse) state = DatagramState::kReplied;
  return DropReason::kNone;
}

/// Seconds without a packet after which a session has ended. UDP 30 until answered (NPF's and pf's order of size), then
/// 180; an echo session lives as long as one answer may take; other protocols 60, then 600 (RFC 4787 asks two minutes of UDP).
[[nodiscard]] inline constexpr std::uint32_t datagram_timeout_seconds(std::uint8_t protocol, DatagramState state) {
  const bool replied = state == DatagramState::kReplied;
  switch (datagram_kind(protocol)) {
    case DatagramKind::kUdp: return replied ? 180 : 30;
    case DatagramKind::kIcmpEcho: return 10;
    case DatagramKind::kOther: return replied ? 600 : 60;
  }
  return 0;
}

[[nodiscard]] inline constexpr std::string_view name(DatagramState state) {
  return state == DatagramState::kReplied ? "replied" : "new";
}

}  // namespace sekisho::filters
