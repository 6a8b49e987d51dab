// SPDX-License-Identifier: Apache-2.0
#include "filters/packet/options.h"

#include <algorithm>

#include "filters/packet/protocol.h"

namespace sekisho::filters {
namespace {

constexpr std::uint8_t kEnd = 0, kNoOperation = 1, kRecordRoute = 7, kLooseSourceRoute = 131, kStrictSourceRoute = 137;
constexpr std::uint8_t kRouterAlert4 = 148;
constexpr std::uint8_t kPad1 = 0, kPadN = 1, kTunnelLimit = 4, kRouterAlert6 = 5, kJumbo = 0xc2;
constexpr std::size_t kPaddingBytesMax = 7;  // what alignment to eight can need

DropReason judge_ipv4(std::uint8_t kind, std::size_t length, std::uint8_t protocol) {
  switch (kind) {
    case kLooseSourceRoute:
    case kStrictSourceRoute: return DropReason::kIpv4SourceRoute;
    case kRecordRoute: return DropReason::kIpv4RecordRoute;
    case kRouterAlert4:
      if (length != 4) return DropReason::kIpv4OptionFormat;
      return protocol == kProtocolIgmp ? DropReason::kNone : DropReason::kIpv4Options;
    default: return DropReason::kIpv4Options;
  }
}

DropReason judge_ipv6(std::uint8_t kind, std::size_t length, bool hop_by_hop) {
  switch (kind) {
    case kPadN: return DropReason::kNone;
    case kJumbo: return DropReason::kIpv6Jumbo;
    case kRouterAlert6:
      if (!hop_by_hop) return DropReason::kIpv6Options;
      return length == 2 ? DropReason::kNone : DropReason::kIpv6OptionFormat;
    case kTunnelLimit:
      if (hop_by_hop) return DropReason::kIpv6Options;
      return length == 1 ? DropReason::kNone : DropReason::kIpv6OptionFormat;
    default: return DropReason::kIpv6Options;
  }
}

}  // namespace

DropReason check_ipv4_options(ByteSpan options, std::uint8_t protocol) noexcept {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t kind = options[at];
    if (kind == kEnd) break;
    if (kind == kNoOperation) {
      ++at;
      continue;
    }
    if (options.size() - at < 2) return DropReason::kIpv4OptionFormat;
    const std::size_t length = options[at + 1];
    // A source route is one whatever its length says: who sends it meant it.
    const DropReason reason = judge_ipv4(kind, length, protocol);
    if (reason == DropReason::kIpv4SourceRoute) return reason;
    if (length < 2 || length > options.size() - at) return DropReason::kIpv4OptionFormat;
    if (reason != DropReason::kNone) return reason;
    at += length;
  }
  return DropReason::kNone;
}

DropReason check_ipv6_options(ByteSpan options, bool hop_by_hop, bool& router_alert) noexcept {
  std::size_t at = 0;
  std::size_t padding = 0;
  while (at < options.size()) {
    const std::uint8_t kind = options[at];
    if (kind == kPad1) {
      if (++padding > kPaddingBytesMax) return DropReason::kIpv6OptionFormat;
      ++at;
      continue;
    }
    if (options.size() - at < 2) return DropReason::kIpv6OptionFormat;
    const std::size_t length = options[at + 1];
    if (length > options.size() - at - 2) return DropReason::kIpv6OptionFormat;
    const DropReason reason = judge_ipv6(kind, length, hop_by_hop);
    if (reason != DropReason::kNone) return reason;
    padding = kind == kPadN ? padding + 2 + length : 0;
    const ByteSpan content = options.subspan(at + 2, kind == kPadN ? length : 0);
    const bool hides = std::any_of(content.begin(), content.end(), [](std::uint8_t byte) { return byte != 0; });
    if (hides || padding > kPaddingBytesMax) return DropReason::kIpv6OptionFormat;
    router_alert |= kind == kRouterAlert6;
    at += 2 + length;
  }
  return DropReason::kNone;
}

}  // namespace sekisho::filters
