# SPDX-License-Identifier: Apache-2.0
"""Commands, network namespaces and waiting: what the rest of the lab stands on. Standard library only."""

import ctypes
import os
import socket
import subprocess
import time
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(RuntimeError):
    """Something outside the code failed: a command, a daemon, a wait that ended without its event."""


def run(argv, timeout=30.0, check=True):
    """Runs a command to its end and returns it; its output is text. With `check`, a failure names the command and its words."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv)}: no end within {timeout} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def ip_batch(lines, namespace=None):
    """Feeds `lines` to one `ip -batch`: a topology is made in a blink, and stops at the first line that fails."""
    argv = ["ip"] + (["-n", namespace] if namespace else []) + ["-batch", "-"]
    done = subprocess.run(argv, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise LabError(f"ip -batch in {namespace or 'this namespace'}: {done.stderr.strip()}")


def wait_until(event, timeout, what, every=0.02):
    """Polls `event` until it is true and returns its value; LabError naming `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = event()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {timeout} s")
        time.sleep(every)


@contextmanager
def inside(namespace):
    """Runs the body with this thread in `namespace`. Sockets opened in it stay there after the body."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _setns(there)
        yield
    finally:
        _setns(home)
        os.close(there)
        os.close(home)


def _setns(descriptor):
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "setns")


def packet_socket(namespace, interface):
    """An AF_PACKET socket on `interface` of `namespace`: whole Ethernet frames in and out."""
    with inside(namespace):
        handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
    handle.bind((interface, 0x0003))
    return handle
