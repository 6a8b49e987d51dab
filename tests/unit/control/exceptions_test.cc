// SPDX-License-Identifier: Apache-2.0
// Goal: an exception for the profile legacy is put into force for today at the earliest and a year at the longest, by the day in Japan;
// one that has ended holds up nobody else's change. Method: one document, the clock given; the day before, the day, the day after.
#include <gtest/gtest.h>

#include "control/config/exceptions.h"
#include "control/config/timetable.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

/// The gateway of the first tenant by the profile legacy, until `day`.
std::string legacy(const std::string& day, const std::string& owner = "scales") {
  return with(std::string(kRemote), "        profile: windows-default\n",
              "        profile: legacy\n        legacy: { owner: " + owner + ", valid_until: \"" + day + "\" }\n");
}

std::string said(const std::string& text, std::string_view civil, const std::string& running = "{}") {
  std::string out;
  const auto before = [&running] { return decode_document(running).model; };
  for (const Finding& finding : check_exceptions(decode_document(text), before, *parse_civil(civil))) out += to_line("f", finding) + '\n';
  return out;
}

TEST(Exceptions, StandUntilTheEndOfTheirLastDayInJapan) {
  const std::string text = legacy("2026-12-31");
  EXPECT_EQ(said(text, "2026-12-30 12:00"), "");
  EXPECT_EQ(said(text, "2026-12-31 00:00"), "");
  EXPECT_EQ(said(text, "2026-12-31 23:59"), "") << "by UTC the day is older";
  const std::string over = said(text, "2027-01-01 00:00");
  EXPECT_NE(over.find("error: tenants[0].gateways[0].legacy.valid_until: this day is over"), std::string::npos) << over;
  EXPECT_EQ(legacy_end(decode_document(text).model.tenants(0).gateways(0)), parse_civil("2027-01-01 00:00"));
  EXPECT_EQ(legacy_end(decode_document(kRemote).model.tenants(0).gateways(0)), std::nullopt) << "of another profile";
}

TEST(Exceptions, AreForAYearAtMost) {
  EXPECT_EQ(said(legacy("2028-01-01"), "2026-12-31 12:00"), "") << "366 days";
  const std::string longer = said(legacy("2028-01-02"), "2026-12-31 12:00");
  EXPECT_NE(longer.find("legacy.valid_until: an exception is for 366 days at most"), std::string::npos) << longer;
}

TEST(Exceptions, ThatEndedAreWarnedAboutWhereTheyStoodAndRefusedWhereTheyWouldBeNew) {
  const std::string stood = legacy("2026-12-31");
  const std::string warned = said(stood, "2027-01-05 12:00", stood);
  EXPECT_NE(warned.find("warning: tenants[0].gateways[0].legacy.valid_until: the exception of \"vpn\" has ended"), std::string::npos) << warned;
  EXPECT_EQ(warned.find("error"), std::string::npos) << warned;
  for (const std::string& changed : {legacy("2026-12-31", "somebody"), legacy("2026-12-30"), with(stood, "name: vpn\n", "name: vpn2\n")}) {
    EXPECT_NE(said(changed, "2027-01-05 12:00", stood).find("error"), std::string::npos) << changed;
  }
  EXPECT_EQ(said(legacy("2027-02-01"), "2027-01-05 12:00", stood), "") << "it was renewed";
}

}  // namespace
}  // namespace sekisho::control::test
