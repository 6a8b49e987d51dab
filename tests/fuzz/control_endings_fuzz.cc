// SPDX-License-Identifier: Apache-2.0
// Any bytes as erasures.bin: what is taken has days in their order, reads the same when it is written again, and leaves of a document
// nothing that is erased.
#include "base/assert.h"
#include "control/erasure/endings.h"
#include "control/erasure/erasures.h"

namespace {
std::size_t accepted = 0;
}

extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::control;
  const auto stored = read_endings({reinterpret_cast<const char*>(data), size});
  if (!stored) return 0;
  const auto again = read_endings(stored->SerializeAsString());
  SEKISHO_ASSERT(again && again->erasures_size() == stored->erasures_size());
  model::Configuration model;
  for (const StoredErasure& one : stored->erasures()) {
    SEKISHO_ASSERT(last_day_of(one) <= readable_until(one));
    SEKISHO_ASSERT(readable_until(one) <= planned_day(one) && planned_day(one) <= limit_day(one));
    SEKISHO_ASSERT(!to_text(one.scope()).empty() && !to_text(one.contract()).empty() && !to_text(one.state()).empty());
    model.add_tenants()->set_service_code(one.tenant());
  }
  const std::vector<StoredErasure> all(stored->erasures().begin(), stored->erasures().end());
  (void)apply_endings(all, model);
  for (const StoredErasure& one : all) {
    const bool gone = one.scope() == StoredErasure::CONTRACT && one.state() >= StoredErasure::ERASING;
    for (const model::Tenant& tenant : model.tenants()) SEKISHO_ASSERT(!gone || tenant.service_code() != one.tenant());
  }
  accepted += all.empty() ? 0U : 1U;
  return 0;
}
