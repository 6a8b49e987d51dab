// SPDX-License-Identifier: Apache-2.0
#include "dataplane/service/tunnel_service.h"

#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/describe.h"
#include "dataplane/path/record.h"

namespace sekisho::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPeersOfKind = 2;    // the daemon, and the one that comes after it
constexpr std::size_t kLeasesMax = 4;
constexpr std::size_t kSasMax = 32;  // of a tunnel: sixteen pairs, more than any rekeying overlaps
constexpr std::size_t kNoteBytesMax = 1024;
constexpr std::size_t kReservedMax = 4096;
constexpr std::size_t kUntoldMax = 65536;
constexpr std::uint32_t kPuntBytes = 1U << 20, kInjectBytes = 4U << 20;
constexpr std::uint16_t kOuterMtu = 1500;
constexpr std::uint32_t kRingMtuMin = 576, kRingMtuMax = 4091;
constexpr std::uint32_t kExpireSlots = 1024;      // of a worker's table in one look: some ten microseconds of its time
constexpr std::size_t kWelcomeBytes = 32U << 10;  // of a message of 64 KiB
constexpr int kLeasesATime = 1024;                // likewise

ByteSpan bytes_of(const std::string& text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }
std::string text_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }
void wipe(std::string* text) { explicit_bzero(text->data(), text->size()); }

bool read_prefixes(const google::protobuf::RepeatedPtrField<ipc::TunnelPrefix>& in, std::vector<Prefix>& out) {
  for (const ipc::TunnelPrefix& prefix : in) {
    const auto address = Address::from_wire(bytes_of(prefix.address()));
    if (!address || prefix.length() > address->bits()) return false;
    out.push_back({*address, static_cast<std::uint8_t>(prefix.length())});
  }
  return !out.empty() && out.size() <= filters::PrefixSet::kPrefixesMax;
}

/// IKEv2 transform numbers (IANA) to a suite; nothing for what is not allowed here.
std::optional<filters::EspSuite> suite_of(const ipc::InstallSa& request) {
  using filters::EspCipher;
  using filters::EspIntegrity;
  constexpr std::uint32_t kTripleDes = 3, kAesCbc = 12, kAesGcm16 = 20;
  filters::EspSuite suite;
  const std::uint32_t bits = request.encryption_key_bits();
  const auto by_bits = [bits](EspCipher small, EspCipher middle, EspCipher large) -> std::optional<EspCipher> {
    if (bits == 128) return small;
    if (bits == 192) return middle;
    return bits == 256 ? std::optional(large) : std::nullopt;
  };
  std::optional<EspCipher> cipher;
  if (request.encryption() == kAesGcm16) cipher = by_bits(EspCipher::kAes128Gcm, EspCipher::kAes192Gcm, EspCipher::kAes256Gcm);
  if (request.encryption() == kAesCbc) cipher = by_bits(EspCipher::kAes128Cbc, EspCipher::kAes192Cbc, EspCipher::kAes256Cbc);
  if (request.encryption() == kTripleDes) cipher = EspCipher::kTripleDesCbc;
  if (!cipher) return std::nullopt;
  suite.cipher = *cipher;
  switch (request.integrity()) {
    case 0: suite.integrity = EspIntegrity::kAead; break;
    case 2: suite.integrity = EspIntegrity::kHmacSha1_96; break;
    case 12: suite.integrity = EspIntegrity::kHmacSha256_128; break;
    case 13: suite.integrity = EspIntegrity::kHmacSha384_192; break;
    case 14: suite.integrity = EspIntegrity::kHmacSha512_256; break;
    default: return std::nullopt;
  }
  return filters::sizes_of(suite) ? std::optional(suite) : std::nullopt;
}

/// 0 in the message: no limit.
std::uint64_t limit(std::uint64_t value) { return value == 0 ? ~std::uint64_t{0} : value; }

/// The tunnel a request is about; 0: none.
std::uint32_t tunnel_of(const ipc::ToTunnels& request) {
  switch (request.body_case()) {
    case ipc::ToTunnels::kInstallSa: return request.install_sa().tunnel();
    case ipc::ToTunnels::kMoveSa: return request.move_sa().tunnel();
    case ipc::ToTunnels::kQuerySa: return request.query_sa().tunnel();
    case ipc::ToTunnels::kRemoveSa: return request.remove_sa().tunnel();
    case ipc::ToTunnels::kOpenTunnel: return request.open_tunnel().tunnel();
    case ipc::ToTunnels::kCloseTunnel: return request.close_tunnel().tunnel();
    case ipc::ToTunnels::kQueryTunnel: return request.query_tunnel().tunnel();
    case ipc::ToTunnels::kChangeUser: return request.change_user().tunnel();
    case ipc::ToTunnels::kHello:
    case ipc::ToTunnels::kAllocateSpi:
    case ipc::ToTunnels::BODY_NOT_SET: break;
  }
  return 0;
}

std::uint64_t now_of(const Shard& shard) { return shard.steady_ns / 1'000'000'000; }

}  // namespace

void TunnelService::accept(IpcConnection peer, std::uint32_t may) {
  const auto alike = std::count_if(peers_.begin(), peers_.end(), [may](const Peer& one) { return one.may == may; });
  const auto kinds = static_cast<std::size_t>(std::popcount(may));
  if (static_cast<std::size_t>(alike) < kPeersOfKind * kinds) peers_.push_back({std::move(peer), may});
}

void TunnelService::serve(std::size_t number) {
  Result<IpcMessage> message = peers_[number].connection.receive(0ms);
  Result<void> answered = message ? answer(peers_[number], *message) : Result<void>(message.error());
  if (message) explicit_bzero(message->bytes.data(), message->bytes.size());
  tell_leases();
  if (answered) return;
  if (answered.error().code != ErrorCode::kNotFound) {
    std::fprintf(stderr, "dataplaned: keying daemon closed: %s\n", describe(answered.error()).c_str());
  }
  if (peers_[number].is) lose_daemon(*peers_[number].is);
  peers_.erase(peers_.begin() + static_cast<std::ptrdiff_t>(number));
}

Result<void> TunnelService::answer(Peer& peer, IpcMessage& message) {
  ipc::ToTunnels request;
  const Error malformed{ErrorCode::kMalformed, ErrorSite::kIpc, static_cast<std::uint32_t>(message.bytes.size())};
  const bool parsed = request.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size()));
  explicit_bzero(message.bytes.data(), message.bytes.size());
  ipc::FromTunnels out;
  out.set_correlation(request.correlation());
  std::vector<Fd> fds;
  const bool known = parsed && message.fds.empty() && request.correlation() != 0 && request.body_case() != ipc::ToTunnels::BODY_NOT_SET;
  const bool greets = known && request.has_hello();
  const bool in_order = known && greets == !peer.is;  // hello first, and once
  std::string refused;
  if (in_order && greets) {
    refused = hello(peer, request.hello(), out, fds);
    if (refused.empty()) peer.is = static_cast<KeyingDaemon>(request.hello().kind());
    if (peer.is) daemon(*peer.is).fd = peer.connection.fd();
  } else if (in_order) {
    refused = act(*peer.is, request, out);
  }
  if (request.has_install_sa()) {
    wipe(request.mutable_install_sa()->mutable_encryption_key());
    wipe(request.mutable_install_sa()->mutable_integrity_key());
  }
  if (!in_order) return malformed;
  if (!refused.empty()) {
    const bool held = out.refused().lease_held();
    out.mutable_refused()->set_reason(refused);
    out.mutable_refused()->set_lease_held(held);
  } else if (out.body_case() == ipc::FromTunnels::BODY_NOT_SET) {
    out.mutable_done();
  }
  std::vector<int> numbers;
  for (const Fd& fd : fds) numbers.push_back(fd.get());
  SEKISHO_CHECK_OK(peer.connection.send(bytes_of(out.SerializeAsString()), numbers));
  if (greets && refused.empty()) tell_untold(*peer.is);
  return {};
}

/// Behind the welcome: what ended meanwhile, what the welcome had no room for, and what others hold.
void TunnelService::tell_untold(KeyingDaemon kind) {
  for (const ipc::TunnelEvent& event : std::exchange(daemon(kind).untold, {})) {
    if (event.has_gone()) daemon(kind).kept.insert_or_assign(event.gone().tunnel(), event.gone());
    tell(kind, event);
  }
  tell_all_leases(kind);
}

std::string TunnelService::act(KeyingDaemon from, ipc::ToTunnels& request, ipc::FromTunnels& answer) {
  if (engine_.runtime() == nullptr) return "no configuration is in force";
  const std::uint32_t tunnel = tunnel_of(request);
  if (tunnel != 0 && !may_number(from, tunnel)) return "this number is another daemon's";
  switch (request.body_case()) {
    case ipc::ToTunnels::kAllocateSpi: return allocate(from, request.allocate_spi(), answer);
    case ipc::ToTunnels::kInstallSa: return install(from, request.install_sa());
    case ipc::ToTunnels::kMoveSa: return move(request.move_sa());
    case ipc::ToTunnels::kQuerySa: return query(request.query_sa(), answer);
    case ipc::ToTunnels::kRemoveSa: return remove(from, request.remove_sa());
    case ipc::ToTunnels::kOpenTunnel: return open(from, request.open_tunnel(), answer);
    case ipc::ToTunnels::kCloseTunnel: return close(from, request.close_tunnel(), answer);
    case ipc::ToTunnels::kQueryTunnel: return query(request.query_tunnel(), answer);
    case ipc::ToTunnels::kChangeUser: return change_user(request.change_user());
    case ipc::ToTunnels::kHello:
    case ipc::ToTunnels::BODY_NOT_SET: break;
  }
  return "not a request";
}

std::string TunnelService::hello(const Peer& peer, const ipc::TunnelHello& request, ipc::FromTunnels& answer, std::vector<Fd>& fds) {
  if (!ipc::TunnelHello::Kind_IsValid(request.kind())) return "no daemon of this kind is known here";
  const auto kind = static_cast<KeyingDaemon>(request.kind());
  if ((peer.may & bit_of(kind)) == 0) return "its user may not be this daemon (--tunnel-uid)";
  if (daemon(kind).fd >= 0) return "another daemon of this kind is connected";
  if (engine_.shard(0).tunnels_here.sas == nullptr) return "this data plane was started without tunnels (--tunnels)";
  if (std::string why = make_rings(kind, fds); !why.empty()) return why;
  welcome(kind, *answer.mutable_welcome());
  return {};
}

std::string TunnelService::make_rings(KeyingDaemon kind, std::vector<Fd>& fds) {
  if (2 * (engine_.shards() + 1) > limits::kIpcFdsMax) return "more workers than one message has rings for";
  Result<DatagramRingReader> inject = DatagramRingReader::create(kInjectBytes);
  if (!inject) return "no memory for the inject ring: " + describe(inject.error());
  std::vector<DatagramRingWriter> punts;
  for (std::uint32_t number = 0; number < engine_.shards(); ++number) {
    Result<DatagramRingWriter> punt = DatagramRingWriter::create(kPuntBytes);
    if (!punt) return "no memory for a punt ring: " + describe(punt.error());
    punts.push_back(std::move(*punt));
  }
  const auto add = [&fds](Result<Fd> fd) {
    if (fd) fds.push_back(std::move(*fd));
  };
  for (const DatagramRingWriter& punt : punts) add(punt.duplicate_bytes_fd()), add(punt.duplicate_cursor_fd());
  add(inject->duplicate_bytes_fd());
  add(inject->duplicate_cursor_fd());
  if (fds.size() != 2 * (std::size_t{engine_.shards()} + 1)) return "no descriptors left";
  for (std::uint32_t number = 0; number < engine_.shards(); ++number) {
    engine_.on_shard(number, [&](Shard& shard) { shard.tunnels_here.punts[index_of(kind)].emplace(std::move(punts[number])); });
  }
  auto room = std::make_unique<std::uint8_t[]>(WorkerTunnels::kInjectRoom);
  engine_.on_shard(0, [&](Shard& shard) {
    WorkerTunnels& here = shard.tunnels_here;
    if (here.inject_room == nullptr) here.inject_room = std::move(room);
    here.injects[index_of(kind)].emplace(std::move(*inject));
    here.injecting |= bit_of(kind);
  });
  return {};
}

void TunnelService::welcome(KeyingDaemon kind, ipc::TunnelWelcome& out) {
  out.set_shards(engine_.shards());
  out.set_punt_rings(engine_.shards());
  std::size_t bytes = 0;
  for (const auto& [number, tunnel] : tunnels_) {
    if (owner_of(number) != kind) continue;
    ipc::TunnelEvent event;
    ipc::TunnelLeft& left = *event.mutable_left();
    left.set_tunnel(number);
    left.set_tenant(tunnel.tenant);
    left.set_note(tunnel.note);
    if (tunnel.over != 0) *left.mutable_l2tp() = tunnel.asked;
    bytes += event.ByteSizeLong();
    if (bytes <= kWelcomeBytes) {
      *out.add_left() = left;
    } else {
      daemon(kind).untold.push_back(std::move(event));
    }
  }
}

/// The daemon is gone: its tunnels live on, its rings and what it had begun do not.
void TunnelService::lose_daemon(KeyingDaemon kind) {
  Daemon& lost = daemon(kind);
  lost.fd = -1;
  for (auto& [number, tunnel] : tunnels_) tunnel.left = tunnel.left || owner_of(number) == kind;
  for (auto& [number, gone] : std::exchange(lost.kept, {})) *lost.untold.emplace_back().mutable_gone() = std::move(gone);
  for (std::uint32_t number = 0; number < engine_.shards(); ++number) {
    engine_.on_shard(number, [&](Shard& shard) {
      shard.tunnels_here.punts[index_of(kind)].reset();
      shard.tunnels_here.injects[index_of(kind)].reset();
      shard.tunnels_here.injecting &= ~bit_of(kind);
      for (const std::uint32_t spi : lost.reserved) {
        if (Spi::worker(spi) == number) static_cast<void>(shard.tunnels_here.sas->erase(spi));
      }
    });
  }
  lost.reserved.clear();
}

// ------------------------------------------------------------------------------------------------------------- tunnels

/// Why `address` may not be the tunnel's; empty: it may, in place of the tunnels in `replaced`.
std::string TunnelService::check_lease(const ipc::OpenTunnel& request, const Address& address, std::vector<std::uint32_t>& replaced,
                                       bool& foreign) const {
  const Runtime& config = *engine_.runtime();
  const TenantEntry& tenant = config.tenants[config.find_tenant(request.tenant())];
  const std::uint32_t route = tenant.routes.find(address);
  const RouteTarget* way = route == PrefixTable::kNoValue ? nullptr : &tenant.targets[route];
  if (way == nullptr || way->kind != RouteKind::kTunnel || config.ports[way->port].id != request.tunnel_port()) {
    return to_string(address) + " is not routed to this tunnel Port";
  }
  const auto held = engine_.shared().leases->find(request.tenant(), address);
  if (!held) return {};
  const auto holder = tunnels_.find(held->tunnel);
  foreign = owner_of(held->tunnel) != owner_of(request.tunnel());
  if (foreign) return to_string(address) + " is held by a session of another daemon";
  const bool named = held->user != 0 && held->user == request.user();  // a person may have come into another group meanwhile
  const bool same = holder != tunnels_.end() && holder->second.person == request.person() && (request.person() != 0 || named);
  if (!same) return to_string(address) + " is another's";
  replaced.push_back(held->tunnel);
  return {};
}

/// Whether other daemons hold no more sessions of the account than the opener, who counts its own, believes.
bool TunnelService::has_room(const ipc::OpenTunnel& request) const {
  if (!request.has_others() || request.account() == 0) return true;
  const auto counts = [&](const auto& one) {
    const auto& [number, tunnel] = one;
    return tunnel.tenant == request.tenant() && tunnel.account == request.account() && owner_of(number) != owner_of(request.tunnel()) &&
           std::find(request.displaced().begin(), request.displaced().end(), number) == request.displaced().end();
  };
  return std::count_if(tunnels_.begin(), tunnels_.end(), counts) <= static_cast<std::ptrdiff_t>(request.others());
}

/// The account's own, and nobody else's, whatever was asked.
void TunnelService::end_displaced(const ipc::OpenTunnel& request) {
  for (const std::uint32_t number : request.displaced()) {
    const auto at = tunnels_.find(number);
    if (at == tunnels_.end() || request.account() == 0 || owner_of(number) == owner_of(request.tunnel())) continue;
    if (at->second.tenant == request.tenant() && at->second.account == request.account()) end(at, ipc::TunnelGone::REPLACED);
  }
}

std::string TunnelService::open(KeyingDaemon from, const ipc::OpenTunnel& request, ipc::FromTunnels& answer) {
  const Runtime& config = *engine_.runtime();
  const bool taken = tunnels_.contains(request.tunnel()) || daemon(from).kept.contains(request.tunnel());
  if (request.tunnel() == 0 || taken) return "this number is not free";
  const std::uint32_t tenant = config.find_tenant(request.tenant());
  if (tenant == kNoIndex) return "no such tenant";
  if (request.note().size() > kNoteBytesMax) return "the note is too long";
  if (request.carrier()) return open_carrier(from, request);
  if (from == KeyingDaemon::kIkeV1 && request.account() != 0) return "who knows nobody by name ends nobody's sessions";
  const std::uint32_t port = config.find_port(request.tunnel_port());
  if (port == kNoIndex || config.ports[port].kind != snapshot::PortKind::kTunnel || config.ports[port].tenant != request.tenant()) {
    return "no such tunnel Port of this tenant";
  }
  const bool fits = request.ring_mtu() >= kRingMtuMin && request.ring_mtu() <= kRingMtuMax;
  if (request.ring() && !fits) return "a packet that crosses rings has 576 to 4091 bytes";
  if (request.leases().empty() || static_cast<std::size_t>(request.leases_size()) > kLeasesMax) return "one to four leases";
  Tunnel tunnel;
  tunnel.tenant = request.tenant();
  tunnel.port = request.tunnel_port();
  tunnel.user = request.user();
  tunnel.person = request.person();
  tunnel.note = request.note();
  tunnel.ring = request.ring();
  tunnel.account = request.account();
  tunnel.account_group = request.account_group();
  tunnel.since = request.since();
  if (!has_room(request)) return "other daemons hold as many sessions of the user as he may have";
  std::vector<std::uint32_t> replaced;
  for (const std::string& bytes : request.leases()) {
    const auto address = Address::from_wire(bytes_of(bytes));
    const bool twice = address && std::find(tunnel.leases.begin(), tunnel.leases.end(), *address) != tunnel.leases.end();
    if (!address || twice) return "a lease is no address, or twice here";
    bool foreign = false;
    std::string why = check_lease(request, *address, replaced, foreign);
    if (foreign) answer.mutable_refused()->set_lease_held(true);
    if (!why.empty()) return why;
    tunnel.leases.push_back(*address);
  }
  if (request.has_l2tp()) {
    if (std::string why = make_session(from, request, tunnel); !why.empty()) return why;
  }
  const std::size_t others = tunnels_.size() - std::min(tunnels_.size(), replaced.size());
  if (others >= engine_.shard(0).limits.tunnels) return "as many tunnels are open as there is room for";
  end_displaced(request);
  for (const std::uint32_t old : replaced) {
    if (const auto at = tunnels_.find(old); at != tunnels_.end()) end(at, ipc::TunnelGone::REPLACED);
  }
  const bool free = std::all_of(tunnel.leases.begin(), tunnel.leases.end(), [&](const Address& address) {
    return ended_.give_back(request.tenant(), address, request.user());
  });
  if (!free) ended_.end_sessions(engine_);  // another's: nobody inherits them
  const Lease lease{.tunnel = request.tunnel(), .user = request.user(), .port = request.tunnel_port(),
                    .outbound = request.ring() ? Lease::kRing : 0,
                    .inner_mtu = static_cast<std::uint16_t>(request.ring() ? request.ring_mtu() : 0)};
  for (const Address& address : tunnel.leases) {
    if (engine_.leases().set(request.tenant(), address, lease)) continue;
    for (const Address& entered : tunnel.leases) engine_.leases().erase(request.tenant(), entered);
    return "no room for more leases";
  }
  for (const Address& address : tunnel.leases) {
    lease_news_.push_back({request.tunnel(), request.tenant(), address, true, tunnel.account, tunnel.account_group, tunnel.since});
  }
  board(request.tunnel(), tunnels_.emplace(request.tunnel(), std::move(tunnel)).first->second);
  return {};
}

std::string TunnelService::close(KeyingDaemon from, const ipc::CloseTunnel& request, ipc::FromTunnels& answer) {
  std::map<std::uint32_t, ipc::TunnelGone>& kept_of = daemon(from).kept;
  const auto at = tunnels_.find(request.tunnel());
  if (at != tunnels_.end()) {
    end(at, request.keep() ? std::optional(ipc::TunnelGone::CLOSED) : std::nullopt);
  } else if (!kept_of.contains(request.tunnel())) {
    return "no such tunnel";
  }
  if (!request.keep()) return kept_of.erase(request.tunnel()), std::string();
  const auto kept = kept_of.find(request.tunnel());
  ipc::TunnelUse& use = *answer.mutable_tunnel_use();
  if (kept == kept_of.end()) return {};
  use.set_bytes_in(kept->second.bytes_in());
  use.set_bytes_out(kept->second.bytes_out());
  use.set_packets_in(kept->second.packets_in());
  use.set_packets_out(kept->second.packets_out());
  return {};
}

std::string TunnelService::query(const ipc::QueryTunnel& request, ipc::FromTunnels& answer) {
  const auto at = tunnels_.find(request.tunnel());
  if (at == tunnels_.end()) return "no such tunnel";
  Tunnel sum;
  sum.bytes_in = at->second.bytes_in;
  sum.bytes_out = at->second.bytes_out;
  sum.packets_in = at->second.packets_in;
  sum.packets_out = at->second.packets_out;
  for (const SaName& sa : at->second.sas) {
    SaUse use;
    engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
      if (const auto carried = shard.tunnels_here.sas->query(sa.handle)) use = *carried;
    });
    count(sum, sa, use);
  }
  ipc::TunnelUse& use = *answer.mutable_tunnel_use();
  add_session_use(at->first, at->second, sum, use);
  use.set_bytes_in(sum.bytes_in);
  use.set_bytes_out(sum.bytes_out);
  use.set_packets_in(sum.packets_in);
  use.set_packets_out(sum.packets_out);
  use.set_riders(static_cast<std::uint32_t>(at->second.riders.size()));
  return {};
}

std::string TunnelService::change_user(const ipc::ChangeUser& request) {
  const auto at = tunnels_.find(request.tunnel());
  if (at == tunnels_.end() || at->second.carrier) return "no such tunnel";
  Tunnel& tunnel = at->second;
  tunnel.user = request.user();
  for (const Address& address : tunnel.leases) {
    auto lease = engine_.shared().leases->find(tunnel.tenant, address);
    if (!lease || lease->tunnel != request.tunnel()) continue;
    lease->user = request.user();
    engine_.leases().set(tunnel.tenant, address, *lease);
    renamed_.emplace(tunnel.tenant, address);
  }
  judge_renamed();
  return {};
}

void TunnelService::judge_renamed() {
  const auto begin = std::chrono::steady_clock::now();
  if (renamed_.empty() || begin < renamed_not_before_) return;
  // Judged under no generation that ever is: their next packet asks the rules.
  engine_.for_each_session([this](Shard& shard, std::uint32_t index) {
    Session& session = shard.sessions.at(index);
    const std::uint32_t tenant = tenant_of(session.key);
    const path::SessionEnds ends = path::judged_ends(shard, index);
    if (renamed_.contains({tenant, ends.source}) || renamed_.contains({tenant, ends.destination})) session.generation = 0;
    return true;
  });
  renamed_.clear();
  // A long walk is followed by a longer pause, in which what is renamed is gathered: control has others to serve.
  constexpr auto kShort = std::chrono::milliseconds(20);
  constexpr int kPauses = 11;
  const auto took = std::chrono::steady_clock::now() - begin;
  if (took > kShort) renamed_not_before_ = begin + kPauses * took;
}

/// Ends a tunnel: leases first, so that nothing more enters its SAs. `why`: told to the daemon, and kept until it closes it.
void TunnelService::end(Tunnels::iterator at, std::optional<ipc::TunnelGone::Why> why) {
  Tunnel& tunnel = at->second;
  for (const Address& address : tunnel.leases) {
    engine_.leases().erase(tunnel.tenant, address);
    ended_.add(tunnel.tenant, address, tunnel.user);
    lease_news_.push_back({at->first, tunnel.tenant, address, false, tunnel.account, tunnel.account_group, tunnel.since});
  }
  alight(at->first, tunnel);
  for (const SaName& sa : tunnel.sas) erase_sa(tunnel, sa);
  if (tunnel.carrier) end_carrier(at->first, tunnel);
  if (tunnel.path_mtu != 0) --narrow_;
  if (why.has_value()) {
    ipc::TunnelEvent event;
    ipc::TunnelGone& gone = *event.mutable_gone();
    gone.set_tunnel(at->first);
    gone.set_tenant(tunnel.tenant);
    gone.set_note(tunnel.note);
    gone.set_why(*why);
    gone.set_bytes_in(tunnel.bytes_in);
    gone.set_bytes_out(tunnel.bytes_out);
    gone.set_packets_in(tunnel.packets_in);
    gone.set_packets_out(tunnel.packets_out);
    const KeyingDaemon kind = owner_of(at->first);
    Daemon& owner = daemon(kind);
    if (owner.fd >= 0) {
      if (*why != ipc::TunnelGone::CLOSED) tell(kind, event);
      if (owner.kept.size() < kUntoldMax) owner.kept.emplace(at->first, std::move(gone));
    } else if (owner.untold.size() < kUntoldMax) {
      owner.untold.push_back(std::move(event));
    }
  }
  tunnels_.erase(at);
}

/// The SA ends; what it carried stays with its tunnel.
void TunnelService::erase_sa(Tunnel& tunnel, const SaName& sa) {
  unload(tunnel, sa);
  SaUse use;
  engine_.on_shard(Spi::worker(sa.handle), [&](Shard& shard) {
    SaTable& table = *shard.tunnels_here.sas;
    if (const auto found = table.query(sa.handle)) use = *found;
    static_cast<void>(table.erase(sa.handle));
  });
  count(tunnel, sa, use);
}

// ----------------------------------------------------------------------------------------------------------------- SAs

/// The ends of outer packets: from a gateway of the tenant, where it is, to an address of the same family.
std::string TunnelService::check_path(const ipc::TunnelPath& path, EspEnd& local, EspEnd& peer) const {
  const Runtime& config = *engine_.runtime();
  const auto own = Address::from_wire(bytes_of(path.local()));
  const auto other = Address::from_wire(bytes_of(path.remote()));
  if (!own || !other || own->family != other->family) return "the path's ends are not two addresses of one family";
  if (path.local_port() > 0xffff || path.remote_port() > 0xffff) return "no such port number";
  const std::uint32_t port = config.find_port(path.port());
  const bool own_port = port != kNoIndex && config.ports[port].tenant == path.tenant() && config.ports[port].tenant != kNoIndex;
  if (!own_port) return "no such Port of this tenant";
  if (config.find_gateway(port, *own) == nullptr) return to_string(*own) + " is no gateway of this Port";
  local = {*own, static_cast<std::uint16_t>(path.local_port())};
  peer = {*other, static_cast<std::uint16_t>(path.remote_port())};
  return {};
}

/// What the way to the peer carries; without one, what the Port he came in by does.
std::uint16_t TunnelService::outer_mtu(std::uint32_t tenant, const ipc::TunnelPath& path, const Address& peer) const {
  const Runtime& config = *engine_.runtime();
  const std::uint32_t at = config.find_tenant(tenant);
  const std::uint32_t route = at == kNoIndex ? PrefixTable::kNoValue : config.tenants[at].routes.find(peer);
  std::uint32_t port = route == PrefixTable::kNoValue ? config.find_port(path.port()) : config.tenants[at].targets[route].port;
  if (port == kNoIndex || config.ports[port].kind == snapshot::PortKind::kTunnel) return kOuterMtu;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(config.ports[config.ports[port].wire].mtu, 0xffff));
}

std::string TunnelService::allocate(KeyingDaemon from, const ipc::AllocateSpi& request, ipc::FromTunnels& answer) {
  EspEnd local;
  EspEnd peer;
  if (std::string why = check_path(request.path(), local, peer); !why.empty()) return why;
  std::vector<std::uint32_t>& reserved = daemon(from).reserved;
  if (reserved.size() >= kReservedMax) return "too many SPIs without an SA";
  for (std::uint32_t tries = 0; tries < engine_.shards(); ++tries) {
    const std::uint32_t worker = next_worker_++ % engine_.shards();
    std::uint32_t spi = 0;
    engine_.on_shard(worker, [&spi](Shard& shard) {
      if (const auto made = shard.tunnels_here.sas->allocate_spi()) spi = *made;
    });
    if (spi == 0) continue;
    reserved.push_back(spi);
    answer.mutable_spi_allocated()->set_spi(spi);
    return {};
  }
  return "as many SAs as there is room for";
}

std::string TunnelService::install(KeyingDaemon from, const ipc::InstallSa& request) {
  const auto at = tunnels_.find(request.tunnel());
  if (at == tunnels_.end()) return "no such tunnel";
  Tunnel& tunnel = at->second;
  SaConfig config;
  if (std::string why = check_path(request.path(), config.local, config.peer); !why.empty()) return why;
  if (request.path().tenant() != tunnel.tenant) return "the tunnel is another tenant's";
  if (tunnel.ring || tunnel.session != nullptr) return "this tunnel has no SAs";
  if (tunnel.sas.size() >= kSasMax) return "as many SAs as a tunnel may have";
  if (request.transport() != tunnel.carrier) return "a carrier's SAs are in transport mode, and no others";
  if (request.udp_encapsulation() && (config.local.port == 0 || config.peer.port == 0)) return "ESP in UDP needs both ports";
  const auto suite = suite_of(request);
  if (!suite) return "no such algorithms";
  std::vector<Prefix> local;
  std::vector<Prefix> remote;
  const bool prefixes = request.transport() ? request.inner_local().empty() && request.inner_remote().empty()
                                            : read_prefixes(request.inner_local(), local) && read_prefixes(request.inner_remote(), remote);
  if (!prefixes) return "one to eight prefixes a side, and none in transport mode";
  for (const Prefix& prefix : remote) {
    const bool own = prefix.length == prefix.address.bits() &&
                     std::find(tunnel.leases.begin(), tunnel.leases.end(), prefix.address) != tunnel.leases.end();
    if (!own) return to_string(prefix) + " is no lease of this tunnel";
  }
  std::vector<std::uint32_t>& given = daemon(from).reserved;
  const auto reserved = std::find(given.begin(), given.end(), request.spi());
  if (request.inbound() && reserved == given.end()) return "this SPI was not allocated";
  if (find(request.tunnel(), request.spi(), request.inbound()) != nullptr) return "this SA stands already";
  const bool beside = find(request.tunnel(), request.beside_spi(), true) != nullptr;
  if (!request.inbound() && !beside) return "no inbound SA of this tunnel stands beside it";

  config.direction = request.inbound() ? SaDirection::kInbound : SaDirection::kOutbound;
  config.tenant = tunnel.tenant;
  config.tunnel = request.tunnel();
  config.port = tunnel.port;
  config.spi = request.spi();
  config.transport = request.transport();
  config.suite = *suite;
  config.cipher_key = bytes_of(request.encryption_key());
  config.integrity_key = bytes_of(request.integrity_key());
  config.extended = request.esn();
  if (request.replay_window() != 0) config.replay_window = request.replay_window();
  config.in_udp = request.udp_encapsulation();
  config.outer_mtu = outer_mtu(tunnel.tenant, request.path(), config.peer.address);
  config.inner_local = local;
  config.inner_remote = remote;
  config.lifetime = {{limit(request.soft_bytes()), limit(request.soft_packets()), limit(request.soft_seconds())},
                     {limit(request.hard_bytes()), limit(request.hard_packets()), limit(request.hard_seconds())}};
  Result<std::uint32_t> handle = Error{ErrorCode::kUnavailable, ErrorSite::kDataplane, 0};
  const std::uint32_t worker = Spi::worker(request.inbound() ? request.spi() : request.beside_spi());
  engine_.on_shard(worker, [&](Shard& shard) { handle = shard.tunnels_here.sas->install(config, now_of(shard)); });
  if (!handle) return "the SA cannot be made: " + describe(handle.error());
  if (request.inbound()) given.erase(reserved);
  tunnel.sas.push_back({*handle, request.spi(), request.inbound()});
  load(tunnel, tunnel.sas.back());
  if (!request.inbound()) apply_path(at->first, tunnel);
  return {};
}

/// Each lease leaves by the newest outbound SA that may carry it.
void TunnelService::point_leases(std::uint32_t number, Tunnel& tunnel) {
  if (tunnel.carrier) return point_carrier(number, tunnel);
  if (tunnel.session != nullptr) return point_session(number, tunnel);
  for (const Address& address : tunnel.leases) {
    Lease lease{.tunnel = number, .user = tunnel.user, .port = tunnel.port, .outbound = 0, .inner_mtu = 0};
    for (const SaName& name : tunnel.sas) {
      if (name.inbound) continue;
      engine_.on_shard(Spi::worker(name.handle), [&](Shard& shard) {
        const Sa* sa = shard.tunnels_here.sas->find(name.handle);
        if (sa == nullptr || !sa->inner_remote.contains(address.bytes.data(), address.family)) return;
        lease.outbound = name.handle;
        lease.inner_mtu = sa->inner_mtu;
      });
    }
    engine_.leases().set(tunnel.tenant, address, lease);
  }
}

TunnelService::SaName* TunnelService::find(std::uint32_t tunnel, std::uint32_t spi, bool inbound) {
  const auto at = tunnels_.find(tunnel);
  if (at == tunnels_.end()) return nullptr;
  const auto sa = std::find_if(at->second.sas.begin(), at->second.sas.end(),
                               [&](const SaName& name) { return name.spi == spi && name.inbound == inbound; });
  return sa == at->second.sas.end() ? nullptr : &*sa;
}

std::string TunnelService::move(const ipc::MoveSa& request) {
  const SaName* sa = find(request.tunnel(), request.spi(), request.inbound());
  if (sa == nullptr) return "no such SA";
  Tunnel& tunnel = tunnels_.at(request.tunnel());
  EspEnd local;
  EspEnd peer;
  if (std::string why = check_path(request.path(), local, peer); !why.empty()) return why;
  if (request.path().tenant() != tunnel.tenant) return "the tunnel is another tenant's";
  if (request.udp_encapsulation() && (local.port == 0 || peer.port == 0)) return "ESP in UDP needs both ports";
  const std::uint16_t mtu = outer_mtu(tunnel.tenant, request.path(), peer.address);
  Result<void> moved;
  engine_.on_shard(Spi::worker(sa->handle), [&](Shard& shard) {
    moved = shard.tunnels_here.sas->update(sa->handle, local, peer, request.udp_encapsulation(), mtu);
  });
  if (!moved) return "the SA cannot be moved: " + describe(moved.error());
  if (!request.inbound()) apply_path(request.tunnel(), tunnel);
  return {};
}

std::string TunnelService::query(const ipc::QuerySa& request, ipc::FromTunnels& answer) {
  const SaName* sa = find(request.tunnel(), request.spi(), request.inbound());
  if (sa == nullptr) return "no such SA";
  ipc::SaUseReply& reply = *answer.mutable_sa_use();
  engine_.on_shard(Spi::worker(sa->handle), [&](Shard& shard) {
    const auto use = shard.tunnels_here.sas->query(sa->handle);
    if (!use) return;
    reply.set_bytes(use->bytes);
    reply.set_packets(use->packets);
    reply.set_used(use->packets != 0);
    reply.set_idle_seconds(use->packets == 0 ? 0 : now_of(shard) - std::min(now_of(shard), use->last_used));
  });
  return {};
}

std::string TunnelService::remove(KeyingDaemon from, const ipc::RemoveSa& request) {
  std::vector<std::uint32_t>& given = daemon(from).reserved;
  const auto reserved = std::find(given.begin(), given.end(), request.spi());
  if (request.inbound() && reserved != given.end()) {
    engine_.on_shard(Spi::worker(*reserved), [&](Shard& shard) { static_cast<void>(shard.tunnels_here.sas->erase(*reserved)); });
    given.erase(reserved);
    return {};
  }
  SaName* sa = find(request.tunnel(), request.spi(), request.inbound());
  if (sa == nullptr) return "no such SA";
  Tunnel& tunnel = tunnels_.at(request.tunnel());
  const SaName gone = *sa;
  std::erase_if(tunnel.sas, [&](const SaName& name) { return name.handle == gone.handle; });
  if (!gone.inbound) point_leases(request.tunnel(), tunnel);  // before it goes: nothing more enters it
  erase_sa(tunnel, gone);
  return {};
}

// -------------------------------------------------------------------------------------------------------------- events

void TunnelService::tick() {
  if (engine_.runtime() == nullptr || engine_.shard(0).tunnels_here.sas == nullptr) return;
  for (std::uint32_t number = 0; number < engine_.shards(); ++number) take_events(number);
  if (narrow_ > 0) forget_paths();
  end_gone();
  ended_.tick(engine_);
  judge_renamed();
  tell_leases();
}

void TunnelService::take_events(std::uint32_t number) {
  std::vector<SaEvent> events;
  std::vector<PathReport> reports;
  engine_.on_shard(number, [&](Shard& shard) {
    WorkerTunnels& here = shard.tunnels_here;
    reports.assign(here.path_reports.begin(), here.path_reports.begin() + here.path_reported);
    here.path_reported = 0;
    SaTable& table = *here.sas;
    table.expire(now_of(shard), kExpireSlots);
    events.assign(table.events().begin(), table.events().end());
    table.clear_events();
  });
  for (const SaEvent& event : events) {
    const auto at = tunnels_.find(event.tunnel);
    if (at == tunnels_.end()) continue;
    const auto sa = std::find_if(at->second.sas.begin(), at->second.sas.end(),
                                 [&](const SaName& name) { return name.handle == event.handle; });
    if (sa == at->second.sas.end()) continue;
    if (event.kind == SaEventKind::kHardLimit) sa->expired = true;
    ipc::TunnelEvent out;
    if (event.kind == SaEventKind::kPeerMoved) {
      ipc::PeerMoved& moved = *out.mutable_moved();
      moved.set_tunnel(event.tunnel);
      moved.set_spi(sa->spi);
      moved.set_remote(text_of(event.peer.address));
      moved.set_remote_port(event.peer.port);
      moved.set_udp_encapsulation(event.in_udp);
    } else {
      ipc::SaLimit& reached = *out.mutable_limit();
      reached.set_tunnel(event.tunnel);
      reached.set_spi(sa->spi);
      reached.set_inbound(sa->inbound);
      reached.set_hard(event.kind == SaEventKind::kHardLimit);
    }
    if (!at->second.left) tell(owner_of(event.tunnel), out);
  }
  if (!reports.empty()) hear(reports);
}

/// Ends tunnels whose Port is gone, and those left by a daemon before whose SAs have all reached their end.
void TunnelService::end_gone() {
  const Runtime& config = *engine_.runtime();
  const bool changed = std::exchange(generation_, config.generation) != config.generation;
  for (auto at = tunnels_.begin(); at != tunnels_.end();) {
    const auto here = at++;
    const Tunnel& tunnel = here->second;
    const std::uint32_t port = changed ? config.find_port(tunnel.port) : 0;
    const bool stands = !changed || tunnel.carrier || (port != kNoIndex && config.ports[port].kind == snapshot::PortKind::kTunnel &&
                                     config.ports[port].tenant == tunnel.tenant);
    const auto expired = [](const SaName& sa) { return sa.expired; };
    const bool over = tunnel.left && tunnel.over == 0 && std::all_of(tunnel.sas.begin(), tunnel.sas.end(), expired);
    if (!stands) {
      end(here, ipc::TunnelGone::PORT_GONE);
    } else if (over) {
      end(here, ipc::TunnelGone::LIMITS);
    }
  }
}

/// To the daemon, if there is one. One that does not read its messages is closed: its next poll says so.
void TunnelService::tell(KeyingDaemon kind, const ipc::TunnelEvent& event) {
  const auto peer = std::find_if(peers_.begin(), peers_.end(), [kind](const Peer& one) { return one.is == kind; });
  if (peer == peers_.end()) return;
  ipc::FromTunnels message;
  *message.mutable_event() = event;
  if (!peer->connection.send(bytes_of(message.SerializeAsString()), {}, 100ms)) shutdown(peer->connection.fd(), SHUT_RDWR);
}

namespace {

void add_lease(ipc::ForeignLeases& out, const auto& news) {
  ipc::ForeignLease& one = *out.add_leases();
  one.set_tenant(news.tenant);
  one.set_address(text_of(news.address));
  one.set_held(news.held);
  one.set_tunnel(news.tunnel);
  one.set_account(news.account);
  one.set_account_group(news.account_group);
  one.set_since(news.since);
}

}  // namespace

/// Each daemon but the one whose tunnels they are of hears which addresses were taken and given back.
void TunnelService::tell_leases() {
  const std::vector<LeaseNews> news = std::exchange(lease_news_, {});
  for (std::size_t i = 0; i < kKeyingDaemons && !news.empty(); ++i) {
    const auto kind = static_cast<KeyingDaemon>(i);
    if (daemon(kind).fd < 0) continue;
    ipc::TunnelEvent event;
    const auto send = [&] {
      if (event.foreign_leases().leases_size() > 0) tell(kind, event);
      event.mutable_foreign_leases()->clear_leases();
    };
    for (const LeaseNews& one : news) {
      if (owner_of(one.tunnel) == kind) continue;
      add_lease(*event.mutable_foreign_leases(), one);
      if (event.foreign_leases().leases_size() == kLeasesATime) send();
    }
    send();
  }
}

void TunnelService::tell_all_leases(KeyingDaemon kind) {
  ipc::TunnelEvent event;
  for (const auto& [number, tunnel] : tunnels_) {
    if (owner_of(number) == kind) continue;
    for (const Address& address : tunnel.leases) {
      const LeaseNews news{number, tunnel.tenant, address, true, tunnel.account, tunnel.account_group, tunnel.since};
      add_lease(*event.mutable_foreign_leases(), news);
    }
    if (event.foreign_leases().leases_size() < kLeasesATime) continue;
    tell(kind, event);
    event.mutable_foreign_leases()->clear_leases();
  }
  if (event.foreign_leases().leases_size() > 0) tell(kind, event);
}

}  // namespace sekisho::dataplane
