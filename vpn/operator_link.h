// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/ipc/keying_daemon.h"
#include "base/ipc/seqpacket.h"

namespace sekisho::ipc {
class VpnAnswer;
class VpnQuestion;
}  // namespace sekisho::ipc

namespace sekisho::vpn {

/// What operators ask, by way of controld (control_vpn.proto, VpnReady): a connection of its own on which one question at a time
/// comes in. Never waits. One thread.
class OperatorLink {
 public:
  using Clock = std::chrono::steady_clock;
  using Answer = std::function<ipc::VpnAnswer(const ipc::VpnQuestion&)>;

  explicit OperatorLink(std::string socket_path, KeyingDaemon who = KeyingDaemon::kIkeV2) : path_(std::move(socket_path)), who_(who) {}
  /// Call it often. Questions are answered by `answer`, on this thread. True when a connection was made: whoever is there now may not
  /// have kept what was answered before.
  bool poll(Clock::time_point now, const Answer& answer);

 private:
  bool connect(Clock::time_point now);
  bool ready(std::uint64_t answered);
  bool take(IpcMessage message, const Answer& answer);

  std::string path_;
  KeyingDaemon who_;
  std::optional<IpcConnection> connection_;
  std::uint64_t correlation_ = 0;
  Clock::time_point next_{};
};

}  // namespace sekisho::vpn
