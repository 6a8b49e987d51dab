// SPDX-License-Identifier: Apache-2.0
#include "filters/state/syn_cookie.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/net/endian.h"
#include "filters/state/tcp_tracker.h"

namespace sekisho::filters {
namespace {

// What is common in the Internet; a value between two is rounded down, which is always safe. The first is the least a host may
// mean: whoever says less gets segments of this size.
constexpr std::array<std::uint16_t, 8> kMss{216, 536, 1220, 1360, 1400, 1440, 1452, 1460};
constexpr std::array<std::uint8_t, 8> kScale{kNoWindowScale, 0, 2, 4, 6, 7, 8, 10};

constexpr std::uint32_t kSlotBit = 1;
constexpr unsigned kSackShift = 1, kScaleShift = 2, kMssShift = 5, kHashShift = 8;
constexpr std::uint32_t kCarriedMask = 0xffU & ~kSlotBit;

struct SipState {
  std::uint64_t v0, v1, v2, v3;
  void round() {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  }
  void word(std::uint64_t value) {
    v3 ^= value;
    round(), round();
    v0 ^= value;
  }
};

std::uint32_t carried_bits(const SynOffer& offer) {
  std::uint32_t mss = kMss.size() - 1;
  while (mss > 0 && kMss[mss] > offer.mss) --mss;
  std::uint32_t scale = 0;
  if (offer.window_scale != kNoWindowScale) {
    scale = kScale.size() - 1;
    while (scale > 1 && kScale[scale] > offer.window_scale) --scale;
  }
  return mss << kMssShift | scale << kScaleShift | (offer.sack ? 1U << kSackShift : 0U);
}

std::uint32_t cookie_of(const SynCookieKey& key, const SynCookieFlow& flow, std::uint32_t carried, std::uint32_t slot) {
  const std::array<std::uint64_t, 7> words{
      load_be<std::uint64_t>(flow.source.bytes, 0),
      load_be<std::uint64_t>(flow.source.bytes, 8),
      load_be<std::uint64_t>(flow.destination.bytes, 0),
      load_be<std::uint64_t>(flow.destination.bytes, 8),
      std::uint64_t{flow.source_port} << 48 | std::uint64_t{flow.destination_port} << 32 | flow.initial_sequence,
      std::uint64_t{flow.tenant} << 32 | slot,
      std::uint64_t{static_cast<std::uint8_t>(flow.source.family)} << 32 | carried,
  };
  const auto hash = static_cast<std::uint32_t>(siphash(key.a, key.b, words));
  return hash << kHashShift | carried | (slot & kSlotBit);
}

}  // namespace

std::uint64_t siphash(std::uint64_t key_a, std::uint64_t key_b, std::span<const std::uint64_t> words) {
  SipState state{key_a ^ 0x736f6d6570736575ULL, key_b ^ 0x646f72616e646f6dULL, key_a ^ 0x6c7967656e657261ULL,
                 key_b ^ 0x7465646279746573ULL};
  for (const std::uint64_t word : words) state.word(word);
  state.word(std::uint64_t{words.size() * 8} << 56);
  state.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

SynOffer parse_syn_offer(std::span<const std::uint8_t> options, bool ipv6) {
  constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kMaximumSegment = 2, kSackPermitted = 4;
  SynOffer out{.mss = static_cast<std::uint16_t>(ipv6 ? 1220 : 536), .window_scale = parse_tcp_window_scale(options), .sack = false};
  // At most 40 bytes, and each turn takes at least one.
  while (!options.empty() && options[0] != kEnd) {
    if (options[0] == kNoOperation) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) break;
    if (options[0] == kMaximumSegment && options[1] == 4) out.mss = load_be<std::uint16_t>(options, 2);
    if (options[0] == kSackPermitted && options[1] == 2) out.sack = true;
    options = options.subspan(options[1]);
  }
  return out;
}

std::uint32_t make_syn_cookie(const SynCookieKey& key, const SynCookieFlow& flow, const SynOffer& offer, std::uint32_t slot) {
  return cookie_of(key, flow, carried_bits(offer), slot);
}

std::optional<SynOffer> check_syn_cookie(const SynCookieKey& key, const SynCookieFlow& flow, std::uint32_t cookie,
                                         std::uint32_t slot) {
  const std::uint32_t made = ((cookie ^ slot) & kSlotBit) == 0 ? slot : slot - 1;
  if (cookie_of(key, flow, cookie & kCarriedMask, made) != cookie) return std::nullopt;
  return SynOffer{.mss = kMss[cookie >> kMssShift & 7U],
                  .window_scale = kScale[cookie >> kScaleShift & 7U],
                  .sack = (cookie >> kSackShift & 1U) != 0};
}

}  // namespace sekisho::filters
