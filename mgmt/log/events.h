// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mgmt/log/entry.h"

namespace sekisho::mgmt {

/// What a security event code means to people: category, syslog severity and one fixed sentence (never packet bytes).
struct EventInfo {
  std::string_view code;
  SecCategory category;
  std::uint8_t severity;
  std::string_view sentence;
};

/// What a keying daemon reports.
inline constexpr std::string_view kBackendForged = "AUTH_BACKEND_FORGED";

/// The table's row for `code`; nullptr when it is not a code the data plane can report.
const EventInfo* find_event(std::string_view code);

/// What a notice that is no packet's is called: its code ("" for kNoticeNone and beyond), and the quota it is about, if any.
struct NoticeInfo {
  std::string_view code;
  std::string_view quota;
};
NoticeInfo notice_info(LogNotice notice);

}  // namespace sekisho::mgmt
