// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/net/address.h"
#include "base/net/endian.h"

namespace sekisho::filters {

/// A few prefixes of either family an inner address must lie in: the Lease of a remote user, or what a tunnel leads to.
/// Empty holds nothing.
class PrefixSet {
 public:
  static constexpr std::size_t kPrefixesMax = 8;

  /// False when there is no room or the prefix has no family.
  bool add(const Prefix& prefix) {
    const unsigned bits = prefix.address.bits();
    if (count_ == kPrefixesMax || bits == 0 || prefix.length > bits) return false;
    Entry& entry = entries_[count_++];
    std::memcpy(entry.value.data(), prefix.address.bytes.data(), 16);
    entry.mask = {};
    for (unsigned i = 0; i < prefix.length; ++i) {
      reinterpret_cast<std::uint8_t*>(entry.mask.data())[i / 8] |= static_cast<std::uint8_t>(0x80U >> (i % 8));
    }
    entry.value[0] &= entry.mask[0];
    entry.value[1] &= entry.mask[1];
    entry.family = prefix.address.family;
    return true;
  }

  /// `wire`: 4 or 16 bytes of an address of `family`, proved to be there.
  [[nodiscard]] bool contains(const std::uint8_t* wire, Family family) const {
    if (family == Family::kIpv4) {
      std::uint32_t value;
      std::memcpy(&value, wire, 4);
      return std::ranges::any_of(std::span(entries_).first(count_), [value](const Entry& entry) {
        return entry.family == Family::kIpv4 && (value & entry.mask[0]) == entry.value[0];
      });
    }
    std::array<std::uint64_t, 2> value;
    std::memcpy(value.data(), wire, 16);
    return std::ranges::any_of(std::span(entries_).first(count_), [&value, family](const Entry& entry) {
      const std::uint64_t differs =
          ((value[0] & entry.mask[0]) ^ entry.value[0]) | ((value[1] & entry.mask[1]) ^ entry.value[1]);
      return differs == 0 && entry.family == family;
    });
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  struct Entry {
    std::array<std::uint64_t, 2> value, mask;  // network order, as in the packet
    Family family;
  };
  std::size_t count_ = 0;
  std::array<Entry, kPrefixesMax> entries_{};
};

}  // namespace sekisho::filters
