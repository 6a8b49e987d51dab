// SPDX-License-Identifier: Apache-2.0
#include "vpn/certificates.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <limits>

#include "vpn/plan.h"

namespace sekisho::vpn {
namespace {

template <auto kFree>
struct Freed {
  template <typename T>
  void operator()(T* one) const {
    kFree(one);
  }
};
void free_certificates(STACK_OF(X509) * all) { sk_X509_pop_free(all, X509_free); }

using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using List = std::unique_ptr<X509_CRL, Freed<X509_CRL_free>>;
using Store = std::unique_ptr<X509_STORE, Freed<X509_STORE_free>>;
using Context = std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>>;
using Certificates = std::unique_ptr<STACK_OF(X509), Freed<free_certificates>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;
using Usages = std::unique_ptr<EXTENDED_KEY_USAGE, Freed<EXTENDED_KEY_USAGE_free>>;
using Bytes = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using Fingerprint = std::array<std::uint8_t, 32>;

constexpr int kChainMax = 7;
constexpr int kSecurityLevel = 2;  // OpenSSL's: 112 bits; RSA of 2048, no SHA-1
constexpr int kCurveBitsMin = 256;
constexpr std::size_t kSerialBytesMax = 20, kNameBytesMax = 255;

/// What they mean is said in one place.
struct Meaning {
  CertificateFault fault;
  Cause cause;
  std::string_view text;
};
constexpr std::array kMeanings{
    Meaning{CertificateFault::kNone, Cause::kNone, ""},
    Meaning{CertificateFault::kUnreadable, Cause::kAuth, "the client's certificate cannot be read"},
    Meaning{CertificateFault::kExpired, Cause::kCertExpired, "the client's certificate, or a CA above it, has expired: issue a new one"},
    Meaning{CertificateFault::kNotYetValid, Cause::kCertExpired,
            "the client's certificate is not valid yet: it begins later, or its issuer's clock differs"},
    Meaning{CertificateFault::kUntrusted, Cause::kAuth, "no CA of this tenant vouches for the client's certificate"},
    Meaning{CertificateFault::kSignature, Cause::kAuth, "a signature in the client's certificate chain is wrong: it was altered"},
    Meaning{CertificateFault::kNotCa, Cause::kAuth,
            "an issuer in the client's certificate chain is not a CA: it needs CA:TRUE and keyCertSign"},
    Meaning{CertificateFault::kPathLength, Cause::kAuth, "the client's certificate chain is longer than one of its CAs allows"},
    Meaning{CertificateFault::kNameConstraints, Cause::kAuth, "a CA above the client's certificate may not vouch for this name"},
    Meaning{CertificateFault::kCriticalExtension, Cause::kAuth, "the client's certificate has a critical extension that is not known here"},
    Meaning{CertificateFault::kUsage, Cause::kAuth,
            "the client's certificate may not be used to log in: it needs digitalSignature, and clientAuth where it names any purpose"},
    Meaning{CertificateFault::kWeak, Cause::kAuth,
            "a key or signature in the client's certificate chain is too weak: RSA 2048, P-256 and SHA-256 are the least"},
    Meaning{CertificateFault::kRevoked, Cause::kCertRevoked, "the client's certificate, or a CA above it, is revoked"},
    Meaning{CertificateFault::kNoList, Cause::kAuth,
            "no revocation list of the client certificate's CA is here: give the gateway one of each CA"},
    Meaning{CertificateFault::kListStale, Cause::kAuth,
            "the revocation list of the client certificate's CA is out of date: give the gateway a new one"},
    Meaning{CertificateFault::kNoAnswer, Cause::kAuth,
            "the gateway's OCSP responder did not say, in a way that counts, whether the client's certificate is revoked"},
    Meaning{CertificateFault::kUnknownToCa, Cause::kAuth, "the gateway's OCSP responder does not know the client's certificate"},
};

const Meaning& meaning(CertificateFault fault) { return kMeanings.at(static_cast<std::size_t>(fault)); }

CertificateFault fault_of(int openssl) {
  switch (openssl) {
    case X509_V_OK: return CertificateFault::kNone;
    case X509_V_ERR_CERT_HAS_EXPIRED: return CertificateFault::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID: return CertificateFault::kNotYetValid;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE: return CertificateFault::kSignature;
    case X509_V_ERR_INVALID_CA: case X509_V_ERR_INVALID_NON_CA: case X509_V_ERR_KEYUSAGE_NO_CERTSIGN: return CertificateFault::kNotCa;
    case X509_V_ERR_PATH_LENGTH_EXCEEDED: case X509_V_ERR_CERT_CHAIN_TOO_LONG: return CertificateFault::kPathLength;
    case X509_V_ERR_PERMITTED_VIOLATION: case X509_V_ERR_EXCLUDED_VIOLATION: case X509_V_ERR_SUBTREE_MINMAX:
    case X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE: case X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX: case X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
      return CertificateFault::kNameConstraints;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION: return CertificateFault::kCriticalExtension;
    case X509_V_ERR_EE_KEY_TOO_SMALL: case X509_V_ERR_CA_KEY_TOO_SMALL: case X509_V_ERR_CA_MD_TOO_WEAK:
    case X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
      return CertificateFault::kWeak;
    default: return CertificateFault::kUntrusted;
  }
}

Bytes reader(const std::string& text) { return Bytes(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

Certificate certificate_of(const std::vector<std::uint8_t>& der) {
  const std::uint8_t* at = der.data();
  Certificate out(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  return at == der.data() + der.size() ? std::move(out) : nullptr;
}

std::vector<std::uint8_t> der_of(X509* certificate) {
  std::vector<std::uint8_t> out(static_cast<std::size_t>(std::max(i2d_X509(certificate, nullptr), 0)));
  std::uint8_t* at = out.data();
  i2d_X509(certificate, &at);
  return out;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<std::int64_t>(::timegm(&parts));
}

std::string text_of(const X509_NAME* name) {
  const Bytes out(BIO_new(BIO_s_mem()));
  if (!out || X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB)) < 0) return {};
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, std::min(static_cast<std::size_t>(std::max(size, 0L)), kNameBytesMax)};
}

/// An alternative name in words; empty: of a kind nothing is known by.
std::string text_of(const GENERAL_NAME* name) {
  int kind = 0;
  const void* value = GENERAL_NAME_get0_value(name, &kind);
  const ASN1_STRING* text = nullptr;
  if (kind == GEN_EMAIL || kind == GEN_DNS || kind == GEN_URI) text = static_cast<const ASN1_IA5STRING*>(value);
  if (kind == GEN_OTHERNAME) {
    const auto& other = *static_cast<const OTHERNAME*>(value);
    const bool principal = OBJ_obj2nid(other.type_id) == NID_ms_upn && other.value->type == V_ASN1_UTF8STRING;
    if (principal) text = other.value->value.utf8string;
  }
  const auto size = text == nullptr ? 0U : static_cast<std::size_t>(ASN1_STRING_length(text));
  if (size == 0 || size > kNameBytesMax) return {};
  return folded({reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), size});
}

std::vector<std::string> names_of(X509* certificate) {
  constexpr std::size_t kNamesMax = 8;
  std::vector<std::string> out;
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()) && out.size() < kNamesMax; ++i) {
    if (std::string text = text_of(sk_GENERAL_NAME_value(names.get(), i)); !text.empty()) out.push_back(std::move(text));
  }
  return out;
}

std::string hex_of(const ASN1_INTEGER* number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  const std::size_t size = std::min(static_cast<std::size_t>(ASN1_STRING_length(number)), kSerialBytesMax);
  const std::uint8_t* bytes = ASN1_STRING_get0_data(number);
  for (std::size_t i = 0; i < size; ++i) {
    out += kDigits[bytes[i] >> 4U];
    out += kDigits[bytes[i] & 15U];
  }
  // As the configuration names them: a number has no leading zeros.
  const std::size_t first = out.find_first_not_of('0');
  return first == std::string::npos ? "0" : out.substr(first);
}

Fingerprint fingerprint(X509* certificate) {
  Fingerprint out{};
  X509_digest(certificate, EVP_sha256(), out.data(), nullptr);
  return out;
}

/// False: a purpose is named, and letting somebody in by IKE or EAP-TLS is not among them.
bool may_serve_clients(X509* certificate) {
  int critical = 0;
  const Usages usages(static_cast<EXTENDED_KEY_USAGE*>(X509_get_ext_d2i(certificate, NID_ext_key_usage, &critical, nullptr)));
  if (!usages) return critical == -1;  // absent; present and unreadable, or twice, is refused
  for (int i = 0; i < sk_ASN1_OBJECT_num(usages.get()); ++i) {
    char oid[64] = {};
    OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(usages.get(), i), 1);
    // clientAuth, any; IPsec user, IKE intermediate, IKE (RFC 4945 5.1.3.12)
    for (const std::string_view good :
         {"1.3.6.1.5.5.7.3.2", "2.5.29.37.0", "1.3.6.1.5.5.7.3.7", "1.3.6.1.5.5.8.2.2", "1.3.6.1.5.5.7.3.17"}) {
      if (good == oid) return true;
    }
  }
  return false;
}

bool is_strong(X509* certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr) return false;
  if (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC) return true;  // OpenSSL's level has judged it
  int is_explicit = 0;
  EVP_PKEY_get_int_param(key, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &is_explicit);
  return is_explicit == 0 && EVP_PKEY_get_bits(key) >= kCurveBitsMin;
}

/// What OpenSSL leaves to its caller.
CertificateFault judge_usage(STACK_OF(X509) * chain) {
  const int count = sk_X509_num(chain);
  if ((X509_get_key_usage(sk_X509_value(chain, 0)) & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0) return CertificateFault::kUsage;
  for (int i = 0; i < count; ++i) {
    X509* one = sk_X509_value(chain, i);
    if (i + 1 < count && !may_serve_clients(one)) return CertificateFault::kUsage;
    if (!is_strong(one)) return CertificateFault::kWeak;
  }
  return CertificateFault::kNone;
}

bool has_critical_extension(const X509_CRL* list) {
  for (int i = 0; i < X509_CRL_get_ext_count(list); ++i) {
    if (X509_EXTENSION_get_critical(X509_CRL_get_ext(list, i)) != 0) return true;
  }
  return false;
}

/// Empty, or why this list is of no use.
std::string_view fault_of_list(const X509_CRL* list) {
  if (list == nullptr) return "a revocation list cannot be read";
  if (X509_CRL_get0_nextUpdate(list) == nullptr) return "a revocation list does not say until when it counts";
  // A list of changes, of some reasons, of other CAs' certificates: read as the whole it would let revoked ones in.
  if (has_critical_extension(list)) return "a revocation list holds only a part: it has a critical extension";
  return {};
}

}  // namespace

struct CertificateJudge::Parts {
  Store store;
  std::vector<List> lists;
  bool open = false;
  /// Which lists a CA has signed; asked once a CA, because a list may be long.
  mutable std::mutex mutex;
  mutable std::map<Fingerprint, std::vector<const X509_CRL*>> signed_by;

  std::vector<const X509_CRL*> lists_of(X509* ca) const;
  std::pair<CertificateFault, Revocation> revocation(X509* certificate, X509* ca, std::int64_t now) const;
  std::pair<CertificateFault, Revocation> revocation(STACK_OF(X509) * chain, std::int64_t now) const;
};

std::vector<const X509_CRL*> CertificateJudge::Parts::lists_of(X509* ca) const {
  constexpr std::size_t kRemembered = 256;
  if ((X509_get_key_usage(ca) & KU_CRL_SIGN) == 0) return {};
  const Fingerprint name = fingerprint(ca);
  const std::lock_guard lock(mutex);
  const auto known = signed_by.find(name);
  if (known != signed_by.end()) return known->second;
  std::vector<const X509_CRL*> out;
  for (const List& list : lists) {
    if (X509_NAME_cmp(X509_CRL_get_issuer(list.get()), X509_get_subject_name(ca)) == 0 &&
        X509_CRL_verify(list.get(), X509_get0_pubkey(ca)) == 1) {
      out.push_back(list.get());
    }
  }
  ERR_clear_error();
  if (signed_by.size() < kRemembered) signed_by.emplace(name, out);
  return out;
}

std::pair<CertificateFault, Revocation> CertificateJudge::Parts::revocation(X509* certificate, X509* ca, std::int64_t now) const {
  bool fresh = false, stale = false;
  for (const X509_CRL* list : lists_of(ca)) {
    if (seconds_of(X509_CRL_get0_lastUpdate(list)) > now) continue;
    X509_REVOKED* entry = nullptr;
    // What a list names stays revoked when the list is old; 2 is an entry that takes it back.
    const int found = X509_CRL_get0_by_cert(const_cast<X509_CRL*>(list), &entry, certificate);
    if (found == 1) return {CertificateFault::kRevoked, Revocation::kRevoked};
    const bool counts = now <= seconds_of(X509_CRL_get0_nextUpdate(list)) + kListGraceSeconds;
    fresh = fresh || counts;
    stale = stale || !counts;
  }
  if (fresh) return {CertificateFault::kNone, Revocation::kGood};
  if (open) return {CertificateFault::kNone, Revocation::kUnknown};
  return {stale ? CertificateFault::kListStale : CertificateFault::kNoList, Revocation::kUnknown};
}

std::pair<CertificateFault, Revocation> CertificateJudge::Parts::revocation(STACK_OF(X509) * chain, std::int64_t now) const {
  if (lists.empty()) return {CertificateFault::kNone, Revocation::kUnchecked};
  Revocation all = Revocation::kGood;
  for (int i = 0; i + 1 < sk_X509_num(chain); ++i) {
    const auto [fault, one] = revocation(sk_X509_value(chain, i), sk_X509_value(chain, i + 1), now);
    if (fault != CertificateFault::kNone) return {fault, one};
    if (one == Revocation::kUnknown) all = one;
  }
  return {CertificateFault::kNone, all};
}

CertificateJudge::CertificateJudge(std::unique_ptr<Parts> parts)
    : parts_(std::move(parts)), lists_end_(std::numeric_limits<std::int64_t>::max()) {
  if (parts_->open) return;
  for (const List& list : parts_->lists) {
    lists_end_ = std::min(lists_end_, seconds_of(X509_CRL_get0_nextUpdate(list.get())) + kListGraceSeconds);
  }
}

CertificateJudge::~CertificateJudge() = default;

CertificateJudge::Made CertificateJudge::make(const Sources& sources) {
  auto parts = std::make_unique<Parts>();
  parts->open = sources.open;
  parts->store.reset(X509_STORE_new());
  for (const std::string& pem : sources.cas) {
    const Certificate ca(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (!ca) return {nullptr, "a CA cannot be read"};
    if (X509_check_ca(ca.get()) != 1) return {nullptr, "a CA is none: " + text_of(X509_get_subject_name(ca.get()))};
    X509_STORE_add_cert(parts->store.get(), ca.get());
  }
  for (const std::string& pem : sources.lists) {
    List list(PEM_read_bio_X509_CRL(reader(pem).get(), nullptr, nullptr, nullptr));
    ERR_clear_error();
    if (const std::string_view fault = fault_of_list(list.get()); !fault.empty()) return {nullptr, std::string(fault)};
    parts->lists.push_back(std::move(list));
  }
  return {std::shared_ptr<const CertificateJudge>(new CertificateJudge(std::move(parts))), {}};
}

CertificateJudge::Verdict CertificateJudge::judge(std::span<const std::vector<std::uint8_t>> chain, std::int64_t now) const {
  Verdict out;
  out.fault = CertificateFault::kUnreadable;
  const Certificate leaf = chain.empty() ? nullptr : certificate_of(chain.front());
  const Certificates sent(sk_X509_new_null());
  const Context context(X509_STORE_CTX_new());
  if (!leaf || !sent || !context) return ERR_clear_error(), out;
  out.facts = {hex_of(X509_get0_serialNumber(leaf.get())), text_of(X509_get_subject_name(leaf.get())),
               text_of(X509_get_issuer_name(leaf.get())),
               seconds_of(X509_get0_notAfter(leaf.get())), names_of(leaf.get())};
  for (const auto& der : chain.subspan(1)) {
    if (Certificate one = certificate_of(der)) sk_X509_push(sent.get(), one.release());
  }
  if (X509_STORE_CTX_init(context.get(), parts_->store.get(), leaf.get(), sent.get()) != 1) return out;
  X509_VERIFY_PARAM* options = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(options, static_cast<std::time_t>(now));
  X509_VERIFY_PARAM_set_depth(options, kChainMax);
  X509_VERIFY_PARAM_set_auth_level(options, kSecurityLevel);
  const bool good = X509_verify_cert(context.get()) == 1;
  out.fault = fault_of(good ? X509_V_OK : X509_STORE_CTX_get_error(context.get()));
  ERR_clear_error();
  STACK_OF(X509)* whole = X509_STORE_CTX_get0_chain(context.get());
  if (out.fault == CertificateFault::kNone && !good) out.fault = CertificateFault::kUntrusted;
  if (out.fault != CertificateFault::kNone) return out;
  for (int i = 0; i < sk_X509_num(whole); ++i) {
    out.facts.not_after = std::min(out.facts.not_after, seconds_of(X509_get0_notAfter(sk_X509_value(whole, i))));
  }
  out.fault = judge_usage(whole);
  if (out.fault == CertificateFault::kNone) std::tie(out.fault, out.revocation) = parts_->revocation(whole, now);
  if (out.fault == CertificateFault::kNone) out.issuer = der_of(sk_X509_value(whole, sk_X509_num(whole) > 1 ? 1 : 0));
  return out;
}

Cause cause_of(CertificateFault fault) { return meaning(fault).cause; }
std::string_view sentence_of(CertificateFault fault) { return meaning(fault).text; }

}  // namespace sekisho::vpn
