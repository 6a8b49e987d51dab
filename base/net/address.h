// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sekisho {

enum class Family : std::uint8_t { kNone = 0, kIpv4 = 4, kIpv6 = 6 };

/// An IPv4 or IPv6 address. `bytes` are in network order; IPv4 uses the first four and leaves the rest zero.
/// Trivially copyable: it stands in snapshots and log records as it is.
struct Address {
  std::array<std::uint8_t, 16> bytes{};
  Family family = Family::kNone;

  auto operator<=>(const Address&) const = default;

  /// Bits of the family: 32, 128, or 0 for none.
  [[nodiscard]] unsigned bits() const { return family == Family::kIpv4 ? 32U : family == Family::kIpv6 ? 128U : 0U; }
  [[nodiscard]] std::span<const std::uint8_t> wire() const { return {bytes.data(), bits() / 8}; }
  /// IPv4 only: the address as a host-order number.
  [[nodiscard]] std::uint32_t v4() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_unspecified() const;
  /// 169.254/16 or fe80::/10.
  [[nodiscard]] bool is_link_local() const;
  [[nodiscard]] bool is_loopback() const;

  static Address from_v4(std::uint32_t host_order);
  /// `wire` is 4 or 16 bytes in network order; anything else is an error.
  static Result<Address> from_wire(std::span<const std::uint8_t> wire);
};
static_assert(sizeof(Address) == 17);

/// Text form: dotted quad, or RFC 5952. No zone index, no port.
Result<Address> parse_address(std::string_view text);
std::string to_string(const Address& address);

/// An address and how many leading bits count. Host bits below `length` may be set (an interface address) or not.
struct Prefix {
  Address address;
  std::uint8_t length = 0;  ///< bits

  auto operator<=>(const Prefix&) const = default;
  [[nodiscard]] bool contains(const Address& other) const;
  /// First and last address of the prefix.
  [[nodiscard]] Address first() const;
  [[nodiscard]] Address last() const;
};
static_assert(sizeof(Prefix) == 18);

/// "10.0.0.0/24", or a bare address meaning /32 or /128.
Result<Prefix> parse_prefix(std::string_view text);
std::string to_string(const Prefix& prefix);

/// A 48-bit Ethernet address in transmission order.
struct Mac {
  std::array<std::uint8_t, 6> bytes{};

  auto operator<=>(const Mac&) const = default;
  [[nodiscard]] bool is_multicast() const { return (bytes[0] & 1U) != 0; }
  [[nodiscard]] bool is_zero() const { return *this == Mac{}; }
  [[nodiscard]] bool is_broadcast() const;
  /// The six bytes as a number below 2^48, first byte most significant.
  [[nodiscard]] std::uint64_t number() const;
  static Mac from_number(std::uint64_t number);
};
static_assert(sizeof(Mac) == 6);

/// "52:54:00:12:34:56"; lower or upper case, colons only.
Result<Mac> parse_mac(std::string_view text);
std::string to_string(const Mac& mac);

/// The modified EUI-64 link-local address of a MAC (RFC 4291 appendix A).
Address eui64_link_local(const Mac& mac);

}  // namespace sekisho
