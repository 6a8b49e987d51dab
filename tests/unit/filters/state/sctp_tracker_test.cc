// SPDX-License-Identifier: Apache-2.0
// Goal: an association is followed from INIT to its end, and who does not know its tags is kept out. Method: whole lives, and each
// packet once with its tag changed.
#include "filters/state/sctp_tracker.h"

#include <gtest/gtest.h>

#include <vector>

namespace sekisho::filters {
namespace {

constexpr std::uint32_t kClientTag = 0x11111111, kServerTag = 0x22222222;
constexpr Direction kForward = Direction::kForward, kReverse = Direction::kReverse;

SctpPacket chunk(std::uint8_t type, std::uint32_t tag, std::uint8_t flags = 0) {
  return {.tag = tag, .initiate_tag = 0, .chunk = type, .flags = flags, .alone = true};
}
SctpPacket init(std::uint32_t initiate, std::uint8_t type = 1, std::uint32_t tag = 0) {
  return {.tag = tag, .initiate_tag = initiate, .chunk = type, .flags = 0, .alone = true};
}

struct Step {
  Direction direction;
  SctpPacket packet;
  SctpState then;
};
const std::vector<Step> kLife{
    {kReverse, init(kServerTag, 2, kClientTag), SctpState::kInitAck}, {kForward, chunk(10, kServerTag), SctpState::kCookie},
    {kReverse, chunk(11, kClientTag), SctpState::kEstablished},       {kForward, chunk(0, kServerTag), SctpState::kEstablished},
    {kReverse, chunk(3, kClientTag), SctpState::kEstablished},        {kReverse, chunk(4, kClientTag), SctpState::kEstablished},
    {kForward, chunk(7, kServerTag), SctpState::kShutdown},           {kReverse, chunk(8, kClientTag), SctpState::kShutdown},
    {kForward, chunk(14, kServerTag), SctpState::kClosed},
};

TEST(SctpTrack, FollowsALifeAndRefusesEachPacketWithAStrangersTag) {
  SctpTrack track{};
  ASSERT_EQ(sctp_first(track, init(kClientTag)), DropReason::kNone);
  for (const Step& step : kLife) {
    const SctpTrack before = track;
    SctpPacket forged = step.packet;
    forged.tag ^= 1;
    EXPECT_EQ(sctp_next(track, step.direction, forged), DropReason::kSctpTag);
    EXPECT_EQ(track.state, before.state);
    EXPECT_EQ(track.tag, before.tag);
    EXPECT_EQ(sctp_next(track, step.direction, step.packet), DropReason::kNone);
    EXPECT_EQ(track.state, step.then);
  }
}

TEST(SctpTrack, OnlyAnInitAloneWithoutTagBegins) {
  SctpTrack track{};
  SctpPacket bundled = init(kClientTag);
  bundled.alone = false;
  for (const SctpPacket& packet : {init(0), init(kClientTag, 1, 5), init(kClientTag, 2), bundled, chunk(0, kServerTag),
                                   chunk(10, kServerTag), chunk(kSctpNoChunk, 0)}) {
    EXPECT_EQ(sctp_first(track, packet), DropReason::kNotFirst);
    EXPECT_EQ(track.state, SctpState::kNone);
  }
  EXPECT_EQ(sctp_first(track, init(kClientTag)), DropReason::kNone);
}

SctpTrack established() {
  SctpTrack track{};
  EXPECT_EQ(sctp_first(track, init(kClientTag)), DropReason::kNone);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(sctp_next(track, kLife[i].direction, kLife[i].packet), DropReason::kNone);
  return track;
}

TEST(SctpTrack, AbortNeedsItsTagOrReflectsTheOther) {
  for (const SctpPacket& abort : {chunk(6, kClientTag), chunk(6, kServerTag, 1)}) {
    SctpTrack track = established();
    EXPECT_EQ(sctp_next(track, kReverse, abort), DropReason::kNone);
    EXPECT_EQ(track.state, SctpState::kClosed);
  }
  SctpTrack track = established();
  EXPECT_EQ(sctp_next(track, kReverse, chunk(6, kServerTag)), DropReason::kSctpTag);
  EXPECT_EQ(sctp_next(track, kReverse, chunk(6, kClientTag, 1)), DropReason::kSctpTag);
  EXPECT_EQ(track.state, SctpState::kEstablished);
}

TEST(SctpTrack, InitWithinAnAssociationIsRefusedAndOneRepeatedBeforeIsNot) {
  SctpTrack track = established();
  EXPECT_EQ(sctp_next(track, kForward, init(0x33333333)), DropReason::kSctpState);
  EXPECT_EQ(sctp_next(track, kReverse, init(0x33333333)), DropReason::kSctpState);
  SctpTrack young{};
  ASSERT_EQ(sctp_first(young, init(kClientTag)), DropReason::kNone);
  EXPECT_EQ(sctp_next(young, kForward, init(kClientTag)), DropReason::kNone);
  EXPECT_EQ(sctp_next(young, kReverse, chunk(0, kClientTag)), DropReason::kSctpState);  // data before the cookie
  EXPECT_EQ(sctp_next(young, kForward, chunk(10, kServerTag)), DropReason::kSctpTag);   // nobody has answered yet
  EXPECT_EQ(sctp_next(young, kReverse, init(kServerTag, 2, kClientTag)), DropReason::kNone);
  EXPECT_EQ(sctp_next(young, kReverse, init(0x33333333, 2, kClientTag)), DropReason::kSctpState);  // another answer
}

}  // namespace
}  // namespace sekisho::filters
