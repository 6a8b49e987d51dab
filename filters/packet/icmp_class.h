// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "filters/drop_reason.h"

/// ICMP by type: what never passes, whatever the rules say. Allow-lists, so that a type given tomorrow does not pass
/// unseen. Thread: any; pure.
namespace sekisho::filters {

/// kIcmpRedirect; kIcmpDeprecated: types that were withdrawn (RFC 6633 source quench, RFC 6918) or that a firewall
/// keeps inside (RFC 4890 4.3.4: renumbering and node information); kIcmpUnknown: unassigned, reserved and
/// experimental ones; else kNone. IPv6 redirects are neighbour discovery and named where that ends.
[[nodiscard]] constexpr DropReason refused_icmp_type(bool ipv6, std::uint8_t type) {
  if (!ipv6) {
    switch (type) {
      case 0: case 3: case 8: case 9: case 10: case 11: case 12: case 13: case 14: case 40: case 42: case 43:
        return DropReason::kNone;
      case 5: return DropReason::kIcmpRedirect;
      case 4: case 6: case 15: case 16: case 17: case 18: case 30: case 31: case 32: case 33: case 34: case 35:
      case 36: case 37: case 38: case 39: return DropReason::kIcmpDeprecated;
      default: return DropReason::kIcmpUnknown;
    }
  }
  if (type >= 1 && type <= 4) return DropReason::kNone;        // errors (RFC 4443)
  if (type >= 128 && type <= 137) return DropReason::kNone;    // echo, MLD, ND
  if (type >= 138 && type <= 140) return DropReason::kIcmpDeprecated;
  const bool known = (type >= 141 && type <= 149) || (type >= 151 && type <= 155) || (type >= 157 && type <= 161);
  return known ? DropReason::kNone : DropReason::kIcmpUnknown;
}

/// True for messages between neighbours: router discovery, MLD, ND, SEND, multicast router discovery (RFC 4890 4.3.3 and
/// RFC 1256). They end at the gateway and are never forwarded.
[[nodiscard]] constexpr bool is_link_only_icmp(bool ipv6, std::uint8_t type) {
  if (!ipv6) return type == 9 || type == 10;
  return (type >= 130 && type <= 137) || type == 141 || type == 142 || type == 143 || type == 148 || type == 149 ||
         (type >= 151 && type <= 153);
}

}  // namespace sekisho::filters
