# SPDX-License-Identifier: Apache-2.0
"""A bad wire between a host and the gateway: it loses, repeats and reorders frames, and counts what it did.

netem does the same where the kernel has it; many do not. The host's card moves into a namespace of its own, a TAP of the same
name, address and offloads takes its place, and one thread carries frames between the two.
"""

import errno
import fcntl
import os
import random
import select
import struct
import threading
import time

from lab.system import inside, ip_batch, packet_socket

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_FRAME_MAX = 2048
_PACKET_OUTGOING = 4


class UnsteadyWire:
    """`with UnsteadyWire(host) as wire`: shares are of 1; a frame held back is overtaken by one to three others."""

    def __init__(self, host, lost=0.01, repeated=0.005, held=0.03, delay_s=0.002, seed=1):
        self._host, self._random = host, random.Random(seed)
        self._shares = lost, repeated, held
        self._delay_s = delay_s
        self._space = f"{host.namespace}-wire"
        self.lost = self.repeated = self.overtaken = self.carried = 0
        self._wake, self._waker = os.pipe()
        self._error = None

    def __enter__(self):
        host, name, mac = self._host, "eth0", self._host.plan.mac
        ip_batch([f"netns add {self._space}"])
        ip_batch([f"link set {name} netns {self._space}"], host.namespace)
        with inside(self._space):
            with open("/proc/sys/net/ipv6/conf/all/disable_ipv6", "w", encoding="ascii") as setting:
                setting.write("1")
        ip_batch([f"link set {name} promisc on arp off up"], self._space)
        with inside(host.namespace):
            self._tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(self._tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
        ip_batch([f"link set {name} address {mac}"], host.namespace)
        _address(host)
        self._card = packet_socket(self._space, name)
        self._card.setblocking(False)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.write(self._waker, b"x")
        self._thread.join()
        self._card.close()
        os.close(self._tap)  # the TAP goes with its last descriptor
        ip_batch([f"link set eth0 promisc off arp on netns {self._host.namespace}"], self._space)
        ip_batch([f"netns del {self._space}"])
        _address(self._host)
        for end in (self._wake, self._waker):
            os.close(end)
        if self._error:
            raise self._error

    def _carry(self):
        try:
            ways = _Way(self, self._from_host, self._card.send), _Way(self, self._from_card, self._to_host)
            while True:
                ready, _, _ = select.select([self._tap, self._card, self._wake], [], [], self._delay_s)
                if self._wake in ready:
                    return
                for way, source in zip(ways, (self._tap, self._card)):
                    way.run(source in ready)
        except OSError as error:
            self._error = error

    def _from_host(self):
        return os.read(self._tap, _FRAME_MAX)

    def _from_card(self):
        while True:
            frame, where = self._card.recvfrom(_FRAME_MAX)
            if where[2] != _PACKET_OUTGOING:
                return frame

    def _to_host(self, frame):
        os.write(self._tap, frame)

    def fate(self):
        """What becomes of the next frame: "lost", "repeated", "held" or "carried"."""
        draw = self._random.random()
        for share, name in zip(self._shares, ("lost", "repeated", "held")):
            if draw < share:
                return name
            draw -= share
        return "carried"

    def overtakers(self):
        return self._random.randint(1, 3)

    @property
    def delay_s(self):
        return self._delay_s


class _Way:
    """One direction. At most one frame waits: until enough others have passed it, or until `delay_s` after it came."""

    def __init__(self, wire, read, write):
        self._wire, self._read, self._write = wire, read, write
        self._held, self._left, self._until = None, 0, 0.0

    def run(self, ready):
        while ready:
            try:
                self._take(self._read())
            except BlockingIOError:
                break
        if self._held and time.monotonic() >= self._until:
            self._release()

    def _take(self, frame):
        wire = self._wire
        fate = wire.fate()
        if fate == "lost":
            wire.lost += 1
            return
        if fate == "held" and not self._held:
            self._held, self._left, self._until = frame, wire.overtakers(), time.monotonic() + wire.delay_s
            return
        self._put(frame)
        if fate == "repeated":
            wire.repeated += 1
            self._put(frame)
        if self._held:
            self._left -= 1
            if not self._left:
                wire.overtaken += 1
                self._release()

    def _release(self):
        frame, self._held = self._held, None
        self._put(frame)

    def _put(self, frame):
        try:
            self._write(frame)
            self._wire.carried += 1
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EIO, errno.ENETDOWN):
                raise
            self._wire.lost += 1  # a full queue loses, as a bad wire does


def _address(host):
    """Gives the host's eth0 what its plan says; a card that changed its namespace has lost all of it."""
    plan = host.plan
    lines = ["link set eth0 up"]
    lines += [f"addr replace {address} dev eth0" + (" nodad" if ":" in address else "") for address in plan.addresses]
    lines += [f"route replace default via {gateway}" for gateway in plan.gateways]
    ip_batch(lines, host.namespace)
