// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace sekisho::filters {

/// How the payload is hidden. There is no NULL: a tunnel that does not encrypt cannot be written down.
enum class EspCipher : std::uint8_t {
  kAes128Gcm,
  kAes192Gcm,
  kAes256Gcm,  ///< RFC 4106, 16 bytes of ICV
  kAes128Cbc,
  kAes192Cbc,
  kAes256Cbc,     ///< RFC 3602
  kTripleDesCbc,  ///< RFC 2451; for profiles that say legacy
};

/// How the packet is proved genuine. kAead stands with GCM only, the others with CBC only: nothing is without a proof.
enum class EspIntegrity : std::uint8_t {
  kAead,
  kHmacSha1_96,     ///< RFC 2404
  kHmacSha256_128,  ///< RFC 4868
  kHmacSha384_192,
  kHmacSha512_256,
};

struct EspSuite {
  EspCipher cipher = EspCipher::kAes256Gcm;
  EspIntegrity integrity = EspIntegrity::kAead;

  bool operator==(const EspSuite&) const = default;
};

/// Lengths a suite brings, in bytes.
struct EspSizes {
  std::uint8_t cipher_key;     ///< without salt
  std::uint8_t salt;           ///< follows the cipher key in key material; 0 for CBC
  std::uint8_t integrity_key;  ///< 0 for GCM
  std::uint8_t iv;             ///< on the wire, after the sequence number
  std::uint8_t alignment;      ///< the encrypted part is a multiple of this
  std::uint8_t icv;

  bool operator==(const EspSizes&) const = default;
};

/// Sizes of `suite`; kUnsupported for a cipher and an integrity that do not belong together.
[[nodiscard]] Result<EspSizes> sizes_of(EspSuite suite);

inline constexpr std::size_t kEspIvBytesMax = 16;
inline constexpr std::size_t kEspIcvBytesMax = 32;

}  // namespace sekisho::filters
