// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/fair_share.h"

#include <algorithm>

#include "dataplane/path/record.h"

namespace sekisho::dataplane::path {
namespace {

constexpr unsigned kSampled = 4;

/// Where a visit begins to sample: equally spread, also over every second or fourth visit, as one source of several gets them.
std::uint32_t first_sample(std::uint32_t visit) { return visit * 0x9e3779b9U >> 30; }
static_assert(kSampled == 4);

/// Packets one tenant may pass on in a visit: an equal part of a burst and a quarter, since equal senders never come in
/// exactly equal numbers. Who is alone has nobody to leave room for.
std::uint32_t units(const Backlog& backlog) {
  const std::uint32_t tenants = std::max(backlog.active, backlog.active_before);
  return tenants <= 1 ? UINT32_MAX : std::max(1U, kBurstMax * 5U / (tenants * 4U));
}

}  // namespace

void observe(Shard& shard, const Runtime& config, Backlog& backlog, std::uint32_t source, const Burst& burst, const Flights& flights,
             std::uint16_t plain) noexcept {
  if (backlog.tick != shard.now_tick) {
    backlog.active_before = shard.now_tick - backlog.tick == 1 ? backlog.active : 0;
    backlog.active = 0;
    backlog.tick = shard.now_tick;
  }
  for (std::uint32_t i = first_sample(shard.visit); i < burst.count; i += kSampled) {
    const std::uint32_t ingress = i < plain ? flights[i].ingress : meta_of(burst.packets[i]).ingress;
    TenantShare& share = shard.shares[config.ports[ingress].tenant_slot];
    if (share.seen_tick != shard.now_tick + 1) {
      share.seen_tick = shard.now_tick + 1;
      share.seen_inlets = 0;
    }
    if ((share.seen_inlets & source) != 0) continue;
    share.seen_inlets |= source;
    ++backlog.active;
  }
}

void fair_share(Shard& shard, const Runtime& config, const Backlog& backlog, Burst& burst) noexcept {
  const std::uint32_t most = units(backlog);
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    TenantShare& share = shard.shares[config.ports[meta_of(packet).ingress].tenant_slot];
    if (share.visit != shard.visit) {
      share.visit = shard.visit;
      share.carried = 0;
    }
    if (share.carried >= most) {
      refuse_excess(shard, config, packet, Excess::kFairShare);
      continue;
    }
    ++share.carried;
    burst.packets[kept++] = packet;
  }
  burst.count = kept;
}

void end_visit(Backlog& backlog, bool full, std::uint64_t cheap, unsigned rounds) noexcept {
  // One tenant alone has nobody to be fair to; unless much of what comes is done with at once, which is worth hurrying for.
  // Pieces of datagrams that wait here for others, or go on as one, are not.
  const bool crowd = std::max(backlog.active, backlog.active_before) > 1 || cheap * 4U >= kBurstMax;
  if (full && crowd) {
    backlog.calm = 0;
    if (backlog.full < kFullVisits) ++backlog.full;
    backlog.fair |= backlog.full == kFullVisits;
    return;
  }
  backlog.full = 0;
  if (!backlog.fair) [[likely]] return;
  backlog.calm = rounds == 1 ? static_cast<std::uint8_t>(backlog.calm + 1) : std::uint8_t{0};
  if (backlog.calm < kCalmVisits) return;
  backlog.calm = 0;
  backlog.fair = false;
}

}  // namespace sekisho::dataplane::path
