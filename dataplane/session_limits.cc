// SPDX-License-Identifier: Apache-2.0
#include "dataplane/session_limits.h"

#include <array>

#include "base/net/endian.h"
#include "dataplane/session/flow_key.h"

namespace sekisho::dataplane {

using filters::DropReason;
using filters::snapshot::RuleLimits;

namespace {

constexpr unsigned kTenantShift = 48;

Rate rate_of(std::uint32_t per_second) { return {per_second, per_second}; }

bool over_rate(SharedMeter& meter, std::uint32_t per_second, std::uint64_t now_ns) {
  return per_second != 0 && !meter.take(rate_of(per_second), 1, now_ns);
}

}  // namespace

SessionLimits::SessionLimits(std::uint32_t rules, std::uint32_t tenants, std::uint64_t seed)
    : rules_(rules), places_(kPlaces), live_(tenants), seed_(seed) {}

void SessionLimits::copy(const SessionLimits& live) noexcept {
  seed_ = live.seed_;
  for (std::size_t i = 0; i < rules_.size() && i < live.rules_.size(); ++i) {
    rules_[i].sessions.store(live.rules_[i].sessions.load(std::memory_order_relaxed), std::memory_order_relaxed);
    rules_[i].half_open.store(live.rules_[i].half_open.load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  for (std::size_t i = 0; i < places_.size() && i < live.places_.size(); ++i) {
    const std::uint64_t state = live.places_[i].state.load(std::memory_order_acquire);
    if ((state & kCount) == kMoving) continue;
    places_[i].key.store(live.places_[i].key.load(std::memory_order_relaxed), std::memory_order_relaxed);
    places_[i].state.store(state, std::memory_order_relaxed);
  }
}

std::uint64_t SessionLimits::key_of(std::uint32_t rule_slot, std::uint32_t tenant_slot, const Address& source) const noexcept {
  const std::uint64_t high = load_be<std::uint64_t>(source.bytes, 0), low = load_be<std::uint64_t>(source.bytes, 8);
  const std::uint64_t rule = std::uint64_t{rule_slot} << 8 | static_cast<std::uint8_t>(source.family);
  const std::uint64_t folded = mix(mix(high ^ seed_, low ^ 0x9e3779b97f4a7c15ULL), seed_ ^ rule);
  return (std::uint64_t{tenant_slot} << kTenantShift | folded >> 16) | 1U;
}

bool SessionLimits::claim(SourcePlace& place, std::uint64_t key, std::uint64_t now_ns) noexcept {
  std::uint64_t state = place.state.load(std::memory_order_acquire);
  const bool idle = (state & kCount) == 0 && place.rate.left(Rate{1, 1}, now_ns) == 1;
  if (!idle) return false;
  // acquire: whoever moved the place before has finished; release: the mark is seen before the key changes.
  if (!place.state.compare_exchange_strong(state, (state & ~kCount) | kMoving, std::memory_order_acq_rel)) return false;
  place.key.store(key, std::memory_order_relaxed);
  place.rate.reset();
  // The next version: whoever read the old owner's state fails to swap it. Sequentially consistent with the loads of
  // place_of: of two claimers, who look for the other's place next, at least one sees it.
  place.state.store(((state >> 24) + 1) << 24, std::memory_order_seq_cst);
  return true;
}

/// The place of a key, claimed when it has none; kNoIndex when there is no room. Two shards may claim for one source at the
/// same moment; both then use the first of the two, and the other place falls idle.
std::uint32_t SessionLimits::place_of(std::uint64_t key, std::uint64_t now_ns) noexcept {
  const auto home = static_cast<std::uint32_t>((key >> 1) % (kPlaces / kWays) * kWays);
  const auto find = [&] {
    for (std::uint32_t way = 0; way < kWays; ++way) {
      const SourcePlace& place = places_[home + way];
      const bool settled = (place.state.load(std::memory_order_seq_cst) & kCount) != kMoving;  // see claim
      if (settled && place.key.load(std::memory_order_relaxed) == key) return home + way;
    }
    return filters::kNoIndex;
  };
  if (const std::uint32_t known = find(); known != filters::kNoIndex) return known;
  for (std::uint32_t way = 0; way < kWays; ++way) {
    if (claim(places_[home + way], key, now_ns)) return find();
  }
  return filters::kNoIndex;
}

DropReason SessionLimits::take_source(const RuleLimits& limits, std::uint64_t key, Enforce enforce, std::uint64_t now_ns,
                                      std::uint32_t& index) noexcept {
  const bool enforced = enforce == Enforce::kYes;
  std::atomic<std::uint32_t>& live = live_[key >> kTenantShift];
  constexpr int kTries = 4;  // a place moved under us is looked for again
  for (int attempt = 0; attempt < kTries; ++attempt) {
    index = place_of(key, now_ns);
    if (index == filters::kNoIndex) return enforced ? DropReason::kSourceLimit : DropReason::kNone;
    SourcePlace& place = places_[index];
    std::uint64_t state = place.state.load(std::memory_order_acquire);
    while ((state & kCount) < kMoving - 1 && place.key.load(std::memory_order_relaxed) == key) {
      const bool fresh = (state & kCount) == 0;
      const bool crowded = fresh && live.load(std::memory_order_relaxed) >= kSourcesOfTenantMax;
      const bool full = crowded || (limits.source_sessions_max != 0 && (state & kCount) >= limits.source_sessions_max);
      if (full && enforced) {
        index = filters::kNoIndex;
        return DropReason::kSourceLimit;
      }
      if (!place.state.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
      if (fresh) live.fetch_add(1, std::memory_order_relaxed);
      if (!enforced || !over_rate(place.rate, limits.source_sessions_per_second, now_ns)) return DropReason::kNone;
      leave(index);
      index = filters::kNoIndex;
      return DropReason::kRateLimit;
    }
  }
  index = filters::kNoIndex;
  return enforced ? DropReason::kSourceLimit : DropReason::kNone;
}

DropReason SessionLimits::take(const RuleLimits& limits, std::uint32_t rule_slot, std::uint32_t tenant_slot, const Address& source,
                               Enforce enforce, std::uint64_t now_ns, std::uint32_t& place) noexcept {
  place = filters::kNoIndex;
  RulePlace& rule = rules_[rule_slot];
  const bool enforced = enforce == Enforce::kYes;
  const std::uint32_t before = rule.sessions.fetch_add(1, std::memory_order_relaxed);
  DropReason reason = DropReason::kNone;
  if (enforced && limits.sessions_max != 0 && before >= limits.sessions_max) reason = DropReason::kRuleLimit;
  const bool by_source = (limits.source_sessions_max | limits.source_sessions_per_second) != 0;
  if (reason == DropReason::kNone && by_source) {
    reason = take_source(limits, key_of(rule_slot, tenant_slot, source), enforce, now_ns, place);
  }
  if (reason == DropReason::kNone && enforced && over_rate(rule.rate, limits.sessions_per_second, now_ns)) {
    reason = DropReason::kRateLimit;
  }
  if (reason != DropReason::kNone) {
    release(rule_slot, place);
    place = filters::kNoIndex;
  }
  return reason;
}

void SessionLimits::release(std::uint32_t rule_slot, std::uint32_t place) noexcept {
  rules_[rule_slot].sessions.fetch_sub(1, std::memory_order_relaxed);
  if (place != filters::kNoIndex) leave(place);
}

void SessionLimits::leave(std::uint32_t index) noexcept {
  SourcePlace& place = places_[index];
  const std::uint64_t key = place.key.load(std::memory_order_relaxed);  // stays while somebody counts here
  const std::uint64_t before = place.state.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & kCount) == 1) live_[key >> kTenantShift].fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace sekisho::dataplane
