// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/quarantine.h"

#include <algorithm>
#include <limits>

#include "filters/link/binding_guard.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

LogEnvelope envelope(const Shard& shard, const OpenQuarantine& open, DropReason event, std::uint64_t count) {
  LogEnvelope out{};
  out.timestamp = shard.now_ns;
  out.tenant = open.tenant;
  out.generation = open.generation;
  out.kind = LogKind::kSec;
  out.drop_reason = static_cast<std::uint8_t>(event);
  out.count = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(count, 1, std::numeric_limits<std::uint32_t>::max()));
  return out;
}

bool is_watched(const Runtime& config, std::uint32_t id) {
  const auto at = std::lower_bound(config.bindings.begin(), config.bindings.end(), id,
                                   [](const BindingEntry& binding, std::uint32_t wanted) { return binding.id < wanted; });
  return at != config.bindings.end() && at->id == id && at->rules.hot().watched;
}

}  // namespace

void note_violation(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t binding,
                    DropReason reason) noexcept {
  const BindingEntry& entry = config.bindings[binding];
  if (!entry.rules.hot().watched || !filters::is_violation(reason)) return;
  if (!shard.shared.quarantines[entry.slot].violation(shard.now_ms)) return;
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const OpenQuarantine open{.binding = entry.id,
                            .slot = entry.slot,
                            .tenant = meta.tenant,
                            .tenant_slot = port.tenant_slot,
                            .in_port = port.id,
                            .generation = config.revision,
                            .began_ns = shard.now_ns};
  SecBody body{};
  filters::describe_violation(frame_of(packet), meta, body);
  body.first_timestamp = body.last_timestamp = shard.now_ns;
  body.binding = open.binding;
  body.in_port = open.in_port;
  shard.log.write(envelope(shard, open, DropReason::kAeQuarantine, filters::Quarantine::kViolations), body, open.tenant_slot);
  shard.quarantined.push_back(open);  // within the room made at start: one place a Binding
}

void refuse_quarantined(Shard& shard, rte_mbuf* packet, const BindingEntry& binding, std::uint32_t tenant_slot) noexcept {
  shard.shared.quarantines[binding.slot].refused();
  shard.drop(packet, DropReason::kAeQuarantine, tenant_slot);
}

void end_quarantines(Shard& shard, const Runtime& config) noexcept {
  std::erase_if(shard.quarantined, [&](const OpenQuarantine& open) {
    filters::Quarantine& quarantine = shard.shared.quarantines[open.slot];
    if (quarantine.holds(shard.now_ms) && is_watched(config, open.binding)) return false;
    SecBody body{};
    body.first_timestamp = open.began_ns;
    body.last_timestamp = shard.now_ns;
    body.binding = open.binding;
    body.in_port = open.in_port;
    shard.log.write(envelope(shard, open, DropReason::kAeRelease, quarantine.finish()), body, open.tenant_slot);
    return true;
  });
}

}  // namespace sekisho::dataplane::path
