// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/assert.h"
#include "base/net/address.h"
#include "filters/packet/decode.h"

/// Reading single fields out of a decoded frame. Every function asserts (in debug builds) the proof it stands on.
/// `frame` are the bytes decode() saw. Thread: any; pure.
namespace sekisho::filters {

/// The six bytes at `offset`; the caller has proved them.
[[nodiscard]] inline Mac mac_at(ByteSpan frame, std::size_t offset) {
  SEKISHO_DCHECK(offset + 6 <= frame.size());
  Mac out;
  std::copy_n(frame.subspan(offset, 6).begin(), 6, out.bytes.begin());
  return out;
}
[[nodiscard]] inline Mac ethernet_destination(ByteSpan frame) { return mac_at(frame, 0); }
[[nodiscard]] inline Mac ethernet_source(ByteSpan frame) { return mac_at(frame, 6); }
/// The EtherType behind all VLAN tags, host order. decode() has set l3_offset (it has for every frame of 14 bytes or
/// more that it did not refuse as kVlan...).
[[nodiscard]] inline std::uint16_t ether_type(ByteSpan frame, const PacketMeta& meta) {
  SEKISHO_DCHECK(meta.l3_offset >= kEthernetHeaderBytes);
  return load_be<std::uint16_t>(frame, meta.l3_offset - std::size_t{2});
}

[[nodiscard]] inline Address ipv4_at(ByteSpan frame, std::size_t offset) {
  return Address::from_v4(load_be<std::uint32_t>(frame, offset));
}
[[nodiscard]] inline Address ipv6_at(ByteSpan frame, std::size_t offset) {
  SEKISHO_DCHECK(offset + 16 <= frame.size());
  Address out;
  out.family = Family::kIpv6;
  std::copy_n(frame.subspan(offset, 16).begin(), 16, out.bytes.begin());
  return out;
}
/// Source and destination of the IP header. Needs kProofIpv4 or kProofIpv6.
[[nodiscard]] inline Address ip_source(ByteSpan frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & (kProofIpv4 | kProofIpv6)) != 0);
  const std::size_t l3 = meta.l3_offset;
  return (meta.proof & kProofIpv4) != 0 ? ipv4_at(frame, l3 + 12) : ipv6_at(frame, l3 + 8);
}
[[nodiscard]] inline Address ip_destination(ByteSpan frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & (kProofIpv4 | kProofIpv6)) != 0);
  const std::size_t l3 = meta.l3_offset;
  return (meta.proof & kProofIpv4) != 0 ? ipv4_at(frame, l3 + 16) : ipv6_at(frame, l3 + 24);
}

/// The readable bytes of the IP packet from `offset` on: neither padding nor what lies beyond the first segment.
[[nodiscard]] inline ByteSpan packet_from(ByteSpan frame, const PacketMeta& meta, std::size_t offset) {
  const std::size_t end = std::min<std::size_t>(frame.size(), std::size_t{meta.l3_offset} + meta.l3_length);
  return offset < end ? frame.subspan(offset, end - offset) : ByteSpan{};
}

}  // namespace sekisho::filters
