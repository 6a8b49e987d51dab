// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/proto/control_mgmt.pb.h"

namespace sekisho::mgmt {

/// Calls to controld over control.sock: one call a connection at a time, a few connections, kept while they are good.
/// Thread: that of `io`.
class ControlPool {
 public:
  static constexpr std::size_t kConnectionsMax = 32;

  ControlPool(boost::asio::io_context& io, std::string path) : io_(io), path_(std::move(path)) {}

  struct Answer {
    ipc::ApiAnswer body;
    Fd fd;  ///< a pipe, when the body says so
  };
  /// `body` is the method's request; large ones travel as a sealed memfd, as large answers do (unpacked here). Nothing:
  /// controld does not answer, or not within two minutes (a commit compiles and builds).
  boost::asio::awaitable<std::optional<Answer>> call(ipc::ApiCall call, std::string body);
  /// Any other question, small as its answer. Nothing: as with call().
  boost::asio::awaitable<std::optional<ipc::FromControl>> ask(ipc::ToControl question);

 private:
  struct Connection {
    Connection(boost::asio::io_context& io, IpcConnection given) : ipc(std::move(given)), readable(io) {}
    IpcConnection ipc;
    boost::asio::posix::stream_descriptor readable;
  };
  struct Received {
    ipc::FromControl message;
    std::vector<Fd> fds;
  };
  std::unique_ptr<Connection> connect();
  boost::asio::awaitable<std::optional<Received>> send(const ipc::ToControl& message, const Fd& blob);
  boost::asio::awaitable<std::optional<Received>> exchange(Connection& connection);

  boost::asio::io_context& io_;
  std::string path_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t open_ = 0;
};

}  // namespace sekisho::mgmt
