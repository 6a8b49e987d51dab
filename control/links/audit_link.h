// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ipc/seqpacket.h"
#include "base/os/fd.h"
#include "base/proto/model.pb.h"
#include "base/proto/vpn_log.pb.h"

namespace sekisho::control {

/// What was done, on its way to logd (event.sock). An act is on the disk before it begins (begin), and what came of it
/// before it is answered (finish); nobody acts where that cannot be written, or where too much waits for logd. A record is
/// taken from the disk when logd says that it is stored; one that was under way when either died is sent again and known
/// by its eid, an act that controld did not live to finish says so. Thread: that of `io`.
class AuditLink {
 public:
  static constexpr std::size_t kUnderWayMax = 256;
  static constexpr std::size_t kWaitingMax = 20'000;
  static constexpr std::uint64_t kFileBytesMax = 64U << 20;
  static constexpr std::uint64_t kRewriteBytes = 8U << 20;

  AuditLink(boost::asio::io_context& io, std::string socket, std::string file);
  /// Reads what was left, and begins to look for logd.
  void start();
  void stop();
  /// Whether one more act may begin.
  [[nodiscard]] bool takes() const;
  /// An act that is about to be done: time, eid, request id and number are filled in. Nothing: it cannot be written.
  std::optional<std::uint64_t> begin(ipc::ToEventLog record);
  /// What came of it; `outcome` sets at least its result. Only then it is sent.
  void finish(std::uint64_t number, const std::function<void(ipc::AuditRecord& record)>& outcome);
  /// It was nothing to write down after all.
  void drop(std::uint64_t number);
  /// Both in one; false: it could not be written, and is sent all the same.
  bool add(ipc::ToEventLog record);
  /// Takes away what waits of a tenant; returns how many.
  std::uint64_t forget(const std::string& service_code);
  /// Calls `then` when all that waits now is stored, or after two seconds.
  void when_stored(std::function<void()> then);
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

 private:
  void prepare(ipc::ToEventLog& record);
  bool save(const ipc::ToEventLog& record);
  void rewrite();
  void tell_waiters();
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
  std::map<std::uint64_t, ipc::ToEventLog> open_;  ///< begun
  std::uint64_t file_bytes_ = 0;
  std::uint64_t last_number_ = 0;
  struct Waiter {
    std::uint64_t number;  ///< all up to this one
    std::function<void()> then;
    std::shared_ptr<boost::asio::steady_timer> timer;
  };
  std::deque<Waiter> waiters_;
  std::shared_ptr<Watched> peer_;
  boost::asio::steady_timer retry_;
  bool stopped_ = false;
};

/// What a file of AuditLink's holds, in the order it began, each act once and as it ended, up to what a crash tore; one without an end says
/// so. Any bytes.
std::deque<ipc::ToEventLog> read_acts(std::istream& file);

/// Service codes of the tenants whose part differs between two documents.
std::vector<std::string> changed_tenants(const model::Configuration& before, const model::Configuration& after);

}  // namespace sekisho::control
