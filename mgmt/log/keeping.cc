// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/keeping.h"

#include <array>
#include <map>

#include "base/describe.h"
#include "mgmt/log/files.h"
#include "mgmt/log/time_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::uint64_t kTenMinutes = 600'000'000'000, kPercent = 100;
constexpr auto kFreeBelow =
    std::to_array<std::uint64_t>({15, 10, 8, 6, 4, 2});  ///< percent, of each level from kWarning on
constexpr std::uint64_t kRelax = 2;

}  // namespace

std::string_view text_of_pressure(Pressure pressure) {
  constexpr auto kNames =
      std::to_array<std::string_view>({"none", "warning", "comm_starts", "comm_ends", "comm", "acl", "full"});
  return kNames.at(static_cast<std::size_t>(pressure));
}

Pressure pressure_for(std::uint64_t free_bytes, std::uint64_t all_bytes, Pressure before) {
  if (all_bytes == 0) return Pressure::kNone;
  const auto level_at = [&](std::uint64_t slack) {
    std::size_t level = 0;
    for (const std::uint64_t percent : kFreeBelow)
      level += free_bytes * kPercent < (percent + slack) * all_bytes ? 1U : 0U;
    return static_cast<Pressure>(level);
  };
  return std::max(level_at(0), std::min(level_at(kRelax), before));
}

bool takes(Pressure pressure, const LogEntry& entry) {
  if (const auto* comm = std::get_if<CommFields>(&entry.body)) {
    const bool start = comm->phase == CommPhase::kStart || comm->phase == CommPhase::kUpdate;
    return pressure < (start                            ? Pressure::kCommStarts
                       : comm->phase == CommPhase::kEnd ? Pressure::kCommEnds
                                                        : Pressure::kCommDrops);
  }
  const auto* acl = std::get_if<AclFields>(&entry.body);
  return acl == nullptr || pressure < (acl->phase == AclPhase::kDeny ? Pressure::kFull : Pressure::kAcl);
}

Day day_left(const std::string& folder) {
  const auto text = read_file(folder + "/day", 64);
  const auto day = text ? parse_day(*text) : std::nullopt;
  return day.value_or(0);
}

Keeping::Keeping(Vault& vault, Erasures& erasures, DaysKept days, Note note)
    : vault_(vault),
      erasures_(erasures),
      days_(std::move(days)),
      note_(std::move(note)),
      guard_(day_left(vault.keyring().folder())) {}

void Keeping::see(Timestamp wall, std::chrono::nanoseconds monotonic, bool synchronised) {
  guard_.see(wall.ns, monotonic, synchronised);
  if (guard_.steps() != steps_) {
    steps_ = guard_.steps();
    note_("the clock was set: nothing is removed by its day until it has been in step for ten minutes");
  }
  const auto today = guard_.day();
  if (!today || *today == done_ || wall.ns < start_of(*today).ns + kTenMinutes) return;
  act(*today, wall);
}

void Keeping::act(Day today, Timestamp wall) {
  // Erasure first: what a contract's end demands goes before what its retention would still keep.
  const auto erased = erasures_.run(today, wall);
  if (!erased) return note_("erasure: " + describe(erased.error()));
  if (*erased > 0) note_(std::to_string(*erased) + " erasures carried out");
  std::map<StreamName, Day> first;
  for (const StreamName& stream : vault_.streams()) first[stream] = first_kept(today, days_(stream));
  const auto expired = vault_.expire(first, wall);
  if (!expired) return note_("retention: " + describe(expired.error()));
  if (expired->segments > 0) {
    note_(std::to_string(expired->segments) + " segments (" + std::to_string(expired->bytes) +
          " bytes) of days that are over were removed");
  }
  done_ = today;
  if (const auto saved = replace_for_good(vault_.disk(), vault_.keyring().folder() + "/day", day_text(today)); !saved) {
    note_("the day cannot be remembered: " + describe(saved.error()));
  }
}

}  // namespace sekisho::mgmt
