// SPDX-License-Identifier: Apache-2.0
#include "vpn/crypto_profile.h"

#include <array>

#include "base/assert.h"

namespace sekisho::vpn {
namespace {

// Groups by what they cost a gateway, cheap ones first (P-384 costs fifteen times P-256, modp4096 fifty times): a client that guessed
// another one is told by INVALID_KE_PAYLOAD. P-256 before X25519: their costs are alike, and more clients guess it.
#define SEKISHO_GROUPS "ecp256-x25519-ecp384-ecp521-modp2048-modp3072-modp4096"
#define SEKISHO_ALL_GROUPS SEKISHO_GROUPS "-modp1024"
#define SEKISHO_PRFS "prfsha384-prfsha512-prfsha256"
// "modpnone": a client that rekeys without a fresh key exchange is accepted, one that asks for it gets it.
#define SEKISHO_ESP_END SEKISHO_GROUPS "-modpnone-esn-noesn"
#define SEKISHO_ESP_END_ALL SEKISHO_ALL_GROUPS "-modpnone-esn-noesn"

// A proposal of ours meets the first that fits of the client's, and Windows sends each combination as one of its own, weak ones first:
// so every step of strength is a proposal here.
#define SEKISHO_MODERN_IKE \
  "aes256gcm16-" SEKISHO_PRFS "-" SEKISHO_GROUPS, "aes192gcm16-" SEKISHO_PRFS "-" SEKISHO_GROUPS, \
  "aes128gcm16-" SEKISHO_PRFS "-" SEKISHO_GROUPS, "aes256-sha384-sha512-sha256-" SEKISHO_PRFS "-" SEKISHO_GROUPS, \
  "aes192-sha384-sha512-sha256-" SEKISHO_PRFS "-" SEKISHO_GROUPS, "aes128-sha384-sha512-sha256-" SEKISHO_PRFS "-" SEKISHO_GROUPS
#define SEKISHO_MODERN_ESP \
  "aes256gcm16-" SEKISHO_ESP_END, "aes192gcm16-" SEKISHO_ESP_END, "aes128gcm16-" SEKISHO_ESP_END, \
  "aes256-sha384-sha256-sha512-" SEKISHO_ESP_END, "aes192-sha384-sha256-sha512-" SEKISHO_ESP_END, \
  "aes128-sha384-sha256-sha512-" SEKISHO_ESP_END
#define SEKISHO_WINDOWS_IKE \
  "aes256gcm16-prfsha384-" SEKISHO_ALL_GROUPS, "aes256gcm16-prfsha256-" SEKISHO_ALL_GROUPS, "aes128gcm16-prfsha384-" SEKISHO_ALL_GROUPS, \
  "aes128gcm16-prfsha256-" SEKISHO_ALL_GROUPS, "aes256-sha384-prfsha384-" SEKISHO_ALL_GROUPS, \
  "aes256-sha256-prfsha256-" SEKISHO_ALL_GROUPS, \
  "aes192-sha384-sha256-prfsha384-prfsha256-" SEKISHO_ALL_GROUPS, "aes128-sha384-sha256-prfsha384-prfsha256-" SEKISHO_ALL_GROUPS, \
  "aes256-sha1-prfsha1-" SEKISHO_ALL_GROUPS, "aes192-aes128-sha1-prfsha1-" SEKISHO_ALL_GROUPS
#define SEKISHO_WINDOWS_ESP \
  "aes256-sha256-" SEKISHO_ESP_END_ALL, "aes192-aes128-sha256-" SEKISHO_ESP_END_ALL, "aes256-sha1-" SEKISHO_ESP_END_ALL, \
  "aes192-sha1-" SEKISHO_ESP_END_ALL, "aes128-sha1-" SEKISHO_ESP_END_ALL
#define SEKISHO_LEGACY_IKE "3des-sha256-prfsha256-modp2048-modp1024", "3des-sha1-prfsha1-modp2048-modp1024"
#define SEKISHO_LEGACY_ESP "3des-sha256-sha1-modp2048-modp1024-modpnone-noesn"

// IKEv1 (L2TP): no AEAD, no X25519, and each group a proposal's own, ours first. Windows 10 knows SHA-1 alone, with P-384, P-256 and
// modp2048; 3DES and modp1024, which it offers as well, are legacy.
#define SEKISHO_V1_GROUPS(suite) suite "-ecp256", suite "-ecp384", suite "-modp2048", suite "-modp3072", suite "-modp4096"
#define SEKISHO_MODERN_IKE_V1 \
  SEKISHO_V1_GROUPS("aes256-sha384"), SEKISHO_V1_GROUPS("aes256-sha256"), SEKISHO_V1_GROUPS("aes256-sha512"), \
  SEKISHO_V1_GROUPS("aes128-sha256")
#define SEKISHO_WINDOWS_IKE_V1 SEKISHO_V1_GROUPS("aes256-sha1"), SEKISHO_V1_GROUPS("aes128-sha1")
#define SEKISHO_LEGACY_IKE_V1 "aes256-sha1-modp1024", "aes128-sha1-modp1024", "3des-sha1-modp2048", "3des-sha1-modp1024"
#define SEKISHO_MODERN_ESP_V1 "aes256gcm16", "aes128gcm16", "aes256-sha256", "aes128-sha256"
#define SEKISHO_WINDOWS_ESP_V1 "aes256-sha1", "aes128-sha1"

constexpr auto kModernIkeV1 = std::to_array<const char*>({SEKISHO_MODERN_IKE_V1, nullptr});
constexpr auto kModernEspV1 = std::to_array<const char*>({SEKISHO_MODERN_ESP_V1, nullptr});
constexpr auto kWindowsIkeV1 = std::to_array<const char*>({SEKISHO_MODERN_IKE_V1, SEKISHO_WINDOWS_IKE_V1, nullptr});
constexpr auto kWindowsEspV1 = std::to_array<const char*>({SEKISHO_MODERN_ESP_V1, SEKISHO_WINDOWS_ESP_V1, nullptr});
constexpr auto kLegacyIkeV1 =
    std::to_array<const char*>({SEKISHO_MODERN_IKE_V1, SEKISHO_WINDOWS_IKE_V1, SEKISHO_LEGACY_IKE_V1, nullptr});
constexpr auto kLegacyEspV1 =
    std::to_array<const char*>({SEKISHO_MODERN_ESP_V1, SEKISHO_WINDOWS_ESP_V1, "3des-sha1", nullptr});

constexpr std::array<const char*, 2> kCertifiedIke{"aes256gcm16-prfsha384-ecp384", nullptr};
constexpr std::array<const char*, 2> kCertifiedEsp{"aes256gcm16-ecp384-esn-noesn", nullptr};
constexpr auto kModernIke = std::to_array<const char*>({SEKISHO_MODERN_IKE, nullptr});
constexpr auto kModernEsp = std::to_array<const char*>({SEKISHO_MODERN_ESP, nullptr});
constexpr auto kWindowsDefaultIke = std::to_array<const char*>({SEKISHO_MODERN_IKE, SEKISHO_WINDOWS_IKE, nullptr});
constexpr auto kWindowsDefaultEsp = std::to_array<const char*>({SEKISHO_MODERN_ESP, SEKISHO_WINDOWS_ESP, nullptr});
constexpr auto kLegacyIke = std::to_array<const char*>({SEKISHO_MODERN_IKE, SEKISHO_WINDOWS_IKE, SEKISHO_LEGACY_IKE, nullptr});
constexpr auto kLegacyEsp = std::to_array<const char*>({SEKISHO_MODERN_ESP, SEKISHO_WINDOWS_ESP, SEKISHO_LEGACY_ESP, nullptr});

template <std::size_t kSize>
constexpr std::span<const char* const> counted(const std::array<const char*, kSize>& list) {
  return {list.data(), kSize - 1};
}

constexpr std::array kProfiles{
    CryptoProfile{CryptoProfileId::kCertified, "certified", counted(kCertifiedIke), counted(kCertifiedEsp), false, {}, {}},
    CryptoProfile{CryptoProfileId::kModern, "modern", counted(kModernIke), counted(kModernEsp), false,
                  counted(kModernIkeV1), counted(kModernEspV1)},
    CryptoProfile{CryptoProfileId::kWindowsDefault, "windows-default", counted(kWindowsDefaultIke), counted(kWindowsDefaultEsp), false,
                  counted(kWindowsIkeV1), counted(kWindowsEspV1)},
    CryptoProfile{CryptoProfileId::kLegacy, "legacy", counted(kLegacyIke), counted(kLegacyEsp), true,
                  counted(kLegacyIkeV1), counted(kLegacyEspV1)},
};

constexpr std::array<std::string_view, 6> kWeak{"MPPE_128", "3DES_CBC", "HMAC_SHA1_96", "PRF_HMAC_SHA1", "MODP_1024", "MODP_1536"};

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
