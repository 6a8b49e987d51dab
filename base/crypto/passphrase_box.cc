// SPDX-License-Identifier: BSD-2-Clause
#include "base/crypto/passphrase_box.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "base/crypto/aead.h"

namespace sekisho {
namespace {

constexpr std::size_t kKindBytes = 8, kSaltBytes = 16, kNonceBytes = 12;
constexpr std::size_t kHeadBytes = kKindBytes + 1 + kSaltBytes + kNonceBytes;
constexpr char kVersion = 1;
constexpr std::uint64_t kCost = 1U << 17, kMemoryMax = 256U << 20;
constexpr Error kTorn{ErrorCode::kMalformed, ErrorSite::kStore, 0};

ByteSpan bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Result<AeadKey> derive(std::string_view passphrase, std::string_view salt) {
  AeadKey key{};
  if (EVP_PBE_scrypt(passphrase.data(), passphrase.size(), bytes_of(salt).data(), salt.size(), kCost, 8, 1, kMemoryMax, key.data(),
                     key.size()) != 1)
    return Error{ErrorCode::kUnavailable, ErrorSite::kOs, 0};
  return key;
}

}  // namespace

Result<std::string> seal_with_passphrase(BoxKind kind, std::string_view passphrase, std::string_view text) {
  std::string out(kind.substr(0, kKindBytes));
  out.resize(kKindBytes, ' ');
  out += kVersion;
  const auto random = random_bytes<kSaltBytes + kNonceBytes>();
  out.append(reinterpret_cast<const char*>(random.data()), random.size());
  SEKISHO_TRY(AeadKey key, derive(passphrase, std::string_view(out).substr(kKindBytes + 1, kSaltBytes)));
  AeadNonce nonce;
  std::copy_n(random.begin() + kSaltBytes, nonce.size(), nonce.begin());
  const std::string head = out;
  Aead(key).seal(nonce, bytes_of(head), bytes_of(text), out);
  OPENSSL_cleanse(key.data(), key.size());
  return out;
}

Result<std::string> open_with_passphrase(BoxKind kind, std::string_view passphrase, std::string_view sealed) {
  if (!sealed.starts_with(kind) || sealed.size() <= kKindBytes) return kTorn;
  if (sealed[kKindBytes] != kVersion)
    return Error{ErrorCode::kUnsupported, ErrorSite::kStore, static_cast<std::uint8_t>(sealed[kKindBytes])};
  if (sealed.size() < kHeadBytes + kAeadTagBytes) return kTorn;
  const std::string_view head = sealed.substr(0, kHeadBytes);
  SEKISHO_TRY(AeadKey key, derive(passphrase, head.substr(kKindBytes + 1, kSaltBytes)));
  AeadNonce nonce;
  std::copy_n(head.begin() + kKindBytes + 1 + kSaltBytes, nonce.size(), nonce.begin());
  std::string out;
  const auto opened = Aead(key).open(nonce, bytes_of(head), bytes_of(sealed.substr(kHeadBytes)), out);
  OPENSSL_cleanse(key.data(), key.size());
  if (!opened) return Error{ErrorCode::kDenied, ErrorSite::kStore, 0};
  return out;
}

}  // namespace sekisho
