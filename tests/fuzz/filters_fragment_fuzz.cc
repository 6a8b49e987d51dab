// SPDX-License-Identifier: Apache-2.0
// Pieces of one datagram, four bytes each: begin in eights (two bytes), length (one), flags (one). What PieceRanges says must
// be what a map of one cell a byte says.
#include <bitset>
#include <cstdint>
#include <optional>

#include "base/assert.h"
#include "filters/packet/fragment.h"

namespace {

using namespace sekisho::filters;
using Outcome = PieceRanges::Outcome;

constexpr std::size_t kBytes = 65536;

/// The datagram as cells; `starts` and `ends` remember where pieces begin and stop.
struct Cells {
  std::bitset<kBytes> taken, starts, ends;
  std::optional<std::size_t> total;
  std::size_t pieces = 0;

  [[nodiscard]] bool same(std::size_t begin, std::size_t end, bool more) const {
    if (!starts[begin] || !ends[end - 1] || more == (total == end)) return false;
    for (std::size_t at = begin + 1; at < end; ++at) {
      if (starts[at]) return false;
    }
    return true;
  }
  [[nodiscard]] bool conflicts(std::size_t begin, std::size_t end, bool more) const {
    for (std::size_t at = begin; at < end; ++at) {
      if (taken[at]) return true;
    }
    if (total.has_value()) return end > *total || !more;
    return !more && (taken >> end).any();
  }
  void put(std::size_t begin, std::size_t end, bool more) {
    for (std::size_t at = begin; at < end; ++at) taken[at] = true;
    starts[begin] = ends[end - 1] = true;
    if (!more) total = end;
    ++pieces;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  PieceRanges ranges{};
  Cells cells;
  for (std::size_t at = 0; at + 4 <= size && at < 4 * 96; at += 4) {
    const std::size_t begin = ((data[at] << 8 | data[at + 1]) & 0x1fff) * 8;
    const bool more = (data[at + 3] & 1) != 0;
    const std::size_t length = more ? (data[at + 2] + std::size_t{1}) * 8 : data[at + 2] + std::size_t{1};
    if (begin + length > 65535) continue;
    const PieceRanges::Placed placed = ranges.add(static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(begin + length), more);
    Outcome expected = Outcome::kStored;
    if (cells.same(begin, begin + length, more)) {
      expected = Outcome::kSame;
    } else if (cells.conflicts(begin, begin + length, more)) {
      expected = Outcome::kConflict;
    } else if (cells.pieces == kFragmentPiecesMax) {
      expected = Outcome::kTooMany;
    } else {
      cells.put(begin, begin + length, more);
    }
    SEKISHO_ASSERT(placed.outcome == expected);
    SEKISHO_ASSERT(ranges.count() == cells.pieces);
    SEKISHO_ASSERT(ranges.complete() == (cells.total.has_value() && cells.taken.count() == *cells.total));
  }
  return 0;
}
