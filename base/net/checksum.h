// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstdint>
#include <span>

#include "base/net/address.h"

namespace sekisho {

/// Running ones'-complement sum of 16-bit words, host order, not yet folded. `bytes` may have odd length only if last.
[[nodiscard]] std::uint32_t checksum_add(std::uint32_t sum, std::span<const std::uint8_t> bytes);

/// Folds and complements a running sum: the value of the checksum field, host order (RFC 1071).
[[nodiscard]] inline std::uint16_t checksum_fold(std::uint32_t sum) {
  sum = (sum >> 16) + (sum & 0xffffU);
  sum += sum >> 16;
  return static_cast<std::uint16_t>(~sum);
}

/// The running sum of the TCP, UDP or ICMPv6 pseudo header. Both addresses of one family; `length` of the L4 part in bytes.
[[nodiscard]] std::uint32_t pseudo_header_sum(const Address& source, const Address& destination, std::uint8_t protocol,
                                              std::uint32_t length);

/// The checksum field after one 16-bit word under it changed (RFC 1624, equation 3). All host order.
[[nodiscard]] inline std::uint16_t checksum_adjust(std::uint16_t checksum, std::uint16_t old_word, std::uint16_t new_word) {
  std::uint32_t sum = static_cast<std::uint16_t>(~checksum);
  sum += static_cast<std::uint16_t>(~old_word);
  sum += new_word;
  return checksum_fold(sum);
}

}  // namespace sekisho
