// SPDX-License-Identifier: Apache-2.0
// Goal: each kind of traffic has its exact rate, and a storm costs nobody anything but itself. Method: a flood of one kind
// at exactly its numbers, beside everything else the same host, its neighbours and other Ports say.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::seconds;

const RuleText kAllowAll{.id = 11, .log = filters::snapshot::kLogNone};
const Mac kBroadcast = mac("ff:ff:ff:ff:ff:ff");

class PathMeters : public PathTest {
 protected:
  void SetUp() override { world_.apply(1, {kAllowAll}, {.edit = shape}); }
  static void shape(filters::SnapshotBuilder& builder) {
    share_client_port(builder);
    builder.bindings[1].ethertypes[0] = 0x88b5;
  }
  static FrameBuilder to(const Mac& destination, const Mac& source = kClientMac) { return FrameBuilder().ethernet(source, destination); }
  static Frame question(const Mac& source, const char* sender, const char* target) {
    return to(kBroadcast, source).arp({.sender_mac = source, .sender = address(sender), .target = address(target)}).build();
  }
  static Frame boot_request() {
    Frame message(240);
    message[0] = message[1] = 1, message[2] = 6;
    std::copy(kClientMac.bytes.begin(), kClientMac.bytes.end(), message.begin() + 28);
    return to(kBroadcast).ipv4("0.0.0.0", "255.255.255.255").udp(68, 67).payload(message).build();
  }
  std::uint64_t storms(const Frame& frame, int times) {
    const std::uint64_t before = drops(DropReason::kAeStorm);
    for (int i = 0; i < times; ++i) world_.inject(kClientNic, frame);
    collect_all();
    return drops(DropReason::kAeStorm) - before;
  }
};
SEKISHO_PATH_WORKERS(PathMeters);

TEST_P(PathMeters, EachClassHasExactlyItsRateAndBurst) {
  struct Class {
    const char* name;
    Frame frame;
    int rate, burst;
  };
  const Mac group{{0x33, 0x33, 0, 0, 0, 0x16}};
  const Class classes[] = {
      {"arp", question(kClientMac, "10.0.0.34", "10.0.0.33"), 30, 60},
      {"nd", to(world_.gateway(kClientNic)).ipv6("fd00:0:0:2::2", "fd00:0:0:2::1", {.hop_limit = 255})
                 .nd(135, {.target = address("fd00:0:0:2::1"), .source_link_layer = kClientMac}).build(), 100, 200},
      {"dhcp", boot_request(), 10, 20},
      {"igmp", to(Mac{{1, 0, 0x5e, 0, 0, 0x16}}).ipv4("10.0.0.34", "224.0.0.22", {.ttl = 1}).protocol(2, {0x22, 0, 0xdd, 0xff, 0, 0, 0, 0}).build(), 50, 100},
      {"broadcast", to(kBroadcast).ipv4("10.0.0.34", "255.255.255.255").udp(5000, 5001).build(), 200, 400},
      {"multicast", to(Mac{{1, 0, 0x5e, 1, 1, 1}}).ipv4("10.0.0.34", "239.1.1.1").udp(5000, 5001).build(), 2000, 4000},
      {"other", to(kBroadcast).ether_type(0x88b5).payload(46).build(), 10, 20},
  };
  for (const Class& one : classes) {
    SCOPED_TRACE(one.name);
    EXPECT_EQ(storms(one.frame, one.burst + 7), 7U);
    world_.pass(seconds(1));
    EXPECT_EQ(storms(one.frame, one.rate + 5), 5U);
    for (const Class& other : classes) {  // what has its own class is not held against it
      EXPECT_EQ(other.name == one.name ? 0U : storms(other.frame, 1), 0U) << other.name;
    }
    world_.pass(seconds(4));
  }
  // MLD counts with ND.
  const Frame report = to(group).ipv6("fd00:0:0:2::2", "ff02::16", {.hop_limit = 1}).hop_by_hop().icmp(143, 0, 0).build();
  EXPECT_EQ(storms(report, 207), 7U);
}

TEST_P(PathMeters, ArpFloodOfOneHostLeavesEverythingElseAlone) {
  const Frame flood = question(kClientMac, "10.0.0.34", "10.0.0.40");
  EXPECT_EQ(storms(flood, 2000), 1940U);
  for (int i = 0; i < 200; ++i) {  // in the midst of it, what it says otherwise and what others say passes without loss
    world_.inject(kClientNic, flood);
    world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
    world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5000).build(), kClientNic);
    world_.through(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build(), kServerNic);
  }
  world_.through(kClientNic, question(kSecondMac, "10.0.0.35", "10.0.0.33"), kClientNic);
  const Frame elsewhere = FrameBuilder().ethernet(kServerMac, kBroadcast)
                              .arp({.sender_mac = kServerMac, .sender = address("10.0.0.2"), .target = address("10.0.0.1")}).build();
  world_.through(kServerNic, elsewhere, kServerNic);
  EXPECT_EQ(drops(DropReason::kAeStorm), 2140U);
  EXPECT_LE(world_.records().size(), 2U);
}

TEST_P(PathMeters, AllHostsOfAPortTogetherHaveOneCeilingOfBroadcasts) {
  world_.apply(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) {
    shape(builder);
    for (auto& binding : builder.bindings) binding.meters.fill({100'000, 100'000});
  }});
  EXPECT_EQ(storms(question(kClientMac, "10.0.0.34", "10.0.0.40"), 3000), 0U);
  EXPECT_EQ(storms(question(kSecondMac, "10.0.0.35", "10.0.0.40"), 2000), 0U);
  EXPECT_EQ(storms(question(kSecondMac, "10.0.0.35", "10.0.0.40"), 10), 10U);
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);  // no broadcast
  const Frame elsewhere = FrameBuilder().ethernet(kServerMac, kBroadcast)
                              .arp({.sender_mac = kServerMac, .sender = address("10.0.0.2"), .target = address("10.0.0.1")}).build();
  world_.through(kServerNic, elsewhere, kServerNic);  // another Port
  // A stranger spends none of it.
  world_.pass(seconds(1));
  for (int i = 0; i < 100; ++i) world_.inject(kClientNic, question(mac("52:54:00:00:00:66"), "10.0.0.35", "10.0.0.40"));
  EXPECT_EQ(storms(question(kClientMac, "10.0.0.34", "10.0.0.40"), 5007), 7U);
}

}  // namespace
}  // namespace sekisho::tests
