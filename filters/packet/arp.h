// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "filters/packet/fields.h"

namespace sekisho::filters {

inline constexpr std::uint16_t kArpRequest = 1;
inline constexpr std::uint16_t kArpReply = 2;

/// An ARP message for Ethernet and IPv4 (RFC 826). Numbers in host order.
struct ArpMessage {
  std::uint16_t hardware_type;
  std::uint16_t protocol_type;
  std::uint8_t hardware_bytes;
  std::uint8_t protocol_bytes;
  std::uint16_t operation;
  Mac sender_mac;
  Address sender;
  Mac target_mac;
  Address target;

  /// Ethernet and IPv4, request or reply. Until then the addresses mean nothing.
  [[nodiscard]] bool is_plain() const {
    return hardware_type == 1 && protocol_type == kEtherTypeIpv4 && hardware_bytes == 6 && protocol_bytes == 4 &&
           (operation == kArpRequest || operation == kArpReply);
  }
};

/// The 28 bytes at l3_offset. Needs kProofArp; judges nothing. Thread: any; pure.
[[nodiscard]] inline ArpMessage read_arp(ByteSpan frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & kProofArp) != 0);
  const std::size_t at = meta.l3_offset;
  return ArpMessage{.hardware_type = load_be<std::uint16_t>(frame, at),
                    .protocol_type = load_be<std::uint16_t>(frame, at + 2),
                    .hardware_bytes = frame[at + 4],
                    .protocol_bytes = frame[at + 5],
                    .operation = load_be<std::uint16_t>(frame, at + 6),
                    .sender_mac = mac_at(frame, at + 8),
                    .sender = ipv4_at(frame, at + 14),
                    .target_mac = mac_at(frame, at + 18),
                    .target = ipv4_at(frame, at + 24)};
}

}  // namespace sekisho::filters
