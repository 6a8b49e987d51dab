// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/support/frames.h"

/// Cuts frames into IP fragments and puts them together again: written for tests alone, and knowing nothing of the code
/// under test.
namespace sekisho::tests {

/// One piece of an upper-layer packet.
struct Cut {
  std::size_t begin, end;
  bool more;
};

/// Offset of the IP header behind the tags.
inline std::size_t l3_of(const Frame& frame) {
  std::size_t at = 12;
  while (load_be<std::uint16_t>(frame, at) == 0x8100 || load_be<std::uint16_t>(frame, at) == 0x88a8) at += 4;
  return at + 2;
}
inline bool is_v4(const Frame& frame) { return frame[l3_of(frame)] >> 4 == 4; }

inline void seal_v4(Frame& frame) {
  const std::size_t l3 = l3_of(frame);
  const std::size_t header = (frame[l3] & 15U) * std::size_t{4};
  store_be<std::uint16_t>(frame, l3 + 2, static_cast<std::uint16_t>(frame.size() - l3));
  store_be<std::uint16_t>(frame, l3 + 10, 0);
  store_be<std::uint16_t>(frame, l3 + 10, checksum_fold(checksum_add(0, std::span(frame).subspan(l3, header))));
}

/// One fragment of `whole`, a frame without IPv6 extension headers. `bytes` replace the packet's own when given.
inline Frame piece(const Frame& whole, const Cut& cut, std::uint32_t id = 77, std::optional<Frame> bytes = {}) {
  const std::size_t l3 = l3_of(whole);
  const std::size_t header = is_v4(whole) ? (whole[l3] & 15U) * std::size_t{4} : 40;
  Frame out(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(l3 + header));
  const auto word = static_cast<std::uint16_t>(cut.begin | (cut.more ? 1U : 0U));
  if (!is_v4(whole)) {
    out.push_back(whole[l3 + 6]);
    out.push_back(0);
    append16(out, word);
    append32(out, id);
    out[l3 + 6] = 44;
  }
  const auto from = whole.begin() + static_cast<std::ptrdiff_t>(l3 + header);
  append(out, bytes ? *bytes : Frame(from + static_cast<std::ptrdiff_t>(cut.begin), from + static_cast<std::ptrdiff_t>(cut.end)));
  if (is_v4(whole)) {
    store_be<std::uint16_t>(out, l3 + 4, static_cast<std::uint16_t>(id));
    store_be<std::uint16_t>(out, l3 + 6, static_cast<std::uint16_t>(cut.begin / 8 | (cut.more ? 0x2000U : 0U)));
    seal_v4(out);
  } else {
    store_be<std::uint16_t>(out, l3 + 4, static_cast<std::uint16_t>(out.size() - l3 - 40));
  }
  return out;
}

/// All fragments of `whole`, `step` bytes each but the last.
inline std::vector<Frame> pieces(const Frame& whole, std::size_t step, std::uint32_t id = 77) {
  const std::size_t header = is_v4(whole) ? 20 : 40;
  const std::size_t total = whole.size() - l3_of(whole) - header;
  std::vector<Frame> out;
  for (std::size_t at = 0; at < total; at += step) {
    out.push_back(piece(whole, {at, std::min(total, at + step), at + step < total}, id));
  }
  return out;
}

/// The upper-layer bytes of fragments put together by their offsets; empty when they are not exactly one whole.
inline Frame join(const std::vector<Frame>& frames) {
  Frame out;
  std::size_t covered = 0, total = 0;
  for (const Frame& frame : frames) {
    const std::size_t l3 = l3_of(frame);
    const bool v4 = is_v4(frame);
    const std::size_t data = l3 + (v4 ? (frame[l3] & 15U) * std::size_t{4} : 48);
    const unsigned word = load_be<std::uint16_t>(frame, v4 ? l3 + 6 : l3 + 42);
    const std::size_t begin = v4 ? (word & 0x1fffU) * std::size_t{8} : word & 0xfff8U;
    const std::size_t bytes = frame.size() - data;
    if ((word & (v4 ? 0x2000U : 1U)) == 0) total = begin + bytes;
    out.resize(std::max(out.size(), begin + bytes));
    std::copy(frame.begin() + static_cast<std::ptrdiff_t>(data), frame.end(), out.begin() + static_cast<std::ptrdiff_t>(begin));
    covered += bytes;
  }
  return covered == total && out.size() == total ? out : Frame{};
}

/// The upper-layer bytes of a whole frame.
inline Frame upper(const Frame& whole) {
  const std::size_t data = l3_of(whole) + (is_v4(whole) ? (whole[l3_of(whole)] & 15U) * std::size_t{4} : 40);
  return {whole.begin() + static_cast<std::ptrdiff_t>(data), whole.end()};
}

}  // namespace sekisho::tests
