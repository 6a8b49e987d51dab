// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "control/compile/compiler.h"
#include "control/config/codec.h"
#include "control/config/validate.h"

namespace sekisho::control::test {

/// Two tenants with the same addresses and a shared uplink: every kind of object once.
inline constexpr std::string_view kExample = R"(node: u0
nics:
  - { name: nic-a, device: net_ring0, mtu: 1500 }
  - { name: nic-out, device: net_ring1 }
uplinks:
  - { name: internet, nic: nic-out, addresses: [192.0.2.1/24, "2001:db8:0:1::1/64"] }
tenants:
  - service_code: acm00000001
    name: acme
    zones: [servers, office, internet]
    ports:
      - { name: web1, nic: nic-a, outer_vlan: 100, kind: segment, zone: servers, addresses: [10.0.0.1/28, "fd00:0:0:1::1/64"] }
      - { name: desk, nic: nic-a, outer_vlan: 101, outer_tag: 802.1ad, inner_vlan: 7, kind: segment, zone: office, addresses: [10.0.1.1/24, "fd00:0:0:2::1/64"] }
      - { name: net, kind: share, uplink: internet, zone: internet, prefixes: [203.0.113.16/28, "2001:db8:a::/48"] }
    bindings:
      - name: web1-eth0
        port: web1
        pairs: [ { mac: "52:54:00:00:01:11", prefix: 10.0.0.2/32 }, { mac: "52:54:00:00:01:11", prefix: "fd00:0:0:1::2/128" } ]
        meters: { arp: { rate: 31, burst: 61 } }
      - name: desk-eth0
        port: desk
        pairs: [ { mac: "52:54:00:00:02:11", prefix: 10.0.1.2 }, { mac: "52:54:00:00:02:11", prefix: "fd00:0:0:2::2" } ]
        lla: { policy: list, list: [ "fe80::2" ] }
        roles: [ router, forwarding ]
        routed: [ 10.9.0.0/24 ]
        extra_ethertypes: [ 0x88cc ]
        vrids: [ 211 ]
      - { name: desk-old, port: desk, state: suspended }
    routes:
      - { prefix: 0.0.0.0/0, port: net, next_hop: 192.0.2.2 }
      - { prefix: 10.9.0.0/24, port: desk, next_hop: 10.0.1.2 }
    addresses:
      - { name: web-servers, entries: [10.0.0.0/28, "fd00:0:0:1::/64"] }
      - { name: office-net, entries: [10.0.1.0/24, "fd00:0:0:2::/64"] }
      - { name: printer, entries: [10.0.1.77] }
    address_groups:
      - { name: desks, members: [office-net], exclude: [printer] }
    services:
      - { name: http, protocol: tcp, destination_ports: [80, 8000-8080] }
      - { name: ping, protocol: icmp, icmp: [ { type: 8, code: 0 } ] }
      - { name: ping6, protocol: icmpv6, icmp: [ { type: 128 } ] }
    service_groups:
      - { name: web, members: [http, ping] }
    policies:
      - name: inside
        from: [office]
        to: [servers]
        default_log: each
        rules:
          - { name: web allowed, id: 6f1d2c84-0000-4000-8000-000000000001, action: allow, source: [desks], destination: [web-servers], service: [web] }
          - { name: switched off, action: allow, enabled: false }
          - { name: "印刷機は拒否", action: reject, source: [printer], log: each }
      - name: outside
        to: [internet]
        rules:
          - { name: not web, action: drop, service: [web], service_not: true }
          - { name: not desks, action: drop, source: [desks], source_not: true }
          - { name: rest, action: allow, log: both }
  - service_code: glo00000001
    name: globex
    zones: [servers, office]
    ports:
      - { name: web1, nic: nic-a, outer_vlan: 200, kind: segment, zone: servers, addresses: [10.0.0.1/28, "fd00:0:0:1::1/64"] }
      - { name: net, kind: share, uplink: internet, zone: office, prefixes: [203.0.113.32/28] }
    bindings:
      - { name: web1-eth0, port: web1, pairs: [ { mac: "52:54:00:00:01:11", prefix: 10.0.0.2/32 } ] }
)";

/// One rule that stands in office hours, one until New Year, one always.
inline constexpr std::string_view kTimed = R"(tenants:
  - service_code: acm00000001
    name: acme
    zones: [a]
    schedules: [ { name: office, weekly: [mon-fri 09:00-17:30] } ]
    policies:
      - name: p
        rules:
          - { name: hours, action: allow, schedule: office }
          - { name: until, action: allow, valid_until: 2027-01-01 00:00 }
          - { name: always, action: allow }
)";

/// The worked example of specification 3.4: two groups of people and those who are about to leave.
constexpr std::string_view kRemote = R"(nics:
  - { name: nic-a, device: net_ring0 }
  - { name: nic-out, device: net_ring1 }
uplinks:
  - { name: internet, nic: nic-out, addresses: [192.0.2.1/24, "2001:db8:0:1::1/64"] }
tenants:
  - service_code: acm00000001
    name: acme
    zones: [servers, internet, remote]
    ports:
      - { name: core, nic: nic-a, kind: routed, zone: servers, addresses: [10.20.0.1/16] }
      - { name: net, kind: share, uplink: internet, zone: internet, prefixes: [203.0.113.16/28, "2001:db8:a::/48"] }
      - { name: users, kind: tunnel, zone: remote }
    routes:
      - { prefix: 0.0.0.0/0, port: net, next_hop: 192.0.2.2 }
    pools:
      - { name: people, tunnel: users, ranges: [10.99.0.10-10.99.0.20, "fd00:99::/112"] }
    user_groups:
      - { name: "営業部", pool: people, priority: 10, login: [ "mon-fri 22:00-06:00" ], source_prefixes: [198.51.100.0/24], beyond: replace }
      - { name: "情シス", pool: people, priority: 5, sessions_per_user: 2 }
      - { name: "制限中" }
    users:
      - { name: hana, nt_hash: 8846f7eaee8fb117ad06bdd830b7586c, groups: ["営業部"], static_addresses: [10.99.0.11] }
      - { name: taro, psk: "0123456789 0123456789 x", groups: ["営業部", "制限中"] }
      - { name: ken, groups: ["情シス"] }
      - { name: gone, groups: ["営業部", "情シス"], suspended: true }
    gateways:
      - name: vpn
        addresses: [203.0.113.17, "2001:db8:a::1"]
        port: net
        tunnel: users
        identity: vpn.example.jp
        profile: windows-default
        accept: [eap-mschapv2, certificate]
        certificates: ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"]
        keys: ["-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n"]
        client_cas: ["-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"]
        networks: [10.20.0.0/16]
        dns: [10.20.0.53]
        dns_domains: [corp.example.jp]
        child_rekey_mbytes: 500
        child_life_mbytes: 600
        idle_seconds: 900
        default_group: "営業部"
    addresses:
      - { name: "基幹サーバ", entries: [10.20.8.0/24] }
      - { name: "管理網", entries: [10.20.9.0/24] }
    services:
      - { name: "Web系", protocol: tcp, destination_ports: [80, 443] }
      - { name: "管理系", protocol: tcp, destination_ports: [22, 3389] }
    policies:
      - name: remote access
        from: [remote]
        rules:
          - { name: "情シス→管理", action: allow, users: ["情シス"], destination: ["管理網"], service: ["管理系"] }
          - { name: "退職予定者停止", action: drop, users: ["制限中"] }
          - { name: "営業→基幹", action: allow, users: ["営業部"], destination: ["基幹サーバ"], service: ["Web系"] }
      - name: rest
        rules:
          - { name: ping, action: allow, destination: ["基幹サーバ"] }
  - service_code: glo00000001
    name: globex
    zones: [remote]
    ports: [ { name: users, kind: tunnel, zone: remote, mtu: 1300 } ]
    users: [ { name: hana } ]
)";

/// `text` with the first `from` replaced by `to`.
inline std::string with(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  const std::size_t at = out.find(from);
  SEKISHO_ASSERT(at != std::string::npos);
  return out.replace(at, from.size(), to);
}

/// Every finding of decode and validate, one a line.
inline std::string findings_of(std::string_view text) {
  const Decoded decoded = decode_document(text);
  std::string out;
  for (const auto& finding : validate(decoded)) out += to_line("f", finding) + '\n';
  return out;
}

}  // namespace sekisho::control::test
