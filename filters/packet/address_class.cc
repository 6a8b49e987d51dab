// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/address_class.h"

#include <algorithm>
#include <array>

#include "base/net/endian.h"

namespace sekisho::filters {
namespace {

struct Block4 {
  std::uint32_t network;
  unsigned length;
  [[nodiscard]] constexpr bool holds(std::uint32_t address) const { return (address ^ network) >> (32 - length) == 0; }
};
/// By the first 64 bits, which is where all of them are decided.
struct Block6 {
  std::uint64_t network;
  unsigned length;
  [[nodiscard]] constexpr bool holds(std::uint64_t address) const { return (address ^ network) >> (64 - length) == 0; }
};

constexpr std::array<Block4, 10> kBogons4{{
    {0x0a000000, 8},   // 10.0.0.0/8, RFC 1918
    {0x64400000, 10},  // 100.64.0.0/10, RFC 6598
    {0xac100000, 12},  // 172.16.0.0/12, RFC 1918
    {0xc0000000, 24},  // 192.0.0.0/24, RFC 6890
    {0xc0000200, 24},  // 192.0.2.0/24, RFC 5737
    {0xc0586300, 24},  // 192.88.99.0/24, RFC 7526
    {0xc0a80000, 16},  // 192.168.0.0/16, RFC 1918
    {0xc6120000, 15},  // 198.18.0.0/15, RFC 2544
    {0xc6336400, 24},  // 198.51.100.0/24, RFC 5737
    {0xcb007100, 24},  // 203.0.113.0/24, RFC 5737
}};
constexpr std::array<Block6, 7> kBogons6{{
    {0x2001'0002'0000'0000, 48},  // 2001:2::/48, RFC 5180
    {0x2001'0010'0000'0000, 28},  // 2001:10::/28, ORCHID (RFC 4843)
    {0x2001'0020'0000'0000, 28},  // 2001:20::/28, ORCHIDv2 (RFC 7343)
    {0x2001'0db8'0000'0000, 32},  // 2001:db8::/32, RFC 3849
    {0x3ffe'0000'0000'0000, 16},  // 3ffe::/16, 6bone (RFC 3701)
    {0x3fff'0000'0000'0000, 20},  // 3fff::/20, RFC 9637
    {0xfc00'0000'0000'0000, 7},   // fc00::/7, RFC 4193
}};

AddressClass class4(std::uint32_t address) {
  const unsigned first = address >> 24;
  if (first == 0) return AddressClass::kUnspecified;
  if (first == 127) return AddressClass::kLoopback;
  if (first >= 240) return address == 0xffffffffU ? AddressClass::kBroadcast : AddressClass::kReserved;
  if (first >= 224) return AddressClass::kMulticast;
  return address >> 16 == 0xa9fe ? AddressClass::kLinkLocal : AddressClass::kUnicast;
}

bool is_bogon4(std::uint32_t address) {
  return std::any_of(kBogons4.begin(), kBogons4.end(), [&](const Block4& block) { return block.holds(address); });
}

/// RFC 1918 is fine behind ISATAP, whose links are private; everything that is no host's is not.
bool is_host4(std::uint32_t address) { return class4(address) == AddressClass::kUnicast; }
bool is_public4(std::uint32_t address) { return is_host4(address) && !is_bogon4(address); }

bool embeds_wrongly(std::uint64_t high, std::uint64_t low) {
  if (high >> 48 == 0x2002) return !is_public4(static_cast<std::uint32_t>(high >> 16));
  if (high >> 32 == 0x2001'0000) {  // Teredo: server, and client with its bits inverted
    return !is_public4(static_cast<std::uint32_t>(high)) || !is_public4(~static_cast<std::uint32_t>(low));
  }
  const bool isatap = (low >> 32 & ~std::uint64_t{0x0200'0000}) == 0x0000'5efe;
  return isatap && !is_host4(static_cast<std::uint32_t>(low));
}

AddressClass class6(std::uint64_t high, std::uint64_t low) {
  const std::uint64_t first = high >> 48;
  if (high == 0 && low == 0) return AddressClass::kUnspecified;
  if (high == 0 && low == 1) return AddressClass::kLoopback;
  if (high == 0 && (low >> 32 == 0 || low >> 32 == 0xffff)) return AddressClass::kEmbeddedIpv4;
  if (first >> 8 == 0xff) return AddressClass::kMulticast;
  if (first >> 6 == 0xfe80 >> 6) return AddressClass::kLinkLocal;
  const bool defined = first >> 13 == 1 || first >> 9 == 0xfc00 >> 9;
  if (!defined) return AddressClass::kReserved;
  return embeds_wrongly(high, low) ? AddressClass::kEmbeddedIpv4 : AddressClass::kUnicast;
}

std::uint64_t half(const Address& address, std::size_t at) { return load_be<std::uint64_t>(address.bytes, at); }

DropReason refused_source(AddressClass source) {
  switch (source) {
    case AddressClass::kUnicast: return DropReason::kNone;
    case AddressClass::kUnspecified: return DropReason::kSourceUnspecified;
    case AddressClass::kLoopback: return DropReason::kSourceLoopback;
    case AddressClass::kMulticast: return DropReason::kSourceMulticast;
    case AddressClass::kBroadcast: return DropReason::kSourceBroadcast;
    case AddressClass::kReserved: return DropReason::kSourceReserved;
    case AddressClass::kLinkLocal: return DropReason::kSourceLinkLocal;
    case AddressClass::kEmbeddedIpv4: return DropReason::kEmbeddedIpv4;
  }
  return DropReason::kSourceReserved;
}

DropReason refused_destination(AddressClass destination) {
  switch (destination) {
    case AddressClass::kUnicast: return DropReason::kNone;
    case AddressClass::kUnspecified: return DropReason::kDestinationUnspecified;
    case AddressClass::kLoopback: return DropReason::kDestinationLoopback;
    case AddressClass::kMulticast: return DropReason::kMulticast;
    case AddressClass::kBroadcast: return DropReason::kDestinationBroadcast;
    case AddressClass::kReserved: return DropReason::kDestinationReserved;
    case AddressClass::kLinkLocal: return DropReason::kDestinationLinkLocal;
    case AddressClass::kEmbeddedIpv4: return DropReason::kEmbeddedIpv4;
  }
  return DropReason::kDestinationReserved;
}

}  // namespace

AddressClass address_class(const Address& address) noexcept {
  return address.family == Family::kIpv4 ? class4(address.v4()) : class6(half(address, 0), half(address, 8));
}

DropReason check_addresses(const Address& source, const Address& destination) noexcept {
  if (source == destination) return DropReason::kLand;
  const DropReason reason = refused_source(address_class(source));
  return reason != DropReason::kNone ? reason : refused_destination(address_class(destination));
}

bool is_bogon(const Address& address) noexcept {
  if (address.family == Family::kIpv4) return is_bogon4(address.v4());
  const std::uint64_t high = half(address, 0);
  return std::any_of(kBogons6.begin(), kBogons6.end(), [&](const Block6& block) { return block.holds(high); });
}

}  // namespace sekisho::filters
