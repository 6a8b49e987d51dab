// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/wire/reader.h"
#include "filters/drop_reason.h"

/// Options of IP headers, by allow-list: what is not named here does not pass. Called by decode() alone, off the plain
/// path. Thread: any; pure.
namespace sekisho::filters {

/// The options of an IPv4 header (RFC 791 3.1), which end the header; `protocol` is its protocol field.
/// Allowed: end, no operation, and router alert (RFC 2113) with IGMP, which goes no farther than this link. Source
/// routes, record route, timestamp, security labels and all else do not pass a border (RFC 7126).
[[nodiscard]] DropReason check_ipv4_options(ByteSpan options, std::uint8_t protocol) noexcept;

/// The options of an IPv6 hop-by-hop or destination options header (RFC 8200 4.2), behind its two fixed bytes.
/// Allowed: Pad1, PadN, router alert (RFC 2711) in hop-by-hop, and tunnel encapsulation limit (RFC 2473) in destination
/// options. A jumbo payload (RFC 2675) and a home address (RFC 6275), which is a second source, have no place here.
/// Padding says nothing and is no longer than alignment needs (RFC 4942 2.1.9.5). `router_alert` is set when there is one.
[[nodiscard]] DropReason check_ipv6_options(ByteSpan options, bool hop_by_hop, bool& router_alert) noexcept;

}  // namespace sekisho::filters
