// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/express.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "filters/packet/fields.h"
#include "filters/state/icmp_error.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

/// A session found by its other key is read with its translation.
void prefetch_translated(const SessionTable& table, std::uint32_t index) {
  const auto* line = reinterpret_cast<const std::uint8_t*>(&table.at(index));
  rte_prefetch0(line);
  rte_prefetch0(line + 64);
  rte_prefetch0(line + 128);
  rte_prefetch0(&table.translation(index));
}

/// The translated side of a session may belong elsewhere than it steers.
std::uint32_t noted_owner(const Shared& shared, std::uint64_t hash, std::uint32_t steered) {
  const std::uint32_t owner = shared.flow_owners.find(hash);
  return owner < shared.shards ? owner : steered;
}

}  // namespace

std::uint32_t owner_of(const Shared& shared, const Runtime& config, const HashSeed& seed, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const auto frame = frame_of(packet);
  const bool nat = config.ports[meta.ingress].nat != 0 && shared.shards > 1;
  filters::QuotedPacket quoted{};
  if (filters::is_icmp_error(meta) && filters::parse_icmp_error(frame, meta, quoted) == DropReason::kNone) {
    const std::uint32_t steered =
        steered_shard(quoted.source, quoted.destination, quoted.source_port, quoted.destination_port, shared.shards);
    return nat ? noted_owner(shared, quoted_flow(quoted, meta.tenant, seed).lookup.hash, steered) : steered;
  }
  const std::uint32_t steered = steered_shard(filters::ip_source(frame, meta), filters::ip_destination(frame, meta), meta.source_port,
                                              meta.destination_port, shared.shards);
  return nat ? noted_owner(shared, lookup_of(packet, seed).hash, steered) : steered;
}

std::uint32_t owner_of(const Shared& shared, const Runtime& config, const HashSeed& seed, rte_mbuf* packet, const Flight& flight) noexcept {
  if (flight.l3_offset == 0) return owner_of(shared, config, seed, packet);
  const auto frame = frame_of(packet);
  const std::size_t l3 = flight.l3_offset, l4 = l3 + (flight.ipv6() ? 40U : 20U);
  std::uint32_t fold = 0;
  const std::size_t addresses = l3 + (flight.ipv6() ? 8U : 12U);
  for (std::size_t at = addresses; at < l4; at += 4) fold ^= load_be<std::uint32_t>(frame, at);
  const auto from = load_be<std::uint16_t>(frame, l4), to = load_be<std::uint16_t>(frame, l4 + 2);
  const std::uint32_t steered = dataplane::steer(fold, from, to, shared.shards);
  return config.ports[flight.ingress].nat != 0 && shared.shards > 1 ? noted_owner(shared, flight.hash, steered) : steered;
}

void steer(Shard& shard, const Runtime& config, Burst& burst) noexcept {
  if (shard.shared.shards == 1) return;
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    const PacketMeta& meta = meta_of(packet);
    const std::uint32_t owner = owner_of(shard.shared, config, shard.sessions.seed(), packet);
    if (owner == shard.number) {
      burst.packets[kept++] = packet;
    } else {
      shard.hand_off(packet, owner, Resume::kFindSession, config.ports[meta.ingress].tenant_slot);
    }
  }
  burst.count = kept;
}

void find_session(Shard& shard, const Runtime& config, Burst& burst, Burst& first) noexcept {
  SessionTable& table = shard.sessions;
  std::array<FlowLookup, kBurstMax> lookups;
  std::array<std::uint32_t, kBurstMax> candidates;

  for (std::uint16_t i = 0; i < burst.count; ++i) {
    lookups[i] = lookup_of(burst.packets[i], table.seed());
    table.prefetch_bucket(lookups[i].hash);
  }
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    candidates[i] = table.candidate(lookups[i].hash);
    if (candidates[i] >= SessionTable::kOtherKey) {
      if (candidates[i] < SessionTable::kSearch) prefetch_translated(table, candidates[i] & ~SessionTable::kOtherKey);
      continue;
    }
    const auto* line = reinterpret_cast<const std::uint8_t*>(&table.at(candidates[i]));
    rte_prefetch0(line);
    rte_prefetch0(line + 64);
    if ((lookups[i].key.low >> 56 & (kFlowIpv6Bit >> 16)) != 0) rte_prefetch0(line + 128);
  }
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    PacketMeta& meta = meta_of(packet);
    SessionTable::Hit hit{candidates[i], false};
    if (hit.index != kNoIndex) [[likely]] {
      const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
      const bool certain = hit.index < SessionTable::kOtherKey && table.at(hit.index).key == lookups[i].key && !ipv6;
      if (!certain) {
        const std::array<Words6, 2> ends = ipv6 ? ends_of(packet, lookups[i].from_high) : std::array<Words6, 2>{};
        const bool equal = hit.index < SessionTable::kOtherKey && SessionTable::equal(table.at(hit.index), lookups[i], ends);
        if (!equal) hit = table.locate(lookups[i], ends);
      }
    }
    meta.session = hit.index;
    if (hit.index != kNoIndex && table.at(hit.index).generation == config.generation) [[likely]] {
      meta.reverse = static_cast<std::uint8_t>(table.direction(hit, lookups[i].from_high));
      burst.packets[kept++] = packet;
    } else {
      first.packets[first.count++] = packet;
    }
  }
  burst.count = kept;
}

}  // namespace sekisho::dataplane::path
