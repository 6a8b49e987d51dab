// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/ipc/keying_daemon.h"
#include "base/proto/control_vpn.pb.h"
#include "control/links/control_server.h"

namespace sekisho::control {

/// The daemons of remote access as operators ask them, and what is kept for each (control_vpn.proto, VpnReady). They ask for questions;
/// one at a time is under way with each. A question is for all that run, and their answers are one. Once a second each is asked what it
/// has to remember, which is put into a file of its own, readable by us alone; its wrong passwords are told the others.
/// Thread: that of `io`.
class VpnLink {
 public:
  /// `error` is empty, or says why there is no answer.
  using Answer = std::function<void(const ipc::VpnAnswer& answer, const std::string& error)>;

  /// `memory_path`: of the first kind of daemon; the others' have its number behind it.
  VpnLink(boost::asio::io_context& io, std::string memory_path);
  /// A VpnReady: takes the answer it stands for, and keeps `reply` for the next question.
  void ready(const ControlRequest& request, ControlServer::Reply reply);
  /// Answered exactly once, after three seconds at the latest.
  void ask(const ipc::VpnQuestion& question, Answer answer);
  /// One of them alone.
  void ask(KeyingDaemon daemon, ipc::VpnQuestion question, Answer answer);
  /// It is there, and answered what it was asked last.
  [[nodiscard]] bool answers(std::uint32_t daemon) const { return daemon < daemons_.size() && daemons_[daemon].known; }
  /// What a daemon saved last; empty when it saved nothing, or it cannot be read.
  [[nodiscard]] ipc::VpnMemory memory(std::uint32_t daemon) const;
  /// Takes a tenant out of what daemons saved; returns how much there was.
  std::uint64_t forget(std::uint32_t tenant);

 private:
  struct Asked {
    ipc::VpnQuestion question;
    Answer answer;
    std::chrono::steady_clock::time_point until;
  };
  struct Daemon {
    std::deque<Asked> waiting;
    std::optional<Asked> asked;   ///< under way
    Fd blob;                      ///< where its answer is written
    ControlServer::Reply idle;    ///< it waits for a question
    bool known = false;           ///< it has come, and answered whatever it was asked since
    bool failing = false;         ///< the others were told of wrong passwords it counted
  };
  void ask(Daemon& daemon, ipc::VpnQuestion question, Answer answer);
  void send_next(Daemon& daemon);
  static void take_answer(Daemon& daemon);
  /// What a daemon has counted of wrong passwords, for the others.
  void share(std::size_t from, const ipc::VpnMemory& memory);
  void learn(Daemon& daemon, std::size_t from, const ipc::VpnMemory& memory);
  void tick_later();
  void tick(std::size_t number);
  [[nodiscard]] std::string path_of(std::size_t number) const;
  bool save(std::size_t number, const ipc::VpnMemory& memory) const;

  std::string memory_path_;
  boost::asio::steady_timer timer_;
  std::array<Daemon, kKeyingDaemons> daemons_;
  std::uint64_t last_number_ = 0;
};

}  // namespace sekisho::control
