// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

/// What people are told of (specification 3.13).
namespace sekisho::control {

struct EventKind {
  std::string_view name;
  bool always;  ///< whoever manages a tenant's accounts is told by mail, whatever its targets say
  bool first;   ///< the same while the tenant has no target at all
  std::string_view ja;
  std::string_view en;
};

inline constexpr std::array kEventKinds{
    EventKind{"maintenance", true, true, "メンテナンス", "maintenance"},
    EventKind{"change", true, true, "サービス変更", "service change"},
    EventKind{"incident", true, true, "障害", "incident"},
    EventKind{"commit", false, false, "設定反映", "configuration"},
    EventKind{"approval", false, false, "承認依頼", "approval wanted"},
    EventKind{"account", false, true, "アカウント", "accounts"},
    EventKind{"support", true, true, "運用者によるアクセス", "the provider looks at the tenant"},
    EventKind{"quarantine", false, true, "隔離", "quarantine"},
    EventKind{"quota", false, true, "上限", "quota"},
    EventKind{"expiry", false, true, "期限", "an end that comes near"},
    EventKind{"log_loss", false, true, "ログ欠落", "log records lost"},
    EventKind{"log_store", false, true, "ログ保存", "the log's store and collectors"},
    EventKind{"user_lock", false, true, "利用者ロック", "remote users shut out"},
    EventKind{"unit", false, false, "装置", "unit"},
    EventKind{"clock", false, false, "時刻", "clock"},
    EventKind{"test", false, false, "テスト", "test"},
};

/// The kind of that name; null: there is none.
[[nodiscard]] constexpr const EventKind* event_kind(std::string_view name) {
  const auto* at = std::find_if(kEventKinds.begin(), kEventKinds.end(),
                                [name](const EventKind& kind) { return kind.name == name; });
  return at == kEventKinds.end() ? nullptr : at;
}

}  // namespace sekisho::control
