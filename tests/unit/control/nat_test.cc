// SPDX-License-Identifier: Apache-2.0
// Goal: NAT rules of a document mean in the snapshot what they say, and wrong ones are refused by name. Method: the example
// document with a nat list, asked through the data plane's own functions.
#include <gtest/gtest.h>

#include "filters/nat/nat_rules.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using filters::NatOutcome;
using filters::PolicyQuery;

constexpr std::string_view kRoutes = "    routes:\n";
constexpr std::string_view kAddresses = "      - { name: printer, entries: [10.0.1.77] }\n";

std::string with_nat(std::string_view rules) {
  const std::string more = std::string(kAddresses) +
                           "      - { name: public, entries: [203.0.113.17] }\n"
                           "      - { name: server, entries: [10.0.0.2] }\n"
                           "      - { name: six, entries: [\"fd00:0:0:1::/64\"] }\n";
  return with(with(kExample, kAddresses, more), kRoutes, "    nat:\n" + std::string(rules) + std::string(kRoutes));
}

class NatDocument : public testing::Test {
 protected:
  std::string load(std::string_view rules) {
    decoded_ = decode_document(with_nat(rules));
    std::string out;
    auto findings = validate(decoded_);
    if (!has_errors(findings)) {
      compiled_ = compile(decoded_.model, decoded_.positions, ids_, 1);
      findings = compiled_.findings;
    }
    for (const auto& finding : findings) out += finding.sentence + '\n';
    return out;
  }
  [[nodiscard]] filters::SnapshotView view() const { return filters::SnapshotView::parse(compiled_.snapshot).value(); }
  static PolicyQuery query(std::uint8_t from, std::string_view source, std::uint8_t to, std::string_view destination, std::uint16_t port) {
    return {.tenant_index = 0, .source_zone = from, .destination_zone = to, .source = parse_address(source).value(),
            .destination = parse_address(destination).value(), .protocol = 6, .source_port = 40000, .destination_port = port,
            .icmp_type = 0, .icmp_code = 0};
  }
  [[nodiscard]] Address source(const PolicyQuery& asked) const {
    const auto step = filters::nat_source(view(), asked);
    return step.outcome == NatOutcome::kTranslated ? step.address : Address{};
  }

  Ids ids_;
  Decoded decoded_;
  Compiled compiled_;
};

TEST_F(NatDocument, EveryKindMeansWhatItSays) {
  ASSERT_EQ(load("      - { name: stay, kind: no-nat, source: [printer] }\n"
                 "      - { name: out, kind: napt, source: [office-net], destination_zones: [internet], translated: [203.0.113.20-203.0.113.23], block_ports: 900 }\n"
                 "      - { name: web, kind: dnat, destination: [public], service: [http], translated: [10.0.0.2], translated_port: 8080 }\n"
                 "      - { name: one, kind: \"1:1\", source: [server], destination_zones: [internet], translated: [203.0.113.30] }\n"
                 "      - { name: six, kind: nptv6, source: [six], destination_zones: [internet], translated: [\"2001:db8:a:1::/64\"] }\n"
                 "      - { name: off, kind: snat, enabled: false, translated: [203.0.113.31] }\n"),
            "");
  EXPECT_EQ(view().nat_rules().size(), 5U);
  EXPECT_EQ(source(query(1, "10.0.1.0", 2, "8.8.8.8", 53)), parse_address("203.0.113.20").value());
  EXPECT_EQ(source(query(1, "10.0.1.255", 2, "8.8.8.8", 53)), parse_address("203.0.113.23").value());
  EXPECT_EQ(source(query(1, "10.0.1.77", 2, "8.8.8.8", 53)), Address{});
  EXPECT_EQ(source(query(1, "10.0.1.2", 0, "10.0.0.2", 53)), Address{});
  EXPECT_EQ(source(query(0, "10.0.0.2", 2, "8.8.8.8", 53)), parse_address("203.0.113.30").value());
  const auto in = filters::nat_destination(view(), query(2, "8.8.8.8", 2, "203.0.113.17", 80));
  EXPECT_EQ(in.address, parse_address("10.0.0.2").value());
  EXPECT_EQ(in.port, 8080);
  EXPECT_EQ(filters::nat_destination(view(), query(2, "8.8.8.8", 2, "203.0.113.17", 81)).outcome, NatOutcome::kUntouched);
  EXPECT_EQ(filters::nat_destination(view(), query(2, "8.8.8.8", 2, "203.0.113.30", 22)).address, parse_address("10.0.0.2").value());
  const Address six = source(query(0, "fd00:0:0:1::2", 2, "2001:db8:ffff::1", 80));
  EXPECT_EQ(filters::nat_destination(view(), query(2, "2001:db8:ffff::1", 2, to_string(six), 80)).address, parse_address("fd00:0:0:1::2").value());
}

TEST_F(NatDocument, RulesKeepTheirIdsAndNumbersWhateverStandsAround) {
  ASSERT_EQ(load("      - { name: a, kind: no-nat, source: [printer] }\n"
                 "      - { name: b, kind: no-nat, source: [server], id: 6f1d2c84-0000-4000-8000-0000000000aa, log: both }\n"),
            "");
  const auto a = view().nat_rules()[0];
  const auto b = view().nat_rules()[1];
  EXPECT_EQ(a.number, 1);
  EXPECT_EQ(a.log, filters::snapshot::kLogNone);
  EXPECT_EQ(b.log, filters::snapshot::kLogStart | filters::snapshot::kLogEnd);
  EXPECT_EQ(b.uuid, *parse_uuid("6f1d2c84-0000-4000-8000-0000000000aa"));
  ASSERT_EQ(load("      - { name: renamed, kind: no-nat, source: [server], id: 6f1d2c84-0000-4000-8000-0000000000aa }\n"
                 "      - { name: new, kind: no-nat, source: [server] }\n"
                 "      - { name: a, kind: no-nat, source: [printer] }\n"),
            "");
  EXPECT_EQ(view().nat_rules()[0].id, b.id);
  EXPECT_EQ(view().nat_rules()[2].id, a.id);
  EXPECT_EQ(view().nat_rules()[2].uuid, a.uuid);
  EXPECT_NE(view().nat_rules()[1].id, a.id);
  EXPECT_NE(view().nat_rules()[1].id, b.id);
}

TEST_F(NatDocument, WhatCannotBeIsRefusedByName) {
  const auto expect = [&](std::string_view rule, std::string_view sentence) {
    const std::string said = load("      - { name: x, " + std::string(rule) + " }\n");
    EXPECT_NE(said.find(sentence), std::string::npos) << rule << "\n  said: " << said;
  };
  expect("kind: nat64, translated: [203.0.113.20]", "nat64 is not there yet");
  expect("kind: no-nat, id: 12", "is not a UUID");
  expect("kind: no-nat, id: 6f1d2c84-0000-4000-8000-0000000000aa }\n      - { name: y, kind: no-nat, id: 6f1d2c84-0000-4000-8000-0000000000aa",
         "is used twice");
  expect("kind: napt, source: [office-net], translated: [198.51.100.1]", "belongs neither to the prefixes");
  expect("kind: napt, source: [office-net], translated: [203.0.113.33]", "belongs neither to the prefixes");  // another tenant's
  expect("kind: napt, translated: [203.0.113.20]", "must not be any");
  expect("kind: napt, source: [office-net], translated: [203.0.113.20]", "256 inside addresses with 1008 ports each");
  expect("kind: napt, source: [office-net], translated: [203.0.113.20], block_ports: 3", "an even number of ports");
  expect("kind: snat, source: [office-net], translated: [\"2001:db8:a::1\"]", "are for IPv4");
  expect("kind: snat, source: [office-net]", "what it translates to");
  expect("kind: no-nat, translated: [203.0.113.20]", "translates to nothing");
  expect("kind: dnat, translated: [10.0.0.2]", "has to name its destination");
  expect("kind: dnat, destination: [public], translated: [10.0.0.0/30]", "leads to one inside address");
  expect("kind: \"1:1\", source: [office-net], translated: [203.0.113.20]", "one run of addresses");  // IPv4 and IPv6
  expect("kind: \"1:1\", source: [printer], translated: [203.0.113.20-203.0.113.21]", "equally many addresses");
  expect("kind: nptv6, source: [six], translated: [\"2001:db8:a::/49\"]", "equally many addresses");
  expect("kind: nptv6, source: [server], translated: [203.0.113.20]", "are IPv6 prefixes");
  expect("kind: dnat, destination: [nobody], translated: [10.0.0.2]", "no address or group named");
  expect("kind: snat, source: [office-net], translated: [203.0.113.20], translated_port: 5", "only dnat rules");
}

}  // namespace
}  // namespace sekisho::control::test
