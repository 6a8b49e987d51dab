// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "dataplane/shard.h"

namespace sekisho::dataplane {

/// One turn of a worker: a burst from each of its inlets, carried from the wire to the wire. The table of contents of the
/// data plane. `tsc` is the time of everything in this turn. Returns how many packets came in. Thread: the shard's.
unsigned turn(Shard& shard, std::uint64_t tsc) noexcept;

}  // namespace sekisho::dataplane
