// SPDX-License-Identifier: Apache-2.0
#include "filters/link/binding_guard.h"

#include "dataplane/path/local.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "filters/packet/fields.h"
#include "filters/packet/nd.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

Address source_of(rte_mbuf* packet) { return filters::ip_source(frame_of(packet), meta_of(packet)); }
Address destination_of(rte_mbuf* packet) { return filters::ip_destination(frame_of(packet), meta_of(packet)); }

/// On a shared uplink the tenant is the owner of the destination. Returns the port index of its share, or kNoIndex after
/// ending the packet (the uplink itself answers ARP, ND and echo).
std::uint32_t share_of(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t uplink) {
  const PacketMeta& meta = meta_of(packet);
  if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) {
    local::link(shard, config, packet, uplink);
    return kNoIndex;
  }
  const Address destination = destination_of(packet);
  if (destination.is_multicast() || destination.is_link_local() || local::is_own(config.ports[uplink], destination)) {
    local::link(shard, config, packet, uplink);
    return kNoIndex;
  }
  const std::uint32_t share = config.owner(uplink, destination);
  DropReason reason = DropReason::kNone;
  if (share == kNoIndex) {
    reason = DropReason::kUplinkNoOwner;
  } else if (config.owner(uplink, source_of(packet)) != kNoIndex || local::is_own(config.ports[uplink], source_of(packet))) {
    reason = DropReason::kUplinkSource;  // one of ours never speaks from outside, nor do we
  }
  if (reason == DropReason::kNone) return share;
  if (share == kNoIndex) {
    shard.drop(packet, reason, shard.no_tenant());
  } else {
    place(config, meta_of(packet), share);
    refuse(shard, config, packet, reason);
  }
  return kNoIndex;
}

/// Judges a frame of a segment by its Binding.
DropReason guard(Shard& shard, const Runtime& config, const PortEntry& port, rte_mbuf* packet) {
  if (port.binding == kNoIndex) return DropReason::kAeUnbound;
  const BindingEntry& binding = config.bindings[port.binding];
  return filters::from_port(binding.rules, shard.shared.pins[binding.slot], shard.meters[binding.slot], frame_of(packet),
                            meta_of(packet), shard.now_ms);
}

/// Places one packet. True: it goes on to its flow; false: it has ended.
bool bind_one(Shard& shard, const Runtime& config, rte_mbuf* packet, Count count) {
  PacketMeta& meta = meta_of(packet);
  std::uint32_t at = config.wires.find(packet->port, meta.outer_vlan, meta.inner_vlan);
  if (at == kNoIndex) [[unlikely]] {
    shard.drop(packet, DropReason::kNoPort, shard.no_tenant());
    return false;
  }
  if (count == Count::kYes) {
    PortCounters& counters = shard.ports[config.ports[at].slot];
    counters.rx_packets.add(1);
    counters.rx_bytes.add(packet->pkt_len);
  }
  const bool is_uplink = config.ports[at].kind == snapshot::PortKind::kUplink;
  if (is_uplink) {
    at = share_of(shard, config, packet, at);
    if (at == kNoIndex) return false;
  }
  const PortEntry& port = config.ports[at];
  place(config, meta, at);

  if (port.kind == snapshot::PortKind::kSegment) {
    const DropReason reason = guard(shard, config, port, packet);
    if (reason != DropReason::kNone) [[unlikely]] {
      refuse(shard, config, packet, reason);
      return false;
    }
  }
  const auto frame = frame_of(packet);
  const bool to_us = filters::mac_at(frame, 0) == port.mac;
  const bool ip = (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  if (!to_us || !ip || filters::is_nd(meta)) [[unlikely]] {
    if (!to_us && !filters::mac_at(frame, 0).is_multicast()) {
      refuse(shard, config, packet, DropReason::kNotForUs);
    } else {
      local::link(shard, config, packet, at);
    }
    return false;
  }
  return true;
}

}  // namespace

void place(const Runtime& config, PacketMeta& meta, std::uint32_t port) noexcept {
  meta.ingress = port;
  meta.tenant = config.ports[port].tenant;
  meta.generation = config.generation;
  meta.session = kNoIndex;
}

void bind(Shard& shard, const Runtime& config, Burst& burst, Count count) noexcept {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    if (bind_one(shard, config, packet, count)) burst.packets[kept++] = packet;
  }
  burst.count = kept;
}

}  // namespace sekisho::dataplane::path
