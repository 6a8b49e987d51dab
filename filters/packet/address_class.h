// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/net/address.h"
#include "filters/drop_reason.h"

/// Which addresses may be a source or a destination at all (RFC 1122 3.2.1.3, RFC 1812 5.3.7, RFC 4291, RFC 6890).
/// Thread: any; pure. What depends on routes (broadcasts of networks, own addresses, reverse path) is the path's.
namespace sekisho::filters {

enum class AddressClass : std::uint8_t {
  kUnicast = 0,
  kUnspecified,   ///< 0.0.0.0/8 ("this network"), ::
  kLoopback,      ///< 127.0.0.0/8, ::1
  kMulticast,     ///< 224.0.0.0/4, ff00::/8
  kBroadcast,     ///< 255.255.255.255
  kReserved,      ///< the rest of 240.0.0.0/4; IPv6 outside 2000::/3, fc00::/7, fe80::/10 and ff00::/8
  kLinkLocal,     ///< 169.254.0.0/16, fe80::/10
  kEmbeddedIpv4,  ///< IPv6 that carries an IPv4 address it may not: see address_class()
};

/// kEmbeddedIpv4 are: mapped and compatible addresses (::ffff:0:0/96, ::/96: RFC 4942 2.2), which no wire carries; 6to4
/// and Teredo addresses (2002::/16, 2001::/32) made of an IPv4 address that is not public (RFC 3964 5.3.2, RFC 4380
/// 5.2.4); ISATAP interface identifiers (RFC 5214 6.1) made of one that is no host's.
[[nodiscard]] AddressClass address_class(const Address& address) noexcept;

/// kNone, or why a packet from `source` to `destination` (one family) passes under no rule. The source is named before
/// the destination; kLand before both.
[[nodiscard]] DropReason check_addresses(const Address& source, const Address& destination) noexcept;

/// True for unicast addresses that are somebody's, but nobody's on the Internet (RFC 6890 and its IANA registries):
/// private, shared, unique local, documentation, benchmarking, protocol assignments, 6to4 relays, 6bone. Classes above
/// are not repeated. docs/default-drops.md prints the list.
[[nodiscard]] bool is_bogon(const Address& address) noexcept;

}  // namespace sekisho::filters
