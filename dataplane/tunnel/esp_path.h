// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "dataplane/burst.h"
#include "dataplane/tunnel/sa_table.h"
#include "filters/esp/esp_fault.h"

/// ESP in tunnel mode on bursts of packets: IPv4 and IPv6, inside and outside in any pair, in UDP or not.
/// Packets are changed in place. One whose fault is not kNone is rubbish and must end: it may be half opened or sealed.
namespace sekisho::dataplane {

inline constexpr std::size_t kEthernetBytes = 14;

/// How one packet fared.
struct EspOutcome {
  filters::EspFault fault = filters::EspFault::kNone;
  Sa* sa = nullptr;  ///< when one was found: stands until the table is told to erase it
};

/// Whether all of the packet lies in one buffer that nobody else holds: not in segments, not a train, not cloned.
[[nodiscard]] inline bool in_one_piece(rte_mbuf* packet) {
  return packet->nb_segs == 1 && (meta_of(packet).proof & filters::kProofTrain) == 0 &&
         rte_mbuf_refcnt_read(packet) == 1 && RTE_MBUF_DIRECT(packet);
}

/// Opens packets that decode took for ESP, or for UDP whose payload classify_udp_encapsulated() calls ESP; both with
/// kProofL4, tenant set. In order: SA by SPI, tenant and our address; length; replay window; proof and decryption;
/// window again; padding, inner packet, inner source within the Lease, destination within ours; ECN (RFC 6040).
///
/// An opened packet is a frame again: 14 bytes of Ethernet header (no addresses, the inner family's type), the inner
/// packet, nothing behind it; what the card said about checksums is forgotten. Its record keeps tenant and ingress and
/// has no proof: decode judges it as it judges any stranger's. `now` in seconds. `outcomes` has a place for each.
void open_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::uint64_t now, std::span<EspOutcome> outcomes);

/// Seals whole inner IP packets at l3_offset with the outbound SAs `handles` name, one for each packet: selectors,
/// limits, sequence number, MTU, room; trailer, encryption, ICV; outer headers with DF as inside (IPv6 inside: set),
/// class per RFC 4301 and ECN per RFC 6040, UDP checksum zero outside IPv4 and computed outside IPv6 (RFC 3948 2.1, RFC
/// 8200 8.1). A sealed packet is a frame with 14 bytes of Ethernet header whose addresses the caller writes. The TTL is
/// not touched.
void seal_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::span<const std::uint32_t> handles,
                std::uint64_t now, std::span<EspOutcome> outcomes);

}  // namespace sekisho::dataplane
