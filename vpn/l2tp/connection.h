// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/l2tp/message.h"

/// The server's end (LNS) of one L2TP control connection and the calls in it (RFC 2661 5 to 7). Datagrams in, datagrams out, time as an
/// argument, no I/O. We never ask for a connection or a call, so there is no tie for us to lose: a peer's tie breaker is read and
/// needs no answer.
namespace sekisho::vpn::l2tp {

using Time = std::chrono::steady_clock::time_point;

struct Options {
  std::string host_name = "gateway";
  std::string vendor_name = "Sekisho";
  std::string secret;  ///< of tunnel authentication and hidden AVPs; empty: none. Under IPsec nobody needs one (RFC 3193 2)
  std::uint16_t window = 4;                       ///< messages we take before we acknowledge
  std::chrono::seconds resend{1}, resend_max{8};  ///< doubling (5.8)
  unsigned tries = 5;
  std::chrono::seconds hello{60};                 ///< of the peer's silence
  std::chrono::seconds call_max{30};              ///< from a peer's ICRQ to its ICCN
  std::chrono::seconds idle_max{60};              ///< a connection without a call
  std::chrono::seconds linger{15};                ///< after StopCCN, to acknowledge it again (5.7): a cycle of resending
};

/// What a call is, once it is up.
struct Call {
  std::uint16_t local_session = 0, peer_session = 0;
  bool sequenced = false;  ///< the peer wants sequence numbers on data
};

/// Who ended a call.
enum class Ended : std::uint8_t {
  kByUs,
  kByPeer,
  kSilent,  ///< the peer, or the way to him, was gone without a word
};

/// Takes what a connection gives. Called inside its functions; may call send(), end_call() and stop(), never receive().
class Sink {
 public:
  virtual ~Sink() = default;
  /// For the peer; borrowed.
  virtual void datagram(ByteSpan datagram) = 0;
  virtual void call_up(const Call& call) = 0;
  /// A PPP frame of a call that is up; borrowed.
  virtual void frame(std::uint16_t local_session, ByteSpan frame) = 0;
  /// Once for each call that was up. `text`: why, in words.
  virtual void call_down(std::uint16_t local_session, Ended how, std::string_view text) = 0;
};

class Connection {
 public:
  static constexpr std::size_t kCallsMax = 8;

  /// For a peer that has sent nothing yet. `local_tunnel`: our id, not 0. `next_session`: gives a session id, not 0, not in use.
  Connection(Options options, std::uint16_t local_tunnel, Sink& sink, std::function<std::uint16_t()> next_session);

  /// In place of all messages until now: the connection stands, and the process that made it has died with its numbers. The peer is asked
  /// (HELLO) with a number it must know already: what it answers says which numbers it waits for. It may stay silent for as long
  /// as to any other message.
  void adopt(std::uint16_t peer_tunnel, Time now);
  /// A call of an adopted one, up.
  void adopt_call(const Call& call, Time now);

  /// A datagram that bears our tunnel id, or the SCCRQ that begins it all.
  void receive(ByteSpan datagram, Time now);
  void tick(Time now);
  /// When tick() is due at the latest; Time::max(): never.
  [[nodiscard]] Time next() const;

  /// A PPP frame for the peer. Nothing when there is no such call.
  void send(std::uint16_t local_session, ByteSpan frame);
  /// Ends a call from our side: CDN with this result. call_down() is not said.
  void end_call(std::uint16_t local_session, const ResultCode& code, Time now);
  /// Ends all: StopCCN with this result. call_down() is said of each call.
  void stop(const ResultCode& code, Time now);
  /// The way to the peer is gone, or it began anew: nothing is sent any more.
  void lost(std::string_view text, Ended how);

  /// Over, and nothing left to acknowledge: may be destroyed.
  [[nodiscard]] bool over() const { return state_ == State::kOver; }
  /// StopCCN was said by either side, or it is over.
  [[nodiscard]] bool ending() const { return state_ >= State::kStopping; }
  [[nodiscard]] bool established() const { return state_ == State::kEstablished; }
  [[nodiscard]] std::uint16_t local_tunnel() const { return local_tunnel_; }
  [[nodiscard]] std::uint16_t peer_tunnel() const { return peer_tunnel_; }
  [[nodiscard]] const std::string& peer_name() const { return peer_name_; }
  [[nodiscard]] std::size_t calls() const { return calls_.size(); }
  /// Why it ended, in words.
  [[nodiscard]] const std::string& end_text() const { return end_text_; }

 private:
  enum class State : std::uint8_t { kIdle, kWaitScccn, kEstablished, kStopping, kOver };
  struct Held {
    Call call;
    bool up = false;
    Time since;
  };

  void learn(const ControlHeader& header, Time now);
  void acknowledge(std::uint16_t nr, Time now);
  void deliver(const ControlMessage& message, Time now);
  void take_in_order(ControlMessage message, Time now);
  void on_sccrq(const ControlMessage& message, Time now);
  void on_scccn(const ControlMessage& message, Time now);
  void on_stop(const ControlMessage& message, Time now);
  void on_icrq(const ControlMessage& message, Time now);
  void on_iccn(const ControlMessage& message, Time now);
  void on_cdn(const ControlMessage& message, Time now);
  void offended(const ControlMessage& message, Time now);
  void queue(std::vector<std::uint8_t> message, Time now);
  void push(Time now);
  void transmit(std::vector<std::uint8_t>& message);
  void resend(Time now);
  void say_zlb();
  void end_all(Ended how, std::string_view text);
  std::map<std::uint16_t, Held>::iterator by_peer_session(std::uint16_t peer_session);
  std::map<std::uint16_t, Held>::iterator call_of(const ControlMessage& message);

  Options options_;
  Sink& sink_;
  std::function<std::uint16_t()> next_session_;
  State state_ = State::kIdle;
  std::uint16_t local_tunnel_;
  std::uint16_t peer_tunnel_ = 0;
  std::string peer_name_;
  std::string end_text_;
  std::vector<std::uint8_t> challenge_;  ///< ours, of the SCCRP
  std::map<std::uint16_t, Held> calls_;  ///< by our session id

  // Out: messages wait in order, the first `in_flight_` have been sent and not acknowledged.
  struct Outgoing {
    std::vector<std::uint8_t> bytes;
    std::uint16_t ns;
  };
  std::deque<Outgoing> outgoing_;
  std::size_t in_flight_ = 0;
  std::uint16_t ns_ = 0;         ///< of the next new message
  bool learning_ = false;        ///< adopted, and the peer has not been heard: nobody knows which numbers are next
  unsigned tries_ = 0;           ///< of the oldest in flight
  Time resend_at_ = Time::max();
  // Slow start and congestion avoidance (RFC 2661 appendix A)
  std::size_t peer_window_ = 4, congestion_window_ = 1, threshold_ = 4, acknowledged_ = 0;

  // In
  std::uint16_t nr_ = 0;         ///< the next we want
  std::map<std::uint16_t, ControlMessage> early_;  ///< by Ns: at most a window of them
  bool answered_ = false;        ///< something that bears nr_ was sent since a message came
  Time heard_{}, idle_since_{}, over_at_ = Time::max();
};

}  // namespace sekisho::vpn::l2tp
