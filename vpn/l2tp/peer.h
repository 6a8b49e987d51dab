// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "vpn/door.h"
#include "vpn/l2tp/connection.h"
#include "vpn/ppp/orphan.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp_login.h"

namespace sekisho::vpn::l2tp {

/// Who is at the other end of a carrier: one control connection, the ones it has replaced, and a PPP session for each call. Every call
/// is an attempt of its own for the log, from its first frame to its end. Thread: the door's.
class Peer : private Sink {
 public:
  struct Settings {
    std::string gateway;  ///< its name
    ppp::Options ppp;
    std::shared_ptr<const ppp::EapTlsContext> eap_tls;
  };
  Peer(const PppLogin::Ports& ports, SessionIds& ids, Settings settings, const Path& path);
  ~Peer() override;

  /// `path`: as the datagram came, its local port 1701, its tunnel the carrier.
  void receive(const Path& path, ByteSpan datagram, Time now);
  void tick(Time now);
  [[nodiscard]] Time due() const;
  /// What a backend says of a session of this peer's that is on its way; false: there is none.
  bool judged(const radius::Verdict& verdict, Time now);

  /// A session that a process before left here: `tunnel` is its number in the data plane.
  struct Left {
    std::uint32_t tunnel = 0;
    L2tpRide ride;
    ppp::OrphanLink link;
  };
  /// Takes it over. The peer is asked whether it is still there; take_left_over() tells when it is not, or ends it.
  void adopt(Left left, Time now);
  /// Tells the peer that such a session is over; false: it is not this peer's.
  bool end_left(std::uint32_t tunnel, std::string_view text, Time now);
  /// Such a session has ended.
  struct LeftOver {
    std::uint32_t tunnel = 0;
    Cause cause = Cause::kUser;
  };
  /// Since this was asked last.
  [[nodiscard]] std::vector<LeftOver> take_left_over() { return std::exchange(left_over_, {}); }

  /// Ends a session of this peer's; false: there is none.
  bool end(std::uint64_t session, Cause cause, std::string_view text, Time now);
  /// Ends all, as far as it can be said at once.
  void close(Cause cause, Time now);
  /// The way to it is gone, without a word of its own.
  void lost(std::string_view text, Time now);
  void list(std::vector<Session>& out) const;
  /// Nothing is left of it.
  [[nodiscard]] bool finished() const { return connection_ == nullptr && ending_.empty(); }

 private:
  static constexpr std::size_t kEndingMax = 2;
  /// A call and the PPP in it.
  class Link : private ppp::Sink {
   public:
    Link(Peer& peer, Call call, Session session, Time now);
    void start(Time now);
    void receive(ByteSpan frame, Time now);
    void tick(Time now);
    void judged(const radius::Verdict& verdict, Time now);
    [[nodiscard]] Time due() const { return over() ? Time::max() : ppp_.next(); }
    /// From our side: the client is told by PPP. The call is for the caller to end.
    void end(Cause cause, std::string_view text, Time now);
    /// The call is gone.
    void lost(Cause cause, std::string_view text, Time now);
    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] const PppLogin& login() const { return login_; }
    [[nodiscard]] const ppp::Event& last() const { return last_; }

   private:
    void frame(ByteSpan frame) override;
    void authenticate(const ppp::AuthRequest& request) override;
    void event(const ppp::Event& event) override;
    void open();
    [[nodiscard]] Stage stage() const { return authenticated_ ? Stage::kAdmission : Stage::kNegotiation; }

    Peer& peer_;
    Call call_;
    PppLogin login_;
    ppp::Session ppp_;
    Time now_;
    bool authenticated_ = false, over_ = false;
    ppp::Event last_;  ///< kDown, once it is over by PPP
  };

  void datagram(ByteSpan datagram) override;
  void call_up(const Call& call) override;
  void frame(std::uint16_t local_session, ByteSpan frame) override;
  void call_down(std::uint16_t local_session, Ended how, std::string_view text) override;

  void begin(ByteSpan datagram, Time now);
  void make_connection(std::uint16_t local_tunnel);
  void advertise(Time now);
  std::uint16_t free_id();
  /// Calls whose PPP is over are ended, connections that are over forgotten.
  void settle(Time now);

  PppLogin::Ports ports_;
  SessionIds& ids_;
  Settings settings_;
  Path path_;
  Time now_{};
  std::unique_ptr<Connection> connection_;
  std::vector<std::unique_ptr<Connection>> ending_;
  std::map<std::uint16_t, std::unique_ptr<Link>> links_;  ///< by our session id
  std::vector<std::unique_ptr<Link>> done_;               ///< over: destroyed when nothing of them is being called
  std::vector<std::uint16_t> fresh_;                      ///< calls that came up and whose PPP has not begun
  std::map<std::uint16_t, Left> left_;                    ///< by our session id
  std::vector<LeftOver> left_over_;
  Time advertise_at_ = Time::max();                       ///< to those that were left
};

}  // namespace sekisho::vpn::l2tp
