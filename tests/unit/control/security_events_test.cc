// SPDX-License-Identifier: Apache-2.0
// Goal: controld's security events are in the right log, once; certificates are told of before they end, a day at a time.
// Method: the events alone, times given; a certificate whose end is known.
#include "control/api/security_events.h"

#include <gtest/gtest.h>

#include "base/service_code.h"

namespace sekisho::control {
namespace {

/// Of gw.example.test, serial number 1234.
constexpr const char* kCertificate = R"(-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgICBNIwCgYIKoZIzj0EAwIwGjEYMBYGA1UEAwwPZ3cuZXhh
bXBsZS50ZXN0MB4XDTI2MTEyNzIxMjgwMFoXDTI3MTEyNzIxMjgwMFowGjEYMBYG
A1UEAwwPZ3cuZXhhbXBsZS50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
3w1dTrB4qTjg/1Xsc1QohuPGT2OBAmRGuz67D/+nOr1NW299RmXaKmCEtvxFjD02
lp2RPVSdnG7oORiF8wS2mqNTMFEwHQYDVR0OBBYEFFf3LoLay5IGmVzzOxsSy+Oc
YPpfMB8GA1UdIwQYMBaAFFf3LoLay5IGmVzzOxsSy+OcYPpfMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgUBpQ+xBRxi72234oGxYRppdlxnSCDLlZ
K54SH2YBlKYCIQCAkTtH32nZ2pInsnvlVvT4Kh7f0ov0wvgKcG+yfqNQpg==
-----END CERTIFICATE-----
)";
constexpr std::int64_t kEnds = 1'827'350'880;  // 2027-11-27 21:28:00 UTC
constexpr std::int64_t kDay = 86400;
constexpr std::uint64_t kSecond = 1'000'000'000;

model::Configuration configuration() {
  model::Configuration out;
  model::Tenant& tenant = *out.add_tenants();
  tenant.set_service_code("acm00000001");
  model::Gateway& gateway = *tenant.add_gateways();
  gateway.set_name("tokyo");
  gateway.add_certificates(kCertificate);
  gateway.add_certificates("none");
  return out;
}

TEST(SecurityEvents, ACertificateIsToldOfThirtyDaysBeforeItsEndAndNotBefore) {
  const model::Configuration model = configuration();
  EXPECT_TRUE(ending_certificates(model, kEnds - 30 * kDay - 1).empty());
  const auto soon = ending_certificates(model, kEnds - 30 * kDay);
  ASSERT_EQ(soon.size(), 1U);
  EXPECT_EQ(soon[0].tenant, "acm00000001");
  EXPECT_EQ(soon[0].subject.substr(0, 21), "tokyo: 04D2 ends 2027");
  EXPECT_EQ(soon[0].ends, kEnds);
  EXPECT_EQ(ending_certificates(model, kEnds + kDay).size(), 1U) << "it is over";
}

TEST(SecurityEvents, ACertificateIsToldOfOnceADayAndAtItsEnd) {
  std::vector<ipc::ToEventLog> told;
  SecurityEvents events([&told](ipc::ToEventLog record) { told.push_back(std::move(record)); });
  const model::Configuration model = configuration();
  const InForce now{7, &model};
  std::uint64_t steady = kSecond;
  const auto look = [&](std::int64_t at) {
    events.look_at_certificates(now, at);
    events.tell(now, steady += 100 * kSecond);
    return told.size();
  };
  EXPECT_EQ(look(kEnds - kDay / 2), 1U);
  EXPECT_EQ(look(kEnds - kDay / 2 + 600), 1U);
  EXPECT_EQ(look(kEnds), 2U);
  EXPECT_EQ(look(kEnds + 600), 2U);
  EXPECT_EQ(look(kEnds + kDay), 3U);
  EXPECT_EQ(told[0].security().event(), "CAP_CERT_EXPIRY");
  EXPECT_EQ(told[0].service_code(), "acm00000001");
  EXPECT_EQ(told[0].revision(), 7U);
}

TEST(SecurityEvents, WrongSecretsOfOneAccountAreOneAMinuteAndLocksAreEachTheirAccounts) {
  std::vector<ipc::ToEventLog> told;
  SecurityEvents events([&told](ipc::ToEventLog record) { told.push_back(std::move(record)); });
  const InForce now{7, nullptr};
  const Address source = Address::from_v4(0xc0000202);
  for (int i = 0; i < 10; ++i) events.note({"acm00000001", "AUTH_ADMIN_SRC_DENY", "", source, "a", 1, 5, 5});
  events.note({"acm00000001", "AUTH_ADMIN_LOCK", "", source, "a", 1, 5, 5});
  events.note({"acm00000001", "AUTH_ADMIN_LOCK", "", source, "b", 1, 5, 5});
  events.note({std::string(kProviderStream), "AUTH_ADMIN_LOCK", "", source, "c", 1, 5, 5});
  events.tell(now, kSecond);
  ASSERT_EQ(told.size(), 4U);
  std::uint64_t count = 0;
  for (const auto& one : told) count += one.security().count();
  EXPECT_EQ(count, 13U);
  EXPECT_EQ(told.back().service_code(), kProviderStream);
  EXPECT_EQ(told.back().security().user(), "c");
}

}  // namespace
}  // namespace sekisho::control
