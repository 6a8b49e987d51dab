// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/network_protocols.h"

namespace sekisho::vpn::ppp {
namespace {

constexpr std::uint8_t kIpAddress = 3, kDns1 = 129, kDns2 = 131;
constexpr std::uint8_t kInterfaceId = 1;
constexpr std::uint8_t kMppe = 18;
/// RFC 3078 2.1: stateless, 128 bits.
constexpr std::uint32_t kStateless = 0x01000000, k128 = 0x00000040;

std::uint64_t number_of(ByteSpan value) {
  std::uint64_t out = 0;
  for (const std::uint8_t byte : value) out = out << 8 | byte;
  return out;
}

std::uint32_t number_of(const Address& address) {
  return address.family == Family::kIpv4 ? address.v4() : 0;
}

void write_id(Bytes& out, std::uint64_t id) { out.u8(kInterfaceId).u8(10).u32(id >> 32).u32(id & 0xffffffff); }

}  // namespace

void Ipcp::give(const Address& peer, const Address& own, std::span<const Address> dns) {
  peer_ = number_of(peer);
  own_ = number_of(own);
  dns_ = {};
  std::size_t next = 0;
  for (const Address& server : dns) {
    if (server.family == Family::kIpv4 && next < dns_.size()) dns_[next++] = number_of(server);
  }
}

void Ipcp::begin() { tell_own_ = own_ != 0; }

void Ipcp::write_request(Bytes& out) {
  if (tell_own_) out.option32(kIpAddress, own_);
}

ControlProtocol::Judgement Ipcp::judge(const Option& option, Bytes& nak) {
  const std::uint32_t right = option.type == kIpAddress ? peer_ : option.type == kDns1 ? dns_[0] : option.type == kDns2 ? dns_[1] : 0;
  if (right == 0) return Judgement::kReject;  // WINS, header compression, a name server there is none of
  if (option.value.size() == 4 && number_of(option.value) == right) return Judgement::kAck;
  nak.option32(option.type, right);
  return Judgement::kNak;
}

void Ipcp::demand_missing(ByteSpan options, Bytes& nak) {
  if (!find_option(options, kIpAddress, 4)) nak.option32(kIpAddress, peer_);
}

bool Ipcp::take_nak(const Option& /*option*/) { return true; }  // our address is ours; asked again until one of us tires

bool Ipcp::take_reject(const Option& option) {
  if (option.type == kIpAddress) tell_own_ = false;
  return true;
}

void Ipv6cp::give(std::uint64_t peer, std::uint64_t own) {
  peer_ = peer;
  own_ = own;
}

void Ipv6cp::write_request(Bytes& out) { write_id(out, own_); }

ControlProtocol::Judgement Ipv6cp::judge(const Option& option, Bytes& nak) {
  if (option.type != kInterfaceId) return Judgement::kReject;
  if (option.value.size() == 8 && number_of(option.value) == peer_) return Judgement::kAck;
  write_id(nak, peer_);
  return Judgement::kNak;
}

void Ipv6cp::demand_missing(ByteSpan options, Bytes& nak) {
  if (!find_option(options, kInterfaceId, 8)) write_id(nak, peer_);
}

bool Ipv6cp::take_nak(const Option& /*option*/) { return true; }

bool Ipv6cp::take_reject(const Option& option) {
  if (option.type != kInterfaceId) return true;
  fail("the peer takes no interface identifier of ours");
  return false;
}

void Ccp::begin() {
  asked_ = kStateless | k128;
  receives_stateless_ = sends_stateless_ = true;
}

void Ccp::write_request(Bytes& out) { out.option32(kMppe, asked_); }

ControlProtocol::Judgement Ccp::judge(const Option& option, Bytes& nak) {
  if (option.type != kMppe) return Judgement::kReject;
  const auto bits = option.value.size() == 4 ? static_cast<std::uint32_t>(number_of(option.value)) : 0;
  // H alone may differ: with 128 bits it is the receiver's choice; M, L, D and C are weaker ciphers and compression.
  if ((bits & ~kStateless) == k128) return Judgement::kAck;
  nak.option32(kMppe, k128 | ((bits & k128) != 0 && (bits & kStateless) == 0 ? 0 : kStateless));
  return Judgement::kNak;
}

void Ccp::demand_missing(ByteSpan options, Bytes& nak) {
  if (!find_option(options, kMppe, 4)) nak.option32(kMppe, kStateless | k128);
}

void Ccp::peer_settled(ByteSpan options) {
  const auto option = find_option(options, kMppe, 4);
  sends_stateless_ = option && (number_of(option->value) & kStateless) != 0;
}

void Ccp::own_settled(ByteSpan /*options*/) { receives_stateless_ = (asked_ & kStateless) != 0; }

bool Ccp::take_nak(const Option& option) {
  if (option.type != kMppe) return true;
  const auto bits = option.value.size() == 4 ? static_cast<std::uint32_t>(number_of(option.value)) : 0;
  if ((bits & k128) == 0) {
    fail("the peer has no MPPE with 128 bits");
    return false;
  }
  asked_ = k128 | (bits & kStateless);
  return true;
}

bool Ccp::take_reject(const Option& option) {
  if (option.type != kMppe) return true;
  fail("the peer refuses MPPE");
  return false;
}

bool Ccp::take_code(const Packet& packet, Time /*now*/) {
  if (packet.code == code::kResetRequest && opened()) owner_.reset_requested();
  return packet.code == code::kResetRequest || packet.code == code::kResetAck;
}

void Ccp::request_reset() {
  if (opened()) send(code::kResetRequest, next_id(), {});
}

}  // namespace sekisho::vpn::ppp
