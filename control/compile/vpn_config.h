// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/proto/control_vpn.pb.h"
#include "base/proto/model.pb.h"
#include "control/compile/ids.h"

namespace sekisho::control {

/// What the keying daemon needs of a valid model: tenants with a gateway, with all their users, groups and pools. Holds
/// secrets: wipe_secrets() it when it has been handed over.
ipc::VpnConfig make_vpn_config(const model::Configuration& model, Ids& ids, std::uint32_t generation);

/// Overwrites the private keys, hashes and pre-shared keys of a message, then clears it.
void wipe_secrets(ipc::VpnConfig& config);
/// Leaves what the daemon of PPTP needs: of tenants that have it the hashes of passwords, and no other secret of anybody.
void narrow_to_pptp(ipc::VpnConfig& config);

/// Overwrites a text, then clears it.
void wipe(std::string& text);

}  // namespace sekisho::control
