// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "vpn/ppp/types.h"

/// The server's end of one PPP session (RFC 1661), for L2TP, SSTP and PPTP alike: frames in, frames out, time as an argument, no I/O.
///
/// A frame is what one packet of the door carries: address and control (FF 03, or left out), protocol, payload; no flags, no
/// escaping, no FCS. Control frames leave with FF 03, because every client takes them so.
///
/// How a door drives it:
///   session.lower_up(now)                      the door is open: LCP begins
///   session.receive(frame, now)                each frame of the peer; what it returns says whether an IP packet may pass
///   session.tick(now) at session.next()        timers
///   sink.authenticate(request)                 -> session.answer(request.number, answer, now), at once or much later
///   sink.event(kAuthenticated)                 -> session.open_network(network, now), at once or later (after the lease)
///   session.send(family, packet)               an IP packet for the peer
///   session.close(cause, text, now)            we want it over; kDown follows when the peer knows
///   session.lower_down(now)                    the door is closed: kDown at once
/// A peer that waits for open_network() loses nothing: its first request of each network protocol is kept.
namespace sekisho::vpn::ppp {

class EapTlsContext;  // vpn/ppp/eap_tls.h: certificate and CAs of a gateway

/// Takes what a session gives. Called inside the session's functions; may call answer(), open_network() and close(), never receive(),
/// and destroys no session.
class Sink {
 public:
  virtual ~Sink() = default;
  /// For the peer; borrowed.
  virtual void frame(ByteSpan frame) = 0;
  virtual void authenticate(const AuthRequest& request) = 0;
  virtual void event(const Event& event) = 0;
};

/// What became of a frame.
struct Received {
  enum class What : std::uint8_t {
    kControl,  ///< ours
    kPacket,   ///< an IP packet of an open network
    kDropped,  ///< no such protocol, out of order, malformed
  };
  What what = What::kDropped;
  Family family = Family::kNone;
  ByteSpan packet;  ///< of the frame, or (MPPE) of the session until its next call
};

class Session {
 public:
  /// `tls`: for EAP-TLS; without it kTls is a rejection. Both are kept as long as the session.
  Session(Options options, Sink& sink, Random random, std::shared_ptr<const EapTlsContext> tls = nullptr);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void lower_up(Time now);
  void lower_down(Time now);
  /// An L2TP access concentrator's or SSTP's peer may have begun already: every frame after lower_up() is taken.
  Received receive(ByteSpan frame, Time now);
  void tick(Time now);
  /// When tick() is due at the latest; Time::max(): never. It changes with every call of the others.
  [[nodiscard]] Time next() const;

  /// Nothing happens when `number` is not the open request: the peer has gone on or away.
  void answer(std::uint32_t number, const AuthAnswer& answer, Time now);
  void open_network(const Network& network, Time now);
  /// Terminate-Request; kDown with this cause comes with the answer, or without one after the restart timer's last turn.
  void close(Cause cause, std::string_view text, Time now);

  /// False: this family is not open, or the packet is larger than the peer takes. MPPE encrypts.
  bool send(Family family, ByteSpan packet);
  /// What precedes an IP packet toward the peer, for a door that frames itself (without MPPE): 1 to 4 bytes.
  [[nodiscard]] ByteSpan header(Family family) const;
  [[nodiscard]] bool up(Family family) const;

  [[nodiscard]] const Agreed& agreed() const;
  /// Empty until the peer's name is believed.
  [[nodiscard]] std::string_view user() const;
  /// Of the method; SSTP's crypto binding and MPPE live on them. Zero until the owner's accept.
  [[nodiscard]] const SessionKeys& keys() const;

 private:
  class Body;
  std::unique_ptr<Body> body_;
};

}  // namespace sekisho::vpn::ppp
