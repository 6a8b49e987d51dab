// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <cstdint>

#include "base/wire/reader.h"

namespace sekisho {

using SigningSeed = std::array<std::uint8_t, 32>;
using SigningPublic = std::array<std::uint8_t, 32>;
using Signature = std::array<std::uint8_t, 64>;

/// Ed25519 (RFC 8032). A failing libcrypto is a broken installation and aborts.
[[nodiscard]] SigningPublic public_of(const SigningSeed& seed);
[[nodiscard]] Signature sign(const SigningSeed& seed, ByteSpan message);
[[nodiscard]] bool verify_signature(const SigningPublic& key, ByteSpan message, const Signature& signature);

}  // namespace sekisho
