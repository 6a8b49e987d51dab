// SPDX-License-Identifier: Apache-2.0
// Goal: what a remote user did, or was refused, is told with the user's name; nobody else's flows are, and no other user is named.
// Method: comm records by the intake, users by vpn records as the daemon sends them; time is a number.
#include <gtest/gtest.h>

#include "mgmt/log/intake.h"
#include "mgmt/log/vault/vault.h"
#include "tests/unit/mgmt/fakes.h"

namespace sekisho::mgmt {
namespace {

using namespace test;

constexpr Timestamp kWall{kNoon + 60 * kSecond};
constexpr std::uint32_t kRemote = 13, kForeignRemote = 23;
const StreamName kAcmeAcl{"acm00000001", LogKind::kAcl}, kAcmeVpn{"acm00000001", LogKind::kVpn};

struct Fixture {
  TempDir dir;
  Vault store{dir.path()};
  Journal journal{store, fixed_random()};
  Spill spill{dir.path() + "/spill.bin"};
  NameCache cache;
  RemoteUsers users{store};
  Intake intake{cache, journal, spill, users, [](std::uint32_t) {}};

  Fixture() {
    ipc::NameTable table = name_table(7);
    for (const auto& [id, tenant] : {std::pair{kRemote, kAcme}, std::pair{kForeignRemote, kGlobex}}) {
      auto& port = *table.add_ports();
      port.set_id(id), port.set_tenant(tenant), port.set_name("remote"), port.set_zone("vpn"), port.set_tunnel(true);
    }
    auto& rule = *table.mutable_rules(0);
    rule.add_users("staff"), rule.add_users("sales"), rule.add_hosts("erp"), rule.add_services("web");
    cache.add(std::make_shared<Names>(table));
  }
  void offer(const LogRecord& record) {
    intake.offer(std::vector{record}, {});
    intake.process({}, kWall);
  }
  std::vector<AclFields> access() {
    std::vector<AclFields> out;
    for (const LogEntry& entry : all_of(store, kAcmeAcl)) out.push_back(std::get<AclFields>(entry.body));
    return out;
  }
};

LogEntry session(VpnEvent event, std::uint64_t sid = 0xa7, const std::string& user = "alice", const std::string& svc = "acm00000001") {
  LogEntry out = make_entry(LogKind::kVpn);
  out.ts = Timestamp{kNoon}, out.svc = svc, out.node = "u0", out.seq = sid, out.eid.bytes[0] = 1;
  auto& vpn = std::get<VpnFields>(out.body);
  vpn.event = event, vpn.vpn_sid = HexId{sid}, vpn.user = user, vpn.user_groups = {"board", "sales"};
  vpn.peer_ip = *parse_address("198.51.100.9"), vpn.ip4 = *parse_address("203.0.113.77");
  return out;
}

/// A flow from 203.0.113.77, which is the inner address of alice here.
LogRecord flow(CommPhase phase, CommAction action, std::uint32_t port = kRemote, std::uint32_t tenant = kAcme) {
  CommBody body = comm_body();
  body.phase = phase, body.action = action, body.in_port = port;
  return pack(envelope(LogKind::kComm, tenant), body);
}

TEST(AccessRecord, IsMadeBesideTheCommRecordOfARemoteUsersFlow) {
  Fixture f;
  LogEntry in = session(VpnEvent::kUp);
  in.gw = "tky00000001";
  f.users.learn(in);
  f.offer(flow(CommPhase::kStart, CommAction::kAllow));
  f.offer(flow(CommPhase::kEnd, CommAction::kAllow));
  const auto access = f.access();
  ASSERT_EQ(access.size(), 2U);
  EXPECT_EQ(all_of(f.store, kAcmeAcl)[0].gw, "tky00000001");
  EXPECT_EQ(access[0].phase, AclPhase::kStart);
  EXPECT_EQ(access[1].phase, AclPhase::kEnd);
  EXPECT_EQ(access[0].action, AclAction::kPermit);
  EXPECT_EQ(access[0].user, "alice");
  EXPECT_EQ(access[0].vpn_sid.value, 0xa7U);
  EXPECT_EQ(access[0].user_group, "sales");
  EXPECT_EQ(access[0].host_group, "erp");
  EXPECT_EQ(access[0].service_group, "web");
  EXPECT_EQ(to_string(access[0].peer_ip), "198.51.100.9");
  const auto comm = all_of(f.store, kAcmeComm);
  ASSERT_EQ(comm.size(), 2U);
  EXPECT_EQ(std::get<CommFields>(comm[0].body).user, "alice");
  EXPECT_EQ(std::get<CommFields>(comm[0].body).flow_id, access[0].flow_id);
}

TEST(AccessRecord, SaysWhatWasDenied) {
  Fixture f;
  f.users.learn(session(VpnEvent::kUp));
  LogRecord denied = flow(CommPhase::kDrop, CommAction::kDrop);
  CommBody body = comm_body();
  body.phase = CommPhase::kDrop, body.action = CommAction::kDrop, body.in_port = kRemote, body.rule = kDefaultRule;
  denied = pack(envelope(LogKind::kComm), body);
  f.offer(denied);
  const auto access = f.access();
  ASSERT_EQ(access.size(), 1U);
  EXPECT_EQ(access[0].phase, AclPhase::kDeny);
  EXPECT_EQ(access[0].reason, AclReason::kDefault);
  EXPECT_EQ(access[0].rule_no, 0U);
  EXPECT_EQ(access[0].user, "alice");
  EXPECT_EQ(access[0].user_group, "");
}

TEST(AccessRecord, IsNotMadeOfFlowsThatCameInElsewhere) {
  Fixture f;
  f.users.learn(session(VpnEvent::kUp));
  f.offer(flow(CommPhase::kStart, CommAction::kAllow, kOutside));
  EXPECT_TRUE(f.access().empty());
  ASSERT_EQ(all_of(f.store, kAcmeComm).size(), 1U);
  EXPECT_EQ(std::get<CommFields>(all_of(f.store, kAcmeComm)[0].body).user, "");
}

/// A flow that began and ended so many seconds after noon.
LogRecord over(std::int64_t began, std::int64_t ended) {
  CommBody body = comm_body();
  const auto at = [](std::int64_t seconds) { return kNoon + static_cast<std::uint64_t>(seconds) * kSecond; };
  body.phase = CommPhase::kEnd, body.action = CommAction::kAllow, body.in_port = kRemote, body.start_timestamp = at(began);
  return pack(envelope(LogKind::kComm, kAcme, 7, at(ended)), body);
}

LogEntry session_at(std::int64_t seconds, VpnEvent event, std::uint64_t sid, const std::string& user) {
  LogEntry out = session(event, sid, user);
  out.ts.ns += static_cast<std::uint64_t>(seconds) * kSecond;
  return out;
}

TEST(AccessRecord, NamesTheUserOfAFlowThatBeganBeforeHisEndAndNoOther) {
  Fixture f;
  f.users.learn(session_at(0, VpnEvent::kUp, 0xa7, "alice"));
  f.users.learn(session_at(100, VpnEvent::kDown, 0xa7, "alice"));
  f.offer(over(50, 100));   // it ends with her session
  f.offer(over(50, 160));   // a minute later
  f.offer(over(50, 161));   // too late
  f.offer(over(100, 101));  // it began after she had gone
  const auto access = f.access();
  ASSERT_EQ(access.size(), 4U);
  EXPECT_EQ(access[0].user, "alice");
  EXPECT_EQ(access[0].vpn_sid.value, 0xa7U);
  EXPECT_EQ(to_string(access[0].peer_ip), "198.51.100.9");
  EXPECT_EQ(access[1].user, "alice");
  EXPECT_EQ(access[2].user, "");
  EXPECT_EQ(access[3].user, "");
}

TEST(AccessRecord, ANewHolderOfAnAddressIsNotBlamedForTheOneBefore) {
  Fixture f;
  f.users.learn(session_at(0, VpnEvent::kUp, 0xa7, "alice"));
  f.users.learn(session_at(100, VpnEvent::kDown, 0xa7, "alice"));
  f.users.learn(session_at(103, VpnEvent::kUp, 0xa8, "bob"));
  f.offer(over(99, 104));
  f.offer(over(102, 105));  // his first packet was before the record of his up
  const auto access = f.access();
  ASSERT_EQ(access.size(), 2U);
  EXPECT_EQ(access[0].user, "");
  EXPECT_EQ(access[1].user, "bob");
}

TEST(AccessRecord, NamesNobodyAfterTheSessionsEndNorAnotherTenantsUser) {
  Fixture f;
  f.users.learn(session(VpnEvent::kUp, 0xb1, "mallory", "glb00000002"));
  f.offer(flow(CommPhase::kStart, CommAction::kAllow));
  f.users.learn(session(VpnEvent::kUp));
  f.users.learn(session(VpnEvent::kDown, 0xa6));  // of a session before: not alice's
  f.offer(flow(CommPhase::kStart, CommAction::kAllow));
  f.users.learn(session(VpnEvent::kDown));
  f.offer(flow(CommPhase::kEnd, CommAction::kAllow));
  const auto access = f.access();
  ASSERT_EQ(access.size(), 3U);
  EXPECT_EQ(access[0].user, "");
  EXPECT_EQ(access[1].user, "alice");
  EXPECT_EQ(access[2].user, "");
}

TEST(AccessRecord, KnowsUsersOfBeforeARestart) {
  Fixture f;
  ASSERT_EQ(f.store.append(kAcmeVpn, std::vector{session(VpnEvent::kUp)}).stored, 1U);
  f.offer(flow(CommPhase::kStart, CommAction::kAllow));
  ASSERT_EQ(f.access().size(), 1U);
  EXPECT_EQ(f.access()[0].user, "alice");
}

}  // namespace
}  // namespace sekisho::mgmt
