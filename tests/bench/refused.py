# SPDX-License-Identifier: Apache-2.0
"""Frames that must be dropped before any rule is asked, as captures net_pfgen replays."""

import struct

FRAMES = 1024
INSIDE, OUTSIDE = "10.16.0.%d", "172.20.0.%d"


def _sum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _address(text):
    return bytes(int(part) for part in text.split("."))


def frame(number, source_mac, destination_mac, source=None, destination=None, flags=2, bad_checksum=False, protocol=6):
    """One 60-byte frame of flow `number`: a TCP SYN unless told otherwise."""
    source, destination = _address(source or INSIDE % (number % 250 + 1)), _address(destination or OUTSIDE % (number % 250 + 1))
    segment = struct.pack("!HHIIBBHHH", 20000 + number, 80, 1000, 0, 5 << 4, flags, 65535, 0, 0)
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(segment))
    checksum = _sum(pseudo + segment) ^ (0x1234 if bad_checksum else 0)
    segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number, 0x4000, 64, protocol, 0) + source + destination
    header = header[:10] + struct.pack("!H", _sum(header)) + header[12:]
    return (destination_mac + source_mac + b"\x08\x00" + header + segment).ljust(60, b"\0")


def captures(folder, gateway, host):
    """Writes one capture a kind of frame; returns name -> path. `gateway`, `host`: MACs."""
    gateway, host = (bytes.fromhex(mac.replace(":", "")) for mac in (gateway, host))

    def same(number):
        return INSIDE % (number % 250 + 1)

    kinds = {
        "land (source = destination)": lambda n: frame(n, host, gateway, destination=same(n)),
        "martian source 127.0.0.1": lambda n: frame(n, host, gateway, source="127.0.0.1"),
        "SYN and FIN together": lambda n: frame(n, host, gateway, flags=3),
        "bad TCP checksum": lambda n: frame(n, host, gateway, bad_checksum=True),
        "foreign MAC": lambda n: frame(n, b"\x02\0\0\0\0\x77", gateway),
        "foreign source address": lambda n: frame(n, host, gateway, source="10.99.0.%d" % (n % 250 + 1)),
        "segment of no connection": lambda n: frame(n, host, gateway, flags=16),
    }
    paths = {}
    for number, (name, make) in enumerate(kinds.items()):
        paths[name] = folder / f"refused-{number}.pcap"
        with paths[name].open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
            for n in range(FRAMES):
                bytes_of = make(n)
                file.write(struct.pack("<IIII", 0, 0, len(bytes_of), len(bytes_of)) + bytes_of)
    return paths
