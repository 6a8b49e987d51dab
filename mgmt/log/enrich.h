// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "mgmt/log/entry.h"
#include "mgmt/log/names.h"
#include "mgmt/log/record.h"

namespace sekisho::mgmt {

/// Gives a ring record its names. Sequence number and event id come later, when it is stored.
///
/// Names are those of the record's own generation. When the cache does not have it, the nearest generation that knows
/// the tenant serves, and what may have been renamed in between (rule name, number, policy) is left out; interface and
/// zone, which every record must have, are as they were there. Empty when no generation knows the tenant.
std::optional<LogEntry> enrich(const RingRecord& record, const NameCache& cache);

}  // namespace sekisho::mgmt
