// SPDX-License-Identifier: Apache-2.0
// Goal: a datagram in pieces passes whole or not at all, is judged like one that was never cut, and costs nobody else.
// Method: frames cut and joined by the tests' own code (tests/support/pieces.h); what comes out is compared byte by byte.
#include <numeric>
#include <random>

#include "tests/path/path_test.h"
#include "tests/support/pieces.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpSyn;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace snapshot = filters::snapshot;

const RuleText kAllowAll{.id = 11};

class PathFragments : public PathTest {
 protected:
  /// A UDP datagram of the client to the server, of either family.
  [[nodiscard]] Frame datagram(bool ipv6, std::size_t bytes = 3000, std::uint32_t tenant = kTenantA, std::uint16_t port = 53) const {
    Frame payload(bytes);
    std::iota(payload.begin(), payload.end(), static_cast<std::uint8_t>(tenant * 7));
    return (ipv6 ? client("fd00:0:0:2::2", "fd00:0:0:1::2", tenant) : client("10.0.0.34", "10.0.0.2", tenant))
        .udp(5000, port).payload(payload).build();
  }
  void send(const std::vector<Frame>& frames, std::uint16_t nic = kClientNic) {
    for (const Frame& frame : frames) world_.inject(nic, frame);
  }
  /// True when exactly `whole` came out of the server's NIC, in pieces.
  bool arrived(const Frame& whole) {
    const std::vector<Frame> frames = world_.collect(kServerNic);
    return !frames.empty() && join(frames) == upper(whole);
  }
  [[nodiscard]] std::uint64_t held() const {
    std::uint64_t out = 0;
    auto& engine = const_cast<World&>(world_).engine();
    for (std::uint32_t number = 0; number < engine.shards(); ++number) out += engine.shard(number).packets.held.read();
    return out;
  }
};
SEKISHO_PATH_WORKERS(PathFragments);

TEST_P(PathFragments, PassInAnyOrderWithTheSameBytes) {
  world_.apply(1, {kAllowAll});
  std::uint32_t id = 0;
  for (const bool ipv6 : {false, true}) {
    const Frame whole = datagram(ipv6);
    std::vector<std::size_t> order{0, 1, 2, 3};
    do {
      const std::vector<Frame> cut = pieces(whole, 1000, ++id * 2654435761U);
      ASSERT_EQ(cut.size(), 4U);
      for (std::size_t i = 0; i < 3; ++i) world_.inject(kClientNic, cut[order[i]]);
      ASSERT_TRUE(world_.collect(kServerNic).empty());  // nothing before the last one
      world_.inject(kClientNic, cut[order[3]]);
      ASSERT_TRUE(arrived(whole)) << ipv6 << " " << id;
    } while (std::next_permutation(order.begin(), order.end()));
  }
  EXPECT_EQ(held(), 0U);
  EXPECT_EQ(world_.sessions(), 2U);
}

TEST_P(PathFragments, AreTheSameFlowAsWholePackets) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    world_.through(kClientNic, datagram(ipv6, 100), kServerNic);
    send(pieces(datagram(ipv6), 1000));
    EXPECT_TRUE(arrived(datagram(ipv6)));
    const Frame answer = (ipv6 ? server("fd00:0:0:1::2", "fd00:0:0:2::2") : server("10.0.0.2", "10.0.0.34")).udp(53, 5000).payload(2000).build();
    send(pieces(answer, 800), kServerNic);
    EXPECT_EQ(join(world_.collect(kClientNic)), upper(answer));
  }
  EXPECT_EQ(world_.sessions(), 2U);
  world_.pass(seconds(200));
  for (const World::Record& record : world_.records()) {
    if (record.envelope.kind != LogKind::kComm || record.comm.phase != CommPhase::kEnd) continue;
    EXPECT_EQ(record.comm.packets_forward, 1 + 4U);
    EXPECT_EQ(record.comm.packets_reverse, 3U);
    const bool ipv6 = record.comm.ip_version == 6;
    EXPECT_EQ(record.comm.bytes_forward, ipv6 ? 148 + 3008 + 4 * 48U : 128 + 3008 + 4 * 20U);
  }
}

TEST_P(PathFragments, DeniedFirstPieceEndsThemAll) {
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53},
                   {.id = 12, .action = snapshot::Action::kReject, .protocol = 17, .port_low = 55, .port_high = 55}});
  for (const bool ipv6 : {false, true}) {
    send(pieces(datagram(ipv6, 3000, kTenantA, 54), 1000));
    EXPECT_EQ(collect_all(), 0U);
    send(pieces(datagram(ipv6, 3000, kTenantA, 55), 1000));
    EXPECT_EQ(world_.collect(kClientNic).size(), 1U);  // one error for all
    send(pieces(datagram(ipv6), 1000));
    EXPECT_TRUE(arrived(datagram(ipv6)));
  }
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 8U);
  EXPECT_EQ(drops(DropReason::kRuleReject), 8U);
}

TEST_P(PathFragments, OverlapCostsTheWholeDatagramAndAllThatFollows) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    const std::uint64_t before = drops(DropReason::kFragmentOverlap);
    const Frame whole = datagram(ipv6);
    const std::vector<Frame> cut = pieces(whole, 1000);
    send({cut[0], cut[1], piece(whole, {992, 1504, true}), cut[2], cut[3], cut[0]});
    EXPECT_EQ(drops(DropReason::kFragmentOverlap), before + 6);
    world_.pass(seconds(4));
    send(cut);
    EXPECT_EQ(drops(DropReason::kFragmentOverlap), before + 10);
    EXPECT_EQ(collect_all(), 0U);
    world_.pass(seconds(2));
    send(cut);
    EXPECT_TRUE(arrived(whole));
  }
}

TEST_P(PathFragments, DuplicatesAreDroppedAndOtherBytesAreAnOverlap) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    const std::uint64_t same = drops(DropReason::kFragmentDuplicate), other = drops(DropReason::kFragmentOverlap);
    const Frame whole = datagram(ipv6);
    const std::vector<Frame> cut = pieces(whole, 1000);
    send({cut[0], cut[0], cut[2], cut[1], cut[2], cut[3]});
    EXPECT_TRUE(arrived(whole));
    EXPECT_EQ(drops(DropReason::kFragmentDuplicate), same + 2);
    Frame forged = cut[1];
    forged.back() ^= 1;
    send({cut[0], cut[1], forged, cut[2], cut[3]});
    EXPECT_EQ(collect_all(), 0U);
    EXPECT_EQ(drops(DropReason::kFragmentOverlap), other + 5);
    world_.pass(seconds(6));
  }
}

TEST_P(PathFragments, TwoTenantsWithTheSameAddressesAndIdsKeepApart) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    const Frame a = datagram(ipv6, 3000, kTenantA), b = datagram(ipv6, 3000, kTenantB);
    const std::vector<Frame> cut_a = pieces(a, 1000), cut_b = pieces(b, 1000);
    send({cut_a[0], cut_b[3], cut_b[1], cut_a[2], cut_b[2], cut_a[1], cut_a[3]});
    EXPECT_TRUE(arrived(a));
    send({cut_b[0]});
    EXPECT_TRUE(arrived(b));
  }
}

TEST_P(PathFragments, WhatNeverBecomesWholeEndsNamed) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    const std::vector<Frame> cut = pieces(datagram(ipv6), 1000);
    send({cut[0], cut[1], cut[3]});
    const std::vector<Frame> orphans = pieces(datagram(ipv6), 1000, 78);
    send({orphans[1], orphans[2], orphans[3]});
  }
  world_.pass(milliseconds(4750));
  EXPECT_EQ(held(), 12U);
  world_.pass(milliseconds(500));
  EXPECT_EQ(held(), 0U);
  EXPECT_EQ(drops(DropReason::kFragmentTimeout), 6U);
  EXPECT_EQ(drops(DropReason::kFragmentOrphan), 6U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, WhatNoSenderCutsIsNamed) {
  world_.apply(1, {kAllowAll});
  const auto expect = [&](const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    world_.inject(kClientNic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
  };
  for (const bool ipv6 : {false, true}) {
    const Frame whole = datagram(ipv6);
    const Frame tcp = (ipv6 ? client("fd00:0:0:2::2", "fd00:0:0:1::2") : client("10.0.0.34", "10.0.0.2")).tcp(5000, 80, {.flags = kTcpSyn}).payload(100).build();
    expect(piece(whole, {1000, 1500, true}), DropReason::kFragmentMalformed);
    expect(piece(whole, {1000, 1000, false}), DropReason::kFragmentMalformed);
    expect(piece(whole, {65504, 65536, false}, 77, Frame(32)), DropReason::kFragmentOversized);
    expect(piece(tcp, {8, 16, true}), DropReason::kFragmentTiny);
    expect(piece(tcp, {0, 16, true}), ipv6 ? DropReason::kAeNdFragment : DropReason::kFragmentTiny);
  }
  Frame unfragmentable = piece(datagram(false), {0, 1000, true});
  unfragmentable[l3_of(unfragmentable) + 6] |= 0x40;
  seal_v4(unfragmentable);
  expect(unfragmentable, DropReason::kFragmentMalformed);
  EXPECT_EQ(held(), 0U);
  const Frame from_outside = outside("2001:db8:ffff::9", "2001:db8:a::17").fragment(1).protocol(6, Frame(16)).build();
  world_.inject(kUplinkNic, from_outside);
  EXPECT_EQ(drops(DropReason::kFragmentChain), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, HeaderThatEndsInAnotherPieceIsTiny) {
  world_.apply(1, {kAllowAll});
  tests::TcpKnobs knobs{.flags = kTcpSyn};
  knobs.options.resize(20, 1);
  const Frame whole = client("10.0.0.34", "10.0.0.2").tcp(5000, 80, knobs).payload(100).build();
  send(pieces(whole, 32));
  EXPECT_EQ(drops(DropReason::kFragmentTiny), 5U);
  send(pieces(whole, 40, 78));
  EXPECT_TRUE(arrived(whole));
}

TEST_P(PathFragments, WrongChecksumOverAllPiecesIsRefused) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    Frame broken = datagram(ipv6);
    broken.back() ^= 1;
    send(pieces(broken, 1000));
    EXPECT_EQ(collect_all(), 0U);
  }
  EXPECT_EQ(drops(DropReason::kL4Checksum), 8U);
}

TEST_P(PathFragments, TcpIsTrackedByTheLengthOfTheWhole) {
  world_.apply(1, {kAllowAll});
  const auto segment = [&](std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::size_t bytes) {
    return client("10.0.0.34", "10.0.0.2").tcp(5000, 80, {.flags = flags, .sequence = sequence, .acknowledgement = acknowledgement}).payload(bytes).build();
  };
  world_.through(kClientNic, segment(kTcpSyn, 100, 0, 0), kServerNic);
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").tcp(80, 5000, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101, .window = 2000}).build(), kClientNic);
  world_.through(kClientNic, segment(kTcpAck, 101, 501, 0), kServerNic);
  send(pieces(segment(kTcpAck, 101, 501, 2000), 800));
  EXPECT_TRUE(arrived(segment(kTcpAck, 101, 501, 2000)));
  send(pieces(segment(kTcpAck, 101, 501, 2040), 800, 78));  // each piece would fit
  EXPECT_EQ(drops(DropReason::kTcpWindow), 3U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, PieceWithForeignSenderIsRefusedAndSoIsItsDatagram) {
  world_.apply(1, {kAllowAll});
  std::vector<Frame> cut = pieces(datagram(false), 1000);
  cut[1][11] ^= 1;  // source MAC
  send(cut);
  EXPECT_EQ(drops(DropReason::kAeMac), 1U);
  const Frame other = client("10.0.0.35", "10.0.0.2").udp(5000, 53).payload(3000).build();
  send({pieces(other, 1000)[1]});
  EXPECT_EQ(drops(DropReason::kAeIp4), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, NeighbourDiscoveryInPiecesIsRefused) {
  world_.apply(1, {kAllowAll});
  const Frame whole = outside("2001:db8:ffff::9", "2001:db8:a::17").nd(135, {.target = address("2001:db8:a::17")}).payload(200).build();
  send(pieces(whole, 128), kUplinkNic);
  EXPECT_EQ(drops(DropReason::kAeNdFragment), 2U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, FloodOfOneTenantLosesNothingOfAnother) {
  world_.apply(1, {kAllowAll});
  const Frame b = datagram(false, 3000, kTenantB);
  const std::vector<Frame> cut_b = pieces(b, 1000);
  send({cut_b[0], cut_b[2]});
  for (std::uint32_t id = 0; id < 3000; ++id) send({piece(datagram(false, 600), {id % 2 * 304, id % 2 * 304 + 304, true}, id)});
  EXPECT_GT(drops(DropReason::kFragmentLimit), 2000U);
  EXPECT_LT(held(), 400U);  // a quarter of a quarter of 4095 packets
  send({cut_b[1], cut_b[3]});
  EXPECT_TRUE(arrived(b));
  const Frame own = datagram(false);
  send(pieces(own, 1000, 50000));  // and he himself still gets through what comes at once
  EXPECT_TRUE(arrived(own));
  const auto records = world_.records();
  EXPECT_TRUE(std::none_of(records.begin(), records.end(), [](const World::Record& record) { return record.envelope.tenant == kTenantB; }));
}

TEST_P(PathFragments, MostOfATenantHoldsOverAllShardsAndLeavesTheOtherAlone) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& b) { b.tenants[0].quotas.fragments_max = 64; }});
  const auto two_of_three = [&](std::uint32_t id, std::uint32_t tenant) {
    const Frame whole = datagram(false, 900, tenant);
    send({piece(whole, {0, 304, true}, id), piece(whole, {304, 608, true}, id)});
  };
  for (std::uint32_t id = 0; id < 60; ++id) two_of_three(id, kTenantA), two_of_three(id, kTenantB);
  EXPECT_LE(held(), 64U + 120U) << "B is far from a quarter of what there is";
  EXPECT_GE(held(), 60U + 120U);
  EXPECT_EQ(drops(DropReason::kFragmentLimit), 240U - held());
  for (const World::Record& record : world_.records()) EXPECT_EQ(record.envelope.tenant, kTenantA);
  for (int turns = 0; turns < 20; ++turns) world_.pass(std::chrono::milliseconds(500));
  EXPECT_EQ(held(), 0U);
  const std::uint64_t before = drops(DropReason::kFragmentLimit);
  for (std::uint32_t id = 300; id < 332; ++id) two_of_three(id, kTenantA);
  EXPECT_EQ(drops(DropReason::kFragmentLimit), before) << "the last piece that is allowed";
  EXPECT_EQ(held(), 64U);
}

TEST_P(PathFragments, WhatIsPromisedIsThereThoughAnotherTenantFillsEverything) {
  constexpr std::uint32_t kAll = 4095 / 4;  // of the world's packets
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.tenants[0].quotas.fragments_max = 4096;  // more than there are
                 b.tenants[1].quotas.fragments_guaranteed = 128;
               }});
  const auto fill = [&](std::uint32_t tenant, std::uint32_t from, std::uint32_t datagrams) {
    for (std::uint32_t id = from; id < from + datagrams; ++id) {
      const Frame whole = datagram(false, 900, tenant);
      send({piece(whole, {0, 304, true}, id), piece(whole, {304, 608, true}, id)});
    }
  };
  fill(kTenantA, 0, 700);
  EXPECT_GT(held(), kAll * 3 / 4);
  const std::uint64_t before = drops(DropReason::kFragmentLimit);
  std::vector<std::vector<Frame>> promised;
  for (std::uint32_t id = 0; id < 24; ++id) {  // 48 pieces in 24 datagrams: in the guarantee of whichever shards they meet
    promised.push_back(pieces(datagram(false, 900, kTenantB, static_cast<std::uint16_t>(100 + id)), 496, 9000 + id));
    send({promised.back()[0]});
  }
  EXPECT_GT(drops(DropReason::kFragmentLimit), before) << "A makes room";
  fill(kTenantA, 2000, 700);
  for (std::uint32_t id = 0; id < 24; ++id) {
    world_.collect(kServerNic);
    send({promised[id][1]});
    EXPECT_TRUE(arrived(datagram(false, 900, kTenantB, static_cast<std::uint16_t>(100 + id)))) << id;
  }
}

TEST_P(PathFragments, MorePromisedPiecesThanRoomAreRefused) {
  world_.apply(1, {kAllowAll});
  const auto promise = [&](std::uint32_t generation, std::uint32_t pieces) {
    dataplane::Engine::Applied applied;
    dataplane::LoadError error;
    const Shape shape{.edit = [=](filters::SnapshotBuilder& b) { b.tenants[1].quotas.fragments_guaranteed = pieces; }};
    const bool taken = world_.engine().apply(world_.snapshot(generation, {kAllowAll}, shape), applied, error);
    EXPECT_EQ(taken, error.reason.find("guaranteed fragments") == std::string::npos) << error.reason;
    return taken;
  };
  EXPECT_FALSE(promise(2, 1100));
  EXPECT_TRUE(promise(3, 1000));
}

TEST_P(PathFragments, DatagramOfTooManyPiecesIsRefused) {
  world_.apply(1, {kAllowAll});
  send(pieces(datagram(false, 64 * 16 - 8 + 1), 16));
  EXPECT_EQ(drops(DropReason::kFragmentLimit), 65U);
  send(pieces(datagram(false, 64 * 16 - 8), 16, 78));
  EXPECT_TRUE(arrived(datagram(false, 64 * 16 - 8)));
}

TEST_P(PathFragments, CommitWhileTheyWaitJudgesThemAllByTheNewPolicy) {
  for (const bool ipv6 : {false, true}) {
    const std::uint32_t first = ipv6 ? 10 : 1;
    world_.apply(first, {kAllowAll});
    const std::vector<Frame> cut = pieces(datagram(ipv6), 1000);
    send({cut[0], cut[3]});
    world_.apply(first + 1, {{.id = 12}});
    send({cut[1], cut[2]});
    EXPECT_TRUE(arrived(datagram(ipv6)));
    send({cut[0], cut[3]});
    world_.apply(first + 2, {});
    world_.settle();  // the sweep ends the session they belonged to
    const std::uint64_t before = drops(DropReason::kDefaultDeny);
    send({cut[1], cut[2]});
    EXPECT_EQ(drops(DropReason::kDefaultDeny), before + 4);
    EXPECT_EQ(collect_all(), 0U);
  }
}

TEST_P(PathFragments, PieceWhosePortLostItsBindingMeanwhileIsRefused) {
  world_.apply(1, {kAllowAll});
  const std::vector<Frame> cut = pieces(datagram(false), 1000);
  send({cut[0], cut[1]});
  world_.apply(2, {kAllowAll}, {.edit = unbind_client});
  send({cut[2], cut[3]});
  world_.pass(seconds(6));
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_EQ(drops(DropReason::kAeUnbound), 2U);
  EXPECT_EQ(drops(DropReason::kFragmentTimeout), 2U);
}

TEST_P(PathFragments, WaitForTheNeighbourTogetherAlsoAcrossACommit) {
  world_.apply(1, {kAllowAll});
  const Frame whole = server("203.0.113.17", "198.51.100.9").udp(5000, 53).payload(3000).build();
  send(pieces(whole, 1000), kServerNic);
  EXPECT_EQ(world_.collect(kUplinkNic).size(), 1U);  // the question
  EXPECT_EQ(held(), 4U);
  world_.apply(2, {kAllowAll});
  world_.settle();
  EXPECT_EQ(held(), 4U);
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  EXPECT_EQ(join(world_.collect(kUplinkNic)), upper(whole));
  EXPECT_EQ(held(), 0U);
}

TEST_P(PathFragments, HopLimitOfAnyPieceEndsTheDatagram) {
  world_.apply(1, {kAllowAll});
  std::vector<Frame> cut = pieces(datagram(false), 1000);
  cut[2][l3_of(cut[2]) + 8] = 1;
  seal_v4(cut[2]);
  send(cut);
  EXPECT_EQ(drops(DropReason::kTtlExceeded), 4U);
  const std::vector<Frame> errors = world_.collect(kClientNic);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(read(errors[0]).icmp_type, 11);
}

TEST_P(PathFragments, NarrowWayOutCutsIpv4AndRefusesIpv6) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) { builder.ports[0].mtu = 1280; }});
  const Frame four = datagram(false);
  send(pieces(four, 1480));
  const std::vector<Frame> frames = world_.collect(kServerNic);
  EXPECT_EQ(frames.size(), 5U);
  for (const Frame& frame : frames) {
    EXPECT_LE(frame.size() - l3_of(frame), 1280U);
    EXPECT_EQ(checksum_fold(checksum_add(0, std::span(frame).subspan(14, 20))), 0);
  }
  EXPECT_EQ(join(frames), upper(four));
  send(pieces(datagram(true), 1448));
  EXPECT_EQ(drops(DropReason::kTooBig), 3U);
  const std::vector<Frame> errors = world_.collect(kClientNic);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(read(errors[0]).icmp_type, 2);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathFragments, WholeIpv4PacketWithoutDfIsCutForANarrowWayOut) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& builder) { builder.ports[0].mtu = 576; }});
  const auto packet = [&](unsigned fragment, std::vector<std::uint8_t> options) {
    return on_client(kTenantA).ipv4("10.0.0.34", "10.0.0.2", {.fragment = fragment, .options = std::move(options)}).udp(5000, 53).payload(1400).build();
  };
  for (const bool options : {false, true}) {
    // Padding, the only option that crosses, goes with the first piece alone.
    const std::vector<std::uint8_t> list = options ? std::vector<std::uint8_t>{1, 1, 1, 0} : std::vector<std::uint8_t>{};
    world_.inject(kClientNic, packet(0, list));
    const std::vector<Frame> frames = world_.collect(kServerNic);
    ASSERT_EQ(frames.size(), 3U);
    EXPECT_EQ(join(frames), upper(packet(0, list)));
    for (const Frame& frame : frames) {
      const bool first = &frame == &frames[0];
      EXPECT_EQ(frame[14] & 15, options && first ? 6 : 5);
      EXPECT_EQ(checksum_fold(checksum_add(0, std::span(frame).subspan(14, (frame[14] & 15U) * std::size_t{4}))), 0);
      EXPECT_EQ(frame[14 + 8], 63);
    }
  }
  world_.inject(kClientNic, packet(0x4000, {}));
  EXPECT_EQ(drops(DropReason::kTooBig), 1U);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathFragments, EchoToTheGatewayInPiecesIsNotServed) {
  world_.apply(1, {kAllowAll});
  for (const bool ipv6 : {false, true}) {
    const Frame echo = (ipv6 ? client("fd00:0:0:2::2", "fd00:0:0:2::1") : client("10.0.0.34", "10.0.0.33")).echo().payload(2000).build();
    send(pieces(echo, 1000));
  }
  EXPECT_EQ(drops(DropReason::kLocalUnserved), 6U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathFragments, ErrorAboutADatagramInPiecesFindsItsFlow) {
  world_.apply(1, {kAllowAll});
  send(pieces(datagram(false), 1000));
  const std::vector<Frame> frames = world_.collect(kServerNic);
  ASSERT_EQ(frames.size(), 4U);
  const Frame quote(frames[0].begin() + 14, frames[0].begin() + 14 + 28);
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").icmp(11, 1, 0).payload(quote).build(), kClientNic);
  const Frame later(frames[1].begin() + 14, frames[1].begin() + 14 + 28);
  world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34").icmp(11, 1, 0).payload(later).build());
  EXPECT_EQ(drops(DropReason::kIcmpUnrelated), 1U);
}

TEST_P(PathFragments, RandomPiecesOfManyDatagramsAllArriveOrNone) {
  world_.apply(1, {kAllowAll});
  std::mt19937 engine(7);
  const auto random = [&](std::uint32_t below) { return static_cast<std::uint32_t>(engine()) % below; };
  std::vector<Frame> all;
  std::size_t expected = 0;
  for (std::uint32_t id = 1; id <= 60; ++id) {
    const bool lost = random(4) == 0;
    std::vector<Frame> cut = pieces(datagram(id % 2 == 0, 1000 + random(2000)), 8 * (40 + random(100)), id);
    if (lost) cut.erase(cut.begin() + random(static_cast<std::uint32_t>(cut.size())));
    if (!lost) expected += cut.size();
    all.insert(all.end(), cut.begin(), cut.end());
  }
  std::shuffle(all.begin(), all.end(), engine);
  for (std::size_t i = 0; i < all.size(); ++i) {
    world_.queue(kClientNic, all[i]);
    if (i % 32 == 0) world_.settle();
  }
  world_.settle();
  EXPECT_EQ(world_.collect(kServerNic).size(), expected);
  world_.pass(seconds(6));
  EXPECT_EQ(held(), 0U);
  EXPECT_EQ(drops(DropReason::kFragmentTimeout) + drops(DropReason::kFragmentOrphan), all.size() - expected);
}

}  // namespace
}  // namespace sekisho::tests
