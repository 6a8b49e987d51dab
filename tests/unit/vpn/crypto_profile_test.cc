// SPDX-License-Identifier: Apache-2.0
#include "vpn/crypto_profile.h"

#include <gtest/gtest.h>

#include <string>

namespace sekisho::vpn {
namespace {

std::string all_of(CryptoProfileId id) {
  std::string text;
  for (const auto list : {crypto_profile(id).ike, crypto_profile(id).esp}) {
    for (const char* proposal : list) text.append("-").append(proposal).append("-");
  }
  return text;
}

bool names(CryptoProfileId id, const std::string& algorithm) { return all_of(id).find("-" + algorithm + "-") != std::string::npos; }

constexpr CryptoProfileId kAll[] = {CryptoProfileId::kCertified, CryptoProfileId::kModern, CryptoProfileId::kWindowsDefault, CryptoProfileId::kLegacy};

TEST(CryptoProfile, NeverNamesWhatIsRefusedAlways) {
  for (const CryptoProfileId id : kAll) {
    for (const char* refused : {"des", "null", "md5", "modp768", "prfmd5", "blowfish128", "cast128"}) EXPECT_FALSE(names(id, refused)) << refused;
  }
}

TEST(CryptoProfile, WeakAlgorithmsStandOnlyWhereTheyAreAskedFor) {
  for (const char* weak : {"sha1", "modp1024", "3des", "prfsha1"}) {
    EXPECT_FALSE(names(CryptoProfileId::kCertified, weak)) << weak;
    EXPECT_FALSE(names(CryptoProfileId::kModern, weak)) << weak;
    EXPECT_TRUE(names(CryptoProfileId::kLegacy, weak)) << weak;
  }
  EXPECT_TRUE(names(CryptoProfileId::kWindowsDefault, "sha1"));
  EXPECT_TRUE(names(CryptoProfileId::kWindowsDefault, "modp1024"));
  EXPECT_FALSE(names(CryptoProfileId::kWindowsDefault, "3des"));
}

TEST(CryptoProfile, EveryProfileBeginsWithItsStrongest) {
  for (const CryptoProfileId id : kAll) {
    EXPECT_EQ(std::string(crypto_profile(id).ike.front()).rfind("aes256gcm16", 0), 0U);
    EXPECT_EQ(std::string(crypto_profile(id).esp.front()).rfind("aes256gcm16", 0), 0U);
  }
}

TEST(CryptoProfile, CheapGroupsStandBeforeDearOnes) {
  for (const CryptoProfileId id : {CryptoProfileId::kModern, CryptoProfileId::kWindowsDefault}) {
    for (const char* proposal : crypto_profile(id).ike) {
      const std::string text = proposal;
      EXPECT_LT(text.find("-ecp256"), text.find("-x25519")) << text;
      EXPECT_LT(text.find("-x25519"), text.find("-ecp384")) << text;
      EXPECT_LT(text.find("-ecp521"), text.find("-modp2048")) << text;
      EXPECT_LT(text.find("-modp2048"), text.find("-modp4096")) << text;
      EXPECT_LT(text.find("-modp4096"), text.find("-modp1024")) << text;  // weak ones last
    }
  }
}

// Windows sends each combination as a proposal of its own, weak ones first: what we list together it would choose from.
TEST(CryptoProfile, NoProposalHoldsWeakAndStrongIntegrity) {
  for (const auto list : {crypto_profile(CryptoProfileId::kWindowsDefault).ike, crypto_profile(CryptoProfileId::kWindowsDefault).esp}) {
    bool weak_before = false;
    for (const char* proposal : list) {
      const std::string text = "-" + std::string(proposal);
      const bool weak = text.find("-sha1") != std::string::npos;
      EXPECT_FALSE(weak && text.find("-sha256") != std::string::npos) << text;
      EXPECT_FALSE(weak_before && !weak) << text;
      weak_before = weak;
    }
  }
}

TEST(CryptoProfile, ListsEndInANullPointerForC) {
  for (const CryptoProfileId id : kAll) {
    const CryptoProfile& profile = crypto_profile(id);
    EXPECT_EQ(profile.ike.data()[profile.ike.size()], nullptr);
    EXPECT_EQ(profile.esp.data()[profile.esp.size()], nullptr);
  }
}

TEST(CryptoProfile, OnlyTheLegacyProfileKnowsSharedSecrets) {
  for (const CryptoProfileId id : kAll) EXPECT_EQ(crypto_profile(id).psk, id == CryptoProfileId::kLegacy);
}

TEST(CryptoProfile, OfIkeV1WeakAlgorithmsAreTheLegacyProfilesAndSha1WithThemWindowsDefaults) {
  const auto names = [](CryptoProfileId id, std::string_view what) {
    for (const auto list : {crypto_profile(id).ike_v1, crypto_profile(id).esp_v1}) {
      for (const char* proposal : list) {
        if (std::string_view(proposal).find(what) != std::string_view::npos) return true;
      }
    }
    return false;
  };
  EXPECT_TRUE(crypto_profile(CryptoProfileId::kCertified).ike_v1.empty());
  for (const CryptoProfileId id : {CryptoProfileId::kModern, CryptoProfileId::kWindowsDefault, CryptoProfileId::kLegacy}) {
    EXPECT_EQ(names(id, "3des"), id == CryptoProfileId::kLegacy);
    EXPECT_EQ(names(id, "modp1024"), id == CryptoProfileId::kLegacy);
    EXPECT_EQ(names(id, "sha1"), id != CryptoProfileId::kModern);
    EXPECT_FALSE(names(id, "md5"));
    EXPECT_EQ(crypto_profile(id).ike_v1.data()[crypto_profile(id).ike_v1.size()], nullptr);
    EXPECT_EQ(crypto_profile(id).esp_v1.data()[crypto_profile(id).esp_v1.size()], nullptr);
  }
}

TEST(CryptoProfile, IsFoundByItsName) {
  for (const CryptoProfileId id : kAll) EXPECT_EQ(crypto_profile_named(crypto_profile(id).name), id);
  EXPECT_EQ(crypto_profile_named("Modern"), std::nullopt);
}

TEST(WeakParts, NamesEachWeakPartAndNothingElse) {
  EXPECT_EQ(weak_parts("AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024"), "HMAC_SHA1_96,PRF_HMAC_SHA1,MODP_1024");
  EXPECT_EQ(weak_parts("3DES_CBC/HMAC_SHA2_256_128"), "3DES_CBC");
  EXPECT_EQ(weak_parts("AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384"), "");
  EXPECT_EQ(weak_parts(""), "");
}

}  // namespace
}  // namespace sekisho::vpn
