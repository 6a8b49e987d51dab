# SPDX-License-Identifier: Apache-2.0
"""Eyes on one host's wire. What a host saw is the truth of the lab; the appliance's own counters are not."""

import select
import socket
import threading

from .frames import read_ip
from .system import packet_socket

_SOL_PACKET, _PACKET_AUXDATA = 263, 8


class Capture:
    """Every frame on `interface` of `namespace` between start and stop, in order. Use as a context manager."""

    def __init__(self, namespace, interface="eth0"):
        self._socket = packet_socket(namespace, interface)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._wake, self._waker = socket.socketpair()
        self._frames = []  # (frame, outgoing); under the lock
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            ready, _, _ = select.select([self._socket, self._wake], [], [])
            if self._wake in ready:
                return
            self._drain()

    def _drain(self):
        """Takes all that the kernel has seen so far: who asks does not have to hope that the reader was as quick."""
        with self._lock:
            while True:
                try:
                    frame, extra, _, where = self._socket.recvmsg(65536, 256, socket.MSG_DONTWAIT)
                except OSError:  # nothing waits; or the interface is gone, or we have stopped
                    return
                self._frames.append((_with_tag(frame, extra), where[2] == socket.PACKET_OUTGOING))

    def frames(self, outgoing=False):
        """Frames that came to the host, or with `outgoing` those it sent."""
        self._drain()
        return [frame for frame, out in list(self._frames) if out == outgoing]

    def packets(self, outgoing=False):
        """IP packets that came to the host, or with `outgoing` those it sent."""
        return [seen for frame in self.frames(outgoing) if (seen := read_ip(frame, outgoing))]

    def stop(self):
        if self._thread.is_alive():
            self._waker.send(b"x")
            self._thread.join()
            self._drain()
        for handle in (self._socket, self._wake, self._waker):
            handle.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _with_tag(frame, extra):
    """The kernel lifts the outer VLAN tag out of the frame into the auxiliary data; put it back where it was."""
    for level, kind, data in extra:
        if level == _SOL_PACKET and kind == _PACKET_AUXDATA and len(data) >= 20:
            status, tci = int.from_bytes(data[0:4], "little"), int.from_bytes(data[16:18], "little")
            tpid = int.from_bytes(data[18:20], "little") if status & (1 << 6) else 0x8100
            if status & (1 << 4):  # TP_STATUS_VLAN_VALID
                return frame[:12] + tpid.to_bytes(2, "big") + tci.to_bytes(2, "big") + frame[12:]
    return frame
