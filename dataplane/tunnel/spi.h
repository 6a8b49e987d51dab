// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "base/limits.h"

namespace sekisho::dataplane {

/// An SPI of ours says where its SA is, so that no table is shared and none is searched:
///   bits 0-3 the worker, bits 4-21 the slot in its table, bits 22-31 the slot's generation, never 0.
/// The generation changes when a slot is used again: a packet for the SA before finds nothing. Values up to 255, which
/// RFC 4303 2.1 reserves, cannot come out. It is no secret: the ICV is what keeps strangers out.
struct Spi {
  static constexpr unsigned kWorkerBits = 4, kSlotBits = 18, kGenerationBits = 10;
  static constexpr std::uint32_t kSlotsMax = 1U << kSlotBits, kGenerations = 1U << kGenerationBits;

  static constexpr std::uint32_t make(std::uint32_t worker, std::uint32_t slot, std::uint32_t generation) {
    return worker | slot << kWorkerBits | generation << (kWorkerBits + kSlotBits);
  }
  static constexpr std::uint32_t worker(std::uint32_t spi) { return spi & ((1U << kWorkerBits) - 1); }
  static constexpr std::uint32_t slot(std::uint32_t spi) { return spi >> kWorkerBits & (kSlotsMax - 1); }
  static constexpr std::uint32_t generation(std::uint32_t spi) { return spi >> (kWorkerBits + kSlotBits); }
  static constexpr std::uint32_t next_generation(std::uint32_t generation) {
    return generation + 1 == kGenerations ? 1 : generation + 1;
  }
};
static_assert(limits::kShardsMax <= 1U << Spi::kWorkerBits);
static_assert(Spi::make(0, 0, 1) > 255);

}  // namespace sekisho::dataplane
