// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstring>

#include "base/assert.h"
#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "base/net/put_be.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"
#include "filters/packet/decode.h"
#include "filters/packet/protocol.h"

namespace sekisho::dataplane {
namespace {

using filters::EspFault;
using filters::EspInner;

/// One packet on its way through the burst.
struct Opening {
  Sa* sa;
  std::uint16_t index;  // in the caller's burst
  std::uint8_t ecn;     // of the outer header
  bool elsewhere;       // it does not come from where its peer is, or not in the same way
};

std::uint8_t outer_ecn(const std::uint8_t* ip, bool ipv6) {
  return (ipv6 ? ip[1] >> 4 : ip[1]) & 3U;
}

bool outer_is(const Address& address, const std::uint8_t* wire, bool ipv6) {
  if (address.family != (ipv6 ? Family::kIpv6 : Family::kIpv4)) return false;
  if (!ipv6) return std::memcmp(address.bytes.data(), wire, 4) == 0;
  return std::memcmp(address.bytes.data(), wire, 16) == 0;
}

/// The SA packets name, and what is the same for all of a run: packets of a burst are mostly one user's.
struct SaRun {
  std::uint32_t spi = 0, tenant = 0;
  Sa* sa = nullptr;     ///< nullptr: kSpiUnknown
  bool usable = false;  ///< its limits count what is open, so nothing changes before the burst is
  filters::EspLengths lengths;

  [[gnu::always_inline]] void seek(SaTable& table, std::uint32_t wanted, std::uint32_t of_tenant, std::uint64_t now) {
    if (wanted == spi && of_tenant == tenant) [[likely]] return;
    spi = wanted;
    tenant = of_tenant;
    sa = table.find(wanted);
    if (sa != nullptr && (sa->direction != SaDirection::kInbound || sa->tenant != of_tenant)) sa = nullptr;
    if (sa == nullptr) return;
    usable = table.usable(*sa, now);
    if (!usable) return;
    lengths = filters::EspLengths(sa->keys->sizes);
  }
};

/// Everything that can be said before the key is used; fills `one` and `job`.
[[gnu::always_inline]] inline EspFault prepare(SaTable& table, SaRun& run, rte_mbuf* packet, const EspOuter& outer, std::uint64_t now,
                                               Opening& one, EspJob& job, EspOutcome& outcome) {
  if (!in_one_piece(packet, outer.recorded)) return EspFault::kSegments;
  SEKISHO_DCHECK(!outer.recorded || (meta_of(packet).proof & filters::kProofL4) != 0);
  const std::span<std::uint8_t> frame = frame_of(packet);
  SEKISHO_DCHECK(outer.end <= frame.size() && outer.esp <= outer.end);
  const std::span<std::uint8_t> esp = frame.subspan(outer.esp, std::size_t{outer.end} - outer.esp);

  const auto header = filters::read_esp_header(esp);
  if (!header.has_value()) return EspFault::kLength;
  run.seek(table, header->spi, outer.tenant, now);
  Sa* const sa = run.sa;
  const std::uint8_t* const ip = frame.data() + outer.ip;
  if (sa == nullptr || !outer_is(sa->local.address, ip + (outer.ipv6 ? 24 : 16), outer.ipv6)) return EspFault::kSpiUnknown;
  outcome.sa = sa;
  if (!run.usable) return EspFault::kExpired;
  one.sa = sa;
  // What the outer header says is read while it is in the cache: not again when the packet is open.
  one.ecn = outer_ecn(ip, outer.ipv6);
  one.elsewhere = outer.in_udp != sa->in_udp || !outer_is(sa->peer.address, ip + (outer.ipv6 ? 8 : 12), outer.ipv6) ||
                  (outer.in_udp && outer.port != sa->peer.port);
  job.esp = esp.data();
  job.keys = sa->keys.get();
  job.encrypted = static_cast<std::uint32_t>(run.lengths.encrypted(esp.size()));
  if (job.encrypted == 0) return EspFault::kLength;
  job.sequence = sa->window->recover(header->sequence);
  return sa->window->fresh(job.sequence) ? EspFault::kNone : EspFault::kReplay;
}

/// The inner packet's own ECN bits after a tunnel that met congestion; false when it has to go.
bool carry_ecn(std::uint8_t* inner, Family family, std::uint8_t outer) {
  const bool v4 = family == Family::kIpv4;
  const auto ecn = static_cast<std::uint8_t>((v4 ? inner[1] : inner[1] >> 4) & 3U);
  const auto kept = filters::ecn_out_of_tunnel(ecn, outer);
  if (!kept.has_value()) return false;
  if (*kept == ecn) return true;
  if (!v4) {
    inner[1] = static_cast<std::uint8_t>((inner[1] & 0xcfU) | unsigned{*kept} << 4);
    return true;
  }
  const std::span<std::uint8_t> header(inner, 20);
  const auto before = load_be<std::uint16_t>(header, 0);
  inner[1] = static_cast<std::uint8_t>((inner[1] & 0xfcU) | *kept);
  store_be<std::uint16_t>(
      header, 10, checksum_adjust(load_be<std::uint16_t>(header, 10), before, load_be<std::uint16_t>(header, 0)));
  return true;
}

/// Makes the packet a frame around its inner packet.
[[gnu::always_inline]] inline void strip(rte_mbuf* packet, const EspOuter& outer, std::uint8_t* inner_bytes, const EspInner& inner) {
  std::uint8_t* const start = inner_bytes - kEthernetBytes;
  std::memset(start, 0, 12);
  const std::uint16_t type = inner.family == Family::kIpv4 ? 0x0800 : 0x86dd;
  put_be16(start + 12, type);
  packet->data_off = static_cast<std::uint16_t>(start - static_cast<std::uint8_t*>(packet->buf_addr));
  packet->data_len = static_cast<std::uint16_t>(kEthernetBytes + inner.length);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;  // direct, so nothing but what the card said of the outer packet
  packet->packet_type = 0;
  if (outer.recorded) meta_of(packet).proof = 0;
}

/// Writes what decode says of the outer packet, whose headers stay as they came, into its record.
void record(rte_mbuf* packet, const EspOuter& outer) {
  if (outer.recorded) return;
  [[maybe_unused]] const filters::DropReason reason =
      filters::decode(frame_of(packet), packet->pkt_len, {.ip = true, .l4 = true}, meta_of(packet));
  SEKISHO_DCHECK(reason == filters::DropReason::kNone);
}

/// What a transport SA's packet is: a session's, or the daemon's.
EspFault finish_l2tp(rte_mbuf* packet, const EspOuter& outer, const Opening& one, ByteSpan opened, std::uint64_t now, EspOutcome& outcome) {
  ByteSpan udp;
  if (const EspFault fault = filters::read_esp_transport(opened, filters::kProtocolUdp, udp); fault != EspFault::kNone) return fault;
  one.sa->use.bytes += udp.size();
  if (udp.size() < filters::kL2tpUdpBytes) return EspFault::kL2tpFormat;
  const std::size_t length = load_be<std::uint16_t>(udp, 4);
  if (length < filters::kL2tpUdpBytes || length > udp.size()) return EspFault::kL2tpFormat;
  if (load_be<std::uint16_t>(udp, 2) != filters::kL2tpPort) return EspFault::kSelectors;
  const filters::L2tpPacket l2tp = filters::read_l2tp(udp.subspan(filters::kL2tpUdpBytes, length - filters::kL2tpUdpBytes));
  if (l2tp.kind == filters::L2tpKind::kMalformed) return EspFault::kL2tpFormat;
  if (l2tp.kind == filters::L2tpKind::kControl || l2tp.kind == filters::L2tpKind::kPpp) {
    record(packet, outer);
    PacketMeta& meta = meta_of(packet);
    meta.l4_offset = static_cast<std::uint16_t>(udp.data() - frame_of(packet).data());
    meta.payload_offset = static_cast<std::uint16_t>(meta.l4_offset + filters::kL2tpUdpBytes);
    meta.protocol = filters::kProtocolUdp;
    meta.source_port = load_be<std::uint16_t>(udp, 0);
    meta.destination_port = filters::kL2tpPort;
    outcome.for_daemon = true;
    return EspFault::kNone;
  }
  L2tpRider* const rider = one.sa->l2tp->find(l2tp.tunnel, l2tp.session);
  if (rider == nullptr) return EspFault::kL2tpSession;
  const bool v4 = l2tp.kind == filters::L2tpKind::kIpv4;
  const EspInner inner{v4 ? Family::kIpv4 : Family::kIpv6, static_cast<std::uint16_t>(l2tp.ip.size())};
  std::uint8_t* const ip = frame_of(packet).data() + (l2tp.ip.data() - frame_of(packet).data());
  if (!rider->session->leases.contains(ip + (v4 ? 12 : 8), inner.family)) return EspFault::kInnerSpoof;
  if (one.ecn != 0 && !carry_ecn(ip, inner.family, one.ecn)) return EspFault::kEcn;
  ++rider->packets;
  rider->bytes += inner.length;
  rider->last_used = now;
  outcome.session = rider->session.get();
  outcome.inner = inner.family;
  strip(packet, outer, ip, inner);
  return EspFault::kNone;
}

/// Everything that can be said once the packet is genuine and open.
EspFault finish(SaTable& table, rte_mbuf* packet, const EspOuter& outer, const Opening& one, const EspJob& job, std::uint64_t now,
                EspOutcome& outcome) {
  Sa& sa = *one.sa;
  const bool newest = job.sequence > sa.window->top();
  if (!sa.window->accept(job.sequence)) return EspFault::kReplay;  // its copy was in the same burst
  sa.use.last_used = now;
  ++sa.use.packets;
  if (one.elsewhere && newest) [[unlikely]] {
    EspEnd from;
    from.address.family = outer.ipv6 ? Family::kIpv6 : Family::kIpv4;
    std::memcpy(from.address.bytes.data(), frame_of(packet).data() + outer.ip + (outer.ipv6 ? 8 : 12), outer.ipv6 ? 16 : 4);
    from.port = outer.port;
    table.heard_from(sa, from, outer.in_udp);
  }
  std::uint8_t* const opened = job.esp + filters::kEspFixedBytes + job.keys->sizes.iv;
  if (sa.l2tp != nullptr) [[unlikely]] return finish_l2tp(packet, outer, one, {opened, job.encrypted}, now, outcome);
  EspInner inner;
  if (const EspFault fault = filters::read_esp_inner({opened, job.encrypted}, inner); fault != EspFault::kNone)
    return fault;
  sa.use.bytes += inner.length;
  const bool v4 = inner.family == Family::kIpv4;
  if (!sa.inner_remote.contains(opened + (v4 ? 12 : 8), inner.family)) return EspFault::kInnerSpoof;
  if (!sa.inner_local.contains(opened + (v4 ? 16 : 24), inner.family)) return EspFault::kSelectors;
  if (one.ecn != 0 && !carry_ecn(opened, inner.family, one.ecn)) return EspFault::kEcn;
  outcome.inner = inner.family;
  strip(packet, outer, opened, inner);
  return EspFault::kNone;
}

}  // namespace

void open_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::span<const EspOuter> outers, std::uint64_t now,
                std::span<EspOutcome> outcomes) {
  SEKISHO_DCHECK(packets.size() <= kBurstMax && outers.size() >= packets.size() && outcomes.size() >= packets.size());
  std::array<Opening, kBurstMax> openings;
  std::array<EspJob, kBurstMax> jobs;
  std::size_t count = 0;
  SaRun run;
  for (std::size_t i = 0; i < packets.size(); ++i) {
    outcomes[i] = {};
    openings[count].index = static_cast<std::uint16_t>(i);
    outcomes[i].fault = prepare(table, run, packets[i], outers[i], now, openings[count], jobs[count], outcomes[i]);
    outcomes[i].fault == EspFault::kNone ? void(++count) : record(packets[i], outers[i]);
  }
  table.crypto().open({jobs.data(), count});
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = openings[i].index;
    EspFault& fault = outcomes[index].fault;
    fault = jobs[i].done ? finish(table, packets[index], outers[index], openings[i], jobs[i], now, outcomes[index]) : EspFault::kAuth;
    if (fault != EspFault::kNone) [[unlikely]] record(packets[index], outers[index]);
  }
}

void open_burst(SaTable& table, std::span<rte_mbuf* const> packets, std::uint64_t now, std::span<EspOutcome> outcomes) {
  std::array<EspOuter, kBurstMax> outers;
  for (std::size_t i = 0; i < packets.size(); ++i) outers[i] = outer_of(meta_of(packets[i]));
  open_burst(table, packets, outers, now, outcomes);
}

}  // namespace sekisho::dataplane
