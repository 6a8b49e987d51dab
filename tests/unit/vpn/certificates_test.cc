// SPDX-License-Identifier: Apache-2.0
// Each fault beside the nearest certificate that passes: the table's lines differ from a good one by one thing.
#include "vpn/certificates.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <functional>
#include <thread>

namespace sekisho::vpn {
namespace {

constexpr std::int64_t kNow = 1'800'000'000, kDay = 86'400;

using Key = std::shared_ptr<EVP_PKEY>;
Key curve(const char* name, bool is_explicit = false) {
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr);
  EVP_PKEY_keygen_init(context);
  EVP_PKEY_CTX_set_group_name(context, name);
  if (is_explicit) EVP_PKEY_CTX_set_ec_param_enc(context, 0);
  EVP_PKEY* key = nullptr;
  EVP_PKEY_generate(context, &key);
  EVP_PKEY_CTX_free(context);
  return {key, EVP_PKEY_free};
}
Key rsa(unsigned bits) { return {EVP_RSA_gen(bits), EVP_PKEY_free}; }

/// What a certificate says; a good user's as it stands.
struct Wish {
  std::string name = "alice";
  std::int64_t from = kNow - kDay, to = kNow + 30 * kDay;
  long serial = 0x1234;
  std::string basic, usage = "critical,digitalSignature", purpose = "clientAuth", names = "email:alice@example.test", permitted;
  bool unknown_critical = false;
  const EVP_MD* digest = EVP_sha256();
  Key key = curve("P-256");
};
Wish authority(std::string name) {
  return {.name = std::move(name), .basic = "critical,CA:TRUE", .usage = "critical,keyCertSign,cRLSign", .purpose = "", .names = "", .permitted = ""};
}

struct Made {
  std::shared_ptr<X509> certificate;
  Key key;

  std::vector<std::uint8_t> der() const {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(i2d_X509(certificate.get(), nullptr)));
    std::uint8_t* at = out.data();
    i2d_X509(certificate.get(), &at);
    return out;
  }
  std::string pem() const {
    BIO* out = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(out, certificate.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(out, &text);
    std::string copy(text, static_cast<std::size_t>(size));
    BIO_free(out);
    return copy;
  }
};

void add(X509* to, X509* issuer, int nid, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  ASSERT_NE(extension, nullptr) << value;
  X509_add_ext(to, extension, -1);
  X509_EXTENSION_free(extension);
}

/// Issued by `by`, or by itself.
Made make(const Wish& wish, const Made* by = nullptr) {
  Made out{{X509_new(), X509_free}, wish.key};
  X509* one = out.certificate.get();
  X509* issuer = by == nullptr ? one : by->certificate.get();
  X509_set_version(one, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(one), wish.serial);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(one), "CN", MBSTRING_UTF8, reinterpret_cast<const std::uint8_t*>(wish.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(one, X509_get_subject_name(issuer));
  ASN1_TIME_set(X509_getm_notBefore(one), wish.from);
  ASN1_TIME_set(X509_getm_notAfter(one), wish.to);
  X509_set_pubkey(one, wish.key.get());
  add(one, issuer, NID_subject_key_identifier, "hash");
  add(one, issuer, NID_basic_constraints, wish.basic);
  add(one, issuer, NID_key_usage, wish.usage);
  add(one, issuer, NID_ext_key_usage, wish.purpose);
  add(one, issuer, NID_subject_alt_name, wish.names);
  add(one, issuer, NID_name_constraints, wish.permitted);
  if (wish.unknown_critical) {
    ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, reinterpret_cast<const std::uint8_t*>("\x05\x00"), 2);
    ASN1_OBJECT* name = OBJ_txt2obj("1.2.3.4", 1);
    X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, name, 1, value);
    ASN1_OBJECT_free(name);
    X509_add_ext(one, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
  }
  X509_sign(one, by == nullptr ? wish.key.get() : by->key.get(), wish.digest);
  return out;
}

std::string list(const Made& ca, std::initializer_list<long> serials, std::int64_t from = kNow - kDay, std::int64_t to = kNow + kDay,
                 const char* critical_part = nullptr) {
  X509_CRL* out = X509_CRL_new();
  X509_CRL_set_version(out, 1);
  X509_CRL_set_issuer_name(out, X509_get_subject_name(ca.certificate.get()));
  ASN1_TIME* time = ASN1_TIME_set(nullptr, from);
  X509_CRL_set1_lastUpdate(out, time);
  for (const long serial : serials) {
    X509_REVOKED* entry = X509_REVOKED_new();
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, serial);
    X509_REVOKED_set_serialNumber(entry, number);
    X509_REVOKED_set_revocationDate(entry, time);
    X509_CRL_add0_revoked(out, entry);
    ASN1_INTEGER_free(number);
  }
  ASN1_TIME_free(time);
  time = ASN1_TIME_set(nullptr, to);
  X509_CRL_set1_nextUpdate(out, time);
  ASN1_TIME_free(time);
  if (critical_part != nullptr) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_issuing_distribution_point, critical_part);
    X509_CRL_add_ext(out, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_CRL_sort(out);
  X509_CRL_sign(out, ca.key.get(), EVP_sha256());
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509_CRL(bio, out);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(bio);
  X509_CRL_free(out);
  return pem;
}

std::shared_ptr<const CertificateJudge> judge_of(CertificateJudge::Sources sources) {
  auto made = CertificateJudge::make(sources);
  EXPECT_NE(made.judge, nullptr) << made.refusal;
  return made.judge;
}

const Made& root() {
  static const Made made = make(authority("root"));
  return made;
}

CertificateFault judged(const CertificateJudge& judge, const std::vector<Made>& chain, std::int64_t now = kNow) {
  std::vector<std::vector<std::uint8_t>> bytes;
  for (const Made& one : chain) bytes.push_back(one.der());
  return judge.judge(bytes, now).fault;
}

TEST(Certificates, OneThingWrongWithTheUsersOwnIsSaidByName) {
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {}});
  struct Case {
    const char* what;
    std::function<void(Wish&)> change;
    CertificateFault fault;
  };
  const Case cases[] = {
      {"as it should be", [](Wish&) {}, CertificateFault::kNone},
      {"the last second", [](Wish& one) { one.to = kNow + 1; }, CertificateFault::kNone},
      {"expired now", [](Wish& one) { one.to = kNow; }, CertificateFault::kExpired},
      {"the first second", [](Wish& one) { one.from = kNow; }, CertificateFault::kNone},
      {"begins in a second", [](Wish& one) { one.from = kNow + 1; }, CertificateFault::kNotYetValid},
      {"without a purpose", [](Wish& one) { one.purpose.clear(); }, CertificateFault::kNone},
      {"for servers and clients", [](Wish& one) { one.purpose = "serverAuth,clientAuth"; }, CertificateFault::kNone},
      {"for any purpose", [](Wish& one) { one.purpose = "anyExtendedKeyUsage"; }, CertificateFault::kNone},
      {"for IKE", [](Wish& one) { one.purpose = "1.3.6.1.5.5.7.3.17"; }, CertificateFault::kNone},
      {"for servers alone", [](Wish& one) { one.purpose = "serverAuth"; }, CertificateFault::kUsage},
      {"for mail and code", [](Wish& one) { one.purpose = "emailProtection,codeSigning"; }, CertificateFault::kUsage},
      {"without a key usage", [](Wish& one) { one.usage.clear(); }, CertificateFault::kNone},
      {"nonRepudiation", [](Wish& one) { one.usage = "critical,nonRepudiation"; }, CertificateFault::kNone},
      {"keys are for encryption", [](Wish& one) { one.usage = "critical,keyEncipherment,dataEncipherment"; }, CertificateFault::kUsage},
      {"a critical extension", [](Wish& one) { one.unknown_critical = true; }, CertificateFault::kCriticalExtension},
      {"RSA 2048", [](Wish& one) { one.key = rsa(2048); }, CertificateFault::kNone},
      {"RSA 1024", [](Wish& one) { one.key = rsa(1024); }, CertificateFault::kWeak},
      {"P-384", [](Wish& one) { one.key = curve("P-384"); }, CertificateFault::kNone},
      {"P-224", [](Wish& one) { one.key = curve("P-224"); }, CertificateFault::kWeak},
      {"a curve by its numbers", [](Wish& one) { one.key = curve("P-256", true); }, CertificateFault::kWeak},
      {"SHA-384", [](Wish& one) { one.digest = EVP_sha384(); }, CertificateFault::kNone},
      {"SHA-1", [](Wish& one) { one.digest = EVP_sha1(); }, CertificateFault::kWeak},
  };
  for (const Case& one : cases) {
    Wish wish;
    one.change(wish);
    EXPECT_EQ(judged(*judge, {make(wish, &root())}), one.fault) << one.what;
  }
}

TEST(Certificates, OneThingWrongWithAnIssuerIsSaidByName) {
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {}});
  struct Case {
    const char* what;
    std::function<void(Wish&)> change;
    CertificateFault fault;
  };
  const Case cases[] = {
      {"as it should be", [](Wish&) {}, CertificateFault::kNone},
      {"no basic constraints", [](Wish& one) { one.basic.clear(); }, CertificateFault::kNotCa},
      {"CA:FALSE", [](Wish& one) { one.basic = "critical,CA:FALSE"; }, CertificateFault::kNotCa},
      {"path length 0", [](Wish& one) { one.basic = "critical,CA:TRUE,pathlen:0"; }, CertificateFault::kNone},
      {"may sign mail, not certificates", [](Wish& one) { one.usage = "critical,digitalSignature"; }, CertificateFault::kNotCa},
      {"expired", [](Wish& one) { one.to = kNow - 1; }, CertificateFault::kExpired},
      {"for clients", [](Wish& one) { one.purpose = "clientAuth"; }, CertificateFault::kNone},
      {"for servers alone", [](Wish& one) { one.purpose = "serverAuth"; }, CertificateFault::kUsage},
      {"may vouch for its mail", [](Wish& one) { one.permitted = "critical,permitted;email:example.test"; }, CertificateFault::kNone},
      {"may vouch for others' mail", [](Wish& one) { one.permitted = "critical,permitted;email:other.test"; }, CertificateFault::kNameConstraints},
      {"may not vouch for its mail", [](Wish& one) { one.permitted = "critical,excluded;email:example.test"; }, CertificateFault::kNameConstraints},
      {"RSA 1024", [](Wish& one) { one.key = rsa(1024); }, CertificateFault::kWeak},
      {"SHA-1", [](Wish& one) { one.digest = EVP_sha1(); }, CertificateFault::kWeak},
      {"a curve by its numbers", [](Wish& one) { one.key = curve("P-256", true); }, CertificateFault::kWeak},
  };
  for (const Case& one : cases) {
    Wish wish = authority("issuing");
    one.change(wish);
    const Made issuing = make(wish, &root());
    EXPECT_EQ(judged(*judge, {make(Wish{}, &issuing), issuing}), one.fault) << one.what;
  }
}

TEST(Certificates, AChainIsAsLongAsItsCasAllow) {
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {}});
  for (const auto& [allowed, fault] : {std::pair{"critical,CA:TRUE,pathlen:1", CertificateFault::kNone},
                                       std::pair{"critical,CA:TRUE,pathlen:0", CertificateFault::kPathLength}}) {
    Wish upper = authority("upper");
    upper.basic = allowed;
    const Made first = make(upper, &root()), second = make(authority("lower"), &first);
    EXPECT_EQ(judged(*judge, {make(Wish{}, &second), second, first}), fault) << allowed;
    EXPECT_EQ(judged(*judge, {make(Wish{}, &second), second}), CertificateFault::kUntrusted);  // a link is missing
  }
}

TEST(Certificates, OnlyTheTenantsCasVouch) {
  const Made other = make(authority("root"));  // of the same name
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {}});
  EXPECT_EQ(judged(*judge, {make(Wish{}, &root())}), CertificateFault::kNone);
  EXPECT_NE(judged(*judge, {make(Wish{}, &other)}), CertificateFault::kNone);
  EXPECT_NE(judged(*judge, {make(Wish{}, &other), other}), CertificateFault::kNone);
  EXPECT_EQ(judged(*judge, {make(Wish{})}), CertificateFault::kUntrusted);  // signed by himself
  EXPECT_EQ(judged(*judge_of({}), {make(Wish{}, &root()), root()}), CertificateFault::kUntrusted);
}

TEST(Certificates, NoByteMayDiffer) {
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {}});
  const std::vector<std::uint8_t> good = make(Wish{}, &root()).der();
  const auto fault = [&](const std::vector<std::uint8_t>& bytes) { return judge->judge(std::vector<std::vector<std::uint8_t>>{bytes}, kNow).fault; };
  EXPECT_EQ(fault(good), CertificateFault::kNone);
  auto signature = good, more = good;
  signature.back() ^= 1;
  more.push_back(0);
  EXPECT_EQ(fault(signature), CertificateFault::kSignature);
  EXPECT_EQ(fault(more), CertificateFault::kUnreadable);
  EXPECT_EQ(fault({good.begin(), good.end() - 1}), CertificateFault::kUnreadable);
  for (std::size_t at = 0; at < good.size(); ++at) {
    auto bytes = good;
    bytes[at] ^= 0x04;
    EXPECT_NE(fault(bytes), CertificateFault::kNone) << at;
  }
  EXPECT_EQ(judge->judge({}, kNow).fault, CertificateFault::kUnreadable);
}

TEST(Certificates, RevocationListsCountForEachLinkOfTheChain) {
  Wish wish = authority("issuing");
  wish.serial = 0x77;
  const Made issuing = make(wish, &root());
  const std::vector<Made> chain{make(Wish{}, &issuing), issuing};
  const auto with = [&](std::vector<std::string> lists, bool open = false) {
    return judged(*judge_of({.cas = {root().pem()}, .lists = std::move(lists), .open = open}), chain);
  };
  EXPECT_EQ(with({}), CertificateFault::kNone);  // nobody keeps lists
  EXPECT_EQ(with({list(root(), {}), list(issuing, {0x1235})}), CertificateFault::kNone);
  EXPECT_EQ(with({list(root(), {}), list(issuing, {0x1, 0x1234, 0x9999})}), CertificateFault::kRevoked);
  EXPECT_EQ(with({list(root(), {0x77}), list(issuing, {})}), CertificateFault::kRevoked);
  EXPECT_EQ(with({list(root(), {0x1234}), list(issuing, {0x77})}), CertificateFault::kNone);  // each CA speaks of its own
  EXPECT_EQ(with({list(root(), {})}), CertificateFault::kNoList);
  EXPECT_EQ(with({list(issuing, {})}), CertificateFault::kNoList);
  EXPECT_EQ(with({list(issuing, {})}, true), CertificateFault::kNone);
  EXPECT_EQ(with({list(issuing, {0x1234})}, true), CertificateFault::kRevoked);
}

TEST(Certificates, ListsHaveAnIssuerABeginningAndAnEnd) {
  const std::vector<Made> chain{make(Wish{}, &root())};
  const auto with = [&](const std::string& one, bool open = false) {
    return judged(*judge_of({.cas = {root().pem()}, .lists = {one}, .open = open}), chain);
  };
  constexpr std::int64_t kGrace = CertificateJudge::kListGraceSeconds;
  EXPECT_EQ(with(list(root(), {}, kNow - 9 * kDay, kNow - kGrace)), CertificateFault::kNone);
  EXPECT_EQ(with(list(root(), {}, kNow - 9 * kDay, kNow - kGrace - 1)), CertificateFault::kListStale);
  EXPECT_EQ(with(list(root(), {}, kNow - 9 * kDay, kNow - kGrace - 1), true), CertificateFault::kNone);
  EXPECT_EQ(with(list(root(), {0x1234}, kNow - 9 * kDay, kNow - kGrace - 1), true), CertificateFault::kRevoked);
  EXPECT_EQ(with(list(root(), {}, kNow)), CertificateFault::kNone);
  EXPECT_EQ(with(list(root(), {}, kNow + 1, kNow + kDay)), CertificateFault::kNoList);
  const Made impostor = make(authority("root"));
  EXPECT_EQ(with(list(impostor, {})), CertificateFault::kNoList);  // the name alone signs nothing
  EXPECT_EQ(with(list(impostor, {0x1234}), true), CertificateFault::kNone);
  EXPECT_EQ(judge_of({.cas = {root().pem()}, .lists = {list(root(), {}, kNow - kDay, kNow + 5)}})->lists_end(), kNow + 5 + kGrace);
}

TEST(Certificates, ACaThatMaySignNoListsSignsNone) {
  Wish wish = authority("quiet");
  wish.usage = "critical,keyCertSign";
  const Made quiet = make(wish);
  const std::vector<Made> chain{make(Wish{}, &quiet)};
  EXPECT_EQ(judged(*judge_of({.cas = {quiet.pem()}, .lists = {}}), chain), CertificateFault::kNone);
  EXPECT_EQ(judged(*judge_of({.cas = {quiet.pem()}, .lists = {list(quiet, {})}}), chain), CertificateFault::kNoList);
}

TEST(Certificates, WhatIsNoCaOrNoWholeListIsRefusedWithASentence) {
  const auto refusal = [](const CertificateJudge::Sources& sources) { return CertificateJudge::make(sources).refusal; };
  EXPECT_EQ(refusal({.cas = {root().pem()}, .lists = {list(root(), {})}}), "");
  EXPECT_EQ(refusal({.cas = {"nonsense"}, .lists = {}}), "a CA cannot be read");
  EXPECT_EQ(refusal({.cas = {make(Wish{}, &root()).pem()}, .lists = {}}), "a CA is none: CN=alice");
  EXPECT_EQ(refusal({.cas = {}, .lists = {"nonsense"}}), "a revocation list cannot be read");
  EXPECT_NE(refusal({.cas = {}, .lists = {list(root(), {}, kNow, kNow + 1, "critical,onlyuser:TRUE")}}), "");
}

TEST(Certificates, RecordsSayWhoseItIs) {
  Wish wish;
  wish.to = kNow + 5 * kDay;
  const auto verdict = judge_of({.cas = {root().pem()}, .lists = {list(root(), {})}})->judge(
      std::vector<std::vector<std::uint8_t>>{make(wish, &root()).der()}, kNow);
  EXPECT_EQ(verdict.facts.serial, "1234");
  EXPECT_EQ(verdict.facts.subject, "CN=alice");
  EXPECT_EQ(verdict.facts.issuer, "CN=root");
  EXPECT_EQ(verdict.facts.not_after, wish.to);
  EXPECT_EQ(verdict.revocation, Revocation::kGood);
}

TEST(Certificates, ASerialNumberHasNoLeadingZerosAsTheRegisterOfDevicesHasNone) {
  Wish wish;
  for (const auto& [serial, text] : {std::pair{0x0a77L, "a77"}, {0x8001L, "8001"}, {0x7001L, "7001"}, {0x1000L, "1000"}, {0L, "0"}}) {
    wish.serial = serial;
    const std::vector<std::vector<std::uint8_t>> chain{make(wish, &root()).der()};
    EXPECT_EQ(judge_of({.cas = {root().pem()}, .lists = {}})->judge(chain, kNow).facts.serial, text);
  }
}

TEST(Certificates, AJudgeIsAskedByManyAtOnce) {
  const auto judge = judge_of({.cas = {root().pem()}, .lists = {list(root(), {0x5})}});
  const std::vector<Made> good{make(Wish{}, &root())};
  Wish wish;
  wish.serial = 0x5;
  const std::vector<Made> revoked{make(wish, &root())};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(judged(*judge, good), CertificateFault::kNone);
        EXPECT_EQ(judged(*judge, revoked), CertificateFault::kRevoked);
      }
    });
  }
  for (auto& one : threads) one.join();
}

TEST(Certificates, AlternativeNamesAreToldWithoutCase) {
  const Made root = make(authority("root"));
  Wish wish;
  wish.names = "email:Alice@example.test,DNS:NB-1.example.test,URI:urn:device:7,otherName:msUPN;UTF8:Alice@CORP,IP:192.0.2.1";
  const std::vector<std::vector<std::uint8_t>> chain{make(wish, &root).der()};
  const auto verdict = CertificateJudge::make({.cas = {root.pem()}, .lists = {}}).judge->judge(chain, kNow);
  EXPECT_EQ(verdict.fault, CertificateFault::kNone);
  EXPECT_EQ(verdict.facts.names, (std::vector<std::string>{"alice@example.test", "nb-1.example.test", "urn:device:7", "alice@corp"}));
}

TEST(Certificates, EachFaultHasACauseAndASentence) {
  for (int i = 1; i <= static_cast<int>(CertificateFault::kUnknownToCa); ++i) {
    EXPECT_NE(cause_of(static_cast<CertificateFault>(i)), Cause::kNone);
    EXPECT_NE(sentence_of(static_cast<CertificateFault>(i)), "");
  }
}

}  // namespace
}  // namespace sekisho::vpn
