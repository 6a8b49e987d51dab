// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/os/fd.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp_login.h"
#include "vpn/pptp/control.h"
#include "vpn/pptp/gre.h"

namespace sekisho::vpn::pptp {

/// One client: its control connection, its call's GRE, PPP with MPPE in it, and the login. No IP packet passes, either way, before login,
/// encryption and policy are complete and its tunnel is open. One call a connection: when it is over, so is the connection. Thread: its
/// door's.
class Call : private Control::Owner, private GreLink::Owner, private ppp::Sink {
 public:
  using Time = ppp::Time;
  struct Settings {
    std::string gateway;  ///< its name
    std::uint16_t number = 0;  ///< of our call
    int gre = -1;         ///< raw socket, the door's
    Address local;        ///< the gateway's address in the service network
    std::function<bool()> ended;  ///< whether the exception is over: a call is refused then
  };
  static constexpr std::string_view kEnded = "the exception for PPTP has ended";
  Call(Fd socket, const Settings& settings, const PppLogin::Ports& ports, Session session, Time now);
  ~Call() override;

  void read(Time now);
  /// A GRE packet of this client.
  void gre(ByteSpan packet, Time now);
  /// An IP packet for the user.
  void send(ByteSpan packet);
  void tick(Time now);
  [[nodiscard]] Time due() const;
  /// Ends it in order; false: it is ending.
  bool end(Cause cause, std::string_view text, Time now);
  /// What a backend says of who is on his way in.
  void judged(const radius::Verdict& verdict, Time now);

  /// No call was placed yet.
  [[nodiscard]] bool waits() const { return !ppp_ && !over_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] bool is_up() const { return login_.up() && !login_.over(); }
  [[nodiscard]] const Session& session() const { return login_.session(); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  [[nodiscard]] std::uint32_t tunnel() const { return tunnel_ ? tunnel_->tunnel : 0; }

 private:
  void write(ByteSpan bytes) override;
  void call_up(std::uint16_t peer_call, std::uint16_t window, Time now) override;
  void call_down(std::string_view why, Time now) override;
  void send_packet(ByteSpan packet) override;
  void frame_in(ByteSpan frame, Time now) override;
  void frame(ByteSpan frame) override;
  void authenticate(const ppp::AuthRequest& request) override;
  void event(const ppp::Event& event) override;
  void lost(Cause cause, std::string_view text, Time now);
  void count_use(Time now);

  Fd socket_;
  Settings settings_;
  PppLogin::Ports ports_;
  Endpoint client_;
  PppLogin login_;
  Control control_;
  std::optional<GreLink> link_;
  std::unique_ptr<ppp::Session> ppp_;
  std::optional<Path> tunnel_;
  Time begun_, now_, last_in_, counted_;
  bool over_ = false;      ///< PPP has ended; the rest follows outside of its calls
  bool finished_ = false;  ///< the socket may be closed, and this object with it
  TunnelTotals totals_;
};

}  // namespace sekisho::vpn::pptp
