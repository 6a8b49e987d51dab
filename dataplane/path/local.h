// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"
#include "filters/packet/build.h"

/// What the data plane says and understands itself: ARP and ND for its own addresses, echo, ICMP errors, resets.
namespace sekisho::dataplane::path::local {

/// True when `address` is the gateway's own on this port's link (its global addresses or its link-local).
bool is_own(const PortEntry& port, const Address& address) noexcept;

/// kNone, or why a packet from `source` to our address `destination` is not even looked at (check_addresses, but for
/// link-local ends: neighbours may speak to us by them).
[[nodiscard]] filters::DropReason check_to_us(const Address& source, const Address& destination) noexcept;

/// Ends a frame that concerns the link itself: ARP, ND, multicast, other ethertypes, and packets to an uplink's own
/// address. `at`: the wire port's index (or a share's: its uplink answers). Answers go back the same way.
void link(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t at) noexcept;

/// Ends an IP packet to an address of the gateway: an echo request is answered (rate limited per tenant), IKE goes to
/// the keying daemon, all else is kLocalUnserved.
void deliver(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Tells the sender what went wrong with `packet`, when it may be told: rate limited per tenant. The caller ends it.
void send_icmp_error(Shard& shard, const Runtime& config, rte_mbuf* packet, filters::IcmpErrorKind kind, std::uint32_t mtu) noexcept;

/// Refuses a packet audibly: TCP by reset, all else by ICMP admin prohibited. The caller ends it.
void send_reject(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Answers `packet` with a TCP segment of ours, back the way it came.
void answer_tcp(Shard& shard, const Runtime& config, rte_mbuf* packet, const filters::TcpHeader& header) noexcept;

/// Asks who has `address` on wire port `at`. Called when NeighbourTable::should_ask said so.
void ask_neighbour(Shard& shard, const Runtime& config, std::uint32_t at, const Address& address) noexcept;

}  // namespace sekisho::dataplane::path::local
