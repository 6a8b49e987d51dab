// SPDX-License-Identifier: Apache-2.0
// Goal: a rewritten segment says to its receiver what its sender meant, with a checksum as if made anew. Method: build the segment
// for one side and the one for the other; rewriting the first must give the second, byte for byte.
#include "filters/state/tcp_splice.h"

#include <gtest/gtest.h>

#include "filters/packet/decode.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using tests::append;
using tests::append32;
using tests::Frame;
using tests::FrameBuilder;
using tests::TcpKnobs;

constexpr std::uint32_t kShift = 0xfffff123;  // wraps
constexpr TcpSplice kSplice{.shift = kShift, .forward_from = 7, .forward_to = 7, .reverse_from = 9, .reverse_to = 7};

Frame frame(const TcpKnobs& tcp, bool ipv6, std::size_t bytes = 3) {
  const auto ip = ipv6 ? FrameBuilder().ipv6("fd00::1", "fd00::2") : FrameBuilder().ipv4("10.0.0.1", "10.0.0.2");
  return FrameBuilder(ip).tcp(40000, 80, tcp).payload(bytes).build();
}

void expect_rewritten(Direction direction, const TcpKnobs& said, const TcpKnobs& meant, const TcpSplice& splice = kSplice) {
  for (const bool ipv6 : {false, true}) {
    Frame bytes = frame(said, ipv6);
    PacketMeta meta{};
    ASSERT_EQ(decode(bytes, static_cast<std::uint32_t>(bytes.size()), {false, false}, meta), DropReason::kNone);
    splice_rewrite(splice, direction, bytes, meta);
    EXPECT_EQ(bytes, frame(meant, ipv6));
  }
}

std::vector<std::uint8_t> sack(std::vector<std::uint8_t> before, std::uint32_t shift) {
  append(before, std::vector<std::uint8_t>{5, 18});
  for (const std::uint32_t edge : {1000U, 2000U, 0xffffff00U, 0x00000010U}) append32(before, edge + shift);
  while (before.size() % 4 != 0) before.push_back(1);
  return before;
}

TEST(TcpSplice, ClientSegmentsGetTheServersNumbers) {
  expect_rewritten(Direction::kForward, {.flags = kTcpAck, .sequence = 5, .acknowledgement = 100, .window = 33},
                   {.flags = kTcpAck, .sequence = 5, .acknowledgement = 100 + kShift, .window = 33});
  expect_rewritten(Direction::kForward, {.flags = kTcpRst, .sequence = 5, .acknowledgement = 0},
                   {.flags = kTcpRst, .sequence = 5, .acknowledgement = 0});  // no ACK: the field means nothing
}

TEST(TcpSplice, SackBlocksAreShiftedAtEvenAndOddOffsets) {
  for (const std::vector<std::uint8_t>& before : {std::vector<std::uint8_t>{1, 1}, {1}, {}, {8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1}}) {
    expect_rewritten(Direction::kForward, {.acknowledgement = 100, .options = sack(before, 0)},
                     {.acknowledgement = 100 + kShift, .options = sack(before, kShift)});
  }
  // Blocks of the server's are about the client's numbers, which are the same on both sides.
  expect_rewritten(Direction::kReverse, {.sequence = 900, .window = 4, .options = sack({1, 1}, 0)},
                   {.sequence = 900 - kShift, .window = 16, .options = sack({1, 1}, 0)});
}

TEST(TcpSplice, ServerSegmentsGetTheClientsNumbersAndUnitOfWindow) {
  expect_rewritten(Direction::kReverse, {.sequence = 900, .acknowledgement = 6, .window = 100},
                   {.sequence = 900 - kShift, .acknowledgement = 6, .window = 400});
  expect_rewritten(Direction::kReverse, {.sequence = 900, .window = 0xffff}, {.sequence = 900 - kShift, .window = 0xffff});
  // The window of a SYN is in bytes, whatever was agreed.
  expect_rewritten(Direction::kReverse, {.flags = kTcpSyn | kTcpAck, .sequence = 900, .window = 100},
                   {.flags = kTcpSyn | kTcpAck, .sequence = 900 - kShift, .window = 100});
  const TcpSplice no_scale{.shift = 0, .forward_from = 7, .forward_to = 0, .reverse_from = 0, .reverse_to = 7};
  expect_rewritten(Direction::kReverse, {.window = 1000}, {.window = 7}, no_scale);
  expect_rewritten(Direction::kForward, {.window = 100}, {.window = 12800}, no_scale);
  expect_rewritten(Direction::kForward, {.window = 600}, {.window = 0xffff}, no_scale);
}

TEST(TcpSplice, MalformedOptionsEndTheSearchAndNothingElse) {
  const std::vector<std::uint8_t> broken{1, 5, 40, 9, 9, 9, 9, 9}, zero{8, 0, 5, 10, 1, 2, 3, 4}, ended{0, 5, 10, 1, 2, 3, 4, 5};
  for (const auto& options : {broken, zero, ended}) {
    expect_rewritten(Direction::kForward, {.acknowledgement = 100, .options = options},
                     {.acknowledgement = 100 + kShift, .options = options});
  }
}

TEST(TcpSplice, TrackingSeesWhatTheServerSees) {
  TcpSegment segment{.sequence = 5, .acknowledgement = 100, .payload_bytes = 0, .window = 600, .flags = kTcpAck, .window_scale_option = kNoWindowScale};
  splice_segment({.shift = kShift, .forward_from = 7, .forward_to = 0, .reverse_from = 0, .reverse_to = 7}, segment);
  EXPECT_EQ(segment.acknowledgement, 100 + kShift);
  EXPECT_EQ(segment.window, 0xffff);
  EXPECT_EQ(segment.sequence, 5U);
}

}  // namespace
}  // namespace sekisho::filters
