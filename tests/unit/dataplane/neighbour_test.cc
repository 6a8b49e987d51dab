// SPDX-License-Identifier: Apache-2.0
// Goal: a neighbour is believed only when asked, a handle never speaks of another address, nobody closes the table.
#include "dataplane/routing/neighbour.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "dataplane/session/session.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kSecond = kTicksPerSecond;
const Mac kMac = Mac::from_number(0x525400000001);
const Mac kOther = Mac::from_number(0x525400000002);
Address host(std::uint32_t number) { return Address::from_v4(0x0a000000U + number); }

TEST(Neighbour, AnswerIsTakenOnlyWhileTheQuestionIsOpen) {
  NeighbourTable table;
  EXPECT_FALSE(table.answer(1, host(1), kMac, 100));
  const auto handle = table.find_or_make(1, host(1), 100);
  EXPECT_TRUE(table.should_ask(handle, 100));
  EXPECT_FALSE(table.should_ask(handle, 100));
  EXPECT_FALSE(table.answer(2, host(1), kMac, 101));  // another port
  EXPECT_FALSE(table.answer(1, host(2), kMac, 101));  // another address
  EXPECT_EQ(table.read(handle).state, NeighbourState::kIncomplete);
  EXPECT_TRUE(table.answer(1, host(1), kMac, 101));
  EXPECT_EQ(table.read(handle).mac, kMac);
  EXPECT_FALSE(table.answer(1, host(1), kOther, 101 + 4 * kSecond));
  EXPECT_EQ(table.read(handle).mac, kMac);
}

TEST(Neighbour, ConfirmationIsAskedAfterAMinuteAndSilenceForgets) {
  NeighbourTable table;
  const auto handle = table.find_or_make(1, host(1), 0);
  EXPECT_TRUE(table.should_ask(handle, 0));
  EXPECT_TRUE(table.answer(1, host(1), kMac, 1));
  EXPECT_FALSE(table.should_ask(handle, 59 * kSecond));
  EXPECT_TRUE(table.should_ask(handle, 61 * kSecond));
  EXPECT_EQ(table.read(handle).state, NeighbourState::kReachable);
  EXPECT_TRUE(table.should_ask(handle, 67 * kSecond));
  EXPECT_EQ(table.read(handle).state, NeighbourState::kIncomplete);
}

TEST(Neighbour, OldHandleNeverSpeaksOfTheNextAddress) {
  NeighbourTable table;
  std::vector<NeighbourTable::Handle> old;
  for (std::uint32_t number = 0; number < 200; ++number) old.push_back(table.find_or_make(number, host(number), 0));
  const std::uint32_t later = 10 * kSecond;
  std::uint32_t reused = 0;
  for (std::uint32_t number = 0; number < 20'000; ++number) static_cast<void>(table.find_or_make(1000 + number, host(1000 + number), later));
  for (std::uint32_t number = 0; number < 200; ++number) {
    if (table.find(number, host(number)) == old[number]) continue;
    ++reused;
    EXPECT_EQ(table.read(old[number]).state, NeighbourState::kFree);
    EXPECT_FALSE(table.should_ask(old[number], later + 100));
  }
  EXPECT_GT(reused, 100U);
}

TEST(Neighbour, ReachableEntryKeepsItsPlaceInAFullTable) {
  NeighbourTable table;
  const auto handle = table.find_or_make(1, host(1), 0);
  EXPECT_TRUE(table.should_ask(handle, 0));
  EXPECT_TRUE(table.answer(1, host(1), kMac, 0));
  for (std::uint32_t number = 0; number < 50'000; ++number) static_cast<void>(table.find_or_make(10 + number, host(1000 + number), number / 1000));
  EXPECT_EQ(table.find(1, host(1)), handle);
  EXPECT_EQ(table.read(handle).mac, kMac);
}

TEST(Neighbour, ScanOfOnePortLeavesRoomForAnother) {
  NeighbourTable table;
  std::uint32_t taken = 0;
  for (std::uint32_t number = 0; number < 20'000; ++number) taken += table.find_or_make(1, host(number), 0) != NeighbourTable::kNone ? 1U : 0U;
  EXPECT_GT(taken, 500U);
  EXPECT_LT(taken, NeighbourTable::kCapacity / 2);
  std::uint32_t refused = 0;
  for (std::uint32_t port = 2; port < 102; ++port) refused += table.find_or_make(port, host(port), 0) == NeighbourTable::kNone ? 1U : 0U;
  EXPECT_EQ(refused, 0U);
}

TEST(Neighbour, ListingShowsWhatIsThere) {
  NeighbourTable table;
  const Address six = parse_address("2001:db8::1").value();
  const auto handle = table.find_or_make(77, six, 0);
  const auto listing = table.list(NeighbourTable::place_of(handle));
  EXPECT_EQ(listing.port_id, 77U);
  EXPECT_EQ(listing.address, six);
  EXPECT_EQ(listing.reading.state, NeighbourState::kIncomplete);
}

TEST(Neighbour, ThreadsNeverReadAMacOfAnotherAddress) {
  NeighbourTable table;
  // Each address has the MAC of its number: any other reading under a valid handle is a torn one.
  constexpr std::uint32_t kHosts = 6000;
  std::atomic<std::uint32_t> wrong{0};
  const auto work = [&](std::uint32_t self) {
    for (std::uint32_t i = 0; i < 60'000; ++i) {
      const std::uint32_t number = (i * 7919 + self * 31) % kHosts;
      const std::uint32_t now = i / 20;
      const std::uint32_t port = number % 97;
      const auto handle = table.find_or_make(port, host(number), now);
      if (handle == NeighbourTable::kNone) continue;
      if (table.should_ask(handle, now)) table.answer(port, host(number), Mac::from_number(number), now);
      const auto reading = table.read(handle);
      if (reading.state == NeighbourState::kReachable && reading.mac.number() != number) wrong.fetch_add(1);
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t self = 0; self < 3; ++self) threads.emplace_back(work, self);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0U);
}

}  // namespace
}  // namespace sekisho::dataplane
