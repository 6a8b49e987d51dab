// SPDX-License-Identifier: Apache-2.0
// Goal: what a flood does becomes few records that lose no count, and an attempt's end is the event the specification names, or none.
// Method: the fold and the mapping alone, times given; the locks by the directory's own counting.
#include "vpn/incidents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vpn/certificates.h"
#include "vpn/lockout.h"

namespace sekisho::vpn {
namespace {

using Kind = SessionEvent::Kind;
constexpr std::uint64_t kNow = 1'700'000'000'000'000'000;

Incident incident(std::uint64_t at, std::uint32_t source = 0xc0000202, std::string user = "alice", std::uint32_t tenant = 1) {
  return {tenant, "VPN_CRYPTO_REFUSED", "tokyo", Address::from_v4(source), std::move(user), 1, at, at};
}

TEST(Incidents, TheFirstIsToldAtOnceAndTheNextMinuteTogether) {
  Incidents all;
  all.note(incident(kNow));
  const auto first = all.take(kNow);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].count, 1U);
  EXPECT_EQ(first[0].user, "alice");
  for (std::uint64_t i = 1; i <= 1000; ++i) all.note(incident(kNow + i, 0xc0000202, i % 2 != 0 ? "alice" : "bob"));
  EXPECT_TRUE(all.take(kNow + Incidents::kFoldNs - 1).empty());
  const auto rest = all.take(kNow + Incidents::kFoldNs);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].count, 1000U);
  EXPECT_EQ(rest[0].first_ns, kNow + 1);
  EXPECT_EQ(rest[0].last_ns, kNow + 1000);
  EXPECT_EQ(rest[0].user, "") << "it was two";
  EXPECT_TRUE(all.take(kNow + 2 * Incidents::kFoldNs).empty());
}

TEST(Incidents, AFloodOfSourcesIsBoundedCountsAllAndHidesNoOtherTenants) {
  Incidents all;
  for (std::uint32_t i = 0; i < 10'000; ++i) all.note(incident(kNow, 0x0a000000 + i));
  all.note(incident(kNow, 0x0a000000, "carol", 2));
  const auto told = all.take(kNow);
  EXPECT_LE(told.size(), Incidents::kOpenMax + 2);
  std::uint64_t mine = 0, others = 0;
  for (const Incident& one : told) (one.tenant == 1 ? mine : others) += one.count;
  EXPECT_EQ(mine, 10'000U);
  EXPECT_EQ(others, 1U);
}

TEST(Incidents, WhatWaitsIsToldAtTheEnd) {
  Incidents all;
  all.note(incident(kNow));
  (void)all.take(kNow);
  all.note(incident(kNow + 1));
  EXPECT_TRUE(all.take(kNow + 2).empty());
  EXPECT_EQ(all.take(kNow + 2, true).size(), 1U);
}

SessionEvent ended(Kind kind, Cause cause, std::string text = {}, Protocol protocol = Protocol::kIkeV2) {
  SessionEvent out{.kind = kind, .session = {}, .stage = Stage::kNegotiation, .cause = cause, .text = std::move(text)};
  out.session.protocol = protocol;
  out.session.gateway = "tokyo eap-mschapv2";
  out.session.user = "alice";
  out.session.path.tenant = 3;
  out.session.path.remote = {Address::from_v4(0xc0000202), 500};
  return out;
}

std::string code(const SessionEvent& event) {
  const auto one = incident_of(event, kNow);
  return one ? one->code : "";
}

TEST(Incidents, AnAttemptsEndIsTheEventOfItsCauseOrNone) {
  EXPECT_EQ(code(ended(Kind::kDenied, Cause::kCrypto, "negotiation: no common algorithms for IKE")), "VPN_CRYPTO_REFUSED");
  EXPECT_EQ(code(ended(Kind::kDown, Cause::kCrypto)), "") << "he was in";
  EXPECT_EQ(code(ended(Kind::kAuthFail, Cause::kCertRevoked)), "AUTH_CERT_REVOKED");
  EXPECT_EQ(code(ended(Kind::kDenied, Cause::kPoolEmpty)), "CAP_POOL");
  EXPECT_EQ(code(ended(Kind::kAuthFail, Cause::kAuth, "authentication: wrong password or unknown user")), "");
  const std::string stale = "authentication: " + std::string(sentence_of(CertificateFault::kListStale));
  EXPECT_EQ(code(ended(Kind::kAuthFail, Cause::kAuth, stale)), "AUTH_CRL_STALE");
  const std::string none = "authentication: " + std::string(sentence_of(CertificateFault::kNoList));
  EXPECT_EQ(code(ended(Kind::kAuthFail, Cause::kAuth, none)), "") << "there never was one";
  SessionEvent device = ended(Kind::kDenied, Cause::kDevice);
  EXPECT_EQ(code(device), "");
  device.session.device.why = DeviceVerdict::Why::kListStale;
  EXPECT_EQ(code(device), "AUTH_CRL_STALE");
  device.session.device.why = DeviceVerdict::Why::kRevoked;
  EXPECT_EQ(code(device), "AUTH_CERT_REVOKED");
  const std::string binding = "admission: the client's crypto binding does not fit the keys of its login";
  EXPECT_EQ(code(ended(Kind::kDenied, Cause::kCrypto, binding, Protocol::kSstp)), "VPN_SSTP_BINDING");
  const std::string keys = "admission: the RADIUS server gave no keys for the binding to TLS";
  EXPECT_EQ(code(ended(Kind::kDenied, Cause::kCrypto, keys, Protocol::kSstp)), "VPN_CRYPTO_REFUSED") << "nobody stands between";
  const auto one = incident_of(ended(Kind::kDenied, Cause::kCrypto), kNow);
  EXPECT_EQ(one->tenant, 3U);
  EXPECT_EQ(one->subject, "tokyo");
  EXPECT_EQ(one->source, Address::from_v4(0xc0000202));
}

TEST(Incidents, EachUseOfWhatTheProfileLegacyAloneAllowsIsOne) {
  SessionEvent up = ended(Kind::kUp, Cause::kNone);
  up.session.ike_suite = "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048";
  EXPECT_EQ(code(up), "VPN_LEGACY_USED");
  EXPECT_EQ(incident_of(up, kNow)->subject, "3DES_CBC at tokyo");
  up.session.ike_suite = "AES_CBC_256/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024";
  EXPECT_EQ(code(up), "") << "windows-default's";
  up.session.ike_suite = "3DES_CBC/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_2048";
  up.kind = Kind::kRekeyed;
  EXPECT_EQ(code(up), "") << "he was in before";
}

TEST(LockoutTells, TheFifthWrongPasswordOfAUserAndTheTwentiethNameOfASource) {
  Lockout lockout;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(lockout.failed(1, "alice", Address::from_v4(1), 100 + i).failures, 0U);
  const auto shut = lockout.failed(1, "alice", Address::from_v4(1), 104);
  EXPECT_EQ(shut.failures, 5U);
  EXPECT_EQ(shut.user_since, 100);
  EXPECT_EQ(lockout.failed(1, "alice", Address::from_v4(1), 105).failures, 0U) << "she is shut out: nothing counts";
  for (int i = 0; i < 18; ++i) EXPECT_EQ(lockout.failed(1, "n" + std::to_string(i), Address::from_v4(1), 110).names, 0U);
  const auto source = lockout.failed(1, "last", Address::from_v4(1), 111);
  EXPECT_EQ(source.names, 20U);
  EXPECT_EQ(source.source_since, 104);
  EXPECT_EQ(source.sprayed, 0U) << "one source is no more than locked";
}

TEST(LockoutTells, ManyUsersFromSeveralSourcesAreASprayAndThoseWhoComeInAreNot) {
  Lockout lockout;
  const auto wrong = [&lockout](int user, std::int64_t at) {
    return lockout.failed(1, "u" + std::to_string(user), Address::from_v4(static_cast<std::uint32_t>(user)), at).sprayed;
  };
  for (int user = 0; user < 19; ++user) EXPECT_EQ(wrong(user, 100 + user), 0U);
  lockout.succeeded(1, "u3");  // he had mistyped
  EXPECT_EQ(wrong(19, 130), 0U);
  EXPECT_EQ(lockout.failed(2, "u20", Address::from_v4(9), 130).sprayed, 0U) << "another tenant's";
  EXPECT_EQ(wrong(20, 131), 20U);
  for (int user = 30; user < 60; ++user) EXPECT_EQ(wrong(user, 132), 0U) << "told once in a window";
}

}  // namespace
}  // namespace sekisho::vpn
