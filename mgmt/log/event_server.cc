// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/event_server.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <limits>

#include "base/describe.h"
#include "mgmt/log/record.h"

namespace sekisho::mgmt {
namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr std::chrono::milliseconds kNow{0};
constexpr std::size_t kTextBytesMax = 4096, kGroupsMax = 64, kNodeCharactersMax = 4;
constexpr std::uint8_t kSeverityInfo = 6, kSeverityNotice = 5, kSeverityWarning = 4;

/// 4 or 16 bytes, or none: the absent address.
std::optional<Address> address_of(const std::string& bytes) {
  Address out;
  if (bytes.empty()) return out;
  if (bytes.size() != 4 && bytes.size() != 16) return std::nullopt;
  out.family = bytes.size() == 4 ? Family::kIpv4 : Family::kIpv6;
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return out;
}

template <typename E>
std::optional<E> word(const std::string& text) {
  return text.empty() ? std::optional<E>(E::kNone) : enum_from<E>(text);
}

std::uint8_t severity_of(const VpnFields& body) {
  if (body.event == VpnEvent::kAuthFail) return kSeverityNotice;
  const bool weak = body.event == VpnEvent::kUp && body.msg.starts_with("weak ");
  return body.event == VpnEvent::kDenied || weak ? kSeverityWarning : kSeverityInfo;
}

/// What is wrong with it, or empty.
std::string take_texts(const ipc::VpnRecord& from, VpnFields& out) {
  const auto take = [](const std::string& text, std::string& to) { return to = text, text.size() <= kTextBytesMax; };
  if (!take(from.gateway(), out.gw_name)) return "gateway";
  if (!take(from.user(), out.user)) return "user";
  if (!take(from.ike_id(), out.ike_id)) return "ike_id";
  if (!take(from.realm(), out.realm)) return "realm";
  if (!take(from.user_group(), out.user_group)) return "user_group";
  if (!take(from.certificate_serial(), out.cert_serial)) return "certificate_serial";
  if (!take(from.certificate_subject(), out.cert_subject)) return "certificate_subject";
  if (!take(from.pool(), out.pool)) return "pool";
  if (!take(from.backend(), out.backend)) return "backend";
  if (!take(from.device_id(), out.device_id)) return "device_id";
  if (!take(from.country(), out.peer_cc)) return "country";
  if (!take(from.ike_suite(), out.ike_suite)) return "ike_suite";
  if (!take(from.esp_suite(), out.esp_suite)) return "esp_suite";
  if (!take(from.client(), out.client)) return "client";
  if (!take(from.message(), out.msg)) return "message";
  if (!take(from.correlation(), out.xid)) return "correlation";
  if (from.user_groups_size() > static_cast<int>(kGroupsMax)) return "user_groups";
  for (const std::string& group : from.user_groups()) {
    if (group.empty() || !take(group, out.user_groups.emplace_back())) return "user_groups";
  }
  return {};
}

template <typename To, typename From>
void take_number(bool there, From value, std::optional<To>& to) {
  if (there) to = static_cast<To>(value);
}

std::string take(const ipc::VpnRecord& from, VpnFields& out) {
  if (!ipc::VpnRecord::Event_IsValid(from.event()) || from.event() == ipc::VpnRecord::NONE) return "event";
  out.event = static_cast<VpnEvent>(from.event());
  out.result = out.event == VpnEvent::kAuthFail || out.event == VpnEvent::kDenied ? VpnResult::kFail : VpnResult::kOk;
  if (from.vpn_sid() == 0) return "vpn_sid";
  out.vpn_sid = HexId{from.vpn_sid()};
  if (!ipc::VpnRecord::Protocol_IsValid(from.protocol()) || from.protocol() == ipc::VpnRecord::NO_PROTOCOL) return "protocol";
  out.proto = static_cast<VpnProtocol>(from.protocol());
  const auto peer = address_of(from.peer_address());
  if (!peer || peer->family == Family::kNone) return "peer_address";
  out.peer_ip = *peer;
  if (from.peer_port() > 65535) return "peer_port";
  if (from.peer_port() != 0) out.peer_port = static_cast<std::uint16_t>(from.peer_port());
  if (from.has_nat()) out.natt = from.nat();
  const auto inner4 = address_of(from.inner_ipv4()), inner6 = address_of(from.inner_ipv6());
  if (!inner4 || inner4->family == Family::kIpv6) return "inner_ipv4";
  if (!inner6 || inner6->family == Family::kIpv4) return "inner_ipv6";
  out.ip4 = *inner4, out.ip6 = *inner6;
  const auto auth = word<VpnAuth>(from.auth());
  if (!auth) return "auth";
  out.auth = *auth;
  const std::optional<VpnMfa> mfa = from.mfa().empty() ? VpnMfa::kAbsent : enum_from<VpnMfa>(from.mfa());
  if (!mfa) return "mfa";
  out.mfa = *mfa;
  const auto cause = word<VpnCause>(from.cause());
  if (!cause) return "cause";
  out.cause = *cause;
  if (from.has_sessions() && from.sessions() > 65535) return "sessions";
  take_number(from.has_sessions(), from.sessions(), out.sessions);
  out.start_ts = Timestamp{from.start_ns()};
  take_number(from.has_duration_seconds(), from.duration_seconds(), out.dur_s);
  take_number(from.has_bytes_in(), from.bytes_in(), out.bytes_in);
  take_number(from.has_bytes_out(), from.bytes_out(), out.bytes_out);
  take_number(from.has_packets_in(), from.packets_in(), out.pkts_in);
  take_number(from.has_packets_out(), from.packets_out(), out.pkts_out);
  return take_texts(from, out);
}

std::string take(const ipc::DeviceRecord& from, DevauthFields& out) {
  if (!ipc::DeviceRecord::Result_IsValid(from.result()) || from.result() == ipc::DeviceRecord::NONE) return "result";
  out.result = static_cast<DeviceResult>(from.result());
  const auto method = enum_from<DeviceMethod>(from.method());
  const auto assured = enum_from<DeviceAssurance>(from.assured());
  const auto cause = enum_from<DeviceCause>(from.cause());
  const auto revocation = word<DeviceRevocation>(from.revocation());
  if (!method) return "method";
  if (!assured) return "assured";
  if (!cause) return "cause";
  if (!revocation) return "revocation";
  out.method = *method, out.assured = *assured, out.cause = *cause, out.revocation = *revocation;
  if (from.vpn_sid() == 0) return "vpn_sid";
  out.vpn_sid = HexId{from.vpn_sid()};
  if (!ipc::VpnRecord::Protocol_IsValid(from.protocol()) || from.protocol() == ipc::VpnRecord::NO_PROTOCOL) return "protocol";
  out.proto = static_cast<VpnProtocol>(from.protocol());
  const auto peer = address_of(from.peer_address());
  if (!peer || peer->family == Family::kNone) return "peer_address";
  out.peer_ip = *peer;
  out.cert_not_after = Timestamp{from.certificate_end_ns()};
  if (!from.seen_mac().empty() && from.seen_mac().size() != out.seen_mac.bytes.size()) return "seen_mac";
  std::copy(from.seen_mac().begin(), from.seen_mac().end(), out.seen_mac.bytes.begin());
  if (from.policy().empty()) return "policy";
  const auto take = [](const std::string& text, std::string& to) { return to = text, text.size() <= kTextBytesMax; };
  if (!take(from.user(), out.user)) return "user";
  if (!take(from.device_id(), out.device_id)) return "device_id";
  if (!take(from.device_name(), out.device_name)) return "device_name";
  if (!take(from.device_group(), out.device_group)) return "device_group";
  if (!take(from.certificate_serial(), out.cert_serial)) return "certificate_serial";
  if (!take(from.certificate_subject(), out.cert_subject)) return "certificate_subject";
  if (!take(from.certificate_issuer(), out.cert_issuer)) return "certificate_issuer";
  if (!take(from.os(), out.os)) return "os";
  return take(from.policy(), out.policy) ? "" : "policy";
}

std::uint8_t severity_of(const DevauthFields& body) {
  if (body.result == DeviceResult::kFail) return kSeverityWarning;
  return body.result == DeviceResult::kPending ? kSeverityNotice : kSeverityInfo;
}

/// 16 bytes, or none: the absent id.
bool take_id(const std::string& bytes, Uuid& out) {
  if (bytes.empty()) return true;
  if (bytes.size() != out.bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
  return true;
}

std::string take(const ipc::AuditRecord& from, AuditFields& out) {
  const auto actor = enum_from<AuditActor>(from.actor_kind());
  const auto channel = enum_from<AuditChannel>(from.channel());
  const auto operation = enum_from<AuditOperation>(from.operation());
  const auto result = enum_from<AuditResult>(from.result());
  if (!actor) return "actor_kind";
  if (!channel) return "channel";
  if (!operation) return "operation";
  if (!result) return "result";
  out.actor_kind = *actor, out.channel = *channel, out.op = *operation, out.result = *result;
  const auto source = address_of(from.source_address());
  if (!source) return "source_address";
  out.src_ip = *source;
  out.session = HexId{from.session()};
  if (from.actor().empty()) return "actor";
  if (!take_id(from.object_id(), out.obj_id)) return "object_id";
  if (!take_id(from.request_id(), out.req_id) || out.req_id == Uuid{}) return "request_id";
  take_number(from.has_revision_from(), from.revision_from(), out.rev_from);
  take_number(from.has_revision_to(), from.revision_to(), out.rev_to);
  const auto take = [](const std::string& text, std::string& to) { return to = text, text.size() <= 4 * kTextBytesMax; };
  if (!take(from.actor(), out.actor)) return "actor";
  if (!take(from.role(), out.role)) return "role";
  if (!take(from.auth(), out.auth)) return "auth";
  if (!take(from.object_type(), out.obj_type)) return "object_type";
  if (!take(from.object_name(), out.obj_name)) return "object_name";
  if (!take(from.before(), out.before)) return "before";
  if (!take(from.after(), out.after)) return "after";
  if (!take(from.cause(), out.cause)) return "cause";
  if (!take(from.ticket(), out.ticket)) return "ticket";
  if (!take(from.comment(), out.comment)) return "comment";
  // Whoever is let in to see a tenant's own has a reason that the tenant can ask about; who was refused has none.
  const bool let_in = out.actor_kind == AuditActor::kProvider && out.op == AuditOperation::kAccess && out.result != AuditResult::kDenied;
  if (let_in && out.ticket.empty()) return "ticket";
  return take(from.staff_id(), out.staff_id) ? "" : "staff_id";
}

std::uint8_t severity_of(const AuditFields& body) {
  return body.result == AuditResult::kOk && body.op != AuditOperation::kLoginFail ? kSeverityNotice : kSeverityWarning;
}

std::string take(const ipc::SecurityRecord& from, SecFields& out, std::optional<EventSender> sender) {
  constexpr std::size_t kSubjectBytesMax = 320;  // a name has 64 characters, of four bytes each, and a few words may stand before it
  const EventInfo* known = find_event(from.event());
  if (known == nullptr || known->sender == EventSender::kDataplane || (sender && *sender != known->sender)) return "event";
  const EventInfo& info = *known;
  if (from.count() == 0 || from.count() > std::numeric_limits<std::uint32_t>::max()) return "count";
  if (from.first_ns() < kTimestampMin || from.last_ns() < from.first_ns()) return "first_ns";
  if (from.subject().size() > kSubjectBytesMax) return "subject";
  if (from.user().size() > kTextBytesMax) return "user";
  const auto source = address_of(from.source_address());
  if (!source) return "source_address";
  out.src_ip = *source;
  out.user = from.user();
  out.event = from.event();
  out.cat = info.category;
  out.action = info.action;
  out.first_ts = Timestamp{from.first_ns()}, out.last_ts = Timestamp{from.last_ns()};
  out.count = static_cast<std::uint32_t>(from.count());
  out.msg = std::string(info.sentence) + (from.subject().empty() ? "" : ": " + from.subject());
  return {};
}

std::string take(const ipc::EventsLost& from, LossFields& out) {
  const std::optional<LogKind> of = from.of().empty() ? LogKind::kVpn : enum_from<LogKind>(from.of());
  if (!of || *of == LogKind::kLoss) return "of";
  if (from.count() == 0 || from.count() > kLossCountMax) return "count";
  if (from.first_ns() < kTimestampMin || from.last_ns() < from.first_ns()) return "first_ns";
  out.of = *of;
  out.count = from.count();
  out.why = LossCause::kQueueFull;
  out.from_ts = Timestamp{from.first_ns()}, out.to_ts = Timestamp{from.last_ns()};
  return {};
}

}  // namespace

EventEntry entry_of(const ipc::ToEventLog& message, std::optional<EventSender> sender) {
  const bool lost = message.has_lost();
  const bool device = message.has_device();
  const bool audit = message.has_audit();
  const bool security = message.has_security();
  EventEntry out{make_entry(lost ? LogKind::kLoss : device ? LogKind::kDevauth : audit ? LogKind::kAudit : security ? LogKind::kSec
                                                                                                          : LogKind::kVpn), {}};
  LogEntry& entry = out.entry;
  const auto refuse = [&out](const std::string& field) { return out.refusal = "field " + field, out; };
  if (!lost && !device && !audit && !security && !message.has_vpn()) return refuse("body");
  const bool remote = device || message.has_vpn();
  if ((audit && sender == EventSender::kKeying) || (remote && sender == EventSender::kControl)) return refuse("body");
  if (message.eid().size() != entry.eid.bytes.size()) return refuse("eid");
  std::copy(message.eid().begin(), message.eid().end(), entry.eid.bytes.begin());
  if (entry.eid == Uuid{}) return refuse("eid");
  if (message.timestamp_ns() < kTimestampMin) return refuse("timestamp_ns");
  entry.ts = Timestamp{message.timestamp_ns()};
  if (!is_service_code(message.service_code())) return refuse("service_code");
  entry.svc = message.service_code();
  if (message.node().empty() || message.node().size() > kNodeCharactersMax) return refuse("node");
  entry.node = message.node();
  if (!message.gateway_code().empty() && !is_service_code(message.gateway_code())) return refuse("gateway_code");
  entry.gw = message.gateway_code();
  entry.rev = message.revision();
  const std::string wrong = lost ? take(message.lost(), std::get<LossFields>(entry.body))
                       : device ? take(message.device(), std::get<DevauthFields>(entry.body))
                       : audit  ? take(message.audit(), std::get<AuditFields>(entry.body))
                       : security ? take(message.security(), std::get<SecFields>(entry.body), sender)
                                : take(message.vpn(), std::get<VpnFields>(entry.body));
  if (!wrong.empty()) return refuse(wrong);
  if (device) entry.sev = severity_of(std::get<DevauthFields>(entry.body));
  if (security) entry.sev = find_event(message.security().event())->severity;
  if (audit) entry.sev = severity_of(std::get<AuditFields>(entry.body));
  if (message.has_vpn()) entry.sev = severity_of(std::get<VpnFields>(entry.body));
  return out;
}

struct EventServer::Watch {
  stream_descriptor descriptor;
};

struct EventServer::Peer {
  IpcConnection connection;
  stream_descriptor watch;
  std::optional<EventSender> sender;  ///< nothing: root or our own uid, whose word is every daemon's
  std::vector<std::uint64_t> written;  ///< numbers that await acknowledge()
};

Result<std::unique_ptr<EventServer>> EventServer::listen(boost::asio::io_context& loop, const std::string& path,
                                                         EventUids allowed, LogStore& store, Journal& journal,
                                                         RemoteUsers& users, Clock wall, Note note) {
  SEKISHO_TRY(IpcListener listener, IpcListener::listen(path, 0660));
  std::unique_ptr<EventServer> server(
      new EventServer(loop, std::move(listener), std::move(allowed), store, journal, users, std::move(wall), std::move(note)));
  server->wait_for_peer();
  return server;
}

EventServer::EventServer(boost::asio::io_context& loop, IpcListener listener, EventUids allowed, LogStore& store,
                         Journal& journal, RemoteUsers& users, Clock wall, Note note)
    : loop_(loop),
      listener_(std::move(listener)),
      watch_(new Watch{stream_descriptor(loop, ::dup(listener_.fd()))}),
      allowed_(std::move(allowed)),
      store_(store),
      journal_(journal),
      users_(users),
      wall_(std::move(wall)),
      note_(std::move(note)) {}

EventServer::~EventServer() = default;

void EventServer::stop() {
  watch_.reset();
  peers_.clear();
}

void EventServer::wait_for_peer() {
  watch_->descriptor.async_wait(stream_descriptor::wait_read, [this](const error_code& failed) {
    if (failed) return;
    accept();
    wait_for_peer();
  });
}

void EventServer::accept() {
  auto connection = listener_.accept();
  if (!connection) return;
  const auto uid = connection->peer_uid();
  const bool any = uid && (*uid == 0 || *uid == ::geteuid());
  const bool keying = uid && allowed_.keying.contains(*uid), control = uid && allowed_.control.contains(*uid);
  if (!any && !keying && !control) return note_("events: a peer of uid " + (uid ? std::to_string(*uid) : "?") + " was refused");
  if (peers_.size() >= kConnectionsMax) return note_("events: too many connections, one was refused");
  std::optional<EventSender> sender;
  if (!any && keying != control) sender = keying ? EventSender::kKeying : EventSender::kControl;
  const int watched = ::dup(connection->fd());
  peers_.push_back(std::make_unique<Peer>(Peer{std::move(*connection), stream_descriptor(loop_, watched), sender, {}}));
  wait_for_message(*peers_.back());
}

void EventServer::wait_for_message(Peer& peer) {
  peer.watch.async_wait(stream_descriptor::wait_read, [this, &peer](const error_code& failed) {
    if (failed) return;
    if (serve(peer)) return wait_for_message(peer);
    peers_.remove_if([&peer](const auto& one) { return one.get() == &peer; });
  });
}

/// Takes what waits; false when the connection is to be closed.
bool EventServer::serve(Peer& peer) {
  for (std::size_t taken = 0; taken < kMessagesPerTurn; ++taken) {
    const auto message = peer.connection.receive(kNow);
    if (!message) return nothing_waits(message.error());
    if (!take(peer, *message)) return false;
  }
  return true;
}

bool EventServer::take(Peer& peer, const IpcMessage& message) {
  ipc::ToEventLog request;
  if (!request.ParseFromArray(message.bytes.data(), static_cast<int>(message.bytes.size())) || !message.fds.empty()) {
    note_("events: a malformed message, its sender is let go");
    return false;
  }
  EventEntry event = entry_of(request, peer.sender);
  if (!event.refusal.empty()) {
    note_("events: a record was refused: " + event.refusal);
    return answer(peer, request.number(), event.refusal);
  }
  const auto fresh = is_new(event.entry);
  if (!fresh) return note_("events: the store cannot be read: " + describe(fresh.error())), false;
  if (*fresh) {
    users_.learn(event.entry);
    journal_.write({std::move(event.entry)}, wall_());
  }
  peer.written.push_back(request.number());
  return true;
}

/// Whether no record of this eid is in its stream; remembers it.
Result<bool> EventServer::is_new(const LogEntry& entry) {
  const StreamName stream{entry.svc, entry.type};
  const auto [at, first_time] = known_.try_emplace(stream);
  Known& known = at->second;
  const auto remember = [&known](const Uuid& eid) {
    if (!known.eids.insert(eid).second) return false;
    known.order.push_back(eid);
    if (known.order.size() > kKnownMax) known.eids.erase(known.order.front()), known.order.pop_front();
    return true;
  };
  if (first_time) {
    auto cursor = store_.open(stream, {StartAt::Kind::kLast, kKnownMax, {}});
    for (;;) {
      auto stored = cursor ? (*cursor)->next() : Result<std::optional<LogEntry>>(cursor.error());
      if (!stored) return known_.erase(at), stored.error();
      if (!*stored) break;
      remember((*stored)->eid);
    }
  }
  return remember(entry.eid);
}

void EventServer::take_waiting() {
  peers_.remove_if([this](const auto& peer) { return !serve(*peer); });
}

void EventServer::acknowledge() {
  for (auto it = peers_.begin(); it != peers_.end();) {
    Peer& peer = **it;
    bool open = true;
    for (const std::uint64_t number : peer.written) open = open && answer(peer, number, {});
    peer.written.clear();
    it = open ? std::next(it) : peers_.erase(it);
  }
}

bool EventServer::keeps_waiting() const {
  return std::any_of(peers_.begin(), peers_.end(), [](const auto& peer) { return peer->written.size() >= kManyUnsafe; });
}

bool EventServer::answer(Peer& peer, std::uint64_t number, const std::string& refusal) {
  ipc::FromEventLog out;
  out.set_stored(number);
  out.set_refused(refusal);
  const std::string bytes = out.SerializeAsString();
  return peer.connection.send({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, {}, kNow).has_value();
}

}  // namespace sekisho::mgmt
