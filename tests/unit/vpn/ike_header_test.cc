// SPDX-License-Identifier: Apache-2.0
#include "vpn/ike_header.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace sekisho::vpn {
namespace {

std::vector<std::uint8_t> message(std::uint8_t version, std::uint8_t flags, bool marker) {
  std::vector<std::uint8_t> out(marker ? 4 : 0);
  for (std::uint8_t i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(0xa0 + i));  // initiator's SPI
  for (std::uint8_t i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(0xb0 + i));  // responder's
  out.insert(out.end(), {33, version, 34, flags, 0, 0, 0, 0, 0, 0, 0, 32, 1, 2, 3, 4});
  return out;
}

std::uint64_t wire(std::uint8_t first) {
  std::uint8_t bytes[8];
  for (std::uint8_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
  std::uint64_t value = 0;
  std::memcpy(&value, bytes, 8);
  return value;
}

TEST(IkeHeader, TheReceiversSpiDependsOnWhoBeganTheIkeSa) {
  EXPECT_EQ(parse_ike_header(message(0x20, 0x08, false), false)->receiver_spi, wire(0xb0));
  EXPECT_EQ(parse_ike_header(message(0x20, 0x20, false), false)->receiver_spi, wire(0xa0));
  EXPECT_EQ(parse_ike_header(message(0x10, 0x00, false), false)->receiver_spi, wire(0xb0));  // IKEv1: we never begin
  EXPECT_EQ(parse_ike_header(message(0x21, 0x08, true), true)->major_version, 2);
}

TEST(IkeHeader, TheExchangeAndWhetherVersionOneEncryptsAreRead) {
  auto bytes = message(0x10, 0x01, false);
  bytes[18] = 32;
  EXPECT_EQ(parse_ike_header(bytes, false)->exchange, 32);
  EXPECT_TRUE(parse_ike_header(bytes, false)->encrypted);
  EXPECT_FALSE(parse_ike_header(message(0x10, 0x02, false), false)->encrypted);
  bytes[16] = 46;
  EXPECT_EQ(parse_ike_header(bytes, false)->first_payload, 46);
}

TEST(IkeHeader, TheMarkerTellsIkeFromEsp) {
  EXPECT_TRUE(parse_ike_header(message(0x20, 0x08, true), true).has_value());
  auto esp = message(0x20, 0x08, true);
  esp[3] = 1;
  EXPECT_EQ(parse_ike_header(esp, true).error().code, ErrorCode::kMalformed);
  EXPECT_FALSE(parse_ike_header(message(0x20, 0x08, true), false).has_value());  // its length is then wrong
}

TEST(IkeHeader, ALengthThatIsNotTheDatagramsIsRefused) {
  for (const int change : {-1, 1}) {
    auto bytes = message(0x20, 0x08, false);
    bytes[27] = static_cast<std::uint8_t>(bytes[27] + change);
    EXPECT_EQ(parse_ike_header(bytes, false).error().code, ErrorCode::kMalformed);
  }
}

TEST(IkeHeader, ACutAtEveryByteIsRefused) {
  const auto whole = message(0x20, 0x08, true);
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(parse_ike_header(ByteSpan(whole).first(size), true).has_value()) << size;
}

}  // namespace
}  // namespace sekisho::vpn
