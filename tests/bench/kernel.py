# SPDX-License-Identifier: Apache-2.0
"""The kernel's firewall and ours on the same two veth pairs, fed by the same generator.

    bench-gen:  net_pfgen -> net_af_packet on g0          g1
                               |                           |
    bench-dut:                 d0 --- nftables or ours --- d1

The generator sits on one core. The kernel's forwarding is moved to the other with receive packet steering, our worker polls
there. af_packet, not either firewall, limits the rate: so the kernel's figure is processor time a packet, and ours is only
said to keep up or not.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import machine
from pfgen import ENDS, INSIDE_MAC, OUTSIDE_MAC

GENERATOR, DEVICE = "bench-gen", "bench-dut"
SETTLE_SECONDS, MEASURE_SECONDS = 4, 4
REPLIES_A_SECOND = 20000  # so that conntrack calls the flows established


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _inside(namespace, *command):
    return ["ip", "netns", "exec", namespace, *command]


def _remove():
    for namespace in (GENERATOR, DEVICE):
        subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


@contextlib.contextmanager
def wires():
    """The two namespaces and their two pairs. Only these names are made and removed."""
    _remove()
    try:
        for namespace in (GENERATOR, DEVICE):
            _ip("netns", "add", namespace)
            subprocess.run(_inside(namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"), check=True)
        for number, mac in ((0, INSIDE_MAC), (1, OUTSIDE_MAC)):
            _ip("link", "add", f"g{number}", "netns", GENERATOR, "address", mac, "type", "veth", "peer", "name", f"d{number}", "netns", DEVICE,
                "address", f"02:00:00:00:fe:0{number}")
            _ip("-n", GENERATOR, "link", "set", f"g{number}", "up", "promisc", "on")
            _ip("-n", DEVICE, "link", "set", f"d{number}", "up", "promisc", "on")
        yield
    finally:
        _remove()


def _steer(mask):
    for queue in ("d0", "d1"):
        subprocess.run(_inside(DEVICE, "sh", "-c", f"echo {mask:x} > /sys/class/net/{queue}/queues/rx-0/rps_cpus"), check=True)


def _count(direction):
    """Packets the generator's two devices sent ("tx": offered) or got back ("rx": passed)."""
    done = subprocess.run(["ip", "-n", GENERATOR, "-s", "-j", "link", "show"], check=True, capture_output=True, text=True)
    return sum(link["stats64"][direction]["packets"] for link in json.loads(done.stdout) if link["ifname"] in ("g0", "g1"))


def _busy_seconds(core):
    for line in Path("/proc/stat").read_text().splitlines():
        words = line.split()
        if words[0] == f"cpu{core}":
            user, nice, system, _, _, irq, softirq = map(int, words[1:8])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0.0


@contextlib.contextmanager
def _generator(library, granted, flows):
    """testpmd on the helper core, moving frames from net_pfgen to g0, and replies to g1."""
    core = machine.HELPER_CORE
    shared = f"{ENDS[4]},flows={flows},size=64,handshake=1"
    command = _inside(
        GENERATOR, "env", f"LD_PRELOAD={library}", "dpdk-testpmd", *machine.eal_arguments(granted, None, "bench-gen"), "--lcores", f"0@{core},1@{core}",
        "--vdev", f"net_pfgen0,side=forward,smac={INSIDE_MAC},dmac=02:00:00:00:fe:00,{shared}", "--vdev", "net_af_packet0,iface=g0",
        "--vdev", f"net_pfgen1,side=reverse,rate={REPLIES_A_SECOND},smac={OUTSIDE_MAC},dmac=02:00:00:00:fe:01,{shared}",
        "--vdev", "net_af_packet1,iface=g1", "--", "--forward-mode=io", "--auto-start")
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _measure():
    time.sleep(SETTLE_SECONDS)
    start, passed, offered, busy = time.monotonic(), _count("rx"), _count("tx"), _busy_seconds(machine.MEASURED_CORE)
    time.sleep(MEASURE_SECONDS)
    seconds = time.monotonic() - start
    passed, offered, busy = _count("rx") - passed, _count("tx") - offered, _busy_seconds(machine.MEASURED_CORE) - busy
    return {"offered_kpps": offered / seconds / 1e3, "passed_kpps": passed / seconds / 1e3, "busy": busy / seconds,
            "cycles": busy * machine.tsc_hz() / passed if passed else None}


def _route_and_filter(rules):
    subprocess.run(_inside(DEVICE, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                           "net.ipv4.conf.d0.rp_filter=0"), check=True)
    for number, address, prefix, mac in ((0, "192.0.2.1/30", "10.0.0.0/8", INSIDE_MAC), (1, "192.0.2.5/30", "172.16.0.0/12", OUTSIDE_MAC)):
        neighbour = address.rsplit(".", 1)[0] + f".{2 + 4 * number}"
        _ip("-n", DEVICE, "address", "replace", address, "dev", f"d{number}")
        _ip("-n", DEVICE, "neighbour", "replace", neighbour, "lladdr", mac, "nud", "permanent", "dev", f"d{number}")
        _ip("-n", DEVICE, "route", "replace", prefix, "via", neighbour, "dev", f"d{number}")
    subprocess.run(_inside(DEVICE, "nft", "-f", "-"), input=rules, text=True, check=True)


def nftables(library, granted, flows, rules):
    """Established UDP flows through the kernel; `rules` in nft's language. Returns the measurement."""
    with wires():
        _route_and_filter(rules)
        _steer(1 << machine.MEASURED_CORE)
        with _generator(library, granted, flows):
            return _measure()


def ours(library, granted, flows, command):
    """The same flows through `command`, our measuring program with its devices on d0 and d1."""
    with wires():
        process = subprocess.Popen(_inside(DEVICE, *command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            with _generator(library, granted, flows):
                return _measure()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
