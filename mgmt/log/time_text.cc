// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/time_text.h"

#include <charconv>
#include <chrono>
#include <cstdio>

namespace sekisho::mgmt {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::sys_days;

constexpr hours kJapan{9};
constexpr unsigned kYearMax = 2554;  // 2^64 nanoseconds end there

/// `digits` decimal digits at `offset`, nothing else.
std::optional<unsigned> digits_at(std::string_view text, std::size_t offset, std::size_t digits) {
  unsigned value = 0;
  const char* begin = text.data() + offset;
  const auto [end, status] = std::from_chars(begin, begin + digits, value);
  if (status != std::errc{} || end != begin + digits) return std::nullopt;
  return value;
}

struct Civil {
  std::chrono::year_month_day date;
  milliseconds of_day;
};

Civil civil(Timestamp time) {
  const milliseconds local = milliseconds(static_cast<std::int64_t>(time.ns / 1'000'000)) + kJapan;
  const auto day = std::chrono::floor<days>(local);
  return {std::chrono::year_month_day(sys_days(day)), local - day};
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

std::string to_text(Timestamp time) {
  const Civil at = civil(time);
  const auto ms = static_cast<unsigned>(at.of_day.count());
  char buffer[64];
  std::snprintf(buffer, sizeof(buffer), "%04d-%02u-%02uT%02u:%02u:%02u.%03u+09:00", static_cast<int>(at.date.year()),
                static_cast<unsigned>(at.date.month()), static_cast<unsigned>(at.date.day()), ms / 3'600'000,
                ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
  return buffer;
}

std::string japan_date(Timestamp time) {
  return to_text(time).substr(0, 10);
}

std::optional<Timestamp> parse_timestamp(std::string_view text) {
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd.ddd+09:00";
  if (text.size() != kShape.size()) return std::nullopt;
  for (std::size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] != 'd' && kShape[i] != text[i]) return std::nullopt;
  }
  const auto year = digits_at(text, 0, 4), month = digits_at(text, 5, 2), day = digits_at(text, 8, 2);
  const auto hour = digits_at(text, 11, 2), minute = digits_at(text, 14, 2), second = digits_at(text, 17, 2);
  const auto ms = digits_at(text, 20, 3);
  if (!year || !month || !day || !hour || !minute || !second || !ms) return std::nullopt;
  if (*year < 1970 || *year > kYearMax || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  const milliseconds at = sys_days(date).time_since_epoch() + hours(*hour) + std::chrono::minutes(*minute) +
                          std::chrono::seconds(*second) + milliseconds(*ms) - kJapan;
  constexpr std::uint64_t kMillisecondsMax = ~std::uint64_t{0} / 1'000'000;
  if (at.count() < 0 || static_cast<std::uint64_t>(at.count()) > kMillisecondsMax) return std::nullopt;
  return Timestamp{static_cast<std::uint64_t>(at.count()) * 1'000'000};
}

Uuid make_uuid_v7(Timestamp time, const std::array<std::uint8_t, 10>& random) {
  Uuid out;
  const std::uint64_t ms = time.ns / 1'000'000;
  for (std::size_t i = 0; i < 6; ++i) out.bytes[i] = static_cast<std::uint8_t>(ms >> (40 - 8 * i));
  for (std::size_t i = 0; i < random.size(); ++i) out.bytes[6 + i] = random[i];
  out.bytes[6] = static_cast<std::uint8_t>((out.bytes[6] & 0x0fU) | 0x70U);
  out.bytes[8] = static_cast<std::uint8_t>((out.bytes[8] & 0x3fU) | 0x80U);
  return out;
}

std::string to_text(const Uuid& uuid) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[uuid.bytes[i] >> 4];
    out += kHex[uuid.bytes[i] & 15U];
  }
  return out;
}

std::optional<Uuid> parse_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  Uuid out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < out.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) {
      if (text[at++] != '-') return std::nullopt;
    }
    const int high = hex_value(text[at]), low = hex_value(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
    at += 2;
  }
  return out;
}

std::string to_text(HexId id) {
  char buffer[17];
  std::snprintf(buffer, sizeof(buffer), "%016llx", static_cast<unsigned long long>(id.value));
  return buffer;
}

}  // namespace sekisho::mgmt
