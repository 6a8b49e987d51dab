// SPDX-License-Identifier: Apache-2.0
// Goal: the longest prefix wins, in both families. Method: random tables of overlapping prefixes against a naive list.
#include "dataplane/routing/prefix_table.h"

#include <gtest/gtest.h>

#include <random>

namespace sekisho::dataplane {
namespace {

using Entry = PrefixTable::Entry;

Prefix prefix(const char* text) { return parse_prefix(text).value(); }
Address address(const char* text) { return parse_address(text).value(); }

std::uint32_t naive(const std::vector<Entry>& entries, const Address& wanted) {
  const Entry* best = nullptr;
  for (const Entry& entry : entries) {
    if (entry.prefix.contains(wanted) && (best == nullptr || entry.prefix.length >= best->prefix.length)) best = &entry;
  }
  return best == nullptr ? PrefixTable::kNoValue : best->value;
}

TEST(PrefixTable, AgreesWithANaiveList) {
  std::mt19937 random(11);
  // Few distinct bits, so that prefixes nest and repeat.
  const auto some_address = [&](bool ipv6) {
    Address out = ipv6 ? address("2001:db8::") : address("10.0.0.0");
    const std::size_t bytes = ipv6 ? 16 : 4;
    for (std::size_t at = 1; at < bytes; ++at) out.bytes[at] = static_cast<std::uint8_t>(random() % 4 == 0 ? random() % 3 : out.bytes[at]);
    return out;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<Entry> entries;
    const auto count = random() % 60;
    for (std::uint32_t value = 0; value < count; ++value) {
      const Address at = some_address(random() % 2 != 0);
      const auto length = static_cast<std::uint8_t>(random() % (at.bits() + 1));
      entries.push_back({Prefix{Prefix{at, length}.first(), length}, value});
    }
    const PrefixTable table(entries);
    for (int look = 0; look < 200; ++look) {
      const Address wanted = some_address(random() % 2 != 0);
      ASSERT_EQ(table.find(wanted), naive(entries, wanted)) << "round " << round;
    }
  }
}

TEST(PrefixTable, DefaultRouteCatchesItsOwnFamilyOnly) {
  const std::vector<Entry> entries{{prefix("0.0.0.0/0"), 4}};
  const PrefixTable table(entries);
  EXPECT_EQ(table.find(address("255.255.255.255")), 4U);
  EXPECT_EQ(table.find(address("::")), PrefixTable::kNoValue);
  EXPECT_EQ(table.find(address("::ffff:10.0.0.1")), PrefixTable::kNoValue);
}

TEST(PrefixTable, HostRouteBeatsItsNetworkAndItsNeighbourDoesNot) {
  const std::vector<Entry> entries{{prefix("10.0.0.0/8"), 1}, {prefix("10.0.0.2/32"), 2}, {prefix("::/0"), 3}, {prefix("2001:db8::2/128"), 4}, {prefix("2001:db8::/64"), 5}};
  const PrefixTable table(entries);
  EXPECT_EQ(table.find(address("10.0.0.2")), 2U);
  EXPECT_EQ(table.find(address("10.0.0.3")), 1U);
  EXPECT_EQ(table.find(address("11.0.0.2")), PrefixTable::kNoValue);
  EXPECT_EQ(table.find(address("2001:db8::2")), 4U);
  EXPECT_EQ(table.find(address("2001:db8::3")), 5U);
  EXPECT_EQ(table.find(address("2001:db8:0:1::2")), 3U);
}

TEST(PrefixTable, LaterEntryOfThePrefixReplacesTheEarlier) {
  const std::vector<Entry> entries{{prefix("10.0.0.2/32"), 1}, {prefix("10.0.0.2/32"), 2}};
  EXPECT_EQ(PrefixTable(entries).find(address("10.0.0.2")), 2U);
}

TEST(PrefixTable, EmptyTableKnowsNothing) {
  EXPECT_EQ(PrefixTable().find(address("10.0.0.1")), PrefixTable::kNoValue);
  EXPECT_EQ(PrefixTable().find(address("::1")), PrefixTable::kNoValue);
}

}  // namespace
}  // namespace sekisho::dataplane
