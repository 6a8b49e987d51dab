// SPDX-License-Identifier: Apache-2.0
// Goal: a limit of a rule or of a source holds to the session, by its own name, and gives back what ends. Method: flows up to the
// limit pass, the next one does not, and one of another rule or source does.
#include <string>
#include <vector>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
using filters::kTcpRst;
using filters::kTcpSyn;
namespace snapshot = filters::snapshot;

const RuleText kDns{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53};
const RuleText kNtp{.id = 12, .protocol = 17, .port_low = 123, .port_high = 123};

/// In the order of snapshot::RuleLimits: of rule 0, half open, sessions, a second, of a source, a second.
class PathLimits : public PathTest {
 protected:
  void apply(std::uint32_t generation, const snapshot::RuleLimits& limits, const std::vector<RuleText>& rules = {kDns, kNtp}) {
    world_.apply(generation, rules, {.edit = [=](filters::SnapshotBuilder& builder) { builder.rule_limits = {limits}; }});
  }
  /// How many of `count` new flows from a host outside pass.
  std::size_t flows(std::string_view from, std::uint16_t first_port, std::uint16_t count, std::uint16_t service = 53) {
    const char* to = from.find(':') == std::string_view::npos ? "203.0.113.17" : "2001:db8:a::17";
    for (std::uint16_t i = 0; i < count; ++i) {
      world_.inject(kUplinkNic, outside(from, to).udp(static_cast<unsigned>(first_port + i), service).build());
    }
    return world_.collect(kServerNic).size();
  }
};
SEKISHO_PATH_WORKERS(PathLimits);

TEST_P(PathLimits, RuleHasItsSessionsAndNotOneMoreUntilSomeEnd) {
  apply(1, {0, 0, 7, 0, 0, 0});
  EXPECT_EQ(flows("198.51.100.1", 1000, 5), 5U);
  EXPECT_EQ(flows("2001:db8:ffff::1", 1000, 5), 2U);
  EXPECT_EQ(drops(DropReason::kRuleLimit), 3U);
  EXPECT_EQ(flows("198.51.100.1", 1000, 5, 123), 5U);  // another rule
  world_.pass(std::chrono::seconds(32));
  EXPECT_EQ(world_.sessions(), 0U);
  EXPECT_EQ(flows("198.51.100.1", 2000, 9), 7U);
  std::size_t named = 0;
  for (const auto& record : world_.records()) {
    named += record.envelope.drop_reason == static_cast<std::uint8_t>(DropReason::kRuleLimit) ? 1U : 0U;
  }
  EXPECT_GE(named, 2U);  // one for each source at least; the rest is folded
}

TEST_P(PathLimits, SourceHasItsSessionsAndOthersHaveTheirs) {
  apply(1, {0, 0, 0, 0, 3, 0});
  for (const char* from : {"198.51.100.1", "198.51.100.2", "2001:db8:ffff::1", "2001:db8:ffff::2"}) {
    EXPECT_EQ(flows(from, 1000, 5), 3U) << from;
  }
  EXPECT_EQ(drops(DropReason::kSourceLimit), 8U);
  EXPECT_EQ(flows("198.51.100.1", 1000, 5, 123), 5U);
  world_.pass(std::chrono::seconds(32));
  EXPECT_EQ(flows("198.51.100.1", 1000, 5), 3U);
}

TEST_P(PathLimits, RatesOfRuleAndSourceComeBackWithTime) {
  apply(1, {0, 0, 0, 6, 0, 4});
  EXPECT_EQ(flows("198.51.100.1", 1000, 5), 4U);
  EXPECT_EQ(flows("198.51.100.2", 1000, 5), 2U);
  EXPECT_EQ(drops(DropReason::kRateLimit), 4U);
  world_.pass(std::chrono::seconds(1));
  EXPECT_EQ(flows("198.51.100.2", 2000, 5), 4U);
  EXPECT_EQ(flows("198.51.100.1", 2000, 5), 2U);
}

TEST_P(PathLimits, OverACommitSessionsCountForTheRuleThatAdmitsThemThen) {
  const snapshot::RuleLimits limits{0, 0, 4, 0, 4, 0};
  apply(1, limits);
  EXPECT_EQ(flows("198.51.100.1", 1000, 4), 4U);
  apply(2, limits);
  EXPECT_EQ(flows("198.51.100.1", 2000, 1), 0U);
  EXPECT_EQ(flows("198.51.100.1", 1000, 4), 4U);  // the old ones speak: judged again, counted once
  EXPECT_EQ(flows("198.51.100.1", 2000, 1), 0U);
  apply(3, limits, {{.id = 21, .protocol = 17}});  // another rule admits them now
  EXPECT_EQ(flows("198.51.100.1", 1000, 3), 3U);
  EXPECT_EQ(flows("198.51.100.1", 2000, 5), 0U);  // the one that was silent counts as well: the sweep has judged it
  world_.apply(4, {{.id = 21, .protocol = 17}});   // and now without a limit
  EXPECT_EQ(flows("198.51.100.1", 1000, 4), 4U);
  EXPECT_EQ(flows("198.51.100.1", 3000, 20), 20U);
}

TEST_P(PathLimits, HalfOpenLimitOfARuleLeavesTheTenantsOtherRulesAlone) {
  const std::vector<RuleText> rules{{.id = 31, .protocol = 6, .port_low = 80, .port_high = 80}, {.id = 32, .protocol = 6}};
  apply(1, {0, 2, 0, 0, 0, 0}, rules);
  const auto syns = [&](std::uint16_t service) {
    for (std::uint16_t port = 1000; port < 1040; ++port) {
      world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").tcp(port, service, {.flags = kTcpSyn}).build());
    }
    world_.collect(kClientNic);
    return world_.collect(kServerNic).size();
  };
  EXPECT_EQ(syns(80), 2U);
  EXPECT_EQ(syns(81), 40U);
}

TEST_P(PathLimits, LoosePickupTakesAnAckForAWhileAndNothingElse) {
  const auto with = [](std::uint32_t seconds) {
    return Shape{.edit = [=](filters::SnapshotBuilder& builder) { builder.state_limits.push_back({0, 0, seconds, {}, {}}); }};
  };
  const auto passes = [&](std::uint16_t port, std::uint8_t flags) {
    const TcpKnobs tcp{.flags = flags, .sequence = 5'000, .acknowledgement = 9'000};
    world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").tcp(port, 80, tcp).payload(10).build());
    return world_.collect(kServerNic).size() == 1;
  };
  world_.apply(1, {{.id = 11, .protocol = 6}});
  EXPECT_FALSE(passes(1000, kTcpAck));  // off by default
  world_.apply(2, {{.id = 11, .protocol = 6}}, with(30));
  for (const unsigned flags : {0U | kTcpRst, 0U | kTcpFin | kTcpAck, 0U | kTcpSyn | kTcpAck}) {
    EXPECT_FALSE(passes(1000, static_cast<std::uint8_t>(flags)));
  }
  world_.records();
  EXPECT_TRUE(passes(1000, kTcpAck));
  EXPECT_EQ(count(world_.records(), CommPhase::kStart), 1U);
  const auto answer = [&](std::uint32_t sequence) {
    const TcpKnobs tcp{.sequence = sequence, .acknowledgement = 5'010};
    world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34").tcp(80, 1000, tcp).payload(500).build());
    return world_.collect(kClientNic).size() == 1;
  };
  EXPECT_TRUE(answer(9'000));
  EXPECT_FALSE(answer(9'000 + 0x50000000U));
  world_.pass(std::chrono::seconds(31));
  EXPECT_FALSE(passes(1001, kTcpAck));
  EXPECT_TRUE(passes(1000, kTcpAck));
}

}  // namespace
}  // namespace sekisho::tests
