// SPDX-License-Identifier: Apache-2.0
// Goal: what ends some day is told ahead of time, once at each step, without names where none belong; the log's state as well.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "control/access/act_budget.h"
#include "control/api/happenings.h"
#include "control/api/store_watch.h"
#include "control/notify/expiries.h"

namespace sekisho::control {
namespace {

constexpr const char* kTenant = "acm00000001";
constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kEnd = 1'800'000'000;

std::string pem_text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

std::string certificate(std::int64_t until) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* one = X509_new();
  ASN1_TIME_set(X509_getm_notBefore(one), until - 100 * kDay);
  ASN1_TIME_set(X509_getm_notAfter(one), until);
  X509_set_pubkey(one, key);
  X509_sign(one, key, EVP_sha256());
  BIO* text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(text, one);
  X509_free(one);
  EVP_PKEY_free(key);
  return pem_text(text);
}

std::string revocation_list(std::int64_t until) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509_CRL* one = X509_CRL_new();
  ASN1_TIME* time = ASN1_TIME_set(nullptr, until);
  X509_CRL_set1_lastUpdate(one, time);
  X509_CRL_set1_nextUpdate(one, time);
  ASN1_TIME_free(time);
  X509_CRL_sign(one, key, EVP_sha256());
  BIO* text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_CRL(text, one);
  X509_CRL_free(one);
  EVP_PKEY_free(key);
  return pem_text(text);
}

std::string said(const std::vector<Happening>& all) {
  std::string out;
  for (const Happening& one : all) out += one.tenant + ':' + one.event + ':' + one.object + ':' + one.state + ' ';
  return out;
}

TEST(Expiries, AreFoundInGatewaysCollectorsMessagesRulesAndDevices) {
  model::Configuration model;
  model.mutable_notify()->mutable_relay()->set_ca(certificate(kEnd + 1));
  auto& tenant = *model.add_tenants();
  tenant.set_service_code(kTenant);
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("gw");
  gateway.add_certificates(certificate(kEnd + 2 * kDay) + certificate(kEnd + kDay));  // of a chain the first that ends
  gateway.add_crls(revocation_list(kEnd + 3));
  gateway.mutable_sstp()->add_certificates(certificate(kEnd + 4));
  gateway.mutable_pptp()->set_valid_until("2027-01-15 17:00");
  gateway.set_profile(model::Gateway::LEGACY);
  gateway.mutable_legacy()->set_valid_until("2027-01-15");
  auto& strong = *tenant.add_gateways();
  strong.mutable_legacy()->set_valid_until("2027-01-15");  // of another profile: nothing ends
  gateway.add_keys("-----BEGIN PRIVATE KEY-----\n");
  tenant.add_notifications()->set_ca(certificate(kEnd + 5));
  auto& collector = *tenant.add_log_exports();
  collector.set_name("siem");
  collector.set_certificate(certificate(kEnd + 6));
  auto& policy = *tenant.add_policies();
  policy.set_name("p");
  auto& rule = *policy.add_rules();
  rule.set_name("r");
  rule.set_enabled(true);
  rule.set_valid_until("2027-01-15 17:00");
  auto& off = *policy.add_rules();
  off = rule;
  off.set_name("off");
  off.set_enabled(false);
  auto& device = *tenant.add_devices();
  device.set_name("laptop");
  device.set_valid_until("2027-01-15 17:00");
  auto& disabled = *tenant.add_devices();
  disabled = device;
  disabled.set_state(model::Device::DISABLED);
  std::string all;
  for (const Expiry& one : expiries_of(model))
    all += one.tenant + '|' + std::to_string(static_cast<int>(one.what)) + '|' + one.name + '|' + std::to_string(one.at - kEnd) + '\n';
  EXPECT_EQ(all,
            "|0|notify relay ca|1\n"
            "acm00000001|0|gw certificates|86400\n"
            "acm00000001|1|gw crls|3\n"
            "acm00000001|0|gw sstp certificates|4\n"
            "acm00000001|4|gw|0\n"
            "acm00000001|5|gw|25200\n"  // the day ends seven hours later
            "acm00000001|0| ca|5\n"
            "acm00000001|0|siem certificate|6\n"
            "acm00000001|2|p/r|0\n"
            "acm00000001|3|laptop|0\n");
}

TEST(Expiries, AreToldThirtySevenAndOneDaysAheadAndAtTheEndOnceEach) {
  const std::vector<Expiry> all{{kTenant, Ending::kRule, "p/r", kEnd}};
  const auto told = [&](std::int64_t at) { return said(due(all, at - 30, at)); };
  EXPECT_EQ(told(kEnd - 30 * kDay - 1), "");
  EXPECT_EQ(told(kEnd - 30 * kDay), "acm00000001:expiry:p/r:30_days ");
  EXPECT_EQ(told(kEnd - 30 * kDay + 29), "acm00000001:expiry:p/r:30_days ");
  EXPECT_EQ(told(kEnd - 30 * kDay + 30), "") << "told";
  EXPECT_EQ(told(kEnd - 7 * kDay), "acm00000001:expiry:p/r:7_days ");
  EXPECT_EQ(told(kEnd - kDay), "acm00000001:expiry:p/r:1_day ");
  EXPECT_EQ(told(kEnd), "acm00000001:expiry:p/r:ended ");
  EXPECT_EQ(told(kEnd + 30), "");
  EXPECT_EQ(said(due(all, kEnd - 60 * kDay, kEnd - 2 * kDay)), "acm00000001:expiry:p/r:7_days ") << "after a long sleep the nearest alone";
}

TEST(Expiries, OfARevocationListAreToldADayAheadAndNotBefore) {
  const std::vector<Expiry> all{{kTenant, Ending::kRevocationList, "gw crls", kEnd}};
  EXPECT_EQ(said(due(all, kEnd - 8 * kDay, kEnd - 6 * kDay)), "");
  EXPECT_EQ(said(due(all, kEnd - 2 * kDay, kEnd - kDay)), "acm00000001:expiry:gw crls:1_day ");
}

TEST(Expiries, ThatComeAlikeAreOneMessageOfEachTenantAndNameNobodyInItsTitle) {
  std::vector<Expiry> all;
  for (int i = 0; i < 7; ++i) all.push_back({kTenant, Ending::kDevice, "laptop-" + std::to_string(i), kEnd + i});
  all.push_back({"glx00000001", Ending::kDevice, "phone", kEnd});
  all.push_back({"", Ending::kAccount, "opal", kEnd});
  const auto told = due(all, kEnd - kDay - 100, kEnd - kDay + 100);
  EXPECT_EQ(said(told), ":expiry:opal:1_day acm00000001:expiry:laptop-0, laptop-1, laptop-2, laptop-3, laptop-4 and 2 more:1_day glx00000001:expiry:phone:1_day ");
  EXPECT_EQ(told[1].title, "端末は 1 日以内に期限を迎えます / devices end within a day (7)");
  EXPECT_EQ(told[1].memo, "2027-01-15 17:00 JST");
}

ipc::LogStatus status(const std::string& pressure) {
  ipc::LogStatus out;
  out.set_pressure(pressure);
  return out;
}

TEST(StoreWatch, TellsOfACollectorThatIsAwayForFifteenMinutesAndOfItsReturn) {
  StoreWatch watch;
  ipc::LogStatus seen;
  auto& target = *seen.add_targets();
  target.set_service_code(kTenant);
  target.set_name("siem");
  target.set_since_ns(1'000'000'000'000);
  const auto look = [&](std::int64_t now) { return said(watch.look(&seen, {kTenant}, now, now)); };
  EXPECT_EQ(look(1000 + StoreWatch::kTargetAwaySeconds - 1), "");
  EXPECT_EQ(look(1000 + StoreWatch::kTargetAwaySeconds), "acm00000001:log_store:siem:away ");
  EXPECT_EQ(look(5000), "");
  target.set_up(true);
  EXPECT_EQ(look(5001), "acm00000001:log_store:siem:back ");
  target.set_up(false);
  target.set_since_ns(5'001'000'000'000);
  EXPECT_EQ(look(5002), "") << "not for long yet";
}

TEST(StoreWatch, AStoreThatDoesNotAnswerIsAnIncidentWithinAMinuteAndOneThatNeverWasIsNone) {
  StoreWatch watch;
  const ipc::LogStatus seen = status("none");
  EXPECT_EQ(said(watch.look(nullptr, {kTenant}, 500, 500)), "");
  EXPECT_EQ(said(watch.look(&seen, {kTenant}, 1000, 1000)), "");
  EXPECT_EQ(said(watch.look(nullptr, {kTenant}, 1020, 1020)), "") << "it may be starting anew";
  EXPECT_EQ(said(watch.look(nullptr, {kTenant}, 1040, 1040)), ":unit:log store:running acm00000001:incident:log store:running ");
  EXPECT_EQ(said(watch.look(nullptr, {kTenant}, 1060, 1060)), "");
  EXPECT_EQ(said(watch.look(&seen, {kTenant}, 1080, 1080)), ":unit:log store:done acm00000001:incident:log store:done ");
}

TEST(ShutOutWatch, TellsOfEachUserOnceUntilHeWasLetInAgain) {
  ShutOutWatch watch;
  EXPECT_EQ(said(watch.look({{kTenant, {"ken"}}})), "acm00000001:user_lock:ken:locked ");
  EXPECT_EQ(said(watch.look({{kTenant, {"hana", "ken"}}})), "acm00000001:user_lock:hana:locked ");
  EXPECT_EQ(said(watch.look({})), "");
  EXPECT_EQ(said(watch.look({{"glx00000001", {"ken"}}})), "glx00000001:user_lock:ken:locked ") << "another tenant's of the same name";
  EXPECT_EQ(said(watch.look({{kTenant, {"ken"}}})), "acm00000001:user_lock:ken:locked ");
}

TEST(ActBudget, HoldsUpOneTenantAndNoOtherAndFillsAgain) {
  ActBudget budget;
  int taken = 0;
  while (budget.take(kTenant, 5.0)) ++taken;
  EXPECT_EQ(taken, static_cast<int>(ActBudget::kAtOnce));
  EXPECT_TRUE(budget.take("glx00000001", 5.0));
  EXPECT_TRUE(budget.take("", 5.0)) << "the provider's";
  EXPECT_FALSE(budget.take(kTenant, 5.05));
  EXPECT_TRUE(budget.take(kTenant, 5.16));
  EXPECT_FALSE(budget.take(kTenant, 5.17));
  EXPECT_FALSE(budget.take(kTenant, 1.0)) << "a clock that goes back gives nothing";
  for (int i = 0; i < 5000; ++i) EXPECT_TRUE(budget.take("t" + std::to_string(i), 1000.0 + i));
}

}  // namespace
}  // namespace sekisho::control
