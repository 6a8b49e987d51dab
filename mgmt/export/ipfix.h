// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mgmt/log/entry.h"

namespace sekisho::mgmt {

/// Comm records as IPFIX messages (RFC 7011), one observation domain a tenant, both directions of a flow in one record (RFC 5103).
///
/// What is counted in: an ended flow; a refused one has its packets, and no octets when several were folded into one record. A start or an
/// update says that the flow is there, with nothing counted, so that no octet is counted twice. Numbers of the private enterprise are the
/// documentation's: 1 seq, 2 svc, 3 eid, 4 rule_id.
/// One object a transport session: templates and sequence numbers belong to it.
class IpfixWriter {
 public:
  /// `message_bytes_max`: 1400 fits a datagram, a stream takes up to 65535.
  explicit IpfixWriter(std::size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  /// False: no comm record, or one without addresses; nothing was added.
  bool add(const LogEntry& entry);
  /// Whole messages with everything added, templates before what needs them; starts again. `now` in seconds since 1970.
  std::vector<std::string> take(std::uint32_t now);
  /// Templates stand in the next messages again: over UDP they may have been lost.
  void send_templates_again();

 private:
  struct Domain {
    std::uint32_t sequence = 0;  ///< data records sent before, modulo 2^32
    bool announced = false;
    std::vector<std::pair<std::uint16_t, std::string>> records;  ///< template, record
  };
  std::size_t message_bytes_max_;
  std::map<std::string, Domain> domains_;  ///< by service code
};

/// The observation domain of a tenant: FNV-1a of its service code, never 0.
std::uint32_t ipfix_domain(std::string_view service_code);

}  // namespace sekisho::mgmt
