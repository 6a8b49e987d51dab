// SPDX-License-Identifier: Apache-2.0
// Goal: the records are the truth: what a session or a denied packet was, once, under the rule's own log setting.
// Method: every field of a record against the packets that made it.
#include <map>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpRst;
using filters::kTcpSyn;
namespace snapshot = filters::snapshot;
using std::chrono::seconds;

class PathLog : public PathTest {
 protected:
  explicit PathLog(std::uint32_t log_records = 4096) : PathTest({.log_records = log_records}) {}
  Frame udp(std::uint16_t from, std::uint16_t to = 53) const { return client("10.0.0.34", "10.0.0.2").udp(from, to).payload(20).build(); }
  std::uint64_t of_rule(std::uint32_t id, dataplane::Counter dataplane::RuleCounters::* counter) {
    const std::uint32_t slot = world_.engine().slots().rules.all().at(id);
    std::uint64_t out = 0;
    for (std::uint32_t number = 0; number < world_.engine().shards(); ++number) out += (world_.engine().shard(number).rules[slot].*counter).read();
    return out;
  }
};
SEKISHO_PATH_WORKERS(PathLog);

TEST_P(PathLog, StartAndEndOfATcpConnectionSayWhatItWas) {
  world_.apply(7, {{.id = 11, .log = snapshot::kLogStart | snapshot::kLogEnd}});
  world_.through(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").tcp(40000, 80, {.flags = kTcpSyn, .sequence = 100}).build(), kServerNic);
  auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  const World::Record start = records[0];
  EXPECT_EQ(start.comm.phase, CommPhase::kStart);
  EXPECT_EQ(start.comm.start_timestamp, 0U);
  world_.through(kServerNic, server("fd00:0:0:1::2", "fd00:0:0:2::2").tcp(80, 40000, {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 101}).build(), kClientNic);
  world_.pass(seconds(12));
  records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  const World::Record& end = records[0];
  EXPECT_EQ(end.envelope.generation, 7U);
  EXPECT_EQ(end.envelope.tenant, kTenantA);
  EXPECT_EQ(end.envelope.drop_reason, 0U);
  EXPECT_GT(end.envelope.timestamp, start.envelope.timestamp);
  EXPECT_EQ(end.comm.phase, CommPhase::kEnd);
  EXPECT_EQ(end.comm.end_reason, EndReason::kTcpRst);
  EXPECT_EQ(end.comm.action, CommAction::kAllow);
  EXPECT_EQ(end.comm.flow_id, start.comm.flow_id);
  EXPECT_NE(end.comm.flow_id, 0U);
  EXPECT_EQ(end.comm.start_timestamp, start.envelope.timestamp);
  EXPECT_EQ(end.comm.source, address("fd00:0:0:2::2").bytes);
  EXPECT_EQ(end.comm.destination, address("fd00:0:0:1::2").bytes);
  EXPECT_EQ(end.comm.source_port, 40000);
  EXPECT_EQ(end.comm.destination_port, 80);
  EXPECT_EQ(end.comm.ip_version, 6);
  EXPECT_EQ(end.comm.protocol, 6);
  EXPECT_EQ(end.comm.packets_forward, 1U);
  EXPECT_EQ(end.comm.packets_reverse, 1U);
  EXPECT_EQ(end.comm.bytes_forward, 60U);
  EXPECT_EQ(end.comm.bytes_reverse, 60U);
  EXPECT_EQ(end.comm.packet_length, 60);
  EXPECT_EQ(end.comm.rule, 11U);
  EXPECT_EQ(end.comm.in_port, kClientPort);
  EXPECT_EQ(end.comm.out_port, kServerPort);
  EXPECT_EQ(end.comm.tcp_flags, kTcpSyn | kTcpRst | kTcpAck);
}

TEST_P(PathLog, LongConnectionIsReportedEveryTenMinutes) {
  world_.apply(1, {{.id = 11}});
  const auto syn = client("10.0.0.34", "10.0.0.2").tcp(40000, 80, {.flags = filters::kTcpSyn, .sequence = 100}).build();
  const auto answer = server("10.0.0.2", "10.0.0.34").tcp(80, 40000, {.flags = filters::kTcpSyn | filters::kTcpAck, .sequence = 500, .acknowledgement = 101}).build();
  const auto data = client("10.0.0.34", "10.0.0.2").tcp(40000, 80, {.flags = filters::kTcpAck, .sequence = 101, .acknowledgement = 501}).build();
  world_.through(kClientNic, syn, kServerNic);
  world_.through(kServerNic, answer, kClientNic);
  world_.through(kClientNic, data, kServerNic);

  world_.pass(std::chrono::seconds(590));
  EXPECT_TRUE(world_.records().empty());
  world_.pass(std::chrono::seconds(20));
  const auto records = world_.records();

  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].comm.phase, CommPhase::kUpdate);
  EXPECT_EQ(records[0].comm.packets_forward, 2U);
  EXPECT_EQ(records[0].comm.end_reason, EndReason::kNone);
  EXPECT_NE(records[0].comm.start_timestamp, 0U);
}

TEST_P(PathLog, IcmpRecordsCarryTypeAndCode) {
  world_.apply(1, {{.id = 11}});
  world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").echo(99).build(), kServerNic);
  world_.pass(seconds(12));
  const auto records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].comm.source_port, 8 << 8);
  EXPECT_EQ(records[0].comm.destination_port, 0);
}

TEST_P(PathLog, RuleThatLogsNothingWritesNothing) {
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53, .log = snapshot::kLogNone},
                   {.id = 12, .action = snapshot::Action::kDrop, .log = snapshot::kLogNone}});
  world_.through(kClientNic, udp(5000), kServerNic);
  world_.inject(kClientNic, udp(5000, 54));
  EXPECT_EQ(drops(DropReason::kRuleDrop), 1U);
  world_.pass(seconds(32));
  EXPECT_EQ(world_.sessions(), 0U);
  EXPECT_TRUE(world_.records().empty());
}

TEST_P(PathLog, EachLogsEveryPacketAndFoldedTheFirstAndTheRest) {
  world_.apply(1, {{.id = 11, .action = snapshot::Action::kDrop, .port_low = 53, .port_high = 53, .log = snapshot::kLogDropEach},
                   {.id = 12, .action = snapshot::Action::kReject, .protocol = 17, .port_low = 54, .port_high = 54, .log = snapshot::kLogDropFolded}});
  for (std::uint16_t i = 0; i < 3; ++i) world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").echo(i).build());
  auto records = world_.records();
  ASSERT_EQ(records.size(), 3U);
  for (const auto& record : records) EXPECT_EQ(record.envelope.count, 1U);
  EXPECT_EQ(records[0].comm.rule, 11U);
  EXPECT_EQ(records[0].comm.out_port, kServerPort);
  EXPECT_EQ(records[0].comm.flow_id, 0U);

  world_.apply(2, {{.id = 12, .action = snapshot::Action::kReject, .protocol = 17, .port_low = 54, .port_high = 54, .log = snapshot::kLogDropFolded}});
  for (int i = 0; i < 5; ++i) world_.inject(kClientNic, udp(5000, 54));
  records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].comm.action, CommAction::kReject);
  world_.pass(seconds(9));
  EXPECT_TRUE(world_.records().empty());
  world_.pass(seconds(60));
  records = world_.records();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].envelope.count, 4U);
  EXPECT_EQ(records[0].envelope.drop_reason, static_cast<std::uint8_t>(DropReason::kRuleReject));
}

TEST_P(PathLog, EverySessionHasExactlyOneEnd) {
  world_.apply(1, {{.id = 11, .log = snapshot::kLogStart | snapshot::kLogEnd}});
  for (std::uint16_t port = 0; port < 300; ++port) {
    world_.inject(kClientNic, udp(static_cast<std::uint16_t>(5000 + port)));
    if (port % 3 == 0) world_.inject(kServerNic, server("10.0.0.2", "10.0.0.34").udp(53, 5000 + port).build());
  }
  world_.apply(2, {{.id = 12, .protocol = 17}});
  world_.pass(seconds(400));
  EXPECT_EQ(world_.sessions(), 0U);
  const auto records = world_.records();
  EXPECT_EQ(count(records, CommPhase::kStart), 300U);
  EXPECT_EQ(count(records, CommPhase::kEnd), 300U);
  std::vector<std::uint64_t> ids;
  for (const auto& record : records) {
    if (record.comm.phase == CommPhase::kEnd) ids.push_back(record.comm.flow_id);
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
}

TEST_P(PathLog, HitCountersBelongToTheRuleIdWhereverItStands) {
  world_.apply(1, {{.id = 11}});
  for (std::uint16_t port = 0; port < 5; ++port) world_.through(kClientNic, udp(static_cast<std::uint16_t>(5000 + port)), kServerNic);
  EXPECT_EQ(of_rule(11, &dataplane::RuleCounters::connections), 5U);
  world_.apply(2, {{.id = 10, .protocol = 1}, {.id = 11}});
  world_.through(kClientNic, udp(6000), kServerNic);
  EXPECT_EQ(of_rule(11, &dataplane::RuleCounters::connections), 6U);
  EXPECT_EQ(of_rule(10, &dataplane::RuleCounters::connections), 0U);
  world_.pass(seconds(32));
  EXPECT_EQ(of_rule(11, &dataplane::RuleCounters::packets), 6U);
  EXPECT_EQ(of_rule(11, &dataplane::RuleCounters::bytes), 6 * 48U);
  world_.apply(3, {});
  world_.inject(kClientNic, udp(6000));
  EXPECT_EQ(of_rule(kDefaultRuleA, &dataplane::RuleCounters::connections), 1U);
  EXPECT_EQ(of_rule(kDefaultRuleB, &dataplane::RuleCounters::connections), 0U);
}

class PathSmallLog : public PathLog {
 protected:
  PathSmallLog() : PathLog(64) {}
};
SEKISHO_PATH_WORKERS(PathSmallLog);

TEST_P(PathSmallLog, WhatTheFullRingCouldNotTakeIsReported) {
  world_.apply(1, {{.id = 11, .action = snapshot::Action::kDrop, .log = snapshot::kLogDropEach}});
  constexpr std::uint64_t kPackets = 400;
  for (std::uint16_t i = 0; i < kPackets; ++i) world_.inject(kClientNic, udp(static_cast<std::uint16_t>(5000 + i)));
  std::uint64_t written = 0;
  std::uint64_t lost = 0;
  for (int look = 0; look < 2; ++look) {
    for (const auto& record : world_.records()) {
      written += record.envelope.kind == LogKind::kComm ? 1 : 0;
      if (record.envelope.kind != LogKind::kLoss) continue;
      EXPECT_EQ(record.envelope.tenant, kTenantA);
      EXPECT_EQ(record.loss.of, LogKind::kComm);
      EXPECT_LE(record.loss.from_timestamp, record.loss.to_timestamp);
      lost += record.loss.count;
    }
    world_.pass(seconds(1));
  }
  EXPECT_GE(written, 64U);
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(written + lost, kPackets);
}

TEST_P(PathLog, RecordsSayWhichServiceOfTheRuleTookTheFlow) {
  const std::uint8_t both = snapshot::kLogStart | snapshot::kLogEnd;
  world_.apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53, .log = both, .service = 7},
                   {.id = 12, .protocol = 1, .log = both, .service = 8},
                   {.id = 13, .action = snapshot::Action::kDrop, .protocol = 6, .log = snapshot::kLogDropEach, .service = 9},
                   {.id = 14, .log = both}});
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build());
  world_.inject(kClientNic, client("fd00:0:0:2::2", "fd00:0:0:1::2").udp(5000, 53).build());
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").echo(1, 1).build());
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").tcp(5000, 22, {.flags = filters::kTcpSyn}).build());
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 54).build());
  std::map<std::uint32_t, std::vector<std::uint32_t>> services;
  for (const auto& record : world_.records()) services[record.comm.rule].push_back(record.comm.service);
  EXPECT_EQ(services[11], (std::vector<std::uint32_t>{7, 7}));
  EXPECT_EQ(services[12], std::vector<std::uint32_t>{8});
  EXPECT_EQ(services[13], std::vector<std::uint32_t>{9});
  EXPECT_EQ(services[14], std::vector<std::uint32_t>{0}) << "a rule for any service";
  // The end carries it too, under the rule of the generation that judged it last.
  world_.apply(2, {{.id = 21, .protocol = 17, .log = both, .service = 3}});
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).build());
  world_.pass(std::chrono::seconds(60));
  services.clear();
  for (const auto& record : world_.records()) {
    if (record.comm.phase == CommPhase::kEnd) services[record.comm.rule].push_back(record.comm.service);
  }
  EXPECT_EQ(services[21], (std::vector<std::uint32_t>{3, 3, 3})) << "silent ones, too, were judged again";
  EXPECT_EQ(services[12], std::vector<std::uint32_t>{8}) << "ended by the commit, under the generation that allowed it";
}

}  // namespace
}  // namespace sekisho::tests
