// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/shard.h"

/// Fills log records from packets and sessions (specification 3.7).
namespace sekisho::dataplane::path {

/// Why a session that fell silent, or finished, is logged to have ended.
EndReason end_reason_of(const Session& session);

/// Writes the start or end record of a session.
void record_session(Shard& shard, const Session& session, std::uint32_t index, CommPhase phase, EndReason reason) noexcept;

/// Stable name of a session while it lives: what comm records and listings call flow_id.
std::uint64_t flow_id(const Shard& shard, const Session& session, std::uint32_t index);

/// The ends of a session in the direction of its first packet, as that packet came in.
using SessionEnds = filters::FlowEnds;
SessionEnds ends_of(const Session& session);
/// The ends policy judges a session by: who really sends, and where the packets go.
SessionEnds judged_ends(const Shard& shard, std::uint32_t index);
/// The ends behind a key, seen from its high or from its low end; `ends` for IPv6.
SessionEnds ends_of(const FlowKey& key, const std::array<Words6, 2>& ends, bool ipv6, bool from_high);

/// The number (snapshot::Service::object) of the service object by which `rule` took such a packet; 0 when the rule takes
/// any service, says which ones it does not take, or lists more than kServiceScanMax entries. Cold: a scan.
inline constexpr std::uint32_t kServiceScanMax = 256;
std::uint16_t service_object(const Runtime& config, std::uint32_t rule, const ClassifyKey& key);

/// The service by which `rule` took such a packet, as an index in kServices; snapshot::kNone as service_object() is 0.
std::uint32_t service_index(const Runtime& config, std::uint32_t rule, const ClassifyKey& key);

/// Tells the tenant at `tenant` (index in Runtime::tenants) something that is no packet's: `rule` (RuleId value or 0), `level`
/// percent or 0.
void record_notice(Shard& shard, const Runtime& config, std::uint32_t tenant, LogNotice notice, std::uint32_t rule,
                   std::uint8_t level) noexcept;

/// Ends a packet of a known tenant and logs it: a security record when the reason is one, else a comm record of phase
/// drop. Needs meta.tenant and meta.ingress of this generation.
void refuse(Shard& shard, const Runtime& config, rte_mbuf* packet, filters::DropReason reason) noexcept;

/// Says that SYNs beyond a half-open limit arrive: one security record when it begins and one with the count when it ends or
/// a window of it is over. The packet goes on living.
void note_syn_flood(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Says that a host without the role router calls itself one in a neighbour advertisement (specification 3.5, step 21). The packet
/// goes on living.
void note_router_flag(Shard& shard, const Runtime& config, rte_mbuf* packet) noexcept;

/// Ends a packet its tenant had no more room for: counted like every other, but logged once a tick, so that the excess
/// costs little.
void refuse_excess(Shard& shard, const Runtime& config, rte_mbuf* packet, Excess excess) noexcept;

/// Ends a packet that a rule did not let through, logged as the rule says. `out_port`: port index, or kNoIndex;
/// `service`: service_object(), or 0.
void refuse_by_rule(Shard& shard, const Runtime& config, rte_mbuf* packet, std::uint32_t rule, std::uint32_t out_port,
                    std::uint16_t service) noexcept;

}  // namespace sekisho::dataplane::path
