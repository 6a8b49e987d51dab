// SPDX-License-Identifier: Apache-2.0
// Goal: what NAT promises, seen from both sides of the gateway; names end in the requirement they show. Method: the whole data
// plane on ring ports, one and two workers, and one whose cards sum; decode verifies every checksum of every frame that comes out.
#include <set>

#include "tests/path/path_test.h"
#include "tests/support/nat.h"
#include "tests/support/pieces.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpRst;
using filters::kTcpSyn;
using filters::snapshot::NatKind;
using std::chrono::seconds;

const RuleText kAllowAll{.id = 11};
constexpr std::uint64_t kOffice = 2, kNet = 4;  // zone bits
constexpr const char* kClient = "10.0.0.34";
constexpr const char* kServer = "10.0.0.2";
constexpr const char* kFar = "198.51.100.9";
constexpr const char* kFar2 = "198.51.100.10";
constexpr const char* kPool = "203.0.113.20";

/// The office goes out by blocks of 64 ports of one address: .34 is the third inside address, its block begins at 1152.
const NatText kNapt{.kind = NatKind::kNapt, .sources = {"10.0.0.32/28"}, .translated = {kPool}, .source_zones = kOffice, .destination_zones = kNet, .block_ports = 64};
constexpr unsigned kBlockFirst = 1024 + 2 * 64;
const NatText kNaptB{.kind = NatKind::kNapt, .sources = {"10.0.0.32/28"}, .translated = {"203.0.113.40"}, .source_zones = kOffice, .destination_zones = kNet, .block_ports = 64};
/// From outside, and for neighbours.
const NatText kDnat{.kind = NatKind::kDnat, .destinations = {"203.0.113.21"}, .translated = {kServer}, .protocol = 6, .port_low = 8443, .port_high = 8443, .translated_port = 443};
const NatText kStatic{.kind = NatKind::kStatic, .sources = {"10.0.0.2"}, .translated = {"203.0.113.22"}, .destination_zones = kNet};

struct Ends {
  std::string source, destination;
  unsigned source_port, destination_port;
  auto operator<=>(const Ends&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Ends& ends) {
  return out << ends.source << ':' << ends.source_port << " > " << ends.destination << ':' << ends.destination_port;
}

class PathNat : public PathTest {
 protected:
  explicit PathNat(WorldOptions options = {}) : PathTest(options) {}

  static Shape with(const std::vector<NatText>& rules, const std::vector<NatText>& rules_b = {}) {
    return {.edit = [=](filters::SnapshotBuilder& builder) {
      for (const NatText& rule : rules) add_nat(builder, 0, rule);
      for (const NatText& rule : rules_b) add_nat(builder, 1, rule);
    }};
  }
  /// Applies generation 1 and makes the router known.
  void start(const std::vector<NatText>& rules, const std::vector<NatText>& rules_b = {}) {
    world_.apply(1, {kAllowAll}, with(rules, rules_b));
    for (const bool six : {false, true}) {
      world_.inject(kServerNic, six ? server("fd00:0:0:1::2", "2001:db8:ffff::99").udp(9, 9).build() : server("203.0.113.17", "198.51.100.99").udp(9, 9).build());
      world_.inject(kUplinkNic, six ? router_answer("2001:db8:0:1::2", "2001:db8:0:1::1") : router_answer("192.0.2.2", "192.0.2.1"));
    }
    world_.collect(kUplinkNic);
    world_.records();
  }
  Ends ends(const Frame& frame) const {
    if (frame.empty()) return {};
    const filters::PacketMeta meta = read(frame);
    return {to_string(filters::ip_source(frame, meta)), to_string(filters::ip_destination(frame, meta)), meta.source_port, meta.destination_port};
  }
  /// What leaves by the uplink; questions about the router are answered on the way.
  Frame sent_frame(const Frame& frame, std::uint16_t nic = kClientNic) {
    world_.inject(nic, frame);
    std::vector<Frame> out;
    for (std::vector<Frame> frames = world_.collect(kUplinkNic); !frames.empty(); frames = world_.collect(kUplinkNic)) {
      for (const Frame& one : frames) {
        const filters::PacketMeta meta = read(one);
        if ((meta.proof & filters::kProofArp) != 0) {
          world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
        } else if (meta.protocol == 58 && meta.icmp_type == 135) {
          world_.inject(kUplinkNic, router_answer("2001:db8:0:1::2", "2001:db8:0:1::1"));
        } else {
          out.push_back(one);
        }
      }
    }
    EXPECT_EQ(out.size(), 1U);
    return out.empty() ? Frame{} : out.front();
  }
  Ends out(const Frame& frame, std::uint16_t nic = kClientNic) { return ends(sent_frame(frame, nic)); }
  Ends in(const Frame& frame, std::uint16_t nic = kClientNic) { return ends(world_.through(kUplinkNic, frame, nic)); }
  /// The answer to what came out, from outside.
  FrameBuilder answer(const Ends& sent) const { return outside(sent.destination, sent.source); }
  void expect_nothing(std::uint16_t nic, const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(nic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    EXPECT_EQ(collect_all(), 0U);
  }
};
SEKISHO_PATH_WORKERS(PathNat);

TEST_P(PathNat, HostThatAimsAtItsOwnOutsideAddressGetsNoPacketFromItself) {
  start({kDnat});
  const auto syn = [](FrameBuilder builder) { return builder.tcp(40000, 8443, {.flags = kTcpSyn}).build(); };
  const std::uint64_t before = world_.sessions();
  world_.inject(kServerNic, syn(server(kServer, "203.0.113.21")));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kLand), 1U);
  EXPECT_EQ(world_.sessions(), before);
  world_.through(kClientNic, syn(client(kClient, "203.0.113.21")), kServerNic);  // a neighbour may
}

TEST_P(PathNat, NaptGivesAPortOfTheClientsBlockAndTheAnswerComesBack) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).udp(40000, 53).payload(10).build());
  EXPECT_EQ(sent.source, kPool);
  EXPECT_GE(sent.source_port, kBlockFirst);
  EXPECT_LT(sent.source_port, kBlockFirst + 64);
  EXPECT_EQ(sent.source_port % 2, 0U);  // parity of 40000
  EXPECT_EQ(sent.destination, kFar);
  EXPECT_EQ(in(answer(sent).udp(53, sent.source_port).payload(7).build()), (Ends{kFar, kClient, 53, 40000}));
  EXPECT_EQ(out(client(kClient, kFar).udp(40000, 53).build()), sent);
  EXPECT_EQ(world_.sessions(), 3U);
}

TEST_P(PathNat, AnswerFromAnotherAddressOrPortOrToAnotherPortDoesNotPass_Rfc4787Req8) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).udp(40000, 53).build());
  expect_nothing(kUplinkNic, answer(sent).udp(53, sent.source_port ^ 1U).build(), DropReason::kNatUnmapped);
  expect_nothing(kUplinkNic, answer(sent).udp(54, sent.source_port).build(), DropReason::kNatUnmapped);
  expect_nothing(kUplinkNic, outside(kFar2, kPool).udp(53, sent.source_port).build(), DropReason::kNatUnmapped);
  EXPECT_EQ(in(answer(sent).udp(53, sent.source_port).build()).destination, kClient);
}

TEST_P(PathNat, OneInsideEndpointIsOneOutsideEndpointWhereverItSpeaks_Rfc4787Req1) {
  start({kNapt});
  // More inside ports than half the block, so that many find their first choice taken; each speaks to many.
  for (unsigned round = 0; round < 3; ++round) {
    std::set<unsigned> taken;
    for (unsigned port = 0; port < 48; ++port) {
      std::set<unsigned> seen;
      for (unsigned far = 0; far < 8; ++far) {
        seen.insert(out(client(kClient, "198.51.100." + std::to_string(10 + far)).udp(30000 + 64 * (port % 5) + port, 53 + far * 7 + round * 100).build()).source_port);
      }
      EXPECT_EQ(seen.size(), 1U);
      EXPECT_TRUE(taken.insert(*seen.begin()).second) << "no two endpoints share a port (REQ-3)";
    }
  }
}

TEST_P(PathNat, ExhaustedBlockIsNamedAndTheNeighbourGoesOn) {
  start({kNapt}, {kNaptB});
  std::set<unsigned> ports;
  for (unsigned port = 0; port < 64; ++port) ports.insert(out(client(kClient, kFar).udp(20000 + 100 * port, 53).build()).source_port);
  EXPECT_EQ(ports.size(), 64U);
  world_.records();
  expect_nothing(kClientNic, client(kClient, kFar).udp(9999, 53).build(), DropReason::kNatExhausted);
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].envelope.drop_reason, static_cast<std::uint8_t>(DropReason::kNatExhausted));
  EXPECT_EQ(records[0].comm.source_port, 9999);
  EXPECT_EQ(out(client(kClient, kFar).tcp(9999, 53, {.flags = kTcpSyn}).build()).source, kPool);  // TCP has ports of its own
  EXPECT_EQ(out(client(kClient, kFar, kTenantB).udp(9999, 53).build()).source, "203.0.113.40");
  EXPECT_EQ(out(client(kClient, kFar2).udp(20000, 53).build()).source_port, out(client(kClient, kFar).udp(20000, 53).build()).source_port);
  world_.pass(seconds(125));  // silence gives ports back
  EXPECT_EQ(out(client(kClient, kFar).udp(9999, 53).build()).source, kPool);
}

TEST_P(PathNat, MappingLivesTwoMinutesAndIsRefreshedFromInside_Rfc4787Req5Req6) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).udp(40000, 53).build());
  world_.pass(seconds(119));
  EXPECT_EQ(in(answer(sent).udp(53, sent.source_port).build()).destination_port, 40000U);
  for (unsigned i = 0; i < 3; ++i) {
    world_.pass(seconds(119));
    EXPECT_EQ(out(client(kClient, kFar).udp(40000, 53).build()), sent);
  }
}

TEST_P(PathNat, TenantsWithTheSameAddressesHaveTheirOwnPools) {
  start({kNapt}, {kNaptB});
  const Ends a = out(client(kClient, kFar).udp(40000, 53).build());
  const Ends b = out(client(kClient, kFar, kTenantB).udp(40000, 53).build());
  EXPECT_EQ(a.source, kPool);
  EXPECT_EQ(b.source, "203.0.113.40");
  EXPECT_EQ(a.source_port, b.source_port);
  const Frame to_b = world_.through(kUplinkNic, answer(b).udp(53, b.source_port).build(), kClientNic);
  EXPECT_EQ(read(to_b).outer_vlan, 300);
  EXPECT_EQ(read(to_b).inner_vlan, 7);
  EXPECT_EQ(read(world_.through(kUplinkNic, answer(a).udp(53, a.source_port).build(), kClientNic)).outer_vlan, 0);
}

TEST_P(PathNat, TcpConnectionIsTrackedAcrossTranslationAndWithItsLongTimeouts_Rfc5382Req5) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build());
  world_.pass(seconds(200));  // transitory: four minutes
  EXPECT_EQ(in(answer(sent).tcp(80, sent.source_port, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101}).build()).destination_port, 40000U);
  out(client(kClient, kFar).tcp(40000, 80, {.flags = kTcpAck, .sequence = 101, .acknowledgement = 501}).build());
  world_.pass(std::chrono::minutes(123));  // established: two hours and four minutes
  EXPECT_EQ(in(answer(sent).tcp(80, sent.source_port, {.flags = kTcpAck, .sequence = 501, .acknowledgement = 101}).payload(50).build()).destination, kClient);
  expect_nothing(kUplinkNic, answer(sent).tcp(80, sent.source_port, {.flags = kTcpRst, .sequence = 900'000'000}).build(), DropReason::kTcpWindow);
}

TEST_P(PathNat, SimultaneousOpenPassesAndAnUnaskedSynIsSilentlyDropped_Rfc5382Req2Req4) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build());
  EXPECT_EQ(in(answer(sent).tcp(80, sent.source_port, {.flags = kTcpSyn, .sequence = 500}).build()).destination, kClient);
  expect_nothing(kUplinkNic, outside(kFar2, kPool).tcp(80, sent.source_port, {.flags = kTcpSyn}).build(), DropReason::kNatUnmapped);
}

TEST_P(PathNat, EchoHasItsIdentifierTranslatedBothWays_Rfc5508Req1) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).echo(7).build());
  EXPECT_EQ(sent.source, kPool);
  EXPECT_GE(sent.source_port, kBlockFirst);
  const Frame reply = outside(kFar, kPool).icmp(0, 0, sent.source_port << 16 | 1U).build();
  EXPECT_EQ(in(reply), (Ends{kFar, kClient, 7, 7}));
  expect_nothing(kUplinkNic, outside(kFar, kPool).icmp(0, 0, (sent.source_port ^ 1U) << 16 | 1U).build(), DropReason::kNatUnmapped);
  EXPECT_EQ(out(client(kClient, kFar2).echo(7).build()).source_port, sent.source_port);
}

/// A client that speaks to the server by its own address, and then by the outside one from the same port: the server could not
/// tell the two connections apart.
TEST_P(PathNat, FlowThatWouldLookLikeAnUntranslatedOneIsRefusedWhicheverWorkerHasThat) {
  start({kDnat});
  const auto syn = [&](const char* to, unsigned from_port, unsigned to_port) {
    return client(kClient, to).tcp(from_port, to_port, {.flags = kTcpSyn}).build();
  };
  constexpr unsigned kFlows = 40;
  for (unsigned port = 40000; port < 40000 + kFlows; ++port) {
    world_.through(kClientNic, syn(kServer, port, 443), kServerNic);
    expect_nothing(kClientNic, syn("203.0.113.21", port, 8443), DropReason::kNatExhausted);
    world_.through(kClientNic, syn("203.0.113.21", port + 100, 8443), kServerNic);  // another port, and the other order
    world_.inject(kClientNic, syn(kServer, port + 100, 443));
    EXPECT_TRUE(world_.collect(kServerNic).empty());
  }
  world_.pass(seconds(15000));
  EXPECT_EQ(world_.sessions(), 0U);
  for (unsigned port = 40000; port < 40000 + kFlows; ++port) {
    world_.through(kClientNic, syn("203.0.113.21", port, 8443), kServerNic);  // when the other has ended
  }
}

TEST_P(PathNat, FlowsFromBeforeTheFirstNatRuleAreSeenByTheFirstTranslatedOnes) {
  start({});
  const auto syn = [&](const char* to, unsigned from_port, unsigned to_port) {
    return client(kClient, to).tcp(from_port, to_port, {.flags = kTcpSyn}).build();
  };
  constexpr unsigned kFlows = 20;
  for (unsigned port = 40000; port < 40000 + kFlows; ++port) world_.through(kClientNic, syn(kServer, port, 443), kServerNic);
  world_.apply(2, {kAllowAll}, with({kDnat}));
  for (unsigned port = 40000; port < 40000 + kFlows; ++port) {
    world_.queue(kClientNic, syn("203.0.113.21", port, 8443));        // before any worker has looked at what it has
    world_.queue(kClientNic, syn("203.0.113.21", port + 100, 8443));  // these look like nobody
  }
  world_.turn(GetParam() - 1);  // who takes these in knows the new policy before the other
  world_.settle();
  EXPECT_EQ(drops(DropReason::kNatExhausted), kFlows);
  EXPECT_EQ(world_.collect(kServerNic).size(), kFlows);
  EXPECT_EQ(world_.sessions(), 2 * kFlows + 2);  // and start()'s
}

TEST_P(PathNat, FlowsWithoutNatAreNotedNowhereAndAFlowOfATenantWithRulesIs) {
  world_.apply(1, {kAllowAll}, with({kDnat}));
  const Frame a = client(kClient, kServer).tcp(40000, 443, {.flags = kTcpSyn}).build();
  const Frame b = client(kClient, kServer, kTenantB).tcp(40000, 443, {.flags = kTcpSyn}).build();
  world_.through(kClientNic, a, kServerNic);
  world_.through(kClientNic, b, kServerNic);
  for (std::uint32_t shard = 0; shard < GetParam(); ++shard) {
    const dataplane::SessionTable& sessions = world_.engine().shard(shard).sessions;
    for (std::uint32_t index = 0; index < sessions.used_end(); ++index) {
      const bool noted = GetParam() > 1 && dataplane::tenant_of(sessions.at(index).key) == kTenantA;
      EXPECT_EQ((sessions.at(index).traits & dataplane::kSessionNoted) != 0, noted);
      if (GetParam() == 1) continue;
      EXPECT_EQ(world_.engine().shared().flow_owners.find(sessions.own_hash(index)), noted ? shard : dataplane::FlowOwners::kNone);
    }
  }
}

TEST_P(PathNat, ErrorsAreTranslatedWithTheirQuotesBothWays_Rfc5508Req4Req5) {
  start({kNapt});
  const Frame request = world_.through(kClientNic, client(kClient, kFar).udp(40000, 53).payload(40).build(), kUplinkNic);
  const Ends sent = ends(request);
  const auto quote = [](const Frame& frame) { return Frame(frame.begin() + 14, frame.end()); };
  // From a router outside, about what we sent.
  const Frame from_outside = world_.through(kUplinkNic, outside("198.51.100.1", kPool).icmp(3, 1, 0).payload(quote(request)).build(), kClientNic);
  filters::QuotedPacket quoted{};
  ASSERT_EQ(filters::parse_icmp_error(from_outside, read(from_outside), quoted), DropReason::kNone);
  EXPECT_EQ(ends(from_outside).source, "198.51.100.1");
  EXPECT_EQ(ends(from_outside).destination, kClient);
  EXPECT_EQ(quoted.source, address(kClient));
  EXPECT_EQ(quoted.source_port, 40000);
  // From the client, about the answer it got.
  const Frame got = world_.through(kUplinkNic, answer(sent).udp(53, sent.source_port).payload(9).build(), kClientNic);
  const Frame from_inside = world_.through(kClientNic, client(kClient, kFar).icmp(3, 3, 0).payload(quote(got)).build(), kUplinkNic);
  ASSERT_EQ(filters::parse_icmp_error(from_inside, read(from_inside), quoted), DropReason::kNone);
  EXPECT_EQ(ends(from_inside).source, kPool);
  EXPECT_EQ(quoted.destination, address(kPool));
  EXPECT_EQ(quoted.destination_port, sent.source_port);
  // The session is not torn down (REQ-3), and a quote of the wrong side, or of nobody's packet, does not pass.
  EXPECT_EQ(out(client(kClient, kFar).udp(40000, 53).build()), sent);
  Frame nobody = quote(request);
  nobody[21] ^= 1;
  expect_nothing(kUplinkNic, outside("198.51.100.1", kPool).icmp(3, 1, 0).payload(nobody).build(), DropReason::kIcmpUnrelated);
  const Frame untranslated = client(kClient, kFar).udp(40000, 53).payload(40).build();
  expect_nothing(kServerNic, server(kServer, kClient).icmp(3, 1, 0).payload(quote(untranslated)).build(), DropReason::kIcmpUnrelated);
}

TEST_P(PathNat, WhatCannotBeForwardedIsQuotedAsItsSenderKnowsIt) {
  start({kNapt});
  const Frame error = world_.through(kClientNic, on_client(kTenantA).ipv4(kClient, kFar, {.ttl = 1}).udp(40000, 53).build(), kClientNic);
  filters::QuotedPacket quoted{};
  ASSERT_EQ(filters::parse_icmp_error(error, read(error), quoted), DropReason::kNone);
  EXPECT_EQ(quoted.source, address(kClient));
  EXPECT_EQ(quoted.source_port, 40000);
  EXPECT_EQ(drops(DropReason::kTtlExceeded), 1U);
  EXPECT_TRUE(world_.collect(kUplinkNic).empty());
}

TEST_P(PathNat, DnatLeadsOnePublicPortInsideAndItsNeighbourNowhere) {
  start({kDnat});
  const auto syn = [&](unsigned port) { return outside(kFar, "203.0.113.21").tcp(5000, port, {.flags = kTcpSyn, .sequence = 1}).build(); };
  EXPECT_EQ(in(syn(8443), kServerNic), (Ends{kFar, kServer, 5000, 443}));
  const Ends back = out(server(kServer, kFar).tcp(443, 5000, {.flags = kTcpSyn | kTcpAck, .sequence = 9, .acknowledgement = 2}).build(), kServerNic);
  EXPECT_EQ(back, (Ends{"203.0.113.21", kFar, 8443, 5000}));
  expect_nothing(kUplinkNic, syn(8444), DropReason::kNatUnmapped);
  expect_nothing(kUplinkNic, outside(kFar, "203.0.113.21").udp(5000, 8443).build(), DropReason::kNatUnmapped);
}

TEST_P(PathNat, DnatOfAllServicesMapsThePortOfTcpAndUdpAlone) {
  NatText all = kDnat;
  all.protocol = -1;
  start({all});
  EXPECT_EQ(in(outside(kFar, "203.0.113.21").udp(5000, 8443).build(), kServerNic), (Ends{kFar, kServer, 5000, 443}));
  EXPECT_EQ(in(outside(kFar, "203.0.113.21").echo(9).build(), kServerNic), (Ends{kFar, kServer, 9, 9}));
  EXPECT_EQ(out(server(kServer, kFar).icmp(0, 0, 9U << 16 | 1U).build(), kServerNic), (Ends{"203.0.113.21", kFar, 9, 9}));
}

TEST_P(PathNat, PolicySeesTheTranslatedDestination) {
  const RuleText inner{.id = 12, .destinations = {kServer}, .protocol = 6, .port_low = 443, .port_high = 443};
  const RuleText outer{.id = 12, .destinations = {"203.0.113.21"}, .protocol = 6, .port_low = 8443, .port_high = 8443};
  start({kDnat});
  world_.apply(2, {inner}, with({kDnat}));
  EXPECT_EQ(in(outside(kFar, "203.0.113.21").tcp(5001, 8443, {.flags = kTcpSyn}).build(), kServerNic).destination_port, 443U);
  world_.apply(3, {outer}, with({kDnat}));
  expect_nothing(kUplinkNic, outside(kFar, "203.0.113.21").tcp(5002, 8443, {.flags = kTcpSyn}).build(), DropReason::kDefaultDeny);
}

TEST_P(PathNat, StaticIsOneHostBothWays) {
  start({kStatic});
  EXPECT_EQ(out(server(kServer, kFar).udp(77, 53).build(), kServerNic), (Ends{"203.0.113.22", kFar, 77, 53}));
  EXPECT_EQ(in(outside(kFar, "203.0.113.22").udp(53, 77).build(), kServerNic), (Ends{kFar, kServer, 53, 77}));
  EXPECT_EQ(in(outside(kFar2, "203.0.113.22").tcp(6000, 22, {.flags = kTcpSyn}).build(), kServerNic), (Ends{kFar2, kServer, 6000, 22}));
  EXPECT_EQ(in(outside(kFar2, "203.0.113.22").echo(5).build(), kServerNic).destination, kServer);
  world_.inject(kUplinkNic, outside(kFar2, "203.0.113.23").tcp(6000, 22, {.flags = kTcpSyn}).build());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathNat, SnatGivesAnAddressOfThePoolAndKeepsPorts) {
  start({{.kind = NatKind::kSnat, .sources = {"10.0.0.32/28"}, .translated = {"203.0.113.24-203.0.113.27"}, .destination_zones = kNet}});
  const Ends sent = out(client(kClient, kFar).udp(40000, 53).build());
  EXPECT_EQ(sent, (Ends{"203.0.113.26", kFar, 40000, 53}));  // 10.0.0.34 is 2 modulo 4
  EXPECT_EQ(in(answer(sent).udp(53, 40000).build()).destination, kClient);
  EXPECT_EQ(out(client(kClient, kFar).protocol(47, Frame(12)).build()).source, "203.0.113.26");
}

TEST_P(PathNat, NoNatExemptsWhatItTakesAndNothingElse) {
  start({{.kind = NatKind::kNoNat, .sources = {"10.0.0.32/28"}, .destinations = {kFar2}}, kNapt});
  EXPECT_EQ(out(client(kClient, kFar2).udp(40000, 53).build()), (Ends{kClient, kFar2, 40000, 53}));
  EXPECT_EQ(out(client(kClient, kFar).udp(40000, 53).build()).source, kPool);
  EXPECT_EQ(ends(world_.through(kClientNic, client(kClient, kServer).udp(40000, 53).build(), kServerNic)).source, kClient);
}

TEST_P(PathNat, ClientReachesItsNeighbourByThePublicAddressAndComesFromOne_Rfc4787Req9) {
  start({kDnat, kNapt, kStatic});
  const Ends seen = ends(world_.through(kClientNic, client(kClient, "203.0.113.21").tcp(40000, 8443, {.flags = kTcpSyn, .sequence = 1}).build(), kServerNic));
  EXPECT_EQ(seen.source, kPool);
  EXPECT_EQ(seen.destination, kServer);
  EXPECT_EQ(seen.destination_port, 443U);
  const Frame back = server(kServer, kPool).tcp(443, seen.source_port, {.flags = kTcpSyn | kTcpAck, .sequence = 5, .acknowledgement = 2}).build();
  EXPECT_EQ(ends(world_.through(kServerNic, back, kClientNic)), (Ends{"203.0.113.21", kClient, 8443, 40000}));
  EXPECT_EQ(ends(world_.through(kClientNic, client(kClient, "203.0.113.22").udp(40001, 53).build(), kServerNic)).source, kPool);
  // Straight to its inside address the client comes as itself.
  EXPECT_EQ(ends(world_.through(kClientNic, client(kClient, kServer).tcp(40002, 443, {.flags = kTcpSyn}).build(), kServerNic)).source, kClient);
}

TEST_P(PathNat, PacketWithTheOtherSidesEndsBelongsToNobody) {
  NatText napt = kNapt;
  napt.translated = {"10.0.0.9"};
  napt.destination_zones = 1;  // toward the servers
  world_.apply(1, {kAllowAll}, with({napt}));
  const Ends seen = ends(world_.through(kClientNic, client(kClient, kServer).udp(40000, 53).build(), kServerNic));
  EXPECT_EQ(seen.source, "10.0.0.9");
  // The server knows the client's own address and port, and answers there.
  expect_nothing(kServerNic, server(kServer, kClient).udp(53, 40000).build(), DropReason::kNatWrongSide);
  EXPECT_EQ(ends(world_.through(kServerNic, server(kServer, seen.source).udp(53, seen.source_port).build(), kClientNic)).destination, kClient);
}

TEST_P(PathNat, Nptv6ChangesThePrefixBothWaysAndNoChecksum_Rfc6296) {
  const NatText npt{.kind = NatKind::kNptv6, .sources = {"fd00:0:0::/48"}, .translated = {"2001:db8:a::/48"}, .destination_zones = kNet, .prefix_length = 48};
  start({npt});
  const Frame sent6 = client("fd00:0:0:2::2", "2001:db8:ffff::9").udp(40000, 53).payload(11).build();
  const Frame seen = world_.through(kClientNic, sent6, kUplinkNic);
  const Ends sent = ends(seen);
  EXPECT_TRUE(sent.source.starts_with("2001:db8:a:"));
  EXPECT_EQ(sent.source_port, 40000U);
  const std::size_t checksum = 14 + 40 + 6;
  EXPECT_EQ(load_be<std::uint16_t>(seen, checksum), load_be<std::uint16_t>(sent6, checksum));
  EXPECT_EQ(in(answer(sent).udp(53, 40000).build()), (Ends{"2001:db8:ffff::9", "fd00:0:0:2::2", 53, 40000}));
  // A host outside begins: the same address leads in.
  EXPECT_EQ(in(outside("2001:db8:ffff::10", sent.source).tcp(7, 80, {.flags = kTcpSyn}).build()).destination, "fd00:0:0:2::2");
  // Errors: the quote goes back too.
  const Frame error = outside("2001:db8:ffff::1", sent.source).icmp(1, 0, 0).payload(Frame(seen.begin() + 14, seen.end())).build();
  EXPECT_EQ(in(error).destination, "fd00:0:0:2::2");
}

TEST_P(PathNat, CommitKeepsWhatRulesStillSayAndEndsTheRest) {
  start({kNapt});
  const Ends sent = out(client(kClient, kFar).udp(40000, 53).build());
  NatText wider = kNapt;
  wider.sources = {"10.0.0.32/28", "10.0.0.64/28"};
  world_.apply(2, {kAllowAll}, with({kDnat, wider}));
  EXPECT_EQ(in(answer(sent).udp(53, sent.source_port).build()).destination, kClient);
  EXPECT_EQ(out(client(kClient, kFar).udp(40000, 53).build()), sent);
  world_.records();
  NatText other = kNapt;
  other.translated = {"203.0.113.25"};
  world_.apply(3, {kAllowAll}, with({other}));
  expect_nothing(kClientNic, client(kClient, kFar).udp(40000, 53).build(), DropReason::kPolicyChanged);
  const auto records = world_.records();
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records[0].comm.end_reason, EndReason::kPolicy);
  const Ends anew = out(client(kClient, kFar).udp(40000, 53).build());
  EXPECT_EQ(anew.source, "203.0.113.25");
  world_.apply(4, {kAllowAll});
  expect_nothing(kClientNic, client(kClient, kFar).udp(40000, 53).build(), DropReason::kPolicyChanged);
}

TEST_P(PathNat, PacketHeldForItsNeighbourIsPlacedAgainAsItCameIn) {
  world_.apply(1, {kAllowAll}, with({kNapt}));
  world_.inject(kClientNic, client(kClient, kFar).udp(40000, 53).build());
  world_.apply(2, {kAllowAll}, with({kNapt}));
  world_.settle();
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  std::vector<Frame> frames = world_.collect(kUplinkNic);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(ends(frames.back()).source, kPool);
  EXPECT_EQ(world_.sessions(), 1U);
  for (const auto& record : world_.records()) EXPECT_NE(record.envelope.kind, LogKind::kSec);
}

TEST_P(PathNat, OutsideAddressOnALinkIsAnsweredForAndItsNeighbourIsNot) {
  NatText napt = kNapt;
  napt.translated = {"10.0.0.9"};  // on the servers' link
  napt.destination_zones = 1;
  world_.apply(1, {kAllowAll}, with({napt}));
  const auto ask = [&](const char* target) {
    return FrameBuilder().ethernet(kServerMac, mac("ff:ff:ff:ff:ff:ff"))
        .arp({.sender_mac = kServerMac, .sender = address(kServer), .target = address(target)}).build();
  };
  EXPECT_EQ(filters::ethernet_source(world_.through(kServerNic, ask("10.0.0.9"), kServerNic)), world_.gateway(kServerNic));
  world_.inject(kServerNic, ask("10.0.0.10"));
  EXPECT_EQ(collect_all(), 0U);
  const Ends seen = ends(world_.through(kClientNic, client(kClient, kServer).udp(40000, 53).build(), kServerNic));
  EXPECT_EQ(seen.source, "10.0.0.9");
  EXPECT_EQ(ends(world_.through(kServerNic, server(kServer, "10.0.0.9").udp(53, seen.source_port).build(), kClientNic)).destination, kClient);
}

TEST_P(PathNat, FragmentsAreTranslatedInEveryPieceAndInAnyOrder_Rfc4787Req14) {
  start({kNapt});
  const Frame whole = client(kClient, kFar).udp(40000, 53).payload(3000).build();
  for (const bool backwards : {false, true}) {
    std::vector<Frame> cut = pieces(whole, 1000, backwards ? 78 : 77);
    if (backwards) std::reverse(cut.begin(), cut.end());
    for (const Frame& one : cut) world_.inject(kClientNic, one);
    const std::vector<Frame> sent = world_.collect(kUplinkNic);
    ASSERT_EQ(sent.size(), cut.size());
    for (const Frame& one : sent) {
      const filters::PacketMeta meta = read(one);
      EXPECT_EQ(filters::ip_source(one, meta), address(kPool));
    }
    const Frame datagram = join(sent);
    ASSERT_FALSE(datagram.empty());
    const unsigned port = load_be<std::uint16_t>(datagram, 0);
    EXPECT_GE(port, kBlockFirst);
    EXPECT_EQ(datagram, upper(FrameBuilder().ipv4(kPool, kFar).udp(port, 53).payload(3000).build()));  // checksum and all
  }
}

TEST_P(PathNat, SynBeyondTheHalfOpenLimitIsAnsweredAndTheServerAskedInside) {
  const Shape tight{.edit = [](filters::SnapshotBuilder& builder) {
    add_nat(builder, 0, kDnat);
    builder.state_limits.push_back({.tenant = 0, .half_open_max = 1, .loose_pickup = 0, .syn_protection = {}, .reserved = {}});
  }};
  start({kDnat});
  world_.apply(2, {kAllowAll}, tight);
  const auto from = [&](unsigned port, const TcpKnobs& knobs) { return outside(kFar, "203.0.113.21").tcp(port, 8443, knobs).build(); };
  for (unsigned port = 5000; port < 5004; ++port) world_.inject(kUplinkNic, from(port, {.flags = kTcpSyn, .sequence = 1}));
  world_.collect(kServerNic);
  std::vector<Frame> answers = world_.collect(kUplinkNic);
  ASSERT_FALSE(answers.empty());
  const Frame& answer = answers.back();
  EXPECT_EQ(ends(answer), (Ends{"203.0.113.21", kFar, 8443, 5003}));
  const std::uint32_t cookie = load_be<std::uint32_t>(answer, 14 + 20 + 4);
  world_.inject(kUplinkNic, from(5003, {.flags = kTcpAck, .sequence = 2, .acknowledgement = cookie + 1}));
  const std::vector<Frame> asked = world_.collect(kServerNic);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(ends(asked[0]), (Ends{kFar, kServer, 5003, 443}));
  EXPECT_EQ(read(asked[0]).tcp_flags, kTcpSyn);
  // The server agrees; the client's data reaches it, and its answer comes from the public address.
  world_.inject(kServerNic, server(kServer, kFar).tcp(443, 5003, {.flags = kTcpSyn | kTcpAck, .sequence = 900, .acknowledgement = 2}).build());
  world_.collect(kServerNic);
  world_.collect(kUplinkNic);
  const Frame data = world_.through(kUplinkNic, from(5003, {.flags = kTcpAck, .sequence = 2, .acknowledgement = cookie + 1}), kServerNic);
  EXPECT_EQ(ends(data), (Ends{kFar, kServer, 5003, 443}));
  EXPECT_EQ(load_be<std::uint32_t>(data, 14 + 20 + 8), 901U);
}

TEST_P(PathNat, RulesAreCountedOncePerConnectionByTheirIdsAlsoOverACommit) {
  const NatText stays{.kind = NatKind::kNoNat, .sources = {"10.0.0.32/28"}, .destinations = {"198.51.100.77"}};
  start({stays, kDnat, kNapt}, {kNaptB});
  const auto hits = [&](std::uint32_t rule) {
    std::uint64_t out = 0;
    auto& engine = world_.engine();
    const auto slot = engine.slots().rules.all().find(kNatRuleIds + rule);
    for (std::uint32_t number = 0; slot != engine.slots().rules.all().end() && number < engine.shards(); ++number) {
      out += engine.shard(number).rules[slot->second].connections.read();
    }
    return out;
  };
  out(client(kClient, kFar).udp(40000, 53).build());
  out(client(kClient, kFar).udp(40000, 53).build());  // the same connection
  out(client(kClient, kFar2).udp(40001, 53).build());
  out(client(kClient, "198.51.100.77").udp(40000, 53).build());
  in(outside(kFar, "203.0.113.21").tcp(5000, 8443, {.flags = kTcpSyn}).build(), kServerNic);
  world_.inject(kUplinkNic, outside(kFar, "203.0.113.21").tcp(5000, 8444, {.flags = kTcpSyn}).build());
  EXPECT_EQ(hits(0), 1U);
  EXPECT_EQ(hits(1), 1U);
  EXPECT_EQ(hits(2), 2U);
  EXPECT_EQ(hits(3), 0U) << "tenant B's";
  out(client(kClient, kFar, kTenantB).udp(40000, 53).build());
  EXPECT_EQ(hits(3), 1U);
  world_.apply(2, {kAllowAll}, with({stays, kDnat, kNapt}, {kNaptB}));
  out(client(kClient, kFar).udp(40000, 53).build());  // judged again: no new connection
  EXPECT_EQ(hits(2), 2U);
  out(client(kClient, kFar).udp(40002, 53).build());
  EXPECT_EQ(hits(2), 3U);
}

TEST_P(PathNat, LogOfANatRuleAddsToWhatTheFilterRuleLogs) {
  NatText logged = kNapt;
  logged.log = filters::snapshot::kLogStart | filters::snapshot::kLogEnd;
  const std::vector<RuleText> silent{{.id = 11, .log = filters::snapshot::kLogNone}};
  start({logged}, {kNaptB});
  world_.apply(2, silent, with({logged}, {kNaptB}));
  out(client(kClient, kFar).udp(40000, 53).build());
  world_.inject(kClientNic, client(kClient, kServer).udp(40000, 53).build());  // translated by no rule
  const auto starts = world_.records();
  EXPECT_EQ(count(starts, CommPhase::kStart), 1U);
  world_.apply(3, silent, with({kNapt}, {kNaptB}));  // it logs no more, for living sessions too
  world_.pass(seconds(130));
  EXPECT_EQ(count(world_.records(), CommPhase::kEnd), 0U);
  EXPECT_EQ(world_.sessions(), 0U);
  world_.apply(4, silent, with({logged}, {kNaptB}));
  out(client(kClient, kFar).udp(40000, 53).build());
  world_.pass(seconds(130));
  const auto ends_now = world_.records();
  ASSERT_EQ(count(ends_now, CommPhase::kEnd), 1U);
  for (const World::Record& record : ends_now) EXPECT_TRUE(record.envelope.kind != LogKind::kComm || record.comm.nat_source_port != 0);
}

}  // namespace
}  // namespace sekisho::tests
