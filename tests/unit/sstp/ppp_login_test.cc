// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp_login.h"

#include <gtest/gtest.h>

#include "tests/unit/sstp/door_plan.h"

namespace sekisho::vpn {
namespace {

using sstp::Bytes;
using sstp::from_hex;
using sstp::plan;
using Verdict = ppp::AuthAnswer::Verdict;

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
    return login.authenticate(request).value();
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

TEST_F(PppLoginTest, WhileTheLogsDiskIsFullALoginIsDeniedInWords) {
  directory_.set_log_full(true);
  auto one = login();
  EXPECT_EQ(prove(*one).verdict, Verdict::kReject);
  one->end(Stage::kAuthentication, Cause::kAuth, "");
  ASSERT_EQ(observer_.kinds(), (std::vector{Kind::kStart, Kind::kAuthOk, Kind::kDenied}));
  EXPECT_EQ(observer_.events[2].cause, Cause::kInternal);
  EXPECT_NE(observer_.events[2].text.find("the log's disk is full"), std::string::npos) << observer_.events[2].text;
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
    EXPECT_EQ(one->authenticate(request)->verdict, Verdict::kReject);
  }
}

TEST_F(PppLoginTest, APasswordInClearIsHeldAgainstTheHash) {
  directory_.set_plan(plan(false, {ipc::DOOR_PAP}));
  const auto say = [this](std::uint64_t id, std::string_view password) {
    auto one = login(id);
    ppp::AuthRequest request;
    request.kind = ppp::AuthRequest::Kind::kPassword;
    request.user = "User";
    request.password = {reinterpret_cast<const std::uint8_t*>(password.data()), password.size()};
    const auto answer = one->authenticate(request).value();
    return std::pair(answer.verdict, one->session().gateway.text());
  };
  EXPECT_EQ(say(1, "clientPass"), std::pair(Verdict::kAccept, std::string("vpn pap")));
  EXPECT_EQ(say(2, "clientpass").first, Verdict::kReject);
  EXPECT_EQ(say(3, "").first, Verdict::kReject);
}

/// A backend whose servers are the test.
class PppLoginByRadius : public PppLoginTest, public DatagramSender {
 protected:
  PppLoginByRadius() { follow({ipc::DOOR_PAP, ipc::DOOR_CHAP, ipc::DOOR_EAP_RADIUS}); }
  void follow(std::initializer_list<ipc::VpnDoorMethod> methods) {
    const auto made = plan(false, methods, true);
    directory_.set_plan(made);
    backends_.set_plan(made);
  }
  void send(const Path& path, ByteSpan payload) override { sent_.emplace_back(path, Bytes(payload.begin(), payload.end())); }
  std::unique_ptr<PppLogin> by_radius(std::uint64_t id = 1) {
    Session session;
    session.id = id;
    session.protocol = Protocol::kSstp;
    session.path.tenant = 7;
    session.path.remote = {Address::from_v4(0xc0000202), 50000};
    auto out = std::make_unique<PppLogin>(PppLogin::Ports{directory_, tunnels_, observer_, &backends_, nullptr}, std::move(session), "vpn");
    out->begin();
    return out;
  }
  std::optional<ppp::AuthAnswer> pap(PppLogin& login, std::string_view user, std::string_view password, std::uint32_t number) {
    ppp::AuthRequest request;
    request.kind = ppp::AuthRequest::Kind::kPassword;
    request.user = user;
    request.number = number;
    request.password = {reinterpret_cast<const std::uint8_t*>(password.data()), password.size()};
    return login.authenticate(request);
  }
  /// The server's answer to the request that was sent last.
  void answer(radius::Code code, const std::function<void(radius::Writer&)>& fill = {}) {
    ASSERT_FALSE(sent_.empty());
    const auto [path, bytes] = sent_.back();
    const auto request = radius::parse(bytes).value();
    radius::Writer writer(code, request.id);
    if (fill) fill(writer);
    constexpr std::string_view kSecret = "secret";
    const ByteSpan secret{reinterpret_cast<const std::uint8_t*>(kSecret.data()), kSecret.size()};
    backends_.take(path, writer.finish_answer(request.authenticator, secret), std::chrono::steady_clock::now());
  }
  std::vector<std::pair<Path, Bytes>> sent_;
  radius::Backends backends_{{directory_, *this, [](std::uint64_t id) { return id; }, [](std::uint64_t) { return std::nullopt; }}, {}};
};

TEST_F(PppLoginByRadius, WhoHasNoPasswordHereIsJudgedByTheServer) {
  auto one = by_radius();
  ASSERT_FALSE(pap(*one, "rosa", "any", 5)) << "a server thinks about it";
  const auto request = radius::parse(sent_.back().second).value();
  EXPECT_EQ(request.text(radius::Type::kUserName), "rosa");
  EXPECT_EQ(request.find(radius::Type::kUserPassword)->size(), 16U);
  EXPECT_EQ(request.text(radius::Type::kUserPassword).find("any"), std::string::npos) << "hidden";
  answer(radius::Code::kAccessAccept);
  const auto verdicts = backends_.take_verdicts();
  ASSERT_EQ(verdicts.size(), 1U);
  const auto judged = one->judged(verdicts[0]);
  ASSERT_TRUE(judged);
  EXPECT_EQ(judged->number, 5U);
  EXPECT_EQ(judged->answer.verdict, Verdict::kAccept);
  EXPECT_EQ(judged->answer.keys.size, 0U);
  EXPECT_EQ(one->session().gateway, "vpn pap");
  EXPECT_EQ(one->session().backend, "campus");
  EXPECT_EQ(directory_.admitted(1)->backend, "campus");
  EXPECT_EQ(directory_.admitted(1)->method, "pap");
  EXPECT_FALSE(one->judged(verdicts[0])) << "once";
}

TEST_F(PppLoginByRadius, WhoHasOneIsNot) {
  auto one = by_radius();
  const auto answer = pap(*one, "User", "clientPass", 5);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->verdict, Verdict::kAccept);
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(one->session().backend, "");
}

TEST_F(PppLoginByRadius, AnAnswerAboutOneLetsNobodyElseIn) {
  auto one = by_radius();
  ASSERT_FALSE(pap(*one, "rosa", "right", 5));
  answer(radius::Code::kAccessAccept);
  // The link began anew, and another name was said before the verdict was told.
  ASSERT_FALSE(pap(*one, "boss", "wrong", 6));
  EXPECT_TRUE(backends_.take_verdicts().empty());
  EXPECT_FALSE(directory_.admitted(1));
  answer(radius::Code::kAccessReject);
  const auto verdicts = backends_.take_verdicts();
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(one->judged(verdicts[0])->answer.verdict, Verdict::kReject);
  // Nor does what a server granted the one serve a user of the directory.
  auto two = by_radius(2);
  ASSERT_FALSE(pap(*two, "rosa", "right", 5));
  answer(radius::Code::kAccessAccept);
  ASSERT_EQ(pap(*two, "User", "clientPass", 6)->verdict, Verdict::kAccept);
  EXPECT_EQ(directory_.admitted(2)->backend, "");
  EXPECT_EQ(directory_.admitted(2)->user, 3U);
}

TEST_F(PppLoginByRadius, AServerThatDoesNotProveItselfToTheClientLetsNobodyInByMschapv2) {
  for (const bool proves : {false, true}) {
    auto one = by_radius(proves ? 2 : 1);
    ppp::AuthRequest request;
    request.kind = ppp::AuthRequest::Kind::kMschapV2;
    request.user = "rosa";
    request.number = 9;
    request.challenge = challenge_;
    request.peer_challenge = peer_;
    request.response = response_;
    ASSERT_FALSE(one->authenticate(request));
    answer(radius::Code::kAccessAccept, [proves](radius::Writer& writer) {
      if (!proves) return;
      Bytes value = from_hex("00000137 1a2d 07");
      for (const char c : std::string_view("S=407A5589115FD0D6209F510FE9C04566932CDA56")) value.push_back(static_cast<std::uint8_t>(c));
      writer.add(radius::Type::kVendorSpecific, ByteSpan(value));
    });
    const auto judged = one->judged(backends_.take_verdicts().at(0));
    EXPECT_EQ(judged->answer.verdict, proves ? Verdict::kAccept : Verdict::kReject);
    EXPECT_EQ(judged->answer.authenticator, proves ? "S=407A5589115FD0D6209F510FE9C04566932CDA56" : "");
    if (proves) continue;
    EXPECT_EQ(judged->answer.cause, Cause::kCrypto);
  }
}

TEST_F(PppLoginByRadius, EapIsRelayedAndAnAcceptBeforeAnyMethodOpensNothing) {
  const Bytes identity = from_hex("02 01 0009 01 726f7361");
  const auto identify = [&](PppLogin& login) {
    ppp::AuthRequest request;
    request.kind = ppp::AuthRequest::Kind::kIdentity;
    request.user = "rosa";
    request.number = 1;
    request.eap = identity;
    return login.authenticate(request);
  };
  auto one = by_radius();
  ASSERT_FALSE(identify(*one));
  answer(radius::Code::kAccessAccept);
  EXPECT_EQ(one->judged(backends_.take_verdicts().at(0))->answer.verdict, Verdict::kReject);
  auto two = by_radius(2);
  ASSERT_FALSE(identify(*two));
  const Bytes next = from_hex("01 02 0006 0420");
  answer(radius::Code::kAccessChallenge, [&next](radius::Writer& writer) {
    writer.add(radius::Type::kState, std::string_view("state"));
    writer.add_eap(next);
  });
  const auto more = two->judged(backends_.take_verdicts().at(0));
  EXPECT_EQ(more->answer.verdict, Verdict::kRelay);
  EXPECT_EQ(more->answer.eap, next);
  ppp::AuthRequest request;
  request.kind = ppp::AuthRequest::Kind::kRelay;
  request.user = "rosa";
  request.number = 2;
  const Bytes said = from_hex("02 02 0006 0421");
  request.eap = said;
  ASSERT_FALSE(two->authenticate(request));
  const auto sent = radius::parse(sent_.back().second).value();
  EXPECT_EQ(sent.eap(), said);
  EXPECT_EQ(sent.text(radius::Type::kState), "state");
  answer(radius::Code::kAccessAccept, [](radius::Writer& writer) { writer.add_eap(from_hex("03020004")); });
  EXPECT_EQ(two->judged(backends_.take_verdicts().at(0))->answer.verdict, Verdict::kAccept);
}

TEST_F(PppLoginByRadius, SilentServersAreOfTheBackendAndNotOfTheUser) {
  auto one = by_radius();
  ASSERT_FALSE(pap(*one, "rosa", "any", 5));
  const auto now = std::chrono::steady_clock::now();
  for (int seconds = 1; seconds < 40; ++seconds) backends_.turn(now + std::chrono::seconds(seconds));
  const auto judged = one->judged(backends_.take_verdicts().at(0));
  EXPECT_EQ(judged->answer.cause, Cause::kBackendDown);
  one->end(Stage::kAuthentication, Cause::kAuth, "");
  EXPECT_EQ(observer_.events.back().kind, Kind::kDenied);
  EXPECT_EQ(observer_.events.back().cause, Cause::kBackendDown);
}

TEST_F(PppLoginByRadius, ABackendThatIsTakenOutAnswersNobodyAtOnce) {
  auto one = by_radius();
  ASSERT_FALSE(pap(*one, "rosa", "any", 5));
  const auto without = plan();
  directory_.set_plan(without);
  backends_.set_plan(without);
  EXPECT_EQ(one->judged(backends_.take_verdicts().at(0))->answer.cause, Cause::kBackendDown);
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
