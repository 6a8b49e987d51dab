// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "base/proto/control_log.pb.h"
#include "mgmt/log/vault/manifest.h"

namespace sekisho::mgmt {

/// What verification needs to know besides the files.
struct VerifyWith {
  SigningPublic signer{};
  const TenantKeys* keys = nullptr;               ///< null: chain and signatures alone, which need no secret
  std::map<std::string, std::uint64_t> limits{};  ///< file name: so far it is written; others to their end
};

/// Looks at every byte of a stream's folder. Adds to `out` what it found; names block and time of each fault. Any
/// thread. What cannot be seen: blocks taken off the end that no manifest speaks of yet.
void verify_stream(const std::string& folder, const StreamName& stream, const VerifyWith& with, ipc::LogVerified& out);

/// A log folder without its daemon: all tenants and streams in it. `public_key`: a file; empty: the folder's own, which
/// whoever changed the records may have changed too.
ipc::LogVerified verify_folder(const std::string& root, const std::string& public_key);

}  // namespace sekisho::mgmt
