// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sekisho::vpn {

/// Only a profile names algorithms (specification, D2).
enum class CryptoProfileId : std::uint8_t {
  kCertified = 1,       ///< NDcPP and its VPN module: AES-256-GCM, P-384
  kModern = 2,          ///< new tenants: AES with GCM or SHA-2, groups 19-21, 31, 14-16
  kWindowsDefault = 3,  ///< what native clients offer unconfigured: also SHA-1 and group 2, each use flagged
  kLegacy = 4,          ///< also 3DES and pre-shared keys; per tenant, with an owner and an end
};

/// Proposals in strongSwan's words, most wanted first. Within one, each kind of algorithm is listed most wanted first; what we
/// list first of what the peer offers is taken, so a peer that offers strong and weak gets the strong.
struct CryptoProfile {
  CryptoProfileId id;
  std::string_view name;
  std::span<const char* const> ike;  ///< ends in a null pointer that the span does not count
  std::span<const char* const> esp;
  bool psk;  ///< gateway and peer may know each other by a shared secret alone, by IKEv2
  std::span<const char* const> ike_v1{};  ///< of IKEv1, for L2TP; empty: not by this profile
  std::span<const char* const> esp_v1{};
};

const CryptoProfile& crypto_profile(CryptoProfileId id);
std::optional<CryptoProfileId> crypto_profile_named(std::string_view name);

/// The parts of a negotiated suite ("AES_CBC_256/HMAC_SHA1_96/...") that only `windows-default` and `legacy` accept, comma
/// separated; empty when there are none. They are shown and logged with the session.
std::string weak_parts(std::string_view suite);

}  // namespace sekisho::vpn
