// SPDX-License-Identifier: Apache-2.0
// Any bytes as a collector's reply: refused or read, and the same whether they come at once or in two pieces.
#include "base/assert.h"
#include "mgmt/export/https.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho::mgmt;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t cut = size == 1 ? 0 : data[0] % size;
  HttpReply once, twice;
  const bool taken = once.put(text).has_value();
  const bool first = twice.put(text.substr(0, std::min(cut, text.size()))).has_value();
  const bool both = first && twice.put(text.substr(std::min(cut, text.size()))).has_value();
  SEKISHO_ASSERT(taken == both);
  if (!taken || !once.put_end() || !once.whole()) return 0;
  SEKISHO_ASSERT(twice.put_end().has_value() && twice.whole() && once.status() == twice.status());
  SEKISHO_ASSERT(once.retry_after() == twice.retry_after() && once.retry_after() <= 3600);
  return 0;
}
