// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "base/wire/reader.h"

namespace sekisho::vpn {

/// Whose IKEv2 a client runs, as far as it lets one see. It decides no right: habits alone, and a word in the log.
enum class ClientFamily : std::uint8_t { kUnknown, kWindows, kApple, kStrongswan, kLibreswan };

/// How one has to behave toward a family.
struct ClientHabits {
  /// The gateway begins the rekeying of CHILD_SAs. Windows refuses that behind a NAT, and does it by itself (after 200 MiB).
  bool gateway_rekeys_child = true;
  /// An SA of a family that is left to rekey by itself lives at least this long.
  std::uint32_t child_life_seconds_min = 0;
  /// Asks for routes by DHCP through its tunnel, whose selectors therefore hold the broadcast and who answers.
  bool asks_dhcp = false;
};

/// What a client shows of itself: vendor ids of its first message, attributes its configuration request asks for.
class ClientMarks {
 public:
  void vendor_id(ByteSpan value);
  void attribute(std::uint16_t type);
  [[nodiscard]] ClientFamily family() const;

 private:
  ClientFamily by_vendor_ = ClientFamily::kUnknown;
  bool microsoft_ = false, domain_ = false, dhcp_ = false;
};

/// For the log's `client`; empty for one that is not known.
std::string_view name_of(ClientFamily family);
const ClientHabits& habits_of(ClientFamily family);

}  // namespace sekisho::vpn
