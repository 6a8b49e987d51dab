// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>
#include <vector>

#include "control/config/commit.h"
#include "control/links/control_server.h"
#include "control/links/control_service.h"
#include "control/links/dataplane_link.h"

namespace sekisho::control {

/// Everything controld is made of. One thread: whoever runs io().
class Daemon {
 public:
  struct Options {
    std::string run_dir;    ///< control.sock is made here; dataplane.sock and export.sock are looked for here
    std::string state_dir;  ///< config.db, snapshot.bin, vpn-memory.bin
    Admission admission;    ///< to control.sock
    DataplaneLink::Deadlines deadlines;
  };
  Daemon(Options options, Store store, Ids ids, std::function<void(const std::string&)> complain);

  /// Listens, and begins to look for the data plane.
  Result<void> start();
  /// Call on the thread of io(); io().run() then returns.
  void stop();
  boost::asio::io_context& io() { return io_; }

 private:
  void tick_later();

  Options options_;
  boost::asio::io_context io_{1};
  Store store_;
  Ids ids_;
  DataplaneLink dataplane_;
  Committer committer_;
  ControlService service_;
  ControlServer server_;
  boost::asio::steady_timer tick_timer_;
};

}  // namespace sekisho::control
