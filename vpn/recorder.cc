// SPDX-License-Identifier: Apache-2.0
#include "vpn/recorder.h"


#include <algorithm>
#include <cstdio>
#include <limits>

#include "base/legacy_use.h"
#include "base/proto/control_vpn.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "vpn/crypto_profile.h"
#include "vpn/device_record.h"
#include "vpn/labels.h"
#include "vpn/legacy.h"
#include "vpn/random.h"

namespace sekisho::vpn {
namespace {

/// Sessions a daemon before left have this bit and their tunnel's number.
constexpr std::uint64_t kLeftBit = left_session(0);
constexpr std::uint64_t kSecond = 1'000'000'000;
/// An up younger than this when its daemon died may not have been stored: it is written again, and stored once.
constexpr std::uint64_t kFreshNs = 60 * kSecond;

constexpr std::chrono::seconds kIncidentsLook{1};
constexpr std::string_view kNotBack = "the keying daemon was restarted, and the client did not come back";
/// Of gateways that ask a backend of those it judges, and their directory of the others.
constexpr std::string_view kRadiusWay = "eap-radius";

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

std::string wire_of(const Address& address) { return {address.wire().begin(), address.wire().end()}; }

ipc::VpnRecord::Event event_of(SessionEvent::Kind kind) {
  switch (kind) {
    case SessionEvent::Kind::kUp: return ipc::VpnRecord::UP;
    case SessionEvent::Kind::kAuthFail: return ipc::VpnRecord::AUTH_FAIL;
    case SessionEvent::Kind::kDenied: return ipc::VpnRecord::DENIED;
    case SessionEvent::Kind::kRekeyed: return ipc::VpnRecord::REKEY;
    case SessionEvent::Kind::kMoved: return ipc::VpnRecord::MOVED;
    case SessionEvent::Kind::kDown: return ipc::VpnRecord::DOWN;
    case SessionEvent::Kind::kStart: return ipc::VpnRecord::START;
    case SessionEvent::Kind::kAuthOk: return ipc::VpnRecord::AUTH_OK;
    case SessionEvent::Kind::kAssigned: return ipc::VpnRecord::ASSIGNED;
    case SessionEvent::Kind::kUsage: return ipc::VpnRecord::USAGE;
  }
  return ipc::VpnRecord::NONE;
}

void fill(ipc::VpnRecord& out, const Session& session, std::uint64_t sid) {
  out.set_vpn_sid(sid);
  out.set_protocol(record_protocol(session.protocol));
  out.set_peer_address(wire_of(session.path.remote.address));
  out.set_peer_port(session.path.remote.port);
  out.set_nat(session.nat);
  const std::string_view way = way_in(session.gateway);
  out.set_gateway(std::string(gateway_name(session.gateway)));
  if (way != kRadiusWay) out.set_auth(std::string(way == "certificate" ? "pubkey" : way));  // that method is known at its end
  // Whether a backend asked for a second factor it does not tell.
  if (!way.empty() && way != kRadiusWay && session.backend.empty()) out.set_mfa("none");
  if (!session.backend.empty()) {
    out.set_backend(session.backend);
  } else if (!way.empty() && way != kRadiusWay) {
    out.set_backend("local");
  }
  out.set_user(session.user);
  out.set_ike_id(session.ike_id);
  out.set_realm(std::string(realm_of(session.user)));
  out.set_certificate_serial(session.certificate_serial);
  out.set_certificate_subject(session.certificate_subject);
  out.set_ike_suite(suite_label(session.ike_suite));
  out.set_esp_suite(suite_label(session.esp_suite));
  out.set_client(std::string(session.client.empty() ? name_of(session.family) : std::string_view(session.client)));
  out.set_correlation(session.correlation);
  for (const Address& lease : session.leases) {
    if (lease.family == Family::kIpv4) out.set_inner_ipv4(wire_of(lease));
    if (lease.family == Family::kIpv6) out.set_inner_ipv6(wire_of(lease));
  }
}

/// Who judged, and by what.
void fill(ipc::VpnRecord& out, const Session& session, const UserDirectory::Admitted& admitted) {
  if (way_in(session.gateway) != kRadiusWay) return;
  out.set_backend(admitted.backend.empty() ? "local" : admitted.backend);
  if (admitted.backend.empty()) out.set_mfa("none");
  out.set_auth(admitted.backend.empty() ? "eap-mschapv2" : admitted.method);
}

void fill(ipc::VpnRecord& out, const TunnelTotals& totals) {
  out.set_bytes_in(totals.bytes_in);
  out.set_bytes_out(totals.bytes_out);
  out.set_packets_in(totals.packets_in);
  out.set_packets_out(totals.packets_out);
}

/// What the record says beside its cause, within the field's bounds; `remark`: what else may be why.
std::string message_of(const SessionEvent& event, std::string_view remark) {
  constexpr std::size_t kMessageMax = 256;
  std::string out(event.text);
  if (event.kind == SessionEvent::Kind::kUp) {
    const std::string weak = weak_parts(event.session.ike_suite + "/" + event.session.esp_suite);
    const std::string legacy = legacy_use(event.session);
    if (!weak.empty() || !legacy.empty()) out = "weak algorithms in use: " + (weak.empty() ? legacy : weak);
    if (!legacy.empty()) out.append("; ").append(kLegacyUse).append(legacy);
  } else if (event.cause == Cause::kCrypto && !event.session.offered.empty()) {
    std::string offered = event.session.offered;
    std::replace(offered.begin(), offered.end(), ' ', '/');
    out += "; it offered " + suite_label(offered);
  }
  if (!remark.empty() && out.find(remark) == std::string::npos) out = std::string(remark) + "; " + out;
  out.resize(std::min(out.size(), kMessageMax));
  return out;
}

void set_end(ipc::VpnRecord& out, std::uint64_t start_ns, std::uint64_t at_ns) {
  if (start_ns == 0) return;
  out.set_start_ns(start_ns);
  out.set_duration_seconds(at_ns > start_ns ? (at_ns - start_ns) / kSecond : 0);
}

}  // namespace

Cause cause_of(SessionTunnelGone::Why why) {
  switch (why) {
    case SessionTunnelGone::Why::kReplaced: return Cause::kReplaced;
    case SessionTunnelGone::Why::kPortGone: return Cause::kConfig;
    case SessionTunnelGone::Why::kLimits: case SessionTunnelGone::Why::kClosed: break;
  }
  return Cause::kInternal;
}

SessionRecorder::SessionRecorder(UserDirectory& directory, TunnelClient& tunnels, EventLog& log, bool verbose, Told told,
                                 ToldLeft told_left)
    : directory_(directory), tunnels_(tunnels), log_(log), verbose_(verbose), told_(std::move(told)), told_left_(std::move(told_left)) {
  make_random(first_sid_);
  begun_ns_ = now_ns();
  thread_ = std::thread([this] { run(); });
}

SessionRecorder::~SessionRecorder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SessionRecorder::on(const SessionEvent& event) {
  if (event.kind == SessionEvent::Kind::kMoved) directory_.moved(event.session);
  {
    const std::lock_guard lock(mutex_);
    noted_.push_back({event, now_ns()});
  }
  changed_.notify_all();
}

void SessionRecorder::line(int level, std::string_view group, std::string_view text) {
  if (level > (verbose_ ? 1 : 0)) return;
  std::fprintf(stderr, "iked: %.*s %.*s\n", static_cast<int>(group.size()), group.data(), static_cast<int>(text.size()), text.data());
}

void SessionRecorder::run() {
  while (true) {
    Noted next;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kIncidentsLook, [this] { return stopping_ || !noted_.empty(); });
      if (stopping_ && noted_.empty()) break;
      if (noted_.empty()) {
        lock.unlock();
        write_incidents(false);
        continue;
      }
      next = std::move(noted_.front());
      noted_.pop_front();
    }
    write(next);
    write_incidents(false);
  }
  write_incidents(true);
}

void SessionRecorder::write_incidents(bool all) {
  for (Incident& one : directory_.take_incidents()) incidents_.note(std::move(one));
  const std::uint64_t now = now_ns();
  const auto steady = std::chrono::steady_clock::now().time_since_epoch();  // it rises, whoever sets the clock
  const auto steady_ns = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(steady).count());
  for (const Incident& one : incidents_.take(steady_ns, all)) {
    ipc::ToEventLog out;
    if (!envelope(out, one.tenant, now)) continue;
    fill(*out.mutable_security(), one);
    log_.add(std::move(out));
  }
}

bool SessionRecorder::envelope(ipc::ToEventLog& out, std::uint32_t tenant, std::uint64_t at_ns) const {
  const std::shared_ptr<const Plan> plan = directory_.plan();
  const TenantPlan* owner = plan->tenant(tenant);
  if (owner == nullptr) return false;  // nobody's: there is no log to write it to
  out.set_timestamp_ns(at_ns);
  out.set_eid(new_eid(at_ns));
  out.set_service_code(owner->service_code);
  out.set_node(plan->node.empty() ? "u0" : plan->node);
  out.set_revision(plan->generation);
  return true;
}

/// Of an attempt that failed at a gateway whose exception is over.
std::string_view SessionRecorder::remark_on(const SessionEvent& event, std::uint64_t at_ns) const {
  const std::shared_ptr<const Plan> plan = directory_.plan();
  const TenantPlan* tenant = plan->tenant(event.session.path.tenant);
  if (tenant == nullptr || event.kind == SessionEvent::Kind::kDown) return {};
  const std::string chosen(gateway_name(event.session.gateway));
  const GatewayPlan* gateway = tenant->gateway(chosen.empty() ? tenant->gateway_at(event.session.path.local.address) : chosen);
  return legacy_remark(gateway, event.stage, event.cause, static_cast<std::int64_t>(at_ns / kSecond));
}

void SessionRecorder::write(const Noted& noted) {
  using Kind = SessionEvent::Kind;
  const SessionEvent& event = noted.event;
  const Session& session = event.session;
  ipc::ToEventLog out;
  const bool ours = envelope(out, session.path.tenant, noted.at_ns);
  ipc::VpnRecord& record = *out.mutable_vpn();
  record.set_event(event_of(event.kind));
  fill(record, session, first_sid_ + session.id);
  if (session.device.result == DeviceVerdict::Result::kOk) record.set_device_id(session.device.id);
  if (event.kind == Kind::kUp) record.set_message(message_of(event, {}));
  if (const TenantPlan* owner = directory_.plan()->tenant(session.path.tenant)) {
    record.set_country(owner->country_of(session.path.remote.address));
    if (record.gateway().empty()) record.set_gateway(owner->gateway_at(session.path.local.address));  // charon has not chosen yet
    out.set_gateway_code(owner->code_of(record.gateway()));
  }
  if (event.kind == Kind::kStart && way_in(session.gateway).starts_with("eap")) {
    record.clear_user();  // his EAP identity is not known yet
    record.clear_realm();
  }
  const auto admitted = directory_.admitted(session.id);
  if (admitted) {
    record.set_user_group(admitted->group);
    for (const std::string& group : admitted->groups) record.add_user_groups(group);
    record.set_pool(admitted->pool);
    record.set_sessions(admitted->sessions);
    fill(record, session, *admitted);
  }
  std::optional<TunnelClient::Closed> closed;
  std::uint64_t start = 0;
  {
    const std::lock_guard lock(mutex_);
    if (event.kind == Kind::kUp) starts_[session.id] = noted.at_ns;
    const auto found = starts_.find(session.id);
    if (found != starts_.end()) start = found->second;
    const auto eids = eids_.find(session.id);
    if (event.kind == Kind::kUp && eids != eids_.end()) out.set_eid(eids->second.up);
    if (event.kind == Kind::kDown && eids != eids_.end()) out.set_eid(eids->second.down);
  }
  if (event.kind == Kind::kUsage) {
    const auto totals = tunnels_.totals(session.id);
    if (start == 0 || !totals) return;  // it ended meanwhile
    fill(record, *totals);
    set_end(record, start, noted.at_ns);
  }
  if (event.kind == Kind::kAuthFail || event.kind == Kind::kDenied || event.kind == Kind::kDown) {
    closed = tunnels_.close(session.id);
    directory_.ended(session.id);
    record.set_cause(std::string(name_of(event.cause)));
    const bool locked = event.kind == Kind::kAuthFail && directory_.locked(session.path, session.user);
    record.set_message(locked ? "authentication: shut out after too many wrong passwords. Remedy: wait a quarter of an hour"
                              : message_of(event, remark_on(event, noted.at_ns)));
    if (event.kind == Kind::kDown) {
      if (closed) fill(record, closed->totals);
      set_end(record, start, noted.at_ns);
      if (record.sessions() > 0) record.set_sessions(record.sessions() - 1);
    }
    const std::lock_guard lock(mutex_);
    starts_.erase(session.id);
    eids_.erase(session.id);
  }
  // Called by the log, which outlives us.
  const std::function<void()> over = [&tunnels = tunnels_, closed] {
    if (closed) tunnels.forget(closed->tunnel);
  };
  if (told_) told_(event, sid_of(session.id), admitted, closed ? &closed->totals : nullptr);
  if (!ours) return over();
  const std::string code = out.gateway_code();
  log_.add(std::move(out), over);
  if (event.kind == Kind::kUp || event.kind == Kind::kAuthFail || event.kind == Kind::kDenied) write_device(noted, code);
  if (auto one = incident_of(event, noted.at_ns)) incidents_.note(*std::move(one));
}

/// Each attempt has one, written behind its end.
void SessionRecorder::write_device(const Noted& noted, const std::string& gateway_code) {
  ipc::ToEventLog out;
  if (!envelope(out, noted.event.session.path.tenant, noted.at_ns)) return;
  out.set_gateway_code(gateway_code);
  fill_device(*out.mutable_device(), noted.event.session, first_sid_ + noted.event.session.id);
  log_.add(std::move(out));
}

std::optional<TunnelOwner> SessionRecorder::owner_of(const Session& session) {
  const auto admitted = directory_.admitted(session.id);
  Note note;
  if (!admitted || !envelope(note.down, session.path.tenant, now_ns())) return std::nullopt;
  note.user = admitted->user;
  note.secret = noted_mark(admitted->secret);
  note.session_seconds = admitted->session_seconds;
  note.up_eid = new_eid(note.down.timestamp_ns());
  ipc::VpnRecord& record = *note.down.mutable_vpn();
  record.set_event(ipc::VpnRecord::DOWN);
  fill(record, session, first_sid_ + session.id);
  if (const TenantPlan* owner = directory_.plan()->tenant(session.path.tenant)) {
    note.down.set_gateway_code(owner->code_of(record.gateway()));
  }
  fill(record, session, *admitted);
  if (session.device.result == DeviceVerdict::Result::kOk) record.set_device_id(session.device.id);
  record.set_user_group(admitted->group);
  record.set_pool(admitted->pool);
  record.set_start_ns(note.down.timestamp_ns());
  {
    const std::lock_guard lock(mutex_);
    eids_[session.id] = {note.up_eid, note.down.eid()};
  }
  return TunnelOwner{admitted->tunnel_port, admitted->user, write_note(std::move(note)), admitted->person,
                     admitted->account, admitted->account_group, admitted->since, admitted->others, admitted->displaced};
}

void SessionRecorder::forged(std::uint32_t tenant, const std::string& backend, std::uint64_t count,
                             std::chrono::steady_clock::time_point first, std::chrono::steady_clock::time_point last) {
  const std::uint64_t now = now_ns();
  const auto ago = [](std::chrono::steady_clock::time_point when) {
    const auto age = std::chrono::steady_clock::now() - when;
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::nanoseconds>(age).count()));
  };
  ipc::ToEventLog out;
  if (!envelope(out, tenant, now)) return;
  ipc::SecurityRecord& record = *out.mutable_security();
  record.set_event("AUTH_BACKEND_FORGED");
  record.set_count(std::min<std::uint64_t>(count, std::numeric_limits<std::uint32_t>::max()));
  record.set_first_ns(now - ago(first));
  record.set_last_ns(std::max(record.first_ns(), now - ago(last)));
  record.set_subject(backend);
  log_.add(std::move(out));
}

void SessionRecorder::usage(const Session& session) {
  on({.kind = SessionEvent::Kind::kUsage, .session = session, .stage = Stage::kAdmission, .cause = Cause::kNone, .text = {}});
}

namespace {

void fill(ipc::VpnSession& out, std::uint32_t tenant, const ipc::VpnRecord& from) {
  out.set_tenant(tenant);
  out.set_vpn_sid(from.vpn_sid());
  out.set_gateway(from.gateway());
  out.set_user(from.user());
  out.set_auth(from.auth());
  out.set_user_group(from.user_group());
  out.set_peer_address(from.peer_address());
  out.set_peer_port(from.peer_port());
  out.set_inner_ipv4(from.inner_ipv4());
  out.set_inner_ipv6(from.inner_ipv6());
  out.set_ike_suite(from.ike_suite());
  out.set_esp_suite(from.esp_suite());
  out.set_client(from.client());
}

}  // namespace

void SessionRecorder::list(const std::vector<Session>& live, ipc::VpnAnswer& out) {
  std::map<std::uint64_t, std::uint64_t> starts;
  std::map<std::uint32_t, LeftTunnel> left;
  {
    const std::lock_guard lock(mutex_);
    starts = starts_;
    left = left_;
  }
  for (const Session& session : live) {
    ipc::VpnRecord record;
    fill(record, session, first_sid_ + session.id);
    if (const auto admitted = directory_.admitted(session.id)) {
      record.set_user_group(admitted->group);
      fill(record, session, *admitted);
    }
    ipc::VpnSession& one = *out.add_sessions();
    fill(one, session.path.tenant, record);
    const auto start = starts.find(session.id);
    if (start != starts.end()) one.set_start_ns(start->second);
  }
  for (const auto& [number, tunnel] : left) {
    const auto note = read_note(tunnel.note);
    if (!note) continue;
    ipc::VpnSession& one = *out.add_sessions();
    fill(one, tunnel.tenant, note->down.vpn());
    one.set_start_ns(note->down.vpn().start_ns());
    one.set_left(true);
  }
}

std::vector<std::uint64_t> SessionRecorder::sessions_of(std::uint64_t vpn_sid, std::uint32_t tenant, const std::string& user,
                                                        const std::vector<Session>& live) {
  std::vector<std::uint64_t> out;
  const auto is = [&](std::uint64_t sid, std::uint32_t of, const std::string& name) {
    return (tenant == 0 || tenant == of) && (vpn_sid != 0 ? sid == vpn_sid : tenant != 0 && folded(name) == folded(user));
  };
  for (const Session& session : live) {
    if (is(first_sid_ + session.id, session.path.tenant, session.user)) out.push_back(session.id);
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [number, tunnel] : left_) {
    const auto note = read_note(tunnel.note);
    if (note && is(note->down.vpn().vpn_sid(), tunnel.tenant, note->down.vpn().user())) out.push_back(left_session(number));
  }
  return out;
}

void SessionRecorder::left(const LeftTunnel& tunnel) {
  const auto note = read_note(tunnel.note);
  {
    const std::lock_guard lock(mutex_);
    left_.insert_or_assign(tunnel.tunnel, tunnel);
  }
  if (!note) return;
  std::vector<Address> leases;
  for (const std::string* bytes : {&note->down.vpn().inner_ipv4(), &note->down.vpn().inner_ipv6()}) {
    const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes->data()), bytes->size()});
    if (address) leases.push_back(*address);
  }
  if (told_left_) told_left_(left_session(tunnel.tunnel), tunnel.tenant, note->down.vpn());
  directory_.adopt(left_session(tunnel.tunnel), tunnel.tenant, note->down.vpn().gateway(), note->down.vpn().user(), note->user, leases,
                   {static_cast<std::int64_t>(note->down.vpn().start_ns() / kSecond), note->secret, note->session_seconds});
}

std::vector<Session> SessionRecorder::left_riding() {
  std::vector<Session> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [number, tunnel] : left_) {
    const auto note = tunnel.ride ? read_note(tunnel.note) : std::nullopt;
    if (!note) continue;
    Session& one = out.emplace_back();
    one.id = left_session(number);
    one.path.tenant = tunnel.tenant;
    one.gateway = note->down.vpn().gateway() + " left";
  }
  return out;
}

void SessionRecorder::write_left(const LeftTunnel& tunnel, Cause cause, std::string_view text, const TunnelTotals* totals) {
  directory_.ended(left_session(tunnel.tunnel));
  {
    const std::lock_guard lock(mutex_);
    left_.erase(tunnel.tunnel);
  }
  auto note = read_note(tunnel.note);
  if (!note) return tunnels_.forget(tunnel.tunnel);
  const std::uint64_t at = now_ns();
  ipc::VpnRecord& record = *note->down.mutable_vpn();
  if (record.start_ns() + kFreshNs > begun_ns_) log_.add(up_record(*note));
  note->down.set_timestamp_ns(at);
  if (totals != nullptr) fill(record, *totals);
  set_end(record, record.start_ns(), at);
  record.set_cause(std::string(name_of(cause)));
  record.set_message(std::string(text));
  if (told_) {
    SessionEvent event{.kind = SessionEvent::Kind::kDown, .session = {}, .stage = Stage::kAdmission, .cause = cause, .text = {}};
    event.session.id = left_session(tunnel.tunnel);
    told_(event, record.vpn_sid(), std::nullopt, totals);
  }
  log_.add(std::move(note->down), [&tunnels = tunnels_, number = tunnel.tunnel] { tunnels.forget(number); });
}

void SessionRecorder::left_gone(const LeftTunnelGone& gone) {
  const Cause cause = cause_of(gone.why);
  const std::string_view text = gone.why == SessionTunnelGone::Why::kClosed ? "the keying daemon was restarted while the session ended"
                                : cause == Cause::kInternal                 ? kNotBack
                                                                            : sentence_of(cause, true);
  write_left(gone.tunnel, cause, text, &gone.totals);
}

void SessionRecorder::left_lost() {
  std::map<std::uint32_t, LeftTunnel> all;
  {
    const std::lock_guard lock(mutex_);
    all = left_;
  }
  for (const auto& [number, tunnel] : all) write_left(tunnel, Cause::kInternal, sentence_of(Cause::kInternal, true), nullptr);
}

bool SessionRecorder::end_left(std::uint64_t session, Cause cause) {
  if ((session & kLeftBit) == 0) return false;
  std::optional<LeftTunnel> found;
  {
    const std::lock_guard lock(mutex_);
    const auto at = left_.find(static_cast<std::uint32_t>(session));
    if (at != left_.end()) found = at->second;
  }
  if (!found || cause == Cause::kReplaced) return true;  // the data plane ends it when the address moves
  const auto totals = tunnels_.close_left(found->tunnel);
  write_left(*found, cause, sentence_of(cause, true), totals ? &*totals : nullptr);
  return true;
}

}  // namespace sekisho::vpn
