// SPDX-License-Identifier: BSD-2-Clause
#include "base/net/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace sekisho {
namespace {

Error bad_address(std::size_t offset) {
  return Error{ErrorCode::kMalformed, ErrorSite::kAddress, static_cast<std::uint32_t>(offset)};
}

/// The address with every bit from `length` on set to `bit`.
Address with_host_bits(const Address& address, unsigned length, bool bit) {
  Address out = address;
  for (unsigned i = length; i < address.bits(); ++i) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (i % 8));
    auto& byte = out.bytes[i / 8];
    byte = static_cast<std::uint8_t>(bit ? byte | mask : byte & ~mask);
  }
  return out;
}

}  // namespace

std::uint32_t Address::v4() const {
  SEKISHO_DCHECK(family == Family::kIpv4);
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

bool Address::is_multicast() const {
  return family == Family::kIpv4 ? (bytes[0] & 0xf0U) == 0xe0U : family == Family::kIpv6 && bytes[0] == 0xff;
}

bool Address::is_unspecified() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0; });
}

bool Address::is_link_local() const {
  if (family == Family::kIpv4) return bytes[0] == 169 && bytes[1] == 254;
  return family == Family::kIpv6 && bytes[0] == 0xfe && (bytes[1] & 0xc0U) == 0x80U;
}

bool Address::is_loopback() const {
  if (family == Family::kIpv4) return bytes[0] == 127;
  Address one{.bytes = {}, .family = Family::kIpv6};
  one.bytes[15] = 1;
  return *this == one;
}

Address Address::from_v4(std::uint32_t host_order) {
  Address out;
  out.family = Family::kIpv4;
  out.bytes[0] = static_cast<std::uint8_t>(host_order >> 24);
  out.bytes[1] = static_cast<std::uint8_t>(host_order >> 16);
  out.bytes[2] = static_cast<std::uint8_t>(host_order >> 8);
  out.bytes[3] = static_cast<std::uint8_t>(host_order);
  return out;
}

Result<Address> Address::from_wire(std::span<const std::uint8_t> wire) {
  if (wire.size() != 4 && wire.size() != 16) return bad_address(wire.size());
  Address out;
  out.family = wire.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy(wire.begin(), wire.end(), out.bytes.begin());
  return out;
}

Result<Address> parse_address(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof(buffer)) return bad_address(0);
  if (text.find('\0') != std::string_view::npos) return bad_address(text.find('\0'));
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  Address out;
  const bool is_v6 = text.find(':') != std::string_view::npos;
  out.family = is_v6 ? Family::kIpv6 : Family::kIpv4;
  if (inet_pton(is_v6 ? AF_INET6 : AF_INET, buffer, out.bytes.data()) != 1) return bad_address(0);
  return out;
}

std::string to_string(const Address& address) {
  char buffer[INET6_ADDRSTRLEN] = "-";
  if (address.family == Family::kIpv4) inet_ntop(AF_INET, address.bytes.data(), buffer, sizeof(buffer));
  if (address.family == Family::kIpv6) inet_ntop(AF_INET6, address.bytes.data(), buffer, sizeof(buffer));
  return buffer;
}

bool Prefix::contains(const Address& other) const {
  if (other.family != address.family) return false;
  const unsigned whole = length / 8;
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, other.bytes.begin())) return false;
  const unsigned rest = length % 8;
  return rest == 0 || ((address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest)) == 0;
}

Address Prefix::first() const { return with_host_bits(address, length, false); }
Address Prefix::last() const { return with_host_bits(address, length, true); }

Result<Prefix> parse_prefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  SEKISHO_TRY(const Address address, parse_address(text.substr(0, slash)));
  if (slash == std::string_view::npos) return Prefix{address, static_cast<std::uint8_t>(address.bits())};
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  const bool canonical = digits == "0" || (!digits.empty() && digits[0] != '0');
  if (status != std::errc{} || end != digits.data() + digits.size() || !canonical || length > address.bits()) {
    return bad_address(slash + 1);
  }
  return Prefix{address, static_cast<std::uint8_t>(length)};
}

std::string to_string(const Prefix& prefix) {
  return to_string(prefix.address) + "/" + std::to_string(prefix.length);
}

bool Mac::is_broadcast() const {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b == 0xff; });
}

std::uint64_t Mac::number() const {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : bytes) out = out << 8 | byte;
  return out;
}

Mac Mac::from_number(std::uint64_t number) {
  Mac out;
  for (std::size_t i = 6; i-- > 0; number >>= 8) out.bytes[i] = static_cast<std::uint8_t>(number);
  return out;
}

Result<Mac> parse_mac(std::string_view text) {
  Mac out;
  if (text.size() != 17) return bad_address(text.size());
  for (std::size_t i = 0; i < 6; ++i) {
    const char* begin = text.data() + i * 3;
    const auto [end, status] = std::from_chars(begin, begin + 2, out.bytes[i], 16);
    if (status != std::errc{} || end != begin + 2) return bad_address(i * 3);
    if (i < 5 && text[i * 3 + 2] != ':') return bad_address(i * 3 + 2);
  }
  return out;
}

std::string to_string(const Mac& mac) {
  char buffer[18];
  std::snprintf(buffer, sizeof(buffer), "%02x:%02x:%02x:%02x:%02x:%02x", mac.bytes[0], mac.bytes[1], mac.bytes[2],
                mac.bytes[3], mac.bytes[4], mac.bytes[5]);
  return buffer;
}

Address eui64_link_local(const Mac& mac) {
  Address out;
  out.family = Family::kIpv6;
  out.bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(mac.bytes[0] ^ 2U), mac.bytes[1], mac.bytes[2],
               0xff, 0xfe, mac.bytes[3], mac.bytes[4], mac.bytes[5]};
  return out;
}

}  // namespace sekisho
