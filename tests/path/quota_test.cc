// SPDX-License-Identifier: Apache-2.0
// Goal: what a tenant uses beyond its quotas is refused to it by name, and no other tenant notices.
// Method: two tenants with the same addresses; one sends more than it may, the other the same little as ever.
#include "tests/path/path_test.h"
#include "tests/support/pieces.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

class PathQuota : public PathTest {
 protected:
  /// Tenant A may open this many sessions a second.
  static Shape rate(std::uint32_t per_second) {
    return {.edit = [=](filters::SnapshotBuilder& b) { b.tenants[0].quotas.new_sessions_per_second = per_second; }};
  }
  Frame udp(std::uint16_t port, std::uint32_t tenant = kTenantA) const {
    return client("10.0.0.34", "10.0.0.2", tenant).udp(port, 53).build();
  }
};
SEKISHO_PATH_WORKERS(PathQuota);

TEST_P(PathQuota, NewSessionsBeyondTheRateAreRefusedToTheirTenantAlone) {
  world_.apply(1, {{.id = 11, .protocol = 17}}, rate(10));
  for (std::uint16_t port = 1000; port < 1030; ++port) world_.inject(kClientNic, udp(port)), world_.inject(kClientNic, udp(port, kTenantB));
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U) << "whichever shards the flows meet";
  EXPECT_EQ(world_.sessions(), 10U + 30U);
  world_.inject(kClientNic, udp(1000));  // an open session is not a new one
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U);
  world_.pass(std::chrono::milliseconds(500));
  for (std::uint16_t port = 1100; port < 1120; ++port) world_.inject(kClientNic, udp(port));
  EXPECT_EQ(drops(DropReason::kSessionRate), 20U + 15U) << "half a second brings half the rate back";
}

TEST_P(PathQuota, PacketsThePolicyRefusesUseNoSessionRate) {
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53}}, rate(10));
  for (std::uint16_t port = 1000; port < 1030; ++port) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 54).build());
  EXPECT_EQ(drops(DropReason::kSessionRate), 0U);
  EXPECT_EQ(drops(DropReason::kDefaultDeny), 30U);
}

TEST_P(PathQuota, BandwidthBeyondTheMostIsRefusedToItsTenantAlone) {
  world_.apply(1, {{.id = 11, .protocol = 17}}, {.edit = [](filters::SnapshotBuilder& b) { b.tenants[0].quotas.bandwidth_mbit = 1; }});
  const auto send = [&](std::uint32_t tenant, int packets) {
    std::size_t out = 0;
    for (int i = 0; i < packets; ++i) {
      world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).udp(5000, 53).payload(972).build());  // 1000 bytes of IP
      out += world_.collect(kServerNic).size();
    }
    return out;
  };
  const std::size_t passed = send(kTenantA, 400);  // the burst is 256 KiB
  EXPECT_NEAR(static_cast<double>(passed), 262, 6);
  EXPECT_EQ(drops(DropReason::kBandwidth), 400 - passed);
  EXPECT_EQ(send(kTenantB, 400), 400U);
  world_.pass(std::chrono::seconds(1));
  EXPECT_NEAR(static_cast<double>(send(kTenantA, 400)), 125, 6) << "a second brings 125,000 bytes";
  EXPECT_EQ(world_.sessions(), 2U) << "the session outlives the refusals";
}

/// Room for 128 sessions in the whole unit, and each tenant may have more.
class PathQuotaSmall : public PathTest {
 protected:
  PathQuotaSmall() : PathTest({.sessions = 128}) {}
  static Shape promise(std::uint32_t guaranteed_b) {
    return {.edit = [=](filters::SnapshotBuilder& b) { b.tenants[1].quotas.sessions_guaranteed = guaranteed_b; }};
  }
  void open(std::uint32_t tenant, std::uint16_t first, std::uint16_t count) {
    for (std::uint16_t port = first; port < first + count; ++port) {
      world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).tcp(port, 80, {.flags = filters::kTcpSyn}).build());
    }
  }
};
SEKISHO_PATH_WORKERS(PathQuotaSmall);

TEST_P(PathQuotaSmall, WhatIsPromisedToOneTenantIsThereWhateverAnotherOpens) {
  world_.apply(1, {{.id = 11}}, promise(64));
  open(kTenantA, 1000, 400);
  EXPECT_EQ(world_.sessions(), 64U) << "the unpromised half";
  EXPECT_EQ(drops(DropReason::kSessionLimit), 336U);
  open(kTenantB, 1000, 40);
  EXPECT_EQ(world_.sessions(), 104U);
  EXPECT_EQ(drops(DropReason::kSessionLimit), 336U);
}

TEST_P(PathQuotaSmall, BeyondItsGuaranteeATenantIsServedLikeEverybody) {
  world_.apply(1, {{.id = 11}}, promise(32));
  open(kTenantB, 1000, 400);
  EXPECT_EQ(world_.sessions(), 128U);
}

TEST_P(PathQuotaSmall, APromiseMadeToAFullTableIsKeptAtTheCostOfHalfOpenSessions) {
  world_.apply(1, {{.id = 11}});
  open(kTenantA, 1000, 400);
  ASSERT_EQ(world_.sessions(), 128U);
  world_.records();
  world_.apply(2, {{.id = 11}}, promise(64));
  world_.pass(std::chrono::seconds(1));
  EXPECT_EQ(world_.sessions(), 64U);
  std::size_t recycled = 0;
  for (const auto& record : world_.records()) recycled += record.comm.phase == CommPhase::kEnd && record.comm.end_reason == EndReason::kQuota;
  EXPECT_EQ(recycled, 64U);
  const std::uint64_t refused = drops(DropReason::kSessionLimit);
  open(kTenantB, 1000, 40);
  EXPECT_EQ(world_.sessions(), 104U);
  EXPECT_EQ(drops(DropReason::kSessionLimit), refused);
}

TEST_P(PathQuotaSmall, MorePromisesThanRoomAreRefused) {
  world_.apply(1, {{.id = 11}});
  dataplane::Engine::Applied applied;
  dataplane::LoadError error;
  EXPECT_FALSE(world_.engine().apply(world_.snapshot(2, {{.id = 11}}, promise(130)), applied, error));
  EXPECT_NE(error.reason.find("guaranteed"), std::string::npos) << error.reason;
  EXPECT_TRUE(world_.engine().apply(world_.snapshot(3, {{.id = 11}}, promise(128)), applied, error)) << error.reason;
}

/// Log records a second.
class PathLogQuota : public PathTest {
 protected:
  PathLogQuota() : PathTest({.log_records = 16384}) {}
  static Shape rate(std::uint32_t per_second, std::uint32_t burst) {
    return {.edit = [=](filters::SnapshotBuilder& b) {
      b.tenants[0].quotas.log_per_second = per_second;
      b.tenants[0].quotas.log_burst = burst;
    }};
  }
  struct Told {
    std::size_t starts = 0, ends = 0, denials = 0, sec = 0, notices = 0;
    std::uint64_t lost = 0;
  };
  Told told(std::uint32_t tenant) {
    Told out;
    for (const auto& record : world_.records()) {
      if (record.envelope.tenant != tenant) continue;
      if (record.envelope.kind == LogKind::kLoss) {
        EXPECT_EQ(record.loss.why, LossCause::kRateLimit);
        EXPECT_EQ(record.loss.of, LogKind::kComm);
        out.lost += record.loss.count;
      } else if (record.envelope.kind == LogKind::kSec) {
        ++(record.envelope.notice != kNoticeNone ? out.notices : out.sec);
      } else {
        ++(record.comm.phase == CommPhase::kStart ? out.starts : record.comm.phase == CommPhase::kEnd ? out.ends : out.denials);
      }
    }
    return out;
  }
};
SEKISHO_PATH_WORKERS(PathLogQuota);

TEST_P(PathLogQuota, RecordsBeyondTheRateAreCountedAndStartsGoFirst) {
  const std::uint8_t both = filters::snapshot::kLogStart | filters::snapshot::kLogEnd;
  world_.apply(1, {{.id = 11, .protocol = 17, .log = both}, {.id = 12, .action = filters::snapshot::Action::kDrop, .protocol = 6, .log = filters::snapshot::kLogDropEach}},
               rate(10, 100));
  for (std::uint16_t port = 1000; port < 1200; ++port) {
    for (const std::uint32_t tenant : {kTenantA, kTenantB}) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).udp(port, 53).build());
  }
  const auto knock = [&](std::uint16_t port) { return client("10.0.0.34", "10.0.0.2").tcp(port, 22, {.flags = filters::kTcpSyn}).build(); };
  for (std::uint16_t port = 1000; port < 1200; ++port) world_.inject(kClientNic, knock(port));
  world_.inject(kClientNic, FrameBuilder().ethernet(mac("52:54:00:00:00:99"), world_.gateway(kClientNic)).ipv4("10.0.0.34", "10.0.0.2").udp(1, 2).build());
  world_.elapse(std::chrono::milliseconds(1100));
  for (std::uint32_t shard = 0; shard < GetParam(); ++shard) world_.turn(shard);
  const Told a = told(kTenantA);
  EXPECT_EQ(a.starts, 50U) << "half of the burst";
  EXPECT_EQ(a.denials, 50U) << "the other half, down to the last";
  EXPECT_EQ(a.lost, 150U + 150U);
  EXPECT_EQ(a.sec, 1U) << "never lost for a rate";
  EXPECT_GE(a.notices, 1U);
  world_.pass(std::chrono::seconds(40));  // the sessions end; B's, too, which has no rate
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathLogQuota, ATenantWithoutExcessLosesNothing) {
  world_.apply(1, {{.id = 11, .protocol = 17, .log = filters::snapshot::kLogStart}}, rate(10, 100));
  for (std::uint16_t port = 1000; port < 1050; ++port) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(port, 53).build());
  for (std::uint16_t port = 1000; port < 1300; ++port) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", kTenantB).udp(port, 53).build());
  world_.elapse(std::chrono::milliseconds(1100));
  for (std::uint32_t shard = 0; shard < GetParam(); ++shard) world_.turn(shard);
  const Told a = told(kTenantA);
  EXPECT_EQ(a.starts, 50U);
  EXPECT_EQ(a.lost, 0U);
  EXPECT_EQ(a.notices, 0U);
}

/// A worker that carries one burst a turn, and tenants that share a wire which loses what it has no room for.
class PathFairness : public PathTest {
 protected:
  PathFairness() : PathTest({.sessions = 16384, .sessions_max = 1024, .log_records = 65536}) {}
  static constexpr int kTurns = 200;
  static constexpr std::uint16_t kFlows = 10;
  static constexpr std::uint16_t kVictimPerTurn = 20;    // a third of what a turn can carry
  static constexpr std::uint32_t kAttackPerTurn = 640;   // ten times all of it

  using Attack = std::function<Frame(std::uint32_t)>;

  static Shape quotas() {
    return {.edit = [](filters::SnapshotBuilder& b) {
      for (auto& tenant : b.tenants) {
        tenant.quotas.new_sessions_per_second = 2000;
        tenant.quotas.log_per_second = 200;
        tenant.quotas.log_burst = 5000;
      }
    }};
  }
  Frame victim(std::uint16_t flow) const { return client("10.0.0.34", "10.0.0.2", kTenantB).udp(static_cast<std::uint16_t>(2000 + flow), 53).payload(100).build(); }

  /// Tenant B's packets that come out during the turns, while A sends `attack` into `nic` (nothing: no attack).
  std::size_t goodput(std::uint16_t nic, const Attack& attack) {
    world_.apply(1, {{.id = 11, .destinations = {"10.0.0.2/32"}, .protocol = 6}}, quotas());
    for (std::uint16_t flow = 0; flow < kFlows; ++flow) world_.inject(kClientNic, victim(flow));
    collect_all();
    std::size_t out = 0;
    std::uint32_t sent = 0;
    for (int turn = 0; turn < kTurns; ++turn) {
      for (std::uint32_t i = 0; i < kAttackPerTurn; ++i) {
        if (attack) world_.offer(nic, attack(sent++));
        if (i % (kAttackPerTurn / kVictimPerTurn) == 0) world_.offer(kClientNic, victim(static_cast<std::uint16_t>(i % kFlows)));
      }
      world_.elapse(std::chrono::microseconds(100));
      for (std::uint32_t shard = 0; shard < GetParam(); ++shard) world_.turn(shard);
      for (const Frame& frame : world_.collect(kServerNic)) out += is_victims(frame);
      world_.collect(kClientNic), world_.collect(kUplinkNic);
    }
    world_.settle();  // what is on its way between the workers
    for (const Frame& frame : world_.collect(kServerNic)) out += is_victims(frame);
    EXPECT_EQ(victims_sessions(), kFlows) << "none lost";
    return out;
  }
  static bool is_victims(const Frame& frame) { return frame.size() > 16 && frame[12] == 0x81; }  // tenant B's VLAN
  std::size_t victims_sessions() {
    std::size_t out = 0;
    world_.engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
      const auto& session = shard.sessions.at(index);
      out += session.in_port == 10 + kClientPort && session.protocol == 17;
      return true;
    });
    return out;
  }
  void expect_unharmed(std::uint16_t nic, const Attack& attack) {
    const std::size_t with = goodput(nic, attack);
    constexpr std::size_t kAll = std::size_t{kTurns} * kVictimPerTurn;
    EXPECT_GE(with * 100, kAll * 95) << "of " << kAll;
  }
  Attack syn_flood() const {
    return [this](std::uint32_t n) {
      return client("10.0.0.34", "10.0.0.2").tcp(static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(80 + n / 65536), {.flags = filters::kTcpSyn}).build();
    };
  }
  Attack fragments() const {
    return [this](std::uint32_t n) {
      return FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic))
          .ipv4("10.0.0.34", "10.0.0.2", {.fragment = 0x2000}).udp(static_cast<std::uint16_t>(n), 2).build();
    };
  }
  Attack arp() const {
    return [](std::uint32_t) {
      return FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff"))
          .arp({.operation = 1, .sender_mac = kClientMac, .sender = address("10.0.0.34"), .target_mac = {}, .target = address("10.0.0.33")}).build();
    };
  }
  Attack log_flood() const {  // each packet denied, each from another port: each its own record
    return [this](std::uint32_t n) { return client("10.0.0.34", "10.0.0.2").udp(static_cast<std::uint16_t>(n), static_cast<std::uint16_t>(n >> 3)).build(); };
  }
};
SEKISHO_PATH_WORKERS(PathFairness);

TEST_P(PathFairness, WithoutAnAttackEverythingArrives) {
  EXPECT_EQ(goodput(kClientNic, nullptr), std::size_t{kTurns} * kVictimPerTurn);
  EXPECT_EQ(drops(DropReason::kFairShare), 0U);
}
TEST_P(PathFairness, ASynFloodOnTheSameWireCostsAnotherTenantAtMostFivePercent) {
  expect_unharmed(kClientNic, syn_flood());
  EXPECT_GT(drops(DropReason::kFairShare), 0U);
}
TEST_P(PathFairness, AFragmentFloodOnTheSameWireCostsAnotherTenantAtMostFivePercent) { expect_unharmed(kClientNic, fragments()); }
TEST_P(PathFairness, AnArpFloodOnTheSameWireCostsAnotherTenantAtMostFivePercent) { expect_unharmed(kClientNic, arp()); }
TEST_P(PathFairness, ALogFloodOnTheSameWireCostsAnotherTenantAtMostFivePercent) { expect_unharmed(kClientNic, log_flood()); }
TEST_P(PathFairness, ALoneTenantsFragmentsInFullBurstsAreAllCarried) {
  world_.apply(1, {{.id = 11}});
  constexpr std::uint32_t kRounds = 20, kDatagrams = 128, kTurnsEach = 4;  // two pieces each: four full bursts
  const Frame whole = client("10.0.0.34", "10.0.0.2").udp(5000, 53).payload(64).build();
  std::size_t out = 0;
  for (std::uint32_t id = 0; id < kRounds * kDatagrams; ++id) {
    for (const Frame& part : pieces(whole, 40, id)) world_.queue(kClientNic, part);
    if (id % kDatagrams != kDatagrams - 1) continue;
    for (std::uint32_t turn = 0; turn < kTurnsEach * GetParam(); ++turn) world_.turn(turn % GetParam());
    out += world_.collect(kServerNic).size();
  }
  world_.settle();
  out += world_.collect(kServerNic).size();
  EXPECT_EQ(drops(DropReason::kFairShare), 0U);
  EXPECT_EQ(out, std::size_t{kRounds} * kDatagrams * 2);
}
TEST_P(PathFairness, AFloodOnAnotherWireCostsNothing) {
  const auto from_server = [this](std::uint32_t n) {
    return server("10.0.0.2", "10.0.0.34").tcp(static_cast<std::uint16_t>(n), 80, {.flags = filters::kTcpSyn}).build();
  };
  EXPECT_EQ(goodput(kServerNic, from_server), std::size_t{kTurns} * kVictimPerTurn);
}

}  // namespace
}  // namespace sekisho::tests
