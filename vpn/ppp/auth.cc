// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/auth.h"

#include <algorithm>

#include "vpn/weak/mschapv2.h"
#include "vpn/weak/primitives.h"

namespace sekisho::vpn::ppp {
namespace {

constexpr std::uint8_t kPapRequest = 1, kPapAck = 2, kPapNak = 3;
constexpr std::uint8_t kChallenge = 1, kResponse = 2, kSuccess = 3, kFailure = 4, kChangePassword = 7;
constexpr std::uint8_t kEapRequest = 1, kEapResponse = 2, kEapSuccess = 3, kEapFailure = 4;
constexpr std::uint8_t kIdentity = 1, kNak = 3, kTls = 13, kMschap = 26;
/// RFC 2759 4: peer's challenge, eight reserved bytes, response, flags.
constexpr std::size_t kMschapValue = 49;
constexpr std::size_t kNameBytesMax = 256;
/// Of TLS in one request: with the headers of EAP and any door it fits the smallest link there is.
constexpr std::size_t kFragmentBytes = 1024;

std::string_view text_of(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// RFC 2759 6: no new try by the same link, a fresh challenge all the same, and the words a Windows user sees for the number.
std::string failure_message(Cause cause, ByteSpan challenge, bool changing) {
  const std::string_view number = changing                  ? "709"
                                  : cause == Cause::kAuth     ? "691"
                                  : cause == Cause::kSchedule ? "646"
                                  : cause == Cause::kUser || cause == Cause::kAdmin ? "647"
                                                                                    : "649";
  std::string out = "E=";
  out += number;
  out += " R=0 C=";
  for (const std::uint8_t byte : challenge) {
    out += "0123456789ABCDEF"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 15];
  }
  return out + " V=3 M=denied";
}

}  // namespace

void Authenticator::begin(AuthMethod method, Time now) {
  stop();
  method_ = method;
  phase_ = Phase::kPeer;
  std::array<std::uint8_t, 1> id{};
  random_(id);
  id_ = id[0];
  if (method == AuthMethod::kPap) return;
  if (method == AuthMethod::kEap) {
    eap_ = Eap::kIdentity;
    eap_request(kIdentity, {}, now);
  } else {
    challenge(now);
  }
}

void Authenticator::stop() {
  phase_ = Phase::kIdle;
  user_.clear();
  keys_ = {};
  last_.clear();
  tls_.reset();
  number_++;  // an answer to a question of before is nobody's
  timer_ = Time::max();
}

void Authenticator::challenge(Time now) {
  random_(challenge_);
  send_and_keep(Protocol::kChap, kChallenge, ++id_, Bytes().u8(challenge_.size()).append(challenge_).append(options_.name).span());
  timer_ = now + options_.restart;
}

bool Authenticator::receive(Protocol protocol, ByteSpan payload, Time now) {
  const auto packet = parse_packet(payload);
  if (!packet || phase_ == Phase::kIdle) return false;
  switch (method_) {
    case AuthMethod::kPap: return protocol == Protocol::kPap && receive_pap(*packet);
    case AuthMethod::kChapMd5:
    case AuthMethod::kMschapV2: return protocol == Protocol::kChap && receive_chap(*packet, now);
    case AuthMethod::kEap: return protocol == Protocol::kEap && receive_eap(*packet, now);
  }
  return false;
}

bool Authenticator::receive_pap(const Packet& packet) {
  if (packet.code != kPapRequest) return false;
  if (phase_ == Phase::kAccepted || phase_ == Phase::kRefused) {
    if (packet.id == answered_) owner_.transmit(last_);
    return packet.id == answered_;
  }
  if (phase_ != Phase::kPeer) return false;
  WireReader reader(packet.data);
  const auto name_size = reader.u8();
  const auto name = name_size ? reader.take(*name_size) : Result<ByteSpan>(reader.error());
  const auto password_size = reader.u8();
  const auto password = password_size ? reader.take(*password_size) : Result<ByteSpan>(reader.error());
  if (!name || !password) return false;
  answered_ = packet.id;
  user_ = text_of(*name);
  AuthRequest request;
  request.password = *password;
  ask(AuthRequest::Kind::kPassword, request);
  return true;
}

bool Authenticator::receive_chap(const Packet& packet, Time now) {
  if (phase_ == Phase::kPeer && packet.code == kChangePassword && method_ == AuthMethod::kMschapV2) {
    // RFC 2759 7: nobody was asked for another password, and none is taken.
    send_and_keep(Protocol::kChap, kFailure, packet.id, bytes_of(failure_message(Cause::kAuth, challenge_, true)));
    refuse(Cause::kAuth, "the peer wanted to change its password", now);
    return true;
  }
  if (packet.code != kResponse || packet.id != id_) return false;
  if (phase_ == Phase::kAccepted || phase_ == Phase::kRefused) {
    owner_.transmit(last_);
    return true;
  }
  if (phase_ != Phase::kPeer || packet.data.empty()) return false;
  const std::size_t size = packet.data[0];
  const std::size_t wanted = method_ == AuthMethod::kMschapV2 ? kMschapValue : 16;
  if (size != wanted || packet.data.size() < 1 + size || packet.data.size() - 1 - size > kNameBytesMax) return false;
  const ByteSpan value = packet.data.subspan(1, size);
  user_ = text_of(packet.data.subspan(1 + size));
  answered_ = packet.id;
  AuthRequest request;
  request.identifier = id_;
  request.challenge = challenge_;
  if (method_ == AuthMethod::kMschapV2) {
    request.peer_challenge = value.first(16);
    request.response = value.subspan(24, 24);
    ask(AuthRequest::Kind::kMschapV2, request);
  } else {
    request.response = value;
    ask(AuthRequest::Kind::kChapMd5, request);
  }
  return true;
}

void Authenticator::ask(AuthRequest::Kind kind, AuthRequest request) {
  phase_ = Phase::kOwner;
  timer_ = Time::max();
  request.kind = kind;
  request.number = ++number_;
  const std::string user = user_;
  request.user = user;
  owner_.ask(request);
}

void Authenticator::answer(std::uint32_t number, const AuthAnswer& answer, Time now) {
  if (phase_ != Phase::kOwner || number != number_) return;
  if (method_ == AuthMethod::kEap) {
    answer_eap(answer, now);
    return;
  }
  const bool good = answer.verdict == AuthAnswer::Verdict::kAccept;
  if (method_ == AuthMethod::kPap) {
    const std::string_view text = good ? "welcome" : "denied";
    send_and_keep(Protocol::kPap, good ? kPapAck : kPapNak, answered_, Bytes().u8(text.size()).append(text).span());
  } else {
    answer_chap(answer, now);
  }
  if (!good) return refuse(answer.cause, answer.text, now);
  accept(answer);
  owner_.authenticated(now);
}

void Authenticator::answer_chap(const AuthAnswer& answer, Time /*now*/) {
  const bool good = answer.verdict == AuthAnswer::Verdict::kAccept, v2 = method_ == AuthMethod::kMschapV2;
  std::string text = good ? "welcome" : "denied";
  if (v2 && good) text = answer.authenticator + " M=welcome";
  if (v2 && !good) {
    std::array<std::uint8_t, 16> fresh{};
    random_(fresh);
    text = failure_message(answer.cause, fresh, false);
  }
  send_and_keep(Protocol::kChap, good ? kSuccess : kFailure, answered_, bytes_of(text));
}

void Authenticator::accept(const AuthAnswer& answer) {
  phase_ = Phase::kAccepted;
  timer_ = Time::max();
  keys_ = answer.keys;
}

void Authenticator::refuse(Cause cause, std::string_view text, Time now) {
  phase_ = Phase::kRefused;
  timer_ = Time::max();
  owner_.refused(cause, text, now);
}

void Authenticator::send_and_keep(Protocol protocol, std::uint8_t code, std::uint8_t id, ByteSpan data) {
  last_ = control_frame(protocol, code, id, data);
  owner_.transmit(last_);
}

void Authenticator::tick(Time now) {
  if (now < timer_) return;
  timer_ = now + options_.restart;  // until the session's patience ends
  owner_.transmit(last_);
}

// EAP ---------------------------------------------------------------------------------------------------------------------------------

void Authenticator::eap_request(std::uint8_t type, ByteSpan data, Time now) {
  phase_ = Phase::kPeer;
  send_and_keep(Protocol::kEap, kEapRequest, ++id_, Bytes().u8(type).append(data).span());
  timer_ = now + options_.restart;
}

bool Authenticator::receive_eap(const Packet& packet, Time now) {
  if (packet.code != kEapResponse || packet.id != id_) return false;
  if (packet.data.empty()) {
    // RFC 9190's last word of ours: pppd 2.4.9 acknowledges it without a type.
    if (phase_ != Phase::kPeer || eap_ != Eap::kTls || !tls_->is_accepted()) return false;
    constexpr std::array<std::uint8_t, 1> kNoFlags{};
    take_tls(tls_->receive(kNoFlags), now);
    return true;
  }
  if (phase_ == Phase::kAccepted || phase_ == Phase::kRefused) {
    owner_.transmit(last_);
    return true;
  }
  if (phase_ != Phase::kPeer) return false;
  const std::uint8_t type = packet.data[0];
  if (eap_ == Eap::kIdentity) {
    if (type != kIdentity || packet.data.size() - 1 > kNameBytesMax) return false;
    user_ = text_of(packet.data.subspan(1));
    AuthRequest request;
    request.eap = packet.whole;
    ask(AuthRequest::Kind::kIdentity, request);
    return true;
  }
  if (eap_ == Eap::kRelay) {
    AuthRequest request;
    request.eap = packet.whole;
    ask(AuthRequest::Kind::kRelay, request);
    return true;
  }
  return receive_method(packet, type, now);
}

bool Authenticator::receive_method(const Packet& packet, std::uint8_t type, Time now) {
  const ByteSpan data = packet.data.subspan(1);
  if (type == kNak) return take_eap_nak(data, now);
  if (eap_ == Eap::kTls) {
    if (type != kTls) return false;
    take_tls(tls_->receive(data), now);
    return true;
  }
  if (type != kMschap || data.empty()) return false;
  if (eap_ == Eap::kProof) {
    if (data[0] != kSuccess) {
      eap_end(false, {}, now);
      refuse(Cause::kAuth, "the peer did not believe the gateway's proof", now);
      return true;
    }
    eap_end(true, {}, now);
    return true;
  }
  return receive_mschap(data);
}

bool Authenticator::receive_mschap(ByteSpan data) {
  // Opcode, identifier, length, size of the value, the value, the name.
  if (data[0] != kResponse || data.size() < 5 + kMschapValue || data[4] != kMschapValue) return false;
  const ByteSpan value = data.subspan(5, kMschapValue), name = data.subspan(5 + kMschapValue);
  // Nobody proves himself under another name than he came with.
  const bool same = weak::bare_name(text_of(name)) == weak::bare_name(user_);
  AuthRequest request;
  request.challenge = challenge_;
  request.peer_challenge = value.first(16);
  request.response = same ? value.subspan(24, 24) : ByteSpan();
  ask(AuthRequest::Kind::kMschapV2, request);
  return true;
}

bool Authenticator::take_eap_nak(ByteSpan wanted, Time now) {
  const std::uint8_t other = eap_ == Eap::kTls ? kMschap : kTls;
  const bool possible = other_may_do_ && eap_ != Eap::kProof && (other != kTls || tls_context_);
  if (possible && std::ranges::find(wanted, other) != wanted.end()) {
    other_may_do_ = false;
    other == kTls ? start_tls(now) : start_mschap(now);
    return true;
  }
  eap_end(false, {}, now);
  refuse(Cause::kAuth, "the peer wants another method of EAP than any that is allowed", now);
  return true;
}

void Authenticator::answer_eap(const AuthAnswer& answer, Time now) {
  using Verdict = AuthAnswer::Verdict;
  const bool identity = eap_ == Eap::kIdentity;
  if (answer.verdict == Verdict::kAccept && !identity) {
    if (eap_ == Eap::kChallenge) {
      keys_ = answer.keys;
      eap_ = Eap::kProof;
      const std::string text = answer.authenticator + " M=OK";
      return eap_request(kMschap, Bytes().u8(kSuccess).u8(id_).u16(text.size() + 4).append(text).span(), now);
    }
    if (eap_ == Eap::kTls) return take_tls(tls_->accept(), now);
    keys_ = answer.keys;
    return eap_end(true, answer.eap, now);
  }
  if (identity) other_may_do_ = answer.other_may_do;
  if (identity && answer.verdict == Verdict::kMschapV2) return start_mschap(now);
  if (identity && answer.verdict == Verdict::kTls && tls_context_) return start_tls(now);
  const auto next = parse_packet(answer.eap);
  if (answer.verdict == Verdict::kRelay && (identity || eap_ == Eap::kRelay) && next && next->code == kEapRequest) {
    eap_ = Eap::kRelay;
    id_ = next->id;
    phase_ = Phase::kPeer;
    Bytes frame;
    last_ = frame.u16(0xff03).u16(static_cast<std::uint16_t>(Protocol::kEap)).append(next->whole).take();
    owner_.transmit(last_);
    timer_ = now + options_.restart;
    return;
  }
  eap_end(false, answer.eap, now);
  refuse(answer.verdict == Verdict::kReject ? answer.cause : Cause::kInternal, answer.text, now);
}

void Authenticator::start_mschap(Time now) {
  eap_ = Eap::kChallenge;
  random_(challenge_);
  const std::size_t size = 4 + 1 + challenge_.size() + options_.name.size();
  Bytes data;
  data.u8(kChallenge).u8(id_ + 1U).u16(size).u8(challenge_.size()).append(challenge_).append(options_.name);
  eap_request(kMschap, data.span(), now);
}

void Authenticator::start_tls(Time now) {
  eap_ = Eap::kTls;
  tls_ = std::make_unique<EapTls>(tls_context_, kFragmentBytes);
  take_tls(tls_->start(), now);
}

void Authenticator::take_tls(EapTls::What what, Time now) {
  switch (what) {
    case EapTls::What::kSend: return eap_request(kTls, tls_->request(), now);
    case EapTls::What::kAsk: {
      AuthRequest request;
      request.chain = tls_->chain();
      return ask(AuthRequest::Kind::kCertificate, request);
    }
    case EapTls::What::kDone: {
      std::array<std::uint8_t, 64> msk = tls_->msk();
      keys_ = SessionKeys::from_msk(msk);
      weak::wipe(msk);
      return eap_end(true, {}, now);
    }
    case EapTls::What::kFailed: {
      const std::string why = tls_->why();
      eap_end(false, {}, now);
      return refuse(Cause::kAuth, why, now);
    }
  }
}

void Authenticator::eap_end(bool good, ByteSpan worded, Time now) {
  const auto packet = parse_packet(worded);
  const std::uint8_t end = good ? kEapSuccess : kEapFailure;
  send_and_keep(Protocol::kEap, end, packet && packet->code == end ? packet->id : id_, {});
  timer_ = Time::max();
  tls_.reset();
  if (!good) return;
  phase_ = Phase::kAccepted;
  owner_.authenticated(now);
}

}  // namespace sekisho::vpn::ppp
