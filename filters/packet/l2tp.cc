// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/l2tp.h"

#include <algorithm>
#include <cstring>

#include "base/net/endian.h"

namespace sekisho::filters {
namespace {

constexpr std::uint16_t kControlBit = 0x8000, kLengthBit = 0x4000, kSequenceBit = 0x0800, kOffsetBit = 0x0200;
constexpr std::uint16_t kVersionMask = 0x000f, kVersion = 2;
constexpr std::size_t kIpv4Bytes = 20, kIpv6Bytes = 40;
constexpr std::size_t kLengthEnd = 4;  // of flags and length

/// From the session's neighbour discovery: fe80::/10, or the unspecified address.
bool is_link_local(ByteSpan ip) {
  if (ip[8] == 0xfe && (ip[9] & 0xc0U) == 0x80) return true;
  return std::all_of(ip.begin() + 8, ip.begin() + 24, [](std::uint8_t byte) { return byte == 0; });
}

void read_ip(ByteSpan ip, bool ipv4, L2tpPacket& out) {
  out.kind = L2tpKind::kMalformed;
  if (ip.size() < (ipv4 ? kIpv4Bytes : kIpv6Bytes) || ip[0] >> 4 != (ipv4 ? 4 : 6)) return;
  const std::size_t length = ipv4 ? load_be<std::uint16_t>(ip, 2) : kIpv6Bytes + load_be<std::uint16_t>(ip, 4);
  if (length < (ipv4 ? kIpv4Bytes : kIpv6Bytes) || length > ip.size()) return;
  out.ip = ip.first(length);
  out.kind = ipv4 ? L2tpKind::kIpv4 : is_link_local(ip) ? L2tpKind::kPpp : L2tpKind::kIpv6;
}

}  // namespace

L2tpPacket read_l2tp(ByteSpan datagram) noexcept {
  L2tpPacket out;
  WireReader reader(datagram);
  const auto flags = reader.u16();
  if (!flags || (*flags & kVersionMask) != kVersion) return out;
  if ((*flags & kLengthBit) != 0) {
    const auto length = reader.u16();
    if (!length || *length > datagram.size() || *length < kLengthEnd) return out;
    datagram = datagram.first(*length);
    reader = WireReader(datagram.subspan(kLengthEnd));
  }
  const auto tunnel = reader.u16();
  const auto session = reader.u16();
  if (!tunnel || !session) return out;
  out.tunnel = *tunnel;
  out.session = *session;
  if ((*flags & kControlBit) != 0) {
    out.kind = L2tpKind::kControl;
    return out;
  }
  if ((*flags & kSequenceBit) != 0) static_cast<void>(reader.take(4));
  if ((*flags & kOffsetBit) != 0) {
    const auto offset = reader.u16();
    if (offset) static_cast<void>(reader.take(*offset));
  }
  const auto rest = reader.take(reader.remaining());
  if (!rest) return out;
  ByteSpan ppp = *rest;
  if (ppp.size() >= 2 && ppp[0] == 0xff && ppp[1] == 0x03) ppp = ppp.subspan(2);
  if (ppp.empty()) return out;
  const std::size_t protocol_bytes = (ppp[0] & 1U) != 0 ? 1 : 2;  // RFC 1661 2: the last byte of a protocol is odd
  if (ppp.size() < protocol_bytes) return out;
  const std::uint16_t protocol = protocol_bytes == 1 ? ppp[0] : load_be<std::uint16_t>(ppp, 0);
  out.kind = L2tpKind::kPpp;
  if (protocol == kPppIpv4 || protocol == kPppIpv6) read_ip(ppp.subspan(protocol_bytes), protocol == kPppIpv4, out);
  return out;
}

L2tpHeader L2tpHeader::make(std::uint16_t peer_port, std::uint16_t tunnel, std::uint16_t session, bool sequenced) noexcept {
  L2tpHeader out;
  out.used = sequenced ? kSequencedBytes : kPlainBytes;
  const std::span<std::uint8_t> header = std::span(out.bytes).last(out.used);
  store_be<std::uint16_t>(header, 0, kL2tpPort);
  store_be<std::uint16_t>(header, 2, peer_port);
  store_be<std::uint16_t>(header, 8, static_cast<std::uint16_t>((sequenced ? kSequenceBit : 0U) | kVersion));
  store_be<std::uint16_t>(header, 10, tunnel);
  store_be<std::uint16_t>(header, 12, session);
  store_be<std::uint16_t>(header, out.used - std::size_t{4}, 0xff03);
  return out;
}

}  // namespace sekisho::filters
