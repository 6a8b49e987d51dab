// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"

namespace sekisho::dataplane::path {

/// Seconds of silence that end a translated session: what RFC 4787 REQ-5 (UDP, two minutes), RFC 5382 REQ-5 (TCP, 2 h 4 min
/// established, 4 min otherwise) and RFC 5508 REQ-1 (echo, one minute) ask at least, else `seconds`.
std::uint32_t translated_timeout(std::uint8_t protocol, std::uint32_t seconds);

/// Ticks of silence that end a session in the state it is in: its service's own timeout, else its protocol's.
std::uint32_t timeout_ticks(const Shard& shard, std::uint32_t index) noexcept;

/// Gives a session timeout_ticks() from its last packet on; a shorter time moves it in the wheel at once.
void set_timeout(Shard& shard, std::uint32_t index) noexcept;

/// What follows when a TCP session may have changed its state from `before`: its timeout, and whether it counts as half-open.
void settle_tcp(Shard& shard, Session& session, std::uint32_t index, filters::TcpState before) noexcept;

/// Counts a packet for its session and reads from there where it goes (meta.egress, meta.next_hop).
void count_packet(Shard& shard, Session& session, PacketMeta& meta) noexcept;

}  // namespace sekisho::dataplane::path
