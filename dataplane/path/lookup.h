// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/burst.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/decode.h"
#include "filters/state/icmp_error.h"

namespace sekisho::dataplane::path {

/// The flow key of a decoded packet (kProofL4): tenant, both ends, protocol. ICMP echo: the identifier stands for both
/// ports; other ICMP messages have no session of their own and find none.
inline FlowLookup lookup_of(rte_mbuf* packet, const HashSeed& seed) {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & filters::kProofIpv4) != 0) [[likely]] {
    return make_key4(load_be<std::uint32_t>(frame, l3 + 12), load_be<std::uint32_t>(frame, l3 + 16), meta.source_port,
                     meta.destination_port, meta.protocol, meta.tenant, seed);
  }
  return make_key6(load_words6(frame, l3 + 8), load_words6(frame, l3 + 24), meta.source_port, meta.destination_port,
                   meta.protocol, meta.tenant, seed);
}

/// The same for a TCP or UDP packet as decode_plain() found it, of a tenant.
[[gnu::always_inline]] inline FlowLookup lookup_of(std::span<const std::uint8_t> frame, const filters::packet_detail::Decoded& d,
                                                   std::uint32_t tenant, const HashSeed& seed) {
  const std::size_t l3 = d.l3_offset;
  if ((d.proof & filters::kProofIpv4) != 0) return make_key4(frame.data() + l3 + 12, key_tags(d.protocol, tenant), seed);
  const auto from = static_cast<std::uint16_t>(d.ports >> 16), to = static_cast<std::uint16_t>(d.ports);
  return make_key6(load_words6(frame, l3 + 8), load_words6(frame, l3 + 24), from, to, d.protocol, tenant, seed);
}

/// The shard that packets between these ends steer to.
inline std::uint32_t steered_shard(const Address& source, const Address& destination, std::uint16_t source_port,
                                   std::uint16_t destination_port, std::uint32_t shards) {
  std::uint32_t fold = 0;
  for (std::size_t at = 0; at < 16; at += 4) {
    fold ^= load_be<std::uint32_t>(source.bytes, at) ^ load_be<std::uint32_t>(destination.bytes, at);
  }
  return dataplane::steer(fold, source_port, destination_port, shards);
}

/// The IPv6 addresses of a packet as {low, high} end.
inline std::array<Words6, 2> ends_of(rte_mbuf* packet, std::size_t l3, bool from_high) {
  const auto frame = frame_of(packet);
  const Words6 source = load_words6(frame, l3 + 8);
  const Words6 destination = load_words6(frame, l3 + 24);
  return from_high ? std::array<Words6, 2>{destination, source} : std::array<Words6, 2>{source, destination};
}

inline std::array<Words6, 2> ends_of(rte_mbuf* packet, bool from_high) {
  return ends_of(packet, meta_of(packet).l3_offset, from_high);
}

/// The flow an ICMP error complains about.
struct QuotedFlow {
  FlowLookup lookup;
  std::array<Words6, 2> ends{};  ///< IPv6: {low, high}
};
inline QuotedFlow quoted_flow(const filters::QuotedPacket& quoted, std::uint32_t tenant, const HashSeed& seed) {
  if (quoted.source.family == Family::kIpv4) {
    return {make_key4(quoted.source.v4(), quoted.destination.v4(), quoted.source_port, quoted.destination_port, quoted.protocol,
                      tenant, seed)};
  }
  const Words6 from = load_words6(quoted.source.bytes, 0);
  const Words6 to = load_words6(quoted.destination.bytes, 0);
  QuotedFlow out{make_key6(from, to, quoted.source_port, quoted.destination_port, quoted.protocol, tenant, seed)};
  out.ends = out.lookup.from_high ? std::array<Words6, 2>{to, from} : std::array<Words6, 2>{from, to};
  return out;
}

}  // namespace sekisho::dataplane::path
