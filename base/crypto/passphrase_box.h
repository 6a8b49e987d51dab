// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sekisho {

/// What kind of sealed file it is: eight characters.
using BoxKind = std::string_view;

/// Seals bytes under a passphrase: KIND, version, salt, nonce, AES-256-GCM of the text with all of that authenticated; the
/// key is scrypt's (N 2^17, r 8, p 1: 128 MiB). kUnavailable: not enough memory.
Result<std::string> seal_with_passphrase(BoxKind kind, std::string_view passphrase, std::string_view text);

/// kMalformed: no such file, or torn; kUnsupported, with its version: of another format; kDenied: another passphrase, or
/// somebody changed it.
Result<std::string> open_with_passphrase(BoxKind kind, std::string_view passphrase, std::string_view sealed);

}  // namespace sekisho
