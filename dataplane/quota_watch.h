// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/shm/log_record.h"

namespace sekisho::dataplane {

class Shard;
struct Runtime;
struct TenantEntry;

/// Tells tenants in their own log when what they use comes near a quota, and when one of their rules ends.
///
/// Overview. Four times a second each tenant's use, all shards together, is compared with its quotas; at 80, 95 and 100 percent
/// one record is written, and none again before the use was ten points below. Of rates the most between two looks counts
/// (HighWater); what else rises and falls between them is not seen: refusals have records of their own. Life-cycle. One watch, the
/// first shard's, tells for all; after a start what still holds is told anew. Thread: the shard's. Limits. A few tenants and a few
/// notices of rules a turn.
class QuotaWatch {
 public:
  static constexpr std::array<std::uint8_t, 4> kPercent{0, 80, 95, 100};
  static constexpr std::uint32_t kBelow = 10;  ///< points under a level at which it is left

  QuotaWatch() = default;
  /// `tenants`: slots; 0 = this one never tells.
  explicit QuotaWatch(std::uint32_t tenants) : levels_(tenants) {}

  /// A new generation has notices of its own.
  void adopt(const Runtime& config) noexcept;
  /// Whether there is work in this turn.
  [[nodiscard]] bool due(std::uint32_t tick) const noexcept { return busy_ || tick != tick_; }
  /// A little of the work.
  void look(Shard& shard, const Runtime& config) noexcept;

  /// The next level (index in kPercent) when `used` of `most` follows `level`.
  [[nodiscard]] static std::uint8_t next_level(std::uint8_t level, std::uint64_t used, std::uint64_t most) noexcept;

 private:
  static constexpr std::size_t kQuotas = kNoticeQuotaRules - kNoticeQuotaSessions + 1;

  void look_at(Shard& shard, const Runtime& config, std::uint32_t tenant) noexcept;

  std::vector<std::array<std::uint8_t, kQuotas>> levels_;  ///< by tenant slot
  std::uint32_t tenant_ = 0;  ///< next index in Runtime::tenants
  std::uint32_t notice_ = 0;  ///< next of Runtime::notices
  std::uint32_t tick_ = 0;    ///< of the round under way, or the last one
  bool busy_ = false;         ///< it is under way, or notices wait
  bool fresh_ = false;        ///< the first of its generation
};

}  // namespace sekisho::dataplane
