// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/wire/reader.h"
#include "filters/drop_reason.h"
#include "filters/packet/packet_meta.h"

/// One IP datagram in pieces: what a piece says of itself, which pieces have come, and whether they are the whole.
/// Nothing here holds bytes or waits; who does knows which pieces belong together. Thread: any; pure.
namespace sekisho::filters {

/// A datagram of 64 KiB in pieces of 1 KiB.
inline constexpr std::size_t kFragmentPiecesMax = 64;

/// Where a piece lies in its datagram: bytes of the part that was cut. Host order.
struct FragmentFields {
  std::uint32_t id;
  std::uint32_t begin, end;    ///< the piece is [begin, end) of the datagram's fragmentable part
  std::uint32_t before;        ///< bytes of the packet in front of that part: IP header, options, extension headers
  std::uint16_t data;          ///< offset in the frame of the byte at `begin`
  std::uint8_t protocol;       ///< IPv4: the datagram's; IPv6: what the fragment header says follows
  bool more;
  bool unfragmentable;         ///< IPv4 with DF
};

/// Reads a piece. Needs kProofFragment and the IP proof: decode has walked to the fragment header.
[[nodiscard]] FragmentFields read_fragment(ByteSpan frame, const PacketMeta& meta) noexcept;

/// True for a fragment that does not begin its datagram. Needs the IP proof; false for all that is no fragment.
[[nodiscard]] bool is_later_fragment(ByteSpan frame, const PacketMeta& meta) noexcept;

/// What can be said of a piece alone.
/// kFragmentMalformed: no bytes; not a multiple of eight with more to come (RFC 791, RFC 8200 4.5); IPv4 with DF, which
/// says that nobody may have cut it. kFragmentOversized: the datagram would exceed 65,535 bytes. kFragmentTiny: TCP at
/// offset eight, where the flags lie (RFC 3128).
[[nodiscard]] DropReason check_fragment(const FragmentFields& fields) noexcept;

/// The pieces of one datagram that have come, in order, without gaps counted twice. Plain memory; zero bytes are empty.
class PieceRanges {
 public:
  enum class Outcome : std::uint8_t {
    kStored,
    kSame,      ///< exactly the range of piece `index`: a duplicate, if its bytes are the same too (RFC 8200 4.5)
    kConflict,  ///< overlaps another, or contradicts where the datagram ends (RFC 5722): nothing of it may be used
    kTooMany,   ///< more than kFragmentPiecesMax
  };
  struct Placed {
    Outcome outcome;
    std::uint8_t index;  ///< kStored: its place in order, those behind moved up; kSame: the one it repeats
  };
  /// `begin` < `end` <= 65535. Only kStored changes anything.
  [[nodiscard]] Placed add(std::uint32_t begin, std::uint32_t end, bool more) noexcept;

  [[nodiscard]] bool complete() const { return last_seen_ && covered_ == total_; }
  [[nodiscard]] bool has_first() const { return count_ > 0 && ranges_[0].begin == 0; }
  [[nodiscard]] std::size_t count() const { return count_; }
  /// Bytes of the fragmentable part. Valid when complete.
  [[nodiscard]] std::uint32_t total() const { return total_; }

 private:
  struct Range {
    std::uint16_t begin, end;
  };
  std::array<Range, kFragmentPiecesMax> ranges_;
  std::uint32_t covered_;
  std::uint16_t total_;
  std::uint8_t count_;
  bool last_seen_;
};

/// Proves the upper-layer header of a complete datagram in its first piece, as decode() does for whole packets, and adds
/// kProofL4 with ports, flags and types to `meta`. `frame`: the first piece alone; `l4_bytes`: the whole upper-layer
/// packet from meta.l4_offset on. The checksum is not verified: its bytes lie in other pieces (PieceSum).
/// A header that does not end in the first piece: kFragmentTiny (IPv4) or kFragmentChain (IPv6, RFC 7112).
[[nodiscard]] DropReason decode_first_piece(ByteSpan frame, std::uint32_t l4_bytes, PacketMeta& meta) noexcept;

/// Writes the header of a piece behind the first, from the IPv4 `header` of the packet that is cut: with the options that
/// go with every piece (RFC 791 3.1, copied flag), without length, offset and checksum. Returns its bytes; `out` has room
/// for as many as `header` has.
std::size_t write_fragment_header(std::span<std::uint8_t> out, ByteSpan header) noexcept;

/// Makes an IPv4 packet the piece that `word` says, flags and offset as on the wire, of the length its record says.
void set_fragment_word(std::span<std::uint8_t> frame, const PacketMeta& meta, std::uint32_t word) noexcept;

/// The upper-layer checksum of a datagram in pieces.
class PieceSum {
 public:
  /// Begins with the pseudo header. After decode_first_piece said kNone, with the same arguments.
  PieceSum(ByteSpan frame, std::uint32_t l4_bytes, const PacketMeta& meta) noexcept;
  /// The bytes of the next piece, of the first from meta.l4_offset on. All but the last are even.
  void add(ByteSpan bytes) noexcept;
  /// After all pieces. True also where there is no checksum: UDP over IPv4 without, other protocols.
  [[nodiscard]] bool good() const noexcept;

 private:
  std::uint32_t sum_ = 0;
  bool summed_ = false;
};

}  // namespace sekisho::filters
