// SPDX-License-Identifier: Apache-2.0
// Goal: a difference is told in the words of the document, and only differences in meaning are told.
#include <gtest/gtest.h>

#include "control/config/diff.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

std::string diff(std::string_view before, std::string_view after) {
  std::string out;
  for (const Change& change : diff_models(decode_document(before).model, decode_document(after).model)) {
    constexpr const char* kSigns[] = {"+", "-", "~", ">"};
    out += kSigns[static_cast<std::size_t>(change.kind)];
    out += " " + change.path + " | " + change.before + " | " + change.after + "\n";
  }
  return out;
}

TEST(Diff, SaysNothingOfEqualModels) {
  EXPECT_EQ(diff(kExample, kExample), "");
  EXPECT_EQ(diff(kExample, encode_document(decode_document(kExample).model)), "");
  EXPECT_EQ(diff(kExample, with(kExample, "mtu: 1500", "")), "") << "a default written out or left out means the same";
  EXPECT_EQ(diff(kExample, with(kExample, "entries: [10.0.1.0/24, \"fd00:0:0:2::/64\"]", "entries: [\"fd00:0:0:2::/64\", 10.0.1.0/24]")), "");
}

TEST(Diff, NamesAChangedFieldByNames) {
  EXPECT_EQ(diff(kExample, with(kExample, "action: reject", "action: drop")),
            "~ tenants[acme].policies[inside].rules[印刷機は拒否].action | reject | drop\n");
  EXPECT_EQ(diff(kExample, with(kExample, "enabled: false", "enabled: true")),
            "~ tenants[acme].policies[inside].rules[switched off].enabled | false | true\n");
  EXPECT_EQ(diff(kExample, with(kExample, "arp: { rate: 31", "arp: { rate: 32")), "~ tenants[acme].bindings[web1-eth0].meters.arp.rate | 31 | 32\n");
}

TEST(Diff, ShowsListsWhole) {
  EXPECT_EQ(diff(kExample, with(kExample, "members: [http, ping]", "members: [http]")),
            "~ tenants[acme].service_groups[web].members | [http, ping] | [http]\n");
}

TEST(Diff, TellsAddedAndRemovedObjects) {
  EXPECT_EQ(diff(kExample, with(kExample, "      - { name: printer, entries: [10.0.1.77] }\n", "      - { name: scanner, entries: [10.0.1.78] }\n")),
            "- tenants[acme].addresses[printer] | { name: printer, entries: [\"10.0.1.77\"] } | \n"
            "+ tenants[acme].addresses[scanner] |  | { name: scanner, entries: [\"10.0.1.78\"] }\n");
  EXPECT_EQ(diff("{}", "tenants: [ { service_code: acm00000001, name: acme } ]"),
            "+ tenants[acme] |  | { service_code: acm00000001, name: acme }\n");
}

TEST(Diff, TellsAnAbsentValueFromOneThatIsThere) {
  EXPECT_EQ(diff(kExample, with(kExample, "type: 8, code: 0", "type: 8")),
            "~ tenants[acme].services[ping].icmp | [{ type: 8, code: 0 }] | [{ type: 8 }]\n");
  EXPECT_EQ(diff(kExample, with(kExample, ", id: 6f1d2c84-0000-4000-8000-000000000001", "")),
            "- tenants[acme].policies[inside].rules[web allowed].id | \"6f1d2c84-0000-4000-8000-000000000001\" | \n");
}

TEST(Diff, TellsOneMoveOfARuleNotTwo) {
  const std::string moved = with(with(kExample, "          - { name: not web, action: drop, service: [web], service_not: true }\n", ""),
                                 "          - { name: rest, action: allow, log: both }\n",
                                 "          - { name: rest, action: allow, log: both }\n          - { name: not web, action: drop, service: [web], service_not: true }\n");

  EXPECT_EQ(diff(kExample, moved), "> tenants[acme].policies[outside].rules[not web] | 1 | 3\n");
}

}  // namespace
}  // namespace sekisho::control::test
