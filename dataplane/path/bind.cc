// SPDX-License-Identifier: Apache-2.0
#include "filters/link/binding_guard.h"
#include "filters/link/plain_look.h"

#include <array>
#include <cstring>
#include <tuple>

#include "dataplane/path/express.h"
#include "dataplane/path/local.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/path.h"
#include "dataplane/path/quarantine.h"
#include "dataplane/path/record.h"
#include "dataplane/path/service.h"
#include "dataplane/path/tunnels.h"
#include "filters/packet/address_class.h"
#include "filters/packet/fields.h"
#include "filters/packet/nd.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

Address source_of(rte_mbuf* packet) { return filters::ip_source(frame_of(packet), meta_of(packet)); }
Address destination_of(rte_mbuf* packet) { return filters::ip_destination(frame_of(packet), meta_of(packet)); }

/// Packets of a run on a shared uplink mostly have the ends of the one before: what was found out of them holds for a burst.
struct ShareRun {
  std::array<std::uint64_t, 4> ends{};  ///< both addresses as they lie in the packet
  std::uint32_t uplink = kNoIndex;
  std::uint32_t proof = 0;              ///< its family
  std::uint32_t share = kNoIndex;       ///< where such a packet belongs; kNoIndex: nothing is known

  /// True when the packet is like the one before; else its ends are kept and nothing is known of them.
  bool seek(rte_mbuf* packet, std::uint32_t at) {
    const PacketMeta& meta = meta_of(packet);
    std::array<std::uint64_t, 4> next{};
    const std::uint32_t family = meta.proof & (filters::kProofIpv4 | filters::kProofIpv6);
    if (family == filters::kProofIpv4) {
      std::memcpy(next.data(), frame_of(packet).subspan(meta.l3_offset + std::size_t{12}).data(), 8);
    } else if (family == filters::kProofIpv6) {
      std::memcpy(next.data(), frame_of(packet).subspan(meta.l3_offset + std::size_t{8}).data(), 32);
    } else {
      share = kNoIndex;
      return false;
    }
    const std::uint64_t differs = (next[0] ^ ends[0]) | (next[1] ^ ends[1]) | (next[2] ^ ends[2]) | (next[3] ^ ends[3]);
    if (share != kNoIndex && differs == 0 && uplink == at && proof == family) return true;
    ends = next;
    uplink = at;
    proof = family;
    share = kNoIndex;
    return false;
  }
};

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
    reason = filters::check_addresses(source_of(packet), destination);
    if (reason == DropReason::kNone) reason = DropReason::kUplinkNoOwner;
  } else if (config.owner(uplink, source_of(packet)) != kNoIndex) {
    reason = DropReason::kUplinkSource;  // one of ours never speaks from outside
  } else if (local::is_own(config.ports[uplink], source_of(packet))) {
    reason = DropReason::kSourceOwn;  // nor do we
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
  std::uint32_t at = port.binding;
  if (at == kNoIndex) [[unlikely]] {
    at = find_binding(config, port, packet);
    if (at == kNoIndex) return unbound(config, port, packet, DropReason::kNone);
  }
  const BindingEntry& binding = config.bindings[at];
  if (is_quarantined(shard, binding)) [[unlikely]] return DropReason::kAeQuarantine;
  return filters::from_port(binding.rules, shard.shared.pins[binding.slot], shard.meters[binding.slot], frame_of(packet),
                            meta_of(packet), shard.now_ms);
}

/// Asks for the lines in which the packets' MACs will be looked up.
void prefetch_bindings(const Runtime& config, const Burst& burst) {
  for (rte_mbuf* packet : burst.live()) {
    const PacketMeta& meta = meta_of(packet);
    const std::uint32_t at = config.wires.find(packet->port, meta.outer_vlan, meta.inner_vlan);
    if (at == kNoIndex || config.ports[at].segment == kNoIndex) continue;
    config.segments[config.ports[at].segment]->macs.prefetch(filters::ethernet_source(frame_of(packet)).number());
  }
}

/// The attachment of the packets of a run: bursts come from one NIC and mostly carry the same tags.
struct Attachment {
  std::uint32_t tags = kNoIndex;    ///< outer | inner << 16 of the run
  std::uint16_t nic = 0;
  std::uint32_t at = kNoIndex;      ///< port index; kNoIndex: nobody's
  bool segment = false;             ///< a Port of kind segment
  bool counts = true;
  std::uint64_t packets = 0, bytes = 0;

  /// Moves on to the packet's attachment.
  void seek(Shard& shard, const Runtime& config, rte_mbuf* packet, const PacketMeta& meta) {
    const std::uint32_t wanted = std::uint32_t{meta.outer_vlan} | std::uint32_t{meta.inner_vlan} << 16;
    if (wanted == tags && packet->port == nic) [[likely]] return;
    if (packet->port == kNoNic) [[unlikely]] {
      seek_tunnel(shard, config, packet, meta);
      return;
    }
    flush(shard, config);
    tags = wanted;
    nic = packet->port;
    at = config.wires.find(nic, meta.outer_vlan, meta.inner_vlan);
    segment = at != kNoIndex && config.ports[at].kind == snapshot::PortKind::kSegment;
  }
  /// Out of a tunnel: its record says which, or its Lease when it has waited for another generation. The next packet may be of
  /// another.
  void seek_tunnel(Shard& shard, const Runtime& config, rte_mbuf* packet, const PacketMeta& meta) {
    const bool said = meta.generation == config.generation && meta.ingress != kNoIndex;
    const std::uint32_t tunnel = said ? meta.ingress : tunnel::port_of(shard, config, packet);
    if (tags == kNoIndex && nic == kNoNic && tunnel == at) return;
    flush(shard, config);
    tags = kNoIndex;
    nic = kNoNic;
    at = tunnel;
    segment = false;
  }
  void flush(Shard& shard, const Runtime& config) {
    if (at != kNoIndex && counts) {
      PortCounters& counters = shard.ports[config.ports[at].slot];
      counters.rx_packets.add(packets);
      counters.rx_bytes.add(bytes);
    }
    packets = bytes = 0;
  }
};

/// A run of packets that came in by one Port with a Binding of its own, where nothing but that Binding has to be asked.
struct PlainRun {
  std::uint32_t tags = 0;
  std::uint32_t nic = kNoIndex;
  std::uint32_t at = kNoIndex;                          ///< port index
  const PortEntry* port = nullptr;                      ///< nullptr: packets there are not plain
  const filters::BindingRules::Hot* hot = nullptr;
  std::uint32_t uplink = kNoIndex;                      ///< port index when it is one
  std::uint64_t packets = 0, bytes = 0;

  void seek(Shard& shard, const Runtime& config, std::uint16_t wanted_nic, std::uint32_t wanted_tags) {
    if (wanted_tags == tags && wanted_nic == nic) [[likely]] return;
    flush(shard);
    tags = wanted_tags;
    nic = wanted_nic;
    port = nullptr;
    uplink = kNoIndex;
    if (wanted_nic == kNoNic) return;
    at = config.wires.find(wanted_nic, static_cast<std::uint16_t>(tags), static_cast<std::uint16_t>(tags >> 16));
    if (at == kNoIndex) return;
    const PortEntry& found = config.ports[at];
    if (found.kind == snapshot::PortKind::kUplink) uplink = at;
    const bool plain = found.kind == snapshot::PortKind::kSegment && found.binding != kNoIndex &&
                       (found.policed | found.has_gateways) == 0;
    if (!plain || config.bindings[found.binding].rules.hot().watched) return;
    port = &found;
    hot = &config.bindings[found.binding].rules.hot();
  }
  /// True when nothing is wrong with the frame, nor with who sent it and to whom.
  [[gnu::always_inline]] bool takes(std::span<const std::uint8_t> frame, const filters::packet_detail::Decoded& d) const {
    return port != nullptr && raw_mac_at(frame) == port->raw_mac && filters::link_detail::is_plain_from_port(*hot, frame, d);
  }
  /// The flight of a packet it takes, whose bucket is asked for.
  [[gnu::always_inline]] void depart(const SessionTable& table, const HashSeed& seed, std::span<const std::uint8_t> frame,
                                     const filters::packet_detail::Decoded& d, std::uint32_t length, Flight& flight) {
    packets += 1;
    bytes += length;
    const FlowLookup found = lookup_of(frame, d, port->tenant, seed);
    table.prefetch_bucket(found.hash);
    flight.depart(found, Flight::common(at, d.l3_offset, form_of((d.proof & filters::kProofIpv4) != 0, d.protocol)), d.tcp_flags);
  }
  void flush(Shard& shard) {
    if (packets == 0) return;
    PortCounters& counters = shard.ports[port->slot];
    counters.rx_packets.add(packets);
    counters.rx_bytes.add(bytes);
    packets = bytes = 0;
  }
};

/// The Port of untagged frames of a run, with what its plain ones look like.
struct Sight {
  PlainRun run;
  std::uint32_t nic = kNoIndex;
  filters::PlainLook look4, look6;
  KeyTags tenant{};
  std::size_t least = SIZE_MAX;  ///< bytes of a frame worth looking at

  [[gnu::always_inline]] void seek(Shard& shard, const Runtime& config, std::uint16_t wanted) {
    if (wanted != nic) look_again(shard, config, wanted);
  }
  [[gnu::noinline]] void look_again(Shard& shard, const Runtime& config, std::uint16_t wanted) {
    nic = wanted;
    run.seek(shard, config, wanted, 0);
    look4 = look6 = filters::PlainLook();
    least = run.port == nullptr ? SIZE_MAX : filters::PlainLook::kLeastBytes;
    if (run.port == nullptr) return;
    tenant = key_tags(0, run.port->tenant);
    look4 = filters::PlainLook::ipv4(*run.hot, run.port->raw_mac);
    look6 = filters::PlainLook::ipv6(*run.hot, run.port->raw_mac);
  }
  /// True when the frame's card has summed it, and nothing is wrong with it, nor with who sent it and to whom: it has its flight.
  [[gnu::always_inline]] bool takes(const SessionTable& table, const HashSeed& seed, rte_mbuf* packet, Flight& flight) {
    constexpr std::uint64_t kGood4 = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
    constexpr std::uint64_t kMask4 = RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK;
    const auto frame = frame_of(packet);
    if (frame.size() < least || frame.size() != packet->pkt_len) [[unlikely]] return false;
    filters::packet_detail::Decoded d;
    if (look4.fits4(frame.data())) {
      if ((packet->ol_flags & kMask4) != kGood4 || !filters::decode_fitting<filters::kEtherTypeIpv4>(frame, d)) return false;
      if (d.protocol == filters::kProtocolUdp) {
        depart<Form::kUdp4>(table, seed, frame, d, flight);
      } else {
        depart<Form::kTcp4>(table, seed, frame, d, flight);
      }
      return true;
    }
    if (!look6.fits6(frame.data())) return false;
    if ((packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_GOOD) return false;
    if (!filters::decode_fitting<filters::kEtherTypeIpv6>(frame, d)) return false;
    if (d.protocol == filters::kProtocolUdp) {
      depart<Form::kUdp6>(table, seed, frame, d, flight);
    } else {
      depart<Form::kTcp6>(table, seed, frame, d, flight);
    }
    return true;
  }

 private:
  template <Form kForm>
  [[gnu::always_inline]] void depart(const SessionTable& table, const HashSeed& seed, std::span<const std::uint8_t> frame,
                                     const filters::packet_detail::Decoded& d, Flight& flight) {
    constexpr std::size_t kL3 = filters::kEthernetHeaderBytes;
    constexpr bool kUdp = kForm == Form::kUdp4 || kForm == Form::kUdp6;
    constexpr std::uint64_t kProtocol = kUdp ? filters::kProtocolUdp : filters::kProtocolTcp;
    run.packets += 1;
    run.bytes += frame.size();
    const KeyTags tags{tenant.low | kProtocol << 48, tenant.high};
    FlowLookup found;
    if constexpr (kForm == Form::kUdp4 || kForm == Form::kTcp4) {
      found = make_key4(frame.data() + kL3 + 12, tags, seed);
    } else {
      const auto from = static_cast<std::uint16_t>(d.ports >> 16), to = static_cast<std::uint16_t>(d.ports);
      found = make_key6(load_words6(frame, kL3 + 8), load_words6(frame, kL3 + 24), from, to, tags, seed);
    }
    table.prefetch_bucket(found.hash);
    flight.depart(found, Flight::common(run.at, kL3, kForm), kUdp ? std::uint8_t{0} : d.tcp_flags);
  }
};

/// Frames of a burst whose look says nothing: tagged, or not summed by the card, or not plain.
struct Entrance {
  PlainRun run;
  tunnel::PeerRun peers;
  Burst rest;   ///< not decoded
  Burst bound;  ///< decoded, to be bound

  /// False: the packet is in one of the two, or waits to be opened.
  [[gnu::noinline]] bool takes(Shard& shard, const Runtime& config, rte_mbuf* packet, Flight& flight) {
    const auto frame = frame_of(packet);
    filters::packet_detail::Decoded d;
    if (!filters::packet_detail::decode_plain(frame, packet->pkt_len, trust_of(packet), d)) {
      rest.packets[rest.count++] = packet;
      return false;
    }
    if (packet->port != run.nic || d.vlans != run.tags) {
      peers.flush(shard, config);
      run.seek(shard, config, packet->port, d.vlans);
    }
    if (run.uplink != kNoIndex && peers.takes(shard, config, packet, d, run.uplink)) return false;
    if (run.takes(frame, d)) {
      run.depart(shard.sessions, shard.sessions.seed(), frame, d, packet->pkt_len, flight);
      return true;
    }
    store_decoded(meta_of(packet), d);
    bound.packets[bound.count++] = packet;
    return false;
  }
};

/// A tenant's traffic is counted where it comes in, from its own ports and for it on an uplink.
bool within_bandwidth(Shard& shard, const Runtime& config, rte_mbuf* packet, const PortEntry& port) {
  const Rate& rate = config.tenants[port.tenant_index].bandwidth;
  SharedMeter& meter = shard.shared.quotas[port.tenant_slot].bandwidth;
  if (shard.shares[port.tenant_slot].bandwidth.take(meter, rate, meta_of(packet).l3_length, shard.steady_ns)) return true;
  refuse_excess(shard, config, packet, Excess::kBandwidth);
  return false;
}

enum class Bound : std::uint8_t {
  kEnded,
  kWhole,  ///< goes on to its flow
  kPiece,  ///< goes on to the other pieces of its datagram
};

/// Places one packet that came in at port `at`; `segment`: its kind.
[[gnu::always_inline]] inline Bound bind_one(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at, bool segment,
                                             ShareRun& run) {
  PacketMeta& meta = meta_of(packet);
  if (!segment) {
    if (at == kNoIndex) [[unlikely]] {
      if (packet->port == shard.shared.service_nic) {
        service::answer(shard, config, packet);
      } else {
        shard.drop(packet, DropReason::kNoPort, shard.no_tenant());
      }
      return Bound::kEnded;
    }
    if (config.ports[at].kind == snapshot::PortKind::kUplink) {
      if (!run.seek(packet, at)) run.share = share_of(shard, config, packet, at);
      at = run.share;
      if (at == kNoIndex) return Bound::kEnded;
    }
  }
  const PortEntry& port = config.ports[at];
  place(config, meta, at);

  if (segment) {
    const DropReason reason = guard(shard, config, port, packet);
    if (reason != DropReason::kNone) [[unlikely]] {
      refuse(shard, config, packet, reason);
      return Bound::kEnded;
    }
  }
  const bool to_us = raw_mac_at(frame_of(packet)) == port.raw_mac;
  const bool ip = (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  if (!to_us || !ip || filters::is_nd(meta)) [[unlikely]] {
    const Mac destination = filters::ethernet_destination(frame_of(packet));
    if (!to_us && !destination.is_multicast()) {
      refuse(shard, config, packet, DropReason::kNotForUs);
    } else if (destination.is_broadcast() && port.kind == snapshot::PortKind::kSegment &&
               !filters::take_token(shard.broadcasts[port.slot], shard.meter_divisor, filters::kPortBroadcasts, shard.now_ms)) {
      refuse(shard, config, packet, DropReason::kAeStorm);  // each within its own meters, all together too many
    } else {
      local::link(shard, config, packet, at);
    }
    return Bound::kEnded;
  }
  if ((port.policed | port.has_gateways) != 0) [[unlikely]] {
    const bool counted = port.policed != 0 && port.kind != snapshot::PortKind::kTunnel;  // what is inside was counted outside
    if (counted && !within_bandwidth(shard, config, packet, port)) return Bound::kEnded;
    if (port.has_gateways != 0 && tunnel::take(shard, config, packet, at)) return Bound::kEnded;
  }
  return (meta.proof & filters::kProofL4) != 0 ? Bound::kWhole : Bound::kPiece;
}

}  // namespace

void place(const Runtime& config, PacketMeta& meta, std::uint32_t port) noexcept {
  meta.ingress = port;
  meta.tenant = config.ports[port].tenant;
  meta.generation = config.generation;
  meta.session = kNoIndex;
  meta.binding = kNoIndex;
}

void give_tenant(PacketMeta& meta, std::uint32_t tenant) noexcept { meta.tenant = tenant; }

std::uint32_t find_binding(const Runtime& config, const PortEntry& port, rte_mbuf* packet) noexcept {
  if (port.segment == kNoIndex) return port.binding;
  const auto frame = frame_of(packet);
  if (frame.size() < filters::kEthernetHeaderBytes) return kNoIndex;
  return meta_of(packet).binding = config.segments[port.segment]->macs.find(filters::ethernet_source(frame).number());
}

DropReason unbound(const Runtime& config, const PortEntry& port, rte_mbuf* packet, DropReason refused) noexcept {
  if (port.segment == kNoIndex) return DropReason::kAeUnbound;
  return filters::from_stranger(config.segments[port.segment]->strangers, frame_of(packet), meta_of(packet), refused);
}

namespace {

/// Whether decode() says the same of a packet that was proved before.
[[maybe_unused]] bool is_as_decoded(rte_mbuf* packet, const filters::packet_detail::Decoded& d) {
  filters::packet_detail::Decoded other;
  if (!filters::packet_detail::decode_plain(frame_of(packet), packet->pkt_len, {.ip = true, .l4 = true}, other)) return false;
  const auto facts = [](const filters::packet_detail::Decoded& of) {
    return std::tuple(of.l3_offset, of.l4_offset, of.payload_offset, of.l3_length, of.ports, of.vlans, of.protocol, of.proof,
                      of.tcp_flags, of.ttl);
  };
  return facts(d) == facts(other);
}

}  // namespace

void write_record(const Runtime& config, rte_mbuf* packet, Flight& flight) noexcept {
  if (flight.l3_offset == 0) return;
  const auto frame = frame_of(packet);
  const std::size_t l3 = flight.l3_offset;
  const bool ipv4 = !flight.ipv6();
  filters::packet_detail::Decoded d;  // everything was proved when the packet got its flight
  d.l3_offset = l3;
  d.l4_offset = l3 + (ipv4 ? 20U : 40U);
  d.l3_length = load_be<std::uint16_t>(frame, l3 + (ipv4 ? 2U : 4U)) + (ipv4 ? 0U : 40U);
  d.protocol = flight.protocol();
  const bool tcp = d.protocol == filters::kProtocolTcp;
  d.payload_offset = d.l4_offset + (tcp ? std::size_t{frame[d.l4_offset + 12]} >> 4 << 2 : filters::kUdpHeaderBytes);
  d.ports = load_be<std::uint32_t>(frame, d.l4_offset);
  d.vlans = l3 == filters::kEthernetHeaderBytes ? 0 : load_be<std::uint16_t>(frame, filters::kEthernetHeaderBytes) & 0xfffU;
  d.proof = filters::kProofL4 | (ipv4 ? filters::kProofIpv4 : filters::kProofIpv6);
  d.tcp_flags = flight.tcp_flags;
  d.ttl = frame[l3 + (ipv4 ? 8U : 7U)];
  SEKISHO_DCHECK(is_as_decoded(packet, d));
  store_decoded(meta_of(packet), d);
  place(config, meta_of(packet), flight.ingress);
  flight.l3_offset = 0;
  flight.form = Form::kRecorded;
}

std::uint16_t enter_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights) noexcept {
  Entrance entrance;
  std::uint16_t kept = 0;
  Sight sight;
  const HashSeed seed = shard.sessions.seed();
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    sight.seek(shard, config, packet->port);
    const bool taken = sight.takes(shard.sessions, seed, packet, flights[kept]);
    if (!taken && (entrance.peers.recognizes(shard, packet) || !entrance.takes(shard, config, packet, flights[kept]))) continue;
    burst.packets[kept++] = packet;
  }
  sight.run.flush(shard);
  entrance.run.flush(shard);
  entrance.peers.flush(shard, config);
  burst.count = kept;
  Burst& bound = entrance.bound;
  if (entrance.rest.count > 0) [[unlikely]] {
    decode(shard, config, entrance.rest);
    for (rte_mbuf* packet : entrance.rest.live()) bound.packets[bound.count++] = packet;
  }
  if (bound.count == 0) return kept;
  bind(shard, config, bound, Count::kYes);
  for (rte_mbuf* packet : bound.live()) burst.packets[burst.count++] = packet;
  return survey(shard, burst, flights, kept);
}

void bind_pieces(Shard& shard, const Runtime& config, Burst& burst, Burst& pieces, Count count) noexcept {
  std::uint16_t kept = 0;
  if (!config.segments.empty()) [[unlikely]] prefetch_bindings(config, burst);
  Attachment attachment;
  ShareRun run;
  attachment.counts = count == Count::kYes;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    attachment.seek(shard, config, packet, meta_of(packet));
    attachment.packets += 1;
    attachment.bytes += packet->pkt_len;
    const Bound bound = bind_one(shard, config, packet, attachment.at, attachment.segment, run);
    if (bound == Bound::kWhole) [[likely]] {
      burst.packets[kept++] = packet;
    } else if (bound == Bound::kPiece) {
      pieces.packets[pieces.count++] = packet;
    }
  }
  attachment.flush(shard, config);
  burst.count = kept;
}

void bind(Shard& shard, const Runtime& config, Burst& burst, Count count) noexcept {
  if (count == Count::kNo) {
    Burst stale = burst;
    burst.count = 0;
    bind_again(shard, config, stale, burst);
    return;
  }
  Burst pieces;
  bind_pieces(shard, config, burst, pieces, count);
  if (pieces.count > 0) [[unlikely]] reassemble(shard, config, pieces, burst);  // they wait for the rest of their datagram
}

}  // namespace sekisho::dataplane::path
