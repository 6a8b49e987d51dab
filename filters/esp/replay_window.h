// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"

namespace sekisho::filters {

/// Which sequence numbers of one inbound SA have been seen (RFC 4303 3.4.3): exactly the newest `size` numbers, and all
/// older ones. The bitmap is RFC 6479's: a ring of words, one word more than the window needs, so that moving forward
/// clears whole words and shifts nothing. With ESN, the high half is recovered as RFC 4303 appendix A says.
///
/// Use: recover() and fresh() before the packet is proved genuine (cheap refusal of floods), accept() after, and its
/// answer counts: two copies in one burst are both fresh, one is accepted. No thread of its own.
class ReplayWindow {
 public:
  static constexpr std::uint32_t kSizeMin = 64, kSizeMax = 4096;

  /// `size` in sequence numbers. The only allocation.
  static Result<ReplayWindow> create(std::uint32_t size, bool extended);

  /// The whole sequence number a packet with these low 32 bits must be meant to have; 0, which is never fresh, when it
  /// would lie before the first or after the last of all.
  [[nodiscard]] std::uint64_t recover(std::uint32_t low) const {
    if (!extended_) return low;
    const auto top_low = static_cast<std::uint32_t>(top_);
    const std::uint64_t top_high = top_ >> 32;
    const std::uint32_t bottom = top_low - (size_ - 1);  // wraps when the window reaches into the subspace before
    if (top_low >= size_ - 1) {
      if (low >= bottom) return top_high << 32 | low;
      return top_high == 0xffffffffU ? 0 : (top_high + 1) << 32 | low;
    }
    if (low < bottom) return top_high << 32 | low;
    return top_high == 0 ? 0 : (top_high - 1) << 32 | low;
  }

  /// Whether `sequence` may still be accepted.
  [[nodiscard]] bool fresh(std::uint64_t sequence) const {
    if (sequence > top_) return true;
    if (sequence == 0 || top_ - sequence >= size_) return false;
    return (words_[(sequence >> 6) & mask_] >> (sequence & 63) & 1U) == 0;
  }

  /// Marks `sequence`, proved genuine, as seen. False, and nothing changes, when it is not fresh.
  bool accept(std::uint64_t sequence) {
    if (!fresh(sequence)) return false;
    if (sequence > top_) {
      const std::uint64_t from = top_ >> 6, steps = (sequence >> 6) - from;
      for (std::uint64_t i = 1; i <= steps && i <= mask_ + std::uint64_t{1}; ++i) words_[(from + i) & mask_] = 0;
      top_ = sequence;
    }
    words_[(sequence >> 6) & mask_] |= std::uint64_t{1} << (sequence & 63);
    return true;
  }

  [[nodiscard]] std::uint64_t top() const { return top_; }  ///< newest accepted, 0 before the first
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] bool extended() const { return extended_; }

 private:
  ReplayWindow(std::uint32_t size, bool extended)
      : size_(size),
        mask_(std::bit_ceil((size + 63) / 64 + 1) - 1),
        extended_(extended),
        words_(std::make_unique<std::uint64_t[]>(mask_ + std::size_t{1})) {}

  std::uint64_t top_ = 0;
  std::uint32_t size_;
  std::uint32_t mask_;
  bool extended_;
  std::unique_ptr<std::uint64_t[]> words_;
};

inline Result<ReplayWindow> ReplayWindow::create(std::uint32_t size, bool extended) {
  if (size < kSizeMin || size > kSizeMax) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, size};
  return ReplayWindow(size, extended);
}

}  // namespace sekisho::filters
