// SPDX-License-Identifier: Apache-2.0
// Goal: the data plane with real worker threads: hand-off, snapshots swapped under traffic, sessions listed and logs read at
// the same time, and not a packet lost. Method: ring ports; the test waits for packets to come out, never for time. Under
// ThreadSanitizer the drivers' rings and pools, which it cannot see into, are given their order by callbacks and a pool
// with a lock.
#include <gtest/gtest.h>
#include <pthread.h>
#include <rte_ethdev.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/dpdk/ring_order.h"
#include "tests/support/eal.h"
#include "tests/support/world.h"

namespace sekisho::tests {
namespace {

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

void use_locked_pools() {
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

std::uint16_t received(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t count, std::uint16_t, void* ring) {
  dataplane::after_taken(ring);
  return count;
}
std::uint16_t sending(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t count, void* ring) {
  dataplane::before_given(ring);
  return count;
}

/// A world whose shards run in threads of their own.
class Threads : public testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override {
    use_locked_pools();
    world_ = std::make_unique<World>(WorldOptions{.workers = GetParam(), .log_records = 1024});
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

  std::unique_ptr<World> world_;
  std::vector<std::thread> workers_;
};
INSTANTIATE_TEST_SUITE_P(Workers, Threads, testing::Values(2U, 3U), [](const auto& test) { return "With" + std::to_string(test.param); });

TEST_P(Threads, SessionsCanBeAskedForBeforeTheFirstSnapshot) {
  start();
  std::size_t sessions = 0;
  world_->engine().for_each_session([&](dataplane::Shard&, std::uint32_t) { return ++sessions > 0; });
  EXPECT_EQ(sessions, 0U);
}

TEST_P(Threads, NoPacketIsLostWhileTheConfigurationChangesUnderIt) {
  constexpr std::size_t kPackets = 20'000;
  world_->apply(1, {{.id = 11, .protocol = 17}});
  start();
  std::atomic<bool> carried{false};
  std::atomic<std::uint32_t> generation{1};
  std::atomic<std::uint32_t> changes{0};
  std::size_t records = 0;
  std::thread control([&] {
    while (!carried.load() || changes.load() < 20) {
      const std::uint32_t next = generation.fetch_add(1) + 1;
      if (next % 2 == 0) {
        world_->apply(next, {{.id = 12, .protocol = 1}, {.id = 11, .protocol = 17}});
      } else {
        world_->apply(next, {{.id = 11, .protocol = 17}}, {.tenant_b = next % 3 != 0});
      }
      std::atomic<std::size_t> sessions{0};
      world_->engine().for_each_session([&](dataplane::Shard& shard, std::uint32_t index) {
        EXPECT_NE(shard.sessions.at(index).timeout, 0U);
        ++sessions;
        return true;
      });
      EXPECT_LE(sessions.load(), 200U);
      world_->engine().sync_clock();
      records += world_->records().size();
      ++changes;
    }
  });
  do carry(kPackets); while (changes.load() < 10);
  carried = true;
  control.join();
  finish();
  EXPECT_EQ(world_->sessions(), 200U);
  EXPECT_EQ(records, 0U);  // nothing was denied and nothing ended
  for (const DropReason reason : {DropReason::kPolicyChanged, DropReason::kDefaultDeny, DropReason::kHandoffFull, DropReason::kTxQueueFull}) {
    EXPECT_EQ(world_->drops(reason), 0U) << filters::info(reason).name;
  }
}

TEST_P(Threads, DeniedPacketsAreAllInTheLog) {
  constexpr std::uint64_t kPackets = 5000;
  world_->apply(1, {{.id = 11, .action = filters::snapshot::Action::kDrop, .log = filters::snapshot::kLogDropEach}});
  start();
  std::uint64_t logged = 0;
  std::uint64_t sent = 0;
  while (logged < kPackets) {
    for (; sent < kPackets && sent - logged < 256; ++sent) world_->queue(kClientNic, packet(static_cast<std::uint32_t>(sent % 200), sent % 2 != 0));
    for (const World::Record& record : world_->records()) logged += record.envelope.kind == LogKind::kLoss ? record.loss.count : 1;
    std::this_thread::yield();
  }
  finish();
  EXPECT_EQ(logged, kPackets);
  EXPECT_EQ(world_->drops(DropReason::kRuleDrop), kPackets);
}

}  // namespace
}  // namespace sekisho::tests
