// SPDX-License-Identifier: Apache-2.0
// Any bytes as what stands behind UDP 4500, as an ESP packet, and as a decrypted part: what is accepted must lie inside
// the input and say what a second, plain reading says. Then as a walk of sequence numbers through a replay window,
// beside a set; and as changes to a packet like which others have been recognized, beside the decoder.
#include <array>
#include <cstdint>
#include <set>

#include "base/assert.h"
#include "filters/esp/esp.h"
#include "filters/esp/peer_look.h"
#include "filters/esp/replay_window.h"

namespace {

using namespace sekisho::filters;
using sekisho::ByteSpan;
using sekisho::Family;

void judge_opened(ByteSpan bytes) {
  EspInner inner;
  if (read_esp_inner(bytes, inner) != EspFault::kNone) return;
  const std::size_t padding = bytes[bytes.size() - 2];
  SEKISHO_ASSERT(inner.length + padding + kEspTrailerBytes <= bytes.size());
  for (std::size_t i = 1; i <= padding; ++i)
    SEKISHO_ASSERT(bytes[bytes.size() - kEspTrailerBytes - padding + i - 1] == i);
  const bool v4 = inner.family == Family::kIpv4;
  SEKISHO_ASSERT(bytes[0] >> 4 == (v4 ? 4 : 6) && bytes.back() == (v4 ? 4 : 41) && inner.length >= (v4 ? 20 : 40));
}

void judge_sealed(ByteSpan bytes) {
  for (unsigned suite = 0; suite < 7 * 5; ++suite) {
    const auto sizes = sizes_of({static_cast<EspCipher>(suite / 5), static_cast<EspIntegrity>(suite % 5)});
    if (!sizes.has_value()) continue;
    const std::size_t encrypted = esp_encrypted_bytes(bytes.size(), *sizes);
    SEKISHO_ASSERT(encrypted % sizes->alignment == 0);
    SEKISHO_ASSERT(encrypted == 0 || kEspFixedBytes + sizes->iv + encrypted + sizes->icv == bytes.size());
    SEKISHO_ASSERT(encrypted == 0 || read_esp_header(bytes).has_value());
  }
  if (classify_udp_encapsulated(bytes) == UdpEncapsulated::kEsp) SEKISHO_ASSERT(read_esp_header(bytes)->spi != 0);
}

/// Two bytes a step: how far from the newest number, in either direction; the first step says the window.
void walk(ByteSpan bytes) {
  if (bytes.size() < 4) return;
  const std::uint32_t size = 64 + (bytes[0] | unsigned{bytes[1]} << 8) % 4033U;
  ReplayWindow window = std::move(ReplayWindow::create(size, true)).value();
  std::set<std::uint64_t> seen;
  std::uint64_t top = 0;
  for (std::size_t at = 2; at + 2 <= bytes.size(); at += 2) {
    const auto step = static_cast<std::int16_t>(bytes[at] | bytes[at + 1] << 8);
    const std::int64_t distance = step > 32'000 ? std::int64_t{step} << 16 : step;  // some leaps cross 2^32
    if (distance < 0 && static_cast<std::uint64_t>(-distance) > top) continue;
    const std::uint64_t sequence = top + static_cast<std::uint64_t>(distance);
    const bool expected = sequence != 0 && (sequence > top || top - sequence < size) && !seen.contains(sequence);
    if (sequence > top ? sequence - top < 0x8000'0000U : top - sequence < size) {
      const std::uint64_t recovered = window.recover(static_cast<std::uint32_t>(sequence));
      SEKISHO_ASSERT(recovered == sequence || (sequence > top && sequence - top + size > 0xffff'ffffU));
    }
    SEKISHO_ASSERT(window.fresh(sequence) == expected);
    SEKISHO_ASSERT(window.accept(sequence) == expected);
    SEKISHO_ASSERT(!window.fresh(sequence));
    if (expected) seen.insert(sequence), top = sequence > top ? sequence : top;
    SEKISHO_ASSERT(window.top() == top);
  }
}

/// ESP from one peer to one gateway, over IPv4 or IPv6, in UDP or not.
std::array<std::uint8_t, 100> packet_of_peer(bool ipv4, bool udp) {
  std::array<std::uint8_t, 100> out{};
  const std::size_t l4 = kEthernetHeaderBytes + (ipv4 ? 20U : 40U), room = out.size() - l4;
  const std::span<std::uint8_t> bytes(out);
  out[5] = 1;
  sekisho::store_be<std::uint16_t>(bytes, 12, ipv4 ? 0x0800 : 0x86dd);
  out[14] = ipv4 ? 0x45 : 0x60;
  sekisho::store_be<std::uint16_t>(bytes, ipv4 ? 16 : 18, static_cast<std::uint16_t>(room + (ipv4 ? 20U : 0U)));
  out[ipv4 ? 23 : 20] = udp ? kProtocolUdp : kProtocolEsp;
  out[l4 - 1] = 1;  // of the destination
  if (udp) {
    sekisho::store_be<std::uint16_t>(bytes, l4 + 2, kUdpEncapsulationPort);
    sekisho::store_be<std::uint16_t>(bytes, l4 + 4, static_cast<std::uint16_t>(room));
    out[l4 + 7] = 1;
  }
  out[l4 + (udp ? 11U : 3U)] = 1;  // of the SPI
  return out;
}

/// The first byte says which packet, then two bytes a change; the last may say how much of it there is.
void recognize(ByteSpan bytes) {
  if (bytes.empty()) return;
  constexpr ChecksumTrust kGood{.ip = true, .l4 = true};
  auto frame = packet_of_peer((bytes[0] & 1) != 0, (bytes[0] & 2) != 0);
  packet_detail::Decoded d{};
  SEKISHO_ASSERT(packet_detail::decode_plain(frame, static_cast<std::uint32_t>(frame.size()), kGood, d));
  PeerLook look;
  look.learn(frame, d);
  std::size_t length = frame.size();
  for (std::size_t at = 1; at + 2 <= bytes.size(); at += 2) {
    if (bytes[at] < frame.size()) frame[bytes[at]] = bytes[at + 1];
    if (bytes[at] == 255) length = std::min<std::size_t>(bytes[at + 1], frame.size());
  }
  const ByteSpan seen = ByteSpan(frame).first(length);
  PeerLook::Parts parts{};
  if (!look.reads(seen, kGood, parts)) return;
  packet_detail::Decoded again{};
  SEKISHO_ASSERT(packet_detail::decode_plain(seen, static_cast<std::uint32_t>(seen.size()), kGood, again));
  const std::size_t esp = again.protocol == kProtocolUdp ? again.payload_offset : again.l4_offset;
  SEKISHO_ASSERT(again.protocol == d.protocol && again.proof == d.proof && parts.end == again.l3_offset + again.l3_length);
  SEKISHO_ASSERT(parts.spi == sekisho::load_be<std::uint32_t>(seen, esp) && parts.spi != 0 && esp + kEspFixedBytes <= parts.end);
  SEKISHO_ASSERT(parts.port == (again.protocol == kProtocolUdp ? again.ports >> 16 : 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  judge_opened(bytes);
  judge_sealed(bytes);
  walk(bytes);
  recognize(bytes);
  return 0;
}
