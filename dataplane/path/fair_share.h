// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/express.h"

/// Fairness between tenants that share a source of packets: a receive queue, or the ring from other shards (ADR 17).
///
/// A source that brought full bursts for kFullVisits visits in a row cannot be kept up with; what overflows is lost
/// blindly, each tenant in proportion to what it sends. From then on a visit takes up to kRoundsMax bursts, of which each
/// tenant may pass on its share of one burst: the excess ends here, before sessions and policy, at a fraction of the cost,
/// and the queue is emptied. Calm visits end it.
namespace sekisho::dataplane::path {

inline constexpr unsigned kFullVisits = 8;
inline constexpr unsigned kCalmVisits = 64;
inline constexpr unsigned kRoundsMax = 16;

/// Notes which tenants use this source, one packet in four. `source`: a bit that stands for it in this shard.
/// The first `plain` packets have their flights.
void observe(Shard& shard, const Runtime& config, Backlog& backlog, std::uint32_t source, const Burst& burst, const Flights& flights,
             std::uint16_t plain) noexcept;
/// Ends what is beyond its tenant's share of this visit.
void fair_share(Shard& shard, const Runtime& config, const Backlog& backlog, Burst& burst) noexcept;
/// True when the visit should take another burst: the last one was full and little of it was worth carrying.
inline bool wants_more(const Backlog& backlog, bool full, unsigned carried, unsigned rounds) noexcept {
  return backlog.fair && full && carried * 4U <= kBurstMax * 3U && rounds < kRoundsMax;
}
/// `full`: the last burst was; `cheap`: packets of it that were done with before their flow was asked; `rounds`: bursts taken.
void end_visit(Backlog& backlog, bool full, std::uint64_t cheap, unsigned rounds) noexcept;

}  // namespace sekisho::dataplane::path
