// SPDX-License-Identifier: Apache-2.0
#include "vpn/crypto_profile.h"

#include <array>

#include "base/assert.h"

namespace sekisho::vpn {
namespace {

// Groups by what they cost at equal strength: elliptic curves first.
#define SEKISHO_MODERN_GROUPS "ecp384-ecp256-ecp521-x25519-modp3072-modp4096-modp2048"

// "modpnone": a client that rekeys without a fresh key exchange is accepted, one that asks for it gets it.
constexpr const char* kModernIkeGcm = "aes256gcm16-aes192gcm16-aes128gcm16-prfsha384-prfsha256-prfsha512-" SEKISHO_MODERN_GROUPS;
constexpr const char* kModernIkeCbc =
    "aes256-aes192-aes128-sha384-sha256-sha512-prfsha384-prfsha256-prfsha512-" SEKISHO_MODERN_GROUPS;
constexpr const char* kModernEspGcm = "aes256gcm16-aes192gcm16-aes128gcm16-" SEKISHO_MODERN_GROUPS "-modpnone-esn-noesn";
constexpr const char* kModernEspCbc = "aes256-aes192-aes128-sha384-sha256-sha512-" SEKISHO_MODERN_GROUPS "-modpnone-esn-noesn";
constexpr const char* kWindowsIke =
    "aes256-aes192-aes128-sha384-sha256-sha1-prfsha384-prfsha256-prfsha1-" SEKISHO_MODERN_GROUPS "-modp1024";
constexpr const char* kWindowsEsp = "aes256-aes192-aes128-sha256-sha1-" SEKISHO_MODERN_GROUPS "-modp1024-modpnone-esn-noesn";
constexpr const char* kLegacyIke = "3des-sha256-sha1-prfsha256-prfsha1-modp2048-modp1024";
constexpr const char* kLegacyEsp = "3des-sha256-sha1-modp2048-modp1024-modpnone-noesn";

constexpr std::array kCertifiedIke{"aes256gcm16-prfsha384-ecp384", static_cast<const char*>(nullptr)};
constexpr std::array kCertifiedEsp{"aes256gcm16-ecp384-esn-noesn", static_cast<const char*>(nullptr)};
constexpr std::array<const char*, 3> kModernIke{kModernIkeGcm, kModernIkeCbc, nullptr};
constexpr std::array<const char*, 3> kModernEsp{kModernEspGcm, kModernEspCbc, nullptr};
constexpr std::array<const char*, 4> kWindowsDefaultIke{kModernIkeGcm, kModernIkeCbc, kWindowsIke, nullptr};
constexpr std::array<const char*, 4> kWindowsDefaultEsp{kModernEspGcm, kModernEspCbc, kWindowsEsp, nullptr};
constexpr std::array<const char*, 5> kLegacyIkeAll{kModernIkeGcm, kModernIkeCbc, kWindowsIke, kLegacyIke, nullptr};
constexpr std::array<const char*, 5> kLegacyEspAll{kModernEspGcm, kModernEspCbc, kWindowsEsp, kLegacyEsp, nullptr};

template <std::size_t kSize>
constexpr std::span<const char* const> counted(const std::array<const char*, kSize>& list) {
  return {list.data(), kSize - 1};
}

constexpr std::array kProfiles{
    CryptoProfile{CryptoProfileId::kCertified, "certified", counted(kCertifiedIke), counted(kCertifiedEsp), false},
    CryptoProfile{CryptoProfileId::kModern, "modern", counted(kModernIke), counted(kModernEsp), false},
    CryptoProfile{CryptoProfileId::kWindowsDefault, "windows-default", counted(kWindowsDefaultIke), counted(kWindowsDefaultEsp), false},
    CryptoProfile{CryptoProfileId::kLegacy, "legacy", counted(kLegacyIkeAll), counted(kLegacyEspAll), true},
};

constexpr std::array<std::string_view, 5> kWeak{"3DES_CBC", "HMAC_SHA1_96", "PRF_HMAC_SHA1", "MODP_1024", "MODP_1536"};

}  // namespace

const CryptoProfile& crypto_profile(CryptoProfileId id) {
  for (const CryptoProfile& profile : kProfiles) {
    if (profile.id == id) return profile;
  }
  SEKISHO_ASSERT(false);
  return kProfiles[0];
}

std::optional<CryptoProfileId> crypto_profile_named(std::string_view name) {
  for (const CryptoProfile& profile : kProfiles) {
    if (profile.name == name) return profile.id;
  }
  return std::nullopt;
}

std::string weak_parts(std::string_view suite) {
  std::string found;
  while (!suite.empty()) {
    const std::size_t end = suite.find('/');
    const std::string_view part = suite.substr(0, end);
    for (const std::string_view weak : kWeak) {
      if (part == weak) found.append(found.empty() ? "" : ",").append(part);
    }
    suite = end == std::string_view::npos ? std::string_view{} : suite.substr(end + 1);
  }
  return found;
}

}  // namespace sekisho::vpn
