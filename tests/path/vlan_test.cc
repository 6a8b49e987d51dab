// SPDX-License-Identifier: Apache-2.0
// Goal: tags say whose frame it is and are rewritten between ports of different depth. Method: exact bytes out.
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;

class PathVlan : public PathTest {
 protected:
  static unsigned word(const Frame& frame, std::size_t at) { return static_cast<unsigned>(frame[at] << 8 | frame[at + 1]); }
};
SEKISHO_PATH_WORKERS(PathVlan);

TEST_P(PathVlan, TagsAreRewrittenBetweenQinqAndSingleTag) {
  world_.apply(1, {});
  for (const auto& [from, to, type] : {std::tuple{"10.0.0.34", "10.0.0.2", 0x0800U}, std::tuple{"fd00:0:0:2::2", "fd00:0:0:1::2", 0x86ddU}}) {
    const Frame in = client(from, to, kTenantB).udp(5000, 53).payload(10).build();
    const Frame single = world_.through(kClientNic, in, kServerNic);
    ASSERT_EQ(single.size(), in.size() - 4);
    EXPECT_EQ(word(single, 12), 0x8100U);
    EXPECT_EQ(word(single, 14), 200U);
    EXPECT_EQ(word(single, 16), type);
    const Frame back = server(to, from, kTenantB).udp(53, 5000).payload(10).build();
    const Frame twice = world_.through(kServerNic, back, kClientNic);
    ASSERT_EQ(twice.size(), back.size() + 4);
    EXPECT_EQ(word(twice, 12), 0x88a8U);
    EXPECT_EQ(word(twice, 14), 300U);
    EXPECT_EQ(word(twice, 16), 0x8100U);
    EXPECT_EQ(word(twice, 18), 7U);
    EXPECT_EQ(word(twice, 20), type);
  }
}

TEST_P(PathVlan, NeighbouringTagsAreNobodys) {
  world_.apply(1, {{.id = 11}});
  const auto tagged = [&](std::vector<std::pair<unsigned, unsigned>> tags) {
    FrameBuilder builder = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic));
    for (const auto& [id, tpid] : tags) builder.vlan(id, tpid);
    return builder.ipv4("10.0.0.34", "10.0.0.2").udp(5000, 53).build();
  };
  std::uint64_t nobody = 0;
  for (const auto& tags : std::vector<std::vector<std::pair<unsigned, unsigned>>>{
           {{301, 0x88a8}, {7, 0x8100}}, {{300, 0x88a8}, {8, 0x8100}}, {{300, 0x88a8}}, {{7, 0x8100}}, {{200, 0x8100}}, {{4095, 0x8100}}}) {
    world_.inject(kClientNic, tagged(tags));
    EXPECT_EQ(collect_all(), 0U) << tags[0].first;
    ++nobody;
  }
  EXPECT_EQ(drops(DropReason::kNoPort) + drops(DropReason::kVlanDepth) + drops(DropReason::kAeFrame), nobody);
  world_.inject(kClientNic, tagged({{300, 0x88a8}, {7, 0x8100}, {9, 0x8100}}));
  EXPECT_EQ(drops(DropReason::kVlanDepth), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathVlan, OuterTagOfTheWrongKindDoesNotEnterASegment) {
  world_.apply(1, {});
  world_.inject(kClientNic, FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).vlan(300, 0x8100).vlan(7)
                                .ipv4("10.0.0.34", "10.0.0.2").udp(5000, 53).build());
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_EQ(drops(DropReason::kAeFrame), 1U);
}

TEST_P(PathVlan, PriorityBitsDoNotChangeTheVlan) {
  world_.apply(1, {});
  const Frame in = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).vlan(0xa000 | 300, 0x88a8).vlan(0x6000 | 7)
                       .ipv4("10.0.0.34", "10.0.0.2").udp(5000, 53).build();
  EXPECT_EQ(word(world_.through(kClientNic, in, kServerNic), 14), 200U);
}

TEST_P(PathVlan, PriorityTagIsNotATagOfASegment) {
  world_.apply(1, {{.id = 11}});
  const Frame in = FrameBuilder().ethernet(kClientMac, world_.gateway(kClientNic)).vlan(0xa000)
                       .ipv4("10.0.0.34", "10.0.0.2").udp(5000, 53).build();
  world_.inject(kClientNic, in);
  EXPECT_EQ(world_.collect(kServerNic).size() + drops(DropReason::kAeFrame), 1U);
}

TEST_P(PathVlan, EthernetPaddingIsCutOff) {
  world_.apply(1, {{.id = 11}});
  const Frame out = world_.through(kClientNic, client("10.0.0.34", "10.0.0.2").udp(5000, 53).padding(18).build(), kServerNic);
  EXPECT_EQ(out.size(), 42U);
}

}  // namespace
}  // namespace sekisho::tests
