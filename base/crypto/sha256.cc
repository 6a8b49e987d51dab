// SPDX-License-Identifier: BSD-2-Clause
#include "base/crypto/sha256.h"

#include <openssl/evp.h>

#include "base/assert.h"

namespace sekisho {
namespace {

EVP_MD_CTX* as_evp(void* context) {
  return static_cast<EVP_MD_CTX*>(context);
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  SEKISHO_ASSERT(context_ != nullptr);
  start();
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(as_evp(context_));
}

void Sha256::start() {
  SEKISHO_ASSERT(EVP_DigestInit_ex(as_evp(context_), EVP_sha256(), nullptr) == 1);
}

void Sha256::update(ByteSpan bytes) {
  SEKISHO_ASSERT(EVP_DigestUpdate(as_evp(context_), bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::finish() {
  Sha256Digest out;
  unsigned length = 0;
  SEKISHO_ASSERT(EVP_DigestFinal_ex(as_evp(context_), out.data(), &length) == 1 && length == out.size());
  start();
  return out;
}

Sha256Digest sha256(ByteSpan bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace sekisho
