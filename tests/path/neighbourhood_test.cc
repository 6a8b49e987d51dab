// SPDX-License-Identifier: Apache-2.0
// Goal: what hosts of one segment are to one another, behind one Port or behind several with one subnet: their link-locals
// are their own, a virtual router's address follows its group, and on an isolated segment they meet through the gateway.
// Method: tenant A's client with a second host, behind its Port or behind one on VLAN 400 of the servers' NIC.
#include "filters/packet/arp.h"
#include "filters/packet/nd.h"
#include "tests/path/path_test.h"
#include "tests/support/vrrp.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::SnapshotBuilder;
namespace snapshot = filters::snapshot;

const RuleText kAllowAll{.id = 11};
const Mac kBroadcast = mac("ff:ff:ff:ff:ff:ff");
constexpr std::uint32_t kSecondPort = 5;  // its id; the last Port

/// Another Port of the client's segment, with the second host behind it.
void add_second_port(SnapshotBuilder& builder) {
  snapshot::Port port = builder.ports[1];
  port.id = kSecondPort;
  port.nic = kServerNic;
  port.outer_vlan = 400;
  port.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), 2};
  for (const char* own : {"10.0.0.33/28", "fd00:0:0:2::1/64"}) builder.port_addresses.push_back(parse_prefix(own).value());
  snapshot::Binding binding = builder.bindings[1];
  binding.id = kSecondBinding;
  binding.port = static_cast<std::uint32_t>(builder.ports.size());
  binding.name = builder.string("second");
  binding.pairs = {static_cast<std::uint32_t>(builder.binding_pairs.size()), 2};
  binding.routed = {binding.pairs.first + 2, 0};
  for (const char* own : {"10.0.0.35/32", "fd00:0:0:2::3/128"}) builder.binding_pairs.push_back({kSecondMac, parse_prefix(own).value()});
  port.binding = 2;
  builder.ports.push_back(port);
  builder.bindings.push_back(binding);
}

enum class Layout { kOnePort, kTwoPorts };

class PathNeighbourhood : public PathTest {
 protected:
  void expect_drop(std::uint16_t nic, const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(nic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    EXPECT_EQ(collect_all(), 0U);
  }
  void send_second(Layout layout, FrameBuilder builder, const Mac& to) {
    world_.inject(nic_of(layout), tagged(layout, std::move(builder), to).build());
  }
  std::uint32_t generation_ = 0;
  static std::uint16_t nic_of(Layout layout) { return layout == Layout::kOnePort ? kClientNic : kServerNic; }
  static FrameBuilder tagged(Layout layout, FrameBuilder builder, const Mac& to, const Mac& from = kSecondMac) {
    builder.ethernet(from, to);
    return layout == Layout::kOnePort ? builder : builder.vlan(400);
  }
};

// ------------------------------------------------------------------------------------------------------- link-locals

class PathLinkLocals : public PathNeighbourhood {
 protected:
  void apply(std::uint32_t generation, Layout layout, bool with_client = true) {
    world_.apply(generation, {kAllowAll}, {.tenant_b = layout == Layout::kOnePort, .edit = [=](SnapshotBuilder& builder) {
      layout == Layout::kOnePort ? share_client_port(builder) : add_second_port(builder);
      builder.bindings[1].active = with_client ? 1 : 0;
      builder.bindings[1].lla_pins = builder.bindings[2].lla_pins = 3;
    }});
  }
  [[nodiscard]] Frame first(const char* own) const {
    return FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).ipv6(own, "fd00:0:0:2::1").echo().build();
  }
  [[nodiscard]] Frame second(Layout layout, const char* own) const {
    return tagged(layout, FrameBuilder().ipv6(own, "fd00:0:0:2::1").echo(), world_.gateway(nic_of(layout))).build();
  }
  void expect_answer(std::uint16_t nic, const Frame& frame) {
    world_.inject(nic, frame);
    EXPECT_EQ(world_.collect(nic).size(), 1U);
  }
};
SEKISHO_PATH_WORKERS(PathLinkLocals);

TEST_P(PathLinkLocals, PinnedByOneHostIsRefusedToEveryOtherOfItsSegmentAlsoAfterACommit) {
  std::uint32_t generation = 0;
  for (const Layout layout : {Layout::kOnePort, Layout::kTwoPorts}) {
    const std::uint16_t nic = nic_of(layout);
    apply(++generation, layout);
    expect_answer(kClientNic, first("fe80::77"));
    expect_drop(nic, second(layout, "fe80::77"), DropReason::kAeLinkLocal);
    expect_answer(nic, second(layout, "fe80::78"));
    expect_drop(kClientNic, first("fe80::78"), DropReason::kAeLinkLocal);
    const Address group = filters::solicited_node(address("fe80::77"));
    const auto probe = [&](FrameBuilder builder) {
      return builder.ipv6("::", to_string(group), {.hop_limit = 255}).nd(135, {.target = address("fe80::77")});
    };
    expect_drop(nic, tagged(layout, probe({}), filters::multicast_mac(group)).build(), DropReason::kAeDadForeign);
    apply(++generation, layout);
    expect_drop(nic, second(layout, "fe80::77"), DropReason::kAeLinkLocal);
    expect_answer(kClientNic, first("fe80::77"));
    world_.apply(++generation, {kAllowAll}, {.tenant_b = false});  // the second host is gone
    world_.engine().release_binding(kClientPort);
  }
}

TEST_P(PathLinkLocals, OfAnotherSegmentOrTenantAreNobodysHere) {
  apply(1, Layout::kOnePort);
  expect_answer(kClientNic, first("fe80::77"));
  expect_answer(kServerNic, FrameBuilder().ethernet(kServerMac, world_.gateway(kServerNic)).ipv6("fe80::77", "fd00:0:0:1::1").echo().build());
  expect_answer(kClientNic, on_client(kTenantB).ipv6("fe80::77", "fd00:0:0:2::1").echo().build());
  expect_answer(kServerNic, on_server(kTenantB).ipv6("fe80::77", "fd00:0:0:1::1").echo().build());
}

TEST_P(PathLinkLocals, BecomeFreeWithTheirBindingOrWhenItIsReleased) {
  for (const Layout layout : {Layout::kOnePort, Layout::kTwoPorts}) {
    const std::uint16_t nic = nic_of(layout);
    const std::uint32_t generation = layout == Layout::kOnePort ? 1 : 11;
    apply(generation, layout);
    expect_answer(kClientNic, first("fe80::77"));
    expect_drop(nic, second(layout, "fe80::77"), DropReason::kAeLinkLocal);
    world_.engine().release_binding(kSecondBinding);  // another's: frees nothing
    expect_drop(nic, second(layout, "fe80::77"), DropReason::kAeLinkLocal);
    EXPECT_FALSE(world_.engine().release_binding(kClientPort));
    expect_answer(nic, second(layout, "fe80::77"));
    expect_drop(kClientNic, first("fe80::77"), DropReason::kAeLinkLocal);
    world_.apply(generation + 1, {kAllowAll}, {.tenant_b = false});  // without the second host
    expect_answer(kClientNic, first("fe80::77"));
    world_.engine().release_binding(kClientPort);
  }
}

TEST_P(PathLinkLocals, SuspendedHostKeepsWhatItHasPinned) {
  apply(1, Layout::kOnePort);
  expect_answer(kClientNic, first("fe80::77"));
  apply(2, Layout::kOnePort, false);
  expect_drop(kClientNic, second(Layout::kOnePort, "fe80::77"), DropReason::kAeLinkLocal);
  apply(3, Layout::kOnePort);
  expect_answer(kClientNic, first("fe80::77"));
}

TEST_P(PathLinkLocals, HostThatMovesToAnotherSegmentLeavesItsPinsBehind) {
  apply(1, Layout::kTwoPorts);
  expect_answer(kServerNic, second(Layout::kTwoPorts, "fe80::77"));
  world_.apply(2, {kAllowAll}, {.tenant_b = false, .edit = [](SnapshotBuilder& builder) {  // a subnet of its own
    add_second_port(builder);
    builder.port_addresses[builder.ports.back().addresses.first] = parse_prefix("10.0.0.49/28").value();
    builder.port_addresses[builder.ports.back().addresses.first + 1] = parse_prefix("fd00:0:0:3::1/64").value();
  }});
  expect_answer(kClientNic, first("fe80::77"));
  EXPECT_EQ(drops(DropReason::kAeLinkLocal), 0U);
  apply(3, Layout::kTwoPorts);
  expect_drop(kServerNic, second(Layout::kTwoPorts, "fe80::77"), DropReason::kAeLinkLocal);
}

// ------------------------------------------------------------------------------------------------------- router flag

using PathRouterFlag = PathNeighbourhood;
SEKISHO_PATH_WORKERS(PathRouterFlag);

TEST_P(PathRouterFlag, OfAHostWithoutTheRoleIsReportedAndNothingElse) {
  constexpr std::uint32_t kRouter = 0x80000000U, kOverride = 0x20000000U;
  const auto said = [this](std::uint32_t flags, std::uint8_t roles) {
    world_.apply(++generation_, {kAllowAll}, {.tenant_b = false, .edit = [=](SnapshotBuilder& builder) { builder.bindings[1].roles = roles; }});
    world_.records();
    world_.inject(kClientNic, FrameBuilder().ethernet(kClientMac, filters::multicast_mac(address("ff02::1"))).ipv6("fd00:0:0:2::2", "ff02::1", {.hop_limit = 255})
        .nd(136, {.target = address("fd00:0:0:2::2"), .target_link_layer = kClientMac, .flags = flags}).build());
    EXPECT_EQ(collect_all(), 0U);
    std::vector<World::Record> out;
    for (const World::Record& record : world_.records()) {
      if (record.envelope.kind == LogKind::kSec) out.push_back(record);
    }
    return out;
  };
  EXPECT_TRUE(said(kOverride, 0).empty());
  EXPECT_TRUE(said(kRouter | kOverride, snapshot::kRoleRouter).empty());
  const auto records = said(kRouter | kOverride, 0);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].envelope.notice, kNoticeRouterFlag);
  EXPECT_EQ(records[0].envelope.drop_reason, 0);
  EXPECT_EQ(records[0].envelope.tenant, kTenantA);
  EXPECT_EQ(records[0].sec.nd_target, address("fd00:0:0:2::2").bytes);
  EXPECT_EQ(records[0].sec.binding, kClientPort);
  EXPECT_TRUE(said(kRouter | kOverride, 0).empty()) << "folded for a minute";
}

// ------------------------------------------------------------------------------------------------------------- VRRP

const Mac kVirtualMac = mac("00:00:5e:00:01:d3");
constexpr const char* kVirtual4 = "10.0.0.40";
constexpr const char* kVirtual6 = "fd00:0:0:2::40";

/// Binds the virtual addresses to the virtual MAC, beside what the Binding at `index` has.
void add_virtual(SnapshotBuilder& builder, std::uint32_t index, std::uint8_t vrid) {
  snapshot::Binding& binding = builder.bindings[index];
  const auto first = builder.binding_pairs.begin() + binding.pairs.first;
  const std::vector<snapshot::BindingPair> own(first, first + binding.pairs.count);
  builder.binding_pairs.erase(first, first + binding.pairs.count);
  for (snapshot::Binding& other : builder.bindings) {  // the run moves to the end; those behind it close up
    if (other.pairs.first <= binding.pairs.first) continue;
    other.pairs.first -= binding.pairs.count;
    other.routed.first -= binding.pairs.count;
  }
  binding.pairs = {static_cast<std::uint32_t>(builder.binding_pairs.size()), binding.pairs.count + 2};
  builder.binding_pairs.insert(builder.binding_pairs.end(), own.begin(), own.end());
  for (const char* address : {kVirtual4, kVirtual6}) {
    const Address whole = parse_address(address).value();
    builder.binding_pairs.push_back({kVirtualMac, {whole, static_cast<std::uint8_t>(whole.bits())}});
  }
  binding.routed = {static_cast<std::uint32_t>(builder.binding_pairs.size()), 0};
  binding.vrids[0] = vrid;
}

class PathVirtualRouter : public PathNeighbourhood {
 protected:
  void apply(std::uint32_t generation, std::uint8_t group_of_second = 211, const std::vector<RuleText>& rules = {kAllowAll}) {
    world_.apply(generation, rules, {.tenant_b = false, .edit = [=](SnapshotBuilder& builder) {
      add_second_port(builder);
      add_virtual(builder, 1, 211);
      add_virtual(builder, 2, group_of_second);
    }});
  }
  /// How a host says that it has the virtual addresses now.
  enum Says : std::uint8_t { kAdvertisement, kAdvertisementFromItself, kGratuitousReply, kGratuitousRequest, kSays4, kUnsolicited = kSays4, kSays };
  [[nodiscard]] Frame says(Says how, bool first, bool ipv6, const VrrpFields& more = {}) const {
    const Layout layout = first ? Layout::kOnePort : Layout::kTwoPorts;
    VrrpFields fields = more;
    fields.addresses = {address(ipv6 ? kVirtual6 : kVirtual4)};
    const char* own4 = first ? "10.0.0.34" : "10.0.0.35";
    const char* own6 = first ? "fd00:0:0:2::2" : "fd00:0:0:2::3";
    const char* own = ipv6 ? own6 : own4;
    const Address group = address("ff02::1");
    switch (how) {
      case kAdvertisement:  // RFC 5798 7.2: from the virtual MAC, whose own source it bears where that is bound
        return vrrp(tagged(layout, {}, {}), kVirtualMac, ipv6 ? kVirtual6 : kVirtual4, fields).build();
      case kAdvertisementFromItself: return vrrp(tagged(layout, {}, {}), first ? kClientMac : kSecondMac, own, fields).build();
      case kGratuitousReply:
      case kGratuitousRequest:
        return tagged(layout, {}, kBroadcast, kVirtualMac)
            .arp({.operation = how == kGratuitousReply ? 2U : 1U, .sender_mac = kVirtualMac, .sender = address(kVirtual4), .target = address(kVirtual4)}).build();
      case kUnsolicited:
      case kSays: break;
    }
    return tagged(layout, {}, filters::multicast_mac(group), kVirtualMac).ipv6(kVirtual6, "ff02::1", {.hop_limit = 255})
        .nd(136, {.target = address(kVirtual6), .target_link_layer = kVirtualMac, .flags = 0x20000000U}).build();
  }
  void say(const Frame& frame, bool first) {
    world_.inject(first ? kClientNic : kServerNic, frame);
    EXPECT_EQ(collect_all(), 0U);
  }
  /// The server's next packet to the virtual address goes to the first or the second host.
  void expect_held_by(bool first, bool ipv6) {
    const Frame frame = server(ipv6 ? "fd00:0:0:1::2" : "10.0.0.2", ipv6 ? kVirtual6 : kVirtual4).udp(5000, 53).build();
    const Frame out = world_.through(kServerNic, frame, first ? kClientNic : kServerNic);
    EXPECT_EQ(filters::ethernet_destination(out), kVirtualMac);
    EXPECT_EQ(filters::ethernet_source(out), world_.gateway(first ? kClientNic : kServerNic));
    EXPECT_EQ(read(out).outer_vlan, first ? 0 : 400);
    // And it answers in the same session, from where it is.
    const Frame answer = tagged(first ? Layout::kOnePort : Layout::kTwoPorts, ip({}, ipv6 ? kVirtual6 : kVirtual4, ipv6 ? "fd00:0:0:1::2" : "10.0.0.2").udp(53, 5000),
                                world_.gateway(first ? kClientNic : kServerNic), kVirtualMac).build();
    EXPECT_EQ(filters::ethernet_destination(world_.through(first ? kClientNic : kServerNic, answer, kServerNic)), kServerMac);
    EXPECT_EQ(world_.sessions(), ipv6 ? 2U : 1U);
  }
};
SEKISHO_PATH_WORKERS(PathVirtualRouter);

TEST_P(PathVirtualRouter, AddressFollowsWhoeverOfItsGroupSaysThatHeHasIt) {
  apply(1);
  for (const bool ipv6 : {false, true}) {
    expect_held_by(true, ipv6);
    for (std::uint8_t how = kAdvertisement; how < kSays; ++how) {
      if (how >= kGratuitousReply && (how >= kSays4) != ipv6) continue;
      say(says(static_cast<Says>(how), false, ipv6), false);
      expect_held_by(false, ipv6);
      say(says(static_cast<Says>(how), true, ipv6), true);
      expect_held_by(true, ipv6);
    }
  }
  EXPECT_EQ(drops(DropReason::kMulticast), 0U);
  EXPECT_EQ(drops(DropReason::kAeVrrp), 0U);
}

TEST_P(PathVirtualRouter, HostOutsideTheGroupCannotTakeItOver) {
  for (const std::uint8_t group : {std::uint8_t{212}, std::uint8_t{0}}) {
    apply(group == 0 ? 2 : 1, group);
    for (const bool ipv6 : {false, true}) {
      for (const Says how : {kAdvertisement, kGratuitousReply, kGratuitousRequest, kUnsolicited}) {
        if (how >= kGratuitousReply && (how >= kSays4) != ipv6) continue;
        const std::uint64_t before = drops(DropReason::kAeVrrp);
        say(says(how, false, ipv6, {.vrid = 211}), false);  // a group its Binding is not in
        EXPECT_EQ(drops(DropReason::kAeVrrp), before + (how == kAdvertisement ? 1 : 0));
        if (group != 0) say(says(how, false, ipv6, {.vrid = group}), false);
        if (group != 0) expect_held_by(true, ipv6);
      }
    }
  }
}

TEST_P(PathVirtualRouter, NothingButTheWholeEvidenceMovesIt) {
  apply(1);
  for (const bool ipv6 : {false, true}) {
    expect_held_by(true, ipv6);
    say(says(kAdvertisement, false, ipv6, {.priority = 0}), false);  // gives it up
    say(says(kAdvertisement, false, ipv6, {.hop_limit = 254}), false);
    say(says(kAdvertisement, false, ipv6, {.checksum_error = 1}), false);
    expect_held_by(true, ipv6);
  }
  // A question to others, an answer to one of them: no claim.
  world_.inject(kServerNic, tagged(Layout::kTwoPorts, {}, kBroadcast, kVirtualMac)
      .arp({.sender_mac = kVirtualMac, .sender = address(kVirtual4), .target = address("10.0.0.34")}).build());
  world_.inject(kServerNic, tagged(Layout::kTwoPorts, {}, world_.gateway(kServerNic), kVirtualMac).ipv6(kVirtual6, "fd00:0:0:2::1", {.hop_limit = 255})
      .nd(136, {.target = address(kVirtual6), .target_link_layer = kVirtualMac, .flags = 0x60000000U}).build());
  // The second host's own addresses are no virtual ones, and the first one's are not its to claim.
  world_.inject(kServerNic, tagged(Layout::kTwoPorts, {}, kBroadcast).arp({.operation = 2, .sender_mac = kSecondMac, .sender = address("10.0.0.35"), .target = address("10.0.0.35")}).build());
  EXPECT_EQ(collect_all(), 0U);
  expect_drop(kServerNic, tagged(Layout::kTwoPorts, {}, kBroadcast).arp({.operation = 2, .sender_mac = kSecondMac, .sender = address(kVirtual4), .target = address(kVirtual4)}).build(),
              DropReason::kAeArpSpa);
  expect_drop(kServerNic, tagged(Layout::kTwoPorts, {}, kBroadcast).arp({.operation = 2, .sender_mac = kSecondMac, .sender = address("10.0.0.34"), .target = address("10.0.0.34")}).build(),
              DropReason::kAeArpSpa);
  for (const bool ipv6 : {true, false}) {
    world_.through(kServerNic, server(ipv6 ? "fd00:0:0:1::2" : "10.0.0.2", ipv6 ? kVirtual6 : kVirtual4).udp(5000, 53).build(), kClientNic);
  }
}

TEST_P(PathVirtualRouter, StaysWhereItIsOverACommitAndReturnsWhenItsHolderIsGone) {
  apply(1);
  for (const bool ipv6 : {false, true}) {
    expect_held_by(true, ipv6);
    say(says(ipv6 ? kUnsolicited : kGratuitousReply, false, ipv6), false);
  }
  apply(2, 211, {kAllowAll, {.id = 12}});
  for (const bool ipv6 : {false, true}) {
    const Frame frame = server(ipv6 ? "fd00:0:0:1::2" : "10.0.0.2", ipv6 ? kVirtual6 : kVirtual4).udp(5000, 53).build();
    EXPECT_EQ(read(world_.through(kServerNic, frame, kServerNic)).outer_vlan, 400);
  }
  world_.apply(3, {kAllowAll}, {.tenant_b = false, .edit = [](SnapshotBuilder& builder) { add_virtual(builder, 1, 211); }});
  for (const bool ipv6 : {false, true}) {
    world_.through(kServerNic, server(ipv6 ? "fd00:0:0:1::2" : "10.0.0.2", ipv6 ? kVirtual6 : kVirtual4).udp(5000, 53).build(), kClientNic);
  }
}

// ---------------------------------------------------------------------------------------------------------- isolate

class PathIsolate : public PathNeighbourhood {
 protected:
  void apply(std::uint32_t generation, Layout layout, snapshot::Enforcement mode = snapshot::Enforcement::kIsolate, const std::vector<RuleText>& rules = {kAllowAll}) {
    world_.apply(generation, rules, {.tenant_b = layout == Layout::kOnePort, .edit = [=](SnapshotBuilder& builder) {
      if (layout == Layout::kOnePort) {
        share_client_port(builder);
        builder.ports[1].enforcement = mode;
        if (mode == snapshot::Enforcement::kIsolate) {  // tenant B likewise, and alone there
          builder.ports[5].enforcement = mode;
          builder.ports[5].binding = snapshot::kNone;
        }
        return;
      }
      add_second_port(builder);
      for (const std::size_t at : {std::size_t{1}, builder.ports.size() - 1}) {
        builder.ports[at].enforcement = mode;
        if (mode != snapshot::Enforcement::kPort) builder.ports[at].binding = snapshot::kNone;
      }
    }});
  }
  static FrameBuilder question(FrameBuilder builder, const Mac& from, const char* sender, const char* target, const Mac& to = kBroadcast) {
    const Address wanted = address(target);
    if (wanted.family == Family::kIpv4) {
      return builder.ethernet(from, to).arp({.sender_mac = from, .sender = address(sender), .target = wanted});
    }
    const Address group = filters::solicited_node(wanted);
    builder.ethernet(from, filters::multicast_mac(group)).ipv6(sender, to_string(group), {.hop_limit = 255});
    NdFields fields{.target = wanted};
    if (!address(sender).is_unspecified()) fields.source_link_layer = from;
    return builder.nd(135, fields);
  }
  [[nodiscard]] static Frame ask(Layout layout, const char* sender, const char* target) {
    return question(layout == Layout::kOnePort ? FrameBuilder() : FrameBuilder().vlan(400), kSecondMac, sender, target).build();
  }
  void expect_silence(std::uint16_t nic, const Frame& frame) {
    world_.inject(nic, frame);
    EXPECT_EQ(collect_all(), 0U);
  }
};
SEKISHO_PATH_WORKERS(PathIsolate);

TEST_P(PathIsolate, GatewayAnswersForEveryOtherHostOfTheSegment) {
  for (const Layout layout : {Layout::kOnePort, Layout::kTwoPorts}) {
    apply(layout == Layout::kOnePort ? 1 : 2, layout);
    const std::uint16_t nic = nic_of(layout);
    const Frame reply = world_.through(nic, ask(layout, "10.0.0.35", "10.0.0.34"), nic);
    EXPECT_EQ(filters::ethernet_destination(reply), kSecondMac);
    const filters::ArpMessage arp = filters::read_arp(reply, read(reply));
    EXPECT_EQ(arp.operation, filters::kArpReply);
    EXPECT_EQ(arp.sender_mac, world_.gateway(nic));
    EXPECT_EQ(arp.sender, address("10.0.0.34"));
    EXPECT_EQ(arp.target, address("10.0.0.35"));

    const Frame advertisement = world_.through(nic, ask(layout, "fd00:0:0:2::3", "fd00:0:0:2::2"), nic);
    EXPECT_EQ(filters::ethernet_destination(advertisement), kSecondMac);
    const auto nd = filters::parse_nd(advertisement, read(advertisement)).value();
    EXPECT_EQ(nd.target, address("fd00:0:0:2::2"));
    EXPECT_EQ(nd.target_link_layer, world_.gateway(nic));
    EXPECT_TRUE(nd.solicited);
    EXPECT_FALSE(nd.router);
    EXPECT_FALSE(nd.override);
  }
}

TEST_P(PathIsolate, NobodyElseIsAnsweredFor) {
  for (const Layout layout : {Layout::kOnePort, Layout::kTwoPorts}) {
    apply(layout == Layout::kOnePort ? 1 : 2, layout);
    const std::uint16_t nic = nic_of(layout);
    expect_silence(nic, ask(layout, "0.0.0.0", "10.0.0.35"));                // RFC 5227: a probe for its own
    expect_silence(nic, ask(layout, "10.0.0.35", "10.0.0.35"));              // its announcement
    expect_silence(nic, ask(layout, "::", "fd00:0:0:2::3"));                 // duplicate address detection
    expect_silence(nic, ask(layout, "fd00:0:0:2::3", "fd00:0:0:2::3"));
    expect_silence(nic, ask(layout, "10.0.0.35", "10.0.0.36"));              // bound to nobody
    expect_silence(nic, ask(layout, "fd00:0:0:2::3", "fd00:0:0:2::4"));
    expect_silence(nic, ask(layout, "10.0.0.35", "10.0.0.2"));               // of another segment
    expect_silence(nic, ask(layout, "fd00:0:0:2::3", "fd00:0:0:1::2"));
    expect_silence(nic, ask(layout, "fd00:0:0:2::3", "fe80::5054:ff:fe00:33"));  // link-locals end at the gateway
    EXPECT_EQ(drops(DropReason::kAeArpProbe) + drops(DropReason::kAeDadForeign) + drops(DropReason::kAeNa), 0U);
    expect_drop(nic, ask(layout, "0.0.0.0", "10.0.0.34"), DropReason::kAeArpProbe);
    expect_drop(nic, ask(layout, "::", "fd00:0:0:2::2"), DropReason::kAeDadForeign);
    for (const DropReason reason : {DropReason::kAeArpProbe, DropReason::kAeDadForeign}) EXPECT_EQ(drops(reason), 1U);
    if (layout == Layout::kTwoPorts) continue;
    // Tenant B's isolated segment has no such hosts, whoever has them elsewhere.
    const auto of_b = [&](const char* sender, const char* target) { return question(on_client(kTenantB), kClientMac, sender, target).build(); };
    expect_silence(kClientNic, of_b("10.0.0.34", "10.0.0.35"));
    expect_silence(kClientNic, of_b("fd00:0:0:2::2", "fd00:0:0:2::3"));
    world_.inject(kClientNic, of_b("10.0.0.34", "10.0.0.33"));  // but the gateway
    EXPECT_EQ(world_.collect(kClientNic).size(), 1U);
    break;
  }
}

TEST_P(PathIsolate, BySegmentAloneHostsFindEachOtherThemselves) {
  apply(1, Layout::kOnePort, snapshot::Enforcement::kSegment);
  expect_silence(kClientNic, ask(Layout::kOnePort, "10.0.0.35", "10.0.0.34"));
  expect_silence(kClientNic, ask(Layout::kOnePort, "fd00:0:0:2::3", "fd00:0:0:2::2"));
}

TEST_P(PathIsolate, HostsReachEachOtherAsTheRulesSayAndAreNeverRedirected) {
  const RuleText web{.id = 11, .destinations = {"10.0.0.34/32", "fd00:0:0:2::2/128"}, .protocol = 17, .port_low = 53, .port_high = 53};
  for (const Layout layout : {Layout::kOnePort, Layout::kTwoPorts}) {
    apply(layout == Layout::kOnePort ? 1 : 2, layout, snapshot::Enforcement::kIsolate, {web});
    const std::uint16_t nic = nic_of(layout);
    for (const auto& [from, to] : {std::pair("10.0.0.35", "10.0.0.34"), std::pair("fd00:0:0:2::3", "fd00:0:0:2::2")}) {
      const auto sent = [&, from = from, to = to](unsigned port) { return tagged(layout, ip({}, from, to).udp(5000, port), world_.gateway(nic)).build(); };
      const Frame out = world_.through(nic, sent(53), kClientNic);
      EXPECT_EQ(collect_all(), 0U);  // no redirect beside it
      EXPECT_EQ(filters::ethernet_destination(out), kClientMac);
      EXPECT_EQ(filters::ethernet_source(out), world_.gateway(kClientNic));
      EXPECT_EQ(read(out).ttl, 63);
      const Frame back = world_.through(kClientNic, client(to, from).udp(53, 5000).build(), nic);
      EXPECT_EQ(filters::ethernet_destination(back), kSecondMac);
      expect_drop(nic, sent(54), DropReason::kDefaultDeny);
      expect_drop(nic, tagged(layout, ip({}, to, from).udp(5000, 53), world_.gateway(nic)).build(), from[0] == '1' ? DropReason::kAeIp4 : DropReason::kAeIp6);
      expect_drop(nic, tagged(layout, ip({}, to, from).udp(5000, 53), kClientMac).build(), from[0] == '1' ? DropReason::kAeIp4 : DropReason::kAeIp6);
      expect_drop(nic, tagged(layout, ip({}, from, to).udp(5000, 53), kClientMac).build(), DropReason::kNotForUs);
    }
    EXPECT_EQ(world_.sessions(), 2U);
    if (layout == Layout::kOnePort) world_.pass(std::chrono::minutes(10));
  }
}

// -------------------------------------------------------------------------------------------------- what is received

class PathReceive : public PathNeighbourhood {};
SEKISHO_PATH_WORKERS(PathReceive);

TEST_P(PathReceive, HostGetsNothingThatIsNotItsOwnUnlessItForwards) {
  const auto with_routes = [](bool forwards) {
    return [=](SnapshotBuilder& builder) {
      for (const auto& [prefix, hop] : {std::pair("172.16.0.0/16", "10.0.0.34"), std::pair("fd00:0:0:99::/64", "fd00:0:0:2::2")}) {
        builder.routes.push_back({parse_prefix(prefix).value(), 1, 0, 1, address(hop), {}});
        builder.tenants[0].routes.count += 1;
      }
      if (!forwards) return;
      builder.bindings[1].roles = snapshot::kRoleForwarding;
      builder.bindings[1].routed = {static_cast<std::uint32_t>(builder.binding_pairs.size()), 2};
      for (const char* behind : {"172.16.0.0/17", "fd00:0:0:99::/65"}) builder.binding_pairs.push_back({Mac{}, parse_prefix(behind).value()});
    };
  };
  world_.apply(1, {kAllowAll}, {.tenant_b = false, .edit = with_routes(true)});
  for (const auto& [own, behind, beyond] : {std::tuple("10.0.0.2", "172.16.0.9", "172.16.128.9"), std::tuple("fd00:0:0:1::2", "fd00:0:0:99::9", "fd00:0:0:99:8000::9")}) {
    EXPECT_EQ(filters::ethernet_destination(world_.through(kServerNic, server(own, behind).udp(5000, 53).build(), kClientNic)), kClientMac);
    expect_drop(kServerNic, server(own, beyond).udp(5000, 53).build(), DropReason::kAeDestinationForeign);
  }
  EXPECT_EQ(world_.sessions(), 2U);
  world_.apply(2, {kAllowAll}, {.tenant_b = false, .edit = with_routes(false)});
  world_.settle();
  EXPECT_EQ(world_.sessions(), 0U);
  for (const auto& [own, behind] : {std::pair("10.0.0.2", "172.16.0.9"), std::pair("fd00:0:0:1::2", "fd00:0:0:99::9")}) {
    expect_drop(kServerNic, server(own, behind).udp(5000, 53).build(), DropReason::kAeDestinationForeign);
  }
}

}  // namespace
}  // namespace sekisho::tests
