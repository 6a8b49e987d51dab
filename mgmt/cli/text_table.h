// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/proto/control_mgmt.pb.h"

/// Pure functions from answers to text: tables for people, JSON for programs.
namespace sekisho::mgmt {

/// Whether escape sequences for colours may be written.
enum class Colour : bool { kNo, kYes };

/// Columns a terminal gives the text: 2 for wide East Asian characters, 0 for combining ones.
std::size_t display_width(std::string_view text);

/// `text` without control characters (a name must not move the cursor) and with spaces up to `width` columns.
enum class Align : bool { kLeft, kRight };
std::string padded(std::string_view text, std::size_t width, Align align);

/// Columns with two spaces between, titles first (bold with colour), then the note if there is one.
std::string render_table(const ipc::Table& table, Colour colour);

/// {"rows":[{"key":value,...},...],"note":"..."}; cells of number columns that are numbers stand without quotes, empty
/// cells are null; note only when there is one.
std::string render_table_json(const ipc::Table& table);

/// "text" with JSON's escapes.
std::string json_text(std::string_view text);

/// `text` between the codes of bold, red, green, yellow; unchanged without colour.
enum class Paint : unsigned char { kBold, kRed, kGreen, kYellow, kFaint };
std::string painted(std::string_view text, Paint paint, Colour colour);

}  // namespace sekisho::mgmt
