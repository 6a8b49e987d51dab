// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "filters/esp/selectors.h"
#include "filters/packet/l2tp.h"

/// L2TP inside ESP in transport mode (RFC 3193). A session belongs to the owner of SAs, its carrier, and is found by the SA a packet
/// came out of: addresses and ports say nothing, behind one NAT they may all be the same.
namespace sekisho::dataplane {

/// A PPP session of a remote user. Shared by the SAs of its carrier, old and new, on whichever workers they are; made and given up
/// by the control thread. Only the sequence number changes.
struct L2tpSession {
  std::uint32_t tunnel = 0;  ///< number of the session's own tunnel
  std::uint32_t port = 0;    ///< PortId value of its tunnel Port
  std::uint16_t local_tunnel = 0, local_session = 0;
  std::uint16_t mtu = 0;     ///< the longest IP packet the peer takes
  filters::L2tpHeader header;
  filters::PrefixSet leases;
  std::atomic<std::uint16_t> sequence{0};  ///< of the next packet out; counts only when the header has one. Relaxed: a number twice
                                           ///< or out of turn is what a network does
};

/// A session on one SA, with what this SA carried of it: written by the SA's worker alone.
struct L2tpRider {
  std::shared_ptr<L2tpSession> session;
  std::uint64_t packets = 0, bytes = 0;  ///< of inner packets
  std::uint64_t last_used = 0;           ///< seconds of the data plane's clock
};

/// What a transport SA has beside its keys.
struct L2tpCarrier {
  static constexpr std::size_t kRidersMax = 8;
  static constexpr std::uint32_t kPuntsPerSecond = 256;  ///< more than a login or a TLS handshake needs, too few to starve others

  std::vector<L2tpRider> riders;  ///< one, in practice
  std::uint64_t punt_second = 0;
  std::uint32_t punts = 0;

  [[nodiscard]] L2tpRider* find(std::uint16_t local_tunnel, std::uint16_t local_session) {
    for (L2tpRider& rider : riders) {
      if (rider.session->local_tunnel == local_tunnel && rider.session->local_session == local_session) return &rider;
    }
    return nullptr;
  }
  /// Whose Lease is `wire`, 4 or 16 bytes of an address of `family`.
  [[nodiscard]] L2tpRider* find(const std::uint8_t* wire, Family family) {
    for (L2tpRider& rider : riders) {
      if (rider.session->leases.contains(wire, family)) return &rider;
    }
    return nullptr;
  }
  /// Whether one more datagram of this second may go to the daemon.
  bool may_punt(std::uint64_t now) {
    if (now != punt_second) punt_second = now, punts = 0;
    return ++punts <= kPuntsPerSecond;
  }
};

}  // namespace sekisho::dataplane
