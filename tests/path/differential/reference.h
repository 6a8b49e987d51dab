// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/net/address.h"
#include "filters/drop_reason.h"

/// What the data plane should do, said a second time and plainly: no code of filters/ or dataplane/, only the names of
/// drop reasons. It knows the topology of tests/support/world.h, one shard, and packets as their sender thinks of them.
/// Written from docs/life-of-a-packet.md, docs/default-drops.md and the RFCs; slow and obvious on purpose.
namespace sekisho::tests::reference {

using filters::DropReason;

enum class Port : std::uint8_t { kServer = 0, kClient = 1, kUplink = 2 };

enum class Flaw : std::uint8_t {
  kNone = 0, kHeaderChecksum, kReservedFlag, kRecordRoute, kSourceRoute, kUnknownOption, kRoutingHeader0, kHopByHopLate,
  kReservedProtocol, kL4Checksum, kTcpNull, kTcpSynFin, kUdpLength, kCount
};

struct Tcp {
  std::uint8_t flags = 0;
  std::uint32_t sequence = 0, acknowledgement = 0;
  std::uint16_t window = 0, payload = 0;
};

/// One packet. `tenant`: 0 or 1, of the attachment; on the uplink the destination says it.
struct Packet {
  unsigned tenant = 0;
  Port port = Port::kClient;
  Address source, destination;
  std::uint8_t protocol = 17;
  std::uint16_t source_port = 0, destination_port = 0;  ///< ICMP echo: identifier, both
  std::uint8_t icmp_type = 0, icmp_code = 0;
  Tcp tcp;
  std::uint8_t ttl = 64;
  bool foreign_mac = false;    ///< not the MAC that lives on the port
  bool second_mac = false;     ///< that of the client Port's second host
  bool other_machine = false;  ///< to another MAC than the gateway's
  Flaw flaw = Flaw::kNone;
  /// An ICMP error: what it quotes (addresses, protocol, ports, sequence).
  struct Quote {
    Address source, destination;
    std::uint8_t protocol;
    std::uint16_t source_port, destination_port;
    std::uint32_t sequence;
  };
  std::optional<Quote> quote;
  std::uint16_t data = 4;  ///< bytes of payload where it is no TCP
  /// What is sent is a piece of it: these bytes of what follows the IP header.
  struct Piece {
    std::uint32_t id, begin, end;
    bool more;
    bool unfragmentable = false;  ///< IPv4: DF
    bool other_bytes = false;     ///< not those of the packet
  };
  std::optional<Piece> piece;
  bool in_pieces = false;  ///< came as pieces, and is whole now
  bool by_gateway = false;  ///< made in a client's name
};

enum class Action : std::uint8_t { kAllow, kDrop, kReject };

/// Whether a rule is asked now. Dormant: outside its schedule. Over: outside a strict one, or past its end.
enum class Standing : std::uint8_t { kStands, kDormant, kOff, kExpired };

/// What rules of policy and of translation match alike.
struct Match {
  unsigned from_zones = 7, to_zones = 7;      ///< bit per zone: servers 1, office 2, net 4
  std::vector<Prefix> sources, destinations;  ///< empty: any
  int protocol = -1;                          ///< -1: any
  std::uint16_t port_low = 0, port_high = 65535;
};

struct Rule {
  std::uint32_t id;
  Action action;
  Match match;
  bool guard = false;                  ///< the operator's
  bool keep = false;                   ///< what it admitted lives until it closes
  Standing standing = Standing::kStands;
  std::uint32_t sessions_max = 0, source_sessions_max = 0;  ///< 0: no limit
  std::uint32_t sessions_per_second = 0, source_sessions_per_second = 0;
  std::uint32_t half_open_max = 0;
};

enum class Nat : std::uint8_t { kSnat, kDnat, kStatic, kNapt, kNptv6, kNoNat };

struct NatRule {
  Nat kind;
  Match match;
  Address low, high;                   ///< where to: a pool, one host, or a prefix of 48 bits
  std::uint16_t block = 0, port = 0;   ///< of napt; of dnat, 0: as it is
};

enum class ReversePath : std::uint8_t { kFeasible, kStrict, kOff };

/// What one tenant has.
struct TenantPolicy {
  std::vector<Rule> rules;
  std::vector<NatRule> nat;
  // Its share of the uplink:
  bool refuse_bogons = false;
  ReversePath reverse_path = ReversePath::kFeasible;
  bool routes_documentation = false;   ///< the documentation's networks by a route of their own
  bool segment = false;                ///< the client Port is enforced by segment, and a second host is behind it
  std::uint32_t sessions_per_second = 0;  ///< 0: no limit. One worker only: several keep a part of it each
  std::uint32_t half_open_max = 0;     ///< beyond it SYNs are answered with cookies,
  bool drops_floods = false;           ///< or dropped
};
using Policy = std::array<TenantPolicy, 2>;

/// Who talks to whom, as one direction's packets say it. An echo's identifier is both ports.
struct Ends {
  Address source, destination;
  std::uint16_t source_port = 0, destination_port = 0;
  bool operator==(const Ends&) const = default;
};
[[nodiscard]] inline Ends reversed(const Ends& ends) {
  return {ends.destination, ends.source, ends.destination_port, ends.source_port};
}
[[nodiscard]] inline Ends ends_of(const Packet& packet) {
  return {packet.source, packet.destination, packet.source_port, packet.destination_port};
}

struct Verdict {
  enum What : std::uint8_t { kPasses, kAnswered, kDropped, kWaits } what;  ///< kWaits: for the rest of its datagram
  Port out = Port::kUplink;                ///< kPasses
  DropReason reason = DropReason::kNone;   ///< kDropped
  Packet sent = {};                        ///< kPasses: what comes out, but for the hop count
  /// A port is to be seen: any that Reference::took() accepts. kDropped: in the next packet of the connection, out of `out`.
  bool any_port = false;
  unsigned packets = 1;                    ///< kDropped: as many end for that reason
  bool cookie = false;                     ///< kAnswered: by a SYN and ACK, whose sequence told_cookie() wants to know
  bool for_client = false;                 ///< kPasses: the gateway's own SYN, in the client's name
  std::vector<Packet::Piece> pieces = {};  ///< kPasses: what comes out, in order; none: the whole
};

enum class TcpPhase : std::uint8_t {
  kSynSent, kSynReceived, kEstablished, kFinForward, kFinReverse, kClosing, kTimeWait, kClosed
};

/// One side of a connection: what it has sent up to, may send up to, and the largest window it announced.
struct Side {
  std::uint32_t end = 0, edge = 0, window = 0;
  bool fin_acknowledged = false;
};

struct Connection {
  Packet first;
  unsigned tenant = 0;
  Ends received, sent;       ///< of its first direction: before and after translation
  std::array<Port, 2> port;  ///< where packets of a direction come in
  Port answers = Port::kUplink;  ///< where those of the second leave: by the route to the source
  unsigned generation = 0;
  std::uint32_t rule = 0;    ///< id of who admitted it, or took it over
  bool keeps = false;
  bool counted = false, counted_source = false;  ///< for that rule's limits
  bool of_nobody = false;    ///< that rule is gone; one of its id counts anew
  bool claimed = false;      ///< its port is out of a block:
  std::uint16_t block_first = 0, block_count = 0;
  TcpPhase phase = TcpPhase::kSynSent;
  std::array<Side, 2> side;
  std::uint32_t reverse_start = 0;  ///< the sequence behind the reverse SYN
  bool answered = false;     ///< of datagrams
  bool proxied = false;      ///< its client brought a cookie back
  std::uint32_t shift = 0;   ///< the server's sequence less what the client was told
  std::uint64_t last = 0;    ///< second of its last packet
};

/// Of the second host behind a segment's client Port.
[[nodiscard]] bool is_second(const Address& address);

/// RFC 6296 between prefixes of 48 bits.
[[nodiscard]] std::optional<Address> nptv6(const Address& address, const Address& from, const Address& to);

class Reference {
 public:
  /// Another policy. What lives is judged by it when it speaks, or by sweep().
  void commit(const Policy& policy);
  /// Every connection has been judged by the policy in force; or every one that `chosen` accepts.
  void sweep(const std::function<bool(const Connection&)>& chosen = [](const Connection&) { return true; });
  [[nodiscard]] Verdict judge(const Packet& packet);
  /// Time passes: what is silent too long ends. Returns the pieces of datagrams that end too, by reason.
  std::map<DropReason, unsigned> pass(std::uint64_t seconds);
  /// All connections have timed out.
  void forget();
  /// The port that the data plane chose where the last verdict says any_port. False: not one it may have chosen.
  bool took(std::uint16_t port);
  /// The sequence of the last SYN and ACK that judge() wanted.
  void told_cookie(std::uint32_t cookie);
  /// The cookie a sender was told and has not brought back, and the sequence of its SYN.
  struct Cookie {
    std::uint32_t cookie, initial;
    std::uint64_t second;
  };
  [[nodiscard]] const Cookie* cookie_of(const Packet& packet) const;
  /// The server's answer to the SYN of a connection whose client brought a cookie back.
  void agreed(const Packet& packet, const Tcp& answer);
  /// It was a reset.
  void refused(const Packet& packet, const Tcp& answer);
  /// The connection the packet belongs to and whether it travels in reverse; nullptr: none.
  [[nodiscard]] const Connection* find(const Packet& packet, bool& reverse) const;
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  /// Datagrams that wait, or of which nothing may pass.
  [[nodiscard]] std::size_t datagrams() const { return datagrams_.size(); }
  [[nodiscard]] std::size_t waiting_pieces() const;
  /// How often something rare happened.
  std::map<std::string_view, std::uint64_t> met;

 private:
  using End = std::pair<Address, std::uint16_t>;
  using Key = std::tuple<unsigned, std::uint8_t, End, End>;  ///< tenant, protocol, ends in order
  using Number = std::uint64_t;                              ///< of a connection
  struct Home;
  /// What the destination step makes of a packet.
  struct Aim {
    Ends ends;
    bool translated = false;
    Port towards = Port::kUplink;  ///< where the address belongs that it was sent to
  };
  struct Block {
    std::uint16_t first = 0, count = 0;  ///< 0: as it is
    [[nodiscard]] bool holds(std::uint16_t port) const { return port >= first && port - first < count; }
  };
  /// A datagram in pieces.
  struct Datagram {
    std::vector<Packet::Piece> pieces;
    std::optional<DropReason> refused;
    std::uint64_t began;
  };
  using DatagramKey = std::tuple<unsigned, Port, Address, Address, std::uint32_t, std::uint8_t>;
  static Key key_of(unsigned tenant, std::uint8_t protocol, const Ends& ends);
  static unsigned tenant_of(const Packet& packet);
  [[nodiscard]] Home home_of(const Address& address, unsigned tenant) const;
  [[nodiscard]] const Connection* look(unsigned tenant, std::uint8_t protocol, const Ends& ends) const;
  Connection* look(unsigned tenant, std::uint8_t protocol, const Ends& ends);
  void insert(Connection connection);
  void erase(const Connection& connection);
  [[nodiscard]] bool floods(const Rule& rule, unsigned tenant) const;
  bool within_rate(unsigned tenant, std::uint32_t rule, const Address& source, std::uint32_t per_second);
  bool may_try(unsigned tenant);
  Verdict judge_arrived(const Packet& packet, unsigned tenant);
  Verdict judge_piece(const Packet& packet, unsigned tenant);
  Verdict judge_flow(const Packet& packet, unsigned tenant);
  Verdict judge_first(const Packet& packet, unsigned tenant);
  Verdict judge_error(const Packet& packet, unsigned tenant);
  Verdict open(const Packet& packet, unsigned tenant, const Rule& rule, const Aim& aim, Port out);
  [[nodiscard]] std::optional<DropReason> refused_ends(const Address& source, const Address& destination, Port port, unsigned tenant) const;
  [[nodiscard]] std::optional<DropReason> refused_ways(const Address& source, const Address& destination, Port port, unsigned tenant) const;
  [[nodiscard]] static bool takes(const Match& match, const Ends& ends, std::uint8_t protocol, Port in, Port out);
  [[nodiscard]] const Rule* first_match(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in, Port out,
                                        std::uint32_t sleeper = 0) const;
  [[nodiscard]] const Rule* rule_of(unsigned tenant, std::uint32_t id) const;
  bool limits_allow(const Rule& rule, unsigned tenant, const Address& source, DropReason& reason);
  static void count(Connection& connection, const Rule* rule);
  /// Judges a connection by the policy in force. False: it must end.
  bool judge_again(Connection& connection, unsigned tenant) const;
  [[nodiscard]] Aim aim_of(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in) const;
  /// The source step. False: there is no outside address for it.
  bool leave_as(Ends& ends, Block& block, const Aim& aim, const Address& aimed_at, std::uint8_t protocol, unsigned tenant, Port in, Port out) const;
  const NatRule* source_rule(const Ends& ends, std::uint8_t protocol, unsigned tenant, Port in, Port out) const;
  static void set_port(Connection& connection, std::uint16_t port);
  [[nodiscard]] std::optional<std::uint16_t> port_of(const Connection& fresh, const Block& block) const;
  [[nodiscard]] unsigned free_ports(const Connection& fresh, const Block& block) const;
  [[nodiscard]] bool is_known(const Connection& fresh) const;
  [[nodiscard]] bool is_taken(const Connection& fresh, std::uint16_t port) const;
  /// kNone: the segment fits and the connection has moved on.
  static DropReason follow_tcp(Connection& connection, bool reverse, const Tcp& segment);
  static std::uint64_t timeout_of(const Connection& connection);
  static bool begins_anew(const Connection& connection, bool reverse, const Tcp& segment);

  Policy policy_;
  unsigned generation_ = 0;
  Number next_ = 0;
  std::map<Number, Connection> connections_;
  std::map<Key, Number> keys_;       ///< two of a translated one
  std::map<DatagramKey, Datagram> datagrams_;
  std::uint64_t now_ = 0;            ///< seconds
  using Rated = std::tuple<unsigned, std::uint32_t, Address>;  ///< tenant; rule or 0; source or none
  std::map<Rated, std::uint64_t> ahead_;  ///< nanoseconds until all that was taken has come back
  std::array<bool, 2> may_try_{};    ///< a session a tenant may open was taken, and not used
  using Sender = std::tuple<unsigned, Address, Address, std::uint16_t, std::uint16_t>;
  std::map<Sender, Cookie> cookies_;
  std::optional<std::pair<Sender, std::uint32_t>> asked_;  ///< whose cookie is to be seen
  std::optional<Connection> open_;   ///< its port is to be seen
  Block open_block_;
};

}  // namespace sekisho::tests::reference
