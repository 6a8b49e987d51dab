// SPDX-License-Identifier: Apache-2.0
// Goal: counts are exact, also from several threads, and a full table refuses only who fills it.
#include "dataplane/session_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace sekisho::dataplane {
namespace {

using filters::DropReason;
using filters::snapshot::RuleLimits;

constexpr RuleLimits limits(std::uint32_t rule, std::uint32_t source) {
  return {0, 0, rule, 0, source, 0};
}
constexpr auto kYes = SessionLimits::Enforce::kYes;
constexpr std::uint64_t kNow = 1'000'000'000;

TEST(SessionLimits, CountIsExactWhenThreadsTakeAndReleaseTogether) {
  SessionLimits table(4, 4, 7);
  std::atomic<std::uint32_t> held{0}, most{0};
  const auto work = [&] {
    for (int i = 0; i < 20'000; ++i) {
      std::uint32_t place = 0;
      if (table.take(limits(0, 3), 1, 1, Address::from_v4(9), kYes, kNow, place) != DropReason::kNone) continue;
      const std::uint32_t now = held.fetch_add(1) + 1;
      std::uint32_t seen = most.load();
      while (now > seen && !most.compare_exchange_weak(seen, now)) {}
      held.fetch_sub(1);
      table.release(1, place);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most.load(), 3U);
  EXPECT_EQ(table.of_rule(1), 0U);
  std::uint32_t place = 0;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(table.take(limits(0, 3), 1, 1, Address::from_v4(9), kYes, kNow, place), DropReason::kNone);
  EXPECT_EQ(table.take(limits(0, 3), 1, 1, Address::from_v4(9), kYes, kNow, place), DropReason::kSourceLimit);
}

TEST(SessionLimits, SameSourceOfAnotherRuleOrTenantCountsForItself) {
  SessionLimits table(4, 4, 7);
  std::uint32_t place = 0;
  for (const auto& [rule, tenant] : {std::pair{1U, 1U}, {2U, 1U}, {3U, 2U}}) {
    EXPECT_EQ(table.take(limits(0, 1), rule, tenant, Address::from_v4(9), kYes, kNow, place), DropReason::kNone);
    EXPECT_EQ(table.take(limits(0, 1), rule, tenant, Address::from_v4(9), kYes, kNow, place), DropReason::kSourceLimit);
    EXPECT_EQ(table.of_rule(rule), 1U);  // what was refused is not counted
  }
}

TEST(SessionLimits, TenantWithTooManySourcesIsRefusedAndTheNextTenantIsNot) {
  SessionLimits table(4, 4, 7);
  std::uint32_t taken = 0, place = 0;
  std::vector<std::uint32_t> places;
  for (std::uint32_t i = 0; i < 2 * SessionLimits::kSourcesOfTenantMax; ++i) {
    if (table.take(limits(0, 1), 1, 1, Address::from_v4(i + 1), kYes, kNow, place) == DropReason::kNone) {
      ++taken;
      places.push_back(place);
    }
  }
  EXPECT_LE(taken, SessionLimits::kSourcesOfTenantMax);
  EXPECT_GE(taken, SessionLimits::kSourcesOfTenantMax * 99 / 100);
  EXPECT_EQ(table.take(limits(0, 1), 2, 2, Address::from_v4(1), kYes, kNow, place), DropReason::kNone);
  // What lives on under a new policy is never refused.
  EXPECT_EQ(table.take(limits(0, 1), 1, 1, Address::from_v4(0xffff), SessionLimits::Enforce::kNo, kNow, place), DropReason::kNone);
  table.release(1, place);
  // Ended sessions leave room for other sources of the same tenant.
  for (const std::uint32_t used : places) table.release(1, used);
  EXPECT_EQ(table.of_rule(1), 0U);
  std::uint32_t again = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    again += table.take(limits(0, 1), 1, 1, Address::from_v4(0x0a000000U + i), kYes, kNow, place) == DropReason::kNone ? 1U : 0U;
  }
  EXPECT_EQ(again, 1000U);
}

}  // namespace
}  // namespace sekisho::dataplane
