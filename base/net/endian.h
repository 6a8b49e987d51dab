// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/assert.h"

namespace sekisho {

static_assert(std::endian::native == std::endian::little, "x86-64 only: docs/adr/0004");

/// A number in network order inside a wire struct. Does nothing but convert and compare.
template <typename T>
class BigEndian {
 public:
  BigEndian() = default;
  [[nodiscard]] constexpr T host() const { return swap(raw_); }
  static constexpr BigEndian from_host(T value) {
    BigEndian out;
    out.raw_ = swap(value);
    return out;
  }
  bool operator==(const BigEndian&) const = default;

 private:
  static constexpr T swap(T value) {
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  }
  T raw_;
};
using Be16 = BigEndian<std::uint16_t>;
using Be32 = BigEndian<std::uint32_t>;
using Be64 = BigEndian<std::uint64_t>;

/// Network-order loads and stores inside a span whose length the caller has proved (checked in debug builds).
template <typename T>
[[nodiscard]] inline T load_be(std::span<const std::uint8_t> bytes, std::size_t offset) {
  SEKISHO_DCHECK(offset + sizeof(T) <= bytes.size());
  BigEndian<T> out;
  std::memcpy(&out, bytes.data() + offset, sizeof(T));
  return out.host();
}
template <typename T>
inline void store_be(std::span<std::uint8_t> bytes, std::size_t offset, T value) {
  SEKISHO_DCHECK(offset + sizeof(T) <= bytes.size());
  const auto out = BigEndian<T>::from_host(value);
  std::memcpy(bytes.data() + offset, &out, sizeof(T));
}

}  // namespace sekisho
