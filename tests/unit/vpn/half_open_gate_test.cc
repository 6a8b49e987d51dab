// SPDX-License-Identifier: Apache-2.0
#include "vpn/half_open_gate.h"

#include <gtest/gtest.h>

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kOwn = 7, kPeer = 9;

class HalfOpen : public testing::Test {
 protected:
  bool request(std::uint32_t number, std::uint64_t own = kOwn) { return gate_.admits({own, kPeer, 2, number, false}, now_); }
  bool again() { return gate_.admits({0, kPeer, 2, 0, false}, now_); }
  void answer(std::uint32_t number) { gate_.leaves({kPeer, kOwn, 2, number, true}); }
  /// Up to the request that is answered slowly.
  void SetUp() override {
    gate_.begin(kOwn, kPeer);
    answer(0);
    EXPECT_TRUE(request(1));
    answer(1);
  }
  HalfOpenGate gate_;
  HalfOpenGate::Time now_{1h};
};

TEST_F(HalfOpen, OneRequestAtATimeGoesThroughAndTheNextWithItsAnswer) {
  EXPECT_TRUE(request(2));
  EXPECT_TRUE(request(2)) << "its next piece";
  for (const std::uint32_t number : {0U, 1U, 3U, 4U, ~0U}) EXPECT_FALSE(request(number)) << number;
  EXPECT_FALSE(again());
  answer(2);
  EXPECT_TRUE(request(3));
  EXPECT_FALSE(request(5));
}

TEST_F(HalfOpen, AnsweredRequestMayComeAgainTwiceASecondUntilTheNextIsThere) {
  EXPECT_TRUE(request(1));
  EXPECT_FALSE(request(1));
  now_ += 499ms;
  EXPECT_FALSE(request(1));
  now_ += 1ms;
  EXPECT_TRUE(request(1));
  EXPECT_FALSE(request(0));
  now_ += 1s;
  EXPECT_TRUE(request(2));
  EXPECT_FALSE(request(1));
}

TEST_F(HalfOpen, FirstRequestMayComeAgainUntilTheSecondIsAnswered) {
  EXPECT_FALSE(again());
  gate_.begin(8, 10);
  EXPECT_FALSE(gate_.admits({0, 10, 2, 0, false}, now_)) << "it is being answered";
  gate_.leaves({10, 8, 2, 0, true});
  EXPECT_TRUE(gate_.admits({0, 10, 2, 0, false}, now_));
  EXPECT_FALSE(gate_.admits({0, 10, 2, 0, false}, now_));
}

TEST_F(HalfOpen, AnswersAreNobodysWhileNothingWasAsked) {
  EXPECT_FALSE(gate_.admits({kOwn, kPeer, 2, 2, true}, now_));
  gate_.end(kOwn);
  EXPECT_TRUE(gate_.admits({kOwn, kPeer, 2, 2, true}, now_));
}

TEST_F(HalfOpen, OthersAreNotHeldUp) {
  EXPECT_TRUE(request(2));
  EXPECT_TRUE(request(17, 8));
  EXPECT_TRUE(gate_.admits({0, 10, 2, 0, false}, now_));
  gate_.end(kOwn);
  EXPECT_TRUE(request(17));
  EXPECT_TRUE(again());
  EXPECT_EQ(gate_.size(), 0U);
}

}  // namespace
}  // namespace sekisho::vpn
