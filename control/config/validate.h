// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "control/config/codec.h"
#include "control/config/finding.h"

namespace sekisho::control {

/// Everything that is wrong or doubtful with a document: what reading found, and references, ranges, limits, conflicts of
/// what could be read. A mistake is reported once: nothing is concluded from a value that was refused. Pure; all
/// findings, in document order. A document without errors compiles.
std::vector<Finding> validate(const Decoded& decoded);

}  // namespace sekisho::control
