// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sekisho::filters {

/// What decode has established about a packet: a set of bits in PacketMeta::proof.
enum Proof : std::uint8_t {
  kProofIpv4 = 1,      ///< IPv4 header with its options lies inside the first segment, lengths and checksum proved
  kProofIpv6 = 2,      ///< IPv6 header and its extension headers likewise
  kProofArp = 4,       ///< 28 bytes of ARP for Ethernet/IPv4 lie at l3_offset
  kProofL4 = 8,        ///< the whole TCP, UDP, ICMP or ICMPv6 header lies at l4_offset, checksum proved or trusted
  kProofFragment = 16, ///< an IP fragment; with kProofL4 an IPv6 atomic one, which is a whole packet
  kProofOptions = 32,  ///< IPv4 options or IPv6 extension headers are present
  kProofTrain = 128,    ///< a complete datagram in pieces, with kProofL4: this is the first, `next_piece` leads to the others
  kProofL4Unsummed = 64, ///< with kProofL4: nobody verified the L4 checksum, its bytes go on beyond the first segment
};

inline constexpr std::uint32_t kNoIndex = 0xffffffffU;

/// Everything known about one packet: one cache line that travels with it.
/// Letters name the only stage that may write a field:
///   R receive  D decode  B bind  F find_session/admit  O route
struct alignas(64) PacketMeta {
  std::uint64_t next_piece;        ///< reassemble: the next packet of a train, 0 in its last; nothing in other packets
  std::uint32_t tenant;            ///< [B] TenantId value; never written again
  std::uint32_t ingress;           ///< [B] index into this generation's port table
  std::uint32_t generation;        ///< [B] snapshot this packet is judged under
  std::uint32_t session;           ///< [F] session index, kNoIndex before
  std::uint32_t binding;           ///< [B] of a Port enforced by segment: index into its generation's Bindings; else kNoIndex
  std::uint32_t next_hop;          ///< [O] index into the neighbour table
  std::uint32_t egress;            ///< [O] index into this generation's port table
  std::uint16_t l3_offset;         ///< [D] bytes from the start of the frame
  std::uint16_t l4_offset;         ///< [D] valid with kProofL4 and for fragments
  std::uint16_t payload_offset;    ///< [D] first byte after the L4 header
  std::uint16_t l3_length;         ///< [D] bytes from l3_offset to the end of the IP packet, host order, proved; in the
                                   ///< first of a train: of the datagram
  std::uint16_t source_port;       ///< [D] host order; ICMP echo: identifier; else 0
  std::uint16_t destination_port;  ///< [D] host order; ICMP echo: identifier; else 0
  std::uint16_t outer_vlan;        ///< [D] VLAN id 1..4094, 0 = none
  std::uint16_t inner_vlan;        ///< [D] VLAN id behind the outer one, 0 = none
  std::uint8_t protocol;           ///< [D] IANA number after IPv6 extension headers; 0 for ARP
  std::uint8_t proof;              ///< [D] Proof bits
  std::uint8_t tcp_flags;          ///< [D]
  std::uint8_t ttl;                ///< [D] TTL or hop limit
  std::uint8_t icmp_type;          ///< [D]
  std::uint8_t icmp_code;          ///< [D]
  std::uint8_t reverse;            ///< [F] 1: travels against the session's first packet
  std::uint8_t resume;             ///< [R] dataplane::Resume: where a handed-off packet goes on
};
static_assert(sizeof(PacketMeta) == 64);

}  // namespace sekisho::filters
