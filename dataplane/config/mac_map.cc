// SPDX-License-Identifier: Apache-2.0
#include "dataplane/config/mac_map.h"

#include <algorithm>
#include <bit>

#include "base/limits.h"

namespace sekisho::dataplane {

bool MacMap::place_all(std::span<const Entry> entries) {
  std::fill(lines_.begin(), lines_.end(), Line{});
  for (const Entry& entry : entries) {
    auto& words = lines_[line_of(entry.mac)].words;
    const auto free = std::find(words.begin(), words.end(), std::uint64_t{0});
    if (free == words.end()) return false;
    const auto place = std::lower_bound(bindings_.begin(), bindings_.end(), entry.binding) - bindings_.begin();
    *free = entry.mac << 16 | static_cast<std::uint64_t>(place + 1);
  }
  return true;
}

std::optional<MacMap> MacMap::build(std::span<const Entry> entries) {
  constexpr unsigned kHashes = 16;
  MacMap map;
  for (const Entry& entry : entries) map.bindings_.push_back(entry.binding);
  std::sort(map.bindings_.begin(), map.bindings_.end());
  map.bindings_.erase(std::unique(map.bindings_.begin(), map.bindings_.end()), map.bindings_.end());
  if (map.bindings_.size() > limits::kBindingsPerPortMax) return std::nullopt;
  // Two MACs a line on average; with many MACs some line overflows now and then, and the next hash is tried.
  const std::size_t most = std::bit_ceil(entries.size() + 1) * 16;
  for (std::size_t lines = std::bit_ceil(entries.size() / 2 + 1); lines <= most; lines *= 2) {
    map.lines_.resize(lines);
    for (unsigned i = 0; i < kHashes; ++i) {
      map.multiplier_ = map.multiplier_ * 0x5851f42d4c957f2dU + 0x14057b7ef767814fU;
      map.multiplier_ |= 1U;
      if (map.place_all(entries)) return map;
    }
  }
  return std::nullopt;
}

}  // namespace sekisho::dataplane
