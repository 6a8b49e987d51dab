// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/proto/control_log.pb.h"
#include "mgmt/cli/commands.h"

namespace sekisho::mgmt {

struct LogSearchRequest {
  std::string tenant;  ///< service code or name
  std::vector<std::string> types, where;
  std::string from, to;  ///< RFC 3339 at +09:00, or a day
  std::uint32_t limit = 100;
  std::string cursor;
  bool all = false;  ///< every page
};
struct LogDownloadRequest {
  std::string tenant;
  std::vector<std::string> types, where;
  std::string window = "month";  ///< month thirty-days days
  std::string first_day, last_day;
  std::string format = "csv";
  bool gzip = false, byte_order_mark = false;
  std::string file;  ///< beside it FILE.manifest, and FILE.part while it is under way
};
struct LogEraseRequest {
  std::string tenant;
  std::vector<std::string> types;
  std::string what = "schedule", contract = "firewall", end, reason;
};
struct LogVerifyRequest {
  std::string folder, public_key;  ///< without the daemon
  std::string tenant;              ///< or through it
  std::vector<std::string> types;
};

/// "dst_port=22", "user!=a,b", "address=10.0.0.0/8", "bytes_fwd=1000..", "rule_name^=web", "text~squid", "nat_src_ip":
/// a field and what it is to be. Empty: none of these.
std::optional<ipc::LogCondition> parse_condition(const std::string& text);

ExitStatus search_log(Session& session, const LogSearchRequest& request);
/// Who came in by what the profile legacy alone allows, and when he last did: a line for each user, use and gateway, by the records kept.
ExitStatus report_legacy(Session& session, const std::string& tenant);
/// Goes on where a download before it broke off.
ExitStatus download_log(Session& session, const LogDownloadRequest& request);
ExitStatus verify_log(Session& session, const LogVerifyRequest& request);
ExitStatus erase_log(Session& session, const LogEraseRequest& request);
ExitStatus show_log_status(Session& session, const std::string& tenant);
/// Collectors of records, a tenant's or everybody's: who is up, how far behind each is.
ExitStatus show_log_exports(Session& session, const std::string& tenant);

}  // namespace sekisho::mgmt
