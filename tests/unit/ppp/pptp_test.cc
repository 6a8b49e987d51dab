// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/support/hex.h"
#include "vpn/ppp/frame.h"
#include "vpn/pptp/control.h"
#include "vpn/pptp/gre.h"

namespace sekisho::vpn::pptp {
namespace {

using namespace std::chrono_literals;
using ppp::Bytes;
using test::hex;
using test::unhex;
using Time = ppp::Time;

std::vector<std::uint8_t> message(unsigned type, std::size_t size, const std::vector<std::uint8_t>& body = {}) {
  Bytes out;
  out.u16(size).u16(1).u32(0x1a2b3c4d).u16(type).u16(0).append(body);
  while (out.span().size() < size) out.u8(0);
  return out.take();
}
std::vector<std::uint8_t> start(unsigned version = 0x0100) { return message(1, 156, Bytes().u16(version).u16(0).u32(3).u32(3).u16(0).u16(0).append("laptop").take()); }
std::vector<std::uint8_t> dial(unsigned call = 0x1234) { return message(7, 168, Bytes().u16(call).u16(1).u32(2400).u32(10000000).u32(3).u32(3).u16(50).take()); }

struct World : Control::Owner {
  std::vector<std::vector<std::uint8_t>> written;
  int ups = 0, downs = 0;
  std::uint16_t peer_call = 0;
  Time now{1h};
  Control control{*this, 7, now};
  void write(ByteSpan bytes) override { written.emplace_back(bytes.begin(), bytes.end()); }
  void call_up(std::uint16_t call, std::uint16_t, Time) override {
    ++ups;
    peer_call = call;
  }
  void call_down(std::string_view, Time) override { ++downs; }
  bool give(const std::vector<std::uint8_t>& bytes) { return control.receive(bytes, now); }
};

TEST(PptpControl, ACallIsSetUpAndCleared) {
  World world;
  EXPECT_TRUE(world.give(start()));
  ASSERT_EQ(world.written.size(), 1U);
  EXPECT_EQ(hex(ByteSpan(world.written[0]).first(16)), "009c00011a2b3c4d0002000001000100");
  EXPECT_EQ(world.control.host(), "laptop");
  EXPECT_TRUE(world.give(dial()));
  EXPECT_EQ(world.ups, 1);
  EXPECT_EQ(world.peer_call, 0x1234);
  EXPECT_EQ(hex(ByteSpan(world.written[1]).first(18)), "002000011a2b3c4d00080000000712340100") << "our number, then the peer's";
  EXPECT_TRUE(world.give(message(15, 24)));
  EXPECT_TRUE(world.give(message(12, 16, unhex("9999")))) << "another call's";
  EXPECT_EQ(world.downs, 0);
  EXPECT_TRUE(world.give(message(12, 16, unhex("1234"))));
  EXPECT_EQ(world.downs, 1);
  EXPECT_EQ(world.written.back().size(), 148U);
  EXPECT_TRUE(world.give(dial())) << "and again";
  EXPECT_EQ(world.ups, 2);
}

TEST(PptpControl, EveryMessageHasOneLength) {
  constexpr std::array<std::size_t, 16> kRfc{0, 156, 156, 16, 16, 16, 20, 168, 32, 220, 24, 28, 16, 148, 40, 24};
  for (unsigned type = 0; type < 20; ++type) {
    for (std::size_t size = 0; size <= 300; ++size) {
      Bytes bytes;
      bytes.u16(size).u16(1).u32(0x1a2b3c4d).u16(type).u16(0);
      while (bytes.span().size() < 300) bytes.u8(0);
      EXPECT_EQ(parse_message(bytes.span()).has_value(), type > 0 && type < kRfc.size() && size == kRfc[type]) << type << ' ' << size;
    }
  }
}

TEST(PptpControl, BytesComeInAnyPieces) {
  std::vector<std::uint8_t> all = start();
  for (const auto& next : {dial(), message(5, 16, unhex("01020304")), message(12, 16, unhex("1234"))}) all.insert(all.end(), next.begin(), next.end());
  for (std::size_t piece = 1; piece < all.size(); ++piece) {
    World world;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      ASSERT_TRUE(world.control.receive(ByteSpan(all).subspan(at, std::min(piece, all.size() - at)), world.now));
    }
    EXPECT_EQ(world.written.size(), 4U);
    EXPECT_EQ(world.downs, 1);
  }
}

TEST(PptpControl, WhatIsOutOfOrderEndsTheConnection) {
  EXPECT_FALSE(World().give(dial())) << "before it was started";
  EXPECT_FALSE(World().give(message(12, 16)));
  EXPECT_FALSE(World().give(start(0x0200)));
  World twice;
  EXPECT_TRUE(twice.give(start()));
  EXPECT_FALSE(twice.give(start()));
  for (const unsigned type : {2U, 4U, 8U, 9U, 10U, 11U, 13U}) {
    World world;
    EXPECT_TRUE(world.give(start()));
    EXPECT_FALSE(world.give(message(type, length_of(static_cast<std::uint16_t>(type))))) << type;
  }
  World foreign;
  EXPECT_FALSE(foreign.give(unhex("474554202f20485454502f312e310d0a")));
}

TEST(PptpControl, OneCallAConnection) {
  World world;
  world.give(start());
  world.give(dial());
  EXPECT_TRUE(world.give(dial(0x4321)));
  EXPECT_EQ(world.ups, 1);
  EXPECT_EQ(world.written.back()[16], 4) << "busy";
}

TEST(PptpControl, TheConnectionsEndIsTheCalls) {
  World world;
  world.give(start());
  world.give(dial());
  EXPECT_FALSE(world.give(message(3, 16)));
  world.control.closed(world.now);
  world.control.closed(world.now);
  EXPECT_EQ(world.downs, 1);
  World ours;
  ours.give(start());
  ours.give(dial());
  ours.control.clear_call(ours.now);
  EXPECT_EQ(ours.downs, 1);
  EXPECT_EQ(ours.written.back().size(), 148U);
}

TEST(PptpControl, WhoIsSilentIsAskedAndDropped) {
  World mute;
  EXPECT_TRUE(mute.control.tick(mute.now + 9s));
  EXPECT_FALSE(mute.control.tick(mute.now + 10s));
  World world;
  world.give(start());
  EXPECT_TRUE(world.control.tick(world.now + 60s));
  EXPECT_EQ(hex(world.written.back()), "001000011a2b3c4d0005000000000001");
  EXPECT_TRUE(world.control.receive(message(6, 20, unhex("00000001")), world.now + 61s));
  EXPECT_TRUE(world.control.tick(world.now + 121s));
  EXPECT_FALSE(world.control.tick(world.now + 181s));
}

struct Link : GreLink::Owner {
  std::vector<std::string> in;
  std::vector<std::vector<std::uint8_t>> out;
  Time now{1h};
  GreLink link{*this, 7, 0x1234};
  void send_packet(ByteSpan packet) override { out.emplace_back(packet.begin(), packet.end()); }
  void frame_in(ByteSpan frame, Time) override { in.push_back(hex(frame)); }
  bool give(std::uint32_t sequence, std::uint8_t byte, unsigned call = 7) {
    return link.receive(Bytes().u16(0x3001).u16(0x880b).u16(1).u16(call).u32(sequence).u8(byte).take(), now);
  }
};

TEST(PptpGre, FramesComeInTheirOrderAndOnce) {
  Link world;
  EXPECT_TRUE(world.give(0, 0));
  EXPECT_TRUE(world.give(2, 2));
  EXPECT_TRUE(world.give(3, 3));
  EXPECT_EQ(world.in, (std::vector<std::string>{"00"}));
  EXPECT_TRUE(world.give(1, 1));
  EXPECT_EQ(world.in, (std::vector<std::string>{"00", "01", "02", "03"}));
  EXPECT_FALSE(world.give(1, 1));
  EXPECT_FALSE(world.give(3, 3));
  EXPECT_FALSE(world.give(4, 4, 8)) << "another call's";
  EXPECT_EQ(world.in.size(), 4U);
}

TEST(PptpGre, WhatIsLostIsNotWaitedForLong) {
  Link world;
  world.give(0, 0);
  world.give(2, 2);
  world.give(4, 4);
  world.now += 50ms;
  world.link.tick(world.now);
  EXPECT_EQ(world.in, (std::vector<std::string>{"00", "02"}));
  world.now += 50ms;
  world.link.tick(world.now);
  EXPECT_EQ(world.in.back(), "04");
  EXPECT_FALSE(world.give(3, 3)) << "too late";
}

TEST(PptpGre, NumbersGoAroundAndFewAreKept) {
  Link world;
  std::mt19937 random(5);
  std::uint32_t sequence = 0xffffff80;
  std::size_t given = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<std::uint32_t> some{0, 1, 2, 3, 4, 5, 6, 7};
    if (round > 0) std::shuffle(some.begin(), some.end(), random);
    for (const std::uint32_t next : some) {
      world.give(sequence + next, static_cast<std::uint8_t>(sequence + next));
      ++given;
    }
    sequence += 8;
    ASSERT_EQ(world.in.size(), given) << round;
  }
  for (std::uint32_t i = 1; i < 1000; ++i) world.give(sequence + 2 * i, 1);
  EXPECT_GT(world.in.size(), given + 900) << "not all are kept for what is missing";
}

TEST(PptpGre, WhatCameIsAcknowledged) {
  Link world;
  world.give(5, 1);
  EXPECT_EQ(world.link.next(), world.now + 100ms);
  world.link.send(unhex("c021"));
  EXPECT_EQ(hex(world.out.back()), "3081880b000212340000000000000005c021");
  world.link.send(unhex("c021"));
  EXPECT_EQ(hex(world.out.back()), "3001880b0002123400000001c021");
  world.give(6, 1);
  world.link.tick(world.now + 100ms);
  EXPECT_EQ(hex(world.out.back()), "2081880b0000123400000006");
  EXPECT_EQ(world.link.next(), Time::max());
}

TEST(PptpGre, OnlyRfc2637sHeaderIsRead) {
  const auto good = unhex("3081880b0002123400000000 00000005 c021");
  ASSERT_TRUE(parse_gre(good));
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parse_gre(ByteSpan(good).first(size)));
  for (const std::string_view bad : {"3080880b", "3083880b", "b081880b", "7081880b", "3881880b", "3181880b", "30c1880b", "30810800", "1081880b"}) {
    auto bytes = good;
    const auto head = unhex(bad);
    std::ranges::copy(head, bytes.begin());
    EXPECT_FALSE(parse_gre(bytes)) << bad;
  }
  EXPECT_FALSE(parse_gre(unhex("2001880b00021234c021"))) << "a payload without a number";
  EXPECT_TRUE(parse_gre(unhex("2081880b0000123400000006 000000000000")));
}

}  // namespace
}  // namespace sekisho::vpn::pptp
