// SPDX-License-Identifier: Apache-2.0
#include "dataplane/session/session_table.h"

namespace sekisho::dataplane {

Result<SessionTable> SessionTable::create(std::uint32_t capacity, HashSeed seed) {
  if (capacity < 64 || capacity > (1U << 26)) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, capacity};
  // At most 4 of 8 places in use on average when full: 2 % of the buckets chain.
  const std::uint32_t homes = std::bit_ceil(capacity / 4);
  SessionTable table;
  table.seed_ = seed;
  table.mask_ = homes - 1;
  table.buckets_ = HugeArray<Bucket>("session-buckets", homes + capacity / 16 + 1);
  table.sessions_ = HugeArray<Session>("sessions", capacity);
  if (!table.buckets_.valid() || !table.sessions_.valid()) return Error{ErrorCode::kLimit, ErrorSite::kDataplane, capacity};
  table.spare_fresh_ = homes;
  return table;
}

std::uint32_t SessionTable::find(const FlowLookup& lookup, const std::array<Words6, 2>& ends) const {
  const std::uint16_t tag = tag_of(lookup.hash);
  for (std::uint32_t at = static_cast<std::uint32_t>(lookup.hash & mask_);;) {
    const Bucket& bucket = buckets_[at];
    for (unsigned fits = match(bucket, tag); fits != 0; fits &= fits - 1) {
      const std::uint32_t index = bucket.index[static_cast<unsigned>(std::countr_zero(fits))];
      if (equal(sessions_[index], lookup, ends)) return index;
    }
    if (bucket.next == 0) return kNoIndex;
    at = bucket.next;
  }
}

std::uint32_t SessionTable::insert(const FlowLookup& lookup, const std::array<Words6, 2>& ends, bool ipv6) {
  const bool reuse = free_ != kNoIndex;
  if (!reuse && fresh_ == capacity()) return kNoIndex;

  Bucket* bucket = &buckets_[lookup.hash & mask_];
  unsigned empty = match(*bucket, 0);
  while (empty == 0) {
    if (bucket->next == 0) {
      std::uint32_t spare = spare_free_;
      if (spare != 0) {
        spare_free_ = buckets_[spare].next;
        buckets_[spare].next = 0;
      } else if (spare_fresh_ < buckets_.size()) {
        spare = spare_fresh_++;
      } else {
        return kNoIndex;
      }
      bucket->next = spare;
    }
    bucket = &buckets_[bucket->next];
    empty = match(*bucket, 0);
  }

  const std::uint32_t index = reuse ? free_ : fresh_++;
  Session& session = sessions_[index];
  if (reuse) free_ = session.wheel_next;
  session = Session{};
  session.key = lookup.key;
  if (ipv6) {
    session.flags = kSessionIpv6;
    session.ends = ends;
  }
  const auto place = static_cast<unsigned>(std::countr_zero(empty));
  bucket->tag[place] = tag_of(lookup.hash);
  bucket->index[place] = index;
  ++size_;
  return index;
}

std::uint64_t SessionTable::hash_of(const Session& session) const {
  std::uint64_t folds = 0;
  if ((session.flags & kSessionIpv6) != 0) {
    for (const Words6& end : session.ends) folds += mix(end.high ^ seed_.a, end.low ^ seed_.b);
  }
  return mix(session.key.low ^ seed_.a ^ folds, session.key.high ^ seed_.b);
}

void SessionTable::erase(std::uint32_t index) {
  Session& session = sessions_[index];
  const std::uint64_t hash = hash_of(session);
  const std::uint16_t tag = tag_of(hash);
  Bucket* previous = nullptr;
  for (Bucket* bucket = &buckets_[hash & mask_];; previous = bucket, bucket = &buckets_[bucket->next]) {
    for (unsigned fits = match(*bucket, tag); fits != 0; fits &= fits - 1) {
      const auto place = static_cast<unsigned>(std::countr_zero(fits));
      if (bucket->index[place] != index) continue;
      bucket->tag[place] = 0;
      if (previous != nullptr && match(*bucket, 0) == 0xff) {  // an empty spare goes back
        const std::uint32_t spare = previous->next;
        previous->next = bucket->next;
        bucket->next = spare_free_;
        spare_free_ = spare;
      }
      session.timeout = 0;
      session.wheel_next = free_;
      free_ = index;
      --size_;
      return;
    }
    SEKISHO_ASSERT(bucket->next != 0);  // a live session is always in its chain
  }
}

}  // namespace sekisho::dataplane
