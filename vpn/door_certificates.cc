// SPDX-License-Identifier: Apache-2.0
#include "vpn/door_certificates.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "vpn/directory.h"

namespace sekisho::vpn {
namespace {

std::shared_ptr<const CertificateJudge> judge_by(const Gateway& gateway, const std::vector<std::string>& cas) {
  if (cas.empty()) return nullptr;
  auto made = CertificateJudge::make({cas, gateway.crls, gateway.admit_without_list});
  if (!made.judge) std::fprintf(stderr, "gateway %s takes no certificates: %s\n", gateway.name.c_str(), made.refusal.c_str());
  return std::move(made.judge);
}

bool accepts_tls(const std::vector<DoorMethod>& accept) { return std::ranges::find(accept, DoorMethod::kEapTls) != accept.end(); }

std::shared_ptr<const ppp::EapTlsContext> tls_by(const std::vector<std::string>& certificates, const std::vector<std::string>& keys,
                                                 const Gateway& gateway) {
  if (certificates.empty() || keys.empty()) return nullptr;
  std::string chain = certificates.front() + '\n';
  for (const std::string& ca : gateway.gateway_cas) chain += ca + '\n';
  auto out = ppp::EapTlsContext::make(chain, keys.front(), gateway.client_cas);
  wipe(chain);
  if (!out) std::fprintf(stderr, "gateway %s speaks no EAP-TLS: certificate and key do not fit\n", gateway.name.c_str());
  return out;
}

void append(std::vector<std::string>& out, const std::vector<std::string>& texts) { out.insert(out.end(), texts.begin(), texts.end()); }

struct Freed {
  void operator()(X509* one) const { X509_free(one); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
template <typename T>
using Held = std::unique_ptr<T, Freed>;

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)), static_cast<std::size_t>(ASN1_STRING_length(string))};
}

/// The name in words; empty: of a kind nobody comes in by.
std::string text_of(const GENERAL_NAME& name) {
  int kind = 0;
  const void* value = GENERAL_NAME_get0_value(&name, &kind);
  if (kind == GEN_EMAIL || kind == GEN_DNS) return text_of(static_cast<const ASN1_IA5STRING*>(value));
  if (kind != GEN_OTHERNAME) return {};
  const auto& other = *static_cast<const OTHERNAME*>(value);
  const bool principal = OBJ_obj2nid(other.type_id) == NID_ms_upn && other.value->type == V_ASN1_UTF8STRING;
  return principal ? text_of(other.value->value.utf8string) : std::string();
}

}  // namespace

void DoorCertificates::follow(const Plan& plan) {
  std::map<Key, Gateway> next;
  for (const auto& [id, tenant] : plan.tenants) {
    for (const GatewayPlan& one : tenant.gateways) {
      const bool sstp = one.sstp && accepts_tls(one.sstp->accept), l2tp = one.l2tp && accepts_tls(one.l2tp->accept);
      if (!sstp && !l2tp) continue;
      const Key key{id, one.gateway.name};
      const auto before = gateways_.find(key);
      Gateway& now = next[key];
      if (before != gateways_.end()) now = before->second;
      std::vector<std::string> sources{one.gateway.admit_without_list ? "open" : ""}, shown{sstp ? "sstp" : "", l2tp ? "l2tp" : ""};
      for (const auto* list : {&one.gateway.client_cas, &one.gateway.device_cas, &one.gateway.crls}) {
        sources.emplace_back();
        append(sources, *list);
      }
      for (const auto* list : {&one.gateway.certificates, &one.gateway.gateway_cas, &one.gateway.client_cas}) append(shown, *list);
      if (sstp) append(shown, one.sstp->certificates);
      if (now.sources != sources) {
        now.judges = {judge_by(one.gateway, one.gateway.client_cas), judge_by(one.gateway, one.gateway.device_cas)};
      }
      if (now.shown != shown) {
        now.sstp = sstp ? tls_by(one.sstp->certificates, one.sstp->keys, one.gateway) : nullptr;
        now.l2tp = l2tp ? tls_by(one.gateway.certificates, one.gateway.keys, one.gateway) : nullptr;
      }
      now.sources = std::move(sources);
      now.shown = std::move(shown);
    }
  }
  gateways_ = std::move(next);
  fresh_ = true;
}

DoorCertificates::Judges DoorCertificates::judges_of(std::uint32_t tenant, std::string_view gateway) const {
  const auto found = gateways_.find({tenant, std::string(gateway)});
  return found == gateways_.end() ? Judges{} : found->second.judges;
}

std::shared_ptr<const ppp::EapTlsContext> DoorCertificates::tls_of(std::uint32_t tenant, std::string_view gateway,
                                                                   Protocol protocol) const {
  const auto found = gateways_.find({tenant, std::string(gateway)});
  if (found == gateways_.end()) return nullptr;
  return protocol == Protocol::kSstp ? found->second.sstp : found->second.l2tp;
}

CertificateFault DoorCertificates::judge(ProvenCertificate& certificate, const Judges& judges, std::int64_t now) {
  const auto& judge = certificate.device ? judges.devices : judges.users;
  if (!judge) return CertificateFault::kUntrusted;
  CertificateJudge::Verdict verdict = judge->judge(certificate.chain, now);
  certificate.facts = std::move(verdict.facts);
  certificate.revocation = verdict.revocation;
  return verdict.fault;
}

std::vector<DoorCertificates::Ending> DoorCertificates::expired(const std::function<std::vector<Session>()>& sessions, std::int64_t now) {
  std::vector<Ending> out;
  constexpr std::size_t kJudgedACall = 8;  // who else waits for this thread is served in between
  if (to_judge_.empty()) {
    if ((now < next_ || gateways_.empty()) && !fresh_) return out;
    next_ = now + 1;
    all_ = std::exchange(fresh_, false);
    to_judge_ = sessions();
    std::erase_if(to_judge_, [](const Session& one) { return !one.certificates; });
  }
  for (std::size_t judged = 0; judged < kJudgedACall && !to_judge_.empty(); to_judge_.pop_back()) {
    const Session& session = to_judge_.back();
    const Judges judges = judges_of(session.path.tenant, gateway_name(session.gateway));
    for (ProvenCertificate one : *session.certificates) {
      const auto& judge_of_it = one.device ? judges.devices : judges.users;
      const bool due = all_ || !judge_of_it || now >= one.facts.not_after || now > judge_of_it->lists_end();
      judged += due ? 1 : 0;
      const CertificateFault fault = due ? judge(one, judges, now) : CertificateFault::kNone;
      if (fault == CertificateFault::kNone) continue;
      out.push_back({session.id, one.device ? Cause::kDevice : cause_of(fault)});
      break;
    }
  }
  return out;
}

bool is_certificate_of(ByteSpan der, std::string_view name) {
  const std::uint8_t* at = der.data();
  const Held<X509> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (!certificate || name.empty()) {
    ERR_clear_error();
    return false;
  }
  const std::string wanted = folded(name);
  const Held<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    if (folded(text_of(*sk_GENERAL_NAME_value(names.get(), i))) == wanted) return true;
  }
  ERR_clear_error();
  return false;
}

}  // namespace sekisho::vpn
