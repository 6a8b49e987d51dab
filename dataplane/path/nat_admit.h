// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"
#include "filters/nat/nat_rules.h"

/// NAT for packets that need a verdict: what a flow is translated to, decided once, with its first packet.
/// Order: destination, route, policy (which sees the translated destination), source. The established packet's part is
/// dataplane/path/translate.h. Thread: the shard's.
namespace sekisho::dataplane::path {

/// The destination step's result for a first packet.
struct NatTarget {
  Address address;          ///< where the packet goes
  std::uint16_t port = 0;
  std::uint32_t rule = snapshot::kNone;  ///< index in kNatRules: who decided
  std::uint8_t zone = 0;    ///< of the address the packet was sent to
  bool translated = false;
};

/// The NAT rules a session stands under: RuleId values, 0 = none; and what they log, snapshot::LogSetting bits.
struct NatRules {
  std::uint32_t in = 0;
  std::uint32_t out = 0;
  std::uint8_t log = 0;
};

/// A decoded packet's ends.
[[nodiscard]] filters::FlowEnds received_ends(rte_mbuf* packet) noexcept;

/// The destination step. kNone, or why the packet ends. Needs meta.ingress of a tenant with NAT rules.
filters::DropReason nat_target(const Runtime& config, const PacketMeta& meta, const Address& source, const Address& destination,
                               NatTarget& out) noexcept;

/// The source step, for a flow that policy allows out of port `out_port`; makes `index`, just inserted, a translated session
/// if any end changes. `received`: the packet's ends. kNone, or why it ends: then the session is as it was.
filters::DropReason nat_session(Shard& shard, const Runtime& config, const PacketMeta& meta, std::uint32_t index,
                                const filters::FlowEnds& received, const NatTarget& target, std::uint32_t out_port) noexcept;

/// Notes a flow of a tenant with NAT rules under its own key, for the other shards (FlowOwners). False: another flow looks
/// like it, or there is no place.
bool note_flow(Shard& shard, std::uint32_t index) noexcept;
/// Undoes note_flow(); the session is about to be erased.
void forget_flow(Shard& shard, std::uint32_t index) noexcept;

/// After a commit another shard may have flows that it has not noted yet: of a tenant that had no NAT rules before. True: a
/// flow of its would look like this packet's translated; the packet is on its way there to ask, and comes back.
bool nat_asks(Shard& shard, const Runtime& config, rte_mbuf* packet, const NatTarget& target, std::uint32_t out_port) noexcept;
/// The other side of nat_asks(): notes the flow that was asked for, if there is one, and sends the packet back.
void nat_answer(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Whether the rules of this generation still translate a session, or leave it, as it is. `port_in`, `port_out`: port
/// indices of its first packet.
bool nat_unchanged(const Shard& shard, const Runtime& config, std::uint32_t index, std::uint32_t port_in,
                   std::uint32_t port_out,
                   NatRules& rules) noexcept;

/// Gives back what a translated session held; the session is about to be erased.
void release_translation(Shard& shard, std::uint32_t index) noexcept;

}  // namespace sekisho::dataplane::path
