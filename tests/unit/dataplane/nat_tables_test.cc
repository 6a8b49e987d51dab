// SPDX-License-Identifier: Apache-2.0
// Goal: shards agree on outside ports and owners without waiting. Method: random life-cycles against a map, then threads.
#include "dataplane/session/nat_tables.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/support/eal.h"

namespace sekisho::dataplane {
namespace {

constexpr ClaimSpace kSpace{7, 0xcb007114, 17, {0x1234567, 0x89abcde}, 0x0a000002};
constexpr filters::PortBlock kBlock{0xcb007114, 2032, 64};

PortClaims make_claims(std::uint32_t sessions = 4096) {
  tests::ensure_eal();
  return std::move(PortClaims::create(sessions)).value();
}

TEST(PortClaims, EndpointKeepsItsPortWhileItHasASessionWhateverOthersDo_Rfc4787Req1) {
  PortClaims claims = make_claims();
  std::mt19937 random(4787);
  struct Held {
    PortClaims::Claim claim;
    unsigned sessions;
  };
  std::map<std::uint16_t, Held> held;  // by inside port
  unsigned displaced = 0;
  unsigned refused = 0;
  for (unsigned step = 0; step < 300'000; ++step) {
    const auto inside = static_cast<std::uint16_t>(1000 + 16 * (random() % 100));  // many want the same ports
    const auto at = held.find(inside);
    if (random() % 100 < 52) {
      const auto claim = claims.take(kSpace, kBlock, inside);
      if (at != held.end()) {
        ASSERT_TRUE(claim.has_value());
        ASSERT_EQ(claim->port, at->second.claim.port);
        ++at->second.sessions;
      } else if (!claim) {
        ASSERT_GE(held.size(), 32U) << "refused when each port is somebody's, or was and is marked by one who passed it";
        ++refused;
      } else {
        for (const auto& [other, mine] : held) ASSERT_NE(mine.claim.port, claim->port);
        displaced += claim->probe > 0 ? 1U : 0U;
        held[inside] = {*claim, 1};
      }
    } else if (at != held.end()) {
      claims.release(kSpace, kBlock, inside, at->second.claim.probe);
      if (--at->second.sessions == 0) held.erase(at);
    }
  }
  EXPECT_GT(displaced, 300U);
  EXPECT_GT(refused, 100U);
  for (auto& [inside, mine] : held) {
    for (; mine.sessions > 0; --mine.sessions) claims.release(kSpace, kBlock, inside, mine.claim.probe);
  }
  for (std::uint16_t inside = 0; inside < 64; ++inside) {  // nothing is left behind
    EXPECT_EQ(claims.take(kSpace, kBlock, static_cast<std::uint16_t>(2032 + inside))->probe, 0);
  }
}

TEST(PortClaims, TenantsProtocolsAndAddressesHavePortsOfTheirOwn) {
  PortClaims claims = make_claims();
  ClaimSpace tenant = kSpace, protocol = kSpace, outside = kSpace;
  tenant.tenant = 8;
  protocol.protocol = 6;
  outside.outside += 1;
  for (const ClaimSpace& space : {kSpace, tenant, protocol, outside}) EXPECT_EQ(claims.take(space, kBlock, 2040)->port, 2040);
  EXPECT_NE(claims.take(kSpace, kBlock, 2040 + 64)->port, 2040);
}

TEST(PortClaims, TwoInsideAddressesInOneBlockDoNotShareAPort) {
  PortClaims claims = make_claims();
  ClaimSpace other = kSpace;
  other.inside = 0x0a000022;
  const std::uint16_t mine = claims.take(kSpace, kBlock, 2040)->port;
  const auto theirs = claims.take(other, kBlock, 2040);
  ASSERT_TRUE(theirs.has_value());
  EXPECT_NE(theirs->port, mine);
  EXPECT_EQ(claims.take(kSpace, kBlock, 2040)->port, mine);
  EXPECT_EQ(claims.take(other, kBlock, 2040)->port, theirs->port);
}

TEST(PortClaims, ThreadsThatShareEndpointsAlwaysGetTheSamePort) {
  PortClaims claims = make_claims();
  std::array<std::atomic<std::uint32_t>, 48> port_of{};  // by endpoint, while somebody holds it: port | holders << 16
  std::atomic<unsigned> wrong{0};
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (unsigned step = 0; step < 40'000; ++step) {
      const auto endpoint = static_cast<unsigned>(random() % 48);
      const auto inside = static_cast<std::uint16_t>(3000 + 32 * endpoint);
      const auto claim = claims.take(kSpace, kBlock, inside);
      if (!claim) continue;  // lost too many races: a refusal, never a wrong port
      std::uint32_t seen = port_of[endpoint].load();
      for (;;) {
        if (seen >> 16 != 0 && (seen & 0xffffU) != claim->port) {
          ++wrong;
          break;
        }
        if (port_of[endpoint].compare_exchange_weak(seen, (((seen >> 16) + 1) << 16) | claim->port)) break;
      }
      port_of[endpoint].fetch_sub(1U << 16);
      claims.release(kSpace, kBlock, inside, claim->probe);
    }
  };
  std::thread one(work, 1), two(work, 2);
  one.join();
  two.join();
  EXPECT_EQ(wrong.load(), 0U);
}

TEST(FlowOwners, RemembersOneOwnerAFlowAndForgetsIt) {
  tests::ensure_eal();
  FlowOwners owners = std::move(FlowOwners::create(4096)).value();
  std::mt19937_64 random(3);
  std::map<std::uint64_t, std::uint32_t> oracle;
  for (unsigned i = 0; i < 100'000; ++i) {
    const std::uint64_t hash = mix(random() % 2000, 0x9e3779b97f4a7c15ULL);
    const auto known = oracle.find(hash);
    ASSERT_EQ(owners.find(hash), known == oracle.end() ? FlowOwners::kNone : known->second);
    if (known == oracle.end()) {
      const auto shard = static_cast<std::uint32_t>(random() % 16);
      ASSERT_TRUE(owners.add(hash, shard));
      oracle[hash] = shard;
    } else {
      ASSERT_FALSE(owners.add(hash, 1));
      owners.remove(hash, known->second ^ 1U);  // not its owner
      ASSERT_EQ(owners.find(hash), known->second);
      owners.remove(hash, known->second);
      oracle.erase(known);
    }
  }
}

}  // namespace
}  // namespace sekisho::dataplane
