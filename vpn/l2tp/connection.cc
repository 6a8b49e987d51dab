// SPDX-License-Identifier: Apache-2.0
#include "vpn/l2tp/connection.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "vpn/random.h"

namespace sekisho::vpn::l2tp {
namespace {

constexpr std::uint16_t kVersionOne = 0x0100;
constexpr std::uint32_t kBothFramings = 3;
constexpr std::uint16_t kWindowWithoutAvp = 4;
constexpr std::size_t kPeerWindowMax = 32, kOutgoingMax = 64;
// Results and errors (RFC 2661 4.4.2)
constexpr std::uint16_t kStopGeneralError = 2, kStopNotAuthorized = 4, kStopVersion = 5, kStopClear = 1, kStopState = 7;
constexpr std::uint16_t kCdnError = 2, kCdnNoFacilities = 4, kCdnNever = 5, kCdnTooLate = 10;
constexpr std::uint16_t kErrorOutOfRange = 3, kErrorMandatory = 8;

/// How far `number` is behind `wanted`; beyond half the circle it lies ahead.
std::uint16_t behind(std::uint16_t number, std::uint16_t wanted) { return static_cast<std::uint16_t>(wanted - number); }
bool is_old(std::uint16_t number, std::uint16_t wanted) { return number != wanted && behind(number, wanted) <= 0x8000; }

}  // namespace

Connection::Connection(Options options, std::uint16_t local_tunnel, Sink& sink, std::function<std::uint16_t()> next_session)
    : options_(std::move(options)), sink_(sink), next_session_(std::move(next_session)), local_tunnel_(local_tunnel) {
  SEKISHO_ASSERT(local_tunnel != 0);
}

void Connection::adopt(std::uint16_t peer_tunnel, Time now) {
  SEKISHO_ASSERT(state_ == State::kIdle && peer_tunnel != 0);
  peer_tunnel_ = peer_tunnel;
  state_ = State::kEstablished;
  heard_ = idle_since_ = now;
  learning_ = true;
  queue(ControlWriter(MessageType::kHello, peer_tunnel_, 0).take(), now);
}

void Connection::adopt_call(const Call& call, Time now) {
  if (state_ == State::kEstablished) calls_.insert_or_assign(call.local_session, Held{call, true, now});
}

/// The peer's first message says what it waits for, and which of its own is next.
void Connection::learn(const ControlHeader& header, Time now) {
  learning_ = false;
  nr_ = header.ns;
  ns_ = header.nr;
  outgoing_.pop_front();  // the question
  in_flight_ = 0;
  resend_at_ = Time::max();
  for (Outgoing& one : outgoing_) one.ns = ns_++;
  push(now);
}

void Connection::receive(ByteSpan datagram, Time now) {
  if (state_ == State::kOver) return;
  if (!is_control(datagram)) {
    const auto data = parse_data(datagram);
    if (!data || data->tunnel != local_tunnel_ || state_ != State::kEstablished) return;
    const auto call = calls_.find(data->session);
    if (call == calls_.end() || !call->second.up) return;
    heard_ = now;
    sink_.frame(data->session, data->frame);
    return;
  }
  auto message = parse_control(datagram, options_.secret);
  if (!message) return;
  const bool begins = message->type == MessageType::kSccrq && message->header.tunnel == 0;
  if (message->header.tunnel != local_tunnel_ && !begins) return;
  if (state_ == State::kIdle && !begins) return;
  heard_ = now;
  if (learning_) learn(message->header, now);
  acknowledge(message->header.nr, now);
  if (!message->type) return;  // a ZLB's Ns is not a number of its own
  take_in_order(std::move(*message), now);
}

void Connection::take_in_order(ControlMessage message, Time now) {
  answered_ = false;
  const std::uint16_t ns = message.header.ns;
  if (ns == nr_) {
    ++nr_;
    deliver(message, now);
    for (auto next = early_.find(nr_); next != early_.end() && state_ != State::kOver; next = early_.find(nr_)) {
      const ControlMessage waiting = std::move(next->second);
      early_.erase(next);
      ++nr_;
      deliver(waiting, now);
    }
  } else if (!is_old(ns, nr_)) {
    const auto ahead = static_cast<std::uint16_t>(ns - nr_);
    if (ahead < options_.window) early_.emplace(ns, std::move(message));  // what is missing comes again, this need not
  }
  if (!answered_ && peer_tunnel_ != 0) say_zlb();
}

void Connection::deliver(const ControlMessage& message, Time now) {
  if (state_ == State::kStopping && message.type != MessageType::kStopCcn) return;  // acknowledged, and no more
  if (message.offence) return offended(message, now);
  switch (*message.type) {
    case MessageType::kSccrq: return on_sccrq(message, now);
    case MessageType::kScccn: return on_scccn(message, now);
    case MessageType::kStopCcn: return on_stop(message, now);
    case MessageType::kIcrq: return on_icrq(message, now);
    case MessageType::kIccn: return on_iccn(message, now);
    case MessageType::kCdn: return on_cdn(message, now);
    case MessageType::kHello:
    case MessageType::kWen:
    case MessageType::kSli: return;
    case MessageType::kOcrq:  // we have no line to call out by
      if (message.assigned_session.value_or(0) == 0) return;
      return queue(ControlWriter(MessageType::kCdn, peer_tunnel_, *message.assigned_session)
                       .result({kCdnNever, 0, "no calls are made here"})
                       .u16(AvpType::kAssignedSession, 0)
                       .take(),
                   now);
    case MessageType::kSccrp:
    case MessageType::kOcrp:
    case MessageType::kOccn:
    case MessageType::kIcrp: return stop({kStopState, 0, name_of(*message.type) + " without a request"}, now);
  }
  if (message.type_mandatory) stop({kStopGeneralError, kErrorMandatory, name_of(*message.type) + " is unknown"}, now);
}

/// A mandatory AVP that nobody here can read ends its call, or all (RFC 2661 4.1).
void Connection::offended(const ControlMessage& message, Time now) {
  const ResultCode code{kStopGeneralError, kErrorMandatory, "AVP " + std::to_string(*message.offence) + " of " + name_of(*message.type)};
  if (message.type == MessageType::kSccrq) {
    if (state_ == State::kIdle) peer_tunnel_ = message.assigned_tunnel.value_or(0);
    if (peer_tunnel_ == 0) {
      state_ = State::kOver;
      return;
    }
    if (state_ == State::kIdle) state_ = State::kWaitScccn;
  }
  const bool of_call = *message.type >= MessageType::kOcrq && *message.type <= MessageType::kSli;
  if (!of_call || state_ != State::kEstablished) return stop(code, now);
  const auto call = call_of(message);
  if (call != calls_.end()) {
    const auto [number, held] = *call;
    end_call(number, {kCdnError, code.error, code.text}, now);
    if (held.up) sink_.call_down(number, Ended::kByPeer, "an AVP that must be understood was not: " + code.text);
  } else if (message.type == MessageType::kIcrq && message.assigned_session.value_or(0) != 0) {
    queue(ControlWriter(MessageType::kCdn, peer_tunnel_, *message.assigned_session)
              .result({kCdnError, code.error, code.text})
              .u16(AvpType::kAssignedSession, 0)
              .take(),
          now);
  }
}

void Connection::on_sccrq(const ControlMessage& message, Time now) {
  if (state_ != State::kIdle) return stop({kStopState, 0, "a second SCCRQ"}, now);
  if (message.assigned_tunnel.value_or(0) == 0) {  // nowhere to send an answer to
    state_ = State::kOver;
    return;
  }
  peer_tunnel_ = *message.assigned_tunnel;
  peer_name_ = message.host_name;
  peer_window_ = std::clamp<std::size_t>(message.receive_window.value_or(kWindowWithoutAvp), 1, kPeerWindowMax);
  threshold_ = peer_window_;
  state_ = State::kWaitScccn;
  idle_since_ = now;
  if (message.protocol_version != kVersionOne) return stop({kStopVersion, kVersionOne, "version 1.0 is spoken here"}, now);
  if (!message.challenge.empty() && options_.secret.empty())
    return stop({kStopNotAuthorized, 0, "there is no secret to answer a challenge with"}, now);
  ControlWriter reply(MessageType::kSccrp, peer_tunnel_, 0);
  reply.u16(AvpType::kProtocolVersion, kVersionOne)
      .u32(AvpType::kFramingCapabilities, kBothFramings)
      .text(AvpType::kHostName, options_.host_name)
      .text(AvpType::kVendorName, options_.vendor_name, false)
      .u16(AvpType::kAssignedTunnel, local_tunnel_)
      .u16(AvpType::kReceiveWindow, options_.window);
  if (!options_.secret.empty()) {
    challenge_.resize(16);
    fill_random(challenge_);
    reply.bytes(AvpType::kChallenge, challenge_);
    if (!message.challenge.empty())
      reply.bytes(AvpType::kChallengeResponse, respond(MessageType::kSccrp, options_.secret, message.challenge));
  }
  queue(reply.take(), now);
}

void Connection::on_scccn(const ControlMessage& message, Time now) {
  if (state_ != State::kWaitScccn) return stop({kStopState, 0, "SCCCN out of turn"}, now);
  if (!challenge_.empty()) {
    const auto wanted = respond(MessageType::kScccn, options_.secret, challenge_);
    const bool right = message.challenge_response && CRYPTO_memcmp(wanted.data(), message.challenge_response->data(), wanted.size()) == 0;
    if (!right) return stop({kStopNotAuthorized, 0, "the challenge's answer is wrong"}, now);
  }
  state_ = State::kEstablished;
  idle_since_ = now;
}

void Connection::on_stop(const ControlMessage& message, Time now) {
  const std::string text = message.result ? describe(MessageType::kStopCcn, *message.result) : "StopCCN without a reason";
  if (peer_tunnel_ == 0) peer_tunnel_ = message.assigned_tunnel.value_or(0);
  outgoing_.clear();
  in_flight_ = 0;
  resend_at_ = Time::max();
  end_all(Ended::kByPeer, text);
  state_ = State::kStopping;
  over_at_ = now + options_.linger;
}

void Connection::on_icrq(const ControlMessage& message, Time now) {
  if (state_ != State::kEstablished) return stop({kStopState, 0, "a call before the connection stands"}, now);
  const std::uint16_t peer_session = message.assigned_session.value_or(0);
  if (peer_session == 0) return;
  const auto refuse = [&](std::uint16_t result, std::uint16_t error, std::string_view text) {
    queue(ControlWriter(MessageType::kCdn, peer_tunnel_, peer_session)
              .result({result, error, std::string(text)})
              .u16(AvpType::kAssignedSession, 0)
              .take(),
          now);
  };
  if (by_peer_session(peer_session) != calls_.end()) return refuse(kCdnError, kErrorOutOfRange, "this session id is in use");
  if (calls_.size() >= kCallsMax) return refuse(kCdnNoFacilities, 0, "as many calls as a connection may have");
  const std::uint16_t local_session = next_session_();
  if (local_session == 0 || calls_.contains(local_session)) return refuse(kCdnNoFacilities, 0, "no session id is free");
  calls_.emplace(local_session, Held{{local_session, peer_session, false}, false, now});
  queue(ControlWriter(MessageType::kIcrp, peer_tunnel_, peer_session).u16(AvpType::kAssignedSession, local_session).take(), now);
}

void Connection::on_iccn(const ControlMessage& message, Time now) {
  const auto call = call_of(message);
  if (call == calls_.end()) return;  // it was ended meanwhile, and he will hear of it
  if (call->second.up) {
    const std::uint16_t number = call->first;
    end_call(number, {kCdnError, kErrorOutOfRange, "ICCN twice"}, now);
    sink_.call_down(number, Ended::kByPeer, "the client connected the same call twice");
    return;
  }
  call->second.up = true;
  call->second.call.sequenced = message.sequencing_required;
  sink_.call_up(Call(call->second.call));
}

void Connection::on_cdn(const ControlMessage& message, Time now) {
  const auto call = call_of(message);
  if (call == calls_.end()) return;
  const auto [number, held] = *call;
  calls_.erase(call);
  if (calls_.empty()) idle_since_ = now;
  if (held.up)
    sink_.call_down(number, Ended::kByPeer, message.result ? describe(MessageType::kCdn, *message.result) : "CDN without a reason");
}

std::map<std::uint16_t, Connection::Held>::iterator Connection::by_peer_session(std::uint16_t peer_session) {
  return std::find_if(calls_.begin(), calls_.end(),
                      [peer_session](const auto& one) { return one.second.call.peer_session == peer_session; });
}

/// By our id in the header. A CDN may come before its sender knows ours: then it names its own.
std::map<std::uint16_t, Connection::Held>::iterator Connection::call_of(const ControlMessage& message) {
  if (message.header.session != 0) return calls_.find(message.header.session);
  return message.type == MessageType::kCdn && message.assigned_session ? by_peer_session(*message.assigned_session) : calls_.end();
}

// --------------------------------------------------------------------------------------------------------------- sending

void Connection::queue(std::vector<std::uint8_t> message, Time now) {
  if (state_ == State::kOver) return;
  if (outgoing_.size() >= kOutgoingMax) return lost("the client asks and does not acknowledge", Ended::kSilent);
  outgoing_.push_back({std::move(message), ns_++});
  push(now);
}

/// Sends what the windows allow.
void Connection::push(Time now) {
  const std::size_t window = std::min(peer_window_, congestion_window_);
  while (in_flight_ < outgoing_.size() && in_flight_ < window) {
    Outgoing& next = outgoing_[in_flight_++];
    if (in_flight_ == 1) {
      tries_ = 1;
      resend_at_ = now + options_.resend;
    }
    stamp(next.bytes, next.ns, nr_);
    transmit(next.bytes);
  }
}

void Connection::transmit(std::vector<std::uint8_t>& message) {
  answered_ = true;
  sink_.datagram(message);
}

void Connection::say_zlb() {
  std::vector<std::uint8_t> zlb = write_zlb({peer_tunnel_, 0, ns_, nr_});
  // Its Ns is that of the next message, which has not been sent yet when the window is full.
  if (in_flight_ < outgoing_.size()) stamp(zlb, outgoing_[in_flight_].ns, nr_);
  transmit(zlb);
}

/// The peer has everything before `nr`.
void Connection::acknowledge(std::uint16_t nr, Time now) {
  std::size_t gone = 0;
  while (in_flight_ > 0 && is_old(outgoing_.front().ns, nr)) {
    outgoing_.pop_front();
    --in_flight_;
    ++gone;
  }
  if (gone == 0) return;
  for (; gone > 0; --gone) {
    if (congestion_window_ < threshold_) {
      ++congestion_window_;
    } else if (++acknowledged_ >= congestion_window_) {
      acknowledged_ = 0;
      congestion_window_ = std::min(congestion_window_ + 1, peer_window_);
    }
  }
  tries_ = 1;
  resend_at_ = in_flight_ > 0 ? now + options_.resend : Time::max();
  push(now);
  if (state_ == State::kStopping && outgoing_.empty() && over_at_ == Time::max()) over_at_ = now + options_.linger;
}

void Connection::resend(Time now) {
  if (tries_ >= options_.tries) {
    end_all(Ended::kSilent, "the client does not acknowledge");
    end_text_ = "the client does not acknowledge";
    state_ = State::kOver;
    return;
  }
  threshold_ = std::max<std::size_t>(congestion_window_ / 2, 1);
  congestion_window_ = 1;
  acknowledged_ = 0;
  const auto wait = std::min<std::chrono::seconds>(options_.resend * (1U << std::min(tries_, 10U)), options_.resend_max);
  ++tries_;
  resend_at_ = now + wait;
  // Of the two numbers one lies behind what the peer waits for, and is acknowledged as a copy.
  if (learning_) outgoing_.front().ns = static_cast<std::uint16_t>(outgoing_.front().ns + 0x8000U);
  stamp(outgoing_.front().bytes, outgoing_.front().ns, nr_);
  transmit(outgoing_.front().bytes);
}

void Connection::tick(Time now) {
  if (state_ == State::kOver || state_ == State::kIdle) return;
  if (now >= over_at_) {
    state_ = State::kOver;
    return;
  }
  if (in_flight_ > 0 && now >= resend_at_) resend(now);
  if (state_ != State::kEstablished) {
    if (state_ == State::kWaitScccn && now >= idle_since_ + options_.call_max) stop({kStopClear, 0, "no SCCCN came"}, now);
    return;
  }
  std::vector<std::uint16_t> late;
  for (const auto& [number, held] : calls_) {
    if (!held.up && now >= held.since + options_.call_max) late.push_back(number);
  }
  for (const std::uint16_t number : late) end_call(number, {kCdnTooLate, 0, "no ICCN came"}, now);
  if (calls_.empty() && now >= idle_since_ + options_.idle_max) return stop({kStopClear, 0, "no call for a while"}, now);
  if (now >= heard_ + options_.hello && outgoing_.empty()) queue(ControlWriter(MessageType::kHello, peer_tunnel_, 0).take(), now);
}

Time Connection::next() const {
  if (state_ == State::kOver || state_ == State::kIdle) return Time::max();
  Time out = std::min(over_at_, in_flight_ > 0 ? resend_at_ : Time::max());
  if (state_ == State::kWaitScccn) out = std::min(out, idle_since_ + options_.call_max);
  if (state_ != State::kEstablished) return out;
  for (const auto& [number, held] : calls_) {
    if (!held.up) out = std::min(out, held.since + options_.call_max);
  }
  if (calls_.empty()) out = std::min(out, idle_since_ + options_.idle_max);
  return outgoing_.empty() ? std::min(out, heard_ + options_.hello) : out;
}

void Connection::send(std::uint16_t local_session, ByteSpan frame) {
  const auto call = calls_.find(local_session);
  if (state_ != State::kEstablished || call == calls_.end()) return;
  sink_.datagram(write_data(peer_tunnel_, call->second.call.peer_session, frame));
}

void Connection::end_call(std::uint16_t local_session, const ResultCode& code, Time now) {
  const auto call = calls_.find(local_session);
  if (call == calls_.end()) return;
  const std::uint16_t peer_session = call->second.call.peer_session;
  calls_.erase(call);
  if (calls_.empty()) idle_since_ = now;
  if (state_ != State::kEstablished) return;
  queue(ControlWriter(MessageType::kCdn, peer_tunnel_, peer_session)
            .result(code)
            .u16(AvpType::kAssignedSession, local_session)
            .take(),
        now);
}

void Connection::stop(const ResultCode& code, Time now) {
  if (ending()) return;
  const std::string text = describe(MessageType::kStopCcn, code);
  if (state_ == State::kIdle || peer_tunnel_ == 0) {
    state_ = State::kOver;
    end_text_ = text;
    return;
  }
  state_ = State::kStopping;
  end_all(Ended::kByUs, text);
  while (outgoing_.size() > in_flight_) {  // nobody needs them any more
    outgoing_.pop_back();
    --ns_;
  }
  congestion_window_ = peer_window_ = std::max<std::size_t>(peer_window_, in_flight_ + 1);
  queue(ControlWriter(MessageType::kStopCcn, peer_tunnel_, 0).u16(AvpType::kAssignedTunnel, local_tunnel_).result(code).take(), now);
}

void Connection::lost(std::string_view text, Ended how) {
  if (state_ == State::kOver) return;
  end_all(how, text);
  state_ = State::kOver;
}

void Connection::end_all(Ended how, std::string_view text) {
  if (end_text_.empty()) end_text_ = text;
  const auto calls = std::exchange(calls_, {});
  for (const auto& [number, held] : calls) {
    if (held.up) sink_.call_down(number, how, text);
  }
}

}  // namespace sekisho::vpn::l2tp
