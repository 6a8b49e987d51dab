// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/wire/reader.h"

/// MS-CHAP version 2 (RFC 2759) and the keys it leaves (RFC 3079), for CHAP and EAP alike.
namespace sekisho::vpn::weak {

using NtHash = std::array<std::uint8_t, 16>;
using Key128 = std::array<std::uint8_t, 16>;

/// RFC 2759 8.3, of a password in UTF-8. What is no UTF-8 counts as U+FFFD.
NtHash nt_hash_of(std::string_view password);

/// The name a password belongs to: without "DOMAIN\".
std::string_view bare_name(std::string_view user);

/// What both ends know once the peer has proven that it knows the password.
struct Proof {
  std::string authenticator;  ///< "S=" and 40 capital hex digits: proves to the peer that we know it too
  Key128 receive{};           ///< MasterReceiveKey of the server (RFC 3079 3.3)
  Key128 send{};
};

/// Nothing: the response is wrong. Constant time but for that. Borrowed: challenges of 16 bytes, a response of 24.
std::optional<Proof> verify(const NtHash& hash, ByteSpan challenge, ByteSpan peer_challenge, ByteSpan nt_response, std::string_view user);

/// RFC 2759 8.1, a peer's side, which tests and probes need: 24 bytes.
std::array<std::uint8_t, 24> nt_response(const NtHash& hash, ByteSpan challenge, ByteSpan peer_challenge, std::string_view user);

/// RFC 3079 3.1 and 3.2: the key that follows `session`; the first one follows `start` itself and is not encrypted.
Key128 first_session_key(const Key128& start);
Key128 next_session_key(const Key128& start, const Key128& session);

}  // namespace sekisho::vpn::weak
