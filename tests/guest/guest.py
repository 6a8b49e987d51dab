# SPDX-License-Identifier: Apache-2.0
"""A throw-away guest kernel with a real client in it: Debian's User-Mode Linux, whose ESP, L2TP and PPP are Linux's own. Its only card is a
tap in a namespace of the lab. Needs root, the packages user-mode-linux and mmdebstrap, and what `rootfs` made."""

import ctypes
import fcntl
import os
import shlex
import shutil
import signal
import struct
import subprocess
from pathlib import Path

from lab.system import LabError, inside, run, wait_until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1] / "build" / "guest"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 2, 0x1000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def missing():
    """Why no guest can be started here, or nothing."""
    for program, package in (("linux.uml", "user-mode-linux"), ("mmdebstrap", "mmdebstrap")):
        if not shutil.which(program):
            return f"{package} is not installed"
    return ""


def make_root():
    done = subprocess.run([HERE / "rootfs", ROOT], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"the guest's root file system: {done.stderr.strip()[-1000:]}")
    made = ROOT / f"registers.{os.getpid()}"
    run(["cc", "-O2", "-shared", "-fPIC", "-o", made, HERE / "registers.c", "-ldl"])
    made.rename(ROOT / "registers.so")


def _tap(namespace, name):
    """A tap that lives as long as its descriptor: nothing is left after a crash. Without the virtio header neither side leaves checksums
    or segmentation to the other."""
    with inside(namespace):
        handle = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return handle


def _alone():
    """Ends with us, and stays on one processor: the halves of a User-Mode Linux hand over to each other at every system call."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[os.getpid() % len(processors)]})


def refusals(method):
    """pppd's words by which it proves itself by one method alone."""
    return "\n".join(f"refuse-{one}" for one in ("pap", "chap", "mschap", "mschap-v2", "eap") if one != method)


def both_ways(host, port, words):
    """Shell: a stream each way, or it fails. iperf3's server shuts its door for a moment after each: whoever comes then knocks again."""
    return "\n".join(f"for i in $(seq 10); do iperf3 {way} -c {host} -p {port} {words} && break; [ $i = 10 ] && exit 1; sleep 0.5; done" for way in ("", "-R"))


class Guest:
    """`with Guest(...) as guest`: booted; `guest.run` runs shell commands in it."""

    def __init__(self, folder, namespace, bridge, addresses, gateways):
        self.folder, self.namespace, self.bridge = Path(folder), namespace, bridge
        self.addresses, self.gateways = addresses, gateways
        self.number = 0
        self.process = None

    def __enter__(self):
        (self.folder / "cmd").mkdir(parents=True)
        (self.folder / "boot").write_text(f"addresses={shlex.quote(' '.join(self.addresses))}\ngateways={shlex.quote(' '.join(self.gateways))}\n")
        name = f"guest{os.getpid()}"
        tap = _tap(self.namespace, name)
        try:
            run(["ip", "-n", self.namespace, "link", "set", name, "master", self.bridge, "up"])
            # In a space of processes of its own: with the first of them all end, also those User-Mode Linux makes.
            argv = ["ip", "netns", "exec", self.namespace, "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL",
                    "env", f"LD_PRELOAD={ROOT / 'registers.so'}", "linux.uml", "mem=512M",
                    "root=/dev/root", "rootfstype=hostfs", f"rootflags={ROOT / 'root'}", "ro", "init=/init", "con=null", "con0=null,fd:1", "ssl=null", "quiet",
                    "panic=1", f"job={self.folder}", f"uml_dir={self.folder}/", "umid=uml", f"vec0:transport=fd,fd={tap},vec=0,gro=1"]
            with open(self.folder / "console", "wb") as console:
                self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=_alone, pass_fds=(tap,))
        finally:
            os.close(tap)
        try:
            wait_until(lambda: self._alive() and "GUEST_UP" in self.console(), 120, "the guest coming up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def console(self):
        return (self.folder / "console").read_text(errors="replace")

    def _alive(self):
        if self.process.poll() is not None or "Kernel panic" in self.console():
            raise LabError(f"the guest died:\n{self.console()[-2000:]}")
        return True

    def spawn(self, command):
        """Begins a shell command; what `result` takes."""
        self.number += 1
        base = self.folder / "cmd" / f"{self.number:04}"
        base.with_suffix(".new").write_text(command + "\n")
        base.with_suffix(".new").rename(base.with_suffix(".sh"))
        return base

    def result(self, base, seconds=30):
        """(exit status, output)"""
        wait_until(lambda: self._alive() and base.with_suffix(".rc").exists(), seconds, f"the guest's {base.with_suffix('.sh').read_text()}")
        return int(base.with_suffix(".rc").read_text()), base.with_suffix(".out").read_text(errors="replace")

    def run(self, command, seconds=30):
        return self.result(self.spawn(command), seconds)

    def __exit__(self, *_):
        if self.process is None:
            return
        (self.folder / "cmd" / "quit").touch()
        try:
            self.process.wait(4)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
