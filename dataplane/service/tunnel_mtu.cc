// SPDX-License-Identifier: Apache-2.0
// What routers say of the outer packets' size (RFC 4301 8.2). A report is believed when its addresses, SPI and sequence
// number are those of a packet an SA has sent; it holds for the tunnel's way to that peer for ten minutes (8.2.3, RFC 1191
// 6.3) and, through the Leases, for what senders are answered and SYNs are clamped to.
#include <algorithm>

#include "dataplane/service/tunnel_service.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint64_t kPathSeconds = 600;
constexpr std::uint32_t kSequencesBack = 1U << 20;  // a complaint about an older packet is nobody's

std::uint64_t now_of(const Shard& shard) { return shard.steady_ns / 1'000'000'000; }

bool sent(const Sa& sa, std::uint32_t sequence) {
  const std::uint32_t back = static_cast<std::uint32_t>(sa.use.sequence) - sequence;
  return back < kSequencesBack && back < sa.use.sequence;
}

}  // namespace

void TunnelService::hear(const std::vector<PathReport>& reports) {
  for (auto& entry : tunnels_) {
    Tunnel& tunnel = entry.second;  // a name that lambdas may capture
    for (const SaName& sa : tunnel.sas) {
      const auto report = std::find_if(reports.begin(), reports.end(), [&](const PathReport& one) {
        return !sa.inbound && one.spi == sa.spi && one.tenant == tunnel.tenant;
      });
      if (report == reports.end() || !learn(*report, sa)) continue;
      if (tunnel.path_mtu == 0) ++narrow_;
      tunnel.path_peer = report->peer;
      tunnel.path_mtu = static_cast<std::uint16_t>(report->mtu);
      engine_.look(0, [&tunnel](const Shard& shard) { tunnel.path_until = now_of(shard) + kPathSeconds; });
      apply_path(entry.first, tunnel);
    }
  }
}

/// Whether the report is about a packet of this outbound SA, and says less than is known.
bool TunnelService::learn(const PathReport& report, const SaName& sa) {
  bool news = false;
  engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
    const Sa* const found = shard.tunnels_here.sas->find(sa.handle);
    if (found == nullptr) return;
    const auto is = [&](const EspEnd& end, const Address& address, std::uint16_t port) {
      return end.address == address && (found->in_udp ? end.port : 0) == port;
    };
    const std::uint32_t carried = found->path_mtu == 0 ? found->outer_mtu : std::min(found->path_mtu, found->outer_mtu);
    news = is(found->local, report.local, report.local_port) && is(found->peer, report.peer, report.peer_port) &&
           sent(*found, report.sequence) && report.mtu < carried;
  });
  return news;
}

/// Gives each outbound SA that leads to the peer what is known of the way there, and the Leases what their SA carries.
void TunnelService::apply_path(std::uint32_t number, Tunnel& tunnel) {
  for (const SaName& sa : tunnel.sas) {
    if (sa.inbound) continue;
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      SaTable& table = *shard.tunnels_here.sas;
      const Sa* const found = table.find(sa.handle);
      if (found == nullptr) return;
      const bool there = tunnel.path_mtu != 0 && found->peer.address == tunnel.path_peer;
      static_cast<void>(table.set_path_mtu(sa.handle, there ? tunnel.path_mtu : std::uint16_t{0}));
    });
  }
  point_leases(number, tunnel);
}

/// Ten minutes later the way may carry more: it is tried again.
void TunnelService::forget_paths() {
  std::uint64_t now = 0;
  engine_.look(0, [&now](const Shard& shard) { now = now_of(shard); });
  for (auto& [number, tunnel] : tunnels_) {
    if (tunnel.path_mtu == 0 || now < tunnel.path_until) continue;
    --narrow_;
    tunnel.path_mtu = 0;
    apply_path(number, tunnel);
  }
}

}  // namespace sekisho::dataplane
