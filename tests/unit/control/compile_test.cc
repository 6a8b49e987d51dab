// SPDX-License-Identifier: Apache-2.0
// Goal: the compiled snapshot judges packets as the document says.
// Method: the example document, asked through the reference matcher; each question stands beside its nearest opposite.
#include <gtest/gtest.h>

#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_builder.h"
#include "filters/policy/snapshot_view.h"
#include "control/config/timetable.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using filters::PolicyQuery;
using filters::SnapshotView;
using filters::snapshot::Action;
using filters::snapshot::kNone;

constexpr std::uint8_t kServers = 0;
constexpr std::uint8_t kOffice = 1;
constexpr std::uint8_t kInternet = 2;

class Compile : public testing::Test {
 protected:
  void load(std::string_view text, std::uint32_t generation = 1) {
    decoded_ = decode_document(text);
    ASSERT_TRUE(decoded_.findings.empty()) << to_line("f", decoded_.findings.front());
    const auto findings = validate(decoded_);
    ASSERT_FALSE(has_errors(findings)) << to_line("f", findings.front());
    compiled_ = compile(decoded_.model, decoded_.positions, ids_, generation);
    ASSERT_FALSE(compiled_.snapshot.empty()) << to_line("f", compiled_.findings.front());
  }
  [[nodiscard]] SnapshotView view() const { return SnapshotView::parse(compiled_.snapshot).value(); }

  static PolicyQuery tcp(std::uint8_t from, std::string_view source, std::uint8_t to, std::string_view destination, std::uint16_t port) {
    return {.tenant_index = 0, .source_zone = from, .destination_zone = to, .source = parse_address(source).value(),
            .destination = parse_address(destination).value(), .protocol = 6, .source_port = 40000, .destination_port = port,
            .icmp_type = 0, .icmp_code = 0};
  }
  [[nodiscard]] std::string rule(const PolicyQuery& query) const {
    const auto match = filters::match_linear(view(), query);
    const auto& rule = view().rules()[match.rule];
    const std::string policy = rule.policy == kNone ? "-" : std::string(view().string(view().policies()[rule.policy].name));
    return policy + "/" + std::string(view().string(rule.name));
  }

  Ids ids_;
  Decoded decoded_;
  Compiled compiled_;
};

TEST_F(Compile, SourceChecksAreFeasibleAndWithoutBogonsUnlessWritten) {
  const std::string_view kShare = "kind: share, uplink: internet, zone: internet,";
  const std::string_view kDesk = "nic: nic-a, outer_vlan: 101, outer_tag: 802.1ad, inner_vlan: 7, kind: segment, zone: office,";
  const auto checks = [&](std::string_view share) {
    load(with(kExample, kShare, std::string(kShare) + std::string(share)));
    for (const auto& port : view().ports()) {
      if (port.kind == filters::snapshot::PortKind::kShare && port.tenant == 0) return unsigned{port.source_checks};
    }
    return 99U;
  };
  using namespace filters::snapshot;
  EXPECT_EQ(checks(""), unsigned{kRefuseBogons});
  EXPECT_EQ(checks(" reverse_path: strict,"), unsigned{kReversePathStrict | kRefuseBogons});
  EXPECT_EQ(checks(" reverse_path: off, refuse_bogons: false,"), unsigned{kReversePathOff});
  EXPECT_EQ(checks(" reverse_path: feasible, refuse_bogons: false,"), 0U);
  const std::size_t binding = kExample.find("      - name: desk-eth0");
  const std::size_t routes = kExample.find("    routes:");
  std::string routed(kExample.substr(0, binding));
  routed += kExample.substr(routes);
  routed = with(routed, kDesk, "nic: nic-a, outer_vlan: 101, kind: routed, zone: office,");
  load(routed);
  for (const auto& port : view().ports()) {
    EXPECT_TRUE(port.kind == filters::snapshot::PortKind::kShare || port.source_checks == 0);
  }
}

TEST_F(Compile, JudgesTheExampleAsWritten) {
  load(kExample);

  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 80)), "inside/web allowed");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 8080)), "inside/web allowed");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 8081)), "inside/既定拒否");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.16", 80)), "inside/既定拒否");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.77", kServers, "10.0.0.2", 80)), "inside/印刷機は拒否");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.78", kServers, "10.0.0.2", 80)), "inside/web allowed");
  EXPECT_EQ(rule(tcp(kServers, "10.0.1.2", kServers, "10.0.0.2", 80)), "-/既定拒否");
  EXPECT_EQ(rule(tcp(kOffice, "fd00:0:0:2::2", kServers, "fd00:0:0:1::2", 80)), "inside/web allowed");
  EXPECT_EQ(rule(tcp(kOffice, "fd00:0:0:2::2", kServers, "fd00:0:0:3::2", 80)), "inside/既定拒否");
}

TEST_F(Compile, TurnsNegationIntoComplements) {
  load(kExample);

  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kInternet, "198.51.100.1", 80)), "outside/rest");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kInternet, "198.51.100.1", 81)), "outside/not web");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.77", kInternet, "198.51.100.1", 80)), "outside/not desks");
  EXPECT_EQ(rule(tcp(kOffice, "fd00:0:0:2::2", kInternet, "2001:db8::1", 80)), "outside/rest");
  EXPECT_EQ(rule(tcp(kOffice, "fd00:0:0:3::2", kInternet, "2001:db8::1", 80)), "outside/not desks");
  PolicyQuery ping = tcp(kOffice, "10.0.1.2", kInternet, "198.51.100.1", 0);
  ping.protocol = 1;
  ping.icmp_type = 8;
  EXPECT_EQ(rule(ping), "outside/rest");
  ping.icmp_code = 1;
  EXPECT_EQ(rule(ping), "outside/not web");
  ping.protocol = 17;
  EXPECT_EQ(rule(ping), "outside/not web");
  ping.protocol = 47;
  EXPECT_EQ(rule(ping), "outside/not web");
}

TEST_F(Compile, KeepsNumbersOfDisabledRulesAndPinsDefaults) {
  load(kExample);
  const auto& tenant = view().tenants()[0];
  const auto rules = filters::slice(view().rules(), tenant.rules);

  ASSERT_EQ(rules.size(), 8U);
  EXPECT_EQ(rules[0].number, 1);
  EXPECT_EQ(rules[1].number, 3);
  EXPECT_EQ(rules[1].action, Action::kReject);
  EXPECT_EQ(rules[2].number, 0);
  EXPECT_EQ(rules[2].is_default, 1);
  EXPECT_EQ(rules[2].log, filters::snapshot::kLogDropEach);
  EXPECT_EQ(rules[0].log, filters::snapshot::kLogEnd);
  EXPECT_EQ(rules[7].policy, kNone);
  EXPECT_EQ(to_string(rules[0].uuid), "6f1d2c84-0000-4000-8000-000000000001");
}

TEST_F(Compile, GivesAnEmptyTenantOnlyItsDefaultDeny) {
  load("tenants: [ { service_code: acm00000001, name: acme } ]");

  ASSERT_EQ(view().rules().size(), 1U);
  EXPECT_EQ(view().rules()[0].action, Action::kDrop);
  EXPECT_EQ(rule(tcp(0, "10.0.0.1", 0, "10.0.0.2", 80)), "-/既定拒否");
}

TEST_F(Compile, GivesTheEmptyConfigurationASnapshot) {
  load("{}");

  EXPECT_EQ(view().tenants().size(), 0U);
}

TEST_F(Compile, RoutesBoundHostsSubnetsWrittenAndUplinkPrefixes) {
  load(kExample);
  std::vector<std::string> routes;
  for (const auto& route : filters::slice(view().routes(), view().tenants()[0].routes)) {
    const auto& port = view().ports()[route.port];
    routes.push_back(to_string(route.prefix) + " " + std::string(view().string(port.name)) +
                     (route.has_next_hop != 0 ? " " + to_string(route.next_hop) : ""));
  }

  const std::vector<std::string> expected{
      "10.0.0.2/32 web1", "fd00:0:0:1::2/128 web1", "10.0.1.2/32 desk", "fd00:0:0:2::2/128 desk", "10.0.0.0/28 web1",
      "fd00:0:0:1::/64 web1", "10.0.1.0/24 desk", "fd00:0:0:2::/64 desk", "0.0.0.0/0 net 192.0.2.2", "10.9.0.0/24 desk 10.0.1.2",
      "192.0.2.0/24 net", "2001:db8:0:1::/64 net"};
  EXPECT_EQ(routes, expected);
}

TEST_F(Compile, WritesPortsAndBindingsAsGiven) {
  load(kExample);

  ASSERT_EQ(view().ports().size(), 6U);
  const auto& uplink = view().ports()[0];
  EXPECT_EQ(uplink.kind, filters::snapshot::PortKind::kUplink);
  const auto& desk = view().ports()[2];
  EXPECT_EQ(view().string(desk.name), "desk");
  EXPECT_EQ(desk.outer_is_svlan, 1);
  EXPECT_EQ(desk.inner_vlan, 7);
  const auto& binding = view().bindings()[desk.binding];
  EXPECT_EQ(view().string(binding.name), "desk-eth0");
  EXPECT_EQ(binding.roles, filters::snapshot::kRoleRouter | filters::snapshot::kRoleForwarding);
  EXPECT_EQ(binding.meters[0].rate, 30U);
  EXPECT_EQ(view().bindings()[view().ports()[1].binding].meters[0].rate, 31U);
  EXPECT_EQ(binding.ethertypes[0], 0x88cc);
  EXPECT_EQ(view().owned_prefixes().size(), 3U);
}

TEST_F(Compile, WritesEveryBindingOfAPortEnforcedBySegment) {
  constexpr std::string_view kShared = R"(nics: [ { name: n, device: d } ]
tenants:
  - service_code: acm00000001
    name: acme
    zones: [z]
    ports: [ { name: p, nic: n, kind: segment, zone: z, enforcement: segment, addresses: [10.0.0.1/24] } ]
    bindings:
      - { name: a, port: p, pairs: [ { mac: "52:54:00:00:00:01", prefix: 10.0.0.2 } ] }
      - { name: b, port: p, state: suspended, pairs: [ { mac: "52:54:00:00:00:02", prefix: 10.0.0.3 } ] }
      - { name: c, port: p, pairs: [ { mac: "52:54:00:00:00:03", prefix: 10.0.0.4 } ] }
)";
  load(kShared);
  ASSERT_EQ(view().bindings().size(), 3U);
  EXPECT_EQ(view().ports()[0].binding, kNone);
  EXPECT_EQ(view().ports()[0].enforcement, filters::snapshot::Enforcement::kSegment);
  EXPECT_EQ(view().bindings()[1].active, 0);
  std::string isolated(kShared);
  isolated.replace(isolated.find("enforcement: segment"), 20, "enforcement: isolate");
  load(isolated);
  EXPECT_EQ(view().ports()[0].enforcement, filters::snapshot::Enforcement::kIsolate);
  EXPECT_EQ(view().ports()[0].binding, kNone);
  EXPECT_EQ(make_name_table(decoded_.model, ids_, 1).bindings_size(), 3);
}

TEST_F(Compile, HalfOpenLimitIsATenthOfTheSessionsUnlessWritten) {
  std::string text(kExample);
  text.replace(text.find("name: globex"), 12, "name: globex\n    quotas: { half_open_max: 77, syn_protection: drop }");
  load(text);
  const auto limits = view().state_limits();
  ASSERT_EQ(limits.size(), 2U);
  EXPECT_EQ(limits[0].half_open_max, view().tenants()[0].sessions_max / 10);
  EXPECT_EQ(limits[0].syn_protection, filters::snapshot::SynProtection::kCookies);
  EXPECT_EQ(limits[1].half_open_max, 77U);
  EXPECT_EQ(limits[1].syn_protection, filters::snapshot::SynProtection::kDrop);
  EXPECT_TRUE(view().rule_limits().empty());
}

TEST_F(Compile, LimitsOfARuleFollowIt) {
  std::string text(kExample);
  const std::string rule = "name: web allowed,";
  ASSERT_NE(text.find(rule), std::string::npos);
  text.replace(text.find(rule), rule.size(), rule + " half_open_max: 50,");
  load(text);
  ASSERT_EQ(view().rule_limits().size(), 1U);
  const auto& limit = view().rule_limits()[0];
  EXPECT_EQ(limit.half_open_max, 50U);
  EXPECT_EQ(view().string(view().rules()[limit.rule].name), "web allowed");
}

TEST_F(Compile, TimeoutsOfAServiceFollowEachOfItsEntriesAndNoOthers) {
  std::string text(kExample);
  const std::string service = "{ name: http, protocol: tcp,";
  ASSERT_NE(text.find(service), std::string::npos);
  text.replace(text.find(service), service.size(), "{ name: http, timeout_seconds: 600, protocol: tcp,");
  load(text);
  std::size_t timed = 0;
  for (std::uint32_t i = 0; i < view().services().size(); ++i) {
    const auto all = view().service_timeouts();
    const auto at = std::find_if(all.begin(), all.end(), [&](const auto& timeouts) { return timeouts.service == i; });
    EXPECT_EQ(at != all.end(), view().string(view().services()[i].name) == "http") << i;
    if (at == all.end()) continue;
    EXPECT_EQ(at->seconds, 600U);
    EXPECT_EQ(at->first, 0U);
    ++timed;
  }
  EXPECT_GE(timed, 2U);
}

TEST_F(Compile, ARuleIsEndingForSevenDaysBeforeItEnds) {
  std::string text(kExample);
  const std::string rule = "name: web allowed,";
  text.replace(text.find(rule), rule.size(), rule + " valid_until: 2026-12-01 12:00,");
  decoded_ = decode_document(text);
  const auto ending = [&](std::string_view now) {
    compiled_ = compile(decoded_.model, decoded_.positions, ids_, 1, *parse_civil(now));
    int out = 0;
    for (const auto& one : view().rules()) out += one.ending;
    return out;
  };
  EXPECT_EQ(ending("2026-11-24 11:59"), 0);
  EXPECT_EQ(ending("2026-11-24 12:00"), 1);
  EXPECT_EQ(ending("2026-12-01 11:59"), 1);
  EXPECT_EQ(ending("2026-12-01 12:00"), 0) << "it has ended";
}

TEST_F(Compile, GivesTheSameBytesForTheSameModel) {
  load(kExample);
  const auto first = compiled_.snapshot;
  load(kExample);
  EXPECT_EQ(compiled_.snapshot, first);

  load(kExample, 2);
  auto second = compiled_.snapshot;
  EXPECT_NE(second, first);
  auto& header = *reinterpret_cast<filters::snapshot::Header*>(second.data());
  header.generation = 1;
  filters::seal_snapshot(second);
  EXPECT_EQ(second, first);
}

TEST_F(Compile, LeavesOutARuleThatCanMatchNothing) {
  load(with(kExample, "source: [printer], log: each", "source: [printer], destination: [six], log: each").insert(
      std::string(kExample).find("      - { name: printer"), "      - { name: six, entries: [\"fd00::/8\"] }\n"));

  ASSERT_EQ(compiled_.findings.size(), 1U);
  EXPECT_EQ(compiled_.findings[0].severity, Severity::kWarning);
  EXPECT_EQ(compiled_.findings[0].path, "tenants[0].policies[0].rules[2]");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.77", kServers, "10.0.0.2", 80)), "inside/既定拒否");
}

TEST_F(Compile, RefusesGroupsThatMultiplyIntoTooManyAddresses) {
  const auto document = [](int objects) {
    std::string out = "tenants:\n  - service_code: acm00000001\n    name: a\n    addresses:\n";
    std::string members;
    for (int i = 0; i < objects; ++i) {
      out += "      - { name: o" + std::to_string(i) + ", entries: [10.0.0.0";
      for (int j = 1; j < 1000; ++j) {
        const int n = (i * 1000 + j) * 2;
        out += ", 10." + std::to_string(n >> 16) + '.' + std::to_string(n >> 8 & 255) + '.' + std::to_string(n & 255);
      }
      out += "] }\n";
      members += (i == 0 ? "o" : ", o") + std::to_string(i);
    }
    out += "    address_groups: [ { name: g, members: [" + members + "] } ]\n";
    return out + "    policies: [ { name: p, rules: [ { name: r, action: allow, source: [g] } ] } ]\n";
  };
  load(document(2));
  const Decoded big = decode_document(document(102));

  const Compiled refused = compile(big.model, big.positions, ids_, 1);

  ASSERT_TRUE(has_errors(refused.findings));
  EXPECT_EQ(refused.findings[0].path, "tenants[0].policies[0].rules[0].source");
  EXPECT_TRUE(refused.snapshot.empty());
}

TEST_F(Compile, RefusesAnIdThatAnotherRuleWasGiven) {
  load(kExample);
  const auto& acme = decoded_.model.tenants(0);
  const Uuid given = rule_uuid(ids_, acme, acme.policies(1), acme.policies(1).rules(2));
  model::Configuration changed = decoded_.model;
  auto& rule = *changed.mutable_tenants(0)->mutable_policies(0)->mutable_rules(2);
  rule.set_id(to_string(given));

  const Compiled refused = compile(changed, decoded_.positions, ids_, 2);

  EXPECT_TRUE(refused.snapshot.empty());
  ASSERT_TRUE(has_errors(refused.findings));
  EXPECT_EQ(refused.findings[0].path, "tenants[0].policies[1].rules[2]");
}

TEST_F(Compile, GuardsStandBeforeEveryTenantsRulesAndOnlyWhereTheyApply) {
  const std::string guards = R"(guards:
  - { name: no telnet in, action: drop, from: outside, to: inside, protocol: tcp, destination_ports: [23, 80] }
  - { name: not that host, action: reject, tenants: [acm00000001], destination: [10.0.0.3, "fd00:0:0:1::3"] }
)";
  load(guards + with(kExample, "        from: [office]\n", ""));
  EXPECT_EQ(rule(tcp(kInternet, "198.51.100.1", kServers, "10.0.0.2", 80)), "platform/no telnet in");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 80)), "inside/web allowed");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.3", 80)), "platform/not that host");
  EXPECT_EQ(rule(tcp(kOffice, "fd00:0:0:2::2", kServers, "fd00:0:0:1::3", 80)), "platform/not that host");
  PolicyQuery other = tcp(0, "10.0.1.2", 1, "10.0.0.3", 80);
  other.tenant_index = 1;
  EXPECT_EQ(rule(other), "-/既定拒否");
  other.source_zone = 1, other.destination_zone = 0;
  EXPECT_EQ(rule(other), "platform/no telnet in");
  EXPECT_EQ(view().rules()[0].guard, 1);
  EXPECT_NE(view().rules()[0].id, view().rules()[view().tenants()[1].rules.first].id);  // counted for each tenant
  const ipc::NameTable names = make_name_table(decoded_.model, ids_, 1);
  for (const auto& compiled : view().rules()) {
    EXPECT_TRUE(std::any_of(names.rules().begin(), names.rules().end(), [&](const auto& n) { return n.id() == compiled.id; })) << compiled.id;
  }
}

TEST_F(Compile, WrongGuardsAreRefusedWhereTheyStand) {
  const auto said = [](std::string_view guard) { return findings_of("guards: [ " + std::string(guard) + " ]\n" + std::string(kExample)); };
  EXPECT_EQ(said("{ name: g, action: drop, tenants: [glo00000001], protocol: udp, destination_ports: [53] }").find("error"),
            std::string::npos);
  EXPECT_NE(said("{ name: g, action: allow }").find("guards[0].action"), std::string::npos);
  EXPECT_NE(said("{ name: g, action: drop, tenants: [zzz00000001] }").find("guards[0].tenants[0]: there is no tenant"), std::string::npos);
  EXPECT_NE(said("{ name: g, action: drop, source: [10.0.0.1/8] }").find("guards[0].source[0]"), std::string::npos);
  EXPECT_NE(said("{ name: g, action: drop, destination_ports: [53] }").find("guards[0].destination_ports: only tcp and udp"), std::string::npos);
  EXPECT_NE(said("{ name: g, action: drop, protocol: tpc }").find("guards[0].protocol"), std::string::npos);
  EXPECT_NE(said("{ name: g, action: drop }, { name: g, action: drop }").find("is used twice"), std::string::npos);
}

TEST_F(Compile, RulesOutsideTheirTimeKeepTheirPlaceAndTakeNothing) {
  const std::string text = with(with(kExample, "    policies:\n", "    schedules: [ { name: day, weekly: [daily 09:00-17:00] } ]\n    policies:\n"),
                                "action: allow, source: [desks]", "action: allow, schedule: day, source: [desks]");
  load(text);
  const auto compiled_at = [&](std::string_view civil) { compiled_ = compile(decoded_.model, decoded_.positions, ids_, 1, *parse_civil(civil)); };
  compiled_at("2026-11-27 12:00");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 80)), "inside/web allowed");
  EXPECT_EQ(view().moment(), *parse_civil("2026-11-27 09:00"));
  const auto noon = compiled_.snapshot;
  compiled_at("2026-11-27 16:59");
  EXPECT_EQ(compiled_.snapshot, noon);
  compiled_at("2026-11-27 17:00");
  EXPECT_EQ(rule(tcp(kOffice, "10.0.1.2", kServers, "10.0.0.2", 80)), "inside/既定拒否");
  EXPECT_EQ(view().rules()[0].standing, filters::snapshot::Standing::kDormant);
  EXPECT_EQ(view().rules()[0].timed, 1);
}

TEST_F(Compile, WrongTimesAreRefusedWhereTheyStand) {
  const auto said = [](std::string_view schedule, std::string_view rule) {
    return findings_of(with(with(kExample, "    policies:\n", "    schedules: [ " + std::string(schedule) + " ]\n    policies:\n"),
                            "action: allow, source: [desks]", "action: allow, " + std::string(rule) + ", source: [desks]"));
  };
  EXPECT_EQ(said("{ name: s, weekly: [mon 09:00-17:00] }", "schedule: s, strict: true, valid_until: 2026-12-31 00:00").find("error"),
            std::string::npos);
  EXPECT_NE(said("{ name: s, weekly: [mon 9-17] }", "schedule: s").find("schedules[0].weekly[0]"), std::string::npos);
  EXPECT_NE(said("{ name: s, once: [tomorrow] }", "schedule: s").find("schedules[0].once[0]"), std::string::npos);
  EXPECT_NE(said("{ name: s, weekly: [mon 09:00-17:00] }", "schedule: t").find("there is no schedule named \"t\""), std::string::npos);
  EXPECT_NE(said("{ name: s, weekly: [mon 09:00-17:00] }", "strict: true").find("strict needs a schedule"), std::string::npos);
  EXPECT_NE(said("{ name: s, weekly: [mon 09:00-17:00] }", "valid_until: 2026-02-30 00:00").find("valid_until"), std::string::npos);
}

TEST_F(Compile, NamesEverythingOfAGeneration) {
  load(kExample);

  const ipc::NameTable names = make_name_table(decoded_.model, ids_, 7);

  EXPECT_EQ(names.generation(), 7U);
  EXPECT_EQ(names.tenants_size(), 2);
  EXPECT_EQ(names.ports_size(), 6);
  EXPECT_EQ(names.rules_size(), 10);
  EXPECT_EQ(names.bindings_size(), 3);
  for (const auto& rule : view().rules()) {
    const bool known = std::any_of(names.rules().begin(), names.rules().end(), [&](const auto& n) {
      return n.id() == rule.id && n.name() == view().string(rule.name) && n.number() == rule.number;
    });
    EXPECT_TRUE(known) << rule.id;
  }
  EXPECT_TRUE(ids_.new_numbers().size() > 0);
}

TEST_F(Compile, ServiceEntriesAreNumberedAsTheNameTableNumbersTheirObjects) {
  load(kExample);
  const ipc::NameTable names = make_name_table(decoded_.model, ids_, 7);
  unsigned named = 0;
  for (std::uint32_t t = 0; t < view().tenants().size(); ++t) {
    const auto& services = names.tenants(static_cast<int>(t)).services();
    for (const auto& rule : filters::slice(view().rules(), view().tenants()[t].rules)) {
      for (const auto& entry : filters::slice(view().services(), rule.services)) {
        if (entry.object == 0) {
          EXPECT_EQ(view().string(entry.name).substr(0, 4), "not ") << "what a negated list leaves is no object";
          continue;
        }
        ASSERT_LE(entry.object, services.size());
        EXPECT_EQ(services.Get(entry.object - 1), view().string(entry.name));
        ++named;
      }
    }
  }
  EXPECT_GT(named, 2U);
}

}  // namespace
}  // namespace sekisho::control::test
