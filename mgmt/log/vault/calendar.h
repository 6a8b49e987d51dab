// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>

#include "mgmt/log/vault/keyring.h"

/// What is counted in civil days of Japan, and when a clock may be believed about them.
namespace sekisho::mgmt {

/// First and last day, both included.
struct Days {
  Day first = 0, last = 0;
  bool operator==(const Days&) const = default;
};

Day add_days(Day day, std::int64_t days);
/// The last calendar month with today: the same day of the month before, clamped to its length, and one on.
Days month_with(Day today);
/// The thirty days before today.
Days thirty_before(Day today);

/// Ninety days and today: both readings of "90 days" hold.
inline constexpr unsigned kDaysKept = 91;
/// The first day that is kept.
Day first_kept(Day today, unsigned days_kept);

/// Says whether a clock's day may be acted upon by what cannot be undone. A clock that jumped, or that stands far from
/// where the last one was left, is believed after ten minutes in step with an outer source and not before; a clock that
/// runs on is.
class ClockGuard {
 public:
  static constexpr std::chrono::seconds kStep{2}, kInStep{600};
  static constexpr std::int64_t kAwayDaysMax = 7;

  /// `left`: the last day that was believed before this start; 0: none.
  explicit ClockGuard(Day left) : left_(left) {}
  /// Tells it the time; call at least every minute. `synchronised`: an outer source agrees.
  void see(Timestamp wall, std::chrono::nanoseconds monotonic, bool synchronised);
  [[nodiscard]] std::optional<Day> day() const { return believed_ ? std::optional(day_of(wall_)) : std::nullopt; }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  Day left_;
  bool seen_ = false, believed_ = false;
  Timestamp wall_;
  std::chrono::nanoseconds monotonic_{}, in_step_since_{};
  bool in_step_ = false;
  std::uint64_t steps_ = 0;
};

}  // namespace sekisho::mgmt
