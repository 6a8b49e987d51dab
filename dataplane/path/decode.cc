// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/decode.h"

#include "dataplane/path/express.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "filters/link/binding_guard.h"
#include "filters/packet/fields.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

/// The attachment a refused packet's tags name, as far as they could be read; on an uplink the share of the
/// destination's owner, when its header is proved: who is attacked gets the record.
std::uint32_t attachment_of(const Runtime& config, rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const std::uint32_t at = config.wires.find(packet->port, meta.outer_vlan, meta.inner_vlan);
  if (at == kNoIndex || config.ports[at].kind != snapshot::PortKind::kUplink) return at;
  const bool ip = (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  return ip ? config.owner(at, filters::ip_destination(frame_of(packet), meta)) : kNoIndex;
}

/// Ends a malformed packet in the name of its attachment.
void refuse_malformed(Shard& shard, const Runtime& config, rte_mbuf* packet, DropReason reason) {
  PacketMeta& meta = meta_of(packet);
  const std::uint32_t at = attachment_of(config, packet);
  if (at == kNoIndex) {
    shard.drop(packet, reason, shard.no_tenant());
    return;
  }
  place(config, meta, at);
  const PortEntry& port = config.ports[at];
  DropReason named = reason;
  if (port.kind == snapshot::PortKind::kSegment) {  // an earlier step of the normative order may come first
    const std::uint32_t bound = find_binding(config, port, packet);
    if (bound == kNoIndex) {
      named = unbound(config, port, packet, reason);
    } else {
      const BindingEntry& binding = config.bindings[bound];
      named = filters::from_port_refused(binding.rules, shard.shared.pins[binding.slot], shard.meters[binding.slot],
                                         frame_of(packet), meta, shard.now_ms, reason);
    }
  }
  refuse(shard, config, packet, named);
}

}  // namespace

void decode(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    PacketMeta& meta = meta_of(packet);
    const DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, trust_of(packet), meta);
    if (reason != DropReason::kNone) [[unlikely]] {
      refuse_malformed(shard, config, packet, reason);
      continue;
    }
    burst.packets[kept++] = packet;
  }
  burst.count = kept;
}

}  // namespace sekisho::dataplane::path
