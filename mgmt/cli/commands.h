// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mgmt/cli/app.h"
#include "mgmt/cli/control_client.h"
#include "mgmt/cli/text_table.h"

namespace sekisho::mgmt {

/// How to speak and to whom, for every command.
struct Session {
  std::string run_dir;
  bool json = false;
  Colour colour = Colour::kNo;
  std::ostream& out;
  std::ostream& err;
};

struct CommitRequest {
  std::string file;  ///< "-" = standard input
  std::string comment;
  std::uint32_t confirm_seconds = 0;
  std::uint32_t base_revision = 0;
};
struct RollbackRequest {
  std::uint32_t revision = 0;
  std::string comment;
  std::uint32_t confirm_seconds = 0;
};
struct LogRequest {
  std::string tenant;  ///< service code or name
  std::vector<std::string> types;
  std::string format = "json";
  std::uint32_t last = 0;
  bool follow = false;
  bool byte_order_mark = false;
  std::string file;  ///< export: empty = standard output
};
struct VpnChange {
  ipc::ChangeVpn::What what = ipc::ChangeVpn::DISCONNECT;
  std::string tenant;  ///< service code or name; empty: the only one with remote access
  std::string user;    ///< or, to disconnect, a session's number
};
struct ProfileRequest {
  std::string tenant;   ///< service code or name
  std::string gateway;  ///< empty: the only one
  std::string user, client;
  std::string file;     ///< empty = standard output
};

// Each asks controld once (config diff REV and a tenant given by name: twice) and prints the answer.
ExitStatus check_config(Session& session, const std::string& file);
ExitStatus diff_config(Session& session, const std::string& file_or_revision, std::uint32_t against);
ExitStatus commit_config(Session& session, const CommitRequest& request);
ExitStatus confirm_config(Session& session);
ExitStatus rollback_config(Session& session, const RollbackRequest& request);
ExitStatus list_revisions(Session& session, std::uint32_t limit);
/// `secrets`: as they are, not masked.
ExitStatus show_config(Session& session, std::uint32_t revision, bool secrets);
ExitStatus release_binding(Session& session, const std::string& tenant, const std::string& binding);
ExitStatus write_vpn_profile(Session& session, const ProfileRequest& request);
ExitStatus change_vpn(Session& session, const VpnChange& change);
/// `unused_days`: rules not hit for so many days, 0 = all.
ExitStatus show_table(Session& session, ipc::Show::What what, const std::string& tenant, std::uint32_t limit, std::uint32_t unused_days);
/// What a tenant's records are kept under: its service code, asked by its name.
std::variant<std::string, ControlError> service_code_of(Session& session, const std::string& tenant);
ExitStatus read_log(Session& session, const LogRequest& request);

}  // namespace sekisho::mgmt
