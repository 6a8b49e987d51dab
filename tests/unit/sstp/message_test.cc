// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/message.h"

#include <gtest/gtest.h>

#include <string_view>

#include "tests/unit/sstp/bytes.h"

namespace sekisho::vpn::sstp {
namespace {

/// As sstp-client and Windows begin.
const Bytes kConnectRequest = from_hex("1001000e0001000100010006 0001");

ByteSpan body_of(const Bytes& packet) { return ByteSpan(packet).subspan(kHeaderBytes); }

TEST(SstpPacket, IsWaitedForAtEveryByteAndTakenAtTheLast) {
  for (std::size_t size = 0; size < kConnectRequest.size(); ++size) {
    EXPECT_EQ(next_packet(ByteSpan(kConnectRequest).first(size)).state, Framed::State::kMore) << size;
  }
  Bytes two = kConnectRequest;
  two.insert(two.end(), kConnectRequest.begin(), kConnectRequest.end());
  const Framed first = next_packet(two);
  ASSERT_EQ(first.state, Framed::State::kPacket);
  EXPECT_EQ(first.bytes, kConnectRequest.size());
  EXPECT_TRUE(first.packet.control);
}

TEST(SstpPacket, ReservedBitsOfTheLengthAreNotLookedAt) {
  Bytes packet = kConnectRequest;
  packet[2] |= 0xf0;
  EXPECT_EQ(next_packet(packet).bytes, packet.size());
}

TEST(SstpPacket, ThatCannotAdvanceTheStreamIsBad) {
  for (const char* text : {"10010000", "10000003", "11010008", "10020008", "00", "1004"}) {
    EXPECT_EQ(next_packet(from_hex(text)).state, Framed::State::kBad) << text;
  }
  EXPECT_EQ(next_packet(from_hex("10000004")).state, Framed::State::kPacket);
}

TEST(SstpPacket, HoldsAPppFrameOf4091BytesAndNoMore) {
  Bytes packet(kPacketBytesMax, 0);
  const auto header = data_header(kFrameBytesMax);
  std::copy(header.begin(), header.end(), packet.begin());
  const Framed framed = next_packet(packet);
  ASSERT_EQ(framed.state, Framed::State::kPacket);
  EXPECT_FALSE(framed.packet.control);
  EXPECT_EQ(framed.packet.body.size(), kFrameBytesMax);
}

TEST(SstpControl, ConnectRequestNamesItsProtocol) {
  const auto read = read_control(body_of(kConnectRequest));
  ASSERT_TRUE(read.message);
  EXPECT_EQ(read.message->type, MessageType::kConnectRequest);
  EXPECT_EQ(read.message->protocol, 1);
  const Bytes bare = from_hex("00010000");
  EXPECT_EQ(read_control(bare).fault, (Fault{Attribute::kProtocol, Status::kAttributeMissing}));
}

TEST(SstpControl, CutAnywhereIsRefused) {
  const ByteSpan body = body_of(kConnectRequest);
  for (std::size_t size = 0; size < body.size(); ++size) EXPECT_FALSE(read_control(body.first(size)).message) << size;
  Bytes longer(body.begin(), body.end());
  longer.push_back(0);
  EXPECT_FALSE(read_control(longer).message);
}

TEST(SstpControl, AttributesOfAnotherMessageOrTwiceOrOfAnotherLengthAreNamed) {
  const struct { const char* body; Fault fault; } cases[] = {
      {"00010002 00010006 0001 00010006 0001", {Attribute::kProtocol, Status::kDuplicateAttribute}},
      {"00010001 00010007 000100", {Attribute::kProtocol, Status::kInvalidLength}},
      {"00080001 00010006 0001", {Attribute::kProtocol, Status::kAttributeNotHere}},
      {"00010001 00040004", {Attribute::kBindingRequest, Status::kAttributeNotHere}},
      {"00040000", {Attribute::kBinding, Status::kAttributeMissing}},
      {"00040001 00030008 00000002", {Attribute::kBinding, Status::kInvalidLength}},
      {"00010001 00010003", {Attribute::kNone, Status::kInvalidFrame}},
      {"00000000", {Attribute::kNone, Status::kUnacceptedFrame}},
      {"000a0000", {Attribute::kNone, Status::kUnacceptedFrame}},
      {"ffff0000", {Attribute::kNone, Status::kUnacceptedFrame}},
  };
  for (const auto& one : cases) {
    const Bytes body = from_hex(one.body);
    const auto read = read_control(body);
    EXPECT_FALSE(read.message) << one.body;
    EXPECT_EQ(read.fault, one.fault) << one.body;
  }
}

TEST(SstpControl, UnknownAttributesAreSteppedOver) {
  const Bytes body = from_hex("00010002 00770008 01020304 00010006 0001");
  ASSERT_TRUE(read_control(body).message);
}

TEST(SstpControl, AbortSaysWhy) {
  const auto packet = status_message(MessageType::kAbort, {Attribute::kBinding, Status::kValueNotSupported});
  EXPECT_EQ(Bytes(packet.begin(), packet.end()), from_hex("10010014 00050001 0002000c 000000 03 00000004"));
  const auto read = read_control(ByteSpan(packet).subspan(kHeaderBytes));
  ASSERT_TRUE(read.message && read.message->status);
  EXPECT_EQ(*read.message->status, (Fault{Attribute::kBinding, Status::kValueNotSupported}));
}

TEST(SstpControl, ConnectAckIsAsTheSpecificationDrawsIt) {
  std::array<std::uint8_t, kNonceBytes> nonce{};
  nonce[0] = 0xaa;
  nonce[31] = 0xbb;
  const auto packet = connect_ack(nonce, 2);
  const Bytes expected = from_hex("10010030 00020001 00040028 000000 02 aa" + std::string(60, '0') + "bb");
  EXPECT_EQ(Bytes(packet.begin(), packet.end()), expected);
}

TEST(SstpControl, PlainMessagesHaveNoAttributes) {
  const auto packet = plain_message(MessageType::kEchoResponse);
  EXPECT_EQ(Bytes(packet.begin(), packet.end()), from_hex("1001000800090000"));
}

}  // namespace
}  // namespace sekisho::vpn::sstp
