// SPDX-License-Identifier: Apache-2.0
#include "filters/link/link_local_claims.h"

#include <algorithm>
#include <bit>

#include "filters/state/syn_cookie.h"

namespace sekisho::filters {

// Four buckets of fifteen for each Binding in use: seven pins for each of eight MACs is the most one can have.
LinkLocalClaims::LinkLocalClaims(std::size_t bindings, std::uint64_t key_a, std::uint64_t key_b)
    : buckets_(std::bit_ceil(std::max<std::size_t>(bindings, 1) * 4)), key_a_(key_a), key_b_(key_b) {}

std::uint64_t LinkLocalClaims::tag(std::uint64_t segment, std::uint64_t identifier) const noexcept {
  return std::max<std::uint64_t>(1, siphash(key_a_, key_b_, std::array{segment, identifier}));
}

bool LinkLocalClaims::lock(const Bucket& bucket, unsigned tries) noexcept {
  for (; tries > 0; --tries) {
    if (bucket.locked.load(std::memory_order_relaxed) == 0 && bucket.locked.exchange(1, std::memory_order_acquire) == 0) return true;
  }
  return false;
}

bool LinkLocalClaims::claim(std::uint64_t tag) noexcept {
  constexpr unsigned kTries = 4096;
  Bucket& bucket = bucket_of(tag);
  if (!lock(bucket, kTries)) return false;
  const bool known = std::find(bucket.tags.begin(), bucket.tags.end(), tag) != bucket.tags.end();
  const auto free = std::find(bucket.tags.begin(), bucket.tags.end(), std::uint64_t{0});
  const bool taken = !known && free != bucket.tags.end();
  if (taken) *free = tag;
  bucket.locked.store(0, std::memory_order_release);
  return taken;
}

void LinkLocalClaims::release(std::uint64_t tag) noexcept {
  Bucket& bucket = bucket_of(tag);
  while (!lock(bucket, 1)) {
  }
  std::replace(bucket.tags.begin(), bucket.tags.end(), tag, std::uint64_t{0});
  bucket.locked.store(0, std::memory_order_release);
}

void LinkLocalClaims::copy(const LinkLocalClaims& other) {
  buckets_ = std::vector<Bucket>(other.buckets_.size());
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    while (!lock(other.buckets_[i], 1)) {
    }
    buckets_[i].tags = other.buckets_[i].tags;
    other.buckets_[i].locked.store(0, std::memory_order_release);
  }
  key_a_ = other.key_a_, key_b_ = other.key_b_;
}

}  // namespace sekisho::filters
