// SPDX-License-Identifier: Apache-2.0
#include "mgmt/log/vault/filter.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sekisho::mgmt {
namespace {

constexpr std::size_t kLineBytes = 32, kWords = 8, kBitsPerKey = 12;
constexpr std::uint64_t kAddressSeed = 1, kNetworkSeed = 2, kFieldSeed = 3;
constexpr std::uint64_t kMixA = 0xa0761d6478bd642fULL, kMixB = 0xe7037ed1a0b428dbULL;
constexpr std::array<std::uint32_t, kWords> kSalts = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                                                      0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

__extension__ using Wide = unsigned __int128;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const Wide product = Wide{a} * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::size_t line_of(std::uint64_t key, std::size_t lines) {
  return static_cast<std::size_t>((Wide{key >> 32} * lines) >> 32);
}

std::uint32_t bit_of(std::uint64_t key, std::size_t word) {
  return std::uint32_t{1} << ((static_cast<std::uint32_t>(key) * kSalts[word]) >> 27);
}

std::string_view bytes_of(const Address& address, std::size_t bytes) {
  return {reinterpret_cast<const char*>(address.bytes.data()), bytes};
}

}  // namespace

std::uint64_t hash_of(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = mix(seed ^ kMixA, bytes.size() ^ kMixB);
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t now = std::min(bytes.size(), sizeof(word));
    std::memcpy(&word, bytes.data(), now);
    hash = mix(hash ^ word, kMixB ^ hash);
    bytes.remove_prefix(now);
  }
  return mix(hash, kMixA);
}

std::uint64_t key_of(const Address& address) {
  return hash_of(bytes_of(address, address.family == Family::kIpv4 ? 4 : 16), kAddressSeed);
}

std::uint64_t key_of_network(const Address& address) {
  return hash_of(bytes_of(address, address.family == Family::kIpv4 ? 3 : 8), kNetworkSeed);
}

std::uint64_t key_of(std::string_view field, std::string_view value) {
  return hash_of(value, hash_of(field, kFieldSeed));
}

std::string FilterBuilder::finish() {
  std::sort(keys_.begin(), keys_.end());
  keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
  const std::size_t lines = (keys_.size() * kBitsPerKey + kLineBytes * 8 - 1) / (kLineBytes * 8);
  std::vector<std::uint32_t> words(lines * kWords);
  for (const std::uint64_t key : keys_) {
    const std::size_t line = line_of(key, lines) * kWords;
    for (std::size_t i = 0; i < kWords; ++i) words[line + i] |= bit_of(key, i);
  }
  keys_.clear();
  return {reinterpret_cast<const char*>(words.data()), words.size() * sizeof(std::uint32_t)};
}

bool may_hold(ByteSpan filter, std::uint64_t key) {
  if (filter.empty()) return false;
  if (filter.size() % kLineBytes != 0) return true;
  std::array<std::uint32_t, kWords> words;
  std::memcpy(words.data(), filter.data() + line_of(key, filter.size() / kLineBytes) * kLineBytes, kLineBytes);
  for (std::size_t i = 0; i < kWords; ++i) {
    if ((words[i] & bit_of(key, i)) == 0) return false;
  }
  return true;
}

}  // namespace sekisho::mgmt
