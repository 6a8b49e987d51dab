// SPDX-License-Identifier: Apache-2.0
#include "filters/drop_reason.h"

#include <array>

#include "base/assert.h"

namespace sekisho::filters {
namespace {

constexpr std::array<DropReasonInfo, static_cast<std::size_t>(DropReason::kCount)> kInfo{{
#define SEKISHO_X(enumerator, name, reason, event) {name, LogReason::reason, event},
    SEKISHO_DROP_REASONS(SEKISHO_X)
#undef SEKISHO_X
}};

}  // namespace

const DropReasonInfo& info(DropReason reason) {
  SEKISHO_ASSERT(reason < DropReason::kCount);
  return kInfo[static_cast<std::size_t>(reason)];
}

}  // namespace sekisho::filters
