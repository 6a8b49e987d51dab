// SPDX-License-Identifier: Apache-2.0
// Goal: decode proves exactly what it says, refuses each malformation under its own name, never reads beyond the span.
// Method: valid frames from the builder, one knob broken at a time; every prefix; a million mutations, fast against
// slow.
#include "filters/packet/decode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using sekisho::tests::ArpFields;
using sekisho::tests::Frame;
using sekisho::tests::FrameBuilder;

constexpr ChecksumTrust kVerify{false, false};
constexpr ChecksumTrust kTrust{true, true};
constexpr std::uint8_t kSyn = kTcpSyn;

struct Decoded {
  DropReason reason;
  PacketMeta meta;
};

/// Decodes a copy of exactly the frame's bytes on the heap, so that a sanitizer sees one byte too many.
Decoded run(const Frame& frame, ChecksumTrust trust = kVerify, std::size_t segment = SIZE_MAX) {
  const std::size_t bytes = std::min(segment, frame.size());
  const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[bytes]);
  std::copy_n(frame.begin(), bytes, copy.get());
  Decoded out{};
  out.meta.reverse = 0x55;
  out.meta.resume = 0x66;
  out.reason = decode({copy.get(), bytes}, static_cast<std::uint32_t>(frame.size()), trust, out.meta);
  EXPECT_EQ(out.meta.reverse, 0x55);
  EXPECT_EQ(out.meta.resume, 0x66);
  return out;
}
DropReason reason_of(const Frame& frame) { return run(frame).reason; }

FrameBuilder v4(sekisho::tests::Ipv4Knobs knobs = {}) {
  return FrameBuilder().ipv4("10.0.0.2", "10.0.1.5", std::move(knobs));
}
FrameBuilder v6(sekisho::tests::Ipv6Knobs knobs = {}) {
  return FrameBuilder().ipv6("fd00:0:0:1::2", "2001:db8::5", knobs);
}

TEST(Decode, FillsEveryFieldOfTcpOverIpv4) {
  const auto [reason, meta] =
      run(v4({.ttl = 33}).tcp(40000, 443, {.flags = kSyn, .options = {2, 4, 5, 180}}).payload(9).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, kProofIpv4 | kProofL4);
  EXPECT_EQ(meta.l3_offset, 14);
  EXPECT_EQ(meta.l4_offset, 34);
  EXPECT_EQ(meta.payload_offset, 58);
  EXPECT_EQ(meta.l3_length, 20 + 24 + 9);
  EXPECT_EQ(meta.source_port, 40000);
  EXPECT_EQ(meta.destination_port, 443);
  EXPECT_EQ(meta.protocol, 6);
  EXPECT_EQ(meta.tcp_flags, kSyn);
  EXPECT_EQ(meta.ttl, 33);
  EXPECT_EQ(meta.outer_vlan | meta.inner_vlan | meta.icmp_type | meta.icmp_code, 0);
}

TEST(Decode, FillsEveryFieldOfUdpOverIpv6BehindTwoTags) {
  const auto [reason, meta] = run(v6({.hop_limit = 9}).vlan(100, 0x88a8).vlan(7).udp(53, 5353).payload(3).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, kProofIpv6 | kProofL4);
  EXPECT_EQ(meta.l3_offset, 22);
  EXPECT_EQ(meta.l4_offset, 62);
  EXPECT_EQ(meta.payload_offset, 70);
  EXPECT_EQ(meta.l3_length, 51);
  EXPECT_EQ(meta.source_port, 53);
  EXPECT_EQ(meta.destination_port, 5353);
  EXPECT_EQ(meta.outer_vlan, 100);
  EXPECT_EQ(meta.inner_vlan, 7);
  EXPECT_EQ(meta.protocol, 17);
  EXPECT_EQ(meta.ttl, 9);
}

TEST(Decode, PutsTheEchoIdentifierIntoBothPorts) {
  const auto four = run(v4().echo(0x1234).payload(8).build()).meta;
  const auto six = run(v6().echo(0x1234).payload(8).build()).meta;
  const auto unreachable = run(v4().icmp(3, 1, 0).payload(28).build()).meta;

  EXPECT_EQ(four.source_port, 0x1234);
  EXPECT_EQ(four.destination_port, 0x1234);
  EXPECT_EQ(four.icmp_type, 8);
  EXPECT_EQ(six.source_port, 0x1234);
  EXPECT_EQ(six.destination_port, 0x1234);
  EXPECT_EQ(six.icmp_type, 128);
  EXPECT_EQ(six.payload_offset, six.l4_offset + 8);
  EXPECT_EQ(unreachable.source_port, 0);
  EXPECT_EQ(unreachable.icmp_code, 1);
}

TEST(Decode, TakesFourTagNumbersAndRefusesTheThirdTag) {
  EXPECT_EQ(run(v4().vlan(4094).tcp(1, 2).build()).meta.outer_vlan, 4094);
  EXPECT_EQ(reason_of(v4().vlan(1).vlan(2).tcp(1, 2).build()), DropReason::kNone);
  EXPECT_EQ(reason_of(v4().vlan(1).vlan(2).vlan(3).tcp(1, 2).build()), DropReason::kVlanDepth);
}

TEST(Decode, StepsOverAPriorityTag) {
  const auto alone = run(v4().vlan(0).tcp(1, 2).build()).meta;
  const auto outside = run(v4().vlan(0).vlan(5).tcp(1, 2).build()).meta;

  EXPECT_EQ(alone.outer_vlan, 0);
  EXPECT_EQ(alone.l3_offset, 18);
  EXPECT_EQ(outside.outer_vlan, 5);
  EXPECT_EQ(outside.inner_vlan, 0);
  EXPECT_EQ(reason_of(v4().vlan(0).vlan(1).vlan(2).tcp(1, 2).build()), DropReason::kVlanDepth);
}

TEST(Decode, LeavesAForeignEtherTypeToTheBindingStage) {
  const auto [reason, meta] = run(FrameBuilder().ether_type(0x88cc).payload(40).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, 0);
  EXPECT_EQ(meta.l3_offset, 14);
}

TEST(Decode, ProvesTwentyEightBytesOfArpAndNothingMore) {
  const auto [reason, meta] = run(FrameBuilder().arp({.operation = 77}).padding(18).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, kProofArp);
  EXPECT_EQ(meta.protocol, 0);
  Frame truncated = FrameBuilder().arp({}).build();
  truncated.pop_back();
  EXPECT_EQ(reason_of(truncated), DropReason::kArpTruncated);
}

TEST(Decode, RefusesEachBrokenFieldOfIpv4UnderItsName) {
  EXPECT_EQ(reason_of(v4({.version_length = 0x55}).udp(1, 2).build()), DropReason::kIpv4Version);
  EXPECT_EQ(reason_of(v4({.version_length = 0x44}).udp(1, 2).build()), DropReason::kIpv4HeaderLength);
  EXPECT_EQ(reason_of(v4({.total_length = 19}).udp(1, 2).build()), DropReason::kIpv4TotalLength);
  EXPECT_EQ(reason_of(v4({.total_length = 29}).udp(1, 2).build()), DropReason::kIpv4TotalLength);
  EXPECT_EQ(reason_of(v4({.checksum = 1}).udp(1, 2).build()), DropReason::kIpv4Checksum);
  EXPECT_EQ(run(v4({.checksum = 1}).udp(1, 2).build(), {true, false}).reason, DropReason::kNone);
}

TEST(Decode, TakesEthernetPaddingForWhatItIs) {
  const auto [reason, meta] = run(v4().udp(1, 2).padding(18).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.l3_length, 28);
}

TEST(Decode, PassesIpv4OptionsByAllowListAlone) {
  const auto with = [](std::vector<std::uint8_t> options) {
    return v4({.options = std::move(options)}).udp(1, 2).build();
  };

  EXPECT_EQ(reason_of(with({131, 7, 4, 10, 0, 0, 1})), DropReason::kIpv4SourceRoute);
  EXPECT_EQ(reason_of(with({1, 1, 137, 7, 4, 10, 0, 0, 1})), DropReason::kIpv4SourceRoute);
  EXPECT_EQ(reason_of(with({131, 1})), DropReason::kIpv4SourceRoute);
  EXPECT_EQ(reason_of(with({7, 7, 4, 0, 0, 0, 0})), DropReason::kIpv4RecordRoute);
  EXPECT_EQ(reason_of(with({7, 1, 0, 0})), DropReason::kIpv4OptionFormat);
  EXPECT_EQ(reason_of(with({7, 9, 4, 0})), DropReason::kIpv4OptionFormat);
  EXPECT_EQ(reason_of(with({1, 1, 1, 7})), DropReason::kIpv4OptionFormat);
  for (const std::uint8_t kind : std::initializer_list<std::uint8_t>{68, 130, 134, 136, 148, 82, 25, 30, 255}) {
    EXPECT_EQ(reason_of(with({kind, 4, 0, 0})), DropReason::kIpv4Options) << int{kind};
  }
  EXPECT_EQ(reason_of(with({0, 131, 7, 4})), DropReason::kNone);
  const auto igmp = [](std::vector<std::uint8_t> options) {
    return run(v4({.options = std::move(options)}).protocol(2, Frame(8)).build());
  };
  EXPECT_EQ(igmp({148, 3, 0, 0}).reason, DropReason::kIpv4OptionFormat);
  const auto [reason, meta] = igmp({1, 1, 1, 1, 148, 4, 0, 0});
  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, kProofIpv4 | kProofL4 | kProofOptions);
  EXPECT_EQ(meta.l4_offset, 14 + 28);
}

TEST(Decode, PassesIpv6OptionsByAllowListAlone) {
  const auto with = [](std::uint8_t header, std::vector<std::uint8_t> options) {
    options.insert(options.begin(), static_cast<std::uint8_t>((options.size() + 2) / 8 - 1));
    return reason_of(v6().extension(header, std::move(options)).udp(1, 2).build());
  };
  for (const std::uint8_t header : {std::uint8_t{0}, std::uint8_t{60}}) {
    const bool hop = header == 0;
    EXPECT_EQ(with(header, {0, 0, 0, 0, 0, 0}), DropReason::kNone);
    EXPECT_EQ(with(header, {1, 4, 0, 0, 0, 0}), DropReason::kNone);
    EXPECT_EQ(with(header, {1, 5, 0, 0, 0, 0}), DropReason::kIpv6OptionFormat);
    EXPECT_EQ(with(header, {1, 3, 0, 0, 0, 1}), DropReason::kIpv6OptionFormat);
    EXPECT_EQ(with(header, {0xc2, 4, 0, 1, 0, 0}), DropReason::kIpv6Jumbo);
    EXPECT_EQ(with(header, {1, 4, 0, 0, 0, 7}), DropReason::kIpv6OptionFormat);
    EXPECT_EQ(with(header, {5, 2, 0, 0, 1, 0}), DropReason::kIpv6Options);
    EXPECT_EQ(with(header, {4, 1, 1, 1, 1, 0}), hop ? DropReason::kIpv6Options : DropReason::kNone);
    EXPECT_EQ(with(header, {0xc9, 4, 0, 0, 0, 0}), DropReason::kIpv6Options);
    EXPECT_EQ(with(header, {0x1e, 4, 0, 0, 0, 0}), DropReason::kIpv6Options);
  }
  EXPECT_EQ(with(0, {5, 3, 0, 0, 0, 0}), DropReason::kIpv6OptionFormat);
  EXPECT_EQ(with(60, {4, 2, 1, 1, 0, 0}), DropReason::kIpv6OptionFormat);
}

TEST(Decode, RefusesProtocolsThatTheFamilyDoesNotCarry) {
  for (const std::uint8_t number : std::initializer_list<std::uint8_t>{0, 43, 44, 58, 59, 60, 255}) {
    EXPECT_EQ(reason_of(v4().protocol(number, Frame(16)).build()), DropReason::kProtocolReserved) << int{number};
  }
  for (const std::uint8_t number : std::initializer_list<std::uint8_t>{1, 2, 59, 255}) {
    EXPECT_EQ(reason_of(v6().protocol(number, Frame(16)).build()), DropReason::kProtocolReserved) << int{number};
  }
  for (const std::uint8_t number : std::initializer_list<std::uint8_t>{4, 41, 47, 132}) {
    EXPECT_EQ(reason_of(v4().protocol(number, Frame(16)).build()), DropReason::kNone) << int{number};
  }
  EXPECT_EQ(reason_of(v4().protocol(50, Frame(16, 1)).build()), DropReason::kNone);
  EXPECT_EQ(reason_of(v4({.fragment = 0x8000}).udp(1, 2).build()), DropReason::kIpv4ReservedFlag);
}

TEST(Decode, RefusesIcmpTypesThatNeverPass) {
  const auto type4 = [](std::uint8_t type) { return reason_of(v4().icmp(type, 0, 0).build()); };
  const auto type6 = [](std::uint8_t type) { return reason_of(v6().icmp(type, 0, 0).build()); };
  EXPECT_EQ(type4(5), DropReason::kIcmpRedirect);
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{4, 6, 15, 17, 30, 39}) {
    EXPECT_EQ(type4(type), DropReason::kIcmpDeprecated) << int{type};
  }
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{1, 2, 7, 19, 41, 44, 253, 255}) {
    EXPECT_EQ(type4(type), DropReason::kIcmpUnknown) << int{type};
  }
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{138, 139, 140}) {
    EXPECT_EQ(type6(type), DropReason::kIcmpDeprecated) << int{type};
  }
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{0, 5, 100, 127, 150, 200, 255}) {
    EXPECT_EQ(type6(type), DropReason::kIcmpUnknown) << int{type};
  }
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{0, 3, 8, 11, 12, 13}) EXPECT_EQ(type4(type), DropReason::kNone);
  for (const std::uint8_t type : std::initializer_list<std::uint8_t>{1, 4, 128, 130, 137, 143}) EXPECT_EQ(type6(type), DropReason::kNone);
}

TEST(Decode, RefusesEachBrokenFieldOfIpv6UnderItsName) {
  EXPECT_EQ(reason_of(v6({.version = 4}).udp(1, 2).build()), DropReason::kIpv6Version);
  EXPECT_EQ(reason_of(v6({.payload_length = 9}).udp(1, 2).build()), DropReason::kIpv6PayloadLength);
  EXPECT_EQ(reason_of(v6({.payload_length = 65535}).udp(1, 2).build()), DropReason::kIpv6PayloadLength);
  EXPECT_EQ(reason_of(v6({.payload_length = 7}).udp(1, 2).build()), DropReason::kL4Truncated);
}

TEST(Decode, WalksTheAllowedExtensionHeaders) {
  const auto [reason, meta] = run(v6().extension(0, {0, 1, 4, 0, 0, 0, 0}).destination_options().tcp(1, 2).build());

  EXPECT_EQ(reason, DropReason::kNone);
  EXPECT_EQ(meta.proof, kProofIpv6 | kProofL4 | kProofOptions);
  EXPECT_EQ(meta.protocol, 6);
  EXPECT_EQ(meta.l4_offset, 14 + 40 + 16);
}

TEST(Decode, RefusesEveryOtherExtensionHeader) {
  const auto with = [](std::uint8_t number, std::vector<std::uint8_t> rest) {
    return reason_of(v6().extension(number, std::move(rest)).udp(1, 2).build());
  };

  EXPECT_EQ(with(43, {0, 0, 1, 0, 0, 0, 0}), DropReason::kIpv6RoutingHeader0);
  EXPECT_EQ(with(43, {0, 4, 1, 0, 0, 0, 0}), DropReason::kIpv6RoutingHeader);
  for (const std::uint8_t number : std::initializer_list<std::uint8_t>{51, 135, 139, 140, 253, 254}) {
    EXPECT_EQ(with(number, {0, 0, 0, 0, 0, 0, 0}), DropReason::kIpv6ExtensionHeader) << int{number};
  }
  EXPECT_EQ(with(60, {200, 0, 0, 0, 0, 0, 0}), DropReason::kIpv6ExtensionHeader);
  EXPECT_EQ(reason_of(v6().destination_options().hop_by_hop().udp(1, 2).build()), DropReason::kIpv6HopByHopOrder);
  EXPECT_EQ(reason_of(v6().fragment(0).fragment(0).udp(1, 2).build()), DropReason::kIpv6ExtensionHeader);
  EXPECT_EQ(reason_of(v6().protocol(50, Frame(16, 1)).build()), DropReason::kNone);
}

TEST(Decode, BoundsTheExtensionHeaderChainInNumberAndBytes) {
  const auto chain = [](unsigned count) {
    FrameBuilder builder = v6();
    for (unsigned i = 0; i < count; ++i) builder.destination_options();
    return reason_of(builder.udp(1, 2).build());
  };
  const auto options = [](std::uint8_t eights) {
    Frame rest{eights, 1, 4, 0, 0, 0, 0};
    for (unsigned i = 0; i < eights; ++i) rest.insert(rest.end(), {4, 1, 1, 1, 3, 0, 0, 0});  // tunnel limit, padding
    return reason_of(v6().extension(60, rest).udp(1, 2).build());
  };

  EXPECT_EQ(chain(2), DropReason::kNone);
  EXPECT_EQ(chain(3), DropReason::kIpv6ChainLength);
  EXPECT_EQ(options(kExtensionHeaderBytesMax / 8 - 1), DropReason::kNone);
  EXPECT_EQ(options(kExtensionHeaderBytesMax / 8), DropReason::kIpv6ChainLength);
}

TEST(Decode, RefusesPaddingThatHides) {
  const auto with = [](std::vector<std::uint8_t> options) {
    options.insert(options.begin(), static_cast<std::uint8_t>((options.size() + 2) / 8 - 1));
    return reason_of(v6().extension(60, std::move(options)).udp(1, 2).build());
  };
  EXPECT_EQ(with({1, 4, 0, 0, 0, 0}), DropReason::kNone);
  EXPECT_EQ(with({1, 4, 0, 0, 7, 0}), DropReason::kIpv6OptionFormat); // padding with content
  EXPECT_EQ(with({1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0}), DropReason::kIpv6OptionFormat);  // padding without need
}

TEST(Decode, RouterAlertIsForMulticastListenersAlone) {
  EXPECT_EQ(reason_of(v6().hop_by_hop().icmp(143, 0, 0).build()), DropReason::kNone);
  EXPECT_EQ(reason_of(v6().hop_by_hop().icmp(128, 0, 0).build()), DropReason::kIpv6Options);
  EXPECT_EQ(reason_of(v6().hop_by_hop().udp(1, 2).build()), DropReason::kIpv6Options);
  EXPECT_EQ(reason_of(v6().hop_by_hop().fragment(8).protocol(58, Frame(8)).build()), DropReason::kIpv6Options);
  EXPECT_EQ(reason_of(v6().extension(0, {0, 1, 4, 0, 0, 0, 0}).udp(1, 2).build()), DropReason::kNone);
}

TEST(Decode, TellsFragmentsFromWholePackets) {
  const auto first4 = run(v4({.fragment = 0x2000}).udp(67, 2).payload(16).build());
  const auto later4 = run(v4({.fragment = 0x0001}).protocol(17, {1}).build());
  const auto first6 = run(v6().fragment(1).udp(67, 2).payload(16).build());
  const auto later6 = run(v6().fragment(8).protocol(17, {1}).build());
  const auto atomic6 = run(v6().fragment(0).udp(67, 2).build());

  for (const auto& [reason, meta] : {first4, later4, first6, later6}) {
    EXPECT_EQ(reason, DropReason::kNone);
    EXPECT_EQ(meta.proof & (kProofFragment | kProofL4), kProofFragment);
    EXPECT_EQ(meta.protocol, 17);
    EXPECT_EQ(meta.source_port, 0);
  }
  EXPECT_EQ(first6.meta.l4_offset, 14 + 48);
  EXPECT_EQ(atomic6.reason, DropReason::kNone);
  EXPECT_EQ(atomic6.meta.proof, kProofIpv6 | kProofL4 | kProofFragment | kProofOptions);
  EXPECT_EQ(atomic6.meta.source_port, 67);
}

TEST(Decode, RefusesAFirstFragmentWithoutItsWholeHeader) {
  EXPECT_EQ(reason_of(v4({.fragment = 0x2000}).protocol(6, Frame(16)).build()), DropReason::kFragmentTiny);
  EXPECT_EQ(reason_of(v6().fragment(1).protocol(6, Frame(16)).build()), DropReason::kFragmentChain);
  EXPECT_EQ(reason_of(v6().fragment(1).extension(60, {1, 1, 4, 0, 0, 0, 0}).protocol(6, {}).build()), DropReason::kFragmentChain);
  EXPECT_EQ(reason_of(v6().fragment(0).extension(60, {1, 1, 4, 0, 0, 0, 0}).protocol(6, {}).build()), DropReason::kIpv6ExtensionHeader);
  EXPECT_EQ(reason_of(v6().fragment(1).protocol(6, Frame(24)).build()), DropReason::kNone);
}

TEST(Decode, JudgesTcpFlagsAsPacketFiltersDo) {
  const auto flags = [](unsigned value) {
    return reason_of(v4().tcp(1, 2, {.flags = static_cast<std::uint8_t>(value)}).build());
  };

  const std::initializer_list<std::pair<unsigned, DropReason>> bad{
      {0x00, DropReason::kTcpNull},   {0xc0, DropReason::kTcpNull},   {0x29, DropReason::kTcpXmas},
      {0x03, DropReason::kTcpSynFin}, {0x3f, DropReason::kTcpSynFin}, {0x06, DropReason::kTcpSynRst},
      {0x01, DropReason::kTcpFlags},  {0x08, DropReason::kTcpFlags},  {0x20, DropReason::kTcpFlags},
      {0x05, DropReason::kTcpFlags}};
  for (const auto& [set, reason] : bad) {
    EXPECT_EQ(flags(set), reason) << set;
    EXPECT_EQ(reason_of(v6().tcp(1, 2, {.flags = static_cast<std::uint8_t>(set)}).build()), reason) << set;
  }
  for (const unsigned good : {0x02U, 0x12U, 0x10U, 0x11U, 0x18U, 0x04U, 0x14U, 0x30U, 0xc2U}) {
    EXPECT_EQ(flags(good), DropReason::kNone) << good;
  }
}

TEST(Decode, RefusesWrongTcpAndUdpLengths) {
  EXPECT_EQ(reason_of(v4().tcp(1, 2, {.data_offset = 4}).build()), DropReason::kTcpDataOffset);
  EXPECT_EQ(reason_of(v4().tcp(1, 2, {.data_offset = 6}).build()), DropReason::kTcpDataOffset);
  EXPECT_EQ(reason_of(v4().udp(1, 2, {.length = 7}).build()), DropReason::kUdpLength);
  EXPECT_EQ(reason_of(v4().udp(1, 2, {.length = 9}).build()), DropReason::kUdpLength);
  EXPECT_EQ(reason_of(v4().udp(1, 2).payload(1).build()), DropReason::kNone);
}

TEST(Decode, VerifiesL4ChecksumsUnlessTheNicDid) {
  for (const auto& frame : {v4().tcp(1, 2, {.checksum = 1}).build(), v6().tcp(1, 2, {.checksum = 1}).build(),
                            v4().udp(1, 2, {.checksum = 1}).build(), v6().udp(1, 2, {.checksum = 1}).build(),
                            v4().icmp(8, 0, 0, 1).build(), v6().icmp(128, 0, 0, 1).build()}) {
    EXPECT_EQ(run(frame).reason, DropReason::kL4Checksum);
    EXPECT_EQ(run(frame, kTrust).reason, DropReason::kNone);
  }
  EXPECT_EQ(reason_of(v4().udp(1, 2, {.checksum = 0}).build()), DropReason::kNone);
  EXPECT_EQ(run(v6().udp(1, 2, {.checksum = 0}).build(), kTrust).reason, DropReason::kL4Checksum);
}

TEST(Decode, VerifiesPayloadsOfEveryLengthAndSeesEveryFlippedByte) {
  for (std::size_t length = 0; length < 300; ++length) {
    EXPECT_EQ(reason_of(v4().udp(1, 2).payload(length).build()), DropReason::kNone) << length;
    EXPECT_EQ(reason_of(v6().tcp(1, 2).payload(length).build()), DropReason::kNone) << length;
  }
  EXPECT_EQ(reason_of(v6().udp(1, 2).payload(65000).build()), DropReason::kNone);
  EXPECT_EQ(reason_of(v4().tcp(1, 2).payload(65495).build()), DropReason::kNone);
  for (const std::size_t length : {19U, 211U}) {
    const Frame good = v6().tcp(1, 2).payload(length).build();
    for (std::size_t at = 14 + 40 + 20; at < good.size(); ++at) {
      Frame bad = good;
      bad[at] ^= 0x10;
      EXPECT_EQ(reason_of(bad), DropReason::kL4Checksum) << at;
    }
  }
}

TEST(Decode, SaysWhenTheChecksumLiesBeyondTheFirstSegment) {
  const Frame frame = v4().tcp(1, 2, {.checksum = 1}).payload(100).build();

  EXPECT_EQ(run(frame, kVerify, 80).meta.proof, kProofIpv4 | kProofL4 | kProofL4Unsummed);
  EXPECT_EQ(run(frame, kVerify, 80).reason, DropReason::kNone);
  EXPECT_EQ(run(frame, kTrust, 80).meta.proof, kProofIpv4 | kProofL4);
  EXPECT_EQ(run(frame, kVerify).reason, DropReason::kL4Checksum);
  EXPECT_EQ(run(frame, kVerify, 53).reason, DropReason::kL4Truncated);
  EXPECT_EQ(run(frame, kVerify, 33).reason, DropReason::kIpv4Truncated);
}

TEST(Decode, KeepsTheProvedIpHeaderWhenL4IsRefused) {
  const auto [reason, meta] = run(v4().tcp(1, 2, {.flags = 0}).build());

  EXPECT_EQ(reason, DropReason::kTcpNull);
  EXPECT_EQ(meta.proof, kProofIpv4);
  EXPECT_EQ(meta.protocol, 6);
}

std::vector<Frame> specimens() {
  return {
      v4().tcp(40000, 80).build(),
      v4().vlan(100).tcp(40000, 80, {.flags = kSyn, .options = {2, 4, 5, 180}}).build(),
      v4().udp(53, 53).payload(11).build(),
      v4().udp(53, 53, {.checksum = 0}).payload(11).build(),
      v4({.protocol = 50}).udp(7, 9).payload(16).build(),
      v4().vlan(5, 0x88a8).vlan(6).udp(53, 53).payload(2).build(),
      v4().echo().payload(8).build(),
      v4({.options = {7, 7, 4, 0, 0, 0, 0}}).udp(1, 2).build(),
      v6().tcp(40000, 80).payload(4).build(),
      v6().vlan(9).udp(40000, 80).payload(3).build(),
      v6().echo().build(),
      v6().hop_by_hop().destination_options().tcp(1, 2).build(),
      v6().fragment(0).udp(1, 2).build(),
      v6().fragment(1).tcp(1, 2).build(),
      v4({.fragment = 0x2000}).tcp(1, 2).build(),
      FrameBuilder().arp({}).build(),
      FrameBuilder().ether_type(0x88cc).payload(30).build(),
  };
}

TEST(Decode, RefusesEveryTruncationOfASpecimen) {
  for (const Frame& frame : specimens()) {
    if (run(frame).meta.proof == 0) continue;  // a foreign EtherType has no end to miss
    for (std::size_t length = 0; length < frame.size(); ++length) {
      const Frame prefix(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_NE(reason_of(prefix), DropReason::kNone) << length;
      EXPECT_NE(run(prefix, kTrust).reason, DropReason::kNone) << length;
    }
  }
}

/// Offsets must lie in order and inside what they claim, whatever the bytes say.
void expect_consistent(const Frame& frame, const PacketMeta& meta, DropReason reason, std::size_t segment) {
  if (reason != DropReason::kNone) return;
  ASSERT_LE(meta.l3_offset, segment);
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) return;
  const std::size_t end = std::size_t{meta.l3_offset} + meta.l3_length;
  ASSERT_LE(end, frame.size());
  ASSERT_GT(meta.l4_offset, meta.l3_offset);
  ASSERT_LE(meta.l4_offset, std::min(end, segment));
  ASSERT_LE(meta.payload_offset, std::min(end, segment));
  ASSERT_GE(meta.payload_offset, meta.l4_offset);
}

TEST(Decode, FastAndGeneralPathAgreeOnAMillionMutations) {
  const std::vector<Frame> seeds = specimens();
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::size_t accepted = 0, plain = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    Frame frame = seeds[random() % seeds.size()];
    for (unsigned n = random() % 4; n > 0; --n) {
      const std::size_t headers = std::min<std::size_t>(frame.size(), 70);
      frame[random() % headers] = static_cast<std::uint8_t>(random() % 3 == 0 ? random() % 8 : random());
    }
    if (random() % 8 == 0) frame.resize(random() % (frame.size() + 20));
    const std::size_t segment = random() % 4 == 0 ? random() % (frame.size() + 1) : frame.size();
    const ChecksumTrust trust{random() % 2 == 0, random() % 4 != 0};
    const ByteSpan span = ByteSpan(frame).first(segment);
    PacketMeta fast{}, general{};
    const auto bytes = static_cast<std::uint32_t>(frame.size());
    const DropReason fast_reason = decode(span, bytes, trust, fast);
    const DropReason general_reason = packet_detail::decode_any(span, bytes, trust, general);
    ASSERT_EQ(fast_reason, general_reason);
    ASSERT_EQ(std::memcmp(&fast, &general, sizeof(fast)), 0) << "iteration " << i;
    expect_consistent(frame, fast, fast_reason, segment);
    packet_detail::Decoded unused{};
    plain += packet_detail::decode_plain(span, bytes, trust, unused) ? 1U : 0U;
    accepted += fast_reason == DropReason::kNone ? 1U : 0U;
  }
  EXPECT_GT(plain, 100'000U);  // else the comparison compares nothing
  EXPECT_GT(accepted, plain);
  EXPECT_LT(accepted, 990'000U);
}

}  // namespace
}  // namespace sekisho::filters
