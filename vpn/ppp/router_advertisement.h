// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/net/address.h"
#include "base/wire/reader.h"

/// Router advertisements on a PPP link (RFC 4861 4.2, RFC 8106 5.1): IPV6CP gives an interface identifier and nothing else, so this
/// is how a peer learns its prefix, its router and its name servers.
namespace sekisho::vpn::ppp {

struct Advertised {
  Address address;                 ///< the peer's; its first 64 bits are the prefix
  std::uint64_t own_interface = 0; ///< of the link-local address it comes from
  std::uint16_t mtu = 0;
  std::span<const Address> dns;    ///< IPv4 ones are passed over
};

/// A whole IPv6 packet to all nodes of the link.
std::vector<std::uint8_t> router_advertisement(const Advertised& facts);

/// Is this packet of the peer's a router solicitation? Extension headers are not looked behind: no host sends them with one.
bool is_router_solicitation(ByteSpan packet);

}  // namespace sekisho::vpn::ppp
