// SPDX-License-Identifier: Apache-2.0
// Goal: a service's own timeouts hold for the sessions its rule takes by it, and for no others. Method: sessions fall silent
// for a while; whether they are still there is seen by counting them.
#include "tests/path/path_test.h"
#include "tests/support/nat.h"

namespace sekisho::tests {
namespace {

using filters::kTcpAck;
using filters::kTcpSyn;
using std::chrono::seconds;
namespace snapshot = filters::snapshot;

struct Ends {
  const char* client;
  const char* server;
};
constexpr Ends kEnds4{"10.0.0.34", "10.0.0.2"};
constexpr Ends kEnds6{"fd00:0:0:2::2", "fd00:0:0:1::2"};

class PathTimeouts : public PathTest {
 protected:
  /// Rule 0 names one service, whose timeouts these are; rule 1 takes all else as ever.
  void apply(int protocol, std::uint16_t port, std::uint32_t timeout, std::uint32_t first) {
    const RuleText timed{.id = 11, .protocol = protocol, .port_low = port, .port_high = port};
    world_.apply(++generation_, {timed, {.id = 12}}, {.edit = [=](filters::SnapshotBuilder& b) {
                   b.service_timeouts.push_back({.service = b.rules[0].services.first, .seconds = timeout, .first = first});
                 }});
  }
  void apply_icmp(std::uint32_t timeout) {
    world_.apply(++generation_, {{.id = 11, .protocol = 1}, {.id = 12}}, {.edit = [=](filters::SnapshotBuilder& b) {
                   b.service_timeouts.push_back({.service = b.rules[0].services.first, .seconds = timeout, .first = 0});
                 }});
  }
  void ask(const Ends& ends, std::uint16_t port) { world_.inject(kClientNic, client(ends.client, ends.server).udp(5000, port).build()); }
  void answer(const Ends& ends, std::uint16_t port) { world_.inject(kServerNic, server(ends.server, ends.client).udp(port, 5000).build()); }
  std::uint64_t sessions_after(int silent) {
    world_.pass(seconds(silent));
    collect_all();
    return world_.sessions();
  }
  std::uint32_t generation_ = 0;
};
SEKISHO_PATH_WORKERS(PathTimeouts);

TEST_P(PathTimeouts, UdpBeforeAndAfterTheFirstAnswerEachHasItsOwn) {
  apply(17, 53, 20, 6);
  for (const Ends& ends : {kEnds4, kEnds6}) ask(ends, 53), ask(ends, 54);
  EXPECT_EQ(sessions_after(5), 4U);
  EXPECT_EQ(sessions_after(2), 2U) << "the neighbours on port 54 have 30 seconds";
  EXPECT_EQ(sessions_after(30), 0U);
  for (const Ends& ends : {kEnds4, kEnds6}) ask(ends, 53), answer(ends, 53), ask(ends, 54), answer(ends, 54);
  EXPECT_EQ(sessions_after(18), 4U);
  EXPECT_EQ(sessions_after(4), 2U);
  EXPECT_EQ(sessions_after(150), 2U);
  EXPECT_EQ(sessions_after(20), 0U);
}

TEST_P(PathTimeouts, EstablishedTcpHasTheServicesOwnAndOneThatOpensHasNot) {
  apply(6, 80, 10, 0);
  const auto handshake = [&](std::uint16_t port) {
    world_.inject(kClientNic, client(kEnds4.client, kEnds4.server).tcp(40000, port, {.flags = kTcpSyn, .sequence = 1}).build());
    world_.inject(kServerNic, server(kEnds4.server, kEnds4.client).tcp(port, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 9, .acknowledgement = 2}).build());
    world_.inject(kClientNic, client(kEnds4.client, kEnds4.server).tcp(40000, port, {.flags = kTcpAck, .sequence = 2, .acknowledgement = 10}).build());
  };
  handshake(80);
  handshake(81);
  world_.inject(kClientNic, client(kEnds4.client, kEnds4.server).tcp(40001, 80, {.flags = kTcpSyn, .sequence = 1}).build());
  EXPECT_EQ(sessions_after(9), 3U);
  EXPECT_EQ(sessions_after(2), 2U) << "a connection that opens keeps the protocol's";
  EXPECT_EQ(sessions_after(200), 1U) << "port 81";
}

TEST_P(PathTimeouts, EchoHasOneTimeout) {
  apply_icmp(40);
  world_.inject(kClientNic, client(kEnds4.client, kEnds4.server).echo().build());
  world_.inject(kClientNic, client(kEnds6.client, kEnds6.server).echo().build());  // icmpv6 is another protocol
  EXPECT_EQ(sessions_after(12), 1U);
  EXPECT_EQ(sessions_after(26), 1U);
  EXPECT_EQ(sessions_after(4), 0U);
}

TEST_P(PathTimeouts, ACommitGivesLivingSessionsTheTimeoutsOfTheirRuleThen) {
  apply(17, 53, 0, 0);
  ask(kEnds4, 53), answer(kEnds4, 53);
  apply(17, 53, 10, 5);
  EXPECT_EQ(sessions_after(8), 1U);
  EXPECT_EQ(sessions_after(4), 0U);
  ask(kEnds4, 53), answer(kEnds4, 53);
  apply(17, 54, 10, 5);  // its rule takes it no longer, another one does
  EXPECT_EQ(sessions_after(100), 1U);
}

TEST_P(PathTimeouts, WhatTheAdministratorSaysHoldsForTranslatedSessionsToo) {
  const RuleText timed{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53};
  world_.apply(1, {timed, {.id = 12}}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.service_timeouts.push_back({.service = b.rules[0].services.first, .seconds = 20, .first = 10});
                 add_nat(b, 0, {.kind = snapshot::NatKind::kDnat, .destinations = {"203.0.113.21"}, .translated = {"10.0.0.2"}});
               }});
  for (const unsigned port : {53U, 54U}) world_.inject(kUplinkNic, outside("198.51.100.9", "203.0.113.21").udp(5000, port).build());
  ASSERT_EQ(world_.sessions(), 2U);
  EXPECT_EQ(sessions_after(12), 1U) << "port 54 has the two minutes of RFC 4787";
  EXPECT_EQ(sessions_after(100), 1U);
}

}  // namespace
}  // namespace sekisho::tests
