// SPDX-License-Identifier: Apache-2.0
#include "vpn/directory.h"

#include <gtest/gtest.h>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

constexpr std::uint32_t kAcme = 1, kGlobex = 2;
constexpr std::int64_t kMondayNoonJapan = 1'700'449'200;  // 2023-11-20 12:00 +09:00

Address address(std::string_view text) { return parse_address(text).value(); }

std::string bytes_of(std::string_view text) {
  const Address one = address(text);
  return {one.wire().begin(), one.wire().end()};
}

void add_range(ipc::VpnPool& pool, std::string_view first, std::string_view last) {
  auto& range = *pool.add_ranges();
  range.set_first(bytes_of(first));
  range.set_last(bytes_of(last));
}

/// Tenant with a gateway "tokyo", alice and bob in "staff" (pool of two IPv4 addresses and many IPv6), and carol in nothing.
ipc::VpnConfig config() {
  ipc::VpnConfig out;
  out.set_generation(5);
  for (const std::uint32_t id : {kAcme, kGlobex}) {
    auto& tenant = *out.add_tenants();
    tenant.set_id(id);
    tenant.set_service_code("mfw0000000" + std::to_string(id));
    auto& gateway = *tenant.add_gateways();
    gateway.set_name("tokyo");
    gateway.set_profile("modern");
    gateway.set_tunnel_port(40 + id);
    std::uint32_t number = 0;
    for (const char* name : {"Alice", "bob", "carol"}) {
      auto& user = *tenant.add_users();
      user.set_id(++number);
      user.set_name(name);
      user.set_nt_hash(std::string(16, static_cast<char>('a' + number)));
      if (number < 3) user.add_groups("staff");
    }
    auto& group = *tenant.add_groups();
    group.set_name("staff");
    group.set_priority(10);
    group.set_pool("pool");
    auto& pool = *tenant.add_pools();
    pool.set_name("pool");
    add_range(pool, "10.99.0.10", "10.99.0.11");
    add_range(pool, "fd00:99::1", "fd00:99::ffff:ffff:ffff");
  }
  return out;
}

class DirectoryTest : public testing::Test {
 protected:
  DirectoryTest() { apply(); }
  void apply() {
    const std::string bytes = model_.SerializeAsString();
    auto plan = parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    ASSERT_TRUE(plan.has_value());
    directory_.set_plan(*plan);
  }
  ipc::VpnTenant& acme() { return *model_.mutable_tenants(0); }
  ipc::VpnGroup& staff() { return *acme().mutable_groups(0); }
  ipc::VpnUser& alice() { return *acme().mutable_users(0); }

  Session session(std::string_view user, std::uint32_t tenant = kAcme, std::string_view from = "192.0.2.10") {
    Session out;
    out.id = ++last_;
    out.path = {tenant, 7, {address("192.0.2.1"), 4500}, {address(from), 4500}};
    out.user = user;
    out.gateway = "tokyo eap-mschapv2";
    return out;
  }
  Cause enter(std::string_view user, std::uint32_t tenant = kAcme, std::string_view from = "192.0.2.10") {
    return directory_.authorize(session(user, tenant, from)).cause;
  }
  /// Somebody who is in.
  Session in(std::string_view user, std::uint32_t tenant = kAcme) {
    const Session out = session(user, tenant);
    EXPECT_EQ(directory_.authorize(out).cause, Cause::kNone);
    return out;
  }
  std::size_t hash(std::string_view user, std::uint32_t tenant = kAcme, std::string_view from = "192.0.2.10") {
    std::uint8_t out[16];
    return directory_.nt_hash({tenant, 7, {}, {address(from), 500}}, user, out);
  }
  void fail(std::string_view user, int times, std::string_view from = "192.0.2.10", std::uint32_t tenant = kAcme) {
    for (int i = 0; i < times; ++i) directory_.wrong_secret({tenant, 7, {}, {address(from), 500}}, user);
  }
  std::vector<std::pair<std::uint64_t, Cause>> endings() {
    std::vector<std::pair<std::uint64_t, Cause>> out;
    for (const auto& one : directory_.take_endings()) out.emplace_back(one.session, one.cause);
    return out;
  }

  std::int64_t now_ = kMondayNoonJapan;
  ipc::VpnConfig model_ = config();
  UserDirectory directory_{[this] { return now_; }};
  std::uint64_t last_ = 0;
};

using Endings = std::vector<std::pair<std::uint64_t, Cause>>;

TEST_F(DirectoryTest, NamesAreComparedWithoutCaseAndTenantsNeverMeet) {
  EXPECT_EQ(hash("ALICE"), 16U);
  EXPECT_EQ(hash("alicf"), 0U);
  EXPECT_EQ(hash("alice", 3), 0U);
  acme().mutable_users()->RemoveLast();
  apply();
  EXPECT_EQ(hash("carol"), 0U);
  EXPECT_EQ(hash("carol", kGlobex), 16U);
}

TEST_F(DirectoryTest, AnOutlookIsWhatALoginWouldBeToldAndLetsNobodyIn) {
  staff().set_sessions_per_user(1);
  apply();
  const Session first = session("alice");
  const auto before = directory_.outlook(first);
  EXPECT_EQ(before.admission.cause, Cause::kNone);
  EXPECT_EQ(before.groups, std::vector<std::string>{"staff"});
  EXPECT_EQ(before.group + before.pool, "staffpool");
  EXPECT_FALSE(directory_.admitted(first.id));
  const Session inside = in("alice");
  EXPECT_EQ(directory_.outlook(session("alice")).admission.cause, Cause::kLimitUser);
  EXPECT_EQ(directory_.outlook(session("bob")).admission.cause, Cause::kNone);
  EXPECT_EQ(directory_.outlook(session("carol")).admission.cause, enter("carol")) << "who is in no group with a pool";
  staff().set_replace_oldest(true);
  apply();
  EXPECT_EQ(directory_.outlook(session("alice")).admission.cause, Cause::kNone);
  EXPECT_TRUE(directory_.admitted(inside.id) && endings().empty()) << "nobody made room";
  alice().set_suspended(true);
  apply();
  EXPECT_EQ(directory_.outlook(session("alice")).admission.cause, Cause::kAdmin);
}

TEST_F(DirectoryTest, AnExceptionForLegacyAlgorithmsEndsWithItsDayForThoseWhoNeedIt) {
  auto& gateway = *acme().mutable_gateways(0);
  gateway.set_profile("legacy");
  gateway.set_legacy_until(now_ + 86'400);
  apply();
  const auto attempt = [&](const char* way, Protocol protocol, const char* suite) {
    Session one = session("alice");
    one.gateway = std::string("tokyo ") + way;
    one.protocol = protocol;
    one.ike_suite = suite;
    const auto said = directory_.authorize(one);
    directory_.ended(one.id);
    return said;
  };
  const auto weak = [&] {
    std::string out;
    for (const auto& said : {attempt("psk", Protocol::kIkeV2, "AES_GCM_16_256"), attempt("mschapv2", Protocol::kPptp, ""),
                             attempt("eap-mschapv2", Protocol::kIkeV2, "3DES_CBC/HMAC_SHA1_96")}) {
      out.append(name_of(said.cause)).append(" ").append(said.text).append("\n");
    }
    return out;
  };
  const std::string let_in = "none \nnone \nnone \n", over = "crypto the gateway's exception for legacy algorithms has ended\n";
  EXPECT_EQ(weak(), let_in) << "the day before";
  now_ += 86'399;
  EXPECT_EQ(weak(), let_in) << "its last second";
  directory_.adopt(1000, kAcme, "tokyo", "bob", 2, std::vector{address("10.99.0.10")}, {});
  directory_.judge_live();
  EXPECT_EQ(endings(), Endings{});
  ++now_;
  EXPECT_EQ(weak(), over + over + over);
  EXPECT_EQ(attempt("eap-mschapv2", Protocol::kIkeV2, "AES_CBC_256/HMAC_SHA1_96/MODP_1024").cause, Cause::kNone) << "windows-default's";
  directory_.judge_live();
  EXPECT_EQ(endings(), (Endings{{1000, Cause::kCrypto}})) << "nobody knows by what he came in";
  gateway.set_legacy_until(now_ + 1);
  apply();
  EXPECT_EQ(weak(), let_in) << "it was renewed";
}

TEST_F(DirectoryTest, ASuspendedUserIsDeniedAndTheNextOneIsNot) {
  alice().set_suspended(true);
  apply();
  EXPECT_EQ(enter("alice"), Cause::kAdmin);
  EXPECT_EQ(enter("bob"), Cause::kNone);
  EXPECT_EQ(enter("alice", kGlobex), Cause::kNone);
}

TEST_F(DirectoryTest, WhoIsInNoGroupIsDeniedUnlessTheGatewayHasADefault) {
  EXPECT_EQ(enter("carol"), Cause::kConfig);
  EXPECT_EQ(enter("nobody@certificate"), Cause::kConfig);
  acme().add_groups()->set_name("of rules only");
  acme().mutable_users(2)->add_groups("of rules only");
  apply();
  EXPECT_EQ(enter("carol"), Cause::kConfig);
  acme().mutable_gateways(0)->set_default_group("staff");
  apply();
  const Session known = in("carol"), unknown = in("nobody@certificate");
  EXPECT_EQ(directory_.admitted(known.id)->user, 3U);
  EXPECT_EQ(directory_.admitted(unknown.id)->user, 0U);
  EXPECT_EQ(directory_.admitted(unknown.id)->tunnel_port, 41U);
}

TEST_F(DirectoryTest, TheLowestPriorityNumberChoosesAndTheNameAmongEquals) {
  for (const auto& [name, priority] : {std::pair{"b-group", 3}, {"a-group", 3}, {"late", 4}}) {
    auto& group = *acme().add_groups();
    group.set_name(name);
    group.set_priority(static_cast<std::uint32_t>(priority));
    group.set_pool("pool");
    alice().add_groups(name);
  }
  auto& rules_only = *acme().add_groups();
  rules_only.set_name("leaving");
  rules_only.set_priority(1);
  alice().add_groups("leaving");
  apply();
  EXPECT_EQ(directory_.admitted(in("alice").id)->group, "a-group");
  EXPECT_EQ(directory_.admitted(in("bob").id)->group, "staff");
}

TEST_F(DirectoryTest, ASessionTooManyIsRefusedAndOneLessIsNot) {
  staff().set_sessions_per_user(2);
  apply();
  const Session first = in("alice");
  EXPECT_EQ(enter("Alice"), Cause::kNone);
  EXPECT_EQ(enter("ALICE"), Cause::kLimitUser);
  EXPECT_EQ(enter("bob"), Cause::kNone);
  directory_.ended(first.id);
  EXPECT_EQ(enter("alice"), Cause::kNone);
}

TEST_F(DirectoryTest, TheOldestSessionMakesRoomWhereTheGroupSaysSo) {
  staff().set_sessions_per_user(2);
  staff().set_replace_oldest(true);
  apply();
  const Session first = in("alice"), second = in("alice");
  EXPECT_EQ(endings(), Endings{});
  const Session third = in("alice");
  EXPECT_EQ(endings(), (Endings{{first.id, Cause::kReplaced}}));
  in("alice");
  EXPECT_EQ(endings(), (Endings{{second.id, Cause::kReplaced}}));
  EXPECT_EQ(directory_.admitted(third.id)->sessions, 2U);
}

TEST_F(DirectoryTest, LoginHoursAreJapansAndTheirEndIsExcluded) {
  auto& window = *staff().add_login();
  window.set_weekdays(1);  // Monday
  window.set_from_minute(12 * 60);
  window.set_to_minute(13 * 60);
  apply();
  EXPECT_EQ(enter("alice"), Cause::kNone);
  now_ -= 1;
  EXPECT_EQ(enter("alice"), Cause::kSchedule);
  now_ += 3600;
  EXPECT_EQ(enter("alice"), Cause::kNone);
  now_ += 1;
  EXPECT_EQ(enter("alice"), Cause::kSchedule);
  now_ = kMondayNoonJapan + 86400;
  EXPECT_EQ(enter("alice"), Cause::kSchedule);
  now_ = kMondayNoonJapan + 7 * 86400;
  EXPECT_EQ(enter("alice"), Cause::kNone);
}

TEST_F(DirectoryTest, OuterAddressesOutsideTheGroupsPrefixesAreDeniedAlsoAfterAMove) {
  auto& prefix = *staff().add_source_prefixes();
  prefix.set_address(bytes_of("192.0.2.8"));
  prefix.set_length(30);
  apply();
  EXPECT_EQ(enter("alice", kAcme, "192.0.2.11"), Cause::kNone);
  EXPECT_EQ(enter("alice", kAcme, "192.0.2.12"), Cause::kSourceAddress);
  EXPECT_EQ(enter("alice", kAcme, "2001:db8::1"), Cause::kSourceAddress);
  Session moved = in("alice");
  moved.path.remote.address = address("192.0.2.9");
  directory_.moved(moved);
  EXPECT_EQ(endings(), Endings{});
  moved.path.remote.address = address("198.51.100.1");
  directory_.moved(moved);
  EXPECT_EQ(endings(), (Endings{{moved.id, Cause::kSourceAddress}}));
}

TEST_F(DirectoryTest, FiveWrongPasswordsShutAUserOutForAQuarterOfAnHour) {
  fail("alice", 4);
  EXPECT_EQ(hash("alice"), 16U);
  fail("ALICE", 1);
  EXPECT_EQ(hash("alice"), 0U);
  EXPECT_TRUE(directory_.locked({kAcme, 7, {}, {address("203.0.113.1"), 1}}, "alice"));
  EXPECT_EQ(hash("bob"), 16U);
  EXPECT_EQ(hash("alice", kGlobex), 16U);
  now_ += Lockout::kLockSeconds - 1;
  fail("alice", 1);  // does not make it longer
  EXPECT_EQ(hash("alice"), 0U);
  now_ += 1;
  EXPECT_EQ(hash("alice"), 16U);
}

TEST_F(DirectoryTest, OldFailuresAndThoseBeforeASuccessDoNotCount) {
  fail("alice", 4);
  now_ += Lockout::kWindowSeconds;
  fail("alice", 1);
  EXPECT_EQ(hash("alice"), 16U);
  fail("alice", 3);
  in("alice");
  fail("alice", 4);
  EXPECT_EQ(hash("alice"), 16U);
}

TEST_F(DirectoryTest, TwentyUsersFailingFromOneSourceShutTheSourceOutAndNoOther) {
  for (int i = 0; i < 19; ++i) fail("guess" + std::to_string(i), 1, "2001:db8::1");
  fail("guess0", 3, "2001:db8::1");
  EXPECT_EQ(hash("alice", kAcme, "2001:db8::2"), 16U);
  fail("guess19", 1, "2001:db8::3");  // of the same /64
  EXPECT_EQ(hash("alice", kAcme, "2001:db8::4"), 0U);
  EXPECT_EQ(hash("alice", kAcme, "2001:db8:0:1::4"), 16U);
  EXPECT_EQ(hash("alice", kGlobex, "2001:db8::4"), 16U);
  now_ += Lockout::kLockSeconds;
  EXPECT_EQ(hash("alice", kAcme, "2001:db8::4"), 16U);
}

TEST_F(DirectoryTest, AUserKeepsHisAddressesAndAnEmptyPoolGivesNone) {
  const Session first = in("alice"), second = in("bob");
  const auto four = directory_.lease(first, Family::kIpv4), six = directory_.lease(first, Family::kIpv6);
  ASSERT_TRUE(four && six);
  EXPECT_EQ(directory_.lease(first, Family::kIpv4), four);
  const auto other = directory_.lease(second, Family::kIpv4);
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(other, four);
  acme().mutable_gateways(0)->set_default_group("staff");
  apply();
  const Session third = in("carol");
  EXPECT_EQ(directory_.lease(third, Family::kIpv4), std::nullopt);
  EXPECT_TRUE(directory_.lease(third, Family::kIpv6).has_value());
  directory_.ended(first.id);
  EXPECT_EQ(directory_.lease(third, Family::kIpv4), four);
  directory_.ended(third.id);
  const Session again = in("alice");
  EXPECT_EQ(directory_.lease(again, Family::kIpv4), four);
  EXPECT_EQ(directory_.lease(again, Family::kIpv6), six);
  EXPECT_EQ(*directory_.lease(in("alice", kGlobex), Family::kIpv4), *four);
}

TEST_F(DirectoryTest, AStaticAddressIsItsUsersAloneAndMovesToHisNextSession) {
  alice().add_static_addresses(bytes_of("10.99.0.10"));
  apply();
  const Session bob = in("bob"), more = in("bob");
  EXPECT_EQ(directory_.lease(bob, Family::kIpv4), address("10.99.0.11"));
  EXPECT_EQ(directory_.lease(more, Family::kIpv4), std::nullopt);
  const Session first = in("alice");
  EXPECT_EQ(directory_.lease(first, Family::kIpv4), address("10.99.0.10"));
  const Session second = in("alice");
  EXPECT_EQ(directory_.lease(second, Family::kIpv4), address("10.99.0.10"));
  EXPECT_EQ(endings(), (Endings{{first.id, Cause::kReplaced}}));
  directory_.ended(first.id);
  EXPECT_EQ(directory_.lease(second, Family::kIpv4), address("10.99.0.10"));
}

TEST_F(DirectoryTest, TheNextConfigurationEndsThoseItNoLongerLetsIn) {
  const Session alice_in = in("alice"), bob_in = in("bob"), far = in("alice", kGlobex);
  alice().set_suspended(true);
  apply();
  EXPECT_EQ(endings(), (Endings{{alice_in.id, Cause::kAdmin}}));
  apply();
  EXPECT_EQ(endings(), Endings{});  // told once
  acme().mutable_users(1)->clear_groups();
  apply();
  EXPECT_EQ(endings(), (Endings{{bob_in.id, Cause::kConfig}}));
  model_.mutable_tenants(1)->clear_gateways();
  apply();
  EXPECT_EQ(endings(), (Endings{{far.id, Cause::kConfig}}));
}

TEST_F(DirectoryTest, ARemovedUserHasToGoAlsoWhereStrangersMayComeIn) {
  acme().mutable_gateways(0)->set_default_group("staff");
  apply();
  const Session carol = in("carol"), stranger = in("nobody@certificate");
  acme().mutable_users()->RemoveLast();
  apply();
  EXPECT_EQ(endings(), (Endings{{carol.id, Cause::kAdmin}}));
  EXPECT_EQ(enter("carol"), Cause::kNone);  // by her certificate, as a stranger
  EXPECT_TRUE(directory_.admitted(stranger.id).has_value());
}

TEST_F(DirectoryTest, WhatADaemonBeforeLeftHoldsItsAddressForTheSameUser) {
  const std::vector<Address> held{address("10.99.0.10"), address("10.99.0.11")};
  directory_.adopt(1000, kAcme, "tokyo", "alice", 1, held, {});
  EXPECT_EQ(endings(), Endings{});
  EXPECT_EQ(directory_.lease(in("bob"), Family::kIpv4), std::nullopt);
  staff().set_sessions_per_user(1);
  apply();
  EXPECT_TRUE(directory_.lease(in("alice"), Family::kIpv4).has_value());
  EXPECT_EQ(endings(), (Endings{{1000, Cause::kReplaced}}));
}

TEST_F(DirectoryTest, WhatADaemonBeforeLeftStaysUntilThereIsAConfiguration) {
  UserDirectory next([this] { return now_; });
  next.adopt(1000, kAcme, "tokyo", "alice", 1, std::vector{address("10.99.0.10")}, {});
  next.judge_live();
  EXPECT_TRUE(next.take_endings().empty());
  next.set_plan(directory_.plan());
  EXPECT_TRUE(next.take_endings().empty());
  next.adopt(1001, kAcme, "kyoto", "alice", 1, std::vector{address("10.99.0.11")}, {});
  EXPECT_EQ(next.take_endings().size(), 1U);
}

TEST_F(DirectoryTest, WhatADaemonBeforeLeftObeysTheConfiguration) {
  directory_.adopt(1000, kAcme, "tokyo", "alice", 1, std::vector{address("10.99.0.10")}, {});
  alice().set_suspended(true);
  apply();
  EXPECT_EQ(endings(), (Endings{{1000, Cause::kAdmin}}));
}

TEST_F(DirectoryTest, WhatADaemonBeforeLeftEndsWithThePasswordItsUserCameInBy) {
  const Session came = in("alice");
  const std::uint32_t secret = noted_mark(directory_.admitted(came.id)->secret);
  ASSERT_NE(secret, 0U);
  directory_.ended(came.id);
  directory_.adopt(1000, kAcme, "tokyo", "alice", 1, std::vector{address("10.99.0.10")}, {.secret = secret});
  directory_.adopt(1001, kAcme, "tokyo", "alice", 1, std::vector{address("10.99.0.11")}, {});  // by something that is not kept here
  apply();
  EXPECT_EQ(endings(), Endings{}) << "nothing changed";
  alice().set_nt_hash(std::string(16, 'z'));
  apply();
  EXPECT_EQ(endings(), (Endings{{1000, Cause::kAdmin}}));
}

TEST_F(DirectoryTest, WhatADaemonBeforeLeftStaysNoLongerThanFromItsLoginOn) {
  acme().mutable_gateways(0)->set_session_seconds_max(1000);
  apply();
  directory_.adopt(1000, kAcme, "tokyo", "alice", 1, std::vector{address("10.99.0.10")}, {.since = now_ - 600});
  directory_.adopt(1001, kAcme, "tokyo", "bob", 2, std::vector{address("10.99.0.11")}, {.since = now_, .session_seconds = 300});
  now_ += 299;
  directory_.judge_live();
  EXPECT_EQ(endings(), Endings{});
  now_ += 1;
  directory_.judge_live();
  EXPECT_EQ(endings(), (Endings{{1001, Cause::kMaxTime}})) << "by the server's word";
  now_ += 100;
  directory_.judge_live();
  EXPECT_EQ(endings(), (Endings{{1000, Cause::kMaxTime}})) << "by the gateway's, from the login on";
}

TEST_F(DirectoryTest, TheTenantAndTheGroupHaveSoManySessionsAndNoMore) {
  staff().set_replace_oldest(true);
  staff().set_sessions_per_user(1);
  for (const bool of_tenant : {true, false}) {
    acme().set_sessions_max(of_tenant ? 2 : 0);
    staff().set_sessions_max(of_tenant ? 0 : 2);
    acme().mutable_users(2)->clear_groups();
    acme().mutable_users(2)->add_groups("staff");
    apply();
    const Session first = in("alice"), second = in("bob");
    EXPECT_EQ(enter("carol"), Cause::kLimitTenant);
    EXPECT_EQ(endings(), Endings{}) << "who is refused makes nobody go";
    const Session again = in("alice");  // her own older session makes room
    EXPECT_EQ(endings(), (Endings{{first.id, Cause::kReplaced}}));
    EXPECT_EQ(enter("alice", kGlobex), Cause::kNone);
    directory_.ended(second.id);
    const Session third = in("carol");
    for (const Session& one : {first, again, third}) directory_.ended(one.id);
  }
}

TEST_F(DirectoryTest, TheGroupOfAGroupLimitIsItsOwnMembersAlone) {
  auto& other = *acme().add_groups();
  other.set_name("guests");
  other.set_pool("pool");
  other.set_priority(1);
  other.set_sessions_max(1);
  acme().mutable_users(2)->add_groups("guests");
  apply();
  in("alice");
  in("carol");
  EXPECT_EQ(enter("carol"), Cause::kLimitTenant);
  EXPECT_EQ(enter("bob"), Cause::kNone);
}

TEST_F(DirectoryTest, AGroupOfEveryoneTakesWhoeverHasProvenWhoHeIs) {
  staff().set_everyone(true);
  apply();
  const Session carol = in("carol"), stranger = in("nobody@certificate");
  EXPECT_EQ(directory_.admitted(carol.id)->group, "staff");
  EXPECT_EQ(directory_.admitted(stranger.id)->groups, (std::vector<std::string>{"staff"}));
  EXPECT_EQ(enter("nobody@certificate", kGlobex), Cause::kConfig);
  acme().mutable_users(2)->set_suspended(true);
  apply();
  EXPECT_EQ(enter("carol"), Cause::kAdmin);
}

TEST_F(DirectoryTest, ACountryIsThatOfTheLongestPrefixAndStandsBesidePrefixes) {
  const auto add = [this](const char* code, const char* network, std::uint32_t length) {
    auto& country = *acme().add_countries();
    country.set_code(code);
    auto& prefix = *country.add_prefixes();
    prefix.set_address(bytes_of(network));
    prefix.set_length(length);
  };
  add("JP", "203.0.113.0", 24);
  add("FR", "203.0.113.128", 25);
  add("DE", "2001:db8::", 32);
  staff().add_source_countries("JP");
  auto& prefix = *staff().add_source_prefixes();
  prefix.set_address(bytes_of("192.0.2.10"));
  prefix.set_length(32);
  apply();
  EXPECT_EQ(enter("alice", kAcme, "203.0.113.127"), Cause::kNone);
  EXPECT_EQ(enter("alice", kAcme, "203.0.113.128"), Cause::kSourceAddress);
  EXPECT_EQ(enter("alice", kAcme, "2001:db8::1"), Cause::kSourceAddress);
  EXPECT_EQ(enter("alice", kAcme, "198.51.100.1"), Cause::kSourceAddress);
  EXPECT_EQ(enter("alice", kAcme, "192.0.2.10"), Cause::kNone);
  EXPECT_EQ(directory_.plan()->tenant(kAcme)->country_of(address("203.0.113.200")), "FR");
  EXPECT_EQ(directory_.plan()->tenant(kAcme)->country_of(address("2001:db8::9")), "DE");
  EXPECT_EQ(directory_.plan()->tenant(kAcme)->country_of(address("198.51.100.1")), "");
}

TEST_F(DirectoryTest, WhatIsSavedIsKnownToTheNextProcessAndSaidOnce) {
  ipc::VpnMemory saved;
  EXPECT_FALSE(directory_.save(saved)) << "nothing has happened";
  fail("alice", 5);
  fail("bob", 4);
  for (int i = 0; i < 19; ++i) fail("guess" + std::to_string(i), 1, "198.51.100.7");
  const auto four = directory_.lease(in("bob", kGlobex), Family::kIpv4);
  const auto six = directory_.lease(in("bob", kGlobex), Family::kIpv6);
  ASSERT_TRUE(directory_.save(saved));
  ipc::VpnMemory again;
  EXPECT_FALSE(directory_.save(again));
  UserDirectory next([this] { return now_; });
  const auto hash = [&](const char* user, const char* from) {
    std::uint8_t out[16];
    return next.nt_hash({kAcme, 7, {}, {address(from), 500}}, user, out);
  };
  next.restore(saved);
  next.set_plan(directory_.plan());
  EXPECT_EQ(hash("alice", "192.0.2.10"), 0U);
  EXPECT_EQ(hash("bob", "192.0.2.10"), 16U);
  next.wrong_secret({kAcme, 7, {}, {address("203.0.113.1"), 500}}, "bob");
  EXPECT_EQ(hash("bob", "192.0.2.10"), 0U) << "his fifth";
  next.wrong_secret({kAcme, 7, {}, {address("198.51.100.7"), 500}}, "guess19");
  EXPECT_EQ(next.locked({kAcme, 7, {}, {address("198.51.100.7"), 500}}, "carol"), true);
  now_ += Lockout::kLockSeconds;
  EXPECT_EQ(hash("alice", "192.0.2.10"), 16U) << "for as long as before";
  const Session other = session("alice", kGlobex);
  Session bob = session("bob", kGlobex);
  EXPECT_EQ(next.authorize(bob).cause, Cause::kNone);
  EXPECT_EQ(next.lease(bob, Family::kIpv4), four);
  EXPECT_EQ(next.lease(bob, Family::kIpv6), six);
}

TEST_F(DirectoryTest, WhatNobodySavedIsNotTaken) {
  ipc::VpnMemory forged;
  auto& many = *forged.add_failures();
  many.set_tenant(kAcme);
  many.set_user("bob");
  for (int i = 0; i < 5; ++i) many.add_each()->set_at(now_);
  auto& nobody = *forged.add_failures();
  nobody.set_source("12345");
  forged.add_addresses()->set_address("123");
  directory_.restore(forged);
  fail("bob", 4);
  EXPECT_EQ(hash("bob"), 16U);
}

TEST_F(DirectoryTest, AnOperatorLetsInWhoWasShutOut) {
  fail("alice", 5);
  ipc::VpnAnswer answer;
  directory_.list_locked(answer);
  ASSERT_EQ(answer.locked_size(), 1);
  EXPECT_EQ(answer.locked(0).user(), "alice");
  EXPECT_EQ(answer.locked(0).until(), now_ + Lockout::kLockSeconds);
  EXPECT_FALSE(directory_.unlock(kGlobex, "alice"));
  EXPECT_FALSE(directory_.unlock(kAcme, "bob"));
  EXPECT_TRUE(directory_.unlock(kAcme, "ALICE"));
  EXPECT_EQ(hash("alice"), 16U);
}

class DirectoryTestDevices : public DirectoryTest {
 protected:
  DirectoryTestDevices() {
    staff().set_device_policy("standard");
    acme().add_device_policies()->set_name("standard");
    device("nb-1", "alice", "", "a1");
    device("nb-2", "", "staff", "a2");
    device("nb-3", "", "visitors", "a3");
    apply();
  }
  ipc::VpnDevice& device(const char* name, const char* owner, const char* group, const char* serial) {
    auto& out = *acme().add_devices();
    out.set_name(name);
    out.set_owner(owner);
    out.set_owner_group(group);
    out.add_serials(serial);
    return out;
  }
  Session with(std::string_view user, std::string_view serial, std::uint32_t tenant = kAcme) {
    Session out = session(user, tenant);
    ProvenCertificate one;
    one.device = true;
    one.facts.serial = serial;
    out.certificates = std::make_shared<ProvenCertificates>(ProvenCertificates{one});
    return out;
  }
  /// Result, cause and id of the record; and the cause for the session.
  void expect(const Session& who, DeviceVerdict::Result result, DeviceVerdict::Why why, const char* id, Cause cause) {
    const auto out = directory_.authorize(who);
    EXPECT_EQ(out.device.result, result) << id;
    EXPECT_EQ(name_of(out.device.why), name_of(why)) << id;
    EXPECT_EQ(out.device.id, id);
    EXPECT_EQ(out.cause, cause) << id;
    directory_.ended(who.id);
  }
  using Result = DeviceVerdict::Result;
  using Why = DeviceVerdict::Why;
};

TEST_F(DirectoryTestDevices, ADeviceOfTheUserOrOfHisGroupWillDoAndNoOther) {
  expect(with("alice", "a1"), Result::kOk, Why::kNone, "nb-1", Cause::kNone);
  expect(with("bob", "a1"), Result::kFail, Why::kUserMismatch, "nb-1", Cause::kDevice);
  expect(with("bob", "a2"), Result::kOk, Why::kNone, "nb-2", Cause::kNone);
  expect(with("bob", "a3"), Result::kFail, Why::kGroup, "nb-3", Cause::kDevice);
  expect(with("bob", "ff"), Result::kFail, Why::kUnregistered, "", Cause::kDevice);
  expect(session("bob"), Result::kFail, Why::kUnregistered, "", Cause::kDevice);
  expect(with("bob", "a1", kGlobex), Result::kSkipped, Why::kNone, "", Cause::kNone);  // another tenant's register, and no policy
}

TEST_F(DirectoryTestDevices, ADeviceIsKnownByANameItsCertificatesSayWhateverTheirNumber) {
  const auto named = [&](std::string_view serial, std::vector<std::string> names, std::uint32_t tenant = kAcme) {
    Session out = with("alice", serial, tenant);
    auto shown = *out.certificates;
    shown[0].facts.names = std::move(names);
    out.certificates = std::make_shared<ProvenCertificates>(shown);
    return out;
  };
  device("nb-7", "alice", "", "a7").add_identifiers("NB-7.acme.test");
  apply();
  expect(named("ff", {"alice@acme.test", "nb-7.acme.test"}), Result::kOk, Why::kNone, "nb-7", Cause::kNone);
  expect(named("fe", {"nb-7.acme.test"}), Result::kOk, Why::kNone, "nb-7", Cause::kNone);
  expect(named("ff", {"nb-77.acme.test"}), Result::kFail, Why::kUnregistered, "", Cause::kDevice);
  expect(named("ff", {}), Result::kFail, Why::kUnregistered, "", Cause::kDevice);
  expect(named("a1", {"nb-7.acme.test"}), Result::kOk, Why::kNone, "nb-1", Cause::kNone);  // the very certificate says more
  acme().mutable_devices()->rbegin()->set_state(ipc::VpnDevice::DISABLED);
  apply();
  expect(named("ff", {"nb-7.acme.test"}), Result::kFail, Why::kDisabled, "nb-7", Cause::kDevice);
}

TEST_F(DirectoryTestDevices, ADeviceNobodyRegisteredWillDoWhereThePolicySaysSo) {
  acme().mutable_device_policies(0)->set_allow_unknown(true);
  apply();
  expect(with("bob", "ff"), Result::kOk, Why::kNone, "", Cause::kNone);
  expect(session("bob"), Result::kFail, Why::kUnregistered, "", Cause::kDevice);  // without any certificate none is known
  expect(with("bob", "a1"), Result::kFail, Why::kUserMismatch, "nb-1", Cause::kDevice);
}

TEST_F(DirectoryTestDevices, ADevicesStateAndEndActAtTheDoorAndInside) {
  using State = ipc::VpnDevice;
  for (const auto& [state, result, why] : {std::tuple{State::REQUESTED, Result::kPending, Why::kNotApproved},
                                           std::tuple{State::DISABLED, Result::kFail, Why::kDisabled}}) {
    acme().mutable_devices(0)->set_state(state);
    apply();
    expect(with("alice", "a1"), result, why, "nb-1", Cause::kDevice);
    acme().mutable_devices(0)->set_state(State::APPROVED);
    apply();
    const Session in = with("alice", "a1");
    EXPECT_EQ(directory_.authorize(in).cause, Cause::kNone);
    acme().mutable_devices(0)->set_state(state);
    apply();
    EXPECT_EQ(endings(), (Endings{{in.id, Cause::kDevice}}));
    directory_.ended(in.id);
  }
  acme().mutable_devices(0)->set_state(State::APPROVED);
  acme().mutable_devices(0)->set_valid_until(now_ + 60);
  apply();
  const Session in = with("alice", "a1");
  EXPECT_EQ(directory_.authorize(in).cause, Cause::kNone);
  now_ += 59;
  directory_.judge_live();
  EXPECT_EQ(endings(), Endings{});
  now_ += 1;
  directory_.judge_live();
  EXPECT_EQ(endings(), (Endings{{in.id, Cause::kDevice}}));
  directory_.ended(in.id);
  expect(with("alice", "a1"), Result::kFail, Why::kExpired, "nb-1", Cause::kDevice);
}

TEST_F(DirectoryTestDevices, ADeviceNobodyRegisteredWaitsForApprovalWhereThePolicySaysSo) {
  acme().mutable_device_policies(0)->set_request(true);
  apply();
  expect(with("bob", "ff"), Result::kPending, Why::kNotApproved, "", Cause::kDevice);
  expect(session("bob"), Result::kFail, Why::kUnregistered, "", Cause::kDevice);  // without any certificate there is nothing to approve
  expect(with("bob", "a1"), Result::kFail, Why::kUserMismatch, "nb-1", Cause::kDevice);
  device("nb-9", "bob", "", "ff");
  apply();
  expect(with("bob", "ff"), Result::kOk, Why::kNone, "nb-9", Cause::kNone);
}

class DirectoryTestRights : public DirectoryTestDevices {
 protected:
  DirectoryTestRights() {
    staff().clear_device_policy();
    acme().mutable_devices(0)->set_group("laptops");
    grow("laptops", 901);
    grow("", 902);
    apply();
  }
  void grow(const char* group, std::uint32_t id) {
    auto& one = *alice().add_with_device();
    one.set_group(group);
    one.set_id(id);
  }
  /// The UserId rules know somebody by.
  std::uint32_t known(const Session& who) {
    EXPECT_EQ(directory_.authorize(who).cause, Cause::kNone);
    const std::uint32_t out = directory_.admitted(who.id)->user;
    directory_.ended(who.id);
    return out;
  }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> renamed() {
    std::vector<std::pair<std::uint64_t, std::uint32_t>> out;
    for (const auto& one : directory_.take_renamed()) out.emplace_back(one.session, one.user_id);
    return out;
  }
};

TEST_F(DirectoryTestRights, RulesKnowWhoComesWithADeviceThatWillDoByANumberOfItsOwn) {
  const std::uint32_t plain = alice().id();
  EXPECT_EQ(known(session("alice")), plain);
  EXPECT_EQ(known(with("alice", "a1")), 901U);
  EXPECT_EQ(known(with("alice", "a2")), 902U) << "of the group's, in no group that rules tell apart";
  EXPECT_EQ(known(with("alice", "a3")), plain) << "another group's";
  EXPECT_EQ(known(with("alice", "ff")), plain) << "nobody registered it";
  acme().mutable_devices(0)->set_state(ipc::VpnDevice::DISABLED);
  apply();
  EXPECT_EQ(known(with("alice", "a1")), plain);
}

TEST_F(DirectoryTestRights, ADeviceThatWillNoLongerDoChangesWhatRulesMakeOfALiveSession) {
  const Session in = with("alice", "a1");
  ASSERT_EQ(directory_.authorize(in).cause, Cause::kNone);
  EXPECT_TRUE(renamed().empty());
  acme().mutable_devices(0)->set_state(ipc::VpnDevice::DISABLED);
  apply();
  EXPECT_EQ(endings(), Endings{}) << "its group asks for no device";
  EXPECT_EQ(renamed(), (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{in.id, alice().id()}}));
  EXPECT_EQ(directory_.admitted(in.id)->user, alice().id());
  apply();
  EXPECT_TRUE(renamed().empty()) << "said once";
  acme().mutable_devices(0)->set_state(ipc::VpnDevice::APPROVED);
  apply();
  EXPECT_EQ(renamed().size(), 1U);
  EXPECT_EQ(directory_.admitted(in.id)->user, 901U);
}

TEST_F(DirectoryTestRights, WhomNoRuleLetsReachAnythingIsRefusedWhereTheGatewaySaysSo) {
  EXPECT_EQ(known(session("alice")), alice().id());
  acme().mutable_gateways(0)->set_refuse_if_no_permit(true);
  alice().mutable_with_device(0)->set_permitted(true);
  apply();
  const auto refused = directory_.authorize(session("alice"));
  EXPECT_EQ(refused.cause, Cause::kConfig);
  EXPECT_NE(refused.text.find("no rule"), std::string_view::npos);
  const Session in = with("alice", "a1");
  EXPECT_EQ(directory_.authorize(in).cause, Cause::kNone);
  alice().mutable_with_device(0)->set_permitted(false);
  apply();
  EXPECT_EQ(endings(), (Endings{{in.id, Cause::kConfig}}));
}

TEST_F(DirectoryTest, NobodyNewComesInWhileTheLogsDiskIsFullAndWhoIsInStays) {
  staff().set_sessions_per_user(1);
  staff().set_replace_oldest(true);
  apply();
  const Session before = in("alice");
  directory_.set_log_full(true);
  const auto refused = directory_.authorize(session("alice"));
  EXPECT_EQ(refused.cause, Cause::kInternal);
  EXPECT_NE(refused.text.find("the log's disk is full"), std::string_view::npos);
  EXPECT_EQ(enter("bob", kGlobex), Cause::kInternal);
  EXPECT_EQ(enter("carol"), Cause::kConfig) << "who may not come in at all hears that";
  EXPECT_TRUE(directory_.lease(before, Family::kIpv4)) << "a session that stands goes on";
  apply();
  EXPECT_EQ(endings(), Endings{}) << "nobody made room for who was refused";
  directory_.set_log_full(false);
  EXPECT_EQ(enter("bob", kGlobex), Cause::kNone);
}

TEST_F(DirectoryTest, AKeyAgainstQuantumComputersIsOneUsersAlone) {
  alice().set_ppk_id("quantum");
  alice().set_ppk(std::string(32, 'q'));
  apply();
  std::uint8_t key[64];
  const Session who = session("alice");
  EXPECT_EQ(directory_.ppk(who.path, "quantum", key), 32U);
  EXPECT_EQ(directory_.ppk(who.path, "Quantum", key), 0U);
  EXPECT_EQ(directory_.ppk(session("alice", kGlobex).path, "quantum", key), 0U);
  for (const auto& [user, cause] : {std::pair{"alice", Cause::kNone}, std::pair{"bob", Cause::kAuth}}) {
    Session one = session(user);
    one.ppk_id = "quantum";
    EXPECT_EQ(directory_.authorize(one).cause, cause) << user;
  }
}

TEST(VpnPlan, RefusesWhatCannotBe) {
  const auto parse = [](const ipc::VpnConfig& model) {
    const std::string bytes = model.SerializeAsString();
    return parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}).has_value();
  };
  EXPECT_TRUE(parse(config()));
  const std::vector<void (*)(ipc::VpnTenant&)> breakages{
      [](auto& t) { t.set_id(kGlobex); },
      [](auto& t) { t.mutable_gateways(0)->set_profile("wonderful"); },
      [](auto& t) { t.mutable_gateways(0)->add_addresses("12345"); },
      [](auto& t) { t.mutable_users(0)->set_name("BOB"); },
      [](auto& t) { t.mutable_users(0)->set_nt_hash("short"); },
      [](auto& t) { t.mutable_users(0)->set_id(0); },
      [](auto& t) { add_range(*t.mutable_pools(0), "10.0.0.2", "10.0.0.1"); },
      [](auto& t) { add_range(*t.mutable_pools(0), "10.0.0.2", "fd00::1"); },
      [](auto& t) { t.mutable_groups(0)->add_login()->set_to_minute(1441); },
      [](auto& t) { t.add_countries()->add_prefixes()->set_address("12345"); },
      [](auto& t) { t.add_devices(); },
      [](auto& t) {
        for (const char* name : {"one", "two"}) t.add_devices()->set_name(name), t.mutable_devices()->rbegin()->add_serials("a1");
      },
      [](auto& t) { t.mutable_users(0)->set_ppk_id("q"), t.mutable_users(1)->set_ppk_id("q"); },
  };
  for (const auto breakage : breakages) {
    ipc::VpnConfig model = config();
    breakage(*model.mutable_tenants(0));
    EXPECT_FALSE(parse(model));
  }
}

TEST(VpnLeases, AnAddressThatAnotherDaemonsSessionHoldsIsPassedByUntilItIsGivenBack) {
  Leases leases;
  const std::array pool{AddressRange{Address::from_v4(0x0a090000), Address::from_v4(0x0a090001)}};
  std::uint64_t replaced = 0;
  const LeaseRequest hana{1, 1, "hana", Family::kIpv4, {}, pool, nullptr};
  const Address usual = leases.acquire(hana, replaced).value();
  leases.release(1);
  leases.foreign(1, usual, true);
  const auto next = leases.acquire(hana, replaced);
  ASSERT_TRUE(next.has_value());
  EXPECT_NE(*next, usual) << "his next candidate";
  EXPECT_EQ(leases.acquire({1, 2, "taro", Family::kIpv4, {}, pool, nullptr}, replaced), std::nullopt);
  EXPECT_EQ(leases.acquire({1, 2, "taro", Family::kIpv4, std::span(&usual, 1), pool, nullptr}, replaced), std::nullopt) << "not his own either";
  EXPECT_EQ(leases.acquire({2, 2, "taro", Family::kIpv4, std::span(&usual, 1), pool, nullptr}, replaced), usual) << "of another tenant";
  leases.foreign(1, usual, false);
  EXPECT_EQ(leases.acquire({1, 3, "taro", Family::kIpv4, {}, pool, nullptr}, replaced), usual);
  leases.foreign(1, *next, true);
  leases.release(1);
  leases.forget_foreign();
  EXPECT_TRUE(leases.acquire(hana, replaced).has_value());
}

TEST(VpnLeases, EveryAddressOfAPoolIsGivenOnceAndNoneBesides) {
  Leases leases;
  const std::vector<AddressRange> pool{{address("10.0.0.250"), address("10.0.1.5")}, {address("10.9.0.0"), address("10.9.0.3")}};
  std::set<Address> given;
  for (std::uint64_t session = 1; session <= 16; ++session) {
    std::uint64_t replaced = 0;
    const auto one = leases.acquire({1, session, "user" + std::to_string(session), Family::kIpv4, {}, pool, nullptr}, replaced);
    ASSERT_TRUE(one.has_value());
    EXPECT_TRUE(given.insert(*one).second);
    EXPECT_TRUE((pool[0].first <= *one && *one <= pool[0].last) || (pool[1].first <= *one && *one <= pool[1].last));
  }
  std::uint64_t replaced = 0;
  EXPECT_EQ(leases.acquire({1, 17, "late", Family::kIpv4, {}, pool, nullptr}, replaced), std::nullopt);
  leases.release(3);
  EXPECT_TRUE(leases.acquire({1, 17, "late", Family::kIpv4, {}, pool, nullptr}, replaced).has_value());
}

TEST(VpnLockout, RemembersNoMoreThanItsBoundAndKeepsTheNewest) {
  Lockout lockout;
  for (std::size_t i = 0; i < Lockout::kEntriesMax + 10; ++i) {
    lockout.failed(1, "u" + std::to_string(i), Address::from_v4(static_cast<std::uint32_t>(i)), static_cast<std::int64_t>(i / 1000));
  }
  for (int i = 0; i < 4; ++i) lockout.failed(1, "u" + std::to_string(Lockout::kEntriesMax + 9), Address::from_v4(9), 17);
  EXPECT_TRUE(lockout.user_locked(1, "u" + std::to_string(Lockout::kEntriesMax + 9), 18));
}

/// A session of another daemon's, whose user has that name.
class DirectoryTestOthers : public DirectoryTest {
 protected:
  /// The number by which the data plane knows `user`, as a session of ours would say it.
  std::uint64_t account_of(std::string_view user) {
    const Session probe = in(user, kGlobex);
    const std::uint64_t out = directory_.admitted(probe.id)->account;
    directory_.ended(probe.id);
    return out;
  }
  void elsewhere(std::uint32_t tunnel, std::string_view user, bool held = true, std::int64_t since = kMondayNoonJapan) {
    directory_.foreign_lease({kAcme, Address::from_v4(0x0a630100 + tunnel), held, tunnel, account_of(user), staff_, since});
  }
  std::uint64_t staff_ = [this] {
    const Session probe = in("bob", kGlobex);
    const std::uint64_t out = directory_.admitted(probe.id)->account_group;
    directory_.ended(probe.id);
    return out;
  }();
};

TEST_F(DirectoryTestOthers, SessionsOfOtherDaemonsCountAndAreNoLongerCountedWhenTheyEnd) {
  staff().set_sessions_per_user(1);
  apply();
  elsewhere(1, "alice");
  EXPECT_EQ(enter("ALICE"), Cause::kLimitUser);
  EXPECT_EQ(enter("bob"), Cause::kNone);
  elsewhere(1, "alice", false);
  const Session alice = in("alice");
  EXPECT_EQ(directory_.admitted(alice.id)->sessions, 1U);
  EXPECT_EQ(directory_.admitted(alice.id)->others, 0U) << "two at once are one too many";
}

TEST_F(DirectoryTestOthers, TheOldestMakesRoomWhereverItIs) {
  staff().set_sessions_per_user(2);
  staff().set_replace_oldest(true);
  apply();
  elsewhere(1, "alice", true, kMondayNoonJapan - 60);
  const Session first = in("alice");
  EXPECT_TRUE(directory_.admitted(first.id)->displaced.empty());
  EXPECT_EQ(directory_.admitted(first.id)->others, 1U);
  now_ += 10;
  const Session second = in("alice");
  EXPECT_EQ(directory_.admitted(second.id)->displaced, std::vector<std::uint32_t>{1});
  EXPECT_EQ(directory_.admitted(second.id)->others, 0U);
  EXPECT_TRUE(endings().empty()) << "ours is younger";
  elsewhere(1, "alice", false);
  now_ += 10;
  in("alice");
  EXPECT_EQ(endings(), (Endings{{first.id, Cause::kReplaced}}));
}

TEST_F(DirectoryTestOthers, GroupAndTenantCountThemToo) {
  staff().set_sessions_max(2);
  apply();
  elsewhere(1, "alice");
  elsewhere(2, "alice");
  EXPECT_EQ(enter("bob"), Cause::kLimitTenant);
  EXPECT_EQ(enter("bob", kGlobex), Cause::kNone);
  directory_.forget_foreign_leases();
  EXPECT_EQ(enter("bob"), Cause::kNone);
}

TEST_F(DirectoryTest, AnotherPasswordEndsWhoCameInByTheOneBeforeAndNobodyElse) {
  const Session alice_in = in("alice"), bob_in = in("bob");
  Session by_certificate = session("alice");
  by_certificate.gateway = "tokyo certificate";
  EXPECT_EQ(directory_.authorize(by_certificate).cause, Cause::kNone);
  apply();
  EXPECT_TRUE(endings().empty()) << "nothing changed";
  alice().set_nt_hash(std::string(16, 'z'));
  apply();
  EXPECT_EQ(endings(), (Endings{{alice_in.id, Cause::kAdmin}}));
  directory_.ended(alice_in.id);
  acme().mutable_users(1)->clear_nt_hash();
  apply();
  EXPECT_EQ(endings(), (Endings{{bob_in.id, Cause::kAdmin}}));
}

TEST_F(DirectoryTest, AKeyThatIsTakenAwayEndsItsSessions) {
  alice().set_psk("a key of twenty letters");
  apply();
  Session by_key = session("alice");
  by_key.gateway = "tokyo psk";
  EXPECT_EQ(directory_.authorize(by_key).cause, Cause::kNone);
  alice().set_nt_hash(std::string(16, 'z'));
  apply();
  EXPECT_TRUE(endings().empty()) << "he did not come in by his password";
  alice().clear_psk();
  apply();
  EXPECT_EQ(endings(), (Endings{{by_key.id, Cause::kAdmin}}));
}

}  // namespace
}  // namespace sekisho::vpn
