// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/ipc/seqpacket.h"
#include "vpn/ocsp_desk.h"

namespace sekisho::vpn {

/// Carries an OcspDesk's questions to controld, which knows where a gateway's responder is and has them asked, and answers back. Holds a
/// connection while questions are open. Never waits. One thread.
class OcspLink {
 public:
  using Clock = std::chrono::steady_clock;
  using Complain = std::function<void(const std::string&)>;
  OcspLink(std::string socket_path, OcspDesk& desk, Complain complain)
      : path_(std::move(socket_path)), desk_(desk), complain_(std::move(complain)) {}
  /// Call it often. `unix`: seconds since 1970 UTC.
  void poll(Clock::time_point now, std::int64_t unix);

 private:
  struct Open {
    OcspDesk::Question question;
    bool sent = false;
    Clock::time_point end{};
  };
  void ask(Clock::time_point now);
  bool take(const IpcMessage& message, std::int64_t unix);
  void lose();

  std::string path_;
  OcspDesk& desk_;
  Complain complain_;
  std::optional<IpcConnection> connection_;
  std::map<std::uint64_t, Open> open_;
  std::uint64_t correlation_ = 0;
  bool waiting_ = false;
  Clock::time_point next_{}, patience_{};
};

}  // namespace sekisho::vpn
