// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "filters/policy/linear_matcher.h"

namespace sekisho::control {

/// Whether any packet ever gets as far as a rule.
enum class Reach : std::uint8_t {
  kReached,    ///< `example` does
  kCovered,    ///< the rules of `by`, all above it, take between them every packet it would
  kUndecided,  ///< the rules above overlap it too much for the work allowed
};

struct RuleReach {
  std::uint32_t rule = 0;  ///< index in kRules
  Reach reach = Reach::kUndecided;
  /// A packet the rule would take; when kCovered one that a rule of another action takes, if one was met.
  std::optional<filters::PolicyQuery> example;
  std::uint32_t taken_by = 0;     ///< kCovered: index in kRules of the rule that takes `example`
  std::vector<std::uint32_t> by;  ///< indices in kRules, in order
};

/// Units of work, of some nanoseconds each: a range or service entry looked at.
struct CoverageBudget {
  std::uint64_t per_rule = 2'000'000;
  std::uint64_t in_all = 100'000'000;
};

/// Asks this of every rule of a tenant that is no default. Exact: zones, address ranges and services are sets, and what
/// the rules above leave of a rule is their difference; what is too much work is said to be undecided. First a few
/// packets of each rule are tried, which settles nearly all. Deterministic. Pure.
std::vector<RuleReach> find_coverage(const filters::SnapshotView& view, std::uint32_t tenant_index,
                                     const CoverageBudget& budget = {});

}  // namespace sekisho::control
