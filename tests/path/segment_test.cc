// SPDX-License-Identifier: Apache-2.0
// Goal: behind one Port enforced by segment every host is judged by the Binding of its MAC, as if it had a Port of its own.
// Method: two hosts behind tenant A's client Port; each forgery of one stands beside the same packet from its owner.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
namespace snapshot = filters::snapshot;

const RuleText kAllowAll{.id = 11};
const Mac kNobody = mac("52:54:00:00:00:66");
const Mac kBroadcast = mac("ff:ff:ff:ff:ff:ff");

class PathSegment : public PathTest {
 protected:
  void SetUp() override { world_.apply(1, {kAllowAll}, {.edit = share_client_port}); }
  [[nodiscard]] FrameBuilder from(const Mac& source, std::string_view sender, std::string_view to) const {
    return ip(FrameBuilder().ethernet(source, world_.gateway(kClientNic)), sender, to);
  }
  [[nodiscard]] Frame second4() const { return from(kSecondMac, "10.0.0.35", "10.0.0.2").udp(5000, 53).build(); }
  [[nodiscard]] Frame second6() const { return from(kSecondMac, "fd00:0:0:2::3", "fd00:0:0:1::2").udp(5000, 53).build(); }
  /// Both hosts reach the server, in both families.
  void expect_unaffected() {
    world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
    world_.through(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), kServerNic);
    world_.through(kClientNic, second4(), kServerNic);
    world_.through(kClientNic, second6(), kServerNic);
  }
  void expect_refused(const Frame& frame, DropReason reason, std::uint32_t binding) {
    const std::uint64_t before = drops(reason);
    world_.records();
    world_.inject(kClientNic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    EXPECT_EQ(collect_all(), 0U);
    const auto records = world_.records();
    ASSERT_EQ(records.size(), 1U) << filters::info(reason).name;
    EXPECT_EQ(records[0].sec.binding, binding);
    EXPECT_EQ(records[0].sec.in_port, kClientPort);
  }
  [[nodiscard]] Frame arp(const Mac& source, const char* sender, const char* target) const {
    return FrameBuilder().ethernet(source, kBroadcast).arp({.sender_mac = source, .sender = address(sender), .target = address(target)}).build();
  }
};
SEKISHO_PATH_WORKERS(PathSegment);

TEST_P(PathSegment, EveryHostSpeaksWithItsOwnAddressesAlone) {
  expect_unaffected();
  expect_refused(from(kSecondMac, "10.0.0.34", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeIp4, kSecondBinding);
  expect_refused(from(kClientMac, "10.0.0.35", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeIp4, kClientPort);
  expect_refused(from(kSecondMac, "fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeIp6, kSecondBinding);
  expect_refused(from(kClientMac, "fd00:0:0:2::3", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeIp6, kClientPort);
  expect_refused(arp(kSecondMac, "10.0.0.34", "10.0.0.33"), DropReason::kAeArpSpa, kSecondBinding);
  expect_unaffected();
}

TEST_P(PathSegment, MacNobodyHasIsAStranger) {
  expect_refused(from(kNobody, "10.0.0.35", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeMac, filters::kNoIndex);
  expect_refused(from(mac("52:54:00:00:00:68"), "fd00:0:0:2::3", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeMac, filters::kNoIndex);
  expect_refused(arp(mac("52:54:00:00:00:67"), "10.0.0.35", "10.0.0.33"), DropReason::kAeMac, filters::kNoIndex);
  // What is wrong with the frame itself comes first in the order, whoever sent it.
  expect_refused(FrameBuilder().ethernet(kNobody, kBroadcast).ether_type(0x88cc).payload(60).build(), DropReason::kAeEthertype, filters::kNoIndex);
  expect_refused(from(mac("53:54:00:00:00:44"), "10.0.0.35", "10.0.0.2").udp(5000, 53).build(), DropReason::kAeFrame, filters::kNoIndex);
  expect_unaffected();
}

TEST_P(PathSegment, AnswersReachTheHostThatAsked) {
  const Frame answer4 = [&] {
    world_.through(kClientNic, second4(), kServerNic);
    return world_.through(kServerNic, server("10.0.0.2", "10.0.0.35").udp(53, 5000).build(), kClientNic);
  }();
  EXPECT_EQ(filters::ethernet_destination(answer4), kSecondMac);
  world_.through(kClientNic, second6(), kServerNic);
  const Frame answer6 = world_.through(kServerNic, server("fd00:0:0:1::2", "fd00:0:0:2::3").udp(53, 5000).build(), kClientNic);
  EXPECT_EQ(filters::ethernet_destination(answer6), kSecondMac);
  const Frame reply = world_.through(kClientNic, arp(kSecondMac, "10.0.0.35", "10.0.0.33"), kClientNic);
  EXPECT_EQ(filters::ethernet_destination(reply), kSecondMac);
}

TEST_P(PathSegment, MalformedPacketIsNamedByTheStepOfItsOwnBinding) {
  const auto broken = [&](const Mac& source, const char* sender) {
    return from(source, sender, "10.0.0.2").udp(5000, 53, {.checksum = 1}).build();
  };
  expect_refused(broken(kSecondMac, "10.0.0.34"), DropReason::kAeIp4, kSecondBinding);
  expect_refused(broken(kNobody, "10.0.0.35"), DropReason::kAeMac, filters::kNoIndex);
  const std::uint64_t before = drops(DropReason::kL4Checksum);
  world_.inject(kClientNic, broken(kSecondMac, "10.0.0.35"));
  EXPECT_EQ(drops(DropReason::kL4Checksum), before + 1);
}

TEST_P(PathSegment, SuspendedHostIsUnboundAndItsNeighbourIsNot) {
  world_.apply(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) {
    share_client_port(builder);
    builder.bindings[2].active = 0;
  }});
  expect_refused(second4(), DropReason::kAeUnbound, kSecondBinding);
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  const std::uint64_t before = drops(DropReason::kAeDestinationForeign);
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.35").udp(53, 5000).build());
  EXPECT_EQ(drops(DropReason::kAeDestinationForeign), before + 1);
}

TEST_P(PathSegment, OneHostsStormDoesNotSpendItsNeighboursMeters) {
  for (int i = 0; i < 100; ++i) world_.inject(kClientNic, arp(kSecondMac, "10.0.0.35", "10.0.0.33"));
  EXPECT_EQ(drops(DropReason::kAeStorm), 40U);  // burst 60
  EXPECT_EQ(world_.collect(kClientNic).size(), 60U);
  world_.through(kClientNic, arp(kClientMac, "10.0.0.34", "10.0.0.33"), kClientNic);
  expect_unaffected();
}

TEST_P(PathSegment, LinkLocalOfANeighbourCannotBeClaimed) {
  const auto from_link_local = [&](const Mac& source, const Address& sender) {
    return FrameBuilder().ethernet(source, world_.gateway(kClientNic)).ipv6(to_string(sender), "fd00:0:0:2::1", {.hop_limit = 255}).echo().build();
  };
  expect_refused(from_link_local(kSecondMac, eui64_link_local(kClientMac)), DropReason::kAeLinkLocal, kSecondBinding);
  const std::uint64_t before = drops(DropReason::kAeLinkLocal);
  world_.inject(kClientNic, from_link_local(kSecondMac, eui64_link_local(kSecondMac)));
  world_.inject(kClientNic, from_link_local(kClientMac, address("fe80::77")));  // nobody's: pinned
  EXPECT_EQ(drops(DropReason::kAeLinkLocal), before);
}

TEST_P(PathSegment, ManyHostsBehindOnePortAreAllKnown) {
  constexpr std::uint32_t kHosts = 400;
  const auto host_mac = [](std::uint32_t i) { return Mac::from_number(0x525400100000U + i * 0x10001U); };
  world_.apply(2, {kAllowAll}, {.tenant_b = false, .edit = [&](filters::SnapshotBuilder& builder) {
    builder.port_addresses[2] = parse_prefix("10.1.0.1/16").value();
    // One Binding holds 64 pairs of at most 8 MACs.
    for (std::uint32_t i = 0; i < kHosts; i += 8) {
      auto& binding = add_to_segment(builder, 1, 100 + i, host_mac(i), {});
      for (std::uint32_t k = i; k < i + 8; ++k) {
        builder.binding_pairs.push_back({host_mac(k), {Address::from_v4(0x0a010100U + k), 32}});
      }
      binding.pairs.count = 8;
      binding.routed.first += 8;
    }
  }});
  for (std::uint32_t i = 0; i < kHosts; ++i) {
    const std::string own = to_string(Address::from_v4(0x0a010100U + i));
    world_.through(kClientNic, from(host_mac(i), own, "10.0.0.2").udp(5000, 53).build(), kServerNic);
    world_.inject(kClientNic, from(host_mac((i + 1) % kHosts), own, "10.0.0.2").udp(5000, 53).build());
  }
  EXPECT_EQ(drops(DropReason::kAeIp4), kHosts);
  EXPECT_EQ(collect_all(), 0U);
}

class PathSegmentMove : public PathTest {};
SEKISHO_PATH_WORKERS(PathSegmentMove);

TEST_P(PathSegmentMove, HostThatMovesToAnotherPortTakesItsSessionsAlongAtOnce) {
  constexpr std::uint32_t kClient = 1, kSpare = 4;  // indices
  const auto with_spare = [](filters::SnapshotBuilder& builder) {
    filters::snapshot::Port spare = builder.ports[kClient];
    spare.id = 5;
    spare.nic = kServerNic;
    spare.outer_vlan = 400;
    spare.binding = filters::snapshot::kNone;
    spare.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), 0};
    builder.ports.push_back(spare);
  };
  const auto moved = [&](filters::SnapshotBuilder& builder) {
    with_spare(builder);
    std::swap(builder.ports[kClient].binding, builder.ports[kSpare].binding);
    builder.bindings[1].port = kSpare;
  };
  const auto elsewhere = [&](const char* from, const char* to) {
    return ip(FrameBuilder().ethernet(kClientMac, world_.gateway(kServerNic)).vlan(400), from, to).udp(5000, 53).build();
  };
  world_.apply(1, {kAllowAll}, {.tenant_b = false, .edit = with_spare});
  for (const auto& [from, to] : {std::pair("10.0.0.34", "10.0.0.2"), std::pair("fd00:0:0:2::2", "fd00:0:0:1::2")}) {
    world_.through(kClientNic, client(from, to).udp(5000, 53).build(), kServerNic);
    world_.inject(kServerNic, elsewhere(from, to));
  }
  EXPECT_EQ(drops(DropReason::kAeUnbound), 2U);
  EXPECT_EQ(world_.sessions(), 2U);

  world_.apply(2, {kAllowAll}, {.tenant_b = false, .edit = moved});
  for (const auto& [from, to] : {std::pair("10.0.0.34", "10.0.0.2"), std::pair("fd00:0:0:2::2", "fd00:0:0:1::2")}) {
    const Frame answer = world_.through(kServerNic, server(to, from).udp(53, 5000).build(), kServerNic);
    EXPECT_EQ(filters::ethernet_destination(answer), kClientMac);
    EXPECT_EQ(read(answer).outer_vlan, 400);
    world_.through(kServerNic, elsewhere(from, to), kServerNic);
    world_.inject(kClientNic, client(from, to).udp(5000, 53).build());
  }
  EXPECT_EQ(drops(DropReason::kAeUnbound), 4U);
  EXPECT_EQ(world_.sessions(), 2U);
  EXPECT_EQ(drops(DropReason::kPolicyChanged), 0U);
  EXPECT_EQ(collect_all(), 0U);
}

}  // namespace
}  // namespace sekisho::tests
