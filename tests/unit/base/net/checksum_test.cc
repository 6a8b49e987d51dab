// SPDX-License-Identifier: Apache-2.0
// Goal: the fast sums equal the naive ones for every length and alignment, and RFC 1624's vectors hold.
#include "base/net/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sekisho {
namespace {

/// Word by word, as RFC 1071 1 says it.
std::uint16_t naive(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? std::uint32_t{bytes[i]} << 8 : bytes[i];
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return static_cast<std::uint16_t>(~sum);
}

TEST(Checksum, EqualsTheNaiveSumAtEveryLengthAndAlignment) {
  std::mt19937 random(7);
  for (unsigned round = 0; round < 40; ++round) {
    std::vector<std::uint8_t> bytes(160);
    for (auto& b : bytes) b = round == 0 ? 0xff : static_cast<std::uint8_t>(random());
    for (std::size_t begin = 0; begin < 8; ++begin) {
      for (std::size_t length = 0; begin + length <= bytes.size(); ++length) {
        const auto part = std::span<const std::uint8_t>(bytes).subspan(begin, length);
        ASSERT_EQ(checksum_fold(checksum_add(0, part)), naive(part)) << begin << ' ' << length;
      }
    }
  }
  const std::vector<std::uint8_t> jumbo(65'535, 0xff);
  EXPECT_EQ(checksum_fold(checksum_add(0, jumbo)), naive(jumbo));
}

TEST(Checksum, PartsAddUp) {
  std::vector<std::uint8_t> bytes(101);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37);
  const std::span<const std::uint8_t> whole(bytes);
  for (std::size_t split = 0; split <= bytes.size(); split += 2) {
    const std::uint32_t sum = checksum_add(checksum_add(0, whole.first(split)), whole.subspan(split));
    EXPECT_EQ(checksum_fold(sum), naive(whole)) << split;
  }
}

TEST(Checksum, Rfc1071Example) {
  const std::vector<std::uint8_t> bytes = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(checksum_fold(checksum_add(0, bytes)), 0x220d);
}

TEST(Checksum, Rfc1624AdjustmentKeepsTheSum) {
  EXPECT_EQ(checksum_adjust(0xdd2f, 0x5555, 0x3285), 0x0000) << "RFC 1624 4: equation 3 gives 0000, not ffff";
  std::mt19937 random(8);
  for (unsigned round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> bytes(20);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
    const auto before = checksum_fold(checksum_add(0, bytes));
    const auto old_word = static_cast<std::uint16_t>(bytes[4] << 8 | bytes[5]);
    const auto new_word = static_cast<std::uint16_t>(random());
    bytes[4] = static_cast<std::uint8_t>(new_word >> 8), bytes[5] = static_cast<std::uint8_t>(new_word);
    ASSERT_EQ(checksum_adjust(before, old_word, new_word), checksum_fold(checksum_add(0, bytes)));
  }
}

TEST(Checksum, PseudoHeaderIsThatOfItsFamily) {
  for (const char* text : {"192.0.2.1", "2001:db8::ff"}) {
    const Address source = parse_address(text).value();
    const Address destination = parse_address(source.bits() == 32 ? "198.51.100.7" : "fd00::7").value();
    std::vector<std::uint8_t> bytes(source.wire().begin(), source.wire().end());
    bytes.insert(bytes.end(), destination.wire().begin(), destination.wire().end());
    const std::vector<std::uint8_t> rest = {0, 1, 0x11, 0x70, 0, 0, 0, 6};  // length 70,000, protocol 6
    bytes.insert(bytes.end(), rest.begin(), rest.end());

    EXPECT_EQ(checksum_fold(pseudo_header_sum(source, destination, 6, 0x11170)), naive(bytes)) << text;
  }
}

}  // namespace
}  // namespace sekisho
