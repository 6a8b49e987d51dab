// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/shm/log_record.h"

namespace sekisho::mgmt {

/// Raw ring records whose tenant nobody could name yet, kept in one file (192 bytes each, at most 64 MiB) until
/// somebody can. Only logd reads it.
class Spill {
 public:
  static constexpr std::size_t kRecordsMax = (64U << 20) / sizeof(LogRecord);

  explicit Spill(std::string path) : path_(std::move(path)) {}

  /// Called before the file grows from `bytes`, and before its records become `records`: what fails there, fails here.
  using BeforeAdd = std::function<Result<void>(std::uint64_t bytes)>;
  using BeforeReplace = std::function<Result<void>(const std::vector<LogRecord>& records)>;
  void on_change(BeforeAdd add, BeforeReplace replace) {
    before_add_ = std::move(add);
    before_replace_ = std::move(replace);
  }

  /// kLimit when the file is full: the records are lost and the caller says so.
  Result<void> add(const std::vector<LogRecord>& records);
  Result<std::vector<LogRecord>> read() const;
  /// Keeps only `records`; the change is atomic.
  Result<void> replace(const std::vector<LogRecord>& records);

 private:
  std::string path_;
  BeforeAdd before_add_;
  BeforeReplace before_replace_;
};

}  // namespace sekisho::mgmt
