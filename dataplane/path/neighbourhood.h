// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"
#include "filters/packet/arp.h"
#include "filters/packet/nd.h"

/// What the gateway does for the hosts of one segment among themselves: it answers for them where they may meet through it
/// alone (enforcement isolate), and follows the addresses that hosts of a VRRP group hand to one another. Every frame here
/// has passed its Binding's checks. Thread: any worker.
namespace sekisho::dataplane::path {

/// True when the sender of the ARP request or neighbour solicitation in `packet` reaches `target` through the gateway: his
/// Port is isolated, and `target` is bound to another host of his segment. Never for an address the sender may have himself,
/// and never for a question from nobody (probes, duplicate address detection).
[[nodiscard]] bool stands_for_host(const Runtime& config, rte_mbuf* packet, const Address& sender, const Address& target) noexcept;

/// A gratuitous ARP message, an unsolicited neighbour advertisement: its sender has `address` from now on, if it is a
/// virtual one that he binds with this MAC, in a VRRP group of whoever had it.
void follow_claim(const Shard& shard, const Runtime& config, rte_mbuf* packet, const Address& address) noexcept;

/// The same for all addresses in a VRRP advertisement. False when `packet` is none.
[[nodiscard]] bool follow_advertisement(const Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

}  // namespace sekisho::dataplane::path
