// SPDX-License-Identifier: Apache-2.0
// Goal: a sequence number is accepted once, and exactly the newest `size` numbers can still come.
// Method: edges by hand; then random walks against a set of all numbers ever accepted, for every kind of size, across
// 2^32.
#include "filters/esp/replay_window.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace sekisho::filters {
namespace {

ReplayWindow window(std::uint32_t size, bool extended = false) {
  return std::move(ReplayWindow::create(size, extended)).value();
}

TEST(ReplayWindow, RefusesSizesBelow64AndAbove4096) {
  EXPECT_FALSE(ReplayWindow::create(63, false));
  EXPECT_TRUE(ReplayWindow::create(64, false));
  EXPECT_TRUE(ReplayWindow::create(4096, true));
  EXPECT_FALSE(ReplayWindow::create(4097, true));
}

TEST(ReplayWindow, AcceptsANumberOnce) {
  ReplayWindow w = window(64);

  EXPECT_TRUE(w.accept(5));
  EXPECT_FALSE(w.fresh(5));
  EXPECT_FALSE(w.accept(5));
  EXPECT_TRUE(w.accept(4));
  EXPECT_FALSE(w.accept(4));
}

TEST(ReplayWindow, NeverAcceptsZero) {
  ReplayWindow w = window(64);
  EXPECT_FALSE(w.accept(0));
  EXPECT_TRUE(w.accept(1));
  EXPECT_FALSE(w.accept(0));
}

TEST(ReplayWindow, HoldsExactlyItsSize) {
  for (const std::uint32_t size : {64U, 65U, 100U, 127U, 128U, 1024U, 4095U, 4096U}) {
    ReplayWindow w = window(size);
    ASSERT_TRUE(w.accept(100'000));
    EXPECT_TRUE(w.fresh(100'000 - size + 1)) << size;  // the oldest inside
    EXPECT_FALSE(w.fresh(100'000 - size)) << size;     // the newest outside
  }
}

TEST(ReplayWindow, ForgetsWhatALeapLeavesBehindAndNothingElse) {
  ReplayWindow w = window(128);
  for (std::uint64_t i = 1; i <= 300; ++i) ASSERT_TRUE(w.accept(i));
  ASSERT_TRUE(w.accept(400));

  EXPECT_FALSE(w.fresh(300));  // still inside, seen
  EXPECT_TRUE(w.fresh(301));   // inside, skipped
  EXPECT_FALSE(w.fresh(272));  // outside
  ASSERT_TRUE(w.accept(1'000'000));
  EXPECT_TRUE(w.fresh(999'999));
  EXPECT_TRUE(w.fresh(1'000'000 - 127));
}

TEST(ReplayWindow, RefusedNumbersChangeNothing) {
  ReplayWindow w = window(64);
  ASSERT_TRUE(w.accept(1000));
  ASSERT_FALSE(w.accept(900));
  EXPECT_EQ(w.top(), 1000U);
  EXPECT_TRUE(w.fresh(999));
}

TEST(ReplayWindow, WithoutExtensionTheNumberIsWhatThePacketSays) {
  ReplayWindow w = window(64);
  ASSERT_TRUE(w.accept(0xffffffffU));
  EXPECT_EQ(w.recover(0), 0U);
  EXPECT_FALSE(w.fresh(w.recover(1)));  // no way past the last number
}

// RFC 4303 appendix A2.2, case A: the window lies in one subspace.
TEST(ReplayWindow, RecoversTheHighHalfAboveTheWindow) {
  ReplayWindow w = window(64, true);
  ASSERT_TRUE(w.accept((7ULL << 32) + 1000));

  EXPECT_EQ(w.recover(1001), (7ULL << 32) + 1001);
  EXPECT_EQ(w.recover(1000 - 63), (7ULL << 32) + 1000 - 63);  // oldest inside
  EXPECT_EQ(w.recover(1000 - 64), (8ULL << 32) + 1000 - 64);  // older must be of the next subspace
  EXPECT_EQ(w.recover(0), 8ULL << 32);
}

// Case B: the window reaches into the subspace before.
TEST(ReplayWindow, RecoversTheHighHalfBelowZero) {
  ReplayWindow w = window(64, true);
  ASSERT_TRUE(w.accept((7ULL << 32) + 10));

  EXPECT_EQ(w.recover(0xffffffff), (6ULL << 32) + 0xffffffffU);
  EXPECT_EQ(w.recover(static_cast<std::uint32_t>(10 - 63)), (7ULL << 32) + 10 - 63);
  EXPECT_EQ(w.recover(static_cast<std::uint32_t>(10 - 64)), (7ULL << 32) + static_cast<std::uint32_t>(10 - 64));
  EXPECT_EQ(w.recover(11), (7ULL << 32) + 11);
}

TEST(ReplayWindow, RecoversNothingBeforeTheFirstNorAfterTheLastNumber) {
  ReplayWindow w = window(64, true);
  ASSERT_TRUE(w.accept(3));
  EXPECT_EQ(w.recover(0xffffffff), 0U);

  ReplayWindow last = window(64, true);
  ASSERT_TRUE(last.accept(~std::uint64_t{0}));
  EXPECT_EQ(last.recover(1), 0U);
  EXPECT_FALSE(last.fresh(last.recover(1)));
}

TEST(ReplayWindow, CrossesTheEdgeOfASubspace) {
  ReplayWindow w = window(256, true);
  const std::uint64_t start = (1ULL << 32) - 200;
  ASSERT_TRUE(w.accept(start - 1));
  for (std::uint64_t i = 0; i < 400; ++i) {
    const std::uint64_t sent = start + i;
    const std::uint64_t recovered = w.recover(static_cast<std::uint32_t>(sent));
    ASSERT_EQ(recovered, sent);
    ASSERT_TRUE(w.accept(recovered));
    ASSERT_FALSE(w.accept(recovered));
  }
}

TEST(ReplayWindow, AgreesWithASetOverRandomWalks) {
  for (const std::uint32_t size : {64U, 77U, 512U, 4096U}) {
    std::mt19937_64 random(size);
    ReplayWindow w = window(size, true);
    std::set<std::uint64_t> seen;
    std::uint64_t top = (1ULL << 32) - 5 * size;
    ASSERT_TRUE(w.accept(top));
    seen.insert(top);
    for (int i = 0; i < 60'000; ++i) {
      std::uint64_t sequence = top - size - 70 + random() % (size + 140);
      if (random() % 500 == 0) sequence = top + random() % (4 * size);
      const bool expected = sequence + size > top && !seen.contains(sequence);
      ASSERT_EQ(w.fresh(sequence), expected) << "size " << size << " step " << i;
      ASSERT_EQ(w.accept(sequence), expected);
      if (expected) seen.insert(sequence), top = std::max(top, sequence);
      ASSERT_EQ(w.top(), top);
      if (sequence + size > top) {
        ASSERT_EQ(w.recover(static_cast<std::uint32_t>(sequence)), sequence);
      }
      if (seen.size() > 20'000) seen.erase(seen.begin(), seen.lower_bound(top - size));
    }
  }
}

}  // namespace
}  // namespace sekisho::filters
