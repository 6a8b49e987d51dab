// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/shm/log_record.h"
#include "base/wire/reader.h"
#include "mgmt/log/ring_source.h"
#include "mgmt/log/spill.h"

namespace sekisho::mgmt {

struct SpoolContents {
  std::vector<LogRecord> records;
  std::vector<RingMark> marks;
  std::map<std::string, std::uint64_t> lengths;       ///< of log files before they grew
  std::optional<std::vector<LogRecord>> spill;        ///< what the spill was about to become
};

/// Reads the entries of a spool, up to the first one that a crash tore or that is none.
SpoolContents read_spool(ByteSpan entries);

/// What makes every ring record stored once, whenever logd is killed.
///
/// Overview. One file. A turn first adds the records it gathered and where they came from; only then are their places in
/// the rings freed. Before a log file grows for the first time, its length is noted here. When nothing waits any longer,
/// settle() empties the spool. Life-cycle. A successor that finds it not empty cuts the log files back to the noted
/// lengths and stores the records again: under the same numbers, since those before are the same. Records whose places
/// were not freed yet are passed over by their marks.
/// Limits. Kept for one boot of the machine: a power cut empties the rings too, and may have lost a write this file tells
/// of. Thread: the loop's. Errors: kOs; a failed write leaves the file as it was.
class Spool {
 public:
  static constexpr std::uint64_t kBytesMax = 64U << 20;  ///< beyond it is time to compact()

  /// `root`: the folder that noted paths are below. `spill` lies there too and changes together with the log files.
  Spool(std::string path, std::string root, Spill& spill);

  struct Left {
    std::vector<LogRecord> records;  ///< to be stored
    std::vector<RingMark> marks;     ///< to be passed over in the rings
    std::size_t cut_back = 0;        ///< log files that were longer than noted
  };
  /// At start, before the store is used: undoes what was half done and returns what there is to do.
  Result<Left> recover();

  Result<void> add(std::span<const RingMark> marks, std::span<const LogRecord> records);
  /// The file `path` has `bytes` bytes now and is about to grow.
  Result<void> note(const std::string& path, std::uint64_t bytes);
  /// All records so far are stored but `waiting`. `marks`: those that recover() gave and whose ring has not come.
  Result<void> settle(std::span<const RingMark> marks, std::span<const LogRecord> waiting);
  /// The same, and the spill is about to become `spilled`: whoever comes after a crash will do it.
  Result<void> settle_and_spill(std::span<const RingMark> marks, std::span<const LogRecord> waiting, std::span<const LogRecord> spilled);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  /// Something came since the last settle().
  [[nodiscard]] bool dirty() const { return dirty_; }

 private:
  Result<void> append(std::string_view entry);
  Result<void> restart(std::string_view entries);
  [[nodiscard]] std::string head() const;

  std::string path_, root_, boot_;
  Spill& spill_;
  Fd fd_;
  std::uint64_t bytes_ = 0;
  bool dirty_ = false;
};

}  // namespace sekisho::mgmt
