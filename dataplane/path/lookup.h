// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/burst.h"
#include "dataplane/session/flow_key.h"

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

/// The IPv6 addresses of a packet as {low, high} end.
inline std::array<Words6, 2> ends_of(rte_mbuf* packet, bool from_high) {
  const auto frame = frame_of(packet);
  const std::size_t l3 = meta_of(packet).l3_offset;
  const Words6 source = load_words6(frame, l3 + 8);
  const Words6 destination = load_words6(frame, l3 + 24);
  return from_high ? std::array<Words6, 2>{destination, source} : std::array<Words6, 2>{source, destination};
}

}  // namespace sekisho::dataplane::path
