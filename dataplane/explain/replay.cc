// SPDX-License-Identifier: Apache-2.0
#include "dataplane/explain/replay.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "filters/packet/fields.h"

namespace sekisho::dataplane::explain {
namespace {

using filters::DropReason;

constexpr std::uint64_t kSpanMaxNs = 31ULL * 24 * 3600 * 1'000'000'000;  // a capture with nonsense for times
constexpr std::uint64_t kLookAtClockEvery = 256;

/// Both directions of a flow have one key; frames without an IP header are told apart by type and sender.
struct FlowName {
  Address low, high;
  std::uint64_t ports = 0;
  std::uint64_t link = 0;  ///< tags, and for other ethertypes type and source MAC
  auto operator<=>(const FlowName&) const = default;
};

FlowName name_of(ByteSpan frame, const PacketMeta& meta) {
  FlowName out;
  out.link = std::uint64_t{meta.outer_vlan} << 12 | meta.inner_vlan;
  if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) {
    out.link = filters::ethernet_source(frame).number() << 16 | filters::ether_type(frame, meta);
    return out;
  }
  Address from = filters::ip_source(frame, meta);
  Address to = filters::ip_destination(frame, meta);
  std::uint16_t from_port = meta.source_port;
  std::uint16_t to_port = meta.destination_port;
  if (std::tie(to, to_port) < std::tie(from, from_port)) std::swap(from, to), std::swap(from_port, to_port);
  out.low = from;
  out.high = to;
  out.ports = std::uint64_t{meta.protocol} << 32 | std::uint64_t{from_port} << 16 | to_port;
  return out;
}

bool is_mid_stream(const Runtime& runtime, const Outcome& outcome) {
  const std::uint32_t rule = outcome.trace.rule;
  return outcome.trace.reason == DropReason::kNotFirst && rule != kNoIndex &&
         runtime.rules[rule].action == snapshot::Action::kAllow;
}

/// A fragment whose datagram is not whole yet.
bool waits(const Outcome& outcome) {
  return outcome.trace.end == Trace::End::kNone && outcome.trace.stage < Stage::kFindSession;
}

FlowVerdict verdict(const Runtime& runtime, const Outcome& outcome) {
  return {.passes = outcome.fate != Fate::kDropped || is_mid_stream(runtime, outcome),
          .verdict = std::string(verdict_of(runtime, outcome)),
          .reason = outcome.trace.reason,
          .rule = rule_name(runtime, outcome.trace.rule)};
}

/// One policy of the two.
struct Side {
  const Runtime& runtime;
  std::uint32_t wire;
  std::unique_ptr<PrivateShard> shard;
  std::uint64_t start_tsc;

  static Result<Side> make(Engine& engine, const Policy& policy, std::uint32_t port, std::uint32_t sessions) {
    SEKISHO_TRY(auto shard, PrivateShard::create(engine, policy.runtime, policy.slots, sessions, 1));
    const std::uint32_t wire = policy.runtime.ports[port].wire;
    const std::uint64_t start = shard->live_tsc(wire);
    return Side{policy.runtime, wire, std::move(shard), start};
  }
  Outcome run(ByteSpan frame, std::uint64_t ticks) {
    return shard->run_apart(with_tags(frame, runtime.ports[wire]), wire, start_tsc + ticks);
  }
};

}  // namespace

Result<ReplayReport> replay(Engine& engine, const Policy& running, std::uint32_t running_port, const Policy& candidate,
                            std::uint32_t candidate_port, std::span<const CapturedFrame> frames,
                            std::chrono::milliseconds patience) {
  const auto sessions = static_cast<std::uint32_t>(std::min<std::size_t>(frames.size() + 64, 1U << 16));
  SEKISHO_TRY(Side now, Side::make(engine, running, running_port, sessions));
  SEKISHO_TRY(Side then, Side::make(engine, candidate, candidate_port, sessions));
  const auto deadline = std::chrono::steady_clock::now() + patience;
  ReplayReport report;
  std::map<FlowName, FlippedFlow> flows;
  std::vector<FlowName> order;
  std::uint64_t latest = 0;
  for (const CapturedFrame& frame : frames) {
    if (report.judged % kLookAtClockEvery == 0 && std::chrono::steady_clock::now() > deadline) {
      report.out_of_time = true;
      break;
    }
    const std::uint64_t since = frame.time_ns > frames[0].time_ns ? frame.time_ns - frames[0].time_ns : 0;
    latest = std::max(latest, std::min(since, kSpanMaxNs));  // a frame out of order does not turn time back
    const bool whole = frame.bytes.size() >= 12;
    if (whole && filters::ethernet_source(frame.bytes) == now.runtime.ports[now.wire].mac) {
      ++report.own;
      continue;
    }
    if (frame.bytes.size() + 8 > PrivateShard::kFrameBytesMax || frame.bytes.empty()) {
      ++report.too_long;
      continue;
    }
    const auto ticks = static_cast<std::uint64_t>(static_cast<double>(latest) / engine.shared().tsc_ns);
    const Outcome before = now.run(frame.bytes, ticks);
    const Outcome after = then.run(frame.bytes, ticks);
    ++report.judged;
    if (waits(before) && waits(after)) continue;  // the piece that completes the datagram speaks for it
    PacketMeta meta{};
    const auto length = static_cast<std::uint32_t>(frame.bytes.size());
    if (filters::decode(frame.bytes, length, {false, false}, meta) != DropReason::kNone) continue;  // malformed under any policy
    const FlowName name = name_of(frame.bytes, meta);
    const auto [at, first] = flows.try_emplace(name);
    ++at->second.packets;
    if (!first) continue;
    order.push_back(name);
    report.mid_stream += is_mid_stream(now.runtime, before) || is_mid_stream(then.runtime, after) ? 1U : 0U;
    at->second.flow = summary(frame.bytes, meta);
    at->second.running = verdict(now.runtime, before);
    at->second.candidate = verdict(then.runtime, after);
  }
  report.flows = flows.size();
  for (const FlowName& name : order) {
    FlippedFlow& flow = flows.at(name);
    if (flow.running.passes == flow.candidate.passes) continue;
    if (++report.flipped <= kFlipsMax) report.flips.push_back(std::move(flow));
  }
  return report;
}

}  // namespace sekisho::dataplane::explain
