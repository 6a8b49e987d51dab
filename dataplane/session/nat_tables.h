// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "dataplane/dpdk/huge_array.h"
#include "dataplane/session/flow_key.h"
#include "filters/nat/port_block.h"

/// What shards must agree on about translated flows. Both tables are fixed sets of sixteen 64-bit words, changed by
/// compare-and-swap alone: nobody waits, and a full set is a refusal the caller names kNatExhausted.
/// Thread: any. Limits: twice as many places as the box has sessions, four times as many for owners.
namespace sekisho::dataplane {

/// Sixteen words: two cache lines.
class AtomicSets {
 public:
  using Word = std::atomic<std::uint64_t>;
  static constexpr std::uint32_t kWays = 16;

  AtomicSets() = default;
  AtomicSets(const char* name, std::uint32_t places);
  [[nodiscard]] bool valid() const { return words_.valid(); }
  [[nodiscard]] Word* set(std::uint64_t hash) { return &words_[(hash & mask_) * kWays]; }
  [[nodiscard]] const Word* set(std::uint64_t hash) const { return &words_[(hash & mask_) * kWays]; }

 private:
  HugeArray<Word> words_;
  std::uint64_t mask_ = 0;
};

/// Which shard owns a flow of a tenant with NAT rules, by every key it has: the translated one, which does not steer to its
/// shard by itself, and its own, so that no translation on another shard takes it (docs/adr/0014-translated-flows.md).
class FlowOwners {
 public:
  static constexpr std::uint32_t kNone = 0xffffffffU;
  static Result<FlowOwners> create(std::uint32_t sessions);

  /// Notes the owner of a flow by the hash of its key. False: another flow is noted under it, or there is no place.
  bool add(std::uint64_t hash, std::uint32_t shard) noexcept;
  void remove(std::uint64_t hash, std::uint32_t shard) noexcept;
  [[nodiscard]] std::uint32_t find(std::uint64_t hash) const noexcept;

 private:
  AtomicSets sets_;
};

/// An outside address of a tenant and protocol, whose ports are claimed, and the inside address that claims them.
struct ClaimSpace {
  std::uint32_t tenant;
  std::uint32_t outside;
  std::uint8_t protocol;
  HashSeed seed;
  std::uint32_t inside;
  [[nodiscard]] std::uint64_t hash(std::uint16_t port) const {
    return mix(seed.a ^ (std::uint64_t{tenant} << 8 | protocol), seed.b ^ (std::uint64_t{outside} << 16 | port));
  }
  /// What a claim is known by: no two ports of one inside address are alike, and of two addresses hardly ever. Two share a
  /// block for seconds, while a commit that moved it has not reached all sessions.
  [[nodiscard]] std::uint16_t endpoint(std::uint16_t port) const { return static_cast<std::uint16_t>(port ^ mix(seed.b ^ inside, seed.a)); }
};

/// Which inside port an outside port stands for: endpoint-independent mapping (RFC 4787 REQ-1), the same for all shards.
///
/// Overview. An inside endpoint tries the ports of its block in its own order (PortBlock::candidate) and takes the first
/// that nobody has. Whoever had to pass a port leaves a mark on it, and a marked port is not free before the mark is gone:
/// so the next session of the endpoint, on whatever shard, meets the same ports in the same order and finds its own.
class PortClaims {
 public:
  struct Claim {
    std::uint16_t port;
    std::uint8_t probe;
  };
  static Result<PortClaims> create(std::uint32_t sessions);

  /// One more session of `inside_port`. nullopt: no port is left within kNatPortProbes, or no place in its set.
  std::optional<Claim> take(const ClaimSpace& space, const filters::PortBlock& block, std::uint16_t inside_port) noexcept;
  /// That session has ended.
  void release(const ClaimSpace& space, const filters::PortBlock& block, std::uint16_t inside_port, std::uint8_t probe) noexcept;

 private:
  enum class Found : std::uint8_t { kMine, kTaken, kFree, kFull };
  Found join(std::uint64_t hash, std::uint16_t endpoint) noexcept;
  bool insert(std::uint64_t hash, std::uint16_t endpoint) noexcept;
  bool mark(std::uint64_t hash, std::uint16_t endpoint) noexcept;
  void unmark(std::uint64_t hash) noexcept;
  bool leave(std::uint64_t hash, std::uint16_t endpoint) noexcept;

  AtomicSets sets_;
};

}  // namespace sekisho::dataplane
