// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "mgmt/log/format.h"
#include "mgmt/log/store.h"

namespace sekisho::mgmt {

/// Most records `last` may ask for: placing several types is work of one turn of the loop.
inline constexpr std::size_t kLastMax = 10'000;

/// What a reader asked for.
struct Selection {
  std::string service_code{};
  std::vector<LogKind> types{};  ///< empty = all
  enum class Format : std::uint8_t { kJsonLines, kCsv } format = Format::kJsonLines;
  bool follow = false;
  std::size_t last = 0;  ///< begin with the last N stored; 0 with follow: only new ones; 0 without: all
  Audience audience = Audience::kTenant;
  bool byte_order_mark = false;
};

/// Turns a selection into text, piece by piece. JSON lines of several types are merged by time; CSV has one section a
/// type, each with its header, so following needs exactly one type.
/// Pure but for the store: no descriptor, no clock. Thread: the loop's.
class ExportStream {
 public:
  /// kMalformed: no service code, or several types to follow as CSV. kLimit: `last` above kLastMax.
  static Result<ExportStream> open(LogStore& store, Selection selection);

  /// Appends text until `out` has `bytes` or nothing is left for now.
  Result<void> fill(std::string& out, std::size_t bytes);
  /// The selection is written; never true with follow.
  [[nodiscard]] bool finished() const { return finished_; }

 private:
  struct Source {
    LogKind type{};
    std::unique_ptr<LogCursor> cursor;
    std::optional<LogEntry> head;
  };

  explicit ExportStream(Selection selection) : selection_(std::move(selection)) {}
  Result<void> start(LogStore& store);
  Result<void> limit_to_last(LogStore& store);
  /// The next entry in the order of this format; empty when nothing is left for now.
  Result<std::optional<LogEntry>> take();
  void write(std::string& out, const LogEntry& entry);

  Selection selection_;
  std::vector<Source> sources_;
  std::optional<LogKind> section_;  ///< CSV: whose header was written last
  std::size_t skip_ = 0;            ///< entries of the merged stream before the last N
  bool started_ = false;
  bool finished_ = false;
};

}  // namespace sekisho::mgmt
