// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/door.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "base/net/service_address.h"

namespace sekisho::vpn::sstp {
namespace {

constexpr int kBacklog = 1024, kEventsATurn = 256;
constexpr std::size_t kAcceptsATurn = 64, kDuesATurn = 1024, kHandshakesATurn = 8;
/// Epoll's word for a listener: no session has such an id.
constexpr std::uint64_t kListenerBit = std::uint64_t{1} << 63;

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }

std::optional<Endpoint> endpoint_of(const sockaddr_storage& from) {
  Endpoint out;
  if (from.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(from);
    out = {Address::from_v4(ntohl(four.sin_addr.s_addr)), ntohs(four.sin_port)};
  } else if (from.ss_family == AF_INET6) {
    const auto& six = reinterpret_cast<const sockaddr_in6&>(from);
    const auto address = Address::from_wire({six.sin6_addr.s6_addr, 16});
    if (!address) return std::nullopt;
    out = {*address, ntohs(six.sin6_port)};
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<SstpDoor>> SstpDoor::create(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits) {
  std::unique_ptr<SstpDoor> out(new SstpDoor(ports, ids, limits));
  out->events_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!out->events_.valid()) return os_error();
  SEKISHO_CHECK_OK(out->listen(AF_INET));
  SEKISHO_CHECK_OK(out->listen(AF_INET6));
  return out;
}

SstpDoor::~SstpDoor() = default;

Result<void> SstpDoor::listen(int family) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_storage any{};
  any.ss_family = static_cast<sa_family_t>(family);
  socklen_t length = sizeof(sockaddr_in);
  reinterpret_cast<sockaddr_in&>(any).sin_port = htons(limits_.port);
  if (family == AF_INET6) {
    length = sizeof(sockaddr_in6);
    reinterpret_cast<sockaddr_in6&>(any).sin6_port = htons(limits_.port);
  }
  const bool made = socket.valid() && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                    (family != AF_INET6 || ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
                    // taken over by each accepted socket: nobody has to ask for it in the sandbox
                    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
                    ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), length) == 0 && ::listen(socket.get(), kBacklog) == 0;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListenerBit | listeners_.size();
  if (!made || ::epoll_ctl(events_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) return os_error();
  listeners_.push_back(std::move(socket));
  return {};
}

// --- configuration -------------------------------------------------------------------------------------------------------

std::shared_ptr<const TlsGateway> SstpDoor::tls_of(const SstpPlan& plan, const std::string& name) {
  std::string from(plan.aes128 ? "1" : "0");
  for (const auto* texts : {&plan.certificates, &plan.vouching, &plan.ocsp}) {
    for (const std::string& text : *texts) from += text;
  }
  auto& [known, made] = made_[name];
  if (made && known == from) return made;
  std::string refusal;
  auto fresh = TlsGateway::make(plan, refusal);
  if (!fresh) std::fprintf(stderr, "tunneld: gateway %s answers nobody by SSTP: %s\n", name.c_str(), refusal.c_str());
  known = fresh ? from : std::string();
  made = std::move(fresh);
  return made;
}

void SstpDoor::follow(const std::shared_ptr<const Plan>& plan) {
  std::unordered_map<std::uint32_t, Service> services;
  std::vector<std::string> names;
  for (const auto& [id, tenant] : plan->tenants) {
    for (const GatewayPlan& one : tenant.gateways) {
      if (!one.sstp) continue;
      names.push_back(tenant.service_code + '/' + one.gateway.name);
      const auto tls = tls_of(*one.sstp, names.back());
      if (!tls) continue;
      for (const auto& [number, address] : one.sstp->services) {
        services[number] = {id, one.sstp->port, address, one.gateway.name, one.sstp->sha1, methods_of(one.sstp->accept), tls};
      }
    }
  }
  std::erase_if(made_, [&names](const auto& one) { return std::find(names.begin(), names.end(), one.first) == names.end(); });
  services_ = std::move(services);
}

// --- connections ---------------------------------------------------------------------------------------------------------

void SstpDoor::accept_all(int listener, Time now) {
  for (std::size_t i = 0; i < kAcceptsATurn; ++i) {
    sockaddr_storage from{}, to{};
    socklen_t from_length = sizeof(from), to_length = sizeof(to);
    Fd socket(::accept4(listener, reinterpret_cast<sockaddr*>(&from), &from_length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&to), &to_length) != 0) continue;
    const auto remote = endpoint_of(from);
    const auto local = endpoint_of(to);
    if (remote && local) accept_one(std::move(socket), *local, *remote, now);
  }
}

void SstpDoor::accept_one(Fd socket, const Endpoint& local, const Endpoint& remote, Time now) {
  const auto service = services_.find(service_of(local.address));
  if (service == services_.end() || connections_.size() >= limits_.connections) {
    ++refused_;
    return;
  }
  const Service& at = service->second;
  if (!half_open_.admit(at.tenant, remote.address, std::time(nullptr))) {
    ++refused_;
    return;
  }
  Session session;
  session.id = ids_.next();
  session.protocol = Protocol::kSstp;
  session.path = {at.tenant, at.port, {at.address, local.port}, remote};
  const std::uint64_t id = session.id;
  Connection::Settings settings;
  settings.gateway = at.gateway;
  settings.sha1 = at.sha1;
  settings.ppp.methods = at.methods;
  settings.ppp.echo_interval = std::chrono::seconds(0);  // SSTP has its own
  settings.tls = at.tls;
  if (ports_.certificates != nullptr) settings.eap_tls = ports_.certificates->tls_of(at.tenant, at.gateway, Protocol::kSstp);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = id;
  if (::epoll_ctl(events_.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) return;
  half_open_.begun(static_cast<std::uint32_t>(id), at.tenant, remote.address);
  Entry entry;
  entry.connection = std::make_unique<Connection>(std::move(socket), std::move(settings), ports_, std::move(session), now);
  const auto added = connections_.emplace(id, std::move(entry)).first;
  settle(id, added->second, now);
  activate(id);
}

void SstpDoor::activate(std::uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end() || std::exchange(found->second.active, true)) return;
  active_.push_back(id);
}

void SstpDoor::settle(std::uint64_t id, Entry& entry, Time now) {
  Connection& connection = *entry.connection;
  connection.write(now);
  if (connection.finished()) return forget(id);
  if (connection.unchoke()) activate(id);
  const auto attempt = static_cast<std::uint32_t>(id);
  if (entry.counted && !connection.half_open()) {
    entry.counted = false;
    half_open_.ended(attempt);
    const Session& session = connection.session();
    const std::size_t user = std::hash<std::string>()(folded(session.user));
    if (connection.is_up()) half_open_.came_in(session.path.tenant, session.path.remote.address, user, std::time(nullptr));
  }
  if (entry.tunnel != connection.tunnel()) {
    tunnels_.erase(entry.tunnel);
    entry.tunnel = connection.tunnel();
    if (entry.tunnel != 0) tunnels_[entry.tunnel] = id;
  }
  const Time due = connection.due();
  if (due < entry.scheduled) {
    entry.scheduled = due;
    dues_.emplace(due, id);
  }
}

void SstpDoor::forget(std::uint64_t id) {
  const auto found = connections_.find(id);
  half_open_.ended(static_cast<std::uint32_t>(id));
  tunnels_.erase(found->second.tunnel);
  connections_.erase(found);  // closing the socket takes it out of epoll
}

bool SstpDoor::turn(Time now) {
  std::array<epoll_event, kEventsATurn> events;
  const int count = ::epoll_wait(events_.get(), events.data(), kEventsATurn, 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t word = events[static_cast<std::size_t>(i)].data.u64;
    if ((word & kListenerBit) != 0) {
      accept_all(listeners_[word & ~kListenerBit].get(), now);
    } else {
      activate(word);
    }
  }
  std::vector<std::uint64_t> active = std::exchange(active_, {});
  std::size_t handshakes = 0;
  for (const std::uint64_t id : active) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    found->second.active = false;
    if (found->second.connection->shaking() && ++handshakes > kHandshakesATurn) {
      activate(id);  // those who are in come first
      continue;
    }
    const std::uint64_t before = found->second.connection->received();
    const bool more = found->second.connection->read(now);
    received_ += found->second.connection->received() - before;
    settle(id, found->second, now);
    if (more) activate(id);
  }
  for (std::size_t i = 0; i < kDuesATurn && !dues_.empty() && dues_.top().first <= now; ++i) {
    const auto [due, id] = dues_.top();
    dues_.pop();
    const auto found = connections_.find(id);
    if (found == connections_.end() || found->second.scheduled != due) continue;
    found->second.scheduled = Time::max();
    if (found->second.connection->due() <= now) found->second.connection->tick(now);
    settle(id, found->second, now);
  }
  return count > 0 || !active.empty();
}

void SstpDoor::take(const Path& path, ByteSpan payload, Time now) {
  const auto found = tunnels_.find(path.tunnel);
  if (found == tunnels_.end()) return;
  connections_.at(found->second).connection->send(payload, now);
  activate(found->second);
}

std::vector<Session> SstpDoor::sessions() const {
  std::vector<Session> out;
  for (const auto& [id, entry] : connections_) {
    if (entry.connection->is_up()) out.push_back(entry.connection->session());
  }
  std::sort(out.begin(), out.end(), [](const Session& a, const Session& b) { return a.id < b.id; });
  return out;
}

bool SstpDoor::judged(const radius::Verdict& verdict, Time now) {
  const auto found = connections_.find(verdict.session);
  if (found == connections_.end()) return false;
  found->second.connection->judged(verdict, now);
  settle(verdict.session, found->second, now);
  return true;
}

bool SstpDoor::end(std::uint64_t session, Cause cause, std::string_view text) {
  const auto found = connections_.find(session);
  if (found == connections_.end()) return false;
  const Time now = std::chrono::steady_clock::now();
  if (!found->second.connection->end(cause, text, now)) return false;
  settle(session, found->second, now);
  return true;
}

void SstpDoor::close(Time now) {
  listeners_.clear();
  std::vector<std::uint64_t> ids;
  for (const auto& [id, entry] : connections_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    Entry& entry = connections_.at(id);
    entry.connection->end(Cause::kMaintenance, sentence_of(Cause::kMaintenance, true), now);
    settle(id, entry, now);
  }
  connections_.clear();
}

}  // namespace sekisho::vpn::sstp
