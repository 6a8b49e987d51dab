// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/net/address.h"
#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"

namespace sekisho::filters {

/// The packet an ICMP error complains about, as quoted. It travelled against the error: its source is the error's
/// destination (checked). Look its flow up as if it had just been received; if the session is TCP, ask
/// tcp_quoted_in_window with the direction the quoted packet has in that session.
struct QuotedPacket {
  Address source;
  Address destination;
  std::uint16_t source_port;       ///< host order; ICMP echo: identifier; 0 for protocols without ports
  std::uint16_t destination_port;  ///< likewise
  std::uint32_t tcp_sequence;      ///< host order; 0 unless protocol is TCP
  std::uint8_t protocol;           ///< IANA number, after IPv6 extension headers
  std::uint8_t icmp_type;          ///< of a quoted echo; else 0
  std::uint16_t network_at;        ///< offset in the frame of the quoted IP header
  std::uint16_t transport_at;      ///< offset in the frame of the quoted transport header, eight bytes of which are proved
};

/// True for every ICMP message that is an error or a redirect and so belongs to another packet's session:
/// ICMPv4 3, 4, 5, 11, 12; ICMPv6 types below 128 (RFC 4443 2.1) and redirect 137.
[[nodiscard]] bool is_icmp_error(const PacketMeta& meta);

/// Extracts the quoted packet of ICMPv4 destination unreachable, time exceeded, parameter problem and ICMPv6 1, 2, 3, 4.
/// `frame`: the first segment; `meta`: as decode proved it (kProofL4).
/// kIcmpUnrelated, and `out` unspecified, when the type is another one (redirect; source quench, RFC 6633), the quote is
/// too short to hold eight bytes of transport header, is not of the error's family, is a later fragment, is itself an ICMP
/// message other than an echo, or was not sent by the error's destination.
[[nodiscard]] DropReason parse_icmp_error(std::span<const std::uint8_t> frame, const PacketMeta& meta, QuotedPacket& out);

}  // namespace sekisho::filters
