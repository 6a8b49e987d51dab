// SPDX-License-Identifier: Apache-2.0
// Goal: a cookie says what it was made of and nothing else passes for one. Method: published vectors; each input changed alone.
#include "filters/state/syn_cookie.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "filters/state/tcp_tracker.h"

namespace sekisho::filters {
namespace {

constexpr SynCookieKey kKey{0x0123456789abcdef, 0xfedcba9876543210};
const SynCookieFlow kFlow{.source = Address::from_v4(0x0a000001),
                          .destination = Address::from_v4(0x0a000002),
                          .source_port = 40000,
                          .destination_port = 443,
                          .tenant = 7,
                          .initial_sequence = 12345};
constexpr SynOffer kLinux{.mss = 1460, .window_scale = 7, .sack = true};

TEST(SynCookie, SipHashGivesThePublishedValue) {
  // Key 00..0f, input 00..07: the reference implementation's vector for eight bytes.
  const std::array<std::uint64_t, 1> words{0x0706050403020100};
  EXPECT_EQ(siphash(0x0706050403020100, 0x0f0e0d0c0b0a0908, words), 0x93f5f5799a932462U);
}

TEST(SynCookie, CarriesWhatTheTablesKnowRoundedDown) {
  struct Case {
    SynOffer said, kept;
  };
  for (const Case& c : {Case{kLinux, kLinux},
                        Case{{8960, 14, false}, {1460, 10, false}},
                        Case{{1459, 9, true}, {1452, 8, true}},
                        Case{{536, 0, false}, {536, 0, false}},
                        Case{{100, 1, false}, {216, 0, false}},
                        Case{{1220, kNoWindowScale, true}, {1220, kNoWindowScale, true}}}) {
    const auto kept = check_syn_cookie(kKey, kFlow, make_syn_cookie(kKey, kFlow, c.said, 9), 9);
    ASSERT_TRUE(kept.has_value());
    EXPECT_EQ(*kept, c.kept);
  }
}

TEST(SynCookie, IsGoodInItsSlotAndTheNextOnly) {
  for (const std::uint32_t slot : {8U, 9U}) {
    const std::uint32_t cookie = make_syn_cookie(kKey, kFlow, kLinux, slot);
    EXPECT_FALSE(check_syn_cookie(kKey, kFlow, cookie, slot - 1).has_value());
    EXPECT_TRUE(check_syn_cookie(kKey, kFlow, cookie, slot).has_value());
    EXPECT_TRUE(check_syn_cookie(kKey, kFlow, cookie, slot + 1).has_value());
    EXPECT_FALSE(check_syn_cookie(kKey, kFlow, cookie, slot + 2).has_value());
  }
}

TEST(SynCookie, AnythingElseAboutTheFlowMakesAnother) {
  const std::uint32_t cookie = make_syn_cookie(kKey, kFlow, kLinux, 9);
  std::vector<SynCookieFlow> others(6, kFlow);
  others[0].source = Address::from_v4(0x0a000003);
  others[1].destination = Address::from_v4(0x0a000003);
  others[2].source_port = 40001;
  others[3].destination_port = 444;
  others[4].tenant = 8;
  others[5].initial_sequence = 12346;
  for (const SynCookieFlow& other : others) EXPECT_FALSE(check_syn_cookie(kKey, other, cookie, 9).has_value());
  EXPECT_FALSE(check_syn_cookie({kKey.a, kKey.b + 1}, kFlow, cookie, 9).has_value());
  for (unsigned bit = 0; bit < 32; ++bit) EXPECT_FALSE(check_syn_cookie(kKey, kFlow, cookie ^ 1U << bit, 9).has_value()) << bit;
  EXPECT_TRUE(check_syn_cookie(kKey, kFlow, cookie, 9).has_value());
}

TEST(SynCookie, ReadsTheOptionsOfASynWherePossible) {
  const std::vector<std::uint8_t> linux_syn{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
  EXPECT_EQ(parse_syn_offer(linux_syn, false), kLinux);
  EXPECT_EQ(parse_syn_offer({}, false), (SynOffer{536, kNoWindowScale, false}));
  EXPECT_EQ(parse_syn_offer({}, true), (SynOffer{1220, kNoWindowScale, false}));
  for (std::size_t cut = 0; cut < linux_syn.size(); ++cut) {
    const SynOffer offer = parse_syn_offer(std::span(linux_syn).first(cut), false);
    EXPECT_EQ(offer.mss, cut < 4 ? 536 : 1460);
    EXPECT_EQ(offer.sack, cut >= 6);
    EXPECT_EQ(offer.window_scale, kNoWindowScale);
  }
  EXPECT_EQ(parse_syn_offer(std::vector<std::uint8_t>{2, 3, 5, 4, 2, 0}, false), (SynOffer{536, kNoWindowScale, true}));
  EXPECT_EQ(parse_syn_offer(std::vector<std::uint8_t>{2, 0, 4, 2}, false), (SynOffer{536, kNoWindowScale, false}));
}

}  // namespace
}  // namespace sekisho::filters
