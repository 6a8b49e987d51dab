// SPDX-License-Identifier: Apache-2.0
#include "dataplane/session/expiry_wheel.h"

#include <algorithm>

namespace sekisho::dataplane {

Result<ExpiryWheel> ExpiryWheel::create(std::uint32_t now_tick) {
  ExpiryWheel wheel;
  wheel.heads_ = HugeArray<std::uint32_t>("expiry-wheel", kSlots);
  if (!wheel.heads_.valid()) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, kSlots};
  wheel.now_ = now_tick;
  return wheel;
}

void ExpiryWheel::add(SessionTable& table, std::uint32_t index) {
  Session& session = table.at(index);
  // One slot after the deadline, never the slot being emptied, never a full turn ahead.
  std::uint32_t deadline = session.last_seen + session.timeout + 1;
  const std::uint32_t report = session.reported + kReportTicks;
  if (reports(session) && static_cast<std::int32_t>(report - deadline) < 0) deadline = report;
  const std::uint32_t ahead = std::clamp<std::uint32_t>(deadline - now_, 1, kSlots - 1);
  const std::uint32_t slot = static_cast<std::int32_t>(deadline - now_) <= 0 ? now_ + 1 : now_ + ahead;
  session.wheel_slot = static_cast<std::uint16_t>(slot & (kSlots - 1));
  std::uint32_t& head = heads_[session.wheel_slot];
  session.wheel_previous = 0;
  session.wheel_next = head;
  if (head != 0) table.at(head - 1).wheel_previous = index + 1;
  head = index + 1;
}

void ExpiryWheel::remove(SessionTable& table, std::uint32_t index) {
  Session& session = table.at(index);
  if (session.wheel_previous != 0) {
    table.at(session.wheel_previous - 1).wheel_next = session.wheel_next;
  } else {
    heads_[session.wheel_slot] = session.wheel_next;
  }
  if (session.wheel_next != 0) table.at(session.wheel_next - 1).wheel_previous = session.wheel_previous;
}

}  // namespace sekisho::dataplane
