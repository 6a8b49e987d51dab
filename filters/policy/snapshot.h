// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/net/address.h"

/// The compiled configuration: one flat, relocatable, immutable block of bytes that controld writes and dataplaned reads.
///
/// Layout: Header, then one array per Section, each 8-byte aligned. Objects refer to each other by index into a section,
/// and to runs of objects by Range. Numbers are host order (x86-64 on both sides of one box). Deterministic: the same
/// model gives the same bytes but for `generation`. SnapshotView bounds-checks everything once; readers then index freely.
namespace sekisho::filters::snapshot {

inline constexpr std::array<char, 8> kMagic{'S', 'K', 'S', 'N', 'A', 'P', '0', '1'};
inline constexpr std::uint32_t kNone = 0xffffffffU;

enum class Section : std::uint32_t {
  kStrings = 0,      ///< bytes (UTF-8, not terminated)
  kNics,             ///< Nic
  kTenants,          ///< Tenant, sorted by id
  kZones,            ///< Zone, grouped by tenant; at most 64 a tenant; a Range index inside the tenant is the zone's bit
  kPorts,            ///< Port, sorted by id
  kPortAddresses,    ///< Prefix of the gateway's own addresses, grouped by port (host bits set)
  kBindings,         ///< Binding, sorted by id
  kBindingPairs,     ///< BindingPair, grouped by binding
  kLinkLocals,       ///< Address, grouped by binding (LlaPolicy::kList)
  kRoutes,           ///< Route, grouped by tenant
  kOwnedPrefixes,    ///< OwnedPrefix: who owns what on shared uplinks
  kPolicies,         ///< Policy, grouped by tenant in order
  kRules,            ///< Rule, grouped by tenant in evaluation order (policies concatenated, defaults included)
  kAddressRanges,    ///< AddressRange: sorted, disjoint, IPv4 before IPv6 in each run
  kServices,         ///< Service entries
  kStateLimits,      ///< StateLimits, by tenant: at most one each, in order
  kRuleLimits,       ///< RuleLimits, by rule: at most one each, in order
  kNatRules,         ///< NatRule, grouped by tenant in evaluation order
  kMoments,          ///< Moment: at most one; none when no rule depends on time
  kServiceTimeouts,  ///< ServiceTimeouts, by service: at most one each, in order
  kGateways,         ///< Gateway, sorted by (port, address)
  kUsers,            ///< User, sorted by (tenant, id)
  kRadiusPeers,      ///< RadiusPeer, sorted by (tenant, local, remote)
  kCount,
};
inline constexpr std::size_t kSectionCount = static_cast<std::size_t>(Section::kCount);

struct SectionEntry {
  std::uint64_t offset;        ///< bytes from the start of the block; multiple of 8
  std::uint32_t count;         ///< elements
  std::uint32_t element_size;  ///< bytes; must equal sizeof of this build
};

struct Header {
  std::array<char, 8> magic;
  std::uint32_t version;      ///< kVersion
  std::uint32_t generation;   ///< the revision number; 1..; strictly rising
  std::uint64_t size;         ///< bytes of the whole block
  std::array<std::uint8_t, 32> sha256;  ///< over the whole block with this field zero
  std::array<SectionEntry, kSectionCount> sections;
};
inline constexpr std::uint32_t kVersion = 1;

/// A run of `count` elements from index `first` of the section named beside the field.
struct Range {
  std::uint32_t first;
  std::uint32_t count;
};
/// A run of bytes in kStrings.
using StringRef = Range;

/// A NIC known to DPDK by name (EAL device or port name).
struct Nic {
  StringRef name;
  StringRef device;
  std::uint32_t mtu;  ///< bytes of L3
  std::uint32_t reserved;
};

/// What one tenant may use of the unit, all workers together; 0 = no limit.
struct Quotas {
  std::uint32_t new_sessions_per_second;
  std::uint32_t sessions_guaranteed;  ///< at most Tenant::sessions_max
  std::uint32_t log_per_second;       ///< comm records
  std::uint32_t log_burst;
  std::uint32_t bandwidth_mbit;       ///< a second
  std::uint32_t fragments_guaranteed; ///< pieces that wait; at most fragments_max, unless that is 0
  std::uint32_t fragments_max;        ///< 0 = a quarter of what the unit holds
  std::uint32_t rules;                ///< the tenant has, as its administrator counts them
  std::uint32_t rules_max;
};

struct Tenant {
  std::uint32_t id;       ///< TenantId
  std::uint32_t sessions_max;
  StringRef service_code;
  StringRef name;
  Range zones;            ///< kZones
  Range routes;           ///< kRoutes
  Range policies;         ///< kPolicies
  Range rules;            ///< kRules
  Quotas quotas;
  Range nat;              ///< kNatRules
};

struct Zone {
  StringRef name;
};

enum class PortKind : std::uint8_t {
  kSegment = 0,  ///< servers and clients of one tenant: Bindings are enforced, unbound passes nothing
  kRouted = 1,   ///< a tenant's own uplink or router attachment: no Bindings, neighbours are resolved
  kUplink = 2,   ///< platform-owned attachment shared by tenants: tenant = owner of the destination address
  kShare = 3,    ///< a tenant's share of an uplink: its Port there; has zone and owned prefixes, no wire of its own
  kTunnel = 4,   ///< where a tenant's remote users come in and leave: has a zone and no wire; Routes lead their addresses to it
};

/// By what a frame of a kSegment Port finds its Binding (specification 3.5).
enum class Enforcement : std::uint8_t {
  kPort = 0,     ///< one Binding a Port: whatever comes in is judged by it
  kSegment = 1,  ///< many hosts behind one Port: the source MAC names the Binding
  kIsolate = 2,  ///< likewise, and they reach one another through the gateway alone, which answers for them (ARP, ND)
};

/// What a Port asks of the addresses of first packets, beyond what is refused everywhere. None of the first two: the
/// reverse path must be feasible (RFC 3704).
enum SourceCheck : std::uint8_t {
  kReversePathStrict = 1,  ///< the best route to the source leads back out of this Port
  kReversePathOff = 2,
  kRefuseBogons = 4,       ///< no source behind the default route from the fixed list, no destination there either
};

struct Port {
  std::uint32_t id;             ///< PortId
  std::uint32_t tenant;         ///< index in kTenants; kNone for kUplink
  std::uint32_t nic;            ///< index in kNics; kNone for kTunnel, which has no tags, addresses or Binding either
  std::uint32_t uplink;         ///< kShare: index in kPorts of its kUplink; else kNone
  std::uint32_t binding;        ///< Enforcement::kPort: index in kBindings, kNone = unbound (passes nothing on kSegment)
  std::uint32_t mtu;            ///< bytes of L3
  StringRef name;
  Range addresses;              ///< kPortAddresses; for kShare empty (the uplink's addresses answer)
  std::uint16_t outer_vlan;     ///< 0 = untagged
  std::uint16_t inner_vlan;     ///< 0 = no second tag
  PortKind kind;
  std::uint8_t zone;            ///< index inside the tenant's zones; 0 for kUplink
  std::uint8_t outer_is_svlan;  ///< 1: the outer tag is 802.1ad (88a8), else 8100
  Enforcement enforcement;      ///< kSegment ports; else kPort. Not kPort: every Binding that names the Port is its own
  std::uint8_t source_checks;   ///< SourceCheck bits of kRouted and kShare; else 0
  std::array<std::uint8_t, 3> reserved;
};

enum class LlaPolicy : std::uint8_t { kEui64 = 0, kList = 1, kPin = 2 };

enum BindingRole : std::uint8_t { kRoleRouter = 1, kRoleDhcp = 2, kRoleQuerier = 4, kRoleForwarding = 8 };

/// Token buckets in packets per second and packets, in the order of MeterClass.
enum class MeterClass : std::uint8_t { kArp = 0, kNd, kDhcp, kIgmp, kBroadcast, kMulticast, kOther, kCount };
struct Meter {
  std::uint32_t rate;
  std::uint32_t burst;
};

struct Binding {
  std::uint32_t id;        ///< BindingId
  std::uint32_t port;      ///< index in kPorts
  StringRef name;
  Range pairs;             ///< kBindingPairs; empty passes nothing
  Range routed;            ///< kBindingPairs with MAC zero: extra sources of the forwarding role
  Range link_locals;       ///< kLinkLocals
  std::array<Meter, static_cast<std::size_t>(MeterClass::kCount)> meters;
  std::array<std::uint16_t, 8> ethertypes;  ///< extra allowed, host order, 0 = unused
  std::array<std::uint8_t, 8> vrids;        ///< VRRP groups, 0 = unused
  LlaPolicy lla_policy;
  std::uint8_t lla_pins;   ///< 1..8
  std::uint8_t roles;      ///< BindingRole bits
  std::uint8_t active;     ///< 0 = suspended: passes nothing
  std::uint8_t quarantine; ///< 1: a hundred violations in a minute stop everything for a while
  std::array<std::uint8_t, 3> reserved;
};

struct BindingPair {
  Mac mac;
  Prefix prefix;
};
static_assert(sizeof(BindingPair) == 24);

struct Route {
  Prefix prefix;           ///< host bits clear
  std::uint8_t has_next_hop;  ///< 0: connected, the destination itself is the neighbour
  std::uint8_t reserved;
  std::uint32_t port;      ///< index in kPorts
  Address next_hop;
  std::array<std::uint8_t, 3> reserved2;
};
static_assert(sizeof(Route) == 44);

struct OwnedPrefix {
  Prefix prefix;
  std::array<std::uint8_t, 2> reserved;
  std::uint32_t uplink;    ///< index in kPorts (kUplink)
  std::uint32_t share;     ///< index in kPorts (kShare): gives the tenant
};

enum class Action : std::uint8_t { kAllow = 1, kDrop = 2, kReject = 3 };

enum LogSetting : std::uint8_t { kLogNone = 0, kLogStart = 1, kLogEnd = 2, kLogDropEach = 4, kLogDropFolded = 8 };

struct Policy {
  StringRef name;
  std::uint32_t tenant;    ///< index in kTenants
  std::uint32_t reserved;
};

/// Whether a rule is asked at the moment a snapshot was compiled for.
enum class Standing : std::uint8_t {
  kStands = 0,
  kDormant = 1,   ///< outside its schedule: takes nothing new, and its sessions live as if it stood
  kOff = 2,       ///< outside its strict schedule: its sessions end
  kExpired = 3,   ///< past its valid_until: its sessions end
};

/// One rule, fully resolved. Matches when: source zone bit set, destination zone bit set, source in one of `sources`
/// (or sources empty = any), destination likewise, one of `services` matches (or empty = any), and the packet is of a
/// remote user in one of `user_groups` (or that is 0 = anyone's, and nobody's).
/// Negation is compiled away: `sources`/`destinations` hold the complement. A rule that can match nothing is not emitted.
struct Rule {
  std::uint32_t id;           ///< RuleId: names the hit counter
  std::uint32_t policy;       ///< index in kPolicies; kNone only for the tenant's final default
  std::array<std::uint8_t, 16> uuid;
  StringRef name;
  std::uint64_t source_zones;       ///< bit per zone
  std::uint64_t destination_zones;
  std::uint64_t user_groups;  ///< bit per group inside the tenant; 0: whoever it is
  Range sources;              ///< kAddressRanges
  Range destinations;         ///< kAddressRanges
  Range services;             ///< kServices
  std::uint16_t number;       ///< 1..n inside the policy; 0 = pinned default
  Action action;
  std::uint8_t log;           ///< LogSetting bits
  std::uint8_t is_default;    ///< 1: pinned default deny
  std::uint8_t any_source;    ///< 1: `sources` is empty because anything matches
  std::uint8_t any_destination;
  std::uint8_t any_service;
  std::uint8_t keep_on_change; ///< 1: its sessions live until they close, whatever later rules say
  Standing standing;          ///< what stands is asked; the others wait in their places, with their counters
  std::uint8_t timed;          ///< 1: it stands only at times (schedule, valid_until)
  std::uint8_t guard;          ///< 1: the platform's, before the tenant's own
  std::uint8_t ending;         ///< 1: it expires within days, and its tenant is told
  std::array<std::uint8_t, 3> reserved;
};

/// The last moment at or before its compilation at which the rules changed by themselves. A snapshot of the same generation
/// with another moment is the same revision at another time.
struct Moment {
  std::int64_t unix_s;
};

struct AddressRange {
  Address low;
  Address high;                ///< inclusive, same family
  std::array<std::uint8_t, 2> reserved;
};
static_assert(sizeof(AddressRange) == 36);

struct Service {
  StringRef name;              ///< the service object this entry came from
  std::uint16_t source_low, source_high;            ///< host order, inclusive; 0..65535 = any
  std::uint16_t destination_low, destination_high;  ///< for ICMP: 0..65535
  std::uint8_t protocol;       ///< IANA
  std::uint8_t any_protocol;   ///< 1: protocol ignored
  std::uint8_t icmp_type_low, icmp_type_high;       ///< ICMP and ICMPv6 only; 0..255 = any
  std::uint8_t icmp_code_low, icmp_code_high;
  std::uint16_t object;        ///< number of the service object in its tenant's list, from 1: logs name it; 0 = none
};
static_assert(sizeof(Service) == 24);

/// An address remote users connect to: what IKE and ESP come to there is the gateway's own.
/// Gateway::serves: TCP 443; TCP 1723 and GRE, of IPv4.
inline constexpr std::uint32_t kServesSstp = 1, kServesPptp = 2;
struct Gateway {
  Address address;
  std::array<std::uint8_t, 3> reserved;
  std::uint32_t tenant;        ///< index in kTenants
  std::uint32_t port;          ///< index in kPorts: the tenant's segment or routed Port whose own address it is, or share that owns it
  std::uint32_t tunnel_port;   ///< index in kPorts: the tenant's kTunnel its users come in by
  std::uint32_t service;       ///< ServiceId: by which it is known in the service network; 0: it serves nothing there
  std::uint32_t serves;        ///< kServes*: what ends there
};
static_assert(sizeof(Gateway) == 40);

/// A remote user, as rules know it. Suspended users are in no group. Number 0, once a tenant at most: all whom it does not name.
struct User {
  std::uint32_t id;            ///< UserId: unique in the unit, and the same in every snapshot
  std::uint32_t tenant;        ///< index in kTenants
  std::uint64_t groups;        ///< bit per group inside the tenant
};

/// A RADIUS server of a tenant's: its answers, and where it may change sessions its requests too, are the keying daemon's.
struct RadiusPeer {
  Address local;               ///< an address of one of the tenant's own Ports
  Address remote;              ///< same family
  std::uint16_t port;          ///< host order, here and below: where it takes access requests
  std::uint16_t accounting_port;
  std::uint8_t changes;        ///< 1: it may send requests to kRadiusChangePort
  std::uint8_t reserved;
  std::uint32_t tenant;        ///< index in kTenants
};
static_assert(sizeof(RadiusPeer) == 44);
inline constexpr std::uint16_t kRadiusChangePort = 3799;     ///< RFC 5176
inline constexpr std::uint16_t kRadiusOwnPortFirst = 49152;  ///< requests are sent from ports from here on

/// For how long sessions that a rule takes by this service may be silent; 0 = as others. Where services of one rule overlap,
/// the first one says.
struct ServiceTimeouts {
  std::uint32_t service;  ///< index in kServices
  std::uint32_t seconds;  ///< established, or answered; at most kTimeoutMax
  std::uint32_t first;    ///< until the other side has answered; at most kTimeoutMax
};
inline constexpr std::uint32_t kTimeoutMax = 604'800;  ///< a week, in seconds

/// What is done with SYNs beyond a half-open limit.
enum class SynProtection : std::uint8_t { kCookies = 0, kDrop = 1 };

/// Limits of a tenant's connections that are not yet established. A tenant without has none.
struct StateLimits {
  std::uint32_t tenant;         ///< index in kTenants
  std::uint32_t half_open_max;  ///< TCP connections not yet established; 0 = no limit
  std::uint32_t loose_pickup;   ///< seconds after the start of the data plane in which an ACK may open a session; 0 = never
  SynProtection syn_protection;
  std::array<std::uint8_t, 3> reserved;
};

/// Limits of the sessions a rule admits; 0 = no limit.
struct RuleLimits {
  std::uint32_t rule;           ///< index in kRules
  std::uint32_t half_open_max;  ///< TCP connections not yet established
  std::uint32_t sessions_max;
  std::uint32_t sessions_per_second;
  std::uint32_t source_sessions_max;         ///< of one source address
  std::uint32_t source_sessions_per_second;
};
enum class NatKind : std::uint8_t {
  kSnat = 0,  ///< source address out of a pool, ports as they are
  kDnat,      ///< destination address and, if `translated_port`, port
  kStatic,    ///< 1:1, both ways: the only range of `sources` against the only one of `translated`, of equal size
  kNapt,      ///< source address and port out of deterministic blocks
  kNptv6,     ///< as kStatic for IPv6 prefixes, checksum-neutral (RFC 6296)
  kNoNat,     ///< exempts what it takes
};

/// One NAT rule, fully resolved; matches like a Rule. What filters/nat/nat_rules.h makes of it is its meaning.
struct NatRule {
  StringRef name;
  std::uint64_t source_zones;       ///< bit per zone
  std::uint64_t destination_zones;
  Range sources;                    ///< kAddressRanges
  Range destinations;               ///< kAddressRanges
  Range services;                   ///< kServices
  Range translated;                 ///< kAddressRanges: pool, outside range, or the inside host of kDnat; empty for kNoNat
  std::uint16_t block_ports;        ///< kNapt: ports an inside address has; even, 2..64512; else 0
  std::uint16_t translated_port;    ///< kDnat: host order, 0 = as it is; else 0
  std::uint8_t prefix_length;       ///< kNptv6: 0..112; else 0
  NatKind kind;
  std::uint8_t any_source, any_destination, any_service;  ///< as in Rule
  std::uint8_t log;                 ///< kLogStart, kLogEnd: of the sessions it translates, whatever their rule says
  std::uint16_t number;             ///< 1..n in the tenant
  std::uint32_t id;                 ///< RuleId of its own: names the hit counter
  std::array<std::uint8_t, 16> uuid;
};
static_assert(sizeof(NatRule) == 88);

}  // namespace sekisho::filters::snapshot
