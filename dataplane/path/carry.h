// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/path/path.h"
#include "dataplane/trace.h"

/// The order of the stages, written once: workers run it, and so does explain, which wants to be told before each stage.
/// `before(Stage, Burst&)` is empty in workers and costs nothing there.
namespace sekisho::dataplane::path {

/// Connections that begin anew on the numbers of a finished one.
template <typename Before>
void carry_restarted(Shard& shard, const Runtime& config, Burst& restarted, Before& before) {
  Burst known;
  before(Stage::kAdmit, restarted);
  admit(shard, config, restarted, known);
  before(Stage::kTrack, known);
  track(shard, config, known, nullptr);
  before(Stage::kForward, restarted);
  forward(shard, config, restarted);
  before(Stage::kForward, known);
  forward(shard, config, known);
}

/// From a flow's packets to the outlets.
template <typename Before>
void carry(Shard& shard, const Runtime& config, Burst& burst, Before& before) {
  Burst first;                                         // packets that need a verdict
  Burst restarted;
  before(Stage::kFindSession, burst);
  find_session(shard, config, burst, first);           // the session table, a burst at a time
  before(Stage::kAdmit, first);
  if (first.count > 0) admit(shard, config, first, burst);
  before(Stage::kTrack, burst);
  track(shard, config, burst, &restarted);             // windows, states, counters
  before(Stage::kForward, first);
  forward(shard, config, first);                       // hop count, neighbour, link header
  before(Stage::kForward, burst);
  forward(shard, config, burst);
  if (restarted.count > 0) carry_restarted(shard, config, restarted, before);
}

/// From the wire to its tenant.
template <typename Before>
void enter(Shard& shard, const Runtime& config, Burst& burst, Before& before) {
  before(Stage::kDecode, burst);
  decode(shard, config, burst);                        // what the bytes are
  before(Stage::kBind, burst);
  bind(shard, config, burst, Count::kYes);             // whose they are, and whether they may be
}

/// From its tenant to the outlets.
template <typename Before>
void proceed(Shard& shard, const Runtime& config, Burst& burst, Before& before) {
  before(Stage::kSteer, burst);
  steer(shard, config, burst);                         // which shard owns the flow
  carry(shard, config, burst, before);
}

/// What a worker does with the packets of one inlet; between the two it may hold tenants to their share (fair_share.h).
template <typename Before>
void take(Shard& shard, const Runtime& config, Burst& burst, Before& before) {
  enter(shard, config, burst, before);
  proceed(shard, config, burst, before);
}

}  // namespace sekisho::dataplane::path
