# SPDX-License-Identifier: Apache-2.0
"""Ethernet frames by hand: as much as the lab forges and reads, no more."""

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Optional


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def gratuitous_arp(mac, address):
    """An ARP announcement: `address` is at `mac`, told to everybody (RFC 5227)."""
    where = socket.inet_aton(address)
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + mac_bytes(mac) + where + b"\xff" * 6 + where
    return b"\xff" * 6 + mac_bytes(mac) + b"\x08\x06" + arp


def unsolicited_advertisement(mac, own, address):
    """A neighbour advertisement from `own` to all nodes, Override set: `address` is at `mac` (RFC 4861 section 7.2.6)."""
    target = socket.inet_pton(socket.AF_INET6, address)
    return _discovery(mac, own, "ff02::1", struct.pack("!BBHI", 136, 0, 0, 0x20000000) + target + b"\x02\x01" + mac_bytes(mac))


def router_solicitation(mac, own):
    """Who is a router here? From `own` at `mac` to all routers (RFC 4861 section 4.1)."""
    return _discovery(mac, own, "ff02::2", struct.pack("!BBHI", 133, 0, 0, 0) + b"\x01\x01" + mac_bytes(mac))


def _discovery(mac, own, group, body):
    """A frame with an ICMPv6 message to a multicast group, its checksum filled in."""
    source, group = socket.inet_pton(socket.AF_INET6, own), socket.inet_pton(socket.AF_INET6, group)
    pseudo = source + group + struct.pack("!IHBB", len(body), 0, 0, 58)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    ip6 = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + source + group
    return b"\x33\x33" + group[12:] + mac_bytes(mac) + b"\x86\xdd" + ip6 + body


def _checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True)
class Seen:
    """One IP packet as a host saw it on its wire."""

    source: str
    destination: str
    protocol: int
    source_port: Optional[int]
    destination_port: Optional[int]
    outgoing: bool
    frame: bytes


def read_ip(frame, outgoing=False):
    """The IP packet in `frame` (VLAN tags skipped), or None when it holds none."""
    offset = 12
    while frame[offset:offset + 2] in (b"\x81\x00", b"\x88\xa8"):
        offset += 4
    ethertype, packet = frame[offset:offset + 2], frame[offset + 2:]
    if ethertype == b"\x08\x00" and len(packet) >= 20:
        start, protocol, size = (packet[0] & 15) * 4, packet[9], 4
        source, destination = packet[12:16], packet[16:20]
    elif ethertype == b"\x86\xdd" and len(packet) >= 40:
        start, protocol, size = 40, packet[6], 16
        source, destination = packet[8:24], packet[24:40]
    else:
        return None
    assert len(source) == size
    ports = (None, None)
    if protocol in (6, 17) and len(packet) >= start + 4:
        ports = struct.unpack_from("!HH", packet, start)
    return Seen(str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination)), protocol, *ports, outgoing, frame)
