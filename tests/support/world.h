// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/shm/log_ring.h"
#include "dataplane/engine.h"
#include "filters/policy/snapshot_builder.h"
#include "tests/support/frames.h"

/// The whole data plane on DPDK ring ports, driven a turn at a time from one thread: frames in, frames and records out.
namespace sekisho::tests {

// NICs: 0 servers, 1 clients, 2 the shared uplink; 3 is the service network's where there is one. Tenant A is untagged there, tenant B has the very same addresses on
// VLAN 200 of NIC 0 and QinQ 300.7 (802.1ad outside) of NIC 1.
inline constexpr std::uint16_t kServerNic = 0, kClientNic = 1, kUplinkNic = 2, kServiceNic = 3, kNics = 4;
inline constexpr std::uint32_t kTenantA = 1, kTenantB = 2;
inline constexpr std::uint32_t kServerPort = 1, kClientPort = 2, kShare = 3, kUplink = 4;  // ids of tenant A; of B: + 10
inline constexpr std::uint32_t kDefaultRuleA = 100, kDefaultRuleB = 200;

inline const Mac kServerMac = mac("52:54:00:00:00:11");
inline const Mac kClientMac = mac("52:54:00:00:00:33");
inline const Mac kRouterMac = mac("52:54:00:00:00:ff");  // outside, on the uplink

/// What a rule of a world says; everything not said is any.
struct RuleText {
  std::uint32_t id;
  filters::snapshot::Action action = filters::snapshot::Action::kAllow;
  std::vector<const char*> sources = {}, destinations = {};
  int protocol = -1;
  std::uint16_t port_low = 0, port_high = 65535;
  std::uint8_t log = filters::snapshot::kLogEnd;
  bool keep_on_change = false;
  std::uint16_t service = 0;  ///< number of its service object
  std::uint64_t source_zones = ~std::uint64_t{0}, destination_zones = ~std::uint64_t{0};  ///< 1 servers, 2 office, 4 net
};

struct WorldOptions {
  std::uint32_t workers = 1;
  std::uint32_t sessions = 4096;
  std::uint32_t sessions_max = 4096;  ///< of each tenant
  std::uint32_t log_records = 4096;
  std::uint32_t tunnels = 0;
  bool service = false;               ///< the service network is there
  bool cards_sum = false;             ///< cards say what they think of checksums, as those do that one buys
};

/// What a test runs on. It counts as its number of workers.
struct Machine {
  std::uint32_t workers = 1;
  bool cards_sum = false;
  operator std::uint32_t() const { return workers; }  // NOLINT(google-explicit-constructor): a test asks for the number alone

  [[nodiscard]] WorldOptions with(WorldOptions options) const {
    options.workers = workers;
    options.cards_sum = cards_sum;
    return options;
  }
};
inline const Machine kMachines[] = {{1}, {2}, {1, true}};
inline std::string name_of(const Machine& machine) {
  return "With" + std::to_string(machine.workers) + (machine.cards_sum ? "AndCardsThatSum" : "");
}
inline void PrintTo(const Machine& machine, std::ostream* out) { *out << name_of(machine); }

/// The fixture's tests on each of them.
#define SEKISHO_PATH_WORKERS(fixture) \
  INSTANTIATE_TEST_SUITE_P(Workers, fixture, testing::ValuesIn(kMachines), [](const auto& test) { return name_of(test.param); })

/// How a snapshot differs from the topology above.
struct Shape {
  bool tenant_b = true;
  std::vector<RuleText> rules_b = {{.id = 201}};
  std::function<void(filters::SnapshotBuilder&)> edit = {};  ///< last word before it is sealed
};

class World {
 public:
  explicit World(WorldOptions options = {});
  ~World();

  /// The snapshot of this topology with these rules for tenant A; B allows everything inside.
  [[nodiscard]] std::vector<std::uint8_t> snapshot(std::uint32_t generation, const std::vector<RuleText>& rules, const Shape& shape = {}) const;
  /// Builds and applies; fails the test when it is refused.
  void apply(std::uint32_t generation, const std::vector<RuleText>& rules, const Shape& shape = {});

  [[nodiscard]] Mac gateway(std::uint16_t nic) const { return engine_->nics()[nic].mac(); }
  /// Sends one frame in and lets the data plane work until nothing moves.
  void inject(std::uint16_t nic, const Frame& frame);
  /// Puts a frame on the wire without a turn. `headroom`: bytes a driver left before it.
  void queue(std::uint16_t nic, const Frame& frame, std::uint16_t headroom = RTE_PKTMBUF_HEADROOM);
  /// The same when the wire has room; false when the frame is lost there, as a card loses it.
  bool offer(std::uint16_t nic, const Frame& frame);
  /// One turn of one shard.
  void turn(std::uint32_t shard);
  /// Lets time pass without a turn.
  void elapse(std::chrono::microseconds time);
  /// Turns of all shards until nothing moves.
  void settle();
  /// Lets time pass, then settles.
  void pass(std::chrono::milliseconds time);
  /// Lets time pass without a turn.
  void advance(std::chrono::microseconds time);
  /// What came out of a NIC since the last call.
  std::vector<Frame> collect(std::uint16_t nic);
  /// inject, then the only frame that came out of `out`; fails the test when it is not exactly one.
  Frame through(std::uint16_t in, const Frame& frame, std::uint16_t out);

  /// Log records since the last call, in order of the shards.
  struct Record {
    LogEnvelope envelope;
    CommBody comm;
    SecBody sec;
    LossBody loss;
  };
  std::vector<Record> records();
  [[nodiscard]] std::uint64_t drops(filters::DropReason reason) const;
  [[nodiscard]] std::uint64_t sessions() const;
  /// received + generated == sent + punted + dropped + held, over all shards; and no shard ever disagreed.
  [[nodiscard]] bool conserved() const;
  dataplane::Engine& engine() { return *engine_; }

 private:
  WorldOptions options_;
  std::unique_ptr<dataplane::Engine> engine_;
  std::vector<LogRingReader> readers_;
  std::uint64_t tsc_;
};

}  // namespace sekisho::tests
