// SPDX-License-Identifier: Apache-2.0
// Goal: every reason a packet can end for is reached by some frame, and counted once. Method: one frame a reason; those
// that need a story have their own test here or in the file of their subject.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
namespace snapshot = filters::snapshot;

class PathDrops : public PathTest {
 protected:
  void expect(std::uint16_t nic, const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(nic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    EXPECT_TRUE(world_.conserved());
  }
  static Frame cut(Frame frame, std::size_t bytes) {
    frame.resize(bytes);
    return frame;
  }
  FrameBuilder to_a() const { return outside("198.51.100.9", "203.0.113.17"); }
  FrameBuilder to_a6() const { return outside("2001:db8:ffff::9", "2001:db8:a::17"); }
  FrameBuilder eth() const { return FrameBuilder().ethernet(kRouterMac, world_.gateway(kUplinkNic)); }
};
SEKISHO_PATH_WORKERS(PathDrops);

TEST_P(PathDrops, MalformedFramesAreNamed) {
  world_.apply(1, {{.id = 11}});
  const Frame udp4 = to_a().udp(1, 2).build();
  const Frame udp6 = to_a6().udp(1, 2).build();
  expect(kUplinkNic, cut(udp4, 10), DropReason::kEthernetTruncated);
  expect(kUplinkNic, cut(eth().vlan(5).ipv4("198.51.100.9", "203.0.113.17").udp(1, 2).build(), 15), DropReason::kVlanTruncated);
  expect(kUplinkNic, eth().vlan(5).vlan(6).vlan(7).ipv4("198.51.100.9", "203.0.113.17").udp(1, 2).build(), DropReason::kVlanDepth);
  expect(kUplinkNic, cut(udp4, 24), DropReason::kIpv4Truncated);
  const auto with4 = [&](const Ipv4Knobs& knobs) { return eth().ipv4("198.51.100.9", "203.0.113.17", knobs).udp(1, 2).build(); };
  expect(kUplinkNic, with4({.version_length = 0x55}), DropReason::kIpv4Version);
  expect(kUplinkNic, with4({.version_length = 0x43}), DropReason::kIpv4HeaderLength);
  expect(kUplinkNic, with4({.total_length = 1000}), DropReason::kIpv4TotalLength);
  expect(kUplinkNic, with4({.checksum = 1}), DropReason::kIpv4Checksum);
  expect(kUplinkNic, with4({.options = {148, 4}}), DropReason::kIpv4Options);
  expect(kUplinkNic, cut(udp6, 30), DropReason::kIpv6Truncated);
  const auto with6 = [&](const Ipv6Knobs& knobs) { return eth().ipv6("2001:db8:ffff::9", "2001:db8:a::17", knobs).udp(1, 2).build(); };
  expect(kUplinkNic, with6({.version = 5}), DropReason::kIpv6Version);
  expect(kUplinkNic, with6({.payload_length = 1000}), DropReason::kIpv6PayloadLength);
  expect(kUplinkNic, to_a6().extension(139, {0, 0, 0, 0, 0, 0, 0}).udp(1, 2).build(), DropReason::kIpv6ExtensionHeader);
  expect(kUplinkNic, to_a6().extension(43, {0, 0, 0, 0, 0, 0, 0}).udp(1, 2).build(), DropReason::kIpv6RoutingHeader0);
  expect(kUplinkNic, to_a().protocol(6, Frame(4)).build(), DropReason::kL4Truncated);
  expect(kUplinkNic, to_a().tcp(1, 2, {.data_offset = 3}).build(), DropReason::kTcpDataOffset);
  expect(kUplinkNic, to_a().tcp(1, 2, {.flags = kTcpFin}).build(), DropReason::kTcpFlags);
  expect(kUplinkNic, to_a().udp(1, 2, {.length = 1000}).build(), DropReason::kUdpLength);
  expect(kUplinkNic, to_a().udp(1, 2, {.checksum = 1}).build(), DropReason::kL4Checksum);
  expect(kUplinkNic, cut(router_answer("192.0.2.2", "192.0.2.1"), 24), DropReason::kArpTruncated);
  EXPECT_EQ(world_.sessions(), 0U);
  expect(kUplinkNic, eth().vlan(99).ipv4("198.51.100.9", "203.0.113.17").udp(1, 2).build(), DropReason::kNoPort);
  world_.through(kUplinkNic, udp4, kServerNic);  // the same frame unbroken
  world_.through(kUplinkNic, udp6, kServerNic);
}

TEST_P(PathDrops, FramesThatAreNotForUsOrFromNowhereAreNamed) {
  world_.apply(1, {{.id = 11}});
  expect(kUplinkNic, FrameBuilder().ethernet(kRouterMac, kServerMac).ipv4("198.51.100.9", "203.0.113.17").udp(1, 2).build(), DropReason::kNotForUs);
  expect(kClientNic, client("10.0.0.34", "10.0.0.34").udp(1, 2).build(), DropReason::kLand);
  expect(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:2::2").udp(1, 2).build(), DropReason::kLand);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathDrops, PolicyAndRouteAreNamed) {
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 1, .port_high = 1}, {.id = 12, .action = snapshot::Action::kDrop, .protocol = 17, .port_low = 2, .port_high = 2},
                   {.id = 13, .action = snapshot::Action::kReject, .protocol = 17, .port_low = 3, .port_high = 3}},
               {.edit = [](filters::SnapshotBuilder& builder) { builder.routes[4].prefix = parse_prefix("198.51.100.0/24").value(); }});
  expect(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 2).build(), DropReason::kRuleDrop);
  expect(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 3).build(), DropReason::kRuleReject);
  expect(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 4).build(), DropReason::kDefaultDeny);
  world_.collect(kClientNic);
  expect(kClientNic, client("10.0.0.34", "192.88.99.1").udp(9, 1).build(), DropReason::kNoRoute);
  const auto errors = world_.collect(kClientNic);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(read(errors[0]).icmp_type, 3);
}

TEST_P(PathDrops, SessionsPacketFromAnotherZoneIsOnTheWrongPort) {
  world_.apply(1, {{.id = 11}});
  world_.through(kClientNic, client("10.0.0.34", "203.0.113.17").udp(5000, 53).build(), kServerNic);
  expect(kUplinkNic, outside("10.0.0.34", "203.0.113.17").udp(5000, 53).build(), DropReason::kWrongPort);
  EXPECT_EQ(collect_all(), 0U);
  world_.through(kClientNic, client("10.0.0.34", "203.0.113.17").udp(5000, 53).build(), kServerNic);
}

TEST_P(PathDrops, FullTransmitQueueIsNamed) {
  world_.apply(1, {{.id = 11}});
  const Frame frame = client("10.0.0.34", "10.0.0.2").udp(5000, 53).build();
  for (int i = 0; i < 4200; ++i) world_.inject(kClientNic, frame);
  EXPECT_EQ(world_.collect(kServerNic).size() + drops(DropReason::kTxQueueFull), 4200U);
  EXPECT_GT(drops(DropReason::kTxQueueFull), 0U);
}

TEST_P(PathDrops, FrameWithoutRoomForItsTagsIsNamed) {
  world_.apply(1, {});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(5000, 53).build(), kServerNic);
  world_.queue(kServerNic, server("10.0.0.2", "10.0.0.34", kTenantB).udp(53, 5000).build(), 0);
  world_.settle();
  EXPECT_EQ(drops(DropReason::kNoMemory), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathDrops, FullHandOffRingIsNamed) {
  if (GetParam() < 2) return;  // nobody to hand to
  world_.apply(1, {{.id = 11}});
  // The client's NIC belongs to shard 1, every transmit queue to shard 0, which takes no turn.
  for (unsigned i = 0; i < 80; ++i) {
    for (unsigned j = 0; j < 64; ++j) world_.queue(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build());
    world_.turn(1);
  }
  EXPECT_GT(drops(DropReason::kHandoffFull), 0U);
  world_.settle();
  EXPECT_EQ(world_.collect(kServerNic).size() + drops(DropReason::kHandoffFull) + drops(DropReason::kTxQueueFull), 80 * 64U);
}

}  // namespace
}  // namespace sekisho::tests
