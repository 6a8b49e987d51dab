// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ipc/keying_daemon.h"
#include "base/ipc/seqpacket.h"
#include "base/proto/control_mgmt.pb.h"

namespace sekisho::control {

/// What one client asks, with what came along.
struct ControlRequest {
  ipc::ToControl message;
  std::vector<Fd> fds;
  uid_t uid = 0;
};

/// An answer and at most one descriptor.
struct ControlAnswer {
  ipc::FromControl message;
  Fd fd;
};

/// Who may connect besides root, by uid.
struct Admission {
  std::vector<uid_t> everything;  ///< may ask anything
  std::vector<uid_t> names;       ///< may ask for names only: logd, which never changes a configuration
  std::vector<uid_t> mgmt = {};   ///< may call the API for people who are signed in, send messages, and nothing else: mgmtd
  /// May ask for the configuration of remote access, and for operators' questions, as this daemon.
  std::vector<std::pair<uid_t, KeyingDaemon>> vpn = {};
  std::vector<uid_t> exports = {};  ///< may ask where records go, and nothing else: exportd
};

/// control.sock: admits peers by uid, reads one request at a time from each, writes one answer. A client that sends what
/// cannot be read, or does not take its answer, is closed. At most kClientsMax at once.
/// Thread: that of `io`.
class ControlServer {
 public:
  using Reply = std::function<void(ControlAnswer)>;
  /// Calls the reply exactly once, at once or later.
  using Handler = std::function<void(ControlRequest, Reply)>;
  static constexpr std::size_t kClientsMax = 64;

  ControlServer(boost::asio::io_context& io, Admission admission, Handler handler);
  Result<void> listen(const std::string& path);
  void stop();

 private:
  struct Client {
    Client(boost::asio::io_context& io, IpcConnection c, uid_t u, std::vector<ipc::ToControl::BodyCase> q, std::uint32_t d)
        : connection(std::move(c)), readable(io), uid(u), questions(std::move(q)), daemons(d) {}
    IpcConnection connection;
    boost::asio::posix::stream_descriptor readable;
    uid_t uid;
    std::vector<ipc::ToControl::BodyCase> questions;  ///< it may ask; empty: all
    std::uint32_t daemons;  ///< it may say it is, a bit each (bit_of)
  };
  void wait_accept();
  void accept_all();
  void admit(IpcConnection connection);
  void wait_request(std::uint64_t client);
  void read_request(std::uint64_t client);
  void answer(std::uint64_t client, std::uint64_t correlation, ControlAnswer answer);

  boost::asio::io_context& io_;
  Admission admission_;
  Handler handler_;
  std::optional<IpcListener> listener_;
  boost::asio::posix::stream_descriptor acceptable_;
  boost::asio::steady_timer pause_;
  std::map<std::uint64_t, std::unique_ptr<Client>> clients_;
  std::uint64_t last_client_ = 0;
};

}  // namespace sekisho::control
