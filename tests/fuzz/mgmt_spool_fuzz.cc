// SPDX-License-Identifier: Apache-2.0
// Any bytes as a spool's entries: never more records or marks than the bytes can hold, and nothing else happens.
#include "base/assert.h"
#include "mgmt/log/spool.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto found = sekisho::mgmt::read_spool({data, size});
  const std::size_t spilled = found.spill ? found.spill->size() : 0;
  SEKISHO_ASSERT(found.records.size() * sizeof(sekisho::LogRecord) <= size);
  SEKISHO_ASSERT(spilled * sizeof(sekisho::LogRecord) <= size);
  SEKISHO_ASSERT(found.marks.size() * sizeof(sekisho::mgmt::RingMark) <= size);
  SEKISHO_ASSERT(found.lengths.size() * 16 <= size);
  return 0;
}
