// SPDX-License-Identifier: Apache-2.0
// Overview. Insertion into a set: put the word into an empty place, then look at the whole set again; whoever sees a second
// word of the same name takes its own away. Compare-and-swap orders the two steps, so of two that insert at once at least
// one sees the other. Nothing is published through these words but themselves.
#include "dataplane/session/nat_tables.h"

#include <algorithm>
#include <bit>

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kClaimsPerSession = 2;
constexpr std::uint32_t kOwnersPerSession = 4;  // of two keys: half full when every session is translated
constexpr unsigned kAttemptsMax = 4;

// FlowOwners: hash bits 63..8 | shard + 1.
constexpr std::uint64_t kOwnerBits = 0xff;

// PortClaims: tag 20 bits | marks 12 | endpoint 16 | sessions 16. The tag is the hash's top.
constexpr std::uint64_t kTagMask = 0xfffff00000000000U;
constexpr std::uint64_t kMark = std::uint64_t{1} << 32;
constexpr std::uint64_t kMarkMask = 0x00000fff00000000U;
constexpr std::uint64_t kEndpointMask = 0x00000000ffff0000U;
constexpr std::uint64_t kSessionMask = 0x000000000000ffffU;

/// A claim's tag, never zero: a word with a tag is in use.
std::uint64_t tag_of(std::uint64_t hash) { return (hash & kTagMask) | std::uint64_t{1} << 44; }
std::uint64_t endpoint_bits(std::uint16_t endpoint) { return std::uint64_t{endpoint} << 16; }

/// The word of the set whose bits under `mask` are `name`, or nullptr; its value in `value`.
AtomicSets::Word* find_word(AtomicSets::Word* set, std::uint64_t mask, std::uint64_t name, std::uint64_t& value) {
  for (std::uint32_t way = 0; way < AtomicSets::kWays; ++way) {
    value = set[way].load(std::memory_order_acquire);
    if (value != 0 && (value & mask) == name) return &set[way];
  }
  return nullptr;
}

/// Puts `word` where nothing of its name stands. False: something does, or there is no place.
bool insert_word(AtomicSets::Word* set, std::uint64_t mask, std::uint64_t word) {
  AtomicSets::Word* mine = nullptr;
  for (std::uint32_t way = 0; way < AtomicSets::kWays && mine == nullptr; ++way) {
    std::uint64_t empty = 0;
    if (set[way].compare_exchange_strong(empty, word, std::memory_order_acq_rel)) mine = &set[way];
  }
  if (mine == nullptr) return false;
  for (std::uint32_t way = 0; way < AtomicSets::kWays; ++way) {
    const std::uint64_t value = set[way].load(std::memory_order_acquire);
    if (&set[way] != mine && value != 0 && (value & mask) == (word & mask)) {
      mine->store(0, std::memory_order_release);
      return false;
    }
  }
  return true;
}

}  // namespace

AtomicSets::AtomicSets(const char* name, std::uint32_t places) {
  const std::uint32_t sets = std::bit_ceil(std::max(1U, places / kWays));
  words_ = HugeArray<Word>(name, std::size_t{sets} * kWays);
  mask_ = sets - 1;
}

Result<FlowOwners> FlowOwners::create(std::uint32_t sessions) {
  FlowOwners out;
  out.sets_ = AtomicSets("flow-owners", sessions * kOwnersPerSession);
  if (!out.sets_.valid()) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, sessions};
  return out;
}

bool FlowOwners::add(std::uint64_t hash, std::uint32_t shard) noexcept {
  const std::uint64_t name = hash & ~kOwnerBits;
  std::uint64_t value = 0;
  if (find_word(sets_.set(hash), ~kOwnerBits, name, value) != nullptr) return false;
  return insert_word(sets_.set(hash), ~kOwnerBits, name | (shard + 1));
}

void FlowOwners::remove(std::uint64_t hash, std::uint32_t shard) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), ~std::uint64_t{0}, (hash & ~kOwnerBits) | (shard + 1), value);
  if (word != nullptr) word->store(0, std::memory_order_release);
}

std::uint32_t FlowOwners::find(std::uint64_t hash) const noexcept {
  const AtomicSets::Word* set = sets_.set(hash);
  for (std::uint32_t way = 0; way < AtomicSets::kWays; ++way) {
    const std::uint64_t value = set[way].load(std::memory_order_acquire);
    if (value != 0 && (value & ~kOwnerBits) == (hash & ~kOwnerBits)) return static_cast<std::uint32_t>(value & kOwnerBits) - 1;
  }
  return kNone;
}

Result<PortClaims> PortClaims::create(std::uint32_t sessions) {
  PortClaims out;
  out.sets_ = AtomicSets("port-claims", sessions * kClaimsPerSession);
  if (!out.sets_.valid()) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, sessions};
  return out;
}

/// One more session of a port that is ours already.
PortClaims::Found PortClaims::join(std::uint64_t hash, std::uint16_t endpoint) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), kTagMask, tag_of(hash), value);
  while (word != nullptr) {
    if ((value & kEndpointMask) != endpoint_bits(endpoint)) return Found::kTaken;
    if ((value & kSessionMask) == 0) return Found::kFree;  // was ours, and others passed it since: taken anew, marks and all
    if ((value & kSessionMask) == kSessionMask) return Found::kFull;
    if (word->compare_exchange_strong(value, value + 1, std::memory_order_acq_rel)) return Found::kMine;
    if ((value & kTagMask) != tag_of(hash)) word = find_word(sets_.set(hash), kTagMask, tag_of(hash), value);
  }
  return Found::kFree;
}

bool PortClaims::insert(std::uint64_t hash, std::uint16_t endpoint) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), kTagMask, tag_of(hash), value);
  if (word != nullptr) {
    const bool ours = (value & (kEndpointMask | kSessionMask)) == endpoint_bits(endpoint);
    return ours && word->compare_exchange_strong(value, value + 1, std::memory_order_acq_rel);
  }
  return insert_word(sets_.set(hash), kTagMask, tag_of(hash) | endpoint_bits(endpoint) | 1);
}

/// The endpoint passed this port. False: it is free by now, is the endpoint's own by now, or bears as many marks as it can.
bool PortClaims::mark(std::uint64_t hash, std::uint16_t endpoint) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), kTagMask, tag_of(hash), value);
  while (word != nullptr && (value & kTagMask) == tag_of(hash) && (value & kMarkMask) != kMarkMask) {
    if ((value & kEndpointMask) == endpoint_bits(endpoint)) return false;
    if (word->compare_exchange_strong(value, value + kMark, std::memory_order_acq_rel)) return true;
  }
  return false;
}

void PortClaims::unmark(std::uint64_t hash) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), kTagMask, tag_of(hash), value);
  while (word != nullptr && (value & kMarkMask) != 0) {
    const std::uint64_t less = value - kMark;
    const std::uint64_t next = (less & (kMarkMask | kSessionMask)) == 0 ? 0 : less;
    if (word->compare_exchange_strong(value, next, std::memory_order_acq_rel)) return;
  }
}

/// One session less. True: it was the endpoint's last.
bool PortClaims::leave(std::uint64_t hash, std::uint16_t endpoint) noexcept {
  std::uint64_t value = 0;
  AtomicSets::Word* word = find_word(sets_.set(hash), kTagMask | kEndpointMask, tag_of(hash) | endpoint_bits(endpoint), value);
  while (word != nullptr && (value & kSessionMask) != 0) {
    const std::uint64_t less = value - 1;
    const std::uint64_t next = (less & (kMarkMask | kSessionMask)) == 0 ? 0 : less;
    if (word->compare_exchange_strong(value, next, std::memory_order_acq_rel)) return (less & kSessionMask) == 0;
  }
  return false;
}

std::optional<PortClaims::Claim> PortClaims::take(const ClaimSpace& space, const filters::PortBlock& block,
                                                  std::uint16_t inside_port) noexcept {
  const std::uint16_t endpoint = space.endpoint(inside_port);
  const std::uint32_t probes = std::min<std::uint32_t>(block.count, filters::kNatPortProbes);
  for (unsigned attempt = 0; attempt < kAttemptsMax; ++attempt) {
    std::uint32_t probe = 0;
    Found found = Found::kTaken;
    for (; probe < probes; ++probe) {
      found = join(space.hash(block.candidate(inside_port, probe)), endpoint);
      if (found != Found::kTaken) break;
    }
    if (found == Found::kTaken || found == Found::kFull) return std::nullopt;
    const Claim claim{block.candidate(inside_port, probe), static_cast<std::uint8_t>(probe)};
    if (found == Found::kMine) return claim;
    // Marks come first: whoever joins a claim relies on them.
    std::uint32_t marked = 0;
    while (marked < probe && mark(space.hash(block.candidate(inside_port, marked)), endpoint)) ++marked;
    if (marked == probe && insert(space.hash(claim.port), endpoint)) return claim;
    while (marked > 0) unmark(space.hash(block.candidate(inside_port, --marked)));  // another shard was faster, or the set is full
  }
  return std::nullopt;
}

void PortClaims::release(const ClaimSpace& space, const filters::PortBlock& block, std::uint16_t inside_port,
                         std::uint8_t probe) noexcept {
  if (!leave(space.hash(block.candidate(inside_port, probe)), space.endpoint(inside_port))) return;
  for (std::uint8_t passed = 0; passed < probe; ++passed) unmark(space.hash(block.candidate(inside_port, passed)));
}

}  // namespace sekisho::dataplane
