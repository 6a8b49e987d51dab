// SPDX-License-Identifier: Apache-2.0
// Goal: whom a client asks, how often, and what it believes. Method: time by hand; servers that are a secret and a function.
#include "vpn/radius/client.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <string>

namespace sekisho::vpn::radius {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;
using Outcome = Answer::Outcome;

Bytes bytes(std::string_view text) { return {text.begin(), text.end()}; }

class RadiusClient : public testing::Test {
 protected:
  static std::shared_ptr<const RadiusPlan> plan(int servers, std::string_view secret = "secret") {
    auto out = std::make_shared<RadiusPlan>();
    out->source = *parse_address("10.0.0.1");
    for (int i = 0; i < servers; ++i) {
      out->servers.push_back({*parse_address("10.0.0." + std::to_string(10 + i)), Secret(std::string(secret) + std::to_string(i)), 1812, 1813});
    }
    out->groups.push_back({"staff", 7, {"staff"}, {}});
    out->groups.push_back({"", 8, {}, {}});
    return out;
  }
  void make(int servers) {
    plan_ = plan(servers);
    client_ = std::make_unique<Client>(plan_, 50000, [this](std::span<std::uint8_t> out) { std::ranges::fill(out, ++random_); });
  }
  void SetUp() override { make(2); }

  std::uint64_t ask(std::optional<std::size_t> server = std::nullopt) {
    Writer writer(Code::kAccessRequest, 0);
    writer.add(Type::kUserName, std::string_view("alice"));
    return client_->ask(writer.attributes(), server, now_);
  }
  /// Last bytes of the addresses it sent to since the last call.
  std::vector<int> sent() {
    std::vector<int> out;
    for (Datagram& one : client_->take_sends()) {
      out.push_back(one.remote.address.bytes[3]);
      last_ = std::move(one);
    }
    return out;
  }
  void wait(std::chrono::seconds seconds) { client_->tick(now_ += seconds); }
  /// The server that `datagram` went to answers it.
  void answer(const Datagram& datagram, Code code, const std::function<void(Writer&)>& fill = {}, std::string_view secret = {},
              std::optional<Endpoint> from = {}) {
    const auto request = parse(datagram.bytes);
    const auto server = static_cast<std::size_t>(datagram.remote.address.bytes[3] - 10);
    Writer writer(code, request->id);
    if (fill) fill(writer);
    const ByteSpan right = plan_->servers[server].secret.bytes();
    const Bytes wrong = bytes(secret);
    const Bytes out = writer.finish_answer(request->authenticator, secret.empty() ? right : ByteSpan(wrong));
    client_->receive(datagram.local.port, from.value_or(datagram.remote), out, now_);
  }
  std::vector<std::pair<std::uint64_t, Outcome>> answers() {
    std::vector<std::pair<std::uint64_t, Outcome>> out;
    for (Answer& one : client_->take_answers()) {
      out.emplace_back(one.number, one.outcome);
      last_answer_ = std::move(one);
    }
    return out;
  }
  using Answers = std::vector<std::pair<std::uint64_t, Outcome>>;
  using Servers = std::vector<int>;

  std::shared_ptr<const RadiusPlan> plan_;
  std::unique_ptr<Client> client_;
  Client::Time now_{1h};
  std::uint8_t random_ = 0;
  Datagram last_;
  Answer last_answer_;
};

TEST_F(RadiusClient, ChallengeBringsStateAndEapOfItsServer) {
  const auto number = ask();
  EXPECT_EQ(sent(), Servers{10});
  EXPECT_EQ(last_.local.port, 50000);
  answer(last_, Code::kAccessChallenge, [](Writer& writer) {
    writer.add(Type::kState, std::string_view("state"));
    writer.add_eap(bytes("eap"));
  });
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kChallenge}}));
  EXPECT_EQ(last_answer_.state, bytes("state"));
  EXPECT_EQ(last_answer_.eap, bytes("eap"));
  EXPECT_EQ(last_answer_.server, 0U);
}

TEST_F(RadiusClient, SilentServerIsAskedThriceWithTheSameBytesThenTheNext) {
  const auto number = ask();
  sent();
  const Bytes first = last_.bytes;
  wait(3s);
  EXPECT_EQ(sent(), Servers{10});
  EXPECT_EQ(last_.bytes, first);
  wait(3s);
  EXPECT_EQ(sent(), Servers{10});
  wait(2s);
  EXPECT_EQ(sent(), Servers{});
  wait(1s);
  EXPECT_EQ(sent(), Servers{11});
  answer(last_, Code::kAccessReject);
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kReject}}));
  ask();
  EXPECT_EQ(sent(), Servers{11}) << "the first is believed dead";
}

TEST_F(RadiusClient, ConversationNeverGoesToAnotherServerHoweverLongItTakes) {
  const auto number = ask(0);
  for (int second = 0; second < 25; ++second) {
    EXPECT_EQ(answers(), Answers{}) << second;
    wait(1s);
  }
  EXPECT_EQ(sent(), (Servers{10, 10, 10}));
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kNobody}}));
}

TEST_F(RadiusClient, SlowServerMayAnswerAConversationLate) {
  const auto number = ask(1);
  wait(24s);
  sent();
  answer(last_, Code::kAccessAccept);
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kAccept}}));
}

TEST_F(RadiusClient, DeadServersAreAskedByOneRequestATime) {
  make(1);
  ask();
  for (int i = 0; i < 3; ++i) wait(3s);
  EXPECT_EQ(answers().size(), 1U);
  ask();
  EXPECT_EQ(answers().size(), 1U) << "at once";
  wait(10s);
  sent();
  const auto probe = ask();
  ask();
  EXPECT_EQ(sent(), Servers{10});
  EXPECT_EQ(answers().size(), 1U) << "the second is not worth waiting";
  answer(last_, Code::kAccessReject);
  EXPECT_EQ(answers(), (Answers{{probe, Outcome::kReject}}));
  ask();
  EXPECT_EQ(sent(), Servers{10}) << "it lives";
}

TEST_F(RadiusClient, ServerThatAnswersOthersIsNotDead) {
  ask();
  sent();
  wait(3s);
  ask();
  sent();
  answer(last_, Code::kAccessReject);
  wait(3s);
  wait(3s);  // the first request is given up here
  sent();
  ask();
  EXPECT_EQ(sent(), Servers{10});
}

TEST_F(RadiusClient, ForgedAnswerIsCountedAndTheGenuineOneStillCounts) {
  const auto number = ask();
  sent();
  const Datagram asked = last_;
  answer(asked, Code::kAccessAccept, {}, "wrong");
  const auto request = parse(asked.bytes);
  Bytes unsigned_answer{2, request->id, 0, 20};  // a right Response Authenticator, and no signature
  unsigned_answer.insert(unsigned_answer.end(), request->authenticator.begin(), request->authenticator.end());
  Bytes hashed = unsigned_answer;
  for (const std::uint8_t byte : plan_->servers[0].secret.bytes()) hashed.push_back(byte);
  ASSERT_EQ(EVP_Digest(hashed.data(), hashed.size(), unsigned_answer.data() + 4, nullptr, EVP_md5(), nullptr), 1);
  EXPECT_TRUE(radius::answers(*parse(unsigned_answer), request->authenticator, plan_->servers[0].secret.bytes(), false));
  client_->receive(asked.local.port, asked.remote, unsigned_answer, now_);
  EXPECT_EQ(answers(), Answers{});
  EXPECT_EQ(client_->counters().forged, 2U);
  answer(asked, Code::kAccessReject);
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kReject}}));
}

TEST_F(RadiusClient, AnswerFromElsewhereToAnotherPortOrToNothingIsUnknown) {
  ask();
  sent();
  const Datagram asked = last_;
  answer(asked, Code::kAccessReject, {}, {}, Endpoint{*parse_address("10.0.0.11"), 1812});
  answer(asked, Code::kAccessReject, {}, {}, Endpoint{*parse_address("10.0.0.10"), 1813});
  Datagram other = asked;
  ++other.local.port;
  answer(other, Code::kAccessReject);
  other = asked;
  other.bytes[1] ^= 1;
  answer(other, Code::kAccessReject);
  EXPECT_EQ(client_->counters().unknown, 4U);
  EXPECT_EQ(answers(), Answers{});
  answer(asked, Code::kAccountingResponse);
  EXPECT_EQ(client_->counters().forged, 1U);
}

TEST_F(RadiusClient, TakesNoMoreThanThereAreNumbersAndNoneTwice) {
  std::set<std::uint8_t> ids;
  for (int i = 0; i < 256; ++i) {
    ask();
    sent();
    ids.insert(last_.bytes[1]);
  }
  EXPECT_EQ(ids.size(), 256U);
  const auto number = ask();
  EXPECT_EQ(sent(), Servers{});
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kNobody}}));
}

TEST_F(RadiusClient, RecordIsKeptUntilAServerTakesIt) {
  make(1);
  Writer writer(Code::kAccountingRequest, 0);
  writer.add(Type::kAcctSessionId, std::string_view("s1"));
  client_->account(writer.attributes(), false, now_);
  EXPECT_EQ(sent(), Servers{10});
  EXPECT_EQ(last_.remote.port, 1813);
  EXPECT_EQ(last_.local.port, 50001);
  for (int i = 0; i < 3; ++i) wait(3s);
  EXPECT_EQ(client_->records(), 1U);
  sent();
  wait(10s);
  EXPECT_EQ(sent(), Servers{10});
  const auto request = parse(last_.bytes);
  EXPECT_TRUE(is_genuine_request(*request, plan_->servers[0].secret.bytes()));
  EXPECT_EQ(request->number(Type::kAcctDelayTime), 19U);
  answer(last_, Code::kAccountingResponse);
  EXPECT_EQ(client_->records(), 0U);
}

TEST_F(RadiusClient, RecordsBeyondTheRoomAreCounted) {
  for (std::size_t i = 0; i < Client::kRecordsMax + 3; ++i) client_->account({}, false, now_);
  EXPECT_EQ(client_->records(), Client::kRecordsMax);
  EXPECT_EQ(client_->counters().records_lost, 3U);
}

TEST_F(RadiusClient, OtherServersEndWhatIsUnderWayAndTheSameDoNot) {
  const auto number = ask();
  client_->set_plan(plan(2));
  EXPECT_EQ(answers(), Answers{});
  client_->set_plan(plan(2, "another"));
  EXPECT_EQ(answers(), (Answers{{number, Outcome::kNobody}}));
}

TEST_F(RadiusClient, GrantSaysWhatTheServerSaid) {
  ask();
  sent();
  answer(last_, Code::kAccessAccept, [](Writer& writer) {
    writer.add(Type::kUserName, std::string_view("Alice"));
    writer.add(Type::kFilterId, std::string_view("other"));
    writer.add(Type::kFilterId, std::string_view("staff"));
    writer.add(Type::kClass, std::string_view("class"));
    writer.add(Type::kSessionTimeout, 60U);
    writer.add(Type::kFramedIpAddress, 0x0a630014U);
  });
  answers();
  const Grant& grant = last_answer_.grant;
  EXPECT_EQ(grant.user, "Alice");
  EXPECT_EQ(plan_->group_of(grant.values).id, 7U);
  EXPECT_EQ(plan_->group_of({"other"}).id, 8U);
  EXPECT_EQ(grant.session_seconds, 60U);
  EXPECT_EQ(grant.addresses, std::vector{*parse_address("10.99.0.20")});
  ASSERT_EQ(grant.classes.size(), 1U);
  EXPECT_EQ(grant.classes[0], bytes("class"));
  EXPECT_FALSE(last_answer_.key.has_value());
  EXPECT_TRUE(grant.mac.is_zero());
}

TEST_F(RadiusClient, GrantHasTheDevicesAddressWhereTheServerSaysOne) {
  const auto mac_of = [this](std::string_view said) {
    ask();
    sent();
    answer(last_, Code::kAccessAccept, [said](Writer& writer) { writer.add(Type::kCallingStationId, said); });
    answers();
    return to_string(last_answer_.grant.mac);
  };
  EXPECT_EQ(mac_of("00-10-A4-23-19-C0"), "00:10:a4:23:19:c0");
  EXPECT_EQ(mac_of("00:10:a4:23:19:c0"), "00:10:a4:23:19:c0");
  for (const char* other : {"192.0.2.10", "00-10-A4-23-19-C0:corp", "0010.a423.19c0", "01-10-A4-23-19-C0", "+81-3-1234-5678"}) {
    EXPECT_EQ(mac_of(other), "00:00:00:00:00:00") << other;
  }
}

}  // namespace
}  // namespace sekisho::vpn::radius
