// SPDX-License-Identifier: Apache-2.0
#include "vpn/incidents.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "base/legacy_use.h"
#include "base/proto/vpn_log.pb.h"
#include "vpn/certificates.h"
#include "vpn/directory.h"
#include "vpn/legacy.h"

namespace sekisho::vpn {
namespace {

/// In SSTP's words (sstp/crypto_binding.cc); RADIUS servers without keys end so too, and are no attack.
bool of_binding(const SessionEvent& event) {
  return event.session.protocol == Protocol::kSstp && (event.text.find("the client's crypto binding") != std::string::npos ||
                                                      event.text.find("the client saw another certificate") != std::string::npos);
}

bool of_stale_list(const SessionEvent& event) {
  return (event.cause == Cause::kDevice && event.session.device.why == DeviceVerdict::Why::kListStale) ||
         event.text.find(sentence_of(CertificateFault::kListStale)) != std::string::npos;
}

std::string_view code_of(const SessionEvent& event) {
  const bool revoked = event.cause == Cause::kCertRevoked ||
                       (event.cause == Cause::kDevice && event.session.device.why == DeviceVerdict::Why::kRevoked);
  if (revoked) return "AUTH_CERT_REVOKED";
  if (of_stale_list(event)) return "AUTH_CRL_STALE";
  if (event.cause == Cause::kPoolEmpty) return "CAP_POOL";
  if (event.cause != Cause::kCrypto) return "";
  return of_binding(event) ? "VPN_SSTP_BINDING" : "VPN_CRYPTO_REFUSED";
}

/// Each use of what the profile legacy alone allows.
std::optional<Incident> use_of_legacy(const Session& session, std::uint64_t at_ns) {
  const std::string use = legacy_use(session);
  if (use.empty()) return std::nullopt;
  return Incident{session.path.tenant, std::string(kLegacyUsed), use + " at " + std::string(gateway_name(session.gateway)),
                  session.path.remote.address, session.user, 1, at_ns, at_ns};
}

}  // namespace

std::optional<Incident> incident_of(const SessionEvent& event, std::uint64_t at_ns) {
  if (event.kind == SessionEvent::Kind::kUp) return use_of_legacy(event.session, at_ns);
  if (event.kind != SessionEvent::Kind::kAuthFail && event.kind != SessionEvent::Kind::kDenied) return std::nullopt;
  const std::string_view code = code_of(event);
  if (code.empty()) return std::nullopt;
  const Session& session = event.session;
  Incident out{session.path.tenant, std::string(code), std::string(gateway_name(session.gateway)), session.path.remote.address, {},
               1, at_ns, at_ns};
  if (code == "CAP_POOL") {
    out.source = {};  // it is about the pool, whoever came
  } else {
    out.user = session.user;
  }
  return out;
}

void fill(ipc::SecurityRecord& out, const Incident& one) {
  out.set_event(one.code);
  out.set_count(std::min<std::uint64_t>(one.count, std::numeric_limits<std::uint32_t>::max()));
  out.set_first_ns(one.first_ns);
  out.set_last_ns(std::max(one.first_ns, one.last_ns));
  out.set_subject(one.subject);
  out.set_user(one.user);
  out.set_source_address(std::string(one.source.wire().begin(), one.source.wire().end()));
}

}  // namespace sekisho::vpn
