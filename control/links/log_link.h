// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <string>

#include "base/os/fd.h"
#include "base/proto/control_log.pb.h"

namespace sekisho::control {

/// Asks logd (export.sock) for a stream of records on behalf of a reader. One connection a question; answered within two
/// seconds, with logd's pipe or a reason. Calls `done` exactly once, on the thread of `io`.
void open_log_stream(boost::asio::io_context& io, const std::string& path, const ipc::OpenLogStream& request,
                     std::function<void(ipc::LogStream, Fd)> done);

}  // namespace sekisho::control
