// SPDX-License-Identifier: Apache-2.0
// Goal: beyond the half-open limit a client that exists gets its connection, one that does not costs nothing, and the two halves
// of a joined connection agree about every number. Method: both ends are played here; decode() checks every checksum.
#include <array>
#include <string>
#include <vector>

#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using filters::kTcpAck;
using filters::kTcpFin;
using filters::kTcpRst;
using filters::kTcpSyn;
namespace snapshot = filters::snapshot;

const RuleText kWeb{.id = 11, .protocol = 6, .port_low = 80, .port_high = 80};
/// MSS 1460, SACK permitted, timestamps, window scale 7: what Linux says.
const std::vector<std::uint8_t> kLinuxOptions{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};

std::uint32_t sequence_of(const Frame& frame, const filters::PacketMeta& meta) { return load_be<std::uint32_t>(frame, meta.l4_offset + 4U); }
std::uint32_t acknowledgement_of(const Frame& frame, const filters::PacketMeta& meta) { return load_be<std::uint32_t>(frame, meta.l4_offset + 8U); }
std::uint16_t window_of(const Frame& frame, const filters::PacketMeta& meta) { return load_be<std::uint16_t>(frame, meta.l4_offset + 14U); }
std::vector<std::uint8_t> options_of(const Frame& frame, const filters::PacketMeta& meta) {
  return {frame.begin() + meta.l4_offset + 20, frame.begin() + meta.payload_offset};
}

struct Ends {
  const char* client;
  const char* server;
};
constexpr Ends kEnds4{"10.0.0.34", "10.0.0.2"};
constexpr Ends kEnds6{"fd00:0:0:2::2", "fd00:0:0:1::2"};

/// A segment as somebody received it.
struct Heard {
  std::uint8_t flags = 0;
  std::uint32_t sequence = 0, acknowledgement = 0;
  std::uint16_t window = 0;
  std::vector<std::uint8_t> options;
};

class PathSynProxy : public PathTest {
 protected:
  static constexpr std::uint32_t kLimit = 4;  // of each tenant

  PathSynProxy() : PathTest({.sessions = 1024}) {}

  void apply(std::uint32_t half_open_max, snapshot::SynProtection protection = snapshot::SynProtection::kCookies) {
    world_.apply(++generation_, {kWeb}, {.edit = [=](filters::SnapshotBuilder& builder) {
                   for (std::uint32_t tenant = 0; tenant < builder.tenants.size(); ++tenant) {
                     builder.state_limits.push_back({tenant, half_open_max, 0, protection, {}});
                   }
                 }});
  }
  static Heard heard(const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    return {meta.tcp_flags, sequence_of(frame, meta), acknowledgement_of(frame, meta), window_of(frame, meta), options_of(frame, meta)};
  }
  static std::vector<Heard> all(const std::vector<Frame>& frames) {
    std::vector<Heard> out;
    for (const Frame& frame : frames) out.push_back(heard(frame));
    return out;
  }
  /// Fills a shard's half-open places: as many SYNs as there are, over ports that meet every shard.
  void fill(std::uint32_t tenant = kTenantA) {
    for (std::uint16_t port = 1000; port < 1000 + 32 * GetParam(); ++port) {
      world_.inject(kClientNic, client("10.0.0.34", "10.0.0.2", tenant).tcp(port, 80, {.flags = kTcpSyn}).build());
    }
    collect_all();
  }
  void client_says(const Ends& ends, std::uint16_t port, const TcpKnobs& tcp, std::size_t bytes = 0, std::uint32_t tenant = kTenantA) {
    world_.inject(kClientNic, client(ends.client, ends.server, tenant).tcp(port, 80, tcp).payload(bytes).build());
  }
  void server_says(const Ends& ends, std::uint16_t port, const TcpKnobs& tcp, std::size_t bytes = 0, std::uint32_t tenant = kTenantA) {
    world_.inject(kServerNic, server(ends.server, ends.client, tenant).tcp(80, port, tcp).payload(bytes).build());
  }
  /// The SYN of a client beyond the limit, and the cookie it is given.
  std::uint32_t cookie_for(const Ends& ends, std::uint16_t port, std::uint32_t initial, std::uint32_t tenant = kTenantA) {
    client_says(ends, port, {.flags = kTcpSyn, .sequence = initial, .options = kLinuxOptions}, 0, tenant);
    const auto answers = all(world_.collect(kClientNic));
    EXPECT_EQ(answers.size(), 1U);
    EXPECT_TRUE(world_.collect(kServerNic).empty());
    if (answers.size() != 1) return 0;
    EXPECT_EQ(answers[0].flags, kTcpSyn | kTcpAck);
    EXPECT_EQ(answers[0].acknowledgement, initial + 1);
    EXPECT_EQ(answers[0].window, 0);
    return answers[0].sequence;
  }

  std::uint32_t generation_ = 0;
};
SEKISHO_PATH_WORKERS(PathSynProxy);

TEST_P(PathSynProxy, SynBelowTheLimitReachesTheServerAndOneBeyondItDoesNot) {
  apply(kLimit);
  client_says(kEnds4, 999, {.flags = kTcpSyn, .sequence = 5});
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  fill();
  const std::uint64_t sessions = world_.sessions();
  EXPECT_LE(sessions, kLimit + 1);
  cookie_for(kEnds4, 40000, 100);
  EXPECT_EQ(world_.sessions(), sessions);
}

TEST_P(PathSynProxy, HalfOpenPlacesAreTheTenantsWholeWhicheverShardsItsFlowsMeet) {
  apply(64);
  unsigned passed = 0;
  for (std::uint16_t port = 1000; port < 1400; ++port) {
    const std::uint64_t before = world_.engine().shard(0).sessions.size();
    client_says(kEnds4, port, {.flags = kTcpSyn});
    passed += world_.collect(kServerNic).size() == 1 ? 1U : 0U;
    if (world_.engine().shard(0).sessions.size() != before) continue;
    client_says(kEnds4, port, {.flags = kTcpRst, .sequence = 1001});  // one that met the other shard gives its place back
    passed -= world_.collect(kServerNic).size() == 1 ? 1U : 0U;
  }
  EXPECT_EQ(passed, 64U);
  EXPECT_EQ(world_.engine().shard(0).sessions.size(), 64U) << "all of them in the first shard";
  client_says(kEnds4, 999, {.flags = kTcpSyn}, 0, kTenantB);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
}

TEST_P(PathSynProxy, ClientThatReturnsItsCookieIsJoinedWithTheServerInBothFamiliesAndTenants) {
  apply(kLimit);
  for (const std::uint32_t tenant : {kTenantA, kTenantB}) fill(tenant);
  for (const std::uint32_t tenant : {kTenantA, kTenantB}) {
    for (const Ends& ends : {kEnds4, kEnds6}) {
      const std::uint32_t cookie = cookie_for(ends, 40000, 100, tenant);
      client_says(ends, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1, .window = 512}, 0, tenant);
      const auto syn = all(world_.collect(kServerNic));
      ASSERT_EQ(syn.size(), 1U);
      EXPECT_EQ(syn[0].flags, kTcpSyn);
      EXPECT_EQ(syn[0].sequence, 100U);
      EXPECT_EQ(syn[0].options, (std::vector<std::uint8_t>{2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7}));
      EXPECT_TRUE(world_.collect(kClientNic).empty());

      server_says(ends, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 101, .window = 65535,
                                .options = {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 9}}, 0, tenant);
      const auto to_server = all(world_.collect(kServerNic));
      const auto to_client = all(world_.collect(kClientNic));
      ASSERT_EQ(to_server.size(), 1U);
      EXPECT_EQ(to_server[0].flags, kTcpAck);
      EXPECT_EQ(to_server[0].sequence, 101U);
      EXPECT_EQ(to_server[0].acknowledgement, 7001U);
      EXPECT_EQ(to_server[0].window, 512);
      ASSERT_EQ(to_client.size(), 1U);
      EXPECT_EQ(to_client[0].sequence, cookie + 1);
      EXPECT_EQ(to_client[0].acknowledgement, 101U);
      EXPECT_EQ(to_client[0].window, 65535 >> 7);  // the client counts it in units of 128 bytes

      // Data, acknowledgement and a SACK block, both ways; the server's scale is 9, what the client was told is 7.
      client_says(ends, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1, .window = 512}, 300, tenant);
      EXPECT_EQ(all(world_.collect(kServerNic)).at(0).acknowledgement, 7001U);
      server_says(ends, 40000, {.flags = kTcpAck, .sequence = 7001, .acknowledgement = 401, .window = 100}, 1000, tenant);
      const Heard data = all(world_.collect(kClientNic)).at(0);
      EXPECT_EQ(data.sequence, cookie + 1);
      EXPECT_EQ(data.window, 100 << 2);
      server_says(ends, 40000, {.flags = kTcpAck, .sequence = 9001, .acknowledgement = 401, .window = 100}, 1000, tenant);
      EXPECT_EQ(all(world_.collect(kClientNic)).at(0).sequence, cookie + 2001);
      std::vector<std::uint8_t> sack{1, 5, 10};  // at an odd offset
      append32(sack, cookie + 2001);
      append32(sack, cookie + 3001);
      sack.push_back(0);
      client_says(ends, 40000, {.flags = kTcpAck, .sequence = 401, .acknowledgement = cookie + 1001, .window = 512,
                                .options = sack}, 0, tenant);
      const Heard selective = all(world_.collect(kServerNic)).at(0);
      EXPECT_EQ(selective.acknowledgement, 8001U);
      EXPECT_EQ(load_be<std::uint32_t>(selective.options, 3), 9001U);
      EXPECT_EQ(load_be<std::uint32_t>(selective.options, 7), 10001U);
      // A number the server never said is outside the window on the client's side too.
      client_says(ends, 40000, {.flags = kTcpAck, .sequence = 401, .acknowledgement = cookie + 900'000}, 0, tenant);
      EXPECT_TRUE(world_.collect(kServerNic).empty());
    }
  }
  EXPECT_EQ(drops(DropReason::kTcpWindow), 4U);
}

TEST_P(PathSynProxy, WhatIsNoCookieOfThisFlowOpensNothing) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  const std::uint64_t sessions = world_.sessions();
  std::uint64_t refused = 0;
  const auto refuses = [&](std::uint16_t port, const TcpKnobs& tcp, std::uint32_t tenant = kTenantA) {
    client_says(kEnds4, port, tcp, 0, tenant);
    EXPECT_TRUE(world_.collect(kServerNic).empty());
    EXPECT_EQ(drops(DropReason::kNotFirst), ++refused);
    EXPECT_EQ(world_.sessions(), sessions);
  };
  refuses(40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 2});
  refuses(40000, {.flags = kTcpAck, .sequence = 102, .acknowledgement = cookie + 1 + 0x100});
  refuses(40001, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  refuses(40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1}, kTenantB);
  world_.pass(std::chrono::seconds(33));  // its slot and the next are over
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  EXPECT_EQ(drops(DropReason::kNotFirst), ++refused);
}

TEST_P(PathSynProxy, CookieIsGoodForASlotOfTimeAndTheNextProbeOfTheClosedWindowBringsItToo) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  world_.pass(std::chrono::seconds(15));
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 100, .acknowledgement = cookie + 1});
  EXPECT_EQ(all(world_.collect(kServerNic)).at(0).sequence, 100U);
}

TEST_P(PathSynProxy, ServerThatRefusesResetsTheClient) {
  apply(kLimit);
  fill();
  for (const Ends& ends : {kEnds4, kEnds6}) {
    const std::uint32_t cookie = cookie_for(ends, 40000, 100);
    client_says(ends, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
    ASSERT_EQ(world_.collect(kServerNic).size(), 1U);
    server_says(ends, 40000, {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 102});  // of another SYN
    EXPECT_TRUE(world_.collect(kClientNic).empty());
    server_says(ends, 40000, {.flags = kTcpRst | kTcpAck, .sequence = 0, .acknowledgement = 101});
    const auto reset = all(world_.collect(kClientNic));
    ASSERT_EQ(reset.size(), 1U);
    EXPECT_EQ(reset[0].flags, kTcpRst | kTcpAck);
    EXPECT_EQ(reset[0].sequence, cookie + 1);
    EXPECT_EQ(reset[0].acknowledgement, 101U);
  }
}

TEST_P(PathSynProxy, SilentServerIsAskedThreeTimesThenTheClientIsReset) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  for (int i = 0; i < 6; ++i) world_.pass(std::chrono::seconds(1));
  const auto syns = all(world_.collect(kServerNic));
  EXPECT_EQ(syns.size(), 3U);
  for (const Heard& syn : syns) EXPECT_EQ(syn.sequence, 100U);
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  for (int i = 0; i < 4; ++i) world_.pass(std::chrono::seconds(1));
  const auto reset = all(world_.collect(kClientNic));
  ASSERT_EQ(reset.size(), 1U);
  EXPECT_EQ(reset[0].flags, kTcpRst | kTcpAck);
  EXPECT_EQ(reset[0].sequence, cookie + 1);
  EXPECT_TRUE(world_.collect(kServerNic).empty());
}

TEST_P(PathSynProxy, ACommitBetweenCookieAndAnswerLosesNothing) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  apply(kLimit);
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  apply(kLimit);
  world_.pass(std::chrono::milliseconds(1500));
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);  // asked again, under the new generation
  server_says(kEnds4, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 101});
  EXPECT_EQ(all(world_.collect(kServerNic)).at(0).acknowledgement, 7001U);
  EXPECT_EQ(all(world_.collect(kClientNic)).at(0).sequence, cookie + 1);
}

TEST_P(PathSynProxy, OldConnectionOfTheServerIsResetInTheClientsName) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  world_.collect(kServerNic);
  server_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 5555, .acknowledgement = 77});  // RFC 5961: a challenge
  const auto reset = all(world_.collect(kServerNic));
  ASSERT_EQ(reset.size(), 1U);
  EXPECT_EQ(reset[0].flags, kTcpRst);
  EXPECT_EQ(reset[0].sequence, 77U);
  world_.pass(std::chrono::milliseconds(1500));
  EXPECT_EQ(all(world_.collect(kServerNic)).at(0).flags, kTcpSyn);
}

TEST_P(PathSynProxy, IcmpErrorAboutTheServersSegmentQuotesTheServersNumbers) {
  apply(kLimit);
  fill();
  const std::uint32_t cookie = cookie_for(kEnds4, 40000, 100);
  client_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 101, .acknowledgement = cookie + 1});
  server_says(kEnds4, 40000, {.flags = kTcpSyn | kTcpAck, .sequence = 7000, .acknowledgement = 101});
  collect_all();
  server_says(kEnds4, 40000, {.flags = kTcpAck, .sequence = 7001, .acknowledgement = 101}, 1000);
  const Frame data = world_.collect(kClientNic).at(0);
  const auto error = [&](const Frame& quoted) {
    return client("10.0.0.34", "10.0.0.2").icmp(3, 4, 1400).payload(std::span(quoted).subspan(14, 28)).build();
  };
  world_.inject(kClientNic, error(data));
  const Frame heard = world_.collect(kServerNic).at(0);
  EXPECT_EQ(load_be<std::uint32_t>(heard, read(heard).l4_offset + 8U + 24U), 7001U);
  Frame forged = data;
  store_be<std::uint32_t>(forged, 14 + 20 + 4, 7001 + 500'000'000U);
  world_.inject(kClientNic, error(forged));
  EXPECT_TRUE(world_.collect(kServerNic).empty());
  EXPECT_EQ(drops(DropReason::kIcmpUnrelated), 1U);
}

TEST_P(PathSynProxy, TenantThatWantsNoCookiesDropsByNameAndOthersGoOn) {
  apply(kLimit, snapshot::SynProtection::kDrop);
  world_.records();
  fill();
  const std::uint64_t dropped = drops(DropReason::kHalfOpenLimit);
  EXPECT_EQ(dropped + world_.sessions(), 32U * GetParam());
  client_says(kEnds4, 999, {.flags = kTcpSyn, .sequence = 5}, 0, kTenantB);
  EXPECT_EQ(world_.collect(kServerNic).size(), 1U);
  std::size_t events = 0;
  for (const auto& record : world_.records()) {
    events += record.envelope.drop_reason == static_cast<std::uint8_t>(DropReason::kHalfOpenLimit) ? 1 : 0;
  }
  EXPECT_EQ(events, GetParam());  // one a shard: the rest is counted when the flood is over
}

TEST_P(PathSynProxy, EstablishedConnectionsAndResetsGiveTheirPlacesBack) {
  apply(kLimit, snapshot::SynProtection::kDrop);
  for (std::uint16_t port = 2000; port < 2100; ++port) {
    client_says(kEnds4, port, {.flags = kTcpSyn, .sequence = 100});
    server_says(kEnds4, port, {.flags = kTcpSyn | kTcpAck, .sequence = 500, .acknowledgement = 101});
    if (port % 2 == 0) client_says(kEnds4, port, {.flags = kTcpAck, .sequence = 101, .acknowledgement = 501});
    if (port % 2 == 1) client_says(kEnds4, port, {.flags = kTcpRst, .sequence = 101});
  }
  EXPECT_EQ(drops(DropReason::kHalfOpenLimit), 0U);
  EXPECT_EQ(world_.sessions(), 100U);
}

TEST_P(PathSynProxy, FloodOfTenTimesTheLimitLosesNoLegitimateHandshakeAndFillsNoTable) {
  constexpr std::uint32_t kMost = 64;
  apply(kMost);
  std::uint64_t state = 42;
  const auto random = [&] { return state = state * 6364136223846793005ULL + 1442695040888963407ULL; };
  unsigned completed = 0;
  constexpr unsigned kLegitimate = 200;
  for (unsigned i = 0; i < kLegitimate; ++i) {
    for (unsigned k = 0; k < 10 * kMost / 100; ++k) {
      const auto from = to_string(Address::from_v4(0x0b000000U | static_cast<std::uint32_t>(random() >> 40)));
      world_.inject(kUplinkNic, outside(from, "203.0.113.17").tcp(static_cast<std::uint16_t>(random() >> 48 | 1U), 80, {.flags = kTcpSyn}).build());
    }
    world_.collect(kServerNic);
    world_.collect(kUplinkNic);
    const auto port = static_cast<std::uint16_t>(20000 + i);
    const auto initial = static_cast<std::uint32_t>(random() >> 32);
    client_says(kEnds4, port, {.flags = kTcpSyn, .sequence = initial, .options = kLinuxOptions});
    std::uint32_t told = 0;
    const auto cookie = all(world_.collect(kClientNic));
    if (cookie.empty()) {
      if (all(world_.collect(kServerNic)).size() != 1) continue;
    } else {
      told = cookie[0].sequence;
      client_says(kEnds4, port, {.flags = kTcpAck, .sequence = initial + 1, .acknowledgement = told + 1});
      if (all(world_.collect(kServerNic)).size() != 1) continue;
    }
    server_says(kEnds4, port, {.flags = kTcpSyn | kTcpAck, .sequence = 9000, .acknowledgement = initial + 1});
    if (cookie.empty()) told = 9000;
    world_.collect(kClientNic);
    world_.collect(kServerNic);
    client_says(kEnds4, port, {.flags = kTcpAck, .sequence = initial + 1, .acknowledgement = told + 1}, 10);
    const auto request = all(world_.collect(kServerNic));
    completed += request.size() == 1 && request[0].acknowledgement == 9001 ? 1U : 0U;
  }
  EXPECT_GE(completed * 100, kLegitimate * 99);
  EXPECT_LE(world_.sessions(), kLegitimate + kMost + GetParam());
}

}  // namespace
}  // namespace sekisho::tests
