// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "mgmt/log/vault/calendar.h"
#include "mgmt/log/vault/erasure.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// How full the disk is, and what is not taken any more at that: each level, and all before it. audit, vpn, devauth and
/// sec are always taken.
enum class Pressure : std::uint8_t { kNone = 0, kWarning, kCommStarts, kCommEnds, kCommDrops, kAcl, kFull };
std::string_view text_of_pressure(Pressure pressure);
/// Of what is free: a warning below 15 %, then 10, 8, 6, 4 and 2 %; relaxed a level only 2 % above it.
Pressure pressure_for(std::uint64_t free_bytes, std::uint64_t all_bytes, Pressure before);
/// Whether a record is taken.
bool takes(Pressure pressure, const LogEntry& entry);

/// What time does to the history: days that end, erasures that are due. Acts once a day, after 00:10 in Japan, and only
/// on a clock that ClockGuard believes. ROOT/keys/day remembers the last day that was believed. Thread: the loop's.
class Keeping {
 public:
  using Note = std::function<void(const std::string&)>;
  using DaysKept = std::function<unsigned(const StreamName&)>;

  Keeping(Vault& vault, Erasures& erasures, DaysKept days, Note note);
  /// Call at least every minute.
  void see(Timestamp wall, std::chrono::nanoseconds monotonic, bool synchronised);

 private:
  void act(Day today, Timestamp wall);

  Vault& vault_;
  Erasures& erasures_;
  DaysKept days_;
  Note note_;
  ClockGuard guard_;
  Day done_ = 0;
  std::uint64_t steps_ = 0;
};

/// The last day that was believed, as Keeping left it; 0: none.
Day day_left(const std::string& folder);

}  // namespace sekisho::mgmt
