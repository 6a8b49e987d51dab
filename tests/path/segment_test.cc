// SPDX-License-Identifier: Apache-2.0
// Goal: behind one Port enforced by segment every host is judged by the Binding of its MAC, as if it had a Port of its own.
// Method: two hosts behind tenant A's client Port; each forgery of one stands beside the same packet from its owner.
#include "filters/packet/nd.h"
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

/// What honest hosts do, and nobody may notice that they are watched.
class PathSegmentNormal : public PathSegment {
 protected:
  void expect_silent(const Frame& frame, std::size_t answers = 0) {
    world_.records();
    const std::uint64_t before = named_drops();
    world_.inject(kClientNic, frame);
    EXPECT_EQ(world_.collect(kClientNic).size(), answers);
    EXPECT_EQ(named_drops(), before);
    for (const auto& record : world_.records()) EXPECT_NE(record.envelope.kind, LogKind::kSec);
  }
  void expect_dropped(const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(kClientNic, frame);
    EXPECT_EQ(drops(reason), before + 1);
    EXPECT_EQ(collect_all(), 0U);
  }
  std::uint64_t named_drops() const {
    std::uint64_t out = 0;
    for (auto reason = static_cast<std::size_t>(DropReason::kAeUnbound); reason <= static_cast<std::size_t>(DropReason::kAeDestinationForeign); ++reason) {
      out += drops(static_cast<DropReason>(reason));
    }
    return out;
  }
};
SEKISHO_PATH_WORKERS(PathSegmentNormal);

TEST_P(PathSegmentNormal, ArpProbesAnnouncementsAndDuplicateDetectionPass) {
  expect_silent(arp(kSecondMac, "0.0.0.0", "10.0.0.35"));                                 // RFC 5227 probe
  expect_silent(arp(kSecondMac, "10.0.0.35", "10.0.0.35"));                               // announcement
  expect_silent(arp(kSecondMac, "10.0.0.35", "10.0.0.34"));                               // a question to a neighbour
  const auto probe = [&](const Address& target) {
    const Address group = filters::solicited_node(target);
    return FrameBuilder().ethernet(kSecondMac, filters::multicast_mac(group)).ipv6("::", to_string(group), {.hop_limit = 255})
        .nd(135, {.target = target}).build();
  };
  expect_silent(probe(address("fd00:0:0:2::3")));
  expect_silent(probe(eui64_link_local(kSecondMac)));
  expect_refused(probe(address("fd00:0:0:2::2")), DropReason::kAeDadForeign, kSecondBinding);
  expect_refused(arp(kSecondMac, "0.0.0.0", "10.0.0.34"), DropReason::kAeArpProbe, kSecondBinding);
}

TEST_P(PathSegmentNormal, PrivacyAddressesInsideABoundPrefixPassAndAreReached) {
  world_.apply(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) {
    add_to_segment(builder, 1, kSecondBinding, kSecondMac, {"fd00:0:0:2:8000::/66"});
  }});
  for (const char* own : {"fd00:0:0:2:8000::1", "fd00:0:0:2:9d3a:71ff:fe02:1", "fd00:0:0:2:bfff:ffff:ffff:ffff"}) {
    world_.through(kClientNic, from(kSecondMac, own, "fd00:0:0:1::2").udp(5000, 53).build(), kServerNic);
    const Frame answer = world_.through(kServerNic, server("fd00:0:0:1::2", own).udp(53, 5000).build(), kClientNic);
    EXPECT_EQ(filters::ethernet_destination(answer), kSecondMac);
  }
  expect_refused(from(kSecondMac, "fd00:0:0:2:c000::", "fd00:0:0:1::2").udp(5000, 53).build(), DropReason::kAeIp6, kSecondBinding);
}

TEST_P(PathSegmentNormal, VirtualRouterMovesBetweenItsHostsWithItsMac) {
  constexpr std::uint8_t kGroup = 211;
  const Mac shared = mac("00:00:5e:00:01:d3");
  const auto with_router = [&](filters::SnapshotBuilder& builder) {
    share_client_port(builder);
    // VRRP messages come from the virtual MAC with the host's own address (RFC 5798 7.2).
    auto& virtual_router = add_to_segment(builder, 1, 4, shared, {"10.0.0.40/32", "10.0.0.34/32", "10.0.0.35/32"});
    virtual_router.vrids[0] = kGroup;
  };
  world_.apply(2, {kAllowAll}, {.edit = with_router});
  const auto hello = [&](const char* master, std::uint8_t group) {
    return FrameBuilder().ethernet(shared, Mac{{1, 0, 0x5e, 0, 0, 0x12}}).ipv4(master, "224.0.0.18", {.ttl = 255})
        .protocol(112, {0x31, group, 100, 1, 0, 1, 0, 0, 10, 0, 0, 40}).build();
  };
  for (const char* master : {"10.0.0.34", "10.0.0.35"}) {  // the second takes over
    expect_silent(hello(master, kGroup));
    expect_silent(arp(shared, "10.0.0.40", "10.0.0.40"));
    world_.through(kClientNic, from(shared, "10.0.0.40", "10.0.0.2").udp(5000, 53).build(), kServerNic);
    const Frame answer = world_.through(kServerNic, server("10.0.0.2", "10.0.0.40").udp(53, 5000).build(), kClientNic);
    EXPECT_EQ(filters::ethernet_destination(answer), shared);
  }
  expect_refused(hello("10.0.0.34", kGroup + 1), DropReason::kAeVrrp, 4);
  expect_refused(hello("10.0.0.36", kGroup), DropReason::kAeIp4, 4);
  world_.apply(3, {kAllowAll}, {.edit = [&](filters::SnapshotBuilder& builder) {
    with_router(builder);
    builder.bindings[3].vrids[0] = 0;
  }});
  expect_dropped(hello("10.0.0.34", kGroup), DropReason::kAeVrrp);
}

TEST_P(PathSegmentNormal, DhcpClientIsHeardAndNobodyServesItYet) {
  Frame message(240);
  message[0] = message[1] = 1, message[2] = 6;
  std::copy(kSecondMac.bytes.begin(), kSecondMac.bytes.end(), message.begin() + 28);
  const std::uint64_t before = named_drops();
  world_.inject(kClientNic, FrameBuilder().ethernet(kSecondMac, kBroadcast).ipv4("0.0.0.0", "255.255.255.255").udp(68, 67).payload(message).build());
  EXPECT_EQ(drops(DropReason::kDestinationBroadcast), 1U);  // no relay in the gateway: it ends there,
  EXPECT_EQ(named_drops(), before);                         // and is no violation
}

TEST_P(PathSegmentNormal, ForeignDhcpServerReachesNoClientWhateverPortItSpeaksFrom) {
  for (const std::uint16_t port : {std::uint16_t{67}, std::uint16_t{1067}}) {
    expect_dropped(from(kSecondMac, "10.0.0.35", "10.0.0.2").udp(port, 68).build(), DropReason::kAeDhcpServer);
  }
  for (const std::uint16_t port : {std::uint16_t{547}, std::uint16_t{1547}}) {
    expect_dropped(from(kSecondMac, "fd00:0:0:2::3", "fd00:0:0:1::2").udp(port, 546).build(), DropReason::kAeDhcpServer);
  }
  // An answer is no offer: a client may renew at a server far away.
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.35").udp(68, 5067).build(), kClientNic);
  world_.through(kClientNic, from(kSecondMac, "10.0.0.35", "10.0.0.2").udp(5067, 68).build(), kServerNic);
  world_.apply(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) {
    share_client_port(builder);
    builder.bindings[2].roles = snapshot::kRoleDhcp;
  }});
  world_.through(kClientNic, from(kSecondMac, "10.0.0.35", "10.0.0.2").udp(67, 68).build(), kServerNic);
}

TEST_P(PathSegmentNormal, LinkControlFramesAreDroppedByNameAndAllowedTypesEndSilently) {
  const Mac bridge_group{{1, 0x80, 0xc2, 0, 0, 0}};
  const auto lldp = [&](const Mac& source) {
    return FrameBuilder().ethernet(source, Mac{{1, 0x80, 0xc2, 0, 0, 0x0e}}).ether_type(0x88cc).payload(46).build();
  };
  world_.apply(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) {
    share_client_port(builder);
    builder.bindings[2].ethertypes = {0x88cc, 0x88b5};
  }});
  expect_refused(lldp(kClientMac), DropReason::kAeEthertype, kClientPort);
  expect_silent(lldp(kSecondMac));
  expect_silent(FrameBuilder().ethernet(kSecondMac, kBroadcast).ether_type(0x88b5).payload(46).build());
  EXPECT_EQ(drops(DropReason::kLinkControl), 1U);
  // Switches say such things on every link; on uplinks it is no event.
  world_.inject(kUplinkNic, FrameBuilder().ethernet(kRouterMac, bridge_group).ether_type(0x0027).payload(46).build());
  world_.inject(kUplinkNic, FrameBuilder().ethernet(kRouterMac, Mac{{1, 0x80, 0xc2, 0, 0, 1}}).ether_type(0x8808).payload(46).build());
  EXPECT_EQ(drops(DropReason::kLinkControl), 3U);
  world_.inject(kUplinkNic, FrameBuilder().ethernet(kRouterMac, Mac{{1, 0x80, 0xc2, 0, 0, 0x10}}).ether_type(0x88b5).payload(46).build());
  EXPECT_EQ(drops(DropReason::kLinkControl), 3U);
  EXPECT_TRUE(world_.records().empty());
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
