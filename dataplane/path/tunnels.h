// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/path/express.h"
#include "dataplane/shard.h"
#include "filters/esp/esp_fault.h"
#include "filters/esp/peer_look.h"
#include "filters/packet/decode.h"
#include "filters/state/icmp_error.h"

/// Where tunnels of remote users join the path (docs/life-of-a-tunnel.md). ESP to a gateway leaves bind for the worker whose
/// SA it is, is opened there, and comes back as a packet of its tunnel Port, judged like any other. What is routed to a
/// tunnel Port is sealed by the worker that has the outbound SA and leaves by the tenant's routes to the peer. IKE goes to
/// the keying daemon, and what that says comes out here. Thread: the shard's.

namespace sekisho::dataplane::path::tunnel {

/// The drop reason of the same name.
[[nodiscard]] filters::DropReason drop_reason(filters::EspFault fault) noexcept;

/// A whole packet that came in at port `at`, where there are gateways: true when it was ESP, or a NAT's keepalive, for one
/// of them and has left the burst. IKE stays: it is delivered.
bool take(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) noexcept;

/// ESP of a burst that came in by an uplink for the gateway that was met last: where it belongs is known, and who sent it is asked once a
/// run. A shorter way to what bind and take() say.
class PeerRun {
 public:
  /// takes() for what looks like the run's packets before it: nothing has to be decoded.
  [[gnu::always_inline]] bool recognizes(Shard& shard, rte_mbuf* packet) noexcept {
    filters::PeerLook::Parts parts;
    const auto frame = frame_of(packet);
    if (!look_.reads(frame, trust_of(packet), parts) || packet->port != nic_ || frame.size() != packet->pkt_len) return false;
    OpeningBurst& opening = shard.tunnels_here.opening;
    if (Spi::worker(parts.spi) != shard.number || opening.full()) return false;
    packets_ += 1;
    bytes_ += frame.size();
    known_.end = parts.end;
    known_.port = parts.port;
    opening.add(packet, known_);
    return true;
  }
  /// True: it was such a packet, and has gone to the worker that opens it. `d`: as decode_plain() found it. False: nothing is decided.
  bool takes(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::packet_detail::Decoded& d,
             std::uint32_t uplink) noexcept;
  /// Counts them for the uplink. Before the run ends, or goes on with another uplink.
  void flush(Shard& shard, const Runtime& config) noexcept;

 private:
  /// Whether it comes from an address that is neither a tenant's nor the uplink's own, and the gateway is the one tenant's there.
  bool is_foreign(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t uplink, std::size_t l3, bool ipv4);

  Address source_;  ///< of the last one; without a family: none
  filters::PeerLook look_;  ///< of a peer that sent two in turn, for this worker
  bool repeats_ = false;         ///< the last one came from where the one before came from
  std::uint16_t nic_ = kNoNic;   ///< by which they came
  EspOuter known_{};             ///< of the last one that was recognized, or learnt from
  std::uint32_t wire_ = kNoIndex;
  std::uint64_t packets_ = 0, bytes_ = 0;
};

/// A packet to an address of the gateway that admit found local: IKE goes to the keying daemon, whole datagrams in pieces
/// too; ESP in pieces is joined and opened. False: neither.
bool deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// The tunnel Port (index) an opened packet belongs to, by the Lease of its source in its tenant; kNoIndex: there is none
/// in this generation.
[[nodiscard]] std::uint32_t port_of(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// An ICMP error that came to us about `quoted`: true, and it is consumed, when it says that a packet from a gateway's
/// address was too long. Whether it was one of ours is asked by the control thread.
[[nodiscard]] bool note_too_big(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::QuotedPacket& quoted) noexcept;

/// Gives an inner packet, its hop counted, to the outbound SA `handle`.
void seal(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t handle) noexcept;

/// Gives an inner packet, its hop counted, to the tunnel that has its destination, by SA or ring.
void into(Shard& shard, const Runtime& config, rte_mbuf* packet, const Lease& lease) noexcept;

/// Established packets of a burst that go into tunnels: their Port and Lease are found once a run.
class SealRun {
 public:
  SealRun() noexcept {}  // what says nothing yet is not written: one is made for every burst
  /// Gives a packet, tracked, without a record and no SYN, to the outbound SA of its destination behind tunnel Port `egress` (index).
  /// False: nothing has been done; forward() decides.
  bool takes(Shard& shard, const Runtime& config, rte_mbuf* packet, Flight& flight, std::uint32_t egress) noexcept;
  /// Counts them for their Port. Before the run ends.
  void flush(Shard& shard) noexcept;

 private:
  bool seek(Shard& shard, const Runtime& config, std::uint32_t egress, Family family, const std::uint8_t* destination) noexcept;

  std::uint32_t egress_ = kNoIndex;
  std::uint32_t slot_;               ///< its counters
  Family family_ = Family::kNone;    ///< of the last packet's destination; kNone: none is known
  std::array<std::uint8_t, 16> destination_;
  std::uint32_t outbound_;           ///< the SA it leads to, one of this worker's
  std::uint32_t inner_mtu_;
  std::uint64_t packets_ = 0, bytes_ = 0;
};

/// Something the gateway itself says to a remote user: a frame around an IP packet, for tunnel Port `port`.
void answer(Shard& shard, rte_mbuf* packet, const PortEntry& port) noexcept;

/// Opens and seals what waits. Afterwards nothing waits.
void serve(Shard& shard, const Runtime& config) noexcept;

/// Sends what the keying daemon has to say, a bounded number of datagrams.
void inject(Shard& shard, const Runtime& config) noexcept;

}  // namespace sekisho::dataplane::path::tunnel
