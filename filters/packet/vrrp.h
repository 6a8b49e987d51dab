// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "filters/packet/fields.h"

namespace sekisho::filters {

/// A VRRP advertisement, version 2 (RFC 3768, IPv4) or 3 (RFC 5798, both families).
struct VrrpAdvertisement {
  std::uint8_t vrid = 0;      ///< never 0
  std::uint8_t priority = 0;  ///< 0: the sender gives its addresses up
  Family family = Family::kNone;
  ByteSpan addresses;         ///< as they lie in the message, `count` of `family`; borrowed from the frame
  std::uint8_t count = 0;
};

/// Parses the advertisement in a packet of protocol 112. Nothing when the packet is no whole one to the VRRP group with hop
/// limit 255, the message is of another version or type, too short for its addresses, or its checksum is wrong (for IPv4
/// version 3 with or without the pseudo header: both are spoken). Thread: any; pure.
[[nodiscard]] std::optional<VrrpAdvertisement> parse_vrrp(ByteSpan frame, const PacketMeta& meta) noexcept;

/// Address `index` < count.
[[nodiscard]] Address vrrp_address(const VrrpAdvertisement& message, std::size_t index) noexcept;

}  // namespace sekisho::filters
