// SPDX-License-Identifier: Apache-2.0
// Goal: two tenants with the very same addresses never see each other. Method: the same packets on both sides, every
// frame that comes out is looked at for its tags.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpSyn;

const RuleText kAllowAll{.id = 11};

struct Ends {
  const char *client, *server;
};
constexpr Ends kEnds[] = {{"10.0.0.34", "10.0.0.2"}, {"fd00:0:0:2::2", "fd00:0:0:1::2"}};

class PathTenants : public PathTest {
 protected:
  /// 0, kTenantA or kTenantB, by the tags of a frame on the server's or the client's NIC.
  static std::uint32_t tenant_of(const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    if (meta.outer_vlan == 0 && meta.inner_vlan == 0) return kTenantA;
    const bool b = (meta.outer_vlan == 200 && meta.inner_vlan == 0) || (meta.outer_vlan == 300 && meta.inner_vlan == 7);
    return b ? kTenantB : 0;
  }
  void expect_only(std::uint16_t nic, std::uint32_t tenant, std::size_t frames) {
    const auto out = world_.collect(nic);
    EXPECT_EQ(out.size(), frames);
    for (const Frame& frame : out) EXPECT_EQ(tenant_of(frame), tenant);
  }
};
SEKISHO_PATH_WORKERS(PathTenants);

TEST_P(PathTenants, SameFiveTupleInBothIsTwoSessions) {
  world_.apply(1, {kAllowAll});
  for (const Ends& ends : kEnds) {
    for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
      world_.inject(kClientNic, client(ends.client, ends.server, tenant).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100 * tenant}).build());
      expect_only(kServerNic, tenant, 1);
      world_.inject(kServerNic, server(ends.server, ends.client, tenant)
                                    .tcp(80, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 5, .acknowledgement = 100 * tenant + 1}).build());
      expect_only(kClientNic, tenant, 1);
    }
  }
  EXPECT_EQ(world_.sessions(), 4U);
}

TEST_P(PathTenants, AnswerOfOneTenantDoesNotFitTheOthersSession) {
  world_.apply(1, {kAllowAll});
  for (const Ends& ends : kEnds) {
    world_.through(kClientNic, client(ends.client, ends.server, kTenantA).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build(), kServerNic);
    const std::uint64_t before = drops(DropReason::kNotFirst);
    world_.inject(kServerNic, server(ends.server, ends.client, kTenantB)
                                  .tcp(80, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 5, .acknowledgement = 101}).build());
    EXPECT_EQ(drops(DropReason::kNotFirst), before + 1);
    EXPECT_EQ(collect_all(), 0U);
  }
}

TEST_P(PathTenants, IcmpErrorQuotingTheOthersFlowIsUnrelated) {
  world_.apply(1, {kAllowAll});
  for (const Ends& ends : kEnds) {
    const bool v4 = ends.client == kEnds[0].client;
    const Frame sent = world_.through(kClientNic, client(ends.client, ends.server, kTenantA).udp(5000, 53).build(), kServerNic);
    const Frame quote(sent.begin() + 14, sent.end());
    const auto error = [&](std::uint32_t tenant) {
      return server(ends.server, ends.client, tenant).icmp(v4 ? 3 : 1, v4 ? 3 : 4, 0).payload(quote).build();
    };
    const std::uint64_t before = drops(DropReason::kIcmpUnrelated);
    world_.inject(kServerNic, error(kTenantB));
    EXPECT_EQ(drops(DropReason::kIcmpUnrelated), before + 1);
    EXPECT_EQ(collect_all(), 0U);
    world_.inject(kServerNic, error(kTenantA));
    expect_only(kClientNic, kTenantA, 1);
  }
}

TEST_P(PathTenants, IcmpErrorToSomeoneElseThanTheQuotedSenderIsUnrelated) {
  world_.apply(1, {kAllowAll});
  const Frame sent = world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  const Frame quote(sent.begin() + 14, sent.end());
  world_.inject(kServerNic, server("10.0.0.2", "198.51.100.9").icmp(3, 3, 0).payload(quote).build());
  EXPECT_EQ(drops(DropReason::kIcmpUnrelated), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathTenants, OutsideReachesEachTenantsServerByItsPublicAddressOnly) {
  world_.apply(1, {kAllowAll});
  struct Public {
    const char *outside, *a, *b;
  };
  for (const Public& far : {Public{"198.51.100.9", "203.0.113.17", "203.0.113.33"}, Public{"2001:db8:ffff::9", "2001:db8:a::17", "2001:db8:b::33"}}) {
    world_.inject(kUplinkNic, outside(far.outside, far.a).udp(5000, 53).build());
    expect_only(kServerNic, kTenantA, 1);
    world_.inject(kUplinkNic, outside(far.outside, far.b).udp(5000, 53).build());
    expect_only(kServerNic, kTenantB, 1);
    // A's server answers in the name of B's public address: it is not bound to that.
    world_.inject(kServerNic, server(far.b, far.outside, kTenantA).udp(53, 5000).build());
    EXPECT_EQ(collect_all(), 0U);
  }
  world_.inject(kUplinkNic, outside("198.51.100.9", "10.0.0.2").udp(5000, 53).build());  // private: nobody's on the uplink
  EXPECT_EQ(drops(DropReason::kUplinkNoOwner), 1U);
}

TEST_P(PathTenants, CommitAndRemovalOfOneTenantLeaveTheOtherAlone) {
  world_.apply(1, {kAllowAll});
  for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
    world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).udp(5000, 53).build(), kServerNic);
  }
  world_.apply(2, {});  // A's policy denies now
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34", kTenantA).udp(53, 5000).build());
  EXPECT_EQ(collect_all(), 0U);
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34", kTenantB).udp(53, 5000).build());
  expect_only(kClientNic, kTenantB, 1);

  world_.apply(3, {kAllowAll}, {.tenant_b = false});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantA).udp(6000, 53).build(), kServerNic);
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34", kTenantB).udp(53, 6000).build());
  world_.inject(kUplinkNic, outside("198.51.100.9", "203.0.113.33").udp(5000, 53).build());
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_EQ(drops(DropReason::kNoPort), 1U);
  EXPECT_EQ(drops(DropReason::kUplinkNoOwner), 1U);
}

TEST_P(PathTenants, DropsAndRecordsCarryTheNameOfTheRightTenant) {
  world_.apply(1, {});
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantA).udp(5000, 53).build());
  world_.inject(kClientNic, client("10.0.0.99", "10.0.0.2", kTenantB).udp(5000, 53).build());
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 2U);
  for (const auto& record : records) {
    const bool denied = record.envelope.kind == LogKind::kComm;
    EXPECT_EQ(record.envelope.tenant, denied ? kTenantA : kTenantB);
  }
}

}  // namespace
}  // namespace sekisho::tests
