// SPDX-License-Identifier: Apache-2.0
// Goal: what comes through a remote user's tunnel is judged like any packet, by the tenant's rules and the tunnel's own
// addresses, and what goes to him leaves sealed to where he is; the nearest packet that must not pass ends by its name.
// Method: the whole data plane on ring ports, keyed over tunnel.sock's own messages by a daemon played here; the user's end is
// another SA table. One and two workers, and one whose cards sum.
#include <map>
#include <set>

#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

SEKISHO_PATH_WORKERS(PathTunnel);

TEST_P(PathTunnel, ARuleLetsAUserInAndTheAnswerGoesBackSealedInAllFamiliesAndSuites) {
  std::uint32_t tunnel = 0;
  for (const bool outer6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      for (const std::uint32_t encryption : {20U, 12U}) {
        Making setup{.tunnel = ++tunnel, .in_udp = in_udp, .encryption = encryption, .bits = encryption == 20 ? 128U : 256U,
                    .integrity = encryption == 20 ? 0U : 12U};
        if (outer6) setup.gateway = kGatewayA6, setup.peer = kPeer6;
        SCOPED_TRACE(testing::Message() << "outer6 " << outer6 << " udp " << in_udp << " encryption " << encryption);
        User user(setup);
        up(setup, user);
        for (const bool inner6 : {false, true}) {
          SCOPED_TRACE(testing::Message() << "inner6 " << inner6);
          const char* who = inner6 ? kLease6 : kLease4;
          const char* server_address = inner6 ? "fd00:0:0:1::2" : "10.0.0.2";
          from_user(user, question(who, server_address));
          const auto in = world_.collect(kServerNic);
          ASSERT_EQ(in.size(), 1U);
          EXPECT_EQ(filters::ip_source(in[0], read(in[0])), address(who));
          EXPECT_EQ(read(in[0]).ttl, 63) << "one hop";
          const Frame answer = server(server_address, who).udp(53, 40000).payload(300).build();
          world_.inject(kServerNic, answer);
          const auto out = to_uplink();
          ASSERT_EQ(out.size(), 1U);
          const auto outer = read(out[0]);
          EXPECT_EQ(filters::ip_source(out[0], outer), address(setup.gateway));
          EXPECT_EQ(filters::ip_destination(out[0], outer), address(setup.peer));
          EXPECT_EQ(outer.protocol, in_udp ? 17 : 50);
          const Frame opened = user.open(out[0]);
          ASSERT_FALSE(opened.empty());
          const Frame sent = l3_of(answer);
          const Frame got = l3_of(opened);
          ASSERT_EQ(got.size(), sent.size());
          EXPECT_TRUE(std::equal(got.begin() + 20, got.end(), sent.begin() + 20));
        }
        ipc::ToTunnels close;
        close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
        EXPECT_EQ(refusal(close), "");
        world_.pass(std::chrono::minutes(5));  // sessions of this round
      }
    }
  }
  EXPECT_EQ(drops(DropReason::kVpnAuth), 0U);
}

TEST_P(PathTunnel, WhatTheRulesDoNotAllowEndsWithItsRecordOnTheTunnelPort) {
  const Making setup;
  User user(setup);
  up(setup, user);
  world_.records();
  from_user(user, question(kLease4, "10.0.0.2", 54));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 1U);
  world_.pass(std::chrono::seconds(70));
  bool told = false;
  for (const auto& record : world_.records()) {
    if (record.envelope.kind != LogKind::kComm) continue;
    told = true;
    EXPECT_EQ(record.envelope.tenant, kTenantA);
    EXPECT_EQ(record.comm.in_port, kTunnelPortA);
    EXPECT_EQ(record.comm.destination_port, 54);
  }
  EXPECT_TRUE(told);
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(PathTunnel, AnInnerSourceThatIsNotTheLeaseIsASpoof) {
  const Making setup;
  User user(setup);
  up(setup, user);
  for (const char* other : {"10.9.0.6", "10.0.0.2", "fd00:9::6"}) {
    from_user(user, question(other, std::string_view(other).find(':') == std::string_view::npos ? "10.0.0.3" : "fd00:0:0:1::3"));
  }
  EXPECT_EQ(drops(DropReason::kVpnInnerSpoof), 3U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathTunnel, APacketSentTwiceComesInOnce) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const Frame sealed = user.seal(question(), world_.gateway(kUplinkNic));
  world_.inject(kUplinkNic, sealed);
  world_.inject(kUplinkNic, sealed);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  EXPECT_EQ(drops(DropReason::kVpnReplay), 1U);
  Frame changed = user.seal(question(), world_.gateway(kUplinkNic));
  changed.back() ^= 1U;
  world_.inject(kUplinkNic, changed);
  // The UDP checksum is zero outside IPv4: the proof alone says it.
  EXPECT_EQ(drops(DropReason::kVpnAuth), 1U);
  EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
}

TEST_P(PathTunnel, TenantsWithTheSameInnerAndOuterAddressesHaveTheirOwnTunnels) {
  const Making a;
  const Making b{.tunnel = 2, .tenant = kTenantB, .tunnel_port = kTunnelPortB, .user = kUserB, .gateway = kGatewayB4, .gateway_port = 10 + kShare, .key = 0x55};
  User user_a(a);
  User user_b(b);
  const std::uint32_t spi_a = up(a, user_a);
  up(b, user_b);
  from_user(user_a, question());
  from_user(user_b, question());
  const auto in = world_.collect(kServerNic);
  ASSERT_EQ(in.size(), 2U);
  EXPECT_EQ(read(in[0]).outer_vlan, 0);
  EXPECT_EQ(read(in[1]).outer_vlan, 200);
  world_.inject(kServerNic, server("10.0.0.2", kLease4, kTenantB).udp(53, 40000).payload(30).build());
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ip_source(out[0], read(out[0])), address(kGatewayB4));
  EXPECT_FALSE(user_b.open(out[0]).empty());
  // A's SPI at B's gateway, even with A's keys, is nobody's.
  Frame foreign = user_a.seal(question(), world_.gateway(kUplinkNic));
  Making crossed = a;
  crossed.gateway = kGatewayB4;
  User liar(crossed);
  liar.allocate();
  liar.install(spi_a);
  from_user(liar, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U);
  EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
  world_.inject(kUplinkNic, foreign);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(PathTunnel, ALeaseNobodyHasAnswersThatTheHostIsUnreachable) {
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  EXPECT_EQ(drops(DropReason::kVpnNoLease), 1U);
  const auto told = world_.collect(kServerNic);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(read(told[0]).icmp_type, 3);
  EXPECT_EQ(read(told[0]).icmp_code, 1);
  const Making setup;
  EXPECT_EQ(refusal(opening(setup)), "");  // open, and nothing to seal with
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  EXPECT_EQ(drops(DropReason::kVpnSaMissing), 1U);
}

TEST_P(PathTunnel, ARekeyLosesNothingOfEitherSaAndTheOldOneEndsWithItsRemoval) {
  const Making setup;
  User before(setup);
  const std::uint32_t old_spi = up(setup, before);
  from_user(before, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  Making renewed = setup;
  renewed.key = 0x77;
  User after(renewed);
  key(renewed, after);
  from_user(before, question());
  from_user(after, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build());
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(after.open(out[0]).empty());
  ipc::ToTunnels remove;
  remove.mutable_remove_sa()->set_tunnel(setup.tunnel);
  remove.mutable_remove_sa()->set_spi(old_spi);
  remove.mutable_remove_sa()->set_inbound(true);
  EXPECT_EQ(refusal(remove), "");
  from_user(before, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U);
  EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
}

TEST_P(PathTunnel, AMovedPeerIsToldOfAndFollowedOnlyWhenTheDaemonSaysSo) {
  const Making setup;
  User user(setup);
  const std::uint32_t spi = up(setup, user);
  from_user(user, question());
  world_.collect(kServerNic);
  user.move("198.51.100.77", 5555, true);
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  daemon_->read_events();
  ASSERT_EQ(daemon_->events.size(), 1U);
  ASSERT_TRUE(daemon_->events[0].has_moved());
  EXPECT_EQ(daemon_->events[0].moved().tunnel(), setup.tunnel);
  EXPECT_EQ(daemon_->events[0].moved().spi(), spi);
  EXPECT_EQ(daemon_->events[0].moved().remote(), bytes_of(address("198.51.100.77")));
  EXPECT_EQ(daemon_->events[0].moved().remote_port(), 5555U);
  const Frame answer = server("10.0.0.2", kLease4).udp(53, 40000).payload(30).build();
  world_.inject(kServerNic, answer);
  auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ip_destination(out[0], read(out[0])), address(kPeer4));
  Making moved = setup;
  moved.peer = "198.51.100.77";
  moved.peer_port = 5555;
  for (const bool inbound : {true, false}) {
    ipc::ToTunnels request;
    request.mutable_move_sa()->set_tunnel(setup.tunnel);
    request.mutable_move_sa()->set_spi(inbound ? spi : read_outbound_spi(out[0]));
    request.mutable_move_sa()->set_inbound(inbound);
    request.mutable_move_sa()->set_udp_encapsulation(true);
    fill(*request.mutable_move_sa()->mutable_path(), moved);
    EXPECT_EQ(refusal(request), "");
  }
  world_.inject(kServerNic, answer);
  out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ip_destination(out[0], read(out[0])), address("198.51.100.77"));
  EXPECT_EQ(read(out[0]).destination_port, 5555);
}

TEST_P(PathTunnel, IkeGoesToTheDaemonWithItsTenantWholeOrInPiecesAndKeepalivesEnd) {
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(500, 500).payload(200).build());
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayB4).udp(500, 500).payload(210).build());
  Frame marked(104, 0);
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(61234, 4500).payload(marked).build());
  world_.inject(kUplinkNic, outside(kPeer6, kGatewayA6).udp(61234, 500).payload(220).build());
  const Frame keepalive(1, 0xff);
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(61234, 4500).payload(keepalive).build());
  auto got = daemon_->punted();
  ASSERT_EQ(got.size(), 4U);
  std::sort(got.begin(), got.end(), [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  EXPECT_EQ(got[0].first.local_port, 4500);
  EXPECT_EQ(got[0].first.remote_port, 61234);
  EXPECT_EQ(got[0].second, marked);
  EXPECT_EQ(got[1].first.tenant, kTenantA);
  EXPECT_EQ(got[1].first.port, kShare);
  EXPECT_EQ(got[1].first.local, address(kGatewayA4));
  EXPECT_EQ(got[1].first.remote, address(kPeer4));
  EXPECT_EQ(got[1].second, Frame(200, 0xa5));
  EXPECT_EQ(got[2].first.tenant, kTenantB);
  EXPECT_EQ(got[3].first.remote, address(kPeer6));
  // In pieces.
  const Frame whole = outside(kPeer4, kGatewayA4).udp(500, 500).payload(1600).build();
  const Frame l4(whole.begin() + 34, whole.end());
  for (const std::size_t at : {std::size_t{0}, std::size_t{800}}) {
    const std::size_t end = at == 0 ? 800 : l4.size();
    FrameBuilder piece = outside(kPeer4, kGatewayA4).ipv4(kPeer4, kGatewayA4, {.fragment = static_cast<unsigned>((at == 0 ? 0x2000U : 0U) | at / 8)});
    world_.inject(kUplinkNic, piece.protocol(17, {l4.begin() + static_cast<std::ptrdiff_t>(at), l4.begin() + static_cast<std::ptrdiff_t>(end)}).build());
  }
  got = daemon_->punted();
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].second, Frame(1600, 0xa5));
  EXPECT_EQ(collect_all(), 0U);
  // An address beside the gateway's is no gateway.
  world_.inject(kUplinkNic, outside(kPeer4, "203.0.113.19").udp(500, 500).payload(200).build());
  EXPECT_TRUE(daemon_->punted().empty());
}

TEST_P(PathTunnel, AUsersDhcpQuestionGoesToTheDaemonAndItsAnswerThroughTheTunnelOfTheLease) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const Frame text(260, 0x31);
  from_user(user, ip({}, kLease4, "255.255.255.255").udp(68, 67).payload(text).build());
  const auto asked = daemon_->punted();
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].second, text);
  EXPECT_EQ(asked[0].first.tenant, kTenantA);
  EXPECT_EQ(asked[0].first.port, setup.tunnel_port);
  EXPECT_EQ(asked[0].first.remote, address(kLease4));
  EXPECT_EQ(asked[0].first.local_port, 67);
  // The nearest ones: another port, another address; they are the rules' business.
  from_user(user, ip({}, kLease4, "255.255.255.255").udp(68, 69).payload(text).build());
  from_user(user, ip({}, kLease4, "10.0.0.2").udp(68, 67).payload(text).build());
  EXPECT_TRUE(daemon_->punted().empty());
  DatagramHead head{.tenant = kTenantA, .port = setup.tunnel_port, .local = address("192.0.0.8"), .remote = address(kLease4), .local_port = 67, .remote_port = 68};
  const Frame large(1301, 0x32);
  const std::array<ByteSpan, 1> answer{ByteSpan(text)}, too_large{ByteSpan(large)};
  ASSERT_TRUE(daemon_->inject->push(head, answer));
  world_.settle();
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  const Frame opened = user.open(out[0]);
  ASSERT_FALSE(opened.empty());
  const Frame inner = l3_of(opened);
  EXPECT_EQ(Frame(inner.begin() + 12, inner.begin() + 24), (Frame{192, 0, 0, 8, 10, 9, 0, 5, 0, 67, 0, 68}));
  EXPECT_EQ(Frame(inner.end() - 260, inner.end()), text);
  // Not as somebody else, not to another port, not for another tenant, not on a wire, not in pieces, not to a Lease nobody has.
  const auto wrong = [&](auto change, const std::array<ByteSpan, 1>& what) {
    DatagramHead changed = head;
    change(changed);
    ASSERT_TRUE(daemon_->inject->push(changed, what));
  };
  wrong([](DatagramHead& one) { one.local = address("192.0.0.9"); }, answer);
  wrong([](DatagramHead& one) { one.local = address(kLease6); }, answer);
  wrong([](DatagramHead& one) { one.remote = address(kLease6); }, answer);
  wrong([](DatagramHead& one) { one.remote_port = 69; }, answer);
  wrong([](DatagramHead& one) { one.tenant = kTenantB; }, answer);
  wrong([](DatagramHead& one) { one.port = kShare; }, answer);
  wrong([](DatagramHead&) {}, too_large);
  world_.settle();
  EXPECT_EQ(world_.engine().shard(0).tunnels_here.inject_refused.read(), 7U);
  wrong([](DatagramHead& one) { one.remote = address("10.9.0.77"); }, answer);
  world_.settle();
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(drops(DropReason::kVpnNoLease), 1U);
}

TEST_P(PathTunnel, WithoutADaemonIkeIsUnservedAndTunnelsLiveOn) {
  const Making setup;
  User user(setup);
  up(setup, user);
  daemon_->leave();
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(500, 500).payload(200).build());
  EXPECT_EQ(drops(DropReason::kIkeUnserved), 1U);
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  daemon_ = std::make_unique<Daemon>(service_);
  daemon_->hello();
  ASSERT_EQ(daemon_->welcome.left_size(), 1);
  EXPECT_EQ(daemon_->welcome.left(0).tunnel(), setup.tunnel);
  EXPECT_EQ(daemon_->welcome.left(0).note(), "note of 1");
  // The same user comes back under another number: the old tunnel ends, and is told with what it carried.
  Making again = setup;
  again.tunnel = 9;
  User back(again);
  up(again, back);
  ASSERT_EQ(daemon_->events.size(), 1U);
  ASSERT_TRUE(daemon_->events[0].has_gone());
  EXPECT_EQ(daemon_->events[0].gone().why(), ipc::TunnelGone::REPLACED);
  EXPECT_EQ(daemon_->events[0].gone().packets_in(), 1U);
  from_user(user, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U);
  from_user(back, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(PathTunnel, AnEndedTunnelIsKeptForTheNextDaemonUntilItIsClosedForGood) {
  const auto closing = [](std::uint32_t tunnel, bool keep) {
    ipc::ToTunnels out;
    out.mutable_close_tunnel()->set_tunnel(tunnel);
    out.mutable_close_tunnel()->set_keep(keep);
    return out;
  };
  const Making setup;
  User user(setup);
  up(setup, user);
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ipc::ToTunnels query;
  query.mutable_query_tunnel()->set_tunnel(setup.tunnel);
  EXPECT_EQ(daemon_->ask(query).tunnel_use().packets_in(), 1U);
  const auto closed = daemon_->ask(closing(setup.tunnel, true));
  EXPECT_EQ(closed.tunnel_use().packets_in(), 1U);
  EXPECT_TRUE(daemon_->events.empty()) << "who closes is not told";
  from_user(user, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U) << "nothing passes any more";
  EXPECT_EQ(daemon_->ask(closing(setup.tunnel, true)).tunnel_use().packets_in(), 1U) << "again says the same";
  EXPECT_EQ(refusal(query), "no such tunnel");
  EXPECT_NE(refusal(opening(setup)), "") << "its number is not free";
  Making second = setup;
  second.tunnel = 2;
  EXPECT_EQ(refusal(opening(second)), "") << "its addresses are";
  EXPECT_EQ(refusal(closing(second.tunnel, true)), "");
  EXPECT_EQ(refusal(closing(second.tunnel, false)), "");  // this one is written down

  for (int daemons = 0; daemons < 2; ++daemons) {  // one that dies before it wrote it down is followed by one that hears the same
    daemon_->leave();
    daemon_ = std::make_unique<Daemon>(service_);
    daemon_->hello();
    daemon_->read_events();
    EXPECT_EQ(daemon_->welcome.left_size(), 0);
    ASSERT_EQ(daemon_->events.size(), 1U);
    EXPECT_EQ(daemon_->events[0].gone().why(), ipc::TunnelGone::CLOSED);
    EXPECT_EQ(daemon_->events[0].gone().note(), "note of 1");
    EXPECT_EQ(daemon_->events[0].gone().packets_in(), 1U);
  }
  EXPECT_EQ(refusal(closing(setup.tunnel, false)), "");
  EXPECT_EQ(refusal(closing(setup.tunnel, false)), "no such tunnel");
  EXPECT_EQ(refusal(opening(setup)), "");
  daemon_->leave();
  daemon_ = std::make_unique<Daemon>(service_);
  daemon_->hello();
  daemon_->read_events();
  ASSERT_EQ(daemon_->welcome.left_size(), 1);
  for (const auto& event : daemon_->events) EXPECT_NE(event.gone().why(), ipc::TunnelGone::CLOSED);
}

TEST_P(PathTunnel, MoreTunnelsThanAWelcomeHoldsAreToldBehindIt) {
  for (std::uint32_t number = 1; number <= 48; ++number) {
    ipc::ToTunnels request = opening({.tunnel = number});
    request.mutable_open_tunnel()->set_note(std::string(1024, 'n'));
    request.mutable_open_tunnel()->clear_leases();
    request.mutable_open_tunnel()->add_leases(bytes_of(Address::from_v4(0x0a090000 + number)));
    ASSERT_EQ(refusal(request), "");
  }
  ipc::ToTunnels more = opening({.tunnel = 49});
  more.mutable_open_tunnel()->set_leases(0, bytes_of(address("10.9.0.200")));
  more.mutable_open_tunnel()->mutable_leases()->RemoveLast();
  EXPECT_NE(refusal(more), "") << "48 there is room for";
  daemon_->leave();
  daemon_ = std::make_unique<Daemon>(service_);
  daemon_->hello();
  daemon_->read_events();
  std::set<std::uint32_t> left;
  for (const auto& one : daemon_->welcome.left()) left.insert(one.tunnel());
  for (const auto& event : daemon_->events) {
    if (event.has_left()) left.insert(event.left().tunnel());
  }
  EXPECT_EQ(left.size(), 48U);
  EXPECT_FALSE(daemon_->events.empty());
}

TEST_P(PathTunnel, WhatTheDaemonSaysLeavesByTheTenantsRoutesCutToTheWay) {
  DatagramHead head{.tenant = kTenantA, .port = kShare, .local = address(kGatewayA4), .remote = address(kPeer4), .local_port = 500, .remote_port = 777};
  const Frame text(200, 0x61);
  const Frame large(4000, 0x62);
  const std::array<ByteSpan, 1> small_pieces{ByteSpan(text)};
  const std::array<ByteSpan, 1> large_pieces{ByteSpan(large)};
  ASSERT_TRUE(daemon_->inject->push(head, small_pieces));
  world_.settle();
  world_.turn(0);
  auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(read(out[0]).source_port, 500);
  EXPECT_EQ(read(out[0]).destination_port, 777);
  EXPECT_EQ(read(out[0]).ttl, 64);
  EXPECT_EQ(Frame(out[0].end() - 200, out[0].end()), text);
  ASSERT_TRUE(daemon_->inject->push(head, large_pieces));
  head.local = address(kGatewayA6), head.remote = address(kPeer6);
  ASSERT_TRUE(daemon_->inject->push(head, large_pieces));
  world_.turn(0);
  out = to_uplink();
  EXPECT_EQ(out.size(), 6U);
  std::size_t carried = 0;
  for (const Frame& piece : out) {
    const auto meta = read(piece);
    EXPECT_LE(meta.l3_length, 1500);
    const auto fields = filters::read_fragment(piece, meta);
    carried += fields.end - fields.begin;
  }
  EXPECT_EQ(carried, 2 * 4008U);
  // Not from an address that is no gateway, and not for another tenant.
  head.local = address("203.0.113.19"), head.remote = address(kPeer4);
  ASSERT_TRUE(daemon_->inject->push(head, small_pieces));
  head.local = address(kGatewayA4), head.tenant = kTenantB;
  ASSERT_TRUE(daemon_->inject->push(head, small_pieces));
  world_.turn(0);
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(world_.engine().shard(0).tunnels_here.inject_refused.read(), 2U);
}

TEST_P(PathTunnel, TooLongForTheTunnelIsToldWithItsRealSizeAndSynsAreClampedToIt) {
  const Making setup{.bits = 256};
  User user(setup);
  up(setup, user);
  const Frame fits = server("10.0.0.2", kLease4).udp(53, 40000).payload(1438 - 28).build();
  world_.inject(kServerNic, fits);
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_LE(read(out[0]).l3_length, 1500);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(1439 - 28).build());
  EXPECT_EQ(drops(DropReason::kTooBig), 1U);
  const auto told = world_.collect(kServerNic);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(read(told[0]).icmp_type, 3);
  EXPECT_EQ(read(told[0]).icmp_code, 4);
  EXPECT_EQ(load_be<std::uint16_t>(told[0], read(told[0]).l4_offset + 6U), 1438);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).tcp(5000, 80, {.flags = filters::kTcpSyn, .options = {1, 3, 3, 7, 2, 4, 0x05, 0xb4}}).build());
  const auto syn = to_uplink();
  ASSERT_EQ(syn.size(), 1U);
  const Frame opened = user.open(syn[0]);
  ASSERT_FALSE(opened.empty());
  EXPECT_EQ(load_be<std::uint16_t>(opened, read(opened).l4_offset + 26U), 1398);  // read() has proved the checksum
}

TEST_P(PathTunnel, RequestsThatDoNotFitAreRefusedAndChangeNothing) {
  const Making setup;
  User user(setup);
  const auto refused = [&](Making wrong) { return refusal(opening(wrong)); };
  EXPECT_NE(refused({.tunnel = 0}), "");
  EXPECT_NE(refused({.tenant = 99}), "");
  EXPECT_NE(refused({.tunnel_port = kShare}), "");
  EXPECT_NE(refused({.tunnel_port = kTunnelPortB}), "");
  EXPECT_EQ(refused(setup), "");
  EXPECT_NE(refused(setup), "") << "this number is taken";
  EXPECT_NE(refused({.tunnel = 2, .user = 77}), "") << "the lease is another's";
  ipc::ToTunnels spi;
  fill(*spi.mutable_allocate_spi()->mutable_path(), {.gateway = "203.0.113.19"});
  EXPECT_NE(refusal(spi), "") << "no gateway";
  const std::uint32_t ours = allocate(setup);
  const auto install_refused = [&](auto change, bool inbound = true) {
    ipc::ToTunnels request = installing(setup, user, inbound ? ours : 0x1234567, inbound, inbound ? 0 : ours);
    change(*request.mutable_install_sa());
    return refusal(request);
  };
  EXPECT_NE(install_refused([](auto& sa) { sa.set_tunnel(7); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.set_spi(sa.spi() + 16); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.set_transport(true); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.set_encryption(11); }), "") << "NULL";
  EXPECT_NE(install_refused([](auto& sa) { sa.set_encryption_key_bits(64); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.set_integrity(12); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.mutable_encryption_key()->pop_back(); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.set_replay_window(8192); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.clear_inner_local(); }), "");
  EXPECT_NE(install_refused([](auto& sa) { sa.mutable_inner_remote(0)->set_length(24); }), "") << "more than the lease";
  EXPECT_NE(install_refused([](auto& sa) { sa.mutable_path()->set_tenant(kTenantB); }), "");
  EXPECT_NE(install_refused([](auto&) {}, false), "") << "outbound before its inbound";
  EXPECT_EQ(install_refused([](auto&) {}), "");
  EXPECT_EQ(install_refused([](auto&) {}, false), "");
  const auto second = std::make_unique<Daemon>(service_);
  ipc::ToTunnels hello;
  hello.mutable_hello();
  EXPECT_NE(second->ask(hello).refused().reason(), "") << "one at a time";
}

TEST_P(PathTunnel, AHardLimitEndsTheSaAndIsTold) {
  const Making setup{.hard_packets = 2};
  User user(setup);
  up(setup, user);
  for (int i = 0; i < 3; ++i) from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
  EXPECT_EQ(drops(DropReason::kVpnExpired), 1U);
  daemon_->read_events();
  ASSERT_FALSE(daemon_->events.empty());
  EXPECT_TRUE(daemon_->events.back().limit().hard());
  EXPECT_TRUE(daemon_->events.back().limit().inbound());
}

TEST_P(PathTunnel, UsersReachOneAnotherWhereARuleSaysSoAndNotOtherwise) {
  const Making setup{.lease6 = false};
  User user(setup);
  up(setup, user);
  Making neighbour{.tunnel = 2, .user = 7, .peer = "198.51.100.88", .lease4 = "10.9.0.6", .lease6 = false, .key = 0x11};
  User other(neighbour);
  up(neighbour, other);
  from_user(user, question(kLease4, "10.9.0.6"));
  EXPECT_TRUE(to_uplink().empty());
  start({{.id = 11, .source_zones = kVpnZone, .destination_zones = kVpnZone}}, 2);
  from_user(user, question(kLease4, "10.9.0.6"));
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ip_destination(out[0], read(out[0])), address("198.51.100.88"));
  EXPECT_FALSE(other.open(out[0]).empty());
}

TEST_P(PathTunnel, OneBurstGoesIntoTheTunnelsOfItsPacketsEachFlowInItsOrder) {
  // Users of both families; the first answer of a flow changes its session, those behind it in the burst do not.
  const std::array<Making, 2> settings{Making{.tunnel = 1}, Making{.tunnel = 2, .user = 7, .peer = "198.51.100.88", .lease4 = "10.9.0.6",
                                                                    .lease6 = false, .key = 0x11}};
  std::array<User, 2> users{User(settings[0]), User(settings[1])};
  struct Flow {
    std::size_t user;
    const char* lease;
    const char* host;
  };
  const std::array<Flow, 3> flows{Flow{0, kLease4, "10.0.0.2"}, Flow{1, "10.9.0.6", "10.0.0.2"}, Flow{0, kLease6, "fd00:0:0:1::2"}};
  for (std::size_t i = 0; i < users.size(); ++i) up(settings[i], users[i]);
  const auto sent = [this] {
    std::pair<std::uint64_t, std::uint64_t> out;
    const dataplane::Runtime& runtime = *world_.engine().runtime();
    const std::uint32_t slot = runtime.ports[runtime.find_port(kTunnelPortA)].slot;
    for (std::uint32_t shard = 0; shard < world_.engine().shards(); ++shard) {
      out.first += world_.engine().shard(shard).ports[slot].tx_packets.read();
      out.second += world_.engine().shard(shard).ports[slot].tx_bytes.read();
    }
    return out;
  };
  const auto before = sent();
  for (const Flow& flow : flows) from_user(users[flow.user], question(flow.lease, flow.host));
  ASSERT_EQ(world_.collect(kServerNic).size(), flows.size());
  constexpr std::size_t kRounds = 4;
  std::uint64_t bytes = 0;
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (const Flow& flow : flows) {
      const Frame answer = server(flow.host, flow.lease).udp(53, 40000).payload(Frame(20 + round, static_cast<std::uint8_t>(round))).build();
      bytes += l3_of(answer).size();
      world_.queue(kServerNic, answer);
    }
  }
  world_.settle();
  std::array<std::vector<std::size_t>, 3> got;
  for (const Frame& frame : to_uplink()) {
    const bool first = filters::ip_destination(frame, read(frame)) == address(settings[0].peer);
    const Frame opened = users[first ? 0 : 1].open(frame);
    ASSERT_FALSE(opened.empty());
    const auto meta = read(opened);
    const Address to = filters::ip_destination(opened, meta);
    const auto flow = std::find_if(flows.begin(), flows.end(), [&](const Flow& one) { return address(one.lease) == to; });
    ASSERT_NE(flow, flows.end());
    EXPECT_EQ(flow->user, first ? 0U : 1U) << "nobody else's tunnel";
    EXPECT_EQ(meta.ttl, 63) << "one hop";
    got[static_cast<std::size_t>(flow - flows.begin())].push_back(opened[meta.payload_offset]);
  }
  for (const auto& order : got) EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(sent().first - before.first, flows.size() * kRounds);
  EXPECT_EQ(sent().second - before.second, bytes);
}

TEST_P(PathTunnel, BehindAUsersEspNothingIsTakenFromOneOfUsNorForAnotherMac) {
  for (const bool in_udp : {true, false}) {
    SCOPED_TRACE(in_udp);
    const Making setup{.tunnel = in_udp ? 1U : 2U, .in_udp = in_udp, .lease4 = in_udp ? kLease4 : "10.9.0.6", .lease6 = false};
    User user(setup);
    up(setup, user);
    const auto sealed = [&] { return user.seal(question(setup.lease4), world_.gateway(kUplinkNic)); };
    world_.inject(kUplinkNic, sealed());  // the gateway is known from here on
    ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
    const std::uint64_t from_us = drops(DropReason::kUplinkSource), elsewhere = drops(DropReason::kNotForUs);

    const Frame first = sealed(), middle = sealed();
    const auto meta = read(middle);
    FrameBuilder ours;
    ours.ethernet(kRouterMac, world_.gateway(kUplinkNic)).ipv4(setup.gateway, setup.gateway);
    const auto esp = middle.begin() + (in_udp ? meta.payload_offset : meta.l4_offset);
    const Frame content(esp, middle.end());
    const Frame spoofed = in_udp ? ours.udp(setup.peer_port, 4500).payload(content).build() : ours.protocol(50, content).build();
    Frame wrong = sealed();
    wrong[5] ^= 1;
    for (const Frame& frame : {first, spoofed, wrong, sealed()}) world_.queue(kUplinkNic, frame);
    world_.settle();
    EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
    EXPECT_EQ(drops(DropReason::kUplinkSource) - from_us, 1U);
    EXPECT_EQ(drops(DropReason::kNotForUs) - elsewhere, 1U);
    EXPECT_EQ(drops(DropReason::kVpnReplay), 0U);
  }
}

TEST_P(PathTunnel, PeersInTurnOfOneBurstStayWhoTheyAre) {
  // Alike in all but what tells them apart: tenant and gateway; UDP or not; both families.
  const Making a;
  const Making b{.tunnel = 2, .tenant = kTenantB, .tunnel_port = kTunnelPortB, .user = kUserB, .gateway = kGatewayB4, .gateway_port = 10 + kShare, .in_udp = false, .key = 0x55};
  const Making c{.tunnel = 3, .user = 7, .gateway = kGatewayA6, .peer = kPeer6, .lease4 = "10.9.0.6", .lease6 = false, .key = 0x11};
  const Making d{.tunnel = 4, .user = 8, .peer_port = 61235, .lease4 = "10.9.0.7", .lease6 = false, .key = 0x22};  // behind one address with `a`
  const Making e{.tunnel = 5, .user = 9, .peer = "198.51.100.88", .in_udp = false, .lease4 = "10.9.0.8", .lease6 = false, .key = 0x33};
  std::array<User, 5> users{User(a), User(b), User(c), User(d), User(e)};
  const std::array<const Making*, 5> settings{&a, &b, &c, &d, &e};
  for (std::size_t i = 0; i < users.size(); ++i) up(*settings[i], users[i]);
  for (const std::size_t i : {1U, 2U, 3U, 4U, 0U}) from_user(users[i], question(settings[i]->lease4));  // gateways and sessions are known
  ASSERT_EQ(world_.collect(kServerNic).size(), users.size());
  std::array<std::size_t, 5> sent{};
  for (const std::size_t who : {4U, 4U, 4U, 0U, 4U, 0U, 0U, 4U, 0U, 4U, 4U, 0U, 0U, 0U, 1U, 0U, 1U, 1U, 1U, 0U, 0U, 2U, 2U, 2U, 0U, 2U, 3U, 0U, 3U, 3U, 0U, 0U, 1U, 2U, 3U}) {
    world_.queue(kUplinkNic, users[who].seal(question(settings[who]->lease4), world_.gateway(kUplinkNic)));
    ++sent[who];
  }
  world_.settle();
  std::array<std::size_t, 5> got{};
  for (const Frame& frame : world_.collect(kServerNic)) {
    const auto meta = read(frame);
    const Address from = filters::ip_source(frame, meta);
    const bool of_b = meta.outer_vlan == 200;
    for (std::size_t i = 0; i < users.size(); ++i) {
      if (from == address(settings[i]->lease4) && of_b == (settings[i]->tenant == kTenantB)) ++got[i];
    }
  }
  EXPECT_EQ(got, sent);
  for (const auto reason : {DropReason::kVpnReplay, DropReason::kVpnAuth, DropReason::kVpnSpiUnknown, DropReason::kVpnInnerSpoof}) {
    EXPECT_EQ(drops(reason), 0U);
  }
}

TEST_P(PathTunnel, WhatIsWrongInTheMiddleOfAPeersRunIsToldLikeAnyOther) {
  for (const bool in_udp : {true, false}) {
    SCOPED_TRACE(in_udp);
    const Making setup{.tunnel = in_udp ? 1U : 2U, .in_udp = in_udp, .lease4 = in_udp ? kLease4 : "10.9.0.6", .lease6 = false};
    User user(setup);
    up(setup, user);
    const auto sealed = [&] { return user.seal(question(setup.lease4), world_.gateway(kUplinkNic)); };
    world_.inject(kUplinkNic, sealed());
    ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
    const auto at = [&](const Frame& frame) { return in_udp ? read(frame).payload_offset : read(frame).l4_offset; };
    Frame changed = sealed(), nobodys = sealed(), spoof = user.seal(question("10.9.0.99"), world_.gateway(kUplinkNic)), shorter = sealed();
    changed.back() ^= 1U;
    nobodys[at(nobodys) + 2U] ^= 1U;
    shorter.pop_back();  // than its IP header says
    const Frame again = sealed();
    const std::map<DropReason, std::uint64_t> before{{DropReason::kVpnAuth, drops(DropReason::kVpnAuth)},
                                                     {DropReason::kVpnSpiUnknown, drops(DropReason::kVpnSpiUnknown)},
                                                     {DropReason::kVpnInnerSpoof, drops(DropReason::kVpnInnerSpoof)},
                                                     {DropReason::kVpnReplay, drops(DropReason::kVpnReplay)},
                                                     {DropReason::kIpv4TotalLength, drops(DropReason::kIpv4TotalLength)}};
    world_.pass(std::chrono::seconds(70));  // what is told of alike is told once a minute
    world_.records();
    for (const Frame& frame : {sealed(), sealed(), sealed(), changed, sealed(), nobodys, again, spoof, again, shorter, sealed()}) {
      world_.queue(kUplinkNic, frame);
    }
    world_.settle();
    EXPECT_EQ(world_.collect(kServerNic).size(), 6U);
    for (const auto& [reason, count] : before) EXPECT_EQ(drops(reason) - count, 1U) << static_cast<int>(reason);
    // Their records say where they came from, though nothing is written down of those that are recognized.
    world_.pass(std::chrono::seconds(70));
    std::size_t told = 0;
    for (const World::Record& record : world_.records()) {
      if (record.envelope.kind != LogKind::kSec || record.sec.protocol == 0) continue;
      ++told;
      EXPECT_EQ(record.envelope.tenant, kTenantA);
      EXPECT_EQ(record.sec.in_port, kShare);
      EXPECT_EQ(record.sec.source, address(kPeer4).bytes);
      EXPECT_EQ(record.sec.destination, address(kGatewayA4).bytes);
      EXPECT_EQ(record.sec.protocol, in_udp ? 17 : 50);
      EXPECT_EQ(record.sec.source_port, in_udp ? setup.peer_port : 0);
    }
    EXPECT_GE(told, 3U);
  }
}

TEST_P(PathTunnel, AnEchoToTheGatewayComesBackThroughTheTunnel) {
  const Making setup;
  User user(setup);
  up(setup, user);
  from_user(user, ip({}, kLease4, "10.0.0.1").echo().build());
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  const Frame opened = user.open(out[0]);
  ASSERT_FALSE(opened.empty());
  EXPECT_EQ(read(opened).icmp_type, 0);
  EXPECT_EQ(filters::ip_source(opened, read(opened)), address("10.0.0.1"));
}

TEST_P(PathTunnel, SealedPacketsTheNetworkCutAreJoinedAndSynsFromUsersAreClamped) {
  const Making setup{.bits = 256};
  User user(setup);
  start({{.id = 11, .source_zones = kVpnZone}}, 2);
  up(setup, user);
  const Frame sealed = user.seal(question(), world_.gateway(kUplinkNic));
  const Frame l4(sealed.begin() + 34, sealed.end());
  for (const std::size_t at : {std::size_t{0}, std::size_t{96}}) {
    const std::size_t end = at == 0 ? 96 : l4.size();
    FrameBuilder piece = outside(kPeer4, kGatewayA4).ipv4(kPeer4, kGatewayA4, {.fragment = static_cast<unsigned>((at == 0 ? 0x2000U : 0U) | at / 8)});
    world_.inject(kUplinkNic, piece.protocol(17, {l4.begin() + static_cast<std::ptrdiff_t>(at), l4.begin() + static_cast<std::ptrdiff_t>(end)}).build());
  }
  const auto joined = world_.collect(kServerNic);
  ASSERT_EQ(joined.size(), 1U);
  EXPECT_EQ(filters::ip_source(joined[0], read(joined[0])), address(kLease4));
  from_user(user, ip({}, kLease6, "fd00:0:0:1::2").tcp(5000, 80, {.flags = filters::kTcpSyn, .options = {2, 4, 0x05, 0xa0}}).build());
  const auto syn = world_.collect(kServerNic);
  ASSERT_EQ(syn.size(), 1U);
  EXPECT_EQ(load_be<std::uint16_t>(syn[0], read(syn[0]).l4_offset + 22U), 1378);
  from_user(user, ip({}, kLease6, "fd00:0:0:1::2").tcp(5001, 80, {.flags = filters::kTcpSyn, .options = {2, 4, 0x02, 0x00}}).build());
  const auto small = world_.collect(kServerNic);
  ASSERT_EQ(small.size(), 1U);
  EXPECT_EQ(load_be<std::uint16_t>(small[0], read(small[0]).l4_offset + 22U), 512);
}

TEST_P(PathTunnel, ATunnelEndsWithItsPort) {
  const Making setup;
  User user(setup);
  up(setup, user);
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  world_.apply(2, {kVpnToServers});  // no tunnel Ports
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
  daemon_->read_events();
  ASSERT_EQ(daemon_->events.size(), 1U);
  EXPECT_EQ(daemon_->events[0].gone().why(), ipc::TunnelGone::PORT_GONE);
  start({kVpnToServers}, 3);
  from_user(user, question());
  EXPECT_EQ(drops(DropReason::kVpnSpiUnknown), 1U);
}

TEST_P(PathTunnel, APacketThatWaitsForAHostAcrossACommitIsStillOfItsTunnel) {
  const Making setup;
  User user(setup);
  start({{.id = 11, .source_zones = kVpnZone}}, 2);
  up(setup, user);
  from_user(user, question(kLease4, "198.51.100.200"));  // by the uplink, whose router has not answered
  start({{.id = 11, .source_zones = kVpnZone}}, 3);
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(filters::ip_source(out[0], read(out[0])), address(kLease4));
  from_user(user, question(kLease4, "198.51.100.200", 54));
  world_.inject(kUplinkNic, user.seal(question(kLease4, "198.51.100.201", 55), world_.gateway(kUplinkNic)));
  EXPECT_EQ(to_uplink().size(), 2U);
}

TEST_P(PathTunnel, OnlyAnswersOfTheTenantsRadiusServersGoToTheDaemon) {
  const auto answer = [this](const char* from, const char* to, unsigned source, unsigned destination, std::uint32_t tenant = kTenantA) {
    return server(from, to, tenant).udp(source, destination).payload(40).build();
  };
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 1812, 50000));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 1813, 50001));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 40000, 3799));
  world_.inject(kServerNic, answer("fd00:0:0:1::2", "fd00:0:0:1::1", 1812, 50000));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 1812, 50000, kTenantB));
  auto got = daemon_->punted();
  ASSERT_EQ(got.size(), 5U);
  std::size_t of_b = 0;
  for (const auto& [head, payload] : got) {
    EXPECT_EQ(payload.size(), 40U);
    EXPECT_EQ(head.remote, address(head.local.family == Family::kIpv4 ? "10.0.0.2" : "fd00:0:0:1::2"));
    of_b += head.tenant == kTenantB ? 1U : 0U;
  }
  EXPECT_EQ(of_b, 1U);
  // The nearest that are nobody's: another port at either end, another host, and requests where none may come.
  const auto before = drops(DropReason::kLocalUnserved);
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 1811, 50000));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 1812, 49151));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 40000, 3798));
  world_.inject(kServerNic, answer("10.0.0.2", "10.0.0.1", 40000, 3799, kTenantB));
  EXPECT_EQ(drops(DropReason::kLocalUnserved) - before, 4U);
  EXPECT_TRUE(daemon_->punted().empty());
}

TEST_P(PathTunnel, WhatTheDaemonAsksARadiusServerLeavesToThatServerAlone) {
  DatagramHead head{.tenant = kTenantA, .port = kServerPort, .local = address("10.0.0.1"), .remote = address("10.0.0.2"), .local_port = 50000, .remote_port = 1812};
  const Frame text(60, 0x61);
  const std::array<ByteSpan, 1> pieces{ByteSpan(text)};
  const auto said = [&] {
    EXPECT_TRUE(daemon_->inject->push(head, pieces));
    world_.settle();
    world_.turn(0);
    world_.settle();
    return world_.collect(kServerNic);
  };
  const auto out = said();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(read(out[0]).source_port, 50000);
  EXPECT_EQ(read(out[0]).destination_port, 1812);
  EXPECT_EQ(Frame(out[0].end() - 60, out[0].end()), text);
  head.remote_port = 53;
  EXPECT_TRUE(said().empty());
  head.remote_port = 1812, head.local_port = 49151;
  EXPECT_TRUE(said().empty());
  head.local_port = 50000, head.remote = address("10.0.0.3");
  EXPECT_TRUE(said().empty());
  head.remote = address("10.0.0.2"), head.local_port = 3799, head.remote_port = 40000;
  EXPECT_EQ(said().size(), 1U) << "an answer to its request";
  EXPECT_EQ(world_.engine().shard(0).tunnels_here.inject_refused.read(), 3U);
}

TEST(PathTunnels, EveryEspFaultIsADropReasonOfTheSameNameAndEvent) {
  for (std::size_t at = 1; at < static_cast<std::size_t>(EspFault::kCount); ++at) {
    const auto fault = static_cast<EspFault>(at);
    const auto& reason = filters::info(dataplane::path::tunnel::drop_reason(fault));
    EXPECT_EQ(reason.name, filters::info(fault).name);
    EXPECT_EQ(reason.event, filters::info(fault).event);
  }
}

}  // namespace
}  // namespace sekisho::tests
