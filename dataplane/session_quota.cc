// SPDX-License-Identifier: Apache-2.0
// Overview. A tenant's most is counted over all shards: TenantQuota::sessions is dealt to shards in steps, so that opening
// a session touches no shared line but once a step. Guarantees are kept by each shard for its own table: its part of every
// guarantee is set aside, and what lies beyond is first come, first served. Limits. A shard keeps at most two steps it does
// not use.
#include <algorithm>

#include "dataplane/shard.h"

namespace sekisho::dataplane {
namespace {

/// Sessions a shard takes or gives back at a time.
std::uint32_t step_of(std::uint32_t most, std::uint32_t shards) { return std::clamp(most / (64 * shards), 1U, 64U); }

bool half_open(const Session& session) {
  if (session.protocol != filters::kProtocolTcp) return (session.flags & kSessionReplied) == 0;
  return filters::tcp_half_open(session.tcp.state);
}

}  // namespace

void Shard::adopt_guarantees(const Runtime& config) noexcept {
  guarantees_of = config.generation;
  watch.adopt(config);
  sessions_promised = sessions_beyond = 0;
  for (std::uint32_t slot = 0; slot < shares.size(); ++slot) {
    shares[slot].sessions_guaranteed = 0;
    fragments.guarantee(slot, 0);
  }
  for (const TenantEntry& tenant : config.tenants) {
    shares[tenant.slot].sessions_guaranteed = shard_part(tenant.sessions_guaranteed, shared.shards);
    sessions_promised += shares[tenant.slot].sessions_guaranteed;
    fragments.guarantee(tenant.slot, shard_part(tenant.fragments_guaranteed, shared.shards));
  }
  for (std::size_t slot = 0; slot < shares.size(); ++slot) {
    const auto open = static_cast<std::uint32_t>(tenants[slot].sessions.read());
    if (open > shares[slot].sessions_guaranteed) sessions_beyond += open - shares[slot].sessions_guaranteed;
  }
}

bool Shard::may_open_session(const TenantEntry& tenant) noexcept {
  TenantShare& share = shares[tenant.slot];
  const std::uint64_t open = tenants[tenant.slot].sessions.read();
  if (open >= share.sessions_guaranteed && sessions_beyond + sessions_promised >= sessions.capacity()) return false;
  if (open < share.sessions_granted) [[likely]] return true;
  std::atomic<std::uint64_t>& given = shared.quotas[tenant.slot].sessions;
  std::uint64_t now = given.load(std::memory_order_relaxed);
  for (;;) {
    if (now >= tenant.sessions_max) return false;
    const auto more = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(step_of(tenant.sessions_max, shared.shards), tenant.sessions_max - now));
    if (!given.compare_exchange_weak(now, now + more, std::memory_order_relaxed)) continue;
    share.sessions_granted += more;
    return true;
  }
}

void Shard::count_session(std::uint32_t tenant_slot) noexcept {
  TenantShare& share = shares[tenant_slot];
  const std::uint64_t open = tenants[tenant_slot].sessions.read();
  if (open >= share.sessions_guaranteed) ++sessions_beyond;
  if (open >= share.sessions_granted) {  // it moved here from another place: what is open is open
    shared.quotas[tenant_slot].sessions.fetch_add(1, std::memory_order_relaxed);
    ++share.sessions_granted;
  }
  tenants[tenant_slot].sessions.add(1);
}

void Shard::uncount_session(std::uint32_t tenant_slot) noexcept {
  TenantShare& share = shares[tenant_slot];
  tenants[tenant_slot].sessions.subtract(1);
  const std::uint64_t open = tenants[tenant_slot].sessions.read();
  if (open >= share.sessions_guaranteed && sessions_beyond > 0) --sessions_beyond;  // 0: a copy that only explains
  // The largest step serves all: nothing here knows the tenant's most any more, it may be gone.
  const std::uint32_t spare = share.sessions_granted - static_cast<std::uint32_t>(open);
  const std::uint32_t keep = open == 0 ? 0 : std::min<std::uint32_t>(64, static_cast<std::uint32_t>(open / 4));
  if (spare <= keep) return;
  shared.quotas[tenant_slot].sessions.fetch_sub(spare - keep, std::memory_order_relaxed);
  share.sessions_granted -= spare - keep;
}

void Shard::make_promised_room() noexcept {
  constexpr std::uint32_t kLookedAt = 64;
  for (std::uint32_t i = 0; i < kLookedAt && sessions_beyond + sessions_promised > sessions.capacity(); ++i) {
    if (recycle_cursor >= sessions.used_end()) recycle_cursor = 0;
    const std::uint32_t index = recycle_cursor++;
    if (index >= sessions.used_end() || !sessions.live(index)) continue;
    const Session& session = sessions.at(index);
    const bool beyond = tenants[session.tenant_slot].sessions.read() > shares[session.tenant_slot].sessions_guaranteed;
    if (beyond && half_open(session)) end_session(index, EndReason::kQuota);
  }
}

}  // namespace sekisho::dataplane
