// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sekisho::filters {

/// Which way a packet travels: as the session's first packet did, or against it. Same values as PacketMeta::reverse.
enum class Direction : std::uint8_t { kForward = 0, kReverse = 1 };

[[nodiscard]] inline constexpr Direction opposite(Direction direction) {
  return direction == Direction::kForward ? Direction::kReverse : Direction::kForward;
}

}  // namespace sekisho::filters
