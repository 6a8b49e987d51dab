// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/proto/vpn_log.pb.h"
#include "vpn/session.h"

namespace sekisho::vpn {

/// The log's word for a protocol.
ipc::VpnRecord::Protocol record_protocol(Protocol protocol);

/// The devauth record of an attempt that has ended in `event` (up, auth_fail or denied): what was shown of the device and what was said
/// of it; skipped, when nobody asked or the attempt ended before anybody could.
void fill_device(ipc::DeviceRecord& out, const Session& session, std::uint64_t vpn_sid);

}  // namespace sekisho::vpn
