// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/shm/log_record.h"
#include "filters/drop_reason.h"
#include "filters/link/binding_rules.h"
#include "filters/packet/fields.h"

/// Who may speak on a Port, and what may be said to it: address enforcement (specification 3.5). The caller finds the
/// Binding: the Port's only one (enforcement by port) or that of the source MAC (by segment).
///
/// The frame has been through decode(), and its Port was found by the VLAN ids in `meta`. Pure but for the pins and
/// meters handed in: no clock, no device. Any worker thread; `pins` are shared by all, `meters` belong to one.
namespace sekisho::filters {

namespace link_detail {

[[nodiscard]] DropReason from_port_any(const BindingRules& rules, BindingPins& pins, BindingMeters& meters,
                                       ByteSpan frame, const PacketMeta& meta, std::uint64_t now_ms,
                                       DropReason refused) noexcept;
[[nodiscard]] DropReason to_port_any(const BindingRules& rules, const BindingPins& pins,
                                     const Address& destination) noexcept;

/// Protocols that no step of the pipeline looks into beyond the source address.
[[nodiscard]] inline bool is_plain_protocol(const PacketMeta& meta) {
  if (meta.protocol == kProtocolTcp) return true;
  if (meta.protocol == kProtocolUdp) {  // not from a DHCP port: 67, 68, 546, 547
    return static_cast<std::uint16_t>(meta.source_port - 67) > 1 &&
           static_cast<std::uint16_t>(meta.source_port - 546) > 1;
  }
  if (meta.protocol == kProtocolIcmp) {
    return (meta.proof & kProofIpv4) != 0 && (meta.icmp_type == 0 || meta.icmp_type == 8);
  }
  return meta.protocol == kProtocolIcmpv6 && (meta.proof & kProofIpv6) != 0 && (meta.icmp_type | 1) == 129;
}

/// Unicast TCP, UDP or echo, whole and without options, from the first pair of its family.
[[nodiscard]] inline bool is_plain_from_port(const BindingRules::Hot& hot, ByteSpan frame, const PacketMeta& meta) {
  const unsigned proof = meta.proof & ~unsigned{kProofL4Unsummed};
  if (meta.l3_offset != hot.l3_offset || (frame[0] & 1U) != 0) return false;
  const std::size_t l3 = meta.l3_offset;
  const auto link = load_be<std::uint64_t>(frame, 6);
  if (proof == (kProofIpv4 | kProofL4)) {
    if (link != hot.link4) return false;
    if ((load_be<std::uint32_t>(frame, l3 + 12) & hot.mask4) != hot.address4) return false;
  } else if (proof == (kProofIpv6 | kProofL4)) {
    if (link != hot.link6) return false;
    const auto high = load_be<std::uint64_t>(frame, l3 + 8), low = load_be<std::uint64_t>(frame, l3 + 16);
    if ((((high & hot.mask_high) ^ hot.high) | ((low & hot.mask_low) ^ hot.low)) != 0) return false;
  } else {
    return false;
  }
  if (l3 == kEthernetHeaderBytes + 2 * kVlanTagBytes && load_be<std::uint16_t>(frame, 16) != kEtherTypeVlan)
    return false;
  return is_plain_protocol(meta);
}

/// TCP, or UDP that is not from a DHCP port, as decode_plain() found it.
[[nodiscard, gnu::always_inline]] inline bool is_plain_sender(const packet_detail::Decoded& d) {
  const std::uint32_t source = d.ports >> 16;
  return d.protocol == kProtocolTcp || (d.protocol == kProtocolUdp && source - 67 > 1 && source - 546 > 1);
}

/// The same for a frame that is not to a group, as decode_plain() found it: one tag at most.
[[nodiscard, gnu::always_inline]] inline bool is_plain_from_port(const BindingRules::Hot& hot, ByteSpan frame,
                                                                 const packet_detail::Decoded& d) {
  if (d.l3_offset != hot.l3_offset) return false;
  const auto link = load_be<std::uint64_t>(frame, 6);
  if ((d.proof & kProofIpv4) != 0) {
    if (link != hot.link4 || (load_be<std::uint32_t>(frame, d.l3_offset + 12) & hot.mask4) != hot.address4) return false;
  } else {
    const auto high = load_be<std::uint64_t>(frame, d.l3_offset + 8), low = load_be<std::uint64_t>(frame, d.l3_offset + 16);
    if (link != hot.link6 || (((high & hot.mask_high) ^ hot.high) | ((low & hot.mask_low) ^ hot.low)) != 0) return false;
  }
  return is_plain_sender(d);
}

}  // namespace link_detail

/// Judges a frame that came from the Port, which decode() accepted (any EtherType): kNone, or the first step of the
/// normative order that fails.
///
/// `now_ms`: milliseconds, not decreasing, for the meters. May pin a link-local address (LlaPolicy::kPin).
/// IPv4 0.0.0.0 and IPv6 `::` pass for DHCP and DAD alone: the caller hands them to the local services, never forwards.
[[nodiscard]] inline DropReason from_port(const BindingRules& rules, BindingPins& pins, BindingMeters& meters,
                                          ByteSpan frame, const PacketMeta& meta, std::uint64_t now_ms) noexcept {
  if (meta.proof != 0 && link_detail::is_plain_from_port(rules.hot(), frame, meta)) [[likely]]
    return DropReason::kNone;
  return link_detail::from_port_any(rules, pins, meters, frame, meta, now_ms, DropReason::kNone);
}

/// Names a frame that decode() refused with `refused`: an earlier step of the normative order comes first (a malformed
/// packet with a foreign MAC is kAeMac), else `refused` itself. Never kNone.
[[nodiscard]] inline DropReason from_port_refused(const BindingRules& rules, BindingPins& pins, BindingMeters& meters,
                                                  ByteSpan frame, const PacketMeta& meta, std::uint64_t now_ms,
                                                  DropReason refused) noexcept {
  SEKISHO_DCHECK(refused != DropReason::kNone);
  return link_detail::from_port_any(rules, pins, meters, frame, meta, now_ms, refused);
}

/// Names a frame whose source MAC no Binding of its Port has (enforcement by segment): steps 3 to 5 of the normative
/// order, so `refused` of decode() only where the frame itself cannot be read. Never kNone. `strangers`: a BindingRules of
/// the Port without pairs.
[[nodiscard]] DropReason from_stranger(const BindingRules& strangers, ByteSpan frame, const PacketMeta& meta,
                                       DropReason refused) noexcept;

/// Judges a packet the gateway is about to send to the Port by its destination: kNone, kAeUnbound or
/// kAeDestinationForeign. For what is routed or answered; the frame's MAC comes from the Bindings themselves.
[[nodiscard]] inline DropReason to_port(const BindingRules& rules, const BindingPins& pins,
                                        const Address& destination) noexcept {
  return link_detail::to_port_any(rules, pins, destination);
}
/// The same, reading the destination of an IP packet where it lies (kProofIpv4 or kProofIpv6). A few cycles when it is
/// the first pair of its family.
[[nodiscard]] inline DropReason to_port(const BindingRules& rules, const BindingPins& pins, ByteSpan frame,
                                        const PacketMeta& meta) noexcept {
  const BindingRules::Hot& hot = rules.hot();
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & kProofIpv4) != 0) {
    if (hot.ready4 && (load_be<std::uint32_t>(frame, l3 + 16) & hot.mask4) == hot.address4) [[likely]] {
      return DropReason::kNone;
    }
  } else if (hot.ready6) {
    const auto high = load_be<std::uint64_t>(frame, l3 + 24), low = load_be<std::uint64_t>(frame, l3 + 32);
    if ((((high & hot.mask_high) ^ hot.high) | ((low & hot.mask_low) ^ hot.low)) == 0) [[likely]] {
      return DropReason::kNone;
    }
  }
  return link_detail::to_port_any(rules, pins, ip_destination(frame, meta));
}

/// Where a frame that is to go out of the Port comes from.
enum class Origin : std::uint8_t {
  kGateway,     ///< the gateway itself, also what it routes
  kRouterPort,  ///< switched inside the segment, from a Port whose Binding has the role router
  kDhcpPort,    ///< likewise, role dhcp
  kOtherPort,   ///< likewise, neither
};

/// Judges a whole frame on its way to the Port: destination MAC bound, broadcast or multicast (kAeMac), then the
/// destination as to_port() does, ARP replies for the Binding alone (TPA bound and THA its MAC: kAeArpTha), RA only
/// from the gateway or a router (kAeRa), DHCP server messages only from the gateway or a server (kAeDhcpServer).
[[nodiscard]] DropReason to_port_frame(const BindingRules& rules, const BindingPins& pins, ByteSpan frame,
                                       const PacketMeta& meta, Origin origin) noexcept;

/// Fills the facts of a security record from a frame and as much of `meta` as decode() proved: addresses, ports, ARP
/// and ND claims. Leaves times, binding and in_port alone; everything it cannot prove is zero.
void describe_violation(ByteSpan frame, const PacketMeta& meta, SecBody& body) noexcept;

/// A number for the value that offended, to fold violations by (binding, code, offending value): the claimed MAC, the
/// claimed address, or what else the step that gave `reason` looked at. Equal facts give equal numbers.
[[nodiscard]] std::uint64_t offending_value(DropReason reason, const SecBody& body) noexcept;

}  // namespace sekisho::filters
