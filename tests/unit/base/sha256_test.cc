// SPDX-License-Identifier: BSD-2-Clause
// FIPS 180-4 examples (NIST CSRC, "SHA256.pdf"), and pieces against the whole.
#include "base/crypto/sha256.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace sekisho {
namespace {

ByteSpan bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string hex(const Sha256Digest& digest) {
  std::string out;
  for (const std::uint8_t byte : digest) {
    std::array<char, 3> text{};
    std::snprintf(text.data(), text.size(), "%02x", unsigned{byte});
    out += text.data();
  }
  return out;
}

TEST(Sha256, MatchesThePublishedExamples) {
  EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256(bytes_of("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256, SplitAtEveryByteGivesTheDigestOfTheWhole) {
  const std::string text(130, 'x');
  const auto whole = sha256(bytes_of(text));
  for (std::size_t at = 0; at <= text.size(); ++at) {
    Sha256 hash;
    hash.update(bytes_of(text).first(at));
    hash.update(bytes_of(text).subspan(at));
    EXPECT_EQ(hash.finish(), whole) << at;
  }
}

TEST(Sha256, StartsAgainAfterFinish) {
  Sha256 hash;
  hash.update(bytes_of("something else"));
  static_cast<void>(hash.finish());
  hash.update(bytes_of("abc"));

  EXPECT_EQ(hash.finish(), sha256(bytes_of("abc")));
}

}  // namespace
}  // namespace sekisho
