// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/neighbour.h"

#include <rte_pause.h>

#include "base/net/endian.h"
#include "dataplane/session/flow_key.h"
#include "dataplane/session/session.h"

namespace sekisho::dataplane {
namespace {

constexpr std::uint32_t kUnansweredTicks = 5 * kTicksPerSecond;   // then the place may be given away
constexpr std::uint32_t kForgottenTicks = 1200 * kTicksPerSecond; // not confirmed for so long: likewise
constexpr std::uint32_t kInsertTries = 64;                         // an insertion's time over; longer only when its core was taken away
constexpr std::uint32_t kAnswerTicks = 3 * kTicksPerSecond;       // an answer later than this is nobody's

NeighbourState state_of(std::uint64_t value) { return static_cast<NeighbourState>(value & 0xffU); }

}  // namespace

NeighbourTable::NeighbourTable() : storage_(std::make_unique<std::array<Entry, kCapacity>>()), entries_(*storage_) {
  rte_spinlock_init(&inserting_);
}

NeighbourTable::Key NeighbourTable::key_of(std::uint32_t port_id, const Address& address) {
  return {load_be<std::uint64_t>(address.bytes, 0), load_be<std::uint64_t>(address.bytes, 8),
          std::uint64_t{port_id} << 8 | static_cast<std::uint8_t>(address.family)};
}

std::uint32_t NeighbourTable::home(const Key& key) {
  return static_cast<std::uint32_t>(mix(key.high ^ key.port_and_family ^ 0x9e3779b97f4a7c15ULL, key.low ^ 0xe7037ed1a0b428dbULL));
}

NeighbourTable::Handle NeighbourTable::match(std::uint32_t place, const Key& key) const noexcept {
  const Entry& entry = entries_[place];
  // acquire: pairs with the release in find_or_make; a version that changed meanwhile means a torn key
  const std::uint32_t version = entry.version.load(std::memory_order_acquire);
  if ((version & 1U) != 0 || version == 0) return kNone;
  const Key held{entry.high.load(std::memory_order_acquire), entry.low.load(std::memory_order_acquire),
                 entry.port_and_family.load(std::memory_order_acquire)};
  if (!(held == key) || entry.version.load(std::memory_order_relaxed) != version) return kNone;
  return handle_of(place, version);
}

NeighbourTable::Handle NeighbourTable::find(const Key& key) const noexcept {
  const std::uint32_t start = home(key);
  for (std::uint32_t probe = 0; probe < kProbesMax; ++probe) {
    const Handle handle = match((start + probe) % kCapacity, key);
    if (handle != kNone) return handle;
  }
  return kNone;
}

NeighbourTable::Handle NeighbourTable::find(std::uint32_t port_id, const Address& address) const noexcept {
  return find(key_of(port_id, address));
}

std::uint32_t NeighbourTable::choose(std::uint32_t start, std::uint32_t port_id, std::uint32_t now_tick) const noexcept {
  std::uint32_t chosen = kNone;
  std::uint32_t open = 0;
  std::uint32_t taken = 0;
  for (std::uint32_t probe = 0; probe < kProbesMax; ++probe) {
    const std::uint32_t place = (start + probe) % kCapacity;
    const Entry& entry = entries_[place];
    const NeighbourState state = state_of(entry.value.load(std::memory_order_relaxed));
    const bool unanswered = state == NeighbourState::kIncomplete &&
                            now_tick - entry.asked.load(std::memory_order_relaxed) > kUnansweredTicks;
    const bool forgotten = state == NeighbourState::kReachable &&
                           now_tick - entry.confirmed.load(std::memory_order_relaxed) > kForgottenTicks;
    if (state == NeighbourState::kFree || unanswered || forgotten) {
      if (chosen == kNone) chosen = place;
    } else if (entry.port_and_family.load(std::memory_order_relaxed) >> 8 == port_id) {
      ++taken;
      open += state == NeighbourState::kIncomplete ? 1U : 0U;
    }
  }
  return open < kOpenPerPortMax && taken < kPlacesPerPortMax ? chosen : kNone;
}

bool NeighbourTable::may_insert() noexcept {
  for (std::uint32_t tries = 0; tries < kInsertTries; ++tries, rte_pause()) {
    if (rte_spinlock_trylock(&inserting_) != 0) return true;
  }
  return false;
}

NeighbourTable::Handle NeighbourTable::find_or_make(std::uint32_t port_id, const Address& address,
                                                    std::uint32_t now_tick) noexcept {
  const Key key = key_of(port_id, address);
  Handle handle = find(key);
  if (handle != kNone || !may_insert()) return handle;

  handle = find(key);  // another shard may have been faster
  const std::uint32_t place = handle == kNone ? choose(home(key), port_id, now_tick) : kNone;
  if (place != kNone) {
    Entry& entry = entries_[place];
    const std::uint32_t version = (entry.version.load(std::memory_order_relaxed) | 1U) + 1;
    entry.version.store(version - 1, std::memory_order_release);
    entry.value.store(0, std::memory_order_release);
    entry.high.store(key.high, std::memory_order_release);
    entry.low.store(key.low, std::memory_order_release);
    entry.port_and_family.store(key.port_and_family, std::memory_order_release);
    entry.asked.store(now_tick - kAskAgainTicks, std::memory_order_relaxed);
    entry.confirmed.store(now_tick, std::memory_order_relaxed);
    handle = handle_of(place, version);
    entry.value.store(pack(Mac{}, handle, NeighbourState::kIncomplete), std::memory_order_release);
    entry.version.store(version, std::memory_order_release);  // pairs with the acquire in match
  }
  rte_spinlock_unlock(&inserting_);
  return handle;
}

NeighbourTable::Reading NeighbourTable::read(Handle handle) const noexcept {
  const Entry& entry = entries_[place_of(handle)];
  const std::uint64_t value = entry.value.load(std::memory_order_acquire);
  if (handle_of(place_of(handle), entry.version.load(std::memory_order_acquire)) != handle) {
    return {Mac{}, NeighbourState::kFree};
  }
  return {Mac::from_number(value >> 16), state_of(value)};
}

bool NeighbourTable::should_ask(Handle handle, std::uint32_t now_tick) noexcept {
  Entry& entry = entries_[place_of(handle)];
  std::uint64_t value = entry.value.load(std::memory_order_relaxed);
  if (!written_for(value, handle)) return false;
  if (state_of(value) == NeighbourState::kReachable) {
    const std::uint32_t age = now_tick - entry.confirmed.load(std::memory_order_relaxed);
    if (age < kConfirmSeconds * kTicksPerSecond) return false;
    if (age > kConfirmSeconds * kTicksPerSecond + kUnansweredTicks) {
      entry.value.compare_exchange_strong(value, pack(Mac{}, handle, NeighbourState::kIncomplete),
                                          std::memory_order_relaxed);
    }
  }
  std::uint32_t asked = entry.asked.load(std::memory_order_relaxed);
  if (now_tick - asked < kAskAgainTicks) return false;
  return entry.asked.compare_exchange_strong(asked, now_tick, std::memory_order_relaxed);
}

bool NeighbourTable::answer(std::uint32_t port_id, const Address& address, const Mac& mac, std::uint32_t now_tick) noexcept {
  const Handle handle = find(port_id, address);
  if (handle == kNone) return false;
  Entry& entry = entries_[place_of(handle)];
  if (now_tick - entry.asked.load(std::memory_order_relaxed) > kAnswerTicks) return false;
  std::uint64_t value = entry.value.load(std::memory_order_relaxed);
  do {
    if (!written_for(value, handle)) return false;  // the place was given away since find()
  } while (!entry.value.compare_exchange_weak(value, pack(mac, handle, NeighbourState::kReachable),
                                              std::memory_order_release, std::memory_order_relaxed));  // pairs with read
  entry.confirmed.store(now_tick, std::memory_order_relaxed);
  return true;
}

void NeighbourTable::copy(const NeighbourTable& other) noexcept {
  for (std::uint32_t place = 0; place < kCapacity; ++place) {
    const Entry& from = other.entries_[place];
    Entry& to = entries_[place];
    const std::uint32_t version = from.version.load(std::memory_order_acquire);  // pairs with the release in find_or_make
    to.high.store(from.high.load(std::memory_order_acquire), std::memory_order_relaxed);
    to.low.store(from.low.load(std::memory_order_acquire), std::memory_order_relaxed);
    to.port_and_family.store(from.port_and_family.load(std::memory_order_acquire), std::memory_order_relaxed);
    to.asked.store(from.asked.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.confirmed.store(from.confirmed.load(std::memory_order_relaxed), std::memory_order_relaxed);
    to.value.store(from.value.load(std::memory_order_acquire), std::memory_order_relaxed);
    const bool whole = (version & 1U) == 0 && from.version.load(std::memory_order_relaxed) == version;
    to.version.store(whole ? version : 0, std::memory_order_relaxed);
    if (!whole) to.value.store(0, std::memory_order_relaxed);
  }
}

NeighbourTable::Listing NeighbourTable::list(std::uint32_t place) const noexcept {
  const Entry& entry = entries_[place];
  const std::uint64_t value = entry.value.load(std::memory_order_acquire);
  const std::uint64_t port_and_family = entry.port_and_family.load(std::memory_order_acquire);
  Listing out{static_cast<std::uint32_t>(port_and_family >> 8), Address{}, {Mac::from_number(value >> 16), state_of(value)}};
  out.address.family = static_cast<Family>(port_and_family & 0xffU);
  store_be<std::uint64_t>(out.address.bytes, 0, entry.high.load(std::memory_order_acquire));
  store_be<std::uint64_t>(out.address.bytes, 8, entry.low.load(std::memory_order_acquire));
  return out;
}

}  // namespace sekisho::dataplane
