// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "control/notify/notifier.h"

namespace sekisho::control {

/// What the log's own state shows that people are told of: collectors that are away, a store that does not answer. (How full
/// its disk is: control/links/log_watch.h.) Asked about twice a minute. Thread: one.
class StoreWatch {
 public:
  static constexpr std::int64_t kTargetAwaySeconds = 15 * 60;
  static constexpr std::int64_t kStoreAwaySeconds = 30;  ///< then two questions had no answer
  /// status: of all tenants; null: nobody answered. now: Unix seconds; steady: seconds that only rise.
  std::vector<Happening> look(const ipc::LogStatus* status, const std::vector<std::string>& tenants, std::int64_t now, std::int64_t steady);

 private:
  void look_at_targets(const ipc::LogStatus& status, std::int64_t now, std::vector<Happening>& out);

  std::map<std::pair<std::string, std::string>, bool> away_;  ///< by owner and name: told
  std::int64_t answered_at_ = 0;
  bool ever_ = false;
  bool store_away_ = false;
};

}  // namespace sekisho::control
