// SPDX-License-Identifier: Apache-2.0
#define OPENSSL_SUPPRESS_DEPRECATED  // what is weak is deprecated, and meant
#include "vpn/weak/primitives.h"

#include <openssl/crypto.h>
#include <openssl/des.h>
#include <openssl/md4.h>
#include <openssl/rc4.h>
#include <openssl/sha.h>

#include "base/assert.h"

namespace sekisho::vpn::weak {

void wipe(std::span<std::uint8_t> bytes) { OPENSSL_cleanse(bytes.data(), bytes.size()); }

Md4 md4(ByteSpan data) {
  Md4 out;
  MD4(data.data(), data.size(), out.data());
  return out;
}

Sha1 sha1(std::initializer_list<ByteSpan> parts) {
  SHA_CTX context;
  Sha1 out;
  SHA1_Init(&context);
  for (const ByteSpan part : parts) SHA1_Update(&context, part.data(), part.size());
  SHA1_Final(out.data(), &context);
  OPENSSL_cleanse(&context, sizeof(context));
  return out;
}

Block des(std::span<const std::uint8_t, 7> key, const Block& clear) {
  std::uint64_t bits = 0;
  for (const std::uint8_t byte : key) bits = bits << 8 | byte;
  DES_cblock spread, in, out;
  for (unsigned i = 0; i < 8; ++i) spread[i] = static_cast<std::uint8_t>((bits >> (49 - 7 * i)) << 1);
  DES_key_schedule schedule;
  DES_set_key_unchecked(&spread, &schedule);
  std::copy(clear.begin(), clear.end(), in);
  DES_ecb_encrypt(&in, &out, &schedule, DES_ENCRYPT);
  OPENSSL_cleanse(&schedule, sizeof(schedule));
  OPENSSL_cleanse(spread, sizeof(spread));
  Block cipher;
  std::copy(out, out + 8, cipher.begin());
  return cipher;
}

static_assert(sizeof(RC4_KEY) <= 258 * sizeof(std::uint32_t));

Rc4::~Rc4() { OPENSSL_cleanse(&state_, sizeof(state_)); }

void Rc4::set_key(ByteSpan key) { RC4_set_key(reinterpret_cast<RC4_KEY*>(&state_), static_cast<int>(key.size()), key.data()); }

void Rc4::apply(ByteSpan in, std::span<std::uint8_t> out) {
  SEKISHO_DCHECK(in.size() == out.size());
  RC4(reinterpret_cast<RC4_KEY*>(&state_), in.size(), in.data(), out.data());
}

}  // namespace sekisho::vpn::weak
