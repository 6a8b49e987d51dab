// SPDX-License-Identifier: Apache-2.0
// Goal: a rule of user groups takes what a user of one of them sends through his tunnel, and nothing else; and what a commit
// says of users, groups and rules reaches the sessions of live tunnels. Method: the whole data plane on ring ports, SAs and
// leases entered by hand; the users' end is another SA table. One and two workers, and one whose cards sum.
#include <gtest/gtest.h>

#include "dataplane/explain/explain.h"
#include "dataplane/tunnel/esp_path.h"
#include "tests/path/path_test.h"
#include "tests/support/eal.h"

namespace sekisho::tests {
namespace {

using dataplane::EspOutcome;
using dataplane::SaConfig;
using dataplane::SaDirection;
using dataplane::SaTable;
using filters::DropReason;
namespace snapshot = filters::snapshot;

constexpr std::uint32_t kTunnelPort = 21;
constexpr std::uint64_t kSales = 1, kLeaving = 2, kSystems = 4;
constexpr const char* kGateway = "203.0.113.18";
constexpr const char* kPeer = "198.51.100.9";
constexpr const char* kServer4 = "10.0.0.2";
constexpr const char* kServer6 = "fd00:0:0:1::2";

struct UserText {
  std::uint32_t id;
  std::uint64_t groups;
};
/// Whom a rule is for.
struct ForGroups {
  std::uint32_t rule;
  std::uint64_t groups;
};

/// A zone "vpn" with a tunnel Port, a gateway on the share, users, and rules for some of them.
void add_users(filters::SnapshotBuilder& builder, const std::vector<UserText>& users, const std::vector<ForGroups>& rules) {
  snapshot::Tenant& tenant = builder.tenants[0];
  builder.zones.push_back({builder.string("vpn")});
  snapshot::Port port{};
  port.id = kTunnelPort;
  port.kind = snapshot::PortKind::kTunnel;
  port.nic = port.uplink = port.binding = snapshot::kNone;
  port.zone = static_cast<std::uint8_t>(tenant.zones.count++);
  port.mtu = 1400;
  port.name = builder.string("tunnels");
  port.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), 0};
  const auto index = static_cast<std::uint32_t>(builder.ports.size());
  builder.ports.push_back(port);
  for (const char* prefix : {"10.9.0.0/24", "fd00:9::/64"}) builder.routes.push_back({parse_prefix(prefix).value(), 0, 0, index, {}, {}});
  tenant.routes.count += 2;
  builder.gateways.push_back({address(kGateway), {}, 0, 2, index, 0, 0});
  for (const UserText& user : users) builder.users.push_back({user.id, 0, user.groups});
  for (const ForGroups& of : rules) {
    for (snapshot::Rule& rule : builder.rules) {
      if (rule.id == of.rule) rule.user_groups = of.groups;
    }
  }
}

rte_mempool* user_pool() {
  static rte_mempool* const made = (ensure_eal(), rte_pktmbuf_pool_create("rule-users", 255, 0, sizeof(filters::PacketMeta),
                                                                          RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY));
  return made;
}

class PathUserRules : public PathTest {
 protected:
  PathUserRules() : PathTest({.tunnels = 8}) {}

  void start(const std::vector<UserText>& users, const std::vector<RuleText>& rules, const std::vector<ForGroups>& of, std::uint32_t generation = 1) {
    const auto edit = [&](filters::SnapshotBuilder& builder) { add_users(builder, users, of); };
    world_.apply(generation, rules, {.tenant_b = false, .rules_b = {}, .edit = edit});
    if (generation == 1) make_tunnel();
  }
  /// One pair of SAs that every user's packets may come by.
  void make_tunnel() {
    auto& sas = *world_.engine().shard(0).tunnels_here.sas;
    config_.tenant = kTenantA;
    config_.tunnel = 1;
    config_.port = kTunnelPort;
    config_.suite = {filters::EspCipher::kAes128Gcm, filters::EspIntegrity::kAead};
    config_.cipher_key = key_;
    config_.in_udp = true;
    config_.local = {address(kGateway), 4500};
    config_.peer = {address(kPeer), 61234};
    config_.inner_local = config_.inner_remote = everything_;
    config_.spi = sas.allocate_spi().value();
    ASSERT_TRUE(sas.install(config_, 0));
    config_.direction = SaDirection::kOutbound;
    config_.tenant = 1;
    std::swap(config_.local, config_.peer);
    outbound_ = table_->install(config_, 0).value();
  }
  void lease(const char* who, std::uint32_t user, std::uint32_t tenant = kTenantA) {
    ASSERT_TRUE(world_.engine().leases().set(tenant, address(who), {.tunnel = 1, .user = user, .port = kTunnelPort, .outbound = 0, .inner_mtu = 0}));
  }
  /// A SYN of a user on its way through the tunnel. True: it reached the server.
  bool reaches(const char* from, unsigned source_port, unsigned port = 443) {
    const bool ipv6 = std::string_view(from).find(':') != std::string_view::npos;
    return send(ip({}, from, ipv6 ? kServer6 : kServer4).tcp(source_port, port, {.flags = filters::kTcpSyn}).build());
  }
  bool send(const Frame& inner) {
    rte_mbuf* packet = rte_pktmbuf_alloc(user_pool());
    std::copy(inner.begin(), inner.end(), reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(packet, static_cast<std::uint16_t>(inner.size()))));
    filters::PacketMeta& meta = dataplane::meta_of(packet);
    meta = {};
    EXPECT_EQ(filters::decode(dataplane::frame_of(packet), packet->pkt_len, {}, meta), DropReason::kNone);
    meta.tenant = 1;
    EspOutcome outcome;
    dataplane::seal_burst(*table_, {&packet, 1}, {&outbound_, 1}, 0, {&outcome, 1});
    Frame out{dataplane::frame_of(packet).begin(), dataplane::frame_of(packet).end()};
    rte_pktmbuf_free(packet);
    const Mac gateway = world_.gateway(kUplinkNic);
    std::copy(gateway.bytes.begin(), gateway.bytes.end(), out.begin());
    std::copy(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), out.begin() + 6);
    world_.inject(kUplinkNic, out);
    return world_.collect(kServerNic).size() == 1;
  }

  const std::vector<std::uint8_t> key_ = std::vector<std::uint8_t>(20, 0x5a);
  const std::vector<Prefix> everything_{parse_prefix("0.0.0.0/0").value(), parse_prefix("::/0").value()};
  SaConfig config_;
  std::unique_ptr<SaTable> table_ = std::move(SaTable::create(0, 16, 3)).value();
  std::uint32_t outbound_ = 0;
};
SEKISHO_PATH_WORKERS(PathUserRules);

const RuleText kSalesToServers{.id = 11, .protocol = 6, .port_low = 443, .port_high = 443};

TEST_P(PathUserRules, ARuleOfAGroupTakesItsUsersAndNobodyElse) {
  start({{5, kSales}, {6, kSystems}, {7, kSales | kSystems}}, {kSalesToServers}, {{11, kSales}});
  lease("10.9.0.5", 5);
  lease("10.9.0.6", 6);
  lease("10.9.0.7", 7);
  lease("10.9.0.8", 0);
  lease("10.9.0.9", 99);
  lease("fd00:9::5", 5);
  lease("fd00:9::6", 6);
  EXPECT_TRUE(reaches("10.9.0.5", 40000));
  EXPECT_TRUE(reaches("10.9.0.7", 40000));
  EXPECT_TRUE(reaches("fd00:9::5", 40000));
  EXPECT_EQ(world_.drops(DropReason::kDefaultDeny), 0U);
  EXPECT_FALSE(reaches("10.9.0.5", 40001, 444)) << "another service";
  EXPECT_FALSE(reaches("10.9.0.6", 40000)) << "of another group";
  EXPECT_FALSE(reaches("fd00:9::6", 40000));
  EXPECT_FALSE(reaches("10.9.0.8", 40000)) << "of a user the configuration does not name";
  EXPECT_FALSE(reaches("10.9.0.9", 40000)) << "of a user that is gone";
  EXPECT_EQ(world_.drops(DropReason::kDefaultDeny), 5U);
  EXPECT_EQ(world_.sessions(), 3U);
}

TEST_P(PathUserRules, WhoComesInByAnotherPortIsInNoGroupWhateverItsAddress) {
  start({{5, kSales}}, {kSalesToServers}, {{11, kSales}});
  lease("10.0.0.34", 5);  // an address of the office
  world_.inject(kClientNic, client("10.0.0.34", kServer4).tcp(40000, 443, {.flags = filters::kTcpSyn}).build());
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(world_.drops(DropReason::kDefaultDeny), 1U);
}

TEST_P(PathUserRules, ADenyOfAGroupStandsAboveWhatItsOtherGroupMay) {
  start({{5, kSales}, {7, kSales | kLeaving}}, {{.id = 10, .action = snapshot::Action::kDrop}, kSalesToServers}, {{10, kLeaving}, {11, kSales}});
  lease("10.9.0.5", 5);
  lease("10.9.0.7", 7);
  EXPECT_TRUE(reaches("10.9.0.5", 40000));
  EXPECT_FALSE(reaches("10.9.0.7", 40000));
}

TEST_P(PathUserRules, AGroupTakenFromAUserEndsItsLiveSessionsAndNoOthers) {
  start({{5, kSales}, {6, kSales}}, {kSalesToServers}, {{11, kSales}});
  lease("10.9.0.5", 5);
  lease("10.9.0.6", 6);
  ASSERT_TRUE(reaches("10.9.0.5", 40000));
  ASSERT_TRUE(reaches("10.9.0.6", 40000));
  world_.records();
  start({{5, 0}, {6, kSales}}, {kSalesToServers}, {{11, kSales}}, 2);
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 1U) << "though nothing was sent";
  std::uint32_t ended = 0;
  for (const auto& record : world_.records()) {
    if (record.envelope.kind != LogKind::kComm || record.comm.phase != CommPhase::kEnd) continue;
    ++ended;
    EXPECT_EQ(record.comm.end_reason, EndReason::kPolicy);
  }
  EXPECT_EQ(ended, 1U);
  EXPECT_FALSE(reaches("10.9.0.5", 40000));
  EXPECT_TRUE(reaches("10.9.0.6", 40001));
}

TEST_P(PathUserRules, TheNextPacketAfterACommitIsJudgedByTheGroupsOfNow) {
  start({{5, kSales}}, {kSalesToServers}, {{11, kSales}});
  lease("10.9.0.5", 5);
  ASSERT_TRUE(reaches("10.9.0.5", 40000));
  start({{5, kSystems}}, {kSalesToServers}, {{11, kSales | kSystems}}, 2);
  EXPECT_TRUE(reaches("10.9.0.5", 40000)) << "the rule takes its new group";
  EXPECT_EQ(world_.sessions(), 1U);
  start({{5, kSystems}}, {kSalesToServers}, {{11, kSales}}, 3);
  EXPECT_FALSE(reaches("10.9.0.5", 40000));
  EXPECT_GE(world_.drops(DropReason::kPolicyChanged) + world_.drops(DropReason::kDefaultDeny), 1U);
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathUserRules, ExplainSaysWhatAUsersPacketWouldMeetWithAndWithoutItsTunnel) {
  start({{5, kSales}, {6, kSystems}}, {kSalesToServers}, {{11, kSales}});
  lease("10.9.0.5", 5);
  dataplane::explain::Description packet{.source = address("10.9.0.5"), .destination = address(kServer4), .protocol = 6, .source_port = 40000,
                                         .destination_port = 443, .tcp_flags = filters::kTcpSyn};
  const dataplane::Runtime& runtime = *world_.engine().runtime();
  const std::uint32_t port = dataplane::explain::port_index(runtime, kTunnelPort);
  const auto asked = [&] { return dataplane::explain::explain(world_.engine(), {runtime, world_.engine().slots()}, packet, port).value(); };
  EXPECT_EQ(asked().verdict, "allow");
  EXPECT_EQ(asked().rule, "inside/rule 11");
  packet.user = 6;
  EXPECT_EQ(asked().verdict, "drop") << "as if another had the address";
  EXPECT_EQ(asked().reason, DropReason::kDefaultDeny);
  packet.source = address("10.9.0.77");
  packet.user = 5;
  EXPECT_EQ(asked().verdict, "allow") << "as if he had this address";
  packet.user.reset();
  EXPECT_EQ(asked().reason, DropReason::kVpnNoLease);
  EXPECT_EQ(world_.sessions(), 0U);
  EXPECT_FALSE(world_.engine().leases().find(kTenantA, address("10.9.0.77")).has_value());
  EXPECT_EQ(world_.engine().leases().find(kTenantA, address("10.9.0.5"))->user, 5U);
}

}  // namespace
}  // namespace sekisho::tests
