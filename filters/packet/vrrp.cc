// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/vrrp.h"

#include "base/net/checksum.h"

namespace sekisho::filters {
namespace {

constexpr std::size_t kHeaderBytes = 8;
constexpr std::uint8_t kAdvertisement = 1;
constexpr Address kGroup6{.bytes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12}, .family = Family::kIpv6};

bool sums_up(ByteSpan message, unsigned version, const Address& source, const Address& destination) {
  const auto good = [&](std::uint32_t start) { return checksum_fold(checksum_add(start, message)) == 0; };
  const std::uint32_t pseudo = pseudo_header_sum(source, destination, kProtocolVrrp, static_cast<std::uint32_t>(message.size()));
  if (source.family == Family::kIpv6) return good(pseudo);
  return good(0) || (version == 3 && good(pseudo));
}

}  // namespace

std::optional<VrrpAdvertisement> parse_vrrp(ByteSpan frame, const PacketMeta& meta) noexcept {
  if (meta.protocol != kProtocolVrrp || (meta.proof & kProofL4) == 0 || meta.ttl != 255) return std::nullopt;
  const Address source = ip_source(frame, meta), destination = ip_destination(frame, meta);
  if (destination != (source.family == Family::kIpv4 ? Address::from_v4(0xe0000012U) : kGroup6)) return std::nullopt;
  const ByteSpan message = packet_from(frame, meta, meta.l4_offset);
  if (message.size() < kHeaderBytes) return std::nullopt;
  const unsigned version = message[0] >> 4;
  const bool spoken = version == 3 || (version == 2 && source.family == Family::kIpv4);
  if (!spoken || (message[0] & 15U) != kAdvertisement || message[1] == 0) return std::nullopt;
  const std::size_t bytes = std::size_t{message[3]} * (source.bits() / 8);
  if (message.size() < kHeaderBytes + bytes || !sums_up(message, version, source, destination)) return std::nullopt;
  return VrrpAdvertisement{message[1], message[2], source.family, message.subspan(kHeaderBytes, bytes), message[3]};
}

Address vrrp_address(const VrrpAdvertisement& message, std::size_t index) noexcept {
  SEKISHO_DCHECK(index < message.count);
  return message.family == Family::kIpv4 ? ipv4_at(message.addresses, index * 4) : ipv6_at(message.addresses, index * 16);
}

}  // namespace sekisho::filters
