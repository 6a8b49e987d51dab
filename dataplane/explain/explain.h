// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "dataplane/explain/describe.h"
#include "dataplane/explain/private_shard.h"

/// Says what would happen to a packet, and why, by running the path's own stages on it in a shard of its own.
/// Live state is read and never written. Thread: control.
namespace sekisho::dataplane::explain {

/// One stage's decision, in words; `object` and `id` name what decided ("rule inside/web", its UUID).
struct Step {
  std::string stage, result, object, id, detail;
};

struct Explanation {
  std::uint32_t generation = 0;  ///< the one it was judged under
  std::string verdict;           ///< allow drop reject answer consume hold
  filters::DropReason reason = filters::DropReason::kNone;
  std::string rule;              ///< "policy/name" of the rule that judged it; empty: none did
  std::vector<Step> steps;
  Outcome outcome;
};

/// The packet: described, or the bytes of a frame.
using Packet = std::variant<Description, std::vector<std::uint8_t>>;

/// A policy to judge under, with the places its counters would have.
struct Policy {
  const Runtime& runtime;
  const Slots& slots;
};

/// What would happen to `packet` coming in at port index `port` now. A described TCP segment of a live connection gets
/// the numbers that connection expects, unless it says some.
Result<Explanation> explain(Engine& engine, const Policy& policy, const Packet& packet, std::uint32_t port);

/// "tcp 10.0.0.34:40000 > 10.0.0.2:443 syn, 40 bytes" of a decoded frame.
std::string summary(ByteSpan frame, const PacketMeta& meta);
/// "inside/web"; a default: "inside/既定拒否".
std::string rule_name(const Runtime& runtime, std::uint32_t rule);
/// allow drop reject answer consume hold.
std::string_view verdict_of(const Runtime& runtime, const Outcome& outcome);
/// The index of PortId value `id`, or kNoIndex.
std::uint32_t port_index(const Runtime& runtime, std::uint32_t id);

/// The steps of an outcome.
std::vector<Step> narrate(const Runtime& runtime, const Outcome& outcome);

}  // namespace sekisho::dataplane::explain
