// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/wire/reader.h"

namespace sekisho {

using Sha256Digest = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces: for blocks with a hole, and for streams.
/// Owns its state; one thread at a time. A failing libcrypto is a broken installation and aborts.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(ByteSpan bytes);
  /// The digest of everything given; afterwards the object starts again from nothing.
  [[nodiscard]] Sha256Digest finish();

 private:
  void start();
  void* context_;  ///< EVP_MD_CTX, kept opaque so that OpenSSL's headers stay out of ours
};

/// SHA-256 of one piece.
[[nodiscard]] Sha256Digest sha256(ByteSpan bytes);

}  // namespace sekisho
