// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "filters/policy/linear_matcher.h"

namespace sekisho::filters {

/// Chooses packets that tell a wrong classifier from a right one. Deterministic for a seed; any thread.
class ProbeMaker {
 public:
  explicit ProbeMaker(std::uint64_t seed) : state_(seed) {}

  /// A packet inside kRules[rule] of a tenant; none when the rule can match nothing of this family.
  std::optional<PolicyQuery> inside(const SnapshotView& view, std::uint32_t tenant_index, std::uint32_t rule,
                                    Family family);

  /// Packets on the limits of kRules[rule] of a tenant: on, one below and one above each limit of one of its source
  /// ranges, one of its destination ranges and one of its services, the protocols and zones beside its own and another
  /// zone, users of one, all and none of its groups, all else inside the rule. Appends at most kCornersMax; none when the
  /// rule can match nothing of this family.
  void corners(const SnapshotView& view, std::uint32_t tenant_index, std::uint32_t rule, Family family,
               std::vector<PolicyQuery>& out);
  static constexpr std::size_t kCornersMax = 27;

  /// A packet from anywhere to anywhere.
  PolicyQuery anything(const SnapshotView& view, std::uint32_t tenant_index, Family family);

  /// 0 .. bound - 1; `bound` at least 1.
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  /// What was chosen to build an inside packet from.
  struct Inside {
    PolicyQuery packet{};
    std::optional<snapshot::AddressRange> source, destination;
    std::optional<snapshot::Service> service;
  };
  std::optional<Inside> choose(const SnapshotView& view, std::uint32_t tenant_index, std::uint32_t rule, Family family);
  std::uint64_t next();
  Address address(Family family);
  Address address_in(const snapshot::AddressRange& range);
  std::uint8_t zone(std::uint64_t zones, std::uint32_t count);

  std::uint64_t state_;
};

}  // namespace sekisho::filters
