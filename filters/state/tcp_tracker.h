// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/net/endian.h"
#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"
#include "filters/packet/protocol.h"
#include "filters/state/direction.h"

namespace sekisho::filters {

/// What the two ends of a connection have shown us. kNone is no connection: every segment is refused in it.
enum class TcpState : std::uint8_t {
  kNone = 0,
  kSynSent,          ///< forward SYN seen
  kSimultaneousSyn,  ///< a SYN of each side, neither acknowledged (RFC 9293 3.5, figure 7)
  kSynReceived,      ///< reverse SYN+ACK seen
  kEstablished,
  kFinWaitForward,  ///< forward has sent FIN
  kFinWaitReverse,  ///< reverse has sent FIN
  kClosing,         ///< both have sent FIN
  kTimeWait,        ///< both FINs are acknowledged
  kClosed,          ///< a RST with exactly the expected sequence was seen
  kCount
};

inline constexpr std::uint8_t kNoWindowScale = 0xff;

/// The numbers of one TCP segment that tracking needs, host order.
struct TcpSegment {
  std::uint32_t sequence;
  std::uint32_t acknowledgement;     ///< valid with kTcpAck
  std::uint32_t payload_bytes;       ///< SYN and FIN not counted
  std::uint16_t window;              ///< as on the wire, not scaled
  std::uint8_t flags;                ///< TcpFlag bits, and ECE and CWR
  std::uint8_t window_scale_option;  ///< shift count as on the wire; kNoWindowScale: absent, or not a SYN
};

/// What we know of one direction: the numbers of Rooij's inequalities. Sequence space, host order.
struct TcpFlow {
  std::uint32_t end;         ///< highest sequence + length sent (SYN and FIN count one each)
  std::uint32_t edge;        ///< highest acknowledgement + window the peer has granted: may send below it
  std::uint32_t max_window;  ///< largest window this side has announced, scaled; >= 1
};

/// A tracked connection; zero bytes mean none. Lives inside the session, so it is plain memory.
/// Thread: the shard that owns the session.
struct TcpTrack {
  std::array<TcpFlow, 2> flow;        ///< by Direction
  std::array<std::uint8_t, 2> scale;  ///< shift count, 0..14; before the second SYN: as offered
  TcpState state;
  std::uint8_t marks;                 ///< what the slow path remembers between states
};
static_assert(sizeof(TcpTrack) == 28 && std::is_trivially_copyable_v<TcpTrack>);

/// The window scale option of a SYN (RFC 7323 2.2) or kNoWindowScale. `options`: the bytes between the fixed header and
/// the payload; a malformed list ends the search.
[[nodiscard]] std::uint8_t parse_tcp_window_scale(std::span<const std::uint8_t> options);

/// Reads a segment whose header decode has proved (kProofL4, protocol 6). Options are read in SYNs only.
/// Always inline, as decode() is.
[[nodiscard, gnu::always_inline]] inline TcpSegment parse_tcp_segment(std::span<const std::uint8_t> frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & kProofL4) != 0 && meta.payload_offset >= meta.l4_offset + 20);
  TcpSegment out{
      .sequence = load_be<std::uint32_t>(frame, meta.l4_offset + 4U),
      .acknowledgement = load_be<std::uint32_t>(frame, meta.l4_offset + 8U),
      .payload_bytes = std::uint32_t{meta.l3_offset} + meta.l3_length - meta.payload_offset,
      .window = load_be<std::uint16_t>(frame, meta.l4_offset + 14U),
      .flags = meta.tcp_flags,
      .window_scale_option = kNoWindowScale,
  };
  if ((meta.tcp_flags & kTcpSyn) != 0) [[unlikely]] {
    const std::size_t options = meta.l4_offset + std::size_t{20};
    out.window_scale_option = parse_tcp_window_scale(frame.subspan(options, meta.payload_offset - options));
  }
  return out;
}

inline constexpr std::uint8_t kTcpStateFlags = kTcpFin | kTcpSyn | kTcpRst | kTcpAck;
/// ACK without SYN, FIN and RST: what nearly all segments of a connection are.
[[nodiscard]] constexpr bool is_plain_segment(std::uint8_t flags) { return (flags & kTcpStateFlags) == kTcpAck; }

/// Reads such a segment: its header, proved, at `tcp`, `room` bytes from there to the end of the packet.
[[nodiscard, gnu::always_inline]] inline TcpSegment parse_plain_segment(const std::uint8_t* tcp, std::uint32_t room, std::uint8_t flags) {
  const std::span<const std::uint8_t> header(tcp, 20);
  return {.sequence = load_be<std::uint32_t>(header, 4),
          .acknowledgement = load_be<std::uint32_t>(header, 8),
          .payload_bytes = room - (std::uint32_t{header[12]} >> 4 << 2),
          .window = load_be<std::uint16_t>(header, 14),
          .flags = flags,
          .window_scale_option = kNoWindowScale};
}

/// Starts a track from the first segment of a flow. Only a SYN without ACK, FIN and RST opens one, else kNotFirst and
/// `track` is left as it was.
[[nodiscard]] DropReason tcp_first(TcpTrack& track, const TcpSegment& segment);

/// Starts a track in the middle of a connection whose beginning nobody saw: from a segment with ACK and without SYN, FIN and
/// RST, else kNotFirst. Scales are not known, so windows are taken as large as they can be: only numbers far away are refused.
[[nodiscard]] DropReason tcp_pick_up(TcpTrack& track, const TcpSegment& segment);

/// Inequalities I to IV of tcp_next. One byte may lie past a full window, a FIN or a probe, so that the oldest outstanding
/// byte lies one more than a window back; a probe or keep-alive goes one before that.
[[nodiscard]] inline bool tcp_sequence_fits(const TcpFlow& own, const TcpFlow& peer, const TcpSegment& segment) {
  const std::uint32_t low = own.end - peer.max_window - 2;
  return std::uint64_t{segment.sequence - low} + segment.payload_bytes <= own.edge + 1 - low;
}
[[nodiscard]] inline bool tcp_acknowledgement_fits(const TcpFlow& own, const TcpFlow& peer, const TcpSegment& segment) {
  return peer.end - segment.acknowledgement <= 2 * own.max_window + 2;
}
[[nodiscard]] inline bool tcp_fits(const TcpTrack& track, Direction direction, const TcpSegment& segment) {
  const TcpFlow& own = track.flow[static_cast<std::size_t>(direction)];
  const TcpFlow& peer = track.flow[static_cast<std::size_t>(opposite(direction))];
  return tcp_sequence_fits(own, peer, segment) && tcp_acknowledgement_fits(own, peer, segment);
}

/// Moves the maxima to include a segment with ACK and without SYN that fits.
inline void tcp_advance(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  TcpFlow& own = track.flow[static_cast<std::size_t>(direction)];
  TcpFlow& peer = track.flow[static_cast<std::size_t>(opposite(direction))];
  const std::uint32_t window = std::uint32_t{segment.window} << track.scale[static_cast<std::size_t>(direction)];
  const std::uint32_t end = segment.sequence + segment.payload_bytes;
  // A closed window still admits a probe of one byte.
  const std::uint32_t granted = segment.acknowledgement + (window == 0 ? 1U : window);
  own.end = static_cast<std::int32_t>(end - own.end) > 0 ? end : own.end;
  own.max_window = window > own.max_window ? window : own.max_window;
  peer.edge = static_cast<std::int32_t>(granted - peer.edge) > 0 ? granted : peer.edge;
}

/// Everything tcp_next does not do inline.
[[nodiscard]] DropReason tcp_next_slow(TcpTrack& track, Direction direction, const TcpSegment& segment);

/// Decides whether a segment fits the connection, and advances it if so: kNone, kTcpState (wrong flags for the state) or
/// kTcpWindow (wrong numbers). A refused segment leaves `track` as it was, byte for byte.
///
/// Rooij, "Real stateful TCP packet filtering in IP Filter" (2001), I..IV, with the acknowledgement range of RFC 5961 5.2:
///   I   sequence + payload <= edge + 1             (a FIN needs no window)
///   II  sequence >= end - peer's max_window - 2    (retransmissions, keep-alives)
///   III acknowledgement <= peer's end
///   IV  acknowledgement >= peer's end - 2 * own max_window - 2
/// I and II, III and IV are one unsigned comparison each. A RST inside the window passes, as the receiver answers it with
/// a challenge ACK unless it is exact (RFC 5961 3.2), but only an exact one closes the track. A SYN inside the window of
/// a synchronised connection passes for the same reason (RFC 5961 4.2) and changes nothing.
[[nodiscard]] inline DropReason tcp_next(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  const bool plain = track.state == TcpState::kEstablished && is_plain_segment(segment.flags);
  if (!plain) [[unlikely]] return tcp_next_slow(track, direction, segment);
  if (!tcp_fits(track, direction, segment)) [[unlikely]] return DropReason::kTcpWindow;
  tcp_advance(track, direction, segment);
  return DropReason::kNone;
}

/// True when a segment that tcp_next refused is the first of a new connection over the same ports: the caller ends this
/// session and admits the segment as a first packet, to be judged by policy afresh. A pure SYN
/// - in kClosed, or in kTimeWait above all that its direction has sent (RFC 9293 3.6.1);
/// - in kSynSent, forward, with another initial sequence: the client gave up and tries again.
[[nodiscard]] bool tcp_restarts(const TcpTrack& track, Direction direction, const TcpSegment& segment);

/// True when `sequence`, quoted by an ICMP error from a segment sent in `quoted`, is one that segment may have carried:
/// at most a window below all that was sent (RFC 5927 4.1).
[[nodiscard]] bool tcp_quoted_in_window(const TcpTrack& track, Direction quoted, std::uint32_t sequence);

/// True while the connection is not yet established: what a SYN flood makes many of.
[[nodiscard]] constexpr bool tcp_half_open(TcpState state) {
  return state >= TcpState::kSynSent && state <= TcpState::kSynReceived;
}

/// Seconds without a segment after which a track in `state` has ended. Established: one hour, less than RFC 5382's
/// two hours four minutes, as both ends learn of a dead session by refused keep-alives and memory is shared by tenants.
[[nodiscard]] std::uint32_t tcp_timeout_seconds(TcpState state);

/// "syn-sent"
[[nodiscard]] std::string_view name(TcpState state);

}  // namespace sekisho::filters
