// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "mgmt/log/fields.h"
#include "mgmt/log/format.h"
#include "mgmt/log/utf8.h"
#include "mgmt/log/value_text.h"

namespace sekisho::mgmt {
namespace {

constexpr std::uint16_t kListCharactersMax = 4096;

class CsvWriter {
 public:
  explicit CsvWriter(std::string& out) : out_(out) {}

  template <typename T>
  void operator()(const Field& field, const T& value) {
    if (field.field_class == FieldClass::kProvider) return;
    if (!first_) out_ += ',';
    first_ = false;
    if (!is_absent(value)) write(field, value);
  }

 private:
  template <Number T>
  void write(const Field&, T value) {
    out_ += std::to_string(value);
  }
  template <Number T>
  void write(const Field&, const std::optional<T>& value) {
    out_ += std::to_string(*value);
  }
  void write(const Field& field, const std::string& value) {
    std::string text;
    if (std::string_view("=+-@\t\r").find(value.front()) != std::string_view::npos) text = "'";
    append_escaped(text, cut_characters(value, field.characters_max), Quote::kNone);
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
      out_ += text;
      return;
    }
    out_ += '"';
    for (const char character : text) {
      if (character == '"') out_ += '"';
      out_ += character;
    }
    out_ += '"';
  }
  void write(const Field&, const std::optional<bool>& value) { out_ += word_of(*value); }
  void write(const Field& field, const std::vector<std::string>& list) {
    std::string joined;  // each cut by itself; a name has no separator of its own
    for (const std::string& text : list) joined += (joined.empty() ? "" : ";") + std::string(cut_characters(text, field.characters_max));
    write(Field{field.name, kListCharactersMax}, joined);
  }
  void write(const Field&, const std::vector<Address>& list) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i > 0) out_ += ' ';
      out_ += to_string(list[i]);
    }
  }
  template <typename T>
  requires(!Number<T>) void write(const Field&, const T& value) { out_ += plain_text(value); }

  std::string& out_;
  bool first_ = true;
};

/// Each value into the cell that is its place in a wider table.
struct CellWriter {
  const std::vector<std::size_t>& places;
  std::vector<std::string>& cells;
  std::size_t field = 0;

  template <typename T>
  void operator()(const Field& what, const T& value) {
    if (what.field_class == FieldClass::kProvider) return;
    CsvWriter writer(cells[places[field++]]);
    writer(what, value);
  }
};

struct NameLister {
  std::vector<std::string_view> names;

  template <typename T>
  void operator()(const Field& field, const T&) {
    if (field.field_class != FieldClass::kProvider) names.push_back(field.name);
  }
};

struct HeaderWriter {
  std::string out;

  template <typename T>
  void operator()(const Field& field, const T&) {
    if (field.field_class == FieldClass::kProvider) return;
    if (!out.empty()) out += ',';
    out += field.name;
  }
};

}  // namespace

std::string csv_header(LogKind type) {
  const LogEntry empty = make_entry(type);
  HeaderWriter writer;
  for_each_field(empty, writer);
  return writer.out;
}

CsvUnion::CsvUnion(const std::vector<LogKind>& types) {
  for (const LogKind type : types) {
    NameLister lister;
    const LogEntry empty = make_entry(type);
    for_each_field(empty, lister);
    for (const std::string_view name : lister.names) {
      const auto found = std::find(names_.begin(), names_.end(), name);
      places_[type].push_back(static_cast<std::size_t>(found - names_.begin()));
      if (found == names_.end()) names_.push_back(name);
    }
  }
}

std::string CsvUnion::header() const {
  std::string out;
  for (const std::string_view name : names_) out.append(out.empty() ? "" : ",").append(name);
  return out;
}

void CsvUnion::append(std::string& out, const LogEntry& entry) const {
  std::vector<std::string> cells(names_.size());
  CellWriter writer{places_.at(entry.type), cells};
  for_each_field(entry, writer);
  for (std::size_t i = 0; i < cells.size(); ++i) out.append(i == 0 ? "" : ",").append(cells[i]);
}

std::string csv_header(const std::vector<LogKind>& types) { return types.size() == 1 ? csv_header(types[0]) : CsvUnion(types).header(); }

void append_csv(std::string& out, const LogEntry& entry) {
  CsvWriter writer(out);
  for_each_field(entry, writer);
}

}  // namespace sekisho::mgmt
