// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/prefix_table.h"

#include <array>
#include <bit>

#include "base/net/endian.h"
#include "dataplane/session/flow_key.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint64_t leading_ones(unsigned bits) { return bits == 0 ? 0 : ~std::uint64_t{0} << (64 - bits); }

}  // namespace

PrefixTable::Key PrefixTable::key_of(const Address& address) {
  return {load_be<std::uint64_t>(address.bytes, 0), load_be<std::uint64_t>(address.bytes, 8)};
}

std::uint64_t PrefixTable::hash(const Key& key) {
  return mix(key.high ^ 0xa0761d6478bd642fULL, key.low ^ 0xe7037ed1a0b428dbULL);
}

PrefixTable::PrefixTable(std::span<const Entry> entries) {
  build_family(Family::kIpv4, entries, ipv4_);
  build_family(Family::kIpv6, entries, ipv6_);
}

void PrefixTable::build_family(Family family, std::span<const Entry> entries, std::vector<Level>& levels) {
  std::array<std::size_t, 129> per_length{};
  for (const Entry& entry : entries) {
    if (entry.prefix.address.family == family) ++per_length[entry.prefix.length];
  }
  for (unsigned length = 129; length-- > 0;) {
    if (per_length[length] == 0) continue;
    Level level{.mask = {leading_ones(std::min(length, 64U)), length > 64 ? leading_ones(length - 64) : 0},
                .slot_mask = std::bit_ceil(per_length[length] * 2) - 1,
                .length = static_cast<std::uint8_t>(length),
                .slots = {}};
    level.slots.assign(level.slot_mask + 1, Slot{{0, 0}, kNoValue});
    for (const Entry& entry : entries) {
      if (entry.prefix.address.family != family || entry.prefix.length != length) continue;
      const Key key = key_of(entry.prefix.first());
      std::uint64_t at = hash(key) & level.slot_mask;
      while (level.slots[at].value != kNoValue && !(level.slots[at].key == key)) at = (at + 1) & level.slot_mask;
      if (level.slots[at].value == kNoValue) ++size_;
      level.slots[at] = {key, entry.value};
    }
    levels.push_back(std::move(level));
  }
}

std::uint32_t PrefixTable::find_at(const Level& level, const Key& key) noexcept {
  const Key masked{key.high & level.mask.high, key.low & level.mask.low};
  for (std::uint64_t at = hash(masked) & level.slot_mask;; at = (at + 1) & level.slot_mask) {
    const Slot& slot = level.slots[at];
    if (slot.value == kNoValue || slot.key == masked) return slot.value;
  }
}

std::uint32_t PrefixTable::find_in(const std::vector<Level>& levels, const Key& key) noexcept {
  for (const Level& level : levels) {
    const std::uint32_t value = find_at(level, key);
    if (value != kNoValue) return value;
  }
  return kNoValue;
}

std::uint32_t PrefixTable::find(const Address& address) const noexcept {
  return find_in(address.family == Family::kIpv4 ? ipv4_ : ipv6_, key_of(address));
}

}  // namespace sekisho::dataplane
