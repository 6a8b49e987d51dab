// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/net/address.h"
#include "dataplane/quota.h"
#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"
#include "filters/policy/snapshot.h"

namespace sekisho::dataplane {

/// Sessions of rules that limit them, and of the source addresses of such rules: exact over all shards.
///
/// Overview. A rule counts at its slot; a source at a place of a table, found by a seeded hash of rule and address. A session
/// remembers its place, so ending it touches one number. Life-cycle. take() before a session is made, release() when it ends or
/// changes its rule. A place is given to another source once nothing counts there and its rate has come back.
/// Synchronisation. Any shard, without locks: counts are compare-and-swapped; a place that changes its owner carries a mark
/// meanwhile. Limits. kPlaces sources; one tenant has sessions of at most an eighth as many, so that only its own new sources
/// are refused (kSourceLimit) beyond.
class SessionLimits {
 public:
  static constexpr std::uint32_t kPlaces = 1U << 16;
  static constexpr std::uint32_t kSourcesOfTenantMax = kPlaces / 8;

  SessionLimits() = default;
  SessionLimits(std::uint32_t rules, std::uint32_t tenants, std::uint64_t seed);

  enum class Enforce : bool { kNo, kYes };
  /// Counts a session of the rule at `rule_slot` from `source`: kNone, or kRuleLimit, kSourceLimit or kRateLimit and nothing
  /// counted. kNo counts beyond the limits: a session that lives on under a new policy. `place` is for release().
  filters::DropReason take(const filters::snapshot::RuleLimits& limits, std::uint32_t rule_slot, std::uint32_t tenant_slot,
                           const Address& source, Enforce enforce, std::uint64_t now_ns, std::uint32_t& place) noexcept;
  void release(std::uint32_t rule_slot, std::uint32_t place) noexcept;
  /// TCP connections of a rule that are not yet established: `by` more.
  void count_half_open(std::uint32_t rule_slot, int by) noexcept {
    rules_[rule_slot].half_open.fetch_add(static_cast<std::uint32_t>(by), std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t half_open_of(std::uint32_t rule_slot) const noexcept {
    return rules_[rule_slot].half_open.load(std::memory_order_relaxed);
  }

  /// Takes over what another one of the same size counts at this moment: for a shard that only plays. Any thread may count on.
  void copy(const SessionLimits& live) noexcept;

  /// Sessions now counted for a rule. Any thread.
  [[nodiscard]] std::uint32_t of_rule(std::uint32_t rule_slot) const noexcept {
    return rules_[rule_slot].sessions.load(std::memory_order_relaxed);
  }

 private:
  struct RulePlace {
    std::atomic<std::uint32_t> sessions{0};
    std::atomic<std::uint32_t> half_open{0};
    SharedMeter rate;
  };
  struct SourcePlace {
    std::atomic<std::uint64_t> key{0};    ///< tenant slot in the upper 16 bits, hash below; 0 = never used
    std::atomic<std::uint64_t> state{0};  ///< version << 24 | sessions; sessions kMoving: changes its owner
    SharedMeter rate;
    std::uint64_t reserved = 0;
  };
  static_assert(sizeof(SourcePlace) == 32);
  static constexpr std::uint64_t kCount = (1U << 24) - 1;
  static constexpr std::uint64_t kMoving = kCount;
  static constexpr std::uint32_t kWays = 8;

  std::uint64_t key_of(std::uint32_t rule_slot, std::uint32_t tenant_slot, const Address& source) const noexcept;
  std::uint32_t place_of(std::uint64_t key, std::uint64_t now_ns) noexcept;
  void leave(std::uint32_t index) noexcept;
  bool claim(SourcePlace& place, std::uint64_t key, std::uint64_t now_ns) noexcept;
  filters::DropReason take_source(const filters::snapshot::RuleLimits& limits, std::uint64_t key, Enforce enforce,
                                  std::uint64_t now_ns, std::uint32_t& place) noexcept;

  std::vector<RulePlace> rules_;
  std::vector<SourcePlace> places_;
  std::vector<std::atomic<std::uint32_t>> live_;  ///< by tenant slot: sources with sessions
  std::uint64_t seed_ = 0;
};

}  // namespace sekisho::dataplane
