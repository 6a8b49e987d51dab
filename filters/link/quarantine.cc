// SPDX-License-Identifier: Apache-2.0
#include "filters/link/quarantine.h"

#include <algorithm>

namespace sekisho::filters {

// relaxed throughout: the exchange of until_ms_ alone decides who began it, and nothing is read through it.
bool Quarantine::violation(std::uint64_t now_ms) noexcept {
  if (begun()) return false;
  constexpr std::uint32_t kCountMax = (1U << kCountBits) - 1;
  constexpr std::uint32_t kStepMask = ~std::uint32_t{0} >> kCountBits;
  const std::uint64_t number = now_ms / kStepMs;
  const auto step = static_cast<std::uint32_t>(number) & kStepMask;
  std::atomic<std::uint32_t>& own = steps_[number % kSteps];
  std::uint32_t before = own.load(std::memory_order_relaxed);
  std::uint32_t after = 0;
  do {
    const std::uint32_t count = before >> kCountBits == step ? before & kCountMax : 0;
    after = step << kCountBits | std::min(count + 1, kCountMax);
  } while (!own.compare_exchange_weak(before, after, std::memory_order_relaxed));
  std::uint32_t sum = 0;
  for (const auto& word : steps_) {
    const std::uint32_t value = word.load(std::memory_order_relaxed);
    if (((step - (value >> kCountBits)) & kStepMask) < kSteps) sum += value & kCountMax;
  }
  if (sum < kViolations) return false;
  std::uint64_t none = 0;
  return until_ms_.compare_exchange_strong(none, now_ms + kHoldMs + 1, std::memory_order_relaxed);
}

bool Quarantine::release() noexcept {
  std::uint64_t until = until_ms_.load(std::memory_order_relaxed);
  while (until > 1) {
    if (until_ms_.compare_exchange_weak(until, 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

std::uint64_t Quarantine::finish() noexcept {
  for (auto& word : steps_) word.store(0, std::memory_order_relaxed);
  const std::uint64_t refused = refused_.exchange(0, std::memory_order_relaxed);
  until_ms_.store(0, std::memory_order_relaxed);
  return refused;
}

}  // namespace sekisho::filters
