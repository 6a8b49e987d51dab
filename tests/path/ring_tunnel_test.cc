// SPDX-License-Identifier: Apache-2.0
// Tunnels without SAs: packets for their Leases cross the daemon's ring, and what it says came out of one must bear its Lease.
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

constexpr std::uint32_t kPppFirst = tunnel_number(KeyingDaemon::kPpp, 1);

class PathRing : public PathTest {
 protected:
  PathRing() : PathTest({.tunnels = 48}), service_(world_.engine()), daemon_(std::make_unique<Daemon>(service_)) {
    start(1);
    daemon_->hello(ipc::TunnelHello::PPP);
  }
  void start(std::uint32_t generation) {
    world_.apply(generation, {kVpnToServers, {.id = 12, .sources = {"10.0.0.0/28", "fd00:0:0:1::/64"}, .destination_zones = kVpnZone}},
                 {.rules_b = {{.id = 201}}, .edit = add_tunnels});
  }
  std::string open(std::uint32_t number, std::uint32_t mtu = 1400, const char* lease = kLease4, std::uint32_t tenant = kTenantA,
                   std::uint32_t port = kTunnelPortA) {
    ipc::ToTunnels request;
    ipc::OpenTunnel& open = *request.mutable_open_tunnel();
    open.set_tunnel(number);
    open.set_tenant(tenant);
    open.set_tunnel_port(port);
    open.set_user(tenant == kTenantA ? kUserA : kUserB);
    open.set_ring(true);
    open.set_ring_mtu(mtu);
    open.add_leases(bytes_of(address(lease)));
    if (tenant == kTenantA && std::string_view(lease) == kLease4) open.add_leases(bytes_of(address(kLease6)));
    return daemon_->ask(request).refused().reason();
  }
  void say(const Frame& inner, std::uint32_t tunnel = kPppFirst, std::uint32_t tenant = kTenantA, std::uint32_t port = kTunnelPortA) {
    DatagramHead head;
    head.tenant = tenant;
    head.port = port;
    head.tunnel = tunnel;
    head.local = head.remote = Address::from_v4(0);
    ASSERT_TRUE(daemon_->inject->push(head, std::array{ByteSpan(inner).subspan(14)}));
    world_.settle();
  }
  static Frame question(const char* from = kLease4, const char* to = "10.0.0.2", unsigned port = 53) {
    return ip({}, from, to).udp(40000, port).payload(100).build();
  }

  dataplane::TunnelService service_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_P(PathRing, APacketOutOfTheTunnelIsItsUsersAndTheAnswerGoesBackIn) {
  ASSERT_EQ(open(kPppFirst), "");
  say(question());
  ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(100).build());
  const auto punted = daemon_->punted();
  ASSERT_EQ(punted.size(), 1U);
  const auto& [head, packet] = punted.front();
  EXPECT_EQ(head.tunnel, kPppFirst);
  EXPECT_EQ(head.tenant, kTenantA);
  EXPECT_EQ(head.port, kTunnelPortA);
  EXPECT_EQ(packet.size(), 128U);
  EXPECT_EQ(packet[8], 63) << "a hop was counted";
}

TEST_P(PathRing, Ipv6LikeIpv4) {
  ASSERT_EQ(open(kPppFirst), "");
  say(question(kLease6, "fd00:0:0:1::2"));
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  world_.inject(kServerNic, server("fd00:0:0:1::2", kLease6).udp(53, 40000).payload(100).build());
  EXPECT_EQ(daemon_->punted().size(), 1U);
}

TEST_P(PathRing, RulesJudgeBothWays) {
  ASSERT_EQ(open(kPppFirst), "");
  say(question(kLease4, "10.0.0.2", 54));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 1U);
}

TEST_P(PathRing, ASourceThatIsNoLeaseOfTheTunnelIsSpoofed) {
  ASSERT_EQ(open(kPppFirst), "");
  ASSERT_EQ(open(kPppFirst + 1, 1400, "10.9.0.6"), "");
  say(question("10.9.0.7"));                    // nobody's
  say(question("10.9.0.6"));                    // another tunnel's
  say(question(), kPppFirst + 1);               // through another tunnel
  EXPECT_EQ(drops(DropReason::kVpnInnerSpoof), 3U);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  say(question("10.9.0.6"), kPppFirst + 1);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U) << "the nearest one that may";
}

TEST_P(PathRing, AnotherTenantsTunnelAndPortAreNotIts) {
  ASSERT_EQ(open(kPppFirst), "");
  ASSERT_EQ(open(kPppFirst + 1, 1400, kLease4, kTenantB, kTunnelPortB), "");
  say(question(), kPppFirst, kTenantB, kTunnelPortB);
  EXPECT_EQ(drops(DropReason::kVpnInnerSpoof), 1U);
  say(question(), kPppFirst, kTenantB, kTunnelPortA);  // no Port of that tenant
  say(question(), kPppFirst, kTenantA, kTunnelPortB);
  say(question(), tunnel_number(KeyingDaemon::kIkeV2, 1));  // another daemon's number
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathRing, AnotherDaemonsTunnelIsNotIts) {
  Daemon other(service_);
  other.hello();
  ipc::ToTunnels request;
  ipc::OpenTunnel& tunnel = *request.mutable_open_tunnel();
  tunnel.set_tunnel(tunnel_number(KeyingDaemon::kIkeV2, 5));
  tunnel.set_tenant(kTenantA);
  tunnel.set_tunnel_port(kTunnelPortA);
  tunnel.set_user(kUserA);
  tunnel.add_leases(bytes_of(address(kLease4)));
  ASSERT_EQ(other.ask(request).refused().reason(), "");
  say(question(), tunnel_number(KeyingDaemon::kIkeV2, 5));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathRing, WhatIsNoPacketIsMalformed) {
  ASSERT_EQ(open(kPppFirst), "");
  Frame cut = question();
  cut.resize(14 + 30);
  say(cut);
  Frame version = question();
  version[14] = 0x75;
  say(version);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathRing, NothingPassesAfterItsEnd) {
  ASSERT_EQ(open(kPppFirst), "");
  say(question());
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  ipc::ToTunnels request;
  request.mutable_close_tunnel()->set_tunnel(kPppFirst);
  EXPECT_EQ(daemon_->ask(request).refused().reason(), "");
  say(question());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).build());
  EXPECT_TRUE(daemon_->punted().empty());
}

TEST_P(PathRing, WithoutItsDaemonATunnelIsOver) {
  ASSERT_EQ(open(kPppFirst), "");
  daemon_->leave();
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).build());
  EXPECT_EQ(drops(DropReason::kVpnRingFull), 1U) << "nobody takes it";
  service_.tick();
  world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40001).build());
  EXPECT_EQ(drops(DropReason::kVpnNoLease), 1U);
}

TEST_P(PathRing, AFullRingDropsByNameAndNobodyWaits) {
  ASSERT_EQ(open(kPppFirst), "");
  for (int i = 0; i < 1200; ++i) {
    world_.inject(kServerNic, server("10.0.0.2", kLease4).udp(53, 40000).payload(1200).build());
  }
  EXPECT_GT(drops(DropReason::kVpnRingFull), 0U);
  EXPECT_GT(daemon_->punted().size(), 500U);
}

TEST_P(PathRing, WhatIsLongerThanItsUserTakesIsCutOrAnswered) {
  ASSERT_EQ(open(kPppFirst, 1300), "");
  const auto long_one = [this](unsigned fragment) {
    return on_server(kTenantA).ipv4("10.0.0.2", kLease4, {.fragment = fragment}).udp(53, 40000).payload(1300).build();
  };
  world_.inject(kServerNic, long_one(0));
  const auto punted = daemon_->punted();
  ASSERT_EQ(punted.size(), 2U);
  for (const auto& [head, packet] : punted) EXPECT_LE(packet.size(), 1300U);
  EXPECT_EQ(drops(DropReason::kTooBig), 0U);
  world_.inject(kServerNic, long_one(0x4000));  // DF
  EXPECT_TRUE(daemon_->punted().empty());
  EXPECT_EQ(drops(DropReason::kTooBig), 1U);
}

TEST_P(PathRing, TunnelsNarrowerOrWiderThanPppCanBeAreRefused) {
  EXPECT_NE(open(kPppFirst, 575), "");
  EXPECT_NE(open(kPppFirst, 4092), "");
  EXPECT_EQ(open(kPppFirst, 576), "");
}

SEKISHO_PATH_WORKERS(PathRing);

}  // namespace
}  // namespace sekisho::tests
