// SPDX-License-Identifier: Apache-2.0
#include "dataplane/path/track.h"

#include <algorithm>

#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/path/syn_proxy.h"
#include "dataplane/path/translate.h"
#include "filters/packet/protocol.h"
#include "filters/state/datagram_tracker.h"
#include "filters/state/icmp_error.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

/// A packet of a translated or joined session. `taken`: it has ended here.
DropReason track_special(Shard& shard, const Runtime& config, Session& session, rte_mbuf* packet, bool& taken) {
  if ((session.flags & kSessionTranslated) != 0 && !on_right_side(shard, packet)) return DropReason::kNatWrongSide;
  if ((session.flags & kSessionProxied) != 0) return syn_proxy::track(shard, config, session, packet, taken);
  return track_plain(shard, session, packet);
}

/// True when the segment tracking refused opens its connection anew (RFC 9293 3.6.1), or follows one that did: the old
/// session has ended. Or when it is an ICMP error, whose own key looks like that of an echo with identifier 0.
bool restart(Shard& shard, rte_mbuf* packet) {
  PacketMeta& meta = meta_of(packet);
  const Session& session = shard.sessions.at(meta.session);
  if (session.timeout == 0 || filters::is_icmp_error(meta)) {
    meta.session = kNoIndex;
    return true;
  }
  if (session.protocol == filters::kProtocolSctp && session.sctp.state == filters::SctpState::kClosed) {
    filters::SctpTrack fresh{};
    if (filters::sctp_first(fresh, filters::parse_sctp(frame_of(packet), meta)) != DropReason::kNone) return false;
    shard.end_session(meta.session, end_reason_of(session));
    meta.session = kNoIndex;
    return true;
  }
  if (session.protocol != filters::kProtocolTcp) return false;
  const filters::TcpSegment segment = filters::parse_tcp_segment(frame_of(packet), meta);
  if (!filters::tcp_restarts(session.tcp, static_cast<Direction>(meta.reverse), segment)) return false;
  shard.end_session(meta.session, end_reason_of(session));
  meta.session = kNoIndex;
  return true;
}

/// A session's packets come in where answers to them leave, where the first one did, or at least from the same zone (two
/// uplinks).
bool right_port(const Runtime& config, const Session& session, const PacketMeta& meta) {
  const std::uint32_t expected = session.port[meta.reverse];
  if (expected == meta.ingress || config.ports[expected].zone == config.ports[meta.ingress].zone) return true;
  return meta.reverse == 0 && config.ports[meta.ingress].id == session.in_port;
}

}  // namespace

std::uint32_t translated_timeout(std::uint8_t protocol, std::uint32_t seconds) {
  if (protocol == filters::kProtocolTcp) return seconds >= 3600 ? std::max(seconds, 7440U) : std::max(seconds, 240U);
  return std::max(seconds, protocol == filters::kProtocolUdp ? 120U : 60U);
}

std::uint32_t timeout_ticks(const Shard& shard, std::uint32_t index) noexcept {
  const Session& session = shard.sessions.at(index);
  bool settled = (session.flags & kSessionReplied) != 0;
  std::uint32_t seconds = 0;
  if (session.protocol == filters::kProtocolTcp) {
    settled = session.tcp.state == filters::TcpState::kEstablished;
    seconds = filters::tcp_timeout_seconds(session.tcp.state);
  } else if (session.protocol == filters::kProtocolSctp) {
    settled = session.sctp.state == filters::SctpState::kEstablished;
    seconds = filters::sctp_timeout_seconds(session.sctp.state);
  } else {
    const bool one = filters::datagram_kind(session.protocol) == filters::DatagramKind::kIcmpEcho;  // one timeout for both
    const auto state = settled ? filters::DatagramState::kReplied : filters::DatagramState::kNew;
    seconds = filters::datagram_timeout_seconds(session.protocol, state);
    settled |= one;
  }
  if ((session.traits & kSessionTimed) != 0) {
    const std::uint32_t own = settled ? shard.extras[index].timeout : shard.extras[index].first_timeout;
    if (own != 0) return own * kTicksPerSecond;
  }
  if ((session.flags & kSessionTranslated) != 0) seconds = translated_timeout(session.protocol, seconds);
  return seconds * kTicksPerSecond;
}

void set_timeout(Shard& shard, std::uint32_t index) noexcept {
  Session& session = shard.sessions.at(index);
  const std::uint32_t ticks = timeout_ticks(shard, index);
  const bool sooner = ticks < session.timeout;
  session.timeout = ticks;
  if (sooner) shard.wheel.move(shard.sessions, index);
}

void settle_tcp(Shard& shard, Session& session, std::uint32_t index, filters::TcpState before) noexcept {
  if (session.tcp.state == before) return;
  if (filters::tcp_half_open(before) && !filters::tcp_half_open(session.tcp.state)) shard.count_half_open(session, -1);
  session.last_seen = shard.now_tick;
  set_timeout(shard, index);
}

DropReason track_sctp(Shard& shard, Session& session, rte_mbuf* packet) noexcept {
  const PacketMeta& meta = meta_of(packet);
  const filters::SctpState before = session.sctp.state;
  const DropReason reason =
      filters::sctp_next(session.sctp, static_cast<Direction>(meta.reverse), filters::parse_sctp(frame_of(packet), meta));
  if (reason == DropReason::kNone && session.sctp.state != before) {
    session.last_seen = shard.now_tick;
    set_timeout(shard, meta.session);
  }
  return reason;
}

void track(Shard& shard, const Runtime& config, Burst& burst, Burst* restarted) noexcept {
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < burst.count; ++i) {
    rte_mbuf* packet = burst.packets[i];
    PacketMeta& meta = meta_of(packet);
    Session& session = shard.sessions.at(meta.session);
    DropReason reason = DropReason::kNone;
    if (session.timeout == 0) [[unlikely]] {  // ended by an earlier packet of this burst
      reason = DropReason::kNotFirst;
    } else if (!right_port(config, session, meta)) [[unlikely]] {
      reason = DropReason::kWrongPort;
    } else if ((session.flags & kSessionSpecial) != 0) [[unlikely]] {
      bool taken = false;
      reason = track_special(shard, config, session, packet, taken);
      if (taken) continue;
    } else {
      reason = track_plain(shard, session, packet);
    }
    if (reason != DropReason::kNone) [[unlikely]] {
      const bool its_own = reason != DropReason::kWrongPort && reason != DropReason::kNatWrongSide;
      const bool may = its_own || filters::is_icmp_error(meta);
      const bool anew = may && restarted != nullptr && restart(shard, packet);
      if (anew) {
        restarted->packets[restarted->count++] = packet;
      } else {
        refuse(shard, config, packet, reason);
      }
      continue;
    }
    count_packet(shard, session, meta);
    if ((session.flags & kSessionTranslated) != 0 && !translate(shard, config, packet)) [[unlikely]] continue;
    burst.packets[kept++] = packet;
  }
  burst.count = kept;
}

}  // namespace sekisho::dataplane::path
