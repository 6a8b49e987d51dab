// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vpn/plan.h"
#include "vpn/session.h"

/// The profile legacy is an exception with an end (specification, D1): from then on it lets in whom windows-default lets in. Pure.
namespace sekisho::vpn {

/// What lets a session in by the profile legacy alone: "PPTP", "psk", "3DES_CBC", of IKEv1 "MODP_1024", comma separated; empty: nothing.
std::string legacy_use(const Session& session);
/// Whether a gateway's exception is over at `now` (seconds since 1970 UTC). Of another profile: no.
bool legacy_ended(const GatewayPlan& plan, std::int64_t now);
/// The gateway as it is at `now`: of the profile legacy until its exception ends, from then on of windows-default and without shared
/// secrets by IKEv2.
Gateway in_force(const GatewayPlan& plan, std::int64_t now);
/// Whether some exception of the plan ends, or comes back since somebody set the clock, between these times.
bool legacy_changes(const Plan& plan, std::int64_t from, std::int64_t to);
/// Why a session ends, or an attempt has failed, since an exception is over; lives as long as the process.
inline constexpr std::string_view kLegacyEnded = "the gateway's exception for legacy algorithms has ended";
/// What a failed attempt's record adds to its cause: kLegacyEnded where that may be why; else nothing.
std::string_view legacy_remark(const GatewayPlan* plan, Stage stage, Cause cause, std::int64_t now);

}  // namespace sekisho::vpn
