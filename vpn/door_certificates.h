// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>

#include "vpn/certificates.h"
#include "vpn/plan.h"
#include "vpn/ppp/eap_tls.h"

namespace sekisho::vpn {

/// EAP-TLS at doors of PPP: by what each gateway proves itself, who judges what its users show, and who of them has to go because a
/// certificate, a CA or a list is no longer what it was. Thread: the door's.
class DoorCertificates {
 public:
  /// What one gateway's certificates are judged by; nothing where it has no CAs.
  struct Judges {
    std::shared_ptr<const CertificateJudge> users, devices;
  };

  /// From now on this Plan says it.
  void follow(const Plan& plan);
  [[nodiscard]] Judges judges_of(std::uint32_t tenant, std::string_view gateway) const;
  /// TLS of a gateway's door; nothing: it speaks no EAP-TLS.
  [[nodiscard]] std::shared_ptr<const ppp::EapTlsContext> tls_of(std::uint32_t tenant, std::string_view gateway, Protocol protocol) const;

  struct Ending {
    std::uint64_t session = 0;
    Cause cause = Cause::kNone;
  };
  /// Which of these would not come in now: all are judged again after follow(), else those one of whose dates has passed. Asks at most
  /// once a second.
  std::vector<Ending> expired(const std::function<std::vector<Session>()>& sessions, std::int64_t now);

  /// Judges one certificate and takes down what it says of itself.
  static CertificateFault judge(ProvenCertificate& certificate, const Judges& judges, std::int64_t now);

 private:
  using Key = std::pair<std::uint32_t, std::string>;
  struct Gateway {
    std::vector<std::string> sources;  ///< what `judges` were made of
    Judges judges;
    std::vector<std::string> shown;    ///< what `sstp` and `l2tp` were made of
    std::shared_ptr<const ppp::EapTlsContext> sstp, l2tp;
  };
  std::map<Key, Gateway> gateways_;
  bool fresh_ = false, all_ = false;
  std::vector<Session> to_judge_;
  std::int64_t next_ = 0;
};

/// Whether a certificate, DER, is of somebody with this name: by an alternative name (mail, host, user principal name), whatever its case.
bool is_certificate_of(ByteSpan der, std::string_view name);

}  // namespace sekisho::vpn
