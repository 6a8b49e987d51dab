// SPDX-License-Identifier: Apache-2.0
#include "vpn/door_certificates.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

namespace sekisho::vpn {
namespace {

/// A certificate of its own, with these alternative names; none: without the extension.
std::vector<std::uint8_t> certificate(const char* names) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  const std::string subject = "hana";
  X509_NAME_add_entry_by_NID(X509_get_subject_name(made.get()), NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const std::uint8_t*>(subject.data()), static_cast<int>(subject.size()), -1, 0);
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  if (names != nullptr) {
    X509V3_CTX context{};
    X509V3_set_ctx(&context, made.get(), made.get(), nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_nconf_nid(nullptr, &context, NID_subject_alt_name, names);
    EXPECT_NE(extension, nullptr);
    X509_add_ext(made.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(made.get(), key.get(), EVP_sha256());
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(made.get(), &der);
  std::vector<std::uint8_t> out(der, der + std::max(size, 0));
  OPENSSL_free(der);
  return out;
}

TEST(DoorCertificates, ACertificateIsOfWhoeverItsAlternativeNamesSay) {
  const auto der = certificate("email:hana@example.test,DNS:pc.example.test,otherName:msUPN;UTF8:hana@corp.test,IP:192.0.2.1");
  for (const char* name : {"hana@example.test", "HANA@Example.test", "pc.example.test", "hana@corp.test"}) {
    EXPECT_TRUE(is_certificate_of(der, name)) << name;
  }
  for (const char* name : {"hana", "", "ana@example.test", "hana@example.test ", "example.test", "192.0.2.1"}) {
    EXPECT_FALSE(is_certificate_of(der, name)) << name;
  }
}

TEST(DoorCertificates, WithoutAlternativeNamesItIsNobodys) {
  EXPECT_FALSE(is_certificate_of(certificate(nullptr), "hana"));
  EXPECT_FALSE(is_certificate_of({}, "hana"));
  auto cut = certificate("email:hana@example.test");
  cut.resize(cut.size() / 2);
  EXPECT_FALSE(is_certificate_of(cut, "hana@example.test"));
}

TEST(DoorCertificates, AGatewayWithoutCasTakesNone) {
  ProvenCertificate shown;
  shown.chain.push_back(certificate("email:hana@example.test"));
  EXPECT_EQ(DoorCertificates::judge(shown, {}, 1'700'000'000), CertificateFault::kUntrusted);
}

}  // namespace
}  // namespace sekisho::vpn
