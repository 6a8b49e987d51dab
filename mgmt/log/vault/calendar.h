// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mgmt/log/vault/keyring.h"

/// Windows of civil days of Japan.
namespace sekisho::mgmt {

/// First and last day, both included.
struct Days {
  Day first = 0, last = 0;
  bool operator==(const Days&) const = default;
};

/// The last calendar month with today: the same day of the month before, clamped to its length, and one on.
Days month_with(Day today);
/// The thirty days before today.
Days thirty_before(Day today);

/// Ninety days and today: both readings of "90 days" hold.
inline constexpr unsigned kDaysKept = 91;
/// The first day that is kept.
Day first_kept(Day today, unsigned days_kept);

}  // namespace sekisho::mgmt
