// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/proto/model.pb.h"

namespace sekisho::control {

enum class ChangeKind : std::uint8_t { kAdded, kRemoved, kChanged, kMoved };

/// One difference in meaning: "tenants[acme].policies[inside].rules[web allowed].action", before, after.
struct Change {
  ChangeKind kind = ChangeKind::kChanged;
  std::string path;
  std::string before;
  std::string after;
};

/// What differs between two valid models, objects matched by name. A field left out equals its default written out; the
/// order of a list counts only where it means something (policies, rules). Pure.
std::vector<Change> diff_models(const model::Configuration& before, const model::Configuration& after);

}  // namespace sekisho::control
