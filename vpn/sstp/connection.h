// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/os/fd.h"
#include "vpn/ppp/session.h"
#include "vpn/ppp_login.h"
#include "vpn/sstp/crypto_binding.h"
#include "vpn/sstp/tls.h"

namespace sekisho::vpn::sstp {

using Time = std::chrono::steady_clock::time_point;

/// One client: TCP, TLS, HTTP, SSTP ([MS-SSTP] 3.3) and PPP, one inside the other. No IP packet passes, either way, before login,
/// crypto binding and policy are complete and its tunnel is open. Thread: its door's. The door calls it when its socket may have
/// something, at due(), and with packets for its user; it never waits.
class Connection : private ppp::Sink {
 public:
  struct Settings {
    std::string gateway;         ///< its name
    bool sha1 = false;
    ppp::Options ppp;
    std::shared_ptr<const TlsGateway> tls;
    std::shared_ptr<const ppp::EapTlsContext> eap_tls;
  };
  /// `session`: id, path; `path` of it is the outer one, the gateway's address as the tenant knows it.
  Connection(Fd socket, Settings settings, const PppLogin::Ports& ports, Session session, Time now);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Reads and answers, a bounded number of bytes; true when more may be there at once.
  bool read(Time now);
  /// Writes what waits; called after everything that may have left something.
  void write(Time now);
  /// True, once, when read() had stopped because too much waited to be written, and now may go on.
  bool unchoke();
  /// An IP packet for the user, dropped when too much waits already. Leaves by the next write(), or sooner when much waits.
  void send(ByteSpan packet, Time now);
  void tick(Time now);
  /// When tick() is due at the latest.
  [[nodiscard]] Time due() const;

  /// What a backend says of who is on his way in.
  void judged(const radius::Verdict& verdict, Time now);
  /// Ends it in order; false: it is ending.
  bool end(Cause cause, std::string_view text, Time now);
  /// The socket may be closed, and this object with it.
  [[nodiscard]] bool finished() const { return state_ == State::kFinished; }
  [[nodiscard]] bool half_open() const { return !login_.up() && state_ < State::kClosing; }
  /// TLS is not agreed on: read() may cost what thousands of packets do.
  [[nodiscard]] bool shaking() const { return state_ == State::kHandshake; }
  [[nodiscard]] bool is_up() const { return login_.up() && !login_.over(); }
  [[nodiscard]] const Session& session() const { return login_.session(); }
  [[nodiscard]] int socket() const { return socket_.get(); }
  /// Of its open tunnel; 0: it has none.
  [[nodiscard]] std::uint32_t tunnel() const { return tunnel_ ? tunnel_->tunnel : 0; }
  /// Packets of its user so far.
  [[nodiscard]] std::uint64_t received() const { return totals_.packets_in; }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  enum class State : std::uint8_t { kHandshake, kGreeting, kRequest, kPending, kConnected, kClosing, kFinished };

  void frame(ByteSpan frame) override;
  void authenticate(const ppp::AuthRequest& request) override;
  void event(const ppp::Event& event) override;

  bool take_stream(ByteSpan stream, Time now);
  void shake_hands(Time now);
  std::size_t greet(ByteSpan stream, Time now);
  void take_control(ByteSpan body, ByteSpan whole, Time now);
  void take_connect_request(const ReadControl& read, Time now);
  void take_connected(const Binding& binding, ByteSpan whole, Time now);
  bool take_data(ByteSpan frame, Time now);
  void check_held(Time now);
  void open_when_complete();
  void abort(Fault fault, Cause cause, std::string_view text, Time now);
  void disconnect(Time now);
  /// The last bytes are queued: the connection ends when they are gone or `patience` is over.
  void linger(std::chrono::milliseconds patience, Time now);
  void over(Cause cause, std::string_view text, Time now);
  void lost(Cause cause, std::string_view text, Time now);
  void finish();
  void put(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void count_use(Time now);
  [[nodiscard]] std::size_t waiting() const { return out_.size() - out_at_ + tls_.unsent(); }
  [[nodiscard]] Stage stage() const;
  [[nodiscard]] std::uint8_t offered_hashes() const;

  Fd socket_;
  Settings settings_;
  PppLogin::Ports ports_;
  TlsStream tls_;
  PppLogin login_;
  ppp::Session ppp_;
  State state_ = State::kHandshake;
  Time now_;                       ///< of the call under way, for what PPP calls back
  Time deadline_;                  ///< of the state, where it has one
  Time heard_;                     ///< the last packet
  bool asked_ = false;             ///< an Echo-Request is open
  unsigned naks_ = 0;
  std::array<std::uint8_t, kNonceBytes> nonce_{};
  bool authenticated_ = false;
  bool bound_ = false;
  bool network_up_ = false;
  bool polite_ = false;            ///< a stranger was answered: it closes when that is gone
  bool ending_ = false;            ///< goodbye is said; what PPP still says changes nothing
  std::vector<std::uint8_t> held_; ///< a CONNECTED that came before the login was through
  std::optional<Path> tunnel_;
  std::vector<std::uint8_t> in_;   ///< bytes of the stream that make no whole packet yet, or wait for room in the ring
  bool stalled_ = false;           ///< the latter
  std::vector<std::uint8_t> out_;  ///< from out_at_ on
  std::size_t out_at_ = 0;
  bool choked_ = false;            ///< nothing is read until out_ is shorter
  bool full_ = false;              ///< TCP took no more
  std::uint64_t counted_packets_ = 0;
  TunnelTotals totals_;
  Time last_in_, counted_;
  std::uint64_t dropped_ = 0;
};

}  // namespace sekisho::vpn::sstp
