// SPDX-License-Identifier: BSD-2-Clause
#include "base/time/civil_day.h"

#include <sys/timex.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace sekisho {
namespace {

constexpr std::int64_t kJapanSeconds = std::int64_t{9} * 3600, kDaySeconds = 86'400;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

Day day_at_ns(std::uint64_t wall_ns) {
  return day_at(static_cast<std::int64_t>(wall_ns / kSecondNs));
}

}  // namespace

Day day_at(std::int64_t unix_seconds) {
  return day_numbered((unix_seconds + kJapanSeconds) / kDaySeconds);
}

std::int64_t begin_of(Day day) {
  return number_of(day) * kDaySeconds - kJapanSeconds;
}

std::int64_t number_of(Day day) {
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(day / 10000)),
                                         std::chrono::month(day / 100 % 100), std::chrono::day(day % 100)};
  return std::chrono::sys_days(date).time_since_epoch().count();
}

Day day_numbered(std::int64_t number) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(number))};
  return static_cast<Day>(static_cast<int>(date.year())) * 10000 + static_cast<unsigned>(date.month()) * 100 +
         static_cast<unsigned>(date.day());
}

Day add_days(Day day, std::int64_t days) {
  return day_numbered(number_of(day) + days);
}

std::string day_text(Day day) {
  char out[16];
  std::snprintf(out, sizeof(out), "%04u-%02u-%02u", day / 10000 % 10000, day / 100 % 100, day % 100);
  return out;
}

std::optional<Day> parse_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const std::string digits =
      std::string(text.substr(0, 4)) + std::string(text.substr(5, 2)) + std::string(text.substr(8, 2));
  Day day = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), day);
  if (status != std::errc{} || end != digits.data() + digits.size() || day < 1970'01'01) return std::nullopt;
  return day_numbered(number_of(day)) == day ? std::optional(day) : std::nullopt;
}

bool clock_in_step() {
  timex state{};
  const int said = ::adjtimex(&state);  // -1: nobody knows
  return said >= 0 && said != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
}

std::optional<Day> ClockGuard::day() const {
  return believed_ ? std::optional(day_at_ns(wall_ns_)) : std::nullopt;
}

void ClockGuard::see(std::uint64_t wall_ns, std::chrono::nanoseconds monotonic, bool synchronised) {
  const auto difference = static_cast<std::int64_t>(wall_ns - wall_ns_) - (monotonic - monotonic_).count();
  const bool stepped = seen_ && std::abs(difference) > std::chrono::nanoseconds(kStep).count();
  const Day today = day_at_ns(wall_ns);
  if (!seen_) believed_ = left_ == 0 || (today >= left_ && number_of(today) - number_of(left_) <= kAwayDaysMax);
  if (stepped) believed_ = false, in_step_ = false, ++steps_;
  seen_ = true;
  wall_ns_ = wall_ns, monotonic_ = monotonic;
  if (!synchronised) {
    in_step_ = false;
  } else if (!in_step_) {
    in_step_ = true;
    in_step_since_ = monotonic;
  }
  if (in_step_ && monotonic - in_step_since_ >= kInStep) believed_ = true;
}

}  // namespace sekisho
