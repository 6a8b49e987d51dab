// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "base/incident_fold.h"
#include "vpn/session.h"

namespace sekisho::ipc {
class SecurityRecord;
}

namespace sekisho::vpn {

using Incident = sekisho::Incident<std::uint32_t>;
using Incidents = IncidentFold<std::uint32_t>;

/// What the end of an attempt, or that it came in, is besides: nothing of most.
std::optional<Incident> incident_of(const SessionEvent& event, std::uint64_t at_ns);

/// What logd is told of it.
void fill(ipc::SecurityRecord& out, const Incident& one);

}  // namespace sekisho::vpn
