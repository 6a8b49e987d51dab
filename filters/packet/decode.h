// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/net/endian.h"
#include "base/wire/reader.h"
#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"
#include "filters/packet/protocol.h"

/// From bytes to proved facts: the first thing that happens to every frame, and the only reader of unproved packet
/// bytes.
namespace sekisho::filters {

/// What the NIC has already verified and found good. False means: verify here.
struct ChecksumTrust {
  bool ip;  ///< IPv4 header checksum
  bool l4;  ///< TCP, UDP, ICMP or ICMPv6 checksum
};

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;
inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kEtherTypeSvlan = 0x88a8;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;

inline constexpr std::size_t kEthernetHeaderBytes = 14;
inline constexpr std::size_t kVlanTagBytes = 4;
inline constexpr std::size_t kIpv4HeaderBytes = 20;
inline constexpr std::size_t kIpv6HeaderBytes = 40;
inline constexpr std::size_t kTcpHeaderBytes = 20;
inline constexpr std::size_t kUdpHeaderBytes = 8;
inline constexpr std::size_t kSctpHeaderBytes = 12;
inline constexpr std::size_t kGreHeaderBytes = 4;  ///< least
inline constexpr std::size_t kEspHeaderBytes = 8;
inline constexpr std::size_t kIcmpHeaderBytes = 8;
inline constexpr std::size_t kArpBytes = 28;

/// Bounds of an IPv6 extension header chain (RFC 8504 section 5.3 lets a node set them).
inline constexpr unsigned kExtensionHeadersMax = 6;
inline constexpr std::size_t kExtensionHeaderBytesMax = 512;

namespace packet_detail {

/// The general decoder: every case, out of line. decode() is this, with the common cases taken out first.
[[nodiscard]] DropReason decode_any(ByteSpan first_segment, std::uint32_t frame_bytes, ChecksumTrust trust,
                                    PacketMeta& meta) noexcept;

/// True when the ones'-complement sum of the pseudo header and `length` bytes at `l4` is right.
/// `addresses` are source and destination as they stand in the IP header. All of it lies inside `bytes`; at least eight bytes are summed.
[[nodiscard]] bool l4_checksum_good(ByteSpan bytes, ByteSpan addresses, std::size_t l4, std::size_t length,
                                    std::uint8_t protocol) noexcept;

constexpr bool tcp_flags_legal_slow(unsigned flags) {
  const bool syn = (flags & kTcpSyn) != 0, fin = (flags & kTcpFin) != 0, rst = (flags & kTcpRst) != 0;
  if (syn) return !fin && !rst;
  if ((flags & kTcpAck) != 0) return true;
  return rst && (flags & (kTcpFin | kTcpPsh | kTcpUrg)) == 0;
}
/// Bit n is set when the flags n (FIN to URG) may stand together.
inline constexpr std::uint64_t kLegalTcpFlags = [] {
  std::uint64_t set = 0;
  for (unsigned flags = 0; flags < 64; ++flags) set |= std::uint64_t{tcp_flags_legal_slow(flags)} << flags;
  return set;
}();

/// Writes the [D] fields in four stores. The two asserts below hold its idea of the layout.
struct Decoded {
  std::size_t l3_offset, l4_offset, payload_offset, l3_length;
  std::uint32_t ports;  ///< source << 16 | destination, host order
  std::uint32_t vlans;  ///< outer | inner << 16
  std::uint8_t protocol, proof, tcp_flags, ttl;
};
static_assert(offsetof(PacketMeta, l3_length) == offsetof(PacketMeta, l3_offset) + 6);
static_assert(offsetof(PacketMeta, inner_vlan) == offsetof(PacketMeta, source_port) + 6);
static_assert(offsetof(PacketMeta, ttl) == offsetof(PacketMeta, protocol) + 3);

[[gnu::always_inline]] inline void store_decoded(PacketMeta& meta, const Decoded& d) {
  const std::uint64_t offsets =
      static_cast<std::uint64_t>(d.l3_offset) | static_cast<std::uint64_t>(d.l4_offset) << 16 |
      static_cast<std::uint64_t>(d.payload_offset) << 32 | static_cast<std::uint64_t>(d.l3_length) << 48;
  const std::uint64_t ids = (d.ports >> 16 | d.ports << 16) | std::uint64_t{d.vlans} << 32;
  const std::uint32_t bytes = std::uint32_t{d.protocol} | std::uint32_t{d.proof} << 8 |
                              std::uint32_t{d.tcp_flags} << 16 | std::uint32_t{d.ttl} << 24;
  auto* const base = reinterpret_cast<std::uint8_t*>(&meta);
  std::memcpy(base + offsetof(PacketMeta, l3_offset), &offsets, sizeof(offsets));
  std::memcpy(base + offsetof(PacketMeta, source_port), &ids, sizeof(ids));
  std::memcpy(base + offsetof(PacketMeta, protocol), &bytes, sizeof(bytes));
  meta.icmp_type = 0;
  meta.icmp_code = 0;
}

/// A ones'-complement sum under way (RFC 1071) of words of 64 bits as they lie in memory.
struct WordSum {
  std::uint64_t low = 0, overflowed = 0;

  [[gnu::always_inline]] void add(std::uint64_t word) {
    low += word;
    overflowed += low < word ? 1U : 0U;
  }
  /// Whether it is right, in whichever byte order: all ones once its halves are added, and theirs, and theirs.
  [[nodiscard, gnu::always_inline]] bool is_right() const {
    std::uint64_t sum = low + overflowed;
    sum += sum < overflowed ? 1U : 0U;
    sum += sum << 32 | sum >> 32;  // the upper half: both, with what overflowed from the lower one
    auto half = static_cast<std::uint32_t>(sum >> 32);
    half += half << 16 | half >> 16;
    return half >> 16 == 0xffffU;
  }
};

[[gnu::always_inline]] inline bool ipv4_header_sum_good(ByteSpan bytes, std::size_t l3) {
  std::array<std::uint64_t, 2> words;
  std::uint32_t last;
  std::memcpy(words.data(), bytes.data() + l3, sizeof(words));
  std::memcpy(&last, bytes.data() + l3 + 16, sizeof(last));
  WordSum sum{words[0]};
  sum.add(words[1]);
  sum.add(last);
  return sum.is_right();
}

/// TCP, UDP or ESP at `d.l4_offset`, `room` bytes of L4 by the IP header. False: not the plain good case.
[[gnu::always_inline]] inline bool decode_plain_l4(ByteSpan bytes, ByteSpan addresses, std::size_t room,
                                                   ChecksumTrust trust, Decoded& d) {
  const std::size_t l4 = d.l4_offset;
  std::size_t summed = room;
  std::size_t header = kUdpHeaderBytes;
  bool unsummed = false;
  if (d.protocol == kProtocolTcp) {
    if (bytes.size() < l4 + kTcpHeaderBytes) return false;
    const unsigned word = load_be<std::uint16_t>(bytes, l4 + 12);
    header = word >> 12 << 2;
    if (header < kTcpHeaderBytes || ((kLegalTcpFlags >> (word & 63U)) & 1U) == 0) return false;
    d.tcp_flags = static_cast<std::uint8_t>(word);
  } else if (d.protocol == kProtocolUdp) {
    if (bytes.size() < l4 + kUdpHeaderBytes) return false;
    summed = load_be<std::uint16_t>(bytes, l4 + 4);
    unsummed = load_be<std::uint16_t>(bytes, l4 + 6) == 0;
    if (unsummed && (d.proof & kProofIpv4) == 0) return false;
    d.tcp_flags = 0;
  } else if (d.protocol == kProtocolEsp) {
    if (bytes.size() < l4 + kEspHeaderBytes || room < kEspHeaderBytes || load_be<std::uint32_t>(bytes, l4) == 0) return false;
    d.tcp_flags = 0;
    d.ports = 0;
    d.payload_offset = l4 + kEspHeaderBytes;
    return true;
  } else {
    return false;
  }
  if (header > summed || summed > room || l4 + header > bytes.size()) return false;
  d.ports = load_be<std::uint32_t>(bytes, l4);
  d.payload_offset = l4 + header;
  if (trust.l4 || unsummed) return true;
  return l4 + summed <= bytes.size() && l4_checksum_good(bytes, addresses, l4, summed, d.protocol);
}

/// The IP packet at kL3, a constant so that the offsets need no arithmetic. `type` is the EtherType before it. kSeen: the version and,
/// over IPv4, that there are no options and that it is no fragment are known (PlainLook).
template <std::size_t kL3, bool kSeen = false>
[[gnu::always_inline]] inline bool decode_plain_ip(ByteSpan bytes, std::uint32_t frame_bytes, ChecksumTrust trust,
                                                   unsigned type, std::uint32_t vlans, Decoded& d) {
  d.l3_offset = kL3;
  d.vlans = vlans;
  const auto first = load_be<std::uint64_t>(bytes, kL3);
  if (type == kEtherTypeIpv4) {
    const auto second = load_be<std::uint32_t>(bytes, kL3 + 8);
    if (!kSeen && (first & 0xff0000000000bfffU) != 0x4500000000000000U) return false;
    d.l3_length = static_cast<std::uint16_t>(first >> 32);
    if (d.l3_length < kIpv4HeaderBytes || kL3 + d.l3_length > frame_bytes) return false;
    if (!trust.ip && !ipv4_header_sum_good(bytes, kL3)) return false;
    d.ttl = static_cast<std::uint8_t>(second >> 24);
    d.protocol = static_cast<std::uint8_t>(second >> 16);
    d.proof = kProofIpv4 | kProofL4;
    d.l4_offset = kL3 + kIpv4HeaderBytes;
    if (!decode_plain_l4(bytes, bytes.subspan(kL3 + 12, 8), d.l3_length - kIpv4HeaderBytes, trust, d)) return false;
  } else if (type == kEtherTypeIpv6) {
    if (bytes.size() < kL3 + kIpv6HeaderBytes) return false;
    const std::size_t room = first >> 16 & 0xffffU;
    d.l3_length = kIpv6HeaderBytes + room;
    if ((!kSeen && first >> 60 != 6) || d.l3_length > 0xffff || kL3 + d.l3_length > frame_bytes) return false;
    d.ttl = static_cast<std::uint8_t>(first);
    d.protocol = static_cast<std::uint8_t>(first >> 8);
    d.proof = kProofIpv6 | kProofL4;
    d.l4_offset = kL3 + kIpv6HeaderBytes;
    if (!decode_plain_l4(bytes, bytes.subspan(kL3 + 8, 32), room, trust, d)) return false;
  } else {
    return false;
  }
  return true;
}

/// The common case: at most one tag with a VLAN id; IPv4 without options or fragments, or IPv6 without extension
/// headers; TCP, UDP or ESP; nothing wrong. False: `d` means nothing, decode_any() decides.
[[gnu::always_inline]] inline bool decode_plain(ByteSpan bytes, std::uint32_t frame_bytes, ChecksumTrust trust,
                                                Decoded& d) {
  constexpr std::size_t kTagged = kEthernetHeaderBytes + kVlanTagBytes;
  constexpr std::size_t kLeast = kTagged + kIpv4HeaderBytes;  // any UDP packet without tag is longer
  if (bytes.size() < kLeast || bytes.size() > frame_bytes) return false;
  const unsigned type = load_be<std::uint16_t>(bytes, 12);
  if (type != kEtherTypeVlan && type != kEtherTypeSvlan) {
    return decode_plain_ip<kEthernetHeaderBytes>(bytes, frame_bytes, trust, type, 0, d);
  }
  const auto tag = load_be<std::uint32_t>(bytes, kEthernetHeaderBytes);
  return decode_plain_ip<kTagged>(bytes, frame_bytes, trust, tag & 0xffffU, tag >> 16 & 0xfffU, d);
}

}  // namespace packet_detail

/// Proves the L2-L4 lengths and checksums of one frame and fills every [D] field of `meta`; touches no other field.
///
/// `first_segment` are the contiguous bytes that may be read, from the Ethernet destination on; `frame_bytes` the
/// length of the whole frame, without FCS. Headers must lie in the first segment. When `trust.l4` is false and the L4
/// part goes on beyond it, the packet passes with kProofL4 and kProofL4Unsummed.
///
/// An IP packet shorter than its frame is followed by Ethernet padding; a longer one is refused.
///
/// Up to two VLAN tags. A tag with VLAN id 0 (priority tag) is stepped over: it counts for the depth and names no VLAN.
///
/// Another EtherType returns kNone with proof == 0: the binding stage names it. l3_offset points behind the EtherType.
///
/// Fragments: kProofFragment without kProofL4, ports 0, l4_offset at the fragment's data. A first fragment must hold
/// its whole upper-layer header (RFC 7112, RFC 1858), else kL4Truncated. An IPv6 atomic fragment (RFC 6946) is decoded
/// whole: both bits.
///
/// On a drop the fields proved so far stay filled, so that the binding guard and the log can still name the sender.
/// Thread: any; pure. Always inline: with more than one caller the compiler makes it a call, twenty instructions a packet.
[[nodiscard, gnu::always_inline]] inline DropReason decode(ByteSpan first_segment, std::uint32_t frame_bytes, ChecksumTrust trust,
                                       PacketMeta& meta) noexcept {
  packet_detail::Decoded plain;
  if (packet_detail::decode_plain(first_segment, frame_bytes, trust, plain)) [[likely]] {
    packet_detail::store_decoded(meta, plain);
    return DropReason::kNone;
  }
  return packet_detail::decode_any(first_segment, frame_bytes, trust, meta);
}

}  // namespace sekisho::filters
