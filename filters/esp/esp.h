// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "base/net/address.h"
#include "base/net/endian.h"
#include "base/wire/reader.h"
#include "filters/esp/esp_fault.h"
#include "filters/esp/esp_suite.h"

/// ESP as bytes (RFC 4303, 4106, 3948): what may be read before the key is known, and what must hold once it is open.
namespace sekisho::filters {

inline constexpr std::size_t kEspFixedBytes = 8;    ///< SPI and sequence number
inline constexpr std::size_t kEspTrailerBytes = 2;  ///< pad length and next header
inline constexpr std::uint32_t kEspSpiReservedMax = 255;
inline constexpr std::uint16_t kUdpEncapsulationPort = 4500;

/// What a datagram to or from UDP 4500 is (RFC 3948 2).
enum class UdpEncapsulated : std::uint8_t {
  kEsp,
  kIke,        ///< four zero bytes, then IKE
  kKeepalive,  ///< one byte 0xff: holds a NAT's entry open, says nothing
  kMalformed,  ///< too short for any of them
};
[[nodiscard]] UdpEncapsulated classify_udp_encapsulated(ByteSpan payload);

/// The part of an ESP packet that is readable without a key, host order.
struct EspHeader {
  std::uint32_t spi;
  std::uint32_t sequence;  ///< the low half when sequence numbers are extended
};
/// Nothing when `esp` (from the SPI to the end of the ICV) is shorter than the fixed part.
[[nodiscard]] inline std::optional<EspHeader> read_esp_header(ByteSpan esp) {
  if (esp.size() < kEspFixedBytes) return std::nullopt;
  return EspHeader{load_be<std::uint32_t>(esp, 0), load_be<std::uint32_t>(esp, 4)};
}

/// What the length of an ESP packet of one suite says.
struct EspLengths {
  std::size_t around = 0;     ///< bytes of SPI, sequence number, IV and ICV
  std::size_t unaligned = 0;  ///< bits that the number of encrypted bytes does not have: its alignment is a power of two

  EspLengths() = default;
  explicit EspLengths(EspSizes sizes)
      : around(kEspFixedBytes + sizes.iv + sizes.icv), unaligned(std::size_t{sizes.alignment} - 1) {}
  /// Bytes of the encrypted part of a packet of `length` bytes; 0 when it cannot be one of this suite: too short for IV, a trailer and
  /// ICV, or not a multiple of the alignment.
  [[nodiscard]] std::size_t encrypted(std::size_t length) const {
    return length < around || ((length - around) & unaligned) != 0 ? 0 : length - around;
  }
};
[[nodiscard]] inline std::size_t esp_encrypted_bytes(std::size_t length, EspSizes sizes) { return EspLengths(sizes).encrypted(length); }

/// What an opened packet holds.
struct EspInner {
  Family family = Family::kNone;
  std::uint16_t length = 0;  ///< of the inner IP packet; what follows it is traffic flow confidentiality padding
};
/// Judges the decrypted part, trailer included: padding (RFC 4303 2.4: 1, 2, 3...), next header, and that an IP packet
/// of that family lies there whole. Bytes between its end and the padding are allowed (RFC 4303 2.7).
/// kDummy for next header 59. The inner packet is otherwise as foreign as before: decode judges it next.
[[nodiscard]] EspFault read_esp_inner(ByteSpan opened, EspInner& inner);
/// The same in transport mode: what lies before the padding, which has to be of protocol `wanted`. kDummy, kNextHeader, kPadding.
[[nodiscard]] EspFault read_esp_transport(ByteSpan opened, std::uint8_t wanted, ByteSpan& inner);

/// Padding bytes for an inner packet of `length`, without the trailer's two.
[[nodiscard]] inline std::size_t esp_padding_bytes(std::size_t length, EspSizes sizes) {
  return (std::size_t{0} - length - kEspTrailerBytes) & (std::size_t{sizes.alignment} - 1);
}
/// Room write_esp_trailer() needs behind the packet, whatever it writes of it.
inline constexpr std::size_t kEspTrailerRoom = 18;
/// What an ESP trailer calls a whole inner packet.
[[nodiscard]] constexpr std::uint8_t esp_next_header(Family inner) { return inner == Family::kIpv4 ? 4 : 41; }
/// Writes padding, pad length and next header at `end`: `bytes`, which are esp_padding_bytes() + 2 and so at most 17.
/// Bytes beyond, up to kEspTrailerRoom, become rubbish.
inline void write_esp_trailer(std::uint8_t* end, std::size_t bytes, std::uint8_t next_header) {
  SEKISHO_DCHECK(bytes >= kEspTrailerBytes && bytes < kEspTrailerRoom);
  constexpr std::uint8_t kPadding[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  std::memcpy(end, kPadding, sizeof(kPadding));
  end[bytes - 2] = static_cast<std::uint8_t>(bytes - kEspTrailerBytes);
  end[bytes - 1] = next_header;
}

/// The longest inner packet that fits `outer_mtu` once sealed; 0 when none does. `outer_headers`: IP, and UDP if any.
[[nodiscard]] std::size_t esp_inner_mtu(std::size_t outer_mtu, std::size_t outer_headers, EspSizes sizes);

/// RFC 6040 4.2, leaving a tunnel: the inner packet's ECN bits, or nothing when it must be dropped: congestion was met
/// and the inner packet's ends do not speak ECN. Both arguments are the low two bits of the traffic class.
[[nodiscard]] std::optional<std::uint8_t> ecn_out_of_tunnel(std::uint8_t inner, std::uint8_t outer);

}  // namespace sekisho::filters
