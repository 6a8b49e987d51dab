// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/net/address.h"
#include "base/net/tunnel_dhcp.h"
#include "base/result.h"
#include "base/wire/reader.h"

/// DHCPINFORM from inside a tunnel (RFC 2131 3.4): Windows has its address by IKE and asks for the rest by DHCP: split routes, which
/// it takes from nowhere else, name servers and its domain.
namespace sekisho::vpn {

/// What is read of a request.
struct DhcpInform {
  std::uint32_t transaction = 0;
  std::uint8_t hardware_type = 0;
  std::uint8_t hardware_length = 0;
  std::uint16_t flags = 0;
  ByteSpan hardware;           ///< 16 bytes of the request
  bool classless = false;      ///< asks for option 121
  bool microsoft = false;      ///< asks for option 249
  std::size_t answer_max = 0;  ///< bytes the client takes
};

/// Reads a UDP payload. kTruncated: shorter than it says. kMalformed: no BOOTP request, or options outside their bounds.
/// kUnsupported: a DHCP message other than INFORM. `client`: who sent it, which must be whom it speaks of (else kMalformed).
Result<DhcpInform> parse_dhcp_inform(ByteSpan payload, const Address& client);

struct DhcpFacts {
  std::span<const Prefix> networks;  ///< IPv6 ones are passed over
  std::span<const Address> dns;
  std::string_view domain;
};

/// The DHCPACK. Of networks that do not fit what the client takes, none is told: half of them would look like all.
std::vector<std::uint8_t> answer_dhcp_inform(const DhcpInform& request, const Address& client, const DhcpFacts& facts);

}  // namespace sekisho::vpn
