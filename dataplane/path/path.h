// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "dataplane/burst.h"
#include "dataplane/shard.h"

/// The stages of the path in the order Worker::turn calls them. Each takes a burst, compacts it to the packets that go on,
/// and ends every other packet exactly once: dropped for a named reason, consumed, held or handed off.
/// Thread: the shard's. No allocation, no lock, no system call (but the NIC driver's).
namespace sekisho::dataplane::path {

/// Takes up to kBurstMax packets from a NIC queue.
void receive(Shard& shard, const Inlet& inlet, Burst& burst) noexcept;
/// Takes up to kBurstMax packets other shards handed over and returns how many. Those that only need this shard's transmit
/// queue go there.
unsigned receive_handed(Shard& shard, const Runtime& config, Burst& burst) noexcept;
/// Proves headers; malformed packets end here, in the name of the tenant whose attachment they came from.
void decode(Shard& shard, const Runtime& config, Burst& burst) noexcept;

/// Writes attachment, tenant and generation into the record of a packet: the only place that says whose packet it is.
void place(const Runtime& config, PacketMeta& meta, std::uint32_t port) noexcept;

/// The tenant alone, for a packet that came in by no wire: out of a tunnel, whose SA is one tenant's, or made here.
void give_tenant(PacketMeta& meta, std::uint32_t tenant) noexcept;

/// The Binding of a frame of a segment Port, written into its record when the source MAC finds it. kNoIndex: none.
std::uint32_t find_binding(const Runtime& config, const PortEntry& port, rte_mbuf* packet) noexcept;
/// Names a frame find_binding() found no Binding for. `refused`: what decode() said of it.
filters::DropReason unbound(const Runtime& config, const PortEntry& port, rte_mbuf* packet,
                            filters::DropReason refused) noexcept;

enum class Count : std::uint8_t { kYes, kNo };
/// Attachment, tenant, Binding. ARP, ND and frames to the gateway's link end here. `count` is kNo when a packet is placed
/// again because the configuration changed under it.
void bind(Shard& shard, const Runtime& config, Burst& burst, Count count) noexcept;
/// The shard that owns a packet's flow. An ICMP error belongs to the flow it complains about.
[[nodiscard]] std::uint32_t owner_of(const Shared& shared, const Runtime& config, const HashSeed& seed, rte_mbuf* packet) noexcept;
/// Hands packets to the shard that owns their flow.
void steer(Shard& shard, const Runtime& config, Burst& burst) noexcept;
/// Leaves packets of sessions judged under this generation in `burst`; moves all others to `first`.
void find_session(Shard& shard, const Runtime& config, Burst& burst, Burst& first) noexcept;
/// Judges by policy: new flows, ICMP errors, sessions of an older generation, packets to the gateway itself. Packets
/// that may pass and are counted are left in `first`; those whose session still has to be tracked are moved to `known`.
void admit(Shard& shard, const Runtime& config, Burst& first, Burst& known) noexcept;
/// Where packets to an address leave, and the neighbour they go to.
struct Hop {
  std::uint32_t port = kNoIndex;      ///< port index
  std::uint32_t next_hop = kNoIndex;  ///< static hop, or kDynamicHop | handle; kNoIndex: no place to learn one
};
/// Whether a route leads anywhere.
[[nodiscard]] bool is_forwardable(const RouteTarget* way) noexcept;
/// The next hop of a forwardable way, with a place in the neighbour table where one has to be asked.
[[nodiscard]] Hop hop_of(Shard& shard, const Runtime& config, const RouteTarget& way, const Address& destination) noexcept;
/// Judges a session of an older generation under this one, as its next packet would. True: it lives on, with this
/// generation's ports, neighbours and rule. False: it no longer may; the caller ends it.
bool judge_again(Shard& shard, const Runtime& config, std::uint32_t index) noexcept;
/// One step of judging the sessions of older generations that stay silent: those no longer allowed end. An idle shard works
/// every turn, a busy one at intervals, so that all are judged some three seconds after a commit.
void sweep(Shard& shard, const Runtime& config, bool idle) noexcept;
/// TCP windows and states, counters, time. A SYN that begins a finished connection anew ends the old session and is moved
/// to `restarted`, to be admitted; with nullptr it is refused.
void track(Shard& shard, const Runtime& config, Burst& burst, Burst* restarted) noexcept;
/// TTL and `mtu` of the way out, answered as RFC 1812 and RFC 8200 ask. True: the packet has ended.
bool refuse_unforwardable(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t mtu) noexcept;
/// TTL, MTU, neighbour, link header; hands to the outlet.
void forward(Shard& shard, const Runtime& config, Burst& burst) noexcept;
/// Sends what the turn collected.
void transmit(Shard& shard) noexcept;
/// Sends held packets whose neighbour answered; ends those that waited too long. Those placed under an older generation
/// come out in `stale`, to be placed again.
void release_held(Shard& shard, const Runtime& config, Burst& stale) noexcept;

/// What bind() does, but fragments are moved to `pieces` and trains may not be in `burst`.
void bind_pieces(Shard& shard, const Runtime& config, Burst& burst, Burst& pieces, Count count) noexcept;
/// Keeps fragments until their datagram is whole; adds those that are to `burst`, as trains (dataplane/train.h). Those that
/// meet at another shard, or whose flow is another's, go there.
void reassemble(Shard& shard, const Runtime& config, Burst& pieces, Burst& burst) noexcept;
/// Places packets of an older generation anew and adds them to `burst`; trains come apart and meet again.
void bind_again(Shard& shard, const Runtime& config, Burst& stale, Burst& burst) noexcept;
/// Ends what waited too long for the rest of its datagram.
void expire_fragments(Shard& shard, const Runtime& config) noexcept;

}  // namespace sekisho::dataplane::path
