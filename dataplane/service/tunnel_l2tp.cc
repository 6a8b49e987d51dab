// SPDX-License-Identifier: Apache-2.0
// L2TP's part of tunnel.sock: carriers, which own SAs in transport mode and no addresses, and sessions, which have addresses and ride
// on a carrier. A carrier's SAs each know its sessions; a session's Leases leave by the carrier's newest outbound SA.
#include <algorithm>

#include "dataplane/service/tunnel_service.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kSessionMtuMin = 576, kSessionMtuMax = 0xffff;
/// Of the box's tunnels, what one tenant's carriers may have on which nobody has logged in: their key is known to all its users.
constexpr std::size_t kIdleCarriersPart = 16, kIdleCarriersMin = 16;

bool is_id(std::uint32_t value) { return value != 0 && value <= 0xffff; }

}  // namespace

std::string TunnelService::open_carrier(KeyingDaemon from, const ipc::OpenTunnel& request) {
  if (from != KeyingDaemon::kIkeV1 && from != KeyingDaemon::kIkeV2) return "a carrier is opened by who keys it";
  const bool bare = request.leases().empty() && request.tunnel_port() == 0 && request.user() == 0 && !request.ring() && !request.has_l2tp();
  if (!bare) return "a carrier has no Port, user or leases";
  if (tunnels_.size() >= engine_.shard(0).limits.tunnels) return "as many tunnels are open as there is room for";
  const auto idle = std::count_if(tunnels_.begin(), tunnels_.end(), [&request](const auto& one) {
    return one.second.carrier && one.second.tenant == request.tenant() && one.second.riders.empty();
  });
  const std::size_t idle_max = std::max<std::size_t>(engine_.shard(0).limits.tunnels / kIdleCarriersPart, kIdleCarriersMin);
  if (static_cast<std::size_t>(idle) >= idle_max) return "as many carriers of the tenant wait for a login as may";
  Tunnel tunnel;
  tunnel.tenant = request.tenant();
  tunnel.note = request.note();
  tunnel.carrier = true;
  tunnels_.emplace(request.tunnel(), std::move(tunnel));
  return {};
}

/// Makes the session a tunnel asks to be; the reason of a refusal.
std::string TunnelService::make_session(KeyingDaemon from, const ipc::OpenTunnel& request, Tunnel& out) const {
  if (from != KeyingDaemon::kPpp) return "a session is opened by who speaks L2TP";
  const ipc::L2tpSession& asked = request.l2tp();
  const auto carrier = tunnels_.find(asked.carrier());
  if (request.ring() || carrier == tunnels_.end() || !carrier->second.carrier) return "no such carrier";
  if (carrier->second.tenant != request.tenant()) return "the carrier is another tenant's";
  const bool ids = is_id(asked.peer_port()) && is_id(asked.local_tunnel()) && is_id(asked.local_session()) && is_id(asked.peer_tunnel()) &&
                   is_id(asked.peer_session());
  if (!ids) return "ids and port are 1 to 65535";
  if (asked.mtu() < kSessionMtuMin || asked.mtu() > kSessionMtuMax) return "a session carries 576 to 65535 bytes";
  if (carrier->second.riders.size() >= L2tpCarrier::kRidersMax) return "as many sessions as a carrier has room for";
  for (const std::uint32_t number : carrier->second.riders) {
    const L2tpSession& other = *tunnels_.at(number).session;
    if (other.local_tunnel == asked.local_tunnel() && other.local_session == asked.local_session())
      return "another session of the carrier has these ids";
  }
  auto session = std::make_shared<L2tpSession>();
  session->tunnel = request.tunnel();
  session->port = request.tunnel_port();
  session->local_tunnel = static_cast<std::uint16_t>(asked.local_tunnel());
  session->local_session = static_cast<std::uint16_t>(asked.local_session());
  session->mtu = static_cast<std::uint16_t>(asked.mtu());
  session->header = filters::L2tpHeader::make(static_cast<std::uint16_t>(asked.peer_port()),
                                              static_cast<std::uint16_t>(asked.peer_tunnel()),
                                              static_cast<std::uint16_t>(asked.peer_session()), asked.sequenced());
  for (const Address& address : out.leases) session->leases.add({address, static_cast<std::uint8_t>(address.bits())});
  out.over = asked.carrier();
  out.asked = asked;
  out.session = std::move(session);
  return {};
}

/// The carrier a session rides on, while there is one.
TunnelService::Tunnel* TunnelService::carrier_of(const Tunnel& tunnel) {
  const auto at = tunnel.over == 0 ? tunnels_.end() : tunnels_.find(tunnel.over);
  return at == tunnels_.end() ? nullptr : &at->second;
}

/// An open session is known to its carrier's SAs from now on.
void TunnelService::board(std::uint32_t number, Tunnel& tunnel) {
  Tunnel* const carrier = carrier_of(tunnel);
  if (carrier == nullptr) return;
  carrier->riders.push_back(number);
  for (const SaName& sa : carrier->sas) {
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      static_cast<void>(shard.tunnels_here.sas->add_session(sa.handle, tunnel.session));
    });
  }
  point_leases(number, tunnel);
}

/// And no longer: what the SAs carried of it is counted.
void TunnelService::alight(std::uint32_t number, Tunnel& tunnel) {
  Tunnel* const carrier = carrier_of(tunnel);
  if (carrier == nullptr) return;
  std::erase(carrier->riders, number);
  for (const SaName& sa : carrier->sas) {
    SaUse use;
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      if (const auto carried = shard.tunnels_here.sas->remove_session(sa.handle, number)) use = *carried;
    });
    count(tunnel, sa, use);
  }
}

/// A carrier's new SA carries the sessions that are there.
void TunnelService::load(const Tunnel& carrier, const SaName& sa) {
  for (const std::uint32_t number : carrier.riders) {
    const std::shared_ptr<L2tpSession> session = tunnels_.at(number).session;
    engine_.on_shard(Spi::worker(sa.handle),
                     [&](Shard& shard) { static_cast<void>(shard.tunnels_here.sas->add_session(sa.handle, session)); });
  }
}

/// An SA of a carrier is about to end: what it carried stays with the sessions.
void TunnelService::unload(const Tunnel& carrier, const SaName& sa) {
  for (const std::uint32_t number : carrier.riders) {
    SaUse use;
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      if (const auto carried = shard.tunnels_here.sas->remove_session(sa.handle, number)) use = *carried;
    });
    count(tunnels_.at(number), sa, use);
  }
}

void TunnelService::count(Tunnel& tunnel, const SaName& sa, const SaUse& use) {
  (sa.inbound ? tunnel.bytes_in : tunnel.bytes_out) += use.bytes;
  (sa.inbound ? tunnel.packets_in : tunnel.packets_out) += use.packets;
}

/// What a session's carrier has carried of it and not yet counted, and when its peer spoke last.
void TunnelService::add_session_use(std::uint32_t number, const Tunnel& tunnel, Tunnel& sum, ipc::TunnelUse& out) {
  const Tunnel* const carrier = carrier_of(tunnel);
  if (carrier == nullptr) return;
  for (const SaName& sa : carrier->sas) {
    SaUse use;
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      if (const auto carried = shard.tunnels_here.sas->query_session(sa.handle, number)) use = *carried;
      const std::uint64_t now = shard.steady_ns / 1'000'000'000;
      if (!sa.inbound || use.packets == 0) return;
      const std::uint64_t idle = now - std::min(now, use.last_used);
      if (!out.has_idle_seconds() || idle < out.idle_seconds()) out.set_idle_seconds(idle);
    });
    count(sum, sa, use);
  }
}

/// The daemon's datagrams, and the sessions' packets, leave by the newest outbound SA.
void TunnelService::point_carrier(std::uint32_t number, const Tunnel& carrier) {
  std::uint32_t newest = 0;
  for (const SaName& sa : carrier.sas) {
    if (!sa.inbound) newest = sa.handle;
  }
  engine_.on_shard(0, [&](Shard& shard) { shard.tunnels_here.carriers[number] = {carrier.tenant, newest}; });
  for (const std::uint32_t rider : carrier.riders) point_leases(rider, tunnels_.at(rider));
}

void TunnelService::point_session(std::uint32_t number, const Tunnel& tunnel) {
  Lease lease{.tunnel = number, .user = tunnel.user, .port = tunnel.port, .outbound = 0, .inner_mtu = 0};
  if (const Tunnel* const carrier = carrier_of(tunnel)) {
    for (const SaName& name : carrier->sas) {
      if (name.inbound) continue;
      engine_.on_shard(Spi::worker(name.handle), [&](Shard& shard) {
        const Sa* sa = shard.tunnels_here.sas->find(name.handle);
        if (sa == nullptr || sa->inner_mtu <= tunnel.session->header.used) return;
        lease.outbound = name.handle;
        lease.inner_mtu = std::min<std::uint16_t>(
            static_cast<std::uint16_t>(sa->inner_mtu - tunnel.session->header.used), tunnel.session->mtu);
      });
    }
  }
  for (const Address& address : tunnel.leases) engine_.leases().set(tunnel.tenant, address, lease);
}

/// A carrier ends: its sessions lead nowhere, and who opened them hears of it.
void TunnelService::end_carrier(std::uint32_t number, Tunnel& carrier) {
  engine_.on_shard(0, [&](Shard& shard) { shard.tunnels_here.carriers.erase(number); });
  if (carrier.riders.empty()) return;
  for (const std::uint32_t rider : std::exchange(carrier.riders, {})) {
    Tunnel& session = tunnels_.at(rider);
    session.over = 0;
    point_session(rider, session);
  }
  ipc::TunnelEvent event;
  event.mutable_carrier_gone()->set_carrier(number);
  event.mutable_carrier_gone()->set_tenant(carrier.tenant);
  tell(KeyingDaemon::kPpp, event);
}

}  // namespace sekisho::dataplane
