// SPDX-License-Identifier: Apache-2.0
// Goal: what is said about a rule's reach is true. Method: small universes in which every packet can be tried.
#include "control/compile/coverage.h"

#include <gtest/gtest.h>

#include "tests/support/snapshots.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control {
namespace {

using filters::PolicyQuery;
using filters::SnapshotBuilder;
using filters::SnapshotView;
using filters::snapshot::Rule;
using filters::snapshot::Service;
using tests::Random;

constexpr std::uint32_t kHosts = 8, kPorts = 6;

Address host(Family family, std::uint32_t number) {
  Address out = tests::address(family == Family::kIpv4 ? "10.0.0.0" : "fd00::");
  out.bytes[out.bits() / 8 - 1] = static_cast<std::uint8_t>(number);
  return out;
}

std::uint32_t below(Random& random, std::uint32_t bound) {
  return static_cast<std::uint32_t>(random() % bound);
}

filters::snapshot::Range some_hosts(SnapshotBuilder& b, Random& random) {
  std::vector<filters::snapshot::AddressRange> ranges;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!ranges.empty() && below(random, 3) == 0) continue;
    const std::uint32_t low = below(random, kHosts);
    ranges.push_back({host(family, low), host(family, low + below(random, kHosts - low)), {}});
    if (low > 2) ranges.push_back({host(family, 0), host(family, below(random, 2)), {}});
  }
  return tests::add_ranges(b, tests::normalised(ranges));
}

Service some_service(Random& random) {
  Service out = tests::any_service();
  const std::uint32_t kind = below(random, 4);
  if (kind == 0) {
    out.protocol = 1;
    out.icmp_type_low = static_cast<std::uint8_t>(below(random, 3));
    out.icmp_type_high = static_cast<std::uint8_t>(below(random, 2) == 0 ? 255U : out.icmp_type_low + 1U);
    if (below(random, 2) == 0) out.icmp_code_high = 0;
  } else if (kind == 1) {
    out.protocol = 47;
  } else {
    out.protocol = 6;
    out.destination_low = static_cast<std::uint16_t>(below(random, kPorts));
    out.destination_high =
        static_cast<std::uint16_t>(below(random, 3) == 0 ? 65535U : out.destination_low + below(random, 3));
    if (below(random, 3) == 0) out.source_low = out.source_high = 1;
  }
  return out;
}

SnapshotBuilder small_policy(Random& random) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 2);
  const std::uint32_t rules = 2 + below(random, 9);
  for (std::uint32_t id = 1; id <= rules; ++id) {
    Rule rule = tests::any_rule(id);
    if (below(random, 3) == 0) rule.source_zones = 1 + below(random, 2);
    if (below(random, 3) == 0) rule.destination_zones = 1 + below(random, 2);
    if (below(random, 4) != 0) rule.sources = some_hosts(b, random), rule.any_source = 0;
    if (below(random, 4) != 0) rule.destinations = some_hosts(b, random), rule.any_destination = 0;
    if (below(random, 4) != 0) {
      rule.services = tests::add_services(b, {some_service(random), some_service(random)});
      rule.any_service = 0;
    }
    rule.action = static_cast<filters::snapshot::Action>(1 + below(random, 3));
    tests::add_rule(b, rule);
  }
  return b;
}

/// Every packet of the universe, and one beyond it in each direction.
std::vector<PolicyQuery> everything() {
  std::vector<PolicyQuery> services;
  for (std::uint16_t from = 0; from < 3; ++from) {
    for (std::uint16_t to = 0; to < kPorts + 3; ++to)
      services.push_back({.tenant_index = 0,
                          .source_zone = 0,
                          .destination_zone = 0,
                          .source = {},
                          .destination = {},
                          .protocol = 6,
                          .source_port = from,
                          .destination_port = to,
                          .icmp_type = 0,
                          .icmp_code = 0});
  }
  for (std::uint8_t type = 0; type < 5; ++type) {
    for (std::uint8_t code = 0; code < 2; ++code)
      services.push_back({.tenant_index = 0,
                          .source_zone = 0,
                          .destination_zone = 0,
                          .source = {},
                          .destination = {},
                          .protocol = 1,
                          .source_port = 0,
                          .destination_port = 0,
                          .icmp_type = type,
                          .icmp_code = code});
  }
  for (const std::uint8_t protocol : {std::uint8_t{47}, std::uint8_t{2}}) {
    services.push_back(services.back());
    services.back().protocol = protocol;
  }
  std::vector<PolicyQuery> out;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (std::uint32_t place = 0; place < 4 * (kHosts + 1) * (kHosts + 1); ++place) {
      for (PolicyQuery packet : services) {
        packet.source_zone = place & 1U;
        packet.destination_zone = (place >> 1U) & 1U;
        packet.source = host(family, (place >> 2U) % (kHosts + 1));
        packet.destination = host(family, (place >> 2U) / (kHosts + 1));
        out.push_back(packet);
      }
    }
  }
  return out;
}

TEST(Coverage, SaysOfEveryRuleWhatTryingEveryPacketSays) {
  const std::vector<PolicyQuery> packets = everything();
  std::vector<std::uint32_t> answers(packets.size());
  Random random(11);
  std::size_t covered = 0;
  std::size_t reached = 0;
  for (int round = 0; round < 400; ++round) {
    const std::vector<std::uint8_t> bytes = small_policy(random).finish(1);
    const SnapshotView view = SnapshotView::parse(bytes).value();
    filters::match_linear(view, packets, answers);
    std::vector<bool> hit(view.rules().size());
    for (const std::uint32_t answer : answers) hit[answer] = true;
    for (const RuleReach& rule : find_coverage(view, 0)) {
      ASSERT_EQ(rule.reach, hit[rule.rule] ? Reach::kReached : Reach::kCovered)
          << "round " << round << " rule " << rule.rule;
      ++(hit[rule.rule] ? reached : covered);
      if (!rule.example) continue;
      EXPECT_TRUE(filters::rule_matches(view, view.rules()[rule.rule], *rule.example));
      EXPECT_EQ(filters::match_linear(view, *rule.example).rule, rule.taken_by);
      EXPECT_EQ(rule.reach == Reach::kReached, rule.taken_by == rule.rule);
      for (const std::uint32_t by : rule.by) EXPECT_LT(by, rule.rule);
    }
  }
  EXPECT_GT(covered, 100U);
  EXPECT_GT(reached, 300U);
}

/// any to `port` ranges, in order.
SnapshotBuilder ports(std::initializer_list<std::pair<std::uint16_t, std::uint16_t>> ranges) {
  SnapshotBuilder b;
  tests::add_tenant(b, 1, 1);
  std::uint32_t id = 0;
  for (const auto& [low, high] : ranges) {
    Rule rule = tests::any_rule(++id);
    Service service = tests::any_service();
    service.protocol = 17;
    service.destination_low = low;
    service.destination_high = high;
    rule.services = tests::add_services(b, {service});
    rule.any_service = 0;
    tests::add_rule(b, rule);
  }
  return b;
}

TEST(Coverage, UnionThatLeavesOnePortIsNoCoverAndThePortIsFound) {
  const auto whole = ports({{1, 499}, {500, 65535}, {0, 0}, {0, 65535}}).finish(1);
  const SnapshotView covered = SnapshotView::parse(whole).value();
  const RuleReach last = find_coverage(covered, 0).back();
  EXPECT_EQ(last.reach, Reach::kCovered);
  EXPECT_EQ(last.by, (std::vector<std::uint32_t>{0, 1, 2}));

  const auto gap = ports({{1, 498}, {500, 65535}, {0, 0}, {0, 65535}}).finish(1);
  const RuleReach reached = find_coverage(SnapshotView::parse(gap).value(), 0).back();
  EXPECT_EQ(reached.reach, Reach::kReached);
  ASSERT_TRUE(reached.example.has_value());
  EXPECT_EQ(reached.example->destination_port, 499);
}

TEST(Coverage, SpentBudgetIsUndecidedAndNeverCovered) {
  const auto bytes = ports({{1, 498}, {500, 65535}, {0, 0}, {0, 65535}, {7, 8}}).finish(1);
  const auto rules = find_coverage(SnapshotView::parse(bytes).value(), 0, {.per_rule = 1, .in_all = 1});
  EXPECT_EQ(rules[3].reach, Reach::kUndecided);
  EXPECT_EQ(rules[4].reach, Reach::kUndecided);
  EXPECT_EQ(rules[0].reach, Reach::kReached);
}

TEST(Coverage, TenThousandRulesOfOneTenantAreAllDecided) {
  const auto bytes =
      tests::random_policy(
          {.seed = 3, .tenants = 1, .rules = 10'000, .zones_max = 4, .entries_max = 1, .hosts = 250, .realistic = true})
          .finish(1);
  const SnapshotView view = SnapshotView::parse(bytes).value();
  const auto rules = find_coverage(view, 0);
  EXPECT_EQ(
      std::count_if(rules.begin(), rules.end(), [](const RuleReach& rule) { return rule.reach == Reach::kUndecided; }),
      0);
}

// ---- In words ------------------------------------------------------------------------------------------------------

std::string remarks_on(std::string_view rules) {
  std::string text(test::kExample);
  const std::size_t from = text.find("          - { name: web allowed");
  const std::size_t to = text.find("      - name: outside");
  // Without rules of its own the first policy keeps one that takes nothing of what the tests ask about.
  const std::string own =
      rules.starts_with("      - name") ? "          - { name: own, action: allow, service: [ping] }\n" : "";
  text.replace(from, to - from, own + std::string(rules));
  const Decoded decoded = decode_document(text);
  EXPECT_FALSE(has_errors(validate(decoded)));
  Ids ids;
  const Compiled compiled = compile(decoded.model, decoded.positions, ids, 1);
  std::string out;
  for (const Finding& finding : remark_on_rules(decoded.model, decoded.positions, compiled)) {
    EXPECT_EQ(finding.severity, Severity::kWarning);
    EXPECT_GT(finding.line, 0U);
    out += finding.path + ": " + finding.sentence + '\n';
  }
  return out;
}

TEST(CoverageRemarks, ShadowedRuleNamesWhoTakesItsPacketsAndShowsOne) {
  EXPECT_EQ(remarks_on("          - { name: all web, action: drop, service: [http] }\n"
                       "          - { name: desks web, action: allow, source: [printer], destination: [web-servers], "
                       "service: [http] }\n"),
            "tenants[0].policies[0].rules[1]: no packet reaches the rule \"desks web\": \"all web\" above takes them "
            "all; for example "
            "TCP from 10.0.1.77 port 0 (office) to 10.0.0.0 port 80 (servers), dropped by \"all web\"\n");
}

TEST(CoverageRemarks, RuleBeforeTheWiderOneIsNotRemarkedOn) {
  EXPECT_EQ(remarks_on("          - { name: desks web, action: allow, source: [printer], destination: [web-servers], "
                       "service: [http] }\n"
                       "          - { name: all web, action: drop, service: [http] }\n"),
            "");
}

TEST(CoverageRemarks, RedundantRuleIsCoveredByTwoTogether) {
  const std::string said = remarks_on(
      "          - { name: the printer, action: allow, source: [printer], service: [http] }\n"
      "          - { name: the desks, action: allow, source: [desks], service: [http] }\n"
      "          - { name: office, action: allow, source: [office-net], service: [http] }\n");
  EXPECT_NE(said.find("rules[2]: no packet reaches the rule \"office\": \"the printer\" and \"the desks\" above take "
                      "them all between them, "
                      "with the same verdict: it is redundant; for example TCP from "),
            std::string::npos)
      << said;
}

TEST(CoverageRemarks, PolicyBehindAnotherIsSaidOnceByTheValidation) {
  EXPECT_EQ(remarks_on("      - name: again\n        from: [office]\n        to: [servers]\n        rules:\n"
                       "          - { name: never, action: allow, service: [http] }\n"),
            "");
}

TEST(CoverageRemarks, RuleWhoseZonesAnEarlierPolicyTakesIsBehindItsDefaultDeny) {
  const std::string said = remarks_on(
      "      - name: wider\n        to: [servers]\n        rules:\n"
      "          - { name: from the office, action: allow, source_zones: [office], service: [http] }\n"
      "          - { name: from outside, action: allow, source_zones: [internet], service: [http] }\n");
  EXPECT_NE(said.find("policies[1].rules[0]: no packet reaches the rule \"from the office\": the default deny of "
                      "policy \"inside\" above takes them all"),
            std::string::npos)
      << said;
  EXPECT_EQ(said.find("from outside"), std::string::npos);
}

}  // namespace
}  // namespace sekisho::control
