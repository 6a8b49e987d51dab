// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/wire/reader.h"

/// The packets of SSTP ([MS-SSTP] 2.2) inside its TLS stream.
namespace sekisho::vpn::sstp {

inline constexpr std::size_t kHeaderBytes = 4;
/// The length field has twelve bits and counts the header.
inline constexpr std::size_t kPacketBytesMax = 4095;
inline constexpr std::size_t kFrameBytesMax = kPacketBytesMax - kHeaderBytes;
inline constexpr std::size_t kNonceBytes = 32;

/// One packet of the stream.
struct Packet {
  bool control = false;
  ByteSpan body;  ///< behind the header, borrowed: a PPP frame, or what read_control() takes
};

/// The first packet of a stream.
struct Framed {
  enum class State : std::uint8_t {
    kMore,  ///< not whole yet
    kBad,   ///< what follows has no meaning any more: the connection ends
    kPacket,
  };
  State state = State::kMore;
  Packet packet;
  std::size_t bytes = 0;  ///< of kPacket, header included: never less than kHeaderBytes
};
/// Looks at the head of `stream`. Never asks for more than kPacketBytesMax.
Framed next_packet(ByteSpan stream);

enum class MessageType : std::uint16_t {
  kConnectRequest = 1, kConnectAck, kConnectNak, kConnected, kAbort, kDisconnect, kDisconnectAck, kEchoRequest, kEchoResponse,
};

enum class Attribute : std::uint8_t { kNone = 0, kProtocol = 1, kStatus = 2, kBinding = 3, kBindingRequest = 4 };

/// Why somebody refuses or ends ([MS-SSTP] 2.2.7).
enum class Status : std::uint32_t {
  kNoError = 0, kDuplicateAttribute = 1, kUnrecognizedAttribute = 2, kInvalidLength = 3, kValueNotSupported = 4, kUnacceptedFrame = 5,
  kRetriesExceeded = 6, kInvalidFrame = 7, kNegotiationTimeout = 8, kAttributeNotHere = 9, kAttributeMissing = 10, kStatusNotSupported = 11,
};

/// What is wrong, as STATUS_INFO says it.
struct Fault {
  Attribute attribute = Attribute::kNone;
  Status status = Status::kNoError;
  bool operator==(const Fault&) const = default;
};

/// Bits of the hash mask.
enum class Hash : std::uint8_t { kSha1 = 1, kSha256 = 2 };

/// The value of CRYPTO_BINDING. SHA-1's values are followed by zeros.
struct Binding {
  std::uint8_t hash = 0;
  std::array<std::uint8_t, kNonceBytes> nonce{};
  std::array<std::uint8_t, 32> certificate_hash{};
  std::array<std::uint8_t, 32> mac{};
};

/// A control message whose attributes are those its type has, each once, each of its length. Unknown attributes are stepped over.
struct Control {
  MessageType type = MessageType::kEchoRequest;
  std::uint16_t protocol = 0;            ///< of kConnectRequest
  std::optional<Fault> status;           ///< of kAbort, kDisconnect, kConnectNak
  std::optional<Binding> binding;        ///< of kConnected
};
/// A message, or what is wrong with it. `body` is a control packet's.
struct ReadControl {
  std::optional<Control> message;
  Fault fault;
};
ReadControl read_control(ByteSpan body);

/// Whole packets, as they leave.
std::array<std::uint8_t, 48> connect_ack(std::span<const std::uint8_t, kNonceBytes> nonce, std::uint8_t hashes);
/// kConnectNak, kAbort or kDisconnect with its STATUS_INFO.
std::array<std::uint8_t, 20> status_message(MessageType type, Fault fault);
/// A message without attributes.
std::array<std::uint8_t, 8> plain_message(MessageType type);
/// The header of a data packet around `frame` bytes, at most kFrameBytesMax.
std::array<std::uint8_t, kHeaderBytes> data_header(std::size_t frame);

}  // namespace sekisho::vpn::sstp
