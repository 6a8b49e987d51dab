// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/wire/reader.h"

/// L2TP version 2 on the wire (RFC 2661 3 and 4): control messages and their AVPs read and written, data messages taken apart.
/// Everything read is foreign. No state, no I/O, any thread.
namespace sekisho::vpn::l2tp {

inline constexpr std::size_t kDatagramMax = 1500;   ///< no control message is longer; LACs send some hundred bytes
inline constexpr std::size_t kControlBytes = 12;    ///< header of a control message, and all of a ZLB
inline constexpr std::size_t kAvpBytes = 6;

enum class MessageType : std::uint16_t {
  kSccrq = 1, kSccrp = 2, kScccn = 3, kStopCcn = 4, kHello = 6,
  kOcrq = 7, kOcrp = 8, kOccn = 9, kIcrq = 10, kIcrp = 11, kIccn = 12, kCdn = 14, kWen = 15, kSli = 16,
};
/// "SCCRQ"; "message 77" for one there is not.
std::string name_of(MessageType type);

/// Those that somebody here reads or writes; the others are known by their numbers alone.
enum class AvpType : std::uint16_t {
  kMessageType = 0, kResultCode = 1, kProtocolVersion = 2, kFramingCapabilities = 3, kTieBreaker = 5, kHostName = 7, kVendorName = 8,
  kAssignedTunnel = 9, kReceiveWindow = 10, kChallenge = 11, kChallengeResponse = 13, kAssignedSession = 14, kCallSerial = 15,
  kFramingType = 19, kTxSpeed = 24, kRandomVector = 36, kSequencingRequired = 39,
};

struct ControlHeader {
  std::uint16_t tunnel = 0, session = 0, ns = 0, nr = 0;
};

/// Result Code AVP of StopCCN and CDN.
struct ResultCode {
  std::uint16_t result = 0;
  std::uint16_t error = 0;  ///< 0: none given
  std::string text;         ///< as sent, printable
};
/// In words (RFC 2661 4.4.2): "general request to clear the control connection", with the error and the peer's own words.
std::string describe(MessageType of, const ResultCode& code);

/// One control message, its values decoded. What is not in it has no value. Numbers that only tell (speeds, bearers, proxy data)
/// are proved for length and passed over.
struct ControlMessage {
  ControlHeader header;
  std::optional<MessageType> type;  ///< nothing: ZLB
  bool type_mandatory = false;

  std::optional<std::uint16_t> protocol_version;  ///< 0x0100
  std::optional<std::uint16_t> assigned_tunnel, assigned_session, receive_window;
  std::optional<std::uint32_t> call_serial;
  std::optional<std::array<std::uint8_t, 8>> tie_breaker;
  std::optional<std::array<std::uint8_t, 16>> challenge_response;
  std::optional<ResultCode> result;
  std::vector<std::uint8_t> challenge;  ///< empty: none
  std::string host_name, vendor_name;   ///< printable
  bool sequencing_required = false;

  /// A mandatory AVP that is unknown, malformed, or hidden while there is no secret (RFC 2661 4.1): what it belongs to has to end.
  std::optional<std::uint16_t> offence;
};

/// Whether a datagram is a control message, by its first bit.
[[nodiscard]] inline bool is_control(ByteSpan datagram) { return !datagram.empty() && (datagram[0] & 0x80U) != 0; }

/// Reads a control message. `secret`: for hidden AVPs, empty: there is none. kMalformed, kTruncated: it has to be discarded (header
/// bits, lengths, AVPs outside the message, a first AVP other than Message Type).
Result<ControlMessage> parse_control(ByteSpan datagram, std::string_view secret);

/// A data message of a session.
struct DataMessage {
  std::uint16_t tunnel = 0, session = 0;
  ByteSpan frame;  ///< PPP, borrowed; not empty
};
Result<DataMessage> parse_data(ByteSpan datagram);
/// Header of a data message without length and sequence, and `frame` behind it.
std::vector<std::uint8_t> write_data(std::uint16_t tunnel, std::uint16_t session, ByteSpan frame);

/// Builds a control message; the header's numbers are written by stamp() when it is sent.
class ControlWriter {
 public:
  ControlWriter(MessageType type, std::uint16_t tunnel, std::uint16_t session);
  ControlWriter& u16(AvpType type, std::uint16_t value, bool mandatory = true);
  ControlWriter& u32(AvpType type, std::uint32_t value, bool mandatory = true);
  ControlWriter& bytes(AvpType type, ByteSpan value, bool mandatory = true);
  ControlWriter& text(AvpType type, std::string_view value, bool mandatory = true);
  /// `value` hidden by `secret`, behind a Random Vector AVP of `vector`.
  ControlWriter& hidden(AvpType type, ByteSpan value, std::string_view secret, ByteSpan vector);
  ControlWriter& result(const ResultCode& code);
  std::vector<std::uint8_t> take();

 private:
  void avp(AvpType type, ByteSpan value, bool mandatory, bool hide);
  std::vector<std::uint8_t> out_;
};
/// A ZLB, which only acknowledges.
std::vector<std::uint8_t> write_zlb(const ControlHeader& header);
/// Writes Ns and Nr into a message that ControlWriter built.
void stamp(std::vector<std::uint8_t>& message, std::uint16_t ns, std::uint16_t nr);

/// RFC 2661 4.3: what hides `value` of an AVP of `type`, with `padding` bytes behind it.
std::vector<std::uint8_t> hide(std::uint16_t type, ByteSpan value, std::string_view secret, ByteSpan vector, std::size_t padding = 0);
/// And back. kMalformed when the length inside is not one: the secret or the sender is wrong.
Result<std::vector<std::uint8_t>> unhide(std::uint16_t type, ByteSpan hidden, std::string_view secret, ByteSpan vector);
/// Challenge Response AVP (RFC 2661 4.4.3): MD5 of the answer's message type, secret and challenge.
std::array<std::uint8_t, 16> respond(MessageType answer, std::string_view secret, ByteSpan challenge);

}  // namespace sekisho::vpn::l2tp
