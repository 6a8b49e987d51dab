// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker.h"

#include "dataplane/path/carry.h"

namespace sekisho::dataplane {
namespace {

constexpr unsigned kExpirePerTurnMax = 64;
constexpr unsigned kHandedBurstsMax = 4;

/// Nobody watches a worker's packets.
constexpr auto kUnwatched = [](Stage, Burst&) {};

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
    path::take(shard, *config, burst, kUnwatched);
  }
  if (shard.shared.shards > 1) {
    // More than one burst: the other shards together hand over more in a turn than one inlet brings.
    unsigned taken = kBurstMax;
    for (unsigned round = 0; round < kHandedBurstsMax && taken == kBurstMax; ++round) {
      Burst handed;
      taken = path::receive_handed(shard, *config, handed);
      packets += taken;
      path::carry(shard, *config, handed, kUnwatched);
    }
  }
  if (shard.held_count > 0) {
    Burst stale;
    path::release_held(shard, *config, stale);
    path::bind(shard, *config, stale, path::Count::kNo);
    path::carry(shard, *config, stale, kUnwatched);
  }
  shard.expire_sessions(*config, kExpirePerTurnMax);   // a proxied one may ask its server again
  path::transmit(shard);
  path::sweep(shard, *config, packets == 0);           // sessions of an older generation
  shard.log.flush(shard.now_ns);
  if (shard.fragments.datagrams() > 0) path::expire_fragments(shard, *config);
  shard.serve_request();
  shard.check_conservation();
  return packets;
}

}  // namespace sekisho::dataplane
