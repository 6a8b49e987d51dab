// SPDX-License-Identifier: Apache-2.0
#include "vpn/pptp/control.h"

#include <algorithm>
#include <array>

#include "vpn/ppp/frame.h"

namespace sekisho::vpn::pptp {
namespace {

using ppp::Bytes;

constexpr std::uint32_t kMagic = 0x1a2b3c4d;
constexpr std::size_t kHeaderBytes = 12;
constexpr std::uint16_t kVersion = 0x0100;
constexpr std::uint16_t kWindow = 64;
constexpr std::size_t kNameBytes = 64;
/// Result codes: of replies (RFC 2637 2.2, 2.8), and of a Call-Disconnect-Notify (2.13).
constexpr std::uint8_t kGood = 1, kBadVersion = 5, kBusy = 4, kShutdown = 3, kRequested = 4;

Bytes begin(Type type, std::size_t size) {
  Bytes out;
  out.u16(size).u16(1).u32(kMagic).u16(static_cast<std::uint16_t>(type)).u16(0);
  return out;
}

std::uint16_t u16_at(ByteSpan body, std::size_t at) { return static_cast<std::uint16_t>(body[at] << 8 | body[at + 1]); }

std::string name_at(ByteSpan body, std::size_t at) {
  std::string out;
  for (const std::uint8_t c : body.subspan(at, kNameBytes)) {
    if (c == 0) break;
    out += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '.';
  }
  return out;
}

Bytes& pad(Bytes& out, std::string_view text, std::size_t size) {
  out.append(text);
  for (std::size_t i = text.size(); i < size; ++i) out.u8(0);
  return out;
}

}  // namespace

std::size_t length_of(std::uint16_t type) {
  constexpr std::array<std::uint8_t, 16> kLengths{0, 156, 156, 16, 16, 16, 20, 168, 32, 220, 24, 28, 16, 148, 40, 24};
  return type < kLengths.size() ? kLengths[type] : 0;
}

Result<Message> parse_message(ByteSpan stream) {
  constexpr Error kForeign{ErrorCode::kMalformed, ErrorSite::kWire, 0};
  WireReader reader(stream);
  SEKISHO_TRY(const std::uint16_t size, reader.u16());
  if (size < kHeaderBytes || size > kMessageBytesMax) return kForeign;
  SEKISHO_TRY(const std::uint16_t kind, reader.u16());
  SEKISHO_TRY(const std::uint32_t magic, reader.u32());
  if (kind != 1 || magic != kMagic) return kForeign;
  SEKISHO_TRY(const std::uint16_t type, reader.u16());
  if (length_of(type) != size) return kForeign;
  SEKISHO_TRY(const std::uint16_t reserved, reader.u16());
  static_cast<void>(reserved);
  SEKISHO_TRY(const ByteSpan body, reader.take(size - kHeaderBytes));
  return Message{static_cast<Type>(type), body, size};
}

bool Control::receive(ByteSpan bytes, Time now) {
  rest_.insert(rest_.end(), bytes.begin(), bytes.end());
  std::size_t done = 0;
  while (true) {
    const auto message = parse_message(ByteSpan(rest_).subspan(done));
    if (!message) {
      rest_.erase(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(done));
      return message.error().code == ErrorCode::kTruncated;
    }
    if (!take(*message, now)) return false;
    done += message->size;
    if (state_ != State::kIdle) {
      waits_for_echo_ = false;
      deadline_ = now + kEchoAfter;
    }
  }
}

bool Control::take(const Message& message, Time now) {
  const ByteSpan body = message.body;
  if (message.type == Type::kStartRequest) return state_ == State::kIdle && take_start(body);
  if (state_ == State::kIdle) return false;
  switch (message.type) {
    case Type::kOutgoingRequest: return take_outgoing(body, now);
    case Type::kClearRequest: return take_clear(body, now);
    case Type::kEchoRequest:
      owner_.write(begin(Type::kEchoReply, 20).append(body.first(4)).u8(kGood).u8(0).u16(0).span());
      return true;
    case Type::kStopRequest:
      owner_.write(begin(Type::kStopReply, 16).u8(kGood).u8(0).u16(0).span());
      return false;
    case Type::kEchoReply:
    case Type::kSetLink:   // nothing is escaped here: a map says nothing
    case Type::kWanError: return true;
    case Type::kStartRequest:
    case Type::kStartReply:
    case Type::kStopReply:
    case Type::kOutgoingReply:
    case Type::kIncomingRequest:
    case Type::kIncomingReply:
    case Type::kIncomingConnected:
    case Type::kDisconnectNotify: return false;  // ours to say, or of calls that nobody places here
  }
  return false;
}

bool Control::take_start(ByteSpan body) {
  const bool good = u16_at(body, 0) == kVersion;
  host_ = name_at(body, 16);
  vendor_ = name_at(body, 16 + kNameBytes);
  Bytes reply = begin(Type::kStartReply, 156);
  reply.u16(kVersion).u8(good ? kGood : kBadVersion).u8(0).u32(1).u32(1).u16(1).u16(1);
  pad(reply, "gateway", kNameBytes);
  pad(reply, "", kNameBytes);
  owner_.write(reply.span());
  if (good) state_ = State::kStarted;
  return good;
}

bool Control::take_outgoing(ByteSpan body, Time now) {
  const std::uint16_t peer_call = u16_at(body, 0);
  const bool free = state_ == State::kStarted;
  owner_.write(begin(Type::kOutgoingReply, 32)
                   .u16(free ? call_ : 0).u16(peer_call).u8(free ? kGood : kBusy).u8(0).u16(0)
                   .u32(100000000).u16(kWindow).u16(0).u32(0).span());
  if (!free) return true;
  state_ = State::kCalling;
  peer_call_ = peer_call;
  owner_.call_up(peer_call, u16_at(body, 20), now);
  return true;
}

bool Control::take_clear(ByteSpan body, Time now) {
  if (state_ != State::kCalling || u16_at(body, 0) != peer_call_) return true;  // of a call that is over
  Bytes notify = begin(Type::kDisconnectNotify, 148);
  notify.u16(call_).u8(kRequested).u8(0).u16(0).u16(0);
  owner_.write(pad(notify, "", 128).span());
  end_call("the peer ended it", now);
  return true;
}

void Control::clear_call(Time now) {
  if (state_ != State::kCalling) return;
  Bytes notify = begin(Type::kDisconnectNotify, 148);
  notify.u16(call_).u8(kShutdown).u8(0).u16(0).u16(0);
  owner_.write(pad(notify, "", 128).span());
  end_call("ended here", now);
}

void Control::end_call(std::string_view why, Time now) {
  if (state_ != State::kCalling) return;
  state_ = State::kStarted;
  owner_.call_down(why, now);
}

bool Control::tick(Time now) {
  if (now < deadline_) return true;
  if (state_ == State::kIdle || waits_for_echo_) return false;
  waits_for_echo_ = true;
  deadline_ = now + kEchoMax;
  owner_.write(begin(Type::kEchoRequest, 16).u32(++echo_).span());
  return true;
}

}  // namespace sekisho::vpn::pptp
