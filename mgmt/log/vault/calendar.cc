// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/calendar.h"

#include <algorithm>

namespace sekisho::mgmt {
namespace {

unsigned days_in(unsigned year, unsigned month) {
  const Day first = year * 10000 + month * 100 + 1;
  const Day next = month == 12 ? (year + 1) * 10000 + 101 : first + 100;
  return static_cast<unsigned>(number_of(next) - number_of(first));
}

}  // namespace

Day add_days(Day day, std::int64_t days) {
  return day_numbered(number_of(day) + days);
}

Days month_with(Day today) {
  const unsigned year = today / 10000, month = today / 100 % 100, day = today % 100;
  const unsigned before = month == 1 ? 12 : month - 1, of_year = month == 1 ? year - 1 : year;
  const Day same = of_year * 10000 + before * 100 + std::min(day, days_in(of_year, before));
  return {add_days(same, 1), today};
}

Days thirty_before(Day today) {
  return {add_days(today, -30), add_days(today, -1)};
}

Day first_kept(Day today, unsigned days_kept) {
  return add_days(today, 1 - static_cast<std::int64_t>(std::max(days_kept, 1U)));
}

void ClockGuard::see(Timestamp wall, std::chrono::nanoseconds monotonic, bool synchronised) {
  const auto difference = static_cast<std::int64_t>(wall.ns - wall_.ns) - (monotonic - monotonic_).count();
  const bool stepped = seen_ && std::abs(difference) > std::chrono::nanoseconds(kStep).count();
  if (!seen_)
    believed_ = left_ == 0 || (day_of(wall) >= left_ && number_of(day_of(wall)) - number_of(left_) <= kAwayDaysMax);
  if (stepped) believed_ = false, in_step_ = false, ++steps_;
  seen_ = true;
  wall_ = wall, monotonic_ = monotonic;
  if (!synchronised) {
    in_step_ = false;
  } else if (!in_step_) {
    in_step_ = true;
    in_step_since_ = monotonic;
  }
  if (in_step_ && monotonic - in_step_since_ >= kInStep) believed_ = true;
}

}  // namespace sekisho::mgmt
