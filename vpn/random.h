// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/random.h>

#include <cstdint>
#include <span>

#include "base/assert.h"

namespace sekisho::vpn {

/// Fills `out`, at most 256 bytes: those the kernel gives whole once its pool is ready.
inline void fill_random(std::span<std::uint8_t> out) {
  SEKISHO_ASSERT(::getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
}

/// A number nobody can foresee.
template <typename T>
void make_random(T& number) {
  fill_random({reinterpret_cast<std::uint8_t*>(&number), sizeof(number)});
}

}  // namespace sekisho::vpn
