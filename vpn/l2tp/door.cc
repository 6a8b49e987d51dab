// SPDX-License-Identifier: Apache-2.0
#include "vpn/l2tp/door.h"

#include <algorithm>

#include "base/net/tunnel_dhcp.h"
#include "vpn/dhcp_inform.h"
#include "vpn/note.h"
#include "vpn/random.h"

namespace sekisho::vpn::l2tp {
namespace {

constexpr std::uint16_t kL2tpPort = 1701;
constexpr std::size_t kDuesATurn = 1024, kPeersMax = 65536;

}  // namespace

void L2tpDoor::follow(const std::shared_ptr<const Plan>& plan) {
  plan_ = plan;
  take_over();
}

void L2tpDoor::adopt(const LeftTunnel& left) {
  if (!left.ride) return;
  left_.insert_or_assign(left.tunnel, left);
  take_over();
}

/// One whose gateway speaks L2TP no more waits: the directory ends it.
void L2tpDoor::take_over() {
  const Time now = std::chrono::steady_clock::now();
  for (auto at = left_.begin(); at != left_.end();) {
    const auto here = at++;
    const LeftTunnel left = here->second;
    const auto note = read_note(left.note);
    const auto settings = note ? settings_of(left.tenant, note->down.vpn().gateway()) : std::nullopt;
    if (!settings) continue;
    left_.erase(here);
    const std::string& inner = note->down.vpn().inner_ipv6();
    const auto ipv6 = Address::from_wire({reinterpret_cast<const std::uint8_t*>(inner.data()), inner.size()});
    std::uint32_t magic = 0;
    make_random(magic);
    const Gateway& gateway = plan_->tenant(left.tenant)->gateway(note->down.vpn().gateway())->gateway;
    ppp::OrphanLink link(ipv6 ? std::optional(*ipv6) : std::nullopt, gateway.dns, left.ride->mtu, magic | 1);
    const std::uint32_t carrier = left.ride->carrier;
    const Endpoint nobody{Address::from_v4(0), kL2tpPort}, peer{Address::from_v4(0), left.ride->peer_port};
    auto found = peers_.find(carrier);
    if (found == peers_.end()) {
      const Path path{left.tenant, 0, nobody, peer, carrier};
      found = peers_.emplace(carrier, Entry{std::make_unique<Peer>(ports_, ids_, *settings, path)}).first;
    }
    found->second.peer->adopt({left.tunnel, *left.ride, std::move(link)}, now);
    settle(carrier, now);
  }
}

void L2tpDoor::end_left(std::uint32_t tunnel, std::string_view text) {
  left_.erase(tunnel);
  const Time now = std::chrono::steady_clock::now();
  for (const auto& [carrier, entry] : peers_) {
    if (entry.peer->end_left(tunnel, text, now)) return settle(carrier, now);
  }
}

/// Of the tenant's gateway at the address a client came to; nothing: none there speaks L2TP.
std::optional<Peer::Settings> L2tpDoor::settings_at(const Path& path) const {
  const TenantPlan* tenant = plan_ ? plan_->tenant(path.tenant) : nullptr;
  return tenant == nullptr ? std::nullopt : settings_of(path.tenant, tenant->gateway_at(path.local.address));
}

std::optional<Peer::Settings> L2tpDoor::settings_of(std::uint32_t of, std::string_view gateway) const {
  const TenantPlan* tenant = plan_ ? plan_->tenant(of) : nullptr;
  const GatewayPlan* at = tenant == nullptr ? nullptr : tenant->gateway(gateway);
  if (at == nullptr || !at->l2tp) return std::nullopt;
  Peer::Settings out;
  out.gateway = at->gateway.name;
  out.ppp.methods = methods_of(at->l2tp->accept);
  if (ports_.certificates != nullptr) out.eap_tls = ports_.certificates->tls_of(of, out.gateway, Protocol::kL2tp);
  if (out.ppp.methods.empty()) return std::nullopt;
  out.ppp.header_compression = true;
  return out;
}

void L2tpDoor::take(const Path& path, ByteSpan payload, Time now) {
  if (path.local.port == kDhcpServerPort) return answer_dhcp(path, payload);
  auto found = peers_.find(path.tunnel);
  if (found == peers_.end()) {
    const auto settings = peers_.size() < kPeersMax && is_control(payload) ? settings_at(path) : std::nullopt;
    if (!settings) return;
    found = peers_.emplace(path.tunnel, Entry{std::make_unique<Peer>(ports_, ids_, *settings, path)}).first;
  }
  found->second.peer->receive(path, payload, now);
  settle(path.tunnel, now);
}

/// A question out of a session, from the Lease it is about.
void L2tpDoor::answer_dhcp(const Path& path, ByteSpan payload) {
  const auto request = parse_dhcp_inform(payload, path.remote.address);
  const TenantPlan* tenant = plan_ ? plan_->tenant(path.tenant) : nullptr;
  const auto name = ports_.directory.gateway_at(path.tenant, path.remote.address);
  const GatewayPlan* at = tenant != nullptr && name ? tenant->gateway(*name) : nullptr;
  if (!request || at == nullptr) return;
  const Gateway& gateway = at->gateway;
  const DhcpFacts facts{gateway.networks, gateway.dns, gateway.dns_domains.empty() ? std::string_view{} : gateway.dns_domains.front()};
  const Path back{path.tenant,
                  path.port,
                  {Address::from_v4(kTunnelDhcpServerV4), kDhcpServerPort},
                  {path.remote.address, kDhcpClientPort},
                  0};
  ports_.tunnels.send(back, answer_dhcp_inform(*request, path.remote.address, facts));
}

void L2tpDoor::settle(std::uint32_t carrier, Time now) {
  const auto found = peers_.find(carrier);
  if (found == peers_.end()) return;
  for (const Peer::LeftOver& one : found->second.peer->take_left_over()) left_over_.push_back(one);
  if (found->second.peer->finished()) {
    peers_.erase(found);
    return;
  }
  const Time due = std::max(found->second.peer->due(), now);
  if (due >= found->second.scheduled) return;
  found->second.scheduled = due;
  dues_.emplace(due, carrier);
}

bool L2tpDoor::turn(Time now) {
  bool worked = false;
  for (std::size_t i = 0; i < kDuesATurn && !dues_.empty() && dues_.top().first <= now; ++i) {
    const auto [due, carrier] = dues_.top();
    dues_.pop();
    const auto found = peers_.find(carrier);
    if (found == peers_.end() || found->second.scheduled != due) continue;
    found->second.scheduled = Time::max();
    worked = worked || found->second.peer->due() <= now;
    found->second.peer->tick(now);
    settle(carrier, now);
  }
  return worked;
}

std::vector<Session> L2tpDoor::sessions() const {
  std::vector<Session> out;
  for (const auto& [carrier, entry] : peers_) entry.peer->list(out);
  std::sort(out.begin(), out.end(), [](const Session& a, const Session& b) { return a.id < b.id; });
  return out;
}

bool L2tpDoor::judged(const radius::Verdict& verdict, Time now) {
  for (const auto& [carrier, entry] : peers_) {
    if (!entry.peer->judged(verdict, now)) continue;
    settle(carrier, now);
    return true;
  }
  return false;
}

bool L2tpDoor::end(std::uint64_t session, Cause cause, std::string_view text) {
  const Time now = std::chrono::steady_clock::now();
  for (const auto& [carrier, entry] : peers_) {
    if (!entry.peer->end(session, cause, text, now)) continue;
    settle(carrier, now);
    return true;
  }
  return false;
}

void L2tpDoor::carrier_gone(std::uint32_t carrier) {
  const auto found = peers_.find(carrier);
  if (found == peers_.end()) return;
  const Time now = std::chrono::steady_clock::now();
  found->second.peer->lost("its IPsec ended", now);
  settle(carrier, now);
  peers_.erase(carrier);
}

void L2tpDoor::close(Time now) {
  for (const auto& [carrier, entry] : peers_) {
    entry.peer->close(Cause::kMaintenance, now);
    for (const Peer::LeftOver& one : entry.peer->take_left_over()) left_over_.push_back(one);
  }
  peers_.clear();
}

}  // namespace sekisho::vpn::l2tp
