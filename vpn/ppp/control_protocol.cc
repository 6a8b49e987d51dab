// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/control_protocol.h"

#include <algorithm>

namespace sekisho::vpn::ppp {
namespace {

/// Of a packet that is rejected for its code: enough to know it again.
constexpr std::size_t kRejectedBytesMax = 256;

bool same(ByteSpan a, ByteSpan b) { return std::ranges::equal(a, b); }

}  // namespace

void ControlProtocol::close(Time now, std::string_view reason) {
  reason_ = reason.substr(0, 120);
  handle(Signal::kClose, now);
}

void ControlProtocol::lower_down(Time now) {
  handle(Signal::kDown, now);
  heard_ = false;
}

bool ControlProtocol::receive(ByteSpan payload, Time now) {
  const auto parsed = parse_packet(payload);
  if (!parsed || state_ <= State::kStarting) return false;
  const Packet& packet = *parsed;
  switch (packet.code) {
    case code::kConfigureRequest:
      if (!are_options_sound(packet.data)) return false;
      take_request(packet, now);
      return true;
    case code::kConfigureAck:
    case code::kConfigureNak:
    case code::kConfigureReject:
      return are_options_sound(packet.data) && take_answer(packet, now);
    case code::kTerminateRequest:
      request_id_ = packet.id;
      terminated_by_peer_ = true;
      handle(Signal::kTerminateRequest, now);
      return true;
    case code::kTerminateAck:
      handle(Signal::kTerminateAck, now);
      return true;
    case code::kCodeReject:
      if (packet.data.empty()) return false;
      handle(packet.data[0] >= 1 && packet.data[0] <= code::kCodeReject ? Signal::kRejectFatal : Signal::kRejectHarmless, now);
      return true;
    default:
      if (take_code(packet, now)) return true;
      unknown_.assign(packet.whole.begin(),
                      packet.whole.begin() + static_cast<std::ptrdiff_t>(std::min(packet.whole.size(), kRejectedBytesMax)));
      handle(Signal::kUnknownCode, now);
      return true;
  }
}

void ControlProtocol::take_request(const Packet& packet, Time now) {
  if (state_ == State::kOpened && packet.id == request_id_ && same(packet.data, acked_)) {
    // The peer sends what we agreed on once more: our Ack was lost. Beginning anew would cost a login.
    send(code::kConfigureAck, packet.id, packet.data);
    return;
  }
  if (!heard_ && protocol_ == Protocol::kLcp && state_ == State::kReqSent) {
    // Its PPP has only now begun, and ours was lost (Windows, pppd on L2TP): without a copy it would be missed for three seconds.
    // The copy goes first: behind our Ack it would find the peer open, and begin anew.
    send_request(true, now);
  }
  heard_ = true;
  request_id_ = packet.id;
  handle(judge_request(packet), now);
}

Signal ControlProtocol::judge_request(const Packet& packet) {
  Bytes naks, rejects;
  OptionReader reader(packet.data);
  const bool tired = naks_ >= limits_.failure_max;
  while (const auto option = reader.next()) {
    Bytes nak;
    Judgement judgement = judge(*option, nak);
    if (judgement == Judgement::kNak && tired) judgement = Judgement::kReject;
    if (judgement == Judgement::kReject) rejects.append(option->whole);
    if (judgement == Judgement::kNak) naks.append(nak.span());
  }
  if (rejects.empty() && naks.empty() && !tired) demand_missing(packet.data, naks);
  if (!rejects.empty()) {
    answer_code_ = code::kConfigureReject;
    answer_ = rejects.take();
  } else if (!naks.empty()) {
    ++naks_;
    answer_code_ = code::kConfigureNak;
    answer_ = naks.take();
  } else {
    answer_code_ = code::kConfigureAck;
    answer_.assign(packet.data.begin(), packet.data.end());
  }
  return answer_code_ == code::kConfigureAck ? Signal::kRequestGood : Signal::kRequestBad;
}

bool ControlProtocol::take_answer(const Packet& packet, Time now) {
  if (packet.id != id_ || !request_open_) return false;
  if (packet.code == code::kConfigureAck) {
    if (!same(packet.data, own_options_)) return false;
    request_open_ = false;
    own_settled(packet.data);
    handle(Signal::kAck, now);
    return true;
  }
  request_open_ = false;
  if (take_objections(packet)) {
    handle(Signal::kNak, now);
  } else {
    handle(Signal::kRejectFatal, now);
  }
  return true;
}

bool ControlProtocol::take_objections(const Packet& packet) {
  if (++objections_ > 2 * limits_.failure_max) {
    fail("the peer objects to every offer");
    return false;
  }
  OptionReader reader(packet.data);
  while (const auto option = reader.next()) {
    const bool rejected = packet.code == code::kConfigureReject;
    // Only what was asked for can be rejected (RFC 1661 5.4).
    if (rejected && !find_option(own_options_, option->type, option->value.size())) continue;
    if (!(rejected ? take_reject(*option) : take_nak(*option))) return false;
  }
  return true;
}

void ControlProtocol::send(std::uint8_t with, std::uint8_t id, ByteSpan data) {
  layer_.transmit(control_frame(protocol_, with, id, data));
}

void ControlProtocol::send_request(bool again, Time now) {
  Bytes options;
  write_request(options);
  // A copy with the same options keeps its identifier: whichever of its answers comes first counts.
  if (!again || !same(options.span(), own_options_)) next_id();
  own_options_ = options.take();
  request_open_ = true;
  if (counter_ > 0) --counter_;
  send(code::kConfigureRequest, id_, own_options_);
  restart_in(now, limits_.restart);
}

void ControlProtocol::handle(Signal signal, Time now) {
  const Step step = step_of(state_, signal);
  if (!step.possible) return;
  const State was = state_;
  state_ = step.next;
  const bool was_closed = was == State::kStarting || was == State::kClosed || was == State::kStopped;
  const bool anew = (step.actions & action::kSendRequest) != 0 && (was_closed || (step.actions & action::kLayerDown) != 0);
  if (anew) {
    if ((step.actions & action::kLayerDown) != 0) layer_.layer_down(protocol_);
    naks_ = objections_ = 0;
    failure_ = {};
    own_options_.clear();
    begin();
    act(step.actions & static_cast<std::uint16_t>(~action::kLayerDown), now);
    return;
  }
  if (!is_timed(state_)) timer_ = Time::max();
  act(step.actions, now);
}

void ControlProtocol::act(std::uint16_t actions, Time now) {
  if ((actions & action::kLayerDown) != 0) layer_.layer_down(protocol_);
  if ((actions & action::kInitCounter) != 0) {
    counter_ = (actions & action::kSendTerminate) != 0 ? limits_.terminate_max : limits_.configure_max;
  }
  if ((actions & action::kZeroCounter) != 0) {
    counter_ = 0;
    restart_in(now, limits_.restart);
  }
  if ((actions & action::kSendRequest) != 0) send_request(false, now);
  if ((actions & action::kSendAck) != 0) {
    naks_ = 0;
    acked_ = answer_;
    send(code::kConfigureAck, request_id_, answer_);
    peer_settled(acked_);
  }
  if ((actions & action::kSendNak) != 0) send(answer_code_, request_id_, answer_);
  if ((actions & action::kSendTerminate) != 0) {
    if (counter_ > 0) --counter_;
    send(code::kTerminateRequest, next_id(), {reinterpret_cast<const std::uint8_t*>(reason_.data()), reason_.size()});
    restart_in(now, limits_.restart);
  }
  if ((actions & action::kSendTerminateAck) != 0) send(code::kTerminateAck, request_id_, {});
  if ((actions & action::kSendCodeReject) != 0) send(code::kCodeReject, next_id(), unknown_);
  if ((actions & action::kLayerFinished) != 0) layer_.layer_finished(protocol_);
  if ((actions & action::kLayerUp) != 0) layer_.layer_up(protocol_);
}

void ControlProtocol::tick(Time now) {
  if (now < timer_) return;
  timer_ = Time::max();
  if (counter_ > 0 && (state_ == State::kReqSent || state_ == State::kAckSent)) {
    send_request(true, now);  // TO+, with the identifier kept (RFC 1661 5.1)
    return;
  }
  handle(counter_ > 0 ? Signal::kTimeoutMore : Signal::kTimeoutLast, now);
}

}  // namespace sekisho::vpn::ppp
