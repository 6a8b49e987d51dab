// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/export_stream.h"

#include <algorithm>

namespace sekisho::mgmt {
Result<ExportStream> ExportStream::open(LogStore& store, Selection selection) {
  constexpr Error kRefused{ErrorCode::kMalformed, ErrorSite::kIpc, 0};
  if (!is_service_code(selection.service_code)) return kRefused;
  if (selection.last > kLastMax) return Error{ErrorCode::kLimit, ErrorSite::kIpc, kLastMax};
  if (selection.types.empty()) selection.types.assign(kAllTypes.begin(), kAllTypes.end());
  std::sort(selection.types.begin(), selection.types.end());
  selection.types.erase(std::unique(selection.types.begin(), selection.types.end()), selection.types.end());
  const bool csv = selection.format == Selection::Format::kCsv;
  if (csv && selection.follow && selection.types.size() != 1) return kRefused;
  ExportStream stream(std::move(selection));
  SEKISHO_CHECK_OK(stream.start(store));
  return stream;
}

Result<void> ExportStream::start(LogStore& store) {
  StartAt from;
  if (selection_.last > 0) from = {StartAt::Kind::kLast, selection_.last, {}};
  if (selection_.last == 0 && selection_.follow) from = {StartAt::Kind::kEnd, 0, {}};
  for (const LogKind type : selection_.types) {
    SEKISHO_TRY(auto cursor, store.open({selection_.service_code, type}, from));
    sources_.push_back({type, std::move(cursor), std::nullopt});
  }
  if (selection_.last > 0 && sources_.size() > 1) return limit_to_last(store);
  return {};
}

/// The last N of several types are among the last N of each: counts how many of those come before them in time.
Result<void> ExportStream::limit_to_last(LogStore& store) {
  std::size_t total = 0;
  for (const Source& source : sources_) {
    SEKISHO_TRY(const auto cursor,
                store.open({selection_.service_code, source.type}, {StartAt::Kind::kLast, selection_.last, {}}));
    for (;; ++total) {
      SEKISHO_TRY(const auto entry, cursor->next());
      if (!entry) break;
    }
  }
  skip_ = total > selection_.last ? total - selection_.last : 0;
  return {};
}

Result<std::optional<LogEntry>> ExportStream::take() {
  Source* first = nullptr;
  for (Source& source : sources_) {
    if (!source.head) {
      SEKISHO_TRY(source.head, source.cursor->next());
    }
    if (!source.head || (first != nullptr && first->head->ts <= source.head->ts)) continue;
    // CSV keeps types apart: a section is written to its end before the next begins.
    if (first != nullptr && selection_.format == Selection::Format::kCsv && skip_ == 0) continue;
    first = &source;
  }
  if (first == nullptr) return std::optional<LogEntry>{};
  std::optional<LogEntry> out;
  out.swap(first->head);
  return out;
}

void ExportStream::write(std::string& out, const LogEntry& entry) {
  if (selection_.format == Selection::Format::kJsonLines) {
    append_json(out, entry, selection_.audience);
    out += '\n';
    return;
  }
  if (section_ != entry.type) {
    out += csv_header(entry.type) + '\n';
    section_ = entry.type;
  }
  append_csv(out, entry);
  out += '\n';
}

Result<void> ExportStream::fill(std::string& out, std::size_t bytes) {
  const bool csv = selection_.format == Selection::Format::kCsv;
  if (!started_ && csv) {
    if (selection_.byte_order_mark) out += kByteOrderMark;
    // One type: its header stands even when there are no records.
    if (sources_.size() == 1) {
      section_ = sources_[0].type;
      out += csv_header(*section_) + '\n';
    }
  }
  started_ = true;
  while (out.size() < bytes) {
    SEKISHO_TRY(const auto entry, take());
    if (!entry) {
      finished_ = !selection_.follow;
      return {};
    }
    if (skip_ > 0) {
      --skip_;
      continue;
    }
    write(out, *entry);
  }
  return {};
}

}  // namespace sekisho::mgmt
