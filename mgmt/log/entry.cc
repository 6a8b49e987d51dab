// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/entry.h"

#include <algorithm>

namespace sekisho::mgmt {

LogEntry make_entry(LogKind type) {
  LogEntry entry;
  entry.type = type;
  switch (type) {
    case LogKind::kComm:
      entry.body = CommFields{};
      break;
    case LogKind::kSec:
      entry.body = SecFields{};
      break;
    case LogKind::kLoss:
      entry.body = LossFields{};
      break;
    case LogKind::kVpn:
      entry.body = VpnFields{};
      break;
    case LogKind::kAcl:
      entry.body = AclFields{};
      break;
    case LogKind::kDevauth:
      entry.body = DevauthFields{};
      break;
    case LogKind::kAudit:
      entry.body = AuditFields{};
      break;
  }
  return entry;
}

bool is_service_code(std::string_view text) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() == 11 && std::all_of(text.begin(), text.begin() + 3, letter) &&
         std::all_of(text.begin() + 3, text.end(), digit);
}

}  // namespace sekisho::mgmt
