// SPDX-License-Identifier: Apache-2.0
// Goal: what the profile legacy alone allows ends with its exception, and nothing else does. Method: the rules alone, times given; the
// last second of the last day and the first of the next.
#include "vpn/legacy.h"

#include <gtest/gtest.h>

namespace sekisho::vpn {
namespace {

constexpr std::int64_t kEnd = 1'798'729'200;  // 2027-01-01 00:00 +09:00

GatewayPlan plan(CryptoProfileId profile = CryptoProfileId::kLegacy) {
  GatewayPlan out;
  out.gateway.name = "tokyo";
  out.gateway.profile = profile;
  out.gateway.accept_psk = out.gateway.accept_certificate = true;
  out.legacy_until = kEnd;
  return out;
}

std::string use(Protocol protocol, const char* ike, const char* esp, const char* gateway = "tokyo eap-mschapv2") {
  Session session;
  session.protocol = protocol;
  session.gateway = gateway;
  session.ike_suite = ike;
  session.esp_suite = esp;
  return legacy_use(session);
}

TEST(Legacy, IsWhatNoOtherProfileLetsIn) {
  EXPECT_EQ(use(Protocol::kPptp, "", "MPPE_128"), "PPTP");
  EXPECT_EQ(use(Protocol::kIkeV2, "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048", "AES_CBC_256/HMAC_SHA1_96"), "3DES_CBC");
  EXPECT_EQ(use(Protocol::kIkeV2, "AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048", "3DES_CBC/HMAC_SHA1_96"), "3DES_CBC");
  EXPECT_EQ(use(Protocol::kIkeV2, "AES_GCM_16_256/PRF_HMAC_SHA2_384/ECP_384", "AES_GCM_16_256", "tokyo psk"), "psk");
  EXPECT_EQ(use(Protocol::kL2tp, "3DES_CBC/HMAC_SHA1_96/MODP_1024", "3DES_CBC/HMAC_SHA1_96", "tokyo psk"), "3DES_CBC,MODP_1024");
  // What windows-default takes, too.
  EXPECT_EQ(use(Protocol::kIkeV2, "AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024", "AES_CBC_256/HMAC_SHA1_96"), "");
  EXPECT_EQ(use(Protocol::kL2tp, "AES_CBC_256/HMAC_SHA1_96/ECP_256", "AES_CBC_256/HMAC_SHA1_96", "tokyo psk"), "");
  EXPECT_EQ(use(Protocol::kSstp, "", "TLSv1.3/TLS_AES_256_GCM_SHA384"), "");
}

TEST(Legacy, EndsWithItsLastSecondAndNotBefore) {
  const GatewayPlan one = plan();
  EXPECT_EQ(in_force(one, kEnd - 1), one.gateway);
  const Gateway after = in_force(one, kEnd);
  EXPECT_EQ(after.profile, CryptoProfileId::kWindowsDefault);
  EXPECT_FALSE(after.accept_psk);
  EXPECT_TRUE(after.accept_certificate);
  EXPECT_EQ(in_force(plan(CryptoProfileId::kModern), kEnd), plan(CryptoProfileId::kModern).gateway) << "of another profile nothing ends";
  GatewayPlan unsaid = plan();
  unsaid.legacy_until = 0;
  EXPECT_TRUE(legacy_ended(unsaid, 1)) << "without an end nobody answers for it";
}

TEST(Legacy, ChangesAPlanOnceWhichIsSeenAlsoWhenTheClockGoesBack) {
  Plan all;
  all.tenants[1].gateways.push_back(plan());
  EXPECT_FALSE(legacy_changes(all, kEnd - 86'400, kEnd - 1));
  EXPECT_TRUE(legacy_changes(all, kEnd - 1, kEnd));
  EXPECT_FALSE(legacy_changes(all, kEnd, kEnd + 86'400));
  EXPECT_TRUE(legacy_changes(all, kEnd + 5, kEnd - 5));
}

TEST(Legacy, IsRemarkedOnWhereItsEndMayBeWhy) {
  const GatewayPlan one = plan(), other = plan(CryptoProfileId::kWindowsDefault);
  EXPECT_EQ(legacy_remark(&one, Stage::kNegotiation, Cause::kCrypto, kEnd), kLegacyEnded);
  EXPECT_EQ(legacy_remark(&one, Stage::kNegotiation, Cause::kConfig, kEnd), kLegacyEnded) << "no gateway answers";
  EXPECT_EQ(legacy_remark(&one, Stage::kNegotiation, Cause::kCrypto, kEnd - 1), "");
  EXPECT_EQ(legacy_remark(&one, Stage::kAuthentication, Cause::kAuth, kEnd), "");
  EXPECT_EQ(legacy_remark(&other, Stage::kNegotiation, Cause::kCrypto, kEnd), "");
  EXPECT_EQ(legacy_remark(nullptr, Stage::kNegotiation, Cause::kCrypto, kEnd), "");
}

}  // namespace
}  // namespace sekisho::vpn
