// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace sekisho::mgmt {

/// One character of a text that may not be UTF-8.
struct Character {
  std::uint32_t code = 0;  ///< Unicode scalar value; U+FFFD when the bytes are not UTF-8
  std::uint8_t bytes = 0;  ///< how many bytes it took; 0 at the end
  bool valid = true;
};

/// The character at `offset`. Overlong forms, surrogates and stray bytes are invalid and one byte long.
Character character_at(std::string_view text, std::size_t offset);

/// The longest prefix with at most `characters` characters: never ends inside one.
std::string_view cut_characters(std::string_view text, std::size_t characters);

/// C0, DEL and C1: what a terminal or a spreadsheet may act upon.
inline bool is_control(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

}  // namespace sekisho::mgmt
