// SPDX-License-Identifier: GPL-2.0-or-later
#include "vpn/ike/ikev1_daemon.h"

#include <cstdio>

#include "base/proto/vpn_log.pb.h"
#include "vpn/directory.h"
#include "vpn/incidents.h"
#include "vpn/labels.h"
#include "vpn/legacy.h"
#include "vpn/random.h"

namespace sekisho::vpn {
namespace {

using namespace std::chrono_literals;
constexpr std::size_t kDatagramsATurn = 256, kCarriersATurn = 16;
/// A carrier of a daemon before lives as long as something passes: L2TP says hello once a minute.
constexpr std::chrono::seconds kLookInterval{10}, kSilence{180};
/// Clients renew their SAs by themselves (Windows each hour or 250 MB); one that does not is cut off after a day.
constexpr std::uint32_t kChildLifeSeconds = 86400;

void note(const std::string& sentence) { std::fprintf(stderr, "iked: %s\n", sentence.c_str()); }

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

std::int64_t now_seconds() { return static_cast<std::int64_t>(now_ns() / 1'000'000'000); }

/// The gateway as IKEv1 knows it.
Gateway gateway_of(const GatewayPlan& plan, std::int64_t now) {
  Gateway out = in_force(plan, now);
  out.l2tp = true;
  out.accept_eap_mschapv2 = out.accept_eap_tls = out.accept_eap_radius = false;
  out.accept_psk = !plan.l2tp->keys.empty();
  out.accept_certificate = plan.l2tp->certificates;
  if (!out.accept_certificate) out.certificates.clear(), out.keys.clear();
  out.device_cas.clear();
  out.ppk = Gateway::Ppk::kNone;
  out.ike_rekey_seconds = out.child_rekey_seconds = 0;
  out.child_rekey_bytes = 0;
  out.child_life_seconds = kChildLifeSeconds;
  return out;
}

}  // namespace

IkeV1Daemon::IkeV1Daemon(const std::string& run_dir, std::uint32_t threads, bool verbose)
    : threads_(threads),
      verbose_(verbose),
      tunnels_(KeyingDaemon::kIkeV1, run_dir + "/tunnel.sock",
               [](const Session& session) {
                 return TunnelOwner{.tunnel_port = 0, .user = 0, .note = {session.correlation.begin(), session.correlation.end()}};
               }),
      log_(run_dir + "/event.sock"),
      plans_(run_dir + "/control.sock", KeyingDaemon::kIkeV1) {
  make_random(first_sid_);
}

std::string IkeV1Daemon::start() {
  EngineSettings settings;
  settings.ike_version = 1;
  settings.threads = threads_;
  settings.verbose = verbose_;
  settings.half_open_seconds = 10;  // no cookie: a forged address holds its place until then, and no user is waited for
  auto made = Engine::make(settings, {tunnels_, tunnels_, directory_, *this});
  engine_ = std::move(made.engine);
  return made.refusal;
}

bool IkeV1Daemon::turn() {
  const auto now = Clock::now();
  const std::size_t datagrams =
      tunnels_.poll(kDatagramsATurn, [this](const Path& path, ByteSpan payload) { engine_->receive(path, payload); });
  for (const TunnelSignal& signal : tunnels_.take_signals()) take(signal);
  if (const auto plan = plans_.poll(now)) follow(*plan);
  std::deque<SessionEvent> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
  }
  for (const SessionEvent& event : events) work_off(event);
  for (const auto& [session, cause, text] : engine_->expired(now_seconds())) cut(session, cause, text);
  end_exceptions(now_seconds());
  look_at_left(now);
  look_at_carriers(now);
  return datagrams > 0;
}

void IkeV1Daemon::follow(const Plan& plan) {
  std::map<GatewayName, Gateway> now;
  const std::int64_t at = now_seconds();
  exceptions_.clear();
  ended_.clear();
  for (const auto& [id, tenant] : plan.tenants) {
    for (const GatewayPlan& one : tenant.gateways) {
      if (!one.l2tp) continue;
      const GatewayName name{id, one.gateway.name};
      now.emplace(name, gateway_of(one, at));
      if (one.gateway.profile != CryptoProfileId::kLegacy) continue;
      exceptions_.emplace(name, Exception{gateway_of(one, one.legacy_until), one.legacy_until});
    }
  }
  directory_.set_plan(plan);
  for (const auto& [name, gateway] : gateways_) {
    if (!now.contains(name)) engine_->remove_gateway(name.first, name.second);
  }
  for (const auto& [name, gateway] : now) {
    const auto same = gateways_.find(name);
    if (same == gateways_.end() || same->second != gateway) set_gateway(name, gateway);
  }
  gateways_ = std::move(now);
  for (const Session& session : engine_->sessions()) {
    const bool gone = !gateways_.contains({session.path.tenant, std::string(gateway_name(session.gateway))});
    // Who holds a key that was taken away, or is another's now, does not stay by it.
    const bool keyless = session.psk_mark != 0 && !directory_.has_psk(session.path, session.psk_mark);
    if (gone || keyless) cut(session.id, gone ? Cause::kConfig : Cause::kAdmin);
  }
  note("follows revision " + std::to_string(plan.generation));
}

void IkeV1Daemon::set_gateway(const GatewayName& name, const Gateway& gateway) {
  if (const auto why = engine_->set_gateway(gateway)) {
    note("gateway " + name.second + " answers nobody by IKEv1: " + *why);
    engine_->remove_gateway(name.first, name.second);
  }
}

/// Whoever is in by what only an exception allowed goes with it.
void IkeV1Daemon::end_exceptions(std::int64_t now) {
  bool some = false;
  for (auto at = exceptions_.begin(); at != exceptions_.end();) {
    const auto here = at++;
    const auto& [name, exception] = *here;
    if (now < exception.until) continue;
    if (gateways_.at(name) != exception.after) set_gateway(name, gateways_[name] = exception.after);
    ended_.insert(name);
    exceptions_.erase(here);
    some = true;
  }
  if (!some) return;
  for (const Session& session : engine_->sessions()) {
    const bool over = ended_.contains({session.path.tenant, std::string(gateway_name(session.gateway))});
    if (over && !legacy_use(session).empty()) cut(session.id, Cause::kCrypto, kLegacyEnded);
  }
}

/// Nothing passes from now on, whatever the peer says to it.
void IkeV1Daemon::cut(std::uint64_t session, Cause cause, std::string_view text) {
  tunnels_.cut(session);
  engine_->terminate(session, cause, text);
}

void IkeV1Daemon::take(const TunnelSignal& signal) {
  if (const auto* limit = std::get_if<SaLimitReached>(&signal)) return engine_->expire(limit->spi, limit->local, limit->hard);
  if (const auto* moved = std::get_if<PeerMovedTo>(&signal)) return engine_->mapping_changed(moved->spi, moved->local, moved->remote);
  if (const auto* gone = std::get_if<SessionTunnelGone>(&signal)) {
    engine_->terminate(gone->session, Cause::kInternal);
  } else if (const auto* left = std::get_if<LeftTunnel>(&signal)) {
    left_.insert_or_assign(left->tunnel, Left{*left, 0, Clock::now()});
  } else if (const auto* over = std::get_if<LeftTunnelGone>(&signal)) {
    left_.erase(over->tunnel.tunnel);
    tunnels_.forget(over->tunnel.tunnel);
  } else if (std::holds_alternative<DataplaneFound>(signal)) {
    note("connected to the data plane");
    if (std::exchange(lost_, false)) {
      for (const Session& session : engine_->sessions()) engine_->terminate(session.id, Cause::kInternal);
    }
  } else if (std::holds_alternative<DataplaneLost>(signal)) {
    note("the data plane is gone; its tunnels with it");
    lost_ = true;
    left_.clear();
  }
}

void IkeV1Daemon::on(const SessionEvent& event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(event);
}

void IkeV1Daemon::line(int level, std::string_view group, std::string_view text) {
  if (level > (verbose_ ? 1 : 0)) return;
  std::fprintf(stderr, "iked: %.*s %.*s\n", static_cast<int>(group.size()), group.data(), static_cast<int>(text.size()), text.data());
}

void IkeV1Daemon::work_off(const SessionEvent& event) {
  using Kind = SessionEvent::Kind;
  if (event.kind == Kind::kUp) write_use(event);
  if (event.kind != Kind::kAuthFail && event.kind != Kind::kDenied && event.kind != Kind::kDown) return;
  if (const auto closed = tunnels_.close(event.session.id)) tunnels_.forget(closed->tunnel);
  if (event.kind != Kind::kDown) write(event);
}

namespace {

ipc::ToEventLog envelope(const PeerDirectory::Owner& owner, std::uint64_t at) {
  ipc::ToEventLog out;
  out.set_timestamp_ns(at);
  out.set_eid(new_eid(at));
  out.set_service_code(owner.service_code);
  out.set_node(owner.node);
  out.set_gateway_code(owner.gateway_code);
  out.set_revision(owner.revision);
  return out;
}

}  // namespace

/// What tunneld cannot tell of those who come in through it: the algorithms.
void IkeV1Daemon::write_use(const SessionEvent& event) {
  const PeerDirectory::Owner owner = directory_.owner_of(event.session.path);
  const std::uint64_t at = now_ns();
  const auto use = incident_of(event, at);
  if (!use || owner.service_code.empty()) return;
  ipc::ToEventLog out = envelope(owner, at);
  fill(*out.mutable_security(), *use);
  log_.add(std::move(out));
}

/// An attempt that never carried L2TP: its one record.
void IkeV1Daemon::write(const SessionEvent& event) {
  const Session& session = event.session;
  const PeerDirectory::Owner owner = directory_.owner_of(session.path);
  if (owner.service_code.empty()) return;  // nobody's: there is no log to write it to
  constexpr std::size_t kMessageMax = 256;
  ipc::ToEventLog out = envelope(owner, now_ns());
  ipc::VpnRecord& record = *out.mutable_vpn();
  record.set_event(event.kind == SessionEvent::Kind::kAuthFail ? ipc::VpnRecord::AUTH_FAIL : ipc::VpnRecord::DENIED);
  record.set_protocol(ipc::VpnRecord::L2TP);
  record.set_vpn_sid(first_sid_ + session.id);
  const Address& peer = session.path.remote.address;
  record.set_peer_address(std::string(peer.wire().begin(), peer.wire().end()));
  record.set_peer_port(session.path.remote.port);
  record.set_nat(session.nat);
  record.set_gateway(owner.gateway);
  record.set_ike_id(session.ike_id);
  record.set_certificate_serial(session.certificate_serial);
  record.set_certificate_subject(session.certificate_subject);
  record.set_ike_suite(suite_label(session.ike_suite));
  record.set_esp_suite(suite_label(session.esp_suite));
  record.set_client(session.client);
  record.set_correlation(session.correlation);
  record.set_cause(std::string(name_of(event.cause)));
  const bool over = event.cause == Cause::kCrypto && ended_.contains({session.path.tenant, owner.gateway});
  record.set_message(("IKE: " + (over ? std::string(kLegacyEnded) + "; " : "") + event.text).substr(0, kMessageMax));
  log_.add(std::move(out));
}

/// A few a turn.
void IkeV1Daemon::look_at_carriers(Clock::time_point now) {
  if (to_look_at_.empty() && now >= next_watch_) {
    next_watch_ = now + kLookInterval;
    to_look_at_ = engine_->sessions();
    watch_.keep(to_look_at_);
  }
  for (std::size_t i = 0; i < kCarriersATurn && !to_look_at_.empty(); ++i) {
    const std::uint64_t session = to_look_at_.back().id;
    to_look_at_.pop_back();
    const auto seen = tunnels_.totals(session);
    if (!seen || !watch_.look(session, *seen, now)) continue;
    cut(session, Cause::kIdle);
  }
}

void IkeV1Daemon::look_at_left(Clock::time_point now) {
  if (now < next_look_) return;
  next_look_ = now + kLookInterval;
  for (auto at = left_.begin(); at != left_.end();) {
    const auto here = at++;
    const auto use = tunnels_.left_totals(here->first);
    const std::uint64_t packets = use ? use->packets_in : here->second.packets;
    if (packets != std::exchange(here->second.packets, packets)) here->second.since = now;
    if (now - here->second.since < kSilence) continue;
    (void)tunnels_.close_left(here->first);
    tunnels_.forget(here->first);
    left_.erase(here);
  }
}

}  // namespace sekisho::vpn
