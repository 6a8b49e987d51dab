// SPDX-License-Identifier: BSD-2-Clause
#include "base/crypto/signature.h"

#include <openssl/evp.h>

#include <memory>

#include "base/assert.h"

namespace sekisho {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

Key private_key(const SigningSeed& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()), &EVP_PKEY_free);
  SEKISHO_ASSERT(key != nullptr);
  return key;
}

}  // namespace

SigningPublic public_of(const SigningSeed& seed) {
  SigningPublic out;
  std::size_t bytes = out.size();
  SEKISHO_ASSERT(EVP_PKEY_get_raw_public_key(private_key(seed).get(), out.data(), &bytes) == 1 && bytes == out.size());
  return out;
}

Signature sign(const SigningSeed& seed, ByteSpan message) {
  const Key key = private_key(seed);
  const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  Signature out;
  std::size_t bytes = out.size();
  SEKISHO_ASSERT(context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  SEKISHO_ASSERT(EVP_DigestSign(context.get(), out.data(), &bytes, message.data(), message.size()) == 1);
  return out;
}

bool verify_signature(const SigningPublic& key, ByteSpan message, const Signature& signature) {
  const Key opened(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()), &EVP_PKEY_free);
  const Context context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!opened || !context) return false;
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, opened.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

}  // namespace sekisho
