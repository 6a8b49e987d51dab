// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "mgmt/log/entry.h"

namespace sekisho::mgmt {

/// One sequence of records: a tenant's records of one type. No file, block or key is ever shared by two tenants.
struct StreamName {
  std::string service_code;  ///< is_service_code() holds
  LogKind type{};
  auto operator<=>(const StreamName&) const = default;
};

/// Where a reader begins.
struct StartAt {
  enum class Kind : std::uint8_t { kOldest, kLast, kEnd, kDay, kAfter } kind = Kind::kOldest;
  std::size_t last = 0;  ///< kLast: so many of the newest records
  Timestamp day;         ///< kDay: the civil day in Japan that holds this time, and later ones; kAfter: a record's time
  std::uint64_t sequence = 0;  ///< kAfter: its number; begins at most a block before what follows that record
};

/// A reader of one stream, oldest record first. Survives appends, new files and the end of the stream.
class LogCursor {
 public:
  virtual ~LogCursor() = default;
  /// The next record; empty when the reader has caught up: call again after an append.
  virtual Result<std::optional<LogEntry>> next() = 0;
};

/// The history of records. Storage is behind this interface so that readers never see how it is kept (today JSON
/// lines). Thread: the loop's; calls may wait for the disk.
class LogStore {
 public:
  struct Appended {
    std::size_t stored = 0;      ///< so many from the front are stored
    std::optional<Error> error;  ///< why the rest is not (kOs, errno)
  };

  virtual ~LogStore() = default;
  /// Adds records of one stream, already numbered, in order. What is stored may be read at once.
  virtual Appended append(const StreamName& stream, std::span<const LogEntry> entries) = 0;
  /// Everything appended survives a power cut; loss records are made safe before what follows them.
  virtual Result<void> sync() = 0;
  /// The newest stored record; empty for a stream without any.
  virtual Result<std::optional<LogEntry>> newest(const StreamName& stream) = 0;
  virtual Result<std::unique_ptr<LogCursor>> open(const StreamName& stream, StartAt start) = 0;
};

}  // namespace sekisho::mgmt
