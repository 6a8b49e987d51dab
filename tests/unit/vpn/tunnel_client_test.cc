// SPDX-License-Identifier: Apache-2.0
// Goal: the edge to the data plane, and what is written down of tunnels across crashes of either side. Method: the data plane is
// played over the real socket; a thread answers, the test looks at what it was asked.
#include "vpn/tunnel_client.h"

#include "tests/unit/vpn/neighbours.h"

namespace sekisho::vpn {
namespace {

using namespace test;

class TunnelClientTest : public testing::Test {
 protected:
  TunnelClientTest() { expect<DataplaneFound>(); }

  template <typename Signal>
  Signal expect() {
    std::optional<Signal> found;
    until([&] {
      for (TunnelSignal& one : client_.take_signals()) seen_.push_back(std::move(one));
      const auto at = std::find_if(seen_.begin(), seen_.end(), [](const TunnelSignal& one) { return std::holds_alternative<Signal>(one); });
      if (at == seen_.end()) return found.has_value();
      found = std::get<Signal>(*at);
      seen_.erase(at);
      return true;
    });
    return found.value_or(Signal{});
  }
  template <typename Signal>
  bool none() {
    for (TunnelSignal& one : client_.take_signals()) seen_.push_back(std::move(one));
    return std::none_of(seen_.begin(), seen_.end(), [](const TunnelSignal& one) { return std::holds_alternative<Signal>(one); });
  }
  /// A session with an SA each way; the number of its tunnel.
  std::uint32_t come_in(std::uint64_t id) {
    Session session;
    session.id = id;
    session.path = path();
    session.leases = {Address::from_v4(0x0a630001 + static_cast<std::uint32_t>(id))};
    const auto spi = client_.allocate_spi(path());
    EXPECT_TRUE(spi.has_value());
    const std::array inner{Selector{session.leases[0], session.leases[0], 0, 0, 65535}};
    for (const bool inbound : {true, false}) {
      SaParameters sa;
      sa.path = path();
      sa.session = &session;
      sa.spi = inbound ? spi.value_or(0) : 77 + static_cast<std::uint32_t>(id);
      sa.beside_spi = inbound ? 0 : spi.value_or(0);
      sa.inbound = inbound;
      sa.local = sa.remote = inner;
      EXPECT_TRUE(client_.install(sa));
    }
    return dataplane_.requests(ipc::ToTunnels::kOpenTunnel).back().open_tunnel().tunnel();
  }
  static Path path() { return {1, 7, {Address::from_v4(0xc0000201), 4500}, {Address::from_v4(0xc000020a), 4500}}; }
  static ipc::TunnelEvent gone(std::uint32_t tunnel, ipc::TunnelGone::Why why, const std::string& note = "note") {
    ipc::TunnelEvent out;
    auto& body = *out.mutable_gone();
    body.set_tunnel(tunnel), body.set_tenant(1), body.set_why(why), body.set_note(note), body.set_bytes_in(55);
    return out;
  }

  Dataplane dataplane_;
  TunnelClient client_{KeyingDaemon::kPpp, dataplane_.path(), [](const Session&) { return TunnelOwner{41, 9, {1, 2, 3}}; }};
  std::vector<TunnelSignal> seen_;
};

TEST_F(TunnelClientTest, AClosedTunnelIsKeptByTheDataPlaneUntilItIsForgotten) {
  const std::uint32_t number = come_in(1);
  EXPECT_EQ(client_.totals(1)->bytes_in, 100U);
  const auto closed = client_.close(1);
  ASSERT_TRUE(closed.has_value());
  EXPECT_EQ(closed->tunnel, number);
  EXPECT_EQ(closed->totals.bytes_in, 100U);
  EXPECT_EQ(closed->totals.packets_out, 3U);
  const auto asked = dataplane_.requests(ipc::ToTunnels::kCloseTunnel);
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_TRUE(asked[0].close_tunnel().keep());
  client_.forget(number);
  until([this] { return dataplane_.asked(ipc::ToTunnels::kCloseTunnel) == 2; });
  EXPECT_FALSE(dataplane_.requests(ipc::ToTunnels::kCloseTunnel)[1].close_tunnel().keep());
  EXPECT_FALSE(client_.close(1).has_value());
}

TEST_F(TunnelClientTest, WhatWasCutIsClosedOnceAndSaysWhatItCarried) {
  come_in(1);
  client_.cut(1);
  client_.cut(1);
  EXPECT_EQ(client_.close(1)->totals.bytes_in, 100U);
  EXPECT_EQ(dataplane_.asked(ipc::ToTunnels::kCloseTunnel), 1U);
}

TEST_F(TunnelClientTest, ATunnelTheDataPlaneEndsIsTheSessionsAndTellsWhatItCarried) {
  const std::uint32_t number = come_in(1);
  dataplane_.tell(gone(number, ipc::TunnelGone::PORT_GONE));
  const auto told = expect<SessionTunnelGone>();
  EXPECT_EQ(told.session, 1U);
  EXPECT_EQ(told.why, SessionTunnelGone::Why::kPortGone);
  EXPECT_EQ(client_.close(1)->totals.bytes_in, 55U);
  EXPECT_EQ(dataplane_.asked(ipc::ToTunnels::kCloseTunnel), 0U);
  dataplane_.tell(gone(number, ipc::TunnelGone::PORT_GONE));  // again, behind its close: ours, and over
  dataplane_.tell(gone(number + 1, ipc::TunnelGone::LIMITS));
  EXPECT_EQ(expect<LeftTunnelGone>().tunnel.tunnel, number + 1);
  EXPECT_TRUE(none<SessionTunnelGone>());
}

TEST_F(TunnelClientTest, WhatADaemonBeforeLeftIsToldWithItsNoteAlsoWhenItEndedBefore) {
  dataplane_.leave(500, "left");
  dataplane_.drop();
  expect<DataplaneLost>();
  expect<DataplaneFound>();
  const auto left = expect<LeftTunnel>();
  EXPECT_EQ(left.tunnel, 500U);
  EXPECT_EQ(left.note, (std::vector<std::uint8_t>{'l', 'e', 'f', 't'}));
  dataplane_.tell(gone(501, ipc::TunnelGone::CLOSED, "closed"));  // the daemon before had closed it, and nobody has its record
  const auto ended = expect<LeftTunnelGone>();
  EXPECT_EQ(ended.tunnel.tunnel, 501U);
  EXPECT_EQ(ended.why, SessionTunnelGone::Why::kClosed);
  EXPECT_EQ(ended.totals.bytes_in, 55U);
  EXPECT_EQ(ended.tunnel.note, (std::vector<std::uint8_t>{'c', 'l', 'o', 's', 'e', 'd'}));
  EXPECT_EQ(client_.close_left(500)->bytes_in, 100U);
  dataplane_.tell(gone(500, ipc::TunnelGone::LIMITS));
  dataplane_.tell(gone(502, ipc::TunnelGone::LIMITS));
  EXPECT_EQ(expect<LeftTunnelGone>().tunnel.tunnel, 502U) << "the other is ours to tell since we closed it";
}

TEST_F(TunnelClientTest, ItsOwnTunnelsOfBeforeALostConnectionAreNobodysAndClosed) {
  const std::uint32_t number = come_in(1);
  dataplane_.leave(number, "own");
  dataplane_.drop();
  expect<DataplaneLost>();
  expect<DataplaneFound>();
  until([this] { return dataplane_.asked(ipc::ToTunnels::kCloseTunnel) == 1; });
  dataplane_.tell(gone(number, ipc::TunnelGone::CLOSED));
  dataplane_.tell(gone(number + 1, ipc::TunnelGone::CLOSED));
  EXPECT_EQ(expect<LeftTunnelGone>().tunnel.tunnel, number + 1);
  EXPECT_TRUE(none<LeftTunnel>());
  EXPECT_EQ(client_.close(1)->totals.bytes_in, 0U);
}

TEST_F(TunnelClientTest, ARefusalOrAMessageThatIsNoneOpensNothing) {
  dataplane_.refusing = true;
  EXPECT_FALSE(client_.allocate_spi(path()));
  dataplane_.refusing = false;
  EXPECT_TRUE(client_.allocate_spi(path()));
  dataplane_.send("\xff\xff\xff");
  expect<DataplaneLost>();
  expect<DataplaneFound>();
  come_in(2);
}

TEST_F(TunnelClientTest, ItSaysWhichDaemonItIsAndNumbersItsTunnelsAccordingly) {
  EXPECT_EQ(dataplane_.requests(ipc::ToTunnels::kHello)[0].hello().kind(), ipc::TunnelHello::PPP);
  const std::uint32_t one = come_in(1);
  const std::uint32_t two = come_in(2);
  EXPECT_TRUE(may_number(KeyingDaemon::kPpp, one));
  EXPECT_TRUE(may_number(KeyingDaemon::kPpp, two));
  EXPECT_FALSE(may_number(KeyingDaemon::kIkeV2, two));
  EXPECT_NE(one, two);
}

TEST_F(TunnelClientTest, WhatSessionsOfOtherDaemonsHoldIsToldInOrder) {
  ipc::TunnelEvent event;
  for (const bool held : {true, false}) {
    auto& one = *event.mutable_foreign_leases()->add_leases();
    one.set_tenant(3), one.set_address(std::string("\x0a\x09\x00\x05", 4)), one.set_held(held);
  }
  event.mutable_foreign_leases()->add_leases()->set_address("no address");
  dataplane_.tell(event);
  dataplane_.tell(gone(1, ipc::TunnelGone::LIMITS));
  expect<LeftTunnelGone>();
  ASSERT_EQ(seen_.size(), 2U) << "what is no address is none";
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& one = std::get<ForeignLease>(seen_[i]);
    EXPECT_EQ(one.tenant, 3U);
    EXPECT_EQ(one.address, Address::from_v4(0x0a090005));
    EXPECT_EQ(one.held, i == 0);
  }
}

TEST_F(TunnelClientTest, AMoveAndALimitAreToldOfKnownSasAlone) {
  come_in(1);
  const std::uint32_t spi = dataplane_.requests(ipc::ToTunnels::kInstallSa)[0].install_sa().spi();
  ipc::TunnelEvent moved;
  moved.mutable_moved()->set_spi(spi + 1000);
  moved.mutable_moved()->set_remote(std::string("\xcb\x00\x71\x01", 4));
  moved.mutable_moved()->set_remote_port(4501);
  dataplane_.tell(moved);
  moved.mutable_moved()->set_spi(spi);
  moved.mutable_moved()->set_remote("12345");
  dataplane_.tell(moved);
  moved.mutable_moved()->set_remote(std::string("\xcb\x00\x71\x02", 4));
  dataplane_.tell(moved);
  const auto told = expect<PeerMovedTo>();
  EXPECT_EQ(told.spi, spi);
  EXPECT_EQ(told.remote, (Endpoint{Address::from_v4(0xcb007102), 4501}));
  ipc::TunnelEvent limit;
  limit.mutable_limit()->set_spi(spi + 1000), limit.mutable_limit()->set_inbound(true);
  dataplane_.tell(limit);
  limit.mutable_limit()->set_spi(spi), limit.mutable_limit()->set_hard(true);
  dataplane_.tell(limit);
  const auto reached = expect<SaLimitReached>();
  EXPECT_EQ(reached.spi, spi);
  EXPECT_TRUE(reached.hard);
}

TEST_F(TunnelClientTest, IkeV1OpensCarriersForSasOfL2tpAndForNothingElse) {
  Dataplane dataplane;
  TunnelClient client(KeyingDaemon::kIkeV1, dataplane.path(), [](const Session& one) {
    return TunnelOwner{.note = {one.correlation.begin(), one.correlation.end()}};
  });
  until([&] { return dataplane.asked(ipc::ToTunnels::kHello) == 1 && client.allocate_spi(path()).has_value(); });
  Session session;
  session.id = 1, session.path = path(), session.correlation = "spis";
  const auto install = [&](bool tunnel, std::uint8_t protocol, std::uint16_t port) {
    const auto spi = client.allocate_spi(path());
    const std::array local{Selector{path().local.address, path().local.address, protocol, port, port}};
    const std::array remote{Selector{path().remote.address, path().remote.address, protocol, 0, 65535}};
    SaParameters sa;
    sa.path = path(), sa.session = &session, sa.spi = spi.value_or(0), sa.inbound = true, sa.tunnel = tunnel;
    sa.local = local, sa.remote = remote;
    return client.install(sa);
  };
  EXPECT_FALSE(install(false, 17, 1702));
  EXPECT_FALSE(install(false, 6, 1701));
  EXPECT_FALSE(install(false, 0, 1701));
  EXPECT_FALSE(install(true, 0, 0));
  EXPECT_EQ(dataplane.asked(ipc::ToTunnels::kOpenTunnel), 0U);
  EXPECT_TRUE(install(false, 17, 1701));
  const auto opened = dataplane.requests(ipc::ToTunnels::kOpenTunnel);
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_TRUE(opened[0].open_tunnel().carrier());
  EXPECT_TRUE(may_number(KeyingDaemon::kIkeV1, opened[0].open_tunnel().tunnel()));
  EXPECT_EQ(opened[0].open_tunnel().leases_size(), 0);
  EXPECT_EQ(opened[0].open_tunnel().note(), "spis");
  const auto installed = dataplane.requests(ipc::ToTunnels::kInstallSa);
  ASSERT_EQ(installed.size(), 1U);
  EXPECT_TRUE(installed[0].install_sa().transport());
  EXPECT_EQ(installed[0].install_sa().inner_local_size() + installed[0].install_sa().inner_remote_size(), 0);
}

}  // namespace
}  // namespace sekisho::vpn
