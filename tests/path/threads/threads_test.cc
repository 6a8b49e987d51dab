// SPDX-License-Identifier: Apache-2.0
// Goal: the data plane with real worker threads: hand-off, snapshots swapped under traffic, sessions listed and logs read at
// the same time, and not a packet lost. Method: ring ports; the test waits for packets to come out, never for time.
#include <array>
#include <map>
#include <set>

#include "dataplane/explain/explain.h"
#include "dataplane/service/report.h"
#include "filters/packet/fragment.h"
#include "tests/path/threads/threads_world.h"
#include "tests/support/nat.h"
#include "tests/support/pieces.h"

namespace sekisho::tests {
namespace {

namespace snapshot = filters::snapshot;

INSTANTIATE_TEST_SUITE_P(Workers, Threads, testing::Values(2U, 3U), [](const auto& test) { return "With" + std::to_string(test.param); });

TEST_P(Threads, SessionsCanBeAskedForBeforeTheFirstSnapshot) {
  start();
  std::size_t sessions = 0;
  world_->engine().for_each_session([&](dataplane::Shard&, std::uint32_t) { return ++sessions > 0; });
  EXPECT_EQ(sessions, 0U);
}

TEST_P(Threads, NoPacketIsLostWhileTheConfigurationChangesUnderIt) {
  constexpr std::size_t kPackets = 20'000;
  world_->apply(1, {{.id = 11, .protocol = 17}});
  start();
  std::atomic<bool> carried{false};
  std::atomic<std::uint32_t> generation{1};
  std::atomic<std::uint32_t> changes{0};
  std::size_t records = 0;
  std::thread control([&] {
    while (!carried.load() || changes.load() < 20) {
      const std::uint32_t next = generation.fetch_add(1) + 1;
      if (next % 2 == 0) {
        world_->apply(next, {{.id = 12, .protocol = 1}, {.id = 11, .protocol = 17}});
      } else {
        world_->apply(next, {{.id = 11, .protocol = 17}}, {.tenant_b = next % 3 != 0});
      }
      std::atomic<std::size_t> sessions{0};
      world_->engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
        EXPECT_NE(shard.sessions.at(index).timeout, 0U);
        ++sessions;
        return true;
      });
      EXPECT_LE(sessions.load(), 200U);
      world_->engine().sync_clock();
      records += world_->records().size();
      ++changes;
    }
  });
  do carry(kPackets); while (changes.load() < 10);
  carried = true;
  control.join();
  finish();
  EXPECT_EQ(world_->sessions(), 200U);
  EXPECT_EQ(records, 0U);  // nothing was denied and nothing ended
  for (const DropReason reason : {DropReason::kPolicyChanged, DropReason::kDefaultDeny, DropReason::kHandoffFull, DropReason::kTxQueueFull}) {
    EXPECT_EQ(world_->drops(reason), 0U) << filters::info(reason).name;
  }
}

TEST_P(Threads, DeniedPacketsAreAllInTheLog) {
  constexpr std::uint64_t kPackets = 5000;
  world_->apply(1, {{.id = 11, .action = filters::snapshot::Action::kDrop, .log = filters::snapshot::kLogDropEach}});
  start();
  std::uint64_t logged = 0;
  std::uint64_t sent = 0;
  while (logged < kPackets) {
    for (; sent < kPackets && sent - logged < 256; ++sent) world_->queue(kClientNic, packet(static_cast<std::uint32_t>(sent % 200), sent % 2 != 0));
    for (const World::Record& record : world_->records()) logged += record.envelope.kind == LogKind::kLoss ? record.loss.count : 1;
    std::this_thread::yield();
  }
  finish();
  EXPECT_EQ(logged, kPackets);
  EXPECT_EQ(world_->drops(DropReason::kRuleDrop), kPackets);
}

/// A datagram of the client's: its source port is said in the payload too.
Frame outbound(const World& world, std::uint16_t from, const std::string& to) {
  const std::array<std::uint8_t, 2> said{static_cast<std::uint8_t>(from >> 8), static_cast<std::uint8_t>(from)};
  return FrameBuilder().ethernet(kClientMac, world.gateway(kClientNic)).ipv4("10.0.0.34", to).udp(from, 53).payload(said).build();
}

TEST_P(Threads, TranslatedFlowsKeepTheirEndsWhilePoolsAndRulesChange) {
  constexpr std::size_t kPackets = 6000;
  constexpr std::uint16_t kPorts = 12;
  const auto apply = [&](std::uint32_t generation) {
    const bool odd = generation % 2 != 0;
    std::vector<RuleText> rules{{.id = 11, .protocol = 17, .log = snapshot::kLogNone}};
    if (odd) rules.insert(rules.begin(), {.id = 12, .action = snapshot::Action::kDrop, .protocol = 6});
    world_->apply(generation, rules, {.edit = [=](filters::SnapshotBuilder& builder) {
                    add_nat(builder, 0, {.kind = snapshot::NatKind::kNapt, .sources = {"10.0.0.32/28"}, .translated = {odd ? "203.0.113.20-203.0.113.21" : "203.0.113.22-203.0.113.23"},
                                         .destination_zones = 4, .block_ports = static_cast<std::uint16_t>(odd ? 16 : 64)});
                  }});
  };
  std::map<std::pair<Address, std::uint16_t>, std::set<std::uint16_t>> inside_of;  // outside end -> who came out of it
  std::map<std::uint16_t, std::set<std::pair<Address, std::uint16_t>>> outside_of;
  std::atomic<std::size_t> answered{0};
  const Next next = [&](std::size_t i) {
    return std::pair{kClientNic, outbound(*world_, static_cast<std::uint16_t>(1000 + i % kPorts), "8.8.8." + std::to_string(1 + i / kPorts % 20))};
  };
  const Came came = [&](std::uint16_t nic, const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    if (meta.protocol != 17 || meta.payload_offset + 2U > frame.size()) return false;
    const auto inside = load_be<std::uint16_t>(frame, meta.payload_offset);
    if (nic == kClientNic) {
      EXPECT_EQ(meta.destination_port, inside);
      ++answered;
      return true;
    }
    const Address outside = filters::ip_source(frame, meta);
    EXPECT_TRUE(parse_prefix("203.0.113.20/30")->contains(outside)) << to_string(outside);
    inside_of[{outside, meta.source_port}].insert(inside);
    outside_of[inside].insert({outside, meta.source_port});
    world_->queue(kUplinkNic, FrameBuilder().ethernet(kRouterMac, world_->gateway(kUplinkNic)).ipv4(to_string(filters::ip_destination(frame, meta)), to_string(outside))
                                  .udp(53, meta.source_port).payload(std::span(frame).subspan(meta.payload_offset, 2)).build());
    return false;
  };
  apply(1);
  start();
  learn_router(next, came);
  pump(kPorts - 1, [&](std::size_t i) { return next(i + 1); }, came, 8);
  std::atomic<std::uint32_t> generation{1};
  std::atomic<bool> carried{false};
  Beside commits(6, [&](unsigned) {
    for (const std::size_t before = answered; answered < before + 500 && !carried;) std::this_thread::yield();  // each is in force for a while
    apply(generation.fetch_add(1) + 1);
  });
  std::size_t sent = kPorts;
  do pump(kPackets, next, came), sent += kPackets; while (commits.rounds() < 6);
  carried = true;
  commits.end();
  EXPECT_GT(answered, sent / 4);
  EXPECT_EQ(unexpected_drops({DropReason::kPolicyChanged, DropReason::kNatUnmapped, DropReason::kNoRoute}), "");
  apply(++generation);
  wait_for_sweeps();
  pump(2 * kPorts * 20, next, [](std::uint16_t nic, const Frame&) { return nic == kUplinkNic; });  // what was under way has ended; all have their ends
  inside_of.clear(), outside_of.clear(), answered = 0;
  const std::uint64_t before = all_drops();
  pump(kPackets, next, came);
  EXPECT_EQ(answered, kPackets);
  EXPECT_EQ(all_drops(), before);
  EXPECT_EQ(outside_of.size(), kPorts);
  for (const auto& [inside, ends] : outside_of) EXPECT_EQ(ends.size(), 1U) << "RFC 4787 REQ-1 " << inside;
  for (const auto& [end, insides] : inside_of) EXPECT_EQ(insides.size(), 1U) << end.second;
}

TEST_P(Threads, SessionsThatANewPolicyForbidsEndAndOthersLoseNothing) {
  constexpr std::size_t kPackets = 8000;
  const auto apply = [&](std::uint32_t generation) {
    std::vector<RuleText> rules{{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53}};
    if (generation % 2 != 0) rules.push_back({.id = 12, .protocol = 17, .port_low = 80, .port_high = 80});
    world_->apply(generation, rules);
  };
  std::array<std::size_t, 2> arrived{};  // of port 53, of port 80
  const Next next = [&](std::size_t i) {
    FrameBuilder builder = FrameBuilder().ethernet(kClientMac, world_->gateway(kClientNic));
    i % 3 == 0 ? builder.ipv6("fd00:0:0:2::2", "fd00:0:0:1::2") : builder.ipv4("10.0.0.34", "10.0.0.2");
    return std::pair{kClientNic, builder.udp(1000 + static_cast<unsigned>(i / 2 % 100), i % 2 == 0 ? 53 : 80).payload(20).build()};
  };
  const Came came = [&](std::uint16_t nic, const Frame& frame) {
    if (nic != kServerNic) return false;
    ++arrived[read(frame).destination_port == 53 ? 0 : 1];
    return true;
  };
  apply(1);
  start();
  std::atomic<std::uint32_t> generation{1};
  Beside commits(10, [&](unsigned) {
    apply(generation.fetch_add(1) + 1);
    world_->records();
  });
  std::size_t sent = 0;
  do pump(kPackets, next, came), sent += kPackets; while (commits.rounds() < 10);
  commits.end();
  EXPECT_EQ(arrived[0], sent / 2);
  EXPECT_GT(arrived[1], 0U);
  EXPECT_EQ(arrived[1] + world_->drops(DropReason::kPolicyChanged) + world_->drops(DropReason::kDefaultDeny), sent / 2);
  EXPECT_EQ(unexpected_drops({DropReason::kPolicyChanged, DropReason::kDefaultDeny}), "");
  if (generation % 2 != 0) apply(++generation);
  wait_for_sweeps();
  std::atomic<std::size_t> living{0};
  world_->engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
    EXPECT_EQ(shard.sessions.at(index).rule, 11U);
    ++living;
    return true;
  });
  EXPECT_EQ(living.load(), 2U * 100);  // of port 53: each source port in each family
}

TEST_P(Threads, BeyondTheHalfOpenLimitEverySynHasItsCookieAndWhoBringsItIsConnected) {
  constexpr std::size_t kSyns = 4000;
  constexpr std::uint32_t kLimit = 16;
  const auto apply = [&](std::uint32_t generation) {
    std::vector<RuleText> rules{{.id = 11, .protocol = 6, .port_low = 80, .port_high = 80, .log = snapshot::kLogNone}};
    if (generation % 2 != 0) rules.push_back({.id = 12, .protocol = 17});
    world_->apply(generation, rules, {.edit = [](filters::SnapshotBuilder& builder) { builder.state_limits.push_back({0, kLimit, 0, snapshot::SynProtection::kCookies, {}}); }});
  };
  std::size_t passed = 0;
  std::size_t cookies = 0;
  std::set<std::uint16_t> brought;
  const auto between = [&](std::uint16_t nic, bool v6) {
    FrameBuilder builder = FrameBuilder().ethernet(nic == kClientNic ? kClientMac : kServerMac, world_->gateway(nic));
    const char* client = v6 ? "fd00:0:0:2::2" : "10.0.0.34";
    const char* server = v6 ? "fd00:0:0:1::2" : "10.0.0.2";
    const char* from = nic == kClientNic ? client : server;
    const char* to = nic == kClientNic ? server : client;
    return v6 ? builder.ipv6(from, to) : builder.ipv4(from, to);
  };
  const Next next = [&](std::size_t i) {
    return std::pair{kClientNic, between(kClientNic, i % 2 != 0).tcp(1024 + static_cast<unsigned>(i), 80, {.flags = filters::kTcpSyn, .sequence = static_cast<std::uint32_t>(i)}).build()};
  };
  const Came came = [&](std::uint16_t nic, const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    const bool v6 = (meta.proof & filters::kProofIpv6) != 0;
    const auto sequence = load_be<std::uint32_t>(frame, meta.l4_offset + 4U);
    if (nic == kServerNic) {
      if (meta.tcp_flags != filters::kTcpSyn) return false;
      if (!brought.contains(meta.source_port)) {
        ++passed;
        return true;
      }
      world_->queue(kServerNic, between(kServerNic, v6).tcp(80, meta.source_port, {.flags = filters::kTcpSyn | filters::kTcpAck, .sequence = 7'000, .acknowledgement = sequence + 1}).build());
      return false;
    }
    if ((meta.tcp_flags & filters::kTcpSyn) == 0) return (meta.tcp_flags & filters::kTcpRst) == 0 && brought.contains(meta.destination_port);  // its window opens
    ++cookies;
    const auto initial = static_cast<std::uint32_t>(meta.destination_port - 1024);
    if (initial % 8 != 0) return true;
    brought.insert(meta.destination_port);
    world_->queue(kClientNic, between(kClientNic, v6).tcp(meta.destination_port, 80, {.flags = filters::kTcpAck, .sequence = initial + 1, .acknowledgement = sequence + 1}).build());
    return false;
  };
  apply(1);
  start();
  std::atomic<std::uint32_t> generation{1};
  Beside commits(6, [&](unsigned) {
    apply(generation.fetch_add(1) + 1);
    world_->records();
  });
  pump(kSyns, next, came);
  commits.end();
  EXPECT_GE(passed, kLimit);
  EXPECT_LE(passed, kLimit + GetParam() - 1) << "two workers may look at the count at the same time";
  EXPECT_EQ(passed + cookies, kSyns);
  EXPECT_GE(brought.size(), kSyns / 8 - passed);
  finish();
  EXPECT_EQ(world_->sessions(), passed + brought.size());
  EXPECT_EQ(unexpected_drops({}), "");
}

TEST_P(Threads, PiecesMeetAndPassWholeWhileTheConfigurationChanges) {
  constexpr std::size_t kBlock = 8;
  constexpr std::size_t kCut = 3;
  constexpr std::size_t kDatagrams = 2400;
  world_->apply(1, {{.id = 11, .protocol = 17}});
  start();
  std::atomic<std::uint32_t> generation{1};
  Beside commits(8, [&](unsigned round) {
    const std::uint32_t now = generation.fetch_add(1) + 1;
    world_->apply(now, {{.id = 11, .protocol = 17}, {.id = 13 + round % 2, .protocol = 1}}, {.tenant_b = round % 3 != 0});
    world_->records();
  });
  std::map<std::uint32_t, std::vector<Frame>> came_of;  // by identification
  const auto whole_of = [&](std::size_t number) {
    FrameBuilder builder = FrameBuilder().ethernet(kClientMac, world_->gateway(kClientNic));
    number % 2 != 0 ? builder.ipv6("fd00:0:0:2::2", "fd00:0:0:1::2") : builder.ipv4("10.0.0.34", "10.0.0.2");
    return builder.udp(1000 + static_cast<unsigned>(number % 50), 53).payload(Frame(3 * 24 - 8, static_cast<std::uint8_t>(number))).build();
  };
  pump(kDatagrams * kCut, [&](std::size_t i) {
    const std::size_t place = i % (kBlock * kCut) * 7 % (kBlock * kCut);  // eight datagrams mixed
    const std::size_t number = i / (kBlock * kCut) * kBlock + place / kCut;
    return std::pair{kClientNic, pieces(whole_of(number), 24, static_cast<std::uint32_t>(number + 1)).at(place % kCut)};
  }, [&](std::uint16_t nic, const Frame& frame) {
    if (nic != kServerNic) return false;
    const auto meta = read(frame);
    came_of[filters::read_fragment(frame, meta).id].push_back(frame);
    return true;
  }, 48);
  commits.end();
  EXPECT_EQ(came_of.size(), kDatagrams);
  for (const auto& [id, frames] : came_of) EXPECT_EQ(join(frames), upper(whole_of(id - 1))) << id;
  finish();
  EXPECT_EQ(unexpected_drops({}), "");
}

TEST_P(Threads, WhatTheControlThreadAsksIsTrueWhilePacketsFlow) {
  constexpr std::size_t kPackets = 10'000;
  world_->apply(1, {{.id = 11, .protocol = 17, .port_low = 53, .port_high = 53}});
  start();
  dataplane::Engine& engine = world_->engine();
  std::size_t ends = 0;
  const auto read_log = [&] {
    for (const World::Record& record : world_->records()) ends += record.envelope.kind == LogKind::kLoss ? record.loss.count : 1;
  };
  std::uint64_t cleared = 0;
  Beside control(5, [&](unsigned round) {
    ipc::Status status;
    dataplane::fill_status(engine, 1, status);
    EXPECT_EQ(status.generation(), 1U);
    dataplane::account_living(engine);
    ipc::Counters counters;
    dataplane::fill_counters(engine, 1, counters);
    ipc::SessionList sessions;
    dataplane::fill_sessions(engine, kTenantA, 50, sessions);
    EXPECT_LE(sessions.sessions_size(), 50);
    ipc::NatReport nat;
    dataplane::fill_nat(engine, {}, nat);
    ipc::NeighbourList neighbours;
    dataplane::fill_neighbours(engine, neighbours);
    for (const std::uint16_t port : {std::uint16_t{53}, std::uint16_t{54}}) {
      const dataplane::explain::Description asked{.source = address("10.0.0.34"), .destination = address("10.0.0.2"), .protocol = 17,
                                                  .source_port = 1000, .destination_port = port};
      const auto told = dataplane::explain::explain(engine, {*engine.runtime(), engine.slots()}, asked, dataplane::explain::port_index(*engine.runtime(), kClientPort));
      ASSERT_TRUE(told);
      EXPECT_EQ(told->verdict, port == 53 ? "allow" : "drop");
    }
    if (round % 3 == 2) cleared += dataplane::clear_sessions(engine, round % 2 != 0 ? std::optional(kTenantA) : std::nullopt);
    read_log();
  });
  do carry(kPackets); while (control.rounds() < 5);
  control.end();
  carry(200);  // behind the last clearing
  EXPECT_GT(cleared, 0U);
  finish();
  read_log();
  EXPECT_EQ(ends, cleared) << "each session that ended is in the log once";
  EXPECT_EQ(world_->sessions(), 200U);
  EXPECT_EQ(unexpected_drops({}), "");
}

}  // namespace
}  // namespace sekisho::tests
