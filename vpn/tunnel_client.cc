// SPDX-License-Identifier: Apache-2.0
// Overview. One connection; requests go out under `sending_`, each with a number, and its caller sleeps until the reader brings the
// answer with that number, or two seconds are over, or the connection is lost.
// Life-cycle. The reader connects, says hello, takes the rings out of the welcome, and only then are requests let through. A lost
// connection fails all that wait, forgets every SA and tunnel, and is told as DataplaneLost.
// Locks. Never two at once, but `state_` inside none; no lock is held across a request.
#include "vpn/random.h"
#include "vpn/tunnel_client.h"

#include <string.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/proto/tunnel.pb.h"
#include "vpn/plan.h"

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds kDeadline = 2s, kRetry = 200ms, kTick = 500ms;
constexpr std::size_t kNoteBytesMax = 1024, kLeasesMax = 4;

std::string wire_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

std::optional<Endpoint> endpoint_of(const std::string& bytes, std::uint32_t port) {
  const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (!address || port > 0xffff) return std::nullopt;
  return Endpoint{*address, static_cast<std::uint16_t>(port)};
}

void fill(ipc::TunnelPath& out, const Path& path) {
  out.set_tenant(path.tenant);
  out.set_port(path.port);
  out.set_local(wire_of(path.local.address));
  out.set_local_port(path.local.port);
  out.set_remote(wire_of(path.remote.address));
  out.set_remote_port(path.remote.port);
}

std::vector<std::uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

/// The fewest prefixes that cover a range exactly: selectors of IKE are ranges.
template <typename Repeated>
void add_prefixes(Repeated* out, const Selector& range) {
  Address at = range.first;
  while (at <= range.last) {
    unsigned length = at.bits();
    while (length > 0) {
      const Prefix wider{at, static_cast<std::uint8_t>(length - 1)};
      if (wider.first() != at || range.last < wider.last()) break;
      --length;
    }
    auto& prefix = *out->Add();
    prefix.set_address(wire_of(at));
    prefix.set_length(length);
    const Address last = Prefix{at, static_cast<std::uint8_t>(length)}.last();
    if (!(last < range.last)) return;
    at = last;
    for (std::size_t i = at.bits() / 8; i-- > 0 && ++at.bytes[i] == 0;) {
    }
  }
}

/// Only whole addresses can be said to the data plane.
bool whole(std::span<const Selector> selectors) {
  return std::all_of(selectors.begin(), selectors.end(),
                     [](const Selector& one) { return one.protocol == 0 && one.port_first == 0 && one.port_last == 0xffff; });
}

/// Whether selectors are L2TP's alone: what an SA in transport mode carries.
bool l2tp(std::span<const Selector> local, std::span<const Selector> remote) {
  constexpr std::uint8_t kUdp = 17;
  constexpr std::uint16_t kL2tpPort = 1701;
  const auto udp = [](const Selector& one) { return one.protocol == kUdp && one.first == one.last; };
  const auto ours = [](const Selector& one) { return one.port_first == kL2tpPort && one.port_last == kL2tpPort; };
  return local.size() == 1 && remote.size() == 1 && udp(local[0]) && udp(remote[0]) && ours(local[0]);
}

void fill(ipc::L2tpSession& out, const L2tpRide& ride) {
  out.set_carrier(ride.carrier);
  out.set_peer_port(ride.peer_port);
  out.set_local_tunnel(ride.local_tunnel);
  out.set_local_session(ride.local_session);
  out.set_peer_tunnel(ride.peer_tunnel);
  out.set_peer_session(ride.peer_session);
  out.set_sequenced(ride.sequenced);
  out.set_mtu(ride.mtu);
}

std::optional<L2tpRide> ride_of(const ipc::TunnelLeft& left) {
  if (!left.has_l2tp()) return std::nullopt;
  const ipc::L2tpSession& of = left.l2tp();
  const auto number = [](std::uint32_t value) { return static_cast<std::uint16_t>(value); };
  return L2tpRide{of.carrier(),           number(of.peer_port()),    number(of.local_tunnel()), number(of.local_session()),
                  number(of.peer_tunnel()), number(of.peer_session()), of.sequenced(),            number(of.mtu())};
}

SessionTunnelGone::Why why_of(ipc::TunnelGone::Why why) {
  return why == ipc::TunnelGone::LIMITS      ? SessionTunnelGone::Why::kLimits
         : why == ipc::TunnelGone::PORT_GONE ? SessionTunnelGone::Why::kPortGone
         : why == ipc::TunnelGone::CLOSED    ? SessionTunnelGone::Why::kClosed
                                             : SessionTunnelGone::Why::kReplaced;
}

}  // namespace

/// A caller that sleeps until his answer comes.
struct TunnelClient::Waiting {
  std::optional<ipc::FromTunnels> answer;
  bool over = false;
};

TunnelClient::TunnelClient(KeyingDaemon kind, std::string socket_path, OwnerOf owner_of)
    : kind_(kind), socket_path_(std::move(socket_path)), owner_of_(std::move(owner_of)) {
  // Not the numbers of the daemon before: what it left is told only after the first hello.
  make_random(last_number_);
  reader_ = std::thread([this] { run(); });
}

TunnelClient::~TunnelClient() {
  {
    const std::lock_guard lock(state_);
    stopping_ = true;
  }
  changed_.notify_all();
  reader_.join();
}

// --- the reader's thread ------------------------------------------------------------------------------------------------

void TunnelClient::run() {
  while (true) {
    {
      const std::lock_guard lock(state_);
      if (stopping_) break;
    }
    if (!connection_) {
      if (connect()) continue;
      std::unique_lock lock(state_);
      changed_.wait_for(lock, kRetry, [this] { return stopping_; });
      continue;
    }
    auto message = connection_->receive(kTick);
    if (message) {
      receive(*message);
      continue;
    }
    const Error error = message.error();
    if (error.code != ErrorCode::kUnavailable || error.detail != ETIMEDOUT) lose();
  }
  lose();
}

bool TunnelClient::connect() {
  auto made = IpcConnection::connect(socket_path_);
  if (!made) return false;
  auto connection = std::make_shared<IpcConnection>(std::move(*made));
  ipc::ToTunnels hello;
  hello.set_correlation(1);
  hello.mutable_hello()->set_kind(static_cast<ipc::TunnelHello::Kind>(index_of(kind_)));
  const std::string bytes = hello.SerializeAsString();
  if (!connection->send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kDeadline)) return false;
  auto answer = connection->receive(kDeadline);
  ipc::FromTunnels message;
  if (!answer || !message.ParseFromArray(answer->bytes.data(), static_cast<int>(answer->bytes.size()))) return false;
  if (!message.has_welcome()) {
    if (message.refused().reason() != last_refusal_) {
      last_refusal_ = message.refused().reason();
      std::fprintf(stderr, "iked: the data plane refuses: %s\n", last_refusal_.c_str());
    }
    return false;
  }
  last_refusal_.clear();
  {
    const std::lock_guard lock(sending_);
    connection_ = std::move(connection);
  }
  welcome(message.welcome(), std::move(answer->fds));
  return connection_ != nullptr;
}

void TunnelClient::welcome(const ipc::TunnelWelcome& message, std::vector<Fd> fds) {
  if (fds.size() != 2 * (std::size_t{message.punt_rings()} + 1)) return lose();
  std::vector<DatagramRingReader> punts;
  for (std::size_t i = 0; i + 2 < fds.size(); i += 2) {
    auto ring = DatagramRingReader::open(std::move(fds[i]), std::move(fds[i + 1]));
    if (!ring) return lose();
    punts.push_back(std::move(*ring));
  }
  auto inject = DatagramRingWriter::attach(std::move(fds[fds.size() - 2]), std::move(fds[fds.size() - 1]));
  if (!inject) return lose();
  {
    const std::lock_guard lock(inject_mutex_);
    inject_.emplace(std::move(*inject));
  }
  {
    const std::lock_guard lock(punt_mutex_);
    punts_ = std::move(punts);
  }
  std::vector<std::uint32_t> orphans;
  {
    const std::lock_guard lock(state_);
    connected_ = true;
    last_correlation_ = std::max<std::uint64_t>(last_correlation_, 1);
    signals_.emplace_back(DataplaneFound{});
    before_ = std::exchange(own_, {});
    for (const ipc::TunnelLeft& one : message.left()) {
      if (!take_left(one)) orphans.push_back(one.tunnel());
    }
  }
  for (const std::uint32_t tunnel : orphans) forget(tunnel);
}

/// Takes note of a tunnel of a daemon before. False: it is one of this process's own, which nobody needs any more.
bool TunnelClient::take_left(const ipc::TunnelLeft& one) {
  if (before_.contains(one.tunnel())) return false;
  LeftTunnel left{one.tunnel(), one.tenant(), bytes_of(one.note()), ride_of(one)};
  if (left_.insert_or_assign(one.tunnel(), left).second) signals_.emplace_back(std::move(left));
  return true;
}

void TunnelClient::lose() {
  {
    const std::lock_guard lock(sending_);
    connection_.reset();
  }
  {
    const std::lock_guard lock(inject_mutex_);
    inject_.reset();
  }
  {
    const std::lock_guard lock(punt_mutex_);
    punts_.clear();
  }
  {
    const std::lock_guard lock(state_);
    if (connected_) signals_.emplace_back(DataplaneLost{});
    connected_ = false;
    sas_.clear();
    allocated_.clear();
    for (auto& [session, tunnel] : tunnels_) tunnel.open = false;
    sessions_.clear();
    for (auto& [number, waiting] : waiting_) waiting->over = true;
  }
  changed_.notify_all();
}

void TunnelClient::receive(const IpcMessage& datagram) {
  ipc::FromTunnels message;
  if (!datagram.fds.empty() || !message.ParseFromArray(datagram.bytes.data(), static_cast<int>(datagram.bytes.size()))) return lose();
  if (message.has_event() && message.event().has_left()) {
    bool kept = false;
    {
      const std::lock_guard lock(state_);
      kept = take_left(message.event().left());
    }
    if (!kept) forget(message.event().left().tunnel());
    return;
  }
  if (message.has_event()) return take_event(message.event());
  {
    const std::lock_guard lock(state_);
    const auto found = waiting_.find(message.correlation());
    if (found == waiting_.end()) return;  // its caller did not wait any longer
    found->second->answer = std::move(message);
    found->second->over = true;
  }
  changed_.notify_all();
}

void TunnelClient::take_event(const ipc::TunnelEvent& event) {
  const std::lock_guard lock(state_);
  const auto local_of = [this](std::uint32_t spi) {
    const auto sa = sas_.find(Key{true, spi, 0, {}});
    return sa == sas_.end() ? std::optional<Endpoint>{} : sa->second.local;
  };
  if (event.has_limit() && event.limit().inbound()) {
    const auto local = local_of(event.limit().spi());
    if (local) signals_.emplace_back(SaLimitReached{event.limit().spi(), *local, event.limit().hard()});
  } else if (event.has_limit()) {
    // charon replaces a CHILD_SA by its inbound end: that of the same session.
    const auto owner = sessions_.find(event.limit().tunnel());
    if (owner == sessions_.end()) return;
    for (const auto& [key, sa] : sas_) {
      if (!std::get<0>(key) || sa.session != owner->second) continue;
      signals_.emplace_back(SaLimitReached{std::get<1>(key), sa.local, event.limit().hard()});
    }
  } else if (event.has_moved()) {
    const auto local = local_of(event.moved().spi());
    const auto remote = endpoint_of(event.moved().remote(), event.moved().remote_port());
    if (local && remote) signals_.emplace_back(PeerMovedTo{event.moved().spi(), *local, *remote});
  } else if (event.has_carrier_gone()) {
    signals_.emplace_back(CarrierLost{event.carrier_gone().carrier()});
  } else if (event.has_foreign_leases()) {
    for (const ipc::ForeignLease& one : event.foreign_leases().leases()) {
      const auto address = endpoint_of(one.address(), 0);
      if (address) signals_.emplace_back(ForeignLease{one.tenant(), address->address, one.held(), one.tunnel(), one.account(),
                                                       one.account_group(), one.since()});
    }
  } else if (event.has_gone()) {
    const ipc::TunnelGone& gone = event.gone();
    const TunnelTotals totals{gone.bytes_in(), gone.bytes_out(), gone.packets_in(), gone.packets_out()};
    const bool ours = own_.contains(gone.tunnel()) || before_.contains(gone.tunnel());
    if (left_.erase(gone.tunnel()) != 0 || !ours) {
      signals_.emplace_back(LeftTunnelGone{{gone.tunnel(), gone.tenant(), bytes_of(gone.note())}, why_of(gone.why()), totals});
      return;
    }
    const auto owner = sessions_.find(gone.tunnel());
    if (owner == sessions_.end()) return;
    Tunnel& tunnel = tunnels_.at(owner->second);
    tunnel.open = false;
    if (!tunnel.ring) tunnel.totals = totals;
    std::erase_if(sas_, [&owner](const auto& one) { return one.second.session == owner->second; });
    signals_.emplace_back(SessionTunnelGone{why_of(gone.why()), owner->second});
    sessions_.erase(owner);
  }
}

// --- asking --------------------------------------------------------------------------------------------------------------

bool TunnelClient::transmit(ipc::ToTunnels& request) {
  std::vector<std::uint8_t> bytes(request.ByteSizeLong());
  bool sent = request.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  {
    const std::lock_guard lock(sending_);
    sent = sent && connection_ && connection_->send(bytes, {}, kDeadline).has_value();
  }
  ::explicit_bzero(bytes.data(), bytes.size());
  return sent;
}

std::optional<ipc::FromTunnels> TunnelClient::ask(ipc::ToTunnels& request) {
  Waiting waiting;
  std::uint64_t number = 0;
  {
    const std::lock_guard lock(state_);
    if (!connected_) return std::nullopt;
    number = ++last_correlation_;
    waiting_.emplace(number, &waiting);
  }
  request.set_correlation(number);
  const bool sent = transmit(request);
  std::unique_lock lock(state_);
  if (sent) changed_.wait_for(lock, kDeadline, [&waiting] { return waiting.over; });
  waiting_.erase(number);
  return std::move(waiting.answer);
}

bool TunnelClient::done(ipc::ToTunnels& request) {
  const auto answer = ask(request);
  return answer && answer->has_done();
}

TunnelClient::Key TunnelClient::key_of(const SaName& sa) {
  return sa.inbound ? Key{true, sa.spi, 0, {}} : Key{false, sa.spi, sa.path.tenant, sa.path.remote};
}

std::optional<std::uint32_t> TunnelClient::allocate_spi(const Path& path) {
  ipc::ToTunnels request;
  fill(*request.mutable_allocate_spi()->mutable_path(), path);
  const auto answer = ask(request);
  if (!answer || !answer->has_spi_allocated() || answer->spi_allocated().spi() == 0) return std::nullopt;
  const std::lock_guard lock(state_);
  allocated_.insert(answer->spi_allocated().spi());
  return answer->spi_allocated().spi();
}

std::uint32_t TunnelClient::free_number() {
  do {
    last_number_ = tunnel_number(kind_, last_number_ + 1);
  } while (!may_number(kind_, last_number_) || own_.contains(last_number_) || left_.contains(last_number_));
  return last_number_;
}

bool TunnelClient::open(const Session& session, std::uint16_t ring_mtu, const L2tpRide* ride) {
  const bool carrier = kind_ == KeyingDaemon::kIkeV1;
  std::uint32_t number = 0;
  {
    const std::lock_guard lock(state_);
    const auto found = tunnels_.find(session.id);
    if (found != tunnels_.end()) return found->second.open;
    const bool leases = carrier || (!session.leases.empty() && session.leases.size() <= kLeasesMax);
    if (session.id == 0 || !leases || !connected_) return false;
    number = free_number();
    tunnels_.emplace(session.id, Tunnel{number, session.path.tenant, false, false, 0, ring_mtu != 0, ride != nullptr, {}, {}});
    sessions_.emplace(number, session.id);
    own_.insert(number);
  }
  const auto owner = owner_of_(session);
  ipc::ToTunnels request;
  bool opened = owner && owner->note.size() <= kNoteBytesMax;
  if (opened) {
    ipc::OpenTunnel& tunnel = *request.mutable_open_tunnel();
    tunnel.set_tunnel(number);
    tunnel.set_tenant(session.path.tenant);
    tunnel.set_carrier(carrier);
    if (!carrier) {
      tunnel.set_tunnel_port(owner->tunnel_port);
      tunnel.set_user(owner->user);
      tunnel.set_person(owner->person);
      tunnel.set_account(owner->account);
      tunnel.set_account_group(owner->account_group);
      tunnel.set_since(owner->since);
      if (owner->others) tunnel.set_others(*owner->others);
      for (const std::uint32_t one : owner->displaced) tunnel.add_displaced(one);
      for (const Address& lease : session.leases) tunnel.add_leases(wire_of(lease));
    }
    tunnel.set_note(std::string(owner->note.begin(), owner->note.end()));
    tunnel.set_ring(ring_mtu != 0);
    tunnel.set_ring_mtu(ring_mtu);
    if (ride != nullptr) fill(*tunnel.mutable_l2tp(), *ride);
    opened = done(request);
  }
  const std::lock_guard lock(state_);
  const auto found = tunnels_.find(session.id);
  if (found == tunnels_.end()) return false;  // closed meanwhile
  if (opened) {
    found->second.port = owner->tunnel_port;
    found->second.rides = ride != nullptr;
    found->second.open = connected_;
    return connected_;
  }
  sessions_.erase(number);
  own_.erase(number);
  tunnels_.erase(found);
  return false;
}

std::optional<Path> TunnelClient::open_ring(const Session& session, std::uint16_t mtu) {
  if (!open(session, mtu)) return std::nullopt;
  const std::lock_guard lock(state_);
  const auto found = tunnels_.find(session.id);
  if (found == tunnels_.end()) return std::nullopt;
  Path path;
  path.tenant = session.path.tenant;
  path.port = found->second.port;
  path.tunnel = found->second.number;
  return path;
}

bool TunnelClient::open_l2tp(const Session& session, const L2tpRide& ride) { return open(session, 0, &ride); }

bool TunnelClient::put(const Path& path, ByteSpan packet) {
  DatagramHead head;
  head.tenant = path.tenant;
  head.port = path.port;
  head.local = head.remote = Address::from_v4(0);  // it has no ends outside
  head.tunnel = path.tunnel;
  const std::lock_guard lock(inject_mutex_);
  return inject_ && inject_->push(head, std::array{packet});
}

void TunnelClient::count(std::uint64_t session, const TunnelTotals& totals, std::chrono::steady_clock::time_point last_in) {
  const std::lock_guard lock(state_);
  const auto found = tunnels_.find(session);
  if (found == tunnels_.end()) return;
  found->second.totals = totals;
  if (totals.packets_in > 0) found->second.last_in = last_in;
}

bool TunnelClient::install(const SaParameters& sa) {
  const bool fits = sa.tunnel ? kind_ != KeyingDaemon::kIkeV1 && whole(sa.local) && whole(sa.remote)
                              : kind_ == KeyingDaemon::kIkeV1 && l2tp(sa.local, sa.remote);
  if (!fits || !open(*sa.session, 0)) return false;
  ipc::ToTunnels request;
  ipc::InstallSa& out = *request.mutable_install_sa();
  {
    const std::lock_guard lock(state_);
    const auto found = tunnels_.find(sa.session->id);
    if (found == tunnels_.end() || !found->second.open) return false;
    out.set_tunnel(found->second.number);
    // Known before it is asked for: its first packet may be told of before the answer is read here.
    if (!sas_.emplace(key_of({sa.path, sa.spi, sa.inbound}), Sa{sa.session->id, sa.path.local}).second) return false;
    if (sa.inbound) allocated_.erase(sa.spi);
  }
  fill(*out.mutable_path(), sa.path);
  out.set_spi(sa.spi);
  out.set_inbound(sa.inbound);
  out.set_udp_encapsulation(sa.udp_encapsulation);
  out.set_esn(sa.esn);
  out.set_encryption(sa.encryption);
  out.set_integrity(sa.integrity);
  out.set_encryption_key(sa.encryption_key.data(), sa.encryption_key.size());
  out.set_integrity_key(sa.integrity_key.data(), sa.integrity_key.size());
  constexpr std::uint16_t kAesGcm8 = 18, kAesGcm16 = 20;
  constexpr std::size_t kSaltBytes = 4;
  const bool aead = sa.encryption >= kAesGcm8 && sa.encryption <= kAesGcm16;
  const std::size_t salt = aead ? std::min(kSaltBytes, sa.encryption_key.size()) : 0;
  out.set_encryption_key_bits(static_cast<std::uint32_t>(8 * (sa.encryption_key.size() - salt)));
  out.set_replay_window(sa.replay_window);
  out.set_soft_bytes(sa.soft_bytes);
  out.set_hard_bytes(sa.hard_bytes);
  out.set_soft_packets(sa.soft_packets);
  out.set_hard_packets(sa.hard_packets);
  out.set_transport(!sa.tunnel);
  for (const Selector& one : sa.tunnel ? sa.local : std::span<const Selector>{}) add_prefixes(out.mutable_inner_local(), one);
  for (const Selector& one : sa.tunnel ? sa.remote : std::span<const Selector>{}) add_prefixes(out.mutable_inner_remote(), one);
  out.set_beside_spi(sa.beside_spi);
  const bool installed = done(request);
  wipe(*out.mutable_encryption_key());
  wipe(*out.mutable_integrity_key());
  if (!installed) {
    const std::lock_guard lock(state_);
    sas_.erase(key_of({sa.path, sa.spi, sa.inbound}));
  }
  return installed;
}

bool TunnelClient::move(const SaName& sa, const Path& path, bool udp_encapsulation) {
  ipc::ToTunnels request;
  ipc::MoveSa& out = *request.mutable_move_sa();
  {
    const std::lock_guard lock(state_);
    const auto found = sas_.find(key_of(sa));
    if (found == sas_.end()) return false;
    out.set_tunnel(tunnels_.at(found->second.session).number);
  }
  out.set_spi(sa.spi);
  out.set_inbound(sa.inbound);
  fill(*out.mutable_path(), path);
  out.set_udp_encapsulation(udp_encapsulation);
  if (!done(request)) return false;
  const std::lock_guard lock(state_);
  auto node = sas_.extract(key_of(sa));
  if (node.empty()) return false;
  node.key() = key_of({path, sa.spi, sa.inbound});
  node.mapped().local = path.local;
  return sas_.insert(std::move(node)).inserted;
}

std::optional<SaUse> TunnelClient::use_of(std::uint32_t tunnel, std::uint32_t spi, bool inbound) {
  ipc::ToTunnels request;
  ipc::QuerySa& out = *request.mutable_query_sa();
  out.set_tunnel(tunnel);
  out.set_spi(spi);
  out.set_inbound(inbound);
  const auto answer = ask(request);
  if (!answer || !answer->has_sa_use()) return std::nullopt;
  SaUse use{answer->sa_use().bytes(), answer->sa_use().packets(), {}};
  if (answer->sa_use().used()) use.idle = std::chrono::seconds(answer->sa_use().idle_seconds());
  return use;
}

std::optional<SaUse> TunnelClient::query(const SaName& sa) {
  std::uint32_t tunnel = 0;
  {
    const std::lock_guard lock(state_);
    const auto found = sas_.find(key_of(sa));
    if (found == sas_.end()) return std::nullopt;
    tunnel = tunnels_.at(found->second.session).number;
  }
  return use_of(tunnel, sa.spi, sa.inbound);
}

void TunnelClient::remove(const SaName& sa) {
  ipc::ToTunnels request;
  ipc::RemoveSa& out = *request.mutable_remove_sa();
  out.set_spi(sa.spi);
  out.set_inbound(sa.inbound);
  {
    const std::lock_guard lock(state_);
    const auto found = sas_.find(key_of(sa));
    if (found != sas_.end()) {
      out.set_tunnel(tunnels_.at(found->second.session).number);
      sas_.erase(found);
    } else if (!sa.inbound || allocated_.erase(sa.spi) == 0) {
      return;  // went with its tunnel
    }
  }
  (void)ask(request);
}

// --- tunnels -------------------------------------------------------------------------------------------------------------

namespace {
std::optional<TunnelTotals> totals_of(const std::optional<ipc::FromTunnels>& answer) {
  if (!answer || !answer->has_tunnel_use()) return std::nullopt;
  const ipc::TunnelUse& use = answer->tunnel_use();
  return TunnelTotals{use.bytes_in(), use.bytes_out(), use.packets_in(), use.packets_out(), use.riders()};
}
}  // namespace

std::optional<TunnelTotals> TunnelClient::totals(std::uint64_t session) {
  ipc::ToTunnels request;
  {
    const std::lock_guard lock(state_);
    const auto found = tunnels_.find(session);
    if (found == tunnels_.end()) return std::nullopt;
    if (!found->second.open || found->second.ring) return found->second.totals;
    request.mutable_query_tunnel()->set_tunnel(found->second.number);
  }
  const auto now = totals_of(ask(request));
  const std::lock_guard lock(state_);
  const auto found = tunnels_.find(session);
  if (found != tunnels_.end() && now) found->second.totals = *now;
  return now;
}

std::optional<TunnelTotals> TunnelClient::end(std::uint32_t tunnel) {
  ipc::ToTunnels request;
  request.mutable_close_tunnel()->set_tunnel(tunnel);
  request.mutable_close_tunnel()->set_keep(true);
  return totals_of(ask(request));
}

bool TunnelClient::change_user(std::uint64_t session, std::uint32_t user) {
  ipc::ToTunnels request;
  {
    const std::lock_guard lock(state_);
    const auto found = tunnels_.find(session);
    if (found == tunnels_.end() || !found->second.open) return false;
    request.mutable_change_user()->set_tunnel(found->second.number);
  }
  request.mutable_change_user()->set_user(user);
  static_cast<void>(done(request));  // no: the tunnel has ended
  return true;
}

void TunnelClient::cut(std::uint64_t session) {
  std::uint32_t number = 0;
  {
    const std::lock_guard lock(state_);
    const auto found = tunnels_.find(session);
    if (found == tunnels_.end() || !std::exchange(found->second.open, false)) return;
    number = found->second.number;
    found->second.ending = true;
    std::erase_if(sas_, [session](const auto& one) { return one.second.session == session; });
  }
  const auto last = end(number);
  {
    const std::lock_guard lock(state_);
    Tunnel& tunnel = tunnels_.at(session);  // close() waits
    tunnel.ending = false;
    if (last && !tunnel.ring) tunnel.totals = *last;
  }
  changed_.notify_all();
}

std::optional<TunnelClient::Closed> TunnelClient::close(std::uint64_t session) {
  cut(session);
  std::unique_lock lock(state_);
  changed_.wait(lock, [this, session] { return !tunnels_.contains(session) || !tunnels_.at(session).ending; });
  const auto found = tunnels_.find(session);
  if (found == tunnels_.end()) return std::nullopt;
  const Tunnel tunnel = found->second;
  tunnels_.erase(found);
  if (const auto owner = sessions_.find(tunnel.number); owner != sessions_.end() && owner->second == session) sessions_.erase(owner);
  return Closed{tunnel.number, tunnel.totals};
}

std::optional<TunnelTotals> TunnelClient::left_totals(std::uint32_t tunnel) {
  ipc::ToTunnels request;
  request.mutable_query_tunnel()->set_tunnel(tunnel);
  return totals_of(ask(request));
}

std::optional<TunnelTotals> TunnelClient::close_left(std::uint32_t tunnel) {
  {
    const std::lock_guard lock(state_);
    left_.erase(tunnel);
    own_.insert(tunnel);  // its end is ours to tell
  }
  return end(tunnel);
}

void TunnelClient::forget(std::uint32_t tunnel) {
  ipc::ToTunnels request;
  request.mutable_close_tunnel()->set_tunnel(tunnel);
  {
    const std::lock_guard lock(state_);
    request.set_correlation(++last_correlation_);
    own_.erase(tunnel);
  }
  (void)transmit(request);  // nobody waits for this answer
}

std::optional<std::chrono::seconds> TunnelClient::idle(std::uint64_t session) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> inbound;
  std::uint32_t ridden = 0;
  {
    const std::lock_guard lock(state_);
    const auto riding = tunnels_.find(session);
    if (riding != tunnels_.end() && riding->second.rides) ridden = riding->second.number;
    if (const auto found = tunnels_.find(session); found != tunnels_.end() && found->second.ring) {
      if (!found->second.last_in) return std::nullopt;
      return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - *found->second.last_in);
    }
    for (const auto& [key, sa] : sas_) {
      if (std::get<0>(key) && sa.session == session) inbound.emplace_back(tunnels_.at(session).number, std::get<1>(key));
    }
  }
  if (ridden != 0) return left_idle(ridden);
  std::optional<std::chrono::seconds> out;
  for (const auto& [tunnel, spi] : inbound) {
    const auto use = use_of(tunnel, spi, true);
    if (use && use->idle && (!out || *use->idle < *out)) out = use->idle;
  }
  return out;
}

std::optional<std::chrono::seconds> TunnelClient::left_idle(std::uint32_t tunnel) {
  ipc::ToTunnels request;
  request.mutable_query_tunnel()->set_tunnel(tunnel);
  const auto reply = ask(request);
  if (!reply || !reply->tunnel_use().has_idle_seconds()) return std::nullopt;
  return std::chrono::seconds(reply->tunnel_use().idle_seconds());
}

// --- datagrams -----------------------------------------------------------------------------------------------------------

void TunnelClient::send(const Path& path, ByteSpan payload) {
  const DatagramHead head{path.tenant,     path.port,        path.local.address, path.remote.address,
                          path.local.port, path.remote.port, path.tunnel};
  const std::lock_guard lock(inject_mutex_);
  if (!inject_ || !inject_->push(head, std::array{payload})) unsent_.fetch_add(1, std::memory_order_relaxed);
}

std::size_t TunnelClient::poll(std::size_t max, const std::function<void(const Path&, ByteSpan)>& take) {
  std::size_t count = 0;
  std::array<std::uint8_t, kDatagramBytesMax> payload;
  DatagramHead head;
  const std::lock_guard lock(punt_mutex_);
  for (auto ring = punts_.begin(); ring != punts_.end();) {
    bool dead = false;
    for (bool found = true; count < max;) {
      const auto length = ring->pop(head, payload, found);
      dead = !length;
      if (dead || !found) break;
      ++count;
      const Path path{head.tenant, head.port, {head.local, head.local_port}, {head.remote, head.remote_port}, head.tunnel};
      take(path, ByteSpan(payload).first(*length));
    }
    ring = dead ? punts_.erase(ring) : ring + 1;
  }
  return count;
}

std::vector<TunnelSignal> TunnelClient::take_signals() {
  const std::lock_guard lock(state_);
  return std::exchange(signals_, {});
}

}  // namespace sekisho::vpn
