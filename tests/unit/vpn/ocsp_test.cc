// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <thread>

#include "vpn/ocsp_desk.h"

namespace sekisho::vpn {
namespace {

constexpr std::int64_t kNow = 1'800'000'000, kHour = 3600, kDay = 86400;
using Bytes = std::vector<std::uint8_t>;
using Key = std::shared_ptr<EVP_PKEY>;

Key curve() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

struct Made {
  std::shared_ptr<X509> certificate;
  Key key;
  Bytes der() const {
    Bytes out(static_cast<std::size_t>(i2d_X509(certificate.get(), nullptr)));
    std::uint8_t* at = out.data();
    i2d_X509(certificate.get(), &at);
    return out;
  }
};

void add(X509* to, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(to, extension, -1);
  X509_EXTENSION_free(extension);
}

Made make(const char* name, long serial, const Made* by, const char* purpose = nullptr, std::int64_t to = kNow + 30 * kDay) {
  Made out{{X509_new(), X509_free}, curve()};
  X509* one = out.certificate.get();
  X509* issuer = by == nullptr ? one : by->certificate.get();
  X509_set_version(one, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(one), serial);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(one), "CN", MBSTRING_UTF8, reinterpret_cast<const std::uint8_t*>(name), -1, -1, 0);
  X509_set_issuer_name(one, X509_get_subject_name(issuer));
  ASN1_TIME_set(X509_getm_notBefore(one), kNow - kDay);
  ASN1_TIME_set(X509_getm_notAfter(one), to);
  X509_set_pubkey(one, out.key.get());
  if (by == nullptr) add(one, issuer, NID_basic_constraints, "critical,CA:TRUE");
  if (purpose != nullptr) add(one, issuer, NID_ext_key_usage, purpose);
  X509_sign(one, by == nullptr ? out.key.get() : by->key.get(), EVP_sha256());
  return out;
}

struct Saying {
  int status = V_OCSP_CERTSTATUS_GOOD;
  std::int64_t from = kNow - kHour;
  std::optional<std::int64_t> to = kNow + kHour;
  const EVP_MD* digest = EVP_sha256();
};

ASN1_TIME* time_of(std::int64_t at) { return ASN1_TIME_set(nullptr, at); }

Bytes say(const Saying& what, const Made& about, const Made& ca, const Made& signer) {
  OCSP_BASICRESP* basic = OCSP_BASICRESP_new();
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), about.certificate.get(), ca.certificate.get());
  ASN1_TIME *revoked = time_of(kNow - 2 * kHour), *from = time_of(what.from), *to = what.to ? time_of(*what.to) : nullptr;
  OCSP_basic_add1_status(basic, id, what.status, OCSP_REVOKED_STATUS_NOSTATUS, what.status == V_OCSP_CERTSTATUS_REVOKED ? revoked : nullptr, from, to);
  OCSP_basic_sign(basic, signer.certificate.get(), signer.key.get(), what.digest, nullptr, 0);
  OCSP_RESPONSE* response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
  Bytes out(static_cast<std::size_t>(i2d_OCSP_RESPONSE(response, nullptr)));
  std::uint8_t* at = out.data();
  i2d_OCSP_RESPONSE(response, &at);
  OCSP_RESPONSE_free(response);
  OCSP_BASICRESP_free(basic);
  OCSP_CERTID_free(id);
  for (ASN1_TIME* one : {revoked, from, to}) ASN1_TIME_free(one);
  return out;
}

/// One CA, two of its certificates, and who signs answers.
struct World {
  Made ca = make("ca", 1, nullptr), alice = make("alice", 2, &ca), bob = make("bob", 3, &ca);
  Made delegate = make("responder", 4, &ca, "OCSPSigning"), server = make("server", 5, &ca, "serverAuth");
  Made other = make("ca", 6, nullptr);  // the name alone
  Bytes alice_der = alice.der(), ca_der = ca.der();

  OcspAnswer judged(const Bytes& answer, std::int64_t now = kNow) const { return judge_ocsp(answer, alice_der, ca_der, now); }
  OcspAnswer says(const Saying& what) const { return judged(say(what, alice, ca, ca)); }
  OcspDesk::Subject subject(std::uint32_t tenant = 1) const { return {tenant, "vpn", alice_der, ca_der}; }
};
using State = OcspAnswer::State;

TEST(Ocsp, TheIssuersWordCounts) {
  const World world;
  EXPECT_EQ(world.says({}).state, State::kGood);
  EXPECT_EQ(world.says({}).until, kNow + kHour);
  EXPECT_EQ(world.says({.status = V_OCSP_CERTSTATUS_REVOKED}).state, State::kRevoked);
  EXPECT_EQ(world.says({.status = V_OCSP_CERTSTATUS_UNKNOWN}).state, State::kUnknown);
}

TEST(Ocsp, OnlyWhomTheIssuerLetsSignAnswersMaySignThem) {
  const World world;
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, world.delegate)).state, State::kGood);
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, world.server)).state, State::kUnusable);  // issued by it, for something else
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, world.alice)).state, State::kUnusable);   // oneself
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, world.other)).state, State::kUnusable);
  const Made foreign = make("responder", 7, &world.other, "OCSPSigning");
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, foreign)).state, State::kUnusable);
  const Made late = make("responder", 8, &world.ca, "OCSPSigning", kNow - 1);
  EXPECT_EQ(world.judged(say({}, world.alice, world.ca, late)).state, State::kUnusable);
  EXPECT_EQ(world.says({.digest = EVP_sha1()}).state, State::kUnusable);
}

TEST(Ocsp, AnAnswerIsAboutOneCertificate) {
  const World world;
  EXPECT_EQ(world.judged(say({}, world.bob, world.ca, world.ca)).state, State::kUnusable);
  const Made twin = make("twin", 2, &world.other);  // alice's number, another CA's
  EXPECT_EQ(world.judged(say({}, twin, world.other, world.ca)).state, State::kUnusable);
}

TEST(Ocsp, DatesDecideWhatAnAnswerIsWorth) {
  const World world;
  EXPECT_EQ(world.says({.to = kNow - kOcspSkewSeconds}).state, State::kGood);
  EXPECT_EQ(world.says({.to = kNow - kOcspSkewSeconds - 1}).state, State::kUnusable);
  EXPECT_EQ(world.says({.from = kNow + kOcspSkewSeconds}).state, State::kGood);
  EXPECT_EQ(world.says({.from = kNow + kOcspSkewSeconds + 1}).state, State::kUnusable);
  EXPECT_EQ(world.says({.from = kNow - 1, .to = {}}).state, State::kGood);
  EXPECT_EQ(world.says({.from = kNow - kHour, .to = {}}).state, State::kUnusable);  // said for a moment long ago
  EXPECT_EQ(world.says({.status = V_OCSP_CERTSTATUS_REVOKED, .from = kNow - 9 * kDay, .to = kNow - 8 * kDay}).state, State::kRevoked);
}

TEST(Ocsp, NoBitOfAnAnswerCanBeChanged) {
  const World world;
  const Bytes good = say({.status = V_OCSP_CERTSTATUS_REVOKED}, world.alice, world.ca, world.ca);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const std::uint8_t bit : std::initializer_list<std::uint8_t>{1, 128}) {
      Bytes changed = good;
      changed[i] = static_cast<std::uint8_t>(changed[i] ^ bit);
      EXPECT_NE(world.judged(changed).state, State::kGood) << i;
    }
    EXPECT_EQ(world.judged(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i))).state, State::kUnusable) << i;
  }
  Bytes longer = good;
  longer.push_back(0);
  EXPECT_EQ(world.judged(longer).state, State::kUnusable);
}

TEST(Ocsp, AQuestionNamesTheCertificate) {
  const World world;
  const Bytes question = make_ocsp_question(world.alice_der, world.ca_der);
  const std::uint8_t* at = question.data();
  OCSP_REQUEST* request = d2i_OCSP_REQUEST(nullptr, &at, static_cast<long>(question.size()));
  ASSERT_NE(request, nullptr);
  ASN1_INTEGER* serial = nullptr;
  ASSERT_EQ(OCSP_request_onereq_count(request), 1);
  OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0)));
  EXPECT_EQ(ASN1_INTEGER_get(serial), 2);
  OCSP_REQUEST_free(request);
  EXPECT_TRUE(make_ocsp_question(Bytes{1, 2, 3}, world.ca_der).empty());
}

/// Answers what a desk asks, as `said`.
void answer(OcspDesk& desk, const std::optional<Bytes>& said, std::int64_t now = kNow) {
  for (const auto& one : desk.take_questions()) desk.take_answer(one.number, said ? std::optional<ByteSpan>(*said) : std::nullopt, now);
}

/// What somebody who waits is told when the answer is `said`.
OcspDesk::Word told(OcspDesk& desk, const OcspDesk::Subject& subject, const std::optional<Bytes>& said, bool open = false, std::int64_t now = kNow) {
  OcspDesk::Word out;
  bool done = false;
  std::mutex mutex;
  std::thread waits([&] {
    const auto word = desk.ask(subject, open, OcspDesk::Ask::kWait, now);
    const std::lock_guard lock(mutex);
    out = word, done = true;
  });
  for (bool ended = false; !ended; std::this_thread::yield()) {
    answer(desk, said, now);
    const std::lock_guard lock(mutex);
    ended = done;
  }
  waits.join();
  return out;
}

TEST(OcspDesk, WhoWaitsIsToldWhatTheResponderSays) {
  const World world;
  for (const auto& [status, fault] : {std::pair{V_OCSP_CERTSTATUS_GOOD, CertificateFault::kNone}, {V_OCSP_CERTSTATUS_REVOKED, CertificateFault::kRevoked},
                                      {V_OCSP_CERTSTATUS_UNKNOWN, CertificateFault::kUnknownToCa}}) {
    for (const bool open : {false, true}) {
      OcspDesk desk(7);
      EXPECT_EQ(told(desk, world.subject(), say({.status = status}, world.alice, world.ca, world.ca), open).fault, fault);
    }
  }
}

TEST(OcspDesk, WithoutAnAnswerThatCountsTheSettingDecides) {
  const World world;
  for (const auto& said : {std::optional<Bytes>(), std::optional<Bytes>(Bytes{0x30}), std::optional(say({}, world.alice, world.ca, world.other))}) {
    OcspDesk desk(0);
    EXPECT_EQ(told(desk, world.subject(), said).fault, CertificateFault::kNoAnswer);
    OcspDesk open(0);
    const auto word = told(open, world.subject(), said, true);
    EXPECT_EQ(word.fault, CertificateFault::kNone);
    EXPECT_EQ(word.revocation, Revocation::kUnknown);
  }
}

TEST(OcspDesk, AnAnswerIsRememberedForItsTenantAndGatewayAlone) {
  const World world;
  OcspDesk desk(0);
  EXPECT_EQ(told(desk, world.subject(), say({}, world.alice, world.ca, world.ca)).fault, CertificateFault::kNone);
  EXPECT_EQ(desk.ask(world.subject(), false, OcspDesk::Ask::kWait, kNow + kHour - 1).fault, CertificateFault::kNone);  // returns at once
  EXPECT_TRUE(desk.take_questions().empty());
  (void)desk.ask(world.subject(2), true, OcspDesk::Ask::kNow, kNow);
  auto elsewhere = world.subject();
  elsewhere.gateway = "other";
  (void)desk.ask(elsewhere, true, OcspDesk::Ask::kNow, kNow);
  EXPECT_EQ(desk.take_questions().size(), 2U);
}

TEST(OcspDesk, AnOldAnswerCountsADayLongerWhenNoNewOneIsToBeHad) {
  const World world;
  OcspDesk desk(0);
  EXPECT_EQ(told(desk, world.subject(), say({}, world.alice, world.ca, world.ca)).fault, CertificateFault::kNone);
  EXPECT_FALSE(desk.is_due(1, "vpn", world.alice_der, false, kNow + kHour - 1));
  EXPECT_TRUE(desk.is_due(1, "vpn", world.alice_der, false, kNow + kHour));
  EXPECT_EQ(told(desk, world.subject(), {}, false, kNow + kHour + kDay).fault, CertificateFault::kNone);
  EXPECT_EQ(told(desk, world.subject(), {}, false, kNow + kHour + kDay + OcspDesk::kAgainSeconds).fault, CertificateFault::kNoAnswer);
}

TEST(OcspDesk, WhoIsInStaysUntilAQuestionIsAnswered) {
  const World world;
  OcspDesk desk(0);
  EXPECT_TRUE(desk.is_due(1, "vpn", world.alice_der, false, kNow));
  EXPECT_EQ(desk.ask(world.subject(), false, OcspDesk::Ask::kStay, kNow).fault, CertificateFault::kNone);
  EXPECT_EQ(desk.ask(world.subject(), false, OcspDesk::Ask::kNow, kNow).fault, CertificateFault::kNoAnswer) << "who is not";
  EXPECT_TRUE(desk.is_due(1, "vpn", world.alice_der, false, kNow));
  answer(desk, say({.status = V_OCSP_CERTSTATUS_REVOKED}, world.alice, world.ca, world.ca));
  EXPECT_EQ(desk.ask(world.subject(), false, OcspDesk::Ask::kStay, kNow).fault, CertificateFault::kRevoked);
  OcspDesk silent(0);
  (void)silent.ask(world.subject(), false, OcspDesk::Ask::kStay, kNow);
  answer(silent, {});
  EXPECT_EQ(silent.ask(world.subject(), false, OcspDesk::Ask::kStay, kNow).fault, CertificateFault::kNoAnswer);
  EXPECT_FALSE(silent.is_due(1, "vpn", world.alice_der, true, kNow)) << "where that is nothing wrong";
  EXPECT_TRUE(silent.is_due(1, "vpn", world.alice_der, true, kNow + OcspDesk::kAgainSeconds));
}

TEST(OcspDesk, AnotherResponderMakesWhatTheOneBeforeSaidVoid) {
  const World world;
  OcspDesk desk(0);
  EXPECT_EQ(told(desk, world.subject(), say({}, world.alice, world.ca, world.ca)).fault, CertificateFault::kNone);
  desk.forget(1, "other");
  EXPECT_FALSE(desk.is_due(1, "vpn", world.alice_der, false, kNow));
  desk.forget(1, "vpn");
  EXPECT_TRUE(desk.is_due(1, "vpn", world.alice_der, false, kNow));
}

TEST(OcspDesk, SilenceOfOneTenantsResponderTakesNoRoomOfAnothers) {
  const World world;
  OcspDesk desk(0, {.waiting_per_tenant = 1, .waiting = 2, .patience = std::chrono::minutes(5)});
  std::thread waits([&] { EXPECT_EQ(desk.ask(world.subject(1), false, OcspDesk::Ask::kWait, kNow).fault, CertificateFault::kNoAnswer); });
  std::vector<OcspDesk::Question> asked;
  while (asked.empty()) asked = desk.take_questions();
  // The first may be on its way to its sleep: until it sleeps, the next would.
  while (desk.waiting() == 0) std::this_thread::yield();
  const Bytes bob = world.bob.der();
  EXPECT_EQ(desk.ask({1, "vpn", bob, world.ca_der}, false, OcspDesk::Ask::kWait, kNow).fault, CertificateFault::kNoAnswer);  // at once: one may wait
  EXPECT_EQ(told(desk, world.subject(2), say({}, world.alice, world.ca, world.ca)).fault, CertificateFault::kNone);
  desk.stop();
  waits.join();
}

TEST(OcspDesk, WhatIsRememberedOfATenantIsBounded) {
  const World world;
  OcspDesk desk(0, {.remembered_per_tenant = 4});
  for (std::uint8_t i = 0; i < 50; ++i) {
    const std::string gateway = "vpn" + std::to_string(i);
    (void)desk.ask({1, gateway, world.alice_der, world.ca_der}, true, OcspDesk::Ask::kNow, kNow);
    answer(desk, say({}, world.alice, world.ca, world.ca));
  }
  EXPECT_LE(desk.remembered(1), 4U);
}

}  // namespace
}  // namespace sekisho::vpn
