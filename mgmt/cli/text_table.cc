// SPDX-License-Identifier: Apache-2.0
#include "mgmt/cli/text_table.h"

#include <algorithm>
#include <array>

#include "mgmt/log/format.h"
#include "mgmt/log/utf8.h"

namespace sekisho::mgmt {
namespace {

struct Range {
  std::uint32_t first, last;
};

// Unicode 15: East Asian Width W and F, and what terminals draw over the character before. Not wcwidth(): that depends
// on the locale, and in "C" knows no wide character at all.
constexpr auto kWide = std::to_array<Range>({
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},   {0x23f0, 0x23f0},
    {0x23f3, 0x23f3},   {0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267f, 0x267f},
    {0x2693, 0x2693},   {0x26a1, 0x26a1},   {0x26aa, 0x26ab},   {0x26bd, 0x26be},   {0x26c4, 0x26c5},
    {0x26ce, 0x26ce},   {0x26d4, 0x26d4},   {0x26ea, 0x26ea},   {0x26f2, 0x26f3},   {0x26f5, 0x26f5},
    {0x26fa, 0x26fa},   {0x26fd, 0x26fd},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
    {0x274c, 0x274c},   {0x274e, 0x274e},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
    {0x27b0, 0x27b0},   {0x27bf, 0x27bf},   {0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2b55, 0x2b55},
    {0x2e80, 0x303e},   {0x3041, 0x3096},   {0x3099, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0xa4c6},
    {0xa960, 0xa97c},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6b},
    {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18cd5}, {0x1aff0, 0x1b2fb}, {0x1f004, 0x1f004},
    {0x1f0cf, 0x1f0cf}, {0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f64f},
    {0x1f680, 0x1f6fc}, {0x1f7e0, 0x1f7f0}, {0x1f90c, 0x1faf8}, {0x20000, 0x3fffd},
});
constexpr auto kZero = std::to_array<Range>({
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a}, {0x064b, 0x065f},
    {0x0e31, 0x0e31}, {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
    {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff}, {0x302a, 0x302d},
    {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef},
});

template <std::size_t N>
bool in(const std::array<Range, N>& ranges, std::uint32_t code) {
  const auto* after = std::ranges::upper_bound(ranges, code, {}, &Range::first);
  return after != ranges.begin() && code <= std::prev(after)->last;
}

/// Control characters and invalid bytes as visible marks.
std::string printable(std::string_view text) {
  std::string out;
  append_escaped(out, text, Quote::kNone);
  return out;
}

bool is_json_number(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  const bool all = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  return !digits.empty() && all && (digits == "0" || digits[0] != '0');
}

std::string_view cell_of(const ipc::Row& row, int column) {
  return column < row.cells_size() ? std::string_view(row.cells(column)) : std::string_view{};
}

std::string without_end_spaces(std::string line) {
  line.resize(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    offset += character.bytes;
    if (!in(kZero, character.code)) width += in(kWide, character.code) ? 2U : 1U;
  }
  return width;
}

std::string padded(std::string_view text, std::size_t width, Align align) {
  std::string out = printable(text);
  const std::size_t has = display_width(out);
  const std::string spaces(width > has ? width - has : 0, ' ');
  return align == Align::kLeft ? out + spaces : spaces + out;
}

std::string render_table(const ipc::Table& table, Colour colour) {
  std::vector<std::size_t> widths;
  for (int c = 0; c < table.columns_size(); ++c) {
    std::size_t width = display_width(printable(table.columns(c).title()));
    for (const ipc::Row& row : table.rows()) width = std::max(width, display_width(printable(cell_of(row, c))));
    widths.push_back(width);
  }
  const auto line = [&](const auto& text_of_column) {
    std::string out;
    for (int c = 0; c < table.columns_size(); ++c) {
      if (c > 0) out += "  ";
      const Align align = table.columns(c).right() ? Align::kRight : Align::kLeft;
      out += padded(text_of_column(c), widths[static_cast<std::size_t>(c)], align);
    }
    return without_end_spaces(out);
  };
  std::string out =
      painted(line([&](int c) { return std::string_view(table.columns(c).title()); }), Paint::kBold, colour);
  out += '\n';
  for (const ipc::Row& row : table.rows()) out += line([&](int c) { return cell_of(row, c); }) + '\n';
  if (!table.note().empty()) out += painted(printable(table.note()), Paint::kFaint, colour) + '\n';
  return out;
}

std::string render_table_json(const ipc::Table& table) {
  std::string out = "{\"rows\":[";
  for (int r = 0; r < table.rows_size(); ++r) {
    out += r > 0 ? ",{" : "{";
    for (int c = 0; c < table.columns_size(); ++c) {
      const std::string_view value = cell_of(table.rows(r), c);
      if (c > 0) out += ',';
      out += json_text(table.columns(c).key());
      out += ':';
      if (value.empty()) {
        out += "null";
      } else {
        out += table.columns(c).number() && is_json_number(value) ? std::string(value) : json_text(value);
      }
    }
    out += '}';
  }
  out += ']';
  if (!table.note().empty()) out += ",\"note\":" + json_text(table.note());
  return out + "}\n";
}

std::string json_text(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text, Quote::kJson);
  return out + '"';
}

std::string painted(std::string_view text, Paint paint, Colour colour) {
  constexpr std::array<std::string_view, 5> kCodes{"1", "31", "32", "33", "2"};
  if (colour == Colour::kNo) return std::string(text);
  return "\x1b[" + std::string(kCodes[static_cast<std::size_t>(paint)]) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace sekisho::mgmt
