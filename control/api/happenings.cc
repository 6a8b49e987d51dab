// SPDX-License-Identifier: Apache-2.0
#include "control/api/happenings.h"

#include <algorithm>
#include <array>

#include "control/access/rfc3339.h"

namespace sekisho::control {
namespace {

struct Told {
  std::string_view method;
  std::string_view event;
  std::string_view state;
  std::string_view title;
  bool failures = false;  ///< of it are told as well
};

constexpr std::array kTold{
    Told{"CommitConfig", "commit", "done", "設定が反映されました / the configuration was put in force", true},
    Told{"RollBack", "commit", "rolled_back", "以前の設定に戻されました / an older configuration was put in force", true},
    Told{"ImportConfig", "commit", "done", "設定が復元されました / an exported configuration was put in force", true},
    Told{"CommitPlatformConfig", "commit", "done", "設定が反映されました / the configuration was put in force", true},
    Told{"EndContract", "change", "ended", "契約終了が申請されました / an end of the contract was asked for"},
    Told{"WithdrawErasure", "change", "withdrawn", "契約終了が取り消されました / an end of the contract was withdrawn"},
    Told{"EraseEarly", "change", "erased_early", "早期消去が指示されました / an early erasure was asked for"},
    Told{"AddAccount", "account", "new", "アカウントが追加されました / an account was added"},
    Told{"ChangeAccount", "account", "changed", "アカウントが変更されました / an account was changed"},
    Told{"RemoveAccount", "account", "removed", "アカウントが削除されました / an account was removed"},
    Told{"ReissueAccount", "account", "reissued", "アカウントが再発行されました / an account was reissued"},
    Told{"AddStaff", "account", "new", "アカウントが追加されました / an account was added"},
    Told{"RemoveStaff", "account", "removed", "アカウントが削除されました / an account was removed"},
    Told{"AddApiKey", "account", "key_new", "API キーが追加されました / a key was added"},
    Told{"RevokeApiKey", "account", "key_revoked", "API キーが失効しました / a key was revoked"},
    Told{"AddStaffKey", "account", "key_new", "API キーが追加されました / a key was added"},
    Told{"RevokeStaffKey", "account", "key_revoked", "API キーが失効しました / a key was revoked"},
};

std::string both(const std::string& ja, const std::string& en) {
  if (ja.empty() || en.empty() || ja == en) return ja.empty() ? en : ja;
  return ja + " / " + en;
}

int step_of(double sessions, double most) {
  if (most <= 0) return 0;
  constexpr std::array<int, 3> kSteps{100, 95, 80};
  for (const int step : kSteps) {
    if (sessions * 100 >= most * step) return step;
  }
  return 0;
}

}  // namespace

std::vector<Happening> happenings_of(const Call& call, std::uint32_t status) {
  constexpr std::uint32_t kAccepted = 202;
  constexpr std::uint32_t kRefusedFrom = 400;
  std::vector<Happening> out;
  if (!call.permit.allowed) return out;  // what somebody tries at another's door is not that tenant's to hear
  if (!call.permit.consent.empty() && status < kRefusedFrom) {
    out.push_back({.tenant = call.tenant, .event = "support", .object = call.who.account, .state = "access",
                   .title = "運用者が同意に基づきアクセスしました / the provider's support used your consent"});
  }
  if (status == kAccepted) {
    out.push_back({.tenant = call.tenant, .event = "approval", .object = call.about, .state = "wanted",
                   .title = "承認待ちの変更があります / a change waits for a second person"});
    return out;
  }
  const std::string& method = call.method().name();
  const auto* told = std::find_if(kTold.begin(), kTold.end(), [&](const Told& one) { return one.method == method; });
  if (told != kTold.end() && (status < kRefusedFrom || (told->failures && status >= kRefusedFrom && status != 401 && status != 403))) {
    const bool failed = status >= kRefusedFrom;
    out.push_back({.tenant = call.tenant, .event = std::string(told->event), .object = call.about,
                   .state = failed ? "failed" : std::string(told->state),
                   .title = failed ? "設定を反映できませんでした / a configuration was not put in force" : std::string(told->title)});
  }
  return out;
}

std::vector<Happening> happenings_of(const api::Notice& notice, const InForce& now) {
  Happening one{.tenant = {},
                .event = notice.kind(),
                .object = notice.id(),
                .state = notice.state(),
                .title = both(notice.title_ja(), notice.title_en()),
                .memo = both(notice.text_ja(), notice.text_en())};
  if (!notice.from().empty() || !notice.until().empty())
    one.memo = notice.from() + " - " + notice.until() + (one.memo.empty() ? "" : " : " + one.memo);
  std::vector<Happening> out{one};
  for (int i = 0; now.model != nullptr && i < now.model->tenants_size(); ++i) {
    const std::string& code = now.model->tenants(i).service_code();
    const auto& meant = notice.tenants();
    if (!meant.empty() && std::find(meant.begin(), meant.end(), code) == meant.end()) continue;
    one.tenant = code;
    out.push_back(one);
  }
  return out;
}

std::vector<Happening> reminders_of(api::Notice notice, std::int64_t after, std::int64_t now, const InForce& in_force) {
  constexpr std::int64_t kDaySeconds = 86'400;
  const auto from = parse_rfc3339(notice.from());
  if (!from || notice.kind() != "maintenance" || (notice.state() != "planned" && notice.state() != "running")) return {};
  const bool begins = *from > after && *from <= now;
  const std::int64_t ahead = *from - kDaySeconds;
  const bool tomorrow = ahead > after && ahead <= now && *from > now && notice.changed().seconds() < ahead;
  if (!begins && !tomorrow) return {};
  notice.set_state(begins ? "begins" : "1_day");
  return happenings_of(notice, in_force);
}

std::vector<Happening> CounterWatch::look(bool counting, const std::vector<Seen>& tenants, std::int64_t now) {
  std::vector<Happening> out;
  const auto of_unit = [&](const char* state, const char* title) {
    out.push_back({.tenant = "", .event = "unit", .object = "data plane", .state = state, .title = title});
    for (const Seen& seen : tenants)
      out.push_back({.tenant = seen.tenant, .event = "incident", .object = "data plane", .state = state, .title = title});
  };
  if (counting) {
    counted_at_ = now;
    ever_ = true;
    if (away_) of_unit("done", "通信処理が復旧しました / traffic is processed again");
    away_ = false;
  } else if (ever_ && !away_ && now - counted_at_ >= kAwaySeconds) {
    of_unit("running", "通信処理が応答しません / traffic may not be processed");
    away_ = true;
  }
  if (!counting) return out;
  for (const Seen& seen : tenants) {
    Last& last = last_[seen.tenant];
    const int quota = step_of(seen.sessions, seen.sessions_max);
    if (quota > last.quota)
      out.push_back({.tenant = seen.tenant, .event = "quota", .object = "sessions", .state = std::to_string(quota) + "%",
                     .title = "セッション数が上限に近づいています / sessions are near their limit"});
    last.quota = quota;
    if (last.known && seen.log_lost > last.log_lost)
      out.push_back({.tenant = seen.tenant, .event = "log_loss", .object = "records", .state = "lost",
                     .title = "ログが失われました / log records were lost"});
    last.log_lost = seen.log_lost;
    for (const std::string& name : seen.quarantined) {
      if (std::find(last.quarantined.begin(), last.quarantined.end(), name) == last.quarantined.end())
        out.push_back({.tenant = seen.tenant, .event = "quarantine", .object = name, .state = "begin",
                       .title = "アドレス違反により隔離されました / a host was quarantined"});
    }
    for (const std::string& name : last.quarantined) {
      if (std::find(seen.quarantined.begin(), seen.quarantined.end(), name) == seen.quarantined.end())
        out.push_back({.tenant = seen.tenant, .event = "quarantine", .object = name, .state = "end",
                       .title = "隔離が解除されました / a quarantine ended"});
    }
    last.quarantined = seen.quarantined;
    last.known = true;
  }
  std::erase_if(last_, [&](const auto& entry) {
    return std::none_of(tenants.begin(), tenants.end(), [&](const Seen& seen) { return seen.tenant == entry.first; });
  });
  return out;
}

std::vector<Happening> ShutOutWatch::look(std::map<std::string, std::set<std::string>> shut_out) {
  std::vector<Happening> out;
  for (const auto& [tenant, users] : shut_out) {
    for (const std::string& user : users) {
      if (last_[tenant].contains(user)) continue;
      out.push_back({.tenant = tenant, .event = "user_lock", .object = user, .state = "locked",
                     .title = "リモートアクセス利用者がロックされました / a remote user was shut out"});
    }
  }
  last_ = std::move(shut_out);
  return out;
}

}  // namespace sekisho::control
