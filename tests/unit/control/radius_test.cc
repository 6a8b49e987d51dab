// SPDX-License-Identifier: Apache-2.0
// Goal: RADIUS backends of a document mean what docs/configuration.md says, in the snapshot and for the keying daemon, and their secrets
// are shown to nobody else. Method: one document with two backends, changed in one place at a time.
#include <gtest/gtest.h>

#include <algorithm>

#include "control/compile/vpn_config.h"
#include "control/config/codec.h"
#include "control/config/diff.h"
#include "filters/policy/snapshot_view.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

constexpr std::string_view kBackends = R"(    radius:
      - { name: campus, port: core, source: 10.20.0.1, servers: [ { address: 10.20.0.6, secret: "sixteen bytes and more" }, { address: 10.20.0.5, secret: "another of sixteen", port: 1645 } ],
          groups: [ { value: sales, groups: ["営業部"] }, { value: all, groups: ["営業部", "制限中"] } ], default_groups: ["制限中"], disconnect: true }
      - { name: other, port: core, source: 10.20.0.1, servers: [ { address: 10.20.0.7, secret: "a third of sixteen" } ], realms: [Example.JP] }
    gateways:
)";

std::string document() {
  return with(with(with(kRemote, "    gateways:\n", kBackends), "accept: [eap-mschapv2, certificate]", "accept: [eap-radius, certificate]"),
              "        dns: [10.20.0.53]\n", "        dns: [10.20.0.53]\n        radius: [other, campus]\n");
}

class RadiusBackends : public testing::Test {
 protected:
  RadiusBackends() : decoded_(decode_document(document())) {
    const auto findings = validate(decoded_);
    EXPECT_TRUE(findings.empty()) << to_line("f", findings.front());
    compiled_ = compile(decoded_.model, decoded_.positions, ids_, 7);
  }
  Ids ids_;
  Decoded decoded_;
  Compiled compiled_;
};

TEST_F(RadiusBackends, AreServersOfTheSnapshotInItsOrder) {
  const auto view = filters::SnapshotView::parse(compiled_.snapshot).value();
  const auto peers = view.radius_peers();
  ASSERT_EQ(peers.size(), 3U);
  EXPECT_EQ(peers[0].remote, *parse_address("10.20.0.5"));
  EXPECT_EQ(peers[0].local, *parse_address("10.20.0.1"));
  EXPECT_EQ(peers[0].port, 1645);
  EXPECT_EQ(peers[0].accounting_port, 1813);
  EXPECT_EQ(peers[0].changes, 1);
  EXPECT_EQ(peers[2].changes, 0);
}

TEST_F(RadiusBackends, HaveAUserOfTheirOwnForEachValue) {
  const auto view = filters::SnapshotView::parse(compiled_.snapshot).value();
  const auto groups = [&](std::string_view backend, std::string_view value) -> std::uint64_t {
    const std::uint32_t id = ids_.number(IdKind::kUser, radius_group_key("acm00000001", backend, value));
    const auto users = view.users();
    const auto found = std::find_if(users.begin(), users.end(), [id](const auto& one) { return one.id == id; });
    return found == users.end() ? ~std::uint64_t{0} : found->groups;
  };
  EXPECT_EQ(groups("campus", "sales"), 1U);
  EXPECT_EQ(groups("campus", "all"), 5U);
  EXPECT_EQ(groups("campus", ""), 4U);
  EXPECT_EQ(groups("other", ""), 0U);
}

TEST_F(RadiusBackends, ComeToTheKeyingDaemonWithTheirSecrets) {
  const auto config = make_vpn_config(decoded_.model, ids_, 7);
  const auto& tenant = config.tenants(0);
  EXPECT_TRUE(tenant.gateways(0).accept_eap_radius());
  EXPECT_EQ(tenant.gateways(0).radius(0), "other");
  ASSERT_EQ(tenant.radius_size(), 2);
  const auto& campus = tenant.radius(0);
  EXPECT_EQ(campus.servers(0).secret(), "sixteen bytes and more");
  EXPECT_EQ(campus.servers(1).port(), 1645U);
  EXPECT_EQ(campus.port(), ids_.number(IdKind::kPort, port_key("acm00000001", "core")));
  EXPECT_EQ(campus.groups_size(), 3);
  EXPECT_EQ(campus.groups(2).value(), "");
  EXPECT_EQ(campus.groups(1).id(), ids_.number(IdKind::kUser, radius_group_key("acm00000001", "campus", "all")));
}

TEST_F(RadiusBackends, AreRefusedWithTheirPlaceAndWithoutTheirSecret) {
  const auto expect = [](std::string_view from, std::string_view to, std::string_view place, std::string_view sentence) {
    const std::string found = findings_of(with(document(), from, to));
    EXPECT_NE(found.find("error: tenants[0]." + std::string(place) + ": "), std::string::npos) << place << " in\n" << found;
    EXPECT_NE(found.find(sentence), std::string::npos) << sentence << " in\n" << found;
    EXPECT_EQ(found.find("short secret"), std::string::npos) << found;
  };
  expect("port: core, source", "port: users, source", "radius[0].port", "segment or routed");
  expect("port: core, source", "port: nowhere, source", "radius[0].port", "no port named");
  expect("source: 10.20.0.1", "source: 10.20.0.2", "radius[0].source", "no address of port \"core\"");
  expect("address: 10.20.0.6", "address: 10.20.0.5", "radius[0].servers[1].address", "asked from this source already");
  expect("address: 10.20.0.7", "address: 10.20.0.6", "radius[1].servers[0].address", "asked from this source already");
  expect("address: 10.20.0.6", "address: 224.0.0.1", "radius[0].servers[0].address", "not the address of a server");
  expect("address: 10.20.0.6", "address: \"2001:db8::1\"", "radius[0].servers[0].address", "another family");
  expect("sixteen bytes and more", "short secret", "radius[0].servers[0].secret", "16 to 128 bytes");
  expect("port: 1645", "port: 0", "radius[0].servers[1].port", "between 1 and");
  expect("value: all", "value: sales", "radius[0].groups[1].value", "given twice");
  expect("value: all, groups: [\"営業部\"", "value: all, groups: [\"nobody\"", "radius[0].groups[1].groups[0]", "no user group named");
  expect("realms: [Example.JP]", "realms: [\"a@b\"]", "radius[1].realms[0]", "follows the @");
  expect("name: other, port", "name: campus, port", "radius[1].name", "used twice");
  expect("radius: [other, campus]", "radius: [other, nowhere]", "gateways[0].radius[1]", "no backend named");
  expect("        radius: [other, campus]\n", "", "gateways[0].radius", "names a backend");
  expect("accept: [eap-radius, certificate]", "accept: [certificate]", "gateways[0].accept", "a backend is asked for eap-radius");
  expect("accept: [eap-radius, certificate]", "accept: [eap-radius, eap-tls]", "gateways[0].accept", "are not for one gateway");
}

TEST_F(RadiusBackends, HaveSecretsThatNeitherDifferenceNorDocumentShows) {
  std::string changes;
  for (const auto& change : diff_models(decoded_.model, decode_document(with(document(), "sixteen bytes and more", "sixteen bytes and less")).model)) {
    changes += change.path + " " + change.before + " " + change.after;
  }
  EXPECT_NE(changes.find("(set) (set)"), std::string::npos) << changes;
  EXPECT_EQ(changes.find("sixteen"), std::string::npos) << changes;
  model::Configuration masked = decoded_.model;
  EXPECT_TRUE(mask_secrets(masked));
  EXPECT_EQ(encode_document(masked).find("sixteen"), std::string::npos);
}

}  // namespace
}  // namespace sekisho::control::test
