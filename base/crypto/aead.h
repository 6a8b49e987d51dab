// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/wire/reader.h"

namespace sekisho {

using AeadKey = std::array<std::uint8_t, 32>;
using AeadNonce = std::array<std::uint8_t, 12>;
inline constexpr std::size_t kAeadTagBytes = 16;

/// AES-256-GCM (NIST SP 800-38D) under one key. A nonce is used once. Owns its state, wipes it; one thread at a time.
/// A failing libcrypto is a broken installation and aborts.
class Aead {
 public:
  explicit Aead(const AeadKey& key);
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  /// Appends the sealed text and its tag to `out`.
  void seal(const AeadNonce& nonce, ByteSpan associated, ByteSpan text, std::string& out);
  /// Replaces `out` by the text. kMalformed: not what seal() made with this key, nonce and associated bytes.
  Result<void> open(const AeadNonce& nonce, ByteSpan associated, ByteSpan sealed, std::string& out);

 private:
  void* seal_;  ///< EVP_CIPHER_CTX
  void* open_;
};

/// Bytes nobody can guess, from the kernel.
void fill_random(std::uint8_t* to, std::size_t bytes);
template <std::size_t N>
std::array<std::uint8_t, N> random_bytes() {
  std::array<std::uint8_t, N> out;
  fill_random(out.data(), N);
  return out;
}

}  // namespace sekisho
