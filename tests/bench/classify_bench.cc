// SPDX-License-Identifier: Apache-2.0
//
// What the policy lookup of a first packet costs, by number of rules and tenants, and what compiling it costs.
// Every configuration is first compared with the linear reference. Prints one JSON object a line.
//
// Usage: classify_bench EAL-ARGUMENTS [-- ROUNDS]
#include <malloc.h>
#include <rte_eal.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "dataplane/config/classifier.h"
#include "dataplane/dpdk/eal.h"
#include "filters/policy/linear_matcher.h"
#include "tests/bench/bench_network.h"

namespace {

using namespace sekisho;
using bench::FillerRule;
using bench::NetworkPlan;
using dataplane::Classifier;
using dataplane::ClassifyKey;

constexpr std::size_t kQueries = 8192;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kCompared = 512;

/// First packets: three of four are a measured flow (allowed by the last rule, the dearest), one is aimed at a filler
/// rule. `tenants` queries are spread over that many tenants. Every eighth is IPv6.
std::vector<filters::PolicyQuery> make_queries(const NetworkPlan& plan, std::uint32_t tenants) {
  std::mt19937 random(7);
  const std::vector<FillerRule> fillers = bench::filler_rules(plan.rules - bench::kClasses, 1);
  std::vector<filters::PolicyQuery> queries;
  for (std::size_t i = 0; i < kQueries; ++i) {
    const std::size_t family = i % 8 == 7 ? 1 : 0;
    filters::PolicyQuery query{};
    query.tenant_index = tenants == 1 ? 0 : static_cast<std::uint32_t>(random() % tenants);
    query.destination_zone = 1;
    query.protocol = i % 2 == 0 ? 6 : 17;
    query.source_port = static_cast<std::uint16_t>(1024 + random() % 60000);
    query.destination_port = bench::kServicePort;
    query.source =
        family == 1 ? parse_address("fd00:a::1:0:0").value() : Address::from_v4(0x0a100000U + random() % (1U << 20));
    query.destination =
        family == 1 ? parse_address("fd00:b::1:0:0").value() : Address::from_v4(0xac140000U + random() % (1U << 16));
    if (i % 4 == 3 && !fillers.empty()) {
      const FillerRule& aim = fillers[random() % fillers.size()];
      query.source = aim.source[family].last();
      query.destination = aim.destination[family].first();
      query.protocol = aim.protocol;
      query.destination_port = aim.destination_low;
    }
    queries.push_back(query);
  }
  return queries;
}

bool agrees_with_reference(const Classifier& classifier, const filters::SnapshotView& view,
                           std::vector<ClassifyKey> keys, const std::vector<filters::PolicyQuery>& queries) {
  std::vector<std::uint32_t> rules(keys.size());
  classifier.classify(keys, rules);
  for (std::size_t i = 0; i < kCompared; ++i) {
    const std::size_t at = i * (queries.size() / kCompared) + i % 8;
    if (rules[at] != filters::match_linear(view, queries[at]).rule) return false;
  }
  return true;
}

/// TSC cycles a key of each round over all queries, in batches as the path makes them.
std::vector<double> measure(const Classifier& classifier, std::vector<ClassifyKey> keys, unsigned rounds) {
  std::vector<std::uint32_t> rules(kBatch);
  std::vector<double> cycles;
  for (unsigned round = 0; round < rounds; ++round) {
    const std::uint64_t start = __rdtsc();
    for (std::size_t at = 0; at < keys.size(); at += kBatch)
      classifier.classify(std::span(keys).subspan(at, kBatch), rules);
    cycles.push_back(static_cast<double>(__rdtsc() - start) / static_cast<double>(keys.size()));
  }
  std::sort(cycles.begin(), cycles.end());
  return cycles;
}

std::size_t heap_bytes() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

/// Milliseconds to build the next generation when one rule of the first tenant is gone; negative when it does not build.
double change_one_tenant(NetworkPlan plan, const Classifier& previous) {
  --plan.rules;
  const std::vector<std::uint8_t> bytes = bench::make_snapshot(plan, 2);
  const Result<filters::SnapshotView> view = filters::SnapshotView::parse(bytes);
  dataplane::ClassifierBuildStats stats;
  if (!view.has_value() || !Classifier::build(*view, &previous, stats).has_value() || stats.tenants_built != 1) return -1;
  return static_cast<double>(stats.microseconds) / 1e3;
}

/// False when something is wrong.
bool run(const NetworkPlan& plan, const char* spread, unsigned rounds) {
  const std::vector<std::uint8_t> bytes = bench::make_snapshot(plan, 2);
  const Result<filters::SnapshotView> view = filters::SnapshotView::parse(bytes);
  if (!view.has_value()) {
    std::fprintf(stderr, "classify_bench: the snapshot is refused at byte %u\n", view.error().detail);
    return false;
  }
  const std::size_t before = heap_bytes();
  const auto start = std::chrono::steady_clock::now();
  dataplane::ClassifierBuildStats stats;
  auto classifier = Classifier::build(*view, nullptr, stats);
  const std::chrono::duration<double, std::milli> built = std::chrono::steady_clock::now() - start;
  if (!classifier.has_value()) {
    std::fprintf(stderr, "classify_bench: %u tenants, %u rules: the classifier does not build (detail %u)\n",
                 plan.tenants, plan.rules, classifier.error().detail);
    return false;
  }
  const std::size_t heap = heap_bytes() - before;
  const auto queries = make_queries(plan, spread[0] == 'a' ? plan.tenants : 1);
  std::vector<ClassifyKey> keys;
  for (const auto& query : queries) keys.push_back(ClassifyKey::from(query));
  if (!agrees_with_reference(**classifier, *view, keys, queries)) {
    std::fprintf(stderr, "classify_bench: %u tenants, %u rules: the classifier and the linear reference differ\n",
                 plan.tenants, plan.rules);
    return false;
  }
  const std::vector<double> cycles = measure(**classifier, keys, rounds);
  const std::size_t rules = view->rules().size();
  std::printf(
      "{\"bench\":\"classify\",\"tenants\":%u,\"rules\":%u,\"rules_total\":%zu,\"queries\":\"%s\",\"best\":%.1f,"
      "\"median\":%.1f,"
      "\"build_ms\":%.1f,\"change_ms\":%.1f,\"heap_bytes_per_rule\":%.0f}\n",
      plan.tenants, plan.rules, rules, spread, cycles.front(), cycles[cycles.size() / 2], built.count(),
      change_one_tenant(plan, **classifier),
      static_cast<double>(heap) / static_cast<double>(rules));
  std::fflush(stdout);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int used = sekisho::dataplane::start_eal(argc, argv);
  if (used < 0) return 2;
  const unsigned rounds =
      argc - used > 1 ? static_cast<unsigned>(std::max(1L, std::strtol(argv[used + 1], nullptr, 10))) : 51;
  bool good = true;
  for (const std::uint32_t rules : {100U, 1000U, 10000U}) {
    NetworkPlan plan;
    plan.rules = rules;
    good = run(plan, "one tenant", rounds) && good;
    plan.tenants = 1000;
    good = run(plan, "one tenant", rounds) && good;
  }
  for (const std::uint32_t rules : {10U, 100U}) {
    NetworkPlan crowd;
    crowd.tenants = 1000;
    crowd.rules = crowd.other_rules = rules;
    good = run(crowd, "all tenants", rounds) && good;
  }
  rte_eal_cleanup();
  return good ? 0 : 1;
}
