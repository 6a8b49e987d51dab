// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/net/address.h"
#include "base/result.h"
#include "base/wire/reader.h"

/// RADIUS on the wire (RFC 2865, 2866, 2869, 3579, 5176; the keys of RFC 2548). What a server sends is foreign until its
/// authenticators are proven: an answer to an access request has both, or is nothing (RFC 3579 3.2, CVE-2024-3596).
namespace sekisho::vpn::radius {

inline constexpr std::size_t kHeaderBytes = 20;
inline constexpr std::size_t kMessageBytesMax = 4096;
inline constexpr std::size_t kValueBytesMax = 253;
inline constexpr std::size_t kAuthenticatorBytes = 16;

enum class Code : std::uint8_t {
  kAccessRequest = 1,
  kAccessAccept = 2,
  kAccessReject = 3,
  kAccountingRequest = 4,
  kAccountingResponse = 5,
  kAccessChallenge = 11,
  kDisconnectRequest = 40,
  kDisconnectAck = 41,
  kDisconnectNak = 42,
  kCoaRequest = 43,
  kCoaAck = 44,
  kCoaNak = 45,
};

enum class Type : std::uint8_t {
  kUserName = 1,
  kUserPassword = 2,
  kChapPassword = 3,
  kNasIpAddress = 4,
  kNasPort = 5,
  kServiceType = 6,
  kFramedIpAddress = 8,
  kFilterId = 11,
  kReplyMessage = 18,
  kState = 24,
  kClass = 25,
  kVendorSpecific = 26,
  kSessionTimeout = 27,
  kCalledStationId = 30,
  kCallingStationId = 31,
  kNasIdentifier = 32,
  kProxyState = 33,
  kAcctStatusType = 40,
  kAcctDelayTime = 41,
  kAcctInputOctets = 42,
  kAcctOutputOctets = 43,
  kAcctSessionId = 44,
  kAcctAuthentic = 45,
  kAcctSessionTime = 46,
  kAcctInputPackets = 47,
  kAcctOutputPackets = 48,
  kAcctTerminateCause = 49,
  kAcctInputGigawords = 52,
  kAcctOutputGigawords = 53,
  kEventTimestamp = 55,
  kChapChallenge = 60,
  kNasPortType = 61,
  kEapMessage = 79,
  kMessageAuthenticator = 80,
  kAcctInterimInterval = 85,
  kNasIpv6Address = 95,
  kErrorCause = 101,
  kFramedIpv6Address = 168,
};

using Authenticator = std::array<std::uint8_t, kAuthenticatorBytes>;

/// MSK out of the MS-MPPE keys, padded with zeros: 64 bytes. Wiped by whoever has it.
using MasterKey = std::array<std::uint8_t, 64>;

/// The MS-MPPE keys as a server names them: what the peer sends with, and what it receives with. Wiped by themselves.
struct MppeKeys {
  std::array<std::uint8_t, 32> receive{};  ///< zero behind `size`
  std::array<std::uint8_t, 32> send{};
  std::uint8_t size = 0;  ///< of each: 16 or 32
  MppeKeys() = default;
  MppeKeys(const MppeKeys&) = default;
  MppeKeys& operator=(const MppeKeys&) = default;
  ~MppeKeys();
};

/// The longest password RFC 2865 5.2 hides.
inline constexpr std::size_t kPasswordBytesMax = 128;

struct Attribute {
  Type type{};
  ByteSpan value;
};

/// A message whose form is sound; nothing says yet that it is genuine. Borrows the datagram.
struct Message {
  Code code{};
  std::uint8_t id = 0;
  Authenticator authenticator{};
  ByteSpan bytes;  ///< as long as the message says: what follows it is padding
  std::vector<Attribute> attributes;

  /// The first of a type.
  [[nodiscard]] std::optional<ByteSpan> find(Type type) const;
  /// A number of four bytes; nothing when it is absent or of another size.
  [[nodiscard]] std::optional<std::uint32_t> number(Type type) const;
  [[nodiscard]] std::optional<Address> address(Type type) const;
  [[nodiscard]] std::string text(Type type) const;
  /// All EAP-Message attributes joined.
  [[nodiscard]] std::vector<std::uint8_t> eap() const;
};

Result<Message> parse(ByteSpan datagram);

/// Response Authenticator, and Message-Authenticator: exactly one and right; `required` false: right if there is one.
bool answers(const Message& answer, const Authenticator& request, ByteSpan secret, bool required);
/// The authenticators of an accounting, disconnect or change request.
bool is_genuine_request(const Message& request, ByteSpan secret);
/// Both keys of RFC 2548 2.4.2 and 2.4.3 as an MSK: what the peer sends with, then what it receives with.
std::optional<MasterKey> master_key(const Message& accept, const Authenticator& request, ByteSpan secret);
/// The same two as they are; nothing: not both are there, or they are not of one length that is known.
std::optional<MppeKeys> mppe_keys(const Message& accept, const Authenticator& request, ByteSpan secret);
/// MS-CHAP2-Success (RFC 2548 2.3.3): "S=" and 40 hex digits that prove the server to the peer; empty: there is none.
std::string mschap2_success(const Message& accept);

/// Builds one message. What does not fit makes it unsound, and finish gives nothing.
class Writer {
 public:
  Writer(Code code, std::uint8_t id);
  void add(Type type, ByteSpan value);
  void add(Type type, std::string_view text);
  void add(Type type, std::uint32_t number);
  /// A password hidden in blocks (RFC 2865 5.2), by the Request Authenticator the message will have.
  void add_password(ByteSpan password, const Authenticator& request, ByteSpan secret);
  /// MS-CHAP-Challenge and MS-CHAP2-Response (RFC 2548 2.1.2, 2.3.2): challenges of 16 bytes, a response of 24.
  void add_mschap2(std::uint8_t identifier, ByteSpan challenge, ByteSpan peer_challenge, ByteSpan response);
  /// As many EAP-Message attributes as it takes.
  void add_eap(ByteSpan packet);
  /// Attributes that were taken out of another writer, unchecked.
  void add_raw(ByteSpan attributes);
  [[nodiscard]] ByteSpan attributes() const;

  /// With `random` as Request Authenticator, and a Message-Authenticator.
  std::vector<std::uint8_t> finish_access(const Authenticator& random, ByteSpan secret);
  /// Accounting, and what RFC 5176 asks: the authenticator is a hash over all.
  std::vector<std::uint8_t> finish_request(ByteSpan secret);
  /// An answer to the request with this authenticator, with a Message-Authenticator.
  std::vector<std::uint8_t> finish_answer(const Authenticator& request, ByteSpan secret);

 private:
  void sign(ByteSpan secret);
  bool close();

  std::vector<std::uint8_t> bytes_;
  std::size_t first_ = 0;  ///< where attributes other than Message-Authenticator begin
  bool sound_ = true;
};

}  // namespace sekisho::vpn::radius
