// SPDX-License-Identifier: Apache-2.0
#include "vpn/dhcp_inform.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

namespace sekisho::vpn {
namespace {

using Bytes = std::vector<std::uint8_t>;
const Address kClient = Address::from_v4(0x0a63000a);  // 10.99.0.10

/// As Windows 10 sends it through a tunnel: no hardware address, class "MSFT 5.0", 249 among what it wants.
Bytes inform(Bytes options = {53, 1, 8, 60, 8, 'M', 'S', 'F', 'T', ' ', '5', '.', '0', 55, 5, 6, 15, 43, 44, 249, 255}) {
  Bytes out{1, 8, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0, 10, 99, 0, 10};
  out.resize(236);
  for (const char byte : {'\x63', '\x82', '\x53', '\x63'}) out.push_back(static_cast<std::uint8_t>(byte));
  out.insert(out.end(), options.begin(), options.end());
  return out;
}

std::vector<Prefix> prefixes(std::initializer_list<const char*> texts) {
  std::vector<Prefix> out;
  for (const char* text : texts) out.push_back(parse_prefix(text).value());
  return out;
}

/// Options of an answer, those of one code joined; the head is checked.
std::map<int, Bytes> answer(const Bytes& request, const std::vector<Prefix>& networks, const std::vector<Address>& dns = {},
                            std::string_view domain = {}) {
  const auto read = parse_dhcp_inform(request, kClient);
  EXPECT_TRUE(read);
  const Bytes out = answer_dhcp_inform(*read, kClient, {networks, dns, domain});
  EXPECT_LE(out.size(), read->answer_max);
  EXPECT_EQ(out[0], 2);
  EXPECT_TRUE(std::equal(out.begin() + 4, out.begin() + 8, request.begin() + 4)) << "the transaction";
  EXPECT_TRUE(std::equal(out.begin() + 12, out.begin() + 16, request.begin() + 12)) << "ciaddr";
  EXPECT_TRUE(std::all_of(out.begin() + 16, out.begin() + 28, [](std::uint8_t byte) { return byte == 0; })) << "an INFORM gets no address";
  std::map<int, Bytes> options;
  for (std::size_t at = 240; out.at(at) != 255; at += 2U + out.at(at + 1)) {
    Bytes& value = options[out.at(at)];
    value.insert(value.end(), out.begin() + static_cast<std::ptrdiff_t>(at) + 2, out.begin() + static_cast<std::ptrdiff_t>(at) + 2 + out.at(at + 1));
  }
  return options;
}

TEST(DhcpInform, WindowsGetsRoutesNameServersAndItsDomain) {
  const auto options = answer(inform(), prefixes({"10.20.0.0/16", "172.16.4.128/25", "fd00:20::/32", "192.0.2.7/32"}),
                              {parse_address("10.20.0.53").value(), parse_address("fd00:20::53").value()}, "corp.acme.test");
  EXPECT_EQ(options.at(53), Bytes{5});
  EXPECT_EQ(options.at(54), (Bytes{192, 0, 0, 8}));
  EXPECT_EQ(options.at(6), (Bytes{10, 20, 0, 53}));
  EXPECT_EQ(std::string(options.at(15).begin(), options.at(15).end()), "corp.acme.test");
  EXPECT_EQ(options.at(249), (Bytes{16, 10, 20, 0, 0, 0, 0, 25, 172, 16, 4, 128, 0, 0, 0, 0, 32, 192, 0, 2, 7, 0, 0, 0, 0}));
  EXPECT_FALSE(options.contains(121)) << "it did not ask for that one";
  EXPECT_FALSE(options.contains(51)) << "an INFORM has no lease time";
}

TEST(DhcpInform, WhoNamesNeitherRouteOptionGetsBothAlike) {
  const auto options = answer(inform({53, 1, 8, 255}), prefixes({"10.20.0.0/16"}));
  EXPECT_EQ(options.at(121), (Bytes{16, 10, 20, 0, 0, 0, 0}));
  EXPECT_EQ(options.at(121), options.at(249));
  EXPECT_FALSE(options.contains(6));
  EXPECT_FALSE(answer(inform({53, 1, 8, 55, 1, 121, 255}), prefixes({"10.20.0.0/16"})).contains(249));
}

TEST(DhcpInform, EverythingIsTwoHalves) {
  EXPECT_EQ(answer(inform(), prefixes({"0.0.0.0/0", "::/0"})).at(249), (Bytes{1, 0, 0, 0, 0, 0, 1, 128, 0, 0, 0, 0}));
}

TEST(DhcpInform, ManyRoutesGoInPiecesOrNotAtAll) {
  std::vector<Prefix> networks;
  for (std::uint32_t i = 0; i < 60; ++i) networks.push_back({Address::from_v4(0x0a000000 + (i << 8)), 24});
  EXPECT_FALSE(answer(inform(), networks).contains(249)) << "548 bytes hold fewer";
  const auto options = answer(inform({53, 1, 8, 57, 2, 0x05, 0xdc, 55, 1, 249, 255}), networks);
  EXPECT_EQ(options.at(249).size(), 60U * 8U);
}

TEST(DhcpInform, OnlyAnInformOfTheSenderItselfIsAnswered) {
  EXPECT_TRUE(parse_dhcp_inform(inform(), kClient));
  EXPECT_EQ(parse_dhcp_inform(inform(), Address::from_v4(0x0a63000b)).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(parse_dhcp_inform(inform(), parse_address("fd00::1").value()).error().code, ErrorCode::kMalformed);
  for (const std::uint8_t type : Bytes{1, 3, 7, 5, 9}) {
    EXPECT_EQ(parse_dhcp_inform(inform({53, 1, type, 255}), kClient).error().code, ErrorCode::kUnsupported) << int(type);
  }
  EXPECT_EQ(parse_dhcp_inform(inform({255}), kClient).error().code, ErrorCode::kUnsupported);
  for (const std::size_t at : {0U, 2U, 237U}) {  // an answer, a long hardware address, no DHCP
    Bytes changed = inform();
    changed[at] = 17;
    EXPECT_EQ(parse_dhcp_inform(changed, kClient).error().code, ErrorCode::kMalformed) << at;
  }
}

TEST(DhcpInform, OptionsStayWithinTheirBounds) {
  EXPECT_EQ(parse_dhcp_inform(inform({53, 1, 8, 55, 200, 249}), kClient).error().code, ErrorCode::kMalformed);
  EXPECT_FALSE(parse_dhcp_inform(inform({53, 1, 8, 55}), kClient));
  EXPECT_TRUE(parse_dhcp_inform(inform({0, 0, 53, 1, 8}), kClient)) << "no end: the message ends";
  const Bytes whole = inform();
  for (std::size_t size = 0; size < 243; ++size) EXPECT_FALSE(parse_dhcp_inform(ByteSpan(whole).first(size), kClient)) << size;
}

}  // namespace
}  // namespace sekisho::vpn
