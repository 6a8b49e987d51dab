// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mgmt/log/entry.h"

namespace sekisho::mgmt {

/// Who reports a code. Daemons do through event.sock, and each only its own.
enum class EventSender : std::uint8_t { kDataplane, kKeying, kControl };

/// What a security event code means to people: category, syslog severity and one fixed sentence (never packet bytes).
struct EventInfo {
  std::string_view code;
  SecCategory category;
  std::uint8_t severity;
  std::string_view sentence;
  EventSender sender = EventSender::kDataplane;
  SecAction action = SecAction::kDropped;  ///< of those a daemon sends

  constexpr EventInfo(std::string_view its_code, SecCategory of, std::uint8_t weight, std::string_view words,
                      EventSender from = EventSender::kDataplane, SecAction what = SecAction::kDropped)
      : code(its_code), category(of), severity(weight), sentence(words), sender(from), action(what) {}
};

/// The table's row for `code`; nullptr when nobody reports such a code.
const EventInfo* find_event(std::string_view code);

/// What a notice that is no packet's is called: its code ("" for kNoticeNone and beyond), and the quota it is about, if any.
struct NoticeInfo {
  std::string_view code;
  std::string_view quota;
};
NoticeInfo notice_info(LogNotice notice);

}  // namespace sekisho::mgmt
