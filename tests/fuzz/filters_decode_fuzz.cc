// SPDX-License-Identifier: Apache-2.0
// Hostile bytes into decode(), and what it accepted into every reader and builder that stands on its proofs.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <vector>

#include "base/assert.h"
#include "filters/packet/arp.h"
#include "filters/packet/build.h"
#include "filters/packet/decode.h"
#include "filters/packet/fragment.h"
#include "filters/packet/mss.h"
#include "filters/packet/nd.h"

namespace {

using namespace sekisho;
using namespace sekisho::filters;

void use(ByteSpan frame, const PacketMeta& meta) {
  const Mac own{{2, 0, 0, 0, 0, 1}};
  const LinkHeader link = answer_link(frame, meta, own);
  std::vector<std::uint8_t> out(1500);
  if ((meta.proof & kProofArp) != 0 && read_arp(frame, meta).is_plain()) {
    SEKISHO_ASSERT(build_arp_reply(out, link, read_arp(frame, meta).target, read_arp(frame, meta).sender) != 0);
  }
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) return;
  if ((meta.proof & kProofFragment) != 0) {
    const FragmentFields fields = read_fragment(frame, meta);
    SEKISHO_ASSERT(fields.data >= meta.l3_offset && fields.end + fields.data == fields.begin + std::uint32_t{meta.l3_offset} + meta.l3_length);
    std::ignore = check_fragment(fields);
    if (fields.begin == 0 && (meta.proof & kProofL4) == 0 && frame.size() >= std::size_t{meta.l3_offset} + meta.l3_length) {
      PacketMeta first = meta;
      const std::uint32_t l4_bytes = std::uint32_t{meta.l3_offset} + meta.l3_length - meta.l4_offset + 64U;
      if (decode_first_piece(frame, l4_bytes, first) == DropReason::kNone) {
        PieceSum sum(frame, l4_bytes, first);
        sum.add(frame.subspan(first.l4_offset));
        std::ignore = sum.good();
      }
    }
  }
  if (is_nd(meta)) std::ignore = parse_nd(frame, meta);
  const Address source = ip_destination(frame, meta);
  const std::size_t error = build_icmp_error(out, link, source, frame, meta, IcmpErrorKind::kTooBig, 1280);
  PacketMeta again{};
  if (error != 0) {
    SEKISHO_ASSERT(decode(ByteSpan(out).first(error), static_cast<std::uint32_t>(error), {}, again) ==
                   DropReason::kNone);
  }
  const std::size_t reset = build_tcp_reset(out, link, frame, meta);
  if (reset != 0) {
    SEKISHO_ASSERT(decode(ByteSpan(out).first(reset), static_cast<std::uint32_t>(reset), {}, again) ==
                   DropReason::kNone);
  }
  std::vector<std::uint8_t> copy(frame.begin(), frame.end());
  if (echo_reply_in_place(copy, meta, own)) SEKISHO_ASSERT(copy[0] == frame[6]);
  if (meta.protocol == kProtocolTcp && (meta.proof & kProofL4) != 0) {
    std::vector<std::uint8_t> clamped(frame.begin(), frame.end());
    const auto bytes = static_cast<std::uint32_t>(frame.size());
    const bool summed = decode(frame, bytes, {.ip = true, .l4 = false}, again) == DropReason::kNone;
    clamp_mss(clamped, meta, 536);
    SEKISHO_ASSERT(!summed || decode(clamped, bytes, {.ip = true, .l4 = false}, again) == DropReason::kNone);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // The first byte chooses what the NIC vouched for and how much of the frame lies beyond the first segment.
  const ChecksumTrust trust{(data[0] & 1) != 0, (data[0] & 2) != 0};
  const ByteSpan frame(data + 1, size - 1);
  const auto bytes = static_cast<std::uint32_t>(frame.size() + (data[0] >> 2));
  PacketMeta fast{}, general{};
  const DropReason reason = decode(frame, bytes, trust, fast);
  SEKISHO_ASSERT(packet_detail::decode_any(frame, bytes, trust, general) == reason);
  SEKISHO_ASSERT(std::memcmp(&fast, &general, sizeof(fast)) == 0);
  if (reason == DropReason::kNone) use(frame, fast);
  return 0;
}
