// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>

#include "dataplane/burst.h"
#include "dataplane/tunnel/sa_table.h"
#include "filters/esp/esp_fault.h"
#include "filters/packet/protocol.h"

/// ESP in tunnel mode on bursts of packets: IPv4 and IPv6, inside and outside in any pair, in UDP or not. In transport mode just
/// L2TP: what goes in and comes out is the sessions' IP packets again, and the datagrams of the daemon that speaks L2TP.
/// Packets are changed in place. One whose fault is not kNone is rubbish and must end: it may be half opened or sealed.
namespace sekisho::dataplane {

inline constexpr std::size_t kEthernetBytes = 14;

/// How one packet fared.
struct EspOutcome {
  filters::EspFault fault = filters::EspFault::kNone;
  Family inner = Family::kNone;  ///< of an opened one: what the frame holds, as its EtherType says
  Sa* sa = nullptr;  ///< when one was found: stands until the table is told to erase it
  const L2tpSession* session = nullptr;  ///< of a transport SA: whose the packet is, now without L2TP
  bool for_daemon = false;  ///< of a transport SA: no session's IP packet. A UDP datagram whose header lies at l4_offset of the record,
                            ///< in the frame it came in; the source port is the peer's own
};

/// Whose an ESP packet is, and where its parts lie, as decode proved them: offsets in its frame.
struct EspOuter {
  std::uint32_t tenant;
  std::uint32_t ingress;  ///< port index
  std::uint16_t ip;    ///< outer IP header
  std::uint16_t esp;   ///< SPI
  std::uint16_t end;   ///< behind the ICV
  std::uint16_t port;  ///< the peer's; 0: not in UDP
  bool in_udp, ipv6;
  bool recorded;  ///< in the packet's record, too; else that means nothing, and the packet is of this turn
};
/// The same of a packet that has its record, with kProofL4.
[[nodiscard]] inline EspOuter outer_of(const PacketMeta& meta) {
  const bool in_udp = meta.protocol == filters::kProtocolUdp;
  return {.tenant = meta.tenant,
          .ingress = meta.ingress,
          .ip = meta.l3_offset,
          .esp = in_udp ? meta.payload_offset : meta.l4_offset,
          .end = static_cast<std::uint16_t>(meta.l3_offset + meta.l3_length),
          .port = in_udp ? meta.source_port : std::uint16_t{0},
          .in_udp = in_udp,
          .ipv6 = (meta.proof & filters::kProofIpv6) != 0,
          .recorded = true};
}

/// Whether all of the packet lies in one buffer that nobody else holds: not in segments, not cloned and, if it has a record, no train.
[[nodiscard]] inline bool in_one_piece(rte_mbuf* packet, bool recorded = true) {
  return packet->nb_segs == 1 && rte_mbuf_refcnt_read(packet) == 1 && RTE_MBUF_DIRECT(packet) &&
         !(recorded && (meta_of(packet).proof & filters::kProofTrain) != 0);
}

/// Whether the SA's packets are sealed many at a time in the library's lanes (CBC), not one after the other (GCM).
[[nodiscard]] bool in_lanes(const Sa& sa);

/// Opens packets that decode took for ESP, or for UDP whose payload classify_udp_encapsulated() calls ESP; both with
/// kProofL4, tenant set. In order: SA by SPI, tenant and our address; length; replay window; proof and decryption;
/// window again; padding, inner packet, inner source within the Lease, destination within ours; ECN (RFC 6040).
///
/// An opened packet is a frame again: 14 bytes of Ethernet header (no addresses, the inner family's type), the inner
/// packet, nothing behind it; what the card said about checksums is forgotten. Its record, where it had one, has no proof, and of
/// the rest tenant, ingress and generation alone mean something: decode judges it as it judges any stranger's. One that has a fault, or is
/// the daemon's, has a record in any case; tenant, ingress and generation in it are the caller's to write when `outers` says that it had
/// none. `now` in seconds. `outers` and `outcomes` have a place for each.
///
/// In transport mode: UDP to port 1701 of whatever address and checksum (RFC 3948 3.1.2: a NAT has changed the addresses it covers,
/// and the ICV has proved more), then L2TP; an IP packet's session is one of this SA's, and its source is the session's Lease.
void open_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::span<const EspOuter> outers, std::uint64_t now,
                std::span<EspOutcome> outcomes);
/// The same for packets that all have their records.
void open_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::uint64_t now, std::span<EspOutcome> outcomes);

/// Seals whole inner IP packets at l3_offset with the outbound SAs `handles` name, one for each packet: selectors,
/// limits, sequence number, MTU, room; trailer, encryption, ICV; outer headers with DF as inside (IPv6 inside: set),
/// class per RFC 4301 and ECN per RFC 6040, UDP checksum zero outside IPv4 and computed outside IPv6 (RFC 3948 2.1, RFC
/// 8200 8.1). A sealed packet is a frame with 14 bytes of Ethernet header whose addresses the caller writes. The TTL is
/// not touched.
///
/// With a transport SA: an IP packet gets the L2TP header of the session whose Lease its destination is (none: kSelectors); a record
/// without an IP proof says that a UDP datagram for the peer lies at l3_offset. The inner UDP checksum is zero outside IPv4,
/// whose ends do not know each other's addresses behind a NAT, and computed outside IPv6.
void seal_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::span<const std::uint32_t> handles,
                std::uint64_t now, std::span<EspOutcome> outcomes);

}  // namespace sekisho::dataplane
