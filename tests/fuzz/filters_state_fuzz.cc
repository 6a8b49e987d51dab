// SPDX-License-Identifier: Apache-2.0
// First byte 0 or 1: an ICMPv4 or ICMPv6 error around the rest as quote. 255: TCP options, read as a SYN's and rewritten
// for the other side of a joined connection, checksum right before and after. 254: SCTP packets of up to 32 bytes behind a
// byte of direction, against one track. Otherwise: TCP segments of 16 bytes each against
// one track, whose invariants must hold after every one.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/net/checksum.h"
#include "filters/esp/quoted_esp.h"
#include "filters/packet/decode.h"
#include "filters/state/icmp_error.h"
#include "filters/state/sctp_tracker.h"
#include "filters/state/syn_cookie.h"
#include "filters/state/tcp_splice.h"
#include "filters/state/tcp_tracker.h"

namespace {

using namespace sekisho::filters;
using sekisho::store_be;

void fuzz_quote(bool ipv4, const std::uint8_t* data, std::size_t size) {
  const std::size_t network = ipv4 ? 20 : 40;
  std::vector<std::uint8_t> frame(14 + network + 8);
  frame.insert(frame.end(), data, data + std::min<std::size_t>(size, 2000));
  PacketMeta meta{};
  meta.proof = static_cast<std::uint8_t>((ipv4 ? kProofIpv4 : kProofIpv6) | kProofL4);
  meta.protocol = ipv4 ? kProtocolIcmp : kProtocolIcmpv6;
  meta.icmp_type = ipv4 ? 3 : 2;  // too big
  meta.icmp_code = ipv4 ? 4 : 0;
  meta.l3_offset = 14;
  meta.l4_offset = static_cast<std::uint16_t>(14 + network);
  meta.l3_length = static_cast<std::uint16_t>(frame.size() - 14);
  QuotedPacket out;
  // The quoted source as the error's destination, so that the last check is passed too.
  const std::size_t from = meta.l4_offset + std::size_t{8} + (ipv4 ? 12 : 8), to = meta.l3_offset + std::size_t{ipv4 ? 16U : 24U};
  const std::size_t bytes = ipv4 ? 4 : 16;
  if (from + bytes <= frame.size()) std::memcpy(&frame[to], &frame[from], bytes);
  if (parse_icmp_error(frame, meta, out) != DropReason::kNone) return;
  SEKISHO_ASSERT(out.source.bits() == bytes * 8);
  const auto esp = read_quoted_esp(frame, meta, out);
  if (!esp) return;
  SEKISHO_ASSERT(esp->mtu >= (ipv4 ? kPathMtuMin4 : kPathMtuMin6) && esp->spi > 255);
  SEKISHO_ASSERT(out.transport_at + (esp->in_udp ? 16U : 8U) <= frame.size());
}

void fuzz_segments(const std::uint8_t* data, std::size_t size) {
  TcpTrack track{};
  for (std::size_t at = 0; at + 16 <= size; at += 16) {
    TcpSegment segment{};
    std::memcpy(&segment.sequence, data + at, 4);
    std::memcpy(&segment.acknowledgement, data + at + 4, 4);
    std::memcpy(&segment.window, data + at + 8, 2);
    segment.payload_bytes = data[at + 10] * 257U;
    segment.flags = data[at + 11];
    segment.window_scale_option = parse_tcp_window_scale({data + at + 12, 3});
    const auto direction = static_cast<Direction>(data[at + 15] & 1U);
    const TcpTrack before = track;
    const DropReason reason = track.state == TcpState::kNone ? tcp_first(track, segment) : tcp_next(track, direction, segment);
    if (reason != DropReason::kNone) SEKISHO_ASSERT(std::memcmp(&before, &track, sizeof(track)) == 0);
    SEKISHO_ASSERT(track.state < TcpState::kCount && track.scale[0] <= 14 && track.scale[1] <= 14);
    if (track.state != TcpState::kNone) SEKISHO_ASSERT(track.flow[0].max_window >= 1 && track.flow[1].max_window >= 1);
    (void)tcp_restarts(track, direction, segment);
    (void)tcp_quoted_in_window(track, direction, segment.sequence);
  }
}

void fuzz_options(const std::uint8_t* data, std::size_t size) {
  const std::size_t options = std::min<std::size_t>(size, 40) / 4 * 4;
  const SynOffer offer = parse_syn_offer({data, options}, false);
  const std::uint32_t cookie = make_syn_cookie({1, 2}, {}, offer, 3);
  SEKISHO_ASSERT(check_syn_cookie({1, 2}, {}, cookie, 4).has_value());
  std::vector<std::uint8_t> frame(14 + 20 + 20);
  store_be<std::uint16_t>(frame, 12, 0x0800);
  frame[14] = 0x45;
  frame[17] = static_cast<std::uint8_t>(40 + options);
  frame[23] = kProtocolTcp;
  frame[46] = static_cast<std::uint8_t>((20 + options) / 4 << 4);
  frame[47] = kTcpAck;
  frame.insert(frame.end(), data, data + options);
  const auto sum = [&] {
    const std::span<const std::uint8_t> l4 = std::span(frame).subspan(34);
    return sekisho::checksum_fold(sekisho::checksum_add(6 + static_cast<std::uint32_t>(l4.size()), l4));
  };
  store_be<std::uint16_t>(frame, 50, sum());
  PacketMeta meta{};
  if (decode(frame, static_cast<std::uint32_t>(frame.size()), {true, false}, meta) != DropReason::kNone) return;
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    splice_rewrite({0x9e3779b9, 7, 2, 3, 9}, direction, frame, meta);
    SEKISHO_ASSERT(sum() == 0);
  }
}

void fuzz_sctp(const std::uint8_t* data, std::size_t size) {
  SctpTrack track{};
  for (std::size_t at = 0; at + 1 < size; at += 33) {
    const std::size_t bytes = std::min<std::size_t>(size - at - 1, 32);
    std::vector<std::uint8_t> frame(14 + 20);
    store_be<std::uint16_t>(frame, 12, 0x0800);
    frame[14] = 0x45;
    frame[17] = static_cast<std::uint8_t>(20 + bytes);
    frame[23] = kProtocolSctp;
    frame.insert(frame.end(), data + at + 1, data + at + 1 + bytes);
    PacketMeta meta{};
    if (decode(frame, static_cast<std::uint32_t>(frame.size()), {true, true}, meta) != DropReason::kNone) continue;
    const SctpPacket packet = parse_sctp(frame, meta);
    const SctpTrack before = track;
    const auto direction = static_cast<Direction>(data[at] & 1U);
    const DropReason reason = track.state == SctpState::kNone ? sctp_first(track, packet) : sctp_next(track, direction, packet);
    if (reason != DropReason::kNone) SEKISHO_ASSERT(std::memcmp(&before, &track, sizeof(track)) == 0);
    SEKISHO_ASSERT(track.state < SctpState::kCount);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  if (data[0] == 254) fuzz_sctp(data + 1, size - 1);
  else if (data[0] == 255) fuzz_options(data + 1, size - 1);
  else if (data[0] < 2) fuzz_quote(data[0] == 0, data + 1, size - 1);
  else fuzz_segments(data + 1, size - 1);
  return 0;
}
