// SPDX-License-Identifier: Apache-2.0
// Goal: the tables of NAT name each tenant's rules and blocks by what the data plane reports, joined by number.
#include <gtest/gtest.h>

#include "control/compile/compiler.h"
#include "control/show/tables.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

constexpr std::string_view kDocument = R"(tenants:
  - service_code: acm00000001
    name: acme
    zones: [a]
    nat:
      - { name: out, kind: napt, translated: [203.0.113.20], log: both }
      - { name: in, kind: dnat, translated: [10.0.0.2], translated_port: 443, enabled: false }
  - service_code: glo00000002
    name: globex
    zones: [a]
    nat: [ { name: out, kind: napt, translated: [203.0.113.40] } ]
)";

class ShowNat : public testing::Test {
 protected:
  static std::string row_of(const ipc::Table& table, int row) {
    std::string out;
    for (const auto& cell : table.rows(row).cells()) out += cell + '|';
    return out;
  }
  std::uint32_t number(int tenant, int rule) {
    const auto& owner = decoded_.model.tenants(tenant);
    return ids_.number(IdKind::kRule, rule_key(owner.service_code(), nat_rule_uuid(ids_, owner, owner.nat(rule))));
  }
  [[nodiscard]] ShowContext context(std::string_view tenant) { return {decoded_.model, names_, ids_, tenant, 0, 0}; }

  Ids ids_;
  Decoded decoded_ = decode_document(kDocument);
  ipc::NameTable names_ = make_name_table(decoded_.model, ids_, 1);
};

TEST_F(ShowNat, RulesStandInOrderWithTheCountsOfTheirOwnNumbers) {
  ipc::NatReport report;
  auto& use = *report.add_rules();
  use.set_rule(number(0, 0));
  use.set_connections(7), use.set_sessions(3), use.set_ports(2), use.set_blocks(1), use.set_blocks_all(64);
  const ipc::Table all = show_nat(context(""), report);
  ASSERT_EQ(all.rows_size(), 3);
  EXPECT_TRUE(row_of(all, 0).starts_with("acme|1|out|napt|yes|203.0.113.20|both|7|3|2|1|64|-|-|")) << row_of(all, 0);
  EXPECT_TRUE(row_of(all, 1).starts_with("acme|2|in|dnat|no|10.0.0.2 port 443|none|0|0||||-|-|")) << row_of(all, 1);
  EXPECT_TRUE(row_of(all, 2).starts_with("globex|1|out|napt|yes|203.0.113.40|none|0|0|0|0|0|")) << "the other tenant's rule of the same name";
  EXPECT_EQ(show_nat(context("globex"), report).rows_size(), 1);
}

TEST_F(ShowNat, BlocksNameTheirInsideAddressOfTheAskedTenantAlone) {
  ipc::NatReport report;
  for (int tenant = 0; tenant < 2; ++tenant) {
    auto& block = *report.add_blocks();
    block.set_rule(number(tenant, 0));
    block.set_tenant(ids_.number(IdKind::kTenant, tenant_key(decoded_.model.tenants(tenant).service_code())));
    block.set_inside(std::string("\x0a\x00\x00\x22", 4)), block.set_outside(std::string("\xcb\x00\x71\x14", 4));
    block.set_first(1152), block.set_count(64), block.set_ports(5), block.set_sessions(9);
  }
  EXPECT_EQ(show_nat_blocks(context(""), report).rows_size(), 2);
  const ipc::Table one = show_nat_blocks(context("acme"), report);
  ASSERT_EQ(one.rows_size(), 1);
  EXPECT_EQ(row_of(one, 0), "acme|out|10.0.0.34|203.0.113.20|1152|1215|5|9|");
}

}  // namespace
}  // namespace sekisho::control::test
