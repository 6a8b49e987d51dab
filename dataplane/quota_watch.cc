// SPDX-License-Identifier: Apache-2.0
#include "dataplane/quota_watch.h"

#include <algorithm>

#include "dataplane/path/record.h"
#include "dataplane/shard.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kTenantsPerTurn = 16;
constexpr std::uint32_t kNoticesPerTurn = 4;

struct Use {
  std::uint64_t used;
  std::uint64_t most;  ///< 0 = no quota
};

/// What is in use, or was since the last look.
Use use_of(const SharedMeter& meter, HighWater& mark, const Rate& rate, std::uint64_t now_ns, bool fresh) {
  const std::uint64_t most = mark.take();
  if (rate.per_second == 0) return {0, 0};
  const std::uint64_t now = rate.burst - meter.left(rate, now_ns);
  return {fresh ? now : std::max(now, std::min(most, rate.burst)), rate.burst};
}

/// In the order of LogNotice from kNoticeQuotaSessions. Sessions are counted as given to shards: up to a thirtieth too many.
/// `fresh`: nothing counts that was reached under another generation's rates.
Use use_of(Shard& shard, const Runtime& config, std::uint32_t tenant, LogNotice notice, bool fresh) {
  const TenantEntry& entry = config.tenants[tenant];
  TenantQuota& quota = shard.shared.quotas[entry.slot];
  const auto count = [](const std::atomic<std::uint64_t>& value) { return value.load(std::memory_order_relaxed); };
  switch (notice) {
    case kNoticeQuotaSessions: return {count(quota.sessions), entry.sessions_max};
    case kNoticeQuotaSessionRate: return use_of(quota.new_sessions, quota.new_sessions_most, entry.new_sessions, shard.steady_ns, fresh);
    case kNoticeQuotaHalfOpen: return {count(quota.half_open), entry.half_open_max};
    case kNoticeQuotaFragments: return {count(quota.fragments), shard.fragments_max_of(entry)};
    case kNoticeQuotaLogRate:
      return use_of(quota.log, quota.log_most, {entry.log_rate >> 32, entry.log_rate & 0xffff'ffffU}, shard.steady_ns, fresh);
    case kNoticeQuotaRules: {
      const snapshot::Quotas& quotas = config.view.tenants()[tenant].quotas;
      return {quotas.rules, quotas.rules_max};
    }
    case kNoticeNone:
    case kNoticeLogRate:
    case kNoticeRuleEnding:
    case kNoticeRuleExpired:
    case kNoticeRouterFlag:
    case kNoticeCount: break;
  }
  return {0, 0};
}

}  // namespace

std::uint8_t QuotaWatch::next_level(std::uint8_t level, std::uint64_t used, std::uint64_t most) noexcept {
  if (most == 0) return 0;
  while (level + 1U < kPercent.size() && used * 100 >= most * kPercent[level + 1U]) ++level;
  while (level > 0 && used * 100 < most * (kPercent[level] - kBelow)) --level;
  return level;
}

void QuotaWatch::adopt(const Runtime&) noexcept {
  tenant_ = 0;
  notice_ = 0;
  busy_ = true;
  fresh_ = true;
}

void QuotaWatch::look(Shard& shard, const Runtime& config) noexcept {
  const bool anew = !busy_;
  tick_ = anew ? shard.now_tick : tick_;
  if (levels_.empty()) {
    busy_ = false;
    return;
  }
  if (anew) tenant_ = 0;
  const auto notices = static_cast<std::uint32_t>(config.notices.size());
  for (const std::uint32_t end = std::min(notices, notice_ + kNoticesPerTurn); notice_ < end; ++notice_) {
    const RuleNotice& notice = config.notices[notice_];
    path::record_notice(shard, config, notice.tenant, notice.notice, notice.rule, 0);
  }
  const auto tenants = static_cast<std::uint32_t>(config.tenants.size());
  for (const std::uint32_t end = std::min(tenants, tenant_ + kTenantsPerTurn); tenant_ < end; ++tenant_) look_at(shard, config, tenant_);
  busy_ = tenant_ < tenants || notice_ < notices;
  fresh_ = fresh_ && busy_;
}

void QuotaWatch::look_at(Shard& shard, const Runtime& config, std::uint32_t tenant) noexcept {
  auto& levels = levels_[config.tenants[tenant].slot];
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto notice = static_cast<LogNotice>(kNoticeQuotaSessions + i);
    const Use use = use_of(shard, config, tenant, notice, fresh_);
    const std::uint8_t now = next_level(levels[i], use.used, use.most);
    if (now > levels[i]) path::record_notice(shard, config, tenant, notice, 0, kPercent[now]);
    levels[i] = now;
  }
}

}  // namespace sekisho::dataplane
