// SPDX-License-Identifier: Apache-2.0
// Goal: a packet leaves the tunnel as it entered, whatever families, suite and encapsulation; what should not pass is
// named. Method: two ends with tables of their own; outer packets are judged by the decoder any stranger's packet
// meets. Each refusal is tried beside the nearest packet that passes.
#include "dataplane/tunnel/esp_path.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/net/checksum.h"
#include "base/net/endian.h"
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

constexpr std::uint32_t kTenant = 7, kTunnel = 42, kSlots = 16;
constexpr EspSuite kGcm{EspCipher::kAes256Gcm, EspIntegrity::kAead};
constexpr EspSuite kCbc{EspCipher::kAes256Cbc, EspIntegrity::kHmacSha256_128};
const std::vector<std::uint8_t> kKeyBytes(64, 0x3c);

rte_mempool* pool() {
  static rte_mempool* const made =
      (tests::ensure_eal(),
       rte_pktmbuf_pool_create("esp_path_test", 255, 0, sizeof(PacketMeta), RTE_MBUF_DEFAULT_BUF_SIZE, 0));
  return made;
}

/// A packet that frees itself.
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

  [[nodiscard]] Frame bytes() const { return {frame_of(mbuf).begin(), frame_of(mbuf).end()}; }
  [[nodiscard]] Frame ip() const { return {frame_of(mbuf).begin() + 14, frame_of(mbuf).end()}; }
  PacketMeta& meta() { return meta_of(mbuf); }
  filters::DropReason decode() {
    meta() = {};
    const auto reason = filters::decode(frame_of(mbuf), mbuf->pkt_len, {}, meta());
    meta().tenant = kTenant;
    return reason;
  }
};

Frame inner_v4(std::size_t payload = 100, std::string_view from = "10.9.0.5", std::string_view to = "192.168.1.2",
               tests::Ipv4Knobs knobs = {}) {
  return FrameBuilder().ipv4(from, to, std::move(knobs)).udp(4000, 53).payload(payload).build();
}
Frame inner_v6(std::size_t payload = 100, std::string_view from = "2001:db8:9::5",
               std::string_view to = "2001:db8:1::2") {
  return FrameBuilder().ipv6(from, to).udp(4000, 53).payload(payload).build();
}

const std::vector<Prefix> kOfUser{parse_prefix("10.9.0.5/32").value(), parse_prefix("2001:db8:9::5/128").value()};
const std::vector<Prefix> kOurs{parse_prefix("192.168.0.0/16").value(), parse_prefix("2001:db8:1::/48").value()};

/// The user's end seals, our end opens: one SA, this direction.
struct Tunnel {
  std::unique_ptr<SaTable> user = std::move(SaTable::create(1, kSlots, 5)).value();
  std::unique_ptr<SaTable> ours = std::move(SaTable::create(3, kSlots, 9)).value();
  SaConfig in, out;
  std::uint32_t spi = 0, handle = 0;

  explicit Tunnel(EspSuite suite = kGcm, bool v6 = false, bool in_udp = false, bool extended = false) {
    const auto sizes = std::move(filters::sizes_of(suite)).value();
    in.tenant = out.tenant = kTenant;
    in.tunnel = out.tunnel = kTunnel;
    in.suite = out.suite = suite;
    in.extended = out.extended = extended;
    in.cipher_key = out.cipher_key = ByteSpan(kKeyBytes).first(std::size_t{sizes.cipher_key} + sizes.salt);
    in.integrity_key = out.integrity_key = ByteSpan(kKeyBytes).first(sizes.integrity_key);
    in.in_udp = out.in_udp = in_udp;
    in.local = out.peer = {tests::address(v6 ? "2001:db8::1" : "203.0.113.1"), 4500};
    in.peer = out.local = {tests::address(v6 ? "2001:db8:ffff::9" : "198.51.100.9"), 61234};
    in.inner_local = out.inner_remote = kOurs;
    in.inner_remote = out.inner_local = kOfUser;
    out.direction = SaDirection::kOutbound;
  }
  void install() {
    spi = in.spi = out.spi = std::move(ours->allocate_spi()).value();
    ASSERT_EQ(std::move(ours->install(in, 100)).value(), spi);
    handle = std::move(user->install(out, 100)).value();
  }
  EspFault seal(Packet& packet, std::uint64_t now = 100) {
    EspOutcome outcome;
    seal_burst(*user, {&packet.mbuf, 1}, {&handle, 1}, now, {&outcome, 1});
    return outcome.fault;
  }
  EspFault open(Packet& packet, std::uint64_t now = 100) {
    EspOutcome outcome;
    open_burst(*ours, {&packet.mbuf, 1}, now, {&outcome, 1});
    return outcome.fault;
  }
  /// Seals, has the decoder judge it, opens.
  EspFault cross(Packet& packet) {
    if (const EspFault fault = seal(packet); fault != EspFault::kNone) return fault;
    EXPECT_EQ(packet.decode(), filters::DropReason::kNone);
    return open(packet);
  }
};

std::vector<EspSuite> suites() {
  std::vector<EspSuite> out;
  for (int c = 0; c <= static_cast<int>(EspCipher::kTripleDesCbc); ++c) {
    for (int i = 0; i <= static_cast<int>(EspIntegrity::kHmacSha512_256); ++i) {
      const EspSuite suite{static_cast<EspCipher>(c), static_cast<EspIntegrity>(i)};
      if (filters::sizes_of(suite)) out.push_back(suite);
    }
  }
  return out;
}

TEST(EspPath, CarriesBothFamiliesInBothFamiliesInEverySuiteWithAndWithoutUdp) {
  pool();
  for (const EspSuite suite : suites()) {
    for (unsigned variant = 0; variant < 16; ++variant) {
      const bool outer_v6 = (variant & 1) != 0, in_udp = (variant & 2) != 0, extended = (variant & 4) != 0,
                 v6 = (variant & 8) != 0;
      Tunnel tunnel(suite, outer_v6, in_udp, extended);
      tunnel.install();
      for (const std::size_t payload : {std::size_t{0}, std::size_t{1}, std::size_t{33}, std::size_t{1300}}) {
        const Frame frame = v6 ? inner_v6(payload) : inner_v4(payload);
        Packet packet(frame);
        ASSERT_EQ(tunnel.cross(packet), EspFault::kNone) << variant << ' ' << payload;
        ASSERT_EQ(packet.ip(), Frame(frame.begin() + 14, frame.end()));
        ASSERT_EQ(packet.meta().tenant, kTenant);
        ASSERT_EQ(packet.meta().proof, 0) << "decode must judge the inner packet anew";
        ASSERT_EQ(packet.decode(), filters::DropReason::kNone);
      }
    }
  }
}

TEST(EspPath, WritesOuterHeadersThatAnyDecoderTakes) {
  pool();
  for (const bool v6 : {false, true}) {
    for (const bool in_udp : {false, true}) {
      Tunnel tunnel(kGcm, v6, in_udp);
      tunnel.install();
      Packet packet(inner_v4());
      ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
      const PacketMeta described = packet.meta();

      ASSERT_EQ(packet.decode(), filters::DropReason::kNone);

      EXPECT_EQ(packet.meta().protocol, in_udp ? filters::kProtocolUdp : filters::kProtocolEsp);
      EXPECT_EQ(packet.meta().l3_offset, described.l3_offset);
      EXPECT_EQ(packet.meta().l3_length, described.l3_length);
      EXPECT_EQ(packet.meta().l4_offset, described.l4_offset);
      EXPECT_EQ(packet.meta().payload_offset, described.payload_offset);
      EXPECT_EQ(packet.meta().source_port, in_udp ? 61234 : described.source_port);
      EXPECT_EQ(packet.meta().ttl, 64);
      if (in_udp) {
        const auto checksum = load_be<std::uint16_t>(packet.bytes(), packet.meta().l4_offset + 6U);
        EXPECT_EQ(checksum != 0, v6);
      }
    }
  }
}

TEST(EspPath, ForgetsWhatTheCardSaidOfTheOuterPacket) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet packet(inner_v4());
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  packet.decode();
  packet.mbuf->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_VLAN_STRIPPED;

  ASSERT_EQ(tunnel.open(packet), EspFault::kNone);

  EXPECT_EQ(packet.mbuf->ol_flags, 0U) << "nobody verified the inner checksums";
}

TEST(EspPath, SetsDontFragmentAsInsideAndKeepsIdentificationsForWhatMayBeCut) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet fixed(inner_v4()), loose(inner_v4(100, "10.9.0.5", "192.168.1.2", {.fragment = 0})), six(inner_v6());
  for (Packet* packet : {&fixed, &loose, &six}) ASSERT_EQ(tunnel.seal(*packet), EspFault::kNone);

  EXPECT_EQ(load_be<std::uint16_t>(fixed.ip(), 6), 0x4000);
  EXPECT_EQ(load_be<std::uint16_t>(fixed.ip(), 4), 0);
  EXPECT_EQ(load_be<std::uint16_t>(loose.ip(), 6), 0);
  EXPECT_EQ(load_be<std::uint16_t>(loose.ip(), 4), 2);
  EXPECT_EQ(load_be<std::uint16_t>(six.ip(), 6), 0x4000);
}

Frame with_class(Frame frame, std::uint8_t value) {
  frame[15] = value;
  store_be<std::uint16_t>(frame, 24, std::uint16_t{0});
  store_be<std::uint16_t>(frame, 24, checksum_fold(checksum_add(0, std::span(frame).subspan(14, 20))));
  return frame;
}

TEST(EspPath, CarriesTheClassOutsideOnlyWhenAskedAndEcnAlways) {
  pool();
  for (const bool copy : {true, false}) {
    for (const bool v6 : {false, true}) {
      Tunnel tunnel(kGcm, v6);
      tunnel.out.copy_dscp = copy;
      tunnel.install();
      Packet packet(with_class(inner_v4(), 46 << 2 | 2));
      ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
      const Frame ip = packet.ip();
      const int value = v6 ? (ip[0] & 15) << 4 | ip[1] >> 4 : ip[1];
      EXPECT_EQ(value, copy ? 46 << 2 | 2 : 2);
    }
  }
}

TEST(EspPath, BringsCongestionThatTheOuterPacketMetToTheInnerOne) {
  pool();
  for (const bool v6 : {false, true}) {
    Tunnel tunnel(kGcm, v6);
    tunnel.install();
    const auto through = [&](std::uint8_t inner_class, std::uint8_t outer_ecn, Frame& arrived) {
      Packet packet(with_class(inner_v4(), inner_class));
      EXPECT_EQ(tunnel.seal(packet), EspFault::kNone);
      std::uint8_t* const ip = frame_of(packet.mbuf).data() + 14;
      if (v6) {
        ip[1] = static_cast<std::uint8_t>((ip[1] & 0xcf) | outer_ecn << 4);
      } else {
        const Frame changed = with_class(packet.bytes(), static_cast<std::uint8_t>((ip[1] & 0xfc) | outer_ecn));
        std::copy(changed.begin(), changed.end(), frame_of(packet.mbuf).begin());
      }
      EXPECT_EQ(packet.decode(), filters::DropReason::kNone);
      const EspFault fault = tunnel.open(packet);
      if (fault == EspFault::kNone) {
        arrived = packet.ip();
        EXPECT_EQ(packet.decode(), filters::DropReason::kNone) << "the inner checksum is right again";
      }
      return fault;
    };
    Frame arrived;
    EXPECT_EQ(through(46 << 2 | 2, 3, arrived), EspFault::kNone);
    EXPECT_EQ(arrived[1], 46 << 2 | 3);  // and the inner class stays its own
    EXPECT_EQ(through(46 << 2 | 0, 2, arrived), EspFault::kNone);
    EXPECT_EQ(arrived[1], 46 << 2);
    EXPECT_EQ(through(0, 3, arrived), EspFault::kEcn);
  }
}

TEST(EspPath, BringsCongestionToAnInnerIpv6Packet) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Frame frame = inner_v6();
  frame[15] = static_cast<std::uint8_t>(frame[15] | 2 << 4);
  Packet packet(frame);
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  const Frame changed = with_class(packet.bytes(), 3);
  std::copy(changed.begin(), changed.end(), frame_of(packet.mbuf).begin());
  packet.decode();
  ASSERT_EQ(tunnel.open(packet), EspFault::kNone);
  EXPECT_EQ(packet.ip()[1] >> 4 & 3, 3);
}

TEST(EspPath, RefusesAReplayAlsoWithinOneBurst) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet first(inner_v4());
  ASSERT_EQ(tunnel.seal(first), EspFault::kNone);
  Packet copy(first.bytes()), later(first.bytes());
  first.decode();

  std::array<rte_mbuf*, 2> burst{first.mbuf, copy.mbuf};
  std::array<EspOutcome, 2> outcomes;
  open_burst(*tunnel.ours, burst, 100, outcomes);

  EXPECT_EQ(outcomes[0].fault, EspFault::kNone);
  EXPECT_EQ(outcomes[1].fault, EspFault::kReplay);
  ASSERT_NE(outcomes[1].sa, nullptr);
  EXPECT_EQ(outcomes[1].sa->tunnel, kTunnel);
  EXPECT_EQ(tunnel.open(later), EspFault::kReplay);
  EXPECT_EQ(std::move(tunnel.ours->query(tunnel.spi)).value().packets, 1U);
}

TEST(EspPath, RefusesAReplayBeforeTheKeyIsUsed) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet packet(inner_v4());
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  Frame forged = packet.bytes();
  forged.back() ^= 1;
  Packet before(forged), after(forged);
  packet.decode();

  EXPECT_EQ(tunnel.open(before), EspFault::kAuth);
  ASSERT_EQ(tunnel.open(packet), EspFault::kNone);
  EXPECT_EQ(tunnel.open(after), EspFault::kReplay) << "its number is known: nobody looks at its ICV";
}

TEST(EspPath, TakesPacketsOutOfOrderWithinTheWindowAndNoneBehindIt) {
  pool();
  Tunnel tunnel;
  tunnel.in.replay_window = 64;
  tunnel.install();
  std::vector<Frame> sealed;
  for (int i = 0; i < 66; ++i) {
    Packet packet(inner_v4());
    ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
    sealed.push_back(packet.bytes());
  }
  const auto open = [&](std::size_t number) {
    Packet packet(sealed[number - 1]);
    return tunnel.open(packet);
  };
  EXPECT_EQ(open(66), EspFault::kNone);
  EXPECT_EQ(open(3), EspFault::kNone);
  EXPECT_EQ(open(2), EspFault::kReplay);
}

TEST(EspPath, AForgedPacketMovesNoWindow) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet good(inner_v4());
  ASSERT_EQ(tunnel.seal(good), EspFault::kNone);
  Frame forged = good.bytes();
  store_be<std::uint32_t>(forged, 14 + 20 + 4, 0x7fff'ffffU);
  Packet bad(forged);

  EXPECT_EQ(tunnel.open(bad), EspFault::kAuth);
  good.decode();
  EXPECT_EQ(tunnel.open(good), EspFault::kNone);
}

TEST(EspPath, RefusesAWrongIcvByNameInBothKindsOfSuite) {
  pool();
  for (const EspSuite suite : {kGcm, kCbc}) {
    Tunnel tunnel(suite);
    tunnel.install();
    Packet packet(inner_v4());
    ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
    frame_of(packet.mbuf).back() ^= 1;
    packet.decode();
    EXPECT_EQ(tunnel.open(packet), EspFault::kAuth);
  }
}

TEST(EspPath, FindsNoSaForAnotherTenantAddressDirectionOrSpi) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet sealed(inner_v4());
  ASSERT_EQ(tunnel.seal(sealed), EspFault::kNone);

  Packet foreign(sealed.bytes());
  foreign.meta().tenant = kTenant + 1;
  EXPECT_EQ(tunnel.open(foreign), EspFault::kSpiUnknown);

  Frame other_address = sealed.bytes();
  other_address[14 + 19] = 2;
  Packet elsewhere(with_class(other_address, 0));
  EXPECT_EQ(tunnel.open(elsewhere), EspFault::kSpiUnknown);

  Frame other_spi = sealed.bytes();
  other_spi[14 + 20] ^= 0x40;
  Packet unknown(other_spi);
  EXPECT_EQ(tunnel.open(unknown), EspFault::kSpiUnknown);

  Frame reserved = sealed.bytes();
  store_be<std::uint32_t>(reserved, 14 + 20, std::move(tunnel.ours->allocate_spi()).value());
  Packet early(reserved);
  EXPECT_EQ(tunnel.open(early), EspFault::kSpiUnknown);

  sealed.decode();
  EXPECT_EQ(tunnel.open(sealed), EspFault::kNone);
}

TEST(EspPath, RefusesAnInnerSourceThatIsNotTheLease) {
  pool();
  Tunnel tunnel;
  const std::vector<Prefix> everything{parse_prefix("0.0.0.0/0").value(), parse_prefix("::/0").value()};
  tunnel.out.inner_local = everything;  // the user's own machine lies
  tunnel.out.inner_remote = everything;
  tunnel.install();
  Packet four(inner_v4(10, "10.9.0.6")), six(inner_v6(10, "2001:db8:9::6"));
  EXPECT_EQ(tunnel.cross(four), EspFault::kInnerSpoof);
  EXPECT_EQ(tunnel.cross(six), EspFault::kInnerSpoof);
  Packet elsewhere(inner_v4(10, "10.9.0.5", "172.16.0.1")), there(inner_v4(10)), there6(inner_v6(10));
  EXPECT_EQ(tunnel.cross(elsewhere), EspFault::kSelectors);
  EXPECT_EQ(tunnel.cross(there), EspFault::kNone);
  EXPECT_EQ(tunnel.cross(there6), EspFault::kNone);
}

TEST(EspPath, SealsOnlyWhatTheSaWasAgreedFor) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet spoofed(inner_v4(10, "10.9.0.6")), elsewhere(inner_v4(10, "10.9.0.5", "8.8.8.8"));
  EXPECT_EQ(tunnel.seal(spoofed), EspFault::kSelectors);
  EXPECT_EQ(tunnel.seal(elsewhere), EspFault::kSelectors);
  EXPECT_EQ(std::move(tunnel.user->query(tunnel.handle)).value().sequence, 0U);
}

/// A packet sealed with our own hands: any decrypted bytes, whatever next header.
Frame hand_sealed(Tunnel& tunnel, std::vector<std::uint8_t> opened, std::uint64_t sequence) {
  EspCrypto crypto = std::move(EspCrypto::create()).value();
  const auto vault = std::move(KeyVault::create(1)).value();
  const auto keys =
      std::move(crypto.expand(*vault, tunnel.in.suite, false, tunnel.in.cipher_key, tunnel.in.integrity_key)).value();
  std::vector<std::uint8_t> esp(8U + keys->sizes.iv);
  store_be<std::uint32_t>(esp, 0, tunnel.spi);
  store_be<std::uint32_t>(esp, 4, static_cast<std::uint32_t>(sequence));
  esp.insert(esp.end(), opened.begin(), opened.end());
  esp.resize(esp.size() + keys->sizes.icv);
  EspJob job{esp.data(), keys.get(), sequence, static_cast<std::uint32_t>(opened.size()), false};
  crypto.seal({&job, 1});
  return FrameBuilder().ipv4("198.51.100.9", "203.0.113.1").protocol(50, esp).build();
}

TEST(EspPath, NamesWhatIsWrongInsideAGenuinePacket) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  const Frame frame = inner_v4(14);
  std::vector<std::uint8_t> inner(frame.begin() + 14, frame.end());  // 42 bytes
  const auto open = [&](std::vector<std::uint8_t> tail, std::uint64_t sequence, std::size_t cut = 0) {
    std::vector<std::uint8_t> opened(inner.begin(), inner.end() - static_cast<long>(cut));
    opened.insert(opened.end(), tail.begin(), tail.end());
    Packet packet(hand_sealed(tunnel, opened, sequence));
    return tunnel.open(packet);
  };
  EXPECT_EQ(open({0, 4}, 1), EspFault::kNone);
  EXPECT_EQ(open({1, 2, 3, 4, 4, 4}, 2), EspFault::kNone);
  EXPECT_EQ(open({1, 2, 3, 5, 4, 4}, 3), EspFault::kPadding);
  EXPECT_EQ(open({0, 50}, 4), EspFault::kNextHeader);
  EXPECT_EQ(open({0, 59}, 5), EspFault::kDummy);
  EXPECT_EQ(open({0, 41}, 6), EspFault::kInnerFormat);
  EXPECT_EQ(open({1, 1, 4}, 7, 1), EspFault::kInnerFormat);  // one byte of the packet became padding
  EXPECT_EQ(open(std::vector<std::uint8_t>(202, 0), 8), EspFault::kNextHeader);
  std::vector<std::uint8_t> padded(200, 0);  // traffic flow confidentiality
  padded.insert(padded.end(), {0, 4});
  EXPECT_EQ(open(padded, 9), EspFault::kNone);
  EXPECT_EQ(open({0, 4}, 0), EspFault::kReplay);
}

TEST(EspPath, RefusesLengthsThatAreNoEsp) {
  pool();
  for (const EspSuite suite : {kGcm, kCbc}) {
    Tunnel tunnel(suite);
    tunnel.install();
    Packet packet(inner_v4());
    ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
    const Frame whole = packet.bytes();
    const std::vector<std::uint8_t> esp(whole.begin() + 34, whole.end());
    for (std::size_t cut = 1; cut <= esp.size() - 8; ++cut) {
      Packet shorter(FrameBuilder()
                         .ipv4("198.51.100.9", "203.0.113.1")
                         .protocol(50, {esp.begin(), esp.end() - static_cast<long>(cut)})
                         .build());
      const EspFault fault = tunnel.open(shorter);
      EXPECT_TRUE(fault == EspFault::kLength || fault == EspFault::kAuth) << cut;
      if (esp.size() - cut < 8U + 8U + 16U + 4U) {
        EXPECT_EQ(fault, EspFault::kLength) << cut;
      }
    }
  }
}

TEST(EspPath, RefusesPacketsInPiecesAndSharedOnes) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet pieces(inner_v4()), shared(inner_v4());
  rte_mbuf* const tail = rte_pktmbuf_alloc(pool());
  rte_pktmbuf_append(tail, 10);
  ASSERT_EQ(rte_pktmbuf_chain(pieces.mbuf, tail), 0);
  rte_mbuf_refcnt_update(shared.mbuf, 1);

  EXPECT_EQ(tunnel.seal(pieces), EspFault::kSegments);
  EXPECT_EQ(tunnel.seal(shared), EspFault::kSegments);
  EXPECT_EQ(tunnel.open(shared), EspFault::kSegments);
  rte_mbuf_refcnt_update(shared.mbuf, -1);
  EXPECT_EQ(tunnel.seal(shared), EspFault::kNone);
}

TEST(EspPath, RefusesATrain) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet packet(inner_v4());
  const auto as_train = [&packet] {
    packet.meta().proof |= filters::kProofTrain;
    packet.meta().l3_length = 3000;  // of the whole datagram: far beyond this buffer's bytes
  };
  as_train();
  EXPECT_EQ(tunnel.seal(packet), EspFault::kSegments);
  packet.decode();
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  packet.decode();
  as_train();
  EXPECT_EQ(tunnel.open(packet), EspFault::kSegments);
  packet.decode();
  EXPECT_EQ(tunnel.open(packet), EspFault::kNone);
}

TEST(EspPath, RefusesABufferWithoutRoomBeforeOrBehind) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  const auto at = [&](std::uint16_t headroom, std::uint16_t tailroom) {
    Packet packet(inner_v4());
    rte_mbuf* const m = packet.mbuf;
    const Frame bytes = packet.bytes();
    m->data_off = headroom;
    std::copy(bytes.begin(), bytes.end(), frame_of(m).begin());
    const std::uint16_t kept = m->buf_len;
    m->buf_len = static_cast<std::uint16_t>(headroom + bytes.size() + tailroom);
    const EspFault fault = tunnel.seal(packet);
    m->buf_len = kept;
    return fault;
  };
  // In front of the IP header, 14 bytes into the frame: 64 for the template, ESP 8, IV 8. Behind 128 bytes of packet: 2
  // of padding and 2 of trailer, 16 of ICV.
  EXPECT_EQ(at(64 + 16 - 14, 20), EspFault::kNone);
  EXPECT_EQ(at(64 + 16 - 14 - 1, 20), EspFault::kRoom);
  EXPECT_EQ(at(64 + 16 - 14, 19), EspFault::kRoom);
}

TEST(EspPath, SealsExactlyWhatFitsTheOuterMtu) {
  pool();
  Tunnel tunnel(kGcm, false, true);
  tunnel.out.outer_mtu = 600;
  tunnel.install();
  const std::size_t fits = filters::esp_inner_mtu(600, 28, std::move(filters::sizes_of(kGcm)).value());
  Packet packet(inner_v4(fits - 28)), bigger(inner_v4(fits - 27));
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  EXPECT_EQ(packet.ip().size(), 600U);
  EXPECT_EQ(tunnel.seal(bigger), EspFault::kTooBig);
}

TEST(EspPath, StopsBeforeTheSequenceNumberWraps) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  tunnel.user->find(tunnel.handle)->use.sequence = 0xffff'fffe;
  Packet last(inner_v4()), after(inner_v4());
  EXPECT_EQ(tunnel.cross(last), EspFault::kNone);
  EXPECT_EQ(tunnel.seal(after), EspFault::kSequenceEnd);
  EXPECT_EQ(tunnel.seal(after), EspFault::kSequenceEnd);
  EXPECT_EQ(std::move(tunnel.ours->query(tunnel.spi)).value().sequence, 0xffff'ffffU);
}

TEST(EspPath, GoesOnPastThirtyTwoBitsWithExtendedNumbers) {
  pool();
  for (const EspSuite suite : {kGcm, kCbc}) {
    Tunnel tunnel(suite, false, false, true);
    tunnel.install();
    Packet first(inner_v4());
    ASSERT_EQ(tunnel.cross(first), EspFault::kNone);
    // As if the window had come along: the numbers between were all sent.
    tunnel.user->find(tunnel.handle)->use.sequence = 0xffff'fff0;
    ASSERT_TRUE(tunnel.ours->find(tunnel.spi)->window->accept(0xffff'fff0));
    for (int i = 0; i < 32; ++i) {
      Packet packet(inner_v4());
      ASSERT_EQ(tunnel.cross(packet), EspFault::kNone) << i;
    }
    EXPECT_EQ(std::move(tunnel.ours->query(tunnel.spi)).value().sequence, 0x1'0000'0010U);
  }
}

TEST(EspPath, SendsNothingWithAnSaThatIsGoneOrAnotherTenants) {
  pool();
  Tunnel tunnel;
  tunnel.install();
  Packet foreign(inner_v4());
  foreign.meta().tenant = kTenant + 1;
  EXPECT_EQ(tunnel.seal(foreign), EspFault::kSaMissing);
  ASSERT_TRUE(tunnel.user->erase(tunnel.handle));
  Packet packet(inner_v4());
  EXPECT_EQ(tunnel.seal(packet), EspFault::kSaMissing);
}

TEST(EspPath, TellsSoftLimitsOnceAndStopsAtHardOnes) {
  pool();
  Tunnel tunnel;
  tunnel.in.lifetime = {.soft = {.packets = 2}, .hard = {.packets = 3}};
  tunnel.out.lifetime = {.soft = {.bytes = 128}, .hard = {.bytes = 5 * 128}};
  tunnel.install();
  for (int i = 0; i < 3; ++i) {
    Packet packet(inner_v4());
    ASSERT_EQ(tunnel.cross(packet), EspFault::kNone);
  }
  Packet fourth(inner_v4()), fifth(inner_v4()), sixth(inner_v4());
  EXPECT_EQ(tunnel.cross(fourth), EspFault::kExpired);
  EXPECT_EQ(tunnel.seal(fifth), EspFault::kNone);
  EXPECT_EQ(tunnel.seal(sixth), EspFault::kExpired);

  const auto ours = tunnel.ours->events(), users = tunnel.user->events();
  ASSERT_EQ(ours.size(), 2U);
  EXPECT_EQ(ours[0].kind, SaEventKind::kSoftLimit);
  EXPECT_EQ(ours[1].kind, SaEventKind::kHardLimit);
  EXPECT_EQ(ours[1].handle, tunnel.spi);
  EXPECT_EQ(ours[1].tunnel, kTunnel);
  ASSERT_EQ(users.size(), 2U);
  EXPECT_EQ(users[1].direction, SaDirection::kOutbound);
}

TEST(EspPath, EndsByTimeWithTrafficAndWithout) {
  pool();
  Tunnel tunnel;
  tunnel.in.lifetime = {.soft = {.seconds = 50}, .hard = {.seconds = 60}};
  tunnel.install();
  Packet packet(inner_v4()), late(inner_v4());
  ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
  ASSERT_EQ(tunnel.seal(late), EspFault::kNone);
  packet.decode(), late.decode();
  EXPECT_EQ(tunnel.open(packet, 159), EspFault::kNone);
  ASSERT_EQ(tunnel.ours->events().size(), 1U);
  tunnel.ours->expire(160);
  ASSERT_EQ(tunnel.ours->events().size(), 2U);
  EXPECT_EQ(tunnel.ours->events()[1].kind, SaEventKind::kHardLimit);
  EXPECT_EQ(tunnel.open(late, 160), EspFault::kExpired);
}

TEST(EspPath, HearsOnceThatThePeerMovedAndOnlyFromTheNewestPacket) {
  pool();
  Tunnel tunnel(kGcm, false, true);
  tunnel.install();
  std::vector<Frame> sealed;
  for (int i = 0; i < 5; ++i) {
    Packet packet(inner_v4());
    ASSERT_EQ(tunnel.seal(packet), EspFault::kNone);
    sealed.push_back(packet.bytes());
  }
  const auto arrive = [&](std::size_t which, std::uint16_t port) {
    Frame frame = sealed[which];
    store_be<std::uint16_t>(frame, 34, port);
    Packet packet(frame);
    return tunnel.open(packet);
  };
  ASSERT_EQ(arrive(2, 61234), EspFault::kNone);
  ASSERT_EQ(arrive(0, 999), EspFault::kNone);
  EXPECT_TRUE(tunnel.ours->events().empty()) << "an older packet may have come by the old way";
  ASSERT_EQ(arrive(3, 999), EspFault::kNone);
  ASSERT_EQ(tunnel.ours->events().size(), 1U);
  ASSERT_EQ(arrive(4, 1000), EspFault::kNone);
  ASSERT_EQ(tunnel.ours->events().size(), 1U) << "told until somebody acts on it";
  const SaEvent event = tunnel.ours->events()[0];
  EXPECT_EQ(event.kind, SaEventKind::kPeerMoved);
  EXPECT_EQ(event.peer, (EspEnd{tests::address("198.51.100.9"), 999}));
  EXPECT_TRUE(event.in_udp);
  ASSERT_TRUE(tunnel.ours->update(tunnel.spi, tunnel.in.local, event.peer, true, 1500));
  EXPECT_TRUE(tunnel.ours->events().empty());
}

TEST(EspPath, SendsToWhereThePeerMovedWithoutStartingAgain) {
  pool();
  Tunnel tunnel(kGcm, false, true);
  tunnel.install();
  Packet before(inner_v4()), after(inner_v4());
  ASSERT_EQ(tunnel.seal(before), EspFault::kNone);
  ASSERT_TRUE(tunnel.user->update(tunnel.handle, {tests::address("2001:db8:ffff::9"), 0},
                                  {tests::address("2001:db8::1"), 0}, false, 1400));
  ASSERT_EQ(tunnel.seal(after), EspFault::kNone);

  ASSERT_EQ(after.decode(), filters::DropReason::kNone);
  EXPECT_EQ(after.meta().protocol, filters::kProtocolEsp);
  EXPECT_NE(after.meta().proof & filters::kProofIpv6, 0);
  EXPECT_EQ(load_be<std::uint32_t>(after.bytes(), after.meta().l4_offset + 4U), 2U);
}

TEST(EspPath, RekeysWithoutALostPacket) {
  pool();
  Tunnel old_sa;
  old_sa.install();
  Packet on_the_way(inner_v4());
  ASSERT_EQ(old_sa.seal(on_the_way), EspFault::kNone);
  const auto spi = std::move(old_sa.ours->allocate_spi()).value();
  SaConfig in = old_sa.in, out = old_sa.out;
  in.spi = out.spi = spi;
  ASSERT_TRUE(old_sa.ours->install(in, 100));
  const auto handle = std::move(old_sa.user->install(out, 100)).value();
  Packet with_new(inner_v4());
  EspOutcome outcome;
  seal_burst(*old_sa.user, {&with_new.mbuf, 1}, {&handle, 1}, 100, {&outcome, 1});
  ASSERT_EQ(outcome.fault, EspFault::kNone);

  with_new.decode(), on_the_way.decode();
  EXPECT_EQ(old_sa.open(with_new), EspFault::kNone);
  EXPECT_EQ(old_sa.open(on_the_way), EspFault::kNone);
}

TEST(EspPath, CarriesAFullBurstOfManySas) {
  pool();
  Tunnel gcm(kGcm), cbc(kCbc);
  gcm.install();
  cbc.ours = std::move(gcm.ours), cbc.user = std::move(gcm.user);
  cbc.install();
  std::vector<std::unique_ptr<Packet>> packets;
  std::vector<rte_mbuf*> burst;
  std::vector<std::uint32_t> handles;
  for (std::size_t i = 0; i < kBurstMax; ++i) {
    packets.push_back(std::make_unique<Packet>(i % 3 == 0 ? inner_v6(i) : inner_v4(i)));
    burst.push_back(packets.back()->mbuf);
    handles.push_back(i % 2 == 0 ? gcm.handle : cbc.handle);
  }
  std::vector<EspOutcome> outcomes(kBurstMax);
  seal_burst(*cbc.user, burst, handles, 100, outcomes);
  for (auto& packet : packets) ASSERT_EQ(packet->decode(), filters::DropReason::kNone);
  frame_of(burst[10]).back() ^= 1;

  open_burst(*cbc.ours, burst, 100, outcomes);

  for (std::size_t i = 0; i < kBurstMax; ++i)
    EXPECT_EQ(outcomes[i].fault, i == 10 ? EspFault::kAuth : EspFault::kNone) << i;
  const Frame expected = inner_v4(11);
  EXPECT_EQ(packets[11]->ip(), Frame(expected.begin() + 14, expected.end()));
}

TEST(SaTable, GivesSpisThatNameItsWorkerAndAreNeverReserved) {
  const auto table = std::move(SaTable::create(3, 4, 0)).value();
  for (int i = 0; i < 4; ++i) {
    const auto spi = std::move(table->allocate_spi()).value();
    EXPECT_EQ(Spi::worker(spi), 3U);
    EXPECT_GT(spi, 255U);
  }
  EXPECT_EQ(table->allocate_spi().error().code, ErrorCode::kLimit);
  EXPECT_FALSE(SaTable::create(limits::kShardsMax, 4, 0));
  EXPECT_FALSE(SaTable::create(0, 0, 0));
}

TEST(SaTable, GivesAnErasedSlotAnotherSpi) {
  const auto table = std::move(SaTable::create(0, 1, 1022)).value();
  std::uint32_t before = 0;
  for (int i = 0; i < 3; ++i) {
    const auto spi = std::move(table->allocate_spi()).value();
    EXPECT_NE(spi, before);
    EXPECT_GT(spi, 255U);
    ASSERT_TRUE(table->erase(spi));
    EXPECT_EQ(table->erase(spi).error().code, ErrorCode::kNotFound);
    before = spi;
  }
}

TEST(SaTable, RefusesWhatIsNotWholeAndKeepsItsSlot) {
  Tunnel tunnel;
  tunnel.in.spi = std::move(tunnel.ours->allocate_spi()).value();
  const auto code = [&](SaConfig config) { return tunnel.ours->install(config, 0).error().code; };
  SaConfig config = tunnel.in;
  config.spi ^= 1U << 30;
  EXPECT_EQ(code(config), ErrorCode::kNotFound);
  config = tunnel.in, config.inner_remote = {};
  EXPECT_EQ(code(config), ErrorCode::kDenied);  // no Lease, no way in
  config = tunnel.in, config.replay_window = 32;
  EXPECT_EQ(code(config), ErrorCode::kLimit);
  config = tunnel.in, config.peer.address = tests::address("::1");
  EXPECT_EQ(code(config), ErrorCode::kMalformed);
  config = tunnel.in, config.suite.integrity = EspIntegrity::kHmacSha1_96;
  EXPECT_EQ(code(config), ErrorCode::kUnsupported);
  config = tunnel.out, config.spi = 255;
  EXPECT_EQ(code(config), ErrorCode::kMalformed);
  EXPECT_EQ(tunnel.ours->find(tunnel.in.spi), nullptr);
  EXPECT_TRUE(tunnel.ours->install(tunnel.in, 0));
  EXPECT_EQ(code(tunnel.in), ErrorCode::kNotFound) << "an SPI is installed once";
}

TEST(SaTable, HasRoomForEveryEventOfEverySa) {
  const auto table = std::move(SaTable::create(0, kSlots, 0)).value();
  Tunnel like(kGcm, false, true);
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    like.in.spi = std::move(table->allocate_spi()).value();
    like.in.lifetime = {.soft = {.seconds = 1}, .hard = {.seconds = 2}};
    ASSERT_TRUE(table->install(like.in, 0));
    table->heard_from(*table->find(like.in.spi), {tests::address("192.0.2.1"), 1}, true);
  }
  table->expire(1), table->expire(1), table->expire(2), table->expire(3);
  EXPECT_EQ(table->events().size(), 3 * kSlots);
}

}  // namespace
}  // namespace sekisho::dataplane
