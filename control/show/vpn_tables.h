// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/proto/control_vpn.pb.h"
#include "control/show/tables.h"

/// Who may come in, and who is in. Pure.
namespace sekisho::control {

/// One line a user: those the configuration names, and those it does not who are in or shut out. `answer` may be empty.
ipc::Table show_users(const ShowContext& context, const ipc::VpnAnswer& answer);
/// One line a session, oldest first.
ipc::Table show_vpn_sessions(const ShowContext& context, const ipc::VpnAnswer& answer);

}  // namespace sekisho::control
