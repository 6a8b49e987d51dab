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

}  // namespace sekisho::mgmt
