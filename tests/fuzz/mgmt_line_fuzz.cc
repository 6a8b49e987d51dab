// SPDX-License-Identifier: Apache-2.0
// Any bytes as a stored line: refused, or a record whose text reads back as itself.
#include "base/assert.h"
#include "mgmt/cli/render.h"
#include "mgmt/log/format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::mgmt;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto entry = parse_json(line);
  const std::string shown = render_log_line(line, Colour::kNo);
  SEKISHO_ASSERT(shown.find('\x1b') == std::string::npos && shown.find('\n') == std::string::npos);
  if (!entry) return 0;
  std::string text;
  append_json(text, *entry, Audience::kProvider);
  const auto back = parse_json(text);
  SEKISHO_ASSERT(back.has_value());
  std::string again;
  append_json(again, *back, Audience::kProvider);
  SEKISHO_ASSERT(text == again);
  return 0;
}
