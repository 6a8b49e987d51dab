// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/eap_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>

#include "vpn/ppp/frame.h"

namespace sekisho::vpn::ppp {
namespace {

constexpr std::uint8_t kLength = 0x80, kMore = 0x40, kStart = 0x20;

struct Freed {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Held = std::unique_ptr<T, Freed>;

Held<BIO> reader_of(const std::string& pem) { return Held<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

bool use_chain(SSL_CTX* context, const std::string& pem) {
  const Held<BIO> bio = reader_of(pem);
  bool own = true;
  while (const Held<X509> certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    const auto done = own ? SSL_CTX_use_certificate(context, certificate.get()) : SSL_CTX_add1_chain_cert(context, certificate.get());
    if (done != 1) return false;
    own = false;
  }
  ERR_clear_error();
  return !own;
}

/// The peer's key is proven by TLS; its certificate is judged by who is asked, with the tenant's CAs and lists.
int take_any(int /*ok*/, X509_STORE_CTX* /*store*/) { return 1; }

std::string last_error() {
  std::array<char, 160> text{};
  ERR_error_string_n(ERR_peek_last_error(), text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

}  // namespace

std::shared_ptr<const EapTlsContext> EapTlsContext::make(const std::string& chain, const std::string& key,
                                                         const std::vector<std::string>& cas) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return nullptr;
  std::shared_ptr<const EapTlsContext> out(new EapTlsContext(context));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // who comes again proves himself again
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // pppd 2.4.9 is done with TLS 1.3 when it has a ticket. Ours opens nothing: no session is kept that it could name.
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
  const Held<BIO> bio = reader_of(key);
  const Held<EVP_PKEY> held(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (!held || !use_chain(context, chain) || SSL_CTX_use_PrivateKey(context, held.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  for (const std::string& ca : cas) {
    const Held<BIO> names = reader_of(ca);
    while (const Held<X509> certificate{PEM_read_bio_X509(names.get(), nullptr, nullptr, nullptr)}) {
      SSL_CTX_add_client_CA(context, certificate.get());
    }
  }
  ERR_clear_error();
  return out;
}

EapTlsContext::~EapTlsContext() { SSL_CTX_free(context_); }

EapTls::EapTls(std::shared_ptr<const EapTlsContext> context, std::size_t fragment)
    : context_(std::move(context)), ssl_(SSL_new(context_->context_)), fragment_(fragment) {
  SEKISHO_ASSERT(ssl_ != nullptr);
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl_, in, out);
  SSL_set_accept_state(ssl_);
}

EapTls::~EapTls() { SSL_free(ssl_); }

EapTls::What EapTls::start() {
  request_ = {kStart};
  return What::kSend;
}

EapTls::What EapTls::receive(ByteSpan data) {
  if (data.empty()) return phase_ == Phase::kFailing ? What::kFailed : What::kSend;  // no flags: as if it had not come
  const std::uint8_t flags = data[0];
  ByteSpan tls = data.subspan(1);
  if ((flags & kLength) != 0) {
    if (tls.size() < 4) {
      why_ = "a fragment of TLS without its length";
      return What::kFailed;
    }
    tls = tls.subspan(4);  // the length of all: what comes is what counts
  }
  if (sent_ < out_.size()) return send_next();  // it acknowledges a fragment
  if (tls.empty() && in_.empty()) {
    if (phase_ == Phase::kAccepted) return What::kDone;
    if (phase_ != Phase::kFailing) why_ = "the peer's TLS ended";
    return What::kFailed;
  }
  if (phase_ != Phase::kHandshake || in_.size() + tls.size() > kMessageBytesMax) {
    // In TLS 1.3 an alert may come after our last word: the peer does not take it.
    if (why_.empty()) why_ = phase_ == Phase::kHandshake ? "more TLS than a handshake has" : "the peer refused the gateway's certificate";
    return What::kFailed;
  }
  in_.insert(in_.end(), tls.begin(), tls.end());
  if ((flags & kMore) != 0) {
    request_ = {0};
    return What::kSend;
  }
  return take_message();
}

EapTls::What EapTls::take_message() {
  const std::vector<std::uint8_t> message = std::move(in_);
  in_.clear();
  ERR_clear_error();
  BIO_write(SSL_get_rbio(ssl_), message.data(), static_cast<int>(message.size()));
  const int done = SSL_do_handshake(ssl_);
  const int error = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, done);
  drain();
  if (error != SSL_ERROR_NONE && error != SSL_ERROR_WANT_READ) {
    why_ = "TLS: " + last_error();
    phase_ = Phase::kFailing;
    return out_.empty() ? What::kFailed : send_next();  // the alert says the peer why
  }
  if (error == SSL_ERROR_NONE) {
    keep_chain();
    phase_ = Phase::kAsked;
    return What::kAsk;
  }
  return out_.empty() ? What::kFailed : send_next();
}

EapTls::What EapTls::accept() {
  if (phase_ != Phase::kAsked) return What::kFailed;
  phase_ = Phase::kAccepted;
  if (SSL_version(ssl_) == TLS1_3_VERSION) {
    const std::uint8_t commitment = 0;  // RFC 9190 2.1.1: no more handshake messages follow
    if (SSL_write(ssl_, &commitment, 1) != 1) return What::kFailed;
    drain();
  }
  return send_next();
}

void EapTls::drain() {
  BIO* bio = SSL_get_wbio(ssl_);
  std::array<std::uint8_t, 4096> piece;
  for (int size = 0; (size = BIO_read(bio, piece.data(), static_cast<int>(piece.size()))) > 0;) {
    out_.insert(out_.end(), piece.begin(), piece.begin() + size);
  }
}

EapTls::What EapTls::send_next() {
  const std::size_t size = std::min(fragment_, out_.size() - sent_);
  const bool first = sent_ == 0, more = sent_ + size < out_.size();
  Bytes request;
  request.u8((first && more ? kLength : 0) | (more ? kMore : 0));
  if (first && more) request.u32(out_.size());
  request.append(ByteSpan(out_).subspan(sent_, size));
  request_ = request.take();
  sent_ += size;
  if (!more) {
    out_.clear();
    sent_ = 0;
  }
  return What::kSend;
}

void EapTls::keep_chain() {
  const auto keep = [this](X509* certificate) {
    std::vector<std::uint8_t> der(static_cast<std::size_t>(std::max(i2d_X509(certificate, nullptr), 0)));
    std::uint8_t* to = der.data();
    if (!der.empty() && i2d_X509(certificate, &to) > 0) chain_.push_back(std::move(der));
  };
  const Held<X509> own(SSL_get1_peer_certificate(ssl_));
  if (own) keep(own.get());
  const STACK_OF(X509)* rest = SSL_get_peer_cert_chain(ssl_);  // on a server without the peer's own
  for (int i = 0; rest != nullptr && i < sk_X509_num(rest); ++i) keep(sk_X509_value(rest, i));
}

std::array<std::uint8_t, 64> EapTls::msk() const {
  std::array<std::uint8_t, 64> out{};
  constexpr std::string_view kOld = "client EAP encryption", kNew = "EXPORTER_EAP_TLS_Key_Material";
  constexpr std::uint8_t kType = 13;
  const bool tls13 = SSL_version(ssl_) == TLS1_3_VERSION;
  const std::string_view label = tls13 ? kNew : kOld;
  const int done = SSL_export_keying_material(ssl_, out.data(), out.size(), label.data(), label.size(), tls13 ? &kType : nullptr,
                                              tls13 ? 1 : 0, tls13 ? 1 : 0);
  SEKISHO_ASSERT(done == 1);
  return out;
}

}  // namespace sekisho::vpn::ppp
