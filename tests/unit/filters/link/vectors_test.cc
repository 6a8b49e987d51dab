// SPDX-License-Identifier: Apache-2.0
// Goal: frames somebody else built are judged as specification 3.5 says, and each switch of a Binding changes exactly the
// answers meant. Method: tests/vectors/address_enforcement.json (made with scapy), every vector under every switch.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "filters/link/binding_guard.h"

namespace sekisho::filters {
namespace {

struct Vector {
  std::string name, expected;
  std::vector<std::uint8_t> frame;
  std::map<std::string, std::string> switches;
};

/// One vector a line, as the script writes them.
std::vector<Vector> read_vectors() {
  std::ifstream in(SEKISHO_SOURCE_DIR "/tests/vectors/address_enforcement.json");
  const std::regex line_form(R"re(\{"name": "([^"]*)", "frame": "([0-9a-f]*)", "expect": "(\w*)", "switches": \{(.*)\}\},?)re");
  const std::regex switch_form(R"re("(\w+)": "(\w*)")re");
  std::vector<Vector> out;
  for (std::string line; std::getline(in, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, line_form)) continue;
    Vector vector{.name = match[1], .expected = match[3], .frame = {}, .switches = {}};
    const std::string hex = match[2], switches = match[4];
    for (std::size_t i = 0; i < hex.size(); i += 2) vector.frame.push_back(static_cast<std::uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
    for (auto at = std::sregex_iterator(switches.begin(), switches.end(), switch_form); at != std::sregex_iterator(); ++at) {
      vector.switches[(*at)[1]] = (*at)[2];
    }
    out.push_back(std::move(vector));
  }
  return out;
}

BindingRules rules_with(const std::string& change) {
  const snapshot::Port port{};
  snapshot::Binding binding{};
  binding.active = 1;
  binding.lla_policy = change == "eui64" ? snapshot::LlaPolicy::kEui64 : snapshot::LlaPolicy::kPin;
  binding.lla_pins = 2;
  binding.meters.fill({100, 100});
  if (change == "router") binding.roles = snapshot::kRoleRouter;
  if (change == "dhcp") binding.roles = snapshot::kRoleDhcp;
  if (change == "querier") binding.roles = snapshot::kRoleQuerier;
  if (change == "ethertypes") binding.ethertypes = {0x88cc, 0x88b5};
  if (change == "vrid") binding.vrids = {211};
  const Mac own = parse_mac("52:54:00:00:01:11").value();
  const std::vector<snapshot::BindingPair> pairs{{own, parse_prefix("10.0.0.2/32").value()},
                                                 {own, parse_prefix("fd00:0:0:1::2/128").value()}};
  const std::vector<Prefix> gateway{parse_prefix("10.0.0.1/28").value(), parse_prefix("fd00:0:0:1::1/64").value()};
  const std::vector<Address> forbidden{parse_address("fe80::1").value()};
  return BindingRules({port, binding, pairs, {}, {}, gateway, forbidden});
}

std::string judge(const BindingRules& rules, const std::vector<std::uint8_t>& frame) {
  LinkLocalClaims claims(1, 1, 2);
  const auto pins = std::make_unique<BindingPins>();
  pins->join(claims);
  BindingMeters meters;
  PacketMeta meta{};
  const DropReason refused = decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta);
  const DropReason reason = refused == DropReason::kNone ? from_port(rules, *pins, meters, frame, meta, 0)
                                                         : from_port_refused(rules, *pins, meters, frame, meta, 0, refused);
  if (reason == DropReason::kNone) return "";
  return std::string(info(reason).event.empty() ? info(reason).name : info(reason).event);
}

TEST(BindingVectors, AreJudgedAsTheSpecificationSays) {
  const std::vector<Vector> vectors = read_vectors();
  ASSERT_GE(vectors.size(), 56U);
  const BindingRules rules = rules_with("");
  for (const Vector& vector : vectors) EXPECT_EQ(judge(rules, vector.frame), vector.expected) << vector.name;
}

TEST(BindingVectors, EachSwitchFlipsExactlyItsOwn) {
  const std::vector<Vector> vectors = read_vectors();
  const std::map<std::string, std::size_t> flips{{"router", 3}, {"dhcp", 3}, {"querier", 2}, {"ethertypes", 2}, {"vrid", 1}, {"eui64", 1}};
  for (const auto& [change, count] : flips) {
    const BindingRules rules = rules_with(change);
    std::size_t flipped = 0;
    for (const Vector& vector : vectors) {
      const auto meant = vector.switches.find(change);
      flipped += meant != vector.switches.end() ? 1U : 0U;
      EXPECT_EQ(judge(rules, vector.frame), meant != vector.switches.end() ? meant->second : vector.expected) << change << ": " << vector.name;
    }
    EXPECT_EQ(flipped, count) << change;
  }
}

}  // namespace
}  // namespace sekisho::filters
