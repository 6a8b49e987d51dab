// SPDX-License-Identifier: Apache-2.0
#include "filters/link/binding_guard.h"

#include <algorithm>
#include <array>
#include <optional>

#include "filters/packet/arp.h"
#include "filters/packet/fragment.h"
#include "filters/packet/nd.h"

/// Overview: one function a block of steps of specification 3.5, called in its normative order by from_port_any(); the
/// numbers in the comments are its steps. Limits: nothing is read beyond the first segment; what would have to be read
/// there fails its step.
namespace sekisho::filters {
namespace {

using snapshot::MeterClass;

constexpr std::uint16_t kDhcpServer = 67, kDhcpClient = 68, kDhcpv6Client = 546, kDhcpv6Server = 547;
constexpr std::uint8_t kIcmpRedirect = 5;
constexpr std::uint8_t kIgmpQuery = 0x11;
constexpr std::uint8_t kMldQuery = 130;
constexpr std::uint8_t kNdHopLimit = 255;
constexpr Address kAllRouters{.bytes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, .family = Family::kIpv6};

/// What every step looks at.
struct Check {
  const BindingRules& rules;
  BindingPins& pins;
  ByteSpan frame;
  const PacketMeta& meta;
  DropReason refused;  ///< what decode() said
  std::uint64_t mac;   ///< frame source
  Address source{};

  [[nodiscard]] bool whole() const { return refused == DropReason::kNone && (meta.proof & kProofL4) != 0; }
  [[nodiscard]] bool is_fragment() const { return (meta.proof & kProofFragment) != 0; }
  /// The upper-layer bytes, as far as they may be read: of a whole packet or a first fragment. Empty for others.
  [[nodiscard]] ByteSpan upper() const {
    if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0 || meta.l4_offset == 0) return {};
    return is_later_fragment(frame, meta) ? ByteSpan{} : packet_from(frame, meta, meta.l4_offset);
  }
  /// UDP source and destination port, also of a first fragment (decode() has proved its header whole).
  [[nodiscard]] bool udp_ports(std::uint16_t& from, std::uint16_t& to) const {
    const ByteSpan bytes = upper();
    if (meta.protocol != kProtocolUdp || bytes.size() < 4) return false;
    from = load_be<std::uint16_t>(bytes, 0);
    to = load_be<std::uint16_t>(bytes, 2);
    return true;
  }
  [[nodiscard]] bool from_udp(std::uint16_t port) const {
    std::uint16_t from = 0, to = 0;
    return udp_ports(from, to) && from == port;
  }
};

bool is_broadcast_frame(ByteSpan frame) { return ethernet_destination(frame).is_broadcast(); }

/// The meter class of a frame; kCount = not metered. Only what decode() proved tells; the rest goes by its destination.
MeterClass meter_class(ByteSpan frame, const PacketMeta& meta) {
  if (frame.size() < kEthernetHeaderBytes || meta.l3_offset == 0) return MeterClass::kOther;
  const std::uint16_t type = ether_type(frame, meta);
  if (type == kEtherTypeArp) return MeterClass::kArp;
  if (type != kEtherTypeIpv4 && type != kEtherTypeIpv6) return MeterClass::kOther;
  if ((meta.proof & kProofIpv4) != 0 && meta.protocol == kProtocolIgmp) return MeterClass::kIgmp;
  if ((meta.proof & kProofIpv6) != 0 && meta.protocol == kProtocolIcmpv6 &&
      (is_nd_type(meta.icmp_type) || is_mld_type(meta.icmp_type))) {
    return MeterClass::kNd;
  }
  if (meta.protocol == kProtocolUdp) {
    for (const std::uint16_t port : {meta.source_port, meta.destination_port}) {
      if (port == kDhcpServer || port == kDhcpClient || port == kDhcpv6Client || port == kDhcpv6Server) {
        return MeterClass::kDhcp;
      }
    }
  }
  if (is_broadcast_frame(frame)) return MeterClass::kBroadcast;
  return ethernet_destination(frame).is_multicast() ? MeterClass::kMulticast : MeterClass::kCount;
}

/// Steps 3 to 5: the frame itself.
DropReason check_link(const BindingRules& rules, ByteSpan frame, const PacketMeta& meta, DropReason refused) {
  if (frame.size() < kEthernetHeaderBytes || meta.l3_offset == 0) {
    return refused == DropReason::kNone ? DropReason::kAeFrame : refused;
  }
  const Mac source = ethernet_source(frame);
  if (source.is_multicast() || source.is_zero()) return DropReason::kAeFrame;
  if (!rules.expects_tags(frame, meta.l3_offset)) return DropReason::kAeFrame;
  const std::uint16_t type = ether_type(frame, meta);
  if (type != kEtherTypeIpv4 && type != kEtherTypeArp && type != kEtherTypeIpv6 && !rules.has_ethertype(type)) {
    return DropReason::kAeEthertype;
  }
  return rules.has_mac(source.number()) ? DropReason::kNone : DropReason::kAeMac;
}

/// Steps 6 to 10.
DropReason check_arp(const Check& check) {
  const ArpMessage arp = read_arp(check.frame, check.meta);
  if (!arp.is_plain()) return DropReason::kAeArpFormat;
  if (arp.target.is_unspecified() || arp.target.is_multicast() || check.rules.is_broadcast(arp.target)) {
    return DropReason::kAeArpFormat;
  }
  if (arp.sender_mac.number() != check.mac) return DropReason::kAeArpSha;
  if (arp.sender.is_unspecified()) {  // RFC 5227: a probe asks for one's own address
    const bool probe = arp.operation == kArpRequest && check.rules.owns(arp.target, check.mac);
    return probe ? DropReason::kNone : DropReason::kAeArpProbe;
  }
  if (!check.rules.owns(arp.sender, check.mac)) return DropReason::kAeArpSpa;
  const Mac destination = ethernet_destination(check.frame);
  if (arp.operation == kArpReply && !destination.is_multicast() && arp.target_mac != destination) {
    return DropReason::kAeArpTha;
  }
  return DropReason::kNone;
}

/// The BOOTP fields of step 12 (RFC 951): op, htype, hlen, giaddr, chaddr.
bool is_own_boot_request(ByteSpan payload, std::uint64_t mac) {
  if (payload.size() < 34) return false;
  return payload[0] == 1 && payload[1] == 1 && payload[2] == 6 && load_be<std::uint32_t>(payload, 24) == 0 &&
         mac_at(payload, 28).number() == mac;
}

/// Steps 12 and 13. Sets `settled` when a DHCP client without an address has been accepted.
DropReason check_ipv4_source(const Check& check, bool& settled) {
  std::uint16_t from = 0, to = 0;
  const bool dhcp = check.udp_ports(from, to) && from == kDhcpClient && to == kDhcpServer;
  if (dhcp && check.refused == DropReason::kNone) {
    if (!check.whole()) return DropReason::kAeDhcpChaddr;
    if (!is_own_boot_request(packet_from(check.frame, check.meta, check.meta.payload_offset), check.mac)) {
      return DropReason::kAeDhcpChaddr;
    }
    if (check.source.is_unspecified()) {
      settled = ip_destination(check.frame, check.meta) == Address::from_v4(0xffffffffU);
      return settled ? DropReason::kNone : DropReason::kAeIp4;
    }
  }
  const bool own = check.rules.owns(check.source, check.mac) || check.rules.routes(check.source);
  return own ? DropReason::kNone : DropReason::kAeIp4;
}

/// VRRP of either family: its group must be bound. What cannot be read is not (steps 15 and, for IPv6 alike, 23).
DropReason check_vrrp(const Check& check) {
  if (check.meta.protocol != kProtocolVrrp) return DropReason::kNone;
  const ByteSpan message = check.upper();
  return message.size() >= 2 && check.rules.has_vrid(message[1]) ? DropReason::kNone : DropReason::kAeVrrp;
}

/// Steps 14 and 15. Read from the bytes: a first fragment is judged like a whole packet.
DropReason check_ipv4_roles(const Check& check) {
  const BindingRules& rules = check.rules;
  if (check.from_udp(kDhcpServer) && !rules.has_role(snapshot::kRoleDhcp)) return DropReason::kAeDhcpServer;
  const ByteSpan message = check.upper();
  if (check.meta.protocol == kProtocolIcmp && !message.empty() && message[0] == kIcmpRedirect &&
      !rules.has_role(snapshot::kRoleRouter)) {
    return DropReason::kAeRedirect;
  }
  if (check.meta.protocol == kProtocolIgmp && (message.empty() || message[0] == kIgmpQuery) &&
      !rules.has_role(snapshot::kRoleQuerier)) {
    return DropReason::kAeQuery;
  }
  return check_vrrp(check);
}

DropReason check_ipv4(Check& check) {
  check.source = ip_source(check.frame, check.meta);
  bool settled = false;
  const DropReason reason = check_ipv4_source(check, settled);
  return reason != DropReason::kNone || settled ? reason : check_ipv4_roles(check);
}

/// "Own" of steps 17 and 21: bound to this MAC, or a link-local address its policy allows.
bool is_own_target(const Check& check, const Address& target) {
  return check.rules.owns(target, check.mac) || check.rules.allows_link_local(target, check.mac, check.pins);
}

/// Step 17: who has no address yet may look for its own, report groups and ask for routers. Nothing else.
DropReason check_unspecified_source(const Check& check) {
  if (!check.whole() || check.meta.protocol != kProtocolIcmpv6) return DropReason::kAeIp6;
  if (is_mld_type(check.meta.icmp_type) && check.meta.icmp_type != kMldQuery) return DropReason::kNone;
  const std::optional<NdMessage> nd = is_nd(check.meta) ? parse_nd(check.frame, check.meta) : std::nullopt;
  if (!nd.has_value() || nd->source_link_layer.has_value()) return DropReason::kAeIp6;
  const Address destination = ip_destination(check.frame, check.meta);
  if (nd->type == kNdRouterSolicitation) return destination == kAllRouters ? DropReason::kNone : DropReason::kAeIp6;
  const bool link_local_group = destination.bytes[0] == 0xff && destination.bytes[1] == 0x02;
  if (nd->type != kNdNeighbourSolicitation || check.meta.ttl != kNdHopLimit || !link_local_group) {
    return DropReason::kAeIp6;
  }
  return is_own_target(check, nd->target) ? DropReason::kNone : DropReason::kAeDadForeign;
}

/// Step 18.
DropReason check_ipv6_source(const Check& check) {
  const Address& source = check.source;
  if (source.is_unspecified()) return check_unspecified_source(check);
  if (check.rules.owns(source, check.mac)) return DropReason::kNone;
  if (source.is_link_local()) {
    const bool allowed = check.rules.allows_link_local(source, check.mac, check.pins);
    return allowed ? DropReason::kNone : DropReason::kAeLinkLocal;
  }
  return check.rules.routes(source) ? DropReason::kNone : DropReason::kAeIp6;
}

/// Steps 19 to 22, and RFC 6980 and 7112 for fragments.
DropReason check_nd(const Check& check) {
  const PacketMeta& meta = check.meta;
  if (check.refused == DropReason::kFragmentChain) return DropReason::kAeNdFragment;
  const ByteSpan message = check.upper();
  if (meta.protocol != kProtocolIcmpv6 || message.empty() || !is_nd_type(message[0])) return DropReason::kNone;
  if (check.is_fragment()) return DropReason::kAeNdFragment;
  if (meta.ttl != kNdHopLimit) return DropReason::kAeNdHopLimit;
  if (check.refused != DropReason::kNone) return check.refused;
  const std::optional<NdMessage> nd = parse_nd(check.frame, meta);
  if (!nd.has_value() || meta.icmp_code != 0 || (meta.proof & kProofOptions) != 0) return DropReason::kAeNdFormat;
  const Mac source = ethernet_source(check.frame);
  switch (nd->type) {
    case kNdNeighbourSolicitation:
    case kNdRouterSolicitation:
      return nd->source_link_layer.value_or(source) == source ? DropReason::kNone : DropReason::kAeNdLinkLayer;
    case kNdNeighbourAdvertisement:
      if (!is_own_target(check, nd->target)) return DropReason::kAeNa;
      return nd->target_link_layer.value_or(source) == source ? DropReason::kNone : DropReason::kAeNdLinkLayer;
    default: break;
  }
  if (check.rules.has_role(snapshot::kRoleRouter)) return DropReason::kNone;
  return nd->type == kNdRouterAdvertisement ? DropReason::kAeRa : DropReason::kAeRedirect;
}

/// Step 23.
DropReason check_ipv6_roles(const Check& check) {
  const ByteSpan message = check.upper();
  if (check.meta.protocol == kProtocolIcmpv6 && !message.empty() && message[0] == kMldQuery &&
      !check.rules.has_role(snapshot::kRoleQuerier)) {
    return DropReason::kAeQuery;
  }
  if (check.from_udp(kDhcpv6Server) && !check.rules.has_role(snapshot::kRoleDhcp)) return DropReason::kAeDhcpServer;
  return check_vrrp(check);
}

DropReason check_ipv6(Check& check) {
  check.source = ip_source(check.frame, check.meta);
  DropReason reason = check_ipv6_source(check);
  if (reason == DropReason::kNone) reason = check_nd(check);
  return reason == DropReason::kNone ? check_ipv6_roles(check) : reason;
}

/// What decode refuses of the layer above IP: the addresses are proved and come first.
constexpr std::array kTransportRefusals{
    DropReason::kL4Truncated, DropReason::kTcpDataOffset, DropReason::kTcpFlags,     DropReason::kTcpNull,
    DropReason::kTcpXmas,     DropReason::kTcpSynFin,     DropReason::kTcpSynRst,    DropReason::kUdpLength,
    DropReason::kL4Checksum,  DropReason::kIcmpRedirect,  DropReason::kIcmpDeprecated, DropReason::kIcmpUnknown,
    DropReason::kFragmentTiny, DropReason::kFragmentChain};

/// Decode refused the IP header or its options themselves: that is step 11 or 16, before any look at the addresses.
bool is_network_refusal(DropReason reason) {
  return reason != DropReason::kNone &&
         std::find(kTransportRefusals.begin(), kTransportRefusals.end(), reason) == kTransportRefusals.end();
}

std::uint64_t number_of(const std::array<std::uint8_t, 16>& bytes) {
  return load_be<std::uint64_t>(bytes, 0) * 0x9e3779b97f4a7c15U ^ load_be<std::uint64_t>(bytes, 8);
}

void describe_arp(ByteSpan frame, const PacketMeta& meta, SecBody& body) {
  const ArpMessage arp = read_arp(frame, meta);
  body.source = arp.sender.bytes;
  body.destination = arp.target.bytes;
  body.claimed_mac = arp.sender_mac;
  body.arp_operation =
      static_cast<std::uint8_t>(arp.operation == kArpRequest || arp.operation == kArpReply ? arp.operation : 0);
}

void describe_nd(ByteSpan frame, const PacketMeta& meta, SecBody& body) {
  body.nd_type = meta.icmp_type;
  const std::optional<NdMessage> nd = parse_nd(frame, meta);
  if (!nd.has_value()) return;
  body.nd_target = nd->target.bytes;
  const auto& mac = nd->source_link_layer.has_value() ? nd->source_link_layer : nd->target_link_layer;
  body.claimed_mac = mac.value_or(Mac{});
}

}  // namespace

namespace link_detail {

DropReason from_port_any(const BindingRules& rules, BindingPins& pins, BindingMeters& meters, ByteSpan frame,
                         const PacketMeta& meta, std::uint64_t now_ms, DropReason refused) noexcept {
  if (!rules.active()) return DropReason::kAeUnbound;  // 1
  const MeterClass metered = meter_class(frame, meta);
  if (metered != MeterClass::kCount && !take_token(meters, metered, rules.meter(metered), now_ms)) {
    return DropReason::kAeStorm;  // 2
  }
  DropReason reason = check_link(rules, frame, meta, refused);
  if (reason != DropReason::kNone) return reason;
  Check check{rules, pins, frame, meta, refused, ethernet_source(frame).number()};
  if (is_network_refusal(refused)) return refused;  // 6, 11, 16
  if ((meta.proof & kProofArp) != 0) return check_arp(check);
  if ((meta.proof & kProofIpv4) != 0) reason = check_ipv4(check);
  if ((meta.proof & kProofIpv6) != 0) reason = check_ipv6(check);
  return reason == DropReason::kNone ? refused : reason;
}

DropReason to_port_any(const BindingRules& rules, const BindingPins& pins, const Address& destination) noexcept {
  if (!rules.active()) return DropReason::kAeUnbound;
  const bool known = rules.owns(destination) || destination.is_multicast() || rules.is_broadcast(destination) ||
                     rules.knows_link_local(destination, pins) || rules.routes(destination);
  return known ? DropReason::kNone : DropReason::kAeDestinationForeign;
}

}  // namespace link_detail

DropReason from_stranger(const BindingRules& strangers, ByteSpan frame, const PacketMeta& meta,
                         DropReason refused) noexcept {
  SEKISHO_DCHECK(frame.size() < kEthernetHeaderBytes || !strangers.has_mac(ethernet_source(frame).number()));
  return check_link(strangers, frame, meta, refused);
}

DropReason to_port_frame(const BindingRules& rules, const BindingPins& pins, ByteSpan frame, const PacketMeta& meta,
                         Origin origin) noexcept {
  if (!rules.active()) return DropReason::kAeUnbound;
  const Mac destination = ethernet_destination(frame);
  if (!destination.is_multicast() && !rules.has_mac(destination.number())) return DropReason::kAeMac;
  if ((meta.proof & kProofArp) != 0) {
    const ArpMessage arp = read_arp(frame, meta);
    if (arp.operation != kArpReply) return DropReason::kNone;
    return rules.owns(arp.target, arp.target_mac.number()) ? DropReason::kNone : DropReason::kAeArpTha;
  }
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) {
    const std::uint16_t type = ether_type(frame, meta);
    return rules.has_ethertype(type) ? DropReason::kNone : DropReason::kAeEthertype;
  }
  if (is_nd(meta) && meta.icmp_type == kNdRouterAdvertisement && origin != Origin::kGateway &&
      origin != Origin::kRouterPort) {
    return DropReason::kAeRa;
  }
  const std::uint16_t server = (meta.proof & kProofIpv4) != 0 ? kDhcpServer : kDhcpv6Server;
  if (meta.protocol == kProtocolUdp && meta.source_port == server && origin != Origin::kGateway &&
      origin != Origin::kDhcpPort) {
    return DropReason::kAeDhcpServer;
  }
  return to_port(rules, pins, frame, meta);
}

void describe_violation(ByteSpan frame, const PacketMeta& meta, SecBody& body) noexcept {
  body.source = body.destination = body.nd_target = {};
  body.ethernet_source = body.ethernet_destination = body.claimed_mac = {};
  body.ether_type = body.source_port = body.destination_port = 0;
  body.protocol = body.ip_version = body.arp_operation = body.nd_type = 0;
  if (frame.size() < kEthernetHeaderBytes) return;
  body.ethernet_source = ethernet_source(frame);
  body.ethernet_destination = ethernet_destination(frame);
  if (meta.l3_offset == 0) return;
  body.ether_type = ether_type(frame, meta);
  if ((meta.proof & kProofArp) != 0) describe_arp(frame, meta, body);
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) return;
  body.ip_version = (meta.proof & kProofIpv4) != 0 ? 4 : 6;
  body.source = ip_source(frame, meta).bytes;
  body.destination = ip_destination(frame, meta).bytes;
  body.protocol = meta.protocol;
  const bool has_ports = meta.protocol == kProtocolTcp || meta.protocol == kProtocolUdp || meta.protocol == kProtocolSctp;
  body.source_port = has_ports ? meta.source_port : std::uint16_t{0};
  body.destination_port = has_ports ? meta.destination_port : std::uint16_t{0};
  if (is_nd(meta)) describe_nd(frame, meta, body);
}

std::uint64_t offending_value(DropReason reason, const SecBody& body) noexcept {
  const std::uint64_t source_mac = body.ethernet_source.number();
  const std::string_view event = info(reason).event;
  if (reason == DropReason::kAeArpSpa || reason == DropReason::kAeIp4 || reason == DropReason::kAeIp6 ||
      reason == DropReason::kAeLinkLocal || event == "RPF_FAIL" || event == "BOGON" ||
      reason == DropReason::kLand || reason == DropReason::kSessionLimit || event == "PROTO_ICMP_ERR" ||
      (reason >= DropReason::kFragmentMalformed && reason <= DropReason::kFragmentLimit)) {
    return number_of(body.source);
  }
  if (reason == DropReason::kAeArpSha || reason == DropReason::kAeNdLinkLayer) return body.claimed_mac.number();
  if (reason == DropReason::kAeArpProbe || reason == DropReason::kAeDestinationForeign) {
    return number_of(body.destination);
  }
  if (reason == DropReason::kAeDadForeign || reason == DropReason::kAeNa) return number_of(body.nd_target);
  if (reason == DropReason::kAeEthertype) return body.ether_type;
  if (reason == DropReason::kHalfOpenLimit) return 0;  // one flood, whoever it claims to come from
  return source_mac;
}

}  // namespace sekisho::filters
