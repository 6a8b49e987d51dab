// SPDX-License-Identifier: Apache-2.0
// Goal: what explain says of a packet is what happens to that very packet, to the byte, and asking changes nothing.
// Method: each packet is explained first, with everything the shards hold compared before and after; then it is sent in.
#include "dataplane/explain/replay.h"

#include <random>

#include "tests/path/path_test.h"
#include "tests/support/nat.h"

namespace sekisho::tests {
namespace {

using dataplane::explain::Description;
using dataplane::explain::Explanation;
using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
using filters::kTcpRst;
using filters::kTcpSyn;
namespace explain = dataplane::explain;
namespace snapshot = filters::snapshot;

const RuleText kAllowAll{.id = 11};
const std::vector<RuleText> kMixed = {
    {.id = 11, .destinations = {"10.0.0.2/32", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "fd00::/16"}, .protocol = 6, .port_low = 80, .port_high = 443},
    {.id = 12, .protocol = 17, .port_low = 53, .port_high = 53},
    {.id = 13, .action = snapshot::Action::kReject, .protocol = 17, .port_low = 3, .port_high = 4},
    {.id = 14, .action = snapshot::Action::kReject, .protocol = 6, .port_low = 25, .port_high = 25},
    {.id = 15, .action = snapshot::Action::kDrop, .protocol = 17, .port_low = 2, .port_high = 2},
    {.id = 16, .protocol = 1},
    {.id = 17, .protocol = 58}};
constexpr std::array<std::uint32_t, kNics> kPortOfNic{0, 1, 3};  // port indices of tenant A's wires and the uplink

template <typename Array>
void append_bytes(std::string& out, Array& array, std::size_t count) {
  if (count > 0) out.append(reinterpret_cast<const char*>(&array[0]), count * sizeof(array[0]));
}

class PathExplain : public PathTest {
 protected:
  /// Everything the live shards hold.
  std::string everything() {
    std::string out;
    for (std::uint32_t number = 0; number < world_.engine().shards(); ++number) {
      dataplane::Shard& shard = world_.engine().shard(number);
      out.append(reinterpret_cast<const char*>(&shard.packets), sizeof(shard.packets));
      append_bytes(out, shard.tenants, shard.tenants.size());
      append_bytes(out, shard.ports, shard.ports.size());
      append_bytes(out, shard.rules, shard.rules.size());
      append_bytes(out, shard.violations, shard.violations.size());
      append_bytes(out, shard.meters, shard.meters.size());
      append_bytes(out, shard.shares, shard.shares.size());
      append_bytes(out, shard.cookies_until, shard.cookies_until.size());
      out += std::to_string(shard.fragments.datagrams()) + " " + std::to_string(shard.fragments.pieces()) + " ";
      if (shard.sessions.used_end() > 0) {
        out.append(reinterpret_cast<const char*>(&shard.sessions.at(0)), shard.sessions.used_end() * sizeof(dataplane::Session));
      }
      out += std::to_string(shard.sessions.size()) + " " + std::to_string(shard.held_count) + " " + std::to_string(shard.log.ring().pushed());
    }
    const dataplane::Shared& shared = world_.engine().shared();
    for (std::uint32_t place = 0; place < dataplane::NeighbourTable::kCapacity; ++place) {
      const auto entry = shared.neighbours.list(place);
      if (entry.reading.state == dataplane::NeighbourState::kFree) continue;
      out += std::to_string(place) + to_string(entry.address) + to_string(entry.reading.mac) + std::to_string(static_cast<int>(entry.reading.state));
    }
    append_bytes(out, shared.pins, shared.pins.size());
    append_bytes(out, shared.quotas, shared.quotas.size());
    return out;
  }
  Explanation ask(const explain::Packet& packet, std::uint32_t port) {
    return explain::explain(world_.engine(), {*world_.engine().runtime(), world_.engine().slots()}, packet, port).value();
  }
  /// Explains, sends in, compares.
  Explanation same(std::uint16_t nic, const Frame& frame) {
    const std::string before = everything();
    const Explanation said = ask(frame, kPortOfNic[nic]);
    EXPECT_TRUE(before == everything()) << "asking changed something";
    std::array<std::uint64_t, static_cast<std::size_t>(DropReason::kCount)> drops_before{};
    for (std::size_t i = 0; i < drops_before.size(); ++i) drops_before[i] = drops(static_cast<DropReason>(i));
    for (std::uint16_t out = 0; out < kNics; ++out) EXPECT_TRUE(world_.collect(out).empty());
    world_.inject(nic, frame);
    std::string ended;
    for (std::size_t i = 0; i < drops_before.size(); ++i) {
      if (drops(static_cast<DropReason>(i)) != drops_before[i]) ended += filters::info(static_cast<DropReason>(i)).name;
    }
    EXPECT_EQ(said.reason == DropReason::kNone ? "" : filters::info(said.reason).name, ended);
    EXPECT_EQ(said.verdict == "drop" || said.verdict == "reject", !ended.empty()) << said.verdict;
    for (std::uint16_t out = 0; out < kNics; ++out) {
      std::vector<Frame> told;
      for (const auto& sent : said.outcome.sent) {
        if (sent.nic == out) told.push_back(sent.bytes);
      }
      EXPECT_EQ(told, world_.collect(out)) << "nic " << out << ", " << said.verdict << " " << filters::info(said.reason).name;
    }
    return said;
  }
  /// The step of a stage; empty when there is none.
  static explain::Step step(const Explanation& said, std::string_view stage) {
    for (const explain::Step& one : said.steps) {
      if (one.stage == stage) return one;
    }
    return {};
  }
  Frame tcp(bool back, std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint32_t tenant = kTenantA) {
    const TcpKnobs knobs{.flags = flags, .sequence = sequence, .acknowledgement = acknowledgement};
    return back ? server("10.0.0.2", "10.0.0.34", tenant).tcp(443, 40000, knobs).build()
                : client("10.0.0.34", "10.0.0.2", tenant).tcp(40000, 443, knobs).build();
  }
  void connect() {
    world_.through(kClientNic, tcp(false, kTcpSyn, 1000, 0), kServerNic);
    world_.through(kServerNic, tcp(true, kTcpSyn | kTcpAck, 5000, 1001), kClientNic);
    world_.through(kClientNic, tcp(false, kTcpAck, 1001, 5001), kServerNic);
  }
};
SEKISHO_PATH_WORKERS(PathExplain);

TEST_P(PathExplain, FirstPacketsEndAsExplained) {
  world_.apply(1, kMixed);
  EXPECT_EQ(same(kClientNic, tcp(false, kTcpSyn, 1, 0)).verdict, "allow");
  EXPECT_EQ(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 53).build()).rule, "inside/rule 12");
  EXPECT_EQ(same(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(9, 53).build()).verdict, "allow");
  EXPECT_EQ(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 2).build()).rule, "inside/rule 15");
  EXPECT_EQ(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 3).build()).verdict, "reject");
  EXPECT_EQ(same(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").tcp(9, 25, {.flags = kTcpSyn}).build()).verdict, "reject");
  EXPECT_EQ(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 5).build()).reason, DropReason::kDefaultDeny);
  EXPECT_EQ(same(kClientNic, tcp(false, kTcpAck, 77, 88).size() > 0 ? client("10.0.0.34", "10.0.0.2").tcp(50000, 443).build() : Frame{}).reason, DropReason::kNotFirst);
  same(kClientNic, client("10.0.0.34", "10.0.0.34").udp(1, 2).build());
  same(kClientNic, client("10.0.0.34", "224.0.0.1").udp(1, 2).build());
  same(kClientNic, client("10.0.0.34", "10.0.0.5").udp(9, 53).build());
  same(kClientNic, client("10.0.0.34", "10.0.0.33").echo().build());
  same(kClientNic, client("10.0.0.34", "10.0.0.33").udp(9, 53).build());
  same(kClientNic, on_client(kTenantA).ipv4("10.0.0.34", "10.0.0.2", {.ttl = 1}).udp(10, 53).build());
  same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(10, 53, {.checksum = 1}).build());
}

TEST_P(PathExplain, WhoMaySpeakIsExplained) {
  world_.apply(1, kMixed);
  const Explanation forged = same(kClientNic, client("10.0.0.35", "10.0.0.2").udp(9, 53).build());
  EXPECT_EQ(forged.reason, DropReason::kAeIp4);
  EXPECT_EQ(step(forged, "binding").result, "refused");
  EXPECT_EQ(step(forged, "binding").object, "binding binding2");
  EXPECT_EQ(same(kClientNic, FrameBuilder().ethernet(kServerMac, world_.gateway(kClientNic)).ipv4("10.0.0.34", "10.0.0.2").udp(9, 53).build()).reason,
            DropReason::kAeMac);
  EXPECT_EQ(same(kClientNic, on_client(kTenantA).vlan(9).ipv4("10.0.0.34", "10.0.0.2").udp(9, 53).build()).reason, DropReason::kNoPort);
  const Explanation asked = same(kClientNic, FrameBuilder().ethernet(kClientMac, Mac::from_number(0xffff'ffff'ffff))
      .arp({.sender_mac = kClientMac, .sender = address("10.0.0.34"), .target = address("10.0.0.33")}).build());
  EXPECT_EQ(asked.verdict, "answer");
  EXPECT_EQ(step(asked, "answer").detail.substr(0, 16), "arp: 10.0.0.33 i");
  EXPECT_EQ(same(kUplinkNic, outside("198.51.100.9", "203.0.113.99").udp(9, 53).build()).reason, DropReason::kUplinkNoOwner);
  EXPECT_EQ(same(kUplinkNic, outside("203.0.113.18", "203.0.113.17").udp(9, 53).build()).reason, DropReason::kUplinkSource);
}

TEST_P(PathExplain, HostsBehindOnePortAreToldApartByTheirMacs) {
  world_.apply(1, kMixed, {.edit = share_client_port});
  const auto from = [&](const Mac& mac, const char* address) {
    return FrameBuilder().ethernet(mac, world_.gateway(kClientNic)).ipv4(address, "10.0.0.2").udp(9, 53).build();
  };
  EXPECT_EQ(step(same(kClientNic, from(kSecondMac, "10.0.0.35")), "binding").object, "binding binding3");
  EXPECT_EQ(step(same(kClientNic, from(kClientMac, "10.0.0.34")), "binding").object, "binding binding2");
  const Explanation forged = same(kClientNic, from(kSecondMac, "10.0.0.34"));
  EXPECT_EQ(forged.reason, DropReason::kAeIp4);
  EXPECT_EQ(step(forged, "binding").object, "binding binding3");
  EXPECT_EQ(same(kClientNic, from(mac("52:54:00:00:00:66"), "10.0.0.35")).reason, DropReason::kAeMac);
  const Explanation described = ask(Description{.source = address("10.0.0.35"), .destination = address("10.0.0.2"), .protocol = 17, .source_port = 8, .destination_port = 53}, 1);
  EXPECT_EQ(described.verdict, "allow") << "it gets the MAC that has the address";
}

TEST_P(PathExplain, SegmentOfALiveConnectionIsJudgedByItsRealState) {
  world_.apply(1, kMixed);
  connect();
  const Explanation data = same(kClientNic, tcp(false, kTcpAck, 1001, 5001));
  EXPECT_EQ(data.verdict, "allow");
  EXPECT_EQ(step(data, "session").result, "found");
  EXPECT_EQ(step(data, "session").detail, "established, packets 2 forward, 1 back, travels forward");
  EXPECT_EQ(step(data, "rule").stage, "") << "policy is not asked again";
  EXPECT_EQ(same(kServerNic, tcp(true, kTcpAck, 9'000'000, 1001)).reason, DropReason::kTcpWindow);
  EXPECT_EQ(same(kServerNic, tcp(true, kTcpSyn | kTcpAck, 9'000'000, 1001)).verdict, "drop");
  EXPECT_EQ(step(same(kServerNic, tcp(true, kTcpFin | kTcpAck, 5001, 1001)), "state").detail.substr(0, 35), "established becomes fin-wait-revers");
  same(kServerNic, tcp(true, kTcpRst, 5002, 0));
  same(kClientNic, tcp(false, kTcpAck, 1001, 5002));
  EXPECT_EQ(step(same(kClientNic, tcp(false, kTcpSyn, 900'000, 0)), "state").result, "opens") << "the numbers of a finished connection";
}

TEST_P(PathExplain, DescribedSegmentOfALiveConnectionGetsTheNumbersItExpects) {
  world_.apply(1, kMixed);
  connect();
  Description packet{.source = address("10.0.0.34"), .destination = address("10.0.0.2"), .source_port = 40000, .destination_port = 443, .tcp_flags = kTcpAck};
  EXPECT_EQ(ask(packet, 1).verdict, "allow");
  packet.sequence = 77'000'000;
  EXPECT_EQ(ask(packet, 1).reason, DropReason::kTcpWindow);
  packet.sequence.reset();
  packet.source_port = 40001;
  EXPECT_EQ(ask(packet, 1).reason, DropReason::kNotFirst) << "no connection: a mid-stream segment";
}

TEST_P(PathExplain, DescribedPacketsComeFromTheBindingsMacWithThePortsTags) {
  world_.apply(1, kMixed);
  const Description packet{.source = address("fd00:0:0:2::2"), .destination = address("fd00:0:0:1::2"), .protocol = 17, .source_port = 9, .destination_port = 53};
  const Explanation said = ask(packet, 1);
  EXPECT_EQ(said.verdict, "allow");
  const Explanation other = ask(packet, 5);  // tenant B: same addresses, behind 802.1ad and 802.1Q
  EXPECT_EQ(other.verdict, "allow");
  EXPECT_NE(step(other, "decode").detail.find("vlan 300.7"), std::string::npos) << step(other, "decode").detail;
  EXPECT_EQ(step(other, "bind").object, "port port12 of tenant2");
  EXPECT_EQ(other.rule, "inside/rule 201");
  Description forged = packet;
  forged.source_mac = kServerMac;
  EXPECT_EQ(ask(forged, 1).reason, DropReason::kAeMac);
}

TEST_P(PathExplain, OverlappingTenantsDoNotSeeEachOthersSessions) {
  world_.apply(1, kMixed);
  connect();
  EXPECT_EQ(same(kClientNic, tcp(false, kTcpAck, 1001, 5001, kTenantB)).reason, DropReason::kNotFirst);
  EXPECT_EQ(same(kClientNic, tcp(false, kTcpAck, 1001, 5001, kTenantA)).verdict, "allow");
}

TEST_P(PathExplain, ErrorAboutALiveFlowPassesAndAboutNoneDoesNot) {
  world_.apply(1, kMixed);
  const Frame datagram = world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 53).build(), kServerNic);
  const auto error = [&](Frame quoted) {
    quoted.erase(quoted.begin(), quoted.begin() + 14);
    return server("10.0.0.2", "10.0.0.34").icmp(3, 3, 0).payload(quoted).build();
  };
  EXPECT_EQ(same(kServerNic, error(datagram)).verdict, "allow");
  EXPECT_EQ(same(kServerNic, error(client("10.0.0.34", "10.0.0.2").udp(10, 53).build())).reason, DropReason::kIcmpUnrelated);
}

TEST_P(PathExplain, UnknownNeighbourHoldsThePacketAndTheQuestionIsTold) {
  world_.apply(1, kMixed);
  const Explanation held = same(kServerNic, server("203.0.113.17", "198.51.100.9").udp(5000, 53).build());
  EXPECT_EQ(held.verdict, "hold");
  EXPECT_EQ(step(held, "answer").detail.substr(0, 26), "arp: who has 192.0.2.2? te");
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  collect_all();
  EXPECT_EQ(same(kServerNic, server("203.0.113.17", "198.51.100.9").udp(5001, 53).build()).verdict, "allow");
}

TEST_P(PathExplain, FullTenantIsToldSo) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) { builder.tenants[0].sessions_max = 4; }});
  for (std::uint16_t port = 1; port < 12; ++port) same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 53).build());
  EXPECT_GT(drops(DropReason::kSessionLimit), 0U);
}

TEST_P(PathExplain, TenantThatOpensTooManySessionsASecondIsToldSo) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) { builder.tenants[0].quotas.new_sessions_per_second = 6; }});
  for (std::uint16_t port = 1; port < 20; ++port) same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 53).build());
  EXPECT_GT(drops(DropReason::kSessionRate), 0U);
}

TEST_P(PathExplain, SynFloodIsAnsweredWithTheVeryCookieExplained) {
  world_.apply(1, kMixed, {.edit = [](filters::SnapshotBuilder& builder) {
    builder.state_limits.push_back({0, 4, 0, snapshot::SynProtection::kCookies, {}});
  }});
  unsigned cookies = 0;
  for (std::uint16_t port = 1000; port < 1016; ++port) {
    const auto syn = [&](std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement) {
      return client("10.0.0.34", "10.0.0.2").tcp(port, 443, {.flags = flags, .sequence = sequence, .acknowledgement = acknowledgement}).build();
    };
    const Explanation said = same(kClientNic, syn(kTcpSyn, 7, 0));
    if (said.verdict != "answer") continue;
    ++cookies;
    ASSERT_EQ(said.outcome.sent.size(), 1U);
    const auto& answer = said.outcome.sent[0].bytes;
    const std::uint32_t cookie = load_be<std::uint32_t>(answer, read(answer).l4_offset + 4U);
    const Explanation back = same(kClientNic, syn(kTcpAck, 8, cookie + 1));
    EXPECT_EQ(back.outcome.sent.size(), 1U) << "the server is asked";
    EXPECT_EQ(step(back, "answer").detail.substr(0, 19), "tcp 10.0.0.34:" + std::to_string(port) + " ");
  }
  EXPECT_GT(cookies, 4U);
}

TEST_P(PathExplain, FragmentWaitsForTheRestOfItsDatagram) {
  world_.apply(1, kMixed);
  const auto piece = [&](unsigned word) {
    return on_client(kTenantA).ipv4("10.0.0.34", "10.0.0.2", {.fragment = word}).udp(9, 53).payload(64).build();
  };
  const Explanation first = same(kClientNic, piece(0x2000));
  EXPECT_EQ(first.verdict, "hold");
  EXPECT_EQ(step(first, "fragments").result, "held");
  EXPECT_EQ(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(9, 53).payload(64).build()).verdict, "allow") << "the same one whole";
}

TEST_P(PathExplain, TranslationIsExplainedBothWays) {
  const NatText napt{.kind = snapshot::NatKind::kNapt, .sources = {"10.0.0.32/28"}, .translated = {"203.0.113.20"}, .source_zones = 2, .destination_zones = 4, .block_ports = 64};
  world_.apply(1, {kAllowAll}, {.edit = [&](filters::SnapshotBuilder& builder) { add_nat(builder, 0, napt); }});
  world_.inject(kServerNic, server("203.0.113.17", "198.51.100.99").udp(9, 9).build());
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  collect_all();
  const Explanation out = same(kClientNic, client("10.0.0.34", "198.51.100.9").udp(40000, 53).build());
  EXPECT_EQ(out.verdict, "allow");
  EXPECT_EQ(step(out, "nat").detail.substr(0, 17), "udp 203.0.113.20:");
  EXPECT_EQ(step(out, "nat").object, "nat rule nat 0");
  EXPECT_EQ(step(out, "nat").id, "4e415400-0000-4000-8000-000000000000");
  ASSERT_EQ(out.outcome.sent.size(), 1U);
  const std::uint16_t port = read(out.outcome.sent[0].bytes).source_port;
  const Explanation back = same(kUplinkNic, outside("198.51.100.9", "203.0.113.20").udp(53, port).build());
  EXPECT_EQ(back.verdict, "allow");
  EXPECT_NE(step(back, "nat").detail.find("> 10.0.0.34:40000"), std::string::npos) << step(back, "nat").detail;
  EXPECT_EQ(step(back, "nat").object, "nat rule nat 0") << "of a session that is there already";
  EXPECT_EQ(step(same(kClientNic, client("10.0.0.34", "10.0.0.2").udp(40000, 53).build()), "nat").stage, "") << "inside nothing is translated";
}

TEST_P(PathExplain, SessionOfAnOlderGenerationIsJudgedAgain) {
  world_.apply(1, {kAllowAll});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build(), kServerNic);
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 99).build(), kServerNic);
  world_.apply(2, {{.id = 12, .protocol = 17, .port_low = 53, .port_high = 53}});
  const Frame answer = server("10.0.0.2", "10.0.0.34").udp(53, 5000).build();
  const Explanation kept = ask(answer, 0);  // before a turn sweeps the sessions
  EXPECT_EQ(kept.verdict, "allow");
  EXPECT_EQ(kept.rule, "inside/rule 12");
  EXPECT_EQ(step(kept, "policy").detail, "the session was judged under revision 1");
  EXPECT_EQ(same(kServerNic, server("10.0.0.2", "10.0.0.34").udp(99, 5000).build()).reason, DropReason::kPolicyChanged);
  EXPECT_EQ(same(kServerNic, answer).verdict, "allow");
}

TEST_P(PathExplain, CandidateIsAnsweredForWithoutBeingInForce) {
  world_.apply(1, kMixed);
  connect();
  dataplane::Slots slots = world_.engine().slots();
  dataplane::LoadError error;
  const std::string before = everything();
  const auto candidate = world_.engine().build_apart(
      world_.snapshot(2, {{.id = 99, .action = snapshot::Action::kReject, .protocol = 6}, {.id = 12, .protocol = 17, .port_low = 5, .port_high = 5}}), slots, error);
  ASSERT_NE(candidate, nullptr) << error.reason;
  const auto under_candidate = [&](const Frame& frame) {
    return explain::explain(world_.engine(), {*candidate, slots}, frame, 1).value();
  };
  const Frame now_denied = client("10.0.0.34", "10.0.0.2").udp(9, 53).build();
  const Frame now_allowed = client("10.0.0.34", "10.0.0.2").udp(9, 5).build();
  EXPECT_EQ(under_candidate(now_denied).reason, DropReason::kDefaultDeny);
  EXPECT_EQ(under_candidate(now_allowed).rule, "inside/rule 12");
  EXPECT_EQ(under_candidate(tcp(false, kTcpAck, 1001, 5001)).reason, DropReason::kPolicyChanged) << "the live connection would end";
  EXPECT_EQ(under_candidate(tcp(false, kTcpAck, 1001, 5001)).rule, "inside/rule 99");
  EXPECT_EQ(under_candidate(tcp(false, kTcpAck, 1001, 5001)).generation, 2U);
  EXPECT_TRUE(before == everything());
  EXPECT_EQ(world_.engine().slots().rules.all().size(), kMixed.size() + 3);
  EXPECT_EQ(same(kClientNic, now_denied).verdict, "allow");
  EXPECT_EQ(same(kClientNic, now_allowed).reason, DropReason::kDefaultDeny);
  EXPECT_EQ(same(kClientNic, tcp(false, kTcpAck, 1001, 5001)).verdict, "allow");
}

TEST_P(PathExplain, ReplayListsTheFlowsThatFlipAndNoOthers) {
  world_.apply(1, kMixed);
  connect();
  dataplane::Slots slots = world_.engine().slots();
  dataplane::LoadError error;
  const auto candidate = world_.engine().build_apart(
      world_.snapshot(2, {{.id = 11, .protocol = 6, .port_low = 80, .port_high = 80}, {.id = 12, .protocol = 17, .port_low = 4, .port_high = 53}}), slots, error);
  ASSERT_NE(candidate, nullptr) << error.reason;
  std::vector<Frame> frames{
      client("10.0.0.34", "10.0.0.2").tcp(40000, 443, {.flags = kTcpSyn}).build(),           // flips: no longer passes
      client("10.0.0.34", "10.0.0.2").tcp(40001, 80, {.flags = kTcpSyn}).build(),
      client("10.0.0.34", "10.0.0.2").tcp(40000, 443, {.flags = kTcpSyn}).build(),           // again
      client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(9, 4).build(),                            // flips: passes now
      client("10.0.0.34", "10.0.0.2").udp(9, 53).build(),
      client("10.0.0.34", "10.0.0.2").udp(9, 2).build(),                                     // refused by both
      client("10.0.0.34", "10.0.0.2").tcp(40002, 443).build(),                               // flips: began before the capture
      client("10.0.0.35", "10.0.0.2").udp(9, 53).build(),                                    // forged under both
      FrameBuilder().ethernet(world_.gateway(kClientNic), kClientMac).ipv4("10.0.0.2", "10.0.0.34").udp(53, 9).build(),  // our own
  };
  std::vector<explain::CapturedFrame> captured;
  for (std::size_t i = 0; i < frames.size(); ++i) captured.push_back({1'000'000'000 * i, frames[i]});
  const std::string before = everything();
  const auto report = explain::replay(world_.engine(), {*world_.engine().runtime(), world_.engine().slots()}, 1, {*candidate, slots}, 1,
                                      captured, std::chrono::seconds(60)).value();
  EXPECT_TRUE(before == everything());
  EXPECT_EQ(report.judged, 8U);
  EXPECT_EQ(report.own, 1U);
  EXPECT_EQ(report.flows, 7U);
  EXPECT_EQ(report.mid_stream, 1U);
  EXPECT_FALSE(report.out_of_time);
  ASSERT_EQ(report.flipped, 3U);
  ASSERT_EQ(report.flips.size(), 3U);
  EXPECT_EQ(report.flips[0].flow.substr(0, 45), "tcp 10.0.0.34:40000 > 10.0.0.2:443 syn, 40 by");
  EXPECT_EQ(report.flips[0].packets, 2U);
  EXPECT_EQ(report.flips[0].running.rule, "inside/rule 11");
  EXPECT_EQ(report.flips[0].candidate.reason, DropReason::kDefaultDeny);
  EXPECT_EQ(report.flips[1].running.verdict, "reject");
  EXPECT_EQ(report.flips[1].candidate.rule, "inside/rule 12");
  EXPECT_EQ(report.flips[2].running.reason, DropReason::kNotFirst);
}

TEST_P(PathExplain, ReplayKeepsTheTimesOfTheCapture) {
  world_.apply(1, {kAllowAll});
  dataplane::Slots slots = world_.engine().slots();
  dataplane::LoadError error;
  const auto candidate = world_.engine().build_apart(
      world_.snapshot(2, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) { builder.tenants[0].sessions_max = 1; }}), slots, error);
  ASSERT_NE(candidate, nullptr) << error.reason;
  const auto flips = [&](std::uint64_t distance_ns) {
    const Frame first = client("10.0.0.34", "10.0.0.2").udp(1, 53).build();
    const Frame second = client("10.0.0.34", "10.0.0.2").udp(2, 53).build();
    const std::vector<explain::CapturedFrame> captured{{5, first}, {5 + distance_ns, second}};
    return explain::replay(world_.engine(), {*world_.engine().runtime(), world_.engine().slots()}, 1, {*candidate, slots}, 1, captured,
                           std::chrono::seconds(60)).value().flipped;
  };
  EXPECT_EQ(flips(1'000'000'000), 1U) << "one session at a time, the first still lives";
  EXPECT_EQ(flips(40'000'000'000), 0U) << "it has aged";
}

TEST_P(PathExplain, RandomStoriesEndAsExplained) {
  world_.apply(1, kMixed);
  std::mt19937_64 random(20261126);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  constexpr std::array<std::uint16_t, 6> kPorts{53, 2, 3, 25, 80, 443};
  constexpr std::array<std::uint8_t, 6> kFlags{kTcpSyn, kTcpSyn | kTcpAck, kTcpAck, kTcpAck, kTcpFin | kTcpAck, kTcpRst | kTcpAck};
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t tenant = pick(4) == 0 ? kTenantB : kTenantA;
    const bool v6 = pick(3) == 0;
    const bool back = pick(2) == 0;
    const char* near = v6 ? "fd00:0:0:2::2" : pick(9) == 0 ? "10.0.0.35" : "10.0.0.34";
    const char* far = v6 ? "fd00:0:0:1::2" : "10.0.0.2";
    FrameBuilder builder = back ? server(far, near, tenant) : client(near, far, tenant);
    const std::uint16_t service = kPorts[pick(kPorts.size())];
    const auto host = static_cast<std::uint16_t>(40000 + pick(3));
    const auto from = back ? service : host, to = back ? host : service;
    if (pick(2) == 0) {
      builder.udp(from, to);
    } else {
      builder.tcp(from, to, {.flags = kFlags[pick(kFlags.size())], .sequence = static_cast<std::uint32_t>(1000 + pick(3)),
                             .acknowledgement = static_cast<std::uint32_t>(1000 + pick(3))});
    }
    same(back ? kServerNic : kClientNic, builder.build());
    if (pick(50) == 0) world_.pass(250 * std::chrono::milliseconds(pick(200)));
    if (HasFailure()) FAIL() << "packet " << i;
  }
}

}  // namespace
}  // namespace sekisho::tests
