# SPDX-License-Identifier: Apache-2.0
"""What a host behind the gateway may have seen. Reads captured frames alone and shares no code with the gateway.

`Oracle.faults(frames)` names everything that no policy of the tests lets pass: broken headers, extension headers beyond the
allow-list, pieces of a datagram that is not whole or overlaps, upper layers nobody allowed, TCP that no SYN opened.
"""

import struct

_ALLOWED_EXTENSIONS = {0, 44, 60}
_FRAGMENT, _DESTINATION, _HOP_BY_HOP = 44, 60, 0
_EXTENSIONS = {0, 43, 44, 51, 60, 135, 139, 140, 253, 254}
_TCP, _UDP, _ICMP, _ICMP6 = 6, 17, 1, 58
_ND = range(133, 138)


class Oracle:
    """Judges frames to one host. `ports`: TCP ports the policy opens. `gateway`: MAC of the gateway, who may speak ND."""

    def __init__(self, ports):
        self._ports = ports
        self._begin()

    def _begin(self):
        self._flows, self._waiting, self._faults = set(), {}, []
        self.syns = set()  # (source port, destination port) of connections that began

    def faults(self, frames):
        self._begin()
        for number, frame in enumerate(frames):
            ether_type = int.from_bytes(frame[12:14], "big")
            if ether_type not in (0x0800, 0x86dd):
                continue
            try:
                fault = self._ipv4(frame[14:]) if ether_type == 0x0800 else self._ipv6(frame[14:])
            except (IndexError, struct.error):
                fault = "shorter than its headers say"
            if fault:
                self._faults.append(f"frame {number}: {fault}: {frame[14:94].hex()}")
        self._faults += [f"pieces of a datagram that is not whole: {key}" for key in self._waiting]
        return self._faults

    def _ipv4(self, packet):
        header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        if packet[0] >> 4 != 4 or header < 20 or total < header or total > len(packet):
            return "IPv4 header"
        if _sum(packet[:header]) != 0xffff:
            return "IPv4 header checksum"
        if any(option in (7, 131, 137) for option in packet[20:header]):
            return "IPv4 route option"
        word, protocol, data = int.from_bytes(packet[6:8], "big"), packet[9], packet[header:total]
        source, destination = packet[12:16], packet[16:20]
        if word & 0x3fff == 0:
            return self._upper(source, destination, protocol, data)
        if word & 0x4000:
            return "a fragment that must not be one"
        return self._piece((source, destination, protocol, packet[4:6]), (word & 0x1fff) * 8, bool(word & 0x2000), protocol, data)

    def _ipv6(self, packet):
        if packet[0] >> 4 != 6:
            return "IPv6 version"
        end = 40 + int.from_bytes(packet[4:6], "big")
        if end > len(packet):
            return "IPv6 length"
        source, destination = packet[8:24], packet[24:40]
        following, data = packet[6], packet[40:end]
        following, data, piece, fault = self._extensions(following, data, True)
        if fault or piece is None:
            return fault or self._upper(source, destination, following, data, packet[7])
        offset, more, identity = piece
        if offset == 0 and not more:
            return self._upper(source, destination, following, data, packet[7])
        return self._piece((source, destination, identity), offset, more, following, data)

    def _extensions(self, following, data, first):
        """(what follows, the rest, (offset, more, id) at a fragment header, fault)."""
        piece, destinations, count = None, 0, 0
        while following in _EXTENSIONS:
            if following not in _ALLOWED_EXTENSIONS or (following == _HOP_BY_HOP and not (first and count == 0)):
                return following, data, piece, f"extension header {following}"
            count += 1
            if following == _FRAGMENT:
                if piece:
                    return following, data, piece, "a second fragment header"
                word = int.from_bytes(data[2:4], "big")
                piece = (word & 0xfff8, bool(word & 1), data[4:8])
                following, data = data[0], data[8:]
                if piece[0] or piece[1]:
                    return following, data, piece, None  # its header chain is read when it is whole
                continue
            destinations += following == _DESTINATION
            length = (data[1] + 1) * 8
            if destinations > 2 or length > len(data):
                return following, data, piece, "destination options"
            fault = _options(data[2:length])
            if fault:
                return following, data, piece, fault
            following, data = data[0], data[length:]
        return following, data, piece, None

    def _piece(self, key, offset, more, following, data):
        """Pieces of one datagram come one after another; the first that completes it has it judged as one packet."""
        have = self._waiting.setdefault(key, {"pieces": {}, "end": None, "following": None})
        if any(offset < at + len(other) and at < offset + len(data) for at, other in have["pieces"].items()):
            return "an overlapping piece"
        have["pieces"][offset] = data
        if offset == 0:
            have["following"] = following
        if not more:
            have["end"] = offset + len(data)
        if have["end"] != sum(map(len, have["pieces"].values())):
            return None
        del self._waiting[key]
        whole = b"".join(data for _, data in sorted(have["pieces"].items()))
        following = have["following"]
        if len(key[0]) == 16:
            following, whole, piece, fault = self._extensions(following, whole, False)
            if fault or piece:
                return fault or "a fragment in a fragment"
        return self._upper(key[0], key[1], following, whole)

    def _upper(self, source, destination, protocol, data, hop_limit=None):
        if protocol == _TCP:
            return self._tcp(source, destination, data)
        if protocol == _ICMP:
            return None if data[0] in (0, 3, 8, 11, 12) else f"ICMP type {data[0]}"
        if protocol == _ICMP6:
            if data[0] in _ND:
                return None if hop_limit == 255 else "neighbour discovery from afar"
            return None if data[0] in (1, 2, 3, 4, 128, 129, 130, 143) else f"ICMPv6 type {data[0]}"
        return f"protocol {protocol}"

    def _tcp(self, source, destination, data):
        from_port, to_port, _, _, offset, flags = struct.unpack_from(">HHIIBB", data)
        if len(source) == 4:
            pseudo = source + destination + struct.pack(">HH", _TCP, len(data))
        else:
            pseudo = source + destination + struct.pack(">II", len(data), _TCP)
        if _sum(pseudo + data) != 0xffff or (offset >> 4) * 4 > len(data):
            return "TCP checksum or header"
        flow = (source, destination, from_port, to_port)
        if flags & 0x17 == 0x02:
            if to_port not in self._ports:
                return f"a connection to port {to_port}"
            self._flows.add(flow)
            self.syns.add((from_port, to_port))
            return None
        return None if flow in self._flows else f"TCP flags {flags:#x} to port {to_port} without a SYN before"


def _options(options):
    at = 0
    while at < len(options):
        if options[at] == 0:
            at += 1
            continue
        if at + 2 > len(options) or at + 2 + options[at + 1] > len(options):
            return "an option longer than its header"
        if options[at] >> 6 or options[at] == 5:
            return f"option {options[at]}"
        at += 2 + options[at + 1]
    return None


def _sum(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total
