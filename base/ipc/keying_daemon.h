// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sekisho {

/// The daemons that let remote users in, each with a connection to tunnel.sock and rings of its own. Values are those of
/// TunnelHello::Kind and index tables; what two of them share is cut into four by them.
enum class KeyingDaemon : std::uint8_t { kIkeV2 = 0, kIkeV1 = 1, kPpp = 2, kPptp = 3 };
inline constexpr std::size_t kKeyingDaemons = 4;
inline constexpr std::uint32_t kAllKeyingDaemons = (1U << kKeyingDaemons) - 1;

constexpr std::size_t index_of(KeyingDaemon daemon) { return static_cast<std::size_t>(daemon); }
constexpr std::uint32_t bit_of(KeyingDaemon daemon) { return 1U << index_of(daemon); }

/// As options and journals say it.
constexpr std::string_view name_of(KeyingDaemon daemon) {
  constexpr std::string_view kNames[] = {"ike", "ikev1", "ppp", "pptp"};
  return kNames[index_of(daemon)];
}
constexpr std::optional<KeyingDaemon> keying_daemon_named(std::string_view name) {
  for (std::size_t i = 0; i < kKeyingDaemons; ++i) {
    if (name_of(static_cast<KeyingDaemon>(i)) == name) return static_cast<KeyingDaemon>(i);
  }
  return std::nullopt;
}

/// Numbers of tunnels say in their top two bits whose they are: no two daemons choose alike.
inline constexpr unsigned kTunnelOwnerShift = 30;
constexpr bool may_number(KeyingDaemon daemon, std::uint32_t tunnel) {
  return tunnel >> kTunnelOwnerShift == index_of(daemon) && tunnel << 2 != 0;
}
constexpr std::uint32_t tunnel_number(KeyingDaemon daemon, std::uint32_t number) {
  return static_cast<std::uint32_t>(index_of(daemon)) << kTunnelOwnerShift | (number & ((1U << kTunnelOwnerShift) - 1));
}

/// Requests to RADIUS servers leave from one address for all daemons, each from ports of its own: an answer's port says whose it is.
inline constexpr std::uint16_t kRadiusPortsFirst = 49152, kRadiusPortsEach = 4096;
constexpr std::uint16_t radius_ports_first(KeyingDaemon daemon) {
  return static_cast<std::uint16_t>(kRadiusPortsFirst + kRadiusPortsEach * index_of(daemon));
}
/// `port` from kRadiusPortsFirst on.
constexpr KeyingDaemon radius_ports_owner(std::uint16_t port) {
  return static_cast<KeyingDaemon>((port - kRadiusPortsFirst) / kRadiusPortsEach);
}
static_assert(kRadiusPortsFirst + kKeyingDaemons * kRadiusPortsEach == 65536);

}  // namespace sekisho
