// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/decode.h"

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/net/checksum.h"
#include "filters/packet/fragment.h"
#include "filters/packet/icmp_class.h"
#include "filters/packet/nd.h"
#include "filters/packet/options.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kProtocolRouting = 43;
constexpr std::uint8_t kProtocolFragment = 44;
constexpr std::uint8_t kProtocolDestinationOptions = 60;

constexpr unsigned kDestinationOptionsMax = 2;  // RFC 8200 4.1: one before a routing header, one before the rest
constexpr std::uint8_t kProtocolNone = 59, kProtocolUnassigned = 255;

/// One frame on its way through the steps below. `packet_end` is where the IP packet ends, `bytes.size()` how far we
/// may read: either may be the smaller.
struct Frame {
  ByteSpan bytes;
  std::size_t frame_bytes;
  ChecksumTrust trust;
  PacketMeta& meta;
  ByteSpan addresses{};  ///< source and destination, for the pseudo header
  std::size_t packet_end = 0;

  [[nodiscard]] bool holds(std::size_t offset, std::size_t length) const { return offset + length <= bytes.size(); }
  [[nodiscard]] std::uint8_t u8(std::size_t offset) const { return bytes[offset]; }
  [[nodiscard]] std::uint16_t u16(std::size_t offset) const { return load_be<std::uint16_t>(bytes, offset); }
  /// Bytes that both belong to the packet and may be read, from `offset`.
  [[nodiscard]] std::size_t readable(std::size_t offset) const {
    const std::size_t end = std::min(packet_end, bytes.size());
    return offset < end ? end - offset : 0;
  }
};

/// One word of the checksum sum as it lies in memory.
template <typename T>
std::uint64_t raw(ByteSpan bytes, std::size_t offset) {
  T word;
  std::memcpy(&word, bytes.data() + offset, sizeof(word));
  return word;
}

/// The sum of all 16-bit words of `bytes`, a multiple of 64 bytes below 65,536. Two neighbours are added by one signed
/// multiplication: each word is taken as so much more or less than 0x8000, which is put right at the end.
std::uint64_t sum_of_blocks(ByteSpan bytes) {
  const __m256i middle = _mm256_set1_epi16(static_cast<std::int16_t>(0x8000)), ones = _mm256_set1_epi16(1);
  const auto words = [&](std::size_t at) {
    __m256i out;
    std::memcpy(&out, bytes.data() + at, sizeof(out));
    return _mm256_madd_epi16(_mm256_xor_si256(out, middle), ones);
  };
  __m256i even = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
  for (std::size_t at = 0; at < bytes.size(); at += 64) {
    even = _mm256_add_epi32(even, words(at));
    odd = _mm256_add_epi32(odd, words(at + 32));
  }
  std::array<std::int32_t, 8> lanes;
  const __m256i both = _mm256_add_epi32(even, odd);
  std::memcpy(lanes.data(), &both, sizeof(lanes));
  std::int64_t sum = static_cast<std::int64_t>(bytes.size() / 2) * 0x8000;
  for (const std::int32_t lane : lanes) sum += lane;
  return static_cast<std::uint64_t>(sum);
}

using packet_detail::WordSum;

/// Whether `sum` is right once `bytes` from `at` on, at least eight in all, are added. The tail counts as if zeros followed it.
[[gnu::always_inline]] inline bool is_right_with(WordSum sum, ByteSpan bytes, std::size_t at) {
  for (; at + 8 <= bytes.size(); at += 8) sum.add(raw<std::uint64_t>(bytes, at));
  const std::size_t tail = bytes.size() - at;
  if (tail != 0) sum.add(raw<std::uint64_t>(bytes, bytes.size() - 8) >> (64 - 8 * tail));
  return sum.is_right();
}

/// The same for many bytes: vectors, and the registers they want, are not for short packets.
[[gnu::noinline]] bool is_right_with_blocks(WordSum sum, ByteSpan bytes) {
  const std::size_t blocks = bytes.size() / 64 * 64;
  sum.add(sum_of_blocks(bytes.first(blocks)));
  return is_right_with(sum, bytes, blocks);
}

void add_proof(PacketMeta& meta, unsigned bits) { meta.proof = static_cast<std::uint8_t>(meta.proof | bits); }

/// Bytes of the upper-layer header that must be there; 0 for protocols we do not look into.
std::size_t l4_header_bytes(std::uint8_t protocol, bool ipv6) {
  if (protocol == kProtocolTcp) return kTcpHeaderBytes;
  if (protocol == kProtocolUdp) return kUdpHeaderBytes;
  if (protocol == (ipv6 ? kProtocolIcmpv6 : kProtocolIcmp)) return kIcmpHeaderBytes;
  if (protocol == kProtocolSctp) return kSctpHeaderBytes;
  if (protocol == kProtocolGre) return kGreHeaderBytes;
  if (protocol == kProtocolEsp) return kEspHeaderBytes;
  return 0;
}

/// Verifies `length` summed bytes at the L4 offset, unless the NIC did or they go on beyond the first segment.
DropReason check_l4_sum(Frame& frame, std::size_t length, bool pseudo_header) {
  PacketMeta& meta = frame.meta;
  if (frame.trust.l4) return DropReason::kNone;
  if (!frame.holds(meta.l4_offset, length)) {
    add_proof(meta, kProofL4Unsummed);
    return DropReason::kNone;
  }
  const bool good = pseudo_header ? packet_detail::l4_checksum_good(frame.bytes, frame.addresses, meta.l4_offset,
                                                                    length, meta.protocol)
                                  : checksum_fold(checksum_add(0, frame.bytes.subspan(meta.l4_offset, length))) == 0;
  return good ? DropReason::kNone : DropReason::kL4Checksum;
}

/// The name of TCP flags that may not stand together (RFC 9293 3.10.7; the scans of nmap).
DropReason refused_flags(unsigned flags) {
  constexpr unsigned kXmas = kTcpFin | kTcpPsh | kTcpUrg;
  if ((flags & 63U) == 0) return DropReason::kTcpNull;
  if ((flags & kTcpSyn) != 0) return (flags & kTcpFin) != 0 ? DropReason::kTcpSynFin : DropReason::kTcpSynRst;
  return (flags & kXmas) == kXmas ? DropReason::kTcpXmas : DropReason::kTcpFlags;
}

DropReason decode_tcp(Frame& frame, std::size_t room) {
  PacketMeta& meta = frame.meta;
  const std::size_t l4 = meta.l4_offset;
  const unsigned word = frame.u16(l4 + 12);
  const std::size_t header = word >> 12 << 2;
  meta.source_port = frame.u16(l4);
  meta.destination_port = frame.u16(l4 + 2);
  meta.tcp_flags = static_cast<std::uint8_t>(word);
  if (header < kTcpHeaderBytes || header > room) return DropReason::kTcpDataOffset;
  if (!frame.holds(l4, header)) return DropReason::kL4Truncated;
  if (!packet_detail::tcp_flags_legal_slow(word & 63U)) return refused_flags(word);
  meta.payload_offset = static_cast<std::uint16_t>(l4 + header);
  return check_l4_sum(frame, room, true);
}

DropReason decode_udp(Frame& frame, std::size_t room) {
  PacketMeta& meta = frame.meta;
  const std::size_t l4 = meta.l4_offset;
  meta.source_port = frame.u16(l4);
  meta.destination_port = frame.u16(l4 + 2);
  const std::size_t length = frame.u16(l4 + 4);
  if (length < kUdpHeaderBytes || length > room) return DropReason::kUdpLength;
  meta.payload_offset = static_cast<std::uint16_t>(l4 + kUdpHeaderBytes);
  if (frame.u16(l4 + 6) == 0) {  // RFC 768: not summed; RFC 8200 section 8.1 forbids it
    return (meta.proof & kProofIpv4) != 0 ? DropReason::kNone : DropReason::kL4Checksum;
  }
  return check_l4_sum(frame, length, true);
}

DropReason decode_icmp(Frame& frame, std::size_t room, bool ipv6) {
  PacketMeta& meta = frame.meta;
  const std::size_t l4 = meta.l4_offset;
  meta.icmp_type = frame.u8(l4);
  meta.icmp_code = frame.u8(l4 + 1);
  const bool echo = ipv6 ? meta.icmp_type == 128 || meta.icmp_type == 129 : meta.icmp_type == 8 || meta.icmp_type == 0;
  if (echo) meta.source_port = meta.destination_port = frame.u16(l4 + 4);
  meta.payload_offset = static_cast<std::uint16_t>(l4 + kIcmpHeaderBytes);
  const DropReason reason = check_l4_sum(frame, room, ipv6);
  return reason == DropReason::kNone ? refused_icmp_type(ipv6, meta.icmp_type) : reason;
}

/// A first fragment without the whole header: RFC 1858 has no bound for IPv4, RFC 7112 gives IPv6 one.
DropReason headless(bool ipv6) { return ipv6 ? DropReason::kFragmentChain : DropReason::kFragmentTiny; }

/// RFC 9260 3.1. The CRC32c is the ends' to check.
DropReason decode_sctp(Frame& frame) {
  PacketMeta& meta = frame.meta;
  meta.source_port = frame.u16(meta.l4_offset);
  meta.destination_port = frame.u16(meta.l4_offset + std::size_t{2});
  meta.payload_offset = static_cast<std::uint16_t>(meta.l4_offset + kSctpHeaderBytes);
  return DropReason::kNone;
}

/// RFC 2784 and 2890 (version 0: checksum, key and sequence may be there), RFC 2637 (version 1: PPTP has a key). The source
/// routes of RFC 1701 and the other versions are nobody's.
DropReason decode_gre(Frame& frame, std::size_t room) {
  PacketMeta& meta = frame.meta;
  constexpr unsigned kChecksum = 0x8000, kRouting = 0x4000, kKey = 0x2000, kSequence = 0x1000, kAcknowledgement = 0x0080;
  constexpr unsigned kVersion = 7, kPptp = 0x880b;
  const unsigned flags = frame.u16(meta.l4_offset);
  const unsigned version = flags & kVersion;
  const bool pptp = version == 1;
  const unsigned allowed = pptp ? kKey | kSequence | kAcknowledgement | kVersion : kChecksum | kKey | kSequence;
  if (version > 1 || (flags & ~allowed) != 0) return DropReason::kGreHeader;
  if (pptp && ((flags & kKey) == 0 || frame.u16(meta.l4_offset + std::size_t{2}) != kPptp)) return DropReason::kGreHeader;
  std::size_t header = kGreHeaderBytes;
  for (const unsigned flag : {kChecksum, kRouting, kKey, kSequence, kAcknowledgement}) header += (flags & flag) != 0 ? 4U : 0U;
  if (header > room || !frame.holds(meta.l4_offset, header)) return DropReason::kL4Truncated;
  meta.payload_offset = static_cast<std::uint16_t>(meta.l4_offset + header);
  return DropReason::kNone;
}

/// RFC 4303 2.1: index 0 never leaves a host.
DropReason decode_esp(Frame& frame) {
  PacketMeta& meta = frame.meta;
  const std::size_t l4 = meta.l4_offset;
  meta.payload_offset = static_cast<std::uint16_t>(l4 + kEspHeaderBytes);
  return (frame.u16(l4) | frame.u16(l4 + 2)) == 0 ? DropReason::kEspHeader : DropReason::kNone;
}

DropReason decode_whole_l4(Frame& frame, std::size_t room, bool ipv6) {
  switch (frame.meta.protocol) {
    case kProtocolTcp: return decode_tcp(frame, room);
    case kProtocolUdp: return decode_udp(frame, room);
    case kProtocolSctp: return decode_sctp(frame);
    case kProtocolGre: return decode_gre(frame, room);
    case kProtocolEsp: return decode_esp(frame);
    default: return decode_icmp(frame, room, ipv6);
  }
}

/// The upper-layer header at l4_offset. `first_fragment`: only check that the header is whole.
DropReason decode_l4(Frame& frame, bool first_fragment) {
  PacketMeta& meta = frame.meta;
  const bool ipv6 = (meta.proof & kProofIpv6) != 0;
  meta.payload_offset = meta.l4_offset;
  if (meta.protocol == kProtocolAh) return DropReason::kAuthenticationHeader;  // it signs addresses, and hides what follows
  const std::size_t needed = l4_header_bytes(meta.protocol, ipv6);
  if (frame.readable(meta.l4_offset) < needed) return first_fragment ? headless(ipv6) : DropReason::kL4Truncated;
  if (first_fragment) return DropReason::kNone;
  const std::size_t room = frame.packet_end - meta.l4_offset;
  DropReason reason = DropReason::kNone;
  if (needed != 0) {
    reason = decode_whole_l4(frame, room, ipv6);
  }
  if (reason == DropReason::kNone) add_proof(meta, kProofL4);
  return reason;
}

/// Numbers that no packet of the family carries: reserved ones, "no next header", and the other family's own.
bool is_reserved_protocol(std::uint8_t protocol, bool ipv6) {
  if (protocol == kProtocolUnassigned || protocol == kProtocolNone) return true;
  if (ipv6) return protocol == kProtocolIcmp || protocol == kProtocolIgmp;
  return protocol == kProtocolHopByHop || protocol == kProtocolRouting || protocol == kProtocolFragment ||
         protocol == kProtocolIcmpv6 || protocol == kProtocolDestinationOptions;
}

DropReason decode_ipv4(Frame& frame) {
  PacketMeta& meta = frame.meta;
  const std::size_t l3 = meta.l3_offset;
  if (!frame.holds(l3, kIpv4HeaderBytes)) return DropReason::kIpv4Truncated;
  const unsigned version_length = frame.u8(l3);
  if (version_length >> 4 != 4) return DropReason::kIpv4Version;
  const std::size_t header = (version_length & 15U) << 2;
  if (header < kIpv4HeaderBytes) return DropReason::kIpv4HeaderLength;
  const std::size_t total = frame.u16(l3 + 2);
  if (total < header || l3 + total > frame.frame_bytes) return DropReason::kIpv4TotalLength;
  if (!frame.holds(l3, header)) return DropReason::kIpv4Truncated;
  if (!frame.trust.ip && checksum_fold(checksum_add(0, frame.bytes.subspan(l3, header))) != 0) {
    return DropReason::kIpv4Checksum;
  }
  frame.addresses = frame.bytes.subspan(l3 + 12, 8);
  frame.packet_end = l3 + total;
  meta.l3_length = static_cast<std::uint16_t>(total);
  meta.ttl = frame.u8(l3 + 8);
  meta.protocol = frame.u8(l3 + 9);
  meta.l4_offset = static_cast<std::uint16_t>(l3 + header);
  meta.payload_offset = meta.l4_offset;
  add_proof(meta, kProofIpv4);
  if (header > kIpv4HeaderBytes) {
    add_proof(meta, kProofOptions);
    const ByteSpan options = frame.bytes.subspan(l3 + kIpv4HeaderBytes, header - kIpv4HeaderBytes);
    const DropReason reason = check_ipv4_options(options, meta.protocol);
    if (reason != DropReason::kNone) return reason;
  }
  const unsigned fragment = frame.u16(l3 + 6);
  if ((fragment & 0x8000U) != 0) return DropReason::kIpv4ReservedFlag;
  if (is_reserved_protocol(meta.protocol, false)) return DropReason::kProtocolReserved;
  if ((fragment & 0x3fffU) == 0) return decode_l4(frame, false);
  add_proof(meta, kProofFragment);
  return (fragment & 0x1fffU) == 0 ? decode_l4(frame, true) : DropReason::kNone;
}

/// Where the walk along IPv6 extension headers ended.
struct Chain {
  std::size_t offset;
  std::uint8_t next;
  unsigned fragment;  ///< the fragment header's offset and flags word without its reserved bits; 0 = none or atomic
  unsigned destination_options = 0;
  bool router_alert = false;
};

/// Steps over one extension header that fits the packet; `chain.next` says which. Errors: what it may not be.
DropReason step_extension(Frame& frame, Chain& chain, bool first) {
  const std::size_t at = chain.offset;
  // RFC 7112: the chain of a first fragment ends in it.
  const DropReason cut = chain.fragment != 0 ? DropReason::kFragmentChain : DropReason::kIpv6ExtensionHeader;
  if (frame.readable(at) < 8) return cut;
  std::size_t length = 8;
  switch (chain.next) {
    case kProtocolHopByHop:
    case kProtocolDestinationOptions: {
      const bool hop_by_hop = chain.next == kProtocolHopByHop;
      if (hop_by_hop && !first) return DropReason::kIpv6HopByHopOrder;
      if (!hop_by_hop && ++chain.destination_options > kDestinationOptionsMax) return DropReason::kIpv6ChainLength;
      length = (frame.u8(at + 1) + std::size_t{1}) * 8;
      if (frame.readable(at) < length) return cut;
      if (at + length - frame.meta.l3_offset - kIpv6HeaderBytes > kExtensionHeaderBytesMax) return DropReason::kIpv6ChainLength;
      const DropReason reason = check_ipv6_options(frame.bytes.subspan(at + 2, length - 2), hop_by_hop, chain.router_alert);
      if (reason != DropReason::kNone) return reason;
      break;
    }
    case kProtocolFragment:
      if ((frame.meta.proof & kProofFragment) != 0) return DropReason::kIpv6ExtensionHeader;
      add_proof(frame.meta, kProofFragment);
      chain.fragment = frame.u16(at + 2) & 0xfff9U;
      break;
    case kProtocolRouting:  // RFC 5095; the other types have no business crossing a tenant's border
      return frame.u8(at + 2) == 0 ? DropReason::kIpv6RoutingHeader0 : DropReason::kIpv6RoutingHeader;
    default: return DropReason::kIpv6ExtensionHeader;
  }
  chain.next = frame.u8(at);
  chain.offset = at + length;
  return DropReason::kNone;
}

/// IANA's list of extension headers but ESP, which we treat as an upper layer.
bool is_extension(std::uint8_t protocol) {
  constexpr std::array<std::uint8_t, 10> kExtensions{0, 43, 44, 51, 60, 135, 139, 140, 253, 254};
  return std::find(kExtensions.begin(), kExtensions.end(), protocol) != kExtensions.end();
}

DropReason walk_extensions(Frame& frame, Chain& chain) {
  const std::size_t start = chain.offset;
  for (unsigned count = 0; is_extension(chain.next); ++count) {
    if (chain.fragment >> 3 != 0) return DropReason::kNone;  // a later fragment: what follows is payload
    if (count == kExtensionHeadersMax) return DropReason::kIpv6ChainLength;
    add_proof(frame.meta, kProofOptions);
    const DropReason reason = step_extension(frame, chain, count == 0);
    if (reason != DropReason::kNone) return reason;
    if (chain.offset - start > kExtensionHeaderBytesMax) return DropReason::kIpv6ChainLength;
  }
  return DropReason::kNone;
}

DropReason decode_ipv6(Frame& frame) {
  PacketMeta& meta = frame.meta;
  const std::size_t l3 = meta.l3_offset;
  if (!frame.holds(l3, kIpv6HeaderBytes)) return DropReason::kIpv6Truncated;
  if (frame.u8(l3) >> 4 != 6) return DropReason::kIpv6Version;
  const std::size_t total = kIpv6HeaderBytes + frame.u16(l3 + 4);
  if (total > 0xffff || l3 + total > frame.frame_bytes) return DropReason::kIpv6PayloadLength;
  frame.addresses = frame.bytes.subspan(l3 + 8, 32);
  frame.packet_end = l3 + total;
  meta.l3_length = static_cast<std::uint16_t>(total);
  meta.ttl = frame.u8(l3 + 7);
  Chain chain{l3 + kIpv6HeaderBytes, frame.u8(l3 + 6), 0};
  add_proof(meta, kProofIpv6);
  const DropReason reason = walk_extensions(frame, chain);
  meta.protocol = chain.next;
  meta.l4_offset = static_cast<std::uint16_t>(chain.offset);
  meta.payload_offset = meta.l4_offset;
  if (reason != DropReason::kNone) return reason;
  if (chain.fragment >> 3 != 0) return chain.router_alert ? DropReason::kIpv6Options : DropReason::kNone;
  if (is_reserved_protocol(chain.next, true)) return DropReason::kProtocolReserved;
  const DropReason upper = decode_l4(frame, chain.fragment != 0);  // 0: whole, or atomic (RFC 6946)
  if (upper != DropReason::kNone || !chain.router_alert) return upper;
  // RFC 6398: an alert asks every router to look; we do for multicast listeners (RFC 3810), who must send it. Neighbour
  // discovery with one is refused under its own name later.
  if (meta.protocol != kProtocolIcmpv6) return DropReason::kIpv6Options;
  const std::uint8_t type = frame.u8(meta.l4_offset);
  return is_mld_type(type) || is_nd_type(type) ? DropReason::kNone : DropReason::kIpv6Options;
}

DropReason decode_arp(Frame& frame) {
  if (!frame.holds(frame.meta.l3_offset, kArpBytes)) return DropReason::kArpTruncated;
  frame.meta.l3_length = kArpBytes;
  add_proof(frame.meta, kProofArp);
  return DropReason::kNone;
}

/// Steps over the VLAN tags; l3_offset and the VLAN ids are set, `type` is the EtherType behind them.
DropReason decode_link(Frame& frame, unsigned& type) {
  PacketMeta& meta = frame.meta;
  if (!frame.holds(0, kEthernetHeaderBytes)) return DropReason::kEthernetTruncated;
  std::size_t offset = kEthernetHeaderBytes;
  type = frame.u16(12);
  for (unsigned tags = 0; type == kEtherTypeVlan || type == kEtherTypeSvlan; ++tags) {
    if (tags == 2) return DropReason::kVlanDepth;
    if (!frame.holds(offset, kVlanTagBytes)) return DropReason::kVlanTruncated;
    const auto id = static_cast<std::uint16_t>(frame.u16(offset) & 0xfffU);
    (meta.outer_vlan == 0 ? meta.outer_vlan : meta.inner_vlan) = id;
    type = frame.u16(offset + 2);
    offset += kVlanTagBytes;
  }
  meta.l3_offset = static_cast<std::uint16_t>(offset);
  return DropReason::kNone;
}

}  // namespace

namespace packet_detail {

bool l4_checksum_good(ByteSpan bytes, ByteSpan addresses, std::size_t l4, std::size_t length,
                      std::uint8_t protocol) noexcept {
  // In memory order: a right sum is 0xffff in either byte order (RFC 1071 section 2), so nothing is swapped but the
  // pseudo header's two numbers.
  const auto numbers = static_cast<std::uint32_t>(protocol + length);
  WordSum sum{__builtin_bswap16(static_cast<std::uint16_t>(numbers)) + (numbers >> 16 << 8)};
  for (std::size_t at = 0; at < addresses.size(); at += 8) sum.add(raw<std::uint64_t>(addresses, at));
  const ByteSpan summed = bytes.subspan(l4, length);
  return summed.size() < 128 ? is_right_with(sum, summed, 0) : is_right_with_blocks(sum, summed);
}

DropReason decode_any(ByteSpan first_segment, std::uint32_t frame_bytes, ChecksumTrust trust,
                      PacketMeta& meta) noexcept {
  store_decoded(meta, Decoded{});
  const std::size_t readable = std::min<std::size_t>(first_segment.size(), frame_bytes);
  Frame frame{first_segment.first(readable), frame_bytes, trust, meta};
  unsigned type = 0;
  const DropReason reason = decode_link(frame, type);
  if (reason != DropReason::kNone) return reason;
  if (type == kEtherTypeIpv4) return decode_ipv4(frame);
  if (type == kEtherTypeIpv6) return decode_ipv6(frame);
  if (type == kEtherTypeArp) return decode_arp(frame);
  return DropReason::kNone;
}

}  // namespace packet_detail

DropReason decode_first_piece(ByteSpan frame, std::uint32_t l4_bytes, PacketMeta& meta) noexcept {
  Frame whole{frame, static_cast<std::uint32_t>(frame.size()), ChecksumTrust{true, true}, meta};
  whole.packet_end = meta.l4_offset + std::size_t{l4_bytes};
  const DropReason reason = decode_l4(whole, false);
  if (reason == DropReason::kL4Truncated) return headless((meta.proof & kProofIpv6) != 0);
  // A datagram that was cut has no padding to hide bytes in: its UDP length is all of it.
  const bool udp = reason == DropReason::kNone && meta.protocol == kProtocolUdp;
  return udp && whole.u16(meta.l4_offset + std::size_t{4}) != l4_bytes ? DropReason::kUdpLength : reason;
}

}  // namespace sekisho::filters
