// SPDX-License-Identifier: Apache-2.0
#include "filters/nat/rewrite.h"

#include <algorithm>

#include "filters/packet/fields.h"
#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

/// Where a transport header keeps what NAT changes, as offsets into it.
struct TransportLayout {
  bool ports;          ///< at 0 and 2
  bool identifier;     ///< at 4
  bool pseudo_header;  ///< the checksum covers the addresses
  std::size_t checksum;  ///< 0: none of ours
};
TransportLayout layout_of(std::uint8_t protocol) {
  switch (protocol) {
    case kProtocolTcp: return {true, false, true, 16};
    case kProtocolUdp: return {true, false, true, 6};
    case kProtocolIcmp: return {false, true, false, 2};
    case kProtocolIcmpv6: return {false, true, true, 2};
    default: return {false, false, false, 0};
  }
}

std::uint32_t word_sum(const Address& address) {
  std::uint32_t sum = 0;
  for (std::size_t at = 0; at < address.bits() / 8; at += 2) sum += load_be<std::uint16_t>(address.bytes, at);
  return sum;
}
/// Minus, in ones' complement, of words that sum to `sum`, of which there are `words`.
std::uint32_t minus(std::uint32_t sum, std::uint32_t words) { return words * 0xffffU - sum; }

std::uint16_t fold(std::uint32_t sum) {
  sum = (sum >> 16) + (sum & 0xffffU);
  sum = (sum >> 16) + (sum & 0xffffU);
  return static_cast<std::uint16_t>(sum);
}

/// RFC 1624 equation 3.
std::uint16_t adjusted(std::uint16_t checksum, std::uint16_t delta) {
  return static_cast<std::uint16_t>(~fold(std::uint32_t{static_cast<std::uint16_t>(~checksum)} + delta));
}

void adjust(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t delta) {
  store_be<std::uint16_t>(bytes, at, adjusted(load_be<std::uint16_t>(bytes, at), delta));
}

/// A transport checksum: UDP's 0 means none, both ways.
void adjust_transport(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t delta, std::uint8_t protocol) {
  const auto before = load_be<std::uint16_t>(bytes, at);
  if (protocol == kProtocolUdp && before == 0) return;
  std::uint16_t after = adjusted(before, delta);
  if (protocol == kProtocolUdp && after == 0) after = 0xffff;
  store_be<std::uint16_t>(bytes, at, after);
}

void write_address(std::span<std::uint8_t> frame, std::size_t at, const Address& address) {
  SEKISHO_DCHECK(at + address.bits() / 8 <= frame.size());
  std::ranges::copy(address.wire(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

/// Changes words under the checksum of an ICMP message and keeps that checksum right.
class MessageEditor {
 public:
  MessageEditor(std::span<std::uint8_t> frame, std::size_t message) : frame_(frame), message_(message) {}
  void put(std::size_t at, std::uint16_t value) {
    SEKISHO_DCHECK((at - message_) % 2 == 0);
    delta_ += static_cast<std::uint16_t>(~load_be<std::uint16_t>(frame_, at));
    delta_ += value;
    store_be<std::uint16_t>(frame_, at, value);
  }
  void put(std::size_t at, const Address& address) {
    for (std::size_t i = 0; i < address.bits() / 8; i += 2) put(at + i, load_be<std::uint16_t>(address.bytes, i));
  }
  /// Something outside the message that its checksum covers has changed by `delta`.
  void covers(std::uint32_t delta) { delta_ += fold(delta); }
  void finish() { adjust(frame_, message_ + 2, fold(delta_)); }

 private:
  std::span<std::uint8_t> frame_;
  std::size_t message_;
  std::uint32_t delta_ = 0;  ///< at most some forty words: never overflows
};

std::uint32_t address_delta(const Address& from, const Address& to) {
  return minus(word_sum(from), from.bits() / 16) + word_sum(to);
}

}  // namespace

ChecksumDelta delta_of(const FlowEnds& from, const FlowEnds& to, std::uint8_t protocol) {
  const TransportLayout layout = layout_of(protocol);
  const std::uint32_t addresses = address_delta(from.source, to.source) + address_delta(from.destination, to.destination);
  std::uint32_t l4 = layout.pseudo_header ? addresses : 0;
  if (layout.ports || layout.identifier) l4 += minus(from.source_port, 1) + to.source_port;
  if (layout.ports) l4 += minus(from.destination_port, 1) + to.destination_port;
  return {from.source.family == Family::kIpv4 ? fold(addresses) : std::uint16_t{0}, fold(l4)};
}

bool bears(ByteSpan frame, const PacketMeta& meta, const FlowEnds& ends) {
  if (meta.source_port != ends.source_port || meta.destination_port != ends.destination_port) return false;
  return ip_source(frame, meta) == ends.source && ip_destination(frame, meta) == ends.destination;
}

void rewrite(std::span<std::uint8_t> frame, PacketMeta& meta, const FlowEnds& to, ChecksumDelta delta) {
  const std::size_t l3 = meta.l3_offset;
  if ((meta.proof & kProofIpv4) != 0) [[likely]] {
    SEKISHO_DCHECK(to.source.family == Family::kIpv4);
    adjust(frame, l3 + 10, delta.ip);
    write_address(frame, l3 + 12, to.source);
    write_address(frame, l3 + 16, to.destination);
  } else {
    SEKISHO_DCHECK(to.source.family == Family::kIpv6);
    write_address(frame, l3 + 8, to.source);
    write_address(frame, l3 + 24, to.destination);
  }
  if ((meta.proof & kProofL4) == 0) return;
  const TransportLayout layout = layout_of(meta.protocol);
  const std::size_t l4 = meta.l4_offset;
  if (layout.ports) {
    store_be<std::uint16_t>(frame, l4, to.source_port);
    store_be<std::uint16_t>(frame, l4 + 2, to.destination_port);
  } else if (layout.identifier) {
    store_be<std::uint16_t>(frame, l4 + 4, to.source_port);
  }
  if (layout.checksum != 0) adjust_transport(frame, l4 + layout.checksum, delta.l4, meta.protocol);
  meta.source_port = to.source_port;
  meta.destination_port = to.destination_port;
}

void rewrite_error(std::span<std::uint8_t> frame, const PacketMeta& meta, const QuotedPacket& quoted, const FlowEnds& from,
                   const FlowEnds& to) {
  const bool ipv4 = (meta.proof & kProofIpv4) != 0;
  const std::size_t l3 = meta.l3_offset;
  const std::size_t end = std::min(frame.size(), l3 + meta.l3_length);
  MessageEditor message(frame, meta.l4_offset);

  const TransportLayout layout = layout_of(quoted.protocol);
  const ChecksumDelta delta = delta_of(from, to, quoted.protocol);
  const std::size_t network = quoted.network_at;
  const std::size_t transport = quoted.transport_at;  // eight bytes are proved there
  message.put(network + (ipv4 ? 12U : 8U), to.destination);
  message.put(network + (ipv4 ? 16U : 24U), to.source);
  if (ipv4) message.put(network + 10, adjusted(load_be<std::uint16_t>(frame, network + 10), delta.ip));
  if (layout.ports) {
    message.put(transport, to.destination_port);
    message.put(transport + 2, to.source_port);
  } else if (layout.identifier) {
    message.put(transport + 4, to.source_port);
  }
  const std::size_t checksum = transport + layout.checksum;
  if (layout.checksum != 0 && checksum + 2 <= end) {
    const auto before = load_be<std::uint16_t>(frame, checksum);
    const bool none = quoted.protocol == kProtocolUdp && before == 0;
    std::uint16_t after = none ? std::uint16_t{0} : adjusted(before, delta.l4);
    if (quoted.protocol == kProtocolUdp && !none && after == 0) after = 0xffff;
    message.put(checksum, after);
  }

  const Address sender = ip_source(frame, meta);
  const Address seen = sender == from.source || from.source != to.source ? to.source : sender;
  const std::uint32_t outer = address_delta(sender, seen) + address_delta(from.destination, to.destination);
  write_address(frame, l3 + (ipv4 ? 12U : 8U), seen);
  write_address(frame, l3 + (ipv4 ? 16U : 24U), to.destination);
  if (ipv4) {
    adjust(frame, l3 + 10, fold(outer));
  } else {
    message.covers(outer);  // ICMPv6 sums a pseudo header
  }
  message.finish();
}

}  // namespace sekisho::filters
