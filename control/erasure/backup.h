// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/proto/erasure.pb.h"
#include "base/result.h"
#include "base/wire/reader.h"
#include "control/config/store.h"
#include "control/erasure/endings.h"

/// A backup of the unit: what is in force with its secrets, accounts, consents, notices, numbers and UUIDs, and which
/// contracts ended. Records and their keys are not in it, nor is any key of the unit.
namespace sekisho::control {

inline constexpr std::uint32_t kBackupFormat = 1;
inline constexpr std::size_t kBackupBytesMax = std::size_t{256} << 20;

Result<erasure::Backup> collect_backup(Store& store, const erasure::StoredErasures& endings, std::int64_t now);
/// Reads what a backup's seal held. Why it is not to be restored; empty: it may be. Any bytes.
std::string read_backup(ByteSpan bytes, erasure::Backup& backup);
/// Why it is not to be restored; empty: it may be.
std::string why_no_backup(const erasure::Backup& backup);

/// A backup without what was erased or has ended since it was made.
struct RestorePlan {
  std::string document;
  std::vector<Store::Record> accounts_and_more[3];  ///< accounts, consents, notices
  std::vector<Ids::NewNumber> numbers;
  std::vector<Ids::NewUuid> uuids;
  std::uint32_t accounts = 0;
  std::vector<std::string> left_out;  ///< sentences
};
RestorePlan plan_restore(erasure::Backup backup, std::span<const StoredErasure> endings);
void adopt_numbers(const RestorePlan& plan, Ids& ids);
/// Puts accounts, consents and notices in the place of those there are.
Result<void> put_records(const RestorePlan& plan, Store& store);

}  // namespace sekisho::control
