// SPDX-License-Identifier: Apache-2.0
// Goal: every state and every edge of every window, one segment at a time.
// Method: a Wire that feeds a track and checks after each refusal that not one byte of it moved.
#include "filters/state/tcp_tracker.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

namespace sekisho::filters {
namespace {

constexpr auto kF = Direction::kForward;
constexpr auto kR = Direction::kReverse;
constexpr std::uint8_t S = kTcpSyn, A = kTcpAck, F = kTcpFin, R = kTcpRst, SA = S | A, FA = F | A, RA = R | A;

TcpSegment segment(std::uint8_t flags, std::uint32_t sequence, std::uint32_t acknowledgement, std::uint32_t bytes = 0,
                   std::uint16_t window = 1000, std::uint8_t scale = kNoWindowScale) {
  return {.sequence = sequence,
          .acknowledgement = acknowledgement,
          .payload_bytes = bytes,
          .window = window,
          .flags = flags,
          .window_scale_option = scale};
}

struct Wire {
  TcpTrack track{};

  DropReason first(const TcpSegment& s) { return tcp_first(track, s); }
  DropReason next(Direction direction, const TcpSegment& s) {
    const TcpTrack before = track;
    const DropReason out = tcp_next(track, direction, s);
    EXPECT_TRUE(out == DropReason::kNone || std::memcmp(&before, &track, sizeof(track)) == 0);
    return out;
  }
};

constexpr std::uint32_t kClient = 1000;  // initial sequences; all tests add a base so that they also wrap
constexpr std::uint32_t kServer = 500'000;

/// Sequence bases: plain, about to wrap, and about to change sign.
class TcpTracker : public testing::TestWithParam<std::uint32_t> {
 protected:
  std::uint32_t c(std::uint32_t offset = 0) const { return GetParam() + kClient + offset; }
  std::uint32_t s(std::uint32_t offset = 0) const { return GetParam() + kServer + offset; }
  Wire syn_sent(std::uint16_t window = 1000, std::uint8_t scale = kNoWindowScale) const {
    Wire w;
    EXPECT_EQ(w.first(segment(S, c(), 0, 0, window, scale)), DropReason::kNone);
    return w;
  }
  Wire syn_received(std::uint16_t window = 1000, std::uint8_t scale = kNoWindowScale) const {
    Wire w = syn_sent(window, scale);
    EXPECT_EQ(w.next(kR, segment(SA, s(), c(1), 0, window, scale)), DropReason::kNone);
    return w;
  }
  Wire established(std::uint16_t window = 1000, std::uint8_t scale = kNoWindowScale) const {
    Wire w = syn_received(window, scale);
    const auto scaled = static_cast<std::uint16_t>(scale == kNoWindowScale ? window : window >> (scale & 15U));
    EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 0, scaled)), DropReason::kNone);
    EXPECT_EQ(w.next(kR, segment(A, s(1), c(1), 0, scaled)), DropReason::kNone);
    EXPECT_EQ(w.track.state, TcpState::kEstablished);
    return w;
  }
};
INSTANTIATE_TEST_SUITE_P(Bases, TcpTracker, testing::Values(0U, 0U - kClient - 1, 0U - kServer - 3, 0x80000000U - kClient - 1));

TEST(TcpFirst, OnlyAPureSynOpensATrack) {
  for (unsigned flags = 0; flags < 256; ++flags) {
    TcpTrack track{};
    const bool opens = (flags & (S | A | F | R)) == S;

    EXPECT_EQ(tcp_first(track, segment(static_cast<std::uint8_t>(flags), 7, 8)) == DropReason::kNone, opens) << flags;

    EXPECT_EQ(track.state, opens ? TcpState::kSynSent : TcpState::kNone);
  }
}

TEST(TcpNext, NoTrackRefusesEverything) {
  for (unsigned flags = 0; flags < 256; ++flags) {
    Wire w;
    EXPECT_EQ(w.next(kF, segment(static_cast<std::uint8_t>(flags), 0, 0)), DropReason::kTcpState);
    EXPECT_EQ(w.next(kR, segment(static_cast<std::uint8_t>(flags), 0, 0)), DropReason::kTcpState);
  }
}

struct Step {
  Direction direction;
  std::uint8_t flags;
  std::uint32_t sequence, acknowledgement, bytes;  // client numbers count from c(), server numbers from s()
  TcpState after;
};

TEST_P(TcpTracker, WalksThroughEveryState) {
  const std::vector<std::vector<Step>> stories = {
      // forward closes first
      {{kR, SA, 0, 1, 0, TcpState::kSynReceived}, {kF, A, 1, 1, 0, TcpState::kEstablished},
       {kF, A, 1, 1, 100, TcpState::kEstablished}, {kR, A, 1, 101, 200, TcpState::kEstablished},
       {kF, FA, 101, 201, 0, TcpState::kFinWaitForward}, {kR, A, 201, 102, 50, TcpState::kFinWaitForward},
       {kR, FA, 251, 102, 0, TcpState::kClosing}, {kF, A, 102, 252, 0, TcpState::kTimeWait},
       {kR, FA, 251, 102, 0, TcpState::kTimeWait}, {kF, A, 102, 252, 0, TcpState::kTimeWait}},
      // reverse closes first, with data in its FIN
      {{kR, SA, 0, 1, 0, TcpState::kSynReceived}, {kF, A, 1, 1, 10, TcpState::kEstablished},
       {kR, FA, 1, 11, 90, TcpState::kFinWaitReverse}, {kF, A, 11, 92, 0, TcpState::kFinWaitReverse},
       {kF, FA, 11, 92, 0, TcpState::kClosing}, {kR, A, 92, 12, 0, TcpState::kTimeWait}},
      // both at once
      {{kR, SA, 0, 1, 0, TcpState::kSynReceived}, {kF, A, 1, 1, 0, TcpState::kEstablished},
       {kF, FA, 1, 1, 0, TcpState::kFinWaitForward}, {kR, FA, 1, 1, 0, TcpState::kClosing},
       {kF, A, 2, 2, 0, TcpState::kClosing}, {kR, A, 2, 2, 0, TcpState::kTimeWait}},
      // closed with the third segment; SYN, SYN+ACK and FIN repeated on the way
      {{kF, S, 0, 0, 0, TcpState::kSynSent}, {kR, SA, 0, 1, 0, TcpState::kSynReceived},
       {kF, S, 0, 0, 0, TcpState::kSynReceived}, {kR, SA, 0, 1, 0, TcpState::kSynReceived},
       {kF, FA, 1, 1, 0, TcpState::kFinWaitForward}, {kF, FA, 1, 1, 0, TcpState::kFinWaitForward},
       {kR, SA, 0, 1, 0, TcpState::kFinWaitForward}, {kR, FA, 1, 2, 0, TcpState::kClosing},
       {kF, A, 2, 2, 0, TcpState::kTimeWait}},
      // simultaneous open (RFC 9293 figure 7)
      {{kR, S, 0, 0, 0, TcpState::kSimultaneousSyn}, {kR, S, 0, 0, 0, TcpState::kSimultaneousSyn},
       {kF, SA, 0, 1, 0, TcpState::kSimultaneousSyn}, {kR, SA, 0, 1, 0, TcpState::kEstablished},
       {kF, A, 1, 1, 100, TcpState::kEstablished}},
      // simultaneous open, one SYN lost behind us
      {{kR, S, 0, 0, 0, TcpState::kSimultaneousSyn}, {kR, SA, 0, 1, 0, TcpState::kSimultaneousSyn},
       {kF, A, 1, 1, 0, TcpState::kEstablished}},
      // resets
      {{kF, R, 1, 0, 0, TcpState::kClosed}},
      {{kR, RA, 0, 1, 0, TcpState::kClosed}},
      {{kR, SA, 0, 1, 0, TcpState::kSynReceived}, {kF, R, 1, 0, 0, TcpState::kClosed}},
      {{kR, SA, 0, 1, 0, TcpState::kSynReceived}, {kF, A, 1, 1, 0, TcpState::kEstablished},
       {kR, RA, 1, 1, 0, TcpState::kClosed}, {kF, A, 1, 1, 30, TcpState::kClosed}},
  };
  for (std::size_t i = 0; i < stories.size(); ++i) {
    Wire w = syn_sent();
    for (std::size_t k = 0; k < stories[i].size(); ++k) {
      const Step& step = stories[i][k];
      const bool forward = step.direction == kF;
      const auto own = forward ? c(step.sequence) : s(step.sequence);
      const auto other = forward ? s(step.acknowledgement) : c(step.acknowledgement);
      const std::string where = "story " + std::to_string(i) + " step " + std::to_string(k);

      EXPECT_EQ(w.next(step.direction, segment(step.flags, own, other, step.bytes)), DropReason::kNone) << where;
      EXPECT_EQ(w.track.state, step.after) << where << ' ' << name(w.track.state);
    }
  }
}

TEST_P(TcpTracker, SynSentRefusesWhatNoPeerSends) {
  Wire w = syn_sent();

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1))), DropReason::kTcpState);
  EXPECT_EQ(w.next(kF, segment(S, c(1), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(SA, c(), s(1))), DropReason::kTcpState);
  EXPECT_EQ(w.next(kR, segment(SA, s(), c(0))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(SA, s(), c(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(SA | F, s(), c(1))), DropReason::kTcpState);
  EXPECT_EQ(w.next(kR, segment(RA, 0, c(0))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(RA, 0, c(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(R, s(), 0)), DropReason::kTcpState);
  EXPECT_EQ(w.next(kR, segment(A, s(), c(1), 1)), DropReason::kTcpState);
  EXPECT_EQ(w.next(kR, segment(FA, s(), c(1))), DropReason::kTcpState);
  EXPECT_EQ(w.next(kF, segment(R, c(2), 0)), DropReason::kTcpWindow);
}

TEST_P(TcpTracker, AStaleConnectionOfThePeerCanBeChallengedAway) {
  Wire w = syn_sent();

  EXPECT_EQ(w.next(kF, segment(R, c(777'777), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(A, s(), c(777'777))), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(R, c(777'776), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(R, c(777'777), 0)), DropReason::kNone);

  EXPECT_EQ(w.track.state, TcpState::kSynSent);
  EXPECT_EQ(w.next(kF, segment(S, c(), 0)), DropReason::kNone);
  EXPECT_EQ(w.next(kR, segment(SA, s(), c(1))), DropReason::kNone);
}

TEST_P(TcpTracker, OnlyAnAcknowledgementOfTheSynEstablishes) {
  Wire w = syn_received();

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(0))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(SA, c(0), s(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(S, s(1), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(SA, s(1), c(1))), DropReason::kTcpWindow) << "another initial sequence";
  EXPECT_EQ(w.next(kF, segment(kTcpPsh, c(1), s(1))), DropReason::kTcpState);
  EXPECT_EQ(w.track.state, TcpState::kSynReceived);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1))), DropReason::kNone);
}

TEST_P(TcpTracker, AListenerThatForgotMayResetARepeatedSyn) {
  Wire w = syn_received();

  EXPECT_EQ(w.next(kR, segment(RA, 0, c(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(RA, 0, c(1))), DropReason::kNone);
  EXPECT_EQ(w.track.state, TcpState::kClosed);
}

TEST_P(TcpTracker, DataStaysInsideTheGrantedWindow) {
  Wire w = established();
  const Wire fresh = w;

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 1002)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1003), s(1))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1001), s(1), 2)), DropReason::kTcpWindow);
  const Wire full = w;
  EXPECT_EQ(w.next(kF, segment(FA, c(1001), s(1))), DropReason::kNone) << "a FIN needs no window";
  EXPECT_EQ(w.next(kF, segment(A, c(1002), s(1))), DropReason::kNone) << "and what follows it passes";
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone) << "and all before it may be repeated";
  w = full;
  EXPECT_EQ(w.next(kF, segment(A, c(1002), s(1))), DropReason::kNone) << "even if the FIN was lost before us";

  w = fresh;
  EXPECT_EQ(w.next(kR, segment(A, s(1), c(1), 1002)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(A, s(1), c(1), 1000)), DropReason::kNone);
}

TEST_P(TcpTracker, RetransmissionsReachBackOneWindow) {
  Wire w = established();
  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1001))), DropReason::kNone);
  ASSERT_EQ(w.next(kF, segment(A, c(1001), s(1), 500)), DropReason::kNone);

  EXPECT_EQ(w.next(kF, segment(A, c(499), s(1), 500)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(498), s(1), 500)), DropReason::kTcpWindow);
}

TEST_P(TcpTracker, AcknowledgementsStayBetweenTwoWindowsBackAndWhatWasSent) {
  Wire w = established();
  for (std::uint32_t at = 1; at < 3001; at += 1000) {
    ASSERT_EQ(w.next(kR, segment(A, s(at), c(1), 1000)), DropReason::kNone);
    ASSERT_EQ(w.next(kF, segment(A, c(1), s(at + 1000))), DropReason::kNone);
  }

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(3002))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(3001))), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(999))), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(998))), DropReason::kTcpWindow);
}

TEST_P(TcpTracker, KeepAlivesAndWindowProbesPass) {
  Wire w = established();
  EXPECT_EQ(w.next(kF, segment(A, c(0), s(1))), DropReason::kNone) << "keep-alive without data";
  EXPECT_EQ(w.next(kF, segment(A, c(0), s(1), 1)), DropReason::kNone) << "keep-alive with its byte";
  EXPECT_EQ(w.next(kR, segment(A, s(1), c(1))), DropReason::kNone);

  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1001), 0, 0)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1001), s(1), 1)), DropReason::kNone) << "probe of a closed window";
  EXPECT_EQ(w.next(kF, segment(A, c(1000), s(1))), DropReason::kNone) << "probe with old sequence";
  EXPECT_EQ(w.next(kF, segment(A, c(1001), s(1), 3)), DropReason::kTcpWindow);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1001), 0, 100)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1001), s(1), 100)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1101), s(1), 2)), DropReason::kTcpWindow);
}

TEST_P(TcpTracker, AShrunkWindowDoesNotStrandWhatWasSentBefore) {
  Wire w = established();

  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1), 0, 10)), DropReason::kNone);

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone);
}

TEST_P(TcpTracker, ScalesWindowsOnlyWhenBothOffer) {
  Wire w = established(0xffff, 7);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1), 0, 0xffff)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + (0xffffU << 7) - 1000, s(1), 1002)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + (0xffffU << 7) - 1000, s(1), 1000)), DropReason::kNone);

  w = syn_sent(0xffff, 7);
  ASSERT_EQ(w.next(kR, segment(SA, s(), c(1), 0, 0xffff)), DropReason::kNone);
  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 0, 0xffff)), DropReason::kNone);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1), 0, 0xffff)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + 0xffff, s(1), 2)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(A, s(1) + 0xffff, c(1), 2)), DropReason::kTcpWindow);

  w = syn_sent(0xffff);
  ASSERT_EQ(w.next(kR, segment(SA, s(), c(1), 0, 0xffff, 7)), DropReason::kNone);
  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 0, 0xffff)), DropReason::kNone);
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1), 0, 0xffff)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + 0xffff, s(1), 2)), DropReason::kTcpWindow);
}

TEST_P(TcpTracker, ASynsOwnWindowIsNotScaled) {
  Wire w = syn_received(1000, 7);

  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 0, 1000)), DropReason::kNone);

  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 1002)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(A, s(1), c(1), 100'000)), DropReason::kNone) << "granted by a scaled window";
}

TEST_P(TcpTracker, TheLargestScaleIsFourteen) {
  Wire w = established(0xffff, 200);

  EXPECT_EQ(w.track.scale, (std::array<std::uint8_t, 2>{14, 14}));
  ASSERT_EQ(w.next(kR, segment(A, s(1), c(1), 0, 0xffff)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + (0xffffU << 14), s(1), 2)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(A, c(1) + (0xffffU << 14), s(1))), DropReason::kNone);
}

TEST_P(TcpTracker, FastOpenDataInTheSynPasses) {
  Wire w;
  ASSERT_EQ(w.first(segment(S, c(), 0, 400)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(S, c(), 0)), DropReason::kNone) << "repeated without the data";
  EXPECT_EQ(w.next(kR, segment(SA, s(), c(402))), DropReason::kTcpWindow);
  const Wire fresh = w;

  EXPECT_EQ(w.next(kR, segment(SA, s(), c(401))), DropReason::kNone);
  EXPECT_EQ(w.next(kR, segment(A, s(1), c(401), 600)), DropReason::kNone) << "the server need not wait";
  EXPECT_EQ(w.track.state, TcpState::kSynReceived);
  EXPECT_EQ(w.next(kF, segment(A, c(401), s(1))), DropReason::kNone);
  EXPECT_EQ(w.track.state, TcpState::kEstablished);

  w = fresh;
  EXPECT_EQ(w.next(kR, segment(SA, s(), c(1))), DropReason::kNone) << "data refused by the server";
  EXPECT_EQ(w.next(kF, segment(A, c(1), s(1), 400)), DropReason::kNone);
}

TEST_P(TcpTracker, ResetsCloseOnlyWhenExactAndPassOnlyInWindow) {
  const Wire fresh = established();

  Wire w = fresh;
  EXPECT_EQ(w.next(kF, segment(R, c(1), 0)), DropReason::kNone);
  EXPECT_EQ(w.track.state, TcpState::kClosed);

  for (const std::uint32_t offset : {2U, 500U, 1001U, 0U}) {
    w = fresh;
    EXPECT_EQ(w.next(kF, segment(R, c(offset), 0)), DropReason::kNone) << offset;
    EXPECT_EQ(0, std::memcmp(&w.track, &fresh.track, sizeof(TcpTrack))) << "a challenge will tell";
  }
  w = fresh;
  EXPECT_EQ(w.next(kF, segment(R, c(1003), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(R, c(1) - 1003, 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(R, 0x7fffffffU + c(), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(RA, c(1), s(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(R | F, c(1), 0)), DropReason::kTcpState);
  EXPECT_EQ(w.next(kF, segment(RA, c(1), s(1))), DropReason::kNone);
}

TEST_P(TcpTracker, ASynInAnEstablishedConnectionPassesForAChallengeOnlyInWindow) {
  const Wire fresh = established();
  Wire w = fresh;

  EXPECT_EQ(w.next(kF, segment(S, c(500), 0)), DropReason::kNone);
  EXPECT_EQ(w.next(kR, segment(SA, s(0), c(1))), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(S, c(1003), 0)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kR, segment(SA, s(0), c(2))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(S | F, c(500), 0)), DropReason::kTcpState);

  EXPECT_EQ(0, std::memcmp(&w.track, &fresh.track, sizeof(TcpTrack)));
}

TEST_P(TcpTracker, SegmentsWithoutAcknowledgementAreRefused) {
  Wire w = established();

  EXPECT_EQ(w.next(kF, segment(0, c(1), 0)), DropReason::kTcpState);
  EXPECT_EQ(w.next(kF, segment(kTcpPsh, c(1), 0, 10)), DropReason::kTcpState);
  EXPECT_EQ(w.next(kF, segment(F, c(1), 0)), DropReason::kTcpState);
}

TEST_P(TcpTracker, AFinInTheMiddleOfWhatWasSentIsRefused) {
  Wire w = established();
  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 500)), DropReason::kNone);

  EXPECT_EQ(w.next(kF, segment(FA, c(100), s(1))), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(FA, c(498), s(1), 1)), DropReason::kTcpWindow);
  EXPECT_EQ(w.next(kF, segment(FA, c(401), s(1), 100)), DropReason::kNone) << "repeated data with the FIN";
}

TEST_P(TcpTracker, TimeWaitIsLeftOnlyByAHigherSyn) {
  Wire w = established();
  ASSERT_EQ(w.next(kF, segment(FA, c(1), s(1))), DropReason::kNone);
  ASSERT_EQ(w.next(kR, segment(FA, s(1), c(2))), DropReason::kNone);
  const TcpSegment higher = segment(S, c(3), 0);
  EXPECT_EQ(w.track.state, TcpState::kClosing);
  EXPECT_FALSE(tcp_restarts(w.track, kF, higher));
  ASSERT_EQ(w.next(kF, segment(A, c(2), s(2))), DropReason::kNone);
  ASSERT_EQ(w.track.state, TcpState::kTimeWait);

  EXPECT_EQ(w.next(kF, higher), DropReason::kTcpState);
  EXPECT_TRUE(tcp_restarts(w.track, kF, higher));
  EXPECT_FALSE(tcp_restarts(w.track, kF, segment(S, c(2), 0)));
  EXPECT_FALSE(tcp_restarts(w.track, kF, segment(S, c(0), 0)));
  EXPECT_FALSE(tcp_restarts(w.track, kF, segment(SA, c(3), s(2))));
  EXPECT_TRUE(tcp_restarts(w.track, kR, segment(S, s(3), 0))) << "either side may call again";
  EXPECT_FALSE(tcp_restarts(w.track, kR, segment(S, s(2), 0)));
}

TEST_P(TcpTracker, AClosedConnectionAndAnUnansweredSynMayStartAgain) {
  Wire w = syn_sent();
  EXPECT_TRUE(tcp_restarts(w.track, kF, segment(S, c(9), 0)));
  EXPECT_FALSE(tcp_restarts(w.track, kF, segment(S, c(0), 0))) << "a repetition";
  EXPECT_FALSE(tcp_restarts(w.track, kR, segment(S, s(0), 0)));

  w = established();
  EXPECT_FALSE(tcp_restarts(w.track, kF, segment(S, c(90'000), 0)));
  ASSERT_EQ(w.next(kR, segment(R, s(1), 0)), DropReason::kNone);
  EXPECT_EQ(w.next(kF, segment(S, c(0), 0)), DropReason::kTcpState);
  EXPECT_TRUE(tcp_restarts(w.track, kF, segment(S, c(0), 0)));
}

TEST_P(TcpTracker, QuotedSequencesLieInsideWhatWasSent) {
  Wire w = syn_sent();
  EXPECT_TRUE(tcp_quoted_in_window(w.track, kF, c(0)));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kF, c(0) - 1));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kF, c(2)));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kR, 0)) << "reverse has sent nothing";
  EXPECT_FALSE(tcp_quoted_in_window(TcpTrack{}, kF, 0));

  w = established();
  ASSERT_EQ(w.next(kF, segment(A, c(1), s(1), 1000)), DropReason::kNone);
  EXPECT_TRUE(tcp_quoted_in_window(w.track, kF, c(1)));
  EXPECT_TRUE(tcp_quoted_in_window(w.track, kF, c(1001)));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kF, c(1002)));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kF, c(0)));
  EXPECT_TRUE(tcp_quoted_in_window(w.track, kR, s(1)));
  EXPECT_FALSE(tcp_quoted_in_window(w.track, kR, s(2)));
}

TEST(TcpNames, EveryStateHasANameAndATimeout) {
  for (unsigned i = 1; i < static_cast<unsigned>(TcpState::kCount); ++i) {
    const auto state = static_cast<TcpState>(i);
    EXPECT_NE(name(state), "?");
    EXPECT_GT(tcp_timeout_seconds(state), 0U);
    EXPECT_LE(tcp_timeout_seconds(state), tcp_timeout_seconds(TcpState::kEstablished));
  }
  EXPECT_EQ(tcp_timeout_seconds(TcpState::kNone), 0U);
  EXPECT_EQ(name(TcpState::kTimeWait), "time-wait");
}

TEST(TcpWindowScale, IsFoundAmongOptionsAndNeverPastABadOne) {
  const std::vector<std::uint8_t> linux_syn = {2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
  EXPECT_EQ(parse_tcp_window_scale(linux_syn), 7);
  for (std::size_t length = 0; length < linux_syn.size(); ++length) {
    const std::vector<std::uint8_t> prefix(linux_syn.begin(), linux_syn.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(parse_tcp_window_scale(prefix), kNoWindowScale) << length;
  }
  const auto parse = [](std::vector<std::uint8_t> bytes) { return parse_tcp_window_scale(bytes); };
  EXPECT_EQ(parse({3, 3, 0}), 0);
  EXPECT_EQ(parse({3, 4, 7, 0}), kNoWindowScale);
  EXPECT_EQ(parse({0, 3, 3, 7}), kNoWindowScale) << "after the end of the list";
  EXPECT_EQ(parse({8, 0, 3, 3, 7}), kNoWindowScale) << "an option of no length";
  EXPECT_EQ(parse({8, 1, 3, 3, 7}), kNoWindowScale);
  EXPECT_EQ(parse({8, 9, 3, 3, 7}), kNoWindowScale);
}

TEST(TcpSegment, IsReadFromProvedBytes) {
  std::vector<std::uint8_t> frame(14 + 20 + 24 + 5);
  const std::vector<std::uint8_t> tcp = {0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, S, 0xab, 0xcd, 0, 0, 0, 0, 3, 3, 9, 0};
  std::copy(tcp.begin(), tcp.end(), frame.begin() + 34);
  PacketMeta meta{};
  meta.proof = kProofIpv4 | kProofL4;
  meta.l3_offset = 14, meta.l4_offset = 34, meta.payload_offset = 58, meta.l3_length = 49;
  meta.tcp_flags = S;

  TcpSegment out = parse_tcp_segment(frame, meta);
  EXPECT_EQ(out.sequence, 0x01020304U);
  EXPECT_EQ(out.acknowledgement, 0x05060708U);
  EXPECT_EQ(out.payload_bytes, 5U);
  EXPECT_EQ(out.window, 0xabcd);
  EXPECT_EQ(out.flags, S);
  EXPECT_EQ(out.window_scale_option, 9);

  meta.tcp_flags = A;
  EXPECT_EQ(parse_tcp_segment(frame, meta).window_scale_option, kNoWindowScale) << "options count in SYNs alone";

  const TcpSegment whole = parse_tcp_segment(frame, meta), plain = parse_plain_segment(frame.data() + 34, 29, A);
  EXPECT_EQ(std::tuple(plain.sequence, plain.acknowledgement, plain.payload_bytes, plain.window, plain.flags, plain.window_scale_option),
            std::tuple(whole.sequence, whole.acknowledgement, whole.payload_bytes, whole.window, whole.flags, whole.window_scale_option));
  for (unsigned flags = 0; flags < 64; ++flags) {
    const bool expected = (flags & A) != 0 && (flags & (S | 1U | 4U)) == 0;
    EXPECT_EQ(is_plain_segment(static_cast<std::uint8_t>(flags)), expected) << flags;
  }
}

}  // namespace
}  // namespace sekisho::filters
