// SPDX-License-Identifier: Apache-2.0
// Goal: two comparisons say of a packet exactly what decoding it says. Method: ESP of one peer, in UDP and not, of both families, with
// every bit of it turned and at every length, judged by both.
#include "filters/esp/peer_look.h"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>
#include <vector>

#include "filters/packet/fields.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using packet_detail::Decoded;
using tests::Frame;
using tests::FrameBuilder;

const Mac kRouter{{0x52, 0x54, 0, 0, 1, 0x11}};
const Mac kOurs{{0x52, 0x54, 0, 0, 0, 1}};
constexpr std::uint16_t kNatTraversal = 4500;

using Facts = std::tuple<std::size_t, std::uint16_t, std::uint32_t>;  // end, the peer's port, SPI

std::optional<Decoded> decoded(const Frame& frame, ChecksumTrust trust) {
  Decoded d{};
  if (!packet_detail::decode_plain(frame, static_cast<std::uint32_t>(frame.size()), trust, d)) return std::nullopt;
  return d;
}

/// What decoding says of a packet that is to be like `first`.
std::optional<Facts> by_steps(const Frame& first, const Frame& frame, ChecksumTrust trust) {
  const auto model = decoded(first, trust), d = decoded(frame, trust);
  if (!d || d->l3_offset != model->l3_offset || d->proof != model->proof || d->protocol != model->protocol) return std::nullopt;
  const std::size_t addresses = d->l3_offset + ((d->proof & kProofIpv4) != 0 ? 12U : 8U), bytes = (d->proof & kProofIpv4) != 0 ? 8 : 32;
  const auto same = [&](std::size_t at, std::size_t count) { return std::equal(&first[at], &first[at] + count, &frame[at]); };
  if (!same(0, 6) || !same(addresses, bytes)) return std::nullopt;
  const bool udp = d->protocol == kProtocolUdp;
  if (!udp && d->protocol != kProtocolEsp) return std::nullopt;
  if (udp && (d->ports & 0xffffU) != kNatTraversal) return std::nullopt;
  const std::size_t esp = udp ? d->payload_offset : d->l4_offset, end = d->l3_offset + d->l3_length;
  if (udp && classify_udp_encapsulated(ByteSpan(frame).subspan(esp, end - esp)) != UdpEncapsulated::kEsp) return std::nullopt;
  return Facts(end, udp ? static_cast<std::uint16_t>(d->ports >> 16) : std::uint16_t{0}, load_be<std::uint32_t>(frame, esp));
}
std::optional<Facts> by_look(const PeerLook& look, const Frame& frame, ChecksumTrust trust) {
  PeerLook::Parts parts{};
  if (!look.reads(frame, trust, parts)) return std::nullopt;
  return Facts(parts.end, parts.port, parts.spi);
}

const Frame kSealed = [] {
  Frame out(40);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i + 1);
  return out;
}();

std::vector<Frame> packets() {
  const auto from = [] { return FrameBuilder().ethernet(kRouter, kOurs); };
  Frame padded = from().ipv4("198.51.100.7", "203.0.113.1").protocol(kProtocolEsp, Frame(kSealed.begin(), kSealed.begin() + 8)).build();
  padded.resize(60);
  return {from().ipv4("198.51.100.7", "203.0.113.1").udp(61234, kNatTraversal).payload(kSealed).build(),
          from().ipv4("198.51.100.7", "203.0.113.1").protocol(kProtocolEsp, kSealed).build(),
          from().ipv6("2001:db8::7", "2001:db8:1::1").udp(61234, kNatTraversal).payload(kSealed).build(),
          from().ipv6("2001:db8::7", "2001:db8:1::1").protocol(kProtocolEsp, kSealed).build(), padded};
}

PeerLook look_of(const Frame& frame, ChecksumTrust trust = {.ip = true, .l4 = true}) {
  PeerLook out;
  out.learn(frame, *decoded(frame, trust));
  return out;
}

TEST(PeerLook, SaysOfEveryTurnedBitWhatDecodingSays) {
  constexpr ChecksumTrust kGood{.ip = true, .l4 = true};
  for (const Frame& frame : packets()) {
    const PeerLook look = look_of(frame);
    unsigned passed = 0;
    ASSERT_TRUE(by_look(look, frame, kGood).has_value());
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      Frame turned = frame;
      turned[bit / 8] = static_cast<std::uint8_t>(turned[bit / 8] ^ (1U << bit % 8));
      const auto seen = by_look(look, turned, kGood);
      ASSERT_EQ(seen, by_steps(frame, turned, kGood)) << "bit " << bit << " of a frame of " << frame.size();
      passed += seen.has_value() ? 1U : 0U;
    }
    EXPECT_GT(passed, 100U) << "hop limit, what is sealed and the like";
    EXPECT_LT(passed, frame.size() * 8 - 100) << "addresses and the like";
  }
}

TEST(PeerLook, SaysOfEveryLengthWhatDecodingSays) {
  constexpr ChecksumTrust kGood{.ip = true, .l4 = true};
  for (const Frame& frame : packets()) {
    const PeerLook look = look_of(frame);
    for (std::size_t length = 0; length <= frame.size() + 8; ++length) {
      Frame cut = frame;
      cut.resize(length);
      ASSERT_EQ(by_look(look, cut, kGood), by_steps(frame, cut, kGood)) << length << " bytes of " << frame.size();
    }
  }
}

TEST(PeerLook, ReadsNothingWhoseSumsTheCardHasNotSeen) {
  for (const Frame& frame : packets()) {
    const auto d = *decoded(frame, {.ip = true, .l4 = true});
    const bool v4 = (d.proof & kProofIpv4) != 0, udp = d.protocol == kProtocolUdp;
    const PeerLook look = look_of(frame);
    EXPECT_EQ(by_look(look, frame, {.ip = false, .l4 = true}).has_value(), !v4);
    EXPECT_EQ(by_look(look, frame, {.ip = true, .l4 = false}).has_value(), !udp) << "it has a UDP checksum";
    if (!udp) continue;
    Frame unsummed = frame;
    store_be<std::uint16_t>(unsummed, d.l4_offset + 6, 0);
    EXPECT_EQ(by_look(look, unsummed, {.ip = true, .l4 = false}).has_value(), v4) << "over IPv4 there need not be one";
    EXPECT_EQ(by_look(look, unsummed, {.ip = true, .l4 = true}).has_value(), v4) << "over IPv6 there must, whatever the card says";
  }
}

TEST(PeerLook, NothingFitsBeforeOneIsLearntNorAfterATaggedOne) {
  constexpr ChecksumTrust kGood{.ip = true, .l4 = true};
  const Frame frame = packets()[1];
  EXPECT_FALSE(by_look(PeerLook(), frame, kGood).has_value());
  const Frame tagged = FrameBuilder().ethernet(kRouter, kOurs).vlan(7).ipv4("198.51.100.7", "203.0.113.1").protocol(kProtocolEsp, kSealed).build();
  PeerLook look = look_of(frame);
  look.learn(tagged, *decoded(tagged, kGood));
  EXPECT_FALSE(by_look(look, tagged, kGood).has_value());
  EXPECT_FALSE(by_look(look, frame, kGood).has_value());
}

}  // namespace
}  // namespace sekisho::filters
