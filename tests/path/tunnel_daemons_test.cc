// SPDX-License-Identifier: Apache-2.0
// Goal: several keying daemons at one data plane: each gets what is for it, none touches another's, and one that dies takes nothing of
// the others along.
// Method: daemons of several kinds on one tunnel service, real datagrams on ring ports. One and two workers, and one whose cards sum.
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

class PathDaemons : public PathTunnel {
 protected:
  std::unique_ptr<Daemon> connect(ipc::TunnelHello::Kind kind) {
    auto made = std::make_unique<Daemon>(service_);
    made->hello(kind);
    made->read_events();
    return made;
  }
  /// An IKE datagram of a version, as it comes in on `port`.
  void send_ike(std::uint8_t major, std::uint16_t port, std::size_t size = 120) {
    Frame text(port == 4500 ? 4 : 0, 0);
    text.resize(text.size() + size, 0x77);
    text[(port == 4500 ? 4 : 0) + 17] = static_cast<std::uint8_t>(major << 4);
    world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(port == 4500 ? 61234 : 500, port).payload(text).build());
  }
  static ipc::ToTunnels closing(std::uint32_t tunnel) {
    ipc::ToTunnels out;
    out.mutable_close_tunnel()->set_tunnel(tunnel);
    return out;
  }
  static constexpr std::uint32_t kPppOne = tunnel_number(KeyingDaemon::kPpp, 1);
};
SEKISHO_PATH_WORKERS(PathDaemons);

TEST_P(PathDaemons, IkeGoesToTheDaemonOfItsVersionAndToNobodyElse) {
  const auto first = connect(ipc::TunnelHello::IKE_V1);
  const auto ppp = connect(ipc::TunnelHello::PPP);
  for (const std::uint16_t port : {std::uint16_t{500}, std::uint16_t{4500}}) {
    send_ike(1, port);
    EXPECT_EQ(first->punted().size(), 1U);
    EXPECT_TRUE(daemon_->punted().empty());
    send_ike(2, port);
    EXPECT_EQ(daemon_->punted().size(), 1U);
    send_ike(3, port);
    EXPECT_EQ(daemon_->punted().size(), 1U) << "a version nobody has: the newest says so";
    EXPECT_TRUE(first->punted().empty());
  }
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(500, 500).payload(Frame(17, 0x10)).build());
  EXPECT_EQ(daemon_->punted().size(), 1U) << "too short for a version";
  EXPECT_TRUE(ppp->punted().empty());
  first->leave();
  send_ike(1, 500);
  EXPECT_EQ(drops(DropReason::kIkeUnserved), 1U);
  send_ike(2, 500);
  EXPECT_EQ(daemon_->punted().size(), 1U);
}

TEST_P(PathDaemons, EachDaemonHearsTheRadiusServersAtItsOwnPorts) {
  const auto ppp = connect(ipc::TunnelHello::PPP);
  const auto answered = [&](unsigned port) {
    world_.inject(kServerNic, server("10.0.0.2", "10.0.0.1").udp(1812, port).payload(40).build());
    return std::pair(daemon_->punted().size(), ppp->punted().size());
  };
  const unsigned theirs = radius_ports_first(KeyingDaemon::kPpp);
  EXPECT_EQ(answered(kRadiusPortsFirst), std::pair(std::size_t{1}, std::size_t{0}));
  EXPECT_EQ(answered(theirs), std::pair(std::size_t{0}, std::size_t{1}));
  EXPECT_EQ(answered(theirs + kRadiusPortsEach - 1), std::pair(std::size_t{0}, std::size_t{1}));
  EXPECT_EQ(answered(theirs + kRadiusPortsEach), std::pair(std::size_t{0}, std::size_t{0}));
}

TEST_P(PathDaemons, EachDaemonSaysItsOwnThroughItsOwnRing) {
  const auto first = connect(ipc::TunnelHello::IKE_V1);
  const Frame text(60, 0x61);
  const std::array<ByteSpan, 1> pieces{ByteSpan(text)};
  const auto said = [&](Daemon& daemon, KeyingDaemon from) {
    const DatagramHead head{.tenant = kTenantA, .port = kServerPort, .local = address("10.0.0.1"), .remote = address("10.0.0.2"),
                            .local_port = radius_ports_first(from), .remote_port = 1812};
    EXPECT_TRUE(daemon.inject->push(head, pieces));
    world_.settle();
    world_.turn(0);
    world_.settle();
    return world_.collect(kServerNic).size();
  };
  EXPECT_EQ(said(*daemon_, KeyingDaemon::kIkeV2), 1U);
  EXPECT_EQ(said(*first, KeyingDaemon::kIkeV1), 1U);
  EXPECT_EQ(said(*first, KeyingDaemon::kIkeV2), 0U) << "from another's ports";
  daemon_->leave();
  EXPECT_EQ(said(*first, KeyingDaemon::kIkeV1), 1U);
}

TEST_P(PathDaemons, WhoDoesNotSpeakIkeSaysNothingFromItsPorts) {
  const auto first = connect(ipc::TunnelHello::IKE_V1);
  const auto ppp = connect(ipc::TunnelHello::PPP);
  const auto pptp = connect(ipc::TunnelHello::PPTP);
  for (const std::uint16_t port : {std::uint16_t{500}, std::uint16_t{4500}}) {
    const DatagramHead head{.tenant = kTenantA, .port = kShare, .local = address(kGatewayA4), .remote = address(kPeer4), .local_port = port, .remote_port = 500};
    const Frame text(60, 0x61);
    const auto said = [&](Daemon& daemon) {
      EXPECT_TRUE(daemon.inject->push(head, std::array{ByteSpan(text)}));
      world_.settle();
      world_.turn(0);
      return to_uplink().size();
    };
    EXPECT_EQ(said(*ppp), 0U);
    EXPECT_EQ(said(*pptp), 0U);
    EXPECT_EQ(said(*first), 1U);
    EXPECT_EQ(said(*daemon_), 1U);
  }
}

TEST_P(PathDaemons, OneOfAKindAndOnlyAKindItsUserMayBe) {
  Daemon second(service_);
  ipc::ToTunnels hello;
  hello.mutable_hello()->set_kind(ipc::TunnelHello::IKE);
  EXPECT_EQ(second.ask(hello).refused().reason(), "another daemon of this kind is connected");
  Daemon ppp(service_, bit_of(KeyingDaemon::kPpp));
  EXPECT_EQ(ppp.ask(hello).refused().reason(), "its user may not be this daemon (--tunnel-uid)");
  hello.mutable_hello()->set_kind(ipc::TunnelHello::PPTP);
  EXPECT_EQ(ppp.ask(hello).refused().reason(), "its user may not be this daemon (--tunnel-uid)");
  hello.mutable_hello()->set_kind(ipc::TunnelHello::PPP);
  EXPECT_TRUE(ppp.ask(hello).has_welcome());
}

TEST_P(PathDaemons, ADaemonReachesNoTunnelAndNoSpiOfAnother) {
  const auto ppp = connect(ipc::TunnelHello::PPP);
  const Making setup;
  User user(setup);
  const std::uint32_t spi = up(setup, user);
  EXPECT_EQ(ppp->ask(closing(setup.tunnel)).refused().reason(), "this number is another daemon's");
  ipc::ToTunnels request;
  request.mutable_query_sa()->set_tunnel(setup.tunnel);
  request.mutable_query_sa()->set_spi(spi);
  request.mutable_query_sa()->set_inbound(true);
  EXPECT_EQ(ppp->ask(request).refused().reason(), "this number is another daemon's");
  EXPECT_TRUE(daemon_->ask(request).has_sa_use());
  Making foreign = setup;
  foreign.lease4 = "10.9.0.6", foreign.lease6 = false;
  foreign.tunnel = kPppOne;
  EXPECT_EQ(daemon_->ask(opening(foreign)).refused().reason(), "this number is another daemon's");
  EXPECT_EQ(ppp->ask(opening(foreign)).refused().reason(), "");
  const std::uint32_t reserved = allocate(setup);
  request.mutable_remove_sa()->set_spi(reserved);
  request.mutable_remove_sa()->set_inbound(true);
  EXPECT_EQ(ppp->ask(request).refused().reason(), "no such SA") << "an SPI the other was given";
  EXPECT_EQ(daemon_->ask(request).refused().reason(), "");
}

TEST_P(PathDaemons, AnAddressAnotherDaemonsSessionHoldsIsRefusedAndToldAhead) {
  const auto ppp = connect(ipc::TunnelHello::PPP);
  const Making setup;
  User user(setup);
  up(setup, user);
  ppp->read_events();
  ASSERT_EQ(ppp->events.size(), 1U);
  ASSERT_EQ(ppp->events[0].foreign_leases().leases_size(), 2);
  EXPECT_EQ(ppp->events[0].foreign_leases().leases(0).address(), bytes_of(address(kLease4)));
  EXPECT_EQ(ppp->events[0].foreign_leases().leases(0).tenant(), kTenantA);
  EXPECT_TRUE(ppp->events[0].foreign_leases().leases(0).held());
  EXPECT_TRUE(daemon_->events.empty()) << "who took it is not told";
  // The same user by another door: it is still the other daemon's.
  Making same = setup;
  same.tunnel = kPppOne, same.lease6 = false;
  const auto refused = ppp->ask(opening(same));
  EXPECT_TRUE(refused.refused().lease_held());
  EXPECT_EQ(refused.refused().reason(), "10.9.0.5 is held by a session of another daemon");
  same.lease4 = "10.9.0.6";
  EXPECT_EQ(ppp->ask(opening(same)).refused().reason(), "") << "his next candidate";
  daemon_->read_events();
  ASSERT_EQ(daemon_->events.size(), 1U);
  EXPECT_EQ(daemon_->events[0].foreign_leases().leases(0).address(), bytes_of(address("10.9.0.6")));
  // One that comes later hears of all that others hold; one that is given back is told as well.
  const auto first = connect(ipc::TunnelHello::IKE_V1);
  ASSERT_EQ(first->events.size(), 1U);
  EXPECT_EQ(first->events[0].foreign_leases().leases_size(), 3);
  EXPECT_EQ(daemon_->ask(closing(setup.tunnel)).refused().reason(), "");
  ppp->events.clear();
  ppp->read_events();
  ASSERT_EQ(ppp->events.size(), 1U);
  EXPECT_FALSE(ppp->events[0].foreign_leases().leases(0).held());
  same.tunnel = kPppOne + 1, same.lease4 = kLease4, same.user = 77;
  EXPECT_EQ(ppp->ask(opening(same)).refused().reason(), "");
}

TEST_P(PathDaemons, OneThatDiesLeavesItsOwnToTheNextOfItsKindAndTheOthersAsTheyAre) {
  auto ppp = connect(ipc::TunnelHello::PPP);
  const Making setup;
  User user(setup);
  up(setup, user);
  Making other;
  other.tunnel = kPppOne, other.lease4 = "10.9.0.6", other.lease6 = false;
  EXPECT_EQ(ppp->ask(opening(other)).refused().reason(), "");
  Making short_lived = other;
  short_lived.tunnel = kPppOne + 1, short_lived.lease4 = "10.9.0.7";
  EXPECT_EQ(ppp->ask(opening(short_lived)).refused().reason(), "");
  ipc::ToTunnels keep = closing(short_lived.tunnel);
  keep.mutable_close_tunnel()->set_keep(true);
  EXPECT_TRUE(ppp->ask(keep).has_tunnel_use());
  ppp->leave();
  service_.tick();
  from_user(user, question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U) << "the other's users notice nothing";
  EXPECT_EQ(key(setup, user) != 0, true) << "and may rekey";
  ppp = std::make_unique<Daemon>(service_);
  ppp->hello(ipc::TunnelHello::PPP);
  ppp->read_events();
  EXPECT_TRUE(ppp->welcome.left().empty()) << "without an SA it was at its end";
  std::set<std::uint32_t> gone;
  for (const auto& event : ppp->events) {
    if (event.has_gone()) gone.insert(event.gone().tunnel());
  }
  EXPECT_EQ(gone, (std::set<std::uint32_t>{kPppOne, kPppOne + 1}));
  for (const auto& event : daemon_->events) EXPECT_FALSE(event.has_gone());
  daemon_->leave();
  daemon_ = std::make_unique<Daemon>(service_);
  daemon_->hello();
  ASSERT_EQ(daemon_->welcome.left_size(), 1);
  EXPECT_EQ(daemon_->welcome.left(0).tunnel(), setup.tunnel);
}

TEST_P(PathDaemons, AnAccountIsCountedOverAllDaemonsAndMakesRoomForItselfAlone) {
  const auto ppp = connect(ipc::TunnelHello::PPP);
  const Making setup;
  const auto open = [](const Making& making, std::uint64_t account, std::optional<std::uint32_t> others, std::vector<std::uint32_t> displaced = {}) {
    ipc::ToTunnels out = opening(making);
    out.mutable_open_tunnel()->set_account(account);
    out.mutable_open_tunnel()->set_account_group(9);
    out.mutable_open_tunnel()->set_since(1'700'000'000);
    if (others) out.mutable_open_tunnel()->set_others(*others);
    for (const std::uint32_t one : displaced) out.mutable_open_tunnel()->add_displaced(one);
    return out;
  };
  ASSERT_EQ(daemon_->ask(open(setup, 77, 0)).refused().reason(), "");
  ppp->read_events();
  ASSERT_EQ(ppp->events.size(), 1U);
  const ipc::ForeignLease& told = ppp->events[0].foreign_leases().leases(0);
  EXPECT_EQ(told.tunnel(), setup.tunnel);
  EXPECT_EQ(told.account(), 77U);
  EXPECT_EQ(told.account_group(), 9U);
  EXPECT_EQ(told.since(), 1'700'000'000);
  Making same = setup;
  same.tunnel = kPppOne, same.lease4 = "10.9.0.6", same.lease6 = false;
  EXPECT_EQ(ppp->ask(open(same, 77, 0)).refused().reason(), "other daemons hold as many sessions of the user as he may have");
  EXPECT_EQ(ppp->ask(open(same, 78, 0)).refused().reason(), "") << "another's";
  same.tunnel = kPppOne + 1, same.lease4 = "10.9.0.7";
  EXPECT_EQ(ppp->ask(open(same, 79, 5, {setup.tunnel})).refused().reason(), "");
  daemon_->read_events();
  const auto gone = [this] {
    return std::count_if(daemon_->events.begin(), daemon_->events.end(), [](const ipc::TunnelEvent& one) { return one.has_gone(); });
  };
  EXPECT_EQ(gone(), 0) << "nobody ends another account's";
  const auto first = connect(ipc::TunnelHello::IKE_V1);
  same.tunnel = tunnel_number(KeyingDaemon::kIkeV1, 1), same.lease4 = "10.9.0.9";
  EXPECT_EQ(first->ask(open(same, 77, 0, {setup.tunnel})).refused().reason(), "who knows nobody by name ends nobody's sessions");
  daemon_->read_events();
  EXPECT_EQ(gone(), 0);
  same.tunnel = kPppOne + 2, same.lease4 = "10.9.0.8";
  EXPECT_EQ(ppp->ask(open(same, 77, 0, {setup.tunnel})).refused().reason(), "");
  daemon_->read_events();
  ASSERT_EQ(gone(), 1);
  const auto end = std::find_if(daemon_->events.begin(), daemon_->events.end(), [](const ipc::TunnelEvent& one) { return one.has_gone(); });
  EXPECT_EQ(end->gone().tunnel(), setup.tunnel);
  EXPECT_EQ(end->gone().why(), ipc::TunnelGone::REPLACED);
}

}  // namespace
}  // namespace sekisho::tests
