// SPDX-License-Identifier: Apache-2.0
// Goal: what no rule can allow (docs/default-drops.md) is dropped, counted and logged under its own name with an
// allow-any rule in force, at every kind of Port, and the nearest legal packet passes. Method: a table, one row a class;
// each row at the shared uplink, at a routed port and at a bound segment.
#include <functional>
#include <set>

#include "filters/packet/address_class.h"
#include "tests/path/path_test.h"

namespace sekisho::tests {
namespace {

using filters::DropReason;
using std::chrono::seconds;
namespace snapshot = filters::snapshot;

enum Where : unsigned { kAtUplink = 1, kAtRouted = 2, kAtSegment = 4, kEverywhere = 7 };

/// Where a frame comes in, and good ends for it.
struct Ground {
  unsigned where;
  std::uint16_t nic;
  FrameBuilder link;
  const char *source4, *destination4, *source6, *destination6;
  const char *own4, *own6, *broadcast4, *network4, *foreign4, *foreign6;

  FrameBuilder ip(std::string_view from, std::string_view to) const {
    return from.find(':') == std::string_view::npos ? FrameBuilder(link).ipv4(from, to) : FrameBuilder(link).ipv6(from, to);
  }
  FrameBuilder v4(Ipv4Knobs knobs = {}) const { return FrameBuilder(link).ipv4(source4, destination4, std::move(knobs)); }
  FrameBuilder v6(Ipv6Knobs knobs = {}) const { return FrameBuilder(link).ipv6(source6, destination6, knobs); }
};

using Make = std::function<Frame(const Ground&)>;

/// The code a class is logged under: a security event in capitals, or the reason of a comm record.
struct Row {
  const char* name;
  Make frame;
  DropReason reason;
  const char* log;
  unsigned where = kEverywhere;
  DropReason on_segment = DropReason::kNone;  ///< the Binding's step that comes first there; kNone: none does
};

Make from(const char* source) {
  return [source](const Ground& g) {
    const bool six = std::string_view(source).find(':') != std::string_view::npos;
    return g.ip(source, six ? g.destination6 : g.destination4).udp(5000, 53).build();
  };
}
Make to(const char* destination) {
  return [destination](const Ground& g) {
    const bool six = std::string_view(destination).find(':') != std::string_view::npos;
    return g.ip(six ? g.source6 : g.source4, destination).udp(5000, 53).build();
  };
}
Make header4(Ipv4Knobs knobs) {
  return [knobs](const Ground& g) { return g.v4(knobs).udp(5000, 53).build(); };
}
Make header6(Ipv6Knobs knobs) {
  return [knobs](const Ground& g) { return g.v6(knobs).udp(5000, 53).build(); };
}
Make option4(std::vector<std::uint8_t> options) { return header4({.options = std::move(options)}); }
Make extension(std::uint8_t number, std::vector<std::uint8_t> rest) {
  return [=](const Ground& g) { return g.v6().extension(number, rest).udp(5000, 53).build(); };
}
/// Bytes behind an IP header: an ESP index is never zero, GRE flags mostly are.
Frame body_of(std::uint8_t protocol) { return Frame(24, protocol == 50 ? 1 : 0); }
Make protocol4(std::uint8_t number) {
  return [=](const Ground& g) { return g.v4().protocol(number, body_of(number)).build(); };
}
Make protocol6(std::uint8_t number) {
  return [=](const Ground& g) { return g.v6().protocol(number, body_of(number)).build(); };
}
Make tcp(TcpKnobs knobs, bool six = false, unsigned source = 5000, unsigned destination = 80) {
  return [=](const Ground& g) { return (six ? g.v6() : g.v4()).tcp(source, destination, knobs).build(); };
}
Make flags(unsigned set, bool six = false) { return tcp({.flags = static_cast<std::uint8_t>(set)}, six); }
Make udp(UdpKnobs knobs, bool six = false, unsigned source = 5000, unsigned destination = 53) {
  return [=](const Ground& g) { return (six ? g.v6() : g.v4()).udp(source, destination, knobs).build(); };
}
Make icmp(std::uint8_t type, std::uint8_t code = 0, bool six = false, std::optional<unsigned> checksum = {}) {
  return [=](const Ground& g) { return (six ? g.v6() : g.v4()).icmp(type, code, 0, checksum).payload(56).build(); };
}
Make grouped(bool six) {
  return [=](const Ground& g) {
    FrameBuilder frame = six ? g.v6() : g.v4();
    return frame.ethernet(g.nic == kUplinkNic ? kRouterMac : kClientMac, mac("ff:ff:ff:ff:ff:ff")).udp(5000, 53).build();
  };
}
Make to_own(bool six, std::uint8_t protocol) {
  return [=](const Ground& g) { return (six ? g.ip(g.source6, g.own6) : g.ip(g.source4, g.own4)).protocol(protocol, body_of(protocol)).build(); };
}

std::vector<Row> sources() {
  using R = DropReason;
  const auto own4 = [](const Ground& g) { return g.ip(g.own4, g.destination4).udp(5000, 53).build(); };
  const auto own6 = [](const Ground& g) { return g.ip(g.own6, g.destination6).udp(5000, 53).build(); };
  const auto foreign4 = [](const Ground& g) { return g.ip(g.foreign4, g.destination4).udp(5000, 53).build(); };
  const auto foreign6 = [](const Ground& g) { return g.ip(g.foreign6, g.destination6).udp(5000, 53).build(); };
  return {
      {"v4 source: limited broadcast", from("255.255.255.255"), R::kSourceBroadcast, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: broadcast of the network", [](const Ground& g) { return g.ip(g.broadcast4, g.destination4).udp(5000, 53).build(); },
       R::kSourceBroadcast, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: the network itself", [](const Ground& g) { return g.ip(g.network4, g.destination4).udp(5000, 53).build(); },
       R::kSourceBroadcast, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: multicast", from("224.0.0.5"), R::kSourceMulticast, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: multicast, administratively scoped", from("239.255.0.1"), R::kSourceMulticast, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: loopback", from("127.0.0.1"), R::kSourceLoopback, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: unspecified", from("0.0.0.0"), R::kSourceUnspecified, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: this network", from("0.1.2.3"), R::kSourceUnspecified, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: class E", from("240.0.0.1"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: end of class E", from("255.255.255.254"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: link-local", from("169.254.7.7"), R::kSourceLinkLocal, "BOGON", kEverywhere, R::kAeIp4},
      {"v4 source: own address of the interface", own4, R::kSourceOwn, "RPF_FAIL", kEverywhere, R::kAeIp4},
      {"v4 source: own address of another interface", from("10.0.0.1"), R::kSourceOwn, "RPF_FAIL", kEverywhere, R::kAeIp4},
      {"v4 source: not of the interface's networks", foreign4, R::kReversePath, "RPF_FAIL", kEverywhere, R::kAeIp4},
      {"v4: land", [](const Ground& g) { return g.ip(g.destination4, g.destination4).tcp(80, 80, {.flags = 2}).build(); }, R::kLand,
       "PROTO_LAND", kAtRouted},
      {"v6 source: unspecified", from("::"), R::kSourceUnspecified, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: loopback", from("::1"), R::kSourceLoopback, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: multicast", from("ff02::1"), R::kSourceMulticast, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: not defined, 4000::/3", from("4000::1"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: not defined, 8000::/1", from("8000::1"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: site-local", from("fec0::1"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: discard-only", from("100::1"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: translation prefix", from("64:ff9b::808:808"), R::kSourceReserved, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: IPv4-mapped", from("::ffff:808:808"), R::kEmbeddedIpv4, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: IPv4-compatible", from("::808:808"), R::kEmbeddedIpv4, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: 6to4 of a private address", from("2002:a00:1::1"), R::kEmbeddedIpv4, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: Teredo of a loopback client", from("2001:0:808:808:0:1234:80ff:fffe"), R::kEmbeddedIpv4, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: ISATAP of a multicast address", from("2001:db8:ffff::5efe:e000:1"), R::kEmbeddedIpv4, "BOGON", kEverywhere, R::kAeIp6},
      {"v6 source: link-local", from("fe80::77"), R::kSourceLinkLocal, "BOGON", kAtUplink | kAtRouted},
      {"v6 source: own address of the interface", own6, R::kSourceOwn, "RPF_FAIL", kEverywhere, R::kAeIp6},
      {"v6 source: own address of another interface", from("fd00:0:0:1::1"), R::kSourceOwn, "RPF_FAIL", kEverywhere, R::kAeIp6},
      {"v6 source: not of the interface's networks", foreign6, R::kReversePath, "RPF_FAIL", kEverywhere, R::kAeIp6},
      {"v6: land", [](const Ground& g) { return g.ip(g.destination6, g.destination6).tcp(80, 80, {.flags = 2}).build(); }, R::kLand,
       "PROTO_LAND", kAtRouted},
  };
}

std::vector<Row> destinations() {
  using R = DropReason;
  constexpr unsigned kInside = kAtRouted | kAtSegment;
  const auto at_link = [](const char* destination, const char* group) {
    return [=](const Ground& g) {
      const bool six = std::string_view(destination).find(':') != std::string_view::npos;
      return g.ip(six ? g.source6 : g.source4, destination).ethernet(g.nic == kUplinkNic ? kRouterMac : kClientMac, mac(group)).udp(5000, 137).build();
    };
  };
  return {
      {"v4 destination: loopback", to("127.0.0.1"), R::kDestinationLoopback, "BOGON"},
      {"v4 destination: unspecified", to("0.0.0.0"), R::kDestinationUnspecified, "BOGON"},
      {"v4 destination: this network", to("0.9.9.9"), R::kDestinationUnspecified, "BOGON"},
      {"v4 destination: class E", to("240.0.0.1"), R::kDestinationReserved, "BOGON"},
      {"v4 destination: limited broadcast", to("255.255.255.255"), R::kDestinationBroadcast, "route"},
      {"v4 destination: limited broadcast on the link", at_link("255.255.255.255", "ff:ff:ff:ff:ff:ff"), R::kDestinationBroadcast, "route", kInside},
      {"v4 destination: broadcast of another network", to("10.0.0.15"), R::kDestinationBroadcast, "route", kInside},
      {"v4 destination: a network itself", to("10.0.0.0"), R::kDestinationBroadcast, "route", kInside},
      {"v4 destination: broadcast of the network on the link", at_link("10.0.0.47", "ff:ff:ff:ff:ff:ff"), R::kDestinationBroadcast, "route", kInside},
      {"v4: smurf, echo to a broadcast address", [](const Ground& g) { return g.ip(g.source4, "10.0.0.15").echo().build(); },
       R::kDestinationBroadcast, "route", kInside},
      {"v4 destination: multicast", to("224.0.0.5"), R::kMulticast, "route"},
      {"v4 destination: multicast on the link", at_link("239.1.2.3", "01:00:5e:01:02:03"), R::kMulticast, "route"},
      {"v4 destination: link-local", to("169.254.7.7"), R::kDestinationLinkLocal, "BOGON"},
      {"v4: one host's packet in a broadcast frame", grouped(false), R::kLinkBroadcast, "route"},
      {"v6 destination: unspecified", to("::"), R::kDestinationUnspecified, "BOGON"},
      {"v6 destination: loopback", to("::1"), R::kDestinationLoopback, "BOGON"},
      {"v6 destination: not defined", to("8000::1"), R::kDestinationReserved, "BOGON"},
      {"v6 destination: site-local", to("fec0::1"), R::kDestinationReserved, "BOGON"},
      {"v6 destination: IPv4-mapped", to("::ffff:808:808"), R::kEmbeddedIpv4, "BOGON"},
      {"v6 destination: 6to4 of a private address", to("2002:c0a8:1::1"), R::kEmbeddedIpv4, "BOGON"},
      {"v6 destination: link-local", to("fe80::99"), R::kDestinationLinkLocal, "BOGON"},
      {"v6 destination: multicast", to("ff05::5"), R::kMulticast, "route"},
      {"v6 destination: multicast on the link", at_link("ff05::5", "33:33:00:00:00:05"), R::kMulticast, "route"},
      {"v6: one host's packet in a broadcast frame", grouped(true), R::kLinkBroadcast, "route"},
  };
}

std::vector<Row> headers() {
  using R = DropReason;
  const auto many = [](unsigned count) {
    return [=](const Ground& g) {
      FrameBuilder frame = g.v6();
      for (unsigned i = 0; i < count; ++i) frame.destination_options();
      return frame.udp(5000, 53).build();
    };
  };
  const auto long_options = [](const Ground& g) {
    constexpr std::size_t kEights = filters::kExtensionHeaderBytesMax / 8;
    Frame rest{kEights, 1, 4, 0, 0, 0, 0};
    for (std::size_t i = 0; i < kEights; ++i) rest.insert(rest.end(), {4, 1, 1, 1, 3, 0, 0, 0});  // tunnel limit, padding
    return g.v6().extension(60, rest).udp(5000, 53).build();
  };
  return {
      {"v4: version", header4({.version_length = 0x55}), R::kIpv4Version, "AE_IP_FORMAT"},
      {"v4: header length below five", header4({.version_length = 0x44}), R::kIpv4HeaderLength, "AE_IP_FORMAT"},
      {"v4: total length beyond the frame", header4({.total_length = 1000}), R::kIpv4TotalLength, "AE_IP_FORMAT"},
      {"v4: total length below the header", header4({.total_length = 19}), R::kIpv4TotalLength, "AE_IP_FORMAT"},
      {"v4: header checksum", header4({.checksum = 1}), R::kIpv4Checksum, "AE_IP_FORMAT"},
      {"v4: reserved flag", header4({.fragment = 0x8000}), R::kIpv4ReservedFlag, "AE_IP_FORMAT"},
      {"v4: time to live zero", header4({.ttl = 0}), R::kTtlZero, "AE_IP_FORMAT"},
      {"v4: time to live one", header4({.ttl = 1}), R::kTtlExceeded, "route"},
      {"v4 option: loose source route", option4({131, 7, 4, 10, 0, 0, 1}), R::kIpv4SourceRoute, "AE_IPOPT"},
      {"v4 option: strict source route", option4({137, 7, 4, 10, 0, 0, 1}), R::kIpv4SourceRoute, "AE_IPOPT"},
      {"v4 option: record route", option4({7, 7, 4, 0, 0, 0, 0}), R::kIpv4RecordRoute, "PROTO_IPOPT"},
      {"v4 option: timestamp", option4({68, 8, 5, 0, 0, 0, 0, 0}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: security", option4({130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: commercial security", option4({134, 6, 0, 0, 0, 1}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: stream identifier", option4({136, 4, 0, 1}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: router alert outside IGMP", option4({148, 4, 0, 0}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: unassigned", option4({200, 4, 0, 0}), R::kIpv4Options, "PROTO_IPOPT"},
      {"v4 option: longer than the header", option4({68, 40, 5, 0}), R::kIpv4OptionFormat, "AE_IP_FORMAT"},
      {"v4 option: length below two", option4({68, 0, 5, 0}), R::kIpv4OptionFormat, "AE_IP_FORMAT"},
      {"v4 protocol: 0", protocol4(0), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v4 protocol: 255", protocol4(255), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v4 protocol: ICMPv6", protocol4(58), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v4 protocol: an IPv6 extension header", protocol4(43), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v6: version", header6({.version = 5}), R::kIpv6Version, "AE_IP_FORMAT"},
      {"v6: payload length beyond the frame", header6({.payload_length = 1000}), R::kIpv6PayloadLength, "AE_IP_FORMAT"},
      {"v6: hop limit zero", header6({.hop_limit = 0}), R::kTtlZero, "AE_IP_FORMAT"},
      {"v6: hop limit one", header6({.hop_limit = 1}), R::kTtlExceeded, "route"},
      {"v6 protocol: ICMPv4", protocol6(1), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v6 protocol: no next header", protocol6(59), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v6 protocol: 255", protocol6(255), R::kProtocolReserved, "AE_IP_FORMAT"},
      {"v6: routing header 0", extension(43, {0, 0, 1, 0, 0, 0, 0}), R::kIpv6RoutingHeader0, "AE_RH0"},
      {"v6: routing header 2", extension(43, {0, 2, 1, 0, 0, 0, 0}), R::kIpv6RoutingHeader, "PROTO_EXT_HDR"},
      {"v6: segment routing header", extension(43, {0, 4, 1, 0, 0, 0, 0}), R::kIpv6RoutingHeader, "PROTO_EXT_HDR"},
      {"v6: hop-by-hop options not first", [](const Ground& g) { return g.v6().destination_options().hop_by_hop().udp(5000, 53).build(); },
       R::kIpv6HopByHopOrder, "PROTO_EXT_HDR"},
      {"v6: jumbo payload", extension(0, {0, 0xc2, 4, 0, 1, 0, 0}), R::kIpv6Jumbo, "PROTO_EXT_HDR"},
      {"v6: too many extension headers", many(filters::kExtensionHeadersMax + 1), R::kIpv6ChainLength, "PROTO_EXT_HDR"},
      {"v6: extension headers too long", long_options, R::kIpv6ChainLength, "PROTO_EXT_HDR"},
      {"v6: extension header beyond the packet", extension(60, {99, 1, 4, 0, 0, 0, 0}), R::kIpv6ExtensionHeader, "PROTO_EXT_HDR"},
      {"v6: mobility header", extension(135, {0, 0, 0, 0, 0, 0, 0}), R::kIpv6ExtensionHeader, "PROTO_EXT_HDR"},
      {"v6: host identity header", extension(139, {0, 0, 0, 0, 0, 0, 0}), R::kIpv6ExtensionHeader, "PROTO_EXT_HDR"},
      {"v6: experimental header", extension(253, {0, 0, 0, 0, 0, 0, 0}), R::kIpv6ExtensionHeader, "PROTO_EXT_HDR"},
      {"v6: authentication header", extension(51, {0, 0, 0, 0, 0, 0, 0}), R::kIpv6ExtensionHeader, "PROTO_EXT_HDR"},
      {"v6 option: home address", extension(60, {0, 0xc9, 4, 0, 0, 0, 0}), R::kIpv6Options, "PROTO_EXT_HDR"},
      {"v6 option: unassigned", extension(60, {0, 0x1e, 4, 0, 0, 0, 0}), R::kIpv6Options, "PROTO_EXT_HDR"},
      {"v6 option: router alert in destination options", extension(60, {0, 5, 2, 0, 0, 1, 0}), R::kIpv6Options, "PROTO_EXT_HDR"},
      {"v6 option: router alert outside multicast listener discovery", extension(0, {0, 5, 2, 0, 0, 1, 0}), R::kIpv6Options, "PROTO_EXT_HDR"},
      {"v6 option: padding with something in it", extension(60, {0, 1, 4, 0, 0, 0, 9}), R::kIpv6OptionFormat, "PROTO_EXT_HDR"},
      {"v6 option: more padding than alignment needs", extension(60, {1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), R::kIpv6OptionFormat, "PROTO_EXT_HDR"},
      {"v6 option: longer than its header", extension(60, {0, 1, 9, 0, 0, 0, 0}), R::kIpv6OptionFormat, "PROTO_EXT_HDR"},
  };
}

std::vector<Row> transports() {
  using R = DropReason;
  return {
      {"v4 tcp: null scan", flags(0), R::kTcpNull, "PROTO_TCP_FLAGS"},
      {"v4 tcp: xmas scan", flags(0x29), R::kTcpXmas, "PROTO_TCP_FLAGS"},
      {"v4 tcp: SYN and FIN", flags(0x03), R::kTcpSynFin, "PROTO_TCP_FLAGS"},
      {"v4 tcp: SYN and RST", flags(0x06), R::kTcpSynRst, "PROTO_TCP_FLAGS"},
      {"v4 tcp: every flag", flags(0x3f), R::kTcpSynFin, "PROTO_TCP_FLAGS"},
      {"v4 tcp: FIN alone", flags(0x01), R::kTcpFlags, "PROTO_TCP_FLAGS"},
      {"v4 tcp: URG alone", flags(0x20), R::kTcpFlags, "PROTO_TCP_FLAGS"},
      {"v4 tcp: data offset below five", tcp({.flags = 2, .data_offset = 4}), R::kTcpDataOffset, "PROTO_TCP_FLAGS"},
      {"v4 tcp: data offset beyond the packet", tcp({.flags = 2, .data_offset = 15}), R::kTcpDataOffset, "PROTO_TCP_FLAGS"},
      {"v4 tcp: checksum", tcp({.flags = 2, .checksum = 1}), R::kL4Checksum, "malformed"},
      {"v4 tcp: from port zero", tcp({.flags = 2}, false, 0), R::kPortZero, "malformed"},
      {"v4 tcp: to port zero", tcp({.flags = 2}, false, 5000, 0), R::kPortZero, "malformed"},
      {"v4 tcp: shorter than its header", [](const Ground& g) { return g.v4().protocol(6, Frame(19)).build(); }, R::kL4Truncated, "malformed"},
      {"v6 tcp: null scan", flags(0, true), R::kTcpNull, "PROTO_TCP_FLAGS"},
      {"v6 tcp: xmas scan", flags(0x29, true), R::kTcpXmas, "PROTO_TCP_FLAGS"},
      {"v6 tcp: SYN and FIN", flags(0x03, true), R::kTcpSynFin, "PROTO_TCP_FLAGS"},
      {"v6 tcp: SYN and RST", flags(0x06, true), R::kTcpSynRst, "PROTO_TCP_FLAGS"},
      {"v6 tcp: data offset below five", tcp({.flags = 2, .data_offset = 4}, true), R::kTcpDataOffset, "PROTO_TCP_FLAGS"},
      {"v6 tcp: checksum", tcp({.flags = 2, .checksum = 1}, true), R::kL4Checksum, "malformed"},
      {"v6 tcp: to port zero", tcp({.flags = 2}, true, 5000, 0), R::kPortZero, "malformed"},
      {"v4 udp: length below eight", udp({.length = 7}), R::kUdpLength, "malformed"},
      {"v4 udp: length beyond the packet", udp({.length = 900}), R::kUdpLength, "malformed"},
      {"v4 udp: checksum", udp({.checksum = 1}), R::kL4Checksum, "malformed"},
      {"v4 udp: from port zero", udp({}, false, 0), R::kPortZero, "malformed"},
      {"v4 udp: to port zero", udp({}, false, 5000, 0), R::kPortZero, "malformed"},
      {"v6 udp: length beyond the packet", udp({.length = 900}, true), R::kUdpLength, "malformed"},
      {"v6 udp: no checksum", udp({.checksum = 0}, true), R::kL4Checksum, "malformed"},
      {"v6 udp: to port zero", udp({}, true, 5000, 0), R::kPortZero, "malformed"},
      {"v4 icmp: checksum", icmp(8, 0, false, 1), R::kL4Checksum, "malformed"},
      {"v4 icmp: redirect", icmp(5, 1), R::kIcmpRedirect, "PROTO_ICMP_ERR", kEverywhere, R::kAeRedirect},
      {"v4 icmp: source quench", icmp(4), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v4 icmp: information request", icmp(15), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v4 icmp: address mask request", icmp(17), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v4 icmp: traceroute", icmp(30), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v4 icmp: unassigned type", icmp(200), R::kIcmpUnknown, "PROTO_ICMP_ERR"},
      {"v4 icmp: router solicitation to one host", icmp(10), R::kIcmpLinkOnly, "route"},
      {"v4 icmp: unreachable without a flow", icmp(3, 3), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v4 icmp: time exceeded without a flow", icmp(11), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v4 icmp: parameter problem without a flow", icmp(12), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v6 icmp: checksum", icmp(128, 0, true, 1), R::kL4Checksum, "malformed"},
      {"v6 icmp: redirect", [](const Ground& g) {
         return FrameBuilder(g.link).ipv6(g.source6, g.destination6, {.hop_limit = 255})
             .nd(137, {.target = address("fe80::1"), .destination = address(g.destination6)}).build();
       }, R::kIcmpRedirect, "PROTO_ICMP_ERR", kEverywhere, R::kAeRedirect},
      {"v6 icmp: router renumbering", icmp(138, 0, true), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v6 icmp: node information query", icmp(139, 0, true), R::kIcmpDeprecated, "PROTO_ICMP_ERR"},
      {"v6 icmp: unassigned error", icmp(5, 0, true), R::kIcmpUnknown, "PROTO_ICMP_ERR"},
      {"v6 icmp: unassigned type", icmp(255, 0, true), R::kIcmpUnknown, "PROTO_ICMP_ERR"},
      {"v6 icmp: listener report to one host", icmp(131, 0, true), R::kIcmpLinkOnly, "route"},
      {"v6 icmp: unreachable without a flow", icmp(1, 4, true), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v6 icmp: too big without a flow", icmp(2, 0, true), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v6 icmp: time exceeded without a flow", icmp(3, 0, true), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v6 icmp: parameter problem without a flow", icmp(4, 0, true), R::kIcmpUnrelated, "PROTO_ICMP_ERR"},
      {"v4: ESP to the gateway without a security association", to_own(false, 50), R::kLocalUnserved, "rule", kAtRouted | kAtSegment},
      {"v4: AH to the gateway without a security association", to_own(false, 51), R::kAuthenticationHeader, "malformed", kAtRouted | kAtSegment},
      {"v4: GRE to the gateway without a tunnel", to_own(false, 47), R::kLocalUnserved, "rule", kAtRouted | kAtSegment},
      {"v6: ESP to the gateway without a security association", to_own(true, 50), R::kLocalUnserved, "rule", kAtRouted | kAtSegment},
  };
}

std::vector<Row> every_class() {
  std::vector<Row> rows = sources();
  for (const auto& part : {destinations(), headers(), transports()}) rows.insert(rows.end(), part.begin(), part.end());
  return rows;
}

std::string_view text(filters::LogReason reason) {
  constexpr std::string_view kTexts[] = {"", "rule", "default", "state", "ae", "nat", "route", "frag", "malformed"};
  return kTexts[static_cast<std::size_t>(reason)];
}

class PathDefaultDrops : public PathTest {
 protected:
  [[nodiscard]] Ground uplink() const {
    return {kAtUplink, kUplinkNic, FrameBuilder().ethernet(kRouterMac, world_.gateway(kUplinkNic)), "198.51.100.9", "203.0.113.17",
            "2001:db8:ffff::9", "2001:db8:a::17", "192.0.2.1", "2001:db8:0:1::1", "192.0.2.255", "192.0.2.0", "10.0.0.34", "fd00:0:0:2::2"};
  }
  [[nodiscard]] Ground inside(unsigned where) const {
    return {where, kClientNic, on_client(kTenantA), "10.0.0.34", "10.0.0.2", "fd00:0:0:2::2", "fd00:0:0:1::2", "10.0.0.33",
            "fd00:0:0:2::1", "10.0.0.47", "10.0.0.32", "198.51.100.9", "2001:db8:ffff::9"};
  }
  /// Tenant A's client attachment as a router's; the uplink's networks known to tenant A as to a document's.
  void apply_edit(const std::function<void(filters::SnapshotBuilder&)>& edit) { world_.apply(++generation_, {{.id = 11}}, {.edit = edit}); }
  /// One frame in; true when it came out somewhere.
  bool passes(std::uint16_t nic, const Frame& frame) {
    world_.pass(seconds(700));
    collect_all();
    world_.inject(nic, frame);
    return collect_all() == 1;
  }
  bool falls(std::uint16_t nic, const Frame& frame, DropReason reason) {
    const std::uint64_t before = drops(reason);
    return !passes(nic, frame) && drops(reason) == before + 1;
  }
  static void shape(snapshot::PortKind kind, filters::SnapshotBuilder& builder) {
    if (kind == snapshot::PortKind::kSegment) return;
    unbind_client(builder);
    builder.ports[1].kind = kind;
  }
  void apply(unsigned where) {
    const auto kind = where == kAtRouted ? snapshot::PortKind::kRouted : snapshot::PortKind::kSegment;
    world_.apply(++generation_, {{.id = 11}}, {.edit = [kind](filters::SnapshotBuilder& builder) { shape(kind, builder); }});
  }
  void expect_dropped(const Row& row, const Ground& ground) {
    SCOPED_TRACE(std::string(row.name) + (ground.where == kAtUplink ? ", uplink" : ground.where == kAtRouted ? ", routed" : ", segment"));
    const bool bound = ground.where == kAtSegment && row.on_segment != DropReason::kNone;
    const DropReason reason = bound ? row.on_segment : row.reason;
    world_.pass(seconds(61));  // past every fold
    world_.records();
    const std::uint64_t before = drops(reason);
    const std::uint64_t sessions = world_.sessions();
    const Frame frame = row.frame(ground);
    world_.inject(ground.nic, frame);
    EXPECT_EQ(drops(reason), before + 1) << filters::info(reason).name;
    for (std::uint16_t nic = 0; nic < kNics; ++nic) {
      const auto out = world_.collect(nic);
      const bool told = reason == DropReason::kTtlExceeded && nic == ground.nic;
      EXPECT_EQ(out.size(), told ? 1U : 0U) << "NIC " << nic;
    }
    EXPECT_TRUE(world_.sessions() == sessions || reason == DropReason::kTtlExceeded);
    expect_logged(reason, bound ? filters::info(reason).event : std::string_view(row.log), ground);
  }
  void expect_logged(DropReason reason, std::string_view log, const Ground& ground) {
    const bool nobodys = ground.where == kAtUplink && !owned_;
    std::size_t found = 0;
    for (const World::Record& record : world_.records()) {
      if (record.envelope.drop_reason != static_cast<std::uint8_t>(reason)) continue;
      ++found;
      const bool sec = record.envelope.kind == LogKind::kSec;
      EXPECT_EQ(sec ? filters::info(reason).event : text(filters::info(reason).log_reason), log);
      EXPECT_EQ(record.envelope.tenant, kTenantA);
      EXPECT_EQ(sec ? record.sec.in_port : record.comm.in_port, ground.where == kAtUplink ? kShare : kClientPort);
    }
    EXPECT_EQ(found, nobodys ? 0U : 1U);
  }
  /// True when the frame's destination says whose it is: on an uplink nothing else does.
  static bool is_owned(const Frame& frame) {
    filters::PacketMeta meta{};
    static_cast<void>(filters::decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta));
    if ((meta.proof & (filters::kProofIpv4 | filters::kProofIpv6)) == 0) return false;
    const Address destination = filters::ip_destination(frame, meta);
    return destination == address("203.0.113.17") || destination == address("2001:db8:a::17");
  }
  void expect_every_class(const Ground& ground) {
    apply(ground.where);
    for (const Row& row : every_class()) {
      if ((row.where & ground.where) == 0) continue;
      owned_ = is_owned(row.frame(ground));
      expect_dropped(row, ground);
    }
  }
  bool owned_ = true;
  std::uint32_t generation_ = 0;
};
SEKISHO_PATH_WORKERS(PathDefaultDrops);

TEST(PathDefaultDropsTable, HasAtLeastSeventyClassesEachOnce) {
  std::set<std::string> names;
  std::set<DropReason> reasons;
  for (const Row& row : every_class()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    reasons.insert(row.reason);
  }
  EXPECT_GE(names.size(), 150U);
  EXPECT_GE(reasons.size(), 50U);
}

TEST_P(PathDefaultDrops, EveryClassEndsAtTheUplink) { expect_every_class(uplink()); }
TEST_P(PathDefaultDrops, EveryClassEndsAtARoutedPort) { expect_every_class(inside(kAtRouted)); }
TEST_P(PathDefaultDrops, EveryClassEndsAtASegment) { expect_every_class(inside(kAtSegment)); }

TEST_P(PathDefaultDrops, NearestLegalPacketsPass) {
  const Make legal[] = {
      header4({}), header4({.ttl = 2}), header4({.fragment = 0}), option4({1, 1, 1, 0}), option4({1, 1, 1, 1}),
      protocol4(50), protocol4(47), protocol4(4), tcp({.flags = 2}), tcp({.flags = 0xc2}, false, 1, 1), udp({.checksum = 0}),
      udp({}, false, 1, 65535), icmp(8), header6({}), header6({.hop_limit = 2}), extension(0, {0, 1, 4, 0, 0, 0, 0}),
      extension(60, {0, 1, 4, 0, 0, 0, 0}), extension(60, {0, 4, 1, 1, 1, 1, 0}), protocol6(50), tcp({.flags = 2}, true),
      udp({}, true, 1, 65535), icmp(128, 0, true)};
  for (const Ground& ground : {uplink(), inside(kAtRouted), inside(kAtSegment)}) {
    apply(ground.where);
    for (const Make& make : legal) {
      world_.pass(seconds(700));  // whatever was there has ended
      world_.through(ground.nic, make(ground), kServerNic);
    }
  }
}

TEST_P(PathDefaultDrops, NearestLegalSourcesPass) {
  apply(kAtSegment);
  for (const char* source : {"1.0.0.1", "126.255.255.254", "128.0.0.1", "169.253.255.255", "169.255.0.1", "223.255.255.254",
                             "192.0.2.254", "192.0.2.2", "198.51.100.255", "2000::1", "3fff:ffff::1", "fc00::1", "2002:808:808::1",
                             "2001:0:808:808:0:1234:f7f7:f7f7", "2001:db8:ffff::5efe:a00:1"}) {
    SCOPED_TRACE(source);
    world_.through(kUplinkNic, from(source)(uplink()), kServerNic);
  }
}

TEST_P(PathDefaultDrops, BogonsEndWhereAPortRefusesThemUnlessARouteLeadsToThem) {
  apply_edit([](filters::SnapshotBuilder& builder) { builder.ports[2].source_checks = snapshot::kRefuseBogons; });
  for (const char* source : {"198.51.100.9", "100.64.1.1", "192.168.1.1", "172.31.9.9", "198.18.0.1", "192.0.2.77", "2001:db8:ffff::9", "fd12::1", "3fff::1"}) {
    EXPECT_TRUE(falls(kUplinkNic, from(source)(uplink()), DropReason::kBogon)) << source;
  }
  for (const char* source : {"8.8.8.8", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2400::1", "2001:db7::1"}) {
    EXPECT_TRUE(passes(kUplinkNic, from(source)(uplink()))) << source;
  }
  EXPECT_TRUE(falls(kServerNic, server("10.0.0.2", "198.51.100.9").udp(5000, 53).build(), DropReason::kBogon));
  EXPECT_TRUE(falls(kServerNic, server("fd00:0:0:1::2", "2001:db8:ffff::9").udp(5000, 53).build(), DropReason::kBogon));
  EXPECT_TRUE(passes(kUplinkNic, outside("198.51.100.9", "203.0.113.33").udp(5000, 53).build()));  // tenant B does not refuse them
  apply_edit([](filters::SnapshotBuilder& builder) {
    builder.ports[2].source_checks = snapshot::kRefuseBogons;
    builder.routes[4].prefix = parse_prefix("198.51.100.0/24").value();
  });
  EXPECT_TRUE(passes(kUplinkNic, from("198.51.100.9")(uplink())));
  EXPECT_TRUE(falls(kUplinkNic, from("8.8.8.8")(uplink()), DropReason::kReversePath));  // no way back at all
}

TEST_P(PathDefaultDrops, ReversePathIsStrictFeasibleOrOff) {
  enum : std::uint8_t { kOffice = 1, kNet = 2 };
  const auto routed = [&](std::uint8_t zone, std::uint8_t checks, bool wider = false) {
    apply_edit([=](filters::SnapshotBuilder& builder) {
      shape(snapshot::PortKind::kRouted, builder);
      builder.ports[1].zone = zone;
      builder.ports[1].source_checks = checks;
      if (!wider) return;
      builder.routes[5] = builder.routes[4];  // what was ::/0
      builder.routes[5].prefix = parse_prefix("198.51.100.0/24").value();
      builder.routes[3] = builder.routes[5];  // what was the client's IPv6 network
      builder.routes[3].prefix = parse_prefix("198.51.0.0/16").value();
      builder.routes[3].port = 1;
      builder.routes[3].next_hop = address("10.0.0.35");
    });
  };
  const Frame foreign = inside(kAtRouted).ip("198.51.100.9", "10.0.0.2").udp(5000, 53).build();
  const Frame own = inside(kAtRouted).ip("10.0.0.40", "10.0.0.2").udp(5000, 53).build();
  const std::uint8_t feasible = 0, strict = snapshot::kReversePathStrict, off = snapshot::kReversePathOff;
  routed(kOffice, feasible);
  EXPECT_TRUE(passes(kClientNic, own));
  EXPECT_TRUE(falls(kClientNic, foreign, DropReason::kReversePath));
  routed(kNet, feasible);  // the share is of this zone: two uplinks stand for each other
  EXPECT_TRUE(passes(kClientNic, foreign));
  routed(kNet, strict);
  EXPECT_TRUE(falls(kClientNic, foreign, DropReason::kReversePath));
  EXPECT_TRUE(passes(kClientNic, own));
  routed(kOffice, feasible, true);
  EXPECT_TRUE(passes(kClientNic, foreign));
  routed(kOffice, strict, true);
  EXPECT_TRUE(falls(kClientNic, foreign, DropReason::kReversePath));
  routed(kOffice, off);
  EXPECT_TRUE(passes(kClientNic, foreign));
  routed(0, feasible);  // of the servers' zone, and still no server
  EXPECT_TRUE(falls(kClientNic, inside(kAtRouted).ip("10.0.0.3", "203.0.113.17").udp(5000, 53).build(), DropReason::kReversePath));
  EXPECT_TRUE(falls(kUplinkNic, from("10.0.0.34")(uplink()), DropReason::kReversePath));
}

TEST_P(PathDefaultDrops, AnswersOfAFlowThatCameByAnotherUplinkLeaveByTheRouteToTheirNeighbour) {
  apply_edit([](filters::SnapshotBuilder& builder) {
    shape(snapshot::PortKind::kRouted, builder);
    builder.ports[1].zone = 2;  // the share's: two uplinks
  });
  const Frame foreign = inside(kAtRouted).ip("198.51.100.9", "10.0.0.2").udp(5000, 53).build();
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  world_.through(kClientNic, foreign, kServerNic);
  world_.through(kClientNic, foreign, kServerNic);  // and its packets go on coming there
  world_.inject(kServerNic, server("10.0.0.2", "198.51.100.9").udp(53, 5000).build());
  world_.inject(kUplinkNic, router_answer("192.0.2.2", "192.0.2.1"));
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  const auto out = world_.collect(kUplinkNic);
  ASSERT_FALSE(out.empty());
  EXPECT_TRUE(std::equal(kRouterMac.bytes.begin(), kRouterMac.bytes.end(), out.back().begin()));
  EXPECT_EQ(load_be<std::uint16_t>(out.back(), 12), 0x0800);
}

TEST_P(PathDefaultDrops, StricterReversePathReachesLiveSessions) {
  const auto routed = [&](std::uint8_t checks) {
    apply_edit([=](filters::SnapshotBuilder& builder) {
      shape(snapshot::PortKind::kRouted, builder);
      builder.ports[1].source_checks = checks;
    });
  };
  const Frame foreign = inside(kAtRouted).ip("198.51.100.9", "10.0.0.2").udp(5000, 53).build();
  const Frame own = inside(kAtRouted).ip("10.0.0.40", "10.0.0.2").udp(5000, 53).build();
  routed(snapshot::kReversePathOff);
  for (const Frame& frame : {foreign, own}) world_.through(kClientNic, frame, kServerNic);
  routed(0);
  world_.inject(kClientNic, foreign);
  EXPECT_EQ(collect_all(), 0U);
  world_.through(kClientNic, own, kServerNic);
}

TEST_P(PathDefaultDrops, OwnedAddressThatNobodyHasDoesNotGoBackOut) {
  apply(kAtSegment);
  EXPECT_EQ(drops(DropReason::kNoRoute), 0U);
  world_.inject(kUplinkNic, outside("198.51.100.9", "203.0.113.18").udp(5000, 53).build());
  EXPECT_EQ(drops(DropReason::kNoRoute), 1U);
  const auto told = world_.collect(kUplinkNic);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(read(told[0]).icmp_type, 3);
  EXPECT_EQ(world_.sessions(), 0U);
}

TEST_P(PathDefaultDrops, ControlTrafficForTheGatewayIsServedAndNeverForwarded) {
  apply(kAtRouted);
  const auto link = [&](const char* group) { return FrameBuilder().ethernet(kClientMac, mac(group)); };
  // Duplicate address detection and listener reports come from the unspecified address, and are no violation.
  world_.inject(kClientNic, link("33:33:ff:00:00:09").ipv6("::", "ff02::1:ff00:9", {.hop_limit = 255}).nd(135, {.target = address("fe80::9")}).build());
  world_.inject(kClientNic, link("33:33:00:00:00:16").ipv6("::", "ff02::16", {.hop_limit = 1}).hop_by_hop().icmp(143, 0, 0).payload(20).build());
  world_.inject(kClientNic, link("ff:ff:ff:ff:ff:ff").ipv4("0.0.0.0", "255.255.255.255").udp(68, 67).payload(300).build());
  world_.inject(kClientNic, link("01:00:5e:00:00:16").ipv4("10.0.0.34", "224.0.0.22", {.ttl = 1, .options = {148, 4, 0, 0}}).protocol(2, Frame(16)).build());
  EXPECT_EQ(collect_all(), 0U);
  for (const DropReason reason : {DropReason::kSourceUnspecified, DropReason::kIpv4Options, DropReason::kTtlExceeded}) EXPECT_EQ(drops(reason), 0U);
  EXPECT_EQ(drops(DropReason::kMulticast), 2U);
  EXPECT_EQ(drops(DropReason::kDestinationBroadcast), 1U);
  // A neighbour may ask for us from its link-local address, and ping ours.
  const Address own = eui64_link_local(world_.gateway(kClientNic));
  const Frame answer = world_.through(kClientNic, on_client(kTenantA).ipv6("fe80::9", to_string(own)).echo().build(), kClientNic);
  EXPECT_EQ(read(answer).icmp_type, 129);
  world_.through(kClientNic, on_client(kTenantA).ipv6("fe80::9", "fd00:0:0:2::1").echo().build(), kClientNic);
  world_.inject(kClientNic, on_client(kTenantA).ipv6("fe80::9", "fd00:0:0:1::2").echo().build());
  EXPECT_EQ(drops(DropReason::kSourceLinkLocal), 1U);
  EXPECT_EQ(collect_all(), 0U);
}

TEST_P(PathDefaultDrops, GatewayAnswersNobodyWhoCannotBe) {
  apply(kAtRouted);
  for (const char* source : {"127.0.0.1", "255.255.255.255", "10.0.0.47", "10.0.0.1", "0.0.0.0", "240.0.0.1"}) {
    world_.inject(kClientNic, inside(kAtRouted).ip(source, "10.0.0.33").echo().build());
    world_.inject(kUplinkNic, uplink().ip(source, "192.0.2.1").echo().build());
  }
  const bool quiet = collect_all() <= 2;  // 10.0.0.47 and 10.0.0.1 mean nothing on the platform's own link
  EXPECT_TRUE(quiet);
  EXPECT_TRUE(world_.collect(kClientNic).empty());
  world_.inject(kClientNic, FrameBuilder().ethernet(kClientMac, mac("ff:ff:ff:ff:ff:ff")).ipv4("10.0.0.34", "10.0.0.33").echo().build());
  EXPECT_EQ(collect_all(), 0U);
  EXPECT_EQ(drops(DropReason::kLinkBroadcast), 1U);
}

TEST_P(PathDefaultDrops, FramesCarryNothingBehindTheirPacket) {  // FDP_RIP.2: padding of a frame is nobody's memory
  apply(kAtSegment);
  for (std::size_t bytes = 0; bytes < 40; ++bytes) {
    Frame frame = inside(kAtSegment).v4().udp(static_cast<unsigned>(6000 + bytes), 53).payload(bytes).build();
    const std::size_t length = frame.size();
    frame.resize(std::max<std::size_t>(60, length), 0xee);
    EXPECT_EQ(world_.through(kClientNic, frame, kServerNic).size(), length);
  }
}

TEST_P(PathDefaultDrops, IcmpErrorFromAnImpossibleSourceFailsEvenWithItsFlow) {
  apply(kAtSegment);
  const Frame sent = world_.through(kUplinkNic, uplink().v4().udp(5000, 53).build(), kServerNic);
  const Frame quote(sent.begin() + 14, sent.end());
  const auto error = [&](std::string_view source) {
    return FrameBuilder().ethernet(kServerMac, world_.gateway(kServerNic)).ipv4(source, "198.51.100.9").icmp(3, 3, 0).payload(quote).build();
  };
  world_.inject(kServerNic, error("127.0.0.1"));
  EXPECT_EQ(drops(DropReason::kAeIp4), 1U);
  world_.inject(kServerNic, error("203.0.113.17"));
  EXPECT_EQ(drops(DropReason::kIcmpUnrelated), 0U);
}

}  // namespace
}  // namespace sekisho::tests
