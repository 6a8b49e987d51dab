// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker.h"

#include "dataplane/path/path.h"

namespace sekisho::dataplane {
namespace {

constexpr unsigned kExpirePerTurnMax = 64;
constexpr unsigned kHandedBurstsMax = 4;

/// Connections that begin anew on the numbers of a finished one.
void carry_restarted(Shard& shard, const Runtime& config, Burst& restarted) {
  Burst known;
  path::admit(shard, config, restarted, known);
  path::track(shard, config, known, nullptr);
  path::forward(shard, config, restarted);
  path::forward(shard, config, known);
}

/// From a flow's packets to the outlets.
void carry(Shard& shard, const Runtime& config, Burst& burst) {
  Burst first;                                         // packets that need a verdict
  Burst restarted;
  path::find_session(shard, config, burst, first);     // the session table, a burst at a time
  if (first.count > 0) path::admit(shard, config, first, burst);
  path::track(shard, config, burst, &restarted);       // windows, states, counters
  path::forward(shard, config, first);                 // hop count, neighbour, link header
  path::forward(shard, config, burst);
  if (restarted.count > 0) carry_restarted(shard, config, restarted);
}

}  // namespace

unsigned turn(Shard& shard, std::uint64_t tsc) noexcept {
  shard.begin_turn(tsc);
  // acquire: pairs with the release in Engine::publish; stable for this turn
  const Runtime* config = shard.shared.runtime.load(std::memory_order_acquire);
  if (config == nullptr) {                             // nothing passes before the first snapshot
    shard.serve_request();
    return 0;
  }
  unsigned packets = 0;

  for (const Inlet& inlet : shard.inlets) {
    Burst burst;
    path::receive(shard, inlet, burst);
    if (burst.count == 0) continue;
    packets += burst.count;
    path::decode(shard, *config, burst);               // what the bytes are
    path::bind(shard, *config, burst, path::Count::kYes);  // whose they are, and whether they may be
    path::steer(shard, *config, burst);                // which shard owns the flow
    carry(shard, *config, burst);
  }
  if (shard.shared.shards > 1) {
    // More than one burst: the other shards together hand over more in a turn than one inlet brings.
    unsigned taken = kBurstMax;
    for (unsigned round = 0; round < kHandedBurstsMax && taken == kBurstMax; ++round) {
      Burst handed;
      taken = path::receive_handed(shard, *config, handed);
      packets += taken;
      carry(shard, *config, handed);
    }
  }
  if (shard.held_count > 0) {
    Burst stale;
    path::release_held(shard, *config, stale);
    path::bind(shard, *config, stale, path::Count::kNo);
    carry(shard, *config, stale);
  }
  shard.expire_sessions(*config, kExpirePerTurnMax);   // a proxied one may ask its server again
  path::transmit(shard);
  shard.log.flush(shard.now_ns);
  if (shard.fragments.datagrams() > 0) path::expire_fragments(shard, *config);
  shard.serve_request();
  shard.check_conservation();
  return packets;
}

}  // namespace sekisho::dataplane
