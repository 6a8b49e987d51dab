// SPDX-License-Identifier: BSD-2-Clause
#include "base/net/checksum.h"

#include "base/net/endian.h"

namespace sekisho {

std::uint32_t checksum_add(std::uint32_t sum, std::span<const std::uint8_t> bytes) {
  // 64-bit words in memory order: the ones'-complement sum is independent of byte order but for one final swap (RFC 1071 2).
  std::uint64_t total = 0;
  std::size_t at = 0;
  for (; at + 4 <= bytes.size(); at += 4) {
    std::uint32_t word;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    total += word;
  }
  std::uint32_t tail = 0;
  std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
  total += tail;
  total = (total >> 32) + (total & 0xffffffffU);
  total = (total >> 16 & 0xffffffffU) + (total & 0xffffU);
  total = (total >> 16) + (total & 0xffffU);
  total = (total >> 16) + (total & 0xffffU);
  return sum + __builtin_bswap16(static_cast<std::uint16_t>(total));
}

std::uint32_t pseudo_header_sum(const Address& source, const Address& destination, std::uint8_t protocol,
                                std::uint32_t length) {
  std::uint32_t sum = checksum_add(0, source.wire());
  sum = checksum_add(sum, destination.wire());
  return sum + protocol + (length >> 16) + (length & 0xffffU);
}

}  // namespace sekisho
