// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/lcp.h"

#include <algorithm>

namespace sekisho::vpn::ppp {
namespace {

constexpr std::uint8_t kMru = 1, kAsyncMap = 2, kAuthentication = 3, kMagic = 5, kProtocolCompression = 7, kAddressCompression = 8;
/// IPv4 hosts take 576 bytes (RFC 1122 3.3.3).
constexpr std::uint16_t kMruLeast = 576;
constexpr std::uint16_t kMruDefault = 1500;
constexpr std::size_t kRejectedBytesMax = 256;
constexpr std::uint8_t kIdentificationsMax = 8;

std::uint32_t number_of(ByteSpan value) {
  std::uint32_t out = 0;
  for (const std::uint8_t byte : value) out = out << 8 | byte;
  return out;
}

/// The value of the Authentication-Protocol option.
std::vector<std::uint8_t> value_of(AuthMethod method) {
  switch (method) {
    case AuthMethod::kPap: return {0xc0, 0x23};
    case AuthMethod::kChapMd5: return {0xc2, 0x23, 5};
    case AuthMethod::kMschapV2: return {0xc2, 0x23, 0x81};
    case AuthMethod::kEap: return {0xc2, 0x27};
  }
  return {};
}

}  // namespace

Lcp::Lcp(const Options& options, Layer& layer, Link& link, const Random& random)
    : ControlProtocol(Protocol::kLcp, {options.restart, options.configure_max, options.terminate_max, options.failure_max}, layer),
      options_(options),
      link_(link),
      random_(random) {}

void Lcp::begin_link(Time now) {
  lower_up(now);
  if (state() == State::kReqSent) restart_in(now, options_.first_resend);
}

std::uint32_t Lcp::make_magic() const {
  std::array<std::uint8_t, 4> bytes{};
  random_(bytes);
  const std::uint32_t out = number_of(bytes);
  return out == 0 ? 1 : out;
}

void Lcp::begin() {
  agreed_ = {};
  magic_ = make_magic();
  mru_ = options_.mru;
  compress_protocol_ = compress_address_ = options_.header_compression;
  method_ = 0;
  refused_ = 0;
}

void Lcp::write_request(Bytes& out) {
  if (mru_ != 0) out.option16(kMru, mru_);
  out.option(kAuthentication, value_of(options_.methods[method_]));
  if (magic_ != 0) out.option32(kMagic, magic_);
  if (compress_protocol_) out.option(kProtocolCompression, {});
  if (compress_address_) out.option(kAddressCompression, {});
}

ControlProtocol::Judgement Lcp::judge(const Option& option, Bytes& nak) {
  const std::size_t size = option.value.size();
  switch (option.type) {
    case kMru:
      if (size == 2 && number_of(option.value) >= kMruLeast) return Judgement::kAck;  // larger is harmless: we send less
      nak.option16(kMru, options_.mru_max);
      return Judgement::kNak;
    case kAsyncMap:  // nothing is escaped here: any map is kept
      return size == 4 ? Judgement::kAck : Judgement::kReject;
    case kMagic:
      if (size == 4 && number_of(option.value) != 0 && number_of(option.value) != magic_) return Judgement::kAck;
      nak.option32(kMagic, make_magic());
      return Judgement::kNak;
    case kProtocolCompression:
    case kAddressCompression:
      return size == 0 && options_.header_compression ? Judgement::kAck : Judgement::kReject;
    default:  // callback, link quality, and that we should prove who we are
      return Judgement::kReject;
  }
}

void Lcp::peer_settled(ByteSpan options) {
  const auto mru = find_option(options, kMru, 2);
  agreed_.peer_mru = std::min(mru ? static_cast<std::uint16_t>(number_of(mru->value)) : kMruDefault, options_.mru_max);
  agreed_.protocol_compressed = find_option(options, kProtocolCompression, 0).has_value();
  agreed_.address_control_compressed = find_option(options, kAddressCompression, 0).has_value();
}

void Lcp::own_settled(ByteSpan /*options*/) { agreed_.method = options_.methods[method_]; }

bool Lcp::choose_method(const Option& wanted) {
  refused_ |= 1U << method_;
  for (std::size_t i = 0; i < options_.methods.size(); ++i) {
    if ((refused_ >> i & 1) == 0 && std::ranges::equal(value_of(options_.methods[i]), wanted.value)) {
      method_ = i;
      return true;
    }
  }
  for (std::size_t i = 0; i < options_.methods.size(); ++i) {  // it wants what is not for it: what it might take otherwise
    if ((refused_ >> i & 1) == 0) {
      method_ = i;
      return true;
    }
  }
  fail("the peer wants another method of authentication than any that is allowed");
  return false;
}

bool Lcp::take_nak(const Option& option) {
  switch (option.type) {
    case kAuthentication:
      return choose_method(option);
    case kMru:
      if (option.value.size() == 2 && number_of(option.value) >= kMruLeast && number_of(option.value) < mru_) {
        mru_ = static_cast<std::uint16_t>(number_of(option.value));
      }
      return true;
    case kMagic:
      magic_ = make_magic();
      return true;
    default:
      return true;
  }
}

bool Lcp::take_reject(const Option& option) {
  switch (option.type) {
    case kAuthentication:
      fail("the peer refuses to authenticate");
      return false;
    case kMru:
      mru_ = 0;
      return true;
    case kMagic:
      magic_ = 0;
      return true;
    case kProtocolCompression:
      compress_protocol_ = false;
      return true;
    case kAddressCompression:
      compress_address_ = false;
      return true;
    default:
      return true;
  }
}

bool Lcp::take_code(const Packet& packet, Time now) {
  switch (packet.code) {
    case code::kProtocolReject:
      if (opened() && packet.data.size() >= 2) link_.protocol_rejected(static_cast<std::uint16_t>(number_of(packet.data.first(2))), now);
      return true;
    case code::kEchoRequest:
      if (opened() && packet.data.size() >= 4) {
        send(code::kEchoReply, packet.id, Bytes().u32(magic_).append(packet.data.subspan(4)).span());
      }
      return true;
    case code::kIdentification:
      if (opened() && packet.data.size() > 4 && identifications_ < kIdentificationsMax) {
        ++identifications_;
        link_.identified(packet.data.subspan(4));
      }
      return true;
    case code::kEchoReply:
    case code::kDiscardRequest:
    case code::kTimeRemaining:
      return true;
    default:
      return false;
  }
}

void Lcp::send_echo() {
  if (opened()) send(code::kEchoRequest, next_id(), Bytes().u32(magic_).span());
}

void Lcp::reject_protocol(std::uint16_t protocol, ByteSpan payload) {
  if (!opened()) return;
  send(code::kProtocolReject, next_id(), Bytes().u16(protocol).append(payload.first(std::min(payload.size(), kRejectedBytesMax))).span());
}

}  // namespace sekisho::vpn::ppp
