// SPDX-License-Identifier: Apache-2.0
//
// Overview. Every tenant's rules are compiled by themselves (filters/policy/compiled_rules.h). Life-cycle. build() hashes
// what each tenant must answer by, takes unchanged tenants from the previous Classifier, compiles the rest and compares
// their answers with the linear matcher's. A tenant's rules are freed when the last Classifier that holds them dies, on the
// control thread. Synchronisation. None: after build() everything is read-only. Limits. Those of CompiledRules.
#include "dataplane/config/classifier.h"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "dataplane/config/pair_of_threads.h"
#include "dataplane/session/flow_key.h"
#include "filters/policy/probes.h"

namespace sekisho::dataplane {
namespace {

using filters::CompiledRules;
using filters::slice;
using filters::SnapshotView;
using filters::snapshot::Range;
using filters::snapshot::Rule;
using filters::snapshot::Service;
using filters::snapshot::Tenant;

constexpr std::size_t kFamilies = 2;


/// Keeps senders of documents from choosing content that hashes like other content: drawn once in a process.
const HashSeed& seed() {
  static const HashSeed drawn = [] {
    HashSeed out{};
    if (getrandom(&out, sizeof(out), 0) != sizeof(out)) out = {0x9e3779b97f4a7c15U, 0xbf58476d1ce4e5b9U};
    return out;
  }();
  return drawn;
}

/// Hashes what decides a match and nothing else: names, ids, actions and log settings may change without a rebuild.
class ContentHash {
 public:
  explicit ContentHash(const SnapshotView& view) : view_(view) {}

  TenantContent of(const Tenant& tenant) {
    TenantContent hash{};
    put(hash, std::uint64_t{tenant.zones.count} << 32 | tenant.rules.count);
    for (const Rule& rule : slice(view_.rules(), tenant.rules)) {
      put(hash, rule.source_zones);
      put(hash, rule.destination_zones);
      put(hash, rule.user_groups);
      put(hash, rule.standing == filters::snapshot::Standing::kStands ? 1 : 0);
      put(hash, of_ranges(rule.sources));
      put(hash, of_ranges(rule.destinations));
      put(hash, of_services(rule.services));
    }
    return hash;
  }

 private:
  static void put(TenantContent& hash, std::uint64_t word) {
    hash.low = mix(hash.low ^ word, seed().a ^ hash.high);
    hash.high = mix(hash.high ^ word, seed().b ^ 0x2545f4914f6cdd1dU);
  }
  static void put(TenantContent& hash, const TenantContent& part) {
    put(hash, part.low);
    put(hash, part.high);
  }

  /// Rules share runs, and runs may be long: each is hashed once. An empty run always means "any", in every rule.
  const TenantContent& of_ranges(Range range) {
    const auto [place, is_new] = ranges_.try_emplace(std::uint64_t{range.first} << 32 | range.count);
    if (is_new) {
      for (const auto& each : slice(view_.address_ranges(), range)) {
        put(place->second, static_cast<std::uint64_t>(each.low.family) << 8 | static_cast<std::uint64_t>(each.high.family));
        for (const auto* address : {&each.low, &each.high}) {
          put(place->second, load_be<std::uint64_t>(address->bytes, 0));
          put(place->second, load_be<std::uint64_t>(address->bytes, 8));
        }
      }
    }
    return place->second;
  }
  const TenantContent& of_services(Range range) {
    const auto [place, is_new] = services_.try_emplace(std::uint64_t{range.first} << 32 | range.count);
    if (is_new) {
      for (const Service& each : slice(view_.services(), range)) {
        put(place->second, std::uint64_t{each.source_low} << 48 | std::uint64_t{each.source_high} << 32 |
                               std::uint64_t{each.destination_low} << 16 | each.destination_high);
        put(place->second, std::uint64_t{each.protocol} << 40 | std::uint64_t{each.any_protocol} << 32 |
                               std::uint64_t{each.icmp_type_low} << 24 | std::uint64_t{each.icmp_type_high} << 16 |
                               std::uint64_t{each.icmp_code_low} << 8 | each.icmp_code_high);
      }
    }
    return place->second;
  }

  const SnapshotView& view_;
  std::unordered_map<std::uint64_t, TenantContent> ranges_, services_;
};

CompiledRules::Number number(const std::array<std::uint8_t, 16>& bytes) {
  return static_cast<CompiledRules::Number>(load_be<std::uint64_t>(bytes, 0)) << 64 | load_be<std::uint64_t>(bytes, 8);
}

}  // namespace

/// The rules of one tenant, shared by the generations in which they are the same.
struct Classifier::Compiled {
  TenantContent content;
  CompiledRules rules;
};

Classifier::~Classifier() = default;

std::shared_ptr<const Classifier::Compiled> Classifier::lend(std::uint32_t tenant, const TenantContent& content) const {
  const auto by_id = [](const Place& place, std::uint32_t id) { return place.id < id; };
  const auto place = std::lower_bound(places_.begin(), places_.end(), tenant, by_id);  // snapshots name tenants in order
  if (place == places_.end() || place->id != tenant || place->compiled->content != content) return nullptr;
  return place->compiled;
}

Result<void> Classifier::compile(const SnapshotView& view, std::span<const std::uint32_t> tenants,
                                 std::span<const TenantContent> contents) {
  std::vector<Result<CompiledRules>> results(tenants.size(), Error{});
  run_on_two_threads(tenants.size(), [&](std::size_t i) { results[i] = CompiledRules::build(view, tenants[i]); });
  for (std::size_t i = 0; i < tenants.size(); ++i) {
    if (!results[i]) return Error{results[i].error().code, ErrorSite::kDataplane, results[i].error().detail};
    Place& place = places_[tenants[i]];
    place.compiled = std::make_shared<const Compiled>(Compiled{contents[tenants[i]], std::move(results[i]).value()});
    place.rules = &place.compiled->rules;
  }
  return {};
}

Result<std::unique_ptr<const Classifier>> Classifier::build(const filters::SnapshotView& view, const Classifier* previous,
                                                            ClassifierBuildStats& stats) {
  const auto started = std::chrono::steady_clock::now();
  stats = {};
  std::unique_ptr<Classifier> out(new Classifier);
  ContentHash hash(view);
  std::vector<TenantContent> contents;
  std::vector<std::uint32_t> fresh;
  for (const Tenant& tenant : view.tenants()) {
    contents.push_back(hash.of(tenant));
    const Range rules = tenant.rules;
    Place place{rules.first, rules.first + rules.count - 1, nullptr, tenant.id, nullptr};
    if (previous != nullptr) place.compiled = previous->lend(tenant.id, contents.back());
    if (place.compiled) {
      place.rules = &place.compiled->rules;
    } else {
      fresh.push_back(static_cast<std::uint32_t>(out->places_.size()));
    }
    out->places_.push_back(std::move(place));
  }
  stats.tenants_built = static_cast<std::uint32_t>(fresh.size());
  stats.tenants_reused = static_cast<std::uint32_t>(out->places_.size() - fresh.size());
  SEKISHO_CHECK_OK(out->compile(miscompiled_ == nullptr ? view : *miscompiled_, fresh, contents));
  SEKISHO_CHECK_OK(out->check(view, fresh, stats));
  const auto took = std::chrono::steady_clock::now() - started;
  stats.microseconds = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  return std::unique_ptr<const Classifier>(std::move(out));
}

// ---- Translation validation
// ----------------------------------------------------------------------------------------

namespace {

// One build judges about this many pairs of packet and rule with the linear matcher, some 0.3 s on each of two threads: all
// corners of a tenant of 1400 rules, a sample of them beyond.
constexpr std::uint64_t kPairsMax = 100'000'000;
constexpr std::uint64_t kCornersLeast = 64;  // of a tenant and family, whatever the sample
constexpr std::uint64_t kRandomProbes = 256; // of a tenant and family

struct Check {
  std::uint32_t tenant;
  Family family;
  std::uint64_t corners;  ///< aimed at
  std::uint64_t seed;
  std::uint64_t probes = 0;
  std::optional<ClassifierMismatch> mismatch{};
};

std::vector<filters::PolicyQuery> make_probes(const SnapshotView& view, const Check& check) {
  filters::ProbeMaker maker(check.seed);
  const Range rules = view.tenants()[check.tenant].rules;
  const std::uint64_t all = rules.count * filters::ProbeMaker::kCornersMax;
  std::vector<filters::PolicyQuery> probes;
  std::vector<filters::PolicyQuery> corners;
  for (std::uint32_t rule = rules.first; rule + 1 < rules.first + rules.count; ++rule) {
    corners.clear();
    maker.corners(view, check.tenant, rule, check.family, corners);
    for (const auto& corner : corners) {
      if (check.corners >= all || maker.below(all) < check.corners) probes.push_back(corner);
    }
  }
  for (std::uint64_t i = 0; i < kRandomProbes; ++i) probes.push_back(maker.anything(view, check.tenant, check.family));
  return probes;
}

}  // namespace

Result<void> Classifier::check(const SnapshotView& view, std::span<const std::uint32_t> tenants,
                               ClassifierBuildStats& stats) const {
  std::uint64_t pairs = 1;
  const auto all_corners = [&](std::uint32_t tenant) { return view.tenants()[tenant].rules.count * filters::ProbeMaker::kCornersMax; };
  for (const std::uint32_t tenant : tenants) pairs += kFamilies * all_corners(tenant) * view.tenants()[tenant].rules.count;
  const double share = std::min(1.0, static_cast<double>(kPairsMax) / static_cast<double>(pairs));
  std::vector<Check> checks;
  for (const std::uint32_t tenant : tenants) {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(all_corners(tenant)));
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      // Other packets in every generation; the same ones when a snapshot is applied again elsewhere.
      const std::uint64_t seed = std::uint64_t{view.generation()} << 32 | tenant << 1U | (family == Family::kIpv6 ? 1U : 0U);
      checks.push_back({tenant, family, std::max(kCornersLeast, wanted), seed});
    }
  }
  run_on_two_threads(checks.size(), [&](std::size_t i) {
    Check& check = checks[i];
    const auto probes = make_probes(view, check);
    std::vector<ClassifyKey> keys;
    keys.reserve(probes.size());
    for (const auto& probe : probes) keys.push_back(ClassifyKey::from(probe));
    std::vector<std::uint32_t> answered(probes.size());
    std::vector<std::uint32_t> expected(probes.size());
    classify(keys, answered);
    filters::match_linear(view, probes, expected);
    check.probes = probes.size();
    const auto [wrong, right] = std::mismatch(answered.begin(), answered.end(), expected.begin());
    if (wrong == answered.end()) return;
    check.mismatch = ClassifierMismatch{probes[static_cast<std::size_t>(wrong - answered.begin())], *right, *wrong};
  });
  for (const Check& check : checks) {
    stats.probes += check.probes;
    if (!check.mismatch || stats.mismatch) continue;
    stats.mismatch = check.mismatch;
  }
  if (stats.mismatch) return Error{ErrorCode::kConflict, ErrorSite::kDataplane, stats.mismatch->expected};
  return {};
}

void Classifier::classify(std::span<ClassifyKey> keys, std::span<std::uint32_t> rules) const noexcept {
  SEKISHO_DCHECK(rules.size() >= keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) rules[i] = first_match(keys[i]);
}

std::uint32_t Classifier::first_match(const ClassifyKey& key) const noexcept {
  SEKISHO_DCHECK(key.tenant_index < places_.size());
  const Place& place = places_[key.tenant_index];
  const std::uint32_t source_port = key.source_port.host();
  const std::uint32_t port = key.destination_port.host();
  const std::uint32_t type_and_code = (source_port & 0xffU) << 8 | (port & 0xffU);
  const CompiledRules::Facts facts{
      .service = CompiledRules::service_number(key.protocol, filters::is_icmp(key.protocol) ? type_and_code : port),
      .source_port = static_cast<std::uint16_t>(source_port),
      .source_zone = key.source_zone,
      .destination_zone = key.destination_zone,
      .user_groups = key.user_groups};
  std::uint32_t found = CompiledRules::kNoRule;
  if (key.family == static_cast<std::uint8_t>(Family::kIpv4)) {
    found = place.rules->match4(load_be<std::uint32_t>(key.source, 0), load_be<std::uint32_t>(key.destination, 0), facts);
  } else if (key.family == static_cast<std::uint8_t>(Family::kIpv6)) {
    found = place.rules->match6(number(key.source), number(key.destination), facts);
  }
  return found == CompiledRules::kNoRule ? place.default_rule : place.first_rule + found;
}

ClassifyKey ClassifyKey::from(const filters::PolicyQuery& query) {
  ClassifyKey key;
  key.family = static_cast<std::uint8_t>(query.source.family);
  key.protocol = query.protocol;
  key.source_zone = query.source_zone;
  key.destination_zone = query.destination_zone;
  const bool icmp = filters::is_icmp(query.protocol);
  key.source_port = Be16::from_host(icmp ? query.icmp_type : query.source_port);
  key.destination_port = Be16::from_host(icmp ? query.icmp_code : query.destination_port);
  key.source = query.source.bytes;
  key.destination = query.destination.bytes;
  key.tenant_index = query.tenant_index;
  key.user_groups = query.user_groups;
  return key;
}

}  // namespace sekisho::dataplane
