// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>

#include "base/net/address.h"
#include "base/net/endian.h"

/// The service network: where TCP (and PPTP's GRE) of many tenants' gateways ends in one kernel. Tenants may have the
/// same addresses, so each gateway address has a number (ServiceId) there, and the data plane translates one to one.
/// Its addresses are seen by nobody else.
namespace sekisho {

inline constexpr std::uint32_t kServiceIdMax = (1U << 17) - 4;
inline constexpr std::uint16_t kServicePort = 443, kPptpPort = 1723;
/// 198.18.0.0/15 (RFC 2544) and a prefix of our own (RFC 4193); every address of them is the host's, which reaches all
/// else by 169.254.0.1 and fe80::1, the data plane.
inline constexpr std::uint32_t kServiceNetworkV4 = 0xc6120000;
inline constexpr std::uint64_t kServiceNetworkV6 = 0xfd73'656b'6973'686f;
/// MACs of the link between the data plane and the service network's host, ours and the host's.
inline constexpr std::uint64_t kServiceMac = 0x02'73'65'6b'00'01, kServiceHostMac = 0x02'73'65'6b'00'02;

/// The address of `service` in its network, of the family of the gateway's address.
inline Address service_address(std::uint32_t service, Family family) {
  if (family == Family::kIpv4) return Address::from_v4(kServiceNetworkV4 + 1 + service);
  Address out;
  out.family = Family::kIpv6;
  store_be<std::uint64_t>(out.bytes, 0, kServiceNetworkV6);
  store_be<std::uint64_t>(out.bytes, 8, std::uint64_t{1} + service);
  return out;
}

/// The ServiceId an address of the service network stands for; 0: none.
inline std::uint32_t service_of(const Address& address) {
  std::uint64_t host = 0;
  if (address.family == Family::kIpv4) {
    const auto number = load_be<std::uint32_t>(address.bytes, 0);
    host = number < kServiceNetworkV4 ? 0 : number - kServiceNetworkV4;
  } else if (address.family == Family::kIpv6 && load_be<std::uint64_t>(address.bytes, 0) == kServiceNetworkV6) {
    host = load_be<std::uint64_t>(address.bytes, 8);
  }
  return host >= 2 && host - 1 <= kServiceIdMax ? static_cast<std::uint32_t>(host - 1) : 0;
}

}  // namespace sekisho
