// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/proto/erasure.pb.h"
#include "base/proto/model.pb.h"
#include "base/result.h"
#include "base/time/civil_day.h"

/// What an end leaves of a document, and the days that follow it. Pure.
namespace sekisho::control {

using erasure::StoredErasure;

/// Why these are no endings that anybody wrote (a file, a backup); empty: they are.
std::string why_no_endings(const erasure::StoredErasures& endings);

/// Reads erasures.bin, as Erasures keeps it. kMalformed: nobody wrote these bytes. Any bytes.
Result<erasure::StoredErasures> read_endings(const std::string& bytes);

/// Takes out of a configuration what may not be in force: of a contract that ended all but names and how people sign in,
/// of one that is erased everything; of remote access that ended its gateways, while it is erased all of it. What was
/// erased may be ordered anew, but for a contract: its service code is not given again. Returns a sentence about the
/// first one that was found; empty: nothing was.
std::string apply_endings(std::span<const StoredErasure> endings, model::Configuration& configuration);

/// Takes out all that `ending` speaks of; true when there was any.
bool take_out(const StoredErasure& ending, model::Configuration& configuration);

/// The last day of the contract: an end at midnight is the day before's.
Day last_day_of(const StoredErasure& ending);
/// The last day on which its owner may read and download: 30 days, or a week before the limit.
Day readable_until(const StoredErasure& ending);
/// The day it is erased, and the one by whose end it has to be: 60 of 90 days, 37 of 45, 30 of 30.
Day planned_day(const StoredErasure& ending);
Day limit_day(const StoredErasure& ending);

/// "contract", "remote_access"; "firewall", "remote_access", "other"; "requested", "ended", "erasing", "erased".
std::string_view to_text(StoredErasure::Scope scope);
std::string_view to_text(ipc::EraseLog::Contract contract);
std::string_view to_text(StoredErasure::State state);

}  // namespace sekisho::control
