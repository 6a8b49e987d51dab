// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <emmintrin.h>
#include <rte_prefetch.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/result.h"
#include "dataplane/dpdk/huge_array.h"
#include "dataplane/session/session.h"
#include "dataplane/session/translation.h"

namespace sekisho::dataplane {

/// The sessions of one shard, found by flow key.
///
/// Overview. A bucket is one cache line: eight 16-bit tags and eight session indices; the sessions lie apart. An
/// established packet therefore costs one line to find and the session's own lines, and all of them can be prefetched a
/// burst ahead (measured: a third of inline entries, docs/performance.md). A full bucket chains to a spare one.
/// A translated session has two keys: as its first packet came in, and as it went out (Translation). Both lead to it; an
/// entry of the second kind has bit 31 of its index set. A reply is thus found like any packet, and nothing of this costs a
/// session that is not translated.
/// Life-cycle. insert() takes a session from the free list and hangs it into its bucket; erase() undoes both.
/// Synchronisation. None: one thread owns the table. Limits. `capacity` sessions; spare buckets capacity/16; when either
/// is used up insert() fails and the caller names it kSessionLimit; when it is add_other(), kNatExhausted (when every
/// session is translated, from about seven eighths of the capacity on).
class SessionTable {
 public:
  /// `capacity` 64 .. 2^26 sessions.
  static Result<SessionTable> create(std::uint32_t capacity, HashSeed seed);

  [[nodiscard]] const HashSeed& seed() const { return seed_; }
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t capacity() const { return static_cast<std::uint32_t>(sessions_.size()); }
  [[nodiscard]] Session& at(std::uint32_t index) { return sessions_[index]; }
  [[nodiscard]] const Session& at(std::uint32_t index) const { return sessions_[index]; }
  /// at() the other way round.
  [[nodiscard]] std::uint32_t index_of(const Session& session) const { return static_cast<std::uint32_t>(&session - &sessions_[0]); }
  /// One past the highest index ever used: bounds a walk over all sessions.
  [[nodiscard]] std::uint32_t used_end() const { return fresh_; }
  /// False for a slot of the free list, whose generation is 0: none that is ever in force.
  [[nodiscard]] bool live(std::uint32_t index) const { return sessions_[index].timeout != 0; }

  void prefetch_bucket(std::uint64_t hash) const { rte_prefetch0(&buckets_[hash & mask_]); }

  /// The first session in the home bucket whose tag fits, or kNoIndex; with kOtherKey: by its other key. Not yet proved
  /// equal: the caller prefetches it, compares keys, and asks locate() when they differ.
  [[nodiscard]] std::uint32_t candidate(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[hash & mask_];
    const __m128i same = same_tags(bucket, tag_of(hash));
    const auto fits = static_cast<unsigned>(_mm_movemask_epi8(same));  // two bits a tag; an index is twice as long as both
    if (fits == 0) [[unlikely]] return bucket.next == 0 ? kNoIndex : kSearch;
    const std::size_t place = std::size_t{2} * static_cast<unsigned>(std::countr_zero(fits));
    std::uint32_t index;
    std::memcpy(&index, reinterpret_cast<const std::uint8_t*>(bucket.index.data()) + place, sizeof(index));
    return index;
  }
  /// candidate() could not tell: the home bucket overflowed.
  static constexpr std::uint32_t kSearch = 0xfffffffeU;
  /// Bit of an index found by a session's other key.
  static constexpr std::uint32_t kOtherKey = 0x80000000U;

  /// What a key led to.
  struct Hit {
    std::uint32_t index;  ///< kNoIndex: nothing
    bool other;           ///< the session's other key
  };
  /// The session with this key, exactly; `ends` are the IPv6 addresses {low, high}, ignored for IPv4 keys.
  [[nodiscard]] Hit locate(const FlowLookup& lookup, const std::array<Words6, 2>& ends) const;
  [[nodiscard]] std::uint32_t find(const FlowLookup& lookup, const std::array<Words6, 2>& ends) const {
    return locate(lookup, ends).index;
  }
  /// The way a packet travels that led to `hit`. By its other key a translated session is only ever answered.
  [[nodiscard]] Direction direction(Hit hit, bool from_high) const {
    return hit.other ? Direction::kReverse : sessions_[hit.index].direction(from_high);
  }

  /// The other side of a session with kSessionTranslated.
  [[nodiscard]] Translation& translation(std::uint32_t index) { return translations_[index]; }
  [[nodiscard]] const Translation& translation(std::uint32_t index) const { return translations_[index]; }
  /// Makes `index` a translated session, to be found by `other` too. False: no place; nothing has changed. No session may
  /// have that key.
  bool add_other(std::uint32_t index, const FlowLookup& other, const std::array<Words6, 2>& ends);

  /// A session whose own key has this hash, or kNoIndex.
  [[nodiscard]] std::uint32_t find_own(std::uint64_t hash) const;
  /// The hash of a session's own key.
  [[nodiscard]] std::uint64_t own_hash(std::uint32_t index) const;
  /// The hash of a translated session's other key.
  [[nodiscard]] std::uint64_t other_hash(std::uint32_t index) const;

  /// True when `session` is the one of this key.
  [[nodiscard]] static bool equal(const Session& session, const FlowLookup& lookup, const std::array<Words6, 2>& ends) {
    return session.key == lookup.key && ((session.flags & kSessionIpv6) == 0 || session.ends == ends);
  }

  /// A zeroed session under this key (ends stored for IPv6), or kNoIndex when full. The key must not be present.
  std::uint32_t insert(const FlowLookup& lookup, const std::array<Words6, 2>& ends, bool ipv6);

  void erase(std::uint32_t index);

 private:
  struct alignas(64) Bucket {
    std::array<std::uint16_t, 8> tag;     ///< 0 = free
    std::array<std::uint32_t, 8> index;
    std::uint32_t next;                   ///< bucket number of the chain's next, 0 = none
    std::array<std::uint32_t, 3> reserved;
  };
  static_assert(sizeof(Bucket) == 64);

  SessionTable() = default;
  static std::uint16_t tag_of(std::uint64_t hash) { return static_cast<std::uint16_t>((hash >> 48) | 1U); }
  /// Bit i set: tag i of the bucket fits. SSE2 is in every x86-64.
  static unsigned match(const Bucket& bucket, std::uint16_t tag) {
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(same_tags(bucket, tag), _mm_setzero_si128())));
  }
  static __m128i same_tags(const Bucket& bucket, std::uint16_t tag) {
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(bucket.tag.data()));
    return _mm_cmpeq_epi16(tags, _mm_set1_epi16(static_cast<short>(tag)));
  }
  [[nodiscard]] std::uint64_t hash_of(const FlowKey& key, const std::array<Words6, 2>& ends, bool ipv6) const;
  [[nodiscard]] bool equal(std::uint32_t entry, const FlowLookup& lookup, const std::array<Words6, 2>& ends) const;
  bool hang(std::uint64_t hash, std::uint32_t entry);
  void unhang(std::uint64_t hash, std::uint32_t entry);

  HugeArray<Bucket> buckets_;   ///< home buckets, then spare ones
  HugeArray<Session> sessions_;
  HugeArray<Translation> translations_;    ///< by session; memory nobody touches while nothing is translated
  HashSeed seed_{};
  std::uint64_t mask_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t fresh_ = 0;                ///< sessions never used start here: their memory is untouched
  std::uint32_t free_ = kNoIndex;          ///< head of the free list through wheel_next
  std::uint32_t spare_fresh_ = 0;
  std::uint32_t spare_free_ = 0;
};

}  // namespace sekisho::dataplane
