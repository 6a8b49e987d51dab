# SPDX-License-Identifier: Apache-2.0
"""What others wrote to take a segment over (thc-ipv6, dsniff), run by a tenant's server against the world it stands in.

The oracle is the victim, another host of the same tenant: what its wire brought, what its kernel believes, whether its traffic
went on. That the log names each attack is asked afterwards.
"""

import re
import shutil
import subprocess

import pytest
from lab.frames import mac_bytes, router_solicitation
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until
from traffic import Traffic
from variants import with_change

ATTACKER, VICTIM = "acme-web1", "acme-pc"
MAC = "02:00:00:00:0a:02"
ALL_NODES = bytes.fromhex("333300000001")
LINK_LOCAL = "fe80::ff:fe00:a02"

# name: (seconds it may run, command, codes one of which the log must name)
ATTACKS = {
    "router advertisement": (6, ["atk6-fake_router26", "-A", "2001:db8:bad::/64", "-n", "3", "-i", "1", "eth0"], {"AE_RA"}),
    "neighbour advertisement": (6, ["atk6-fake_advertise6", "-n", "3", "-w", "1", "eth0", "fd00:10:0:1::1", "ff02::1", MAC, LINK_LOCAL], {"AE_NA"}),
    "neighbour advertisement, own source forged": (6, ["atk6-fake_advertise6", "-n", "3", "-w", "1", "eth0", "fd00:10:0:1::1"], {"AE_IP6"}),
    "ARP": (4, ["arpspoof", "-i", "eth0", "-t", "10.0.0.1", "10.0.0.9"], {"AE_ARP_SPA"}),
    "redirect": (4, ["atk6-redir6", "eth0", "fd00:10:0:3::2", "fd00:10:0:2::2", "fd00:10:0:1::1", LINK_LOCAL], {"AE_IP6", "AE_LLA", "AE_REDIRECT"}),
    "answers to all solicitations": (3, ["atk6-parasite6", "-l", "eth0"], set()),  # none comes to its Port
    # Last: so many forged sources leave the log no name but AE_OTHER for a minute.
    "flood of router advertisements": (1, ["atk6-flood_router26", "eth0"], {"AE_MAC", "AE_STORM"}),
}


# What hides an advertisement: fake_router26's -E, how its frames begin (next header, then what stands behind the IPv6 header), and
# the drop reason and code of each datagram.
EVASIONS = {
    "hop-by-hop header": ("H", 0, "3a000000", "ae-nd-format", "AE_ND_FORMAT"),
    "one fragment behind another": ("1", 44, "2c000000", "ipv6-extension-header", "PROTO_EXT_HDR"),
    "pushed into the second fragment": ("D", 44, "3c000001", "ae-nd-fragment", "AE_ND_FRAG"),
    "fragments, options and a routing header": ("F", 44, "3c000001", "ipv6-routing-header-0", "AE_RH0"),
}


@pytest.fixture(scope="module", params=["port", "segment"])
def lab(request, tmp_path_factory):
    missing = [command[0] for _, command, _ in ATTACKS.values() if shutil.which(command[0]) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(sorted(set(missing)))} (board/setup test)")
    config = DEMO_CONFIG
    if request.param == "segment":
        config = with_change(DEMO_CONFIG, "kind: segment, zone: servers, addresses: [10.0.0.1/28",
                             "kind: segment, enforcement: segment, zone: servers, addresses: [10.0.0.1/28", tmp_path_factory.mktemp("guard"))
    with Lab(config=config) as built:
        yield built
        assert built.appliance.status()["conservation violations"] == "0"


def _beliefs(host):
    """What the kernel of `host` takes for true of its link: neighbours' MACs, addresses, routes."""
    neighbours = {match.groups() for match in re.finditer(r"^(\S+) dev \S+ lladdr (\S+)", host.run("ip", "neigh", "show").stdout, re.M)}
    addresses = set(re.findall(r"inet6? (\S+)", host.run("ip", "addr", "show", "dev", "eth0").stdout))
    routes = {line.split(" expires")[0].strip() for line in host.run("ip", "-6", "route").stdout.splitlines()}
    return neighbours, addresses, routes


def _events(lab):
    return {record["event"] for record in lab.appliance.records("acme") if record["type"] == "sec"}


def _attack(host, seconds, command, meanwhile=None):
    process = subprocess.Popen(host.argv(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if meanwhile:
            meanwhile()
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(5)  # arpspoof heals what it believes to have broken
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _warm(lab):
    """The victim knows its gateway, in both families."""
    for address in ("10.0.0.2", "fd00:10:0:1::2"):
        wait_until(lambda a=address: lab[VICTIM].ping(a), 10, f"{address} answering")


def _attack_unnoticed(lab, seconds, command, meanwhile=None):
    """Runs the attack; asserts that the victim's wire brought nothing of it and that its kernel believes what it believed."""
    victim = lab[VICTIM]
    _warm(lab)
    before = _beliefs(victim)
    with victim.capture() as wire, Traffic(lab) as traffic:
        _attack(lab[ATTACKER], seconds, command, meanwhile)
        traffic.wait_for_answers()
        heard = [frame for frame in wire.frames() if frame[6:12] == mac_bytes(MAC)]
        advertised = [frame for frame in wire.frames() if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] in (134, 137)]
    assert heard == [] and advertised == []
    after = _beliefs(victim)
    assert before[0] <= after[0] and {m for _, m in after[0]} == {lab.topology.gateway_mac(VICTIM)}
    assert before[1:] == after[1:]
    for address in ("10.0.0.2", "fd00:10:0:1::2"):
        assert victim.ping(address)


def _dropped(lab, reason):
    return sum(row["packets"] for row in lab.appliance.show("drops", "--tenant", "acme") if row["reason"] == reason)


@pytest.mark.parametrize("name", EVASIONS)
def test_a_hidden_router_advertisement_is_sent_and_each_dropped_by_its_name(lab, name):
    letter, next_header, begin, reason, code = EVASIONS[name]
    attacker, victim = lab[ATTACKER], lab[VICTIM].plan
    before, routes = _dropped(lab, reason), lab[VICTIM].run("ip", "-6", "route", "show", "default").stdout
    with attacker.capture() as wire:
        def sent():
            return [frame for frame in wire.frames(outgoing=True) if frame[6:14] == mac_bytes(MAC) + b"\x86\xdd"
                    and frame[20] == next_header and frame[54:].startswith(bytes.fromhex(begin))]

        def solicit():
            """As if the victim had asked: with -E 1 the tool hides only its answers, and answers to the victim's MAC."""
            tool = ALL_NODES + mac_bytes(MAC)
            wait_until(lambda: any(frame[:12] == tool for frame in wire.frames(outgoing=True)), 5, "an advertisement on the attacker's wire")
            attacker.send_frame(router_solicitation(victim.mac, "fe80::ff:fe00:a22"))

        _attack_unnoticed(lab, 6, ["atk6-fake_router26", "-A", "2001:db8:bad::/64", "-n", "3", "-i", "1", "-E", letter, "eth0"], solicit)
        audible = [frame for frame in sent() if frame[:6] in (ALL_NODES, mac_bytes(victim.mac))]
        assert audible, "nothing hidden on the attacker's wire that the victim could hear"
        wait_until(lambda: _dropped(lab, reason) - before == len(sent()), 5, f"{len(sent())} dropped as {reason}")
    wait_until(lambda: code in _events(lab), 10, f"{code} in the log")
    assert routes.startswith("default via fd00:10:0:3::1 ")
    assert lab[VICTIM].run("ip", "-6", "route", "show", "default").stdout == routes


@pytest.mark.parametrize("name", ATTACKS)
def test_the_victim_notices_nothing_and_the_log_names_it(lab, name):
    seconds, command, codes = ATTACKS[name]
    _attack_unnoticed(lab, seconds, command)
    if codes:
        wait_until(lambda: _events(lab) & codes, 10, f"one of {codes} in the log")
