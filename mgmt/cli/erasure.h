// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mgmt/cli/commands.h"

namespace sekisho::mgmt {

struct ErasureRequest {
  ipc::LocalErasure::What what = ipc::LocalErasure::LIST;
  std::string tenant;  ///< service code or name; of a list empty: all
  std::string scope = "contract", contract = "firewall";
  std::string end, reason;
};
struct ReportRequest {
  std::string file;
  std::string key;      ///< the unit's public key, unit.pub
  std::string log_key;  ///< the log's public key, sign.pub; empty: the part of the log is not judged
};
struct BackupRequest {
  std::string file;
  std::string passphrase_file;  ///< its first line
  std::string recipients_file;  ///< certificates; empty: it is sealed by the passphrase
  std::string key_file;         ///< of one of them
  std::string into;
  std::string comment;
};
struct WipeRequest {
  std::string state_dir = "/var/lib/sekisho";
  std::string file;  ///< where the report goes
  bool confirmed = false;
};

/// Ends of contracts: asks controld and prints.
ExitStatus manage_erasures(Session& session, const ErasureRequest& request);
/// Prints the unit's public key, with which its reports are verified, into a file.
ExitStatus write_unit_key(Session& session, const std::string& file);
/// A report of an erasure or a wipe against a key that was kept: without any daemon.
ExitStatus verify_report(Session& session, const ReportRequest& request);
/// A backup of the unit into a file, sealed by a passphrase or for recipients; and back, with the passphrase.
ExitStatus make_backup(Session& session, const BackupRequest& request);
ExitStatus restore_backup(Session& session, const BackupRequest& request);
/// Opens one that was sealed for recipients and seals it by a passphrase: where the key is, without any daemon.
ExitStatus reseal_backup(Session& session, const BackupRequest& request);
/// Destroys all keys, then all data below a state folder, and says so in a signed report. No daemon may run.
ExitStatus factory_wipe(Session& session, const WipeRequest& request);

}  // namespace sekisho::mgmt
