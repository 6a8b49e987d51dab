// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/proto/control_vpn.pb.h"

namespace sekisho::control {

/// What a profile is written for.
enum class ClientFamily : std::uint8_t {
  kWindows,         ///< PowerShell for the built-in client of Windows 10 and 11
  kApple,           ///< .mobileconfig for macOS, iOS, iPadOS
  kAndroid,         ///< .sswan for the strongSwan app: the system's own client imports no file
  kStrongswan,      ///< swanctl.conf
  kNetworkManager,  ///< keyfile of NetworkManager's strongSwan plug-in
};
std::optional<ClientFamily> client_family_named(std::string_view name);

struct ClientProfile {
  std::string file_name;
  std::string text;     ///< UTF-8; for Windows with a byte order mark, as PowerShell 5 wants it
  std::string refusal;  ///< why there is none; empty otherwise
};

/// Writes what a person imports so that the client offers what the gateway accepts: its strongest suite, the identity its
/// certificate bears, its CA, its split routes and domains. Never a password. Names may hold anything: they are quoted as the
/// format asks. The same input gives the same text, so that a profile handed out again replaces the old one.
ClientProfile write_client_profile(std::string_view service_code, const ipc::VpnGateway& gateway, std::string_view user,
                                   ClientFamily family);

}  // namespace sekisho::control
