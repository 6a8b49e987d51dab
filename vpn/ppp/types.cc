// SPDX-License-Identifier: Apache-2.0
#include "vpn/ppp/types.h"

#include <algorithm>

#include "vpn/weak/primitives.h"

namespace sekisho::vpn::ppp {

std::string_view name_of(AuthMethod method) {
  switch (method) {
    case AuthMethod::kPap: return "pap";
    case AuthMethod::kChapMd5: return "chap";
    case AuthMethod::kMschapV2: return "mschapv2";
    case AuthMethod::kEap: return "eap";
  }
  return {};
}

std::string_view name_of(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kLinkUp: return "link-up";
    case Event::Kind::kIdentified: return "identified";
    case Event::Kind::kAuthenticated: return "authenticated";
    case Event::Kind::kNetworkUp: return "network-up";
    case Event::Kind::kNetworkDown: return "network-down";
    case Event::Kind::kDown: return "down";
  }
  return {};
}

SessionKeys::~SessionKeys() {
  weak::wipe(receive);
  weak::wipe(send);
}

std::array<std::uint8_t, 32> SessionKeys::hlak() const {
  std::array<std::uint8_t, 32> out{};
  const std::size_t first = std::min<std::size_t>(size, receive.size());
  std::copy_n(receive.begin(), first, out.begin());
  std::copy_n(send.begin(), std::min<std::size_t>(first, out.size() - first), out.begin() + static_cast<std::ptrdiff_t>(first));
  return out;
}

SessionKeys SessionKeys::from_msk(std::span<const std::uint8_t, 64> msk) {
  SessionKeys out;
  std::copy_n(msk.begin(), 32, out.receive.begin());
  std::copy_n(msk.begin() + 32, 32, out.send.begin());
  out.size = 32;
  return out;
}

}  // namespace sekisho::vpn::ppp
