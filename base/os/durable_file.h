// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

namespace sekisho {

/// New content under the old name, or the old content: never a mixture, not even after power loss. False, with errno:
/// the old content stands.
[[nodiscard]] bool replace_durably(const std::string& path, std::span<const std::uint8_t> bytes, mode_t mode);

}  // namespace sekisho
