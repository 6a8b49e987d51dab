// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/orphan.h"

#include "vpn/ppp/control_protocol.h"
#include "vpn/ppp/router_advertisement.h"

namespace sekisho::vpn::ppp {
namespace {

constexpr std::size_t kMagicBytes = 4;
constexpr std::uint64_t kOwnInterface = 1;  // as Session's, unless the peer has it

std::uint64_t own_interface(const Address& peer) {
  std::uint64_t lower = 0;
  for (std::size_t i = 8; i < 16; ++i) lower = lower << 8 | peer.bytes[i];
  return lower != kOwnInterface ? kOwnInterface : lower ^ 1;
}

}  // namespace

OrphanLink::Answer OrphanLink::receive(ByteSpan bytes) const {
  const auto frame = parse_frame(bytes);
  if (!frame) return {};
  const auto protocol = static_cast<Protocol>(frame->protocol);
  if (protocol == Protocol::kIp6) return {is_router_solicitation(frame->payload) ? advertise() : std::vector<std::uint8_t>{}, {}};
  if (protocol == Protocol::kIp4) return {};
  const auto packet = parse_packet(frame->payload);
  if (!packet) return {};
  const bool network = protocol == Protocol::kIpcp || protocol == Protocol::kIpv6cp;
  if (protocol != Protocol::kLcp && !network) return {};
  switch (packet->code) {
    case code::kEchoRequest:
      if (network || packet->data.size() < kMagicBytes) return {};
      return {control_frame(protocol, code::kEchoReply, packet->id,
                            Bytes().u32(magic_).append(packet->data.subspan(kMagicBytes)).span()),
              {}};
    case code::kTerminateRequest: return {control_frame(protocol, code::kTerminateAck, packet->id, {}), "the peer ended it"};
    case code::kConfigureRequest: return {terminate("the link cannot be begun anew"), "the peer began the link anew"};
    default: return {};
  }
}

std::vector<std::uint8_t> OrphanLink::advertise() const {
  if (!ipv6_) return {};
  const std::vector<std::uint8_t> packet = router_advertisement({*ipv6_, own_interface(*ipv6_), mtu_, dns_});
  return Bytes().u16(0xff03).u16(static_cast<std::uint16_t>(Protocol::kIp6)).append(ByteSpan(packet)).take();
}

std::vector<std::uint8_t> OrphanLink::terminate(std::string_view text) {
  return control_frame(Protocol::kLcp, code::kTerminateRequest, 1, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

}  // namespace sekisho::vpn::ppp
