// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <cstring>

namespace sekisho {

/// Stores a number in network order at a place the caller has proved. As store_be() (base/net/endian.h), but inlined whatever the size of
/// the function around it: in the largest of the fast path the compiler gives up, and a call costs more than the store.
[[gnu::always_inline]] inline void put_be16(std::uint8_t* at, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(at, &value, sizeof(value));
}
[[gnu::always_inline]] inline void put_be32(std::uint8_t* at, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, sizeof(value));
}

}  // namespace sekisho
