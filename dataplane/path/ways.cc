// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/ways.h"

#include "filters/packet/address_class.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

/// Feasible (RFC 3704 2.3): the source may also answer by another way. Ports of one zone stand for each other, as two
/// uplinks do; but what a segment's Bindings hold lives there alone, and a default route says nothing of anybody.
bool is_feasible(const Runtime& config, std::uint32_t ingress, const RouteTarget& back, const Address& source) {
  const PortEntry& port = config.ports[ingress];
  const PortEntry& home = config.ports[back.port];
  if (home.kind == snapshot::PortKind::kSegment) return false;
  if (home.zone == port.zone) return true;
  const TenantEntry& tenant = config.tenants[port.tenant_index];
  return tenant.routes.any(source, [&](std::uint32_t at) { return tenant.targets[at].port == ingress && tenant.targets[at].length > 0; });
}

bool comes_the_right_way(const Runtime& config, std::uint32_t ingress, const RouteTarget* back, const Address& source) {
  const PortEntry& port = config.ports[ingress];
  if (port.kind == snapshot::PortKind::kSegment || (port.source_checks & snapshot::kReversePathOff) != 0) return true;
  if (back == nullptr) return false;
  if (back->port == ingress) return true;
  return (port.source_checks & snapshot::kReversePathStrict) == 0 && is_feasible(config, ingress, *back, source);
}

bool is_bogon(const PortEntry& port, const RouteTarget* way, const Address& address) {
  if ((port.source_checks & snapshot::kRefuseBogons) == 0) return false;
  return (way == nullptr || way->length == 0) && filters::is_bogon(address);
}

}  // namespace

Ways ways_of(const TenantEntry& tenant, const Address& source, const Address& destination) noexcept {
  const auto way = [&](const Address& address) {
    const std::uint32_t at = tenant.routes.find(address);
    return at == PrefixTable::kNoValue ? nullptr : &tenant.targets[at];
  };
  return {way(destination), way(source)};
}

DropReason check_ways(const Runtime& config, std::uint32_t ingress, const Ways& ways, const Address& source,
                      const Address& destination) noexcept {
  if (ways.back != nullptr && ways.back->kind == RouteKind::kLocal) return DropReason::kSourceOwn;
  if (ways.back != nullptr && ways.back->kind == RouteKind::kBroadcast) return DropReason::kSourceBroadcast;
  if (ways.out != nullptr && ways.out->kind == RouteKind::kBroadcast) return DropReason::kDestinationBroadcast;
  if (!comes_the_right_way(config, ingress, ways.back, source)) return DropReason::kReversePath;
  if (is_bogon(config.ports[ingress], ways.back, source)) return DropReason::kBogon;
  const bool leaves = ways.out != nullptr && is_bogon(config.ports[ways.out->port], ways.out, destination);
  return leaves ? DropReason::kBogon : DropReason::kNone;
}

}  // namespace sekisho::dataplane::path
