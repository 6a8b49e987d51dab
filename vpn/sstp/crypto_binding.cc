// SPDX-License-Identifier: Apache-2.0
#include "vpn/sstp/crypto_binding.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <string_view>

#include "base/assert.h"

namespace sekisho::vpn::sstp {
namespace {

constexpr std::string_view kSeed = "SSTP inner method derived CMK";
constexpr std::size_t kMacAt = 80;
constexpr std::size_t kSha1Bytes = 20, kSha256Bytes = 32;

std::size_t bytes_of(Hash hash) { return hash == Hash::kSha1 ? kSha1Bytes : kSha256Bytes; }

std::array<std::uint8_t, 32> hmac(Hash hash, ByteSpan key, ByteSpan message) {
  std::array<std::uint8_t, 32> out{};
  unsigned length = 0;
  const EVP_MD* digest = hash == Hash::kSha1 ? EVP_sha1() : EVP_sha256();
  const bool made = HMAC(digest, key.data(), static_cast<int>(key.size()), message.data(), message.size(), out.data(), &length) != nullptr;
  SEKISHO_ASSERT(made && length == bytes_of(hash));
  return out;
}

bool same(ByteSpan a, ByteSpan b) { return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace

std::string_view sentence_of(BindingFault fault) {
  switch (fault) {
    case BindingFault::kNone: return "";
    case BindingFault::kNonce: return "the client's crypto binding is of another connection";
    case BindingFault::kHash: return "the client's crypto binding uses a hash that was not offered";
    case BindingFault::kCertificate: return "the client saw another certificate than this gateway sent: somebody stands between";
    case BindingFault::kMac: return "the client's crypto binding does not fit the keys of its login";
  }
  return "";
}

std::array<std::uint8_t, 32> compound_mac(ByteSpan packet, Hash hash, std::span<const std::uint8_t, 32> key) {
  std::array<std::uint8_t, kConnectedBytes> message{};
  SEKISHO_ASSERT(packet.size() == message.size());
  std::copy_n(packet.begin(), kMacAt, message.begin());
  std::array<std::uint8_t, kSeed.size() + 3> seed{};
  std::copy(kSeed.begin(), kSeed.end(), seed.begin());
  seed[kSeed.size()] = static_cast<std::uint8_t>(bytes_of(hash));  // sixteen bits, little endian
  seed[kSeed.size() + 2] = 1;
  std::array<std::uint8_t, 32> compound_key = hmac(hash, key, seed);
  const auto out = hmac(hash, ByteSpan(compound_key).first(bytes_of(hash)), message);
  OPENSSL_cleanse(compound_key.data(), compound_key.size());
  return out;
}

BindingFault check_binding(ByteSpan packet, const Binding& binding, const BindingFacts& facts) {
  if (packet.size() != kConnectedBytes || !same(binding.nonce, facts.nonce)) return BindingFault::kNonce;
  const bool strong = binding.hash == static_cast<std::uint8_t>(Hash::kSha256);
  const bool weak = binding.hash == static_cast<std::uint8_t>(Hash::kSha1);
  const bool best = strong || (facts.hashes & static_cast<std::uint8_t>(Hash::kSha256)) == 0;
  if ((!strong && !weak) || (binding.hash & facts.hashes) == 0 || !best) return BindingFault::kHash;
  const Hash hash = strong ? Hash::kSha256 : Hash::kSha1;
  std::array<std::uint8_t, 32> certificate{};
  if (strong) {
    certificate = facts.certificate_sha256;
  } else {
    std::copy(facts.certificate_sha1.begin(), facts.certificate_sha1.end(), certificate.begin());
  }
  const std::size_t bytes = bytes_of(hash);  // what stands behind SHA-1's is padding
  if (!same(ByteSpan(binding.certificate_hash).first(bytes), ByteSpan(certificate).first(bytes))) return BindingFault::kCertificate;
  const auto mac = compound_mac(packet, hash, facts.key);
  return same(ByteSpan(binding.mac).first(bytes), ByteSpan(mac).first(bytes)) ? BindingFault::kNone : BindingFault::kMac;
}

}  // namespace sekisho::vpn::sstp
