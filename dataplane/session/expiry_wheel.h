// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/result.h"
#include "dataplane/dpdk/huge_array.h"
#include "dataplane/session/session_table.h"

namespace sekisho::dataplane {

/// Ends silent sessions. A packet only stores its time in the session; the wheel looks at a session when its slot comes
/// up and either ends it or hangs it to its new deadline, so an established packet never touches a list.
/// Limits. 16384 slots of one tick (250 ms): deadlines up to 4096 s ahead; longer ones are looked at and moved on.
/// Thread: the shard that owns it.
class ExpiryWheel {
 public:
  static Result<ExpiryWheel> create(std::uint32_t now_tick);

  /// Hangs a session to its deadline last_seen + timeout, or to its next report when that comes first.
  void add(SessionTable& table, std::uint32_t index);
  void remove(SessionTable& table, std::uint32_t index);
  /// After the timeout got shorter.
  void move(SessionTable& table, std::uint32_t index) {
    remove(table, index);
    add(table, index);
  }

  /// Looks at no more than `budget` sessions whose slots lie at or before `now`; calls `expire(index)` for each that was
  /// silent too long, which must remove() and erase it, and `report(index)` for each that lives and is due.
  template <typename Expire, typename Report>
  void advance(SessionTable& table, std::uint32_t now, unsigned budget, Expire expire, Report report) {
    while (static_cast<std::int32_t>(now - now_) > 0) {
      std::uint32_t& head = heads_[now_ & (kSlots - 1)];
      while (head != 0) {
        if (budget-- == 0) return;
        const std::uint32_t index = head - 1;
        Session& session = table.at(index);
        if (now - session.last_seen >= session.timeout) {
          expire(index);
          continue;
        }
        if (reports(session) && now - session.reported >= kReportTicks) {
          report(index);
          session.reported = now;
        }
        move(table, index);
      }
      ++now_;
    }
  }

 private:
  static constexpr std::uint32_t kSlots = 16384;
  static constexpr std::uint32_t kReportTicks = kReportSeconds * kTicksPerSecond;
  static bool reports(const Session& session) { return (session.flags & kSessionLogEnd) != 0; }

  HugeArray<std::uint32_t> heads_;  ///< session index + 1; 0 = empty
  std::uint32_t now_ = 0;           ///< slots before this one are empty
};

}  // namespace sekisho::dataplane
