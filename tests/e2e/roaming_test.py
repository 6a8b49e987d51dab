# SPDX-License-Identifier: Apache-2.0
"""Remote users whose traffic does not rest: stock strongSwan behind home routers, an iperf3 stream through the tenant's rules, and
meanwhile keys change, the router forgets its mapping, or the client gets another address. The stream decides: it ends without an
error and stands in no second of its time; then the vpn log must agree."""

import json
import os
import socket
import struct
import subprocess

import pytest
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.system import inside, ip_batch, run, wait_until

from ike_test import document
from ike_world import Pki
from remote_access_test import GATEWAYS, WEB, Site, come_in, eap, new_client

STREAM = 5201
NAT = "192.0.2.50"  # the homes' router outside
POLICY = """      - name: remote users
        from: [remote]
        to: [servers]
        rules:
          - { name: staff, action: allow, users: [staff], log: both }
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("roaming")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    pki.certificate("alice", "ecdsa", "acme", "email:alice@example.test")
    pki.certificate("stranger", "ecdsa", "acme", "email:stranger@example.test")
    with Lab(remote_access=True) as lab:
        made = Site(lab, pki, folder)
        made.policy = POLICY
        made.commit()
        yield made
        assert lab.appliance.status()["conservation violations"] == "0"


@pytest.fixture(scope="module")
def server(site):
    web = site.lab["acme-web1"]
    process = subprocess.Popen(web.argv("iperf3", "-s", "-p", str(STREAM)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: f":{STREAM:04X} 00000000000000000000000000000000:0000 0A" in web.run("cat", "/proc/net/tcp6").stdout, 10, "iperf3 listening")
    yield
    process.kill()
    process.wait()


class Router:
    """The homes' router. Host `n` of the homes, 10.5.0.n, is NAT with the ports base + 500 and base + 4500."""

    def __init__(self, namespace):
        self.namespace = namespace
        self.bases = {}

    def map(self, number, base):
        """From now on; what it knew before it has forgotten."""
        self.bases[number] = base
        rules = [f"  oifname eth0 ip saddr 10.5.0.{host} udp sport {port} snat to {NAT}:{first + port}" for host, first in self.bases.items() for port in (500, 4500)]
        lines = ["table ip homes", "delete table ip homes", "table ip homes {", " chain out { type nat hook postrouting priority 100;", *rules, " }", "}"]
        subprocess.run(["ip", "netns", "exec", self.namespace, "nft", "-f", "-"], input="\n".join(lines) + "\n", text=True, check=True)
        self._forget()

    def _forget(self):
        """Deletes all connections it tracks: IPCTNL_MSG_CT_DELETE without a tuple."""
        netfilter, delete, request_and_acknowledge = 12, 1 << 8 | 2, 5
        with inside(self.namespace):
            handle = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter)
        with handle:
            handle.send(struct.pack("=IHHII", 20, delete, request_and_acknowledge, 1, 0) + struct.pack("=BBH", socket.AF_INET, 0, 0))
            assert struct.unpack_from("=i", handle.recv(4096), 16)[0] == 0, "the router's connections are not forgotten"


@pytest.fixture(scope="module")
def homes(site, tmp_path_factory):
    """(router, [client of home 1, client of home 2])"""
    outside = site.lab["outside"].namespace
    spaces = [f"sekisho-{os.getpid()}-home{number}" for number in (1, 2)]
    clients = []
    try:
        ip_batch(["link add homes type bridge", "addr add 10.5.0.1/24 dev homes", "link set homes up", f"addr add {NAT}/24 dev eth0"], outside)
        for number, space in enumerate(spaces, 1):
            ip_batch([f"netns add {space}", f"link add home{number} netns {outside} type veth peer name eth0 netns {space}"])
            ip_batch([f"link set home{number} master homes up"], outside)
            ip_batch(["link set lo up", "link set eth0 up", f"addr add 10.5.0.{number + 1}/24 dev eth0", "route add default via 10.5.0.1"], space)
            run(["ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1"])
            run(["ip", "netns", "exec", space, "ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
        run(["ip", "netns", "exec", outside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.send_redirects=0"])
        router = Router(outside)
        router.map(2, 20000)
        router.map(3, 30000)
        clients += [new_client(site, tmp_path_factory.mktemp("home"), space=space) for space in spaces]
        yield router, clients
    finally:
        for one in clients:
            one.stop()
        for space in spaces:
            run(["ip", "netns", "del", space], check=False)


class Stream:
    """`with Stream(client) as stream`: iperf3 sends, or receives, at 4 Mbit/s for `seconds`; the end asserts that no second was empty."""

    def __init__(self, client, seconds, reverse=False, address="10.0.0.2"):
        self.argv = ["ip", "netns", "exec", client.namespace, "iperf3", "-c", address, "-p", str(STREAM), "-t", str(seconds), "-b", "4M", "-J",
                     *(["-R"] if reverse else [])]
        self.seconds = seconds

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.process.kill()
        text = self.process.communicate(timeout=self.seconds + 20)[0]
        if kind is not None:
            return
        said = json.loads(text)
        assert "error" not in said and self.process.returncode == 0, text[-1500:]
        amounts = [one["sum"]["bytes"] for one in said["intervals"]]
        assert len(amounts) >= self.seconds - 1
        # One second may be empty while a client notices that it has moved; two together are an outage.
        assert all(a + b > 0 for a, b in zip(amounts, amounts[1:])), " ".join(map(str, amounts))
        self.amounts = amounts


def at_home(site, client, user="alice", **more):
    """Brings a client of a home in; the up record."""
    client.load(document([eap(user, **more)], [(name, f"{name}-acme") for name in ("alice", "bob")]))
    assert client.connect("vpn"), client.last + client.log() + site.lab.appliance.output("iked")
    return site.expect("up", user=user)


@pytest.fixture(autouse=True)
def goodbye(homes):
    yield
    for client in homes[1]:
        client.forget("vpn")


def ike_spi(client):
    raw = client.swanctl("--list-sas", "--raw").stdout
    return [raw[at:at + 32] for at in range(len(raw)) if raw.startswith("initiator-spi=", at)]


@pytest.mark.parametrize("reverse", [False, True], ids=["out", "back"])
def test_a_stream_goes_on_through_three_rekeys_of_both_kinds(site, homes, server, reverse):
    client = homes[1][0]
    up = at_home(site, client)
    with Stream(client, 14, reverse):
        for _ in range(3):
            before = client.spis()
            client.swanctl("--rekey", "--child", "vpn")
            site.expect("rekey", vpn_sid=up["vpn_sid"])
            wait_until(lambda before=before: len(client.spis()) == 1 and client.spis() != before, 5, "the new CHILD_SA alone")
            ike = ike_spi(client)
            client.swanctl("--rekey", "--ike", "vpn")
            wait_until(lambda ike=ike: len(ike_spi(client)) == 1 and ike_spi(client) != ike, 5, "the new IKE_SA alone")


@pytest.mark.parametrize("reverse", [False, True], ids=["out", "back"])
def test_a_router_that_forgot_its_mapping_moves_the_session(site, homes, server, reverse):
    router, (client, _) = homes
    router.map(2, 20000)
    up = at_home(site, client)
    assert up["peer_ip"] == NAT
    # What the client says is what the gateway hears of the new port by; one that only listens may have nothing to acknowledge.
    chatter = subprocess.Popen(["ip", "netns", "exec", client.namespace, "ping", "-q", "-i", "0.2", "10.0.0.2"], stdout=subprocess.DEVNULL)
    try:
        with Stream(client, 10, reverse):
            router.map(2, 21000)
            site.expect("moved", vpn_sid=up["vpn_sid"], peer_port=25500)
    finally:
        chatter.kill()
        chatter.wait()
    router.map(2, 20000)


def test_a_client_with_another_address_takes_its_session_along(site, homes, server):
    router, (client, _) = homes
    up = at_home(site, client)
    router.map(4, 22000)
    with Stream(client, 12):
        ip_batch(["addr add 10.5.0.4/24 dev eth0", "addr del 10.5.0.2/24 dev eth0"], client.namespace)
        site.expect("moved", vpn_sid=up["vpn_sid"], peer_port=26500)
    ip_batch(["addr add 10.5.0.2/24 dev eth0", "addr del 10.5.0.4/24 dev eth0"], client.namespace)


def test_two_homes_behind_one_address_do_not_disturb_one_another(site, homes, server):
    _, (first, second) = homes
    ups = [at_home(site, first), at_home(site, second, "bob")]
    assert ups[0]["peer_ip"] == ups[1]["peer_ip"] and ups[0]["ip4"] != ups[1]["ip4"]
    for client in (first, second):
        done = run(["ip", "netns", "exec", client.namespace, "curl", "-s", "--max-time", "3", WEB])
        assert done.stdout.strip() == "acme web1"
    with Stream(first, 5):
        second.swanctl("--rekey", "--child", "vpn")
        site.expect("rekey", vpn_sid=ups[1]["vpn_sid"])
        second.disconnect("vpn")
        site.expect("down", vpn_sid=ups[1]["vpn_sid"], cause="user")


def test_a_stream_in_udp_over_ipv6(site, server, tmp_path_factory):
    client = new_client(site, tmp_path_factory.mktemp("six"))
    try:
        up = come_in(site, client, eap("alice", gateway=1))
        assert ":" in up["peer_ip"]
        with Stream(client, 6):
            client.swanctl("--rekey", "--child", "vpn")
            site.expect("rekey", vpn_sid=up["vpn_sid"])
    finally:
        client.stop()
