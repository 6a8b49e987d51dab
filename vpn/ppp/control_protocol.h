// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vpn/ppp/automaton.h"
#include "vpn/ppp/frame.h"
#include "vpn/ppp/types.h"

namespace sekisho::vpn::ppp {

namespace code {
inline constexpr std::uint8_t kConfigureRequest = 1, kConfigureAck = 2, kConfigureNak = 3, kConfigureReject = 4,
                              kTerminateRequest = 5, kTerminateAck = 6, kCodeReject = 7, kProtocolReject = 8, kEchoRequest = 9,
                              kEchoReply = 10, kDiscardRequest = 11, kIdentification = 12, kTimeRemaining = 13, kResetRequest = 14,
                              kResetAck = 15;
}  // namespace code

/// Timers and limits of a control protocol.
struct Limits {
  std::chrono::milliseconds restart{3000};
  std::uint8_t configure_max = 10;
  std::uint8_t terminate_max = 2;
  std::uint8_t failure_max = 5;
};

/// What LCP and every network control protocol have in common: the automaton, its packets and its timer (RFC 1661 4 and 5). What
/// they negotiate is theirs. Only whole, well-formed packets with the identifier that is open move it; the rest is silence.
class ControlProtocol {
 public:
  /// Whom it serves.
  class Layer {
   public:
    virtual ~Layer() = default;
    virtual void transmit(std::vector<std::uint8_t> frame) = 0;
    virtual void layer_up(Protocol protocol) = 0;
    virtual void layer_down(Protocol protocol) = 0;
    /// No answer, refused, terminated: it will not open by itself.
    virtual void layer_finished(Protocol protocol) = 0;
  };

  ControlProtocol(Protocol protocol, Limits limits, Layer& layer) : protocol_(protocol), limits_(limits), layer_(layer) {}
  virtual ~ControlProtocol() = default;
  ControlProtocol(const ControlProtocol&) = delete;
  ControlProtocol& operator=(const ControlProtocol&) = delete;

  void open(Time now) { handle(Signal::kOpen, now); }
  void close(Time now, std::string_view reason = {});
  void lower_up(Time now) { handle(Signal::kUp, now); }
  void lower_down(Time now);
  /// False: the packet was malformed or answered nothing that is open.
  bool receive(ByteSpan payload, Time now);
  void tick(Time now);
  /// Of the restart timer; Time::max(): it does not run.
  [[nodiscard]] Time next() const { return timer_; }
  /// The peer does not speak this protocol.
  void rejected(Time now) { handle(Signal::kRejectFatal, now); }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool opened() const { return state_ == State::kOpened; }
  [[nodiscard]] Protocol protocol() const { return protocol_; }
  /// Why it will not open, when the peer's options are the reason; else empty.
  [[nodiscard]] std::string_view failure() const { return failure_; }
  /// The peer asked for the end of it.
  [[nodiscard]] bool terminated_by_peer() const { return terminated_by_peer_; }

 protected:
  enum class Judgement : std::uint8_t { kAck, kNak, kReject };
  /// Forgets what was agreed on: a negotiation begins.
  virtual void begin() = 0;
  /// Options of our next Configure-Request.
  virtual void write_request(Bytes& out) = 0;
  /// Judges one option of the peer's request. kNak and kReject: `out` gets the option as we would have it, or as it came.
  virtual Judgement judge(const Option& option, Bytes& nak) = 0;
  /// After every option of a request was fine: what is missing in it, as naks.
  virtual void demand_missing(ByteSpan /*options*/, Bytes& /*nak*/) {}
  /// The peer's request was acknowledged, ours was.
  virtual void peer_settled(ByteSpan /*options*/) {}
  virtual void own_settled(ByteSpan /*options*/) {}
  /// The peer would have it otherwise, or not at all. False: then there will be no agreement, `failure` says why.
  virtual bool take_nak(const Option& option) = 0;
  virtual bool take_reject(const Option& option) = 0;
  /// Codes beyond 7. False: unknown, which is answered with a Code-Reject.
  virtual bool take_code(const Packet& /*packet*/, Time /*now*/) { return false; }

  void fail(std::string_view why) {
    if (failure_.empty()) failure_ = why;
  }
  void send(std::uint8_t code, std::uint8_t id, ByteSpan data);
  void handle(Signal signal, Time now);
  std::uint8_t next_id() { return ++id_; }
  /// The restart timer is due `delay` from now.
  void restart_in(Time now, std::chrono::milliseconds delay) { timer_ = now + delay; }
  /// No request of the peer has come since lower_up().
  [[nodiscard]] bool silent() const { return !heard_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  void act(std::uint16_t actions, Time now);
  void send_request(bool again, Time now);
  void take_request(const Packet& packet, Time now);
  bool take_answer(const Packet& packet, Time now);
  Signal judge_request(const Packet& packet);
  /// An answer of the peer that is no acknowledgement; a negotiation that goes nowhere ends.
  bool take_objections(const Packet& packet);

  Protocol protocol_;
  Limits limits_;
  Layer& layer_;
  State state_ = State::kInitial;
  std::uint8_t id_ = 0;          ///< of our last request
  std::uint8_t request_id_ = 0;  ///< of the peer's last, and what is answered
  std::uint8_t counter_ = 0;     ///< the restart counter
  std::uint8_t naks_ = 0;        ///< of ours in a row
  std::uint8_t objections_ = 0;  ///< of the peer's
  bool request_open_ = false;    ///< nobody has answered our last request
  bool heard_ = false;           ///< the peer has sent a request since lower_up()
  bool terminated_by_peer_ = false;
  Time timer_ = Time::max();
  std::vector<std::uint8_t> own_options_;   ///< of our last request
  std::vector<std::uint8_t> answer_;        ///< options of the Ack, Nak or Reject to be sent
  std::vector<std::uint8_t> acked_;         ///< the peer's request we agreed to
  std::uint8_t answer_code_ = 0;
  std::string_view failure_;
  std::vector<std::uint8_t> unknown_;  ///< a packet whose code is to be rejected
  std::string reason_;
};

}  // namespace sekisho::vpn::ppp
