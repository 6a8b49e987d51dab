// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/proto/access.pb.h"

/// Messages as they leave the unit. Pure.
namespace sekisho::control {

/// What a message says beside what the delivery holds.
struct Sender {
  std::string node;
  std::string tenant_name;  ///< empty: the unit's own message
  std::string mail;         ///< the sender's address
};

/// RFC 5322: plain text, Japanese, then English; names of objects only where the delivery holds them. Its receivers are
/// not named in it.
std::string mail_text(const access::StoredDelivery& delivery, const Sender& sender);
/// JSON on one line.
std::string webhook_body(const access::StoredDelivery& delivery, const Sender& sender);
/// "t=UNIX,v1=HEX": HMAC-SHA-256 over "UNIX.BODY", so that an old call cannot be sent again as a new one.
std::string webhook_signature(std::string_view body, std::string_view key, std::int64_t now);

}  // namespace sekisho::control
