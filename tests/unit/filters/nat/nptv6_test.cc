// SPDX-License-Identifier: Apache-2.0
// Goal: prefix translation neither shows in a checksum nor joins two addresses (RFC 6296).
#include <gtest/gtest.h>

#include <random>

#include "base/net/checksum.h"
#include "filters/nat/nat_rules.h"
#include "tests/support/snapshots.h"

namespace sekisho::filters {
namespace {

std::uint16_t sum_of(const Address& address) {
  const auto folded = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, address.wire())));
  return folded == 0xffff ? std::uint16_t{0} : folded;  // two zeros of ones' complement
}

TEST(Nptv6, IsTheExampleOfTheRfc) {
  // Section 2.1 and appendix B: fd01:203:405:1::1234 behind 2001:db8:1::/48 is 2001:db8:1:d550::1234.
  const auto out = nptv6(tests::address("fd01:203:405:1::1234"), tests::address("fd01:203:405::"), tests::address("2001:db8:1::"), 48);
  EXPECT_EQ(out, tests::address("2001:db8:1:d550::1234"));
}

TEST(Nptv6, KeepsTheSumAndGoesBackForEveryPrefixLength) {
  std::mt19937_64 random(6296);
  const auto anything = [&] {
    Address out;
    out.family = Family::kIpv6;
    for (auto& byte : out.bytes) byte = static_cast<std::uint8_t>(random() % 4 == 0 ? 0xff : random());
    return out;
  };
  unsigned mapped = 0;
  for (unsigned i = 0; i < 50'000; ++i) {
    const auto length = static_cast<std::uint8_t>(random() % 113);
    const Address from = Prefix{anything(), length}.first();
    const Address to = Prefix{anything(), length}.first();
    Address inside = anything();
    for (unsigned bit = 0; bit < length; ++bit) {
      const auto mask = static_cast<std::uint8_t>(0x80U >> bit % 8);
      inside.bytes[bit / 8] = static_cast<std::uint8_t>((inside.bytes[bit / 8] & ~mask) | (from.bytes[bit / 8] & mask));
    }
    const auto outside = nptv6(inside, from, to, length);
    if (!outside) continue;
    ++mapped;
    ASSERT_TRUE((Prefix{to, length}.contains(*outside)));
    ASSERT_EQ(sum_of(*outside), sum_of(inside));
    const auto back = nptv6(*outside, to, from, length);
    ASSERT_TRUE(back.has_value());
    ASSERT_EQ(*back, inside) << to_string(inside) << " /" << int{length};
  }
  EXPECT_GT(mapped, 25'000U);
}

TEST(Nptv6, SubnetOfAllOnesHasNoTranslation) {
  EXPECT_FALSE(nptv6(tests::address("fd01:203:405:ffff::1"), tests::address("fd01:203:405::"), tests::address("2001:db8:1::"), 48));
  EXPECT_TRUE(nptv6(tests::address("fd01:203:405:fffe::1"), tests::address("fd01:203:405::"), tests::address("2001:db8:1::"), 48));
}

}  // namespace
}  // namespace sekisho::filters
