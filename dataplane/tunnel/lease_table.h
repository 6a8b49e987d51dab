// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "base/net/address.h"
#include "base/result.h"
#include "dataplane/tunnel/spi.h"

namespace sekisho::dataplane {

/// Whose an inner address is, and how packets to it leave.
struct Lease {
  std::uint32_t tunnel = 0;
  std::uint32_t user = 0;        ///< UserId value; 0: nobody the configuration names
  std::uint32_t port = 0;        ///< PortId value of the tunnel Port
  std::uint32_t outbound = 0;    ///< handle of the outbound SA, which names its worker; 0: none yet; kRing: it has none
  std::uint16_t inner_mtu = 0;   ///< the longest packet that SA carries; 0 with `outbound`

  /// In place of a handle: packets to it cross the ring of the daemon that opened the tunnel, each on the worker that has it.
  static constexpr std::uint32_t kRing = 1;  // generation 0: no handle

  [[nodiscard]] std::uint32_t worker() const { return Spi::worker(outbound); }
};

/// (tenant, inner address) -> Lease, of all tunnels of the box. Written by the control thread alone, read by every worker
/// without lock: one cache line an entry, which is one line a lookup but for collisions (at most half full).
///
/// Synchronisation: a seqlock an entry. A reader that meets a writer tries again, kTriesMax times, then says that there is
/// nobody: a packet may be lost while its address changes hands, no thread waits for another. What changes while a lease
/// lives, the outbound SA, is one word.
class LeaseTable {
 public:
  LeaseTable() : LeaseTable(1) {}
  /// Room for `leases`, not more than kLeasesMax. Before anybody reads.
  static Result<LeaseTable> create(std::uint32_t leases);
  static constexpr std::uint32_t kLeasesMax = 1U << 22;

  /// Any thread.
  [[nodiscard]] std::optional<Lease> find(std::uint32_t tenant, const Address& address) const noexcept {
    return find(key_of(tenant, address));
  }
  /// The same for an address as it lies in a packet: an Address made of it would be read back before it is written.
  [[nodiscard]] std::optional<Lease> find(std::uint32_t tenant, Family family, const std::uint8_t* wire) const noexcept {
    Key key{0, 0, std::uint64_t{tenant} << 8 | static_cast<std::uint8_t>(family)};
    if (family == Family::kIpv4) {
      std::uint32_t word;
      std::memcpy(&word, wire, sizeof(word));
      key.high = word;
    } else {
      std::memcpy(&key.high, wire, 8);
      std::memcpy(&key.low, wire + 8, 8);
    }
    return find(key);
  }

  // The control thread only.
  /// Enters or replaces; of a lease whose tunnel, user and Port stay, only the way out. False: full.
  bool set(std::uint32_t tenant, const Address& address, const Lease& lease) noexcept;
  void erase(std::uint32_t tenant, const Address& address) noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept { return used_; }

 private:
  struct Key {
    std::uint64_t high, low, owner;
  };
  [[nodiscard]] std::optional<Lease> find(const Key& key) const noexcept {
    for (std::uint32_t at = hash(key) & mask_, left = mask_ + 1; left > 0; at = (at + 1) & mask_, --left) {
      Lease lease;
      switch (read(entries_[at], key, lease)) {
        case Seen::kFound: return lease;
        case Seen::kEnd: return std::nullopt;
        case Seen::kOther: break;
      }
    }
    return std::nullopt;
  }

  static constexpr unsigned kTriesMax = 64;
  static constexpr std::uint64_t kEmpty = 0, kUsed = 1, kGone = 2, kStates = 3;  // low bits of `head`
  static constexpr std::uint64_t kWriting = 4, kVersion = 8;

  struct alignas(64) Entry {
    std::atomic<std::uint64_t> head{0};  // state, writing, version
    std::atomic<std::uint64_t> high{0}, low{0}, owner{0};
    std::atomic<std::uint64_t> who{0};   // tunnel, user
    std::atomic<std::uint64_t> port{0};
    std::atomic<std::uint64_t> way{0};   // outbound, inner MTU
  };
  static_assert(sizeof(Entry) == 64);
  enum class Seen : std::uint8_t { kFound, kOther, kEnd };

  explicit LeaseTable(std::uint32_t entries) : entries_(std::make_unique<Entry[]>(entries)), mask_(entries - 1) {}

  static Key key_of(std::uint32_t tenant, const Address& address) {
    Key key{};
    std::memcpy(&key.high, address.bytes.data(), 8);
    std::memcpy(&key.low, address.bytes.data() + 8, 8);
    key.owner = std::uint64_t{tenant} << 8 | static_cast<std::uint8_t>(address.family);
    return key;
  }
  static std::uint64_t who_of(const Lease& lease) { return std::uint64_t{lease.tunnel} << 32 | lease.user; }
  static std::uint64_t way_of(const Lease& lease) { return std::uint64_t{lease.outbound} << 32 | lease.inner_mtu; }
  static std::uint32_t hash(const Key& key) {
    std::uint64_t value = (key.high ^ std::rotl(key.low, 29) ^ key.owner * 0x9e3779b97f4a7c15ULL) * 0xff51afd7ed558ccdULL;
    value = (value ^ value >> 32) * 0xc4ceb9fe1a85ec53ULL;
    return static_cast<std::uint32_t>(value >> 32);
  }
  static Seen read(const Entry& entry, const Key& key, Lease& lease) noexcept {
    for (unsigned tries = 0; tries < kTriesMax; ++tries) {
      // acquire: pairs with the release in write()
      const std::uint64_t before = entry.head.load(std::memory_order_acquire);
      if ((before & kWriting) != 0) continue;
      if ((before & kStates) != kUsed) return (before & kStates) == kEmpty ? Seen::kEnd : Seen::kOther;
      // acquire: pairs with the release of each word in write(). Who reads a new word also sees, below, that it is being written.
      const bool same = entry.high.load(std::memory_order_acquire) == key.high && entry.low.load(std::memory_order_acquire) == key.low &&
                        entry.owner.load(std::memory_order_acquire) == key.owner;
      const std::uint64_t who = entry.who.load(std::memory_order_acquire);
      const std::uint64_t port = entry.port.load(std::memory_order_acquire);
      const std::uint64_t way = entry.way.load(std::memory_order_acquire);
      if (entry.head.load(std::memory_order_relaxed) != before) continue;
      if (!same) return Seen::kOther;
      lease.tunnel = static_cast<std::uint32_t>(who >> 32);
      lease.user = static_cast<std::uint32_t>(who);
      lease.port = static_cast<std::uint32_t>(port);
      lease.outbound = static_cast<std::uint32_t>(way >> 32);
      lease.inner_mtu = static_cast<std::uint16_t>(way);
      return Seen::kFound;
    }
    return Seen::kOther;
  }
  /// Where `key` is, or kNone.
  [[nodiscard]] std::uint32_t place_of(const Key& key) const noexcept;
  static void write(Entry& entry, std::uint64_t state, const Key& key, const Lease& lease) noexcept;

  std::unique_ptr<Entry[]> entries_;
  std::uint32_t mask_;
  std::uint32_t used_ = 0;
};

}  // namespace sekisho::dataplane
