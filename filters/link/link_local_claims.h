// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sekisho::filters {

/// The link-locals that are pinned somewhere, so that nobody else on the same segment pins them (specification 3.5).
///
/// Overview. A set of numbers, each standing for one (segment, interface identifier): tag() hashes the two under a secret
/// key, so nobody can choose identifiers that look like another tenant's, or that all fall into one bucket. Who holds a tag
/// is known to his BindingPins alone. Synchronisation. A bucket is changed under its own lock, held for one look at its
/// places; a worker comes here only to pin what is new, and is refused rather than made to wait for long. Limits. kPlaces
/// tags fall into one bucket; what has no place is refused. Thread: any number of workers and control.
class LinkLocalClaims {
 public:
  /// `bindings`: for how many Bindings there shall be room.
  LinkLocalClaims(std::size_t bindings, std::uint64_t key_a, std::uint64_t key_b);

  /// `segment`: any number that tells segments of all tenants apart. Never 0.
  [[nodiscard]] std::uint64_t tag(std::uint64_t segment, std::uint64_t identifier) const noexcept;
  /// Takes `tag`. False when somebody has it, or there is no place.
  [[nodiscard]] bool claim(std::uint64_t tag) noexcept;
  /// Gives it back. Only its holder may.
  void release(std::uint64_t tag) noexcept;
  /// Makes this what `other` is now; `other` may be in use, this may not.
  void copy(const LinkLocalClaims& other);

 private:
  static constexpr std::size_t kPlaces = 15;
  struct alignas(64) Bucket {
    mutable std::atomic<std::uint64_t> locked{0};
    std::array<std::uint64_t, kPlaces> tags{};  ///< 0 = free
  };
  /// True when the lock was got within `tries`.
  static bool lock(const Bucket& bucket, unsigned tries) noexcept;
  [[nodiscard]] Bucket& bucket_of(std::uint64_t tag) noexcept { return buckets_[tag & (buckets_.size() - 1)]; }

  std::vector<Bucket> buckets_;
  std::uint64_t key_a_;
  std::uint64_t key_b_;
};

}  // namespace sekisho::filters
