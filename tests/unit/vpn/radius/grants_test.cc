// SPDX-License-Identifier: Apache-2.0
// Goal: who is judged by which backend, and what its word means for admission, groups and addresses.
#include <gtest/gtest.h>

#include "base/proto/control_vpn.pb.h"
#include "vpn/directory.h"

namespace sekisho::vpn {
namespace {

constexpr std::uint32_t kSales = 70, kOthers = 71;

std::string bytes_of(std::string_view text) {
  const Address one = *parse_address(text);
  return {one.wire().begin(), one.wire().end()};
}

ipc::VpnConfig config() {
  ipc::VpnConfig out;
  out.set_generation(5);
  auto& tenant = *out.add_tenants();
  tenant.set_id(1);
  auto& gateway = *tenant.add_gateways();
  gateway.set_name("tokyo");
  gateway.set_profile("modern");
  gateway.set_tunnel_port(41);
  gateway.set_accept_eap_radius(true);
  gateway.set_accept_eap_mschapv2(true);
  for (const char* name : {"any", "realm"}) gateway.add_radius(name);
  for (const char* name : {"own", "gone"}) {
    auto& user = *tenant.add_users();
    user.set_id(static_cast<std::uint32_t>(tenant.users_size()));
    user.set_name(name);
    user.add_groups("staff");
    user.set_nt_hash(std::string(16, 'h'));
  }
  tenant.mutable_users(1)->set_suspended(true);
  tenant.mutable_users(0)->add_static_addresses(bytes_of("10.99.0.19"));
  auto& group = *tenant.add_groups();
  group.set_name("staff");
  group.set_pool("pool");
  auto& pool = *tenant.add_pools();
  pool.set_name("pool");
  auto& range = *pool.add_ranges();
  range.set_first(bytes_of("10.99.0.10"));
  range.set_last(bytes_of("10.99.0.20"));
  for (const char* name : {"any", "realm"}) {
    auto& backend = *tenant.add_radius();
    backend.set_name(name);
    backend.set_source(bytes_of("10.0.0.1"));
    auto& server = *backend.add_servers();
    server.set_address(bytes_of("10.0.0.2"));
    server.set_secret("secret");
    server.set_port(1812);
    server.set_accounting_port(1813);
    const std::uint32_t base = backend.name() == "any" ? 0 : 10;
    auto& sales = *backend.add_groups();
    sales.set_value("sales");
    sales.set_id(base + kSales);
    sales.add_groups("staff");
    sales.add_groups("rules only");
    backend.add_groups()->set_id(base + kOthers);
  }
  tenant.mutable_radius(1)->add_realms("Example.JP");
  return out;
}

class Grants : public testing::Test {
 protected:
  Grants() { apply(); }
  void apply() {
    const std::string bytes = model_.SerializeAsString();
    auto plan = parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    ASSERT_TRUE(plan.has_value());
    directory_.set_plan(*plan);
  }
  std::string judge(std::string_view name) {
    const auto plan = directory_.plan();
    const GatewayPlan& at = plan->tenant(1)->gateways[0];
    const RadiusPlan* found = plan->tenant(1)->backend_of(name, at, at.gateway.accept_eap_mschapv2);
    return found == nullptr ? "" : found->name;
  }
  Session session(std::string_view user) {
    Session out;
    out.id = ++last_;
    out.path = {1, 7, {*parse_address("192.0.2.1"), 4500}, {*parse_address("192.0.2.10"), 4500}};
    out.user = user;
    out.gateway = "tokyo eap-radius";
    return out;
  }
  Session granted(std::string_view user, std::uint32_t id, std::vector<Address> addresses = {}) {
    const Session out = session(user);
    directory_.grant(out.id, {"any", id, std::move(addresses), 60, "eap-tls"});
    return out;
  }

  ipc::VpnConfig model_ = config();
  UserDirectory directory_{[] { return std::int64_t{0}; }};
  std::uint64_t last_ = 0;
};

TEST_F(Grants, TheRealmChoosesThenTheDirectoryThenWhoeverHasNoRealms) {
  EXPECT_EQ(judge("hana@example.jp"), "realm");
  EXPECT_EQ(judge("own@EXAMPLE.jp"), "realm");
  EXPECT_EQ(judge("hana@example.jp@elsewhere"), "any");
  EXPECT_EQ(judge("example.jp"), "any");
  EXPECT_EQ(judge("OWN"), "");
  model_.mutable_tenants(0)->mutable_gateways(0)->set_accept_eap_mschapv2(false);
  apply();
  EXPECT_EQ(judge("own"), "any");
}

TEST_F(Grants, TheDevicesAddressThatAServerSaysIsTheAttemptsAndProvesNothing) {
  const Session hana = session("hana");
  directory_.grant(hana.id, {"any", kSales, {}, 60, "eap-tls", *parse_mac("00:10:a4:23:19:c0")});
  const auto said = directory_.authorize(hana);
  EXPECT_EQ(to_string(said.device.mac), "00:10:a4:23:19:c0");
  EXPECT_EQ(said.device.result, DeviceVerdict::Result::kSkipped);
  EXPECT_TRUE(directory_.authorize(granted("taro", kSales)).device.mac.is_zero());
}

TEST_F(Grants, AGrantAdmitsWhomTheDirectoryDoesNotKnowIntoItsGroups) {
  const Session known = granted("hana", kSales);
  EXPECT_EQ(directory_.authorize(known).cause, Cause::kNone);
  const auto admitted = directory_.admitted(known.id);
  ASSERT_TRUE(admitted.has_value());
  EXPECT_EQ(admitted->user, kSales);
  EXPECT_EQ(admitted->groups, (std::vector<std::string>{"staff", "rules only"}));
  EXPECT_EQ(admitted->group, "staff");
  EXPECT_EQ(admitted->backend, "any");
  EXPECT_EQ(admitted->session_seconds, 60U);
  EXPECT_NE(admitted->person, 0U);
  EXPECT_EQ(directory_.authorize(granted("hana", kOthers)).cause, Cause::kConfig) << "in no group";
  EXPECT_EQ(directory_.authorize(session("hana")).cause, Cause::kConfig) << "without a grant";
}

TEST_F(Grants, AGrantIsForItsSessionAndOnce) {
  const Session first = granted("hana", kSales);
  EXPECT_EQ(directory_.authorize(first).cause, Cause::kNone);
  directory_.ended(first.id);
  EXPECT_EQ(directory_.authorize(first).cause, Cause::kConfig);
  const Session never = granted("hana", kSales);
  directory_.ended(never.id);
  EXPECT_EQ(directory_.authorize(never).cause, Cause::kConfig);
}

TEST_F(Grants, SuspensionInTheDirectoryOutweighsAGrant) { EXPECT_EQ(directory_.authorize(granted("Gone", kSales)).cause, Cause::kAdmin); }

TEST_F(Grants, AnAddressCountsWhereThePoolHoldsItAndNobodyElseHasIt) {
  const auto leased = [&](std::string_view user, std::string_view wanted) {
    const Session one = granted(user, kSales, {*parse_address(wanted)});
    EXPECT_EQ(directory_.authorize(one).cause, Cause::kNone);
    const auto out = directory_.lease(one, Family::kIpv4);
    return out ? to_string(*out) : std::string();
  };
  EXPECT_EQ(leased("a", "10.99.0.15"), "10.99.0.15");
  EXPECT_EQ(leased("b", "10.99.0.15"), "") << "a's";
  EXPECT_NE(leased("c", "10.99.0.19"), "10.99.0.19") << "another user's own";
  EXPECT_NE(leased("d", "10.99.0.21"), "10.99.0.21") << "of no pool";
}

TEST_F(Grants, AGroupThatIsTakenOutEndsItsSessions) {
  const Session one = granted("hana", kSales);
  EXPECT_EQ(directory_.authorize(one).cause, Cause::kNone);
  apply();
  EXPECT_TRUE(directory_.take_endings().empty());
  model_.mutable_tenants(0)->mutable_radius(0)->mutable_groups(0)->set_id(99);
  apply();
  const auto endings = directory_.take_endings();
  ASSERT_EQ(endings.size(), 1U);
  EXPECT_EQ(endings[0].cause, Cause::kConfig);
}

TEST_F(Grants, SessionsLeftByADaemonBeforeStayInTheirGroup) {
  directory_.adopt(1000, 1, "tokyo", "hana", kSales, std::vector{*parse_address("10.99.0.15")}, {});
  EXPECT_TRUE(directory_.take_endings().empty());
  const Session again = granted("hana", kSales);
  EXPECT_EQ(directory_.authorize(again).cause, Cause::kNone);
  EXPECT_EQ(directory_.lease(again, Family::kIpv4), parse_address("10.99.0.15").value());
}

}  // namespace
}  // namespace sekisho::vpn
