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
  std::string_view ja;
  std::string_view en;
};

inline constexpr std::array kEventKinds{
    EventKind{"maintenance", true, "メンテナンス", "maintenance"},
    EventKind{"change", true, "サービス変更", "service change"},
    EventKind{"incident", true, "障害", "incident"},
    EventKind{"commit", false, "設定反映", "configuration"},
    EventKind{"approval", false, "承認依頼", "approval wanted"},
    EventKind{"account", false, "アカウント", "accounts"},
    EventKind{"support", true, "運用者によるアクセス", "the provider looks at the tenant"},
    EventKind{"quarantine", false, "隔離", "quarantine"},
    EventKind{"quota", false, "上限", "quota"},
    EventKind{"log_loss", false, "ログ欠落", "log records lost"},
    EventKind{"unit", false, "装置", "unit"},
    EventKind{"clock", false, "時刻", "clock"},
    EventKind{"test", false, "テスト", "test"},
};

/// The kind of that name; null: there is none.
[[nodiscard]] constexpr const EventKind* event_kind(std::string_view name) {
  const auto* at = std::find_if(kEventKinds.begin(), kEventKinds.end(),
                                [name](const EventKind& kind) { return kind.name == name; });
  return at == kEventKinds.end() ? nullptr : at;
}

}  // namespace sekisho::control
