# SPDX-License-Identifier: Apache-2.0
"""Frames the generator does not make, as captures it replays: those that must be dropped before any rule is asked, and fragments."""

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


def frame(number, source_mac, destination_mac, source=None, destination=None, flags=2, bad_checksum=False, protocol=6, options=b""):
    """One 60-byte frame of flow `number`: a TCP SYN unless told otherwise."""
    source, destination = _address(source or INSIDE % (number % 250 + 1)), _address(destination or OUTSIDE % (number % 250 + 1))
    segment = struct.pack("!HHIIBBHHH", 20000 + number, 80, 1000, 0, 5 << 4, flags, 65535, 0, 0)
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(segment))
    checksum = _sum(pseudo + segment) ^ (0x1234 if bad_checksum else 0)
    segment = segment[:16] + struct.pack("!H", checksum) + segment[18:]
    return _packet(number, source_mac, destination_mac, source, destination, protocol, 0x4000, segment, options)


def _packet(number, source_mac, destination_mac, source, destination, protocol, fragment, payload, options=b""):
    length = 20 + len(options)
    header = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, length + len(payload), number, fragment, 64, protocol, 0) + source + destination + options
    header = header[:10] + struct.pack("!H", _sum(header)) + header[12:]
    return (destination_mac + source_mac + b"\x08\x00" + header + payload).ljust(60, b"\0")


def _write(path, frames):
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame_bytes in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame_bytes), len(frame_bytes)) + frame_bytes)
    return path


def fragments(folder, gateway, host, later_first):
    """A capture of datagrams in two pieces each, of one flow each."""
    gateway, host = (bytes.fromhex(mac.replace(":", "")) for mac in (gateway, host))
    frames = []
    for number in range(FRAMES):
        source, destination = _address(INSIDE % (number % 250 + 1)), _address(OUTSIDE % (number % 250 + 1))
        datagram = struct.pack("!HHHH", 20000 + number, 80, 72, 0) + bytes(64)
        pieces = [_packet(number, host, gateway, source, destination, 17, word, part) for word, part in ((0x2000, datagram[:40]), (5, datagram[40:]))]
        frames += reversed(pieces) if later_first else pieces
    return _write(folder / f"fragments-{int(later_first)}.pcap", frames)


def captures(folder, gateway, host):
    """Writes one capture a kind of frame; returns name -> (stage that ends it, path). `gateway`, `host`: MACs."""
    gateway, host = (bytes.fromhex(mac.replace(":", "")) for mac in (gateway, host))

    def same(number):
        return INSIDE % (number % 250 + 1)

    kinds = {
        "martian source 127.0.0.1": ("Binding", lambda n: frame(n, host, gateway, source="127.0.0.1")),
        "foreign MAC": ("Binding", lambda n: frame(n, b"\x02\0\0\0\0\x77", gateway)),
        "foreign source address": ("Binding", lambda n: frame(n, host, gateway, source="10.99.0.%d" % (n % 250 + 1))),
        "SYN and FIN together": ("decode", lambda n: frame(n, host, gateway, flags=3)),
        "bad TCP checksum": ("decode", lambda n: frame(n, host, gateway, bad_checksum=True)),
        "IPv4 source route": ("decode", lambda n: frame(n, host, gateway, options=b"\x83\x07\x04\x0a\0\0\x01\0")),
        "land (source = destination)": ("first packet", lambda n: frame(n, host, gateway, destination=same(n))),
        "segment of no connection": ("first packet", lambda n: frame(n, host, gateway, flags=16)),
    }
    paths = {}
    for number, (name, (stage, make)) in enumerate(kinds.items()):
        paths[name] = stage, _write(folder / f"refused-{number}.pcap", [make(n) for n in range(FRAMES)])
    return paths
