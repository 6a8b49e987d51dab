// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "filters/packet/fields.h"

/// The few packets the gateway says itself. Each builder writes one whole frame (without Ethernet padding) into `out`
/// and returns its length in bytes, or 0 when it does not fit or must not be sent. Checksums are complete. Thread: any;
/// pure.
namespace sekisho::filters {

using MutableBytes = std::span<std::uint8_t>;

/// The Ethernet header of a frame to build.
struct LinkHeader {
  Mac destination;
  Mac source;
  std::uint16_t outer_vlan = 0;  ///< 0 = untagged
  std::uint16_t inner_vlan = 0;  ///< 0 = no second tag
  bool outer_is_svlan = false;   ///< the outer tag is 802.1ad (88a8), else 8100
};

/// The link header that goes back to the sender of `frame`, on the same VLAN, from `own`.
[[nodiscard]] LinkHeader answer_link(ByteSpan frame, const PacketMeta& meta, const Mac& own) noexcept;

/// "Who has `target`? Tell `sender`." To link.destination: broadcast, or the neighbour itself to confirm it (RFC 1122).
[[nodiscard]] std::size_t build_arp_request(MutableBytes out, const LinkHeader& link, const Address& sender,
                                            const Address& target) noexcept;
/// "`sender` is at link.source", to link.destination, which asked from `target`.
[[nodiscard]] std::size_t build_arp_reply(MutableBytes out, const LinkHeader& link, const Address& sender,
                                          const Address& target) noexcept;

/// Neighbour solicitation for `target` to its solicited-node group; link.destination is not used (RFC 4861 7.2.2).
[[nodiscard]] std::size_t build_neighbour_solicitation(MutableBytes out, const LinkHeader& link, const Address& source,
                                                       const Address& target) noexcept;
/// Whose address an advertisement speaks of.
enum class Advertised : std::uint8_t {
  kOwn,       ///< ours, a router's: router and override set
  kAnothers,  ///< a host's we stand for: neither (RFC 4861 7.2.8)
};
/// Answers `solicitor` that `target` is at link.source: solicited, unless the solicitor is `::` (DAD), which is answered to
/// all nodes (RFC 4861 7.2.4).
[[nodiscard]] std::size_t build_neighbour_advertisement(MutableBytes out, const LinkHeader& link, const Address& solicitor,
                                                        const Address& target, Advertised whose = Advertised::kOwn) noexcept;

/// Turns an ICMP or ICMPv6 echo request into its reply where it lies: addresses and MACs swapped, hop limit 64,
/// checksums adjusted. False, and nothing changed, when it is none, carries options or extension headers, or its
/// source or destination is not one host. The caller has made sure that the destination is an address of ours.
[[nodiscard]] bool echo_reply_in_place(MutableBytes frame, const PacketMeta& meta, const Mac& own) noexcept;

/// What went wrong, for either family.
enum class IcmpErrorKind : std::uint8_t {
  kTimeExceeded,     ///< 11/0; v6 3/0
  kTooBig,           ///< 3/4 with the MTU; v6 2/0
  kNoRoute,          ///< 3/0; v6 1/0
  kHostUnreachable,  ///< 3/1; v6 1/3
  kPortUnreachable,  ///< 3/3; v6 1/4
  kAdminProhibited,  ///< 3/13; v6 1/1
};

/// An ICMP error from our address `source` about the packet in `frame`.
///
/// `mtu`: bytes of L3, used by kTooBig alone. Quotes as much as is at hand and allowed: a message of 576 bytes (RFC
/// 1812 4.3.2.3) or 1280 (RFC 4443 2.4 c). 0, so that nothing is ever amplified or looped (RFC 1122 3.2.2, RFC 4443 2.4
/// e), about: an ICMP message that is not a query; a later fragment; a multicast, broadcast or zero source or
/// destination; a frame sent to a group. `source` is of the packet's family.
[[nodiscard]] std::size_t build_icmp_error(MutableBytes out, const LinkHeader& link, const Address& source,
                                           ByteSpan frame, const PacketMeta& meta, IcmpErrorKind kind,
                                           std::uint32_t mtu) noexcept;

/// The reset that answers a TCP segment nobody here accepts (RFC 9293 3.10.7.1). 0 when the segment is a reset itself,
/// is not whole, or came from or to a group.
[[nodiscard]] std::size_t build_tcp_reset(MutableBytes out, const LinkHeader& link, ByteSpan frame,
                                          const PacketMeta& meta) noexcept;

/// A TCP segment without payload, said in the name of one end of a connection. Numbers in host order.
struct TcpHeader {
  Address source;
  Address destination;
  std::uint16_t source_port;
  std::uint16_t destination_port;
  std::uint32_t sequence;
  std::uint32_t acknowledgement;
  std::uint8_t flags;          ///< TcpFlag
  std::uint16_t window;
  std::uint16_t mss;           ///< 0: no option
  std::uint8_t window_scale;   ///< kNoWindowScaleOption: no option
  bool sack;                   ///< SACK permitted
};
inline constexpr std::uint8_t kNoWindowScaleOption = 0xff;

/// The whole frame of a segment with the options its header asks for. Both addresses of one family.
[[nodiscard]] std::size_t build_tcp(MutableBytes out, const LinkHeader& link, const TcpHeader& header) noexcept;

}  // namespace sekisho::filters
