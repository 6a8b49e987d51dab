// SPDX-License-Identifier: Apache-2.0
#include "vpn/session_keeper.h"

#include <algorithm>
#include <ctime>

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;
constexpr std::size_t kSessionsATurn = 16;
constexpr auto kCheckInterval = 5s;

}  // namespace

void SessionKeeper::turn(Time now) {
  check(now);
  report(now);
}

void SessionKeeper::check(Time now) {
  if (to_check_.empty() && now >= next_check_) {
    next_check_ = now + kCheckInterval;
    directory_.judge_live();
    to_check_ = sessions_();
    for (Session& left : recorder_.left_riding()) to_check_.push_back(std::move(left));
  }
  const std::shared_ptr<const Plan> plan = to_check_.empty() ? nullptr : directory_.plan();
  for (std::size_t i = 0; i < kSessionsATurn && !to_check_.empty(); ++i) {
    check(to_check_.back(), *plan);
    to_check_.pop_back();
  }
}

void SessionKeeper::check(const Session& session, const Plan& plan) {
  const TenantPlan* tenant = plan.tenant(session.path.tenant);
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_name(session.gateway));
  const auto admitted = directory_.admitted(session.id);
  if (gateway == nullptr || !admitted) return;
  const std::int64_t age = static_cast<std::int64_t>(std::time(nullptr)) - admitted->since;
  for (const std::uint32_t longest : {gateway->session_seconds_max, admitted->session_seconds}) {
    if (longest != 0 && age >= longest) return end_(session.id, Cause::kMaxTime);
  }
  if (gateway->idle_seconds == 0 || age < gateway->idle_seconds) return;
  const bool left = session.id == left_session(static_cast<std::uint32_t>(session.id));
  const auto idle = left ? tunnels_.left_idle(static_cast<std::uint32_t>(session.id)) : tunnels_.idle(session.id);
  if (!idle || idle->count() >= gateway->idle_seconds) end_(session.id, Cause::kIdle);
}

void SessionKeeper::report(Time now) {
  if (to_report_.empty() && now >= next_report_) {
    next_report_ = now + std::min(usage_ / 4 + 1s, 60s);
    to_report_ = sessions_();
    std::unordered_map<std::uint64_t, Time> live;
    for (const Session& session : to_report_) {
      const auto known = reports_.find(session.id);
      live.emplace(session.id, known == reports_.end() ? now + usage_ : known->second);
    }
    reports_ = std::move(live);
  }
  for (std::size_t i = 0; i < kSessionsATurn && !to_report_.empty(); ++i) {
    Time& due = reports_[to_report_.back().id];
    if (now >= due) {
      recorder_.usage(to_report_.back());
      due += usage_;
    }
    to_report_.pop_back();
  }
}

}  // namespace sekisho::vpn
