// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "filters/policy/snapshot_builder.h"
#include "tests/support/frames.h"

/// Remote users in the topology of tests/support/world.h.
namespace sekisho::tests {

namespace snapshot = filters::snapshot;

inline constexpr std::uint32_t kTunnelPortA = 21, kTunnelPortB = 31, kUserA = 5, kUserB = 6;
inline constexpr std::uint64_t kVpnZone = 8;
inline constexpr const char* kGatewayA4 = "203.0.113.18";
inline constexpr const char* kGatewayA6 = "2001:db8:a::18";
inline constexpr const char* kGatewayB4 = "203.0.113.34";
inline constexpr const char* kPeer4 = "198.51.100.9";
inline constexpr const char* kPeer6 = "2001:db8:ffff::9";
inline constexpr const char* kLease4 = "10.9.0.5";
inline constexpr const char* kLease6 = "fd00:9::5";

/// A zone "vpn" with a tunnel Port for each tenant, its addresses routed there, gateways on the shares.
inline void add_tunnels(filters::SnapshotBuilder& builder) {
  const auto add = [&](std::uint32_t tenant, std::uint32_t port_id, std::uint32_t share, std::vector<const char*> gateways, std::uint32_t user) {
    snapshot::Tenant& entry = builder.tenants[tenant];
    builder.zones.insert(builder.zones.begin() + entry.zones.first + entry.zones.count, {builder.string("vpn")});
    const auto zone = static_cast<std::uint8_t>(entry.zones.count++);
    snapshot::Port port{};
    port.id = port_id;
    port.tenant = tenant;
    port.kind = snapshot::PortKind::kTunnel;
    port.nic = port.uplink = port.binding = snapshot::kNone;
    port.zone = zone;
    port.mtu = 1500;
    port.name = builder.string("tunnels");
    port.addresses = {static_cast<std::uint32_t>(builder.port_addresses.size()), 0};
    const auto index = static_cast<std::uint32_t>(builder.ports.size());
    builder.ports.push_back(port);
    const auto at = builder.routes.begin() + entry.routes.first + entry.routes.count;
    builder.routes.insert(at, {{parse_prefix("10.9.0.0/24").value(), 0, 0, index, {}, {}}, {parse_prefix("fd00:9::/64").value(), 0, 0, index, {}, {}}});
    entry.routes.count += 2;
    for (std::size_t later = tenant + 1; later < builder.tenants.size(); ++later) {
      builder.tenants[later].zones.first += 1;
      builder.tenants[later].routes.first += 2;
    }
    for (const char* gateway : gateways) {
      const auto service = static_cast<std::uint32_t>(builder.gateways.size() + 1);
      // The first tenant's have PPTP, too.
      const std::uint32_t serves = snapshot::kServesSstp | (tenant == 0 ? snapshot::kServesPptp : 0);
      builder.gateways.push_back({address(gateway), {}, tenant, share, index, service, serves});
    }
    builder.users.push_back({user, tenant, 1});
  };
  add(0, kTunnelPortA, 2, {kGatewayA4, kGatewayA6}, kUserA);
  const auto radius = [&](std::uint32_t tenant, const char* local, const char* remote, std::uint8_t changes) {
    builder.radius_peers.push_back({address(local), address(remote), 1812, 1813, changes, 0, tenant});
  };
  radius(0, "10.0.0.1", "10.0.0.2", 1);
  radius(0, "fd00:0:0:1::1", "fd00:0:0:1::2", 0);
  if (builder.tenants.size() > 1) radius(1, "10.0.0.1", "10.0.0.2", 0);
  if (builder.tenants.size() > 1) add(1, kTunnelPortB, 6, {kGatewayB4}, kUserB);
  std::sort(builder.gateways.begin(), builder.gateways.end(),
            [](const auto& a, const auto& b) { return std::tie(a.port, a.address) < std::tie(b.port, b.address); });
}

}  // namespace sekisho::tests
