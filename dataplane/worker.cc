// SPDX-License-Identifier: Apache-2.0
#include "dataplane/worker.h"

#include "dataplane/path/carry.h"
#include "dataplane/path/express.h"
#include "dataplane/path/fair_share.h"
#include "dataplane/path/quarantine.h"
#include "dataplane/path/tunnels.h"

namespace sekisho::dataplane {
namespace {

constexpr unsigned kExpirePerTurnMax = 64;
constexpr unsigned kHandedBurstsMax = 4;

/// Nobody watches a worker's packets.
constexpr auto kUnwatched = [](Stage, Burst&) {};

/// Packets that cost next to nothing when they are counted before the burst is carried: refused, or pieces that another
/// worker puts together.
std::uint64_t cheaply_done(const Shard& shard) { return shard.packets.dropped.read() + shard.packets.handed_out.read(); }

/// One visit to a receive queue.
unsigned serve(Shard& shard, const Runtime& config, Inlet& inlet, std::uint32_t source) {
  unsigned packets = 0;
  ++shard.visit;
  for (unsigned round = 1;; ++round) {
    Burst burst;
    path::Flights flights;
    std::uint16_t plain = 0;
    const std::uint64_t before = cheaply_done(shard);
    path::receive(shard, inlet, burst);
    packets += burst.count;
    const bool full = burst.count == kBurstMax;
    if (burst.count > 0) {
      plain = path::enter_plain(shard, config, burst, flights);
      if (full) path::observe(shard, config, inlet.backlog, source, burst, flights, plain);
      if (inlet.backlog.fair) [[unlikely]] {
        path::write_records(config, burst, flights, plain);
        path::fair_share(shard, config, inlet.backlog, burst);
        plain = 0;
      }
    }
    const unsigned carried = burst.count;
    const std::uint64_t cheap = cheaply_done(shard) - before;
    if (carried > 0) path::proceed_plain(shard, config, burst, flights, plain);
    if (shard.tunnels_here.waiting()) [[unlikely]] path::tunnel::serve(shard, config);
    if (path::wants_more(inlet.backlog, full, carried, round)) [[unlikely]] continue;
    path::end_visit(inlet.backlog, full, cheap, round);
    return packets;
  }
}

/// One visit to the ring from the other shards. More than one burst: together they hand over more in a turn than one
/// inlet brings.
unsigned serve_handed(Shard& shard, const Runtime& config) {
  constexpr std::uint32_t kSource = 1U << 31;
  Backlog& backlog = shard.handed_backlog;
  unsigned packets = 0;
  ++shard.visit;
  for (unsigned round = 1;; ++round) {
    Burst handed;
    const std::uint64_t before = cheaply_done(shard);
    const unsigned taken = path::receive_handed(shard, config, handed);
    packets += taken;
    const bool full = taken == kBurstMax;
    path::Flights flights;
    if (full) path::observe(shard, config, backlog, kSource, handed, flights, 0);
    if (backlog.fair) [[unlikely]] path::fair_share(shard, config, backlog, handed);
    const unsigned carried = handed.count;
    const std::uint64_t cheap = cheaply_done(shard) - before;
    const std::uint16_t plain = path::survey(shard, handed, flights, 0);
    path::carry_plain(shard, config, handed, flights, plain);
    if (shard.tunnels_here.waiting()) [[unlikely]] path::tunnel::serve(shard, config);
    if ((full && round < kHandedBurstsMax) || path::wants_more(backlog, full, carried, round)) continue;
    path::end_visit(backlog, full, cheap, round);
    return packets;
  }
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

  if (config->generation != shard.guarantees_of) [[unlikely]] shard.adopt_guarantees(*config);
  std::uint32_t source = 1;
  for (Inlet& inlet : shard.inlets) {
    packets += serve(shard, *config, inlet, source);
    source = source == 1U << 30 ? 1U : source << 1;    // the last bit is the ring's
  }
  if (shard.shared.shards > 1) packets += serve_handed(shard, *config);
  if (shard.held_count > 0) {
    Burst stale;
    path::release_held(shard, *config, stale);
    path::bind(shard, *config, stale, path::Count::kNo);
    path::carry(shard, *config, stale, kUnwatched);
  }
  shard.expire_sessions(*config, kExpirePerTurnMax);   // a proxied one may ask its server again
  WorkerTunnels& tunnels = shard.tunnels_here;
  if (tunnels.injecting != 0) path::tunnel::inject(shard, *config);
  if (tunnels.waiting()) [[unlikely]] path::tunnel::serve(shard, *config);
  path::transmit(shard);
  path::sweep(shard, *config, packets == 0);           // sessions of an older generation
  shard.make_promised_room();
  if (shard.watch.due(shard.now_tick)) [[unlikely]] shard.watch.look(shard, *config);
  if (!shard.quarantined.empty()) [[unlikely]] path::end_quarantines(shard, *config);
  shard.log.flush(shard.now_ns);
  if (shard.fragments.datagrams() > 0) path::expire_fragments(shard, *config);
  shard.serve_request();
  shard.check_conservation();
  return packets;
}

}  // namespace sekisho::dataplane
