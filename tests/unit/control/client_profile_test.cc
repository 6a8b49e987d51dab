// SPDX-License-Identifier: Apache-2.0
// Goal: what people import says what the gateway accepts, whatever their names hold, and never what it must not.
// Method: profiles of one gateway, read line by line.
#include "control/profile/client_profile.h"

#include <gtest/gtest.h>

namespace sekisho::control {
namespace {

constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----\n";
constexpr ClientFamily kAll[] = {ClientFamily::kWindows, ClientFamily::kApple, ClientFamily::kAndroid, ClientFamily::kStrongswan,
                                 ClientFamily::kNetworkManager};

ipc::VpnGateway gateway() {
  ipc::VpnGateway out;
  out.set_name("tokyo");
  out.set_identity("vpn.example.com");
  out.add_addresses(std::string("\xcb\x00\x71\x01", 4));
  out.set_profile("modern");
  out.set_accept_eap_mschapv2(true);
  out.add_gateway_cas(kPem);
  out.add_keys("-----BEGIN PRIVATE KEY-----secret");
  auto& network = *out.add_networks();
  network.set_address(std::string("\x0a\x14\x08\x00", 4)), network.set_length(24);
  auto& six = *out.add_networks();
  six.set_address(std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\0", 16)), six.set_length(32);
  out.add_dns(std::string("\x0a\x14\x08\x35", 4));
  out.add_dns_domains("corp.example");
  out.set_ike_rekey_seconds(14400), out.set_child_rekey_seconds(3600);
  return out;
}

std::string text_for(ClientFamily family, const std::string& user = "alice", const ipc::VpnGateway& from = gateway()) {
  const ClientProfile made = write_client_profile("acm00000001", from, user, family);
  EXPECT_EQ(made.refusal, "");
  return made.text;
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t out = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++out;
  return out;
}

TEST(ClientProfile, OffersTheSuiteThatEveryProfileOfAGatewayAccepts) {
  EXPECT_NE(text_for(ClientFamily::kWindows).find("-EncryptionMethod GCMAES256 -IntegrityCheckMethod SHA384 -DHGroup ECP384"
                                                  " -CipherTransformConstants GCMAES256"),
            std::string::npos);
  EXPECT_EQ(count(text_for(ClientFamily::kApple), "<string>AES-256-GCM</string>"), 2U);
  EXPECT_EQ(count(text_for(ClientFamily::kApple), "<integer>20</integer>"), 2U);
  for (const ClientFamily family : {ClientFamily::kAndroid, ClientFamily::kStrongswan, ClientFamily::kNetworkManager}) {
    EXPECT_NE(text_for(family).find("aes256gcm16-prfsha384-ecp384"), std::string::npos);
  }
}

TEST(ClientProfile, NamesServerUserAndNetworksAndHoldsNoSecret) {
  for (const ClientFamily family : kAll) {
    const std::string text = text_for(family);
    EXPECT_NE(text.find("vpn.example.com"), std::string::npos) << static_cast<int>(family);
    EXPECT_EQ(text.find("PRIVATE"), std::string::npos);
    if (family != ClientFamily::kWindows) {
      EXPECT_NE(text.find("alice"), std::string::npos) << static_cast<int>(family);
    }
    if (family != ClientFamily::kApple) {
      EXPECT_NE(text.find("10.20.8.0/24"), std::string::npos) << static_cast<int>(family);
      EXPECT_NE(text.find("2001:db8::/32"), std::string::npos) << static_cast<int>(family);
    }
  }
}

TEST(ClientProfile, QuotesForJson) {
  const std::string text = text_for(ClientFamily::kAndroid, "a\"b\\c\n'日本");
  EXPECT_NE(text.find("\"eap_id\": \"a\\\"b\\\\c'日本\"\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\"cert\": \"QUJDREVG\"\n"), std::string::npos);
  EXPECT_NE(text.find("\"subnets\": [\"10.20.8.0/24\", \"2001:db8::/32\"]"), std::string::npos);
}

TEST(ClientProfile, LetsNoNameEndItsQuotes) {
  ipc::VpnGateway hostile = gateway();
  hostile.set_name("x'; Remove-Item C:\\ -Recurse; '\xe2\x80\x99; evil");
  const std::string script = text_for(ClientFamily::kWindows, "alice", hostile);
  EXPECT_NE(script.find("$name = 'x''; Remove-Item C:\\ -Recurse; ''\xe2\x80\x99\xe2\x80\x99; evil (vpn.example.com)'\r\n"),
            std::string::npos) << script;
  const std::string apple = text_for(ClientFamily::kApple, "</string><key>evil</key>");
  EXPECT_EQ(apple.find("<key>evil"), std::string::npos);
  EXPECT_NE(text_for(ClientFamily::kNetworkManager, "a\nmethod=psk").find("user=amethod=psk\n"), std::string::npos);
  EXPECT_NE(text_for(ClientFamily::kStrongswan, "a\" }\n evil { x = \"").find("eap_id = \"a\\\" } evil { x = \\\"\"\n"), std::string::npos);
  const ClientProfile file = write_client_profile("acm00000001", hostile, "../../etc/passwd", ClientFamily::kApple);
  EXPECT_EQ(file.file_name.find_first_of("/\\ ';."), file.file_name.size() - std::string_view(".mobileconfig").size()) << file.file_name;
}

TEST(ClientProfile, IsTheSameForTheSameAndAnotherForAnother) {
  for (const ClientFamily family : kAll) EXPECT_EQ(text_for(family), text_for(family));
  const auto uuid = [](const std::string& user) { return text_for(ClientFamily::kAndroid, user).substr(0, 54); };
  EXPECT_NE(uuid("alice"), uuid("alicf"));
}

TEST(ClientProfile, SplitsNothingWhenTheGatewayGivesEverything) {
  ipc::VpnGateway all = gateway();
  auto& everything = *all.add_networks();
  everything.set_address(std::string(4, '\0')), everything.set_length(0);
  EXPECT_EQ(text_for(ClientFamily::kWindows, "alice", all).find("SplitTunneling"), std::string::npos);
  EXPECT_NE(text_for(ClientFamily::kWindows).find("SplitTunneling"), std::string::npos);
  EXPECT_NE(text_for(ClientFamily::kStrongswan, "alice", all).find("remote_ts = 0.0.0.0/0, ::/0"), std::string::npos);
}

TEST(ClientProfile, SaysWhyThereIsNone) {
  ipc::VpnGateway certificates = gateway();
  certificates.set_accept_eap_mschapv2(false);
  EXPECT_NE(write_client_profile("acm00000001", certificates, "alice", ClientFamily::kApple).refusal, "");
  EXPECT_FALSE(client_family_named("amiga"));
  EXPECT_TRUE(client_family_named("windows"));
}

}  // namespace
}  // namespace sekisho::control
