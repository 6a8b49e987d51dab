// SPDX-License-Identifier: Apache-2.0
#include "vpn/session_book.h"

#include <algorithm>
#include <array>
#include <utility>

namespace sekisho::vpn {
namespace {

using Why = IkeSignal::Why;
using Kind = SessionEvent::Kind;

/// What a reason means for an attempt, for a session, in words, and what helps. A general reason gives way to a particular one.
struct Meaning {
  Why why;
  bool general;
  Kind attempt;
  Cause attempt_cause;
  Cause session_cause;
  std::string_view text;
  std::string_view remedy;
};

constexpr std::string_view kImportProfile = "import the profile this gateway hands out (Windows shows 13868)";

constexpr std::array kMeanings{
    Meaning{Why::kNone, true, Kind::kDenied, Cause::kInternal, Cause::kInternal,
            "ended without a reason", ""},
    Meaning{Why::kNoGateway, false, Kind::kDenied, Cause::kConfig, Cause::kConfig,
            "no gateway of the tenant answers at this address", "check the address the client connects to"},
    Meaning{Why::kIkeProposal, false, Kind::kDenied, Cause::kCrypto, Cause::kCrypto,
            "no common algorithms for IKE", kImportProfile},
    Meaning{Why::kChildProposal, false, Kind::kDenied, Cause::kCrypto, Cause::kCrypto,
            "no common algorithms for ESP", kImportProfile},
    Meaning{Why::kSelectors, false, Kind::kDenied, Cause::kConfig, Cause::kConfig,
            "the client asked for networks that are not behind this gateway",
            "let it ask for 0.0.0.0/0 and ::/0, or for the gateway's networks"},
    Meaning{Why::kPeerAuth, true, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "authentication failed", "choose a kind of login the gateway accepts, and a certificate that says the name it gives"},
    Meaning{Why::kPassword, false, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "wrong password or unknown user", "type name and password anew (Windows shows 691)"},
    Meaning{Why::kCertExpired, false, Kind::kAuthFail, Cause::kCertExpired, Cause::kCertExpired,
            "the client's certificate is not valid today", "issue a new one, or set the client's clock"},
    Meaning{Why::kCertRevoked, false, Kind::kAuthFail, Cause::kCertRevoked, Cause::kCertRevoked,
            "the client's certificate is revoked", "issue a new one"},
    Meaning{Why::kCertUntrusted, false, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "no CA of this tenant vouches for the client's certificate", "choose one of the tenant's CA, with all issuers between"},
    Meaning{Why::kPpk, false, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "the client used no post-quantum preshared key (RFC 8784) that is known here", "give it the user's ppk_id and ppk"},
    Meaning{Why::kLocalAuth, true, Kind::kDenied, Cause::kConfig, Cause::kConfig,
            "the gateway cannot prove who it is", "its certificate, key and identity must belong together"},
    Meaning{Why::kPeerRefusedUs, false, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "the client does not trust the gateway",
            "import the gateway's CA, of the computer on Windows, and connect to a name its certificate has (Windows shows 13801)"},
    Meaning{Why::kPsk, false, Kind::kAuthFail, Cause::kAuth, Cause::kAuth,
            "the client's pre-shared key is none of this gateway's", "type the key anew on the client (Windows shows 789)"},
    Meaning{Why::kPeerSaid, true, Kind::kDenied, Cause::kConfig, Cause::kUser,
            "the client gave up", ""},
    Meaning{Why::kForbidden, false, Kind::kDenied, Cause::kConfig, Cause::kConfig,
            "authenticated, but not allowed in", ""},
    Meaning{Why::kNoAddress, false, Kind::kDenied, Cause::kPoolEmpty, Cause::kPoolEmpty,
            "no inner address is left", "enlarge the pool"},
    Meaning{Why::kInstall, false, Kind::kDenied, Cause::kInternal, Cause::kInternal,
            "the data plane did not take the SA", ""},
    Meaning{Why::kTimeout, true, Kind::kDenied, Cause::kPeerLost, Cause::kPeerLost,
            "the client fell silent", ""},
    Meaning{Why::kPeerDeleted, true, Kind::kDenied, Cause::kUser, Cause::kUser,
            "ended by the client", ""},
    Meaning{Why::kLifetime, false, Kind::kDenied, Cause::kMaxTime, Cause::kMaxTime,
            "the session reached its longest duration", ""},
    Meaning{Why::kAdmin, false, Kind::kDenied, Cause::kAdmin, Cause::kAdmin,
            "ended by an operator", ""},
    Meaning{Why::kBackendDown, false, Kind::kDenied, Cause::kBackendDown, Cause::kBackendDown,
            "no server that judges this user answers", "check the tenant's RADIUS servers, and that they know the gateway's address"},
    Meaning{Why::kBackendBusy, false, Kind::kDenied, Cause::kBackendDown, Cause::kBackendDown,
            "as many logins as may wait for the tenant's servers already", "try again; the servers are slow"},
    Meaning{Why::kBackendKey, false, Kind::kDenied, Cause::kBackendDown, Cause::kBackendDown,
            "the server let the user in and sent no MS-MPPE keys", "let the server ask for an EAP method that makes keys"},
};

const Meaning& meaning(Why why) {
  return *std::find_if(kMeanings.begin(), kMeanings.end(), [why](const Meaning& one) { return one.why == why; });
}

/// Keeps what an earlier signal knew and this one does not.
void learn(Session& known, const Session& now) {
  const auto take = [](auto& to, const auto& from) {
    if (!from.empty()) to = from;
  };
  if (now.path.remote.address.family != Family::kNone && !now.path.remote.address.is_unspecified() && now.path.tenant != 0) {
    known.path = now.path;
  }
  known.nat = known.nat || now.nat;
  take(known.gateway, now.gateway);
  take(known.user, now.user);
  take(known.ike_id, now.ike_id);
  take(known.ike_suite, now.ike_suite);
  take(known.esp_suite, now.esp_suite);
  take(known.client, now.client);
  take(known.certificate_serial, now.certificate_serial);
  take(known.certificate_subject, now.certificate_subject);
  take(known.correlation, now.correlation);
  take(known.offered, now.offered);
  if (now.certificates) known.certificates = now.certificates;
  if (now.device.result != DeviceVerdict::Result::kNone) known.device = now.device;
  if (!now.leases.empty()) known.leases = now.leases;
  if (now.spi_in != 0) known.spi_in = now.spi_in;
  if (now.spi_out != 0) known.spi_out = now.spi_out;
}

}  // namespace

SessionEvent SessionBook::ended(const Entry& entry) const {
  const Meaning& what = meaning(entry.why);
  SessionEvent event;
  event.session = entry.session;
  event.stage = entry.stage;
  std::string_view text = what.text, remedy = what.remedy;
  event.kind = entry.up ? Kind::kDown : what.attempt;
  event.cause = entry.up ? what.session_cause : what.attempt_cause;
  if ((entry.why == Why::kForbidden || entry.why == Why::kAdmin) && entry.forbidden != Cause::kNone) {
    event.cause = entry.forbidden;
    if (const std::string_view one = sentence_of(entry.forbidden, entry.up); !one.empty()) text = one;
    if (!entry.text.empty()) text = entry.text;
    remedy = {};
    const bool unproven = entry.forbidden == Cause::kAuth || entry.forbidden == Cause::kCertExpired ||
                          entry.forbidden == Cause::kCertRevoked;
    if (!entry.up && unproven && entry.stage == Stage::kAuthentication) event.kind = Kind::kAuthFail;
  }
  if (entry.why == Why::kTimeout && !entry.up && entry.stage == Stage::kNegotiation) {
    // It got our answer, or it forged its address: what it sent next, in IP fragments or to port 4500, did not arrive.
    remedy = "let UDP 4500 and IP fragments pass on its way (Windows shows 809)";
  }
  if (shutting_down_ && what.general) {
    event.kind = entry.up ? Kind::kDown : Kind::kDenied;
    event.cause = Cause::kMaintenance;
    text = sentence_of(Cause::kMaintenance, entry.up);
    remedy = {};
  }
  event.text = entry.up ? explain({}, text, {}, entry.word) : explain(name_of(entry.stage), text, remedy, entry.word);
  return event;
}

std::optional<SessionEvent> SessionBook::handle(const IkeSignal& signal) {
  using Signal = IkeSignal::Kind;
  auto found = entries_.find(signal.ike);
  if (found == entries_.end()) {
    if (signal.kind != Signal::kAttempt) return std::nullopt;  // an IKE_SA that was rekeyed away, or never was an attempt
    found = entries_.emplace(signal.ike, Entry{}).first;
    found->second.session.id = next_id_++;
    ikes_.emplace(found->second.session.id, signal.ike);
  }
  Entry& entry = found->second;
  const Endpoint before = entry.session.path.remote;
  if (signal.kind != Signal::kAttempt || before.port == 0) learn(entry.session, signal.session);
  if (!signal.session.client.empty()) entry.session.client = signal.session.client;
  SessionEvent event{.kind = Kind::kUp, .session = {}, .stage = entry.stage, .cause = Cause::kNone, .text = {}};
  switch (signal.kind) {
    case Signal::kAttempt: return std::nullopt;
    case Signal::kAuthBegun:
      if (entry.stage != Stage::kNegotiation || entry.up) return std::nullopt;
      entry.stage = Stage::kAuthentication;
      event.kind = Kind::kStart;
      event.session = entry.session;
      return event;
    case Signal::kRetry:
      if (!entry.up) forget(found);
      return std::nullopt;
    case Signal::kCause:
      if (entry.why == Why::kNone || (meaning(entry.why).general && !meaning(signal.why).general)) {
        entry.why = signal.why;
        entry.forbidden = signal.forbidden;
        entry.text = signal.text;
      }
      if (signal.word.notify != 0) entry.word = signal.word;
      return std::nullopt;
    case Signal::kAuthenticated:
      entry.why = Why::kNone;  // what an earlier candidate failed for
      if (entry.stage == Stage::kAdmission || entry.up) return std::nullopt;
      entry.stage = Stage::kAdmission;
      event.kind = Kind::kAuthOk;
      event.session = entry.session;
      return event;
    case Signal::kAssigned:
      if (std::exchange(entry.assigned, true) || entry.up) return std::nullopt;
      event.kind = Kind::kAssigned;
      event.session = entry.session;
      return event;
    case Signal::kChildUp:
      if (entry.up) return std::nullopt;
      entry.up = true;
      entry.why = Why::kNone;
      break;
    case Signal::kChildRekeyed: event.kind = Kind::kRekeyed; break;
    case Signal::kIkeRekeyed: {
      event.kind = Kind::kRekeyed;
      Entry moved = std::move(entry);
      entries_.erase(found);
      if (const auto taken = entries_.find(signal.new_ike); taken != entries_.end()) forget(taken);
      ikes_[moved.session.id] = signal.new_ike;
      found = entries_.emplace(signal.new_ike, std::move(moved)).first;
      break;
    }
    case Signal::kMoved:
      if (before == entry.session.path.remote) return std::nullopt;
      event.kind = Kind::kMoved;
      break;
    case Signal::kGone:
      event = ended(entry);
      forget(found);
      return event;
  }
  if (!found->second.up) return std::nullopt;
  event.session = found->second.session;
  return event;
}

std::vector<Session> SessionBook::sessions() const {
  std::vector<Session> out;
  for (const auto& [ike, entry] : entries_) {
    if (entry.up) out.push_back(entry.session);
  }
  std::sort(out.begin(), out.end(), [](const Session& a, const Session& b) { return a.id < b.id; });
  return out;
}

std::vector<std::uint64_t> SessionBook::numbers(bool proven) const {
  std::vector<std::uint64_t> out;
  for (const auto& [ike, entry] : entries_) {
    if (entry.up && (!proven || entry.session.certificates)) out.push_back(entry.session.id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

const Session* SessionBook::find(std::uint64_t session) const {
  const auto ike = ike_of(session);
  return ike ? &entries_.at(*ike).session : nullptr;
}

std::optional<std::uint32_t> SessionBook::ike_of(std::uint64_t session) const {
  const auto found = ikes_.find(session);
  if (found == ikes_.end() || !entries_.at(found->second).up) return std::nullopt;
  return found->second;
}

void SessionBook::forget(std::unordered_map<std::uint32_t, Entry>::iterator entry) {
  ikes_.erase(entry->second.session.id);
  entries_.erase(entry);
}

std::optional<std::uint32_t> SessionBook::end(std::uint64_t session, Cause cause, std::string_view text) {
  const auto ike = ike_of(session);
  if (!ike) return std::nullopt;
  Entry& entry = entries_.at(*ike);
  entry.why = Why::kAdmin;
  entry.forbidden = cause;
  entry.text = text;
  return ike;
}

std::uint64_t SessionBook::id_of(std::uint32_t ike) const {
  const auto found = entries_.find(ike);
  return found == entries_.end() ? 0 : found->second.session.id;
}

void SessionBook::mark(std::uint32_t ike, ByteSpan vendor_id) {
  const auto found = entries_.find(ike);
  if (found == entries_.end()) return;
  found->second.marks.vendor_id(vendor_id);
  found->second.session.family = found->second.marks.family();
}

void SessionBook::mark(std::uint32_t ike, std::uint16_t attribute) {
  const auto found = entries_.find(ike);
  if (found == entries_.end()) return;
  found->second.marks.attribute(attribute);
  found->second.session.family = found->second.marks.family();
}

ClientFamily SessionBook::client_of(std::uint32_t ike) const {
  const auto found = entries_.find(ike);
  return found == entries_.end() ? ClientFamily::kUnknown : found->second.session.family;
}

void SessionBook::note_ppk(std::uint32_t ike, std::string_view ppk_id) {
  const auto found = entries_.find(ike);
  if (found != entries_.end()) found->second.session.ppk_id = ppk_id;
}

void SessionBook::note_psk(std::uint32_t ike, std::uint64_t mark) {
  const auto found = entries_.find(ike);
  if (found != entries_.end()) found->second.session.psk_mark = mark;
}

void SessionBook::note_proof(std::uint32_t ike, const Session& from) {
  const auto found = entries_.find(ike);
  if (found == entries_.end()) return;
  found->second.session.certificates = from.certificates;
  found->second.session.device = from.device;
}

const Session* SessionBook::session_of(std::uint32_t ike) const {
  const auto found = entries_.find(ike);
  return found == entries_.end() ? nullptr : &found->second.session;
}

std::size_t SessionBook::attempts() const {
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& one) { return !one.second.up; }));
}

std::string_view name_of(Cause cause) {
  constexpr std::array<std::string_view, 21> kNames{
      "none",       "user", "peer_lost", "idle",     "max_time", "admin",  "replaced",     "limit_user",   "limit_tenant", "pool_empty",
      "auth",       "device", "schedule", "src_ip", "crypto",   "cert_expired", "cert_revoked", "backend_down", "config", "maintenance",
      "internal"};
  return kNames.at(static_cast<std::size_t>(cause));
}

std::string_view sentence_of(Cause cause, bool was_up) {
  switch (cause) {
    case Cause::kAdmin: return was_up ? "ended by an operator, or the user was suspended or removed" : "the user is suspended";
    case Cause::kDevice: return was_up ? "the user's device may no longer come in" : "the user's group asks for another device";
    case Cause::kCertRevoked: return "the certificate is revoked";
    case Cause::kCertExpired: return "the certificate has expired";
    case Cause::kConfig:
      return was_up ? "the gateway was removed, or the user's groups no longer let him in"
                    : "the user is in no group that may come in here, and the gateway has no default group";
    case Cause::kSchedule: return "outside the hours in which the user's group may log in";
    case Cause::kSourceAddress: return "the user's group may not come in from this address";
    case Cause::kLimitUser: return "the user has as many sessions as the group allows";
    case Cause::kLimitTenant: return "the tenant or the user's group has as many sessions as it may";
    case Cause::kReplaced: return "the user came in again: the older session made room";
    case Cause::kIdle: return "no packet came for as long as the gateway waits";
    case Cause::kMaxTime: return "the session reached its longest duration";
    case Cause::kInternal: return was_up ? "the data plane was restarted" : "a fault of the gateway";
    case Cause::kMaintenance: return "the gateway is being stopped";
    case Cause::kNone: case Cause::kUser: case Cause::kPeerLost: case Cause::kPoolEmpty: case Cause::kAuth:
    case Cause::kCrypto: case Cause::kBackendDown:
      return {};
  }
  return {};
}

const ProvenCertificate* Session::certificate(bool of_device) const {
  if (!certificates) return nullptr;
  const auto found = std::find_if(certificates->begin(), certificates->end(),
                                  [of_device](const auto& one) { return one.device == of_device; });
  return found == certificates->end() ? nullptr : &*found;
}

std::string_view name_of(Revocation revocation) {
  constexpr std::array<std::string_view, 4> kNames{"unchecked", "good", "revoked", "unknown"};
  return kNames.at(static_cast<std::size_t>(revocation));
}

std::string_view name_of(DeviceVerdict::Why why) {
  constexpr std::array<std::string_view, 10> kNames{"none",    "unregistered", "not_approved",  "disabled",  "expired",
                                                    "revoked", "chain",        "user_mismatch", "crl_stale", "group"};
  return kNames.at(static_cast<std::size_t>(why));
}

std::string_view sentence_of(DeviceVerdict::Why why) {
  constexpr std::array<std::string_view, 10> kTexts{
      "",
      "the user's group asks for a registered device: the client showed no device certificate, or nobody registered it",
      "the device waits for approval",
      "the device is disabled",
      "the device's registration has ended",
      "the device's certificate is revoked",
      "no CA for devices vouches for the device's certificate",
      "the device belongs to another user",
      "the revocation list for the device's certificate is out of date",
      "the device belongs to a group the user is not in"};
  return kTexts.at(static_cast<std::size_t>(why));
}

std::string_view name_of(Stage stage) {
  constexpr std::array<std::string_view, 3> kNames{"negotiation", "authentication", "admission"};
  return kNames.at(static_cast<std::size_t>(stage));
}

std::string_view name_of(SessionEvent::Kind kind) {
  constexpr std::array<std::string_view, 10> kNames{"up",   "auth_fail", "denied",  "rekey",    "moved",
                                                     "down", "start",     "auth_ok", "assigned", "usage"};
  return kNames.at(static_cast<std::size_t>(kind));
}

}  // namespace sekisho::vpn
