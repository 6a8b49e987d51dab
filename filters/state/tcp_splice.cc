// SPDX-License-Identifier: Apache-2.0
#include "filters/state/tcp_splice.h"

#include <algorithm>

#include "base/net/checksum.h"

namespace sekisho::filters {
namespace {

constexpr std::size_t kSequenceAt = 4, kAcknowledgementAt = 8, kWindowAt = 14, kChecksumAt = 16, kOptionsAt = 20;

/// Swaps bytes: what a word at an odd offset adds to the sum (RFC 1071 2 B).
std::uint16_t placed(std::uint32_t word, bool odd) {
  const auto value = static_cast<std::uint16_t>(word);
  return odd ? static_cast<std::uint16_t>(value << 8 | value >> 8) : value;
}

/// Replaces 32 bits at `at` and keeps the checksum at `sum_at`. `odd`: `at` is an odd number of bytes into what is summed.
void replace32(std::span<std::uint8_t> frame, std::size_t sum_at, std::size_t at, std::uint32_t value, bool odd) {
  const auto old = load_be<std::uint32_t>(frame, at);
  auto sum = load_be<std::uint16_t>(frame, sum_at);
  sum = checksum_adjust(sum, placed(old >> 16, odd), placed(value >> 16, odd));
  sum = checksum_adjust(sum, placed(old, odd), placed(value, odd));
  store_be<std::uint32_t>(frame, at, value);
  store_be<std::uint16_t>(frame, sum_at, sum);
}

void shift_sack_blocks(std::uint32_t shift, std::span<std::uint8_t> frame, const PacketMeta& meta) {
  constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kSack = 5;
  const std::size_t l4 = meta.l4_offset;
  std::size_t at = l4 + kOptionsAt;
  // At most 40 bytes, and each turn takes at least one.
  while (at < meta.payload_offset && frame[at] != kEnd) {
    if (frame[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (at + 2 > meta.payload_offset || frame[at + 1] < 2 || at + frame[at + 1] > meta.payload_offset) return;
    const std::size_t end = at + frame[at + 1];
    if (frame[at] == kSack) {
      for (std::size_t edge = at + 2; edge + 4 <= end; edge += 4) {
        replace32(frame, l4 + kChecksumAt, edge, load_be<std::uint32_t>(frame, edge) + shift, (edge - l4) % 2 != 0);
      }
    }
    at = end;
  }
}

}  // namespace

std::uint16_t rescale_window(std::uint16_t window, std::uint8_t from, std::uint8_t to) {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>((std::uint32_t{window} << from) >> to, 0xffff));
}

void splice_segment(const TcpSplice& splice, TcpSegment& segment) {
  segment.acknowledgement += splice.shift;
  if ((segment.flags & kTcpSyn) == 0) segment.window = rescale_window(segment.window, splice.forward_from, splice.forward_to);
}

void splice_rewrite(const TcpSplice& splice, Direction direction, std::span<std::uint8_t> frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & kProofL4) != 0 && meta.protocol == kProtocolTcp);
  const std::size_t l4 = meta.l4_offset, sum_at = l4 + kChecksumAt;
  const bool forward = direction == Direction::kForward;
  if (forward) {
    if ((meta.tcp_flags & kTcpAck) != 0) {
      const std::size_t at = l4 + kAcknowledgementAt;
      replace32(frame, sum_at, at, load_be<std::uint32_t>(frame, at) + splice.shift, false);
    }
    if (meta.payload_offset > l4 + kOptionsAt) shift_sack_blocks(splice.shift, frame, meta);
  } else {
    const std::size_t at = l4 + kSequenceAt;
    replace32(frame, sum_at, at, load_be<std::uint32_t>(frame, at) - splice.shift, false);
  }
  const std::uint8_t from = forward ? splice.forward_from : splice.reverse_from;
  const std::uint8_t to = forward ? splice.forward_to : splice.reverse_to;
  if (from == to || (meta.tcp_flags & kTcpSyn) != 0) return;
  const auto window = load_be<std::uint16_t>(frame, l4 + kWindowAt);
  const std::uint16_t said = rescale_window(window, from, to);
  store_be<std::uint16_t>(frame, sum_at, checksum_adjust(load_be<std::uint16_t>(frame, sum_at), window, said));
  store_be<std::uint16_t>(frame, l4 + kWindowAt, said);
}

void splice_quote(std::span<std::uint8_t> frame, const PacketMeta& meta, std::size_t transport_at, std::uint32_t sequence) {
  SEKISHO_DCHECK((meta.proof & kProofL4) != 0 && (transport_at - meta.l4_offset) % 2 == 0);
  // What is quoted as far as its checksum keeps a good one, and the error's own stays: together the two change no sum.
  const std::size_t end = std::min(frame.size(), std::size_t{meta.l3_offset} + meta.l3_length);
  const bool whole = transport_at + kChecksumAt + 2 <= end;
  replace32(frame, whole ? transport_at + kChecksumAt : meta.l4_offset + std::size_t{2}, transport_at + kSequenceAt, sequence, false);
}

}  // namespace sekisho::filters
