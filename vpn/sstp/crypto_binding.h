// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "vpn/sstp/message.h"

namespace sekisho::vpn::sstp {

/// What the server knows of one connection, against which its client's Crypto Binding is held ([MS-SSTP] 3.2.5.2).
struct BindingFacts {
  std::array<std::uint8_t, kNonceBytes> nonce{};        ///< of the CONNECT_ACK of this connection
  std::uint8_t hashes = 0;                              ///< bits of Hash that were offered in it
  std::array<std::uint8_t, 20> certificate_sha1{};      ///< of the certificate that was sent on this connection, DER
  std::array<std::uint8_t, 32> certificate_sha256{};
  std::array<std::uint8_t, 32> key{};                   ///< HLAK; wiped by its owner
};

/// In the order in which they are looked at.
enum class BindingFault : std::uint8_t {
  kNone,
  kNonce,        ///< of another connection
  kHash,         ///< not one we offered; with both offered, SHA-256 it must be
  kCertificate,  ///< the client saw another certificate: somebody stands between
  kMac,          ///< the client does not have the keys of the login
};
std::string_view sentence_of(BindingFault fault);

/// Judges a CONNECTED packet, 112 bytes with its header. Compares in constant time.
BindingFault check_binding(ByteSpan packet, const Binding& binding, const BindingFacts& facts);

/// The Compound MAC of a CONNECTED packet with `hash`: 20 or 32 bytes and zeros. What stands in its own field does not count.
std::array<std::uint8_t, 32> compound_mac(ByteSpan packet, Hash hash, std::span<const std::uint8_t, 32> key);

/// The length of a CONNECTED packet.
inline constexpr std::size_t kConnectedBytes = 112;

}  // namespace sekisho::vpn::sstp
