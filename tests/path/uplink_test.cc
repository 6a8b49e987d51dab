// SPDX-License-Identifier: Apache-2.0
// Goal: on the shared uplink the owner of the destination decides the tenant, and neighbours are asked for, believed only
// when asked, and waited for within bounds. Method: the router's side of the wire, both families.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::milliseconds;
using std::chrono::seconds;

const RuleText kAllowUdp{.id = 12, .protocol = 17};

struct Far {
  const char *server, *outside, *router, *own;
};
constexpr Far kFar4{"203.0.113.17", "198.51.100.9", "192.0.2.2", "192.0.2.1"};
constexpr Far kFar6{"2001:db8:a::17", "2001:db8:ffff::9", "2001:db8:0:1::2", "2001:db8:0:1::1"};

class PathUplink : public PathTest {
 protected:
  PathUplink() : PathTest({.sessions = 16384, .sessions_max = 16384}) {}
  Frame out(const Far& far, std::uint16_t port = 5000) { return server(far.server, far.outside).udp(port, 53).build(); }
  /// The only frame on the uplink since the last look, or an empty one.
  Frame only() {
    const auto frames = world_.collect(kUplinkNic);
    EXPECT_EQ(frames.size(), 1U);
    return frames.empty() ? Frame(64) : frames[0];
  }
  static bool asks(const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    return (meta.proof & filters::kProofArp) != 0 || meta.icmp_type == 135;
  }
  void resolve(const Far& far) {
    world_.inject(kServerNic, out(far, 4999));
    world_.inject(kUplinkNic, router_answer(far.router, far.own));
    EXPECT_EQ(world_.collect(kUplinkNic).size(), 2U);
  }
};
SEKISHO_PATH_WORKERS(PathUplink);

TEST_P(PathUplink, DestinationsOwnerGetsThePacketAndNobodysIsNamed) {
  world_.apply(1, {kAllowUdp});
  const Frame to_a = world_.through(kUplinkNic, outside("198.51.100.9", "203.0.113.17").udp(5000, 53).build(), kServerNic);
  EXPECT_EQ(to_a.size(), 42U);
  const Frame to_b = world_.through(kUplinkNic, outside("198.51.100.9", "203.0.113.33").udp(5000, 53).build(), kServerNic);
  EXPECT_EQ(read(to_b).outer_vlan, 200);
  world_.through(kUplinkNic, outside("2001:db8:ffff::9", "2001:db8:a::17").udp(5000, 53).build(), kServerNic);
  EXPECT_EQ(world_.sessions(), 3U);
  world_.inject(kUplinkNic, outside("198.51.100.9", "203.0.113.48").udp(5000, 53).build());  // behind both blocks
  world_.inject(kUplinkNic, outside("2001:db8:ffff::9", "2001:db8:c::1").udp(5000, 53).build());
  EXPECT_EQ(drops(DropReason::kUplinkNoOwner), 2U);
  EXPECT_EQ(world_.sessions(), 3U);
}

TEST_P(PathUplink, OwnPrefixAndOwnAddressNeverComeFromOutside) {
  world_.apply(1, {kAllowUdp});
  world_.inject(kUplinkNic, outside("203.0.113.18", "203.0.113.17").udp(5000, 53).build());  // A's own block
  world_.inject(kUplinkNic, outside("203.0.113.33", "203.0.113.17").udp(5000, 53).build());  // B's
  world_.inject(kUplinkNic, outside("2001:db8:b::33", "2001:db8:a::17").udp(5000, 53).build());
  world_.inject(kUplinkNic, outside("192.0.2.1", "203.0.113.17").udp(5000, 53).build());     // the gateway itself
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kUplinkSource), 3U);
  EXPECT_EQ(drops(DropReason::kSourceOwn), 1U);
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].envelope.kind, LogKind::kSec);
  EXPECT_EQ(records[0].envelope.tenant, kTenantA);
  EXPECT_EQ(records[0].sec.in_port, kShare);
  world_.through(kUplinkNic, outside("203.0.113.15", "203.0.113.17").udp(5000, 53).build(), kServerNic);  // just before the block
}

TEST_P(PathUplink, NeighbourIsAskedForAndThePacketLeavesWithTheAnswer) {
  world_.apply(1, {kAllowUdp});
  for (const Far& far : {kFar4, kFar6}) {
    world_.inject(kServerNic, out(far));
    EXPECT_TRUE(asks(only()));
    world_.inject(kUplinkNic, router_answer(far.router, far.own));
    const Frame packet = only();
    EXPECT_EQ(filters::ethernet_destination(packet), kRouterMac);
    EXPECT_EQ(filters::ethernet_source(packet), world_.gateway(kUplinkNic));
    EXPECT_EQ(read(packet).ttl, 63);
    world_.inject(kServerNic, out(far, 5001));  // now known
    EXPECT_FALSE(asks(only()));
  }
}

TEST_P(PathUplink, AnswerNobodyAskedForIsRefused) {
  world_.apply(1, {kAllowUdp});
  for (const Far& far : {kFar4, kFar6}) {
    world_.inject(kUplinkNic, router_answer(far.router, far.own));
    resolve(far);
    world_.pass(seconds(4));  // the question is long answered
    world_.inject(kUplinkNic, router_answer(far.router, far.own, mac("52:54:00:00:00:66")));
    world_.inject(kServerNic, out(far));
    EXPECT_EQ(filters::ethernet_destination(only()), kRouterMac);
  }
  EXPECT_EQ(drops(DropReason::kNeighbourUnsolicited), 4U);
}

TEST_P(PathUplink, OurOwnAddressIsNobodyElses) {
  world_.apply(1, {kAllowUdp});
  world_.inject(kServerNic, out(kFar4));
  world_.collect(kUplinkNic);
  world_.inject(kUplinkNic, router_answer("192.0.2.1", "192.0.2.1", mac("52:54:00:00:00:66")));
  EXPECT_EQ(drops(DropReason::kNeighbourUnsolicited), 1U);
  EXPECT_TRUE(world_.collect(kUplinkNic).empty());
}

TEST_P(PathUplink, UnansweredQuestionEndsThePacketAudibly) {
  world_.apply(1, {kAllowUdp});
  for (const Far& far : {kFar4, kFar6}) {
    world_.inject(kServerNic, out(far));
    world_.collect(kUplinkNic);
    world_.pass(seconds(3));
    const auto asked_again = world_.collect(kUplinkNic);
    EXPECT_GE(asked_again.size(), 1U);
    EXPECT_LE(asked_again.size(), 3U);
    const auto errors = world_.collect(kServerNic);
    ASSERT_EQ(errors.size(), 1U);
    EXPECT_EQ(read(errors[0]).icmp_type, far.own == kFar4.own ? 3 : 1);
  }
  EXPECT_EQ(drops(DropReason::kNeighbourUnresolved), 2U);
}

TEST_P(PathUplink, WaitingPacketsAreBoundedPerTenantAndLeaveInOrder) {
  world_.apply(1, {kAllowUdp});
  for (std::uint16_t i = 0; i < 600; ++i) world_.inject(kServerNic, out(kFar4, static_cast<std::uint16_t>(1000 + i)));
  EXPECT_GT(drops(DropReason::kHoldLimit), 0U);
  EXPECT_EQ(world_.collect(kUplinkNic).size(), 1U);
  // Tenant B's first packet still finds room to wait.
  world_.inject(kServerNic, server("203.0.113.33", "198.51.100.9", kTenantB).udp(5000, 53).build());
  const std::uint64_t refused = drops(DropReason::kHoldLimit);
  world_.inject(kUplinkNic, router_answer(kFar4.router, kFar4.own));
  const auto released = world_.collect(kUplinkNic);
  EXPECT_EQ(released.size(), 601 - refused);
  const auto from_b = std::count_if(released.begin(), released.end(), [](const Frame& frame) { return frame[29] == 33; });
  EXPECT_EQ(from_b, 1);
  if (GetParam() > 1) return;  // order is per flow; one shard shows it for all
  std::uint16_t last = 0;
  for (const Frame& frame : released) {
    if (frame[29] == 33) continue;
    EXPECT_GT(read(frame).source_port, last);
    last = read(frame).source_port;
  }
}

TEST_P(PathUplink, NeighbourIsConfirmedAfterAMinuteWithoutLosingAPacket) {
  world_.apply(1, {kAllowUdp});
  resolve(kFar4);
  world_.pass(seconds(59));
  world_.inject(kServerNic, out(kFar4, 6000));
  EXPECT_FALSE(asks(only()));
  world_.pass(seconds(2));
  world_.inject(kServerNic, out(kFar4, 6001));
  auto frames = world_.collect(kUplinkNic);
  ASSERT_EQ(frames.size(), 2U);  // the question, and the packet by what we still know
  EXPECT_EQ(asks(frames[0]) + asks(frames[1]), 1);
  world_.inject(kUplinkNic, router_answer(kFar4.router, kFar4.own));
  world_.pass(seconds(30));
  world_.inject(kServerNic, out(kFar4, 6002));
  EXPECT_FALSE(asks(only()));
}

TEST_P(PathUplink, SilentNeighbourIsForgottenAndAskedAnew) {
  world_.apply(1, {kAllowUdp});
  resolve(kFar4);
  world_.pass(seconds(61));
  world_.inject(kServerNic, out(kFar4, 6000));
  world_.pass(seconds(6));
  world_.collect(kUplinkNic);
  world_.inject(kServerNic, out(kFar4, 6001));
  EXPECT_TRUE(asks(only()));  // held, no longer sent to a MAC that may be someone else's
  world_.inject(kUplinkNic, router_answer(kFar4.router, kFar4.own, mac("52:54:00:00:00:fe")));
  EXPECT_EQ(filters::ethernet_destination(only()), mac("52:54:00:00:00:fe"));
}

/// Hosts on the uplink's own link, resolved one by one.
const Shape kOnLink{.edit = [](filters::SnapshotBuilder& builder) {
  builder.routes[5] = {parse_prefix("2001:db8:0:1::/64").value(), 0, 0, 2, {}, {}};
}};

TEST_P(PathUplink, SessionWhoseNeighbourLostItsPlaceFindsItAgain) {
  world_.apply(1, {kAllowUdp}, kOnLink);
  const auto host = [](unsigned number) { return "2001:db8:0:1::" + std::to_string(number); };
  const auto to = [&](unsigned number, std::uint16_t port) {
    return server(kFar6.server, host(number)).udp(port, 53).build();
  };
  constexpr unsigned kHosts = 20;
  for (unsigned number = 100; number < 100 + kHosts; ++number) world_.inject(kServerNic, to(number, 5000));
  for (unsigned round = 0; round < 3; ++round) {  // others take the places of those that did not answer
    world_.pass(seconds(6));
    for (unsigned number = 1000; number < 4000; ++number) world_.inject(kServerNic, to(number + round * 3000, 5000));
    world_.collect(kUplinkNic), world_.collect(kServerNic);
  }
  world_.pass(seconds(6));
  world_.collect(kUplinkNic);
  unsigned answered = 0;
  for (unsigned number = 100; number < 100 + kHosts; ++number) {
    for (int attempt = 0; attempt < 2; ++attempt) world_.inject(kServerNic, to(number, 5000));  // the session still lives
    for (const Frame& frame : world_.collect(kUplinkNic)) {
      ASSERT_TRUE(asks(frame));
      const Address target = Address::from_wire(std::span(frame).subspan(14 + 40 + 8, 16)).value();
      EXPECT_EQ(target, address(host(number)));  // never a question about another host
    }
    world_.inject(kUplinkNic, router_answer(host(number), kFar6.own));
    answered += static_cast<unsigned>(world_.collect(kUplinkNic).size() > 0);
  }
  EXPECT_EQ(answered, kHosts);
}

TEST_P(PathUplink, OneTenantsScanLeavesRoomForOthersNeighbours) {
  world_.apply(1, {kAllowUdp}, {.edit = [](filters::SnapshotBuilder& builder) {
    kOnLink.edit(builder);
    builder.ports[1].kind = filters::snapshot::PortKind::kRouted;  // A's client port is a router's
    unbind_client(builder);
  }});
  for (unsigned number = 2; number < 8000; ++number) {
    world_.inject(kServerNic, server("fd00:0:0:1::2", "fd00:0:0:2::" + std::to_string(number)).udp(5000, 53).build());
  }
  world_.collect(kClientNic), world_.collect(kServerNic);
  world_.inject(kServerNic, server("203.0.113.33", "198.51.100.9", kTenantB).udp(5000, 53).build());
  EXPECT_TRUE(asks(only()));
}

}  // namespace
}  // namespace sekisho::tests
