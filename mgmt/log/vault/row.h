// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "mgmt/log/entry.h"
#include "mgmt/log/fields.h"
#include "mgmt/log/utf8.h"
#include "mgmt/log/value_text.h"

/// How a field's value is kept: a number, or bytes; 0 and no bytes are the absent value.
namespace sekisho::mgmt {

enum class ColumnKind : std::uint8_t {
  kNumber,
  kOptional,
  kBool,
  kWord,
  kHex,
  kTime,
  kUuid,
  kMac,
  kAddress,
  kText,
  kTexts,
  kAddresses
};

/// One field of a type.
struct Column {
  std::string_view name;
  ColumnKind kind{};
  std::uint16_t characters_max = 0;
  bool provider = false;
  std::span<const std::string_view> words{};  ///< kWord: text of each number
  bool later = false;  ///< as of the field
  [[nodiscard]] bool is_number() const { return kind <= ColumnKind::kTime; }
};

/// The fields of a type, in the order of fields.h. A field's place here is its column.
const std::vector<Column>& columns_of(LogKind type);
/// The column of that name; npos when the type has none.
std::size_t column_named(LogKind type, std::string_view name);

inline constexpr std::size_t kTimeColumn = 2, kSequenceColumn = 6, kEidColumn = 7;

template <typename T>
concept NumberField = Number<T> || Enumeration<T> || std::same_as<T, HexId> || std::same_as<T, Timestamp> ||
    std::same_as<T, std::optional<bool>> || requires(T value) {
  requires Number<std::remove_cvref_t<decltype(*value)>> && requires {
    value.has_value();
  };
};

template <NumberField T>
std::uint64_t stored(const T& value) {
  if constexpr (std::same_as<T, HexId>)
    return value.value;
  else if constexpr (std::same_as<T, Timestamp>)
    return value.ns;
  else if constexpr (Number<T> || Enumeration<T>)
    return static_cast<std::uint64_t>(value);
  else
    return value.has_value()
               ? std::min(static_cast<std::uint64_t>(*value), std::numeric_limits<std::uint64_t>::max() - 1) + 1
               : 0;
}

/// False when the field cannot hold the number.
template <NumberField T>
bool restore(std::uint64_t number, T& value) {
  if constexpr (std::same_as<T, HexId>)
    return value.value = number, true;
  else if constexpr (std::same_as<T, Timestamp>)
    return value.ns = number, true;
  else if constexpr (Enumeration<T>)
    return value = static_cast<T>(number), number < EnumText<T>::kNames.size();
  else if constexpr (Number<T>)
    return value = static_cast<T>(number), value == number;
  else if constexpr (std::same_as<T, std::optional<bool>>) {
    value = number == 0 ? T{} : T{number == 2};
    return number <= 2;
  } else {
    using Inner = typename T::value_type;
    value = number == 0 ? T{} : T{static_cast<Inner>(number - 1)};
    return number == 0 || *value == number - 1;
  }
}

void append_varint(std::string& out, std::uint64_t number);
/// The number at the front of `bytes`, which moves past it; false when there is none.
bool take_varint(std::string_view& bytes, std::uint64_t& number);

void append_stored(std::string& out, const Field& field, const std::string& value);
void append_stored(std::string& out, const Field& field, const Uuid& value);
void append_stored(std::string& out, const Field& field, const Mac& value);
void append_stored(std::string& out, const Field& field, const Address& value);
void append_stored(std::string& out, const Field& field, const std::vector<std::string>& value);
void append_stored(std::string& out, const Field& field, const std::vector<Address>& value);
bool restore(std::string_view bytes, std::string& value);
bool restore(std::string_view bytes, Uuid& value);
bool restore(std::string_view bytes, Mac& value);
bool restore(std::string_view bytes, Address& value);
bool restore(std::string_view bytes, std::vector<std::string>& value);
bool restore(std::string_view bytes, std::vector<Address>& value);

/// One record as bytes: texts are cut at their field's length.
void append_row(std::string& out, const LogEntry& entry);
/// kMalformed: not a row of this type.
Result<LogEntry> read_row(LogKind type, std::string_view row);

}  // namespace sekisho::mgmt
