// SPDX-License-Identifier: Apache-2.0
// A message of event.sock is refused by the name of a field, or becomes a line that reads back as the same record.
#include "base/assert.h"
#include "mgmt/log/event_server.h"
#include "mgmt/log/format.h"
#include "mgmt/log/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::mgmt;
  ipc::ToEventLog message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  const EventEntry made = entry_of(message);
  if (!made.refusal.empty()) return 0;
  std::string line, csv;
  append_json(line, made.entry, Audience::kProvider);
  append_csv(csv, made.entry);
  const auto back = parse_json(line);
  SEKISHO_ASSERT(back.has_value());
  std::string again;
  append_json(again, *back, Audience::kProvider);
  SEKISHO_ASSERT(again == line);
  return 0;
}
