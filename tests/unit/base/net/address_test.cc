// SPDX-License-Identifier: Apache-2.0
// Goal: text forms are read strictly and printed canonically; prefixes contain exactly their range.
#include "base/net/address.h"

#include <gtest/gtest.h>

namespace sekisho {
namespace {

Address address(std::string_view text) { return parse_address(text).value(); }
Prefix prefix(std::string_view text) { return parse_prefix(text).value(); }

TEST(Address, PrintsRfc5952Canonically) {
  const std::pair<const char*, const char*> cases[] = {
      {"2001:0db8::0001", "2001:db8::1"},
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"2001:DB8::ABCD", "2001:db8::abcd"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"::1", "::1"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"10.0.0.1", "10.0.0.1"},
      {"255.255.255.255", "255.255.255.255"},
  };
  for (const auto& [text, printed] : cases) EXPECT_EQ(to_string(address(text)), printed);
  EXPECT_EQ(to_string(Address{}), "-");
}

TEST(Address, RefusesWhatIsNotExactlyAnAddress) {
  for (const std::string_view text :
       {"", " 10.0.0.1", "10.0.0.1 ", "10.0.0", "10.0.0.256", "10.0.0.1.2", "010.0.0.1", "0x0a.0.0.1", "1", "a.b.c.d",
        ":", ":::", "1::2::3", "12345::", "2001:db8::1%eth0", "[::1]", "::1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::g",
        "10.0.0.1/24", "2001:db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
  EXPECT_FALSE(parse_address(std::string_view("10.0.0.1\0", 9)));
  EXPECT_FALSE(parse_address(std::string_view("::1\0::", 6)));
}

TEST(Address, WireFormsHaveFourOrSixteenBytes) {
  const std::array<std::uint8_t, 17> bytes{1, 2, 3, 4, 5};
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const auto out = Address::from_wire(std::span(bytes).first(length));
    ASSERT_EQ(out.has_value(), length == 4 || length == 16) << length;
    EXPECT_TRUE(!out || out->wire().size() == length);
  }
  EXPECT_EQ(Address::from_v4(0x0a000001), address("10.0.0.1"));
  EXPECT_EQ(address("10.0.0.1").v4(), 0x0a000001U);
}

TEST(Address, KnowsItsKinds) {
  EXPECT_TRUE(address("224.0.0.1").is_multicast() && address("239.255.255.255").is_multicast());
  EXPECT_FALSE(address("223.255.255.255").is_multicast() || address("240.0.0.0").is_multicast());
  EXPECT_TRUE(address("ff02::1").is_multicast());
  EXPECT_FALSE(address("fe80::1").is_multicast() || Address{}.is_multicast());
  EXPECT_TRUE(address("169.254.0.1").is_link_local() && address("fe80::1").is_link_local() && address("febf::").is_link_local());
  EXPECT_FALSE(address("169.253.0.1").is_link_local() || address("fec0::").is_link_local() || address("fe7f::").is_link_local());
  EXPECT_TRUE(address("127.255.0.1").is_loopback() && address("::1").is_loopback());
  EXPECT_FALSE(address("128.0.0.1").is_loopback() || address("::2").is_loopback() || address("100::1").is_loopback());
  EXPECT_TRUE(address("0.0.0.0").is_unspecified() && address("::").is_unspecified());
  EXPECT_FALSE(address("0.0.0.1").is_unspecified());
  EXPECT_NE(address("0.0.0.0"), address("::")) << "families differ though all bytes are zero";
}

TEST(Prefix, ContainsFromItsFirstToItsLastAddress) {
  struct Case {
    const char *prefix, *first, *last, *below, *above;
  };
  const Case cases[] = {
      {"10.0.0.5/28", "10.0.0.0", "10.0.0.15", "9.255.255.255", "10.0.0.16"},
      {"10.0.0.7/32", "10.0.0.7", "10.0.0.7", "10.0.0.6", "10.0.0.8"},
      {"10.128.0.0/9", "10.128.0.0", "10.255.255.255", "10.127.255.255", "11.0.0.0"},
      {"2001:db8:0:1::7/64", "2001:db8:0:1::", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:0:2::"},
      {"fd00::/7", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff::", "fe00::"},
      {"::1/128", "::1", "::1", "::", "::2"},
  };
  for (const Case& c : cases) {
    const Prefix p = prefix(c.prefix);
    EXPECT_EQ(to_string(p.first()), c.first);
    EXPECT_EQ(to_string(p.last()), c.last);
    EXPECT_TRUE(p.contains(p.first()) && p.contains(p.last())) << c.prefix;
    EXPECT_FALSE(p.contains(address(c.below)) || p.contains(address(c.above))) << c.prefix;
  }
  EXPECT_TRUE(prefix("0.0.0.0/0").contains(address("255.255.255.255")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(address("::1"))) << "families never mix";
  EXPECT_FALSE(prefix("::/0").contains(address("10.0.0.1")));
  EXPECT_FALSE(prefix("::/0").contains(Address{}));
}

TEST(Prefix, IsReadStrictlyAndPrintedBack) {
  EXPECT_EQ(to_string(prefix("10.0.0.1/28")), "10.0.0.1/28") << "host bits are kept";
  EXPECT_EQ(to_string(prefix("10.0.0.1")), "10.0.0.1/32");
  EXPECT_EQ(to_string(prefix("2001:DB8::/0")), "2001:db8::/0");
  EXPECT_EQ(to_string(prefix("::1")), "::1/128");
  for (const std::string_view text : {"", "/", "/24", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/024", "10.0.0.0/+4",
                                      "10.0.0.0/-1", "10.0.0.0/ 8", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/255.0.0.0",
                                      "10.0.0.0/00", "10.0.0.0/4294967304"}) {
    EXPECT_FALSE(parse_prefix(text)) << text;
  }
}

TEST(Mac, IsReadStrictlyAndPrintedBack) {
  const Mac mac = parse_mac("52:54:00:Ab:cD:ff").value();
  EXPECT_EQ(to_string(mac), "52:54:00:ab:cd:ff");
  EXPECT_EQ(mac.number(), 0x525400abcdffULL);
  EXPECT_EQ(Mac::from_number(0x525400abcdffULL), mac);
  for (const std::string_view text : {"", "52:54:00:ab:cd", "52:54:00:ab:cd:f", "52:54:00:ab:cd:fff", "52-54-00-ab-cd-ff",
                                      "525400abcdff", "52:54:00:ab:cd:fg", "52:54:00:ab:cd: f", "52:54:00:ab:cd:-1",
                                      "+2:54:00:ab:cd:ff", "5254.00ab.cdff...", "52:54:00:ab:cd:ff:"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

TEST(Mac, KnowsItsKinds) {
  EXPECT_TRUE(parse_mac("ff:ff:ff:ff:ff:ff")->is_broadcast());
  EXPECT_FALSE(parse_mac("ff:ff:ff:ff:ff:fe")->is_broadcast());
  EXPECT_TRUE(parse_mac("01:00:5e:00:00:01")->is_multicast());
  EXPECT_FALSE(parse_mac("02:00:00:00:00:01")->is_multicast());
  EXPECT_TRUE(Mac{}.is_zero());
  EXPECT_EQ(to_string(eui64_link_local(parse_mac("34:56:78:9a:bc:de").value())), "fe80::3656:78ff:fe9a:bcde");
}

}  // namespace
}  // namespace sekisho
