# SPDX-License-Identifier: Apache-2.0
"""Writes address_enforcement.json: frames built by scapy, not by our own tests, with what specification 3.5 says of each.

    python3 tests/vectors/address_enforcement.py > tests/vectors/address_enforcement.json

The Binding: MAC 52:54:00:00:01:11 with 10.0.0.2 and fd00:0:0:1::2, link-locals pin(2), no roles. The Port: untagged, the
gateway is 10.0.0.1/28, fd00:0:0:1::1/64 and fe80::1. `expect` is the security event code, "" = passes; `switches` says which
single change of the Binding gives another answer: router, dhcp, querier, ethertypes (88cc, 88b5), vrid (211), eui64.
"""

import json
import sys

from scapy.all import (ARP, BOOTP, DHCP, ICMP, IP, TCP, UDP, Dot1Q, Dot3, Ether, ICMPv6DestUnreach, ICMPv6EchoRequest,
                       ICMPv6MLQuery, ICMPv6MLReport, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS,
                       ICMPv6NDOptDstLLAddr, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPOption_LSRR,
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, LLC, PadN, Raw, RouterAlert,
                       fragment6, raw)

OWN, GATEWAY, FOREIGN, ALL = "52:54:00:00:01:11", "52:54:00:00:00:01", "52:54:00:00:09:09", "ff:ff:ff:ff:ff:ff"
OWN4, GATEWAY4, OUT4 = "10.0.0.2", "10.0.0.1", "198.51.100.5"
OWN6, GATEWAY6, OUT6 = "fd00:0:0:1::2", "fd00:0:0:1::1", "2001:db8::5"
LOCAL6 = "fe80::5054:ff:fe00:111"


def eth(source=OWN, destination=GATEWAY, **fields):
    return Ether(src=source, dst=destination, **fields)


def arp(destination=ALL, **fields):
    return eth(destination=destination) / ARP(**({"hwsrc": OWN, "psrc": OWN4, "pdst": GATEWAY4, "hwdst": "00:00:00:00:00:00"} | fields))


def boot(source=IP(src="0.0.0.0", dst="255.255.255.255"), destination=ALL, chaddr=OWN, **fields):
    return (eth(destination=destination) / source / UDP(sport=68, dport=67) /
            BOOTP(**({"op": 1, "chaddr": bytes.fromhex(chaddr.replace(":", "")), "xid": 1} | fields)) / DHCP(options=[("message-type", "discover"), "end"]))


def nd(message, source=OWN6, destination=GATEWAY6, hops=255, mac=GATEWAY, before=None):
    ip = IPv6(src=source, dst=destination, hlim=hops)
    return eth(destination=mac) / (ip / before if before is not None else ip) / message


def advertisement():
    return ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=OWN) / ICMPv6NDOptMTU() / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::")


def ra(before=None, hops=255):
    return nd(advertisement(), LOCAL6, "ff02::1", hops, "33:33:00:00:00:01", before)


def ra_fragments():
    """An advertisement behind so many destination options that its first fragment holds nothing else (RFC 7113)."""
    whole = (IPv6(src=LOCAL6, dst="ff02::1", hlim=255) / IPv6ExtHdrFragment(id=7) /
             IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 200)] * 8) / advertisement())
    return [eth(destination="33:33:00:00:00:01") / piece for piece in fragment6(whole, 1280)]


VECTORS = [
    ("own IPv4", eth() / IP(src=OWN4, dst=OUT4) / TCP(flags="S"), ""),
    ("own IPv6", eth() / IPv6(src=OWN6, dst=OUT6) / TCP(flags="S"), ""),
    ("multicast as source MAC", eth("53:54:00:00:01:11") / IP(src=OWN4, dst=OUT4) / TCP(flags="S"), "AE_FRAME"),
    ("zero as source MAC", eth("00:00:00:00:00:00") / IP(src=OWN4, dst=OUT4) / TCP(flags="S"), "AE_FRAME"),
    ("unexpected VLAN tag", eth() / Dot1Q(vlan=5) / IP(src=OWN4, dst=OUT4) / TCP(flags="S"), "AE_FRAME"),
    ("LLDP", eth(destination="01:80:c2:00:00:0e", type=0x88CC) / Raw(b"\2\7\4" + b"\0" * 43), "AE_ETYPE", {"ethertypes": ""}),
    ("experimental type", eth(destination=ALL, type=0x88B5) / Raw(b"\0" * 46), "AE_ETYPE", {"ethertypes": ""}),
    ("spanning tree", Dot3(src=OWN, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / Raw(b"\0" * 43), "AE_ETYPE"),
    ("foreign MAC", eth(FOREIGN) / IP(src=OWN4, dst=OUT4) / TCP(flags="S"), "AE_MAC"),
    ("the gateway's MAC", eth(GATEWAY) / IPv6(src=GATEWAY6, dst=OUT6) / TCP(flags="S"), "AE_MAC"),
    ("ARP request", arp(), ""),
    ("ARP reply", arp(GATEWAY, op=2, hwdst=GATEWAY), ""),
    ("ARP announcement", arp(pdst=OWN4), ""),
    ("ARP probe", arp(psrc="0.0.0.0", pdst=OWN4), ""),
    ("reverse ARP", arp(op=3), "AE_ARP_FORMAT"),
    ("ARP about a multicast address", arp(pdst="224.0.0.1"), "AE_ARP_FORMAT"),
    ("ARP with another hardware address", arp(hwsrc=FOREIGN), "AE_ARP_SHA"),
    ("ARP probe for another's address", arp(psrc="0.0.0.0", pdst="10.0.0.9"), "AE_ARP_PROBE"),
    ("ARP reply for the gateway", arp(op=2, psrc=GATEWAY4, pdst="10.0.0.9", hwdst=FOREIGN), "AE_ARP_SPA"),
    ("ARP reply to another than it says", arp(GATEWAY, op=2, hwdst=FOREIGN), "AE_ARP_THA"),
    ("IPv4 with a wrong checksum", eth() / IP(src=OWN4, dst=OUT4, chksum=1) / TCP(flags="S"), "AE_IP_FORMAT"),
    ("IPv4 loose source route", eth() / IP(src=OWN4, dst=OUT4, options=[IPOption_LSRR(routers=["10.0.0.9"])]) / TCP(flags="S"), "AE_IPOPT"),
    ("IPv4 another's address", eth() / IP(src="10.0.0.9", dst=OUT4) / TCP(flags="S"), "AE_IP4"),
    ("IPv4 the gateway's address", eth() / IP(src=GATEWAY4, dst=OUT4) / UDP(sport=53, dport=5000), "AE_IP4"),
    ("IPv4 later fragment of another's", eth() / IP(src="10.0.0.9", dst=OUT4, frag=100, proto=17) / Raw(b"\0" * 32), "AE_IP4"),
    ("DHCP discover", boot(), ""),
    ("DHCP discover for another MAC", boot(chaddr=FOREIGN), "AE_DHCP_CHADDR"),
    ("DHCP discover as if relayed", boot(giaddr="10.0.0.9"), "AE_DHCP_CHADDR"),
    ("DHCP discover to one host", boot(IP(src="0.0.0.0", dst=GATEWAY4), GATEWAY), "AE_IP4"),
    ("DHCP offer", eth(destination=ALL) / IP(src=OWN4, dst="255.255.255.255") / UDP(sport=67, dport=68) / BOOTP(op=2), "AE_DHCP_SRV", {"dhcp": ""}),
    ("DHCP relay", eth() / IP(src=OWN4, dst=OUT4) / UDP(sport=67, dport=67) / BOOTP(op=1, giaddr=OWN4), "AE_DHCP_SRV", {"dhcp": ""}),
    ("ICMP redirect", eth() / IP(src=OWN4, dst="10.0.0.9") / ICMP(type=5, code=1, gw=OWN4) / IP(src="10.0.0.9", dst=OUT4) / UDP(), "AE_REDIRECT", {"router": "PROTO_ICMP_ERR"}),  # a router may say it; nobody passes it on
    ("IGMP query", eth(destination="01:00:5e:00:00:01") / IP(src=OWN4, dst="224.0.0.1", ttl=1, proto=2) / Raw(bytes.fromhex("11640000e0000001")), "AE_QUERY", {"querier": ""}),
    ("IGMP report", eth(destination="01:00:5e:00:00:16") / IP(src=OWN4, dst="224.0.0.22", ttl=1, proto=2) / Raw(bytes.fromhex("2200dd0000000000")), ""),
    ("VRRP of group 211", eth(destination="01:00:5e:00:00:12") / IP(src=OWN4, dst="224.0.0.18", ttl=255, proto=112) / Raw(bytes.fromhex("31d3640100010000ac100001")), "AE_VRRP", {"vrid": ""}),
    ("VRRP of group 212", eth(destination="01:00:5e:00:00:12") / IP(src=OWN4, dst="224.0.0.18", ttl=255, proto=112) / Raw(bytes.fromhex("31d4640100010000ac100001")), "AE_VRRP"),
    ("IPv6 routing header 0", eth() / IPv6(src=OWN6, dst=OUT6) / IPv6ExtHdrRouting(type=0, addresses=["2001:db8::9"], segleft=1) / UDP(), "AE_RH0"),
    ("IPv6 another's address", eth() / IPv6(src="fd00:0:0:1::9", dst=OUT6) / TCP(flags="S"), "AE_IP6"),
    ("IPv6 from nobody", eth() / IPv6(src="::", dst=OUT6) / UDP(sport=1000, dport=1000), "AE_IP6"),
    ("DAD", nd(ICMPv6ND_NS(tgt=OWN6), "::", "ff02::1:ff00:2", mac="33:33:ff:00:00:02"), ""),
    ("DAD for another's address", nd(ICMPv6ND_NS(tgt="fd00:0:0:1::9"), "::", "ff02::1:ff00:9", mac="33:33:ff:00:00:09"), "AE_DAD_FOREIGN"),
    ("DAD with a link-layer option", nd(ICMPv6ND_NS(tgt=OWN6) / ICMPv6NDOptSrcLLAddr(lladdr=OWN), "::", "ff02::1:ff00:2", mac="33:33:ff:00:00:02"), "AE_IP6"),
    ("link-local of the MAC", eth() / IPv6(src=LOCAL6, dst="fe80::1") / ICMPv6EchoRequest(), ""),
    ("another link-local", eth() / IPv6(src="fe80::77", dst="fe80::1") / ICMPv6EchoRequest(), "", {"eui64": "AE_LLA"}),
    ("the gateway's link-local", eth() / IPv6(src="fe80::1", dst="fe80::2") / ICMPv6EchoRequest(), "AE_LLA"),
    ("neighbour solicitation", nd(ICMPv6ND_NS(tgt=GATEWAY6) / ICMPv6NDOptSrcLLAddr(lladdr=OWN)), ""),
    ("solicitation from beyond the link", nd(ICMPv6ND_NS(tgt=GATEWAY6) / ICMPv6NDOptSrcLLAddr(lladdr=OWN), hops=64), "AE_ND_HLIM"),
    ("solicitation with an option of length 0", nd(ICMPv6ND_NS(tgt=GATEWAY6) / Raw(bytes.fromhex("0100525400000111"))), "AE_ND_FORMAT"),
    ("solicitation with another link-layer address", nd(ICMPv6ND_NS(tgt=GATEWAY6) / ICMPv6NDOptSrcLLAddr(lladdr=FOREIGN)), "AE_ND_LLA"),
    ("router solicitation", nd(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=OWN), OWN6, "ff02::2", mac="33:33:00:00:00:02"), ""),
    ("neighbour advertisement", nd(ICMPv6ND_NA(tgt=OWN6, S=1, R=0) / ICMPv6NDOptDstLLAddr(lladdr=OWN)), ""),
    ("advertisement of the gateway's address", nd(ICMPv6ND_NA(tgt=GATEWAY6, S=0, R=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=OWN), destination="ff02::1", mac="33:33:00:00:00:01"), "AE_NA"),
    ("advertisement with another link-layer address", nd(ICMPv6ND_NA(tgt=OWN6) / ICMPv6NDOptDstLLAddr(lladdr=FOREIGN)), "AE_ND_LLA"),
    ("router advertisement", ra(), "AE_RA", {"router": ""}),
    ("router advertisement from beyond the link", ra(hops=64), "AE_ND_HLIM"),
    ("router advertisement behind hop-by-hop options", ra(IPv6ExtHdrHopByHop(options=[RouterAlert()])), "AE_ND_FORMAT"),
    ("router advertisement behind destination options", ra(IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])), "AE_ND_FORMAT"),
    ("router advertisement in an atomic fragment", ra(IPv6ExtHdrFragment(id=7)), "AE_ND_FRAG"),
    ("router advertisement in a first fragment", ra(IPv6ExtHdrFragment(id=7, m=1)), "AE_ND_FRAG"),
    ("first fragment that hides a router advertisement", ra_fragments()[0], "AE_ND_FRAG"),
    ("IPv6 redirect", nd(ICMPv6ND_Redirect(tgt="fe80::5", dst=OUT6), LOCAL6, "fd00:0:0:1::9"), "AE_REDIRECT", {"router": ""}),
    ("MLD query", nd(ICMPv6MLQuery(), LOCAL6, "ff02::1", 1, "33:33:00:00:00:01", IPv6ExtHdrHopByHop(options=[RouterAlert()])), "AE_QUERY", {"querier": ""}),
    ("MLD report from nobody", nd(ICMPv6MLReport(mladdr="ff02::1:ff00:2"), "::", "ff02::1:ff00:2", 1, "33:33:ff:00:00:02", IPv6ExtHdrHopByHop(options=[RouterAlert()])), ""),
    ("DHCPv6 request", eth(destination="33:33:00:01:00:02") / IPv6(src=LOCAL6, dst="ff02::1:2") / UDP(sport=546, dport=547) / Raw(b"\1abc"), ""),
    ("DHCPv6 advertise", eth() / IPv6(src=LOCAL6, dst="fe80::9") / UDP(sport=547, dport=546) / Raw(b"\2abc"), "AE_DHCP_SRV", {"dhcp": ""}),
    ("ICMPv6 unreachable", eth() / IPv6(src=OWN6, dst=OUT6) / ICMPv6DestUnreach() / IPv6(src=OUT6, dst=OWN6) / UDP(), ""),
]

lines = [json.dumps({"name": vector[0], "frame": raw(vector[1]).hex(), "expect": vector[2], "switches": vector[3] if len(vector) > 3 else {}})
         for vector in VECTORS]
sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")
