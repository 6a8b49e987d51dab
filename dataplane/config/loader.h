// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/runtime.h"
#include "dataplane/config/slot_map.h"

namespace sekisho::dataplane {

/// A NIC as the loader needs it.
struct NicFacts {
  std::uint16_t number;  ///< DPDK port
  Mac mac;
};

/// Bytes of L3 that one packet buffer holds: a frame is always one segment.
inline constexpr std::uint32_t kMtuMax = 1500;

/// Places of what survives commits.
struct Slots {
  SlotMap tenants, ports, rules, bindings;
};

/// Why a snapshot was refused, for the person who committed it.
struct LoadError {
  std::string reason;
  std::uint32_t offset = 0;  ///< byte in the snapshot, 0 when it is none
};

/// What a build did.
struct LoadReport {
  ClassifierBuildStats classifier;
};

/// Turns snapshot bytes into a Runtime: checks everything once, builds tables and classifiers. Nothing of the running
/// generation is touched: on failure the caller simply keeps it. Thread: control.
class Loader {
 public:
  using FindNic = std::function<const NicFacts*(std::string_view device)>;

  Loader(Slots& slots, FindNic find_nic) : slots_(slots), find_nic_(std::move(find_nic)) {}
  /// nullptr on failure, with `error` filled in. `previous` may be null; its classifier lends unchanged shards.
  std::unique_ptr<Runtime> build(std::vector<std::uint8_t> bytes, const Runtime* previous, LoadReport& report, LoadError& error);

 private:
  bool build_ports(Runtime& runtime, LoadError& error);
  bool build_bindings(Runtime& runtime, LoadError& error);
  bool build_segments(Runtime& runtime, LoadError& error);
  void build_virtuals(Runtime& runtime, const Runtime* previous) const;
  bool build_tenants(Runtime& runtime, LoadError& error);
  bool build_rules(Runtime& runtime, LoadError& error);
  void build_routes(Runtime& runtime, const snapshot::Tenant& source, TenantEntry& tenant) const;
  [[nodiscard]] RouteTarget target_of(Runtime& runtime, const snapshot::Route& route) const;
  static void build_proxied(Runtime& runtime);

  Slots& slots_;
  FindNic find_nic_;
  std::vector<std::vector<std::uint32_t>> bound_;  ///< by port index: its active Bindings
};

}  // namespace sekisho::dataplane
