// SPDX-License-Identifier: Apache-2.0
#include "control/api/security_events.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <limits>
#include <memory>
#include <optional>

#include "control/access/rfc3339.h"
#include "control/api/acts.h"

namespace sekisho::control {
namespace {

constexpr std::int64_t kDay = 86400;
constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::size_t kSubjectMax = 128;  // of a security record

struct Facts {
  std::string serial;
  std::int64_t ends = 0;
};

/// What the first certificate of a text says; nothing where it is none: the commit has said so.
std::optional<Facts> facts_of(const std::string& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> read(in ? PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr) : nullptr,
                                                         &X509_free);
  std::tm when{};
  if (!read || ASN1_TIME_to_tm(X509_get0_notAfter(read.get()), &when) != 1) return std::nullopt;
  Facts out{{}, ::timegm(&when)};
  const std::unique_ptr<BIGNUM, decltype(&BN_free)> number(ASN1_INTEGER_to_BN(X509_get0_serialNumber(read.get()), nullptr), &BN_free);
  if (char* hex = number ? BN_bn2hex(number.get()) : nullptr) {
    out.serial = hex;
    OPENSSL_free(hex);
  }
  return out;
}

}  // namespace

std::vector<EndingCertificate> ending_certificates(const model::Configuration& model, std::int64_t now) {
  std::vector<EndingCertificate> out;
  for (const model::Tenant& tenant : model.tenants()) {
    for (const model::Gateway& gateway : tenant.gateways()) {
      const auto look = [&](const std::string& pem) {
        const auto facts = facts_of(pem);
        if (!facts || facts->ends - now > kCertificateDays * kDay) return;
        out.push_back({tenant.service_code(),
                       (gateway.name() + ": " + facts->serial + " ends " + rfc3339(facts->ends)).substr(0, kSubjectMax), facts->ends});
      };
      for (const std::string& pem : gateway.certificates()) look(pem);
      for (const std::string& pem : gateway.sstp().certificates()) look(pem);
    }
  }
  return out;
}

void SecurityEvents::tell(const InForce& now, std::uint64_t steady_ns) {
  for (const Of& one : fold_.take(steady_ns)) {
    ipc::ToEventLog record = act_record(one.tenant, now);
    ipc::SecurityRecord& body = *record.mutable_security();
    body.set_event(one.code);
    body.set_count(std::min<std::uint64_t>(one.count, std::numeric_limits<std::uint32_t>::max()));
    body.set_first_ns(one.first_ns);
    body.set_last_ns(one.last_ns);
    body.set_subject(one.subject);
    body.set_user(one.user);
    body.set_source_address(std::string(one.source.wire().begin(), one.source.wire().end()));
    add_(std::move(record));
  }
}

void SecurityEvents::look_at_certificates(const InForce& now, std::int64_t unix_seconds) {
  if (now.model == nullptr) return;
  std::map<std::string, std::int64_t> told;
  for (const EndingCertificate& one : ending_certificates(*now.model, unix_seconds)) {
    const std::string key = one.tenant + ' ' + one.subject;
    const auto before = told_.find(key);
    const bool ended_since = before != told_.end() && before->second < one.ends && one.ends <= unix_seconds;
    const bool again = before == told_.end() || unix_seconds - before->second >= kDay || ended_since;
    told[key] = again ? unix_seconds : before->second;
    const auto ns = static_cast<std::uint64_t>(unix_seconds) * kSecondNs;
    if (again) note({one.tenant, "CAP_CERT_EXPIRY", one.subject, {}, {}, 1, ns, ns});
  }
  told_ = std::move(told);
}

}  // namespace sekisho::control
