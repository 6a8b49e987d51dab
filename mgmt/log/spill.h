// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  /// kLimit when the file is full: the records are lost and the caller says so.
  Result<void> add(const std::vector<LogRecord>& records);
  Result<std::vector<LogRecord>> read() const;
  /// Keeps only `records`; the change is atomic.
  Result<void> replace(const std::vector<LogRecord>& records);

 private:
  std::string path_;
};

}  // namespace sekisho::mgmt
