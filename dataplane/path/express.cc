// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/express.h"

#include "dataplane/path/carry.h"
#include "dataplane/path/exit.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/track.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

constexpr auto kUnwatched = [](Stage, Burst&) {};

/// By position: the sessions that packets may belong to, nullptr where there is none.
using Candidates = std::array<Session*, kBurstMax>;

/// Asks for the lines of the sessions that the packets may belong to.
void seek_candidates(SessionTable& table, std::span<const Flight> flights, Candidates& candidates) {
  for (std::size_t i = 0; i < flights.size(); ++i) {
    const Flight& flight = flights[i];
    const std::uint32_t candidate = table.candidate(flight.hash);
    if (candidate >= SessionTable::kOtherKey) [[unlikely]] {
      candidates[i] = nullptr;
      continue;
    }
    candidates[i] = &table.at(candidate);
    const auto* line = reinterpret_cast<const std::uint8_t*>(candidates[i]);
    rte_prefetch0(line);
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

/// A neighbour this burst has asked for, and its MAC.
struct KnownHop {
  std::uint32_t hop = kNoIndex;
  std::uint64_t mac = 0;

  /// The MAC of a next hop; false: forward() decides.
  [[gnu::always_inline]] bool find(Shard& shard, const Runtime& config, std::uint32_t egress, std::uint32_t next_hop, std::uint64_t& out) {
    if ((next_hop & kDynamicHop) == 0) {
      out = config.static_hops[next_hop];
      return (out & kWatchedHop) == 0;
    }
    if (next_hop != hop) [[unlikely]] {
      const NeighbourTable::Reading neighbour = resolve(shard, config, egress, next_hop);
      if (neighbour.state != NeighbourState::kReachable) return false;
      hop = next_hop;
      mac = raw_mac(neighbour.mac);
    }
    out = mac;
    return true;
  }
};

/// Whether the session is plainly the packet's, of this generation, and may be followed as it is. `l3`: where its addresses are.
[[gnu::always_inline]] inline bool belongs(const Session* session, std::uint32_t generation, rte_mbuf* packet, const Flight& flight,
                                           std::size_t l3) {
  if (session == nullptr || !(session->key == flight.key) || session->generation != generation) [[unlikely]] return false;
  if (session->timeout == 0 || (session->flags & kSessionSpecial) != 0) [[unlikely]] return false;
  return !flight.ipv6() || session->ends == ends_of(packet, l3, flight.from_high);
}

/// Finds, tracks and sends on packets that raise no question: those with a record.
struct Carrier {
  Shard& shard;
  const Runtime& config;
  Exit exit{};
  KnownHop known{};

  [[gnu::noinline]] Outcome carry(rte_mbuf* packet, const Flight& flight, Session* session) {
    PacketMeta& meta = meta_of(packet);
    if (!belongs(session, config.generation, packet, flight, meta.l3_offset)) [[unlikely]] return Outcome::kAsk;
    meta.session = shard.sessions.index_of(*session);
    meta.reverse = static_cast<std::uint8_t>(session->direction(flight.from_high));
    if (session->port[meta.reverse] != meta.ingress) [[unlikely]] return Outcome::kAsk;
    if (track_plain(shard, *session, packet) != DropReason::kNone) [[unlikely]] return Outcome::kAsk;
    count_packet(shard, *session, meta);
    exit.seek(shard, config, meta.egress);
    if (meta.ttl <= 1 || meta.l3_length > exit.wire->mtu) [[unlikely]] return Outcome::kForward;
    std::uint64_t mac = 0;
    if (!known.find(shard, config, meta.egress, meta.next_hop, mac)) [[unlikely]] return Outcome::kForward;
    exit.send(shard, packet, mac);
    return Outcome::kSent;
  }
};

/// A packet that was tracked without a record gets one for forward().
[[gnu::noinline]] Outcome leave(const Shard& shard, const Runtime& config, rte_mbuf* packet, Flight& flight, const Session& session,
                                std::size_t way) {
  write_record(config, packet, flight);
  PacketMeta& meta = meta_of(packet);
  meta.session = shard.sessions.index_of(session);
  meta.reverse = static_cast<std::uint8_t>(way);
  meta.egress = session.port[way ^ 1U];
  meta.next_hop = session.next_hop[way];
  return Outcome::kForward;
}

/// The same steps for packets without: TCP or UDP, whole, without options or extension headers. Its address stays here, so that the
/// compiler may keep its members in registers.
struct Swift {
  Shard& shard;
  const Runtime& config;
  const std::uint32_t generation = config.generation, now = shard.now_tick;
  Exit exit{};
  KnownHop known{};

  /// `slow` takes those that may change a state.
  [[gnu::always_inline]] Outcome carry(rte_mbuf* packet, Flight& flight, Session* found, Carrier& slow) {
    const std::size_t l3 = flight.l3_offset;
    if (!belongs(found, generation, packet, flight, l3)) [[unlikely]] return Outcome::kAsk;
    Session& session = *found;
    const auto way = static_cast<std::size_t>(session.direction(flight.from_high));
    if (session.port[way] != flight.ingress) [[unlikely]] return Outcome::kAsk;

    const bool ipv4 = !flight.ipv6();
    std::uint8_t* const ip = rte_pktmbuf_mtod(packet, std::uint8_t*) + l3;
    const std::uint32_t length = load_be<std::uint16_t>({ip, 20}, ipv4 ? 2 : 4) + (ipv4 ? 0U : 40U);
    if (!track(session, flight, way, ip + (ipv4 ? 20 : 40), length - (ipv4 ? 20U : 40U))) [[unlikely]] {
      write_record(config, packet, flight);
      return slow.carry(packet, flight, found);
    }
    session.count(way, 1, length);
    session.last_seen = now;

    const std::uint32_t egress = session.port[way ^ 1U], next_hop = session.next_hop[way];
    exit.seek(shard, config, egress);
    std::uint64_t mac = 0;
    const bool plain = ip[ipv4 ? 8 : 7] > 1 && length <= exit.wire->mtu && exit.outlet != nullptr;
    if (!plain || !known.find(shard, config, egress, next_hop, mac)) [[unlikely]] return leave(shard, config, packet, flight, session, way);
    count_hop(ip, ipv4);
    if (!write_link(packet, {l3, length, ipv4}, *exit.wire, mac)) [[unlikely]] {
      shard.drop_whole(packet, DropReason::kNoMemory, exit.wire->tenant_slot);
      return Outcome::kSent;
    }
    exit.put(shard, packet);
    return Outcome::kSent;
  }
  /// track_plain() for a packet that changes no state. False: it may.
  [[gnu::always_inline]] static bool track(Session& session, const Flight& flight, std::size_t way, const std::uint8_t* l4,
                                           std::uint32_t room) {
    if (flight.protocol() == filters::kProtocolUdp) return way == 0 || (session.flags & kSessionReplied) != 0;
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
    flights[i].depart(lookup_of(burst.packets[i], shard.sessions.seed()), meta_of(burst.packets[i]).ingress, 0, 0);
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
  Candidates candidates;
  seek_candidates(shard.sessions, std::span(flights).first(plain), candidates);
  Burst tracked;
  Carrier carrier{shard, config};
  Swift swift{shard, config};
  for (std::uint16_t i = 0; i < plain; ++i) {
    rte_mbuf* packet = burst.packets[i];
    Flight& flight = flights[i];
    Outcome outcome = Outcome::kAsk;
    if (flight.l3_offset != 0) [[likely]] {
      outcome = swift.carry(packet, flight, candidates[i], carrier);
    } else {
      outcome = carrier.carry(packet, flight, candidates[i]);
    }
    if (outcome == Outcome::kSent) [[likely]] continue;
    write_record(config, packet, flight);
    Burst& to = outcome == Outcome::kAsk ? asking : tracked;
    to.packets[to.count++] = packet;
  }
  swift.exit.flush(shard);
  carrier.exit.flush(shard);
  burst.count = 0;
  if (tracked.count > 0) forward(shard, config, tracked);
  if (asking.count > 0) carry(shard, config, asking, kUnwatched);
}

}  // namespace sekisho::dataplane::path
