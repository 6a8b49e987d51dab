// SPDX-License-Identifier: Apache-2.0
// Overview. Packets come here once a flow, once a generation, or never again: what is decided is kept in the session.
// 1. prepare: our own addresses, errors, routes; makes the key for the classifier. 2. classify, all at once.
// 3. act: refuse, or make the session and let the packet on. Two first packets of one flow in a burst: the second finds
// the session the first one made. Limits. Sessions per tenant and per shard; both named.
#include <algorithm>

#include "dataplane/path/local.h"
#include "dataplane/path/lookup.h"
#include "dataplane/path/nat_admit.h"
#include "dataplane/path/path.h"
#include "dataplane/path/record.h"
#include "dataplane/path/syn_proxy.h"
#include "dataplane/path/track.h"
#include "dataplane/path/translate.h"
#include "dataplane/path/tunnels.h"
#include "dataplane/path/ways.h"
#include "filters/link/binding_guard.h"
#include "filters/packet/address_class.h"
#include "filters/packet/fields.h"
#include "filters/packet/icmp_class.h"
#include "filters/state/datagram_tracker.h"
#include "filters/state/icmp_error.h"

namespace sekisho::dataplane::path {
namespace {

using filters::DropReason;

// A sweep of a busy shard takes kSweepNs at most, in steps kSweepPauseNs apart or closer.
constexpr std::uint64_t kSweepNs = 3'000'000'000;
constexpr std::uint64_t kSweepPauseNs = 100'000;
constexpr std::uint32_t kSweepLookedAt = 512;  // places of the session table in one step
constexpr std::uint32_t kSweepAhead = 8;       // places prefetched

ClassifyKey key_of(const Runtime& config, std::uint32_t tenant_index, std::uint32_t in_port, std::uint32_t out_port,
                   std::uint8_t protocol) {
  ClassifyKey key;
  key.protocol = protocol;
  key.source_zone = config.ports[in_port].zone;
  key.destination_zone = config.ports[out_port].zone;
  key.tenant_index = tenant_index;
  return key;
}

void set_ends(ClassifyKey& key, const Address& source, const Address& destination) {
  key.family = static_cast<std::uint8_t>(source.family);
  key.source = source.bytes;
  key.destination = destination.bytes;
}

void set_ports(ClassifyKey& key, std::uint16_t source, std::uint16_t destination) {
  key.source_port = Be16::from_host(source);
  key.destination_port = Be16::from_host(destination);
}

bool is_icmp(std::uint8_t protocol) {
  return protocol == filters::kProtocolIcmp || protocol == filters::kProtocolIcmpv6;
}

/// The groups of the remote user whose address `source` is; none of what came in by no tunnel Port.
std::uint64_t user_groups_of(const Shard& shard, const Runtime& config, std::uint32_t in_port, const Address& source) {
  const PortEntry& port = config.ports[in_port];
  if (port.kind != snapshot::PortKind::kTunnel) [[likely]] return 0;
  const auto lease = shard.shared.leases->find(port.tenant, source);
  return lease ? config.groups_of(port.tenant_index, lease->user) : 0;
}

/// A first packet with all that its verdict needs.
struct Applicant {
  rte_mbuf* packet;
  Ways ways;
  NatTarget target;  ///< where NAT sends it
};

// ---------------------------------------------------------------------------------------------- older generations

void note_judged(Shard& shard, std::uint32_t rule, std::uint32_t out_port) {
  if (shard.trace == nullptr) [[likely]] return;
  shard.trace->rule = rule;
  shard.trace->out_port = out_port;
}

void hit(Shard& shard, const RuleEntry& rule) {
  RuleCounters& counters = shard.rules[rule.slot];
  if (counters.connections.read() == 0) counters.first_hit_ns.set(shard.now_ns);
  counters.connections.add(1);
  counters.last_hit_ns.set(shard.now_ns);
}

/// `log`: snapshot::LogSetting bits.
std::uint8_t log_flags(std::uint8_t log) {
  std::uint8_t flags = 0;
  if ((log & snapshot::kLogEnd) != 0) flags |= kSessionLogEnd;
  if ((log & snapshot::kLogStart) != 0) flags |= kSessionLogStart;
  return flags;
}

std::uint16_t traits_of(const RuleEntry& rule) { return rule.keep_on_change != 0 ? kSessionKept : 0; }

/// A session of an older generation, with all that its new verdict needs.
struct Again {
  std::uint32_t session;
  std::uint32_t tenant_index;
  std::uint32_t in_port;
  Ways ways;
  NatRules nat{};
};

/// The to-port check of specification 3.5: a host of a segment gets what it is bound to, or has behind it in the role
/// forwarding. A configured route by a host that has not got its prefix there leads nowhere.
bool may_receive(const Shard& shard, const Runtime& config, const RouteTarget& way, const Address& destination) {
  if (way.kind != RouteKind::kStatic) return true;
  const BindingEntry& binding = config.bindings[config.neighbour_at(way).binding];
  return filters::to_port(binding.rules, shard.shared.pins[binding.slot], destination) == DropReason::kNone;
}

/// Everything about a session's new verdict but the policy. False: its tenant, port or ways are gone, and so must it be.
bool prepare_again(Shard& shard, const Runtime& config, std::uint32_t index, Again& again, ClassifyKey& key) {
  const Session& session = shard.sessions.at(index);
  again = {.session = index, .tenant_index = config.find_tenant(tenant_of(session.key)), .in_port = kNoIndex, .ways = {}};
  if (again.tenant_index == kNoIndex) return false;
  const SessionEnds ends = judged_ends(shard, index);
  const TenantEntry& tenant = config.tenants[again.tenant_index];
  again.ways = ways_of(tenant, ends.source, ends.destination);
  if (!is_forwardable(again.ways.out) || !is_forwardable(again.ways.back)) return false;
  if (!may_receive(shard, config, *again.ways.out, ends.destination)) return false;
  // A bound host is where its Binding is: one that moved to another segment takes its sessions along.
  again.in_port = config.find_port(session.in_port);
  const bool elsewhere = again.in_port != kNoIndex && config.ports[again.in_port].kind != snapshot::PortKind::kSegment;
  if (again.ways.back->kind == RouteKind::kStatic && !elsewhere) again.in_port = config.neighbour_at(*again.ways.back).port;
  if (again.in_port == kNoIndex || config.ports[again.in_port].tenant != tenant.id) return false;
  if (check_ways(config, again.in_port, again.ways, ends.source, ends.destination) != DropReason::kNone) return false;

  const bool nat = (session.flags & kSessionTranslated) != 0 || config.ports[again.in_port].nat != 0;
  if (nat && !nat_unchanged(shard, config, index, again.in_port, again.ways.out->port, again.nat)) return false;
  if (nat && !note_flow(shard, index)) return false;

  key = key_of(config, again.tenant_index, again.in_port, again.ways.out->port, session.protocol);
  key.user_groups = user_groups_of(shard, config, again.in_port, ends.source);
  set_ends(key, ends.source, ends.destination);
  if (is_icmp(session.protocol)) {
    set_ports(key, session.icmp >> 8, session.icmp & 0xffU);
  } else {
    set_ports(key, ends.source_port, ends.destination_port);
  }
  return true;
}

/// A session that lives on counts for the limits of the rule it is under now, even beyond them. nullptr: of none.
void count_anew(Shard& shard, std::uint32_t index, const RuleEntry* rule, std::uint32_t old_slot) {
  Session& session = shard.sessions.at(index);
  if ((session.flags & kSessionCounted) != 0) shard.shared.limits.release(old_slot, shard.source_places[index]);
  session.flags = static_cast<std::uint8_t>(session.flags & ~kSessionCounted);
  if (rule == nullptr || !rule->counts()) return;
  const DropReason reason = shard.shared.limits.take(rule->limits, rule->slot, session.tenant_slot, ends_of(session).source,
                                                     SessionLimits::Enforce::kNo, shard.steady_ns, shard.source_places[index]);
  SEKISHO_DCHECK(reason == DropReason::kNone);
  static_cast<void>(reason);
  session.flags |= kSessionCounted;
}

/// The timeouts of the service by which a rule takes a session; nullptr: it has none.
const snapshot::ServiceTimeouts* timeouts_of(const Runtime& config, std::uint32_t rule, const ClassifyKey& key) {
  if (config.rules[rule].timed_services == 0) [[likely]] return nullptr;
  const std::uint32_t service = service_index(config, rule, key);
  const auto all = config.view.service_timeouts();
  const auto at = std::lower_bound(all.begin(), all.end(), service,
                                   [](const auto& entry, std::uint32_t wanted) { return entry.service < wanted; });
  return at != all.end() && at->service == service ? &*at : nullptr;
}

void note_timeouts(Shard& shard, const Runtime& config, std::uint32_t index, std::uint32_t rule, const ClassifyKey& key) {
  Session& session = shard.sessions.at(index);
  const snapshot::ServiceTimeouts* timeouts = timeouts_of(config, rule, key);
  session.traits = static_cast<std::uint16_t>(timeouts == nullptr ? session.traits & ~kSessionTimed : session.traits | kSessionTimed);
  if (timeouts == nullptr) return;
  shard.extras[index].timeout = timeouts->seconds;
  shard.extras[index].first_timeout = timeouts->first;
}

/// A session's timeouts under a new generation.
void change_timeouts(Shard& shard, const Runtime& config, std::uint32_t index, std::uint32_t rule, const ClassifyKey& key) {
  const bool timed = (shard.sessions.at(index).traits & kSessionTimed) != 0;
  if (!timed && config.rules[rule].timed_services == 0) return;
  note_timeouts(shard, config, index, rule, key);
  const bool waits = (shard.sessions.at(index).flags & kSessionProxied) != 0 && shard.proxies[index].open == 0;
  if (!waits) set_timeout(shard, index);
}

/// Puts a session under another rule; what it carried so far stays with the old one. kNoIndex: it goes on under a rule
/// that is gone, and counts for nobody.
void change_rule(Shard& shard, const Runtime& config, std::uint32_t index, std::uint32_t rule) {
  Session& session = shard.sessions.at(index);
  const std::uint32_t slot = rule == kNoIndex ? shard.no_rule() : config.rules[rule].slot;
  count_anew(shard, index, rule == kNoIndex ? nullptr : &config.rules[rule], session.rule_slot);
  const bool half_open = session.protocol == filters::kProtocolTcp && filters::tcp_half_open(session.tcp.state);
  if (half_open) shard.count_half_open(session, -1);  // and again below, for the new rule
  if (session.rule_slot != slot) {
    const std::uint32_t old = config.find_rule(session.rule);
    shard.account(index, old != kNoIndex && config.rules[old].slot == session.rule_slot);
    session.rule_slot = slot;
  }
  if (rule != kNoIndex) session.rule = config.rules[rule].id;
  if (half_open) shard.count_half_open(session, 1);
}

/// Whether a session's rule is only outside its schedule, and would take it if it stood: nothing above does.
bool sleeps(const Shard& shard, const Runtime& config, const Again& again, std::uint32_t verdict) {
  const Session& session = shard.sessions.at(again.session);
  const std::uint32_t own = config.find_rule(session.rule);
  if (own == kNoIndex || own > verdict || config.rules[own].standing != snapshot::Standing::kDormant) return false;
  const SessionEnds ends = judged_ends(shard, again.session);
  const filters::PolicyQuery query{.tenant_index = again.tenant_index,
                                   .source_zone = config.ports[again.in_port].zone,
                                   .destination_zone = config.ports[again.ways.out->port].zone,
                                   .source = ends.source,
                                   .destination = ends.destination,
                                   .protocol = session.protocol,
                                   .source_port = ends.source_port,
                                   .destination_port = ends.destination_port,
                                   .icmp_type = static_cast<std::uint8_t>(session.icmp >> 8),
                                   .icmp_code = static_cast<std::uint8_t>(session.icmp & 0xffU),
                                   .user_groups = user_groups_of(shard, config, again.in_port, ends.source)};
  return filters::rule_matches(config.view, config.view.rules()[own], query);
}

/// Applies the verdict of this generation, the rule of index `verdict`, to a session of an older one. True: it lives on,
/// with this generation's ports, neighbours and rule. False: it no longer may; the caller ends it.
bool adopt(Shard& shard, const Runtime& config, const Again& again, std::uint32_t verdict, const ClassifyKey& key) {
  Session& session = shard.sessions.at(again.session);
  const TenantEntry& tenant = config.tenants[again.tenant_index];
  const RuleEntry& rule = config.rules[verdict];
  const bool allowed = rule.action == snapshot::Action::kAllow;
  if (!allowed && (session.traits & kSessionKept) == 0 && !sleeps(shard, config, again, verdict)) return false;

  if (session.tenant_slot != tenant.slot) {  // the tenant was away for some generations and has another place now
    const bool half_open = session.protocol == filters::kProtocolTcp && filters::tcp_half_open(session.tcp.state);
    if (half_open) shard.count_half_open(session, -1);
    shard.uncount_session(session.tenant_slot);
    shard.count_session(tenant.slot);
    session.tenant_slot = tenant.slot;
    if (half_open) shard.count_half_open(session, 1);
  }
  const SessionEnds ends = judged_ends(shard, again.session);
  const Hop out = hop_of(shard, config, *again.ways.out, ends.destination);
  const Hop back = hop_of(shard, config, *again.ways.back, ends.source);
  session.generation = config.generation;
  session.port = {back.port, out.port};
  session.next_hop = {out.next_hop, back.next_hop};
  session.in_port = config.ports[again.in_port].id;
  session.out_port = config.ports[out.port].id;
  change_rule(shard, config, again.session, allowed ? verdict : config.find_rule(session.rule));
  // Numbers of services are their generation's.
  shard.session_services[again.session] = allowed ? service_object(config, verdict, key) : std::uint16_t{0};
  shard.extras[again.session].nat_in = again.nat.in;
  shard.extras[again.session].nat_out = again.nat.out;
  if (allowed) {
    const std::uint8_t flags = log_flags(rule.log) | log_flags(again.nat.log);
    session.flags = static_cast<std::uint8_t>((session.flags & ~(kSessionLogEnd | kSessionLogStart)) | flags);
    session.traits = static_cast<std::uint16_t>((session.traits & ~kSessionKept) | traits_of(rule));
    change_timeouts(shard, config, again.session, verdict, key);
  }
  return true;
}

/// Ends a session that this generation no longer allows.
void end_by_policy(Shard& shard, const Runtime& config, std::uint32_t index) {
  const std::uint32_t rule = config.find_rule(shard.sessions.at(index).rule);
  change_rule(shard, config, index, rule);  // a removed rule's place is not its own any more
  const bool by_clock = rule != kNoIndex && config.rules[rule].standing == snapshot::Standing::kOff;
  shard.end_session(index, by_clock ? EndReason::kSchedule : EndReason::kPolicy);
}

}  // namespace

SessionEnds judged_ends(const Shard& shard, std::uint32_t index) {
  SessionEnds ends = ends_of(shard.sessions.at(index));
  if ((shard.sessions.at(index).flags & kSessionTranslated) == 0) return ends;
  const SessionEnds sent = sent_ends(shard, index, Direction::kForward);
  ends.destination = sent.destination;
  ends.destination_port = sent.destination_port;
  return ends;
}

bool is_forwardable(const RouteTarget* way) noexcept {
  return way != nullptr && (way->kind == RouteKind::kStatic || way->kind == RouteKind::kResolve || way->kind == RouteKind::kResolveVia ||
                            way->kind == RouteKind::kTunnel);
}

Hop hop_of(Shard& shard, const Runtime& config, const RouteTarget& way, const Address& destination) noexcept {
  if (way.kind == RouteKind::kTunnel) return {way.port, way.static_hop};
  if (way.kind == RouteKind::kStatic) return {config.neighbour_at(way).port, way.static_hop};
  const Address& neighbour = way.kind == RouteKind::kResolveVia ? way.next_hop : destination;
  const PortEntry& wire = config.ports[config.ports[way.port].wire];
  const NeighbourTable::Handle handle = shard.shared.neighbours.find_or_make(wire.id, neighbour, shard.now_tick);
  return {way.port, handle == NeighbourTable::kNone ? kNoIndex : kDynamicHop | handle};
}

bool judge_again(Shard& shard, const Runtime& config, std::uint32_t index) noexcept {
  Again again;
  ClassifyKey key;
  if (!prepare_again(shard, config, index, again, key)) return false;
  std::uint32_t rule = 0;
  config.classifier->classify({&key, 1}, {&rule, 1});
  note_judged(shard, rule, again.ways.out->port);
  return adopt(shard, config, again, rule, key);
}

namespace {

/// Finds a packet's session and the way it travels in it (meta.session, meta.reverse).
bool locate(Shard& shard, rte_mbuf* packet) {
  PacketMeta& meta = meta_of(packet);
  const FlowLookup lookup = lookup_of(packet, shard.sessions.seed());
  const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
  const SessionTable::Hit hit = shard.sessions.locate(lookup, ipv6 ? ends_of(packet, lookup.from_high) : std::array<Words6, 2>{});
  meta.session = hit.index;
  if (hit.index == kNoIndex) return false;
  meta.reverse = static_cast<std::uint8_t>(shard.sessions.direction(hit, lookup.from_high));
  return true;
}

/// A packet whose session was judged under another generation. True: it goes on.
bool readmit(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  PacketMeta& meta = meta_of(packet);
  if (shard.trace != nullptr) [[unlikely]] shard.trace->judged_again = true;
  if (!judge_again(shard, config, meta.session)) {
    end_by_policy(shard, config, meta.session);
    refuse(shard, config, packet, DropReason::kPolicyChanged);
    return false;
  }
  return locate(shard, packet);
}

// ------------------------------------------------------------------------------------------------------ ICMP errors

/// The default drops of addresses (docs/default-drops.md); looks the ways up for what comes after.
DropReason check_ends(const Runtime& config, rte_mbuf* packet, Ways& ways) {
  const PacketMeta& meta = meta_of(packet);
  const Address source = filters::ip_source(frame_of(packet), meta);
  const Address destination = filters::ip_destination(frame_of(packet), meta);
  const DropReason reason = filters::check_addresses(source, destination);
  if (reason != DropReason::kNone) return reason;
  ways = ways_of(config.tenants[config.ports[meta.ingress].tenant_index], source, destination);
  return check_ways(config, meta.ingress, ways, source, destination);
}

/// Lets an ICMP error about a live session through to whoever sent the quoted packet. Ends the packet itself otherwise.
bool relate(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  PacketMeta& meta = meta_of(packet);
  filters::QuotedPacket quoted{};
  Ways ways;
  DropReason reason = check_ends(config, packet, ways);
  if (reason == DropReason::kNone) reason = filters::parse_icmp_error(frame_of(packet), meta, quoted);
  if (reason == DropReason::kNone && tunnel::note_too_big(shard, config, packet, quoted)) return false;
  if (reason == DropReason::kNone) {
    const auto [lookup, ends] = quoted_flow(quoted, meta.tenant, shard.sessions.seed());
    const SessionTable::Hit found = shard.sessions.locate(lookup, ends);
    const std::uint32_t index = found.index;
    const bool known = index != kNoIndex &&
                       (shard.sessions.at(index).generation == config.generation ||
                        judge_again(shard, config, index));
    reason = DropReason::kIcmpUnrelated;
    if (known) {
      const Session& session = shard.sessions.at(index);
      // Quoted by its other key, a packet is one that we translated and sent on.
      const Direction quoted_way = found.other ? Direction::kForward : session.direction(lookup.from_high);
      const bool proxied = (session.flags & kSessionProxied) != 0 && quoted_way == Direction::kReverse;
      const std::uint32_t told = proxied ? syn_proxy::server_sequence(shard, index, quoted.tcp_sequence) : quoted.tcp_sequence;
      const bool fits = quoted.protocol != filters::kProtocolTcp ||
                        filters::tcp_quoted_in_window(session.tcp, quoted_way, told);
      const bool translated = (session.flags & kSessionTranslated) != 0;
      if (fits && (!translated || translate_error(shard, packet, quoted, index, filters::opposite(quoted_way)))) {
        if (shard.trace != nullptr) [[unlikely]] shard.trace->related = true;
        meta.reverse = static_cast<std::uint8_t>(filters::opposite(quoted_way));
        if (told != quoted.tcp_sequence) filters::splice_quote(frame_of(packet), meta, quoted.transport_at, told);
        meta.egress = session.port[meta.reverse ^ 1U];
        meta.next_hop = session.next_hop[meta.reverse];
        return true;
      }
    }
  }
  refuse(shard, config, packet, reason);
  return false;
}

// -------------------------------------------------------------------------------------------------------- new flows

/// The default drops of what is inside a first packet that decode has no reason to look at.
DropReason check_contents(const PacketMeta& meta) {
  if (meta.ttl == 0) return DropReason::kTtlZero;
  const bool ports = meta.protocol == filters::kProtocolTcp || meta.protocol == filters::kProtocolUdp;
  return ports && (meta.source_port == 0 || meta.destination_port == 0) ? DropReason::kPortZero : DropReason::kNone;
}

/// The destination step of NAT: the ways of an applicant, and `destination`, become those of where it really goes.
DropReason aim(const Runtime& config, const PacketMeta& meta, const Address& source, Address& destination, Applicant& applicant) {
  const DropReason reason = nat_target(config, meta, source, destination, applicant.target);
  if (reason != DropReason::kNone || !applicant.target.translated) return reason;
  destination = applicant.target.address;
  applicant.ways = ways_of(config.tenants[config.ports[meta.ingress].tenant_index], source, destination);
  return check_ways(config, meta.ingress, applicant.ways, source, destination);
}

/// A packet to the port of a DHCP client (68, DHCPv6 546) on a segment that nobody there asked for: only a Binding of the
/// role dhcp sends such, whatever source port it claims.
bool is_foreign_dhcp(const Runtime& config, const PacketMeta& meta, const RouteTarget& out) {
  if (meta.protocol != filters::kProtocolUdp || (meta.destination_port != 68 && meta.destination_port != 546)) return false;
  if (config.ports[out.port].kind != snapshot::PortKind::kSegment) return false;
  const std::uint32_t bound = config.binding_of(meta);
  return bound == kNoIndex || !config.bindings[bound].rules.has_role(snapshot::kRoleDhcp);
}

/// Everything about a first packet but the policy. True: `applicant` and `key` are complete; false: the packet ended.
bool prepare(Shard& shard, const Runtime& config, rte_mbuf* packet, Applicant& applicant, ClassifyKey& key) {
  const PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const auto frame = frame_of(packet);
  const Address source = filters::ip_source(frame, meta);
  Address destination = filters::ip_destination(frame, meta);

  applicant = {packet, {}, {}};
  DropReason reason = check_contents(meta);
  if (reason == DropReason::kNone) reason = check_ends(config, packet, applicant.ways);
  if (reason == DropReason::kNone && port.nat != 0) [[unlikely]] reason = aim(config, meta, source, destination, applicant);
  // Link-local traffic never leaves its link; to or from our own link-local it may be an echo.
  const bool near = reason == DropReason::kSourceLinkLocal || reason == DropReason::kDestinationLinkLocal;
  if (near && local::is_own(config.ports[port.wire], destination)) reason = local::check_to_us(source, destination);
  const RouteTarget* out = applicant.ways.out;
  const bool local = near || (out != nullptr && out->kind == RouteKind::kLocal);
  if (local && reason == DropReason::kNone) {
    local::deliver(shard, config, packet);
    return false;
  }
  const bool icmp = is_icmp(meta.protocol);
  const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
  if (reason == DropReason::kNone && icmp && filters::is_link_only_icmp(ipv6, meta.icmp_type)) reason = DropReason::kIcmpLinkOnly;
  if (reason == DropReason::kNone && !is_forwardable(out)) {
    const bool foreign = out != nullptr && config.ports[out->port].kind == snapshot::PortKind::kSegment;  // bound to nobody
    const bool unmapped = out != nullptr && out->kind == RouteKind::kOutside;
    if (!foreign && !unmapped) local::send_icmp_error(shard, config, packet, filters::IcmpErrorKind::kNoRoute, 0);
    reason = unmapped ? DropReason::kNatUnmapped : foreign ? DropReason::kAeDestinationForeign : DropReason::kNoRoute;
  }
  if (reason == DropReason::kNone && !may_receive(shard, config, *out, destination)) reason = DropReason::kAeDestinationForeign;
  if (reason != DropReason::kNone) {
    refuse(shard, config, packet, reason);
    return false;
  }
  const TenantEntry& tenant = config.tenants[port.tenant_index];
  TenantQuota& quota = shard.shared.quotas[tenant.slot];
  if (!shard.shares[tenant.slot].new_sessions.has(quota.new_sessions, tenant.new_sessions, shard.steady_ns, &quota.new_sessions_most)) {
    refuse_excess(shard, config, packet, Excess::kSessionRate);  // before the policy is asked: the excess is to be cheap
    return false;
  }
  if (is_foreign_dhcp(config, meta, *out)) {
    refuse(shard, config, packet, DropReason::kAeDhcpServer);
    return false;
  }
  key = key_of(config, port.tenant_index, meta.ingress, out->port, meta.protocol);
  key.user_groups = user_groups_of(shard, config, meta.ingress, source);
  set_ends(key, source, destination);
  const std::uint16_t to = applicant.target.translated ? applicant.target.port : meta.destination_port;
  set_ports(key, icmp ? meta.icmp_type : meta.source_port, icmp ? meta.icmp_code : to);
  return true;
}

/// What tracking knows after the first packet, or why it may not be the first.
DropReason begin_tracking(const Shard& shard, const TenantEntry& tenant, rte_mbuf* packet, filters::TcpTrack& tcp) {
  const PacketMeta& meta = meta_of(packet);
  if (meta.protocol == filters::kProtocolTcp) {
    const filters::TcpSegment segment = filters::parse_tcp_segment(frame_of(packet), meta);
    DropReason reason = filters::tcp_first(tcp, segment);
    // Connections that were open before this data plane was: only for a while, where the tenant asked for it.
    const bool young = tenant.loose_pickup != 0 && shard.steady_ns < std::uint64_t{tenant.loose_pickup} * 1'000'000'000;
    if (reason != DropReason::kNone && young) [[unlikely]] reason = filters::tcp_pick_up(tcp, segment);
    return reason;
  }
  if (meta.protocol == filters::kProtocolSctp) {
    filters::SctpTrack track{};
    return filters::sctp_first(track, filters::parse_sctp(frame_of(packet), meta));
  }
  auto state = filters::DatagramState::kNew;
  return filters::datagram_first(state, meta);
}

/// A place for a first packet's session (meta.session), and its translation if it has one.
DropReason insert(Shard& shard, const Runtime& config, const Applicant& applicant, const FlowLookup& lookup, std::uint32_t out_port) {
  rte_mbuf* packet = applicant.packet;
  PacketMeta& meta = meta_of(packet);
  const bool ipv6 = (meta.proof & filters::kProofIpv6) != 0;
  meta.session = shard.sessions.insert(lookup, ipv6 ? ends_of(packet, lookup.from_high) : std::array<Words6, 2>{}, ipv6);
  if (meta.session == kNoIndex) return DropReason::kSessionLimit;
  shard.extras[meta.session] = {};
  if (config.ports[meta.ingress].nat == 0) [[likely]] return DropReason::kNone;
  const DropReason reason = nat_session(shard, config, meta, meta.session, received_ends(packet), applicant.target, out_port);
  if (reason == DropReason::kNone) return reason;
  forget_flow(shard, meta.session);
  shard.sessions.erase(meta.session);
  meta.session = kNoIndex;
  return reason;
}

/// One more session of the tenant, of the rule and of its source, where they are below their limits. `place` is the source's.
DropReason take_place(Shard& shard, const TenantEntry& tenant, const RuleEntry& rule, rte_mbuf* packet, std::uint32_t& place) {
  if (!shard.may_open_session(tenant)) return DropReason::kSessionLimit;
  TenantQuota& quota = shard.shared.quotas[tenant.slot];
  if (!shard.shares[tenant.slot].new_sessions.take(quota.new_sessions, tenant.new_sessions, 1, shard.steady_ns, &quota.new_sessions_most)) {
    return DropReason::kSessionRate;
  }
  if (!rule.counts()) return DropReason::kNone;
  return shard.shared.limits.take(rule.limits, rule.slot, tenant.slot, filters::ip_source(frame_of(packet), meta_of(packet)),
                                  SessionLimits::Enforce::kYes, shard.steady_ns, place);
}

enum class Opened : std::uint8_t { kRefused, kPasses, kTaken, kElsewhere };

/// Makes the session of an allowed first packet, or of a client that brings a cookie back, whose packet then has ended.
/// kElsewhere: the packet asks another shard first, and comes back.
Opened open_session(Shard& shard, const Runtime& config, const Applicant& applicant, std::uint32_t rule_index,
                    const ClassifyKey& key) {
  rte_mbuf* packet = applicant.packet;
  PacketMeta& meta = meta_of(packet);
  const PortEntry& port = config.ports[meta.ingress];
  const TenantEntry& tenant = config.tenants[port.tenant_index];
  const RuleEntry& rule = config.rules[rule_index];

  filters::TcpTrack tcp{};
  const std::optional<syn_proxy::Recognised> client = syn_proxy::recognise(shard, config, packet);
  DropReason reason = DropReason::kNone;
  if (client.has_value()) {
    syn_proxy::start_track(tcp, *client);
  } else {
    reason = begin_tracking(shard, tenant, packet, tcp);
  }
  if (reason == DropReason::kNone && !is_forwardable(applicant.ways.back)) reason = DropReason::kNoRoute;
  Hop out;
  Hop back;
  if (reason == DropReason::kNone) {
    const Address destination = filters::ip_destination(frame_of(packet), meta);
    out = hop_of(shard, config, *applicant.ways.out, applicant.target.translated ? applicant.target.address : destination);
    back = hop_of(shard, config, *applicant.ways.back, filters::ip_source(frame_of(packet), meta));
    if (out.next_hop == kNoIndex || back.next_hop == kNoIndex) reason = DropReason::kNeighbourUnresolved;
  }
  const bool translates = reason == DropReason::kNone && port.nat != 0;
  if (translates && nat_asks(shard, config, packet, applicant.target, out.port)) return Opened::kElsewhere;
  std::uint32_t place = kNoIndex;
  if (reason == DropReason::kNone) reason = take_place(shard, tenant, rule, packet, place);
  const FlowLookup lookup = lookup_of(packet, shard.sessions.seed());
  if (reason == DropReason::kNone) {
    reason = insert(shard, config, applicant, lookup, out.port);
    if (reason != DropReason::kNone && rule.counts()) shard.shared.limits.release(rule.slot, place);
  }
  if (reason != DropReason::kNone) {
    refuse(shard, config, packet, reason);
    return Opened::kRefused;
  }
  Session& session = shard.sessions.at(meta.session);
  session.generation = config.generation;
  session.port = {back.port, out.port};  // answers leave by the route to the source, wherever this packet came in
  session.next_hop = {out.next_hop, back.next_hop};
  session.rule_slot = rule.slot;
  session.rule = rule.id;
  session.protocol = meta.protocol;
  session.tcp_flags = meta.tcp_flags;
  session.flags |= static_cast<std::uint8_t>((lookup.from_high ? kSessionForwardFromHigh : 0) | log_flags(rule.log) |
                                             (client.has_value() ? kSessionProxied : 0) | (rule.counts() ? kSessionCounted : 0));
  shard.source_places[meta.session] = place;
  session.traits |= traits_of(rule);
  session.tcp = tcp;
  if (meta.protocol == filters::kProtocolSctp) {
    session.sctp = {};
    static_cast<void>(filters::sctp_first(session.sctp, filters::parse_sctp(frame_of(packet), meta)));
  }
  session.start_ns = shard.now_ns;
  session.tenant_slot = tenant.slot;
  session.first_length = meta.l3_length;
  session.icmp = static_cast<std::uint16_t>(meta.icmp_type << 8 | meta.icmp_code);
  session.in_port = port.id;
  session.out_port = config.ports[out.port].id;
  session.last_seen = shard.now_tick;
  session.reported = shard.now_tick;
  note_timeouts(shard, config, meta.session, rule_index, key);
  session.timeout = client.has_value() ? kTicksPerSecond : timeout_ticks(shard, meta.session);
  const bool logs = (session.flags & (kSessionLogEnd | kSessionLogStart)) != 0;
  shard.session_services[meta.session] = logs ? service_object(config, rule_index, key) : std::uint16_t{0};
  shard.wheel.add(shard.sessions, meta.session);
  shard.count_session(tenant.slot);
  if (filters::tcp_half_open(tcp.state)) shard.count_half_open(session, 1);
  meta.reverse = 0;
  count_packet(shard, session, meta);
  const bool picked_up = tcp.state == filters::TcpState::kEstablished;  // said, whatever the rule logs
  if (picked_up || (session.flags & kSessionLogStart) != 0) {
    record_session(shard, session, meta.session, CommPhase::kStart, EndReason::kNone);
  }
  if (!client.has_value()) return Opened::kPasses;
  syn_proxy::begin(shard, config, meta.session, *client);
  shard.consume(packet);
  return Opened::kTaken;
}

/// Does what the rule says with a packet of a new flow. True: it goes on.
bool judge(Shard& shard, const Runtime& config, const Applicant& applicant, std::uint32_t rule_index, const ClassifyKey& key) {
  const RuleEntry& rule = config.rules[rule_index];
  note_judged(shard, rule_index, applicant.ways.out->port);
  if (rule.action == snapshot::Action::kAllow) {
    if (syn_proxy::defend(shard, config, applicant.packet, rule_index, applicant.ways.out->port)) return false;
    const Opened opened = open_session(shard, config, applicant, rule_index, key);
    if (opened == Opened::kPasses || opened == Opened::kTaken) hit(shard, rule);
    if (opened != Opened::kPasses) return false;
    const bool translated = (shard.sessions.at(meta_of(applicant.packet).session).flags & kSessionTranslated) != 0;
    return !translated || translate(shard, config, applicant.packet);
  }
  hit(shard, rule);
  RuleCounters& counters = shard.rules[rule.slot];
  counters.packets.add(1);
  counters.bytes.add(meta_of(applicant.packet).l3_length);
  if (rule.action == snapshot::Action::kReject) local::send_reject(shard, config, applicant.packet);
  refuse_by_rule(shard, config, applicant.packet, rule_index, applicant.ways.out->port, service_object(config, rule_index, key));
  return false;
}

/// True when an earlier packet of this burst has made the session meanwhile; the packet then waits for track().
bool found_meanwhile(Shard& shard, const Runtime& config, rte_mbuf* packet) {
  return locate(shard, packet) && shard.sessions.at(meta_of(packet).session).generation == config.generation;
}

/// A batch of older sessions, judged at once.
struct Batch {
  std::array<Again, kBurstMax> sessions;
  std::array<ClassifyKey, kBurstMax> keys;
  std::uint16_t count = 0;
};

/// Fills `batch` from the session table, beginning at the sweep's place, and ends what need not be asked about. Looks at a
/// bounded number of places.
void gather(Shard& shard, const Runtime& config, Batch& batch) {
  Sweep& sweep = shard.sweep;
  const std::uint32_t end = std::min(shard.sessions.used_end(), sweep.cursor + kSweepLookedAt);
  while (sweep.cursor < end && batch.count < kBurstMax) {
    const std::uint32_t index = sweep.cursor++;
    if (index + kSweepAhead < end) rte_prefetch0(&shard.sessions.at(index + kSweepAhead));
    if (!shard.sessions.live(index) || shard.sessions.at(index).generation == config.generation) continue;
    if (prepare_again(shard, config, index, batch.sessions[batch.count], batch.keys[batch.count])) {
      ++batch.count;
    } else {
      end_by_policy(shard, config, index);
    }
  }
}

/// Begins the walk for a generation no walk was begun for. The more places, the shorter a busy shard's pauses: the walk
/// is over in time whatever its length.
void begin_sweep(Shard& shard, const Runtime& config) {
  Sweep& sweep = shard.sweep;
  const std::uint64_t steps = shard.sessions.used_end() / kBurstMax + 1;
  const std::uint64_t pause_ns = std::min(kSweepPauseNs, kSweepNs / steps);
  sweep.target = config.generation;
  sweep.cursor = 0;
  sweep.pause_tsc = static_cast<std::uint64_t>(static_cast<double>(pause_ns) / shard.shared.tsc_ns);
  sweep.next_tsc = shard.now_tsc;
}

}  // namespace

void sweep(Shard& shard, const Runtime& config, bool idle) noexcept {
  Sweep& sweep = shard.sweep;
  if (sweep.finished.read() == config.generation) [[likely]] return;
  if (sweep.target != config.generation) begin_sweep(shard, config);
  if (!idle && shard.now_tsc < sweep.next_tsc) return;
  sweep.next_tsc = shard.now_tsc + sweep.pause_tsc;

  Batch batch;
  std::array<std::uint32_t, kBurstMax> rules;
  gather(shard, config, batch);
  config.classifier->classify({batch.keys.data(), batch.count}, {rules.data(), batch.count});
  for (std::uint16_t i = 0; i < batch.count; ++i) {
    if (!adopt(shard, config, batch.sessions[i], rules[i], batch.keys[i])) end_by_policy(shard, config, batch.sessions[i].session);
  }
  sweep.left.set(shard.sessions.used_end() - sweep.cursor);
  if (sweep.left.read() != 0) return;
  sweep.finished.set(config.generation);
  // release: what the sweep noted in FlowOwners is seen by whoever reads this
  if (shard.number < shard.shared.swept.size()) shard.shared.swept[shard.number].store(config.generation, std::memory_order_release);
}

void admit(Shard& shard, const Runtime& config, Burst& first, Burst& known) noexcept {
  std::array<Applicant, kBurstMax> applicants;
  std::array<ClassifyKey, kBurstMax> keys;
  std::array<std::uint32_t, kBurstMax> rules;
  std::uint16_t count = 0;
  std::uint16_t passed = 0;
  for (std::uint16_t i = 0; i < first.count; ++i) {
    rte_mbuf* packet = first.packets[i];
    PacketMeta& meta = meta_of(packet);
    if (meta.session != kNoIndex && !shard.sessions.live(meta.session)) meta.session = kNoIndex;  // ended in this burst
    if (filters::is_icmp_error(meta)) {
      meta.session = kNoIndex;  // an echo's with identifier 0, by its key
      if (relate(shard, config, packet)) first.packets[passed++] = packet;
    } else if (meta.session != kNoIndex) {
      if (readmit(shard, config, packet)) known.packets[known.count++] = packet;
    } else if (prepare(shard, config, packet, applicants[count], keys[count])) {
      ++count;
    }
  }
  config.classifier->classify({keys.data(), count}, {rules.data(), count});
  for (std::uint16_t i = 0; i < count; ++i) {
    rte_mbuf* packet = applicants[i].packet;
    if (i > 0 && found_meanwhile(shard, config, packet)) {
      known.packets[known.count++] = packet;
    } else if (judge(shard, config, applicants[i], rules[i], keys[i])) {
      first.packets[passed++] = packet;
    }
  }
  first.count = passed;
}

}  // namespace sekisho::dataplane::path
