// SPDX-License-Identifier: Apache-2.0
// TCP 443 of the gateways and the service network behind the fourth card: translated one to one, whoever has the same addresses.
#include <algorithm>

#include "base/net/service_address.h"
#include "filters/packet/nd.h"
#include "tests/path/path_test.h"
#include "tests/support/hex.h"
#include "tests/support/tunnels.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

class PathService : public PathTest {
 protected:
  PathService() : PathTest({.tunnels = 16, .service = true}) { start(1); }
  void start(std::uint32_t generation) { world_.apply(generation, {{.id = 11}}, {.rules_b = {{.id = 201}}, .edit = add_tunnels}); }
  /// What the service network's host sends.
  static FrameBuilder host(const Address& from, const char* to) {
    const std::string text = to_string(from);
    return ip(FrameBuilder().ethernet(mac("02:73:65:6b:00:02"), mac("02:73:65:6b:00:01")), text, to);
  }
  std::vector<Frame> to_uplink() {
    for (const char* router : {"192.0.2.2", "2001:db8:0:1::2"}) {
      world_.inject(kUplinkNic, router_answer(router, std::string_view(router).find(':') == std::string_view::npos ? "192.0.2.1" : "2001:db8:0:1::1"));
    }
    world_.settle();
    std::vector<Frame> out;
    for (Frame& frame : world_.collect(kUplinkNic)) {
      const auto meta = read(frame);
      if ((meta.proof & filters::kProofArp) == 0 && !filters::is_nd(meta)) out.push_back(std::move(frame));
    }
    return out;
  }
};

std::uint32_t service_at(const char* gateway) { return gateway == std::string_view(kGatewayA4) ? 1 : gateway == std::string_view(kGatewayA6) ? 2 : 3; }

TEST_P(PathService, AConnectionReachesTheHostByItsGatewaysOwnAddress) {
  for (const char* gateway : {kGatewayA4, kGatewayA6, kGatewayB4}) {
    const bool six = std::string_view(gateway).find(':') != std::string_view::npos;
    const char* peer = six ? kPeer6 : kPeer4;
    const Frame out = world_.through(kUplinkNic, outside(peer, gateway).tcp(50000, 443, {.flags = 0x02}).build(), kServiceNic);
    const auto meta = read(out);
    EXPECT_EQ(filters::ip_source(out, meta), address(peer));
    EXPECT_EQ(filters::ip_destination(out, meta), service_address(service_at(gateway), six ? Family::kIpv6 : Family::kIpv4));
    EXPECT_EQ(filters::ethernet_destination(out), mac("02:73:65:6b:00:02"));
    EXPECT_EQ(meta.destination_port, 443);
  }
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathService, OtherPortsAddressesAndProtocolsDoNot) {
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).tcp(50000, 444, {.flags = 0x02}).build());
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(50000, 443).build());
  world_.inject(kClientNic, client("10.0.0.34", "10.0.0.33").tcp(50000, 443, {.flags = 0x02}).build());
  EXPECT_TRUE(world_.collect(kServiceNic).empty());
  EXPECT_GE(drops(DropReason::kLocalUnserved), 3U);
}

Frame pptp_gre(FrameBuilder from) { return from.protocol(filters::kProtocolGre, test::unhex("3001880b00020007 00000000 c021")).build(); }

TEST_P(PathService, PptpOfAGatewayThatHasItIsTwoProtocols) {
  for (const Frame& in : {outside(kPeer4, kGatewayA4).tcp(50000, 1723, {.flags = 0x02}).build(), pptp_gre(outside(kPeer4, kGatewayA4))}) {
    const Frame out = world_.through(kUplinkNic, in, kServiceNic);
    const auto meta = read(out);
    EXPECT_EQ(filters::ip_source(out, meta), address(kPeer4));
    EXPECT_EQ(filters::ip_destination(out, meta), service_address(1, Family::kIpv4));
    EXPECT_EQ(meta.protocol, read(in).protocol);
  }
  world_.inject(kServiceNic, host(service_address(1, Family::kIpv4), kPeer4).tcp(1723, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, pptp_gre(host(service_address(1, Family::kIpv4), kPeer4)));
  const auto frames = to_uplink();
  ASSERT_EQ(frames.size(), 2U);
  for (const Frame& frame : frames) EXPECT_EQ(filters::ip_source(frame, read(frame)), address(kGatewayA4));
}

TEST_P(PathService, PptpOfOthersAndByIpv6ReachesNobody) {
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayB4).tcp(50000, 1723, {.flags = 0x02}).build());
  world_.inject(kUplinkNic, pptp_gre(outside(kPeer4, kGatewayB4)));
  world_.inject(kUplinkNic, outside(kPeer6, kGatewayA6).tcp(50000, 1723, {.flags = 0x02}).build());
  EXPECT_TRUE(world_.collect(kServiceNic).empty());
  EXPECT_EQ(drops(DropReason::kLocalUnserved), 3U);
  world_.inject(kServiceNic, host(service_address(3, Family::kIpv4), kPeer4).tcp(1723, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, pptp_gre(host(service_address(3, Family::kIpv4), kPeer4)));
  EXPECT_EQ(drops(DropReason::kNoPort), 2U);
}

TEST_P(PathService, TheAnswerLeavesFromTheGatewaysAddress) {
  world_.inject(kServiceNic, host(service_address(1, Family::kIpv4), kPeer4).tcp(443, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, host(service_address(3, Family::kIpv4), kPeer4).tcp(443, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, host(service_address(2, Family::kIpv6), kPeer6).tcp(443, 50000, {.flags = 0x12}).build());
  std::vector<std::string> sources;
  for (const Frame& frame : to_uplink()) sources.push_back(to_string(filters::ip_source(frame, read(frame))));
  std::sort(sources.begin(), sources.end());
  EXPECT_EQ(sources, (std::vector<std::string>{"2001:db8:a::18", "203.0.113.18", "203.0.113.34"}));
}

TEST_P(PathService, TheHostCanSayNothingElse) {
  world_.inject(kServiceNic, host(service_address(9, Family::kIpv4), kPeer4).tcp(443, 50000, {.flags = 0x12}).build());   // nobody's number
  world_.inject(kServiceNic, host(service_address(2, Family::kIpv4), kPeer4).tcp(443, 50000, {.flags = 0x12}).build());   // another family's
  world_.inject(kServiceNic, host(address("203.0.113.18"), kPeer4).tcp(443, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, host(service_address(1, Family::kIpv4), kPeer4).tcp(22, 50000, {.flags = 0x12}).build());
  world_.inject(kServiceNic, host(service_address(1, Family::kIpv4), kPeer4).udp(443, 50000).build());
  EXPECT_EQ(drops(DropReason::kNoPort), 5U);
  world_.inject(kServiceNic, host(service_address(1, Family::kIpv4), "10.9.0.5").tcp(443, 50000, {.flags = 0x12}).build());  // into a tunnel
  EXPECT_EQ(drops(DropReason::kNoRoute), 1U);
  EXPECT_TRUE(to_uplink().empty());
}

TEST_P(PathService, NumbersSurviveCommits) {
  start(2);
  const Frame out = world_.through(kUplinkNic, outside(kPeer4, kGatewayB4).tcp(50000, 443, {.flags = 0x10}).build(), kServiceNic);
  EXPECT_EQ(filters::ip_destination(out, read(out)), service_address(3, Family::kIpv4));
}

SEKISHO_PATH_WORKERS(PathService);

class PathNoService : public PathTest {
 protected:
  PathNoService() : PathTest({.tunnels = 16}) { world_.apply(1, {{.id = 11}}, {.rules_b = {{.id = 201}}, .edit = add_tunnels}); }
};

TEST_P(PathNoService, WithoutTheNetworkNobodyServesThem) {
  world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).tcp(50000, 443, {.flags = 0x02}).build());
  EXPECT_EQ(drops(DropReason::kLocalUnserved), 1U);
}
SEKISHO_PATH_WORKERS(PathNoService);

}  // namespace
}  // namespace sekisho::tests
