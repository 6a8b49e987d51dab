// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp_login.h"

#include <string.h>  // explicit_bzero

#include <algorithm>
#include <utility>

#include "vpn/explain.h"
#include "vpn/ppp/verify.h"

namespace sekisho::vpn {
namespace {

constexpr std::size_t kClientBytesMax = 128;

}  // namespace

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

PppLogin::~PppLogin() { end(Stage::kNegotiation, Cause::kInternal, {}); }

void PppLogin::tell(SessionEvent::Kind kind, Stage stage, Cause cause, std::string text) {
  ports_.observer.on({.kind = kind, .session = session_, .stage = stage, .cause = cause, .text = std::move(text)});
}

void PppLogin::begin() {
  if (!std::exchange(begun_, true)) tell(SessionEvent::Kind::kStart, Stage::kAuthentication);
}

void PppLogin::describe(std::string_view client) {
  if (!session_.client.empty()) session_.client += ' ';
  session_.client += client;
  session_.client.resize(std::min(session_.client.size(), kClientBytesMax));
}

ppp::AuthAnswer PppLogin::authenticate(const ppp::AuthRequest& request) {
  using Kind = ppp::AuthRequest::Kind;
  session_.user = std::string(weak::bare_name(request.user));
  switch (request.kind) {
    case Kind::kIdentity: {
      eap_ = true;
      session_.gateway = gateway_ + " eap-mschapv2";
      ppp::AuthAnswer out;
      out.verdict = ppp::AuthAnswer::Verdict::kMschapV2;
      return out;
    }
    case Kind::kMschapV2: return check_mschapv2(request);
    case Kind::kPassword:
    case Kind::kChapMd5:
    case Kind::kRelay:
    case Kind::kCertificate: break;  // no door offers them: the directory holds no password they could be held against
  }
  return refuse(Stage::kAuthentication, Cause::kAuth, "the client chose a method that is not offered");
}

ppp::AuthAnswer PppLogin::check_mschapv2(const ppp::AuthRequest& request) {
  weak::NtHash hash{};
  const bool known = ports_.directory.nt_hash(session_.path, session_.user, hash) == hash.size();
  ppp::AuthAnswer answer = ppp::verify_mschapv2(request, hash);  // whom nobody knows costs as much time as who errs
  ::explicit_bzero(hash.data(), hash.size());
  if (known && answer.verdict == ppp::AuthAnswer::Verdict::kAccept) return admit(std::move(answer), eap_ ? "eap-mschapv2" : "mschapv2");
  ports_.directory.wrong_secret(session_.path, session_.user);
  return refuse(Stage::kAuthentication, Cause::kAuth, "wrong password or unknown user", "type name and password anew (Windows shows 691)");
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
