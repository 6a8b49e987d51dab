// SPDX-License-Identifier: Apache-2.0
// Goal: a hundred violations of a minute begin one quarantine, whoever counts them; fewer never do.
#include "filters/link/quarantine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

namespace sekisho::filters {
namespace {

TEST(Quarantine, BeginsWithTheHundredthViolationOfAMinuteAndNotBefore) {
  Quarantine quarantine;
  for (int i = 0; i < 99; ++i) EXPECT_FALSE(quarantine.violation(1'000'000 + static_cast<std::uint64_t>(i) * 500));
  EXPECT_FALSE(quarantine.holds(1'050'000));
  EXPECT_TRUE(quarantine.violation(1'050'000));
  EXPECT_TRUE(quarantine.holds(1'050'000));
  EXPECT_FALSE(quarantine.violation(1'050'001));
  EXPECT_TRUE(quarantine.holds(1'350'000 - 1));
  EXPECT_FALSE(quarantine.holds(1'350'000));
}

TEST(Quarantine, NeverBeginsForFewerThanAHundredInAnySixtySeconds) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    Quarantine quarantine;
    std::vector<std::uint64_t> times;
    std::uint64_t now = 1'000'000;
    while (times.size() < 3000) {
      now += random() % 900;
      const auto in_window = std::count_if(times.begin(), times.end(), [&](std::uint64_t t) { return t + Quarantine::kWindowMs > now; });
      if (in_window >= 99) continue;
      times.push_back(now);
      ASSERT_FALSE(quarantine.violation(now)) << seed;
    }
  }
}

TEST(Quarantine, NeedsAHundredNewOnesAfterItsEnd) {
  Quarantine quarantine;
  for (int i = 0; i < 100; ++i) std::ignore = quarantine.violation(1000);
  ASSERT_TRUE(quarantine.begun());
  for (int i = 0; i < 500; ++i) EXPECT_FALSE(quarantine.violation(2000));
  quarantine.refused();
  EXPECT_TRUE(quarantine.release());
  EXPECT_FALSE(quarantine.release());
  EXPECT_FALSE(quarantine.holds(2000));
  EXPECT_EQ(quarantine.finish(), 1U);
  EXPECT_EQ(quarantine.finish(), 0U);
  for (int i = 0; i < 99; ++i) EXPECT_FALSE(quarantine.violation(3000));
  EXPECT_TRUE(quarantine.violation(3000));
}

TEST(Quarantine, IsBegunByOneOfManyWorkers) {
  for (int round = 0; round < 50; ++round) {
    Quarantine quarantine;
    std::atomic<int> begun{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < 4; ++i) {
      workers.emplace_back([&] {
        for (int k = 0; k < 100; ++k) begun += quarantine.violation(10'000) ? 1 : 0;
      });
    }
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(begun.load(), 1);
  }
}

TEST(Quarantine, CountsForgeriesAndNeitherStormsNorWrecks) {
  for (const DropReason reason : {DropReason::kAeMac, DropReason::kAeIp4, DropReason::kAeIp6, DropReason::kAeArpSpa, DropReason::kAeRa,
                                  DropReason::kAeNa, DropReason::kAeDhcpServer, DropReason::kAeFrame}) {
    EXPECT_TRUE(is_violation(reason)) << info(reason).name;
  }
  for (const DropReason reason : {DropReason::kAeStorm, DropReason::kAeUnbound, DropReason::kAeDestinationForeign,
                                  DropReason::kL4Checksum, DropReason::kDefaultDeny, DropReason::kAeQuarantine}) {
    EXPECT_FALSE(is_violation(reason)) << info(reason).name;
  }
}

}  // namespace
}  // namespace sekisho::filters
