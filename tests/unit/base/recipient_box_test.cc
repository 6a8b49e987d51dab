// SPDX-License-Identifier: BSD-2-Clause
// Goal: only a recipient's key opens what was sealed for it, and only as it was.
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/crypto/recipient_box.h"

namespace sekisho {
namespace {

constexpr std::string_view kText = "what nobody else reads";

struct Pair {
  std::string certificate;
  std::string key;
};

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

Pair make(EVP_PKEY* key, long serial) {
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86'400);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("keeper"), -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
  X509_set_pubkey(certificate, key);
  EXPECT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
  BIO* of_certificate = BIO_new(BIO_s_mem());
  BIO* of_key = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(of_certificate, certificate);
  PEM_write_bio_PrivateKey(of_key, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {text_of(of_certificate), text_of(of_key)};
}

Pair elliptic(const char* curve, long serial) { return make(EVP_EC_gen(curve), serial); }

TEST(RecipientBox, OpensByTheKeyOfEachRecipientAndByNoOther) {
  const Pair first = elliptic("P-256", 1), second = make(EVP_RSA_gen(3072), 2), stranger = elliptic("P-256", 3);
  const auto sealed = seal_for_recipients(first.certificate + second.certificate, kText);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("nobody"), std::string::npos);
  EXPECT_EQ(open_as_recipient(first.key, *sealed).value(), kText);
  EXPECT_EQ(open_as_recipient(second.key, *sealed).value(), kText);
  EXPECT_EQ(open_as_recipient(stranger.key, *sealed).error().code, ErrorCode::kDenied);
  EXPECT_NE(seal_for_recipients(first.certificate, kText).value(), seal_for_recipients(first.certificate, kText).value());
}

TEST(RecipientBox, RefusesWhatWasChangedOrTornAndWhatIsNone) {
  const Pair pair = elliptic("P-384", 1);
  const std::string sealed = seal_for_recipients(pair.certificate, std::string(500, 'x')).value();
  ASSERT_EQ(open_as_recipient(pair.key, sealed).value(), std::string(500, 'x'));
  for (std::size_t at = 0; at < sealed.size(); ++at) {
    std::string changed = sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    const auto opened = open_as_recipient(pair.key, changed);
    EXPECT_TRUE(!opened || *opened == std::string(500, 'x')) << at << ": a name of the recipient may differ, its text may not";
  }
  for (std::size_t size = 0; size < sealed.size(); size += 7)
    EXPECT_FALSE(open_as_recipient(pair.key, std::string_view(sealed).substr(0, size))) << size;
  EXPECT_FALSE(open_as_recipient(pair.key, sealed + "x"));
  EXPECT_EQ(open_as_recipient("no key", sealed).error().code, ErrorCode::kMalformed);
}

TEST(RecipientBox, IsNotSealedForShortKeysOrForNobody) {
  EXPECT_EQ(seal_for_recipients(make(EVP_RSA_gen(2048), 1).certificate, kText).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(seal_for_recipients(elliptic("P-224", 1).certificate, kText).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(seal_for_recipients("", kText).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(seal_for_recipients("no certificate", kText).error().code, ErrorCode::kMalformed);
}

}  // namespace
}  // namespace sekisho
