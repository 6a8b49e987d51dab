// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
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
};

enum class Action : std::uint8_t { kAllow, kDrop, kReject };

struct Rule {
  std::uint32_t id;
  Action action;
  unsigned from_zones, to_zones;  ///< bit per zone: servers 1, office 2, net 4
  std::vector<Prefix> sources, destinations;  ///< empty: any
  int protocol;                   ///< -1: any
  std::uint16_t port_low, port_high;
};

struct Policy {
  std::array<std::vector<Rule>, 2> rules;  ///< by tenant
  std::array<bool, 2> refuse_bogons{};     ///< of its share of the uplink
};

struct Verdict {
  enum What : std::uint8_t { kPasses, kAnswered, kDropped } what;
  Port out = Port::kUplink;                ///< kPasses
  DropReason reason = DropReason::kNone;   ///< kDropped
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
  std::array<Port, 2> port;  ///< where packets of a direction come in
  unsigned generation = 0;
  TcpPhase phase = TcpPhase::kSynSent;
  std::array<Side, 2> side;
  std::uint32_t reverse_start = 0;  ///< the sequence behind the reverse SYN
};

class Reference {
 public:
  /// Another policy. What lives is judged by it when it speaks, or by sweep().
  void commit(const Policy& policy);
  /// Every connection has been judged by the policy in force.
  void sweep();
  [[nodiscard]] Verdict judge(const Packet& packet);
  /// All connections have timed out.
  void forget() { connections_.clear(); }
  /// The connection the packet belongs to and whether it travels in reverse; nullptr: none.
  [[nodiscard]] const Connection* find(const Packet& packet, bool& reverse) const;
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }

 private:
  using End = std::pair<Address, std::uint16_t>;
  using Key = std::tuple<unsigned, std::uint8_t, End, End>;  ///< tenant, protocol, ends in order
  static Key key_of(unsigned tenant, std::uint8_t protocol, const End& a, const End& b);
  Verdict judge_flow(const Packet& packet, unsigned tenant);
  Verdict judge_first(const Packet& packet, unsigned tenant, const Key& key);
  Verdict judge_error(const Packet& packet, unsigned tenant);
  [[nodiscard]] std::optional<DropReason> refused_ends(const Packet& packet, unsigned tenant) const;
  [[nodiscard]] const Rule* match(const Packet& packet, unsigned tenant, Port in, Port out) const;
  [[nodiscard]] bool still_allowed(const Connection& connection, unsigned tenant) const;
  /// kNone: the segment fits and the connection has moved on.
  static DropReason follow_tcp(Connection& connection, bool reverse, const Tcp& segment);
  static bool begins_anew(const Connection& connection, bool reverse, const Tcp& segment);

  Policy policy_;
  unsigned generation_ = 0;
  std::map<Key, Connection> connections_;
};

}  // namespace sekisho::tests::reference
