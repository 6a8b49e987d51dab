// SPDX-License-Identifier: Apache-2.0
// Goal: every address has the class its registry gives it, up to the last one of each block. Method: both sides of every
// edge.
#include "filters/packet/address_class.h"

#include <gtest/gtest.h>

#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using sekisho::tests::address;

struct Row {
  const char* text;
  AddressClass wanted;
};

TEST(AddressClass, KnowsBothSidesOfEveryEdge) {
  using C = AddressClass;
  const Row rows[] = {
      {"0.0.0.0", C::kUnspecified}, {"0.255.255.255", C::kUnspecified}, {"1.0.0.0", C::kUnicast},
      {"126.255.255.255", C::kUnicast}, {"127.0.0.0", C::kLoopback}, {"127.255.255.255", C::kLoopback}, {"128.0.0.0", C::kUnicast},
      {"169.253.255.255", C::kUnicast}, {"169.254.0.0", C::kLinkLocal}, {"169.254.255.255", C::kLinkLocal}, {"169.255.0.0", C::kUnicast},
      {"223.255.255.255", C::kUnicast}, {"224.0.0.0", C::kMulticast}, {"239.255.255.255", C::kMulticast},
      {"240.0.0.0", C::kReserved}, {"255.255.255.254", C::kReserved}, {"255.255.255.255", C::kBroadcast},
      {"::", C::kUnspecified}, {"::1", C::kLoopback}, {"::2", C::kEmbeddedIpv4}, {"::a00:1", C::kEmbeddedIpv4},
      {"::1:0:0", C::kReserved}, {"::fffe:0:0", C::kReserved}, {"::ffff:808:808", C::kEmbeddedIpv4}, {"::1:0:0:0", C::kReserved},
      {"64:ff9b::1", C::kReserved}, {"100::1", C::kReserved}, {"1fff:ffff::1", C::kReserved},
      {"2000::1", C::kUnicast}, {"3fff:ffff::1", C::kUnicast}, {"4000::1", C::kReserved}, {"8000::1", C::kReserved},
      {"fbff:ffff::1", C::kReserved}, {"fc00::1", C::kUnicast}, {"fdff:ffff::1", C::kUnicast}, {"fe00::1", C::kReserved},
      {"fe7f:ffff::1", C::kReserved}, {"fe80::1", C::kLinkLocal}, {"febf:ffff::1", C::kLinkLocal}, {"fec0::1", C::kReserved},
      {"feff:ffff::1", C::kReserved}, {"ff00::1", C::kMulticast}, {"ffff::1", C::kMulticast},
      {"2002:808:808::1", C::kUnicast}, {"2002:a00:1::1", C::kEmbeddedIpv4}, {"2002:7f00:1::1", C::kEmbeddedIpv4},
      {"2002:e000:1::1", C::kEmbeddedIpv4}, {"2002:c0a8:101::1", C::kEmbeddedIpv4}, {"2003::1", C::kUnicast},
      {"2001:0:808:808:0:1234:f7f7:f7f7", C::kUnicast}, {"2001:0:a00:1:0:1234:f7f7:f7f7", C::kEmbeddedIpv4},
      {"2001:0:808:808:0:1234:f5ff:fffe", C::kEmbeddedIpv4}, {"2001:1::1", C::kUnicast},
      {"2001:db8::5efe:a00:1", C::kUnicast}, {"2001:db8::5efe:7f00:1", C::kEmbeddedIpv4},
      {"2001:db8::200:5efe:e000:1", C::kEmbeddedIpv4}, {"2001:db8::5eff:7f00:1", C::kUnicast},
  };
  for (const Row& row : rows) EXPECT_EQ(address_class(address(row.text)), row.wanted) << row.text;
}

TEST(AddressClass, BogonsEndWhereTheirBlocksEnd) {
  for (const char* text : {"10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "172.16.0.0", "172.31.255.255",
                           "192.0.0.1", "192.0.2.255", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0",
                           "198.19.255.255", "198.51.100.1", "203.0.113.255", "2001:2::1", "2001:10::1", "2001:2f:ffff::1",
                           "2001:db8::1", "2001:db8:ffff:ffff::1", "3ffe::1", "3fff:fff:ffff::1", "fc00::1", "fdff:ffff::1"}) {
    EXPECT_TRUE(is_bogon(address(text))) << text;
  }
  for (const char* text : {"9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
                           "192.0.1.0", "192.0.3.0", "192.31.196.1", "192.88.98.255", "192.167.255.255", "192.169.0.0", "198.17.255.255",
                           "198.20.0.0", "198.51.101.0", "203.0.114.0", "2001:2:1::1", "2001:30::1", "2001:db7::1",
                           "2001:db9::1", "3ffd::1", "3fff:1000::1", "2400::1", "2001::1"}) {
    EXPECT_FALSE(is_bogon(address(text))) << text;
  }
}

TEST(AddressClass, NamesTheSourceBeforeTheDestinationAndLandBeforeBoth) {
  const auto reason = [](const char* from, const char* to) { return check_addresses(address(from), address(to)); };
  EXPECT_EQ(reason("127.0.0.1", "127.0.0.1"), DropReason::kLand);
  EXPECT_EQ(reason("127.0.0.1", "240.0.0.1"), DropReason::kSourceLoopback);
  EXPECT_EQ(reason("192.0.2.1", "240.0.0.1"), DropReason::kDestinationReserved);
  EXPECT_EQ(reason("192.0.2.1", "224.0.0.1"), DropReason::kMulticast);
  EXPECT_EQ(reason("192.0.2.1", "192.0.2.2"), DropReason::kNone);
  EXPECT_EQ(reason("2001:db8::1", "::ffff:808:808"), DropReason::kEmbeddedIpv4);
}

}  // namespace
}  // namespace sekisho::filters
