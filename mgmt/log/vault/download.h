// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "mgmt/log/vault/calendar.h"
#include "mgmt/log/vault/query.h"
#include "mgmt/log/vault/vault.h"

namespace sekisho::mgmt {

/// A file of records on its way to a reader. What it holds is fixed when it is made (days, and the last number of each
/// stream), so that a token and an offset give the rest of the same bytes later. Made on the loop's thread, written on
/// its own.
class Download {
 public:
  /// The text is why it is refused; empty: `out` holds. `days_kept`: of each type.
  static std::string prepare(Vault& vault, const ipc::DownloadLog& request, Timestamp now,
                             const std::function<unsigned(LogKind)>& days_kept, std::shared_ptr<Download>& out);
  ~Download();
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  [[nodiscard]] ipc::LogDownload announcement() const;
  [[nodiscard]] const std::string& service_code() const { return what_.service_code(); }
  /// Writes to a pipe's end until all is written or its reader is gone or takes nothing for a minute.
  void start(Fd pipe);
  [[nodiscard]] ipc::LogDownloadState state() const;
  [[nodiscard]] bool running() const { return running_; }

 private:
  class Stream;
  class Writer;
  struct Part {
    StreamView view;
    Query query;
    std::uint64_t bound = 0;
  };
  struct Written {
    std::uint64_t records = 0, first = 0, last = 0;
  };
  Download() = default;
  std::string add_part(Vault& vault, LogKind type, Days days, std::uint64_t bound);
  void run(Fd pipe);
  bool write_records(Writer& writer, std::map<LogKind, Written>& written);
  [[nodiscard]] std::string manifest(const std::map<LogKind, Written>& written, std::uint64_t records,
                                     std::uint64_t bytes, const Sha256Digest& digest) const;

  ipc::DownloadLog what_;
  std::uint64_t offset_ = 0;
  std::string token_, file_name_;
  SigningSeed seed_{};
  std::vector<Part> parts_;
  std::uint64_t total_ = 0;
  std::atomic<std::uint64_t> read_ = 0, written_ = 0, bytes_ = 0;
  std::atomic<bool> stop_ = false, running_ = false;
  mutable std::mutex mutex_;
  std::string manifest_, error_;  ///< under mutex_
  Fd stop_seen_, stop_said_;  ///< a pipe: closing its end wakes a writer that waits for its reader
  std::thread thread_;
};

}  // namespace sekisho::mgmt
