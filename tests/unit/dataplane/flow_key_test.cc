// SPDX-License-Identifier: Apache-2.0
// Goal: a packet and its answer have one key and one shard; tenants, families and protocols never share one.
#include "dataplane/session/flow_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

namespace sekisho::dataplane {
namespace {

constexpr HashSeed kSeed{0xdeadbeef, 0xcafe};

TEST(FlowKey, AnswerHasTheKeyOfThePacket) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 10'000; ++i) {
    const auto a = static_cast<std::uint32_t>(random()), b = static_cast<std::uint32_t>(random());
    const auto p = static_cast<std::uint16_t>(random()), q = static_cast<std::uint16_t>(random());
    const FlowLookup there = make_key4(a, b, p, q, 6, 9, kSeed), back = make_key4(b, a, q, p, 6, 9, kSeed);
    ASSERT_EQ(there.key, back.key);
    ASSERT_EQ(there.hash, back.hash);
    ASSERT_NE(there.from_high, back.from_high);
    const Words6 x{random(), random()}, y{random(), random()};
    const FlowLookup there6 = make_key6(x, y, p, q, 6, 9, kSeed), back6 = make_key6(y, x, q, p, 6, 9, kSeed);
    ASSERT_EQ(there6.key, back6.key);
    ASSERT_EQ(there6.hash, back6.hash);
    ASSERT_NE(there6.from_high, back6.from_high);
  }
}

TEST(FlowKey, ReadFromAPacketItIsThatOfItsNumbers) {
  std::mt19937_64 random(6);
  for (int i = 0; i < 10'000; ++i) {
    std::array<std::uint8_t, 16> wire;
    for (std::uint8_t& byte : wire) byte = static_cast<std::uint8_t>(random());
    if (i % 3 == 0) std::copy_n(wire.begin(), 4, wire.begin() + 4);  // to oneself: the ports decide
    const auto tenant = static_cast<std::uint32_t>(random() & 0xfffffU);
    const auto protocol = static_cast<std::uint8_t>(i % 2 == 0 ? 6 : 17);
    const FlowLookup read = make_key4(wire.data(), key_tags(protocol, tenant), kSeed);
    const FlowLookup made = make_key4(load_be<std::uint32_t>(wire, 0), load_be<std::uint32_t>(wire, 4), load_be<std::uint16_t>(wire, 8),
                                      load_be<std::uint16_t>(wire, 10), protocol, tenant, kSeed);
    ASSERT_EQ(read.key, made.key);
    ASSERT_EQ(read.hash, made.hash);
    ASSERT_EQ(read.from_high, made.from_high);
  }
}

TEST(FlowKey, SameAddressesAreOrderedByPort) {
  EXPECT_NE(make_key4(1, 1, 5, 6, 6, 9, kSeed).from_high, make_key4(1, 1, 6, 5, 6, 9, kSeed).from_high);
  EXPECT_NE(make_key6({1, 1}, {1, 1}, 5, 6, 6, 9, kSeed).from_high, make_key6({1, 1}, {1, 1}, 6, 5, 6, 9, kSeed).from_high);
}

TEST(FlowKey, EachPartOfTheTupleSeparates) {
  const FlowKey key = make_key4(1, 2, 3, 4, 6, 9, kSeed).key;
  EXPECT_NE(make_key4(5, 2, 3, 4, 6, 9, kSeed).key, key);
  EXPECT_NE(make_key4(1, 5, 3, 4, 6, 9, kSeed).key, key);
  EXPECT_NE(make_key4(1, 2, 5, 4, 6, 9, kSeed).key, key);
  EXPECT_NE(make_key4(1, 2, 3, 5, 6, 9, kSeed).key, key);
  EXPECT_NE(make_key4(1, 2, 3, 4, 17, 9, kSeed).key, key);
  EXPECT_NE(make_key4(1, 2, 4, 3, 6, 9, kSeed).key, key);  // ports swapped, addresses not: another flow
}

TEST(FlowKey, TenantsAreSeparateUpToTheirLargestId) {
  for (const std::uint32_t a : {0U, 1U, 0xffffU, 0x10000U, 0xfffffU}) {
    for (const std::uint32_t b : {0U, 1U, 0xffffU, 0x10000U, 0xfffffU}) {
      if (a == b) continue;
      EXPECT_NE(make_key4(1, 2, 3, 4, 6, a, kSeed).key, make_key4(1, 2, 3, 4, 6, b, kSeed).key);
      EXPECT_NE(make_key6({1, 1}, {2, 2}, 3, 4, 6, a, kSeed).key, make_key6({1, 1}, {2, 2}, 3, 4, 6, b, kSeed).key);
    }
  }
}

TEST(FlowKey, FamiliesAreSeparateWhateverTheAddressesFoldTo) {
  for (const std::uint32_t tenant : {0U, 1U, 0xfffffU}) {
    const FlowKey four = make_key4(1, 2, 3, 4, 6, tenant, kSeed).key;
    const FlowKey six = make_key6({1, 1}, {2, 2}, 3, 4, 6, tenant, kSeed).key;
    EXPECT_NE(four.low >> 63, six.low >> 63);
  }
}

TEST(FlowKey, SteeringIsSymmetricInRangeAndSpreads) {
  std::mt19937 random(6);
  for (const std::uint32_t shards : {1U, 2U, 3U, 16U}) {
    std::array<unsigned, 16> counts{};
    for (int i = 0; i < 16'000; ++i) {
      const auto fold = static_cast<std::uint32_t>(random());
      const auto p = static_cast<std::uint16_t>(random()), q = static_cast<std::uint16_t>(random());
      const std::uint32_t shard = steer(fold, p, q, shards);
      ASSERT_LT(shard, shards);
      ASSERT_EQ(shard, steer(fold, q, p, shards));
      ++counts[shard];
    }
    for (std::uint32_t shard = 0; shard < shards; ++shard) EXPECT_GT(counts[shard], 16'000 / shards / 2);
  }
}

}  // namespace
}  // namespace sekisho::dataplane
