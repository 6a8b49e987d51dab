// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/utf8.h"

namespace sekisho::mgmt {

Character character_at(std::string_view text, std::size_t offset) {
  if (offset >= text.size()) return {};
  const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<std::uint8_t>(text[offset + i])}; };
  const std::uint32_t first = byte(0);
  if (first < 0x80) return {first, 1, true};
  constexpr Character kInvalid{0xfffd, 1, false};
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || length > text.size() - offset) return kInvalid;
  std::uint32_t code = first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return kInvalid;
    code = code << 6 | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return kInvalid;
  return {code, static_cast<std::uint8_t>(length), true};
}

std::string_view cut_characters(std::string_view text, std::size_t characters) {
  std::size_t offset = 0;
  for (; characters > 0 && offset < text.size(); --characters) offset += character_at(text, offset).bytes;
  return text.substr(0, offset);
}

}  // namespace sekisho::mgmt
