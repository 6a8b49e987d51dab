// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/ipc/keying_daemon.h"
#include "base/ipc/seqpacket.h"
#include "vpn/plan.h"

namespace sekisho::vpn {

/// Follows controld: asks once a second for a Plan newer than the last one. Never waits. One thread.
class PlanClient {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kPlanBytesMax = 256U << 20;

  explicit PlanClient(std::string socket_path, KeyingDaemon who = KeyingDaemon::kIkeV2) : path_(std::move(socket_path)), who_(who) {}
  /// Call it often. A newer Plan, when one has come.
  std::shared_ptr<const Plan> poll(Clock::time_point now);
  /// What controld said last of the log's disk: it is full.
  [[nodiscard]] bool log_full() const { return log_full_; }

 private:
  void ask();
  Result<std::shared_ptr<const Plan>> take(IpcMessage message);

  std::string path_;
  KeyingDaemon who_;
  std::optional<IpcConnection> connection_;
  std::uint64_t correlation_ = 0;
  std::uint32_t known_ = 0;
  bool waiting_ = false;
  bool complained_ = false;
  bool log_full_ = false;
  Clock::time_point next_{}, patience_{};
};

}  // namespace sekisho::vpn
