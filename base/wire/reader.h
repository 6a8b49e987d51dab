// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "base/net/endian.h"
#include "base/result.h"

namespace sekisho {

using ByteSpan = std::span<const std::uint8_t>;

/// A forward-only cursor over foreign bytes, and the only way to touch them outside the packet decoder.
/// It dies on the first failure: after that every read fails, so a parser may check once at its end.
/// Borrows the bytes. No thread of its own.
class WireReader {
 public:
  explicit WireReader(ByteSpan bytes) : bytes_(bytes) {}

  [[nodiscard]] std::size_t offset() const { return offset_; }
  [[nodiscard]] std::size_t remaining() const { return failed_ ? 0 : bytes_.size() - offset_; }
  [[nodiscard]] bool failed() const { return failed_; }
  /// True when every byte was read and no read failed: the last line of a parser.
  [[nodiscard]] bool finished() const { return !failed_ && offset_ == bytes_.size(); }
  [[nodiscard]] Error error() const {
    return {ErrorCode::kTruncated, ErrorSite::kWire, static_cast<std::uint32_t>(offset_)};
  }

  Result<std::uint8_t> u8() { return number<std::uint8_t>(); }
  /// Big-endian numbers, returned in host order.
  Result<std::uint16_t> u16() { return number<std::uint16_t>(); }
  Result<std::uint32_t> u32() { return number<std::uint32_t>(); }
  Result<std::uint64_t> u64() { return number<std::uint64_t>(); }

  /// `length` bytes, borrowed from the input.
  Result<ByteSpan> take(std::size_t length) {
    if (failed_ || length > bytes_.size() - offset_) return fail();
    const ByteSpan out = bytes_.subspan(offset_, length);
    offset_ += length;
    return out;
  }
  /// A reader confined to the next `length` bytes; this one moves past them.
  Result<WireReader> sub(std::size_t length) {
    SEKISHO_TRY(const ByteSpan inner, take(length));
    return WireReader(inner);
  }
  /// Copies a trivially copyable struct as it stands (byte order is the struct's own business).
  template <typename T>
  Result<T> copy() {
    static_assert(std::is_trivially_copyable_v<T>);
    SEKISHO_TRY(const ByteSpan from, take(sizeof(T)));
    T out;
    std::memcpy(&out, from.data(), sizeof(T));
    return out;
  }

 private:
  template <typename T>
  Result<T> number() {
    if (failed_ || sizeof(T) > bytes_.size() - offset_) return fail();
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>((std::uint64_t{value} << 8) | bytes_[offset_ + i]);
    offset_ += sizeof(T);
    return value;
  }
  Error fail() {
    failed_ = true;
    return error();
  }

  ByteSpan bytes_;
  std::size_t offset_ = 0;
  bool failed_ = false;
};

}  // namespace sekisho
