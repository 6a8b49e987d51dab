// SPDX-License-Identifier: Apache-2.0
// The reference itself, against verdicts written by hand.
#include "filters/policy/linear_matcher.h"

#include <gtest/gtest.h>

#include "tests/support/snapshots.h"

namespace sekisho::filters {
namespace {

using snapshot::kNone;
using tests::address;

/// one_of_everything: rule 0 (tenant 0, zone 0 to any): 10.0.0.0/26, 10.0.0.77, fd00::/64 to 203.0.113.0/24; http or
/// ping.
class LinearMatcher : public testing::Test {
 protected:
  const std::vector<std::uint8_t> bytes_ = tests::one_of_everything().finish(1);
  const SnapshotView view_ = SnapshotView::parse(bytes_).value();
  PolicyQuery query_{0, 0, 1, address("10.0.0.5"), address("203.0.113.9"), 6, 40000, 80, 0, 0};

  PolicyMatch match() const { return match_linear(view_, query_); }
  static constexpr PolicyMatch kDefault{1, kNone};
};

TEST_F(LinearMatcher, FindsTheFirstRuleAndItsService) {
  EXPECT_EQ(match(), (PolicyMatch{0, 0}));
  query_.source = address("10.0.0.77");
  EXPECT_EQ(match(), (PolicyMatch{0, 0}));
  query_.protocol = 1;
  query_.icmp_type = 8;
  EXPECT_EQ(match(), (PolicyMatch{0, 1}));
}

TEST(LinearMatcherOfUsers, TakesThoseWithACommonGroupAlone) {
  auto builder = tests::one_of_everything();
  builder.rules[0].user_groups = 0b110;
  const auto bytes = builder.finish(1);
  const SnapshotView view = SnapshotView::parse(bytes).value();
  PolicyQuery query{0, 0, 1, address("10.0.0.5"), address("203.0.113.9"), 6, 40000, 80, 0, 0};
  for (const std::uint64_t groups : {0b010U, 0b100U, 0b111U}) {
    query.user_groups = groups;
    EXPECT_EQ(match_linear(view, query).rule, 0U) << groups;
  }
  for (const std::uint64_t groups : {0b000U, 0b001U, 0b1000U}) {
    query.user_groups = groups;
    EXPECT_EQ(match_linear(view, query).rule, 1U) << groups;
  }
}

TEST_F(LinearMatcher, KeepsTenantsWithEqualAddressesApart) {
  query_.tenant_index = 1;

  EXPECT_EQ(match(), (PolicyMatch{2, 2}));
}

TEST_F(LinearMatcher, GivesTheDefaultDenyJustOutside) {
  const PolicyQuery taken = query_;
  query_.source = address("10.0.0.64");
  EXPECT_EQ(match(), kDefault);
  query_.source = address("10.0.0.76");
  EXPECT_EQ(match(), kDefault);
  query_.source = address("10.0.0.78");
  EXPECT_EQ(match(), kDefault);
  query_ = taken;
  query_.destination = address("203.0.114.0");
  EXPECT_EQ(match(), kDefault);
  query_ = taken;
  query_.source_zone = 1;
  EXPECT_EQ(match(), kDefault);
  query_ = taken;
  query_.destination_port = 81;
  EXPECT_EQ(match(), kDefault);
  query_ = taken;
  query_.protocol = 17;
  EXPECT_EQ(match(), kDefault);
}

TEST_F(LinearMatcher, JudgesIcmpByTypeAndNotByPorts) {
  query_.protocol = 1;
  query_.icmp_type = 0;
  EXPECT_EQ(match(), kDefault);
  query_.icmp_type = 8;
  query_.destination_port = 81;
  EXPECT_EQ(match(), (PolicyMatch{0, 1}));
}

TEST_F(LinearMatcher, DoesNotTakeTheBytesOfOneFamilyForTheOther) {
  query_.source = Address{.bytes = query_.source.bytes, .family = Family::kIpv6};

  EXPECT_EQ(match(), kDefault);
}

}  // namespace
}  // namespace sekisho::filters
