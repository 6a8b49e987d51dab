// SPDX-License-Identifier: Apache-2.0
// Goal: a rewritten packet is what a host would have sent with those ends, and going back gives the old bytes. Method: random
// packets and ends; every checksum is verified by decode, which sums all bytes.
#include "filters/nat/rewrite.h"

#include <gtest/gtest.h>

#include <random>

#include "filters/packet/decode.h"
#include "filters/packet/fields.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using tests::Frame;
using tests::FrameBuilder;

PacketMeta read(const Frame& frame) {
  PacketMeta meta{};
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
  return meta;
}


class Packets {
 public:
  std::uint16_t port() { return static_cast<std::uint16_t>(random_()); }
  bool coin() { return (random_() & 1U) != 0; }
  Address address(bool ipv4) {
    Address out = Address::from_v4(0x0a000000U | static_cast<std::uint32_t>(random_() & 0xffffffU));
    if (ipv4) return out;
    out.family = Family::kIpv6;
    for (auto& byte : out.bytes) byte = static_cast<std::uint8_t>(coin() ? random_() : 0xff * (random_() & 1U));  // many 0 and 0xffff words
    out.bytes[0] = 0x20;
    return out;
  }
  FlowEnds ends(bool ipv4, std::uint8_t protocol) {
    FlowEnds out{address(ipv4), address(ipv4), port(), port()};
    if (protocol == kProtocolIcmp || protocol == kProtocolIcmpv6) out.destination_port = out.source_port;
    if (protocol == 47) out.source_port = out.destination_port = 0;
    return out;
  }
  std::uint8_t protocol(bool ipv4) {
    const std::array<std::uint8_t, 4> known{kProtocolTcp, kProtocolUdp, ipv4 ? kProtocolIcmp : kProtocolIcmpv6, 47};
    return known[random_() % known.size()];
  }
  Frame build(const FlowEnds& ends, std::uint8_t protocol) {
    const Frame payload(random_() % 40, static_cast<std::uint8_t>(random_()));
    FrameBuilder builder;
    const bool ipv4 = ends.source.family == Family::kIpv4;
    if (ipv4) builder.ipv4(to_string(ends.source), to_string(ends.destination));
    else builder.ipv6(to_string(ends.source), to_string(ends.destination));
    switch (protocol) {
      case kProtocolTcp: builder.tcp(ends.source_port, ends.destination_port); break;
      case kProtocolUdp: builder.udp(ends.source_port, ends.destination_port); break;
      case 47: builder.protocol(47, {0, 0, 8, 0, 1, 2, 3, 4}); break;
      default: builder.echo(ends.source_port, port()); break;
    }
    return builder.payload(payload).build();
  }

 private:
  std::mt19937_64 random_{4787};
};

TEST(NatRewrite, GivesWhatAHostWithThoseEndsSendsAndGoesBackToTheOldBytes) {
  Packets packets;
  for (unsigned i = 0; i < 20'000; ++i) {
    const bool ipv4 = packets.coin();
    const std::uint8_t protocol = packets.protocol(ipv4);
    const FlowEnds from = packets.ends(ipv4, protocol);
    const FlowEnds to = packets.ends(ipv4, protocol);
    const Frame original = packets.build(from, protocol);
    Frame frame = original;
    PacketMeta meta = read(frame);
    ASSERT_TRUE(bears(frame, meta, from));
    const ChecksumDelta delta = delta_of(from, to, protocol);
    rewrite(frame, meta, to, delta);
    const PacketMeta after = read(frame);  // fails the test on any wrong checksum
    ASSERT_TRUE(bears(frame, after, to)) << i;
    ASSERT_TRUE(bears(frame, meta, to)) << "the record goes along";
    ASSERT_FALSE(bears(frame, after, from) && from != to);
    rewrite(frame, meta, from, reverse_of(delta));
    // Ones' complement has two zeros: a checksum field may come back as the other one, and sums up all the same.
    ASSERT_TRUE(bears(frame, read(frame), from));
    Frame masked = frame;
    Frame expected = original;
    for (Frame* bytes : {&masked, &expected}) {
      const PacketMeta at = read(*bytes);
      for (const std::size_t place : {std::size_t{ipv4 ? at.l3_offset + 10U : 0U},
                                      std::size_t{protocol == kProtocolTcp ? at.l4_offset + 16U : 0U},
                                      std::size_t{protocol == kProtocolUdp ? at.l4_offset + 6U : 0U},
                                      std::size_t{protocol != kProtocolTcp && protocol != kProtocolUdp && protocol != 47 ? at.l4_offset + 2U : 0U}}) {
        if (place != 0 && load_be<std::uint16_t>(*bytes, place) == 0xffff) store_be<std::uint16_t>(*bytes, place, 0);
      }
    }
    ASSERT_EQ(masked, expected) << i;
  }
}

TEST(NatRewrite, UdpChecksumOfZeroStaysZeroAndNoneBecomesZero) {
  const FlowEnds from{tests::address("10.0.0.1"), tests::address("10.0.0.2"), 1000, 53};
  Frame none = FrameBuilder().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53, {.checksum = 0}).payload(9).build();
  PacketMeta meta = read(none);
  FlowEnds to = from;
  to.source = tests::address("203.0.113.9");
  rewrite(none, meta, to, delta_of(from, to, kProtocolUdp));
  EXPECT_EQ(load_be<std::uint16_t>(none, 14 + 20 + 6), 0);
  EXPECT_EQ(read(none).source_port, 1000);
  // Every source port once: some of them would come to a computed sum of zero.
  for (unsigned port = 0; port < 0x10000; ++port) {
    Frame frame = FrameBuilder().ipv4("10.0.0.1", "10.0.0.2").udp(1000, 53).payload(9).build();
    PacketMeta of = read(frame);
    FlowEnds there = to;
    there.source_port = static_cast<std::uint16_t>(port);
    rewrite(frame, of, there, delta_of(from, there, kProtocolUdp));
    ASSERT_NE(load_be<std::uint16_t>(frame, 14 + 20 + 6), 0);
    (void)read(frame);
  }
}

TEST(NatRewrite, LaterFragmentGetsAddressesAndNothingElse) {
  Frame frame = FrameBuilder().ipv4("10.0.0.1", "10.0.0.2", {.fragment = 0x0010}).protocol(17, Frame(24, 0x5a)).build();
  PacketMeta meta = read(frame);
  const Frame before = frame;
  const FlowEnds from{tests::address("10.0.0.1"), tests::address("10.0.0.2"), 0, 0};
  const FlowEnds to{tests::address("203.0.113.9"), tests::address("10.0.0.2"), 0, 0};
  rewrite(frame, meta, to, delta_of(from, to, kProtocolUdp));
  EXPECT_EQ(ip_source(frame, read(frame)), to.source);
  EXPECT_TRUE(std::equal(frame.begin() + 34, frame.end(), before.begin() + 34));
}

/// An error about a packet that bears reversed(from), cut to `bytes` of quote, from `router`.
Frame error_about(Packets& packets, const FlowEnds& from, std::uint8_t protocol, const Address& router, std::size_t bytes) {
  const bool ipv4 = from.source.family == Family::kIpv4;
  Frame quoted = packets.build(reversed(from), protocol);
  quoted.erase(quoted.begin(), quoted.begin() + 14);
  quoted.resize(std::min(bytes, quoted.size()));
  FrameBuilder builder;
  if (ipv4) builder.ipv4(to_string(router), to_string(from.destination));
  else builder.ipv6(to_string(router), to_string(from.destination));
  return builder.icmp(ipv4 ? 3 : 1, 1, 0).payload(quoted).build();
}

TEST(NatRewrite, ErrorIsTranslatedOutsideAndInsideWithAllChecksums_Rfc5508Req4) {
  Packets packets;
  for (unsigned i = 0; i < 20'000; ++i) {
    const bool ipv4 = packets.coin();
    std::uint8_t protocol = packets.protocol(ipv4);
    const FlowEnds from = packets.ends(ipv4, protocol);
    FlowEnds to = packets.ends(ipv4, protocol);
    const bool far_end_stays = packets.coin();
    if (far_end_stays) to.source = from.source;
    const bool sender_is_end = packets.coin();
    const Address router = sender_is_end ? from.source : packets.address(ipv4);
    const std::size_t network = ipv4 ? 20 : 40;
    Frame frame = error_about(packets, from, protocol, router, network + 8 + (packets.coin() ? 0 : 40));
    const PacketMeta meta = read(frame);
    QuotedPacket quoted{};
    ASSERT_EQ(parse_icmp_error(frame, meta, quoted), DropReason::kNone);
    rewrite_error(frame, meta, quoted, from, to);

    const PacketMeta after = read(frame);  // outer checksums
    EXPECT_EQ(ip_destination(frame, after), to.destination);
    EXPECT_EQ(ip_source(frame, after), sender_is_end || !far_end_stays ? to.source : router);
    QuotedPacket inner{};
    ASSERT_EQ(parse_icmp_error(frame, after, inner), DropReason::kNone);
    const FlowEnds bears{inner.source, inner.destination, inner.source_port, inner.destination_port};
    EXPECT_EQ(bears, reversed(to)) << i;
    // The quote alone is a packet again, with right checksums when all of it was quoted.
    Frame alone(frame.begin(), frame.begin() + 14);
    alone.insert(alone.end(), frame.begin() + static_cast<std::ptrdiff_t>(14 + network + 8), frame.end());
    const std::size_t whole = ipv4 ? load_be<std::uint16_t>(alone, 16) : 40U + load_be<std::uint16_t>(alone, 18);
    if (alone.size() == 14 + whole) (void)read(alone);
    if (ipv4) {
      EXPECT_EQ(checksum_fold(checksum_add(0, std::span(alone).subspan(14, 20))), 0);
    }
  }
}

}  // namespace
}  // namespace sekisho::filters
