// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"
#include "filters/state/direction.h"

/// SCTP associations as a firewall follows them (RFC 9260): set-up and end by the first chunk of a packet, strangers kept out by
/// verification tags. The CRC32c is left to the ends, which must check it (6.8), and we change nothing it covers. Pure.
namespace sekisho::filters {

enum class SctpState : std::uint8_t {
  kNone = 0,
  kInit,         ///< INIT seen
  kInitAck,      ///< answered
  kCookie,       ///< COOKIE ECHO seen
  kEstablished,  ///< COOKIE ACK seen
  kShutdown,     ///< one side shuts down
  kClosed,       ///< ABORT or SHUTDOWN COMPLETE
  kCount
};

/// A followed association; zero bytes mean none. Thread: the shard that owns the session.
struct SctpTrack {
  std::array<std::uint32_t, 2> tag;  ///< by direction: the tag its packets must carry; 0 = not yet known
  SctpState state;
  std::array<std::uint8_t, 3> reserved;
};
static_assert(sizeof(SctpTrack) == 12 && std::is_trivially_copyable_v<SctpTrack>);

/// What following needs of a packet, host order.
struct SctpPacket {
  std::uint32_t tag;           ///< verification tag of the common header
  std::uint32_t initiate_tag;  ///< of INIT and INIT ACK; else 0
  std::uint8_t chunk;          ///< type of the first chunk; kSctpNoChunk: there is none, or it is malformed
  std::uint8_t flags;          ///< of the first chunk
  bool alone;                  ///< nothing follows the first chunk
};
inline constexpr std::uint8_t kSctpNoChunk = 0xff;

/// Reads a packet whose common header decode has proved (kProofL4, protocol 132).
[[nodiscard]] SctpPacket parse_sctp(std::span<const std::uint8_t> frame, const PacketMeta& meta);

/// Starts a track: an INIT alone, with tag 0 and an initiate tag of its own (3.3.2, 8.5.1), else kNotFirst.
[[nodiscard]] DropReason sctp_first(SctpTrack& track, const SctpPacket& packet);

/// Does the packet belong? kNone; kSctpTag: another tag than its direction's (an ABORT or SHUTDOWN COMPLETE with the T bit
/// reflects the other's); kSctpState: no chunk, or one that has no place now. An INIT within an association is refused: a
/// host that restarted answers its peer with an ABORT first. A refused packet leaves `track` as it was.
[[nodiscard]] DropReason sctp_next(SctpTrack& track, Direction direction, const SctpPacket& packet);

/// Seconds of silence that end an association in `state`. Heartbeats come every 30 (RFC 9260 16).
[[nodiscard]] std::uint32_t sctp_timeout_seconds(SctpState state);

/// "established"
[[nodiscard]] std::string_view name(SctpState state);

}  // namespace sekisho::filters
