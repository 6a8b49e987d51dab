// SPDX-License-Identifier: BSD-2-Clause
#include "base/crypto/aead.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <algorithm>

#include "base/assert.h"

namespace sekisho {
namespace {

EVP_CIPHER_CTX* as_evp(void* context) {
  return static_cast<EVP_CIPHER_CTX*>(context);
}

int length_of(ByteSpan bytes) {
  SEKISHO_ASSERT(bytes.size() < (std::size_t{1} << 30));
  return static_cast<int>(bytes.size());
}

}  // namespace

Aead::Aead(const AeadKey& key) : seal_(EVP_CIPHER_CTX_new()), open_(EVP_CIPHER_CTX_new()) {
  SEKISHO_ASSERT(seal_ != nullptr && open_ != nullptr);
  SEKISHO_ASSERT(EVP_EncryptInit_ex(as_evp(seal_), EVP_aes_256_gcm(), nullptr, key.data(), nullptr) == 1);
  SEKISHO_ASSERT(EVP_DecryptInit_ex(as_evp(open_), EVP_aes_256_gcm(), nullptr, key.data(), nullptr) == 1);
}

Aead::~Aead() {
  EVP_CIPHER_CTX_free(as_evp(seal_));
  EVP_CIPHER_CTX_free(as_evp(open_));
}

void Aead::seal(const AeadNonce& nonce, ByteSpan associated, ByteSpan text, std::string& out) {
  const std::size_t at = out.size();
  out.resize(at + text.size() + kAeadTagBytes);
  auto* to = reinterpret_cast<std::uint8_t*>(out.data()) + at;
  int length = 0;
  SEKISHO_ASSERT(EVP_EncryptInit_ex(as_evp(seal_), nullptr, nullptr, nullptr, nonce.data()) == 1);
  SEKISHO_ASSERT(EVP_EncryptUpdate(as_evp(seal_), nullptr, &length, associated.data(), length_of(associated)) == 1);
  SEKISHO_ASSERT(EVP_EncryptUpdate(as_evp(seal_), to, &length, text.data(), length_of(text)) == 1);
  SEKISHO_ASSERT(EVP_EncryptFinal_ex(as_evp(seal_), to + length, &length) == 1);
  SEKISHO_ASSERT(EVP_CIPHER_CTX_ctrl(as_evp(seal_), EVP_CTRL_GCM_GET_TAG, kAeadTagBytes, to + text.size()) == 1);
}

Result<void> Aead::open(const AeadNonce& nonce, ByteSpan associated, ByteSpan sealed, std::string& out) {
  constexpr Error kForged{ErrorCode::kMalformed, ErrorSite::kStore, 0};
  if (sealed.size() < kAeadTagBytes) return kForged;
  const ByteSpan text = sealed.first(sealed.size() - kAeadTagBytes);
  std::array<std::uint8_t, kAeadTagBytes> tag;
  std::copy(sealed.end() - kAeadTagBytes, sealed.end(), tag.begin());
  out.resize(text.size());
  auto* to = reinterpret_cast<std::uint8_t*>(out.data());
  int length = 0;
  SEKISHO_ASSERT(EVP_DecryptInit_ex(as_evp(open_), nullptr, nullptr, nullptr, nonce.data()) == 1);
  SEKISHO_ASSERT(EVP_DecryptUpdate(as_evp(open_), nullptr, &length, associated.data(), length_of(associated)) == 1);
  SEKISHO_ASSERT(EVP_DecryptUpdate(as_evp(open_), to, &length, text.data(), length_of(text)) == 1);
  SEKISHO_ASSERT(EVP_CIPHER_CTX_ctrl(as_evp(open_), EVP_CTRL_GCM_SET_TAG, kAeadTagBytes, tag.data()) == 1);
  if (EVP_DecryptFinal_ex(as_evp(open_), to + length, &length) == 1) return {};
  out.clear();
  return kForged;
}

void fill_random(std::uint8_t* to, std::size_t bytes) {
  while (bytes > 0) {
    // At most 256 bytes are never interrupted and never short once the kernel's pool is ready.
    const std::size_t now = std::min<std::size_t>(bytes, 256);
    SEKISHO_ASSERT(::getrandom(to, now, 0) == static_cast<ssize_t>(now));
    to += now;
    bytes -= now;
  }
}

}  // namespace sekisho
