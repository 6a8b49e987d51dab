// SPDX-License-Identifier: Apache-2.0
#include "filters/esp/esp_suite.h"

#include <array>

namespace sekisho::filters {
namespace {

// By EspCipher; integrity key and ICV of CBC come from the other table.
constexpr std::array<EspSizes, 7> kCiphers{{
    {16, 4, 0, 8, 4, 16},
    {24, 4, 0, 8, 4, 16},
    {32, 4, 0, 8, 4, 16},
    {16, 0, 0, 16, 16, 0},
    {24, 0, 0, 16, 16, 0},
    {32, 0, 0, 16, 16, 0},
    {24, 0, 0, 8, 8, 0},
}};
struct Integrity {
  std::uint8_t key, icv;
};
constexpr std::array<Integrity, 5> kIntegrities{{{0, 16}, {20, 12}, {32, 16}, {48, 24}, {64, 32}}};

}  // namespace

Result<EspSizes> sizes_of(EspSuite suite) {
  const auto cipher = static_cast<std::size_t>(suite.cipher), integrity = static_cast<std::size_t>(suite.integrity);
  const Error refused{ErrorCode::kUnsupported, ErrorSite::kDataplane,
                      static_cast<std::uint32_t>(cipher << 8 | integrity)};
  if (cipher >= kCiphers.size() || integrity >= kIntegrities.size()) return refused;
  EspSizes sizes = kCiphers[cipher];
  const bool aead = sizes.salt != 0;
  if (aead != (suite.integrity == EspIntegrity::kAead)) return refused;
  sizes.integrity_key = kIntegrities[integrity].key;
  sizes.icv = kIntegrities[integrity].icv;
  return sizes;
}

}  // namespace sekisho::filters
