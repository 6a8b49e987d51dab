// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sekisho::vpn::sstp {

using Bytes = std::vector<std::uint8_t>;

/// Blanks are for the reader.
inline Bytes from_hex(std::string_view text) {
  Bytes out;
  unsigned value = 0, digits = 0;
  for (const char c : text) {
    if (c == ' ') continue;
    value = value << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    if (++digits % 2 == 0) out.push_back(static_cast<std::uint8_t>(value));
  }
  return out;
}

}  // namespace sekisho::vpn::sstp
