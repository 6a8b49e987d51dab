// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/local.h"

#include <algorithm>

#include "dataplane/path/neighbourhood.h"
#include "dataplane/path/outlet.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/path/tunnels.h"
#include "filters/packet/address_class.h"
#include "filters/packet/arp.h"
#include "filters/packet/fields.h"
#include "filters/packet/nd.h"
#include "filters/state/datagram_tracker.h"

namespace sekisho::dataplane::path::local {
namespace {

using filters::DropReason;

// Specification 3.3: rejects and errors, per tenant and second. Echo replies have a budget of their own.
constexpr std::uint32_t kErrorsPerSecond = 100;
constexpr std::uint32_t kEchoesPerSecond = 1000;

/// One more of what the gateway says for a tenant in a second, all shards together.
bool may_send_error(Shard& shard, std::uint32_t tenant_slot) {
  constexpr Rate kRate{kErrorsPerSecond, kErrorsPerSecond};
  return shard.shares[tenant_slot].errors.take(shard.shared.quotas[tenant_slot].errors, kRate, 1, shard.steady_ns);
}
bool may_echo(Shard& shard, std::uint32_t tenant_slot) {
  constexpr Rate kRate{kEchoesPerSecond, kEchoesPerSecond};
  return shard.shares[tenant_slot].echoes.take(shard.shared.quotas[tenant_slot].echoes, kRate, 1, shard.steady_ns);
}

const PortEntry& wire_of(const Runtime& config, std::uint32_t at) { return config.ports[config.ports[at].wire]; }

/// Ends a frame nobody here wants. Frames of a platform uplink have no tenant to log for.
void unwanted(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at, DropReason reason) {
  if (config.ports[at].tenant == kNoIndex) {
    shard.drop(packet, reason, shard.no_tenant());
  } else {
    refuse(shard, config, packet, reason);
  }
}

/// Sends what `build` writes into a new packet out of the wire port. Nothing is sent when it writes nothing.
template <typename Build>
void send(Shard& shard, const PortEntry& wire, Build build) {
  rte_mbuf* packet = shard.generate();
  if (packet == nullptr) return;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(packet, std::uint8_t*), rte_pktmbuf_tailroom(packet)};
  const std::size_t length = build(room);
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  if (length == 0) {
    shard.consume(packet);
    return;
  }
  to_outlet(shard, packet, wire);
}

filters::LinkHeader link_of(const PortEntry& wire, const Mac& destination) {
  return {.destination = destination,
          .source = wire.mac,
          .outer_vlan = wire.outer_vlan,
          .inner_vlan = wire.inner_vlan,
          .outer_is_svlan = wire.outer_type == filters::kEtherTypeSvlan};
}

/// The gateway's address of `family` that a neighbour at `near` would expect to hear from.
Address own_address(const PortEntry& wire, const Address& near) {
  const Address* any = nullptr;
  for (const Prefix& prefix : wire.addresses) {
    if (prefix.address.family != near.family) continue;
    if (prefix.contains(near)) return prefix.address;
    if (any == nullptr) any = &prefix.address;
  }
  if (near.family == Family::kIpv6 && (any == nullptr || near.is_link_local())) return wire.link_local;
  return any == nullptr ? Address{} : *any;
}

/// By what address the gateway tells those behind a port what went wrong. A tunnel has none of its own: any of its tenant's.
Address speaking_address(const Runtime& config, const PortEntry& wire, const Address& near) {
  if (wire.kind != snapshot::PortKind::kTunnel) return own_address(wire, near);
  for (const PortEntry& port : config.ports) {
    if (port.tenant != wire.tenant || port.kind == snapshot::PortKind::kTunnel || port.kind == snapshot::PortKind::kShare) continue;
    for (const Prefix& prefix : port.addresses) {
      if (prefix.address.family == near.family) return prefix.address;
    }
  }
  return Address{};
}

/// Addresses we answer questions about: our own, and those that stand for a tenant's hosts by NAT.
bool answers_for(const Runtime& config, std::uint32_t at, const Address& address) {
  const std::uint32_t wire = config.ports[at].wire;
  return is_own(config.ports[wire], address) || config.proxied[wire].find(address) != PrefixTable::kNoValue;
}

void handle_arp(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) {
  const PortEntry& wire = wire_of(config, at);
  const filters::ArpMessage arp = filters::read_arp(frame_of(packet), meta_of(packet));
  if (!arp.is_plain() || arp.sender_mac.is_multicast() || arp.sender_mac.is_zero()) {
    unwanted(shard, config, packet, at, DropReason::kAeArpFormat);
    return;
  }
  if (wire.kind == snapshot::PortKind::kSegment && arp.sender == arp.target) follow_claim(shard, config, packet, arp.sender);
  const bool asks = arp.operation == filters::kArpRequest;
  if (asks && (answers_for(config, at, arp.target) || stands_for_host(config, packet, arp.sender, arp.target))) {
    const filters::LinkHeader link = filters::answer_link(frame_of(packet), meta_of(packet), wire.mac);
    send(shard, wire, [&](auto room) { return filters::build_arp_reply(room, link, arp.target, arp.sender); });
    shard.consume(packet);
    return;
  }
  // Bound neighbours are static: an answer there teaches nothing. Elsewhere only an open question is answered.
  const bool may_learn = wire.kind != snapshot::PortKind::kSegment && arp.operation == filters::kArpReply;
  if (may_learn && !is_own(wire, arp.sender) && shard.shared.neighbours.answer(wire.id, arp.sender, arp.sender_mac, shard.now_tick)) {
    shard.consume(packet);
    return;
  }
  if (arp.operation == filters::kArpReply && wire.kind != snapshot::PortKind::kSegment) {
    unwanted(shard, config, packet, at, DropReason::kNeighbourUnsolicited);
    return;
  }
  shard.consume(packet);  // a neighbour's talk with others: correct, and not for us
}

void handle_nd(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) {
  const PortEntry& wire = wire_of(config, at);
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  const std::optional<filters::NdMessage> message = filters::parse_nd(frame, meta);
  if (!message.has_value() || meta.ttl != 255 || meta.icmp_code != 0) {
    unwanted(shard, config, packet, at, meta.ttl != 255 ? DropReason::kAeNdHopLimit : DropReason::kAeNdFormat);
    return;
  }
  if (message->type == filters::kNdRedirect) {
    unwanted(shard, config, packet, at, DropReason::kIcmpRedirect);
    return;
  }
  const Address source = filters::ip_source(frame, meta);
  if (message->type == filters::kNdNeighbourSolicitation) {
    const bool own = answers_for(config, at, message->target);
    if (own || stands_for_host(config, packet, source, message->target)) {
      const filters::LinkHeader link = filters::answer_link(frame, meta, wire.mac);
      const auto said = own ? filters::Advertised::kOwn : filters::Advertised::kAnothers;
      send(shard, wire, [&](auto room) { return filters::build_neighbour_advertisement(room, link, source, message->target, said); });
      shard.consume(packet);
      return;
    }
  }
  const bool advertises = message->type == filters::kNdNeighbourAdvertisement;
  if (advertises && message->router) note_router_flag(shard, config, packet);
  if (advertises && !message->solicited && wire.kind == snapshot::PortKind::kSegment) follow_claim(shard, config, packet, message->target);
  if (advertises && wire.kind != snapshot::PortKind::kSegment) {
    const Mac mac = message->target_link_layer.value_or(filters::ethernet_source(frame));
    const bool learned = !mac.is_multicast() && !mac.is_zero() && !is_own(wire, message->target) &&
                         shard.shared.neighbours.answer(wire.id, message->target, mac, shard.now_tick);
    if (!learned) {
      unwanted(shard, config, packet, at, DropReason::kNeighbourUnsolicited);
      return;
    }
  }
  shard.consume(packet);
}

bool is_broadcast(const PortEntry& wire, const Address& address) {
  if (filters::address_class(address) == filters::AddressClass::kBroadcast) return true;
  return std::any_of(wire.addresses.begin(), wire.addresses.end(), [&](const Prefix& own) {
    return own.address.family == Family::kIpv4 && own.length <= 30 && (own.first() == address || own.last() == address);
  });
}

/// Why an IP packet that came by a group MAC, or to no unicast address, goes no farther. Those from nobody (DHCP, DAD,
/// MLD) are no violation: groups are the link's own affair.
DropReason why_not(const PortEntry& wire, const Address& destination) {
  if (destination.is_multicast()) return DropReason::kMulticast;
  if (is_broadcast(wire, destination)) return DropReason::kDestinationBroadcast;
  return destination.is_link_local() ? DropReason::kDestinationLinkLocal : DropReason::kLinkBroadcast;
}

/// Ends an IP packet that came by a group MAC, or to an uplink's own, group or link-local address.
void end_ip(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) {
  const PortEntry& wire = wire_of(config, at);
  const auto frame = frame_of(packet);
  const Address source = filters::ip_source(frame, meta_of(packet));
  const Address destination = filters::ip_destination(frame, meta_of(packet));
  const bool grouped = filters::ethernet_destination(frame).is_multicast();
  const bool to_us = is_own(wire, destination) && !grouped;
  if (wire.kind == snapshot::PortKind::kSegment && grouped && follow_advertisement(shard, config, packet)) {
    shard.consume(packet);  // of a group its Binding is in
    return;
  }
  DropReason reason = to_us ? check_to_us(source, destination) : why_not(wire, destination);
  if (reason == DropReason::kNone && is_own(wire, source)) reason = DropReason::kSourceOwn;
  if (to_us && meta_of(packet).ttl == 0) reason = DropReason::kTtlZero;
  if (!grouped && raw_mac_at(frame) != wire.raw_mac) reason = DropReason::kNotForUs;
  if (reason != DropReason::kNone) {
    unwanted(shard, config, packet, at, reason);
    return;
  }
  place(config, meta_of(packet), at);
  deliver(shard, config, packet);
}

/// Neither IP nor ARP: nothing of it is for us, and none of it goes on.
void handle_foreign_type(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) {
  // 01-80-C2-00-00-0x never leaves its link (IEEE 802.1Q 8.6.3): spanning tree, LLDP, pause, link aggregation.
  constexpr std::uint64_t kLinkControlGroup = 0x0180'c200'0000 >> 4;
  if (filters::ethernet_destination(frame_of(packet)).number() >> 4 == kLinkControlGroup) {
    unwanted(shard, config, packet, at, DropReason::kLinkControl);
  } else if (config.ports[at].kind == snapshot::PortKind::kSegment) {
    shard.consume(packet);  // its Binding allows the type
  } else {
    unwanted(shard, config, packet, at, DropReason::kAeEthertype);
  }
}

}  // namespace

DropReason check_to_us(const Address& source, const Address& destination) noexcept {
  const DropReason reason = filters::check_addresses(source, destination);
  const bool near = reason == DropReason::kSourceLinkLocal || reason == DropReason::kDestinationLinkLocal;
  return near ? DropReason::kNone : reason;
}

bool is_own(const PortEntry& port, const Address& address) noexcept {
  return address == port.link_local || std::any_of(port.addresses.begin(), port.addresses.end(),
                                                   [&](const Prefix& own) { return own.address == address; });
}

void link(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if ((meta.proof & filters::kProofArp) != 0) {
    handle_arp(shard, config, packet, at);
  } else if (filters::is_nd(meta)) {
    handle_nd(shard, config, packet, at);
  } else if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) {
    handle_foreign_type(shard, config, packet, at);
  } else {
    end_ip(shard, config, packet, at);
  }
}

void deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const PortEntry& wire = config.ports[port.wire];
  if (shard.trace != nullptr) [[unlikely]] shard.trace->local = true;
  if (tunnel::deliver(shard, config, packet)) return;
  if (filters::is_echo_request(meta.protocol, meta.icmp_type)) {
    if (!may_echo(shard, port.tenant_slot)) {
      unwanted(shard, config, packet, meta.ingress, DropReason::kPuntLimit);
      return;
    }
    if (filters::echo_reply_in_place(frame_of(packet), meta, wire.mac)) {
      to_outlet(shard, packet, wire);
      return;
    }
  }
  unwanted(shard, config, packet, meta.ingress, DropReason::kLocalUnserved);
}

void send_icmp_error(Shard& shard, const Runtime& config, rte_mbuf* packet, filters::IcmpErrorKind kind,
                     std::uint32_t mtu) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const PortEntry& wire = config.ports[port.wire];
  const auto frame = frame_of(packet);
  const Address source = speaking_address(config, wire, filters::ip_source(frame, meta));
  if (source.family == Family::kNone) return;
  if (!may_send_error(shard, port.tenant_slot)) return;
  const filters::LinkHeader link = filters::answer_link(frame, meta, wire.mac);
  send(shard, wire, [&](auto room) { return filters::build_icmp_error(room, link, source, frame, meta, kind, mtu); });
}

void send_reject(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  if (meta.protocol != filters::kProtocolTcp) {
    send_icmp_error(shard, config, packet, filters::IcmpErrorKind::kAdminProhibited, 0);
    return;
  }
  const PortEntry& port = config.ports[meta.ingress];
  if (!may_send_error(shard, port.tenant_slot)) return;
  const PortEntry& wire = config.ports[port.wire];
  const filters::LinkHeader link = filters::answer_link(frame_of(packet), meta, wire.mac);
  send(shard, wire, [&](auto room) { return filters::build_tcp_reset(room, link, frame_of(packet), meta); });
}

void answer_tcp(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::TcpHeader& header) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& wire = wire_of(config, meta.ingress);
  const filters::LinkHeader link = filters::answer_link(frame_of(packet), meta, wire.mac);
  send(shard, wire, [&](auto room) { return filters::build_tcp(room, link, header); });
}

void ask_neighbour(Shard& shard, const Runtime& config, std::uint32_t at, const Address& address) noexcept {
  const PortEntry& wire = wire_of(config, at);
  const Address own = own_address(wire, address);
  if (own.family == Family::kNone) return;
  if (address.family == Family::kIpv4) {
    const filters::LinkHeader link = link_of(wire, Mac::from_number(0xffff'ffff'ffff));
    send(shard, wire, [&](auto room) { return filters::build_arp_request(room, link, own, address); });
  } else {
    const filters::LinkHeader link = link_of(wire, Mac{});
    send(shard, wire, [&](auto room) { return filters::build_neighbour_solicitation(room, link, own, address); });
  }
}

}  // namespace sekisho::dataplane::path::local
