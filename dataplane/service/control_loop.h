// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "dataplane/service/config_service.h"
#include "dataplane/service/tunnel_service.h"

namespace sekisho::dataplane {

/// The control thread of dataplaned: three local sockets, a signal descriptor and a clock tick, by poll(2).
/// A peer that sends nonsense, or is not allowed by its uid, is closed; nobody else notices. Who may read log rings may
/// not for that configure: each socket has its own list.
class ControlLoop {
 public:
  struct Options {
    std::string run_dir;
    std::vector<uid_t> control_uids;  ///< may connect to dataplane.sock, besides root
    std::vector<uid_t> log_uids;      ///< may connect to rings.sock, besides root
    std::vector<std::pair<uid_t, KeyingDaemon>> tunnel_uids;  ///< who may be which daemon on tunnel.sock; root may be each
  };
  static Result<std::unique_ptr<ControlLoop>> create(Engine& engine, const Options& options);
  /// Serves until SIGTERM or SIGINT (which must be blocked in every thread before).
  Result<void> run();

 private:
  ControlLoop(Engine& engine, Options options, IpcListener config, IpcListener rings, IpcListener tunnels, Fd signals);
  void accept_config();
  void accept_rings();
  void accept_tunnels();
  void serve(std::size_t peer);

  Engine& engine_;
  Options options_;
  ConfigService service_;
  TunnelService tunnel_service_;
  IpcListener config_;
  IpcListener rings_;
  IpcListener tunnels_;
  Fd signals_;
  std::vector<IpcConnection> peers_;    ///< of dataplane.sock: they ask and are answered
  std::vector<IpcConnection> readers_;  ///< of rings.sock: kept open so that they see this process end; they ask nothing
};

}  // namespace sekisho::dataplane
