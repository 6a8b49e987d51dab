// SPDX-License-Identifier: Apache-2.0
#include "vpn/half_open.h"

#include <gtest/gtest.h>

namespace sekisho::vpn {
namespace {

Address v4(std::uint32_t last) { return Address::from_v4(0xc6336400U + last); }  // 198.51.100.0/24 and beyond
Address v6(const char* text) { return parse_address(text).value(); }

/// Begins up to `wanted` attempts, one a message, each in a second of its own; returns how many were let begin.
class Office {
 public:
  std::uint32_t begin(std::uint32_t tenant, const Address& source, std::uint32_t wanted) {
    std::uint32_t done = 0;
    for (std::uint32_t i = 0; i < wanted; ++i) {
      if (!budget.admit(tenant, source, ++now)) continue;
      budget.begun(++ike, tenant, source);
      ++done;
    }
    return done;
  }
  HalfOpenBudget budget;
  std::int64_t now = 1'000'000;
  std::uint32_t ike = 0;
};

TEST(HalfOpenBudget, AnAddressMayHaveSoManyUnderWayAndOneThatEndsMakesRoom) {
  Office office;
  EXPECT_EQ(office.begin(1, v4(7), 100), HalfOpenBudget::kAddress);
  EXPECT_EQ(office.begin(1, v4(8), 1), 1U);
  office.budget.ended(1);
  office.budget.ended(1);  // said twice
  EXPECT_EQ(office.begin(1, v4(7), 100), 1U);
  EXPECT_EQ(office.budget.under_way(), HalfOpenBudget::kAddress + 1);
}

TEST(HalfOpenBudget, StrangersOfANetworkShareABudget) {
  Office office;
  std::uint32_t done = 0;
  for (std::uint32_t host = 1; host < 20; ++host) done += office.begin(1, v4(host), 32);
  EXPECT_EQ(done, HalfOpenBudget::kNetwork);
  EXPECT_EQ(office.begin(1, v4(256 + 1), 1), 1U);  // the next network
  EXPECT_EQ(office.begin(2, v4(1), 1), 1U);        // another tenant's
}

TEST(HalfOpenBudget, StrangersOfATenantShareABudgetThatOtherTenantsDoNot) {
  Office office;
  std::uint32_t done = 0;
  for (std::uint32_t network = 0; network < 20; ++network) {
    for (std::uint32_t host = 1; host < 5; ++host) done += office.begin(1, v4(256 * network + host), 32);
  }
  EXPECT_EQ(done, HalfOpenBudget::kTenant);
  EXPECT_EQ(office.begin(2, v4(256 * 30), 1), 1U);
}

TEST(HalfOpenBudget, AnAddressUsersCameInFromGrowsWithThemAndStrangersDoNotCount) {
  Office office;
  for (std::size_t user = 0; user < 50; ++user) office.budget.came_in(1, v4(9), user, office.now);
  office.budget.came_in(1, v4(9), 7, office.now);  // again
  for (std::uint32_t host = 100; host < 110; ++host) office.begin(1, v4(host), 32);
  EXPECT_EQ(office.begin(1, v4(10), 1), 0U);
  EXPECT_EQ(office.begin(1, v4(9), 1000), HalfOpenBudget::kAddress + 50 * HalfOpenBudget::kPerUser);
  EXPECT_EQ(office.begin(2, v4(9), 1000), HalfOpenBudget::kAddress);  // it is known to its tenant alone
}

TEST(HalfOpenBudget, AnAddressIsForgottenAMonthAfterItsLastUser) {
  Office office;
  office.budget.came_in(1, v4(9), 1, office.now);
  office.now += HalfOpenBudget::kKnownSeconds;
  EXPECT_EQ(office.begin(1, v4(9), 100), HalfOpenBudget::kAddress);
}

TEST(HalfOpenBudget, OnlySoManyAddressesAreKnownAndTheLongestSilentIsForgotten) {
  Office office;
  for (std::uint32_t i = 0; i <= HalfOpenBudget::kKnownMax; ++i) office.budget.came_in(1, v4(i), 1, office.now + i);
  EXPECT_EQ(office.begin(1, v4(0), 100), HalfOpenBudget::kAddress);
  EXPECT_EQ(office.begin(1, v4(1), 100), HalfOpenBudget::kAddress + HalfOpenBudget::kPerUser);
}

TEST(HalfOpenBudget, OfIpv6AnAddressIsA64AndANetworkA48) {
  Office office;
  EXPECT_EQ(office.begin(1, v6("2001:db8:1:1::1"), 20), 20U);
  EXPECT_EQ(office.begin(1, v6("2001:db8:1:1:ffff::2"), 20), HalfOpenBudget::kAddress - 20);
  std::uint32_t done = HalfOpenBudget::kAddress;
  for (const char* one : {"2001:db8:1:2::", "2001:db8:1:3::", "2001:db8:1:4::", "2001:db8:1:5::"}) done += office.begin(1, v6(one), 32);
  EXPECT_EQ(done, HalfOpenBudget::kNetwork);
  EXPECT_EQ(office.begin(1, v6("2001:db8:2::1"), 1), 1U);
}

}  // namespace
}  // namespace sekisho::vpn
