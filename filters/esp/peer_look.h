// SPDX-License-Identifier: Apache-2.0
#pragma once

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "filters/esp/esp.h"
#include "filters/packet/decode.h"

namespace sekisho::filters {

/// What untagged frames with ESP, in UDP or not, from one peer to one gateway look like: learnt from one of them, seen with two
/// comparisons of 32 bytes in place of the steps of decode_plain() and classify_udp_encapsulated(), which remain the definition. What
/// differs from packet to packet (lengths, hop limit, class, the peer's MAC and port) is not looked at. No thread of its own.
class PeerLook {
 public:
  /// What is not the same in all of them.
  struct Parts {
    std::uint16_t end;   ///< of the IP packet in its frame
    std::uint16_t port;  ///< the peer's; 0: not in UDP
    std::uint32_t spi;
  };

  /// From now on, packets like this one. `d`: as decode_plain() found it. A tagged one says nothing: nothing looks like it.
  void learn(ByteSpan frame, const packet_detail::Decoded& d) {
    *this = PeerLook();
    ipv4_ = (d.proof & kProofIpv4) != 0;
    udp_ = d.protocol == kProtocolUdp;
    second_ = ipv4_ ? 10 : 26;
    const std::size_t least = second_ + kWindow;
    if (d.l3_offset != kL3 || frame.size() < least) return;
    least_ = least;
    l4_ = d.l4_offset;
    esp_ = d.l4_offset + (udp_ ? kUdpHeaderBytes : 0);
    std::array<std::uint8_t, kLeastMax> mask{};
    const auto look_at = [&mask](std::size_t from, std::size_t bytes, std::uint8_t bits = 0xff) {
      std::fill_n(mask.begin() + static_cast<std::ptrdiff_t>(from), bytes, bits);
    };
    look_at(0, 6);   // to which MAC
    look_at(12, 2);  // EtherType
    if (ipv4_) {
      look_at(kL3, 1);
      look_at(kL3 + 6, 1, 0xbf);  // a fragment or not, whatever DF says
      look_at(kL3 + 7, 1);
      look_at(kL3 + 9, 1);   // protocol
      look_at(kL3 + 12, 8);  // addresses
    } else {
      look_at(kL3, 1, 0xf0);
      look_at(kL3 + 6, 1);
      look_at(kL3 + 8, 32);
    }
    if (udp_) look_at(l4_ + 2, 2);  // destination port
    for (std::size_t i = 0; i < kWindow; ++i) {
      first_.put(i, mask[i], frame[i]);
      last_.put(i, mask[second_ + i], frame[second_ + i]);
    }
  }

  /// True: `frame`, all of the packet, is plain ESP of that peer: it would be decoded without a fault. `trust`: what the card says of it.
  [[nodiscard, gnu::always_inline]] bool reads(ByteSpan frame, ChecksumTrust trust, Parts& out) const {
    if (frame.size() < least_ || !first_.fits(frame.data()) || !last_.fits(frame.data() + second_)) return false;
    const std::size_t end = kL3 + load_be<std::uint16_t>(frame, kL3 + (ipv4_ ? 2U : 4U)) + (ipv4_ ? 0U : kIpv6HeaderBytes);
    if (end > frame.size() || esp_ + kEspFixedBytes > end || (ipv4_ && !trust.ip)) return false;
    out.port = 0;
    if (udp_) {
      const std::size_t said = load_be<std::uint16_t>(frame, l4_ + 4);
      const bool unsummed = load_be<std::uint16_t>(frame, l4_ + 6) == 0;
      if (said < kUdpHeaderBytes || said > end - l4_ || !(unsummed ? ipv4_ : trust.l4)) return false;
      out.port = load_be<std::uint16_t>(frame, l4_);
    }
    out.spi = load_be<std::uint32_t>(frame, esp_);
    out.end = static_cast<std::uint16_t>(end);
    return out.spi != 0;
  }

 private:
  static constexpr std::size_t kL3 = kEthernetHeaderBytes;
  static constexpr std::size_t kWindow = 32, kLeastMax = 58;

  struct Window {
    alignas(32) std::array<std::uint8_t, kWindow> mask;
    alignas(32) std::array<std::uint8_t, kWindow> want;

    void put(std::size_t at, std::uint8_t bits, std::uint8_t value) {
      mask[at] = bits;
      want[at] = value & bits;
    }
    /// `bytes`: kWindow of them.
    [[nodiscard, gnu::always_inline]] bool fits(const std::uint8_t* bytes) const {
#ifdef __AVX2__
      const __m256i seen = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
      const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(mask.data()));
      const __m256i wanted = _mm256_load_si256(reinterpret_cast<const __m256i*>(want.data()));
      const __m256i differs = _mm256_xor_si256(_mm256_and_si256(seen, bits), wanted);
      return _mm256_testz_si256(differs, differs) != 0;
#else
      std::uint8_t differs = 0;
      for (std::size_t i = 0; i < kWindow; ++i) differs = static_cast<std::uint8_t>(differs | ((bytes[i] & mask[i]) ^ want[i]));
      return differs == 0;
#endif
    }
  };

  std::size_t least_ = SIZE_MAX;  ///< bytes a frame has to have; nothing has been learnt
  std::size_t second_ = 0, l4_ = 0, esp_ = 0;
  bool ipv4_ = false, udp_ = false;
  Window first_, last_;  ///< from the frame's first byte; from `second_` on
};

}  // namespace sekisho::filters
