// SPDX-License-Identifier: Apache-2.0
#include "filters/esp/quoted_esp.h"

#include <algorithm>
#include <array>

#include "base/net/endian.h"
#include "base/wire/reader.h"
#include "filters/esp/esp.h"
#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

constexpr std::size_t kUdpBytes = 8;

/// RFC 1191 7: sizes links have, for routers that do not say.
std::uint32_t usual_below(std::uint32_t length) {
  constexpr std::array<std::uint32_t, 4> kUsual{4352, 2002, 1492, 1006};
  const auto* const at = std::find_if(kUsual.begin(), kUsual.end(), [length](std::uint32_t size) { return size < length; });
  return at == kUsual.end() ? kPathMtuMin4 : *at;
}

}  // namespace

std::optional<QuotedEsp> read_quoted_esp(std::span<const std::uint8_t> frame, const PacketMeta& meta, const QuotedPacket& quoted) {
  const bool ipv4 = (meta.proof & kProofIpv4) != 0;
  if (ipv4 ? meta.icmp_type != 3 || meta.icmp_code != 4 : meta.icmp_type != 2 || meta.icmp_code != 0) return std::nullopt;
  const bool in_udp = quoted.protocol == kProtocolUdp && quoted.source_port == kUdpEncapsulationPort;
  if (!in_udp && quoted.protocol != kProtocolEsp) return std::nullopt;
  const std::size_t end = std::min(frame.size(), std::size_t{meta.l3_offset} + meta.l3_length);
  const std::size_t at = std::size_t{quoted.transport_at} + (in_udp ? kUdpBytes : 0);
  if (at > end) return std::nullopt;
  const auto header = read_esp_header(frame.subspan(at, end - at));
  if (!header || header->spi <= kEspSpiReservedMax) return std::nullopt;
  QuotedEsp out{.spi = header->spi, .sequence = header->sequence, .mtu = 0, .in_udp = in_udp};
  if (ipv4) {
    const std::uint32_t said = load_be<std::uint16_t>(frame, meta.l4_offset + std::size_t{6});
    const std::uint32_t length = load_be<std::uint16_t>(frame, quoted.network_at + std::size_t{2});
    out.mtu = std::max(said != 0 ? said : usual_below(length), kPathMtuMin4);
  } else {
    out.mtu = std::max(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{4}), kPathMtuMin6);
  }
  return out;
}

}  // namespace sekisho::filters
