// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Civil days of Japan, which contracts and retention are counted in, and when a clock may be believed about them.
namespace sekisho {

/// 20241128.
using Day = std::uint32_t;
inline constexpr Day kDayMost = 9999'12'31;

/// The day a moment (Unix seconds) falls on.
[[nodiscard]] Day day_at(std::int64_t unix_seconds);
/// Midnight at the day's beginning, in Unix seconds.
[[nodiscard]] std::int64_t begin_of(Day day);
/// "2024-11-28".
[[nodiscard]] std::string day_text(Day day);
/// Nothing when there is no such day.
[[nodiscard]] std::optional<Day> parse_day(std::string_view text);
/// Days since 1970 and back: what days are counted with.
[[nodiscard]] std::int64_t number_of(Day day);
[[nodiscard]] Day day_numbered(std::int64_t number);
[[nodiscard]] Day add_days(Day day, std::int64_t days);

/// An outer source holds the kernel's clock in step.
[[nodiscard]] bool clock_in_step();

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
  void see(std::uint64_t wall_ns, std::chrono::nanoseconds monotonic, bool synchronised);
  /// Today, when that is believed.
  [[nodiscard]] std::optional<Day> day() const;
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  Day left_;
  bool seen_ = false, believed_ = false;
  std::uint64_t wall_ns_ = 0;
  std::chrono::nanoseconds monotonic_{}, in_step_since_{};
  bool in_step_ = false;
  std::uint64_t steps_ = 0;
};

}  // namespace sekisho
