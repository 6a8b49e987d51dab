// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "filters/drop_reason.h"

namespace sekisho::filters {

/// Whether a Binding broke its rules so often that nothing of it passes for a while (specification 3.5).
///
/// Begins with the hundredth violation of a minute (counted in steps of five seconds: fewer than a hundred in sixty
/// seconds never begin one, a hundred in fifty-five always do), lasts five minutes or until release(), and then a hundred
/// new violations are needed. Lives as long as the Binding, over generations. Thread: any number of workers and control;
/// lock-free, no word depends on another.
class alignas(64) Quarantine {
 public:
  static constexpr std::uint32_t kViolations = 100;
  static constexpr std::uint64_t kWindowMs = 60'000;
  static constexpr std::uint64_t kHoldMs = 300'000;

  /// Nothing may pass at `now_ms` (any origin, the same for all workers).
  [[nodiscard]] bool holds(std::uint64_t now_ms) const noexcept {
    return now_ms + 1 < until_ms_.load(std::memory_order_relaxed);
  }
  /// Counts a violation. True for exactly one caller: this one began the quarantine, and will finish() it.
  [[nodiscard]] bool violation(std::uint64_t now_ms) noexcept;
  /// Counts a packet that did not pass because of it.
  void refused() noexcept { refused_.fetch_add(1, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t refused_packets() const noexcept { return refused_.load(std::memory_order_relaxed); }
  /// Begun, and not yet finished.
  [[nodiscard]] bool begun() const noexcept { return until_ms_.load(std::memory_order_relaxed) != 0; }
  /// Ends it before its time. False when there was none.
  bool release() noexcept;
  /// Closes the account of one that is over: how many packets it refused. A new one may begin.
  std::uint64_t finish() noexcept;

 private:
  static constexpr std::uint64_t kStepMs = 5'000;
  static constexpr std::uint32_t kSteps = kWindowMs / kStepMs;
  static constexpr std::uint32_t kCountBits = 12;

  std::atomic<std::uint64_t> until_ms_{0};  ///< one more than the last moment; 0 = none, 1 = released
  std::atomic<std::uint64_t> refused_{0};
  std::array<std::atomic<std::uint32_t>, kSteps> steps_{};  ///< number of the step << kCountBits | violations in it
};
static_assert(sizeof(Quarantine) == 64);

/// `reason` says that a frame forged something: what Quarantine counts. Storms do not (they are met by meters), nor does
/// what is malformed in itself.
[[nodiscard]] constexpr bool is_violation(DropReason reason) {
  return reason >= DropReason::kAeFrame && reason <= DropReason::kAeRa;
}

}  // namespace sekisho::filters
