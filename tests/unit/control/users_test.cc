// SPDX-License-Identifier: Apache-2.0
// Goal: remote users in a document mean what docs/configuration.md says, and its secrets are shown to nobody but the keying
// daemon. Method: one document with everything, changed in one place at a time.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/limits.h"
#include "control/compile/coverage.h"
#include "control/compile/user_compiler.h"
#include "control/compile/vpn_config.h"
#include "control/config/diff.h"
#include "control/config/timetable.h"
#include "filters/policy/linear_matcher.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using filters::PolicyQuery;
using filters::SnapshotView;
using filters::snapshot::PortKind;

constexpr std::string_view kHash = "8846f7eaee8fb117ad06bdd830b7586c";

std::string remote() { return std::string(kRemote); }

class RemoteUsers : public testing::Test {
 protected:
  void load(const std::string& text) {
    decoded_ = decode_document(text);
    const auto findings = validate(decoded_);
    ASSERT_FALSE(has_errors(findings)) << to_line("f", findings.front());
    compiled_ = compile(decoded_.model, decoded_.positions, ids_, 7);
    ASSERT_FALSE(compiled_.snapshot.empty()) << to_line("f", compiled_.findings.front());
  }
  void SetUp() override { load(remote()); }
  [[nodiscard]] SnapshotView view() const { return SnapshotView::parse(compiled_.snapshot).value(); }
  [[nodiscard]] std::uint32_t id_of(std::string_view user) { return ids_.number(IdKind::kUser, user_key("acm00000001", user)); }
  /// The groups of a user of the first tenant, as the snapshot has them.
  [[nodiscard]] std::uint64_t groups(std::string_view user) {
    const std::uint32_t id = id_of(user);
    for (const auto& each : view().users()) {
      if (each.id == id) return each.groups;
    }
    ADD_FAILURE() << user << " is not in the snapshot";
    return 0;
  }
  [[nodiscard]] std::string verdict(std::uint64_t groups, std::string_view destination, std::uint16_t port, std::uint8_t zone = 2) const {
    const PolicyQuery query{.tenant_index = 0, .source_zone = zone, .destination_zone = 0, .source = parse_address("10.99.0.11").value(),
                            .destination = parse_address(destination).value(), .protocol = 6, .source_port = 40000,
                            .destination_port = port, .icmp_type = 0, .icmp_code = 0, .user_groups = groups};
    const auto& rule = view().rules()[filters::match_linear(view(), query).rule];
    return std::string(view().string(rule.name)) + (rule.action == filters::snapshot::Action::kAllow ? " permit" : " deny");
  }

  Ids ids_;
  Decoded decoded_;
  Compiled compiled_;
};

TEST_F(RemoteUsers, GiveTheirPortsAndRulesTheNamesThatRecordsNeed) {
  const ipc::NameTable names = make_name_table(decoded_.model, ids_, 7);
  std::string tunnels;
  for (const auto& port : names.ports()) tunnels += port.tunnel() ? std::to_string(port.tenant()) + ":" + port.name() + " " : "";
  EXPECT_EQ(tunnels, "1:users 2:users ");
  for (const auto& rule : names.rules()) {
    const bool sales = rule.name() == "営業→基幹";
    if (sales || rule.name() == "ping") {
      EXPECT_EQ(rule.users_size(), sales ? 1 : 0);
      EXPECT_EQ(rule.hosts_size(), sales ? 1 : 0) << "of a rule for anyone nobody asks";
    }
    if (sales) {
      EXPECT_EQ(rule.users(0) + " " + rule.hosts(0) + " " + rule.services(0), "営業部 基幹サーバ Web系");
    }
  }
}

TEST_F(RemoteUsers, AreJudgedAsTheWorkedExampleSays) {
  const std::uint64_t sales = groups("hana");
  const std::uint64_t leaving = groups("taro");
  const std::uint64_t systems = groups("ken");
  EXPECT_EQ(verdict(sales, "10.20.8.15", 443), "営業→基幹 permit");
  EXPECT_EQ(verdict(sales, "10.20.8.15", 22), "既定拒否 deny");
  EXPECT_EQ(verdict(sales, "10.20.9.1", 22), "既定拒否 deny");
  EXPECT_EQ(verdict(leaving, "10.20.8.15", 443), "退職予定者停止 deny");
  EXPECT_EQ(verdict(systems, "10.20.9.1", 22), "情シス→管理 permit");

  EXPECT_EQ(verdict(sales, "10.20.8.15", 80), "営業→基幹 permit");
  EXPECT_EQ(verdict(sales, "10.20.8.15", 81), "既定拒否 deny");
  EXPECT_EQ(verdict(sales, "10.20.7.255", 443), "既定拒否 deny");
  EXPECT_EQ(verdict(systems, "10.20.8.15", 443), "既定拒否 deny");
  EXPECT_EQ(verdict(systems, "10.20.9.1", 23), "既定拒否 deny");
  EXPECT_EQ(verdict(sales | systems, "10.20.9.1", 3389), "情シス→管理 permit");
  EXPECT_EQ(verdict(leaving | systems, "10.20.9.1", 3389), "情シス→管理 permit") << "first match: above the one who leaves";
  EXPECT_EQ(verdict(0, "10.20.8.15", 443), "既定拒否 deny") << "of nobody known";
}

/// The document whose rule 1 asks for a proven device, and, where `groups` says so, for one of a group.
std::string asking(std::string_view groups = "") {
  const std::string rule = with(remote(), "action: allow, users: [\"情シス\"],", "action: allow, users: [\"情シス\"], device: proven," + std::string(groups));
  return with(rule, "    gateways:\n", "    devices:\n"
      "      - { name: nb-1, owner: ken, certificates: [a1], group: laptops }\n"
      "      - { name: nb-2, owner_group: \"情シス\", certificates: [a2], group: kiosks }\n"
      "      - { name: nb-3, owner: hana, certificates: [a3], group: laptops }\n    gateways:\n");
}

TEST_F(RemoteUsers, NeedADeviceThatProvedItselfWhereTheWorkedExampleAsksForIt) {
  load(asking());
  const auto with_device = [this](std::string_view user, std::string_view group) {
    const std::uint32_t id = ids_.find(IdKind::kUser, device_user_key("acm00000001", user, group));
    for (const auto& each : view().users()) {
      if (id != 0 && each.id == id) return each.groups;
    }
    ADD_FAILURE() << user << " has no such device in the snapshot";
    return std::uint64_t{0};
  };
  EXPECT_EQ(verdict(groups("ken"), "10.20.9.1", 22), "既定拒否 deny") << "a device that only says what it is";
  EXPECT_EQ(verdict(with_device("ken", ""), "10.20.9.1", 22), "情シス→管理 permit");
  EXPECT_EQ(verdict(with_device("ken", ""), "10.20.9.1", 23), "既定拒否 deny");
  EXPECT_EQ(verdict(with_device("hana", ""), "10.20.9.1", 22), "既定拒否 deny") << "the device alone opens nothing";
  EXPECT_EQ(verdict(with_device("hana", ""), "10.20.8.15", 443), "営業→基幹 permit");
  EXPECT_EQ(verdict(groups("hana"), "10.20.8.15", 443), "営業→基幹 permit") << "whom no rule asks for one needs none";
  EXPECT_EQ(ids_.find(IdKind::kUser, device_user_key("acm00000001", "taro", "")), 0U) << "who has no device";
  EXPECT_EQ(remark_on_rules(decoded_.model, decoded_.positions, compiled_).size(), 0U);
  // Rules that tell groups of devices apart.
  load(asking(" device_groups: [laptops],"));
  EXPECT_EQ(verdict(with_device("ken", "laptops"), "10.20.9.1", 22), "情シス→管理 permit");
  EXPECT_EQ(verdict(with_device("ken", ""), "10.20.9.1", 22), "既定拒否 deny") << "the kiosk's";
  EXPECT_EQ(verdict(with_device("hana", "laptops"), "10.20.9.1", 22), "既定拒否 deny");
  EXPECT_NE(findings_of(asking(" device_groups: [phones],")).find("policies[0].rules[0].device_groups[0]"), std::string::npos);
  load(with(asking(), "name: ken, groups", "name: ken, suspended: true, groups"));
  EXPECT_EQ(with_device("ken", ""), 0U);
}

TEST_F(RemoteUsers, EachWithEachGroupOfDevicesAreBoundedSoThatNoTenantTakesTheUnitsNumbers) {
  load(asking(" device_groups: [laptops],"));
  model::Tenant& tenant = *decoded_.model.mutable_tenants(0);
  model::Device& another = *tenant.add_devices();
  another = tenant.devices(1);
  another.set_name("nb-9");
  another.set_group("laptops");
  another.set_certificates(0, "a9");
  const std::string group = tenant.devices(1).owner_group();
  const auto add = [&tenant, &group](int count) {
    for (int i = 0; i < count; ++i) {
      model::User& user = *tenant.add_users();
      user.set_name("u" + std::to_string(tenant.users_size()));
      user.add_groups(group);
    }
  };
  add(100);
  EXPECT_FALSE(compile(decoded_.model, decoded_.positions, ids_, 8).snapshot.empty());
  add(static_cast<int>(limits::kUsersPerTenantMax / 2));
  const Compiled many = compile(decoded_.model, decoded_.positions, ids_, 9);
  EXPECT_TRUE(many.snapshot.empty());
  EXPECT_TRUE(std::any_of(many.findings.begin(), many.findings.end(),
                          [](const Finding& one) { return one.sentence.find("every group of devices") != std::string::npos; }));
}

TEST_F(RemoteUsers, TellTheKeyingDaemonByWhichNumberRulesKnowThem) {
  load(with(asking(" device_groups: [laptops],"), "default_group:", "refuse_if_no_permit: true\n        default_group:"));
  const ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  const ipc::VpnTenant& tenant = config.tenants(0);
  EXPECT_TRUE(tenant.gateways(0).refuse_if_no_permit());
  const ipc::VpnUser& ken = tenant.users(2);
  ASSERT_EQ(ken.with_device_size(), 2);
  EXPECT_EQ(ken.with_device(0).group(), "");
  EXPECT_EQ(ken.with_device(1).group(), "laptops");
  EXPECT_EQ(ken.with_device(1).id(), ids_.find(IdKind::kUser, device_user_key("acm00000001", "ken", "laptops")));
  EXPECT_NE(ken.with_device(0).id(), ken.with_device(1).id());
  EXPECT_EQ(tenant.users(1).with_device_size(), 0);
  // "rest" lets anyone, from wherever, ping: everybody reaches something.
  EXPECT_TRUE(ken.permitted());
  load(with(asking(" device_groups: [laptops],"), "      - name: rest\n", "      - name: rest\n        from: [servers]\n"));
  const ipc::VpnConfig narrow = make_vpn_config(decoded_.model, ids_, 8);
  const ipc::VpnUser& again = narrow.tenants(0).users(2);
  EXPECT_FALSE(again.permitted());
  EXPECT_FALSE(again.with_device(0).permitted());
  EXPECT_TRUE(again.with_device(1).permitted());
  EXPECT_TRUE(narrow.tenants(0).users(0).permitted()) << "hana's rule asks for no device";
  EXPECT_FALSE(narrow.tenants(0).stranger_permitted());
}

TEST_F(RemoteUsers, OfNoGroupAreThoseSuspended) {
  EXPECT_EQ(groups("gone"), 0U);
  load(with(remote(), ", suspended: true", ""));
  EXPECT_EQ(groups("gone"), 3U);
}

TEST_F(RemoteUsers, KeepTheirNumbersOverChanges) {
  const std::uint32_t ken = id_of("ken");
  load(with(remote(), "      - { name: hana, nt_hash: 8846f7eaee8fb117ad06bdd830b7586c, groups: [\"営業部\"], static_addresses: [10.99.0.11] }\n", ""));
  EXPECT_EQ(id_of("ken"), ken);
  EXPECT_EQ(groups("ken"), 2U);
  for (const auto& user : view().users()) EXPECT_NE(user.id, id_of("hana"));
}

TEST_F(RemoteUsers, ComeInByATunnelPortThatTheirPoolsAreRoutedTo) {
  const auto ports = view().ports();
  const auto is_tunnel = [](const auto& port) { return port.kind == PortKind::kTunnel; };
  ASSERT_EQ(std::count_if(ports.begin(), ports.end(), is_tunnel), 2);
  const auto tunnel = static_cast<std::uint32_t>(std::find_if(ports.begin(), ports.end(), is_tunnel) - ports.begin());
  EXPECT_EQ(ports[tunnel].mtu, 1400U);
  EXPECT_EQ(ports.back().mtu, 1300U);
  std::vector<std::string> routed;
  for (const auto& route : filters::slice(view().routes(), view().tenants()[0].routes)) {
    if (route.port == tunnel) routed.push_back(to_string(route.prefix));
  }
  EXPECT_EQ(routed, (std::vector<std::string>{"10.99.0.10/31", "10.99.0.12/30", "10.99.0.16/30", "10.99.0.20/32", "fd00:99::/112"}));
  ASSERT_EQ(view().gateways().size(), 2U);
  EXPECT_EQ(view().gateways()[0].tunnel_port, tunnel);
  EXPECT_EQ(ports[view().gateways()[0].port].kind, PortKind::kShare);
}

TEST_F(RemoteUsers, AnSstpDoorGivesEachAddressANumberThatStays) {
  for (const auto& gateway : view().gateways()) EXPECT_EQ(gateway.service, 0U);
  const std::string door = with(remote(), "accept: [", "sstp: { accept: [mschapv2] }\n        accept: [");
  load(door);
  std::set<std::uint32_t> services;
  for (const auto& gateway : view().gateways()) {
    if (gateway.service != 0) services.insert(gateway.service);
  }
  EXPECT_EQ(services.size(), static_cast<std::size_t>(decoded_.model.tenants(0).gateways(0).addresses_size()));
  const ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  const auto& sstp = config.tenants(0).gateways(0).sstp();
  EXPECT_EQ(sstp.keys_size(), decoded_.model.tenants(0).gateways(0).keys_size()) << "the gateway's own";
  for (const auto& service : sstp.services()) EXPECT_TRUE(services.contains(service.number()));
  load(remote());
  load(door);
  for (const auto& gateway : view().gateways()) EXPECT_TRUE(gateway.service == 0 || services.contains(gateway.service));
}

TEST_F(RemoteUsers, AWrongSstpDoorIsRefusedWithItsPlace) {
  const auto door = [](const std::string& text) { return findings_of(with(remote(), "accept: [", "sstp: { " + text + " }\n        accept: [")); };
  EXPECT_EQ(door("accept: [eap-mschapv2, mschapv2], suites: aes128, sha1: true"), "");
  EXPECT_NE(door("sha1: true").find("gateways[0].sstp.accept"), std::string::npos);
  EXPECT_NE(door("accept: [mschapv2], certificates: [no]").find("gateways[0].sstp.certificates[0]"), std::string::npos);
  EXPECT_NE(door("accept: [mschapv2], ocsp: [\"@\"]").find("gateways[0].sstp.ocsp"), std::string::npos);
}

TEST_F(RemoteUsers, AResponderIsAnAddressInClearOfAGatewayThatIsAskedByIkeAlone) {
  const auto gateway = [](const std::string& text) { return findings_of(with(remote(), "accept: [", text + "\n        accept: [")); };
  const auto refused = [&](const std::string& text) { return gateway(text).find("gateways[0].ocsp") != std::string::npos; };
  EXPECT_FALSE(refused("ocsp: { url: \"http://ocsp.example:8080/a\", without_answer: admit }"));
  EXPECT_FALSE(refused("ocsp: { url: \"http://[2001:db8::1]/\" }"));
  for (const char* bad : {"https://x/", "http://", "http://x:0/", "http://u@x/", "http://x/a b"}) {
    EXPECT_TRUE(refused("ocsp: { url: \"" + std::string(bad) + "\" }")) << bad;
  }
  EXPECT_TRUE(refused("ocsp: { without_answer: admit }"));
  EXPECT_TRUE(refused("ocsp: { url: \"http://x/\" }\n        sstp: { accept: [eap-tls] }"));
  EXPECT_FALSE(refused("ocsp: { url: \"http://x/\" }\n        sstp: { accept: [mschapv2] }"));
}

TEST_F(RemoteUsers, AGroupOfEveryoneHasWhomTheConfigurationDoesNotNameAndNoSuspendedUser) {
  for (const auto& user : view().users()) EXPECT_NE(user.id, 0U);
  load(with(remote(), "pool: people, priority: 10", "pool: people, everyone: true, priority: 10"));
  std::uint64_t stranger = 0;
  for (const auto& user : view().users()) stranger |= user.id == 0 && user.tenant == 0 ? user.groups : 0;
  EXPECT_EQ(stranger, 1U) << "the first group";
  for (const auto& user : decoded_.model.tenants(0).users()) EXPECT_EQ(groups(user.name()) & 1, user.suspended() ? 0U : 1U) << user.name();
  load(with(with(remote(), "pool: people, priority: 10", "pool: people, everyone: true, priority: 10"), "name: ken,", "name: ken, suspended: true,"));
  EXPECT_EQ(groups("ken"), 0U);
}

TEST_F(RemoteUsers, LimitsAndCountriesGoToTheKeyingDaemonAndWrongOnesAreRefused) {
  const auto group_with = [](const std::string& text) { return with(remote(), "pool: people, priority: 10", "pool: people, " + text + ", priority: 10"); };
  const std::string countries = "countries: [{ code: JP, prefixes: [192.0.2.0/24] }]\n    remote_sessions_max: 7\n    pools:";
  load(with(group_with("sessions_max: 5, source_countries: [JP]"), "pools:", countries));
  ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  EXPECT_EQ(config.tenants(0).sessions_max(), 7U);
  EXPECT_EQ(config.tenants(0).groups(0).sessions_max(), 5U);
  EXPECT_EQ(config.tenants(0).groups(0).source_countries(0), "JP");
  EXPECT_EQ(config.tenants(0).countries(0).prefixes(0).length(), 24U);
  EXPECT_NE(findings_of(group_with("sessions_max: 100001")).find("user_groups[0].sessions_max"), std::string::npos);
  EXPECT_NE(findings_of(group_with("source_countries: [FR]")).find("no country \"FR\""), std::string::npos);
  const auto country = [](const std::string& text) { return findings_of(with(remote(), "pools:", "countries: [" + text + "]\n    pools:")); };
  EXPECT_EQ(country("{ code: JP, prefixes: [192.0.2.0/24] }"), "");
  EXPECT_NE(country("{ code: jp }").find("two capitals"), std::string::npos);
  EXPECT_NE(country("{ code: JP }, { code: JP }").find("countries"), std::string::npos);
  EXPECT_NE(country("{ code: JP, prefixes: [192.0.2.1/24] }").find("countries[0].prefixes[0]"), std::string::npos);
}

TEST_F(RemoteUsers, AreRefusedWithTheirPlace) {
  const auto refused = [](std::string_view from, std::string_view to) { return findings_of(with(remote(), from, to)); };
  const auto expect = [&](std::string_view from, std::string_view to, std::string_view place, std::string_view sentence) {
    const std::string found = refused(from, to);
    EXPECT_NE(found.find("error: tenants[0]." + std::string(place) + ": "), std::string::npos) << place << " in\n" << found;
    EXPECT_NE(found.find(sentence), std::string::npos) << sentence << " in\n" << found;
  };
  EXPECT_EQ(findings_of(remote()), "");
  expect("kind: tunnel, zone: remote }\n    routes", "kind: tunnel, zone: remote, nic: nic-a }\n    routes", "ports[2].nic", "a tunnel has no nic");
  expect("kind: tunnel, zone: remote }\n    routes", "kind: tunnel, zone: remote, mtu: 1501 }\n    routes", "ports[2].mtu", "between 1280 and 1500");
  expect("port: net, next_hop", "port: users, next_hop", "routes[0].port", "its pools");
  expect("tunnel: users, ranges", "tunnel: net, ranges", "pools[0].tunnel", "not of kind tunnel");
  expect("10.99.0.10-10.99.0.20", "10.99.0.20-10.99.0.10", "pools[0].ranges[0]", "not a prefix or a range");
  expect("10.99.0.10-10.99.0.20", "10.20.255.255-10.21.0.1", "pools[0].ranges[0]", "of port \"core\"");
  expect("\"fd00:99::/112\"]", "10.99.0.20]", "pools[0].ranges[1]", "overlaps the pool");
  expect("pool: people, priority: 10", "pool: peple, priority: 10", "user_groups[0].pool", "no pool named \"peple\"");
  expect("mon-fri 22:00-06:00", "mon-fri", "user_groups[0].login[0]", "days and times");
  expect("198.51.100.0/24", "198.51.100.1/24", "user_groups[0].source_prefixes[0]", "host bits");
  expect("nt_hash: 8846f7eaee8fb117ad06bdd830b7586c", "nt_hash: 8846f7eaee8fb117ad06bdd830b7586", "users[0].nt_hash", "32 hexadecimal digits");
  expect("0123456789 0123456789 x", "short", "users[1].psk", "20 to 256");
  expect("name: ken, groups: [\"情シス\"]", "name: ken, groups: [nobody]", "users[2].groups[0]", "no user group named");
  expect("name: ken", "name: HANA", "users[2].name", "compared without case");
  expect("static_addresses: [10.99.0.11]", "static_addresses: [10.99.0.9]", "users[0].static_addresses[0]", "in no pool");
  expect("name: ken,", "name: ken, static_addresses: [10.99.0.11],", "users[2].static_addresses[0]", "another user's");
  expect("[203.0.113.17, ", "[203.0.113.15, ", "gateways[0].addresses[0]", "in no prefix of port \"net\"");
  expect("        port: net\n", "        port: core\n", "gateways[0].addresses[0]", "no address of port \"core\"");
  expect("        port: net\n", "        port: users\n", "gateways[0].port", "with a wire");
  expect("        tunnel: users\n", "        tunnel: core\n", "gateways[0].tunnel", "not of kind tunnel");
  expect("accept: [eap-mschapv2, certificate]", "accept: [psk]", "gateways[0].accept", "needs the profile legacy");
  expect("accept: [eap-mschapv2, certificate]", "", "gateways[0].accept", "accepts certificate");
  expect("        client_cas: [\"-----BEGIN CERTIFICATE-----\\nMIIC\\n-----END CERTIFICATE-----\\n\"]\n", "", "gateways[0].client_cas", "says whose");
  expect("        dns: [10.20.0.53]\n", "", "gateways[0].dns_domains", "need a server in dns");
  expect("MIIB\\n-----END CERTIFICATE", "MIIB\\n-----END CERTFICATE", "gateways[0].certificates[0]", "PEM");
  expect("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVAT KEY-----", "gateways[0].keys[0]", "PEM");
  expect("child_life_mbytes: 600", "child_life_mbytes: 500", "gateways[0].child_life_mbytes", "live longer");
  expect("default_group: \"営業部\"", "default_group: \"制限中\"", "gateways[0].default_group", "has no pool");
  expect("users: [\"制限中\"]", "users: [any]", "policies[0].rules[1].users[0]", "leave the list empty");
}

TEST_F(RemoteUsers, HaveDevicesThatAreRefusedWithTheirPlace) {
  const std::string key(64, 'a');
  const std::string good = with(with(remote(), "name: ken, groups: [\"情シス\"]", "name: ken, ppk_id: quantum, ppk: " + key + ", groups: [\"情シス\"]"),
      "    gateways:\n", "    device_policies: [ { name: standard } ]\n    devices:\n"
      "      - { name: nb-1, owner: ken, certificates: [00A1b2, ff], identifiers: [nb-1.acme.test], valid_until: \"2030-01-31 22:00\" }\n"
      "      - { name: nb-2, owner_group: \"情シス\", state: disabled }\n    gateways:\n");
  const auto expect = [&](std::string_view from, std::string_view to, std::string_view place, std::string_view sentence) {
    const std::string found = findings_of(with(good, from, to));
    EXPECT_NE(found.find("error: tenants[0]." + std::string(place) + ": "), std::string::npos) << place << " in\n" << found;
    EXPECT_NE(found.find(sentence), std::string::npos) << sentence << " in\n" << found;
    EXPECT_EQ(found.find(key), std::string::npos);
  };
  EXPECT_EQ(findings_of(good), "");
  expect("owner: ken,", "", "devices[0].owner", "belongs to a user");
  expect("owner: ken,", "owner: kenn,", "devices[0].owner", "no user named \"kenn\"");
  expect("owner_group: \"情シス\"", "owner_group: nobody", "devices[1].owner_group", "no user group named");
  expect("[00A1b2, ff]", "[a1-b2]", "devices[0].certificates[0]", "hexadecimal");
  expect("[00A1b2, ff]", "[00A1b2, a1B2]", "devices[0].certificates[1]", "another device's");
  expect("[nb-1.acme.test]", "[NB-1.acme.test, nb-1.ACME.test]", "devices[0].identifiers[1]", "another device's");
  expect("[nb-1.acme.test]", "[\"\"]", "devices[0].identifiers[0]", "1 to 255");
  expect("2030-01-31 22:00", "tomorrow", "devices[0].valid_until", "not a time");
  expect("name: nb-2", "name: nb-1", "devices[1].name", "used twice");
  expect("pool: people, priority: 5", "pool: people, device_policy: strict, priority: 5", "user_groups[1].device_policy", "no device policy named");
  expect("ppk_id: quantum, ", "", "users[2].ppk", "belong together");
  expect(key, key.substr(1), "users[2].ppk", "64 to 512");
}

TEST_F(RemoteUsers, HaveSecretsThatNoFindingRepeats) {
  const std::string found = findings_of(with(with(remote(), std::string(kHash), "secret-in-the-wrong-place"), "-----BEGIN PRIVATE", "-----BEGIN PRIVAT"));
  EXPECT_NE(found, "");
  EXPECT_EQ(found.find("secret-in-the-wrong-place"), std::string::npos) << found;
  EXPECT_EQ(found.find("MC4CAQ"), std::string::npos) << found;
}

TEST_F(RemoteUsers, HaveSecretsThatNoDifferenceShows) {
  const auto differences = [&](const std::string& after) {
    std::string out;
    for (const auto& change : diff_models(decoded_.model, decode_document(after).model)) out += change.path + " " + change.before + " " + change.after + "\n";
    return out;
  };
  EXPECT_EQ(differences(with(remote(), "8846f7ea", "8846f7eb")), "tenants[acme].users[hana].nt_hash (set) (set)\n");
  EXPECT_EQ(differences(with(remote(), "MC4CAQAw", "MC4CAQAx")), "tenants[acme].gateways[vpn].keys [(set)] [(set)]\n");
  EXPECT_EQ(differences(with(remote(), ", psk: \"0123456789 0123456789 x\"", "")), "tenants[acme].users[taro].psk (set) \n");
  const std::string added = differences("{}") + differences(with(remote(), "name: hana, nt", "name: hanae, nt"));
  EXPECT_NE(added.find("users: ["), std::string::npos);
  EXPECT_EQ(added.find("8846f7ea"), std::string::npos) << added;
  EXPECT_EQ(added.find("MC4CAQ"), std::string::npos) << added;
  EXPECT_EQ(added.find("0123456789"), std::string::npos) << added;
}

TEST_F(RemoteUsers, AreMaskedInADocumentButForTheirNames) {
  model::Configuration model = decoded_.model;
  EXPECT_TRUE(mask_secrets(model));
  const std::string text = encode_document(model);
  EXPECT_EQ(text.find("8846f7ea"), std::string::npos);
  EXPECT_EQ(text.find("MC4CAQ"), std::string::npos);
  EXPECT_NE(text.find("nt_hash: \"(set)\""), std::string::npos) << text;
  EXPECT_NE(text.find("BEGIN CERTIFICATE"), std::string::npos);
  model::Configuration plain = decode_document(kExample).model;
  EXPECT_FALSE(mask_secrets(plain));
}

TEST_F(RemoteUsers, AGatewaysCodeIsItsOwnAndComesWithItsRecords) {
  const auto document = [](const std::string& code) { return with(remote(), "      - name: vpn\n", "      - name: vpn\n        code: " + code + "\n"); };
  for (const char* bad : {"tokyo", "TKY00000001", "tky000000012"}) {
    EXPECT_NE(findings_of(document(bad)).find("error: tenants[0].gateways[0].code: "), std::string::npos) << bad;
  }
  load(document("tky00000001"));
  EXPECT_EQ(make_vpn_config(decoded_.model, ids_, 7).tenants(0).gateways(0).code(), "tky00000001");
  model::Gateway second = decoded_.model.tenants(0).gateways(0);
  second.set_name("vpn2");
  *decoded_.model.mutable_tenants(0)->add_gateways() = second;
  EXPECT_NE(findings_of(encode_document(decoded_.model)).find("error: tenants[0].gateways[1].code: "), std::string::npos);
}

TEST_F(RemoteUsers, TheProfileLegacyHasAnOwnerAndALastDayAndNoOtherHas) {
  const auto document = [](const std::string& words) { return with(remote(), "        profile: windows-default\n", words); };
  const auto refused = [&](const std::string& words, const std::string& place) {
    return findings_of(document(words)).find("error: tenants[0].gateways[0].legacy" + place + ": ") != std::string::npos;
  };
  EXPECT_EQ(findings_of(document("        profile: legacy\n        legacy: { owner: yard, valid_until: \"2030-12-31\" }\n")), "");
  EXPECT_TRUE(refused("        profile: legacy\n", ""));
  EXPECT_TRUE(refused("        profile: legacy\n        legacy: { valid_until: \"2030-12-31\" }\n", ".owner") ||
              refused("        profile: legacy\n        legacy: { valid_until: \"2030-12-31\" }\n", ""));
  EXPECT_TRUE(refused("        profile: legacy\n        legacy: { owner: \"\", valid_until: \"2030-12-31\" }\n", ".owner"));
  for (const char* day : {"2030-12-31 22:00", "2030-02-29", "31.12.2030", ""}) {
    EXPECT_TRUE(refused("        profile: legacy\n        legacy: { owner: yard, valid_until: \"" + std::string(day) + "\" }\n", ".valid_until")) << day;
  }
  EXPECT_TRUE(refused("        profile: windows-default\n        legacy: { owner: yard, valid_until: \"2030-12-31\" }\n", ""));
  EXPECT_EQ(make_vpn_config(decoded_.model, ids_, 7).tenants(0).gateways(0).legacy_until(), 0) << "of windows-default";
}

TEST_F(RemoteUsers, PptpNeedsTheProfileLegacyAnOwnerAndAnEnd) {
  const auto document = [](const std::string& pptp, const char* profile = "legacy") {
    const std::string exception = profile == std::string("legacy") ? "\n        legacy: { owner: yard, valid_until: \"2031-01-01\" }" : "";
    return with(remote(), "        profile: windows-default\n", "        profile: " + (profile + exception) + "\n        pptp: { " + pptp + " }\n");
  };
  const std::string good = "owner: scales, valid_until: \"2030-12-31 22:00\"";
  EXPECT_EQ(findings_of(document(good)), "");
  EXPECT_NE(findings_of(document(good, "windows-default")).find("gateways[0].pptp"), std::string::npos);
  EXPECT_NE(findings_of(document("owner: \"\", valid_until: \"2030-12-31 22:00\"")).find("pptp.owner"), std::string::npos);
  EXPECT_NE(findings_of(document("valid_until: \"2030-12-31 22:00\"")).find("owner"), std::string::npos);
  EXPECT_NE(findings_of(document("owner: scales, valid_until: \"2030-13-31 22:00\"")).find("pptp.valid_until"), std::string::npos);
  EXPECT_NE(findings_of(document("owner: scales")).find("valid_until"), std::string::npos);

  load(document(good));
  for (const auto& gateway : view().gateways()) {  // of its IPv4 address alone
    const bool four = gateway.tenant == 0 && gateway.address.family == Family::kIpv4;
    EXPECT_EQ(gateway.serves, four ? filters::snapshot::kServesPptp : 0U);
    EXPECT_EQ(gateway.service != 0, four);
  }
  const ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  const auto& pptp = config.tenants(0).gateways(0).pptp();
  EXPECT_EQ(pptp.owner(), "scales");
  EXPECT_EQ(pptp.valid_until(), 1924952400);
  EXPECT_EQ(config.tenants(0).gateways(0).legacy_until(), parse_civil("2031-01-02 00:00"));
  load(document("owner: scales, valid_until: \"2031-06-30 22:00\""));
  EXPECT_EQ(make_vpn_config(decoded_.model, ids_, 7).tenants(0).gateways(0).pptp().valid_until(), parse_civil("2031-01-02 00:00"))
      << "it ends with the profile it stands on";
  ASSERT_EQ(pptp.services_size(), 1);
  EXPECT_EQ(pptp.services(0).address().size(), 4U);
  ipc::VpnConfig narrow = config;
  narrow_to_pptp(narrow);
  const std::string bytes = narrow.SerializeAsString();
  EXPECT_NE(config.SerializeAsString().find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(bytes.find("PRIVATE KEY"), std::string::npos);
  EXPECT_EQ(narrow.tenants(0).users(0).nt_hash(), config.tenants(0).users(0).nt_hash());
  load(remote());
  for (const auto& gateway : view().gateways()) EXPECT_EQ(gateway.serves, 0U);
  narrow = make_vpn_config(decoded_.model, ids_, 7);
  narrow_to_pptp(narrow);
  for (const auto& user : narrow.tenants(0).users()) EXPECT_EQ(user.nt_hash(), "") << "nobody needs it there";
}

TEST_F(RemoteUsers, GoToTheKeyingDaemonWithTheirSecrets) {
  ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  ASSERT_EQ(config.tenants_size(), 1) << "a tenant without a gateway has nobody who could come in";
  const auto& tenant = config.tenants(0);
  EXPECT_EQ(tenant.id(), ids_.number(IdKind::kTenant, tenant_key("acm00000001")));
  const auto& gateway = tenant.gateways(0);
  EXPECT_EQ(gateway.addresses(0), std::string("\xcb\x00\x71\x11", 4));
  EXPECT_EQ(gateway.addresses(1).size(), 16U);
  EXPECT_EQ(gateway.profile(), "windows-default");
  EXPECT_TRUE(gateway.accept_certificate() && gateway.accept_eap_mschapv2());
  EXPECT_FALSE(gateway.accept_psk());
  EXPECT_EQ(gateway.keys(0), "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n");
  EXPECT_EQ(gateway.child_rekey_bytes(), 500'000'000U);
  EXPECT_EQ(gateway.tunnel_port(), ids_.number(IdKind::kPort, port_key("acm00000001", "users")));
  EXPECT_EQ(tenant.users(0).id(), id_of("hana"));
  EXPECT_EQ(tenant.users(0).nt_hash(), "\x88\x46\xf7\xea\xee\x8f\xb1\x17\xad\x06\xbd\xd8\x30\xb7\x58\x6c");
  EXPECT_EQ(tenant.users(0).static_addresses(0), std::string("\x0a\x63\x00\x0b", 4));
  EXPECT_EQ(tenant.users(2).nt_hash(), "");
  EXPECT_TRUE(tenant.users(3).suspended());
  const auto& group = tenant.groups(0);
  EXPECT_TRUE(group.replace_oldest());
  ASSERT_EQ(group.login_size(), 2) << "a slot past midnight is two windows";
  EXPECT_EQ(group.login(0).weekdays(), 0x1fU);
  EXPECT_EQ(group.login(0).from_minute(), 22U * 60);
  EXPECT_EQ(group.login(0).to_minute(), 24U * 60);
  EXPECT_EQ(group.login(1).weekdays(), 0x3eU);
  EXPECT_EQ(group.login(1).to_minute(), 6U * 60);
  EXPECT_EQ(tenant.pools(0).ranges(0).last(), std::string("\x0a\x63\x00\x14", 4));

  std::string* key = config.mutable_tenants(0)->mutable_gateways(0)->mutable_keys(0);
  const char* bytes = key->data();
  const std::size_t size = key->size();
  wipe(*key);
  EXPECT_EQ(std::string(bytes, size).find("MC4"), std::string::npos);
  wipe_secrets(config);
  EXPECT_EQ(config.tenants_size(), 0);
}

TEST_F(RemoteUsers, HaveRulesThatAreReachedUnlessAnyoneIsTakenAbove) {
  const auto remarks = [&](const std::string& text) {
    load(text);
    std::string out;
    for (const auto& finding : remark_on_rules(decoded_.model, decoded_.positions, compiled_)) out += finding.sentence + '\n';
    return out;
  };
  EXPECT_EQ(remarks(remote()), "");
  const std::string rule = "          - { name: \"情シス→管理\"";
  EXPECT_NE(remarks(with(remote(), rule, "          - { name: all, action: allow }\n" + rule)).find("no packet reaches the rule \"営業→基幹\""),
            std::string::npos);
  const std::string twice = "          - { name: again, action: allow, users: [\"情シス\"], destination: [\"管理網\"], service: [\"管理系\"] }\n";
  const std::string end = "      - name: rest\n";
  EXPECT_NE(remarks(with(remote(), end, twice + end)).find("no packet reaches the rule \"again\""), std::string::npos);
  const std::string other = "          - { name: again, action: allow, users: [\"営業部\"], destination: [\"管理網\"], service: [\"管理系\"] }\n";
  EXPECT_EQ(remarks(with(remote(), end, other + end)), "") << "of another group";
  const std::string leaving = "          - { name: again, action: allow, users: [\"制限中\"], destination: [\"基幹サーバ\"] }\n";
  const std::string said = remarks(with(remote(), end, leaving + end));
  EXPECT_NE(said.find("no packet reaches the rule \"again\""), std::string::npos) << "dropped above, whoever else they are: " << said;
  EXPECT_NE(said.find(" of a user in "), std::string::npos) << said;
}

}  // namespace
}  // namespace sekisho::control::test
