// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "mgmt/log/names.h"
#include "mgmt/log/record.h"
#include "mgmt/log/remote_users.h"

namespace sekisho::mgmt {

/// The access control record of a remote user's flow: made beside the comm record `comm` of a packet or session that came in by
/// a tunnel port, and told apart by who it was. Writes user and vpn_sid into `comm` as well. Empty for all other records.
std::optional<LogEntry> access_record(const RingRecord& record, LogEntry& comm, const NameCache& cache, RemoteUsers& users);

}  // namespace sekisho::mgmt
