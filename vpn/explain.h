// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sekisho::vpn {

/// What a peer gave as its reason: an error notify of IKEv2 (RFC 7296 3.10.1; 0: none) and, in Microsoft's own, a Win32 code.
struct PeerWord {
  std::uint16_t notify = 0;
  std::uint32_t win32 = 0;
};

/// Microsoft's notify: its data is a Win32 code.
inline constexpr std::uint16_t kMicrosoftStatus = 12345;

/// "authentication: wrong password or unknown user; the client says AUTHENTICATION_FAILED (24). Remedy: type it anew"; what is
/// empty or 0 is left out.
std::string explain(std::string_view stage, std::string_view sentence, std::string_view remedy, const PeerWord& word);

}  // namespace sekisho::vpn
