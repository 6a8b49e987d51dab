// SPDX-License-Identifier: Apache-2.0
// Goal: no session ends early, none late by more than a tick. Method: random sessions against their own deadlines; turns of
// the wheel, shortened timeouts, jumps of time.
#include "dataplane/session/expiry_wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/support/eal.h"

namespace sekisho::dataplane {
namespace {

constexpr HashSeed kSeed{1, 2};

class Wheel : public testing::Test {
 protected:
  Wheel() : table_((tests::ensure_eal(), std::move(SessionTable::create(8192, kSeed)).value())), wheel_(std::move(ExpiryWheel::create(0)).value()) {}

  std::uint32_t add(std::uint32_t timeout) {
    const std::uint32_t index = table_.insert(make_key4(++number_, 1, 1, 1, 17, 1, kSeed), {}, false);
    EXPECT_NE(index, kNoIndex);
    table_.at(index).last_seen = now_;
    table_.at(index).timeout = timeout;
    wheel_.add(table_, index);
    deadlines_[index] = now_ + timeout;
    return index;
  }
  /// Moves to `now`; everything due is gone afterwards and nothing else.
  void advance(std::uint32_t now, unsigned budget = 1'000'000) {
    now_ = now;
    wheel_.advance(
        table_, now, budget,
        [&](std::uint32_t index) {
          EXPECT_LE(deadlines_.at(index), now);
          wheel_.remove(table_, index);
          table_.erase(index);
          deadlines_.erase(index);
        },
        [&](std::uint32_t index) { reports_.push_back({index, now}); });
  }
  void expect_none_overdue() {
    for (const auto& [index, deadline] : deadlines_) EXPECT_GE(deadline + 2, now_) << "session " << index;
  }
  SessionTable table_;
  ExpiryWheel wheel_;
  std::map<std::uint32_t, std::uint32_t> deadlines_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> reports_;  ///< session, tick
  std::uint32_t now_ = 0;
  std::uint32_t number_ = 0;
};

TEST_F(Wheel, ReportsALongSessionEveryTenMinutesIfItsEndIsLogged) {
  constexpr std::uint32_t kReport = kReportSeconds * kTicksPerSecond;
  const std::uint32_t quiet = add(3 * kReport);
  const std::uint32_t logged = add(3 * kReport);
  table_.at(logged).flags |= kSessionLogEnd;
  wheel_.move(table_, logged);

  for (std::uint32_t now = 1; now < 3 * kReport; ++now) advance(now);

  // A slot is emptied one tick after it has come up.
  using Reports = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  EXPECT_EQ(reports_, (Reports{{logged, kReport + 1}, {logged, 2 * kReport + 2}}));
  EXPECT_TRUE(table_.live(quiet));
}

TEST_F(Wheel, AgreesWithTheDeadlines) {
  std::mt19937 random(3);
  for (unsigned step = 0; step < 40'000; ++step) {
    if (deadlines_.size() < 4000) add(1 + static_cast<std::uint32_t>(random() % (step % 50 == 0 ? 60'000 : 300)));
    if (random() % 4 == 0 && !deadlines_.empty()) {  // a packet: only its time is stored
      auto any = deadlines_.lower_bound(static_cast<std::uint32_t>(random() % 8192));
      if (any == deadlines_.end()) any = deadlines_.begin();
      Session& session = table_.at(any->first);
      session.last_seen = now_;
      any->second = now_ + session.timeout;
      if (random() % 8 == 0 && session.timeout > 20) {
        session.timeout = 10;
        any->second = now_ + 10;
        wheel_.move(table_, any->first);
      }
    }
    advance(now_ + static_cast<std::uint32_t>(random() % 3));
    if (step % 100 == 0) expect_none_overdue();
  }
  advance(now_ + 70'000);
  advance(now_ + 70'000);
  EXPECT_TRUE(deadlines_.empty());
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(Wheel, DeadlineBeyondOneTurnIsKept) {
  add(40'000);
  for (std::uint32_t now = 0; now < 40'000; now += 1000) {
    advance(now);
    EXPECT_EQ(table_.size(), 1U) << now;
  }
  advance(40'002);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(Wheel, ShortenedTimeoutEndsSoon) {
  const std::uint32_t index = add(14'400);
  advance(100);
  Session& session = table_.at(index);
  session.last_seen = 100;
  session.timeout = 40;
  deadlines_[index] = 140;
  wheel_.move(table_, index);
  advance(139);
  EXPECT_EQ(table_.size(), 1U);
  advance(142);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(Wheel, JumpOfTimeEndsEverythingDueAndNothingElse) {
  for (std::uint32_t i = 1; i <= 1000; ++i) add(i);
  const std::uint32_t late = add(2'000'000);
  advance(1'000'000);
  EXPECT_EQ(table_.size(), 1U);
  EXPECT_TRUE(table_.live(late));
}

TEST_F(Wheel, BudgetBoundsTheWorkAndNothingIsForgotten) {
  for (std::uint32_t i = 0; i < 1000; ++i) add(10);
  advance(20, 64);
  EXPECT_EQ(table_.size(), 1000U - 64);
  for (int i = 0; i < 20; ++i) advance(20, 64);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(Wheel, TimeThatStepsBackChangesNothing) {
  add(10);
  advance(5);
  advance(3);
  EXPECT_EQ(table_.size(), 1U);
  advance(12);
  EXPECT_EQ(table_.size(), 0U);
}

}  // namespace
}  // namespace sekisho::dataplane
