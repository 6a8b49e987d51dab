// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace sekisho::filters {

/// How much an SA may be used; the largest value means no limit.
struct EspLimit {
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();  ///< of inner packets
  std::uint64_t packets = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t seconds = std::numeric_limits<std::uint64_t>::max();  ///< since it was installed

  [[nodiscard]] bool reached(std::uint64_t used_bytes, std::uint64_t used_packets, std::uint64_t age_seconds) const {
    return used_bytes >= bytes || used_packets >= packets || age_seconds >= seconds;
  }
};

/// Soft: time to negotiate the next SA. Hard: this one carries nothing more.
struct EspLifetime {
  EspLimit soft, hard;
};

/// The last number an outbound SA may send; after it the SA stops, whatever its limits say (RFC 4303 3.3.3).
inline constexpr std::uint64_t sequence_last(bool extended) {
  return extended ? std::numeric_limits<std::uint64_t>::max() : std::numeric_limits<std::uint32_t>::max();
}

/// `lifetime` with its soft packet limit early enough that a new SA is there before the numbers end: at 15 of 16 parts.
inline EspLifetime with_sequence_limit(EspLifetime lifetime, bool extended) {
  const std::uint64_t last = sequence_last(extended);
  lifetime.soft.packets = std::min(lifetime.soft.packets, last - last / 16);
  return lifetime;
}

}  // namespace sekisho::filters
