// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/ppp_peer.h"

namespace sekisho::vpn::ppp {
namespace {

using namespace std::chrono_literals;
using test::hex;
using test::PppWorld;
using test::unhex;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<std::uint8_t> kPap{0xc0, 0x23}, kMd5{0xc2, 0x23, 5}, kV2{0xc2, 0x23, 0x81}, kEapOption{0xc2, 0x27};
const auto kPacket4 = unhex("450000140000000040010000 0a140005 0a000002");

std::vector<std::uint8_t> framed(unsigned protocol, ByteSpan payload) { return Bytes().u16(0xff03).u16(protocol).append(payload).take(); }

TEST(PppSession, APeerComesInByMschapV2AndGetsWhatItIsLeased) {
  PppWorld world;
  world.connect();
  EXPECT_TRUE(world.peer.proven);
  EXPECT_THAT(world.peer.last_text, StartsWith("S="));
  EXPECT_TRUE(world.peer.ipcp_open && world.peer.ipv6cp_open);
  EXPECT_EQ(world.peer.address, 0x0a140005U);
  EXPECT_EQ(world.peer.dns, 0x0a140035U);
  EXPECT_EQ(world.peer.interface_id, 5U);
  EXPECT_TRUE(world.session->up(Family::kIpv4) && world.session->up(Family::kIpv6));
  EXPECT_EQ(world.session->user(), "hana");
  EXPECT_EQ(world.session->agreed().method, AuthMethod::kMschapV2);
  const auto frame = framed(0x21, kPacket4);
  const Received in = world.session->receive(frame, world.now);
  EXPECT_EQ(in.what, Received::What::kPacket);
  EXPECT_EQ(hex(in.packet), hex(kPacket4));
  EXPECT_TRUE(world.session->send(Family::kIpv4, kPacket4));
  EXPECT_EQ(hex(world.owner.frames.back()), "ff030021" + hex(kPacket4));
}

TEST(PppSession, EveryMethodLetsTheRightPasswordInAndTheWrongOneNot) {
  for (const AuthMethod method : {AuthMethod::kPap, AuthMethod::kChapMd5, AuthMethod::kMschapV2, AuthMethod::kEap}) {
    for (const bool right : {true, false}) {
      PppWorld world;
      world.options.methods = {method};
      if (!right) world.peer.password = "Secret";
      world.connect();
      EXPECT_EQ(world.peer.proven, right) << name_of(method);
      EXPECT_EQ(world.session->up(Family::kIpv4), right) << name_of(method);
      EXPECT_EQ(world.owner.down(), !right) << name_of(method);
      if (!right) {
        EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kAuth);
        EXPECT_EQ(world.owner.find(Event::Kind::kDown)->stage, Stage::kAuthentication);
        EXPECT_TRUE(world.session->user().empty());
      }
    }
  }
}

TEST(PppSession, KeysAreTheMethodsAndSstpsHlakIsReceiveThenSend) {
  for (const AuthMethod method : {AuthMethod::kMschapV2, AuthMethod::kEap}) {
    PppWorld world;
    world.options.methods = {method};
    world.connect();
    const SessionKeys& keys = world.session->keys();
    ASSERT_EQ(keys.size, 16);
    EXPECT_EQ(hex(keys.hlak()), hex(ByteSpan(keys.receive).first(16)) + hex(ByteSpan(keys.send).first(16)));
    EXPECT_NE(keys.receive, keys.send);
  }
  PppWorld world;
  world.options.methods = {AuthMethod::kPap};
  world.connect();
  EXPECT_EQ(world.session->keys().hlak(), (std::array<std::uint8_t, 32>{}));
}

TEST(PppSession, AMethodThePeerWantsIsTakenWhenItIsAllowed) {
  PppWorld world;
  world.options.methods = {AuthMethod::kEap, AuthMethod::kMschapV2};
  world.peer.methods = {kV2};
  world.connect();
  EXPECT_TRUE(world.session->up(Family::kIpv4));
  EXPECT_EQ(world.session->agreed().method, AuthMethod::kMschapV2);
}

TEST(PppSession, PapIsNotTakenFromAPeerThatWantsNothingElse) {
  PppWorld world;
  world.options.methods = {AuthMethod::kEap, AuthMethod::kMschapV2};
  world.peer.methods = {kPap};
  world.connect();
  EXPECT_FALSE(world.peer.proven);
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kAuth);
  EXPECT_THAT(world.down_text(), HasSubstr("another method"));
  EXPECT_THAT(world.peer.seen, Not(Contains("c023 2")));
}

TEST(PppSession, NothingOfThePeersPassesBeforeItIsProven) {
  PppWorld world;
  world.owner.answers = false;
  world.connect();
  ASSERT_NE(world.owner.asked, 0U);
  for (const unsigned protocol : {0x21U, 0x57U, 0xfdU}) {
    EXPECT_EQ(world.session->receive(framed(protocol, kPacket4), world.now).what, Received::What::kDropped);
  }
  const auto frames = world.owner.frames.size();
  for (const Protocol protocol : {Protocol::kIpcp, Protocol::kIpv6cp, Protocol::kCcp}) {
    EXPECT_EQ(world.session->receive(control_frame(protocol, 1, 1, {}), world.now).what, Received::What::kDropped);
  }
  EXPECT_EQ(world.owner.frames.size(), frames) << "and nobody says a word about it";
  EXPECT_FALSE(world.session->send(Family::kIpv4, kPacket4));
  world.session->open_network(world.owner.network, world.now);
  EXPECT_FALSE(world.session->up(Family::kIpv4));
}

TEST(PppSession, AnAnswerToAQuestionOfBeforeIsNobodys) {
  PppWorld world;
  world.owner.answers = false;
  world.connect();
  AuthAnswer yes;
  yes.verdict = AuthAnswer::Verdict::kAccept;
  world.session->answer(world.owner.asked + 1, yes, world.now);
  world.session->answer(world.owner.asked - 1, yes, world.now);
  EXPECT_EQ(world.owner.find(Event::Kind::kAuthenticated), nullptr);
  world.session->answer(world.owner.asked, yes, world.now);
  EXPECT_NE(world.owner.find(Event::Kind::kAuthenticated), nullptr);
}

TEST(PppSession, AnAnswerAfterALongTimeStillCounts) {
  PppWorld world;
  world.owner.answers = false;
  world.connect();
  world.wait(45s);
  AuthAnswer yes;
  yes.verdict = AuthAnswer::Verdict::kAccept;
  yes.authenticator = "S=0";
  world.session->answer(world.owner.asked, yes, world.now);
  world.talk();
  EXPECT_TRUE(world.session->up(Family::kIpv4));
}

TEST(PppSession, NobodyWhoProvesNothingStays) {
  PppWorld world;
  world.owner.answers = false;
  world.connect();
  world.wait(61s);
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->stage, Stage::kAuthentication);
  EXPECT_EQ(world.session->next(), Time::max());
}

TEST(PppSession, ThePeersFirstRequestsOfTheNetworkWaitForTheLease) {
  PppWorld world;
  world.owner.opens = false;
  world.connect();
  EXPECT_TRUE(world.peer.proven);
  EXPECT_FALSE(world.peer.ipcp_open);
  world.session->open_network(world.owner.network, world.now);
  world.talk();
  EXPECT_TRUE(world.peer.ipcp_open && world.peer.ipv6cp_open) << "without another request of the peer's";
}

TEST(PppSession, ARefusalSaysItsNumberToWindows) {
  const std::array<std::pair<Cause, std::string_view>, 4> kNumbers{{{Cause::kAuth, "E=691 R=0 C="}, {Cause::kSchedule, "E=646 R=0 C="},
                                                                   {Cause::kAdmin, "E=647 R=0 C="}, {Cause::kDevice, "E=649 R=0 C="}}};
  for (const auto& [cause, text] : kNumbers) {
    PppWorld world;
    world.owner.refusal = cause;
    world.connect();
    EXPECT_THAT(world.peer.last_text, StartsWith(std::string(text)));
    EXPECT_THAT(world.peer.last_text, HasSubstr(" V=3 "));
    EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, cause);
  }
}

TEST(PppSession, APasswordIsNotChangedHere) {
  PppWorld world;
  world.owner.answers = false;
  world.peer.methods = {kV2};
  world.start();
  world.peer.begin();
  // Link up, the challenge is out; instead of a response a Change-Password packet (RFC 2759 7).
  for (int i = 0; i < 3; ++i) {
    if (!world.owner.frames.empty()) {
      const auto frame = world.owner.frames.front();
      world.owner.frames.pop_front();
      const auto parsed = parse_frame(frame);
      if (parsed && parsed->protocol == 0xc223) break;
      world.peer.take(frame);
    }
    for (const auto& frame : world.peer.sent) world.session->receive(frame, world.now);
    world.peer.sent.clear();
  }
  world.owner.frames.clear();
  world.session->receive(control_frame(Protocol::kChap, 7, 9, std::vector<std::uint8_t>(582)), world.now);
  ASSERT_FALSE(world.owner.frames.empty());
  EXPECT_THAT(std::string(world.owner.frames.front().begin(), world.owner.frames.front().end()), HasSubstr("E=709 R=0"));
}

TEST(PppSession, WhatThePeerMayNotHaveIsRejected) {
  PppWorld world;
  // Callback, link quality, and both compressions at a door that has none; a map, which costs nothing, is kept.
  world.peer.lcp_options = unhex("0d0306 0408c02500000000 0702 0802 020600000000");
  world.start();
  world.peer.begin();
  const auto frame = world.peer.sent.front();
  world.session->receive(frame, world.now);
  EXPECT_EQ(hex(world.owner.frames.back()), "ff03c021040100130d03060408c0250000000007020802");
}

TEST(PppSession, HeadersShrinkWhereTheDoorHasIt) {
  PppWorld world;
  world.options.header_compression = true;
  world.peer.lcp_options = unhex("0702 0802");
  world.connect();
  EXPECT_EQ(hex(world.session->header(Family::kIpv4)), "21");
  EXPECT_EQ(hex(world.session->header(Family::kIpv6)), "57");
  EXPECT_EQ(world.session->receive(Bytes().u8(0x21).append(kPacket4).take(), world.now).what, Received::What::kPacket);
}

TEST(PppSession, ThePeersMruIsObeyedAndABadOneCorrected) {
  PppWorld world;
  world.peer.lcp_options = unhex("01040400");
  world.connect();
  EXPECT_EQ(world.session->agreed().peer_mru, 1024);
  std::vector<std::uint8_t> packet(1025);
  packet[0] = 0x45;
  EXPECT_FALSE(world.session->send(Family::kIpv4, packet));
  packet.pop_back();
  EXPECT_TRUE(world.session->send(Family::kIpv4, packet));

  PppWorld small;
  small.peer.lcp_options = unhex("01040040");
  small.start();
  small.peer.begin();
  small.session->receive(small.peer.sent.front(), small.now);
  EXPECT_EQ(hex(small.owner.frames.back()), "ff03c02103010008010405dc");
}

TEST(PppSession, AFirstRequestThatWasLostIsNotMissedForThreeSeconds) {
  PppWorld world;
  world.start();
  world.owner.frames.clear();  // the peer's PPP was not there yet
  world.peer.begin();
  world.talk();
  EXPECT_TRUE(world.session->up(Family::kIpv4)) << "no timer has fired";
}

TEST(PppSession, ASilentPeerGetsTheFirstRequestAgainAtOnceAndIsGivenUpLater) {
  PppWorld world;
  world.start();
  world.owner.frames.clear();
  world.wait(299ms, false);
  EXPECT_TRUE(world.owner.frames.empty());
  world.wait(1ms, false);
  EXPECT_EQ(world.owner.frames.size(), 1U);
  world.wait(60s, false);
  EXPECT_EQ(world.owner.frames.size(), 9U);
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kPeerLost);
}

TEST(PppSession, ALostAckOfTheLinkCostsNoLogin) {
  PppWorld world;
  world.connect();
  const auto again = control_frame(Protocol::kLcp, 1, 1, unhex("050611223344"));
  world.owner.frames.clear();
  EXPECT_EQ(world.session->receive(again, world.now).what, Received::What::kControl);
  EXPECT_EQ(hex(world.owner.frames.back()), "ff03c0210201000a050611223344");
  EXPECT_TRUE(world.session->up(Family::kIpv4));
}

TEST(PppSession, ANewLinkUnderAProvenPeerIsTheEnd) {
  PppWorld world;
  world.connect();
  world.session->receive(control_frame(Protocol::kLcp, 1, 77, unhex("050699223344")), world.now);
  EXPECT_FALSE(world.session->up(Family::kIpv4));
  EXPECT_EQ(world.session->receive(framed(0x21, kPacket4), world.now).what, Received::What::kDropped);
  world.talk();
  world.wait(10s);
  ASSERT_TRUE(world.owner.down());
  EXPECT_THAT(world.down_text(), HasSubstr("anew"));
}

TEST(PppSession, AnUnprovenPeerMayBeginAnewAFewTimes) {
  PppWorld world;
  world.owner.answers = false;
  world.connect();
  world.owner.answers = true;
  world.peer.sent.push_back(control_frame(Protocol::kLcp, 1, 77, unhex("050699223344")));
  world.talk();
  EXPECT_TRUE(world.session->up(Family::kIpv4));

  PppWorld stubborn;
  stubborn.owner.answers = false;
  stubborn.connect();
  for (std::uint8_t i = 1; i <= 3; ++i) {
    stubborn.peer.sent.push_back(control_frame(Protocol::kLcp, 1, static_cast<std::uint8_t>(77 + i), Bytes().option32(5, 0x99000000U + i).span()));
    stubborn.talk();
  }
  EXPECT_TRUE(stubborn.owner.down());
}

TEST(PppSession, ThePeersGoodbyeIsAnsweredAndHeardAtOnce) {
  PppWorld world;
  world.connect();
  world.owner.frames.clear();
  world.session->receive(control_frame(Protocol::kLcp, 5, 9, {}), world.now);
  EXPECT_EQ(hex(world.owner.frames.back()), "ff03c02106090004");
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kUser);
  EXPECT_EQ(world.down_text(), "the peer ended it");
  EXPECT_EQ(world.owner.events.back().kind, Event::Kind::kDown);
  EXPECT_EQ(world.session->receive(framed(0x21, kPacket4), world.now).what, Received::What::kDropped);
}

TEST(PppSession, OurGoodbyeWaitsForThePeersOrForTheTimer) {
  PppWorld world;
  world.connect();
  world.session->close(Cause::kAdmin, "maintenance", world.now);
  EXPECT_FALSE(world.session->up(Family::kIpv4));
  EXPECT_FALSE(world.owner.down());
  world.talk();
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kAdmin);

  PppWorld lost;
  lost.connect();
  lost.session->close(Cause::kAdmin, "maintenance", lost.now);
  lost.wait(7s, false);
  EXPECT_TRUE(lost.owner.down());
}

TEST(PppSession, TheDoorsEndIsTheSessions) {
  PppWorld world;
  world.connect();
  world.session->lower_down(world.now);
  ASSERT_TRUE(world.owner.down());
  world.session->lower_down(world.now);
  std::size_t downs = 0;
  for (const Event& event : world.owner.events) downs += event.kind == Event::Kind::kDown;
  EXPECT_EQ(downs, 1U);
}

TEST(PppSession, AVanishedPeerIsMissedByItsEchoes) {
  PppWorld world;
  world.connect();
  world.wait(29s);
  EXPECT_EQ(std::ranges::count(world.peer.seen, "c021 9"), 0);
  world.wait(60s);
  EXPECT_GE(std::ranges::count(world.peer.seen, "c021 9"), 2);
  EXPECT_FALSE(world.owner.down()) << "it answers";
  world.wait(60s, false);
  ASSERT_TRUE(world.owner.down());
  EXPECT_EQ(world.owner.find(Event::Kind::kDown)->cause, Cause::kPeerLost);
}

TEST(PppSession, WithoutAnAddressOfAFamilyItsProtocolIsRejectedAndTheOtherWorks) {
  PppWorld world;
  world.owner.network.ipv6.reset();
  world.connect();
  EXPECT_TRUE(world.session->up(Family::kIpv4));
  EXPECT_FALSE(world.session->up(Family::kIpv6));
  EXPECT_THAT(world.peer.seen, Contains("c021 8"));

  PppWorld six;
  six.owner.network.ipv4.reset();
  six.connect();
  EXPECT_TRUE(six.session->up(Family::kIpv6));
  EXPECT_FALSE(six.session->up(Family::kIpv4));
}

TEST(PppSession, ANetworkThePeerClosesLeavesTheOtherAndTheLastOneEnds) {
  PppWorld world;
  world.connect();
  world.session->receive(control_frame(Protocol::kIpv6cp, 5, 9, {}), world.now);
  EXPECT_TRUE(world.session->up(Family::kIpv4));
  EXPECT_FALSE(world.session->up(Family::kIpv6));
  EXPECT_FALSE(world.owner.down());
  world.wait(4s);
  world.session->receive(control_frame(Protocol::kIpcp, 5, 9, {}), world.now);
  world.wait(4s);
  EXPECT_TRUE(world.owner.down());
}

TEST(PppSession, CompressionIsRejectedWhereMppeIsNotWanted) {
  PppWorld world;
  world.peer.mppe = 0x01000040;
  world.connect();
  EXPECT_THAT(world.peer.seen, Contains("c021 8"));
  EXPECT_TRUE(world.session->up(Family::kIpv4));
  EXPECT_FALSE(world.peer.ccp_open);
}

TEST(PppSession, WhatThePeerSaysOfItselfIsTold) {
  PppWorld world;
  world.connect();
  world.session->receive(control_frame(Protocol::kLcp, 12, 9, Bytes().u32(1).append("MSRAS-0-\x01LAPTOP").span()), world.now);
  ASSERT_NE(world.owner.find(Event::Kind::kIdentified), nullptr);
  EXPECT_EQ(world.owner.find(Event::Kind::kIdentified)->text, "MSRAS-0-.LAPTOP");
}

TEST(PppSession, ARouterIsAdvertisedAndASolicitationAnswered) {
  PppWorld world;
  world.connect();
  world.wait(0s);
  ASSERT_FALSE(world.peer.packets.empty());
  const auto& packet = world.peer.packets.front();
  EXPECT_EQ(packet[40], 134);
  EXPECT_EQ(hex(ByteSpan(packet).subspan(72, 8)), "fd00002000000005");
  const auto before = world.peer.packets.size();
  auto solicitation = unhex("6000000000083aff fe800000000000000000000000000005 ff020000000000000000000000000002 8500000000000000");
  world.peer.sent.push_back(framed(0x57, solicitation));
  world.talk();
  EXPECT_EQ(world.peer.packets.size(), before + 1);
  EXPECT_EQ(world.received.back().what, Received::What::kControl);
  solicitation[40] = 128;  // an echo request is for the other side
  world.peer.sent.push_back(framed(0x57, solicitation));
  world.talk();
  EXPECT_EQ(world.received.back().what, Received::What::kPacket);
}

TEST(PppSession, APacketOfAnotherFamilyThanItsProtocolIsDropped) {
  PppWorld world;
  world.connect();
  EXPECT_EQ(world.session->receive(framed(0x57, kPacket4), world.now).what, Received::What::kDropped);
  EXPECT_EQ(world.session->receive(framed(0x21, {}), world.now).what, Received::What::kDropped);
}

}  // namespace
}  // namespace sekisho::vpn::ppp
