# SPDX-License-Identifier: Apache-2.0
"""The wires. Every host is a network namespace of its own; the gateway is one more, in which only dataplaned listens.

   acme   web1 10.0.0.2  --+                                     globex web1 10.0.0.2  --+      the same addresses twice
          db1  10.0.0.18 --+-- [ gateway: dataplaned ] ----------       db1  10.0.0.18 --+
          pc   10.0.0.34 --+          |                       pc  10.0.0.34 --switch --+
                                      |                       pc2 10.0.0.36 --+
                                      | shared uplink 192.0.2.0/24, 2001:db8:0:1::/64
                                   outside 192.0.2.2
   acme web1 is also 203.0.113.17 and 2001:db8:a::17; globex web1 is also 203.0.113.33 and 2001:db8:b::33.
"""

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .capture import Capture
from .system import LabError, ip_batch, packet_socket, run, wait_until

_DUMB_KERNEL = """cd /proc/sys/net && echo 0 > ipv4/ip_forward &&
    echo 1 > ipv6/conf/all/disable_ipv6 && echo 1 > ipv6/conf/default/disable_ipv6"""
TREE = Path(__file__).resolve().parents[2]
SERVICE_WIRE = "service"  # the gateway's end of the wire to the service network
_SERVICE_MAC, _SERVICE_HOST_MAC = "02:73:65:6b:00:01", "02:73:65:6b:00:02"  # base/net/service_address.h


@dataclass(frozen=True)
class HostPlan:
    """One host as the configuration expects it. `name` is also the name of the gateway's end of its wire."""

    name: str
    mac: str
    addresses: tuple  # with prefix length
    gateways: tuple  # next hops of the default routes, per family; empty: routes holds what it knows
    routes: tuple = ()
    pages: dict = field(default_factory=dict)  # TCP port -> what its web server says
    behind: str = ""  # the host whose wire it shares, through a switch; empty: a wire of its own


def _tenant_hosts(tenant, number, public4, public6):
    mac = f"02:00:00:00:{number:02x}:"
    return [
        HostPlan(f"{tenant}-web1", mac + "02", ("10.0.0.2/28", "fd00:10:0:1::2/64", public4 + "/32", public6 + "/128"),
                 ("10.0.0.1", "fd00:10:0:1::1"), pages={80: f"{tenant} web1", 22: f"{tenant} login"}),
        HostPlan(f"{tenant}-db1", mac + "12", ("10.0.0.18/28", "fd00:10:0:2::2/64"), ("10.0.0.17", "fd00:10:0:2::1"),
                 pages={80: f"{tenant} db1", 5432: f"{tenant} database"}),
        HostPlan(f"{tenant}-pc", mac + "22", ("10.0.0.34/28", "fd00:10:0:3::2/64"), ("10.0.0.33", "fd00:10:0:3::1")),
    ]


PLAN = (
    _tenant_hosts("acme", 0xA, "203.0.113.17", "2001:db8:a::17")
    + _tenant_hosts("globex", 0xB, "203.0.113.33", "2001:db8:b::33")
    + [HostPlan("outside", "02:00:00:00:00:fe", ("192.0.2.2/24", "2001:db8:0:1::2/64"), ("192.0.2.1", "2001:db8:0:1::1"),
                pages={80: "outside"}),
       HostPlan("globex-pc2", "02:00:00:00:0b:24", ("10.0.0.36/28", "fd00:10:0:3::4/64"), ("10.0.0.33", "fd00:10:0:3::1"),
                behind="globex-pc")]
)


class Host:
    """A machine of the story: commands run in its namespace, captures see its wire."""

    def __init__(self, plan, namespace):
        self.plan = plan
        self.name = plan.name
        self.namespace = namespace

    def argv(self, *command):
        return ["ip", "netns", "exec", self.namespace, *command]

    def run(self, *command, timeout=20.0, check=False):
        return run(self.argv(*command), timeout=timeout, check=check)

    def curl(self, url, seconds=2, *options):
        """(exit status, page). 0 and a page, 7 refused, 28 no answer in `seconds`."""
        done = self.run("curl", "--silent", "--max-time", str(seconds), "--noproxy", "*", *options, url)
        return done.returncode, done.stdout.strip()

    def ping(self, address, count=1, seconds=2):
        """True when an echo came back."""
        return self.run("ping", "-n", "-q", "-c", str(count), "-i", "0.2", "-W", str(seconds), address).returncode == 0

    def knock(self, address, port, seconds=2):
        """True when a TCP connection opens."""
        return self.run("nc", "-z", "-w", str(seconds), address, str(port)).returncode == 0

    def capture(self):
        return Capture(self.namespace)

    def send_frame(self, frame):
        with packet_socket(self.namespace, "eth0") as handle:
            handle.send(frame)

    def set_mac(self, mac):
        """Changes the card's address the way an intruder would; addresses and routes stay."""
        ip_batch([f"link set eth0 address {mac}"], self.namespace)

    def add_address(self, address):
        ip_batch([f"addr add {address} dev eth0" + (" nodad" if ":" in address else "")], self.namespace)

    def remove_address(self, address):
        ip_batch([f"addr del {address} dev eth0"], self.namespace)


class Topology:
    """Namespaces, wires, addresses and web servers of one run. Leaves a note in `notes` of all it made, before it makes it."""

    def __init__(self, tag, notes):
        self.tag = tag
        self.gateway = f"sekisho-{tag}-gw"
        self.office = f"sekisho-{tag}-office"  # controld and logd: no card, no network
        self.switch = f"sekisho-{tag}-switch"
        self.service = f"sekisho-{tag}-service"  # tunneld: where TCP of the gateways ends
        self.hosts = {plan.name: Host(plan, f"sekisho-{tag}-{plan.name}") for plan in PLAN}
        self.note = Path(notes) / f"{tag}.json"
        self._servers = []
        self._folders = []

    def __getitem__(self, name):
        return self.hosts[name]

    def build(self):
        self.write_note()
        self._wire()
        for host in self.hosts.values():
            self._equip(host)

    def write_note(self, folders=()):
        """What a later run removes if this one is killed: see `sweep`."""
        self._folders += [str(folder) for folder in folders]
        self.note.parent.mkdir(parents=True, exist_ok=True)
        namespaces = [self.gateway, self.office, self.switch, self.service] + [host.namespace for host in self.hosts.values()]
        written = self.note.with_suffix(".new")
        written.write_text(json.dumps({"pid": os.getpid(), "start": _start_of(os.getpid()), "namespaces": namespaces,
                                       "folders": self._folders}))
        written.rename(self.note)  # in one step: a run that sweeps meanwhile reads all of it

    def _wire(self):
        ip_batch([f"netns add {space}" for space in [self.gateway, self.office, self.switch, self.service] + [host.namespace for host in self.hosts.values()]])
        # These kernels stay dumb: no addresses, no forwarding. What crosses the gateway, dataplaned carried.
        for space in (self.gateway, self.switch):
            run(["ip", "netns", "exec", space, "sh", "-c", _DUMB_KERNEL])
        shared = {plan.behind for plan in PLAN} - {""}
        ip_batch([f"link add {wire} type bridge mcast_snooping 0" for wire in shared], self.switch)
        for host in self.hosts.values():
            wire = host.plan.behind or host.name
            end = self.switch if wire in shared else self.gateway
            name = f"to-{host.name}" if wire in shared else host.name
            ip_batch([f"link add {name} netns {end} type veth peer name eth0 address {host.plan.mac} netns {host.namespace}"])
            if wire in shared:
                ip_batch([f"link set {name} master {wire} up"], self.switch)
        for wire in shared:
            ip_batch([f"link add {wire} netns {self.gateway} type veth peer name gateway netns {self.switch}"])
            ip_batch([f"link set gateway master {wire} up", f"link set {wire} up"], self.switch)
        ip_batch([f"link add {SERVICE_WIRE} netns {self.gateway} type veth peer name eth0 address {_SERVICE_HOST_MAC} netns {self.service}"])
        ip_batch([f"link set {name} promisc on up" for name in (*gateway_interfaces(), SERVICE_WIRE)], self.gateway)
        self._make_service()

    def _make_service(self):
        """The service network's host: every address of its prefixes is its own, and all else is behind the data plane, whose MAC it knows."""
        ip_batch(["link set lo up", "link set eth0 up", f"neigh add 169.254.0.1 lladdr {_SERVICE_MAC} dev eth0 nud permanent",
                  f"neigh add fe80::1 lladdr {_SERVICE_MAC} dev eth0 nud permanent", "route add local 198.18.0.0/15 dev lo",
                  "route add default via 169.254.0.1 dev eth0 onlink", "route add local fd73:656b:6973:686f::/64 dev lo",
                  "route add default via fe80::1 dev eth0"], self.service)
        here = ["ip", "netns", "exec", self.service]
        run([*here, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=443", "net.ipv4.tcp_mtu_probing=1", "net.ipv4.conf.all.rp_filter=0",
             "net.ipv4.conf.eth0.rp_filter=0"])
        run([*here, "ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"])

    def _equip(self, host):
        plan = host.plan
        lines = ["link set lo up", "link set eth0 up"]
        lines += [f"addr add {address} dev eth0" + (" nodad" if ":" in address else "") for address in plan.addresses]
        lines += [f"route add default via {gateway}" for gateway in plan.gateways]
        ip_batch(lines, host.namespace)
        # af_packet hands frames on as they are in memory: sums must be in them, and no frame may be larger than the wire.
        # Ports that the host chooses itself are none of those by which the story tells the tenants apart.
        host.run("sh", "-c", "echo 50000 60999 > /proc/sys/net/ipv4/ip_local_port_range", check=True)
        host.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off", check=True)

    def gateway_mac(self, wire):
        """The address of the gateway's card on `wire`."""
        return run(["ip", "netns", "exec", self.gateway, "cat", f"/sys/class/net/{wire}/address"]).stdout.strip()

    def serve(self, folder):
        """Starts each host's web servers, one page a port, and waits until they listen."""
        for host in self.hosts.values():
            for port, words in host.plan.pages.items():
                pages = Path(folder) / f"{host.name}-{port}"
                pages.mkdir(parents=True, exist_ok=True)
                (pages / "index.html").write_text(words + "\n")
                self._servers.append(subprocess.Popen(
                    host.argv("/usr/bin/python3", "-m", "http.server", "--bind", "::", "--directory", str(pages), str(port)),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
        for host in self.hosts.values():
            for port in host.plan.pages:
                wait_until(lambda h=host, p=port: _listens(h, p), 15, f"web server of {host.name} on {port}", every=0.05)

    def remove(self):
        for server in self._servers:
            server.kill()
            server.wait()
        if self.note.exists():
            _remove_noted(json.loads(self.note.read_text()))
            self.note.unlink()


def _listens(host, port):
    table = host.run("cat", "/proc/net/tcp6", check=True).stdout
    return f":{port:04X} 00000000000000000000000000000000:0000 0A" in table


def gateway_interfaces():
    """Names of the gateway's ends, in the order in which the configuration calls them net_af_packet0, 1, ..."""
    return [plan.name for plan in PLAN if not plan.behind]


def sweep(notes):
    """Removes what killed runs left: for each note whose process is gone, its namespaces, their processes and its folders."""
    for note in Path(notes).glob("*.json"):
        try:
            left = json.loads(note.read_text())
        except ValueError:
            note.unlink(missing_ok=True)
            continue
        if _start_of(left["pid"]) != left["start"]:
            _remove_noted(left)
            note.unlink(missing_ok=True)


def _remove_noted(left):
    present = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
    for namespace in left["namespaces"]:
        if namespace in present:
            _end_processes_of(namespace)
            run(["ip", "netns", "del", namespace], check=False)
    for folder in left["folders"]:
        shutil.rmtree(folder, ignore_errors=True)


def _end_processes_of(namespace):
    """Kills the processes that live in `namespace`; a namespace is ours alone, its name carries the run's tag."""
    def alive():
        return run(["ip", "netns", "pids", namespace], check=False).stdout.split()

    for pid in alive():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        wait_until(lambda: not alive(), 5, f"processes of {namespace} ending")
    except LabError:
        pass  # deleting the name is still right; the kernel frees the rest with the last process


def _start_of(pid):
    """Start time of a process in clock ticks, or None: tells a process from a later one with the same number."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None
