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

/// Asks for the lines of the sessions that the keys may belong to.
void seek_candidates(const SessionTable& table, std::span<const FlowLookup> flights, std::span<std::uint32_t, kBurstMax> candidates) {
  for (std::size_t i = 0; i < flights.size(); ++i) {
    const std::uint32_t candidate = table.candidate(flights[i].hash);
    candidates[i] = candidate;
    if (candidate >= SessionTable::kOtherKey) [[unlikely]] continue;
    const auto* line = reinterpret_cast<const std::uint8_t*>(&table.at(candidate));
    rte_prefetch0(line);
    rte_prefetch0(line + 64);
    if ((flights[i].key.low >> 56 & (kFlowIpv6Bit >> 16)) != 0) rte_prefetch0(line + 128);
  }
}

/// What became of a packet.
enum class Outcome : std::uint8_t {
  kSent,
  kAsk,      ///< nothing has been done: the stages decide
  kForward,  ///< tracked; forward() decides
};

/// Finds, tracks and sends on packets that raise no question.
struct Carrier {
  Shard& shard;
  const Runtime& config;
  Exit exit{};
  std::uint32_t known = kNoIndex;  ///< a neighbour this burst has asked for, and its MAC
  std::uint64_t known_mac = 0;

  /// The session of the packet, in `meta`. False: not plainly one of this generation.
  [[gnu::always_inline]] bool find(rte_mbuf* packet, PacketMeta& meta, const FlowLookup& flight, std::uint32_t candidate) const {
    if (candidate >= SessionTable::kOtherKey) [[unlikely]] return false;
    const Session& session = shard.sessions.at(candidate);
    if (!(session.key == flight.key) || session.generation != config.generation || session.timeout == 0) [[unlikely]] return false;
    if ((session.flags & kSessionIpv6) != 0 && session.ends != ends_of(packet, flight.from_high)) [[unlikely]] return false;
    if ((session.flags & kSessionSpecial) != 0) [[unlikely]] return false;
    meta.session = candidate;
    meta.reverse = static_cast<std::uint8_t>(session.direction(flight.from_high));
    return session.port[meta.reverse] == meta.ingress;
  }
  [[gnu::always_inline]] Outcome carry(rte_mbuf* packet, const FlowLookup& flight, std::uint32_t candidate) {
    PacketMeta& meta = meta_of(packet);
    if (!find(packet, meta, flight, candidate)) [[unlikely]] return Outcome::kAsk;
    Session& session = shard.sessions.at(candidate);
    if (track_plain(shard, session, packet) != DropReason::kNone) [[unlikely]] return Outcome::kAsk;
    count_packet(shard, session, meta);
    exit.seek(shard, config, meta.egress);
    if (meta.ttl <= 1 || meta.l3_length > exit.wire->mtu) [[unlikely]] return Outcome::kForward;
    if ((meta.next_hop & kDynamicHop) == 0) {
      const std::uint64_t hop = config.static_hops[meta.next_hop];
      if ((hop & kWatchedHop) != 0) [[unlikely]] return Outcome::kForward;
      exit.send(shard, packet, hop);
      return Outcome::kSent;
    }
    if (meta.next_hop != known) {
      const NeighbourTable::Reading neighbour = resolve(shard, config, meta);
      if (neighbour.state != NeighbourState::kReachable) [[unlikely]] return Outcome::kForward;
      known = meta.next_hop;
      known_mac = raw_mac(neighbour.mac);
    }
    exit.send(shard, packet, known_mac);
    return Outcome::kSent;
  }
};

/// steer() for packets with their keys.
std::uint16_t steer_plain(Shard& shard, const Runtime& config, Burst& burst, Flights& flights, std::uint16_t plain) {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < plain; ++i) {
    rte_mbuf* packet = burst.packets[i];
    const std::uint32_t owner = owner_of(shard.shared, config, shard.sessions.seed(), packet);
    if (owner == shard.number) {
      flights[kept] = flights[i];
      burst.packets[kept++] = packet;
    } else {
      shard.hand_off(packet, owner, Resume::kFindSession, config.ports[meta_of(packet).ingress].tenant_slot);
    }
  }
  return kept;
}

}  // namespace

std::uint16_t survey(Shard& shard, const Burst& burst, Flights& flights, std::uint16_t from) noexcept {
  for (std::uint16_t i = from; i < burst.count; ++i) {
    if ((meta_of(burst.packets[i]).proof & filters::kProofTrain) != 0) [[unlikely]] return i;
    flights[i] = lookup_of(burst.packets[i], shard.sessions.seed());
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

void carry_plain(Shard& shard, const Runtime& config, Burst& burst, const Flights& flights, std::uint16_t plain) noexcept {
  Burst asking;
  for (std::uint16_t i = plain; i < burst.count; ++i) asking.packets[asking.count++] = burst.packets[i];
  std::array<std::uint32_t, kBurstMax> candidates;
  seek_candidates(shard.sessions, std::span(flights).first(plain), candidates);
  Burst tracked;
  Carrier carrier{shard, config};
  for (std::uint16_t i = 0; i < plain; ++i) {
    rte_mbuf* packet = burst.packets[i];
    const Outcome outcome = carrier.carry(packet, flights[i], candidates[i]);
    if (outcome == Outcome::kSent) [[likely]] continue;
    Burst& to = outcome == Outcome::kAsk ? asking : tracked;
    to.packets[to.count++] = packet;
  }
  carrier.exit.flush(shard);
  burst.count = 0;
  if (tracked.count > 0) forward(shard, config, tracked);
  if (asking.count > 0) carry(shard, config, asking, kUnwatched);
}

}  // namespace sekisho::dataplane::path
