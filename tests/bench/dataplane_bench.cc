// SPDX-License-Identifier: Apache-2.0
//
// Our data plane between two measuring ports: the library dataplaned runs, one worker, no other process beside it. The
// ports (usually net_pfgen) measure; this program configures, changes the configuration while packets flow, and says at
// the end what it counted, as one JSON object.
//
// Usage: dataplane_bench EAL-ARGUMENTS -- [key=value ...]
//   sessions=N     session table (default 65536)
//   rules=N        of the first tenant, default 1000; tenants=N in all, default 1; other_rules=N of each other, default 10
//   log=0..3       LogSetting bits of rules that allow: 1 start, 2 end (default 2); refusals are not logged with 0
//   nat=0..2       nothing, every source one to one, or into its block of ports (bench_network.h)
//   half_open=N    connections a tenant may have half open; beyond it SYNs are answered with cookies (default 0: no limit)
//   devices=A,B    DPDK names of the two ports (default net_pfgen0,net_pfgen1)
//   swap_ms=N      apply the next generation every N ms (default 0: never); each differs from the one before in every
//   rule index memory=1       no packets: measure what sessions, tenants and rules cost in memory
// With two lcores the worker has the second and the main one sleeps or swaps; with one, the main lcore is the worker
// and swap_ms is refused. Ends on SIGINT or SIGTERM.
#include <malloc.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "dataplane/engine.h"
#include "filters/drop_reason.h"
#include "tests/bench/bench_network.h"

namespace {

using namespace sekisho;
using bench::NetworkPlan;
using dataplane::Engine;

constexpr std::uint32_t kFirstGeneration = 2;

struct Arguments {
  NetworkPlan plan;
  std::uint32_t sessions = 65536;
  std::uint32_t swap_ms = 0;
  bool memory = false;
};

bool parse_word(std::string_view word, Arguments& out) {
  const std::size_t at = word.find('=');
  if (at == std::string_view::npos) return false;
  const std::string_view key = word.substr(0, at);
  const std::string value(word.substr(at + 1));
  if (key == "devices") {
    const std::size_t comma = value.find(',');
    if (comma == std::string::npos) return false;
    out.plan.devices = {value.substr(0, comma), value.substr(comma + 1)};
    return true;
  }
  char* end = nullptr;
  const auto number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), &end, 10));
  if (value.empty() || *end != '\0') return false;
  if (key == "sessions")
    out.sessions = number;
  else if (key == "rules")
    out.plan.rules = number;
  else if (key == "tenants")
    out.plan.tenants = number;
  else if (key == "other_rules")
    out.plan.other_rules = number;
  else if (key == "log")
    out.plan.log = static_cast<std::uint8_t>(number & 3U), out.plan.deny_logged = number != 0;
  else if (key == "nat")
    out.plan.translation = static_cast<bench::Translation>(std::min(number, 2U));
  else if (key == "half_open")
    out.plan.half_open_max = number;
  else if (key == "swap_ms")
    out.swap_ms = number;
  else if (key == "memory")
    out.memory = number != 0;
  else
    return false;
  return true;
}

Engine::Options options_for(const Arguments& arguments) {
  Engine::Options options;
  options.shard.sessions = arguments.sessions;
  return options;
}

/// Applies generation `number`; false and a sentence on stderr when it is refused.
bool apply(Engine& engine, const NetworkPlan& plan, std::uint32_t number, Engine::Applied& applied) {
  dataplane::LoadError error;
  if (engine.apply(bench::make_snapshot(plan, number), applied, error)) return true;
  std::fprintf(stderr, "dataplane_bench: generation %u is refused: %s (byte %u)\n", number, error.reason.c_str(),
               error.offset);
  return false;
}

std::unique_ptr<Engine> make_engine(const Arguments& arguments) {
  auto engine = Engine::create(options_for(arguments));
  if (engine.has_value()) return std::move(*engine);
  std::fprintf(stderr, "dataplane_bench: no engine for %u sessions (detail %u): is there memory enough?\n",
               arguments.sessions, engine.error().detail);
  return nullptr;
}

// ---- Traffic -------------------------------------------------------------------------------------------------------

/// How long each change of the configuration took.
struct Swaps {
  std::vector<std::uint64_t> build_us, swap_us;
};

void print_swaps(Swaps& swaps) {
  if (swaps.build_us.empty()) return;
  std::sort(swaps.build_us.begin(), swaps.build_us.end());
  std::sort(swaps.swap_us.begin(), swaps.swap_us.end());
  const std::size_t middle = swaps.build_us.size() / 2;
  std::printf(",\"swaps\":%zu,\"build_us\":[%lu,%lu,%lu],\"swap_us\":[%lu,%lu,%lu]", swaps.build_us.size(),
              swaps.build_us.front(), swaps.build_us[middle], swaps.build_us.back(), swaps.swap_us.front(),
              swaps.swap_us[middle], swaps.swap_us.back());
}

void print_counters(Engine& engine, Swaps& swaps) {
  dataplane::Shard& shard = engine.shard(0);
  std::uint64_t sessions = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(filters::DropReason::kCount)> drops{};
  for (std::size_t tenant = 0; tenant < shard.tenants.size(); ++tenant) {
    sessions += shard.tenants[tenant].sessions.read();
    for (std::size_t reason = 0; reason < drops.size(); ++reason)
      drops[reason] += shard.tenants[tenant].drops[reason].read();
  }
  std::printf(
      "{\"bench\":\"dataplane\",\"received\":%lu,\"sent\":%lu,\"dropped\":%lu,\"punted\":%lu,\"violations\":%lu,"
      "\"sessions\":%lu",
      shard.packets.received.read(), shard.packets.sent.read(), shard.packets.dropped.read(),
      shard.packets.punted.read(), shard.packets.violations.read(), sessions);
  print_swaps(swaps);
  std::printf(",\"drops\":{");
  const char* comma = "";
  for (std::size_t reason = 0; reason < drops.size(); ++reason) {
    if (drops[reason] == 0) continue;
    const std::string_view name = filters::info(static_cast<filters::DropReason>(reason)).name;
    std::printf("%s\"%.*s\":%lu", comma, static_cast<int>(name.size()), name.data(), drops[reason]);
    comma = ",";
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

int run_worker(void* engine) {
  static_cast<Engine*>(engine)->run(0);
  return 0;
}

/// Waits for SIGINT or SIGTERM, which every thread has blocked; with `swap_ms`, applies the next generation after each
/// wait. False when a generation was refused.
bool wait_and_swap(Engine& engine, const Arguments& arguments, const sigset_t& signals, Swaps& swaps) {
  timespec pause{};
  pause.tv_sec = static_cast<time_t>(arguments.swap_ms / 1000);
  pause.tv_nsec = static_cast<long>(arguments.swap_ms % 1000) * 1'000'000;
  for (std::uint32_t generation = kFirstGeneration + 1;; ++generation) {
    const int caught =
        arguments.swap_ms == 0 ? sigwaitinfo(&signals, nullptr) : sigtimedwait(&signals, nullptr, &pause);
    if (caught > 0) return true;
    if (arguments.swap_ms == 0) continue;
    Engine::Applied applied;
    if (!apply(engine, arguments.plan, generation, applied)) return false;
    swaps.build_us.push_back(applied.build_microseconds);
    swaps.swap_us.push_back(applied.swap_microseconds);
  }
}

Engine* g_engine = nullptr;

sigset_t ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

int measure_traffic(const Arguments& arguments) {
  const auto engine = make_engine(arguments);
  Engine::Applied applied;
  if (engine == nullptr || !apply(*engine, arguments.plan, kFirstGeneration, applied)) return 1;
  const sigset_t signals = ending_signals();
  Swaps swaps;
  bool good = true;
  const unsigned worker = rte_get_next_lcore(-1U, 1, 0);
  if (worker < RTE_MAX_LCORE) {
    rte_eal_remote_launch(run_worker, engine.get(), worker);
    good = wait_and_swap(*engine, arguments, signals, swaps);
    engine->stop();
    rte_eal_wait_lcore(worker);
  } else {
    g_engine = engine.get();
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { g_engine->stop(); });
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    engine->run(0);
  }
  print_counters(*engine, swaps);
  return good ? 0 : 1;
}

// ---- Memory --------------------------------------------------------------------------------------------------------

/// Bytes in use: DPDK's heaps and the C library's.
std::int64_t bytes_in_use() {
  std::size_t bytes = mallinfo2().uordblks + mallinfo2().hblkhd;
  for (int socket = 0; socket < RTE_MAX_NUMA_NODES; ++socket) {
    rte_malloc_socket_stats stats;
    if (rte_malloc_get_socket_stats(socket, &stats) == 0) bytes += stats.heap_allocsz_bytes;
  }
  return static_cast<std::int64_t>(bytes);
}

/// Bytes an engine for `sessions` takes, with `plan` applied; negative on failure.
std::int64_t engine_bytes(Arguments arguments, std::uint32_t sessions, const NetworkPlan& plan) {
  const std::int64_t before = bytes_in_use();
  arguments.sessions = sessions;
  const auto engine = make_engine(arguments);
  Engine::Applied applied;
  if (engine == nullptr || !apply(*engine, plan, kFirstGeneration, applied)) return -1;
  return bytes_in_use() - before;
}

int measure_memory(const Arguments& arguments) {
  constexpr std::uint32_t kSessions = 1U << 20;
  constexpr std::uint32_t kFewRules = 100, kManyRules = 2000, kManyTenants = 1000;
  NetworkPlan few = arguments.plan;
  few.rules = kFewRules;
  few.tenants = 1;
  NetworkPlan many_rules = few, many_tenants = few;
  many_rules.rules = kManyRules;
  many_tenants.tenants = kManyTenants;
  const std::int64_t base = engine_bytes(arguments, kSessions, few);
  const std::int64_t twice = engine_bytes(arguments, 2 * kSessions, few);
  const std::int64_t rules = engine_bytes(arguments, kSessions, many_rules);
  const std::int64_t tenants = engine_bytes(arguments, kSessions, many_tenants);
  if (base < 0 || twice < 0 || rules < 0 || tenants < 0) return 1;
  std::printf(
      "{\"bench\":\"memory\",\"session\":%.1f,\"session_record\":%zu,\"rule\":%.0f,\"tenant_of_10_rules\":%.0f,\"base_"
      "mib\":%.0f}\n",
      static_cast<double>(twice - base) / kSessions, sizeof(dataplane::Session),
      static_cast<double>(rules - base) / (kManyRules - kFewRules),
      static_cast<double>(tenants - base) / (kManyTenants - 1), static_cast<double>(base) / (1 << 20));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Before EAL makes its threads: they inherit it, so that only main() ever takes these signals.
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const int used = sekisho::dataplane::start_eal(argc, argv);
  if (used < 0) return 2;
  Arguments arguments;
  for (int i = used + 1; i < argc; ++i) {
    if (!parse_word(argv[i], arguments)) {
      std::fprintf(stderr, "dataplane_bench: '%s' is not understood; see the head of tests/bench/dataplane_bench.cc\n",
                   argv[i]);
      return 2;
    }
  }
  if (arguments.swap_ms != 0 && rte_lcore_count() < 2) {
    std::fprintf(stderr, "dataplane_bench: swap_ms needs a second lcore\n");
    return 2;
  }
  return arguments.memory ? measure_memory(arguments) : measure_traffic(arguments);
}
