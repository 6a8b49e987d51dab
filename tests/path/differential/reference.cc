// SPDX-License-Identifier: Apache-2.0
#include "tests/path/differential/reference.h"

#include <algorithm>
#include <initializer_list>
#include <tuple>
#include <unordered_map>
#include <utility>

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

Verdict drop(DropReason reason, std::size_t packets = 1) {
  return {.what = Verdict::kDropped, .reason = reason, .packets = static_cast<unsigned>(packets)};
}

/// A first piece has to hold the whole header: RFC 1858 for IPv4, RFC 7112 for IPv6.
std::optional<DropReason> headless(const Packet& packet) {
  const std::uint32_t header = packet.protocol == 6 ? 20 : packet.protocol == 47 ? 4 : 8;
  if (packet.piece->begin != 0 || packet.piece->end >= header) return std::nullopt;
  if (packet.source.family == Family::kIpv4) return DropReason::kFragmentTiny;
  return packet.port == Port::kUplink ? DropReason::kFragmentChain : DropReason::kAeNdFragment;
}

/// Pieces that make a datagram, but not the one that was cut: shorter, longer by zeros, or with other bytes.
std::optional<DropReason> wrong_bytes(const Packet& packet, const std::vector<Packet::Piece>& pieces, std::uint32_t total) {
  if (packet.protocol == 47) return std::nullopt;  // nobody sums them
  const std::uint32_t sent = packet.protocol == 6 ? 20U + packet.tcp.payload : 8U + packet.data;
  if (packet.protocol == 17 && total != sent) return DropReason::kUdpLength;  // what was cut has no padding
  const bool altered = std::any_of(pieces.begin(), pieces.end(), [](const auto& one) { return one.other_bytes; });
  const bool same_sum = total == sent || (total > sent && packet.protocol == 1);  // RFC 792: no pseudo header
  return altered || !same_sum ? std::optional(DropReason::kL4Checksum) : std::nullopt;
}

/// What is wrong with a piece by itself.
std::optional<DropReason> refused_piece(const Packet& packet) {
  const Packet::Piece& piece = *packet.piece;
  const bool ipv4 = packet.source.family == Family::kIpv4;
  const std::uint32_t bytes = piece.end - piece.begin;
  if (bytes == 0 || (ipv4 && piece.unfragmentable) || (piece.more && bytes % 8 != 0)) return DropReason::kFragmentMalformed;
  if ((ipv4 ? 20 : 48) + piece.end > 65535) return DropReason::kFragmentOversized;
  if (packet.protocol == 6 && piece.begin == 8) return DropReason::kFragmentTiny;  // RFC 3128: where the flags are
  return std::nullopt;
}

/// A packet to the gateway itself: it answers pings and nothing else.
Verdict to_gateway(const Packet& packet) {
  const bool whole = !packet.piece && !packet.in_pieces;
  if (whole && is_icmp(packet.protocol) && is_request(packet)) return {.what = Verdict::kAnswered};
  return drop(DropReason::kLocalUnserved);
}

/// An address as a number, of IPv4.
std::uint32_t number(const Address& address) { return address.v4(); }

/// RFC 6296, prefixes of 48 bits: the fourth word takes up what the first three change, in ones' complement.
std::optional<Address> in_prefix(const Address& address, const Address& from, const Address& to) {
  const auto word = [](const Address& of, std::size_t at) { return of.bytes[2 * at] << 8 | of.bytes[2 * at + 1]; };
  if (word(address, 3) == 0xffff) return std::nullopt;
  int sum = word(address, 3);
  for (std::size_t at = 0; at < 3; ++at) sum += word(from, at) - word(to, at);
  sum = (sum % 0xffff + 0xffff) % 0xffff;
  Address out = address;
  std::copy_n(to.bytes.begin(), 6, out.bytes.begin());
  out.bytes[6] = static_cast<std::uint8_t>(sum >> 8);
  out.bytes[7] = static_cast<std::uint8_t>(sum);
  return out;
}
bool is_network6(const Address& address, const Address& network) { return std::equal(network.bytes.begin(), network.bytes.begin() + 6, address.bytes.begin()); }
/// Whether a rule's outside addresses hold this one.
bool is_outside(const NatRule& rule, const Address& address) {
  if (rule.kind == Nat::kNoNat) return false;
  if (rule.kind == Nat::kDnat) return rule.match.destinations[0].contains(address);
  if (rule.low.family != address.family) return false;
  if (rule.kind == Nat::kNptv6) return is_network6(address, rule.low);
  return rule.low <= address && address <= rule.high;
}

/// RFC 4987 3.6: the ACK of the handshake, or a probe of the closed window behind it.
bool brings_cookie(const Tcp& tcp, const Reference::Cookie* cookie) {
  if (cookie == nullptr || (tcp.flags & (kSyn | kRst | kAck)) != kAck || tcp.acknowledgement != cookie->cookie + 1) return false;
  return tcp.sequence == cookie->initial + 1 || (tcp.sequence == cookie->initial && tcp.payload == 0);
}

Packet with(Packet packet, const Ends& ends) {
  std::tie(packet.source, packet.destination, packet.source_port, packet.destination_port) =
      std::tie(ends.source, ends.destination, ends.source_port, ends.destination_port);
  return packet;
}

}  // namespace

bool is_second(const Address& address) { return is(address, {"10.0.0.35", "fd00:0:0:2::3"}); }

std::optional<Address> nptv6(const Address& address, const Address& from, const Address& to) { return in_prefix(address, from, to); }

/// Where an address lives, for a tenant. kOutside: stands for others by translation. kByRoute: a host that a longer route than
/// the default one leads to.
struct Reference::Home {
  enum Kind : std::uint8_t { kHost, kByRoute, kNobody, kOutside, kGateway, kBroadcast } kind;
  Port port;
  [[nodiscard]] bool is_host() const { return kind == kHost || kind == kByRoute; }
};

Reference::Home Reference::home_of(const Address& address, unsigned tenant) const {
  if (is_gateway(address)) return {Home::kGateway, Port::kServer};
  if (is_network_broadcast(address)) return {Home::kBroadcast, Port::kServer};
  for (const Port port : {Port::kServer, Port::kClient}) {
    const bool second = port == Port::kClient && policy_[tenant].segment && is_second(address);
    if (second || bound_at(address, tenant, port)) return {Home::kByRoute, port};
  }
  if (in(address, {"10.0.0.0/28", "fd00:0:0:1::/64"})) return {Home::kNobody, Port::kServer};
  if (in(address, {"10.0.0.32/28", "fd00:0:0:2::/64"})) return {Home::kNobody, Port::kClient};
  const TenantPolicy& policy = policy_[tenant];
  if (policy.routes_documentation && in(address, {"198.51.100.0/24", "2001:db8:ffff::/48"})) return {Home::kByRoute, Port::kUplink};
  for (const NatRule& rule : policy.nat) {
    if (is_outside(rule, address)) return {Home::kOutside, Port::kUplink};
  }
  if (owner(address) == tenant) return {Home::kNobody, Port::kUplink};
  return {Home::kHost, Port::kUplink};
}

void Reference::commit(const Policy& policy) {
  policy_ = policy;
  ++generation_;
}

void Reference::sweep(const std::function<bool(const Connection&)>& chosen) {
  for (auto entry = connections_.begin(); entry != connections_.end();) {
    Connection& connection = (entry++)->second;
    if (connection.generation == generation_ || !chosen(connection)) continue;
    if (!judge_again(connection, connection.tenant)) erase(connection);
  }
}

void Reference::forget() {
  connections_.clear();
  keys_.clear();
  datagrams_.clear();
  cookies_.clear();
  ahead_.clear();
}

std::map<DropReason, unsigned> Reference::pass(std::uint64_t seconds) {
  constexpr std::uint64_t kDatagramSeconds = 5;
  now_ += seconds;
  ahead_.clear();  // no burst is longer than a second
  constexpr std::uint64_t kCookieSeconds = 16;
  std::erase_if(cookies_, [&](const auto& entry) { return now_ - entry.second.second > kCookieSeconds; });
  for (auto entry = connections_.begin(); entry != connections_.end();) {
    const Connection& connection = (entry++)->second;
    if (now_ - connection.last < timeout_of(connection)) continue;
    ++met["connections that fell silent"];
    erase(connection);
  }
  std::map<DropReason, unsigned> out;
  for (auto entry = datagrams_.begin(); entry != datagrams_.end();) {
    const Datagram& datagram = entry->second;
    if (now_ - datagram.began < kDatagramSeconds) {
      ++entry;
      continue;
    }
    const bool first = std::any_of(datagram.pieces.begin(), datagram.pieces.end(), [](const auto& piece) { return piece.begin == 0; });
    if (!datagram.pieces.empty()) {
      const DropReason reason = first ? DropReason::kFragmentTimeout : DropReason::kFragmentOrphan;
      out[reason] += static_cast<unsigned>(datagram.pieces.size());
      ++met[first ? "datagrams not made whole" : "datagrams without a first piece"];
    }
    entry = datagrams_.erase(entry);
  }
  return out;
}

std::size_t Reference::waiting_pieces() const {
  std::size_t out = 0;
  for (const auto& [key, datagram] : datagrams_) out += datagram.pieces.size();
  return out;
}

/// docs/life-of-a-packet.md; RFC 4787 REQ-5, RFC 5382 REQ-5 and RFC 5508 REQ-2 for translated ones.
std::uint64_t Reference::timeout_of(const Connection& connection) {
  const bool translated = connection.sent != connection.received;
  if (connection.first.protocol == 6) {
    constexpr std::uint64_t kSeconds[] = {30, 60, 3600, 120, 120, 30, 30, 10};
    const std::uint64_t seconds = kSeconds[static_cast<std::size_t>(connection.phase)];
    return !translated ? seconds : connection.phase == TcpPhase::kEstablished ? 7440 : 240;
  }
  if (is_icmp(connection.first.protocol)) return translated ? 60 : 10;
  if (connection.first.protocol == 17) return connection.answered ? 180 : translated ? 120 : 30;
  return connection.answered ? 600 : 60;
}

Reference::Key Reference::key_of(unsigned tenant, std::uint8_t protocol, const Ends& ends) {
  const End a{ends.source, ends.source_port}, b{ends.destination, ends.destination_port};
  return a < b ? Key{tenant, protocol, a, b} : Key{tenant, protocol, b, a};
}

unsigned Reference::tenant_of(const Packet& packet) {
  return packet.port == Port::kUplink ? owner(packet.destination).value_or(0) : packet.tenant;
}

const Connection* Reference::look(unsigned tenant, std::uint8_t protocol, const Ends& ends) const {
  const auto found = keys_.find(key_of(tenant, protocol, ends));
  return found == keys_.end() ? nullptr : &connections_.at(found->second);
}
Connection* Reference::look(unsigned tenant, std::uint8_t protocol, const Ends& ends) {
  const auto found = keys_.find(key_of(tenant, protocol, ends));
  return found == keys_.end() ? nullptr : &connections_.at(found->second);
}

const Connection* Reference::find(const Packet& packet, bool& reverse) const {
  const Connection* found = look(tenant_of(packet), packet.protocol, ends_of(packet));
  if (found != nullptr) reverse = ends_of(packet) == reversed(found->sent);
  return found;
}

void Reference::insert(Connection connection) {
  const Number number = next_++;
  keys_[key_of(connection.tenant, connection.first.protocol, connection.received)] = number;
  keys_[key_of(connection.tenant, connection.first.protocol, connection.sent)] = number;
  connections_.emplace(number, std::move(connection));
}

void Reference::erase(const Connection& connection) {
  const Key other = key_of(connection.tenant, connection.first.protocol, connection.sent);
  const Number number = keys_.at(other);
  keys_.erase(key_of(connection.tenant, connection.first.protocol, connection.received));
  keys_.erase(other);
  connections_.erase(number);
}

Verdict Reference::judge(const Packet& packet) {
  bool network = false;
  const auto flaw = packet.piece ? headless(packet) : flaw_of(packet, network);
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
    return judge_arrived(packet, *tenant);
  }
  const bool segment = packet.port == Port::kClient && policy_[packet.tenant].segment;
  if (packet.foreign_mac || (packet.second_mac && !segment)) return drop(DropReason::kAeMac);
  if (flaw && network) return drop(*flaw);
  // On a segment each MAC has addresses of its own.
  const bool bound = packet.second_mac ? is_second(packet.source) : bound_at(packet.source, packet.tenant, packet.port);
  const bool neighbours = segment && (is_second(packet.source) || bound_at(packet.source, packet.tenant, packet.port));
  if (segment && bound) ++met[packet.second_mac ? "packets of a segment's second host" : "packets of a segment's first host"];
  if (!bound && neighbours) ++met["packets of a segment with a neighbour's address"];
  if (!bound) {
    return drop(packet.source.family == Family::kIpv4 ? DropReason::kAeIp4 : DropReason::kAeIp6);
  }
  if (flaw) return drop(*flaw);
  if (packet.other_machine) return drop(DropReason::kNotForUs);
  return judge_arrived(packet, packet.tenant);
}

Verdict Reference::judge_arrived(const Packet& packet, unsigned tenant) {
  if (!packet.piece) return judge_flow(packet, tenant);
  if (const auto reason = refused_piece(packet)) {
    ++met["pieces refused by themselves"];
    return drop(*reason);
  }
  return judge_piece(packet, tenant);
}

/// RFC 791, RFC 8200 4.5; overlaps as RFC 5722 has them, for both families.
Verdict Reference::judge_piece(const Packet& packet, unsigned tenant) {
  const Packet::Piece& piece = *packet.piece;
  const std::uint8_t protocol = packet.source.family == Family::kIpv4 ? packet.protocol : std::uint8_t{0};
  const DatagramKey key{tenant, packet.port, packet.source, packet.destination, piece.id, protocol};
  Datagram& datagram = datagrams_.try_emplace(key, Datagram{{}, {}, now_}).first->second;
  if (datagram.refused) return drop(*datagram.refused);
  bool overlaps = false;
  std::uint32_t bytes = piece.end - piece.begin;
  std::uint32_t total = piece.more ? 0 : piece.end;  // 0: the last piece is not there yet
  for (const Packet::Piece& other : datagram.pieces) {
    const bool same = other.begin == piece.begin && other.end == piece.end && other.more == piece.more;
    if (same && other.other_bytes == piece.other_bytes) {
      ++met["pieces that came twice"];
      return drop(DropReason::kFragmentDuplicate);
    }
    overlaps |= other.begin < piece.end && piece.begin < other.end;  // or the same with other bytes
    overlaps |= !other.more && (!piece.more || piece.end > other.end);
    overlaps |= !piece.more && other.end > piece.end;
    bytes += other.end - other.begin;
    if (!other.more) total = other.end;
  }
  datagram.pieces.push_back(piece);
  if (overlaps) {
    ++met["datagrams with an overlap"];
    const std::size_t ended = datagram.pieces.size();
    datagram.pieces.clear();
    datagram.refused = DropReason::kFragmentOverlap;
    return drop(DropReason::kFragmentOverlap, ended);
  }
  if (total == 0 || bytes != total) return {.what = Verdict::kWaits};
  std::vector<Packet::Piece> pieces = std::move(datagram.pieces);
  datagrams_.erase(key);
  ++met["datagrams made whole"];
  std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  Packet whole = packet;
  whole.piece.reset();
  whole.in_pieces = true;
  bool network = false;
  auto flaw = flaw_of(whole, network);
  if (!flaw || whole.flaw == Flaw::kL4Checksum) {
    if (const auto wrong = wrong_bytes(whole, pieces, total)) flaw = wrong;
  }
  Verdict verdict = flaw ? drop(*flaw) : judge_flow(whole, tenant);
  verdict.packets = static_cast<unsigned>(pieces.size());
  if (!verdict.for_client) verdict.pieces = std::move(pieces);
  return verdict;
}

Verdict Reference::judge_flow(const Packet& packet, unsigned tenant) {
  if (packet.quote) return judge_error(packet, tenant);
  Connection* found = look(tenant, packet.protocol, ends_of(packet));
  if (found == nullptr) return judge_first(packet, tenant);
  Connection& connection = *found;
  if (connection.generation != generation_ && !judge_again(connection, tenant)) {
    erase(connection);
    return drop(DropReason::kPolicyChanged);
  }
  const Ends ends = ends_of(packet);
  const bool forward = ends == connection.received, reverse = ends == reversed(connection.sent);
  const bool looks_reverse = !forward && (reverse || ends == reversed(connection.received) || ends == connection.sent);
  const bool right = packet.port == connection.port[looks_reverse ? 1 : 0] || (!looks_reverse && packet.port == connection.answers);
  if (!right) return drop(DropReason::kWrongPort);
  if (!forward && !reverse) return drop(DropReason::kNatWrongSide);
  Packet passed = packet;
  if (packet.protocol == 6) {
    Tcp said = packet.tcp;
    if (connection.proxied && !reverse && (said.flags & kAck) != 0) said.acknowledgement += connection.shift;
    passed.tcp = said;
    if (connection.proxied && reverse) passed.tcp.sequence -= connection.shift;
    const DropReason reason = follow_tcp(connection, reverse, said);
    if (reason != DropReason::kNone) {
      if (!begins_anew(connection, reverse, packet.tcp)) return drop(reason);
      erase(connection);
      return judge_first(packet, tenant);
    }
  }
  if (is_icmp(packet.protocol) && !(reverse ? is_reply(packet) : is_request(packet))) return drop(DropReason::kNotFirst);
  connection.answered |= reverse;
  connection.last = now_;
  if (packet.ttl <= 1) return drop(DropReason::kTtlExceeded);
  return {.what = Verdict::kPasses, .out = reverse ? connection.answers : connection.port[1],
          .sent = with(passed, reverse ? reversed(connection.received) : connection.sent)};
}

std::optional<DropReason> Reference::refused_ends(const Address& source, const Address& destination, Port port, unsigned tenant) const {
  if (const auto reason = impossible(source, destination)) return reason;
  return refused_ways(source, destination, port, tenant);
}

std::optional<DropReason> Reference::refused_ways(const Address& source, const Address& destination, Port port, unsigned tenant) const {
  const Home from = home_of(source, tenant);
  const Home to = home_of(destination, tenant);
  if (from.kind == Home::kGateway) return DropReason::kSourceOwn;
  if (from.kind == Home::kBroadcast) return DropReason::kSourceBroadcast;
  if (to.kind == Home::kBroadcast) return DropReason::kDestinationBroadcast;
  // Nothing but hosts of segments lives elsewhere than behind the uplink: strict and feasible are the same here.
  const TenantPolicy& policy = policy_[tenant];
  if (port == Port::kUplink && policy.reverse_path != ReversePath::kOff && from.port != Port::kUplink) return DropReason::kReversePath;
  if (!policy.refuse_bogons) return std::nullopt;
  const auto by_default = [](const Home& home) { return home.kind == Home::kHost && home.port == Port::kUplink; };
  if (port == Port::kUplink && by_default(from) && is_bogon(source)) return DropReason::kBogon;
  if (by_default(to) && is_bogon(destination)) return DropReason::kBogon;
  return std::nullopt;
}

// -------------------------------------------------------------------------------------------------------------- policy

bool Reference::takes(const Match& match, const Ends& ends, std::uint8_t protocol, Port in_port, Port out_port) {
  const auto any_of = [](const std::vector<Prefix>& prefixes, const Address& address) {
    return prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(), [&](const Prefix& p) { return p.contains(address); });
  };
  if ((match.from_zones >> static_cast<unsigned>(in_port) & 1U) == 0) return false;
  if ((match.to_zones >> static_cast<unsigned>(out_port) & 1U) == 0) return false;
  if (!any_of(match.sources, ends.source) || !any_of(match.destinations, ends.destination)) return false;
  if (match.protocol < 0) return true;
  if (match.protocol != protocol) return false;
  return !has_ports(protocol) || (ends.destination_port >= match.port_low && ends.destination_port <= match.port_high);
}

/// `sleeper`: the rule that also counts outside its schedule.
const Rule* Reference::first_match(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in_port, Port out_port,
                                   std::uint32_t sleeper) const {
  for (const Rule& rule : policy_[tenant].rules) {
    const bool asked = rule.standing == Standing::kStands || (rule.standing == Standing::kDormant && rule.id == sleeper);
    if (asked && takes(rule.match, ends, protocol, in_port, out_port)) return &rule;
  }
  return nullptr;
}

const Rule* Reference::rule_of(unsigned tenant, std::uint32_t id) const {
  for (const Rule& rule : policy_[tenant].rules) {
    if (rule.id == id) return &rule;
  }
  return nullptr;
}

/// The generic cell rate algorithm (ITU-T I.371) with a burst of one second.
bool Reference::within_rate(unsigned tenant, std::uint32_t rule, const Address& source, std::uint32_t per_second) {
  constexpr std::uint64_t kSecond = 1'000'000'000;
  if (per_second == 0) return true;
  std::uint64_t& ahead = ahead_[{tenant, rule, source}];
  if (ahead + kSecond / per_second > kSecond) return false;
  ahead += kSecond / per_second;
  return true;
}

/// A tenant's rate is looked at before its policy, and used by those that policy allows.
bool Reference::may_try(unsigned tenant) {
  const std::uint32_t per_second = policy_[tenant].sessions_per_second;
  if (per_second == 0) return true;
  if (!may_try_[tenant]) may_try_[tenant] = within_rate(tenant, 0, {}, per_second);
  return may_try_[tenant];
}

/// Whether connections that nobody has answered yet are as many as they may be.
bool Reference::floods(const Rule& rule, unsigned tenant) const {
  std::uint32_t of_tenant = 0, of_rule = 0;
  for (const auto& [number, other] : connections_) {
    const bool half_open = other.phase == TcpPhase::kSynSent || other.phase == TcpPhase::kSynReceived;
    if (other.tenant != tenant || other.first.protocol != 6 || other.proxied || !half_open) continue;
    ++of_tenant;
    if (other.rule == rule.id && !other.of_nobody) ++of_rule;
  }
  const std::uint32_t most = policy_[tenant].half_open_max;
  return (most != 0 && of_tenant >= most) || (rule.half_open_max != 0 && of_rule >= rule.half_open_max);
}

const Reference::Cookie* Reference::cookie_of(const Packet& packet) const {
  const auto found = cookies_.find({tenant_of(packet), packet.source, packet.destination, packet.source_port, packet.destination_port});
  return found == cookies_.end() ? nullptr : &found->second;
}

void Reference::told_cookie(std::uint32_t cookie) {
  const auto [sender, initial] = *std::exchange(asked_, std::nullopt);
  cookies_[sender] = {cookie, initial, now_};
}

void Reference::agreed(const Packet& packet, const Tcp& answer) {
  Connection& connection = *look(tenant_of(packet), packet.protocol, ends_of(packet));
  const Cookie cookie = *cookie_of(packet);
  connection.proxied = true;
  connection.shift = answer.sequence - cookie.cookie;
  follow_tcp(connection, true, answer);
  follow_tcp(connection, false, {.flags = kAck, .sequence = cookie.initial + 1, .acknowledgement = answer.sequence + 1,
                                 .window = packet.tcp.window, .payload = 0});
}

void Reference::refused(const Packet& packet, const Tcp& answer) {
  follow_tcp(*look(tenant_of(packet), packet.protocol, ends_of(packet)), true, answer);
}

bool Reference::limits_allow(const Rule& rule, unsigned tenant, const Address& source, DropReason& reason) {
  std::uint32_t of_rule = 0, of_source = 0;
  for (const auto& [number, other] : connections_) {
    if (other.tenant != tenant || other.rule != rule.id || !other.counted) continue;
    ++of_rule;
    if (other.counted_source && other.received.source == source) ++of_source;
  }
  reason = DropReason::kNone;
  if (rule.sessions_max != 0 && of_rule >= rule.sessions_max) reason = DropReason::kRuleLimit;
  else if (rule.source_sessions_max != 0 && of_source >= rule.source_sessions_max) reason = DropReason::kSourceLimit;
  else if (!within_rate(tenant, rule.id, source, rule.source_sessions_per_second)) reason = DropReason::kRateLimit;
  else if (!within_rate(tenant, rule.id, {}, rule.sessions_per_second)) reason = DropReason::kRateLimit;
  return reason == DropReason::kNone;
}

/// A limit of any kind has the rule's connections counted; one of sources, those of each as well.
void Reference::count(Connection& connection, const Rule* rule) {
  const auto any = [](std::uint32_t most, std::uint32_t per_second) { return most != 0 || per_second != 0; };
  connection.counted_source = rule != nullptr && any(rule->source_sessions_max, rule->source_sessions_per_second);
  connection.counted = connection.counted_source || (rule != nullptr && any(rule->sessions_max, rule->sessions_per_second));
  connection.of_nobody = rule == nullptr;
}

bool Reference::judge_again(Connection& connection, unsigned tenant) const {
  const std::uint8_t protocol = connection.first.protocol;
  const Port in_port = connection.port[0];
  const Ends judged{connection.received.source, connection.sent.destination, connection.received.source_port, connection.sent.destination_port};
  const Home to = home_of(judged.destination, tenant);
  if (!to.is_host() || !home_of(judged.source, tenant).is_host()) return false;
  if (refused_ways(judged.source, judged.destination, in_port, tenant)) return false;
  // Today's translation must be the same.
  const Aim aim = aim_of(connection.received, protocol, tenant, in_port);
  Ends today = aim.ends;
  Block block;
  if (!leave_as(today, block, aim, connection.received.destination, protocol, tenant, in_port, to.port)) return false;
  if (block.count != 0) {
    if (!block.holds(connection.sent.source_port)) return false;
    today.source_port = connection.sent.source_port;
    if (is_icmp(protocol)) today.destination_port = connection.sent.destination_port;
  }
  if (today != connection.sent) return false;

  Ends asked = judged;  // an echo's ports are no service's
  const Rule* rule = first_match(asked, protocol, tenant, in_port, to.port);
  const bool allowed = rule != nullptr && rule->action == Action::kAllow;
  if (!allowed && !connection.keeps) {
    const Rule* sleeper = first_match(asked, protocol, tenant, in_port, to.port, connection.rule);
    if (sleeper == nullptr || sleeper->id != connection.rule || sleeper->standing != Standing::kDormant) return false;
  }
  if (allowed) {
    connection.rule = rule->id;
    connection.keeps = rule->keep;
  }
  count(connection, rule_of(tenant, connection.rule));
  connection.port[1] = to.port;
  connection.answers = home_of(judged.source, tenant).port;
  connection.generation = generation_;
  return true;
}

Verdict Reference::judge_first(const Packet& packet, unsigned tenant) {
  if (packet.ttl == 0) return drop(DropReason::kTtlZero);
  if (has_ports(packet.protocol) && (packet.source_port == 0 || packet.destination_port == 0)) return drop(DropReason::kPortZero);
  if (const auto reason = refused_ends(packet.source, packet.destination, packet.port, tenant)) return drop(*reason);
  const Aim aim = aim_of(ends_of(packet), packet.protocol, tenant, packet.port);
  if (aim.translated) {
    if (const auto reason = refused_ways(packet.source, aim.ends.destination, packet.port, tenant)) return drop(*reason);
  }
  const Home to = home_of(aim.ends.destination, tenant);
  if (to.kind == Home::kGateway) return to_gateway(packet);
  if (to.kind == Home::kOutside) return drop(DropReason::kNatUnmapped);
  if (to.kind == Home::kNobody) return drop(to.port == Port::kUplink ? DropReason::kNoRoute : DropReason::kAeDestinationForeign);
  if (!may_try(tenant)) {
    ++met["packets beyond the tenant's rate"];
    return drop(DropReason::kSessionRate);
  }
  const Rule* rule = first_match(aim.ends, packet.protocol, tenant, packet.port, to.port);
  if (rule == nullptr) return drop(DropReason::kDefaultDeny);
  if (rule->action == Action::kDrop) return drop(DropReason::kRuleDrop);
  if (rule->action == Action::kReject) return drop(DropReason::kRuleReject);
  if (packet.protocol == 6 && packet.tcp.flags == kSyn && floods(*rule, tenant)) {
    ++met[policy_[tenant].drops_floods ? "SYNs dropped beyond a half-open limit" : "SYNs answered with a cookie"];
    if (policy_[tenant].drops_floods) return drop(DropReason::kHalfOpenLimit);
    asked_ = {Sender{tenant, packet.source, packet.destination, packet.source_port, packet.destination_port}, packet.tcp.sequence};
    return {.what = Verdict::kAnswered, .cookie = true};
  }
  const bool brings = packet.protocol == 6 && brings_cookie(packet.tcp, cookie_of(packet));
  if (packet.protocol == 6 && packet.tcp.flags != kSyn && !brings) return drop(DropReason::kNotFirst);
  if (is_icmp(packet.protocol) && !is_request(packet)) return drop(DropReason::kNotFirst);
  if (!home_of(packet.source, tenant).is_host()) return drop(DropReason::kNoRoute);  // no way back
  if (policy_[tenant].sessions_per_second != 0) may_try_[tenant] = false;  // used
  DropReason limit;
  if (!limits_allow(*rule, tenant, packet.source, limit)) {
    if (limit == DropReason::kRateLimit) ++met["connections beyond a rule's rate"];
    return drop(limit);
  }
  if (brings) {
    ++met["cookies brought back"];
    Packet syn = packet;
    syn.tcp = {.flags = kSyn, .sequence = cookie_of(packet)->initial, .acknowledgement = 0, .window = packet.tcp.window, .payload = 0};
    syn.ttl = 64;
    syn.by_gateway = true;
    Verdict verdict = open(syn, tenant, *rule, aim, to.port);
    verdict.for_client = verdict.what == Verdict::kPasses;
    return verdict;
  }
  return open(packet, tenant, *rule, aim, to.port);
}

Verdict Reference::open(const Packet& packet, unsigned tenant, const Rule& rule, const Aim& aim, Port out) {
  Connection connection{.first = packet, .tenant = tenant, .received = ends_of(packet), .sent = aim.ends, .port = {packet.port, out},
                        .answers = home_of(packet.source, tenant).port, .generation = generation_, .rule = rule.id, .keeps = rule.keep, .side = {}, .last = now_};
  count(connection, &rule);
  if (packet.protocol == 6) {
    Side& side = connection.side[0];
    side.edge = packet.tcp.sequence + 1;
    side.end = side.edge + packet.tcp.payload;
    side.window = std::max<std::uint32_t>(packet.tcp.window, 1);
    connection.side[1].window = 1U + packet.tcp.payload;
  }
  Block block;
  if (!leave_as(connection.sent, block, aim, packet.destination, packet.protocol, tenant, packet.port, out)) return drop(DropReason::kNatUnmapped);
  if (connection.sent.source != packet.source && out == Port::kUplink && owner(connection.sent.source) != tenant) return drop(DropReason::kNatUnmapped);
  if (connection.sent.source == connection.sent.destination) return drop(DropReason::kLand);
  connection.proxied = packet.by_gateway;
  Verdict verdict{.what = Verdict::kPasses, .out = out};
  if (packet.ttl == 1) verdict.what = Verdict::kDropped, verdict.reason = DropReason::kTtlExceeded;
  if (block.count != 0) {
    connection.claimed = true;
    connection.block_first = block.first;
    connection.block_count = block.count;
    const auto known = port_of(connection, block);
    if (!known && free_ports(connection, block) == 0) return drop(DropReason::kNatExhausted);
    if (!known) {
      open_ = connection;
      open_block_ = block;
      verdict.any_port = true;
      verdict.sent = with(packet, connection.sent);
      return verdict;
    }
    set_port(connection, *known);
  }
  const bool translated = connection.sent != connection.received;
  if (translated && is_known(connection)) return drop(DropReason::kNatExhausted);
  verdict.sent = with(packet, connection.sent);
  insert(std::move(connection));
  return verdict;
}

Verdict Reference::judge_error(const Packet& packet, unsigned tenant) {
  const auto reason = refused_ends(packet.source, packet.destination, packet.port, tenant);
  if (reason) return drop(*reason);
  const Packet::Quote& quote = *packet.quote;
  if (quote.source != packet.destination) return drop(DropReason::kIcmpUnrelated);
  const Ends quoted{quote.source, quote.destination, quote.source_port, quote.destination_port};
  Connection* found = look(tenant, quote.protocol, quoted);
  if (found == nullptr) return drop(DropReason::kIcmpUnrelated);
  Connection& connection = *found;
  if (connection.generation != generation_ && !judge_again(connection, tenant)) return drop(DropReason::kIcmpUnrelated);
  // Whoever sees a packet of a direction sees it as it was sent on.
  const bool forward = quoted == connection.sent, reverse = quoted == reversed(connection.received);
  if (!forward && !reverse) return drop(DropReason::kIcmpUnrelated);
  // What the server said, the client heard under other numbers.
  const std::uint32_t told = quote.sequence + (connection.proxied && reverse ? connection.shift : 0);
  if (quote.protocol == 6) {
    if (connection.phase == TcpPhase::kSynSent && reverse) return drop(DropReason::kIcmpUnrelated);
    const Side& sender = connection.side[reverse ? 1 : 0];
    if (sender.end - told > connection.side[reverse ? 0 : 1].window) return drop(DropReason::kIcmpUnrelated);
  }
  if (packet.ttl <= 1) return drop(DropReason::kTtlExceeded);
  // Back to who sent what is quoted, in his words. A router's own address stays, unless his peer is hidden.
  const Ends his = reverse ? reversed(connection.sent) : connection.received;
  Packet sent = packet;
  if (packet.source == quoted.destination || quoted.destination != his.destination) sent.source = his.destination;
  sent.destination = his.source;
  sent.quote = Packet::Quote{his.source, his.destination, quote.protocol, his.source_port, his.destination_port, told};
  return {.what = Verdict::kPasses, .out = reverse ? connection.port[1] : connection.answers, .sent = sent};
}

// --------------------------------------------------------------------------------------------------------- translation

Reference::Aim Reference::aim_of(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in_port) const {
  Aim out{.ends = ends, .towards = home_of(ends.destination, tenant).port};
  for (const NatRule& rule : policy_[tenant].nat) {
    if (rule.kind == Nat::kSnat || rule.kind == Nat::kNapt) continue;
    if (rule.kind == Nat::kStatic || rule.kind == Nat::kNptv6) {  // the way in: from any peer the rule names
      const auto& peers = rule.match.destinations;
      if (!is_outside(rule, ends.destination) || (!peers.empty() && !peers[0].contains(ends.source))) continue;
      const Address inside = rule.match.sources[0].first();
      const auto to = rule.kind == Nat::kNptv6 ? in_prefix(ends.destination, rule.low, inside)
                                               : std::optional(Address::from_v4(number(inside) + number(ends.destination) - number(rule.low)));
      out.ends.destination = to.value_or(ends.destination);
      out.translated = to.has_value();
      return out;
    }
    if (!takes(rule.match, ends, protocol, in_port, out.towards)) continue;
    if (rule.kind == Nat::kNoNat) return out;
    if (rule.low.family != ends.destination.family) continue;
    out.ends.destination = rule.low;
    if (rule.port != 0 && has_ports(protocol)) out.ends.destination_port = rule.port;
    out.translated = true;
    return out;
  }
  return out;
}

const NatRule* Reference::source_rule(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in_port, Port out_port) const {
  for (const NatRule& rule : policy_[tenant].nat) {
    if (rule.kind == Nat::kDnat || !takes(rule.match, ends, protocol, in_port, out_port)) continue;
    const bool pool = rule.kind == Nat::kSnat || rule.kind == Nat::kNapt;
    if (!pool || ends.source.family == Family::kIpv4) return &rule;
  }
  return nullptr;
}

bool Reference::leave_as(Ends& ends, Block& block, const Aim& aim, const Address& aimed_at, std::uint8_t protocol, unsigned tenant,
                         Port in_port, Port out_port) const {
  const NatRule* rule = source_rule(ends, protocol, tenant, in_port, out_port);
  if (rule == nullptr && aim.translated && aim.towards != out_port) {  // aims at a neighbour's outside address
    Ends aimed = ends;
    aimed.destination = aimed_at;
    rule = source_rule(aimed, protocol, tenant, in_port, aim.towards);
  }
  if (rule == nullptr || rule->kind == Nat::kNoNat) return true;
  if (rule->kind == Nat::kNptv6) {
    const auto outside = in_prefix(ends.source, rule->match.sources[0].first(), rule->low);
    if (outside) ends.source = *outside;
    return outside.has_value();
  }
  const std::uint32_t low = number(rule->low), size = number(rule->high) - low + 1, host = number(ends.source);
  if (rule->kind == Nat::kSnat) {
    ends.source = Address::from_v4(low + host % size);
    return true;
  }
  const std::uint32_t place = host - number(rule->match.sources[0].first());
  if (rule->kind == Nat::kStatic) {
    ends.source = Address::from_v4(low + place);
    return true;
  }
  const std::uint32_t of_one = (65536U - 1024U) / rule->block;  // RFC 7422: block by block, address by address
  ends.source = Address::from_v4(low + place / of_one);
  if (has_ports(protocol) || is_icmp(protocol)) block = {static_cast<std::uint16_t>(1024 + place % of_one * rule->block), rule->block};
  return true;
}

void Reference::set_port(Connection& connection, std::uint16_t port) {
  connection.sent.source_port = port;
  if (is_icmp(connection.first.protocol)) connection.sent.destination_port = port;
}

/// RFC 4787 REQ-1: one inside end has one outside port, whoever it talks to. What lives from before its block was another keeps
/// the port it has, if that lies in the new block; the new block's order knows nothing of it.
std::optional<std::uint16_t> Reference::port_of(const Connection& fresh, const Block& block) const {
  for (const auto& [number, other] : connections_) {
    const bool same = other.claimed && other.tenant == fresh.tenant && other.first.protocol == fresh.first.protocol &&
                      other.received.source == fresh.received.source && other.received.source_port == fresh.received.source_port &&
                      other.sent.source == fresh.sent.source && other.block_first == block.first && other.block_count == block.count;
    if (same) return other.sent.source_port;
  }
  return std::nullopt;
}

/// Outside it would look like another one, or like itself.
bool Reference::is_known(const Connection& fresh) const {
  const std::uint8_t protocol = fresh.first.protocol;
  return look(fresh.tenant, protocol, fresh.sent) != nullptr || key_of(fresh.tenant, protocol, fresh.sent) == key_of(fresh.tenant, protocol, fresh.received);
}

unsigned Reference::free_ports(const Connection& fresh, const Block& block) const {
  unsigned out = 0;
  for (unsigned port = block.first; port < unsigned{block.first} + block.count; ++port) {
    out += is_taken(fresh, static_cast<std::uint16_t>(port)) ? 0U : 1U;
  }
  return out;
}

bool Reference::is_taken(const Connection& fresh, std::uint16_t port) const {
  return std::any_of(connections_.begin(), connections_.end(), [&](const auto& entry) {
    const Connection& other = entry.second;
    const bool its_own = other.received.source == fresh.received.source && other.received.source_port == fresh.received.source_port;
    return other.claimed && !its_own && other.tenant == fresh.tenant && other.first.protocol == fresh.first.protocol &&
           other.sent.source == fresh.sent.source && other.sent.source_port == port;
  });
}

bool Reference::took(std::uint16_t port) {
  Connection connection = *std::exchange(open_, std::nullopt);
  if (!open_block_.holds(port) || is_taken(connection, port)) return false;
  set_port(connection, port);
  if (is_known(connection)) return false;
  insert(std::move(connection));
  return true;
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
