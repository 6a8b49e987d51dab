// SPDX-License-Identifier: Apache-2.0
#include "vpn/dhcp_inform.h"

#include <algorithm>
#include <array>

namespace sekisho::vpn {
namespace {

constexpr std::uint8_t kRequest = 1, kReply = 2, kInform = 8, kAck = 5;
constexpr std::uint32_t kMagic = 0x63825363;
constexpr std::size_t kHardwareBytes = 16, kNameAndFileBytes = 64 + 128;
constexpr std::uint8_t kPad = 0, kEnd = 255, kDns = 6, kDomain = 15, kType = 53, kServer = 54, kWanted = 55, kSizeMax = 57, kRoutes = 121,
                       kMicrosoftRoutes = 249;
constexpr std::size_t kOptionBytesMax = 255;
constexpr std::size_t kOuterHeaders = 28;  // IPv4 and UDP: option 57 counts them
constexpr std::size_t kAnswerMin = 548, kAnswerMax = 1300;  // what each client takes (RFC 2131 2), and each tunnel carries whole

void take_option(std::uint8_t code, ByteSpan value, DhcpInform& out, std::uint8_t& type) {
  if (code == kType && value.size() == 1) type = value[0];
  if (code == kSizeMax && value.size() == 2) {
    const std::size_t whole = load_be<std::uint16_t>(value, 0);
    out.answer_max = std::clamp(whole, kAnswerMin + kOuterHeaders, kAnswerMax + kOuterHeaders) - kOuterHeaders;
  }
  if (code != kWanted) return;
  out.classless = out.classless || std::find(value.begin(), value.end(), kRoutes) != value.end();
  out.microsoft = out.microsoft || std::find(value.begin(), value.end(), kMicrosoftRoutes) != value.end();
}

void add(std::vector<std::uint8_t>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
}

/// One option, in pieces when it is long (RFC 3396); an empty value is no option.
void add_option(std::vector<std::uint8_t>& out, std::uint8_t code, ByteSpan value) {
  while (!value.empty()) {
    const ByteSpan piece = value.first(std::min(value.size(), kOptionBytesMax));
    out.push_back(code);
    out.push_back(static_cast<std::uint8_t>(piece.size()));
    out.insert(out.end(), piece.begin(), piece.end());
    value = value.subspan(piece.size());
  }
}

/// RFC 3442: width, the bytes of the prefix that count, a gateway; 0.0.0.0 is the link itself. Everything goes as two halves: a default
/// route would take the tunnel's own packets along.
std::vector<std::uint8_t> routes_of(std::span<const Prefix> networks) {
  std::vector<std::uint8_t> out;
  const auto route = [&out](ByteSpan address, unsigned width) {
    out.push_back(static_cast<std::uint8_t>(width));
    out.insert(out.end(), address.begin(), address.begin() + (width + 7) / 8);
    add(out, 0);
  };
  for (const Prefix& network : networks) {
    if (network.address.family != Family::kIpv4) continue;
    if (network.length == 0) {
      route(std::array<std::uint8_t, 1>{0}, 1);
      route(std::array<std::uint8_t, 1>{128}, 1);
    } else {
      route(network.address.wire(), network.length);
    }
  }
  return out;
}

std::size_t size_of(std::size_t value) { return value + 2 * ((value + kOptionBytesMax - 1) / kOptionBytesMax); }

}  // namespace

Result<DhcpInform> parse_dhcp_inform(ByteSpan payload, const Address& client) {
  WireReader reader(payload);
  const auto wrong = [&reader](ErrorCode code) { return Error{code, ErrorSite::kWire, static_cast<std::uint32_t>(reader.offset())}; };
  DhcpInform out;
  out.answer_max = kAnswerMin;
  SEKISHO_TRY(const std::uint8_t op, reader.u8());
  SEKISHO_TRY(out.hardware_type, reader.u8());
  SEKISHO_TRY(out.hardware_length, reader.u8());
  SEKISHO_TRY([[maybe_unused]] const std::uint8_t hops, reader.u8());
  SEKISHO_TRY(out.transaction, reader.u32());
  SEKISHO_TRY([[maybe_unused]] const std::uint16_t seconds, reader.u16());
  SEKISHO_TRY(out.flags, reader.u16());
  SEKISHO_TRY(const ByteSpan ciaddr, reader.take(4));
  SEKISHO_TRY([[maybe_unused]] const ByteSpan others, reader.take(12));
  SEKISHO_TRY(out.hardware, reader.take(kHardwareBytes));
  SEKISHO_TRY([[maybe_unused]] const ByteSpan names, reader.take(kNameAndFileBytes));
  SEKISHO_TRY(const std::uint32_t magic, reader.u32());
  const auto own = client.wire();
  const bool speaks_of_itself = client.family == Family::kIpv4 && std::equal(ciaddr.begin(), ciaddr.end(), own.begin(), own.end());
  if (op != kRequest || magic != kMagic || out.hardware_length > kHardwareBytes || !speaks_of_itself) return wrong(ErrorCode::kMalformed);
  std::uint8_t type = 0;
  while (reader.remaining() > 0) {
    SEKISHO_TRY(const std::uint8_t code, reader.u8());
    if (code == kEnd) break;
    if (code == kPad) continue;
    SEKISHO_TRY(const std::uint8_t length, reader.u8());
    if (length > reader.remaining()) return wrong(ErrorCode::kMalformed);
    SEKISHO_TRY(const ByteSpan value, reader.take(length));
    take_option(code, value, out, type);
  }
  if (type != kInform) return wrong(ErrorCode::kUnsupported);
  return out;
}

std::vector<std::uint8_t> answer_dhcp_inform(const DhcpInform& request, const Address& client, const DhcpFacts& facts) {
  std::vector<std::uint8_t> out{kReply, request.hardware_type, request.hardware_length, 0};
  add(out, request.transaction);
  add(out, request.flags);  // no seconds
  const auto own = client.wire();
  out.insert(out.end(), own.begin(), own.end());
  out.resize(out.size() + 12);
  out.insert(out.end(), request.hardware.begin(), request.hardware.end());
  out.resize(out.size() + kNameAndFileBytes);
  add(out, kMagic);
  std::vector<std::uint8_t> server, dns;
  add(server, kTunnelDhcpServerV4);
  for (const Address& one : facts.dns) {
    const auto bytes = one.wire();
    if (one.family == Family::kIpv4) dns.insert(dns.end(), bytes.begin(), bytes.end());
  }
  add_option(out, kType, std::array{kAck});
  add_option(out, kServer, server);
  dns.resize(std::min<std::size_t>(dns.size(), 32));
  add_option(out, kDns, dns);
  const std::size_t domain = std::min(facts.domain.size(), kOptionBytesMax);
  add_option(out, kDomain, {reinterpret_cast<const std::uint8_t*>(facts.domain.data()), domain});
  const auto routes = routes_of(facts.networks);
  for (const std::uint8_t code : {kMicrosoftRoutes, kRoutes}) {  // who names neither gets both
    const bool wanted = code == kRoutes ? request.classless || !request.microsoft : request.microsoft || !request.classless;
    if (wanted && out.size() + size_of(routes.size()) + 1 <= request.answer_max) add_option(out, code, routes);
  }
  out.push_back(kEnd);
  return out;
}

}  // namespace sekisho::vpn
