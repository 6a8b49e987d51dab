// SPDX-License-Identifier: Apache-2.0
// Goal: an inner address has one tunnel of its own tenant or none, while leases come and go, and readers in other threads
// see whole leases only. Method: a map beside it as the model; threads that read while one writes.
#include "dataplane/tunnel/lease_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>

#include "tests/support/frames.h"

namespace sekisho::dataplane {
namespace {

using tests::address;

LeaseTable table(std::uint32_t leases) { return std::move(LeaseTable::create(leases)).value(); }
Lease lease(std::uint32_t number) { return {number, number + 1, number + 2, number + 3, static_cast<std::uint16_t>(number + 4)}; }
void expect_lease(const LeaseTable& leases, std::uint32_t tenant, const Address& who, std::uint32_t number) {
  const auto found = leases.find(tenant, who);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->tunnel, number);
  EXPECT_EQ(found->user, number + 1);
  EXPECT_EQ(found->port, number + 2);
  EXPECT_EQ(found->outbound, number + 3);
  EXPECT_EQ(found->inner_mtu, static_cast<std::uint16_t>(number + 4));
  const auto in_packet = leases.find(tenant, who.family, who.wire().data());
  ASSERT_TRUE(in_packet.has_value());
  EXPECT_EQ(in_packet->outbound, number + 3);
}
bool nobody(const LeaseTable& leases, std::uint32_t tenant, const Address& who) {
  return !leases.find(tenant, who) && !leases.find(tenant, who.family, who.wire().data());
}

TEST(LeaseTable, FindsByTenantAndAddressAndNothingNear) {
  LeaseTable leases = table(16);
  ASSERT_TRUE(leases.set(1, address("10.9.0.1"), lease(10)));
  ASSERT_TRUE(leases.set(2, address("10.9.0.1"), lease(20)));
  ASSERT_TRUE(leases.set(1, address("fd00::1"), lease(30)));
  expect_lease(leases, 1, address("10.9.0.1"), 10);
  expect_lease(leases, 2, address("10.9.0.1"), 20);
  expect_lease(leases, 1, address("fd00::1"), 30);
  EXPECT_TRUE(nobody(leases, 3, address("10.9.0.1")));
  EXPECT_TRUE(nobody(leases, 1, address("10.9.0.2")));
  EXPECT_TRUE(nobody(leases, 2, address("fd00::1")));
  EXPECT_TRUE(nobody(leases, 1, address("a09:1::")));  // the IPv4 address's bytes
  EXPECT_FALSE(LeaseTable().find(1, address("10.9.0.1")));
}

TEST(LeaseTable, AnotherTunnelTakesALeaseOverInOneStep) {
  LeaseTable leases = table(2);
  ASSERT_TRUE(leases.set(1, address("10.9.0.1"), lease(10)));
  ASSERT_TRUE(leases.set(1, address("10.9.0.1"), lease(11)));
  EXPECT_EQ(leases.size(), 1U);
  expect_lease(leases, 1, address("10.9.0.1"), 11);
}

TEST(LeaseTable, SaysWhenItIsFull) {
  LeaseTable leases = table(4);
  std::uint32_t held = 0;
  while (held < 100 && leases.set(1, Address::from_v4(held), lease(held))) ++held;
  EXPECT_GE(held, 4U);
  EXPECT_LT(held, 8U);
  for (std::uint32_t i = 0; i < held; ++i) expect_lease(leases, 1, Address::from_v4(i), i);
  EXPECT_FALSE(LeaseTable::create(0));
  EXPECT_FALSE(LeaseTable::create(LeaseTable::kLeasesMax + 1));
}

TEST(LeaseTable, HoldsWhatAMapHoldsWhileLeasesComeAndGo) {
  LeaseTable leases = table(64);
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> model;
  std::mt19937 random(7);
  for (std::uint32_t step = 0; step < 20'000; ++step) {
    const std::uint32_t tenant = 1 + random() % 2;
    const std::uint32_t who = random() % 64;
    if (random() % 2 == 0 && model.size() < 60) {
      ASSERT_TRUE(leases.set(tenant, Address::from_v4(who), lease(step)));
      model[{tenant, who}] = step;
    } else {
      leases.erase(tenant, Address::from_v4(who));
      model.erase({tenant, who});
    }
    ASSERT_EQ(leases.size(), model.size());
    const std::uint32_t other = random() % 64;
    const auto at = model.find({tenant, other});
    if (at == model.end()) {
      ASSERT_FALSE(leases.find(tenant, Address::from_v4(other)));
    } else {
      expect_lease(leases, tenant, Address::from_v4(other), at->second);
    }
  }
}

TEST(LeaseTable, ReadersInOtherThreadsSeeWholeLeases) {
  LeaseTable leases = table(8);
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t> seen{0};
  const auto reader = [&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const auto found = leases.find(1, address("10.9.0.1"));
      if (!found) continue;
      ASSERT_EQ(found->user, found->tunnel + 1);
      ASSERT_EQ(found->outbound, found->tunnel + 3);
      seen.fetch_add(1, std::memory_order_relaxed);
    }
  };
  std::thread readers[] = {std::thread(reader), std::thread(reader)};
  for (std::uint32_t i = 0; i < 20'000 || seen.load(std::memory_order_relaxed) < 100; ++i) {
    if (i % 3 == 2) {
      leases.erase(1, address("10.9.0.1"));
    } else {
      ASSERT_TRUE(leases.set(1, address("10.9.0.1"), lease(i)));
    }
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : readers) thread.join();
}

TEST(LeaseTable, ReadersInOtherThreadsNeverMissALeaseWhoseWayOutChanges) {
  LeaseTable leases = table(8);
  Lease renewed = lease(1);
  renewed.outbound = renewed.inner_mtu = 1;
  ASSERT_TRUE(leases.set(1, address("10.9.0.1"), renewed));
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t> seen{0};
  const auto reader = [&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const auto found = leases.find(1, address("10.9.0.1"));
      ASSERT_TRUE(found);
      ASSERT_EQ(found->inner_mtu, found->outbound % 1000);
      seen.fetch_add(1, std::memory_order_relaxed);
    }
  };
  std::thread readers[] = {std::thread(reader), std::thread(reader)};
  for (std::uint32_t i = 0; i < 200'000 || seen.load(std::memory_order_relaxed) < 1000; ++i) {
    if (HasFatalFailure()) break;
    renewed.outbound = 1 + i;
    renewed.inner_mtu = static_cast<std::uint16_t>((1 + i) % 1000);
    ASSERT_TRUE(leases.set(1, address("10.9.0.1"), renewed));
  }
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : readers) thread.join();
}

}  // namespace
}  // namespace sekisho::dataplane
