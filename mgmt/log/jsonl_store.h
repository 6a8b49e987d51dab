// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

#include "base/os/fd.h"
#include "mgmt/log/store.h"

namespace sekisho::mgmt {

/// LogStore on plain files: ROOT/<svc>/<type>/<date>-<n>.jsonl, one JSON object a line, appended only. <date> is the
/// civil day in Japan of the first record, <n> counts from 0001 and rises when a file is full. A line torn by a crash
/// is cut away before the first append to its stream, so that the file always ends in a whole one.
class JsonlStore final : public LogStore {
 public:
  struct Options {
    std::uint64_t file_bytes_max = 256U << 20;
    std::size_t open_files_max = 512;
  };
  /// `write` replaces the system call (tests fill the disk); default ::write.
  using Write = std::function<ssize_t(int fd, const void* data, std::size_t bytes)>;

  /// `root` exists and only logd writes below it.
  explicit JsonlStore(std::string root);
  JsonlStore(std::string root, Options options, Write write);
  Appended append(const StreamName& stream, std::span<const LogEntry> entries) override;
  Result<void> sync() override;
  Result<std::optional<LogEntry>> newest(const StreamName& stream) override;
  Result<std::unique_ptr<LogCursor>> open(const StreamName& stream, StartAt start) override;

  /// Called before the first append to a file since forget_noted(), with its path below the root and its length then;
  /// when it fails, so does the append.
  using BeforeAppend = std::function<Result<void>(const std::string& path, std::uint64_t bytes)>;
  void on_first_append(BeforeAppend note) { note_ = std::move(note); }
  void forget_noted() { ++epoch_; }

  [[nodiscard]] std::uint64_t torn_lines() const { return torn_lines_; }

 private:
  struct Tail {
    Fd fd;
    std::string date;
    unsigned number = 0;
    std::uint64_t bytes = 0;
    bool dirty = false;
    std::uint64_t noted = 0;  ///< epoch in which on_first_append was last called for it
  };

  [[nodiscard]] std::string folder(const StreamName& stream) const;
  /// The open file a record of `date` belongs to.
  Result<Tail*> tail_for(const StreamName& stream, const std::string& date);
  Result<void> open_newest_file(const StreamName& stream, Tail& tail);
  Result<void> start_file(const StreamName& stream, Tail& tail, const std::string& date, unsigned number);
  Result<void> repair(Tail& tail);
  Result<void> note(const StreamName& stream, Tail& tail);
  Result<void> write_all(Tail& tail, std::string_view text);
  Result<void> sync_type(bool loss);

  std::string root_;
  Options options_;
  Write write_;
  std::map<StreamName, Tail> tails_;
  BeforeAppend note_;
  std::uint64_t epoch_ = 1;
  std::uint64_t torn_lines_ = 0;
};

}  // namespace sekisho::mgmt
