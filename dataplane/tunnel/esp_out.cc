// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "base/net/put_be.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"
#include "filters/packet/protocol.h"

namespace sekisho::dataplane {
namespace {

using filters::EspFault;
using filters::EspSizes;

constexpr std::uint16_t kDontFragment = 0x4000;

/// What the outer header says of the inner packet.
struct InnerFacts {
  std::uint8_t traffic_class;
  bool dont_fragment;
};

/// Class and ECN (RFC 6040 4.1 normal mode: as inside), DF.
InnerFacts facts_of(const std::uint8_t* ip, Family family, bool copy_dscp) {
  const bool v4 = family == Family::kIpv4;
  const auto inner = static_cast<std::uint8_t>(v4 ? ip[1] : (ip[0] << 4 | ip[1] >> 4));
  return {static_cast<std::uint8_t>(copy_dscp ? inner : inner & 3U), !v4 || (ip[6] & 0x40U) != 0};
}

/// Writes the SA's outer headers in front of `esp`; `payload` bytes of ESP follow.
void write_outer(const Sa& sa, std::uint8_t* esp, std::size_t payload, const InnerFacts& facts,
                 std::uint64_t sequence) {
  const OuterTemplate& ready = sa.outer;
  std::memcpy(esp - OuterTemplate::kBytes, ready.bytes.data(), OuterTemplate::kBytes);
  std::uint8_t* const outer = esp - ready.used;
  const auto after_ip = static_cast<std::uint16_t>(ready.used - ready.ip_bytes + payload);
  if (ready.used != ready.ip_bytes) put_be16(outer + ready.ip_bytes + 4, after_ip);
  if (ready.ip_bytes == 40) {
    outer[0] = static_cast<std::uint8_t>(0x60U | facts.traffic_class >> 4);
    outer[1] = static_cast<std::uint8_t>(facts.traffic_class << 4);
    put_be16(outer + 4, after_ip);
    return;
  }
  const auto total = static_cast<std::uint16_t>(ready.ip_bytes + after_ip);
  // An identification is for what may be cut (RFC 6864).
  const auto identification = facts.dont_fragment ? std::uint16_t{0} : static_cast<std::uint16_t>(sequence);
  const std::uint16_t flags = facts.dont_fragment ? kDontFragment : std::uint16_t{0};
  outer[1] = facts.traffic_class;
  put_be16(outer + 2, total);
  put_be16(outer + 4, identification);
  put_be16(outer + 6, flags);
  put_be16(outer + 10, checksum_fold(ready.sum + facts.traffic_class + total + identification + flags));
}

/// What an SA's packet has inside.
struct Content {
  std::uint8_t* begin;      // the IP packet, or the daemon's datagram
  std::size_t length;       // of that
  std::size_t before;       // bytes of L2TP, PPP and UDP to be written in front of it
  L2tpRider* rider;         // whose they are
  InnerFacts facts;
  std::uint8_t next_header;
};

/// In tunnel mode: the packet as it is, when it is one the SA was agreed for.
EspFault tunnelled(const Sa& sa, const PacketMeta& meta, Family family, Content& out) {
  const bool v4 = family == Family::kIpv4;
  const bool ip = (meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) != 0;
  if (!ip || !sa.inner_local.contains(out.begin + (v4 ? 12 : 8), family) ||
      !sa.inner_remote.contains(out.begin + (v4 ? 16 : 24), family)) {
    return EspFault::kSelectors;
  }
  out.next_header = filters::esp_next_header(family);
  out.facts = facts_of(out.begin, family, sa.copy_dscp);
  return EspFault::kNone;
}

/// In transport mode: an IP packet behind the L2TP header of its session, or a datagram of the daemon. Outside it is without ECN:
/// nobody has said that the peer's L2TP passes it on (RFC 9601 5).
EspFault carried(const Sa& sa, const PacketMeta& meta, Family family, Content& out) {
  out.next_header = filters::kProtocolUdp;
  out.facts = {0, false};
  if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) return EspFault::kNone;
  out.rider = sa.l2tp->find(out.begin + (family == Family::kIpv4 ? 16 : 24), family);
  if (out.rider == nullptr) return EspFault::kSelectors;
  out.before = out.rider->session->header.used;
  out.facts = facts_of(out.begin, family, sa.copy_dscp);
  out.facts.traffic_class &= 0xfcU;
  return EspFault::kNone;
}

/// UDP over IPv6 has a checksum.
void sum_udp(const Sa& sa, std::span<std::uint8_t> udp) {
  std::uint32_t sum = pseudo_header_sum(sa.local.address, sa.peer.address, filters::kProtocolUdp,
                                        static_cast<std::uint32_t>(udp.size()));
  sum = checksum_add(sum, udp);
  const std::uint16_t value = checksum_fold(sum);
  store_be<std::uint16_t>(udp, 6, value == 0 ? std::uint16_t{0xffff} : value);
}

/// The headers in front of what a transport SA carries.
[[gnu::always_inline]] inline void write_l2tp(const Sa& sa, const Content& content, bool v4) {
  std::uint8_t* const udp = content.begin - content.before;
  if (content.rider != nullptr) {
    L2tpSession& session = *content.rider->session;
    const bool numbered = session.header.used == filters::L2tpHeader::kSequencedBytes;
    // relaxed: see the member
    const std::uint16_t number = numbered ? session.sequence.fetch_add(1, std::memory_order_relaxed) : std::uint16_t{0};
    session.header.write(content.begin, content.length, v4, number);
    ++content.rider->packets;
    content.rider->bytes += content.length;
  }
  if (sa.outer.ip_bytes == 40) sum_udp(sa, {udp, content.before + content.length});
}

/// Judges and dresses one packet; `job` is what is left to do.
EspFault prepare(SaTable& table, rte_mbuf* packet, Sa& sa, std::uint64_t now, EspJob& job) {
  if (!in_one_piece(packet)) return EspFault::kSegments;
  const PacketMeta& meta = meta_of(packet);
  const Family family = (meta.proof & filters::kProofIpv4) != 0 ? Family::kIpv4 : Family::kIpv6;
  SEKISHO_DCHECK(std::size_t{meta.l3_offset} + meta.l3_length <= packet->data_len);
  Content content{frame_of(packet).data() + meta.l3_offset, meta.l3_length, 0, nullptr, {}, 0};
  const EspFault fault = sa.l2tp == nullptr ? tunnelled(sa, meta, family, content) : carried(sa, meta, family, content);
  if (fault != EspFault::kNone) return fault;
  if (!table.usable(sa, now)) return EspFault::kExpired;
  if (sa.use.sequence == sa.sequence_last) return EspFault::kSequenceEnd;
  const std::size_t length = content.before + content.length;
  if (length > sa.inner_mtu) return EspFault::kTooBig;

  const EspSizes sizes = sa.keys->sizes;
  const std::size_t end_bytes = filters::esp_padding_bytes(length, sizes) + filters::kEspTrailerBytes;
  const std::size_t before = filters::kEspFixedBytes + sizes.iv;
  const std::size_t headroom = std::size_t{packet->data_off} + meta.l3_offset;
  const std::size_t behind = std::max(end_bytes + sizes.icv, filters::kEspTrailerRoom);
  const std::size_t in_front = OuterTemplate::kBytes + before + content.before;
  if (headroom < in_front || headroom + content.length + behind > packet->buf_len) return EspFault::kRoom;

  if (sa.l2tp != nullptr) [[unlikely]] write_l2tp(sa, content, family == Family::kIpv4);
  const std::uint64_t sequence = ++sa.use.sequence;
  filters::write_esp_trailer(content.begin + content.length, end_bytes, content.next_header);
  const std::size_t payload = before + length + end_bytes + sizes.icv;
  std::uint8_t* const esp = content.begin - content.before - before;
  std::uint8_t* const start = esp - sa.outer.used - kEthernetBytes;
  write_outer(sa, esp, payload, content.facts, sequence);
  put_be32(esp, sa.spi);
  put_be32(esp + 4, static_cast<std::uint32_t>(sequence));
  job = {esp, sa.keys.get(), sequence, static_cast<std::uint32_t>(length + end_bytes), false};

  ++sa.use.packets;
  sa.use.bytes += length;
  sa.use.last_used = now;
  packet->data_off = static_cast<std::uint16_t>(start - static_cast<std::uint8_t*>(packet->buf_addr));
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + sa.outer.used + payload);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;
  return EspFault::kNone;
}

/// The record of what is an outer packet now.
void describe(rte_mbuf* packet, const Sa& sa) {
  PacketMeta& meta = meta_of(packet);
  meta.l3_offset = kEthernetBytes;
  meta.l3_length = static_cast<std::uint16_t>(packet->data_len - kEthernetBytes);
  meta.l4_offset = static_cast<std::uint16_t>(kEthernetBytes + sa.outer.ip_bytes);
  meta.payload_offset = static_cast<std::uint16_t>(meta.l4_offset + 8);
  meta.protocol = sa.in_udp ? filters::kProtocolUdp : filters::kProtocolEsp;
  meta.source_port = sa.in_udp ? sa.local.port : std::uint16_t{0};
  meta.destination_port = sa.in_udp ? sa.peer.port : std::uint16_t{0};
  meta.proof = filters::kProofL4 | (sa.outer.ip_bytes == 20 ? filters::kProofIpv4 : filters::kProofIpv6);
  meta.outer_vlan = meta.inner_vlan = 0;
}

}  // namespace

bool in_lanes(const Sa& sa) { return sa.keys->sizes.salt == 0; }

void seal_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::span<const std::uint32_t> handles,
                std::uint64_t now, std::span<EspOutcome> outcomes) {
  SEKISHO_DCHECK(packets.size() <= kBurstMax && outcomes.size() >= packets.size() && handles.size() >= packets.size());
  std::array<std::uint16_t, kBurstMax> index;
  std::array<const Sa*, kBurstMax> sas;
  std::array<EspJob, kBurstMax> jobs;
  std::size_t count = 0;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    outcomes[i] = {};
    Sa* const sa = table.find(handles[i]);
    if (sa == nullptr || sa->direction != SaDirection::kOutbound || sa->tenant != meta_of(packets[i]).tenant) {
      outcomes[i].fault = EspFault::kSaMissing;
      continue;
    }
    outcomes[i] = {.fault = prepare(table, packets[i], *sa, now, jobs[count]), .sa = sa};
    if (outcomes[i].fault != EspFault::kNone) continue;
    sas[count] = sa;
    index[count++] = static_cast<std::uint16_t>(i);
  }
  table.crypto().seal({jobs.data(), count});
  for (std::size_t i = 0; i < count; ++i) {
    rte_mbuf* const packet = packets[index[i]];
    const Sa& sa = *sas[i];
    if (!jobs[i].done) {
      outcomes[index[i]].fault = EspFault::kCrypto;
      continue;
    }
    if (sa.in_udp && sa.outer.ip_bytes == 40) sum_udp(sa, frame_of(packet).subspan(kEthernetBytes + sa.outer.ip_bytes));
    describe(packet, sa);
  }
}

}  // namespace sekisho::dataplane
