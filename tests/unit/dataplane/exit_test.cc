// SPDX-License-Identifier: Apache-2.0
// Goal: a hop less is a right checksum for every checksum there is. Method: all of them, against RFC 1624's arithmetic in network order.
#include "dataplane/path/exit.h"

#include <gtest/gtest.h>

#include <array>

namespace sekisho::dataplane::path {
namespace {

TEST(Exit, KeepsEveryIpv4ChecksumAsRfc1624Says) {
  for (const std::uint8_t ttl : std::array<std::uint8_t, 3>{2, 64, 255}) {
    for (std::uint32_t sum = 0; sum <= 0xffff; ++sum) {
      std::array<std::uint8_t, 20> ip{};
      ip[7] = 0xa5;
      ip[8] = ttl;
      ip[9] = 17;
      store_be<std::uint16_t>(ip, 10, static_cast<std::uint16_t>(sum));
      ip[12] = 0x5a;
      count_hop(ip.data(), true);
      ASSERT_EQ(load_be<std::uint16_t>(ip, 10), (sum + 0x100 + ((sum + 0x101) >> 16)) & 0xffffU) << sum;
      ASSERT_EQ(ip[8], ttl - 1);
      ASSERT_EQ(ip[9], 17);
      ASSERT_EQ(ip[7], 0xa5);
      ASSERT_EQ(ip[12], 0x5a);
    }
  }
}

TEST(Exit, TakesAHopFromIpv6AndNothingElse) {
  std::array<std::uint8_t, 40> ip{};
  ip.fill(0x77);
  ip[7] = 2;
  count_hop(ip.data(), false);
  EXPECT_EQ(ip[7], 1);
  ip[7] = 0x77;
  for (const std::uint8_t byte : ip) EXPECT_EQ(byte, 0x77);
}

}  // namespace
}  // namespace sekisho::dataplane::path
