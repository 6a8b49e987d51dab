// SPDX-License-Identifier: Apache-2.0
#include "filters/policy/linear_matcher.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/assert.h"

namespace sekisho::filters {
namespace {

using snapshot::kNone;

bool has_zone(std::uint64_t zones, std::uint8_t zone) {
  return ((zones >> zone) & 1U) != 0;
}

/// Index in kServices of the first entry that takes the query, or kNone.
std::uint32_t first_service(const SnapshotView& view, snapshot::Range services, const PolicyQuery& query) {
  for (std::uint32_t i = services.first; i < services.first + services.count; ++i) {
    if (service_takes(view.services()[i], query)) return i;
  }
  return kNone;
}

bool stands(const snapshot::Rule& rule) { return rule.standing == snapshot::Standing::kStands; }

}  // namespace

bool ranges_contain(std::span<const snapshot::AddressRange> ranges, const Address& address) {
  for (const auto& range : ranges) {
    if (range.low.family == address.family && range.low <= address && address <= range.high) return true;
  }
  return false;
}

bool service_takes(const snapshot::Service& service, const PolicyQuery& query) {
  if (service.any_protocol == 1) return true;
  if (service.protocol != query.protocol) return false;
  if (is_icmp(query.protocol)) {
    return service.icmp_type_low <= query.icmp_type && query.icmp_type <= service.icmp_type_high &&
           service.icmp_code_low <= query.icmp_code && query.icmp_code <= service.icmp_code_high;
  }
  return service.source_low <= query.source_port && query.source_port <= service.source_high &&
         service.destination_low <= query.destination_port && query.destination_port <= service.destination_high;
}

bool rule_matches(const SnapshotView& view, const snapshot::Rule& rule, const PolicyQuery& query) {
  if (!has_zone(rule.source_zones, query.source_zone)) return false;
  if (!has_zone(rule.destination_zones, query.destination_zone)) return false;
  if (rule.user_groups != 0 && (rule.user_groups & query.user_groups) == 0) return false;
  if (rule.any_service == 0 && first_service(view, rule.services, query) == kNone) return false;
  const auto ranges = view.address_ranges();
  if (rule.any_source == 0 && !ranges_contain(slice(ranges, rule.sources), query.source)) return false;
  return rule.any_destination == 1 || ranges_contain(slice(ranges, rule.destinations), query.destination);
}

PolicyMatch match_linear(const SnapshotView& view, const PolicyQuery& query) {
  const auto& tenant = view.tenants()[query.tenant_index];
  const std::uint32_t last = tenant.rules.first + tenant.rules.count - 1;
  for (std::uint32_t i = tenant.rules.first; i < last; ++i) {
    if (stands(view.rules()[i]) && rule_matches(view, view.rules()[i], query)) return {i, service_of(view, i, query)};
  }
  return {last, kNone};
}

void match_linear(const SnapshotView& view, std::span<const PolicyQuery> queries, std::span<std::uint32_t> answers) {
  SEKISHO_DCHECK(answers.size() >= queries.size());
  if (queries.empty()) return;
  const snapshot::Range rules = view.tenants()[queries.front().tenant_index].rules;
  const std::uint32_t last = rules.first + rules.count - 1;
  std::vector<std::uint32_t> open(queries.size());
  std::iota(open.begin(), open.end(), 0U);
  std::fill_n(answers.begin(), queries.size(), last);
  for (std::uint32_t i = rules.first; i < last && !open.empty(); ++i) {
    const snapshot::Rule& rule = view.rules()[i];
    if (!stands(rule)) continue;
    std::erase_if(open, [&](std::uint32_t query) {
      if (!rule_matches(view, rule, queries[query])) return false;
      answers[query] = i;
      return true;
    });
  }
}

std::uint32_t service_of(const SnapshotView& view, std::uint32_t rule, const PolicyQuery& query) {
  SEKISHO_DCHECK(rule < view.rules().size());
  return first_service(view, view.rules()[rule].services, query);
}

}  // namespace sekisho::filters
