// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "dataplane/path/exit.h"
#include "dataplane/path/local.h"
#include "dataplane/path/path.h"
#include "dataplane/path/quarantine.h"
#include "dataplane/path/record.h"
#include "dataplane/path/translate.h"
#include "dataplane/path/tunnels.h"
#include "dataplane/train.h"
#include "filters/packet/fields.h"
#include "filters/packet/fragment.h"
#include "filters/packet/mss.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

constexpr std::uint32_t kHoldTicks = 2 * kTicksPerSecond;
constexpr std::uint32_t kHeldPerTenantMax = 64;  // of 256: one tenant's silent neighbours leave room for the others

/// True when the packet bears translated ends.
bool is_translated(const Shard& shard, const PacketMeta& meta) {
  return meta.session != kNoIndex && (shard.sessions.at(meta.session).flags & kSessionTranslated) != 0;
}

/// True for a packet the gateway itself sends, around one of a tunnel or for the keying daemon: there is nobody to tell.
bool is_own(rte_mbuf* packet) { return packet->port == kOwnNic; }

void hold(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  const std::uint32_t tenant = meta_of(packet).tenant;
  const std::uint32_t pieces = pieces_of(packet);
  const bool translated = is_translated(shard, meta_of(packet));
  std::uint32_t all = pieces;
  std::uint32_t own = pieces;
  for (const HeldPacket& held : std::span(shard.held).first(shard.held_count)) {
    all += held.pieces;
    if (held.tenant == tenant) own += held.pieces;
  }
  if (own > kHeldPerTenantMax || all > shard.held.size()) {
    if (translated) translate_back(shard, packet);  // the log names packets as they came in
    refuse(shard, config, packet, DropReason::kHoldLimit);
    return;
  }
  shard.held[shard.held_count++] = {packet, shard.now_tick + kHoldTicks, tenant, pieces, translated};
  shard.packets.held.add(pieces);
}

/// Copies `bytes` of an IPv4 packet from `from` on into a new packet, behind a header of its own. nullptr: no memory.
rte_mbuf* copy_piece(Shard& shard, rte_mbuf* packet, std::size_t from, std::size_t bytes) {
  rte_mbuf* piece = shard.generate();
  if (piece == nullptr) return nullptr;
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  const std::size_t l3 = meta.l3_offset;
  const std::span<std::uint8_t> room{rte_pktmbuf_mtod(piece, std::uint8_t*), rte_pktmbuf_tailroom(piece)};
  const std::size_t header = filters::write_fragment_header(room.subspan(l3), frame.subspan(l3, meta.l4_offset - l3));
  const auto part = frame.subspan(from, bytes);
  std::copy(part.begin(), part.end(), room.subspan(l3 + header).begin());
  piece->data_len = static_cast<std::uint16_t>(l3 + header + bytes);
  piece->pkt_len = piece->data_len;
  PacketMeta& copied = meta_of(piece);
  copied = meta;
  copied.l3_length = static_cast<std::uint16_t>(header + bytes);
  copied.l4_offset = static_cast<std::uint16_t>(l3 + header);
  return piece;
}

/// Cuts an IPv4 packet without DF for a narrower way (RFC 791 3.2, RFC 1812 4.2.2.7) and gives the pieces to `send`.
/// Pieces are cut like whole packets: their offsets go on where the packet's began.
template <typename Send>
void cut(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t mtu, Send send) {
  PacketMeta& meta = meta_of(packet);
  const std::size_t header = meta.l4_offset - std::size_t{meta.l3_offset};
  const std::size_t step = (mtu - header) / 8 * 8;
  const std::size_t end = std::size_t{meta.l3_offset} + meta.l3_length;
  const std::size_t first_end = meta.l4_offset + step;
  const std::uint32_t word = load_be<std::uint16_t>(frame_of(packet), meta.l3_offset + std::size_t{6});
  Burst pieces;
  bool complete = mtu >= header + 8;
  for (std::size_t at = first_end; complete && at < end; at += step) {
    complete = pieces.count < kBurstMax;
    rte_mbuf* piece = complete ? copy_piece(shard, packet, at, std::min(step, end - at)) : nullptr;
    complete = piece != nullptr;
    if (!complete) break;
    pieces.packets[pieces.count++] = piece;
    const std::uint32_t units = static_cast<std::uint32_t>(at - meta.l4_offset) / 8;
    const std::uint32_t more = at + step < end ? 0x2000U : word & 0x2000U;
    filters::set_fragment_word(frame_of(piece), meta_of(piece), (word & 0x1fffU) + units + more);
  }
  if (!complete) {
    for (rte_mbuf* piece : pieces.live()) shard.drop(piece, DropReason::kNoMemory, config.ports[meta.ingress].tenant_slot);
    refuse(shard, config, packet, DropReason::kNoMemory);
    return;
  }
  meta.l3_length = static_cast<std::uint16_t>(header + step);
  filters::set_fragment_word(frame_of(packet), meta, (word & 0x1fffU) | 0x2000U);
  send(packet);
  for (rte_mbuf* piece : pieces.live()) send(piece);
}

/// Gives `send` the packets that leave in place of `packet`: the pieces of a train, what does not fit cut.
template <typename Send>
void in_pieces(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t mtu, Send send) {
  for_each_piece(packet, [&](rte_mbuf* piece) {
    if (is_train(piece)) uncouple(piece);
    if (meta_of(piece).l3_length <= mtu) {
      send(piece);
    } else {
      cut(shard, config, piece, mtu, send);
    }
  });
}

/// A packet whose neighbour had to be asked for. What resolve() knows decides. `send` sends it to a MAC.
template <typename Send>
void send_resolved(Shard& shard, const Runtime& config, rte_mbuf* packet, Send send) {
  const NeighbourTable::Reading neighbour = resolve(shard, config, meta_of(packet).egress, meta_of(packet).next_hop);
  if (neighbour.state == NeighbourState::kReachable) {
    send(raw_mac(neighbour.mac));
  } else if (neighbour.state == NeighbourState::kIncomplete) {
    hold(shard, config, packet);
  } else {
    // The entry went to another address: the session is judged again at its next packet, which asks for the neighbour anew.
    const std::uint32_t session = meta_of(packet).session;
    if (session != kNoIndex) shard.sessions.at(session).generation = 0;
    if (is_translated(shard, meta_of(packet))) translate_back(shard, packet);
    refuse(shard, config, packet, DropReason::kNeighbourUnresolved);
  }
}

/// True when the way out has room for all of a packet, or what has none may be cut on the way (IPv4 without DF).
bool fits(rte_mbuf* packet, std::uint32_t mtu) {
  bool all = true;
  for_each_piece(packet, [&](rte_mbuf* piece) {
    const PacketMeta& meta = meta_of(piece);
    const std::uint32_t length = is_train(packet) ? piece_length(piece) : meta.l3_length;
    const bool may_cut = (meta.proof & filters::kProofIpv4) != 0 &&
                         (load_be<std::uint16_t>(frame_of(piece), meta.l3_offset + std::size_t{6}) & 0x4000U) == 0;
    all = all && (length <= mtu || may_cut);
  });
  return all;
}

/// A session has counted a train as one packet of the whole length: adds the other pieces and their headers.
void count_pieces(Shard& shard, rte_mbuf* train) {
  const PacketMeta& meta = meta_of(train);
  if (meta.session == kNoIndex || !shard.sessions.live(meta.session)) return;
  std::uint32_t bytes = 0;
  for_each_piece(train, [&](rte_mbuf* piece) { bytes += piece_length(piece); });
  shard.sessions.at(meta.session).count(meta.reverse, pieces_of(train) - 1, bytes - meta.l3_length);
}

/// A packet to a virtual address leaves to the host that has it now, whoever had it when its session began.
void seek_holder(const Runtime& config, PacketMeta& meta) {
  if ((meta.next_hop & kDynamicHop) != 0) return;
  const VirtualAddress* moving = config.virtual_of(meta.next_hop);
  if (moving == nullptr) return;
  const VirtualAddress::Host& host = moving->held_by();
  meta.egress = host.port;
  meta.next_hop = host.hop;
}

/// Nothing is sent to a Binding in quarantine either. True: ended.
bool refuse_to_quarantined(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  const BindingEntry& binding = config.bindings[config.hop_bindings[meta_of(packet).next_hop]];
  if (!is_quarantined(shard, binding)) return false;
  refuse_quarantined(shard, packet, binding, config.ports[meta_of(packet).egress].tenant_slot);
  return true;
}

/// Into the tunnel that has the destination: what it carries, and what its sender may send, the tunnel's SA says.
void forward_into_tunnel(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.egress];
  const bool ipv4 = (meta.proof & filters::kProofIpv4) != 0;
  const std::uint8_t* const destination = frame_of(packet).data() + meta.l3_offset + (ipv4 ? 16 : 24);
  const auto lease = shard.shared.leases->find(meta.tenant, ipv4 ? Family::kIpv4 : Family::kIpv6, destination);
  const bool here = lease && lease->port == port.id;  // policy has judged the way into this Port's zone, no other
  if (!here || lease->outbound == 0) {
    if (is_translated(shard, meta)) translate_back(shard, packet);
    local::send_icmp_error(shard, config, packet, filters::IcmpErrorKind::kHostUnreachable, 0);
    refuse(shard, config, packet, here ? DropReason::kVpnSaMissing : DropReason::kVpnNoLease);
    return;
  }
  if (refuse_unforwardable(shard, config, packet, lease->inner_mtu)) return;
  constexpr std::uint8_t kSyn = 2;
  if (meta.protocol == filters::kProtocolTcp && (meta.tcp_flags & kSyn) != 0) {
    filters::clamp_mss(frame_of(packet), meta, static_cast<std::uint16_t>(lease->inner_mtu - (ipv4 ? 40 : 60)));
  }
  PortCounters& counters = shard.ports[port.slot];
  in_pieces(shard, config, packet, lease->inner_mtu, [&](rte_mbuf* piece) {
    count_hop(frame_of(piece).data() + meta_of(piece).l3_offset, (meta_of(piece).proof & filters::kProofIpv4) != 0);
    counters.tx_packets.add(1);
    counters.tx_bytes.add(meta_of(piece).l3_length);
    tunnel::into(shard, config, piece, *lease);
  });
}

/// What does not go out as it came in: hop limits and packets too big, answered as RFC 1812 and RFC 8200 ask; trains; IPv4
/// packets that are cut; what goes to a watched Binding, a virtual address or a tunnel.
void forward_special(Shard& shard, const Runtime& config, rte_mbuf* packet, Exit& exit) {
  PacketMeta& meta = meta_of(packet);
  seek_holder(config, meta);
  exit.seek(shard, config, meta.egress);
  if (is_train(packet)) count_pieces(shard, packet);
  if ((meta.next_hop & kDynamicHop) == 0 && (config.static_hops[meta.next_hop] & kTunnelHop) != 0) {
    forward_into_tunnel(shard, config, packet);
    return;
  }
  if (refuse_unforwardable(shard, config, packet, exit.wire->mtu)) return;
  const auto send = [&](std::uint64_t destination) {
    in_pieces(shard, config, packet, exit.wire->mtu, [&](rte_mbuf* piece) { exit.send(shard, piece, destination); });
  };
  if ((meta.next_hop & kDynamicHop) == 0) {
    const std::uint64_t hop = config.static_hops[meta.next_hop];
    if ((hop & kWatchedHop) == 0 || !refuse_to_quarantined(shard, config, packet)) send(hop);
  } else {
    send_resolved(shard, config, packet, send);
  }
}

}  // namespace

NeighbourTable::Reading resolve(Shard& shard, const Runtime& config, std::uint32_t egress, std::uint32_t hop) noexcept {
  NeighbourTable& table = shard.shared.neighbours;
  const NeighbourTable::Handle handle = hop & ~kDynamicHop;
  if (table.should_ask(handle, shard.now_tick)) {
    local::ask_neighbour(shard, config, config.ports[egress].wire, table.list(NeighbourTable::place_of(handle)).address);
  }
  return table.read(handle);
}

bool refuse_unforwardable(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t mtu) noexcept {
  std::uint8_t ttl = 255;
  for_each_piece(packet, [&](rte_mbuf* piece) { ttl = std::min(ttl, meta_of(piece).ttl); });
  if (ttl > 1 && fits(packet, mtu)) [[likely]] return false;
  const bool old = ttl <= 1;
  local::send_icmp_error(shard, config, packet, old ? filters::IcmpErrorKind::kTimeExceeded : filters::IcmpErrorKind::kTooBig, mtu);
  refuse(shard, config, packet, old ? DropReason::kTtlExceeded : DropReason::kTooBig);
  return true;
}

void forward(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  Exit exit;
  std::uint32_t known = kNoIndex;  // a neighbour this burst has asked for, and its MAC
  std::uint64_t known_mac = 0;
  for (rte_mbuf* packet : burst.live()) {
    const PacketMeta& meta = meta_of(packet);
    exit.seek(shard, config, meta.egress);
    const bool plain = meta.ttl > 1 && meta.l3_length <= exit.wire->mtu && (meta.proof & filters::kProofTrain) == 0;
    if (!plain) [[unlikely]] {
      forward_special(shard, config, packet, exit);
    } else if ((meta.next_hop & kDynamicHop) == 0) [[likely]] {
      const std::uint64_t hop = config.static_hops[meta.next_hop];
      if ((hop & kWatchedHop) != 0) [[unlikely]] {
        forward_special(shard, config, packet, exit);
        continue;
      }
      exit.send(shard, packet, hop);
    } else if (meta.next_hop == known) {
      exit.send(shard, packet, known_mac);
    } else {
      send_resolved(shard, config, packet, [&](std::uint64_t destination) {
        known = meta.next_hop;
        known_mac = destination;
        exit.send(shard, packet, destination);
      });
    }
  }
  exit.flush(shard);
  burst.count = 0;
}

void release_held(Shard& shard, const Runtime& config, Burst& stale) noexcept {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < shard.held_count; ++i) {
    const HeldPacket held = shard.held[i];
    const PacketMeta& meta = meta_of(held.packet);
    const bool late = static_cast<std::int32_t>(shard.now_tick - held.deadline_tick) >= 0;
    if (meta.generation != config.generation) {
      if (stale.count == kBurstMax) {
        shard.held[kept++] = held;
      } else {
        shard.packets.held.subtract(held.pieces);
        if (is_own(held.packet)) {  // never came in by any Port
          shard.drop(held.packet, DropReason::kPolicyChanged, shard.no_tenant());
        } else if (!held.translated || translate_back(shard, held.packet)) {
          stale.packets[stale.count++] = held.packet;
        } else {
          shard.drop(held.packet, DropReason::kPolicyChanged, shard.no_tenant());
        }
      }
      continue;
    }
    const NeighbourTable::Reading neighbour = resolve(shard, config, meta.egress, meta.next_hop);
    if (neighbour.state == NeighbourState::kIncomplete && !late) {
      shard.held[kept++] = held;
      continue;
    }
    shard.packets.held.subtract(held.pieces);
    if (neighbour.state == NeighbourState::kReachable) {
      const PortEntry& wire = config.ports[config.ports[meta.egress].wire];
      in_pieces(shard, config, held.packet, wire.mtu, [&](rte_mbuf* piece) {
        if (finish(shard, piece, wire, raw_mac(neighbour.mac))) to_outlet(shard, piece, wire);
      });
    } else {
      const bool as_sent = !held.translated || translate_back(shard, held.packet);
      if (as_sent && !is_own(held.packet)) local::send_icmp_error(shard, config, held.packet, filters::IcmpErrorKind::kHostUnreachable, 0);
      refuse(shard, config, held.packet, DropReason::kNeighbourUnresolved);
    }
  }
  shard.held_count = kept;
}

}  // namespace sekisho::dataplane::path
