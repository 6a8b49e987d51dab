// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/service.h"

#include <algorithm>

#include "base/net/endian.h"
#include "base/net/service_address.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/train.h"
#include "dataplane/tunnel/esp_path.h"
#include "filters/nat/rewrite.h"
#include "filters/packet/fields.h"
#include "filters/packet/mss.h"

namespace sekisho::dataplane::path::service {
namespace {

using filters::DropReason;

constexpr std::uint8_t kTcpSyn = 2;
constexpr std::uint32_t kServiceMtu = 1500;

bool is_ipv4(const PacketMeta& meta) { return (meta.proof & filters::kProofIpv4) != 0; }
bool is_tcp(const PacketMeta& meta) { return meta.protocol == filters::kProtocolTcp && (meta.proof & filters::kProofL4) != 0; }

filters::FlowEnds ends_of(rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  return {filters::ip_source(frame, meta), filters::ip_destination(frame, meta), meta.source_port, meta.destination_port};
}

/// What a packet asks of a gateway, by the port `ours` of TCP or by being GRE: a kServes* of the snapshot; 0: nothing here.
std::uint32_t asked_of(const PacketMeta& meta, std::uint16_t ours) {
  if (is_tcp(meta)) {
    if (ours == kServicePort) return snapshot::kServesSstp;
    return ours == kPptpPort && is_ipv4(meta) ? snapshot::kServesPptp : 0;
  }
  return meta.protocol == filters::kProtocolGre && is_ipv4(meta) && (meta.proof & filters::kProofL4) != 0 ? snapshot::kServesPptp : 0;
}

void rewrite(rte_mbuf* packet, const filters::FlowEnds& from, const filters::FlowEnds& to) {
  filters::rewrite(frame_of(packet), meta_of(packet), to, filters::delta_of(from, to, meta_of(packet).protocol));
}

/// Neither end offers larger segments than the narrower of both links carries.
void clamp(rte_mbuf* packet, std::uint32_t mtu) {
  const PacketMeta& meta = meta_of(packet);
  if (!is_tcp(meta) || (meta.tcp_flags & kTcpSyn) == 0) return;
  const std::uint32_t headers = is_ipv4(meta) ? 40 : 60;
  filters::clamp_mss(frame_of(packet), meta, static_cast<std::uint16_t>(std::min(mtu, kServiceMtu) - headers));
}

/// Puts the service network's link header before the packet. False: no room.
bool write_link(rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const int grow = int{kEthernetBytes} - int{meta.l3_offset};
  if (grow > 0 && rte_pktmbuf_prepend(packet, static_cast<std::uint16_t>(grow)) == nullptr) return false;
  if (grow < 0) rte_pktmbuf_adj(packet, static_cast<std::uint16_t>(-grow));
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + meta.l3_length);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;
  const auto frame = frame_of(packet);
  store_be<std::uint64_t>(frame, 0, kServiceHostMac << 16 | kServiceMac >> 32);
  store_be<std::uint32_t>(frame, 8, static_cast<std::uint32_t>(kServiceMac));
  store_be<std::uint16_t>(frame, 12, is_ipv4(meta) ? std::uint16_t{0x0800} : std::uint16_t{0x86dd});
  return true;
}

void to_card(Shard& shard, rte_mbuf* packet, std::uint32_t tenant_slot) {
  Outlet& outlet = shard.outlets[shard.shared.service_nic];
  packet->port = shard.shared.service_nic;
  if (outlet.owner != shard.number) {
    shard.hand_off(packet, outlet.owner, Resume::kTransmit, tenant_slot);
    return;
  }
  if (outlet.count == outlet.packets.size()) transmit(shard);
  outlet.packets[outlet.count++] = packet;
}

/// The way of the tenant `at` to `peer`; kNone when it was found.
DropReason find_way(Shard& shard, const Runtime& config, const TenantEntry& tenant, const Address& peer, Hop& hop) {
  const std::uint32_t route = tenant.routes.find(peer);
  const RouteTarget* way = route == PrefixTable::kNoValue ? nullptr : &tenant.targets[route];
  if (way == nullptr || !is_forwardable(way) || way->kind == RouteKind::kTunnel) return DropReason::kNoRoute;
  hop = hop_of(shard, config, *way, peer);
  return hop.next_hop == kNoIndex ? DropReason::kNeighbourUnresolved : DropReason::kNone;
}

}  // namespace

bool deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const std::uint32_t asked = asked_of(meta, meta.destination_port);
  if (asked == 0 || is_train(packet)) return false;
  if (shard.shared.service_nic == kNoService) return false;
  const filters::FlowEnds from = ends_of(packet);
  const snapshot::Gateway* gateway = config.find_gateway(meta.ingress, from.destination);
  if (gateway == nullptr || (gateway->serves & asked) == 0) return false;
  const PortEntry& port = config.ports[meta.ingress];
  if (shard.trace != nullptr) [[unlikely]] {  // explained: it would be served
    shard.trace->local = true;
    shard.consume(packet);
    return true;
  }
  clamp(packet, config.ports[port.wire].mtu);
  filters::FlowEnds to = from;
  to.destination = service_address(gateway->service, from.destination.family);
  rewrite(packet, from, to);
  if (!write_link(packet)) {
    shard.drop(packet, DropReason::kNoMemory, port.tenant_slot);
    return true;
  }
  to_card(shard, packet, port.tenant_slot);
  return true;
}

void answer(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  PacketMeta& meta = meta_of(packet);
  const std::uint32_t asked = asked_of(meta, meta.source_port);
  const filters::FlowEnds from = asked != 0 ? ends_of(packet) : filters::FlowEnds{};
  const std::uint32_t service = asked != 0 ? service_of(from.source) : 0;
  const snapshot::Gateway* gateway = service == 0 ? nullptr : config.find_service(service);
  if (gateway == nullptr || (gateway->serves & asked) == 0 || gateway->address.family != from.source.family) {
    shard.drop(packet, DropReason::kNoPort, shard.no_tenant());
    return;
  }
  const TenantEntry& tenant = config.tenants[gateway->tenant];
  Hop hop{};
  DropReason reason = find_way(shard, config, tenant, from.destination, hop);
  const PortEntry* wire = reason == DropReason::kNone ? &config.ports[config.ports[hop.port].wire] : nullptr;
  if (wire != nullptr && meta.l3_length > wire->mtu) reason = DropReason::kTooBig;  // before a commit it was less; its sender probes
  if (reason != DropReason::kNone) {
    shard.drop(packet, reason, tenant.slot);
    return;
  }
  clamp(packet, wire->mtu);
  filters::FlowEnds to = from;
  to.source = gateway->address;
  rewrite(packet, from, to);
  give_tenant(meta, tenant.id);
  meta.generation = config.generation;
  meta.session = meta.binding = kNoIndex;
  meta.ingress = meta.egress = hop.port;
  meta.next_hop = hop.next_hop;
  packet->port = kOwnNic;
  Burst burst;
  burst.packets[burst.count++] = packet;
  forward(shard, config, burst);
}

}  // namespace sekisho::dataplane::path::service
