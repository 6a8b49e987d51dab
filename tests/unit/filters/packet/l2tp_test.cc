// SPDX-License-Identifier: Apache-2.0
// Goal: of what came out of a transport SA, IP of a session is told from all else whatever form its sender gave L2TP and PPP, and
// nothing reaches beyond the datagram. Method: bytes by hand, each form with and without, and each cut at every byte.
#include "filters/packet/l2tp.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/net/endian.h"

namespace sekisho::filters {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}
Bytes ipv4(std::size_t length = 28) {
  Bytes out(length);
  out[0] = 0x45;
  store_be<std::uint16_t>(out, 2, static_cast<std::uint16_t>(length));
  out[12] = 10;
  return out;
}
Bytes ipv6(std::uint8_t first = 0xfd, std::uint8_t second = 0) {
  Bytes out(48);
  out[0] = 0x60;
  out[5] = 8;
  out[8] = first;
  out[9] = second;
  out[23] = 1;
  return out;
}
const Bytes kIds{0x12, 0x34, 0x56, 0x78};
const Bytes kPlain = Bytes{0x00, 0x02} + kIds;
const Bytes kFull{0xff, 0x03, 0x00, 0x21}, kFull6{0xff, 0x03, 0x00, 0x57};

Bytes with_length(Bytes datagram) {
  store_be<std::uint16_t>(datagram, 2, static_cast<std::uint16_t>(datagram.size()));
  return datagram;
}
L2tpKind kind(const Bytes& datagram) { return read_l2tp(datagram).kind; }

TEST(L2tp, FindsIpWhateverFormItsSenderChose) {
  const std::vector<Bytes> headers{
      kPlain,
      Bytes{0x08, 0x02} + kIds + Bytes{0, 1, 0, 0},
      Bytes{0x02, 0x02} + kIds + Bytes{0, 0},
      Bytes{0x02, 0x02} + kIds + Bytes{0, 3, 9, 9, 9},
      Bytes{0x0b, 0x02} + kIds + Bytes{0, 1, 0, 0, 0, 2, 9, 9},  // with priority as well
      Bytes{0x30, 0xf2} + kIds,                                  // reserved bits are ignored
  };
  for (const Bytes& header : headers) {
    for (const Bytes& ppp : {kFull, Bytes{0xff, 0x03, 0x21}, Bytes{0x00, 0x21}, Bytes{0x21}}) {
      const Bytes datagram = header + ppp + ipv4();
      const L2tpPacket packet = read_l2tp(datagram);
      EXPECT_EQ(packet.kind, L2tpKind::kIpv4);
      EXPECT_EQ(packet.tunnel, 0x1234);
      EXPECT_EQ(packet.session, 0x5678);
      EXPECT_EQ(Bytes(packet.ip.begin(), packet.ip.end()), ipv4());
    }
  }
  const Bytes length = with_length(Bytes{0x40, 0x02, 0, 0} + kIds + kFull6 + ipv6());
  const Bytes padded = length + Bytes(5);
  const L2tpPacket packet = read_l2tp(padded);
  EXPECT_EQ(packet.kind, L2tpKind::kIpv6);
  EXPECT_EQ(packet.ip.size(), 48U) << "what stands behind the length is not of the packet";
}

TEST(L2tp, LeavesControlAndOtherProtocolsToTheDaemon) {
  EXPECT_EQ(kind(with_length(Bytes{0xc8, 0x02, 0, 0} + kIds + Bytes{0, 0, 0, 1})), L2tpKind::kControl);
  EXPECT_EQ(kind(kPlain + Bytes{0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4}), L2tpKind::kPpp);
  EXPECT_EQ(kind(kPlain + Bytes{0xc2, 0x23, 1, 1, 0, 4}), L2tpKind::kPpp);
  EXPECT_EQ(kind(kPlain + Bytes{0xff, 0x03, 0x00, 0x2d} + ipv4()), L2tpKind::kPpp) << "compressed TCP was not agreed to";
}

TEST(L2tp, LeavesNeighbourDiscoveryOfTheSessionToTheDaemon) {
  EXPECT_EQ(kind(kPlain + kFull6 + ipv6(0xfe, 0x80)), L2tpKind::kPpp);
  EXPECT_EQ(kind(kPlain + kFull6 + ipv6(0xfe, 0xbf)), L2tpKind::kPpp);
  EXPECT_EQ(kind(kPlain + kFull6 + ipv6(0xfe, 0xc0)), L2tpKind::kIpv6);
  Bytes unspecified = ipv6(0, 0);
  unspecified[23] = 0;
  EXPECT_EQ(kind(kPlain + kFull6 + unspecified), L2tpKind::kPpp);
  unspecified[23] = 1;
  EXPECT_EQ(kind(kPlain + kFull6 + unspecified), L2tpKind::kIpv6);
}

TEST(L2tp, RefusesWhatIsNoneOrReachesBeyondTheDatagram) {
  EXPECT_EQ(kind(Bytes{0x00, 0x03} + kIds + kFull + ipv4()), L2tpKind::kMalformed) << "version 3";
  EXPECT_EQ(kind(Bytes{0x00, 0x01} + kIds + kFull + ipv4()), L2tpKind::kMalformed) << "L2F";
  EXPECT_EQ(kind(Bytes{0x02, 0x02} + kIds + Bytes{0xff, 0xff} + kFull + ipv4()), L2tpKind::kMalformed) << "offset";
  EXPECT_EQ(kind(kPlain), L2tpKind::kMalformed);
  EXPECT_EQ(kind(kPlain + Bytes{0xff, 0x03}), L2tpKind::kMalformed);
  EXPECT_EQ(kind(kPlain + Bytes{0x00}), L2tpKind::kMalformed);
  Bytes length = with_length(Bytes{0x40, 0x02, 0, 0} + kIds + kFull + ipv4());
  EXPECT_EQ(kind(length), L2tpKind::kIpv4);
  for (const unsigned wrong : {0U, 3U, 4U, 7U, 8U, static_cast<unsigned>(length.size()) - 1, static_cast<unsigned>(length.size()) + 1, 0xffffU}) {
    store_be<std::uint16_t>(length, 2, static_cast<std::uint16_t>(wrong));
    EXPECT_EQ(kind(length), L2tpKind::kMalformed) << wrong;
  }
}

TEST(L2tp, RefusesAnInnerPacketThatIsNotThereWhole) {
  Bytes packet = kPlain + kFull + ipv4();
  EXPECT_EQ(kind(packet + Bytes(3)), L2tpKind::kIpv4) << "trailing bytes are padding";
  packet.pop_back();
  EXPECT_EQ(kind(packet), L2tpKind::kMalformed);
  EXPECT_EQ(kind(kPlain + kFull + ipv6()), L2tpKind::kMalformed) << "IPv6 called IPv4";
  Bytes short_total = ipv4();
  short_total[3] = 19;
  EXPECT_EQ(kind(kPlain + kFull + short_total), L2tpKind::kMalformed);
}

TEST(L2tp, NoCutMakesAnIpPacketOfARest) {
  const Bytes whole = with_length(Bytes{0x4a, 0x02, 0, 0} + kIds + Bytes{0, 1, 0, 0, 0, 2, 9, 9} + kFull6 + ipv6());
  ASSERT_EQ(kind(whole), L2tpKind::kIpv6);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_EQ(kind(cut), L2tpKind::kMalformed) << length;
  }
}

TEST(L2tp, WritesHeadersItReads) {
  for (const bool sequenced : {false, true}) {
    const L2tpHeader header = L2tpHeader::make(40001, 0x1234, 0x5678, sequenced);
    Bytes out(L2tpHeader::kRoom);
    header.write(out.data() + out.size(), 28, true, 77);
    const Bytes datagram = Bytes(out.end() - header.used, out.end()) + ipv4();
    EXPECT_EQ(load_be<std::uint16_t>(datagram, 0), 1701);
    EXPECT_EQ(load_be<std::uint16_t>(datagram, 2), 40001);
    EXPECT_EQ(load_be<std::uint16_t>(datagram, 4), datagram.size());
    EXPECT_EQ(load_be<std::uint16_t>(datagram, 14), sequenced ? 77 : 0xff03);
    const L2tpPacket packet = read_l2tp(ByteSpan(datagram).subspan(kL2tpUdpBytes));
    EXPECT_EQ(packet.kind, L2tpKind::kIpv4);
    EXPECT_EQ(packet.tunnel, 0x1234);
    EXPECT_EQ(packet.session, 0x5678);
    EXPECT_EQ(packet.ip.size(), 28U);
  }
}

}  // namespace
}  // namespace sekisho::filters
