// SPDX-License-Identifier: Apache-2.0
// Goal: a bound MAC finds its Binding in one line, and nothing else finds any.
#include "dataplane/config/mac_map.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_set>

#include "base/limits.h"

namespace sekisho::dataplane {
namespace {

TEST(MacMap, FindsNothingWhenEmpty) {
  const MacMap map;
  EXPECT_EQ(map.find(0), filters::kNoIndex);
  EXPECT_EQ(map.find(0xffff'ffff'ffffU), filters::kNoIndex);
  EXPECT_EQ(MacMap::build({})->find(0x5254'0000'0001U), filters::kNoIndex);
}

TEST(MacMap, FindsEveryBoundMacAndNoOther) {
  for (const std::size_t size : {1U, 8U, 9U, 1000U, 80'000U}) {
    std::mt19937_64 random(size);
    std::unordered_set<std::uint64_t> known;
    std::vector<MacMap::Entry> entries;
    for (std::size_t i = 0; entries.size() < size; ++i) {
      const std::uint64_t mac = i % 2 == 0 ? 0x5254'0000'0000U + i : random() & 0xfeff'ffff'ffffU;  // in a row, and scattered
      if (mac != 0 && known.insert(mac).second) {
        entries.push_back({mac, static_cast<std::uint32_t>(90'000 + entries.size() % limits::kBindingsPerPortMax)});
      }
    }
    const std::optional<MacMap> map = MacMap::build(entries);
    ASSERT_TRUE(map.has_value()) << size;
    for (const MacMap::Entry& entry : entries) EXPECT_EQ(map->find(entry.mac), entry.binding);
    for (const MacMap::Entry& entry : entries) {
      const std::uint64_t beside = entry.mac ^ 0x10000U;
      EXPECT_EQ(map->find(beside) == filters::kNoIndex, !known.contains(beside));
    }
    EXPECT_EQ(map->find(0), filters::kNoIndex);
  }
}

TEST(MacMap, RefusesMoreBindingsThanAPortMayHave) {
  std::vector<MacMap::Entry> entries;
  for (std::uint32_t i = 0; i < limits::kBindingsPerPortMax; ++i) entries.push_back({i + 1, i});
  EXPECT_TRUE(MacMap::build(entries).has_value());
  entries.push_back({1'000'000, 1'000'000});
  EXPECT_FALSE(MacMap::build(entries).has_value());
}

}  // namespace
}  // namespace sekisho::dataplane
