// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/row.h"

#include <algorithm>
#include <array>

namespace sekisho::mgmt {
namespace {

constexpr Error kBadRow{ErrorCode::kMalformed, ErrorSite::kStore, 0};

template <typename T>
constexpr ColumnKind kind_of() {
  if constexpr (Number<T>)
    return ColumnKind::kNumber;
  else if constexpr (Enumeration<T>)
    return ColumnKind::kWord;
  else if constexpr (std::same_as<T, HexId>)
    return ColumnKind::kHex;
  else if constexpr (std::same_as<T, Timestamp>)
    return ColumnKind::kTime;
  else if constexpr (std::same_as<T, std::optional<bool>>)
    return ColumnKind::kBool;
  else if constexpr (std::same_as<T, Uuid>)
    return ColumnKind::kUuid;
  else if constexpr (std::same_as<T, Mac>)
    return ColumnKind::kMac;
  else if constexpr (std::same_as<T, Address>)
    return ColumnKind::kAddress;
  else if constexpr (std::same_as<T, std::string>)
    return ColumnKind::kText;
  else if constexpr (std::same_as<T, std::vector<std::string>>)
    return ColumnKind::kTexts;
  else if constexpr (std::same_as<T, std::vector<Address>>)
    return ColumnKind::kAddresses;
  else
    return ColumnKind::kOptional;
}

struct Lister {
  std::vector<Column> columns;
  template <typename T>
  void operator()(const Field& field, const T&) {
    Column column{field.name, kind_of<T>(), field.characters_max, field.field_class == FieldClass::kProvider, {}, field.later};
    if constexpr (Enumeration<T>) column.words = EnumText<T>::kNames;
    columns.push_back(column);
  }
};

struct RowWriter {
  std::string& out;
  std::string scratch{};
  template <typename T>
  void operator()(const Field& field, const T& value) {
    if constexpr (NumberField<T>) {
      append_varint(out, stored(value));
    } else {
      scratch.clear();
      append_stored(scratch, field, value);
      append_varint(out, scratch.size());
      out += scratch;
    }
  }
};

struct RowReader {
  std::string_view bytes;
  bool ok = true;
  template <typename T>
  void operator()(const Field& field, T& value) {
    if (field.later && bytes.empty()) return;
    std::uint64_t number = 0;
    ok = ok && take_varint(bytes, number);
    if constexpr (NumberField<T>) {
      ok = ok && restore(number, value);
    } else {
      ok = ok && number <= bytes.size() && restore(bytes.substr(0, number), value);
      if (ok) bytes.remove_prefix(number);
    }
  }
};

std::size_t bytes_in(const Address& address) {
  return address.family == Family::kNone ? 0 : address.family == Family::kIpv4 ? 4 : 16;
}

std::string_view view_of(const auto& bytes, std::size_t length) {
  return {reinterpret_cast<const char*>(bytes.data()), length};
}

/// The next item of a list; false when there is none.
bool take_item(std::string_view& bytes, std::string_view& item) {
  std::uint64_t length = 0;
  if (!take_varint(bytes, length) || length > bytes.size()) return false;
  item = bytes.substr(0, length);
  bytes.remove_prefix(length);
  return true;
}

}  // namespace

const std::vector<Column>& columns_of(LogKind type) {
  static const auto kColumns = [] {
    std::array<std::vector<Column>, kAllTypes.size() + 1> out;
    for (const LogKind one : kAllTypes) {
      Lister lister;
      const LogEntry entry = make_entry(one);
      for_each_field(entry, lister);
      out[static_cast<std::size_t>(one)] = std::move(lister.columns);
    }
    return out;
  }();
  return kColumns.at(static_cast<std::size_t>(type));
}

std::size_t column_named(LogKind type, std::string_view name) {
  const auto& columns = columns_of(type);
  const auto found = std::find_if(columns.begin(), columns.end(), [&](const Column& one) { return one.name == name; });
  return found == columns.end() ? std::string_view::npos : static_cast<std::size_t>(found - columns.begin());
}

void append_varint(std::string& out, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) out += static_cast<char>(number | 0x80);
  out += static_cast<char>(number);
}

bool take_varint(std::string_view& bytes, std::uint64_t& number) {
  number = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    number |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

void append_stored(std::string& out, const Field& field, const std::string& value) {
  const bool fits = field.characters_max == 0 || value.size() <= field.characters_max;
  out += fits ? std::string_view(value) : cut_characters(value, field.characters_max);
}
void append_stored(std::string& out, const Field&, const Uuid& value) {
  if (value != Uuid{}) out += view_of(value.bytes, value.bytes.size());
}
void append_stored(std::string& out, const Field&, const Mac& value) {
  if (!value.is_zero()) out += view_of(value.bytes, value.bytes.size());
}
void append_stored(std::string& out, const Field&, const Address& value) {
  out += view_of(value.bytes, bytes_in(value));
}
void append_stored(std::string& out, const Field& field, const std::vector<std::string>& value) {
  for (const std::string& text : value) {
    const std::string_view cut = cut_characters(text, field.characters_max);
    append_varint(out, cut.size());
    out += cut;
  }
}
void append_stored(std::string& out, const Field& field, const std::vector<Address>& value) {
  for (const Address& address : value) {
    append_varint(out, bytes_in(address));
    append_stored(out, field, address);
  }
}

bool restore(std::string_view bytes, std::string& value) {
  return value = bytes, true;
}
bool restore(std::string_view bytes, Uuid& value) {
  value = {};
  if (bytes.empty()) return true;
  if (bytes.size() != value.bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
  return true;
}
bool restore(std::string_view bytes, Mac& value) {
  value = {};
  if (bytes.empty()) return true;
  if (bytes.size() != value.bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
  return true;
}
bool restore(std::string_view bytes, Address& value) {
  value = {};
  if (bytes.empty()) return true;
  if (bytes.size() != 4 && bytes.size() != 16) return false;
  value.family = bytes.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy(bytes.begin(), bytes.end(), value.bytes.begin());
  return true;
}
bool restore(std::string_view bytes, std::vector<std::string>& value) {
  value.clear();
  for (std::string_view item; !bytes.empty();) {
    if (!take_item(bytes, item)) return false;
    value.emplace_back(item);
  }
  return true;
}
bool restore(std::string_view bytes, std::vector<Address>& value) {
  value.clear();
  for (std::string_view item; !bytes.empty();) {
    if (!take_item(bytes, item) || !restore(item, value.emplace_back())) return false;
  }
  return true;
}

void append_row(std::string& out, const LogEntry& entry) {
  RowWriter writer{out};
  for_each_field(entry, writer);
}

Result<LogEntry> read_row(LogKind type, std::string_view row) {
  LogEntry entry = make_entry(type);
  RowReader reader{row};
  for_each_field(entry, reader);
  if (!reader.ok || !reader.bytes.empty() || entry.type != type) return kBadRow;
  return entry;
}

}  // namespace sekisho::mgmt
