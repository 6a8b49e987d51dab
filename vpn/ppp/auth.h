// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "vpn/ppp/eap_tls.h"
#include "vpn/ppp/frame.h"
#include "vpn/ppp/types.h"

/// The authenticator's end of PAP (RFC 1334), CHAP (RFC 1994, 2759) and EAP (RFC 3748). Pure.
namespace sekisho::vpn::ppp {

class Authenticator {
 public:
  /// Whom it serves.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void transmit(std::vector<std::uint8_t> frame) = 0;
    /// May answer() before it returns.
    virtual void ask(AuthRequest request) = 0;
    /// The peer has been told.
    virtual void authenticated(Time now) = 0;
    virtual void refused(Cause cause, std::string_view text, Time now) = 0;
  };

  Authenticator(const Options& options, Owner& owner, const Random& random, std::shared_ptr<const EapTlsContext> tls)
      : options_(options), owner_(owner), random_(random), tls_context_(std::move(tls)) {}

  /// LCP agreed on `method`: whatever was before is forgotten.
  void begin(AuthMethod method, Time now);
  void stop();
  /// False: not of the method, malformed, or nothing that is open.
  bool receive(Protocol protocol, ByteSpan payload, Time now);
  void answer(std::uint32_t number, const AuthAnswer& answer, Time now);
  void tick(Time now);
  [[nodiscard]] Time next() const { return timer_; }

  [[nodiscard]] bool done() const { return phase_ == Phase::kAccepted; }
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] const SessionKeys& keys() const { return keys_; }

 private:
  enum class Phase : std::uint8_t { kIdle, kPeer, kOwner, kAccepted, kRefused };
  enum class Eap : std::uint8_t { kIdentity, kChallenge, kProof, kTls, kRelay };

  bool receive_pap(const Packet& packet);
  bool receive_chap(const Packet& packet, Time now);
  bool receive_eap(const Packet& packet, Time now);
  bool receive_method(const Packet& packet, std::uint8_t type, Time now);
  bool receive_mschap(ByteSpan data);
  bool take_eap_nak(ByteSpan wanted, Time now);
  void ask(AuthRequest::Kind kind, AuthRequest request);
  void answer_chap(const AuthAnswer& answer, Time now);
  void answer_eap(const AuthAnswer& answer, Time now);
  void challenge(Time now);
  void start_mschap(Time now);
  void start_tls(Time now);
  void take_tls(EapTls::What what, Time now);
  void eap_request(std::uint8_t type, ByteSpan data, Time now);
  void eap_end(bool good, ByteSpan worded, Time now);
  void send_and_keep(Protocol protocol, std::uint8_t code, std::uint8_t id, ByteSpan data);
  void accept(const AuthAnswer& answer);
  void refuse(Cause cause, std::string_view text, Time now);

  const Options& options_;
  Owner& owner_;
  const Random& random_;
  std::shared_ptr<const EapTlsContext> tls_context_;

  AuthMethod method_ = AuthMethod::kPap;
  Phase phase_ = Phase::kIdle;
  Eap eap_ = Eap::kIdentity;
  std::uint8_t id_ = 0;         ///< of our open challenge or request
  std::uint8_t answered_ = 0;   ///< of the peer's request that is being judged
  std::uint32_t number_ = 0;    ///< of the open request to the owner
  bool other_may_do_ = false;   ///< a Nak may choose EAP's other local method
  std::array<std::uint8_t, 16> challenge_{};
  std::string user_;
  SessionKeys keys_;
  std::vector<std::uint8_t> last_;  ///< what was sent last: sent again when the peer asks again, or does not answer
  std::unique_ptr<EapTls> tls_;
  Time timer_ = Time::max();
};

}  // namespace sekisho::vpn::ppp
