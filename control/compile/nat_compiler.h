// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/compile/rule_compiler.h"

namespace sekisho::control {

/// Compiles the NAT rules of one tenant into builder.nat_rules, in their order, and reports what only resolved names show:
/// pools that are too small, ranges of unequal size. A rule that can match nothing is left out with a warning.
/// `rules` resolves the names: both share their runs of ranges; numbers come from `ids`, as those of rules. One thread.
void compile_nat(filters::SnapshotBuilder& builder, Reporter& reporter, RuleCompiler& rules, Ids& ids, const model::Tenant& tenant,
                 const Path& tenant_path);

}  // namespace sekisho::control
