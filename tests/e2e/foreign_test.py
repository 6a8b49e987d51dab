# SPDX-License-Identifier: Apache-2.0
"""Attacks others wrote, from one host to another through the gateway: thc-ipv6, nmap, hping3; and pings larger than the wire.

What the victim's wire saw decides (oracle.py), not what the attacker's program says of itself, nor our counters.
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab.lab import DEMO_CONFIG, Lab
from lab.system import wait_until
from oracle import Oracle
from variants import with_change

VICTIM4, VICTIM6 = "10.0.0.2", "fd00:10:0:1::2"
OPEN = range(8000, 8100)  # allowed by the policy; nobody listens but where a test says so


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The demonstration's world, with a hundred more ports open to the office."""
    folder = tmp_path_factory.mktemp("foreign")
    config = with_change(DEMO_CONFIG, "destination_ports: [80]", "destination_ports: [80, 8000-8099]", folder)
    config = with_change(config, "net_af_packet", "net_pcap", folder)  # the wire as it is, IPv4 fragments too
    with Lab(config=config, driver="pcap") as built:
        yield built
        assert built.appliance.status()["conservation violations"] == "0"
        assert built.appliance.processes["dataplaned"].poll() is None
        print(built.appliance.output("dataplaned")[-3000:])


def _run_all(host, commands, timeout=60):
    """Runs all commands at once in the host and returns their outputs."""
    def one(command):
        try:
            return subprocess.run(host.argv(*command), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL).stdout
        except subprocess.TimeoutExpired as error:
            return (error.stdout or b"").decode(errors="replace")

    with ThreadPoolExecutor(len(commands)) as pool:
        return list(pool.map(one, commands))


def _attack(lab, commands, timeout=60):
    """(faults, oracle, outputs) of what the victim saw while the attacker ran `commands`, and of the packets after them."""
    attacker, victim = lab["acme-pc"], lab["acme-web1"]
    oracle = Oracle({80, *OPEN})
    with victim.capture() as capture:
        assert attacker.ping(VICTIM6)  # neighbours are known on both sides
        outputs = _run_all(attacker, commands, timeout)
        assert attacker.curl(f"http://[{VICTIM6}]/") == (0, "acme web1")  # the gateway still works, and all before has passed it
        faults = oracle.faults(capture.frames())
    return faults, oracle, outputs


# --- thc-ipv6 ----------------------------------------------------------------------------------------------------------

CASES = {
    1: "plain", 2: "plain with data", 3: "under the EtherType of IPv4", 4: "IP version 5", 5: "hop-by-hop, ignorable option",
    6: "destination options, ignorable option", 7: "router alert", 8: "three destination options headers",
    9: "130 destination options headers", 10: "atomic fragment", 11: "two fragment headers, one id", 12: "two fragment headers",
    13: "three fragment headers, one id", 14: "three fragment headers", 15: "130 fragment headers, one id", 16: "130 fragment headers",
    17: "260 fragment headers, one id", 18: "260 fragment headers", 19: "2 KiB of options", 20: "2 KiB and more options",
    21: "32 times 2 KiB of options", 22: "two options and two fragment headers", 23: "four options and three fragment headers",
    24: "last piece says ICMPv6", 25: "the same, out of order", 26: "chain longer than the first piece", 27: "atomic fragment after a broken one, one id",
    28: "atomic fragment beside a waiting one, one id", 29: "first piece says ICMPv6, others TCP", 30: "the same, out of order", 31: "last piece alone says TCP",
    32: "chain longer than the first piece, last says TCP", 33: "overlapping ping, first", 34: "overlapping ping, last",
    35: "a second packet under the same id", 36: "option longer than its header", 37: "the same in three headers", 38: "the same, reversed",
}
PASS = {1, 2, 5, 6, 10, 27, 28}  # RFC 6946: an atomic fragment is a packet by itself, whatever else has its identification


@pytest.fixture(scope="module")
def firewall6(lab):
    """All cases of atk6-firewall6 at once, case N against port 8000 + N; the ports a connection began to, and all faults."""
    faults, oracle, outputs = _attack(lab, [["atk6-firewall6", "eth0", VICTIM6, str(8000 + case), str(case)] for case in range(1, 40)])
    assert all("Test" in output for output in outputs)
    return {to - 8000 for _, to in oracle.syns}, faults, {source for source, to in oracle.syns if to == 8039}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case}: {CASES[case]}")
def test_firewall6(firewall6, case):
    assert (case in firewall6[0]) == (case in PASS)


def test_firewall6_nothing_forbidden_reaches_the_victim(firewall6):
    assert firewall6[1] == []


def test_firewall6_no_source_port_is_trusted_more_than_another(firewall6):
    assert {20, 21, 22, 25, 53, 80, 111, 123, 179, 443, 8080} <= firewall6[2]


def test_implementation6_nothing_forbidden_reaches_the_victim(lab):
    faults, _, outputs = _attack(lab, [["atk6-implementation6", "eth0", VICTIM6, str(case)] for case in range(1, 58)])
    assert sum("Test" in output for output in outputs) == 57
    assert faults == []


def test_fragmentation6_nothing_forbidden_reaches_the_victim(lab):
    faults, _, outputs = _attack(lab, [["atk6-fragmentation6", "-p", "eth0", VICTIM6, str(case)] for case in range(1, 34)], timeout=20)
    assert sum("ATTACK" in output for output in outputs) == 33
    assert faults == []


# --- nmap --------------------------------------------------------------------------------------------------------------

# Options, and what it must find of an open port with a server, an allowed port without one, and a denied port.
SILENT = "open|filtered"
SCANS = {
    "-sS": ("open", "closed", "filtered"), "-sT": ("open", "closed", "filtered"), "-sA": ("filtered",) * 3, "-sW": ("filtered",) * 3,
    "-sM": (SILENT,) * 3, "-sN": (SILENT,) * 3, "-sF": (SILENT,) * 3, "-sX": (SILENT,) * 3, "-sY": ("filtered",) * 3, "-sU": (SILENT,) * 3,
    "-sS -f": ("filtered",) * 3, "-sS --mtu 8": ("filtered",) * 3, "-sS --badsum": ("filtered",) * 3, "-sS -g 53": ("open", "closed", "filtered"),
    "-sS -D 10.0.0.35,10.0.0.36,10.0.0.37": ("open", "closed", "filtered"), "-sS --ttl 3": ("open", "closed", "filtered"),
}
# Decoys and pieces nmap offers for IPv4 alone.
WANTED = [(options, address) for options in SCANS for address in (VICTIM4, VICTIM6)
          if address == VICTIM4 or not options.startswith(("-sS -D", "-sS -f", "-sS --mtu"))]


@pytest.fixture(scope="module")
def nmap(lab):
    """Every scan in either family, a few at once: {(options, address): [state of each port]}, and what the victim saw in between."""
    commands = [["nmap", "-n", "-Pn", "--max-retries", "1", "--host-timeout", "40s", "-p", "80,8090,5432", "-oG", "-",
                 *(["-6"] if ":" in address else []), *options.split(), address] for options, address in WANTED]
    oracle = Oracle({80, *OPEN})
    with lab["acme-web1"].capture() as capture, ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda command: lab["acme-pc"].run(*command, timeout=90).stdout, commands))
        faults = oracle.faults(capture.frames())
    return {key: _states(output) for key, output in zip(WANTED, outputs)}, faults


def _states(output):
    """{port: state} of nmap's greppable output."""
    ports = output.partition("Ports: ")[2].partition("\t")[0].split("\n")[0]
    return {int(entry.split("/")[0]): entry.split("/")[1] for entry in ports.split(", ") if "/" in entry}


@pytest.mark.parametrize(("options", "address"), WANTED, ids=lambda value: {VICTIM4: "IPv4", VICTIM6: "IPv6"}.get(value, value))
def test_nmap_finds_what_the_policy_shows(nmap, options, address):
    states = nmap[0][options, address]
    assert (states.get(80), states.get(8090), states.get(5432)) == SCANS[options]


def test_nmap_nothing_forbidden_reaches_the_victim(nmap):
    assert nmap[1] == []


# --- hping3 ------------------------------------------------------------------------------------------------------------

FLOODS = {
    "SYN": ["-S", "-p", "80"], "SYN from forged sources": ["-S", "-p", "80", "--rand-source"],
    "pieces of datagrams": ["--udp", "-p", "53", "-f", "-d", "400"], "first pieces alone": ["-1", "-x", "-d", "64"],
    "ACK": ["-A", "-p", "80"], "UDP": ["--udp", "-p", "53", "-d", "1200"],
}


@pytest.mark.parametrize("flood", FLOODS)
def test_hping3_flood_of_one_tenant_leaves_the_other_his_service(lab, flood):
    attacker, other = lab["acme-pc"], lab["globex-pc"]
    before = _sent(attacker)
    process = subprocess.Popen(attacker.argv("hping3", "--faster", "-q", *FLOODS[flood], VICTIM4), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(8):
            assert other.curl(f"http://{VICTIM4}/", 5) == (0, "globex web1")
            assert other.curl(f"http://[{VICTIM6}]/", 5) == (0, "globex web1")
            assert other.run("ping", "-n", "-q", "-c", "1", "-W", "3", "-s", "4000", VICTIM4).returncode == 0
            assert other.run("ping", "-n", "-q", "-c", "1", "-W", "3", "-s", "4000", VICTIM6).returncode == 0
        wait_until(lambda: _sent(attacker) > before + 2000, 20, "a flood")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def _sent(host):
    return int(host.run("cat", "/sys/class/net/eth0/statistics/tx_packets").stdout)


# --- the kernel's TCP/IP as endpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1473, 4000, 60000])
@pytest.mark.parametrize("address", [VICTIM4, VICTIM6], ids=["IPv4", "IPv6"])
def test_ping_larger_than_the_wire_passes_in_pieces(lab, address, size):
    assert lab["acme-pc"].run("ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "3", "-s", str(size), address).returncode == 0
