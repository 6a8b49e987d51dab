// SPDX-License-Identifier: Apache-2.0
//
// How long a worker takes to judge a million sessions again after a commit, and what its traffic notices: idle, and
// with a full burst in every turn. Prints one JSON object a line.
//
// Usage: sweep_bench [SESSIONS]
#include <rte_cycles.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tests/support/eal.h"
#include "tests/support/world.h"

namespace {

using namespace sekisho;
using namespace sekisho::tests;
using Clock = std::chrono::steady_clock;

constexpr unsigned kBurst = 64;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Bench {
  World world;
  std::uint32_t generation = 0;
  dataplane::Shard& shard() { return world.engine().shard(0); }

  Frame packet(std::uint16_t from, std::uint16_t to) {
    return FrameBuilder()
        .ethernet(kClientMac, world.gateway(kClientNic))
        .ipv4("10.0.0.34", "10.0.0.2")
        .udp(from, to)
        .build();
  }
  void open(std::uint32_t sessions) {
    for (std::uint32_t made = 0; made < sessions;) {
      for (unsigned i = 0; i < kBurst && made < sessions; ++i, ++made)
        world.queue(kClientNic,
                    packet(static_cast<std::uint16_t>(1 + made % 60000), static_cast<std::uint16_t>(1 + made / 60000)));
      world.engine().turn(0, rte_rdtsc());
      world.collect(kServerNic);
    }
  }
  /// Turns until every session has been judged; with a burst in each when `busy`.
  void sweep(bool busy, const std::vector<RuleText>& rules, const char* what) {
    const auto before = world.sessions();
    world.apply(++generation, rules);
    const Frame frame = packet(1, 1);
    const auto start = Clock::now();
    double longest = 0, working = 0;
    std::uint64_t turns = 0;
    while (shard().sweep.finished.read() != world.engine().runtime()->generation) {
      if (busy) {
        for (unsigned i = 0; i < kBurst; ++i) world.queue(kClientNic, frame);
      }
      const auto turn = Clock::now();
      world.engine().turn(0, rte_rdtsc());
      longest = std::max(longest, ms_since(turn));
      working += ms_since(turn);
      ++turns;
      if (busy) world.collect(kServerNic);
    }
    std::printf(
        "{\"bench\":\"sweep\",\"what\":\"%s\",\"busy\":%s,\"sessions\":%lu,\"left\":%lu,\"ms\":%.1f,\"turns\":%lu,\"ms_"
        "in_turns\":%.1f,\"longest_turn_ms\":%.3f}\n",
        what, busy ? "true" : "false", static_cast<unsigned long>(before), static_cast<unsigned long>(world.sessions()),
        ms_since(start), static_cast<unsigned long>(turns), working, longest);
  }
};

}  // namespace

int main(int argc, char** argv) {
  const auto sessions = static_cast<std::uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000);
  ensure_eal(1024 + static_cast<int>(sessions / 2000), false, true);
  Bench bench{
      .world = World({.workers = 1, .sessions = std::max(4096U, sessions + sessions / 20), .sessions_max = 4'000'000})};
  const std::vector<RuleText> allow{{.id = 11}};
  bench.world.apply(++bench.generation, allow);
  bench.open(sessions);
  bench.sweep(false, {{.id = 12}}, "all stay");
  bench.sweep(true, {{.id = 13}}, "all stay");
  bench.sweep(true, {{.id = 14, .sources = {"10.0.0.34/32"}, .protocol = 17, .port_high = 8}}, "half end");
  return 0;
}
