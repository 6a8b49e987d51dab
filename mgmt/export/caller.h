// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "base/ipc/seqpacket.h"

namespace sekisho::mgmt {

/// Questions to one of our daemons over one connection, one at a time in the order they came; it is made anew after any failure.
/// Thread: that of `io`.
class Caller {
 public:
  Caller(boost::asio::io_context& io, std::string path)
      : io_(io), path_(std::move(path)), gate_(io, boost::asio::steady_timer::time_point::max()) {}

  struct Answer {
    std::string bytes;
    std::string blob;  ///< of the sealed memfd beside it; empty: none
  };
  /// Nothing: there is nobody, or no answer within ten seconds.
  boost::asio::awaitable<std::optional<Answer>> ask(std::string question);

 private:
  boost::asio::awaitable<std::optional<Answer>> exchange(const std::string& question);

  boost::asio::io_context& io_;
  std::string path_;
  boost::asio::steady_timer gate_;  ///< those who wait for their turn
  bool busy_ = false;
  std::optional<IpcConnection> connection_;
  std::optional<boost::asio::posix::stream_descriptor> readable_;
};

}  // namespace sekisho::mgmt
