// SPDX-License-Identifier: Apache-2.0
// The vectors of RFC 1320, FIPS 81, RFC 6229, RFC 2759 9.2 and RFC 3079 3.5.
#include <gtest/gtest.h>

#include "tests/support/hex.h"
#include "vpn/weak/mschapv2.h"
#include "vpn/weak/mschapv2_c.h"
#include "vpn/weak/primitives.h"

namespace sekisho::vpn::weak {
namespace {

using test::hex;
using test::unhex;

ByteSpan text(std::string_view value) { return {reinterpret_cast<const std::uint8_t*>(value.data()), value.size()}; }

const auto kChallenge = unhex("5B5D7C7D7B3F2F3E3C2C602132262628");
const auto kPeerChallenge = unhex("21402324255E262A28295F2B3A337C7E");
const auto kResponse = unhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF");

TEST(Weak, Md4IsRfc1320s) {
  EXPECT_EQ(hex(md4({})), "31d6cfe0d16ae931b73c59d7e0c089c0");
  EXPECT_EQ(hex(md4(text("message digest"))), "d9130a8164549fe818874806e1c7014b");
  EXPECT_EQ(hex(md4(text("12345678901234567890123456789012345678901234567890123456789012345678901234567890"))),
            "e33b4ddc9c38f2199c3e7b164fcc0536");
}

TEST(Weak, DesTakes56BitsOfKey) {
  // 0123456789ABCDEF without its parity bits.
  const auto key = unhex("00451338957377");
  const auto clear = unhex("4E6F772069732074");
  Block block;
  std::copy(clear.begin(), clear.end(), block.begin());
  EXPECT_EQ(hex(des(std::span<const std::uint8_t, 7>(key.data(), 7), block)), "3fa40e8a984d4815");
}

TEST(Weak, Rc4IsRfc6229s) {
  Rc4 stream(unhex("0102030405060708090a0b0c0d0e0f10"));
  std::vector<std::uint8_t> out(32);
  stream.apply(std::vector<std::uint8_t>(32), out);
  EXPECT_EQ(hex(out), "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c");
  stream.set_key(unhex("0102030405060708090a0b0c0d0e0f10"));
  stream.apply(std::vector<std::uint8_t>(32), out);
  EXPECT_EQ(hex(out).substr(0, 8), "9ac7cc9a");
}

TEST(Weak, APasswordIsHashedAsUtf16) {
  EXPECT_EQ(hex(nt_hash_of("clientPass")), "44ebba8d5312b8d611474411f56989ae");
  EXPECT_EQ(hex(nt_hash_of("")), "31d6cfe0d16ae931b73c59d7e0c089c0");
  // A character of three bytes and one beyond the first plane: 関 𠮷.
  EXPECT_EQ(nt_hash_of("\xe9\x96\xa2\xf0\xa0\xae\xb7"), md4(unhex("a29542d8b7df")));
  EXPECT_EQ(nt_hash_of("\xe9\x96"), md4(unhex("fdff"))) << "cut in the middle";
  EXPECT_EQ(nt_hash_of("\xc0\xafz"), md4(unhex("fdfffdff7a00"))) << "longer than need be";
}

TEST(Weak, TheVectorsOfRfc2759And3079) {
  const NtHash hash = nt_hash_of("clientPass");
  EXPECT_EQ(hex(nt_response(hash, kChallenge, kPeerChallenge, "User")), hex(kResponse));
  const auto proof = verify(hash, kChallenge, kPeerChallenge, kResponse, "User");
  ASSERT_TRUE(proof);
  EXPECT_EQ(proof->authenticator, "S=407A5589115FD0D6209F510FE9C04566932CDA56");
  EXPECT_EQ(hex(proof->send), "8b7cdc149b993a1ba118cb153f56dccb");
  EXPECT_EQ(hex(proof->receive), "d5f0e9521e3ea9589645e86051c82226");
  const Key128 session = first_session_key(proof->send);
  EXPECT_EQ(hex(session), "405cb2247a7956e6e211007ae27b22d4");
  std::vector<std::uint8_t> out(12);
  Rc4(session).apply(text("test message"), out);
  EXPECT_EQ(hex(out), "81848317df68846272fb5abe");
  EXPECT_NE(next_session_key(proof->send, session), session);
}

TEST(Weak, TheDomainIsNoPartOfTheName) {
  const NtHash hash = nt_hash_of("clientPass");
  EXPECT_TRUE(verify(hash, kChallenge, kPeerChallenge, kResponse, "CORP\\User"));
  EXPECT_FALSE(verify(hash, kChallenge, kPeerChallenge, kResponse, "user"));
}

TEST(Weak, TheSameForC) {
  const NtHash hash = nt_hash_of("clientPass");
  std::array<char, 43> authenticator{};
  std::array<std::uint8_t, 64> msk{};
  const auto verify_c = [&](const char* user) {
    return sekisho_mschapv2_verify(hash.data(), kChallenge.data(), kPeerChallenge.data(), kResponse.data(), reinterpret_cast<const std::uint8_t*>(user),
                                   std::string_view(user).size(), authenticator.data(), msk.data());
  };
  EXPECT_FALSE(verify_c("user"));
  EXPECT_EQ(authenticator[0], 0);
  ASSERT_TRUE(verify_c("User"));
  EXPECT_STREQ(authenticator.data(), "S=407A5589115FD0D6209F510FE9C04566932CDA56");
  EXPECT_EQ(hex(msk), "d5f0e9521e3ea9589645e86051c822268b7cdc149b993a1ba118cb153f56dccb" + std::string(64, '0'));
}

TEST(Weak, OneBitMakesAResponseWrong) {
  const NtHash hash = nt_hash_of("clientPass");
  for (std::size_t bit = 0; bit < 192; ++bit) {
    auto response = kResponse;
    response[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    EXPECT_FALSE(verify(hash, kChallenge, kPeerChallenge, response, "User"));
  }
  EXPECT_FALSE(verify(hash, kChallenge, kPeerChallenge, ByteSpan(kResponse).first(23), "User"));
  EXPECT_FALSE(verify(nt_hash_of("clientpass"), kChallenge, kPeerChallenge, kResponse, "User"));
}

}  // namespace
}  // namespace sekisho::vpn::weak
