// SPDX-License-Identifier: Apache-2.0
#include "filters/state/sctp_tracker.h"

#include "filters/packet/fields.h"
#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

enum Chunk : std::uint8_t {
  kInit = 1, kInitAck = 2, kAbort = 6, kShutdown = 7, kShutdownAck = 8, kCookieEcho = 10, kCookieAck = 11, kShutdownComplete = 14,
};
constexpr std::size_t kCommonHeaderBytes = 12, kChunkHeaderBytes = 4, kInitBytesMin = 20;
constexpr std::uint8_t kReflected = 1;  // T

constexpr std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }

DropReason first_answer(SctpTrack& track, const SctpPacket& packet) {
  if (!packet.alone || packet.initiate_tag == 0) return DropReason::kSctpState;
  track.tag[index(Direction::kForward)] = packet.initiate_tag;
  track.state = SctpState::kInitAck;
  return DropReason::kNone;
}

/// An INIT of an association that is not yet one: repeated, or of both ends at once (5.2.1).
DropReason init(SctpTrack& track, Direction direction, const SctpPacket& packet) {
  if (track.state != SctpState::kInit && track.state != SctpState::kInitAck && track.state != SctpState::kCookie) {
    return DropReason::kSctpState;
  }
  if (!packet.alone || packet.tag != 0 || packet.initiate_tag == 0) return DropReason::kSctpState;
  std::uint32_t& answers = track.tag[index(opposite(direction))];
  if (answers != 0 && answers != packet.initiate_tag && track.state != SctpState::kInit) return DropReason::kSctpTag;
  answers = packet.initiate_tag;
  return DropReason::kNone;
}

bool carries_tag(const SctpTrack& track, Direction direction, const SctpPacket& packet) {
  const bool reflects = (packet.chunk == kAbort || packet.chunk == kShutdownComplete) && (packet.flags & kReflected) != 0;
  const std::uint32_t tag = track.tag[index(reflects ? opposite(direction) : direction)];
  return tag != 0 && packet.tag == tag;
}

}  // namespace

SctpPacket parse_sctp(std::span<const std::uint8_t> frame, const PacketMeta& meta) {
  SEKISHO_DCHECK((meta.proof & kProofL4) != 0 && meta.protocol == kProtocolSctp);
  const auto tag = load_be<std::uint32_t>(frame, meta.l4_offset + 4U);
  SctpPacket out{.tag = tag, .initiate_tag = 0, .chunk = kSctpNoChunk, .flags = 0, .alone = false};
  const ByteSpan chunks = packet_from(frame, meta, meta.l4_offset + kCommonHeaderBytes);
  if (chunks.size() < kChunkHeaderBytes) return out;
  const std::size_t room = std::size_t{meta.l3_offset} + meta.l3_length - meta.l4_offset - kCommonHeaderBytes;
  const std::size_t length = load_be<std::uint16_t>(chunks, 2);
  const std::uint8_t type = chunks[0];
  const bool initial = type == kInit || type == kInitAck;
  const std::size_t least = initial ? kInitBytesMin : kChunkHeaderBytes;
  if (length < least || length > room || (initial && chunks.size() < kInitBytesMin)) return out;
  out.chunk = type;
  out.flags = chunks[1];
  out.alone = (length + 3) / 4 * 4 >= room;
  if (initial) out.initiate_tag = load_be<std::uint32_t>(chunks, 4);
  return out;
}

DropReason sctp_first(SctpTrack& track, const SctpPacket& packet) {
  if (packet.chunk != kInit || !packet.alone || packet.tag != 0 || packet.initiate_tag == 0) return DropReason::kNotFirst;
  track = {};
  track.tag[index(Direction::kReverse)] = packet.initiate_tag;
  track.state = SctpState::kInit;
  return DropReason::kNone;
}

DropReason sctp_next(SctpTrack& track, Direction direction, const SctpPacket& packet) {
  if (track.state == SctpState::kNone || packet.chunk == kSctpNoChunk) return DropReason::kSctpState;
  if (packet.chunk == kInit) return init(track, direction, packet);
  if (!carries_tag(track, direction, packet)) return DropReason::kSctpTag;
  const bool forward = direction == Direction::kForward;
  switch (packet.chunk) {
    case kInitAck:
      if (track.state == SctpState::kInit && !forward) return first_answer(track, packet);
      // Repeated, or of an end that called as well: nothing may change a tag that is known.
      if (!packet.alone || packet.initiate_tag != track.tag[index(opposite(direction))]) return DropReason::kSctpState;
      return track.state < SctpState::kEstablished ? DropReason::kNone : DropReason::kSctpState;
    case kCookieEcho:
      if (track.state == SctpState::kInitAck) track.state = SctpState::kCookie;
      return track.state >= SctpState::kCookie && track.state <= SctpState::kEstablished ? DropReason::kNone : DropReason::kSctpState;
    case kCookieAck:
      if (track.state == SctpState::kCookie) track.state = SctpState::kEstablished;
      return track.state == SctpState::kEstablished ? DropReason::kNone : DropReason::kSctpState;
    case kAbort:
    case kShutdownComplete:
      if (packet.chunk == kShutdownComplete && track.state < SctpState::kShutdown) return DropReason::kSctpState;
      track.state = SctpState::kClosed;
      return DropReason::kNone;
    case kShutdown:
    case kShutdownAck:
      if (track.state < SctpState::kCookie) return DropReason::kSctpState;
      if (track.state != SctpState::kClosed) track.state = SctpState::kShutdown;
      return DropReason::kNone;
    default:  // data, its acknowledgement, heartbeats, errors, extensions: once both sides are known
      return track.state >= SctpState::kCookie ? DropReason::kNone : DropReason::kSctpState;
  }
}

std::uint32_t sctp_timeout_seconds(SctpState state) {
  switch (state) {
    case SctpState::kNone: return 0;
    case SctpState::kInit:
    case SctpState::kInitAck:
    case SctpState::kCookie: return 30;
    case SctpState::kEstablished: return 600;
    case SctpState::kShutdown: return 60;
    case SctpState::kClosed: return 10;
    case SctpState::kCount: break;
  }
  return 0;
}

std::string_view name(SctpState state) {
  switch (state) {
    case SctpState::kNone: return "none";
    case SctpState::kInit: return "init";
    case SctpState::kInitAck: return "init-ack";
    case SctpState::kCookie: return "cookie";
    case SctpState::kEstablished: return "established";
    case SctpState::kShutdown: return "shutdown";
    case SctpState::kClosed: return "closed";
    case SctpState::kCount: break;
  }
  return "?";
}

}  // namespace sekisho::filters
