// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/express.h"

#include "dataplane/path/carry.h"
#include "dataplane/path/exit.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/track.h"
#include "dataplane/path/tunnels.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

constexpr auto kUnwatched = [](Stage, Burst&) {};

/// Finds the sessions that the packets may belong to, and asks for their lines.
void seek_sessions(SessionTable& table, std::span<Flight> flights) {
  Session* const first = &table.at(0);
  for (Flight& flight : flights) {
    const std::uint32_t candidate = table.candidate(flight.hash);
    if (candidate >= SessionTable::kOtherKey) [[unlikely]] {
      flight.session = nullptr;
      continue;
    }
    flight.session = first + candidate;
    const auto* line = reinterpret_cast<const std::uint8_t*>(first + candidate);
    rte_prefetch0(line);
    if (flight.form == Form::kUdp4) continue;
    if (flight.protocol() != filters::kProtocolUdp) rte_prefetch0(line + 64);
    if (flight.ipv6()) rte_prefetch0(line + 128);
  }
}

/// What became of a packet.
enum class Outcome : std::uint8_t {
  kSent,
  kAsk,      ///< nothing has been done: the stages decide
  kForward,  ///< tracked; forward() decides
};

/// Whether the session is plainly the packet's, of this generation (one that has ended is of none), and may be followed as it is. `l3`:
/// where its addresses are.
[[gnu::always_inline]] inline bool belongs(const Session* session, std::uint32_t generation, rte_mbuf* packet, const Flight& flight,
                                           std::size_t l3, bool ipv4) {
  if (session == nullptr || !(session->key == flight.key) || session->generation != generation) [[unlikely]] return false;
  if ((session->flags & kSessionSpecial) != 0) [[unlikely]] return false;
  return ipv4 || session->ends == ends_of(packet, l3, flight.from_high);
}

/// A packet that was tracked without a record gets one for forward().
void describe(const Shard& shard, const Runtime& config, rte_mbuf* packet, Flight& flight, const Session& session, std::size_t way) {
  write_record(config, packet, flight);
  PacketMeta& meta = meta_of(packet);
  meta.session = shard.sessions.index_of(session);
  meta.reverse = static_cast<std::uint8_t>(way);
  meta.egress = session.port[way ^ 1U];
  meta.next_hop = session.next_hop[way];
}

/// Finds, tracks and sends on packets that raise no question: those with a record.
struct Carrier {
  Shard& shard;
  const Runtime& config;
  Exit exit{};
  KnownHop known{};
  tunnel::SealRun sealing{};
  bool in_order = true;  ///< nothing of this burst is left to forward(): what goes into a tunnel at once passes nobody

  [[gnu::noinline]] Outcome carry(rte_mbuf* packet, const Flight& flight) {
    PacketMeta& meta = meta_of(packet);
    Session* const session = flight.session;
    if (!belongs(session, config.generation, packet, flight, meta.l3_offset, !flight.ipv6())) [[unlikely]] return Outcome::kAsk;
    meta.session = shard.sessions.index_of(*session);
    meta.reverse = static_cast<std::uint8_t>(session->direction(flight.from_high));
    if (session->port[meta.reverse] != meta.ingress) [[unlikely]] return Outcome::kAsk;
    if (track_plain(shard, *session, packet) != DropReason::kNone) [[unlikely]] return Outcome::kAsk;
    count_packet(shard, *session, meta);
    exit.seek(shard, config, meta.egress);
    std::uint64_t mac = 0;
    const bool plain = meta.ttl > 1 && meta.l3_length <= exit.wire->mtu;
    if (!plain || !known.find(shard, config, meta.egress, meta.next_hop, mac)) [[unlikely]] {
      in_order = false;
      return Outcome::kForward;
    }
    exit.send(shard, packet, mac);
    return Outcome::kSent;
  }
  /// What was tracked without a record and does not simply leave by a wire.
  [[gnu::noinline]] Outcome leave(rte_mbuf* packet, Flight& flight, const Session& session, std::size_t way) {
    const std::uint32_t hop = session.next_hop[way];
    const bool tunnel = (hop & kDynamicHop) == 0 && (config.static_hops[hop] & kTunnelHop) != 0;
    if (tunnel && in_order && sealing.takes(shard, config, packet, flight, session.port[way ^ 1U])) return Outcome::kSent;
    in_order = false;
    describe(shard, config, packet, flight, session, way);
    return Outcome::kForward;
  }
};

/// The same steps for packets without: TCP or UDP, whole, without options or extension headers. Its address stays here, so that the
/// compiler may keep its members in registers.
struct Swift {
  Shard& shard;
  const Runtime& config;
  const std::uint32_t generation = config.generation, now = shard.now_tick;
  Exit exit{};
  KnownHop known{};

  /// `slow` takes those that have a record, or may change a state.
  [[gnu::always_inline]] Outcome carry(rte_mbuf* packet, Flight& flight, Carrier& slow) {
    switch (flight.form) {
      case Form::kUdp4: return carry<true, false>(packet, flight, slow);
      case Form::kTcp4: return carry<true, true>(packet, flight, slow);
      case Form::kUdp6: return carry<false, false>(packet, flight, slow);
      case Form::kTcp6: return carry<false, true>(packet, flight, slow);
      case Form::kRecorded: break;
    }
    return slow.carry(packet, flight);
  }

 private:
  template <bool kIpv4, bool kTcp>
  [[gnu::always_inline]] Outcome carry(rte_mbuf* packet, Flight& flight, Carrier& slow) {
    constexpr bool ipv4 = kIpv4;
    const std::size_t l3 = flight.l3_offset;
    if (!belongs(flight.session, generation, packet, flight, l3, ipv4)) [[unlikely]] return Outcome::kAsk;
    Session& session = *flight.session;
    const auto way = static_cast<std::size_t>(session.direction(flight.from_high));
    if (session.port[way] != flight.ingress) [[unlikely]] return Outcome::kAsk;

    std::uint8_t* const ip = rte_pktmbuf_mtod(packet, std::uint8_t*) + l3;
    const std::uint32_t length = ipv4 ? load_be<std::uint32_t>({ip, 20}, 0) & 0xffffU : (load_be<std::uint32_t>({ip, 20}, 4) >> 16) + 40U;
    if (!track<kTcp>(session, flight, way, ip + (ipv4 ? 20 : 40), length - (ipv4 ? 20U : 40U))) [[unlikely]] {
      write_record(config, packet, flight);
      return slow.carry(packet, flight);
    }
    session.count(way, 1, length);
    session.last_seen = now;

    const std::uint32_t egress = session.port[way ^ 1U], next_hop = session.next_hop[way];
    exit.seek(shard, config, egress);
    std::uint64_t mac = 0;
    const bool plain = ip[ipv4 ? 8 : 7] > 1 && length <= exit.mtu;
    if (!plain || !known.find(shard, config, egress, next_hop, mac)) [[unlikely]] return slow.leave(packet, flight, session, way);
    count_hop(ip, ipv4);
    if (!write_link(packet, {l3, length, ipv4}, *exit.wire, mac)) [[unlikely]] {
      shard.drop_whole(packet, DropReason::kNoMemory, exit.wire->tenant_slot);
      return Outcome::kSent;
    }
    exit.put(shard, packet, exit.wire->l2_bytes + length);
    return Outcome::kSent;
  }
  /// track_plain() for a packet that changes no state. False: it may.
  template <bool kTcp>
  [[gnu::always_inline]] static bool track(Session& session, const Flight& flight, std::size_t way, const std::uint8_t* l4,
                                           std::uint32_t room) {
    if constexpr (!kTcp) return way == 0 || (session.flags & kSessionReplied) != 0;
    const auto direction = static_cast<Direction>(way);
    if (session.tcp.state != filters::TcpState::kEstablished || !filters::is_plain_segment(flight.tcp_flags)) [[unlikely]] return false;
    const filters::TcpSegment segment = filters::parse_plain_segment(l4, room, flight.tcp_flags);
    if (!filters::tcp_fits(session.tcp, direction, segment)) [[unlikely]] return false;
    filters::tcp_advance(session.tcp, direction, segment);
    session.tcp_flags |= flight.tcp_flags;
    return true;
  }
};

/// steer() for packets with their flights.
std::uint16_t steer_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < plain; ++i) {
    rte_mbuf* packet = burst.packets[i];
    const std::uint32_t owner = owner_of(shard.shared, config, shard.sessions.seed(), packet, flights[i]);
    if (owner == shard.number) {
      flights[kept] = flights[i];
      burst.packets[kept++] = packet;
    } else {
      write_record(config, packet, flights[i]);
      shard.hand_off(packet, owner, Resume::kFindSession, config.ports[flights[i].ingress].tenant_slot);
    }
  }
  return kept;
}

}  // namespace

std::uint16_t survey(Shard& shard, const Burst& burst, Flights& flights, std::uint16_t from) noexcept {
  for (std::uint16_t i = from; i < burst.count; ++i) {
    if ((meta_of(burst.packets[i]).proof & filters::kProofTrain) != 0) [[unlikely]] return i;
    const std::uint64_t shared = Flight::common(meta_of(burst.packets[i]).ingress, 0, Form::kRecorded);
    flights[i].depart(lookup_of(burst.packets[i], shard.sessions.seed()), shared, 0);
    shard.sessions.prefetch_bucket(flights[i].hash);
  }
  return burst.count;
}

void proceed_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) noexcept {
  if (shard.shared.shards > 1) {
    Burst others;
    for (std::uint16_t i = plain; i < burst.count; ++i) others.packets[others.count++] = burst.packets[i];
    steer(shard, config, others);
    burst.count = plain = steer_plain(shard, config, burst, flights, plain);
    for (rte_mbuf* packet : others.live()) burst.packets[burst.count++] = packet;
  }
  carry_plain(shard, config, burst, flights, plain);
}

void carry_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) noexcept {
  Burst asking;
  for (std::uint16_t i = plain; i < burst.count; ++i) asking.packets[asking.count++] = burst.packets[i];
  seek_sessions(shard.sessions, std::span(flights).first(plain));
  Burst tracked;
  Carrier carrier{shard, config};
  Swift swift{shard, config};
  for (std::uint16_t i = 0; i < plain; ++i) {
    rte_mbuf* packet = burst.packets[i];
    Flight& flight = flights[i];
    const Outcome outcome = swift.carry(packet, flight, carrier);
    if (outcome == Outcome::kSent) [[likely]] continue;
    write_record(config, packet, flight);
    Burst& to = outcome == Outcome::kAsk ? asking : tracked;
    to.packets[to.count++] = packet;
  }
  swift.exit.flush(shard);
  carrier.exit.flush(shard);
  carrier.sealing.flush(shard);
  burst.count = 0;
  if (tracked.count > 0) forward(shard, config, tracked);
  if (asking.count > 0) carry(shard, config, asking, kUnwatched);
}

}  // namespace sekisho::dataplane::path
