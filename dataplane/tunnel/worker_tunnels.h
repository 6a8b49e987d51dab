// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "base/ipc/keying_daemon.h"
#include "base/net/address.h"
#include "base/shm/datagram_ring.h"
#include "dataplane/burst.h"
#include "dataplane/counters.h"
#include "dataplane/tunnel/esp_path.h"
#include "dataplane/tunnel/sa_table.h"

namespace sekisho::dataplane {

/// A router, or our own way out, had no room for a sealed packet: for the control thread, which knows whose SPI it is.
struct PathReport {
  std::uint32_t tenant;
  Address local, peer;
  std::uint16_t local_port, peer_port;  ///< 0: not in UDP
  std::uint32_t spi;                    ///< the peer's
  std::uint32_t sequence;               ///< low half
  std::uint32_t mtu;
};

/// ESP to be opened here.
struct OpeningBurst {
  std::uint16_t count = 0;
  std::array<rte_mbuf*, kBurstMax> packets;
  std::array<EspOuter, kBurstMax> outers;

  [[nodiscard]] bool full() const { return count == kBurstMax; }
  void add(rte_mbuf* packet, const EspOuter& outer) {
    packets[count] = packet;
    outers[count++] = outer;
  }
};

/// What one worker has of tunnels. Only its thread touches it; the control thread asks it to (ShardRequest).
struct WorkerTunnels {
  std::unique_ptr<SaTable> sas;                 ///< null: this data plane was started without tunnels
  static constexpr std::size_t kInjectRoom = 8 + kDatagramBytesMax;
  std::unique_ptr<std::uint8_t[]> inject_room;  ///< kInjectRoom bytes, with any of `injects`: a UDP header and its payload
  std::uint32_t injecting = 0;                  ///< bits (bit_of) of daemons in `injects`
  Counter inject_refused;                       ///< datagrams from nobody's gateway, or without a way
  std::uint32_t datagram_id = 0;                ///< of the last injected one: pieces name it
  OpeningBurst opening;
  Burst sealing;                                ///< inner packets to be sealed here; PacketMeta::session names the SA
  std::array<PathReport, 16> path_reports;      ///< `path_reported` of them wait; what does not fit is said again
  std::uint32_t path_reported = 0;
  std::uint32_t port_id = 0;                    ///< the tunnel Port met last: its id, its index in
  std::uint32_t port_index = 0;
  std::uint32_t port_generation = 0;            ///< this generation
  Address gateway;                              ///< the gateway asked for last, the Port (index) where it is, in
  std::uint32_t gateway_port = 0;
  std::uint32_t gateway_generation = 0;         ///< this generation
  std::array<std::optional<DatagramRingWriter>, kKeyingDaemons> punts;    ///< to each daemon that is connected
  std::array<std::optional<DatagramRingReader>, kKeyingDaemons> injects;  ///< from it; the first worker's

  /// L2TP's carriers, by number, and their newest outbound SA (0: none yet); the first worker's, which injects.
  struct Carrier {
    std::uint32_t tenant;
    std::uint32_t outbound;
  };
  std::unordered_map<std::uint32_t, Carrier> carriers;

  [[nodiscard]] bool waiting() const { return (opening.count | sealing.count) != 0; }
};

}  // namespace sekisho::dataplane
