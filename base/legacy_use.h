// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string_view>

namespace sekisho {

/// In the record of a session that came in, before what the profile legacy alone allowed it (specification, D1): who still needs the
/// profile is found by it.
inline constexpr std::string_view kLegacyUse = "let in by the profile legacy alone: ";
/// The code of the security event of each such use.
inline constexpr std::string_view kLegacyUsed = "VPN_LEGACY_USED";

}  // namespace sekisho
