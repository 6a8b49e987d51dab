// SPDX-License-Identifier: Apache-2.0
#include "control/access/rfc3339.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <string>

namespace sekisho::control {
namespace {

std::optional<int> number(std::string_view text, std::size_t at, std::size_t digits) {
  if (text.size() < at + digits) return std::nullopt;
  int out = 0;
  for (const char c : text.substr(at, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + (c - '0');
  }
  return out;
}

/// "Z" or "+09:00", in seconds.
std::optional<int> offset_of(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  const auto hours = number(text, 1, 2);
  const auto minutes = number(text, 4, 2);
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' || !hours || !minutes || *hours > 23 ||
      *minutes > 59)
    return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

}  // namespace

std::string rfc3339(std::int64_t unix_seconds) {
  using namespace std::chrono;
  const sys_seconds at{seconds(unix_seconds)};
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss time(at - day);
  std::array<char, 64> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                static_cast<int>(time.seconds().count()));
  return out.data();
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  constexpr std::size_t kToSeconds = 19;
  const auto year_ = number(text, 0, 4);
  const auto month_ = number(text, 5, 2);
  const auto day_ = number(text, 8, 2);
  const auto hour_ = number(text, 11, 2);
  const auto minute_ = number(text, 14, 2);
  const auto second_ = number(text, 17, 2);
  if (!year_ || !month_ || !day_ || !hour_ || !minute_ || !second_ || text[4] != '-' || text[7] != '-' ||
      text[13] != ':' || text[16] != ':')
    return std::nullopt;
  if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
  const year_month_day date(year(*year_), month(static_cast<unsigned>(*month_)), day(static_cast<unsigned>(*day_)));
  if (!date.ok() || *year_ < 1970 || *hour_ > 23 || *minute_ > 59 || *second_ > 60) return std::nullopt;
  std::string_view rest = text.substr(kToSeconds);
  if (!rest.empty() && rest[0] == '.') {
    const std::size_t end = rest.find_first_not_of("0123456789", 1);
    if (end == 1 || end == std::string_view::npos) return std::nullopt;
    rest = rest.substr(end);
  }
  const auto offset = offset_of(rest);
  if (!offset) return std::nullopt;
  return duration_cast<seconds>(sys_days(date).time_since_epoch()).count() + *hour_ * 3600 + *minute_ * 60 + *second_ -
         *offset;
}

}  // namespace sekisho::control
