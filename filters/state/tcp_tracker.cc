// SPDX-License-Identifier: Apache-2.0
// Overview
//   The slow path of TCP tracking: connection set-up, close and reset, and every segment that is not plain data or an
//   acknowledgement of an established connection. We stand between the ends and see each segment once, before its
//   receiver does; the track keeps maxima, as a segment that passes us may still be lost behind us.
// Life-cycle
//   kSynSent -> kSynReceived -> kEstablished -> kFinWait(Forward|Reverse) -> kClosing -> kTimeWait, or
//   kSynSent -> kSimultaneousSyn -> kEstablished; an exact RST leads to kClosed from everywhere. The session's timer ends
//   the track; nothing here does. kClosed and kTimeWait still pass what fits: last acknowledgements, repeated FINs.
// Limits
//   Window scales above 14 are taken as 14 (RFC 7323 2.3), so twice the largest window stays below 2^31.
//   A FIN must lie at the end of what its side has sent; data beyond a FIN is not refused, so that a FIN forged inside the
//   window cannot stop a connection.
#include "filters/state/tcp_tracker.h"

#include <algorithm>

namespace sekisho::filters {
namespace {

/// TcpTrack::marks. Those of a direction are shifted left by its value.
enum Mark : std::uint8_t {
  kMarkScale = 1,            ///< the direction's SYN offered a window scale
  kMarkFinAcknowledged = 4,  ///< the direction's FIN is acknowledged
  kMarkSynAcknowledged = 16, ///< kSimultaneousSyn: the direction's SYN is acknowledged
  kMarkChallenge = 64,       ///< kSynSent: reverse answered with an ACK, kept in its `end`
};

constexpr std::uint8_t kScaleMax = 14;
constexpr std::uint8_t kControl = kTcpFin | kTcpSyn | kTcpRst | kTcpAck;

constexpr std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }

bool marked(const TcpTrack& track, Mark mark, Direction direction) {
  return (track.marks & (unsigned{mark} << index(direction))) != 0;
}
void set_mark(TcpTrack& track, Mark mark, Direction direction) {
  track.marks = static_cast<std::uint8_t>(track.marks | unsigned{mark} << index(direction));
}

bool at_or_after(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) >= 0; }
std::uint32_t later(std::uint32_t a, std::uint32_t b) { return at_or_after(a, b) ? a : b; }
/// low <= value <= high, in sequence space.
bool within(std::uint32_t low, std::uint32_t value, std::uint32_t high) { return value - low <= high - low; }

std::uint32_t syn_window(const TcpSegment& segment) { return std::max<std::uint32_t>(segment.window, 1); }

void note_offered_scale(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  if (segment.window_scale_option == kNoWindowScale) return;
  set_mark(track, kMarkScale, direction);
  track.scale[index(direction)] = std::min(segment.window_scale_option, kScaleMax);
}

/// Scaling holds in both directions or in none (RFC 7323 2.2).
void settle_scales(TcpTrack& track) {
  if (marked(track, kMarkScale, Direction::kForward) && marked(track, kMarkScale, Direction::kReverse)) return;
  track.scale = {};
}

bool has_sent_fin(const TcpTrack& track, Direction direction) {
  if (track.state == TcpState::kClosing) return true;
  return track.state == (direction == Direction::kForward ? TcpState::kFinWaitForward : TcpState::kFinWaitReverse);
}

/// The second SYN of a connection: both windows are now known. A SYN's own window is never scaled.
void synchronise(TcpTrack& track, const TcpSegment& segment) {
  TcpFlow& forward = track.flow[index(Direction::kForward)];
  TcpFlow& reverse = track.flow[index(Direction::kReverse)];
  const std::uint32_t first = segment.sequence + 1;
  reverse.end = first + segment.payload_bytes;
  reverse.edge = later(first + forward.max_window, reverse.end);
  reverse.max_window = syn_window(segment);
  const std::uint32_t acknowledged = (segment.flags & kTcpAck) != 0 ? segment.acknowledgement : forward.edge;
  forward.edge = later(acknowledged + reverse.max_window, forward.end);
  note_offered_scale(track, Direction::kReverse, segment);
  settle_scales(track);
}

/// kSynSent. forward.edge is the initial sequence + 1: nothing beyond it is granted yet.
DropReason syn_sent_forward(TcpTrack& track, const TcpSegment& segment) {
  TcpFlow& forward = track.flow[index(Direction::kForward)];
  TcpFlow& reverse = track.flow[index(Direction::kReverse)];
  if ((segment.flags & (kTcpRst | kTcpSyn | kTcpFin)) == kTcpRst) {
    // The answer to a challenge goes to an old connection of the peer's; ours stays.
    if ((track.marks & kMarkChallenge) != 0 && segment.sequence == reverse.end) return DropReason::kNone;
    if (!within(forward.edge, segment.sequence, forward.end)) return DropReason::kTcpWindow;
    track.state = TcpState::kClosed;
    return DropReason::kNone;
  }
  if ((segment.flags & kControl) != kTcpSyn) return DropReason::kTcpState;
  if (segment.sequence + 1 != forward.edge) return DropReason::kTcpWindow;
  forward.end = later(forward.end, forward.edge + segment.payload_bytes);
  forward.max_window = std::max(forward.max_window, syn_window(segment));
  reverse.max_window = forward.end - segment.sequence;
  note_offered_scale(track, Direction::kForward, segment);
  return DropReason::kNone;
}

DropReason syn_sent_reverse(TcpTrack& track, const TcpSegment& segment) {
  const TcpFlow& forward = track.flow[index(Direction::kForward)];
  const bool acknowledges = (segment.flags & kTcpAck) != 0;
  const bool acceptable = within(forward.edge, segment.acknowledgement, forward.end);
  switch (segment.flags & (kTcpRst | kTcpSyn | kTcpFin)) {
    case kTcpRst:
      if (!acknowledges) return DropReason::kTcpState;
      if (!acceptable) return DropReason::kTcpWindow;
      track.state = TcpState::kClosed;
      return DropReason::kNone;
    case kTcpSyn:
      if (acknowledges && !acceptable) return DropReason::kTcpWindow;
      synchronise(track, segment);
      track.state = acknowledges ? TcpState::kSynReceived : TcpState::kSimultaneousSyn;
      return DropReason::kNone;
    case 0:
      // The peer still holds an older connection and challenges our SYN (RFC 5961 4.2); the reset that answers must pass.
      if (!acknowledges || segment.payload_bytes != 0) return DropReason::kTcpState;
      track.flow[index(Direction::kReverse)].end = segment.acknowledgement;
      track.marks |= kMarkChallenge;
      return DropReason::kNone;
    default: return DropReason::kTcpState;
  }
}

/// RST of a connection that has both SYNs.
DropReason reset(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  const TcpFlow& own = track.flow[index(direction)];
  const TcpFlow& peer = track.flow[index(opposite(direction))];
  if ((segment.flags & (kTcpSyn | kTcpFin)) != 0) return DropReason::kTcpState;
  const bool acknowledges = (segment.flags & kTcpAck) != 0;
  // A listener that forgot its SYN+ACK knows no sequence of its own: it answers a repeated SYN with 0 (RFC 9293 3.10.7.1).
  const bool forgot = track.state == TcpState::kSynReceived && direction == Direction::kReverse && acknowledges &&
                      segment.sequence == 0 && segment.acknowledgement == peer.end;
  if (!forgot) {
    if (!tcp_sequence_fits(own, peer, segment)) return DropReason::kTcpWindow;
    if (acknowledges && !tcp_acknowledgement_fits(own, peer, segment)) return DropReason::kTcpWindow;
  }
  if (forgot || segment.sequence == own.end) track.state = TcpState::kClosed;
  return DropReason::kNone;
}

/// kSynReceived: the sequence that follows the reverse SYN. The edge is still where the SYN+ACK put it.
std::uint32_t after_reverse_syn(const TcpTrack& track) {
  return track.flow[index(Direction::kReverse)].edge - track.flow[index(Direction::kForward)].max_window;
}

/// SYN of a connection that has both SYNs: a repetition, or a host that forgot and will be challenged.
DropReason repeated_syn(const TcpTrack& track, Direction direction, const TcpSegment& segment) {
  const bool acknowledges = (segment.flags & kTcpAck) != 0;
  if ((segment.flags & kTcpFin) != 0) return DropReason::kTcpState;
  const bool over = track.state == TcpState::kTimeWait || track.state == TcpState::kClosed;
  if (over && !acknowledges) return DropReason::kTcpState;
  if (track.state == TcpState::kSynReceived) {
    // The initial sequence of the side that was called does not change. Either side may say SYN and SYN+ACK: of a
    // simultaneous open the SYN+ACK may have reached us first.
    if (direction == Direction::kReverse && segment.sequence + 1 != after_reverse_syn(track)) return DropReason::kTcpWindow;
  }
  const TcpFlow& own = track.flow[index(direction)];
  const TcpFlow& peer = track.flow[index(opposite(direction))];
  if (!tcp_sequence_fits(own, peer, segment)) return DropReason::kTcpWindow;
  if (acknowledges && !tcp_acknowledgement_fits(own, peer, segment)) return DropReason::kTcpWindow;
  return DropReason::kNone;
}

/// kSimultaneousSyn, SYN+ACK or ACK without FIN: established when each side has acknowledged the other's SYN.
DropReason simultaneous(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  const TcpFlow& own = track.flow[index(direction)];
  const TcpFlow& peer = track.flow[index(opposite(direction))];
  // Data may follow the other side's SYN at once, so `end` may already lie beyond that SYN.
  if (!tcp_sequence_fits(own, peer, segment) || !tcp_acknowledgement_fits(own, peer, segment)) {
    return DropReason::kTcpWindow;
  }
  if ((segment.flags & kTcpSyn) == 0) tcp_advance(track, direction, segment);
  set_mark(track, kMarkSynAcknowledged, opposite(direction));
  if (marked(track, kMarkSynAcknowledged, Direction::kForward) && marked(track, kMarkSynAcknowledged, Direction::kReverse)) {
    track.state = TcpState::kEstablished;
  }
  return DropReason::kNone;
}

TcpState after_fin(TcpState state, Direction direction) {
  const bool forward = direction == Direction::kForward;
  switch (state) {
    case TcpState::kSimultaneousSyn:
    case TcpState::kSynReceived:
    case TcpState::kEstablished: return forward ? TcpState::kFinWaitForward : TcpState::kFinWaitReverse;
    case TcpState::kFinWaitForward: return forward ? state : TcpState::kClosing;
    case TcpState::kFinWaitReverse: return forward ? TcpState::kClosing : state;
    case TcpState::kNone:
    case TcpState::kSynSent:
    case TcpState::kClosing:
    case TcpState::kTimeWait:
    case TcpState::kClosed:
    case TcpState::kCount: return state;
  }
  return state;
}

/// A segment with ACK, without SYN and RST, of a connection that has both SYNs.
DropReason synchronised(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  if (!tcp_fits(track, direction, segment)) return DropReason::kTcpWindow;
  TcpFlow& own = track.flow[index(direction)];
  const bool fin = (segment.flags & kTcpFin) != 0;
  const std::uint32_t end = segment.sequence + segment.payload_bytes + (fin ? 1 : 0);
  if (fin && !at_or_after(end, own.end)) return DropReason::kTcpWindow;
  const bool answers = track.state == TcpState::kSynReceived && direction == Direction::kForward;
  if (answers && !within(after_reverse_syn(track), segment.acknowledgement, track.flow[index(Direction::kReverse)].end)) {
    return DropReason::kTcpWindow;
  }

  tcp_advance(track, direction, segment);
  if (answers) track.state = TcpState::kEstablished;
  if (fin) {
    own.end = end;
    track.state = after_fin(track.state, direction);
  }
  const Direction other = opposite(direction);
  if (has_sent_fin(track, other) && segment.acknowledgement == track.flow[index(other)].end) {
    set_mark(track, kMarkFinAcknowledged, other);
  }
  if (track.state == TcpState::kClosing && marked(track, kMarkFinAcknowledged, Direction::kForward) &&
      marked(track, kMarkFinAcknowledged, Direction::kReverse)) {
    track.state = TcpState::kTimeWait;
  }
  return DropReason::kNone;
}

}  // namespace

std::uint8_t parse_tcp_window_scale(std::span<const std::uint8_t> options) {
  constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kWindowScale = 3;
  // At most 40 bytes, and each turn takes at least one.
  while (!options.empty()) {
    const std::uint8_t kind = options[0];
    if (kind == kEnd) break;
    if (kind == kNoOperation) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options[1] < 2 || options[1] > options.size()) break;
    if (kind == kWindowScale) return options[1] == 3 ? options[2] : kNoWindowScale;
    options = options.subspan(options[1]);
  }
  return kNoWindowScale;
}

DropReason tcp_first(TcpTrack& track, const TcpSegment& segment) {
  if ((segment.flags & kControl) != kTcpSyn) return DropReason::kNotFirst;
  track = {};
  TcpFlow& forward = track.flow[index(Direction::kForward)];
  forward.edge = segment.sequence + 1;
  forward.end = forward.edge + segment.payload_bytes;  // data in a SYN: TCP Fast Open, RFC 7413
  forward.max_window = syn_window(segment);
  // Until the peer speaks it is as if it granted just this SYN.
  track.flow[index(Direction::kReverse)].max_window = 1 + segment.payload_bytes;
  note_offered_scale(track, Direction::kForward, segment);
  track.state = TcpState::kSynSent;
  return DropReason::kNone;
}

DropReason tcp_pick_up(TcpTrack& track, const TcpSegment& segment) {
  if ((segment.flags & kControl) != kTcpAck) return DropReason::kNotFirst;
  constexpr std::uint32_t kLargest = std::uint32_t{0xffff} << kScaleMax;
  const std::uint32_t end = segment.sequence + segment.payload_bytes;
  track = {};
  track.flow[index(Direction::kForward)] = {.end = end, .edge = end + kLargest, .max_window = kLargest};
  const std::uint32_t peer = segment.acknowledgement;
  track.flow[index(Direction::kReverse)] = {.end = peer, .edge = peer + kLargest, .max_window = kLargest};
  track.scale = {kScaleMax, kScaleMax};
  track.state = TcpState::kEstablished;
  return DropReason::kNone;
}

DropReason tcp_next_slow(TcpTrack& track, Direction direction, const TcpSegment& segment) {
  switch (track.state) {
    case TcpState::kSynSent:
      return direction == Direction::kForward ? syn_sent_forward(track, segment) : syn_sent_reverse(track, segment);
    case TcpState::kSimultaneousSyn:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWaitForward:
    case TcpState::kFinWaitReverse:
    case TcpState::kClosing:
    case TcpState::kTimeWait:
    case TcpState::kClosed: break;
    case TcpState::kNone:
    case TcpState::kCount: return DropReason::kTcpState;
  }
  if ((segment.flags & kTcpRst) != 0) return reset(track, direction, segment);
  const bool answers_syn = (segment.flags & (kTcpAck | kTcpFin)) == kTcpAck;
  if (track.state == TcpState::kSimultaneousSyn && answers_syn) return simultaneous(track, direction, segment);
  if ((segment.flags & kTcpSyn) != 0) return repeated_syn(track, direction, segment);
  if ((segment.flags & kTcpAck) == 0) return DropReason::kTcpState;
  return synchronised(track, direction, segment);
}

bool tcp_restarts(const TcpTrack& track, Direction direction, const TcpSegment& segment) {
  if ((segment.flags & kControl) != kTcpSyn) return false;
  const TcpFlow& own = track.flow[index(direction)];
  switch (track.state) {
    case TcpState::kClosed: return true;
    case TcpState::kTimeWait: return static_cast<std::int32_t>(segment.sequence - own.end) > 0;
    case TcpState::kSynSent: return direction == Direction::kForward && segment.sequence + 1 != own.edge;
    case TcpState::kNone:
    case TcpState::kSimultaneousSyn:
    case TcpState::kSynReceived:
    case TcpState::kEstablished:
    case TcpState::kFinWaitForward:
    case TcpState::kFinWaitReverse:
    case TcpState::kClosing:
    case TcpState::kCount: return false;
  }
  return false;
}

bool tcp_quoted_in_window(const TcpTrack& track, Direction quoted, std::uint32_t sequence) {
  if (track.state == TcpState::kNone) return false;
  if (track.state == TcpState::kSynSent && quoted == Direction::kReverse) return false;
  const TcpFlow& own = track.flow[index(quoted)];
  return own.end - sequence <= track.flow[index(opposite(quoted))].max_window;
}

std::uint32_t tcp_timeout_seconds(TcpState state) {
  switch (state) {
    case TcpState::kNone: return 0;
    case TcpState::kSynSent: return 30;
    case TcpState::kSimultaneousSyn:
    case TcpState::kSynReceived: return 60;
    case TcpState::kEstablished: return 3600;
    case TcpState::kFinWaitForward:
    case TcpState::kFinWaitReverse: return 120;
    case TcpState::kClosing:
    case TcpState::kTimeWait: return 30;
    case TcpState::kClosed: return 10;
    case TcpState::kCount: return 0;
  }
  return 0;
}

std::string_view name(TcpState state) {
  switch (state) {
    case TcpState::kNone: return "none";
    case TcpState::kSynSent: return "syn-sent";
    case TcpState::kSimultaneousSyn: return "simultaneous-syn";
    case TcpState::kSynReceived: return "syn-received";
    case TcpState::kEstablished: return "established";
    case TcpState::kFinWaitForward: return "fin-wait-forward";
    case TcpState::kFinWaitReverse: return "fin-wait-reverse";
    case TcpState::kClosing: return "closing";
    case TcpState::kTimeWait: return "time-wait";
    case TcpState::kClosed: return "closed";
    case TcpState::kCount: break;
  }
  return "?";
}

}  // namespace sekisho::filters
