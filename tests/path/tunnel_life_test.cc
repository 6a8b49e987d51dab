// SPDX-License-Identifier: Apache-2.0
// Goal: what happens to a tunnel's neighbours in time is carried through: its sessions end with it and nobody inherits them,
// and what routers say of the way's size reaches senders, when it is about a packet of ours. Method: as in tunnel_test.cc.
#include "filters/state/icmp_error.h"
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

class TunnelLife : public PathTunnel {
 protected:
  std::string close(std::uint32_t tunnel) {
    ipc::ToTunnels request;
    request.mutable_close_tunnel()->set_tunnel(tunnel);
    return refusal(request);
  }
  /// Records of sessions that ended with their tunnel.
  std::size_t ended_with_tunnel() {
    std::size_t found = 0;
    for (const auto& record : world_.records()) {
      found += record.envelope.kind == LogKind::kComm && record.comm.phase == CommPhase::kEnd && record.comm.end_reason == EndReason::kVpnDown ? 1U : 0U;
    }
    return found;
  }
  Frame answer(std::size_t bytes, bool inner6 = false) {
    return server(inner6 ? "fd00:0:0:1::2" : "10.0.0.2", inner6 ? kLease6 : kLease4).udp(53, 40000).payload(bytes).build();
  }
  /// A router on the way says that `sealed` was too long; it quotes `quoted` bytes of it.
  Frame too_big(const Frame& sealed, std::uint32_t mtu, std::size_t quoted = 128, const char* to = nullptr) {
    const bool outer6 = sealed[14] >> 4 == 6;
    const ByteSpan quote = ByteSpan(sealed).subspan(14, std::min<std::size_t>(quoted, sealed.size() - 14));
    if (outer6) return outside("2001:db8:ffff::fe", to == nullptr ? kGatewayA6 : to).icmp(2, 0, mtu).payload(quote).build();
    return outside("198.51.100.254", to == nullptr ? kGatewayA4 : to).icmp(3, 4, mtu).payload(quote).build();
  }
  std::uint16_t inner_mtu() { return world_.engine().leases().find(kTenantA, address(kLease4))->inner_mtu; }
  void hear(const Frame& error) {
    world_.inject(kUplinkNic, error);
    daemon_->read_events();
  }
};
SEKISHO_PATH_WORKERS(TunnelLife);

TEST_P(TunnelLife, SessionsEndWithTheirTunnelWithARecordAndOthersStay) {
  const Making setup;
  User user(setup);
  up(setup, user);
  Making neighbour{.tunnel = 2, .user = 7, .peer = "198.51.100.88", .lease4 = "10.9.0.6", .lease6 = false, .key = 0x11};
  User other(neighbour);
  up(neighbour, other);
  from_user(user, question());                                // by him
  from_user(user, question(kLease6, "fd00:0:0:1::2"));
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(99, 98).payload(30).build());  // to him
  from_user(other, question("10.9.0.6", "10.0.0.2"));
  ASSERT_EQ(world_.sessions(), 4U);
  world_.records();
  EXPECT_EQ(close(setup.tunnel), "");
  daemon_->read_events();
  world_.settle();
  EXPECT_EQ(world_.sessions(), 1U);
  EXPECT_EQ(ended_with_tunnel(), 3U);
  from_user(other, question("10.9.0.6", "10.0.0.2"));
  EXPECT_EQ(world_.sessions(), 1U) << "the neighbour's goes on";
}

TEST_P(TunnelLife, AUserWhoBecomesAnotherMidwayIsJudgedByItsGroupsFromTheNextPacketOn) {
  constexpr std::uint32_t kOther = 777;
  const auto edit = [](filters::SnapshotBuilder& builder) {
    add_tunnels(builder);
    builder.users.insert(builder.users.begin() + 1, {kOther, 0, 2});  // kUserA's groups are 1
    for (filters::snapshot::Rule& rule : builder.rules) rule.user_groups = rule.id == kVpnToServers.id ? 1U : rule.user_groups;
  };
  world_.apply(2, {kVpnToServers}, {.rules_b = {{.id = 201}}, .edit = edit});
  const Making setup;
  User user(setup);
  up(setup, user);
  Making neighbour{.tunnel = 2, .user = kUserA, .peer = "198.51.100.88", .lease4 = "10.9.0.6", .lease6 = false, .key = 0x11};
  User other(neighbour);
  up(neighbour, other);
  const auto become = [this](std::uint32_t tunnel, std::uint32_t who) {
    ipc::ToTunnels request;
    request.mutable_change_user()->set_tunnel(tunnel);
    request.mutable_change_user()->set_user(who);
    return refusal(request);
  };
  from_user(user, question());
  from_user(user, question(kLease6, "fd00:0:0:1::2"));
  from_user(other, question("10.9.0.6", "10.0.0.2"));
  ASSERT_EQ(world_.collect(kServerNic).size(), 3U);
  EXPECT_EQ(become(1, kUserA), "");
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U) << "who stays who he is goes on";
  EXPECT_EQ(become(1, kOther), "");
  from_user(user, question());
  from_user(user, question(kLease6, "fd00:0:0:1::2"));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(world_.sessions(), 1U) << "both ended";
  EXPECT_EQ(world_.drops(filters::DropReason::kPolicyChanged), 2U);
  from_user(user, question(kLease4, "10.0.0.2", 54));
  from_user(other, question("10.9.0.6", "10.0.0.2"));
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U) << "the neighbour's alone";
  EXPECT_EQ(become(1, kUserA), "");
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  key(setup, user);  // new SAs carry who he is now
  EXPECT_EQ(world_.engine().leases().find(kTenantA, address(kLease4))->user, kUserA);
  EXPECT_NE(become(99, kOther), "");
}

TEST_P(TunnelLife, ASessionGoesOnInTheSameUsersNextTunnelAndIsNeverInheritedByAnother) {
  const Making setup;
  User user(setup);
  up(setup, user);
  from_user(user, question());
  ASSERT_EQ(world_.sessions(), 1U);
  EXPECT_EQ(close(setup.tunnel), "");
  Making again = setup;
  again.tunnel = 2;
  User back(again);
  up(again, back);
  daemon_->read_events();
  EXPECT_EQ(world_.sessions(), 1U) << "the same user, before the walk";
  from_user(back, question());
  EXPECT_EQ(world_.sessions(), 1U);
  EXPECT_EQ(close(again.tunnel), "");
  Making other = setup;
  other.tunnel = 3;
  other.user = 7;
  EXPECT_EQ(refusal(opening(other)), "");
  EXPECT_EQ(world_.sessions(), 0U) << "another's: ended before he has the address";
  User stranger(other);
  key(other, stranger);
  from_user(stranger, question());
  EXPECT_EQ(world_.sessions(), 1U);
  daemon_->read_events();
  EXPECT_EQ(world_.sessions(), 1U) << "his own is not taken for the one before's";
}

TEST_P(TunnelLife, ARoutersWordAboutAPacketOfOursReachesSendersAndSynsAndIsForgottenInTenMinutes) {
  std::uint32_t tunnel = 0;
  for (const bool outer6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      SCOPED_TRACE(testing::Message() << "outer6 " << outer6 << " udp " << in_udp);
      Making setup{.tunnel = ++tunnel, .in_udp = in_udp};
      if (outer6) setup.gateway = kGatewayA6, setup.peer = kPeer6;
      User user(setup);
      up(setup, user);
      const std::uint16_t full = inner_mtu();
      world_.inject(kServerNic, answer(full - 28U));
      const auto sealed = to_uplink();
      ASSERT_EQ(sealed.size(), 1U);
      hear(too_big(sealed[0], 1400));
      EXPECT_EQ(inner_mtu(), full - 100);
      world_.inject(kServerNic, answer(full - 100U - 28 + 1));
      auto told = world_.collect(kServerNic);
      ASSERT_EQ(told.size(), 1U);
      EXPECT_EQ(read(told[0]).icmp_type, 3);
      EXPECT_EQ(load_be<std::uint16_t>(told[0], read(told[0]).l4_offset + 6U), full - 100);
      world_.inject(kServerNic, answer(full - 100U - 48 + 1, true));
      told = world_.collect(kServerNic);
      ASSERT_EQ(told.size(), 1U);
      EXPECT_EQ(read(told[0]).icmp_type, 2);
      EXPECT_EQ(load_be<std::uint32_t>(told[0], read(told[0]).l4_offset + 4U), full - 100U);
      world_.inject(kServerNic, server("10.0.0.2", kLease4).tcp(5000, 80, {.flags = filters::kTcpSyn, .options = {2, 4, 0x05, 0xb4}}).build());
      const auto syn = to_uplink();
      ASSERT_EQ(syn.size(), 1U);
      const Frame opened = user.open(syn[0]);
      EXPECT_EQ(load_be<std::uint16_t>(opened, read(opened).l4_offset + 22U), full - 140);
      // A rekey keeps what is known of the way; a larger word is no news.
      Making renewed = setup;
      renewed.key = 0x77;
      User after(renewed);
      key(renewed, after);
      EXPECT_EQ(inner_mtu(), full - 100);
      world_.inject(kServerNic, answer(100));
      const auto small = to_uplink();
      ASSERT_EQ(small.size(), 1U);
      hear(too_big(small[0], 1450));
      EXPECT_EQ(inner_mtu(), full - 100);
      world_.pass(std::chrono::seconds(599));
      daemon_->read_events();
      EXPECT_EQ(inner_mtu(), full - 100);
      world_.pass(std::chrono::seconds(2));
      daemon_->read_events();
      EXPECT_EQ(inner_mtu(), full);
      EXPECT_EQ(close(setup.tunnel), "");
      daemon_->read_events();
    }
  }
}

TEST_P(TunnelLife, WordsAboutPacketsThatWereNotOursChangeNothing) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const std::uint16_t full = inner_mtu();
  world_.inject(kServerNic, answer(200));
  const auto sealed = to_uplink();
  ASSERT_EQ(sealed.size(), 1U);
  const Frame& right = sealed[0];
  const auto meta = read(right);
  const auto changed = [&](std::size_t at, std::uint8_t by) {
    Frame out = right;
    out[at] = static_cast<std::uint8_t>(out[at] + by);
    return out;
  };
  hear(too_big(changed(meta.payload_offset + 3U, 1), 1000));
  EXPECT_EQ(inner_mtu(), full) << "another SPI";
  hear(too_big(changed(meta.payload_offset + 5U, 1), 1000));
  EXPECT_EQ(inner_mtu(), full) << "a number never sent";
  hear(too_big(changed(meta.l3_offset + 19U, 1), 1000));
  EXPECT_EQ(inner_mtu(), full) << "another peer";
  hear(too_big(changed(meta.l4_offset + 3U, 1), 1000));
  EXPECT_EQ(inner_mtu(), full) << "another port of the peer";
  hear(too_big(right, 1000, 28));
  EXPECT_EQ(inner_mtu(), full) << "a quote without SPI";
  hear(too_big(right, 1000, 128, "203.0.113.19"));
  EXPECT_EQ(inner_mtu(), full) << "to another address than the packet's source";
  hear(too_big(right, 1000, 128, kGatewayB4));
  EXPECT_EQ(inner_mtu(), full) << "at another tenant's gateway";
  world_.inject(kUplinkNic, outside("198.51.100.254", kGatewayA4).icmp(3, 3, 1000).payload(ByteSpan(right).subspan(meta.l3_offset, 60)).build());
  daemon_->read_events();
  EXPECT_EQ(inner_mtu(), full) << "port unreachable";
  hear(too_big(right, 40));
  EXPECT_EQ(inner_mtu(), full - (1500 - 576)) << "nothing is narrower than 576";
  EXPECT_EQ(close(setup.tunnel), "");
  Making second = setup;
  second.tunnel = 2;
  User next(second);
  up(second, next);
  EXPECT_EQ(inner_mtu(), full) << "it was the tunnel's";
  world_.inject(kServerNic, answer(1300));
  const auto long_one = to_uplink();
  ASSERT_EQ(long_one.size(), 1U);
  hear(too_big(long_one[0], 0));
  EXPECT_EQ(inner_mtu(), full - (1500 - 1006) - 2) << "a router that does not say: the next usual size below it";
}

TEST(TunnelHello, SixteenWorkersHaveTheirRingsInOneWelcome) {
  World world({.workers = limits::kShardsMax, .tunnels = 32});
  dataplane::TunnelService service(world.engine());
  Daemon daemon(service);
  daemon.hello();
  EXPECT_EQ(daemon.punts.size(), limits::kShardsMax);
}

TEST_P(TunnelLife, AMovedPeerIsReachedByAnotherWay) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const std::uint16_t full = inner_mtu();
  world_.inject(kServerNic, answer(200));
  const auto sealed = to_uplink();
  ASSERT_EQ(sealed.size(), 1U);
  hear(too_big(sealed[0], 1000));
  EXPECT_EQ(inner_mtu(), full - 500);
  Making moved = setup;
  moved.peer = "198.51.100.77";
  ipc::ToTunnels request;
  request.mutable_move_sa()->set_tunnel(setup.tunnel);
  request.mutable_move_sa()->set_spi(read_outbound_spi(sealed[0]));
  request.mutable_move_sa()->set_inbound(false);
  request.mutable_move_sa()->set_udp_encapsulation(true);
  fill(*request.mutable_move_sa()->mutable_path(), moved);
  EXPECT_EQ(refusal(request), "");
  EXPECT_EQ(inner_mtu(), full);
}

}  // namespace
}  // namespace sekisho::tests
