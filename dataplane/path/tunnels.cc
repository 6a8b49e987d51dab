// SPDX-License-Identifier: Apache-2.0
// Overview. In: take() -> [another worker] -> open_waiting(): open_burst, decode, bind, and on as any packet. Out: forward ->
// seal() -> [another worker] -> seal_waiting(): seal_burst, way to the peer, forward. Limits: kBurstMax packets wait; all
// are served before the turn ends.
#include "dataplane/path/tunnels.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/net/checksum.h"
#include "base/net/tunnel_dhcp.h"
#include "dataplane/path/carry.h"
#include "dataplane/path/exit.h"
#include "dataplane/path/express.h"
#include "dataplane/path/local.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/record.h"
#include "dataplane/path/service.h"
#include "dataplane/train.h"
#include "dataplane/tunnel/esp_path.h"
#include "filters/esp/esp.h"
#include "filters/esp/quoted_esp.h"
#include "filters/packet/fields.h"
#include "filters/packet/fragment.h"
#include "filters/packet/mss.h"

namespace sekisho::dataplane::path::tunnel {
namespace {

using filters::DropReason;
using filters::EspFault;

constexpr std::uint16_t kIkePort = 500, kNatTraversalPort = 4500;
constexpr Rate kPunts{5000, 5000};        // IKE datagrams of one tenant and second
constexpr unsigned kInjectPerTurnMax = kBurstMax;  // they fill one burst
constexpr std::size_t kL2tpDatagramMax = 1500;  // each carrier's SA carries less
constexpr std::uint8_t kTcpSyn = 2;
constexpr std::uint8_t kOwnHops = 65;     // forward takes one
constexpr auto kUnwatched = [](Stage, Burst&) {};

bool is_ipv4(const PacketMeta& meta) { return (meta.proof & filters::kProofIpv4) != 0; }
std::uint64_t seconds_of(const Shard& shard) { return shard.steady_ns / 1'000'000'000; }
std::uint32_t slot_of(const Runtime& config, const PacketMeta& meta) { return config.ports[meta.ingress].tenant_slot; }

/// Whether two addresses of one family are the same: loads of known length, no call.
[[gnu::always_inline]] inline bool same_address(const std::uint8_t* left, const std::uint8_t* right, bool ipv4) {
  if (ipv4) {
    std::uint32_t a, b;
    std::memcpy(&a, left, sizeof(a));
    std::memcpy(&b, right, sizeof(b));
    return a == b;
  }
  std::array<std::uint64_t, 2> a, b;
  std::memcpy(a.data(), left, sizeof(a));
  std::memcpy(b.data(), right, sizeof(b));
  return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
}

/// Packets opened or sealed at a time, a power of two: long ones stay in the nearest cache until all has been asked of them. A multiple of
/// the lanes in which the library hashes.
std::uint16_t group_of(const Burst& burst) {
  constexpr std::uint16_t kLong = 384, kGroup = 16;
  return burst.count > 0 && burst.packets[0]->data_len > kLong ? kGroup : kBurstMax;
}

/// Whether `address` is a gateway's on port `at`. The same answer as last time is found at once.
bool is_gateway(Shard& shard, const Runtime& config, std::uint32_t at, const Address& address) {
  WorkerTunnels& here = shard.tunnels_here;
  if (here.gateway_generation == config.generation && here.gateway_port == at && here.gateway == address) return true;
  if (config.find_gateway(at, address) == nullptr) return false;
  here.gateway_generation = config.generation;
  here.gateway_port = at;
  here.gateway = address;
  return true;
}

/// The same for the destination of a packet, which is compared where it lies.
bool to_gateway(Shard& shard, const Runtime& config, std::uint32_t at, rte_mbuf* packet) {
  const WorkerTunnels& here = shard.tunnels_here;
  const PacketMeta& meta = meta_of(packet);
  const bool ipv4 = is_ipv4(meta);
  const std::uint8_t* wire = frame_of(packet).data() + meta.l3_offset + (ipv4 ? 16 : 24);
  const bool known = here.gateway_generation == config.generation && here.gateway_port == at &&
                     here.gateway.family == (ipv4 ? Family::kIpv4 : Family::kIpv6);
  if (known && same_address(wire, here.gateway.bytes.data(), ipv4)) return true;
  return is_gateway(shard, config, at, filters::ip_destination(frame_of(packet), meta));
}

/// Bytes from the L4 payload on, in the first piece.
ByteSpan payload_of(rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  return filters::packet_from(frame_of(packet), meta, meta.payload_offset);
}

/// A packet that is only being explained has arrived: neither keys nor the daemon are for it. True: it has ended.
bool ends_explained(Shard& shard, rte_mbuf* packet) {
  if (shard.trace == nullptr) [[likely]] return false;
  shard.trace->local = true;
  shard.consume(packet);
  return true;
}

/// Gives ESP whose SPI can be read, with its record, to the worker it names.
void to_opener(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  const EspOuter outer = outer_of(meta_of(packet));
  if (ends_explained(shard, packet)) return;
  const std::uint32_t worker = Spi::worker(load_be<std::uint32_t>(frame_of(packet), outer.esp));
  OpeningBurst& opening = shard.tunnels_here.opening;
  if (worker != shard.number && worker < shard.shared.shards) {
    shard.hand_off(packet, worker, Resume::kOpen, slot_of(config, meta_of(packet)));
  } else if (opening.full()) {
    refuse(shard, config, packet, DropReason::kHandoffFull);
  } else {
    opening.add(packet, outer);
  }
}

/// One packet out of a train of ESP: the pieces side by side behind a header without options. nullptr: no room or memory.
rte_mbuf* join(Shard& shard, rte_mbuf* train) {
  const PacketMeta& first = meta_of(train);
  const bool ipv4 = is_ipv4(first);
  const std::size_t header = ipv4 ? 20 : 40;
  rte_mbuf* packet = shard.generate();
  if (packet == nullptr) return nullptr;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  std::copy_n(frame_of(train).begin() + first.l3_offset, header, room.begin() + kEthernetBytes);
  std::size_t end = kEthernetBytes + header;
  bool fits = true;
  for_each_piece(train, [&](rte_mbuf* piece) {
    const std::size_t from = piece == train ? first.l4_offset : filters::read_fragment(frame_of(piece), meta_of(piece)).data;
    const auto part = frame_of(piece).subspan(from);
    fits = fits && end + part.size() <= room.size();
    if (!fits) return;
    std::copy(part.begin(), part.end(), room.begin() + static_cast<std::ptrdiff_t>(end));
    end += part.size();
  });
  if (!fits) {
    shard.consume(packet);
    return nullptr;
  }
  const std::span<std::uint8_t> ip = room.subspan(kEthernetBytes, header);
  if (ipv4) {
    ip[0] = 0x45;
    store_be<std::uint16_t>(ip, 2, static_cast<std::uint16_t>(end - kEthernetBytes));
    store_be<std::uint16_t>(ip, 6, 0);
    store_be<std::uint16_t>(ip, 10, 0);
    store_be<std::uint16_t>(ip, 10, checksum_fold(checksum_add(0, ip)));
  } else {
    store_be<std::uint16_t>(ip, 4, static_cast<std::uint16_t>(end - kEthernetBytes - header));
    ip[6] = first.protocol;
  }
  packet->data_len = static_cast<std::uint16_t>(end);
  packet->pkt_len = packet->data_len;
  packet->port = train->port;
  PacketMeta& meta = meta_of(packet);
  meta = first;
  meta.next_piece = 0;
  meta.l3_offset = kEthernetBytes;
  meta.l3_length = static_cast<std::uint16_t>(end - kEthernetBytes);
  meta.l4_offset = static_cast<std::uint16_t>(kEthernetBytes + header);
  meta.payload_offset = static_cast<std::uint16_t>(meta.l4_offset + 8);
  meta.proof = filters::kProofL4 | (ipv4 ? filters::kProofIpv4 : filters::kProofIpv6);
  return packet;
}

void open_joined(Shard& shard, const Runtime& config, rte_mbuf* train) {
  rte_mbuf* packet = join(shard, train);
  if (packet == nullptr) {
    refuse(shard, config, train, DropReason::kVpnSegments);
    return;
  }
  shard.consume(train);
  to_opener(shard, config, packet);
}

/// Whose an IKE datagram is, by the version in its header. What is too short for one is told apart by the daemon.
KeyingDaemon ike_daemon(rte_mbuf* packet) {
  constexpr std::size_t kVersionAt = 17, kMarkerBytes = 4;
  const ByteSpan ike = payload_of(packet).subspan(
      meta_of(packet).destination_port == kNatTraversalPort ? std::min(kMarkerBytes, payload_of(packet).size()) : 0);
  return ike.size() > kVersionAt && ike[kVersionAt] >> 4 == 1 ? KeyingDaemon::kIkeV1 : KeyingDaemon::kIkeV2;
}

/// Gives a datagram to a keying daemon. `tunnel`: the one it came out of.
/// `daemons`: bits of those that get it.
void punt(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t daemons, std::uint32_t tunnel = 0) {
  auto& rings = shard.tunnels_here.punts;
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const DropReason unserved = daemons == bit_of(KeyingDaemon::kPpp) ? DropReason::kL2tpUnserved : DropReason::kIkeUnserved;
  if (ends_explained(shard, packet)) return;
  for (std::size_t i = 0; i < rings.size(); ++i) {
    if (!rings[i].has_value()) daemons &= ~(1U << i);
  }
  if (daemons == 0) {
    refuse(shard, config, packet, unserved);
    return;
  }
  if (!shard.shares[port.tenant_slot].punts.take(shard.shared.quotas[port.tenant_slot].punts, kPunts, 1, shard.steady_ns)) {
    refuse(shard, config, packet, DropReason::kPuntLimit);
    return;
  }
  std::array<ByteSpan, filters::kFragmentPiecesMax> pieces;
  std::size_t count = 0;
  std::size_t left = load_be<std::uint16_t>(frame_of(packet), meta.l4_offset + std::size_t{4}) - std::size_t{8};
  for_each_piece(packet, [&](rte_mbuf* piece) {
    const std::size_t from = piece == packet ? meta.payload_offset : filters::read_fragment(frame_of(piece), meta_of(piece)).data;
    const ByteSpan part = frame_of(piece).subspan(from);
    pieces[count] = part.first(std::min(part.size(), left));
    left -= pieces[count++].size();
  });
  const DatagramHead head{.tenant = meta.tenant,
                          .port = port.id,
                          .local = filters::ip_destination(frame_of(packet), meta),
                          .remote = filters::ip_source(frame_of(packet), meta),
                          .local_port = meta.destination_port,
                          .remote_port = meta.source_port,
                          .tunnel = tunnel};
  bool taken = false;
  for (std::size_t i = 0; i < rings.size(); ++i) {
    if ((daemons >> i & 1U) != 0) taken = rings[i]->push(head, std::span(pieces).first(count)) || taken;
  }
  if (taken) {
    shard.consume(packet);
  } else {
    refuse(shard, config, packet, DropReason::kPuntLimit);
  }
}

/// Whether an opened packet asks everybody by DHCP: the keying daemon alone knows its user's networks and name servers.
bool asks_dhcp(rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  if (meta.destination_port != kDhcpServerPort || meta.protocol != filters::kProtocolUdp) [[likely]] return false;
  if (!is_ipv4(meta) || (meta.proof & filters::kProofL4) == 0) return false;
  return filters::ip_destination(frame_of(packet), meta) == Address::from_v4(0xffffffff);
}

/// Ends a packet that did not come out of its tunnel. Its outer headers are as they were.
void refuse_closed(Shard& shard, const Runtime& config, rte_mbuf* packet, EspFault fault) {
  if (fault == EspFault::kDummy) {
    shard.drop(packet, DropReason::kVpnDummy, slot_of(config, meta_of(packet)));  // a peer's own noise: counted, not told
  } else {
    refuse(shard, config, packet, drop_reason(fault));
  }
}

/// The Port (index) with this id when it is a tunnel Port of the tenant in this generation.
std::uint32_t tunnel_port(WorkerTunnels& here, const Runtime& config, std::uint32_t id, std::uint32_t tenant) {
  if (here.port_generation != config.generation || here.port_id != id) {
    here.port_index = config.find_port(id);
    here.port_generation = config.generation;
    here.port_id = id;
  }
  if (here.port_index == kNoIndex) return kNoIndex;
  const PortEntry& port = config.ports[here.port_index];
  return port.kind == snapshot::PortKind::kTunnel && port.tenant == tenant ? here.port_index : kNoIndex;
}

bool is_syn(const PacketMeta& meta) {
  return meta.protocol == filters::kProtocolTcp && (meta.tcp_flags & kTcpSyn) != 0 && (meta.proof & filters::kProofL4) != 0;
}

/// A SYN offers no larger segments than the tunnel carries.
void clamp_syn(rte_mbuf* packet, std::uint16_t mtu) {
  const PacketMeta& meta = meta_of(packet);
  filters::clamp_mss(frame_of(packet), meta, static_cast<std::uint16_t>(mtu - (is_ipv4(meta) ? 40 : 60)));
}

/// Gives what a transport SA carried beside IP to the daemon that speaks L2TP and PPP.
void punt_l2tp(Shard& shard, const Runtime& config, rte_mbuf* packet, const Sa& sa) {
  if (sa.l2tp->may_punt(seconds_of(shard))) {
    punt(shard, config, packet, bit_of(KeyingDaemon::kPpp), sa.tunnel);
  } else {
    refuse(shard, config, packet, DropReason::kVpnL2tpLimit);
  }
}

/// Makes a packet that was opened one of its tunnel Port: its source is one of the tunnel's Leases. False: it has ended.
bool enter_inner(Shard& shard, const Runtime& config, rte_mbuf* packet, const EspOutcome& opened) {
  PacketMeta& meta = meta_of(packet);
  const std::uint32_t tenant = meta.tenant;
  const std::uint32_t outer = meta.ingress;
  const std::uint32_t generation = meta.generation;
  meta = PacketMeta{};
  meta.session = meta.binding = meta.next_hop = meta.egress = kNoIndex;
  DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, {.ip = false, .l4 = false}, meta);
  give_tenant(meta, tenant);
  packet->port = kNoNic;
  const std::uint32_t port = tunnel_port(shard.tunnels_here, config,
                                         opened.session != nullptr ? opened.session->port : opened.sa->port, tenant);
  meta.ingress = port;
  meta.generation = generation;
  if (reason == DropReason::kNone && port == kNoIndex) reason = DropReason::kVpnNoLease;
  if (reason != DropReason::kNone) {
    place(config, meta, outer);
    refuse(shard, config, packet, reason);
    return false;
  }
  if (asks_dhcp(packet)) [[unlikely]] {
    place(config, meta, port);
    const bool l2tp = opened.session != nullptr;
    punt(shard, config, packet, bit_of(l2tp ? KeyingDaemon::kPpp : KeyingDaemon::kIkeV2), l2tp ? opened.session->tunnel : 0);
    return false;
  }
  if (is_syn(meta)) {
    const auto lease = shard.shared.leases->find(tenant, filters::ip_source(frame_of(packet), meta));
    if (lease && lease->inner_mtu != 0) clamp_syn(packet, lease->inner_mtu);
  }
  return true;
}

/// Opened packets of a burst that raise no question get their flights at once, as enter_plain() gives them to those of a wire.
struct InnerRun {
  std::uint32_t port_id = 0, tenant = 0;
  std::uint32_t at = kNoIndex;  ///< port index; kNoIndex: packets there are not plain
  std::uint64_t packets = 0, bytes = 0;

  void seek(Shard& shard, const Runtime& config, std::uint32_t wanted, std::uint32_t of_tenant) {
    if (wanted == port_id && of_tenant == tenant) [[likely]] return;
    flush(shard, config);
    port_id = wanted;
    tenant = of_tenant;
    at = tunnel_port(shard.tunnels_here, config, wanted, of_tenant);
    if (at != kNoIndex && (config.ports[at].has_gateways != 0 || config.ports[at].raw_mac != 0)) at = kNoIndex;
  }
  void flush(Shard& shard, const Runtime& config) {
    if (packets == 0) return;
    PortCounters& counters = shard.ports[config.ports[at].slot];
    counters.rx_packets.add(packets);
    counters.rx_bytes.add(bytes);
    packets = bytes = 0;
  }
  /// False: enter_inner() and bind() decide; nothing has been done.
  [[gnu::always_inline]] bool takes(Shard& shard, const Runtime& config, rte_mbuf* packet, const EspOuter& outer,
                                    const EspOutcome& opened, Flight& flight) {
    if (outer.recorded && meta_of(packet).generation != config.generation) [[unlikely]] return false;
    seek(shard, config, opened.session != nullptr ? opened.session->port : opened.sa->port, outer.tenant);
    if (at == kNoIndex) [[unlikely]] return false;
    const auto frame = frame_of(packet);
    filters::packet_detail::Decoded d;
    const unsigned type = opened.inner == Family::kIpv4 ? filters::kEtherTypeIpv4 : filters::kEtherTypeIpv6;
    constexpr filters::ChecksumTrust kNone{.ip = false, .l4 = false};
    if (!filters::packet_detail::decode_plain_ip<filters::kEthernetHeaderBytes>(frame, packet->pkt_len, kNone, type, 0, d)) return false;
    const bool tcp = d.protocol == filters::kProtocolTcp && (d.tcp_flags & kTcpSyn) == 0;
    const bool udp = d.protocol == filters::kProtocolUdp && (d.ports & 0xffffU) != kDhcpServerPort;
    if (!tcp && !udp) return false;
    packet->port = kNoNic;
    packets += 1;
    bytes += packet->pkt_len;
    flight.depart(lookup_of(frame, d, outer.tenant, shard.sessions.seed()),
                  Flight::common(at, d.l3_offset, form_of((d.proof & filters::kProofIpv4) != 0, d.protocol)), d.tcp_flags);
    shard.sessions.prefetch_bucket(flight.hash);
    return true;
  }
};

/// open_burst() on this worker's SAs.
void open_some(Shard& shard, std::span<rte_mbuf* const> packets, std::span<const EspOuter> outers, std::span<EspOutcome> outcomes) {
  WorkerTunnels& here = shard.tunnels_here;
  if (here.sas != nullptr) return open_burst(*here.sas, packets, outers, seconds_of(shard), outcomes);
  for (EspOutcome& one : outcomes) one.fault = EspFault::kSpiUnknown;
}

void open_waiting(Shard& shard, const Runtime& config) {
  WorkerTunnels& here = shard.tunnels_here;
  Burst burst;
  burst.count = std::exchange(here.opening.count, std::uint16_t{0});
  std::copy_n(here.opening.packets.begin(), burst.count, burst.packets.begin());
  std::array<EspOuter, kBurstMax> outers;
  std::copy_n(here.opening.outers.begin(), burst.count, outers.begin());
  std::array<EspOutcome, kBurstMax> outcomes;
  const std::uint16_t group = group_of(burst);
  std::uint16_t plain = 0;
  Burst others;
  Flights flights;
  InnerRun run;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    if ((i & (group - 1)) == 0) {
      const std::uint16_t count = std::min(group, static_cast<std::uint16_t>(burst.count - i));
      open_some(shard, burst.live().subspan(i, count), std::span(outers).subspan(i, count), std::span(outcomes).subspan(i, count));
    }
    rte_mbuf* packet = burst.packets[i];
    const EspOutcome& opened = outcomes[i];
    const bool inner = opened.fault == EspFault::kNone && !opened.for_daemon;
    if (inner && run.takes(shard, config, packet, outers[i], opened, flights[plain])) [[likely]] {
      burst.packets[plain++] = packet;
      continue;
    }
    if (!outers[i].recorded) place(config, meta_of(packet), outers[i].ingress);
    if (opened.fault != EspFault::kNone) {
      refuse_closed(shard, config, packet, opened.fault);
    } else if (opened.for_daemon) {
      punt_l2tp(shard, config, packet, *opened.sa);
    } else if (enter_inner(shard, config, packet, opened)) {
      others.packets[others.count++] = packet;
    }
  }
  run.flush(shard, config);
  burst.count = plain;
  if (others.count > 0) {
    bind(shard, config, others, Count::kYes);
    for (rte_mbuf* packet : others.live()) burst.packets[burst.count++] = packet;
    plain = survey(shard, burst, flights, plain);
  }
  proceed_plain(shard, config, burst, flights, plain);
}

/// Keeps a report for the control thread. Nobody takes the places of all: a tenant has four.
void report(WorkerTunnels& here, const PathReport& one) {
  constexpr std::ptrdiff_t kPerTenantMax = 4;
  const auto waiting = std::span(here.path_reports).first(here.path_reported);
  const auto own = std::count_if(waiting.begin(), waiting.end(), [&](const PathReport& other) { return other.tenant == one.tenant; });
  if (waiting.size() < here.path_reports.size() && own < kPerTenantMax) here.path_reports[here.path_reported++] = one;
}

/// A sealed packet is longer than our own way out carries: the configuration changed since its SA was installed.
void report_own(Shard& shard, rte_mbuf* packet, std::uint32_t mtu) {
  const PacketMeta& meta = meta_of(packet);
  const bool in_udp = meta.protocol == filters::kProtocolUdp;
  const auto esp = filters::read_esp_header(frame_of(packet).subspan(in_udp ? meta.payload_offset : meta.l4_offset));
  if (!esp) return;
  report(shard.tunnels_here, {meta.tenant, filters::ip_source(frame_of(packet), meta), filters::ip_destination(frame_of(packet), meta),
                              meta.source_port, meta.destination_port, esp->spi, esp->sequence, mtu});
}

/// Puts an outer packet on its way by the tenant's routes. False: it has ended.
bool find_way_out(Shard& shard, const Runtime& config, rte_mbuf* packet, Sa& sa) {
  PacketMeta& meta = meta_of(packet);
  meta.session = meta.binding = kNoIndex;
  meta.generation = config.generation;
  packet->port = kOwnNic;
  if (sa.way.generation == config.generation && sa.way.tick == shard.now_tick && meta.l3_length <= sa.way.mtu) [[likely]] {
    meta.ingress = meta.egress = sa.way.port;
    meta.next_hop = sa.way.next_hop;
    return true;
  }
  const std::uint32_t at = config.find_tenant(meta.tenant);
  if (at == kNoIndex) {
    shard.drop(packet, DropReason::kPolicyChanged, shard.no_tenant());
    return false;
  }
  const TenantEntry& tenant = config.tenants[at];
  const Address peer = filters::ip_destination(frame_of(packet), meta);
  const std::uint32_t route = tenant.routes.find(peer);
  const RouteTarget* way = route == PrefixTable::kNoValue ? nullptr : &tenant.targets[route];
  DropReason reason = DropReason::kNone;
  if (way == nullptr || !is_forwardable(way) || way->kind == RouteKind::kTunnel) reason = DropReason::kNoRoute;
  const Hop hop = reason == DropReason::kNone ? hop_of(shard, config, *way, peer) : Hop{};
  if (reason == DropReason::kNone && hop.next_hop == kNoIndex) reason = DropReason::kNeighbourUnresolved;
  if (reason == DropReason::kNone) {
    const bool whole = !is_ipv4(meta) || (load_be<std::uint16_t>(frame_of(packet), meta.l3_offset + std::size_t{6}) & 0x4000U) != 0;
    const PortEntry& wire = config.ports[config.ports[hop.port].wire];
    if (whole && meta.l3_length > wire.mtu) {
      reason = DropReason::kVpnTooBig;
      report_own(shard, packet, wire.mtu);
    }
  }
  if (reason != DropReason::kNone) {
    shard.drop(packet, reason, tenant.slot);
    return false;
  }
  meta.ingress = meta.egress = hop.port;
  meta.next_hop = hop.next_hop;
  sa.way = {config.generation, shard.now_tick, hop.port, hop.next_hop, config.ports[config.ports[hop.port].wire].mtu};
  return true;
}

/// Ends an inner packet that did not get into its tunnel.
void refuse_open(Shard& shard, const Runtime& config, rte_mbuf* packet, DropReason reason) {
  PacketMeta& meta = meta_of(packet);
  const bool known = meta.ingress != kNoIndex && meta.generation == config.generation && reason != DropReason::kVpnCrypto;
  if (known) {
    meta.session = kNoIndex;
    refuse(shard, config, packet, reason);
    return;
  }
  const std::uint32_t tenant = config.find_tenant(meta.tenant);
  shard.drop(packet, reason, tenant == kNoIndex ? shard.no_tenant() : config.tenants[tenant].slot);
}

/// Seals packets with this worker's SAs and sends them.
void seal_some(Shard& shard, const Runtime& config, std::span<rte_mbuf* const> packets, std::span<EspOutcome> outcomes) {
  WorkerTunnels& here = shard.tunnels_here;
  std::array<std::uint32_t, kBurstMax> handles;
  for (std::size_t i = 0; i < packets.size(); ++i) handles[i] = meta_of(packets[i]).session;
  if (here.sas == nullptr) {
    for (std::size_t i = 0; i < packets.size(); ++i) outcomes[i].fault = EspFault::kSaMissing;
  } else {
    seal_burst(*here.sas, packets, handles, seconds_of(shard), outcomes);
  }
  Burst sealed;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    rte_mbuf* packet = packets[i];
    if (outcomes[i].fault != EspFault::kNone) [[unlikely]] {
      refuse_open(shard, config, packet, drop_reason(outcomes[i].fault));
      continue;
    }
    meta_of(packet).ttl = kOwnHops;
    if (find_way_out(shard, config, packet, *outcomes[i].sa)) sealed.packets[sealed.count++] = packet;
  }
  forward(shard, config, sealed);
}

void seal_waiting(Shard& shard, const Runtime& config) {
  WorkerTunnels& here = shard.tunnels_here;
  Burst burst = here.sealing;
  here.sealing.count = 0;
  std::array<EspOutcome, kBurstMax> outcomes;
  const Sa* const first = here.sas == nullptr ? nullptr : here.sas->find(meta_of(burst.packets[0]).session);
  const std::uint16_t group = first == nullptr || in_lanes(*first) ? kBurstMax : group_of(burst);
  for (std::uint16_t from = 0; from < burst.count; from = static_cast<std::uint16_t>(from + group)) {
    const std::uint16_t count = std::min(group, static_cast<std::uint16_t>(burst.count - from));
    seal_some(shard, config, burst.live().subspan(from, count), outcomes);
  }
}

}  // namespace

DropReason drop_reason(EspFault fault) noexcept {
  switch (fault) {
    case EspFault::kNone: return DropReason::kNone;
    case EspFault::kSpiUnknown: return DropReason::kVpnSpiUnknown;
    case EspFault::kLength: return DropReason::kVpnLength;
    case EspFault::kReplay: return DropReason::kVpnReplay;
    case EspFault::kAuth: return DropReason::kVpnAuth;
    case EspFault::kPadding: return DropReason::kVpnPadding;
    case EspFault::kNextHeader: return DropReason::kVpnNextHeader;
    case EspFault::kDummy: return DropReason::kVpnDummy;
    case EspFault::kInnerFormat: return DropReason::kVpnInnerFormat;
    case EspFault::kInnerSpoof: return DropReason::kVpnInnerSpoof;
    case EspFault::kEcn: return DropReason::kVpnEcn;
    case EspFault::kL2tpFormat: return DropReason::kVpnL2tpFormat;
    case EspFault::kL2tpSession: return DropReason::kVpnL2tpSession;
    case EspFault::kSelectors: return DropReason::kVpnSelectors;
    case EspFault::kExpired: return DropReason::kVpnExpired;
    case EspFault::kSegments: return DropReason::kVpnSegments;
    case EspFault::kSaMissing: return DropReason::kVpnSaMissing;
    case EspFault::kSequenceEnd: return DropReason::kVpnSequenceEnd;
    case EspFault::kTooBig: return DropReason::kVpnTooBig;
    case EspFault::kRoom: return DropReason::kVpnRoom;
    case EspFault::kCrypto: return DropReason::kVpnCrypto;
    case EspFault::kCount: break;
  }
  return DropReason::kVpnCrypto;
}

bool take(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if ((meta.proof & filters::kProofL4) == 0) return false;
  const bool udp = meta.protocol == filters::kProtocolUdp && meta.destination_port == kNatTraversalPort;
  if (!udp && meta.protocol != filters::kProtocolEsp) return false;
  if (!to_gateway(shard, config, at, packet)) return false;
  if (udp) {
    switch (filters::classify_udp_encapsulated(payload_of(packet))) {
      case filters::UdpEncapsulated::kIke: return false;
      case filters::UdpEncapsulated::kKeepalive: shard.consume(packet); return true;
      case filters::UdpEncapsulated::kMalformed: refuse(shard, config, packet, DropReason::kVpnLength); return true;
      case filters::UdpEncapsulated::kEsp: break;
    }
  }
  to_opener(shard, config, packet);
  return true;
}

namespace {

/// From its port to one of ours, or from anywhere to the port of changes where it may.
bool radius_ports_fit(const snapshot::RadiusPeer& peer, std::uint16_t local_port, std::uint16_t remote_port) {
  const bool answer = local_port >= snapshot::kRadiusOwnPortFirst && (remote_port == peer.port || remote_port == peer.accounting_port);
  return answer || (peer.changes != 0 && local_port == snapshot::kRadiusChangePort);
}

/// Whether a packet to an own address comes from a RADIUS server of the tenant's.
bool is_radius(const Runtime& config, rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  if (meta.protocol != filters::kProtocolUdp || (meta.proof & filters::kProofL4) == 0) return false;
  const auto frame = frame_of(packet);
  const snapshot::RadiusPeer* peer =
      config.find_radius(config.ports[meta.ingress].tenant_index, filters::ip_destination(frame, meta), filters::ip_source(frame, meta));
  return peer != nullptr && radius_ports_fit(*peer, meta.destination_port, meta.source_port);
}

}  // namespace

bool PeerRun::is_foreign(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t uplink, std::size_t l3, bool ipv4) {
  const std::uint8_t* const wire = frame_of(packet).data() + l3 + (ipv4 ? 12 : 8);
  const Family family = ipv4 ? Family::kIpv4 : Family::kIpv6;
  repeats_ = family == source_.family && same_address(wire, source_.bytes.data(), ipv4);
  if (repeats_) return true;
  Address source;
  source.family = family;
  std::memcpy(source.bytes.data(), wire, ipv4 ? 4 : 16);
  const PortEntry& wire_port = config.ports[uplink];
  if (config.owner(uplink, source) != kNoIndex || local::is_own(wire_port, source)) return false;
  const WorkerTunnels& here = shard.tunnels_here;
  if (config.owner(uplink, here.gateway) != here.gateway_port || local::is_own(wire_port, here.gateway)) return false;
  source_ = source;
  return true;
}

bool PeerRun::takes(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::packet_detail::Decoded& d,
                    std::uint32_t uplink) noexcept {
  WorkerTunnels& here = shard.tunnels_here;
  const bool ipv4 = (d.proof & filters::kProofIpv4) != 0;
  if (here.gateway_generation != config.generation || here.gateway.family != (ipv4 ? Family::kIpv4 : Family::kIpv6)) return false;
  const PortEntry& port = config.ports[here.gateway_port];
  const auto frame = frame_of(packet);
  if (port.wire != uplink || port.kind != snapshot::PortKind::kShare || port.policed != 0) return false;
  if (raw_mac_at(frame) != port.raw_mac) return false;
  if (!same_address(frame.data() + d.l3_offset + (ipv4 ? 16 : 24), here.gateway.bytes.data(), ipv4)) return false;
  const bool udp = d.protocol == filters::kProtocolUdp;
  if (udp ? (d.ports & 0xffffU) != kNatTraversalPort : d.protocol != filters::kProtocolEsp) return false;
  const std::size_t esp = udp ? d.payload_offset : d.l4_offset, end = d.l3_offset + d.l3_length;
  if (end > frame.size()) return false;
  if (udp && filters::classify_udp_encapsulated(frame.subspan(esp, end - esp)) != filters::UdpEncapsulated::kEsp) return false;
  if (!is_foreign(shard, config, packet, uplink, d.l3_offset, ipv4)) return false;
  wire_ = uplink;
  packets_ += 1;
  bytes_ += packet->pkt_len;
  const bool here_now = Spi::worker(load_be<std::uint32_t>(frame, esp)) == shard.number && !here.opening.full();
  if (!here_now || here.sas == nullptr || shard.trace != nullptr) [[unlikely]] {
    filters::packet_detail::store_decoded(meta_of(packet), d);
    place(config, meta_of(packet), here.gateway_port);
    to_opener(shard, config, packet);
    return true;
  }
  const EspOuter outer{.tenant = port.tenant,
                       .ingress = here.gateway_port,
                       .ip = static_cast<std::uint16_t>(d.l3_offset),
                       .esp = static_cast<std::uint16_t>(esp),
                       .end = static_cast<std::uint16_t>(end),
                       .port = udp ? static_cast<std::uint16_t>(d.ports >> 16) : std::uint16_t{0},
                       .in_udp = udp,
                       .ipv6 = !ipv4,
                       .recorded = false};
  here.opening.add(packet, outer);
  if (repeats_) {
    look_.learn(frame, d);
    known_ = outer;
    nic_ = packet->port;
  }
  return true;
}

void PeerRun::flush(Shard& shard, const Runtime& config) noexcept {
  if (packets_ == 0) return;
  PortCounters& counters = shard.ports[config.ports[wire_].slot];
  counters.rx_packets.add(packets_);
  counters.rx_bytes.add(bytes_);
  packets_ = bytes_ = 0;
}

bool deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if (is_radius(config, packet)) {
    const bool answers = meta.destination_port >= kRadiusPortsFirst;
    // A request of a server's own is about a session of any daemon's that asks servers: each looks whether it has that one.
    constexpr std::uint32_t kAsking = bit_of(KeyingDaemon::kIkeV2) | bit_of(KeyingDaemon::kPpp) | bit_of(KeyingDaemon::kPptp);
    punt(shard, config, packet, answers ? bit_of(radius_ports_owner(meta.destination_port)) : kAsking);
    return true;
  }
  if (config.ports[meta.ingress].has_gateways == 0) return false;
  if (service::deliver(shard, config, packet)) return true;
  const bool esp = meta.protocol == filters::kProtocolEsp;
  const bool ike = meta.protocol == filters::kProtocolUdp && meta.destination_port == kIkePort;
  const bool either = meta.protocol == filters::kProtocolUdp && meta.destination_port == kNatTraversalPort;
  const bool l2tp = meta.protocol == filters::kProtocolUdp && meta.destination_port == filters::kL2tpPort;
  if (!esp && !ike && !either && !l2tp) return false;
  if (!is_gateway(shard, config, meta.ingress, filters::ip_destination(frame_of(packet), meta))) return false;
  if (l2tp) {
    refuse(shard, config, packet, DropReason::kL2tpClear);
    return true;
  }
  const bool encrypted = esp || (either && filters::classify_udp_encapsulated(payload_of(packet)) == filters::UdpEncapsulated::kEsp);
  if (!encrypted) {
    punt(shard, config, packet, bit_of(ike_daemon(packet)));
  } else if (is_train(packet)) {
    open_joined(shard, config, packet);
  } else {
    to_opener(shard, config, packet);
  }
  return true;
}

std::uint32_t port_of(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const auto lease = shard.shared.leases->find(meta.tenant, filters::ip_source(frame_of(packet), meta));
  if (!lease) return kNoIndex;
  return tunnel_port(shard.tunnels_here, config, lease->port, meta.tenant);
}

bool note_too_big(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::QuotedPacket& quoted) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if (config.ports[meta.ingress].has_gateways == 0 || !is_gateway(shard, config, meta.ingress, quoted.source)) return false;
  const auto esp = filters::read_quoted_esp(frame_of(packet), meta, quoted);
  if (!esp) return false;
  if (ends_explained(shard, packet)) return true;
  report(shard.tunnels_here, {meta.tenant, quoted.source, quoted.destination, quoted.source_port, quoted.destination_port, esp->spi,
                              esp->sequence, esp->mtu});
  shard.consume(packet);
  return true;
}

void seal(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t handle) noexcept {
  PacketMeta& meta = meta_of(packet);
  meta.session = handle;
  if (shard.trace != nullptr) [[unlikely]] {  // explained: it would go
    shard.consume(packet);
    return;
  }
  const std::uint32_t worker = Spi::worker(handle);
  if (worker != shard.number && worker < shard.shared.shards) {
    shard.hand_off(packet, worker, Resume::kSeal, slot_of(config, meta));
    return;
  }
  Burst& sealing = shard.tunnels_here.sealing;
  if (sealing.count == kBurstMax) seal_waiting(shard, config);
  sealing.packets[sealing.count++] = packet;
}

namespace {

/// Gives an inner packet to the ring of the daemon that has its tunnel. False: there is no room, or no daemon.
bool push(Shard& shard, rte_mbuf* packet, const Lease& lease) {
  std::optional<DatagramRingWriter>& ring = shard.tunnels_here.punts[lease.tunnel >> kTunnelOwnerShift];
  const PacketMeta& meta = meta_of(packet);
  DatagramHead head;
  head.tenant = meta.tenant;
  head.port = lease.port;
  head.local = head.remote = Address::from_v4(0);  // it has no ends outside
  head.tunnel = lease.tunnel;
  return ring.has_value() && ring->push(head, std::array{ByteSpan(frame_of(packet).subspan(meta.l3_offset, meta.l3_length))});
}

}  // namespace

void into(Shard& shard, const Runtime& config, rte_mbuf* packet, const Lease& lease) noexcept {
  if (lease.outbound != Lease::kRing) return seal(shard, config, packet, lease.outbound);
  if (shard.trace != nullptr || push(shard, packet, lease)) {
    shard.consume(packet);
    return;
  }
  refuse_open(shard, config, packet, DropReason::kVpnRingFull);
}

bool SealRun::seek(Shard& shard, const Runtime& config, std::uint32_t egress, Family family, const std::uint8_t* destination) noexcept {
  if (egress != egress_) {
    flush(shard);
    egress_ = egress;
    slot_ = config.ports[egress].slot;
    family_ = Family::kNone;
  }
  if (family == family_ && same_address(destination, destination_.data(), family == Family::kIpv4)) return true;
  family_ = Family::kNone;
  const PortEntry& port = config.ports[egress];
  const auto lease = shard.shared.leases->find(port.tenant, family, destination);
  const bool sealed = lease && lease->port == port.id && lease->outbound != 0 && lease->outbound != Lease::kRing;
  if (!sealed || lease->worker() != shard.number) return false;
  family_ = family;
  std::memcpy(destination_.data(), destination, family == Family::kIpv4 ? 4 : 16);
  outbound_ = lease->outbound;
  inner_mtu_ = lease->inner_mtu;
  return true;
}

bool SealRun::takes(Shard& shard, const Runtime& config, rte_mbuf* packet, Flight& flight, std::uint32_t egress) noexcept {
  const bool ipv4 = !flight.ipv6();
  std::uint8_t* const ip = frame_of(packet).data() + flight.l3_offset;
  if (!seek(shard, config, egress, ipv4 ? Family::kIpv4 : Family::kIpv6, ip + (ipv4 ? 16 : 24))) return false;
  const std::uint32_t length = load_be<std::uint16_t>({ip, 20}, ipv4 ? 2 : 4) + (ipv4 ? 0U : 40U);
  if (ip[ipv4 ? 8 : 7] <= 1 || length > inner_mtu_) return false;
  write_record(config, packet, flight);
  count_hop(ip, ipv4);
  packets_ += 1;
  bytes_ += length;
  PacketMeta& meta = meta_of(packet);
  meta.session = outbound_;
  meta.egress = egress;
  Burst& sealing = shard.tunnels_here.sealing;
  if (sealing.count == kBurstMax) seal_waiting(shard, config);
  sealing.packets[sealing.count++] = packet;
  return true;
}

void SealRun::flush(Shard& shard) noexcept {
  if (packets_ == 0) return;
  shard.ports[slot_].tx_packets.add(packets_);
  shard.ports[slot_].tx_bytes.add(bytes_);
  packets_ = bytes_ = 0;
}

void answer(Shard& shard, rte_mbuf* packet, const PortEntry& port) noexcept {
  PacketMeta& meta = meta_of(packet);
  const DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, {.ip = true, .l4 = true}, meta);
  give_tenant(meta, port.tenant);
  meta.ingress = kNoIndex;
  const bool ip = reason == DropReason::kNone && (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  const auto lease = ip ? shard.shared.leases->find(port.tenant, filters::ip_destination(frame_of(packet), meta)) : std::nullopt;
  const bool reachable = lease && lease->port == port.id && lease->outbound != 0;
  if (!reachable) {
    shard.drop(packet, DropReason::kVpnNoLease, port.tenant_slot);
    return;
  }
  if (lease->outbound == Lease::kRing) {
    push(shard, packet, *lease) ? shard.consume(packet) : shard.drop(packet, DropReason::kVpnRingFull, port.tenant_slot);
    return;
  }
  meta.session = lease->outbound;
  Burst& sealing = shard.tunnels_here.sealing;
  if (lease->worker() != shard.number && lease->worker() < shard.shared.shards) {
    shard.hand_off(packet, lease->worker(), Resume::kSeal, port.tenant_slot);
  } else if (sealing.count == kBurstMax) {
    shard.drop(packet, DropReason::kHandoffFull, port.tenant_slot);
  } else {
    sealing.packets[sealing.count++] = packet;
  }
}

void serve(Shard& shard, const Runtime& config) noexcept {
  WorkerTunnels& here = shard.tunnels_here;
  while (here.waiting()) {
    if (here.opening.count > 0) open_waiting(shard, config);
    if (here.sealing.count > 0) seal_waiting(shard, config);
  }
}

namespace {

/// The bytes in front of one piece of an injected datagram: its IP header, for IPv6 a fragment header too when it is one.
struct OwnHeader {
  Address local, remote;
  std::uint32_t id;
  std::size_t bytes;

  /// A piece of `length` bytes that begins at `begin` of the datagram; `cut`: not all of it.
  void write(std::span<std::uint8_t> out, std::size_t begin, std::size_t length, bool more, bool cut) const {
    std::fill_n(out.begin(), bytes, std::uint8_t{0});
    const auto local_bytes = local.wire();
    const auto remote_bytes = remote.wire();
    if (local.family == Family::kIpv4) {
      out[0] = 0x45;
      store_be<std::uint16_t>(out, 2, static_cast<std::uint16_t>(bytes + length));
      store_be<std::uint16_t>(out, 4, static_cast<std::uint16_t>(id));
      store_be<std::uint16_t>(out, 6, static_cast<std::uint16_t>((more ? 0x2000U : 0U) | begin / 8));
      out[8] = kOwnHops;
      out[9] = filters::kProtocolUdp;
      std::copy(local_bytes.begin(), local_bytes.end(), out.begin() + 12);
      std::copy(remote_bytes.begin(), remote_bytes.end(), out.begin() + 16);
      store_be<std::uint16_t>(out, 10, checksum_fold(checksum_add(0, out.first(20))));
      return;
    }
    constexpr std::uint8_t kFragmentHeader = 44;
    out[0] = 0x60;
    store_be<std::uint16_t>(out, 4, static_cast<std::uint16_t>(bytes - 40 + length));
    out[6] = cut ? kFragmentHeader : filters::kProtocolUdp;
    out[7] = kOwnHops;
    std::copy(local_bytes.begin(), local_bytes.end(), out.begin() + 8);
    std::copy(remote_bytes.begin(), remote_bytes.end(), out.begin() + 24);
    if (!cut) return;
    out[40] = filters::kProtocolUdp;
    store_be<std::uint16_t>(out, 42, static_cast<std::uint16_t>(begin | (more ? 1U : 0U)));
    store_be<std::uint32_t>(out, 44, id);
  }
};

/// Whether the daemon may say this: from a gateway's address and an IKE port, when it speaks IKE, or to a RADIUS server of the tenant from
/// a port of its own.
bool may_say(const Runtime& config, KeyingDaemon daemon, std::uint32_t port, std::uint32_t tenant, const DatagramHead& head) {
  if (head.remote_port == 0 || head.local.family != head.remote.family) return false;
  const bool ike = head.local_port == kIkePort || head.local_port == kNatTraversalPort;
  const bool speaks = daemon == KeyingDaemon::kIkeV1 || daemon == KeyingDaemon::kIkeV2;
  if (ike) return speaks && config.find_gateway(port, head.local) != nullptr;
  if (head.local_port >= kRadiusPortsFirst && radius_ports_owner(head.local_port) != daemon) return false;
  const snapshot::RadiusPeer* peer = config.find_radius(tenant, head.local, head.remote);
  return peer != nullptr && radius_ports_fit(*peer, head.local_port, head.remote_port);
}

/// Whether the daemon may say this, and by which way.
bool way_of(Shard& shard, const Runtime& config, KeyingDaemon daemon, const DatagramHead& head, Hop& hop) {
  const std::uint32_t at = config.find_port(head.port);
  const std::uint32_t tenant_index = config.find_tenant(head.tenant);
  if (at == kNoIndex || tenant_index == kNoIndex || config.ports[at].tenant != head.tenant) return false;
  if (!may_say(config, daemon, at, tenant_index, head)) return false;
  const TenantEntry& tenant = config.tenants[tenant_index];
  const std::uint32_t route = tenant.routes.find(head.remote);
  if (route == PrefixTable::kNoValue || !is_forwardable(&tenant.targets[route])) return false;
  if (tenant.targets[route].kind == RouteKind::kTunnel) return false;
  hop = hop_of(shard, config, tenant.targets[route], head.remote);
  return hop.next_hop != kNoIndex;
}

/// Sends a UDP datagram, cut to what the way carries. `datagram`: UDP header and payload.
void send_datagram(Shard& shard, const Runtime& config, const DatagramHead& head, ByteSpan datagram, const Hop& hop) {
  const bool ipv4 = head.local.family == Family::kIpv4;
  const std::size_t mtu = config.ports[config.ports[hop.port].wire].mtu;
  const std::size_t plain = ipv4 ? 20 : 40;
  const bool cut = plain + datagram.size() > mtu;
  OwnHeader header{head.local, head.remote, ++shard.tunnels_here.datagram_id, plain + (cut && !ipv4 ? 8U : 0U)};
  const std::size_t step = cut ? (mtu - header.bytes) / 8 * 8 : datagram.size();
  Burst burst;
  for (std::size_t at = 0; at < datagram.size(); at += step) {
    rte_mbuf* packet = shard.generate();
    if (packet == nullptr) break;  // the peer asks again
    const std::size_t length = std::min(step, datagram.size() - at);
    const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
    SEKISHO_DCHECK(kEthernetBytes + header.bytes + length <= room.size());
    std::fill_n(room.begin(), kEthernetBytes, std::uint8_t{0});
    header.write(room.subspan(kEthernetBytes), at, length, at + length < datagram.size(), cut);
    const auto part = datagram.subspan(at, length);
    std::copy(part.begin(), part.end(), room.subspan(kEthernetBytes + header.bytes).begin());
    packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + header.bytes + length);
    packet->pkt_len = packet->data_len;
    PacketMeta& meta = meta_of(packet);
    give_tenant(meta, head.tenant);
    meta.generation = config.generation;
    meta.session = meta.binding = kNoIndex;
    meta.ingress = meta.egress = hop.port;
    meta.next_hop = hop.next_hop;
    meta.l3_offset = kEthernetBytes;
    meta.l4_offset = static_cast<std::uint16_t>(kEthernetBytes + header.bytes);
    meta.l3_length = static_cast<std::uint16_t>(header.bytes + length);
    meta.protocol = filters::kProtocolUdp;
    meta.ttl = kOwnHops;
    meta.proof = ipv4 ? filters::kProofIpv4 : filters::kProofIpv6;
    packet->port = kOwnNic;
    burst.packets[burst.count++] = packet;
    if (burst.count == kBurstMax) forward(shard, config, burst);
  }
  forward(shard, config, burst);
}

/// Whether the daemon may answer this by DHCP: to a client of a tunnel Port of the tenant, as who answers there.
bool is_dhcp_answer(const Runtime& config, const DatagramHead& head, std::size_t length) {
  constexpr std::size_t kLengthMax = 1300;  // each tunnel carries it whole
  const std::uint32_t at = config.find_port(head.port);
  return at != kNoIndex && config.ports[at].kind == snapshot::PortKind::kTunnel && config.ports[at].tenant == head.tenant &&
         head.local == Address::from_v4(kTunnelDhcpServerV4) && head.remote.family == Family::kIpv4 &&
         head.remote_port == kDhcpClientPort && length <= kLengthMax;
}

/// Whether the Lease it is for, when there is one, is of the daemon's own tunnels.
bool is_own_lease(const Shard& shard, KeyingDaemon daemon, const DatagramHead& head) {
  const auto lease = shard.shared.leases->find(head.tenant, head.remote);
  return !lease || lease->tunnel >> kTunnelOwnerShift == index_of(daemon);
}

/// Sends what is_dhcp_answer() let pass through the tunnel of the Lease it is for.
void send_dhcp(Shard& shard, const Runtime& config, const DatagramHead& head, ByteSpan datagram) {
  constexpr std::size_t kHeader = 20;
  rte_mbuf* packet = shard.generate();
  if (packet == nullptr) return;  // the client asks again
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  const std::span<std::uint8_t> ip = room.subspan(kEthernetBytes, kHeader + datagram.size());
  std::fill_n(room.begin(), kEthernetBytes, std::uint8_t{0});
  store_be<std::uint16_t>(room, 12, 0x0800);  // IPv4
  OwnHeader{head.local, head.remote, ++shard.tunnels_here.datagram_id, kHeader}.write(ip, 0, datagram.size(), false, false);
  std::copy(datagram.begin(), datagram.end(), ip.begin() + kHeader);
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + ip.size());
  packet->pkt_len = packet->data_len;
  packet->port = kOwnNic;
  answer(shard, packet, config.ports[config.find_port(head.port)]);
}

}  // namespace

namespace {

/// A packet that a daemon says came out of a tunnel without SAs: nullptr when it has ended. Its source is one of the tunnel's Leases,
/// and it is its tunnel Port's, like one that was opened.
rte_mbuf* enter_ring(Shard& shard, const Runtime& config, const DatagramHead& head, ByteSpan inner) {
  const std::uint32_t port = tunnel_port(shard.tunnels_here, config, head.port, head.tenant);
  rte_mbuf* packet = port == kNoIndex || inner.empty() ? nullptr : shard.generate();
  if (packet == nullptr) return nullptr;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  const std::size_t length = std::min(inner.size(), room.size() - kEthernetBytes);  // one that is cut is malformed
  std::fill_n(room.begin(), 12, std::uint8_t{0});
  store_be<std::uint16_t>(room, 12, inner[0] >> 4 == 6 ? std::uint16_t{0x86dd} : std::uint16_t{0x0800});
  std::copy_n(inner.begin(), length, room.begin() + kEthernetBytes);
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + length);
  packet->pkt_len = packet->data_len;
  packet->port = kNoNic;
  PacketMeta& meta = meta_of(packet);
  DropReason reason = filters::decode(frame_of(packet), packet->pkt_len, {.ip = false, .l4 = false}, meta);
  const bool ip = reason == DropReason::kNone && (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  if (reason == DropReason::kNone && !ip) reason = DropReason::kVpnInnerFormat;
  const auto lease = ip ? shard.shared.leases->find(head.tenant, filters::ip_source(frame_of(packet), meta)) : std::nullopt;
  if (ip && (!lease || lease->tunnel != head.tunnel || lease->port != head.port)) reason = DropReason::kVpnInnerSpoof;
  if (reason != DropReason::kNone) {
    place(config, meta, port);
    refuse(shard, config, packet, reason);
    return nullptr;
  }
  give_tenant(meta, head.tenant);
  meta.ingress = port;
  meta.generation = config.generation;
  if (asks_dhcp(packet)) [[unlikely]] {
    place(config, meta, port);
    punt(shard, config, packet, 1U << (head.tunnel >> kTunnelOwnerShift));
    return nullptr;
  }
  if (is_syn(meta)) clamp_syn(packet, lease->inner_mtu);
  return packet;
}

/// Sends an L2TP datagram of the daemon through the newest SA of the carrier it names. False: there is none, or no memory.
bool send_l2tp(Shard& shard, const Runtime& config, const DatagramHead& head, ByteSpan payload) {
  WorkerTunnels& here = shard.tunnels_here;
  const auto carrier = here.carriers.find(head.tunnel);
  if (carrier == here.carriers.end() || carrier->second.tenant != head.tenant || carrier->second.outbound == 0) return false;
  const std::uint32_t tenant = config.find_tenant(head.tenant);
  const std::size_t length = filters::kL2tpUdpBytes + payload.size();
  if (tenant == kNoIndex || head.remote_port == 0 || length > kL2tpDatagramMax) return false;
  rte_mbuf* packet = shard.generate();
  if (packet == nullptr) return false;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  const std::span<std::uint8_t> udp = room.subspan(kEthernetBytes, length);
  std::fill_n(room.begin(), kEthernetBytes, std::uint8_t{0});
  store_be<std::uint16_t>(udp, 0, filters::kL2tpPort);
  store_be<std::uint16_t>(udp, 2, head.remote_port);
  store_be<std::uint16_t>(udp, 4, static_cast<std::uint16_t>(length));
  store_be<std::uint16_t>(udp, 6, 0);
  std::copy(payload.begin(), payload.end(), udp.begin() + filters::kL2tpUdpBytes);
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + length);
  packet->pkt_len = packet->data_len;
  packet->port = kOwnNic;
  PacketMeta& meta = meta_of(packet);  // no proof: nothing of IP lies there
  give_tenant(meta, head.tenant);
  meta.ingress = meta.binding = kNoIndex;
  meta.session = carrier->second.outbound;
  meta.generation = config.generation;
  meta.l3_offset = kEthernetBytes;
  meta.l3_length = static_cast<std::uint16_t>(length);
  const std::uint32_t worker = Spi::worker(meta.session);
  if (worker != shard.number && worker < shard.shared.shards) {
    shard.hand_off(packet, worker, Resume::kSeal, config.tenants[tenant].slot);
    return true;
  }
  if (here.sealing.count == kBurstMax) seal_waiting(shard, config);
  here.sealing.packets[here.sealing.count++] = packet;
  return true;
}

void carry_inner(Shard& shard, const Runtime& config, Burst& burst) {
  if (burst.count == 0) return;
  bind(shard, config, burst, Count::kYes);
  proceed(shard, config, burst, kUnwatched);
}

void inject_of(Shard& shard, const Runtime& config, KeyingDaemon daemon) {
  constexpr std::size_t kUdpBytes = 8;
  WorkerTunnels& here = shard.tunnels_here;
  std::optional<DatagramRingReader>& ring = here.injects[index_of(daemon)];
  Burst inner;
  for (unsigned left = kInjectPerTurnMax; left > 0; --left) {
    DatagramHead head;
    bool found = false;
    const std::span<std::uint8_t> room{here.inject_room.get(), WorkerTunnels::kInjectRoom};
    const auto length = ring->pop(head, room.subspan(kUdpBytes), found);
    if (!length) {
      ring.reset();  // its writer is no longer one of ours
      here.injecting &= ~bit_of(daemon);
      break;
    }
    if (!found) break;
    if (head.tunnel != 0 && head.local_port == 0) {
      rte_mbuf* packet = head.tunnel >> kTunnelOwnerShift != index_of(daemon)
                             ? nullptr
                             : enter_ring(shard, config, head, room.subspan(kUdpBytes, *length));
      if (packet != nullptr) inner.packets[inner.count++] = packet;
      continue;
    }
    if (head.tunnel != 0 && head.local_port == filters::kL2tpPort) {
      const bool sent = daemon == KeyingDaemon::kPpp && send_l2tp(shard, config, head, room.subspan(kUdpBytes, *length));
      if (!sent) here.inject_refused.add(1);
      continue;
    }
    const bool dhcp = head.local_port == kDhcpServerPort;
    Hop hop;
    const bool may = dhcp ? is_dhcp_answer(config, head, *length) && is_own_lease(shard, daemon, head)
                          : way_of(shard, config, daemon, head, hop);
    if (!may) {
      here.inject_refused.add(1);
      continue;
    }
    const std::span<std::uint8_t> datagram = room.first(kUdpBytes + *length);
    store_be<std::uint16_t>(datagram, 0, head.local_port);
    store_be<std::uint16_t>(datagram, 2, head.remote_port);
    store_be<std::uint16_t>(datagram, 4, static_cast<std::uint16_t>(datagram.size()));
    store_be<std::uint16_t>(datagram, 6, 0);
    const std::uint32_t sum =
        pseudo_header_sum(head.local, head.remote, filters::kProtocolUdp, static_cast<std::uint32_t>(datagram.size()));
    const std::uint16_t folded = checksum_fold(checksum_add(sum, datagram));
    store_be<std::uint16_t>(datagram, 6, folded == 0 ? std::uint16_t{0xffff} : folded);
    dhcp ? send_dhcp(shard, config, head, datagram) : send_datagram(shard, config, head, datagram, hop);
  }
  carry_inner(shard, config, inner);
}

}  // namespace

void inject(Shard& shard, const Runtime& config) noexcept {
  for (std::size_t i = 0; i < kKeyingDaemons; ++i) {
    const std::optional<DatagramRingReader>& ring = shard.tunnels_here.injects[i];
    if (ring.has_value() && !ring->empty()) inject_of(shard, config, static_cast<KeyingDaemon>(i));
  }
}

}  // namespace sekisho::dataplane::path::tunnel
