// SPDX-License-Identifier: Apache-2.0
// Goal: UDP, echo and other protocols open, answer and expire as documented. Method: one packet record at a time.
#include "filters/state/datagram_tracker.h"

#include <gtest/gtest.h>

namespace sekisho::filters {
namespace {

constexpr auto kF = Direction::kForward;
constexpr auto kR = Direction::kReverse;

PacketMeta packet(std::uint8_t protocol, std::uint8_t icmp_type = 0) {
  PacketMeta meta{};
  meta.protocol = protocol;
  meta.icmp_type = icmp_type;
  return meta;
}

TEST(DatagramTracker, UdpIsRepliedOnlyAfterAReversePacket) {
  auto state = DatagramState::kReplied;
  ASSERT_EQ(datagram_first(state, packet(kProtocolUdp)), DropReason::kNone);
  EXPECT_EQ(state, DatagramState::kNew);

  EXPECT_EQ(datagram_next(state, kF, packet(kProtocolUdp)), DropReason::kNone);
  EXPECT_EQ(state, DatagramState::kNew);
  EXPECT_EQ(datagram_next(state, kR, packet(kProtocolUdp)), DropReason::kNone);
  EXPECT_EQ(state, DatagramState::kReplied);
  EXPECT_EQ(datagram_next(state, kF, packet(kProtocolUdp)), DropReason::kNone);
  EXPECT_EQ(state, DatagramState::kReplied);
}

TEST(DatagramTracker, OnlyEchoRequestsOpenAnIcmpSession) {
  for (unsigned type = 0; type < 256; ++type) {
    auto state = DatagramState::kReplied;
    const auto t = static_cast<std::uint8_t>(type);

    EXPECT_EQ(datagram_first(state, packet(kProtocolIcmp, t)), type == 8 ? DropReason::kNone : DropReason::kNotFirst);
    EXPECT_EQ(datagram_first(state, packet(kProtocolIcmpv6, t)), type == 128 ? DropReason::kNone : DropReason::kNotFirst);
  }
  auto state = DatagramState::kReplied;
  ASSERT_NE(datagram_first(state, packet(kProtocolIcmp, 0)), DropReason::kNone);
  EXPECT_EQ(state, DatagramState::kReplied) << "a refused packet changes nothing";
}

TEST(DatagramTracker, EchoRepliesOnlyMatchInReverse) {
  struct Case {
    std::uint8_t protocol, request, reply;
  };
  for (const Case& c : {Case{kProtocolIcmp, 8, 0}, Case{kProtocolIcmpv6, 128, 129}}) {
    auto state = DatagramState::kNew;
    EXPECT_EQ(datagram_next(state, kF, packet(c.protocol, c.request)), DropReason::kNone);
    EXPECT_EQ(datagram_next(state, kF, packet(c.protocol, c.reply)), DropReason::kNotFirst);
    EXPECT_EQ(datagram_next(state, kR, packet(c.protocol, c.request)), DropReason::kNotFirst);
    EXPECT_EQ(state, DatagramState::kNew);
    EXPECT_EQ(datagram_next(state, kR, packet(c.protocol, c.reply)), DropReason::kNone);
    EXPECT_EQ(state, DatagramState::kReplied);
  }
  auto state = DatagramState::kNew;
  EXPECT_EQ(datagram_next(state, kR, packet(kProtocolIcmp, 129)), DropReason::kNotFirst) << "the other family's number";
}

TEST(DatagramTracker, TimeoutsFollowKindAndState) {
  EXPECT_EQ(datagram_timeout_seconds(kProtocolUdp, DatagramState::kNew), 30U);
  EXPECT_EQ(datagram_timeout_seconds(kProtocolUdp, DatagramState::kReplied), 180U);
  EXPECT_EQ(datagram_timeout_seconds(kProtocolIcmp, DatagramState::kNew), 10U);
  EXPECT_EQ(datagram_timeout_seconds(kProtocolIcmpv6, DatagramState::kReplied), 10U);
  EXPECT_EQ(datagram_timeout_seconds(47, DatagramState::kNew), 60U);
  EXPECT_EQ(datagram_timeout_seconds(47, DatagramState::kReplied), 600U);
  EXPECT_EQ(name(DatagramState::kNew), "new");
  EXPECT_EQ(name(DatagramState::kReplied), "replied");
}

}  // namespace
}  // namespace sekisho::filters
