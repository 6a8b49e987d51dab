// SPDX-License-Identifier: Apache-2.0
#include "dataplane/explain/explain.h"

#include <algorithm>

#include "filters/packet/protocol.h"

namespace sekisho::dataplane::explain {
namespace {

Result<Outcome> run_once(Engine& engine, const Policy& policy, const std::vector<std::uint8_t>& frame, std::uint32_t port,
                         const Description* described = nullptr) {
  SEKISHO_TRY(const auto shard, PrivateShard::create(engine, policy.runtime, policy.slots, PrivateShard::kSessionsMin,
                                                       engine.shards()));
  if (described != nullptr && described->user) {
    SEKISHO_CHECK_OK(shard->pretend(port, described->source, described->destination, *described->user));
  }
  return shard->run_live(frame, policy.runtime.ports[port].wire);
}

/// A described segment of a connection that lives, without numbers of its own: those come from the connection.
bool wants_numbers(const Description& packet, const Outcome& outcome) {
  return packet.protocol == filters::kProtocolTcp && (packet.tcp_flags & filters::kTcpSyn) == 0 && !packet.sequence &&
         outcome.before.has_value() && outcome.before->protocol == filters::kProtocolTcp;
}

}  // namespace

Result<Explanation> explain(Engine& engine, const Policy& policy, const Packet& packet, std::uint32_t port) {
  Explanation out;
  const Runtime& runtime = policy.runtime;
  const PortEntry& wire = runtime.ports[runtime.ports[port].wire];
  if (const auto* captured = std::get_if<std::vector<std::uint8_t>>(&packet)) {
    SEKISHO_TRY(out.outcome, run_once(engine, policy, with_tags(*captured, wire), port));
  } else {
    Description described = std::get<Description>(packet);
    SEKISHO_TRY(out.outcome, run_once(engine, policy, frame_of(described, runtime, port), port, &described));
    if (wants_numbers(described, out.outcome)) {
      const Session& session = *out.outcome.before;
      const std::size_t own = out.outcome.meta.reverse & 1U;
      described.sequence = session.tcp.flow[own].end;
      if (!described.acknowledgement) described.acknowledgement = session.tcp.flow[own ^ 1U].end;
      SEKISHO_TRY(out.outcome, run_once(engine, policy, frame_of(described, runtime, port), port, &described));
    }
  }
  out.generation = runtime.revision;
  out.verdict = verdict_of(runtime, out.outcome);
  out.reason = out.outcome.trace.reason;
  out.rule = rule_name(runtime, out.outcome.trace.rule);
  out.steps = narrate(runtime, out.outcome);
  return out;
}

std::string_view verdict_of(const Runtime& runtime, const Outcome& outcome) {
  switch (outcome.fate) {
    case Fate::kForwarded: return "allow";
    case Fate::kAnswered: return "answer";
    case Fate::kConsumed: return "consume";
    case Fate::kHeld: return "hold";
    case Fate::kDropped: break;
  }
  const std::uint32_t rule = outcome.trace.rule;
  const bool reject = rule != kNoIndex && outcome.trace.reason == filters::DropReason::kRuleReject &&
                      runtime.rules[rule].action == snapshot::Action::kReject;
  return reject ? "reject" : "drop";
}

std::uint32_t port_index(const Runtime& runtime, std::uint32_t id) {
  const auto at = std::find_if(runtime.ports.begin(), runtime.ports.end(), [id](const PortEntry& port) { return port.id == id; });
  return at == runtime.ports.end() ? kNoIndex : static_cast<std::uint32_t>(at - runtime.ports.begin());
}

}  // namespace sekisho::dataplane::explain
