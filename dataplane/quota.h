// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace sekisho::dataplane {

/// A steady rate with a burst, as its users count it: packets, records, bytes. `per_second` 0 = no limit.
struct Rate {
  std::uint64_t per_second = 0;
  std::uint64_t burst = 0;  ///< at least 1

  /// What a shard takes at a time: a part of the burst small enough that what other shards keep unused is no loss.
  [[nodiscard]] std::uint32_t step() const { return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(burst / 128, 1, 65536)); }
};

/// What one tenant has used of a rate, all shards together. One number: the time at which everything taken will have
/// come back (the generic cell rate algorithm, ITU-T I.371). Any thread.
class SharedMeter {
 public:
  /// Takes `amount` when that much is left at `now_ns` (steady). Never waits; tries again only when another thread took
  /// at the same moment.
  bool take(const Rate& rate, std::uint64_t amount, std::uint64_t now_ns) noexcept {
    const std::uint64_t cost = scaled(amount, rate);
    const std::uint64_t whole = scaled(rate.burst, rate);
    std::uint64_t back = back_at_ns_.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint64_t next = std::max(back, now_ns) + cost;
      if (next > now_ns + whole) return false;
      if (back_at_ns_.compare_exchange_weak(back, next, std::memory_order_relaxed)) return true;
    }
  }
  /// What is left at `now_ns`, at most the burst.
  [[nodiscard]] std::uint64_t left(const Rate& rate, std::uint64_t now_ns) const noexcept {
    const std::uint64_t back = back_at_ns_.load(std::memory_order_relaxed);
    if (back <= now_ns) return rate.burst;
    const auto used = static_cast<std::uint64_t>(static_cast<Wide>(back - now_ns) * rate.per_second / kSecond);
    return used >= rate.burst ? 0 : rate.burst - used;
  }
  void reset() noexcept { back_at_ns_.store(0, std::memory_order_relaxed); }

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr std::uint64_t kSecond = 1'000'000'000;
  static std::uint64_t scaled(std::uint64_t amount, const Rate& rate) noexcept {
    return static_cast<std::uint64_t>(static_cast<Wide>(amount) * kSecond / rate.per_second);
  }

  std::atomic<std::uint64_t> back_at_ns_{0};
};

/// The most of a rate's burst that was in use since somebody looked. Any thread.
class HighWater {
 public:
  void raise(std::uint64_t used) noexcept {
    std::uint64_t before = most_.load(std::memory_order_relaxed);
    while (before < used && !most_.compare_exchange_weak(before, used, std::memory_order_relaxed)) {
    }
  }
  /// It, and begins anew.
  std::uint64_t take() noexcept { return most_.exchange(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> most_{0};
};

/// One shard's hand in a SharedMeter: it takes a step at a time, so that the shared line is touched once a step and a
/// tenant whose traffic meets one shard only still has its whole rate. The owning shard only.
class MeterShare {
 public:
  /// True when `amount` may pass. The last step may be overdrawn by less than `amount`, which the next one pays. `mark` is raised
  /// with each step, and to the whole burst when nothing is left.
  bool take(SharedMeter& shared, const Rate& rate, std::uint32_t amount, std::uint64_t now_ns, HighWater* mark = nullptr) noexcept {
    if (rate.per_second == 0) return true;
    if (!refill(shared, rate, now_ns, mark)) return false;
    left_ -= amount;
    return true;
  }
  /// True when take() would be true; what is taken from `shared` for it is kept.
  bool has(SharedMeter& shared, const Rate& rate, std::uint64_t now_ns, HighWater* mark = nullptr) noexcept {
    return rate.per_second == 0 || refill(shared, rate, now_ns, mark);
  }

 private:
  bool refill(SharedMeter& shared, const Rate& rate, std::uint64_t now_ns, HighWater* mark) noexcept {
    if (left_ > 0) [[likely]] return true;
    const auto owed = static_cast<std::uint64_t>(-left_);
    // A step, or near the end of the rate the least that lets one more pass: a step that is refused would be lost to it.
    for (const std::uint64_t wanted : {owed + rate.step(), owed + 1}) {
      const std::uint64_t amount = std::min(wanted, rate.burst);
      if (!shared.take(rate, amount, now_ns)) continue;
      left_ += static_cast<std::int64_t>(amount);
      if (mark != nullptr) mark->raise(rate.burst - shared.left(rate, now_ns));
      return left_ > 0;
    }
    if (mark != nullptr) mark->raise(rate.burst);
    return false;
  }

  std::int64_t left_ = 0;
};

/// What all shards know together of one tenant slot.
struct alignas(64) TenantQuota {
  SharedMeter new_sessions;
  SharedMeter bandwidth;               ///< L3 bytes
  SharedMeter log;                     ///< comm records
  std::atomic<std::uint64_t> log_rate{0};  ///< records a second << 32 | burst; 0 = no limit. Written by the control thread
  std::atomic<std::uint64_t> sessions{0};  ///< given to shards, used or not
  std::atomic<std::uint64_t> half_open{0};  ///< TCP connections not yet established
  std::atomic<std::uint64_t> fragments{0};  ///< pieces of datagrams that wait
  SharedMeter errors;                  ///< errors and resets we send
  SharedMeter echoes;                  ///< echo replies we send
  SharedMeter punts;                   ///< datagrams for the keying daemon
  HighWater new_sessions_most;         ///< for QuotaWatch
  HighWater log_most;

  void reset_meters() noexcept {
    for (SharedMeter* meter : {&new_sessions, &bandwidth, &log, &errors, &echoes, &punts}) meter->reset();
  }
};

/// Drops that are made cheap: counted each, logged once a tick.
enum class Excess : std::uint8_t { kSessionRate = 0, kBandwidth, kFairShare, kCount };

/// What one shard keeps of it.
struct TenantShare {
  MeterShare new_sessions;
  MeterShare bandwidth;
  MeterShare errors;
  MeterShare echoes;
  MeterShare punts;
  std::uint32_t sessions_granted;      ///< of TenantQuota::sessions: what may be open here
  std::uint32_t sessions_guaranteed;   ///< of this generation, this shard's part
  std::uint32_t visit;                 ///< Shard::visit in which `carried` counts
  std::uint32_t carried;               ///< packets
  std::uint32_t seen_tick;             ///< + 1; when it last used one of `seen_inlets`
  std::uint32_t seen_inlets;           ///< bit per source of packets
  std::array<std::uint32_t, static_cast<std::size_t>(Excess::kCount)> logged_tick;  ///< + 1
};

/// Whether one source of packets, a receive queue or the ring from other shards, brings more than can be carried.
struct Backlog {
  std::uint32_t tick = 0;
  std::uint32_t active = 0;         ///< tenants seen in this tick
  std::uint32_t active_before = 0;  ///< in the tick before
  std::uint8_t full = 0;            ///< visits in a row that left packets behind
  std::uint8_t calm = 0;            ///< visits in a row that needed no help
  bool fair = false;                ///< each tenant gets its share only
};

}  // namespace sekisho::dataplane
