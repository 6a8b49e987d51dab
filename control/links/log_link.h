// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>

#include "base/os/fd.h"
#include "base/proto/control_log.pb.h"

namespace sekisho::control {

/// What logd said; `refusal`: why it said nothing.
struct LogAnswer {
  ipc::FromLog message;
  Fd fd;
  std::string refusal;
};

/// Asks logd (export.sock) on behalf of an authorised reader. One connection a question; answered within two seconds (a search
/// within forty, verification and erasure within ten minutes). Calls `done` exactly once, on the thread of `io`.
void ask_log(boost::asio::io_context& io, const std::string& path, const ipc::ToLog& question, std::function<void(LogAnswer)> done);

}  // namespace sekisho::control
