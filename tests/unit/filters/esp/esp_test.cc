// SPDX-License-Identifier: Apache-2.0
// Goal: what is not a whole ESP packet, or holds no whole IP packet, is refused by name; what RFC 4303 allows passes.
// Method: decrypted parts built byte by byte, each beside the nearest one that must not pass.
#include "filters/esp/esp.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "filters/esp/lifetime.h"
#include "filters/esp/selectors.h"

namespace sekisho::filters {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes ipv4(std::size_t length) {
  Bytes packet(length, 0);
  packet[0] = 0x45;
  store_be<std::uint16_t>(packet, 2, static_cast<std::uint16_t>(length));
  return packet;
}
Bytes ipv6(std::size_t payload) {
  Bytes packet(40 + payload, 0);
  packet[0] = 0x60;
  store_be<std::uint16_t>(packet, 4, static_cast<std::uint16_t>(payload));
  return packet;
}
Bytes with_trailer(Bytes packet, std::size_t padding, std::uint8_t next) {
  for (std::size_t i = 0; i < padding; ++i) packet.push_back(static_cast<std::uint8_t>(i + 1));
  packet.push_back(static_cast<std::uint8_t>(padding));
  packet.push_back(next);
  return packet;
}
EspFault judge(const Bytes& opened, EspInner& inner) {
  return read_esp_inner(opened, inner);
}
EspFault judge(const Bytes& opened) {
  EspInner inner;
  return read_esp_inner(opened, inner);
}

EspSizes sizes(EspCipher cipher, EspIntegrity integrity = EspIntegrity::kAead) {
  return std::move(sizes_of({cipher, integrity})).value();
}

TEST(EspTransport, OpensOneProtocolAndNoOther) {
  ByteSpan inner;
  const Bytes opened = with_trailer(Bytes{1, 2, 3, 4, 5}, 3, 17);
  EXPECT_EQ(read_esp_transport(opened, 17, inner), EspFault::kNone);
  EXPECT_EQ(Bytes(inner.begin(), inner.end()), (Bytes{1, 2, 3, 4, 5}));
  EXPECT_EQ(read_esp_transport(with_trailer(ipv4(28), 2, 4), 17, inner), EspFault::kNextHeader) << "a tunnelled packet";
  EXPECT_EQ(read_esp_transport(with_trailer(Bytes{1, 2}, 2, 59), 17, inner), EspFault::kDummy);
  Bytes wrong = opened;
  wrong[5] = 9;
  EXPECT_EQ(read_esp_transport(wrong, 17, inner), EspFault::kPadding);
  EXPECT_EQ(read_esp_transport(Bytes{200, 17}, 17, inner), EspFault::kPadding);
  EXPECT_EQ(read_esp_transport(Bytes{17}, 17, inner), EspFault::kLength);
  EXPECT_EQ(judge(opened), EspFault::kNextHeader) << "and an SA in tunnel mode takes none";
}

TEST(EspSuite, HasSizesForEveryPairOfTheProfilesAndNoOther) {
  int pairs = 0;
  for (int c = 0; c <= static_cast<int>(EspCipher::kTripleDesCbc) + 1; ++c) {
    for (int i = 0; i <= static_cast<int>(EspIntegrity::kHmacSha512_256) + 1; ++i) {
      pairs += sizes_of({static_cast<EspCipher>(c), static_cast<EspIntegrity>(i)}).has_value() ? 1 : 0;
    }
  }
  EXPECT_EQ(pairs, 3 + 4 * 4);
  EXPECT_FALSE(sizes_of({EspCipher::kAes256Cbc, EspIntegrity::kAead}));
  EXPECT_FALSE(sizes_of({EspCipher::kAes256Gcm, EspIntegrity::kHmacSha256_128}));
  EXPECT_EQ(sizes(EspCipher::kAes256Cbc, EspIntegrity::kHmacSha384_192), (EspSizes{32, 0, 48, 16, 16, 24}));
}

TEST(EspHeader, IsReadOnlyWhenItsEightBytesAreThere) {
  const Bytes esp{0, 0, 1, 2, 0, 0, 3, 4, 9};
  for (std::size_t i = 0; i < kEspFixedBytes; ++i) EXPECT_FALSE(read_esp_header(ByteSpan(esp).first(i)));
  const auto header = read_esp_header(esp);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->spi, 0x102U);
  EXPECT_EQ(header->sequence, 0x304U);
}

TEST(EspLength, TakesWholeBlocksBetweenIvAndIcv) {
  const EspSizes gcm = sizes(EspCipher::kAes128Gcm), cbc = sizes(EspCipher::kAes128Cbc, EspIntegrity::kHmacSha1_96);
  EXPECT_EQ(esp_encrypted_bytes(8 + 8 + 4 + 16, gcm), 4U);
  EXPECT_EQ(esp_encrypted_bytes(8 + 8 + 3 + 16, gcm), 0U);
  EXPECT_EQ(esp_encrypted_bytes(8 + 8 + 6 + 16, gcm), 0U);
  EXPECT_EQ(esp_encrypted_bytes(8 + 16 + 16 + 12, cbc), 16U);
  EXPECT_EQ(esp_encrypted_bytes(8 + 16 + 16 + 11, cbc), 0U);
  EXPECT_EQ(esp_encrypted_bytes(8 + 16 + 24 + 12, cbc), 0U);
  EXPECT_EQ(esp_encrypted_bytes(0, cbc), 0U);
}

TEST(UdpEncapsulated, TellsKeepaliveIkeAndEspApart) {
  EXPECT_EQ(classify_udp_encapsulated(Bytes{0xff}), UdpEncapsulated::kKeepalive);
  EXPECT_EQ(classify_udp_encapsulated(Bytes{0xfe}), UdpEncapsulated::kMalformed);
  EXPECT_EQ(classify_udp_encapsulated(Bytes{}), UdpEncapsulated::kMalformed);
  EXPECT_EQ(classify_udp_encapsulated(Bytes(7, 0)), UdpEncapsulated::kMalformed);
  EXPECT_EQ(classify_udp_encapsulated(Bytes(8, 0)), UdpEncapsulated::kIke);
  EXPECT_EQ(classify_udp_encapsulated(Bytes{0, 0, 0, 1, 0, 0, 0, 0}), UdpEncapsulated::kEsp);
}

TEST(EspInner, FindsThePacketBeforeThePadding) {
  EspInner inner;
  EXPECT_EQ(judge(with_trailer(ipv4(28), 2, 4), inner), EspFault::kNone);
  EXPECT_EQ(inner.family, Family::kIpv4);
  EXPECT_EQ(inner.length, 28);
  EXPECT_EQ(judge(with_trailer(ipv6(8), 255, 41), inner), EspFault::kNone);
  EXPECT_EQ(inner.family, Family::kIpv6);
  EXPECT_EQ(inner.length, 48);
}

TEST(EspInner, RefusesPaddingThatDoesNotCount) {
  const Bytes good = with_trailer(ipv4(20), 14, 4);
  ASSERT_EQ(judge(good), EspFault::kNone);
  for (std::size_t i = 20; i < 34; ++i) {
    Bytes bad = good;
    bad[i] ^= 0x80;
    EXPECT_EQ(judge(bad), EspFault::kPadding) << i;
  }
}

TEST(EspInner, RefusesPaddingLongerThanThePacket) {
  EXPECT_EQ(judge(Bytes{1, 2, 3, 59}), EspFault::kPadding);
  EXPECT_EQ(judge(Bytes{1, 2, 2, 59}), EspFault::kDummy);
  EXPECT_EQ(judge(Bytes{4}), EspFault::kLength);
  EXPECT_EQ(judge(Bytes{}), EspFault::kLength);
}

TEST(EspInner, RefusesEveryNextHeaderThatTunnelModeDoesNotKnow) {
  for (unsigned next = 0; next < 256; ++next) {
    if (next == 4 || next == 41 || next == 59) continue;
    EXPECT_EQ(judge(with_trailer(ipv4(20), 2, static_cast<std::uint8_t>(next))), EspFault::kNextHeader) << next;
  }
}

TEST(EspInner, ToleratesFlowConfidentialityPadding) {
  Bytes packet = ipv4(20);
  packet.resize(500, 0xa5);
  EspInner inner;
  EXPECT_EQ(judge(with_trailer(packet, 2, 4), inner), EspFault::kNone);
  EXPECT_EQ(inner.length, 20);
}

TEST(EspInner, RefusesAPacketThatIsNotThereWhole) {
  Bytes longer = ipv4(28);
  longer[3] = 29;
  EXPECT_EQ(judge(with_trailer(longer, 2, 4)), EspFault::kInnerFormat);
  Bytes six = ipv6(8);
  six[5] = 9;
  EXPECT_EQ(judge(with_trailer(six, 2, 41)), EspFault::kInnerFormat);
  EXPECT_EQ(judge(with_trailer(ipv4(28), 2, 41)), EspFault::kInnerFormat);  // says IPv6, is IPv4
  EXPECT_EQ(judge(with_trailer(ipv6(8), 2, 4)), EspFault::kInnerFormat);
  Bytes header = ipv4(28);
  header[0] = 0x44;
  EXPECT_EQ(judge(with_trailer(header, 2, 4)), EspFault::kInnerFormat);
  header[0] = 0x46;
  header[3] = 23;  // shorter than its own header
  EXPECT_EQ(judge(with_trailer(header, 2, 4)), EspFault::kInnerFormat);
  for (std::size_t i = 0; i < 20; ++i) {
    Bytes cut = ipv4(20);
    cut.resize(i);
    EXPECT_EQ(judge(with_trailer(cut, 2, 4)), EspFault::kInnerFormat) << i;
  }
}

TEST(EspTrailer, IsReadBackAsItWasWritten) {
  for (std::size_t length = 20; length < 120; ++length) {
    for (const EspSizes size :
         {sizes(EspCipher::kAes256Gcm), sizes(EspCipher::kTripleDesCbc, EspIntegrity::kHmacSha1_96),
          sizes(EspCipher::kAes256Cbc, EspIntegrity::kHmacSha1_96)}) {
      Bytes packet = ipv4(length);
      const std::size_t end = esp_padding_bytes(length, size) + kEspTrailerBytes;
      packet.resize(length + kEspTrailerRoom);
      write_esp_trailer(packet.data() + length, end, esp_next_header(Family::kIpv4));
      packet.resize(length + end);
      EXPECT_EQ(packet.size() % size.alignment, 0U);
      EXPECT_LT(end, size.alignment + kEspTrailerBytes);
      EspInner inner;
      ASSERT_EQ(judge(packet, inner), EspFault::kNone);
      EXPECT_EQ(inner.length, length);
    }
  }
}

TEST(EspInnerMtu, IsWhatPeersWereSeenToUse) {
  EXPECT_EQ(esp_inner_mtu(1500, 28, sizes(EspCipher::kAes256Gcm)), 1438U);
  EXPECT_EQ(esp_inner_mtu(1428, 28, sizes(EspCipher::kAes256Gcm)), 1366U);
  EXPECT_EQ(esp_inner_mtu(1500, 28, sizes(EspCipher::kAes256Cbc, EspIntegrity::kHmacSha1_96)), 1422U);
  EXPECT_EQ(esp_inner_mtu(60, 28, sizes(EspCipher::kAes256Gcm)), 0U);
}

TEST(EspInnerMtu, LetsExactlyWhatFitsThrough) {
  for (const EspSizes size :
       {sizes(EspCipher::kAes128Gcm), sizes(EspCipher::kAes128Cbc, EspIntegrity::kHmacSha512_256)}) {
    for (std::size_t mtu = 576; mtu < 640; ++mtu) {
      const auto outer = [&](std::size_t inner) {
        return 40 + 8 + size.iv + inner + esp_padding_bytes(inner, size) + 2 + size.icv;
      };
      const std::size_t inner = esp_inner_mtu(mtu, 40, size);
      EXPECT_LE(outer(inner), mtu);
      EXPECT_GT(outer(inner + 1), mtu);
    }
  }
}

// RFC 6040 figure 4; rows inner, columns outer: Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3. 9 stands for drop.
TEST(Ecn, LeavesATunnelAsTheTableOfRfc6040Says) {
  constexpr int kTable[4][4] = {{0, 0, 0, 9}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      EXPECT_EQ(ecn_out_of_tunnel(inner, outer).value_or(9), kTable[inner][outer]) << int{inner} << int{outer};
    }
  }
}

TEST(EspFaults, HaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < static_cast<std::size_t>(EspFault::kCount); ++i)
    names.emplace(info(static_cast<EspFault>(i)).name);
  EXPECT_EQ(names.size(), static_cast<std::size_t>(EspFault::kCount));
  EXPECT_EQ(info(EspFault::kReplay).event, "VPN_REPLAY");
  EXPECT_EQ(info(EspFault::kInnerSpoof).event, "VPN_INNER_SPOOF");
}

TEST(PrefixSet, HoldsWhatItsPrefixesHold) {
  PrefixSet set;
  const auto holds = [&set](const char* text) {
    const Address address = std::move(parse_address(text)).value();
    return set.contains(address.bytes.data(), address.family);
  };
  EXPECT_FALSE(holds("10.0.0.1"));
  ASSERT_TRUE(set.add(std::move(parse_prefix("10.9.1.7/32")).value()));
  ASSERT_TRUE(set.add(std::move(parse_prefix("10.20.0.0/15")).value()));
  ASSERT_TRUE(set.add(std::move(parse_prefix("2001:db8:0:7::/62")).value()));

  EXPECT_TRUE(holds("10.9.1.7"));
  EXPECT_FALSE(holds("10.9.1.6"));
  EXPECT_TRUE(holds("10.21.255.255"));
  EXPECT_FALSE(holds("10.22.0.0"));
  EXPECT_TRUE(holds("2001:db8:0:4::1"));
  EXPECT_FALSE(holds("2001:db8:0:8::1"));
  EXPECT_FALSE(holds("a09:107::"));  // the bytes of 10.9.1.7, but IPv6
}

TEST(PrefixSet, TakesEverythingByLengthZeroOfItsFamilyAlone) {
  PrefixSet set;
  ASSERT_TRUE(set.add(std::move(parse_prefix("0.0.0.0/0")).value()));
  const Address four = Address::from_v4(1), six = std::move(parse_address("::1")).value();
  EXPECT_TRUE(set.contains(four.bytes.data(), Family::kIpv4));
  EXPECT_FALSE(set.contains(six.bytes.data(), Family::kIpv6));
}

TEST(PrefixSet, RefusesOneTooMany) {
  PrefixSet set;
  EXPECT_FALSE(set.add({}));
  for (std::size_t i = 0; i < PrefixSet::kPrefixesMax; ++i) ASSERT_TRUE(set.add({Address::from_v4(1), 32}));
  EXPECT_FALSE(set.add({Address::from_v4(1), 32}));
}

TEST(EspLifetime, AsksForANewSaBeforeTheNumbersEnd) {
  EXPECT_LT(with_sequence_limit({}, false).soft.packets, sequence_last(false) - 0x0fff'ffff + 1);
  EXPECT_EQ(with_sequence_limit({{.packets = 10}, {}}, false).soft.packets, 10U);
  EXPECT_EQ(sequence_last(true), ~std::uint64_t{0});
  EspLimit limit{.bytes = 5, .packets = 6, .seconds = 7};
  EXPECT_FALSE(limit.reached(4, 5, 6));
  EXPECT_TRUE(limit.reached(5, 0, 0) && limit.reached(0, 6, 0) && limit.reached(0, 0, 7));
}

}  // namespace
}  // namespace sekisho::filters
