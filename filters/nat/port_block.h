// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "filters/policy/snapshot.h"

/// Deterministic port blocks (RFC 7422): which outside ports an inside address has is arithmetic, so whoever knows the
/// configuration can name the inside host of any outside port without a record of the flow.
namespace sekisho::filters {

/// Ports below are never given out: they mean services.
inline constexpr std::uint32_t kNatPortFirst = 1024;
/// Places looked at before a block counts as used up: all of a block of this size.
inline constexpr std::uint32_t kNatPortProbes = 64;

/// The ports of one inside address. IPv4 addresses in host order.
struct PortBlock {
  std::uint32_t outside;  ///< the address they belong to
  std::uint16_t first;
  std::uint16_t count;    ///< even
  [[nodiscard]] bool contains(std::uint16_t port) const { return port >= first && port - first < count; }
  /// The `probe`-th port to try for an inside port: itself when it lies in the block, always of its parity while those last
  /// (RFC 4787 REQ-4), every port of the block once for probe 0 .. count - 1.
  [[nodiscard]] std::uint16_t candidate(std::uint16_t inside_port, std::uint32_t probe) const {
    const std::uint32_t half = count / 2U;
    const std::uint32_t at = (inside_port + 0x10000U * count - first) % count;  // the sum keeps parity: count and first are even
    const std::uint32_t step = probe < half ? 2 * probe : 2 * (probe - half) + 1;
    return static_cast<std::uint16_t>(first + (at + step) % count);
  }
};

/// The deal of blocks of `size` ports: the n-th address of `inside` has the n-th block of `outside`. Both are sorted,
/// disjoint ranges of a snapshot; IPv6 ones are passed over. A pure value; borrows the ranges.
class PortBlocks {
 public:
  /// `size`: even, 2..64512.
  PortBlocks(std::span<const snapshot::AddressRange> inside, std::span<const snapshot::AddressRange> outside, std::uint16_t size)
      : inside_(inside), outside_(outside), size_(size), per_address_((0x10000U - kNatPortFirst) / size) {}

  /// nullopt: not an inside address, or one behind the last block (never in a checked snapshot).
  [[nodiscard]] std::optional<PortBlock> of(std::uint32_t inside) const;
  /// The inside address whose block holds an outside port.
  [[nodiscard]] std::optional<std::uint32_t> owner(std::uint32_t outside, std::uint16_t port) const;
  [[nodiscard]] std::uint64_t inside_addresses() const;
  /// Blocks there are.
  [[nodiscard]] std::uint64_t blocks() const;

 private:
  std::span<const snapshot::AddressRange> inside_, outside_;
  std::uint32_t size_;
  std::uint32_t per_address_;
};

}  // namespace sekisho::filters
