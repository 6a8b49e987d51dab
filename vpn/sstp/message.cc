// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/message.h"

#include <algorithm>

#include "base/assert.h"
#include "base/net/endian.h"

namespace sekisho::vpn::sstp {
namespace {

constexpr std::uint8_t kVersion = 0x10, kControlBit = 1;
constexpr std::uint16_t kLengthMask = 0x0fff;  // the bits above are reserved and may be anything
constexpr std::size_t kAttributeHeader = 4;
constexpr std::size_t kProtocolBytes = 2, kStatusBytes = 8, kBindingBytes = 100;

template <std::size_t N>
void put_header(std::array<std::uint8_t, N>& out, MessageType type, std::uint16_t attributes) {
  out[0] = kVersion;
  out[1] = kControlBit;
  store_be<std::uint16_t>(out, 2, N);
  store_be<std::uint16_t>(out, 4, static_cast<std::uint16_t>(type));
  store_be<std::uint16_t>(out, 6, attributes);
}

template <std::size_t N>
bool copy(WireReader& from, std::array<std::uint8_t, N>& to) {
  const auto bytes = from.take(N);
  if (bytes) std::copy(bytes->begin(), bytes->end(), to.begin());
  return bytes.has_value();
}

std::optional<Binding> read_binding(WireReader value) {
  Binding out;
  if (!value.take(3)) return std::nullopt;
  const auto hash = value.u8();
  const bool whole = hash && copy(value, out.nonce) && copy(value, out.certificate_hash) && copy(value, out.mac);
  if (!whole || !value.finished()) return std::nullopt;
  out.hash = *hash;
  return out;
}

/// What STATUS_INFO begins with; the attribute it quotes is for people.
std::optional<Fault> read_status(WireReader value) {
  if (!value.take(3)) return std::nullopt;
  const auto attribute = value.u8();
  const auto status = value.u32();
  if (!attribute || !status) return std::nullopt;
  return Fault{static_cast<Attribute>(*attribute), static_cast<Status>(*status)};
}

bool has_status(MessageType type) {
  return type == MessageType::kConnectNak || type == MessageType::kAbort || type == MessageType::kDisconnect;
}

/// Takes one attribute into `out`.
Status take(Control& out, Attribute id, ByteSpan value) {
  switch (id) {
    case Attribute::kProtocol:
      if (out.type != MessageType::kConnectRequest) return Status::kAttributeNotHere;
      if (out.protocol != 0) return Status::kDuplicateAttribute;
      if (value.size() != kProtocolBytes) return Status::kInvalidLength;
      out.protocol = load_be<std::uint16_t>(value, 0);
      return Status::kNoError;
    case Attribute::kStatus:
      if (!has_status(out.type)) return Status::kAttributeNotHere;
      if (out.type == MessageType::kConnectNak) return Status::kNoError;  // one for each attribute refused; we ask nothing
      if (out.status) return Status::kDuplicateAttribute;
      if (value.size() < kStatusBytes) return Status::kInvalidLength;
      out.status = read_status(WireReader(value));
      return Status::kNoError;
    case Attribute::kBinding:
      if (out.type != MessageType::kConnected) return Status::kAttributeNotHere;
      if (out.binding) return Status::kDuplicateAttribute;
      if (value.size() != kBindingBytes) return Status::kInvalidLength;
      out.binding = read_binding(WireReader(value));
      return Status::kNoError;
    case Attribute::kBindingRequest: return Status::kAttributeNotHere;  // the server's alone
    case Attribute::kNone: break;
  }
  return Status::kNoError;
}

}  // namespace

Framed next_packet(ByteSpan stream) {
  Framed out;
  if (stream.empty()) return out;
  if (stream[0] != kVersion || (stream.size() > 1 && (stream[1] & ~kControlBit) != 0)) return out.state = Framed::State::kBad, out;
  if (stream.size() < kHeaderBytes) return out;
  const std::size_t length = load_be<std::uint16_t>(stream, 2) & kLengthMask;
  if (length < kHeaderBytes) return out.state = Framed::State::kBad, out;
  if (stream.size() < length) return out;
  out.state = Framed::State::kPacket;
  out.packet = {(stream[1] & kControlBit) != 0, stream.subspan(kHeaderBytes, length - kHeaderBytes)};
  out.bytes = length;
  return out;
}

ReadControl read_control(ByteSpan body) {
  WireReader reader(body);
  const auto type = reader.u16();
  const auto count = reader.u16();
  if (!type || !count) return {std::nullopt, {Attribute::kNone, Status::kInvalidFrame}};
  if (*type < static_cast<std::uint16_t>(MessageType::kConnectRequest) || *type > static_cast<std::uint16_t>(MessageType::kEchoResponse)) {
    return {std::nullopt, {Attribute::kNone, Status::kUnacceptedFrame}};
  }
  Control out;
  out.type = static_cast<MessageType>(*type);
  for (std::uint16_t left = *count; left > 0; --left) {
    const auto reserved = reader.u8();
    const auto id = reader.u8();
    const auto word = reader.u16();
    const std::size_t length = word ? *word & kLengthMask : 0U;
    if (!reserved || !id || length < kAttributeHeader) return {std::nullopt, {Attribute::kNone, Status::kInvalidFrame}};
    const auto value = reader.take(length - kAttributeHeader);
    if (!value) return {std::nullopt, {Attribute::kNone, Status::kInvalidFrame}};
    const auto attribute = static_cast<Attribute>(*id);
    if (const Status status = take(out, attribute, *value); status != Status::kNoError) return {std::nullopt, {attribute, status}};
  }
  if (!reader.finished()) return {std::nullopt, {Attribute::kNone, Status::kInvalidFrame}};
  if (out.type == MessageType::kConnectRequest && out.protocol == 0) {
    return {std::nullopt, {Attribute::kProtocol, Status::kAttributeMissing}};
  }
  if (out.type == MessageType::kConnected && !out.binding) return {std::nullopt, {Attribute::kBinding, Status::kAttributeMissing}};
  return {out, {}};
}

std::array<std::uint8_t, 48> connect_ack(std::span<const std::uint8_t, kNonceBytes> nonce, std::uint8_t hashes) {
  std::array<std::uint8_t, 48> out{};
  put_header(out, MessageType::kConnectAck, 1);
  out[9] = static_cast<std::uint8_t>(Attribute::kBindingRequest);
  store_be<std::uint16_t>(out, 10, 40);
  out[15] = hashes;
  std::copy(nonce.begin(), nonce.end(), out.begin() + 16);
  return out;
}

std::array<std::uint8_t, 20> status_message(MessageType type, Fault fault) {
  std::array<std::uint8_t, 20> out{};
  put_header(out, type, 1);
  out[9] = static_cast<std::uint8_t>(Attribute::kStatus);
  store_be<std::uint16_t>(out, 10, 12);
  out[15] = static_cast<std::uint8_t>(fault.attribute);
  store_be<std::uint32_t>(out, 16, static_cast<std::uint32_t>(fault.status));
  return out;
}

std::array<std::uint8_t, 8> plain_message(MessageType type) {
  std::array<std::uint8_t, 8> out{};
  put_header(out, type, 0);
  return out;
}

std::array<std::uint8_t, kHeaderBytes> data_header(std::size_t frame) {
  SEKISHO_DCHECK(frame <= kFrameBytesMax);
  std::array<std::uint8_t, kHeaderBytes> out{kVersion, 0};
  store_be<std::uint16_t>(out, 2, static_cast<std::uint16_t>(kHeaderBytes + frame));
  return out;
}

}  // namespace sekisho::vpn::sstp
