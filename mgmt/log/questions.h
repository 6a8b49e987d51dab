// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/os/fd.h"
#include "base/proto/control_log.pb.h"
#include "mgmt/log/vault/download.h"
#include "mgmt/log/vault/erasure.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// Answers what is asked of the history, but for streams: searches and verification on threads of their own, over
/// views, so that the rings never wait for a reader. `done` is called once, on the loop's thread, perhaps before ask()
/// returns. Thread: the loop's.
class Questions {
 public:
  static constexpr std::size_t kRunningMax = 32;    ///< searches and verifications that run or wait
  static constexpr std::size_t kRunningOfOne = 3;  ///< of one tenant: fewer than threads
  static constexpr std::size_t kDownloadsMax = 8;
  static constexpr std::size_t kDownloadsOfOne = 3;  ///< of one tenant

  using Done = std::function<void(ipc::FromLog, Fd)>;
  using Clock = std::function<Timestamp()>;
  using Record = std::function<void(LogEntry)>;  ///< an audit record of what was done here

  Questions(boost::asio::io_context& loop, Vault& vault, Erasures& erasures, Clock wall);
  ~Questions();
  void ask(const ipc::ToLog& question, Done done);
  /// Waits for what runs.
  void stop();
  /// How many days each stream is kept, and how the disk is: for the state.
  void set_kept(std::function<unsigned(const StreamName&)> days) { days_ = std::move(days); }
  void set_pressure(std::string pressure) { pressure_ = std::move(pressure); }
  /// Who knows the collectors.
  void set_exports(class LogExports* exports) { exports_ = exports; }

 private:
  void search(const ipc::SearchLog& question, const Done& done);
  void verify(const ipc::VerifyLog& question, const Done& done);
  void download(const ipc::DownloadLog& question, const Done& done);
  void download_state(const ipc::GetLogDownload& question, const Done& done);
  void status(const ipc::GetLogStatus& question, const Done& done);
  [[nodiscard]] ipc::LogWatched watched() const;
  void read_export(const ipc::ReadLogExport& question, const Done& done);
  /// Runs `work` on another thread and `then` on the loop's; false: too many.
  bool run(const std::string& service_code, std::function<void()> work, std::function<void()> then);

  boost::asio::io_context& loop_;
  Vault& vault_;
  Erasures& erasures_;
  Clock wall_;
  std::function<unsigned(const StreamName&)> days_;
  std::string pressure_ = "none";
  class LogExports* exports_ = nullptr;
  std::map<std::string, std::size_t> running_;
  std::size_t running_all_ = 0;
  std::map<std::string, std::shared_ptr<Download>> downloads_;  ///< by token
  boost::asio::thread_pool pool_{4};
};

}  // namespace sekisho::mgmt
