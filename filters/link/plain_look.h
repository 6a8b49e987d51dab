// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <array>
#include <cstdint>
#include <cstring>

#include "filters/link/binding_guard.h"
#include "filters/packet/decode.h"

namespace sekisho::filters {

/// What untagged frames of one Port and family look like when their link and network headers raise no question: to the gateway's
/// MAC, from the Binding's, IPv4 without options and whole or IPv6, from the Binding's first pair. Seen with one comparison of 32 bytes
/// in place of the steps decode_plain() and is_plain_from_port() take for the same; they remain the definition. Immutable; any thread.
class PlainLook {
 public:
  /// Bytes fits() may read: no TCP or UDP packet is shorter.
  static constexpr std::size_t kLeastBytes = kEthernetHeaderBytes + kIpv4HeaderBytes + kUdpHeaderBytes;

  /// Nothing looks like it.
  PlainLook() = default;
  /// IPv4 to `gateway` (six bytes as they lie in memory, in the low 48 bits). Nothing fits when the Binding's frames are tagged.
  static PlainLook ipv4(const BindingRules::Hot& hot, std::uint64_t gateway) {
    PlainLook out;
    if (hot.l3_offset != kEthernetHeaderBytes || (hot.link4 & 0xffff) != kEtherTypeIpv4) return out;
    out.want_ = {};
    out.put_gateway(gateway);
    out.put<std::uint64_t>(6, hot.link4, ~std::uint64_t{0});
    out.put_byte(14, 0x45, 0xff);
    out.put<std::uint16_t>(20, 0, 0xbfff);
    out.put<std::uint32_t>(26, hot.address4, hot.mask4);
    return out;
  }
  /// The same for IPv6.
  static PlainLook ipv6(const BindingRules::Hot& hot, std::uint64_t gateway) {
    PlainLook out;
    if (hot.l3_offset != kEthernetHeaderBytes || (hot.link6 & 0xffff) != kEtherTypeIpv6) return out;
    out.want_ = {};
    out.gateway_ = gateway;
    out.put<std::uint64_t>(0, hot.link6, ~std::uint64_t{0});
    out.put_byte(8, 0x60, 0xf0);
    out.put<std::uint64_t>(16, hot.high, hot.mask_high);
    out.put<std::uint64_t>(24, hot.low, hot.mask_low);
    return out;
  }

  /// `frame` has kLeastBytes.
  [[nodiscard, gnu::always_inline]] bool fits4(const std::uint8_t* frame) const { return same(frame); }
  [[nodiscard, gnu::always_inline]] bool fits6(const std::uint8_t* frame) const {
    std::uint64_t destination;
    std::memcpy(&destination, frame, sizeof(destination));
    return (destination & 0xffff'ffff'ffffU) == gateway_ && same(frame + kFrom6);
  }

 private:
  static constexpr std::size_t kFrom6 = 6;  // the 32 bytes end with the source address

  /// A whole word at a time: looks are made anew for every burst.
  template <typename Word>
  void put(std::size_t at, Word value, Word mask) {
    store_be<Word>(mask_, at, mask);
    store_be<Word>(want_, at, static_cast<Word>(value & mask));
  }
  void put_byte(std::size_t at, std::uint8_t value, std::uint8_t mask) {
    mask_[at] = mask;
    want_[at] = value;
  }
  void put_gateway(std::uint64_t gateway) {
    std::memcpy(want_.data(), &gateway, 6);
    std::memset(mask_.data(), 0xff, 6);
  }
  [[gnu::always_inline]] bool same(const std::uint8_t* bytes) const {
#ifdef __AVX2__
    const __m256i seen = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
    const __m256i mask = _mm256_load_si256(reinterpret_cast<const __m256i*>(mask_.data()));
    const __m256i want = _mm256_load_si256(reinterpret_cast<const __m256i*>(want_.data()));
    const __m256i differs = _mm256_xor_si256(_mm256_and_si256(seen, mask), want);
    return _mm256_testz_si256(differs, differs) != 0;
#else
    std::uint8_t differs = 0;
    for (std::size_t i = 0; i < 32; ++i) differs = static_cast<std::uint8_t>(differs | ((bytes[i] & mask_[i]) ^ want_[i]));
    return differs == 0;
#endif
  }

  alignas(32) std::array<std::uint8_t, 32> mask_{};
  alignas(32) std::array<std::uint8_t, 32> want_{1};
  std::uint64_t gateway_ = 0;
};

/// The rest of decode_plain() and is_plain_from_port() for a frame of kLeastBytes that fits4() or fits6(), and whose checksums the card
/// has found good. True: `d` is what decode_plain() says, and the frame may come from the Port.
template <std::uint16_t kType>
[[nodiscard, gnu::always_inline]] inline bool decode_fitting(ByteSpan frame, packet_detail::Decoded& d) {
  constexpr ChecksumTrust kGood{.ip = true, .l4 = true};
  const auto bytes = static_cast<std::uint32_t>(frame.size());
  return packet_detail::decode_plain_ip<kEthernetHeaderBytes, true>(frame, bytes, kGood, kType, 0, d) && link_detail::is_plain_sender(d);
}

}  // namespace sekisho::filters
