// SPDX-License-Identifier: Apache-2.0
// Goal: a packet crosses the whole data plane, and its nearest neighbour that must not does not. Method: ring ports, one turn
// at a time, one and two workers, and one whose cards sum.
#include <gtest/gtest.h>

#include "filters/packet/decode.h"
#include "filters/packet/fields.h"
#include "tests/support/pieces.h"
#include "tests/support/world.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpRst;
using filters::kTcpSyn;
namespace snapshot = filters::snapshot;

const RuleText kAllowWeb{.id = 11, .destinations = {"10.0.0.0/28", "fd00:0:0:1::/64"}, .protocol = 6, .port_low = 80, .port_high = 80};
const RuleText kAllowPing{.id = 12, .protocol = 1};
const RuleText kAllowPing6{.id = 13, .protocol = 58};

struct Flow {
  const char* client;
  const char* server;
};
constexpr Flow kFlow4{"10.0.0.34", "10.0.0.2"};
constexpr Flow kFlow6{"fd00:0:0:2::2", "fd00:0:0:1::2"};

FrameBuilder ip(const char* from, const char* to, FrameBuilder builder = {}) {
  return std::string_view(from).find(':') == std::string_view::npos ? builder.ipv4(from, to) : builder.ipv6(from, to);
}

class PathFlow : public testing::TestWithParam<Machine> {
 protected:
  explicit PathFlow(std::uint32_t sessions_max = 4096) : world_(GetParam().with({.sessions_max = sessions_max})) {}
  ~PathFlow() override { EXPECT_TRUE(world_.conserved()); }

  FrameBuilder from_client(const Flow& flow) {
    return ip(flow.client, flow.server, FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)));
  }
  FrameBuilder from_server(const Flow& flow) {
    return ip(flow.server, flow.client, FrameBuilder().ethernet(kServerMac, world_.gateway(kServerNic)));
  }
  static filters::PacketMeta read(const Frame& frame) {
    filters::PacketMeta meta{};
    EXPECT_EQ(filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
    return meta;
  }
  World world_;
};
SEKISHO_PATH_WORKERS(PathFlow);

TEST_P(PathFlow, NothingPassesBeforeTheFirstSnapshot) {
  world_.inject(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpSyn}).build());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  world_.apply(1, {kAllowWeb});
  world_.settle();
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);  // it waited in the wire; it was judged by the first policy
}

TEST_P(PathFlow, TcpConnectionCrossesAndIsRewrittenInBothFamilies) {
  world_.apply(1, {kAllowWeb});
  for (const Flow& flow : {kFlow4, kFlow6}) {
    const Frame syn = world_.through(kClientNic, from_client(flow).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build(), kServerNic);
    const filters::PacketMeta meta = read(syn);
    EXPECT_EQ(meta.ttl, 63);
    EXPECT_EQ(filters::ethernet_destination(syn), kServerMac);
    EXPECT_EQ(filters::ethernet_source(syn), world_.gateway(kServerNic));
    const Frame answer = from_server(flow).tcp(80, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101}).build();
    EXPECT_EQ(filters::ethernet_destination(world_.through(kServerNic, answer, kClientNic)), kClientMac);
    world_.through(kClientNic, from_client(flow).tcp(40000, 80, {.flags = kTcpAck, .sequence = 101, .acknowledgement = 501}).payload(100).build(), kServerNic);
  }
  EXPECT_EQ(world_.sessions(), 2U);
}

TEST_P(PathFlow, DefaultDenyStopsTheNeighbouringPort) {
  world_.apply(1, {kAllowWeb});
  world_.inject(kClientNic, from_client(kFlow4).tcp(40000, 81, {.flags = kTcpSyn}).build());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(world_.drops(DropReason::kDefaultDeny), 1U);
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].comm.phase, CommPhase::kDrop);
  EXPECT_EQ(records[0].comm.rule, kDefaultRuleA);
  EXPECT_EQ(records[0].comm.destination_port, 81);
  EXPECT_EQ(records[0].envelope.generation, 1U);
}

TEST_P(PathFlow, SegmentThatIsNotASynOpensNothing) {
  world_.apply(1, {kAllowWeb});
  world_.inject(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpAck}).build());
  EXPECT_EQ(world_.drops(DropReason::kNotFirst), 1U);
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathFlow, BlindResetOutsideTheWindowIsRefused) {
  world_.apply(1, {kAllowWeb});
  world_.through(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build(), kServerNic);
  world_.through(kServerNic, from_server(kFlow4).tcp(80, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101}).build(), kClientNic);
  world_.through(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpAck, .sequence = 101, .acknowledgement = 501}).build(), kServerNic);
  world_.inject(kServerNic, from_server(kFlow4).tcp(80, 40000, {.flags = kTcpRst, .sequence = 900'000'000}).build());
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  EXPECT_EQ(world_.drops(DropReason::kTcpWindow), 1U);
}

TEST_P(PathFlow, RejectAnswersTcpWithAResetAndUdpWithIcmp) {
  world_.apply(1, {{.id = 9, .action = snapshot::Action::kReject, .log = snapshot::kLogDropEach}});
  const Frame reset = world_.through(kClientNic, from_client(kFlow4).tcp(40000, 22, {.flags = kTcpSyn, .sequence = 7}).build(), kClientNic);
  EXPECT_EQ(read(reset).tcp_flags, kTcpRst | kTcpAck);
  for (const Flow& flow : {kFlow4, kFlow6}) {
    const Frame icmp = world_.through(kClientNic, from_client(flow).udp(40000, 22).build(), kClientNic);
    EXPECT_EQ(read(icmp).icmp_type, flow.client == kFlow4.client ? 3 : 1);
  }
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathFlow, EchoCrossesAndItsErrorIsRelated) {
  world_.apply(1, {kAllowPing, kAllowPing6});
  for (const Flow& flow : {kFlow4, kFlow6}) {
    const bool v4 = flow.client == kFlow4.client;
    const Frame request = world_.through(kClientNic, from_client(flow).echo(99).build(), kServerNic);
    // The server answers with an error about it; only then does the quoted flow make it related.
    const Frame quoted(request.begin() + 14, request.end());
    const auto error = [&](const Frame& quote) {
      return from_server(flow).icmp(v4 ? 3 : 1, v4 ? 1 : 3, 0).payload(quote).build();
    };
    EXPECT_EQ(read(world_.through(kServerNic, error(quoted), kClientNic)).icmp_type, v4 ? 3 : 1);
    Frame foreign = quoted;
    foreign[v4 ? 24 : 44] ^= 1;  // another identifier: nobody's packet
    world_.inject(kServerNic, error(foreign));
    EXPECT_TRUE(world_.collect(kClientNic).empty());
  }
  EXPECT_EQ(world_.drops(DropReason::kIcmpUnrelated), 2U);
}

TEST_P(PathFlow, HopLimitOneIsAnsweredWithTimeExceeded) {
  world_.apply(1, {kAllowWeb});
  const Frame old4 = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).ipv4("10.0.0.34", "10.0.0.2", {.ttl = 1}).tcp(1, 80, {.flags = kTcpSyn}).build();
  EXPECT_EQ(read(world_.through(kClientNic, old4, kClientNic)).icmp_type, 11);
  const Frame old6 = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).ipv6("fd00:0:0:2::2", "fd00:0:0:1::2", {.hop_limit = 1}).tcp(1, 80, {.flags = kTcpSyn}).build();
  EXPECT_EQ(read(world_.through(kClientNic, old6, kClientNic)).icmp_type, 3);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathFlow, HeaderChecksumOfAForwardedPacketIsTheOneComputedAnew) {
  world_.apply(1, {kAllowWeb});
  Frame frame = from_client(kFlow4).tcp(1, 80, {.flags = kTcpSyn}).build();
  const std::size_t l3 = l3_of(frame);
  for (const unsigned wanted : {0xfefeU, 0xfeffU, 0xff00U, 0xfffeU, 0U}) {  // 0xfeff becomes 0, which is never said as 0xffff
    for (std::uint32_t id = 0; load_be<std::uint16_t>(frame, l3 + 10) != wanted; ++id) {
      ASSERT_LT(id, 0x10000U);
      store_be<std::uint16_t>(frame, l3 + 4, static_cast<std::uint16_t>(id));
      seal_v4(frame);
    }
    const Frame out = world_.through(kClientNic, frame, kServerNic);
    Frame anew = out;
    seal_v4(anew);
    EXPECT_EQ(out, anew) << std::hex << wanted;
  }
}

TEST_P(PathFlow, GatewayAnswersEchoAndArpForItsOwnAddressOnly) {
  world_.apply(1, {});
  const auto to_gateway = [&] { return FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)); };
  EXPECT_EQ(read(world_.through(kClientNic, to_gateway().ipv4("10.0.0.34", "10.0.0.33").echo().build(), kClientNic)).icmp_type, 0);
  EXPECT_EQ(read(world_.through(kClientNic, to_gateway().ipv6("fd00:0:0:2::2", "fd00:0:0:2::1").echo().build(), kClientNic)).icmp_type, 129);
  const auto ask = [&](const char* target) {
    return FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
        .arp({.sender_mac = kClientMac, .sender = address("10.0.0.34"), .target = address(target)}).build();
  };
  const Frame reply = world_.through(kClientNic, ask("10.0.0.33"), kClientNic);
  EXPECT_EQ(filters::ethernet_source(reply), world_.gateway(kClientNic));
  world_.inject(kClientNic, ask("10.0.0.40"));
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  world_.inject(kClientNic, to_gateway().ipv4("10.0.0.34", "10.0.0.33").tcp(1, 22, {.flags = kTcpSyn}).build());
  EXPECT_EQ(world_.drops(DropReason::kLocalUnserved), 1U);
}

TEST_P(PathFlow, CommitReachesALiveSession) {
  world_.apply(1, {kAllowWeb});
  world_.through(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build(), kServerNic);
  world_.records();
  world_.apply(2, {kAllowPing, kAllowWeb});  // still allowed, at another place in the list
  world_.through(kServerNic, from_server(kFlow4).tcp(80, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101}).build(), kClientNic);
  world_.apply(3, {kAllowPing});
  world_.inject(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpAck, .sequence = 101, .acknowledgement = 501}).build());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(world_.sessions(), 0U);
  const auto records = world_.records();
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records[0].comm.phase, CommPhase::kEnd);
  EXPECT_EQ(records[0].comm.end_reason, EndReason::kPolicy);
}

TEST_P(PathFlow, SilentSessionEndsWithOneRecord) {
  world_.apply(1, {{.id = 11, .protocol = 17}});
  world_.through(kClientNic, from_client(kFlow6).udp(5000, 53).payload(30).build(), kServerNic);
  world_.pass(std::chrono::seconds(29));
  EXPECT_EQ(world_.sessions(), 1U);
  EXPECT_TRUE(world_.records().empty());
  world_.pass(std::chrono::seconds(3));
  EXPECT_EQ(world_.sessions(), 0U);
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].comm.end_reason, EndReason::kAged);
  EXPECT_EQ(records[0].comm.packets_forward, 1U);
  EXPECT_EQ(records[0].comm.bytes_forward, 78U);
  EXPECT_EQ(records[0].comm.in_port, kClientPort);
  EXPECT_EQ(records[0].comm.out_port, kServerPort);
}

TEST_P(PathFlow, RejectedSnapshotLeavesTheOldOneInForce) {
  world_.apply(1, {kAllowWeb});
  std::vector<std::uint8_t> broken = world_.snapshot(2, {});
  broken[broken.size() / 2] ^= 1;
  dataplane::Engine::Applied applied;
  dataplane::LoadError error;
  EXPECT_FALSE(world_.engine().apply(broken, applied, error));
  EXPECT_FALSE(error.reason.empty());
  EXPECT_FALSE(world_.engine().apply(world_.snapshot(1, {}), applied, error));  // not newer
  EXPECT_EQ(world_.engine().runtime()->bytes, world_.snapshot(1, {kAllowWeb}));
  world_.through(kClientNic, from_client(kFlow4).tcp(40000, 80, {.flags = kTcpSyn}).build(), kServerNic);
}

class PathLimit : public PathFlow {
 protected:
  PathLimit() : PathFlow(4) {}
};
SEKISHO_PATH_WORKERS(PathLimit);

TEST_P(PathLimit, SessionLimitOfATenantIsNamedAndOthersGoOn) {
  World& small = world_;
  small.apply(1, {{.id = 11, .protocol = 17}});
  const auto udp = [&](std::uint16_t port) {
    return FrameBuilder().ethernet(kClientMac, small.gateway(kClientNic)).ipv4("10.0.0.34", "10.0.0.2").udp(port, 53).build();
  };
  for (std::uint16_t port = 1000; port < 1020; ++port) small.inject(kClientNic, udp(port));
  EXPECT_EQ(small.collect(kServerNic).size(), 4U);
  EXPECT_EQ(small.drops(DropReason::kSessionLimit), 16U);
  const Frame other = FrameBuilder().ethernet(kClientMac, small.gateway(kClientNic)).vlan(300, 0x88a8).vlan(7)
                          .ipv4("10.0.0.34", "10.0.0.2").udp(1000, 53).build();
  EXPECT_EQ(small.through(kClientNic, other, kServerNic).size(), other.size() - 4);
}

}  // namespace
}  // namespace sekisho::tests
