// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <cstdint>
#include <type_traits>

#include "filters/esp/esp_suite.h"

namespace sekisho::dataplane {

/// One SA's keys as the crypto library wants them, with what decides how they are used. Lives in a KeyVault only.
struct alignas(64) ExpandedKeys {
  struct Cbc {
    alignas(16) std::array<std::uint8_t, 15 * 16> encrypt, decrypt;  // AES round keys
    std::array<std::array<std::uint64_t, 16>, 3> des;                // three DES schedules
    std::array<const void*, 3> schedules;                            // their places: a slot does not move
    alignas(16) std::array<std::uint8_t, 64> inner, outer;           // HMAC after its first block (RFC 2104)
  };

  filters::EspSuite suite;
  filters::EspSizes sizes;
  bool extended;                     ///< sequence numbers of 64 bits: the high half is authenticated too
  std::array<std::uint8_t, 4> salt;  ///< GCM
  union {
    alignas(64) gcm_key_data gcm;
    Cbc cbc;
  };
};
static_assert(std::is_trivially_copyable_v<ExpandedKeys>);

}  // namespace sekisho::dataplane
