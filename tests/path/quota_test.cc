// SPDX-License-Identifier: Apache-2.0
// Goal: what a tenant uses beyond its quotas is refused to it by name, and no other tenant notices.
// Method: two tenants with the same addresses; one sends more than it may, the other the same little as ever.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

class PathQuota : public PathTest {
 protected:
  /// Tenant A may open this many sessions a second.
  static Shape rate(std::uint32_t per_second) {
    return {.edit = [=](filters::SnapshotBuilder& b) { b.tenants[0].quotas.new_sessions_per_second = per_second; }};
  }
  Frame udp(std::uint16_t port, std::uint32_t tenant = kTenantA) const {
    return client("10.0.0.34", "10.0.0.2", tenant).udp(port, 53).build();
  }
};
SEKISHO_PATH_WORKERS(PathQuota);

TEST_P(PathQuota, NewSessionsBeyondTheRateAreRefusedToTheirTenantAlone) {
  world_.apply(1, {{.id = 11, .protocol = 17}}, rate(10));
  for (std::uint16_t port = 1000; port < 1030; ++port) world_.inject(kClientNic, udp(port)), world_.inject(kClientNic, udp(port, kTenantB));
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U) << "whichever shards the flows meet";
  EXPECT_EQ(world_.sessions(), 10U + 30U);
  world_.inject(kClientNic, udp(1000));  // an open session is not a new one
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U);
  world_.pass(std::chrono::milliseconds(500));
  for (std::uint16_t port = 1100; port < 1120; ++port) world_.inject(kClientNic, udp(port));
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U + 15U) << "half a second brings half the rate back";
}

TEST_P(PathQuota, PacketsThePolicyRefusesUseNoSessionRate) {
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53}}, rate(10));
  for (std::uint16_t port = 1000; port < 1030; ++port) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 54).build());
  EXPECT_EQ(drops(DropReason::kSessionRate), 0U);
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 30U);
}

}  // namespace
}  // namespace sekisho::tests
