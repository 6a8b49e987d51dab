// SPDX-License-Identifier: GPL-2.0-or-later
#include "vpn/ike/engine.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "base/assert.h"
#include "base/net/tunnel_dhcp.h"
#include "vpn/directory.h"
#include "vpn/ike/shim.h"
#include "vpn/ike_header.h"
#include "vpn/labels.h"

namespace sekisho::vpn {
namespace {

constexpr std::uint16_t kIkePort = 500;
constexpr std::int64_t kJudgementSeconds = 5;
constexpr std::size_t kJudgedACall = 16;

Address address_of(const sekisho_endpoint& from) {
  Address out;
  out.family = from.family == 4 ? Family::kIpv4 : from.family == 6 ? Family::kIpv6 : Family::kNone;
  std::copy_n(from.address, out.bits() / 8, out.bytes.begin());
  return out;
}

sekisho_endpoint wire_of(const Endpoint& from) {
  sekisho_endpoint out{};
  out.family = static_cast<std::uint8_t>(from.address.family);
  std::copy(from.address.bytes.begin(), from.address.bytes.end(), out.address);
  out.port = from.port;
  return out;
}

bool has_marker(const Path& path) { return path.local.port != kIkePort && path.remote.port != kIkePort; }

Path path_of(const sekisho_path& from) {
  return {from.attachment.tenant, from.attachment.port, {address_of(from.local), from.local.port},
          {address_of(from.remote), from.remote.port}};
}

Session session_of(const sekisho_event& from) {
  Session out;
  out.protocol = from.ike_version == 1 ? Protocol::kL2tp : Protocol::kIkeV2;
  out.path = path_of(from.path);
  out.nat = from.nat;
  out.gateway = from.connection;
  out.user = from.user;
  out.ike_id = from.peer_id;
  out.ike_suite = from.ike_suite;
  out.esp_suite = from.esp_suite;
  out.certificate_serial = from.certificate_serial;
  out.certificate_subject = from.certificate_subject;
  std::array<char, 33> spis{};
  std::snprintf(spis.data(), spis.size(), "%016llx%016llx", static_cast<unsigned long long>(from.initiator_spi),
                static_cast<unsigned long long>(from.responder_spi));
  out.correlation = spis.data();
  std::array<ByteSpan, SEKISHO_VENDORS_MAX> vendors;
  for (std::size_t i = 0; i < from.vendors; ++i) vendors.at(i) = {from.vendor[i].data, from.vendor[i].size};
  out.client = client_label(std::span(vendors).first(from.vendors));
  out.offered = from.offered;
  out.spi_in = from.spi_in;
  out.spi_out = from.spi_out;
  for (std::size_t i = 0; i < from.leases; ++i) out.leases.push_back(address_of(from.lease[i]));
  return out;
}

std::int64_t now_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

IkeSignal::Kind kind_of(sekisho_event_kind kind) {
  using Kind = IkeSignal::Kind;
  switch (kind) {
    case SEKISHO_EVENT_ATTEMPT: return Kind::kAttempt;
    case SEKISHO_EVENT_AUTH_BEGUN: return Kind::kAuthBegun;
    case SEKISHO_EVENT_RETRY: return Kind::kRetry;
    case SEKISHO_EVENT_CAUSE: return Kind::kCause;
    case SEKISHO_EVENT_AUTHENTICATED: return Kind::kAuthenticated;
    case SEKISHO_EVENT_ASSIGNED: return Kind::kAssigned;
    case SEKISHO_EVENT_CHILD_UP: return Kind::kChildUp;
    case SEKISHO_EVENT_CHILD_REKEYED: return Kind::kChildRekeyed;
    case SEKISHO_EVENT_IKE_REKEYED: return Kind::kIkeRekeyed;
    case SEKISHO_EVENT_MOVED: return Kind::kMoved;
    case SEKISHO_EVENT_GONE: return Kind::kGone;
  }
  SEKISHO_ASSERT(false);
  return Kind::kGone;
}

IkeSignal::Why why_of(sekisho_cause cause) {
  using Why = IkeSignal::Why;
  switch (cause) {
    case SEKISHO_CAUSE_NONE: return Why::kNone;
    case SEKISHO_CAUSE_NO_GATEWAY: return Why::kNoGateway;
    case SEKISHO_CAUSE_IKE_PROPOSAL: return Why::kIkeProposal;
    case SEKISHO_CAUSE_CHILD_PROPOSAL: return Why::kChildProposal;
    case SEKISHO_CAUSE_SELECTORS: return Why::kSelectors;
    case SEKISHO_CAUSE_PEER_AUTH: return Why::kPeerAuth;
    case SEKISHO_CAUSE_PASSWORD: return Why::kPassword;
    case SEKISHO_CAUSE_CERT_EXPIRED: return Why::kCertExpired;
    case SEKISHO_CAUSE_CERT_REVOKED: return Why::kCertRevoked;
    case SEKISHO_CAUSE_CERT_UNTRUSTED: return Why::kCertUntrusted;
    case SEKISHO_CAUSE_PPK: return Why::kPpk;
    case SEKISHO_CAUSE_LOCAL_AUTH: return Why::kLocalAuth;
    case SEKISHO_CAUSE_PEER_REFUSED_US: return Why::kPeerRefusedUs;
    case SEKISHO_CAUSE_PEER_SAID: return Why::kPeerSaid;
    case SEKISHO_CAUSE_FORBIDDEN: return Why::kForbidden;
    case SEKISHO_CAUSE_NO_ADDRESS: return Why::kNoAddress;
    case SEKISHO_CAUSE_INSTALL: return Why::kInstall;
    case SEKISHO_CAUSE_TIMEOUT: return Why::kTimeout;
    case SEKISHO_CAUSE_PEER_DELETED: return Why::kPeerDeleted;
    case SEKISHO_CAUSE_LIFETIME: return Why::kLifetime;
    case SEKISHO_CAUSE_ADMIN: return Why::kAdmin;
    case SEKISHO_CAUSE_BACKEND_DOWN: return Why::kBackendDown;
    case SEKISHO_CAUSE_BACKEND_BUSY: return Why::kBackendBusy;
    case SEKISHO_CAUSE_BACKEND_KEY: return Why::kBackendKey;
    case SEKISHO_CAUSE_PSK: return Why::kPsk;
  }
  SEKISHO_ASSERT(false);
  return Why::kNone;
}

std::size_t selectors_of(const sekisho_selector* from, std::size_t count, std::array<Selector, SEKISHO_SELECTORS_MAX>& out) {
  for (std::size_t i = 0; i < count; ++i) {
    const sekisho_endpoint first{from[i].family, {}, 0};
    out.at(i).first = address_of(first);
    out.at(i).last = out.at(i).first;
    std::copy_n(from[i].first, out.at(i).first.bits() / 8, out.at(i).first.bytes.begin());
    std::copy_n(from[i].last, out.at(i).last.bits() / 8, out.at(i).last.bytes.begin());
    out.at(i).protocol = from[i].protocol;
    out.at(i).port_first = from[i].port_first;
    out.at(i).port_last = from[i].port_last;
  }
  return count;
}

/// The C strings of a model, alive as long as this is.
class Texts {
 public:
  const char* const* list(const std::vector<std::string>& texts) {
    auto& pointers = lists_.emplace_back(std::make_unique<std::vector<const char*>>());
    for (const std::string& text : texts) pointers->push_back(text.c_str());
    pointers->push_back(nullptr);
    return pointers->data();
  }

 private:
  std::vector<std::unique_ptr<std::vector<const char*>>> lists_;
};

/// What a peer showed, a certificate a round. With two rounds the first is its device's (RFC 4739).
ProvenCertificates certificates_of(const sekisho_event& from) {
  ProvenCertificates out;
  std::uint32_t round = 0;
  for (const sekisho_certificate& one : std::span(from.certificates, from.certificate_count)) {
    if (one.leaf) {
      round = one.round;
      out.push_back({.device = one.round == 0 && from.rounds > 1, .chain = {}, .facts = {}});
    }
    if (!out.empty() && one.round == round) out.back().chain.emplace_back(one.der.data, one.der.data + one.der.size);
  }
  return out;
}

DeviceVerdict::Why why_of(CertificateFault fault) {
  using Why = DeviceVerdict::Why;
  if (fault == CertificateFault::kNone) return Why::kNone;
  if (fault == CertificateFault::kExpired || fault == CertificateFault::kNotYetValid) return Why::kExpired;
  if (fault == CertificateFault::kRevoked) return Why::kRevoked;
  const bool unsaid = fault == CertificateFault::kNoList || fault == CertificateFault::kListStale || fault == CertificateFault::kNoAnswer;
  return unsaid ? Why::kListStale : Why::kChain;
}

std::int64_t unix_now() { return static_cast<std::int64_t>(std::time(nullptr)); }

template <typename T>
std::vector<std::string> texts_of(const std::vector<T>& values) {
  std::vector<std::string> out;
  for (const T& value : values) out.push_back(to_string(value));
  return out;
}

}  // namespace

/// What C calls. Each is a plain function and lets nothing escape.
struct Engine::Thunks {
  static Engine& engine(void* context) { return *static_cast<Engine*>(context); }

  static void send(void* context, const sekisho_path* path, sekisho_bytes payload) noexcept {
    const Path way = path_of(*path);
    const auto header = parse_ike_header({payload.data, payload.size}, has_marker(way));
    if (header) engine(context).gate_.leaves(*header);  // before its answer can come
    engine(context).ports_.sender.send(way, {payload.data, payload.size});
  }
  static bool allocate_spi(void* context, const sekisho_path* path, std::uint32_t* spi) noexcept {
    const auto number = engine(context).ports_.sink.allocate_spi(path_of(*path));
    *spi = number.value_or(0);
    return number.has_value();
  }
  /// What `who` describes, with the number the book gave it.
  static Session known(void* context, const sekisho_event* who) {
    Session session = session_of(*who);
    const std::lock_guard lock(engine(context).book_mutex_);
    if (const Session* before = engine(context).book_.session_of(who->ike)) {
      session.id = before->id;
      session.certificates = before->certificates;
      session.device = before->device;
      session.ppk_id = before->ppk_id;
      session.psk_mark = before->psk_mark;
      if (session.user.empty()) {  // established: charon has let go of what was proven
        session.user = before->user;
        session.certificate_serial = before->certificate_serial;
        session.certificate_subject = before->certificate_subject;
      }
    }
    return session;
  }
  static bool install(void* context, const sekisho_sa* from, const sekisho_event* owner) noexcept {
    const Session session = known(context, owner);
    std::array<Selector, SEKISHO_SELECTORS_MAX> local, remote;
    SaParameters sa;
    sa.session = &session;
    sa.beside_spi = from->beside_spi;
    sa.path = path_of(from->path);
    sa.spi = from->spi;
    sa.inbound = from->inbound;
    sa.tunnel = from->tunnel;
    sa.udp_encapsulation = from->udp_encapsulation;
    sa.esn = from->esn;
    sa.encryption = from->encryption;
    sa.integrity = from->integrity;
    sa.encryption_key = {from->encryption_key.data, from->encryption_key.size};
    sa.integrity_key = {from->integrity_key.data, from->integrity_key.size};
    sa.replay_window = from->replay_window;
    sa.soft_bytes = from->soft_bytes;
    sa.hard_bytes = from->hard_bytes;
    sa.soft_packets = from->soft_packets;
    sa.hard_packets = from->hard_packets;
    sa.local = std::span(local).first(selectors_of(from->local, from->local_selectors, local));
    sa.remote = std::span(remote).first(selectors_of(from->remote, from->remote_selectors, remote));
    return engine(context).ports_.sink.install(sa);
  }
  static bool move(void* context, const sekisho_path* from, std::uint32_t spi, bool inbound, const sekisho_path* to,
                   bool udp_encapsulation) noexcept {
    return engine(context).ports_.sink.move({path_of(*from), spi, inbound}, path_of(*to), udp_encapsulation);
  }
  static bool query(void* context, const sekisho_path* path, std::uint32_t spi, bool inbound, sekisho_sa_use* use) noexcept {
    const auto found = engine(context).ports_.sink.query({path_of(*path), spi, inbound});
    if (!found) return false;
    *use = {found->bytes, found->packets, found->idle ? static_cast<std::uint64_t>(found->idle->count()) : UINT64_MAX};
    return true;
  }
  static void remove(void* context, const sekisho_path* path, std::uint32_t spi, bool inbound) noexcept {
    engine(context).ports_.sink.remove({path_of(*path), spi, inbound});
  }
  static std::size_t secret(void* context, const sekisho_path* path, sekisho_secret_kind kind, const char* name, std::uint8_t* buffer,
                            std::size_t capacity) noexcept {
    Directory& directory = engine(context).ports_.directory;
    const std::span<std::uint8_t> out{buffer, capacity};
    return kind == SEKISHO_SECRET_NT_HASH ? directory.nt_hash(path_of(*path), name, out) : directory.psk(path_of(*path), name, out);
  }
  static std::size_t peer_psk(void* context, const sekisho_path* path, std::size_t index, std::uint8_t* buffer,
                              std::size_t capacity) noexcept {
    return engine(context).ports_.directory.peer_psk(path_of(*path), index, {buffer, capacity});
  }
  static std::uint64_t psk_mark(void*, sekisho_bytes key) noexcept { return mark_of({key.data, key.size}); }
  static void psk_used(void* context, std::uint32_t ike, std::uint64_t mark) noexcept {
    const std::lock_guard lock(engine(context).book_mutex_);
    engine(context).book_.note_psk(ike, mark);
  }
  static std::size_t ppk(void* context, const sekisho_event* who, const char* ppk_id, std::uint8_t* buffer, std::size_t capacity) noexcept {
    Engine& self = engine(context);
    const std::size_t size = self.ports_.directory.ppk(path_of(who->path), ppk_id, {buffer, capacity});
    const std::lock_guard lock(self.book_mutex_);
    if (size != 0) self.book_.note_ppk(who->ike, ppk_id);
    return size;
  }
  static void wrong_secret(void* context, const sekisho_path* path, const char* name) noexcept {
    engine(context).ports_.directory.wrong_secret(path_of(*path), name);
  }
  static sekisho_judge judge(void* context, const sekisho_event* who, void** conversation) noexcept {
    EapBackend* backend = engine(context).ports_.backend;
    if (backend == nullptr) return SEKISHO_JUDGE_DIRECTORY;
    auto begun = std::make_unique<Conversation>();
    switch (backend->judge_of(known(context, who), *begun)) {
      case EapBackend::Judge::kDirectory: return SEKISHO_JUDGE_DIRECTORY;
      case EapBackend::Judge::kBackend: *conversation = begun.release(); return SEKISHO_JUDGE_BACKEND;
      case EapBackend::Judge::kNobody: break;
    }
    return SEKISHO_JUDGE_NOBODY;
  }
  static void relay(void* context, void* conversation, const sekisho_event* who, sekisho_bytes eap, sekisho_relayed* answer) noexcept {
    Conversation& with = *static_cast<Conversation*>(conversation);
    const auto step = engine(context).ports_.backend->step(known(context, who), with, {eap.data, eap.size});
    switch (step.outcome) {
      case EapBackend::Outcome::kMore: answer->outcome = SEKISHO_RELAYED_MORE; break;
      case EapBackend::Outcome::kAccepted: answer->outcome = SEKISHO_RELAYED_ACCEPTED; break;
      case EapBackend::Outcome::kRejected: answer->outcome = SEKISHO_RELAYED_REJECTED; break;
      case EapBackend::Outcome::kNobody: answer->outcome = SEKISHO_RELAYED_NOBODY; break;
      case EapBackend::Outcome::kBusy: answer->outcome = SEKISHO_RELAYED_BUSY; break;
      case EapBackend::Outcome::kNoKey: answer->outcome = SEKISHO_RELAYED_NO_KEY; break;
    }
    answer->size = std::min(step.eap.size(), sizeof(answer->eap));
    std::copy_n(step.eap.begin(), answer->size, answer->eap);
    std::copy(with.key.begin(), with.key.end(), answer->msk);
    const std::size_t length = std::min(with.user.size(), sizeof(answer->user) - 1);
    std::copy_n(with.user.begin(), length, answer->user);
  }
  static void forget(void* /*context*/, void* conversation) noexcept { delete static_cast<Conversation*>(conversation); }
  /// Says no, for this reason.
  static bool refuse(void* context, const sekisho_event* who, IkeSignal signal) {
    signal.kind = IkeSignal::Kind::kCause;
    signal.why = IkeSignal::Why::kForbidden;
    signal.ike = who->ike;
    engine(context).take(signal);
    return false;
  }
  static void look_up(void* context, const sekisho_event* who, sekisho_bytes certificate, sekisho_bytes issuer) noexcept {
    engine(context).look_up(known(context, who), {certificate.data, certificate.size}, {issuer.data, issuer.size});
  }
  static bool prove(void* context, const sekisho_event* who) noexcept {
    IkeSignal signal;
    signal.session = known(context, who);
    signal.forbidden = engine(context).prove(signal.session, *who, signal.text);
    if (signal.forbidden != Cause::kNone) return refuse(context, who, std::move(signal));
    const std::lock_guard lock(engine(context).book_mutex_);
    engine(context).book_.note_proof(who->ike, signal.session);
    return true;
  }
  static bool authorize(void* context, const sekisho_event* who) noexcept {
    IkeSignal signal;
    signal.session = known(context, who);
    const Directory::Admission admission = engine(context).ports_.directory.authorize(signal.session);
    signal.session.device = admission.device;
    signal.forbidden = admission.cause;
    signal.text = admission.text;
    if (admission.cause == Cause::kDevice) signal.text = sentence_of(admission.device.why);
    if (admission.cause == Cause::kAuth) signal.text = "the post-quantum preshared key (RFC 8784) is another user's";
    if (admission.cause != Cause::kNone) return refuse(context, who, std::move(signal));
    const std::lock_guard lock(engine(context).book_mutex_);
    engine(context).book_.note_proof(who->ike, signal.session);
    return true;
  }
  static bool lease(void* context, const sekisho_event* who, std::uint8_t family, sekisho_endpoint* address) noexcept {
    const auto found = engine(context).ports_.directory.lease(known(context, who), family == 6 ? Family::kIpv6 : Family::kIpv4);
    if (found) *address = wire_of({*found, 0});
    return found.has_value();
  }
  static void release(void* context, const sekisho_event* who, const sekisho_endpoint* address) noexcept {
    engine(context).ports_.directory.release(known(context, who), address_of(*address));
  }
  static void event(void* context, const sekisho_event* from) noexcept {
    IkeSignal signal;
    signal.kind = kind_of(from->kind);
    signal.why = why_of(from->cause);
    signal.ike = from->ike;
    signal.new_ike = from->new_ike;
    signal.word = {from->peer_notify, from->peer_win32};
    signal.session = session_of(*from);
    engine(context).take(signal);
  }
  static void own_spi(void* context, std::uint64_t spi, std::uint64_t peer_spi, std::uint32_t tenant) noexcept {
    Engine& self = engine(context);
    if (peer_spi != 0) self.gate_.begin(spi, peer_spi);
    if (peer_spi == 0) self.gate_.end(spi);
    const std::unique_lock lock(self.owners_mutex_);
    if (tenant == 0) {
      self.owners_.erase(spi);
    } else {
      self.owners_.insert_or_assign(spi, tenant);
    }
  }
  static void mark(void* context, std::uint32_t ike, sekisho_bytes vendor_id, std::uint16_t attribute) noexcept {
    const std::lock_guard lock(engine(context).book_mutex_);
    vendor_id.size > 0 ? engine(context).book_.mark(ike, {vendor_id.data, vendor_id.size}) : engine(context).book_.mark(ike, attribute);
  }
  static void habits(void* context, std::uint32_t ike, sekisho_habits* out) noexcept {
    const std::lock_guard lock(engine(context).book_mutex_);
    const ClientHabits& known = habits_of(engine(context).book_.client_of(ike));
    *out = {known.gateway_rekeys_child, known.child_life_seconds_min, known.asks_dhcp, {}};
    const Address server = Address::from_v4(kTunnelDhcpServerV4);
    std::copy_n(server.bytes.begin(), sizeof(out->dhcp_server), out->dhcp_server);
  }
  static void log(void* context, int level, std::uint32_t, const char* group, const char* text) noexcept {
    engine(context).ports_.observer.line(level, group, text);
  }
  static sekisho_ike_ops table(Engine* self) {
    return {self, send, allocate_spi, install, move, query, remove, secret, peer_psk, psk_mark, psk_used, ppk, wrong_secret, look_up, prove,
            judge, relay, forget, authorize, lease, release, event, own_spi, mark, habits, log};
  }
};

Engine::Made Engine::make(const EngineSettings& settings, const Ports& ports) {
  static sekisho_ike_ops ops;
  std::unique_ptr<Engine> engine(new Engine(ports, settings.ike_version));
  ops = Thunks::table(engine.get());
  const sekisho_ike_settings wire{settings.ike_version,       settings.threads,          settings.half_open_per_source,
                                  settings.cookie_per_source, settings.retransmit_tries, settings.retransmit_timeout,
                                  settings.half_open_seconds, settings.verbose};
  sekisho_ike_error error{};
  if (!sekisho_ike_init(&wire, &ops, &error)) return {nullptr, error.text};
  sekisho_ike_start();
  return {std::move(engine), {}};
}

Engine::~Engine() {
  {
    const std::lock_guard lock(book_mutex_);
    book_.begin_shutdown();
  }
  sekisho_ike_stop();
}

std::optional<std::string> Engine::set_gateway(const Gateway& gateway) {
  const CryptoProfile& profile = crypto_profile(gateway.profile);
  if (gateway.l2tp != (version_ == 1)) return "the gateway is of another version of IKE";
  if (gateway.l2tp && profile.ike_v1.empty()) return "profile " + std::string(profile.name) + " allows no IKEv1";
  if (gateway.accept_psk && !profile.psk && !gateway.l2tp) return "profile " + std::string(profile.name) + " allows no pre-shared key";
  if (gateway.addresses.empty() || (gateway.networks.empty() && !gateway.l2tp)) return "a gateway needs an address and a network behind it";
  const bool by_certificate = gateway.accept_certificate || gateway.accept_eap_tls;
  const bool proves = by_certificate || gateway.accept_eap_mschapv2 || gateway.accept_eap_radius;
  if (proves && gateway.certificates.empty()) return "a gateway needs a certificate";
  if (by_certificate && gateway.client_cas.empty()) return "who accepts certificates names the CAs that issue them";
  Judges judges;
  if (auto why = make_judges(gateway, judges)) return why;
  judges.ocsp_url = gateway.ocsp_url;
  judges.open = gateway.admit_without_answer;
  std::string addresses;
  for (const Address& address : gateway.addresses) addresses.append(addresses.empty() ? "" : ",").append(to_string(address));
  const auto networks = texts_of(gateway.networks);
  const auto dns = texts_of(gateway.dns);
  Texts texts;
  sekisho_ike_gateway wire{};
  wire.name = gateway.name.c_str();
  wire.tenant = gateway.tenant;
  wire.addresses = addresses.c_str();
  wire.identity = gateway.identity.c_str();
  wire.l2tp = gateway.l2tp;
  wire.ike_proposals = gateway.l2tp ? profile.ike_v1.data() : profile.ike.data();
  wire.esp_proposals = gateway.l2tp ? profile.esp_v1.data() : profile.esp.data();
  wire.accept_certificate = gateway.accept_certificate;
  wire.accept_eap_mschapv2 = gateway.accept_eap_mschapv2;
  wire.accept_eap_tls = gateway.accept_eap_tls;
  wire.accept_eap_radius = gateway.accept_eap_radius;
  wire.accept_psk = gateway.accept_psk;
  wire.ppk = static_cast<sekisho_ppk>(gateway.ppk);
  wire.certificates = texts.list(gateway.certificates);
  wire.keys = texts.list(gateway.keys);
  wire.gateway_cas = texts.list(gateway.gateway_cas);
  wire.client_cas = texts.list(gateway.client_cas);
  wire.device_cas = texts.list(gateway.device_cas);
  wire.networks = texts.list(networks);
  wire.dns = texts.list(dns);
  wire.dns_domains = texts.list(gateway.dns_domains);
  wire.ike_rekey_seconds = gateway.ike_rekey_seconds;
  wire.child_rekey_seconds = gateway.child_rekey_seconds;
  wire.child_life_seconds = gateway.child_life_seconds;
  wire.dpd_seconds = gateway.dpd_seconds;
  wire.child_rekey_bytes = gateway.child_rekey_bytes;
  wire.child_life_bytes = gateway.child_life_bytes;
  wire.replay_window = gateway.replay_window;
  wire.force_udp_encapsulation = gateway.force_udp_encapsulation;
  sekisho_ike_error error{};
  if (!sekisho_ike_set_gateway(&wire, &error)) return error.text;
  const std::unique_lock lock(judges_mutex_);
  const auto before = judges_.find({gateway.tenant, gateway.name});
  const bool another = before == judges_.end() || before->second.ocsp_url != judges.ocsp_url;
  if (another && ports_.responders != nullptr) ports_.responders->forget(gateway.tenant, gateway.name);
  judges_.insert_or_assign({gateway.tenant, gateway.name}, std::move(judges));
  next_judgement_ = 0;
  return std::nullopt;
}

void Engine::remove_gateway(std::uint32_t tenant, const std::string& name) {
  sekisho_ike_remove_gateway(tenant, name.c_str());
  const std::unique_lock lock(judges_mutex_);
  judges_.erase({tenant, name});
}

std::optional<std::string> Engine::make_judges(const Gateway& gateway, Judges& out) {
  for (auto [cas, judge] : {std::pair{&gateway.client_cas, &out.users}, std::pair{&gateway.device_cas, &out.devices}}) {
    if (cas->empty()) continue;
    auto made = CertificateJudge::make({*cas, gateway.crls, gateway.admit_without_list});
    if (!made.judge) return made.refusal;
    *judge = std::move(made.judge);
  }
  return std::nullopt;
}

Engine::Judges Engine::judges_of(const Session& session) const {
  const std::shared_lock lock(judges_mutex_);
  const auto found = judges_.find({session.path.tenant, std::string(gateway_name(session.gateway))});
  return found == judges_.end() ? Judges{} : found->second;
}

CertificateFault Engine::judge(ProvenCertificate& certificate, const Judges& judges, const Session& session, OcspDesk::Ask how,
                               std::int64_t now) const {
  const auto& judge = certificate.device ? judges.devices : judges.users;
  if (!judge) return CertificateFault::kUntrusted;
  CertificateJudge::Verdict verdict = judge->judge(certificate.chain, now);
  certificate.facts = std::move(verdict.facts);
  certificate.revocation = verdict.revocation;
  if (verdict.fault != CertificateFault::kNone || judges.ocsp_url.empty()) return verdict.fault;
  OcspDesk::Word word;
  if (ports_.responders != nullptr) {
    const OcspDesk::Subject subject{session.path.tenant, gateway_name(session.gateway), certificate.chain.front(), verdict.issuer};
    word = ports_.responders->ask(subject, judges.open, how, now);
  }
  certificate.revocation = word.revocation;
  return word.fault;
}

void Engine::look_up(const Session& session, ByteSpan certificate, ByteSpan issuer) const {
  const Judges judges = judges_of(session);
  if (judges.ocsp_url.empty() || ports_.responders == nullptr) return;
  (void)ports_.responders->ask({session.path.tenant, gateway_name(session.gateway), certificate, issuer}, judges.open, OcspDesk::Ask::kWait,
                               unix_now());
}

bool Engine::is_due(const ProvenCertificate& certificate, const Judges& judges, const Session& session, std::int64_t now) const {
  const auto& judge = certificate.device ? judges.devices : judges.users;
  if (judges.due || !judge || now >= certificate.facts.not_after || now > judge->lists_end()) return true;
  return !judges.ocsp_url.empty() && ports_.responders != nullptr &&
         ports_.responders->is_due(session.path.tenant, gateway_name(session.gateway), certificate.chain.front(), judges.open,
                                    now);
}

Cause Engine::prove(Session& session, const sekisho_event& who, std::string_view& text) const {
  auto shown = std::make_shared<ProvenCertificates>(certificates_of(who));
  const Judges judges = judges_of(session);
  const std::int64_t now = unix_now();
  Cause refused = Cause::kNone;
  for (ProvenCertificate& one : *shown) {
    const CertificateFault fault = judge(one, judges, session, OcspDesk::Ask::kNow, now);
    if (fault == CertificateFault::kNone || refused != Cause::kNone) continue;
    text = sentence_of(fault);
    refused = one.device ? Cause::kDevice : cause_of(fault);
    if (one.device) session.device.result = DeviceVerdict::Result::kFail, session.device.why = why_of(fault);
  }
  // Who comes with one certificate comes with his device's, where a CA of devices vouches for it (EAP-TLS, as Windows does).
  if (refused == Cause::kNone && shown->size() == 1 && !shown->front().device && judges.devices) {
    ProvenCertificate device = shown->front();
    device.device = true;
    if (judge(device, judges, session, OcspDesk::Ask::kNow, now) == CertificateFault::kNone) shown->push_back(std::move(device));
  }
  if (!shown->empty()) session.certificates = std::move(shown);
  return refused;
}

std::vector<Engine::Ending> Engine::expired(std::int64_t now) {
  std::vector<Ending> out;
  if (to_judge_.empty()) {
    if (now < next_judgement_) return out;
    next_judgement_ = now + kJudgementSeconds;
    {
      const std::lock_guard lock(book_mutex_);
      to_judge_ = book_.numbers(true);
    }
    const std::unique_lock lock(judges_mutex_);
    for (auto& [name, judges] : judges_) judges.due = std::exchange(judges.fresh, false);
  }
  for (std::size_t judged = 0; judged < kJudgedACall && !to_judge_.empty(); to_judge_.pop_back()) {
    const auto session = this->session(to_judge_.back());
    if (!session || !session->certificates) continue;
    const Judges judges = judges_of(*session);
    for (ProvenCertificate one : *session->certificates) {
      const bool due = is_due(one, judges, *session, now);
      const CertificateFault fault = due ? judge(one, judges, *session, OcspDesk::Ask::kStay, now) : CertificateFault::kNone;
      judged += due ? 1 : 0;
      if (fault == CertificateFault::kNone) continue;
      out.push_back({session->id, one.device ? Cause::kDevice : cause_of(fault), sentence_of(fault)});
      break;
    }
  }
  return out;
}

bool Engine::speaks(const IkeHeader& header) const {
  constexpr std::uint8_t kMainMode = 2, kInformational = 5, kQuickMode = 32;
  if (header.major_version != version_) return version_ == 2 && header.major_version > 2;  // who asks for more is told what we speak
  constexpr std::uint8_t kIkeSaInit = 34, kEncrypted = 46, kFragment = 53;
  if (version_ != 1) {
    // We begin nothing. And what else is in clear is anybody's: libcharon would count it as the request that was due.
    if (header.exchange == kIkeSaInit) return header.number == 0 && header.receiver_spi == 0 && !header.is_response;
    return header.receiver_spi != 0 && (header.first_payload == kEncrypted || header.first_payload == kFragment);
  }
  // Aggressive mode would hand a stranger what he needs to guess the key at leisure. What is neither encrypted nor main mode is
  // anybody's word (RFC 2409 5.7).
  if (header.exchange == kMainMode) return true;
  return (header.exchange == kInformational || header.exchange == kQuickMode) && header.encrypted;
}

void Engine::receive(const Path& path, ByteSpan payload) {
  const auto header = parse_ike_header(payload, has_marker(path));
  if (!header || path.tenant == 0) {
    malformed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (!speaks(*header)) {
    exchange_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  {
    const std::shared_lock lock(owners_mutex_);
    const auto owner = owners_.find(header->receiver_spi);
    if (owner != owners_.end() && owner->second != path.tenant) {
      foreign_tenant_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
  }
  if (header->receiver_spi == 0 && !within_budget(path)) {
    budget_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (!gate_.admits(*header, std::chrono::steady_clock::now())) {
    out_of_turn_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const sekisho_path wire{{path.tenant, path.port}, wire_of(path.local), wire_of(path.remote)};
  if (!sekisho_ike_receive(&wire, {payload.data(), payload.size()})) overload_.fetch_add(1, std::memory_order_relaxed);
}

std::vector<Session> Engine::sessions() const {
  const std::lock_guard lock(book_mutex_);
  return book_.sessions();
}

std::vector<std::uint64_t> Engine::session_numbers() const {
  const std::lock_guard lock(book_mutex_);
  return book_.numbers();
}

std::optional<Session> Engine::session(std::uint64_t number) const {
  const std::lock_guard lock(book_mutex_);
  const Session* found = book_.find(number);
  return found == nullptr ? std::nullopt : std::optional(*found);
}

bool Engine::terminate(std::uint64_t session, Cause cause, std::string_view text) {
  const std::lock_guard lock(book_mutex_);
  const auto ike = book_.end(session, cause, text);
  if (ike) sekisho_ike_terminate(*ike);
  return ike.has_value();
}

void Engine::expire(std::uint32_t spi, const Endpoint& local, bool hard) {
  const sekisho_endpoint end = wire_of(local);
  sekisho_ike_expire(spi, &end, hard);
}

void Engine::mapping_changed(std::uint32_t spi, const Endpoint& local, const Endpoint& new_remote) {
  const sekisho_endpoint end = wire_of(local);
  const sekisho_endpoint remote = wire_of(new_remote);
  sekisho_ike_mapping_changed(spi, &end, &remote);
}

Engine::Refused Engine::refused() const {
  return {malformed_.load(), foreign_tenant_.load(), overload_.load(), budget_.load(), exchange_.load(), out_of_turn_.load()};
}

bool Engine::within_budget(const Path& path) {
  const std::lock_guard lock(book_mutex_);
  return half_open_.admit(path.tenant, path.remote.address, now_seconds());
}

void Engine::take(const IkeSignal& signal) {
  using Kind = IkeSignal::Kind;
  const std::lock_guard lock(book_mutex_);
  const Session& who = signal.session;
  if (signal.kind == Kind::kAttempt && book_.id_of(signal.ike) == 0) half_open_.begun(signal.ike, who.path.tenant, who.path.remote.address);
  if (signal.kind == Kind::kChildUp || signal.kind == Kind::kGone || signal.kind == Kind::kRetry) half_open_.ended(signal.ike);
  if (signal.kind == Kind::kChildUp) {
    half_open_.came_in(who.path.tenant, who.path.remote.address, std::hash<std::string>{}(who.user), now_seconds());
  }
  if (const auto event = book_.handle(signal)) ports_.observer.on(*event);
}

}  // namespace sekisho::vpn
