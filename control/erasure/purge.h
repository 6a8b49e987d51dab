// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "control/access/people.h"
#include "control/compile/ids.h"
#include "control/config/store.h"
#include "control/erasure/erasures.h"

namespace sekisho::control {

/// Where a tenant's data is, besides the log.
struct PurgeWorld {
  Store& store;
  Ids& ids;
  People& people;
  /// What daemons of remote access left to remember, by the tenant's number.
  std::function<Purged(std::uint32_t tenant)> vpn_memory;
  /// Records on their way to the log, by service code.
  std::function<Purged(const std::string& tenant)> undelivered;
  /// What is in memory alone: answers that are remembered, points of charts.
  std::function<Result<void>(const std::string& tenant, bool whole)> caches;
};

/// Takes what `ending` speaks of out of everything controld keeps, and looks what is left. May be done again.
Result<std::vector<Purged>> purge(const PurgeWorld& world, const StoredErasure& ending);

/// A tenant's part of a configuration as the owner of an ended contract may still read it; nothing when none is kept.
Result<std::optional<model::Tenant>> ended_document(Store& store, const std::string& tenant);
Result<void> keep_ended_document(Store& store, const model::Tenant& part);

}  // namespace sekisho::control
