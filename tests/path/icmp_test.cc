// SPDX-License-Identifier: Apache-2.0
// Goal: what the gateway says itself is right, bounded per tenant, and never about errors or groups.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::seconds;

const RuleText kAllowAll{.id = 11};

class PathIcmp : public PathTest {};
SEKISHO_PATH_WORKERS(PathIcmp);

TEST_P(PathIcmp, TooBigSaysTheMtuOfTheWayOutAndOneByteLessPasses) {
  const Shape narrow{.edit = [](filters::SnapshotBuilder& builder) { builder.ports[0].mtu = 1280; }};
  world_.apply(1, {kAllowAll}, narrow);
  const Frame big4 = client("10.0.0.34", "10.0.0.2").udp(5000, 53).payload(1281 - 28).build();
  const Frame error4 = world_.through(kClientNic, big4, kClientNic);
  EXPECT_EQ(read(error4).icmp_type, 3);
  EXPECT_EQ(read(error4).icmp_code, 4);
  EXPECT_EQ(error4[14 + 20 + 6] << 8 | error4[14 + 20 + 7], 1280);
  const Frame big6 = client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).payload(1281 - 48).build();
  const Frame error6 = world_.through(kClientNic, big6, kClientNic);
  EXPECT_EQ(read(error6).icmp_type, 2);
  EXPECT_EQ(error6[14 + 40 + 6] << 8 | error6[14 + 40 + 7], 1280);
  EXPECT_LE(error6.size(), 14 + 1280U);
  EXPECT_EQ(drops(DropReason::kTooBig), 2U);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).payload(1280 - 28).build(), kServerNic);
  world_.through(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).payload(1280 - 48).build(), kServerNic);
}

TEST_P(PathIcmp, HopLimitTwoPassesAndOneIsAnswered) {
  world_.apply(1, {kAllowAll});
  const auto with = [&](std::uint8_t ttl) {
    return on_client(kTenantA).ipv4("10.0.0.34", "10.0.0.2", {.ttl = ttl}).udp(5000, 53).build();
  };
  EXPECT_EQ(read(world_.through(kClientNic, with(2), kServerNic)).ttl, 1);
  const Frame error = world_.through(kClientNic, with(1), kClientNic);
  EXPECT_EQ(read(error).icmp_type, 11);
  EXPECT_EQ(filters::ip_source(error, read(error)), address("10.0.0.33"));
  EXPECT_EQ(filters::ethernet_destination(error), kClientMac);
  EXPECT_EQ(drops(DropReason::kTtlExceeded), 1U);
}

TEST_P(PathIcmp, ErrorsAreRateLimitedPerTenant) {
  world_.apply(1, {kAllowAll});
  const auto old = [&](std::uint32_t tenant, std::uint16_t port) {
    return on_client(tenant).ipv4("10.0.0.34", "10.0.0.2", {.ttl = 1}).udp(port, 53).build();
  };
  const auto burst = [&] {
    for (std::uint16_t i = 0; i < 400; ++i) world_.inject(kClientNic, old(kTenantA, static_cast<std::uint16_t>(5000 + i)));
    return world_.collect(kClientNic).size();
  };
  const std::size_t first = burst();
  EXPECT_GE(first, 100U) << "whichever shards the flows meet";
  EXPECT_LE(first, 101U);
  world_.through(kClientNic, old(kTenantB, 5000), kClientNic);
  world_.pass(seconds(1));
  const std::size_t again = burst();
  EXPECT_GE(again, 100U);
  EXPECT_LE(again, 101U);
}

TEST_P(PathIcmp, NothingIsSaidAboutErrorsAndGroups) {
  world_.apply(1, {kAllowAll});
  const Frame sent = world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  const Frame quote(sent.begin() + 14, sent.end());
  world_.inject(kServerNic, on_server(kTenantA).ipv4("10.0.0.2", "10.0.0.34", {.ttl = 1}).icmp(3, 3, 0).payload(quote).build());
  EXPECT_EQ(drops(DropReason::kTtlExceeded), 1U);
  EXPECT_EQ(collect_all(), 0U);
  world_.inject(kClientNic, on_client(kTenantA).ipv4("10.0.0.34", "224.0.0.5", {.ttl = 1}).udp(5000, 53).build());
  world_.inject(kClientNic, on_client(kTenantA).ipv6("fd00:0:0:2::2", "ff02::5", {.hop_limit = 1}).udp(5000, 53).build());
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_EQ(drops(DropReason::kMulticast), 2U);
}

TEST_P(PathIcmp, FloodOfOtherPacketsLeavesEchoRepliesAlone) {
  world_.apply(1, {kAllowAll});
  for (std::uint16_t i = 0; i < 2500; ++i) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.33").udp(5000 + i, 53).build());
  EXPECT_EQ(drops(DropReason::kLocalUnserved), 2500U);
  EXPECT_EQ(read(world_.through(kClientNic, client("10.0.0.34", "10.0.0.33").echo().build(), kClientNic)).icmp_type, 0);
}

TEST_P(PathIcmp, EchoRepliesAreBoundedAndNamed) {
  world_.apply(1, {kAllowAll});
  std::size_t replies = 0;
  for (std::uint16_t i = 0; i < 1200; ++i) {
    world_.inject(kClientNic, client("10.0.0.34", "10.0.0.33").echo(7, i).build());
    replies += world_.collect(kClientNic).size();
  }
  EXPECT_EQ(replies, 1000U) << "one shard alone sees this NIC, and has the tenant's whole budget";
  EXPECT_EQ(drops(DropReason::kPuntLimit), 1200 - replies);
  EXPECT_EQ(read(world_.through(kClientNic, client("10.0.0.34", "10.0.0.33", kTenantB).echo().build(), kClientNic)).icmp_type, 0);
}

}  // namespace
}  // namespace sekisho::tests
