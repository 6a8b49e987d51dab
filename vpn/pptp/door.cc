// SPDX-License-Identifier: Apache-2.0
#include "vpn/pptp/door.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/net/service_address.h"

namespace sekisho::vpn::pptp {
namespace {

constexpr int kBacklog = 256;
constexpr std::size_t kAcceptsATurn = 64, kPacketsATurn = 512, kEventsATurn = 256;
/// Epoll's words for what is no call.
constexpr std::uint64_t kListenerWord = std::uint64_t{1} << 32, kGreWord = kListenerWord + 1;
constexpr int kGreQueueBytes = 4 << 20;
constexpr auto kCheckInterval = std::chrono::seconds(1);

Error os_error() { return {ErrorCode::kUnavailable, ErrorSite::kOs, static_cast<std::uint32_t>(errno)}; }

Endpoint endpoint_of(const sockaddr_in& from) { return {Address::from_v4(ntohl(from.sin_addr.s_addr)), ntohs(from.sin_port)}; }

bool watch(int events, int socket, std::uint64_t word) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = word;
  return ::epoll_ctl(events, EPOLL_CTL_ADD, socket, &event) == 0;
}

}  // namespace

Result<std::unique_ptr<PptpDoor>> PptpDoor::create(const PppLogin::Ports& ports, SessionIds& ids, const Limits& limits, Clock clock) {
  std::unique_ptr<PptpDoor> out(new PptpDoor(ports, ids, limits, std::move(clock)));
  SEKISHO_CHECK_OK(out->open());
  return out;
}

Result<void> PptpDoor::open() {
  events_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  gre_ = Fd(::socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_GRE));
  if (!events_.valid() || !listener_.valid() || !gre_.valid()) return os_error();
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_port = htons(kPptpPort);
  const int on = 1;
  (void)::setsockopt(gre_.get(), SOL_SOCKET, SO_RCVBUF, &kGreQueueBytes, sizeof(kGreQueueBytes));  // less is slower, not wrong
  const bool made = ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                    ::setsockopt(listener_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
                    ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&any), sizeof(any)) == 0 &&
                    ::listen(listener_.get(), kBacklog) == 0 &&
                    watch(events_.get(), listener_.get(), kListenerWord) && watch(events_.get(), gre_.get(), kGreWord);
  if (!made) return os_error();
  return {};
}

void PptpDoor::follow(const std::shared_ptr<const Plan>& plan) {
  services_.clear();
  for (const auto& [id, tenant] : plan->tenants) {
    for (const GatewayPlan& one : tenant.gateways) {
      if (!one.pptp) continue;
      for (const auto& [number, address] : one.pptp->services) {
        services_[number] = {id, one.pptp->port, address, one.gateway.name, one.pptp->valid_until};
      }
    }
  }
  next_check_ = {};
}

bool PptpDoor::accept_all(Time now) {
  for (std::size_t i = 0; i < kAcceptsATurn; ++i) {
    sockaddr_in from{}, to{};
    socklen_t from_length = sizeof(from), to_length = sizeof(to);
    Fd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&from), &from_length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) return i > 0;
    if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&to), &to_length) != 0) continue;
    accept_one(std::move(socket), endpoint_of(to), endpoint_of(from), now);
  }
  return true;
}

std::uint16_t PptpDoor::free_number() {
  while (++last_number_ == 0 || calls_.contains(last_number_)) {
  }
  return last_number_;
}

void PptpDoor::accept_one(Fd socket, const Endpoint& local, const Endpoint& remote, Time now) {
  const std::uint32_t number = service_of(local.address);
  const auto service = services_.find(number);
  if (service == services_.end() || calls_.size() >= limits_.connections) return;
  const Service& at = service->second;
  if (!half_open_.admit(at.tenant, remote.address, clock_())) return;
  Session session;
  session.id = ids_.next();
  session.protocol = Protocol::kPptp;
  session.path.tenant = at.tenant;
  session.path.port = at.port;
  session.path.local = {at.address, local.port};
  session.path.remote = remote;
  const std::uint16_t call = free_number();
  if (!watch(events_.get(), socket.get(), call)) return;
  half_open_.begun(call, at.tenant, remote.address);
  // Who comes too late is told so when he places his call: the connection alone is no attempt, and has no record.
  const Call::Settings settings{at.gateway, call, gre_.get(), local.address, [this, number] { return ended(number); }};
  calls_[call] = {std::make_unique<Call>(std::move(socket), settings, ports_, std::move(session), now), number, remote.address};
}

bool PptpDoor::take_gre(Time now) {
  std::array<std::uint8_t, 2048> buffer;
  for (std::size_t i = 0; i < kPacketsATurn; ++i) {
    const ssize_t size = ::recvfrom(gre_.get(), buffer.data(), buffer.size(), MSG_TRUNC, nullptr, nullptr);
    if (size < 0) return i > 0;
    // The kernel has checked the header it hands over with the packet.
    const ByteSpan packet = ByteSpan(buffer).first(std::min(buffer.size(), static_cast<std::size_t>(size)));
    const std::size_t header = packet.size() < 20 ? packet.size() : std::min<std::size_t>((packet[0] & 15U) * 4, packet.size());
    const auto parsed = parse_gre(packet.subspan(header));
    if (!parsed) continue;
    const auto found = calls_.find(parsed->call);
    if (found == calls_.end()) continue;
    const auto source = Address::from_wire(packet.subspan(12, 4)), destination = Address::from_wire(packet.subspan(16, 4));
    // A call's number is no secret: its packets come from its client to the address it was placed at.
    if (*source != found->second.client || service_of(*destination) != found->second.service) continue;
    found->second.call->gre(packet.subspan(header), now);
    settle(found->first, now);
  }
  return true;
}

void PptpDoor::settle(std::uint16_t number, Time now) {
  const auto found = calls_.find(number);
  if (found == calls_.end()) return;
  Entry& entry = found->second;
  if (entry.call->due() <= now) entry.call->tick(now);
  if (entry.counted && (entry.call->is_up() || entry.call->finished())) {
    entry.counted = false;
    half_open_.ended(number);
    const Session& session = entry.call->session();
    if (entry.call->is_up()) half_open_.came_in(session.path.tenant, entry.client, std::hash<std::string>()(session.user), clock_());
  }
  if (entry.tunnel != entry.call->tunnel()) {
    tunnels_.erase(entry.tunnel);
    entry.tunnel = entry.call->tunnel();
    if (entry.tunnel != 0) tunnels_[entry.tunnel] = number;
  }
  if (entry.call->finished()) calls_.erase(found);  // closing the socket takes it out of epoll
}

bool PptpDoor::turn(Time now) {
  std::array<epoll_event, kEventsATurn> events;
  const int count = ::epoll_wait(events_.get(), events.data(), static_cast<int>(events.size()), 0);
  bool worked = count > 0;
  for (int i = 0; i < count; ++i) {
    const std::uint64_t word = events[static_cast<std::size_t>(i)].data.u64;
    if (word == kListenerWord) {
      accept_all(now);
    } else if (word == kGreWord) {
      take_gre(now);
    } else if (const auto found = calls_.find(static_cast<std::uint16_t>(word)); found != calls_.end()) {
      found->second.call->read(now);
    }
  }
  std::vector<std::uint16_t> numbers;
  for (const auto& [number, entry] : calls_) numbers.push_back(number);
  for (const std::uint16_t number : numbers) settle(number, now);
  if (now >= next_check_) {
    next_check_ = now + kCheckInterval;
    end_expired(now);
  }
  return worked;
}

bool PptpDoor::ended(std::uint32_t service) const {
  const auto found = services_.find(service);
  return found == services_.end() || clock_() >= found->second.valid_until;
}

void PptpDoor::end_expired(Time now) {
  for (auto& [number, entry] : calls_) {
    const auto service = services_.find(entry.service);
    if (service == services_.end()) {
      entry.call->end(Cause::kConfig, "the gateway serves no PPTP any more", now);
    } else if (ended(entry.service) && !entry.call->waits()) {
      entry.call->end(Cause::kConfig, Call::kEnded, now);
    }
  }
}

void PptpDoor::take(const Path& path, ByteSpan payload, Time /*now*/) {
  const auto found = tunnels_.find(path.tunnel);
  if (found != tunnels_.end()) calls_.at(found->second).call->send(payload);
}

std::vector<Session> PptpDoor::sessions() const {
  std::vector<Session> out;
  for (const auto& [number, entry] : calls_) {
    if (entry.call->is_up()) out.push_back(entry.call->session());
  }
  std::sort(out.begin(), out.end(), [](const Session& a, const Session& b) { return a.id < b.id; });
  return out;
}

bool PptpDoor::judged(const radius::Verdict& verdict, Time now) {
  const auto is_his = [&verdict](const auto& one) { return one.second.call->session().id == verdict.session; };
  const auto found = std::find_if(calls_.begin(), calls_.end(), is_his);
  if (found == calls_.end()) return false;
  found->second.call->judged(verdict, now);
  settle(found->first, now);
  return true;
}

bool PptpDoor::end(std::uint64_t session, Cause cause, std::string_view text) {
  const Time now = std::chrono::steady_clock::now();
  for (auto& [number, entry] : calls_) {
    if (entry.call->session().id == session) return entry.call->end(cause, text, now);
  }
  return false;
}

void PptpDoor::close(Time now) {
  listener_ = Fd();
  for (auto& [number, entry] : calls_) {
    entry.call->end(Cause::kMaintenance, sentence_of(Cause::kMaintenance, true), now);
    entry.call->tick(now);
  }
  calls_.clear();
}

}  // namespace sekisho::vpn::pptp
