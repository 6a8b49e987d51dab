// SPDX-License-Identifier: Apache-2.0
// Goal: a rule nobody has hit for ninety days is reported at its place, and none that is younger, used, or off.
#include "control/show/unused.h"

#include <gtest/gtest.h>

#include "control/compile/compiler.h"
#include "control/config/timetable.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

constexpr std::string_view kBefore = R"(tenants:
  - service_code: acm00000001
    name: acme
    zones: [a]
    policies:
      - name: p
        rules:
          - { name: used, action: allow }
          - { name: idle, action: allow }
          - { name: never, action: allow, id: 6f1d2c84-0000-4000-8000-0000000000aa }
          - { name: off, action: allow, enabled: false }
  - service_code: glo00000002
    name: globex
    zones: [a]
    policies: [ { name: p, rules: [ { name: idle, action: allow } ] } ]
)";

class Unused : public testing::Test {
 protected:
  static std::uint64_t at(std::string_view civil) { return static_cast<std::uint64_t>(*parse_civil(civil)) * 1'000'000'000; }
  void hit(int tenant, int rule, std::uint64_t ns) {
    const auto& owner = before_.model.tenants(tenant);
    const Uuid uuid = rule_uuid(ids_, owner, owner.policies(0), owner.policies(0).rules(rule));
    auto& counter = *counters_.add_rules();
    counter.set_rule(ids_.number(IdKind::kRule, rule_key(owner.service_code(), uuid)));
    counter.set_last_hit_ns(ns);
  }
  std::string said(std::string_view document, std::string_view now) {
    const Decoded after = decode_document(document);
    std::string out;
    for (const Finding& finding : remark_on_unused(after.model, after.positions, before_.model, counters_, ids_, *parse_civil(now))) {
      EXPECT_EQ(finding.severity, Severity::kWarning);
      out += finding.path + ' ';
    }
    return out;
  }
  void SetUp() override {
    counters_.set_since_ns(at("2026-01-01 00:00"));
    hit(0, 0, at("2026-09-01 12:00"));
    hit(0, 1, at("2026-08-01 12:00"));
    hit(0, 2, 0);
    hit(1, 0, at("2026-09-01 12:00"));
  }

  Ids ids_;
  Decoded before_ = decode_document(kBefore);
  ipc::Counters counters_;
};

TEST_F(Unused, RulesOfNinetyDaysAreNamedAtTheirPlaceAndNoOthers) {
  EXPECT_EQ(said(kBefore, "2026-10-30 11:59"), "tenants[0].policies[0].rules[2] ");
  EXPECT_EQ(said(kBefore, "2026-10-30 12:01"), "tenants[0].policies[0].rules[1] tenants[0].policies[0].rules[2] ");
}

TEST_F(Unused, RuleThatIsNewOrOffIsNotReportedAndARenamedOneIsKnownByItsId) {
  std::string text(kBefore);
  text.replace(text.find("name: idle"), 10, "name: anew");
  text.replace(text.find("name: never"), 11, "name: other");
  EXPECT_EQ(said(text, "2026-11-15 12:00"), "tenants[0].policies[0].rules[2] ");
  text.replace(text.find("name: other, action: allow"), 26, "name: other, enabled: false, action: allow");
  EXPECT_EQ(said(text, "2026-11-15 12:00"), "");
}

TEST_F(Unused, NothingIsSaidBeforeTheDataPlaneHasCountedForNinetyDays) {
  counters_.set_since_ns(at("2026-08-20 00:00"));
  EXPECT_EQ(said(kBefore, "2026-11-15 12:00"), "");
}

}  // namespace
}  // namespace sekisho::control::test
