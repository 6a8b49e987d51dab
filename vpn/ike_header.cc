// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike_header.h"

#include <cstring>

namespace sekisho::vpn {
namespace {

constexpr std::uint8_t kFromInitiator = 0x08;  // of a version 2 header: set by who began the IKE_SA
constexpr std::uint8_t kResponse = 0x20;
constexpr std::uint8_t kEncryptedV1 = 0x01;
constexpr std::uint8_t kMajorVersion2 = 2;

std::uint64_t as_on_the_wire(ByteSpan bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

}  // namespace

Result<IkeHeader> parse_ike_header(ByteSpan payload, bool has_marker) {
  WireReader reader(payload);
  const auto malformed = [&reader] {
    return Error{ErrorCode::kMalformed, ErrorSite::kWire, static_cast<std::uint32_t>(reader.offset())};
  };
  if (has_marker) {
    SEKISHO_TRY(const std::uint32_t marker, reader.u32());
    if (marker != 0) return malformed();
  }
  const std::size_t datagram = reader.remaining();
  SEKISHO_TRY(const ByteSpan initiator, reader.take(8));
  SEKISHO_TRY(const ByteSpan responder, reader.take(8));
  SEKISHO_TRY(const std::uint8_t next, reader.u8());
  SEKISHO_TRY(const std::uint8_t version, reader.u8());
  SEKISHO_TRY(const std::uint8_t exchange, reader.u8());
  SEKISHO_TRY(const std::uint8_t flags, reader.u8());
  SEKISHO_TRY(const std::uint32_t message, reader.u32());
  SEKISHO_TRY(const std::uint32_t length, reader.u32());
  if (length != datagram) return malformed();
  const std::uint8_t major = version >> 4;
  const bool ours_is_second = major != kMajorVersion2 || (flags & kFromInitiator) != 0;
  return IkeHeader{as_on_the_wire(ours_is_second ? responder : initiator), as_on_the_wire(ours_is_second ? initiator : responder), major,
                   message, (flags & kResponse) != 0, exchange, (flags & kEncryptedV1) != 0, next};
}

}  // namespace sekisho::vpn
