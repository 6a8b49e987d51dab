// SPDX-License-Identifier: Apache-2.0
// Goal: one comparison says exactly what the steps it stands for say. Method: plain frames with every bit of their headers turned in
// turn, and every length, judged by both.
#include "filters/link/plain_look.h"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>
#include <vector>

#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using packet_detail::Decoded;
using tests::Frame;
using tests::FrameBuilder;

const Mac kGateway{{0x52, 0x54, 0, 0, 0, 1}};
const Mac kHost{{0x52, 0x54, 0, 0, 1, 0x11}};
constexpr ChecksumTrust kGood{.ip = true, .l4 = true};

std::uint64_t raw(const Mac& mac) {
  std::uint64_t out = 0;
  std::memcpy(&out, mac.bytes.data(), mac.bytes.size());
  return out;
}

/// A Binding of 10.1.2.0/23 and fd00:1:2::/47 (and, with `host`, of one address of each), on `tags` tags.
BindingRules rules(bool host, std::uint16_t outer_vlan) {
  snapshot::Port port{};
  port.outer_vlan = outer_vlan;
  snapshot::Binding binding{};
  binding.active = 1;
  const std::vector<snapshot::BindingPair> pairs{{kHost, parse_prefix(host ? "10.1.2.5/32" : "10.1.2.0/23").value()},
                                                 {kHost, parse_prefix(host ? "fd00:1:2::5/128" : "fd00:1:2::/47").value()}};
  return BindingRules({port, binding, pairs, {}, {}, {}, {}});
}

/// What decode_plain() and is_plain_from_port() say of an untagged frame to the gateway.
std::optional<Decoded> by_steps(const BindingRules::Hot& hot, const Frame& frame) {
  Decoded d{};
  if (!packet_detail::decode_plain(frame, static_cast<std::uint32_t>(frame.size()), kGood, d)) return std::nullopt;
  if (d.l3_offset != kEthernetHeaderBytes || !std::equal(kGateway.bytes.begin(), kGateway.bytes.end(), frame.begin())) return std::nullopt;
  if (!link_detail::is_plain_from_port(hot, frame, d)) return std::nullopt;
  return d;
}
std::optional<Decoded> by_look(const BindingRules::Hot& hot, const Frame& frame) {
  if (frame.size() < PlainLook::kLeastBytes) return std::nullopt;
  const PlainLook four = PlainLook::ipv4(hot, raw(kGateway)), six = PlainLook::ipv6(hot, raw(kGateway));
  Decoded d{};
  if (four.fits4(frame.data())) return decode_fitting<kEtherTypeIpv4>(frame, d) ? std::optional(d) : std::nullopt;
  if (six.fits6(frame.data())) return decode_fitting<kEtherTypeIpv6>(frame, d) ? std::optional(d) : std::nullopt;
  return std::nullopt;
}

/// True when both agree. Counts those both pass.
bool agree(const BindingRules::Hot& hot, const Frame& frame, unsigned& passed) {
  const auto steps = by_steps(hot, frame), look = by_look(hot, frame);
  if (steps.has_value() != look.has_value()) return false;
  if (!steps) return true;
  ++passed;
  const auto facts = [](const Decoded& d) {
    return std::tuple(d.l3_offset, d.l4_offset, d.payload_offset, d.l3_length, d.ports, d.vlans, d.protocol, d.proof, d.tcp_flags, d.ttl);
  };
  return facts(*steps) == facts(*look);
}

std::vector<Frame> plain_frames() {
  const auto from = [] { return FrameBuilder().ethernet(kHost, kGateway); };
  std::vector<Frame> out{from().ipv4("10.1.2.5", "10.9.9.9").udp(4000, 53).payload(22).build(),
                         from().ipv4("10.1.2.5", "10.9.9.9").tcp(4000, 443).payload(10).build(),
                         from().ipv4("10.1.2.5", "10.9.9.9").udp(4000, 53).build(),
                         from().ipv6("fd00:1:2::5", "2001:db8::9").udp(4000, 53).payload(22).build(),
                         from().ipv6("fd00:1:2::5", "2001:db8::9").tcp(4000, 443).payload(10).build(),
                         from().ipv4("10.1.2.5", "10.9.9.9").udp(68, 67).payload(22).build(),
                         from().ipv6("fd00:1:2::5", "2001:db8::9").udp(546, 547).payload(22).build()};
  Frame padded = out[2];
  padded.resize(60);
  out.push_back(padded);
  return out;
}

TEST(PlainLook, SaysOfEveryTurnedBitWhatTheStepsSay) {
  for (const bool host : {false, true}) {
    const BindingRules binding = rules(host, 0);
    unsigned passed = 0;
    for (const Frame& frame : plain_frames()) {
      for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
        Frame turned = frame;
        turned[bit / 8] = static_cast<std::uint8_t>(turned[bit / 8] ^ (1U << bit % 8));
        ASSERT_TRUE(agree(binding.hot(), turned, passed)) << "bit " << bit << " of a frame of " << frame.size();
        turned[bit / 8 == 0 ? 1 : 0] ^= 0x10;  // and a second one, of the destination
        ASSERT_TRUE(agree(binding.hot(), turned, passed)) << "bits of the destination and " << bit;
      }
    }
    EXPECT_GT(passed, 1000U) << "payload, ports and the like";
  }
}

TEST(PlainLook, SaysOfEveryLengthWhatTheStepsSay) {
  const BindingRules binding = rules(true, 0);
  unsigned passed = 0;
  for (const Frame& frame : plain_frames()) {
    for (std::size_t length = 0; length <= frame.size() + 8; ++length) {
      Frame cut = frame;
      cut.resize(length);
      ASSERT_TRUE(agree(binding.hot(), cut, passed)) << length << " bytes of " << frame.size();
    }
  }
  EXPECT_GT(passed, 40U);
}

TEST(PlainLook, PassesTheLeastPacketsOfBothFamilies) {
  const BindingRules binding = rules(true, 0);
  unsigned passed = 0;
  for (const Frame& frame : plain_frames()) ASSERT_TRUE(agree(binding.hot(), frame, passed));
  EXPECT_EQ(passed, 6U) << "all but the two from DHCP ports";
}

TEST(PlainLook, NothingFitsWhereFramesAreTaggedOrNoAddressIsBound) {
  const BindingRules tagged = rules(true, 7);
  for (const Frame& frame : plain_frames()) {
    EXPECT_FALSE(by_look(tagged.hot(), frame).has_value());
    EXPECT_FALSE(by_look(BindingRules().hot(), frame).has_value());
    EXPECT_FALSE(PlainLook().fits4(frame.data()));
    EXPECT_FALSE(PlainLook().fits6(frame.data()));
  }
  EXPECT_FALSE(PlainLook().fits4(Frame(64, 0).data()));
  EXPECT_FALSE(PlainLook().fits6(Frame(64, 0).data()));
}

}  // namespace
}  // namespace sekisho::filters
