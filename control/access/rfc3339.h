// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sekisho::control {

/// Unix seconds as "2026-11-27T04:00:00Z".
std::string rfc3339(std::int64_t unix_seconds);
/// The other way round, with any offset; fractions of a second are dropped. Years 1970 to 9999.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace sekisho::control
