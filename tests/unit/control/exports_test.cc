// SPDX-License-Identifier: Apache-2.0
// Goal: collectors of a document are what docs/configuration.md says, only where the provider allows them, and their secrets are shown to
// nobody. Method: one valid document, changed in one place at a time; the nearest change that is still right makes no finding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/compile/export_plan.h"
#include "control/config/diff.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using testing::HasSubstr;

constexpr std::string_view kCa = R"("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")";

std::string document() {
  const std::string ca(kCa);
  const std::string tenants = "    log_exports:\n      - { name: siem, kind: syslog, address: 192.0.2.77, cas: [" + ca + "], server_name: siem.example }\n" +
                              "      - { name: web, kind: https, address: \"2001:db8:77::1\", cas: [" + ca + "], token: \"sixteen-bytes-of-token\", types: [comm, loss] }\n" +
                              "      - { name: flows, kind: ipfix, address: 192.0.2.78, cas: [" + ca + "], enabled: false }\n";
  const std::string provider = "log_exports:\n  destinations: [192.0.2.64/26, \"2001:db8:77::/64\"]\n  targets:\n    - { name: soc, kind: syslog, address: 198.51.100.1, cas: [" + ca + "] }\n";
  return with(with(kExample, "    zones: [servers, office, internet]\n", "    zones: [servers, office, internet]\n" + tenants), "node: u0\n", "node: u0\n" + provider);
}

struct Case {
  const char* name;
  const char* from;
  const char* wrong;
  const char* right;
  const char* finding;
};

class Exports : public testing::TestWithParam<Case> {};

TEST_P(Exports, FindTheFaultAndNotItsNeighbour) {
  const Case& c = GetParam();
  EXPECT_THAT(findings_of(with(document(), c.from, c.wrong)), HasSubstr(c.finding));
  // The example has a warning of its own, of a binding.
  EXPECT_THAT(findings_of(with(document(), c.from, c.right)), testing::Not(testing::AnyOf(HasSubstr("log_exports"), HasSubstr(": error: "))));
}

constexpr Case kCases[] = {
    {"Outside", "address: 192.0.2.77", "address: 192.0.2.128", "address: 192.0.2.127", "log_exports[0].address: 192.0.2.128 is in none of the provider's"},
    {"NoName", "address: 192.0.2.77", "address: siem.example", "address: 192.0.2.79", "log_exports[0].address: \"siem.example\" is not the address"},
    {"Loopback", "address: 198.51.100.1", "address: 127.0.0.1", "address: 198.51.100.2", "log_exports.targets[0].address: \"127.0.0.1\" is not the address"},
    {"Types", "types: [comm, loss]", "types: [comm, sent]", "types: [comm, sec]", "log_exports[1].types[1]"},
    {"Token", "sixteen-bytes-of-token", "fifteen-bytes..", "sixteen-bytes...", "log_exports[1].token: a token has 16"},
    {"TokenBreak", "sixteen-bytes-of-token", "sixteen-bytes\\r\\nX: y", "sixteen-bytes-X:-y", "log_exports[1].token: a token has 16"},
    {"TokenOfSyslog", "server_name: siem.example", "token: \"sixteen-bytes-of-token\"", "server_name: 192.0.2.1", "log_exports[0].token: only https"},
    {"Path", "types: [comm, loss]", "path: \"in\"", "path: \"/in?x=1\"", "log_exports[1].path: a path begins"},
    {"KeyAlone", "server_name: siem.example", "key: \"-----BEGIN PRIVATE KEY-----\\nA\\n-----END PRIVATE KEY-----\"", "memo: none", "log_exports[0].key: a certificate has its key"},
    {"ServerName", "server_name: siem.example", "server_name: \"siem example\"", "server_name: siem-1.example", "log_exports[0].server_name"},
    {"Transport", "server_name: siem.example", "transport: udp", "transport: tls", "log_exports[0].transport: syslog and https go by tls only"},
    {"IpfixTypes", "enabled: false", "types: [sec]", "types: [comm]", "log_exports[2].types: ipfix tells of flows"},
    {"TwoNames", "name: flows", "name: web", "name: flow", "log_exports[2].name: the name \"web\" is used twice"},
    {"Tenants", "name: soc,", "name: soc, tenants: [acm00000009],", "name: soc, tenants: [acm00000001],", "targets[0].tenants[0]: there is no tenant"},
    {"TenantsOfOne", "name: siem,", "name: siem, tenants: [acm00000001],", "name: siem2,", "log_exports[0].tenants: a tenant's collector"},
    {"Port", "name: siem,", "name: siem, port: 65536,", "name: siem, port: 65535,", "log_exports[0].port"},
};
INSTANTIATE_TEST_SUITE_P(Each, Exports, testing::ValuesIn(kCases), [](const auto& given) { return std::string(given.param.name); });

TEST(ExportsOfTenants, AreNowhereWhenTheProviderSaysNothing) {
  const std::string none = with(document(), "  destinations: [192.0.2.64/26, \"2001:db8:77::/64\"]\n", "");
  EXPECT_THAT(findings_of(none), HasSubstr("log_exports[0].address: 192.0.2.77 is in none"));
  EXPECT_THAT(findings_of(none), testing::Not(HasSubstr("targets[0]")));
}

TEST(ExportsInTheClear, AreWarnedOf) {
  const std::string clear = with(document(), "address: 192.0.2.78, cas: [" + std::string(kCa) + "], enabled: false", "address: 192.0.2.78, transport: udp");
  EXPECT_THAT(findings_of(clear), HasSubstr("warning: tenants[0].log_exports[2].transport: flows go in the clear"));
  EXPECT_EQ(findings_of(clear).find(": error: "), std::string::npos);
}

TEST(ExportsPlan, HoldsTheEnabledOnesWithTheirSecrets) {
  const Decoded decoded = decode_document(document());
  ipc::ExportPlan plan = make_export_plan(decoded.model, 7);
  ASSERT_EQ(plan.targets_size(), 3);
  EXPECT_EQ(plan.targets(0).owner(), "");
  EXPECT_EQ(plan.targets(0).what().name(), "soc");
  EXPECT_EQ(plan.targets(1).owner(), "acm00000001");
  EXPECT_EQ(plan.targets(2).what().token(), "sixteen-bytes-of-token");
  wipe_secrets(plan);
  EXPECT_EQ(plan.targets_size(), 0);
}

TEST(ExportsList, SaysWhoGetsWhatAndHoldsNoSecret) {
  Decoded decoded = decode_document(document());
  decoded.model.mutable_tenants(0)->mutable_log_exports(0)->clear_types();
  decoded.model.mutable_tenants(0)->mutable_log_exports(0)->add_types(model::LogExport::SEC);
  decoded.model.mutable_tenants(0)->mutable_log_exports(0)->add_types(model::LogExport::DEVAUTH);
  auto& soc = *decoded.model.mutable_log_exports()->mutable_targets(0);
  soc.clear_tenants(), soc.add_tenants("acm00000001");
  const ipc::SetLogExports list = make_export_list(decoded.model, 7);
  ASSERT_EQ(list.targets_size(), 3);
  EXPECT_EQ(list.generation(), 7U);
  EXPECT_EQ(list.targets(0).owner(), "");
  EXPECT_EQ(list.targets(0).service_codes(0), "acm00000001");
  EXPECT_EQ(list.targets(1).owner(), "acm00000001");
  EXPECT_EQ(list.targets(1).types_size(), 2);
  EXPECT_EQ(list.targets(1).types(0), "sec");
  EXPECT_EQ(list.targets(1).types(1), "devauth");
  EXPECT_EQ(list.targets(1).service_codes_size(), 0);
  EXPECT_EQ(list.SerializeAsString().find("sixteen-bytes-of-token"), std::string::npos);

  decoded.model.mutable_tenants(0)->mutable_log_exports(0)->set_kind(model::LogExport::IPFIX);
  const ipc::SetLogExports flows = make_export_list(decoded.model, 7);
  ASSERT_EQ(flows.targets(1).types_size(), 1);
  EXPECT_EQ(flows.targets(1).types(0), "comm");
}

}  // namespace
}  // namespace sekisho::control::test
