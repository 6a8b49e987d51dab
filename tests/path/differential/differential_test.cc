// SPDX-License-Identifier: Apache-2.0
// Goal: the data plane gives every packet the verdict that the plain reference gives it, whatever the policy and whatever
// came before. Method: random policies over few addresses and ports, so that rules and flows collide; a scene of packets,
// most of one flow in both directions, under each; two tenants with the same addresses; sessions live on over policy
// changes, and over moments of one policy; with one and with two workers. A pair is one policy and one scene. SEKISHO_PAIRS and
// SEKISHO_SEED ask for other ones than the build's test; SEKISHO_EXPLAIN says of a difference what its packet was counted as and
// which came before it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <tuple>

#include "dataplane/path/record.h"
#include "tests/path/differential/reference.h"
#include "tests/path/path_test.h"
#include "tests/support/nat.h"
#include "tests/support/pieces.h"
#include "tests/support/world.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using reference::Flaw;
using reference::Packet;
using reference::Port;
using reference::Verdict;
using std::chrono::seconds;
namespace snapshot = filters::snapshot;

constexpr std::uint8_t kFin = 1, kSyn = 2, kRst = 4, kAck = 16;
constexpr std::uint64_t kPairsInTheBuild = 5000;
constexpr unsigned kScenesOfAPolicy = 8, kPoliciesBetweenSilences = 30;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// ------------------------------------------------------------------------------------------------------- frames

std::uint16_t nic_of(Port port) { return static_cast<std::uint16_t>(port); }
Mac host_of(Port port) { return port == Port::kServer ? kServerMac : port == Port::kClient ? kClientMac : kRouterMac; }

FrameBuilder tags_of(FrameBuilder builder, Port port, unsigned tenant) {
  if (tenant == 0 || port == Port::kUplink) return builder;
  return port == Port::kServer ? builder.vlan(200) : builder.vlan(300, 0x88a8).vlan(7);
}

Ipv4Knobs knobs4(const Packet& packet, std::uint8_t ttl) {
  Ipv4Knobs knobs{.ttl = ttl};
  if (packet.flaw == Flaw::kReservedFlag) knobs.fragment = 0xc000;
  if (packet.flaw == Flaw::kRecordRoute) knobs.options = {7, 7, 4, 0, 0, 0, 0};
  if (packet.flaw == Flaw::kSourceRoute) knobs.options = {131, 7, 4, 10, 0, 0, 1};
  if (packet.flaw == Flaw::kUnknownOption) knobs.options = {200, 4, 0, 0};
  return knobs;
}

Frame quote_of(const Packet::Quote& quote) {
  FrameBuilder builder;
  if (quote.source.family == Family::kIpv4) builder.ipv4(to_string(quote.source), to_string(quote.destination));
  if (quote.source.family == Family::kIpv6) builder.ipv6(to_string(quote.source), to_string(quote.destination));
  if (quote.protocol == 6) builder.tcp(quote.source_port, quote.destination_port, {.sequence = quote.sequence});
  if (quote.protocol == 17) builder.udp(quote.source_port, quote.destination_port);
  if (quote.protocol == 1 || quote.protocol == 58) builder.echo(quote.source_port);
  if (quote.protocol == 47) builder.protocol(47, Frame(8));
  Frame frame = builder.build();
  frame.erase(frame.begin(), frame.begin() + 14);
  return frame;
}

void add_transport(FrameBuilder& builder, const Packet& packet) {
  Frame text(packet.data);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::uint8_t>(i + 1);
  if (packet.flaw == Flaw::kReservedProtocol) {
    builder.protocol(59, Frame(16));
  } else if (packet.protocol == 6) {
    const std::uint8_t flags = packet.flaw == Flaw::kTcpNull ? 0 : packet.flaw == Flaw::kTcpSynFin ? 3 : packet.tcp.flags;
    builder.tcp(packet.source_port, packet.destination_port,
                {.flags = flags, .sequence = packet.tcp.sequence, .acknowledgement = packet.tcp.acknowledgement, .window = packet.tcp.window});
    builder.payload(packet.tcp.payload);
  } else if (packet.protocol == 17) {
    UdpKnobs knobs;
    if (packet.flaw == Flaw::kUdpLength) knobs.length = 7;
    builder.udp(packet.source_port, packet.destination_port, knobs).payload(text);
  } else if (packet.protocol == 1 || packet.protocol == 58) {
    builder.icmp(packet.icmp_type, packet.icmp_code, packet.quote ? 0 : std::uint32_t{packet.source_port} << 16 | 1U);
    builder.payload(packet.quote ? quote_of(*packet.quote) : text);
  } else {
    builder.protocol(packet.protocol, Frame(24));
  }
}

Frame frame_of(FrameBuilder builder, const Packet& packet, std::uint8_t ttl) {
  if (packet.source.family == Family::kIpv4) {
    builder.ipv4(to_string(packet.source), to_string(packet.destination), knobs4(packet, ttl));
  } else {
    builder.ipv6(to_string(packet.source), to_string(packet.destination), {.hop_limit = ttl});
    if (packet.flaw == Flaw::kRoutingHeader0) builder.extension(43, {0, 0, 1, 0, 0, 0, 0});
    if (packet.flaw == Flaw::kHopByHopLate) builder.destination_options().hop_by_hop();
  }
  add_transport(builder, packet);
  Frame frame = builder.build();
  if (packet.flaw == Flaw::kL4Checksum) frame.back() ^= 0xff;
  return frame;
}

/// Cuts one piece out of a frame of the whole.
Frame piece_of(const Frame& whole, const Packet::Piece& wanted) {
  const std::size_t l3 = l3_of(whole), header = is_v4(whole) ? 20 : 40;
  Frame bytes(wanted.end - wanted.begin);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t at = l3 + header + wanted.begin + i;
    bytes[i] = static_cast<std::uint8_t>((at < whole.size() ? whole[at] : 0) ^ (wanted.other_bytes && i + 1 == bytes.size() ? 0xff : 0));
  }
  Frame out = piece(whole, {wanted.begin, wanted.end, wanted.more}, wanted.id, bytes);
  if (is_v4(whole) && wanted.unfragmentable) {
    out[l3 + 6] |= 0x40;
    seal_v4(out);
  }
  return out;
}

std::string text_of(const Packet& packet) {
  std::string out = "tenant " + std::to_string(packet.tenant) + " port " + std::to_string(nic_of(packet.port)) + " " +
                    to_string(packet.source) + ":" + std::to_string(packet.source_port) + " > " + to_string(packet.destination) + ":" +
                    std::to_string(packet.destination_port) + " proto " + std::to_string(packet.protocol) + " ttl " + std::to_string(packet.ttl);
  if (packet.protocol == 6) {
    out += " flags " + std::to_string(packet.tcp.flags) + " seq " + std::to_string(packet.tcp.sequence) + " ack " +
           std::to_string(packet.tcp.acknowledgement) + " win " + std::to_string(packet.tcp.window) + " len " + std::to_string(packet.tcp.payload);
  }
  if (packet.protocol == 1 || packet.protocol == 58) out += " type " + std::to_string(packet.icmp_type);
  if (packet.quote) out += " quoting " + to_string(packet.quote->source) + " > " + to_string(packet.quote->destination) + " proto " + std::to_string(packet.quote->protocol);
  if (packet.piece) {
    out += " piece " + std::to_string(packet.piece->begin) + "-" + std::to_string(packet.piece->end) + (packet.piece->more ? "+" : "") +
           (packet.piece->other_bytes ? " other" : "") + (packet.piece->unfragmentable ? " DF" : "") + " of " + std::to_string(packet.piece->id);
  }
  return out + " flaw " + std::to_string(static_cast<int>(packet.flaw)) + (packet.foreign_mac ? " foreign MAC" : "") + (packet.second_mac ? " second MAC" : "") +
         (packet.other_machine ? " to another machine" : "");
}

// ---------------------------------------------------------------------------------------------------- generation

constexpr const char* kPrefixes[] = {"10.0.0.0/24", "10.0.0.2", "10.0.0.34", "10.0.0.32/28", "203.0.113.0/24", "203.0.113.17",
                                    "198.51.100.0/24", "8.8.8.8", "0.0.0.0/1", "fd00::/16", "fd00:0:0:1::2", "fd00:0:0:2::/64",
                                    "2001:db8::/32", "2001:db8:a::17", "2400::/12", "::/2"};

class Generator {
 public:
  Generator(std::uint64_t seed, const reference::Reference& reference, bool one_worker)
      : random_(seed), reference_(reference), one_worker_(one_worker) {}

  unsigned any_of(unsigned count) { return static_cast<unsigned>(random_() % count); }
  bool chance(unsigned percent) { return random_() % 100 < percent; }
  template <typename List>
  auto& pick(const List& list) {
    return list[random_() % std::size(list)];
  }

  reference::TenantPolicy policy(unsigned tenant) {
    reference::TenantPolicy out;
    for (std::uint32_t i = 0; i < 6; ++i) {
      if (chance(75)) out.rules.push_back(rule(tenant * 100 + i + 1));
    }
    while (!out.rules.empty() && chance(20)) guards(out);
    if (chance(50)) {
      for (unsigned rules = 1 + static_cast<unsigned>(random_() % 4); rules > 0; --rules) out.nat.push_back(nat(tenant));
    }
    if (chance(10) && one_worker_) out.sessions_per_second = 1 + any_of(6);
    if (chance(35)) out.half_open_max = 1 + any_of(4);
    out.drops_floods = out.half_open_max != 0 && chance(40);
    out.segment = tenant == 0 && chance(40);
    out.refuse_bogons = chance(20);
    out.reverse_path = static_cast<reference::ReversePath>(chance(60) ? 0 : random_() % 3);
    out.routes_documentation = chance(30);
    return out;
  }
  /// The rules at another time.
  void let_time_pass(reference::TenantPolicy& policy) {
    for (reference::Rule& rule : policy.rules) {
      if (!rule.guard && chance(30)) rule.standing = static_cast<reference::Standing>(chance(50) ? 0 : random_() % 4);
    }
  }

  /// Chooses who will talk in the packets to come.
  void new_scene() {
    constexpr std::uint8_t kProtocols4[] = {6, 6, 6, 17, 17, 1, 47}, kProtocols6[] = {6, 6, 6, 17, 17, 58, 47};
    constexpr std::uint16_t kFrom[] = {1000, 1001, 1002}, kTo[] = {53, 80, 443};
    tenant_ = static_cast<unsigned>(random_() % 2);
    six_ = chance(50);
    constexpr std::pair<unsigned, unsigned> kTalkers[] = {{kClient, kServer}, {kClient, kServer}, {kClient, kPublic}, {kOutside, kPublic},
                                                          {kDocumented, kPublic}, {kPublic, kOutside}, {kClient, kOutside},
                                                          {kClient, kOutside}, {kServer, kOutside}, {kOutside, kMapped}, {kClient, kMapped},
                                                          {kSecond, kServer}, {kSecond, kOutside}};
    const auto [from, to] = pick(kTalkers);
    a_ = host(chance(90) ? from : static_cast<unsigned>(random_() % kHosts));
    b_ = host(chance(90) ? to : static_cast<unsigned>(random_() % kHosts));
    protocol_ = six_ ? pick(kProtocols6) : pick(kProtocols4);
    a_port_ = protocol_ == 47 ? std::uint16_t{0} : pick(kFrom);
    b_port_ = protocol_ == 47 ? std::uint16_t{0} : is_icmp() ? a_port_ : pick(kTo);
    if (protocol_ != 47 && chance(1)) b_port_ = a_port_ = 0;
  }

  /// A packet, or its pieces.
  std::vector<Packet> next_packets() {
    Packet packet = next();
    const bool by_header = packet.flaw != Flaw::kNone && packet.flaw < Flaw::kL4Checksum;
    if (packet.quote || by_header || !chance(12)) return {packet};
    if (packet.protocol != 6) packet.data = static_cast<std::uint16_t>(20 + any_of(100));
    if (packet.protocol == 6 && packet.tcp.payload < 8 && chance(80)) return {packet};
    return pieces_of(packet);
  }

  Packet next() {
    Packet packet = plain();
    if (protocol_ == 6) fill_tcp(packet);
    if (is_icmp()) fill_icmp(packet);
    if (chance(6)) make_error(packet);
    if (chance(3)) add_flaw(packet);
    return packet;
  }

 private:
  /// A datagram as hosts cut it, and as attackers and networks change that.
  std::vector<Packet> pieces_of(const Packet& packet) {
    const std::uint32_t id = 1 + ++last_id_ % 60000;
    const std::uint32_t total = packet.protocol == 6 ? 20U + packet.tcp.payload : packet.protocol == 47 ? 24U : 8U + packet.data;
    std::vector<Packet::Piece> cut;
    for (std::uint32_t at = 0; at < total; at = cut.back().end) {
      const std::uint32_t end = std::min(total, at + 8 * (at == 0 && !chance(15) ? 3 : 1 + any_of(5)));
      cut.push_back({id, at, end, end < total});
    }
    if (chance(40)) spoil(cut, packet.source.family == Family::kIpv4);
    for (Packet::Piece& one : cut) one.other_bytes &= one.begin != 0 && packet.flaw == Flaw::kNone;
    std::erase_if(cut, [](const auto& one) { return one.begin == 0 && !one.more; });  // a whole packet
    if (cut.empty()) return {packet};
    if (chance(50)) std::shuffle(cut.begin(), cut.end(), random_);
    std::vector<Packet> out;
    for (const Packet::Piece& one : cut) out.push_back(packet), out.back().piece = one;
    return out;
  }
  void spoil(std::vector<Packet::Piece>& cut, bool ipv4) {
    const std::size_t at = any_of(static_cast<unsigned>(cut.size()));
    Packet::Piece odd = cut[at];
    switch (any_of(9)) {
      case 0: cut.erase(cut.begin() + static_cast<std::ptrdiff_t>(at)); return;
      case 1: odd.other_bytes = chance(30); break;                                  // twice
      case 2: odd.begin >= 8 ? odd.begin -= 8 : odd.end += 8; break;                // over its neighbour
      case 7: cut.back().end += 8; return;                                          // longer, by zeros
      case 3: odd.more ? odd.end -= 1 : odd.end = odd.begin; break;                 // no multiple of eight, nothing
      case 4: (ipv4 ? odd.unfragmentable : odd.more) ^= true; break;
      case 5: odd.begin = 65528, odd.end = 65528 + 8 * any_of(3), odd.more = false; break;  // beyond what IP can say
      case 6: odd.more = !odd.more; break;                                          // another end, or none
      default: cut[at].other_bytes = true; return;
    }
    cut.insert(cut.begin() + static_cast<std::ptrdiff_t>(any_of(static_cast<unsigned>(cut.size()) + 1)), odd);
  }

  static constexpr const char* kOdd4[] = {"10.0.0.3", "10.0.0.35", "10.0.0.1", "10.0.0.33", "10.0.0.15", "10.0.0.47", "192.0.2.1", "192.0.2.255",
                                          "203.0.113.18", "203.0.113.33", "127.0.0.1", "224.0.0.5", "240.0.0.1", "0.0.0.0", "255.255.255.255", "169.254.7.7"};
  static constexpr const char* kOdd6[] = {"fd00:0:0:1::3", "fd00:0:0:2::3", "fd00:0:0:1::1", "fd00:0:0:2::1", "2001:db8:0:1::1", "2001:db8:a::18",
                                          "2001:db8:b::33", "::1", "ff05::5", "8000::1", "::", "::ffff:808:808", "fec0::1"};

  struct Host {
    Address address;
    Port home;
  };
  enum : unsigned { kServer, kClient, kOutside, kDocumented, kPublic, kMapped, kSecond, kHosts };
  Host host(unsigned which) {
    if (chance(4)) {
      const char* odd = six_ ? pick(kOdd6) : pick(kOdd4);
      return {address(odd), static_cast<Port>(random_() % 3)};
    }
    if (which == kServer) return {address(six_ ? "fd00:0:0:1::2" : "10.0.0.2"), Port::kServer};
    if (which == kSecond && tenant_ == 0) return {address(six_ ? "fd00:0:0:2::3" : "10.0.0.35"), Port::kClient};
    if (which == kClient || which == kSecond) return {address(six_ ? "fd00:0:0:2::2" : "10.0.0.34"), Port::kClient};
    if (which == kOutside) return {address(six_ ? "2400::9" : "8.8.8.8"), Port::kUplink};
    if (which == kDocumented) return {address(six_ ? "2001:db8:ffff::9" : "198.51.100.9"), Port::kUplink};
    if (which == kMapped) return {mapped(), Port::kUplink};
    const char* public4 = tenant_ == 0 ? "203.0.113.17" : "203.0.113.33";
    const char* public6 = tenant_ == 0 ? "2001:db8:a::17" : "2001:db8:b::33";
    return {address(six_ ? public6 : public4), Port::kServer};
  }
  /// An outside address of the tenant that a rule may translate.
  Address mapped() {
    const char* site = tenant_ == 0 ? "2001:db8:a::" : "2001:db8:b::";
    if (!six_) return outside4(tenant_, 4 + static_cast<std::uint32_t>(random_() % 6));
    if (chance(40)) return address(tenant_ == 0 ? "2001:db8:a::9" : "2001:db8:b::9");
    return *reference::nptv6(address(chance(50) ? "fd00:0:0:1::2" : "fd00:0:0:2::2"), address("fd00::"), address(site));
  }
  static Address outside4(unsigned tenant, std::uint32_t place) {
    return Address::from_v4(address(tenant == 0 ? "203.0.113.16" : "203.0.113.32").v4() + place);
  }

  reference::Match match() {
    constexpr int kProtocols[] = {-1, 6, 17, 1, 58, 47, 6, 17, -1};
    constexpr std::pair<std::uint16_t, std::uint16_t> kPorts[] = {{0, 65535}, {80, 80}, {53, 443}, {1000, 1001}, {0, 79}};
    reference::Match out;
    if (chance(20)) out.from_zones = 1U + static_cast<unsigned>(random_() % 7);
    if (chance(20)) out.to_zones = 1U + static_cast<unsigned>(random_() % 7);
    if (chance(30)) out.sources.push_back(*parse_prefix(pick(kPrefixes)));
    if (chance(30)) out.destinations.push_back(*parse_prefix(pick(kPrefixes)));
    out.protocol = pick(kProtocols);
    if (out.protocol == 6 || out.protocol == 17) std::tie(out.port_low, out.port_high) = pick(kPorts);
    return out;
  }
  reference::Rule rule(std::uint32_t id) {
    using reference::Action;
    reference::Rule out{.id = id, .action = chance(75) ? Action::kAllow : chance(60) ? Action::kDrop : Action::kReject, .match = match()};
    out.keep = chance(10);
    if (chance(10)) out.standing = static_cast<reference::Standing>(random_() % 4);
    if (chance(8)) out.sessions_max = 1U + static_cast<std::uint32_t>(random_() % 6);
    if (chance(8)) out.source_sessions_max = 1U + static_cast<std::uint32_t>(random_() % 3);
    if (chance(8)) out.sessions_per_second = 1U + any_of(4);
    if (chance(8)) out.source_sessions_per_second = 1U + any_of(2);
    if (chance(8)) out.half_open_max = 1U + any_of(2);
    return out;
  }
  /// Makes one more of the first rules the operator's.
  static void guards(reference::TenantPolicy& policy) {
    for (reference::Rule& rule : policy.rules) {
      if (rule.guard) continue;
      const reference::Match match = rule.match;
      rule = {.id = rule.id, .action = rule.id % 2 == 0 ? reference::Action::kDrop : reference::Action::kReject, .match = match, .guard = true};
      return;
    }
  }

  reference::NatRule nat(unsigned tenant) {
    using reference::Nat;
    constexpr std::uint16_t kBlocks[] = {2, 2, 4, 64};
    reference::NatRule out{.kind = static_cast<Nat>(random_() % 6), .match = {}, .low = {}, .high = {}};
    const auto to = [&](std::uint32_t low, std::uint32_t high) { out.low = outside4(tenant, low), out.high = outside4(tenant, high); };
    if (chance(70)) out.match.to_zones = 4;
    if (out.kind == Nat::kSnat) {
      if (chance(50)) out.match.sources = {*parse_prefix("10.0.0.0/24")};
      to(6, chance(50) ? 7 : 6);
    } else if (out.kind == Nat::kNapt) {
      out.match.sources = {*parse_prefix(chance(50) ? "10.0.0.0/24" : "10.0.0.32/28")};
      if (chance(20)) out.match.destinations = {*parse_prefix("8.8.8.8")};
      to(4, 5);
      out.block = pick(kBlocks);
    } else if (out.kind == Nat::kStatic) {
      out.match.sources = {*parse_prefix(chance(50) ? "10.0.0.2" : "10.0.0.34")};
      if (chance(30)) out.match.destinations = {*parse_prefix("8.8.8.8")};
      to(8, 8);
    } else if (out.kind == Nat::kNptv6) {
      out.match.sources = {*parse_prefix("fd00::/48")};
      out.low = out.high = address(tenant == 0 ? "2001:db8:a::" : "2001:db8:b::");
    } else if (out.kind == Nat::kDnat) {
      const bool six = chance(40);
      out.match.destinations = {*parse_prefix(six ? (tenant == 0 ? "2001:db8:a::9" : "2001:db8:b::9") : (tenant == 0 ? "203.0.113.25" : "203.0.113.41"))};
      out.match.protocol = chance(50) ? -1 : chance(50) ? 6 : 17;
      if (out.match.protocol > 0 && chance(30)) out.match.port_low = out.match.port_high = 80;
      out.low = out.high = address(six ? "fd00:0:0:1::2" : "10.0.0.2");
      if (chance(50)) out.port = 443;
    } else {
      out.match = match();
    }
    return out;
  }
  [[nodiscard]] bool is_icmp() const { return protocol_ == 1 || protocol_ == 58; }

  Packet plain() {
    constexpr std::uint8_t kTtls[] = {0, 1, 2, 255};
    Packet packet;
    const bool back = chance(42);
    packet.tenant = tenant_;
    packet.source = back ? b_.address : a_.address;
    packet.destination = back ? a_.address : b_.address;
    packet.source_port = back ? b_port_ : a_port_;
    packet.destination_port = back ? a_port_ : b_port_;
    packet.protocol = protocol_;
    packet.port = back ? b_.home : a_.home;
    if (back && !chance(10)) answer(packet);
    if (chance(4)) packet.port = static_cast<Port>(random_() % 3);
    if (chance(4)) packet.ttl = pick(kTtls);
    if (packet.port != Port::kUplink && chance(1)) packet.foreign_mac = true;
    packet.second_mac = packet.port == Port::kClient && reference::is_second(packet.source) != chance(3);
    if (chance(1)) packet.other_machine = true;
    return packet;
  }

  /// Sends a packet back as the answering host sees its peer.
  void answer(Packet& packet) const {
    Packet there = packet;
    std::tie(there.source, there.destination, there.source_port, there.destination_port) =
        std::tie(packet.destination, packet.source, packet.destination_port, packet.source_port);
    there.port = a_.home;
    bool reverse = false;
    const reference::Connection* connection = reference_.find(there, reverse);
    if (connection == nullptr || reverse || connection->received != ends_of(there)) return;
    std::tie(packet.destination, packet.source, packet.destination_port, packet.source_port) =
        std::tie(connection->sent.source, connection->sent.destination, connection->sent.source_port, connection->sent.destination_port);
    packet.port = connection->port[1];
  }

  void fill_icmp(Packet& packet) {
    const bool six = protocol_ == 58;
    bool reverse = false;
    const bool known = reference_.find(packet, reverse) != nullptr;
    const bool reply = known ? reverse != chance(10) : chance(15);
    packet.icmp_type = six ? (reply ? 129 : 128) : (reply ? 0 : 8);
    if (!chance(4)) return;
    packet.icmp_type = chance(50) ? 200 : six ? 139 : chance(50) ? 4 : 13;
    packet.source_port = packet.destination_port = 0;
  }

  void fill_tcp(Packet& packet) {
    reference::Tcp& tcp = packet.tcp;
    tcp.window = chance(90) ? 5000 : chance(50) ? 200 : 0;
    bool reverse = false;
    const reference::Connection* connection = reference_.find(packet, reverse);
    constexpr std::uint8_t kAny[] = {kSyn, kSyn | kAck, kAck, kFin | kAck, kRst, kRst | kAck};
    const reference::Reference::Cookie* cookie = connection == nullptr ? reference_.cookie_of(packet) : nullptr;
    if (cookie != nullptr && chance(75)) {  // brought back, or nearly
      tcp.flags = chance(90) ? kAck : pick(kAny);
      tcp.sequence = cookie->initial + (chance(90) ? 1 : any_of(4));
      tcp.acknowledgement = cookie->cookie + (chance(85) ? 1 : any_of(4) << 8);
      tcp.payload = chance(80) ? 0 : 10;
      return;
    }
    if (connection == nullptr) {
      tcp.flags = chance(85) ? kSyn : pick(kAny);
      tcp.sequence = 4'000'000 + static_cast<std::uint32_t>(random_() % 1'000'000);
      tcp.acknowledgement = 5'000'000;
      tcp.payload = tcp.flags == kSyn && chance(95) ? 0 : 10;
      return;
    }
    do fill_segment(tcp, *connection, reverse);
    while (is_unclear(tcp, *connection, reverse));
  }
  /// Simultaneous opens and challenged SYNs have tests of their own; the reference knows neither.
  static bool is_unclear(const reference::Tcp& tcp, const reference::Connection& connection, bool reverse) {
    return connection.phase == reference::TcpPhase::kSynSent && reverse && (tcp.flags == kSyn || (tcp.flags == kAck && tcp.payload == 0));
  }
  void fill_segment(reference::Tcp& tcp, const reference::Connection& connection, bool reverse) {
    constexpr std::uint8_t kAny[] = {kSyn, kSyn | kAck, kAck, kFin | kAck, kRst, kRst | kAck};
    constexpr std::int32_t kNear[] = {0, 0, -60, 60, 1'000'000, -1'000'000};
    const reference::Side& own = connection.side[reverse ? 1 : 0];
    const reference::Side& peer = connection.side[reverse ? 0 : 1];
    const bool opening = connection.phase == reference::TcpPhase::kSynSent;
    const bool opened = connection.phase == reference::TcpPhase::kSynReceived;
    const std::uint32_t end = own.end == 0 ? 4'500'000 : own.end;
    tcp.sequence = end;
    tcp.acknowledgement = peer.end;
    tcp.payload = 0;
    if (chance(25)) {  // something else
      tcp.flags = pick(kAny);
      tcp.sequence += static_cast<std::uint32_t>(pick(kNear));
      if (peer.end != 0) tcp.acknowledgement += static_cast<std::uint32_t>(pick(kNear));  // the reference's numbers never wrap
      tcp.payload = chance(50) ? 0 : 60;
    } else if (opening) {
      tcp.flags = reverse ? kSyn | kAck : kSyn;
      if (!reverse) tcp.sequence = own.edge - 1;
    } else if (opened && reverse) {
      tcp.flags = kSyn | kAck;
      tcp.sequence = connection.reverse_start - 1;
    } else {
      tcp.flags = chance(25) ? kFin | kAck : chance(6) ? kRst : kAck;
      tcp.payload = chance(50) ? 0 : static_cast<std::uint16_t>(random_() % 100);
    }
    if (!connection.proxied) return;  // each side in its own numbers
    if (!reverse) tcp.acknowledgement -= connection.shift;
  }

  /// An error about what the packet's receiver may have sent.
  void make_error(Packet& packet) {
    bool reverse = false;
    const reference::Connection* connection = reference_.find(packet, reverse);
    const bool six = packet.source.family == Family::kIpv6;
    Packet::Quote quote{packet.destination, packet.source, packet.protocol, packet.destination_port, packet.source_port, 1};
    if (connection != nullptr && packet.protocol == 6) {
      constexpr std::uint32_t kBack[] = {0, 1, 60, 1'000'000};
      quote.sequence = connection->side[reverse ? 0 : 1].end - pick(kBack) - (connection->proxied && !reverse ? connection->shift : 0);
    }
    if (chance(10)) quote.source = quote.destination;
    if (chance(30)) packet.source = address(six ? "2400::77" : "8.8.4.4");  // a router on the way
    packet.protocol = six ? 58 : 1;
    packet.icmp_type = six ? 1 : 3;
    packet.icmp_code = 1;
    packet.source_port = packet.destination_port = 0;
    packet.quote = quote;
  }

  void add_flaw(Packet& packet) {
    constexpr Flaw kFlaws4[] = {Flaw::kHeaderChecksum, Flaw::kReservedFlag, Flaw::kRecordRoute, Flaw::kSourceRoute, Flaw::kUnknownOption,
                                Flaw::kReservedProtocol};
    constexpr Flaw kFlaws6[] = {Flaw::kRoutingHeader0, Flaw::kHopByHopLate, Flaw::kReservedProtocol};
    packet.flaw = packet.source.family == Family::kIpv4 ? pick(kFlaws4) : pick(kFlaws6);
    if (packet.quote) return;
    if (packet.protocol == 6 && chance(50)) packet.flaw = chance(50) ? Flaw::kTcpNull : Flaw::kTcpSynFin;
    if (packet.protocol == 17 && chance(50)) packet.flaw = Flaw::kUdpLength;
    if ((packet.protocol == 6 || packet.protocol == 17) && chance(30)) packet.flaw = Flaw::kL4Checksum;
  }

  std::mt19937_64 random_;
  const reference::Reference& reference_;
  const bool one_worker_;
  unsigned tenant_ = 0;
  bool six_ = false;
  Host a_, b_;
  std::uint8_t protocol_ = 17;
  std::uint16_t a_port_ = 0, b_port_ = 0;
  std::uint32_t last_id_ = 0;
};

// -------------------------------------------------------------------------------------------------------- the test

/// The rules of a policy in the words of the world's snapshots.
std::vector<RuleText> texts_of(const reference::TenantPolicy& policy) {
  constexpr snapshot::Action kActions[] = {snapshot::Action::kAllow, snapshot::Action::kDrop, snapshot::Action::kReject};
  const auto words = [](const std::vector<Prefix>& prefixes) {
    std::vector<const char*> out;
    for (const char* text : kPrefixes) {
      if (!prefixes.empty() && *parse_prefix(text) == prefixes[0]) out = {text};
    }
    return out;
  };
  std::vector<RuleText> out;
  for (const reference::Rule& rule : policy.rules) {
    const reference::Match& match = rule.match;
    out.push_back({.id = rule.id, .action = kActions[static_cast<std::size_t>(rule.action)], .sources = words(match.sources),
                   .destinations = words(match.destinations), .protocol = match.protocol, .port_low = match.port_low,
                   .port_high = match.port_high, .keep_on_change = rule.keep, .source_zones = match.from_zones, .destination_zones = match.to_zones});
  }
  return out;
}

NatText text_of(const reference::NatRule& rule) {
  using snapshot::NatKind;
  constexpr NatKind kKinds[] = {NatKind::kSnat, NatKind::kDnat, NatKind::kStatic, NatKind::kNapt, NatKind::kNptv6, NatKind::kNoNat};
  const auto words = [](const std::vector<Prefix>& prefixes) {
    std::vector<std::string> out;
    for (const Prefix& prefix : prefixes) out.push_back(to_string(prefix));
    return out;
  };
  const reference::Match& match = rule.match;
  NatText out{.kind = kKinds[static_cast<std::size_t>(rule.kind)], .sources = words(match.sources), .destinations = words(match.destinations),
              .source_zones = match.from_zones, .destination_zones = match.to_zones, .protocol = match.protocol, .port_low = match.port_low,
              .port_high = match.port_high, .block_ports = rule.block, .translated_port = rule.port};
  if (rule.kind == reference::Nat::kNptv6) {
    out.translated = {to_string(rule.low) + "/48"};
    out.prefix_length = 48;
  } else if (rule.kind != reference::Nat::kNoNat) {
    out.translated = {to_string(rule.low) + "-" + to_string(rule.high)};
  }
  return out;
}

/// Gives a snapshot what the texts of its rules cannot say.
void complete(filters::SnapshotBuilder& builder, const reference::Policy& policy, std::int64_t moment) {
  const auto rule_of = [&](std::uint32_t id) -> const reference::Rule* {
    for (const reference::TenantPolicy& tenant : policy) {
      for (const reference::Rule& rule : tenant.rules) {
        if (rule.id == id) return &rule;
      }
    }
    return nullptr;
  };
  bool timed = false;
  for (std::uint32_t index = 0; index < builder.rules.size(); ++index) {
    snapshot::Rule& out = builder.rules[index];
    const reference::Rule* rule = out.is_default != 0 ? nullptr : rule_of(out.id);
    if (rule == nullptr) continue;
    out.guard = rule->guard ? 1 : 0;
    out.timed = rule->guard ? 0 : 1;
    out.standing = static_cast<snapshot::Standing>(rule->standing);
    timed |= out.timed != 0;
    if ((rule->sessions_max | rule->source_sessions_max | rule->sessions_per_second | rule->source_sessions_per_second | rule->half_open_max) == 0) continue;
    builder.rule_limits.push_back({.rule = index, .half_open_max = rule->half_open_max, .sessions_max = rule->sessions_max,
                                   .sessions_per_second = rule->sessions_per_second, .source_sessions_max = rule->source_sessions_max,
                                   .source_sessions_per_second = rule->source_sessions_per_second});
  }
  if (timed) builder.moments.push_back({moment});
  constexpr std::uint8_t kModes[] = {0, snapshot::kReversePathStrict, snapshot::kReversePathOff};
  for (std::uint32_t tenant = 0; tenant < 2; ++tenant) {
    const std::uint32_t share = tenant == 0 ? 2 : 6;
    builder.ports[share].source_checks = static_cast<std::uint8_t>(kModes[static_cast<std::size_t>(policy[tenant].reverse_path)] |
                                                                   (policy[tenant].refuse_bogons ? snapshot::kRefuseBogons : 0));
    if (policy[tenant].segment) share_client_port(builder);
    builder.tenants[tenant].quotas.new_sessions_per_second = policy[tenant].sessions_per_second;
    if (policy[tenant].half_open_max != 0) {
      const auto protection = policy[tenant].drops_floods ? snapshot::SynProtection::kDrop : snapshot::SynProtection::kCookies;
      builder.state_limits.push_back({tenant, policy[tenant].half_open_max, 0, protection, {}});
    }
    for (const reference::NatRule& rule : policy[tenant].nat) add_nat(builder, tenant, text_of(rule));
    if (!policy[tenant].routes_documentation) continue;
    snapshot::Range& routes = builder.tenants[tenant].routes;
    const auto end = builder.routes.begin() + routes.first + routes.count;
    builder.routes.insert(end, {{*parse_prefix("198.51.100.0/24"), 1, 0, share, address("192.0.2.2"), {}},
                                {*parse_prefix("2001:db8:ffff::/48"), 1, 0, share, address("2001:db8:0:1::2"), {}}});
    routes.count += 2;
    for (std::uint32_t later = tenant + 1; later < 2; ++later) builder.tenants[later].routes.first += 2;
  }
}

class PathDifferential : public testing::TestWithParam<std::uint32_t> {
 protected:
  PathDifferential()
      : world_({.workers = GetParam(), .sessions = 16384, .sessions_max = 16384}),
        generator_(number_from("SEKISHO_SEED", 20241128) + GetParam(), reference_, GetParam() == 1) {}

  /// A new revision, or the same one at another time.
  std::string change_policy() {
    std::string difference;
    if (rated_) difference = let_time_pass();  // a rule's place may be another's now, and what it has used
    if (generation_ == 0 || !generator_.chance(30)) {
      for (unsigned tenant = 0; tenant < 2; ++tenant) policy_[tenant] = generator_.policy(tenant);
      ++generation_;
    } else {
      for (reference::TenantPolicy& policy : policy_) generator_.let_time_pass(policy);
    }
    ++moment_;
    world_.apply(generation_, texts_of(policy_[0]), {.rules_b = texts_of(policy_[1]), .edit = [this](filters::SnapshotBuilder& builder) {
                                                       complete(builder, policy_, moment_);
                                                     }});
    reference_.commit(policy_);
    swept_ = false;
    rated_ = false;
    for (const reference::TenantPolicy& policy : policy_) {
      rated_ |= policy.sessions_per_second != 0;
      for (const reference::Rule& rule : policy.rules) rated_ |= (rule.sessions_per_second | rule.source_sessions_per_second) != 0;
    }
    return difference;
  }

  /// Lets the data plane judge its silent sessions again.
  void sweep() {
    for (std::uint32_t shard = 0; shard < world_.engine().shards(); ++shard) {
      while (world_.engine().shard(shard).sweep.finished.read() != world_.engine().runtime()->generation) world_.turn(shard);
    }
    reference_.sweep();
    swept_ = true;
  }

  /// Longer than a datagram waits; and no multiple of seven seconds is a timeout, or close to one.
  std::string let_time_pass() {
    constexpr std::array kReasons{DropReason::kFragmentTimeout, DropReason::kFragmentOrphan};
    if (!swept_) sweep();
    std::array<std::uint64_t, kReasons.size()> before;
    for (std::size_t i = 0; i < kReasons.size(); ++i) before[i] = world_.drops(kReasons[i]);
    world_.pass(seconds(7));
    collect();
    std::map<DropReason, unsigned> wanted = reference_.pass(7);
    for (std::size_t i = 0; i < kReasons.size(); ++i) {
      if (world_.drops(kReasons[i]) != before[i] + wanted[kReasons[i]]) return "waiting pieces should end otherwise; " + last_drop();
    }
    if (world_.sessions() == reference_.connections()) return "";
    return std::to_string(world_.sessions()) + " sessions live instead of " + std::to_string(reference_.connections());
  }

  void fall_silent() {
    world_.pass(seconds(15000));
    collect();
    world_.records();
    reference_.forget();
    swept_ = true;
  }

  FrameBuilder link_in(const Packet& packet) const {
    const Mac from = packet.foreign_mac ? mac("52:54:00:00:00:99") : packet.second_mac ? kSecondMac : host_of(packet.port);
    const Mac to = packet.other_machine ? mac("52:54:00:00:00:98") : world_.gateway(nic_of(packet.port));
    return tags_of(FrameBuilder().ethernet(from, to), packet.port, packet.tenant);
  }
  FrameBuilder link_out(Port port, unsigned tenant, const Address& destination) const {
    const Mac host = port == Port::kClient && reference::is_second(destination) ? kSecondMac : host_of(port);
    return tags_of(FrameBuilder().ethernet(world_.gateway(nic_of(port)), host), port, tenant);
  }
  static bool asks(const Frame& frame) {
    if (frame.size() > 13 && frame[12] == 0x08 && frame[13] == 0x06) return true;
    return frame.size() > 54 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == 58 && frame[54] == 135;
  }
  /// What came out, with the router's neighbours' questions answered meanwhile.
  std::array<std::vector<Frame>, kNics> collect() {
    std::array<std::vector<Frame>, kNics> out;
    for (bool asked = true; asked;) {
      asked = false;
      for (std::uint16_t nic = 0; nic < kNics; ++nic) {
        for (Frame& frame : world_.collect(nic)) {
          if (nic == kUplinkNic && asks(frame)) {
            asked = true;
          } else {
            out[nic].push_back(std::move(frame));
          }
        }
      }
      if (asked) answer();
    }
    return out;
  }
  void answer() {
    const Mac own = world_.gateway(kUplinkNic);
    world_.inject(kUplinkNic, FrameBuilder().ethernet(kRouterMac, own)
                                  .arp({.operation = 2, .sender_mac = kRouterMac, .sender = address("192.0.2.2"), .target_mac = own, .target = address("192.0.2.1")})
                                  .build());
    world_.inject(kUplinkNic, FrameBuilder().ethernet(kRouterMac, own).ipv6("2001:db8:0:1::2", "2001:db8:0:1::1", {.hop_limit = 255})
                                  .nd(136, {.target = address("2001:db8:0:1::2"), .target_link_layer = kRouterMac, .flags = 0x60000000U}).build());
  }

  /// An empty text, or how data plane and reference differ about the packet.
  std::string compare(const Packet& packet) {
    Frame frame = frame_of(link_in(packet), packet, packet.ttl);
    if (packet.flaw == Flaw::kHeaderChecksum) frame[frame_offset(frame) + 5] ^= 0xff;
    if (packet.piece) frame = piece_of(frame, *packet.piece);
    if (explains_) last_drop(), scene_ += "\n    " + text_of(packet);
    std::vector<Candidate> candidates = candidates_for(packet);
    if (explains_ && candidates[0].wanted.what == Verdict::kDropped) scene_ += ": " + std::string(filters::info(candidates[0].wanted.reason).name);
    world_.inject(nic_of(packet.port), frame);
    const auto out = collect();
    std::string first_difference;
    for (Candidate& candidate : candidates) {
      std::string difference = check(packet, candidate.wanted, candidate.before, out, candidate.reference);
      if (difference.empty() && packet.piece && waiting() != candidate.reference.waiting_pieces()) difference = "another number of pieces waits; " + last_drop();
      if (difference.empty()) {
        reference_ = std::move(candidate.reference);
        return follow_up(packet, candidate.wanted);
      }
      if (first_difference.empty()) first_difference = std::move(difference);
    }
    reference_ = std::move(candidates[0].reference);
    return first_difference;
  }
  /// What may have been before a packet.
  struct Candidate {
    reference::Reference reference;
    Verdict wanted;
    std::uint64_t before;  ///< counted of the reason it ends for
  };
  /// Of one worker: what is. The first packet after a commit comes, of two, before either has swept, or between: who it is handed
  /// to, and when, is the data plane's affair; their turns have an order.
  std::vector<Candidate> candidates_for(const Packet& packet) {
    std::vector<reference::Reference> all{reference_};
    if (GetParam() > 1 && !swept_) {
      const std::set<FlowName> first = flows_of(0);
      all.push_back(reference_);
      all.back().sweep([&](const reference::Connection& one) { return first.contains({one.tenant, one.first.protocol, one.received.source, one.received.destination, one.received.source_port, one.received.destination_port}); });
      all.push_back(reference_);
      all.back().sweep();
    }
    std::vector<Candidate> out;
    for (reference::Reference& reference : all) {
      const Verdict wanted = reference.judge(packet);
      out.push_back({std::move(reference), wanted, world_.drops(wanted.reason)});
    }
    return out;
  }
  using FlowName = std::tuple<unsigned, std::uint8_t, Address, Address, std::uint16_t, std::uint16_t>;
  /// The connections a worker has, by their first packets.
  std::set<FlowName> flows_of(std::uint32_t shard) {
    std::set<FlowName> out;
    const dataplane::SessionTable& sessions = world_.engine().shard(shard).sessions;
    for (std::uint32_t index = 0; index < sessions.used_end(); ++index) {
      if (!sessions.live(index)) continue;
      const dataplane::Session& session = sessions.at(index);
      const filters::FlowEnds ends = dataplane::path::ends_of(session);
      const unsigned tenant = dataplane::tenant_of(session.key) == kTenantA ? 0 : 1;
      out.insert({tenant, session.protocol, ends.source, ends.destination, ends.source_port, ends.destination_port});
    }
    return out;
  }
  /// Sees what the verdict leaves open.
  std::string follow_up(const Packet& packet, const Verdict& verdict) {
    if (verdict.any_port && verdict.what == Verdict::kDropped) return reveal(packet, verdict.out);
    return verdict.for_client ? finish_handshake(packet) : "";
  }
  [[nodiscard]] std::uint64_t waiting() {
    std::uint64_t out = 0;
    for (std::uint32_t shard = 0; shard < world_.engine().shards(); ++shard) out += world_.engine().shard(shard).packets.held.read();
    return out;
  }
  /// Has the port of a connection shown whose first packet could not go on.
  std::string reveal(const Packet& packet, Port out) {
    world_.inject(nic_of(packet.port), frame_of(link_in(packet), packet, 64));
    const auto frames = std::move(collect()[nic_of(out)]);
    if (frames.size() != 1) return "the same again should pass; " + last_drop();
    return reference_.took(port_in(frames[0], packet.protocol)) ? "" : "not a port it may have";
  }
  std::string check(const Packet& packet, const Verdict& wanted, std::uint64_t before, const std::array<std::vector<Frame>, kNics>& out,
                    reference::Reference& reference) {
    const std::uint64_t now = world_.drops(wanted.reason);
    std::size_t frames = 0;
    for (const auto& list : out) frames += list.size();
    if (wanted.what == Verdict::kPasses) {
      const std::size_t many = std::max<std::size_t>(1, wanted.pieces.size());
      const unsigned tenant = packet.port == Port::kUplink ? owner_of(packet.destination) : packet.tenant;
      const auto& there = out[nic_of(wanted.out)];
      if (frames != many || there.size() != many) return "should pass, " + std::to_string(frames) + " frames came out; " + last_drop();
      Packet sent = wanted.sent;
      if (wanted.any_port) {
        const std::uint16_t port = port_in(there[0], packet.protocol);
        if (!reference.took(port)) return "not a port it may have: " + std::to_string(port);
        sent.source_port = port;
        if (packet.protocol == 1) sent.destination_port = port;
      }
      if (wanted.for_client) return is_segment(there[0], link_out(wanted.out, tenant, sent.destination), sent) ? "" : "not the SYN the client made: " + hex(there[0]);
      const Frame whole = frame_of(link_out(wanted.out, tenant, sent.destination), sent, static_cast<std::uint8_t>(packet.ttl - 1));
      for (std::size_t i = 0; i < many; ++i) {
        const Frame expected = wanted.pieces.empty() ? whole : piece_of(whole, wanted.pieces[i]);
        if (there[i] != expected) return "passed, but as " + hex(there[i]) + "\n  instead of     " + hex(expected);
      }
      return "";
    }
    if (wanted.what == Verdict::kWaits) return frames == 0 ? "" : "should wait, but something came out";
    if (wanted.cookie) {
      const auto& there = out[nic_of(packet.port)];
      if (frames != 1 || there.size() != 1) return "should be answered with a cookie; " + last_drop();
      const TcpKnobs said = tcp_in(there[0]);
      if (said.flags != (kSyn | kAck) || said.acknowledgement != packet.tcp.sequence + 1 || said.window != 0) return "answered, but without a cookie";
      reference.told_cookie(said.sequence);
      return "";
    }
    if (wanted.what == Verdict::kAnswered) return frames == 1 && out[nic_of(packet.port)].size() == 1 ? "" : "should be answered; " + last_drop();
    const bool told = wanted.reason == DropReason::kRuleReject || wanted.reason == DropReason::kTtlExceeded || wanted.reason == DropReason::kNoRoute;
    if (now != before + wanted.packets) return "should end as " + std::string(filters::info(wanted.reason).name) + "; " + last_drop();
    if (frames > (told ? 1U : 0U) || frames != out[nic_of(packet.port)].size()) return "dropped, but something came out";
    return "";
  }
  /// Of a TCP frame without IP options or extension headers.
  static TcpKnobs tcp_in(const Frame& frame) {
    const std::size_t at = frame_offset(frame) + (is_v4(frame) ? 20 : 40);
    return {.flags = frame[at + 13], .sequence = load_be<std::uint32_t>(frame, at + 4), .acknowledgement = load_be<std::uint32_t>(frame, at + 8),
            .window = load_be<std::uint16_t>(frame, at + 14)};
  }
  /// Whether a frame is what the packet says, but for options and whatever else the gateway is free to choose.
  static bool is_segment(const Frame& frame, FrameBuilder link, const Packet& packet) {
    const Frame whole = frame_of(std::move(link), packet, 64);
    const std::size_t ip = frame_offset(whole), addresses = ip + (is_v4(whole) ? 12 : 8), ports = ip + (is_v4(whole) ? 20 : 40);
    if (frame.size() < whole.size() || !std::equal(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(ip), frame.begin())) return false;
    if (!std::equal(whole.begin() + static_cast<std::ptrdiff_t>(addresses), whole.begin() + static_cast<std::ptrdiff_t>(ports + 4),
                    frame.begin() + static_cast<std::ptrdiff_t>(addresses))) {
      return false;
    }
    const TcpKnobs said = tcp_in(frame);
    return said.flags == packet.tcp.flags && said.sequence == packet.tcp.sequence && said.window == packet.tcp.window &&
           (said.flags == kSyn || said.acknowledgement == packet.tcp.acknowledgement);
  }
  /// The server agrees to what a client with a cookie asks for, and both are told so; or refuses, and the client is.
  std::string finish_handshake(const Packet& packet) {
    bool reverse = false;
    const reference::Connection connection = *reference_.find(packet, reverse);
    Packet answer = packet;
    answer.port = connection.port[1];
    answer.tenant = connection.tenant;
    answer.ttl = 64;
    answer.foreign_mac = answer.other_machine = false;
    std::tie(answer.source, answer.destination, answer.source_port, answer.destination_port) =
        std::tie(connection.sent.destination, connection.sent.source, connection.sent.destination_port, connection.sent.source_port);
    answer.second_mac = answer.port == Port::kClient && reference::is_second(answer.source);
    const bool ours = is_public(answer.source) || answer.source == address("192.0.2.1") || answer.source == address("2001:db8:0:1::1");
    if (answer.port == Port::kUplink && (ours || !is_public(answer.destination) || owner_of(answer.destination) != connection.tenant)) {
      fall_silent();  // it cannot be answered
      return "";
    }
    const reference::Reference::Cookie cookie = *reference_.cookie_of(packet);
    if (connection.sent == connection.received && generator_.chance(30)) return refuse(packet, connection, answer, cookie);
    answer.tcp = {.flags = kSyn | kAck, .sequence = 4'500'000, .acknowledgement = cookie.initial + 1, .window = 5000, .payload = 0};
    world_.inject(nic_of(answer.port), frame_of(link_in(answer), answer, 64));
    const auto out = collect();
    reference_.agreed(packet, answer.tcp);
    ++reference_.met["connections joined behind a cookie"];
    Packet to_server = packet, to_client = packet;
    std::tie(to_server.source, to_server.destination, to_server.source_port, to_server.destination_port) =
        std::tie(answer.destination, answer.source, answer.destination_port, answer.source_port);
    to_server.tcp = {.flags = kAck, .sequence = cookie.initial + 1, .acknowledgement = 4'500'001, .window = packet.tcp.window, .payload = 0};
    std::tie(to_client.source, to_client.destination, to_client.source_port, to_client.destination_port) =
        std::tie(packet.destination, packet.source, packet.destination_port, packet.source_port);
    to_client.tcp = {.flags = kAck, .sequence = cookie.cookie + 1, .acknowledgement = cookie.initial + 1, .window = 5000, .payload = 0};
    const auto heard = [&](Port port, const Packet& wanted) {
      const auto& frames = out[nic_of(port)];
      return std::any_of(frames.begin(), frames.end(), [&](const Frame& frame) { return is_segment(frame, link_out(port, connection.tenant, wanted.destination), wanted); });
    };
    if (out[0].size() + out[1].size() + out[2].size() != 2) return "the server's answer should tell both; " + last_drop();
    return heard(connection.port[1], to_server) && heard(connection.answers, to_client) ? "" : "told something else";
  }
  std::string refuse(const Packet& packet, const reference::Connection& connection, Packet answer, const reference::Reference::Cookie& cookie) {
    answer.tcp = {.flags = kRst | kAck, .sequence = 0, .acknowledgement = cookie.initial + 1, .window = 0, .payload = 0};
    world_.inject(nic_of(answer.port), frame_of(link_in(answer), answer, 64));
    const auto out = collect();
    reference_.refused(packet, answer.tcp);
    ++reference_.met["connections refused behind a cookie"];
    Packet to_client = answer;
    to_client.tcp.sequence = cookie.cookie + 1;
    const auto& there = out[nic_of(connection.answers)];
    if (out[0].size() + out[1].size() + out[2].size() != 1 || there.size() != 1) return "the server's reset should tell the client; " + last_drop();
    if (!is_segment(there[0], link_out(connection.answers, connection.tenant, to_client.destination), to_client)) return "told something else";
    const std::string first = let_time_pass();  // until it is forgotten: what its ends still say to each other has tests of its own
    return first.empty() ? let_time_pass() : first;
  }
  static bool is_public(const Address& address) {
    return parse_prefix("203.0.113.16/28")->contains(address) || parse_prefix("203.0.113.32/28")->contains(address) ||
           parse_prefix("2001:db8:a::/48")->contains(address) || parse_prefix("2001:db8:b::/48")->contains(address);
  }
  static std::string hex(const Frame& frame) {
    std::string out;
    for (const std::uint8_t byte : frame) out += "0123456789abcdef"[byte >> 4], out += "0123456789abcdef"[byte & 15];
    return out;
  }
  /// The source port, or an echo's identifier, of an IPv4 frame.
  static std::uint16_t port_in(const Frame& frame, std::uint8_t protocol) {
    const std::size_t transport = frame_offset(frame) + 20;
    return load_be<std::uint16_t>(frame, transport + (protocol == 1 ? 4 : 0));
  }
  static std::size_t frame_offset(const Frame& frame) {
    std::size_t at = 12;
    while (frame[at] == 0x81 || frame[at] == 0x88) at += 4;
    return at + 2;
  }
  static unsigned owner_of(const Address& destination) {
    return parse_prefix("203.0.113.32/28")->contains(destination) || parse_prefix("2001:db8:b::/48")->contains(destination) ? 1 : 0;
  }
  /// What the data plane counted since the last question: for this packet, when SEKISHO_EXPLAIN is set.
  std::string last_drop() {
    std::string out = "counted:";
    for (std::size_t i = 1; i < static_cast<std::size_t>(DropReason::kCount); ++i) {
      const std::uint64_t now = world_.drops(static_cast<DropReason>(i));
      if (now != counted_[i]) out += " " + std::string(filters::info(static_cast<DropReason>(i)).name) + " +" + std::to_string(now - counted_[i]);
      counted_[i] = now;
    }
    return out;
  }

  World world_;
  reference::Reference reference_;
  Generator generator_;
  reference::Policy policy_;
  std::uint32_t generation_ = 0;
  std::int64_t moment_ = 0;
  bool swept_ = true;
  bool rated_ = false;  ///< rules or tenants have rates
  std::string scene_;  ///< its packets and their ends, when it is explained
  const bool explains_ = std::getenv("SEKISHO_EXPLAIN") != nullptr;
  std::array<std::uint64_t, static_cast<std::size_t>(DropReason::kCount)> counted_{};
  std::uint64_t packets_ = 0;
};

TEST_P(PathDifferential, DataPlaneAndReferenceAgreeOnEveryPacket) {
  const std::uint64_t pairs = number_from("SEKISHO_PAIRS", kPairsInTheBuild) / 2;
  unsigned differences = 0;
  for (std::uint64_t pair = 0; pair < pairs && differences < 10; ++pair) {
    if (pair % (kScenesOfAPolicy * kPoliciesBetweenSilences) == 0) fall_silent();
    generator_.new_scene();
    scene_.clear();
    const unsigned change = pair % kScenesOfAPolicy == 0 ? generator_.any_of(8) : 8;
    const auto differs = [&](const std::string& what, const std::string& how) {
      if (how.empty()) return false;
      ++differences;
      ADD_FAILURE() << "pair " << pair << ", " << what << "\n  " << how << scene_;
      fall_silent();  // each difference by itself
      return true;
    };
    if (generator_.chance(8) || reference_.datagrams() > 20) differs("time passes", let_time_pass());
    for (unsigned i = 0; i < 8 && differences < 10; ++i) {
      if (i == change || generation_ == 0) differs("time passes before a commit", change_policy());
      for (const Packet& packet : generator_.next_packets()) {
        if (packet.piece && packet.piece->begin != 0 && generator_.chance(2)) differs("time passes before a commit", change_policy());  // under a waiting datagram
        const bool different = differs("packet " + std::to_string(i) + ": " + text_of(packet), compare(packet));
        if (!swept_) sweep();
        ++packets_;
        if (different) break;
      }
    }
  }
  EXPECT_TRUE(world_.conserved());
  unsigned reasons = 0;
  for (std::size_t i = 1; i < static_cast<std::size_t>(DropReason::kCount); ++i) reasons += world_.drops(static_cast<DropReason>(i)) > 0 ? 1U : 0U;
  std::cout << pairs << " pairs of policy and scene, " << packets_ << " packets, " << GetParam() << " workers, seed "
            << number_from("SEKISHO_SEED", 20241128) << ": " << reasons << " drop reasons, " << differences << " differences\n";
  for (const auto& [what, times] : reference_.met) std::cout << "  " << times << " " << what << "\n";
  for (const char* what : {"connections that fell silent", "datagrams made whole", "datagrams not made whole", "datagrams without a first piece",
                           "datagrams with an overlap", "pieces that came twice", "pieces refused by themselves", "connections beyond a rule's rate",
                           "SYNs dropped beyond a half-open limit", "SYNs answered with a cookie", "cookies brought back",
                           "connections joined behind a cookie", "connections refused behind a cookie", "packets of a segment's first host", "packets of a segment's second host",
                           "packets of a segment with a neighbour's address"}) {
    EXPECT_GT(reference_.met[what], 0U) << what;
  }
  EXPECT_TRUE(GetParam() > 1 || reference_.met["packets beyond the tenant's rate"] > 0);
  EXPECT_GE(reasons, 45U);  // or the generator has gone blind
}

INSTANTIATE_TEST_SUITE_P(Workers, PathDifferential, testing::Values(1U, 2U), [](const auto& instance) { return std::to_string(instance.param); });

}  // namespace
}  // namespace sekisho::tests
