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
  table.translations_ = HugeArray<Translation>("session-translations", capacity);
  if (!table.buckets_.valid() || !table.sessions_.valid() || !table.translations_.valid())
    return Error{ErrorCode::kLimit, ErrorSite::kDataplane, capacity};
  table.spare_fresh_ = homes;
  return table;
}

bool SessionTable::equal(std::uint32_t entry, const FlowLookup& lookup, const std::array<Words6, 2>& ends) const {
  if ((entry & kOtherKey) == 0) return equal(sessions_[entry], lookup, ends);
  const Translation& other = translations_[entry & ~kOtherKey];
  return other.key == lookup.key && ((sessions_[entry & ~kOtherKey].flags & kSessionIpv6) == 0 || other.ends == ends);
}

SessionTable::Hit SessionTable::locate(const FlowLookup& lookup, const std::array<Words6, 2>& ends) const {
  const std::uint16_t tag = tag_of(lookup.hash);
  for (std::uint32_t at = static_cast<std::uint32_t>(lookup.hash & mask_);;) {
    const Bucket& bucket = buckets_[at];
    for (unsigned fits = match(bucket, tag); fits != 0; fits &= fits - 1) {
      const std::uint32_t entry = bucket.index[static_cast<unsigned>(std::countr_zero(fits))];
      if (equal(entry, lookup, ends)) return {entry & ~kOtherKey, (entry & kOtherKey) != 0};
    }
    if (bucket.next == 0) return {kNoIndex, false};
    at = bucket.next;
  }
}

/// Puts an entry into the chain of its home bucket. False: no spare bucket is left.
bool SessionTable::hang(std::uint64_t hash, std::uint32_t entry) {
  Bucket* bucket = &buckets_[hash & mask_];
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
        return false;
      }
      bucket->next = spare;
    }
    bucket = &buckets_[bucket->next];
    empty = match(*bucket, 0);
  }
  const auto place = static_cast<unsigned>(std::countr_zero(empty));
  bucket->tag[place] = tag_of(hash);
  bucket->index[place] = entry;
  return true;
}

void SessionTable::unhang(std::uint64_t hash, std::uint32_t entry) {
  const std::uint16_t tag = tag_of(hash);
  Bucket* previous = nullptr;
  for (Bucket* bucket = &buckets_[hash & mask_];; previous = bucket, bucket = &buckets_[bucket->next]) {
    for (unsigned fits = match(*bucket, tag); fits != 0; fits &= fits - 1) {
      const auto place = static_cast<unsigned>(std::countr_zero(fits));
      if (bucket->index[place] != entry) continue;
      bucket->tag[place] = 0;
      if (previous != nullptr && match(*bucket, 0) == 0xff) {  // an empty spare goes back
        const std::uint32_t spare = previous->next;
        previous->next = bucket->next;
        bucket->next = spare_free_;
        spare_free_ = spare;
      }
      return;
    }
    SEKISHO_ASSERT(bucket->next != 0);  // a live entry is always in its chain
  }
}

std::uint32_t SessionTable::insert(const FlowLookup& lookup, const std::array<Words6, 2>& ends, bool ipv6) {
  const bool reuse = free_ != kNoIndex;
  if (!reuse && fresh_ == capacity()) return kNoIndex;
  const std::uint32_t index = reuse ? free_ : fresh_;
  if (!hang(lookup.hash, index)) return kNoIndex;
  Session& session = sessions_[index];
  if (reuse) {
    free_ = session.wheel_next;
  } else {
    ++fresh_;
  }
  session = Session{};
  session.key = lookup.key;
  if (ipv6) {
    session.flags = kSessionIpv6;
    session.ends = ends;
  }
  ++size_;
  return index;
}

bool SessionTable::add_other(std::uint32_t index, const FlowLookup& other, const std::array<Words6, 2>& ends) {
  if (!hang(other.hash, index | kOtherKey)) return false;
  sessions_[index].flags |= kSessionTranslated;
  translations_[index] = Translation{};
  translations_[index].key = other.key;
  translations_[index].ends = ends;
  translations_[index].flags = other.from_high ? kTranslationFromHigh : 0;
  return true;
}

std::uint64_t SessionTable::hash_of(const FlowKey& key, const std::array<Words6, 2>& ends, bool ipv6) const {
  std::uint64_t folds = 0;
  if (ipv6) {
    for (const Words6& end : ends) folds += mix(end.high ^ seed_.a, end.low ^ seed_.b);
  }
  return mix(key.low ^ seed_.a ^ folds, key.high ^ seed_.b);
}

void SessionTable::erase(std::uint32_t index) {
  Session& session = sessions_[index];
  const bool ipv6 = (session.flags & kSessionIpv6) != 0;
  unhang(hash_of(session.key, session.ends, ipv6), index);
  if ((session.flags & kSessionTranslated) != 0) unhang(other_hash(index), index | kOtherKey);
  session.timeout = 0;
  session.generation = 0;
  session.wheel_next = free_;
  free_ = index;
  --size_;
}

std::uint32_t SessionTable::find_own(std::uint64_t hash) const {
  for (std::uint32_t at = static_cast<std::uint32_t>(hash & mask_);; at = buckets_[at].next) {
    const Bucket& bucket = buckets_[at];
    for (unsigned fits = match(bucket, tag_of(hash)); fits != 0; fits &= fits - 1) {
      const std::uint32_t entry = bucket.index[static_cast<unsigned>(std::countr_zero(fits))];
      if ((entry & kOtherKey) == 0 && own_hash(entry) == hash) return entry;
    }
    if (bucket.next == 0) return kNoIndex;
  }
}

std::uint64_t SessionTable::own_hash(std::uint32_t index) const {
  const Session& session = sessions_[index];
  return hash_of(session.key, session.ends, (session.flags & kSessionIpv6) != 0);
}

std::uint64_t SessionTable::other_hash(std::uint32_t index) const {
  const Translation& other = translations_[index];
  return hash_of(other.key, other.ends, (sessions_[index].flags & kSessionIpv6) != 0);
}

}  // namespace sekisho::dataplane
