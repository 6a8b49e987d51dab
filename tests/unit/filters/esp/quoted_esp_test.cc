// SPDX-License-Identifier: Apache-2.0
// Goal: a router's "too big" about an ESP packet gives the SPI, number and size it is about; anything less gives nothing.
// Method: frames decoded as the path does, quotes cut at each byte.
#include "filters/esp/quoted_esp.h"

#include <gtest/gtest.h>

#include "filters/packet/decode.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using tests::Frame;
using tests::FrameBuilder;

Frame esp_bytes(std::uint32_t spi) {
  Frame out;
  tests::append32(out, spi);
  tests::append32(out, 77);
  out.resize(60, 0x5a);
  return out;
}

/// An ESP packet of ours, from its IP header on.
Frame sealed(bool ipv6, bool in_udp, std::uint32_t spi = 0xc0ffee10, std::uint16_t from = 4500) {
  FrameBuilder builder;
  if (ipv6) {
    builder.ipv6("2001:db8::1", "2001:db8:9::9");
  } else {
    builder.ipv4("203.0.113.1", "198.51.100.9");
  }
  const Frame esp = esp_bytes(spi);
  const Frame frame = in_udp ? builder.udp(from, 61000).payload(esp).build() : builder.protocol(50, esp).build();
  return {frame.begin() + 14, frame.end()};
}

std::optional<QuotedEsp> read(bool ipv6, std::uint8_t type, std::uint8_t code, std::uint32_t mtu, const Frame& quote) {
  FrameBuilder builder;
  if (ipv6) {
    builder.ipv6("2001:db8:ffff::1", "2001:db8::1");
  } else {
    builder.ipv4("192.0.2.1", "203.0.113.1");
  }
  const Frame frame = builder.icmp(type, code, mtu).payload(quote).build();
  PacketMeta meta{};
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
  QuotedPacket quoted{};
  if (parse_icmp_error(frame, meta, quoted) != DropReason::kNone) return std::nullopt;
  return read_quoted_esp(frame, meta, quoted);
}
std::optional<QuotedEsp> too_big(bool ipv6, std::uint32_t mtu, const Frame& quote) {
  return read(ipv6, ipv6 ? 2 : 3, ipv6 ? 0 : 4, mtu, quote);
}

TEST(QuotedEsp, IsReadFromBothFamiliesInUdpAndPlainAsSoonAsSpiAndNumberAreThere) {
  for (const bool ipv6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      const Frame packet = sealed(ipv6, in_udp);
      const std::size_t enough = (ipv6 ? 40U : 20U) + (in_udp ? 16U : 8U);
      for (std::size_t length = 0; length <= packet.size(); ++length) {
        const auto out = too_big(ipv6, 1400, {packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length)});
        ASSERT_EQ(out.has_value(), length >= enough) << length;
        if (!out) continue;
        EXPECT_EQ(out->spi, 0xc0ffee10U);
        EXPECT_EQ(out->sequence, 77U);
        EXPECT_EQ(out->mtu, 1400U);
        EXPECT_EQ(out->in_udp, in_udp);
      }
    }
  }
}

TEST(QuotedEsp, IsNothingForOtherErrorsOtherPortsAndIke) {
  EXPECT_FALSE(read(false, 3, 3, 1400, sealed(false, false)));
  EXPECT_FALSE(read(false, 11, 0, 1400, sealed(false, false)));
  EXPECT_FALSE(read(true, 1, 0, 1400, sealed(true, false)));
  EXPECT_FALSE(read(true, 3, 0, 1400, sealed(true, false)));
  EXPECT_FALSE(too_big(false, 1400, sealed(false, true, 0xc0ffee10, 4501)));
  EXPECT_FALSE(too_big(false, 1400, sealed(false, true, 0))) << "four zeros: IKE";
  EXPECT_FALSE(too_big(false, 1400, sealed(false, false, 255)));
  EXPECT_TRUE(too_big(false, 1400, sealed(false, false, 256)));
}

TEST(QuotedEsp, SizesBelowWhatEveryLinkCarriesAreRaisedAndAMissingOneIsTheNextUsual) {
  EXPECT_EQ(too_big(false, 68, sealed(false, false))->mtu, 576U);
  EXPECT_EQ(too_big(false, 577, sealed(false, false))->mtu, 577U);
  EXPECT_EQ(too_big(true, 576, sealed(true, false))->mtu, 1280U);
  EXPECT_EQ(too_big(true, 1281, sealed(true, false))->mtu, 1281U);
  for (const auto& [length, mtu] : {std::pair{1500U, 1492U}, {1492U, 1006U}, {1006U, 576U}, {300U, 576U}, {9000U, 4352U}}) {
    Frame packet = sealed(false, false);
    store_be<std::uint16_t>(packet, 2, static_cast<std::uint16_t>(length));
    EXPECT_EQ(too_big(false, 0, packet)->mtu, mtu) << length;
  }
}

}  // namespace
}  // namespace sekisho::filters
