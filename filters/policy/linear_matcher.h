// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/net/address.h"
#include "filters/policy/snapshot_view.h"

namespace sekisho::filters {

/// What policy may look at in the first packet of a flow. Numbers in host order.
struct PolicyQuery {
  std::uint32_t tenant_index;  ///< in kTenants; below tenants().size()
  std::uint8_t source_zone;    ///< index inside the tenant's zones, 0..63
  std::uint8_t destination_zone;
  Address source;  ///< both of one family, kIpv4 or kIpv6
  Address destination;
  std::uint8_t protocol;      ///< IANA
  std::uint16_t source_port;  ///< 0 where the protocol has none; ignored for ICMP and ICMPv6
  std::uint16_t destination_port;
  std::uint8_t icmp_type;  ///< looked at for ICMP and ICMPv6 only
  std::uint8_t icmp_code;
  std::uint64_t user_groups = 0;  ///< of the remote user who sends; 0: of nobody known
};

/// The answer: indices in kRules and kServices.
struct PolicyMatch {
  std::uint32_t rule;
  std::uint32_t service;  ///< the first entry of the rule's services that matches; kNone if the rule takes any service
  auto operator<=>(const PolicyMatch&) const = default;
};

/// The reference: the tenant's first rule, in kRules order, that takes the query. Always finds one, since a tenant
/// ends in its default deny. Meant to be obviously right, not fast: it judges the compiled classifier and explains
/// single verdicts.
/// Thread: any; reads only.
[[nodiscard]] PolicyMatch match_linear(const SnapshotView& view, const PolicyQuery& query);

/// The same for many queries of one tenant: answers[i] = the index in kRules for queries[i]. Walks the rules once, which
/// is what makes checking a large policy bearable. answers.size() >= queries.size().
void match_linear(const SnapshotView& view, std::span<const PolicyQuery> queries, std::span<std::uint32_t> answers);

/// Whether what `rule`, one of the query's tenant, asks for holds for the query, standing or not.
[[nodiscard]] bool rule_matches(const SnapshotView& view, const snapshot::Rule& rule, const PolicyQuery& query);

/// Whether one of `ranges` holds `address`.
[[nodiscard]] bool ranges_contain(std::span<const snapshot::AddressRange> ranges, const Address& address);
/// Whether one kServices entry takes the query.
[[nodiscard]] bool service_takes(const snapshot::Service& service, const PolicyQuery& query);

/// Which kServices entry of kRules[rule] takes the query; kNone if the rule takes any service. For log records: cold.
[[nodiscard]] std::uint32_t service_of(const SnapshotView& view, std::uint32_t rule, const PolicyQuery& query);

/// ICMP (1) and ICMPv6 (58): judged by type and code instead of ports.
[[nodiscard]] constexpr bool is_icmp(std::uint8_t protocol) {
  return protocol == 1 || protocol == 58;
}

}  // namespace sekisho::filters
