// SPDX-License-Identifier: Apache-2.0
// Any frame that decode accepts, given other ends and its own again; an ICMP error with its quote. Header and message
// checksums that were right stay right, nothing beyond the packet changes, and the quote is found again with the ends it got.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/assert.h"
#include "filters/nat/rewrite.h"
#include "filters/packet/decode.h"
#include "filters/packet/fields.h"
#include "filters/state/datagram_tracker.h"

namespace {

using namespace sekisho;
using namespace sekisho::filters;

FlowEnds other_ends(const FlowEnds& from, std::uint8_t salt) {
  FlowEnds to = from;
  to.source.bytes[3] = static_cast<std::uint8_t>(to.source.bytes[3] ^ salt);
  to.destination.bytes[2] = static_cast<std::uint8_t>(to.destination.bytes[2] + salt);
  if ((salt & 1U) != 0) to.source_port = static_cast<std::uint16_t>(to.source_port * 3U + salt);
  return to;
}

void fuzz_error(std::vector<std::uint8_t> frame, const PacketMeta& meta, std::uint8_t salt) {
  QuotedPacket quoted{};
  if (parse_icmp_error(frame, meta, quoted) != DropReason::kNone) return;
  const FlowEnds from{quoted.destination, quoted.source, quoted.destination_port, quoted.source_port};
  FlowEnds to = other_ends(from, salt);
  const bool echo = quoted.protocol == kProtocolIcmp || quoted.protocol == kProtocolIcmpv6;
  if (echo) to.destination_port = to.source_port;
  if (!echo && quoted.protocol != kProtocolTcp && quoted.protocol != kProtocolUdp) to.source_port = from.source_port;
  rewrite_error(frame, meta, quoted, from, to);
  PacketMeta after{};
  SEKISHO_ASSERT(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, after) == DropReason::kNone);
  QuotedPacket again{};
  SEKISHO_ASSERT(parse_icmp_error(frame, after, again) == DropReason::kNone);
  SEKISHO_ASSERT(again.source == to.destination && again.destination == to.source);
  SEKISHO_ASSERT(again.source_port == to.destination_port && again.destination_port == to.source_port);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::vector<std::uint8_t> frame(data + 1, data + size);
  PacketMeta meta{};
  if (decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta) != DropReason::kNone) return 0;
  if ((meta.proof & (kProofIpv4 | kProofIpv6)) == 0) return 0;
  if (is_icmp_error(meta)) {
    fuzz_error(frame, meta, data[0]);
    return 0;
  }
  const FlowEnds from{ip_source(frame, meta), ip_destination(frame, meta), meta.source_port, meta.destination_port};
  FlowEnds to = other_ends(from, data[0]);
  if (meta.protocol == kProtocolIcmp || meta.protocol == kProtocolIcmpv6) {
    const bool echo = is_echo_request(meta.protocol, meta.icmp_type) || is_echo_reply(meta.protocol, meta.icmp_type);
    if (!echo && (meta.proof & kProofL4) != 0) return 0;  // no other opens a session, and bytes 4 and 5 are no identifier
    to = from;
  }
  const bool ports = (meta.proof & kProofL4) != 0 && (meta.protocol == kProtocolTcp || meta.protocol == kProtocolUdp);
  if (!ports) to.source_port = from.source_port;
  const ChecksumDelta delta = delta_of(from, to, meta.protocol);
  rewrite(frame, meta, to, delta);
  SEKISHO_ASSERT(bears(frame, meta, to));
  PacketMeta after{};
  SEKISHO_ASSERT(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, after) == DropReason::kNone);
  rewrite(frame, meta, from, reverse_of(delta));
  SEKISHO_ASSERT(bears(frame, meta, from));
  const std::size_t end = std::size_t{meta.l3_offset} + meta.l3_length;
  SEKISHO_ASSERT(std::equal(frame.begin() + static_cast<std::ptrdiff_t>(std::min(end, frame.size())), frame.end(),
                            data + 1 + std::min(end, frame.size())));
  return 0;
}
