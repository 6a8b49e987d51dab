// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string_view>

namespace sekisho {

/// Whose records are the provider's own: no tenant has this service code.
inline constexpr std::string_view kProviderStream = "prv00000000";

}  // namespace sekisho
