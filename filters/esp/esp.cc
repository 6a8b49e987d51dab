// SPDX-License-Identifier: Apache-2.0
#include "filters/esp/esp.h"

#include <array>

#include "base/assert.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kNextIpv4 = 4, kNextIpv6 = 41, kNextNone = 59;
constexpr std::size_t kIpv4Bytes = 20, kIpv6Bytes = 40;

constexpr std::array<EspFaultInfo, static_cast<std::size_t>(EspFault::kCount)> kInfo{{
#define SEKISHO_X(enumerator, name, event) {name, event},
    SEKISHO_ESP_FAULTS(SEKISHO_X)
#undef SEKISHO_X
}};

/// Length the inner IP header claims, 0 when there is no such header.
std::size_t claimed_length(ByteSpan packet, Family family) {
  if (family == Family::kIpv4) {
    if (packet.size() < kIpv4Bytes || packet[0] >> 4 != 4) return 0;
    const std::size_t header = std::size_t{packet[0] & 15U} * 4;
    const std::size_t total = load_be<std::uint16_t>(packet, 2);
    return header >= kIpv4Bytes && total >= header ? total : 0;
  }
  if (packet.size() < kIpv6Bytes || packet[0] >> 4 != 6) return 0;
  return kIpv6Bytes + load_be<std::uint16_t>(packet, 4);
}

/// Length of what stands before the padding, which counts 1, 2, 3.
EspFault read_trailer(ByteSpan opened, std::size_t& payload) {
  if (opened.size() < kEspTrailerBytes) return EspFault::kLength;
  const std::size_t before_trailer = opened.size() - kEspTrailerBytes;
  const std::size_t padding = opened[before_trailer];
  if (padding > before_trailer) return EspFault::kPadding;
  payload = before_trailer - padding;
  unsigned wrong = 0;
  for (std::size_t i = 0; i < padding; ++i) wrong |= opened[payload + i] ^ static_cast<unsigned>(i + 1);
  return wrong == 0 ? EspFault::kNone : EspFault::kPadding;
}

}  // namespace

const EspFaultInfo& info(EspFault fault) {
  SEKISHO_ASSERT(fault < EspFault::kCount);
  return kInfo[static_cast<std::size_t>(fault)];
}

UdpEncapsulated classify_udp_encapsulated(ByteSpan payload) {
  if (payload.size() == 1 && payload[0] == 0xff) return UdpEncapsulated::kKeepalive;
  if (payload.size() < kEspFixedBytes) return UdpEncapsulated::kMalformed;
  return load_be<std::uint32_t>(payload, 0) == 0 ? UdpEncapsulated::kIke : UdpEncapsulated::kEsp;
}

EspFault read_esp_inner(ByteSpan opened, EspInner& inner) {
  std::size_t payload = 0;
  if (const EspFault fault = read_trailer(opened, payload); fault != EspFault::kNone) return fault;
  const std::uint8_t next = opened.back();
  if (next == kNextNone) return EspFault::kDummy;
  if (next != kNextIpv4 && next != kNextIpv6) return EspFault::kNextHeader;
  inner.family = next == kNextIpv4 ? Family::kIpv4 : Family::kIpv6;
  const std::size_t length = claimed_length(opened.first(payload), inner.family);
  if (length == 0 || length > payload) return EspFault::kInnerFormat;
  inner.length = static_cast<std::uint16_t>(length);
  return EspFault::kNone;
}

EspFault read_esp_transport(ByteSpan opened, std::uint8_t wanted, ByteSpan& inner) {
  std::size_t payload = 0;
  if (const EspFault fault = read_trailer(opened, payload); fault != EspFault::kNone) return fault;
  if (opened.back() == kNextNone) return EspFault::kDummy;
  if (opened.back() != wanted) return EspFault::kNextHeader;
  inner = opened.first(payload);
  return EspFault::kNone;
}

std::size_t esp_inner_mtu(std::size_t outer_mtu, std::size_t outer_headers, EspSizes sizes) {
  const std::size_t around = outer_headers + kEspFixedBytes + sizes.iv + sizes.icv;
  if (outer_mtu < around + sizes.alignment) return 0;
  const std::size_t room = outer_mtu - around;
  return room - room % sizes.alignment - kEspTrailerBytes;
}

std::optional<std::uint8_t> ecn_out_of_tunnel(std::uint8_t inner, std::uint8_t outer) {
  constexpr std::uint8_t kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3;
  if (outer == kCe) return inner == kNotEct ? std::nullopt : std::optional{kCe};
  if (outer == kEct1 && inner == kEct0) return kEct1;
  return inner;
}

}  // namespace sekisho::filters
