// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "vpn/ppp/types.h"

struct ssl_ctx_st;
struct ssl_st;

/// EAP-TLS, the server's side (RFC 5216, TLS 1.3 by RFC 9190): TLS 1.2 or 1.3 in memory, cut into fragments. That the peer holds
/// its certificate's key is proven here; whether the certificate opens anything is for whoever is asked with its chain.
namespace sekisho::vpn::ppp {

/// A gateway's certificate with its key, and the CAs whose names the peer is told. Immutable; any thread.
class EapTlsContext {
 public:
  /// PEM; `chain` begins with the gateway's own certificate. Nothing: they do not fit together.
  static std::shared_ptr<const EapTlsContext> make(const std::string& chain, const std::string& key, const std::vector<std::string>& cas);
  ~EapTlsContext();
  EapTlsContext(const EapTlsContext&) = delete;
  EapTlsContext& operator=(const EapTlsContext&) = delete;

 private:
  friend class EapTls;
  explicit EapTlsContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

class EapTls {
 public:
  /// Of what a peer sends before it is known: certificates with their chain take a tenth.
  static constexpr std::size_t kMessageBytesMax = 32768;

  /// `fragment`: bytes of TLS a request carries.
  EapTls(std::shared_ptr<const EapTlsContext> context, std::size_t fragment);
  ~EapTls();
  EapTls(const EapTls&) = delete;
  EapTls& operator=(const EapTls&) = delete;

  enum class What : std::uint8_t {
    kSend,    ///< request() is for the peer
    kAsk,     ///< chain() has to be judged: then accept(), or the end
    kDone,    ///< the peer has taken our word: success
    kFailed,  ///< why() says it
  };
  What start();
  /// What stands behind the type of the peer's response.
  What receive(ByteSpan data);
  What accept();

  /// Our last word is said: what comes is its acknowledgement.
  [[nodiscard]] bool is_accepted() const { return phase_ == Phase::kAccepted; }
  /// What stands behind the type of the next request.
  [[nodiscard]] const std::vector<std::uint8_t>& request() const { return request_; }
  [[nodiscard]] const std::vector<std::vector<std::uint8_t>>& chain() const { return chain_; }
  [[nodiscard]] const std::string& why() const { return why_; }
  /// Once accepted. Wiped by who takes it.
  [[nodiscard]] std::array<std::uint8_t, 64> msk() const;

 private:
  What take_message();
  What send_next();
  void drain();
  void keep_chain();

  std::shared_ptr<const EapTlsContext> context_;
  ssl_st* ssl_;
  std::size_t fragment_;
  enum class Phase : std::uint8_t { kHandshake, kAsked, kAccepted, kFailing } phase_ = Phase::kHandshake;
  std::vector<std::uint8_t> in_;
  std::vector<std::uint8_t> out_;
  std::size_t sent_ = 0;  ///< of out_
  std::vector<std::uint8_t> request_;
  std::vector<std::vector<std::uint8_t>> chain_;
  std::string why_;
};

}  // namespace sekisho::vpn::ppp
