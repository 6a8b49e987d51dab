// SPDX-License-Identifier: Apache-2.0
// Goal: what a transport SA carries is the IP packets of its owner's sessions and datagrams for the daemon, nothing else, whoever else
// has the same addresses, ports and ids; each refusal beside the nearest packet that passes. Method: two ends with tables of
// their own, each with the other's sessions; text of one's own sealed where no honest end would send it.
#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/net/checksum.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/expanded_keys.h"
#include "filters/esp/esp.h"
#include "filters/packet/decode.h"
#include "filters/packet/protocol.h"
#include "tests/support/eal.h"
#include "tests/support/frames.h"

namespace sekisho::dataplane {
namespace {

using filters::EspCipher;
using filters::EspFault;
using filters::EspIntegrity;
using filters::EspSuite;
using tests::Frame;
using tests::FrameBuilder;

constexpr std::uint32_t kTenant = 7;
constexpr EspSuite kGcm{EspCipher::kAes256Gcm, EspIntegrity::kAead};
constexpr EspSuite kOfWindows{EspCipher::kAes256Cbc, EspIntegrity::kHmacSha1_96};
const std::vector<std::uint8_t> kKeyBytes(64, 0x3c);

rte_mempool* pool() {
  static rte_mempool* const made =
      (tests::ensure_eal(), rte_pktmbuf_pool_create("l2tp_path_test", 255, 0, sizeof(PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, 0));
  return made;
}

struct Packet {
  rte_mbuf* mbuf;
  explicit Packet(const Frame& frame) : mbuf(rte_pktmbuf_alloc(pool())) {
    std::copy(frame.begin(), frame.end(),
              reinterpret_cast<std::uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<std::uint16_t>(frame.size()))));
    decode();
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet() { rte_pktmbuf_free(mbuf); }
  [[nodiscard]] Frame ip() const { return {frame_of(mbuf).begin() + 14, frame_of(mbuf).end()}; }
  PacketMeta& meta() { return meta_of(mbuf); }
  filters::DropReason decode() {
    meta() = {};
    const auto reason = filters::decode(frame_of(mbuf), mbuf->pkt_len, {}, meta());
    meta().tenant = kTenant;
    return reason;
  }
};

/// A UDP datagram as the daemon gives it: no IP around it, and its record says so.
struct Datagram : Packet {
  static Frame frame(std::uint16_t from, std::uint16_t to, const Frame& payload) {
    Frame out(14 + 8 + payload.size());
    store_be<std::uint16_t>(out, 14, from);
    store_be<std::uint16_t>(out, 16, to);
    store_be<std::uint16_t>(out, 18, static_cast<std::uint16_t>(8 + payload.size()));
    std::copy(payload.begin(), payload.end(), out.begin() + 22);
    return out;
  }
  Datagram(std::uint16_t from, std::uint16_t to, const Frame& payload) : Packet(frame(from, to, payload)) {
    meta() = {};
    meta().tenant = kTenant;
    meta().l3_offset = 14;
    meta().l3_length = static_cast<std::uint16_t>(8 + payload.size());
  }
};

const std::vector<Prefix> kLease{parse_prefix("10.9.0.5/32").value(), parse_prefix("2001:db8:9::5/128").value()};
const std::vector<Prefix> kOurs{parse_prefix("192.168.0.0/16").value(), parse_prefix("2001:db8:1::/48").value()};

Frame from_user(bool v6, std::size_t payload = 100) {
  FrameBuilder out = v6 ? FrameBuilder().ipv6("2001:db8:9::5", "2001:db8:1::2") : FrameBuilder().ipv4("10.9.0.5", "192.168.1.2");
  return out.udp(4000, 53).payload(payload).build();
}
Frame to_user(bool v6, std::size_t payload = 100) {
  FrameBuilder out = v6 ? FrameBuilder().ipv6("2001:db8:1::2", "2001:db8:9::5") : FrameBuilder().ipv4("192.168.1.2", "10.9.0.5");
  return out.udp(53, 4000).payload(payload).build();
}

struct Ids {
  std::uint16_t tunnel, session;
};

std::shared_ptr<L2tpSession> session(std::uint32_t number, Ids local, Ids peer, std::uint16_t port, std::span<const Prefix> leases, bool sequenced = false) {
  auto out = std::make_shared<L2tpSession>();
  out->tunnel = number;
  out->port = 900 + number;
  out->local_tunnel = local.tunnel;
  out->local_session = local.session;
  out->mtu = 1400;
  out->header = filters::L2tpHeader::make(port, peer.tunnel, peer.session, sequenced);
  for (const Prefix& prefix : leases) out->leases.add(prefix);
  return out;
}

struct Options {
  EspSuite suite = kGcm;
  bool v6 = false, in_udp = true, sequenced = false;
  std::uint8_t key = 0x3c;
};

/// SAs of both directions between a gateway and a client, in tables that may be others' as well.
struct Pair {
  SaTable& ours;
  SaTable& theirs;
  std::uint32_t in = 0, out = 0, their_in = 0, their_out = 0;

  Pair(SaTable& gateway, SaTable& client, const Options& options) : ours(gateway), theirs(client) {
    const std::vector<std::uint8_t> keys(64, options.key);
    const auto sizes = std::move(filters::sizes_of(options.suite)).value();
    SaConfig config;
    config.tenant = kTenant;
    config.transport = true;
    config.suite = options.suite;
    config.cipher_key = ByteSpan(keys).first(std::size_t{sizes.cipher_key} + sizes.salt);
    config.integrity_key = ByteSpan(keys).first(sizes.integrity_key);
    config.in_udp = options.in_udp;
    config.local = {tests::address(options.v6 ? "2001:db8::1" : "203.0.113.1"), 4500};
    config.peer = {tests::address(options.v6 ? "2001:db8:ffff::9" : "198.51.100.9"), 61234};
    in = config.spi = std::move(ours.allocate_spi()).value();
    EXPECT_TRUE(ours.install(config, 100));
    std::swap(config.local, config.peer);
    config.direction = SaDirection::kOutbound;
    their_out = std::move(theirs.install(config, 100)).value();
    config.direction = SaDirection::kInbound;
    their_in = config.spi = std::move(theirs.allocate_spi()).value();
    EXPECT_TRUE(theirs.install(config, 100));
    std::swap(config.local, config.peer);
    config.direction = SaDirection::kOutbound;
    out = std::move(ours.install(config, 100)).value();
  }
  /// A session both know.
  void add(std::uint32_t number, Ids gateway_ids, Ids client_ids, bool sequenced = false) {
    for (const std::uint32_t handle : {in, out}) {
      ASSERT_TRUE(ours.add_session(handle, session(number, gateway_ids, client_ids, 1701, kLease, sequenced)));
    }
    for (const std::uint32_t handle : {their_in, their_out}) {
      ASSERT_TRUE(theirs.add_session(handle, session(number, client_ids, gateway_ids, 1701, kOurs, sequenced)));
    }
  }
  EspFault seal(bool to_client, Packet& packet) {
    EspOutcome outcome;
    seal_burst(to_client ? ours : theirs, {&packet.mbuf, 1}, {to_client ? &out : &their_out, 1}, 100, {&outcome, 1});
    return outcome.fault;
  }
  EspOutcome open(bool to_client, Packet& packet) {
    EXPECT_EQ(packet.decode(), filters::DropReason::kNone);
    EspOutcome outcome;
    open_burst(to_client ? theirs : ours, {&packet.mbuf, 1}, 100, {&outcome, 1});
    return outcome;
  }
  EspOutcome cross(bool to_client, Packet& packet) {
    const EspFault fault = seal(to_client, packet);
    if (fault != EspFault::kNone) return {.fault = fault};
    return open(to_client, packet);
  }
};

struct World {
  std::unique_ptr<SaTable> ours = (pool(), std::move(SaTable::create(0, 16, 1)).value());
  std::unique_ptr<SaTable> theirs = std::move(SaTable::create(0, 16, 2)).value();
  Pair pair;
  explicit World(const Options& options = {}) : pair(*ours, *theirs, options) { pair.add(42, {11, 22}, {33, 44}, options.sequenced); }
};

TEST(L2tpPath, CarriesASessionsPacketsBothWaysInBothFamiliesOutsideAndInside) {
  for (const EspSuite suite : {kGcm, kOfWindows, EspSuite{EspCipher::kTripleDesCbc, EspIntegrity::kHmacSha1_96}}) {
    for (unsigned variant = 0; variant < 16; ++variant) {
      SCOPED_TRACE(variant);
      World world({.suite = suite, .v6 = (variant & 1) != 0, .in_udp = (variant & 2) != 0, .sequenced = (variant & 4) != 0});
      for (const std::size_t payload : {std::size_t{0}, std::size_t{1}, std::size_t{33}, std::size_t{1200}}) {
        const bool v6 = (variant & 8) != 0;
        for (const bool to_client : {false, true}) {
          const Frame frame = to_client ? to_user(v6, payload) : from_user(v6, payload);
          Packet packet(frame);
          const EspOutcome outcome = world.pair.cross(to_client, packet);
          ASSERT_EQ(outcome.fault, EspFault::kNone) << payload;
          ASSERT_FALSE(outcome.for_daemon);
          ASSERT_EQ(outcome.session->tunnel, 42U);
          EXPECT_EQ(packet.ip(), Frame(frame.begin() + 14, frame.end()));
          EXPECT_EQ(packet.meta().proof, 0) << "decode must judge the inner packet anew";
          EXPECT_EQ(packet.decode(), filters::DropReason::kNone);
        }
      }
      EXPECT_EQ(std::move(world.ours->query_session(world.pair.in, 42)).value().packets, 4U);
      EXPECT_EQ(std::move(world.ours->query_session(world.pair.out, 42)).value().packets, 4U);
      EXPECT_FALSE(world.ours->query_session(world.pair.in, 43));
    }
  }
}

TEST(L2tpPath, GivesTheDaemonsDatagramsThroughAsTheyAreWithThePeersOwnPort) {
  for (const bool v6 : {false, true}) {
    World world({.v6 = v6});
    const std::vector<Frame> datagrams{{0xc8, 2, 0, 12, 0, 11, 0, 0, 0, 0, 0, 1},                    // control
                                       {0, 2, 0, 11, 0, 22, 0xff, 3, 0xc0, 0x21, 9, 1, 0, 4},        // LCP of the session
                                       {0, 2, 0, 99, 0, 98, 0xff, 3, 0xc0, 0x21, 9, 1, 0, 4}};       // of one nobody has
    for (const Frame& payload : datagrams) {
      Datagram packet(40001, 1701, payload);
      const EspOutcome outcome = world.pair.cross(false, packet);
      ASSERT_EQ(outcome.fault, EspFault::kNone);
      ASSERT_TRUE(outcome.for_daemon);
      EXPECT_EQ(packet.meta().source_port, 40001);
      const auto frame = frame_of(packet.mbuf);
      const std::size_t at = packet.meta().payload_offset;
      EXPECT_EQ(load_be<std::uint16_t>(frame, packet.meta().l4_offset + std::size_t{4}), 8 + payload.size());
      EXPECT_EQ(Frame(frame.begin() + static_cast<std::ptrdiff_t>(at), frame.begin() + static_cast<std::ptrdiff_t>(at + payload.size())), payload);
      const auto udp = ByteSpan(frame).subspan(packet.meta().l4_offset, 8 + payload.size());
      if (v6) {
        const std::uint32_t pseudo = pseudo_header_sum(tests::address("2001:db8:ffff::9"), tests::address("2001:db8::1"), 17,
                                                       static_cast<std::uint32_t>(udp.size()));
        EXPECT_EQ(checksum_fold(checksum_add(pseudo, udp)), 0);
      } else {
        EXPECT_EQ(load_be<std::uint16_t>(udp, 6), 0);
      }
    }
  }
}

TEST(L2tpPath, KnowsClientsBehindOneNatByTheirSasAlone) {
  pool();
  const auto ours = std::move(SaTable::create(0, 16, 1)).value();
  const auto theirs = std::move(SaTable::create(0, 16, 2)).value();
  Pair first(*ours, *theirs, {});
  Pair second(*ours, *theirs, {.key = 0x55});  // same ends, same UDP port outside and inside
  first.add(1, {11, 22}, {33, 44});
  second.add(2, {11, 22}, {33, 44});           // and the same ids and address
  for (Pair* pair : {&first, &second}) {
    Packet packet(from_user(false));
    const EspOutcome outcome = pair->cross(false, packet);
    ASSERT_EQ(outcome.fault, EspFault::kNone);
    EXPECT_EQ(outcome.session->tunnel, pair == &first ? 1U : 2U);
  }
}

TEST(L2tpPath, TakesNoIpBeforeItsSessionIsThereAndNoneOfAnother) {
  World world;
  Pair& pair = world.pair;
  Packet good(from_user(false));
  ASSERT_EQ(pair.cross(false, good).fault, EspFault::kNone);
  const Frame whole = from_user(false);
  const Frame ip(whole.begin() + 14, whole.end());
  for (const Ids ids : {Ids{11, 23}, Ids{12, 22}, Ids{0, 0}, Ids{33, 44}, Ids{11, 22}}) {
    Frame payload{0, 2, 0, 0, 0, 0, 0xff, 3, 0, 0x21};
    store_be<std::uint16_t>(payload, 2, ids.tunnel);
    store_be<std::uint16_t>(payload, 4, ids.session);
    payload.insert(payload.end(), ip.begin(), ip.end());
    Datagram packet(40001, 1701, payload);
    EXPECT_EQ(pair.cross(false, packet).fault, ids.tunnel == 11 && ids.session == 22 ? EspFault::kNone : EspFault::kL2tpSession) << ids.tunnel;
  }
  ASSERT_TRUE(world.ours->remove_session(pair.in, 42));
  Packet late(from_user(false));
  EXPECT_EQ(pair.cross(false, late).fault, EspFault::kL2tpSession);
  ASSERT_TRUE(world.ours->remove_session(pair.out, 42));
  Packet back(to_user(false));
  EXPECT_EQ(pair.cross(true, back).fault, EspFault::kSelectors);
}

TEST(L2tpPath, HoldsTheInnerSourceToTheLease) {
  World world;
  for (const char* from : {"10.9.0.5", "10.9.0.6", "192.168.1.9"}) {
    Packet packet(FrameBuilder().ipv4(from, "192.168.1.2").udp(1, 2).payload(20).build());
    EXPECT_EQ(world.pair.cross(false, packet).fault, std::string_view(from) == "10.9.0.5" ? EspFault::kNone : EspFault::kInnerSpoof) << from;
  }
  Packet packet(FrameBuilder().ipv6("2001:db8:9::6", "2001:db8:1::2").udp(1, 2).payload(20).build());
  EXPECT_EQ(world.pair.cross(false, packet).fault, EspFault::kInnerSpoof);
}

TEST(L2tpPath, IsUdpToOurPortAndNothingElse) {
  World world;
  const Frame hello{0xc8, 2, 0, 12, 0, 11, 0, 0, 0, 0, 0, 1};
  const auto fault = [&](std::uint16_t from, std::uint16_t to, const Frame& payload, std::uint16_t length = 0) {
    Datagram packet(from, to, payload);
    if (length != 0) store_be<std::uint16_t>(frame_of(packet.mbuf), 18, length);
    return world.pair.cross(false, packet).fault;
  };
  EXPECT_EQ(fault(1701, 1701, hello), EspFault::kNone);
  EXPECT_EQ(fault(5, 1701, hello), EspFault::kNone) << "a NAT may have given him any port";
  EXPECT_EQ(fault(1701, 1702, hello), EspFault::kSelectors);
  EXPECT_EQ(fault(1701, 53, hello), EspFault::kSelectors);
  EXPECT_EQ(fault(1701, 1701, hello, 7), EspFault::kL2tpFormat);
  EXPECT_EQ(fault(1701, 1701, hello, 8), EspFault::kL2tpFormat) << "nothing inside";
  EXPECT_EQ(fault(1701, 1701, hello, 21), EspFault::kL2tpFormat) << "longer than it came";
  EXPECT_EQ(fault(1701, 1701, Frame{0, 3, 0, 11, 0, 22, 0xff, 3, 0xc0, 0x21}), EspFault::kL2tpFormat) << "version 3";
  EXPECT_EQ(fault(1701, 1701, Frame{0, 2, 0, 11, 0, 22, 0xff, 3, 0, 0x21, 0x45, 0, 0, 20}), EspFault::kL2tpFormat) << "no whole IP packet";
}

TEST(L2tpPath, MindsNoChecksumThatANatHasSpoilt) {
  World world;
  Datagram packet(40001, 1701, {0xc8, 2, 0, 12, 0, 11, 0, 0, 0, 0, 0, 1});
  store_be<std::uint16_t>(frame_of(packet.mbuf), 20, 0xbad1);
  EXPECT_TRUE(world.pair.cross(false, packet).for_daemon);
}

TEST(L2tpPath, NeverTakesTunnelModeNorIsTakenForIt) {
  World world;
  Sa& out = *world.theirs->find(world.pair.their_out);
  auto carrier = std::move(out.l2tp);  // an end that agreed to transport mode and seals in tunnel mode
  for (const Prefix& prefix : kLease) out.inner_local.add(prefix);
  for (const Prefix& prefix : kOurs) out.inner_remote.add(prefix);
  Packet tunnelled(from_user(false));
  EXPECT_EQ(world.pair.cross(false, tunnelled).fault, EspFault::kNextHeader);
  out.l2tp = std::move(carrier);
  Sa& in = *world.ours->find(world.pair.in);
  carrier = std::move(in.l2tp);
  for (const Prefix& prefix : kLease) in.inner_remote.add(prefix);
  for (const Prefix& prefix : kOurs) in.inner_local.add(prefix);
  Packet carried(from_user(false));
  EXPECT_EQ(world.pair.cross(false, carried).fault, EspFault::kNextHeader);
}

TEST(L2tpPath, CarriesWhatTheMtuLeavesAndNotAByteMore) {
  World world({.suite = kOfWindows});
  const std::size_t most = world.ours->find(world.pair.out)->inner_mtu - filters::L2tpHeader::kPlainBytes;
  EXPECT_EQ(most, 1404U);
  Packet fits(to_user(false, most - 28));
  ASSERT_EQ(world.pair.seal(true, fits), EspFault::kNone);
  EXPECT_LE(fits.ip().size(), 1500U);
  Packet large(to_user(false, most - 27));
  EXPECT_EQ(world.pair.seal(true, large), EspFault::kTooBig);
}

TEST(L2tpPath, IsSentWithoutEcnAndWithTheClassInside) {
  World world;
  Frame frame = to_user(false, 20);
  frame[15] = 0xb9;
  store_be<std::uint16_t>(frame, 24, 0);
  store_be<std::uint16_t>(frame, 24, checksum_fold(checksum_add(0, ByteSpan(frame).subspan(14, 20))));
  Packet packet(frame);
  ASSERT_EQ(world.pair.seal(true, packet), EspFault::kNone);
  EXPECT_EQ(packet.ip()[1], 0xb8);
  ASSERT_EQ(world.pair.open(true, packet).fault, EspFault::kNone);
  EXPECT_EQ(packet.ip()[1], 0xb9) << "inside it stays";
}

TEST(L2tpPath, HasRoomForSomeSessionsAndLetsSomeDatagramsOfASecondThrough) {
  World world;
  for (std::size_t i = 1; i < L2tpCarrier::kRidersMax; ++i) {
    EXPECT_TRUE(world.ours->add_session(world.pair.in, session(static_cast<std::uint32_t>(100 + i), {11, static_cast<std::uint16_t>(i)}, {1, 1}, 1701, {})));
  }
  EXPECT_EQ(world.ours->add_session(world.pair.in, session(99, {11, 99}, {1, 1}, 1701, {})).error().code, ErrorCode::kLimit);
  L2tpCarrier& carrier = *world.ours->find(world.pair.in)->l2tp;
  std::uint32_t passed = 0;
  for (int i = 0; i < 1000; ++i) passed += carrier.may_punt(5) ? 1U : 0U;
  EXPECT_EQ(passed, L2tpCarrier::kPuntsPerSecond);
  EXPECT_TRUE(carrier.may_punt(6));
}

}  // namespace
}  // namespace sekisho::dataplane
