// SPDX-License-Identifier: Apache-2.0
// Goal: L2TP of a gateway means what docs/configuration.md says, for the keying daemons alone, and its keys are shown to nobody else.
// Method: one document with a gateway of L2TP, changed in one place at a time.
#include <gtest/gtest.h>

#include "control/compile/vpn_config.h"
#include "control/config/codec.h"
#include "control/config/diff.h"
#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

std::string document() {
  return with(kRemote, "        dns: [10.20.0.53]\n",
              "        dns: [10.20.0.53]\n"
              "        l2tp: { accept: [eap-mschapv2, mschapv2], keys: [ { name: people, psk: \"sixteen letters!\" },"
              " { name: branch, psk: \"another sixteen!\", from: [198.51.100.0/24] } ] }\n");
}

class L2tpOfAGateway : public testing::Test {
 protected:
  L2tpOfAGateway() : decoded_(decode_document(document())) {
    const auto findings = validate(decoded_);
    EXPECT_TRUE(findings.empty()) << to_line("f", findings.front());
  }
  Ids ids_;
  Decoded decoded_;
};

TEST_F(L2tpOfAGateway, ReachesTheKeyingDaemonsWithItsKeysInTheirOrder) {
  ipc::VpnConfig config = make_vpn_config(decoded_.model, ids_, 7);
  const ipc::VpnL2tp& l2tp = config.tenants(0).gateways(0).l2tp();
  ASSERT_EQ(l2tp.accept_size(), 2);
  EXPECT_EQ(l2tp.accept(0), ipc::DOOR_EAP_MSCHAPV2);
  EXPECT_EQ(l2tp.accept(1), ipc::DOOR_MSCHAPV2);
  EXPECT_FALSE(l2tp.certificates());
  ASSERT_EQ(l2tp.keys_size(), 2);
  EXPECT_EQ(l2tp.keys(0).psk(), "sixteen letters!");
  EXPECT_EQ(l2tp.keys(0).from_size(), 0);
  ASSERT_EQ(l2tp.keys(1).from_size(), 1);
  EXPECT_EQ(l2tp.keys(1).from(0).length(), 24U);
  wipe_secrets(config);
  EXPECT_EQ(config.tenants_size(), 0);
}

TEST_F(L2tpOfAGateway, IsRefusedWithItsPlaceAndWithoutItsKeys) {
  const auto expect = [](std::string_view from, std::string_view to, std::string_view place, std::string_view sentence) {
    const std::string found = findings_of(with(document(), from, to));
    EXPECT_NE(found.find("error: tenants[0].gateways[0].l2tp" + std::string(place) + ": "), std::string::npos) << place << " in\n" << found;
    EXPECT_NE(found.find(sentence), std::string::npos) << sentence << " in\n" << found;
    EXPECT_EQ(found.find("short key"), std::string::npos) << found;
  };
  expect("psk: \"sixteen letters!\"", "psk: \"short key\"", ".keys[0].psk", "16 to 128 characters");
  expect("accept: [eap-mschapv2, mschapv2], keys", "keys", ".accept", "L2TP accepts");
  expect("from: [198.51.100.0/24]", "from: [198.51.100.7/24]", ".keys[1].from[0]", "198.51.100.7/24");
  expect("name: branch", "name: people", ".keys[1].name", "used twice");
}

TEST_F(L2tpOfAGateway, AcceptsWhatSomebodyCanJudge) {
  const auto found = [](std::string_view methods) {
    return findings_of(with(document(), "accept: [eap-mschapv2, mschapv2], keys", "accept: [" + std::string(methods) + "], keys"));
  };
  EXPECT_EQ(found("pap"), "") << "there are users with passwords";
  EXPECT_NE(found("chap").find("l2tp.accept: chap needs a backend"), std::string::npos);
  EXPECT_NE(found("eap-radius").find("names a backend in radius"), std::string::npos);
  EXPECT_EQ(found("eap-mschapv2, eap-tls"), "") << "there are client_cas";
  EXPECT_NE(found("eap-tls, eap-radius").find("not for one door"), std::string::npos);
  const auto without = [](std::string text) {
    for (std::size_t at; (at = text.find("nt_hash: ")) != std::string::npos;) text.replace(at, 7, "memo");
    return text;
  };
  EXPECT_NE(findings_of(without(with(document(), "accept: [eap-mschapv2, mschapv2], keys", "accept: [pap], keys"))).find("nobody to verify"),
            std::string::npos);
}

TEST_F(L2tpOfAGateway, HasKeysThatNeitherDifferenceNorDocumentShows) {
  std::string changes;
  for (const auto& change : diff_models(decoded_.model, decode_document(with(document(), "sixteen letters!", "sixteen of them!")).model)) {
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
