// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/tls.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <string_view>

#include "base/assert.h"

namespace sekisho::vpn::sstp {
namespace {

constexpr const char* kStrong12 = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
constexpr const char* kWide12 =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256";
constexpr const char* kStrong13 = "TLS_AES_256_GCM_SHA384";
constexpr const char* kWide13 = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
/// What is read of a socket at once: many records of clients that put one packet into each. Given back when it is empty.
constexpr std::size_t kReadAhead = 64U << 10;
constexpr const char* kGroups = "X25519:P-256:P-384:P-521";

struct Free {
  void operator()(BIO* one) const { BIO_free(one); }
  void operator()(X509* one) const { X509_free(one); }
  void operator()(EVP_PKEY* one) const { EVP_PKEY_free(one); }
  void operator()(SSL_CTX* one) const { SSL_CTX_free(one); }
  void operator()(X509_STORE* one) const { X509_STORE_free(one); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

/// Nobody is asked for a password.
int no_password(char*, int, int, void*) { return 0; }

Owned<X509> certificate_of(const std::string& pem) {
  const Owned<BIO> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Owned<X509>(PEM_read_bio_X509(text.get(), nullptr, no_password, nullptr));
}
Owned<EVP_PKEY> key_of(const std::string& pem) {
  const Owned<BIO> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return Owned<EVP_PKEY>(PEM_read_bio_PrivateKey(text.get(), nullptr, no_password, nullptr));
}

/// Clients that ask for a protocol get HTTP.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned in_length, void*) {
  static constexpr std::array<unsigned char, 9> kHttp{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, length, kHttp.data(), kHttp.size(), in, in_length);
  if (found != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
  std::vector<std::uint8_t> out(text.size());
  const std::unique_ptr<EVP_ENCODE_CTX, void (*)(EVP_ENCODE_CTX*)> context(EVP_ENCODE_CTX_new(), EVP_ENCODE_CTX_free);
  EVP_DecodeInit(context.get());
  int length = 0, rest = 0;
  const bool whole = EVP_DecodeUpdate(context.get(), out.data(), &length, reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size())) >= 0 &&
                     EVP_DecodeFinal(context.get(), out.data() + length, &rest) == 1;
  out.resize(whole ? static_cast<std::size_t>(length + rest) : 0);
  return out;
}

/// Whether an OCSP response says that something is good, today. Its signature is the client's to check.
bool is_current(ByteSpan der) {
  const unsigned char* at = der.data();
  const std::unique_ptr<OCSP_RESPONSE, void (*)(OCSP_RESPONSE*)> response(d2i_OCSP_RESPONSE(nullptr, &at, static_cast<long>(der.size())),
                                                                          OCSP_RESPONSE_free);
  if (!response || OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) return false;
  const std::unique_ptr<OCSP_BASICRESP, void (*)(OCSP_BASICRESP*)> basic(OCSP_response_get1_basic(response.get()), OCSP_BASICRESP_free);
  if (!basic || OCSP_resp_count(basic.get()) < 1) return false;
  ASN1_GENERALIZEDTIME *from = nullptr, *until = nullptr;
  const int status = OCSP_single_get0_status(OCSP_resp_get0(basic.get(), 0), nullptr, nullptr, &from, &until);
  constexpr long kSkewSeconds = 300;
  return status == V_OCSP_CERTSTATUS_GOOD && OCSP_check_validity(from, until, kSkewSeconds, -1) == 1;
}

int choose_certificate(SSL* ssl, int*, void* gateway) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  SSL_CTX* context = static_cast<const TlsGateway*>(gateway)->context_for(name);
  if (context != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, context);
  return name == nullptr ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

/// Sends along what stands between the certificate and its root.
bool add_chain(SSL_CTX* context, const SstpPlan& plan) {
  const Owned<X509_STORE> store(X509_STORE_new());
  for (const std::string& pem : plan.vouching) {
    if (const Owned<X509> one = certificate_of(pem)) X509_STORE_add_cert(store.get(), one.get());
  }
  constexpr unsigned long kFlags = SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR | SSL_BUILD_CHAIN_FLAG_NO_ROOT | SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR;
  return SSL_CTX_set1_chain_cert_store(context, store.get()) == 1 && SSL_CTX_build_cert_chain(context, kFlags) > 0;
}

bool set_up(SSL_CTX* context, const SstpPlan& plan) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 && SSL_CTX_set_num_tickets(context, 0) == 1 &&
         SSL_CTX_set_cipher_list(context, plan.aes128 ? kWide12 : kStrong12) == 1 &&
         SSL_CTX_set_ciphersuites(context, plan.aes128 ? kWide13 : kStrong13) == 1 && SSL_CTX_set1_groups_list(context, kGroups) == 1;
}

}  // namespace

struct TlsCallbacks {
  /// What the certificate's CA says of it goes along, while it is true.
  static int staple(SSL* ssl, void* gateway) {
    const ByteSpan der = static_cast<const TlsGateway*>(gateway)->staple_of(SSL_get_SSL_CTX(ssl));
    if (der.empty() || !is_current(der)) return ERR_clear_error(), SSL_TLSEXT_ERR_NOACK;
    auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(der.data(), der.size()));
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP, static_cast<long>(der.size()), copy);
    return SSL_TLSEXT_ERR_OK;
  }
  /// "LABEL RANDOM SECRET", the latter two in hexadecimal digits.
  static void keep_secret(const SSL* ssl, const char* line);
};

ByteSpan TlsGateway::staple_of(const ssl_ctx_st* context) const {
  const auto found = std::find(contexts_.begin(), contexts_.end(), context);
  return found == contexts_.end() ? ByteSpan{} : ByteSpan(staples_[static_cast<std::size_t>(found - contexts_.begin())]);
}

std::shared_ptr<const TlsGateway> TlsGateway::make(const SstpPlan& plan, std::string& refusal) {
  std::shared_ptr<TlsGateway> out(new TlsGateway);
  for (std::size_t i = 0; i < plan.certificates.size(); ++i) {
    const Owned<X509> certificate = certificate_of(plan.certificates[i]);
    const Owned<EVP_PKEY> key = key_of(plan.keys[i]);
    Owned<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
    ERR_clear_error();
    if (!certificate) return refusal = "a certificate cannot be read", nullptr;
    if (!key) return refusal = "a key cannot be read", nullptr;
    if (!context || !set_up(context.get(), plan)) return refusal = "TLS cannot be set up", nullptr;
    if (SSL_CTX_use_certificate(context.get(), certificate.get()) != 1) return refusal = "a certificate is too weak", nullptr;
    if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) return refusal = "a certificate and its key do not belong together", nullptr;
    if (!add_chain(context.get(), plan)) return refusal = "the chain of a certificate cannot be made", nullptr;
    // The macros for this cast as C does.
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, reinterpret_cast<void (*)()>(choose_certificate));
    SSL_CTX_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, out.get());
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB, reinterpret_cast<void (*)()>(TlsCallbacks::staple));
    SSL_CTX_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB_ARG, 0, out.get());
    SSL_CTX_set_keylog_callback(context.get(), TlsCallbacks::keep_secret);
    out->contexts_.push_back(context.release());
    out->staples_.push_back(plan.ocsp.empty() ? std::vector<std::uint8_t>{} : from_base64(plan.ocsp[i]));
  }
  ERR_clear_error();
  if (out->contexts_.empty()) return refusal = "it has no certificate", nullptr;
  return out;
}

TlsGateway::~TlsGateway() {
  for (ssl_ctx_st* context : contexts_) SSL_CTX_free(context);
}

ssl_ctx_st* TlsGateway::context_for(const char* name) const {
  if (name == nullptr) return contexts_.front();
  const std::string_view wanted(name);
  const auto has = [wanted](ssl_ctx_st* context) {
    return X509_check_host(SSL_CTX_get0_certificate(context), wanted.data(), wanted.size(), 0, nullptr) == 1;
  };
  const auto found = std::find_if(contexts_.begin(), contexts_.end(), has);
  return found == contexts_.end() ? contexts_.front() : *found;
}

struct TlsStream::Secrets {
  struct Secret {
    std::array<std::uint8_t, 48> bytes{};
    std::size_t length = 0;
    [[nodiscard]] ByteSpan span() const { return ByteSpan(bytes).first(length); }
  };
  Secret in, out;
  ~Secrets() { ::explicit_bzero(this, sizeof(*this)); }
};

void TlsCallbacks::keep_secret(const SSL* ssl, const char* line) {
  auto* const stream = static_cast<TlsStream*>(SSL_get_ex_data(ssl, 0));
  const std::string_view text(line);
  const bool in = text.starts_with("CLIENT_TRAFFIC_SECRET_0 ");
  if (stream == nullptr || stream->secrets_ == nullptr || (!in && !text.starts_with("SERVER_TRAFFIC_SECRET_0 "))) return;
  TlsStream::Secrets::Secret& to = in ? stream->secrets_->in : stream->secrets_->out;
  const std::string_view digits = text.substr(text.rfind(' ') + 1);
  const auto value = [](char digit) { return static_cast<unsigned>(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10); };
  to.length = std::min(to.bytes.size(), digits.size() / 2);
  for (std::size_t i = 0; i < to.length; ++i) to.bytes[i] = static_cast<std::uint8_t>(value(digits[2 * i]) << 4 | value(digits[2 * i + 1]));
}

TlsStream::TlsStream(std::shared_ptr<const TlsGateway> gateway, int socket)
    : gateway_(std::move(gateway)), socket_(socket), secrets_(std::make_unique<Secrets>()) {
  ssl_ = SSL_new(gateway_->context_for(nullptr));
  SEKISHO_ASSERT(ssl_ != nullptr && SSL_set_fd(ssl_, socket) == 1 && SSL_set_ex_data(ssl_, 0, this) == 1);
  SSL_set_accept_state(ssl_);
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

TlsStream::Outcome TlsStream::outcome_of(int returned) {
  const int error = SSL_get_error(ssl_, returned);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Outcome::kWait;
  return error == SSL_ERROR_ZERO_RETURN ? Outcome::kClosed : Outcome::kFailed;
}

namespace {

/// Takes what a peer that does not speak TLS has sent: a socket closed with bytes unread resets, and the alert would be lost.
void discard_unread(int socket) {
  std::array<std::uint8_t, 4096> sink;
  for (int i = 0; i < 4 && ::recv(socket, sink.data(), sink.size(), MSG_DONTWAIT) > 0; ++i) {
  }
}

}  // namespace

TlsStream::Outcome TlsStream::handshake() {
  const int returned = SSL_do_handshake(ssl_);
  if (returned != 1) {
    const Outcome outcome = outcome_of(returned);
    if (outcome == Outcome::kFailed) discard_unread(socket_);
    return outcome;
  }
  settle();
  return Outcome::kDone;
}

/// The handshake is done. OpenSSL has read nothing ahead, and with TLS 1.3 sends nothing behind it: both sides' numbers begin at 0.
void TlsStream::settle() {
  const std::unique_ptr<Secrets> secrets = std::move(secrets_);
  const X509* certificate = SSL_get_certificate(ssl_);
  unsigned length = 0;
  const bool made = certificate != nullptr && X509_digest(certificate, EVP_sha1(), hashes_.sha1.data(), &length) == 1 &&
                    X509_digest(certificate, EVP_sha256(), hashes_.sha256.data(), &length) == 1;
  SEKISHO_ASSERT(made);
  const auto cipher = static_cast<std::uint16_t>(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_)));
  constexpr std::uint16_t kAes128 = 0x1301, kAes256 = 0x1302;
  const auto suite = cipher == kAes256 ? RecordSuite::kAes256GcmSha384 : RecordSuite::kAes128GcmSha256;
  const bool short_records = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl_)) != TLSEXT_max_fragment_length_DISABLED;
  const bool known = SSL_version(ssl_) == TLS1_3_VERSION && (cipher == kAes128 || cipher == kAes256) && !short_records;
  const bool ours = known && SSL_has_pending(ssl_) == 0 &&
                    secrets->in.length == secret_bytes(suite) && secrets->out.length == secret_bytes(suite);
  if (ours) {
    records_ = std::make_unique<RecordStream>(suite, secrets->in.span(), secrets->out.span(), socket_);
    SSL_free(std::exchange(ssl_, nullptr));
    gateway_.reset();
  } else {  // TLS 1.2: many records of a client that puts one packet into each are read at once
    SSL_set_read_ahead(ssl_, 1);
    SSL_set_default_read_buffer_len(ssl_, kReadAhead);
  }
}

TlsStream::Outcome TlsStream::read(std::span<std::uint8_t> out, std::size_t& count) {
  if (records_) return records_->read(out, count);
  const int returned = SSL_read_ex(ssl_, out.data(), out.size(), &count);
  return returned == 1 ? Outcome::kDone : outcome_of(returned);
}

TlsStream::Outcome TlsStream::write(ByteSpan bytes, std::size_t& count) {
  if (records_) return records_->write(bytes, count);
  const int returned = SSL_write_ex(ssl_, bytes.data(), std::min(bytes.size(), kRecordPlainMax), &count);
  return returned == 1 ? Outcome::kDone : outcome_of(returned);
}

void TlsStream::shutdown() {
  if (records_) return records_->shutdown();
  if (SSL_is_init_finished(ssl_) == 1) (void)SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string TlsStream::suite() const {
  if (!records_) return std::string(SSL_get_version(ssl_)) + '/' + SSL_get_cipher_name(ssl_);
  return records_->suite() == RecordSuite::kAes256GcmSha384 ? "TLSv1.3/TLS_AES_256_GCM_SHA384" : "TLSv1.3/TLS_AES_128_GCM_SHA256";
}

}  // namespace sekisho::vpn::sstp
