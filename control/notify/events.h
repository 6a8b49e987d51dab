// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "base/proto/api.pb.h"

/// What people are told of (specification 3.13).
namespace sekisho::control {

struct EventKind {
  std::string_view name;
  bool always;        ///< whoever may do `whose` for a tenant is told by mail, whatever its targets say
  bool first;         ///< the same while the tenant has no target at all
  api::Action whose;  ///< whom of its people it concerns
  std::string_view ja;
  std::string_view en;
};

inline constexpr std::array kEventKinds{
    EventKind{"maintenance", true, true, api::ACCOUNTS_MANAGE, "メンテナンス", "maintenance"},
    EventKind{"change", true, true, api::ACCOUNTS_MANAGE, "サービス変更", "service change"},
    EventKind{"incident", true, true, api::ACCOUNTS_MANAGE, "障害", "incident"},
    EventKind{"commit", false, false, api::ACCOUNTS_MANAGE, "設定反映", "configuration"},
    EventKind{"approval", false, false, api::ACCOUNTS_MANAGE, "承認依頼", "approval wanted"},
    EventKind{"account", false, true, api::ACCOUNTS_MANAGE, "アカウント", "accounts"},
    EventKind{"support", true, true, api::ACCOUNTS_MANAGE, "運用者によるアクセス", "the provider looks at the tenant"},
    EventKind{"quarantine", false, true, api::ACCOUNTS_MANAGE, "隔離", "quarantine"},
    EventKind{"quota", false, true, api::ACCESS_EDIT, "上限", "quota"},
    EventKind{"expiry", false, true, api::USERS_EDIT, "期限", "an end that comes near"},
    EventKind{"log_loss", false, true, api::ACCESS_EDIT, "ログ欠落", "log records lost"},
    EventKind{"log_store", false, true, api::ACCESS_EDIT, "ログ保存", "the log's store and collectors"},
    EventKind{"user_lock", false, true, api::USERS_EDIT, "利用者ロック", "remote users shut out"},
    EventKind{"device_request", false, true, api::USERS_EDIT, "端末の承認依頼", "a device waits for approval"},
    EventKind{"gateway", false, true, api::ACCOUNTS_MANAGE, "リモートアクセスゲートウェイ", "gateway of remote access"},
    EventKind{"dos", false, true, api::ACCOUNTS_MANAGE, "DoS 検知", "flood"},
    EventKind{"unit", false, false, api::ACCOUNTS_MANAGE, "装置", "unit"},
    EventKind{"clock", false, false, api::ACCOUNTS_MANAGE, "時刻", "clock"},
    EventKind{"test", false, false, api::ACCOUNTS_MANAGE, "テスト", "test"},
};

/// The kind of that name; null: there is none.
[[nodiscard]] constexpr const EventKind* event_kind(std::string_view name) {
  const auto* at = std::find_if(kEventKinds.begin(), kEventKinds.end(),
                                [name](const EventKind& kind) { return kind.name == name; });
  return at == kEventKinds.end() ? nullptr : at;
}

}  // namespace sekisho::control
