// SPDX-License-Identifier: Apache-2.0
// Goal: a commit is a clean cut: every packet is judged by the old or the new policy, and what no longer exists ends.
// Method: snapshots applied between any two turns, with packets on the wire, in hand-off rings and held.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpRst;
using filters::kTcpSyn;

const RuleText kAllowAll{.id = 11};
const RuleText kAllowUdp{.id = 12, .protocol = 17};

class PathCommit : public PathTest {};
SEKISHO_PATH_WORKERS(PathCommit);

TEST_P(PathCommit, EveryPacketIsJudgedByTheOldOrTheNewPolicyWhereverTheCutFalls) {
  constexpr std::uint16_t kFlows = 200;
  std::uint32_t generation = 0;
  for (unsigned boundary = 0; boundary < 10; ++boundary) {
    world_.apply(++generation, {kAllowAll});
    const std::uint64_t denied = drops(DropReason::kDefaultDeny);
    for (std::uint16_t flow = 0; flow < kFlows; ++flow) {
      const auto port = static_cast<std::uint16_t>(1000 + boundary * kFlows + flow);
      world_.queue(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 53).build());
    }
    for (unsigned turn = 0; turn < boundary; ++turn) world_.turn(turn % world_.engine().shards());
    world_.apply(++generation, {});
    world_.settle();
    const std::size_t passed = world_.collect(kServerNic).size();
    EXPECT_EQ(passed + drops(DropReason::kDefaultDeny) - denied, kFlows) << "cut after turn " << boundary;
    EXPECT_TRUE(world_.conserved());
  }
  EXPECT_EQ(drops(DropReason::kPolicyChanged), 0U);
}

TEST_P(PathCommit, TheSameSnapshotTwiceChangesNothing) {
  world_.apply(1, {kAllowUdp});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  const dataplane::Runtime* before = world_.engine().runtime();
  world_.apply(1, {kAllowUdp});
  EXPECT_EQ(world_.engine().runtime(), before);
  EXPECT_EQ(world_.sessions(), 1U);
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5000).build(), kClientNic);
  EXPECT_TRUE(world_.records().empty());
}

TEST_P(PathCommit, TenantThatComesBackCountsItsSessionsRight) {
  const auto udp = [&](std::uint16_t port) { return client("10.0.0.34", "10.0.0.2", kTenantB).udp(port, 53).build(); };
  world_.apply(1, {});
  world_.through(kClientNic, udp(5000), kServerNic);
  world_.apply(2, {}, {.tenant_b = false});
  world_.inject(kClientNic, udp(5001));
  EXPECT_EQ(drops(DropReason::kNoPort), 1U);
  world_.apply(3, {});  // the rollback
  world_.through(kClientNic, udp(5000), kServerNic);
  world_.pass(std::chrono::seconds(31));
  EXPECT_EQ(world_.sessions(), 0U);
  for (std::uint16_t port = 6000; port < 6004; ++port) world_.through(kClientNic, udp(port), kServerNic);
  EXPECT_EQ(drops(DropReason::kSessionLimit), 0U);
}

TEST_P(PathCommit, RemovedTenantsSessionsEndWithOneRecordEach) {
  world_.apply(1, {kAllowUdp});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(5000, 53).build(), kServerNic);
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantA).udp(5000, 53).build(), kServerNic);
  world_.apply(2, {kAllowUdp}, {.tenant_b = false});
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(5000, 53).build());
  EXPECT_EQ(collect_all(), 0U);
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantA).udp(5000, 53).build(), kServerNic);
  world_.pass(std::chrono::seconds(32));
  EXPECT_EQ(world_.sessions(), 0U);
  const auto records = world_.records();
  EXPECT_EQ(count(records, CommPhase::kEnd), 2U);
  EXPECT_EQ(std::count_if(records.begin(), records.end(), [](const auto& record) { return record.envelope.tenant == kTenantB; }), 1);
}

TEST_P(PathCommit, SessionOfARemovedPortEndsAtItsNextPacket) {
  world_.apply(1, {});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(5000, 53).build(), kServerNic);
  // Another port with another host stands where the client's was: same wire, another id.
  world_.apply(2, {}, {.edit = [](filters::SnapshotBuilder& builder) {
    builder.ports[6].id = 14, builder.ports[5].id = 13;
    builder.binding_pairs[10].prefix = parse_prefix("10.0.0.35/32").value();
  }});
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34", kTenantB).udp(53, 5000).build());
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  EXPECT_EQ(drops(DropReason::kPolicyChanged), 1U);
  const auto records = world_.records();
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records[0].comm.end_reason, EndReason::kPolicy);
  EXPECT_EQ(records[0].comm.in_port, 10 + kClientPort);
}

TEST_P(PathCommit, HeldPacketIsJudgedAgainAndLeavesOnce) {
  world_.apply(1, {kAllowUdp});
  world_.inject(kServerNic, server("203.0.113.17", "198.51.100.9").udp(5000, 53).build());
  EXPECT_EQ(world_.collect(kUplinkNic).size(), 1U);  // the question
  world_.apply(2, {kAllowAll});
  world_.settle();
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  world_.settle();
  const auto out = world_.collect(kUplinkNic);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ethernet_destination(out[0]), kRouterMac);
  EXPECT_EQ(read(out[0]).ttl, 63);
}

TEST_P(PathCommit, HeldPacketTheNewPolicyDeniesNeverLeaves) {
  world_.apply(1, {kAllowUdp});
  world_.inject(kServerNic, server("203.0.113.17", "198.51.100.9").udp(5000, 53).build());
  world_.collect(kUplinkNic);
  world_.apply(2, {});
  world_.settle();
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  world_.settle();
  EXPECT_TRUE(world_.collect(kUplinkNic).empty());
  EXPECT_EQ(drops(DropReason::kPolicyChanged), 1U);
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathCommit, RefusedSnapshotTakesNoRoomFromTheNext) {
  world_.apply(1, {kAllowUdp});
  std::vector<RuleText> many;
  for (std::uint32_t id = 1000; id < 1000 + 4200; ++id) many.push_back({.id = id});
  dataplane::Engine::Applied applied;
  dataplane::LoadError error;
  EXPECT_FALSE(world_.engine().apply(world_.snapshot(2, many), applied, error));
  EXPECT_NE(error.reason.find("more rules"), std::string::npos) << error.reason;
  world_.apply(3, {{.id = 77}, kAllowUdp});
}

TEST_P(PathCommit, PolicyChangeReachesBothFamiliesAndBothDirections) {
  world_.apply(1, {kAllowAll});
  struct Ends {
    const char *client, *server;
  };
  for (const Ends& ends : {Ends{"10.0.0.34", "10.0.0.2"}, Ends{"fd00:0:0:2::2", "fd00:0:0:1::2"}}) {
    world_.through(kClientNic, client(ends.client, ends.server).udp(5000, 53).build(), kServerNic);
    world_.through(kServerNic, server(ends.server, ends.client).udp(53, 5000).build(), kClientNic);
  }
  world_.apply(2, {{.id = 15, .destinations = {"fd00:0:0:1::/64"}}});
  world_.through(kServerNic, server("fd00:0:0:1::2", "fd00:0:0:2::2").udp(53, 5000).build(), kClientNic);
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5000).build());
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  EXPECT_EQ(world_.sessions(), 1U);
}

TEST_P(PathCommit, TwoOpeningsOfAFinishedConnectionInOneBurstMakeOneSession) {
  world_.apply(1, {kAllowAll});
  const auto syn = [&](std::uint32_t sequence) {
    return client("10.0.0.34", "10.0.0.2").tcp(40000, 80, {.flags = kTcpSyn, .sequence = sequence}).build();
  };
  world_.through(kClientNic, syn(100), kServerNic);
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").tcp(80, 40000, {.flags = kTcpRst | kTcpAck, .acknowledgement = 101}).build(), kClientNic);
  for (int i = 0; i < 2; ++i) world_.queue(kClientNic, syn(900'000));
  world_.settle();
  EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
  EXPECT_EQ(world_.sessions(), 1U);
  EXPECT_EQ(count(world_.records(), CommPhase::kEnd), 1U);
}

}  // namespace
}  // namespace sekisho::tests
