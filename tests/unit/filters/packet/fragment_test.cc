// SPDX-License-Identifier: Apache-2.0
// Goal: the bookkeeping of pieces agrees with a map that has one cell a byte, and a piece alone is judged by its RFCs.
#include "filters/packet/fragment.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

#include "filters/packet/decode.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using tests::Frame;
using tests::FrameBuilder;
using Outcome = PieceRanges::Outcome;

/// What a datagram is, without any cleverness: a cell a byte.
class ByteMap {
 public:
  Outcome add(std::uint32_t begin, std::uint32_t end, bool more) {
    const auto same = pieces_.find({begin, end});
    if (same != pieces_.end() && same->second == more) return Outcome::kSame;
    for (std::uint32_t at = begin; at < end; ++at) {
      if (cells_.contains(at)) return Outcome::kConflict;
    }
    const bool past = total_.has_value() && end > *total_;
    const bool shorter = !more && (total_.has_value() || (!cells_.empty() && cells_.rbegin()->first >= end));
    if (past || shorter) return Outcome::kConflict;
    if (pieces_.size() == kFragmentPiecesMax) return Outcome::kTooMany;
    for (std::uint32_t at = begin; at < end; ++at) cells_[at] = true;
    pieces_[{begin, end}] = more;
    if (!more) total_ = end;
    return Outcome::kStored;
  }
  [[nodiscard]] bool complete() const { return total_.has_value() && cells_.size() == *total_; }
  [[nodiscard]] std::size_t count() const { return pieces_.size(); }
  [[nodiscard]] std::size_t index(std::uint32_t begin, std::uint32_t end) const {
    return static_cast<std::size_t>(std::distance(pieces_.begin(), pieces_.find({begin, end})));
  }

 private:
  std::map<std::uint32_t, bool> cells_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, bool> pieces_;
  std::optional<std::uint32_t> total_;
};

TEST(PieceRanges, AgreeWithAByteMapOverRandomPieces) {
  std::mt19937 engine(20260101);
  const auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  std::size_t whole = 0, conflicts = 0, duplicates = 0;
  for (int round = 0; round < 20000; ++round) {
    PieceRanges ranges{};
    ByteMap map;
    const unsigned units = 1 + random() % 12;
    for (int step = 0; step < 16; ++step) {
      // Mostly pieces of one cut, some crooked ones: completion and conflicts both happen.
      const bool crooked = random() % 8 == 0;
      const std::uint32_t begin = 8 * (random() % units);
      const std::uint32_t end = begin + 8 * (crooked ? 1 + random() % 3 : 1);
      const bool more = crooked ? random() % 2 == 0 : end < 8 * units;
      const PieceRanges::Placed placed = ranges.add(begin, end, more);
      const Outcome expected = map.add(begin, end, more);
      ASSERT_EQ(placed.outcome, expected) << round << " " << step;
      if (expected == Outcome::kStored || expected == Outcome::kSame) {
        ASSERT_EQ(placed.index, map.index(begin, end));
      }
      ASSERT_EQ(ranges.complete(), map.complete());
      ASSERT_EQ(ranges.count(), map.count());
      conflicts += expected == Outcome::kConflict ? 1 : 0;
      duplicates += expected == Outcome::kSame ? 1 : 0;
      if (ranges.complete()) {
        ++whole;
        break;
      }
    }
  }
  EXPECT_GT(whole, 1000U);
  EXPECT_GT(conflicts, 1000U);
  EXPECT_GT(duplicates, 1000U);
}

TEST(PieceRanges, HoldAsManyPiecesAsTheyPromiseAndNoMore) {
  PieceRanges ranges{};
  for (std::uint32_t i = 0; i < kFragmentPiecesMax; ++i) {
    EXPECT_EQ(ranges.add(i * 1024, (i + 1) * 1024 - (i == 63 ? 1 : 0), i < 63).outcome, Outcome::kStored);
  }
  EXPECT_TRUE(ranges.complete());
  PieceRanges small{};
  for (std::uint32_t i = 0; i < kFragmentPiecesMax; ++i) EXPECT_EQ(small.add(i * 8, i * 8 + 8, true).outcome, Outcome::kStored);
  EXPECT_EQ(small.add(64 * 8, 65 * 8, true).outcome, Outcome::kTooMany);
}

TEST(PieceRanges, RefuseASecondEndAndBytesBehindTheEnd) {
  PieceRanges ranges{};
  EXPECT_EQ(ranges.add(16, 24, false).outcome, Outcome::kStored);
  EXPECT_EQ(ranges.add(16, 24, true).outcome, Outcome::kConflict);
  EXPECT_EQ(ranges.add(24, 32, true).outcome, Outcome::kConflict);
  EXPECT_EQ(ranges.add(8, 16, false).outcome, Outcome::kConflict);
  EXPECT_EQ(ranges.add(16, 24, false).outcome, Outcome::kSame);
  EXPECT_EQ(ranges.add(0, 16, true).outcome, Outcome::kStored);
  EXPECT_TRUE(ranges.complete());
  EXPECT_TRUE(ranges.has_first());
  EXPECT_EQ(ranges.total(), 24U);
}

PacketMeta meta_of(const Frame& frame) {
  PacketMeta meta{};
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {}, meta), DropReason::kNone);
  return meta;
}
FragmentFields fields_of(const Frame& frame) { return read_fragment(frame, meta_of(frame)); }
DropReason judge(const Frame& frame) { return check_fragment(fields_of(frame)); }

FrameBuilder v4(unsigned word) { return FrameBuilder().ipv4("10.0.0.2", "10.0.1.5", {.fragment = word}); }
FrameBuilder v6(unsigned word) { return FrameBuilder().ipv6("fd00::2", "fd00::5").fragment(word); }

TEST(Fragment, ReadsItsPlaceInEitherFamily) {
  const Frame four = v4(0x2003).protocol(17, Frame(16)).build();
  const FragmentFields a = fields_of(four);
  EXPECT_EQ(a.id, 0x1234U);
  EXPECT_EQ(a.begin, 24U);
  EXPECT_EQ(a.end, 40U);
  EXPECT_TRUE(a.more);
  EXPECT_EQ(a.before, 20U);
  EXPECT_EQ(a.data, 34);
  const Frame six = FrameBuilder().ipv6("fd00::2", "fd00::5").destination_options().fragment(24 | 1).protocol(17, Frame(16)).build();
  const FragmentFields b = fields_of(six);
  EXPECT_EQ(b.id, 7U);
  EXPECT_EQ(b.begin, 24U);
  EXPECT_EQ(b.end, 40U);
  EXPECT_TRUE(b.more);
  EXPECT_EQ(b.before, 56U);
  EXPECT_EQ(b.protocol, 17);
}

TEST(Fragment, RefusesWhatNoSenderCuts) {
  EXPECT_EQ(judge(v4(0x2001).protocol(17, Frame(16)).build()), DropReason::kNone);
  EXPECT_EQ(judge(v4(0x2001).protocol(17, Frame(15)).build()), DropReason::kFragmentMalformed);
  EXPECT_EQ(judge(v4(0x0001).protocol(17, Frame(15)).build()), DropReason::kNone);
  EXPECT_EQ(judge(v4(0x6001).protocol(17, Frame(16)).build()), DropReason::kFragmentMalformed);
  EXPECT_EQ(judge(v4(0x0001).protocol(17, {}).build()), DropReason::kFragmentMalformed);
  EXPECT_EQ(judge(v6(8 | 1).protocol(17, Frame(16)).build()), DropReason::kNone);
  EXPECT_EQ(judge(v6(8 | 1).protocol(17, Frame(12)).build()), DropReason::kFragmentMalformed);
  EXPECT_EQ(judge(v6(8).protocol(17, {}).build()), DropReason::kFragmentMalformed);
}

TEST(Fragment, RefusesADatagramLongerThanIpCanSay) {
  EXPECT_EQ(judge(v4(0x2000 | 8187).protocol(17, Frame(16)).build()), DropReason::kNone);  // 20 + 65496 + 16 = 65532
  EXPECT_EQ(judge(v4(8189).protocol(17, Frame(3)).build()), DropReason::kNone);            // 65535, the most
  EXPECT_EQ(judge(v4(8189).protocol(17, Frame(4)).build()), DropReason::kFragmentOversized);
  EXPECT_EQ(judge(v6(65480).protocol(17, Frame(7)).build()), DropReason::kNone);
  EXPECT_EQ(judge(v6(65480).protocol(17, Frame(8)).build()), DropReason::kFragmentOversized);
}

TEST(Fragment, RefusesTcpFlagsInASecondPiece) {
  EXPECT_EQ(judge(v4(0x2001).protocol(6, Frame(16)).build()), DropReason::kFragmentTiny);
  EXPECT_EQ(judge(v4(0x2002).protocol(6, Frame(16)).build()), DropReason::kNone);
  EXPECT_EQ(judge(v6(8 | 1).protocol(6, Frame(16)).build()), DropReason::kFragmentTiny);
  EXPECT_EQ(judge(v6(16 | 1).protocol(6, Frame(16)).build()), DropReason::kNone);
}

/// The first piece of `whole` (a frame without tags), `bytes` of its upper-layer packet.
Frame first_piece4(const FrameBuilder& whole, std::size_t bytes) {
  Frame frame = whole.build();
  frame.resize(14 + 20 + bytes);
  store_be<std::uint16_t>(frame, 16, static_cast<std::uint16_t>(20 + bytes));
  store_be<std::uint16_t>(frame, 20, 0x2000);
  store_be<std::uint16_t>(frame, 24, 0);
  store_be<std::uint16_t>(frame, 24, checksum_fold(checksum_add(0, std::span(frame).subspan(14, 20))));
  return frame;
}

TEST(Fragment, FirstPieceIsProvedLikeAWholePacket) {
  const FrameBuilder udp = FrameBuilder().ipv4("10.0.0.2", "10.0.1.5").udp(5000, 53).payload(100);
  Frame piece = first_piece4(udp, 24);
  PacketMeta meta = meta_of(piece);
  EXPECT_EQ(decode_first_piece(piece, 108, meta), DropReason::kNone);
  EXPECT_EQ(meta.source_port, 5000);
  EXPECT_EQ(meta.destination_port, 53);
  EXPECT_NE(meta.proof & kProofL4, 0);
  meta = meta_of(piece);
  EXPECT_EQ(decode_first_piece(piece, 116, meta), DropReason::kUdpLength);

  const auto tcp = [&](std::uint8_t flags, std::size_t options, std::size_t bytes) {
    tests::TcpKnobs knobs{.flags = flags};
    knobs.options.resize(options, 1);
    const Frame first = first_piece4(FrameBuilder().ipv4("10.0.0.2", "10.0.1.5").tcp(5000, 80, knobs).payload(100), bytes);
    PacketMeta out = meta_of(first);
    return decode_first_piece(first, static_cast<std::uint32_t>(120 + options), out);
  };
  EXPECT_EQ(tcp(kTcpAck, 20, 40), DropReason::kNone);
  EXPECT_EQ(tcp(kTcpAck, 20, 32), DropReason::kFragmentTiny);
  EXPECT_EQ(tcp(kTcpSyn | kTcpFin, 0, 40), DropReason::kTcpSynFin);
}

TEST(Fragment, ChecksumIsTheOneOfAllPiecesTogether) {
  for (const bool broken : {false, true}) {
    const Frame whole = FrameBuilder().ipv4("10.0.0.2", "10.0.1.5").udp(5000, 53).payload(101).build();
    Frame piece = first_piece4(FrameBuilder().ipv4("10.0.0.2", "10.0.1.5").udp(5000, 53).payload(101), 24);
    PacketMeta meta = meta_of(piece);
    ASSERT_EQ(decode_first_piece(piece, 109, meta), DropReason::kNone);
    PieceSum sum(piece, 109, meta);
    sum.add(ByteSpan(piece).subspan(34));
    Frame rest(whole.begin() + 34 + 24, whole.end());
    if (broken) rest.back() ^= 1;
    sum.add(rest);
    EXPECT_EQ(sum.good(), !broken);
  }
}

}  // namespace
}  // namespace sekisho::filters
