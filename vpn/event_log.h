// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/ipc/seqpacket.h"

namespace sekisho::ipc {
class ToEventLog;
}

namespace sekisho::vpn {

/// The way to logd (base/proto/vpn_log.proto, event.sock). Records are sent in order and kept until logd says that each is stored;
/// what was under way when either died is sent again. While logd is away at most kRecordsMax wait; what has no room then is
/// counted, a tenant at a time, and told as soon as there is room. Any thread; one of its own sends.
class EventLog {
 public:
  static constexpr std::size_t kRecordsMax = 65536;
  static constexpr std::size_t kUnderWayMax = 256;  ///< sent and not acknowledged: what logd can tell from new ones

  explicit EventLog(std::string socket_path, std::size_t records_max = kRecordsMax);
  /// Waits at most two seconds for what is left.
  ~EventLog();
  /// Everything but the number is the caller's. `over` is called once, on some thread: the record is stored, refused, or counted as lost.
  void add(ipc::ToEventLog record, std::function<void()> over = {});
  [[nodiscard]] std::size_t waiting() const;

 private:
  struct Loss {
    std::string service_code, node;
    std::uint64_t count = 0, first_ns = 0, last_ns = 0;
  };
  struct Record {
    std::uint64_t number = 0;
    std::string bytes;
    std::function<void()> over;
  };
  void run();
  bool connect();
  bool send_some();
  void take_answers(std::chrono::milliseconds wait);
  void enqueue(ipc::ToEventLog& record, std::function<void()> over = {});
  void tell_losses();

  std::string path_;
  std::size_t records_max_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Record> queue_;  ///< the first `sent_` of it are under way
  std::size_t sent_ = 0;
  std::deque<Loss> losses_;
  std::uint64_t last_number_ = 0;
  bool stopping_ = false;
  std::optional<IpcConnection> connection_;  ///< the thread's
  std::thread thread_;
};

/// 16 bytes of a new UUIDv7.
std::string new_eid(std::uint64_t timestamp_ns);

}  // namespace sekisho::vpn
