// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>

namespace sekisho {

inline constexpr std::uint16_t kDhcpServerPort = 67, kDhcpClientPort = 68;

/// Who we are toward a tunnel's client that asks by DHCP: the IPv4 dummy address (RFC 7600). It is nobody's, and stands in the
/// traffic selectors of clients that ask.
inline constexpr std::uint32_t kTunnelDhcpServerV4 = 0xc0000008;

}  // namespace sekisho
