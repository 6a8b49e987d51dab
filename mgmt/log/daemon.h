// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/result.h"

namespace sekisho::mgmt {

struct LogdOptions {
  std::string run_dir = "/run/sekisho";
  std::string state_dir = "/var/lib/sekisho";
  std::set<unsigned> allowed_uids;  ///< may open export.sock, besides root and logd itself
  unsigned days_kept = 91;          ///< records of so many civil days, today among them
  std::set<unsigned> event_uids;    ///< daemons of remote access: may send records to event.sock, besides those
  std::set<unsigned> control_uids;  ///< controld: may, too, and other security events than they
  std::set<unsigned> exporter_uids; ///< may read for collectors, and nothing else
};

/// logd: rings -> names -> numbered records -> store -> readers, on one loop.
/// run() returns after SIGTERM or SIGINT, with the rings drained and everything synced; the value is the exit status.
class LogDaemon {
 public:
  static Result<std::unique_ptr<LogDaemon>> create(const LogdOptions& options);
  virtual ~LogDaemon() = default;
  virtual int run() = 0;
};

}  // namespace sekisho::mgmt
