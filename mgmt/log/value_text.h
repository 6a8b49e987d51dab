// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <string>
#include <type_traits>

#include "mgmt/log/entry.h"
#include "mgmt/log/time_text.h"

/// How each value type of a LogEntry tells that it is absent, and its text. Shared by the two formats.
namespace sekisho::mgmt {

template <typename T>
concept Number = std::unsigned_integral<T> && !std::same_as<T, bool>;
template <typename T>
concept Enumeration = std::is_enum_v<T>;

template <Number T>
bool is_absent(T) {
  return false;
}
template <Enumeration T>
bool is_absent(T value) {
  return static_cast<unsigned>(value) == 0;
}
template <Number T>
bool is_absent(const std::optional<T>& value) {
  return !value.has_value();
}
inline bool is_absent(const std::string& value) {
  return value.empty();
}
inline bool is_absent(const Address& value) {
  return value.family == Family::kNone;
}
inline bool is_absent(const Mac& value) {
  return value.is_zero();
}
inline bool is_absent(HexId value) {
  return value.value == 0;
}
inline bool is_absent(Timestamp value) {
  return value.ns == 0;
}
inline bool is_absent(const Uuid& value) {
  return value == Uuid{};
}
template <typename T>
bool is_absent(const std::vector<T>& value) {
  return value.empty();
}
inline bool is_absent(const std::optional<bool>& value) {
  return !value.has_value();
}
inline std::string_view word_of(bool value) {
  return value ? "true" : "false";
}

/// Text of the values that need no escaping: digits, letters, colons, dots and dashes only.
template <Enumeration T>
std::string plain_text(T value) {
  return std::string(text_of(value));
}
inline std::string plain_text(const Address& value) {
  return to_string(value);
}
inline std::string plain_text(const Mac& value) {
  return to_string(value);
}
inline std::string plain_text(HexId value) {
  return to_text(value);
}
inline std::string plain_text(Timestamp value) {
  return to_text(value);
}
inline std::string plain_text(const Uuid& value) {
  return to_text(value);
}

}  // namespace sekisho::mgmt
