// SPDX-License-Identifier: Apache-2.0
// Overview. One client a backend, all under one mutex that nobody holds while he waits. The loop's thread brings datagrams and time;
// whoever waits in step() is woken by it. Answers lie in `answers_` until they are fetched.
// Life-cycle of a session here: accept() enters it when a server lets its user in, the record of its beginning starts accounting, that
// of its end stops it. An attempt that comes to nothing is taken out by the record of its end.
#include "vpn/radius/backends.h"

#include <string.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/proto/vpn_log.pb.h"
#include "vpn/random.h"

namespace sekisho::vpn {

Conversation::~Conversation() { ::explicit_bzero(key.data(), key.size()); }

namespace radius {
namespace {

constexpr std::chrono::seconds kWait = Client::kPatience + std::chrono::seconds(20);  // first requests go from server to server
constexpr std::uint32_t kFramed = 2, kVirtual = 5, kByRadius = 1;
constexpr std::uint32_t kStart = 1, kStop = 2, kInterim = 3;
constexpr std::uint32_t kUnsupportedAttribute = 401, kNoSuchSession = 503;
constexpr std::int64_t kClockSkew = 300;  // RFC 5176 6.3
constexpr std::size_t kAnsweredMax = 64, kInterimsATurn = 4, kUnnamedMax = 256;
constexpr std::chrono::seconds kUnnamedWait{1};
constexpr std::uint16_t kChangePort = 3799;
constexpr std::uint8_t kEapResponse = 2, kEapIdentity = 1;
constexpr std::size_t kEapTypeAt = 4;

/// RFC 2866 5.10.
std::uint32_t terminate_cause(Cause cause) {
  struct Meaning {
    Cause cause;
    std::uint32_t value;
  };
  constexpr std::array kMeanings{Meaning{Cause::kUser, 1},    Meaning{Cause::kPeerLost, 2}, Meaning{Cause::kIdle, 4},
                                 Meaning{Cause::kMaxTime, 5}, Meaning{Cause::kAdmin, 6},    Meaning{Cause::kInternal, 9},
                                 Meaning{Cause::kMaintenance, 11}};
  constexpr std::uint32_t kNasRequest = 10;
  const auto found = std::ranges::find(kMeanings, cause, &Meaning::cause);
  return found == kMeanings.end() ? kNasRequest : found->value;
}

/// In the words of the log.
std::string method_name(std::uint8_t type) {
  switch (type) {
    case 13: return "eap-tls";
    case 21: return "eap-ttls";
    case 25: return "eap-peap";
    case 26: return "eap-mschapv2";
    default: return {};
  }
}

/// Methods whose outer name is anybody's choice: they prove another one inside, or a certificate's (TLS, TTLS, PEAP, FAST, TEAP).
bool hides_name(std::uint8_t type) { return type == 13 || type == 21 || type == 25 || type == 43 || type == 55; }

/// By which name somebody comes in: the server's word; without it as he said himself (empty), which may have proven nothing.
std::string proven_name(const std::string& said_by_server, const Session& session, std::uint8_t type) {
  if (!said_by_server.empty() || !hides_name(type)) return said_by_server;
  return std::string(kUnproven) + session.user;
}

/// EAP-Response/Identity: how every conversation with a server begins (RFC 3579 2.1).
std::vector<std::uint8_t> identity_response(std::string_view user) {
  const std::size_t size = 5 + user.size();
  std::vector<std::uint8_t> out{kEapResponse, 0, static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size), kEapIdentity};
  out.insert(out.end(), user.begin(), user.end());
  return out;
}

void add_address(Writer& writer, Type four, Type six, const Address& address) {
  writer.add(address.family == Family::kIpv4 ? four : six, ByteSpan(address.wire()));
}

/// Who asks, and for whom.
void add_session(Writer& writer, const RadiusPlan& plan, const Session& session, const std::string& user, const std::string& name) {
  writer.add(Type::kUserName, std::string_view(user).substr(0, kValueBytesMax));
  add_address(writer, Type::kNasIpAddress, Type::kNasIpv6Address, plan.source);
  writer.add(Type::kNasIdentifier, gateway_name(session.gateway).substr(0, kValueBytesMax));
  writer.add(Type::kNasPortType, kVirtual);
  writer.add(Type::kServiceType, kFramed);
  writer.add(Type::kCalledStationId, to_string(session.path.local.address));
  writer.add(Type::kCallingStationId, to_string(session.path.remote.address));
  writer.add(Type::kAcctSessionId, name);
}

/// What names a session in a request, and what can be changed of it: how long it lasts, and (`groups`) the groups of its user.
bool is_understood(Type type, Type groups) {
  constexpr std::array kUnderstood{Type::kUserName,      Type::kNasIpAddress,     Type::kNasIpv6Address,  Type::kNasIdentifier,
                                   Type::kAcctSessionId, Type::kCallingStationId, Type::kFramedIpAddress, Type::kEventTimestamp,
                                   Type::kProxyState,    Type::kSessionTimeout,   Type::kMessageAuthenticator};
  return type == groups || std::ranges::find(kUnderstood, type) != kUnderstood.end();
}

/// As the log writes it.
std::string session_name(std::uint64_t sid) {
  char out[17];
  std::snprintf(out, sizeof(out), "%016llx", static_cast<unsigned long long>(sid));
  return out;
}

void add_octets(Writer& writer, Type low, Type high, std::uint64_t octets) {
  writer.add(low, static_cast<std::uint32_t>(octets));
  writer.add(high, static_cast<std::uint32_t>(octets >> 32));
}

}  // namespace

void Backends::set_plan(const std::shared_ptr<const Plan>& plan) {
  const std::lock_guard lock(mutex_);
  std::set<Key> wanted;
  for (const auto& [id, tenant] : plan->tenants) {
    for (const RadiusPlan& one : tenant.radius) {
      const Key key{id, one.name};
      wanted.insert(key);
      const std::shared_ptr<const RadiusPlan> part(plan, &one);
      Backend& backend = backends_[key];
      if (backend.client) {
        backend.client->set_plan(part);
        collect(key, backend);
        continue;
      }
      std::uint16_t place = 0;
      make_random(place);
      const auto first = static_cast<std::uint16_t>(radius_ports_first(limits_.daemon) + place % (kRadiusPortsEach - Client::kPorts));
      backend.client = std::make_unique<Client>(part, first, [](std::span<std::uint8_t> out) { fill_random(out); });
    }
  }
  std::erase_if(backends_, [&wanted](const auto& one) { return !wanted.contains(one.first); });
  std::erase_if(asked_, [this](const auto& one) {
    const bool gone = !backends_.contains(one.first.first);
    if (gone) judged(one.second, Outcome::kNobody);
    return gone;
  });
  changed_.notify_all();
}

EapBackend::Judge Backends::judge_of(const Session& session, Conversation& conversation) {
  const std::shared_ptr<const Plan> plan = ports_.directory.plan();
  const TenantPlan* tenant = plan->tenant(session.path.tenant);
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_name(session.gateway));
  if (gateway == nullptr) return Judge::kNobody;
  const bool local = gateway->gateway.accept_eap_mschapv2;
  const RadiusPlan* backend = gateway->gateway.accept_eap_radius ? tenant->backend_of(session.user, *gateway, local) : nullptr;
  if (backend == nullptr) return local ? Judge::kDirectory : Judge::kNobody;
  conversation.backend = backend->name;
  return Judge::kBackend;
}

void Backends::collect(const Key& key, Backend& backend) {
  for (const Datagram& one : backend.client->take_sends()) {
    ports_.sender.send({key.first, backend.client->plan().port, one.local, one.remote}, one.bytes);
  }
  auto answers = backend.client->take_answers();
  for (Answer& one : answers) {
    const std::uint64_t number = one.number;
    if (asked_.contains({key, number})) {
      judged(key, one);
    } else {
      answers_.insert_or_assign({key, number}, std::move(one));
    }
  }
  if (!answers.empty()) changed_.notify_all();
}

EapBackend::Step Backends::step(const Session& session, Conversation& conversation, ByteSpan eap) {
  const Key key{session.path.tenant, conversation.backend};
  if (ports_.directory.locked(session.path, session.user)) return {Outcome::kRejected, {}};
  const std::vector<std::uint8_t> identity = identity_response(session.user);
  std::unique_lock lock(mutex_);
  auto found = backends_.find(key);
  if (found == backends_.end() || stopping_ || session.id == 0) return {};
  if (waiting_ >= limits_.waiting || waiting_of_[key.first] >= limits_.waiting_per_tenant) return {Outcome::kBusy, {}};
  Writer writer(Code::kAccessRequest, 0);
  add_session(writer, found->second.client->plan(), session, session.user, session_name(ports_.sid_of(session.id)));
  writer.add_eap(conversation.begun ? eap : ByteSpan(identity));
  if (!conversation.state.empty()) writer.add(Type::kState, ByteSpan(conversation.state));
  const auto pinned = conversation.begun ? std::optional(conversation.server) : std::nullopt;
  const std::uint64_t number = found->second.client->ask(writer.attributes(), pinned, std::chrono::steady_clock::now());
  collect(key, found->second);
  ++waiting_, ++waiting_of_[key.first];
  const auto over = [&] { return answers_.contains({key, number}) || stopping_ || !backends_.contains(key); };
  changed_.wait_for(lock, kWait, over);
  --waiting_, --waiting_of_[key.first];
  auto node = answers_.extract({key, number});
  if (node.empty()) {
    if (found = backends_.find(key); found != backends_.end()) found->second.client->forget(number);
    return {};
  }
  Answer& answer = node.mapped();
  switch (answer.outcome) {
    case Answer::Outcome::kNobody: return {};
    case Answer::Outcome::kReject: break;
    case Answer::Outcome::kChallenge:
      if (answer.eap.empty()) break;
      conversation.state = std::move(answer.state);
      conversation.server = answer.server;
      conversation.begun = true;
      if (answer.eap.size() > kEapTypeAt) conversation.method = answer.eap[kEapTypeAt];
      return {Outcome::kMore, std::move(answer.eap)};
    case Answer::Outcome::kAccept:
      // One that comes before any method was run would let in whoever says a name.
      if (!conversation.begun) break;
      if (!answer.key) return {Outcome::kNoKey, {}};
      accept(session, conversation, answer);
      return {Outcome::kAccepted, {}};
  }
  lock.unlock();
  ports_.directory.wrong_secret(session.path, session.user);
  return {Outcome::kRejected, {}};
}

void Backends::accept(const Session& session, Conversation& conversation, Answer& answer) {
  conversation.key = *answer.key;
  conversation.has_key = true;
  ::explicit_bzero(answer.key->data(), answer.key->size());
  conversation.user = proven_name(answer.grant.user, session, conversation.method);
  admit(session, conversation, answer, method_name(conversation.method));
}

void Backends::admit(const Session& session, const Conversation& conversation, Answer& answer, std::string method) {
  const Key key{session.path.tenant, conversation.backend};
  const RadiusPlan& plan = backends_.at(key).client->plan();
  Live live;
  live.backend = key;
  live.name = session_name(ports_.sid_of(session.id));
  live.user = answer.grant.user.empty() ? session.user.text() : answer.grant.user;  // as the server knows him
  live.classes = std::move(answer.grant.classes);
  live.interim_seconds = answer.grant.interim_seconds != 0 ? std::max(60U, answer.grant.interim_seconds) : plan.interim_seconds;
  live_.insert_or_assign(session.id, std::move(live));
  ports_.directory.grant(session.id, {conversation.backend, plan.group_of(answer.grant.values).id, std::move(answer.grant.addresses),
                                      answer.grant.session_seconds, std::move(method), answer.grant.mac});
}

// Without waiting -----------------------------------------------------------------------------------------------------------------------

std::string Backends::backend_of(const Session& session) const {
  const std::shared_ptr<const Plan> plan = ports_.directory.plan();
  const TenantPlan* tenant = plan->tenant(session.path.tenant);
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_name(session.gateway));
  const RadiusPlan* backend = gateway == nullptr ? nullptr : tenant->backend_of(session.user, *gateway, true);
  return backend == nullptr ? std::string() : backend->name;
}

void Backends::pose(const Session& session, const std::string& backend, const Claim& claim, Time now) {
  const Key key{session.path.tenant, backend};
  const bool locked = ports_.directory.locked(session.path, session.user);
  const std::vector<std::uint8_t> identity = identity_response(session.user);
  const std::lock_guard lock(mutex_);
  const auto [at, fresh] = posed_.try_emplace(session.id);
  Posed& posed = at->second;
  if (fresh || posed.conversation.backend != backend) {
    posed.conversation.begun = false;
    posed.conversation.backend = backend;
  }
  posed.session = session;
  posed.method = claim.method;
  posed.kind = claim.kind;
  const auto found = backends_.find(key);
  if (locked) return judged(session.id, Outcome::kRejected);
  if (found == backends_.end()) return judged(session.id, Outcome::kNobody);
  const auto of_tenant = std::ranges::count_if(asked_, [&key](const auto& one) { return one.first.first.first == key.first; });
  if (static_cast<std::size_t>(of_tenant) >= limits_.posed_per_tenant) return judged(session.id, Outcome::kBusy);
  Client& client = *found->second.client;
  Writer writer(Code::kAccessRequest, 0);
  add_session(writer, client.plan(), session, session.user, session_name(ports_.sid_of(session.id)));
  std::shared_ptr<const Secret> password;
  std::optional<std::size_t> pinned;
  switch (claim.kind) {
    case Claim::Kind::kEap:
      writer.add_eap(posed.conversation.begun ? claim.eap : ByteSpan(identity));
      if (!posed.conversation.state.empty()) writer.add(Type::kState, ByteSpan(posed.conversation.state));
      if (posed.conversation.begun) pinned = posed.conversation.server;
      break;
    case Claim::Kind::kPassword:
      password = std::make_shared<const Secret>(
          std::string_view(reinterpret_cast<const char*>(claim.password.data()), claim.password.size()));
      break;
    case Claim::Kind::kChap: {
      std::vector<std::uint8_t> value{claim.identifier};
      value.insert(value.end(), claim.response.begin(), claim.response.end());
      writer.add(Type::kChapPassword, ByteSpan(value));
      writer.add(Type::kChapChallenge, claim.challenge);
      break;
    }
    case Claim::Kind::kMschapV2: writer.add_mschap2(claim.identifier, claim.challenge, claim.peer_challenge, claim.response); break;
  }
  posed.number = client.ask(writer.attributes(), pinned, now, std::move(password));
  asked_.insert_or_assign({key, posed.number}, session.id);
  collect(key, found->second);
}

/// A verdict without a server's answer.
void Backends::judged(std::uint64_t session, Outcome outcome) {
  posed_.erase(session);
  Verdict& out = verdicts_.emplace_back();
  out.session = session;
  out.outcome = outcome;
}

void Backends::judged(const Key& key, Answer& answer) {
  const auto asked = asked_.extract({key, answer.number});
  const auto at = posed_.find(asked.mapped());
  if (answer.key) ::explicit_bzero(answer.key->data(), answer.key->size());
  if (at == posed_.end()) return;
  Posed& posed = at->second;
  Conversation& conversation = posed.conversation;
  const bool eap = posed.kind == Claim::Kind::kEap;
  Verdict out;
  out.session = at->first;
  out.outcome = Outcome::kRejected;
  posed.number = 0;
  switch (answer.outcome) {
    case Answer::Outcome::kNobody: out.outcome = Outcome::kNobody; break;
    case Answer::Outcome::kReject: break;
    case Answer::Outcome::kChallenge:
      if (!eap || answer.eap.empty()) break;  // nobody can be asked anything beside EAP
      conversation.state = std::move(answer.state);
      conversation.server = answer.server;
      conversation.begun = true;
      if (answer.eap.size() > kEapTypeAt) conversation.method = answer.eap[kEapTypeAt];
      out.outcome = Outcome::kMore;
      break;
    case Answer::Outcome::kAccept:
      // One that comes before any method was run would let in whoever says a name.
      if (eap && !conversation.begun) break;
      // What proves the server to the peer is what MSCHAPv2 is for.
      if (posed.kind == Claim::Kind::kMschapV2 && answer.authenticator.empty()) {
        out.outcome = Outcome::kNoKey;
        break;
      }
      conversation.user = eap ? proven_name(answer.grant.user, posed.session, conversation.method) : answer.grant.user;
      out.user = conversation.user;
      out.outcome = Outcome::kAccepted;
      out.method = eap ? method_name(conversation.method) : posed.method;
      out.keys = answer.mppe;
      out.authenticator = std::move(answer.authenticator);
      admit(posed.session, conversation, answer, out.method);
      break;
  }
  out.eap = std::move(answer.eap);
  if (out.outcome == Outcome::kRejected) ports_.directory.wrong_secret(posed.session.path, posed.session.user);
  if (out.outcome != Outcome::kMore) posed_.erase(at);
  verdicts_.push_back(std::move(out));
}

void Backends::forget(std::uint64_t session) {
  const std::lock_guard lock(mutex_);
  std::erase_if(verdicts_, [session](const Verdict& one) { return one.session == session; });
  if (const auto live = live_.find(session); live != live_.end() && !live->second.up) {
    live_.erase(live);
    ports_.directory.grant(session, {});
  }
  const auto at = posed_.find(session);
  if (at == posed_.end()) return;
  const Key key{at->second.session.path.tenant, at->second.conversation.backend};
  if (at->second.number != 0) {
    // Who leaves before he is judged has tried all the same. EAP's peers may wait for somebody's finger, and leave.
    if (at->second.kind != Claim::Kind::kEap) ports_.directory.wrong_secret(at->second.session.path, at->second.session.user);
    asked_.erase({key, at->second.number});
    if (const auto found = backends_.find(key); found != backends_.end()) found->second.client->forget(at->second.number);
  }
  posed_.erase(at);
}

std::vector<Verdict> Backends::take_verdicts() {
  const std::lock_guard lock(mutex_);
  return std::exchange(verdicts_, {});
}

// ---------------------------------------------------------------------------------------------------------------------------------------

void Backends::take(const Path& path, ByteSpan payload, Time now) {
  if (path.local.port == kChangePort) return take_request(path, payload, now);
  const std::lock_guard lock(mutex_);
  for (auto at = backends_.lower_bound({path.tenant, {}}); at != backends_.end() && at->first.first == path.tenant; ++at) {
    Client& client = *at->second.client;
    if (!client.owns(path.local.port) || client.plan().source != path.local.address) continue;
    client.receive(path.local.port, path.remote, payload, now);
    collect(at->first, at->second);
  }
}

void Backends::turn(Time now) {
  std::vector<std::uint64_t> due;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [key, backend] : backends_) {
      backend.client->tick(now);
      collect(key, backend);
    }
    for (; !unnamed_.empty() && now >= unnamed_.front().at + kUnnamedWait; unnamed_.pop_front()) {
      ports_.sender.send(unnamed_.front().path, unnamed_.front().answer);
    }
    for (auto& [id, live] : live_) {
      if (!live.up || live.interim_seconds == 0 || now < live.next_interim || due.size() >= kInterimsATurn) continue;
      live.next_interim = now + std::chrono::seconds(live.interim_seconds);
      due.push_back(id);
    }
  }
  for (const std::uint64_t id : due) {
    const auto totals = ports_.totals_of(id);  // waits for the data plane
    const std::lock_guard lock(mutex_);
    if (const auto live = live_.find(id); live != live_.end() && totals) account(live->second, kInterim, &*totals, Cause::kNone, now);
  }
}

void Backends::adopt(std::uint64_t session, std::uint32_t tenant, const ipc::VpnRecord& note, Time now) {
  if (note.backend().empty() || note.backend() == "local") return;
  const auto address = [](const std::string& bytes) {
    const auto read = Address::from_wire({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    return read ? *read : Address{};
  };
  Live live;
  live.backend = {tenant, note.backend()};
  live.session.id = session;
  live.session.path.tenant = tenant;
  live.session.path.remote.address = address(note.peer_address());
  live.session.gateway = note.gateway() + " eap-radius";
  live.session.user = note.user();
  for (const std::string* bytes : {&note.inner_ipv4(), &note.inner_ipv6()}) {
    if (!bytes->empty()) live.session.leases.push_back(address(*bytes));
  }
  live.name = session_name(note.vpn_sid());
  live.user = note.user().starts_with(kUnproven) ? note.user().substr(kUnproven.size()) : note.user();
  const auto since = std::chrono::system_clock::time_point(std::chrono::nanoseconds(note.start_ns()));
  live.begun = now - std::chrono::duration_cast<Time::duration>(std::chrono::system_clock::now() - since);
  live.up = true;
  const std::lock_guard lock(mutex_);
  live_.insert_or_assign(session, std::move(live));
}

void Backends::tell(const SessionEvent& event, const TunnelTotals* totals, Time now) {
  using Kind = SessionEvent::Kind;
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(event.session.id);
  if (found == live_.end()) return;
  Live& live = found->second;
  if (event.session.path.tenant != 0) live.session = event.session;  // of one that was adopted no more is known
  if (event.kind == Kind::kUp) {
    live.up = true;
    live.begun = now;
    live.next_interim = now + std::chrono::seconds(live.interim_seconds);
    account(live, kStart, nullptr, Cause::kNone, now);
  }
  const bool over = event.kind == Kind::kDown || event.kind == Kind::kAuthFail || event.kind == Kind::kDenied;
  if (!over) return;
  if (live.up) account(live, kStop, totals, event.cause, now);
  live_.erase(found);
}

void Backends::account(Live& live, std::uint32_t status, const TunnelTotals* totals, Cause cause, Time now) {
  const auto found = backends_.find(live.backend);
  if (found == backends_.end() || !found->second.client->plan().accounting) return;
  Client& client = *found->second.client;
  Writer writer(Code::kAccountingRequest, 0);
  writer.add(Type::kAcctStatusType, status);
  add_session(writer, client.plan(), live.session, live.user, live.name);
  writer.add(Type::kAcctAuthentic, kByRadius);
  writer.add(Type::kEventTimestamp, static_cast<std::uint32_t>(std::time(nullptr)));
  for (const auto& one : live.classes) writer.add(Type::kClass, ByteSpan(one));
  for (const Address& lease : live.session.leases) add_address(writer, Type::kFramedIpAddress, Type::kFramedIpv6Address, lease);
  if (status != kStart) {
    writer.add(Type::kAcctSessionTime, seconds_between(live.begun, now));
  }
  if (totals != nullptr) {
    add_octets(writer, Type::kAcctInputOctets, Type::kAcctInputGigawords, totals->bytes_in);
    add_octets(writer, Type::kAcctOutputOctets, Type::kAcctOutputGigawords, totals->bytes_out);
    writer.add(Type::kAcctInputPackets, static_cast<std::uint32_t>(totals->packets_in));
    writer.add(Type::kAcctOutputPackets, static_cast<std::uint32_t>(totals->packets_out));
  }
  if (status == kStop) writer.add(Type::kAcctTerminateCause, terminate_cause(cause));
  client.account(writer.attributes(), status == kInterim, now);
  collect(found->first, found->second);
}

/// What a backend's server asks of us (RFC 5176). What it did not sign, and what is old, gets no answer. Each daemon that has sessions of
/// RADIUS is given it; who has those it names answers at once, the others a little later: what comes second is nobody's any more.
void Backends::take_request(const Path& path, ByteSpan payload, Time now) {
  const auto request = parse(payload);
  if (!request || (request->code != Code::kDisconnectRequest && request->code != Code::kCoaRequest)) return;
  const std::lock_guard lock(mutex_);
  for (auto at = backends_.lower_bound({path.tenant, {}}); at != backends_.end() && at->first.first == path.tenant; ++at) {
    const RadiusPlan& plan = at->second.client->plan();
    const auto server = std::ranges::find(plan.servers, path.remote.address, &RadiusServerPlan::address);
    if (!plan.disconnect || plan.source != path.local.address || server == plan.servers.end()) continue;
    const auto told_at = request->number(Type::kEventTimestamp);
    const bool old = told_at && std::abs(static_cast<std::int64_t>(*told_at) - static_cast<std::int64_t>(std::time(nullptr))) > kClockSkew;
    if (!is_genuine_request(*request, server->secret.bytes()) || old) {
      ++at->second.forged_requests;
      return;
    }
    const auto again = std::ranges::find_if(answered_, [&](const Answered& one) {
      return one.backend == at->first && std::ranges::equal(one.request, request->bytes);
    });
    const Path back{path.tenant, plan.port, path.local, path.remote};
    if (again != answered_.end()) return ports_.sender.send(back, again->answer);
    bool named = false;
    std::vector<std::uint8_t> answer = answer_request(at->first, *request, server->secret.bytes(), named);
    if (!named) {
      if (unnamed_.size() < kUnnamedMax) unnamed_.push_back({back, std::move(answer), now});
      return;
    }
    if (answered_.size() >= kAnsweredMax) answered_.pop_front();
    answered_.push_back({at->first, {request->bytes.begin(), request->bytes.end()}, std::move(answer), now});
    ports_.sender.send(back, answered_.back().answer);
    return;
  }
}

/// `named`: whether it is about a session of ours.
std::vector<std::uint8_t> Backends::answer_request(const Key& key, const Message& request, ByteSpan secret, bool& named) {
  const bool disconnect = request.code == Code::kDisconnectRequest;
  const RadiusPlan& plan = backends_.at(key).client->plan();
  const Type groups = plan.group_by_class ? Type::kClass : Type::kFilterId;
  const bool asks_more =
      std::ranges::any_of(request.attributes, [groups](const Attribute& one) { return !is_understood(one.type, groups); });
  std::vector<std::string> values;
  for (const Attribute& one : request.attributes) {
    if (one.type == groups) values.emplace_back(one.value.begin(), one.value.end());
  }
  const auto seconds = request.number(Type::kSessionTimeout);
  const std::vector<std::uint64_t> found = named_by(key, request);
  named = !found.empty();
  const bool unsupported = !disconnect && (asks_more || (!seconds && values.empty()));
  const std::uint32_t error = unsupported ? kUnsupportedAttribute : named ? 0 : kNoSuchSession;
  const std::vector<std::uint64_t> sessions = unsupported ? std::vector<std::uint64_t>() : found;
  if (disconnect) disconnects_.insert(disconnects_.end(), sessions.begin(), sessions.end());
  for (const std::uint64_t one : sessions) {
    if (disconnect) continue;
    if (seconds) ports_.directory.set_session_seconds(one, *seconds);
    if (!values.empty()) ports_.directory.set_group(one, plan.group_of(values).id);
  }
  const Code done = disconnect ? Code::kDisconnectAck : Code::kCoaAck, refused = disconnect ? Code::kDisconnectNak : Code::kCoaNak;
  Writer writer(error == 0 ? done : refused, request.id);
  for (const Attribute& one : request.attributes) {
    if (one.type == Type::kProxyState) writer.add(one.type, one.value);
  }
  if (error != 0) writer.add(Type::kErrorCause, error);
  return writer.finish_answer(request.authenticator, secret);
}

/// Sessions of the backend that fit all the request says. Without a time it must name one that cannot come again: a copy of an old
/// request would end a user's later sessions.
std::vector<std::uint64_t> Backends::named_by(const Key& key, const Message& request) const {
  const auto name = request.find(Type::kAcctSessionId), user = request.find(Type::kUserName);
  const auto from = request.find(Type::kCallingStationId);
  const auto inner = request.address(Type::kFramedIpAddress);
  std::vector<std::uint64_t> out;
  if (!name && (!request.find(Type::kEventTimestamp) || (!user && !inner))) return out;
  for (const auto& [id, live] : live_) {
    const auto is = [](const std::optional<ByteSpan>& wanted, const std::string& text) {
      return !wanted || std::ranges::equal(*wanted, ByteSpan(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
    };
    const bool fits = live.up && live.backend == key && is(name, live.name) && is(user, live.user) &&
                      is(from, to_string(live.session.path.remote.address)) &&
                      (!inner || std::ranges::find(live.session.leases, *inner) != live.session.leases.end());
    if (fits) out.push_back(id);
  }
  return out;
}

std::vector<std::uint64_t> Backends::take_disconnects() {
  const std::lock_guard lock(mutex_);
  return std::exchange(disconnects_, {});
}

std::vector<Backends::Forgery> Backends::take_forgeries(Time now) {
  constexpr std::chrono::seconds kFold{60};
  const std::lock_guard lock(mutex_);
  std::vector<Forgery> out;
  for (auto& [key, backend] : backends_) {
    const std::uint64_t all = backend.client->counters().forged + backend.forged_requests;
    if (all != backend.forged_seen) {
      if (backend.forged_seen == backend.forged_told) backend.forged_first = now;
      backend.forged_last = now;
      backend.forged_seen = all;
    }
    if (all == backend.forged_told || now < backend.forged_next) continue;
    out.push_back({key.first, key.second, all - backend.forged_told, backend.forged_first, backend.forged_last});
    backend.forged_told = all;
    backend.forged_next = now + kFold;
  }
  return out;
}

void Backends::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
}

}  // namespace radius
}  // namespace sekisho::vpn
