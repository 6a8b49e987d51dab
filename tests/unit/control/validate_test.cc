// SPDX-License-Identifier: Apache-2.0
// Goal: every fault of a document is found, and nothing beside it.
// Method: one change to the valid example makes one finding; the nearest change that is still right makes none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/control/documents.h"

namespace sekisho::control::test {
namespace {

using testing::HasSubstr;

/// `from` in the example becomes `wrong` or `right`.
struct Case {
  const char* name;
  const char* from;
  const char* wrong;
  const char* right;
  const char* finding;
};

std::string errors_of(const std::string& text) {
  std::string out;
  std::istringstream lines(findings_of(text));
  for (std::string line; std::getline(lines, line);) {
    if (line.find(": error: ") != std::string::npos) out += line + '\n';
  }
  return out;
}

class ValidateEach : public testing::TestWithParam<Case> {};

TEST_P(ValidateEach, FindsTheFaultAndNotItsNeighbour) {
  const Case& c = GetParam();

  const std::string wrong = errors_of(with(kExample, c.from, c.wrong));

  EXPECT_THAT(wrong, HasSubstr(c.finding));
  EXPECT_EQ(errors_of(with(kExample, c.from, c.right)), "");
}

constexpr Case kCases[] = {
    {"Node", "node: u0", "node: U0", "node: u1", "f:1:7: error: node: a node is named by"},
    {"NicName", "nics:\n  - { name: nic-a", "nics:\n  - { name: nic-out", "nics:\n  - { name: nic-a", "nics[1].name: the name \"nic-out\" is used twice"},
    {"NicDevice", "device: net_ring1", "device: net_ring0", "device: net_ring2", "nics[1].device: the device \"net_ring0\" is used twice"},
    {"MtuLow", "mtu: 1500", "mtu: 1279", "mtu: 1280", "nics[0].mtu: an MTU here lies between 1280 and 9578"},
    {"MtuHigh", "mtu: 1500", "mtu: 9579", "mtu: 9578", "nics[0].mtu: an MTU"},
    {"SegmentReversePath", "kind: segment, zone: servers,", "kind: segment, zone: servers, reverse_path: strict,", "kind: segment, zone: servers, mtu: 1500,", "tenants[0].ports[0].reverse_path: a segment has no reverse_path"},
    {"SegmentBogons", "kind: segment, zone: servers,", "kind: segment, zone: servers, refuse_bogons: true,", "kind: segment, zone: servers, mtu: 1400,", "tenants[0].ports[0].refuse_bogons: a segment has no refuse_bogons"},
    {"ReversePathWord", "kind: share, uplink: internet, zone: internet,", "kind: share, uplink: internet, zone: internet, reverse_path: loose,", "kind: share, uplink: internet, zone: internet, reverse_path: strict,", "tenants[0].ports[2].reverse_path:"},
    {"PortMtu", "web1, nic: nic-a,", "web1, nic: nic-a, mtu: 1501,", "web1, nic: nic-a, mtu: 1500,", "tenants[0].ports[0].mtu: an MTU here lies between 1280 and 1500"},
    {"UplinkNic", "nic: nic-out, addresses", "nic: nic-b, addresses", "nic: nic-out, outer_vlan: 9, addresses", "uplinks[0].nic: there is no NIC named \"nic-b\""},
    {"UplinkWire", "nic: nic-out, addresses", "nic: nic-a, outer_vlan: 100, addresses", "nic: nic-a, outer_vlan: 102, addresses", "tenants[0].ports[0].nic: this NIC and VLAN already belong to uplink \"internet\""},
    {"ServiceCode", "acm00000001", "acm0000001", "acm00000009", "tenants[0].service_code: a service code is three letters"},
    {"ServiceCodeTwice", "glo00000001", "acm00000001", "glo00000002", "tenants[1].service_code: the service code acm00000001 is used twice"},
    {"TenantName", "name: globex", "name: acme", "name: Acme", "tenants[1].name: the name \"acme\" is used twice"},
    {"NameEmpty", "name: globex", "name: \"\"", "name: g", "tenants[1].name: a name is not empty"},
    {"NameControl", "name: globex", "name: \"a\\u0007b\"", "name: \"a b\"", "tenants[1].name: a name holds no control characters"},
    {"NameNfc", "name: globex", "name: \"\\u304b\\u3099\"", "name: \"\\u304c\"", "tenants[1].name: the name is not in Unicode normalization form C"},
    {"NameLong", "name: globex", "name: \"石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石\"",
     "name: \"石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石石\"", "tenants[1].name: a name has at most 64 characters"},
    {"NameSpace", "name: globex", "name: \"globex \"", "name: \"glo bex\"", "tenants[1].name: a name neither begins nor ends with a space"},
    {"Sessions", "name: globex", "name: globex\n    sessions_max: 4000001", "name: globex\n    sessions_max: 4000000", "tenants[1].sessions_max: sessions_max lies between"},
    {"SessionRateNone", "name: globex", "name: globex\n    quotas: { new_sessions_per_second: 0 }", "name: globex\n    quotas: { new_sessions_per_second: 1 }", "tenants[1].quotas.new_sessions_per_second: new_sessions_per_second lies between"},
    {"SessionRateHigh", "name: globex", "name: globex\n    quotas: { new_sessions_per_second: 10000001 }", "name: globex\n    quotas: { new_sessions_per_second: 10000000 }", "tenants[1].quotas.new_sessions_per_second: new_sessions_per_second lies between"},
    {"HalfOpen", "name: globex", "name: globex\n    quotas: { half_open_max: 100001 }", "name: globex\n    quotas: { half_open_max: 100000 }", "tenants[1].quotas.half_open_max: half_open_max lies between"},
    {"HalfOpenNone", "name: globex", "name: globex\n    quotas: { half_open_max: 0 }", "name: globex\n    quotas: { half_open_max: 1, syn_protection: drop }", "tenants[1].quotas.half_open_max: half_open_max lies between"},
    {"SessionsGuaranteed", "name: globex", "name: globex\n    sessions_max: 10\n    quotas: { sessions_guaranteed: 11 }", "name: globex\n    sessions_max: 10\n    quotas: { sessions_guaranteed: 10 }", "tenants[1].quotas.sessions_guaranteed: sessions_guaranteed lies between 0 and 10"},
    {"LogRate", "name: globex", "name: globex\n    quotas: { log_per_second: 20001 }", "name: globex\n    quotas: { log_per_second: 20000 }", "tenants[1].quotas.log_per_second: log_per_second lies between"},
    {"LogBurst", "name: globex", "name: globex\n    quotas: { log_burst: 0 }", "name: globex\n    quotas: { log_burst: 1 }", "tenants[1].quotas.log_burst: log_burst lies between"},
    {"Bandwidth", "name: globex", "name: globex\n    quotas: { bandwidth_mbit: 400001 }", "name: globex\n    quotas: { bandwidth_mbit: 0 }", "tenants[1].quotas.bandwidth_mbit: bandwidth_mbit lies between"},
    {"FragmentsMost", "name: globex", "name: globex\n    quotas: { fragments_max: 63 }", "name: globex\n    quotas: { fragments_max: 64 }", "tenants[1].quotas.fragments_max: fragments_max lies between 64 and 1000000"},
    {"FragmentsGuaranteed", "name: globex", "name: globex\n    quotas: { fragments_max: 64, fragments_guaranteed: 65 }", "name: globex\n    quotas: { fragments_max: 64, fragments_guaranteed: 64 }", "tenants[1].quotas.fragments_guaranteed: fragments_guaranteed lies between 0 and 64"},
    {"TimeoutLong", "{ name: http, protocol: tcp,", "{ name: http, timeout_seconds: 604801, protocol: tcp,", "{ name: http, timeout_seconds: 604800, protocol: tcp,", "tenants[0].services[0].timeout_seconds: a timeout is at most 604800 seconds"},
    {"FirstTimeoutOfTcp", "{ name: http, protocol: tcp,", "{ name: http, first_timeout_seconds: 5, protocol: tcp,", "{ name: http, first_timeout_seconds: 5, protocol: udp,", "tenants[0].services[0].first_timeout_seconds: only where no handshake"},
    {"FirstTimeoutOfIcmp", "{ name: ping, protocol: icmp,", "{ name: ping, first_timeout_seconds: 5, protocol: icmp,", "{ name: ping, timeout_seconds: 5, protocol: icmp,", "tenants[0].services[1].first_timeout_seconds: only where no handshake"},
    {"RulesMax", "name: acme", "name: acme\n    quotas: { rules_max: 1 }", "name: acme\n    quotas: { rules_max: 100 }", "tenants[0].quotas.rules_max: the tenant has"},
    {"ZoneTwice", "[servers, office, internet]", "[servers, office, internet, office]", "[servers, office, internet, Office]", "tenants[0].zones[3]: the zone \"office\" is given twice"},
    {"PortZone", "kind: segment, zone: servers", "kind: segment, zone: Servers", "kind: segment, zone: office", "tenants[0].ports[0].zone: there is no zone"},
    {"PortName", "name: desk, nic", "name: web1, nic", "name: desk, nic", "tenants[0].ports[1].name: the name \"web1\" is used twice"},
    {"Wire", "outer_vlan: 200", "outer_vlan: 100", "outer_vlan: 201", "tenants[1].ports[0].nic: this NIC and VLAN already belong to port \"web1\" of tenant \"acme\""},
    {"VlanHigh", "outer_vlan: 200", "outer_vlan: 4095", "outer_vlan: 4094", "tenants[1].ports[0].outer_vlan: a VLAN id"},
    {"InnerAlone", "outer_vlan: 200", "inner_vlan: 5", "outer_vlan: 5, inner_vlan: 5", "tenants[1].ports[0].inner_vlan: an inner VLAN needs an outer one"},
    {"TagAlone", "outer_vlan: 200", "outer_tag: 802.1ad", "outer_tag: 802.1ad, outer_vlan: 3", "outer_tag: an 802.1ad tag needs an outer VLAN"},
    {"InterfaceNetwork", "addresses: [10.0.1.1/24,", "addresses: [10.0.1.0/24,", "addresses: [10.0.1.254/24,", "tenants[0].ports[1].addresses[0]: 10.0.1.0 is the network or broadcast address"},
    {"InterfaceBare", "addresses: [10.0.1.1/24,", "addresses: [10.0.1.1,", "addresses: [10.0.1.1/24,", "is not an address with its prefix length"},
    {"InterfaceMulticast", "addresses: [10.0.1.1/24,", "addresses: [10.0.1.1/24, 224.0.0.1/4,", "addresses: [10.0.1.1/24, 192.168.0.1/16,", "cannot be an interface's own address"},
    {"InterfaceLinkLocal", "addresses: [10.0.1.1/24,", "addresses: [10.0.1.1/24, \"fe80::1/64\",", "addresses: [10.0.1.1/24, \"fec0::1/64\",", "link-local addresses come from the port's MAC"},
    {"ShareUplink", "uplink: internet, zone: office", "uplink: inet, zone: office", "uplink: internet, zone: servers", "tenants[1].ports[1].uplink: there is no uplink named \"inet\""},
    {"ShareNic", "uplink: internet, zone: office", "uplink: internet, nic: nic-a, zone: office", "uplink: internet, zone: office", "tenants[1].ports[1].nic: a share has no nic"},
    {"SegmentPrefixes", "web1, nic: nic-a, outer_vlan: 200,", "web1, nic: nic-a, outer_vlan: 200, prefixes: [1.0.0.0/8],", "web1, nic: nic-a, outer_vlan: 200,", "a segment has no prefixes"},
    {"ShareOverlap", "203.0.113.32/28", "203.0.113.16/29", "203.0.113.8/29", "tenants[1].ports[1].prefixes[0]: 203.0.113.16/29 overlaps 203.0.113.16/28 of tenant \"acme\""},
    {"ShareOverlapWide", "203.0.113.32/28", "203.0.113.0/24", "203.0.112.0/24", "203.0.113.0/24 overlaps 203.0.113.16/28"},
    {"ShareOwnAddress", "203.0.113.32/28", "192.0.2.0/28", "192.0.2.16/28", "holds 192.0.2.1, the uplink's own address"},
    {"ShareHostBits", "203.0.113.32/28", "203.0.113.33/28", "203.0.113.48/28", "has host bits set; the prefix is 203.0.113.32/28"},
    {"BindingPort", "name: web1-eth0\n        port: web1", "name: web1-eth0\n        port: web2", "name: web1-eth0\n        port: web1", "tenants[0].bindings[0].port: there is no port"},
    {"BindingShare", "name: web1-eth0\n        port: web1", "name: web1-eth0\n        port: net", "name: web1-eth0\n        port: web1", "only ports of kind segment have bindings"},
    {"BindingTwice", "port: desk, state: suspended", "port: desk, state: active", "port: desk, state: suspended", "tenants[0].bindings[2].port: the port already has the active binding \"desk-eth0\""},
    {"EnforcementWord", "web1, nic: nic-a, outer_vlan: 200,", "web1, nic: nic-a, enforcement: mac, outer_vlan: 200,", "web1, nic: nic-a, enforcement: segment, outer_vlan: 200,", "enforcement"},
    {"EnforcementIsolate", "web1, nic: nic-a, outer_vlan: 200,", "web1, nic: nic-a, enforcement: isolated, outer_vlan: 200,", "web1, nic: nic-a, enforcement: isolate, outer_vlan: 200,", "enforcement"},
    {"EnforcementOfShare", "uplink: internet, zone: office", "uplink: internet, enforcement: segment, zone: office", "uplink: internet, zone: office", "tenants[1].ports[1].enforcement: a share has no enforcement"},
    {"SegmentMacTwice", "zone: servers, addresses: [10.0.0.1/28, \"fd00:0:0:1::1/64\"] }\n      - { name: net, kind: share, uplink: internet, zone: office, prefixes: [203.0.113.32/28] }\n    bindings:\n",
     "zone: servers, enforcement: segment, addresses: [10.0.0.1/28] }\n      - { name: net, kind: share, uplink: internet, zone: office, prefixes: [203.0.113.32/28] }\n    bindings:\n      - { name: db1, port: web1, pairs: [ { mac: \"52:54:00:00:01:11\", prefix: 10.0.0.3 } ] }\n",
     "zone: servers, enforcement: segment, addresses: [10.0.0.1/28] }\n      - { name: net, kind: share, uplink: internet, zone: office, prefixes: [203.0.113.32/28] }\n    bindings:\n      - { name: db1, port: web1, pairs: [ { mac: \"52:54:00:00:01:12\", prefix: 10.0.0.3 } ] }\n      - { name: old, port: web1, state: suspended, pairs: [ { mac: \"52:54:00:00:01:11\", prefix: 10.0.0.4 } ] }\n",
     "tenants[1].bindings[1].pairs[0].mac: 52:54:00:00:01:11 is already bound by \"db1\""},
    {"MacMulticast", "mac: \"52:54:00:00:02:11\", prefix: 10.0.1.2", "mac: \"53:54:00:00:02:11\", prefix: 10.0.1.2", "mac: \"56:54:00:00:02:11\", prefix: 10.0.1.2", "tenants[0].bindings[1].pairs[0].mac: 53:54:00:00:02:11 is not a unicast MAC"},
    {"MacZero", "mac: \"52:54:00:00:02:11\", prefix: 10.0.1.2", "mac: \"00:00:00:00:00:00\", prefix: 10.0.1.2", "mac: \"00:00:00:00:00:02\", prefix: 10.0.1.2", "is not a unicast MAC"},
    {"MacShape", "mac: \"52:54:00:00:02:11\", prefix: 10.0.1.2", "mac: \"52-54-00-00-02-11\", prefix: 10.0.1.2", "mac: \"AA:54:00:00:02:11\", prefix: 10.0.1.2", "is not a MAC address"},
    {"PairHostBits", "prefix: 10.0.1.2 }", "prefix: 10.0.1.3/31 }", "prefix: 10.0.1.2/31 }", "has host bits set"},
    {"PairMulticast", "prefix: 10.0.1.2 }", "prefix: 224.0.0.1 }", "prefix: 223.0.0.1 }", "cannot be bound"},
    {"PairLinkLocal", "prefix: \"fd00:0:0:2::2\"", "prefix: \"fe80::2\"", "prefix: \"fd00:0:0:2::3\"", "bound by the binding's lla policy"},
    {"PairTwice", "prefix: 10.0.1.2 }", "prefix: 10.0.1.2 }, { mac: \"52:54:00:00:02:11\", prefix: 10.0.1.2/32 }", "prefix: 10.0.1.2 }, { mac: \"52:54:00:00:02:12\", prefix: 10.0.1.2 }", "tenants[0].bindings[1].pairs[1]: the pair is given twice"},
    {"F33SameAddress", "prefix: 10.0.1.2 }", "prefix: 10.0.0.2 }", "prefix: 10.0.0.3 }", "tenants[0].bindings[1].pairs[0].prefix: 10.0.0.2/32 is already bound by \"web1-eth0\""},
    {"F33Nested", "prefix: 10.0.1.2 }", "prefix: 10.0.0.0/30 }", "prefix: 10.0.0.4/30 }", "already bound by \"web1-eth0\""},
    {"LlaPins", "lla: { policy: list, list: [ \"fe80::2\" ] }", "lla: { pins: 9 }", "lla: { pins: 8 }", "tenants[0].bindings[1].lla.pins: pins lie between 1 and 8"},
    {"LlaList", "lla: { policy: list, list: [ \"fe80::2\" ] }", "lla: { policy: eui64, list: [ \"fe80::2\" ] }", "lla: { policy: eui64 }", "a list belongs to policy list"},
    {"LlaGlobal", "[ \"fe80::2\" ]", "[ \"fd00::2\" ]", "[ \"febf::2\" ]", "is not an IPv6 link-local address"},
    {"Routed", "roles: [ router, forwarding ]", "roles: [ router, dhcp ]", "roles: [ forwarding ]", "routed prefixes need the role forwarding"},
    {"Ethertype", "[ 0x88cc ]", "[ 0x05ff ]", "[ 0x0600 ]", "an ethertype lies between 0x0600 and 0xffff"},
    {"EthertypeIp", "[ 0x88cc ]", "[ 0x86dd ]", "[ 0x86de ]", "are not extra"},
    {"EthertypeMany", "[ 0x88cc ]", "[ 1537, 1538, 1539, 1540, 1541, 1542, 1543, 1544, 1545 ]", "[ 1537, 1538, 1539, 1540, 1541, 1542, 1543, 1544 ]", "there are 9 ethertypes; at most 8 are accepted"},
    {"Vrid", "vrids: [ 211 ]", "vrids: [ 256 ]", "vrids: [ 255 ]", "a VRRP group lies between 1 and 255"},
    {"MeterRate", "arp: { rate: 31", "arp: { rate: 0", "arp: { rate: 1", "tenants[0].bindings[0].meters.arp.rate: a rate lies between"},
    {"MeterBurst", "burst: 61", "burst: 1000001", "burst: 1000000", "meters.arp.burst: a burst lies between"},
    {"RoutePort", "port: net, next_hop: 192.0.2.2", "port: nets, next_hop: 192.0.2.2", "port: net, next_hop: 192.0.2.3", "tenants[0].routes[0].port: there is no port named \"nets\""},
    {"RouteHop", "next_hop: 192.0.2.2", "next_hop: 192.0.3.2", "next_hop: 192.0.2.254", "tenants[0].routes[0].next_hop: 192.0.3.2 lies in no subnet of the port"},
    {"RouteOwn", "next_hop: 192.0.2.2", "next_hop: 192.0.2.1", "next_hop: 192.0.2.2", "192.0.2.1 is the port's own address"},
    {"RouteFamily", "next_hop: 192.0.2.2", "next_hop: \"2001:db8:0:1::2\"", "next_hop: 192.0.2.2", "are of different families"},
    {"RouteShareHop", ", next_hop: 192.0.2.2", "", ", next_hop: 192.0.2.2", "a route over a share needs a next hop"},
    {"RouteTwice", "{ prefix: 0.0.0.0/0", "{ prefix: 10.9.0.0/24", "{ prefix: 10.8.0.0/24", "tenants[0].routes[1].prefix: there is already a route to 10.9.0.0/24"},
    {"RouteBound", "{ prefix: 0.0.0.0/0", "{ prefix: 10.0.0.2/32", "{ prefix: 10.0.0.3/32", "there is already a route to 10.0.0.2/32"},
    {"RouteHostBits", "{ prefix: 0.0.0.0/0", "{ prefix: 10.0.0.1/8", "{ prefix: 10.0.0.0/8", "has host bits set"},
    {"AddressEntry", "entries: [10.0.1.77]", "entries: [10.0.1.77/24]", "entries: [10.0.1.70-10.0.1.79]", "tenants[0].addresses[2].entries[0]: \"10.0.1.77/24\" is not an address"},
    {"AddressRange", "entries: [10.0.1.77]", "entries: [10.0.1.79-10.0.1.70]", "entries: [10.0.1.79-10.0.1.79]", "is not an address"},
    {"AddressMixed", "entries: [10.0.1.77]", "entries: [\"10.0.1.79-fd00::1\"]", "entries: [\"fd00::-fd00::1\"]", "is not an address"},
    {"AddressEmpty", "entries: [10.0.1.77]", "entries: []", "entries: [\"::/0\"]", "an address object has at least one entry"},
    {"GroupMember", "members: [office-net]", "members: [office]", "members: [office-net, printer]", "tenants[0].address_groups[0].members[0]: there is no object or group named \"office\""},
    {"GroupCycle", "members: [office-net]", "members: [office-net, desks]", "members: [office-net]", "tenants[0].address_groups[0]: the group contains itself"},
    {"GroupName", "name: desks, members", "name: printer, members", "name: desks, members", "tenants[0].address_groups[0].name: an object is already named \"printer\""},
    {"GroupDepth", "      - { name: desks, members: [office-net], exclude: [printer] }",
     "      - { name: desks, members: [g1] }\n      - { name: g1, members: [g2] }\n      - { name: g2, members: [g3] }\n      - { name: g3, members: [g4] }\n      - { name: g4, members: [printer] }",
     "      - { name: desks, members: [g1] }\n      - { name: g1, members: [g2] }\n      - { name: g2, members: [g3] }\n      - { name: g3, members: [printer] }",
     "tenants[0].address_groups[0]: groups are nested more than 4 deep"},
    {"Protocol", "name: http, protocol: tcp", "name: http, protocol: dccp", "name: http, protocol: sctp", "tenants[0].services[0].protocol: \"dccp\" is not tcp"},
    {"ProtocolNumber", "name: ping6, protocol: icmpv6, icmp: [ { type: 128 } ]", "name: ping6, protocol: 256", "name: ping6, protocol: 255", "\"256\" is not tcp"},
    {"PortsOfIcmp", "protocol: icmpv6, icmp: [ { type: 128 } ]", "protocol: icmpv6, destination_ports: [80]", "protocol: udp, destination_ports: [80]", "only tcp, udp and sctp have ports"},
    {"PortZero", "destination_ports: [80,", "destination_ports: [0,", "destination_ports: [1,", "destination_ports[0]: \"0\" is not a port"},
    {"PortHigh", "destination_ports: [80,", "destination_ports: [65536,", "destination_ports: [65535,", "is not a port"},
    {"PortRange", "8000-8080", "8080-8000", "8080-8080", "is not a port"},
    {"IcmpType", "{ type: 128 }", "{ type: 256 }", "{ type: 255 }", "an ICMP type lies between 0 and 255"},
    {"IcmpCode", "code: 0", "code: 256", "code: 255", "an ICMP code lies between 0 and 255"},
    {"IcmpOfTcp", "protocol: icmpv6, icmp", "protocol: tcp, icmp", "protocol: icmp, icmp", "only icmp and icmpv6 have types and codes"},
    {"ServiceMember", "members: [http, ping]", "members: [http, pong]", "members: [http, ping6]", "tenants[0].service_groups[0].members[1]: there is no object or group"},
    {"ServiceCycle", "members: [http, ping]", "members: [http, web]", "members: [http]", "tenants[0].service_groups[0]: the group contains itself"},
    {"PolicyZone", "from: [office]", "from: [offices]", "from: [office, internet]", "tenants[0].policies[0].from[0]: there is no zone"},
    {"PolicyName", "- name: outside", "- name: inside", "- name: Inside", "tenants[0].policies[1].name: the name \"inside\" is used twice"},
    {"RuleName", "name: not desks", "name: not web", "name: Not web", "tenants[0].policies[1].rules[1].name: the name \"not web\" is used twice"},
    {"RuleId", "id: 6f1d2c84-0000-4000-8000-000000000001", "id: 6f1d2c84-0000-4000-8000-00000000000", "id: 6F1D2C84-0000-4000-8000-00000000000A", "tenants[0].policies[0].rules[0].id:"},
    {"RuleIdTwice", "name: switched off,", "name: switched off, id: 6f1d2c84-0000-4000-8000-000000000001,", "name: switched off, id: 6f1d2c84-0000-4000-8000-000000000002,", "the id is that of another rule of this tenant"},
    {"RuleSource", "source: [printer]", "source: [print]", "source: [desks]", "tenants[0].policies[0].rules[2].source[0]: there is no address or group named \"print\""},
    {"RuleAny", "source: [printer]", "source: [any]", "source: []", "leave the list empty to mean any"},
    {"RuleService", "service: [web], service_not: true", "service: [webs], service_not: true", "service: [http], service_not: true", "there is no service or group named \"webs\""},
    {"RuleNotAny", "source: [printer]", "source_not: true", "source: [printer], source_not: true", "rules[2].source_not: not any matches nothing"},
    {"RuleZone", "source: [printer]", "source_zones: [nowhere]", "source_zones: [office]", "rules[2].source_zones[0]: there is no zone"},
    {"LogOfReject", "source: [printer], log: each", "source: [printer], log: end", "source: [printer], log: none", "rules[2].log: a rule that drops or rejects logs"},
    {"LogOfAllow", "log: both", "log: folded", "log: start", "a rule that allows logs none, start, end or both"},
    {"Memo", "log: both", "memo: \"a\\u0000b\"", "memo: \"a\\nb\"", "rules[2].memo: a memo holds no control characters"},
};

INSTANTIATE_TEST_SUITE_P(Example, ValidateEach, testing::ValuesIn(kCases), [](const auto& one) { return std::string(one.param.name); });

TEST(Validate, ListsMistakesOfReadingAndOfMeaningTogetherAndNothingElse) {
  std::string text(kExample);
  text = with(text, "mtu: 1500 }", "mtu: 1500, colour: red }");                       // unknown field
  text = with(text, "kind: share, uplink: internet, zone: internet", "kind: share, uplink: nowhere, zone: internet");
  text = with(text, "pairs: [ { mac: \"52:54:00:00:02:11\", prefix: 10.0.1.2 }", "pairs: [ { mac: \"52:54:00:00:02:1x\", prefix: 10.0.1.2 }");
  text = with(text, "default_log: each", "default_log: loud");                         // no such choice
  text = with(text, "members: [http, ping]", "members: [http, pong]");                  // bad reference
  text = with(text, "{ name: rest, action: allow", "{ name: not desks, action: allow"); // duplicate name

  std::istringstream lines(findings_of(text));
  std::vector<std::string> places;
  for (std::string line; std::getline(lines, line);) places.push_back(line.substr(0, line.find(':', 2)));

  // Line 28 is the example's own warning: a binding without pairs.
  EXPECT_THAT(places, testing::ElementsAre("f:3", "f:14", "f:22", "f:28", "f:43", "f:48", "f:58")) << findings_of(text);
}

TEST(Validate, FindsNoErrorInTheExampleNorInNothing) {
  EXPECT_EQ(errors_of(std::string(kExample)), "");
  EXPECT_EQ(findings_of("{}"), "");
  EXPECT_EQ(findings_of("tenants: [ { service_code: acm00000001, name: acme } ]"), "");
}

TEST(Validate, LetsOneVrrpGroupShareAnAddress) {
  const std::string shared = with(kExample, "prefix: 10.0.1.2 }", "prefix: 10.0.0.2 }");

  EXPECT_THAT(errors_of(shared), HasSubstr("share an address only within one VRRP group"));
  EXPECT_EQ(errors_of(with(shared, "meters: { arp", "vrids: [ 1, 211 ]\n        meters: { arp")), "");
  EXPECT_THAT(errors_of(with(shared, "meters: { arp", "vrids: [ 212 ]\n        meters: { arp")), HasSubstr("already bound"));
  EXPECT_THAT(findings_of(with(shared, "meters: { arp", "vrids: [ 1, 211 ]\n        meters: { arp")), HasSubstr("a virtual address moves within one zone only"));
}

TEST(Validate, RefusesALinkLocalThatTwoHostsOfASegmentListOutsideOneVrrpGroup) {
  const auto document = [](std::string_view first, std::string_view second, std::string_view port = "{ name: b, nic: n, outer_vlan: 2, kind: segment, zone: z, addresses: [ fd00::1/64 ] }") {
    return std::string("nics: [ { name: n, device: d } ]\ntenants:\n  - service_code: acm00000001\n    name: acme\n    zones: [ z ]\n    ports:\n") +
           "      - { name: a, nic: n, outer_vlan: 1, kind: segment, zone: z, addresses: [ 'fd00::1/64', 10.0.0.1/24 ] }\n      - " + std::string(port) + "\n    bindings:\n" +
           "      - { name: one, port: a, pairs: [ { mac: '02:00:00:00:00:0a', prefix: 'fd00::a' } ]" + std::string(first) + " }\n" +
           "      - { name: two, port: b, pairs: [ { mac: '02:00:00:00:00:0b', prefix: 'fd00::b' } ], lla: { policy: list, list: [ 'fe80::1', 'fe80::7' ] }" + std::string(second) + " }\n";
  };
  const std::string lists = ", lla: { policy: list, list: [ 'fe80::7' ] }";
  EXPECT_THAT(errors_of(document(lists, "")), HasSubstr("f:11:131: error: tenants[0].bindings[1].lla.list[1]: fe80::7 is already listed by \"one\""));
  EXPECT_THAT(errors_of(document(lists + ", vrids: [ 7 ]", ", vrids: [ 8 ]")), HasSubstr("lla.list[1]"));
  EXPECT_EQ(errors_of(document(lists + ", vrids: [ 7 ]", ", vrids: [ 7, 8 ]")), "") << "a virtual router's";
  EXPECT_EQ(errors_of(document(", lla: { policy: list, list: [ 'fe80::8' ] }", "")), "");
  EXPECT_EQ(errors_of(document(lists + ", state: suspended", "")), "");
  EXPECT_EQ(errors_of(document(lists, "", "{ name: b, nic: n, outer_vlan: 2, kind: segment, zone: z, addresses: [ fd00:0:0:1::1/64 ] }")), "") << "another segment";
  const std::string derived = with(document("", ""), "'fe80::7'", "'fe80::ff:fe00:a'");
  EXPECT_THAT(errors_of(derived), HasSubstr("lla.list[1]: fe80::ff:fe00:a belongs to a MAC of \"one\""));
}

TEST(Validate, WarnsOfARouteByAHostThatHasNotGotItsPrefix) {
  const auto route = [](const char* prefix, const char* more) {
    return with(with(kExample, "routes:", std::string("routes:\n      - { prefix: ") + prefix + ", port: web1, next_hop: 10.0.0.2 }"), "meters: { arp", std::string(more) + "meters: { arp");
  };
  EXPECT_THAT(findings_of(route("172.16.0.0/16", "")), HasSubstr("tenants[0].routes[0].next_hop: what of 172.16.0.0/16 is not in \"routed\" of binding"));
  EXPECT_THAT(findings_of(route("172.16.0.0/16", "roles: [ forwarding ]\n        routed: [ 172.16.0.0/17 ]\n        ")), HasSubstr("what of 172.16.0.0/16"));
  EXPECT_THAT(findings_of(route("172.16.0.0/16", "roles: [ forwarding ]\n        routed: [ 172.16.0.0/12 ]\n        ")), testing::Not(HasSubstr("what of")));
}

TEST(Validate, IgnoresSuspendedBindingsInConflicts) {
  const std::string text = with(kExample, "port: desk, state: suspended", "port: desk, state: suspended, pairs: [ { mac: \"52:54:00:00:01:12\", prefix: 10.0.0.2 } ]");

  EXPECT_EQ(errors_of(text), "");
}

TEST(Validate, WarnsOfWhatIsDoubtful) {
  EXPECT_THAT(findings_of(with(kExample, "prefix: 10.0.1.2 }", "prefix: 10.0.1.0/30 }")),
              HasSubstr("warning: tenants[0].bindings[1].pairs[0].prefix: the bound prefix holds 10.0.1.1, the gateway's own address"));
  EXPECT_THAT(findings_of(with(kExample, "prefix: 10.0.1.2 }", "prefix: 10.7.1.2 }")), HasSubstr("10.7.1.2/32 lies in no subnet of port \"desk\""));
  EXPECT_THAT(findings_of(with(kExample, "next_hop: 10.0.1.2", "next_hop: 10.0.1.3")), HasSubstr("is bound by no active binding of its port"));
  EXPECT_THAT(findings_of(with(kExample, "from: [office]\n        to: [servers]", "from: []")), HasSubstr("warning: tenants[0].policies[1]: never reached: policy \"inside\""));
  EXPECT_THAT(findings_of(with(kExample, "addresses: [10.0.1.1/24,", "addresses: [10.0.0.1/24,")), HasSubstr("the subnet overlaps that of port"));
}

TEST(Validate, ListsEveryFindingInDocumentOrder) {
  std::string text = with(kExample, "node: u0", "node: \"!\"");
  text = with(text, "zone: servers", "zone: nowhere");
  text = with(text, "log: both", "log: each");

  const std::string errors = errors_of(text);

  EXPECT_LT(errors.find("node:"), errors.find("ports[0].zone"));
  EXPECT_LT(errors.find("ports[0].zone"), errors.find("rules[2].log"));
  EXPECT_EQ(std::count(errors.begin(), errors.end(), '\n'), 3);
}

TEST(Validate, BoundsZonesAndRules) {
  const auto zones = [](int count) {
    std::string out = "tenants: [ { service_code: acm00000001, name: acme, zones: [";
    for (int i = 0; i < count; ++i) out += (i == 0 ? "z" : ", z") + std::to_string(i);
    return out + "] } ]";
  };
  const auto rules = [](int count) {
    std::string out = "tenants:\n  - service_code: acm00000001\n    name: acme\n    policies:\n      - name: p\n        rules:\n";
    for (int i = 0; i < count; ++i) out += "          - { name: r" + std::to_string(i) + ", action: drop }\n";
    return out;
  };

  EXPECT_EQ(errors_of(zones(64)), "");
  EXPECT_THAT(errors_of(zones(65)), HasSubstr("there are 65 zones; at most 64 are accepted"));
  EXPECT_EQ(errors_of(rules(10'000)), "");
  EXPECT_THAT(errors_of(rules(10'001)), HasSubstr("there are 10001 rules in this tenant; at most 10000 are accepted"));
}

}  // namespace
}  // namespace sekisho::control::test
