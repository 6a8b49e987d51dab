// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/proto/api.pb.h"
#include "control/api/call.h"
#include "control/notify/notifier.h"

namespace sekisho::control {

/// What people are told of a call that was answered with `status`: nothing of most.
std::vector<Happening> happenings_of(const Call& call, std::uint32_t status);
/// What is told of a notice, to whom it concerns.
std::vector<Happening> happenings_of(const api::Notice& notice, const InForce& now);
/// Of maintenance that was announced: again a day ahead, and when it is to begin, as far as that was after `after` and is not after `now`
/// (Unix seconds).
std::vector<Happening> reminders_of(api::Notice notice, std::int64_t after, std::int64_t now, const InForce& in_force);

/// What counters show that people are told of: quarantines, a tenant near its limit of sessions, lost records, a data
/// plane that does not answer. Asked every few seconds. Thread: one.
class CounterWatch {
 public:
  static constexpr std::int64_t kAwaySeconds = 15;  ///< without an answer, then it is an incident
  struct Seen {
    std::string tenant;
    double sessions = 0;
    double sessions_max = 0;
    double log_lost = 0;
    std::vector<std::string> quarantined;  ///< names of Bindings
  };
  /// now: seconds that only rise.
  std::vector<Happening> look(bool counting, const std::vector<Seen>& tenants, std::int64_t now);

 private:
  struct Last {
    int quota = 0;  ///< of sessions: 0, 80, 95, 100 per cent
    double log_lost = 0;
    std::vector<std::string> quarantined;
    bool known = false;
  };
  std::map<std::string, Last> last_;
  std::int64_t counted_at_ = 0;
  bool ever_ = false;  ///< it has answered since this daemon started
  bool away_ = false;
};

/// Remote users who were shut out since it looked last. Thread: one.
class ShutOutWatch {
 public:
  /// shut_out: now, by tenant.
  std::vector<Happening> look(std::map<std::string, std::set<std::string>> shut_out);
  void forget(const std::string& tenant) { last_.erase(tenant); }

 private:
  std::map<std::string, std::set<std::string>> last_;
};

}  // namespace sekisho::control
