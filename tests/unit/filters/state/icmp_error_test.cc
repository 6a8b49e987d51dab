// SPDX-License-Identifier: Apache-2.0
// Goal: a quote is used only when whole, of the right family, and sent by the error's destination.
// Method: build an error around a quoted packet; change one byte; cut it at every byte.
#include "filters/state/icmp_error.h"

#include <gtest/gtest.h>

#include <vector>

#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::size_t kEthernet = 14;

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

const Bytes kClient4 = {10, 0, 0, 2}, kServer4 = {203, 0, 113, 9}, kRouter4 = {198, 51, 100, 1};
const Bytes kClient6 = {0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2};
const Bytes kServer6 = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
const Bytes kRouter6 = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
const Bytes kTcp8 = {0x9c, 0x40, 0x01, 0xbb, 0xde, 0xad, 0xbe, 0xef};  // ports 40000 -> 443

Bytes ipv4(std::uint8_t protocol, const Bytes& source, const Bytes& destination, const Bytes& options = {}) {
  Bytes head(12);
  head[0] = static_cast<std::uint8_t>(0x45 + options.size() / 4);
  head[8] = 1;
  head[9] = protocol;
  return head + source + destination + options;
}
Bytes ipv6(std::uint8_t next, const Bytes& source, const Bytes& destination) {
  Bytes head(8);
  head[0] = 0x60;
  head[6] = next;
  return head + source + destination;
}

/// An error as decode would hand it over.
struct IcmpMessage {
  Bytes frame;
  PacketMeta meta{};
  DropReason parse(QuotedPacket& out) const { return parse_icmp_error(frame, meta, out); }
};

IcmpMessage icmp_message(bool v4, std::uint8_t type, const Bytes& quote) {
  IcmpMessage m;
  const Bytes network = v4 ? ipv4(kProtocolIcmp, kRouter4, kClient4) : ipv6(kProtocolIcmpv6, kRouter6, kClient6);
  m.frame = Bytes(kEthernet) + network + Bytes{type, 0, 0, 0, 0, 0, 0, 0} + quote;
  m.meta.proof = static_cast<std::uint8_t>((v4 ? kProofIpv4 : kProofIpv6) | kProofL4);
  m.meta.protocol = v4 ? kProtocolIcmp : kProtocolIcmpv6;
  m.meta.icmp_type = type;
  m.meta.l3_offset = kEthernet;
  m.meta.l4_offset = static_cast<std::uint16_t>(kEthernet + network.size());
  m.meta.payload_offset = static_cast<std::uint16_t>(m.meta.l4_offset + 8);
  m.meta.l3_length = static_cast<std::uint16_t>(m.frame.size() - kEthernet);
  return m;
}
IcmpMessage error4(const Bytes& quote, std::uint8_t type = 3) { return icmp_message(true, type, quote); }
IcmpMessage error6(const Bytes& quote, std::uint8_t type = 1) { return icmp_message(false, type, quote); }

Address address(const Bytes& wire) { return Address::from_wire(wire).value(); }

TEST(IcmpError, QuotedTcpIsReadInBothFamilies) {
  for (const bool v4 : {true, false}) {
    const Bytes quote = (v4 ? ipv4(kProtocolTcp, kClient4, kServer4) : ipv6(kProtocolTcp, kClient6, kServer6)) + kTcp8;
    QuotedPacket out;

    ASSERT_EQ(icmp_message(v4, v4 ? 3 : 1, quote).parse(out), DropReason::kNone);

    EXPECT_EQ(out.source, address(v4 ? kClient4 : kClient6));
    EXPECT_EQ(out.destination, address(v4 ? kServer4 : kServer6));
    EXPECT_EQ(out.protocol, kProtocolTcp);
    EXPECT_EQ(out.source_port, 40000);
    EXPECT_EQ(out.destination_port, 443);
    EXPECT_EQ(out.tcp_sequence, 0xdeadbeefU);
  }
}

TEST(IcmpError, QuotesCutAtAnyByteAreRefused) {
  const Bytes options = {1, 1, 1, 0};
  const Bytes hop_by_hop = {kProtocolTcp, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  for (const bool v4 : {true, false}) {
    const Bytes quote = (v4 ? ipv4(kProtocolTcp, kClient4, kServer4, options)
                            : ipv6(kProtocolHopByHop, kClient6, kServer6) + hop_by_hop) + kTcp8;
    const IcmpMessage whole = icmp_message(v4, v4 ? 11 : 3, quote);
    QuotedPacket out;
    ASSERT_EQ(whole.parse(out), DropReason::kNone);
    const std::size_t headers = whole.frame.size() - quote.size();

    for (std::size_t cut = 1; cut <= quote.size(); ++cut) {
      IcmpMessage frame_cut = whole;  // the rest lies in another segment
      frame_cut.frame.resize(headers + quote.size() - cut);
      EXPECT_EQ(frame_cut.parse(out), DropReason::kIcmpUnrelated) << cut;

      IcmpMessage packet_cut = whole;  // what follows is Ethernet padding
      packet_cut.meta.l3_length = static_cast<std::uint16_t>(packet_cut.meta.l3_length - cut);
      EXPECT_EQ(packet_cut.parse(out), DropReason::kIcmpUnrelated) << cut;
    }
  }
}

TEST(IcmpError, OnlyErrorsThatCarryAQuoteAreRead) {
  const Bytes quote4 = ipv4(kProtocolUdp, kClient4, kServer4) + kTcp8;
  const Bytes quote6 = ipv6(kProtocolUdp, kClient6, kServer6) + kTcp8;
  for (unsigned type = 0; type < 256; ++type) {
    const auto t = static_cast<std::uint8_t>(type);
    const IcmpMessage m4 = error4(quote4, t), m6 = error6(quote6, t);
    const bool read4 = type == 3 || type == 11 || type == 12, read6 = type >= 1 && type <= 4;
    QuotedPacket out;

    EXPECT_EQ(m4.parse(out), read4 ? DropReason::kNone : DropReason::kIcmpUnrelated) << type;
    EXPECT_EQ(m6.parse(out), read6 ? DropReason::kNone : DropReason::kIcmpUnrelated) << type;
    EXPECT_EQ(is_icmp_error(m4.meta), read4 || type == 4 || type == 5) << type;
    EXPECT_EQ(is_icmp_error(m6.meta), type < 128 || type == 137) << type;
  }
  IcmpMessage udp = error4(quote4);
  udp.meta.protocol = kProtocolUdp;
  QuotedPacket out;
  EXPECT_FALSE(is_icmp_error(udp.meta));
  EXPECT_EQ(udp.parse(out), DropReason::kIcmpUnrelated);
  IcmpMessage unproved = error4(quote4);
  unproved.meta.proof = kProofIpv4;
  EXPECT_EQ(unproved.parse(out), DropReason::kIcmpUnrelated);
}

TEST(IcmpError, TheErrorMustGoToTheQuotedSender) {
  QuotedPacket out;
  EXPECT_EQ(error4(ipv4(kProtocolUdp, kClient4, kServer4) + kTcp8).parse(out), DropReason::kNone);
  EXPECT_EQ(error4(ipv4(kProtocolUdp, kServer4, kClient4) + kTcp8).parse(out), DropReason::kIcmpUnrelated);
  EXPECT_EQ(error6(ipv6(kProtocolUdp, kClient6, kServer6) + kTcp8).parse(out), DropReason::kNone);
  EXPECT_EQ(error6(ipv6(kProtocolUdp, kServer6, kClient6) + kTcp8).parse(out), DropReason::kIcmpUnrelated);
}

TEST(IcmpError, QuotedFamilyIsTheErrorsFamily) {
  QuotedPacket out;
  EXPECT_EQ(error4(ipv6(kProtocolUdp, kClient6, kServer6) + kTcp8).parse(out), DropReason::kIcmpUnrelated);
  EXPECT_EQ(error6(ipv4(kProtocolUdp, kClient4, kServer4) + kTcp8 + Bytes(40)).parse(out), DropReason::kIcmpUnrelated);
}

TEST(IcmpError, FragmentsAreReadOnlyWhenTheyAreTheFirst) {
  QuotedPacket out;
  Bytes quote = ipv4(kProtocolUdp, kClient4, kServer4) + kTcp8;
  quote[6] = 0x20;  // more fragments
  EXPECT_EQ(error4(quote).parse(out), DropReason::kNone);
  quote[7] = 1;
  EXPECT_EQ(error4(quote).parse(out), DropReason::kIcmpUnrelated);

  Bytes fragment = {kProtocolUdp, 0, 0, 1, 0, 0, 0, 7};
  EXPECT_EQ(error6(ipv6(44, kClient6, kServer6) + fragment + kTcp8).parse(out), DropReason::kNone);
  EXPECT_EQ(out.protocol, kProtocolUdp);
  fragment[3] = 8;
  EXPECT_EQ(error6(ipv6(44, kClient6, kServer6) + fragment + kTcp8).parse(out), DropReason::kIcmpUnrelated);
}

TEST(IcmpError, ExtensionHeadersAreCounted) {
  QuotedPacket out;
  for (std::size_t count = 1; count <= 12; ++count) {
    Bytes chain;
    for (std::size_t i = 1; i <= count; ++i) {
      chain = chain + Bytes{static_cast<std::uint8_t>(i == count ? kProtocolUdp : 60), 0, 0, 0, 0, 0, 0, 0};
    }
    EXPECT_EQ(error6(ipv6(60, kClient6, kServer6) + chain + kTcp8).parse(out) == DropReason::kNone, count < 8) << count;
  }
}

TEST(IcmpError, AQuotedEchoIsReadAndAQuotedErrorIsNot) {
  const auto echo = [](std::uint8_t type) { return Bytes{type, 0, 0, 0, 0x12, 0x34, 0, 1}; };
  QuotedPacket out;
  ASSERT_EQ(error4(ipv4(kProtocolIcmp, kClient4, kServer4) + echo(8)).parse(out), DropReason::kNone);
  EXPECT_EQ(out.source_port, 0x1234);
  EXPECT_EQ(out.destination_port, 0x1234);
  EXPECT_EQ(out.icmp_type, 8);
  ASSERT_EQ(error6(ipv6(kProtocolIcmpv6, kClient6, kServer6) + echo(129)).parse(out), DropReason::kNone);
  EXPECT_EQ(out.icmp_type, 129);

  EXPECT_EQ(error4(ipv4(kProtocolIcmp, kClient4, kServer4) + echo(3)).parse(out), DropReason::kIcmpUnrelated);
  EXPECT_EQ(error4(ipv4(kProtocolIcmpv6, kClient4, kServer4) + echo(128)).parse(out), DropReason::kIcmpUnrelated);
  EXPECT_EQ(error6(ipv6(kProtocolIcmpv6, kClient6, kServer6) + echo(1)).parse(out), DropReason::kIcmpUnrelated);
  EXPECT_EQ(error6(ipv6(kProtocolIcmp, kClient6, kServer6) + echo(8)).parse(out), DropReason::kIcmpUnrelated);
}

TEST(IcmpError, OtherProtocolsHaveNoPorts) {
  QuotedPacket out;
  ASSERT_EQ(error4(ipv4(47, kClient4, kServer4) + kTcp8).parse(out), DropReason::kNone);
  EXPECT_EQ(out.protocol, 47);
  EXPECT_EQ(out.source_port, 0);
  EXPECT_EQ(out.destination_port, 0);
  EXPECT_EQ(out.tcp_sequence, 0U);
}

TEST(IcmpError, AHeaderLengthBelowTheMinimumIsRefused) {
  QuotedPacket out;
  Bytes quote = ipv4(kProtocolUdp, kClient4, kServer4) + kTcp8;
  quote[0] = 0x44;
  EXPECT_EQ(error4(quote).parse(out), DropReason::kIcmpUnrelated);
}

}  // namespace
}  // namespace sekisho::filters
