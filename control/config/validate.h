// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/proto/model.pb.h"
#include "control/config/finding.h"

namespace sekisho::control {

/// Everything that is wrong or doubtful with a model: references, ranges, limits, conflicts. Pure; all findings, in
/// document order. A model without errors compiles.
std::vector<Finding> validate(const model::Configuration& model, const Positions& positions);

}  // namespace sekisho::control
