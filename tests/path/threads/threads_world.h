// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "dataplane/dpdk/ring_order.h"
#include "filters/packet/decode.h"
#include "filters/packet/fields.h"
#include "filters/packet/nd.h"
#include "tests/support/eal.h"
#include "tests/support/world.h"

/// What tests of workers as threads share: a world whose shards run in threads of their own, on ring ports. Under
/// ThreadSanitizer the drivers' rings and pools, which it cannot see into, are given their order by callbacks and a pool
/// with a lock.
namespace sekisho::tests {

using filters::DropReason;

/// A pool's objects behind a lock: the order that rte_mempool's own ring would give.
struct LockedPool {
  std::mutex lock;
  std::vector<void*> objects;

  static LockedPool& of(const rte_mempool* pool) { return *static_cast<LockedPool*>(pool->pool_data); }
  /// Kept here, not in the pool alone: the leak checker does not look into DPDK's memory. The frames' pool lives to the end.
  static int alloc(rte_mempool* pool) {
    static std::vector<std::unique_ptr<LockedPool>> all;
    pool->pool_data = all.emplace_back(std::make_unique<LockedPool>()).get();
    return 0;
  }
  static void free(rte_mempool*) {}
  static int put(rte_mempool* pool, void* const* objects, unsigned count) {
    const std::lock_guard guard(of(pool).lock);
    of(pool).objects.insert(of(pool).objects.end(), objects, objects + count);
    return 0;
  }
  static int take(rte_mempool* pool, void** objects, unsigned count) {
    const std::lock_guard guard(of(pool).lock);
    std::vector<void*>& all = of(pool).objects;
    if (all.size() < count) return -ENOBUFS;
    std::copy(all.end() - count, all.end(), objects);
    all.resize(all.size() - count);
    return 0;
  }
  static unsigned left(const rte_mempool* pool) {
    const std::lock_guard guard(of(pool).lock);
    return static_cast<unsigned>(of(pool).objects.size());
  }
};

inline void use_locked_pools() {
  static const bool done = [] {
    ensure_eal();
    rte_mempool_ops ops{};
    std::strcpy(ops.name, "locked");
    ops.alloc = LockedPool::alloc;
    ops.free = LockedPool::free;
    ops.enqueue = LockedPool::put;
    ops.dequeue = LockedPool::take;
    ops.get_count = LockedPool::left;
    return rte_mempool_register_ops(&ops) >= 0 && rte_mbuf_set_user_mempool_ops("locked") == 0;
  }();
  ASSERT_TRUE(done);
}

inline std::uint16_t received(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t count, std::uint16_t, void* ring) {
  dataplane::after_taken(ring);
  return count;
}
inline std::uint16_t sending(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t count, void* ring) {
  dataplane::before_given(ring);
  return count;
}

/// A world whose shards run in threads of their own.
class Threads : public testing::TestWithParam<std::uint32_t> {
 protected:
  explicit Threads(WorldOptions options = {.log_records = 1024}) : options_(options) {}
  void SetUp() override {
    use_locked_pools();
    options_.workers = GetParam();
    world_ = std::make_unique<World>(options_);
    static const bool ordered = [] {
      for (std::uint16_t nic = 0; nic < kNics; ++nic) {
        const std::string name = "wire" + std::to_string(nic);
        rte_eth_add_rx_callback(nic, 0, received, rte_ring_lookup((name + "i").c_str()));
        rte_eth_add_tx_callback(nic, 0, sending, rte_ring_lookup((name + "o").c_str()));
      }
      return true;
    }();
    static_cast<void>(ordered);
  }
  void TearDown() override {
    finish();
    EXPECT_TRUE(world_->conserved());
  }
  void start() {
    for (std::uint32_t number = 0; number < GetParam(); ++number) {
      workers_.emplace_back([this, number] {
        cpu_set_t everywhere;  // the EAL has tied its own thread to one core
        CPU_ZERO(&everywhere);
        for (long cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); ++cpu) CPU_SET(static_cast<std::size_t>(cpu), &everywhere);
        pthread_setaffinity_np(pthread_self(), sizeof(everywhere), &everywhere);
        world_->engine().run(number);
      });
    }
  }
  void finish() {
    world_->engine().stop();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }
  [[nodiscard]] Frame packet(std::uint32_t flow, bool v6) const {
    FrameBuilder builder = FrameBuilder().ethernet(kClientMac, world_->gateway(kClientNic));
    v6 ? builder.ipv6("fd00:0:0:2::2", "fd00:0:0:1::2") : builder.ipv4("10.0.0.34", "10.0.0.2");
    return builder.udp(1000 + flow, 53).payload(20).build();
  }
  /// Sends `count` packets over 200 flows and waits until as many came out.
  void carry(std::size_t count) {
    constexpr std::size_t kUnderWay = 512;
    std::size_t sent = 0;
    std::size_t came = 0;
    while (came < count) {
      for (; sent < count && sent - came < kUnderWay; ++sent) {
        world_->queue(kClientNic, packet(static_cast<std::uint32_t>(sent % 200), sent % 2 != 0));
      }
      const std::size_t now = world_->collect(kServerNic).size();
      came += now;
      if (now == 0) std::this_thread::yield();
    }
  }

  using Next = std::function<std::pair<std::uint16_t, Frame>(std::size_t)>;
  using Came = std::function<bool(std::uint16_t, const Frame&)>;
  /// Sends `count` packets as `next` makes them, until each has ended: a frame came out of which `came` says so, it was dropped, or
  /// it ended `elsewhere`, a count. The uplink's router answers who it is.
  void pump(std::size_t count, const Next& next, const Came& came, std::size_t under_way = 256,
            const std::function<std::size_t()>& elsewhere = [] { return std::size_t{0}; }) {
    const std::size_t before = all_drops() + elsewhere();
    std::size_t sent = 0;
    std::size_t arrived = 0;
    for (;;) {
      const std::size_t ended = arrived + all_drops() + elsewhere() - before;
      if (ended >= count) return;
      for (; sent < count && sent < ended + under_way; ++sent) {
        const auto [nic, frame] = next(sent);
        world_->queue(nic, frame);
      }
      bool any = false;
      for (std::uint16_t nic = 0; nic < kNics; ++nic) {
        for (const Frame& frame : world_->collect(nic)) {
          any = true;
          if (nic == kUplinkNic && asks_for_router(frame)) {
            answer_as_router(read(frame));
          } else if (came(nic, frame)) {
            ++arrived;
          }
        }
      }
      if (!any) std::this_thread::yield();
    }
  }
  /// Until each worker has judged every session by the generation in force.
  void wait_for_sweeps() {
    const std::uint32_t generation = world_->engine().runtime()->generation;
    for (std::uint32_t number = 0; number < world_->engine().shards(); ++number) {
      while (world_->engine().shard(number).sweep.finished.read() != generation) std::this_thread::yield();
    }
  }
  [[nodiscard]] std::uint64_t all_drops() const {
    std::uint64_t out = 0;
    for (std::uint32_t number = 0; number < world_->engine().shards(); ++number) out += world_->engine().shard(number).packets.dropped.read();
    return out - world_->drops(DropReason::kNeighbourUnsolicited);  // two workers asked, and the router answered twice
  }
  /// Sends one packet at a time until the router's answer lets one through. Where others have the processor the answer may take longer
  /// than the two seconds a packet waits for it: one that did wait so long is no part of unexpected_drops().
  void learn_router(const Next& next, const Came& came) {
    for (std::uint64_t unanswered = world_->drops(DropReason::kNeighbourUnresolved);; unanswered = before_the_router_) {
      const auto begun = std::chrono::steady_clock::now();
      pump(1, next, came);
      before_the_router_ = world_->drops(DropReason::kNeighbourUnresolved);
      if (before_the_router_ == unanswered) return;
      ASSERT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(1500)) << "it was not held";
    }
  }
  /// Names of the reasons packets ended for, besides `expected`.
  [[nodiscard]] std::string unexpected_drops(const std::vector<DropReason>& expected) const {
    std::string out;
    for (std::size_t i = 1; i < static_cast<std::size_t>(DropReason::kCount); ++i) {
      const auto reason = static_cast<DropReason>(i);
      const bool known = reason == DropReason::kNeighbourUnsolicited || std::find(expected.begin(), expected.end(), reason) != expected.end();
      const std::uint64_t drops = world_->drops(reason) - (reason == DropReason::kNeighbourUnresolved ? before_the_router_ : 0);
      if (!known && drops != 0) out += std::string(filters::info(reason).name) + " " + std::to_string(drops) + "; ";
    }
    return out;
  }
  static filters::PacketMeta read(const Frame& frame) {
    filters::PacketMeta meta{};
    EXPECT_EQ(filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
    return meta;
  }
  static bool asks_for_router(const Frame& frame) {
    const filters::PacketMeta meta = read(frame);
    return (meta.proof & filters::kProofArp) != 0 || filters::is_nd(meta);
  }
  void answer_as_router(const filters::PacketMeta& question) {
    const Mac own = world_->gateway(kUplinkNic);
    FrameBuilder answer = FrameBuilder().ethernet(kRouterMac, own);
    if ((question.proof & filters::kProofArp) != 0) {
      answer.arp({.operation = 2, .sender_mac = kRouterMac, .sender = address("192.0.2.2"), .target_mac = own, .target = address("192.0.2.1")});
    } else {
      answer.ipv6("2001:db8:0:1::2", "2001:db8:0:1::1", {.hop_limit = 255}).nd(136, {.target = address("2001:db8:0:1::2"), .target_link_layer = kRouterMac, .flags = 0x60000000U});
    }
    world_->queue(kUplinkNic, answer.build());
  }

  WorldOptions options_;
  std::unique_ptr<World> world_;
  std::uint64_t before_the_router_ = 0;  ///< packets that ended while nobody knew the router
  std::vector<std::thread> workers_;
};

/// A thread that does something again and again until it is told to end, and at least `least` times.
class Beside {
 public:
  Beside(unsigned least, std::function<void(unsigned)> work)
      : least_(least), thread_([this, work = std::move(work)] {
          for (unsigned round = 0; !ended_.load() || round < least_; ++round) {
            work(round);
            rounds_.store(round + 1);
          }
        }) {}
  ~Beside() { end(); }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  [[nodiscard]] unsigned rounds() const { return rounds_.load(); }
  void end() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  const unsigned least_;
  std::atomic<bool> ended_{false};
  std::atomic<unsigned> rounds_{0};
  std::thread thread_;
};

}  // namespace sekisho::tests
