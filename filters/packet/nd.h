// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "filters/packet/fields.h"

namespace sekisho::filters {

/// ICMPv6 types of Neighbour Discovery (RFC 4861 section 4).
inline constexpr std::uint8_t kNdRouterSolicitation = 133;
inline constexpr std::uint8_t kNdRouterAdvertisement = 134;
inline constexpr std::uint8_t kNdNeighbourSolicitation = 135;
inline constexpr std::uint8_t kNdNeighbourAdvertisement = 136;
inline constexpr std::uint8_t kNdRedirect = 137;

[[nodiscard]] inline bool is_nd_type(std::uint8_t type) { return type >= kNdRouterSolicitation && type <= kNdRedirect; }

/// True when the packet is an ICMPv6 Neighbour Discovery message, whole.
[[nodiscard]] inline bool is_nd(const PacketMeta& meta) {
  return meta.protocol == kProtocolIcmpv6 && (meta.proof & (kProofIpv6 | kProofL4)) == (kProofIpv6 | kProofL4) &&
         is_nd_type(meta.icmp_type);
}

/// A Neighbour Discovery message with the options that name link-layer addresses.
struct NdMessage {
  std::uint8_t type = 0;
  bool router = false;  ///< NA flags
  bool solicited = false;
  bool override = false;
  Address target;                ///< NS, NA, redirect; else family kNone
  Address redirect_destination;  ///< redirect; else family kNone
  std::optional<Mac> source_link_layer;
  std::optional<Mac> target_link_layer;
};

/// Parses a message for which is_nd() holds.
///
/// Nothing when it is too short for its type, an option has length 0 or reaches beyond the message, a link-layer option
/// is not of Ethernet's length or stands there twice (two readers could then see two different senders), or a target is
/// multicast. Hop limit, code and addresses are the caller's to judge. RFC 4861 sections 4 and 6.1. Thread: any; pure.
[[nodiscard]] std::optional<NdMessage> parse_nd(ByteSpan frame, const PacketMeta& meta) noexcept;

/// The link-local multicast group of everyone whose address ends like this one: ff02::1:ffXX:XXXX (RFC 4291 2.7.1).
[[nodiscard]] Address solicited_node(const Address& address) noexcept;
/// The Ethernet group of an IPv6 multicast address (RFC 2464) or an IPv4 one (RFC 1112).
[[nodiscard]] Mac multicast_mac(const Address& group) noexcept;

}  // namespace sekisho::filters
