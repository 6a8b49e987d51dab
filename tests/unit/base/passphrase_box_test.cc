// SPDX-License-Identifier: BSD-2-Clause
// Goal: only the same passphrase opens a sealed file, and only as it was.
#include <gtest/gtest.h>

#include "base/crypto/passphrase_box.h"

namespace sekisho {
namespace {

constexpr BoxKind kKind = "SKTEST01";
constexpr std::string_view kPassphrase = "a long passphrase", kText = "what nobody reads";

TEST(PassphraseBox, OpensByItsPassphraseAndSealsAnewEachTime) {
  const auto sealed = seal_with_passphrase(kKind, kPassphrase, kText);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("nobody"), std::string::npos);
  EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, *sealed).value(), kText);
  EXPECT_NE(seal_with_passphrase(kKind, kPassphrase, kText).value(), *sealed);
  EXPECT_EQ(open_with_passphrase(kKind, "a long passphrasf", *sealed).error().code, ErrorCode::kDenied);
}

TEST(PassphraseBox, RefusesOtherKindsOtherVersionsAndEveryCut) {
  const std::string sealed = seal_with_passphrase(kKind, kPassphrase, kText).value();
  EXPECT_EQ(open_with_passphrase("SKTEST02", kPassphrase, sealed).error().code, ErrorCode::kMalformed);
  std::string other = sealed;
  other[8] = 2;
  EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, other).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, other).error().detail, 2U) << "which one";
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{9}, std::size_t{36}, std::size_t{52}})
    EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, std::string_view(sealed).substr(0, size)).error().code, ErrorCode::kMalformed) << size;
  for (const std::size_t at : {std::size_t{9}, std::size_t{25}, std::size_t{37}, sealed.size() - 1}) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, changed).error().code, ErrorCode::kDenied) << at;
  }
  EXPECT_EQ(open_with_passphrase(kKind, kPassphrase, sealed.substr(0, sealed.size() - 1)).error().code, ErrorCode::kDenied);
}

}  // namespace
}  // namespace sekisho
