// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "control/notify/notifier.h"

namespace sekisho::control {

/// Records that people are told of (specification 3.13): floods, of sec records, and devices that wait for approval, of devauth
/// records. logd's state says which streams have grown; those alone are searched, up to the record that was the newest then. What
/// was there when this began is no news. Thread: one.
class RecordWatch {
 public:
  /// A flood's records come once a minute while it lasts (docs/logs.md): so long without one, and it is over.
  static constexpr std::int64_t kCalmSeconds = 180;
  static constexpr std::int64_t kSameDeviceSeconds = 86'400;  ///< a client that tries all day is one request
  static constexpr std::size_t kDevicesMax = 10'000;          ///< that were told; beyond, they are told again

  static constexpr std::int64_t kNewsSeconds = 600;           ///< what is older is no news, wherever it stands
  /// What to ask logd now, of these tenants. now: Unix seconds.
  std::vector<ipc::SearchLog> look(const ipc::LogStatus& status, const std::vector<std::string>& tenants, std::int64_t now);
  /// What the records say that a question found, JSON lines, newest first. steady: seconds that only rise.
  std::vector<Happening> take(const ipc::SearchLog& question, const std::vector<std::string>& records, std::int64_t steady);
  /// Floods that are over.
  std::vector<Happening> calm(std::int64_t steady);
  void forget(const std::string& tenant);

 private:
  bool looked_ = false;
  using Of = std::pair<std::string, std::string>;  ///< a tenant and: a type of records, a code, a device
  std::map<Of, std::uint64_t> newest_;             ///< number of the last record that was looked at
  std::map<Of, std::int64_t> floods_;              ///< by code: when its last record was seen
  std::map<Of, std::int64_t> devices_;             ///< when each was told
};

}  // namespace sekisho::control
