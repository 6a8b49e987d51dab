// SPDX-License-Identifier: Apache-2.0
#include "vpn/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <memory>

namespace sekisho::vpn {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* one) const {
    kFree(one);
  }
};
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Store = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using Request = std::unique_ptr<OCSP_REQUEST, Freed<OCSP_REQUEST_free>>;
using Response = std::unique_ptr<OCSP_RESPONSE, Freed<OCSP_RESPONSE_free>>;
using Basic = std::unique_ptr<OCSP_BASICRESP, Freed<OCSP_BASICRESP_free>>;
using Id = std::unique_ptr<OCSP_CERTID, Freed<OCSP_CERTID_free>>;

constexpr int kSecurityLevel = 2;  // OpenSSL's: 112 bits; RSA of 2048, no SHA-1
constexpr std::int64_t kUndatedSeconds = 60;

Certificate certificate_of(ByteSpan der) {
  const std::uint8_t* at = der.data();
  return Certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
}

/// SHA-1 names it, as every responder understands (RFC 5019 2.1.1); it proves nothing.
Id id_of(ByteSpan certificate, ByteSpan issuer) {
  const Certificate one = certificate_of(certificate), by = certificate_of(issuer);
  return Id(one && by ? OCSP_cert_to_id(EVP_sha1(), one.get(), by.get()) : nullptr);
}

std::int64_t seconds_of(const ASN1_GENERALIZEDTIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<std::int64_t>(::timegm(&parts));
}

bool is_strong(const OCSP_BASICRESP* basic) {
  int digest = NID_undef, key = NID_undef;
  const X509_ALGOR* algorithm = OCSP_resp_get0_tbs_sigalg(basic);
  if (OBJ_find_sigid_algs(OBJ_obj2nid(algorithm->algorithm), &digest, &key) != 1) return false;
  // Where the digest is a parameter (RSASSA-PSS, Ed25519), OpenSSL's own limits hold.
  const bool weak = digest == NID_md5 || digest == NID_sha1 || digest == NID_md5_sha1 || digest == NID_sha224;
  return !weak;
}

template <typename Of>
bool has_critical(Of* of, int (*count)(Of*), X509_EXTENSION* (*at)(Of*, int)) {
  for (int i = 0; i < count(of); ++i) {
    if (X509_EXTENSION_get_critical(at(of, i)) != 0) return true;
  }
  return false;
}

/// By the issuer, or by one whom it lets sign answers: nobody above it, and no list of other signers.
bool is_signed(OCSP_BASICRESP* basic, X509* issuer, std::int64_t now) {
  const Store store(X509_STORE_new());
  if (!store || X509_STORE_add_cert(store.get(), issuer) != 1) return false;
  X509_VERIFY_PARAM* options = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_flags(options, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(options, static_cast<std::time_t>(now));
  X509_VERIFY_PARAM_set_auth_level(options, kSecurityLevel);
  const auto free_stack = [](STACK_OF(X509) * all) { sk_X509_free(all); };
  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> known(sk_X509_new_null(), free_stack);
  if (!known || sk_X509_push(known.get(), issuer) <= 0) return false;
  return OCSP_basic_verify(basic, known.get(), store.get(), OCSP_NOEXPLICIT) == 1;
}

OcspAnswer unusable(std::string_view why) { return {OcspAnswer::State::kUnusable, why, 0}; }

OcspAnswer judge(OCSP_BASICRESP* basic, OCSP_CERTID* id, std::int64_t now) {
  int status = 0;
  ASN1_GENERALIZEDTIME *from = nullptr, *to = nullptr;
  if (OCSP_resp_find_status(basic, id, &status, nullptr, nullptr, &from, &to) != 1) return unusable("it is about another certificate");
  if (status == V_OCSP_CERTSTATUS_REVOKED) return {OcspAnswer::State::kRevoked, {}, 0};
  const std::int64_t said = seconds_of(from);
  if (said == 0 || said > now + kOcspSkewSeconds) return unusable("it comes from the future");
  // Without a next update it is said for the moment (RFC 6960 4.2.2.1).
  const std::int64_t until = to == nullptr ? std::max(said + kOcspSkewSeconds, now + kUndatedSeconds) : seconds_of(to);
  const bool stale = to == nullptr ? now > said + kOcspSkewSeconds : now > until + kOcspSkewSeconds || until < said;
  if (stale) return unusable("it is out of date");
  const auto state = status == V_OCSP_CERTSTATUS_GOOD ? OcspAnswer::State::kGood : OcspAnswer::State::kUnknown;
  return {state, {}, std::max(until, now + kUndatedSeconds)};
}

OcspAnswer judge(ByteSpan answer, ByteSpan certificate, ByteSpan issuer, std::int64_t now) {
  if (answer.size() > kOcspBytesMax) return unusable("it is too long");
  const std::uint8_t* at = answer.data();
  const Response response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(answer.size())));
  if (!response || at != answer.data() + answer.size()) return unusable("it cannot be read");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return unusable("the responder refuses to say");
  const Basic basic(OCSP_response_get1_basic(response.get()));
  const Id id = id_of(certificate, issuer);
  const Certificate by = certificate_of(issuer);
  if (!basic || !id || !by) return unusable("it cannot be read");
  if (has_critical(basic.get(), OCSP_BASICRESP_get_ext_count, OCSP_BASICRESP_get_ext)) return unusable("it has a critical extension");
  for (int i = 0; i < OCSP_resp_count(basic.get()); ++i) {
    if (has_critical(OCSP_resp_get0(basic.get(), i), OCSP_SINGLERESP_get_ext_count, OCSP_SINGLERESP_get_ext))
      return unusable("it has a critical extension");
  }
  if (!is_strong(basic.get())) return unusable("its signature is too weak");
  if (!is_signed(basic.get(), by.get(), now)) return unusable("neither the CA nor anybody the CA lets sign answers has signed it");
  return judge(basic.get(), id.get(), now);
}

}  // namespace

std::vector<std::uint8_t> make_ocsp_question(ByteSpan certificate, ByteSpan issuer) {
  const Request request(OCSP_REQUEST_new());
  Id id = id_of(certificate, issuer);
  std::vector<std::uint8_t> out;
  if (request && id && OCSP_request_add0_id(request.get(), id.get()) != nullptr) {
    (void)id.release();
    out.resize(static_cast<std::size_t>(std::max(i2d_OCSP_REQUEST(request.get(), nullptr), 0)));
    std::uint8_t* at = out.data();
    i2d_OCSP_REQUEST(request.get(), &at);
  }
  ERR_clear_error();
  return out;
}

OcspAnswer judge_ocsp(ByteSpan answer, ByteSpan certificate, ByteSpan issuer, std::int64_t now) {
  const OcspAnswer out = judge(answer, certificate, issuer, now);
  ERR_clear_error();
  return out;
}

}  // namespace sekisho::vpn
