// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_prefetch.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "filters/packet/packet_meta.h"

namespace sekisho::dataplane {

/// Bound MAC -> index in Runtime::bindings, for one Port enforced by segment.
///
/// A bucket is one cache line of eight places and nothing spills: build() looks for a hash under which every MAC finds a
/// place in its line, so whoever sends costs one line, known or not. Immutable after build(); any thread.
class MacMap {
 public:
  struct Entry {
    std::uint64_t mac;      ///< Mac::number(); not 0, and at most once
    std::uint32_t binding;
  };

  MacMap() = default;
  /// Nothing when there are more different Bindings than kBindingsPerPortMax, or no hash is found.
  static std::optional<MacMap> build(std::span<const Entry> entries);

  [[nodiscard]] std::uint32_t find(std::uint64_t mac) const noexcept {
    for (const std::uint64_t word : lines_[line_of(mac)].words) {
      if (word >> 16 == mac && (word & 0xffffU) != 0) return bindings_[(word & 0xffffU) - 1];
    }
    return filters::kNoIndex;
  }
  void prefetch(std::uint64_t mac) const noexcept { rte_prefetch0(&lines_[line_of(mac)]); }

 private:
  struct alignas(64) Line {
    std::array<std::uint64_t, 8> words{};  ///< MAC << 16 | place in bindings_ + 1; 0 = free
  };
  [[nodiscard]] std::size_t line_of(std::uint64_t mac) const { return (mac * multiplier_ >> 32) & (lines_.size() - 1); }
  bool place_all(std::span<const Entry> entries);

  std::vector<Line> lines_{Line{}};
  std::vector<std::uint32_t> bindings_;
  std::uint64_t multiplier_ = 1;
};

}  // namespace sekisho::dataplane
