// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"

namespace sekisho::dataplane::path {

/// Gives a session `seconds` of silence from its last packet on; a shorter time moves it in the wheel at once.
void set_timeout(Shard& shard, std::uint32_t index, std::uint32_t seconds) noexcept;

/// What follows when a TCP session may have changed its state from `before`: its timeout, and whether it counts as half-open.
void settle_tcp(Shard& shard, Session& session, std::uint32_t index, filters::TcpState before) noexcept;

/// Counts a packet for its session and reads from there where it goes (meta.egress, meta.next_hop).
void count_packet(Shard& shard, Session& session, PacketMeta& meta) noexcept;

}  // namespace sekisho::dataplane::path
