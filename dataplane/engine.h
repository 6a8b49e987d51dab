// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_rcu_qsbr.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/loader.h"
#include "dataplane/dpdk/nic.h"
#include "dataplane/shard.h"

namespace sekisho::dataplane {

/// The data plane as one object: NICs, shards, the configuration in force. The EAL is up before it is made, and every
/// DPDK port that exists then is its own.
///
/// Threads. One control thread makes it, applies snapshots and asks; one thread a shard runs `run` (or a test calls
/// `turn` for each shard itself, in any order, from one thread).
class Engine {
 public:
  struct Options {
    std::uint32_t workers = 1;        ///< shards, 1..limits::kShardsMax
    ShardLimits shard;                ///< `sessions` is of the whole box here; each shard gets its part
    std::uint32_t mbufs = 16384;      ///< packets in flight, all shards together
    std::string service_device;       ///< DPDK's name of the service network's card; empty: there is none
    std::uint32_t idle_sleep_us = 0;  ///< sleep of a worker that found nothing to do for a while; 0 = always poll
  };
  struct Applied {
    std::uint32_t generation = 0;
    std::uint64_t build_microseconds = 0;
    std::uint64_t swap_microseconds = 0;
    ClassifierBuildStats classifier;
  };

  static Result<std::unique_ptr<Engine>> create(const Options& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Checks and compiles a snapshot, starts NICs it names for the first time, swaps it in, and returns when no worker
  /// uses the old one any more. False: `error` says why, and everything is as before. Applying the bytes in force again
  /// changes nothing. A generation lower than the one in force is refused, and so is the same one of the same moment with
  /// other bytes.
  bool apply(std::vector<std::uint8_t> bytes, Applied& applied, LoadError& error);

  /// The worker loop of one shard, until stop().
  void run(std::uint32_t shard);
  void stop() { stopping_.store(true, std::memory_order_relaxed); }
  /// One turn of one shard at time `tsc`: how tests and benchmarks drive it. Not while run() does.
  unsigned turn(std::uint32_t shard, std::uint64_t tsc);

  /// Ends the quarantine of a Binding (BindingId value) before its time, and forgets the link-locals it has pinned. False
  /// when it was in no quarantine.
  bool release_binding(std::uint32_t id);
  [[nodiscard]] const filters::Quarantine& quarantine(std::uint32_t binding_slot) const { return shared_->quarantines[binding_slot]; }
  /// Shows every live session of every shard to `visit`, in the shard's own thread, until it returns false. Waits for
  /// the shards; does the work itself when they are not running.
  void for_each_session(const std::function<bool(Shard&, std::uint32_t index)>& visit);

  /// Shows one shard to `look`, in the shard's own thread between two bursts: nothing changes there, and it is over at once.
  void look(std::uint32_t shard, const std::function<void(const Shard&)>& look);

  /// Has the shard's own thread do something short between two bursts, and waits until it is done.
  void on_shard(std::uint32_t shard, const std::function<void(Shard&)>& work);

  /// A configuration that is not to be in force: built from `bytes` into `slots`, a copy of slots(). Nothing of the
  /// running one is touched. nullptr, with `error`, when it would be refused.
  std::unique_ptr<Runtime> build_apart(std::vector<std::uint8_t> bytes, Slots& slots, LoadError& error) const;

  /// Follows the wall clock; the control thread calls it about once a second.
  void sync_clock();

  [[nodiscard]] std::uint32_t shards() const { return static_cast<std::uint32_t>(shards_.size()); }
  [[nodiscard]] Shard& shard(std::uint32_t number) { return *shards_[number]; }
  [[nodiscard]] const Shard& shard(std::uint32_t number) const { return *shards_[number]; }
  [[nodiscard]] const Shared& shared() const { return *shared_; }
  /// Inner addresses of remote users; the control thread writes them.
  [[nodiscard]] LeaseTable& leases() { return *shared_->leases; }
  [[nodiscard]] const Slots& slots() const { return slots_; }
  /// The configuration in force; nullptr before the first. Control thread only.
  [[nodiscard]] const Runtime* runtime() const { return runtime_.get(); }
  [[nodiscard]] const std::vector<Nic>& nics() const { return nics_; }

 private:
  explicit Engine(const Options& options);
  Result<void> make_nics();
  Result<void> make_shards();
  void connect_queues();
  bool start_nics(const Runtime& runtime, LoadError& error);
  bool start_nic(Nic& nic, LoadError& error);
  bool guarantees_fit(const Runtime& runtime, LoadError& error) const;
  void publish(std::unique_ptr<Runtime> next);
  void free_unused_slots();
  void forget_pins_elsewhere(const Runtime& next);
  void wait_for_workers();
  void ask(std::uint32_t number, ShardRequest& request);
  [[nodiscard]] Loader::FindNic nic_finder() const;

  Options options_;
  std::unique_ptr<Shared> shared_;
  rte_mempool* pool_ = nullptr;
  std::vector<Nic> nics_;
  std::vector<NicFacts> nic_facts_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Slots slots_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<std::uint8_t[]> qsbr_memory_;
  rte_rcu_qsbr* qsbr_ = nullptr;
  std::vector<std::unique_ptr<std::atomic<bool>>> running_;  ///< by shard
  std::atomic<bool> stopping_{false};
};

}  // namespace sekisho::dataplane
