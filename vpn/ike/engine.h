// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "vpn/certificates.h"
#include "vpn/gateway.h"
#include "vpn/half_open.h"
#include "vpn/half_open_gate.h"
#include "vpn/ocsp_desk.h"
#include "vpn/ports.h"
#include "vpn/session_book.h"

struct sekisho_event;

namespace sekisho::vpn {

/// Budgets of charon; the defaults are the product's.
struct EngineSettings {
  std::uint32_t ike_version = 2;  ///< 1 or 2: the one this process speaks; what comes in another is not read
  std::uint32_t threads = 16;
  std::uint32_t half_open_per_source = HalfOpenBudget::kAddressMax;  ///< charon's own; half_open.h decides before
  std::uint32_t cookie_per_source = 8;
  std::uint32_t half_open_seconds = 30;
  std::uint32_t retransmit_tries = 5;
  double retransmit_timeout = 2.0;  ///< seconds
  bool verbose = false;  ///< charon's lines of level 1 reach the observer too, not errors alone
};

/// IKEv2, or IKEv1 in main mode for L2TP, by libcharon. One per process: libcharon's state is global. Made, fed and stopped by one
/// thread; the ports are called on charon's.
class Engine {
 public:
  struct Ports {
    DatagramSender& sender;
    SaSink& sink;
    Directory& directory;
    SessionObserver& observer;
    EapBackend* backend = nullptr;  ///< of gateways that accept eap-radius
    OcspDesk* responders = nullptr; ///< of gateways with `ocsp_url`
  };

  /// The engine, threads running, or why not: a plugin too few or too many, a libcharon laid out otherwise.
  struct Made {
    std::unique_ptr<Engine> engine;
    std::string refusal;
  };
  static Made make(const EngineSettings& settings, const Ports& ports);
  /// Tells all peers goodbye and waits for charon's threads.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Adds or replaces the tenant's gateway of that name for new sessions. Nothing when it was taken, else what is wrong with it.
  std::optional<std::string> set_gateway(const Gateway& gateway);
  void remove_gateway(std::uint32_t tenant, const std::string& name);

  /// One datagram for UDP 500 or 4500, marker included. What is not IKE, or belongs to an IKE_SA of another tenant, ends here.
  void receive(const Path& path, ByteSpan payload);
  [[nodiscard]] std::vector<Session> sessions() const;
  /// Their numbers; whoever walks through many over time asks for one at a time.
  [[nodiscard]] std::vector<std::uint64_t> session_numbers() const;
  [[nodiscard]] std::optional<Session> session(std::uint64_t number) const;
  /// False: there is no such session. It ends a little later, with a down event of that cause.
  bool terminate(std::uint64_t session, Cause cause = Cause::kAdmin, std::string_view text = {});
  struct Ending {
    std::uint64_t session = 0;
    Cause cause = Cause::kNone;
    std::string_view text;  ///< the cause in words
  };
  /// Sessions whose certificates would not let them in any more: dates, CAs and lists of now. `now`: seconds since 1970 UTC. All of them
  /// are judged within a few calls, each of which judges a few; those of gateways that were set are the first.
  std::vector<Ending> expired(std::int64_t now);
  /// The sink's limits: an inbound SA shall be replaced (soft) or is used up (hard).
  void expire(std::uint32_t spi, const Endpoint& local, bool hard);
  /// An authenticated packet came from elsewhere: a NAT gave the client another port.
  void mapping_changed(std::uint32_t spi, const Endpoint& local, const Endpoint& new_remote);
  /// Datagrams that ended in receive().
  struct Refused {
    std::uint64_t malformed = 0;
    std::uint64_t foreign_tenant = 0;
    std::uint64_t overload = 0;
    std::uint64_t budget = 0;  ///< first messages of those who have enough attempts under way
    std::uint64_t exchange = 0;     ///< of another version, or of a kind nobody is answered: see speaks()
    std::uint64_t out_of_turn = 0;  ///< of peers that have not proven who they are: see HalfOpenGate
  };
  [[nodiscard]] Refused refused() const;

 private:
  struct Thunks;
  Engine(const Ports& ports, std::uint32_t version) : ports_(ports), version_(version) {}
  /// Whether a message of this kind is read at all.
  [[nodiscard]] bool speaks(const IkeHeader& header) const;
  void take(const IkeSignal& signal);
  bool within_budget(const Path& path);
  /// Who judges certificates at a gateway; immutable, replaced with it.
  struct Judges {
    std::shared_ptr<const CertificateJudge> users, devices;
    std::string ocsp_url;  ///< empty: no responder is asked
    bool open = false;     ///< when it says nothing that counts
    bool fresh = true;  ///< not applied to who is in
    bool due = false;   ///< being applied
  };
  using GatewayName = std::pair<std::uint32_t, std::string>;
  [[nodiscard]] Judges judges_of(const Session& session) const;
  static std::optional<std::string> make_judges(const Gateway& gateway, Judges& out);
  /// Waits until the responder of the session's gateway, if any, has said something of a certificate.
  void look_up(const Session& session, ByteSpan certificate, ByteSpan issuer) const;
  /// What is wrong with one that was shown; fills facts.
  CertificateFault judge(ProvenCertificate& certificate, const Judges& judges, const Session& session, OcspDesk::Ask how,
                         std::int64_t now) const;
  /// Whether judge() may say something else than when the certificate was let in.
  [[nodiscard]] bool is_due(const ProvenCertificate& certificate, const Judges& judges, const Session& session, std::int64_t now) const;
  /// kNone: what `who` shows is good; `session` has it from now on. Else why not, and in words.
  Cause prove(Session& session, const sekisho_event& who, std::string_view& text) const;

  Ports ports_;
  std::uint32_t version_;
  mutable std::mutex book_mutex_;
  SessionBook book_;
  HalfOpenBudget half_open_;  ///< under book_mutex_
  mutable std::shared_mutex owners_mutex_;
  mutable std::shared_mutex judges_mutex_;
  std::map<GatewayName, Judges> judges_;
  std::vector<std::uint64_t> to_judge_;
  std::int64_t next_judgement_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> owners_;  ///< own SPI of an IKE_SA -> tenant
  std::atomic<std::uint64_t> malformed_{0}, foreign_tenant_{0}, overload_{0}, budget_{0}, exchange_{0}, out_of_turn_{0};
  HalfOpenGate gate_;
};

}  // namespace sekisho::vpn
