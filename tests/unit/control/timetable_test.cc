// SPDX-License-Identifier: Apache-2.0
// Goal: rules stand when their schedule says, to the second. Method: edges of slots, of days, months and years, and a
// clock that is compared, minute by minute, with a calendar.
#include "control/config/timetable.h"

#include <gtest/gtest.h>

#include <ctime>

namespace sekisho::control {
namespace {

std::int64_t at(std::string_view civil) {
  const auto out = parse_civil(civil);
  EXPECT_TRUE(out.has_value()) << civil;
  return out.value_or(0);
}

model::Schedule schedule(std::initializer_list<const char*> weekly, std::initializer_list<const char*> once = {}) {
  model::Schedule out;
  for (const char* text : weekly) out.add_weekly(text);
  for (const char* text : once) out.add_once(text);
  return out;
}

TEST(CivilTime, IsNineHoursAheadAndReadsBack) {
  EXPECT_EQ(at("1970-01-01 09:00"), 0);
  EXPECT_EQ(at("2026-11-27 00:00"), 1795705200);
  for (const char* text : {"2026-12-31 23:59", "2028-02-29 00:00", "2199-12-31 12:34"})
    EXPECT_EQ(civil_text(at(text)), text);
}

TEST(CivilTime, WhatIsNoDateIsRefusedAndItsNeighbourIsNot) {
  for (const char* text : {"2026-02-29 00:00", "2026-13-01 00:00", "2026-00-10 00:00", "2026-04-31 00:00",
                           "2026-01-01 24:00", "2026-01-01 12:60", "2026-1-01 12:00", "2026-01-01T12:00",
                           "2026-01-01 12:00 ", "1969-12-31 00:00", "2200-01-01 00:00", "", "+026-01-01 12:00"}) {
    EXPECT_FALSE(parse_civil(text).has_value()) << text;
  }
  EXPECT_TRUE(parse_civil("2028-02-29 00:00").has_value());
}

TEST(WeeklySlots, ReadDaysListsAndRangesAcrossTheWeekend) {
  EXPECT_EQ(parse_weekly("mon-fri 09:00-17:30")->days, 0x1f);
  EXPECT_EQ(parse_weekly("sat,sun 09:00-17:30")->days, 0x60);
  EXPECT_EQ(parse_weekly("fri-mon 09:00-17:30")->days, 0x71);
  EXPECT_EQ(parse_weekly("daily 00:00-24:00")->minutes, 1440);
  EXPECT_EQ(parse_weekly("sun 22:00-06:00")->minutes, 480);
  EXPECT_EQ(parse_weekly("sun 09:00-09:00")->minutes, 1440);
  for (const char* text : {"mo 09:00-17:30", "mon 9:00-17:30", "mon 09:00-24:01", "mon 24:00-24:00", "mon09:00-17:30",
                           "mon, 09:00-17:30", "mon- 09:00-17:30", "mon 09:00 17:30", "mon-fri  09:00-17:30", ""}) {
    EXPECT_FALSE(parse_weekly(text).has_value()) << text;
  }
}

TEST(OnceSlots, EndAfterTheyBegin) {
  EXPECT_TRUE(parse_once("2026-12-29 18:00 to 2027-01-04 09:00").has_value());
  EXPECT_FALSE(parse_once("2026-12-29 18:00 to 2026-12-29 18:00").has_value());
  EXPECT_FALSE(parse_once("2026-12-29 18:00 - 2027-01-04 09:00").has_value());
}

TEST(Timetable, HoldsFromTheFirstSecondToTheLast) {
  const Timetable office(schedule({"mon-fri 09:00-17:30"}));
  const std::int64_t monday = at("2026-11-30 09:00");
  EXPECT_FALSE(office.holds(monday - 1));
  EXPECT_TRUE(office.holds(monday));
  EXPECT_TRUE(office.holds(at("2026-11-30 17:30") - 1));
  EXPECT_FALSE(office.holds(at("2026-11-30 17:30")));
  EXPECT_FALSE(office.holds(at("2026-11-29 12:00")));  // Sunday
  EXPECT_TRUE(office.holds(at("2027-01-01 12:00")));   // a Friday
}

TEST(Timetable, NightsCrossMidnightMonthsAndYears) {
  const Timetable nights(schedule({"thu 22:00-06:00"}));
  EXPECT_TRUE(nights.holds(at("2026-12-31 22:00")));
  EXPECT_TRUE(nights.holds(at("2027-01-01 05:59")));
  EXPECT_FALSE(nights.holds(at("2027-01-01 06:00")));
  EXPECT_FALSE(nights.holds(at("2026-12-31 05:00")));  // Wednesday's night is not Thursday's
  const Timetable holidays(schedule({}, {"2026-12-29 18:00 to 2027-01-04 09:00"}));
  EXPECT_TRUE(holidays.holds(at("2027-01-01 00:00")));
  EXPECT_FALSE(holidays.holds(at("2027-01-04 09:00")));
  EXPECT_FALSE(holidays.holds(at("2026-12-29 18:00") - 1));
}

TEST(Timetable, AgreesWithACalendarAtEveryQuarterOfAnHourOfTwoYears) {
  const Timetable timetable(schedule({"mon-fri 09:00-17:30", "sat 22:15-06:00"}));
  bool before = timetable.holds(at("2027-12-30 00:00") - 1);
  for (std::int64_t now = at("2027-12-30 00:00"); now < at("2029-01-02 00:00"); now += 15 * 60) {
    const std::time_t local = now + 9 * 3600;
    std::tm parts{};
    gmtime_r(&local, &parts);
    const int minute = parts.tm_hour * 60 + parts.tm_min;
    const bool office = parts.tm_wday >= 1 && parts.tm_wday <= 5 && minute >= 540 && minute < 1050;
    const bool night = (parts.tm_wday == 6 && minute >= 1335) || (parts.tm_wday == 0 && minute < 360);
    ASSERT_EQ(timetable.holds(now), office || night) << civil_text(now);
    if (timetable.holds(now) != before) {
      ASSERT_EQ(timetable.last_edge(now), now) << civil_text(now);
    }
    ASSERT_LE(timetable.last_edge(now), now);
    before = timetable.holds(now);
  }
}

TEST(Moments, AreTheSameBetweenTwoEdgesAndDifferAcrossThem) {
  model::Configuration model;
  auto& tenant = *model.add_tenants();
  *tenant.add_schedules() = schedule({"daily 09:00-17:30"});
  tenant.add_policies()->add_rules()->set_valid_until("2026-12-01 12:00");
  const Moments moments(model);
  EXPECT_EQ(moments.at(at("2026-12-01 11:59")), at("2026-12-01 09:00"));
  EXPECT_EQ(moments.at(at("2026-12-01 12:00")), at("2026-12-01 12:00"));
  EXPECT_EQ(moments.at(at("2026-12-01 17:29")), at("2026-12-01 12:00"));
  EXPECT_EQ(moments.at(at("2026-12-02 08:59")), at("2026-12-01 17:30"));
  EXPECT_TRUE(Moments(model::Configuration()).none());
}

TEST(Moments, OneIsSevenDaysBeforeARuleEnds) {
  model::Configuration model;
  model.add_tenants()->add_policies()->add_rules()->set_valid_until("2026-12-01 12:00");
  const Moments moments(model);
  EXPECT_EQ(moments.at(at("2026-11-24 11:59")), 0);
  EXPECT_EQ(moments.at(at("2026-11-24 12:00")), at("2026-11-24 12:00"));
  EXPECT_EQ(moments.at(at("2026-12-01 11:59")), at("2026-11-24 12:00"));
}

}  // namespace
}  // namespace sekisho::control
