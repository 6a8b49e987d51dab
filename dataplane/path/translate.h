// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"
#include "filters/nat/rewrite.h"

/// Translation of established packets. It stands behind tracking: track() asks on_right_side() before it believes a packet
/// of a translated session and calls translate() once the packet is counted; first packets come from admit, errors from
/// there too. So Bindings, tracking and log see packets as they came in, neighbours and wires as they go out.
/// Only sessions with kSessionTranslated come here. Thread: the shard's.
namespace sekisho::dataplane::path {

/// What a packet of a translated session bears when it comes in, by the way it travels; and when it goes out.
filters::FlowEnds received_ends(const Shard& shard, std::uint32_t index, filters::Direction direction);
filters::FlowEnds sent_ends(const Shard& shard, std::uint32_t index, filters::Direction direction);

/// True when the packet (meta.session, meta.reverse) bears the ends of the side it came from: forward as first received, in
/// reverse as the answer to what was sent. A packet with the other side's ends belongs to nobody.
bool on_right_side(const Shard& shard, rte_mbuf* packet) noexcept;

/// Rewrites a packet that is on the right side. Those that cannot be forwarded are answered and ended before, since their
/// sender must see its own packet quoted: false.
bool translate(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Makes a translated packet what it was when it came in: it is to be placed again, quoted, or logged. False: its session
/// has ended meanwhile.
bool translate_back(const Shard& shard, rte_mbuf* packet) noexcept;

/// Rewrites an ICMP error about session `index` that travels in `direction` (RFC 5508). False: it quotes a packet of the
/// wrong side.
bool translate_error(const Shard& shard, rte_mbuf* packet, const filters::QuotedPacket& quoted, std::uint32_t index,
                     filters::Direction direction) noexcept;

}  // namespace sekisho::dataplane::path
