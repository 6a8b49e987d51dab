// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/net/address.h"
#include "dataplane/session/flow_key.h"
#include "filters/packet/packet_meta.h"
#include "filters/state/direction.h"
#include "filters/state/sctp_tracker.h"
#include "filters/state/tcp_splice.h"
#include "filters/state/tcp_tracker.h"

namespace sekisho::dataplane {

using filters::Direction;
using filters::kNoIndex;

/// Session::flags.
enum SessionFlag : std::uint8_t {
  kSessionIpv6 = 1,
  kSessionForwardFromHigh = 2,  ///< the first packet travelled from the key's high end
  kSessionReplied = 4,          ///< a packet of the reverse direction was seen
  kSessionLogEnd = 8,
  kSessionLogStart = 16,
  kSessionTranslated = 32,      ///< has a Translation, and is found by that key too
  kSessionProxied = 64,         ///< the gateway answered the client with a cookie; see ProxiedSession
  kSessionCounted = 128,        ///< counts in SessionLimits for its rule, and at Shard::source_places for its source
};

/// Session::traits: what no established packet asks about.
enum SessionTrait : std::uint16_t {
  kSessionKept = 1,       ///< a change of policy does not end it (Rule::keep_on_change of the rule that admitted it)
  kSessionAccounted = 2,  ///< part of its traffic already stands in its rule's counters (Shard::accounted)
  kSessionTimed = 4,      ///< its service has timeouts of its own (SessionExtra)
  kSessionNoted = 8,      ///< its own key stands in FlowOwners
};

/// Two flows and what we know of them; 192 bytes. Line 0 is what every packet reads and writes, line 1 what TCP needs besides,
/// line 2 is cold (IPv6 packets compare their addresses there).
/// Thread: the shard that owns it. Indices into runtime tables hold while `generation` is the one in force.
struct alignas(64) Session {
  // line 0
  FlowKey key;
  std::uint32_t generation;
  std::uint32_t last_seen;                ///< ticks (kTicksPerSecond)
  std::array<std::uint32_t, 2> port;      ///< by direction: where its packets come in; the other one is where they leave
  std::array<std::uint32_t, 2> next_hop;  ///< by direction: where its packets go
  std::array<std::uint32_t, 2> packets_low;  ///< by direction: packets() without its upper half
  std::array<std::uint32_t, 2> bytes_low;    ///< likewise bytes()
  std::uint32_t timeout;                  ///< ticks of silence that end it
  std::uint8_t flags;                     ///< SessionFlag
  std::uint8_t protocol;
  std::uint8_t tcp_flags;                 ///< OR of all seen
  std::uint8_t reserved0;

  // line 1
  union {
    filters::TcpTrack tcp;
    filters::SctpTrack sctp;              ///< of protocol 132
  };
  std::array<std::uint32_t, 2> packets_high, bytes_high;  ///< what has overflowed the lower halves
  std::uint32_t rule_slot;                ///< hit counters of the rule that admitted it
  std::uint32_t in_port;                  ///< PortId value, for the log, whatever the generation
  std::uint32_t reported;                 ///< tick of its start, or of its last update record
  std::uint16_t wheel_slot;               ///< where it hangs in the expiry wheel
  std::uint16_t traits;                   ///< SessionTrait

  // line 2
  alignas(64) std::array<Words6, 2> ends; ///< IPv6: addresses of the low and the high end
  std::uint64_t start_ns;                 ///< since 1970
  std::uint32_t wheel_next, wheel_previous;
  std::uint32_t rule;                     ///< RuleId value
  std::uint32_t tenant_slot;
  std::uint16_t first_length;             ///< IP total length of the first packet
  std::uint16_t icmp;                     ///< type << 8 | code of the first packet
  std::uint32_t out_port;                 ///< PortId value, for the log

  [[nodiscard]] Direction direction(bool from_high) const {
    return from_high == ((flags & kSessionForwardFromHigh) != 0) ? Direction::kForward : Direction::kReverse;
  }
  /// Packets and L3 bytes of one direction.
  [[nodiscard]] std::uint64_t packets(std::size_t way) const { return std::uint64_t{packets_high[way]} << 32 | packets_low[way]; }
  [[nodiscard]] std::uint64_t bytes(std::size_t way) const { return std::uint64_t{bytes_high[way]} << 32 | bytes_low[way]; }
  /// Adds to them. Line 1 is touched once in four thousand million.
  void count(std::size_t way, std::uint32_t more_packets, std::uint32_t more_bytes) {
    packets_low[way] += more_packets;
    if (packets_low[way] < more_packets) [[unlikely]] ++packets_high[way];
    bytes_low[way] += more_bytes;
    if (bytes_low[way] < more_bytes) [[unlikely]] ++bytes_high[way];
  }
};
static_assert(sizeof(Session) == 192 && std::is_trivially_copyable_v<Session>);
static_assert(offsetof(Session, tcp) == 64 && offsetof(Session, ends) == 128);

/// What a session of kSessionProxied needs besides: in an array of its own beside the sessions, cold for all others.
struct ProxiedSession {
  filters::TcpSplice splice;
  std::uint32_t cookie;            ///< initial sequence the client was told
  std::uint32_t initial_sequence;  ///< the client's
  std::uint16_t client_window;     ///< as on the wire
  std::uint16_t mss;               ///< what the client can take, bytes
  std::uint8_t window_scale;       ///< the client's; filters::kNoWindowScale
  std::uint8_t sack;
  std::uint8_t open;               ///< 0: the server has not answered yet
  std::uint8_t tries;              ///< SYNs sent to the server
};
static_assert(sizeof(ProxiedSession) == 24);
/// What only first packets, judges and listings ask of a session: in an array of its own too.
struct SessionExtra {
  std::uint32_t nat_in;            ///< RuleId value of the NAT rule that decided its destination; 0 = none
  std::uint32_t nat_out;           ///< the same for its source
  std::uint32_t timeout;           ///< kSessionTimed: seconds, established or answered; 0 = as others
  std::uint32_t first_timeout;     ///< until it is answered
};
/// A long session of a rule that logs its end says every ten minutes that it lives (specification of the log).
inline constexpr std::uint32_t kReportSeconds = 600;

/// Coarse time of sessions: 250 ms.
inline constexpr std::uint32_t kTicksPerSecond = 4;

}  // namespace sekisho::dataplane
