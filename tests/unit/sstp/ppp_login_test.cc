// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp_login.h"

#include <gtest/gtest.h>

#include "base/proto/control_vpn.pb.h"
#include "tests/unit/sstp/bytes.h"

namespace sekisho::vpn {
namespace {

using sstp::Bytes;
using sstp::from_hex;
using Verdict = ppp::AuthAnswer::Verdict;

std::string text_of(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

/// The user of RFC 2759 9.2 in a group with one address.
std::shared_ptr<const Plan> plan(bool suspended = false) {
  ipc::VpnConfig config;
  config.set_generation(1);
  auto& tenant = *config.add_tenants();
  tenant.set_id(7);
  tenant.set_service_code("tst00000007");
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("vpn");
  gateway.set_profile("modern");
  gateway.set_tunnel_port(9);
  gateway.mutable_sstp()->set_accept_mschapv2(true);
  auto& user = *tenant.add_users();
  user.set_id(3);
  user.set_name("User");
  user.set_nt_hash(text_of(from_hex("44EBBA8D5312B8D611474411F56989AE")));
  user.add_groups("staff");
  user.set_suspended(suspended);
  auto& group = *tenant.add_groups();
  group.set_name("staff");
  group.set_pool("people");
  auto& pool = *tenant.add_pools();
  pool.set_name("people");
  auto& range = *pool.add_ranges();
  range.set_first(text_of(from_hex("0a630001")));
  range.set_last(text_of(from_hex("0a630001")));
  const std::string bytes = config.SerializeAsString();
  return parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).value();
}

class Observer : public SessionObserver {
 public:
  void on(const SessionEvent& event) override { events.push_back(event); }
  void line(int, std::string_view, std::string_view) override {}
  [[nodiscard]] std::vector<SessionEvent::Kind> kinds() const {
    std::vector<SessionEvent::Kind> out;
    for (const SessionEvent& event : events) out.push_back(event.kind);
    return out;
  }
  std::vector<SessionEvent> events;
};

class PppLoginTest : public testing::Test {
 protected:
  PppLoginTest() { directory_.set_plan(plan()); }
  std::unique_ptr<PppLogin> login(std::uint64_t id = 1) {
    Session session;
    session.id = id;
    session.protocol = Protocol::kSstp;
    session.path.tenant = 7;
    session.path.remote = {Address::from_v4(0xc0000202), 50000};
    auto out = std::make_unique<PppLogin>(PppLogin::Ports{directory_, tunnels_, observer_}, std::move(session), "vpn");
    out->begin();
    return out;
  }
  /// RFC 2759 9.2, with `changed` in the response.
  ppp::AuthAnswer prove(PppLogin& login, std::uint8_t changed = 0, std::string_view user = "User") {
    Bytes response = response_;
    response[0] ^= changed;
    ppp::AuthRequest request;
    request.kind = ppp::AuthRequest::Kind::kMschapV2;
    request.user = user;
    request.challenge = challenge_;
    request.peer_challenge = peer_;
    request.response = response;
    return login.authenticate(request);
  }
  using Kind = SessionEvent::Kind;
  UserDirectory directory_{[] { return std::int64_t{1'700'000'000}; }};
  TunnelClient tunnels_{KeyingDaemon::kPpp, "/nonexistent/tunnel.sock", [](const Session&) { return std::nullopt; }};
  Observer observer_;
  Bytes challenge_ = from_hex("5B5D7C7D7B3F2F3E3C2C602132262628"), peer_ = from_hex("21402324255E262A28295F2B3A337C7E");
  Bytes response_ = from_hex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF");
};

TEST_F(PppLoginTest, WhoKnowsThePasswordGetsTheKeysOfTheRfcAndAnAddress) {
  auto one = login();
  const auto answer = prove(*one);
  ASSERT_EQ(answer.verdict, Verdict::kAccept);
  EXPECT_EQ(answer.authenticator, "S=407A5589115FD0D6209F510FE9C04566932CDA56");
  const auto hlak = answer.keys.hlak();
  EXPECT_EQ(Bytes(hlak.begin(), hlak.end()), from_hex("D5F0E9521E3EA9589645E86051C82226 8B7CDC149B993A1BA118CB153F56DCCB"));
  const auto network = one->network();
  ASSERT_TRUE(network && network->ipv4);
  EXPECT_EQ(to_string(*network->ipv4), "10.99.0.1");
  EXPECT_FALSE(network->ipv6);
  EXPECT_EQ(observer_.kinds(), (std::vector{Kind::kStart, Kind::kAuthOk, Kind::kAssigned}));
}

TEST_F(PppLoginTest, AnyOtherResponseIsAWrongPasswordAndSoIsAnyOtherUser) {
  auto one = login();
  EXPECT_EQ(prove(*one, 1).verdict, Verdict::kReject);
  one->end(Stage::kAuthentication, Cause::kAuth, "whatever PPP makes of it");
  ASSERT_EQ(observer_.kinds(), (std::vector{Kind::kStart, Kind::kAuthFail}));
  EXPECT_NE(observer_.events[1].text.find("wrong password or unknown user"), std::string::npos);
  auto two = login(2);
  EXPECT_EQ(prove(*two, 0, "nobody").cause, Cause::kAuth);
}

TEST_F(PppLoginTest, ADomainInFrontIsNotPartOfTheName) {
  auto one = login();
  EXPECT_EQ(prove(*one, 0, "ACME\\User").verdict, Verdict::kAccept);
  EXPECT_EQ(one->session().user, "User");
}

TEST_F(PppLoginTest, WhoMayNotComeInIsRefusedAtHisLoginAndDenied) {
  directory_.set_plan(plan(true));
  auto one = login();
  const auto answer = prove(*one);
  EXPECT_EQ(answer.verdict, Verdict::kReject);
  EXPECT_EQ(answer.cause, Cause::kAdmin);
  one->end(Stage::kAuthentication, Cause::kAuth, "");
  ASSERT_EQ(observer_.kinds(), (std::vector{Kind::kStart, Kind::kAuthOk, Kind::kDenied}));
  EXPECT_EQ(observer_.events[2].cause, Cause::kAdmin);
  EXPECT_EQ(observer_.events[2].stage, Stage::kAdmission);
}

TEST_F(PppLoginTest, AnEmptyPoolGivesNoNetwork) {
  auto one = login(), two = login(2);
  ASSERT_EQ(prove(*one).verdict, Verdict::kAccept);
  ASSERT_TRUE(one->network());
  // The same user's second session would take the first one's address over; another's finds none.
  one->end(Stage::kAdmission, Cause::kUser, "");
  EXPECT_FALSE(two->network()) << "never authorized";
}

TEST_F(PppLoginTest, OneLoginASession) {
  auto one = login();
  ASSERT_EQ(prove(*one).verdict, Verdict::kAccept);
  EXPECT_EQ(prove(*one).verdict, Verdict::kReject);
}

TEST_F(PppLoginTest, MethodsNobodyOffersAreRefused) {
  for (const auto kind : {ppp::AuthRequest::Kind::kPassword, ppp::AuthRequest::Kind::kChapMd5, ppp::AuthRequest::Kind::kRelay,
                          ppp::AuthRequest::Kind::kCertificate}) {
    auto one = login();
    ppp::AuthRequest request;
    request.kind = kind;
    request.user = "User";
    EXPECT_EQ(one->authenticate(request).verdict, Verdict::kReject);
  }
}

TEST_F(PppLoginTest, EveryAttemptEndsOnce) {
  {
    auto one = login();
    one->end(Stage::kNegotiation, Cause::kPeerLost, "the client fell silent");
    one->end(Stage::kNegotiation, Cause::kUser, "again");
    EXPECT_FALSE(one->open(1400)) << "over";
  }
  EXPECT_EQ(observer_.kinds(), (std::vector{Kind::kStart, Kind::kDenied}));
  { auto forgotten = login(2); }
  EXPECT_EQ(observer_.events.back().kind, Kind::kDenied);
  EXPECT_EQ(observer_.events.back().cause, Cause::kInternal);
}

TEST_F(PppLoginTest, WithoutADataPlaneNothingOpens) {
  auto one = login();
  ASSERT_EQ(prove(*one).verdict, Verdict::kAccept);
  ASSERT_TRUE(one->network());
  EXPECT_FALSE(one->open(1400));
  EXPECT_FALSE(one->up());
}

}  // namespace
}  // namespace sekisho::vpn
