// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace sekisho::control {

/// 32 bytes of 64 hexadecimal digits, colons between the bytes or not; nothing when it is none.
std::optional<std::string> read_fingerprint(const std::string& text);
/// The other way round, without colons.
std::string write_fingerprint(const std::string& bytes);

}  // namespace sekisho::control
