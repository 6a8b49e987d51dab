// SPDX-License-Identifier: Apache-2.0
// Goal: what the policy in force says reaches sessions that live, also silent ones, in bounded steps.
// Method: sessions are made under one policy, another is applied, and turns pass with and without traffic.
#include "tests/path/path_test.h"
#include "tests/support/classifier_fault.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

const RuleText kAllowAll{.id = 11};
const RuleText kAllowUdp{.id = 12, .protocol = 17};

class PathPolicyLife : public PathTest {
 protected:
  /// Opens UDP sessions from the client to the server with ports first .. first + count - 1, in both families in turn.
  void open(std::uint16_t first, std::uint16_t count) {
    for (std::uint16_t port = first; port < first + count; ++port) {
      world_.through(kClientNic, packet(port), kServerNic);
    }
  }
  [[nodiscard]] Frame packet(std::uint16_t port) const {
    const bool ipv4 = port % 2 == 0;
    return client(ipv4 ? "10.0.0.34" : "fd00:0:0:2::2", ipv4 ? "10.0.0.2" : "fd00:0:0:1::2").udp(port, 53).build();
  }
  struct Counted {
    std::uint64_t connections, packets, bytes;
    bool operator==(const Counted&) const = default;
  };
  /// What stands in a rule's counters, living sessions included.
  Counted counted(std::uint32_t id) {
    world_.engine().for_each_session([](dataplane::Shard& shard, std::uint32_t index) {
      shard.account(index);
      return true;
    });
    return stands(id);
  }
  Counted stands(std::uint32_t id) {
    const std::uint32_t slot = world_.engine().slots().rules.all().at(id);
    Counted out{};
    for (std::uint32_t i = 0; i < world_.engine().shards(); ++i) {
      const auto& rule = world_.engine().shard(i).rules[slot];
      out.connections += rule.connections.read();
      out.packets += rule.packets.read();
      out.bytes += rule.bytes.read();
    }
    return out;
  }
  std::uint64_t unfinished() {
    std::uint64_t out = 0;
    for (std::uint32_t i = 0; i < world_.engine().shards(); ++i)
      out += world_.engine().shard(i).sweep.finished.read() != world_.engine().runtime()->generation ? 1U : 0U;
    return out;
  }
};
SEKISHO_PATH_WORKERS(PathPolicyLife);

TEST_P(PathPolicyLife, SilentSessionsThatAreNoLongerAllowedEndAndTheOthersStay) {
  world_.apply(1, {kAllowAll});
  open(5000, 20);
  world_.apply(2, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53}});
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 20U);
  EXPECT_EQ(count(world_.records(), CommPhase::kEnd), 0U);
  world_.apply(3, {{.id = 11, .sources = {"10.0.0.0/24"}}});
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 10U);  // those of IPv6 are gone
  const auto records = world_.records();
  EXPECT_EQ(count(records, CommPhase::kEnd), 10U);
  for (const auto& record : records) {
    EXPECT_EQ(record.comm.end_reason, EndReason::kPolicy);
    EXPECT_EQ(record.comm.ip_version, 6);
    EXPECT_EQ(record.comm.rule, 11U);
  }
  EXPECT_EQ(unfinished(), 0U);
}

TEST_P(PathPolicyLife, BusyWorkersEndThemWithinFiveSecondsAndNeverInOneTurn) {
  world_.apply(1, {kAllowAll});
  open(5000, 1500);
  world_.apply(2, {{.id = 13, .protocol = 6}});
  std::chrono::microseconds took{0};
  std::uint64_t most = 0;
  for (std::uint64_t before = world_.sessions(); unfinished() != 0; before = world_.sessions()) {
    for (std::uint32_t shard = 0; shard < world_.engine().shards(); ++shard) {
      world_.queue(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(7000, 53).build());
      world_.turn(shard);
    }
    most = std::max(most, before - std::min(before, world_.sessions()));
    world_.advance(std::chrono::microseconds(50));
    took += std::chrono::microseconds(50);
    ASSERT_LT(took, std::chrono::seconds(5));
  }
  world_.settle();
  EXPECT_EQ(world_.sessions(), 1U);  // tenant B's
  EXPECT_LE(most, 64 * world_.engine().shards());
  EXPECT_EQ(drops(DropReason::kPolicyChanged), 0U);
}

TEST_P(PathPolicyLife, HalfOpenConnectionOfARemovedRuleIsCountedNowhereAfterwards) {
  world_.apply(1, {kAllowAll});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").tcp(40000, 80, {.flags = filters::kTcpSyn, .sequence = 1}).build(), kServerNic);
  const auto half_open = [&] {
    std::uint64_t places = 0;
    const auto rules = static_cast<std::uint32_t>(world_.engine().shard(0).rules.size());
    for (std::uint32_t slot = 0; slot < rules; ++slot) places += world_.engine().shared().limits.half_open_of(slot) != 0 ? 1U : 0U;
    return places;
  };
  EXPECT_EQ(half_open(), 1U);
  world_.apply(2, {kAllowUdp});
  world_.pass(std::chrono::seconds(1));
  EXPECT_EQ(world_.sessions(), 0U);
  EXPECT_EQ(half_open(), 0U);
}

TEST_P(PathPolicyLife, CommitDuringASweepBeginsItAnew) {
  world_.apply(1, {kAllowAll});
  open(5000, 300);
  world_.apply(2, {{.id = 14, .sources = {"10.0.0.0/24"}}});
  for (std::uint32_t shard = 0; shard < world_.engine().shards(); ++shard) world_.turn(shard);
  const std::uint64_t left = world_.sessions();
  EXPECT_LT(left, 300U);
  EXPECT_GT(left, 150U);
  world_.apply(3, {{.id = 15, .sources = {"fd00::/16"}}});
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), left - 150);
  EXPECT_EQ(unfinished(), 0U);
}

TEST_P(PathPolicyLife, KeptSessionsLiveUntilTheyCloseAndAdmitNothingNew) {
  RuleText kept = kAllowUdp;
  kept.keep_on_change = true;
  kept.sources = {"10.0.0.0/24"};
  world_.apply(1, {kept, {.id = 13, .protocol = 17}});  // the second takes IPv6 and does not keep
  open(5000, 4);
  world_.apply(2, {{.id = 14, .action = filters::snapshot::Action::kDrop}});
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 2U);
  world_.through(kClientNic, packet(5000), kServerNic);
  world_.through(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5002).build(), kClientNic);
  world_.inject(kClientNic, packet(5004));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kRuleDrop), 1U);
  EXPECT_EQ(counted(14).packets, 1U);  // the dropped one, and nothing of the kept sessions
  world_.pass(std::chrono::minutes(4));
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathPolicyLife, KeptSessionStillEndsWhenItsPortIsGone) {
  const auto keep = [](filters::SnapshotBuilder& builder) {
    for (auto& rule : builder.rules) rule.keep_on_change = rule.is_default == 0 ? 1 : 0;
  };
  world_.apply(1, {}, {.edit = keep});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(5000, 53).build(), kServerNic);
  // Another port with another host stands where the client's was: same wire, another id.
  world_.apply(2, {}, {.edit = [&](filters::SnapshotBuilder& builder) {
                 keep(builder);
                 builder.ports[6].id = 14, builder.ports[5].id = 13;
                 builder.binding_pairs[10].prefix = parse_prefix("10.0.0.35/32").value();
               }});
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 0U);
}

/// kAllowUdp at a moment.
Shape at_moment(std::int64_t moment, filters::snapshot::Standing standing) {
  return {.edit = [moment, standing](filters::SnapshotBuilder& builder) {
    for (auto& rule : builder.rules) {
      if (rule.id == kAllowUdp.id) rule.timed = 1, rule.standing = standing;
    }
    builder.moments.push_back({moment});
  }};
}

TEST_P(PathPolicyLife, RuleOutsideItsScheduleTakesNothingNewAndItsSessionsLive) {
  using filters::snapshot::Standing;
  world_.apply(1, {kAllowUdp}, at_moment(100, Standing::kStands));
  open(5000, 2);
  world_.apply(1, {kAllowUdp}, at_moment(200, Standing::kDormant));
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 2U);
  EXPECT_EQ(unfinished(), 0U);
  open(5000, 2);  // known flows
  world_.inject(kClientNic, packet(5002));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 1U);
  EXPECT_EQ(counted(12), (Counted{2, 4, 2 * (packet(5000).size() + packet(5001).size() - 28)}));
  world_.apply(1, {kAllowUdp}, at_moment(300, Standing::kStands));
  open(5002, 1);
  EXPECT_EQ(counted(12).connections, 3U);
  for (const auto& record : world_.records()) EXPECT_EQ(record.envelope.generation, 1U);
}

TEST_P(PathPolicyLife, StrictScheduleEndsItsSessionsAndSaysSo) {
  using filters::snapshot::Standing;
  world_.apply(1, {kAllowUdp}, at_moment(100, Standing::kStands));
  open(5000, 2);
  world_.apply(1, {kAllowUdp}, at_moment(200, Standing::kOff));
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 0U);
  const auto records = world_.records();
  EXPECT_EQ(count(records, CommPhase::kEnd), 2U);
  for (const auto& record : records) EXPECT_EQ(record.comm.end_reason, EndReason::kSchedule);
  const auto is_sec = [](const World::Record& record) { return record.envelope.kind == LogKind::kSec; };
  world_.apply(1, {kAllowUdp}, at_moment(300, Standing::kStands));
  open(5000, 2);
  world_.apply(1, {kAllowUdp}, at_moment(400, Standing::kExpired));
  world_.pass(std::chrono::seconds(5));
  for (const auto& record : world_.records()) EXPECT_TRUE(is_sec(record) || record.comm.end_reason == EndReason::kPolicy);
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathPolicyLife, SessionOfASleepingRuleEndsWhenARuleAboveTakesItsPackets) {
  using filters::snapshot::Standing;
  world_.apply(1, {kAllowUdp}, at_moment(100, Standing::kStands));
  open(5000, 2);
  const RuleText above{.id = 14, .action = filters::snapshot::Action::kDrop, .sources = {"10.0.0.0/24"}};
  world_.apply(2, {above, kAllowUdp}, at_moment(200, Standing::kDormant));
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 1U);  // that of IPv6
}

TEST_P(PathPolicyLife, SameGenerationOfTheSameMomentWithOtherRulesIsRefused) {
  using filters::snapshot::Standing;
  world_.apply(1, {kAllowUdp}, at_moment(100, Standing::kStands));
  dataplane::Engine::Applied applied;
  dataplane::LoadError error;
  EXPECT_FALSE(
      world_.engine().apply(world_.snapshot(1, {kAllowUdp}, at_moment(100, Standing::kDormant)), applied, error));
  EXPECT_NE(error.reason.find("is not newer"), std::string::npos) << error.reason;
  world_.apply(1, {kAllowUdp}, at_moment(50, Standing::kDormant));  // a clock set back
}

TEST_P(PathPolicyLife, RuleCountersShowLivingSessionsAndCountNothingTwice) {
  world_.apply(1, {kAllowUdp});
  const std::size_t bytes = packet(5000).size() - 14;
  for (int i = 0; i < 3; ++i) world_.through(kClientNic, packet(5000), kServerNic);
  EXPECT_EQ(stands(12), (Counted{1, 0, 0}));
  EXPECT_EQ(counted(12), (Counted{1, 3, 3 * bytes}));
  EXPECT_EQ(counted(12), (Counted{1, 3, 3 * bytes}));
  world_.through(kClientNic, packet(5000), kServerNic);
  world_.pass(std::chrono::minutes(4));
  EXPECT_EQ(world_.sessions(), 0U);
  EXPECT_EQ(stands(12), (Counted{1, 4, 4 * bytes}));
}

TEST_P(PathPolicyLife, TrafficBeforeAChangeStaysWithTheRuleThatAllowedIt) {
  world_.apply(1, {kAllowUdp});
  for (int i = 0; i < 3; ++i) world_.through(kClientNic, packet(5000), kServerNic);
  world_.apply(2, {kAllowAll, kAllowUdp});
  world_.pass(std::chrono::seconds(1));
  world_.through(kClientNic, packet(5000), kServerNic);
  EXPECT_EQ(counted(12).packets, 3U);
  EXPECT_EQ(counted(11).packets, 1U);
  world_.apply(3, {kAllowAll});  // the first rule is removed and comes back: its place is empty
  world_.pass(std::chrono::seconds(1));
  world_.apply(4, {kAllowAll, kAllowUdp});
  EXPECT_EQ(counted(12), (Counted{0, 0, 0}));
  EXPECT_EQ(counted(11).packets, 1U);
}

TEST_P(PathPolicyLife, CompiledPolicyThatDoesNotSayWhatItsRulesSayIsRefusedAndTheOldOneStaysByteForByte) {
  world_.apply(1, {kAllowUdp});
  open(5000, 2);
  const dataplane::Runtime* before = world_.engine().runtime();
  const std::vector<std::uint8_t> bytes = before->bytes;
  const std::vector<RuleText> real{{.id = 13, .protocol = 17, .port_low = 53, .port_high = 53}};
  const std::vector<RuleText> wrong{{.id = 13, .protocol = 17, .port_low = 53, .port_high = 54}};
  const std::vector<std::uint8_t> wrong_bytes = world_.snapshot(2, wrong);
  const filters::SnapshotView wrong_view = filters::SnapshotView::parse(wrong_bytes).value();
  dataplane::Engine::Applied applied;
  dataplane::LoadError error;
  {
    const dataplane::ClassifierFault fault(wrong_view);
    EXPECT_FALSE(world_.engine().apply(world_.snapshot(2, real), applied, error));
  }
  EXPECT_NE(error.reason.find("tenant \"tenant1\" does not say what its rules say: a packet of protocol 17"),
            std::string::npos)
      << error.reason;
  EXPECT_NE(error.reason.find("port 54 belongs to rule \"rule 100\" (64000000-0000-0000-0000-000000000000), the "
                              "classifier answers rule \"rule 13\""),
            std::string::npos)
      << error.reason;
  EXPECT_EQ(world_.engine().runtime(), before);
  EXPECT_EQ(world_.engine().runtime()->bytes, bytes);
  world_.pass(std::chrono::seconds(5));
  EXPECT_EQ(world_.sessions(), 2U);
  open(5002, 1);
  world_.apply(2, real);  // the same snapshot, rightly compiled
}

}  // namespace
}  // namespace sekisho::tests
