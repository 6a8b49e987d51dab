// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/build.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/net/checksum.h"
#include "filters/packet/arp.h"
#include "filters/packet/fragment.h"
#include "filters/packet/nd.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint8_t kNdHopLimit = 255;
constexpr std::size_t kIcmpErrorBytesMax = 576;     // RFC 1812 4.3.2.3: of the IP datagram
constexpr std::size_t kIcmpv6ErrorBytesMax = 1280;  // RFC 4443 2.4 (c)

/// Appends to a span; once something did not fit, finished() is 0.
class Writer {
 public:
  explicit Writer(MutableBytes out) : out_(out) {}

  template <typename T>
  void number(T value) {
    if (!fits(sizeof(T))) return;
    if constexpr (sizeof(T) == 1) {
      out_[at_] = value;
    } else {
      store_be<T>(out_, at_, value);
    }
    at_ += sizeof(T);
  }
  void bytes(ByteSpan from) {
    if (!fits(from.size())) return;
    std::copy(from.begin(), from.end(), out_.subspan(at_).begin());
    at_ += from.size();
  }
  void mac(const Mac& mac) { bytes(mac.bytes); }
  void address(const Address& address) { bytes(address.wire()); }

  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] MutableBytes written(std::size_t from) const { return out_.subspan(from, at_ - from); }
  [[nodiscard]] std::size_t finished() const { return failed_ ? 0 : at_; }

 private:
  bool fits(std::size_t length) {
    failed_ = failed_ || length > out_.size() - at_;
    return !failed_;
  }
  MutableBytes out_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

void write_link(Writer& writer, const LinkHeader& link, std::uint16_t type) {
  writer.mac(link.destination);
  writer.mac(link.source);
  if (link.outer_vlan != 0) {
    writer.number<std::uint16_t>(link.outer_is_svlan ? kEtherTypeSvlan : kEtherTypeVlan);
    writer.number<std::uint16_t>(link.outer_vlan);
  }
  if (link.inner_vlan != 0) {
    writer.number<std::uint16_t>(kEtherTypeVlan);
    writer.number<std::uint16_t>(link.inner_vlan);
  }
  writer.number<std::uint16_t>(type);
}

struct IpHeader {
  Address source;
  Address destination;
  std::uint8_t protocol;
  std::uint8_t hop_limit;
  std::uint8_t traffic_class;
};

/// Ethernet and IP header in front of `length` bytes of L4. IPv4: DF set, so the identification means nothing (RFC
/// 6864).
void write_ip(Writer& writer, const LinkHeader& link, const IpHeader& ip, std::size_t length) {
  if (ip.source.family == Family::kIpv6) {
    write_link(writer, link, kEtherTypeIpv6);
    writer.number<std::uint32_t>(0x60000000U | std::uint32_t{ip.traffic_class} << 20);
    writer.number<std::uint16_t>(static_cast<std::uint16_t>(length));
    writer.number<std::uint8_t>(ip.protocol);
    writer.number<std::uint8_t>(ip.hop_limit);
    writer.address(ip.source);
    writer.address(ip.destination);
    return;
  }
  write_link(writer, link, kEtherTypeIpv4);
  const std::size_t start = writer.at();
  writer.number<std::uint8_t>(0x45);
  writer.number<std::uint8_t>(ip.traffic_class);
  writer.number<std::uint16_t>(static_cast<std::uint16_t>(kIpv4HeaderBytes + length));
  writer.number<std::uint16_t>(0);
  writer.number<std::uint16_t>(0x4000);
  writer.number<std::uint8_t>(ip.hop_limit);
  writer.number<std::uint8_t>(ip.protocol);
  writer.number<std::uint16_t>(0);
  writer.address(ip.source);
  writer.address(ip.destination);
  if (writer.failed()) return;
  const MutableBytes header = writer.written(start);
  store_be<std::uint16_t>(header, 10, checksum_fold(checksum_add(0, header)));
}

/// Fills the checksum field `field` bytes into the L4 part that starts at `l4` and ends the frame.
std::size_t finish_l4(Writer& writer, const IpHeader& ip, std::size_t l4, std::size_t field) {
  if (writer.failed()) return 0;
  const MutableBytes part = writer.written(l4);
  const bool plain = ip.protocol == kProtocolIcmp;
  const std::uint32_t sum =
      plain ? 0 : pseudo_header_sum(ip.source, ip.destination, ip.protocol, static_cast<std::uint32_t>(part.size()));
  store_be<std::uint16_t>(part, field, checksum_fold(checksum_add(sum, part)));
  return writer.finished();
}

std::size_t build_arp(MutableBytes out, const LinkHeader& link, std::uint16_t operation, const Address& sender,
                      const Mac& target_mac, const Address& target) {
  SEKISHO_DCHECK(sender.family == Family::kIpv4 && target.family == Family::kIpv4);
  Writer writer(out);
  write_link(writer, link, kEtherTypeArp);
  writer.number<std::uint16_t>(1);
  writer.number<std::uint16_t>(kEtherTypeIpv4);
  writer.number<std::uint8_t>(6);
  writer.number<std::uint8_t>(4);
  writer.number<std::uint16_t>(operation);
  writer.mac(link.source);
  writer.address(sender);
  writer.mac(target_mac);
  writer.address(target);
  return writer.finished();
}

/// A neighbour solicitation or advertisement of 32 bytes with its one link-layer option.
std::size_t build_neighbour(MutableBytes out, const LinkHeader& link, const IpHeader& ip, std::uint8_t type,
                            std::uint32_t flags, const Address& target) {
  Writer writer(out);
  write_ip(writer, link, ip, 32);
  const std::size_t l4 = writer.at();
  writer.number<std::uint8_t>(type);
  writer.number<std::uint8_t>(0);
  writer.number<std::uint16_t>(0);
  writer.number<std::uint32_t>(flags);
  writer.address(target);
  writer.number<std::uint8_t>(type == kNdNeighbourSolicitation ? 1 : 2);
  writer.number<std::uint8_t>(1);
  writer.mac(link.source);
  return finish_l4(writer, ip, l4, 2);
}

/// One host, not a group, not "nobody", not the limited broadcast.
bool is_one_host(const Address& address) {
  if (address.is_multicast() || address.is_unspecified() || address.is_loopback()) return false;
  return address.family != Family::kIpv4 || address.bytes[0] < 224;
}

/// May a packet be answered at all? Only what one host sent to one host.
bool is_answerable(ByteSpan frame, const PacketMeta& meta) {
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) return false;
  return !ethernet_destination(frame).is_multicast() && !ethernet_source(frame).is_multicast() &&
         is_one_host(ip_source(frame, meta)) && is_one_host(ip_destination(frame, meta));
}

/// ICMP messages about which no error may be sent: all but the queries. Looks at the byte itself, because a first
/// fragment has no kProofL4.
bool is_icmp_error(ByteSpan frame, const PacketMeta& meta) {
  const bool ipv6 = (meta.proof & kProofIpv6) != 0;
  if (meta.protocol != (ipv6 ? kProtocolIcmpv6 : kProtocolIcmp)) return false;
  const ByteSpan message = packet_from(frame, meta, meta.l4_offset);
  if (message.empty()) return true;
  const std::uint8_t type = message[0];
  if (ipv6) return type < 128 || type == kNdRedirect;
  constexpr std::array<std::uint8_t, 10> kQueries{0, 8, 9, 10, 13, 14, 15, 16, 17, 18};
  return std::find(kQueries.begin(), kQueries.end(), type) == kQueries.end();
}

struct TypeCode {
  std::uint8_t type;
  std::uint8_t code;
};

TypeCode icmp_type_code(IcmpErrorKind kind, bool ipv6) {
  switch (kind) {
    case IcmpErrorKind::kTimeExceeded: return ipv6 ? TypeCode{3, 0} : TypeCode{11, 0};
    case IcmpErrorKind::kTooBig: return ipv6 ? TypeCode{2, 0} : TypeCode{3, 4};
    case IcmpErrorKind::kNoRoute: return ipv6 ? TypeCode{1, 0} : TypeCode{3, 0};
    case IcmpErrorKind::kHostUnreachable: return ipv6 ? TypeCode{1, 3} : TypeCode{3, 1};
    case IcmpErrorKind::kPortUnreachable: return ipv6 ? TypeCode{1, 4} : TypeCode{3, 3};
    case IcmpErrorKind::kAdminProhibited: break;
  }
  return ipv6 ? TypeCode{1, 1} : TypeCode{3, 13};
}

/// Exchanges `length` bytes at `a` and `b`; the caller has proved both.
void swap_bytes(MutableBytes frame, std::size_t a, std::size_t b, std::size_t length) {
  const MutableBytes left = frame.subspan(a, length), right = frame.subspan(b, length);
  std::swap_ranges(left.begin(), left.end(), right.begin());
}

}  // namespace

LinkHeader answer_link(ByteSpan frame, const PacketMeta& meta, const Mac& own) noexcept {
  return LinkHeader{.destination = ethernet_source(frame),
                    .source = own,
                    .outer_vlan = meta.outer_vlan,
                    .inner_vlan = meta.inner_vlan,
                    .outer_is_svlan = load_be<std::uint16_t>(frame, 12) == kEtherTypeSvlan};
}

std::size_t build_arp_request(MutableBytes out, const LinkHeader& link, const Address& sender,
                              const Address& target) noexcept {
  return build_arp(out, link, kArpRequest, sender, Mac{}, target);
}

std::size_t build_arp_reply(MutableBytes out, const LinkHeader& link, const Address& sender,
                            const Address& target) noexcept {
  return build_arp(out, link, kArpReply, sender, link.destination, target);
}

std::size_t build_neighbour_solicitation(MutableBytes out, const LinkHeader& link, const Address& source,
                                         const Address& target) noexcept {
  const Address group = solicited_node(target);
  LinkHeader to = link;
  to.destination = multicast_mac(group);
  return build_neighbour(out, to, {source, group, kProtocolIcmpv6, kNdHopLimit, 0}, kNdNeighbourSolicitation, 0,
                         target);
}

std::size_t build_neighbour_advertisement(MutableBytes out, const LinkHeader& link, const Address& solicitor,
                                          const Address& target, Advertised whose) noexcept {
  constexpr std::uint32_t kRouterAndOverride = 0xa0000000U, kSolicited = 0x40000000U;
  const std::uint32_t flags = whose == Advertised::kOwn ? kRouterAndOverride : 0;
  constexpr Address kAllNodes{.bytes = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, .family = Family::kIpv6};
  if (!solicitor.is_unspecified()) {
    return build_neighbour(out, link, {target, solicitor, kProtocolIcmpv6, kNdHopLimit, 0}, kNdNeighbourAdvertisement,
                           flags | kSolicited, target);
  }
  LinkHeader to = link;
  to.destination = multicast_mac(kAllNodes);
  return build_neighbour(out, to, {target, kAllNodes, kProtocolIcmpv6, kNdHopLimit, 0}, kNdNeighbourAdvertisement,
                         flags, target);
}

bool echo_reply_in_place(MutableBytes frame, const PacketMeta& meta, const Mac& own) noexcept {
  const bool ipv6 = (meta.proof & kProofIpv6) != 0;
  const std::uint8_t request = ipv6 ? 128 : 8, reply = ipv6 ? 129 : 0;
  if ((meta.proof & kProofL4) == 0 || (meta.proof & (kProofOptions | kProofTrain)) != 0) return false;
  if (meta.protocol != (ipv6 ? kProtocolIcmpv6 : kProtocolIcmp) || meta.icmp_type != request || meta.icmp_code != 0) {
    return false;
  }
  if (!is_answerable(frame, meta)) return false;
  const std::size_t l3 = meta.l3_offset, l4 = meta.l4_offset;
  swap_bytes(frame, 0, 6, 6);
  std::copy(own.bytes.begin(), own.bytes.end(), frame.subspan(6, 6).begin());
  if (ipv6) {
    swap_bytes(frame, l3 + 8, l3 + 24, 16);
    frame[l3 + 7] = kHopLimit;
  } else {
    swap_bytes(frame, l3 + 12, l3 + 16, 4);
    frame[l3 + 8] = kHopLimit;
    store_be<std::uint16_t>(frame, l3 + 10, 0);
    store_be<std::uint16_t>(frame, l3 + 10, checksum_fold(checksum_add(0, frame.subspan(l3, kIpv4HeaderBytes))));
  }
  frame[l4] = reply;
  const auto old_sum = load_be<std::uint16_t>(frame, l4 + 2);
  store_be<std::uint16_t>(
      frame, l4 + 2,
      checksum_adjust(old_sum, static_cast<std::uint16_t>(request << 8), static_cast<std::uint16_t>(reply << 8)));
  return true;
}

std::size_t build_icmp_error(MutableBytes out, const LinkHeader& link, const Address& source, ByteSpan frame,
                             const PacketMeta& meta, IcmpErrorKind kind, std::uint32_t mtu) noexcept {
  if (!is_answerable(frame, meta) || is_later_fragment(frame, meta) || is_icmp_error(frame, meta)) return 0;
  const bool ipv6 = (meta.proof & kProofIpv6) != 0;
  SEKISHO_DCHECK(source.family == (ipv6 ? Family::kIpv6 : Family::kIpv4));
  const std::size_t headers = (ipv6 ? kIpv6HeaderBytes : kIpv4HeaderBytes) + kIcmpHeaderBytes;
  const std::size_t quote_max = (ipv6 ? kIcmpv6ErrorBytesMax : kIcmpErrorBytesMax) - headers;
  ByteSpan quote = packet_from(frame, meta, meta.l3_offset);
  quote = quote.first(std::min(quote.size(), quote_max));
  // RFC 1812 4.3.2.5: errors travel with precedence 6.
  const IpHeader ip{source, ip_source(frame, meta), ipv6 ? kProtocolIcmpv6 : kProtocolIcmp, kHopLimit,
                    static_cast<std::uint8_t>(ipv6 ? 0 : 0xc0)};
  const TypeCode message = icmp_type_code(kind, ipv6);
  const std::uint32_t rest = kind != IcmpErrorKind::kTooBig ? 0 : ipv6 ? mtu : std::min<std::uint32_t>(mtu, 0xffff);
  Writer writer(out);
  write_ip(writer, link, ip, kIcmpHeaderBytes + quote.size());
  const std::size_t l4 = writer.at();
  writer.number<std::uint8_t>(message.type);
  writer.number<std::uint8_t>(message.code);
  writer.number<std::uint16_t>(0);
  writer.number<std::uint32_t>(rest);
  writer.bytes(quote);
  return finish_l4(writer, ip, l4, 2);
}

std::size_t build_tcp_reset(MutableBytes out, const LinkHeader& link, ByteSpan frame, const PacketMeta& meta) noexcept {
  if (meta.protocol != kProtocolTcp || (meta.proof & kProofL4) == 0 || (meta.tcp_flags & kTcpRst) != 0) return 0;
  if (!is_answerable(frame, meta)) return 0;
  const std::size_t l4 = meta.l4_offset;
  const bool acknowledged = (meta.tcp_flags & kTcpAck) != 0;
  const std::uint32_t payload = std::uint32_t{meta.l3_offset} + meta.l3_length - meta.payload_offset;
  const std::uint32_t length =
      payload + ((meta.tcp_flags & kTcpSyn) != 0 ? 1U : 0U) + ((meta.tcp_flags & kTcpFin) != 0 ? 1U : 0U);
  const IpHeader ip{ip_destination(frame, meta), ip_source(frame, meta), kProtocolTcp, kHopLimit, 0};
  Writer writer(out);
  write_ip(writer, link, ip, kTcpHeaderBytes);
  const std::size_t start = writer.at();
  writer.number<std::uint16_t>(meta.destination_port);
  writer.number<std::uint16_t>(meta.source_port);
  writer.number<std::uint32_t>(acknowledged ? load_be<std::uint32_t>(frame, l4 + 8) : 0);
  writer.number<std::uint32_t>(acknowledged ? 0 : load_be<std::uint32_t>(frame, l4 + 4) + length);
  writer.number<std::uint8_t>(0x50);
  writer.number<std::uint8_t>(static_cast<std::uint8_t>(acknowledged ? kTcpRst : kTcpRst | kTcpAck));
  writer.number<std::uint16_t>(0);
  writer.number<std::uint32_t>(0);
  return finish_l4(writer, ip, start, 16);
}

std::size_t build_tcp(MutableBytes out, const LinkHeader& link, const TcpHeader& header) noexcept {
  SEKISHO_DCHECK(header.source.family == header.destination.family);
  const bool scales = header.window_scale != kNoWindowScaleOption;
  const std::size_t options = (header.mss != 0 ? 4U : 0U) + (scales ? 4U : 0U) + (header.sack ? 4U : 0U);
  const IpHeader ip{header.source, header.destination, kProtocolTcp, kHopLimit, 0};
  Writer writer(out);
  write_ip(writer, link, ip, kTcpHeaderBytes + options);
  const std::size_t start = writer.at();
  writer.number<std::uint16_t>(header.source_port);
  writer.number<std::uint16_t>(header.destination_port);
  writer.number<std::uint32_t>(header.sequence);
  writer.number<std::uint32_t>(header.acknowledgement);
  writer.number<std::uint8_t>(static_cast<std::uint8_t>((kTcpHeaderBytes + options) / 4 << 4));
  writer.number<std::uint8_t>(header.flags);
  writer.number<std::uint16_t>(header.window);
  writer.number<std::uint32_t>(0);
  // Each option is padded to four bytes with no-operations.
  if (header.mss != 0) writer.number<std::uint32_t>(0x02040000U | header.mss);
  if (header.sack) writer.number<std::uint32_t>(0x01010402U);
  if (scales) writer.number<std::uint32_t>(0x01030300U | header.window_scale);
  return finish_l4(writer, ip, start, 16);
}

}  // namespace sekisho::filters
