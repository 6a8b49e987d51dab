// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "mgmt/log/entry.h"

/// Text forms of a log record: pure functions of the entry. Names, order and rules are the public contract
/// docs/logs.md.
namespace sekisho::mgmt {

/// Who will read: tenants never see provider fields (host, core, sample).
enum class Audience : std::uint8_t { kTenant, kProvider };

/// Appends one JSON object without a newline. Absent fields are left out; control characters become \u00XX, bytes that
/// are not UTF-8 become U+FFFD, texts are cut at their field's length between characters.
void append_json(std::string& out, const LogEntry& entry, Audience audience);

/// The same, but for the envelope's fields: an object of the fields of the record's type.
void append_json_body(std::string& out, const LogEntry& entry, Audience audience);

/// Reads one line as append_json writes it. Unknown names are skipped (fields may be added); a wrong type, a broken
/// text or a missing v, type, ts, svc, node or seq is kMalformed with the byte offset, or 0 when a field is at fault.
Result<LogEntry> parse_json(std::string_view line);

/// The CSV header of one record type, without a newline. Provider fields never stand in CSV.
std::string csv_header(LogKind type);
/// Appends one CSV line without a newline: RFC 4180 quoting; a text that starts with = + - @ TAB or CR gets a leading
/// apostrophe (spreadsheets run formulas, and names are chosen by strangers); lists are joined by one space.
void append_csv(std::string& out, const LogEntry& entry);

/// One table for records of several types: the columns of each, a name once, in their order.
class CsvUnion {
 public:
  explicit CsvUnion(const std::vector<LogKind>& types);
  [[nodiscard]] std::string header() const;
  /// Like append_csv(); columns that the record's type does not have are empty.
  void append(std::string& out, const LogEntry& entry) const;

 private:
  std::vector<std::string_view> names_;
  std::map<LogKind, std::vector<std::size_t>> places_;
};
/// The header of a table of these types; of one type it is that type's.
std::string csv_header(const std::vector<LogKind>& types);

/// The UTF-8 byte order mark some spreadsheets want first.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Appends `text` with control characters as \u00XX and what is not UTF-8 as U+FFFD. `quote` also escapes " and \.
enum class Quote : std::uint8_t { kNone, kJson };
void append_escaped(std::string& out, std::string_view text, Quote quote);

}  // namespace sekisho::mgmt
