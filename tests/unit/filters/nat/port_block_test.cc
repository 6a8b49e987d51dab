// SPDX-License-Identifier: Apache-2.0
// Goal: blocks are disjoint, fill the pool, and lead back to their inside address (RFC 7422); candidates meet each port once.
#include "filters/nat/port_block.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/snapshots.h"

namespace sekisho::filters {
namespace {

snapshot::AddressRange range(const char* low, const char* high) { return {tests::address(low), tests::address(high), {}}; }

TEST(PortBlocks, AreDisjointAndLeadBackToTheirInsideAddress_Rfc7422) {
  const std::vector<snapshot::AddressRange> inside{range("10.0.0.0", "10.0.0.99"), range("10.9.0.5", "10.9.0.104"), range("fd00::", "fd00::ff")};
  const std::vector<snapshot::AddressRange> outside{range("203.0.113.1", "203.0.113.1"), range("203.0.113.4", "203.0.113.6")};
  const PortBlocks blocks(inside, outside, 1008);
  EXPECT_EQ(blocks.inside_addresses(), 200U);
  EXPECT_EQ(blocks.blocks(), 256U);
  std::set<std::pair<std::uint32_t, std::uint16_t>> taken;
  const std::uint32_t first = tests::address("10.0.0.0").v4();
  const std::uint32_t second = tests::address("10.9.0.5").v4();
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t address = i < 100 ? first + i : second + (i - 100);
    const auto block = blocks.of(address);
    ASSERT_TRUE(block.has_value());
    EXPECT_GE(block->first, kNatPortFirst);
    for (const unsigned at : {0U, 500U, 1007U}) {
      const auto port = static_cast<std::uint16_t>(block->first + at);
      EXPECT_TRUE(taken.emplace(block->outside, port).second);
      EXPECT_EQ(blocks.owner(block->outside, port), address);
    }
  }
  EXPECT_FALSE(blocks.of(first + 100).has_value());
  EXPECT_FALSE(blocks.owner(tests::address("203.0.113.2").v4(), 5000).has_value());
  EXPECT_FALSE(blocks.owner(tests::address("203.0.113.1").v4(), 1023).has_value());
  EXPECT_FALSE(blocks.owner(tests::address("203.0.113.6").v4(), 60000).has_value());  // a block nobody has
}

TEST(PortBlocks, CandidatesMeetEachPortOnceAndKeepParityWhileItLasts_Rfc4787Req4) {
  for (const unsigned count : {2U, 4U, 64U, 1008U}) {
    const PortBlock block{1, 2032, static_cast<std::uint16_t>(count)};
    for (const unsigned inside : {0U, 1U, 2031U, 2032U, 2033U, 40001U, 65535U}) {
      std::set<std::uint16_t> met;
      for (unsigned probe = 0; probe < count; ++probe) {
        const std::uint16_t port = block.candidate(static_cast<std::uint16_t>(inside), probe);
        EXPECT_TRUE(block.contains(port));
        EXPECT_TRUE(met.insert(port).second);
        if (probe < count / 2) {
          EXPECT_EQ(port % 2U, inside % 2U);
        }
      }
    }
  }
  const PortBlock block{1, 2032, 1008};
  EXPECT_EQ(block.candidate(2500, 0), 2500);  // preserved where it can be
}

}  // namespace
}  // namespace sekisho::filters
