// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/incident_fold.h"
#include "base/proto/model.pb.h"
#include "base/proto/vpn_log.pb.h"
#include "control/api/call.h"

namespace sekisho::control {

/// A certificate of a gateway that ends within kCertificateDays.
struct EndingCertificate {
  std::string tenant;   ///< service code
  std::string subject;  ///< "GATEWAY: SERIAL ends DATE"
  std::int64_t ends = 0;  ///< Unix seconds
};
inline constexpr std::int64_t kCertificateDays = 30;
/// Certificates the gateways show (the first of each text) that end within kCertificateDays of `now`, or have ended.
std::vector<EndingCertificate> ending_certificates(const model::Configuration& model, std::int64_t now);

/// controld's own security events on their way into the logs: folded like a daemon's. One thread.
class SecurityEvents {
 public:
  using Add = std::function<void(ipc::ToEventLog record)>;
  using Of = Incident<std::string>;  ///< whose: the stream, a service code

  explicit SecurityEvents(Add add) : add_(std::move(add)) {}
  void note(Of one) { fold_.note(std::move(one)); }
  /// Hands over what is to be told now; `steady_ns` rises, whoever sets the clock.
  void tell(const InForce& now, std::uint64_t steady_ns);
  /// Once a day each certificate that ends soon, and once more when it is over.
  void look_at_certificates(const InForce& now, std::int64_t unix_seconds);

 private:
  Add add_;
  IncidentFold<std::string> fold_;
  std::map<std::string, std::int64_t> told_;  ///< a certificate's subject, and when it was told
};

}  // namespace sekisho::control
