// SPDX-License-Identifier: Apache-2.0
// Goal: a client's control connection and call come up and go down over any network, each message of its is acted on once and in order,
// and whatever is sent in whatever order is answered as RFC 2661 says. Method: a client played here, whose datagrams and answers
// may be lost, doubled and swapped; time is an argument.
#include "vpn/l2tp/connection.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "base/net/endian.h"

namespace sekisho::vpn::l2tp {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint16_t kOurs = 0x1111, kTheirs = 0x2222, kTheirCall = 0x3333;
const Bytes kLcp{0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 4};

struct Recorder : Sink {
  void datagram(ByteSpan datagram) override { sent.emplace_back(datagram.begin(), datagram.end()); }
  void call_up(const Call& call) override { up.push_back(call); }
  void frame(std::uint16_t session, ByteSpan frame) override { frames.emplace_back(session, Bytes(frame.begin(), frame.end())); }
  void call_down(std::uint16_t session, Ended how, std::string_view text) override { down.push_back({session, how, std::string(text)}); }
  struct Down {
    std::uint16_t session;
    Ended how;
    std::string text;
  };
  std::vector<Bytes> sent;
  std::vector<Call> up;
  std::vector<std::pair<std::uint16_t, Bytes>> frames;
  std::vector<Down> down;
};

struct World {
  Options options;
  Recorder sink;
  std::uint16_t last_session = 0x4443;
  std::optional<Connection> made;
  Time now = Time() + 1000s;
  std::uint16_t ns = 0, nr = 0;  ///< the client's

  explicit World(Options with = {}) : options(std::move(with)) {
    made.emplace(options, kOurs, sink, [this] { return ++last_session; });
  }
  Connection& connection() { return *made; }
  void raw(Bytes message, std::uint16_t at, std::uint16_t heard) {
    stamp(message, at, heard);
    connection().receive(message, now);
  }
  /// The next message of the client, who has heard everything.
  void say(Bytes message) {
    raw(std::move(message), ns++, nr);
  }
  /// What was sent since, read; the client counts what is numbered.
  std::vector<ControlMessage> heard() {
    std::vector<ControlMessage> out;
    for (const Bytes& bytes : std::exchange(sink.sent, {})) {
      if (!is_control(bytes)) continue;
      auto message = parse_control(bytes, options.secret);
      EXPECT_TRUE(message);
      if (message->type && message->header.ns == nr) ++nr;
      out.push_back(std::move(*message));
    }
    return out;
  }
  ControlMessage heard_one() {
    auto all = heard();
    EXPECT_EQ(all.size(), 1U);
    return all.empty() ? ControlMessage{} : all.back();
  }
  static ControlWriter sccrq() {
    ControlWriter out(MessageType::kSccrq, 0, 0);
    out.u16(AvpType::kProtocolVersion, 0x0100).u32(AvpType::kFramingCapabilities, 3).text(AvpType::kHostName, "pc").u16(AvpType::kAssignedTunnel, kTheirs).u16(AvpType::kReceiveWindow, 8);
    return out;
  }
  static Bytes scccn() { return ControlWriter(MessageType::kScccn, kOurs, 0).take(); }
  static Bytes icrq(std::uint16_t call = kTheirCall) {
    return ControlWriter(MessageType::kIcrq, kOurs, 0).u16(AvpType::kAssignedSession, call).u32(AvpType::kCallSerial, 1).take();
  }
  static Bytes iccn(std::uint16_t session) {
    return ControlWriter(MessageType::kIccn, kOurs, session).u32(AvpType::kTxSpeed, 100000000).u32(AvpType::kFramingType, 1).take();
  }
  void establish() {
    say(sccrq().take());
    EXPECT_EQ(heard_one().type, MessageType::kSccrp);
    say(scccn());
    heard();
    ASSERT_TRUE(connection().established());
  }
  /// Our id of the call.
  std::uint16_t call() {
    establish();
    say(icrq());
    const auto icrp = heard_one();
    EXPECT_EQ(icrp.type, MessageType::kIcrp);
    say(iccn(icrp.assigned_session.value_or(0)));
    heard();
    EXPECT_EQ(sink.up.size(), 1U);
    return icrp.assigned_session.value_or(0);
  }
  void pass(std::chrono::milliseconds time) {
    const Time end = now + time;
    for (Time due = connection().next(); due <= end && !connection().over(); due = connection().next()) {
      now = std::max(now, due);
      connection().tick(now);
    }
    now = end;
    connection().tick(now);
  }
};

TEST(L2tpConnection, ComesUpCarriesFramesAndEndsByTheClient) {
  World world;
  const std::uint16_t session = world.call();
  EXPECT_EQ(world.sink.up[0].local_session, session);
  EXPECT_EQ(world.sink.up[0].peer_session, kTheirCall);
  EXPECT_FALSE(world.sink.up[0].sequenced);
  world.connection().receive(write_data(kOurs, session, kLcp), world.now);
  ASSERT_EQ(world.sink.frames.size(), 1U);
  EXPECT_EQ(world.sink.frames[0].second, kLcp);
  world.connection().receive(write_data(kOurs, session + 1, kLcp), world.now);
  world.connection().receive(write_data(kOurs + 1, session, kLcp), world.now);
  EXPECT_EQ(world.sink.frames.size(), 1U) << "of another call, of another connection";
  world.connection().send(session, kLcp);
  EXPECT_EQ(world.sink.sent.back(), write_data(kTheirs, kTheirCall, kLcp));
  world.sink.sent.clear();

  world.say(ControlWriter(MessageType::kCdn, kOurs, session).result({3, 0, "bye"}).u16(AvpType::kAssignedSession, kTheirCall).take());
  EXPECT_FALSE(world.heard_one().type) << "a ZLB acknowledges it";
  ASSERT_EQ(world.sink.down.size(), 1U);
  EXPECT_EQ(world.sink.down[0].text, "administrative reasons (bye)");
  EXPECT_EQ(world.sink.down[0].how, Ended::kByPeer);
  world.say(ControlWriter(MessageType::kStopCcn, kOurs, 0).u16(AvpType::kAssignedTunnel, kTheirs).result({1, 0, ""}).take());
  EXPECT_TRUE(world.connection().ending());
  world.heard();
  world.raw(ControlWriter(MessageType::kStopCcn, kOurs, 0).u16(AvpType::kAssignedTunnel, kTheirs).result({1, 0, ""}).take(), world.ns - 1, world.nr);
  EXPECT_EQ(world.heard().size(), 1U) << "said again, it is acknowledged again";
  world.pass(16s);
  EXPECT_TRUE(world.connection().over());
  EXPECT_EQ(world.sink.down.size(), 1U);
}

TEST(L2tpConnection, TheClientsStopEndsItsCall) {
  World world;
  world.call();
  world.say(ControlWriter(MessageType::kStopCcn, kOurs, 0).u16(AvpType::kAssignedTunnel, kTheirs).result({6, 0, ""}).take());
  ASSERT_EQ(world.sink.down.size(), 1U);
  EXPECT_EQ(world.sink.down[0].text, "the requester is being shut down");
}

TEST(L2tpConnection, ActsOnceOnWhatComesTwiceAndInOrderOnWhatIsSwapped) {
  World world;
  world.establish();
  const Bytes first = World::icrq(1), second = World::icrq(2), third = World::icrq(3);
  world.raw(third, 4, world.nr);
  world.raw(second, 3, world.nr);
  for (const auto& answer : world.heard()) EXPECT_FALSE(answer.type) << "nothing before its turn";
  world.raw(first, 2, world.nr);
  std::vector<std::uint16_t> sessions;
  for (const auto& answer : world.heard()) {
    if (answer.type == MessageType::kIcrp) sessions.push_back(answer.header.session);
  }
  world.raw(second, 3, world.nr);  // acknowledges what came: the others may follow
  for (const auto& answer : world.heard()) {
    if (answer.type == MessageType::kIcrp) sessions.push_back(answer.header.session);
  }
  EXPECT_EQ(sessions, (std::vector<std::uint16_t>{1, 2, 3}));
  EXPECT_EQ(world.connection().calls(), 3U);
  world.raw(World::icrq(9), 2 + 0x8000, world.nr);
  EXPECT_EQ(world.connection().calls(), 3U) << "half the circle behind is old";
}

TEST(L2tpConnection, SendsAgainDoublingAndGivesUp) {
  World world;
  world.say(World::sccrq().take());
  std::vector<Time> times{world.now};
  world.sink.sent.clear();
  while (!world.connection().over() && times.size() < 20) {
    world.now = world.connection().next();
    world.connection().tick(world.now);
    if (!std::exchange(world.sink.sent, {}).empty()) times.push_back(world.now);
  }
  ASSERT_EQ(times.size(), 5U);
  for (std::size_t i = 1; i < times.size(); ++i) EXPECT_EQ(times[i] - times[i - 1], std::chrono::seconds(1U << (i - 1)));
  EXPECT_EQ(world.connection().end_text(), "the client does not acknowledge");
}

TEST(L2tpConnection, ASilentClientIsAskedAndThenLost) {
  World world;
  world.call();
  world.sink.sent.clear();
  world.pass(59s);
  EXPECT_TRUE(world.sink.sent.empty());
  world.pass(1s);
  ASSERT_EQ(world.heard_one().type, MessageType::kHello);
  world.raw(write_zlb({kOurs, 0, 0, 0}), world.ns, world.nr);
  world.pass(50s);
  EXPECT_TRUE(world.sink.sent.empty()) << "he answered";
  world.pass(60s);
  EXPECT_TRUE(world.connection().over());
  ASSERT_EQ(world.sink.down.size(), 1U);
  EXPECT_EQ(world.sink.down[0].how, Ended::kSilent);
}

/// One that was adopted, with a call; the client waits for `client_wants` and says `client_says` next.
struct AdoptedWorld : World {
  static constexpr std::uint16_t kCall = 0x5555;
  AdoptedWorld() {
    connection().adopt(kTheirs, now);
    connection().adopt_call({kCall, kTheirCall, false}, now);
  }
  /// Acknowledges as a client does that waits for `wanted`: what lies behind it is a copy; what lies ahead gets no answer.
  void answer(std::uint16_t wanted, std::uint16_t says) {
    for (const Bytes& bytes : std::exchange(sink.sent, {})) {
      const auto message = parse_control(bytes, {});
      ASSERT_TRUE(message);
      if (!message->type) continue;
      const auto behind = static_cast<std::uint16_t>(wanted - message->header.ns);
      if (behind == 0 || behind > 0x8000) continue;
      connection().receive(write_zlb({kOurs, 0, says, wanted}), now);
    }
  }
};

TEST(L2tpConnection, OneThatWasAdoptedLearnsItsNumbersFromTheClientAndGoesOn) {
  for (const std::uint16_t wanted : std::initializer_list<std::uint16_t>{2, 77, 0x7fff, 0x8000, 0x8001, 0xfff0}) {
    AdoptedWorld world;
    const auto asked = world.sink.sent;
    ASSERT_EQ(asked.size(), 1U);
    EXPECT_EQ(parse_control(asked[0], {})->type, MessageType::kHello);
    world.answer(wanted, 9);
    world.pass(1s);
    world.answer(wanted, 9);
    world.pass(3s);
    EXPECT_TRUE(world.sink.sent.empty()) << wanted << ": he has answered, and is not asked again";
    world.connection().receive(write_data(kOurs, AdoptedWorld::kCall, kLcp), world.now);
    EXPECT_EQ(world.sink.frames.size(), 1U);
    // His next message is acted on once, and ours bears the number he waits for.
    world.raw(ControlWriter(MessageType::kHello, kOurs, 0).take(), 9, wanted);
    const auto zlb = parse_control(world.sink.sent.at(0), {});
    EXPECT_EQ(zlb->header.nr, 10) << wanted;
    world.sink.sent.clear();
    world.connection().end_call(AdoptedWorld::kCall, {3, 0, "over"}, world.now);
    const auto cdn = parse_control(world.sink.sent.at(0), {});
    EXPECT_EQ(cdn->type, MessageType::kCdn);
    EXPECT_EQ(cdn->header.ns, wanted);
    EXPECT_EQ(cdn->header.session, kTheirCall);
  }
}

TEST(L2tpConnection, OneThatWasAdoptedLearnsFromTheClientsOwnWordsToo) {
  AdoptedWorld world;
  world.sink.sent.clear();
  world.connection().end_call(AdoptedWorld::kCall, {3, 0, "over"}, world.now);
  EXPECT_TRUE(world.sink.sent.empty()) << "nobody knows its number yet";
  world.raw(ControlWriter(MessageType::kHello, kOurs + 1, 0).take(), 40, 30);
  EXPECT_TRUE(world.sink.sent.empty()) << "another connection's";
  world.raw(ControlWriter(MessageType::kHello, kOurs, 0).take(), 41, 31);
  ASSERT_FALSE(world.sink.sent.empty());
  const auto cdn = parse_control(world.sink.sent.at(0), {});
  EXPECT_EQ(cdn->type, MessageType::kCdn);
  EXPECT_EQ(cdn->header.ns, 31);
}

TEST(L2tpConnection, OneThatWasAdoptedAndIsNotAnsweredIsLost) {
  AdoptedWorld world;
  world.pass(24s);
  EXPECT_TRUE(world.connection().over());
  ASSERT_EQ(world.sink.down.size(), 1U);
  EXPECT_EQ(world.sink.down[0].how, Ended::kSilent);
}

TEST(L2tpConnection, SlowStartKeepsToTheWindowTheClientGave) {
  World world;
  world.establish();
  for (std::uint16_t call = 1; call <= 6; ++call) world.raw(World::icrq(call), world.ns++, 1);
  std::size_t icrp = 0;
  for (const auto& answer : world.heard()) icrp += answer.type == MessageType::kIcrp ? 1U : 0U;
  EXPECT_EQ(icrp, 2U) << "one acknowledged message has opened the window to two";
  world.raw(write_zlb({kOurs, 0, 0, 0}), world.ns, 3);
  icrp = 0;
  for (const auto& answer : world.heard()) icrp += answer.type == MessageType::kIcrp ? 1U : 0U;
  EXPECT_EQ(icrp, 4U);
}

TEST(L2tpConnection, RefusesOtherVersionsUnreadableAvpsAndChallengesItCannotAnswer) {
  struct Case {
    Bytes sccrq;
    std::uint16_t result, error;
  };
  ControlWriter version(MessageType::kSccrq, 0, 0);
  version.u16(AvpType::kProtocolVersion, 0x0200).u16(AvpType::kAssignedTunnel, kTheirs);
  ControlWriter avp = World::sccrq();
  avp.bytes(static_cast<AvpType>(99), Bytes{1});
  ControlWriter challenge = World::sccrq();
  challenge.bytes(AvpType::kChallenge, Bytes(16, 1));
  for (const Case& one : {Case{version.take(), 5, 0x0100}, Case{avp.take(), 2, 8}, Case{challenge.take(), 4, 0}}) {
    World world;
    world.say(one.sccrq);
    const auto answer = world.heard_one();
    EXPECT_EQ(answer.type, MessageType::kStopCcn);
    EXPECT_EQ(answer.header.tunnel, kTheirs);
    EXPECT_EQ(answer.assigned_tunnel, kOurs);
    ASSERT_TRUE(answer.result);
    EXPECT_EQ(answer.result->result, one.result);
    EXPECT_EQ(answer.result->error, one.error);
    EXPECT_TRUE(world.connection().ending());
    world.say(World::scccn());
    EXPECT_FALSE(world.connection().established());
  }
  World world;
  world.say(ControlWriter(MessageType::kSccrq, 0, 0).u16(AvpType::kProtocolVersion, 0x0100).take());
  EXPECT_TRUE(world.connection().over()) << "nobody to answer";
  EXPECT_TRUE(world.sink.sent.empty());
}

TEST(L2tpConnection, AnUnreadableAvpOfACallEndsTheCallAlone) {
  World world;
  const std::uint16_t session = world.call();
  world.say(ControlWriter(MessageType::kSli, kOurs, session).bytes(static_cast<AvpType>(99), Bytes{1}).take());
  const auto cdn = world.heard_one();
  EXPECT_EQ(cdn.type, MessageType::kCdn);
  EXPECT_EQ(cdn.header.session, kTheirCall);
  EXPECT_EQ(world.sink.down.size(), 1U);
  EXPECT_TRUE(world.connection().established());
}

TEST(L2tpConnection, ProvesTheSecretBothWays) {
  for (const bool right : {true, false}) {
    World world({.secret = "shared"});
    world.say(World::sccrq().bytes(AvpType::kChallenge, Bytes(16, 7)).take());
    const auto reply = world.heard_one();
    EXPECT_EQ(reply.challenge_response, respond(MessageType::kSccrp, "shared", Bytes(16, 7)));
    ASSERT_FALSE(reply.challenge.empty());
    const auto answer = respond(MessageType::kScccn, right ? "shared" : "Shared", reply.challenge);
    world.say(ControlWriter(MessageType::kScccn, kOurs, 0).bytes(AvpType::kChallengeResponse, answer).take());
    EXPECT_EQ(world.connection().established(), right);
  }
  World world({.secret = "shared"});
  world.say(World::sccrq().take());
  world.heard();
  world.say(World::scccn());
  EXPECT_FALSE(world.connection().established()) << "no answer is a wrong one";
}

TEST(L2tpConnection, NoCallStandsBeforeItsConnectionAndNoFrameBeforeItsCall) {
  World world;
  world.say(World::sccrq().take());
  world.heard();
  world.say(World::icrq());
  EXPECT_TRUE(world.connection().ending());
  EXPECT_EQ(world.heard().back().result->result, 7);
  World early;
  early.establish();
  early.say(World::icrq());
  const auto icrp = early.heard_one();
  early.connection().receive(write_data(kOurs, *icrp.assigned_session, kLcp), early.now);
  EXPECT_TRUE(early.sink.frames.empty());
  early.say(World::iccn(*icrp.assigned_session));
  early.connection().receive(write_data(kOurs, *icrp.assigned_session, kLcp), early.now);
  EXPECT_EQ(early.sink.frames.size(), 1U);
}

TEST(L2tpConnection, AHalfMadeCallAndAnIdleConnectionEnd) {
  World world;
  world.establish();
  world.say(World::icrq());
  world.heard();
  world.raw(write_zlb({kOurs, 0, 0, 0}), world.ns, world.nr);
  world.pass(31s);
  bool cdn = false;
  for (const auto& answer : world.heard()) cdn = cdn || (answer.type == MessageType::kCdn && answer.result->result == 10);
  EXPECT_TRUE(cdn);
  world.raw(write_zlb({kOurs, 0, 0, 0}), world.ns, world.nr);
  EXPECT_TRUE(world.sink.down.empty()) << "it was never up";
  world.pass(57s);
  EXPECT_FALSE(world.connection().ending());
  world.heard();
  world.raw(write_zlb({kOurs, 0, 0, 0}), world.ns, world.nr);
  world.pass(3s);
  EXPECT_TRUE(world.connection().ending());
  EXPECT_EQ(world.heard().back().type, MessageType::kStopCcn);
}

TEST(L2tpConnection, WeEndACallOrAllInWords) {
  World world;
  const std::uint16_t session = world.call();
  world.connection().end_call(session, {3, 0, "by an operator"}, world.now);
  const auto cdn = world.heard_one();
  EXPECT_EQ(cdn.type, MessageType::kCdn);
  EXPECT_EQ(cdn.header.session, kTheirCall);
  EXPECT_EQ(describe(*cdn.type, *cdn.result), "administrative reasons (by an operator)");
  EXPECT_TRUE(world.sink.down.empty()) << "who ended it knows";
  World all;
  all.call();
  all.connection().stop({6, 0, "maintenance"}, all.now);
  EXPECT_EQ(all.heard().back().type, MessageType::kStopCcn);
  ASSERT_EQ(all.sink.down.size(), 1U);
  EXPECT_EQ(all.sink.down[0].how, Ended::kByUs);
  all.raw(write_zlb({kOurs, 0, 0, 0}), all.ns, all.nr);
  all.pass(16s);
  EXPECT_TRUE(all.connection().over());
}

TEST(L2tpConnection, HasRoomForSomeCallsAndForAClientThatDoesNotAcknowledgeNone) {
  World world;
  world.establish();
  for (std::uint16_t call = 1; call <= Connection::kCallsMax + 1; ++call) {
    world.say(World::icrq(call));
    const auto answer = world.heard();
    ASSERT_FALSE(answer.empty());
    EXPECT_EQ(answer.back().type, call <= Connection::kCallsMax ? MessageType::kIcrp : MessageType::kCdn) << call;
  }
  for (std::uint16_t call = 1; call < 200 && !world.connection().over(); ++call) {
    world.raw(World::icrq(static_cast<std::uint16_t>(100 + call)), world.ns++, 0);
  }
  EXPECT_TRUE(world.connection().over()) << "what waits for his acknowledgement is bounded";
}

TEST(L2tpConnection, ComesUpOverALossyNetworkThatDoublesAndSwaps) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    Options patient;
    patient.resend_max = 2s;
    patient.tries = 20;
    World world(patient);
    // The client: a queue of messages, each sent again every second until it is acknowledged.
    std::vector<Bytes> script{World::sccrq().take(), World::scccn(), World::icrq()};
    std::vector<Bytes> to_gateway;
    std::set<std::uint16_t> seen;
    std::uint16_t acknowledged = 0, wanted = 0;
    for (int second = 0; second < 60 && world.sink.up.empty(); ++second) {
      if (acknowledged < script.size()) {
        Bytes message = script[acknowledged];
        stamp(message, acknowledged, wanted);
        for (auto copies = random() % 3; copies > 0; --copies) to_gateway.push_back(message);
      } else {
        to_gateway.push_back(write_zlb({kOurs, 0, acknowledged, wanted}));
      }
      std::shuffle(to_gateway.begin(), to_gateway.end(), random);
      for (const Bytes& message : std::exchange(to_gateway, {})) world.connection().receive(message, world.now);
      world.pass(1s);
      for (const Bytes& bytes : std::exchange(world.sink.sent, {})) {
        if (random() % 3 == 0) continue;
        const auto answer = parse_control(bytes, "");
        ASSERT_TRUE(answer);
        acknowledged = std::max(acknowledged, answer->header.nr);
        if (!answer->type || answer->header.ns != wanted) continue;
        ++wanted;
        if (answer->type == MessageType::kIcrp) script.push_back(World::iccn(*answer->assigned_session));
      }
    }
    EXPECT_EQ(world.sink.up.size(), 1U);
    EXPECT_EQ(world.connection().calls(), 1U);
  }
}

}  // namespace
}  // namespace sekisho::vpn::l2tp
