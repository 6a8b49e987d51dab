// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/proto/control_vpn.pb.h"
#include "control/links/control_server.h"

namespace sekisho::control {

/// The keying daemon as operators ask it, and what is kept for it (control_vpn.proto, VpnReady). It asks for questions; one at a time
/// is under way. Once a second it is asked what it has to remember, which is put into `memory_path`, readable by us alone.
/// Thread: that of `io`.
class VpnLink {
 public:
  /// `error` is empty, or says why there is no answer.
  using Answer = std::function<void(const ipc::VpnAnswer& answer, const std::string& error)>;

  VpnLink(boost::asio::io_context& io, std::string memory_path);
  /// A VpnReady: takes the answer it stands for, and keeps `reply` for the next question.
  void ready(const ControlRequest& request, ControlServer::Reply reply);
  /// Answered exactly once, after three seconds at the latest.
  void ask(ipc::VpnQuestion question, Answer answer);
  /// What was saved last; empty when nothing was, or it cannot be read.
  [[nodiscard]] ipc::VpnMemory memory() const;

 private:
  struct Asked {
    ipc::VpnQuestion question;
    Answer answer;
    std::chrono::steady_clock::time_point until;
  };
  void send_next();
  void take_answer();
  void tick_later();
  void tick();
  bool save(const ipc::VpnMemory& memory) const;

  std::string memory_path_;
  boost::asio::steady_timer timer_;
  std::deque<Asked> waiting_;
  std::optional<Asked> asked_;       ///< under way
  Fd blob_;                          ///< where its answer is written
  ControlServer::Reply idle_;        ///< of the daemon that waits for a question
  std::uint64_t last_number_ = 0;
};

}  // namespace sekisho::control
