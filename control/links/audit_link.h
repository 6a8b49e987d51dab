// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/os/fd.h"
#include "base/proto/model.pb.h"
#include "base/proto/vpn_log.pb.h"

namespace sekisho::control {

/// What was done, on its way to logd (event.sock). A record is on the disk before its operation is answered, and is
/// taken from there when logd says that it is stored; one that was under way when either died is sent again and known
/// by its eid. Thread: that of `io`.
class AuditLink {
 public:
  static constexpr std::size_t kUnderWayMax = 256;

  AuditLink(boost::asio::io_context& io, std::string socket, std::string file);
  /// Reads what was left, and begins to look for logd.
  void start();
  void stop();
  /// Time, eid, request id and number are filled in.
  void add(ipc::ToEventLog record);
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

 private:
  void save(const ipc::ToEventLog& record);
  void read_left();
  void pump();
  void listen();
  bool take_answers();
  void drop_connection();

  struct Watched {
    IpcConnection connection;
    boost::asio::posix::stream_descriptor watch;
  };
  boost::asio::io_context& io_;
  std::string socket_, file_;
  Fd fd_;
  std::deque<ipc::ToEventLog> queue_;  ///< the first `sent_` of it are under way
  std::size_t sent_ = 0;
  std::uint64_t last_number_ = 0;
  std::shared_ptr<Watched> peer_;
  boost::asio::steady_timer retry_;
  bool stopped_ = false;
};

/// Service codes of the tenants whose part differs between two documents.
std::vector<std::string> changed_tenants(const model::Configuration& before, const model::Configuration& after);

}  // namespace sekisho::control
