// SPDX-License-Identifier: Apache-2.0
// The compiled classifier must answer as the linear matcher does, always; and keep what did not change.
#include "dataplane/config/classifier.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/support/classifier_fault.h"
#include "tests/support/snapshots.h"

namespace sekisho::dataplane {
namespace {

using filters::PolicyQuery;
using filters::SnapshotBuilder;
using filters::SnapshotView;
using filters::snapshot::Rule;
using filters::snapshot::Service;
using tests::prefix;
using tests::range_of;

/// A snapshot's bytes with their view.
struct Block {
  std::vector<std::uint8_t> bytes;
  SnapshotView view;
  explicit Block(const SnapshotBuilder& builder) : bytes(builder.finish(1)), view(SnapshotView::parse(bytes).value()) {}
};

using ClassifierPtr = std::unique_ptr<const Classifier>;

ClassifierPtr compile(const SnapshotView& view, ClassifierBuildStats& stats, const Classifier* previous = nullptr) {
  auto built = Classifier::build(view, previous, stats);
  EXPECT_TRUE(built.has_value()) << (built ? 0U : built.error().detail);
  return std::move(built).value();
}
ClassifierPtr compile(const SnapshotView& view) {
  ClassifierBuildStats stats;
  return compile(view, stats);
}

std::uint32_t classify_one(const Classifier& classifier, const PolicyQuery& query) {
  std::array keys{ClassifyKey::from(query)};
  std::array<std::uint32_t, 1> rules{0xdeadbeef};
  classifier.classify(keys, rules);
  return rules[0];
}

std::string text(const PolicyQuery& q) {
  return "tenant " + std::to_string(q.tenant_index) + " zones " + std::to_string(q.source_zone) + ">" +
         std::to_string(q.destination_zone) + " " + to_string(q.source) + ":" + std::to_string(q.source_port) + " > " +
         to_string(q.destination) + ":" + std::to_string(q.destination_port) + " proto " + std::to_string(q.protocol) +
         " icmp " + std::to_string(q.icmp_type) + "/" + std::to_string(q.icmp_code);
}

void expect_same_answers(const tests::PolicyShape& shape, std::size_t queries) {
  const Block block(tests::random_policy(shape));
  const auto classifier = compile(block.view);
  tests::Random random(shape.seed + 1);
  std::vector<bool> hit(block.view.rules().size());
  constexpr std::size_t kChunk = 300;  // not a multiple of a batch
  for (std::size_t done = 0; done < queries; done += kChunk) {
    std::vector<PolicyQuery> asked;
    std::vector<ClassifyKey> keys;
    for (std::size_t i = 0; i < kChunk; ++i) {
      asked.push_back(tests::random_query(block.view, random));
      keys.push_back(ClassifyKey::from(asked.back()));
    }
    std::vector<std::uint32_t> rules(kChunk, 0xdeadbeef);
    classifier->classify(keys, rules);
    for (std::size_t i = 0; i < kChunk; ++i) {
      ASSERT_EQ(rules[i], filters::match_linear(block.view, asked[i]).rule)
          << "seed " << shape.seed << ": " << text(asked[i]);
      hit[rules[i]] = true;
    }
  }
  const auto hits = static_cast<std::size_t>(std::count(hit.begin(), hit.end(), true));
  EXPECT_GT(hits * 5, hit.size()) << "the queries miss the policy";
}

TEST(Classifier, AnswersAsTheLinearMatcherOnSmallPolicies) {
  for (std::uint64_t seed = 100; seed < 110; ++seed) {
    expect_same_answers({.seed = seed, .tenants = 4, .rules = 12, .hosts = 16}, 6'000);
  }
}

TEST(Classifier, AnswersAsTheLinearMatcherOnALargerPolicy) {
  expect_same_answers({.seed = 7, .tenants = 1, .rules = 60, .hosts = 200}, 20'000);
}

TEST(Classifier, AnswersAsTheLinearMatcherOnAPolicyOfTheUsualKind) {
  expect_same_answers({.seed = 9, .tenants = 2, .rules = 500, .zones_max = 4, .entries_max = 1, .realistic = true},
                      10'000);
}

TEST(Classifier, AnswersAsTheLinearMatcherWithManyTenantsAndZones) {
  expect_same_answers({.seed = 8, .tenants = 150, .rules = 5, .zones_max = 16, .entries_max = 2, .hosts = 16}, 30'000);
}

TEST(Classifier, AnswersAsTheLinearMatcherWhereRulesFillManyBlocks) {
  // Rule i takes hosts from i on, rule 1399 everything: the first match of host i is rule i, in any of three blocks.
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  constexpr std::uint32_t kRules = 1400;
  for (std::uint32_t i = 0; i < kRules; ++i) {
    Rule rule = tests::any_rule(i + 1);
    if (i + 1 < kRules) {
      rule.any_source = 0;
      const auto low = Address::from_v4(0x0a000000U + kRules - i);
      rule.sources = tests::add_ranges(b, {{low, Address::from_v4(0x0a010000U), {}}});
    }
    tests::add_rule(b, rule);
  }
  const Block block(b);
  const auto classifier = compile(block.view);
  for (const std::uint32_t i : {0U, 1U, 510U, 511U, 512U, 513U, 1023U, 1024U, 1025U, 1398U, 1399U}) {
    const PolicyQuery query{0, 0, 0, Address::from_v4(0x0a000000U + kRules - i), tests::address("10.9.9.9"), 6, 1, 1, 0, 0};
    EXPECT_EQ(classify_one(*classifier, query), i);
    EXPECT_EQ(filters::match_linear(block.view, query).rule, i);
  }
}

TEST(Classifier, ServicesOfOneRuleKeepTheirOwnSourcePorts) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  const auto service = [](std::uint8_t protocol, std::uint16_t source, std::uint16_t destination) {
    Service out = tests::any_service();
    out.protocol = protocol;
    out.source_low = out.source_high = source;
    out.destination_low = out.destination_high = destination;
    return out;
  };
  Service ping = tests::any_service();
  ping.protocol = 1;
  ping.icmp_type_low = 7, ping.icmp_type_high = 8;
  ping.icmp_code_low = ping.icmp_code_high = 3;
  Rule rule = tests::any_rule(1);
  rule.any_service = 0;
  rule.services = tests::add_services(b, {service(6, 1000, 80), service(6, 2000, 443), service(17, 1000, 443), ping});
  tests::add_rule(b, rule);
  const Block block(b);
  const auto classifier = compile(block.view);
  for (const std::uint8_t protocol : std::array<std::uint8_t, 3>{6, 17, 1}) {
    for (const std::uint16_t source : std::array<std::uint16_t, 4>{999, 1000, 1001, 2000}) {
      for (const std::uint16_t destination : std::array<std::uint16_t, 4>{79, 80, 443, 444}) {
        const PolicyQuery query{0, 0, 0, tests::address("10.0.0.1"), tests::address("10.0.0.2"), protocol, source, destination,
                                static_cast<std::uint8_t>(source % 10), static_cast<std::uint8_t>(destination % 10)};
        EXPECT_EQ(classify_one(*classifier, query), filters::match_linear(block.view, query).rule) << text(query);
      }
    }
  }
  for (unsigned type = 6; type <= 9; ++type) {
    for (unsigned code = 2; code <= 4; ++code) {
      const PolicyQuery query{0, 0, 0, tests::address("10.0.0.1"), tests::address("10.0.0.2"), 1, 1000, 80,
                              static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code)};
      EXPECT_EQ(classify_one(*classifier, query), (type == 7 || type == 8) && code == 3 ? 0U : 1U) << text(query);
    }
  }
}

TEST(Classifier, LimitsAtTheEndsOfEveryAxisAreExact) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  Rule rule = tests::any_rule(1);
  rule.any_source = rule.any_destination = 0;
  rule.sources = tests::add_ranges(b, {{tests::address("0.0.0.0"), tests::address("0.0.0.1"), {}},
                                       {tests::address("::"), tests::address("::1"), {}}});
  rule.destinations = tests::add_ranges(
      b, {{tests::address("255.255.255.254"), tests::address("255.255.255.255"), {}},
          {tests::address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"), tests::address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), {}}});
  tests::add_rule(b, rule);
  const Block block(b);
  const auto classifier = compile(block.view);
  const auto asked = [&](const char* source, const char* destination, std::uint8_t protocol, std::uint16_t port) {
    return classify_one(*classifier, {0, 0, 0, tests::address(source), tests::address(destination), protocol, port, port, 0, 0});
  };
  EXPECT_EQ(asked("0.0.0.0", "255.255.255.255", 255, 65535), 0U);
  EXPECT_EQ(asked("0.0.0.1", "255.255.255.254", 0, 0), 0U);
  EXPECT_EQ(asked("0.0.0.2", "255.255.255.255", 255, 65535), 1U);
  EXPECT_EQ(asked("0.0.0.0", "255.255.255.253", 255, 65535), 1U);
  const std::string last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff";
  EXPECT_EQ(asked("::", (last + "f").c_str(), 255, 65535), 0U);
  EXPECT_EQ(asked("::1", (last + "e").c_str(), 0, 0), 0U);
  EXPECT_EQ(asked("::2", (last + "f").c_str(), 6, 1), 1U);
  EXPECT_EQ(asked("::1", (last + "d").c_str(), 6, 1), 1U);
}

/// One tenant, one rule that is narrow in every field, and the query it takes.
struct Narrow {
  SnapshotBuilder builder;
  PolicyQuery query{};
};

Narrow narrow(bool v6) {
  Narrow out;
  auto& b = out.builder;
  tests::add_tenant(b, 5, 8);
  Rule rule = tests::any_rule(1);
  rule.source_zones = 1U << 2;
  rule.destination_zones = 1U << 5;
  rule.any_source = rule.any_destination = rule.any_service = 0;
  const char* source = v6 ? "2001:db8:1:2:3:4:5:60/124" : "10.1.2.16/28";
  const char* destination = v6 ? "2001:db8:1:2:3:4:5:80/124" : "10.1.2.32/28";
  rule.sources = tests::add_ranges(b, {range_of(prefix(source))});
  rule.destinations = tests::add_ranges(b, {range_of(prefix(destination))});
  Service service = tests::any_service();
  service.protocol = 6;
  service.source_low = service.source_high = 1000;
  service.destination_low = service.destination_high = 443;
  rule.services = tests::add_services(b, {service});
  tests::add_rule(b, rule);
  tests::add_tenant(b, 5 + 64, 8);  // nothing allowed
  out.query = {0, 2, 5, prefix(source).first(), prefix(destination).first(), 6, 1000, 443, 0, 0};
  return out;
}

class NearestNonMatch : public testing::TestWithParam<bool> {};

TEST_P(NearestNonMatch, OfEachFieldGetsTheDefaultDeny) {
  const auto [builder, taken] = narrow(GetParam());
  const Block block(builder);
  const auto classifier = compile(block.view);
  using Change = std::function<void(PolicyQuery&)>;
  const std::vector<std::pair<const char*, Change>> beside{
      {"tenant", [](auto& q) { q.tenant_index = 1; }},
      {"source zone below", [](auto& q) { q.source_zone = 1; }},
      {"source zone above", [](auto& q) { q.source_zone = 3; }},
      {"destination zone below", [](auto& q) { q.destination_zone = 4; }},
      {"destination zone above", [](auto& q) { q.destination_zone = 6; }},
      {"zones exchanged", [](auto& q) { std::swap(q.source_zone, q.destination_zone); }},
      {"source below", [](auto& q) { q.source = tests::previous(q.source); }},
      {"source above",
       [](auto& q) {
         for (int i = 0; i < 16; ++i) q.source = tests::next(q.source);
       }},
      {"destination below", [](auto& q) { q.destination = tests::previous(q.destination); }},
      {"destination above",
       [](auto& q) {
         for (int i = 0; i < 16; ++i) q.destination = tests::next(q.destination);
       }},
      {"protocol", [](auto& q) { q.protocol = 17; }},
      {"protocol below", [](auto& q) { q.protocol = 5; }},
      {"source port below", [](auto& q) { q.source_port = 999; }},
      {"source port above", [](auto& q) { q.source_port = 1001; }},
      {"destination port below", [](auto& q) { q.destination_port = 442; }},
      {"destination port above", [](auto& q) { q.destination_port = 444; }},
  };

  EXPECT_EQ(classify_one(*classifier, taken), 0U);
  for (const auto& [name, change] : beside) {
    PolicyQuery query = taken;
    change(query);
    EXPECT_EQ(classify_one(*classifier, query), query.tenant_index == 0 ? 1U : 2U) << name;
    EXPECT_EQ(filters::match_linear(block.view, query).rule, query.tenant_index == 0 ? 1U : 2U) << name;
  }
  PolicyQuery last = taken;
  for (int i = 0; i < 15; ++i) last.source = tests::next(last.source);
  EXPECT_EQ(classify_one(*classifier, last), 0U);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, NearestNonMatch, testing::Bool(),
                         [](const auto& instance) { return instance.param ? "Ipv6" : "Ipv4"; });

TEST(Classifier, JudgesIcmpByTypeAndCodeAndNotByPorts) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  Rule rule = tests::any_rule(1);
  Service echo = tests::any_service();
  echo.protocol = 58;
  echo.icmp_type_low = echo.icmp_type_high = 128;
  echo.icmp_code_high = 0;
  rule.services = tests::add_services(b, {echo});
  rule.any_service = 0;
  tests::add_rule(b, rule);
  const Block block(b);
  const auto classifier = compile(block.view);
  PolicyQuery query{0, 0, 0, tests::address("fd00::1"), tests::address("fd00::2"), 58, 4242, 4242, 128, 0};

  EXPECT_EQ(classify_one(*classifier, query), 0U);
  query.icmp_code = 1;
  EXPECT_EQ(classify_one(*classifier, query), 1U);
  query.icmp_code = 0;
  query.icmp_type = 129;
  EXPECT_EQ(classify_one(*classifier, query), 1U);
  query.icmp_type = 128;
  query.protocol = 1;
  EXPECT_EQ(classify_one(*classifier, query), 1U);
}

TEST(Classifier, GivesTheDefaultDenyForAnUnknownFamily) {
  const auto [builder, taken] = narrow(false);
  const Block block(builder);
  const auto classifier = compile(block.view);
  PolicyQuery query = taken;
  query.source.family = Family::kNone;

  EXPECT_EQ(classify_one(*classifier, query), 1U);
}

TEST(Classifier, TenantsWithoutRulesGetTheirOwnDefaultDeny) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  tests::add_tenant(b, 2, 1);
  const Block block(b);
  const auto classifier = compile(block.view);
  PolicyQuery query{0, 0, 0, tests::address("10.0.0.1"), tests::address("10.0.0.2"), 6, 1, 1, 0, 0};

  EXPECT_EQ(classify_one(*classifier, query), 0U);
  query.tenant_index = 1;
  EXPECT_EQ(classify_one(*classifier, query), 1U);
}

/// Tenants 1..n, one TCP rule each to port 1000 + tenant (or `port` for `changed`).
SnapshotBuilder ladder(std::uint32_t tenants, std::uint32_t changed = 0, std::uint16_t port = 0) {
  SnapshotBuilder b;
  std::uint32_t id = 0;
  for (std::uint32_t t = 1; t <= tenants; ++t) {
    tests::add_tenant(b, t, 2);
    const std::uint32_t count = t == changed ? 2 : 1;
    for (std::uint32_t i = 0; i < count; ++i) {
      Rule rule = tests::any_rule(++id);
      Service service = tests::any_service();
      service.protocol = 6;
      const auto own = static_cast<std::uint16_t>(1000 + t);
      service.destination_low = service.destination_high = i == 0 ? own : port;
      rule.services = tests::add_services(b, {service});
      rule.any_service = 0;
      tests::add_rule(b, rule);
    }
  }
  return b;
}

TEST(Classifier, RebuildsOnlyTheTenantThatChangedAndFollowsShiftedIndices) {
  const Block before(ladder(8));
  ClassifierBuildStats stats;
  const auto old = compile(before.view, stats);
  EXPECT_EQ(stats.tenants_built, 8U);
  EXPECT_EQ(stats.tenants_reused, 0U);
  const Block after(ladder(8, 3, 77));

  const auto fresh = compile(after.view, stats, old.get());

  EXPECT_EQ(stats.tenants_built, 1U);
  EXPECT_EQ(stats.tenants_reused, 7U);
  for (std::uint32_t t = 0; t < 8; ++t) {
    for (const std::uint16_t port : {std::uint16_t{77}, static_cast<std::uint16_t>(1001 + t)}) {
      const PolicyQuery query{t, 0, 1, tests::address("10.0.0.1"), tests::address("10.0.0.2"), 6, 5, port, 0, 0};
      EXPECT_EQ(classify_one(*fresh, query), filters::match_linear(after.view, query).rule) << t << " port " << port;
      EXPECT_EQ(classify_one(*old, query), filters::match_linear(before.view, query).rule) << t << " port " << port;
    }
  }
}

TEST(Classifier, KeepsEveryTenantWhenOnlyNamesIdsAndActionsChange) {
  auto builder = ladder(4);
  const Block before(builder);
  ClassifierBuildStats stats;
  const auto old = compile(before.view, stats);
  for (auto& rule : builder.rules) {
    rule.id += 100;
    rule.name = builder.string("renamed");
    if (rule.is_default == 0) rule.action = filters::snapshot::Action::kReject;
  }
  for (auto& service : builder.services) service.name = builder.string("renamed");
  const Block after(builder);

  const auto fresh = compile(after.view, stats, old.get());

  EXPECT_EQ(stats.tenants_built, 0U);
  EXPECT_EQ(stats.tenants_reused, 4U);
}

TEST(Classifier, RebuildsForAChangeOfAnyFieldThatDecidesAMatch) {
  const auto [original, taken] = narrow(true);
  const Block before(original);
  ClassifierBuildStats stats;
  const auto old = compile(before.view, stats);
  const std::vector<std::pair<const char*, std::function<void(SnapshotBuilder&)>>> changes{
      {"source zones", [](auto& b) { b.rules[0].source_zones <<= 1; }},
      {"destination zones", [](auto& b) { b.rules[0].destination_zones <<= 1; }},
      {"standing", [](auto& b) { b.rules[0].timed = 1, b.rules[0].standing = filters::snapshot::Standing::kDormant; }},
      {"sources", [](auto& b) { b.address_ranges[0].low = tests::next(b.address_ranges[0].low); }},
      {"destinations", [](auto& b) { b.address_ranges[1].high = tests::next(b.address_ranges[1].high); }},
      {"protocol", [](auto& b) { b.services[0].protocol = 17; }},
      {"any protocol", [](auto& b) { b.services[0].any_protocol = 1; }},
      {"source ports", [](auto& b) { b.services[0].source_low = 0; }},
      {"destination ports", [](auto& b) { b.services[0].destination_high = 444; }},
      {"ICMP types", [](auto& b) { b.services[0].icmp_type_low = 1; }},
      {"ICMP codes", [](auto& b) { b.services[0].icmp_code_low = 1; }},
  };
  for (const auto& [name, change] : changes) {
    auto builder = original;
    change(builder);
    const Block after(builder);
    const auto fresh = compile(after.view, stats, old.get());
    EXPECT_EQ(stats.tenants_built, 1U) << name;
  }
}

TEST(Classifier, CompilationThatIsWrongInAnyFieldIsRefusedWithAPacketThatShowsIt) {
  for (const bool v6 : {false, true}) {
    const auto [original, taken] = narrow(v6);
    const Block real(original);
    const std::vector<std::pair<const char*, std::function<void(SnapshotBuilder&)>>> defects{
        {"source zone below", [](auto& b) { b.rules[0].source_zones |= 1U << 1; }},
        {"destination zone above", [](auto& b) { b.rules[0].destination_zones |= 1U << 6; }},
        {"no destination zone", [](auto& b) { b.rules[0].destination_zones = 1; }},
        {"source one too few", [](auto& b) { b.address_ranges[0].low = tests::next(b.address_ranges[0].low); }},
        {"source one too many", [](auto& b) { b.address_ranges[0].high = tests::next(b.address_ranges[0].high); }},
        {"destination one too many", [](auto& b) { b.address_ranges[1].low = tests::previous(b.address_ranges[1].low); }},
        {"destination one too few", [](auto& b) { b.address_ranges[1].high = tests::previous(b.address_ranges[1].high); }},
        {"protocol", [](auto& b) { b.services[0].protocol = 17; }},
        {"source ports", [](auto& b) { b.services[0].source_low = 999; }},
        {"destination ports", [](auto& b) { b.services[0].destination_high = 444; }},
    };
    for (const auto& [name, defect] : defects) {
      auto builder = original;
      defect(builder);
      const Block wrong(builder);
      const ClassifierFault fault(wrong.view);
      ClassifierBuildStats stats;
      const auto built = Classifier::build(real.view, nullptr, stats);
      ASSERT_FALSE(built.has_value()) << name;
      EXPECT_EQ(built.error().code, ErrorCode::kConflict) << name;
      ASSERT_TRUE(stats.mismatch.has_value()) << name;
      EXPECT_EQ(filters::match_linear(real.view, stats.mismatch->packet).rule, stats.mismatch->expected) << name;
      EXPECT_EQ(filters::match_linear(wrong.view, stats.mismatch->packet).rule, stats.mismatch->answered) << name;
    }
    ClassifierBuildStats stats;
    compile(real.view, stats);
    EXPECT_GT(stats.probes, 30U);
  }
}

TEST(Classifier, RuleThatDoesNotStandTakesNothingAndTheNextOneDoes) {
  auto [builder, taken] = narrow(false);
  Rule wide = tests::any_rule(77);
  builder.rules.insert(builder.rules.begin() + 1, wide);
  builder.rules[1].policy = builder.rules[0].policy;
  builder.rules[1].number = 2;
  builder.rules[1].name = builder.rules[0].name;
  ++builder.tenants[0].rules.count;
  ++builder.tenants[1].rules.first;
  const Block stands(builder);
  EXPECT_EQ(classify_one(*compile(stands.view), taken), 0U);
  builder.rules[0].timed = 1;
  builder.rules[0].standing = filters::snapshot::Standing::kDormant;
  const Block sleeps(builder);
  EXPECT_EQ(classify_one(*compile(sleeps.view), taken), 1U);
  EXPECT_EQ(filters::match_linear(sleeps.view, taken).rule, 1U);
}

TEST(Classifier, RulesInTheWrongOrderAreRefused) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 2);
  for (std::uint32_t id = 1; id <= 2; ++id) {
    Rule rule = tests::any_rule(id);
    rule.any_destination = 0;
    rule.destinations = tests::add_ranges(b, {range_of(prefix(id == 1 ? "10.0.0.0/24" : "10.0.0.0/16"))});
    tests::add_rule(b, rule);
  }
  const Block real(b);
  std::swap(b.rules[0].destinations, b.rules[1].destinations);
  const Block wrong(b);
  const ClassifierFault fault(wrong.view);
  ClassifierBuildStats stats;
  EXPECT_FALSE(Classifier::build(real.view, nullptr, stats).has_value());
}

TEST(Classifier, OnlyTenantsThatWereCompiledAreChecked) {
  const Block block(ladder(4));
  ClassifierBuildStats stats;
  const auto old = compile(block.view, stats);
  const std::uint64_t all = stats.probes;
  compile(block.view, stats, old.get());
  EXPECT_EQ(stats.probes, 0U);
  const Block after(ladder(4, 2, 77));
  compile(after.view, stats, old.get());
  EXPECT_GT(stats.probes, 0U);
  EXPECT_LT(stats.probes, all / 2);
}

TEST(Classifier, SharedTenantsOutliveTheGenerationThatBuiltThem) {
  const Block block(ladder(4));
  ClassifierBuildStats stats;
  auto old = compile(block.view, stats);
  const auto fresh = compile(block.view, stats, old.get());
  old.reset();
  const PolicyQuery query{2, 0, 1, tests::address("fd00::1"), tests::address("fd00::2"), 6, 5, 1003, 0, 0};

  EXPECT_EQ(classify_one(*fresh, query), filters::match_linear(block.view, query).rule);
}

TEST(Classifier, RefusesRulesBeyondBoundsAndNamesOne) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  tests::add_rule(b, tests::any_rule(1));
  Rule wide = tests::any_rule(2);
  std::vector<Service> services;
  for (std::uint32_t i = 0; i < filters::CompiledRules::kLinesMax; ++i) {  // a line for each of the source ports
    Service service = tests::any_service();
    service.protocol = 6;
    service.source_low = service.source_high = static_cast<std::uint16_t>(i);
    services.push_back(service);
  }
  wide.services = tests::add_services(b, services);
  wide.any_service = 0;
  tests::add_rule(b, wide);
  const Block block(b);
  ClassifierBuildStats stats;

  const auto built = Classifier::build(block.view, nullptr, stats);

  ASSERT_FALSE(built.has_value());
  EXPECT_EQ(built.error().code, ErrorCode::kLimit);
  EXPECT_EQ(built.error().where, ErrorSite::kDataplane);
  EXPECT_EQ(built.error().detail, 1U);
}

}  // namespace
}  // namespace sekisho::dataplane
