// SPDX-License-Identifier: Apache-2.0
// Goal: a carrier that nobody uses ends, and one in use, or on which somebody is logging in, does not. Method: what the data plane would
// say at times of the test's choice.
#include "vpn/carrier_watch.h"

#include <gtest/gtest.h>

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;

TunnelTotals seen(std::uint64_t packets, std::uint32_t riders) {
  TunnelTotals out;
  out.packets_in = packets;
  out.riders = riders;
  return out;
}

struct CarrierWatchTest : ::testing::Test {
  CarrierWatch watch;
  CarrierWatch::Time now = CarrierWatch::Time() + 1000s;
  bool look(std::chrono::seconds later, std::uint64_t packets, std::uint32_t riders, std::uint64_t session = 1) {
    now += later;
    return watch.look(session, seen(packets, riders), now);
  }
};

TEST_F(CarrierWatchTest, EndsASilentOneAfterAMinute) {
  EXPECT_FALSE(look(0s, 0, 0));
  EXPECT_FALSE(look(59s, 0, 0));
  EXPECT_TRUE(look(1s, 0, 0));
}

TEST_F(CarrierWatchTest, LeavesOneOnWhichSomebodyIsLoggedInHoweverSilent) {
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(look(50s, 7, 1));
  EXPECT_FALSE(look(59s, 7, 0)) << "he has gone";
  EXPECT_TRUE(look(1s, 7, 0));
}

TEST_F(CarrierWatchTest, LeavesALoginTimeButNotForever) {
  std::uint64_t packets = 0;
  EXPECT_FALSE(look(0s, packets, 0));
  for (int i = 0; i < 17; ++i) EXPECT_FALSE(look(10s, ++packets, 0));
  EXPECT_TRUE(look(10s, ++packets, 0)) << "who only talks is no user";
}

TEST_F(CarrierWatchTest, ForgetsThoseThatAreGoneAlone) {
  look(0s, 0, 0, 1);
  look(0s, 0, 0, 2);
  std::vector<Session> left(1);
  left[0].id = 2;
  watch.keep(left);
  EXPECT_FALSE(look(60s, 0, 0, 1)) << "a new one of the same number";
  EXPECT_TRUE(look(0s, 0, 0, 2));
}

}  // namespace
}  // namespace sekisho::vpn
