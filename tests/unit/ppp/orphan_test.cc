// SPDX-License-Identifier: Apache-2.0
// Goal: a link whose session died with its process stays up, keeps its router, and can be ended by either side; nobody begins it anew.
// Method: frames in, frames out.
#include "vpn/ppp/orphan.h"

#include <gtest/gtest.h>

#include "vpn/ppp/control_protocol.h"

namespace sekisho::vpn::ppp {
namespace {

using Frame = std::vector<std::uint8_t>;

const Address kInner = *parse_address("fd00:10:9::7");

OrphanLink link() { return {kInner, {*parse_address("fd00:10::53")}, 1400, 0x01020304}; }

/// A router solicitation from a link-local address, in PPP.
Frame solicitation() {
  Frame out{0xff, 0x03, 0x00, 0x57, 0x60, 0, 0, 0, 0, 8, 58, 255};
  const Address from = *parse_address("fe80::7"), to = *parse_address("ff02::2");
  out.insert(out.end(), from.wire().begin(), from.wire().end());
  out.insert(out.end(), to.wire().begin(), to.wire().end());
  out.insert(out.end(), {133, 0, 0, 0, 0, 0, 0, 0});
  return out;
}

TEST(PppOrphan, AnEchoIsAnsweredWithAMagicNumberOfOurOwn) {
  const Frame request = control_frame(Protocol::kLcp, code::kEchoRequest, 7, Bytes().u32(0xaabbccdd).u16(0x5566).span());
  const auto answer = link().receive(request);
  EXPECT_EQ(answer.frame, control_frame(Protocol::kLcp, code::kEchoReply, 7, Bytes().u32(0x01020304).u16(0x5566).span()));
  EXPECT_TRUE(answer.over.empty());
  EXPECT_TRUE(link().receive(control_frame(Protocol::kLcp, code::kEchoRequest, 7, Bytes().u16(1).span())).frame.empty()) << "without a number";
  EXPECT_TRUE(link().receive(control_frame(Protocol::kLcp, code::kEchoReply, 7, Bytes().u32(1).span())).frame.empty());
}

TEST(PppOrphan, APeerThatEndsItIsAnsweredAndOut) {
  const auto answer = link().receive(control_frame(Protocol::kLcp, code::kTerminateRequest, 9, {}));
  EXPECT_EQ(answer.frame, control_frame(Protocol::kLcp, code::kTerminateAck, 9, {}));
  EXPECT_FALSE(answer.over.empty());
}

TEST(PppOrphan, WhoBeginsItAnewIsOut) {
  for (const Protocol protocol : {Protocol::kLcp, Protocol::kIpcp, Protocol::kIpv6cp}) {
    const auto answer = link().receive(control_frame(protocol, code::kConfigureRequest, 1, Bytes().option32(5, 77).span()));
    EXPECT_FALSE(answer.over.empty());
    EXPECT_EQ(answer.frame.at(4), code::kTerminateRequest);
  }
  EXPECT_TRUE(link().receive(control_frame(Protocol::kCcp, code::kConfigureRequest, 1, {})).over.empty()) << "what was never open";
}

TEST(PppOrphan, ASolicitationBringsTheRouterAndNothingElseOfIpDoes) {
  const auto answer = link().receive(solicitation());
  ASSERT_FALSE(answer.frame.empty());
  EXPECT_EQ(answer.frame, link().advertise());
  EXPECT_EQ(answer.frame.at(44), 134) << "behind four bytes of PPP and forty of IPv6";
  EXPECT_EQ(answer.frame.at(4 + 8 + 15), 1) << "from the link-local address it had";
  Frame packet = solicitation();
  packet[44] = 128;
  EXPECT_TRUE(link().receive(packet).frame.empty());
  EXPECT_TRUE(OrphanLink(std::nullopt, {}, 1400, 1).receive(solicitation()).frame.empty());
}

TEST(PppOrphan, FramesCutAnywhereAreNoFrames) {
  const Frame whole = control_frame(Protocol::kLcp, code::kConfigureRequest, 1, Bytes().option32(5, 77).span());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto answer = link().receive(ByteSpan(whole).first(length));
    EXPECT_TRUE(answer.frame.empty() && answer.over.empty()) << length;
  }
}

}  // namespace
}  // namespace sekisho::vpn::ppp
