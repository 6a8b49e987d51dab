// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "vpn/directory.h"
#include "vpn/door_certificates.h"
#include "vpn/ppp/types.h"
#include "vpn/radius/backends.h"
#include "vpn/tunnel_client.h"

namespace sekisho::vpn {

/// What PPP asks for, in this order, where a door accepts these.
std::vector<ppp::AuthMethod> methods_of(const std::vector<DoorMethod>& accepted);

/// The way of one user in by PPP, the same for every door: who he is (the tenant's directory), whether he may (groups, limits, hours,
/// lockout), which addresses he gets, and what the log hears of it. A door makes one for each attempt, hands it what PPP asks and says,
/// and tells it the end; it makes the events of SessionEvent in their order, each attempt ending in exactly one. Thread: the door's.
class PppLogin {
 public:
  struct Ports {
    UserDirectory& directory;
    TunnelClient& tunnels;
    SessionObserver& observer;
    radius::Backends* backends = nullptr;          ///< none: nobody is judged by RADIUS
    const DoorCertificates* certificates = nullptr;  ///< none: nobody comes by a certificate
  };
  /// `session`: id, protocol, path and what is known of the client. `gateway`: its name.
  PppLogin(const Ports& ports, Session session, std::string gateway);
  /// An attempt that was not ended is internal's.
  ~PppLogin();
  PppLogin(const PppLogin&) = delete;
  PppLogin& operator=(const PppLogin&) = delete;

  /// The peer's address is real: `start`.
  void begin();
  /// PPP's question, by what the door accepts. Names a backend judges go to its servers, whatever the method; the others' passwords
  /// are held against the NT hash, certificates against the tenant's CAs and lists. Who proves himself is authorized here, so that a
  /// refusal is one to his login. Nothing: a server was asked, and the answer comes by judged().
  std::optional<ppp::AuthAnswer> authenticate(const ppp::AuthRequest& request);
  struct Judged {
    std::uint32_t number = 0;  ///< of the question
    ppp::AuthAnswer answer;
  };
  /// A backend's verdict about this session; nothing: it was not asked for.
  std::optional<Judged> judged(const radius::Verdict& verdict);
  /// He knows that he is in: takes his addresses. Nothing: none are left, and cause() says so.
  std::optional<ppp::Network> network();
  /// Nothing passes before: opens his tunnel, whose packets cross our rings, and says `up`. What TunnelClient::put() takes; nothing: it
  /// was refused.
  std::optional<Path> open(std::uint16_t mtu);
  /// The same for one that rides on a carrier. False: refused.
  bool open(const L2tpRide& ride);
  /// It is over, whatever came before; only the first counts. Never up: with stage and cause an authentication failure or denial.
  void end(Stage stage, Cause cause, std::string_view text);

  /// What a peer says of itself: the client's name in records.
  void describe(std::string_view client);
  void set_correlation(std::string correlation) { session_.correlation = std::move(correlation); }
  void set_suite(std::string suite) { session_.esp_suite = std::move(suite); }
  [[nodiscard]] const Session& session() const { return session_; }
  [[nodiscard]] bool up() const { return up_; }
  [[nodiscard]] bool over() const { return over_; }

 private:
  /// What the gateway's door accepts now.
  [[nodiscard]] std::vector<DoorMethod> accepts() const;
  ppp::AuthAnswer check_password(const ppp::AuthRequest& request);
  ppp::AuthAnswer check_certificate(const ppp::AuthRequest& request);
  ppp::AuthAnswer choose_local(const std::vector<DoorMethod>& accepted);
  std::optional<ppp::AuthAnswer> pose(const ppp::AuthRequest& request, std::string_view method);
  ppp::AuthAnswer admit(ppp::AuthAnswer accept, std::string_view way);
  ppp::AuthAnswer refuse_secret();
  ppp::AuthAnswer refuse(Stage stage, Cause cause, std::string_view sentence, std::string_view remedy = {});
  void tell(SessionEvent::Kind kind, Stage stage = Stage::kAdmission, Cause cause = Cause::kNone, std::string text = {});

  Ports ports_;
  Session session_;
  std::string gateway_;
  bool eap_ = false;       ///< the method runs inside EAP
  std::optional<std::uint32_t> asked_;  ///< the question a backend's servers think about
  struct Refusal {
    Stage stage = Stage::kAuthentication;
    Cause cause = Cause::kNone;  ///< kNone: nothing was refused
    std::string text;
  };
  Refusal refusal_;        ///< what the end will be, whatever the peer makes of it
  bool begun_ = false, authorized_ = false, up_ = false, over_ = false;
};

}  // namespace sekisho::vpn
