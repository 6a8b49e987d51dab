// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "filters/packet/packet_meta.h"

namespace sekisho::filters {

/// Lowers the maximum segment size a SYN offers (RFC 9293 3.7.1) to `most`, checksum kept; one without the option, or whose
/// options are not a list, stays as it is. Needs kProofL4 of TCP.
inline void clamp_mss(std::span<std::uint8_t> frame, const PacketMeta& meta, std::uint16_t most) noexcept {
  constexpr std::size_t kTcpBytes = 20, kChecksumAt = 16;
  constexpr std::uint8_t kEnd = 0, kNothing = 1, kMaximumSegment = 2;
  const std::size_t end = meta.payload_offset;
  for (std::size_t at = meta.l4_offset + kTcpBytes; at < end && frame[at] != kEnd;) {
    if (frame[at] == kNothing) {
      ++at;
      continue;
    }
    if (at + 1 >= end || frame[at + 1] < 2 || at + frame[at + 1] > end) return;
    if (frame[at] == kMaximumSegment && frame[at + 1] == 4) {
      const auto before = load_be<std::uint16_t>(frame, at + 2);
      if (before <= most) return;
      store_be<std::uint16_t>(frame, at + 2, most);
      const bool odd = (at - meta.l4_offset) % 2 != 0;  // then the number lies across two words of the sum
      const auto as_summed = [odd](std::uint16_t value) {
        return odd ? static_cast<std::uint16_t>(value << 8 | value >> 8) : value;
      };
      const std::size_t sum = std::size_t{meta.l4_offset} + kChecksumAt;
      store_be<std::uint16_t>(frame, sum, checksum_adjust(load_be<std::uint16_t>(frame, sum), as_summed(before), as_summed(most)));
      return;
    }
    at += frame[at + 1];
  }
}

}  // namespace sekisho::filters
