// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/net/address.h"

namespace sekisho::dataplane {

/// Longest-prefix match over a small table (one tenant, one uplink): one hash probe per distinct prefix length, longest
/// first. A DIR24-8 table a tenant would cost 16 MiB each; tenants have tens to thousands of prefixes of a few lengths.
/// Built once by the control thread, then read only.
class PrefixTable {
 public:
  static constexpr std::uint32_t kNoValue = 0xffffffffU;

  struct Entry {
    Prefix prefix;
    std::uint32_t value;
  };

  PrefixTable() = default;
  /// Later entries of the same prefix replace earlier ones.
  explicit PrefixTable(std::span<const Entry> entries);

  [[nodiscard]] std::uint32_t find(const Address& address) const noexcept;
  /// True when `wanted(value)` is for the value of some prefix that contains `address`; asked longest first.
  template <typename Wanted>
  [[nodiscard]] bool any(const Address& address, Wanted wanted) const noexcept {
    const Key key = key_of(address);
    for (const Level& level : address.family == Family::kIpv4 ? ipv4_ : ipv6_) {
      const std::uint32_t value = find_at(level, key);
      if (value != kNoValue && wanted(value)) return true;
    }
    return false;
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct Key {
    std::uint64_t high;
    std::uint64_t low;
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    std::uint32_t value;  ///< kNoValue = empty
  };
  struct Level {
    Key mask;
    std::uint64_t slot_mask;
    std::uint8_t length;
    std::vector<Slot> slots;
  };

  static Key key_of(const Address& address);
  static std::uint64_t hash(const Key& key);
  [[nodiscard]] static std::uint32_t find_at(const Level& level, const Key& key) noexcept;
  [[nodiscard]] static std::uint32_t find_in(const std::vector<Level>& levels, const Key& key) noexcept;
  void build_family(Family family, std::span<const Entry> entries, std::vector<Level>& levels);

  std::vector<Level> ipv4_;  ///< longest first
  std::vector<Level> ipv6_;
  std::size_t size_ = 0;
};

}  // namespace sekisho::dataplane
