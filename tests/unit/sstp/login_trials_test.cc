// SPDX-License-Identifier: Apache-2.0
#include "vpn/login_trials.h"

#include <gtest/gtest.h>

#include "tests/unit/sstp/door_plan.h"

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;
using sstp::Bytes;
using Steps = std::vector<std::string>;

constexpr std::uint32_t kTenant = 7;
constexpr std::string_view kPassword = "clientPass";  // of "User", RFC 2759 9.2

ipc::TryVpnLogin question(std::uint64_t number, std::string_view user, std::string_view password, std::string_view gateway = "vpn") {
  ipc::TryVpnLogin out;
  out.set_number(number);
  out.set_tenant(kTenant);
  out.set_gateway(std::string(gateway));
  out.set_user(std::string(user));
  out.set_password(std::string(password));
  return out;
}

/// "password right", "pool ok people (staff)"
Steps steps_of(const ipc::VpnTrial& trial) {
  Steps out;
  for (const auto& one : trial.steps()) out.push_back(one.stage() + ' ' + one.result() + (one.object().empty() ? "" : " " + one.object()));
  return out;
}

class LoginTrialsTest : public testing::Test, public DatagramSender {
 protected:
  LoginTrialsTest() { follow(sstp::plan()); }
  void follow(const std::shared_ptr<const Plan>& plan) {
    directory_.set_plan(plan);
    backends_.set_plan(plan);
  }
  void send(const Path& path, ByteSpan payload) override { sent_.emplace_back(path, Bytes(payload.begin(), payload.end())); }
  ipc::VpnTrial ask(std::string_view user, std::string_view password, std::string_view gateway = "vpn") {
    return trials_.ask(question(++last_, user, password, gateway), now_);
  }
  ipc::VpnTrial ask_again(std::uint32_t tenant = kTenant) {
    ipc::TryVpnLogin again;
    again.set_number(last_);
    again.set_tenant(tenant);
    return trials_.ask(again, now_);
  }
  /// The server's word about the request that was sent last.
  void answer(radius::Code code) {
    ASSERT_FALSE(sent_.empty());
    const auto request = radius::parse(sent_.back().second).value();
    radius::Writer writer(code, request.id);
    constexpr std::string_view kSecret = "secret";
    const ByteSpan secret{reinterpret_cast<const std::uint8_t*>(kSecret.data()), kSecret.size()};
    backends_.take(sent_.back().first, writer.finish_answer(request.authenticator, secret), now_);
    for (const radius::Verdict& verdict : backends_.take_verdicts()) EXPECT_TRUE(trials_.judged(verdict));
  }
  std::int64_t clock_ = 1'700'000'000;
  LoginTrials::Time now_{};
  UserDirectory directory_{[this] { return clock_; }};
  std::vector<std::pair<Path, Bytes>> sent_;
  radius::Backends backends_{{directory_, *this, [](std::uint64_t id) { return id; }, [](std::uint64_t) { return std::nullopt; }},
                             {.daemon = KeyingDaemon::kPpp}};
  SessionIds ids_;
  LoginTrials trials_{directory_, backends_, ids_};
  std::uint64_t last_ = 0;
};

TEST_F(LoginTrialsTest, ARightPasswordSaysWhatItWouldOpenAndLetsNobodyIn) {
  const ipc::VpnTrial said = ask("User", kPassword);
  EXPECT_TRUE(said.over() && said.admitted());
  EXPECT_EQ(steps_of(said), (Steps{"gateway ok vpn", "backend local", "password right", "groups ok staff", "pool ok people (staff)", "admission ok staff",
                                   "rules nothing"}));
  EXPECT_FALSE(directory_.admitted(1)) << "nobody came in";
}

TEST_F(LoginTrialsTest, EachWayToFailIsToldByItsStage) {
  EXPECT_EQ(steps_of(ask("User", "clientpass")), (Steps{"gateway ok vpn", "backend local", "password wrong User"}));
  EXPECT_EQ(steps_of(ask("nobody", kPassword)), (Steps{"gateway ok vpn", "backend local", "password unknown_user nobody"}));
  EXPECT_EQ(steps_of(ask("User", kPassword, "osaka")), (Steps{"gateway unknown osaka"}));
  EXPECT_EQ(steps_of(ask("", kPassword)), (Steps{"password wrong"}));
  EXPECT_EQ(steps_of(ask(std::string(257, 'a'), kPassword)), (Steps{"password wrong"}));
  follow(sstp::plan(true));
  const ipc::VpnTrial suspended = ask("User", kPassword);
  EXPECT_FALSE(suspended.admitted());
  EXPECT_EQ(steps_of(suspended).back(), "admission admin staff");
}

TEST_F(LoginTrialsTest, AWrongPasswordCountsAndWhoIsShutOutLearnsNothing) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(steps_of(ask("User", "guess")).back(), "password wrong User") << i;
  EXPECT_EQ(steps_of(ask("User", kPassword)), (Steps{"gateway ok vpn", "lockout shut_out"}));
  EXPECT_EQ(directory_.take_incidents().size(), 1U);
  ASSERT_TRUE(directory_.unlock(kTenant, "User"));
  EXPECT_TRUE(ask("User", kPassword).admitted()) << "the nearest that is judged";
}

TEST_F(LoginTrialsTest, ARightPasswordTakesNoFailuresBack) {
  for (int i = 0; i < 4; ++i) ask("User", "guess");
  EXPECT_TRUE(ask("User", kPassword).admitted());
  ask("User", "guess");
  EXPECT_EQ(steps_of(ask("User", kPassword)).back(), "lockout shut_out");
}

TEST_F(LoginTrialsTest, AServerJudgesWhomTheDirectoryDoesNotKnow) {
  follow(sstp::plan(false, {}, true));
  EXPECT_EQ(steps_of(ask("rosa", "any")), (Steps{"gateway ok vpn", "backend radius campus"}));
  EXPECT_FALSE(ask_again().over()) << "the server thinks about it";
  answer(radius::Code::kAccessReject);
  EXPECT_EQ(steps_of(ask_again()), (Steps{"gateway ok vpn", "backend radius campus", "password refused campus"}));
  ask("rosa", "any");
  answer(radius::Code::kAccessAccept);
  EXPECT_EQ(steps_of(ask_again()).back(), "password no_proof campus") << "MSCHAPv2 proves the server, too";
}

TEST_F(LoginTrialsTest, WhomAServerLetsInIsHeldAgainstThePlanAndForgotten) {
  follow(sstp::plan(false, {ipc::DOOR_PAP}, true, false));
  ask("rosa", "any");
  EXPECT_EQ(radius::parse(sent_.back().second).value().find(radius::Type::kUserPassword)->size(), 16U) << "by PAP: no door takes anything else";
  answer(radius::Code::kAccessAccept);
  const ipc::VpnTrial said = ask_again();
  EXPECT_TRUE(said.admitted());
  EXPECT_EQ(steps_of(said), (Steps{"gateway ok vpn", "backend radius campus", "password right", "groups ok staff", "pool ok people (staff)",
                                   "admission ok staff", "rules nothing"}));
  EXPECT_FALSE(directory_.admitted(1));
  EXPECT_EQ(steps_of(ask_again()), (Steps{"password busy"})) << "told once";
}

TEST_F(LoginTrialsTest, SilentServersAndManyTrialsEndInWords) {
  follow(sstp::plan(false, {}, true));
  ask("rosa", "any");
  for (int i = 0; i < 30; ++i) backends_.turn(now_ += 1s);
  for (const radius::Verdict& verdict : backends_.take_verdicts()) EXPECT_TRUE(trials_.judged(verdict));
  EXPECT_EQ(steps_of(ask_again()).back(), "password no_answer campus");
  for (std::size_t i = 0; i < LoginTrials::kOpenOfTenantMax; ++i) EXPECT_FALSE(ask("rosa", "any").over());
  EXPECT_EQ(steps_of(ask("rosa", "any")), (Steps{"password busy"}));
  now_ += LoginTrials::kPatience;
  EXPECT_FALSE(ask("iris", "any").over()) << "those before are forgotten";
  EXPECT_EQ(steps_of(ask("rosa", "any")).back(), "lockout shut_out") << "who leaves before he is judged has tried all the same";
}

TEST_F(LoginTrialsTest, ATrialIsItsTenantsAloneAndANumberThatComesAgainBeginsAnew) {
  follow(sstp::plan(false, {}, true));
  ask("rosa", "any");
  const ipc::VpnTrial foreign = ask_again(kTenant + 1);
  EXPECT_TRUE(foreign.over());
  EXPECT_EQ(steps_of(foreign), (Steps{"password busy"})) << "of another tenant's nothing is told";
  EXPECT_FALSE(ask_again().over()) << "and it goes on";
  --last_;  // a controld that starts anew counts from the beginning
  EXPECT_EQ(steps_of(ask("User", kPassword)).at(1), "backend local");
  ipc::TryVpnLogin other = question(90, "anybody", "any");
  other.set_tenant(kTenant + 1);
  for (std::size_t i = 0; i < LoginTrials::kOpenOfTenantMax; ++i) ask("rosa", "any");
  EXPECT_EQ(steps_of(trials_.ask(other, now_)), (Steps{"gateway unknown vpn"})) << "one tenant's fill nobody else's room";
}

TEST_F(LoginTrialsTest, AVerdictOfASessionIsNoTrials) {
  radius::Verdict verdict;
  EXPECT_FALSE(trials_.judged(verdict));
  verdict.session = 99;
  EXPECT_FALSE(trials_.judged(verdict));
}

}  // namespace
}  // namespace sekisho::vpn
