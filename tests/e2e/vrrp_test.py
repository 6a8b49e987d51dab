# SPDX-License-Identifier: Apache-2.0
"""keepalived on two hosts of one segment: their virtual address moves and traffic through the gateway follows; nobody else takes it.

globex pc and pc2 are the pair, behind one Port; db1 stands on the same segment, behind a Port of its own, and is in no VRRP group.
"""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until

PAIR = {"globex-pc": "b22", "globex-pc2": "b24"}  # the end of each one's EUI-64
INTRUDER, CLIENT = "globex-db1", "globex-web1"
VIRTUAL = {"IPv4": "10.0.0.40", "IPv6": "fd00:10:0:3::40"}
VIRTUAL_MAC = "00:00:5e:00:01:d3"
VIRTUAL_ROUTER = "fe80::d3"  # RFC 5798 5.2.9: the first address of an IPv6 group is link-local



def _document(folder):
    """The demonstration's, where globex's db1 stands on the segment of pc and pc2, and these two are VRRP group 211."""
    head, acme, globex = DEMO_CONFIG.read_text().split("  - service_code: ")
    replaced = [
        ('name: db1, nic: globex-db1, kind: segment, zone: servers, addresses: [10.0.0.17/28, "fd00:10:0:2::1/64"]',
         'name: db1, nic: globex-db1, kind: segment, zone: office, addresses: [10.0.0.33/28, "fd00:10:0:3::1/64"]'),
        ('prefix: 10.0.0.18/32', 'prefix: 10.0.0.38/32'),
        ('prefix: "fd00:10:0:2::2/128"', 'prefix: "fd00:10:0:3::6/128"'),
        ('    policies:\n', '    policies:\n      - { name: to the pair, from: [servers], to: [office], rules: [ { name: all, action: allow } ] }\n'),
    ]
    for mac, own in (("22", 'prefix: "fd00:10:0:3::2/128" }\n'), ("24", 'prefix: "fd00:10:0:3::4/128" }\n')):
        pairs = "".join(f'          - {{ mac: "02:00:00:00:0b:{mac}", prefix: "{address}" }}\n' for address in VIRTUAL.values())
        more = f'        vrids: [211]\n        lla: {{ policy: list, list: ["fe80::ff:fe00:b{mac}", "{VIRTUAL_ROUTER}"] }}\n'
        replaced.append((own, own + pairs + more))
    for old, new in replaced:
        assert globex.count(old) == 1, old
        globex = globex.replace(old, new)
    path = Path(folder) / "vrrp.yaml"
    path.write_text("  - service_code: ".join([head, acme, globex]))
    return path


def _keepalived_conf(priority, more=""):
    def instance(name, own, addresses):
        return f"""vrrp_instance {name} {{
    interface eth0
    virtual_router_id 211
    state BACKUP
    priority {priority}
    advert_int 0.2
    {own}
    {more}
    virtual_ipaddress {{ {" ".join(addresses)} }}
}}
"""
    return ("global_defs { vrrp_version 3 }\n" + instance("four", "", [VIRTUAL["IPv4"] + "/32\n"])
            + instance("six", "native_ipv6", [VIRTUAL_ROUTER + "/64\n", VIRTUAL["IPv6"] + "/128\n"]))


class Keepalived:
    """One keepalived in a host, until it is stopped: it then hands over, and takes its addresses off."""

    def __init__(self, lab, name, priority, more=""):
        self.host = lab[name]
        folder = lab.root / f"keepalived-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "conf").write_text(_keepalived_conf(priority, more))
        self._process = subprocess.Popen(
            self.host.argv("keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file", str(folder / "conf"), "--pid", str(folder / "pid"),
                           "--vrrp_pid", str(folder / "vrrp_pid")),
            stdin=subprocess.DEVNULL, stdout=open(folder / "output", "ab"), stderr=subprocess.STDOUT)

    def holds(self):
        """The virtual addresses that the host has."""
        shown = self.host.run("ip", "-o", "addr", "show").stdout
        return {family for family, address in VIRTUAL.items() if f" {address}/" in shown}

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with Lab(config=_document(tmp_path_factory.mktemp("vrrp"))) as built:
        for address in ("10.0.0.18/28", "fd00:10:0:2::2/64"):
            built[INTRUDER].remove_address(address)
        for address in ("10.0.0.38/28", "fd00:10:0:3::6/64"):
            built[INTRUDER].add_address(address)
        for gateway in ("10.0.0.33", "fd00:10:0:3::1"):
            built[INTRUDER].run("ip", "route", "replace", "default", "via", gateway, check=True)
        with _pages(built):
            yield built
        assert built.appliance.status()["conservation violations"] == "0"


@contextmanager
def _pages(lab):
    """Each of the three says who it is, on port 80 of whatever address it has."""
    servers = []
    for name in (*PAIR, INTRUDER):
        folder = lab.root / "pages" / name
        folder.mkdir()
        (folder / "index.html").write_text(name + "\n")
        if not lab[name].plan.pages:
            servers.append(subprocess.Popen(lab[name].argv("/usr/bin/python3", "-m", "http.server", "--bind", "::", "--directory", str(folder), "80"),
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    try:
        yield
    finally:
        for server in servers:
            server.kill()
            server.wait()


@pytest.fixture
def pair(lab):
    """pc, which comes first, and pc2; pc has the addresses."""
    with Keepalived(lab, "globex-pc", 200) as first, Keepalived(lab, "globex-pc2", 100) as second:
        wait_until(lambda: first.holds() == set(VIRTUAL) and not second.holds(), 15, "pc having the virtual addresses")
        wait_until(lambda: _answers(lab, "globex-pc"), 10, "pc answering through the gateway")
        yield first, second


def _url(address):
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def _answers(lab, name):
    return all(lab[CLIENT].curl(_url(address)) == (0, name) for address in VIRTUAL.values())


def _holders(lab):
    rows = lab.appliance.show("neighbours", "--tenant", "globex")
    assert {row["state"] for row in rows if row["address"] in VIRTUAL.values()} == {"holder", "standby"}
    return {(row["address"], row["binding"]) for row in rows if row["state"] == "holder"}


def _events(lab):
    return {record["event"] for record in lab.appliance.records("globex") if record["type"] == "sec" and record.get("binding") == "db1-eth0"}


def test_traffic_follows_the_virtual_address_when_its_host_hands_over_and_when_it_returns(lab, pair):
    first, second = pair
    first.stop()
    wait_until(lambda: _answers(lab, "globex-pc2"), 10, "pc2 answering through the gateway")
    assert second.holds() == set(VIRTUAL)
    assert _holders(lab) == {(address, "pc2-eth0") for address in VIRTUAL.values()}

    with Keepalived(lab, "globex-pc", 200) as again:
        wait_until(lambda: _answers(lab, "globex-pc"), 10, "pc answering again")
        assert again.holds() == set(VIRTUAL) and second.holds() == set()
        assert _holders(lab) == {(address, "pc-eth0") for address in VIRTUAL.values()}


def test_traffic_follows_the_virtual_address_when_its_host_falls_off_the_wire(lab, pair):
    _, second = pair
    switch, port = lab.topology.switch, "to-globex-pc"
    pings = [subprocess.Popen(lab[CLIENT].argv("ping", "-n", "-q", "-i", "0.05", "-c", "200", address), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) for address in VIRTUAL.values()]
    try:
        lab[CLIENT].run("ip", "netns", "exec", switch, "ip", "link", "set", port, "down", check=True)
        wait_until(lambda: _answers(lab, "globex-pc2"), 10, "pc2 answering through the gateway")
        assert second.holds() == set(VIRTUAL)
    finally:
        lab[CLIENT].run("ip", "netns", "exec", switch, "ip", "link", "set", port, "up", check=True)
    for ping in pings:  # one session each, over both moves
        words = ping.communicate(timeout=30)[0]
        assert int(words.split(" received")[0].rsplit(" ", 1)[1]) > 100, words


@pytest.mark.parametrize("more, expected", [("", {"AE_VRRP", "AE_ARP_SPA", "AE_IP6"}), ("use_vmac", {"AE_MAC"})], ids=["own MAC", "virtual MAC"])
def test_a_host_outside_the_group_that_claims_the_address_gets_nothing(lab, pair, more, expected):
    with lab[INTRUDER].capture() as wire, Keepalived(lab, INTRUDER, 254, more) as intruder:
        wait_until(lambda: intruder.holds() == set(VIRTUAL), 15, "the intruder believing itself the holder")
        wait_until(lambda: expected <= _events(lab), 15, f"{expected} in the log")
        for _ in range(5):
            assert _answers(lab, "globex-pc")
        assert not [seen for seen in wire.packets() if seen.destination in VIRTUAL.values()]
