// SPDX-License-Identifier: Apache-2.0
// Goal: an id keeps its place over commits, and a freed place is given away last and empty.
#include "dataplane/config/slot_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace sekisho::dataplane {
namespace {

const auto kNothing = [](std::uint32_t) {};

TEST(SlotMap, SameIdSamePlace) {
  SlotMap map(4);
  const std::uint32_t seven = map.take(7);
  EXPECT_EQ(map.take(7), seven);
  EXPECT_NE(map.take(8), seven);
  map.keep_only({7, 8}, kNothing);
  EXPECT_EQ(map.take(7), seven);
}

TEST(SlotMap, FreedPlaceIsHandedOutLastAndItsFreeingIsTold) {
  SlotMap map(3);
  const std::uint32_t first = map.take(1);
  map.take(2);
  std::vector<std::uint32_t> freed;
  map.keep_only({2}, [&](std::uint32_t slot) { freed.push_back(slot); });
  EXPECT_EQ(freed, std::vector<std::uint32_t>{first});
  EXPECT_NE(map.take(3), first);
  EXPECT_EQ(map.take(4), first);
}

TEST(SlotMap, FullMapSaysSoAndKeepsWhatItHas) {
  SlotMap map(2);
  const std::uint32_t first = map.take(1);
  map.take(2);
  EXPECT_EQ(map.take(3), SlotMap::kNone);
  EXPECT_EQ(map.take(1), first);
  map.keep_only({1}, kNothing);
  EXPECT_NE(map.take(3), SlotMap::kNone);
}

TEST(SlotMap, LongestFreePlaceComesFirst) {
  SlotMap map(2);
  const std::uint32_t one = map.take(1);
  map.take(2);
  map.keep_only({2}, kNothing);
  map.keep_only({}, kNothing);
  EXPECT_EQ(map.take(3), one);
}

}  // namespace
}  // namespace sekisho::dataplane
