// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/nd.h"

#include <algorithm>

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kOptionSourceLinkLayer = 1;
constexpr std::uint8_t kOptionTargetLinkLayer = 2;

/// Bytes before the options, ICMPv6 header included.
std::size_t fixed_bytes(std::uint8_t type) {
  switch (type) {
    case kNdRouterSolicitation: return 8;
    case kNdRouterAdvertisement: return 16;
    case kNdRedirect: return 40;
    default: return 24;
  }
}

bool parse_options(ByteSpan options, NdMessage& out) {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const std::size_t length = std::size_t{options[1]} * 8;
    if (length == 0 || length > options.size()) return false;
    if (options[0] == kOptionSourceLinkLayer || options[0] == kOptionTargetLinkLayer) {
      auto& mac = options[0] == kOptionSourceLinkLayer ? out.source_link_layer : out.target_link_layer;
      if (length != 8 || mac.has_value()) return false;
      mac = mac_at(options, 2);
    }
    options = options.subspan(length);
  }
  return true;
}

}  // namespace

std::optional<NdMessage> parse_nd(ByteSpan frame, const PacketMeta& meta) noexcept {
  const std::size_t end = std::size_t{meta.l3_offset} + meta.l3_length;
  const std::size_t fixed = fixed_bytes(meta.icmp_type);
  if (!is_nd(meta) || end > frame.size() || end < meta.l4_offset + fixed) return std::nullopt;
  const ByteSpan message = frame.subspan(meta.l4_offset, end - meta.l4_offset);
  NdMessage out;
  out.type = meta.icmp_type;
  if (fixed >= 24) {
    out.target = ipv6_at(message, 8);
    if (out.target.is_multicast()) return std::nullopt;
  }
  if (out.type == kNdRedirect) out.redirect_destination = ipv6_at(message, 24);
  if (out.type == kNdNeighbourAdvertisement) {
    out.router = (message[4] & 0x80U) != 0;
    out.solicited = (message[4] & 0x40U) != 0;
    out.override = (message[4] & 0x20U) != 0;
  }
  if (!parse_options(message.subspan(fixed), out)) return std::nullopt;
  return out;
}

Address solicited_node(const Address& address) noexcept {
  Address out{.bytes = {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0}, .family = Family::kIpv6};
  std::copy_n(address.bytes.begin() + 13, 3, out.bytes.begin() + 13);
  return out;
}

Mac multicast_mac(const Address& group) noexcept {
  if (group.family == Family::kIpv4) {
    return Mac{{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(group.bytes[1] & 0x7fU), group.bytes[2], group.bytes[3]}};
  }
  return Mac{{0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]}};
}

}  // namespace sekisho::filters
