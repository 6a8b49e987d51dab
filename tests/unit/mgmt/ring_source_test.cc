// SPDX-License-Identifier: Apache-2.0
// Goal: records cross from dataplaned's rings once, also when either side restarts.
// Method: real rings and a real rings.sock; the test plays dataplaned.
#include "mgmt/log/ring_source.h"

#include <gtest/gtest.h>

#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

struct Fixture {
  TempDir dir;
  std::string path = dir.path() + "/rings.sock";
  RingSource source{path};
  RingSource::Clock::time_point now = RingSource::Clock::now();

  void poll() {
    now += RingSource::kRetry;
    source.poll(now);
  }
  std::size_t take() {
    std::vector<LogRecord> out;
    source.gather(out);
    source.release();
    return out.size();
  }
};

TEST(RingSource, TakesRecordsOfEveryShardOnce) {
  Fixture f;
  Dataplane dataplane(f.path);
  f.poll();
  dataplane.serve(2);
  f.poll();
  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  ASSERT_TRUE(dataplane.ring(1).push(comm_record()));

  EXPECT_EQ(f.take(), 2U);
  EXPECT_EQ(f.take(), 0U);
}

TEST(RingSource, RecordsThatWereNotReleasedAreFoundByTheNextReader) {
  Fixture f;
  Dataplane dataplane(f.path);
  f.poll();
  dataplane.serve(2);
  f.poll();
  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  std::vector<LogRecord> never_stored;
  f.source.gather(never_stored);
  ASSERT_EQ(never_stored.size(), 1U);

  RingSource after_crash(f.path);
  after_crash.poll(f.now);
  dataplane.serve(2);
  after_crash.poll(f.now);
  std::vector<LogRecord> again;
  after_crash.gather(again);

  EXPECT_EQ(again.size(), 1U);
}

TEST(RingSource, DrainsTheOldRingsWhenDataplanedRestarts) {
  Fixture f;
  auto old = std::make_unique<Dataplane>(f.path);
  f.poll();
  old->serve(2);
  f.poll();
  ASSERT_TRUE(old->ring(0).push(comm_record(kAcme, 7)));
  old.reset();
  Dataplane fresh(f.path);
  f.poll();
  f.poll();
  fresh.serve(2);
  ASSERT_TRUE(fresh.ring(0).push(comm_record(kAcme, 8)));
  f.poll();

  EXPECT_EQ(f.take(), 1U);  // the old one; the new rings are not open yet
  f.poll();
  EXPECT_EQ(f.take(), 1U);
}

TEST(RingSource, SameRingsHandedOutAgainAreNotReadTwice) {
  Fixture f;
  Dataplane dataplane(f.path);
  f.poll();
  dataplane.serve(2);
  f.poll();
  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  dataplane.hang_up();
  f.poll();
  f.poll();
  dataplane.serve(2);
  f.poll();
  EXPECT_EQ(f.take(), 1U);
  f.poll();
  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));

  EXPECT_EQ(f.take(), 1U);
  EXPECT_EQ(f.take(), 0U);
}

TEST(RingSource, RefusesAnAnnouncementThatDoesNotFitItsDescriptors) {
  for (const unsigned announced : {0U, 1U, 3U, 0x80000001U, 0xffffffffU}) {
    Fixture f;
    Dataplane dataplane(f.path);
    f.poll();
    dataplane.serve(announced);
    ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
    f.poll();

    EXPECT_FALSE(f.source.connected()) << announced;
    EXPECT_EQ(f.take(), 0U);
  }
}

TEST(RingSource, PassesOverWhatAPredecessorHasInItsSpool) {
  Fixture f;
  Dataplane dataplane(f.path);
  f.poll();
  dataplane.serve(2);
  f.poll();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  std::vector<LogRecord> spooled;
  f.source.gather(spooled);
  const std::vector<RingMark> marks = f.source.marks();
  ASSERT_EQ(marks.size(), 1U);
  EXPECT_EQ(marks[0].count, 3U);

  RingSource successor(f.path);
  successor.skip({marks[0], {marks[0].ring + 1, 0, 9}});
  successor.poll(f.now);
  dataplane.serve(2);
  ASSERT_TRUE(dataplane.ring(0).push(comm_record()));
  successor.poll(f.now);
  std::vector<LogRecord> fresh;
  successor.gather(fresh);
  EXPECT_EQ(fresh.size(), 1U);
  EXPECT_TRUE(successor.skips().empty());
}

}  // namespace
}  // namespace sekisho::mgmt
