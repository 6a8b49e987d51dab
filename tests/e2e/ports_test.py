# SPDX-License-Identifier: Apache-2.0
"""nmap from each side of a unit that lets people in by IKEv2, L2TP and SSTP: what answers at a tenant's gateways and on the management network is
what is declared, and at every other address of the unit nothing is. What the scanner's wire saw decides, not how nmap names it."""

import re

import pytest
from ike_initiator import Initiator, families
from ike_world import Pki
from l2tp_ike_test import L2tpSite
from lab.appliance import default_binaries
from lab.lab import Lab
from lab.system import ip_batch, wait_until
from remote_access_test import GATEWAYS

IKE, NAT_T, SSTP, PORTAL = 500, 4500, 443, 8443
MANAGEMENT, VISITOR = "198.51.100.1", "198.51.100.2"
# What somebody might have left open: names, time, tables, terminals, tunnels, accounts, logs; beside the declared ones and their neighbours.
OTHERS = (7, 19, 53, 67, 68, 69, 111, 123, 137, 161, 162, 443, 499, 501, 514, 520, 546, 547, 623, 1194, 1645, 1646, 1701, 1812, 1813, 1900, 2055, 2083, 3799,
          4499, 4501, 4739, 4789, 5060, 5353, 6081, 6514, 8443, 11211, 51820)


class EveryDoor(L2tpSite):
    """Gateways with every door that answers by UDP or TCP."""

    def _remote(self, tenant):
        pems = {ending: self.pki.path(f"gw-{tenant}.{ending}").read_text().replace("\n", "\\n") for ending in ("pem", "key")}
        sstp = f"sstp: {{ accept: [mschapv2], certificates: [\"{pems['pem']}\"], keys: [\"{pems['key']}\"] }}, "
        return super()._remote(tenant).replace("networks: [10.0.0.0/24", sstp + "networks: [10.0.0.0/24")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if not (default_binaries() / "iked").exists():
        pytest.skip("iked is not built (SEKISHO_IKE=OFF)")
    folder = tmp_path_factory.mktemp("ports")
    pki = Pki(folder)
    for tenant in GATEWAYS:
        pki.ca(tenant, "ecdsa")
        pki.certificate(f"gw-{tenant}", "ecdsa", tenant, f"DNS:gw.{tenant}.test")
    (folder / "portal").mkdir()
    (folder / "portal" / "index.html").write_text("<!doctype html><title>portal</title>")
    with Lab(keying=("iked", "iked1", "tunneld")) as built:
        built.pki = pki
        EveryDoor(built, pki, folder).commit()
        for daemon in ("iked1", "tunneld"):
            wait_until(lambda daemon=daemon: f"follows revision {built.appliance.generation()}\n" in built.appliance.output(daemon), 10, f"{daemon} following")
        # A wire of the management network's, and somebody outside who has come by it.
        ip_batch([f"link add mgmt0 netns {built.topology.office} type veth peer name mgmt0 netns {built['outside'].namespace}"])
        ip_batch([f"addr add {MANAGEMENT}/30 dev mgmt0", "link set mgmt0 up"], built.topology.office)
        ip_batch([f"addr add {VISITOR}/30 dev mgmt0", "link set mgmt0 up"], built["outside"].namespace)
        built.appliance.start_management(_readable(built, folder / "portal"), address=MANAGEMENT, port=PORTAL)
        yield built
        assert built.appliance.status()["conservation violations"] == "0"


def _readable(lab, folder):
    """Where mgmtd's user reads it: pytest's folders are for root alone."""
    there = lab.root / "out" / "portal"
    there.mkdir()
    for page in folder.iterdir():
        (there / page.name).write_bytes(page.read_bytes())
    return there


def answers(host, address, *options):
    """({(protocol, port): packets} that came from the scanned address, ICMP and ICMPv6 by their type as the port; how many ports nmap asked)."""
    six = ["-6"] if ":" in address else []
    with host.capture() as wire:
        done = host.run("nmap", "-n", "-Pn", *six, "--max-retries", "1", "--min-rate", "1000", "-v", *options, "-oG", "-", address, timeout=240, check=True)
        packets = [one for one in wire.packets() if one.source == address or one.protocol in (1, 58)]
    asked = sum(int(one) for one in re.findall(r"(?:TCP|UDP)\((\d+);", done.stdout))
    heard = {}
    for one in packets:
        neighbours = one.protocol == 58 and one.frame[54] in range(133, 138)
        if not neighbours:
            key = (one.protocol, one.frame[34 if one.protocol == 1 else 54] if one.protocol in (1, 58) else one.source_port)
            heard[key] = heard.get(key, 0) + 1
    return heard, asked


def udp(*ports):
    return ["-sU", "-p", ",".join(map(str, ports))]


def alive(lab, tenant, address):
    """The gateway answers whom it should at both its ports: a key exchange, and what follows it."""
    client = Initiator(lab["outside"].namespace, address, families()["windows-hardened"], trust=[lab.pki.path(f"{tenant}.pem")], server=f"gw.{tenant}.test")
    try:
        client.negotiate()
        assert client.begin("alice"), "an EAP request"
        return client.port
    finally:
        client.close()


@pytest.mark.parametrize("tenant", GATEWAYS)
@pytest.mark.parametrize("family", (0, 1), ids=["IPv4", "IPv6"])
def test_a_gateway_answers_udp_at_its_two_ports_alone(lab, tenant, family):
    address = GATEWAYS[tenant][family]
    heard, asked = answers(lab["outside"], address, *udp(IKE, NAT_T, *OTHERS))
    assert asked == len(OTHERS) + 2
    assert set(heard) <= {(17, IKE), (17, NAT_T)} and (17, IKE) in heard, heard
    assert alive(lab, tenant, address) == NAT_T


@pytest.mark.parametrize("tenant", GATEWAYS)
@pytest.mark.parametrize("family", (0, 1), ids=["IPv4", "IPv6"])
def test_a_gateway_answers_tcp_at_one_port_alone(lab, tenant, family):
    heard, asked = answers(lab["outside"], GATEWAYS[tenant][family], "-sS", "-p", "1-1024," + ",".join(str(one) for one in OTHERS if one > 1024))
    assert asked >= 1024
    assert set(heard) == {(6, SSTP)}, heard


# The gateway's own addresses of each side, and where tunneld lives: nobody is meant to be there.
@pytest.mark.parametrize("who, where", [("outside", "192.0.2.1"), ("outside", "2001:db8:0:1::1"), ("outside", "198.18.0.1"),
                                        ("outside", "fd73:656b:6973:686f::1"), ("acme-pc", "10.0.0.33"), ("acme-pc", "fd00:10:0:3::1"),
                                        ("acme-pc", "10.0.0.1"), ("acme-pc", "198.18.0.1"), ("acme-web1", "10.0.0.1"), ("globex-pc", "10.0.0.33")])
def test_nothing_answers_udp_at_any_other_address_of_the_unit(lab, who, where):
    heard, asked = answers(lab[who], where, *udp(IKE, NAT_T, *OTHERS))
    assert asked == len(OTHERS) + 2
    assert heard == {}


@pytest.mark.parametrize("where, unreachable", [("203.0.113.22", (1, 3)), ("2001:db8:a::22", (58, 1))])
def test_of_a_tenants_address_nobody_has_the_router_says_so_and_no_port_answers(lab, where, unreachable):
    """Next to the gateway's: docs/life-of-a-packet.md, no way to it."""
    heard, _ = answers(lab["outside"], where, *udp(IKE, NAT_T, *OTHERS))
    assert set(heard) == {unreachable}


def test_from_inside_a_tenant_its_gateway_is_not_to_be_seen(lab):
    heard, _ = answers(lab["acme-pc"], GATEWAYS["acme"][0], *udp(IKE, NAT_T, *OTHERS))
    assert heard == {}, "it is reached from outside alone"


def scan_open(host, *options):
    """{(port, protocol)} nmap calls open on the management wire: its kernel itself says which are closed."""
    done = host.run("nmap", "-n", "-Pn", "-e", "mgmt0", "--max-retries", "1", "--min-rate", "5000", *options, "-oG", "-", MANAGEMENT, timeout=240, check=True)
    assert "Status: Up" in done.stdout, done.stdout
    return {(int(port), kind) for port, state, kind in re.findall(r"(\d+)/([a-z|]+)/(tcp|udp)/", done.stdout) if state == "open"}


def test_on_the_management_network_the_portal_answers_and_nothing_else(lab):
    assert scan_open(lab["outside"], "-sS", "-p-") == {(PORTAL, "tcp")}
    assert scan_open(lab["outside"], *udp(IKE, NAT_T, *OTHERS)) == set()
    code, banner = lab["outside"].curl(f"https://{MANAGEMENT}:{PORTAL}/api/v1/banner", 10, "--insecure")
    assert code == 0 and "product" in banner


def test_the_management_network_is_not_behind_the_gateway(lab):
    """Whoever has not come by its wire does not come to it: neither of the Internet's side nor of a tenant's."""
    for who in ("acme-pc", "acme-web1", "globex-pc"):
        heard, _ = answers(lab[who], MANAGEMENT, "-sS", "-p", f"22,80,443,{PORTAL}")
        assert {key for key in heard if key[0] == 6} == set(), who
