// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp_login.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <ctime>
#include <utility>

#include "vpn/explain.h"
#include "vpn/ppp/verify.h"

namespace sekisho::vpn {
namespace {

constexpr std::size_t kClientBytesMax = 128;

}  // namespace

std::vector<ppp::AuthMethod> methods_of(const std::vector<DoorMethod>& accepted) {
  std::vector<ppp::AuthMethod> out;
  for (const DoorMethod one : accepted) {
    const ppp::AuthMethod method = one == DoorMethod::kMschapV2 ? ppp::AuthMethod::kMschapV2
                                   : one == DoorMethod::kPap    ? ppp::AuthMethod::kPap
                                   : one == DoorMethod::kChap   ? ppp::AuthMethod::kChapMd5
                                                                : ppp::AuthMethod::kEap;
    if (std::ranges::find(out, method) == out.end()) out.push_back(method);
  }
  return out;
}

ppp::AuthAnswer PppLogin::refuse(Stage stage, Cause cause, std::string_view sentence, std::string_view remedy) {
  refusal_ = {stage, cause, explain(name_of(stage), sentence, remedy, {})};
  ppp::AuthAnswer out;
  out.verdict = ppp::AuthAnswer::Verdict::kReject;
  out.cause = cause;
  out.text = refusal_.text;
  return out;
}

PppLogin::PppLogin(const Ports& ports, Session session, std::string gateway)
    : ports_(ports), session_(std::move(session)), gateway_(std::move(gateway)) {
  session_.gateway = gateway_ + " mschapv2";
}

PppLogin::~PppLogin() {
  if (asked_ && ports_.backends != nullptr) ports_.backends->forget(session_.id);
  end(Stage::kNegotiation, Cause::kInternal, {});
}

void PppLogin::tell(SessionEvent::Kind kind, Stage stage, Cause cause, std::string text) {
  ports_.observer.on({.kind = kind, .session = session_, .stage = stage, .cause = cause, .text = std::move(text)});
}

void PppLogin::begin() {
  if (!std::exchange(begun_, true)) tell(SessionEvent::Kind::kStart, Stage::kAuthentication);
}

void PppLogin::describe(std::string_view client) {
  const std::string all = (session_.client.empty() ? "" : session_.client + " ").append(client);
  session_.client = all.substr(0, kClientBytesMax);
}

std::vector<DoorMethod> PppLogin::accepts() const {
  const std::shared_ptr<const Plan> plan = ports_.directory.plan();
  const TenantPlan* tenant = plan->tenant(session_.path.tenant);
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_);
  if (gateway == nullptr) return {};
  switch (session_.protocol) {
    case Protocol::kSstp: return gateway->sstp ? gateway->sstp->accept : std::vector<DoorMethod>();
    case Protocol::kL2tp: return gateway->l2tp ? gateway->l2tp->accept : std::vector<DoorMethod>();
    case Protocol::kPptp: return gateway->pptp ? std::vector{DoorMethod::kMschapV2} : std::vector<DoorMethod>();
    case Protocol::kIkeV2: break;
  }
  return {};
}

std::optional<ppp::AuthAnswer> PppLogin::authenticate(const ppp::AuthRequest& request) {
  using Kind = ppp::AuthRequest::Kind;
  if (authorized_) return refuse(Stage::kAuthentication, Cause::kAuth, "a second login in one session");
  const std::vector<DoorMethod> accepted = accepts();
  const auto may = [&accepted](DoorMethod method) { return std::ranges::find(accepted, method) != accepted.end(); };
  if (request.kind != Kind::kRelay) {  // whatever was asked before is void: nobody comes in by another's answer
    asked_.reset();
    session_.user = weak::bare_name(request.user);
    session_.backend = {};
    if (ports_.backends != nullptr) {
      ports_.backends->forget(session_.id);
      session_.backend = ports_.backends->backend_of(session_);
    }
  }
  const bool asks = !session_.backend.empty();
  switch (request.kind) {
    case Kind::kIdentity:
      eap_ = true;
      if (asks && may(DoorMethod::kEapRadius)) return pose(request, "eap-radius");
      return choose_local(accepted);
    case Kind::kMschapV2:
      if (!may(DoorMethod::kEapMschapV2) && !may(DoorMethod::kMschapV2)) break;  // which of them, LCP has agreed on
      if (asks) return pose(request, eap_ ? "eap-mschapv2" : "mschapv2");
      return check_password(request);
    case Kind::kPassword:
      if (!may(DoorMethod::kPap)) break;
      if (asks) return pose(request, "pap");
      return check_password(request);
    case Kind::kChapMd5:
      if (!may(DoorMethod::kChap)) break;
      if (asks) return pose(request, "chap");
      return refuse_secret();  // what is kept of a password cannot judge it
    case Kind::kRelay:
      if (!asks || !may(DoorMethod::kEapRadius)) break;
      return pose(request, "eap-radius");
    case Kind::kCertificate:
      if (!may(DoorMethod::kEapTls)) break;
      session_.backend = {};
      return check_certificate(request);
  }
  return refuse(Stage::kAuthentication, Cause::kAuth, "the client chose a method that is not offered");
}

/// EAP by ourselves: of the methods the first that is accepted, the other if the client wants it.
ppp::AuthAnswer PppLogin::choose_local(const std::vector<DoorMethod>& accepted) {
  const auto is_local = [](DoorMethod one) { return one == DoorMethod::kEapMschapV2 || one == DoorMethod::kEapTls; };
  const auto first = std::ranges::find_if(accepted, is_local);
  if (first == accepted.end()) return refuse_secret();
  ppp::AuthAnswer out;
  out.verdict = *first == DoorMethod::kEapTls ? ppp::AuthAnswer::Verdict::kTls : ppp::AuthAnswer::Verdict::kMschapV2;
  out.other_may_do = std::ranges::count_if(accepted, is_local) > 1;
  session_.gateway = gateway_ + (*first == DoorMethod::kEapTls ? " eap-tls" : " eap-mschapv2");
  return out;
}

ppp::AuthAnswer PppLogin::refuse_secret() {
  return refuse(Stage::kAuthentication, Cause::kAuth, "wrong password or unknown user", "type name and password anew (Windows shows 691)");
}

ppp::AuthAnswer PppLogin::check_password(const ppp::AuthRequest& request) {
  const bool pap = request.kind == ppp::AuthRequest::Kind::kPassword;
  weak::NtHash hash{};
  const bool known = ports_.directory.nt_hash(session_.path, session_.user, hash) == hash.size();
  // Whom nobody knows costs as much time as who errs.
  ppp::AuthAnswer answer = pap ? ppp::verify_password(request, hash) : ppp::verify_mschapv2(request, hash);
  ::explicit_bzero(hash.data(), hash.size());
  const std::string_view way = pap ? "pap" : eap_ ? "eap-mschapv2" : "mschapv2";
  if (known && answer.verdict == ppp::AuthAnswer::Verdict::kAccept) return admit(std::move(answer), way);
  ports_.directory.wrong_secret(session_.path, session_.user);
  session_.gateway = gateway_ + ' ' + std::string(way);
  return refuse_secret();
}

/// Its key is proven. Is it good, and his who said so?
ppp::AuthAnswer PppLogin::check_certificate(const ppp::AuthRequest& request) {
  session_.gateway = gateway_ + " eap-tls";
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  const DoorCertificates::Judges judges = ports_.certificates == nullptr ? DoorCertificates::Judges{}
                                                                         : ports_.certificates->judges_of(session_.path.tenant, gateway_);
  ProvenCertificate shown;
  shown.chain.assign(request.chain.begin(), request.chain.end());
  if (const CertificateFault fault = DoorCertificates::judge(shown, judges, now); fault != CertificateFault::kNone) {
    return refuse(Stage::kAuthentication, cause_of(fault), sentence_of(fault));
  }
  const bool named = is_certificate_of(shown.chain.front(), session_.user) || session_.user == shown.facts.subject;
  if (session_.user.empty() || !named) {
    return refuse(Stage::kAuthentication, Cause::kAuth, "the certificate is not of who said so",
                  "use a certificate with the user's name in it");
  }
  session_.certificate_serial = shown.facts.serial;
  session_.certificate_subject = shown.facts.subject;
  auto proven = std::make_shared<ProvenCertificates>(1, shown);
  ProvenCertificate device = shown;
  device.device = true;  // it is his device's, too, where a CA of devices vouches for it
  if (judges.devices && DoorCertificates::judge(device, judges, now) == CertificateFault::kNone) proven->push_back(std::move(device));
  session_.certificates = std::move(proven);
  ppp::AuthAnswer accept;
  accept.verdict = ppp::AuthAnswer::Verdict::kAccept;
  return admit(std::move(accept), "eap-tls");
}

std::optional<ppp::AuthAnswer> PppLogin::pose(const ppp::AuthRequest& request, std::string_view method) {
  using Kind = ppp::AuthRequest::Kind;
  radius::Claim claim;
  claim.kind = request.kind == Kind::kPassword   ? radius::Claim::Kind::kPassword
               : request.kind == Kind::kChapMd5  ? radius::Claim::Kind::kChap
               : request.kind == Kind::kMschapV2 ? radius::Claim::Kind::kMschapV2
                                                 : radius::Claim::Kind::kEap;
  claim.eap = request.eap;
  claim.password = request.password;
  claim.identifier = request.identifier;
  claim.challenge = request.challenge;
  claim.peer_challenge = request.peer_challenge;
  claim.response = request.response;
  claim.method = method;
  session_.gateway = gateway_ + ' ' + std::string(method);
  if (claim.kind == radius::Claim::Kind::kMschapV2 && claim.response.empty()) return refuse_secret();
  if (claim.kind == radius::Claim::Kind::kPassword && claim.password.size() > radius::kPasswordBytesMax) return refuse_secret();
  asked_ = request.number;
  ports_.backends->pose(session_, session_.backend, claim, std::chrono::steady_clock::now());
  return std::nullopt;
}

std::optional<PppLogin::Judged> PppLogin::judged(const radius::Verdict& verdict) {
  if (!asked_ || over_) return std::nullopt;
  Judged out{*std::exchange(asked_, std::nullopt), {}};
  using Outcome = EapBackend::Outcome;
  switch (verdict.outcome) {
    case Outcome::kMore: out.answer.verdict = ppp::AuthAnswer::Verdict::kRelay; break;
    case Outcome::kAccepted:
      out.answer.verdict = ppp::AuthAnswer::Verdict::kAccept;
      out.answer.authenticator = verdict.authenticator;
      out.answer.keys.receive = verdict.keys.receive;
      out.answer.keys.send = verdict.keys.send;
      out.answer.keys.size = verdict.keys.size;
      if (!verdict.user.empty()) session_.user = verdict.user;
      out.answer = admit(std::move(out.answer), verdict.method.empty() ? "eap-radius" : verdict.method);
      break;
    case Outcome::kRejected: out.answer = refuse_secret(); break;
    case Outcome::kNobody:
      out.answer = refuse(Stage::kAuthentication, Cause::kBackendDown, "no RADIUS server answers",
                          "look at the backend's servers, and the way to them");
      break;
    case Outcome::kBusy:
      out.answer = refuse(Stage::kAuthentication, Cause::kBackendDown, "as many logins wait for RADIUS servers as may");
      break;
    case Outcome::kNoKey:
      out.answer = refuse(Stage::kAuthentication, Cause::kCrypto,
                          "the RADIUS server did not prove itself to the client (MS-CHAP2-Success)");
      break;
  }
  out.answer.eap = verdict.eap;
  return out;
}

ppp::AuthAnswer PppLogin::admit(ppp::AuthAnswer accept, std::string_view way) {
  session_.gateway = gateway_ + ' ' + std::string(way);
  if (std::exchange(authorized_, true)) return refuse(Stage::kAuthentication, Cause::kAuth, "a second login in one session");
  tell(SessionEvent::Kind::kAuthOk);
  const Directory::Admission admission = ports_.directory.authorize(session_);
  session_.device = admission.device;
  if (admission.cause != Cause::kNone) return refuse(Stage::kAdmission, admission.cause,
                                                    admission.text.empty() ? sentence_of(admission.cause, false) : admission.text);
  refusal_ = {};  // of a password he has typed anew
  return accept;
}

std::optional<ppp::Network> PppLogin::network() {
  const std::shared_ptr<const Plan> plan = ports_.directory.plan();
  const TenantPlan* tenant = plan->tenant(session_.path.tenant);
  const GatewayPlan* gateway = tenant == nullptr ? nullptr : tenant->gateway(gateway_);
  if (gateway == nullptr) return std::nullopt;
  ppp::Network out;
  out.ipv4 = ports_.directory.lease(session_, Family::kIpv4);
  out.ipv6 = ports_.directory.lease(session_, Family::kIpv6);
  if (!out.ipv4 && !out.ipv6) return std::nullopt;
  for (const auto& lease : {out.ipv4, out.ipv6}) {
    if (lease) session_.leases.push_back(*lease);
  }
  out.own_ipv4 = Address::from_v4(0xc0000008);  // RFC 7600's: nobody's
  out.dns = gateway->gateway.dns;
  tell(SessionEvent::Kind::kAssigned);
  return out;
}

std::optional<Path> PppLogin::open(std::uint16_t mtu) {
  if (up_ || over_ || session_.leases.empty()) return std::nullopt;
  const auto path = ports_.tunnels.open_ring(session_, mtu);
  if (!path) return std::nullopt;
  up_ = true;
  tell(SessionEvent::Kind::kUp);
  return path;
}

bool PppLogin::open(const L2tpRide& ride) {
  if (up_ || over_ || session_.leases.empty() || !ports_.tunnels.open_l2tp(session_, ride)) return false;
  up_ = true;
  tell(SessionEvent::Kind::kUp);
  return true;
}

void PppLogin::end(Stage stage, Cause cause, std::string_view text) {
  if (std::exchange(over_, true)) return;
  if (!begun_) {
    if (authorized_) ports_.directory.ended(session_.id);
    return;  // never an attempt
  }
  if (!up_ && refusal_.cause != Cause::kNone) {
    stage = refusal_.stage;
    cause = refusal_.cause;
  }
  const bool failed = !up_ && stage == Stage::kAuthentication && cause == Cause::kAuth;
  const auto kind = up_ ? SessionEvent::Kind::kDown : failed ? SessionEvent::Kind::kAuthFail : SessionEvent::Kind::kDenied;
  const std::string_view sentence = text.empty() ? sentence_of(cause, up_) : text;
  std::string said = !up_ && refusal_.cause != Cause::kNone ? refusal_.text
                     : up_                                  ? std::string(sentence)
                                                            : explain(name_of(stage), sentence, {}, {});
  tell(kind, stage, cause, std::move(said));
}

}  // namespace sekisho::vpn
