// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sekisho {

/// Seals bytes for whoever has the key of one of these certificates (PEM, one or more: EC of 256 bits and more, RSA of 3072
/// and more): CMS AuthEnvelopedData in DER, AES-256-GCM (RFC 5083, 5084), keys by ECDH with SHA-256 or RSA-OAEP; `openssl cms
/// -decrypt` opens it. Who seals cannot open it again. It says nothing of who made it. kMalformed: no certificates;
/// kUnsupported: another kind of key, or a short one.
Result<std::string> seal_for_recipients(std::string_view certificates, std::string_view text);

/// The same with a recipient's private key (PEM). kMalformed: no key, or no sealed bytes; kDenied: sealed for others, or
/// somebody changed it.
Result<std::string> open_as_recipient(std::string_view key, std::string_view sealed);

}  // namespace sekisho
