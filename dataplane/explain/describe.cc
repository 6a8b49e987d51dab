// SPDX-License-Identifier: Apache-2.0
#include "dataplane/explain/describe.h"

#include "base/net/checksum.h"
#include "base/net/endian.h"
#include "filters/packet/decode.h"
#include "filters/packet/protocol.h"

namespace sekisho::dataplane::explain {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr Mac kSomeHost{{0x02, 0, 0, 0, 0, 1}};  // behind ports without Bindings nobody judges it
constexpr std::uint16_t kWindow = 65535;

/// Byte by byte: GCC 12 sees an overflow that is not there in a range inserted into an empty vector, when it links.
void append(Bytes& out, std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) out.push_back(byte);
}
void append16(Bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}
void append32(Bytes& out, std::uint32_t value) {
  append16(out, value >> 16);
  append16(out, value & 0xffffU);
}

Mac source_mac(const Description& packet, const Runtime& runtime, std::uint32_t port) {
  if (packet.source_mac) return *packet.source_mac;
  if (runtime.ports[port].kind != snapshot::PortKind::kSegment) return kSomeHost;
  std::optional<Mac> any;
  for (const snapshot::Binding& binding : runtime.view.bindings()) {
    if (binding.port != port) continue;
    for (const snapshot::BindingPair& pair : filters::slice(runtime.view.binding_pairs(), binding.pairs)) {
      if (pair.prefix.contains(packet.source)) return pair.mac;
      if (!any) any = pair.mac;
    }
  }
  return any.value_or(kSomeHost);
}

/// The transport header and payload; its checksum, where there is one, is still zero at the returned offset.
std::size_t append_l4(Bytes& out, const Description& packet) {
  const std::size_t start = out.size();
  std::size_t checksum = 0;
  if (packet.protocol == filters::kProtocolTcp) {
    append16(out, packet.source_port);
    append16(out, packet.destination_port);
    append32(out, packet.sequence.value_or(1000));
    append32(out, packet.acknowledgement.value_or((packet.tcp_flags & filters::kTcpAck) != 0 ? 1000 : 0));
    append16(out, 0x5000U | packet.tcp_flags);
    append16(out, kWindow);
    append32(out, 0);
    checksum = start + 16;
  } else if (packet.protocol == filters::kProtocolUdp) {
    append16(out, packet.source_port);
    append16(out, packet.destination_port);
    append16(out, 8U + packet.payload_bytes);
    append16(out, 0);
    checksum = start + 6;
  } else if (packet.protocol == filters::kProtocolIcmp || packet.protocol == filters::kProtocolIcmpv6) {
    append16(out, std::uint32_t{packet.icmp_type} << 8 | packet.icmp_code);
    append16(out, 0);
    append16(out, packet.icmp_id);
    append16(out, 1);
    checksum = start + 2;
  }
  out.insert(out.end(), packet.payload_bytes, 0);
  return checksum;
}

void finish_l4(Bytes& out, std::size_t l4, std::size_t checksum, const Description& packet) {
  if (checksum == 0) return;
  const auto bytes = std::span(out).subspan(l4);
  const bool plain = packet.protocol == filters::kProtocolIcmp;
  const auto length = static_cast<std::uint32_t>(bytes.size());
  const std::uint32_t pseudo = plain ? 0 : pseudo_header_sum(packet.source, packet.destination, packet.protocol, length);
  std::uint16_t sum = checksum_fold(checksum_add(pseudo, bytes));
  if (packet.protocol == filters::kProtocolUdp && sum == 0) sum = 0xffff;
  store_be<std::uint16_t>(out, checksum, sum);
}

void append_ip(Bytes& out, const Description& packet) {
  Bytes l4;
  const std::size_t checksum = append_l4(l4, packet);
  finish_l4(l4, 0, checksum, packet);
  if (packet.source.family == Family::kIpv4) {
    const std::size_t start = out.size();
    append16(out, 0x4500);
    append16(out, static_cast<std::uint32_t>(20 + l4.size()));
    append16(out, 0);
    append16(out, 0x4000);  // not to be fragmented
    append16(out, std::uint32_t{packet.ttl} << 8 | packet.protocol);
    append16(out, 0);
    append(out, packet.source.wire());
    append(out, packet.destination.wire());
    store_be<std::uint16_t>(out, start + 10, checksum_fold(checksum_add(0, std::span(out).subspan(start))));
  } else {
    append32(out, 0x6000'0000U);
    append16(out, static_cast<std::uint32_t>(l4.size()));
    append16(out, std::uint32_t{packet.protocol} << 8 | packet.ttl);
    append(out, packet.source.wire());
    append(out, packet.destination.wire());
  }
  append(out, l4);
}

void append_tags(Bytes& out, const PortEntry& wire) {
  if (wire.outer_vlan != 0) append16(out, wire.outer_type), append16(out, wire.outer_vlan);
  if (wire.inner_vlan != 0) append16(out, filters::kEtherTypeVlan), append16(out, wire.inner_vlan);
}

}  // namespace

Bytes frame_of(const Description& packet, const Runtime& runtime, std::uint32_t port) {
  const PortEntry& wire = runtime.ports[runtime.ports[port].wire];
  Bytes out;
  append(out, packet.destination_mac.value_or(wire.mac).bytes);
  append(out, source_mac(packet, runtime, port).bytes);
  append_tags(out, wire);
  append16(out, packet.source.family == Family::kIpv4 ? filters::kEtherTypeIpv4 : filters::kEtherTypeIpv6);
  append_ip(out, packet);
  return out;
}

Bytes with_tags(ByteSpan frame, const PortEntry& wire) {
  constexpr std::size_t kMacBytes = 12;
  Bytes out(frame.begin(), frame.end());
  if (frame.size() < kMacBytes + 2) return out;
  const auto type = load_be<std::uint16_t>(frame, kMacBytes);
  if (type == filters::kEtherTypeVlan || type == filters::kEtherTypeSvlan) return out;
  Bytes tags;
  append_tags(tags, wire);
  out.insert(out.begin() + kMacBytes, tags.begin(), tags.end());
  return out;
}

}  // namespace sekisho::dataplane::explain
