// SPDX-License-Identifier: Apache-2.0
#include "dataplane/tunnel/lease_table.h"

#include <algorithm>

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kNone = 0xffffffffU;

}  // namespace

Result<LeaseTable> LeaseTable::create(std::uint32_t leases) {
  if (leases == 0 || leases > kLeasesMax) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, leases};
  return LeaseTable(std::bit_ceil(leases * 2));
}

std::uint32_t LeaseTable::place_of(const Key& key) const noexcept {
  for (std::uint32_t at = hash(key) & mask_, left = mask_ + 1; left > 0; at = (at + 1) & mask_, --left) {
    Lease ignored;
    const Seen seen = read(entries_[at], key, ignored);
    if (seen == Seen::kFound) return at;
    if (seen == Seen::kEnd) return kNone;
  }
  return kNone;
}

void LeaseTable::write(Entry& entry, std::uint64_t state, const Key& key, const Lease& lease) noexcept {
  const std::uint64_t version = (entry.head.load(std::memory_order_relaxed) & ~(kVersion - 1)) + kVersion;
  entry.head.store(version | kWriting, std::memory_order_relaxed);
  // release: pairs with the acquire of each word in read(); none of them is seen without the mark above
  entry.high.store(key.high, std::memory_order_release);
  entry.low.store(key.low, std::memory_order_release);
  entry.owner.store(key.owner, std::memory_order_release);
  entry.who.store(who_of(lease), std::memory_order_release);
  entry.port.store(lease.port, std::memory_order_release);
  entry.way.store(way_of(lease), std::memory_order_release);
  // release: pairs with the acquire in read()
  entry.head.store(version | state, std::memory_order_release);
}

bool LeaseTable::set(std::uint32_t tenant, const Address& address, const Lease& lease) noexcept {
  const Key key = key_of(tenant, address);
  std::uint32_t at = place_of(key);
  if (at == kNone) {
    if (used_ * 2 > mask_) return false;
    at = hash(key) & mask_;
    while ((entries_[at].head.load(std::memory_order_relaxed) & kStates) == kUsed) at = (at + 1) & mask_;
    ++used_;
  } else if (entries_[at].who.load(std::memory_order_relaxed) == who_of(lease) &&
             entries_[at].port.load(std::memory_order_relaxed) == lease.port) {
    // release: as in write(). Readers have the way before or this one, and never nobody: keys are renewed under traffic.
    entries_[at].way.store(way_of(lease), std::memory_order_release);
    return true;
  }
  write(entries_[at], kUsed, key, lease);
  return true;
}

void LeaseTable::erase(std::uint32_t tenant, const Address& address) noexcept {
  std::uint32_t at = place_of(key_of(tenant, address));
  if (at == kNone) return;
  --used_;
  const auto state = [this](std::uint32_t place) { return entries_[place].head.load(std::memory_order_relaxed) & kStates; };
  write(entries_[at], kGone, Key{}, Lease{});
  if (state((at + 1) & mask_) != kEmpty) return;
  // Nobody looks beyond here: the places of those that went before end searches again.
  for (; state(at) == kGone; at = (at - 1) & mask_) write(entries_[at], kEmpty, Key{}, Lease{});
}

}  // namespace sekisho::dataplane
