// SPDX-License-Identifier: Apache-2.0
// Goal: a tenant is told when it comes near a quota, once a level, and nobody else is; and when one of its rules ends.
// Method: two tenants with the same addresses, one of which fills a quota step by step.
#include <set>
#include <tuple>

#include "tests/path/path_test.h"
#include "tests/support/pieces.h"

namespace sekisho::tests {
namespace {

using dataplane::QuotaWatch;
using filters::kTcpSyn;
using std::chrono::seconds;
namespace snapshot = filters::snapshot;

const RuleText kAllowAll{.id = 11, .log = snapshot::kLogNone};

class PathQuotaWatch : public PathTest {
 protected:
  using Told = std::vector<std::pair<LogNotice, unsigned>>;
  /// What tenant A was told since the last call. Nobody else may have been.
  Told told() {
    world_.pass(seconds(1));
    Told out;
    for (const World::Record& record : world_.records()) {
      if (record.envelope.kind != LogKind::kSec || record.envelope.notice < kNoticeQuotaSessions) continue;
      EXPECT_EQ(record.envelope.tenant, kTenantA);
      out.emplace_back(static_cast<LogNotice>(record.envelope.notice), record.sec.level);
    }
    return out;
  }
  void open(unsigned first, unsigned count, std::uint32_t tenant = kTenantA) {
    for (unsigned port = first; port < first + count; ++port) {
      world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).udp(port, 53).build());
    }
    collect_all();
  }
  void apply(std::function<void(snapshot::Tenant&)> edit) {
    world_.apply(++generation_, {kAllowAll}, {.edit = [edit](filters::SnapshotBuilder& b) { edit(b.tenants[0]); }});
  }
  std::uint32_t generation_ = 0;
};
SEKISHO_PATH_WORKERS(PathQuotaWatch);

TEST_P(PathQuotaWatch, SessionsAreToldAtEachLevelOnceAndAgainOnlyAfterTheyFell) {
  apply([](snapshot::Tenant& tenant) { tenant.sessions_max = 100; });
  open(1000, 78);
  EXPECT_EQ(told(), Told{});
  open(2000, 3);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaSessions, 80}}));
  open(1000, 78), open(2000, 3);  // they are kept
  EXPECT_EQ(told(), Told{});
  open(3000, 15);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaSessions, 95}}));
  open(4000, 40);
  open(1000, 78, kTenantB);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaSessions, 100}}));
  world_.pass(seconds(40));  // all are over
  ASSERT_EQ(world_.sessions(), 0U);
  EXPECT_EQ(told(), Told{});
  world_.pass(seconds(60));  // and so is the window in which the same is folded
  world_.records();
  open(1000, 90);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaSessions, 80}}));
}

TEST_P(PathQuotaWatch, HalfOpenConnectionsFragmentsRatesAndRulesAreTold) {
  world_.apply(1, {kAllowAll}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.state_limits.push_back({0, 20, 0, {}, {}});
                 b.tenants[0].quotas.fragments_max = 100;
                 b.tenants[0].quotas.rules = 96;
                 b.tenants[0].quotas.rules_max = 100;
               }});
  EXPECT_EQ(told(), (Told{{kNoticeQuotaRules, 95}}));
  for (std::uint16_t port = 1000; port < 1018; ++port) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").tcp(port, 80, {.flags = kTcpSyn}).build());
  EXPECT_EQ(told(), (Told{{kNoticeQuotaHalfOpen, 80}}));
  const Frame whole = client("10.0.0.34", "10.0.0.2").udp(5000, 53).payload(600).build();
  for (std::uint32_t id = 0; id < 24; ++id) {  // fewer than one worker may wait for, wherever they meet
    for (const std::uint32_t at : {0U, 152U, 304U, 456U}) world_.inject(kClientNic, piece(whole, {at, at + 152 - (at == 456 ? 48 : 0), true}, id));
  }
  EXPECT_EQ(told(), (Told{{kNoticeQuotaFragments, 95}}));
  EXPECT_EQ(told(), Told{}) << "once, and not for every one";
}

TEST_P(PathQuotaWatch, NewSessionsAndLogRecordsAreToldWhileTheirBurstIsUsed) {
  world_.apply(1, {{.id = 11, .log = snapshot::kLogEnd | snapshot::kLogStart}}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.tenants[0].quotas.new_sessions_per_second = 10;
                 b.tenants[1].quotas.new_sessions_per_second = 10'000;
               }});
  for (unsigned round = 0; round < 20; ++round) {  // as fast as it may, for two seconds: nine in ten are always in use
    world_.advance(std::chrono::milliseconds(100));
    open(1000 + 100 * round, 10);
    open(1000 + 100 * round, 10, kTenantB);
  }
  EXPECT_EQ(told(), (Told{{kNoticeQuotaSessionRate, 100}}));
  world_.apply(2, {{.id = 11, .log = snapshot::kLogEnd | snapshot::kLogStart}}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.tenants[0].quotas.log_per_second = 1;
                 b.tenants[0].quotas.log_burst = 100;
               }});
  EXPECT_EQ(told(), Told{});
  open(2000, 200);  // starts may use half of the burst
  EXPECT_EQ(told(), Told{});
  world_.apply(3, {{.id = 12, .action = snapshot::Action::kDrop, .log = snapshot::kLogDropEach}}, {.edit = [](filters::SnapshotBuilder& b) {
                 b.tenants[0].quotas.log_per_second = 1;
                 b.tenants[0].quotas.log_burst = 100;
               }});
  open(3000, 200);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaLogRate, 100}})) << "though a second has given one of a hundred back";
}

TEST_P(PathQuotaWatch, WhatWasReachedBetweenTwoLooksIsTold) {
  const auto burst = [this](std::uint32_t generation, unsigned count) {
    world_.apply(generation, {{.id = 11, .action = snapshot::Action::kDrop, .log = snapshot::kLogDropEach}}, {.edit = [](filters::SnapshotBuilder& b) {
                   b.tenants[0].quotas.log_per_second = 1000;  // all of it is back before the next look
                   b.tenants[0].quotas.log_burst = 100;
                 }});
    EXPECT_EQ(told(), Told{});
    open(1000, count);
    world_.pass(std::chrono::milliseconds(200));
  };
  burst(1, 78);
  EXPECT_EQ(told(), Told{});
  burst(2, 82);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaLogRate, 80}}));
  world_.pass(seconds(61));  // the window in which the same is folded
  world_.records();
  burst(3, 130);
  EXPECT_EQ(told(), (Told{{kNoticeQuotaLogRate, 100}}));
  EXPECT_EQ(told(), Told{}) << "once";
}

TEST_P(PathQuotaWatch, WhatWasReachedUnderAnotherRateIsNotTold) {
  const auto limited = [](std::uint32_t burst) {
    return Shape{.edit = [=](filters::SnapshotBuilder& b) {
      b.tenants[0].quotas.log_per_second = 1000;
      b.tenants[0].quotas.log_burst = burst;
    }};
  };
  const std::vector<RuleText> rules{{.id = 11, .action = snapshot::Action::kDrop, .log = snapshot::kLogDropEach}};
  world_.apply(1, rules, limited(1000));
  EXPECT_EQ(told(), Told{});
  open(1000, 150);
  world_.apply(2, rules, limited(100));
  world_.pass(std::chrono::milliseconds(240));
  EXPECT_EQ(told(), Told{});
}

TEST_P(PathQuotaWatch, RuleThatEndsSoonOrHasEndedIsToldOncePerChange) {
  const auto with = [](std::uint8_t ending, snapshot::Standing standing) {
    return Shape{.edit = [=](filters::SnapshotBuilder& b) {
      b.rules[0].timed = 1;
      b.rules[0].ending = ending;
      b.rules[0].standing = standing;
    }};
  };
  const auto notices = [&] {
    std::vector<std::tuple<LogNotice, std::uint32_t, std::uint32_t>> out;
    world_.pass(seconds(1));
    for (const World::Record& record : world_.records()) {
      if (record.envelope.notice >= kNoticeRuleEnding) out.emplace_back(static_cast<LogNotice>(record.envelope.notice), record.sec.rule, record.envelope.tenant);
    }
    return out;
  };
  using Notices = decltype(notices());
  world_.apply(1, {kAllowAll}, with(0, snapshot::Standing::kStands));
  EXPECT_EQ(notices(), Notices{});
  world_.apply(2, {kAllowAll}, with(1, snapshot::Standing::kStands));
  EXPECT_EQ(notices(), (Notices{{kNoticeRuleEnding, 11, kTenantA}}));
  world_.apply(3, {kAllowAll}, with(1, snapshot::Standing::kStands));
  EXPECT_EQ(notices(), Notices{});
  world_.apply(4, {kAllowAll}, with(0, snapshot::Standing::kExpired));
  EXPECT_EQ(notices(), (Notices{{kNoticeRuleExpired, 11, kTenantA}}));
  world_.apply(5, {kAllowAll}, with(0, snapshot::Standing::kExpired));
  EXPECT_EQ(notices(), Notices{});
}

TEST(QuotaWatchLevel, IsReachedAtItsPercentAndLeftTenPointsBelow) {
  EXPECT_EQ(QuotaWatch::next_level(0, 799, 1000), 0);
  EXPECT_EQ(QuotaWatch::next_level(0, 800, 1000), 1);
  EXPECT_EQ(QuotaWatch::next_level(0, 2000, 1000), 3);
  EXPECT_EQ(QuotaWatch::next_level(1, 700, 1000), 1);
  EXPECT_EQ(QuotaWatch::next_level(1, 699, 1000), 0);
  EXPECT_EQ(QuotaWatch::next_level(3, 900, 1000), 3);
  EXPECT_EQ(QuotaWatch::next_level(3, 899, 1000), 2);
  EXPECT_EQ(QuotaWatch::next_level(3, 0, 1000), 0);
  EXPECT_EQ(QuotaWatch::next_level(2, 5, 0), 0) << "no quota any more";
}

}  // namespace
}  // namespace sekisho::tests
