// SPDX-License-Identifier: Apache-2.0
// Goal: what the gateway says itself is valid, says the right thing, fits or is 0, and is never said where it must not
// be. Method: every built frame goes through decode() with full verification.
#include "filters/packet/build.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>

#include "filters/packet/arp.h"
#include "filters/packet/nd.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using sekisho::tests::address;
using sekisho::tests::Frame;
using sekisho::tests::FrameBuilder;

const Mac kGateway{{0x52, 0x54, 0, 0, 0, 1}};
const Mac kHost{{0x52, 0x54, 0, 0, 1, 0x11}};
const Mac kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
const LinkHeader kToHost{
    .destination = kHost, .source = kGateway, .outer_vlan = 100, .inner_vlan = 7, .outer_is_svlan = true};

struct Built {
  Frame frame;
  PacketMeta meta{};
};

PacketMeta decoded(const Frame& frame) {
  PacketMeta meta{};
  EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
  return meta;
}

/// Runs a builder with ample room, and checks that every shorter span gives 0 and is not written beyond.
Built built(const std::function<std::size_t(MutableBytes)>& build) {
  Frame room(2048, 0xee);
  const std::size_t length = build(room);
  for (std::size_t shorter = 0; shorter < length; ++shorter) {
    Frame little(shorter);
    EXPECT_EQ(build(little), 0U) << shorter;
  }
  EXPECT_TRUE(
      std::all_of(room.begin() + static_cast<std::ptrdiff_t>(length), room.end(), [](auto b) { return b == 0xee; }));
  room.resize(length);
  if (length == 0) return {};
  return {room, decoded(room)};
}

FrameBuilder v4(sekisho::tests::Ipv4Knobs knobs = {}) {
  return FrameBuilder().ethernet(kHost, kGateway).ipv4("10.0.0.2", "198.51.100.9", std::move(knobs));
}
FrameBuilder v6() { return FrameBuilder().ethernet(kHost, kGateway).ipv6("fd00:0:0:1::2", "2001:db8::9"); }

TEST(Build, ArpRequestAsksForTheTarget) {
  LinkHeader link = kToHost;
  link.destination = kBroadcast;
  const auto [frame, meta] =
      built([&](auto out) { return build_arp_request(out, link, address("10.0.0.1"), address("10.0.0.2")); });
  const ArpMessage arp = read_arp(frame, meta);

  EXPECT_TRUE(arp.is_plain());
  EXPECT_EQ(arp.operation, kArpRequest);
  EXPECT_EQ(arp.sender_mac, kGateway);
  EXPECT_EQ(arp.sender, address("10.0.0.1"));
  EXPECT_EQ(arp.target, address("10.0.0.2"));
  EXPECT_EQ(arp.target_mac, Mac{});
  EXPECT_EQ(meta.outer_vlan, 100);
  EXPECT_EQ(meta.inner_vlan, 7);
  EXPECT_EQ(load_be<std::uint16_t>(frame, 12), kEtherTypeSvlan);
}

TEST(Build, ArpReplyNamesTheAsker) {
  const auto [frame, meta] =
      built([&](auto out) { return build_arp_reply(out, kToHost, address("10.0.0.1"), address("10.0.0.2")); });
  const ArpMessage arp = read_arp(frame, meta);

  EXPECT_EQ(arp.operation, kArpReply);
  EXPECT_EQ(arp.target_mac, kHost);
  EXPECT_EQ(arp.sender_mac, kGateway);
  EXPECT_EQ(ethernet_destination(frame), kHost);
}

TEST(Build, NeighbourSolicitationGoesToTheSolicitedNode) {
  const auto [frame, meta] = built([&](auto out) {
    return build_neighbour_solicitation(out, kToHost, address("fe80::1"), address("fd00::12:3456"));
  });
  const auto nd = parse_nd(frame, meta);

  ASSERT_TRUE(nd.has_value());
  EXPECT_EQ(nd->type, kNdNeighbourSolicitation);
  EXPECT_EQ(nd->target, address("fd00::12:3456"));
  EXPECT_EQ(nd->source_link_layer, kGateway);
  EXPECT_EQ(ip_destination(frame, meta), address("ff02::1:ff12:3456"));
  EXPECT_EQ(ethernet_destination(frame), (Mac{{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}}));
  EXPECT_EQ(meta.ttl, 255);
}

TEST(Build, NeighbourAdvertisementIsSolicitedOnlyForSomebody) {
  const auto [frame, meta] = built(
      [&](auto out) { return build_neighbour_advertisement(out, kToHost, address("fd00::2"), address("fd00::1")); });
  const auto [dad, dad_meta] =
      built([&](auto out) { return build_neighbour_advertisement(out, kToHost, address("::"), address("fd00::1")); });
  const auto nd = parse_nd(frame, meta), to_all = parse_nd(dad, dad_meta);

  ASSERT_TRUE(nd.has_value() && to_all.has_value());
  EXPECT_TRUE(nd->router && nd->solicited && nd->override);
  EXPECT_EQ(nd->target_link_layer, kGateway);
  EXPECT_EQ(ip_destination(frame, meta), address("fd00::2"));
  EXPECT_EQ(meta.ttl, 255);
  EXPECT_TRUE(to_all->router && !to_all->solicited && to_all->override);
  EXPECT_EQ(ip_destination(dad, dad_meta), address("ff02::1"));
  EXPECT_EQ(ethernet_destination(dad), (Mac{{0x33, 0x33, 0, 0, 0, 1}}));
}

TEST(Build, EchoRequestBecomesItsReplyInPlace) {
  for (Frame frame : {v4().echo(9, 3).payload(33).build(), v6().echo(9, 3).payload(33).build()}) {
    const Frame before = frame;
    const PacketMeta meta = decoded(frame);
    ASSERT_TRUE(echo_reply_in_place(frame, meta, kGateway));
    const PacketMeta after = decoded(frame);

    EXPECT_EQ(ip_source(frame, after), ip_destination(before, meta));
    EXPECT_EQ(ip_destination(frame, after), ip_source(before, meta));
    EXPECT_EQ(ethernet_source(frame), kGateway);
    EXPECT_EQ(ethernet_destination(frame), kHost);
    EXPECT_EQ(after.icmp_type, (after.proof & kProofIpv6) != 0 ? 129 : 0);
    EXPECT_EQ(after.source_port, 9);
    EXPECT_EQ(after.ttl, 64);
  }
}

TEST(Build, EchoReplyLeavesEverythingElseUntouched) {
  const auto refused = [](Frame frame) {
    const Frame before = frame;
    const PacketMeta meta = decoded(frame);
    return !echo_reply_in_place(frame, meta, kGateway) && frame == before;
  };

  EXPECT_TRUE(refused(v4().icmp(0, 0, 1).build()));
  EXPECT_TRUE(refused(v4().icmp(8, 1, 1).build()));
  EXPECT_TRUE(refused(v4().udp(8, 0).build()));
  EXPECT_TRUE(refused(v4({.fragment = 0x2000}).echo().build()));
  EXPECT_TRUE(refused(v4({.options = {1, 1, 1, 1}}).echo().build()));
  EXPECT_TRUE(refused(FrameBuilder().ethernet(kHost, kBroadcast).ipv4("10.0.0.2", "10.0.0.15").echo().build()));
  EXPECT_TRUE(refused(FrameBuilder().ethernet(kHost, kGateway).ipv4("0.0.0.0", "10.0.0.1").echo().build()));
  EXPECT_TRUE(refused(FrameBuilder().ethernet(kHost, kGateway).ipv6("::", "fd00::1").echo().build()));
}

Built error_about(const Frame& frame, IcmpErrorKind kind, std::uint32_t mtu = 0) {
  const PacketMeta meta = decoded(frame);
  const Address own = (meta.proof & kProofIpv6) != 0 ? address("fd00:0:0:1::1") : address("10.0.0.1");
  return built(
      [&](auto out) { return build_icmp_error(out, answer_link(frame, meta, kGateway), own, frame, meta, kind, mtu); });
}

TEST(Build, IcmpErrorsCarryTheirTypeAndCodeInEitherFamily) {
  struct Row {
    IcmpErrorKind kind;
    std::array<int, 4> type_code;
  };
  for (const auto& [kind, expected] : std::initializer_list<Row>{{IcmpErrorKind::kTimeExceeded, {11, 0, 3, 0}},
                                                                 {IcmpErrorKind::kTooBig, {3, 4, 2, 0}},
                                                                 {IcmpErrorKind::kNoRoute, {3, 0, 1, 0}},
                                                                 {IcmpErrorKind::kHostUnreachable, {3, 1, 1, 3}},
                                                                 {IcmpErrorKind::kPortUnreachable, {3, 3, 1, 4}},
                                                                 {IcmpErrorKind::kAdminProhibited, {3, 13, 1, 1}}}) {
    const PacketMeta four = error_about(v4().udp(1, 2).build(), kind).meta;
    const PacketMeta six = error_about(v6().udp(1, 2).build(), kind).meta;
    EXPECT_EQ((std::array<int, 4>{four.icmp_type, four.icmp_code, six.icmp_type, six.icmp_code}), expected);
  }
}

TEST(Build, IcmpErrorGoesBackAndQuotesThePacketWithoutItsPadding) {
  const Frame offending = v4().vlan(100).udp(1, 2).payload(5).padding(9).build();
  const auto [frame, meta] = error_about(offending, IcmpErrorKind::kTooBig, 1400);

  EXPECT_EQ(meta.outer_vlan, 100);
  EXPECT_EQ(ethernet_destination(frame), kHost);
  EXPECT_EQ(ip_source(frame, meta), address("10.0.0.1"));
  EXPECT_EQ(ip_destination(frame, meta), address("10.0.0.2"));
  EXPECT_EQ(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{4}), 1400U);
  const ByteSpan quote = packet_from(frame, meta, meta.payload_offset);
  EXPECT_TRUE(std::ranges::equal(quote, ByteSpan(offending).subspan(18, 33)));
}

TEST(Build, IcmpErrorQuotesAtMostWhatIsAllowed) {
  const auto four = error_about(v4().udp(1, 2).payload(1400).build(), IcmpErrorKind::kNoRoute);
  const auto six = error_about(v6().udp(1, 2).payload(1400).build(), IcmpErrorKind::kTooBig, 1280);

  EXPECT_EQ(four.meta.l3_length, 576);
  EXPECT_EQ(six.meta.l3_length, 1280);
  EXPECT_EQ(load_be<std::uint32_t>(six.frame, six.meta.l4_offset + std::size_t{4}), 1280U);
}

TEST(Build, IcmpErrorIsNeverSentAboutWhatMustNotBeAnswered) {
  const auto silent = [](const Frame& frame) { return error_about(frame, IcmpErrorKind::kNoRoute).frame.empty(); };
  const auto between = [](std::string_view from, std::string_view to, const Mac& mac = kGateway) {
    const FrameBuilder link = FrameBuilder().ethernet(kHost, mac);
    const bool six = from.find(':') != std::string_view::npos;
    return (six ? FrameBuilder(link).ipv6(from, to) : FrameBuilder(link).ipv4(from, to)).udp(1, 2).build();
  };

  EXPECT_FALSE(silent(v4().udp(1, 2).build()));
  EXPECT_FALSE(silent(v4().echo().build()));
  EXPECT_FALSE(silent(v6().echo().build()));
  EXPECT_TRUE(silent(v4().icmp(3, 1, 0).payload(28).build()));
  EXPECT_TRUE(silent(v6().icmp(1, 4, 0).payload(48).build()));
  EXPECT_TRUE(silent(v6().nd(137, {.target = address("fe80::1"), .destination = address("fd00::1")}).build()));
  EXPECT_FALSE(silent(v4({.fragment = 0x2000}).udp(1, 2).build()));
  EXPECT_TRUE(silent(v4({.fragment = 0x2001}).protocol(17, Frame(8)).build()));
  EXPECT_TRUE(silent(v4({.fragment = 0x2000}).icmp(3, 1, 0).build()));
  EXPECT_FALSE(silent(v6().fragment(1).udp(1, 2).build()));
  EXPECT_FALSE(silent(v6().fragment(0).udp(1, 2).build()));
  EXPECT_TRUE(silent(v6().fragment(8).protocol(17, Frame(8)).build()));
  EXPECT_TRUE(silent(between("0.0.0.0", "10.0.0.9")));
  EXPECT_TRUE(silent(between("224.0.0.1", "10.0.0.9")));
  EXPECT_TRUE(silent(between("255.255.255.255", "10.0.0.9")));
  EXPECT_TRUE(silent(between("127.0.0.1", "10.0.0.9")));
  EXPECT_TRUE(silent(between("10.0.0.2", "224.0.0.1")));
  EXPECT_TRUE(silent(between("10.0.0.2", "10.0.0.15", kBroadcast)));
  EXPECT_TRUE(silent(between("::", "fd00::1")));
  EXPECT_TRUE(silent(between("ff02::1", "fd00::1")));
  EXPECT_TRUE(silent(between("fd00::2", "ff0e::1")));
}

Built reset_of(const Frame& frame) {
  const PacketMeta meta = decoded(frame);
  return built([&](auto out) { return build_tcp_reset(out, answer_link(frame, meta, kGateway), frame, meta); });
}

TEST(Build, ResetTakesItsSequenceFromTheAcknowledgement) {
  for (const Frame& segment : {v4().tcp(40000, 80, {.flags = kTcpAck, .acknowledgement = 777}).payload(5).build(),
                               v6().tcp(40000, 80, {.flags = kTcpAck | kTcpSyn, .acknowledgement = 777}).build()}) {
    const auto [frame, meta] = reset_of(segment);
    const PacketMeta asked = decoded(segment);

    EXPECT_EQ(meta.tcp_flags, kTcpRst);
    EXPECT_EQ(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{4}), 777U);
    EXPECT_EQ(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{8}), 0U);
    EXPECT_EQ(meta.source_port, 80);
    EXPECT_EQ(meta.destination_port, 40000);
    EXPECT_EQ(ip_source(frame, meta), ip_destination(segment, asked));
    EXPECT_EQ(ip_destination(frame, meta), ip_source(segment, asked));
  }
}

TEST(Build, ResetAcknowledgesWhatASegmentWithoutAckOccupied) {
  const auto [frame, meta] =
      reset_of(v4().tcp(40000, 80, {.flags = kTcpSyn, .sequence = 0xffffffff}).payload(5).build());

  EXPECT_EQ(meta.tcp_flags, kTcpRst | kTcpAck);
  EXPECT_EQ(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{4}), 0U);
  EXPECT_EQ(load_be<std::uint32_t>(frame, meta.l4_offset + std::size_t{8}), 5U);
}

TEST(Build, ResetNeverAnswersAResetOrAGroup) {
  EXPECT_TRUE(reset_of(v4().tcp(1, 2, {.flags = kTcpRst}).build()).frame.empty());
  EXPECT_TRUE(reset_of(v4().tcp(1, 2, {.flags = kTcpRst | kTcpAck}).build()).frame.empty());
  EXPECT_TRUE(reset_of(v4().udp(1, 2).build()).frame.empty());
  EXPECT_TRUE(reset_of(v4({.fragment = 0x2000}).tcp(1, 2).build()).frame.empty());
  EXPECT_TRUE(reset_of(FrameBuilder().ethernet(kHost, kBroadcast).ipv4("10.0.0.2", "10.0.0.15").tcp(1, 2).build())
                  .frame.empty());
}

TEST(Nd, ParsesEachTypeAndRefusesEveryTruncation) {
  const auto to = [] {
    return FrameBuilder().ethernet(kHost, kGateway).ipv6("fe80::2", "fe80::1", {.hop_limit = 255});
  };
  const Address target = address("fd00::1");
  for (const Frame& frame :
       {to().nd(133, {.source_link_layer = kHost}).build(), to().nd(134, {.source_link_layer = kHost}).build(),
        to().nd(135, {.target = target, .source_link_layer = kHost}).build(),
        to().nd(136, {.target = target, .target_link_layer = kHost}).build(),
        to().nd(137, {.target = target, .destination = target, .target_link_layer = kHost}).build()}) {
    PacketMeta meta = decoded(frame);
    const auto nd = parse_nd(frame, meta);
    ASSERT_TRUE(nd.has_value());
    EXPECT_TRUE(nd->source_link_layer == kHost || nd->target_link_layer == kHost);
    EXPECT_FALSE(parse_nd(ByteSpan(frame).first(frame.size() - 1), meta).has_value());
    const auto whole = meta.l3_length;
    for (std::uint16_t cut = 48; cut < whole; ++cut) {
      meta.l3_length = cut;
      const bool at_option = cut + 8 == whole;  // the message without its option is a message
      EXPECT_EQ(parse_nd(frame, meta).has_value(), at_option) << int{meta.icmp_type} << " cut at " << cut;
    }
  }
}

TEST(Nd, MapsGroupsToTheirEthernetAddresses) {
  EXPECT_EQ(multicast_mac(address("224.129.2.3")), (Mac{{1, 0, 0x5e, 1, 2, 3}}));
  EXPECT_EQ(multicast_mac(address("ff02::1:ff12:3456")), (Mac{{0x33, 0x33, 0xff, 0x12, 0x34, 0x56}}));
  EXPECT_EQ(solicited_node(address("fd00::12:3456")), address("ff02::1:ff12:3456"));
}

}  // namespace
}  // namespace sekisho::filters
