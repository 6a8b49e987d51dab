// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"

/// What becomes of Bindings that are watched (violation: quarantine). Thread: the shard's.
namespace sekisho::dataplane::path {

/// Counts a violation of the Binding at index `binding` by `packet`; with the hundredth of a minute all it sends and is
/// sent is refused, and a record says so.
void note_violation(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t binding,
                    filters::DropReason reason) noexcept;

/// Nothing from or to the Binding may pass now.
[[nodiscard]] inline bool is_quarantined(const Shard& shard, const BindingEntry& binding) noexcept {
  return binding.rules.hot().watched && shard.shared.quarantines[binding.slot].holds(shard.now_ms);
}
/// Ends a packet from or to a quarantined Binding: counted, and told by the record of the quarantine's end alone.
void refuse_quarantined(Shard& shard, rte_mbuf* packet, const BindingEntry& binding, std::uint32_t tenant_slot) noexcept;

/// Writes the end of those this shard began that are over: their time passed, somebody released them, or the Binding is
/// watched no longer.
void end_quarantines(Shard& shard, const Runtime& config) noexcept;

}  // namespace sekisho::dataplane::path
