// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/wire/reader.h"

/// The broken primitives that MSCHAPv2 and MPPE are made of, here and nowhere else. Nothing else may use them.
///
/// They are libcrypto's own functions, called directly: OpenSSL's legacy provider would open them to the whole process (TLS's
/// configuration included) for the sake of these three.
namespace sekisho::vpn::weak {

using Md4 = std::array<std::uint8_t, 16>;
using Sha1 = std::array<std::uint8_t, 20>;
using Block = std::array<std::uint8_t, 8>;

Md4 md4(ByteSpan data);
/// Over the parts, one behind the other.
Sha1 sha1(std::initializer_list<ByteSpan> parts);
/// One block by a key of 56 bits (RFC 2759 8.6): parity is added here.
Block des(std::span<const std::uint8_t, 7> key, const Block& clear);

/// A key stream; wiped when it goes.
class Rc4 {
 public:
  explicit Rc4(ByteSpan key) { set_key(key); }
  ~Rc4();
  Rc4(const Rc4&) = delete;
  Rc4& operator=(const Rc4&) = delete;
  void set_key(ByteSpan key);
  /// `out` is as long as `in`, and may be the same bytes.
  void apply(ByteSpan in, std::span<std::uint8_t> out);

 private:
  struct State {
    std::array<std::uint32_t, 258> words;
  };
  alignas(16) State state_;
};

/// Takes a secret out of memory.
void wipe(std::span<std::uint8_t> bytes);

}  // namespace sekisho::vpn::weak
