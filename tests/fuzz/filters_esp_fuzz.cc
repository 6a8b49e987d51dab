// SPDX-License-Identifier: Apache-2.0
// Any bytes as what stands behind UDP 4500, as an ESP packet, and as a decrypted part: what is accepted must lie inside
// the input and say what a second, plain reading says. Then as a walk of sequence numbers through a replay window,
// beside a set.
#include <cstdint>
#include <set>

#include "base/assert.h"
#include "filters/esp/esp.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteSpan bytes(data, size);
  judge_opened(bytes);
  judge_sealed(bytes);
  walk(bytes);
  return 0;
}
