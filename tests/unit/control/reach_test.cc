// SPDX-License-Identifier: Apache-2.0
#include "control/api/reach.h"

#include <gtest/gtest.h>

#include "control/config/codec.h"
#include "control/config/validate.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kNow = 1'764'000'000;  // 2025-11-24

class ReachTest : public testing::Test {
 protected:
  /// A tenant with this in its `policies`, and this after it.
  void load(const std::string& policies, const std::string& users = "{name: ken, groups: [sales]}", const std::string& gateway = "") {
    const std::string text = R"(
tenants:
- service_code: acm00000001
  name: a
  zones: [inside, ra, lab, outside]
  ports:
  - {name: ra0, kind: tunnel, zone: ra}
  - {name: ra1, kind: tunnel, zone: lab}
  addresses:
  - {name: web, entries: [10.0.0.80]}
  - {name: low half, entries: [10.9.0.0-10.9.0.127]}
  - {name: pool, entries: [10.9.0.0/24]}
  - {name: else, entries: [192.0.2.0/24]}
  address_groups:
  - {name: upper half, members: [pool], exclude: [low half]}
  services: [{name: https, protocol: tcp, destination_ports: [443]}]
  user_groups:
  - {name: sales, priority: 20, pool: staff}
  - {name: it, priority: 10, pool: staff}
  - {name: all, everyone: true}
  pools:
  - {name: staff, tunnel: ra0, ranges: [10.9.0.0/24]}
  users: [)" + users + R"(]
  gateways:
  - {name: hq, addresses: [192.0.2.1], port: out, tunnel: ra0, identity: vpn.example}
)" + gateway + "\n  policies:\n" + policies;
    Decoded decoded = decode_document(text);
    std::string errors;
    for (const Finding& one : decoded.findings) errors += one.path + ' ' + one.sentence + '\n';
    ASSERT_EQ(decoded.model.tenants_size(), 1) << errors;
    tenant_ = decoded.model.tenants(0);
  }
  /// "POLICY/RULE:ACTION" in order, "*" behind one that takes a part; "-" is a default.
  std::string rules(const std::string& user = "ken") const {
    const auto found = reach_of(tenant_, user, kNow);
    if (!found) return "nobody";
    std::string out;
    for (const auto& one : found->rules()) {
      out += one.policy() + '/' + (one.rule().empty() ? "-" : one.rule()) + ':' + one.action() + (one.part() ? "* " : " ");
    }
    return out;
  }

  model::Tenant tenant_;
};

TEST_F(ReachTest, RulesOfHisGroupsAndOfAnyoneInOrderAndNoOthers) {
  load(R"(
  - name: p
    from: [ra]
    rules:
    - {name: his, action: allow, users: [sales], destination: [web], service: [https]}
    - {name: of it, action: allow, users: [it]}
    - {name: of all, action: reject, users: [all, it]}
    - {name: off, action: allow, enabled: false}
    - {name: over, action: allow, valid_until: "2025-01-01 00:00"}
    - {name: until, action: allow, valid_until: "2027-01-01 00:00"}
  - name: later
    rules: [{name: anyone, action: allow}]
)");
  EXPECT_EQ(rules(), "p/his:allow p/of all:reject p/until:allow p/-:drop ") << "what is behind a default that takes all is never reached";
  const auto found = reach_of(tenant_, "ken", kNow);
  EXPECT_EQ(found->rules(0).destination(0), "web");
  EXPECT_EQ(found->rules(0).service(0), "https");
  EXPECT_EQ(found->rules(0).number(), 1U);
  EXPECT_EQ(found->rules(2).number(), 6U);
  ASSERT_EQ(found->doors_size(), 1);
  EXPECT_EQ(found->doors(0).gateway(), "hq");
  EXPECT_EQ(found->doors(0).zone(), "ra");
  EXPECT_EQ(found->doors(0).group(), "sales");
  EXPECT_EQ(found->doors(0).addresses(0), "10.9.0.0/24");
  EXPECT_EQ(rules("kenji"), "nobody");
}

TEST_F(ReachTest, OtherZonesAreNotHis) {
  load(R"(
  - {name: inner, from: [inside], rules: [{name: a, action: allow}]}
  - {name: out, from: [ra, inside], to: [outside], rules: [{name: b, action: allow, source_zones: [inside]}, {name: c, action: allow}]}
  - {name: in, from: [ra], to: [inside], rules: [{name: d, action: allow, destination_zones: [outside]}, {name: e, action: allow, destination_zones: [inside]}]}
)");
  EXPECT_EQ(rules(), "out/c:allow out/-:drop in/e:allow in/-:drop ") << "defaults that take a part of the zones stop nothing else";
}

TEST_F(ReachTest, OnlyWhatHisAddressesMatch) {
  const std::string policies = R"(
  - name: p
    rules:
    - {name: low, action: allow, source: [low half]}
    - {name: upper, action: allow, source: [upper half]}
    - {name: all of it, action: allow, source: [pool]}
    - {name: else, action: allow, source: [else]}
    - {name: all but else, action: allow, source: [else], source_not: true}
    - {name: all but his, action: allow, source: [pool], source_not: true}
)";
  load(policies);
  EXPECT_EQ(rules(), "p/low:allow* p/upper:allow* p/all of it:allow p/all but else:allow p/-:drop ");
  load(policies, "{name: ken, groups: [sales], static_addresses: [10.9.0.7]}");
  EXPECT_EQ(rules(), "p/low:allow p/all of it:allow p/all but else:allow p/-:drop ") << "an address of his own is his only one";
}

TEST_F(ReachTest, SeveralGatewaysAndNone) {
  const std::string policies = "  - {name: p, from: [lab], rules: [{name: a, action: allow}]}\n";
  load(policies, "{name: ken, groups: [sales]}, {name: eve}, {name: off, groups: [sales], suspended: true}, {name: both, groups: [sales, it]}",
       "  - {name: second, addresses: [192.0.2.2], port: out, tunnel: ra1, identity: b.example, default_group: it}");
  EXPECT_EQ(rules("ken"), "p/a:allow* p/-:drop* ") << "by one of two gateways";
  EXPECT_EQ(rules("eve"), "p/a:allow p/-:drop ") << "the default group of one of them alone lets her in";
  EXPECT_EQ(reach_of(tenant_, "eve", kNow)->doors(0).group(), "it");
  EXPECT_EQ(rules("off"), "");
  EXPECT_TRUE(reach_of(tenant_, "off", kNow)->suspended());
  EXPECT_EQ(reach_of(tenant_, "both", kNow)->doors(0).group(), "it") << "the lowest number";
}

TEST_F(ReachTest, DevicesAndSchedulesAreSaid) {
  load(R"(
  - name: p
    rules:
    - {name: a, action: allow, users: [sales], device: proven, schedule: hours}
    - {name: b, action: allow, users: [sales], device_groups: [laptops]}
    - {name: c, action: allow, users: [sales]}
)");
  const auto found = reach_of(tenant_, "ken", kNow);
  ASSERT_EQ(found->rules_size(), 4);
  EXPECT_TRUE(found->rules(0).device());
  EXPECT_EQ(found->rules(0).schedule(), "hours");
  EXPECT_TRUE(found->rules(1).device());
  EXPECT_EQ(found->rules(1).device_groups(0), "laptops");
  EXPECT_FALSE(found->rules(2).device());
}

}  // namespace
}  // namespace sekisho::control
