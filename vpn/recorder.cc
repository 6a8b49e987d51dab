// SPDX-License-Identifier: Apache-2.0
#include "vpn/recorder.h"


#include <cstdio>
#include <cstring>

#include "base/proto/vpn_log.pb.h"
#include "vpn/random.h"

namespace sekisho::vpn {
namespace {

/// Sessions a daemon before left have this bit and their tunnel's number.
constexpr std::uint64_t kLeftBit = std::uint64_t{1} << 63;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::size_t kNameInNoteMax = 256;

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
  }
  return ipc::VpnRecord::NONE;
}

void fill(ipc::VpnRecord& out, const Session& session, std::uint64_t sid) {
  out.set_vpn_sid(sid);
  out.set_protocol(ipc::VpnRecord::IKEV2);
  out.set_peer_address(wire_of(session.path.remote.address));
  out.set_peer_port(session.path.remote.port);
  out.set_nat(session.nat);
  const std::string_view way = way_in(session.gateway);
  out.set_gateway(std::string(gateway_name(session.gateway)));
  out.set_auth(std::string(way == "certificate" ? "pubkey" : way));
  out.set_user(session.user);
  out.set_ike_id(session.ike_id);
  out.set_ike_suite(session.ike_suite);
  out.set_esp_suite(session.esp_suite);
  for (const Address& lease : session.leases) {
    if (lease.family == Family::kIpv4) out.set_inner_ipv4(wire_of(lease));
    if (lease.family == Family::kIpv6) out.set_inner_ipv6(wire_of(lease));
  }
}

void fill(ipc::VpnRecord& out, const TunnelTotals& totals) {
  out.set_bytes_in(totals.bytes_in);
  out.set_bytes_out(totals.bytes_out);
  out.set_packets_in(totals.packets_in);
  out.set_packets_out(totals.packets_out);
}

void set_end(ipc::VpnRecord& out, std::uint64_t start_ns, std::uint64_t at_ns) {
  if (start_ns == 0) return;
  out.set_start_ns(start_ns);
  out.set_duration_seconds(at_ns > start_ns ? (at_ns - start_ns) / kSecond : 0);
}

/// A note: the user's number, then the record of the end.
struct Note {
  std::uint32_t user = 0;
  ipc::ToEventLog record;
};
constexpr std::size_t kNoteHead = sizeof(std::uint32_t);

std::optional<Note> read_note(const std::vector<std::uint8_t>& bytes) {
  Note out;
  if (bytes.size() < kNoteHead) return std::nullopt;
  std::memcpy(&out.user, bytes.data(), kNoteHead);
  const bool read = out.record.ParseFromArray(bytes.data() + kNoteHead, static_cast<int>(bytes.size() - kNoteHead));
  if (!read || !out.record.has_vpn()) return std::nullopt;
  return out;
}

}  // namespace

Cause cause_of(SessionTunnelGone::Why why) {
  switch (why) {
    case SessionTunnelGone::Why::kReplaced: return Cause::kReplaced;
    case SessionTunnelGone::Why::kPortGone: return Cause::kConfig;
    case SessionTunnelGone::Why::kLimits: break;
  }
  return Cause::kInternal;
}

SessionRecorder::SessionRecorder(UserDirectory& directory, TunnelClient& tunnels, EventLog& log, bool verbose)
    : directory_(directory), tunnels_(tunnels), log_(log), verbose_(verbose) {
  make_random(first_sid_);
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
      changed_.wait(lock, [this] { return stopping_ || !noted_.empty(); });
      if (noted_.empty()) return;
      next = std::move(noted_.front());
      noted_.pop_front();
    }
    write(next);
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

void SessionRecorder::write(const Noted& noted) {
  using Kind = SessionEvent::Kind;
  const SessionEvent& event = noted.event;
  const Session& session = event.session;
  const bool over = event.kind == Kind::kAuthFail || event.kind == Kind::kDenied || event.kind == Kind::kDown;
  ipc::ToEventLog out;
  const bool ours = envelope(out, session.path.tenant, noted.at_ns);
  ipc::VpnRecord& record = *out.mutable_vpn();
  record.set_event(event_of(event.kind));
  fill(record, session, first_sid_ + session.id);
  if (event.kind == Kind::kUp) starts_[session.id] = noted.at_ns;
  const auto admitted = directory_.admitted(session.id);
  if (admitted) {
    record.set_user_group(admitted->group);
    for (const std::string& group : admitted->groups) record.add_user_groups(group);
    record.set_pool(admitted->pool);
    record.set_sessions(admitted->sessions);
  }
  if (over) {
    const auto totals = tunnels_.close(session.id);
    directory_.ended(session.id);
    record.set_cause(std::string(name_of(event.cause)));
    const bool locked = event.kind == Kind::kAuthFail && directory_.locked(session.path, session.user);
    record.set_message(locked ? "shut out after too many wrong passwords: wait a quarter of an hour" : std::string(event.text));
    if (event.kind == Kind::kDown) {
      if (totals) fill(record, *totals);
      set_end(record, starts_[session.id], noted.at_ns);
      if (admitted && admitted->sessions > 0) record.set_sessions(admitted->sessions - 1);
    }
    starts_.erase(session.id);
    const std::lock_guard lock(mutex_);
    const auto eid = end_eids_.find(session.id);
    if (eid != end_eids_.end()) {
      if (event.kind == Kind::kDown) out.set_eid(eid->second);
      end_eids_.erase(eid);
    }
  }
  if (ours) log_.add(std::move(out));
}

std::optional<TunnelOwner> SessionRecorder::owner_of(const Session& session) {
  const auto admitted = directory_.admitted(session.id);
  if (!admitted) return std::nullopt;
  ipc::ToEventLog note;
  if (!envelope(note, session.path.tenant, now_ns())) return std::nullopt;
  Session brief = session;
  brief.ike_id.clear();
  brief.user.resize(std::min(brief.user.size(), kNameInNoteMax));
  ipc::VpnRecord& record = *note.mutable_vpn();
  record.set_event(ipc::VpnRecord::DOWN);
  fill(record, brief, first_sid_ + session.id);
  record.set_user_group(admitted->group);
  record.set_start_ns(note.timestamp_ns());
  TunnelOwner out{admitted->tunnel_port, admitted->user, std::vector<std::uint8_t>(kNoteHead)};
  std::memcpy(out.note.data(), &admitted->user, kNoteHead);
  const std::string bytes = note.SerializeAsString();
  out.note.insert(out.note.end(), bytes.begin(), bytes.end());
  const std::lock_guard lock(mutex_);
  end_eids_[session.id] = note.eid();
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
  for (const std::string* bytes : {&note->record.vpn().inner_ipv4(), &note->record.vpn().inner_ipv6()}) {
    const auto address = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes->data()), bytes->size()});
    if (address) leases.push_back(*address);
  }
  directory_.adopt(kLeftBit | tunnel.tunnel, tunnel.tenant, note->record.vpn().gateway(), note->record.vpn().user(), note->user, leases);
}

void SessionRecorder::write_left(const LeftTunnel& tunnel, Cause cause, const TunnelTotals* totals) {
  directory_.ended(kLeftBit | tunnel.tunnel);
  {
    const std::lock_guard lock(mutex_);
    left_.erase(tunnel.tunnel);
  }
  auto note = read_note(tunnel.note);
  if (!note) return;
  const std::uint64_t at = now_ns();
  ipc::VpnRecord& record = *note->record.mutable_vpn();
  note->record.set_timestamp_ns(at);
  if (totals != nullptr) fill(record, *totals);
  set_end(record, record.start_ns(), at);
  record.set_cause(std::string(name_of(cause)));
  record.set_message(cause == Cause::kInternal ? "the keying daemon was restarted, and the client did not come back"
                                               : std::string(sentence_of(cause, true)));
  log_.add(std::move(note->record));
}

void SessionRecorder::left_gone(const LeftTunnelGone& gone) {
  write_left(gone.tunnel, cause_of(gone.why), &gone.totals);
}

void SessionRecorder::left_lost() {
  std::map<std::uint32_t, LeftTunnel> all;
  {
    const std::lock_guard lock(mutex_);
    all = left_;
  }
  for (const auto& [number, tunnel] : all) write_left(tunnel, Cause::kInternal, nullptr);
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
  tunnels_.close_left(found->tunnel);
  write_left(*found, cause, nullptr);
  return true;
}

}  // namespace sekisho::vpn
