// SPDX-License-Identifier: Apache-2.0
// Goal: the table of rules says which stand, which the platform put there, and which nobody used.
#include <gtest/gtest.h>

#include "control/config/timetable.h"
#include "control/show/tables.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

const std::string kDocument = "guards: [ { name: no telnet, action: drop, protocol: tcp, destination_ports: [23] } ]\n" + std::string(kTimed);

class ShowRules : public testing::Test {
 protected:
  /// One cell of every row, "name=cell".
  std::string cells(std::string_view key, std::string_view civil, std::uint32_t unused_days = 0) {
    const ShowContext context{decoded_.model, names_, ids_, {}, *parse_civil(civil), unused_days};
    table_ = show_rules(context, counters_);
    const auto column = [&](std::string_view wanted) {
      int at = 0;
      while (table_.columns(at).key() != wanted) ++at;
      return at;
    };
    std::string out;
    for (const auto& row : table_.rows()) out += row.cells(column("name")) + '=' + row.cells(column(key)) + ' ';
    return out;
  }
  void hit(std::string_view name, std::string_view civil) {
    for (const auto& rule : names_.rules()) {
      if (rule.name() != name) continue;
      auto& counter = *counters_.add_rules();
      counter.set_rule(rule.id());
      counter.set_last_hit_ns(static_cast<std::uint64_t>(*parse_civil(civil)) * 1'000'000'000);
    }
  }

  Ids ids_;
  Decoded decoded_ = decode_document(kDocument);
  ipc::NameTable names_ = make_name_table(decoded_.model, ids_, 1);
  ipc::Counters counters_;
  ipc::Table table_;
};

TEST_F(ShowRules, SayWhichStandAtThisMoment) {
  EXPECT_EQ(cells("stands", "2026-11-27 12:00"),
            "no telnet=yes hours=yes until=until 2027-01-01 00:00 always=yes 既定拒否=yes 既定拒否=yes ");
  EXPECT_EQ(cells("stands", "2027-01-02 12:00"), "no telnet=yes hours=outside office until=expired always=yes 既定拒否=yes 既定拒否=yes ");
  EXPECT_EQ(cells("policy", "2026-11-27 12:00"), "no telnet=platform hours=p until=p always=p 既定拒否=p 既定拒否=- ");
}

TEST_F(ShowRules, UnusedAreThoseNotHitForSoManyDaysAndTheNoteSaysSinceWhen) {
  hit("hours", "2026-11-20 12:00");
  hit("always", "2026-11-20 12:01");
  counters_.set_since_ns(static_cast<std::uint64_t>(*parse_civil("2026-01-01 09:00")) * 1'000'000'000);
  EXPECT_EQ(cells("policy", "2026-11-27 12:01", 7), "no telnet=platform hours=p until=p 既定拒否=p 既定拒否=- ");
  EXPECT_NE(table_.note().find("since 2026-01-01 09:00:00 JST"), std::string::npos) << table_.note();
  EXPECT_EQ(cells("policy", "2026-11-27 12:01", 8), "no telnet=platform until=p 既定拒否=p 既定拒否=- ");
}

}  // namespace
}  // namespace sekisho::control::test
