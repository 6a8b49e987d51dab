// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/fragment.h"

#include <algorithm>

#include "base/net/checksum.h"
#include "filters/packet/decode.h"
#include "filters/packet/fields.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kFragmentHeader = 44;
constexpr std::size_t kFragmentHeaderBytes = 8;
constexpr std::uint32_t kPacketBytesMax = 65535;
constexpr std::uint32_t kTcpFlagsPiece = 8;  // RFC 3128: the second eight bytes of TCP hold its flags

/// Offset of the IPv6 fragment header: decode() has proved the chain up to it.
std::size_t find_fragment_header(ByteSpan frame, const PacketMeta& meta) {
  std::size_t at = meta.l3_offset + kIpv6HeaderBytes;
  std::uint8_t next = frame[meta.l3_offset + std::size_t{6}];
  for (unsigned i = 0; i < kExtensionHeadersMax && next != kFragmentHeader; ++i) {
    next = frame[at];
    at += (frame[at + 1] + std::size_t{1}) * 8;
  }
  SEKISHO_DCHECK(next == kFragmentHeader && at + kFragmentHeaderBytes <= frame.size());
  return at;
}

}  // namespace

FragmentFields read_fragment(ByteSpan frame, const PacketMeta& meta) noexcept {
  SEKISHO_DCHECK((meta.proof & kProofFragment) != 0);
  const std::size_t l3 = meta.l3_offset;
  FragmentFields out{};
  if ((meta.proof & kProofIpv4) != 0) {
    const std::size_t header = (frame[l3] & 15U) * std::size_t{4};
    const unsigned word = load_be<std::uint16_t>(frame, l3 + 6);
    out.id = load_be<std::uint16_t>(frame, l3 + 4);
    out.begin = (word & 0x1fffU) * 8;
    out.more = (word & 0x2000U) != 0;
    out.unfragmentable = (word & 0x4000U) != 0;
    out.protocol = frame[l3 + 9];
    out.data = static_cast<std::uint16_t>(l3 + header);
  } else {
    const std::size_t at = find_fragment_header(frame, meta);
    const unsigned word = load_be<std::uint16_t>(frame, at + 2);
    out.id = load_be<std::uint32_t>(frame, at + 4);
    out.begin = word & 0xfff8U;
    out.more = (word & 1U) != 0;
    out.protocol = frame[at];
    out.data = static_cast<std::uint16_t>(at + kFragmentHeaderBytes);
  }
  out.before = out.data - std::uint32_t{meta.l3_offset};
  out.end = out.begin + meta.l3_offset + meta.l3_length - out.data;
  return out;
}

bool is_later_fragment(ByteSpan frame, const PacketMeta& meta) noexcept {
  return (meta.proof & kProofFragment) != 0 && (meta.proof & kProofL4) == 0 && read_fragment(frame, meta).begin != 0;
}

DropReason check_fragment(const FragmentFields& fields) noexcept {
  if (fields.end == fields.begin || fields.unfragmentable) return DropReason::kFragmentMalformed;
  if (fields.more && (fields.end - fields.begin) % 8 != 0) return DropReason::kFragmentMalformed;
  if (fields.before + fields.end > kPacketBytesMax) return DropReason::kFragmentOversized;
  if (fields.protocol == kProtocolTcp && fields.begin == kTcpFlagsPiece) return DropReason::kFragmentTiny;
  return DropReason::kNone;
}

PieceRanges::Placed PieceRanges::add(std::uint32_t begin, std::uint32_t end, bool more) noexcept {
  SEKISHO_DCHECK(begin < end && end <= kPacketBytesMax);
  const std::span<Range> have = std::span(ranges_).first(count_);
  const auto at = std::find_if(have.begin(), have.end(), [&](const Range& range) { return range.end > begin; });
  const auto index = static_cast<std::uint8_t>(at - have.begin());
  if (at != have.end() && at->begin == begin && at->end == end && more != (last_seen_ && end == total_)) {
    return {Outcome::kSame, index};
  }
  const std::uint32_t highest = count_ == 0 ? 0U : have.back().end;
  const bool beyond_end = last_seen_ && end > total_;
  const bool other_end = !more && (last_seen_ || highest > end);
  if ((at != have.end() && at->begin < end) || beyond_end || other_end) return {Outcome::kConflict, index};
  if (count_ == kFragmentPiecesMax) return {Outcome::kTooMany, index};

  const std::span<Range> grown = std::span(ranges_).first(count_ + std::size_t{1});
  std::move_backward(grown.begin() + index, grown.end() - 1, grown.end());
  grown[index] = {static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end)};
  ++count_;
  covered_ += end - begin;
  if (!more) {
    last_seen_ = true;
    total_ = static_cast<std::uint16_t>(end);
  }
  return {Outcome::kStored, index};
}

std::size_t write_fragment_header(std::span<std::uint8_t> out, ByteSpan header) noexcept {
  constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kCopied = 0x80;
  std::copy_n(header.begin(), kIpv4HeaderBytes, out.begin());
  std::size_t size = kIpv4HeaderBytes;
  for (std::size_t at = kIpv4HeaderBytes; at < header.size() && header[at] != kEnd;) {
    const std::size_t length = header[at] == kNoOperation ? 1 : header[at + 1];  // decode has proved the list
    if ((header[at] & kCopied) != 0) {
      std::copy_n(header.begin() + static_cast<std::ptrdiff_t>(at), length, out.subspan(size).begin());
      size += length;
    }
    at += length;
  }
  while (size % 4 != 0) out[size++] = kEnd;
  out[0] = static_cast<std::uint8_t>(0x40 | size / 4);
  return size;
}

void set_fragment_word(std::span<std::uint8_t> frame, const PacketMeta& meta, std::uint32_t word) noexcept {
  const std::size_t l3 = meta.l3_offset;
  store_be<std::uint16_t>(frame, l3 + 2, meta.l3_length);
  store_be<std::uint16_t>(frame, l3 + 6, static_cast<std::uint16_t>(word));
  store_be<std::uint16_t>(frame, l3 + 10, 0);
  const std::uint16_t sum = checksum_fold(checksum_add(0, frame.subspan(l3, meta.l4_offset - l3)));
  store_be<std::uint16_t>(frame, l3 + 10, sum);
}

PieceSum::PieceSum(ByteSpan frame, std::uint32_t l4_bytes, const PacketMeta& meta) noexcept {
  const bool ipv4 = (meta.proof & kProofIpv4) != 0;
  const bool icmp = meta.protocol == (ipv4 ? kProtocolIcmp : kProtocolIcmpv6);
  const bool udp = meta.protocol == kProtocolUdp;
  summed_ = icmp || meta.protocol == kProtocolTcp || (udp && load_be<std::uint16_t>(frame, meta.l4_offset + 6U) != 0);
  if (ipv4 && icmp) return;  // RFC 792: no pseudo header
  sum_ = pseudo_header_sum(ip_source(frame, meta), ip_destination(frame, meta), meta.protocol, l4_bytes);
}

void PieceSum::add(ByteSpan bytes) noexcept { sum_ = checksum_add(sum_, bytes); }

bool PieceSum::good() const noexcept { return !summed_ || checksum_fold(sum_) == 0; }

}  // namespace sekisho::filters
