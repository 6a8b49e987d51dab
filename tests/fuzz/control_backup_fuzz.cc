// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a backup's seal held: of what is taken nothing is restored whose contract the backup itself says is erased.
#include "base/assert.h"
#include "control/config/codec.h"
#include "control/erasure/backup.h"

namespace {
std::size_t accepted = 0;
}

extern "C" std::size_t sekisho_fuzz_accepted() { return accepted; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sekisho;
  using namespace sekisho::control;
  erasure::Backup backup;
  if (!read_backup({data, size}, backup).empty()) return 0;
  const std::vector<StoredErasure> endings(backup.erasures().erasures().begin(), backup.erasures().erasures().end());
  const int records = backup.records_size();
  const RestorePlan plan = plan_restore(std::move(backup), endings);
  const Decoded decoded = decode_document(plan.document);
  for (const StoredErasure& one : endings) {
    if (one.scope() != StoredErasure::CONTRACT || one.state() < StoredErasure::ERASING) continue;
    for (const model::Tenant& tenant : decoded.model.tenants()) SEKISHO_ASSERT(tenant.service_code() != one.tenant());
    for (const Store::Record& account : plan.accounts_and_more[0]) SEKISHO_ASSERT(!account.key.ends_with('@' + one.tenant()));
  }
  std::size_t restored = 0;
  for (const auto& list : plan.accounts_and_more) restored += list.size();
  SEKISHO_ASSERT(restored <= static_cast<std::size_t>(records));
  Ids ids;
  adopt_numbers(plan, ids);
  ++accepted;
  return 0;
}
