// SPDX-License-Identifier: Apache-2.0
// Goal: on a bound port only the bound speak, and only the suspect traffic suffers. Method: each forgery through the whole
// path beside a correct packet; the record says what was claimed.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::seconds;

const RuleText kAllowAll{.id = 11};
const Mac kThief = mac("52:54:00:00:00:66");

class PathBinding : public PathTest {
 protected:
  void SetUp() override { world_.apply(1, {kAllowAll}); }
  /// A correct packet still crosses, in both families.
  void expect_unaffected() {
    world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
    world_.through(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), kServerNic);
  }
  void expect_refused(const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(kClientNic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    EXPECT_EQ(collect_all(), 0U);
  }
};
SEKISHO_PATH_WORKERS(PathBinding);

TEST_P(PathBinding, ForeignMacAndForeignAddressDoNotPass) {
  const auto thief = [&] { return FrameBuilder().ethernet(kThief, world_.gateway(kClientNic)); };
  expect_refused(thief().ipv4("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeMac);
  expect_refused(thief().ipv6("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeMac);
  expect_refused(client("10.0.0.35", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeIp4);
  expect_refused(client("fd00:0:0:2::3", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeIp6);
  expect_refused(client("10.0.0.33", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeIp4);  // the gateway's
  expect_unaffected();
}

TEST_P(PathBinding, ForgedArpAndNeighbourAdvertisementsDoNotPass) {
  const auto arp = [&](const char* sender, Mac sender_mac) {
    return FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
        .arp({.sender_mac = sender_mac, .sender = address(sender), .target = address("10.0.0.33")}).build();
  };
  expect_refused(arp("10.0.0.33", kClientMac), DropReason::kAeArpSpa);
  expect_refused(arp("10.0.0.34", kThief), DropReason::kAeArpSha);
  const auto advertise = [&](const char* target, Mac link_layer) {
    return FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).ipv6("fd00:0:0:2::2", "fd00:0:0:2::1", {.hop_limit = 255})
        .nd(136, {.target = address(target), .target_link_layer = link_layer, .flags = 0x60000000U}).build();
  };
  expect_refused(advertise("fd00:0:0:2::9", kClientMac), DropReason::kAeNa);
  expect_refused(advertise("fd00:0:0:2::2", kThief), DropReason::kAeNdLinkLayer);
  EXPECT_EQ(world_.records().size(), 4U);
  world_.through(kClientNic, arp("10.0.0.34", kClientMac), kClientNic);  // the honest question is answered
  world_.inject(kClientNic, advertise("fd00:0:0:2::2", kClientMac));
  EXPECT_TRUE(world_.records().empty());
  expect_unaffected();
}

TEST_P(PathBinding, UnboundAndSuspendedPortsPassNothingInEitherDirection) {
  const Shape unbound{.edit = unbind_client};
  const Shape suspended{.edit = [](filters::SnapshotBuilder& builder) { builder.bindings[1].active = 0; }};
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  std::uint32_t generation = 1;
  for (const Shape& shape : {unbound, suspended}) {
    world_.apply(++generation, {kAllowAll}, shape);
    expect_refused(client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeUnbound);
    expect_refused(client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeUnbound);
    world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5000 + generation).build());
    EXPECT_EQ(collect_all(), 0U);
    EXPECT_EQ(drops(DropReason::kAeDestinationForeign), generation - 1U);
  }
  world_.apply(++generation, {kAllowAll});
  expect_unaffected();
}

TEST_P(PathBinding, PacketToAnAddressNobodyIsBoundToIsForeign) {
  expect_refused(client("10.0.0.34", "10.0.0.5").udp(5000, 53).build(), DropReason::kAeDestinationForeign);
  expect_refused(client("fd00:0:0:2::2", "fd00:0:0:1::5").udp(5000, 53).build(), DropReason::kAeDestinationForeign);
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 2U);
  for (const auto& record : records) {
    const bool v4 = record.sec.ip_version == 4;
    EXPECT_EQ(record.envelope.kind, LogKind::kSec);
    EXPECT_EQ(record.sec.destination, address(v4 ? "10.0.0.5" : "fd00:0:0:1::5").bytes);
  }
  expect_unaffected();
}

TEST_P(PathBinding, RecordSaysWhoClaimedWhatAndRepetitionsAreFolded) {
  const Frame forged = client("10.0.0.35", "10.0.0.2").udp(5000, 53).build();
  for (int i = 0; i < 50; ++i) world_.inject(kClientNic, forged);
  auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  const World::Record first = records[0];
  EXPECT_EQ(first.envelope.kind, LogKind::kSec);
  EXPECT_EQ(first.envelope.drop_reason, static_cast<std::uint8_t>(DropReason::kAeIp4));
  EXPECT_EQ(first.envelope.count, 1U);
  EXPECT_EQ(first.envelope.tenant, kTenantA);
  EXPECT_EQ(first.sec.source, address("10.0.0.35").bytes);
  EXPECT_EQ(first.sec.ethernet_source, kClientMac);
  EXPECT_EQ(first.sec.in_port, kClientPort);
  EXPECT_EQ(first.sec.binding, kClientPort);
  EXPECT_EQ(first.sec.ether_type, 0x0800);
  world_.inject(kClientNic, client("10.0.0.36", "10.0.0.2").udp(5000, 53).build());
  EXPECT_EQ(world_.records().size(), 1U);  // another value offends: another record
  world_.pass(seconds(58));
  EXPECT_TRUE(world_.records().empty());
  world_.pass(seconds(40));
  records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].envelope.count, 49U);
  EXPECT_EQ(records[0].sec.first_timestamp, first.sec.first_timestamp);
  expect_unaffected();
}

TEST_P(PathBinding, ThiefThatVariesItsAddressesIsOneLine) {
  for (int i = 40; i < 60; ++i) {
    world_.inject(kClientNic, FrameBuilder().ethernet(kThief, world_.gateway(kClientNic))
                                  .ipv4("10.0.0." + std::to_string(i), "10.0.0.2").udp(5000, 53).build());
  }
  EXPECT_EQ(drops(DropReason::kAeMac), 20U);
  EXPECT_EQ(world_.records().size(), 1U);
}

TEST_P(PathBinding, StormOfOneClassLeavesTheOthersAlone) {
  const Frame question = FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
                             .arp({.sender_mac = kClientMac, .sender = address("10.0.0.34"), .target = address("10.0.0.40")}).build();
  for (int i = 0; i < 100; ++i) world_.inject(kClientNic, question);
  EXPECT_EQ(drops(DropReason::kAeStorm), 40U);  // burst 60
  expect_unaffected();
}

}  // namespace
}  // namespace sekisho::tests
