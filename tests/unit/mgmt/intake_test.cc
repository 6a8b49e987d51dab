// SPDX-License-Identifier: Apache-2.0
// Goal: records wait for their names for a bounded time, in order, and none is lost when names come late or never.
// Method: an intake with a clock of our own and names given by hand.
#include "mgmt/log/intake.h"

#include <gtest/gtest.h>

#include "mgmt/log/vault/vault.h"
#include "tests/unit/mgmt/support.h"

namespace sekisho::mgmt {
namespace {

using namespace test;
using std::chrono::seconds;

constexpr Timestamp kWall{kNoon + 60 * kSecond};

struct Fixture {
  TempDir dir;
  Vault store{dir.path()};
  Journal journal{store, fixed_random()};
  Spill spill{dir.path() + "/spill.bin"};
  NameCache cache;
  std::vector<std::uint32_t> asked;
  RemoteUsers users{store};
  Intake intake{cache, journal, spill, users, [this](std::uint32_t generation) { asked.push_back(generation); }};
  Intake::Clock::time_point now{};

  void offer(std::vector<LogRecord> records) {
    intake.offer(records, now);
    intake.process(now, kWall);
  }
  void pass(seconds time) {
    now += time;
    intake.process(now, kWall);
  }
  std::vector<LogEntry> stored(const StreamName& stream = kAcmeComm) { return all_of(store, stream); }
};

TEST(Intake, RecordsWaitForTheirNames) {
  Fixture f;
  f.offer({comm_record()});
  EXPECT_EQ(f.asked, std::vector<std::uint32_t>{7});
  EXPECT_TRUE(f.stored().empty());

  f.cache.add(names(7));
  f.pass(seconds(0));

  ASSERT_EQ(f.stored().size(), 1U);
  EXPECT_EQ(std::get<CommFields>(f.stored()[0].body).rule_name, "web allowed");
}

TEST(Intake, RecordsBehindAWaitingOneKeepTheirPlace) {
  Fixture f;
  f.cache.add(names(6));
  f.offer({comm_record(kAcme, 7, kNoon), comm_record(kAcme, 6, kNoon + 1'000'000)});
  EXPECT_TRUE(f.stored().empty());

  f.cache.add(names(7));
  f.pass(seconds(0));

  const auto stored = f.stored();
  ASSERT_EQ(stored.size(), 2U);
  EXPECT_EQ(stored[0].rev, 7U);
  EXPECT_EQ(stored[1].rev, 6U);
}

TEST(Intake, TwoSecondsWithoutNamesGoOnWithTheNearestGeneration) {
  Fixture f;
  f.cache.add(names(6, "older name"));
  f.offer({comm_record()});
  f.pass(seconds(1));
  EXPECT_TRUE(f.stored().empty());

  f.pass(seconds(1));

  ASSERT_EQ(f.stored().size(), 1U);
  EXPECT_EQ(f.stored()[0].rev, 7U);
  EXPECT_EQ(std::get<CommFields>(f.stored()[0].body).rule_name, "");
}

TEST(Intake, UnknownTenantIsSpilledAndComesBackWithItsNames) {
  Fixture f;
  f.offer({comm_record(), comm_record(kGlobex)});
  f.pass(seconds(2));
  EXPECT_TRUE(f.stored().empty());
  EXPECT_EQ(f.intake.counters().spilled, 2U);
  EXPECT_EQ(f.intake.waiting(), 0U);

  f.cache.add(names(7));
  f.intake.replay_spill(kWall);
  f.intake.replay_spill(kWall);

  EXPECT_EQ(f.stored().size(), 1U);
  EXPECT_EQ(f.stored({"glb00000002", LogKind::kComm}).size(), 1U);
  EXPECT_TRUE(f.spill.read()->empty());
}

TEST(Intake, SpillKeepsWhatNewNamesDoNotKnow) {
  Fixture f;
  f.offer({comm_record(kAcme, 7), comm_record(99, 8)});
  f.pass(seconds(2));
  f.cache.add(names(7));

  f.intake.replay_spill(kWall);

  EXPECT_EQ(f.stored().size(), 1U);
  EXPECT_EQ(f.spill.read()->size(), 1U);
}

TEST(Intake, GenerationUnknownToControldDoesNotWait) {
  Fixture f;
  f.cache.add(names(6));
  f.cache.add_unknown(7);

  f.offer({comm_record()});

  EXPECT_EQ(f.stored().size(), 1U);
  EXPECT_TRUE(f.asked.empty());
}

TEST(Intake, OneTooManyWaitingRecordsGoOnAtOnce) {
  Fixture f;
  f.cache.add(names(6));
  std::vector<LogRecord> flood(Intake::kWaitingMax, comm_record());
  f.offer(flood);
  EXPECT_TRUE(f.stored().empty());

  f.offer({comm_record()});

  EXPECT_EQ(f.stored().size(), 1U);
  EXPECT_EQ(f.intake.waiting(), Intake::kWaitingMax);
}

TEST(Intake, MergesShardsByTime) {
  Fixture f;
  f.cache.add(names(7));

  f.offer({comm_record(kAcme, 7, kNoon + 3), comm_record(kAcme, 7, kNoon + 3'000'000),
           comm_record(kAcme, 7, kNoon + 2'000'000)});

  const auto stored = f.stored();
  ASSERT_EQ(stored.size(), 3U);
  EXPECT_EQ(stored[1].ts.ns, kNoon + 2'000'000);
  EXPECT_EQ(stored[2].ts.ns, kNoon + 3'000'000);
}

TEST(Intake, HostileRecordsAreCountedAndHarmNoOther) {
  Fixture f;
  f.cache.add(names(7));
  LogRecord garbage{};
  garbage.bytes.fill(0xff);

  f.offer({garbage, comm_record(99), comm_record()});

  EXPECT_EQ(f.intake.counters().malformed, 2U);
  EXPECT_EQ(f.stored().size(), 1U);
}

TEST(Spill, RefusesMoreThanItsBoundAndSurvivesATornRecord) {
  const TempDir dir;
  const std::string path = dir.path() + "/spill.bin";
  Spill spill(path);
  ASSERT_TRUE(spill.add({comm_record()}));
  std::ofstream(path, std::ios::binary | std::ios::app) << "torn";
  ASSERT_TRUE(spill.add({comm_record(kGlobex)}));

  ASSERT_EQ(spill.read()->size(), 2U);
  EXPECT_EQ((*spill.read())[1].bytes, comm_record(kGlobex).bytes);
  const std::vector<LogRecord> many(Spill::kRecordsMax - 1, comm_record());
  EXPECT_EQ(spill.add(many).error().code, ErrorCode::kLimit);
}

}  // namespace
}  // namespace sekisho::mgmt
