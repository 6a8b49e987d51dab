// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/net/address.h"
#include "base/wire/reader.h"
#include "dataplane/tunnel/key_vault.h"
#include "dataplane/tunnel/l2tp.h"
#include "filters/esp/esp_suite.h"
#include "filters/esp/lifetime.h"
#include "filters/esp/replay_window.h"
#include "filters/esp/selectors.h"

namespace sekisho::dataplane {

/// An end of the outer packets. `port` counts when ESP is in UDP.
struct EspEnd {
  Address address;
  std::uint16_t port = 0;

  bool operator==(const EspEnd&) const = default;
};

enum class SaDirection : std::uint8_t { kInbound, kOutbound };

/// What an SA is made from. Borrows keys and prefixes for the call; wiping the keys is the caller's.
struct SaConfig {
  SaDirection direction = SaDirection::kInbound;
  std::uint32_t tenant = 0;  ///< whose Port it ends on; a packet of another tenant never finds it
  std::uint32_t tunnel = 0;  ///< the caller's name for what the packets belong to
  std::uint32_t port = 0;    ///< PortId value of the tunnel Port
  std::uint32_t spi = 0;     ///< inbound: from allocate_spi(); outbound: the peer's
  filters::EspSuite suite;
  ByteSpan cipher_key;  ///< with the salt behind it for GCM
  ByteSpan integrity_key;
  bool extended = false;                 ///< 64-bit sequence numbers
  std::uint32_t replay_window = 1024;    ///< inbound
  EspEnd local, peer;                    ///< one family
  bool in_udp = false;                   ///< outbound: UDP around ESP (RFC 3948). Inbound takes both (RFC 7296 2.23)
  bool transport = false;                ///< transport mode: L2TP, from and to our UDP port 1701. Without prefixes
  bool copy_dscp = true;                 ///< outbound: the inner packet's class outside too; else 0 (RFC 4301 8.1)
  std::uint16_t outer_mtu = 1500;        ///< outbound: bytes, from the outer IP header on
  std::span<const Prefix> inner_local;   ///< our side's addresses
  std::span<const Prefix> inner_remote;  ///< the peer's side: the Lease of a user
  filters::EspLifetime lifetime;
};

/// What an SA has done.
struct SaUse {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;      ///< of inner packets
  std::uint64_t sequence = 0;   ///< newest accepted, or last sent
  std::uint64_t last_used = 0;  ///< seconds of the data plane's clock
};

/// What the keying daemon must hear of. Each at most once for an SA, kPeerMoved once again after update().
enum class SaEventKind : std::uint8_t { kSoftLimit, kHardLimit, kPeerMoved };
struct SaEvent {
  SaEventKind kind;
  SaDirection direction;
  std::uint32_t handle;  ///< SPI of ours, or handle of the outbound SA
  std::uint32_t tunnel;
  EspEnd peer;  ///< kPeerMoved: where a genuine and newest packet came from
  bool in_udp;  ///< kPeerMoved
};

/// Ethernet, IP and perhaps UDP headers around a sealed packet of one SA, ready but for lengths, checksum and class.
/// They end where the array ends, so that all of it can be written in front of any packet with one copy of known
/// length.
struct OuterTemplate {
  static constexpr std::size_t kBytes = 64;
  alignas(64) std::array<std::uint8_t, kBytes> bytes{};
  std::uint32_t sum = 0;      ///< over the IPv4 header as it stands here, not folded
  std::uint8_t ip_bytes = 0;  ///< 20 or 40
  std::uint8_t used = 0;      ///< with UDP, without Ethernet
};

/// Where the path sends an SA's packets, found out once in a generation and tick. Its own; 0 is no generation.
struct SaWay {
  std::uint32_t generation = 0, tick = 0;
  std::uint32_t port = 0, next_hop = 0;
  std::uint32_t mtu = 0;  ///< of that wire
};

/// One direction of a tunnel. Hot members first. Belongs to its table's thread.
struct Sa {
  std::uint32_t handle = 0;  ///< how the table knows it; for inbound the SPI
  std::uint32_t spi = 0;     ///< on the wire
  std::uint32_t tenant = 0;
  std::uint32_t tunnel = 0;
  std::uint32_t port = 0;    ///< PortId value of the tunnel Port
  SaWay way;                 ///< outbound; the path's
  std::unique_ptr<L2tpCarrier> l2tp;  ///< in transport mode, else null
  KeyVault::Keys keys{nullptr, KeyVault::Release{nullptr}};
  std::uint64_t watch_bytes = 0, watch_packets = 0, watch_seconds = 0;  ///< next limit that matters, absolute
  SaUse use;                                    ///< outbound: use.sequence is the last number sent
  std::uint64_t sequence_last = 0;              ///< outbound
  std::optional<filters::ReplayWindow> window;  ///< inbound
  SaDirection direction = SaDirection::kInbound;
  bool expired = false, soft_told = false, moved_told = false;
  bool in_udp = false, copy_dscp = true, extended = false;
  std::uint16_t inner_mtu = 0;
  EspEnd local, peer;
  OuterTemplate outer;
  filters::PrefixSet inner_local, inner_remote;
  filters::EspLifetime lifetime;
  std::uint64_t installed = 0;  ///< seconds of the data plane's clock
  std::uint16_t outer_mtu = 0;  ///< of our own way to the peer
  std::uint16_t path_mtu = 0;   ///< a smaller one that was learned; 0: none
};

}  // namespace sekisho::dataplane
