// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/ipc/seqpacket.h"
#include "base/proto/control_dataplane.pb.h"
#include "control/config/commit.h"

namespace sekisho::control {

/// The connection to dataplane.sock: made again and again until it stands, closed on the first surprise. Each request has a
/// deadline; one that passes closes the connection, since answers after it cannot be trusted to be in step.
/// Runs on the thread of `io`; must outlive it no longer than the callbacks' owners.
class DataplaneLink final : public SnapshotSink {
 public:
  /// An answer, and for bulk answers the serialized message that came in the memfd. `error` is set instead when there is none.
  struct Reply {
    ipc::FromDataplane message;
    std::string bulk;
    std::string error;
  };
  using OnReply = std::function<void(const Reply&)>;
  struct Deadlines {
    std::chrono::milliseconds greet = std::chrono::seconds(5);
    std::chrono::milliseconds apply = std::chrono::seconds(60);  ///< classifiers for 200,000 rules take seconds
    std::chrono::milliseconds retry = std::chrono::milliseconds(250);
  };

  /// `on_connected(generation, moment)` is called when a data plane has said what is in force.
  DataplaneLink(boost::asio::io_context& io, std::string path, std::function<void(std::uint32_t, std::int64_t)> on_connected,
                std::function<void(const std::string&)> complain, Deadlines deadlines);
  ~DataplaneLink() override;

  void start();
  void stop();

  [[nodiscard]] bool connected() const override { return ready_; }
  void apply(std::uint32_t generation, std::span<const std::uint8_t> snapshot, Done done) override;
  /// Sends `request` (its correlation is filled in), with `fds`, and calls `on_reply` exactly once, never before returning.
  void ask(ipc::ToDataplane request, std::chrono::milliseconds deadline, OnReply on_reply, std::span<const Fd> fds = {});

 private:
  struct Waiting {
    OnReply on_reply;
    std::chrono::steady_clock::time_point deadline;
  };
  void connect();
  void retry_later();
  void wait_readable();
  void read_all();
  void take(IpcMessage message);
  void greet();
  void close(const std::string& reason);
  void send(ipc::ToDataplane request, std::span<const Fd> fds, std::chrono::milliseconds deadline, OnReply on_reply);
  void arm_deadline();
  void fail_later(OnReply on_reply, std::string error);

  boost::asio::io_context& io_;
  std::string path_;
  std::function<void(std::uint32_t, std::int64_t)> on_connected_;
  std::function<void(const std::string&)> complain_;
  Deadlines deadlines_;
  std::optional<IpcConnection> connection_;
  boost::asio::posix::stream_descriptor readable_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer deadline_timer_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t last_correlation_ = 0;
  std::uint64_t connection_number_ = 0;  ///< tells callbacks of an earlier connection from those of this one
  bool ready_ = false;
  bool stopped_ = false;
  bool said_absent_ = false;
};

}  // namespace sekisho::control
