// SPDX-License-Identifier: Apache-2.0
// Goal: the session table finds exactly what was put in, whatever came and went. Method: a million random operations
// against std::map, both families, hashes that collide on purpose, and the last place.
#include "dataplane/session/session_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "tests/support/eal.h"

namespace sekisho::dataplane {
namespace {

constexpr HashSeed kSeed{0x1234567, 0x89abcde};
using Ends = std::array<Words6, 2>;

struct Flow {
  bool ipv6;
  std::uint32_t source, destination, tenant;
  std::uint16_t source_port, destination_port;
  auto operator<=>(const Flow&) const = default;

  [[nodiscard]] FlowLookup lookup() const {
    if (!ipv6) return make_key4(source, destination, source_port, destination_port, 17, tenant, kSeed);
    return make_key6({0, source}, {1, destination}, source_port, destination_port, 17, tenant, kSeed);
  }
  [[nodiscard]] Ends ends() const { return ipv6 ? Ends{Words6{0, source}, Words6{1, destination}} : Ends{}; }
};

SessionTable make(std::uint32_t capacity) {
  tests::ensure_eal();
  return std::move(SessionTable::create(capacity, kSeed)).value();
}

TEST(Session, CountsOnBeyondTheLowerHalves) {
  Session session{};
  session.count(0, 0xffff'fffeU, 0xffff'ff00U);
  session.count(0, 1, 0xff);
  EXPECT_EQ(session.packets(0), 0xffff'ffffU);
  EXPECT_EQ(session.bytes(0), 0xffff'ffffU);
  session.count(0, 1, 1);
  EXPECT_EQ(session.packets(0), 0x1'0000'0000U);
  EXPECT_EQ(session.bytes(0), 0x1'0000'0000U);
  session.count(0, 1, 1500);
  EXPECT_EQ(session.packets(0), 0x1'0000'0001U);
  EXPECT_EQ(session.bytes(0), 0x1'0000'05dcU);
  EXPECT_EQ(session.packets(1) + session.bytes(1), 0U) << "the other direction";
}

TEST(SessionTable, AgreesWithAMapOverAMillionOperations) {
  SessionTable table = make(2048);
  std::map<Flow, std::uint32_t> oracle;
  std::mt19937 random(7);
  for (unsigned i = 0; i < 1'000'000; ++i) {
    const Flow flow{random() % 2 != 0, 10 + static_cast<std::uint32_t>(random() % 8), 100, static_cast<std::uint32_t>(random() % 3),
                    static_cast<std::uint16_t>(random() % 64), static_cast<std::uint16_t>(random() % 4)};
    const FlowLookup lookup = flow.lookup();
    const auto known = oracle.find(flow);
    const std::uint32_t index = table.find(lookup, flow.ends());
    ASSERT_EQ(index, known == oracle.end() ? kNoIndex : known->second) << "operation " << i;
    const std::uint32_t candidate = table.candidate(lookup.hash);
    if (index != kNoIndex) {
      ASSERT_NE(candidate, kNoIndex);
    }
    if (index == kNoIndex && random() % 2 == 0) {
      const std::uint32_t made = table.insert(lookup, flow.ends(), flow.ipv6);
      if (made == kNoIndex) {
        ASSERT_GT(oracle.size(), 1500U);  // only when the table, or its spare buckets, are as good as full
        continue;
      }
      table.at(made).timeout = 1;
      oracle.emplace(flow, made);
    } else if (index != kNoIndex && random() % 2 == 0) {
      table.erase(index);
      oracle.erase(known);
      ASSERT_FALSE(table.live(index));
    }
    ASSERT_EQ(table.size(), oracle.size());
  }
  for (const auto& [flow, index] : oracle) EXPECT_EQ(table.find(flow.lookup(), flow.ends()), index);
}

TEST(SessionTable, EqualTagsInOneBucketAreToldApart) {
  SessionTable table = make(64);
  // What erase() computes from the session has to agree with the lookup, so real keys that collide are searched for.
  std::map<std::uint64_t, std::vector<FlowLookup>> by_place;
  for (std::uint32_t number = 0; number < 200'000; ++number) {
    const FlowLookup lookup = make_key4(number, 100, 1, 2, 17, 3, kSeed);
    by_place[(lookup.hash & 15U) << 16 | ((lookup.hash >> 48) | 1U)].push_back(lookup);
  }
  const auto most = std::max_element(by_place.begin(), by_place.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  ASSERT_GE(most->second.size(), 3U);
  std::vector<std::uint32_t> indices;
  for (const FlowLookup& lookup : most->second) indices.push_back(table.insert(lookup, {}, false));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    EXPECT_EQ(table.find(most->second[i], {}), indices[i]);
    EXPECT_EQ(table.find_own(most->second[i].hash), indices[i]);
  }
  table.erase(indices[0]);
  EXPECT_EQ(table.find(most->second[0], {}), kNoIndex);
  EXPECT_EQ(table.find_own(most->second[0].hash), kNoIndex);
  EXPECT_EQ(table.find(most->second[1], {}), indices[1]);
}

TEST(SessionTable, ChainsGrowShrinkAndComeBack) {
  SessionTable table = make(256);  // 64 homes, 17 spare
  std::vector<FlowLookup> one_home;
  for (std::uint32_t number = 0; one_home.size() < 40; ++number) {
    const FlowLookup lookup = make_key4(number, 100, 1, 2, 17, 3, kSeed);
    if ((lookup.hash & 63U) == 5) one_home.push_back(lookup);
  }
  for (int round = 0; round < 50; ++round) {  // 50 times more chains than there are spare buckets
    std::vector<std::uint32_t> indices;
    for (const FlowLookup& lookup : one_home) indices.push_back(table.insert(lookup, {}, false));
    for (std::size_t i = 0; i < indices.size(); ++i) ASSERT_EQ(table.find(one_home[i], {}), indices[i]);
    for (const std::uint32_t index : indices) table.erase(index);
    ASSERT_EQ(table.size(), 0U);
  }
}

TEST(SessionTable, FullTableSaysSoAndTakesTheNextAfterAnErase) {
  SessionTable table = make(64);
  std::vector<std::uint32_t> indices;
  std::uint32_t number = 0;
  for (; indices.size() < 64; ++number) {
    const std::uint32_t index = table.insert(make_key4(number, 100, 1, 2, 17, 3, kSeed), {}, false);
    if (index == kNoIndex) break;
    indices.push_back(index);
  }
  EXPECT_GE(indices.size(), 56U);
  EXPECT_EQ(table.insert(make_key4(1'000'000, 100, 1, 2, 17, 3, kSeed), {}, false), kNoIndex);
  EXPECT_EQ(table.size(), indices.size());
  table.at(indices[10]).generation = 3;
  table.erase(indices[10]);
  EXPECT_EQ(table.at(indices[10]).generation, 0U) << "who still points to it takes it for none of today";
  EXPECT_EQ(table.find(make_key4(10, 100, 1, 2, 17, 3, kSeed), {}), kNoIndex);
  EXPECT_NE(table.insert(make_key4(10, 100, 1, 2, 17, 3, kSeed), {}, false), kNoIndex);
}

TEST(SessionTable, Ipv6FlowsOfOneKeyAreToldApartByTheirAddresses) {
  SessionTable table = make(64);
  const FlowLookup lookup = make_key6({1, 2}, {3, 4}, 5, 6, 17, 7, kSeed);
  const Ends ends{Words6{1, 2}, Words6{3, 4}};
  const Ends other{Words6{1, 3}, Words6{3, 4}};
  const std::uint32_t index = table.insert(lookup, ends, true);
  EXPECT_EQ(table.find(lookup, ends), index);
  EXPECT_EQ(table.find(lookup, other), kNoIndex);
}

TEST(SessionTable, BothKeysOfATranslatedSessionLeadToItAndGoWithIt) {
  SessionTable table = make(1024);
  std::mt19937 random(11);
  std::map<Flow, std::pair<Flow, std::uint32_t>> oracle;  // received -> sent, index
  for (unsigned i = 0; i < 200'000; ++i) {
    const bool ipv6 = random() % 2 != 0;
    const auto port = static_cast<std::uint16_t>(random() % 512);
    const Flow received{ipv6, 10, 100, 1, port, 53};
    const Flow sent{ipv6, 99, 100, 1, static_cast<std::uint16_t>(port + 1000), 53};
    const auto known = oracle.find(received);
    const SessionTable::Hit first = table.locate(received.lookup(), received.ends());
    const SessionTable::Hit other = table.locate(sent.lookup(), sent.ends());
    ASSERT_EQ(first.index, known == oracle.end() ? kNoIndex : known->second.second);
    ASSERT_EQ(other.index, first.index);
    if (known == oracle.end()) {
      const std::uint32_t index = table.insert(received.lookup(), received.ends(), ipv6);
      ASSERT_NE(index, kNoIndex);
      table.at(index).timeout = 1;
      ASSERT_EQ(table.find(sent.lookup(), sent.ends()), kNoIndex);
      ASSERT_TRUE(table.add_other(index, sent.lookup(), sent.ends()));
      ASSERT_EQ(table.other_hash(index), sent.lookup().hash);
      ASSERT_EQ(table.find_own(received.lookup().hash), index);
      ASSERT_EQ(table.find_own(sent.lookup().hash), kNoIndex);
      oracle[received] = {sent, index};
    } else {
      ASSERT_FALSE(first.other);
      ASSERT_TRUE(other.other);
      const std::uint32_t candidate = table.candidate(sent.lookup().hash);
      ASSERT_NE(candidate, kNoIndex);
      table.erase(first.index);
      oracle.erase(known);
    }
    ASSERT_EQ(table.size(), oracle.size());
  }
}

TEST(SessionTable, CapacityOutsideItsRangeIsRefused) {
  tests::ensure_eal();
  EXPECT_FALSE(SessionTable::create(63, kSeed).has_value());
  EXPECT_FALSE(SessionTable::create((1U << 26) + 1, kSeed).has_value());
}

}  // namespace
}  // namespace sekisho::dataplane
