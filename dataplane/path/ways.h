// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/config/runtime.h"
#include "filters/drop_reason.h"

/// Where a flow's packets come from and go to by the tenant's routes, and the default drops that follow from it.
/// First packets only; nothing here is rewritten, asked for or counted.
namespace sekisho::dataplane::path {

/// The routes to both ends of a packet; nullptr where there is none.
struct Ways {
  const RouteTarget* out = nullptr;   ///< to the destination
  const RouteTarget* back = nullptr;  ///< to the source
};

[[nodiscard]] Ways ways_of(const TenantEntry& tenant, const Address& source, const Address& destination) noexcept;

/// kNone, or the default drop (docs/default-drops.md) a packet that came in at port `ingress` falls under: a source that
/// is the gateway's own or a network's broadcast address, a broadcast destination, a source that does not belong behind
/// `ingress` (RFC 3704: strict, feasible or off, by the port's settings; on segments the Binding has decided), a bogon of
/// a port that refuses them. An address with a route of its own, longer than the default route, is no bogon.
[[nodiscard]] filters::DropReason check_ways(const Runtime& config, std::uint32_t ingress, const Ways& ways,
                                             const Address& source, const Address& destination) noexcept;

}  // namespace sekisho::dataplane::path
