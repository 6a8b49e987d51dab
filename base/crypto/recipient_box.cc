// SPDX-License-Identifier: BSD-2-Clause
#include "base/crypto/recipient_box.h"

#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <limits>
#include <memory>

namespace sekisho {
namespace {

constexpr Error kTorn{ErrorCode::kMalformed, ErrorSite::kStore, 0};
constexpr Error kWeak{ErrorCode::kUnsupported, ErrorSite::kStore, 0};
constexpr Error kShut{ErrorCode::kDenied, ErrorSite::kStore, 0};
constexpr Error kFailed{ErrorCode::kUnavailable, ErrorSite::kOs, 0};
constexpr int kRecipientsMax = 16;

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* one) const {
    release(one);
  }
};
using Bio = std::unique_ptr<BIO, Release<BIO_free_all>>;
using Cms = std::unique_ptr<CMS_ContentInfo, Release<CMS_ContentInfo_free>>;
using Certificate = std::unique_ptr<X509, Release<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;

/// Errors of a library that nobody asks for must not be found by who calls it next.
struct Quiet {
  ~Quiet() { ERR_clear_error(); }
};

Bio reader_of(std::string_view bytes) {
  if (bytes.size() > std::numeric_limits<int>::max()) return nullptr;
  return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

Result<void> add_recipient(CMS_ContentInfo* cms, X509* certificate) {
  constexpr int kEcBitsMin = 256, kRsaBitsMin = 3072;
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  const int kind = key == nullptr ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key);
  const bool strong = (kind == EVP_PKEY_EC && EVP_PKEY_get_bits(key) >= kEcBitsMin) ||
                      (kind == EVP_PKEY_RSA && EVP_PKEY_get_bits(key) >= kRsaBitsMin);
  if (!strong) return kWeak;
  CMS_RecipientInfo* recipient = CMS_add1_recipient_cert(cms, certificate, CMS_KEY_PARAM);
  EVP_PKEY_CTX* how = recipient == nullptr ? nullptr : CMS_RecipientInfo_get0_pkey_ctx(recipient);
  if (how == nullptr) return kFailed;
  const bool set = kind == EVP_PKEY_EC ? EVP_PKEY_CTX_set_ecdh_kdf_md(how, EVP_sha256()) > 0
                                       : EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_OAEP_PADDING) > 0 &&
                                             EVP_PKEY_CTX_set_rsa_oaep_md(how, EVP_sha256()) > 0;
  if (!set) return kFailed;
  return {};
}

}  // namespace

Result<std::string> seal_for_recipients(std::string_view certificates, std::string_view text) {
  const Quiet quiet;
  const Bio pems = reader_of(certificates), in = reader_of(text), out(BIO_new(BIO_s_mem()));
  const Cms cms(CMS_encrypt(nullptr, nullptr, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL));
  if (pems == nullptr || in == nullptr || out == nullptr || cms == nullptr) return kFailed;
  int recipients = 0;
  for (; recipients < kRecipientsMax; ++recipients) {
    const Certificate one(PEM_read_bio_X509(pems.get(), nullptr, nullptr, nullptr));
    if (one == nullptr) break;
    SEKISHO_CHECK_OK(add_recipient(cms.get(), one.get()));
  }
  if (recipients == 0) return kTorn;
  if (CMS_final(cms.get(), in.get(), nullptr, CMS_BINARY) != 1 || i2d_CMS_bio(out.get(), cms.get()) != 1) return kFailed;
  return text_of(out.get());
}

Result<std::string> open_as_recipient(std::string_view key, std::string_view sealed) {
  const Quiet quiet;
  const Bio pem = reader_of(key), in = reader_of(sealed), out(BIO_new(BIO_s_mem()));
  if (pem == nullptr || in == nullptr || out == nullptr) return kFailed;
  const Key own(PEM_read_bio_PrivateKey(pem.get(), nullptr, nullptr, nullptr));
  const Cms cms(d2i_CMS_bio(in.get(), nullptr));
  if (own == nullptr || cms == nullptr || BIO_pending(in.get()) != 0) return kTorn;
  if (OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_id_smime_ct_authEnvelopedData) return kTorn;  // nothing that is not authenticated
  if (CMS_decrypt(cms.get(), own.get(), nullptr, nullptr, out.get(), CMS_BINARY) != 1) return kShut;
  return text_of(out.get());
}

}  // namespace sekisho
