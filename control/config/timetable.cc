// SPDX-License-Identifier: Apache-2.0
#include "control/config/timetable.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

namespace sekisho::control {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr std::int64_t kMinute = 60, kDay = 24 * 3600, kJstOffset = 9 * 3600;
constexpr std::array<std::string_view, 7> kDays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/// Digits of exactly this many characters.
std::optional<unsigned> number(std::string_view text, std::size_t characters) {
  if (text.size() != characters) return std::nullopt;
  unsigned out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + static_cast<unsigned>(c - '0');
  }
  return out;
}

/// "09:30" as minutes; 24:00 only where a day may end.
std::optional<unsigned> time_of_day(std::string_view text, bool may_end) {
  if (text.size() != 5 || text[2] != ':') return std::nullopt;
  const auto hour = number(text.substr(0, 2), 2);
  const auto minute = number(text.substr(3), 2);
  if (!hour || !minute || *minute > 59 || *hour > 24) return std::nullopt;
  if (*hour == 24 && (*minute != 0 || !may_end)) return std::nullopt;
  return *hour * 60 + *minute;
}

std::optional<unsigned> day_number(std::string_view text) {
  const auto at = std::find(kDays.begin(), kDays.end(), text);
  return at == kDays.end() ? std::nullopt : std::optional(static_cast<unsigned>(at - kDays.begin()));
}

/// "daily", "mon", "mon-fri", "sat,sun", "fri-mon".
std::optional<std::uint8_t> parse_days(std::string_view text) {
  if (text == "daily") return std::uint8_t{0x7f};
  unsigned out = 0;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    const std::size_t dash = part.find('-');
    const auto first = day_number(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : day_number(part.substr(dash + 1));
    if (!first || !last) return std::nullopt;
    for (unsigned day = *first;; day = (day + 1) % 7) {
      out |= 1U << day;
      if (day == *last) break;
    }
    at = end + 1;
  }
  return static_cast<std::uint8_t>(out);
}

std::int64_t local_day(std::int64_t unix_s) {
  const std::int64_t local = unix_s + kJstOffset;
  return local >= 0 ? local / kDay : -((-local + kDay - 1) / kDay);
}

/// 0 = Monday. 1970-01-01 was a Thursday.
unsigned weekday(std::int64_t local_day_number) {
  return static_cast<unsigned>(((local_day_number + 3) % 7 + 7) % 7);
}

std::int64_t start_of(const WeeklySlot& slot, std::int64_t local_day_number) {
  return local_day_number * kDay + slot.from_minute * kMinute - kJstOffset;
}

bool begins_on(const WeeklySlot& slot, std::int64_t local_day_number) {
  return ((unsigned{slot.days} >> weekday(local_day_number)) & 1U) != 0;
}

}  // namespace

std::optional<std::int64_t> parse_civil(std::string_view text) {
  if (text.size() != 16 || text[10] != ' ') return std::nullopt;
  const auto day = parse_civil_day(text.substr(0, 10));
  const auto minute = time_of_day(text.substr(11), false);
  if (!day || !minute) return std::nullopt;
  return *day + *minute * kMinute;
}

std::optional<std::int64_t> parse_civil_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = number(text.substr(0, 4), 4);
  const auto month = number(text.substr(5, 2), 2);
  const auto day = number(text.substr(8, 2), 2);
  if (!year || !month || !day || *year < 1970 || *year > 2199) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  return sys_days(date).time_since_epoch().count() * kDay - kJstOffset;
}

std::int64_t civil_day(std::int64_t unix_s) { return local_day(unix_s); }

std::string civil_text(std::int64_t unix_s) {
  const std::int64_t day = local_day(unix_s);
  const std::chrono::year_month_day date{sys_days(days(day))};
  const std::int64_t minute = (unix_s + kJstOffset - day * kDay) / kMinute;
  std::array<char, 64> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02u %02u:%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<unsigned>(minute / 60), static_cast<unsigned>(minute % 60));
  return out.data();
}

std::optional<WeeklySlot> parse_weekly(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view times = text.substr(space + 1);
  const auto on = parse_days(text.substr(0, space));
  if (!on || times.size() != 11 || times[5] != '-') return std::nullopt;
  const auto from = time_of_day(times.substr(0, 5), false);
  const auto to = time_of_day(times.substr(6), true);
  if (!from || !to) return std::nullopt;
  const unsigned minutes = *to > *from ? *to - *from : *to + 24 * 60 - *from;
  return WeeklySlot{*on, static_cast<std::uint16_t>(*from), static_cast<std::uint16_t>(minutes)};
}

std::optional<OnceSlot> parse_once(std::string_view text) {
  constexpr std::string_view kTo = " to ";
  if (text.size() != 36 || text.substr(16, kTo.size()) != kTo) return std::nullopt;
  const auto from = parse_civil(text.substr(0, 16));
  const auto to = parse_civil(text.substr(20));
  if (!from || !to || *to <= *from) return std::nullopt;
  return OnceSlot{*from, *to};
}

Timetable::Timetable(const model::Schedule& schedule) {
  for (const auto& text : schedule.weekly()) weekly_.push_back(*parse_weekly(text));
  for (const auto& text : schedule.once()) once_.push_back(*parse_once(text));
}

bool Timetable::holds(std::int64_t now) const {
  const auto inside = [now](std::int64_t from, std::int64_t to) { return from <= now && now < to; };
  if (std::any_of(once_.begin(), once_.end(), [&](const OnceSlot& slot) { return inside(slot.from, slot.to); }))
    return true;
  return std::any_of(weekly_.begin(), weekly_.end(), [&](const WeeklySlot& slot) {
    for (std::int64_t day = local_day(now) - 1; day <= local_day(now); ++day) {  // yesterday's may last until today
      const std::int64_t from = start_of(slot, day);
      if (begins_on(slot, day) && inside(from, from + slot.minutes * kMinute)) return true;
    }
    return false;
  });
}

std::int64_t Timetable::last_edge(std::int64_t now) const {
  std::int64_t out = 0;
  const auto edge = [&](std::int64_t at) { out = at <= now ? std::max(out, at) : out; };
  for (const OnceSlot& slot : once_) edge(slot.from), edge(slot.to);
  for (const WeeklySlot& slot : weekly_) {
    for (std::int64_t day = local_day(now) - 8; day <= local_day(now); ++day) {
      if (!begins_on(slot, day)) continue;
      edge(start_of(slot, day));
      edge(start_of(slot, day) + slot.minutes * kMinute);
    }
  }
  return out;
}

Standing standing_of(const model::Tenant& tenant, const model::Rule& rule, std::int64_t now) {
  if (rule.has_valid_until() && now >= *parse_civil(rule.valid_until())) return Standing::kExpired;
  if (!rule.has_schedule()) return Standing::kStands;
  for (const auto& schedule : tenant.schedules()) {
    if (schedule.name() != rule.schedule()) continue;
    if (Timetable(schedule).holds(now)) return Standing::kStands;
  }
  return rule.strict() ? Standing::kOutsideStrict : Standing::kOutside;
}

Moments::Moments(const model::Configuration& model) {
  for (const auto& tenant : model.tenants()) {
    for (const auto& schedule : tenant.schedules()) timetables_.emplace_back(schedule);
    for (const auto& policy : tenant.policies()) {
      for (const auto& rule : policy.rules()) {
        if (!rule.has_valid_until()) continue;
        expiries_.push_back(*parse_civil(rule.valid_until()));
        expiries_.push_back(expiries_.back() - kExpiryNoticeSeconds);
      }
    }
  }
  std::sort(expiries_.begin(), expiries_.end());
}

std::int64_t Moments::at(std::int64_t now) const {
  const auto after = std::upper_bound(expiries_.begin(), expiries_.end(), now);
  std::int64_t out = after == expiries_.begin() ? 0 : *std::prev(after);
  for (const Timetable& timetable : timetables_) out = std::max(out, timetable.last_edge(now));
  return std::max<std::int64_t>(0, out);
}

}  // namespace sekisho::control
