// SPDX-License-Identifier: Apache-2.0
// Goal: each way a packet may fail to get through a tunnel ends it by its own name, with a record or without as the name
// says, and the nearest packet that must pass does. Method: as in tunnel_test.cc; where no wire brings a worker to the point
// (a number near its end, a broken key), the SA is put there by hand.
#include <set>
#include <utility>

#include "dataplane/tunnel/expanded_keys.h"
#include "tests/path/tunnel_world.h"

namespace sekisho::tests {
namespace {

class TunnelFaults : public PathTunnel {
 protected:
  /// Sends a text of one's own and says whether something came in.
  bool comes_in(User& user, const Frame& text) {
    world_.inject(kUplinkNic, user.seal_text(text, world_.gateway(kUplinkNic)));
    return world_.collect(kServerNic).size() == 1;
  }
  static Frame with(Frame text, std::initializer_list<int> trailer) {
    for (const int byte : trailer) text.push_back(static_cast<std::uint8_t>(byte));
    return text;
  }
  static void set_class(Frame& frame, std::uint8_t traffic_class) {
    const auto meta = read(frame);
    if ((meta.proof & filters::kProofIpv6) != 0) {
      frame[meta.l3_offset] = static_cast<std::uint8_t>(0x60U | traffic_class >> 4);
      frame[meta.l3_offset + 1U] = static_cast<std::uint8_t>(unsigned{traffic_class} << 4 | (frame[meta.l3_offset + 1U] & 15U));
      return;
    }
    frame[meta.l3_offset + 1U] = traffic_class;
    store_be<std::uint16_t>(frame, meta.l3_offset + 10U, 0);
    store_be<std::uint16_t>(frame, meta.l3_offset + 10U, checksum_fold(checksum_add(0, ByteSpan(frame).subspan(meta.l3_offset, 20))));
  }
  static std::uint8_t class_of(const Frame& frame) {
    const auto meta = read(frame);
    const std::uint8_t* ip = frame.data() + meta.l3_offset;
    return (meta.proof & filters::kProofIpv6) != 0 ? static_cast<std::uint8_t>(ip[0] << 4 | ip[1] >> 4) : ip[1];
  }
  /// Our SA with this handle, on whatever worker it is.
  dataplane::Sa& ours(std::uint32_t handle) {
    return *world_.engine().shard(dataplane::Spi::worker(handle)).tunnels_here.sas->find(handle);
  }
  dataplane::Sa& ours_outbound() { return ours(world_.engine().leases().find(kTenantA, address(kLease4))->outbound); }
  Frame answer(std::size_t bytes = 30) { return server("10.0.0.2", kLease4).udp(53, 40000).payload(bytes).build(); }
};
SEKISHO_PATH_WORKERS(TunnelFaults);

TEST_P(TunnelFaults, PaddingNextHeaderAndInnerFormatAreEachProvedInAllFamilies) {
  std::uint32_t tunnel = 0;
  for (const bool outer6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      SCOPED_TRACE(testing::Message() << "outer6 " << outer6 << " udp " << in_udp);
      Making setup{.tunnel = ++tunnel, .in_udp = in_udp};
      if (outer6) setup.gateway = kGatewayA6, setup.peer = kPeer6;
      User user(setup);
      up(setup, user);
      const std::uint64_t padding = drops(DropReason::kVpnPadding), next = drops(DropReason::kVpnNextHeader),
                          format = drops(DropReason::kVpnInnerFormat), dummies = drops(DropReason::kVpnDummy);
      for (const bool inner6 : {false, true}) {
        const Frame inner = l3_of(inner6 ? question(kLease6, "fd00:0:0:1::2") : question());  // 128 or 148 bytes
        const int own = inner6 ? 41 : 4;
        EXPECT_FALSE(comes_in(user, with(inner, {1, 3, 2, own})));
        EXPECT_FALSE(comes_in(user, with(inner, {0, 0, 2, own})));
        EXPECT_FALSE(comes_in(user, with(inner, {1, 2, 255, own}))) << "more padding than there is text";
        EXPECT_TRUE(comes_in(user, with(inner, {1, 2, 2, own})));
        EXPECT_FALSE(comes_in(user, with(inner, {1, 2, 2, 6})));
        EXPECT_FALSE(comes_in(user, with(inner, {1, 2, 2, 0})));
        EXPECT_FALSE(comes_in(user, with(inner, {1, 2, 2, inner6 ? 4 : 41}))) << "not of the family it says";
        Frame longer = inner;
        store_be<std::uint16_t>(longer, inner6 ? 4 : 2, static_cast<std::uint16_t>(inner6 ? inner.size() - 40 + 1 : inner.size() + 1));
        EXPECT_FALSE(comes_in(user, with(longer, {1, 2, 2, own}))) << "longer than what was sent";
        EXPECT_TRUE(comes_in(user, with(inner, {9, 9, 9, 9, 1, 2, 2, own}))) << "room between packet and padding";
        EXPECT_FALSE(comes_in(user, with(inner, {1, 2, 2, 59})));
        EXPECT_FALSE(comes_in(user, {0, 0, 0, 0, 0, 0, 0, 59})) << "of any contents";
      }
      EXPECT_EQ(drops(DropReason::kVpnPadding) - padding, 6U);
      EXPECT_EQ(drops(DropReason::kVpnNextHeader) - next, 4U);
      EXPECT_EQ(drops(DropReason::kVpnInnerFormat) - format, 4U);
      EXPECT_EQ(drops(DropReason::kVpnDummy) - dummies, 4U);
      ipc::ToTunnels close;
      close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
      EXPECT_EQ(refusal(close), "");
      daemon_->read_events();
    }
  }
  EXPECT_EQ(drops(DropReason::kVpnAuth), 0U);
  world_.pass(std::chrono::seconds(70));
  std::set<std::uint8_t> told;
  for (const auto& record : world_.records()) {
    if (record.envelope.kind == LogKind::kSec) told.insert(record.envelope.drop_reason);
  }
  for (const DropReason reason : {DropReason::kVpnPadding, DropReason::kVpnNextHeader, DropReason::kVpnInnerFormat}) {
    EXPECT_TRUE(told.contains(static_cast<std::uint8_t>(reason))) << filters::info(reason).name;
  }
  EXPECT_FALSE(told.contains(static_cast<std::uint8_t>(DropReason::kVpnDummy))) << "dropped in silence";
}

TEST_P(TunnelFaults, EspThatIsNoWholeBlocksIsOfWrongLength) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const Frame whole = user.seal(question(), world_.gateway(kUplinkNic));
  const auto meta = read(whole);
  const Frame esp(whole.begin() + meta.payload_offset, whole.end());
  for (const std::size_t length : {std::size_t{7}, std::size_t{8}, std::size_t{16 + 16 + 3}, esp.size() - 1}) {
    world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).udp(setup.peer_port, 4500).payload(ByteSpan(esp).first(length)).build());
  }
  EXPECT_EQ(drops(DropReason::kVpnLength), 4U);
  EXPECT_EQ(collect_all(), 0U);
  world_.inject(kUplinkNic, whole);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(TunnelFaults, EveryPairOfEcnMarksComesOutAsRfc6040Says) {
  constexpr int kDropped = -1;
  constexpr std::array<std::array<int, 4>, 4> kOut{{{0, 0, 0, kDropped}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}}};  // [inner][outer]
  std::uint32_t tunnel = 0;
  std::uint64_t dropped = 0;
  for (const bool outer6 : {false, true}) {
    Making setup{.tunnel = ++tunnel};
    if (outer6) setup.gateway = kGatewayA6, setup.peer = kPeer6;
    User user(setup);
    up(setup, user);
    for (const bool inner6 : {false, true}) {
      for (std::uint8_t inner = 0; inner < 4; ++inner) {
        for (std::uint8_t outer = 0; outer < 4; ++outer) {
          SCOPED_TRACE(testing::Message() << "outer6 " << outer6 << " inner6 " << inner6 << " inner " << +inner << " outer " << +outer);
          Frame frame = inner6 ? question(kLease6, "fd00:0:0:1::2") : question();
          set_class(frame, 0xb8 | inner);  // EF
          Frame sealed = user.seal(frame, world_.gateway(kUplinkNic));
          EXPECT_EQ(class_of(sealed), 0xb8 | inner) << "as inside";
          set_class(sealed, 0x28 | outer);  // the class outside is the network's
          world_.inject(kUplinkNic, sealed);
          const auto out = world_.collect(kServerNic);
          const int wanted = kOut[inner][outer];
          ASSERT_EQ(out.size(), wanted == kDropped ? 0U : 1U);
          if (wanted == kDropped) {
            EXPECT_EQ(drops(DropReason::kVpnEcn), ++dropped);
          } else {
            EXPECT_EQ(class_of(out[0]), 0xb8 | wanted) << "the class inside stays, the marks are joined";
          }
        }
      }
    }
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
    EXPECT_EQ(refusal(close), "");
  }
}

TEST_P(TunnelFaults, TheClassLeavesAsInsideInAllFamilies) {
  std::uint32_t tunnel = 0;
  for (const bool outer6 : {false, true}) {
    Making setup{.tunnel = ++tunnel};
    if (outer6) setup.gateway = kGatewayA6, setup.peer = kPeer6;
    User user(setup);
    up(setup, user);
    for (const bool inner6 : {false, true}) {
      for (unsigned traffic_class = 0; traffic_class < 256; traffic_class += 7) {
        Frame frame = inner6 ? server("fd00:0:0:1::2", kLease6).udp(53, 40000).payload(30).build() : answer();
        set_class(frame, static_cast<std::uint8_t>(traffic_class));
        world_.inject(kServerNic, frame);
        const auto out = to_uplink();
        ASSERT_EQ(out.size(), 1U);
        EXPECT_EQ(class_of(out[0]), traffic_class);
        if (!outer6) {
          const unsigned word = load_be<std::uint16_t>(out[0], read(out[0]).l3_offset + 6U);
          EXPECT_EQ(word & 0x4000U, 0x4000U) << "DF as inside: set, as for IPv6";
        }
        EXPECT_EQ(class_of(user.open(out[0])), traffic_class);
      }
    }
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
    EXPECT_EQ(refusal(close), "");
    daemon_->read_events();
  }
}

TEST_P(TunnelFaults, DfOutsideIsAsInside) {
  const Making setup;
  User user(setup);
  up(setup, user);
  for (const unsigned df : {0U, 0x4000U}) {
    world_.inject(kServerNic, on_server(kTenantA).ipv4("10.0.0.2", kLease4, {.fragment = df}).udp(53, 40000).payload(30).build());
    const auto out = to_uplink();
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(load_be<std::uint16_t>(out[0], read(out[0]).l3_offset + 6U) & 0x4000U, df);
  }
}

TEST_P(TunnelFaults, WhatTheSaWasNotAgreedForPassesNeitherWay) {
  std::uint32_t tunnel = 0;
  for (const char* agreed : {"10.0.0.3/32", "10.0.0.2/32"}) {
    const bool passes = ++tunnel == 2;
    const Making setup{.tunnel = tunnel, .ours4 = agreed};
    User user(setup);
    up(setup, user);
    from_user(user, question(kLease4, "10.0.0.2"));
    EXPECT_EQ(world_.collect(kServerNic).size(), passes ? 1U : 0U);
    world_.inject(kServerNic, answer());
    EXPECT_EQ(to_uplink().size(), passes ? 1U : 0U);
    EXPECT_EQ(drops(DropReason::kVpnSelectors), 2U);
    world_.collect(kServerNic);
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
    EXPECT_EQ(refusal(close), "");
    daemon_->read_events();
  }
}

TEST_P(TunnelFaults, PiecesThatMakeMoreThanABufferAreNoPacket) {
  const Making setup;
  User user(setup);
  up(setup, user);
  Frame esp(2400, 0x11);
  store_be<std::uint32_t>(esp, 0, user.outbound().spi);
  const auto in_pieces = [&](const Frame& l4) {
    for (std::size_t at = 0; at < l4.size(); at += 800) {
      const std::size_t end = std::min(at + 800, l4.size());
      const unsigned word = (end < l4.size() ? 0x2000U : 0U) | static_cast<unsigned>(at / 8);
      world_.inject(kUplinkNic, outside(kPeer4, kGatewayA4).ipv4(kPeer4, kGatewayA4, {.fragment = word})
                                    .protocol(17, {l4.begin() + static_cast<std::ptrdiff_t>(at), l4.begin() + static_cast<std::ptrdiff_t>(end)}).build());
    }
  };
  const Frame large = outside(kPeer4, kGatewayA4).udp(setup.peer_port, 4500).payload(esp).build();
  in_pieces({large.begin() + 34, large.end()});
  EXPECT_EQ(drops(DropReason::kVpnSegments), 4U) << "each piece of it";
  const Frame fits = user.seal(ip({}, kLease4, "10.0.0.2").udp(40000, 53).payload(1300).build(), world_.gateway(kUplinkNic));
  in_pieces({fits.begin() + 34, fits.end()});
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(TunnelFaults, TheLastNumberIsTheEndWithAndWithoutExtendedOnes) {
  std::uint32_t tunnel = 0;
  for (const bool esn : {false, true}) {
    const Making setup{.tunnel = ++tunnel, .esn = esn};
    User user(setup);
    up(setup, user);
    const std::uint64_t before = drops(DropReason::kVpnSequenceEnd);
    ours_outbound().use.sequence = (esn ? ~std::uint64_t{0} : 0xffffffffU) - 1;
    world_.inject(kServerNic, answer());
    EXPECT_EQ(to_uplink().size(), 1U) << "the last one";
    world_.inject(kServerNic, answer());
    EXPECT_TRUE(to_uplink().empty());
    EXPECT_EQ(drops(DropReason::kVpnSequenceEnd) - before, 1U);
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
    EXPECT_EQ(refusal(close), "");
  }
}

TEST_P(TunnelFaults, AWayThatGrewNarrowerDropsOnceAndThenAnswersWithItsSize) {
  const Making setup;
  User user(setup);
  up(setup, user);
  const std::vector<RuleText> rules{kVpnToServers, {.id = 12, .sources = {"10.0.0.0/28"}, .destination_zones = kVpnZone}};
  world_.apply(2, rules, {.rules_b = {{.id = 201}}, .edit = [](filters::SnapshotBuilder& builder) {
                            add_tunnels(builder);
                            for (snapshot::Port& port : builder.ports) {
                              if (port.kind == snapshot::PortKind::kUplink) port.mtu = 1400;
                            }
                          }});
  world_.inject(kServerNic, answer(1338 - 28));
  EXPECT_EQ(to_uplink().size(), 1U) << "what fits 1400";
  world_.inject(kServerNic, answer(1339 - 28));
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(drops(DropReason::kVpnTooBig), 1U);
  daemon_->read_events();
  world_.inject(kServerNic, answer(1339 - 28));
  const auto told = world_.collect(kServerNic);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(load_be<std::uint16_t>(told[0], read(told[0]).l4_offset + 6U), 1338);
  EXPECT_EQ(drops(DropReason::kVpnTooBig), 1U);
}

TEST_P(TunnelFaults, ABufferWithoutRoomInFrontEndsItsPacket) {
  const Making setup;
  User user(setup);
  up(setup, user);
  world_.queue(kServerNic, answer(), 32);
  world_.settle();
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(drops(DropReason::kVpnRoom), 1U);
  world_.queue(kServerNic, answer(), RTE_PKTMBUF_HEADROOM);
  world_.settle();
  EXPECT_EQ(to_uplink().size(), 1U);
}

TEST_P(TunnelFaults, WhatTheLibraryRefusesToSealNeverLeaves) {
  const Making setup{.encryption = 12, .bits = 256, .integrity = 12};
  User user(setup);
  up(setup, user);
  filters::EspSizes& sizes = ours_outbound().keys->sizes;
  const std::uint8_t right = std::exchange(sizes.cipher_key, std::uint8_t{17});  // no key of AES has as many bytes
  world_.inject(kServerNic, answer());
  EXPECT_TRUE(to_uplink().empty());
  EXPECT_EQ(drops(DropReason::kVpnCrypto), 1U);
  sizes.cipher_key = right;
  world_.inject(kServerNic, answer());
  const auto out = to_uplink();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_FALSE(user.open(out[0]).empty());
}

TEST_P(TunnelFaults, ExtendedNumbersGoOnBeyondTwoToTheThirtyTwoBothWays) {
  const Making setup{.esn = true};
  User user(setup);
  const std::uint32_t spi = up(setup, user);
  constexpr std::uint64_t kNear = 0xfffffff0U;
  user.outbound().use.sequence = ours_outbound().use.sequence = kNear - 0x800;  // outside the first windows, or it is nobody's
  from_user(user, question());
  world_.inject(kServerNic, answer());
  ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
  const auto first = to_uplink();
  ASSERT_EQ(first.size(), 1U);
  ASSERT_FALSE(user.open(first[0]).empty());
  user.outbound().use.sequence = ours_outbound().use.sequence = kNear;
  std::vector<Frame> sent;
  for (int i = 0; i < 40; ++i) {
    sent.push_back(user.seal(question(), world_.gateway(kUplinkNic)));
    world_.inject(kServerNic, answer());
  }
  for (const Frame& frame : to_uplink()) EXPECT_FALSE(user.open(frame).empty());
  EXPECT_EQ(user.inbound().window->top(), kNear + 40);
  std::swap(sent[20], sent[10]);  // across the turn, late within the window
  for (const Frame& frame : sent) world_.inject(kUplinkNic, frame);
  EXPECT_EQ(world_.collect(kServerNic).size(), 40U);
  EXPECT_EQ(ours(spi).window->top(), kNear + 40);
  for (const std::size_t again : {std::size_t{3}, std::size_t{30}}) world_.inject(kUplinkNic, sent[again]);
  EXPECT_EQ(drops(DropReason::kVpnReplay), 2U);
  // The same low half in the round before is another packet: its proof does not fit.
  user.outbound().use.sequence = kNear + 40 - (std::uint64_t{1} << 32);
  from_user(user, question());
  EXPECT_EQ(drops(DropReason::kVpnAuth), 1U);
  EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
}

TEST_P(TunnelFaults, AWindowTakesTheOldestItHoldsAndNotTheOneBefore) {
  std::uint32_t tunnel = 0;
  for (const std::uint32_t window : {64U, 4096U}) {
    for (const bool esn : {false, true}) {
      SCOPED_TRACE(testing::Message() << "window " << window << " esn " << esn);
      const Making setup{.tunnel = ++tunnel, .esn = esn, .replay_window = window};
      User user(setup);
      up(setup, user);
      const std::uint64_t replays = drops(DropReason::kVpnReplay);
      const auto sealed_as = [&](std::uint64_t number) {
        user.outbound().use.sequence = number - 1;
        return user.seal(question(), world_.gateway(kUplinkNic));
      };
      constexpr std::uint64_t kNewest = 10000;
      world_.inject(kUplinkNic, sealed_as(kNewest));
      world_.inject(kUplinkNic, sealed_as(kNewest - window + 1));
      EXPECT_EQ(world_.collect(kServerNic).size(), 2U);
      world_.inject(kUplinkNic, sealed_as(kNewest - window));
      world_.inject(kUplinkNic, sealed_as(kNewest - window + 1));
      EXPECT_EQ(world_.collect(kServerNic).size(), 0U);
      EXPECT_EQ(drops(DropReason::kVpnReplay) - replays, 1U + (esn ? 0U : 1U));
      EXPECT_EQ(drops(DropReason::kVpnAuth), tunnel / 2) << "behind the window it is the round to come";
      ipc::ToTunnels close;
      close.mutable_close_tunnel()->set_tunnel(setup.tunnel);
      EXPECT_EQ(refusal(close), "");
    }
  }
}

TEST_P(TunnelFaults, LimitsByPacketsBytesAndTimeAreToldSoftFirstThenHardBothWays) {
  struct Case {
    const char* name;
    Making making;
    std::size_t soft_at, hard_at;  ///< packets each way after which it is told
    bool by_time;
  };
  const std::vector<Case> cases{
      {"packets", {.tunnel = 1, .hard_packets = 4, .soft_packets = 2}, 2, 4, false},
      {"bytes", {.tunnel = 2, .soft_bytes = 2 * 128, .hard_bytes = 4 * 128}, 2, 4, false},
      {"time", {.tunnel = 3, .soft_seconds = 100, .hard_seconds = 200}, 0, 0, true},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    User user(one.making);
    up(one.making, user);
    daemon_->events.clear();
    const auto told = [&](bool hard) {
      std::set<bool> directions;
      for (const auto& event : daemon_->events) {
        if (event.has_limit() && event.limit().hard() == hard) directions.insert(event.limit().inbound());
      }
      return directions.size();
    };
    const auto both_ways = [&] {
      from_user(user, question());
      world_.inject(kServerNic, answer(100));
      return world_.collect(kServerNic).size() + to_uplink().size();
    };
    if (one.by_time) {
      world_.pass(std::chrono::seconds(99));
      daemon_->read_events();
      EXPECT_EQ(told(false), 0U);
      world_.pass(std::chrono::seconds(2));
      daemon_->read_events();
      EXPECT_EQ(told(false), 2U);
      EXPECT_EQ(both_ways(), 2U) << "soft: it still carries";
      world_.pass(std::chrono::seconds(100));
      daemon_->read_events();
    } else {
      for (std::size_t i = 0; i < one.hard_at; ++i) {
        daemon_->read_events();
        EXPECT_EQ(told(false), i >= one.soft_at ? 2U : 0U) << i;
        EXPECT_EQ(both_ways(), 2U);
      }
      daemon_->read_events();
    }
    EXPECT_EQ(told(false), 2U);
    const std::uint64_t expired = drops(DropReason::kVpnExpired);
    EXPECT_EQ(both_ways(), 0U);
    EXPECT_EQ(drops(DropReason::kVpnExpired) - expired, 2U);
    daemon_->read_events();
    EXPECT_EQ(told(true), 2U);
    ipc::ToTunnels close;
    close.mutable_close_tunnel()->set_tunnel(one.making.tunnel);
    EXPECT_EQ(refusal(close), "");
    daemon_->read_events();
  }
}

}  // namespace
}  // namespace sekisho::tests
