// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/mppe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/ppp_peer.h"

namespace sekisho::vpn::ppp {
namespace {

using test::hex;
using test::PppWorld;
using test::unhex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

weak::Key128 key_of(std::uint8_t seed) {
  weak::Key128 out;
  out.fill(seed);
  return out;
}

std::vector<std::uint8_t> number(unsigned i) { return Bytes().u16(0x21).u32(0x45000000U + i).take(); }

/// Login and first packets of pptp-linux and pppd 2.4.9 with pptpd, as captured: alice, "alicepw".
struct Captured {
  weak::Proof proof;
  Captured() {
    const auto challenge = unhex("5736fd211c6b1d6b9fb3be129039a62d");
    const auto response = unhex("2555b9c86cc4d3f98cc86e7c4580ec8a000000000000000093dd48c83ae9dabb2cdf516d71132bb0641e2955a372f83300");
    const auto made = weak::verify(weak::nt_hash_of("alicepw"), challenge, ByteSpan(response).first(16), ByteSpan(response).subspan(24, 24), "alice");
    EXPECT_TRUE(made);
    if (made) proof = *made;
  }
};

TEST(PppMppe, WhatPppdEncryptedIsRead) {
  const Captured login;
  EXPECT_EQ(login.proof.authenticator, "S=0DD49FD1A0CBFDE86DF74855ACD1A0360728880D");
  MppeReceiver receiver(login.proof.receive, true);
  const auto first = receiver.decrypt(unhex("90001583a529f870b0d9d374a0d6100cabec858a3fb488dc3478d5655f32d64c0ed930e412016e5070a6583fb7343761c0e0a65b"));
  ASSERT_TRUE(first.clear);
  EXPECT_THAT(hex(*first.clear), StartsWith("00576000000000083aff")) << "a router solicitation";
  const auto second = receiver.decrypt(unhex(
      "9001a86229758e1994c69839cdcade008db43114c9ede09517abd34de656f421fe6944a4cca715c604849f5f637484941ba9a5903f2cf526a7342214a0fd8fa1509a3d4ef20c347058ff7c5e31be8b4d45a729ae4107c4c2"));
  ASSERT_TRUE(second.clear);
  EXPECT_THAT(hex(*second.clear), HasSubstr("0a42000a0a420001")) << "a ping";
}

TEST(PppMppe, WhatWeEncryptIsWhatPptpdSent) {
  const Captured login;
  const auto sent = unhex("9000103af8ebbc5aa8ad61fc5e877e67f2a389c0fdab52287137b7fc229a9fb8b7058b5ae8621c333d20fbd958bcf3037425ea64");
  MppeReceiver mirror(login.proof.send, true);
  const auto clear = mirror.decrypt(sent);
  ASSERT_TRUE(clear.clear);
  EXPECT_THAT(hex(*clear.clear), StartsWith("00576000000000083aff"));
  MppeSender sender(login.proof.send, true);
  EXPECT_EQ(hex(sender.encrypt(*clear.clear)), hex(sent));
}

TEST(PppMppe, LossCostsAStatelessReceiverNothing) {
  MppeSender sender(key_of(7), true);
  MppeReceiver receiver(key_of(7), true);
  for (unsigned i = 0; i < 20000; ++i) {
    const ByteSpan sealed = sender.encrypt(number(i));
    if (i % 7 == 3 || (i > 5000 && i < 5900)) continue;
    const auto opened = receiver.decrypt(sealed);
    ASSERT_TRUE(opened.clear) << i;
    ASSERT_EQ(hex(*opened.clear), hex(number(i)));
    ASSERT_FALSE(opened.lost);
  }
}

TEST(PppMppe, WhoJumpsWithEveryPacketIsNotFollowed) {
  MppeSender sender(key_of(7), true);
  MppeReceiver receiver(key_of(7), true);
  unsigned followed = 0;
  for (unsigned packet = 0; packet < 20; ++packet) {
    ByteSpan sealed;
    for (unsigned step = 0; step < 2000; ++step) sealed = sender.encrypt(number(step));
    followed += receiver.decrypt(sealed).clear ? 1U : 0U;
  }
  EXPECT_EQ(followed, 1U) << "a loss once is made good; as many steps with each packet are not";
}

TEST(PppMppe, APacketComesOnce) {
  MppeSender sender(key_of(7), true);
  MppeReceiver receiver(key_of(7), true);
  const auto copy = [](ByteSpan bytes) { return std::vector<std::uint8_t>(bytes.begin(), bytes.end()); };
  const auto first = copy(sender.encrypt(number(1))), second = copy(sender.encrypt(number(2)));
  EXPECT_TRUE(receiver.decrypt(second).clear);
  EXPECT_FALSE(receiver.decrypt(second).clear) << "again";
  EXPECT_FALSE(receiver.decrypt(first).clear) << "late: its key is gone";
  EXPECT_TRUE(receiver.decrypt(copy(sender.encrypt(number(3)))).clear);
}

TEST(PppMppe, AStatefulReceiverAsksOnceAndBeginsAnew) {
  for (unsigned lost_at = 0; lost_at < 600; ++lost_at) {
    MppeSender sender(key_of(9), false);
    MppeReceiver receiver(key_of(9), false);
    unsigned asked = 0, read = 0;
    for (unsigned i = 0; i < 1200; ++i) {
      const ByteSpan sealed = sender.encrypt(number(i));
      if (i == lost_at) continue;
      const auto opened = receiver.decrypt(sealed);
      if (opened.lost) ++asked;
      if (i == lost_at + 5) sender.flush();  // the request has arrived
      if (!opened.clear) continue;
      ASSERT_EQ(hex(*opened.clear), hex(number(i))) << lost_at;
      ++read;
    }
    // A flag packet (every 256th) begins anew by itself, before or instead of the one that was asked for.
    EXPECT_LE(asked, 1U);
    EXPECT_GE(read, 1193U) << lost_at;
  }
}

TEST(PppMppe, WhatIsNoMppeIsDropped) {
  MppeReceiver receiver(key_of(1), true);
  EXPECT_FALSE(receiver.decrypt({}).clear);
  EXPECT_FALSE(receiver.decrypt(unhex("9000")).clear);
  EXPECT_FALSE(receiver.decrypt(unhex("8000004500")).clear) << "clear";
  EXPECT_FALSE(receiver.decrypt(unhex("1000004500")).clear) << "not flushed";
  EXPECT_FALSE(receiver.decrypt(unhex("d000004500")).clear) << "compressed";
  EXPECT_FALSE(receiver.decrypt(unhex("9fff004500")).clear) << "the number before the first";
}

/// A peer with MPPE of its own.
struct MppeWorld : PppWorld {
  explicit MppeWorld(std::uint32_t bits) {
    options.mppe = true;
    peer.mppe = bits;
  }
  std::vector<std::uint8_t> sealed(MppeSender& sender, unsigned protocol, ByteSpan packet) {
    return Bytes().u16(0xff03).u16(0xfd).append(sender.encrypt(Bytes().u16(protocol).append(packet).span())).take();
  }
  weak::Key128 key(const std::array<std::uint8_t, 32>& of) {
    weak::Key128 out;
    std::copy_n(of.begin(), 16, out.begin());
    return out;
  }
};
const auto kPing = unhex("450000140000000040010000 0a140005 0a000002");

TEST(PppMppe, PacketsPassEncryptedAlone) {
  for (const std::uint32_t bits : {0x01000040U, 0x00000040U, 0x010000e1U, 0x00000061U}) {
    MppeWorld world(bits);
    world.connect();
    ASSERT_TRUE(world.peer.ccp_open) << bits;
    ASSERT_TRUE(world.session->up(Family::kIpv4));
    EXPECT_EQ(world.peer.mppe & ~0x01000000U, 0x40U) << "whatever it had asked for";
    MppeReceiver receiver(world.key(world.session->keys().send), (world.peer.mppe & 0x01000000) != 0);
    world.owner.frames.clear();
    ASSERT_TRUE(world.session->send(Family::kIpv4, kPing));
    const auto opened = receiver.decrypt(ByteSpan(world.owner.frames.back()).subspan(4));
    ASSERT_TRUE(opened.clear);
    EXPECT_EQ(hex(*opened.clear), "0021" + hex(kPing));
    MppeSender sender(world.key(world.session->keys().receive), true);
    const auto in = world.sealed(sender, 0x21, kPing);
    const Received received = world.session->receive(in, world.now);
    ASSERT_EQ(received.what, Received::What::kPacket);
    EXPECT_EQ(hex(received.packet), hex(kPing));
    const auto clear = Bytes().u16(0xff03).u16(0x21).append(kPing).take();
    EXPECT_EQ(world.session->receive(clear, world.now).what, Received::What::kDropped) << "in the clear";
  }
}

TEST(PppMppe, ARequestThatIsLostIsMadeAgainAndNotWithEveryPacket) {
  MppeWorld world(0x00000040);
  world.peer.wants_stateful = true;
  world.connect();
  ASSERT_TRUE(world.session->up(Family::kIpv4));
  MppeSender sender(world.key(world.session->keys().receive), false);
  const auto take = [&world, &sender] { return world.session->receive(world.sealed(sender, 0x21, kPing), world.now).what; };
  const auto requests = [&world] {
    return std::ranges::count_if(world.owner.frames, [](const auto& frame) { return hex(frame).starts_with("ff0380fd0e"); });
  };
  ASSERT_EQ(take(), Received::What::kPacket);
  world.sealed(sender, 0x21, kPing);  // lost on its way
  EXPECT_EQ(take(), Received::What::kDropped);
  EXPECT_EQ(requests(), 1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(take(), Received::What::kDropped);
  EXPECT_EQ(requests(), 1) << "it may be under way";
  world.now += std::chrono::milliseconds(500);
  EXPECT_EQ(take(), Received::What::kDropped);
  EXPECT_EQ(requests(), 2) << "it was lost, too";
  sender.flush();
  EXPECT_EQ(take(), Received::What::kPacket);
  world.now += std::chrono::milliseconds(500);
  EXPECT_EQ(take(), Received::What::kPacket);
  EXPECT_EQ(requests(), 2);
}

TEST(PppMppe, NobodyFallsBackToClear) {
  MppeWorld none(0);  // has no CCP
  none.connect();
  none.peer.sent.push_back(control_frame(Protocol::kLcp, 8, 1, unhex("80fd")));
  none.talk();
  EXPECT_FALSE(none.session->up(Family::kIpv4));
  ASSERT_TRUE(none.owner.down());
  EXPECT_EQ(none.owner.find(Event::Kind::kDown)->cause, Cause::kCrypto);

  MppeWorld keyless(0x01000040);
  keyless.options.methods = {AuthMethod::kPap};
  keyless.connect();
  ASSERT_TRUE(keyless.owner.down());
  EXPECT_EQ(keyless.owner.find(Event::Kind::kDown)->cause, Cause::kCrypto);

  MppeWorld weak(0x01000020);  // 40 bits, and it naks ours
  weak.start();
  weak.peer.begin();
  weak.talk();
  ASSERT_TRUE(weak.session->up(Family::kIpv4)) << "it takes 128 when told";

  MppeWorld later(0x01000040);
  later.connect();
  later.session->receive(control_frame(Protocol::kCcp, 5, 9, {}), later.now);
  EXPECT_FALSE(later.session->up(Family::kIpv4));
  EXPECT_FALSE(later.session->send(Family::kIpv4, kPing));
  later.talk();
  ASSERT_TRUE(later.owner.down());
  EXPECT_EQ(later.owner.find(Event::Kind::kDown)->cause, Cause::kCrypto);
}

TEST(PppMppe, KeysAreNotUsedTwice) {
  MppeWorld world(0x01000040);
  world.connect();
  world.session->receive(control_frame(Protocol::kCcp, 1, 99, unhex("120600000040")), world.now);
  EXPECT_FALSE(world.session->up(Family::kIpv4));
  world.talk();
  EXPECT_TRUE(world.owner.down());
}

}  // namespace
}  // namespace sekisho::vpn::ppp
