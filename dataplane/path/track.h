// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"
#include "filters/state/datagram_tracker.h"

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
[[gnu::always_inline]] inline void count_packet(Shard& shard, Session& session, PacketMeta& meta) noexcept {
  session.count(meta.reverse, 1, meta.l3_length);
  if (session.last_seen != shard.now_tick) session.last_seen = shard.now_tick;
  meta.egress = session.port[meta.reverse ^ 1U];
  meta.next_hop = session.next_hop[meta.reverse];
}

/// Flags of sessions whose packets need more than track_plain(): one look for both.
inline constexpr std::uint8_t kSessionSpecial = kSessionTranslated | kSessionProxied;

/// TCP windows and states.
[[gnu::always_inline]] inline filters::DropReason track_tcp(Shard& shard, Session& session, rte_mbuf* packet) {
  const PacketMeta& meta = meta_of(packet);
  const filters::TcpState before = session.tcp.state;
  const filters::TcpSegment segment = filters::parse_tcp_segment(frame_of(packet), meta);
  const filters::DropReason reason = filters::tcp_next(session.tcp, static_cast<Direction>(meta.reverse), segment);
  if (reason != filters::DropReason::kNone) [[unlikely]] return reason;
  if ((session.tcp_flags | meta.tcp_flags) != session.tcp_flags) session.tcp_flags |= meta.tcp_flags;
  if (session.tcp.state != before) [[unlikely]] settle_tcp(shard, session, meta.session, before);
  return filters::DropReason::kNone;
}

/// SCTP states.
filters::DropReason track_sctp(Shard& shard, Session& session, rte_mbuf* packet) noexcept;

/// UDP, echo and what shows no state.
[[gnu::always_inline]] inline filters::DropReason track_datagram(Shard& shard, Session& session, const PacketMeta& meta) {
  const bool replied = (session.flags & kSessionReplied) != 0;
  auto state = replied ? filters::DatagramState::kReplied : filters::DatagramState::kNew;
  const filters::DropReason reason = filters::datagram_next(state, static_cast<Direction>(meta.reverse), meta);
  if (reason != filters::DropReason::kNone) [[unlikely]] return reason;
  if (state == filters::DatagramState::kReplied && !replied) {
    session.flags |= kSessionReplied;
    session.last_seen = shard.now_tick;
    set_timeout(shard, meta.session);
  }
  return filters::DropReason::kNone;
}

/// Judges a packet of a session that is not kSessionSpecial (meta.session, meta.reverse) by its protocol's states. A refused one
/// leaves the session as it was.
[[gnu::always_inline]] inline filters::DropReason track_plain(Shard& shard, Session& session, rte_mbuf* packet) {
  if (session.protocol == filters::kProtocolTcp) return track_tcp(shard, session, packet);
  if (session.protocol == filters::kProtocolSctp) [[unlikely]] return track_sctp(shard, session, packet);
  return track_datagram(shard, session, meta_of(packet));
}

}  // namespace sekisho::dataplane::path
