// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_spinlock.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/net/address.h"

namespace sekisho::dataplane {

/// What can be known of a neighbour.
enum class NeighbourState : std::uint8_t { kFree = 0, kIncomplete, kReachable };

/// Neighbours found by asking (ARP, ND) on ports without Bindings: routers and hosts of uplinks. Those of bound ports are
/// static, come from Bindings and stand in the Runtime; nothing is ever learned there.
///
/// Overview. A fixed table shared by all shards. An entry is made when a packet needs it, filled only by an answer to our
/// own question, and confirmed again every kConfirmSeconds. Synchronisation. Readers take one 64-bit atomic load (MAC and
/// state together); making an entry takes a try-lock and fails rather than waits. Limits. kCapacity
/// entries, looked for at kProbesMax places; an unanswered or long unconfirmed entry is reused.
class NeighbourTable {
 public:
  static constexpr std::uint32_t kCapacity = 4096;
  static constexpr std::uint32_t kConfirmSeconds = 60;
  static constexpr std::uint32_t kAskAgainTicks = 4;  ///< one question a second
  static constexpr std::uint32_t kNone = 0xffffffffU;

  struct Reading {
    Mac mac;
    NeighbourState state;
  };

  NeighbourTable();

  /// A handle names an entry and the key it held: 12 bits of place, 19 bits of version. When the entry was given to
  /// another address, read() of an old handle says kFree and the caller looks the neighbour up again.
  using Handle = std::uint32_t;

  /// The entry of (PortId value, address), or kNone. Any shard.
  [[nodiscard]] Handle find(std::uint32_t port_id, const Address& address) const noexcept;
  /// find(), or a new kIncomplete entry; kNone when the table or the port's share is full, or another shard was
  /// inserting for longer than an insertion takes.
  [[nodiscard]] Handle find_or_make(std::uint32_t port_id, const Address& address, std::uint32_t now_tick) noexcept;

  [[nodiscard]] Reading read(Handle handle) const noexcept;
  /// True when this caller shall send a question now: not asked within kAskAgainTicks, and either incomplete or due for
  /// confirmation. At most one shard gets true for one period. A neighbour that stays silent becomes kIncomplete.
  /// False for the handle of an entry that was given to another address.
  [[nodiscard]] bool should_ask(Handle handle, std::uint32_t now_tick) noexcept;
  /// An answer came in. Ignored (false) unless a question is open: nobody volunteers a MAC.
  bool answer(std::uint32_t port_id, const Address& address, const Mac& mac, std::uint32_t now_tick) noexcept;

  /// Makes this table what `other` is now, handles included; entries being rewritten are left out. Nobody else may use
  /// this table meanwhile.
  void copy(const NeighbourTable& other) noexcept;

  [[nodiscard]] static std::uint32_t place_of(Handle handle) { return handle & (kCapacity - 1); }
  /// What the entry at place 0 .. kCapacity-1 holds, for listings; state kFree when none.
  struct Listing {
    std::uint32_t port_id;
    Address address;
    Reading reading;
  };
  [[nodiscard]] Listing list(std::uint32_t place) const noexcept;

 private:
  bool may_insert() noexcept;

  /// The key in three words, each atomic, guarded by `version`: even and not 0 = stable, odd = being rewritten.
  struct Key {
    std::uint64_t high;
    std::uint64_t low;
    std::uint64_t port_and_family;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    std::atomic<std::uint64_t> value{0};  ///< MAC << 16 | tag << 8 | state; the tag is of the version it was written for
    std::atomic<std::uint64_t> high{0}, low{0}, port_and_family{0};
    std::atomic<std::uint32_t> version{0};
    std::atomic<std::uint32_t> asked{0};      ///< tick of the last question
    std::atomic<std::uint32_t> confirmed{0};  ///< tick of the last answer
  };
  static constexpr std::uint32_t kPlaceBits = 12;
  static_assert(kCapacity == 1U << kPlaceBits);
  static Key key_of(std::uint32_t port_id, const Address& address);
  static std::uint32_t home(const Key& key);
  static Handle handle_of(std::uint32_t place, std::uint32_t version) {
    return (version & 0x7ffffU) << kPlaceBits | place;
  }
  /// The handle when the entry holds `key`, else kNone.
  [[nodiscard]] Handle match(std::uint32_t place, const Key& key) const noexcept;
  [[nodiscard]] Handle find(const Key& key) const noexcept;
  /// The place a new key of `port_id` may take, or kNone. Under the lock.
  [[nodiscard]] std::uint32_t choose(std::uint32_t start, std::uint32_t port_id, std::uint32_t now_tick) const noexcept;
  /// Ties a value to the key it was written for: an answer that comes late cannot overwrite a place given away meanwhile.
  static std::uint64_t tag_of(Handle handle) { return handle >> (kPlaceBits + 1) & 0xffU; }
  static bool written_for(std::uint64_t value, Handle handle) { return (value >> 8 & 0xffU) == tag_of(handle); }
  static std::uint64_t pack(const Mac& mac, Handle handle, NeighbourState state) {
    return mac.number() << 16 | tag_of(handle) << 8 | static_cast<std::uint64_t>(state);
  }

  static constexpr std::uint32_t kProbesMax = 16;
  // Of the places looked at, those one port may take: its questions a quarter, so that nobody's scan closes the table.
  static constexpr std::uint32_t kOpenPerPortMax = 4;
  static constexpr std::uint32_t kPlacesPerPortMax = 12;
  std::unique_ptr<std::array<Entry, kCapacity>> storage_;
  std::array<Entry, kCapacity>& entries_;
  rte_spinlock_t inserting_;
};

}  // namespace sekisho::dataplane
