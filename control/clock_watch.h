// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace sekisho::control {

/// Sees whether somebody has set the clock: the wall clock and one that only rises part by more than a second at once.
/// A clock that is slewed never does. Pure.
class ClockWatch {
 public:
  static constexpr std::int64_t kStepNs = 1'000'000'000;
  struct Step {
    std::int64_t before_ns = 0;  ///< what the wall clock would say now
    std::int64_t after_ns = 0;   ///< what it says
  };
  /// Both clocks, read at the same moment, nanoseconds. Nothing unless the clock was set since the call before.
  std::optional<Step> observe(std::int64_t wall_ns, std::int64_t steady_ns) {
    const std::int64_t apart = wall_ns - steady_ns;
    const std::int64_t moved = known_ ? apart - apart_ : 0;
    apart_ = apart;
    known_ = true;
    if (moved > -kStepNs && moved < kStepNs) return std::nullopt;
    return Step{wall_ns - moved, wall_ns};
  }

 private:
  bool known_ = false;
  std::int64_t apart_ = 0;
};

/// What the kernel says of its clock (adjtimex): whether a daemon keeps it with others', and how far it may be off.
struct ClockState {
  bool synchronised = false;
  double error_milliseconds = 0;
};
ClockState read_clock_state();

}  // namespace sekisho::control
