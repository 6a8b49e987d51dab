// SPDX-License-Identifier: Apache-2.0
// Goal: every step of specification 3.5 refuses its packet under its code, in the normative order, and passes the
// nearest good one. Method: named vectors, each judged by a fresh Binding; every switch may flip exactly the vectors
// meant.
#include "filters/link/binding_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "filters/packet/nd.h"
#include "tests/support/frames.h"

namespace sekisho::filters {
namespace {

using sekisho::tests::address;
using sekisho::tests::ArpFields;
using sekisho::tests::Frame;
using sekisho::tests::FrameBuilder;
using sekisho::tests::NdFields;
using snapshot::MeterClass;

const Mac kGateway{{0x52, 0x54, 0, 0, 0, 1}};
const Mac kOwn{{0x52, 0x54, 0, 0, 1, 0x11}};     // bound: 10.0.0.2, 10.0.0.3, fd00:0:0:1::2, fd00:0:0:1::3
const Mac kSecond{{0x52, 0x54, 0, 0, 1, 0x22}};  // bound: 10.0.0.4
const Mac kForeign{{0x52, 0x54, 0, 0, 9, 9}};
const Mac kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
const Mac kAllNodes{{0x33, 0x33, 0, 0, 0, 1}};
constexpr std::string_view kOwnLinkLocal = "fe80::5054:ff:fe00:111";
constexpr std::string_view kOtherLinkLocal = "fe80::77";
constexpr std::string_view kGatewayLinkLocal = "fe80::1";

/// What a test may change about the Binding before the rules are built.
struct Plan {
  snapshot::Port port{};
  snapshot::Binding binding{};
  std::vector<snapshot::BindingPair> pairs;
  std::vector<snapshot::BindingPair> routed;
  std::vector<Address> link_locals;
  std::vector<Prefix> gateway{parse_prefix("10.0.0.1/28").value(), parse_prefix("fd00:0:0:1::1/64").value()};
  std::vector<Address> forbidden{address(kGatewayLinkLocal)};

  Plan() {
    binding.active = 1;
    binding.lla_policy = snapshot::LlaPolicy::kPin;
    binding.lla_pins = 2;
    binding.meters.fill({1000, 1000});
    bind(kOwn, "10.0.0.2/32");
    bind(kOwn, "fd00:0:0:1::2/128");
    bind(kOwn, "10.0.0.3/32");
    bind(kOwn, "fd00:0:0:1::3/128");
    bind(kSecond, "10.0.0.4/32");
  }
  void bind(const Mac& mac, std::string_view prefix) { pairs.push_back({mac, parse_prefix(prefix).value()}); }
  void route(std::string_view prefix) { routed.push_back({Mac{}, parse_prefix(prefix).value()}); }
  [[nodiscard]] BindingRules rules() const {
    return BindingRules({port, binding, pairs, routed, link_locals, gateway, forbidden});
  }
};

struct Bench {
  BindingRules rules;
  LinkLocalClaims claims{4, 1, 2};
  BindingPins pins;
  BindingMeters meters;

  explicit Bench(const Plan& plan = {}) : rules(plan.rules()) { pins.join(claims); }

  DropReason judge(const Frame& frame, std::uint64_t now_ms = 0) {
    PacketMeta meta{};
    const DropReason refused = decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta);
    if (refused != DropReason::kNone) return from_port_refused(rules, pins, meters, frame, meta, now_ms, refused);
    const DropReason reason = from_port(rules, pins, meters, frame, meta, now_ms);
    if (link_detail::is_plain_from_port(rules.hot(), frame, meta)) {  // the short way must say what the long one says
      BindingMeters other;
      EXPECT_EQ(link_detail::from_port_any(rules, pins, other, frame, meta, now_ms, DropReason::kNone), reason);
    }
    return reason;
  }
};

DropReason judge(const Frame& frame, const Plan& plan = {}) { return std::make_unique<Bench>(plan)->judge(frame); }

FrameBuilder from(const Mac& source, const Mac& destination = kGateway) {
  return FrameBuilder().ethernet(source, destination);
}
FrameBuilder v4(std::string_view source, std::string_view destination = "10.0.1.5",
                sekisho::tests::Ipv4Knobs knobs = {}) {
  return from(kOwn).ipv4(source, destination, std::move(knobs));
}
FrameBuilder v6(std::string_view source, std::string_view destination = "2001:db8::5",
                sekisho::tests::Ipv6Knobs knobs = {}) {
  return from(kOwn).ipv6(source, destination, knobs);
}
FrameBuilder group6(std::string_view source, std::string_view destination, std::uint8_t hop_limit = 255) {
  return from(kOwn, multicast_mac(address(destination))).ipv6(source, destination, {.hop_limit = hop_limit});
}
Frame arp(ArpFields fields, const Mac& destination = kBroadcast, const Mac& source = kOwn) {
  return from(source, destination).arp(fields).build();
}
ArpFields request() {
  return {.operation = 1, .sender_mac = kOwn, .sender = address("10.0.0.2"), .target = address("10.0.0.1")};
}
ArpFields reply() {
  return {.operation = 2,
          .sender_mac = kOwn,
          .sender = address("10.0.0.2"),
          .target_mac = kGateway,
          .target = address("10.0.0.1")};
}
Frame changed_arp(const std::function<void(ArpFields&)>& change, ArpFields fields = request()) {
  change(fields);
  return arp(fields);
}
Frame ns(std::string_view source, std::string_view target, std::optional<Mac> source_link_layer,
         std::uint8_t hops = 255) {
  const Address group = solicited_node(address(target));
  return group6(source, to_string(group), hops)
      .nd(kNdNeighbourSolicitation, {.target = address(target), .source_link_layer = source_link_layer})
      .build();
}
Frame na(std::string_view target, std::optional<Mac> target_link_layer, std::uint32_t flags = 0x60000000,
         std::uint8_t hops = 255) {
  return v6("fd00:0:0:1::2", "fd00:0:0:1::1", {.hop_limit = hops})
      .nd(kNdNeighbourAdvertisement,
          {.target = address(target), .target_link_layer = target_link_layer, .flags = flags})
      .build();
}
/// A BOOTP message of 240 bytes (RFC 951): op, htype, hlen, ..., giaddr at 24, chaddr at 28.
Frame bootp(const Mac& chaddr, std::uint8_t op = 1, std::uint32_t giaddr = 0) {
  Frame out(240);
  out[0] = op, out[1] = 1, out[2] = 6;
  store_be<std::uint32_t>(out, 24, giaddr);
  std::copy(chaddr.bytes.begin(), chaddr.bytes.end(), out.begin() + 28);
  return out;
}
Frame dhcp(std::string_view source, std::string_view destination, const Frame& message) {
  const Mac to = destination == "255.255.255.255" ? kBroadcast : kGateway;
  return from(kOwn, to).ipv4(source, destination).udp(68, 67).payload(message).build();
}

struct Vector {
  std::string name;
  Frame frame;
  DropReason expected;
};

std::vector<Vector> frame_vectors() {
  const auto tcp = [](const Mac& source) { return from(source).ipv4("10.0.0.2", "10.0.1.5").tcp(1, 2).build(); };
  return {
      {"frame: own", tcp(kOwn), DropReason::kNone},
      {"frame: runt", Frame(13), DropReason::kEthernetTruncated},
      {"frame: multicast source", tcp(Mac{{0x53, 0x54, 0, 0, 1, 0x11}}), DropReason::kAeFrame},
      {"frame: zero source", tcp(Mac{}), DropReason::kAeFrame},
      {"frame: tag on an untagged port", from(kOwn).vlan(5).ipv4("10.0.0.2", "10.0.1.5").tcp(1, 2).build(),
       DropReason::kAeFrame},
      {"frame: three tags", from(kOwn).vlan(1).vlan(2).vlan(3).ipv4("10.0.0.2", "10.0.1.5").tcp(1, 2).build(),
       DropReason::kVlanDepth},
      {"frame: lldp", from(kOwn).ether_type(0x88cc).payload(46).build(), DropReason::kAeEthertype},
      {"frame: 802.3 length", from(kOwn).ether_type(46).payload(46).build(), DropReason::kAeEthertype},
      {"frame: experimental", from(kOwn).ether_type(0x88b5).payload(46).build(), DropReason::kAeEthertype},
      {"frame: foreign source", tcp(kForeign), DropReason::kAeMac},
      {"frame: foreign source with a bad checksum",
       from(kForeign).ipv4("10.0.0.2", "10.0.1.5", {.checksum = 1}).tcp(1, 2).build(), DropReason::kAeMac},
      {"frame: gateway's source", tcp(kGateway), DropReason::kAeMac},
  };
}

std::vector<Vector> arp_vectors() {
  return {
      {"arp: request", arp(request()), DropReason::kNone},
      {"arp: request to the gateway alone", arp(request(), kGateway), DropReason::kNone},
      {"arp: reply", arp(reply(), kGateway), DropReason::kNone},
      {"arp: announcement", changed_arp([](auto& f) { f.target = f.sender; }), DropReason::kNone},
      {"arp: gratuitous reply", changed_arp([](auto& f) { f.target = f.sender; }, reply()), DropReason::kNone},
      {"arp: probe", changed_arp([](auto& f) { f.sender = address("0.0.0.0"), f.target = address("10.0.0.2"); }),
       DropReason::kNone},
      {"arp: hardware type", changed_arp([](auto& f) { f.hardware_type = 6; }), DropReason::kAeArpFormat},
      {"arp: protocol type", changed_arp([](auto& f) { f.protocol_type = 0x86dd; }), DropReason::kAeArpFormat},
      {"arp: hardware length", changed_arp([](auto& f) { f.hardware_bytes = 8; }), DropReason::kAeArpFormat},
      {"arp: protocol length", changed_arp([](auto& f) { f.protocol_bytes = 16; }), DropReason::kAeArpFormat},
      {"arp: reverse", changed_arp([](auto& f) { f.operation = 3; }), DropReason::kAeArpFormat},
      {"arp: target zero", changed_arp([](auto& f) { f.target = address("0.0.0.0"); }), DropReason::kAeArpFormat},
      {"arp: target multicast", changed_arp([](auto& f) { f.target = address("224.0.0.1"); }),
       DropReason::kAeArpFormat},
      {"arp: target broadcast", changed_arp([](auto& f) { f.target = address("255.255.255.255"); }),
       DropReason::kAeArpFormat},
      {"arp: target subnet broadcast", changed_arp([](auto& f) { f.target = address("10.0.0.15"); }),
       DropReason::kAeArpFormat},
      {"arp: short", from(kOwn, kBroadcast).ether_type(0x0806).payload(27).build(), DropReason::kArpTruncated},
      {"arp: sender hardware foreign", changed_arp([](auto& f) { f.sender_mac = kForeign; }), DropReason::kAeArpSha},
      {"arp: sender hardware of a neighbour", changed_arp([](auto& f) { f.sender_mac = kSecond; }),
       DropReason::kAeArpSha},
      {"arp: probe for the gateway", changed_arp([](auto& f) { f.sender = address("0.0.0.0"); }),
       DropReason::kAeArpProbe},
      {"arp: reply from nobody",
       changed_arp([](auto& f) { f.sender = address("0.0.0.0"), f.target = address("10.0.0.2"); }, reply()),
       DropReason::kAeArpProbe},
      {"arp: gateway's address", changed_arp([](auto& f) { f.sender = address("10.0.0.1"); }), DropReason::kAeArpSpa},
      {"arp: address of another own MAC", changed_arp([](auto& f) { f.sender = address("10.0.0.4"); }),
       DropReason::kAeArpSpa},
      {"arp: forged reply", changed_arp([](auto& f) { f.sender = address("10.0.0.9"); }, reply()),
       DropReason::kAeArpSpa},
      {"arp: reply to another than it says",
       [] {
         auto f = reply();
         f.target_mac = kForeign;
         return arp(f, kGateway);
       }(),
       DropReason::kAeArpTha},
  };
}

std::vector<Vector> ipv4_vectors() {
  return {
      {"v4: second address", v4("10.0.0.3").udp(5, 6).build(), DropReason::kNone},
      {"v4: second MAC", from(kSecond).ipv4("10.0.0.4", "10.0.1.5").udp(5, 6).build(), DropReason::kNone},
      {"v4: bad checksum", v4("10.0.0.2", "10.0.1.5", {.checksum = 1}).tcp(1, 2).build(), DropReason::kIpv4Checksum},
      {"v4: total length", v4("10.0.0.2", "10.0.1.5", {.total_length = 400}).tcp(1, 2).build(),
       DropReason::kIpv4TotalLength},
      {"v4: loose source route", v4("10.0.0.2", "10.0.1.5", {.options = {131, 7, 4, 10, 0, 0, 9}}).tcp(1, 2).build(),
       DropReason::kIpv4SourceRoute},
      {"v4: loose source route, foreign source",
       v4("10.0.0.9", "10.0.1.5", {.options = {131, 7, 4, 10, 0, 0, 9}}).tcp(1, 2).build(), DropReason::kIpv4SourceRoute},
      {"v4: record route", v4("10.0.0.2", "10.0.1.5", {.options = {7, 7, 4, 0, 0, 0, 0}}).tcp(1, 2).build(),
       DropReason::kIpv4RecordRoute},
      {"v4: dhcp discover", dhcp("0.0.0.0", "255.255.255.255", bootp(kOwn)), DropReason::kNone},
      {"v4: dhcp renew", dhcp("10.0.0.2", "10.0.0.1", bootp(kOwn)), DropReason::kNone},
      {"v4: dhcp foreign chaddr", dhcp("0.0.0.0", "255.255.255.255", bootp(kForeign)), DropReason::kAeDhcpChaddr},
      {"v4: dhcp boot reply", dhcp("0.0.0.0", "255.255.255.255", bootp(kOwn, 2)), DropReason::kAeDhcpChaddr},
      {"v4: dhcp relayed", dhcp("10.0.0.2", "10.0.0.1", bootp(kOwn, 1, 0x0a000002)), DropReason::kAeDhcpChaddr},
      {"v4: dhcp short", dhcp("0.0.0.0", "255.255.255.255", Frame(33)), DropReason::kAeDhcpChaddr},
      {"v4: dhcp fragment", v4("10.0.0.2", "10.0.0.1", {.fragment = 0x2000}).udp(68, 67).payload(bootp(kOwn)).build(),
       DropReason::kAeDhcpChaddr},
      {"v4: dhcp from nobody to one host", dhcp("0.0.0.0", "10.0.0.1", bootp(kOwn)), DropReason::kAeIp4},
      {"v4: dhcp foreign source", dhcp("10.0.0.9", "10.0.0.1", bootp(kOwn)), DropReason::kAeIp4},
      {"v4: from nobody", v4("0.0.0.0").udp(5, 6).build(), DropReason::kAeIp4},
      {"v4: foreign source", v4("10.0.0.9").tcp(1, 2).build(), DropReason::kAeIp4},
      {"v4: foreign source, flags wrong too", v4("10.0.0.9").tcp(1, 2, {.flags = 0}).build(), DropReason::kAeIp4},
      {"v4: own source, flags wrong", v4("10.0.0.2").tcp(1, 2, {.flags = 0}).build(), DropReason::kTcpNull},
      {"v4: redirect, foreign source", v4("10.0.0.9").icmp(5, 1, 0).payload(28).build(), DropReason::kAeIp4},
      {"v4: source quench", v4("10.0.0.2").icmp(4, 0, 0).payload(28).build(), DropReason::kIcmpDeprecated},
      {"v4: address of another own MAC", v4("10.0.0.4").tcp(1, 2).build(), DropReason::kAeIp4},
      {"v4: gateway's address", v4("10.0.0.1").tcp(1, 2).build(), DropReason::kAeIp4},
      {"v4: later fragment, foreign source",
       v4("10.0.0.9", "10.0.1.5", {.fragment = 1}).protocol(17, Frame(16)).build(), DropReason::kAeIp4},
      {"v4: later fragment", v4("10.0.0.2", "10.0.1.5", {.fragment = 1}).protocol(17, Frame(16)).build(),
       DropReason::kNone},
      {"v4: behind a forwarder", v4("172.16.0.9").tcp(1, 2).build(), DropReason::kAeIp4},
      {"v4: dhcp offer", from(kOwn, kBroadcast).ipv4("10.0.0.2", "255.255.255.255").udp(67, 68).build(),
       DropReason::kAeDhcpServer},
      {"v4: dhcp relay", v4("10.0.0.2").udp(67, 67).build(), DropReason::kAeDhcpServer},
      {"v4: to a dhcp server's port", v4("10.0.0.2").udp(5, 67).build(), DropReason::kNone},
      {"v4: redirect", v4("10.0.0.2").icmp(5, 1, 0x0a000009).payload(28).build(), DropReason::kAeRedirect},
      {"v4: unreachable", v4("10.0.0.2").icmp(3, 1, 0).payload(28).build(), DropReason::kNone},
      {"v4: igmp query", v4("10.0.0.2", "224.0.0.1").protocol(2, {0x11, 0, 0, 0, 0, 0, 0, 0}).build(),
       DropReason::kAeQuery},
      {"v4: igmp report", v4("10.0.0.2", "224.0.0.22").protocol(2, {0x22, 0, 0, 0, 0, 0, 0, 0}).build(),
       DropReason::kNone},
      {"v4: vrrp 211", v4("10.0.0.2", "224.0.0.18").protocol(112, {0x31, 211, 100, 1}).build(), DropReason::kAeVrrp},
      {"v4: vrrp without body", v4("10.0.0.2", "224.0.0.18").protocol(112, {0x31}).build(), DropReason::kAeVrrp},
  };
}

std::vector<Vector> ipv6_vectors() {
  return {
      {"v6: own", v6("fd00:0:0:1::2").tcp(1, 2).build(), DropReason::kNone},
      {"v6: second address", v6("fd00:0:0:1::3").tcp(1, 2).build(), DropReason::kNone},
      {"v6: payload length", v6("fd00:0:0:1::2", "2001:db8::5", {.payload_length = 400}).tcp(1, 2).build(),
       DropReason::kIpv6PayloadLength},
      {"v6: routing header 0", v6("fd00:0:0:1::2").extension(43, {0, 0, 0, 0, 0, 0, 0}).tcp(1, 2).build(),
       DropReason::kIpv6RoutingHeader0},
      {"v6: routing header 0, foreign source",
       v6("fd00:0:0:1::9").extension(43, {0, 0, 0, 0, 0, 0, 0}).tcp(1, 2).build(), DropReason::kIpv6RoutingHeader0},
      {"v6: dad", ns("::", "fd00:0:0:1::2", {}), DropReason::kNone},
      {"v6: dad for the derived link-local", ns("::", kOwnLinkLocal, {}), DropReason::kNone},
      {"v6: dad for the gateway's address", ns("::", "fd00:0:0:1::1", {}), DropReason::kAeDadForeign},
      {"v6: dad for the gateway's link-local", ns("::", kGatewayLinkLocal, {}), DropReason::kAeDadForeign},
      {"v6: dad with a link-layer option", ns("::", "fd00:0:0:1::2", kOwn), DropReason::kAeIp6},
      {"v6: dad from afar", ns("::", "fd00:0:0:1::2", {}, 254), DropReason::kAeIp6},
      {"v6: dad to one host",
       v6("::", "fd00:0:0:1::1", {.hop_limit = 255}).nd(135, {.target = address("fd00:0:0:1::2")}).build(),
       DropReason::kAeIp6},
      {"v6: mld report from nobody", group6("::", "ff02::16", 1).hop_by_hop().icmp(143, 0, 0).build(),
       DropReason::kNone},
      {"v6: mld query from nobody", group6("::", "ff02::1", 1).hop_by_hop().icmp(130, 0, 0).payload(16).build(),
       DropReason::kAeIp6},
      {"v6: router solicitation from nobody", group6("::", "ff02::2").nd(133, {}).build(), DropReason::kNone},
      {"v6: router solicitation from nobody, named",
       group6("::", "ff02::2").nd(133, {.source_link_layer = kOwn}).build(), DropReason::kAeIp6},
      {"v6: tcp from nobody", v6("::").tcp(1, 2).build(), DropReason::kAeIp6},
      {"v6: foreign source", v6("fd00:0:0:1::9").tcp(1, 2).build(), DropReason::kAeIp6},
      {"v6: multicast source", v6("ff02::1").tcp(1, 2).build(), DropReason::kAeIp6},
      {"v6: gateway's address", v6("fd00:0:0:1::1").tcp(1, 2).build(), DropReason::kAeIp6},
      {"v6: later fragment, foreign source", v6("fd00:0:0:1::9").fragment(8).protocol(17, Frame(16)).build(),
       DropReason::kAeIp6},
      {"v6: behind a forwarder", v6("2001:db8:f::9").tcp(1, 2).build(), DropReason::kAeIp6},
      {"v6: derived link-local", v6(kOwnLinkLocal, "fe80::1").echo().build(), DropReason::kNone},
      {"v6: another link-local", v6(kOtherLinkLocal, "fe80::1").echo().build(), DropReason::kNone},
      {"v6: gateway's link-local", v6(kGatewayLinkLocal, "fe80::2").echo().build(), DropReason::kAeLinkLocal},
      {"v6: link-local outside /64", v6("fe80:1::77", "fe80::1").echo().build(), DropReason::kAeLinkLocal},
      {"v6: vrrp 211", v6("fd00:0:0:1::2", "ff02::12").protocol(112, {0x31, 211, 100, 1}).build(), DropReason::kAeVrrp},
  };
}

std::vector<Vector> nd_vectors() {
  const std::string_view own = "fd00:0:0:1::2", gateway = "fd00:0:0:1::1";
  const auto to_gateway = [&](std::uint8_t hops = 255) { return v6(own, gateway, {.hop_limit = hops}); };
  const NdFields plain{.target = address(gateway)};
  return {
      {"nd: solicitation", ns(own, gateway, kOwn), DropReason::kNone},
      {"nd: solicitation without option", ns(own, gateway, {}), DropReason::kNone},
      {"nd: solicitation from afar", ns(own, gateway, kOwn, 254), DropReason::kAeNdHopLimit},
      {"nd: code", to_gateway().nd(135, {.target = address(gateway), .code = 1}).build(), DropReason::kAeNdFormat},
      {"nd: option of length 0",
       to_gateway().nd(135, {.target = address(gateway), .raw_options = {1, 0, 0, 0, 0, 0, 0, 0}}).build(),
       DropReason::kAeNdFormat},
      {"nd: option beyond the end",
       to_gateway().nd(135, {.target = address(gateway), .raw_options = {14, 2, 0, 0, 0, 0, 0, 0}}).build(),
       DropReason::kAeNdFormat},
      {"nd: option twice",
       to_gateway()
           .nd(135,
               {.target = address(gateway), .source_link_layer = kOwn, .raw_options = {1, 1, 0x52, 0x54, 0, 0, 9, 9}})
           .build(),
       DropReason::kAeNdFormat},
      {"nd: nonce option",
       to_gateway().nd(135, {.target = address(gateway), .raw_options = {14, 1, 0, 0, 0, 0, 0, 0}}).build(),
       DropReason::kNone},
      {"nd: extension header", to_gateway().destination_options().nd(135, plain).build(), DropReason::kAeNdFormat},
      {"nd: fragment", to_gateway().fragment(1).nd(135, plain).build(), DropReason::kAeNdFragment},
      {"nd: atomic fragment", to_gateway().fragment(0).nd(135, plain).build(), DropReason::kAeNdFragment},
      {"nd: fragment behind options", to_gateway().destination_options().fragment(1).nd(135, plain).build(),
       DropReason::kAeNdFragment},
      {"nd: fragment behind long options",
       to_gateway()
           .extension(60, {1, 4, 1, 0, 4, 1, 0, 4, 1, 0, 4, 1, 0, 1, 0})
           .fragment(1)
           .nd(135, plain)
           .build(),
       DropReason::kAeNdFragment},
      {"nd: first fragment without header", to_gateway(64).fragment(1).protocol(58, Frame(7)).build(),
       DropReason::kAeNdFragment},
      {"nd: first fragment of udp without header", to_gateway(64).fragment(1).protocol(17, Frame(7)).build(),
       DropReason::kAeNdFragment},
      {"nd: first fragment of udp", to_gateway(64).fragment(1).udp(5, 6).build(), DropReason::kNone},
      {"nd: solicitation with a foreign link-layer", ns(own, gateway, kForeign), DropReason::kAeNdLinkLayer},
      {"nd: router solicitation with a foreign link-layer",
       group6(own, "ff02::2").nd(133, {.source_link_layer = kForeign}).build(), DropReason::kAeNdLinkLayer},
      {"nd: router solicitation", group6(own, "ff02::2").nd(133, {.source_link_layer = kOwn}).build(),
       DropReason::kNone},
      {"nd: advertisement", na(own, kOwn), DropReason::kNone},
      {"nd: advertisement with the router flag", na(own, kOwn, 0xe0000000), DropReason::kNone},
      {"nd: advertisement of the gateway", na(gateway, kOwn), DropReason::kAeNa},
      {"nd: advertisement of the gateway's link-local", na(kGatewayLinkLocal, kOwn), DropReason::kAeNa},
      {"nd: advertisement with a foreign link-layer", na(own, kForeign), DropReason::kAeNdLinkLayer},
      {"nd: router advertisement", group6(kOwnLinkLocal, "ff02::1").nd(134, {}).build(), DropReason::kAeRa},
      {"nd: redirect",
       v6(kOwnLinkLocal, gateway, {.hop_limit = 255})
           .nd(137, {.target = address("fe80::5"), .destination = address("2001:db8::1")})
           .build(),
       DropReason::kAeRedirect},
      {"v6: mld query", group6(kOwnLinkLocal, "ff02::1", 1).hop_by_hop().icmp(130, 0, 0).payload(16).build(),
       DropReason::kAeQuery},
      {"v6: dhcp server", v6(own).udp(547, 546).build(), DropReason::kAeDhcpServer},
      {"v6: dhcp client", v6(kOwnLinkLocal, "ff02::1:2").udp(546, 547).build(), DropReason::kNone},
  };
}

std::vector<Vector> vectors() {
  std::vector<Vector> all;
  for (auto group : {frame_vectors(), arp_vectors(), ipv4_vectors(), ipv6_vectors(), nd_vectors()}) {
    std::move(group.begin(), group.end(), std::back_inserter(all));
  }
  return all;
}

TEST(BindingGuard, JudgesEveryVectorAsTheSpecificationSays) {
  for (const Vector& vector : vectors()) {
    EXPECT_EQ(info(judge(vector.frame)).name, info(vector.expected).name) << vector.name;
  }
}

TEST(BindingGuard, JudgesTheSameBehindTags) {
  Plan tagged;
  tagged.port.outer_vlan = 100, tagged.port.inner_vlan = 7, tagged.port.outer_is_svlan = 1;
  for (const Vector& vector : vectors()) {
    if (vector.name.starts_with("frame: ")) continue;
    Frame frame = vector.frame;
    const Frame tags{0x88, 0xa8, 0, 100, 0x81, 0, 0, 7};
    frame.insert(frame.begin() + 12, tags.begin(), tags.end());
    EXPECT_EQ(info(judge(frame, tagged)).name, info(vector.expected).name) << vector.name;
    frame[13] = 0;  // 8800 in place of 88a8
    frame[12] = 0x81;
    EXPECT_EQ(judge(frame, tagged), DropReason::kAeFrame) << vector.name;
    frame[12] = 0x88, frame[13] = 0xa8, frame[16] = 0x88, frame[17] = 0xa8;
    EXPECT_EQ(judge(frame, tagged), DropReason::kAeFrame) << vector.name;
  }
}

/// Names of the vectors that `plan` judges otherwise than the plain Binding does.
std::set<std::string> flipped(const Plan& plan) {
  std::set<std::string> names;
  for (const Vector& vector : vectors()) {
    if (judge(vector.frame, plan) != vector.expected) names.insert(vector.name);
  }
  return names;
}
using Names = std::set<std::string>;

TEST(BindingGuard, EachSwitchFlipsExactlyItsVectors) {
  Plan router, server, querier, types, group, derived;
  router.binding.roles = snapshot::kRoleRouter;
  server.binding.roles = snapshot::kRoleDhcp;
  querier.binding.roles = snapshot::kRoleQuerier;
  types.binding.ethertypes = {0x88cc, 0x88b5};
  group.binding.vrids = {211};
  derived.binding.lla_policy = snapshot::LlaPolicy::kEui64;

  EXPECT_EQ(flipped(router), (Names{"v4: redirect", "nd: router advertisement", "nd: redirect"}));
  EXPECT_EQ(flipped(server), (Names{"v4: dhcp offer", "v4: dhcp relay", "v6: dhcp server"}));
  EXPECT_EQ(flipped(querier), (Names{"v4: igmp query", "v6: mld query"}));
  EXPECT_EQ(flipped(types), (Names{"frame: lldp", "frame: experimental"}));
  EXPECT_EQ(flipped(group), (Names{"v4: vrrp 211", "v6: vrrp 211"}));
  EXPECT_EQ(flipped(derived), (Names{"v6: another link-local"}));
}

TEST(BindingGuard, ForwardingOpensTheRoutedPrefixesAndNothingElse) {
  Plan plan;
  plan.route("172.16.0.0/16");
  plan.route("2001:db8:f::/48");
  EXPECT_EQ(flipped(plan), Names{});

  plan.binding.roles = snapshot::kRoleForwarding;
  EXPECT_EQ(flipped(plan), (Names{"v4: behind a forwarder", "v6: behind a forwarder"}));
  EXPECT_EQ(judge(v4("172.17.0.1").tcp(1, 2).build(), plan), DropReason::kAeIp4);
  EXPECT_EQ(judge(changed_arp([](auto& f) { f.sender = address("172.16.0.9"); }), plan), DropReason::kAeArpSpa);
  EXPECT_EQ(judge(na("2001:db8:f::9", kOwn), plan), DropReason::kAeNa);
}

TEST(BindingGuard, PassesNothingWithoutAnActiveBinding) {
  Plan suspended, empty;
  suspended.binding.active = 0;
  empty.pairs.clear();
  BindingPins pins;

  for (const Vector& vector : vectors()) {
    EXPECT_EQ(judge(vector.frame, suspended), DropReason::kAeUnbound) << vector.name;
    EXPECT_EQ(judge(vector.frame, empty), DropReason::kAeUnbound) << vector.name;
  }
  EXPECT_EQ(to_port(suspended.rules(), pins, address("10.0.0.2")), DropReason::kAeUnbound);
  EXPECT_EQ(to_port(BindingRules(), pins, address("10.0.0.2")), DropReason::kAeUnbound);
}

TEST(BindingGuard, NeverPassesATruncatedVectorThatItRefused) {
  Plan plan;
  for (const Vector& vector : vectors()) {
    for (std::size_t length = 0; length < vector.frame.size(); ++length) {
      const Frame prefix(vector.frame.begin(), vector.frame.begin() + static_cast<std::ptrdiff_t>(length));
      const std::unique_ptr<Bench> bench = std::make_unique<Bench>(plan);
      EXPECT_NE(bench->judge(prefix), DropReason::kNone) << vector.name << " at " << length;
    }
  }
}

TEST(BindingGuard, APrefixNeverCoversGroupsBroadcastsOrNobody) {
  Plan plan;
  plan.pairs = {{kOwn, parse_prefix("10.0.0.0/28").value()}, {kOwn, parse_prefix("fd00:0:0:1::/64").value()}};
  Plan all;
  all.pairs = {{kOwn, parse_prefix("0.0.0.0/0").value()}, {kOwn, parse_prefix("::/0").value()}};

  EXPECT_EQ(judge(v4("10.0.0.14").tcp(1, 2).build(), plan), DropReason::kNone);
  EXPECT_EQ(judge(v4("10.0.0.15").tcp(1, 2).build(), plan), DropReason::kAeIp4);
  EXPECT_EQ(judge(v4("10.0.0.16").tcp(1, 2).build(), plan), DropReason::kAeIp4);
  EXPECT_EQ(judge(v6("fd00:0:0:1::77").tcp(1, 2).build(), plan), DropReason::kNone);
  EXPECT_EQ(judge(v6("fd00:0:0:2::77").tcp(1, 2).build(), plan), DropReason::kAeIp6);
  for (const std::string_view source : {"0.0.0.0", "224.0.0.1", "255.255.255.255"}) {
    EXPECT_EQ(judge(v4(source).tcp(1, 2).build(), all), DropReason::kAeIp4) << source;
  }
  for (const std::string_view source : {"::", "ff02::1"}) {
    EXPECT_EQ(judge(v6(source).tcp(1, 2).build(), all), DropReason::kAeIp6) << source;
  }
  EXPECT_EQ(judge(v4("8.8.8.8").tcp(1, 2).build(), all), DropReason::kNone);
}

TEST(BindingGuard, APrefixOfNobodysAddressesBindsNothing) {
  const std::vector<std::pair<std::string_view, std::string_view>> rows{
      {"224.0.0.0/8", "224.0.0.0"}, {"0.0.0.0/8", "0.0.0.0"}, {"255.0.0.0/8", "255.255.255.255"},
      {"ff02::/64", "ff02::1"},     {"::/64", "::"},
  };
  for (const auto& [prefix, source] : rows) {
    Plan plan;
    plan.pairs = {{kOwn, parse_prefix(prefix).value()}};
    const bool six = prefix.find(':') != std::string_view::npos;
    const Frame frame = (six ? v6(source) : v4(source)).tcp(1, 2).build();
    EXPECT_EQ(judge(frame, plan), six ? DropReason::kAeIp6 : DropReason::kAeIp4) << prefix;
  }
}

TEST(LinkLocalPolicy, ListAllowsTheListedAlone) {
  Plan plan;
  plan.binding.lla_policy = snapshot::LlaPolicy::kList;
  plan.link_locals = {address(kOtherLinkLocal), address(kGatewayLinkLocal)};

  EXPECT_EQ(judge(v6(kOtherLinkLocal).echo().build(), plan), DropReason::kNone);
  EXPECT_EQ(judge(v6(kOwnLinkLocal).echo().build(), plan), DropReason::kAeLinkLocal);
  EXPECT_EQ(judge(v6(kGatewayLinkLocal).echo().build(), plan), DropReason::kAeLinkLocal);
}

TEST(LinkLocalPolicy, PinsTheFirstOnesPerMacForLife) {
  Plan plan;
  plan.binding.lla_pins = 3;
  const auto bench = std::make_unique<Bench>(plan);
  const auto speak = [&](const Mac& mac, std::string_view source) {
    return bench->judge(from(mac).ipv6(source, "fe80::1").echo().build());
  };

  EXPECT_EQ(speak(kOwn, "fe80::a"), DropReason::kNone);
  EXPECT_EQ(speak(kOwn, kOwnLinkLocal), DropReason::kNone);  // takes no place
  EXPECT_EQ(speak(kOwn, "fe80::b"), DropReason::kNone);
  EXPECT_EQ(speak(kOwn, "fe80::c"), DropReason::kAeLinkLocal);
  EXPECT_EQ(speak(kOwn, "fe80::a"), DropReason::kNone);
  EXPECT_EQ(speak(kSecond, "fe80::a"), DropReason::kAeLinkLocal);  // its neighbour's
  EXPECT_EQ(speak(kSecond, kOwnLinkLocal), DropReason::kAeLinkLocal);
  EXPECT_EQ(speak(kSecond, "fe80::c"), DropReason::kNone);
  EXPECT_EQ(to_port(bench->rules, bench->pins, address("fe80::b")), DropReason::kNone);
  EXPECT_EQ(to_port(bench->rules, bench->pins, address("fe80::d")), DropReason::kAeDestinationForeign);
  bench->pins.reset();
  EXPECT_EQ(speak(kOwn, "fe80::c"), DropReason::kNone);
  EXPECT_EQ(speak(kSecond, "fe80::a"), DropReason::kNone);
}

TEST(LinkLocalPolicy, PinOfOneIsTheDerivedAddressAlone) {
  Plan plan;
  plan.binding.lla_pins = 1;

  EXPECT_EQ(judge(v6(kOwnLinkLocal).echo().build(), plan), DropReason::kNone);
  EXPECT_EQ(judge(v6(kOtherLinkLocal).echo().build(), plan), DropReason::kAeLinkLocal);
}

TEST(BindingPins, NeverHoldMoreThanTheLimitUnderContention) {
  constexpr unsigned kThreads = 4, kMacs = 3, kCandidates = 64;
  constexpr std::size_t kLimit = 5;
  LinkLocalClaims claims(1, 1, 2);
  const auto pins = std::make_unique<BindingPins>();
  pins->join(claims);
  std::array<std::array<std::atomic<unsigned>, kCandidates>, kMacs> granted{};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < kCandidates * kMacs; ++i) {
        const unsigned m = i % kMacs, candidate = (i / kMacs + t * 17) % kCandidates;
        if (pins->pin(100 + m, 1, 1000 * m + candidate, kLimit)) ++granted[m][candidate];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  for (unsigned m = 0; m < kMacs; ++m) {
    const auto count = std::count_if(granted[m].begin(), granted[m].end(), [](const auto& g) { return g.load() != 0; });
    EXPECT_EQ(count, static_cast<std::ptrdiff_t>(kLimit));
    for (unsigned candidate = 0; candidate < kCandidates; ++candidate) {
      EXPECT_EQ(pins->pin(100 + m, 1, 1000 * m + candidate, kLimit), granted[m][candidate] != 0);
    }
  }
}

TEST(BindingPins, RefuseAMacBeyondTheirRows) {
  LinkLocalClaims claims(1, 1, 2);
  const auto pins = std::make_unique<BindingPins>();
  pins->join(claims);
  for (std::uint64_t m = 1; m <= limits::kMacsPerBindingMax; ++m) EXPECT_TRUE(pins->pin(m, 1, m, 1));

  EXPECT_FALSE(pins->pin(99, 1, 99, 1));
  EXPECT_TRUE(pins->pin(3, 1, 3, 1));
}

TEST(BindingPins, LeaveWhatAnotherBindingOfTheSegmentHasAndOfNoOther) {
  LinkLocalClaims claims(4, 1, 2);
  const auto pins = std::make_unique<std::array<BindingPins, 2>>();
  BindingPins &first = (*pins)[0], &second = (*pins)[1];
  first.join(claims), second.join(claims);
  ASSERT_TRUE(first.pin(1, 7, 5, 1));
  EXPECT_FALSE(second.pin(2, 7, 5, 1));
  EXPECT_FALSE(second.contains(7, 5));
  EXPECT_TRUE(second.pin(2, 8, 5, 2));  // the same identifier on another segment
  EXPECT_TRUE(second.pin(2, 7, 6, 2));
  EXPECT_FALSE(first.contains(8, 5));
  EXPECT_FALSE(first.pin(1, 8, 5, 2));  // second's
  first.reset();
  second.reset();
  EXPECT_TRUE(second.pin(2, 7, 5, 1));
  EXPECT_FALSE(first.pin(1, 7, 5, 1));
}

TEST(LinkLocalClaims, GiveATagToOneOfManyThatClaimItAtOnceAndNeverLoseItsPlace) {
  constexpr unsigned kThreads = 4, kRounds = 20000;
  LinkLocalClaims claims(1, 1, 2);
  std::array<std::atomic<int>, 8> held{};
  std::atomic<bool> doubled{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < kRounds; ++i) {
        const std::uint64_t which = (i + t) % held.size(), tag = which * 64 + 64;  // one bucket
        if (!claims.claim(tag)) continue;
        if (held[which].fetch_add(1) != 0) doubled = true;
        held[which].fetch_sub(1);
        claims.release(tag);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_FALSE(doubled);
  for (std::uint64_t tag = 64; tag <= 15 * 64; tag += 64) EXPECT_TRUE(claims.claim(tag));
  EXPECT_FALSE(claims.claim(16 * 64)) << "a bucket has fifteen places";
  claims.release(64);
  EXPECT_TRUE(claims.claim(16 * 64));
}

TEST(BindingMeters, StopTheirOwnClassAtTheBurstAndRefillWithTime) {
  Plan plan;
  plan.binding.meters[static_cast<std::size_t>(MeterClass::kArp)] = {10, 20};
  const auto bench = std::make_unique<Bench>(plan);
  const Frame who = arp(request()), tcp = v4("10.0.0.2").tcp(1, 2).build();
  const auto burst = [&](std::uint64_t now) {
    unsigned passed = 0;
    while (passed < 100 && bench->judge(who, now) == DropReason::kNone) ++passed;
    return passed;
  };

  EXPECT_EQ(burst(1000), 20U);
  EXPECT_EQ(bench->judge(who, 1000), DropReason::kAeStorm);
  EXPECT_EQ(bench->judge(tcp, 1000), DropReason::kNone);
  EXPECT_EQ(bench->judge(ns("fd00:0:0:1::2", "fd00:0:0:1::1", kOwn), 1000), DropReason::kNone);
  EXPECT_EQ(burst(1099), 0U);
  EXPECT_EQ(burst(1100), 1U);
  EXPECT_EQ(burst(1600), 5U);
  EXPECT_EQ(burst(900'000), 20U);
}

TEST(BindingMeters, DivideTheRateAmongShards) {
  BindingMeters meters;
  meters.divisor = 4;
  unsigned passed = 0;
  for (std::uint64_t now = 1; now <= 10'000; ++now) {
    while (take_token(meters, MeterClass::kArp, {30, 60}, now)) ++passed;
  }

  EXPECT_NEAR(passed, 15 + 30 * 10 / 4, 1);
}

TEST(BindingMeters, LetNothingPassWhenBothAreZero) {
  BindingMeters meters;

  EXPECT_FALSE(take_token(meters, MeterClass::kNd, {0, 0}, 5));
  EXPECT_TRUE(take_token(meters, MeterClass::kNd, {1, 0}, 5));
}

TEST(BindingMeters, CountEachKindOfFrameInItsClass) {
  const Mac kGroup{{1, 0, 0x5e, 0, 0, 9}};
  const std::vector<std::pair<MeterClass, Frame>> classes{
      {MeterClass::kArp, arp(request())},
      {MeterClass::kNd, ns("fd00:0:0:1::2", "fd00:0:0:1::1", kOwn)},
      {MeterClass::kNd, group6(kOwnLinkLocal, "ff02::16", 1).hop_by_hop().icmp(143, 0, 0).build()},
      {MeterClass::kDhcp, dhcp("0.0.0.0", "255.255.255.255", bootp(kOwn))},
      {MeterClass::kDhcp, v6(kOwnLinkLocal, "ff02::1:2").udp(546, 547).build()},
      {MeterClass::kIgmp, v4("10.0.0.2", "224.0.0.22").protocol(2, {0x22, 0, 0, 0, 0, 0, 0, 0}).build()},
      {MeterClass::kBroadcast, from(kOwn, kBroadcast).ipv4("10.0.0.2", "10.0.0.15").udp(5, 6).build()},
      {MeterClass::kMulticast, from(kOwn, kGroup).ipv4("10.0.0.2", "224.0.0.9").udp(5, 6).build()},
      {MeterClass::kOther, from(kOwn).ether_type(0x88cc).payload(46).build()},
  };
  for (const auto& [which, frame] : classes) {
    Plan closed, others;
    others.binding.meters.fill({0, 0});
    closed.binding.meters[static_cast<std::size_t>(which)] = {0, 0};
    others.binding.meters[static_cast<std::size_t>(which)] = {9, 9};
    closed.binding.ethertypes = others.binding.ethertypes = {0x88cc};
    EXPECT_EQ(judge(frame, closed), DropReason::kAeStorm) << int{static_cast<std::uint8_t>(which)};
    EXPECT_EQ(judge(frame, others), DropReason::kNone) << int{static_cast<std::uint8_t>(which)};
  }
}

TEST(ToPort, LetsOnlyOwnDestinationsGroupsAndBroadcastsThrough) {
  const auto bench = std::make_unique<Bench>();
  const auto judged = [&](std::string_view destination) {
    const Address to = address(destination);
    const Frame frame = to.family == Family::kIpv4
                            ? from(kGateway, kOwn).ipv4("10.0.1.5", destination).tcp(1, 2).build()
                            : from(kGateway, kOwn).ipv6("2001:db8::5", destination).tcp(1, 2).build();
    PacketMeta meta{};
    EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
    const DropReason by_frame = to_port(bench->rules, bench->pins, frame, meta);
    EXPECT_EQ(by_frame, to_port(bench->rules, bench->pins, to));
    return by_frame;
  };

  for (const auto* good : {"10.0.0.2", "10.0.0.4", "255.255.255.255", "10.0.0.15", "224.0.0.1", "fd00:0:0:1::2",
                           "fd00:0:0:1::3", "ff02::1", "fe80::5054:ff:fe00:111", "fe80::5054:ff:fe00:122"}) {
    EXPECT_EQ(judged(good), DropReason::kNone) << good;
  }
  for (const auto* bad :
       {"10.0.0.9", "10.0.0.1", "10.1.0.15", "fd00:0:0:1::9", "fe80::9", "2001:db8:f::1", "172.16.0.1"}) {
    EXPECT_EQ(judged(bad), DropReason::kAeDestinationForeign) << bad;
  }
}

TEST(ToPort, OpensRoutedPrefixesForTheForwardingRoleAlone) {
  Plan plan;
  plan.route("172.16.0.0/16");
  BindingPins pins;

  EXPECT_EQ(to_port(plan.rules(), pins, address("172.16.0.1")), DropReason::kAeDestinationForeign);
  plan.binding.roles = snapshot::kRoleForwarding;
  EXPECT_EQ(to_port(plan.rules(), pins, address("172.16.0.1")), DropReason::kNone);
  EXPECT_EQ(to_port(plan.rules(), pins, address("172.17.0.1")), DropReason::kAeDestinationForeign);
}

TEST(ToPort, JudgesWholeFrames) {
  const auto bench = std::make_unique<Bench>();
  const auto judged = [&](const Frame& frame, Origin origin = Origin::kOtherPort) {
    PacketMeta meta{};
    EXPECT_EQ(decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta), DropReason::kNone);
    return to_port_frame(bench->rules, bench->pins, frame, meta, origin);
  };
  const auto answer = [](const Mac& target_mac, std::string_view target) {
    return from(kGateway, kOwn)
        .arp({.operation = 2,
              .sender_mac = kGateway,
              .sender = address("10.0.0.1"),
              .target_mac = target_mac,
              .target = address(target)})
        .build();
  };
  const Frame ra = from(kGateway, kAllNodes).ipv6(kGatewayLinkLocal, "ff02::1", {.hop_limit = 255}).nd(134, {}).build();
  const Frame offer = from(kGateway, kOwn).ipv4("10.0.0.1", "10.0.0.2").udp(67, 68).build();
  const Frame offer6 = from(kGateway, kOwn).ipv6(kGatewayLinkLocal, "fd00:0:0:1::2").udp(547, 546).build();

  EXPECT_EQ(judged(answer(kOwn, "10.0.0.2")), DropReason::kNone);
  EXPECT_EQ(judged(answer(kForeign, "10.0.0.2")), DropReason::kAeArpTha);
  EXPECT_EQ(judged(answer(kOwn, "10.0.0.9")), DropReason::kAeArpTha);
  EXPECT_EQ(judged(from(kGateway, kForeign).ipv4("10.0.1.5", "10.0.0.2").tcp(1, 2).build()), DropReason::kAeMac);
  EXPECT_EQ(judged(from(kGateway, kOwn).ipv4("10.0.1.5", "10.0.0.9").tcp(1, 2).build()),
            DropReason::kAeDestinationForeign);
  EXPECT_EQ(judged(ra), DropReason::kAeRa);
  EXPECT_EQ(judged(ra, Origin::kDhcpPort), DropReason::kAeRa);
  EXPECT_EQ(judged(ra, Origin::kRouterPort), DropReason::kNone);
  EXPECT_EQ(judged(offer), DropReason::kAeDhcpServer);
  EXPECT_EQ(judged(offer, Origin::kGateway), DropReason::kNone);
  EXPECT_EQ(judged(offer6, Origin::kRouterPort), DropReason::kAeDhcpServer);
  EXPECT_EQ(judged(offer6, Origin::kDhcpPort), DropReason::kNone);
  EXPECT_EQ(judged(from(kGateway, kOwn).ether_type(0x88cc).payload(46).build()), DropReason::kAeEthertype);
}

SecBody described(const Frame& frame) {
  PacketMeta meta{};
  SecBody body{};
  body.binding = 7;
  std::ignore = decode(frame, static_cast<std::uint32_t>(frame.size()), {false, false}, meta);
  describe_violation(frame, meta, body);
  EXPECT_EQ(body.binding, 7U);
  return body;
}

TEST(Violation, TellsWhatAnArpMessageClaimed) {
  const SecBody body = described(changed_arp(
      [](auto& f) {
        f.sender_mac = kForeign;
        f.sender = address("10.0.0.1");
      },
      reply()));

  EXPECT_EQ(body.ether_type, 0x0806);
  EXPECT_EQ(body.arp_operation, 2);
  EXPECT_EQ(body.claimed_mac, kForeign);
  EXPECT_EQ(body.ethernet_source, kOwn);
  EXPECT_EQ(body.ethernet_destination, kBroadcast);
  EXPECT_EQ(body.source, address("10.0.0.1").bytes);
  EXPECT_EQ(body.destination, address("10.0.0.1").bytes);
  EXPECT_EQ(body.ip_version, 0);
}

TEST(Violation, TellsWhatANeighbourMessageClaimed) {
  const SecBody body = described(na("fd00:0:0:1::1", kForeign));

  EXPECT_EQ(body.nd_type, 136);
  EXPECT_EQ(body.nd_target, address("fd00:0:0:1::1").bytes);
  EXPECT_EQ(body.claimed_mac, kForeign);
  EXPECT_EQ(body.ip_version, 6);
  EXPECT_EQ(body.protocol, 58);
  EXPECT_EQ(body.source_port, 0);
}

TEST(Violation, TellsPortsOfTcpAndNothingOfAWreck) {
  const SecBody tcp = described(v4("10.0.0.9").tcp(40000, 80).build());
  const SecBody wreck = described(Frame(13));

  EXPECT_EQ(tcp.source_port, 40000);
  EXPECT_EQ(tcp.destination_port, 80);
  EXPECT_EQ(tcp.source, address("10.0.0.9").bytes);
  EXPECT_EQ(wreck.ether_type, 0);
  EXPECT_EQ(wreck.ethernet_source, Mac{});
}

TEST(Violation, FoldsByTheValueThatOffended) {
  const SecBody one = described(v4("10.0.0.9").tcp(40000, 80).build());
  const SecBody same = described(v4("10.0.0.9").tcp(40001, 81).build());
  const SecBody other = described(v4("10.0.0.10").tcp(40000, 80).build());

  EXPECT_EQ(offending_value(DropReason::kAeIp4, one), offending_value(DropReason::kAeIp4, same));
  EXPECT_NE(offending_value(DropReason::kAeIp4, one), offending_value(DropReason::kAeIp4, other));
  EXPECT_EQ(offending_value(DropReason::kAeMac, one), offending_value(DropReason::kAeMac, other));
}

}  // namespace
}  // namespace sekisho::filters
