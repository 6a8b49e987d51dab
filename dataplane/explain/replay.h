// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "dataplane/explain/explain.h"

namespace sekisho::dataplane::explain {

/// A frame as it was captured. Times are since 1970, or any other origin: only their distances matter.
struct CapturedFrame {
  std::uint64_t time_ns;
  ByteSpan bytes;
};

/// What a policy says of a flow: the end of its first packet.
struct FlowVerdict {
  bool passes = false;
  std::string verdict;
  filters::DropReason reason = filters::DropReason::kNone;
  std::string rule;
};

/// A flow that passes under one policy and does not under the other.
struct FlippedFlow {
  std::string flow;  ///< its first frame, in words
  std::uint64_t packets = 0;
  FlowVerdict running, candidate;
};

struct ReplayReport {
  std::uint64_t judged = 0;    ///< frames that went through both policies
  std::uint64_t own = 0;       ///< frames the gateway itself had sent: left out
  std::uint64_t too_long = 0;  ///< frames no packet buffer holds: left out
  std::uint64_t flows = 0;
  std::uint64_t mid_stream = 0;  ///< flows that began before the capture: judged by the rule alone
  std::uint64_t flipped = 0;
  std::vector<FlippedFlow> flips;  ///< in order of their first frame; at most kFlipsMax
  bool out_of_time = false;        ///< the rest was not judged
};

inline constexpr std::size_t kReplayFramesMax = 100'000;
inline constexpr std::size_t kFlipsMax = 10'000;

/// Sends all frames, in order and with their distances in time, into two shards of their own: one
/// under the policy in force, one under the candidate. Both begin without sessions.
Result<ReplayReport> replay(Engine& engine, const Policy& running, std::uint32_t running_port, const Policy& candidate,
                            std::uint32_t candidate_port, std::span<const CapturedFrame> frames,
                            std::chrono::milliseconds patience);

}  // namespace sekisho::dataplane::explain
