// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "base/proto/control_dataplane.pb.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"
#include "control/config/finding.h"

namespace sekisho::control {

/// Rules not hit for so long are reported (specification F-15).
inline constexpr std::int64_t kUnusedSeconds = std::int64_t{90} * 24 * 3600;

/// Warnings about rules of `model` that stood in `before`, what was in force kUnusedSeconds ago, and were not hit since. Nothing
/// when the data plane has not counted for so long. `ids` gives no new numbers: those of `before` have theirs. `now`: Unix
/// seconds. Pure but for the look-up.
std::vector<Finding> remark_on_unused(const model::Configuration& model, const Positions& positions, const model::Configuration& before,
                                      const ipc::Counters& counters, Ids& ids, std::int64_t now);

}  // namespace sekisho::control
