// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/router_advertisement.h"

#include <algorithm>

#include "base/net/checksum.h"
#include "vpn/ppp/frame.h"

namespace sekisho::vpn::ppp {
namespace {

constexpr std::size_t kIpHeader = 40;
constexpr std::uint8_t kIcmpv6 = 58, kSolicitation = 133, kAdvertisement = 134;
constexpr std::uint8_t kPrefixOption = 3, kMtuOption = 5, kDnsOption = 25;
constexpr std::uint8_t kAutonomous = 0x40;  // not on-link: the peer reaches even its prefix through us
constexpr std::uint16_t kRouterSeconds = 9000;
constexpr std::uint32_t kForever = 0xffffffff;
constexpr std::size_t kDnsMax = 3;

Bytes message(const Advertised& facts) {
  Bytes out;
  out.u8(kAdvertisement).u8(0).u16(0);                    // the checksum comes later
  out.u8(64).u8(0).u16(kRouterSeconds).u32(0).u32(0);     // hop limit, no DHCPv6
  out.u8(kPrefixOption).u8(4).u8(64).u8(kAutonomous).u32(kForever).u32(kForever).u32(0);
  out.append(ByteSpan(facts.address.bytes).first(8)).u32(0).u32(0);
  out.u8(kMtuOption).u8(1).u16(0).u32(facts.mtu);
  std::vector<Address> servers;
  for (const Address& server : facts.dns) {
    if (server.family == Family::kIpv6 && servers.size() < kDnsMax) servers.push_back(server);
  }
  if (servers.empty()) return out;
  out.u8(kDnsOption).u8(1 + 2 * servers.size()).u16(0).u32(kForever);
  for (const Address& server : servers) out.append(server.bytes);
  return out;
}

}  // namespace

std::vector<std::uint8_t> router_advertisement(const Advertised& facts) {
  const Bytes body = message(facts);
  Address from, to;
  from.family = to.family = Family::kIpv6;
  from.bytes[0] = 0xfe;
  from.bytes[1] = 0x80;
  for (std::size_t i = 0; i < 8; ++i) from.bytes[8 + i] = static_cast<std::uint8_t>(facts.own_interface >> (56 - 8 * i));
  to.bytes[0] = 0xff;
  to.bytes[1] = 0x02;
  to.bytes[15] = 1;
  Bytes packet;
  packet.u32(0x60000000).u16(body.span().size()).u8(kIcmpv6).u8(255).append(from.bytes).append(to.bytes).append(body.span());
  std::vector<std::uint8_t> out = packet.take();
  const std::uint32_t sum = pseudo_header_sum(from, to, kIcmpv6, static_cast<std::uint32_t>(body.span().size()));
  const std::uint16_t checksum = checksum_fold(checksum_add(sum, ByteSpan(out).subspan(kIpHeader)));
  out[kIpHeader + 2] = static_cast<std::uint8_t>(checksum >> 8);
  out[kIpHeader + 3] = static_cast<std::uint8_t>(checksum);
  return out;
}

bool is_router_solicitation(ByteSpan packet) {
  constexpr std::size_t kNextHeader = 6, kHopLimit = 7;
  return packet.size() >= kIpHeader + 8 && packet[0] >> 4 == 6 && packet[kNextHeader] == kIcmpv6 && packet[kHopLimit] == 255 &&
         packet[kIpHeader] == kSolicitation;
}

}  // namespace sekisho::vpn::ppp
