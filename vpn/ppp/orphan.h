// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "vpn/ppp/types.h"

namespace sekisho::vpn::ppp {

/// A link that is up, and whose Session died with its process: no more is known of it than its addresses. It is kept alive and can be
/// ended; whoever begins it anew is out, because nobody here knows any more how he proved who he is. Frames as Session's. No state changes
/// but by the constructor; any thread.
class OrphanLink {
 public:
  /// `mtu`: the longest packet the peer takes. `magic`: ours from now on, not 0.
  OrphanLink(std::optional<Address> ipv6, std::vector<Address> dns, std::uint16_t mtu, std::uint32_t magic)
      : ipv6_(ipv6), dns_(std::move(dns)), mtu_(mtu), magic_(magic) {}

  struct Answer {
    std::vector<std::uint8_t> frame;  ///< for the peer; empty: none
    std::string_view over;            ///< why the link is over; empty: it is not
  };
  [[nodiscard]] Answer receive(ByteSpan frame) const;
  /// A router advertisement; empty: IPv6 is not open.
  [[nodiscard]] std::vector<std::uint8_t> advertise() const;
  /// Tells the peer that it is over.
  [[nodiscard]] static std::vector<std::uint8_t> terminate(std::string_view text);

 private:
  std::optional<Address> ipv6_;
  std::vector<Address> dns_;
  std::uint16_t mtu_;
  std::uint32_t magic_;
};

}  // namespace sekisho::vpn::ppp
