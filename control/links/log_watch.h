// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <optional>
#include <string>

#include "base/proto/control_log.pb.h"
#include "control/api/call.h"
#include "control/config/store.h"

namespace sekisho::control {

/// What controld has to know of logd, and logd of controld: asks every two seconds how full the log's disk is, and
/// whether logd has the list of collectors in force, which is given anew when it has another one. Each change of the
/// disk's level is told once, over restarts of either: what was told is in the store. Thread: that of `io`.
class LogWatch {
 public:
  struct Environment {
    std::function<InForce()> in_force;
    /// The level is another one than `before`.
    std::function<void(const ipc::LogWatched& now, const std::string& before)> tell;
  };
  LogWatch(boost::asio::io_context& io, Store& store, std::string export_socket, Environment environment);
  void start();
  void stop() {
    stopped_ = true;
    timer_.cancel();
  }
  /// The disk's last level: nothing of less weight than audit and remote access fits any more. Until logd has said it, what it said to
  /// a controld before still holds.
  [[nodiscard]] bool full() const { return full_; }
  /// Its last answer; nothing while it gives none.
  [[nodiscard]] const std::optional<ipc::LogWatched>& last() const { return last_; }

 private:
  bool recall();
  void look_later();
  void look();
  void take(const ipc::LogWatched& now);
  void send(ipc::SetLogExports list, int next);

  boost::asio::io_context& io_;
  Store& store_;
  std::string socket_;
  Environment environment_;
  boost::asio::steady_timer timer_;
  std::optional<std::string> told_;
  std::optional<ipc::LogWatched> last_;
  std::uint32_t sent_ = 0;  ///< the generation that this process has given
  bool full_ = false, stopped_ = false;
};

/// How bad a level is, from 0 (none) up; of a word that is none the worst.
std::size_t weight_of_pressure(const std::string& level);

}  // namespace sekisho::control
