// SPDX-License-Identifier: Apache-2.0
#include "vpn/l2tp/message.h"

#include <openssl/evp.h>

#include <algorithm>

#include "base/assert.h"
#include "base/net/endian.h"

namespace sekisho::vpn::l2tp {
namespace {

constexpr std::uint16_t kControlBit = 0x8000, kLengthBit = 0x4000, kSequenceBit = 0x0800, kOffsetBit = 0x0200, kPriorityBit = 0x0100;
constexpr std::uint16_t kVersionMask = 0x000f, kVersion = 2;
constexpr std::uint16_t kMandatoryBit = 0x8000, kHiddenBit = 0x4000, kAvpLengthMask = 0x03ff;
constexpr std::uint16_t kHeaderFlags = kControlBit | kLengthBit | kSequenceBit | kVersion;
constexpr std::size_t kMd5Bytes = 16;
constexpr std::size_t kTextMax = 255;

using Digest = std::array<std::uint8_t, kMd5Bytes>;

Error malformed(std::size_t at) { return {ErrorCode::kMalformed, ErrorSite::kWire, static_cast<std::uint32_t>(at)}; }

Digest md5(std::initializer_list<ByteSpan> parts) {
  Digest out{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool good = context != nullptr && EVP_DigestInit_ex(context, EVP_md5(), nullptr) == 1;
  for (const ByteSpan part : parts) good = good && EVP_DigestUpdate(context, part.data(), part.size()) == 1;
  good = good && EVP_DigestFinal_ex(context, out.data(), nullptr) == 1;
  EVP_MD_CTX_free(context);
  SEKISHO_ASSERT(good);
  return out;
}

ByteSpan span_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

/// What a peer wrote, for logs: printable ASCII, not too long.
std::string printable(ByteSpan text) {
  std::string out;
  for (const std::uint8_t byte : text.first(std::min(text.size(), kTextMax)))
    out += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '?';
  return out;
}

/// Least and most bytes of a value, by type (RFC 2661 4.4). Least above most: there is no such AVP.
struct Bounds {
  std::uint16_t least, most;
};
constexpr std::uint16_t kMost = kAvpLengthMask - kAvpBytes;
constexpr Bounds kNone{1, 0}, kAny{0, kMost}, kSome{1, kMost}, kTwo{2, 2}, kFour{4, 4};
constexpr std::array<Bounds, 40> kBounds{{
    kTwo, {2, kMost}, kTwo, kFour, kFour, {8, 8}, kTwo, kSome, kAny, kTwo,              // 0: type, result, version ... assigned tunnel
    kTwo, kSome, {3, kMost}, {16, 16}, kTwo, kFour, kFour, kFour, kFour, kFour,         // 10: window, challenge ... framing type
    kNone, kAny, kAny, kAny, kFour, kFour, kAny, kAny, kAny, kTwo,                      // 20: numbers, speed, channel, proxy LCP
    kAny, kAny, kTwo, kAny, {26, 26}, {10, 10}, kSome, kAny, kFour, {0, 0},             // 30: proxy authentication ... sequencing
}};
std::optional<Bounds> bounds_of(std::uint16_t type) {
  if (type >= kBounds.size() || kBounds[type].least > kBounds[type].most) return std::nullopt;
  return kBounds[type];
}

/// Keeps the value of a known AVP, whose length is right.
void take(ControlMessage& out, AvpType type, ByteSpan value) {
  switch (type) {
    case AvpType::kProtocolVersion: out.protocol_version = load_be<std::uint16_t>(value, 0); break;
    case AvpType::kAssignedTunnel: out.assigned_tunnel = load_be<std::uint16_t>(value, 0); break;
    case AvpType::kAssignedSession: out.assigned_session = load_be<std::uint16_t>(value, 0); break;
    case AvpType::kReceiveWindow: out.receive_window = load_be<std::uint16_t>(value, 0); break;
    case AvpType::kCallSerial: out.call_serial = load_be<std::uint32_t>(value, 0); break;
    case AvpType::kTieBreaker: std::copy(value.begin(), value.end(), out.tie_breaker.emplace().begin()); break;
    case AvpType::kChallengeResponse: std::copy(value.begin(), value.end(), out.challenge_response.emplace().begin()); break;
    case AvpType::kChallenge: out.challenge.assign(value.begin(), value.end()); break;
    case AvpType::kHostName: out.host_name = printable(value); break;
    case AvpType::kVendorName: out.vendor_name = printable(value); break;
    case AvpType::kSequencingRequired: out.sequencing_required = true; break;
    case AvpType::kResultCode: {
      ResultCode& code = out.result.emplace();
      code.result = load_be<std::uint16_t>(value, 0);
      if (value.size() >= 4) {
        code.error = load_be<std::uint16_t>(value, 2);
        code.text = printable(value.subspan(4));
      }
      break;
    }
    case AvpType::kMessageType:
    case AvpType::kFramingCapabilities:
    case AvpType::kFramingType:
    case AvpType::kTxSpeed:
    case AvpType::kRandomVector: break;
  }
}

/// The header of one AVP and what is behind it.
struct RawAvp {
  bool mandatory, hidden;
  std::uint16_t vendor, type;
  ByteSpan value;
};
Result<RawAvp> read_avp(WireReader& reader) {
  const std::size_t at = reader.offset();
  SEKISHO_TRY(const std::uint16_t flags, reader.u16());
  SEKISHO_TRY(const std::uint16_t vendor, reader.u16());
  SEKISHO_TRY(const std::uint16_t type, reader.u16());
  const std::size_t length = flags & kAvpLengthMask;
  if (length < kAvpBytes) return malformed(at);
  SEKISHO_TRY(const ByteSpan value, reader.take(length - kAvpBytes));
  return RawAvp{(flags & kMandatoryBit) != 0, (flags & kHiddenBit) != 0, vendor, type, value};
}

/// Judges one AVP behind the first.
void judge(ControlMessage& out, const RawAvp& avp, std::string_view secret, ByteSpan& vector) {
  const auto offend = [&] {
    if (avp.mandatory && !out.offence) out.offence = avp.type;
  };
  const auto bounds = avp.vendor == 0 ? bounds_of(avp.type) : std::nullopt;
  if (!bounds) return offend();
  std::vector<std::uint8_t> opened;
  ByteSpan value = avp.value;
  if (avp.hidden) {
    auto plain = secret.empty() || vector.empty() ? Result<std::vector<std::uint8_t>>(malformed(0))
                                                  : unhide(avp.type, value, secret, vector);
    if (!plain) return offend();
    opened = std::move(*plain);
    value = opened;
  }
  if (value.size() < bounds->least || value.size() > bounds->most) return offend();
  const auto type = static_cast<AvpType>(avp.type);
  if (type == AvpType::kRandomVector) {
    if (!avp.hidden) vector = avp.value;
    return;
  }
  take(out, type, value);
}

}  // namespace

std::string name_of(MessageType type) {
  switch (type) {
    case MessageType::kSccrq: return "SCCRQ";
    case MessageType::kSccrp: return "SCCRP";
    case MessageType::kScccn: return "SCCCN";
    case MessageType::kStopCcn: return "StopCCN";
    case MessageType::kHello: return "HELLO";
    case MessageType::kOcrq: return "OCRQ";
    case MessageType::kOcrp: return "OCRP";
    case MessageType::kOccn: return "OCCN";
    case MessageType::kIcrq: return "ICRQ";
    case MessageType::kIcrp: return "ICRP";
    case MessageType::kIccn: return "ICCN";
    case MessageType::kCdn: return "CDN";
    case MessageType::kWen: return "WEN";
    case MessageType::kSli: return "SLI";
  }
  return "message " + std::to_string(static_cast<unsigned>(type));
}

std::string describe(MessageType of, const ResultCode& code) {
  static constexpr std::string_view kStop[] = {"reserved", "general request to clear the control connection", "general error",
                                               "the control channel already exists", "not authorized to establish a control channel",
                                               "the protocol version is not supported", "the requester is being shut down",
                                               "finite state machine error"};
  static constexpr std::string_view kCdn[] = {"reserved", "loss of carrier", "general error", "administrative reasons",
                                              "no facilities at the moment", "no facilities", "invalid destination", "no carrier",
                                              "busy", "no dial tone", "not established in the time allotted",
                                              "no framing was detected"};
  static constexpr std::string_view kError[] = {"no general error", "no control connection exists yet", "a length is wrong",
                                                "a field is out of range or a reserved field is not zero", "insufficient resources",
                                                "the session id is invalid", "a vendor-specific error", "try another",
                                                "an unknown mandatory AVP"};
  const std::span<const std::string_view> words = of == MessageType::kCdn ? std::span<const std::string_view>(kCdn) : kStop;
  std::string out = code.result < words.size() ? std::string(words[code.result]) : "result " + std::to_string(code.result);
  if (code.error != 0) {
    out += ": ";
    out += code.error < std::size(kError) ? std::string(kError[code.error]) : "error " + std::to_string(code.error);
  }
  if (!code.text.empty()) out += " (" + code.text + ")";
  return out;
}

Result<ControlMessage> parse_control(ByteSpan datagram, std::string_view secret) {
  if (datagram.size() > kDatagramMax) return malformed(datagram.size());
  WireReader reader(datagram);
  ControlMessage out;
  SEKISHO_TRY(const std::uint16_t flags, reader.u16());
  constexpr std::uint16_t kTold = kControlBit | kLengthBit | kSequenceBit | kOffsetBit | kPriorityBit | kVersionMask;
  if ((flags & kTold) != kHeaderFlags) return malformed(0);  // reserved bits are ignored
  SEKISHO_TRY(const std::uint16_t length, reader.u16());
  if (length < kControlBytes || length > datagram.size()) return malformed(2);
  reader = WireReader(datagram.first(length));
  SEKISHO_TRY(const ByteSpan before, reader.take(4));
  static_cast<void>(before);
  SEKISHO_TRY(out.header.tunnel, reader.u16());
  SEKISHO_TRY(out.header.session, reader.u16());
  SEKISHO_TRY(out.header.ns, reader.u16());
  SEKISHO_TRY(out.header.nr, reader.u16());
  if (reader.remaining() == 0) return out;
  SEKISHO_TRY(const RawAvp first, read_avp(reader));
  if (first.vendor != 0 || first.type != 0 || first.hidden || first.value.size() != 2) return malformed(kControlBytes);
  out.type = static_cast<MessageType>(load_be<std::uint16_t>(first.value, 0));
  out.type_mandatory = first.mandatory;
  ByteSpan vector;
  while (reader.remaining() > 0) {
    SEKISHO_TRY(const RawAvp avp, read_avp(reader));
    judge(out, avp, secret, vector);
  }
  return out;
}

Result<DataMessage> parse_data(ByteSpan datagram) {
  WireReader reader(datagram);
  DataMessage out;
  SEKISHO_TRY(const std::uint16_t flags, reader.u16());
  if ((flags & kControlBit) != 0 || (flags & kVersionMask) != kVersion) return malformed(0);
  if ((flags & kLengthBit) != 0) {
    SEKISHO_TRY(const std::uint16_t length, reader.u16());
    if (length < 4 || length > datagram.size()) return malformed(2);
    reader = WireReader(datagram.first(length).subspan(4));
  }
  SEKISHO_TRY(out.tunnel, reader.u16());
  SEKISHO_TRY(out.session, reader.u16());
  if ((flags & kSequenceBit) != 0) {
    SEKISHO_TRY(const ByteSpan sequence, reader.take(4));
    static_cast<void>(sequence);
  }
  if ((flags & kOffsetBit) != 0) {
    SEKISHO_TRY(const std::uint16_t offset, reader.u16());
    SEKISHO_TRY(const ByteSpan padding, reader.take(offset));
    static_cast<void>(padding);
  }
  if (reader.remaining() == 0) return malformed(reader.offset());
  SEKISHO_TRY(out.frame, reader.take(reader.remaining()));
  return out;
}

std::vector<std::uint8_t> write_data(std::uint16_t tunnel, std::uint16_t session, ByteSpan frame) {
  std::vector<std::uint8_t> out(6);
  store_be<std::uint16_t>(out, 0, kVersion);
  store_be<std::uint16_t>(out, 2, tunnel);
  store_be<std::uint16_t>(out, 4, session);
  out.insert(out.end(), frame.begin(), frame.end());
  return out;
}

ControlWriter::ControlWriter(MessageType type, std::uint16_t tunnel, std::uint16_t session) : out_(kControlBytes) {
  store_be<std::uint16_t>(out_, 0, kHeaderFlags);
  store_be<std::uint16_t>(out_, 4, tunnel);
  store_be<std::uint16_t>(out_, 6, session);
  u16(AvpType::kMessageType, static_cast<std::uint16_t>(type));
}

void ControlWriter::avp(AvpType type, ByteSpan value, bool mandatory, bool hide) {
  const std::size_t length = kAvpBytes + value.size();
  SEKISHO_ASSERT(length <= kAvpLengthMask);
  std::array<std::uint8_t, kAvpBytes> head{};
  const auto flags = static_cast<std::uint16_t>((mandatory ? kMandatoryBit : 0U) | (hide ? kHiddenBit : 0U) | length);
  store_be<std::uint16_t>(head, 0, flags);
  store_be<std::uint16_t>(head, 4, static_cast<std::uint16_t>(type));
  out_.insert(out_.end(), head.begin(), head.end());
  out_.insert(out_.end(), value.begin(), value.end());
}

ControlWriter& ControlWriter::u16(AvpType type, std::uint16_t value, bool mandatory) {
  std::array<std::uint8_t, 2> bytes{};
  store_be<std::uint16_t>(bytes, 0, value);
  avp(type, bytes, mandatory, false);
  return *this;
}

ControlWriter& ControlWriter::u32(AvpType type, std::uint32_t value, bool mandatory) {
  std::array<std::uint8_t, 4> bytes{};
  store_be<std::uint32_t>(bytes, 0, value);
  avp(type, bytes, mandatory, false);
  return *this;
}

ControlWriter& ControlWriter::bytes(AvpType type, ByteSpan value, bool mandatory) {
  avp(type, value, mandatory, false);
  return *this;
}

ControlWriter& ControlWriter::text(AvpType type, std::string_view value, bool mandatory) {
  avp(type, span_of(value.substr(0, kTextMax)), mandatory, false);
  return *this;
}

ControlWriter& ControlWriter::hidden(AvpType type, ByteSpan value, std::string_view secret, ByteSpan vector) {
  avp(AvpType::kRandomVector, vector, true, false);
  avp(type, hide(static_cast<std::uint16_t>(type), value, secret, vector), true, true);
  return *this;
}

ControlWriter& ControlWriter::result(const ResultCode& code) {
  std::vector<std::uint8_t> value(4);
  store_be<std::uint16_t>(value, 0, code.result);
  store_be<std::uint16_t>(value, 2, code.error);
  const ByteSpan words = span_of(std::string_view(code.text).substr(0, kTextMax));
  value.insert(value.end(), words.begin(), words.end());
  avp(AvpType::kResultCode, value, true, false);
  return *this;
}

std::vector<std::uint8_t> ControlWriter::take() {
  store_be<std::uint16_t>(out_, 2, static_cast<std::uint16_t>(out_.size()));
  return std::move(out_);
}

std::vector<std::uint8_t> write_zlb(const ControlHeader& header) {
  std::vector<std::uint8_t> out(kControlBytes);
  store_be<std::uint16_t>(out, 0, kHeaderFlags);
  store_be<std::uint16_t>(out, 2, kControlBytes);
  store_be<std::uint16_t>(out, 4, header.tunnel);
  store_be<std::uint16_t>(out, 6, header.session);
  stamp(out, header.ns, header.nr);
  return out;
}

void stamp(std::vector<std::uint8_t>& message, std::uint16_t ns, std::uint16_t nr) {
  SEKISHO_ASSERT(message.size() >= kControlBytes);
  store_be<std::uint16_t>(message, 8, ns);
  store_be<std::uint16_t>(message, 10, nr);
}

std::vector<std::uint8_t> hide(std::uint16_t type, ByteSpan value, std::string_view secret, ByteSpan vector, std::size_t padding) {
  std::vector<std::uint8_t> out(2 + value.size() + padding);
  store_be<std::uint16_t>(out, 0, static_cast<std::uint16_t>(value.size()));
  std::copy(value.begin(), value.end(), out.begin() + 2);
  std::array<std::uint8_t, 2> number{};
  store_be<std::uint16_t>(number, 0, type);
  Digest mask = md5({number, span_of(secret), vector});
  for (std::size_t at = 0; at < out.size(); at += kMd5Bytes) {
    const std::size_t count = std::min(kMd5Bytes, out.size() - at);
    for (std::size_t i = 0; i < count; ++i) out[at + i] ^= mask[i];
    mask = md5({span_of(secret), ByteSpan(out).subspan(at, count)});
  }
  return out;
}

Result<std::vector<std::uint8_t>> unhide(std::uint16_t type, ByteSpan hidden, std::string_view secret, ByteSpan vector) {
  if (hidden.size() < 2) return malformed(0);
  std::vector<std::uint8_t> out(hidden.begin(), hidden.end());
  std::array<std::uint8_t, 2> number{};
  store_be<std::uint16_t>(number, 0, type);
  Digest mask = md5({number, span_of(secret), vector});
  for (std::size_t at = 0; at < out.size(); at += kMd5Bytes) {
    const std::size_t count = std::min(kMd5Bytes, out.size() - at);
    for (std::size_t i = 0; i < count; ++i) out[at + i] ^= mask[i];
    mask = md5({span_of(secret), hidden.subspan(at, count)});
  }
  const std::size_t length = load_be<std::uint16_t>(out, 0);
  if (length > out.size() - 2) return malformed(length);  // the length is what the cipher made of it: bounded by what came
  out.resize(2 + length);
  out.erase(out.begin(), out.begin() + 2);
  return out;
}

std::array<std::uint8_t, 16> respond(MessageType answer, std::string_view secret, ByteSpan challenge) {
  const std::array<std::uint8_t, 1> number{static_cast<std::uint8_t>(answer)};
  return md5({number, span_of(secret), challenge});
}

}  // namespace sekisho::vpn::l2tp
