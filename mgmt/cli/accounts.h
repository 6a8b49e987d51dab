// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mgmt/cli/commands.h"

namespace sekisho::mgmt {

/// Accounts of the management API, from the machine itself: the first one, and the way back in when nobody else can.
struct AccountRequest {
  ipc::LocalAccount::What what = ipc::LocalAccount::LIST;
  std::string id;    ///< "yamada@mfw00001234", or "ops" for the provider's
  std::string role;  ///< of a new one
};
ExitStatus manage_accounts(Session& session, const AccountRequest& request);

}  // namespace sekisho::mgmt
