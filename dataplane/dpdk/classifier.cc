// SPDX-License-Identifier: Apache-2.0
//
// Overview. A rule is a product of sets: source zones x destination zones x sources x destinations x services.
// rte_acl knows only boxes (one interval or mask a field), so each rule expands to the product of its boxes; all
// share the rule's priority, and earlier rules have higher ones. The final default deny is not compiled: no match
// means it.
// Life-cycle. build() plans the shards, hashes what each must contain, takes unchanged ones from the previous
// Classifier, compiles the rest on two threads, and compares their answers with the linear matcher's. A shard frees its
// contexts when the last Classifier that holds it dies, on the control thread.
// Synchronisation. None: after build() everything is read-only.
// Limits. kEntriesPerFamilyMax entries for each shard and family, in segments of at most kEntriesPerSegmentMax and
// kSegmentBytesMax of tables. rte_acl wants some 15 KB a rule for a moment while it builds, so the bounds on entries
// are bounds on memory. It also gives up on rule sets that overlap too wildly (more than 8 tries): those are halved
// until it takes them. A key is looked up in every segment and the smallest ordinal wins, which is the first match.
#include "dataplane/dpdk/classifier.h"

#include <rte_acl.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <tuple>
#include <unordered_map>

#include "base/crypto/sha256.h"
#include "dataplane/dpdk/pair_of_threads.h"
#include "filters/policy/probes.h"

namespace sekisho::dataplane {
namespace {

using filters::slice;
using filters::SnapshotView;
using filters::snapshot::AddressRange;
using filters::snapshot::Range;
using filters::snapshot::Rule;
using filters::snapshot::Service;
using filters::snapshot::Tenant;

constexpr std::uint32_t kBuckets = 64;
constexpr std::size_t kSlotsPerShard = 256;        // the slot is one byte of the key
constexpr std::uint32_t kLargeTenantRules = 2048;  // above it a tenant's commits should not rebuild its neighbours
constexpr std::uint32_t kRulesPerPart = 5120;     // a larger shard is compiled in two halves, side by side
constexpr std::size_t kShardsMax = 192;            // 200,000 rules / 2048 + 64 buckets + 1000 tenants / 256, rounded up
constexpr std::size_t kEntriesPerFamilyMax = 1U << 17;
constexpr std::size_t kEntriesPerSegmentMax = 1U << 14;
constexpr std::size_t kSegmentsMax = 64;  // a wild rule set is refused rather than looked up forever
constexpr std::size_t kSegmentBytesMax = std::size_t{128} << 20;
constexpr std::size_t kFamilies = 2;

Error unavailable(int error_number) {
  return {ErrorCode::kUnavailable, ErrorSite::kDataplane, static_cast<std::uint32_t>(error_number)};
}

// ---- Boxes
// ---------------------------------------------------------------------------------------------------------

struct Interval {
  std::uint32_t low;
  std::uint32_t high;
  auto operator<=>(const Interval&) const = default;
};
constexpr Interval kAnyWord{0, 0xffffffffU};
constexpr Interval kAnyPort{0, 0xffff};
constexpr Interval kAnyZone{0, 0xff};

template <std::size_t Words>
using Box = std::array<Interval, Words>;
template <std::size_t Words>
using WordsOf = std::array<std::uint32_t, Words>;

template <std::size_t Words>
WordsOf<Words> words_of(const Address& address) {
  WordsOf<Words> out;
  for (std::size_t i = 0; i < Words; ++i) out[i] = load_be<std::uint32_t>(address.bytes, i * 4);
  return out;
}

/// Cuts low..high, numbers of base 2^32 whose digits before `word` agree with `box`, into at most 2 * Words - 1
/// boxes.
template <std::size_t Words>
void cut(const WordsOf<Words>& low, const WordsOf<Words>& high, std::size_t word, Box<Words> box,
         std::vector<Box<Words>>& out) {
  while (word < Words && low[word] == high[word]) {
    box[word] = {low[word], high[word]};
    ++word;
  }
  if (word == Words) {
    out.push_back(box);
    return;
  }
  const auto tail = static_cast<std::ptrdiff_t>(word) + 1;
  const bool from_start = std::all_of(low.begin() + tail, low.end(), [](std::uint32_t w) { return w == 0; });
  const bool to_end = std::all_of(high.begin() + tail, high.end(), [](std::uint32_t w) { return w == 0xffffffffU; });
  if (!from_start) {
    auto end = low;
    std::fill(end.begin() + tail, end.end(), 0xffffffffU);
    cut<Words>(low, end, word, box, out);
  }
  if (!to_end) {
    auto start = high;
    std::fill(start.begin() + tail, start.end(), 0U);
    cut<Words>(start, high, word, box, out);
  }
  const std::uint64_t first = std::uint64_t{low[word]} + (from_start ? 0 : 1);
  const std::uint64_t last_plus_one = std::uint64_t{high[word]} + (to_end ? 1 : 0);
  if (first >= last_plus_one) return;
  box[word] = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last_plus_one - 1)};
  std::fill(box.begin() + tail, box.end(), kAnyWord);
  out.push_back(box);
}

/// The boxes of one family in a run of address ranges; one box of everything for "any".
template <std::size_t Words>
std::vector<Box<Words>> address_boxes(std::span<const AddressRange> ranges, bool any) {
  std::vector<Box<Words>> out;
  if (any) {
    out.emplace_back().fill(kAnyWord);
    return out;
  }
  constexpr Family kFamily = Words == 1 ? Family::kIpv4 : Family::kIpv6;
  for (const auto& range : ranges) {
    if (range.low.family == kFamily)
      cut<Words>(words_of<Words>(range.low), words_of<Words>(range.high), 0, Box<Words>{}, out);
  }
  return out;
}

/// Runs of consecutive zones. Zones that the tenant does not have cannot occur, so the last run may take them all.
std::vector<Interval> zone_runs(std::uint64_t zones, std::uint32_t zone_count) {
  std::vector<Interval> out;
  for (std::uint32_t zone = 0; zone < zone_count; ++zone) {
    if (((zones >> zone) & 1U) == 0) continue;
    if (!out.empty() && out.back().high + 1 == zone) {
      out.back().high = zone;
    } else {
      out.push_back({zone, zone});
    }
  }
  if (!out.empty() && out.back().high + 1 == zone_count) out.back().high = kAnyZone.high;
  return out;
}

struct ServiceBox {
  std::uint8_t protocol;
  std::uint8_t protocol_mask;  ///< 0xff, or 0 for any
  Interval source_ports;       ///< ICMP: types
  Interval destination_ports;  ///< ICMP: codes
  auto operator<=>(const ServiceBox&) const = default;
};

std::vector<ServiceBox> service_boxes(std::span<const Service> services, bool any) {
  constexpr ServiceBox kAnything{0, 0, kAnyPort, kAnyPort};
  std::vector<ServiceBox> out;
  if (any) return {kAnything};
  for (const auto& service : services) {
    if (service.any_protocol == 1) return {kAnything};
    if (filters::is_icmp(service.protocol)) {
      // Keys carry the type and code of ICMP as 16-bit numbers, so "any" may reach to the end and stay a wildcard.
      const Interval types{service.icmp_type_low, service.icmp_type_high == 0xff ? 0xffffU : service.icmp_type_high};
      const Interval codes{service.icmp_code_low, service.icmp_code_high == 0xff ? 0xffffU : service.icmp_code_high};
      out.push_back({service.protocol, 0xff, types, codes});
    } else {
      out.push_back({service.protocol,
                     0xff,
                     {service.source_low, service.source_high},
                     {service.destination_low, service.destination_high}});
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

// ---- Tries
// ---------------------------------------------------------------------------------------------------------

/// Fields of a rule in the order the trie reads them. Measured: what has few distinct values first (tenant, ports,
/// protocol, zones), addresses last, gives the smallest tries; with addresses first the same rules take three times
/// as long to build.
template <std::size_t Words>
struct Fields {
  static constexpr std::size_t kSlot = 0, kSourcePort = 1, kDestinationPort = 2;
  static constexpr std::size_t kProtocol = 3, kSourceZone = 4, kDestinationZone = 5, kUnused = 6;
  static constexpr std::size_t kSource = 7, kDestination = kSource + Words;
  static constexpr std::size_t kCount = kDestination + Words;
};

template <std::size_t Words>
struct Entry {
  rte_acl_rule_data data;
  std::array<rte_acl_field, Fields<Words>::kCount> field;
};

/// rte_acl reads one byte and then groups of four: `input` numbers the groups.
template <std::size_t Words>
rte_acl_config trie_config() {
  using F = Fields<Words>;
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = F::kCount;
  config.max_size = kSegmentBytesMax;
  const auto define = [&](std::size_t field, std::uint8_t type, std::size_t size, std::size_t input,
                          std::size_t offset) {
    config.defs[field] = {type, static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(field),
                          static_cast<std::uint8_t>(input), static_cast<std::uint32_t>(offset)};
  };
  define(F::kSlot, RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, offsetof(ClassifyKey, slot));
  define(F::kSourcePort, RTE_ACL_FIELD_TYPE_RANGE, 2, 1, offsetof(ClassifyKey, source_port));
  define(F::kDestinationPort, RTE_ACL_FIELD_TYPE_RANGE, 2, 1, offsetof(ClassifyKey, destination_port));
  define(F::kProtocol, RTE_ACL_FIELD_TYPE_BITMASK, 1, 2, offsetof(ClassifyKey, protocol));
  define(F::kSourceZone, RTE_ACL_FIELD_TYPE_RANGE, 1, 2, offsetof(ClassifyKey, source_zone));
  define(F::kDestinationZone, RTE_ACL_FIELD_TYPE_RANGE, 1, 2, offsetof(ClassifyKey, destination_zone));
  define(F::kUnused, RTE_ACL_FIELD_TYPE_BITMASK, 1, 2, offsetof(ClassifyKey, reserved2));
  for (std::size_t word = 0; word < Words; ++word) {
    define(F::kSource + word, RTE_ACL_FIELD_TYPE_RANGE, 4, 3 + word, offsetof(ClassifyKey, source) + word * 4);
    define(F::kDestination + word, RTE_ACL_FIELD_TYPE_RANGE, 4, 3 + Words + word,
           offsetof(ClassifyKey, destination) + word * 4);
  }
  return config;
}

/// What one tenant's rules say, for the shard that takes them.
struct TenantRules {
  const SnapshotView* view;
  const Tenant* tenant;
  std::uint8_t slot;
};

template <std::size_t Words>
class EntryList {
 public:
  using F = Fields<Words>;

  explicit EntryList(std::size_t most) : most_(most) {}

  /// Appends the boxes of rule `ordinal` of the tenant; kLimit when there would be too many.
  Result<void> add(const TenantRules& from, std::uint32_t ordinal) {
    const std::uint32_t index = from.tenant->rules.first + ordinal;
    const Rule& rule = from.view->rules()[index];
    if (rule.standing != filters::snapshot::Standing::kStands) return {};
    const auto ranges = from.view->address_ranges();
    const auto sources = address_boxes<Words>(slice(ranges, rule.sources), rule.any_source == 1);
    const auto destinations = address_boxes<Words>(slice(ranges, rule.destinations), rule.any_destination == 1);
    const auto services = service_boxes(slice(from.view->services(), rule.services), rule.any_service == 1);
    const auto from_zones = zone_runs(rule.source_zones, from.tenant->zones.count);
    const auto to_zones = zone_runs(rule.destination_zones, from.tenant->zones.count);
    // Factors are bounded by the snapshot's size, zones by 32: multiply in steps that cannot wrap.
    const Error too_many{ErrorCode::kLimit, ErrorSite::kDataplane, index};
    std::uint64_t product = 1;
    for (const std::size_t factor :
         {sources.size(), destinations.size(), services.size(), from_zones.size(), to_zones.size()}) {
      product *= factor;
      if (product == 0) return {};
      if (product > most_) return too_many;
    }
    if (entries_.size() + product > most_) return too_many;
    for (const auto& zone_from : from_zones) {
      for (const auto& zone_to : to_zones) {
        Entry<Words> entry = blank(from.slot, ordinal, zone_from, zone_to);
        for (const auto& service : services) {
          set_service(entry, service);
          append_addresses(entry, sources, destinations);
        }
      }
    }
    return {};
  }

  [[nodiscard]] const std::vector<Entry<Words>>& entries() const { return entries_; }

 private:
  static void set(rte_acl_field& field, Interval interval) {
    field.value.u64 = interval.low;
    field.mask_range.u64 = interval.high;
  }
  static Entry<Words> blank(std::uint8_t slot, std::uint32_t ordinal, Interval zone_from, Interval zone_to) {
    Entry<Words> entry{};
    entry.data.category_mask = 1;
    entry.data.priority = static_cast<std::int32_t>(static_cast<std::uint32_t>(RTE_ACL_MAX_PRIORITY) - ordinal);
    entry.data.userdata = ordinal + 1;  // 0 is rte_acl's "no match"
    entry.field[F::kSlot].value.u8 = slot;
    entry.field[F::kSlot].mask_range.u8 = 0xff;
    set(entry.field[F::kSourceZone], zone_from);
    set(entry.field[F::kDestinationZone], zone_to);
    return entry;
  }
  static void set_service(Entry<Words>& entry, const ServiceBox& service) {
    entry.field[F::kProtocol].value.u8 = service.protocol;
    entry.field[F::kProtocol].mask_range.u8 = service.protocol_mask;
    set(entry.field[F::kSourcePort], service.source_ports);
    set(entry.field[F::kDestinationPort], service.destination_ports);
  }
  void append_addresses(Entry<Words>& entry, const std::vector<Box<Words>>& sources,
                        const std::vector<Box<Words>>& destinations) {
    for (const auto& source : sources) {
      for (std::size_t word = 0; word < Words; ++word) set(entry.field[F::kSource + word], source[word]);
      for (const auto& destination : destinations) {
        for (std::size_t word = 0; word < Words; ++word) set(entry.field[F::kDestination + word], destination[word]);
        entries_.push_back(entry);
      }
    }
  }

  std::size_t most_;
  std::vector<Entry<Words>> entries_;
};

struct FreeContext {
  void operator()(rte_acl_ctx* context) const { rte_acl_free(context); }
};
using Context = std::unique_ptr<rte_acl_ctx, FreeContext>;

/// The widest code this processor has and EAL's --force-max-simd-bitwidth allows; scalar always is.
void choose_widest(rte_acl_ctx* context) {
  for (const auto algorithm : {RTE_ACL_CLASSIFY_AVX512X32, RTE_ACL_CLASSIFY_AVX512X16, RTE_ACL_CLASSIFY_AVX2,
                               RTE_ACL_CLASSIFY_SSE, RTE_ACL_CLASSIFY_SCALAR}) {
    if (rte_acl_set_ctx_classify(context, algorithm) == 0) return;
  }
}

/// rte_acl finds contexts by name across the process, and hands out an existing one for a name it knows.
std::array<char, RTE_ACL_NAMESIZE> unique_name() {
  static std::atomic<std::uint64_t> next{0};
  std::array<char, RTE_ACL_NAMESIZE> name;
  std::snprintf(name.data(), name.size(), "policy_%llu", static_cast<unsigned long long>(next.fetch_add(1)));
  return name;
}

template <std::size_t Words>
Result<Context> build_context(std::span<const Entry<Words>> entries) {
  const auto name = unique_name();
  const rte_acl_param param{.name = name.data(),
                            .socket_id = SOCKET_ID_ANY,
                            .rule_size = sizeof(Entry<Words>),
                            .max_rule_num = static_cast<std::uint32_t>(entries.size())};
  Context context(rte_acl_create(&param));
  if (!context) return unavailable(rte_errno);
  const auto* first = reinterpret_cast<const rte_acl_rule*>(entries.data());
  int status = rte_acl_add_rules(context.get(), first, static_cast<std::uint32_t>(entries.size()));
  if (status != 0) return unavailable(-status);
  const auto config = trie_config<Words>();
  status = rte_acl_build(context.get(), &config);
  if (status != 0) return unavailable(-status);
  choose_widest(context.get());
  return context;
}

using Segments = std::vector<Context>;

/// Appends contexts that hold the entries between them. Halves what rte_acl cannot take in one: it says ENOMEM for
/// too many tries as for too little memory, so a heap that is really full is found at the first single entry and
/// reported.
template <std::size_t Words>
Result<void> build_segments(std::span<const Entry<Words>> entries, Segments& out) {
  if (out.size() >= kSegmentsMax) return unavailable(ENOMEM);
  if (entries.size() <= kEntriesPerSegmentMax) {
    auto context = build_context<Words>(entries);
    if (context) {
      out.push_back(std::move(context).value());
      return {};
    }
    const auto reason = context.error().detail;
    if (entries.size() == 1 || (reason != ENOMEM && reason != ERANGE)) return context.error();
  }
  const std::size_t half = entries.size() / 2;
  SEKISHO_CHECK_OK(build_segments<Words>(entries.first(half), out));
  return build_segments<Words>(entries.subspan(half), out);
}

/// Compiles one of `parts` equal parts of the tenants' rules of one family; no segment when there is nothing to match.
template <std::size_t Words>
Result<Segments> compile(std::span<const TenantRules> tenants, std::uint32_t part, std::uint32_t parts, std::uint64_t& entry_count) {
  EntryList<Words> list(kEntriesPerFamilyMax / parts);
  for (const auto& from : tenants) {
    const std::uint32_t own = from.tenant->rules.count - 1;  // without the final default
    for (std::uint32_t ordinal = own * part / parts; ordinal < own * (part + 1) / parts; ++ordinal)
      SEKISHO_CHECK_OK(list.add(from, ordinal));
  }
  entry_count += list.entries().size();
  Segments out;
  if (!list.entries().empty()) SEKISHO_CHECK_OK(build_segments<Words>(list.entries(), out));
  return out;
}

// ---- Content
// -------------------------------------------------------------------------------------------------------

/// Hashes what decides a match and nothing else: names, ids, actions and log settings may change without a rebuild.
class ContentHash {
 public:
  explicit ContentHash(const SnapshotView& view) : view_(view) {}

  Sha256Digest of(std::span<const TenantRules> tenants) {
    Sha256 hash;
    for (const auto& from : tenants) {
      put(hash, from.tenant->zones.count);
      put(hash, from.tenant->rules.count);
      for (const Rule& rule : slice(view_.rules(), from.tenant->rules)) {
        put(hash, rule.source_zones);
        put(hash, rule.destination_zones);
        put(hash, static_cast<std::uint8_t>(rule.standing == filters::snapshot::Standing::kStands));
        hash.update(of_ranges(rule.sources));
        hash.update(of_ranges(rule.destinations));
        hash.update(of_services(rule.services));
      }
    }
    return hash.finish();
  }

 private:
  using Memo = std::unordered_map<std::uint64_t, Sha256Digest>;

  template <typename T>
  static void put(Sha256& hash, T number) {
    std::array<std::uint8_t, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &number, sizeof(T));
    hash.update(bytes);
  }
  static std::uint64_t name_of(Range range) { return std::uint64_t{range.first} << 32 | range.count; }

  /// Rules share runs: each run is hashed once. An empty run always means "any", in every rule.
  const Sha256Digest& of_ranges(Range range) {
    const auto [place, is_new] = ranges_.try_emplace(name_of(range));
    if (is_new) {
      const auto run = slice(view_.address_ranges(), range);
      place->second = sha256({reinterpret_cast<const std::uint8_t*>(run.data()), run.size_bytes()});
    }
    return place->second;
  }
  const Sha256Digest& of_services(Range range) {
    const auto [place, is_new] = services_.try_emplace(name_of(range));
    if (is_new) {
      Sha256 hash;
      for (Service service : slice(view_.services(), range)) {
        service.name = {};
        hash.update({reinterpret_cast<const std::uint8_t*>(&service), sizeof(service)});
      }
      place->second = hash.finish();
    }
    return place->second;
  }

  const SnapshotView& view_;
  Memo ranges_;
  Memo services_;
};

/// Which tenants share a shard. Depends on ids and sizes alone, so neighbours stay neighbours from commit to commit.
std::vector<std::vector<TenantRules>> plan_shards(const SnapshotView& view) {
  std::vector<std::vector<TenantRules>> shards;
  std::array<std::vector<TenantRules>, kBuckets> buckets;
  for (const auto& tenant : view.tenants()) {
    if (tenant.rules.count > kLargeTenantRules) {
      shards.push_back({TenantRules{&view, &tenant, 0}});
      continue;
    }
    auto& bucket = buckets[tenant.id % kBuckets];
    bucket.push_back({&view, &tenant, static_cast<std::uint8_t>(bucket.size())});
    if (bucket.size() == kSlotsPerShard) shards.push_back(std::exchange(bucket, {}));
  }
  for (auto& bucket : buckets) {
    if (!bucket.empty()) shards.push_back(std::move(bucket));
  }
  return shards;
}

}  // namespace

class Classifier::Shard {
 public:
  explicit Shard(const Sha256Digest& content) : content_(content) {}

  void add_segments(std::size_t family, Segments&& segments) {
    for (Context& context : segments) segments_[family].push_back(std::move(context));
  }

  [[nodiscard]] const Sha256Digest& content() const { return content_; }
  /// Empty when no rule of this family (0: IPv4, 1: IPv6) exists here.
  [[nodiscard]] const Segments& segments(std::size_t family) const { return segments_[family]; }

 private:
  Sha256Digest content_{};
  std::array<Segments, kFamilies> segments_;
};

Classifier::~Classifier() = default;

/// The shards of one build that have to be compiled.
class Classifier::Compilation {
 public:
  explicit Compilation(const SnapshotView& view) : view_(view) {}

  std::shared_ptr<const Shard> add(const std::vector<TenantRules>& tenants, const Sha256Digest& content) {
    auto shard = std::make_shared<Shard>(content);
    std::uint32_t rules = 0;
    for (const TenantRules& from : tenants) {
      rules += from.tenant->rules.count;
      tenants_.push_back(static_cast<std::uint32_t>(from.tenant - view_.tenants().data()));
    }
    const std::uint32_t parts = rules > kRulesPerPart ? 2 : 1;
    for (std::size_t family = 0; family < kFamilies; ++family) {
      for (std::uint32_t part = 0; part < parts; ++part) {
        jobs_.push_back({.tenants = &tenants, .shard = shard.get(), .family = family, .part = part, .parts = parts, .rules = rules});
      }
    }
    return shard;
  }

  Result<void> run(std::uint64_t& entries) {
    // The longest first, so that both threads end at much the same time. IPv6 takes twice as long as IPv4.
    std::stable_sort(jobs_.begin(), jobs_.end(), [](const Job& a, const Job& b) { return a.weight() > b.weight(); });
    run_on_two_threads(jobs_.size(), [this](std::size_t i) {
      Job& job = jobs_[i];
      job.result = job.family == 0 ? compile<1>(*job.tenants, job.part, job.parts, job.entries)
                                   : compile<4>(*job.tenants, job.part, job.parts, job.entries);
    });
    for (Job& job : jobs_) {
      if (!job.result) return job.result.error();
      job.shard->add_segments(job.family, std::move(job.result).value());
      entries += job.entries;
    }
    return {};
  }

  /// Indices in kTenants of those whose rules were compiled.
  [[nodiscard]] const std::vector<std::uint32_t>& tenants() const { return tenants_; }

 private:
  struct Job {
    const std::vector<TenantRules>* tenants;
    Shard* shard;
    std::size_t family;
    std::uint32_t part, parts;
    std::uint32_t rules;  ///< of all parts
    std::uint64_t entries = 0;
    Result<Segments> result = Segments{};
    [[nodiscard]] std::uint64_t weight() const { return std::uint64_t{rules} * (family + 1) / parts; }
  };
  const SnapshotView& view_;
  std::vector<Job> jobs_;
  std::vector<std::uint32_t> tenants_;
};

Result<std::unique_ptr<const Classifier>> Classifier::build(const filters::SnapshotView& view,
                                                            const Classifier* previous, ClassifierBuildStats& stats) {
  const auto started = std::chrono::steady_clock::now();
  stats = {};
  std::unique_ptr<Classifier> out(new Classifier);
  out->places_.resize(view.tenants().size());
  const auto plan = plan_shards(view);
  const auto compiled_plan = miscompiled_ == nullptr ? plan : plan_shards(*miscompiled_);
  if (plan.size() > kShardsMax) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, 0};
  ContentHash hash(view);
  Compilation compilation(miscompiled_ == nullptr ? view : *miscompiled_);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const auto content = hash.of(plan[i]);
    const auto same = [&](const auto& shard) { return shard->content() == content; };
    std::shared_ptr<const Shard> shard;
    if (previous != nullptr) {
      const auto found = std::find_if(previous->shards_.begin(), previous->shards_.end(), same);
      if (found != previous->shards_.end()) shard = *found;
    }
    ++(shard ? stats.shards_reused : stats.shards_built);
    if (!shard) shard = compilation.add(compiled_plan[i], content);
    const auto number = static_cast<std::uint16_t>(out->shards_.size());
    for (const auto& from : plan[i]) {
      const Range rules = from.tenant->rules;
      const auto index = static_cast<std::size_t>(from.tenant - view.tenants().data());
      out->places_[index] = {rules.first, rules.first + rules.count - 1, number, from.slot};
    }
    out->shards_.push_back(std::move(shard));
  }
  SEKISHO_CHECK_OK(compilation.run(stats.entries));
  SEKISHO_CHECK_OK(out->check(view, compilation.tenants(), stats));
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
  for (std::size_t done = 0; done < keys.size(); done += kBatchMax) {
    const std::size_t count = std::min(kBatchMax, keys.size() - done);
    classify_batch(keys.subspan(done, count), rules.subspan(done, count));
  }
}

void Classifier::classify_batch(std::span<ClassifyKey> keys, std::span<std::uint32_t> rules) const noexcept {
  constexpr std::uint8_t kEnd = 0xff;
  static_assert(kBatchMax < kEnd);
  // Keys of one shard and family form a chain: newest[group] -> before[key] -> ...
  std::array<std::uint8_t, kShardsMax * kFamilies> newest;
  std::array<std::uint8_t, kBatchMax> before;
  std::array<std::uint16_t, kBatchMax> groups;
  std::memset(newest.data(), kEnd, shards_.size() * kFamilies);
  std::size_t group_count = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    auto& key = keys[i];
    SEKISHO_DCHECK(key.tenant_index < places_.size());
    const auto& place = places_[key.tenant_index];
    key.slot = place.slot;
    rules[i] = place.default_rule;
    const bool is_v6 = key.family == static_cast<std::uint8_t>(Family::kIpv6);
    if (!is_v6 && key.family != static_cast<std::uint8_t>(Family::kIpv4)) continue;
    const auto group = static_cast<std::uint16_t>(place.shard * kFamilies + (is_v6 ? 1 : 0));
    if (newest[group] == kEnd) groups[group_count++] = group;
    before[i] = newest[group];
    newest[group] = static_cast<std::uint8_t>(i);
  }
  std::array<const std::uint8_t*, kBatchMax> data;
  std::array<std::uint8_t, kBatchMax> order;
  std::array<std::uint32_t, kBatchMax> found;
  for (std::size_t g = 0; g < group_count; ++g) {
    std::uint32_t count = 0;
    for (std::uint8_t i = newest[groups[g]]; i != kEnd; i = before[i]) {
      order[count] = i;
      data[count++] = reinterpret_cast<const std::uint8_t*>(&keys[i]);
    }
    for (const auto& context : shards_[groups[g] / kFamilies]->segments(groups[g] % kFamilies)) {
      if (rte_acl_classify(context.get(), data.data(), found.data(), count, 1) != 0) continue;
      for (std::uint32_t k = 0; k < count; ++k) {
        if (found[k] == 0) continue;
        const std::uint32_t rule = places_[keys[order[k]].tenant_index].first_rule + found[k] - 1;
        rules[order[k]] = std::min(rules[order[k]], rule);  // the default deny is the tenant's last
      }
    }
  }
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
  return key;
}

}  // namespace sekisho::dataplane
