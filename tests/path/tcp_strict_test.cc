// SPDX-License-Identifier: Apache-2.0
// Goal: TCP as strict as the strictest packet filters, and no stricter than two honest ends. Method: short dialogues through the
// whole path, after cases known from other connection trackers' test plans; each line says whether it passes.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::TcpState;

constexpr std::uint8_t F = filters::kTcpFin, S = filters::kTcpSyn, R = filters::kTcpRst, A = filters::kTcpAck;
constexpr std::uint32_t kC = 0xfffffff0, kS = 7000;  // initial sequences; the client's wraps

class PathTcpStrict : public PathTest {
 protected:
  PathTcpStrict() {
    world_.apply(1, {{.id = 11, .protocol = 6, .port_low = 80, .port_high = 80},
                     {.id = 12, .sources = {"10.0.0.2/32", "fd00:0:0:1::2/128"}, .protocol = 6}});
  }

  /// A segment of the client: numbers counted from the initial ones. True: it reached the server.
  bool client_says(unsigned flags, std::uint32_t sequence, std::uint32_t acknowledgement = 0, std::size_t bytes = 0) {
    const FrameBuilder ip = client(v6_ ? "fd00:0:0:2::2" : "10.0.0.34", v6_ ? "fd00:0:0:1::2" : "10.0.0.2");
    const TcpKnobs tcp = knobs(flags, kC + sequence, kS + acknowledgement);
    return crosses(kClientNic, FrameBuilder(ip).tcp(40000, 80, tcp).payload(bytes).build(), kServerNic);
  }
  bool server_says(unsigned flags, std::uint32_t sequence, std::uint32_t acknowledgement = 0, std::size_t bytes = 0) {
    const FrameBuilder ip = server(v6_ ? "fd00:0:0:1::2" : "10.0.0.2", v6_ ? "fd00:0:0:2::2" : "10.0.0.34");
    const TcpKnobs tcp = knobs(flags, kS + sequence, kC + acknowledgement);
    return crosses(kServerNic, FrameBuilder(ip).tcp(80, 40000, tcp).payload(bytes).build(), kClientNic);
  }
  static TcpKnobs knobs(unsigned flags, std::uint32_t sequence, std::uint32_t acknowledgement) {
    return {.flags = static_cast<std::uint8_t>(flags), .sequence = sequence, .acknowledgement = acknowledgement, .window = 1000};
  }
  void establish() {
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(server_says(S | A, 0, 1));
    EXPECT_TRUE(client_says(A, 1, 1));
  }
  TcpState state() {
    TcpState out = TcpState::kNone;
    world_.engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
      out = shard.sessions.at(index).tcp.state;
      return true;
    });
    return out;
  }
  template <typename Story>
  void in_both_families(Story story) {
    for (const bool v6 : {false, true}) {
      v6_ = v6;
      story();
      world_.pass(std::chrono::hours(2));
      ASSERT_EQ(world_.sessions(), 0U);
    }
  }

 private:
  bool crosses(std::uint16_t in, const Frame& frame, std::uint16_t out) {
    world_.inject(in, frame);
    return world_.collect(out).size() == 1;
  }
  bool v6_ = false;
};
SEKISHO_PATH_WORKERS(PathTcpStrict);

TEST_P(PathTcpStrict, SimultaneousOpenIsEstablishedByBothAcknowledgements) {
  in_both_families([&] {
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(server_says(S, 0));
    EXPECT_EQ(state(), TcpState::kSimultaneousSyn);
    EXPECT_FALSE(server_says(S | A, 900'000, 1));
    EXPECT_TRUE(client_says(S | A, 0, 1));
    EXPECT_TRUE(server_says(S | A, 0, 1));
    EXPECT_EQ(state(), TcpState::kEstablished);
    EXPECT_TRUE(client_says(A, 1, 1, 100));
  });
}

TEST_P(PathTcpStrict, HalfClosedSideGoesOnReceiving) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(client_says(F | A, 1, 1));
    EXPECT_TRUE(server_says(A, 1, 2));
    for (std::uint32_t i = 0; i < 5; ++i) {
      EXPECT_TRUE(server_says(A, 1 + 500 * i, 2, 500));
      EXPECT_TRUE(client_says(A, 2, 501 + 500 * i));
    }
    EXPECT_EQ(state(), TcpState::kFinWaitForward);
    EXPECT_TRUE(server_says(F | A, 2501, 2));
    EXPECT_TRUE(client_says(A, 2, 2502));
    EXPECT_EQ(state(), TcpState::kTimeWait);
  });
}

TEST_P(PathTcpStrict, SimultaneousCloseEndsInTimeWait) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(client_says(F | A, 1, 1));
    EXPECT_TRUE(server_says(F | A, 1, 1));
    EXPECT_EQ(state(), TcpState::kClosing);
    EXPECT_TRUE(client_says(A, 2, 2));
    EXPECT_TRUE(server_says(A, 2, 2));
    EXPECT_EQ(state(), TcpState::kTimeWait);
  });
}

TEST_P(PathTcpStrict, TimeWaitIsReusedByAHigherSynOnly) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(client_says(F | A, 1, 1));
    EXPECT_TRUE(server_says(F | A, 1, 2));
    EXPECT_TRUE(client_says(A, 2, 2));
    EXPECT_FALSE(client_says(S, 0));
    EXPECT_FALSE(client_says(S, 1));
    EXPECT_TRUE(client_says(S, 70'000));
    EXPECT_EQ(state(), TcpState::kSynSent);
    EXPECT_TRUE(server_says(S | A, 90'000, 70'001));
    EXPECT_TRUE(client_says(A, 70'001, 90'001, 10));
    EXPECT_EQ(state(), TcpState::kEstablished);
  });
}

TEST_P(PathTcpStrict, SynRepeatedWithAnotherSequenceBeginsAnewAndTheOldAnswerIsRefused) {
  in_both_families([&] {
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(client_says(S, 50'000));
    EXPECT_FALSE(server_says(S | A, 0, 1));  // to the first
    EXPECT_TRUE(server_says(S | A, 9, 50'001));
    EXPECT_TRUE(client_says(A, 50'001, 10));
    EXPECT_EQ(state(), TcpState::kEstablished);
    EXPECT_EQ(world_.sessions(), 1U);
  });
}

TEST_P(PathTcpStrict, RepeatedPairsOfSynAndAnswerNeverCountAsEstablished) {
  in_both_families([&] {
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(client_says(S, 0));
      EXPECT_TRUE(server_says(S | A, 0, 1));
      EXPECT_EQ(state(), TcpState::kSynReceived);
    }
    world_.pass(std::chrono::seconds(62));
    EXPECT_EQ(world_.sessions(), 0U);
  });
}

TEST_P(PathTcpStrict, SynInAConnectionIsChallengedAndTheAnsweringResetEndsIt) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(client_says(S, 1));                 // a host that forgot, inside the window
    EXPECT_TRUE(server_says(A, 1, 1));              // RFC 5961 4.2: the challenge
    EXPECT_TRUE(client_says(R, 1));                 // exact: it knew nothing of the connection
    EXPECT_EQ(state(), TcpState::kClosed);
    EXPECT_TRUE(client_says(S, 500'000));
    EXPECT_TRUE(server_says(S | A, 600'000, 500'001));
  });
}

TEST_P(PathTcpStrict, SynForAConnectionOnlyThePeerRemembersIsChallengedAway) {
  in_both_families([&] {
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(server_says(A, 1234, 99));          // the server's old connection
    EXPECT_FALSE(client_says(R, 98));
    EXPECT_TRUE(client_says(R, 99));
    EXPECT_EQ(state(), TcpState::kSynSent);         // ours goes on
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_TRUE(server_says(S | A, 0, 1));
  });
}

TEST_P(PathTcpStrict, BlindResetDoesNothingAndAnInexactOneClosesNothing) {
  in_both_families([&] {
    establish();
    EXPECT_FALSE(server_says(R, 900'000'000));
    EXPECT_FALSE(client_says(R, 900'000'000));
    EXPECT_EQ(state(), TcpState::kEstablished);
    EXPECT_TRUE(server_says(R, 1 + 100));           // in the window: the client answers with a challenge
    EXPECT_EQ(state(), TcpState::kEstablished);
    EXPECT_TRUE(client_says(A, 1, 1));
    EXPECT_TRUE(server_says(A, 1, 1, 300));
    EXPECT_TRUE(server_says(R, 301));               // exact
    EXPECT_EQ(state(), TcpState::kClosed);
  });
}

TEST_P(PathTcpStrict, LostAcknowledgementsStallNobody) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(server_says(A, 1, 1, 900));
    EXPECT_TRUE(client_says(A, 1, 901));            // lost behind us: the server says it again
    EXPECT_TRUE(server_says(A, 1, 1, 900));
    EXPECT_TRUE(client_says(A, 1, 901));
    EXPECT_TRUE(server_says(A, 901, 1, 900));
    EXPECT_TRUE(server_says(F | A, 1801, 1));
    EXPECT_TRUE(client_says(A, 1, 1802));
    EXPECT_TRUE(server_says(F | A, 1801, 1));       // its acknowledgement was lost
    EXPECT_TRUE(client_says(A, 1, 1802));
    EXPECT_TRUE(client_says(F | A, 1, 1802));
    EXPECT_TRUE(server_says(A, 1802, 2));
    EXPECT_EQ(state(), TcpState::kTimeWait);
    EXPECT_TRUE(server_says(A, 1802, 2));
  });
}

TEST_P(PathTcpStrict, AnswerToAnOlderSynIsRefusedAndTheRightOneStillEstablishes) {
  in_both_families([&] {
    EXPECT_TRUE(client_says(S, 0));
    EXPECT_FALSE(server_says(S | A, 400, 0x40000000));
    EXPECT_EQ(state(), TcpState::kSynSent);
    EXPECT_FALSE(server_says(R | A, 0, 0x40000001));
    EXPECT_FALSE(server_says(R, 0));                // acknowledges nothing: blind
    EXPECT_TRUE(server_says(S | A, 0, 1));
    EXPECT_TRUE(client_says(A, 1, 1));
    EXPECT_EQ(state(), TcpState::kEstablished);
  });
}

TEST_P(PathTcpStrict, DataStaysInsideWhatTheOtherSideGrantedAndScalesOnlyByAgreement) {
  in_both_families([&] {
    establish();
    EXPECT_TRUE(client_says(A, 1, 1, 1000));
    EXPECT_FALSE(client_says(A, 1, 1, 1200));       // of a window of 1000, one byte may lie past
    EXPECT_FALSE(client_says(A, 2200, 1, 10));
    EXPECT_FALSE(client_says(A, 1001, 5'000, 10));  // acknowledges what was never sent
    EXPECT_TRUE(server_says(A, 1, 1001));
    EXPECT_TRUE(client_says(A, 1001, 1, 1000));
  });
}

}  // namespace
}  // namespace sekisho::tests
