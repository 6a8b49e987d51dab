// SPDX-License-Identifier: Apache-2.0
#include "control/api/store_watch.h"

#include <utility>

namespace sekisho::control {

std::vector<Happening> StoreWatch::look(const ipc::LogStatus* status, const std::vector<std::string>& tenants, std::int64_t now,
                                      std::int64_t steady) {
  std::vector<Happening> out;
  const auto of_store = [&](const char* state, const char* title) {
    out.push_back({.tenant = "", .event = "unit", .object = "log store", .state = state, .title = title});
    for (const std::string& tenant : tenants)
      out.push_back({.tenant = tenant, .event = "incident", .object = "log store", .state = state, .title = title});
  };
  if (status == nullptr) {
    if (ever_ && !store_away_ && steady - answered_at_ >= kStoreAwaySeconds) {
      of_store("running", "ログ保存が応答しません / the log may not be stored");
      store_away_ = true;
    }
    return out;
  }
  answered_at_ = steady;
  ever_ = true;
  if (std::exchange(store_away_, false)) of_store("done", "ログ保存が復旧しました / the log is stored again");
  look_at_targets(*status, now, out);
  return out;
}

void StoreWatch::look_at_targets(const ipc::LogStatus& status, std::int64_t now, std::vector<Happening>& out) {
  constexpr std::uint64_t kSecondNs = 1'000'000'000;
  std::map<std::pair<std::string, std::string>, bool> seen;
  for (const ipc::LogTargetStatus& target : status.targets()) {
    const auto key = std::pair(target.service_code(), target.name());
    const auto at = away_.find(key);
    bool told = at != away_.end() && at->second;
    const auto since = static_cast<std::int64_t>(target.since_ns() / kSecondNs);
    const bool away = !target.up() && since != 0 && now - since >= kTargetAwaySeconds;
    if (away && !told)
      out.push_back({.tenant = key.first, .event = "log_store", .object = key.second, .state = "away",
                     .title = "ログ転送先に 15 分以上接続できません / a collector has been away for 15 minutes"});
    if (target.up() && told)
      out.push_back({.tenant = key.first, .event = "log_store", .object = key.second, .state = "back",
                     .title = "ログ転送先への接続が復旧しました / a collector is back"});
    told = away || (told && !target.up());
    seen[key] = told;
  }
  away_ = std::move(seen);
}

}  // namespace sekisho::control
