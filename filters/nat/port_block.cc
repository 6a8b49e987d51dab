// SPDX-License-Identifier: Apache-2.0
#include "filters/nat/port_block.h"

namespace sekisho::filters {
namespace {

using Ranges = std::span<const snapshot::AddressRange>;

bool is_v4(const snapshot::AddressRange& range) { return range.low.family == Family::kIpv4; }

std::uint64_t count_of(Ranges ranges) {
  std::uint64_t out = 0;
  for (const auto& range : ranges) {
    if (is_v4(range)) out += std::uint64_t{range.high.v4()} - range.low.v4() + 1;
  }
  return out;
}

/// How many addresses of the ranges stand before `address`; nullopt when it is none of them.
std::optional<std::uint64_t> place_of(Ranges ranges, std::uint32_t address) {
  std::uint64_t before = 0;
  for (const auto& range : ranges) {
    if (!is_v4(range)) continue;
    if (address >= range.low.v4() && address <= range.high.v4()) return before + (address - range.low.v4());
    before += std::uint64_t{range.high.v4()} - range.low.v4() + 1;
  }
  return std::nullopt;
}

/// The inverse of place_of.
std::optional<std::uint32_t> address_at(Ranges ranges, std::uint64_t place) {
  for (const auto& range : ranges) {
    if (!is_v4(range)) continue;
    const std::uint64_t size = std::uint64_t{range.high.v4()} - range.low.v4() + 1;
    if (place < size) return range.low.v4() + static_cast<std::uint32_t>(place);
    place -= size;
  }
  return std::nullopt;
}

}  // namespace

std::optional<PortBlock> PortBlocks::of(std::uint32_t inside) const {
  const auto place = place_of(inside_, inside);
  if (!place) return std::nullopt;
  const auto outside = address_at(outside_, *place / per_address_);
  if (!outside) return std::nullopt;
  const auto first = static_cast<std::uint16_t>(kNatPortFirst + *place % per_address_ * size_);
  return PortBlock{*outside, first, static_cast<std::uint16_t>(size_)};
}

std::optional<std::uint32_t> PortBlocks::owner(std::uint32_t outside, std::uint16_t port) const {
  const auto place = place_of(outside_, outside);
  if (!place || port < kNatPortFirst) return std::nullopt;
  const std::uint32_t block = (port - kNatPortFirst) / size_;
  if (block >= per_address_) return std::nullopt;
  return address_at(inside_, *place * per_address_ + block);
}

std::uint64_t PortBlocks::inside_addresses() const { return count_of(inside_); }
std::uint64_t PortBlocks::blocks() const { return count_of(outside_) * per_address_; }

}  // namespace sekisho::filters
