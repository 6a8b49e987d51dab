// SPDX-License-Identifier: BSD-2-Clause
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "base/net/address.h"

namespace sekisho {

/// Rings carry the first three alone; vpn records come as messages (base/proto/vpn_log.proto), acl records are made by logd of
/// comm records.
enum class LogKind : std::uint8_t { kComm = 1, kSec = 2, kLoss = 3, kVpn = 4, kAcl = 5, kDevauth = 6, kAudit = 7 };

/// comm phases (specification 3.7).
enum class CommPhase : std::uint8_t { kStart = 1, kUpdate = 2, kEnd = 3, kDrop = 4 };
enum class CommAction : std::uint8_t { kAllow = 1, kDrop = 2, kReject = 3 };
enum class EndReason : std::uint8_t {
  kNone = 0, kTcpFin = 1, kTcpRst, kAged, kPolicy, kCleared, kVpnDown, kQuota, kFailover,
  kSchedule,  ///< the policy's end of a session because its rule's strict schedule ended
};

/// What a sec record without a dropped packet tells.
enum LogNotice : std::uint8_t {
  kNoticeNone = 0,
  kNoticeLogRate = 1,
  // SecBody::level percent of a quota of the tenant are in use
  kNoticeQuotaSessions,
  kNoticeQuotaSessionRate,
  kNoticeQuotaHalfOpen,
  kNoticeQuotaFragments,
  kNoticeQuotaLogRate,
  kNoticeQuotaRules,
  // of SecBody::rule
  kNoticeRuleEnding,
  kNoticeRuleExpired,
  // of a packet that passed
  kNoticeRouterFlag,
  kNoticeCount,
};
/// Why records are missing.
enum class LossCause : std::uint8_t { kNone = 0, kRateLimit, kQueueFull, kDiskFull, kRestart, kSampled };

/// Envelope of every ring record. Times are nanoseconds since 1970 UTC.
struct LogEnvelope {
  std::uint64_t timestamp;
  std::uint32_t tenant;      ///< TenantId value
  std::uint32_t generation;  ///< snapshot in force: names are looked up under it; becomes `rev`
  LogKind kind;
  std::uint8_t shard;
  std::uint8_t drop_reason;  ///< filters::DropReason value; 0 when nothing was dropped
  std::uint8_t notice;       ///< LogNotice: a sec record about no packet that was dropped; then drop_reason is 0
  std::uint32_t count;       ///< packets or flows folded into this record; >= 1
};
static_assert(sizeof(LogEnvelope) == 24);

/// One flow event. Addresses 16 bytes each, family told by `ip_version`.
struct CommBody {
  std::array<std::uint8_t, 16> source;       ///< network order, as received
  std::array<std::uint8_t, 16> destination;
  std::uint64_t flow_id;           ///< 0 = absent (phase drop)
  std::uint64_t start_timestamp;   ///< end, update; else 0
  std::uint64_t bytes_forward;
  std::uint64_t bytes_reverse;
  std::uint32_t packets_forward;   ///< saturates
  std::uint32_t packets_reverse;
  std::uint32_t rule;              ///< RuleId value; 0xffffffff = no rule decided
  std::uint32_t in_port;           ///< PortId value
  std::uint32_t out_port;          ///< PortId value; 0xffffffff = dropped before routing
  std::uint16_t source_port;       ///< host order; ICMP: type << 8 | code
  std::uint16_t destination_port;
  std::uint16_t packet_length;     ///< IP total length of the packet that caused start or drop
  std::uint8_t protocol;
  std::uint8_t ip_version;         ///< 4 or 6
  CommPhase phase;
  CommAction action;
  EndReason end_reason;
  std::uint8_t tcp_flags;          ///< OR of flags seen
  std::array<std::uint8_t, 16> nat_source;       ///< after translation, family as `ip_version`; zero = not translated
  std::array<std::uint8_t, 16> nat_destination;
  std::uint32_t service;           ///< number of the service object that matched, of `generation`; 0 = none, or any
  std::uint16_t nat_source_port;   ///< host order; 0 = absent
  std::uint16_t nat_destination_port;
};
static_assert(sizeof(CommBody) == 136);

/// One address-enforcement or protocol violation, folded per (binding, code, offending value) and 60 s.
struct SecBody {
  std::uint64_t first_timestamp;
  std::uint64_t last_timestamp;
  std::array<std::uint8_t, 16> source;       ///< ARP: sender protocol address; ND: IPv6 source; zero = absent
  std::array<std::uint8_t, 16> destination;  ///< ARP: target protocol address
  std::array<std::uint8_t, 16> nd_target;    ///< ND target address; zero = absent
  std::uint32_t binding;           ///< BindingId value; 0xffffffff = none
  std::uint32_t in_port;           ///< PortId value
  Mac ethernet_source;
  Mac ethernet_destination;
  Mac claimed_mac;                 ///< ARP sender hardware address, ND link-layer option; zero = absent
  std::uint16_t ether_type;        ///< host order
  std::uint16_t source_port;
  std::uint16_t destination_port;
  std::uint8_t protocol;
  std::uint8_t ip_version;         ///< 4, 6, or 0 = no IP header
  std::uint8_t arp_operation;      ///< 1, 2, or 0 = no ARP
  std::uint8_t nd_type;            ///< 133..137, or 0 = no ND
  std::uint32_t rule;              ///< RuleId value; 0 = none
  std::uint8_t level;              ///< percent of a quota; 0 = none
};
static_assert(sizeof(SecBody) <= 112);

/// Records of one tenant that were not written to the ring: it was full, or the tenant's rate was used up.
struct LossBody {
  std::uint64_t from_timestamp;
  std::uint64_t to_timestamp;
  std::uint64_t count;
  LogKind of;
  LossCause why;
  std::array<std::uint8_t, 6> reserved;
};

/// One entry of a log ring: 192 bytes, no pointers. The reader treats it as hostile.
struct LogRecord {
  std::array<std::uint8_t, 192> bytes;
};
static_assert(sizeof(LogRecord) == 192 && std::is_trivially_copyable_v<LogRecord>);

}  // namespace sekisho
