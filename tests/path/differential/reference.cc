// SPDX-License-Identifier: Apache-2.0
#include "tests/path/differential/reference.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_map>

namespace sekisho::tests::reference {
namespace {

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;

/// What a literal of this file says, read once.
const Prefix& said(const char* literal) {
  static std::unordered_map<const void*, Prefix> known;
  const auto [entry, fresh] = known.try_emplace(literal);
  if (fresh) entry->second = *parse_prefix(literal);
  return entry->second;
}
bool in(const Address& address, std::initializer_list<const char*> prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const char* text) { return said(text).contains(address); });
}
bool is(const Address& address, std::initializer_list<const char*> addresses) {
  return std::any_of(addresses.begin(), addresses.end(), [&](const char* text) { return said(text).address == address; });
}
bool is_icmp(std::uint8_t protocol) { return protocol == 1 || protocol == 58; }
bool has_ports(std::uint8_t protocol) { return protocol == 6 || protocol == 17; }
bool is_request(const Packet& packet) { return packet.icmp_type == (packet.protocol == 1 ? 8 : 128); }
bool is_reply(const Packet& packet) { return packet.icmp_type == (packet.protocol == 1 ? 0 : 129); }

// ------------------------------------------------------------------------------------------------------ the topology

bool bound_at(const Address& address, unsigned tenant, Port port) {
  if (port == Port::kClient) return is(address, {"10.0.0.34", "fd00:0:0:2::2"});
  if (is(address, {"10.0.0.2", "fd00:0:0:1::2"})) return true;
  return tenant == 0 ? is(address, {"203.0.113.17", "2001:db8:a::17"}) : is(address, {"203.0.113.33", "2001:db8:b::33"});
}
std::optional<unsigned> owner(const Address& address) {
  if (in(address, {"203.0.113.16/28", "2001:db8:a::/48"})) return 0;
  if (in(address, {"203.0.113.32/28", "2001:db8:b::/48"})) return 1;
  return std::nullopt;
}
bool is_gateway(const Address& address) { return is(address, {"10.0.0.1", "10.0.0.33", "fd00:0:0:1::1", "fd00:0:0:2::1"}); }
bool is_uplink_own(const Address& address) { return is(address, {"192.0.2.1", "2001:db8:0:1::1"}); }
bool is_network_broadcast(const Address& address) { return is(address, {"10.0.0.0", "10.0.0.15", "10.0.0.32", "10.0.0.47", "192.0.2.0", "192.0.2.255"}); }

/// Where an address lives, for a tenant.
struct Home {
  enum Kind : std::uint8_t { kHost, kNobody, kGateway, kBroadcast } kind;
  Port port;
};
Home home_of(const Address& address, unsigned tenant) {
  if (is_gateway(address)) return {Home::kGateway, Port::kServer};
  if (is_network_broadcast(address)) return {Home::kBroadcast, Port::kServer};
  for (const Port port : {Port::kServer, Port::kClient}) {
    if (bound_at(address, tenant, port)) return {Home::kHost, port};
  }
  if (in(address, {"10.0.0.0/28", "fd00:0:0:1::/64"})) return {Home::kNobody, Port::kServer};
  if (in(address, {"10.0.0.32/28", "fd00:0:0:2::/64"})) return {Home::kNobody, Port::kClient};
  if (owner(address) == tenant) return {Home::kNobody, Port::kUplink};
  return {Home::kHost, Port::kUplink};
}

// --------------------------------------------------------------------------------------------------------- addresses

/// How an address is named that can be no source, and no destination.
struct Names {
  DropReason source, destination;
};
std::optional<Names> impossible(const Address& a) {
  using R = DropReason;
  if (in(a, {"0.0.0.0/8"}) || is(a, {"::"})) return Names{R::kSourceUnspecified, R::kDestinationUnspecified};
  if (in(a, {"127.0.0.0/8"}) || is(a, {"::1"})) return Names{R::kSourceLoopback, R::kDestinationLoopback};
  if (in(a, {"::/96", "::ffff:0:0/96"})) return Names{R::kEmbeddedIpv4, R::kEmbeddedIpv4};
  if (in(a, {"224.0.0.0/4", "ff00::/8"})) return Names{R::kSourceMulticast, R::kMulticast};
  if (is(a, {"255.255.255.255"})) return Names{R::kSourceBroadcast, R::kDestinationBroadcast};
  if (in(a, {"169.254.0.0/16", "fe80::/10"})) return Names{R::kSourceLinkLocal, R::kDestinationLinkLocal};
  const bool undefined = a.family == Family::kIpv6 && !in(a, {"2000::/3", "fc00::/7"});
  if (undefined || in(a, {"240.0.0.0/4"})) return Names{R::kSourceReserved, R::kDestinationReserved};
  return std::nullopt;
}
std::optional<DropReason> impossible(const Address& source, const Address& destination) {
  if (source == destination) return DropReason::kLand;
  if (const auto names = impossible(source)) return names->source;
  if (const auto names = impossible(destination)) return names->destination;
  return std::nullopt;
}
bool is_bogon(const Address& a) {
  return in(a, {"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15",
                "198.51.100.0/24", "203.0.113.0/24", "192.88.99.0/24", "fc00::/7", "2001:db8::/32", "3fff::/20"});
}

// ------------------------------------------------------------------------------------------------------------- flaws

/// What the headers themselves are refused for; `network`: by the IP header, before its addresses mean anything.
std::optional<DropReason> flaw_of(const Packet& packet, bool& network) {
  struct Row {
    Flaw flaw;
    DropReason reason;
    bool network;
  };
  using R = DropReason;
  constexpr Row kRows[] = {
      {Flaw::kHeaderChecksum, R::kIpv4Checksum, true},     {Flaw::kReservedFlag, R::kIpv4ReservedFlag, true},
      {Flaw::kRecordRoute, R::kIpv4RecordRoute, true},     {Flaw::kSourceRoute, R::kIpv4SourceRoute, true},
      {Flaw::kUnknownOption, R::kIpv4Options, true},       {Flaw::kRoutingHeader0, R::kIpv6RoutingHeader0, true},
      {Flaw::kHopByHopLate, R::kIpv6HopByHopOrder, true},  {Flaw::kReservedProtocol, R::kProtocolReserved, true},
      {Flaw::kL4Checksum, R::kL4Checksum, false},          {Flaw::kTcpNull, R::kTcpNull, false},
      {Flaw::kTcpSynFin, R::kTcpSynFin, false},            {Flaw::kUdpLength, R::kUdpLength, false}};
  for (const Row& row : kRows) {
    network = row.network;
    if (row.flaw == packet.flaw) return row.reason;
  }
  network = false;
  if (packet.protocol == 1 && packet.icmp_type == 4) return DropReason::kIcmpDeprecated;
  if (packet.protocol == 58 && packet.icmp_type == 139) return DropReason::kIcmpDeprecated;
  if (is_icmp(packet.protocol) && packet.icmp_type == 200) return DropReason::kIcmpUnknown;
  return std::nullopt;
}

Verdict drop(DropReason reason) { return {Verdict::kDropped, Port::kUplink, reason}; }

/// A packet to the gateway itself: it answers pings and nothing else.
Verdict to_gateway(const Packet& packet) {
  if (is_icmp(packet.protocol) && is_request(packet)) return {Verdict::kAnswered};
  return drop(DropReason::kLocalUnserved);
}

}  // namespace

void Reference::commit(const Policy& policy) {
  policy_ = policy;
  ++generation_;
}

void Reference::sweep() {
  std::erase_if(connections_, [this](const auto& entry) { return !still_allowed(entry.second, std::get<0>(entry.first)); });
  for (auto& [key, connection] : connections_) connection.generation = generation_;
}

Reference::Key Reference::key_of(unsigned tenant, std::uint8_t protocol, const End& a, const End& b) {
  return a < b ? Key{tenant, protocol, a, b} : Key{tenant, protocol, b, a};
}

const Connection* Reference::find(const Packet& packet, bool& reverse) const {
  const unsigned tenant = packet.port == Port::kUplink ? owner(packet.destination).value_or(0) : packet.tenant;
  const auto found = connections_.find(
      key_of(tenant, packet.protocol, {packet.source, packet.source_port}, {packet.destination, packet.destination_port}));
  if (found == connections_.end()) return nullptr;
  const Packet& first = found->second.first;
  reverse = !(first.source == packet.source && first.source_port == packet.source_port);
  return &found->second;
}

Verdict Reference::judge(const Packet& packet) {
  bool network = false;
  const auto flaw = flaw_of(packet, network);
  if (packet.port == Port::kUplink) {
    if (flaw) return drop(*flaw);
    const Address &from = packet.source, &to = packet.destination;
    const bool links_own = is_uplink_own(to) || in(to, {"224.0.0.0/4", "ff00::/8", "169.254.0.0/16", "fe80::/10"});
    if (links_own && packet.other_machine) return drop(DropReason::kNotForUs);
    if (is_uplink_own(to)) {
      if (packet.ttl == 0) return drop(DropReason::kTtlZero);
      const auto reason = impossible(from, to);
      if (reason && *reason != DropReason::kSourceLinkLocal) return drop(*reason);
      return to_gateway(packet);
    }
    if (in(to, {"224.0.0.0/4", "ff00::/8"})) return drop(DropReason::kMulticast);
    if (in(to, {"169.254.0.0/16", "fe80::/10"})) return drop(DropReason::kDestinationLinkLocal);
    const auto tenant = owner(to);
    if (!tenant) return drop(impossible(from, to).value_or(DropReason::kUplinkNoOwner));
    if (owner(from)) return drop(DropReason::kUplinkSource);
    if (is_uplink_own(from)) return drop(DropReason::kSourceOwn);
    if (packet.other_machine) return drop(DropReason::kNotForUs);
    return judge_flow(packet, *tenant);
  }
  if (packet.foreign_mac) return drop(DropReason::kAeMac);
  if (flaw && network) return drop(*flaw);
  if (!bound_at(packet.source, packet.tenant, packet.port)) {
    return drop(packet.source.family == Family::kIpv4 ? DropReason::kAeIp4 : DropReason::kAeIp6);
  }
  if (flaw) return drop(*flaw);
  if (packet.other_machine) return drop(DropReason::kNotForUs);
  return judge_flow(packet, packet.tenant);
}

Verdict Reference::judge_flow(const Packet& packet, unsigned tenant) {
  if (packet.quote) return judge_error(packet, tenant);
  const Key key = key_of(tenant, packet.protocol, {packet.source, packet.source_port}, {packet.destination, packet.destination_port});
  const auto found = connections_.find(key);
  if (found == connections_.end()) return judge_first(packet, tenant, key);
  Connection& connection = found->second;
  if (connection.generation != generation_) {
    if (!still_allowed(connection, tenant)) {
      connections_.erase(found);
      return drop(DropReason::kPolicyChanged);
    }
    connection.generation = generation_;
  }
  const bool reverse = !(connection.first.source == packet.source && connection.first.source_port == packet.source_port);
  if (connection.port[reverse ? 1 : 0] != packet.port) return drop(DropReason::kWrongPort);
  if (packet.protocol == 6) {
    const DropReason reason = follow_tcp(connection, reverse, packet.tcp);
    if (reason != DropReason::kNone) {
      if (!begins_anew(connection, reverse, packet.tcp)) return drop(reason);
      connections_.erase(found);
      return judge_first(packet, tenant, key);
    }
  }
  if (is_icmp(packet.protocol) && !(reverse ? is_reply(packet) : is_request(packet))) return drop(DropReason::kNotFirst);
  if (packet.ttl <= 1) return drop(DropReason::kTtlExceeded);
  return {Verdict::kPasses, connection.port[reverse ? 0 : 1]};
}

std::optional<DropReason> Reference::refused_ends(const Packet& packet, unsigned tenant) const {
  const auto reason = impossible(packet.source, packet.destination);
  if (reason) return reason;
  const Home from = home_of(packet.source, tenant);
  const Home to = home_of(packet.destination, tenant);
  if (from.kind == Home::kGateway) return DropReason::kSourceOwn;
  if (from.kind == Home::kBroadcast) return DropReason::kSourceBroadcast;
  if (to.kind == Home::kBroadcast) return DropReason::kDestinationBroadcast;
  if (packet.port == Port::kUplink && from.port != Port::kUplink) return DropReason::kReversePath;
  if (!policy_.refuse_bogons[tenant]) return std::nullopt;
  const auto outside = [](const Home& home) { return home.kind == Home::kHost && home.port == Port::kUplink; };
  if (packet.port == Port::kUplink && is_bogon(packet.source)) return DropReason::kBogon;
  if (outside(to) && is_bogon(packet.destination)) return DropReason::kBogon;
  return std::nullopt;
}

const Rule* Reference::match(const Packet& packet, unsigned tenant, Port in_port, Port out_port) const {
  const auto any_of = [](const std::vector<Prefix>& prefixes, const Address& address) {
    return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const Prefix& p) { return p.contains(address); });
  };
  for (const Rule& rule : policy_.rules[tenant]) {
    if ((rule.from_zones >> static_cast<unsigned>(in_port) & 1U) == 0) continue;
    if ((rule.to_zones >> static_cast<unsigned>(out_port) & 1U) == 0) continue;
    if (!any_of(rule.sources, packet.source) || !any_of(rule.destinations, packet.destination)) continue;
    if (rule.protocol >= 0 && rule.protocol != packet.protocol) continue;
    const bool by_port = rule.protocol == 6 || rule.protocol == 17;
    if (by_port && (packet.destination_port < rule.port_low || packet.destination_port > rule.port_high)) continue;
    return &rule;
  }
  return nullptr;
}

bool Reference::still_allowed(const Connection& connection, unsigned tenant) const {
  Packet first = connection.first;
  const Home to = home_of(first.destination, tenant);
  const auto reason = refused_ends(first, tenant);
  if (reason) return false;
  const Rule* rule = match(first, tenant, first.port, to.port);
  return rule != nullptr && rule->action == Action::kAllow;
}

Verdict Reference::judge_first(const Packet& packet, unsigned tenant, const Key& key) {
  if (packet.ttl == 0) return drop(DropReason::kTtlZero);
  if (has_ports(packet.protocol) && (packet.source_port == 0 || packet.destination_port == 0)) return drop(DropReason::kPortZero);
  const auto reason = refused_ends(packet, tenant);
  if (reason) return drop(*reason);
  const Home to = home_of(packet.destination, tenant);
  if (to.kind == Home::kGateway) return to_gateway(packet);
  if (to.kind == Home::kNobody) return drop(to.port == Port::kUplink ? DropReason::kNoRoute : DropReason::kAeDestinationForeign);
  const Rule* rule = match(packet, tenant, packet.port, to.port);
  if (rule == nullptr) return drop(DropReason::kDefaultDeny);
  if (rule->action == Action::kDrop) return drop(DropReason::kRuleDrop);
  if (rule->action == Action::kReject) return drop(DropReason::kRuleReject);
  if (packet.protocol == 6 && packet.tcp.flags != kSyn) return drop(DropReason::kNotFirst);
  if (is_icmp(packet.protocol) && !is_request(packet)) return drop(DropReason::kNotFirst);
  Connection connection{.first = packet, .port = {packet.port, to.port}, .generation = generation_, .side = {}};
  if (packet.protocol == 6) {
    Side& side = connection.side[0];
    side.edge = packet.tcp.sequence + 1;
    side.end = side.edge + packet.tcp.payload;
    side.window = std::max<std::uint32_t>(packet.tcp.window, 1);
    connection.side[1].window = 1U + packet.tcp.payload;
  }
  connections_.insert_or_assign(key, connection);
  if (packet.ttl == 1) return drop(DropReason::kTtlExceeded);
  return {Verdict::kPasses, to.port};
}

Verdict Reference::judge_error(const Packet& packet, unsigned tenant) {
  const auto reason = refused_ends(packet, tenant);
  if (reason) return drop(*reason);
  const Packet::Quote& quote = *packet.quote;
  if (quote.source != packet.destination) return drop(DropReason::kIcmpUnrelated);
  const auto found = connections_.find(
      key_of(tenant, quote.protocol, {quote.source, quote.source_port}, {quote.destination, quote.destination_port}));
  if (found == connections_.end()) return drop(DropReason::kIcmpUnrelated);
  Connection& connection = found->second;
  if (connection.generation != generation_) {
    if (!still_allowed(connection, tenant)) return drop(DropReason::kIcmpUnrelated);
    connection.generation = generation_;
  }
  const bool reverse = !(connection.first.source == quote.source && connection.first.source_port == quote.source_port);
  if (quote.protocol == 6) {
    if (connection.phase == TcpPhase::kSynSent && reverse) return drop(DropReason::kIcmpUnrelated);
    const Side& sender = connection.side[reverse ? 1 : 0];
    if (sender.end - quote.sequence > connection.side[reverse ? 0 : 1].window) return drop(DropReason::kIcmpUnrelated);
  }
  if (packet.ttl <= 1) return drop(DropReason::kTtlExceeded);
  return {Verdict::kPasses, connection.port[reverse ? 1 : 0]};  // back to who sent what is quoted
}

// --------------------------------------------------------------------------------------------------------------- TCP

/// RFC 9293 as a middle box sees it, with Rooij's four inequalities. Numbers here never wrap.
DropReason Reference::follow_tcp(Connection& connection, bool reverse, const Tcp& segment) {
  Side& own = connection.side[reverse ? 1 : 0];
  Side& peer = connection.side[reverse ? 0 : 1];
  const bool syn = (segment.flags & kSyn) != 0, fin = (segment.flags & kFin) != 0;
  const bool rst = (segment.flags & kRst) != 0, ack = (segment.flags & kAck) != 0;
  const std::int64_t sequence = segment.sequence, acknowledgement = segment.acknowledgement;
  const auto sequence_fits = [&] {
    return sequence + segment.payload <= std::int64_t{own.edge} + 1 && sequence >= std::int64_t{own.end} - peer.window - 2;
  };
  const auto acknowledgement_fits = [&] {
    return acknowledgement <= peer.end && acknowledgement >= std::int64_t{peer.end} - 2 * std::int64_t{own.window} - 2;
  };
  TcpPhase& phase = connection.phase;
  if (phase == TcpPhase::kSynSent && !reverse) {
    if (rst) {
      if (sequence < own.edge || sequence > own.end) return DropReason::kTcpWindow;
      phase = TcpPhase::kClosed;
      return DropReason::kNone;
    }
    if (!syn || ack) return DropReason::kTcpState;
    if (sequence + 1 != own.edge) return DropReason::kTcpWindow;
    own.end = std::max(own.end, own.edge + segment.payload);
    peer.window = own.end - segment.sequence;
    own.window = std::max<std::uint32_t>(own.window, segment.window);
    return DropReason::kNone;
  }
  if (phase == TcpPhase::kSynSent) {
    const bool acceptable = acknowledgement >= peer.edge && acknowledgement <= peer.end;
    if (rst && !ack) return DropReason::kTcpState;
    if (!rst && !(syn && ack)) return DropReason::kTcpState;
    if (!acceptable) return DropReason::kTcpWindow;
    if (rst) {
      phase = TcpPhase::kClosed;
      return DropReason::kNone;
    }
    own.end = segment.sequence + 1 + segment.payload;
    own.edge = std::max(segment.sequence + 1 + peer.window, own.end);
    own.window = std::max<std::uint32_t>(segment.window, 1);
    peer.edge = std::max(segment.acknowledgement + own.window, peer.end);
    connection.reverse_start = segment.sequence + 1;
    phase = TcpPhase::kSynReceived;
    return DropReason::kNone;
  }
  if (rst) {
    if (!sequence_fits() || (ack && !acknowledgement_fits())) return DropReason::kTcpWindow;
    if (sequence == own.end) phase = TcpPhase::kClosed;
    return DropReason::kNone;
  }
  if (syn) {  // said again, or by a host that forgot: the receiver challenges it
    if (!ack && (phase == TcpPhase::kTimeWait || phase == TcpPhase::kClosed)) return DropReason::kTcpState;
    if (phase == TcpPhase::kSynReceived && reverse && sequence + 1 != connection.reverse_start) return DropReason::kTcpWindow;
    return sequence_fits() && (!ack || acknowledgement_fits()) ? DropReason::kNone : DropReason::kTcpWindow;
  }
  if (!sequence_fits() || !acknowledgement_fits()) return DropReason::kTcpWindow;
  const std::uint32_t end = segment.sequence + segment.payload + (fin ? 1 : 0);
  if (fin && end < own.end) return DropReason::kTcpWindow;
  if (phase == TcpPhase::kSynReceived && !reverse) {
    if (acknowledgement < connection.reverse_start) return DropReason::kTcpWindow;
    phase = TcpPhase::kEstablished;
  }
  own.end = std::max(own.end, end);
  own.window = std::max<std::uint32_t>(own.window, segment.window);
  peer.edge = std::max(peer.edge, segment.acknowledgement + std::max<std::uint32_t>(segment.window, 1));
  if (fin) {
    const bool other_closed = phase == (reverse ? TcpPhase::kFinForward : TcpPhase::kFinReverse);
    if (other_closed) phase = TcpPhase::kClosing;
    else if (phase == TcpPhase::kSynReceived || phase == TcpPhase::kEstablished) phase = reverse ? TcpPhase::kFinReverse : TcpPhase::kFinForward;
  }
  const bool peer_closed = phase == TcpPhase::kClosing || phase == (reverse ? TcpPhase::kFinForward : TcpPhase::kFinReverse);
  if (peer_closed && segment.acknowledgement == peer.end) peer.fin_acknowledged = true;
  if (phase == TcpPhase::kClosing && own.fin_acknowledged && peer.fin_acknowledged) phase = TcpPhase::kTimeWait;
  return DropReason::kNone;
}

bool Reference::begins_anew(const Connection& connection, bool reverse, const Tcp& segment) {
  if (segment.flags != kSyn) return false;
  const Side& own = connection.side[reverse ? 1 : 0];
  if (connection.phase == TcpPhase::kClosed) return true;
  if (connection.phase == TcpPhase::kTimeWait) return segment.sequence > own.end;
  return connection.phase == TcpPhase::kSynSent && !reverse && segment.sequence + 1 != own.edge;
}

}  // namespace sekisho::tests::reference
