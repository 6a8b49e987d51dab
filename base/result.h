// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace sekisho {

/// Every kind of failure the firmware can report. Append only; numbers are stable on the wire and in logs.
enum class ErrorCode : std::uint16_t {
  kTruncated = 1,
  kMalformed = 2,
  kUnsupported = 3,
  kLimit = 4,
  kNotFound = 5,
  kConflict = 6,
  kDenied = 7,
  kUnavailable = 8,
};

/// Which parser or subsystem failed; with `detail` it finds the place. Append only.
enum class ErrorSite : std::uint16_t {
  kNone = 0,
  kWire = 1,       ///< detail: byte offset
  kAddress = 2,    ///< detail: character offset
  kIpc = 3,        ///< detail: errno or body number
  kSnapshot = 4,   ///< detail: byte offset of the offending section or entry
  kLogRing = 5,    ///< detail: record number
  kOs = 6,         ///< detail: errno
  kDataplane = 7,  ///< detail: object index
  kStore = 8,      ///< detail: SQLite result code
};

/// A failure, small enough to return in one register. No heap, no text: text is made once, at the edge, by describe().
struct [[nodiscard]] Error {
  ErrorCode code;
  ErrorSite where;
  std::uint32_t detail;
};
static_assert(sizeof(Error) == 8 && std::is_trivially_copyable_v<Error>);

/// A value or an Error. A subset of std::expected's interface, which neither GCC 12 in C++20 nor clang 14 offers.
/// value() on an error aborts: it is our own broken invariant, never an answer to a peer.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, error) {}         // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] T& value() & { return checked(); }
  [[nodiscard]] const T& value() const& { return const_cast<Result*>(this)->checked(); }
  [[nodiscard]] T&& value() && { return std::move(checked()); }
  T& operator*() & { return checked(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }
  [[nodiscard]] Error error() const {
    SEKISHO_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  T& checked() {
    SEKISHO_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  std::variant<T, Error> state_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(error), failed_(true) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool has_value() const { return !failed_; }
  explicit operator bool() const { return has_value(); }
  [[nodiscard]] Error error() const {
    SEKISHO_ASSERT(failed_);
    return error_;
  }

 private:
  Error error_{};
  bool failed_ = false;
};

}  // namespace sekisho

#define SEKISHO_CONCAT_(a, b) a##b
#define SEKISHO_CONCAT(a, b) SEKISHO_CONCAT_(a, b)
#define SEKISHO_TRY_(name, declaration, expression) \
  auto name = (expression);                         \
  if (!name.has_value()) return name.error();       \
  declaration = std::move(name).value()

/// SEKISHO_TRY(auto body, reader.sub(length)); returns the error, else binds the value.
#define SEKISHO_TRY(declaration, expression) \
  SEKISHO_TRY_(SEKISHO_CONCAT(sekisho_try_, __LINE__), declaration, expression)

/// SEKISHO_CHECK_OK(expression); for Result<void>.
#define SEKISHO_CHECK_OK(expression)                                         \
  if (auto sekisho_status = (expression); !sekisho_status.has_value()) \
  return sekisho_status.error()
