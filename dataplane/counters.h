// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "filters/drop_reason.h"

namespace sekisho::dataplane {

/// A count that one thread writes and any thread reads. A plain add on x86-64: no lock, no exchange.
class Counter {
 public:
  void add(std::uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
  }
  void set(std::uint64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};
static_assert(sizeof(Counter) == 8);

/// Every packet of a shard, by how it came and how it ended. After each burst:
/// received + handed_in + generated == sent + punted + dropped + handed_out + held.
struct PacketCounters {
  Counter received;    ///< from NICs
  Counter generated;   ///< made here: ARP, ND, ICMP errors, resets
  Counter handed_in;   ///< from other shards
  Counter handed_out;
  Counter sent;
  Counter punted;      ///< meant for the gateway itself and consumed
  Counter dropped;
  Counter held;        ///< now waiting for a neighbour or in a transmit buffer: a gauge
  Counter violations;  ///< turns after which the sum did not hold
};

struct TenantCounters {
  std::array<Counter, static_cast<std::size_t>(filters::DropReason::kCount)> drops;
  Counter sessions;  ///< now open: a gauge
  Counter cookies;   ///< SYNs answered with a cookie
  Counter log_lost;
};

struct PortCounters {
  Counter rx_packets, rx_bytes, tx_packets, tx_bytes;
};

struct RuleCounters {
  Counter connections, packets, bytes, first_hit_ns, last_hit_ns;
};

}  // namespace sekisho::dataplane
