// SPDX-License-Identifier: Apache-2.0
#include "filters/state/icmp_error.h"

#include <algorithm>

#include "base/net/endian.h"
#include "base/wire/reader.h"
#include "filters/state/datagram_tracker.h"

namespace sekisho::filters {
namespace {

constexpr std::size_t kIpv6HeaderBytes = 40;
constexpr std::size_t kTransportBytesMin = 8;     // what every router must quote of the transport header (RFC 792)
constexpr std::size_t kExtensionHeadersMax = 8;   // as many as decode walks; more is nobody's packet

bool is_ipv4(const PacketMeta& meta) { return meta.protocol == kProtocolIcmp && (meta.proof & kProofIpv4) != 0; }
bool is_ipv6(const PacketMeta& meta) { return meta.protocol == kProtocolIcmpv6 && (meta.proof & kProofIpv6) != 0; }

/// The errors whose quote we use.
bool carries_quote(const PacketMeta& meta) {
  if ((meta.proof & kProofL4) == 0) return false;
  if (is_ipv4(meta)) return meta.icmp_type == 3 || meta.icmp_type == 11 || meta.icmp_type == 12;
  return is_ipv6(meta) && meta.icmp_type >= 1 && meta.icmp_type <= 4;
}

/// Leaves `reader` at the transport header and fills addresses and protocol.
Result<void> read_ipv4(WireReader& reader, QuotedPacket& out) {
  SEKISHO_TRY(const ByteSpan fixed, reader.take(20));
  const std::size_t header = std::size_t{fixed[0]} % 16 * 4;
  const Error malformed{ErrorCode::kMalformed, ErrorSite::kWire, 0};
  if (fixed[0] >> 4 != 4 || header < 20) return malformed;
  if ((load_be<std::uint16_t>(fixed, 6) & 0x1fffU) != 0) return malformed;  // a later fragment has no ports
  SEKISHO_TRY(out.source, Address::from_wire(fixed.subspan(12, 4)));
  SEKISHO_TRY(out.destination, Address::from_wire(fixed.subspan(16, 4)));
  out.protocol = fixed[9];
  if (auto options = reader.take(header - 20); !options) return options.error();
  return {};
}

/// Likewise, past the extension headers a transport header may follow (RFC 8200 4).
Result<void> read_ipv6(WireReader& reader, QuotedPacket& out) {
  constexpr std::uint8_t kHopByHop = 0, kRouting = 43, kFragment = 44, kDestinationOptions = 60;
  SEKISHO_TRY(const ByteSpan fixed, reader.take(kIpv6HeaderBytes));
  const Error malformed{ErrorCode::kMalformed, ErrorSite::kWire, 0};
  if (fixed[0] >> 4 != 6) return malformed;
  SEKISHO_TRY(out.source, Address::from_wire(fixed.subspan(8, 16)));
  SEKISHO_TRY(out.destination, Address::from_wire(fixed.subspan(24, 16)));
  std::uint8_t next = fixed[6];
  for (std::size_t i = 0; i < kExtensionHeadersMax; ++i) {
    if (next != kHopByHop && next != kRouting && next != kFragment && next != kDestinationOptions) {
      out.protocol = next;
      return {};
    }
    SEKISHO_TRY(const ByteSpan head, reader.take(8));
    if (next == kFragment && (load_be<std::uint16_t>(head, 2) & 0xfff8U) != 0) return malformed;
    const std::size_t more = next == kFragment ? 0 : std::size_t{head[1]} * 8;
    if (auto rest = reader.take(more); !rest) return rest.error();
    next = head[0];
  }
  return malformed;
}

/// Ports, identifier or sequence out of the first eight bytes of the transport header.
Result<void> read_transport(WireReader& reader, bool ipv4, QuotedPacket& out) {
  SEKISHO_TRY(const ByteSpan bytes, reader.take(kTransportBytesMin));
  const auto first = load_be<std::uint16_t>(bytes, 0);
  const auto second = load_be<std::uint16_t>(bytes, 2);
  if (out.protocol == kProtocolTcp || out.protocol == kProtocolUdp || out.protocol == kProtocolSctp) {
    out.source_port = first;
    out.destination_port = second;
    out.tcp_sequence = out.protocol == kProtocolTcp ? load_be<std::uint32_t>(bytes, 4) : 0;
    return {};
  }
  if (out.protocol != kProtocolIcmp && out.protocol != kProtocolIcmpv6) return {};
  // No error is sent about an error (RFC 1122 3.2.2, RFC 4443 2.4 e): only an echo has a session to belong to.
  const bool own_kind = out.protocol == (ipv4 ? kProtocolIcmp : kProtocolIcmpv6);
  if (!own_kind || (!is_echo_request(out.protocol, bytes[0]) && !is_echo_reply(out.protocol, bytes[0]))) {
    return Error{ErrorCode::kUnsupported, ErrorSite::kWire, 0};
  }
  out.icmp_type = bytes[0];
  out.source_port = out.destination_port = load_be<std::uint16_t>(bytes, 4);
  return {};
}

/// Destination of the error itself; its header is proved by decode.
ByteSpan error_destination(ByteSpan frame, const PacketMeta& meta, bool ipv4) {
  return ipv4 ? frame.subspan(meta.l3_offset + std::size_t{16}, 4) : frame.subspan(meta.l3_offset + std::size_t{24}, 16);
}

}  // namespace

bool is_icmp_error(const PacketMeta& meta) {
  if (is_ipv6(meta)) return meta.icmp_type < 128 || meta.icmp_type == 137;
  if (!is_ipv4(meta)) return false;
  const std::uint8_t type = meta.icmp_type;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

DropReason parse_icmp_error(std::span<const std::uint8_t> frame, const PacketMeta& meta, QuotedPacket& out) {
  if (!carries_quote(meta)) return DropReason::kIcmpUnrelated;
  const bool ipv4 = is_ipv4(meta);
  // The IP packet may be longer than the first segment and shorter than the frame (Ethernet padding).
  const std::size_t begin = meta.l4_offset + std::size_t{8};
  const std::size_t end = std::min(frame.size(), std::size_t{meta.l3_offset} + meta.l3_length);
  if (begin > end) return DropReason::kIcmpUnrelated;

  out = {};
  WireReader reader(frame.subspan(begin, end - begin));
  const Result<void> network = ipv4 ? read_ipv4(reader, out) : read_ipv6(reader, out);
  out.network_at = static_cast<std::uint16_t>(begin);
  out.transport_at = static_cast<std::uint16_t>(begin + reader.offset());
  if (!network || !read_transport(reader, ipv4, out)) return DropReason::kIcmpUnrelated;
  return std::ranges::equal(out.source.wire(), error_destination(frame, meta, ipv4)) ? DropReason::kNone
                                                                                       : DropReason::kIcmpUnrelated;
}

}  // namespace sekisho::filters
