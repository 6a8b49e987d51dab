#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""In the guest: L2TP over IPv6, which no client in Debian speaks. `pppd pty "l2tp6.py GATEWAY"`: the words are said here, PPP is pppd's,
IPsec is strongSwan's and the kernel's."""

import os
import select
import socket
import struct
import sys

TUNNEL, SESSION = 77, 78
SCCRQ, SCCRP, SCCCN, STOPCCN, ICRQ, ICRP, ICCN, CDN = 1, 2, 3, 4, 10, 11, 12, 14
WORDS = {SCCRQ: ((2, b"\1\0"), (3, b"\0\0\0\3"), (7, b"six"), (9, struct.pack(">H", TUNNEL))), SCCCN: (),
         ICRQ: ((14, struct.pack(">H", SESSION)), (15, b"\0\0\0\1")), ICCN: ((24, b"\0\1\0\0"), (19, b"\0\0\0\1")),
         STOPCCN: ((1, b"\0\1"), (9, struct.pack(">H", TUNNEL)))}


class Gateway:
    def __init__(self, address):
        self.wire = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.wire.bind(("::", 1701))
        self.wire.connect((address, 1701))
        self.tunnel = self.session = self.sent = self.received = 0

    def say(self, session, body):
        self.wire.send(struct.pack(">HHHHHH", 0xC802, 12 + len(body), self.tunnel, session, self.sent, self.received) + body)

    def ask(self, kind, answer=0):
        """Says it, again each second, until `answer` comes; what that assigns."""
        body = b"".join(struct.pack(">HHH", 0x8000 | 6 + len(value), 0, one) + value for one, value in ((0, struct.pack(">H", kind)), *WORDS[kind]))
        session = self.session if kind == ICCN else 0
        self.say(session, body)
        self.sent += 1
        for _ in range(20 if answer else 0):
            if not select.select([self.wire], [], [], 1)[0]:
                self.sent -= 1
                self.say(session, body)
                self.sent += 1
                continue
            said = self.heard(self.wire.recv(2000))
            if said.get(0) == struct.pack(">H", answer):
                return struct.unpack(">H", said[9 if answer == SCCRP else 14])[0]
        return 0

    def heard(self, message):
        """The values of a control message, by their number; it is acknowledged."""
        out, at = {}, 12
        while at < len(message):
            head, _, kind = struct.unpack_from(">HHH", message, at)
            out[kind] = message[at + 6:at + (head & 0x3FF)]
            at += head & 0x3FF
        if out:
            self.received = struct.unpack_from(">H", message, 8)[0] + 1
            self.tunnel = struct.unpack(">H", out[9])[0] if out[0] == struct.pack(">H", SCCRP) else self.tunnel
            self.say(0, b"")
        return out


def checksum(frame):
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return struct.pack("<H", value ^ 0xFFFF)


def main():
    gateway = Gateway(sys.argv[1])
    if not gateway.ask(SCCRQ, SCCRP):
        sys.exit(2)
    gateway.ask(SCCCN)
    gateway.session = gateway.ask(ICRQ, ICRP)
    if not gateway.session:
        sys.exit(3)
    gateway.ask(ICCN)
    begun = b""
    while True:
        ready = select.select([0, gateway.wire], [], [])[0]
        if gateway.wire in ready:
            message = gateway.wire.recv(4000)
            if message[0] & 0x80:
                if gateway.heard(message).get(0) in (struct.pack(">H", STOPCCN), struct.pack(">H", CDN)):
                    return
                continue
            flags, at = struct.unpack_from(">H", message)[0], 2
            at += 2 * bool(flags & 0x4000) + 4 + 4 * bool(flags & 0x0800)
            if flags & 0x0200:
                at += 2 + struct.unpack_from(">H", message, at)[0]
            frame = message[at:]
            plain = frame + checksum(frame)
            os.write(1, b"~" + b"".join(bytes([0x7D, one ^ 0x20]) if one < 0x20 or one in (0x7D, 0x7E) else bytes([one]) for one in plain) + b"~")
        if 0 in ready:
            try:
                piece = os.read(0, 4000)
            except OSError:  # pppd has closed its end
                piece = b""
            if not piece:
                gateway.ask(STOPCCN)
                return
            *frames, begun = (begun + piece).split(b"~")
            for frame in frames:
                first, *escaped = frame.split(b"\x7D")
                plain = first + b"".join(bytes([one[0] ^ 0x20]) + one[1:] for one in escaped if one)
                if len(plain) > 4 and checksum(plain[:-2]) == plain[-2:]:
                    gateway.wire.send(struct.pack(">HHH", 2, gateway.tunnel, gateway.session) + plain[:-2])


main()
