// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/proto/model.pb.h"

/// When rules stand. Civil time is Japan Standard Time: UTC + 9 h, no daylight saving. Times are Unix seconds. Pure.
namespace sekisho::control {

/// "2026-12-31 22:00", years 1970 to 2199.
std::optional<std::int64_t> parse_civil(std::string_view text);
/// "2026-12-31": its first second.
std::optional<std::int64_t> parse_civil_day(std::string_view text);
/// A day's number; one more on the next day.
std::int64_t civil_day(std::int64_t unix_s);
/// The same the other way round.
std::string civil_text(std::int64_t unix_s);

/// Some days of every week, from one time of day to another; past midnight when the second is not later.
struct WeeklySlot {
  std::uint8_t days = 0;  ///< bit 0 = Monday: days the slot begins on
  std::uint16_t from_minute = 0;
  std::uint16_t minutes = 0;  ///< 1 .. 1440
};
/// "mon-fri 09:00-17:30", "sat,sun 22:00-06:00", "daily 00:00-24:00".
std::optional<WeeklySlot> parse_weekly(std::string_view text);

struct OnceSlot {
  std::int64_t from;
  std::int64_t to;  ///< the first second outside
};
/// "2026-12-29 18:00 to 2027-01-04 09:00"; the second later than the first.
std::optional<OnceSlot> parse_once(std::string_view text);

/// A valid schedule.
class Timetable {
 public:
  explicit Timetable(const model::Schedule& schedule);
  [[nodiscard]] bool holds(std::int64_t now) const;
  /// The last moment at or before `now` at which a slot began or ended; 0 when there was none since 1970.
  [[nodiscard]] std::int64_t last_edge(std::int64_t now) const;

 private:
  std::vector<WeeklySlot> weekly_;
  std::vector<OnceSlot> once_;
};

/// A rule's standing at a moment.
enum class Standing : std::uint8_t { kStands, kOutside, kOutsideStrict, kExpired };
Standing standing_of(const model::Tenant& tenant, const model::Rule& rule, std::int64_t now);

/// All moments at which a configuration judges otherwise, or has something to tell.
class Moments {
 public:
  Moments() = default;
  explicit Moments(const model::Configuration& model);
  /// The last of them at or before `now`, 0 when there is none: names what is in force. Two times with the same moment
  /// compile to the same bytes.
  [[nodiscard]] std::int64_t at(std::int64_t now) const;
  /// No rule depends on time.
  [[nodiscard]] bool none() const { return timetables_.empty() && expiries_.empty(); }

 private:
  std::vector<Timetable> timetables_;
  std::vector<std::int64_t> expiries_;  ///< sorted; and the notices before them
};

/// Rules that end within so many seconds are warned about.
inline constexpr std::int64_t kExpiryNoticeSeconds = 7 * 24 * 3600;

}  // namespace sekisho::control
