// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho::vpn {

/// What is read of an IKE datagram before libcharon gets it (RFC 7296 3.1).
struct IkeHeader {
  std::uint64_t receiver_spi;  ///< of the IKE_SA at the receiver, as bytes on the wire; 0 in a first request
  std::uint64_t sender_spi;    ///< likewise at the sender
  std::uint8_t major_version;
  std::uint32_t number;        ///< the Message ID
  bool is_response;            ///< of version 2
  std::uint8_t exchange = 0;
  bool encrypted = false;      ///< of version 1: what follows the header
  std::uint8_t first_payload = 0;
};

/// Reads a UDP payload as it came: on any port but 500 it begins with the four zero octets of RFC 3948 2.2.
/// kTruncated: too short. kMalformed: ESP or a keepalive, or a length that the datagram does not have.
Result<IkeHeader> parse_ike_header(ByteSpan payload, bool has_marker);

}  // namespace sekisho::vpn
