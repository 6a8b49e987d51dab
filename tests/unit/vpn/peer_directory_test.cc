// SPDX-License-Identifier: Apache-2.0
// Goal: which pre-shared keys a peer of IKEv1 may mean. Method: plans as controld says them.
#include "vpn/peer_directory.h"

#include <gtest/gtest.h>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::vpn {
namespace {

std::string bytes_of(const char* address) {
  const Address read = parse_address(address).value();
  return {read.wire().begin(), read.wire().end()};
}

class VpnPeerDirectory : public testing::Test {
 protected:
  VpnPeerDirectory() {
    config_.set_generation(7);
    for (const std::uint32_t tenant : {1U, 2U}) {
      auto& of = *config_.add_tenants();
      of.set_id(tenant);
      of.set_service_code(tenant == 1 ? "acme" : "globex");
      auto& gateway = *of.add_gateways();
      gateway.set_name("tokyo");
      gateway.set_profile("modern");
      gateway.add_addresses(bytes_of("192.0.2.1"));
      add_key(gateway, tenant == 1 ? "for anybody at acme" : "for anybody at globex", nullptr);
    }
    auto& first = *config_.mutable_tenants(0)->mutable_gateways(0);
    add_key(first, "for one branch", "198.51.100.0/24");
    add_key(first, "for another", "203.0.113.0/24");
    add_key(first, "for anybody, too", nullptr);
    auto& none = *config_.mutable_tenants(0)->add_gateways();
    none.set_name("no l2tp");
    none.set_profile("modern");
    none.add_addresses(bytes_of("192.0.2.2"));
    follow();
  }
  static void add_key(ipc::VpnGateway& gateway, const char* psk, const char* from) {
    auto& key = *gateway.mutable_l2tp()->add_keys();
    key.set_psk(psk);
    if (from == nullptr) return;
    const Prefix prefix = parse_prefix(from).value();
    key.add_from()->set_address(std::string(prefix.address.wire().begin(), prefix.address.wire().end()));
    key.mutable_from(0)->set_length(prefix.length);
  }
  void follow() {
    const std::string bytes = config_.SerializeAsString();
    const auto plan = parse_plan({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    ASSERT_TRUE(plan);
    directory_.set_plan(**plan);
  }
  static Path path(const char* from, std::uint32_t tenant = 1, const char* at = "192.0.2.1") {
    return {tenant, 7, {parse_address(at).value(), 500}, {parse_address(from).value(), 500}};
  }
  std::vector<std::string> keys(const Path& path) {
    std::vector<std::string> out;
    for (std::size_t index = 0;; ++index) {
      std::array<std::uint8_t, 256> room;
      const std::size_t size = directory_.peer_psk(path, index, room);
      if (size == 0) return out;
      out.emplace_back(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(size));
    }
  }

  ipc::VpnConfig config_;
  PeerDirectory directory_;
};

TEST_F(VpnPeerDirectory, KeysForThePeersAddressComeFirstThenThoseForAnybodyAndNoOthers) {
  EXPECT_EQ(keys(path("198.51.100.9")), (std::vector<std::string>{"for one branch", "for anybody at acme", "for anybody, too"}));
  EXPECT_EQ(keys(path("203.0.113.9")), (std::vector<std::string>{"for another", "for anybody at acme", "for anybody, too"}));
  EXPECT_EQ(keys(path("192.0.2.77")), (std::vector<std::string>{"for anybody at acme", "for anybody, too"}));
  EXPECT_EQ(keys(path("198.51.100.9", 2)), (std::vector<std::string>{"for anybody at globex"})) << "the other tenant at the same address";
  EXPECT_TRUE(keys(path("198.51.100.9", 3)).empty());
  EXPECT_TRUE(keys(path("198.51.100.9", 1, "192.0.2.2")).empty()) << "a gateway without L2TP";
}

TEST_F(VpnPeerDirectory, APeerIsAGatewaysWhileThereIsOne) {
  Session session;
  session.path = path("198.51.100.9");
  EXPECT_EQ(directory_.authorize(session).cause, Cause::kNone);
  EXPECT_EQ(directory_.owner_of(session.path).service_code, "acme");
  EXPECT_EQ(directory_.owner_of(session.path).gateway, "tokyo");
  EXPECT_EQ(directory_.owner_of(session.path).revision, 7U);
  config_.mutable_tenants(0)->mutable_gateways(0)->clear_l2tp();
  follow();
  EXPECT_EQ(directory_.authorize(session).cause, Cause::kConfig);
  EXPECT_TRUE(keys(session.path).empty());
}

TEST_F(VpnPeerDirectory, AKeyIsKnownByItsMarkToWhoMayMeanItUntilItIsTakenAway) {
  const auto mark = [](std::string_view psk) { return mark_of({reinterpret_cast<const std::uint8_t*>(psk.data()), psk.size()}); };
  EXPECT_TRUE(directory_.has_psk(path("198.51.100.9"), mark("for one branch")));
  EXPECT_FALSE(directory_.has_psk(path("192.0.2.77"), mark("for one branch"))) << "another's address";
  EXPECT_FALSE(directory_.has_psk(path("198.51.100.9", 2), mark("for one branch"))) << "another's tenant";
  EXPECT_FALSE(directory_.has_psk(path("198.51.100.9"), mark("for one brancH")));
  EXPECT_FALSE(directory_.has_psk(path("198.51.100.9"), 0));
  config_.mutable_tenants(0)->mutable_gateways(0)->mutable_l2tp()->mutable_keys(1)->set_psk("another one now");
  follow();
  EXPECT_FALSE(directory_.has_psk(path("198.51.100.9"), mark("for one branch")));
  EXPECT_TRUE(directory_.has_psk(path("198.51.100.9"), mark("for anybody at acme"))) << "whoever means another key stays";
}

TEST_F(VpnPeerDirectory, NoMoreThanSixteenAreTried) {
  for (int i = 0; i < 20; ++i) add_key(*config_.mutable_tenants(1)->mutable_gateways(0), "one more", nullptr);
  follow();
  EXPECT_EQ(keys(path("198.51.100.9", 2)).size(), PeerDirectory::kKeysMax);
}

}  // namespace
}  // namespace sekisho::vpn
