// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "filters/policy/linear_matcher.h"
#include "filters/policy/snapshot_builder.h"
#include "filters/policy/snapshot_view.h"

/// Snapshots for tests, fuzzers and benches: a small one that holds one of everything, and random policies with
/// queries that aim at the corners of their rules.
namespace sekisho::tests {

using Random = std::mt19937_64;

/// Two tenants with the same addresses, an uplink they share, a bound segment port, a routed port, routes, policies,
/// services.
/// Indices: nics 0..1; tenants 0..1; ports 0 uplink, 1 segment of tenant 0 (bound), 2 routed of tenant 1, 3 and 4
/// shares of 0 and 1.
filters::SnapshotBuilder one_of_everything();

/// How large and how varied a random policy is.
struct PolicyShape {
  std::uint64_t seed = 1;
  std::uint32_t tenants = 3;
  std::uint32_t rules = 50;       ///< a tenant, without defaults
  std::uint32_t zones_max = 6;    ///< a tenant has 1..zones_max
  std::uint32_t entries_max = 3;  ///< address ranges and services of one rule, before negation
  std::uint32_t hosts = 64;       ///< addresses are drawn from `hosts` per network: small makes rules overlap
  bool realistic = false;         ///< benches: single prefixes and ports instead of the whole zoo
};
filters::SnapshotBuilder random_policy(const PolicyShape& shape);

/// A query near a random rule of a random tenant (on, or one beside, each limit of it), or anywhere.
filters::PolicyQuery random_query(const filters::SnapshotView& view, Random& random);

/// parse_address and parse_prefix for texts known to be right.
Address address(std::string_view text);
Prefix prefix(std::string_view text);

/// The neighbouring address; wraps at the ends of the family.
Address next(Address address);
Address previous(Address address);

/// Sorts, and joins what overlaps: the form kRules refers to.
std::vector<filters::snapshot::AddressRange> normalised(std::vector<filters::snapshot::AddressRange> ranges);
/// Everything of both families outside `ranges`, which are normalised.
std::vector<filters::snapshot::AddressRange> complement(const std::vector<filters::snapshot::AddressRange>& ranges);

/// Appends a tenant with `zones` zones and, as its only rule, its final default deny; rules are added before that
/// with add_rule.
void add_tenant(filters::SnapshotBuilder& builder, std::uint32_t id, std::uint32_t zones);
/// A rule that allows anything to anything, for a test to narrow.
filters::snapshot::Rule any_rule(std::uint32_t id);
filters::snapshot::Service any_service();
/// Appends to the last tenant, in front of its final default; gives the rule its number and policy.
void add_rule(filters::SnapshotBuilder& builder, filters::snapshot::Rule rule);
/// Append runs and return where they are.
filters::snapshot::Range add_ranges(filters::SnapshotBuilder& builder,
                                    const std::vector<filters::snapshot::AddressRange>& ranges);
filters::snapshot::Range add_services(filters::SnapshotBuilder& builder,
                                      const std::vector<filters::snapshot::Service>& services);
filters::snapshot::AddressRange range_of(const Prefix& prefix);

}  // namespace sekisho::tests
